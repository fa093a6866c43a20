/* Where a level's next file begins: what cannot be read there is told, whatever way a reader comes. */
#include "store/page_cache.h"
#include "store/testing.h"
#include <errno.h>
#include <fcntl.h>

#define SKIP_BOTTOM 0

static void to_bottom(struct fixture *f)
{
	flush(f);
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
	rocksdb_compactoptions_set_bottommost_level_compaction(options, SKIP_BOTTOM);
	rocksdb_compact_range_opt(db_of(f), options, NULL, 0, NULL, 0);
	rocksdb_compactoptions_destroy(options);
}

/* One partition over two files of one level: rows 0 to 9, and 10 to 19. */
static void two_files(struct fixture *f)
{
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	for (int c = 0; c < 20; c++) {
		assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), KEY(INT(c)), "v", INT(c), 1, 0));
		if (c % 10 == 9)
			to_bottom(f);
	}
	const rocksdb_livefiles_t *files = rocksdb_livefiles(db_of(f));
	assert_int_equal(rocksdb_livefiles_count(files), 2);
	assert_int_equal(rocksdb_livefiles_level(files, 0), rocksdb_livefiles_level(files, 1));
	rocksdb_livefiles_destroy(files);
}

static enum sm_err count_rows(struct fixture *f, struct store_read read, int *ret_count)
{
	struct store_cursor *c;
	const struct store_row *row;
	enum sm_err err;
	read.table = table_of(f, "t");
	*ret_count = 0;
	assert_ok(f->store->ops->open(f->store, &read, &c, NULL));
	while (!(err = f->store->ops->next(c, &row)))
		++*ret_count;
	f->store->ops->close_cursor(c);
	return err;
}

/* Only the rows from a to b are in memory. */
static void warm(struct fixture *f, int a, int b)
{
	int count;
	rocksdb_cache_t *cache = store__engine_of(f->store)->rocks.cache;
	size_t capacity = rocksdb_cache_get_capacity(cache);
	rocksdb_cache_set_capacity(cache, 0); /* whatever is there goes */
	rocksdb_cache_set_capacity(cache, capacity);
	struct store_read read = {
		.partition_key = KEY(INT(1)), .from = {STORE_INCLUSIVE, 1, KEY(INT(a))}, .to = {STORE_INCLUSIVE, 1, KEY(INT(b))}};
	assert_err(count_rows(f, read, &count), SM_END);
	assert_int_equal(count, b - a + 1);
}

static ssize_t refuse(int fd, void *data, size_t size, off_t at)
{
	(void)fd, (void)data, (void)size, (void)at;
	errno = EAGAIN;
	return -1;
}

static void not_left_out(struct fixture *f)
{
	for (int way = 0; way < 3; way++) {
		int count;
		struct store_read read = {.partition_key = way < 2 ? KEY(INT(1)) : NULL,
					  .token_from = INT64_MIN,
					  .token_to = INT64_MAX,
					  .reverse = way == 1,
					  .cached_only = true};
		if (way == 1)
			warm(f, 15, 19);
		else
			warm(f, 0, 5);
		assert_err(count_rows(f, read, &count), SM_AGAIN);
		warm(f, 0, 19);
		assert_err(count_rows(f, read, &count), SM_END);
		assert_int_equal(count, 20);
	}
}

static void what_is_not_cached_is_not_left_out(void **state)
{
	struct fixture *f = *state;
	two_files(f);
	store__engine_of(f->store)->rocks.page_cache = false;
	not_left_out(f);
	store__engine_of(f->store)->rocks.page_cache = true;
	store__no_wait_set(refuse);
	not_left_out(f);
	store__no_wait_set(NULL);
}

/* Of the file whose rows come last. */
static void damage_first_block(struct fixture *f)
{
	char path[200];
	const rocksdb_livefiles_t *files = rocksdb_livefiles(db_of(f));
	size_t size_0, size_1;
	const char *first_0 = rocksdb_livefiles_smallestkey(files, 0, &size_0), *first_1 = rocksdb_livefiles_smallestkey(files, 1, &size_1);
	int last = bytes_compare(bytes_of(first_0, size_0), bytes_of(first_1, size_1)) > 0 ? 0 : 1;
	snprintf(path, sizeof path, "%s%s", f->dir, rocksdb_livefiles_name(files, last));
	rocksdb_livefiles_destroy(files);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "damage", 6, 20), 6);
	close(fd);
}

static void what_is_damaged_is_not_left_out(void **state)
{
	struct fixture *f = *state;
	int count;
	two_files(f);
	damage_first_block(f);
	warm(f, 0, 5);
	assert_err(count_rows(f, (struct store_read){.partition_key = KEY(INT(1))}, &count), SM_CORRUPT);
	assert_err(count_rows(f, (struct store_read){.token_from = INT64_MIN, .token_to = INT64_MAX}, &count), SM_CORRUPT);
}

/* Their keys are there until a compaction, and no read looks at their range deletions. */
static void what_was_dropped_is_seen_by_nobody(void **state)
{
	struct fixture *f = *state;
	int count;
	two_files(f);
	assert_ok(change_table(f, STORE_TRUNCATE_TABLE, "t"));
	assert_err(count_rows(f, (struct store_read){.partition_key = KEY(INT(1))}, &count), SM_END);
	assert_int_equal(count, 0);
	assert_ok(change_table(f, STORE_DROP_TABLE, "t"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	fixture_reopen(f);
	assert_err(count_rows(f, (struct store_read){.token_from = INT64_MIN, .token_to = INT64_MAX}, &count), SM_END);
	assert_int_equal(count, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_not_cached_is_not_left_out),
		T(what_is_damaged_is_not_left_out),
		T(what_was_dropped_is_seen_by_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
