/* What the tests of this room share. */
#ifndef LOG_TESTING_H
#define LOG_TESTING_H

#include "log/log_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define T0 INT64_C(1574553617004)

struct bench_log {
	struct sm_system *system;
	struct sm_log *log;
	char dir[64];
	char notices[4096];
	struct log_embedded_options options;
};

static inline void testing_notice(void *arg, const char *text)
{
	struct bench_log *b = arg;
	size_t used = strlen(b->notices);
	snprintf(b->notices + used, sizeof b->notices - used, "%s\n", text);
}

static inline void testing_dir(struct bench_log *b)
{
	/* Memory where there is some: thousands of syncs of a real disk say no more here. */
	snprintf(b->dir, sizeof b->dir, "%s/smack-log-test-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(b->dir));
}

static inline void testing_system(struct bench_log *b)
{
	struct sm_error error;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 2};
	if (sm_system_new(&options, &b->system, &error))
		fail_msg("%s", error.text);
}

static inline enum sm_err testing_try_open(struct bench_log *b, struct sm_error *error)
{
	b->notices[0] = 0;
	b->options.system = b->system;
	b->options.dir = b->dir;
	b->options.notice = testing_notice;
	b->options.notice_arg = b;
	return log_embedded_open(&b->options, &b->log, error);
}

static inline void testing_open(struct bench_log *b)
{
	struct sm_error error;
	if (testing_try_open(b, &error))
		fail_msg("%s", error.text);
}

static inline void testing_close(struct bench_log *b)
{
	struct sm_error error;
	if (b->log->ops->close(b->log, &error))
		fail_msg("%s", error.text);
	b->log = NULL;
}

static inline void testing_begin(struct bench_log *b)
{
	memset(b, 0, sizeof *b);
	testing_dir(b);
	testing_system(b);
	testing_open(b);
}

static inline void testing_end(struct bench_log *b)
{
	if (b->log)
		testing_close(b);
	assert_int_equal(sm_system_stop(b->system, 10000), SM_OK);
	assert_int_equal(io_remove_tree(&io_system, b->dir, NULL), SM_OK);
}

static inline void testing_reopen(struct bench_log *b)
{
	testing_close(b);
	testing_open(b);
}

static inline void testing_topic(struct bench_log *b, const char *name, int32_t partitions, const char *config, const char *value)
{
	struct sm_error error;
	struct log_config c = {config, value};
	struct log_topic_spec spec = {name, partitions, 1, &c, config ? 1 : 0};
	if (log_topic_create_wait(b->log, &spec, &error))
		fail_msg("%s", error.text);
}

/* A batch of `count` records "NAME-i", i from first on, each padded to `size` bytes; appended to out. */
static inline void testing_batch_put(struct buf *out, const char *name, int first, int count, size_t size, int64_t producer_id,
				     int16_t epoch, int32_t sequence)
{
	struct batch_builder builder;
	batch_begin(&builder, out, CODEC_NONE);
	if (producer_id >= 0)
		batch_set_producer(&builder, producer_id, epoch, sequence);
	char *value = calloc(1, size + 64);
	for (int i = first; i < first + count; i++) {
		int n = sprintf(value, "%s-%d", name, i);
		memset(value + n, '.', size > (size_t)n ? size - (size_t)n : 0);
		batch_add(&builder,
			  &(struct record){
				  .timestamp_ms = T0 + i, .key_null = true, .value = bytes_of(value, size > (size_t)n ? size : (size_t)n)},
			  NULL, 0);
	}
	free(value);
	assert_int_equal(batch_end(&builder), SM_OK);
}

static inline enum sm_err testing_try_append(struct bench_log *b, const char *topic, int32_t partition, int first, int count, size_t size,
					     int64_t *ret_offset)
{
	struct buf out;
	buf_init(&out);
	testing_batch_put(&out, topic, first, count, size, -1, -1, -1);
	enum sm_err err = log_append_wait(b->log, topic, partition, out.data + out.start, buf_size(&out), ret_offset);
	buf_done(&out);
	return err;
}

static inline int64_t testing_append(struct bench_log *b, const char *topic, int32_t partition, int first, int count, size_t size)
{
	int64_t offset = -1;
	assert_int_equal(testing_try_append(b, topic, partition, first, count, size, &offset), SM_OK);
	return offset;
}

/* A topic's partition from offset on, as readers get it; visit is given each batch (its CRC is right) with the read that it came from.
 * Returns the offset after the last one. */
struct testing_walk {
	const char *topic;
	int32_t partition;
	int64_t offset;
	size_t bytes_max;
	bool uncommitted;
	void (*visit)(void *arg, const struct log_read_result *read, struct batch_reader *batch);
	void *arg;
};
static inline int64_t testing_walk(struct bench_log *b, struct testing_walk w)
{
	uint8_t *buffer = NULL;
	size_t cap = 0;
	for (;;) {
		struct log_read_result r;
		struct bytes data;
		const struct log_ops *ops = b->log->ops;
		assert_int_equal(
			(w.uncommitted ? ops->read_uncommitted : ops->read)(b->log, w.topic, w.partition, w.offset, w.bytes_max, &r),
			SM_OK);
		if (r.slice.size == 0)
			break;
		assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
		while (data.size) {
			struct batch_reader batch;
			assert_int_equal(batch_reader_init(&batch, data), SM_OK);
			assert_true(batch_crc_ok(data, &batch.info));
			w.visit(w.arg, &r, &batch);
			w.offset = batch.info.base_offset + batch.info.last_offset_delta + 1;
			data = bytes_of(data.data + batch.info.size, data.size - batch.info.size);
			batch_reader_done(&batch);
		}
		log_slice_done(&r.slice);
	}
	free(buffer);
	return w.offset;
}

struct testing_expect {
	const char *topic;
	int64_t offset; /* of the next record */
	int first, count;
};
static inline void testing_expect(void *arg, const struct log_read_result *read, struct batch_reader *batch)
{
	struct testing_expect *e = arg;
	struct record record;
	while (batch_next(batch, &record) == SM_OK) {
		if (record.offset < e->offset)
			continue;
		char want[300];
		int n = snprintf(want, sizeof want, "%s-%d", e->topic, e->first + e->count);
		if (record.offset != e->offset || record.value.size < (size_t)n || memcmp(record.value.data, want, (size_t)n) != 0)
			fail_msg("offset %lld (want %lld): value %.*s, want %s", (long long)record.offset, (long long)e->offset,
				 (int)record.value.size, (const char *)record.value.data, want);
		e->offset++;
		e->count++;
	}
}

/* Read all from `offset` on and check that record i says "TOPIC-i" (i from first on); gives the number of records. */
static inline int testing_check(struct bench_log *b, const char *topic, int32_t partition, int64_t offset, int first, size_t bytes_max)
{
	struct testing_expect e = {topic, offset, first, 0};
	testing_walk(b, (struct testing_walk){topic, partition, offset, bytes_max, false, testing_expect, &e});
	return e.count;
}

#endif
