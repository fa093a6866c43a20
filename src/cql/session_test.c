/* Statements on the embedded store, as one sees them: rows as text. What a real Cassandra answers is in tests/cql/golden; here is what that
 * record does not have: slices of columns in mixed order, model checks, limits. */
#include "cql/testing.h"
#include "base/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct sm_system *sys;
static struct sm_store *store;
static struct cql_session *session;
static char dir[] = "/tmp/cql-session-XXXXXX";
static struct buf out;
static struct sm_error why;

static enum sm_err take_row(void *arg, const char *const *values, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		buf_printf(&out, "%s%s", i ? "," : buf_size(&out) ? " " : "", values[i] ? values[i] : "null");
	return SM_OK;
}

static enum sm_err run(const char *text)
{
	struct cql_sink sink = {.row = take_row};
	buf_clear(&out);
	return cql_session_run(session, bytes_str(text), &sink, &why);
}

static void ok(const char *text)
{
	if (run(text) != SM_OK)
		fail_msg("%s: %s", text, why.text);
}

static void gives(const char *text, const char *rows)
{
	ok(text);
	buf_u8(&out, 0);
	assert_string_equal((const char *)out.data + out.start, rows);
}

static void refused(const char *text, const char *message)
{
	assert_int_not_equal(run(text), SM_OK);
	assert_string_equal(why.text, message);
}

static int set_up(void **state)
{
	buf_init(&out);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(sm_system_new(&(struct sm_system_options){.dispatchers = 1}, &sys, &why), SM_OK);
	assert_int_equal(store_embedded_open(&(struct store_embedded_options){.system = sys, .dir = dir}, &store, &why), SM_OK);
	assert_int_equal(cql_session_new(store, NULL, &session), SM_OK);
	ok("CREATE KEYSPACE s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}; USE s;");
	return 0;
}

static int tear_down(void **state)
{
	cql_session_free(session);
	assert_int_equal(store->ops->close(store, &why), SM_OK);
	assert_int_equal(sm_system_stop(sys, 5000), SM_OK);
	buf_done(&out);
	return io_remove_tree(&io_system, dir, &why) == SM_OK ? 0 : -1;
}

static void the_articles_table_answers_its_range(void **state)
{
	ok("CREATE TABLE campaign (id uuid, year int, month int, day int, views bigint, clicks bigint, PRIMARY KEY (id, year, month, "
	   "day));\n"
	   "INSERT INTO campaign (id, year, month, day, views, clicks) VALUES (50554d6e-29bb-11e5-b345-feff819cdc9f, 2015, 9, 10, 1000, "
	   "42);");
	gives("SELECT views, clicks FROM campaign WHERE id = 50554d6e-29bb-11e5-b345-feff819cdc9f AND year = 2015 AND month > 8",
	      "1000,42");
	gives("SELECT views, clicks FROM campaign WHERE id = 50554d6e-29bb-11e5-b345-feff819cdc9f AND year = 2015 AND month > 9", "");
	refused("SELECT * FROM campaign WHERE id = 50554d6e-29bb-11e5-b345-feff819cdc9f AND year > 2014 AND month > 8",
		"Clustering column \"month\" cannot be restricted (preceding column \"year\" is restricted by a non-EQ relation)");
	refused("SELECT * FROM campaign WHERE id = 50554d6e-29bb-11e5-b345-feff819cdc9f AND month > 8",
		"PRIMARY KEY column \"month\" cannot be restricted as preceding column \"year\" is not restricted");
}

static void several_statements_stop_at_the_first_error(void **state)
{
	refused("SELECT * FROM system.local;\n\nSELECT nope FROM system.local; CREATE TABLE never (a int PRIMARY KEY)",
		"statement 2 (line 3): Undefined column name nope in table system.local");
	refused("SELECT * FROM never", "table never does not exist");
}

/* (a, b) <op> (x, y) over columns of which one is stored backwards: all operators against the rows counted by hand. */
static void slices_of_columns_in_mixed_order_are_exact(void **state)
{
	static const char *const operators[] = {"<", "<=", ">", ">=", "="};
	char text[300], expected[2000];
	ok("CREATE TABLE mixed (k int, a int, b int, PRIMARY KEY (k, a, b)) WITH CLUSTERING ORDER BY (a DESC, b ASC)");
	for (int a = 0; a < 4; a++)
		for (int b = 0; b < 4; b++) {
			snprintf(text, sizeof text, "INSERT INTO mixed (k, a, b) VALUES (1, %d, %d)", a, b);
			ok(text);
		}
	for (int low = 0; low < 5; low++)
		for (int high = 0; high < 5; high++)
			for (int at = 0; at < 16; at += 5) {
				int x = at / 4, y = at % 4, x2 = 2, y2 = 1;
				bool equal = low == 4 || high == 4 || (low < 2) == (high < 2); /* CQL takes one bound of each side */
				snprintf(text, sizeof text, "SELECT a, b FROM mixed WHERE k = 1 AND (a, b) %s (%d, %d)%s%s%s",
					 operators[low], x, y, equal ? "" : " AND (a, b) ", equal ? "" : operators[high],
					 equal ? "" : " (2, 1)");
				expected[0] = 0;
				for (int a = 3; a >= 0; a--)
					for (int b = 0; b < 4; b++) {
						int one = (a - x) * 10 + b - y, two = (a - x2) * 10 + b - y2;
						bool in = low == 0   ? one < 0
							  : low == 1 ? one <= 0
							  : low == 2 ? one > 0
							  : low == 3 ? one >= 0
								     : one == 0;
						if (!equal)
							in = in && (high == 0   ? two < 0
								    : high == 1 ? two <= 0
								    : high == 2 ? two > 0
										: two >= 0);
						if (in)
							snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%d,%d",
								 expected[0] ? " " : "", a, b);
					}
				gives(text, expected);
			}
	gives("SELECT a, b FROM mixed WHERE k = 1 AND a IN (0, 3, 3) AND b > 1 ORDER BY a ASC, b DESC", "0,3 0,2 3,3 3,2");
	gives("SELECT a, b FROM mixed WHERE k = 1 AND (a, b) IN ((3, 1), (0, 0), (9, 9))", "3,1 0,0");
	gives("SELECT a, b FROM mixed WHERE k = 1 AND a > 3 AND a < 1", "");
}

static void a_large_result_comes_in_pages_and_whole(void **state)
{
	struct buf text;
	buf_init(&text);
	ok("CREATE TABLE many (k int, c int, PRIMARY KEY (k, c))");
	for (int k = 0; k < 25; k++) {
		buf_clear(&text);
		buf_append_str(&text, "BEGIN UNLOGGED BATCH ");
		for (int c = 0; c < 100; c++)
			buf_printf(&text, "INSERT INTO many (k, c) VALUES (%d, %d); ", k, c);
		buf_append_str(&text, "APPLY BATCH\0");
		buf_u8(&text, 0);
		ok((const char *)text.data);
	}
	buf_done(&text);
	gives("SELECT count(*) FROM many", "2500");
	ok("SELECT k FROM many");
	size_t rows = 1;
	for (size_t i = out.start; i < out.end; i++)
		rows += out.data[i] == ' ';
	assert_int_equal(rows, 2500);
	gives("SELECT c FROM many WHERE k IN (7, 3) PER PARTITION LIMIT 2", "0 1 0 1");
	gives("SELECT k, count(c), max(c) FROM many WHERE k IN (7, 3) GROUP BY k", "3,100,99 7,100,99");
	gives("SELECT DISTINCT k FROM many WHERE k = 5", "5");
	gives("SELECT count(*) FROM many WHERE c = 42 ALLOW FILTERING", "25");
	ok("DELETE FROM many WHERE k = 1 AND c >= 10 AND c < 90");
	gives("SELECT count(*), sum(c), avg(c) FROM many WHERE k = 1", "20,990,49");
}

static void statics_and_rows(void **state)
{
	ok("CREATE TABLE st (k int, c int, s text static, v int, PRIMARY KEY (k, c))");
	ok("INSERT INTO st (k, s) VALUES (1, 'only')");
	gives("SELECT * FROM st WHERE k = 1", "1,null,only,null");
	gives("SELECT * FROM st WHERE k = 1 AND c > 0", "");
	ok("UPDATE st SET v = 1, s = 'both' WHERE k = 1 AND c = 5");
	gives("SELECT * FROM st", "1,5,both,1");
	ok("DELETE s FROM st WHERE k = 1");
	gives("SELECT DISTINCT k, s FROM st", "1,null");
}

static void tables_change_and_describe_themselves(void **state)
{
	ok("CREATE TABLE d (k text, c timeuuid, v decimal, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'it''s' AND "
	   "default_time_to_live = 3600");
	ok("ALTER TABLE d ADD w inet");
	ok("INSERT INTO d (k, c, v, w) VALUES ('x', now(), 12.30, '::1')");
	gives("SELECT v, w FROM d", "12.30,::1");
	gives("SELECT k FROM d WHERE v = 12.3 ALLOW FILTERING", "x");
	gives("SELECT k FROM d WHERE v > -100 AND v < 13e0 ALLOW FILTERING", "x");
	ok("DESCRIBE TABLE d");
	struct bytes made = buf_bytes(&out);
	char *copy = strndup((const char *)made.data, made.size);
	char *create = strstr(copy, "CREATE");
	assert_non_null(create);
	assert_non_null(strstr(create, "comment = 'it''s'"));
	assert_non_null(strstr(create, "default_time_to_live = 3600"));
	ok("DROP TABLE d");
	ok(create);
	ok("DESCRIBE TABLE d");
	assert_int_equal(buf_size(&out), strlen(copy));
	assert_memory_equal(out.data + out.start, copy, strlen(copy));
	free(copy);
	refused("CREATE TABLE bad (k int PRIMARY KEY, l list<list<int>>)",
		"Non-frozen collections are not allowed inside collections: list<list<int>>");
	refused("CREATE TABLE s.d (k int PRIMARY KEY)", "Cannot add already existing table \"d\" to keyspace \"s\"");
	refused("INSERT INTO system.local (key) VALUES ('x')", "system keyspace is not user-modifiable.");
}

static void conditional_statements_say_whether_they_were_applied(void **state)
{
	ok("CREATE TABLE lw (k int, c int, s int static, v int, PRIMARY KEY (k, c))");
	gives("INSERT INTO lw (k, c, v) VALUES (1, 1, 1) IF NOT EXISTS", "True");
	gives("INSERT INTO lw (k, c, v) VALUES (1, 1, 2) IF NOT EXISTS", "False,1,1,null,1");
	gives("UPDATE lw SET v = 5 WHERE k = 1 AND c = 1 IF v = 9 AND s = null", "False,1,null");
	gives("UPDATE lw SET v = 5 WHERE k = 1 AND c = 1 IF v IN (1, 2) AND s = null", "True");
	/* what was written for the future is replaced all the same */
	ok("UPDATE lw USING TIMESTAMP 9000000000000000 SET v = 6 WHERE k = 1 AND c = 1");
	gives("UPDATE lw SET v = 7 WHERE k = 1 AND c = 1 IF v = 6", "True");
	gives("SELECT v, writetime(v) FROM lw WHERE k = 1", "7,9000000000000001");
	gives("DELETE FROM lw WHERE k = 1 AND c = 1 IF EXISTS", "True");
	gives("DELETE FROM lw WHERE k = 1 AND c = 1 IF EXISTS", "False");
	gives("BEGIN BATCH UPDATE lw SET s = 1 WHERE k = 1 IF s = null; INSERT INTO lw (k, c, v) VALUES (1, 3, 3); APPLY BATCH", "True");
	gives("BEGIN BATCH UPDATE lw SET s = 1 WHERE k = 1 IF s = 2; INSERT INTO lw (k, c, v) VALUES (1, 4, 4); APPLY BATCH",
	      "False,1,3,1");
	gives("SELECT c FROM lw WHERE k = 1", "3");
}

static void conditions_look_into_columns(void **state)
{
	ok("CREATE TYPE spot (x int, y int); CREATE TABLE ci (k int PRIMARY KEY, l list<int>, m map<text, int>, u spot, s set<int>, v int);"
	   "INSERT INTO ci (k, l, m, u, s) VALUES (1, [5, 6], {'a': 1}, {x: 7}, {3})");
	gives("UPDATE ci SET v = 1 WHERE k = 1 IF l[1] = 6 AND m['a'] < 2 AND u.x IN (7, 8) AND s CONTAINS 3 AND m CONTAINS KEY 'a'",
	      "True");
	gives("UPDATE ci SET v = 2 WHERE k = 1 IF m['b'] = null AND u.y = null AND l[9] = null", "True");
	gives("UPDATE ci SET v = 3 WHERE k = 1 IF m['a'] = 2", "False,{'a': 1}");
	gives("UPDATE ci SET v = 3 WHERE k = 1 IF l CONTAINS 7", "False,[5, 6]");
	refused("UPDATE ci SET v = 3 WHERE k = 1 IF l[-1] = 7", "Invalid negative list index -1");
	refused("UPDATE ci SET v = 3 WHERE k = 1 IF u.z = 7", "Unknown field z for column u");
	refused("UPDATE ci SET v = 3 WHERE k = 1 IF s[3] = 7", "Invalid element access syntax for set column s");
	gives("SELECT v FROM ci", "2");
}

/* Each of these would once have ended the server. */
static void statements_that_make_no_sense_are_only_refused(void **state)
{
	ok("CREATE TYPE part (f int, g text)");
	ok("CREATE TABLE odd (k int PRIMARY KEY, v tuple<int, int>, w frozen<part>, s set<decimal>)");
	refused("INSERT INTO odd (k, v) VALUES (1, ([1], 2))", "Unexpected receiver type 'int'; only list and vector are expected");
	refused("INSERT INTO odd (k, w) VALUES (1, {f: [1]})", "Unexpected receiver type 'int'; only list and vector are expected");
	refused("INSERT INTO odd (k, v) VALUES (1, ([[1]], 2))", "Unexpected receiver type 'int'; only list and vector are expected");
	char *deep = malloc(5000000), *at = deep + sprintf(deep, "SELECT k");
	for (int i = 0; i < 2000000; i++, at += 2)
		memcpy(at, ".k", 2);
	strcpy(at, " FROM odd");
	refused(deep, "line 1:70 nested deeper than 32 levels");
	at = deep + sprintf(deep, "INSERT INTO odd (k, s) VALUES (1, {1, ");
	memset(at, '7', 4000);
	strcpy(at + 4000, "})");
	refused(deep, "A decimal in a set or in a map's key has more than 1024 bytes");
	free(deep);
	ok("CREATE TABLE ends (k int PRIMARY KEY, m map<text, int>)");
	ok("CREATE TABLE static_ends (k int, c int, st map<text, int> static, m map<text, int>, PRIMARY KEY (k, c))");
	gives("SELECT count(*), m['a'..] FROM ends", "0,null");
	ok("INSERT INTO ends (k, m) VALUES (1, {'a': 1, 'b': 2})");
	ok("UPDATE static_ends SET st = {'a': 1, 'b': 2}, m = {'x': 3} WHERE k = 1 AND c = 1");
	gives("SELECT count(*), m['b'..], m[..'a'] FROM ends", "1,{'b': 2},{'a': 1}");
	ok("SELECT count(*), writetime(m['a'..]) FROM ends");
	gives("SELECT DISTINCT k, st['b'..] FROM static_ends", "1,{'b': 2}");
	gives("SELECT k, count(m['x'..]), st[..'a'] FROM static_ends GROUP BY k", "1,1,{'a': 1}");
	refused("SELECT DISTINCT k, m['x'..] FROM static_ends",
		"SELECT DISTINCT queries must only request partition key columns and/or static columns (not m)");
	refused("SELECT DISTINCT k, writetime(m) FROM static_ends",
		"SELECT DISTINCT queries must only request partition key columns and/or static columns (not m)");
	ok("SELECT DISTINCT k, writetime(st) FROM static_ends");
}

/* Each of these would once have taken seconds or hours. */
static void long_statements_take_time_by_their_length(void **state)
{
	enum { ROWS = 20000, ROOM = 100 * ROWS };
	char *text = malloc(ROOM), *at = text;
	assert_non_null(text);
	ok("CREATE TABLE lo (k int, c text, m map<int, int>, b blob, de decimal, PRIMARY KEY (k, c))");
	at += sprintf(at, "UPDATE lo SET ");
	for (int i = 0; i < ROWS; i++)
		at += sprintf(at, "%sm[%d] = 1", i ? ", " : "", i);
	strcpy(at, " WHERE k = 1 AND c = 'a'");
	ok(text);
	at = text + sprintf(text, "DELETE m[1]");
	for (int i = 0; i < ROWS; i++)
		at += sprintf(at, ", m[%d]", i);
	for (int i = 0; i < ROWS; i++)
		at += sprintf(at, ", m");
	strcpy(at, " FROM lo WHERE k = 1 AND c = 'a'");
	ok(text);
	at = text + sprintf(text, "BEGIN BATCH ");
	for (int i = 0; i < 1000; i++)
		at += sprintf(at, "INSERT INTO lo (k, c) VALUES (9, 'row%d') IF NOT EXISTS;", i);
	strcpy(at, "APPLY BATCH");
	gives(text, "True");
	strcpy(at, "UPDATE lo SET b = 0x00 WHERE k = 9 AND c = 'row700' IF EXISTS; APPLY BATCH");
	refused(text, "Cannot mix IF EXISTS and IF NOT EXISTS conditions for the same row");
	/* 30 calls, one in the other: twice for each level would be a thousand million */
	at = text + sprintf(text, "INSERT INTO lo (k, c, b) VALUES (1, 'b', ");
	for (int i = 0; i < 15; i++)
		at += sprintf(at, "textAsBlob(blobAsText(");
	at += sprintf(at, "0x61");
	for (int i = 0; i < 15; i++)
		at += sprintf(at, "))");
	strcpy(at, ")");
	ok(text);
	gives("SELECT b FROM lo WHERE c = 'b' ALLOW FILTERING", "0x61");
	ok("INSERT INTO lo (k, c, de) VALUES (2, 'c', 1E+9000)");
	gives("SELECT de / 1 FROM lo WHERE k = 2", "1E+9000");
	free(text);
}

static void statements_with_json_name_what_they_are_refused_for(void **state)
{
	ok("CREATE TYPE jpart (a int, b int)");
	ok("CREATE TABLE jo (k int PRIMARY KEY, i int, d double, f float, v varint, bl blob, bo boolean, t text, l list<int>, u jpart, dt "
	   "date)");
#define FOR(column) "Error decoding JSON value for " column ": "
	refused("INSERT INTO jo JSON '{\"k\": 1, \"i\": \"1\\u0000garbage\"}'", FOR("i") "Unable to make int from '1\\u0000garbage'");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"d\": \"1\\u0000x\"}'", FOR("d") "Unable to make double from '1\\u0000x'");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"v\": \"1\\u0000\"}'",
		FOR("v") "Value '1\\u0000' is not a valid representation of a varint value");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"bo\": \"true\\u0000\"}'", FOR("bo") "Unable to make boolean from 'true\\u0000'");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"bl\": \"0xca\\u0000\"}'",
		FOR("bl") "Value '0xca\\u0000' is not a valid blob representation: Non-hex characters in ca\\u0000");
	assert_int_not_equal(run("INSERT INTO jo JSON '{\"k\": 1, \"dt\": \"2020-01-01\\u0000\"}'"), SM_OK);
	refused("INSERT INTO jo JSON '{\"k\": 1, \"i\\u0000\": 1}'", "JSON values map contains unrecognized column: i\\u0000");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"u\": {\"a\\u0000b\": 1}}'",
		FOR("u") "Unknown field 'a\\u0000b' in value of user defined type jpart");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"d\": \"inf\"}'", FOR("d") "Unable to make double from 'inf'");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"d\": \"0x10\"}'", FOR("d") "Unable to make double from '0x10'");
	refused("INSERT INTO jo JSON '{\"k\": 1, \"f\": \"nan\"}'", FOR("f") "Unable to make float from 'nan'");
	ok("INSERT INTO jo JSON '{\"k\": 1, \"d\": \" -1.5e3 \", \"f\": \"-Infinity\", \"t\": \"a\\u0000b\"}'");
	gives("SELECT d, f, textAsBlob(t) FROM jo WHERE k = 1", "-1500,-Infinity,0x610062");
	/* of several equal names only the last counts */
	ok("INSERT INTO jo JSON '{\"k\": \"x\", \"i\": [], \"I\": 5, \"u\": {\"a\": \"x\", \"A\": 2}, \"k\": 2}'");
	gives("SELECT k, i, u FROM jo WHERE k = 2", "2,5,{a: 2, b: null}");
	/* an error shows the first of a long value */
	enum { COUNT = 200000 };
	char *text = malloc(4 * COUNT), *at = text;
	assert_non_null(text);
	at += sprintf(at, "INSERT INTO jo JSON '{\"k\": 1, \"i\": [0");
	for (int i = 0; i < COUNT; i++, at += 2)
		memcpy(at, ",7", 2);
	strcpy(at, "]}'");
	assert_int_not_equal(run(text), SM_OK);
	assert_non_null(strstr(why.text, FOR("i") "Expected an int value, but got a ArrayList: [0, 7, 7, 7"));
	at = text + sprintf(text, "INSERT INTO jo JSON '{\"k\": 1, \"l\": ");
	memset(at, '[', 40);
	strcpy(at + 40, "'");
	assert_int_not_equal(run(text), SM_OK);
	assert_non_null(strstr(why.text, "Document nesting depth (33) exceeds the maximum allowed (32)"));
	free(text);
}

/* More digits than are calculated with, and the ends of time. */
static void numbers_and_times_at_their_ends(void **state)
{
	enum { BYTES = 9000 };
	char *text = malloc(3 * BYTES), *at = text;
	const char *many = "The numbers have too many digits to be calculated with: at most 8192 bytes, and 10000 digits apart";
	assert_non_null(text);
	ok("CREATE TABLE en (k int PRIMARY KEY, v varint, de decimal, ts timestamp, d date)");
	at += sprintf(at, "INSERT INTO en (k, v, de) VALUES (1, blobAsVarint(0x");
	memset(at, '7', 2 * BYTES);
	strcpy(at + 2 * BYTES, "), blobAsDecimal(0x00000002))");
	ok(text);
	gives("SELECT cast(v AS double), cast(v AS float), de, cast(de AS double), toJson(de) FROM en", "Infinity,Infinity,0.00,0,0.00");
	refused("SELECT cast(v AS text) FROM en", many);
	refused("SELECT toJson(v) FROM en", many);
	refused("SELECT JSON k, v FROM en", many);
	memset(at, 'f', 2 * BYTES);
	ok(text);
	gives("SELECT v, cast(v AS double), cast(v AS text) FROM en", "-1,-1,-1");
	memcpy(at, "80", 2);
	ok(text);
	gives("SELECT cast(v AS double) FROM en", "-Infinity");
	free(text);
	ok("INSERT INTO en (k, ts, d) VALUES (2, -9223372036854775808, '1970-01-01')");
	ok("SELECT cast(ts AS date), toDate(ts), minTimeuuid(ts), ts - 1d, ts - 1mo, ts - 100000000y, d - 1mo FROM en WHERE k = 2");
	ok("INSERT INTO en (k, ts) VALUES (2, 9223372036854775807)");
	ok("SELECT cast(ts AS date), toDate(ts), maxTimeuuid(ts), ts + 1d, ts + 1mo, ts + 178000000y FROM en WHERE k = 2");
	gives("SELECT d - 1d, d - 1mo FROM en WHERE k = 2", "1969-12-31,1969-12-01");
}

static void expressions_are_calculated(void **state)
{
	ok("CREATE TABLE x (k int PRIMARY KEY, i int, b bigint, d double, de decimal, v varint, t text, ts timestamp)");
	ok("INSERT INTO x (k, i, b, d, de, v, t, ts) VALUES (1, 7, 3 * 1000000000, 1 / 4, 1.50, 2, 'a' + 'b', '2020-01-31')");
	gives("SELECT i + 1 * 2, (i + 1) * 2, i - 2 - 3, - i % 4, i / 2, b / i, d * 2, de * de, v - 5, t + 'c' FROM x",
	      "9,16,2,-3,3,428571428,0.5,2.2500,-3,abc");
	gives("SELECT ts + 1mo, ts - 1d FROM x", "2020-02-29 00:00:00.000000+0000,2020-01-30 00:00:00.000000+0000");
	gives("SELECT max(i) + 1, sum(de + 1), avg(v) FROM x", "8,2.50,2");
	gives("SELECT cast(de AS int), cast(i AS text), cast(d AS decimal), round(de), abs(-3) FROM x", "1,7,0.25,2,3");
	gives("SELECT cast((double)1e23 AS text), cast((double)4.9E-324 AS text), cast((double)0.1 AS text), cast((double)1e22 AS text), "
	      "cast((double)123456.75 AS text) FROM x",
	      "1.0E23,4.9E-324,0.1,1.0E22,123456.75");
	gives("SELECT cast((float)1.17549435E-38 AS text), cast((float)0.3 AS text), cast((float)1e10 AS text) FROM x",
	      "1.1754944E-38,0.3,1.0E10");
	ok("INSERT INTO x (k, b, i) VALUES (2, abs(-5000000000), abs((int)-4))");
	gives("SELECT b, i FROM x WHERE k = 2", "5000000000,4");
	ok("DELETE FROM x WHERE k = 2");
	refused("INSERT INTO x (k, i) VALUES (3, abs(1 + 1))",
		"Ambiguous call to function abs: use type hint to disambiguate, example '(int) ?'");
	refused("SELECT round(t) FROM x",
		"Invalid call to function round, none of its type signatures match (known type signatures: system.round : (float) -> "
		"float, system.round : (bigint) -> bigint, system.round : (smallint) -> smallint, system.round : (varint) -> varint, "
		"system.round : (tinyint) -> tinyint, system.round : (double) -> double, system.round : (decimal) -> decimal, "
		"system.round : (int) -> int, system.round : (counter) -> counter)");
	refused("SELECT i / 0 FROM x", "the operation 'int / int' failed: / by zero");
	refused("SELECT i-1 FROM x", "line 1:8 expected blanks around the operator - but found '-'");
	refused("SELECT t * 2 FROM x", "the '*' operation is not supported between t and 2");
	gives("UPDATE x SET i = i + 5, t = t + 'z' WHERE k = 1 IF i = 7", "True");
	gives("SELECT i, t FROM x", "12,abz");
}

static void rows_are_json(void **state)
{
	ok("CREATE TABLE j (k int PRIMARY KEY, \"Up\" text, d double, bl blob, ts timestamp)");
	ok("INSERT INTO j JSON '{\"k\": 1, \"\\\"Up\\\"\": \"q\\u00e9\\n\", \"D\": 1e3, \"bl\": \"0xcafe\"}'");
	gives("SELECT JSON * FROM j", "{\"k\": 1, \"\\\"Up\\\"\": \"q\xc3\xa9\\n\", \"bl\": \"0xcafe\", \"d\": 1000.0, \"ts\": null}");
	ok("INSERT INTO j JSON '{\"k\": 1, \"d\": null}' DEFAULT UNSET");
	gives("SELECT d, \"Up\" FROM j", "null,q\xc3\xa9\n");
	ok("INSERT INTO j JSON '{\"k\": 1}'");
	gives("SELECT \"Up\", toJson(k) FROM j", "null,1");
	gives("INSERT INTO j JSON '{\"k\": 1}' IF NOT EXISTS", "False,1,null,null,null,null");
	refused("INSERT INTO j JSON '{\"k\": \"x\"}'", "Error decoding JSON value for k: Unable to make int from 'x'");
	refused("INSERT INTO j JSON '{\"k\": 1, \"nope\": 1}'", "JSON values map contains unrecognized column: nope");
}

/* Every type, out and in. */
static void composite_values_are_json(void **state)
{
	ok("CREATE TYPE point (x int, \"Y\" text)");
	ok("CREATE TABLE jc (k int PRIMARY KEY, l list<int>, s set<text>, m map<int, frozen<list<double>>>, t tuple<int, text, boolean>, u "
	   "point, fu frozen<point>, v vector<float, 2>, mu map<frozen<point>, uuid>, d duration, de decimal)");
	ok("INSERT INTO jc JSON '{\"k\": 1, \"l\": [3, \"4\"], \"s\": [\"b\", \"a\", \"b\"], \"m\": {\"2\": [1], \"1\": []}, "
	   "\"t\": [1, null, true], \"u\": {\"x\": 5}, \"fu\": {\"\\\"Y\\\"\": \"q\"}, \"v\": [1, 2.5], "
	   "\"mu\": {\"{\\\"x\\\": 1}\": \"50554d6e-29bb-11e5-b345-feff819cdc9f\"}, \"d\": \"1mo2d\", \"de\": 1e10}'");
	gives("SELECT l, s, m, t, u, fu, v, de FROM jc",
	      "[3, 4],{'a', 'b'},{1: [], 2: [1]},(1, null, True),{x: 5, Y: null},{x: null, Y: 'q'},[1, 2.5],1.0E+10");
	gives("SELECT JSON l, s, m, t, u, fu, v FROM jc",
	      "{\"l\": [3, 4], \"s\": [\"a\", \"b\"], \"m\": {\"1\": [], \"2\": [1.0]}, \"t\": [1, null, true], "
	      "\"u\": {\"x\": 5, \"\\\"Y\\\"\": null}, \"fu\": {\"x\": null, \"\\\"Y\\\"\": \"q\"}, \"v\": [1.0, 2.5]}");
	gives("SELECT toJson(mu), toJson(d) FROM jc",
	      "{\"{\\\"x\\\": 1, \\\"\\\\\\\"Y\\\\\\\"\\\": null}\": \"50554d6e-29bb-11e5-b345-feff819cdc9f\"},\"1mo2d\"");
	gives("SELECT min(l), max(fu), count(s) FROM jc", "[3, 4],{x: null, Y: 'q'},1");
	refused("INSERT INTO jc JSON '{\"k\": 1, \"l\": {\"a\": 1}}'",
		"Error decoding JSON value for l: Expected a list, but got a LinkedHashMap: {a=1}");
	refused("INSERT INTO jc JSON '{\"k\": 1, \"l\": [null]}'", "Error decoding JSON value for l: Invalid null element in list");
	refused("INSERT INTO jc JSON '{\"k\": 1, \"t\": [1]}'",
		"Error decoding JSON value for t: Tuple is missing items (expected 3): [1]");
	refused("INSERT INTO jc JSON '{\"k\": 1, \"v\": [1]}'",
		"Error decoding JSON value for v: List had incorrect size: expected 2 but given 1; [1]");
	refused("INSERT INTO jc JSON '{\"k\": 1, \"u\": {\"z\": 1}}'",
		"Error decoding JSON value for u: Unknown field 'z' in value of user defined type point");
}

static void groups_and_orders_span_partitions(void **state)
{
	ok("CREATE TABLE gr (k int, c int, v int, PRIMARY KEY (k, c))");
	for (int i = 0; i < 12; i++) {
		char text[100];
		snprintf(text, sizeof text, "INSERT INTO gr (k, c, v) VALUES (%d, %d, %d)", i % 2, i / 2, i);
		ok(text);
	}
	gives("SELECT k, c, v FROM gr WHERE k IN (1, 0) ORDER BY c DESC LIMIT 3", "0,5,10 1,5,11 0,4,8");
	gives("SELECT k, sum(v) FROM gr GROUP BY k", "1,36 0,30");
	gives("SELECT k, c, max(v) FROM gr GROUP BY k, c PER PARTITION LIMIT 2", "1,0,1 1,1,3 0,0,0 0,1,2");
	gives("SELECT k, c, max(v) FROM gr GROUP BY k, c PER PARTITION LIMIT 2 LIMIT 3", "1,0,1 1,1,3 0,0,0");
	refused("SELECT DISTINCT k FROM gr GROUP BY k, c", "Grouping on clustering columns is not allowed for SELECT DISTINCT queries");
	refused("SELECT DISTINCT k FROM gr GROUP BY k, c, v",
		"Group by is currently only supported on the columns of the PRIMARY KEY, got v");
}

static void an_index_allows_what_is_asked_by_it(void **state)
{
	ok("CREATE TABLE ix (k int, c int, v int, t text, w int, PRIMARY KEY (k, c))");
	ok("INSERT INTO ix (k, c, v, t) VALUES (1, 1, 10, 'Ab'); INSERT INTO ix (k, c, v, t) VALUES (2, 1, 20, 'ab');"
	   "INSERT INTO ix (k, c, v, t) VALUES (2, 2, 10, 'c')");
	ok("CREATE INDEX ON ix (v); CREATE CUSTOM INDEX ix_t ON ix (t) USING 'sai' WITH OPTIONS = {'case_sensitive': 'false'}");
	gives("SELECT k, c FROM ix WHERE v = 10", "1,1 2,2");
	gives("SELECT k, c FROM ix WHERE v = 10 AND k = 2", "2,2");
	gives("SELECT k, c FROM ix WHERE t = 'AB'", "1,1 2,1");
	assert_int_not_equal(run("SELECT k FROM ix WHERE v > 10"), SM_OK);
	assert_int_not_equal(run("SELECT k FROM ix WHERE v = 10 AND t = 'c'"), SM_OK);
	ok("CREATE INDEX ix_v ON ix (v) USING 'sai'");
	gives("SELECT k, c FROM ix WHERE v > 5 AND t = 'C'", "2,2");
	refused("ALTER TABLE ix DROP t", "Cannot drop column t because it has dependent secondary indexes (ix_t)");
	gives("DESCRIBE INDEX ix_t",
	      "s,index,ix_t,CREATE CUSTOM INDEX ix_t ON s.ix (t) USING 'sai' WITH OPTIONS = {'case_sensitive': 'false'};");
	ok("DROP INDEX ix_t; DROP INDEX ix_v; DROP INDEX ix_v_idx");
	assert_int_not_equal(run("SELECT k FROM ix WHERE v = 10"), SM_OK);
}

static void the_nearest_vectors_come_first(void **state)
{
	ok("CREATE TABLE ve (k int PRIMARY KEY, v vector<float, 2>, c text)");
	refused("SELECT k FROM ve ORDER BY v ANN OF [1, 0] LIMIT 2", "ANN ordering by vector requires the column to be indexed");
	ok("CREATE CUSTOM INDEX ON ve (v) USING 'sai' WITH OPTIONS = {'similarity_function': 'euclidean'}");
	for (int i = 0; i < 200; i++) {
		char text[100];
		snprintf(text, sizeof text, "INSERT INTO ve (k, v) VALUES (%d, [%d, %d])", i, i, -i);
		ok(text);
	}
	ok("INSERT INTO ve (k, c) VALUES (1000, 'none')");
	gives("SELECT k FROM ve ORDER BY v ANN OF [50.2, -50] LIMIT 4", "50 51 49 52");
	gives("SELECT similarity_cosine(v, [1, -1]), similarity_euclidean([0, 0], v), similarity_dot_product(v, v) FROM ve WHERE k = 1",
	      "1,0.333333,1.5");
	refused("SELECT k FROM ve ORDER BY v ANN OF [1, 0] DESC LIMIT 2", "Descending ANN ordering is not supported");
	gives("SELECT options FROM system_schema.indexes WHERE keyspace_name = 's' AND table_name = 've'",
	      "{'class_name': 'sai', 'similarity_function': 'euclidean', 'target': 'v'}");
}

static void views_show_their_table_in_another_order(void **state)
{
	ok("CREATE TABLE mb (k int, c int, g text, v int, PRIMARY KEY (k, c))");
	for (int i = 0; i < 12; i++) {
		char text[120];
		snprintf(text, sizeof text, "INSERT INTO mb (k, c, g, v) VALUES (%d, %d, '%c', %d)", i / 3, i % 3, "ab"[i % 2], i);
		ok(text);
	}
	ok("INSERT INTO mb (k, c, v) VALUES (9, 9, 9)");
	refused("CREATE MATERIALIZED VIEW mv AS SELECT * FROM mb WHERE g IS NOT NULL PRIMARY KEY (g, k, c)",
		"Primary key columns k, c must be restricted with 'IS NOT NULL' or otherwise");
	refused("CREATE MATERIALIZED VIEW mv AS SELECT * FROM mb WHERE g IS NOT NULL AND k IS NOT NULL PRIMARY KEY (g, k)",
		"Cannot create materialized view 'mv' without primary key columns c from base table 'mb'");
	ok("CREATE MATERIALIZED VIEW mv AS SELECT * FROM mb WHERE g IS NOT NULL AND k IS NOT NULL AND c IS NOT NULL "
	   "PRIMARY KEY (g, k, c) WITH CLUSTERING ORDER BY (k DESC, c ASC)");
	gives("SELECT k, c, v FROM mv WHERE g = 'a'", "3,1,10 2,0,6 2,2,8 1,1,4 0,0,0 0,2,2");
	gives("SELECT k, c FROM mv WHERE g = 'a' AND k < 2 ORDER BY k ASC, c DESC", "0,2 0,0 1,1");
	gives("SELECT count(*) FROM mv", "12");
	gives("SELECT g, max(v) FROM mv WHERE g IN ('a', 'b') GROUP BY g", "a,10 b,11");
	gives("SELECT v FROM mv WHERE g = 'b' AND k = 3 AND c = 2", "11");
	ok("UPDATE mb SET g = 'a' WHERE k = 3 AND c = 2; DELETE FROM mb WHERE k = 0");
	gives("SELECT v FROM mv WHERE g = 'a'", "10 11 6 8 4");
	ok("CREATE MATERIALIZED VIEW mw AS SELECT c, k, v FROM mb WHERE c IS NOT NULL AND k > 1 PRIMARY KEY (c, k)");
	gives("SELECT k, v FROM mw WHERE c = 2", "2,8 3,11");
	gives("SELECT view_name, base_table_name, include_all_columns, where_clause FROM system_schema.views WHERE keyspace_name = 's'",
	      "mv,mb,True,g IS NOT NULL AND k IS NOT NULL AND c IS NOT NULL mw,mb,False,c IS NOT NULL AND k > 1");
	refused("INSERT INTO mv (g, k, c) VALUES ('a', 1, 1)", "Cannot directly modify a materialized view");
	refused("DROP TABLE mb", "Cannot drop a table when materialized views still depend on it (s)");
	refused("TRUNCATE mv", "Cannot TRUNCATE materialized view directly; must truncate base table instead");
	ok("DROP MATERIALIZED VIEW mv; DROP MATERIALIZED VIEW IF EXISTS mv; DROP MATERIALIZED VIEW mw; DROP TABLE mb");
}

static void what_is_not_there_yet_says_so(void **state)
{
	refused("CREATE FUNCTION f (a int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE java AS 'return a;'",
		"CREATE FUNCTION is not supported yet");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_articles_table_answers_its_range),
		cmocka_unit_test(several_statements_stop_at_the_first_error),
		cmocka_unit_test(slices_of_columns_in_mixed_order_are_exact),
		cmocka_unit_test(a_large_result_comes_in_pages_and_whole),
		cmocka_unit_test(statics_and_rows),
		cmocka_unit_test(tables_change_and_describe_themselves),
		cmocka_unit_test(conditional_statements_say_whether_they_were_applied),
		cmocka_unit_test(conditions_look_into_columns),
		cmocka_unit_test(statements_that_make_no_sense_are_only_refused),
		cmocka_unit_test(long_statements_take_time_by_their_length),
		cmocka_unit_test(statements_with_json_name_what_they_are_refused_for),
		cmocka_unit_test(numbers_and_times_at_their_ends),
		cmocka_unit_test(expressions_are_calculated),
		cmocka_unit_test(rows_are_json),
		cmocka_unit_test(composite_values_are_json),
		cmocka_unit_test(groups_and_orders_span_partitions),
		cmocka_unit_test(an_index_allows_what_is_asked_by_it),
		cmocka_unit_test(the_nearest_vectors_come_first),
		cmocka_unit_test(views_show_their_table_in_another_order),
		cmocka_unit_test(what_is_not_there_yet_says_so),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
