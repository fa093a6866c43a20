/* Which schema documents compile, and how others are refused. */
#include "base/schema.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void a_schema_compiles_with_its_fields_in_order(void **unused)
{
	struct schema *schema;
	struct sm_error error;
	static const char text[] =
		"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"$id\":\"x\",\"title\":\"event\",\"description\":\"d\","
		"\"type\":\"object\",\"required\":[\"id\",\"ts\"],\"additionalProperties\":false,\"properties\":{"
		"\"id\":{\"type\":\"string\",\"format\":\"uuid\",\"description\":\"d\"},"
		"\"ts\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99},"
		"\"type\":{\"type\":\"string\",\"enum\":[\"view\",\"click\"]},"
		"\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
		"\"cost\":{\"type\":\"number\"},\"ok\":{\"type\":\"boolean\"},\"free\":{\"type\":\"string\"}}}";
	if (schema_compile(bytes_str(text), &schema, &error))
		fail_msg("%s", error.text);
	static const enum schema_type types[] = {SCHEMA_UUID,   SCHEMA_INTEGER, SCHEMA_STRING, SCHEMA_DATE_TIME,
						 SCHEMA_NUMBER, SCHEMA_BOOLEAN, SCHEMA_STRING};
	static const char *const names[] = {"id", "ts", "type", "at", "cost", "ok", "free"};
	assert_string_equal(schema->title, "event");
	assert_int_equal(schema->field_count, 7);
	assert_false(schema->additional);
	for (int i = 0; i < 7; i++) {
		assert_string_equal(schema->fields[i].name, names[i]);
		assert_int_equal(schema->fields[i].type, types[i]);
		assert_int_equal(schema->fields[i].required, i < 2);
		assert_int_equal(schema_find(schema, names[i]), i);
	}
	assert_int_equal(schema_find(schema, "no"), -1);
	assert_int_equal(schema_find(schema, ""), -1);
	assert_int_equal(schema->fields[1].maximum, 99);
	assert_int_equal(schema->fields[2].choice_count, 2);
	assert_string_equal(schema->fields[2].choices[1], "click");
	assert_int_equal(schema->fields[6].choice_count, 0);
	schema_free(schema);
	schema_free(NULL);
}

#define P(property) "{\"type\":\"object\",\"properties\":{\"a\":" property "}}"

static void what_is_not_understood_is_refused_with_its_pointer(void **unused)
{
	static const struct {
		const char *text;
		enum sm_err err;
		const char *says;
	} cases[] = {
		{"", SM_SYNTAX, "schema: JSON"},
		{"{\"type\":", SM_SYNTAX, "schema: JSON"},
		{"[]", SM_INVALID, "not a JSON object"},
		{"{\"properties\":{}}", SM_UNSUPPORTED, "/type"},
		{"{\"type\":\"array\",\"properties\":{}}", SM_UNSUPPORTED, "/type"},
		{"{\"type\":\"object\"}", SM_INVALID, "/properties"},
		{"{\"type\":\"object\",\"properties\":{},\"allOf\":[]}", SM_UNSUPPORTED, "/allOf"},
		{"{\"type\":\"object\",\"properties\":{},\"a/b~c\":1}", SM_UNSUPPORTED, "/a~1b~0c:"},
		{"{\"type\":\"object\",\"properties\":{},\"additionalProperties\":{}}", SM_UNSUPPORTED, "/additionalProperties"},
		{"{\"type\":\"object\",\"properties\":{},\"required\":[\"a\"]}", SM_INVALID, "/required/0"},
		{"{\"type\":\"object\",\"properties\":{},\"required\":\"a\"}", SM_INVALID, "/required"},
		{"{\"type\":\"object\",\"properties\":{},\"title\":1}", SM_INVALID, "/title"},
		{"{\"type\":\"object\",\"properties\":{\"a\":1}}", SM_UNSUPPORTED, "/properties/a:"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{}}}", SM_UNSUPPORTED, "/properties/a/type"},
		{P("{\"type\":\"null\"}"), SM_UNSUPPORTED, "/properties/a/type"},
		{P("{\"type\":[\"null\"]}"), SM_UNSUPPORTED, "/properties/a/type"},
		{P("{\"type\":[\"string\",\"integer\"]}"), SM_UNSUPPORTED, "/properties/a/type"},
		{P("{\"type\":\"object\",\"items\":{}}"), SM_UNSUPPORTED, "/properties/a/items"},
		{P("{\"type\":\"array\",\"properties\":{}}"), SM_UNSUPPORTED, "/properties/a/properties"},
		{P("{\"type\":\"array\",\"items\":[]}"), SM_UNSUPPORTED, "/properties/a/items:"},
		{P("{\"type\":\"array\",\"items\":{\"type\":\"x\"}}"), SM_UNSUPPORTED, "/properties/a/items/type"},
		{P("{\"type\":\"array\",\"minItems\":2,\"maxItems\":1}"), SM_INVALID, "/properties/a/minItems"},
		{P("{\"type\":\"array\",\"minLength\":2}"), SM_UNSUPPORTED, "/properties/a/minLength"},
		{P("{\"type\":\"string\",\"minItems\":2}"), SM_UNSUPPORTED, "/properties/a/minItems"},
		{P("{\"type\":\"string\",\"maxLength\":-1}"), SM_UNSUPPORTED, "/properties/a/maxLength"},
		{P("{\"type\":\"string\",\"format\":\"uuid\",\"maxLength\":1}"), SM_UNSUPPORTED, "/properties/a/maxLength"},
		{P("{\"type\":\"integer\",\"const\":1}"), SM_UNSUPPORTED, "/properties/a/const"},
		{P("{\"type\":\"object\",\"required\":[\"b\"]}"), SM_INVALID, "/properties/a/required/0"},
		{P("{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"string\",\"pattern\":\"x\"}}}"), SM_UNSUPPORTED,
		 "/properties/a/properties/b/pattern"},
		{P("{\"type\":\"integer\",\"exclusiveMaximum\":0,\"minimum\":0}"), SM_INVALID, "/properties/a/minimum"},
		{P("{\"type\":\"integer\",\"minimum\":1.2,\"maximum\":1.8}"), SM_INVALID, "/properties/a/minimum"},
		{P("{\"type\":\"integer\",\"exclusiveMinimum\":9223372036854775807}"), SM_INVALID, "/properties/a/exclusiveMinimum"},
		{P("{\"type\":\"integer\",\"maximum\":1e300}"), SM_UNSUPPORTED, "/properties/a/maximum"},
		{P("{\"type\":\"number\",\"maximum\":\"1\"}"), SM_UNSUPPORTED, "/properties/a/maximum"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"x\"}}}", SM_UNSUPPORTED,
		 "/properties/a/pattern"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"format\":\"email\"}}}", SM_UNSUPPORTED,
		 "/properties/a/format"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"format\":\"uuid\"}}}", SM_UNSUPPORTED,
		 "/properties/a/format"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"enum\":[\"x\"]}}}", SM_UNSUPPORTED,
		 "/properties/a/enum"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[]}}}", SM_UNSUPPORTED, "/properties/a/enum"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[\"x\",1]}}}", SM_UNSUPPORTED,
		 "/properties/a/enum/1"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[\"x\",\"x\"]}}}", SM_INVALID,
		 "/properties/a/enum/1"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"minimum\":1}}}", SM_UNSUPPORTED,
		 "/properties/a/minimum"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}}}", SM_INVALID,
		 "/properties/a/minimum"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct schema *schema = NULL;
		struct sm_error error = {0};
		enum sm_err err = schema_compile(bytes_str(cases[i].text), &schema, &error);
		if (err != cases[i].err || !strstr(error.text, cases[i].says))
			fail_msg("%s: %s, %s; expected %s, %s", cases[i].text, sm_err_name(err), error.text, sm_err_name(cases[i].err),
				 cases[i].says);
	}
}

static void a_schema_has_at_most_256_fields_and_finds_each(void **unused)
{
	for (int count = SCHEMA_FIELDS_MAX; count <= SCHEMA_FIELDS_MAX + 1; count++) {
		struct buf text;
		buf_init(&text);
		buf_append_str(&text, "{\"type\":\"object\",\"properties\":{");
		for (int i = 0; i < count; i++)
			buf_printf(&text, "%s\"field_%d\":{\"type\":\"string\"}", i ? "," : "", i);
		buf_append_str(&text, "}}");
		struct schema *schema;
		enum sm_err err = schema_compile(buf_bytes(&text), &schema, NULL);
		buf_done(&text);
		assert_int_equal(err, count > SCHEMA_FIELDS_MAX ? SM_TOO_LARGE : SM_OK);
		for (int i = 0; i < count && !err; i++) {
			char name[32];
			snprintf(name, sizeof name, "field_%d", i);
			assert_int_equal(schema_find(schema, name), i);
		}
		if (!err)
			schema_free(schema);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_schema_compiles_with_its_fields_in_order),
		cmocka_unit_test(what_is_not_understood_is_refused_with_its_pointer),
		cmocka_unit_test(a_schema_has_at_most_256_fields_and_finds_each),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
