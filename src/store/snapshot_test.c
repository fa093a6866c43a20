#include "store/check.h"
#include "store/snapshot.h"
#include "store/testing.h"

struct place {
	struct fixture *f;
	char dir[80];
	struct store_restored restored;
	struct sm_error error;
};

static enum sm_err restore(struct place *p, const char *keyspace, bool replace)
{
	enum sm_err err = store_restore(p->f->store, keyspace, p->dir, replace, &p->restored, &p->error);
	fixture_look(p->f);
	return err;
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	fixture_setup((void **)&p->f);
	snprintf(p->dir, sizeof p->dir, "%s-snapshot", p->f->dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	if (access(p->dir, F_OK) == 0)
		assert_ok(io_remove_tree(&io_system, p->dir, NULL));
	fixture_teardown((void **)&p->f);
	free(p);
	return 0;
}

static enum sm_err alter(struct fixture *f, const char *columns)
{
	char text[200];
	struct store_column list[16];
	struct arena arena;
	const struct store_table *now = table_of(f, "t");
	arena_init(&arena, 0);
	snprintf(text, sizeof text, "%s", columns);
	struct store_table t = {
		.keyspace = "ks", .name = "t", .columns = list, .column_count = parse_columns(text, list, &arena), .gc_grace_s = 864000};
	for (uint16_t i = 0; i < t.column_count; i++) {
		const struct store_column *was = store_find_column(now, list[i].name);
		list[i].id = was ? was->id : 0;
	}
	struct store_change c = {.kind = STORE_ALTER_TABLE, .keyspace = "ks", .table = "t", .new_table = &t};
	enum sm_err err = store_change_wait(f->store, &c, NULL);
	arena_done(&arena);
	fixture_look(f);
	return err;
}

static char *all_rows(struct fixture *f, const char *table)
{
	struct store_read r = all_of(table_of(f, table));
	return rows(f, &r);
}

/* A table with dropped columns, statics, deletions, expiry, rows without marker. */
static void fill(struct fixture *f)
{
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "other", "k:int:p v:text:r", NULL));
	assert_ok(insert(f, table_of(f, "other"), KEY(INT(1)), NULL, "v", TEXT("other"), 1, 0));
	assert_ok(make_table(f, "t", "k:int:p c:int:c gone:int:r s:int:s v:text:r", NULL));
	const struct store_table *t = table_of(f, "t");
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "gone", INT(7), 50, 0));
	assert_ok(alter(f, "k:int:p c:int:c s:int:s v:text:r w:int:r"));
	t = table_of(f, "t");
	for (int c = 1; c < 9; c++)
		assert_ok(insert(f, t, KEY(INT(c % 2)), KEY(INT(c)), "v", TEXT("text"), 100 + c, c == 5 ? 100 : 0));
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "w", INT(3), 100, 0));
	struct store_assignment a = {store_find_column(t, "s"), INT(42)};
	struct store_mutation m = {
		.kind = STORE_UPSERT_UPDATE, .table = t, .partition_key = KEY(INT(0)), .cells = &a, .cell_count = 1, .timestamp_us = 100};
	assert_ok(apply_one(f, &m));
	m = (struct store_mutation){.kind = STORE_DELETE_RANGE, .table = t, .partition_key = KEY(INT(0)), .timestamp_us = 200};
	m.from = m.to = (struct store_bound){STORE_INCLUSIVE, 1, KEY(INT(4))};
	assert_ok(apply_one(f, &m));
	m = (struct store_mutation){
		.kind = STORE_DELETE_ROW, .table = t, .partition_key = KEY(INT(1)), .clustering = KEY(INT(7)), .timestamp_us = 200};
	assert_ok(apply_one(f, &m));
}

static void keyspace_comes_back_as_it_was(void **state)
{
	struct place *p = *state;
	struct fixture *f = p->f;
	fill(f);
	char *before = all_rows(f, "t");
	assert_ok(store_snapshot(f->store, "ks", p->dir, &p->error));
	assert_ok(insert(f, table_of(f, "t"), KEY(INT(1)), KEY(INT(1)), "v", TEXT("later"), 300, 0));
	assert_err(restore(p, "ks", false), SM_EXISTS);
	for (int round = 0; round < 2; round++) {
		if (round == 1) {
			struct store_change c = {.kind = STORE_DROP_KEYSPACE, .keyspace = "ks"};
			assert_ok(store_change_wait(f->store, &c, NULL));
		}
		if (restore(p, "ks", round == 0))
			fail_msg("%s", p->error.text);
		assert_int_equal(p->restored.tables, 2);
		char *after = all_rows(f, "t");
		assert_string_equal(before, after);
		free(after);
		assert_rows(f, &(struct store_read){.table = table_of(f, "other"), .partition_key = KEY(INT(1))}, "1 other|");
	}
	/* deletions and expiry came too */
	const struct store_table *t = table_of(f, "t");
	assert_ok(insert(f, t, KEY(INT(0)), KEY(INT(4)), "v", TEXT("too old"), 150, 0));
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(7)), "v", TEXT("too old"), 150, 0));
	char *after = all_rows(f, "t");
	assert_string_equal(before, after);
	free(after);
	f->clock.now_us += 100 * 1000000;
	after = all_rows(f, "t");
	assert_true(strlen(after) < strlen(before));
	free(after);
	free(before);
	fixture_reopen(f);
	assert_rows(f, &(struct store_read){.table = table_of(f, "other"), .partition_key = KEY(INT(1))}, "1 other|");
}

static void said(void *arg, enum store_check_kind kind, const char *text)
{
	if (kind == STORE_CHECK_PROBLEM)
		fail_msg("%s", text);
}

/* Values of several cells, clusterings that have a form besides their order, user types. */
static void elements_forms_and_types_come_back(void **state)
{
	struct place *p = *state;
	struct fixture *f = p->f;
	static const uint8_t list[] = {0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 9}, form[] = {0, 0, 0, 2, 100},
			     map[] = {0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 1, 'x'};
	assert_ok(make_keyspace(f, "ks"));
	struct store_type field = {.id = STORE_INT};
	const char *name = "a";
	struct store_type type = {.id = STORE_UDT, .element_count = 1, .elements = &field, .keyspace = "ks", .name = "u", .fields = &name};
	struct store_change c = {.kind = STORE_CREATE_TYPE, .keyspace = "ks", .type = "u", .new_type = &type};
	assert_ok(store_change_wait(f->store, &c, NULL));
	assert_ok(make_table(f, "t", "k:int:p d:decimal:c l:list<int>:r m:map<int,text>:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store_cell d = {form, sizeof form}; /* 1.00 */
	assert_ok(insert(f, t, KEY(INT(1)), &d, "l", (struct store_cell){list, sizeof list}, 5, 0));
	assert_ok(insert(f, t, KEY(INT(1)), &d, "m", (struct store_cell){map, sizeof map}, 6, 0));
	assert_ok(store_snapshot(f->store, "ks", p->dir, &p->error));
	struct store_check_totals totals;
	struct store_check check = {.dir = p->dir, .say = said};
	assert_ok(store_check(&check, &totals, &p->error));
	assert_int_equal(totals.keys, 1);
	struct store_change drop = {.kind = STORE_DROP_KEYSPACE, .keyspace = "ks"};
	assert_ok(store_change_wait(f->store, &drop, NULL));
	if (restore(p, "ks", false))
		fail_msg("%s", p->error.text);
	assert_non_null(store_find_type(store_find_keyspace(f->schema, "ks"), "u"));
	struct store_cursor *cursor;
	const struct store_row *row;
	struct store_read all = all_of(table_of(f, "t"));
	assert_ok(f->store->ops->open(f->store, &all, &cursor, NULL));
	assert_ok(f->store->ops->next(cursor, &row));
	assert_int_equal(row->cells[1].size, sizeof form);
	assert_memory_equal(row->cells[1].data, form, sizeof form);
	assert_int_equal(row->cells[2].size, sizeof list);
	assert_memory_equal(row->cells[2].data, list, sizeof list);
	assert_int_equal(row->cells[3].size, sizeof map);
	assert_memory_equal(row->cells[3].data, map, sizeof map);
	f->store->ops->close_cursor(cursor);
	if (restore(p, "ks", true))
		fail_msg("%s", p->error.text);
}

static void what_is_no_snapshot_is_refused(void **state)
{
	struct place *p = *state;
	struct fixture *f = p->f;
	fill(f);
	assert_err(store_snapshot(f->store, "nope", p->dir, &p->error), SM_NOT_FOUND);
	assert_err(restore(p, "ks", true), SM_NOT_FOUND);
	assert_err(store_snapshot(f->store, "ks", f->dir, &p->error), SM_EXISTS);
	assert_ok(store_snapshot(f->store, "ks", p->dir, &p->error));
	assert_err(store_snapshot(f->store, "ks", p->dir, &p->error), SM_EXISTS);
	assert_err(restore(p, "other", true), SM_NOT_FOUND);
	char path[100];
	snprintf(path, sizeof path, "%s/SNAPSHOT", p->dir);
	assert_ok(io_write_file_atomic(&io_system, path, BYTES("smack snapshot 2\nks\n"), NULL));
	assert_err(restore(p, "ks", true), SM_VERSION);
	assert_ok(io_write_file_atomic(&io_system, path, BYTES("?"), NULL));
	assert_err(restore(p, "ks", true), SM_CORRUPT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {T(keyspace_comes_back_as_it_was), T(elements_forms_and_types_come_back),
					   T(what_is_no_snapshot_is_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
