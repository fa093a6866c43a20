/* SQL: parsing, binding, evaluation, plans, and that micro-batches give what one batch gives. Queries run over VALUES and the executor. */
#include "compute/sql_internal.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct sql_script *parse(const char *text)
{
	struct sql_script *s = NULL;
	struct sm_error error = {0};
	enum sm_err err = sql_parse(bytes_str(text), &s, &error);
	if (err)
		fail_msg("%s: %s", text, error.text);
	return s;
}

static void show(struct buf *out, struct value v)
{
	char text[40];
	if (v.null) {
		buf_append_str(out, "NULL");
		return;
	}
	switch (v.type) {
	case COLUMN_BOOL: buf_append_str(out, v.boolean ? "true" : "false"); break;
	case COLUMN_INT32:
	case COLUMN_INT64: buf_printf(out, "%lld", (long long)v.integer); break;
	case COLUMN_DOUBLE: buf_printf(out, "%g", v.real); break;
	case COLUMN_TIMESTAMP: buf_printf(out, "@%lld", (long long)v.integer); break;
	case COLUMN_TEXT:
	case COLUMN_BLOB: buf_append_bytes(out, v.bytes); break;
	case COLUMN_UUID:
		uuid_format((const struct uuid *)v.bytes.data, text);
		buf_append_str(out, text);
		break;
	}
}

static enum sm_err show_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < batch->rows; i++) {
		if (buf_size(arg))
			buf_append_str(arg, " ");
		for (uint32_t k = 0; k < batch->type->field_count; k++) {
			if (k)
				buf_append_str(arg, "|");
			show(arg, batch_get(batch, k, i));
		}
	}
	return SM_OK;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "row row ..", columns with |; sorted: rows in order of their text. */
static enum sm_err run(const char *text, bool sorted, char *out, size_t size, struct sm_error *error)
{
	struct compute_env env = {.threads = 2};
	struct sql_script *s = NULL;
	struct buf rows;
	uint64_t count = 0;
	enum sm_err err = sql_parse(bytes_str(text), &s, error);
	if (err)
		return err;
	buf_init(&rows);
	err = sql_run(&env, sql_script_at(s, 0), NULL, 0, show_batch, &rows, &count, error);
	buf_u8(&rows, 0);
	if (!err && sorted) {
		char *words[256];
		size_t n = 0, at = 0;
		for (char *w = strtok((char *)buf_bytes(&rows).data, " "); w && n < 256; w = strtok(NULL, " "))
			words[n++] = w;
		qsort(words, n, sizeof *words, compare_words);
		out[0] = 0;
		for (size_t i = 0; i < n; i++)
			at += (size_t)snprintf(out + at, size - at, "%s%s", i ? " " : "", words[i]);
	} else if (!err) {
		snprintf(out, size, "%s", (const char *)buf_bytes(&rows).data);
	}
	buf_done(&rows);
	sql_script_free(s);
	return err;
}

struct sample {
	const char *sql, *want;
};

static void check(const struct sample *samples, size_t count, const char *before, bool sorted)
{
	for (size_t i = 0; i < count; i++) {
		char text[2000], got[4000] = "";
		struct sm_error error = {0};
		snprintf(text, sizeof text, "%s%s", before, samples[i].sql);
		enum sm_err err = run(text, sorted, got, sizeof got, &error);
		if (err)
			snprintf(got, sizeof got, "%s", sm_err_name(err));
		if (strcmp(got, samples[i].want) != 0)
			fail_msg("%s\n  got:  %s %s\n  want: %s", samples[i].sql, got, err ? error.text : "", samples[i].want);
	}
}
#define CHECK(samples, before, sorted) check(samples, sizeof samples / sizeof *samples, before, sorted)

/* ---- parsing ---- */

static void statements_are_taken_apart(void **state)
{
	struct sql_script *s = parse("-- the job\nINSERT INTO ads.event SELECT id, ts FROM raw_events;\n"
				     "INSERT INTO t (a, `b c`) SELECT 1, 2; /* none */ ; SELECT 1");
	const char *const *names;
	assert_int_equal(sql_script_count(s), 3);
	assert_true(sql_is_insert(sql_script_at(s, 0)));
	assert_string_equal(sql_insert_target(sql_script_at(s, 0)), "ads.event");
	assert_string_equal(sql_source(sql_script_at(s, 0)), "raw_events");
	assert_int_equal(sql_insert_columns(sql_script_at(s, 0), &names), 0);
	assert_int_equal(sql_insert_columns(sql_script_at(s, 1), &names), 2);
	assert_string_equal(names[1], "b c");
	assert_false(sql_is_insert(sql_script_at(s, 2)));
	assert_null(sql_script_at(s, 3));
	sql_script_free(s);
}

static void a_syntax_error_names_line_and_column(void **state)
{
	static const struct {
		const char *sql, *where;
		enum sm_err err;
	} samples[] = {
		{"SELECT a\nFROM WHERE b", "line 2, column 6: \"WHERE\" stands where", SM_SYNTAX},
		{"SELECT 'abc", "line 1, column 8: this text has no end", SM_SYNTAX},
		{"SELECT 1 /* x", "line 1, column 10: this comment has no end", SM_SYNTAX},
		{"SELECT `a", "line 1, column 8: this name has no end", SM_SYNTAX},
		{"SELECT 1a", "line 1, column 8: a name can't begin", SM_SYNTAX},
		{"SELECT a FROM t GROUP campaign", "line 1, column 23: \"campaign\" stands where by", SM_SYNTAX},
		{"SELECT (1 + 2", "line 1, column 14: the text ends where )", SM_SYNTAX},
		{"SELECT a ? b", "line 1, column 10: unexpected character '?'", SM_SYNTAX},
		{"SELECT \xff", "line 1, column 8: unexpected byte 0xff", SM_SYNTAX},
		{"DELETE FROM t", "line 1, column 1: DELETE: only SELECT and INSERT", SM_UNSUPPORTED},
		{"INSERT OVERWRITE t SELECT 1", "line 1, column 8: INSERT OVERWRITE", SM_UNSUPPORTED},
		{"SELECT count(*) OVER (PARTITION BY a) FROM t", "line 1, column 17: OVER and FILTER", SM_UNSUPPORTED},
		{"SELECT a FROM t WHERE a IN (SELECT b FROM u)", "line 1, column 29: IN (SELECT", SM_UNSUPPORTED},
		{"SELECT a FROM t JOIN u", "line 1, column 23: the text ends where ON", SM_SYNTAX},
		{"SELECT a FROM t JOIN u USING (a)", "line 1, column 24: JOIN .. USING", SM_UNSUPPORTED},
		{"SELECT CAST(a AS decimal(3,1))", "line 1, column 18: there is no type decimal", SM_UNSUPPORTED},
		{"SELECT 99999999999999999999", "line 1, column 8: 99999999999999999999 is too large", SM_OUT_OF_RANGE},
		{"SELECT 1 SELECT 2", "line 1, column 10: \"SELECT\" stands where ; or the end", SM_SYNTAX},
		{"INSERT INTO t (a, A) SELECT 1, 2", "column a is named twice", SM_INVALID},
		{"VALUES (1, 2), (3)", "line 1, column 16: this row has 1 values", SM_SYNTAX},
		{"SELECT DATE '2019-02-29'", "'2019-02-29' is no date", SM_INVALID},
	};
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
		struct sql_script *s = NULL;
		struct sm_error error = {0};
		enum sm_err err = sql_parse(bytes_str(samples[i].sql), &s, &error);
		if (err != samples[i].err || !strstr(error.text, samples[i].where))
			fail_msg("%s: %s %s", samples[i].sql, sm_err_name(err), error.text);
	}
}

static char *repeat(const char *head, const char *part, int n, const char *middle, const char *tail_part, const char *tail)
{
	struct buf b;
	buf_init(&b);
	buf_append_str(&b, head);
	for (int i = 0; i < n; i++)
		buf_append_str(&b, part);
	buf_append_str(&b, middle);
	for (int i = 0; i < n; i++)
		buf_append_str(&b, tail_part);
	buf_append_str(&b, tail);
	buf_u8(&b, 0);
	char *text = strdup((const char *)buf_bytes(&b).data);
	buf_done(&b);
	return text;
}

static void depth_and_size_are_bounded(void **state)
{
	char *texts[] = {
		repeat("SELECT ", "(", 5000, "1", ")", ""),
		repeat("SELECT ", "NOT ", 5000, "true", "", ""),
		repeat("SELECT ", "- ", 5000, "a", "", ""),
		repeat("SELECT 1", " + 1", 5000, "", "", ""),
		repeat("SELECT ", "CASE WHEN ", 5000, "true", " THEN 1 END", ""),
		repeat("SELECT * FROM ", "(SELECT * FROM ", 5000, "t", ")", ""),
		repeat("SELECT * FROM ", "(", 5000, "t", ")", ""),
		repeat("SELECT true", " BETWEEN true AND true", 400, "", "", ""), /* each uses its value twice */
		repeat("", "(", 5000, "SELECT 1", ")", ""),
		repeat("SELECT 1", ",1", 20000, "", "", ""),
	};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct sql_script *s = NULL;
		struct sm_error error = {0};
		enum sm_err err = sql_parse(bytes_str(texts[i]), &s, &error);
		if (err != SM_TOO_LARGE)
			fail_msg("%.40s: %s %s", texts[i], sm_err_name(err), error.text);
		free(texts[i]);
	}
}

static void parameters_are_bound_by_name(void **state)
{
	struct compute_env env = {.threads = 1};
	struct sql_script *s = parse("SELECT :n + 1, concat(:text, '!') LIMIT :limit");
	struct sm_error error = {0};
	struct buf rows;
	uint64_t count;
	buf_init(&rows);
	assert_int_equal(sql_run(&env, sql_script_at(s, 0), NULL, 0, show_batch, &rows, &count, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "parameter :"));
	assert_int_equal(sql_script_bind(s, "n", (struct value){.type = COLUMN_INT64, .integer = 41}), SM_OK);
	assert_int_equal(sql_script_bind(s, "text", (struct value){.type = COLUMN_TEXT, .bytes = BYTES("so")}), SM_OK);
	assert_int_equal(sql_script_bind(s, "limit", (struct value){.type = COLUMN_INT32, .integer = 3}), SM_OK);
	assert_int_equal(sql_script_bind(s, "other", (struct value){.type = COLUMN_INT32}), SM_NOT_FOUND);
	assert_int_equal(sql_run(&env, sql_script_at(s, 0), NULL, 0, show_batch, &rows, &count, &error), SM_OK);
	buf_u8(&rows, 0);
	assert_string_equal((const char *)buf_bytes(&rows).data, "42|so!");
	buf_done(&rows);
	sql_script_free(s);
}

/* ---- expressions ---- */

static void expressions_follow_spark_in_ansi_mode(void **state)
{
	static const struct sample samples[] = {
		{"1 + 2 * 3", "7"},
		{"-(2 - 5) % 2", "1"},
		{"7 / 2", "3.5"},
		{"7 DIV 2, -7 DIV 2, -7 % 3", "3|-3|-1"},
		{"2147483647 + 1", "SM_OUT_OF_RANGE"},
		{"2147483647 + 1L", "2147483648"},
		{"9223372036854775807 + 1", "SM_OUT_OF_RANGE"},
		{"-9223372036854775808", "-9223372036854775808"},
		{"- (-9223372036854775808)", "SM_OUT_OF_RANGE"},
		{"-9223372036854775808 DIV -1", "SM_OUT_OF_RANGE"},
		{"-9223372036854775808 % -1", "0"},
		{"1 / 0", "SM_OUT_OF_RANGE"},
		{"1 % 0", "SM_OUT_OF_RANGE"},
		{"if(true, 1, 1 DIV 0)", "1"},
		{"true OR 1 / 0 > 1, false AND 1 / 0 > 1", "true|false"},
		{"coalesce(1, 1 DIV 0), nullif(1, 1), nullif(1, 2), ifnull(NULL, 3)", "1|NULL|1|3"},
		{"NULL AND false, NULL AND true, NULL OR true, NULL OR false, NOT NULL", "false|NULL|true|NULL|NULL"},
		{"NULL = NULL, NULL <=> NULL, 1 <=> NULL, NULL IS NULL, 1 IS NOT NULL", "NULL|true|false|true|true"},
		{"1 IN (2, NULL), 1 IN (1, NULL), 1 NOT IN (2, 3), NULL IN (1)", "NULL|true|true|NULL"},
		{"5 BETWEEN 1 AND 5, 5 NOT BETWEEN 1 AND 5, 1 BETWEEN NULL AND 0", "true|false|false"},
		{"CASE WHEN NULL THEN 1 WHEN true THEN 2 END, CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'b' ELSE 'c' END, CASE WHEN false THEN 1 "
		 "END",
		 "2|b|NULL"},
		{"CASE WHEN true THEN 1 ELSE 2.5 END", "1"},
		{"'abc' LIKE 'a%', 'abc' LIKE '_b_', 'abc' LIKE 'b%', 'a%c' LIKE 'a\\%c', 'abc' LIKE 'a\\%c', 'h\\u00e9llo' LIKE 'h_llo'",
		 "true|true|false|true|false|true"},
		{"'it''s', \"x\", 'a\\nb' = 'a\nb'", "it's|x|true"},
		{"concat('a', 1, true), 'a' || 'b' || NULL", "a1true|NULL"},
		{"lower('\xc3\x84''B'), upper('stra\xc3\x9f"
		 "e'), length('h\xc3\xa9')",
		 "\xc3\xa4'b|STRA\xc3\x9f"
		 "E|2"},
		{"substring('hello', 2, 3), substring('hello', -3), substring('hello', 0, 2), substring('hello', 9), substring('hello', "
		 "-9, 5)",
		 "ell|llo|he||h"},
		{"left('hello', 2), right('hello', 2), trim('  a '), ltrim(' a'), rtrim('a ')", "he|lo|a|a|a"},
		{"contains('abc', 'bc'), startswith('abc', 'ab'), endswith('abc', 'ab')", "true|true|false"},
		{"abs(-5), floor(-1.5), ceil(1.2), abs(-1.5)", "5|-2|2|1.5"},
		{"CAST('12' AS int) + 1, CAST(' 1.5 ' AS double), CAST('yes' AS boolean), CAST(1.9 AS bigint), CAST(true AS int)",
		 "13|1.5|true|1|1"},
		{"CAST('x' AS int)", "SM_INVALID"},
		{"CAST(3000000000 AS int)", "SM_OUT_OF_RANGE"},
		{"CAST(1.0 AS string), CAST(1e10 AS string), CAST(0.1 AS string), CAST(1e-5 AS string), CAST(12 AS string)",
		 "1.0|1.0E10|0.1|1.0E-5|12"},
		{"CAST('414a1979-891e-5fd2-8839-0f7464e7e5bc' AS uuid) = '414A1979-891e-5fd2-8839-0f7464e7e5bc'", "true"},
		{"CAST('414a1979-891e-5fd2-8839-0f7464e7e5bc' AS uuid) = 'x'", "SM_INVALID"},
		{"CAST(NULL AS bigint), NULL + 1", "NULL|NULL"},
		{"'2' + 1, '10' > 9", "3|true"},
		{"1 = true", "SM_TYPE"},
		{"1 AND true", "SM_TYPE"},
		{"true + 1", "SM_TYPE"},
		{"a", "SM_NOT_FOUND"},
		{"nosuch(1)", "SM_UNSUPPORTED"},
		{"year()", "SM_INVALID"},
		{"`year`(1)", "SM_SYNTAX"},
		{"3 IS TRUE", "SM_TYPE"},
		{"(1 > 0) IS TRUE, (NULL > 0) IS NOT FALSE", "true|true"},
	};
	CHECK(samples, "SELECT ", false);
}

static void times_are_in_milliseconds_and_utc(void **state)
{
	static const struct sample samples[] = {
		{"year(1574553617004), month(1574553617004), day(1574553617004), hour(1574553617004), minute(1574553617004), "
		 "second(1574553617004)",
		 "2019|11|24|0|0|17"},
		{"year(-1), month(-1), dayofmonth(-1), hour(-1), dayofweek(0), dayofweek(-86400000), quarter(0)", "1969|12|31|23|5|4|1"},
		{"date(1574553617004), to_date('2019-11-24 23:59:59'), make_date(2019, 2, 3), DATE '2019-11-30'",
		 "2019-11-24|2019-11-24|2019-02-03|2019-11-30"},
		{"make_date(2019, 2, 29)", "SM_OUT_OF_RANGE"},
		{"year(999999999999999)", "SM_OUT_OF_RANGE"},
		{"TIMESTAMP '2019-11-24 00:00:17.004', unix_millis(TIMESTAMP '2019-11-24 00:00:17.004')", "@1574553617004|1574553617004"},
		{"CAST(TIMESTAMP '1970-01-02' AS bigint), CAST(timestamp_millis(1500) AS string), CAST(86400 AS timestamp)",
		 "86400|1970-01-01 00:00:01.5|@86400000"},
		{"year(TIMESTAMP '2015-09-10'), year('2015-09-10T01:02:03Z')", "2015|2015"},
		{"date_trunc('month', 1574553617004), date_trunc('DAY', TIMESTAMP '2019-11-24 05:06:07')", "1572566400000|@1574553600000"},
		{"date_format(1574553617004, 'yyyy/MM/dd''T''HH:mm:ss.SSS')", "2019/11/24T00:00:17.004"},
		{"date_format(0, 'EEEE')", "SM_UNSUPPORTED"},
		{"TIMESTAMP '2019-11-24' < '2019-11-25'", "true"},
	};
	CHECK(samples, "SELECT ", false);
}

/* ---- queries ---- */

#define EVENTS                                                                                                                           \
	"WITH e AS (SELECT col1 AS id, col2 AS campaign, col3 AS ts, col4 AS type FROM VALUES "                                          \
	"(1,'a',0L,'view'),(2,'a',1L,'click'),(3,'b',86400000L,'view'),"                                                                 \
	"(4,'a',86400001L,'view'),(5,NULL,5L,'view')), c AS (SELECT col1 AS id, col2 AS views FROM VALUES ('a', 10), ('c', 30), (NULL, " \
	"40)) "

static void queries_give_spark_results(void **state)
{
	static const struct sample samples[] = {
		{"SELECT id FROM e WHERE type = 'view' AND campaign = 'a'", "1 4"},
		{"SELECT count(*), count(campaign), count(DISTINCT campaign), sum(id), min(campaign), max(id), avg(id), count_if(type = "
		 "'click') FROM e",
		 "5|4|2|15|a|5|3|1"},
		{"SELECT count(*), sum(id), min(id), avg(id), count_if(id = 1) FROM e WHERE false", "0|NULL|NULL|NULL|0"},
		{"SELECT campaign, count(*) FROM e WHERE false GROUP BY campaign", ""},
		{"SELECT campaign, year(ts) AS y, day(ts) AS d, count_if(type = 'view') AS views, count_if(type = 'click') FROM e GROUP BY "
		 "campaign, year(ts), day(ts)",
		 "NULL|1970|1|1|0 a|1970|1|1|1 a|1970|2|1|0 b|1970|2|1|0"},
		{"SELECT campaign AS x, sum(id) + 1 FROM e GROUP BY x", "NULL|6 a|8 b|4"},
		{"SELECT upper(campaign), count(*) FROM e GROUP BY 1", "A|3 B|1 NULL|1"},
		{"SELECT type, count(*), day(ts) FROM e GROUP BY ALL", "click|1|1 view|2|1 view|2|2"},
		{"SELECT campaign FROM e GROUP BY campaign HAVING count(*) > 1", "a"},
		{"SELECT campaign, count(*) AS n FROM e GROUP BY campaign HAVING n = 1", "NULL|1 b|1"},
		{"SELECT campaign, id FROM e GROUP BY campaign", "SM_INVALID"},
		{"SELECT sum(count(*)) FROM e", "SM_INVALID"},
		{"SELECT id FROM e WHERE count(*) > 1", "SM_INVALID"},
		{"SELECT DISTINCT type FROM e", "click view"},
		{"SELECT e.id, c.views FROM e JOIN c ON e.campaign = c.id", "1|10 2|10 4|10"},
		{"SELECT e.id, c.views FROM e LEFT JOIN c ON c.id = e.campaign AND e.type = 'view'", "1|10 2|NULL 3|NULL 4|10 5|NULL"},
		{"SELECT e.id, c.id FROM e RIGHT OUTER JOIN c ON e.campaign = c.id AND e.id > 3", "4|a NULL|NULL NULL|c"},
		{"SELECT e.id, c.id FROM e FULL JOIN c ON e.campaign = c.id WHERE e.type = 'view' OR e.type IS NULL",
		 "1|a 3|NULL 4|a 5|NULL NULL|NULL NULL|c"},
		{"SELECT count(*) FROM e CROSS JOIN c", "15"},
		{"SELECT count(*) FROM e, c WHERE e.campaign < c.id", "4"},
		{"SELECT x.id, y.id FROM e x JOIN e y ON x.id + 1 = y.id AND x.type = y.type", "3|4 4|5"},
		{"SELECT count(*) FROM e a JOIN e b ON a.id < b.id JOIN e c ON b.id < c.id", "10"},
		{"SELECT id FROM e JOIN c ON e.campaign = c.id", "SM_INVALID"},
		{"SELECT id FROM c UNION ALL SELECT campaign FROM e WHERE id < 3", "NULL a a a c"},
		{"SELECT id FROM c UNION SELECT campaign FROM e", "NULL a b c"},
		{"SELECT 1 UNION ALL SELECT 2.5", "1 2.5"},
		{"SELECT 1 UNION ALL SELECT true", "SM_TYPE"},
		{"SELECT 1, 2 UNION ALL SELECT 3", "SM_INVALID"},
		{"SELECT id FROM e WHERE ts = (SELECT max(ts) FROM e)", "4"},
		{"SELECT sum(id) + (SELECT min(id) FROM e) FROM e", "16"},
		{"SELECT (SELECT id FROM e)", "SM_INVALID"},
		{"SELECT (SELECT id FROM e WHERE false)", "NULL"},
		{"SELECT * FROM (SELECT id, type FROM e) AS x WHERE x.id = 2", "2|click"},
		{"SELECT c.* FROM e JOIN c ON e.campaign = c.id WHERE e.id = 1", "a|10"},
		{"SELECT * FROM nowhere", "SM_NOT_FOUND"},
		{"SELECT nowhere FROM e", "SM_NOT_FOUND"},
	};
	CHECK(samples, EVENTS, true);
}

static void order_and_limit(void **state)
{
	static const struct sample samples[] = {
		{"SELECT id FROM e ORDER BY id DESC", "5 4 3 2 1"},
		{"SELECT id FROM e ORDER BY campaign, ts DESC", "5 4 2 1 3"},
		{"SELECT id AS x FROM e ORDER BY campaign DESC NULLS FIRST, x LIMIT 3", "5 3 1"},
		{"SELECT campaign, count(*) AS n FROM e GROUP BY campaign ORDER BY n DESC, 1 LIMIT 2", "a|3 NULL|1"},
		{"SELECT campaign FROM e GROUP BY campaign ORDER BY sum(id) DESC LIMIT 1", "a"},
		{"SELECT DISTINCT type FROM e ORDER BY type", "click view"},
		{"SELECT DISTINCT type FROM e ORDER BY id", "SM_INVALID"},
		{"SELECT id FROM e UNION ALL SELECT 0 ORDER BY id LIMIT 2", "0 1"},
		{"(SELECT id FROM e ORDER BY id DESC LIMIT 3) ORDER BY id", "3 4 5"},
		{"SELECT id FROM e ORDER BY 7", "SM_OUT_OF_RANGE"},
		{"SELECT id FROM e LIMIT 0", ""},
		{"SELECT id FROM e LIMIT -1", "SM_INVALID"},
		{"SELECT ts / (id - 3) FROM e", "SM_OUT_OF_RANGE"},
	};
	CHECK(samples, EVENTS, false);
}

static void too_many_queries_are_refused(void **state)
{
	struct buf b;
	char got[100];
	struct sm_error error = {0};
	buf_init(&b);
	buf_append_str(&b, "WITH x0 AS (SELECT 1 AS a)");
	for (int i = 1; i < 60; i++)
		buf_printf(&b, ", x%d AS (SELECT l.a FROM x%d l CROSS JOIN x%d r)", i, i - 1, i - 1);
	buf_append_str(&b, " SELECT * FROM x59");
	buf_u8(&b, 0);
	assert_int_equal(run((const char *)buf_bytes(&b).data, false, got, sizeof got, &error), SM_TOO_LARGE);
	buf_done(&b);
}

static void a_plan_can_be_explained(void **state)
{
	struct compute_env env = {.threads = 1};
	struct sql_script *s = parse("SELECT a.x, count(*) FROM (VALUES (1)) AS v JOIN (SELECT 1 AS x) a ON a.x = v.col1 WHERE a.x > 0 "
				     "GROUP BY a.x ORDER BY 2 LIMIT 3");
	struct sm_error error = {0};
	struct dag_node *node;
	struct buf text;
	if (sql_plan(&env, sql_script_at(s, 0), &node, &error))
		fail_msg("%s", error.text);
	sql_script_free(s); /* the plan does not need the text */
	buf_init(&text);
	dag_explain(node, &text);
	buf_u8(&text, 0);
	for (const char *const *w =
		     (const char *const[]){"hash join", "partial aggregate", "final aggregate", "sort", "limit", "(x > 0)", NULL};
	     *w; w++)
		if (!strstr((const char *)buf_bytes(&text).data, *w))
			fail_msg("no %s in\n%s", *w, (const char *)buf_bytes(&text).data);
	buf_done(&text);
	dag_unref(node);
}

/* ---- micro-batches ---- */

static const struct column_field event_fields[] = {
	{"k", COLUMN_TEXT}, {"n", COLUMN_INT64}, {"d", COLUMN_DOUBLE}, {"ts", COLUMN_INT64}, {"_offset", COLUMN_INT64}};

static struct batch *random_events(struct row_type *type, uint32_t rows, unsigned *seed)
{
	struct batch *b = batch_new(type);
	for (uint32_t i = 0; i < rows; i++) {
		static const char *const keys[] = {"a", "b", "c", "", "longer than sixteen bytes"};
		const char *k = keys[rand_r(seed) % 5];
		assert_int_equal(batch_put(b, 0, (struct value){.type = COLUMN_TEXT, .null = rand_r(seed) % 7 == 0, .bytes = bytes_str(k)}),
				 SM_OK);
		assert_int_equal(
			batch_put(b, 1,
				  (struct value){.type = COLUMN_INT64, .null = rand_r(seed) % 5 == 0, .integer = rand_r(seed) % 9 - 4}),
			SM_OK);
		assert_int_equal(
			batch_put(b, 2,
				  (struct value){.type = COLUMN_DOUBLE, .null = rand_r(seed) % 5 == 0, .real = rand_r(seed) % 64 / 8.0}),
			SM_OK);
		assert_int_equal(batch_put(b, 3, (struct value){.type = COLUMN_INT64, .integer = (int64_t)(rand_r(seed) % 3) * 86400000}),
				 SM_OK);
		assert_int_equal(batch_put(b, 4, (struct value){.type = COLUMN_INT64, .integer = i}), SM_OK);
		batch_row_end(b);
	}
	return b;
}

struct kept {
	struct map states;
	struct sql_incremental *plan;
};

static enum sm_err keep_group(void *arg, struct bytes key, struct bytes add)
{
	struct kept *kept = arg;
	struct sm_error error = {0};
	struct buf *old = map_get(&kept->states, key), *merged = calloc(1, sizeof *merged);
	buf_init(merged);
	if (sql_incremental_merge(kept->plan, old ? buf_bytes(old) : bytes_of("", 0), add, merged, &error))
		fail_msg("%s", error.text);
	assert_int_equal(map_put(&kept->states, key, merged, NULL), SM_OK);
	if (old) {
		buf_done(old);
		free(old);
	}
	return SM_OK;
}

/* All groups' rows as sorted text, and the states' bytes; the events come in pieces of `step` rows. */
static void incremental(struct sql_incremental *plan, const struct batch *all, uint32_t step, struct buf *rows, struct buf *states)
{
	struct kept kept = {.plan = plan};
	struct sm_error error = {0};
	char *words[64];
	size_t n = 0, pos = 0;
	struct bytes key;
	void *state;
	map_init(&kept.states);
	for (uint32_t at = 0; at < all->rows; at += step) {
		struct batch *piece = batch_new(all->type);
		for (uint32_t i = at; i < all->rows && i < at + step; i++)
			assert_int_equal(batch_copy_row(piece, all, i), SM_OK);
		if (sql_incremental_groups(plan, piece, keep_group, &kept, &error))
			fail_msg("%s", error.text);
		batch_unref(piece);
	}
	while (map_next(&kept.states, &pos, &key, &state)) {
		struct batch *out = batch_new(sql_incremental_output(plan));
		struct buf text;
		buf_init(&text);
		if (sql_incremental_finish(plan, key, buf_bytes(state), out, &error))
			fail_msg("%s", error.text);
		assert_int_equal(show_batch(&text, 0, out, NULL), SM_OK);
		buf_append_str(&text, " = ");
		for (size_t i = 0; i < buf_size(state); i++)
			buf_printf(&text, "%02x", buf_bytes(state).data[i]);
		buf_u8(&text, 0);
		assert_true(n < 64);
		words[n++] = strdup((const char *)buf_bytes(&text).data);
		buf_done(&text);
		batch_unref(out);
		buf_done(state);
		free(state);
	}
	map_done(&kept.states);
	qsort(words, n, sizeof *words, compare_words);
	for (size_t i = 0; i < n; i++) {
		char *equals = strstr(words[i], " = ");
		buf_append_str(states, equals + 3);
		*equals = 0;
		buf_printf(rows, "%s;", words[i]);
		free(words[i]);
	}
}

static void micro_batches_give_what_one_batch_gives(void **state)
{
	struct row_type *type = row_type_new(event_fields, 5);
	struct sql_script *s = parse(
		"INSERT INTO t SELECT k, day(ts) AS d, count(*) AS n, sum(n) AS s, avg(n) AS a, sum(d) AS ds, min(n), max(k), min(d), "
		"count(DISTINCT n), count_if(n > 0) * 2 FROM raw WHERE ts < 172800000 OR n IS NULL GROUP BY k, day(ts)");
	struct sm_error error = {0};
	for (unsigned seed = 1; seed <= 20; seed++) {
		unsigned r = seed;
		struct batch *events = random_events(type, 300, &r);
		struct buf want_rows, want_states;
		buf_init(&want_rows);
		buf_init(&want_states);
		for (uint32_t step = 300; step > 0; step = step == 300 ? 100 : step == 100 ? 37 : step == 37 ? 7 : step == 7 ? 1 : 0) {
			struct sql_incremental *plan;
			struct buf rows, states;
			if (sql_incremental_new(&(struct compute_env){0}, sql_script_at(s, 0), type, &plan, &error))
				fail_msg("%s", error.text);
			assert_true(sql_incremental_aggregates(plan));
			buf_init(&rows);
			buf_init(&states);
			incremental(plan, events, step, step == 300 ? &want_rows : &rows, step == 300 ? &want_states : &states);
			if (step != 300 && (!bytes_equal(buf_bytes(&rows), buf_bytes(&want_rows)) ||
					    !bytes_equal(buf_bytes(&states), buf_bytes(&want_states))))
				fail_msg("seed %u step %u\n%.*s\n%.*s", seed, step, (int)buf_size(&rows),
					 (const char *)buf_bytes(&rows).data, (int)buf_size(&want_rows),
					 (const char *)buf_bytes(&want_rows).data);
			buf_done(&rows);
			buf_done(&states);
			sql_incremental_free(plan);
		}
		assert_true(buf_size(&want_rows) > 100);
		buf_done(&want_rows);
		buf_done(&want_states);
		batch_unref(events);
	}
	sql_script_free(s);
	row_type_unref(type);
}

static void micro_batches_without_aggregates_are_mapped(void **state)
{
	struct row_type *type = row_type_new(event_fields, 5);
	struct sql_script *s = parse("INSERT INTO t SELECT k AS id, n + 1 AS m, _offset FROM raw WHERE n = 1");
	struct sm_error error = {0};
	struct sql_incremental *plan;
	unsigned seed = 3;
	struct batch *events = random_events(type, 50, &seed), *out;
	uint32_t want = 0;
	if (sql_incremental_new(&(struct compute_env){0}, sql_script_at(s, 0), type, &plan, &error))
		fail_msg("%s", error.text);
	assert_false(sql_incremental_aggregates(plan));
	if (sql_incremental_map(plan, events, &out, &error))
		fail_msg("%s", error.text);
	for (uint32_t i = 0; i < 50; i++)
		want += !batch_get(events, 1, i).null && batch_get(events, 1, i).integer == 1;
	assert_int_equal(out->rows, want);
	assert_string_equal(out->type->fields[1].name, "m");
	for (uint32_t i = 0; i < out->rows; i++)
		assert_int_equal(batch_get(out, 1, i).integer, 2);
	batch_unref(out);
	batch_unref(events);
	sql_incremental_free(plan);
	sql_script_free(s);
	row_type_unref(type);
}

static struct sql_incremental *plan_of(const char *text, struct row_type *type)
{
	struct sql_script *s = parse(text);
	struct sql_incremental *plan;
	struct sm_error error = {0};
	if (sql_incremental_new(&(struct compute_env){0}, sql_script_at(s, 0), type, &plan, &error))
		fail_msg("%s: %s", text, error.text);
	sql_script_free(s);
	return plan;
}

static enum sm_err take_state(void *arg, struct bytes key, struct bytes group)
{
	buf_append_bytes(arg, group);
	return SM_OK;
}

static void a_state_of_another_query_or_a_damaged_one_is_refused(void **state)
{
	struct row_type *type = row_type_new(event_fields, 5);
	struct sql_incremental *views = plan_of("INSERT INTO t SELECT count_if(k = 'a') AS x, max(k) AS m, sum(n) AS s FROM raw", type);
	struct sql_incremental *clicks = plan_of("INSERT INTO t SELECT count_if(k = 'b') AS x, max(k) AS m, sum(n) AS s FROM raw", type);
	unsigned seed = 5;
	struct batch *events = random_events(type, 50, &seed);
	struct sm_error error = {0};
	struct buf bytes, out;
	buf_init(&bytes);
	buf_init(&out);
	assert_int_equal(sql_incremental_groups(views, events, take_state, &bytes, &error), SM_OK);
	assert_int_equal(sql_incremental_merge(views, buf_bytes(&bytes), buf_bytes(&bytes), &out, &error), SM_OK);
	assert_int_equal(sql_incremental_merge(clicks, buf_bytes(&bytes), buf_bytes(&bytes), &out, &error), SM_VERSION);
	for (size_t size = 1; size < buf_size(&bytes); size++)
		assert_int_equal(sql_incremental_merge(views, bytes_of(buf_bytes(&bytes).data, size), buf_bytes(&bytes), &out, &error),
				 SM_CORRUPT);
	buf_u8(&bytes, 0);
	assert_int_equal(sql_incremental_merge(views, bytes_of("", 0), buf_bytes(&bytes), &out, &error), SM_CORRUPT);
	buf_done(&bytes);
	buf_done(&out);
	batch_unref(events);
	sql_incremental_free(views);
	sql_incremental_free(clicks);
	row_type_unref(type);
}

static void what_micro_batches_cannot_do_is_refused(void **state)
{
	static const char *const texts[] = {"SELECT k FROM raw",
					    "INSERT INTO t SELECT DISTINCT k FROM raw",
					    "INSERT INTO t SELECT k FROM raw ORDER BY k",
					    "INSERT INTO t SELECT k FROM raw LIMIT 1",
					    "INSERT INTO t SELECT a.k FROM raw a JOIN raw b ON a.k = b.k",
					    "INSERT INTO t SELECT k FROM ks.raw",
					    "INSERT INTO t VALUES (1)",
					    "INSERT INTO t SELECT k FROM raw WHERE n = (SELECT 1)",
					    "INSERT INTO t SELECT k, count(*) FROM raw GROUP BY k HAVING count(*) > 1"};
	struct row_type *type = row_type_new(event_fields, 5);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct sql_script *s = parse(texts[i]);
		struct sql_incremental *plan;
		struct sm_error error = {0};
		if (sql_incremental_new(&(struct compute_env){0}, sql_script_at(s, 0), type, &plan, &error) != SM_UNSUPPORTED)
			fail_msg("%s: %s", texts[i], error.text);
		sql_script_free(s);
	}
	row_type_unref(type);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_are_taken_apart),
		cmocka_unit_test(a_syntax_error_names_line_and_column),
		cmocka_unit_test(depth_and_size_are_bounded),
		cmocka_unit_test(parameters_are_bound_by_name),
		cmocka_unit_test(expressions_follow_spark_in_ansi_mode),
		cmocka_unit_test(times_are_in_milliseconds_and_utc),
		cmocka_unit_test(queries_give_spark_results),
		cmocka_unit_test(order_and_limit),
		cmocka_unit_test(too_many_queries_are_refused),
		cmocka_unit_test(a_plan_can_be_explained),
		cmocka_unit_test(micro_batches_give_what_one_batch_gives),
		cmocka_unit_test(micro_batches_without_aggregates_are_mapped),
		cmocka_unit_test(a_state_of_another_query_or_a_damaged_one_is_refused),
		cmocka_unit_test(what_micro_batches_cannot_do_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
