#include "cql/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena arena;

static enum sm_err parse(const char *text, struct cql_statement **ret, struct cql_error *err)
{
	*err = (struct cql_error){0};
	return cql__parse(bytes_str(text), &arena, ret, err);
}

static void refused(const char *text, const char *message)
{
	struct cql_statement *s;
	struct cql_error err;
	assert_int_not_equal(parse(text, &s, &err), SM_OK);
	assert_string_equal(err.text, message);
}

static int set_up(void **state)
{
	arena_init(&arena, 16u << 20);
	return 0;
}
static int tear_down(void **state)
{
	arena_done(&arena);
	return 0;
}

static void a_select_is_taken_apart(void **state)
{
	struct cql_statement *s;
	struct cql_error err;
	assert_int_equal(parse("SELECT a, count(*) AS \"N\" FROM ks.\"T\" WHERE a = ? AND (b, c) > (1, :x) AND d IN ('y''z') GROUP BY a "
			       "ORDER BY b DESC PER PARTITION LIMIT 2 LIMIT 10 ALLOW FILTERING;",
			       &s, &err),
			 SM_OK);
	assert_int_equal(s->kind, CQL_STMT_SELECT);
	assert_string_equal(s->select.table.keyspace, "ks");
	assert_string_equal(s->select.table.name, "T");
	assert_int_equal(s->select.selector_count, 2);
	assert_string_equal(s->select.selectors[1].alias, "N");
	assert_int_equal(s->select.where_count, 3);
	assert_true(s->select.where[1].tuple);
	assert_int_equal(s->select.where[1].column_count, 2);
	assert_true(bytes_equal(s->select.where[2].values[0]->text, BYTES("y'z")));
	assert_true(s->select.order_by[0].descending);
	assert_true(s->select.allow_filtering);
	assert_int_equal(s->marker_count, 2);
	assert_null(s->markers[0]);
	assert_string_equal(s->markers[1], "x");
}

static void words_that_cassandra_does_not_reserve_are_names(void **state)
{
	struct cql_statement *s;
	struct cql_error err;
	assert_int_equal(parse("SELECT key, type, ttl, timestamp, count, json, distinct, year, p1, pty FROM values", &s, &err), SM_OK);
	assert_int_equal(s->select.selector_count, 10);
	assert_false(s->select.distinct);
	refused("SELECT table FROM t", "line 1:7 expected a column, a function or a value but found 'table'");
}

static void numbers_durations_and_uuids_are_told_apart(void **state)
{
	struct cql_statement *s;
	struct cql_error err;
	assert_int_equal(parse("INSERT INTO t(a,b,c,d,e,f,g,h) VALUES (12, -1.5e-3, 0xCAFE, 11111111-1111-4111-8111-111111111111, 1y2mo, "
			       "P1Y2M3DT4H, NaN, $$it's$$)",
			       &s, &err),
			 SM_OK);
	static const enum cql_literal kinds[] = {CQL_INTEGER,  CQL_FLOAT,    CQL_HEX,   CQL_UUID,
						 CQL_DURATION, CQL_DURATION, CQL_FLOAT, CQL_STRING};
	for (int i = 0; i < 8; i++)
		assert_int_equal(s->modify.assigns[i].value->literal, kinds[i]);
	assert_true(bytes_equal(s->modify.assigns[1].value->text, BYTES("-1.5e-3")));
	assert_true(bytes_equal(s->modify.assigns[7].value->text, BYTES("it's")));
}

static void errors_name_line_and_column(void **state)
{
	refused("SELEC * FROM t",
		"line 1:0 expected a statement (SELECT, INSERT, UPDATE, DELETE, BEGIN BATCH, CREATE, ALTER, DROP, TRUNCATE, USE, "
		"DESCRIBE) but found 'SELEC'");
	refused("SELECT *\n  FROM", "line 2:6 expected a table name but the statement ends");
	refused("SELECT * FROM t; SELECT 1", "line 1:17 expected the end of the statement but found 'SELECT'");
	refused("INSERT INTO t(k) VALUES ('x", "line 1:25 a string is not closed by '");
	refused("SELECT * FROM t WHERE k = 5x", "line 1:26 a number is followed by a letter");
	refused("SELECT /* FROM t", "line 1:16 a comment is not closed by */");
}

static void nesting_is_bounded(void **state)
{
	char text[4000] = "SELECT ";
	for (int i = 0; i < 500; i++)
		strcat(text, "f(");
	struct cql_statement *s;
	struct cql_error err;
	assert_int_equal(parse(text, &s, &err), SM_SYNTAX);
	assert_non_null(strstr(err.text, "nested deeper than 32"));
}

static void a_statement_ends_at_its_semicolon(void **state)
{
	assert_int_equal(cql_statement_end(BYTES("SELECT ';' FROM \";\" -- ;\n; USE x")), 26);
	assert_int_equal(cql_statement_end(BYTES("BEGIN BATCH DELETE FROM a WHERE k=1; APPLY BATCH; x")), 49);
	assert_int_equal(cql_statement_end(BYTES("SELECT $$;$$")), 0);
	assert_int_equal(cql_statement_end(BYTES("'open; ")), 0);
}

static void names_are_quoted_where_they_must_be(void **state)
{
	assert_string_equal(cql_quote_name("year_2", &arena), "year_2");
	assert_string_equal(cql_quote_name("Mixed", &arena), "\"Mixed\"");
	assert_string_equal(cql_quote_name("select", &arena), "\"select\"");
	assert_string_equal(cql_quote_name("a\"b", &arena), "\"a\"\"b\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_select_is_taken_apart),
		cmocka_unit_test(words_that_cassandra_does_not_reserve_are_names),
		cmocka_unit_test(numbers_durations_and_uuids_are_told_apart),
		cmocka_unit_test(errors_name_line_and_column),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(a_statement_ends_at_its_semicolon),
		cmocka_unit_test(names_are_quoted_where_they_must_be),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
