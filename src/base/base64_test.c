/* RFC 4648, section 10, and what is none. */
#include "base/base64.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *const pairs[][3] = {
	{"", "", ""},
	{"f", "Zg==", "Zg"},
	{"fo", "Zm8=", "Zm8"},
	{"foo", "Zm9v", "Zm9v"},
	{"foob", "Zm9vYg==", "Zm9vYg"},
	{"fooba", "Zm9vYmE=", "Zm9vYmE"},
	{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
	{"\xfb\xff\xfe", "+//+", "-__-"},
};

static void the_rfc_s_examples_go_there_and_back(void **state)
{
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		struct buf out;
		uint8_t back[8];
		size_t size = 99;
		buf_init(&out);
		base64_append(&out, bytes_str(pairs[i][0]));
		assert_true(bytes_equal(buf_bytes(&out), bytes_str(pairs[i][1])));
		assert_true(base64_decode(buf_bytes(&out), back, strlen(pairs[i][0]), &size));
		assert_true(bytes_equal(bytes_of(back, size), bytes_str(pairs[i][0])));
		assert_true(!size || !base64_decode(buf_bytes(&out), back, size - 1, &size));
		buf_clear(&out);
		base64url_append(&out, bytes_str(pairs[i][0]));
		assert_true(bytes_equal(buf_bytes(&out), bytes_str(pairs[i][2])));
		buf_done(&out);
	}
}

static void what_is_none_is_refused(void **state)
{
	static const char *const none[] = {
		"Z", "Zg", "Zg=", "Zg===", "====", "=m9v", "Z===", "Zm9v=", "Zm 9", "Zm9v\n", "-__-", "Zg==Zg==", "Zm9\xc3"};
	uint8_t out[16];
	size_t size;
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		if (base64_decode(bytes_str(none[i]), out, sizeof out, &size))
			fail_msg("\"%s\" was taken", none[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfc_s_examples_go_there_and_back),
		cmocka_unit_test(what_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
