/* The admin thread: changes of topics and groups, one at a time, each waiting for its answer; between them the picture of the topics.
 *
 * A change is told when the picture has it, since whoever made a topic uses it next. */
#include "rdkafka/rdkafka_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- jobs ---- */

void *rdkafka__job_new(size_t size, void (*run)(struct rdkafka_log *, struct rdkafka_job *),
		       void (*refuse)(struct rdkafka_job *, enum sm_err))
{
	struct arena arena;
	arena_init(&arena, 0);
	struct rdkafka_job *job = arena_alloc(&arena, size);
	if (!job) {
		arena_done(&arena);
		return NULL;
	}
	job->run = run;
	job->refuse = refuse;
	job->arena = arena; /* from here on the arena is the one within */
	return job;
}

void rdkafka__job_free(struct rdkafka_job *job)
{
	struct arena arena = job->arena;
	arena_done(&arena);
}

void rdkafka__job_put(struct rdkafka_log *k, struct rdkafka_job *job)
{
	pthread_mutex_lock(&k->admin_lock);
	enum sm_err err = atomic_load(&k->closing) ? SM_CLOSED : k->job_count >= RDKAFKA_JOBS_MAX ? SM_FULL : SM_OK;
	if (!err) {
		job->next = NULL;
		*k->jobs_end = job;
		k->jobs_end = &job->next;
		k->job_count++;
		pthread_cond_signal(&k->admin_changed);
	}
	pthread_mutex_unlock(&k->admin_lock);
	if (!err)
		return;
	job->refuse(job, err);
	rdkafka__job_free(job);
}

/* With the lock. */
static struct rdkafka_job *next_job(struct rdkafka_log *k)
{
	struct rdkafka_job *job = k->jobs;
	if (job) {
		k->jobs = job->next;
		if (!k->jobs)
			k->jobs_end = &k->jobs;
		k->job_count--;
	}
	return job;
}

/* ---- the thread ---- */

struct schedule {
	uint64_t asked_ns, configs_ns; /* when the topics were asked for, and what is set for them */
};

/* With the lock: how long until the topics are to be asked for again; 0: now. */
static uint64_t due_ns(const struct rdkafka_log *k, const struct schedule *s)
{
	bool often = k->picture_used || atomic_load(&k->away);
	uint64_t since = clock_monotonic_ns(&clock_system) - s->asked_ns, after = (k->picture_wanted ? 100
										   : often           ? RDKAFKA_PICTURE_MS
												     : RDKAFKA_PICTURE_IDLE_MS) *
										  1000000ull;
	return since >= after ? 0 : after - since;
}

static void refresh(struct rdkafka_log *k, struct schedule *s)
{
	struct sm_error unused;
	uint64_t now = clock_monotonic_ns(&clock_system);
	bool configs = now - s->configs_ns >= RDKAFKA_CONFIGS_MS * 1000000ull;
	pthread_mutex_lock(&k->admin_lock);
	k->picture_wanted = false;
	pthread_mutex_unlock(&k->admin_lock);
	/* Without an answer the old picture stays; the producer tells that the brokers are gone. */
	if (!rdkafka__topics_refresh(k, configs, RDKAFKA_REQUEST_MS / 3, &unused) && configs)
		s->configs_ns = now;
	s->asked_ns = clock_monotonic_ns(&clock_system);
}

/* With the lock. */
static void rest(struct rdkafka_log *k, uint64_t ns)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ns / 1000000000);
	until.tv_nsec += (long)(ns % 1000000000);
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&k->admin_changed, &k->admin_lock, &until);
}

void *rdkafka__admin_thread(void *arg)
{
	struct rdkafka_log *k = arg;
	struct schedule s = {clock_monotonic_ns(&clock_system), clock_monotonic_ns(&clock_system)};
	struct rdkafka_job *job;
	pthread_mutex_lock(&k->admin_lock);
	while (!atomic_load(&k->closing)) {
		uint64_t wait_ns = due_ns(k, &s);
		job = next_job(k);
		if (!job && wait_ns) {
			rest(k, wait_ns);
			continue;
		}
		pthread_mutex_unlock(&k->admin_lock);
		if (job) {
			job->run(k, job);
			rdkafka__job_free(job);
		} else {
			refresh(k, &s);
		}
		pthread_mutex_lock(&k->admin_lock);
	}
	while ((job = next_job(k))) {
		pthread_mutex_unlock(&k->admin_lock);
		job->refuse(job, SM_CLOSED);
		rdkafka__job_free(job);
		pthread_mutex_lock(&k->admin_lock);
	}
	pthread_mutex_unlock(&k->admin_lock);
	return NULL;
}

/* ---- questions and answers ---- */

rd_kafka_AdminOptions_t *rdkafka__admin_options(struct rdkafka_log *k, rd_kafka_admin_op_t op)
{
	char why[200];
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rdkafka__asker(k), op);
	rd_kafka_AdminOptions_set_request_timeout(options, RDKAFKA_REQUEST_MS, why, sizeof why);
	return options;
}

rd_kafka_event_t *rdkafka__admin_answer(struct rdkafka_log *k, rd_kafka_queue_t *queue, const char *what, struct sm_error *reterr)
{
	rd_kafka_event_t *event = NULL;
	/* In short steps: a log that closes does not wait for a broker that is gone. */
	uint64_t end_ns = rdkafka__deadline_ns(k) + 2000000000;
	while (!event && clock_monotonic_ns(&clock_system) < end_ns && !atomic_load(&k->ending))
		event = rd_kafka_queue_poll(queue, 200);
	if (!event) {
		sm_fail(reterr, atomic_load(&k->ending) ? SM_CLOSED : SM_TIMEOUT, "%s: no answer from %s: is it there?", what, k->shown);
		return NULL;
	}
	rd_kafka_resp_err_t err = rd_kafka_event_error(event);
	if (!err)
		return event;
	rdkafka__fail(reterr, err, rd_kafka_event_error_string(event), what);
	rd_kafka_event_destroy(event);
	return NULL;
}

/* ---- topics ---- */

struct topic_job {
	struct rdkafka_job job; /* first */
	char *name;
	int32_t partitions, replication_factor;
	struct log_config *configs;
	uint32_t config_count;
	bool check, only;
	void (*done)(void *arg, const struct sm_error *error);
	void *arg;
};

static bool names(const struct topic_job *t, const char *name)
{
	for (uint32_t i = 0; i < t->config_count; i++)
		if (strcmp(t->configs[i].name, name) == 0)
			return true;
	return false;
}

static const char *value_of(const struct log_topic *topic, const char *name)
{
	for (uint32_t i = 0; i < topic->config_count; i++)
		if (strcmp(topic->configs[i].name, name) == 0)
			return topic->configs[i].value;
	return NULL;
}

/* What the job sets is set, what it takes back is not. */
static bool configs_seen(const struct topic_job *t, const struct log_topic *topic)
{
	for (uint32_t i = 0; i < t->config_count; i++) {
		const char *want = t->configs[i].value, *have = value_of(topic, t->configs[i].name);
		if (want ? !have || strcmp(want, have) != 0 : have != NULL)
			return false;
	}
	for (uint32_t i = 0; t->only && i < topic->config_count; i++)
		if (!names(t, topic->configs[i].name))
			return false;
	return true;
}

/* The picture shows the topic as it should be: so many partitions at least (0: it is gone), and the job's configs. A broker may be behind
 * the controller. It may also write a value in its own way: that is not waited for as long. */
static enum sm_err wait_seen(struct rdkafka_log *k, const struct topic_job *job, int32_t partitions, struct sm_error *reterr)
{
	uint64_t end_ns = clock_monotonic_ns(&clock_system) + RDKAFKA_PROPAGATION_MS * 1000000ull, now;
	for (;;) {
		enum sm_err err = rdkafka__topics_refresh(k, true, RDKAFKA_REQUEST_MS / 3, reterr);
		/* This thread alone changes the picture. */
		const struct log_topic *t = err ? NULL : log_topics_find(&k->picture->topics, job->name);
		now = clock_monotonic_ns(&clock_system);
		bool long_enough = now + RDKAFKA_PROPAGATION_MS * 800000ull >= end_ns;
		if (!err && (partitions ? t && t->partitions >= partitions && (long_enough || configs_seen(job, t)) : !t))
			return SM_OK;
		if (now >= end_ns || atomic_load(&k->ending))
			return sm_fail(reterr, SM_TIMEOUT, "%s has taken the change of topic %s, but does not show it yet", k->shown,
				       job->name);
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
}

static void topic_refuse(struct rdkafka_job *job, enum sm_err err)
{
	struct topic_job *t = (struct topic_job *)job;
	struct sm_error error;
	sm_fail(&error, err, "topic %s: %s", t->name, err == SM_FULL ? "too many changes wait" : sm_err_text(err));
	t->done(t->arg, &error);
}

static void topic_end(struct topic_job *t, enum sm_err err, struct sm_error *error)
{
	t->done(t->arg, err ? error : NULL);
}

static bool copy_all(struct topic_job *t, const char *name, const struct log_config *configs, uint32_t count)
{
	struct arena *arena = &t->job.arena;
	t->name = arena_string(arena, name, strlen(name));
	t->configs = arena_alloc(arena, (count + 1) * sizeof *t->configs);
	if (!t->name || !t->configs)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct log_config *c = &configs[i];
		t->configs[i].name = arena_string(arena, c->name, strlen(c->name));
		t->configs[i].value = c->value ? arena_string(arena, c->value, strlen(c->value)) : NULL;
		if (!t->configs[i].name || (c->value && !t->configs[i].value))
			return false;
	}
	t->config_count = count;
	return true;
}

/* A job with copies, or done has been told that there is none. */
static struct topic_job *topic_job_new(void (*run)(struct rdkafka_log *, struct rdkafka_job *), const char *name,
				       const struct log_config *configs, uint32_t count,
				       void (*done)(void *arg, const struct sm_error *error), void *arg)
{
	struct topic_job *t = rdkafka__job_new(sizeof *t, run, topic_refuse);
	if (t && copy_all(t, name, configs, count)) {
		t->done = done;
		t->arg = arg;
		return t;
	}
	struct sm_error error;
	sm_fail(&error, SM_NO_MEMORY, "no memory");
	if (t)
		rdkafka__job_free(&t->job);
	done(arg, &error);
	return NULL;
}

/* The one topic of an answer. */
static enum sm_err topic_result(const rd_kafka_topic_result_t **results, size_t count, const char *what, struct sm_error *reterr)
{
	if (count != 1)
		return sm_fail(reterr, SM_FAILED, "%s: the answer is about %zu topics", what, count);
	rd_kafka_resp_err_t err = rd_kafka_topic_result_error(results[0]);
	return err ? rdkafka__fail(reterr, err, rd_kafka_topic_result_error_string(results[0]), what) : SM_OK;
}

static enum sm_err ask_create(struct rdkafka_log *k, struct topic_job *t, rd_kafka_NewTopic_t *topic, const char *what,
			      struct sm_error *reterr)
{
	char why[200];
	size_t count;
	const rd_kafka_topic_result_t **results;
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_AdminOptions_set_operation_timeout(options, RDKAFKA_PROPAGATION_MS, why, sizeof why);
	rd_kafka_AdminOptions_set_validate_only(options, t->check, why, sizeof why);
	rd_kafka_CreateTopics(rdkafka__asker(k), &topic, 1, options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, what, reterr);
	enum sm_err err = reterr->code;
	if (event) {
		results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
		err = topic_result(results, count, what, reterr);
	}
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	return err;
}

static void run_create(struct rdkafka_log *k, struct rdkafka_job *job)
{
	struct topic_job *t = (struct topic_job *)job;
	struct sm_error error = {0};
	char why[200] = "", what[350];
	int factor = t->replication_factor > 0 ? t->replication_factor : k->target.replication_factor;
	snprintf(what, sizeof what, "making topic %s", t->name);
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(t->name, t->partitions, factor, why, sizeof why);
	enum sm_err err = topic ? SM_OK : sm_fail(&error, SM_INVALID, "%s: %s", what, why);
	for (uint32_t i = 0; i < t->config_count && !err; i++)
		if (rd_kafka_NewTopic_set_config(topic, t->configs[i].name, t->configs[i].value))
			err = sm_fail(&error, SM_INVALID, "%s: %s", what, t->configs[i].name);
	if (!err)
		err = ask_create(k, t, topic, what, &error);
	if (!err && !t->check)
		err = wait_seen(k, t, t->partitions > 0 ? t->partitions : 1, &error);
	if (topic)
		rd_kafka_NewTopic_destroy(topic);
	topic_end(t, err, &error);
}

void rdkafka__topic_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *arg, const struct sm_error *error),
			   void *arg)
{
	struct topic_job *t = topic_job_new(run_create, spec->name, spec->configs, spec->config_count, done, arg);
	if (!t)
		return;
	t->partitions = spec->partitions;
	t->replication_factor = spec->replication_factor;
	t->check = spec->check;
	rdkafka__job_put(rdkafka__log_of(log), &t->job);
}

static void run_delete(struct rdkafka_log *k, struct rdkafka_job *job)
{
	struct topic_job *t = (struct topic_job *)job;
	struct sm_error error = {0};
	char why[200], what[350];
	size_t count;
	const rd_kafka_topic_result_t **results;
	snprintf(what, sizeof what, "deleting topic %s", t->name);
	rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(t->name);
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_DELETETOPICS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_AdminOptions_set_operation_timeout(options, RDKAFKA_PROPAGATION_MS, why, sizeof why);
	rd_kafka_DeleteTopics(rdkafka__asker(k), &topic, 1, options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, what, &error);
	enum sm_err err = error.code;
	if (event) {
		results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
		err = topic_result(results, count, what, &error);
	}
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_DeleteTopic_destroy(topic);
	if (!err)
		err = wait_seen(k, t, 0, &error);
	topic_end(t, err, &error);
}

void rdkafka__topic_delete(struct sm_log *log, const char *name, void (*done)(void *arg, const struct sm_error *error), void *arg)
{
	struct topic_job *t = topic_job_new(run_delete, name, NULL, 0, done, arg);
	if (t)
		rdkafka__job_put(rdkafka__log_of(log), &t->job);
}

/* ---- changes ---- */

static enum sm_err grow(struct rdkafka_log *k, struct topic_job *t, struct sm_error *reterr)
{
	char why[200] = "", what[350];
	size_t count;
	const rd_kafka_topic_result_t **results;
	snprintf(what, sizeof what, "more partitions for topic %s", t->name);
	rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new(t->name, (size_t)t->partitions, why, sizeof why);
	if (!more)
		return sm_fail(reterr, SM_INVALID, "%s: %s", what, why);
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_AdminOptions_set_operation_timeout(options, RDKAFKA_PROPAGATION_MS, why, sizeof why);
	rd_kafka_AdminOptions_set_validate_only(options, t->check, why, sizeof why);
	rd_kafka_CreatePartitions(rdkafka__asker(k), &more, 1, options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, what, reterr);
	enum sm_err err = reterr->code;
	if (event) {
		results = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
		err = topic_result(results, count, what, reterr);
	}
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_NewPartitions_destroy(more);
	return err;
}

/* AlterConfigs sets all of a topic's configs at once (the incremental call came after this librdkafka): those that are not to change are
 * sent again as they are. */
static enum sm_err alter(struct rdkafka_log *k, struct topic_job *t, const struct log_topic *now, struct sm_error *reterr)
{
	char why[200], what[350];
	size_t count;
	snprintf(what, sizeof what, "configs of topic %s", t->name);
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, t->name);
	for (uint32_t i = 0; i < now->config_count && !t->only; i++)
		if (!names(t, now->configs[i].name))
			rd_kafka_ConfigResource_set_config(resource, now->configs[i].name, now->configs[i].value);
	for (uint32_t i = 0; i < t->config_count; i++)
		if (t->configs[i].value)
			rd_kafka_ConfigResource_set_config(resource, t->configs[i].name, t->configs[i].value);
	rd_kafka_AdminOptions_t *options = rdkafka__admin_options(k, RD_KAFKA_ADMIN_OP_ALTERCONFIGS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rdkafka__asker(k));
	rd_kafka_AdminOptions_set_validate_only(options, t->check, why, sizeof why);
	rd_kafka_AlterConfigs(rdkafka__asker(k), &resource, 1, options, queue);
	rd_kafka_event_t *event = rdkafka__admin_answer(k, queue, what, reterr);
	enum sm_err err = reterr->code;
	if (event) {
		const rd_kafka_ConfigResource_t **answers = rd_kafka_AlterConfigs_result_resources(
			rd_kafka_event_AlterConfigs_result(event), &count);
		rd_kafka_resp_err_t code = count == 1 ? rd_kafka_ConfigResource_error(answers[0]) : RD_KAFKA_RESP_ERR__FAIL;
		err = code ? rdkafka__fail(reterr, code, count == 1 ? rd_kafka_ConfigResource_error_string(answers[0]) : NULL, what)
			   : SM_OK;
	}
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ConfigResource_destroy(resource);
	return err;
}

static void run_change(struct rdkafka_log *k, struct rdkafka_job *job)
{
	struct topic_job *t = (struct topic_job *)job;
	struct sm_error error = {0};
	enum sm_err err = rdkafka__topics_refresh(k, true, RDKAFKA_REQUEST_MS, &error);
	const struct log_topic *now = err ? NULL : log_topics_find(&k->picture->topics, t->name);
	if (!err && !now)
		err = sm_fail(&error, SM_NOT_FOUND, "there is no topic %s in %s", t->name, k->shown);
	if (!err && t->partitions && t->partitions < now->partitions)
		err = sm_fail(&error, SM_INVALID, "topic %s has %d partitions: there can be more, not fewer", t->name, now->partitions);
	bool more = !err && t->partitions > now->partitions;
	if (!err && (t->config_count || t->only))
		err = alter(k, t, now, &error);
	if (more && !err)
		err = grow(k, t, &error);
	if (!err && !t->check)
		err = wait_seen(k, t, t->partitions ? t->partitions : 1, &error);
	topic_end(t, err, &error);
}

void rdkafka__topic_change(struct sm_log *log, const struct log_topic_change *change, void (*done)(void *arg, const struct sm_error *error),
			   void *arg)
{
	struct topic_job *t = topic_job_new(run_change, change->name, change->configs, change->config_count, done, arg);
	if (!t)
		return;
	t->partitions = change->partitions;
	t->check = change->check;
	t->only = change->only;
	rdkafka__job_put(rdkafka__log_of(log), &t->job);
}
