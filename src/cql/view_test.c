/* Definitions: views, what is said of indexes and of replication, through statements on the embedded store. Pages are in
 * tests/cql/test_views. */
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
static char dir[] = "/tmp/cql-view-XXXXXX";
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

static const char *rows_of(const char *text)
{
	ok(text);
	buf_u8(&out, 0);
	return (const char *)out.data + out.start;
}

static void gives(const char *text, const char *rows)
{
	assert_string_equal(rows_of(text), rows);
}

static void refused(const char *text, const char *message)
{
	if (run(text) == SM_OK)
		fail_msg("%s was taken", text);
	assert_string_equal(why.text, message);
}

static void refused_for(const char *text, const char *reason)
{
	if (run(text) == SM_OK)
		fail_msg("%s was taken", text);
	if (!strstr(why.text, reason))
		fail_msg("%s: %s", text, why.text);
}

static int set_up(void **state)
{
	buf_init(&out);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(sm_system_new(&(struct sm_system_options){.dispatchers = 1}, &sys, &why), SM_OK);
	assert_int_equal(store_embedded_open(&(struct store_embedded_options){.system = sys, .dir = dir}, &store, &why), SM_OK);
	assert_int_equal(cql_session_new(store, NULL, &session), SM_OK);
	ok("CREATE KEYSPACE s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}; USE s;"
	   "CREATE TABLE t (k int, c int, w text, v int, PRIMARY KEY (k, c))");
	for (int i = 0; i < 20; i++) {
		char text[200];
		snprintf(text, sizeof text, "INSERT INTO t (k, c, w, v) VALUES (%d, %d, '%s', %d)", i / 4, i % 4, i % 3 ? "it''s" : "b", i);
		ok(text);
	}
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

/* What drivers make their maps of replicas from. */
static void replication_is_shown_as_drivers_know_it(void **state)
{
	(void)state;
	ok("CREATE KEYSPACE n WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 3}");
	gives("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'n'",
	      "{'class': 'org.apache.cassandra.locator.NetworkTopologyStrategy', 'datacenter1': '3'}");
	ok("ALTER KEYSPACE n WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 3, 'datacenter1': 1}");
	gives("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 'n'",
	      "{'class': 'org.apache.cassandra.locator.NetworkTopologyStrategy', 'datacenter1': '1'}");
	gives("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = 's'",
	      "{'class': 'org.apache.cassandra.locator.SimpleStrategy', 'replication_factor': '1'}");
	ok("DROP KEYSPACE n");
}

static void a_comma_too_many_is_taken(void **state)
{
	(void)state;
	ok("CREATE TABLE comma (k int, c int, PRIMARY KEY (k, c),)");
	ok("CREATE TYPE comma_type (a int, b text,)");
	ok("DROP TABLE comma; DROP TYPE comma_type");
}

#define KEYS "k IS NOT NULL AND c IS NOT NULL"

static void a_views_where_is_kept_as_it_was_written(void **state)
{
	ok("CREATE MATERIALIZED VIEW quoted AS SELECT * FROM t WHERE " KEYS " AND w = 'it''s' PRIMARY KEY (w, k, c)");
	gives("SELECT count(*) FROM quoted", "13");
	gives("SELECT where_clause FROM system_schema.views WHERE keyspace_name = 's' AND view_name = 'quoted'", KEYS " AND w = 'it''s'");
	assert_non_null(strstr(rows_of("DESCRIBE MATERIALIZED VIEW quoted"), "AND w = 'it''s'\n    PRIMARY KEY (w, k, c)\n WITH "));
	ok("CREATE MATERIALIZED VIEW several AS SELECT * FROM t WHERE " KEYS " AND w IN ('it''s', 'x'' AND v = ''') PRIMARY KEY (w, k, c)");
	gives("SELECT count(*) FROM several", "13");
	gives("SELECT where_clause FROM system_schema.views WHERE keyspace_name = 's' AND view_name = 'several'",
	      KEYS " AND w IN ('it''s', 'x'' AND v = ''')");
	/* nothing behind a quote is a relation */
	ok("CREATE MATERIALIZED VIEW injected AS SELECT * FROM t WHERE " KEYS " AND w = 'b'' AND v = ''3' PRIMARY KEY (w, k, c)");
	gives("SELECT count(*) FROM injected", "0");
	ok("DROP MATERIALIZED VIEW quoted; DROP MATERIALIZED VIEW several; DROP MATERIALIZED VIEW injected");
}

static void a_views_where_is_checked_when_it_is_made(void **state)
{
	refused_for("CREATE MATERIALIZED VIEW bad AS SELECT * FROM t WHERE k = 'x' AND c IS NOT NULL PRIMARY KEY (k, c)",
		    "Invalid STRING constant (x) for \"k\" of type int");
	refused_for("CREATE MATERIALIZED VIEW bad AS SELECT * FROM t WHERE k = 1 AND k = 2 AND c IS NOT NULL PRIMARY KEY (k, c)",
		    "k cannot be restricted by more than one relation if it includes an Equal");
	refused("CREATE MATERIALIZED VIEW bad AS SELECT * FROM t WHERE k = ? AND c IS NOT NULL PRIMARY KEY (k, c)",
		"Bind variables cannot be used in CREATE MATERIALIZED VIEW");
	refused_for("CREATE MATERIALIZED VIEW bad AS SELECT * FROM t WHERE k = null AND c IS NOT NULL PRIMARY KEY (k, c)", "null");
}

static void clauses_that_a_view_cannot_have_are_refused(void **state)
{
	static const struct {
		const char *select, *clause;
	} samples[] = {{"JSON * FROM t WHERE " KEYS, "JSON"},
		       {"DISTINCT k, c FROM t WHERE " KEYS, "DISTINCT"},
		       {"* FROM t WHERE " KEYS " GROUP BY k", "GROUP BY"},
		       {"* FROM t WHERE " KEYS " ORDER BY c DESC", "ORDER BY"},
		       {"* FROM t WHERE " KEYS " PER PARTITION LIMIT 1", "PER PARTITION LIMIT"},
		       {"* FROM t WHERE " KEYS " LIMIT 1", "LIMIT"},
		       {"* FROM t WHERE " KEYS " ALLOW FILTERING", "ALLOW FILTERING"}};
	for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
		char text[200], message[200];
		snprintf(text, sizeof text, "CREATE MATERIALIZED VIEW bad AS SELECT %s PRIMARY KEY (c, k)", samples[i].select);
		snprintf(message, sizeof message, "The SELECT of a materialized view cannot have %s", samples[i].clause);
		refused_for(text, message);
	}
	refused_for("CREATE MATERIALIZED VIEW bad AS SELECT * FROM t WHERE " KEYS " PRIMARY KEY (c, k) WITH default_time_to_live = 10",
		    "Cannot set default_time_to_live for a materialized view.");
	ok("CREATE MATERIALIZED VIEW mv AS SELECT * FROM t WHERE " KEYS " PRIMARY KEY (c, k) WITH comment = 'a WITH b'");
	refused_for("ALTER MATERIALIZED VIEW mv WITH default_time_to_live = 10", "Forbidden default_time_to_live detected");
	assert_non_null(strstr(rows_of("DESCRIBE MATERIALIZED VIEW mv"), "comment = 'a WITH b'"));
	refused("DESCRIBE MATERIALIZED VIEW t", "Materialized view 't' not found in keyspace 's'");
	ok("DROP MATERIALIZED VIEW mv");
}

static void rows_of_a_view_are_sorted_limited_and_distinct(void **state)
{
	ok("CREATE MATERIALIZED VIEW mv AS SELECT * FROM t WHERE " KEYS " PRIMARY KEY (c, k)");
	gives("SELECT k, c FROM mv WHERE c IN (1, 2) ORDER BY k DESC", "4,1 4,2 3,1 3,2 2,1 2,2 1,1 1,2 0,1 0,2");
	char distinct[100];
	snprintf(distinct, sizeof distinct, "%s", rows_of("SELECT DISTINCT c FROM mv"));
	assert_int_equal(strlen(distinct), strlen("0 1 2 3"));
	gives("SELECT DISTINCT c FROM mv WHERE c IN (0, 1, 2, 3)", distinct);
	gives("SELECT k, v FROM mv WHERE c = 2 ORDER BY k DESC LIMIT 2", "4,18 3,14");
	gives("SELECT k FROM mv WHERE c = 2 AND w = 'b' ALLOW FILTERING", "1 4");
	gives("SELECT count(*), max(v), min(w) FROM mv", "20,19,b");
	ok("DROP MATERIALIZED VIEW mv");
}

static void an_indexs_options_are_understood_or_refused(void **state)
{
	ok("CREATE TABLE i (k int PRIMARY KEY, w text, x text, b boolean, v vector<float, 2>, \"A b\" int, \"odd\nname\" int)");
	ok("CREATE INDEX i_w ON i (w) USING 'sai' WITH OPTIONS = {'case_sensitive': 'FALSE', 'normalize': 'False'}");
	ok("INSERT INTO i (k, w) VALUES (1, 'Red')");
	gives("SELECT k FROM i WHERE w = 'rED'", "1");
	gives("SELECT options FROM system_schema.indexes WHERE keyspace_name = 's' AND table_name = 'i' AND index_name = 'i_w'",
	      "{'case_sensitive': 'FALSE', 'class_name': 'sai', 'normalize': 'False', 'target': 'w'}");
	ok("DROP INDEX i_w");
	ok("CREATE INDEX i_w ON i (w) USING 'sai' WITH OPTIONS = {'case_sensitive': false}");
	gives("SELECT k FROM i WHERE w = 'rED'", "1");
	refused("CREATE INDEX ON i (x) USING 'sai' WITH OPTIONS = {'case_sensitive': 'maybe'}",
		"Illegal value for boolean option 'case_sensitive': maybe");
	refused("CREATE INDEX ON i (x) USING 'sai' WITH OPTIONS = {'case_sensitive': ''}",
		"Empty value for boolean option 'case_sensitive'");
	refused("CREATE INDEX ON i (x) USING 'sai' WITH OPTIONS = {'ascii': 'true'}", "The index option 'ascii' is not supported yet");
	refused("CREATE INDEX ON i (x) WITH OPTIONS = {'case_sensitive': 'true'}", "Cannot specify options for a non-CUSTOM index");
	refused("CREATE INDEX ON i (v) USING 'sai' WITH OPTIONS = {'similarity_function': 'foo'}",
		"Similarity function foo was not recognized for index i_v_idx. Valid values are: EUCLIDEAN, DOT_PRODUCT, COSINE");
	refused("CREATE INDEX ON i (v) USING 'sai' WITH OPTIONS = {'maximum_node_connections': '16abc'}",
		"Maximum number of connections 16abc is not a valid integer for index i_v_idx");
	refused("CREATE INDEX ON i (x) USING 'sai' WITH OPTIONS = {'similarity_function': 'cosine'}",
		"CQL type text cannot have vector options");
}

static void an_indexs_definition_cannot_be_broken(void **state)
{
	static const char *const classes[] = {"x''; DROP TABLE t; --.StorageAttachedIndex", "a\nb.StorageAttachedIndex"};
	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
		char text[200];
		snprintf(text, sizeof text, "CREATE CUSTOM INDEX ON i (x) USING '%s'", classes[i]);
		refused_for(text, "Unable to find custom indexer class '");
	}
	refused("CREATE INDEX \"a'b\" ON i (x)", "Index name must not be empty, more than 48 characters long, or contain "
						 "non-alphanumeric-underscore characters (got \"a'b\")");
	refused("CREATE INDEX ON i (\"odd\nname\")", "Cannot create index on a column whose name has control characters");
	ok("CREATE INDEX ON i (\"A b\")");
	gives("SELECT index_name FROM system_schema.indexes WHERE keyspace_name = 's' AND table_name = 'i'", "i_Ab_idx i_w");
	assert_non_null(strstr(rows_of("DESCRIBE INDEX \"i_Ab_idx\""), "CREATE INDEX \"i_Ab_idx\" ON s.i (\"A b\");"));
}

static void vectors_that_have_no_direction_are_refused(void **state)
{
	static const char zero[] = "Zero vectors cannot be indexed or queried with cosine similarity";
	ok("CREATE TABLE n (k int PRIMARY KEY, v vector<float, 2>, e vector<float, 2>)");
	ok("INSERT INTO n (k, v) VALUES (1, [0, 0]); INSERT INTO n (k, v) VALUES (2, [1, 0]); INSERT INTO n (k, v) VALUES (3, [0, 1]);"
	   "INSERT INTO n (k, v) VALUES (4, [NaN, 1]); INSERT INTO n (k, v) VALUES (5, [1, 1])");
	ok("CREATE INDEX ON n (v) USING 'sai'");
	ok("CREATE INDEX ON n (e) USING 'sai' WITH OPTIONS = {'similarity_function': 'euclidean'}");
	gives("SELECT k FROM n ORDER BY v ANN OF [1, 0.1] LIMIT 10", "2 5 3");
	refused("SELECT k FROM n ORDER BY v ANN OF [0, 0] LIMIT 10", zero);
	refused("INSERT INTO n (k, v) VALUES (6, [0, 0])", zero);
	refused("UPDATE n SET v = [0, 0] WHERE k = 2", zero);
	refused("INSERT INTO n (k, v) VALUES (6, [1, NaN])", "non-finite value at vector[1]=NaN");
	ok("INSERT INTO n (k, e) VALUES (6, [0, 0])");
	gives("SELECT k FROM n ORDER BY e ANN OF [0, 0] LIMIT 10", "6");
	refused("SELECT DISTINCT k FROM n ORDER BY v ANN OF [1, 0] LIMIT 2", "Top-K queries can not be run with DISTINCT");
}

static void options_of_tables_are_numbers_or_refused(void **state)
{
	static const char *const bad[] = {"compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': '16abc'}",
					  "compaction = {'class': 'SizeTieredCompactionStrategy', 'min_threshold': ' 4'}",
					  "bloom_filter_fp_chance = 'nan'",
					  "crc_check_chance = 'inf'",
					  "crc_check_chance = '0x1'",
					  "gc_grace_seconds = ' 5'",
					  "speculative_retry = 'infp'",
					  "speculative_retry = 'nanms'",
					  "speculative_retry = '0x10p'",
					  "speculative_retry = 'min(rubbish'",
					  "speculative_retry = 'min(99p)'",
					  "speculative_retry = 'max(99p, )'"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[200];
		snprintf(text, sizeof text, "ALTER TABLE t WITH %s", bad[i]);
		if (run(text) == SM_OK)
			fail_msg("%s was taken", text);
	}
	ok("ALTER TABLE t WITH speculative_retry = 'MIN(99.9percentile , 50ms)' AND bloom_filter_fp_chance = 1e-2");
	ok("ALTER TABLE t WITH speculative_retry = '99.5PERCENTILE' AND crc_check_chance = 1");
	gives("SELECT speculative_retry FROM system_schema.tables WHERE keyspace_name = 's' AND table_name = 't'", "99.5p");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replication_is_shown_as_drivers_know_it),
		cmocka_unit_test(a_comma_too_many_is_taken),
		cmocka_unit_test(a_views_where_is_kept_as_it_was_written),
		cmocka_unit_test(a_views_where_is_checked_when_it_is_made),
		cmocka_unit_test(clauses_that_a_view_cannot_have_are_refused),
		cmocka_unit_test(rows_of_a_view_are_sorted_limited_and_distinct),
		cmocka_unit_test(an_indexs_options_are_understood_or_refused),
		cmocka_unit_test(an_indexs_definition_cannot_be_broken),
		cmocka_unit_test(options_of_tables_are_numbers_or_refused),
		cmocka_unit_test(vectors_that_have_no_direction_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
