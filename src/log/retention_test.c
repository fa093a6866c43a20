#include "log/testing.h"
#include <semaphore.h>

struct gone {
	sem_t done;
	enum sm_err err;
};

static void is_done(void *arg, const struct sm_error *error)
{
	struct gone *g = arg;
	g->err = error ? error->code : SM_OK;
	sem_post(&g->done);
}

static void retention(struct bench_log *b)
{
	struct gone g;
	struct partition *p = log__topics_partition((struct engine *)b->log, "t", 0);
	sem_init(&g.done, 0, 0);
	assert_int_equal(log__partition_do(p, PARTITION_RETENTION, 0, is_done, &g), SM_OK);
	sem_wait(&g.done);
	assert_int_equal(g.err, SM_OK);
	log__partition_unref(p);
}

static int64_t earliest(struct bench_log *b)
{
	int64_t offset, time;
	assert_int_equal(b->log->ops->offset_for(b->log, "t", 0, LOG_EARLIEST, &offset, &time), SM_OK);
	return offset;
}

static void retention_by_bytes_drops_whole_old_segments(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	b.options.segment_bytes = 20000;
	testing_reopen(&b);
	testing_topic(&b, "t", 1, "retention.bytes", "30000");
	for (int i = 0; i < 100; i++)
		testing_append(&b, "t", 0, i, 1, 1000);
	struct log_read_result r;
	assert_int_equal(b.log->ops->read(b.log, "t", 0, 0, 1 << 20, &r), SM_OK);
	retention(&b);
	int64_t first = earliest(&b);
	assert_in_range(first, 55, 75); /* 30,000 bytes and what more the oldest segment holds */
	assert_int_equal(testing_check(&b, "t", 0, first, (int)first, 1 << 20), 100 - first);
	uint8_t *buffer = NULL;
	size_t cap = 0;
	struct bytes data;
	assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK); /* a reader still has its file */
	free(buffer);
	log_slice_done(&r.slice);
	assert_int_equal(b.log->ops->read(b.log, "t", 0, 0, 1 << 20, &r), SM_OUT_OF_RANGE);
	testing_reopen(&b);
	assert_int_equal(earliest(&b), first);
	assert_int_equal(testing_append(&b, "t", 0, 100, 1, 10), 100);
	testing_end(&b);
}

static void retention_by_time_also_takes_the_last_segment_and_keeps_the_next_offset(void **state)
{
	struct bench_log b;
	struct clock_manual clock;
	testing_begin(&b);
	clock_manual_init(&clock, (uint64_t)(T0 + 500) * 1000);
	b.options.segment_bytes = 20000;
	b.options.clock = &clock.clock;
	testing_reopen(&b);
	testing_topic(&b, "t", 1, "retention.ms", "1000");
	for (int i = 0; i < 100; i++)
		testing_append(&b, "t", 0, i, 1, 1000);
	retention(&b);
	assert_int_equal(earliest(&b), 0);
	clock.now_us += 540000; /* the first 40 records are older than a second */
	retention(&b);
	assert_in_range(earliest(&b), 20, 40);
	clock.now_us += 10000000;
	retention(&b);
	assert_int_equal(earliest(&b), 100);
	testing_reopen(&b);
	assert_int_equal(earliest(&b), 100);
	assert_int_equal(testing_append(&b, "t", 0, 100, 2, 10), 100);
	assert_int_equal(testing_check(&b, "t", 0, 100, 100, 1 << 20), 2);
	testing_end(&b);
}

static void log_append_time_is_stamped_and_told(void **state)
{
	struct bench_log b;
	struct clock_manual clock;
	int64_t offset, time;
	testing_begin(&b);
	clock_manual_init(&clock, (uint64_t)(T0 + 123456) * 1000);
	b.options.clock = &clock.clock;
	testing_reopen(&b);
	testing_topic(&b, "t", 1, "message.timestamp.type", "LogAppendTime");
	testing_append(&b, "t", 0, 0, 3, 10);
	assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, T0 + 100, &offset, &time), SM_OK);
	assert_int_equal(offset, 0);
	assert_int_equal(time, T0 + 123456);
	testing_reopen(&b);
	assert_int_equal(testing_check(&b, "t", 0, 0, 0, 100), 3);
	testing_end(&b);
}

struct count {
	sem_t done;
	atomic_int full, stored, other;
};

static void counted(void *arg, const struct log_append_result *result)
{
	struct count *c = arg;
	atomic_fetch_add(result->err == SM_FULL ? &c->full : result->err ? &c->other : &c->stored, 1);
	sem_post(&c->done);
}

static void what_waits_is_bounded_and_nothing_is_dropped_silently(void **state)
{
	struct bench_log b;
	struct count c = {.full = 0};
	struct buf out;
	int sent = 200;
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	sem_init(&c.done, 0, 0);
	buf_init(&out);
	testing_batch_put(&out, "t", 0, 1, 1000000, -1, -1, -1);
	uint8_t **copies = calloc((size_t)sent, sizeof *copies);
	for (int i = 0; i < sent; i++) {
		copies[i] = malloc(buf_size(&out));
		memcpy(copies[i], out.data + out.start, buf_size(&out));
	}
	for (int i = 0; i < sent; i++)
		b.log->ops->append(b.log, "t", 0, copies[i], buf_size(&out), 0, counted, &c);
	for (int i = 0; i < sent; i++)
		sem_wait(&c.done);
	assert_int_equal(c.other, 0);
	assert_int_equal(c.full + c.stored, sent);
	int64_t offset, time;
	assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, LOG_LATEST, &offset, &time), SM_OK);
	assert_int_equal(offset, c.stored);
	for (int i = 0; i < sent; i++)
		free(copies[i]);
	free(copies);
	buf_done(&out);
	testing_end(&b);
}

static void append_without_acks_needs_its_bytes_no_longer(void **state)
{
	struct bench_log b;
	struct count c = {.full = 0};
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	sem_init(&c.done, 0, 0);
	for (int i = 0; i < 10; i++) {
		struct buf out;
		buf_init(&out);
		testing_batch_put(&out, "t", i, 1, 100, -1, -1, -1);
		b.log->ops->append(b.log, "t", 0, out.data + out.start, buf_size(&out), LOG_ACKS_NONE, counted, &c);
		sem_wait(&c.done);
		memset(out.data, 0xee, out.end);
		buf_done(&out);
	}
	assert_int_equal(testing_append(&b, "t", 0, 10, 1, 100), 10);
	assert_int_equal(testing_check(&b, "t", 0, 0, 0, 1 << 20), 11);
	testing_end(&b);
}

static bool slice_is_open(const struct log_slice *slice)
{
	uint8_t byte;
	return pread(slice->fd, &byte, 1, (off_t)slice->file_at) == 1;
}

static void two_readers_of_a_dropped_segment_keep_its_file(void **state)
{
	struct bench_log b;
	struct log_read_result first, second;
	testing_begin(&b);
	b.options.segment_bytes = 20000;
	testing_reopen(&b);
	testing_topic(&b, "t", 1, "retention.bytes", "30000");
	for (int i = 0; i < 100; i++)
		testing_append(&b, "t", 0, i, 1, 1000);
	assert_int_equal(b.log->ops->read(b.log, "t", 0, 0, 1 << 20, &first), SM_OK);
	assert_int_equal(b.log->ops->read(b.log, "t", 0, 0, 1 << 20, &second), SM_OK);
	retention(&b);
	assert_true(earliest(&b) > 0);
	log_slice_done(&first.slice);
	assert_true(slice_is_open(&second.slice)); /* else its number may be another file's by now */
	log_slice_done(&second.slice);
	testing_end(&b);
}

static void job_that_is_queued_behind_a_close_is_answered(void **state)
{
	struct bench_log b;
	struct gone closed, late;
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	testing_append(&b, "t", 0, 0, 1, 100);
	struct partition *p = log__topics_partition((struct engine *)b.log, "t", 0);
	sem_init(&closed.done, 0, 0);
	sem_init(&late.done, 0, 0);
	assert_int_equal(log__partition_do(p, PARTITION_CLOSE, 0, is_done, &closed), SM_OK);
	bool queued = log__partition_do(p, PARTITION_RETENTION, 0, is_done, &late) == SM_OK;
	sem_wait(&closed.done);
	if (queued)
		sem_wait(&late.done);
	log__partition_unref(p);
	uint64_t start = clock_monotonic_ns(&clock_system);
	testing_end(&b);
	assert_true(clock_monotonic_ns(&clock_system) - start < 10000000000u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retention_by_bytes_drops_whole_old_segments),
		cmocka_unit_test(retention_by_time_also_takes_the_last_segment_and_keeps_the_next_offset),
		cmocka_unit_test(log_append_time_is_stamped_and_told),
		cmocka_unit_test(what_waits_is_bounded_and_nothing_is_dropped_silently),
		cmocka_unit_test(two_readers_of_a_dropped_segment_keep_its_file),
		cmocka_unit_test(job_that_is_queued_behind_a_close_is_answered),
		cmocka_unit_test(append_without_acks_needs_its_bytes_no_longer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
