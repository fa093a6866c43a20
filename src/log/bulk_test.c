/* Groups past the page cache: what is written so is read back at every offset, from memory and from the disk, and damage is never served.
 */
#include "log/bulk.h"
#include "log/testing.h"
#include <pthread.h>

#define TOPIC "b"

static struct engine *engine_of(struct bench_log *b)
{
	return (struct engine *)b->log;
}

static void begin(struct bench_log *b, uint32_t direct_bytes)
{
	memset(b, 0, sizeof *b);
	snprintf(b->dir, sizeof b->dir, "/tmp/smack-log-test-XXXXXX"); /* a file system in memory has no way past the page cache */
	assert_non_null(mkdtemp(b->dir));
	testing_system(b);
	b->options.direct_bytes = direct_bytes;
	testing_open(b);
}

/* Nothing of it is in memory any more. */
static void forget(struct bench_log *b)
{
	log__bulk_quiet(&engine_of(b)->bulk, false);
	log__bulk_rest(&engine_of(b)->bulk);
	log__bulk_rest(&engine_of(b)->bulk);
	assert_int_equal(engine_of(b)->bulk.written.bytes, 0);
	assert_int_equal(engine_of(b)->bulk.read.bytes, 0);
}

static bool possible(struct bench_log *b)
{
	return !atomic_load(&engine_of(b)->bulk.refused);
}

static size_t some_size(int i)
{
	static const size_t sizes[] = {10, 4000, 4096 - 61, 100, 8192, 70000, 1, 300000, 12345, 600000, 1000, 1000000};
	return sizes[i % 12] + (size_t)(i * 7 % 50);
}

static void check_everywhere(struct bench_log *b, int count)
{
	static const size_t steps[] = {1, 5000, 100000, 1 << 20, 50 << 20};
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		assert_int_equal(testing_check(b, TOPIC, 0, 0, 0, steps[i]), count);
	for (int offset = 0; offset < count; offset += 5)
		assert_int_equal(testing_check(b, TOPIC, 0, offset, offset, 1), count - offset);
}

static void what_is_written_is_read_at_every_offset(void **state)
{
	struct bench_log b;
	int count = 60;
	begin(&b, 1);
	testing_topic(&b, TOPIC, 1, "segment.bytes", "3000000");
	for (int i = 0; i < count; i++)
		assert_int_equal(testing_append(&b, TOPIC, 0, i, 1, some_size(i)), i);
	if (possible(&b))
		assert_true(engine_of(&b)->bulk.written.bytes > 0);
	check_everywhere(&b, count);
	forget(&b);
	check_everywhere(&b, count);
	if (possible(&b))
		assert_true(engine_of(&b)->bulk.read.bytes > 0);
	testing_reopen(&b);
	check_everywhere(&b, count);
	for (int i = count; i < count + 20; i++)
		assert_int_equal(testing_append(&b, TOPIC, 0, i, 1, some_size(i)), i);
	check_everywhere(&b, count + 20);
	testing_end(&b);
}

/* Large and small groups in turn share pages of the file, and the page cache has some of them. */
static void large_and_small_groups_share_pages(void **state)
{
	struct bench_log b;
	int count = 300;
	begin(&b, 20000);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	for (int i = 0; i < count; i++) {
		assert_int_equal(testing_append(&b, TOPIC, 0, i, 1, i % 3 ? (size_t)(i * 37 % 3000) : 20000 + (size_t)i * 11), i);
		if (i % 10 == 0)
			forget(&b);
		assert_int_equal(testing_check(&b, TOPIC, 0, i / 2, i / 2, 30000), i + 1 - i / 2);
	}
	testing_reopen(&b);
	check_everywhere(&b, count);
	testing_end(&b);
}

static void the_memory_is_bounded(void **state)
{
	struct bench_log b;
	begin(&b, 1);
	testing_topic(&b, TOPIC, 3, NULL, NULL);
	for (int i = 0; i < 20; i++)
		for (int32_t p = 0; p < 3; p++)
			assert_int_equal(testing_append(&b, TOPIC, p, i, 1, 900000), i);
	for (int32_t p = 0; p < 3; p++)
		assert_int_equal(testing_check(&b, TOPIC, p, 0, 0, 1 << 20), 20);
	log__bulk_quiet(&engine_of(&b)->bulk, false);
	assert_true(engine_of(&b)->bulk.written.bytes <= LOG_BULK_WRITTEN_BYTES);
	assert_true(engine_of(&b)->bulk.read.bytes <= LOG_BULK_READ_BYTES);
	testing_end(&b);
}

/* The bytes that were read ahead and that nobody has asked for. */
static size_t unasked(struct bench_log *b)
{
	struct bulk_cache *cache = &engine_of(b)->bulk;
	size_t bytes = 0;
	log__bulk_quiet(cache, false);
	pthread_mutex_lock(&cache->lock);
	for (struct bulk *p = cache->read.first; p; p = p->next)
		bytes += p->ahead_ns ? p->size : 0;
	pthread_mutex_unlock(&cache->lock);
	return bytes;
}

static void read_one(struct bench_log *b, int32_t partition, int64_t offset)
{
	struct log_read_result r;
	assert_int_equal(b->log->ops->read(b->log, TOPIC, partition, offset, 1 << 20, &r), SM_OK);
	assert_true(r.slice.size > 900000);
	log_slice_done(&r.slice);
}

static void what_comes_next_is_read_ahead(void **state)
{
	struct bench_log b;
	begin(&b, 1);
	testing_topic(&b, TOPIC, 20, NULL, NULL);
	for (int i = 0; i < 3; i++)
		for (int32_t p = 0; p < 20; p++)
			assert_int_equal(testing_append(&b, TOPIC, p, i, 1, 900000), i);
	if (!possible(&b)) {
		testing_end(&b);
		skip();
	}
	forget(&b);
	read_one(&b, 0, 0);
	assert_true(unasked(&b) > 900000);
	read_one(&b, 0, 1);
	assert_true(unasked(&b) > 900000);
	read_one(&b, 0, 2); /* the last */
	assert_int_equal(unasked(&b), 0);
	for (int32_t p = 1; p < 20; p++)
		read_one(&b, p, 0);
	size_t most = unasked(&b);
	assert_true(most > 4 * 900000 && most <= LOG_BULK_READ_BYTES);
	/* who never asks is forgotten */
	for (struct bulk *p = engine_of(&b)->bulk.read.first; p; p = p->next)
		p->ahead_ns = p->ahead_ns ? 1 : 0;
	read_one(&b, 0, 0);
	assert_true(unasked(&b) < 2 * 900000);
	testing_end(&b);
}

/* Readers that do not let go of what they have: the next read through the page cache. */
static void what_readers_hold_is_bounded(void **state)
{
	enum { COUNT = 120 };
	static struct log_read_result all[COUNT];
	struct bench_log b;
	int in_memory = 0;
	begin(&b, 1);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(testing_append(&b, TOPIC, 0, i, 1, 1000000), i);
	if (!possible(&b)) {
		testing_end(&b);
		skip();
	}
	forget(&b);
	for (int i = 0; i < COUNT; i++) {
		assert_int_equal(b.log->ops->read(b.log, TOPIC, 0, i, 1 << 20, &all[i]), SM_OK);
		assert_true(all[i].slice.size >= 1000000);
		in_memory += all[i].slice.data != NULL;
	}
	assert_true(in_memory > 50 && in_memory < 110);
	assert_true(log__pieces_held() < LOG_BULK_HELD_BYTES + LOG_BULK_READ_BYTES);
	for (int i = 0; i < COUNT; i++)
		log_slice_done(&all[i].slice);
	forget(&b);
	assert_int_equal(log__pieces_held(), 0);
	testing_end(&b);
}

static void flip(struct bench_log *b, off_t at)
{
	char path[200];
	uint8_t byte;
	snprintf(path, sizeof path, "%s/" TOPIC "-0/00000000000000000000.log", b->dir);
	FILE *f = fopen(path, "r+b");
	assert_non_null(f);
	assert_int_equal(fseeko(f, at, SEEK_SET), 0);
	assert_int_equal(fread(&byte, 1, 1, f), 1);
	byte ^= 1;
	assert_int_equal(fseeko(f, at, SEEK_SET), 0);
	assert_int_equal(fwrite(&byte, 1, 1, f), 1);
	assert_int_equal(fclose(f), 0);
}

/* The first read from the disk checks what it gives: that the disk has what was written. */
static void rot_on_the_disk_is_not_served(void **state)
{
	struct bench_log b;
	struct log_read_result r;
	begin(&b, 1);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	for (int i = 0; i < 9; i++)
		assert_int_equal(testing_append(&b, TOPIC, 0, i, 1, 100000), i);
	if (!possible(&b)) {
		testing_end(&b);
		skip();
	}
	forget(&b);
	flip(&b, SEGMENT_HEADER + 450000); /* in the batch at offset 4 */
	assert_int_equal(b.log->ops->read(b.log, TOPIC, 0, 0, 1 << 20, &r), SM_OK);
	assert_non_null(r.slice.data);
	assert_true(r.slice.size < 410000);
	log_slice_done(&r.slice);
	forget(&b);
	assert_int_equal(testing_check(&b, TOPIC, 0, 5, 5, 1 << 20), 4);
	testing_end(&b);
}

struct reading {
	struct bench_log *b;
	atomic_bool stop;
};

static void *reads(void *arg)
{
	struct reading *r = arg;
	while (!atomic_load(&r->stop))
		testing_check(r->b, TOPIC, 0, 0, 0, 200000);
	return NULL;
}

static void readers_follow_a_writer(void **state)
{
	struct bench_log b;
	pthread_t threads[3];
	int count = 150;
	begin(&b, 1);
	testing_topic(&b, TOPIC, 1, "segment.bytes", "1000000");
	struct reading r = {.b = &b};
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reads, &r), 0);
	for (int i = 0; i < count; i++) {
		assert_int_equal(testing_append(&b, TOPIC, 0, i, 1, (size_t)(i * 997 % 40000)), i);
		if (i % 20 == 0)
			log__bulk_rest(&engine_of(&b)->bulk);
	}
	atomic_store(&r.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(testing_check(&b, TOPIC, 0, 0, 0, 1 << 20), count);
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_at_every_offset),
		cmocka_unit_test(large_and_small_groups_share_pages),
		cmocka_unit_test(the_memory_is_bounded),
		cmocka_unit_test(what_comes_next_is_read_ahead),
		cmocka_unit_test(what_readers_hold_is_bounded),
		cmocka_unit_test(rot_on_the_disk_is_not_served),
		cmocka_unit_test(readers_follow_a_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
