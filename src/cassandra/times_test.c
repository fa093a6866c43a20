/* The engine on a real Cassandra: times that the caller names, elements' own times, statements in CQL's own words. */
#include "cassandra/cassandra_internal.h"
#include "cassandra/testing.h"

struct held {
	const struct store_schema *schema;
	const struct store_table *table;
};

static struct held table_of(struct peer *x, const char *name)
{
	struct held h = {.schema = x->store->ops->schema(x->store)};
	h.table = store_find_table(h.schema, x->keyspace, name);
	assert_non_null(h.table);
	return h;
}

/* The one row as of a second: v's seconds left, -1 where there is no row. */
static int32_t left_at(struct peer *x, const struct store_table *t, int64_t now_s)
{
	const struct store_read read = {.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX, .now_s = now_s};
	struct store_cursor *cursor;
	const struct store_row *row;
	struct sm_error error;
	assert_int_equal(x->store->ops->open(x->store, &read, &cursor, &error), SM_OK);
	int32_t left = x->store->ops->next(cursor, &row) == SM_OK ? row->ttls_s[1] : -1;
	x->store->ops->close_cursor(cursor);
	return left;
}

static void ttls_count_from_the_second_that_is_named(void **state)
{
	struct peer *x = *state;
	run_cql(x, "CREATE TABLE n (k int PRIMARY KEY, v text)");
	struct held h = table_of(x, "n");
	const struct store_column *v = store_find_column(h.table, "v");
	const int64_t now_s = (int64_t)(clock_wall_us(&clock_system) / 1000000) - 5000;
	const struct store_assignment cell = {.column = v, .value = {(const uint8_t *)"x", 1}};
	const struct store_cell key = {(const uint8_t *)"\0\0\0\1", 4};
	const struct store_mutation m = {.kind = STORE_UPSERT_INSERT,
					 .table = h.table,
					 .partition_key = &key,
					 .cells = &cell,
					 .cell_count = 1,
					 .timestamp_us = 7,
					 .ttl_s = 100000};
	assert_int_equal(store_apply_wait(x->store, &(struct store_batch){.mutations = &m, .count = 1, .now_s = now_s}), SM_OK);
	assert_int_equal(left_at(x, h.table, now_s), 100000);
	assert_int_equal(left_at(x, h.table, now_s + 99999), 1);
	assert_int_equal(left_at(x, h.table, now_s + 100000), -1);
	/* so in a batch */
	struct store_mutation both[2] = {m, m};
	both[1].timestamp_us = 8;
	assert_int_equal(store_apply_wait(x->store, &(struct store_batch){.mutations = both, .count = 2, .now_s = now_s + 17}), SM_OK);
	assert_int_equal(left_at(x, h.table, now_s), 100017);
	x->store->ops->schema_release(x->store, h.schema);
}

static void elements_have_their_own_times(void **state)
{
	struct peer *x = *state;
	run_cql(x, "CREATE TYPE u (a int, b int, c int)");
	run_cql(x, "CREATE TABLE e (k int PRIMARY KEY, l list<int>, m map<int, text>, u u)");
	run_cql(x, "UPDATE e USING TIMESTAMP 5 SET l = l + [1, 2], m[1] = 'a', u.a = 1 WHERE k = 1");
	run_cql(x, "UPDATE e USING TIMESTAMP 6 AND TTL 90000 SET l = l + [3], m[0] = 'b', u.c = 3 WHERE k = 1");
	struct held h = table_of(x, "e");
	struct store_read read = {.table = h.table, .token_from = INT64_MIN, .token_to = INT64_MAX, .element_times = true};
	struct store_cursor *cursor;
	const struct store_row *row;
	struct sm_error error;
	static const int64_t expected[3][3] = {{5, 5, 6}, {6, 5}, {5, 6}};
	static const uint32_t counts[3] = {3, 2, 2};
	assert_int_equal(x->store->ops->open(x->store, &read, &cursor, &error), SM_OK);
	assert_int_equal(x->store->ops->next(cursor, &row), SM_OK);
	for (int c = 0; c < 3; c++) {
		assert_int_equal(row->elements[c + 1].count, counts[c]);
		for (uint32_t i = 0; i < counts[c]; i++) {
			const struct store_element *e = &row->elements[c + 1].items[i];
			assert_int_equal(e->timestamp_us, expected[c][i]);
			assert_true(e->timestamp_us == 5 ? e->ttl_s == 0 : e->ttl_s > 0 && e->ttl_s <= 90000);
		}
	}
	x->store->ops->close_cursor(cursor);
	x->store->ops->schema_release(x->store, h.schema);
}

static enum sm_err note_row(void *arg, const char *const *values, uint32_t count)
{
	snprintf(arg, 200, "%s %s", count == 4 && values[1] ? values[1] : "?", count == 4 && values[3] ? values[3] : "?");
	return strcmp(values[1], "index") == 0 ? SM_END : SM_OK;
}

static void statements_run_as_they_are(void **state)
{
	struct peer *x = *state;
	struct sm_error error;
	char text[200], said[200];
	snprintf(text, sizeof text, "CREATE TABLE %s.w (k int PRIMARY KEY, v int)", x->keyspace);
	assert_int_equal(cassandra_run(x->store, text, NULL, NULL, &error), SM_OK);
	struct held h = table_of(x, "w"); /* the picture has it at once */
	x->store->ops->schema_release(x->store, h.schema);
	snprintf(text, sizeof text, "CREATE INDEX i ON %s.w (v)", x->keyspace);
	assert_int_equal(cassandra_run(x->store, text, NULL, NULL, &error), SM_OK);
	snprintf(text, sizeof text, "DESCRIBE TABLE %s.w", x->keyspace);
	assert_int_equal(cassandra_run(x->store, text, note_row, said, &error), SM_END);
	assert_non_null(strstr(said, "index CREATE INDEX i ON"));
	assert_int_equal(cassandra_run(x->store, "CREATE SOMETHING", NULL, NULL, &error), SM_SYNTAX);
	assert_true(*error.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ttls_count_from_the_second_that_is_named, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(elements_have_their_own_times, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(statements_run_as_they_are, peer_begin, peer_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
