/* JSON of the control plane. */
#include "base/json.h"
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void documents_are_strict(void **unused)
{
	static const char *const bad[] = {"", "{", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "{} {}", "\"\xff\"", "01", "nul"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_t *json = NULL;
		struct sm_error error;
		assert_int_equal(json_parse(bytes_str(bad[i]), &json, &error), SM_SYNTAX);
		assert_non_null(strstr(error.text, "line"));
		assert_null(json);
	}
	json_t *json;
	struct sm_error error;
	assert_int_equal(json_parse(BYTES("{\n\"a\":\n}"), &json, &error), SM_SYNTAX);
	assert_non_null(strstr(error.text, "line 3"));
}

static void depth_has_a_bound(void **unused)
{
	for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
		char text[2 * JSON_DEPTH_MAX + 8];
		memset(text, '[', (size_t)depth);
		memset(text + depth, ']', (size_t)depth);
		json_t *json = NULL;
		enum sm_err err = json_parse(bytes_of(text, 2 * (size_t)depth), &json, NULL);
		assert_int_equal(err, depth > JSON_DEPTH_MAX ? SM_SYNTAX : SM_OK);
		json_decref(json);
	}
	json_t *json;
	char brackets[300] = "\"\\\"";
	memset(brackets + 3, '[', 200); /* within a string */
	strcpy(brackets + 203, "\"");
	assert_int_equal(json_parse(bytes_str(brackets), &json, NULL), SM_OK);
	json_decref(json);
}

static void members_have_types_and_defaults(void **unused)
{
	json_t *json;
	struct sm_error error;
	assert_int_equal(json_parse(BYTES("{\"s\":\"x\",\"i\":7,\"r\":1.5,\"b\":true,\"n\":null}"), &json, &error), SM_OK);
	const char *s;
	int64_t i;
	double r;
	bool b;
	assert_int_equal(json_get_string(json, "s", NULL, &s, &error), SM_OK);
	assert_string_equal(s, "x");
	assert_int_equal(json_get_string(json, "n", "none", &s, &error), SM_OK);
	assert_string_equal(s, "none");
	assert_int_equal(json_get_string(json, "i", NULL, &s, &error), SM_TYPE);
	assert_non_null(strstr(error.text, "\"i\""));
	assert_int_equal(json_get_int(json, "i", 0, &i, &error), SM_OK);
	assert_int_equal(i, 7);
	assert_int_equal(json_get_int(json, "absent", -3, &i, &error), SM_OK);
	assert_int_equal(i, -3);
	assert_int_equal(json_get_int(json, "r", 0, &i, &error), SM_TYPE);
	assert_int_equal(json_get_real(json, "i", 0, &r, &error), SM_OK);
	assert_true(r == 7);
	assert_int_equal(json_get_real(json, "s", 0, &r, &error), SM_TYPE);
	assert_int_equal(json_get_bool(json, "b", false, &b, &error), SM_OK);
	assert_true(b);
	assert_int_equal(json_get_bool(json, "i", false, &b, &error), SM_TYPE);
	struct buf out;
	buf_init(&out);
	json_write(json, &out);
	assert_true(bytes_equal(buf_bytes(&out), BYTES("{\"s\":\"x\",\"i\":7,\"r\":1.5,\"b\":true,\"n\":null}")));
	buf_done(&out);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_strict),
		cmocka_unit_test(depth_has_a_bound),
		cmocka_unit_test(members_have_types_and_defaults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
