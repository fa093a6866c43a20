/* The event scanner: values, problems in Play's form, JSON to the letter. */
#include "base/json.h"
#include "base/schema.h"
#include "base/uuid.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char schema_text[] =
	"{\"type\":\"object\",\"required\":[\"id\",\"ad_id\",\"campaign\",\"ts\",\"type\"],\"properties\":{"
	"\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"ad_id\":{\"type\":\"string\",\"format\":\"uuid\"},"
	"\"campaign\":{\"type\":\"string\",\"format\":\"uuid\"},\"ts\":{\"type\":\"integer\",\"minimum\":0},"
	"\"type\":{\"type\":\"string\",\"enum\":[\"view\",\"click\"]},"
	"\"at\":{\"type\":\"string\",\"format\":\"date-time\"},\"cost\":{\"type\":\"number\"},\"ok\":{\"type\":\"boolean\"},"
	"\"note\":{\"type\":\"string\"},\"long_member_name\":{\"type\":\"integer\",\"maximum\":10},\"na\\\"me "
	"\\u00e9\":{\"type\":\"integer\"}}}";
enum { ID, AD_ID, CAMPAIGN, TS, TYPE, AT, COST, OK, NOTE, LONG, ODD, FIELDS };

#define U1 "c0ffee00-1234-4abc-8def-0123456789ab"
#define U2 "00000000-0000-0000-0000-000000000000"
#define REQUIRED "\"id\":\"" U1 "\",\"ad_id\":\"" U2 "\",\"campaign\":\"" U1 "\",\"ts\":1574553617004,\"type\":\"view\""

static struct schema *schema, *loose;
static struct arena arena;
static struct event_value values[FIELDS];
static struct event_problems problems;

static int setup(void **unused)
{
	struct sm_error error;
	if (schema_compile(bytes_str(schema_text), &loose, &error))
		fail_msg("%s", error.text);
	struct buf text;
	buf_init(&text);
	buf_append_str(&text, "{\"additionalProperties\":false,");
	buf_append_str(&text, schema_text + 1);
	if (schema_compile(buf_bytes(&text), &schema, &error))
		fail_msg("%s", error.text);
	buf_done(&text);
	arena_init(&arena, 0);
	return 0;
}
static int teardown(void **unused)
{
	schema_free(schema);
	schema_free(loose);
	arena_done(&arena);
	return 0;
}

/* In memory of its exact size, so that a read past the end is seen. */
static enum sm_err scan_bytes(const struct schema *with, struct bytes text)
{
	uint8_t *exact = malloc(text.size ? text.size : 1);
	memcpy(exact, text.data, text.size);
	enum sm_err err = event_scan(with, bytes_of(exact, text.size), values, &arena, &problems);
	struct event_problems again;
	enum sm_err checked = event_scan(with, bytes_of(exact, text.size), NULL, &arena, &again);
	assert_int_equal(err, checked);
	assert_int_equal(problems.count, again.count);
	/* borrowed texts are looked at by the tests that know them to be in the arena or gone */
	for (int i = 0; i < FIELDS; i++) {
		if (values[i].present && with->fields[i].type == SCHEMA_STRING)
			values[i].text.data = arena_copy(&arena, values[i].text.data, values[i].text.size);
	}
	free(exact);
	return err;
}
static const char *scan(const struct schema *with, const char *text)
{
	static char json[4096];
	struct buf out;
	buf_init(&out);
	enum sm_err err = scan_bytes(with, bytes_str(text));
	event_problems_json(&problems, &out);
	snprintf(json, sizeof json, "%.*s", (int)buf_size(&out), (const char *)buf_bytes(&out).data);
	buf_done(&out);
	assert_int_equal(err, problems.count ? SM_INVALID : SM_OK);
	return json;
}
#define FINE(text) assert_string_equal(scan(schema, text), "{}")
#define PROBLEM(text, expected) assert_string_equal(scan(schema, text), expected)

static void the_example_event_is_taken_apart(void **unused)
{
	FINE("{\"id\":\"" U1 "\",\"ad_id\":\"" U2 "\",\"campaign\":\"" U1 "\",\"ts\":1574553617004,\"type\":\"view\"}");
	struct uuid u;
	assert_int_equal(uuid_parse(U1, 36, &u), SM_OK);
	assert_memory_equal(values[ID].uuid, u.bytes, 16);
	assert_memory_equal(values[CAMPAIGN].uuid, u.bytes, 16);
	assert_memory_equal(values[AD_ID].uuid, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_true(values[TS].present && values[TYPE].present);
	assert_int_equal(values[TS].integer, 1574553617004);
	assert_int_equal(values[TYPE].text.size, 4);
	assert_memory_equal(values[TYPE].text.data, "view", 4);
	for (int i = AT; i < FIELDS; i++)
		assert_false(values[i].present);
}

static void members_come_in_any_order_with_spaces_and_escapes(void **unused)
{
	FINE(" \t\r\n{ \"t\\u0079pe\" :\n\"cl\\u0069ck\" , \"ts\": 17 ,\"ok\" : false,\"campaign\":\"" U1 "\" ,\"id\":\"" U2
	     "\", \"ad_id\" : \"\\u0063"
	     "0ffee00-1234-4abc-8def-0123456789ab\",\"long_member_name\":9,\"na\\\"me \xc3\xa9\":-3}\n ");
	assert_memory_equal(values[TYPE].text.data, "click", 5);
	assert_int_equal(values[TS].integer, 17);
	assert_int_equal(values[LONG].integer, 9);
	assert_int_equal(values[ODD].integer, -3);
	assert_true(values[OK].present && !values[OK].boolean);
	assert_memory_equal(values[AD_ID].uuid, "\xc0\xff\xee", 3);
}

static void problems_are_a_flat_map_in_plays_words(void **unused)
{
	PROBLEM("{}",
		"{\"obj.id\":[\"error.path.missing\"],\"obj.ad_id\":[\"error.path.missing\"],\"obj.campaign\":[\"error.path.missing\"],"
		"\"obj.ts\":[\"error.path.missing\"],\"obj.type\":[\"error.path.missing\"]}");
	PROBLEM("{\"id\":\"" U1 "\",\"ad_id\":\"" U2 "\",\"campaign\":\"" U1 "\",\"ts\":\"x\",\"type\":\"view\"}",
		"{\"obj.ts\":[\"error.expected.jsnumber\"]}");
	PROBLEM("{\"id\":\"" U1 "x\",\"ad_id\":7,\"campaign\":null,\"ts\":1.5,\"type\":\"look\"}",
		"{\"obj.id\":[\"error.expected.uuid\"],\"obj.ad_id\":[\"error.expected.uuid\"],\"obj.campaign\":[\"error.expected.uuid\"],"
		"\"obj.ts\":[\"error.expected.long\"],\"obj.type\":[\"error.expected.validenumvalue\"]}");
	PROBLEM("{" REQUIRED ",\"at\":1,\"cost\":\"1\",\"ok\":\"true\",\"note\":{\"a\":[1,{}]},\"long_member_name\":11}",
		"{\"obj.at\":[\"error.expected.date\"],\"obj.cost\":[\"error.expected.jsnumber\"],\"obj.ok\":[\"error.expected.jsboolean\"]"
		","
		"\"obj.note\":[\"error.expected.jsstring\"],\"obj.long_member_name\":[\"error.max\"]}");
	PROBLEM("{" REQUIRED ",\"at\":\"yesterday\",\"cost\":1e999,\"x\\u0000y\":[]}",
		"{\"obj.at\":[\"error.expected.date.isoformat\"],\"obj.cost\":[\"error.expected.double\"],\"obj.x "
		"y\":[\"error.path.unknown\"]}");
	PROBLEM("{" REQUIRED ",\"ts\":-1,\"ts\":2}", "{\"obj.ts\":[\"error.path.duplicate\",\"error.path.duplicate\"]}");
	PROBLEM("{\"id\":\"" U1 "\",\"ad_id\":\"" U2 "\",\"campaign\":\"" U1 "\",\"ts\":-1,\"type\":\"view\"}",
		"{\"obj.ts\":[\"error.min\"]}");
	static const char *const others[] = {"[]", "[[1,2],{}]", "1", "-1.5e3", "\"x\"", "true", " null ", "false"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		PROBLEM(others[i], "{\"obj\":[\"error.expected.jsobject\"]}");
}

static void unknown_members_are_skipped_where_they_are_allowed(void **unused)
{
	assert_string_equal(scan(loose, "{\"a\":{\"b\":[1,2.5e-3,\"\\\"\",[[]],{}],\"c\":null},\"\":true," REQUIRED ",\"idx\":-0}"), "{}");
	assert_int_equal(values[TS].integer, 1574553617004);
	assert_string_equal(scan(loose, "{\"a\":{\"b\":[1,2.5e-3,\"\\\"\",[[]],{},]}," REQUIRED "}"), "{\"obj\":[\"error.invalid.json\"]}");
}

static void more_problems_than_fit_are_said_to_be_more(void **unused)
{
	struct buf text;
	buf_init(&text);
	buf_append_str(&text, "{" REQUIRED);
	for (int i = 0; i < 100; i++)
		buf_printf(&text, ",\"x%d\":0", i);
	buf_u8(&text, '}');
	assert_int_equal(scan_bytes(schema, buf_bytes(&text)), SM_INVALID);
	assert_int_equal(problems.count, EVENT_PROBLEMS_MAX);
	assert_string_equal(problems.items[EVENT_PROBLEMS_MAX - 1].reason, "error.more");
	assert_string_equal(problems.items[EVENT_PROBLEMS_MAX - 2].path, "obj.x30");
	buf_done(&text);
}

/* ---- JSON to the letter ---- */

#define INVALID(text) PROBLEM(text, "{\"obj\":[\"error.invalid.json\"]}")
static void what_is_not_json_is_refused(void **unused)
{
	static const char *const cases[] = {"",
					    " ",
					    "{",
					    "}",
					    "{}}",
					    "{} x",
					    "{,}",
					    "{\"a\"}",
					    "{\"a\":}",
					    "{\"a\":1,}",
					    "{\"a\" 1}",
					    "{a:1}",
					    "{'a':1}",
					    "{\"a\":1 \"b\":2}",
					    "{\"a\":01}",
					    "{\"a\":-}",
					    "{\"a\":1.}",
					    "{\"a\":.5}",
					    "{\"a\":1e}",
					    "{\"a\":1e+}",
					    "{\"a\":+1}",
					    "{\"a\":0x1}",
					    "{\"a\":NaN}",
					    "{\"a\":tru}",
					    "{\"a\":nulll}",
					    "{\"a\":True}",
					    "{\"a\":\"\t\"}",
					    "{\"a\":\"\x01\"}",
					    "{\"a\":\"\\x\"}",
					    "{\"a\":\"\\u12\"}",
					    "{\"a\":\"\\u12g4\"}",
					    "{\"a\":\"\\ud800\"}",
					    "{\"a\":\"\\udc00\"}",
					    "{\"a\":\"\\ud800\\u0041\"}",
					    "{\"a\":\"",
					    "{\"a\":\"\\",
					    "{\"a\":[1,2}",
					    "{\"a\":{\"b\":1]}",
					    "{\"a\":[}",
					    "[1,2",
					    "[1 2]",
					    "1 2",
					    "-",
					    "01",
					    "\xef\xbb\xbf{}",
					    "{\"ts\":01}",
					    "{\"ts\":1x}",
					    "{\"ts\":12",
					    "{\"ts\":-}",
					    "{\"id\":\"" U1,
					    "{\"ok\":trux}",
					    "{\"ok\":falsy}",
					    "{\"cost\":1.}",
					    "{\"note\":\"\\q\"}",
					    "{\"note\":\"a\\u00zz\"}",
					    "{\"a\":1}//",
					    "{\"a\":\"\x7f\xff\"}",
					    "{\"a\":1\v}",
					    "{\"\\ud800\":1}",
					    "\"abc",
					    "nul",
					    "{\"ts\":12345678"};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *got = scan(schema, cases[i]);
		if (strcmp(got, "{\"obj\":[\"error.invalid.json\"]}") != 0)
			fail_msg("%s: %s", cases[i], got);
	}
}

static void text_must_be_utf8(void **unused)
{
	static const struct {
		const char *bytes;
		bool good;
	} cases[] = {
		{"\x7f", true},
		{"\xc2\x80", true},
		{"\xdf\xbf", true},
		{"\xe0\xa0\x80", true},
		{"\xed\x9f\xbf", true},
		{"\xee\x80\x80", true},
		{"\xef\xbf\xbf", true},
		{"\xf0\x90\x80\x80", true},
		{"\xf4\x8f\xbf\xbf", true},
		{"\x80", false},
		{"\xbf", false},
		{"\xc0\x80", false},
		{"\xc1\xbf", false},
		{"\xc2", false},
		{"\xc2\x41", false},
		{"\xe0\x9f\xbf", false},
		{"\xed\xa0\x80", false},
		{"\xe1\x80", false},
		{"\xf0\x8f\xbf\xbf", false},
		{"\xf4\x90\x80\x80", false},
		{"\xf5\x80\x80\x80", false},
		{"\xf1\x80\x80", false},
		{"\xff", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (int pad = 0; pad < 20; pad++) { /* at every place of the 8 bytes looked at together */
			char text[400], note[64];
			snprintf(note, sizeof note, "%.*s%s%.*s", pad, "abcdefghijklmnopqrst", cases[i].bytes, 20 - pad,
				 "abcdefghijklmnopqrst");
			snprintf(text, sizeof text, "{" REQUIRED ",\"note\":\"%s\"}", note);
			const char *got = scan(schema, text);
			if ((strcmp(got, "{}") == 0) != cases[i].good)
				fail_msg("case %zu, %d: %s", i, pad, got);
			if (cases[i].good)
				assert_true(bytes_equal(values[NOTE].text, bytes_str(note)));
			snprintf(text, sizeof text, "{" REQUIRED ",\"note\":\"\\n%s\\u20aC\\ud83d\\ude00\"}", note);
			got = scan(schema, text);
			assert_int_equal(strcmp(got, "{}") == 0, cases[i].good);
			if (cases[i].good) {
				char expected[128];
				snprintf(expected, sizeof expected, "\n%s\xe2\x82\xac\xf0\x9f\x98\x80", note);
				assert_true(bytes_equal(values[NOTE].text, bytes_str(expected)));
			}
		}
	}
}

static void nesting_has_a_bound(void **unused)
{
	for (int depth = 1; depth < 80; depth++) {
		struct buf text;
		buf_init(&text);
		buf_append_str(&text, "{" REQUIRED ",\"deep\":");
		for (int i = 1; i < depth; i++)
			buf_append_str(&text, i % 2 ? "[" : "{\"a\":");
		buf_u8(&text, '1');
		for (int i = depth - 1; i >= 1; i--)
			buf_append_str(&text, i % 2 ? "]" : "}");
		buf_u8(&text, '}');
		assert_int_equal(scan_bytes(loose, buf_bytes(&text)), depth <= EVENT_DEPTH_MAX ? SM_OK : SM_INVALID);
		buf_done(&text);
	}
}

static void every_truncation_is_refused(void **unused)
{
	static const char text[] = "{" REQUIRED ",\"note\":\"a\\u20ac\xc3\xa9\",\"cost\":-1.5e2,\"ok\":true,\"x\":[{\"y\":null}]}";
	assert_string_equal(scan(loose, text), "{}");
	for (size_t n = 0; n < sizeof text - 1; n++) {
		assert_int_equal(scan_bytes(loose, bytes_of(text, n)), SM_INVALID);
		assert_string_equal(problems.items[0].reason, "error.invalid.json");
	}
}

/* ---- values ---- */

static void integers_in_any_notation_and_within_64_bits(void **unused)
{
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} cases[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"7", true, 7},
		{"12345678", true, 12345678},
		{"123456789", true, 123456789},
		{"99999999", true, 99999999},
		{"10000000", true, 10000000},
		{"999999999999999999", true, 999999999999999999},
		{"1000000000000000000", true, 1000000000000000000},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"18446744073709551616", false, 0},
		{"100000000000000000000", false, 0},
		{"1.0", true, 1},
		{"1e3", true, 1000},
		{"1.5e1", true, 15},
		{"1500E-2", true, 15},
		{"0e999999999999", true, 0},
		{"1.5", false, 0},
		{"1e-1", false, 0},
		{"1e19", false, 0},
		{"1e99999999999", false, 0},
		{"0.00000000000000000000000001e26", true, 1},
		{"9223372036854775807.0", true, INT64_MAX},
		{"-12", true, -12},
		{"9.2233720368547758071", false, 0},
		{"10000000000000000000000e-22", true, 1},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[400];
		snprintf(text, sizeof text, "{" REQUIRED ",\"na\\\"me \xc3\xa9\":%s}", cases[i].text);
		const char *got = scan(schema, text);
		if ((strcmp(got, "{}") == 0) != cases[i].good)
			fail_msg("%s: %s", cases[i].text, got);
		if (cases[i].good)
			assert_int_equal(values[ODD].integer, cases[i].value);
	}
}

static void numbers_are_rounded_as_strtod_does(void **unused)
{
	static const char *const cases[] = {"0",
					    "-0",
					    "1",
					    "0.1",
					    "1e22",
					    "1e23",
					    "123456789012345678901234567890",
					    "4.9e-324",
					    "2.5e-324",
					    "1.7976931348623157e308",
					    "0.30000000000000004",
					    "9007199254740993",
					    "1e-400",
					    "3.141592653589793238462643",
					    "1e-22",
					    "123e-5",
					    "1E5",
					    "100000000000000000000e-20"};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[300];
		snprintf(text, sizeof text, "{" REQUIRED ",\"cost\":%s}", cases[i]);
		FINE(text);
		double expected = strtod(cases[i], NULL);
		assert_memory_equal(&values[COST].number, &expected, sizeof expected);
	}
}

static void times_are_rfc_3339(void **unused)
{
	static const struct {
		const char *text;
		bool good;
		int64_t ms;
	} cases[] = {
		{"1970-01-01T00:00:00Z", true, 0},
		{"2019-11-24T00:00:17.004Z", true, 1574553617004},
		{"2019-11-24t01:30:17.0049+01:30", true, 1574553617004},
		{"2019-11-23T23:00:17.004-01:00", true, 1574553617004},
		{"2000-02-29T12:00:00.5z", true, 951825600500},
		{"1969-12-31T23:59:59.999Z", true, -1},
		{"2016-12-31T23:59:60Z", true, 1483228800000},
		{"2016-12-31T23:58:60Z", false, 0},
		{"1900-02-29T00:00:00Z", false, 0},
		{"2019-13-01T00:00:00Z", false, 0},
		{"2019-00-01T00:00:00Z", false, 0},
		{"2019-04-31T00:00:00Z", false, 0},
		{"2019-04-30T24:00:00Z", false, 0},
		{"2019-04-30T23:60:00Z", false, 0},
		{"2019-04-30T23:00:00", false, 0},
		{"2019-04-30T23:00:00.Z", false, 0},
		{"2019-04-30 23:00:00Z", false, 0},
		{"2019-04-30T23:00:00+0100", false, 0},
		{"2019-04-30T23:00:00+24:00", false, 0},
		{"2019-4-30T23:00:00Z", false, 0},
		{"2019-04-30", false, 0},
		{"", false, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[300];
		snprintf(text, sizeof text, "{" REQUIRED ",\"at\":\"%s\"}", cases[i].text);
		const char *got = scan(schema, text);
		if (strcmp(got, cases[i].good ? "{}" : "{\"obj.at\":[\"error.expected.date.isoformat\"]}") != 0)
			fail_msg("%s: %s", cases[i].text, got);
		if (cases[i].good)
			assert_int_equal(values[AT].integer, cases[i].ms);
	}
}

static void each_wrong_character_of_a_uuid_is_seen(void **unused)
{
	for (int i = 0; i < 36; i++) {
		static const char wrong[] = "g/:@`{G-x \x7f";
		for (const char *w = wrong; *w; w++) {
			char text[] = "{\"ad_id\":\"" U2 "\",\"campaign\":\"" U1 "\",\"ts\":1,\"type\":\"view\",\"id\":\"" U1 "\"}";
			char *at = strstr(text, "\"id\":\"") + 6 + i;
			if (*at == *w)
				continue;
			*at = *w;
			PROBLEM(text, "{\"obj.id\":[\"error.expected.uuid\"]}");
		}
	}
	FINE("{\"ad_id\":\"" U2 "\",\"campaign\":\"" U1 "\",\"ts\":1,\"type\":\"view\",\"id\":\"C0FFEE00-1234-4ABC-8DEF-0123456789AB\"}");
}

static void choices_are_found_however_they_are_written(void **unused)
{
	static const char text[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[\"view\",\"viewer\",\"\","
				   "\"caf\u00e9\",\"a\\\"b\",\"c\\\\\"]},"
				   "\"b\":{\"type\":\"string\",\"enum\":[\"view\",\"viewer\"],\"minLength\":5}}}";
	static const char *const good[] = {"view", "viewer", "", "v\\u0069ew", "caf\u00e9", "caf\\u00e9", "a\\\"b", "c\\\\"};
	static const char *const bad[] = {"vie", "viewe", "viewers", "views", "View", " ", "cafe", "a\\b"};
	struct schema *choices;
	struct sm_error error;
	char event[64];
	assert_int_equal(schema_compile(bytes_str(text), &choices, &error), SM_OK);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		snprintf(event, sizeof event, "{\"a\":\"%s\"}", good[i]);
		assert_int_equal(scan_bytes(choices, bytes_str(event)), SM_OK);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(event, sizeof event, "{\"a\":\"%s\"}", bad[i]);
		assert_int_equal(scan_bytes(choices, bytes_str(event)), SM_INVALID);
	}
	assert_int_equal(scan_bytes(choices, bytes_str("{\"a\":\"view")), SM_INVALID);
	assert_int_equal(scan_bytes(choices, bytes_str("{\"b\":\"viewer\"}")), SM_OK);
	assert_int_equal(scan_bytes(choices, bytes_str("{\"b\":\"view\"}")), SM_INVALID);
	assert_string_equal(problems.items[0].reason, "error.minLength");
	schema_free(choices);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_event_is_taken_apart),
		cmocka_unit_test(members_come_in_any_order_with_spaces_and_escapes),
		cmocka_unit_test(problems_are_a_flat_map_in_plays_words),
		cmocka_unit_test(unknown_members_are_skipped_where_they_are_allowed),
		cmocka_unit_test(more_problems_than_fit_are_said_to_be_more),
		cmocka_unit_test(what_is_not_json_is_refused),
		cmocka_unit_test(text_must_be_utf8),
		cmocka_unit_test(nesting_has_a_bound),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(integers_in_any_notation_and_within_64_bits),
		cmocka_unit_test(numbers_are_rounded_as_strtod_does),
		cmocka_unit_test(times_are_rfc_3339),
		cmocka_unit_test(each_wrong_character_of_a_uuid_is_seen),
		cmocka_unit_test(choices_are_found_however_they_are_written),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
