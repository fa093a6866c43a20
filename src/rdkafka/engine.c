/* The engine on a real Kafka: opening, closing, the table of calls.
 *
 * Three threads beside librdkafka's: one serves what the producer has done, one does what changes topics and groups (one thing at a time,
 * and keeps the picture of the topics), one looks after waits. An append is handed to librdkafka within the call, a read takes what
 * librdkafka has fetched ahead, or waits for it. */
#include "rdkafka/rdkafka_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- what goes wrong ---- */

void rdkafka__notice(struct rdkafka_log *k, const char *fmt, ...)
{
	char text[600];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	pthread_mutex_lock(&k->notice_lock);
	if (k->notice)
		k->notice(k->notice_arg, text);
	pthread_mutex_unlock(&k->notice_lock);
}

/* Thread: librdkafka's. */
static void note_problem(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	struct rdkafka_log *k = rd_kafka_opaque(rk);
	if (!k || level > 4 || strcmp(facility, "CONFWARN") == 0)
		return;
	pthread_mutex_lock(&k->notice_lock);
	snprintf(k->last_problem, sizeof k->last_problem, "%s", text);
	pthread_mutex_unlock(&k->notice_lock);
}

void rdkafka__seen(struct rdkafka_log *k)
{
	if (atomic_load(&k->away) && atomic_exchange(&k->away, false))
		rdkafka__notice(k, "%s answers again", k->shown);
	atomic_store(&k->denied, false);
}

uint64_t rdkafka__deadline_ns(struct rdkafka_log *k)
{
	uint64_t wait_ms = atomic_load(&k->away) ? RDKAFKA_AWAY_MS : RDKAFKA_REQUEST_MS;
	return clock_monotonic_ns(&clock_system) + wait_ms * 1000000;
}

bool rdkafka_answers(struct sm_log *log)
{
	return !atomic_load(&rdkafka__log_of(log)->away);
}

void rdkafka_ending(struct sm_log *log)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	atomic_store(&k->ending, true);
	pthread_mutex_lock(&k->admin_lock);
	pthread_cond_broadcast(&k->picture_new);
	pthread_mutex_unlock(&k->admin_lock);
}

rd_kafka_conf_t *rdkafka__conf(struct rdkafka_log *k)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_dup(k->target.conf);
	if (conf) {
		rd_kafka_conf_set_opaque(conf, k);
		rd_kafka_conf_set_log_cb(conf, note_problem);
	}
	return conf;
}

/* ---- consumers ---- */

static rd_kafka_t *lane_new(struct rdkafka_log *k, int isolation, struct sm_error *reterr)
{
	const char *const own[][2] = {
		{"enable.auto.offset.store", "false"},
		{"enable.auto.commit", "false"},
		{"enable.partition.eof", "true"},
		{"auto.offset.reset", "error"},
		{"queued.max.messages.kbytes", RDKAFKA_PREFETCH_KBYTES},
		{"fetch.error.backoff.ms", "100"},
		/* A reader that begins elsewhere waits for the fetch that is under way. */
		{"fetch.wait.max.ms", "100"},
		{"isolation.level", isolation == RDKAFKA_COMMITTED ? "read_committed" : "read_uncommitted"},
	};
	char why[300] = "no memory";
	rd_kafka_conf_t *conf = rdkafka__conf(k);
	rd_kafka_t *rk = NULL;
	for (size_t i = 0; i < sizeof own / sizeof *own && conf; i++)
		if (rd_kafka_conf_set(conf, own[i][0], own[i][1], why, sizeof why) != RD_KAFKA_CONF_OK) {
			rd_kafka_conf_destroy(conf);
			conf = NULL;
		}
	if (conf && !(rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why)))
		rd_kafka_conf_destroy(conf);
	if (!rk)
		sm_fail(reterr, SM_INVALID, "%s: %s", k->shown, why);
	return rk;
}

rd_kafka_t *rdkafka__lane(struct rdkafka_log *k, int isolation, uint32_t lane, struct sm_error *reterr)
{
	pthread_mutex_lock(&k->lock);
	rd_kafka_t *rk = k->lanes[isolation][lane];
	pthread_mutex_unlock(&k->lock);
	if (rk || !(rk = lane_new(k, isolation, reterr)))
		return rk;
	pthread_mutex_lock(&k->lock);
	rd_kafka_t *first = k->lanes[isolation][lane], *spare = first ? rk : NULL;
	if (!first)
		first = k->lanes[isolation][lane] = rk;
	pthread_mutex_unlock(&k->lock);
	if (spare) /* another thread made it meanwhile */
		rd_kafka_destroy(spare);
	return first;
}

/* ---- the rest of the table ---- */

static enum sm_err partition_bytes(struct sm_log *log, const char *topic, int32_t partition, uint64_t *ret_bytes)
{
	return SM_UNSUPPORTED;
}

static void producer_id(struct sm_log *log, void (*done)(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch), void *arg)
{
	done(arg, SM_UNSUPPORTED, -1, -1);
}

static void free_all(struct rdkafka_log *k)
{
	rdkafka__parts_free(k);
	for (int i = 0; i < RDKAFKA_ISOLATIONS; i++)
		for (int lane = 0; lane <= RDKAFKA_LANES_MAX; lane++)
			if (k->lanes[i][lane])
				rd_kafka_destroy(k->lanes[i][lane]);
	rdkafka__picture_unref(k->picture);
	rdkafka__target_done(&k->target);
	map_done(&k->parts);
	map_done(&k->producer_topics);
	pthread_cond_destroy(&k->changed);
	pthread_cond_destroy(&k->admin_changed);
	pthread_cond_destroy(&k->picture_new);
	pthread_mutex_destroy(&k->lock);
	pthread_mutex_destroy(&k->wait_lock);
	pthread_mutex_destroy(&k->admin_lock);
	pthread_mutex_destroy(&k->notice_lock);
	pthread_rwlock_destroy(&k->producer_lock);
	free(k->shown);
	free(k);
}

static enum sm_err close_log(struct sm_log *log, struct sm_error *reterr)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	atomic_store(&k->ending, true);
	atomic_store(&k->closing, true);
	pthread_mutex_lock(&k->admin_lock);
	pthread_cond_signal(&k->admin_changed);
	pthread_cond_broadcast(&k->picture_new);
	pthread_mutex_unlock(&k->admin_lock);
	rdkafka__poke(k);
	if (k->threads & 4)
		pthread_join(k->admin_thread, NULL);
	if (k->threads & 2)
		pthread_join(k->wait_thread, NULL);
	uint32_t given_up = rdkafka__producer_end(k, RDKAFKA_CLOSE_MS);
	enum sm_err err =
		given_up ? sm_fail(reterr, SM_UNAVAILABLE,
				   "%s had not acknowledged %u appends after %d s: they may or may not be there, and whoever made them "
				   "was told that they failed",
				   k->shown, given_up, RDKAFKA_CLOSE_MS / 1000)
			 : SM_OK;
	free_all(k);
	return err;
}

static const struct log_ops ops = {
	.topic_create = rdkafka__topic_create,
	.topic_delete = rdkafka__topic_delete,
	.topic_change = rdkafka__topic_change,
	.records_delete = rdkafka__records_delete,
	.partition_bytes = partition_bytes,
	.topics = rdkafka__log_topics,
	.topics_release = rdkafka__log_topics_release,
	.append = rdkafka__append,
	.read = rdkafka__read,
	.read_uncommitted = rdkafka__read_uncommitted,
	.wait = rdkafka__wait,
	.wait_cancel = rdkafka__wait_cancel,
	.offset_for = rdkafka__offset_for,
	.producer_id = producer_id,
	.offsets_commit = rdkafka__offsets_commit,
	.offsets_fetch = rdkafka__offsets_fetch,
	.offsets_list = rdkafka__offsets_list,
	.offsets_release = rdkafka__offsets_release,
	.groups = rdkafka__log_groups,
	.close = close_log,
};

/* ---- opening ---- */

/* A broker answers, and lets us in. */
static enum sm_err connect_first(struct rdkafka_log *k, uint32_t timeout_ms, struct sm_error *reterr)
{
	uint64_t end_ns = clock_monotonic_ns(&clock_system) + (uint64_t)timeout_ms * 1000000;
	struct sm_error error;
	enum sm_err err;
	while ((err = rdkafka__topics_refresh(k, true, 1000, &error)) && (err == SM_UNAVAILABLE || err == SM_TIMEOUT) &&
	       !atomic_load(&k->denied) && clock_monotonic_ns(&clock_system) < end_ns)
		;
	if (!err)
		return SM_OK;
	err = atomic_load(&k->denied) ? SM_DENIED : err == SM_TIMEOUT ? SM_UNAVAILABLE : err;
	char why[256];
	pthread_mutex_lock(&k->notice_lock);
	snprintf(why, sizeof why, "%s", k->last_problem);
	pthread_mutex_unlock(&k->notice_lock);
	const char *what = err == SM_UNAVAILABLE ? "no broker answers: is it there, and is the address right?"
			   : err == SM_DENIED    ? "the login failed: look at the user, the password and the certificates"
						 : error.text;
	return sm_fail(reterr, err, "%s: %s%s%s", k->shown, what, *why ? " The last that librdkafka says: " : "", why);
}

static enum sm_err start_thread(struct rdkafka_log *k, uint32_t which, pthread_t *ret_thread, void *(*run)(void *), struct sm_error *reterr)
{
	int failed = pthread_create(ret_thread, NULL, run, k);
	if (failed)
		return sm_fail_errno(reterr, failed, "no thread for %s", k->shown);
	k->threads |= which;
	return SM_OK;
}

static enum sm_err start(struct rdkafka_log *k, const struct rdkafka_options *o, struct sm_error *reterr)
{
	enum sm_err err = rdkafka__target_new(o, &k->target, reterr);
	if (err)
		return err;
	if (asprintf(&k->shown, "kafka://%s", k->target.brokers) < 0) {
		k->shown = NULL;
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	if (!rdkafka__lane(k, RDKAFKA_COMMITTED, RDKAFKA_ASKER, reterr))
		return SM_INVALID;
	if ((err = rdkafka__producer_new(k, reterr)) || (err = start_thread(k, 1, &k->produce_thread, rdkafka__produce_thread, reterr)) ||
	    (err = connect_first(k, o->open_timeout_ms ? o->open_timeout_ms : RDKAFKA_OPEN_MS, reterr)) ||
	    (err = start_thread(k, 2, &k->wait_thread, rdkafka__wait_thread, reterr)))
		return err;
	return start_thread(k, 4, &k->admin_thread, rdkafka__admin_thread, reterr);
}

enum sm_err rdkafka_open(const struct rdkafka_options *o, struct sm_log **ret_log, struct sm_error *reterr)
{
	struct rdkafka_log *k = calloc(1, sizeof *k);
	if (!k)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	pthread_condattr_t monotonic;
	k->log.ops = &ops;
	k->notice = o->notice;
	k->notice_arg = o->notice_arg;
	k->jobs_end = &k->jobs;
	map_init(&k->parts);
	map_init(&k->producer_topics);
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->wait_lock, NULL);
	pthread_mutex_init(&k->admin_lock, NULL);
	pthread_mutex_init(&k->notice_lock, NULL);
	pthread_rwlock_init(&k->producer_lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&k->changed, &monotonic);
	pthread_cond_init(&k->admin_changed, &monotonic);
	pthread_cond_init(&k->picture_new, &monotonic);
	pthread_condattr_destroy(&monotonic);
	enum sm_err err = start(k, o, reterr);
	if (err)
		close_log(&k->log, NULL);
	else
		*ret_log = &k->log;
	return err;
}
