/* Where something is large, or much, or slow: it works, or it is refused with a clear error, and callers are not held. */
#include "base/metrics.h"
#include "store/testing.h"
#include <semaphore.h>

static void set_option(struct fixture *f, const char *name, const char *value)
{
	char *text = NULL;
	rocksdb_set_options(db_of(f), 1, &name, &value, &text);
	if (text)
		fail_msg("%s", text);
}

static atomic_int refused, acknowledged, failed;

static void answered(void *arg, enum sm_err err)
{
	atomic_fetch_add(err == SM_FULL ? &refused : err ? &failed : &acknowledged, 1);
}

/* A compaction asks for the time first: so it can be held. */
static atomic_bool held;
static pthread_t caller;
static uint64_t held_wall_us(struct clock *clock)
{
	while (!pthread_equal(pthread_self(), caller) && atomic_load(&held))
		usleep(1000);
	return 1700000000000000u;
}

static void stalled_writes_are_pushed_back_and_the_caller_goes_on(void **state)
{
	enum { WRITES = 400, BYTES = 64 << 10 };
	struct fixture *f = *state;
	static char text[BYTES];
	memset(text, 'x', sizeof text);
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:text:r", NULL));
	const struct store_table *t = table_of(f, "t");
	set_option(f, "level0_file_num_compaction_trigger", "3");
	set_option(f, "level0_slowdown_writes_trigger", "3");
	set_option(f, "level0_stop_writes_trigger", "3");
	caller = pthread_self();
	f->clock.clock.wall_us = held_wall_us;
	atomic_store(&held, true);
	for (int i = 0; i < 3; i++) {
		assert_ok(insert(f, t, KEY(INT(i)), NULL, "v", TEXT("x"), 1, 0));
		flush(f);
	}
	uint64_t longest = 0;
	for (int i = 0; i < WRITES; i++) {
		struct int_value room;
		struct store_cell key = int_cell(i, &room);
		struct store_assignment a = {store_find_column(t, "v"), {(uint8_t *)text, sizeof text}};
		struct store_mutation m = {
			.kind = STORE_UPSERT_INSERT, .table = t, .partition_key = &key, .cells = &a, .cell_count = 1, .timestamp_us = 2};
		uint64_t start = clock_monotonic_ns(&clock_system);
		f->store->ops->apply(f->store, &(struct store_batch){.mutations = &m, .count = 1}, answered, NULL);
		uint64_t took = clock_monotonic_ns(&clock_system) - start;
		longest = took > longest ? took : longest;
		if (i == 0)
			usleep(50000); /* the writer meets the stall */
	}
	assert_true(atomic_load(&refused) > WRITES / 2);
	assert_int_equal(atomic_load(&acknowledged), 0);
	assert_true(longest < 1000000000u);
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 x|"); /* reads go on */
	atomic_store(&held, false);
	while (atomic_load(&acknowledged) + atomic_load(&refused) + atomic_load(&failed) < WRITES)
		usleep(1000);
	assert_int_equal(atomic_load(&failed), 0);
	assert_true(atomic_load(&acknowledged) > 10);
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", TEXT("y"), 3, 0));
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 y|");
}

static void value_of_16_mib_is_kept_and_a_larger_one_refused(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:blob:r", NULL));
	const struct store_table *t = table_of(f, "t");
	uint8_t *data = malloc(STORE_CELL_BYTES_MAX + 1);
	for (uint32_t i = 0; i <= STORE_CELL_BYTES_MAX; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_err(insert(f, t, KEY(INT(0)), NULL, "v", (struct store_cell){data, STORE_CELL_BYTES_MAX + 1}, 1, 0), SM_TOO_LARGE);
	for (int k = 1; k < 4; k++)
		assert_ok(insert(f, t, KEY(INT(k)), NULL, "v", (struct store_cell){data, STORE_CELL_BYTES_MAX}, 1, 0));
	fixture_reopen(f);
	struct store_cursor *c;
	const struct store_row *row;
	struct store_read all = all_of(table_of(f, "t"));
	assert_ok(f->store->ops->open(f->store, &all, &c, NULL));
	int n = 0;
	for (; !f->store->ops->next(c, &row); n++) {
		assert_int_equal(row->cells[1].size, STORE_CELL_BYTES_MAX);
		assert_memory_equal(row->cells[1].data, data, STORE_CELL_BYTES_MAX);
	}
	f->store->ops->close_cursor(c);
	assert_int_equal(n, 3);
	free(data);
}

/* A set of the numbers up to count, under a key of 60,000 bytes. */
static enum sm_err insert_set(struct fixture *f, const char *table, uint32_t count)
{
	static char key[60001];
	struct buf v;
	memset(key, 'k', 60000);
	buf_init(&v);
	buf_be32(&v, count);
	for (uint32_t i = 0; i < count; i++) {
		buf_be32(&v, 4);
		buf_be32(&v, i);
	}
	enum sm_err err = insert(f, table_of(f, table), KEY(TEXT(key)), NULL, "s", (struct store_cell){v.data, (int32_t)v.end}, 1, 0);
	buf_done(&v);
	return err;
}

static void entries_of_one_write_have_a_limit(void **state)
{
	struct fixture *f = *state;
	struct store_read all;
	struct store_cursor *c;
	const struct store_row *row;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:text:p s:set<int>:r", NULL));
	assert_ok(make_index(f, "t", "by_s", "s", STORE_INDEX_VALUES, NULL));
	wait_until_built(f, "t");
	assert_err(insert_set(f, "t", STORE_INDEX_ENTRIES_BYTES_MAX / 60000 + 1), SM_TOO_LARGE);
	all = all_of(table_of(f, "t"));
	assert_rows(f, &all, "");
	assert_ok(insert_set(f, "t", 100));
	struct store_condition where = equal_to("by_s", INT(99));
	all.where = &where;
	assert_ok(f->store->ops->open(f->store, &all, &c, NULL));
	assert_ok(f->store->ops->next(c, &row));
	assert_int_equal(row->cells[0].size, 60000);
	assert_err(f->store->ops->next(c, &row), SM_END);
	f->store->ops->close_cursor(c);
	/* of a row that was there before: the index is not built, and reads by it are right */
	assert_ok(make_table(f, "u", "k:text:p s:set<int>:r", NULL));
	assert_ok(insert_set(f, "u", STORE_INDEX_ENTRIES_BYTES_MAX / 60000 + 1));
	assert_ok(make_index(f, "u", "u_by_s", "s", STORE_INDEX_VALUES, NULL));
	where.index = "u_by_s";
	fixture_reopen(f);
	all = all_of(table_of(f, "u"));
	all.where = &where;
	assert_ok(f->store->ops->open(f->store, &all, &c, NULL));
	assert_ok(f->store->ops->next(c, &row));
	assert_err(f->store->ops->next(c, &row), SM_END);
	f->store->ops->close_cursor(c);
	assert_false(store__built_has(store__engine_of(f->store)->built, all.table->indexes[0].number));
}

/* Many mutations of one batch: rows first .. of partition 0. */
static void fill_partition(struct fixture *f, const struct store_table *t, int rows_count)
{
	enum { EACH = 10000 };
	static struct store_mutation mutations[EACH];
	static struct store_assignment cells[EACH];
	static struct store_cell clusterings[EACH];
	static struct int_value rooms[EACH];
	struct int_value zero;
	struct store_cell key = int_cell(0, &zero);
	for (int i = 0; i < rows_count; i++) {
		int at = i % EACH;
		clusterings[at] = int_cell(i, &rooms[at]);
		cells[at] = (struct store_assignment){store_find_column(t, "v"), clusterings[at]};
		mutations[at] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
							.table = t,
							.partition_key = &key,
							.clustering = &clusterings[at],
							.cells = &cells[at],
							.cell_count = 1,
							.timestamp_us = 1};
		if (at == EACH - 1)
			assert_ok(store_apply_wait(f->store, &(struct store_batch){.mutations = mutations, .count = EACH}));
	}
}

static void partition_of_a_million_rows_is_read_in_bounded_memory(void **state)
{
	enum { ROWS = 1000000 };
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	fill_partition(f, t, ROWS);
	uint64_t before = process_rss_bytes();
	struct store_read read = {.table = t, .partition_key = KEY(INT(0))};
	struct store_cursor *c;
	const struct store_row *row;
	for (int reverse = 0; reverse < 2; reverse++) {
		int32_t n = 0;
		read.reverse = reverse;
		assert_ok(f->store->ops->open(f->store, &read, &c, NULL));
		for (; !f->store->ops->next(c, &row); n++)
			assert_int_equal((int32_t)be32_get(row->cells[1].data), reverse ? ROWS - 1 - n : n);
		f->store->ops->close_cursor(c);
		assert_int_equal(n, ROWS);
	}
#ifdef __SANITIZE_ADDRESS__ /* it keeps what is freed */
	(void)before;
#else
	assert_true(process_rss_bytes() < before + (32u << 20));
#endif
	read.reverse = false;
	read.from = read.to = (struct store_bound){STORE_INCLUSIVE, 1, KEY(INT(777777))};
	assert_rows(f, &read, "0 777777 777777|");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(stalled_writes_are_pushed_back_and_the_caller_goes_on),
		T(value_of_16_mib_is_kept_and_a_larger_one_refused),
		T(entries_of_one_write_have_a_limit),
		T(partition_of_a_million_rows_is_read_in_bounded_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
