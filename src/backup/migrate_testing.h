/* Two embedded logs, and a target whose appends fail on demand. */
#ifndef BACKUP_MIGRATE_TESTING_H
#define BACKUP_MIGRATE_TESTING_H

#include "backup/migrate.h"
#include "base/buf.h"
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define T0 INT64_C(1574553617004)

/* The target as the migration sees it: the log behind it, but for the append that is to fail. */
struct faulty_log {
	struct sm_log log; /* first */
	struct sm_log *inner;
	long appends, fail_at; /* the Nth append (0: none) is answered SM_UNAVAILABLE, ... */
	bool arrives;          /* ... but was made, */
	bool in_part;          /* with its first batch only */
	long intrude_at;       /* before the Nth append comes one of somebody else */
	long commits, fail_commit_at;
	bool same_ids; /* all topics have the same id, as of an engine that tells none */
	struct log_topics picture;
	const struct log_topics *real;
	struct log_topic items[16];
};
struct two_logs {
	struct sm_system *systems[2];  /* the names of an engine's actors are its own */
	struct sm_log *source, *inner; /* the embedded ones */
	struct faulty_log target;
	char dir[64], state[80];
	char said[16384];
	struct migrate_log_options options;
};

static inline struct faulty_log *faulty_of(struct sm_log *log)
{
	return (struct faulty_log *)log;
}

static inline void faulty_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *, const struct sm_error *),
				 void *arg)
{
	faulty_of(log)->inner->ops->topic_create(faulty_of(log)->inner, spec, done, arg);
}

static inline void faulty_change(struct sm_log *log, const struct log_topic_change *change, void (*done)(void *, const struct sm_error *),
				 void *arg)
{
	faulty_of(log)->inner->ops->topic_change(faulty_of(log)->inner, change, done, arg);
}

static inline const struct log_topics *faulty_topics(struct sm_log *log)
{
	struct faulty_log *f = faulty_of(log);
	const struct log_topics *real = f->inner->ops->topics(f->inner);
	if (!f->same_ids)
		return real;
	assert_true(real->count <= 16);
	for (uint32_t i = 0; i < real->count; i++) {
		f->items[i] = real->items[i];
		memset(&f->items[i].id, 0, sizeof f->items[i].id);
	}
	f->picture = (struct log_topics){f->items, real->count};
	f->real = real;
	return &f->picture;
}

static inline void faulty_topics_release(struct sm_log *log, const struct log_topics *topics)
{
	struct faulty_log *f = faulty_of(log);
	f->inner->ops->topics_release(f->inner, topics == &f->picture ? f->real : topics);
}

static inline void two_intrude(struct sm_log *log, const char *topic, int32_t partition)
{
	struct buf out;
	struct batch_builder builder;
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_NONE);
	batch_add(&builder, &(struct record){.timestamp_ms = T0, .key_null = true, .value = BYTES("mine")}, NULL, 0);
	assert_int_equal(batch_end(&builder), SM_OK);
	assert_int_equal(log_append_wait(log, topic, partition, out.data + out.start, buf_size(&out), NULL), SM_OK);
	buf_done(&out);
}

static inline void faulty_append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
				 log_append_done done, void *arg)
{
	struct faulty_log *f = faulty_of(log);
	const struct log_append_result lost = {.err = SM_UNAVAILABLE, .base_offset = -1};
	struct batch_info first;
	if (++f->appends == f->intrude_at)
		two_intrude(f->inner, topic, partition);
	if (f->appends != f->fail_at) {
		f->inner->ops->append(f->inner, topic, partition, batches, size, flags, done, arg);
		return;
	}
	int64_t offset;
	assert_int_equal(batch_parse(bytes_of(batches, size), &first), SM_OK);
	if (f->arrives)
		assert_int_equal(log_append_wait(f->inner, topic, partition, batches, f->in_part ? first.size : size, &offset), SM_OK);
	done(arg, &lost);
}

static inline enum sm_err faulty_read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				      struct log_read_result *ret)
{
	return faulty_of(log)->inner->ops->read(faulty_of(log)->inner, topic, partition, offset, bytes_max, ret);
}

static inline enum sm_err faulty_offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
					    int64_t *ret_timestamp_ms)
{
	return faulty_of(log)->inner->ops->offset_for(faulty_of(log)->inner, topic, partition, what, ret_offset, ret_timestamp_ms);
}

static inline void faulty_commit(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
				 void (*done)(void *, enum sm_err), void *arg)
{
	struct faulty_log *f = faulty_of(log);
	if (++f->commits == f->fail_commit_at)
		done(arg, SM_UNAVAILABLE);
	else
		f->inner->ops->offsets_commit(f->inner, group, offsets, count, done, arg);
}

static inline enum sm_err faulty_fetch(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count, void **hold)
{
	return faulty_of(log)->inner->ops->offsets_fetch(faulty_of(log)->inner, group, offsets, count, hold);
}

static inline void faulty_release(struct sm_log *log, void *hold)
{
	faulty_of(log)->inner->ops->offsets_release(faulty_of(log)->inner, hold);
}

static const struct log_ops faulty_ops = {
	.topic_create = faulty_create,
	.topic_change = faulty_change,
	.topics = faulty_topics,
	.topics_release = faulty_topics_release,
	.append = faulty_append,
	.read = faulty_read,
	.offset_for = faulty_offset_for,
	.offsets_commit = faulty_commit,
	.offsets_fetch = faulty_fetch,
	.offsets_release = faulty_release,
};

static inline void two_say(void *arg, enum migrate_say kind, const char *text)
{
	struct two_logs *b = arg;
	size_t used = strlen(b->said);
	snprintf(b->said + used, sizeof b->said - used, "%s%s\n", kind == MIGRATE_WARNING ? "! " : "", text);
}

static inline struct sm_log *two_open(struct two_logs *b, struct sm_system **system, const char *name)
{
	char dir[128];
	struct sm_log *log;
	struct sm_error error;
	snprintf(dir, sizeof dir, "%s/%s", b->dir, name);
	struct sm_system_options threads = {.dispatchers = 1, .pool_threads = 2};
	if (sm_system_new(&threads, system, &error))
		fail_msg("%s", error.text);
	struct log_embedded_options options = {.system = *system, .dir = dir};
	if (log_embedded_open(&options, &log, &error))
		fail_msg("%s", error.text);
	return log;
}

static inline void two_begin(struct two_logs *b)
{
	memset(b, 0, sizeof *b);
	snprintf(b->dir, sizeof b->dir, "%s/smack-migrate-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->state, sizeof b->state, "%s/state", b->dir);
	b->source = two_open(b, &b->systems[0], "source");
	b->inner = two_open(b, &b->systems[1], "target");
	b->target = (struct faulty_log){.log = {&faulty_ops}, .inner = b->inner};
	b->options = (struct migrate_log_options){.source = b->source,
						  .target = &b->target.log,
						  .source_name = "here",
						  .target_name = "there",
						  .state_dir = b->state,
						  .say = two_say,
						  .arg = b};
}

static inline void two_end(struct two_logs *b)
{
	assert_int_equal(b->source->ops->close(b->source, NULL), SM_OK);
	assert_int_equal(b->inner->ops->close(b->inner, NULL), SM_OK);
	for (int i = 0; i < 2; i++)
		assert_int_equal(sm_system_stop(b->systems[i], 10000), SM_OK);
	assert_int_equal(io_remove_tree(&io_system, b->dir, NULL), SM_OK);
}

static inline void two_topic(struct sm_log *log, const char *name, int32_t partitions, const struct log_config *configs, uint32_t count)
{
	struct sm_error error;
	struct log_topic_spec spec = {
		.name = name, .partitions = partitions, .replication_factor = 1, .configs = configs, .config_count = count};
	if (log_topic_create_wait(log, &spec, &error))
		fail_msg("%s", error.text);
}

/* What kinds of records there are; i picks one. */
static inline void two_add(struct batch_builder *builder, int i)
{
	char key[32], value[200];
	int key_size = snprintf(key, sizeof key, "key-%d", i % 7), value_size = snprintf(value, sizeof value, "value-%d", i);
	memset(value + value_size, '.', sizeof value - (size_t)value_size);
	const struct record_header headers[] = {
		{BYTES("a"), bytes_of(key, (size_t)key_size), false}, {BYTES(""), {NULL, 0}, true}, {BYTES("empty"), BYTES(""), false}};
	struct record record = {.timestamp_ms = T0 - 1000 * (i % 5) + i,
				.key = bytes_of(key, (size_t)(i % 11 ? key_size : 0)),
				.key_null = i % 5 == 0,
				.value = bytes_of(value, i % 13 ? sizeof value : 0),
				.value_null = i % 17 == 0};
	batch_add(builder, &record, headers, (uint32_t)(i % 4));
}

/* Records first..first+count-1 as one batch; producer -1: a plain one, else of its transaction. */
static inline int64_t two_put(struct sm_log *log, const char *topic, int32_t partition, int first, int count, enum codec codec)
{
	struct buf out;
	struct batch_builder builder;
	int64_t offset = -1;
	buf_init(&out);
	batch_begin(&builder, &out, codec);
	for (int i = first; i < first + count; i++)
		two_add(&builder, i);
	assert_int_equal(batch_end(&builder), SM_OK);
	assert_int_equal(log_append_wait(log, topic, partition, out.data + out.start, buf_size(&out), &offset), SM_OK);
	buf_done(&out);
	return offset;
}

static inline int64_t two_end_of(struct sm_log *log, const char *topic, int32_t partition)
{
	int64_t offset;
	assert_int_equal(log->ops->offset_for(log, topic, partition, LOG_LATEST, &offset, NULL), SM_OK);
	return offset;
}

/* Runs; what it says is in said. */
static inline enum sm_err two_run(struct two_logs *b, struct migrate_log_report **ret_report, struct sm_error *error)
{
	b->said[0] = 0;
	return migrate_log(&b->options, ret_report, error);
}

/* Runs without an error and without a difference; gives how many records came over. */
static inline uint64_t two_copied(struct two_logs *b)
{
	struct migrate_log_report *report;
	struct sm_error error;
	uint64_t copied = 0;
	if (two_run(b, &report, &error))
		fail_msg("%s", error.text);
	for (uint32_t i = 0; i < report->row_count; i++) {
		const struct migrate_log_row *row = &report->rows[i];
		if (!row->same)
			fail_msg("%s-%d: %s", row->topic, (int)row->partition, row->difference);
		copied += row->copied;
	}
	assert_int_equal(report->differences, 0);
	migrate_log_report_free(report);
	return copied;
}

struct two_commit {
	sem_t done;
	enum sm_err err;
};

static inline void two_is_committed(void *arg, enum sm_err err)
{
	struct two_commit *c = arg;
	c->err = err;
	sem_post(&c->done);
}

static inline void two_commit(struct sm_log *log, const char *group, const char *topic, int32_t partition, int64_t offset)
{
	struct two_commit c = {.err = SM_OK};
	struct log_group_offset o = {.topic = topic, .partition = partition, .offset = offset, .leader_epoch = 3, .metadata = "note"};
	sem_init(&c.done, 0, 0);
	log->ops->offsets_commit(log, group, &o, 1, two_is_committed, &c);
	sem_wait(&c.done);
	assert_int_equal(c.err, SM_OK);
}

static inline int64_t two_committed(struct sm_log *log, const char *group, const char *topic, int32_t partition)
{
	void *hold;
	struct log_group_offset o = {.topic = topic, .partition = partition};
	assert_int_equal(log->ops->offsets_fetch(log, group, &o, 1, &hold), SM_OK);
	if (o.offset >= 0)
		assert_string_equal(o.metadata, "note");
	log->ops->offsets_release(log, hold);
	return o.offset;
}

#endif
