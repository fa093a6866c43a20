/* Errors: names, texts, numbers of the system. */
#include <smack/error.h>
#include <errno.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void each_error_has_a_name_and_a_text(void **unused)
{
	assert_string_equal(sm_err_name(SM_OK), "SM_OK");
	assert_string_equal(sm_err_name(SM_NOT_FOUND), "SM_NOT_FOUND");
	assert_string_equal(sm_err_text(SM_NOT_FOUND), "not found");
	assert_string_equal(sm_err_name((enum sm_err)12345), "SM_?");
	assert_non_null(sm_err_text((enum sm_err)12345));
}

static void a_failure_is_filled_in_and_returned(void **unused)
{
	struct sm_error error;
	assert_int_equal(sm_fail(&error, SM_INVALID, "%s: %d", "what", 7), SM_INVALID);
	assert_string_equal(error.text, "what: 7");
	assert_int_equal(error.code, SM_INVALID);
	assert_int_equal(error.os_errno, 0);
	assert_int_equal(sm_fail(NULL, SM_FULL, "x"), SM_FULL);
	assert_int_equal(sm_fail(&error, SM_FAILED, "again: %s", error.text), SM_FAILED); /* of its own text */
	assert_string_equal(error.text, "again: what: 7");
	char large[2000];
	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = 0;
	assert_int_equal(sm_fail(&error, SM_FAILED, "%s", large), SM_FAILED);
	assert_int_equal(strlen(error.text), sizeof error.text - 1);
	sm_error_prefix(&error, "%s", "p");
	assert_true(strncmp(error.text, "p: xxx", 6) == 0 && strlen(error.text) < sizeof error.text);
	sm_error_prefix(NULL, "p");
}

static void system_errors_are_classified(void **unused)
{
	static const struct {
		int number;
		enum sm_err err;
	} cases[] = {{ENOSPC, SM_NO_SPACE}, {EMFILE, SM_NO_FILES}, {ENOMEM, SM_NO_MEMORY}, {ENOENT, SM_NOT_FOUND},
		     {EEXIST, SM_EXISTS},   {EACCES, SM_DENIED},   {EADDRINUSE, SM_BUSY},  {ECONNREFUSED, SM_UNAVAILABLE},
		     {EIO, SM_IO},          {EBADF, SM_IO}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct sm_error error;
		assert_int_equal(sm_fail_errno(&error, cases[i].number, "cannot do %d", 1), cases[i].err);
		assert_int_equal(error.os_errno, cases[i].number);
		assert_true(strncmp(error.text, "cannot do 1: ", 13) == 0);
		assert_int_equal(sm_fail_errno(NULL, cases[i].number, "x"), cases[i].err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_error_has_a_name_and_a_text),
		cmocka_unit_test(a_failure_is_filled_in_and_returned),
		cmocka_unit_test(system_errors_are_classified),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
