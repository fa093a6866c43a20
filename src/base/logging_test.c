/* Log lines: one an event, levels, JSON. */
#include "base/json.h"
#include "base/logging.h"
#include <stdio.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

/* What is written to standard error meanwhile. */
static const char *logged(void (*write_some)(void))
{
	static char text[4096];
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	dup2(fileno(file), STDERR_FILENO);
	write_some();
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	text[fread(text, 1, sizeof text - 1, file)] = 0;
	fclose(file);
	return text;
}

static void some(void)
{
	LOG_DEBUG("room", "never");
	LOG_WARN("room", "a \"%s\" of\ntwo lines", "message");
}

static void an_event_is_one_line(void **unused)
{
	logging_set(LOG_LEVEL_INFO, false);
	const char *text = logged(some);
	assert_non_null(strstr(text, "Z warn  room a \"message\" of two lines\n"));
	assert_null(strstr(text, "never"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void json_lines_are_json(void **unused)
{
	logging_set(LOG_LEVEL_INFO, true);
	const char *text = logged(some);
	logging_set(LOG_LEVEL_INFO, false);
	json_t *json;
	assert_int_equal(json_parse(bytes_str(text), &json, NULL), SM_OK);
	const char *message;
	assert_int_equal(json_get_string(json, "message", NULL, &message, NULL), SM_OK);
	assert_string_equal(message, "a \"message\" of two lines");
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_one_line),
		cmocka_unit_test(json_lines_are_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
