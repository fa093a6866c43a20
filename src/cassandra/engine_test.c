/* The engine on a real Cassandra: schema, writes and reads as the store's table has them. */
#include "cassandra/cassandra_internal.h"
#include "cassandra/testing.h"

static void addresses_are_checked(void **state)
{
	struct sm_error error;
	char host[256];
	uint16_t port;
	assert_int_equal(cassandra_check("cassandra://a,b:9043/?consistency=local_quorum&user=x%20y&local.dc=dc1", &error), SM_OK);
	cassandra_first("cassandra://[::1]:7000,b", host, &port);
	assert_string_equal(host, "::1");
	assert_int_equal(port, 7000);
	cassandra_first("cassandra://db-1.example", host, &port);
	assert_string_equal(host, "db-1.example");
	assert_int_equal(port, 9042);
	const char *const bad[][2] = {
		{"kafka://a", "no address of a Cassandra"},
		{"cassandra://", "write cassandra://HOST:PORT"},
		{"cassandra://a:0", "write cassandra://HOST:PORT"},
		{"cassandra://a:x", "write cassandra://HOST:PORT"},
		{"cassandra://a,,b", "write cassandra://HOST:PORT"},
		{"cassandra://a/ads", "keyspaces are named in statements"},
		{"cassandra://a?consistency=SERIAL", "give QUORUM, LOCAL_QUORUM"},
		{"cassandra://a?consistency=ONE", "with one copy QUORUM is ONE"},
		{"cassandra://a?consistency=local_one", "give QUORUM, LOCAL_QUORUM"},
		{"cassandra://a?tls=yes", "unknown setting 'tls'"},
		{"cassandra://a?user", "write name=value"},
		{"cassandra://a?replication.factor=0", "from 1 to 100"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(cassandra_check(bad[i][0], &error), SM_INVALID);
		if (!strstr(error.text, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], error.text);
	}
	char shown[200];
	cassandra_shown("cassandra://a,b?user=x&password=secret", shown, sizeof shown);
	assert_string_equal(shown, "cassandra://a,b");
}

static void rows_are_written_and_read(void **state)
{
	struct peer *x = *state;
	run_cql(x, "CREATE TABLE w (id int, c int, d text, s text static, v bigint, PRIMARY KEY (id, c, d)) WITH CLUSTERING ORDER BY (c "
		   "DESC, d ASC) "
		   "AND comment = 'it''s' AND gc_grace_seconds = 1000");
	run_cql(x, "INSERT INTO w (id, c, d, v) VALUES (1, 1, 'a', 10); INSERT INTO w (id, c, d, v) VALUES (1, 2, 'b', 20);"
		   "INSERT INTO w (id, c, d) VALUES (1, 2, 'a'); INSERT INTO w (id, c, d, v) VALUES (1, 3, 'c', 30);"
		   "UPDATE w SET s = 'st' WHERE id = 1; INSERT INTO w (id, s) VALUES (2, 'alone')");
	assert_string_equal(rows_of(x, "SELECT c, d, v, s FROM w WHERE id = 1"), "3,c,30,st|2,a,null,st|2,b,20,st|1,a,10,st|");
	assert_string_equal(rows_of(x, "SELECT c, d FROM w WHERE id = 1 AND c < 3"), "2,a|2,b|1,a|");
	assert_string_equal(rows_of(x, "SELECT c, d FROM w WHERE id = 1 AND c >= 2 ORDER BY c ASC"), "2,b|2,a|3,c|");
	assert_string_equal(rows_of(x, "SELECT c, d FROM w WHERE id = 1 AND c = 2 AND d > 'a'"), "2,b|");
	assert_string_equal(rows_of(x, "SELECT v FROM w WHERE id = 1 AND c = 3 AND d = 'c'"), "30|");
	assert_string_equal(rows_of(x, "SELECT id, s FROM w WHERE id = 2"), "2,alone|");
	assert_string_equal(rows_of(x, "SELECT DISTINCT id, s FROM w WHERE id = 1"), "1,st|");
	assert_string_equal(rows_of(x, "SELECT count(*) FROM w"), "5|");
	run_cql(x, "DELETE FROM w WHERE id = 1 AND c = 2 AND d = 'b'; DELETE v FROM w WHERE id = 1 AND c = 3 AND d = 'c'");
	assert_string_equal(rows_of(x, "SELECT c, d, v FROM w WHERE id = 1"), "3,c,null|2,a,null|1,a,10|");
	run_cql(x, "DELETE FROM w WHERE id = 1 AND c >= 2");
	assert_string_equal(rows_of(x, "SELECT c, d, v FROM w WHERE id = 1"), "1,a,10|");
	run_cql(x, "DELETE FROM w WHERE id = 1");
	assert_string_equal(rows_of(x, "SELECT c FROM w WHERE id = 1"), "");
	run_cql(x, "INSERT INTO w (id, c, d, v) VALUES (7, 1, 'x', 1) USING TIMESTAMP 100 AND TTL 1000");
	assert_string_equal(rows_of(x, "SELECT writetime(v) FROM w WHERE id = 7"), "100|");
	const struct store_schema *schema = x->store->ops->schema(x->store);
	const struct store_table *t = store_find_table(schema, x->keyspace, "w");
	assert_non_null(t);
	assert_int_equal(t->gc_grace_s, 1000);
	assert_true(t->columns[1].descending);
	x->store->ops->schema_release(x->store, schema);
	run_cql(x, "TRUNCATE w");
	assert_string_equal(rows_of(x, "SELECT id FROM w"), "");
}

static void all_types_travel(void **state)
{
	struct peer *x = *state;
	run_cql(x, "CREATE TYPE address (street text, zip int)");
	run_cql(x,
		"CREATE TABLE t (k int PRIMARY KEY, a ascii, b bigint, bl blob, bo boolean, da date, de decimal, d double, du duration, f "
		"float, "
		"i inet, s smallint, t text, ti time, ts timestamp, tu timeuuid, tn tinyint, u uuid, vi varint, l list<int>, se set<text>, "
		"m map<text, int>, fl frozen<list<int>>, ad address, fa frozen<address>, tp tuple<int, text>, ve vector<float, 2>)");
	run_cql(x,
		"INSERT INTO t (k, a, b, bl, bo, da, de, d, du, f, i, s, t, ti, ts, tu, tn, u, vi, l, se, m, fl, ad, fa, tp, ve) VALUES "
		"(1, 'a', 2, 0xcafe, true, '2019-11-24', 1.50, 2.5, 1mo2d, 0.5, '127.0.0.1', 3, 'text', '10:00:00', "
		"'2019-11-24T00:00:00Z', "
		"f3a7a310-0e55-11ea-8d71-362b9e155667, 4, 0c7b3d30-ef1e-4a3e-9a29-5ac2b1f6f2c1, 123456789012345678901234567890, [1, 2, 1], "
		"{'x', 'y'}, {'a': 1, 'b': 2}, [7], {street: 'S', zip: 1}, {street: 'T', zip: 2}, (1, 'z'), [1.5, 2])");
	assert_string_equal(rows_of(x, "SELECT a, b, bl, bo, da, de, d, du, f, i, s, t, ti, tu, tn, vi FROM t"),
			    "a,2,0xcafe,True,2019-11-24,1.50,2.5,1mo2d,0.5,127.0.0.1,3,text,10:00:00.000000000,"
			    "f3a7a310-0e55-11ea-8d71-362b9e155667,4,123456789012345678901234567890|");
	assert_string_equal(rows_of(x, "SELECT l, se, m, fl, ad, fa, tp, ve FROM t"),
			    "[1, 2, 1],{'x', 'y'},{'a': 1, 'b': 2},[7],{street: 'S', zip: 1},{street: 'T', zip: 2},(1, 'z'),[1.5, 2]|");
	run_cql(x, "UPDATE t SET l = l + [9], se = se - {'x'}, m = m + {'c': 3}, ad.zip = 5 WHERE k = 1;"
		   "UPDATE t SET l = [0] + l, m['a'] = 10 WHERE k = 1; UPDATE t SET l[1] = 100 WHERE k = 1; DELETE m['b'], l[0] FROM t "
		   "WHERE k = 1");
	assert_string_equal(rows_of(x, "SELECT l, se, m, ad FROM t"), "[100, 2, 1, 9],{'y'},{'a': 10, 'c': 3},{street: 'S', zip: 5}|");
	run_cql(x, "ALTER TYPE address ADD city text; ALTER TABLE t ADD more int; ALTER TABLE t DROP tn; ALTER TABLE t RENAME k TO key");
	assert_string_equal(rows_of(x, "SELECT key, more, ad FROM t"), "1,null,{street: 'S', zip: 5, city: null}|");
}

static void counters_count(void **state)
{
	struct peer *x = *state;
	run_cql(x, "CREATE TABLE c (k int PRIMARY KEY, n counter)");
	run_cql(x, "UPDATE c SET n = n + 5 WHERE k = 1; UPDATE c SET n = n - 2 WHERE k = 1;"
		   "BEGIN COUNTER BATCH UPDATE c SET n = n + 1 WHERE k = 1; UPDATE c SET n = n + 7 WHERE k = 2; APPLY BATCH");
	assert_string_equal(rows_of(x, "SELECT n FROM c WHERE k = 1"), "4|");
	assert_string_equal(rows_of(x, "SELECT n FROM c WHERE k = 2"), "7|");
}

/* ---- through the table of calls ---- */

static void scans_have_pages_and_go_on_behind_a_row(void **state)
{
	struct peer *x = *state;
	struct many m = many_begin(x);
	enum { AS = 40, BS = 40 };
	assert_int_equal(put_many(x, &m, AS, BS, "v", 1, NULL, 0), SM_OK); /* 3200 rows: several pages, and the journal */
	struct store_read all = {.table = m.table, .token_from = INT64_MIN, .token_to = INT64_MAX};
	assert_int_equal(count_rows(x, &all, NULL), AS * BS * 2);
	all.no_times = true;
	assert_int_equal(count_rows(x, &all, NULL), AS * BS * 2);
	/* halves of the ring */
	struct store_read low = all, high = all;
	low.token_to = 0;
	high.token_from = 1;
	assert_int_equal(count_rows(x, &low, NULL) + count_rows(x, &high, NULL), AS * BS * 2);
	/* a slice of each partition */
	uint8_t b[4], c[4];
	be32_put(b, 3);
	be32_put(c, 0);
	struct store_cell bound[] = {{b, 4}, {c, 4}};
	struct store_read slice = all;
	slice.from = (struct store_bound){STORE_EXCLUSIVE, 2, bound};
	slice.to = (struct store_bound){STORE_INCLUSIVE, 1, bound};
	assert_int_equal(count_rows(x, &slice, NULL), AS);
	/* one row after the other, each time anew */
	uint32_t seen = 0;
	struct store_read rest = all;
	uint8_t key[12];
	struct store_cell cells[] = {{key, 4}, {key + 4, 4}, {key + 8, 4}};
	rest.token_to = INT64_MIN + (INT64_MAX / 8); /* a sixteenth of the ring */
	uint32_t wanted = count_rows(x, &rest, NULL);
	for (;;) {
		struct store_cursor *cursor;
		const struct store_row *row;
		struct sm_error error;
		assert_int_equal(x->store->ops->open(x->store, &rest, &cursor, &error), SM_OK);
		enum sm_err err = x->store->ops->next(cursor, &row);
		for (int i = 0; i < 3 && !err; i++)
			memcpy(key + i * 4, row->cells[i].data, 4);
		x->store->ops->close_cursor(cursor);
		if (err)
			break;
		seen++;
		rest.after_partition_key = cells;
		rest.after_clustering = cells + 1;
	}
	assert_int_equal(seen, wanted);
	x->store->ops->schema_release(x->store, m.schema);
}

static void slices_of_a_partition(void **state)
{
	struct peer *x = *state;
	struct many m = many_begin(x);
	assert_int_equal(put_many(x, &m, 1, 5, "v", 1, NULL, 0), SM_OK);
	uint8_t zero[4] = {0}, n[5][4];
	for (uint32_t i = 0; i < 5; i++)
		be32_put(n[i], i);
	struct store_cell key = {zero, 4};
	/* every pair of bounds, against what the comparison of numbers says */
	for (int from = 0; from < 41; from++)
		for (int to = 0; to < 41; to++)
			for (int reverse = 0; reverse < 2; reverse++) {
				struct store_cell low[2] = {{n[from / 8 % 5], 4}, {n[from % 2], 4}},
						  high[2] = {{n[to / 8 % 5], 4}, {n[to % 2], 4}};
				struct store_read r = {.table = m.table, .partition_key = &key, .reverse = reverse};
				r.from = (struct store_bound){from == 40     ? STORE_UNBOUNDED
							      : from / 4 % 2 ? STORE_INCLUSIVE
									     : STORE_EXCLUSIVE,
							      (uint16_t)(from / 2 % 2 + 1), low};
				r.to = (struct store_bound){to == 40     ? STORE_UNBOUNDED
							    : to / 4 % 2 ? STORE_INCLUSIVE
									 : STORE_EXCLUSIVE,
							    (uint16_t)(to / 2 % 2 + 1), high};
				uint32_t wanted = 0;
				for (int row = 0; row < 10; row++) {
					int l = from / 8 % 5 * 2 + from % 2, h = to / 8 % 5 * 2 + to % 2;
					int a = r.from.count == 2 ? row - l : row / 2 - l / 2,
					    z = r.to.count == 2 ? row - h : row / 2 - h / 2;
					bool in = from == 40 || a > 0 || (a == 0 && r.from.kind == STORE_INCLUSIVE);
					in &= to == 40 || z < 0 || (z == 0 && r.to.kind == STORE_INCLUSIVE);
					wanted += in;
				}
				uint32_t got = count_rows(x, &r, NULL);
				if (got != wanted)
					fail_msg("from %d to %d: %u rows, not %u", from, to, got, wanted);
			}
	x->store->ops->schema_release(x->store, m.schema);
}

static void what_cannot_be_is_refused(void **state)
{
	struct peer *x = *state;
	struct cql_session *session;
	struct sm_error error;
	run_cql(x, "CREATE TABLE p (k int PRIMARY KEY, v int)");
	assert_int_equal(cql_session_new(x->store, x->keyspace, &session), SM_OK);
	assert_int_not_equal(cql_session_run(session, BYTES("INSERT INTO p (k, v) VALUES (1, 1) IF NOT EXISTS"), NULL, &error), SM_OK);
	assert_int_equal(cql_session_run(session, BYTES("SELECT nope FROM p"), NULL, &error), SM_INVALID);
	assert_int_equal(cql_session_run(session, BYTES("CREATE TABLE p (k int PRIMARY KEY)"), NULL, &error), SM_EXISTS);
	assert_int_not_equal(
		cql_session_run(session,
				BYTES("CREATE MATERIALIZED VIEW pv AS SELECT k, v FROM p WHERE v IS NOT NULL AND k IS NOT NULL "
				      "PRIMARY KEY (v, k)"),
				NULL, &error),
		SM_OK);
	assert_non_null(strstr(error.text, "make views and indexes there"));
	assert_int_not_equal(cql_session_run(session, BYTES("CREATE INDEX pi ON p (v)"), NULL, &error), SM_OK);
	cql_session_free(session);
	assert_int_equal(x->store->ops->checkpoint(x->store, "/nowhere", &error), SM_UNSUPPORTED);
}

/* Only one of the names is known. */
static void a_name_that_is_not_known_keeps_nobody_waiting(void **state)
{
	struct peer *x = *state;
	struct sm_store *store;
	struct sm_error error;
	char address[300], unknown[80];
	memset(unknown, 'x', sizeof unknown); /* longer than a label can be: nobody is asked */
	unknown[sizeof unknown - 1] = 0;
	snprintf(address, sizeof address, "cassandra://%s,%s", unknown, x->address + strlen("cassandra://"));
	if (peer_try(x, address, &store, &error))
		fail_msg("%s", error.text);
	assert_int_equal(store->ops->close(store, &error), SM_OK);
	snprintf(address, sizeof address, "cassandra://%s", unknown);
	assert_int_equal(peer_try(x, address, &store, &error), SM_INVALID);
	assert_non_null(strstr(error.text, unknown));
}

static void more_statements_than_are_kept_are_run_as_text(void **state)
{
	struct peer *x = *state;
	struct client *client = ((struct cassandra_store *)x->store)->client;
	char text[60] = "SELECT";
	struct sm_error error;
	uint64_t epoch;
	run_cql(x, "CREATE TABLE f (k int PRIMARY KEY, a int, b int)");
	run_cql(x, "INSERT INTO f (k, a) VALUES (1, 2)");
	for (int i = 0; client__statement(client, text) >= 0; i++)
		snprintf(text, sizeof text, "SELECT %d", i);
	assert_non_null(strstr(x->notices, "20000 different statements"));
	run_cql(x, "INSERT INTO f (k, a) VALUES (2, 3)");
	assert_string_equal(rows_of(x, "SELECT b, a FROM f WHERE k = 2"), "null,3|");
	assert_string_equal(rows_of(x, "SELECT count(*) FROM f"), "2|");
	assert_int_equal(x->store->ops->job_epoch(x->store, x->keyspace, &epoch, &error), SM_OK);
	struct many m = many_begin(x);
	assert_int_equal(put_many(x, &m, 1, 1, "a", 1, NULL, 0), SM_TOO_LARGE);
	x->store->ops->schema_release(x->store, m.schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test_setup_teardown(rows_are_written_and_read, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(all_types_travel, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(counters_count, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(scans_have_pages_and_go_on_behind_a_row, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(slices_of_a_partition, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(a_name_that_is_not_known_keeps_nobody_waiting, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(more_statements_than_are_kept_are_run_as_text, peer_begin, peer_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
