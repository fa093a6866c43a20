/* Rows that are new are put, others merged; nobody sees a difference. */
#include "store/testing.h"

/* How long RocksDB merges for reading all rows of the table; 0: it does not. */
static uint64_t merging_ns(struct fixture *f, const struct store_table *t)
{
	uint8_t from[4], to[4];
	be32_put(from, t->number);
	be32_put(to, t->number + 1);
	rocksdb_set_perf_level(rocksdb_enable_time_except_for_mutex);
	rocksdb_perfcontext_t *context = rocksdb_perfcontext_create();
	rocksdb_perfcontext_reset(context);
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_readoptions_set_iterate_upper_bound(options, (char *)to, 4);
	rocksdb_iterator_t *it = rocksdb_create_iterator(db_of(f), options);
	for (rocksdb_iter_seek(it, (char *)from, 4); rocksdb_iter_valid(it); rocksdb_iter_next(it))
		;
	uint64_t n = rocksdb_perfcontext_metric(context, rocksdb_merge_operator_time_nanos);
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	rocksdb_perfcontext_destroy(context);
	rocksdb_set_perf_level(rocksdb_disable);
	return n;
}

static void expect_rows(struct fixture *f, const struct store_table *t, const char *expected)
{
	struct store_read read = {.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX};
	char *shown = rows(f, &read);
	assert_string_equal(shown, expected);
	free(shown);
}

static void new_rows_need_no_merge(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	for (int i = 0; i < 100; i++)
		assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(i)), "v", INT(i), 10, 0));
	assert_int_equal(merging_ns(f, t), 0);
	flush(f);
	assert_int_equal(merging_ns(f, t), 0);
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(5)), "v", INT(50), 11, 0));
	assert_true(merging_ns(f, t) > 0);
}

static void older_pieces_stay_wherever_they_are(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r w:int:r", NULL));
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), NULL, "v", INT(7), 10, 0));
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), NULL, "w", INT(8), 9, 0));
	expect_rows(f, table_of(f, "t"), "1 7 8|"); /* in the memtable */
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(2)), NULL, "v", INT(7), 10, 0));
	flush(f);
	fixture_reopen(f);
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(2)), NULL, "w", INT(8), 9, 0)); /* in a file of which no block is in memory */
	fixture_reopen(f);
	struct store_cell two[] = {INT(2)};
	struct store_read read = {.table = table_of(f, "t"), .partition_key = two};
	char *shown = rows(f, &read);
	assert_string_equal(shown, "2 7 8|");
	free(shown);
}

static void row_that_is_twice_in_one_write_has_both(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r w:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store_assignment v = {store_find_column(t, "v"), INT(1)}, w = {store_find_column(t, "w"), INT(2)};
	struct store_mutation both[] = {
		{.kind = STORE_UPSERT_INSERT, .table = t, .partition_key = KEY(INT(1)), .cells = &v, .cell_count = 1, .timestamp_us = 10},
		{.kind = STORE_UPSERT_UPDATE, .table = t, .partition_key = KEY(INT(1)), .cells = &w, .cell_count = 1, .timestamp_us = 9},
	};
	struct store_batch b = {.mutations = both, .count = 2};
	assert_ok(store_apply_wait(f->store, &b));
	expect_rows(f, t, "1 1 2|");
}

static void older_deletion_hides_only_what_is_older(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store_mutation gone = {.kind = STORE_DELETE_ROW, .table = t, .partition_key = KEY(INT(1)), .timestamp_us = 20};
	assert_ok(apply_one(f, &gone));
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", INT(1), 10, 0));
	expect_rows(f, t, "");
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", INT(2), 30, 0));
	expect_rows(f, t, "1 2|");
}

/* Versions before this one merged the first piece of a row, too. */
static void rows_whose_first_piece_was_merged_are_read_and_written(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r w:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct buf key, value;
	struct store__row row;
	struct int_value one, seven;
	char *text = NULL;
	buf_init(&key);
	buf_init(&value);
	store__row_init(&row);
	store__key_prefix(t->number, bytes_of(int_cell(1, &one).data, 4), &key);
	buf_u8(&key, STORE_KEY_ROW);
	row.marker_us = 10;
	*store__row_add(&row) = (struct store__cell){
		.id = store_find_column(t, "v")->id, .timestamp_us = 10, .data = int_cell(7, &seven).data, .size = 4};
	store__row_encode(&row, &value);
	rocksdb_merge(db_of(f), store__engine_of(f->store)->rocks.write_sync, (char *)key.data, key.end, (char *)value.data, value.end,
		      &text);
	assert_null(text);
	buf_done(&key);
	buf_done(&value);
	store__row_done(&row);
	fixture_reopen(f);
	expect_rows(f, table_of(f, "t"), "1 7 -|");
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), NULL, "w", INT(8), 9, 0));
	expect_rows(f, table_of(f, "t"), "1 7 8|");
	flush(f);
	fixture_reopen(f);
	expect_rows(f, table_of(f, "t"), "1 7 8|");
}

/* Where rows are written again and again, few are looked for; the first ones of others are put again soon after. */
static void table_of_old_rows_is_seldom_looked_at(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store__table_state *s = store__table_of(t)->state;
	for (int i = 0; i < 1000; i++)
		assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", INT(i), i, 0));
	expect_rows(f, t, "1 999|");
	assert_true(s->not_looked > 900);
	for (int i = 2; i < 1000 && s->old_rows; i++)
		assert_ok(insert(f, t, KEY(INT(i)), NULL, "v", INT(i), i, 0));
	assert_int_equal(s->old_rows, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(new_rows_need_no_merge),
		T(older_pieces_stay_wherever_they_are),
		T(row_that_is_twice_in_one_write_has_both),
		T(older_deletion_hides_only_what_is_older),
		T(rows_whose_first_piece_was_merged_are_read_and_written),
		T(table_of_old_rows_is_seldom_looked_at),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
