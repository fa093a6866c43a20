#include "log/testing.h"
#include <semaphore.h>
#include <sys/stat.h>

struct committed {
	sem_t done;
	atomic_int err;
};

static void is_committed(void *arg, enum sm_err err)
{
	struct committed *c = arg;
	c->err = err;
	sem_post(&c->done);
}

static enum sm_err commit(struct bench_log *b, const char *group, const char *topic, int32_t partition, int64_t offset,
			  const char *metadata)
{
	struct committed c;
	struct log_group_offset o = {topic, partition, offset, 3, metadata};
	sem_init(&c.done, 0, 0);
	b->log->ops->offsets_commit(b->log, group, &o, 1, is_committed, &c);
	sem_wait(&c.done);
	return c.err;
}

static void assert_committed(struct bench_log *b, const char *group, const char *topic, int32_t partition, int64_t offset,
			     const char *metadata)
{
	struct log_group_offset o = {topic, partition, 0, 0, NULL};
	void *hold;
	assert_int_equal(b->log->ops->offsets_fetch(b->log, group, &o, 1, &hold), SM_OK);
	assert_int_equal(o.offset, offset);
	assert_string_equal(o.metadata, metadata);
	assert_int_equal(o.leader_epoch, offset < 0 ? -1 : 3);
	b->log->ops->offsets_release(b->log, hold);
}

static void commits_are_there_also_after_a_restart(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	assert_committed(&b, "g", "t", 0, -1, "");
	assert_int_equal(commit(&b, "g", "t", 0, 5, "a note"), SM_OK);
	assert_int_equal(commit(&b, "g", "t", 1, 7, NULL), SM_OK);
	assert_int_equal(commit(&b, "g", "t", 0, 9, ""), SM_OK);
	assert_int_equal(commit(&b, "other", "t", 0, 1, ""), SM_OK);
	assert_int_equal(commit(&b, "other", "u", 0, 1, ""), SM_OK);
	assert_int_equal(commit(&b, "other", "t", 0, -1, ""), SM_OK); /* taken back */
	for (int restart = 0; restart < 2; restart++) {
		assert_committed(&b, "g", "t", 0, 9, "");
		assert_committed(&b, "g", "t", 1, 7, "");
		assert_committed(&b, "other", "t", 0, -1, "");
		assert_committed(&b, "none", "t", 0, -1, "");
		struct log_group_offset *list;
		uint32_t count;
		void *hold;
		assert_int_equal(b.log->ops->offsets_list(b.log, "g", &list, &count, &hold), SM_OK);
		assert_int_equal(count, 2);
		assert_string_equal(list[0].topic, "t");
		assert_int_equal(list[1].partition, 1);
		assert_int_equal(list[1].offset, 7);
		b.log->ops->offsets_release(b.log, hold);
		const char *const *names;
		assert_int_equal(b.log->ops->groups(b.log, &names, &count, &hold), SM_OK);
		assert_int_equal(count, 2);
		assert_string_equal(names[0], "g");
		assert_string_equal(names[1], "other");
		b.log->ops->offsets_release(b.log, hold);
		testing_reopen(&b);
	}
	assert_int_equal(commit(&b, "g", "no/topic", 0, 1, ""), SM_INVALID);
	assert_int_equal(commit(&b, "g", "t", -1, 1, ""), SM_INVALID);
	testing_end(&b);
}

static void groups_fall_on_the_partitions_that_java_computes(void **state)
{
	/* "".hashCode() is 0, "a" 97, "hello" 99162322; "polygenelubricants" hashes to the smallest integer, whose abs Kafka makes 0;
	 * U+00E9 is one UTF-16 unit (233), U+1F600 two (1772899). */
	assert_int_equal(log__offsets_partition(""), 0);
	assert_int_equal(log__offsets_partition("a"), 97 % LOG_OFFSETS_PARTITIONS);
	assert_int_equal(log__offsets_partition("hello"), 99162322 % LOG_OFFSETS_PARTITIONS);
	assert_int_equal(log__offsets_partition("polygenelubricants"), 0);
	assert_int_equal(log__offsets_partition("\xc3\xa9"), 233 % LOG_OFFSETS_PARTITIONS);
	assert_int_equal(log__offsets_partition("\xf0\x9f\x98\x80"), 1772899 % LOG_OFFSETS_PARTITIONS);
}

static void commits_are_written_in_kafkas_layout(void **state)
{
	static const uint8_t key[] = {0, 1, 0, 1, 'g', 0, 2, 't', 't', 0, 0, 0, 4};
	static const uint8_t value_begin[] = {0, 3, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 1, 'm'};
	struct bench_log b;
	testing_begin(&b);
	assert_int_equal(commit(&b, "g", "tt", 4, 258, "m"), SM_OK);
	struct log_read_result r;
	struct bytes data;
	struct batch_reader reader;
	struct record record;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	assert_int_equal(b.log->ops->read(b.log, TOPIC_OFFSETS, log__offsets_partition("g"), 0, 1 << 20, &r), SM_OK);
	assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
	assert_int_equal(batch_reader_init(&reader, data), SM_OK);
	assert_int_equal(batch_next(&reader, &record), SM_OK);
	assert_int_equal(record.key.size, sizeof key);
	assert_memory_equal(record.key.data, key, sizeof key);
	assert_int_equal(record.value.size, sizeof value_begin + 8);
	assert_memory_equal(record.value.data, value_begin, sizeof value_begin);
	batch_reader_done(&reader);
	free(buffer);
	log_slice_done(&r.slice);
	testing_end(&b);
}

/* Many at a time, so that group commit makes it quick. */
static void commit_many(struct bench_log *b, const char *group, int count, int partitions, const char *metadata)
{
	struct committed c = {.err = SM_OK};
	sem_init(&c.done, 0, 0);
	for (int i = 0; i < count; i++) {
		struct log_group_offset o = {"topic", i % partitions, i, 3, metadata};
		b->log->ops->offsets_commit(b->log, group, &o, 1, is_committed, &c);
		if (i % 64 == 63)
			for (int k = 0; k < 64; k++) {
				sem_wait(&c.done);
				assert_int_equal(c.err, SM_OK);
			}
	}
	for (int k = 0; k < count % 64; k++)
		sem_wait(&c.done);
}

static uint64_t offsets_bytes(struct bench_log *b)
{
	uint64_t sum = 0;
	for (int32_t i = 0; i < LOG_OFFSETS_PARTITIONS; i++) {
		uint64_t bytes;
		struct partition *p = log__topics_partition((struct engine *)b->log, TOPIC_OFFSETS, i);
		assert_int_equal(log__partition_bytes(p, &bytes), SM_OK);
		log__partition_unref(p);
		sum += bytes;
	}
	return sum;
}

static void offsets_compact(struct bench_log *b)
{
	for (int32_t i = 0; i < LOG_OFFSETS_PARTITIONS; i++) {
		struct sm_error error;
		struct partition *p = log__topics_partition((struct engine *)b->log, TOPIC_OFFSETS, i);
		assert_int_equal(log__partition_compact(p, T0, &error), SM_OK);
		log__partition_unref(p);
	}
}

static void offsets_topic_does_not_grow_without_bound(void **state)
{
	struct bench_log b;
	char metadata[2001];
	memset(metadata, 'm', 2000);
	metadata[2000] = 0;
	testing_begin(&b);
	commit_many(&b, "g", 9000, 3, metadata); /* 18 MB */
	assert_true(offsets_bytes(&b) > 15u << 20);
	offsets_compact(&b);
	assert_true(offsets_bytes(&b) < 5u << 20);
	for (int restart = 0; restart < 2; restart++) {
		for (int32_t i = 0; i < 3; i++)
			assert_committed(&b, "g", "topic", i, 8997 + i, metadata);
		testing_reopen(&b);
	}
	testing_end(&b);
}

static void marker_is_written(void *arg, const struct log_append_result *result)
{
	is_committed(arg, result->err);
}

static void commit_that_came_after_a_transactions_one_stays(void **state)
{
	struct bench_log b;
	struct committed c;
	const struct log_group_offset offset = {"t", 0, 10, 3, ""};
	testing_begin(&b);
	sem_init(&c.done, 0, 0);
	assert_int_equal(commit(&b, "g", "t", 0, 5, ""), SM_OK);
	b.log->ops->offsets_commit_txn(b.log, "g", 7, 0, &offset, 1, is_committed, &c);
	sem_wait(&c.done);
	assert_int_equal(c.err, SM_OK);
	assert_int_equal(commit(&b, "g", "t", 0, 20, ""), SM_OK);
	const struct log_txn_marker marker = {.producer_id = 7, .commit = true};
	b.log->ops->txn_end(b.log, TOPIC_OFFSETS, log__offsets_partition("g"), &marker, marker_is_written, &c);
	sem_wait(&c.done);
	assert_int_equal(c.err, SM_OK);
	for (int restart = 0; restart < 2; restart++) {
		assert_committed(&b, "g", "t", 0, 20, "");
		testing_reopen(&b);
	}
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commits_are_there_also_after_a_restart),
		cmocka_unit_test(groups_fall_on_the_partitions_that_java_computes),
		cmocka_unit_test(commits_are_written_in_kafkas_layout),
		cmocka_unit_test(commit_that_came_after_a_transactions_one_stays),
		cmocka_unit_test(offsets_topic_does_not_grow_without_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
