/* Buffers: a queue of bytes, numbers, JSON strings. */
#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void bytes_leave_in_the_order_they_came(void **unused)
{
	struct buf b;
	buf_init(&b);
	uint8_t in = 0, out = 0;
	for (int i = 0; i < 20000; i++) {
		for (int k = 0; k < i % 17; k++)
			buf_u8(&b, in++);
		size_t take = (size_t)(i * 7 % 16) < buf_size(&b) ? (size_t)(i * 7 % 16) : buf_size(&b);
		for (size_t k = 0; k < take; k++)
			assert_int_equal(buf_bytes(&b).data[k], out++);
		buf_consume(&b, take);
	}
	assert_true(b.cap < 1 << 20);
	buf_done(&b);
}

static void numbers_are_big_endian_and_varints_fit(void **unused)
{
	struct buf b;
	buf_init(&b);
	buf_u8(&b, 1);
	buf_be16(&b, 0x0203);
	buf_be32(&b, 0x04050607);
	buf_be64(&b, 0x08090a0b0c0d0e0full);
	buf_uvarint(&b, 300);
	buf_varint(&b, -2);
	buf_printf(&b, "%s", "");
	buf_printf(&b, "%d", 12345);
	assert_true(bytes_equal(buf_bytes(&b), BYTES("\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\xac\2\3"
						     "12345")));
	buf_done(&b);
}

static void json_strings_are_always_valid(void **unused)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{"", "\"\""},
		{"a\"b\\c/", "\"a\\\"b\\\\c/\""},
		{"\n\t\r\x01\x1f\x7f", "\"\\n\\t\\r\\u0001\\u001f\x7f\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"a\xffz", "\"a\xef\xbf\xbdz\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc3", "\"\xef\xbf\xbd\""},
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf b;
		buf_init(&b);
		buf_json_string(&b, bytes_str(cases[i].text));
		assert_true(bytes_equal(buf_bytes(&b), bytes_str(cases[i].json)));
		buf_done(&b);
	}
}

static void a_size_that_cannot_be_fails_for_good(void **unused)
{
	struct buf b;
	buf_init(&b);
	buf_append_str(&b, "x");
	assert_null(buf_reserve(&b, SIZE_MAX / 2));
	assert_true(b.failed);
	buf_append_str(&b, "y");
	assert_true(bytes_equal(buf_bytes(&b), BYTES("x")));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_leave_in_the_order_they_came),
		cmocka_unit_test(numbers_are_big_endian_and_varints_fit),
		cmocka_unit_test(json_strings_are_always_valid),
		cmocka_unit_test(a_size_that_cannot_be_fails_for_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
