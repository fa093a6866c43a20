/* Objects and arrays within events, ranges, lengths, null: schemas and the scanner together. */
#include "base/schema.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char schema_text[] =
	"{\"type\":\"object\",\"required\":[\"user\"],\"properties\":{"
	"\"user\":{\"type\":\"object\",\"required\":[\"id\"],\"additionalProperties\":false,\"properties\":{"
	"\"id\":{\"type\":\"integer\",\"exclusiveMinimum\":0},\"name\":{\"type\":[\"string\",\"null\"],\"minLength\":2,\"maxLength\":4},"
	"\"home\":{\"type\":\"object\",\"properties\":{\"zip\":{\"type\":\"string\"}},\"required\":[\"zip\"]}}},"
	"\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":[\"a\",\"b\"]},\"minItems\":1,\"maxItems\":3},"
	"\"grid\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}}},"
	"\"lines\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"sku\":{\"type\":\"string\"},"
	"\"n\":{\"type\":\"integer\",\"minimum\":0.5,\"maximum\":10}},\"required\":[\"sku\"]}},"
	"\"ratio\":{\"type\":\"number\",\"minimum\":0,\"exclusiveMaximum\":1},\"free\":{\"type\":\"object\"},"
	"\"list\":{\"type\":\"array\"},\"kind\":{\"type\":\"string\",\"const\":\"x\"}}}";

static struct schema *schema;
static struct arena arena;

static int setup(void **state)
{
	struct sm_error error;
	if (schema_compile(bytes_str(schema_text), &schema, &error))
		fail_msg("%s", error.text);
	arena_init(&arena, 0);
	return 0;
}
static int teardown(void **state)
{
	schema_free(schema);
	arena_done(&arena);
	return 0;
}

static const struct {
	const char *event, *problems;
} cases[] = {
	{"{\"user\":{\"id\":1}}", "{}"},
	{"{\"user\":{\"id\":1,\"name\":\"\\u00e4\xc3\xa4\",\"home\":{\"zip\":\"\",\"more\":[{}]}}}", "{}"},
	{"{\"user\":{\"id\":1,\"name\":null}}", "{}"},
	{"{}", "{\"obj.user\":[\"error.path.missing\"]}"},
	{"{\"user\":null}", "{\"obj.user\":[\"error.expected.jsobject\"]}"},
	{"{\"user\":[]}", "{\"obj.user\":[\"error.expected.jsobject\"]}"},
	{"{\"user\":{}}", "{\"obj.user.id\":[\"error.path.missing\"]}"},
	{"{\"user\":{\"id\":0}}", "{\"obj.user.id\":[\"error.min\"]}"},
	{"{\"user\":{\"id\":1,\"id\":2}}", "{\"obj.user.id\":[\"error.path.duplicate\"]}"},
	{"{\"user\":{\"id\":\"1\",\"x\":1,\"home\":{}}}", "{\"obj.user.id\":[\"error.expected.jsnumber\"],\"obj.user.x\":[\"error.path."
							  "unknown\"],\"obj.user.home.zip\":[\"error.path.missing\"]}"},
	{"{\"user\":{\"id\":1,\"name\":\"a\"}}", "{\"obj.user.name\":[\"error.minLength\"]}"},
	{"{\"user\":{\"id\":1,\"name\":\"abcde\"}}", "{\"obj.user.name\":[\"error.maxLength\"]}"},
	{"{\"user\":{\"id\":1,\"name\":nul}}", "{\"obj\":[\"error.invalid.json\"]}"},
	{"{\"user\":{\"id\":1},\"tags\":[\"a\", \"b\" ]}", "{}"},
	{"{\"user\":{\"id\":1},\"tags\":[]}", "{\"obj.tags\":[\"error.minLength\"]}"},
	{"{\"user\":{\"id\":1},\"tags\":[\"a\",\"a\",\"a\",\"a\"]}", "{\"obj.tags\":[\"error.maxLength\"]}"},
	{"{\"user\":{\"id\":1},\"tags\":[\"a\",1,\"c\"]}",
	 "{\"obj.tags[1]\":[\"error.expected.jsstring\"],\"obj.tags[2]\":[\"error.expected.validenumvalue\"]}"},
	{"{\"user\":{\"id\":1},\"tags\":{}}", "{\"obj.tags\":[\"error.expected.jsarray\"]}"},
	{"{\"user\":{\"id\":1},\"tags\":[\"a\",]}", "{\"obj\":[\"error.invalid.json\"]}"},
	{"{\"user\":{\"id\":1},\"tags\":[\"a\"}", "{\"obj\":[\"error.invalid.json\"]}"},
	{"{\"user\":{\"id\":1},\"tags\":[", "{\"obj\":[\"error.invalid.json\"]}"},
	{"{\"user\":{\"id\":1},\"grid\":[[1,2.5],[],[3]]}", "{}"},
	{"{\"user\":{\"id\":1},\"grid\":[[1],[2,\"x\"]]}", "{\"obj.grid[1][1]\":[\"error.expected.jsnumber\"]}"},
	{"{\"user\":{\"id\":1},\"lines\":[{\"sku\":\"a\",\"n\":1},{\"n\":0},{\"sku\":\"b\",\"n\":11}]}",
	 "{\"obj.lines[1].n\":[\"error.min\"],\"obj.lines[1].sku\":[\"error.path.missing\"],\"obj.lines[2].n\":[\"error.max\"]}"},
	{"{\"user\":{\"id\":1},\"ratio\":0.999}", "{}"},
	{"{\"user\":{\"id\":1},\"ratio\":1}", "{\"obj.ratio\":[\"error.max\"]}"},
	{"{\"user\":{\"id\":1},\"ratio\":-0.1}", "{\"obj.ratio\":[\"error.min\"]}"},
	{"{\"user\":{\"id\":1},\"free\":{\"a\":[{}]},\"list\":[1,\"a\",{}],\"kind\":\"x\"}", "{}"},
	{"{\"user\":{\"id\":1},\"free\":1,\"list\":{},\"kind\":\"y\"}",
	 "{\"obj.free\":[\"error.expected.jsobject\"],\"obj.list\":[\"error.expected.jsarray\"],\"obj.kind\":[\"error.expected."
	 "validenumvalue\"]}"},
};

static void what_lies_within_is_checked(void **state)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct event_problems problems;
		struct event_value values[16];
		struct buf out;
		buf_init(&out);
		enum sm_err err = event_scan(schema, bytes_str(cases[i].event), values, &arena, &problems);
		event_problems_json(&problems, &out);
		if ((err == SM_OK) != (problems.count == 0) || !bytes_equal(buf_bytes(&out), bytes_str(cases[i].problems)))
			fail_msg("%s: %.*s in place of %s", cases[i].event, (int)buf_size(&out), (const char *)out.data + out.start,
				 cases[i].problems);
		buf_done(&out);
	}
}

static void containers_are_their_text(void **state)
{
	struct event_problems problems;
	struct event_value values[16];
	assert_int_equal(event_scan(schema, BYTES("{ \"tags\" : [\"a\"] , \"user\": {\"id\": 7} }"), values, &arena, &problems), SM_OK);
	assert_true(values[0].present && bytes_equal(values[0].text, BYTES("{\"id\": 7}")));
	assert_true(values[1].present && bytes_equal(values[1].raw, BYTES("[\"a\"]")));
	assert_false(values[2].present);
}

static void every_cut_is_refused(void **state)
{
	static const char event[] = "{\"user\":{\"id\":1,\"home\":{\"zip\":\"1\"}},\"grid\":[[1],[2]],\"lines\":[{\"sku\":\"a\"}]}";
	struct event_problems problems;
	for (size_t n = 0; n < sizeof event - 1; n++) {
		uint8_t *exact = malloc(n ? n : 1);
		memcpy(exact, event, n);
		assert_int_equal(event_scan(schema, bytes_of(exact, n), NULL, &arena, &problems), SM_INVALID);
		assert_string_equal(problems.items[0].reason, "error.invalid.json");
		free(exact);
	}
}

static void depth_and_number_have_bounds(void **state)
{
	for (int depth = SCHEMA_DEPTH_MAX - 1; depth <= SCHEMA_DEPTH_MAX; depth++) {
		struct schema *deep;
		struct buf text;
		buf_init(&text);
		buf_append_str(&text, "{\"type\":\"object\",\"properties\":{\"a\":");
		for (int i = 0; i < depth; i++)
			buf_append_str(&text, "{\"type\":\"array\",\"items\":");
		buf_append_str(&text, "{\"type\":\"string\"}");
		for (int i = 0; i < depth; i++)
			buf_append_str(&text, "}");
		buf_append_str(&text, "}}");
		enum sm_err err = schema_compile(buf_bytes(&text), &deep, NULL);
		assert_int_equal(err, depth < SCHEMA_DEPTH_MAX ? SM_OK : SM_TOO_LARGE);
		if (!err)
			schema_free(deep);
		buf_done(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lies_within_is_checked),
		cmocka_unit_test(containers_are_their_text),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(depth_and_number_have_bounds),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
