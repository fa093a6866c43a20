/* Walking through JSON text, and pointers into it. */
#include "base/json_walk.h"
#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* "name=value;..." and the error that ended it, unless that is the end. */
static void walked(const char *text, const char *want)
{
	struct arena arena;
	struct json_walk walk;
	struct bytes name, value;
	struct buf out;
	arena_init(&arena, 0);
	buf_init(&out);
	enum sm_err err = json_walk_begin(&walk, bytes_str(text), &arena);
	while (!err && !(err = json_walk_next(&walk, &name, &value)))
		buf_printf(&out, "%.*s=%.*s;", (int)name.size, (const char *)name.data, (int)value.size, (const char *)value.data);
	if (err != SM_END)
		buf_append_str(&out, sm_err_name(err));
	if (!bytes_equal(buf_bytes(&out), bytes_str(want)))
		fail_msg("%s: %.*s in place of %s", text, (int)buf_size(&out), (const char *)out.data + out.start, want);
	buf_done(&out);
	arena_done(&arena);
}

static void containers_are_walked(void **state)
{
	walked(" [1, {\"a\":[2]} ,\"x\"] ", "=1;={\"a\":[2]};=\"x\";");
	walked("{\"a\":1,\"\\u0062\" : null}", "a=1;b=null;");
	walked("[]", "");
	walked("{ }\n", "");
	walked("[1,]", "=1;SM_SYNTAX");
	walked("[1", "SM_SYNTAX");
	walked("[1 2]", "=1;SM_SYNTAX");
	walked("[1]x", "=1;SM_SYNTAX");
	walked("[,1]", "SM_SYNTAX");
	walked("[1}", "=1;SM_SYNTAX");
	walked("{1:2}", "SM_SYNTAX");
	walked("{\"a\" 1}", "SM_SYNTAX");
	walked("1", "SM_SYNTAX");
	walked("", "SM_SYNTAX");
}

static void values_follow_each_other(void **state)
{
	struct arena arena;
	struct bytes text = BYTES(" {\"a\":1}{}\n[2] "), value;
	arena_init(&arena, 0);
	assert_int_equal(json_value_next(&text, &arena, &value), SM_OK);
	assert_true(bytes_equal(value, BYTES("{\"a\":1}")));
	assert_int_equal(json_value_next(&text, &arena, &value), SM_OK);
	assert_true(bytes_equal(value, BYTES("{}")));
	assert_int_equal(json_value_next(&text, &arena, &value), SM_OK);
	assert_int_equal(json_value_next(&text, &arena, &value), SM_END);
	text = BYTES("{");
	assert_int_equal(json_value_next(&text, &arena, &value), SM_SYNTAX);
	arena_done(&arena);
}

static void pointers_find_their_value(void **state)
{
	static const char text[] = "{\"a\":{\"b\":[10,{\"c\":\"x\"}],\"\":7},\"m~n\":8,\"a/b\":9}";
	static const struct {
		const char *pointer, *value;
		enum sm_err err;
	} cases[] = {
		{"", text, SM_OK},
		{"/a/b/0", "10", SM_OK},
		{"/a/b/1/c", "\"x\"", SM_OK},
		{"/a/", "7", SM_OK},
		{"/m~0n", "8", SM_OK},
		{"/a~1b", "9", SM_OK},
		{"/a/b/2", NULL, SM_NOT_FOUND},
		{"/a/b/01", NULL, SM_NOT_FOUND},
		{"/a/b/-", NULL, SM_NOT_FOUND},
		{"/x", NULL, SM_NOT_FOUND},
		{"/a/b/0/x", NULL, SM_NOT_FOUND},
		{"a", NULL, SM_INVALID},
		{"/a~", NULL, SM_INVALID},
		{"/a~2", NULL, SM_INVALID},
		{"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7", NULL, SM_TOO_LARGE},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct arena arena;
		struct json_pointer pointer;
		struct bytes value = {0};
		arena_init(&arena, 0);
		enum sm_err err = json_pointer_parse(bytes_str(cases[i].pointer), &arena, &pointer);
		if (!err)
			err = json_pointer_find(&pointer, BYTES(text), &arena, &value);
		if (err != cases[i].err || (!err && !bytes_equal(value, bytes_str(cases[i].value))))
			fail_msg("%s: %s %.*s", cases[i].pointer, sm_err_name(err), (int)value.size, (const char *)value.data);
		arena_done(&arena);
	}
}

static void strings_say_what_they_say(void **state)
{
	struct arena arena;
	struct bytes text;
	arena_init(&arena, 0);
	assert_int_equal(json_string_text(BYTES("\"a\\nb\""), &arena, &text), SM_OK);
	assert_true(bytes_equal(text, BYTES("a\nb")));
	assert_int_equal(json_string_text(BYTES("1"), &arena, &text), SM_TYPE);
	assert_int_equal(json_string_text(BYTES("\"a"), &arena, &text), SM_SYNTAX);
	assert_int_equal(json_string_text(BYTES("\"a\"b"), &arena, &text), SM_SYNTAX);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(containers_are_walked),
		cmocka_unit_test(values_follow_each_other),
		cmocka_unit_test(pointers_find_their_value),
		cmocka_unit_test(strings_say_what_they_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
