/* Indexes: what a read by one gives is what reading all rows and leaving out gives, whatever was written, deleted, expired, purged, built
 * late, broken off or killed in between. */
#include "base/metrics.h"
#include "store/check.h"
#include "store/purge.h"
#include "store/snapshot.h"
#include "store/testing.h"

/* ---- helpers ---- */

static void assert_found(struct fixture *f, const struct store_table *t, const struct store_condition *where, const char *expected)
{
	struct store_read read = all_of(t);
	read.where = where;
	assert_rows(f, &read, expected);
}

/* Keys on disk that begin with the number. */
static uint32_t keys_of(struct fixture *f, uint32_t number)
{
	uint8_t from[4];
	uint32_t n = 0;
	be32_put(from, number);
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_iterator_t *it = rocksdb_create_iterator(db_of(f), options);
	for (rocksdb_iter_seek(it, (char *)from, 4); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t size;
		const char *key = rocksdb_iter_key(it, &size);
		if (be32_get(key) != number)
			break;
		n++;
	}
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(options);
	return n;
}

static void compact_all(struct fixture *f)
{
	rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
	rocksdb_compactoptions_set_bottommost_level_compaction(options, 2);
	rocksdb_compact_range_opt(db_of(f), options, NULL, 0, NULL, 0);
	rocksdb_compactoptions_destroy(options);
}

static enum sm_err alter_indexes(struct fixture *f, const char *table, const struct store_index *indexes, uint16_t count)
{
	struct store_table t = *table_of(f, table);
	t.indexes = indexes;
	t.index_count = count;
	struct store_change c = {.kind = STORE_ALTER_TABLE, .keyspace = "ks", .table = table, .new_table = &t};
	enum sm_err err = store_change_wait(f->store, &c, NULL);
	fixture_look(f);
	return err;
}

/* ---- by hand ---- */

static void an_equal_value_finds_its_rows_in_the_order_of_the_table(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:text:r", NULL));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	for (int k = 0; k < 3; k++)
		for (int c = 0; c < 3; c++)
			assert_ok(insert(f, t, KEY(INT(k)), KEY(INT(c)), "v", (k + c) % 2 ? TEXT("odd") : TEXT("even"), 1, 0));
	struct store_condition even = equal_to("by_v", TEXT("even"));
	assert_found(f, t, &even, "1 1 even|0 0 even|0 2 even|2 0 even|2 2 even|"); /* by token: 1, 0, 2 */
	struct store_read read = {.table = t, .partition_key = KEY(INT(2)), .where = &even};
	assert_rows(f, &read, "2 0 even|2 2 even|");
	read.reverse = true;
	assert_rows(f, &read, "2 2 even|2 0 even|");
	read.reverse = false;
	read.from = (struct store_bound){STORE_EXCLUSIVE, 1, KEY(INT(0))};
	assert_rows(f, &read, "2 2 even|");
	assert_ok(insert(f, t, KEY(INT(0)), KEY(INT(2)), "v", TEXT("odd"), 2, 0)); /* leaves a stale entry */
	assert_ok(insert(f, t, KEY(INT(0)), KEY(INT(0)), "v", TEXT("odd"), 0, 0)); /* too old to change anything */
	assert_found(f, t, &even, "1 1 even|0 0 even|2 0 even|2 2 even|");
	struct store_condition odd = equal_to("by_v", TEXT("odd")), none = equal_to("by_v", TEXT("od"));
	assert_found(f, t, &odd, "1 0 odd|1 2 odd|0 1 odd|0 2 odd|2 1 odd|");
	assert_found(f, t, &none, "");
	read = all_of(t);
	read.where = &odd;
	read.after_partition_key = KEY(INT(0));
	assert_rows(f, &read, "2 1 odd|");
	read.after_clustering = KEY(INT(1));
	assert_rows(f, &read, "0 2 odd|2 1 odd|");
}

static void what_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;
	struct sm_error error;
	struct store_cursor *c;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(
		f, "t",
		"k:int:p c:int:c v:int:r d:duration:r m:map<int,int>:r fl:frozen<list<int>>:r ld:list<duration>:r td:tuple<int,duration>:r",
		NULL));
	assert_ok(make_table(f, "n", "k:int:p v:counter:r", NULL));
	assert_err(make_index(f, "t", "i", "k", STORE_INDEX_WHOLE, &error), SM_INVALID);
	assert_err(make_index(f, "t", "i", "nope", STORE_INDEX_WHOLE, &error), SM_INVALID);
	assert_err(make_index(f, "t", "i", "d", STORE_INDEX_WHOLE, &error), SM_INVALID);
	assert_err(make_index(f, "t", "i", "m", STORE_INDEX_WHOLE, &error), SM_INVALID);
	assert_err(make_index(f, "t", "i", "ld", STORE_INDEX_VALUES, &error), SM_INVALID);
	assert_err(make_index(f, "t", "i", "td", STORE_INDEX_WHOLE, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "'td' holds durations"));
	assert_err(make_index(f, "t", "i", "v", STORE_INDEX_VALUES, &error), SM_INVALID);
	assert_err(make_index(f, "t", "i", "fl", STORE_INDEX_VALUES, &error), SM_INVALID);
	assert_err(make_index(f, "n", "i", "v", STORE_INDEX_WHOLE, &error), SM_INVALID);
	assert_ok(make_index(f, "t", "i", "v", STORE_INDEX_WHOLE, &error));
	assert_err(make_index(f, "t", "i", "c", STORE_INDEX_WHOLE, &error), SM_EXISTS);
	const struct store_table *t = table_of(f, "t");
	struct store_condition where = equal_to("j", INT(1));
	struct store_read read = all_of(t);
	read.where = &where;
	assert_err(f->store->ops->open(f->store, &read, &c, &error), SM_NOT_FOUND);
	where = equal_to("i", TEXT("no int"));
	assert_err(f->store->ops->open(f->store, &read, &c, &error), SM_INVALID);
	where = equal_to("i", INT(1));
	read.statics_only = true;
	assert_err(f->store->ops->open(f->store, &read, &c, &error), SM_INVALID);
	/* a column with an index stays */
	struct store_column columns[16];
	struct store_table without = *t;
	uint16_t n = 0;
	for (uint16_t i = 0; i < t->column_count; i++)
		if (strcmp(t->columns[i].name, "v") != 0)
			columns[n++] = t->columns[i];
	without.columns = columns;
	without.column_count = n;
	struct store_change change = {.kind = STORE_ALTER_TABLE, .keyspace = "ks", .table = "t", .new_table = &without};
	assert_err(store_change_wait(f->store, &change, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "dependent secondary indexes (i)"));
}

static void a_table_made_from_an_older_picture_is_refused(void **state)
{
	struct fixture *f = *state;
	struct sm_error error;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	const struct store_table *old = table_of(f, "t");
	struct store_table same = *old;
	struct store_change change = {.kind = STORE_ALTER_TABLE, .keyspace = "ks", .table = "t", .new_table = &same, .from = old};
	assert_ok(make_index(f, "t", "i", "v", STORE_INDEX_WHOLE, &error));
	assert_err(store_change_wait(f->store, &change, &error), SM_CONFLICT);
	assert_int_equal(table_of(f, "t")->index_count, 1);
	change.from = table_of(f, "t");
	same = *change.from;
	assert_ok(store_change_wait(f->store, &change, &error));
	assert_int_equal(table_of(f, "t")->index_count, 1);
}

static void values_that_have_no_order_or_are_long_are_found_too(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r x:text:r", NULL));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	assert_ok(make_index(f, "t", "by_x", "x", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	struct store_cell nothing = {(const uint8_t *)"", 0};
	static char longs[2][3001];
	memset(longs[0], 'a', 3000);
	memset(longs[1], 'a', 3000);
	longs[1][2999] = 'b';
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", nothing, 1, 0));
	assert_ok(insert(f, t, KEY(INT(2)), NULL, "v", INT(7), 1, 0));
	assert_ok(insert(f, t, KEY(INT(3)), NULL, "x", TEXT(longs[0]), 1, 0));
	assert_ok(insert(f, t, KEY(INT(4)), NULL, "x", TEXT(longs[1]), 1, 0));
	struct store_read read = all_of(t);
	struct store_cursor *c;
	const struct store_row *row;
	struct store_condition conditions[] = {equal_to("by_v", nothing),
					       equal_to("by_x", TEXT(longs[0])),
					       equal_to("by_x", TEXT(longs[1])),
					       {.index = "by_x", .from_kind = STORE_EXCLUSIVE, .from = TEXT(longs[0])}};
	static const int keys[] = {1, 3, 4, 4};
	for (int i = 0; i < 4; i++) {
		read.where = &conditions[i];
		assert_ok(f->store->ops->open(f->store, &read, &c, NULL));
		assert_ok(f->store->ops->next(c, &row));
		assert_int_equal(be32_get(row->cells[0].data), keys[i]);
		assert_err(f->store->ops->next(c, &row), SM_END);
		f->store->ops->close_cursor(c);
	}
}

static void letters_are_folded_where_the_index_does(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:text:r", NULL));
	struct store_index list[] = {{.name = "folds", .column = "v", .folds = true, .definition = ""},
				     {.name = "exact", .column = "v", .definition = "kept"}};
	assert_ok(alter_indexes(f, "t", list, 2));
	fixture_reopen(f);
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	assert_string_equal(t->indexes[0].definition, "kept");
	assert_true(t->indexes[1].folds);
	assert_ok(insert(f, t, KEY(INT(1)), NULL, "v", TEXT("One"), 1, 0));
	assert_ok(insert(f, t, KEY(INT(2)), NULL, "v", TEXT("oNE"), 1, 0));
	struct store_condition folded = equal_to("folds", TEXT("ONe")), exact = equal_to("exact", TEXT("One"));
	assert_found(f, t, &folded, "1 One|2 oNE|");
	assert_found(f, t, &exact, "1 One|");
	flush(f);
	compact_all(f);
	assert_found(f, t, &folded, "1 One|2 oNE|");
}

/* ---- what becomes of entries ---- */

static void stale_entries_leave_in_compactions_that_pay(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c v:int:r", NULL));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	uint32_t number = t->indexes[0].number;
	for (int v = 0; v < 20; v++)
		for (int c = 0; c < 10; c++)
			assert_ok(insert(f, t, KEY(INT(c % 2)), KEY(INT(c)), "v", INT(v), v + 1, 0));
	assert_int_equal(keys_of(f, number), 200);
	flush(f);
	assert_true(store__sweep_round(store__engine_of(f->store), NULL) > 0);
	assert_int_equal(keys_of(f, number), 10);
	struct store_condition where = equal_to("by_v", INT(19));
	assert_found(f, t, &where, "1 1 19|1 3 19|1 5 19|1 7 19|1 9 19|0 0 19|0 2 19|0 4 19|0 6 19|0 8 19|");
	/* expiry: an hour later nobody needs them */
	for (int c = 0; c < 10; c++)
		assert_ok(insert(f, t, KEY(INT(c % 2)), KEY(INT(c)), "v", INT(50), 100, 10));
	f->clock.now_us += 11 * 1000000ull;
	where = equal_to("by_v", INT(50));
	assert_found(f, t, &where, "");
	compact_all(f);
	assert_int_equal(keys_of(f, number), 10); /* of 50: the clock may be set back; those of 19 are stale */
	f->clock.now_us += 3601 * 1000000ull;
	compact_all(f);
	assert_int_equal(keys_of(f, number), 0);
}

static void dropping_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r w:int:r", NULL));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	assert_ok(make_index(f, "t", "by_w", "w", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	for (int k = 0; k < 5; k++) {
		assert_ok(insert(f, t, KEY(INT(k)), NULL, "v", INT(1), 1, 0));
		assert_ok(insert(f, t, KEY(INT(k)), NULL, "w", INT(2), 1, 0));
	}
	struct store_index kept = t->indexes[1];
	uint32_t gone = t->indexes[0].number;
	assert_int_equal(keys_of(f, gone), 5);
	assert_ok(alter_indexes(f, "t", &kept, 1));
	assert_int_equal(keys_of(f, gone), 0);
	assert_int_equal(keys_of(f, kept.number), 5);
	/* the entries of writes that come with an older picture follow the table */
	const struct store_schema *older = f->store->ops->schema(f->store);
	const struct store_table *before = store_find_table(older, "ks", "t");
	assert_ok(change_table(f, STORE_TRUNCATE_TABLE, "t"));
	assert_int_equal(keys_of(f, kept.number), 0);
	t = table_of(f, "t");
	assert_int_not_equal(t->indexes[0].number, kept.number);
	assert_true(store__built_has(store__engine_of(f->store)->built, t->indexes[0].number));
	assert_ok(insert(f, before, KEY(INT(9)), NULL, "w", INT(2), 1, 0));
	struct store_condition where = equal_to("by_w", INT(2));
	assert_found(f, t, &where, "9 - 2|");
	f->store->ops->schema_release(f->store, older);
	fixture_reopen(f);
	t = table_of(f, "t");
	assert_true(store__built_has(store__engine_of(f->store)->built, t->indexes[0].number));
	assert_found(f, t, &where, "9 - 2|");
	uint32_t number = t->indexes[0].number;
	assert_ok(change_table(f, STORE_DROP_TABLE, "t"));
	assert_int_equal(keys_of(f, number), 0);
}

static enum sm_err decide_one(void *arg, const struct store_sight *sight, struct store_batch *ret_batch)
{
	ret_batch->mutations = arg;
	ret_batch->count = 1;
	return SM_OK;
}

static void statements_from_before_the_index_and_transactions_have_entries(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	const struct store_schema *older = f->store->ops->schema(f->store);
	const struct store_table *before = store_find_table(older, "ks", "t");
	assert_ok(insert(f, before, KEY(INT(1)), NULL, "v", INT(5), 1, 0));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	assert_ok(insert(f, before, KEY(INT(2)), NULL, "v", INT(5), 1, 0));
	const struct store_table *t = table_of(f, "t");
	struct store_cell key = INT(3);
	struct store_assignment a = {store_find_column(t, "v"), INT(5)};
	struct store_mutation m = {
		.kind = STORE_UPSERT_INSERT, .table = t, .partition_key = &key, .cells = &a, .cell_count = 1, .timestamp_us = 1};
	struct store_look look = {0};
	struct store_transaction x = {.table = t, .partition_key = &key, .looks = &look, .look_count = 1, .decide = decide_one, .arg = &m};
	assert_ok(store_transact_wait(f->store, &x));
	wait_until_built(f, "t");
	assert_int_equal(keys_of(f, t->indexes[0].number), 3);
	struct store_condition where = equal_to("by_v", INT(5));
	assert_found(f, t, &where, "1 5|2 5|3 5|");
	f->store->ops->schema_release(f->store, older);
}

/* ---- snapshots and the check ---- */

static void say(void *arg, enum store_check_kind kind, const char *text)
{
	if (kind == STORE_CHECK_PROBLEM)
		fail_msg("%s", text);
	else
		buf_append_str(arg, text);
}

static void snapshots_have_their_indexes_and_the_check_knows_entries(void **state)
{
	struct fixture *f = *state;
	char dir[80];
	struct store_restored restored;
	struct store_check_totals totals;
	struct sm_error error = {0};
	struct buf said;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "a:int:p b:int:p c:int:c s:int:s v:text:r", NULL));
	assert_ok(make_index(f, "t", "by_b", "b", STORE_INDEX_WHOLE, NULL));
	assert_ok(make_index(f, "t", "by_s", "s", STORE_INDEX_WHOLE, NULL));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	for (int i = 0; i < 9; i++)
		assert_ok(insert(f, table_of(f, "t"), KEY(INT(1), INT(i % 3)), KEY(INT(i)), "v", TEXT("x"), 1, 0));
	snprintf(dir, sizeof dir, "%s-snapshot", f->dir);
	assert_ok(store_snapshot(f->store, "ks", dir, NULL));
	uint32_t old = table_of(f, "t")->indexes[0].number;
	if (store_restore(f->store, "ks", dir, true, &restored, &error))
		fail_msg("%s", error.text);
	fixture_look(f);
	const struct store_table *t = table_of(f, "t");
	assert_int_equal(t->index_count, 3);
	assert_int_equal(keys_of(f, old), 0);
	assert_int_equal(keys_of(f, t->indexes[0].number), 3);
	assert_int_equal(keys_of(f, t->indexes[2].number), 9);
	struct store_condition where = equal_to("by_b", INT(2));
	assert_found(f, t, &where, "1 2 2 - x|1 2 5 - x|1 2 8 - x|");
	assert_ok(io_remove_tree(&io_system, dir, NULL));
	f->store->ops->schema_release(f->store, f->schema);
	f->schema = NULL;
	assert_ok(f->store->ops->close(f->store, NULL));
	f->store = NULL;
	buf_init(&said);
	assert_ok(store_check(&(struct store_check){.dir = f->dir, .say = say, .arg = &said}, &totals, &error));
	buf_u8(&said, 0);
	assert_non_null(strstr((char *)said.data, ", 12 entries of indexes"));
	buf_done(&said);
}

/* ---- building ---- */

#define BUILT_ROWS 20000

static uint32_t count_rows(struct fixture *f, const struct store_table *t, const struct store_condition *where)
{
	struct store_read read = all_of(t);
	struct store_cursor *c;
	const struct store_row *row;
	uint32_t n = 0;
	read.where = where;
	assert_ok(f->store->ops->open(f->store, &read, &c, NULL));
	while (f->store->ops->next(c, &row) == SM_OK)
		n++;
	f->store->ops->close_cursor(c);
	return n;
}

static void write_many(struct fixture *f, const struct store_table *t, int from, int to)
{
	struct store_mutation m[500];
	struct store_assignment a[500];
	struct int_value room[1000];
	struct store_cell keys[500];
	for (int i = from; i < to; i += 500) {
		for (int n = 0; n < 500; n++) {
			keys[n] = int_cell(i + n, &room[n]);
			a[n] = (struct store_assignment){store_find_column(t, "v"), int_cell((i + n) % 10, &room[500 + n])};
			m[n] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
						       .table = t,
						       .partition_key = &keys[n],
						       .cells = &a[n],
						       .cell_count = 1,
						       .timestamp_us = 1};
		}
		struct store_batch b = {.mutations = m, .count = 500};
		assert_ok(store_apply_wait(f->store, &b));
	}
}

static void building_goes_on_after_each_restart_and_nobody_notices(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	write_many(f, table_of(f, "t"), 0, BUILT_ROWS);
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	struct store_condition where = equal_to("by_v", INT(3));
	for (int i = 0; i < 5; i++) {
		const struct store_table *t = table_of(f, "t");
		assert_int_equal(count_rows(f, t, &where), BUILT_ROWS / 10 + i * 50);
		write_many(f, t, BUILT_ROWS + i * 500, BUILT_ROWS + (i + 1) * 500);
		fixture_reopen(f);
	}
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	assert_int_equal(keys_of(f, t->indexes[0].number), BUILT_ROWS + 2500);
	assert_int_equal(count_rows(f, t, &where), BUILT_ROWS / 10 + 250);
	struct store_condition some = {.index = "by_v", .to_kind = STORE_EXCLUSIVE, .to = INT(3)};
	assert_int_equal(count_rows(f, t, &some), (BUILT_ROWS + 2500) / 10 * 3);
	/* more than are sorted: all rows are read, and it is the same */
	store__engine_of(f->store)->index_candidates_max = 1000;
	assert_int_equal(count_rows(f, t, &some), (BUILT_ROWS + 2500) / 10 * 3);
}

/* The record that says how far the index is: empty, if there is none. */
static void read_record(struct fixture *f, uint32_t number, struct buf *out)
{
	struct buf key;
	char *text = NULL;
	size_t size = 0;
	buf_init(&key);
	store__index_system_key(number, &key);
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	char *value = rocksdb_get(db_of(f), options, (const char *)key.data, key.end, &size, &text);
	assert_null(text);
	rocksdb_readoptions_destroy(options);
	buf_clear(out);
	if (value)
		buf_append(out, value, size);
	free(value);
	buf_done(&key);
}

static bool is_progress(const struct buf *record)
{
	return record->end > 5 && record->data[0] == 0;
}

static void building_leaves_its_place_and_begins_there(void **state)
{
	struct fixture *f = *state;
	struct buf place, later, key;
	uint32_t number;
	buf_init(&place);
	buf_init(&later);
	buf_init(&key);
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	write_many(f, table_of(f, "t"), 0, BUILT_ROWS);
	uint64_t deadline_ns = clock_deadline_ns(300000);
	for (bool seen = false; !seen;) { /* it may be faster than this thread */
		assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
		number = table_of(f, "t")->indexes[0].number;
		do
			read_record(f, number, &place);
		while (!is_progress(&place) && !store__built_has(store__engine_of(f->store)->built, number));
		seen = is_progress(&place);
		if (!seen)
			assert_ok(alter_indexes(f, "t", NULL, 0));
		assert_true(clock_monotonic_ns(&clock_system) < deadline_ns);
	}
	fixture_reopen(f);
	do {
		read_record(f, number, &later);
		if (is_progress(&later))
			assert_true(bytes_compare(buf_bytes(&later), buf_bytes(&place)) >= 0);
	} while (!store__built_has(store__engine_of(f->store)->built, number));
	assert_int_equal(keys_of(f, number), BUILT_ROWS);
	/* from that place on, and not from the beginning */
	uint8_t from[4], to[4];
	be32_put(from, number);
	be32_put(to, number + 1);
	store__index_system_key(number, &key);
	rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
	rocksdb_writebatch_delete_range(batch, (char *)from, 4, (char *)to, 4);
	rocksdb_writebatch_put(batch, (const char *)key.data, key.end, (const char *)place.data, place.end);
	rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
	char *text = NULL;
	rocksdb_write(db_of(f), options, batch, &text);
	assert_null(text);
	rocksdb_writeoptions_destroy(options);
	rocksdb_writebatch_destroy(batch);
	fixture_reopen(f);
	wait_until_built(f, "t");
	uint32_t behind = keys_of(f, number);
	assert_true(behind > 0 && behind < BUILT_ROWS && behind % 4096 == BUILT_ROWS % 4096); /* pieces of that many keys */
	read_record(f, number, &later);
	assert_int_equal(later.end, 1);
	buf_done(&place);
	buf_done(&later);
	buf_done(&key);
}

static enum sm_err read_all(struct fixture *f, const struct store_read *read, uint32_t *ret_count)
{
	struct store_cursor *c;
	const struct store_row *row;
	enum sm_err err;
	*ret_count = 0;
	assert_ok(f->store->ops->open(f->store, read, &c, NULL));
	while (!(err = f->store->ops->next(c, &row)))
		++*ret_count;
	assert_err(f->store->ops->next(c, &row), err);
	f->store->ops->close_cursor(c);
	return err;
}

static void many_entries_are_not_stepped_over_for_a_few_rows(void **state)
{
	struct fixture *f = *state;
	uint32_t n;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	write_many(f, t, 0, 3000);
	struct store_condition some = {.index = "by_v", .from_kind = STORE_INCLUSIVE, .from = INT(5)}, one = equal_to("by_v", INT(7));
	struct store_read read = all_of(t);
	read.where = &some;
	assert_err(read_all(f, &read, &n), SM_END);
	assert_int_equal(n, 1500);
	/* who must not be held is sent away */
	read.cached_only = true;
	assert_err(read_all(f, &read, &n), SM_AGAIN);
	assert_int_equal(n, 0);
	/* but for one value, and not for one partition: its rows are read instead */
	read.where = &one;
	assert_err(read_all(f, &read, &n), SM_END);
	assert_int_equal(n, 300);
	read.where = &some;
	read.partition_key = KEY(INT(7));
	assert_err(read_all(f, &read, &n), SM_END);
	assert_int_equal(n, 1);
	/* entries that are not wanted count too */
	read = all_of(t);
	read.where = &some;
	read.token_from = read.token_to = store_token(t, KEY(INT(7)));
	read.cached_only = true;
	assert_err(read_all(f, &read, &n), SM_AGAIN);
	read.cached_only = false;
	store__engine_of(f->store)->index_candidates_max = 100;
	assert_err(read_all(f, &read, &n), SM_END);
	assert_int_equal(n, 1);
}

static void rows_that_are_left_out_are_not_counted_as_read(void **state)
{
	struct fixture *f = *state;
	uint32_t n;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	assert_ok(make_index(f, "t", "by_v", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	const struct store_table *t = table_of(f, "t");
	write_many(f, t, 0, 500);
	for (int k = 0; k < 500; k += 10) /* leaves stale entries of 0 */
		assert_ok(insert(f, t, KEY(INT(k)), NULL, "v", INT(1), 2, 0));
	struct store_condition zero = equal_to("by_v", INT(0)), one = equal_to("by_v", INT(1)),
			       low = {.index = "by_v", .to_kind = STORE_INCLUSIVE, .to = INT(1)};
	struct store_condition *conditions[] = {&zero, &one, &low};
	static const uint32_t counts[] = {0, 100, 100};
	store__engine_of(f->store)->index_candidates_max = 20;
	for (int i = 0; i < 3; i++) {
		struct store_read read = all_of(t);
		read.where = conditions[i];
		int64_t before = metric_get(METRIC_STORE_ROWS_READ);
		assert_err(read_all(f, &read, &n), SM_END);
		assert_int_equal(n, counts[i]);
		assert_int_equal(metric_get(METRIC_STORE_ROWS_READ) - before, n);
	}
}

static void an_index_is_dropped_under_a_read(void **state)
{
	struct fixture *f = *state;
	struct store_cursor *before, *under;
	const struct store_row *row;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	write_many(f, table_of(f, "t"), 0, 1000);
	assert_ok(make_index(f, "t", "a", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	const struct store_schema *held = f->store->ops->schema(f->store);
	const struct store_table *t = store_find_table(held, "ks", "t");
	struct store_condition where = equal_to("a", INT(3));
	struct store_read read = all_of(t);
	read.where = &where;
	assert_ok(f->store->ops->open(f->store, &read, &before, NULL));
	assert_ok(f->store->ops->open(f->store, &read, &under, NULL));
	assert_ok(f->store->ops->next(under, &row));
	assert_ok(alter_indexes(f, "t", NULL, 0));
	for (int i = 0; i < 100; i++)
		assert_err(f->store->ops->next(before, &row), SM_OK);
	for (int i = 1; i < 100; i++)
		assert_err(f->store->ops->next(under, &row), SM_OK);
	assert_err(f->store->ops->next(before, &row), SM_END);
	assert_err(f->store->ops->next(under, &row), SM_END);
	f->store->ops->close_cursor(before);
	f->store->ops->close_cursor(under);
	assert_int_equal(count_rows(f, t, &where), 100);
	f->store->ops->schema_release(f->store, held);
}

static void an_index_is_dropped_while_it_is_built(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p v:int:r", NULL));
	write_many(f, table_of(f, "t"), 0, BUILT_ROWS);
	assert_ok(make_index(f, "t", "a", "v", STORE_INDEX_WHOLE, NULL));
	uint32_t first = table_of(f, "t")->indexes[0].number;
	assert_ok(alter_indexes(f, "t", NULL, 0));
	assert_ok(make_index(f, "t", "b", "v", STORE_INDEX_WHOLE, NULL));
	wait_until_built(f, "t");
	assert_int_equal(keys_of(f, first), 0);
	const struct store_table *t = table_of(f, "t");
	assert_int_equal(keys_of(f, t->indexes[0].number), BUILT_ROWS);
	assert_ok(make_index(f, "t", "c", "v", STORE_INDEX_WHOLE, NULL));
	uint32_t second = table_of(f, "t")->indexes[1].number;
	assert_ok(change_table(f, STORE_TRUNCATE_TABLE, "t"));
	wait_until_built(f, "t");
	fixture_reopen(f);
	assert_int_equal(keys_of(f, second), 0);
}

/* ---- anything, against reading all rows ---- */

static uint64_t random_state;
static uint64_t pick(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 11) % n;
}

#define VALUES 4
static const struct {
	const char *name, *column;
	enum store_index_part part;
} all_indexes[] = {
	{"i_b", "b", STORE_INDEX_WHOLE},    {"i_c", "c", STORE_INDEX_WHOLE}, {"i_d", "d", STORE_INDEX_WHOLE},
	{"i_s", "s", STORE_INDEX_WHOLE},    {"i_v", "v", STORE_INDEX_WHOLE}, {"i_l", "l", STORE_INDEX_VALUES},
	{"i_z", "z", STORE_INDEX_VALUES},   {"i_mk", "m", STORE_INDEX_KEYS}, {"i_mv", "m", STORE_INDEX_VALUES},
	{"i_me", "m", STORE_INDEX_ENTRIES}, {"i_f", "f", STORE_INDEX_WHOLE}, {"i_ss", "ss", STORE_INDEX_VALUES},
};
#define INDEXES (sizeof all_indexes / sizeof *all_indexes)

/* A collection of a few small numbers. */
static struct store_cell random_collection(const struct store_type *type, struct buf *out)
{
	uint32_t count = (uint32_t)pick(3), last = 0;
	buf_clear(out);
	buf_be32(out, count);
	for (uint32_t i = 0; i < count; i++) {
		last += type->id == STORE_LIST ? (uint32_t)pick(2) : 1 + (uint32_t)pick(2);
		buf_be32(out, 4);
		buf_be32(out, last % (VALUES * 2));
		if (type->id == STORE_MAP) {
			buf_be32(out, 4);
			buf_be32(out, (uint32_t)pick(VALUES));
		}
	}
	return (struct store_cell){out->data, (int32_t)out->end};
}

struct random_row {
	struct int_value rooms[20];
	struct store_cell key[2], clustering[2], bounds[2];
	struct buf values[8];
	struct store_assignment cells[8];
	struct store_mutation m;
};

static void random_cell(struct random_row *r, const struct store_column *c)
{
	uint32_t n = r->m.cell_count;
	struct store_assignment *a = &r->cells[n];
	*a = (struct store_assignment){.column = c, .value = NULL_CELL};
	if (r->m.kind == STORE_DELETE_CELLS || pick(6) == 0) {
		r->m.cell_count++;
		return;
	}
	if (c->type.id == STORE_INT)
		a->value = int_cell((int)pick(VALUES), &r->rooms[8 + n]);
	else
		a->value = random_collection(&c->type, &r->values[n]);
	if (store_type_multi_cell(&c->type) && pick(2))
		a->how = pick(3) || c->type.id == STORE_LIST || c->type.id == STORE_MAP ? STORE_ADD_ELEMENTS : STORE_REMOVE_ELEMENTS;
	r->m.cell_count++;
}

static void random_write(struct fixture *f, const struct store_table *t, struct random_row *r)
{
	static const enum store_mutation_kind kinds[] = {
		STORE_UPSERT_INSERT, STORE_UPSERT_INSERT, STORE_UPSERT_INSERT, STORE_UPSERT_UPDATE, STORE_UPSERT_UPDATE,
		STORE_UPSERT_UPDATE, STORE_DELETE_CELLS,  STORE_DELETE_ROW,    STORE_DELETE_RANGE,  STORE_DELETE_PARTITION};
	for (int i = 0; i < 2; i++) {
		r->key[i] = int_cell((int)pick(3), &r->rooms[i]);
		r->clustering[i] = int_cell((int)pick(3), &r->rooms[2 + i]);
		r->bounds[i] = int_cell((int)pick(3), &r->rooms[4 + i]);
	}
	int64_t now_us = (int64_t)f->clock.now_us;
	r->m = (struct store_mutation){.kind = kinds[pick(sizeof kinds / sizeof *kinds)],
				       .table = t,
				       .partition_key = r->key,
				       .cells = r->cells,
				       .timestamp_us = now_us - (int64_t)pick(5) * 1000000};
	if (r->m.kind == STORE_DELETE_PARTITION && pick(3))
		r->m.kind = STORE_UPSERT_INSERT;
	bool static_only = r->m.kind <= STORE_DELETE_CELLS && pick(6) == 0;
	if (r->m.kind <= STORE_DELETE_ROW && !static_only)
		r->m.clustering = r->clustering;
	if (r->m.kind == STORE_DELETE_RANGE) {
		r->m.from = (struct store_bound){(enum store_bound_kind)pick(3), 1, &r->bounds[0]};
		r->m.to = (struct store_bound){(enum store_bound_kind)pick(3), 1, &r->bounds[1]};
	}
	if (r->m.kind <= STORE_UPSERT_UPDATE && pick(4) == 0)
		r->m.ttl_s = 1 + (int)pick(20);
	for (uint16_t i = 0; i < t->column_count && r->m.kind <= STORE_DELETE_CELLS; i++) {
		const struct store_column *c = &t->columns[i];
		if (c->kind == (static_only ? STORE_STATIC : STORE_REGULAR) && pick(2))
			random_cell(r, c);
	}
	assert_ok(apply_one(f, &r->m));
}

static bool value_between(const struct store_condition *w, struct store_cell v)
{
	if (v.size < 0)
		return false;
	int n = (int)be32_get(v.data);
	if (w->from_kind != STORE_UNBOUNDED && n < (int)be32_get(w->from.data) + (w->from_kind == STORE_EXCLUSIVE))
		return false;
	return w->to_kind == STORE_UNBOUNDED || n <= (int)be32_get(w->to.data) - (w->to_kind == STORE_EXCLUSIVE);
}

/* Does a row of a read of everything meet the condition? */
static bool row_meets(const struct store_table *t, size_t index, const struct store_condition *w, const struct store_row *row)
{
	const struct store_column *c = store_find_column(t, all_indexes[index].column);
	size_t at = (size_t)(c - t->columns);
	enum store_index_part part = all_indexes[index].part;
	if (c->type.frozen)
		return row->cells[at].size >= 0 && store_compare(&c->type, row->cells[at], w->from) == 0;
	if (part == STORE_INDEX_WHOLE)
		return value_between(w, row->cells[at]);
	for (uint32_t i = 0; i < row->elements[at].count; i++) {
		const struct store_element *e = &row->elements[at].items[i];
		bool key = part == STORE_INDEX_KEYS || c->type.id == STORE_SET;
		if (part == STORE_INDEX_ENTRIES && be32_get(e->path.data) != be32_get(w->key.data))
			continue;
		if (value_between(w, key ? e->path : e->value))
			return true;
	}
	return false;
}

static void show_row(const struct store_table *t, const struct store_row *row, struct buf *out)
{
	for (uint16_t i = 0; i < t->column_count; i++) {
		buf_be32(out, (uint32_t)row->cells[i].size);
		if (row->cells[i].size > 0)
			buf_append(out, row->cells[i].data, (size_t)row->cells[i].size);
	}
	buf_u8(out, row->static_only);
}

/* Rows of the read; index SIZE_MAX: as they come, else those of a read of everything that meet the condition. ends: where each ends. With
 * cached_only they may end early. */
static uint32_t gather(struct fixture *f, const struct store_read *read, size_t index, const struct store_condition *w, struct buf *out,
		       size_t ends[400])
{
	struct store_cursor *c;
	const struct store_row *row;
	uint32_t n = 0;
	enum sm_err err;
	buf_clear(out);
	assert_ok(f->store->ops->open(f->store, read, &c, NULL));
	while (!(err = f->store->ops->next(c, &row))) {
		if (index != SIZE_MAX && !row_meets(read->table, index, w, row))
			continue;
		show_row(read->table, row, out);
		assert_true(n < 400);
		ends[n++] = out->end;
	}
	assert_true(err == SM_END || (read->cached_only && err == SM_AGAIN));
	assert_err(f->store->ops->next(c, &row), err);
	f->store->ops->close_cursor(c);
	return err == SM_AGAIN ? UINT32_MAX : n;
}

static void assert_same(const struct buf *a, const struct buf *b, size_t index, const char *what)
{
	if (!bytes_equal(buf_bytes(a), buf_bytes(b)))
		fail_msg("by index %s, %s: %zu bytes of rows, %zu by reading all", all_indexes[index].name, what, b->end, a->end);
}

/* Go on behind each row of the result: the rest must come. */
static void check_resuming(struct fixture *f, const struct store_read *read, size_t index, const struct buf *all, const size_t *ends,
			   uint32_t n)
{
	const struct store_table *t = read->table;
	struct buf rest;
	size_t ignored[400];
	if (!n)
		return;
	uint32_t at = (uint32_t)pick(n);
	struct byte_reader r = byte_reader(bytes_of(all->data + (at ? ends[at - 1] : 0), all->end));
	struct store_cell keys[4];
	for (int i = 0; i < 4; i++) {
		keys[i].size = (int32_t)reader_be32(&r);
		keys[i].data = keys[i].size < 0 ? NULL : reader_take(&r, (size_t)keys[i].size);
	}
	bool static_only = all->data[ends[at] - 1];
	struct store_read more = *read;
	if (!read->partition_key)
		more.after_partition_key = keys;
	else if (static_only || read->statics_only)
		return;
	more.after_clustering = static_only || read->statics_only ? NULL : keys + t->partition_key_count;
	buf_init(&rest);
	gather(f, &more, SIZE_MAX, NULL, &rest, ignored);
	struct buf expected = *all;
	expected.data += ends[at];
	expected.end -= ends[at];
	assert_same(&expected, &rest, index, "behind a row");
	buf_done(&rest);
}

static void random_read(struct store_read *read, const struct store_table *t, struct store_cell key[2], struct store_cell *bounds)
{
	*read = all_of(t);
	switch (pick(4)) {
	case 0: read->partition_key = key; break;
	case 1: read->token_from = store_token(t, key); break;
	case 2: read->token_to = store_token(t, key); break;
	default: break;
	}
	read->reverse = read->partition_key && pick(3) == 0;
	if (pick(3) == 0) {
		read->from = (struct store_bound){(enum store_bound_kind)pick(3), 1, &bounds[0]};
		read->to = (struct store_bound){(enum store_bound_kind)pick(3), 1, &bounds[1]};
	}
}

static void check_one(struct fixture *f, const struct store_table *t, size_t index)
{
	struct int_value rooms[8];
	struct store_cell key[2] = {int_cell((int)pick(3), &rooms[0]), int_cell((int)pick(3), &rooms[1])};
	struct store_cell bounds[2] = {int_cell((int)pick(3), &rooms[2]), int_cell((int)pick(3), &rooms[3])};
	const struct store_column *c = store_find_column(t, all_indexes[index].column);
	struct store_read read;
	struct buf frozen, expected, got;
	size_t ends[400];
	buf_init(&frozen);
	buf_init(&expected);
	buf_init(&got);
	struct store_condition w = equal_to(all_indexes[index].name, int_cell((int)pick(VALUES), &rooms[4]));
	w.key = int_cell((int)pick(VALUES), &rooms[5]);
	if (c->type.frozen) {
		w.from = w.to = random_collection(&c->type, &frozen);
	} else if (pick(3) == 0) {
		w.from_kind = (enum store_bound_kind)pick(3);
		w.to_kind = (enum store_bound_kind)pick(3);
		w.to = int_cell((int)pick(VALUES), &rooms[6]);
	}
	random_read(&read, t, key, bounds);
	read.statics_only = c->kind != STORE_CLUSTERING && c->kind != STORE_REGULAR && pick(3) == 0;
	gather(f, &read, index, &w, &expected, ends);
	read.where = &w;
	store__engine_of(f->store)->index_candidates_max = pick(3) ? STORE_INDEX_CANDIDATES_MAX : (uint32_t)pick(20);
	uint32_t n = gather(f, &read, SIZE_MAX, NULL, &got, ends);
	assert_same(&expected, &got, index, "all");
	check_resuming(f, &read, index, &got, ends, n);
	read.cached_only = true;
	if (gather(f, &read, SIZE_MAX, NULL, &got, ends) == UINT32_MAX)
		expected.end = got.end < expected.end ? got.end : expected.end;
	assert_same(&expected, &got, index, "of what is in memory");
	buf_done(&frozen);
	buf_done(&expected);
	buf_done(&got);
}

static void disturb(struct fixture *f)
{
	switch (pick(30)) {
	case 0: compact_all(f); break;
	case 1: store__sweep_round(store__engine_of(f->store), NULL); break;
	case 2:
	case 3: flush(f); break;
	case 4: f->clock.now_us += pick(40) * 1000000; break;
	case 5: f->clock.now_us += pick(2) * 3700 * 1000000ull; break;
	default: break;
	}
}

static int rounds = 3;

static void reads_by_an_index_are_reads_of_all_that_leave_out(void **state)
{
	struct fixture *f = *state;
	struct random_row *r = calloc(1, sizeof *r);
	assert_ok(make_keyspace(f, "ks"));
	for (int round = 0; round < rounds; round++) {
		char name[20];
		random_state = 104729u * (uint64_t)(round + 1);
		snprintf(name, sizeof name, "t%d", round);
		assert_ok(make_table_graced(
			f, name,
			"a:int:p b:int:p c:int:C d:int:c s:int:s ss:set<int>:s v:int:r l:list<int>:r z:set<int>:r m:map<int,int>:r "
			"f:frozen<list<int>>:r",
			20, NULL));
		size_t made = 0;
		for (int i = 0; i < 400; i++) {
			if (made < INDEXES && (round % 2 || i > 20) && pick(8) == 0) {
				assert_ok(make_index(f, name, all_indexes[made].name, all_indexes[made].column, all_indexes[made].part,
						     NULL));
				made++;
			}
			const struct store_table *t = table_of(f, name);
			random_write(f, t, r);
			f->clock.now_us += pick(3) * 1000000;
			disturb(f);
			if (i % 120 == 119) {
				fixture_reopen(f);
				t = table_of(f, name);
			}
			for (int n = 0; made && n < 3; n++)
				check_one(f, t, pick(made));
		}
		wait_until_built(f, name);
		compact_all(f);
		for (size_t i = 0; i < INDEXES * 4; i++)
			check_one(f, table_of(f, name), i % INDEXES);
	}
	for (int i = 0; i < 8; i++)
		buf_done(&r->values[i]);
	free(r);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]); /* more than a test has time for */
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(an_equal_value_finds_its_rows_in_the_order_of_the_table),
		T(what_cannot_be_is_refused),
		T(a_table_made_from_an_older_picture_is_refused),
		T(values_that_have_no_order_or_are_long_are_found_too),
		T(letters_are_folded_where_the_index_does),
		T(stale_entries_leave_in_compactions_that_pay),
		T(dropping_leaves_nothing),
		T(statements_from_before_the_index_and_transactions_have_entries),
		T(snapshots_have_their_indexes_and_the_check_knows_entries),
		T(building_goes_on_after_each_restart_and_nobody_notices),
		T(building_leaves_its_place_and_begins_there),
		T(many_entries_are_not_stepped_over_for_a_few_rows),
		T(rows_that_are_left_out_are_not_counted_as_read),
		T(an_index_is_dropped_under_a_read),
		T(an_index_is_dropped_while_it_is_built),
		T(reads_by_an_index_are_reads_of_all_that_leave_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
