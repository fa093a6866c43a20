/* Pairs of schemas: does the first take all that the second takes? */
#include "base/schema.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct schema *compiled(const char *members, const char *rest)
{
	struct schema *schema;
	struct sm_error error;
	char text[2048];
	snprintf(text, sizeof text, "{\"type\":\"object\",\"properties\":{%s}%s}", members, rest);
	if (schema_compile(bytes_str(text), &schema, &error))
		fail_msg("%s: %s", text, error.text);
	return schema;
}

/* want: the problem's path and reason; NULL: none. */
static void takes(const char *wide, const char *wide_rest, const char *narrow, const char *narrow_rest, const char *want)
{
	struct schema *a = compiled(wide, wide_rest), *b = compiled(narrow, narrow_rest);
	struct event_problems problems;
	struct arena arena;
	char got[400] = "";
	arena_init(&arena, 0);
	enum sm_err err = schema_takes_all(a, "new", b, "old", &arena, &problems);
	assert_int_equal(err, problems.count ? SM_INVALID : SM_OK);
	for (uint32_t i = 0; i < problems.count; i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s: %s", i ? "; " : "", problems.items[i].path,
			 problems.items[i].reason);
	if (strcmp(got, want ? want : "") != 0)
		fail_msg("{%s}%s after {%s}%s: \"%s\" in place of \"%s\"", wide, wide_rest, narrow, narrow_rest, got, want ? want : "");
	arena_done(&arena);
	schema_free(a);
	schema_free(b);
}

#define STRING "\"type\":\"string\""
#define INTEGER "\"type\":\"integer\""
#define NUMBER "\"type\":\"number\""
#define CLOSED ",\"additionalProperties\":false"

/* One member x, in closed objects. */
static void member(const char *wide, const char *narrow, const char *want)
{
	char a[512], b[512];
	snprintf(a, sizeof a, "\"x\":{%s}", wide);
	snprintf(b, sizeof b, "\"x\":{%s}", narrow);
	takes(a, CLOSED, b, CLOSED, want);
}

static void a_schema_takes_its_own(void **state)
{
	const char *text = "\"a\":{" STRING
			   ",\"enum\":[\"x\",\"y\"]},\"b\":{\"type\":[\"integer\",\"null\"],\"minimum\":3},\"c\":{\"type\":\"object\","
			   "\"properties\":{\"d\":{" NUMBER "}},\"required\":[\"d\"]},\"e\":{\"type\":\"array\",\"items\":{" STRING
			   "},\"maxItems\":3}";
	takes(text, "", text, "", NULL);
	takes(text, CLOSED ",\"required\":[\"a\"]", text, CLOSED ",\"required\":[\"a\"]", NULL);
}

static void members_come_and_go(void **state)
{
	takes("", "", "\"x\":{" STRING "}", "", NULL);
	takes("", CLOSED, "\"x\":{" STRING "}", CLOSED, "obj.x: is in the old schema only, and the new one takes no others");
	takes("\"x\":{" STRING "}", CLOSED, "", CLOSED, NULL);
	takes("\"x\":{" STRING "}", "", "", "",
	      "obj.x: is in the new schema only, and the old one (additionalProperties) takes anything there");
	takes("\"x\":{" STRING "}", ",\"required\":[\"x\"]", "\"x\":{" STRING "}", "", "obj.x: is required in the new schema only");
	takes("\"x\":{" STRING "}", CLOSED ",\"required\":[\"x\"]", "", CLOSED, "obj.x: is required in the new schema only");
	takes("\"x\":{" STRING "}", "", "\"x\":{" STRING "}", ",\"required\":[\"x\"]", NULL);
	takes("", CLOSED, "", "", "obj: additionalProperties is false in the new schema only");
	takes("", "", "", CLOSED, NULL);
}

static void types_and_ranges(void **state)
{
	member(NUMBER, INTEGER, NULL);
	member(INTEGER, NUMBER, "obj.x: is an integer in the new schema, a number in the old one");
	member(STRING, STRING ",\"format\":\"uuid\"", NULL);
	member(STRING ",\"maxLength\":36,\"minLength\":36", STRING ",\"format\":\"uuid\"", NULL);
	member(STRING ",\"maxLength\":35", STRING ",\"format\":\"uuid\"", "obj.x: the length's bounds are narrower in the new schema");
	member(STRING ",\"minLength\":1", STRING ",\"format\":\"date-time\"", "obj.x: the length's bounds are narrower in the new schema");
	member(STRING ",\"format\":\"uuid\"", STRING, "obj.x: is a uuid in the new schema, a string in the old one");
	member("\"type\":[\"string\",\"null\"]", STRING, NULL);
	member(STRING, "\"type\":[\"string\",\"null\"]", "obj.x: may be null in the old schema only");
	member(STRING ",\"enum\":[\"a\",\"b\",\"c\"]", STRING ",\"enum\":[\"c\",\"a\"]", NULL);
	member(STRING ",\"enum\":[\"a\"]", STRING ",\"enum\":[\"a\",\"b\"]", "obj.x: \"b\" is in the enum of the old schema only");
	member(STRING ",\"enum\":[\"a\"]", STRING, "obj.x: the new schema has an enum, the old one takes others too");
	member(STRING, STRING ",\"const\":\"a\"", NULL);
	member(INTEGER ",\"minimum\":1", INTEGER ",\"minimum\":2", NULL);
	member(INTEGER ",\"minimum\":2", INTEGER ",\"minimum\":1", "obj.x: the range is narrower in the new schema");
	member(INTEGER ",\"maximum\":9", INTEGER, "obj.x: the range is narrower in the new schema");
	member(NUMBER ",\"maximum\":9.5", NUMBER ",\"maximum\":9.5", NULL);
	member(NUMBER ",\"exclusiveMaximum\":9.5", NUMBER ",\"maximum\":9.5", "obj.x: the range is narrower in the new schema");
	member(NUMBER ",\"minimum\":-9223372036854775808", INTEGER, NULL);
	member(NUMBER ",\"maximum\":9223372036854774784", INTEGER, "obj.x: the range is narrower in the new schema");
}

static void what_lies_within(void **state)
{
	const char *any = "\"type\":\"object\"", *list = "\"type\":\"array\"";
	const char *one = "\"type\":\"object\",\"properties\":{\"y\":{" INTEGER "}}";
	member(any, one, NULL);
	member(one, any, "obj.x.y: is in the new schema only, and the old one (additionalProperties) takes anything there");
	member(one, "\"type\":\"object\",\"properties\":{\"y\":{" STRING "}}",
	       "obj.x.y: is an integer in the new schema, a string in the old one");
	member(list, "\"type\":\"array\",\"items\":{" INTEGER "}", NULL);
	member("\"type\":\"array\",\"items\":{" INTEGER "}", list, "obj.x: items may be anything in the old schema");
	member("\"type\":\"array\",\"items\":{" INTEGER "}", "\"type\":\"array\",\"items\":{" STRING "}",
	       "obj.x[]: is an integer in the new schema, a string in the old one");
	member("\"type\":\"array\",\"minItems\":1", list, "obj.x: the length's bounds are narrower in the new schema");
}

static void many_problems_are_cut(void **state)
{
	char a[2048] = "", b[2048] = "";
	for (int i = 0; i < 40; i++) {
		snprintf(a + strlen(a), sizeof a - strlen(a), "%s\"m%d\":{" STRING "}", i ? "," : "", i);
		snprintf(b + strlen(b), sizeof b - strlen(b), "%s\"m%d\":{" NUMBER "}", i ? "," : "", i);
	}
	struct schema *wide = compiled(a, ""), *narrow = compiled(b, "");
	struct event_problems problems;
	struct arena arena;
	arena_init(&arena, 0);
	assert_int_equal(schema_takes_all(wide, "new", narrow, "old", &arena, &problems), SM_INVALID);
	assert_int_equal(problems.count, EVENT_PROBLEMS_MAX);
	assert_string_equal(problems.items[EVENT_PROBLEMS_MAX - 1].reason, "and more");
	arena_done(&arena);
	schema_free(wide);
	schema_free(narrow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_schema_takes_its_own), cmocka_unit_test(members_come_and_go),   cmocka_unit_test(types_and_ranges),
		cmocka_unit_test(what_lies_within),       cmocka_unit_test(many_problems_are_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
