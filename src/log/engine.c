/* The embedded engine: opening, closing, and the table of calls.
 *
 * LOG/
 *   lock                held while an engine is open (flock)
 *   topics.json         topics.c
 *   producer-ids        meta.c
 *   NAME-NUMBER/        a partition: segment_write.c, segment_index.c, producer_state.c */
#include "base/arena.h"
#include "log/log_internal.h"
#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>

#define SEGMENT_BYTES_DEFAULT (128u << 20)
#define CLOSE_WAIT_MS 30000

static struct engine *engine_of(struct sm_log *log)
{
	return (struct engine *)log;
}

void log__notice(void *engine, const char *text)
{
	struct engine *e = engine;
	if (!e->notice)
		return;
	pthread_mutex_lock(&e->notice_lock);
	e->notice(e->notice_arg, text);
	pthread_mutex_unlock(&e->notice_lock);
}

/* ---- calls ---- */

static void topic_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *arg, const struct sm_error *error),
			 void *arg)
{
	if (!spec->internal && (strcmp(spec->name, TOPIC_OFFSETS) == 0 || strcmp(spec->name, TOPIC_TRANSACTIONS) == 0)) {
		struct sm_error error;
		(void)!sm_fail(&error, SM_INVALID, "%s is internal: the server makes it when it is needed", spec->name);
		done(arg, &error);
		return;
	}
	log__meta_topic_create(engine_of(log), spec, spec->internal, done, arg);
}

static void topic_change(struct sm_log *log, const struct log_topic_change *change, void (*done)(void *arg, const struct sm_error *error),
			 void *arg)
{
	if (change->partitions && (strcmp(change->name, TOPIC_OFFSETS) == 0 || strcmp(change->name, TOPIC_TRANSACTIONS) == 0)) {
		struct sm_error error;
		(void)!sm_fail(&error, SM_DENIED, "%s is internal: its partitions are fixed", change->name);
		done(arg, &error);
		return;
	}
	log__meta_topic_change(engine_of(log), change, done, arg);
}

static void topic_delete(struct sm_log *log, const char *name, void (*done)(void *arg, const struct sm_error *error), void *arg)
{
	if (strcmp(name, TOPIC_OFFSETS) == 0 || strcmp(name, TOPIC_TRANSACTIONS) == 0) {
		struct sm_error error;
		(void)!sm_fail(&error, SM_DENIED, "%s is internal and cannot be deleted", name);
		done(arg, &error);
		return;
	}
	log__meta_topic_delete(engine_of(log), name, done, arg);
}

static const struct log_topics *topics(struct sm_log *log)
{
	return log__topics_picture(engine_of(log));
}

static void topics_release(struct sm_log *log, const struct log_topics *picture)
{
	log__topics_picture_release(picture);
}

static void append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
		   log_append_done done, void *arg)
{
	struct engine *e = engine_of(log);
	struct partition *p = atomic_load(&e->closing) ? NULL : log__topics_partition(e, topic, partition);
	if (!p) {
		done(arg, &(struct log_append_result){atomic_load(&e->closing) ? SM_CLOSED : SM_NOT_FOUND, -1, -1, -1});
		return;
	}
	log__partition_append(p, batches, size, flags, done, arg);
	log__partition_unref(p);
}

static enum sm_err read_at(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max, bool committed,
			   struct log_read_result *ret_result)
{
	struct partition *p = log__topics_partition(engine_of(log), topic, partition);
	if (!p)
		return SM_NOT_FOUND;
	enum sm_err err = log__partition_read(p, offset, bytes_max, committed, ret_result);
	log__partition_unref(p);
	return err;
}

struct deletion {
	struct partition *partition; /* counted */
	void (*done)(void *arg, enum sm_err err, int64_t log_start_offset);
	void *arg;
};

static void records_are_deleted(void *arg, const struct sm_error *error)
{
	struct deletion *d = arg;
	pthread_mutex_lock(&d->partition->lock);
	int64_t start = d->partition->log_start_offset;
	pthread_mutex_unlock(&d->partition->lock);
	d->done(d->arg, error ? error->code : SM_OK, start);
	log__partition_unref(d->partition);
	free(d);
}

static void records_delete(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
			   void (*done)(void *arg, enum sm_err err, int64_t log_start_offset), void *arg)
{
	struct partition *p = log__topics_partition(engine_of(log), topic, partition);
	struct deletion *d = p ? malloc(sizeof *d) : NULL;
	enum sm_err err = !p ? SM_NOT_FOUND : d ? SM_OK : SM_NO_MEMORY;
	if (d) {
		*d = (struct deletion){p, done, arg};
		err = log__partition_do(p, PARTITION_START, offset, records_are_deleted, d);
	}
	if (!err)
		return;
	free(d);
	log__partition_unref(p);
	done(arg, err == SM_GONE ? SM_NOT_FOUND : err, -1);
}

static enum sm_err readable(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, int64_t *ret_offset)
{
	int64_t end;
	struct partition *p = log__topics_partition(engine_of(log), topic, partition);
	if (!p)
		return SM_NOT_FOUND;
	enum sm_err err = log__partition_readable(p, offset, &offset);
	if (!err && !(err = log__partition_offset_for(p, LOG_LATEST, &end, NULL)))
		*ret_offset = offset < end ? offset : end;
	log__partition_unref(p);
	return err;
}

static enum sm_err partition_bytes(struct sm_log *log, const char *topic, int32_t partition, uint64_t *ret_bytes)
{
	struct partition *p = log__topics_partition(engine_of(log), topic, partition);
	if (!p)
		return SM_NOT_FOUND;
	enum sm_err err = log__partition_bytes(p, ret_bytes);
	log__partition_unref(p);
	return err;
}

static enum sm_err read_committed(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				  struct log_read_result *ret_result)
{
	return read_at(log, topic, partition, offset, bytes_max, true, ret_result);
}

static enum sm_err read_uncommitted(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				    struct log_read_result *ret_result)
{
	return read_at(log, topic, partition, offset, bytes_max, false, ret_result);
}

static void wait_for(struct sm_log *log, struct log_wait *wait)
{
	struct partition *p = log__topics_partition(engine_of(log), wait->topic, wait->partition);
	if (!p) {
		wait->engine = NULL;
		wait->done(wait, SM_NOT_FOUND);
		return;
	}
	log__partition_wait(p, wait);
	log__partition_unref(p);
}

static void wait_cancel(struct sm_log *log, struct log_wait *wait)
{
	log__wait_cancel(engine_of(log), wait);
}

static enum sm_err offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
			      int64_t *ret_timestamp_ms)
{
	struct partition *p = log__topics_partition(engine_of(log), topic, partition);
	if (!p)
		return SM_NOT_FOUND;
	enum sm_err err = log__partition_offset_for(p, what, ret_offset, ret_timestamp_ms);
	log__partition_unref(p);
	return err;
}

static void producer_id(struct sm_log *log, void (*done)(void *arg, enum sm_err err, int64_t id, int16_t epoch), void *arg)
{
	log__meta_producer_id(engine_of(log), done, arg);
}

static void offsets_commit(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
			   void (*done)(void *arg, enum sm_err err), void *arg)
{
	log__offsets_commit(engine_of(log)->offsets, group, offsets, count, done, arg);
}

static enum sm_err offsets_fetch(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count, void **ret_hold)
{
	return log__offsets_fetch(engine_of(log)->offsets, group, offsets, count, ret_hold);
}

static enum sm_err offsets_list(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
				void **ret_hold)
{
	return log__offsets_list(engine_of(log)->offsets, group, ret_offsets, ret_count, ret_hold);
}

static enum sm_err groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	return log__offsets_groups(engine_of(log)->offsets, ret_names, ret_count, ret_hold);
}

static void group_write(struct sm_log *log, const char *group, const struct log_group_record *records, uint32_t count,
			void (*done)(void *arg, enum sm_err err), void *arg)
{
	log__group_write(engine_of(log)->offsets, group, records, count, done, arg);
}

static enum sm_err group_read(struct sm_log *log, const char *group, struct log_group_record **ret_records, uint32_t *ret_count,
			      void **ret_hold)
{
	return log__group_read(engine_of(log)->offsets, group, ret_records, ret_count, ret_hold);
}

static enum sm_err groups_kept(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	return log__groups_kept(engine_of(log)->offsets, ret_names, ret_count, ret_hold);
}

static void offsets_release(struct sm_log *log, void *hold)
{
	if (!hold)
		return;
	arena_done(hold);
	free(hold);
}

/* ---- transactions ---- */

static void txn_end(struct sm_log *log, const char *topic, int32_t partition, const struct log_txn_marker *marker, log_append_done done,
		    void *arg)
{
	struct engine *e = engine_of(log);
	struct partition *p = atomic_load(&e->closing) ? NULL : log__topics_partition(e, topic, partition);
	if (!p)
		done(arg, &(struct log_append_result){atomic_load(&e->closing) ? SM_CLOSED : SM_NOT_FOUND, -1, -1, -1});
	else if (strcmp(topic, TOPIC_OFFSETS) == 0)
		log__offsets_txn_end(e->offsets, p, marker, done, arg);
	else
		log__partition_txn_end(p, marker, done, arg);
	log__partition_unref(p);
}

static void offsets_commit_txn(struct sm_log *log, const char *group, int64_t producer_id, int16_t epoch,
			       const struct log_group_offset *offsets, uint32_t count, void (*done)(void *arg, enum sm_err err), void *arg)
{
	log__offsets_commit_txn(engine_of(log)->offsets, group, producer_id, epoch, offsets, count, done, arg);
}

static int32_t offsets_partition(struct sm_log *log, const char *group)
{
	return log__offsets_partition(group);
}

static void producers(struct sm_log *log, const char *topic, int32_t partition,
		      void (*done)(void *arg, enum sm_err err, struct log_producer *producers, uint32_t count), void *arg)
{
	struct engine *e = engine_of(log);
	struct partition *p = atomic_load(&e->closing) ? NULL : log__topics_partition(e, topic, partition);
	if (!p)
		done(arg, atomic_load(&e->closing) ? SM_CLOSED : SM_NOT_FOUND, NULL, 0);
	else
		log__partition_producers(p, done, arg);
	log__partition_unref(p);
}

/* ---- closing ---- */

struct latch {
	sem_t done;
	pthread_mutex_t lock;
	struct sm_error first; /* the first error of all */
};

static void latch_post(void *arg, const struct sm_error *error)
{
	struct latch *l = arg;
	pthread_mutex_lock(&l->lock);
	if (error && !l->first.code && error->code != SM_CLOSED)
		l->first = *error;
	sem_post(&l->done);
	pthread_mutex_unlock(&l->lock);
}

static void latch_wait(struct latch *l, uint32_t count)
{
	while (count)
		if (sem_wait(&l->done) == 0)
			count--;
	/* the last poster has let go of it */
	pthread_mutex_lock(&l->lock);
	pthread_mutex_unlock(&l->lock);
}

/* Actors that end and appends that nobody took up are answered by their dispatchers: give them the time. */
static void wait_for_quiet(struct engine *e)
{
	for (int ms = 0; atomic_load(&e->live) > 0 && ms < CLOSE_WAIT_MS; ms++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static enum sm_err engine_close(struct engine *e, struct sm_error *reterr)
{
	struct latch latch = {.first = {.code = SM_OK}};
	sem_init(&latch.done, 0, 0);
	pthread_mutex_init(&latch.lock, NULL);
	atomic_store(&e->closing, true);
	if (e->meta && e->meta_runs) {
		log__meta_stop(e, latch_post, &latch);
		latch_wait(&latch, 1);
	}
	uint32_t count = 0;
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (map_next(&e->topics, &pos, &key, &value)) {
		struct topic *t = value;
		for (int32_t i = 0; i < t->partition_count; i++)
			if (t->partitions[i] && !log__partition_do(t->partitions[i], PARTITION_CLOSE, 0, latch_post, &latch))
				count++;
	}
	latch_wait(&latch, count);
	wait_for_quiet(e);
	enum sm_err err = latch.first.code;
	if (err && reterr)
		*reterr = latch.first;
	sem_destroy(&latch.done);
	pthread_mutex_destroy(&latch.lock);
	if (atomic_load(&e->live) > 0) /* somebody still uses it: rather leak than crash */
		return err ? err : sm_fail(reterr, SM_TIMEOUT, "the log did not come to rest in %d s", CLOSE_WAIT_MS / 1000);

	log__bulk_quiet(&e->bulk, true);
	log__scrubber_free(e);
	log__offsets_close(e->offsets);
	log__topics_done(e);
	log__meta_free(e);
	if (e->lock_file.fd >= 0)
		e->io->ops->close(e->io, &e->lock_file);
	log__files_done(&e->files);
	log__bulk_done(&e->bulk);
	pthread_mutex_destroy(&e->lock);
	pthread_mutex_destroy(&e->waits_lock);
	pthread_mutex_destroy(&e->notice_lock);
	free(e->dir);
	free(e);
	return err;
}

static enum sm_err close_log(struct sm_log *log, struct sm_error *reterr)
{
	return engine_close(engine_of(log), reterr);
}

static const struct log_ops ops = {
	.topic_create = topic_create,
	.topic_change = topic_change,
	.topic_delete = topic_delete,
	.records_delete = records_delete,
	.partition_bytes = partition_bytes,
	.readable = readable,
	.topics = topics,
	.topics_release = topics_release,
	.append = append,
	.read = read_committed,
	.read_uncommitted = read_uncommitted,
	.wait = wait_for,
	.wait_cancel = wait_cancel,
	.offset_for = offset_for,
	.producer_id = producer_id,
	.offsets_commit = offsets_commit,
	.offsets_fetch = offsets_fetch,
	.offsets_list = offsets_list,
	.groups = groups,
	.group_write = group_write,
	.group_read = group_read,
	.groups_kept = groups_kept,
	.offsets_release = offsets_release,
	.txn_end = txn_end,
	.offsets_commit_txn = offsets_commit_txn,
	.offsets_partition = offsets_partition,
	.producers = producers,
	.close = close_log,
};

/* ---- opening ---- */

static enum sm_err lock_take(struct engine *e, struct sm_error *reterr)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/lock", e->dir);
	enum sm_err err = e->io->ops->open(e->io, path, IO_WRITE | IO_CREATE, &e->lock_file, reterr);
	if (err) {
		e->lock_file.fd = -1;
		return err;
	}
	if (flock(e->lock_file.fd, LOCK_EX | LOCK_NB) == 0)
		return SM_OK;
	return errno == EWOULDBLOCK ? sm_fail(reterr, SM_BUSY, "%s is in use by another process", e->dir)
				    : sm_fail_errno(reterr, errno, "cannot lock %s", path);
}

enum sm_err log_embedded_open(const struct log_embedded_options *options, struct sm_log **ret_log, struct sm_error *reterr)
{
	struct engine *e = calloc(1, sizeof *e);
	if (!e || !(e->dir = strdup(options->dir))) {
		free(e);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	e->log.ops = &ops;
	e->system = options->system;
	e->io = options->io ? options->io : &io_system;
	e->clock = options->clock ? options->clock : &clock_system;
	e->segment_bytes = options->segment_bytes ? options->segment_bytes : SEGMENT_BYTES_DEFAULT;
	e->retention_ms = (int64_t)options->retention_ms;
	e->sync_interval_ms = options->sync_interval_ms;
	e->scrub_interval_ms = options->scrub_interval_ms;
	e->notice = options->notice;
	e->notice_arg = options->notice_arg;
	e->ack_before_sync = options->ack_before_sync;
	e->compact_keys_max = LOG_COMPACT_KEYS_MAX;
	e->checkpoint_bytes = LOG_CHECKPOINT_BYTES;
	log__files_init(&e->files, options->files_max);
	log__bulk_init(&e->bulk, e->system, options->direct_bytes);
	e->lock_file.fd = -1;
	map_init(&e->topics);
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->waits_lock, NULL);
	pthread_mutex_init(&e->notice_lock, NULL);

	enum sm_err err = SM_OK;
	if (e->segment_bytes > INT32_MAX)
		err = sm_fail(reterr, SM_INVALID, "a segment of %llu bytes is larger than 2 GiB", (unsigned long long)e->segment_bytes);
#ifndef SMACK_PLANT_FAULTS
	if (e->ack_before_sync)
		err = sm_fail(reterr, SM_INVALID, "this build has no planted faults");
#endif
	if (!err && log__scrubber_new(e))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (err || (err = io_mkdir_all(e->io, e->dir, reterr)) || (err = lock_take(e, reterr)) || (err = log__meta_start(e, reterr)) ||
	    (err = log__topics_read(e, reterr)) || (err = log__offsets_open(e, &e->offsets, reterr))) {
		(void)!engine_close(e, NULL);
		return err;
	}
	*ret_log = &e->log;
	return SM_OK;
}
