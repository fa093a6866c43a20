/* Topics that change while they are there: configs, partitions, where a partition begins; also when any write fails. */
#include "log/testing.h"
#include <errno.h>
#include <semaphore.h>

static enum sm_err change(struct bench_log *b, struct log_topic_change c)
{
	struct sm_error error = {0};
	return log_topic_change_wait(b->log, &c, &error);
}

struct deleted {
	sem_t done;
	enum sm_err err;
	int64_t start;
};

static void is_deleted(void *arg, enum sm_err err, int64_t log_start_offset)
{
	struct deleted *d = arg;
	d->err = err;
	d->start = log_start_offset;
	sem_post(&d->done);
}

static enum sm_err delete_before(struct bench_log *b, const char *topic, int32_t partition, int64_t offset, int64_t *ret_start)
{
	struct deleted d;
	sem_init(&d.done, 0, 0);
	b->log->ops->records_delete(b->log, topic, partition, offset, is_deleted, &d);
	while (sem_wait(&d.done))
		;
	sem_destroy(&d.done);
	*ret_start = d.start;
	return d.err;
}

static int64_t first_offset(struct bench_log *b, const char *topic)
{
	int64_t offset = -1;
	assert_int_equal(b->log->ops->offset_for(b->log, topic, 0, LOG_EARLIEST, &offset, NULL), SM_OK);
	return offset;
}

static const char *config_of(struct bench_log *b, const char *topic, const char *name, char out[64])
{
	const struct log_topics *topics = b->log->ops->topics(b->log);
	const struct log_topic *t = log_topics_find(topics, topic);
	strcpy(out, "-");
	for (uint32_t i = 0; i < t->config_count; i++)
		if (strcmp(t->configs[i].name, name) == 0)
			snprintf(out, 64, "%s", t->configs[i].value);
	b->log->ops->topics_release(b->log, topics);
	return out;
}

static void configs_change_and_are_in_force(void **state)
{
	struct bench_log b;
	char value[64];
	testing_begin(&b);
	testing_topic(&b, "t", 2, "retention.ms", "1000000");
	struct log_config small[] = {{"max.message.bytes", "1000"}};
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .configs = small, .config_count = 1, .check = true}), SM_OK);
	assert_int_equal(testing_append(&b, "t", 0, 0, 1, 2000), 0);
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .configs = small, .config_count = 1}), SM_OK);
	assert_int_equal(testing_try_append(&b, "t", 0, 1, 1, 2000, NULL), SM_TOO_LARGE);
	assert_string_equal(config_of(&b, "t", "retention.ms", value), "1000000");
	testing_reopen(&b);
	assert_int_equal(testing_try_append(&b, "t", 1, 1, 1, 2000, NULL), SM_TOO_LARGE);
	struct log_config gone[] = {{"max.message.bytes", NULL}};
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .configs = gone, .config_count = 1}), SM_OK);
	assert_int_equal(testing_append(&b, "t", 0, 1, 1, 2000), 1);
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .configs = small, .config_count = 1, .only = true}), SM_OK);
	assert_string_equal(config_of(&b, "t", "retention.ms", value), "-");
	struct log_config wrong[] = {{"max.message.bytes", "many"}, {"no.such.config", NULL}};
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .configs = wrong, .config_count = 1}), SM_INVALID);
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .configs = wrong + 1, .config_count = 1}), SM_OK);
	assert_int_equal(change(&b, (struct log_topic_change){.name = "none"}), SM_NOT_FOUND);
	testing_end(&b);
}

static void partitions_grow_and_never_shrink(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	assert_int_equal(testing_append(&b, "t", 0, 0, 3, 10), 0);
	assert_int_equal(testing_try_append(&b, "t", 1, 0, 1, 10, NULL), SM_NOT_FOUND);
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .partitions = 4}), SM_OK);
	assert_int_equal(testing_append(&b, "t", 3, 0, 2, 10), 0);
	assert_int_equal(testing_append(&b, "t", 0, 3, 1, 10), 3);
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .partitions = 3}), SM_INVALID);
	assert_int_equal(change(&b, (struct log_topic_change){.name = "t", .partitions = LOG_PARTITIONS_MAX + 1}), SM_TOO_LARGE);
	testing_reopen(&b);
	assert_int_equal(testing_check(&b, "t", 0, 0, 0, 1 << 20), 4);
	assert_int_equal(testing_check(&b, "t", 3, 0, 0, 1 << 20), 2);
	testing_end(&b);
}

static void records_before_an_offset_are_gone_for_good(void **state)
{
	struct bench_log b;
	struct log_read_result r;
	int64_t start;
	testing_begin(&b);
	testing_topic(&b, "t", 1, "segment.bytes", "20000");
	for (int i = 0; i < 100; i++)
		testing_append(&b, "t", 0, i, 1, 1000);
	assert_int_equal(delete_before(&b, "t", 0, 55, &start), SM_OK);
	assert_int_equal(start, 55);
	assert_int_equal(first_offset(&b, "t"), 55);
	assert_int_equal(b.log->ops->read(b.log, "t", 0, 54, 1000, &r), SM_OUT_OF_RANGE);
	assert_int_equal(testing_check(&b, "t", 0, 55, 55, 1 << 20), 45);
	uint64_t bytes;
	assert_int_equal(b.log->ops->partition_bytes(b.log, "t", 0, &bytes), SM_OK);
	assert_true(bytes < 70 * 1100); /* whole segments have gone */
	assert_int_equal(delete_before(&b, "t", 0, 10, &start), SM_OK);
	assert_int_equal(start, 55);
	assert_int_equal(delete_before(&b, "t", 0, 101, &start), SM_OUT_OF_RANGE);
	assert_int_equal(delete_before(&b, "t", 5, 1, &start), SM_NOT_FOUND);
	testing_reopen(&b);
	assert_int_equal(first_offset(&b, "t"), 55);
	assert_int_equal(delete_before(&b, "t", 0, -1, &start), SM_OK);
	assert_int_equal(start, 100);
	assert_int_equal(testing_append(&b, "t", 0, 100, 1, 10), 100);
	testing_reopen(&b);
	assert_int_equal(testing_check(&b, "t", 0, 100, 100, 1 << 20), 1);
	testing_end(&b);
}

/* The Nth write fails, N = 1, 2, 3 ...: what was answered with success holds after a restart, the rest is as it was or as it was to be. */
static void a_change_is_whole_or_not_there_when_writes_fail(void **state)
{
	struct log_config small[] = {{"max.message.bytes", "1000"}};
	for (uint64_t n = 1, passed = 0; !passed; n++) {
		struct bench_log b;
		struct sm_error error;
		int64_t start;
		char value[64];
		memset(&b, 0, sizeof b);
		testing_dir(&b);
		testing_system(&b);
		testing_open(&b);
		testing_topic(&b, "t", 1, NULL, NULL);
		for (int i = 0; i < 10; i++)
			testing_append(&b, "t", 0, i, 1, 100);
		testing_close(&b);
		struct io *io = io_fault_new(&(struct io_fault_plan){.fail_at = n, .fail_errno = ENOSPC});
		b.options.io = io;
		enum sm_err opened = testing_try_open(&b, &error), changed = SM_IO, deleted = SM_IO;
		if (!opened) {
			changed = change(&b, (struct log_topic_change){.name = "t", .partitions = 3, .configs = small, .config_count = 1});
			deleted = delete_before(&b, "t", 0, 5, &start);
			(void)!b.log->ops->close(b.log, &error);
		}
		passed = io_fault_calls(io) < n;
		b.options.io = NULL;
		testing_open(&b);
		const struct log_topics *topics = b.log->ops->topics(b.log);
		int32_t partitions = log_topics_find(topics, "t")->partitions;
		b.log->ops->topics_release(b.log, topics);
		bool small_now = strcmp(config_of(&b, "t", "max.message.bytes", value), "1000") == 0;
		if (!changed)
			assert_int_equal(partitions, 3);
		assert_int_equal(partitions, small_now ? 3 : 1);
		if (!deleted)
			assert_int_equal(first_offset(&b, "t"), 5);
		assert_true(first_offset(&b, "t") == 0 || first_offset(&b, "t") == 5);
		assert_int_equal(testing_check(&b, "t", 0, first_offset(&b, "t"), (int)first_offset(&b, "t"), 1 << 20),
				 10 - first_offset(&b, "t"));
		testing_end(&b);
		io_fault_free(io);
	}
}

static void a_topic_that_is_only_checked_is_not_made(void **state)
{
	struct bench_log b = {0};
	struct sm_error error;
	testing_begin(&b);
	struct log_config config = {"max.message.bytes", "many"};
	struct log_topic_spec spec = {
		.name = "t", .partitions = 1, .replication_factor = 1, .configs = &config, .config_count = 1, .check = true};
	assert_int_equal(log_topic_create_wait(b.log, &spec, &error), SM_INVALID);
	config.value = " 1000 "; /* as in Kafka, spaces do not count */
	assert_int_equal(log_topic_create_wait(b.log, &spec, &error), SM_OK);
	const struct log_topics *topics = b.log->ops->topics(b.log);
	assert_null(log_topics_find(topics, "t"));
	b.log->ops->topics_release(b.log, topics);
	spec.check = false;
	assert_int_equal(log_topic_create_wait(b.log, &spec, &error), SM_OK);
	spec.check = true;
	assert_int_equal(log_topic_create_wait(b.log, &spec, &error), SM_EXISTS);
	testing_end(&b);
}

static void a_time_is_not_found_before_the_logs_start(void **state)
{
	struct bench_log b = {0};
	int64_t offset, time, start;
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	testing_append(&b, "t", 0, 0, 5, 10);
	testing_append(&b, "t", 0, 5, 5, 10);
	assert_int_equal(delete_before(&b, "t", 0, 3, &start), SM_OK);
	assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, 0, &offset, &time), SM_OK);
	assert_int_equal(offset, 3);
	assert_int_equal(time, T0 + 3);
	assert_int_equal(delete_before(&b, "t", 0, 5, &start), SM_OK);
	assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, T0 + 1, &offset, &time), SM_OK);
	assert_int_equal(offset, 5);
	testing_end(&b);
}

/* The header says that the newest record is of 1970, or that the log has stamped it: both are the producer's invention. */
static void a_batchs_time_is_that_of_its_records(void **state)
{
	struct bench_log b = {0};
	int64_t offset, time;
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	struct buf out;
	buf_init(&out);
	testing_batch_put(&out, "t", 0, 3, 10, -1, -1, -1);
	uint8_t *batch = out.data + out.start;
	batch_set_create_time(batch, (uint32_t)buf_size(&out), 5);
	assert_int_equal(log_append_wait(b.log, "t", 0, batch, buf_size(&out), &offset), SM_OK);
	buf_done(&out);
	assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, LOG_MAX_TIMESTAMP, &offset, &time), SM_OK);
	assert_int_equal(offset, 2);
	assert_int_equal(time, T0 + 2);
	assert_int_equal(testing_check(&b, "t", 0, 0, 0, 1 << 20), 3);
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configs_change_and_are_in_force),
		cmocka_unit_test(partitions_grow_and_never_shrink),
		cmocka_unit_test(records_before_an_offset_are_gone_for_good),
		cmocka_unit_test(a_topic_that_is_only_checked_is_not_made),
		cmocka_unit_test(a_time_is_not_found_before_the_logs_start),
		cmocka_unit_test(a_batchs_time_is_that_of_its_records),
		cmocka_unit_test(a_change_is_whole_or_not_there_when_writes_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
