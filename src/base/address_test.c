#include "base/address.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char taken[200];

static enum sm_err take(void *arg, const char *name, const char *value, struct sm_error *reterr)
{
	if (strcmp(name, "bad") == 0)
		return sm_fail(reterr, SM_NOT_FOUND, "no setting bad");
	size_t n = strlen(taken);
	snprintf(taken + n, sizeof taken - n, "[%s:%s]", name, value);
	return SM_OK;
}

static enum sm_err settings(const char *query, struct sm_error *error)
{
	taken[0] = 0;
	return address_settings(query, take, NULL, error);
}

static void settings_are_taken_in_turn(void **state)
{
	struct sm_error error = {0};
	assert_int_equal(settings("", &error), SM_OK);
	assert_string_equal(taken, "");
	assert_int_equal(settings("a=1&&b=x%26y%3d=z&c=", &error), SM_OK);
	assert_string_equal(taken, "[a:1][b:x&y==z][c:]");
	assert_int_equal(settings("a=1&bad=2&b=3", &error), SM_NOT_FOUND);
	assert_string_equal(taken, "[a:1]");
	static const char *const wrong[] = {"a", "a=%", "a=%2", "a=%zz", "a=%00"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_int_equal(settings(wrong[i], &error), SM_INVALID);
		assert_non_null(strstr(error.text, "'a' in the address"));
	}
}

static void a_password_is_the_first_line_of_a_file_of_ones_own(void **state)
{
	char path[] = "/tmp/smack-address-XXXXXX", out[16];
	struct sm_error error = {0};
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "secret\nmore", 11), 11);
	close(fd);
	assert_int_equal(address_password("password.file", path, out, sizeof out, &error), SM_OK);
	assert_string_equal(out, "secret");
	assert_int_not_equal(address_password("password.file", path, out, 8, &error), SM_OK);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(address_password("password.file", path, out, sizeof out, &error), SM_DENIED);
	assert_non_null(strstr(error.text, "chmod 600"));
	unlink(path);
	assert_int_not_equal(address_password("password.file", path, out, sizeof out, &error), SM_OK);
	assert_non_null(strstr(error.text, "password.file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_taken_in_turn),
		cmocka_unit_test(a_password_is_the_first_line_of_a_file_of_ones_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
