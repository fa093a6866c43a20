/* More partitions that are written than files that may be open. */
#include "log/testing.h"
#include <dirent.h>
#include <pthread.h>
#include <time.h>

#define TOPIC "f"
#define PARTITIONS 120
#define MOST 20

/* Files of segments that this process has open. */
static int open_segments(void)
{
	int count = 0;
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[300], target[300];
		snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
		ssize_t n = readlink(path, target, sizeof target - 1);
		if (n <= 0)
			continue;
		target[n] = 0;
		count += strstr(target, "/" TOPIC "-") && strstr(target, ".log");
	}
	closedir(dir);
	return count;
}

/* Those that were told to close their file do it in their own time. */
static void wait_for_rest(int most)
{
	int count = 0;
	for (int i = 0; i < 5000 && (count = open_segments()) > most; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	if (count > most)
		fail_msg("%d segments are open, not %d", count, most);
}

static void all_are_written_and_read_with_few_open_files(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	b.options.files_max = MOST;
	testing_reopen(&b);
	testing_topic(&b, TOPIC, PARTITIONS, NULL, NULL);
	for (int round = 0; round < 5; round++) {
		for (int32_t p = 0; p < PARTITIONS; p++)
			assert_int_equal(testing_append(&b, TOPIC, p, round, 1, 100), round);
		wait_for_rest(MOST);
		for (int32_t p = 0; p < PARTITIONS; p++)
			assert_int_equal(testing_check(&b, TOPIC, p, 0, 0, 1 << 20), round + 1);
		wait_for_rest(MOST);
	}
	testing_reopen(&b);
	wait_for_rest(MOST);
	for (int32_t p = 0; p < PARTITIONS; p++) {
		assert_int_equal(testing_append(&b, TOPIC, p, 5, 1, 100), 5);
		assert_int_equal(testing_check(&b, TOPIC, p, 0, 0, 1 << 20), 6);
	}
	wait_for_rest(MOST);
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
		for (int32_t p = 0; p < PARTITIONS; p++) {
			struct log_read_result result;
			assert_int_equal(r->b->log->ops->read(r->b->log, TOPIC, p, 0, 1000, &result), SM_OK);
			if (result.slice.size) {
				uint8_t *buffer = NULL;
				size_t cap = 0;
				struct bytes data;
				assert_int_equal(log_slice_bytes(&result.slice, &buffer, &cap, &data), SM_OK);
				free(buffer);
			}
			log_slice_done(&result.slice);
		}
	return NULL;
}

static void readers_and_writers_share_the_files(void **state)
{
	struct bench_log b;
	pthread_t threads[2];
	testing_begin(&b);
	b.options.files_max = MOST;
	testing_reopen(&b);
	testing_topic(&b, TOPIC, PARTITIONS, "segment.bytes", "12000");
	struct reading r = {.b = &b};
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reads, &r), 0);
	for (int round = 0; round < 20; round++)
		for (int32_t p = 0; p < PARTITIONS; p++)
			assert_int_equal(testing_append(&b, TOPIC, p, round, 1, 400), round);
	atomic_store(&r.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int32_t p = 0; p < PARTITIONS; p++)
		assert_int_equal(testing_check(&b, TOPIC, p, 0, 0, 1 << 20), 20);
	/* Two readers that leave a sealed segment at once leave it open until it is next read. */
	wait_for_rest(2 * MOST);
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_written_and_read_with_few_open_files),
		cmocka_unit_test(readers_and_writers_share_the_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
