#include "store/testing.h"
#include <pthread.h>
#include <rocksdb/c.h>

static void schema_changes_are_kept_over_a_restart(void **state)
{
	struct fixture *f = *state;
	struct uuid before = f->schema->version;
	assert_ok(make_keyspace(f, "ks"));
	assert_memory_not_equal(&before, &f->schema->version, sizeof before);
	assert_ok(make_table(f, "t", "k:int:p v:text:r c:int:C b:text:s a:int:s", NULL));
	before = f->schema->version;
	fixture_reopen(f);
	assert_memory_equal(&before, &f->schema->version, sizeof before);
	const struct store_table *t = table_of(f, "t");
	assert_int_equal(t->column_count, 5);
	const char *order[] = {"k", "c", "a", "b", "v"};
	for (int i = 0; i < 5; i++)
		assert_string_equal(t->columns[i].name, order[i]);
	assert_true(t->columns[1].descending);
	assert_int_equal(t->gc_grace_s, 864000);
	const struct store_keyspace *k = store_find_keyspace(f->schema, "ks");
	assert_int_equal(k->table_count, 1);
	assert_int_equal(k->replication_count, 2);
	assert_string_equal(k->replication[0].value, "SimpleStrategy");
}

static void schema_changes_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	struct sm_error error;
	assert_err(make_table(f, "t", "k:int:p v:int:r", &error), SM_NOT_FOUND);
	assert_ok(make_keyspace(f, "ks"));
	assert_err(make_keyspace(f, "ks"), SM_EXISTS);
	assert_err(make_keyspace(f, "no-minus"), SM_INVALID);
	assert_err(make_table(f, "t", "v:int:r", &error), SM_INVALID);
	assert_err(make_table(f, "t", "k:int:p s:int:s", &error), SM_INVALID);
	assert_err(make_table(f, "t", "k:int:p k:int:r", &error), SM_INVALID);
	assert_ok(make_table(f, "t", "k:int:p v:int:r", &error));
	assert_err(make_table(f, "t", "k:int:p v:int:r", &error), SM_EXISTS);
	assert_string_equal(error.text, "Table 'ks.t' already exists");
	assert_err(change_table(f, STORE_DROP_TABLE, "nope"), SM_NOT_FOUND);
	assert_ok(change_table(f, STORE_DROP_TABLE, "t"));
	assert_null(store_find_table(f->schema, "ks", "t"));
}

static void upsert_is_read_back_by_key(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r b:text:r", NULL));
	const struct store_table *t = table_of(f, "t");
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "a", INT(10), 5, 0));
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "b", TEXT("x"), 6, 0));
	assert_ok(insert(f, t, KEY(INT(2)), NULL, "a", NULL_CELL, 6, 0));
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 10 x|");
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(2))}, "2 - -|");
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(3))}, "");
	fixture_reopen(f);
	assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(1))}, "1 10 x|");
}

static void row_gives_write_times_and_seconds_left(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r b:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "a", INT(10), 5, 0));
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "b", INT(11), 7, 100));
	struct store_cursor *c;
	const struct store_row *row;
	f->clock.now_us += 30 * 1000000;
	struct store_read read = {.table = t, .partition_key = KEY(INT(1))};
	assert_ok(f->store->ops->open(f->store, &read, &c, NULL));
	assert_ok(f->store->ops->next(c, &row));
	assert_int_equal(row->timestamps_us[0], INT64_MIN);
	assert_int_equal(row->timestamps_us[1], 5);
	assert_int_equal(row->timestamps_us[2], 7);
	assert_int_equal(row->ttls_s[1], 0);
	assert_int_equal(row->ttls_s[2], 70);
	assert_int_equal(row->token, store_token(t, KEY(INT(1))));
	f->store->ops->close_cursor(c);
	f->clock.now_us += 70 * 1000000;
	assert_rows(f, &read, "1 10 -|");
}

static void expired_row_is_gone_and_update_alone_makes_no_row(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store_read read = {.table = t, .partition_key = KEY(INT(1))};
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "a", INT(10), 5, 10));
	assert_rows(f, &read, "1 10|");
	f->clock.now_us += 10 * 1000000;
	assert_rows(f, &read, "");
	struct store_assignment a = {store_find_column(t, "a"), INT(3)};
	struct store_mutation m = {
		.kind = STORE_UPSERT_UPDATE, .table = t, .partition_key = KEY(INT(1)), .cells = &a, .cell_count = 1, .timestamp_us = 6};
	assert_ok(apply_one(f, &m));
	assert_rows(f, &read, "1 3|");
	a.value = NULL_CELL;
	m.timestamp_us = 7;
	assert_ok(apply_one(f, &m));
	assert_rows(f, &read, "");
}

/* rows of partition 1: c = 1..9 descending and ascending in d */
static const struct store_table *make_slices(struct fixture *f)
{
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:C d:text:c v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	for (int c = 1; c <= 3; c++) {
		assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(c), TEXT("a")), "v", INT(c * 10), 1, 0));
		assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(c), TEXT("b")), "v", INT(c * 10 + 1), 1, 0));
	}
	return t;
}

static void slices_follow_the_tables_order(void **state)
{
	struct fixture *f = *state;
	const struct store_table *t = make_slices(f);
	struct store_read r = {.table = t, .partition_key = KEY(INT(1))};
	assert_rows(f, &r, "1 3 a 30|1 3 b 31|1 2 a 20|1 2 b 21|1 1 a 10|1 1 b 11|");
	r.reverse = true;
	assert_rows(f, &r, "1 1 b 11|1 1 a 10|1 2 b 21|1 2 a 20|1 3 b 31|1 3 a 30|");
	r.from = r.to = (struct store_bound){STORE_INCLUSIVE, 1, KEY(INT(2))};
	assert_rows(f, &r, "1 2 b 21|1 2 a 20|");
	r.reverse = false;
	assert_rows(f, &r, "1 2 a 20|1 2 b 21|");
	r.from.kind = STORE_EXCLUSIVE;
	r.to = (struct store_bound){STORE_UNBOUNDED, 0, NULL};
	assert_rows(f, &r, "1 1 a 10|1 1 b 11|");
	r.from = (struct store_bound){STORE_EXCLUSIVE, 2, KEY(INT(3), TEXT("a"))};
	r.to = (struct store_bound){STORE_EXCLUSIVE, 2, KEY(INT(1), TEXT("b"))};
	assert_rows(f, &r, "1 3 b 31|1 2 a 20|1 2 b 21|1 1 a 10|");
	r.reverse = true;
	assert_rows(f, &r, "1 1 a 10|1 2 b 21|1 2 a 20|1 3 b 31|");
	r.after_clustering = KEY(INT(2), TEXT("b"));
	assert_rows(f, &r, "1 2 a 20|1 3 b 31|");
	r.reverse = false;
	assert_rows(f, &r, "1 1 a 10|");
	r.from = r.to = (struct store_bound){STORE_INCLUSIVE, 2, KEY(INT(2), TEXT("b"))};
	r.after_clustering = NULL;
	assert_rows(f, &r, "1 2 b 21|");
}

static void deletions_cover_what_is_older(void **state)
{
	struct fixture *f = *state;
	const struct store_table *t = make_slices(f);
	struct store_read r = {.table = t, .partition_key = KEY(INT(1))};
	struct store_mutation m = {.kind = STORE_DELETE_ROW,
				   .table = t,
				   .partition_key = KEY(INT(1)),
				   .clustering = KEY(INT(3), TEXT("a")),
				   .timestamp_us = 1};
	assert_ok(apply_one(f, &m));
	assert_rows(f, &r, "1 3 b 31|1 2 a 20|1 2 b 21|1 1 a 10|1 1 b 11|");
	struct store_read point = r;
	point.from = point.to = (struct store_bound){STORE_INCLUSIVE, 2, KEY(INT(2), TEXT("b"))};
	assert_rows(f, &point, "1 2 b 21|");
	m = (struct store_mutation){.kind = STORE_DELETE_RANGE, .table = t, .partition_key = KEY(INT(1)), .timestamp_us = 2};
	m.from = m.to = (struct store_bound){STORE_INCLUSIVE, 1, KEY(INT(2))};
	assert_ok(apply_one(f, &m));
	assert_rows(f, &r, "1 3 b 31|1 1 a 10|1 1 b 11|");
	assert_rows(f, &point, "");
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(2), TEXT("a")), "v", INT(5), 2, 0));
	assert_rows(f, &r, "1 3 b 31|1 1 a 10|1 1 b 11|");
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(2), TEXT("a")), "v", INT(6), 3, 0));
	assert_rows(f, &r, "1 3 b 31|1 2 a 6|1 1 a 10|1 1 b 11|");
	fixture_reopen(f);
	t = r.table = m.table = point.table = table_of(f, "t");
	assert_rows(f, &r, "1 3 b 31|1 2 a 6|1 1 a 10|1 1 b 11|");
	assert_rows(f, &point, "");
	m.kind = STORE_DELETE_PARTITION;
	assert_ok(apply_one(f, &m));
	assert_rows(f, &r, "1 2 a 6|");
	struct store_assignment a = {store_find_column(t, "v"), NULL_CELL};
	m = (struct store_mutation){.kind = STORE_DELETE_CELLS,
				    .table = t,
				    .partition_key = KEY(INT(1)),
				    .clustering = KEY(INT(2), TEXT("a")),
				    .cells = &a,
				    .cell_count = 1,
				    .timestamp_us = 9};
	assert_ok(apply_one(f, &m));
	assert_rows(f, &r, "1 2 a -|");
}

static void a_refused_deletion_does_not_hide_the_next_from_a_restart(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	assert_ok(make_table(f, "u", "k:int:p v:int:r", NULL));
	const struct store_table *t = table_of(f, "t"), *u = table_of(f, "u");
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "v", INT(7), 100, 0));
	const struct store_schema *before = f->store->ops->schema(f->store);
	struct store_change drop = {.kind = STORE_DROP_TABLE, .keyspace = "ks", .table = "u"};
	assert_ok(store_change_wait(f->store, &drop, NULL));
	struct store_mutation both[] = {{.kind = STORE_DELETE_PARTITION, .table = t, .partition_key = KEY(INT(1)), .timestamp_us = 200},
					{.kind = STORE_UPSERT_INSERT, .table = u, .partition_key = KEY(INT(1)), .timestamp_us = 200}};
	assert_err(store_apply_wait(f->store, &(struct store_batch){.mutations = both, .count = 2}), SM_NOT_FOUND);
	f->store->ops->schema_release(f->store, before);
	fixture_look(f);
	t = table_of(f, "t");
	struct store_read read = all_of(t);
	assert_rows(f, &read, "1 1 7|");
	struct store_mutation delete = {.kind = STORE_DELETE_PARTITION, .table = t, .partition_key = KEY(INT(1)), .timestamp_us = 200};
	assert_ok(apply_one(f, &delete));
	fixture_reopen(f);
	t = table_of(f, "t");
	struct store_bound row = {.kind = STORE_INCLUSIVE, .count = 1, .cells = KEY(INT(1))};
	struct store_read one = {.table = t, .partition_key = KEY(INT(1)), .from = row, .to = row};
	assert_rows(f, &one, "");
}

static void statics_are_shared_by_the_rows_of_a_partition(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c s:int:s v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store_read r = {.table = t, .partition_key = KEY(INT(1))};
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "s", INT(7), 1, 0));
	assert_rows(f, &r, "1 - 7 -!|");
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "v", INT(1), 1, 0));
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(2)), "v", INT(2), 1, 0));
	assert_rows(f, &r, "1 1 7 1|1 2 7 2|");
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(2)), "s", INT(8), 2, 0));
	assert_rows(f, &r, "1 1 8 1|1 2 8 2|");
	r.statics_only = true;
	assert_rows(f, &r, "1 - 8 -|");
	r.statics_only = false;
	r.from = r.to = (struct store_bound){STORE_INCLUSIVE, 1, KEY(INT(9))};
	assert_rows(f, &r, "");
	struct store_mutation m = {.kind = STORE_DELETE_PARTITION, .table = t, .partition_key = KEY(INT(1)), .timestamp_us = 2};
	assert_ok(apply_one(f, &m));
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "");
}

static void token_ranges_and_paging_give_each_row_once(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c s:int:s v:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	for (int k = 0; k < 20; k++) {
		for (int c = 0; c < k % 4; c++)
			assert_ok(insert(f, t, KEY(INT(k)), KEY(INT(c)), "v", INT(k * 10 + c), 1, 0));
		if (k % 5 == 0)
			assert_ok(insert(f, t, KEY(INT(k)), NULL, "s", INT(k), 1, 0));
	}
	struct store_read all = all_of(t);
	char *expected = rows(f, &all);
	/* in two halves */
	struct store_read half = all;
	half.token_to = 0;
	char *low = rows(f, &half);
	half = all;
	half.token_from = 1;
	char *high = rows(f, &half);
	char joined[4096];
	snprintf(joined, sizeof joined, "%s%s", low, high);
	assert_string_equal(joined, expected);
	free(low);
	free(high);
	/* in pages of one row */
	struct buf paged;
	buf_init(&paged);
	int32_t k = 0, c = 0;
	bool first = true, behind = false;
	for (;;) {
		struct store_read r = all;
		struct store_cursor *cursor;
		const struct store_row *row;
		struct store_cell key = INT(k), clustering = INT(c);
		if (!first) {
			r.after_partition_key = &key;
			r.after_clustering = behind ? NULL : &clustering;
		}
		assert_ok(f->store->ops->open(f->store, &r, &cursor, NULL));
		enum sm_err err = f->store->ops->next(cursor, &row);
		if (!err) {
			for (uint16_t i = 0; i < t->column_count; i++) {
				if (i)
					buf_u8(&paged, ' ');
				show_value(&t->columns[i].type, row->cells[i], &paged);
			}
			buf_append_str(&paged, row->static_only ? "!|" : "|");
			k = (int32_t)be32_get(row->cells[0].data);
			behind = row->cells[1].size < 0;
			c = behind ? 0 : (int32_t)be32_get(row->cells[1].data);
			first = false;
		}
		f->store->ops->close_cursor(cursor);
		if (err)
			break;
	}
	buf_u8(&paged, 0);
	assert_string_equal((char *)paged.data, expected);
	buf_done(&paged);
	free(expected);
	struct store_read distinct = all;
	distinct.statics_only = true;
	expected = rows(f, &distinct);
	int count = 0;
	for (const char *p = expected; *p; p++)
		count += *p == '|';
	assert_int_equal(count, 16); /* 15 with rows, and 0 with a static cell only; 8, 12, 16 and 4 have nothing but 4 % 4 == 0 */
	free(expected);
}

static void dropped_columns_do_not_come_back(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r b:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "a", INT(1), 1, 0));
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "b", INT(2), 1, 0));
	struct store_column columns[3] = {t->columns[0], t->columns[1]};
	struct store_table to = *t;
	struct store_change c = {.kind = STORE_ALTER_TABLE, .keyspace = "ks", .table = "t", .new_table = &to};
	to.columns = columns;
	to.column_count = 2;
	columns[0].name = "key";
	assert_ok(store_change_wait(f->store, &c, NULL));
	fixture_look(f);
	t = table_of(f, "t");
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, "1 1|");
	assert_string_equal(t->columns[0].name, "key");
	columns[0] = t->columns[0];
	columns[1] = t->columns[1];
	columns[2] = (struct store_column){.name = "b", .type = {STORE_INT, 0, NULL}, .kind = STORE_REGULAR};
	to = *t;
	to.columns = columns;
	to.column_count = 3;
	assert_ok(store_change_wait(f->store, &c, NULL));
	fixture_reopen(f);
	assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(1))}, "1 1 -|");
}

static void truncated_table_is_empty_and_takes_late_writes(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	const struct store_schema *old = f->store->ops->schema(f->store);
	const struct store_table *t = store_find_table(old, "ks", "t");
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "a", INT(1), 1, 0));
	assert_ok(change_table(f, STORE_TRUNCATE_TABLE, "t"));
	struct store_read r = all_of(table_of(f, "t"));
	assert_rows(f, &r, "");
	assert_ok(insert(f, t, KEY(INT(2)), NULL, "a", INT(2), 1, 0)); /* with the older picture */
	assert_rows(f, &r, "2 2|");
	assert_ok(change_table(f, STORE_DROP_TABLE, "t"));
	assert_err(insert(f, t, KEY(INT(3)), NULL, "a", INT(2), 1, 0), SM_NOT_FOUND);
	f->store->ops->schema_release(f->store, old);
}

static void batch_of_an_older_epoch_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	uint64_t one, two;
	struct store_batch b = {.job = "views", .epoch = 1};
	assert_err(store_apply_wait(f->store, &b), SM_STALE_EPOCH);
	assert_ok(f->store->ops->job_epoch(f->store, "views", &one, NULL));
	b.epoch = one;
	assert_ok(store_apply_wait(f->store, &b));
	assert_ok(f->store->ops->job_epoch(f->store, "views", &two, NULL));
	assert_true(two > one);
	assert_err(store_apply_wait(f->store, &b), SM_STALE_EPOCH);
	fixture_reopen(f);
	b.epoch = two;
	assert_ok(store_apply_wait(f->store, &b));
	assert_ok(f->store->ops->job_epoch(f->store, "views", &one, NULL));
	assert_true(one > two);
}

static void bad_mutations_are_refused(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:text:p c:int:c a:int:r b:text:r", NULL));
	const struct store_table *t = table_of(f, "t");
	char *large = malloc(70000);
	memset(large, 'x', 70000);
	struct store_cell big = {(uint8_t *)large, 70000};
	assert_err(insert(f, t, KEY(big), KEY(INT(1)), "a", INT(1), 1, 0), SM_TOO_LARGE);
	free(large);
	assert_err(insert(f, t, KEY(TEXT("")), KEY(INT(1)), "a", INT(1), 1, 0), SM_INVALID);
	assert_err(insert(f, t, KEY(NULL_CELL), KEY(INT(1)), "a", INT(1), 1, 0), SM_INVALID);
	assert_err(insert(f, t, KEY(TEXT("k")), KEY(TEXT("abc")), "a", INT(1), 1, 0), SM_INVALID);
	assert_err(insert(f, t, KEY(TEXT("k")), KEY(INT(1)), "a", TEXT("abc"), 1, 0), SM_INVALID);
	assert_err(insert(f, t, KEY(TEXT("k")), KEY(INT(1)), "b", TEXT("\xff"), 1, 0), SM_INVALID);
	assert_err(insert(f, t, KEY(TEXT("k")), NULL, "a", INT(1), 1, 0), SM_INVALID);
	assert_err(insert(f, t, KEY(TEXT("k")), KEY(INT(1)), "a", INT(1), 1, -1), SM_INVALID);
	assert_err(insert(f, t, KEY(TEXT("k")), KEY(INT(1)), "a", INT(1), INT64_MIN, 0), SM_INVALID);
	assert_rows(f, &(struct store_read){.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX}, "");
}

static void checkpoint_holds_what_was_acknowledged(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), NULL, "a", INT(1), 1, 0));
	char dir[80];
	struct sm_error error = {0};
	snprintf(dir, sizeof dir, "%s-checkpoint", f->dir);
	assert_ok(f->store->ops->checkpoint(f->store, dir, &error));
	assert_err(f->store->ops->checkpoint(f->store, dir, &error), SM_EXISTS);
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(2)), NULL, "a", INT(2), 1, 0));
	struct fixture copy = {.store = NULL};
	assert_ok(store_checkpoint_open(dir, &copy.store, &error));
	copy.schema = copy.store->ops->schema(copy.store);
	struct store_read r = all_of(store_find_table(copy.schema, "ks", "t"));
	assert_rows(&copy, &r, "1 1|");
	assert_err(insert(&copy, r.table, KEY(INT(3)), NULL, "a", INT(1), 1, 0), SM_UNSUPPORTED);
	copy.store->ops->schema_release(copy.store, copy.schema);
	assert_ok(copy.store->ops->close(copy.store, NULL));
	assert_ok(io_remove_tree(&io_system, dir, NULL));
	assert_err(store_checkpoint_open(dir, &copy.store, &error), SM_NOT_FOUND);
}

static void cached_only_says_again_instead_of_reading(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	/* enough that the row is not in the block of the system's keys, which opening reads */
	for (int k = 0; k < 600; k++)
		assert_ok(insert(f, table_of(f, "t"), KEY(INT(k)), NULL, "a", INT(k), 1, 0));
	struct store_cell key = INT(1);
	for (int k = 1; store_token(table_of(f, "t"), &key) < INT64_MAX / 2; k++)
		be32_put((uint8_t *)key.data, (uint32_t)k);
	struct store_read r = {.table = table_of(f, "t"), .partition_key = &key, .cached_only = true};
	char *expected = rows(f, &r);
	assert_string_not_equal(expected, "");
	fixture_reopen(f);
	r.table = table_of(f, "t");
	store__engine_of(f->store)->rocks.page_cache = false; /* page_cache_test.c has that */
	struct store_cursor *c;
	const struct store_row *row;
	assert_ok(f->store->ops->open(f->store, &r, &c, NULL));
	enum sm_err err = f->store->ops->next(c, &row);
	f->store->ops->close_cursor(c);
	assert_int_equal(err, SM_AGAIN);
	r.cached_only = false;
	assert_rows(f, &r, expected);
	r.cached_only = true;
	assert_rows(f, &r, expected);
	free(expected);
}

static void store_in_use_is_refused_to_others(void **state)
{
	struct fixture *f = *state;
	struct sm_store *other;
	struct sm_error error = {0};
	struct store_embedded_options o = {.dir = f->dir};
	assert_err(store_embedded_open(&o, &other, &error), SM_BUSY);
}

/* ---- many writers ---- */

struct load {
	struct fixture *f;
	const struct store_table *table;
	int first, count;
	atomic_int acknowledged;
};

static void counted(void *arg, enum sm_err err)
{
	struct load *l = arg;
	if (!err)
		atomic_fetch_add(&l->acknowledged, 1);
}

static void *write_many(void *arg)
{
	struct load *l = arg;
	for (int i = 0; i < l->count; i++) {
		struct store_assignment a = {store_find_column(l->table, "a"), INT(i)};
		struct store_mutation m = {.kind = STORE_UPSERT_INSERT,
					   .table = l->table,
					   .partition_key = KEY(INT(l->first + i)),
					   .cells = &a,
					   .cell_count = 1,
					   .timestamp_us = 1};
		struct store_batch b = {.mutations = &m, .count = 1};
		l->f->store->ops->apply(l->f->store, &b, counted, l);
	}
	return NULL;
}

static void many_threads_write_and_each_write_is_there(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	struct load loads[4];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) {
		loads[i] = (struct load){f, table_of(f, "t"), i * 1000, 1000, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, &loads[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	uint64_t epoch; /* answered behind all of them */
	assert_ok(f->store->ops->job_epoch(f->store, "barrier", &epoch, NULL));
	for (int i = 0; i < 4; i++)
		assert_int_equal(atomic_load(&loads[i].acknowledged), 1000);
	struct store_read r = all_of(table_of(f, "t"));
	char *got = rows(f, &r);
	int count = 0;
	for (const char *p = got; *p; p++)
		count += *p == '|';
	free(got);
	assert_int_equal(count, 4000);
}

/* ---- a reader while tables come and go ---- */

struct churn {
	struct fixture *f;
	atomic_bool stop;
	atomic_int reads;
};

static void *read_all_the_time(void *arg)
{
	struct churn *c = arg;
	struct sm_store *store = c->f->store;
	while (!atomic_load(&c->stop)) {
		const struct store_schema *schema = store->ops->schema(store);
		const struct store_table *t = store_find_table(schema, "ks", "t");
		if (t) {
			struct store_read r = all_of(t);
			struct store_cursor *cursor;
			const struct store_row *row;
			enum sm_err err;
			assert_ok(store->ops->open(store, &r, &cursor, NULL));
			while (!(err = store->ops->next(cursor, &row)))
				assert_int_equal(row->cells[0].size, 4);
			assert_err(err, SM_END);
			store->ops->close_cursor(cursor);
			atomic_fetch_add(&c->reads, 1);
		}
		store->ops->schema_release(store, schema);
	}
	return NULL;
}

static void readers_are_not_disturbed_by_schema_changes(void **state)
{
	struct fixture *f = *state;
	struct churn c = {.f = f};
	pthread_t thread;
	assert_ok(make_keyspace(f, "ks"));
	assert_int_equal(pthread_create(&thread, NULL, read_all_the_time, &c), 0);
	for (int i = 0; i < 20 || atomic_load(&c.reads) < 5; i++) {
		assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
		for (int k = 0; k < 10; k++)
			assert_ok(insert(f, table_of(f, "t"), KEY(INT(k)), NULL, "a", INT(i), 1, 0));
		assert_ok(change_table(f, i % 2 ? STORE_TRUNCATE_TABLE : STORE_DROP_TABLE, "t"));
		if (i % 2)
			assert_ok(change_table(f, STORE_DROP_TABLE, "t"));
	}
	atomic_store(&c.stop, true);
	pthread_join(thread, NULL);
}

static void schema_changes_run_on_the_pool(void **state)
{
	struct fixture *f = *state;
	struct sm_system *system;
	struct sm_store *store;
	char dir[80];
	snprintf(dir, sizeof dir, "%s-pool", f->dir);
	assert_ok(sm_system_new(&(struct sm_system_options){.dispatchers = 1, .pool_threads = 2}, &system, NULL));
	struct store_embedded_options o = {.dir = dir, .system = system};
	assert_ok(store_embedded_open(&o, &store, NULL));
	struct store_keyspace k = {.name = "ks"};
	struct store_change c = {.kind = STORE_CREATE_KEYSPACE, .keyspace = "ks", .new_keyspace = &k};
	struct sm_error error = {0};
	assert_ok(store_change_wait(store, &c, &error));
	assert_err(store_change_wait(store, &c, &error), SM_EXISTS);
	assert_string_equal(error.text, "Keyspace 'ks' already exists");
	assert_ok(store->ops->close(store, NULL));
	assert_ok(sm_system_stop(system, 1000));
	assert_ok(io_remove_tree(&io_system, dir, NULL));
}

static void newer_format_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store__rocks rocks;
	struct store__rocks_options o = {.dir = f->dir};
	struct buf key;
	char *text = NULL;
	f->store->ops->schema_release(f->store, f->schema);
	assert_ok(f->store->ops->close(f->store, NULL));
	f->store = NULL;
	f->schema = NULL;
	buf_init(&key);
	store__system_key(&key, STORE_SYSTEM_FORMAT, bytes_of(NULL, 0));
	assert_ok(store__rocks_open(&o, &rocks, NULL));
	rocksdb_put(rocks.db, rocks.write_sync, (const char *)key.data, key.end, "\0\0\0\4", 4, &text);
	assert_null(text);
	store__rocks_close(&rocks);
	buf_done(&key);
	struct store_embedded_options e = {.dir = f->dir};
	struct sm_store *store;
	struct sm_error error = {0};
	assert_err(store_embedded_open(&e, &store, &error), SM_VERSION);
	assert_non_null(strstr(error.text, "has format 4"));
}

static void older_format_is_read_and_raised(void **state)
{
	struct fixture *f = *state;
	struct store__rocks rocks;
	struct store__rocks_options o = {.dir = f->dir};
	struct buf key;
	size_t size;
	char *text = NULL;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), NULL, "a", INT(7), 1, 0));
	f->store->ops->schema_release(f->store, f->schema);
	f->schema = NULL;
	assert_ok(f->store->ops->close(f->store, NULL));
	f->store = NULL;
	buf_init(&key);
	store__system_key(&key, STORE_SYSTEM_FORMAT, bytes_of(NULL, 0));
	for (int raised = 0; raised < 2; raised++) {
		assert_ok(store__rocks_open(&o, &rocks, NULL));
		if (raised) {
			char *value = rocksdb_get(rocks.db, rocks.get, (const char *)key.data, key.end, &size, &text);
			assert_int_equal(size, 4);
			assert_int_equal(be32_get(value), STORE_FORMAT);
			rocksdb_free(value);
		} else {
			rocksdb_put(rocks.db, rocks.write_sync, (const char *)key.data, key.end, "\0\0\0\1", 4, &text);
		}
		assert_null(text);
		store__rocks_close(&rocks);
		fixture_reopen(f);
		assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(1))}, "1 7|");
		f->store->ops->schema_release(f->store, f->schema);
		f->schema = NULL;
		assert_ok(f->store->ops->close(f->store, NULL));
		f->store = NULL;
	}
	buf_done(&key);
}

/* one key written very often: the pieces are joined */
static void hot_row_keeps_its_last_value(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store_mutation m[500];
	struct store_assignment a[500];
	struct int_value values[500];
	const struct store_cell *key = KEY(INT(1));
	for (int i = 0; i < 500; i++) {
		a[i] = (struct store_assignment){store_find_column(t, "a"), int_cell(i, &values[i])};
		m[i] = (struct store_mutation){.kind = STORE_UPSERT_UPDATE,
					       .table = t,
					       .partition_key = key,
					       .cells = &a[i],
					       .cell_count = 1,
					       .timestamp_us = 1 + (i * 7919) % 500};
	}
	struct store_batch b = {.mutations = m, .count = 500};
	assert_ok(store_apply_wait(f->store, &b));
	int last = 0;
	for (int i = 0; i < 500; i++)
		if ((i * 7919) % 500 == 499)
			last = i;
	char expected[20];
	snprintf(expected, sizeof expected, "1 %d|", last);
	assert_rows(f, &(struct store_read){.table = t, .partition_key = KEY(INT(1))}, expected);
	fixture_reopen(f);
	assert_rows(f, &(struct store_read){.table = table_of(f, "t"), .partition_key = KEY(INT(1))}, expected);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(schema_changes_are_kept_over_a_restart),
		T(schema_changes_that_cannot_be_are_refused),
		T(upsert_is_read_back_by_key),
		T(row_gives_write_times_and_seconds_left),
		T(expired_row_is_gone_and_update_alone_makes_no_row),
		T(slices_follow_the_tables_order),
		T(deletions_cover_what_is_older),
		T(a_refused_deletion_does_not_hide_the_next_from_a_restart),
		T(statics_are_shared_by_the_rows_of_a_partition),
		T(token_ranges_and_paging_give_each_row_once),
		T(dropped_columns_do_not_come_back),
		T(truncated_table_is_empty_and_takes_late_writes),
		T(batch_of_an_older_epoch_is_refused),
		T(bad_mutations_are_refused),
		T(checkpoint_holds_what_was_acknowledged),
		T(cached_only_says_again_instead_of_reading),
		T(store_in_use_is_refused_to_others),
		T(many_threads_write_and_each_write_is_there),
		T(readers_are_not_disturbed_by_schema_changes),
		T(schema_changes_run_on_the_pool),
		T(newer_format_is_refused),
		T(older_format_is_read_and_raised),
		T(hot_row_keeps_its_last_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
