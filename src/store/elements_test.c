/* Lists, sets, maps, user types and counters through the engine. */
#include "store/testing.h"
#include "base/buf.h"

static struct arena arena; /* of values */

#define CELL(literal) ((struct store_cell){(const uint8_t *)(literal), sizeof(literal) - 1})

/* "a,b" as a serialized set or list of text; "a:1,b:2" as a map<text, int>; numbers: a list<int>. */
static struct store_cell value(const struct store_type *type, const char *text)
{
	struct buf out;
	char copy[256], *outer = NULL;
	uint32_t count = 0;
	buf_init(&out);
	buf_be32(&out, 0);
	snprintf(copy, sizeof copy, "%s", text);
	for (char *word = strtok_r(copy, ",", &outer); word; word = strtok_r(NULL, ",", &outer), count++) {
		char *colon = strchr(word, ':');
		size_t key = colon ? (size_t)(colon - word) : strlen(word);
		if (type->elements[0].id == STORE_INT) {
			buf_be32(&out, 4);
			buf_be32(&out, (uint32_t)atoi(word));
		} else {
			buf_be32(&out, (uint32_t)key);
			buf_append(&out, word, key);
		}
		if (type->id == STORE_MAP) {
			buf_be32(&out, 4);
			buf_be32(&out, (uint32_t)atoi(colon + 1));
		}
	}
	be32_put(out.data, count);
	struct store_cell cell = {arena_copy(&arena, out.data, out.end), (int32_t)out.end};
	buf_done(&out);
	return cell;
}

static enum sm_err apply_at(struct fixture *f, const char *table, enum store_mutation_kind kind, const char *column, enum store_assign how,
			    struct store_cell path, struct store_cell v, int64_t ts, int32_t ttl)
{
	const struct store_table *t = table_of(f, table);
	struct store_assignment a = {store_find_column(t, column), v, how, path};
	struct store_mutation m = {
		.kind = kind, .table = t, .partition_key = KEY(INT(1)), .cells = &a, .cell_count = 1, .timestamp_us = ts, .ttl_s = ttl};
	return apply_one(f, &m);
}

static enum sm_err update(struct fixture *f, const char *column, enum store_assign how, const char *text, int64_t ts)
{
	const struct store_column *c = store_find_column(table_of(f, "t"), column);
	const struct store_type set = {STORE_SET, 1, c->type.elements};
	struct store_cell v = value(how == STORE_REMOVE_ELEMENTS ? &set : &c->type, text);
	return apply_at(f, "t", STORE_UPSERT_UPDATE, column, how, NULL_CELL, v, ts, 0);
}

/* The column as text: "[3 1]", "{a b}", "{a:1 b:2}", "-". */
static void expect(struct fixture *f, const char *column, const char *expected)
{
	const struct store_table *t = table_of(f, "t");
	const struct store_column *c = store_find_column(t, column);
	struct store_read read = {.table = t, .partition_key = KEY(INT(1))};
	struct store_cursor *cursor;
	const struct store_row *row;
	struct buf out;
	buf_init(&out);
	assert_ok(f->store->ops->open(f->store, &read, &cursor, NULL));
	enum sm_err err = f->store->ops->next(cursor, &row);
	if (err || row->cells[c - t->columns].size < 0) {
		buf_append_str(&out, "-");
	} else {
		struct store_value_reader r = store_value_reader(&c->type, row->cells[c - t->columns]);
		const struct store_type *type;
		struct store_cell e;
		while (store_value_next(&r, &e, &type)) {
			buf_append_str(&out, r.index == 1 ? "" : c->type.id == STORE_MAP && r.index % 2 == 0 ? ":" : " ");
			show_value(type, e, &out);
		}
		assert_false(r.failed);
	}
	f->store->ops->close_cursor(cursor);
	buf_u8(&out, 0);
	assert_string_equal((char *)out.data, expected);
	buf_done(&out);
}

static void make(struct fixture *f)
{
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p l:list<int>:r m:map<text,int>:r s:set<text>:r", NULL));
}

static void elements_are_added_and_removed_without_a_read(void **state)
{
	struct fixture *f = *state;
	make(f);
	assert_ok(update(f, "s", STORE_ADD_ELEMENTS, "b,a", 10));
	assert_ok(update(f, "s", STORE_ADD_ELEMENTS, "c", 11));
	assert_ok(update(f, "s", STORE_REMOVE_ELEMENTS, "a,nope", 12));
	expect(f, "s", "b c");
	assert_ok(update(f, "s", STORE_ADD_ELEMENTS, "a", 12)); /* at the same time the tombstone wins */
	expect(f, "s", "b c");
	assert_ok(update(f, "m", STORE_ADD_ELEMENTS, "z:1,a:2", 10));
	assert_ok(update(f, "m", STORE_ADD_ELEMENTS, "a:3", 9)); /* late */
	expect(f, "m", "a:2 z:1");
	assert_ok(apply_at(f, "t", STORE_UPSERT_UPDATE, "m", STORE_ASSIGN_ELEMENT, TEXT("z"), NULL_CELL, 11, 0));
	assert_ok(apply_at(f, "t", STORE_UPSERT_UPDATE, "m", STORE_ASSIGN_ELEMENT, TEXT("q"), INT(7), 11, 0));
	expect(f, "m", "a:2 q:7");
	fixture_reopen(f);
	expect(f, "m", "a:2 q:7");
	expect(f, "s", "b c");
}

static void assigning_all_clears_what_is_older(void **state)
{
	struct fixture *f = *state;
	make(f);
	assert_ok(update(f, "s", STORE_ADD_ELEMENTS, "a,b", 10));
	assert_ok(update(f, "s", STORE_ASSIGN, "x", 20));
	expect(f, "s", "x");
	assert_ok(update(f, "s", STORE_ADD_ELEMENTS, "late", 19)); /* covered: cleared at 19 */
	expect(f, "s", "x");
	assert_ok(update(f, "s", STORE_ASSIGN, "y", 20)); /* at the same time both stay, as in Cassandra */
	expect(f, "s", "x y");
	assert_ok(apply_at(f, "t", STORE_DELETE_CELLS, "s", STORE_ASSIGN, NULL_CELL, NULL_CELL, 20, 0));
	expect(f, "s", "-");
	assert_ok(update(f, "s", STORE_ASSIGN, "", 30));
	expect(f, "s", "-");
}

static void lists_keep_the_order_of_what_was_put_where(void **state)
{
	struct fixture *f = *state;
	make(f);
	assert_ok(update(f, "l", STORE_ASSIGN, "3,1,2", 10));
	assert_ok(update(f, "l", STORE_ADD_ELEMENTS, "9,8", 11));
	assert_ok(update(f, "l", STORE_PREPEND_ELEMENTS, "0", 12));
	assert_ok(update(f, "l", STORE_PREPEND_ELEMENTS, "-2,-1", 12));
	expect(f, "l", "-2 -1 0 3 1 2 9 8");
	const struct store_table *t = table_of(f, "t");
	struct store_read read = {.table = t, .partition_key = KEY(INT(1))};
	struct store_cursor *cursor;
	const struct store_row *row;
	assert_ok(f->store->ops->open(f->store, &read, &cursor, NULL));
	assert_ok(f->store->ops->next(cursor, &row));
	const struct store_elements *e = &row->elements[store_find_column(t, "l") - t->columns];
	assert_int_equal(e->count, 8);
	uint8_t path[16];
	assert_int_equal(e->items[3].path.size, sizeof path);
	memcpy(path, e->items[3].path.data, sizeof path);
	f->store->ops->close_cursor(cursor);
	assert_ok(apply_at(f, "t", STORE_UPSERT_UPDATE, "l", STORE_ASSIGN_ELEMENT, (struct store_cell){path, 16}, INT(77), 13, 0));
	expect(f, "l", "-2 -1 0 77 1 2 9 8");
	assert_ok(apply_at(f, "t", STORE_DELETE_CELLS, "l", STORE_ASSIGN_ELEMENT, (struct store_cell){path, 16}, NULL_CELL, 14, 0));
	expect(f, "l", "-2 -1 0 1 2 9 8");
	assert_err(apply_at(f, "t", STORE_UPSERT_UPDATE, "l", STORE_ASSIGN_ELEMENT, TEXT("short"), INT(1), 15, 0), SM_INVALID);
}

static void elements_expire_one_by_one(void **state)
{
	struct fixture *f = *state;
	make(f);
	assert_ok(apply_at(f, "t", STORE_UPSERT_UPDATE, "m", STORE_ASSIGN_ELEMENT, TEXT("a"), INT(1), 10, 5));
	assert_ok(apply_at(f, "t", STORE_UPSERT_UPDATE, "m", STORE_ASSIGN_ELEMENT, TEXT("b"), INT(2), 10, 0));
	expect(f, "m", "a:1 b:2");
	f->clock.now_us += 6 * 1000000;
	expect(f, "m", "b:2");
	assert_err(update(f, "m", STORE_PREPEND_ELEMENTS, "a:1", 11), SM_INVALID);
}

static void row_deletion_takes_elements(void **state)
{
	struct fixture *f = *state;
	make(f);
	assert_ok(update(f, "m", STORE_ADD_ELEMENTS, "a:1", 10));
	struct store_mutation m = {.kind = STORE_DELETE_ROW, .table = table_of(f, "t"), .partition_key = KEY(INT(1)), .timestamp_us = 10};
	assert_ok(apply_one(f, &m));
	expect(f, "m", "-");
	assert_ok(update(f, "m", STORE_ADD_ELEMENTS, "b:1", 11));
	expect(f, "m", "b:1");
}

/* ---- counters ---- */

static struct store_cell difference(int64_t v)
{
	uint8_t *room = arena_alloc_raw(&arena, 8, 1);
	be64_put(room, (uint64_t)v);
	return (struct store_cell){room, 8};
}

static enum sm_err count(struct fixture *f, int64_t v, int64_t ts)
{
	return apply_at(f, "c", STORE_UPSERT_UPDATE, "n", STORE_ADD_ELEMENTS, NULL_CELL, difference(v), ts, 0);
}

static void expect_count(struct fixture *f, int64_t expected)
{
	const struct store_table *t = table_of(f, "c");
	struct store_read read = {.table = t, .partition_key = KEY(INT(1))};
	struct store_cursor *cursor;
	const struct store_row *row;
	assert_ok(f->store->ops->open(f->store, &read, &cursor, NULL));
	assert_ok(f->store->ops->next(cursor, &row));
	assert_int_equal(be64_get(row->cells[1].data), (uint64_t)expected);
	f->store->ops->close_cursor(cursor);
}

static void counters_add_up_whatever_the_times(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "c", "k:int:p n:counter:r", NULL));
	assert_ok(count(f, 5, 100));
	assert_ok(count(f, -2, 50)); /* a clock that is behind */
	assert_ok(count(f, 1, 100));
	expect_count(f, 4);
	fixture_reopen(f);
	assert_ok(count(f, 1, 1));
	expect_count(f, 5);
	/* one batch, the same counter again and again */
	struct store_assignment a = {store_find_column(table_of(f, "c"), "n"), difference(1), STORE_ADD_ELEMENTS, NULL_CELL};
	struct store_mutation m[100];
	const struct store_cell *key = KEY(INT(1));
	for (int i = 0; i < 100; i++)
		m[i] = (struct store_mutation){.kind = STORE_UPSERT_UPDATE,
					       .table = table_of(f, "c"),
					       .partition_key = key,
					       .cells = &a,
					       .cell_count = 1,
					       .timestamp_us = 200};
	struct store_batch b = {.mutations = m, .count = 100};
	assert_ok(store_apply_wait(f->store, &b));
	expect_count(f, 105);
	assert_err(apply_at(f, "c", STORE_UPSERT_UPDATE, "n", STORE_ASSIGN, NULL_CELL, difference(1), 1, 0), SM_INVALID);
	assert_err(apply_at(f, "c", STORE_UPSERT_UPDATE, "n", STORE_ADD_ELEMENTS, NULL_CELL, difference(1), 1, 7), SM_INVALID);
}

struct adding {
	struct fixture *f;
	int times;
};

static void *add_many(void *arg)
{
	struct adding *a = arg;
	uint8_t one[8];
	be64_put(one, 1);
	const struct store_table *t = table_of(a->f, "c");
	for (int i = 0; i < a->times; i++) {
		struct store_assignment s = {store_find_column(t, "n"), {one, 8}, STORE_ADD_ELEMENTS, {NULL, -1}};
		struct store_mutation m = {.kind = STORE_UPSERT_UPDATE,
					   .table = t,
					   .partition_key = KEY(INT(1)),
					   .cells = &s,
					   .cell_count = 1,
					   .timestamp_us = 1000 + i};
		assert_ok(apply_one(a->f, &m));
	}
	return NULL;
}

static void many_threads_add_and_nothing_is_lost(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "c", "k:int:p n:counter:r", NULL));
	struct adding a = {f, 100};
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &a), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_count(f, 400);
	fixture_reopen(f);
	expect_count(f, 400);
}

static void a_deleted_row_counts_from_nothing(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "c", "k:int:p n:counter:r", NULL));
	assert_ok(count(f, 5, 100));
	struct store_mutation m = {
		.kind = STORE_DELETE_PARTITION, .table = table_of(f, "c"), .partition_key = KEY(INT(1)), .timestamp_us = 200};
	assert_ok(apply_one(f, &m));
	assert_ok(count(f, 3, 300));
	expect_count(f, 3);
}

/* ---- user types ---- */

static enum sm_err change_udt(struct fixture *f, enum store_change_kind kind, uint16_t count, struct sm_error *reterr)
{
	static const char *const fields[] = {"street", "zip", "more"};
	static const struct store_type types[] = {{.id = STORE_TEXT}, {.id = STORE_INT}, {.id = STORE_TEXT}};
	struct store_type t = {.id = STORE_UDT, .element_count = count, .elements = types, .fields = fields};
	struct store_change c = {.kind = kind, .keyspace = "ks", .type = "addr", .new_type = &t};
	enum sm_err err = store_change_wait(f->store, &c, reterr);
	fixture_look(f);
	return err;
}

static void user_types_are_kept_and_their_tables_follow(void **state)
{
	struct fixture *f = *state;
	struct sm_error error = {0};
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(change_udt(f, STORE_CREATE_TYPE, 2, NULL));
	assert_err(change_udt(f, STORE_CREATE_TYPE, 2, NULL), SM_EXISTS);
	struct store_type type = *store_find_type(store_find_keyspace(f->schema, "ks"), "addr"), frozen;
	assert_true(store_type_freeze(&type, &arena, &frozen));
	struct store_column columns[] = {{.name = "k", .type = {.id = STORE_INT}, .kind = STORE_PARTITION_KEY},
					 {.name = "a", .type = type, .kind = STORE_REGULAR},
					 {.name = "f", .type = {STORE_LIST, 1, &frozen}, .kind = STORE_REGULAR}};
	struct store_table t = {.keyspace = "ks", .name = "t", .columns = columns, .column_count = 3};
	struct store_change c = {.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = "t", .new_table = &t};
	assert_ok(store_change_wait(f->store, &c, NULL));
	fixture_look(f);
	assert_ok(apply_at(f, "t", STORE_UPSERT_UPDATE, "a", STORE_ASSIGN, NULL_CELL, CELL("\0\0\0\1s\0\0\0\4\0\0\0\11"), 10, 0));
	assert_ok(apply_at(f, "t", STORE_UPSERT_UPDATE, "a", STORE_ASSIGN_ELEMENT, CELL("\0\1"), INT(10), 11, 0));
	assert_err(apply_at(f, "t", STORE_UPSERT_UPDATE, "a", STORE_ASSIGN_ELEMENT, CELL("\0\2"), TEXT("x"), 11, 0), SM_INVALID);
	expect(f, "a", "s 10");
	assert_err(change_udt(f, STORE_DROP_TYPE, 2, &error), SM_INVALID);
	assert_string_equal(error.text, "Cannot drop user type 'ks.addr' as it is still used by tables t");
	assert_err(change_udt(f, STORE_ALTER_TYPE, 1, NULL), SM_INVALID);
	assert_ok(change_udt(f, STORE_ALTER_TYPE, 3, NULL));
	expect(f, "a", "s 10 -");
	assert_int_equal(store_find_column(table_of(f, "t"), "f")->type.elements[0].element_count, 3);
	assert_true(store_find_column(table_of(f, "t"), "f")->type.elements[0].frozen);
	fixture_reopen(f);
	expect(f, "a", "s 10 -");
	assert_ok(change_table(f, STORE_DROP_TABLE, "t"));
	assert_ok(change_udt(f, STORE_DROP_TYPE, 3, NULL));
	fixture_reopen(f);
	assert_int_equal(store_find_keyspace(f->schema, "ks")->type_count, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(elements_are_added_and_removed_without_a_read),
		T(assigning_all_clears_what_is_older),
		T(lists_keep_the_order_of_what_was_put_where),
		T(elements_expire_one_by_one),
		T(row_deletion_takes_elements),
		T(counters_add_up_whatever_the_times),
		T(many_threads_add_and_nothing_is_lost),
		T(a_deleted_row_counts_from_nothing),
		T(user_types_are_kept_and_their_tables_follow),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_done(&arena);
	return failed;
}
