/* Reads that may not wait: what the page cache has is read, what it has not is asked for again, and no row is left out. */
#include "store/page_cache.h"
#include "store/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROWS 3000 /* many blocks */
#define DELETED 100

static int reads, refuse_from;

/* As if the first ones were in memory. */
static ssize_t some(int fd, void *data, size_t size, off_t at)
{
	if (++reads < refuse_from)
		return syscall(SYS_pread64, fd, data, size, at);
	errno = EAGAIN;
	return -1;
}

static void forget_blocks(struct fixture *f)
{
	rocksdb_cache_t *cache = store__engine_of(f->store)->rocks.cache;
	size_t capacity = rocksdb_cache_get_capacity(cache);
	rocksdb_cache_set_capacity(cache, 0);
	rocksdb_cache_set_capacity(cache, capacity);
	reads = 0;
}

/* SM_END with the rows' number and the sum of their values, or what came instead. */
static enum sm_err read_rows(struct fixture *f, struct store_read read, int *ret_count, int64_t *ret_sum)
{
	struct store_cursor *c;
	const struct store_row *row;
	enum sm_err err;
	read.table = table_of(f, "t");
	read.cached_only = true;
	*ret_count = 0;
	*ret_sum = 0;
	assert_ok(f->store->ops->open(f->store, &read, &c, NULL));
	while (!(err = f->store->ops->next(c, &row))) {
		++*ret_count;
		*ret_sum += (int32_t)be32_get((const uint8_t *)row->cells[2].data);
	}
	f->store->ops->close_cursor(c);
	return err;
}

static void fill(struct fixture *f, bool with_deletion)
{
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	for (int c = 0; c < ROWS; c++)
		assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), KEY(INT(c)), "v", INT(c), 1, 0));
	flush(f);
	if (with_deletion) {
		struct store_mutation m = {.kind = STORE_DELETE_RANGE,
					   .table = table_of(f, "t"),
					   .partition_key = KEY(INT(1)),
					   .from = {STORE_INCLUSIVE, 1, KEY(INT(0))},
					   .to = {STORE_EXCLUSIVE, 1, KEY(INT(DELETED))},
					   .timestamp_us = 2};
		assert_ok(apply_one(f, &m));
	}
	flush(f);
	assert_true(store__page_cache_serves());
}

/* Refused at the first read, the second, and so on, until none is needed any more. */
static void refuse_each(struct fixture *f, struct store_read read, int count, int64_t sum)
{
	enum sm_err err = SM_AGAIN;
	store__no_wait_set(some);
	for (refuse_from = 1; err == SM_AGAIN; refuse_from++) {
		int got;
		int64_t got_sum;
		forget_blocks(f);
		err = read_rows(f, read, &got, &got_sum);
		if (err == SM_AGAIN)
			assert_true(got <= count);
		else
			assert_true(err == SM_END && got == count && got_sum == sum);
		assert_true(refuse_from < ROWS);
	}
	assert_true(refuse_from > 2);
	store__no_wait_set(NULL);
}

static void no_row_is_left_out(void **state)
{
	struct fixture *f = *state;
	fill(f, false);
	refuse_each(f, (struct store_read){.partition_key = KEY(INT(1))}, ROWS, (int64_t)ROWS * (ROWS - 1) / 2);
	refuse_each(f, (struct store_read){.partition_key = KEY(INT(1)), .reverse = true}, ROWS, (int64_t)ROWS * (ROWS - 1) / 2);
	struct store_bound row = {STORE_INCLUSIVE, 1, KEY(INT(ROWS / 2))};
	refuse_each(f, (struct store_read){.partition_key = KEY(INT(1)), .from = row, .to = row}, 1, ROWS / 2);
}

static void no_deleted_row_is_shown(void **state)
{
	struct fixture *f = *state;
	fill(f, true);
	int64_t sum = (int64_t)ROWS * (ROWS - 1) / 2 - (int64_t)DELETED * (DELETED - 1) / 2;
	refuse_each(f, (struct store_read){.partition_key = KEY(INT(1))}, ROWS - DELETED, sum);
	refuse_each(f, (struct store_read){.partition_key = KEY(INT(1)), .reverse = true}, ROWS - DELETED, sum);
}

/* Where the file system knows such reads, which tmpfs may not. */
static void what_the_page_cache_has_is_read(void **state)
{
	struct fixture *f = *state;
	int count;
	int64_t sum;
	fill(f, false);
	forget_blocks(f);
	char byte, path[200];
	const rocksdb_livefiles_t *files = rocksdb_livefiles(db_of(f));
	snprintf(path, sizeof path, "%s%s", f->dir, rocksdb_livefiles_name(files, 0));
	rocksdb_livefiles_destroy(files);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	store__no_wait_begin();
	ssize_t n = pread(fd, &byte, 1, 0);
	assert_int_equal(store__no_wait_end(), n != 1);
	close(fd);
	if (n != 1)
		skip();
	assert_err(read_rows(f, (struct store_read){.partition_key = KEY(INT(1))}, &count, &sum), SM_END);
	assert_int_equal(count, ROWS);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(no_row_is_left_out),
		T(no_deleted_row_is_shown),
		T(what_the_page_cache_has_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
