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

static void points_are_hosts_and_ports(void **state)
{
	char host[256], name[300];
	uint16_t port;
	const struct {
		const char *text, *host;
		uint16_t port_default, port;
	} good[] = {{"db-1.example:9043", "db-1.example", 0, 9043},
		    {"a", "a", 9042, 9042},
		    {"[::1]:7000", "::1", 0, 7000},
		    {"[fe80::1]", "fe80::1", 9042, 9042},
		    {"127.0.0.1:65535", "127.0.0.1", 1, 65535}};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(address_point(good[i].text, strlen(good[i].text), good[i].port_default, host, &port));
		assert_string_equal(host, good[i].host);
		assert_int_equal(port, good[i].port);
	}
	const char *const bad[] = {"",       ":1",          "a:",    "a:0",    "a:65536", "a:x",     "a:000001", "a:+1",
				   "a: 1",   "a:1x",        "a b:1", "a:1:2",  "[::1",    "[]:1",    "[::1]x:1", "::1:1",
				   "[::1:1", "[127.0.0.1]", "[h]:1", "[::1]1", "a/x:1",   "[:::]:1", "[a.b-c]:1"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (address_point(bad[i], strlen(bad[i]), 9042, host, &port))
			fail_msg("'%s' is taken", bad[i]);
	assert_false(address_point("a", 1, 0, host, &port));
	memset(name, 'n', sizeof name);
	assert_false(address_point(name, 256, 1, host, &port));
	assert_true(address_point(name, 255, 1, host, &port));
}

static void points_are_written_and_their_hosts_taken_back(void **state)
{
	const char *const points[][3] = {
		{"127.0.0.1", "127.0.0.1:9042", "127.0.0.1"}, {"::1", "[::1]:9042", "::1"}, {"db", "db:9042", "db"}};
	char text[64], host[64];
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		assert_string_equal(address_text(points[i][0], 9042, text, sizeof text), points[i][1]);
		assert_string_equal(address_host(text, host, sizeof host), points[i][2]);
	}
	assert_string_equal(address_host("unix", host, sizeof host), "unix");
	assert_string_equal(address_host("", host, sizeof host), "");
	assert_string_equal(address_text("a-long-name", 9042, text, 8), "a-long-");
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
		cmocka_unit_test(points_are_hosts_and_ports),
		cmocka_unit_test(points_are_written_and_their_hosts_taken_back),
		cmocka_unit_test(a_password_is_the_first_line_of_a_file_of_ones_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
