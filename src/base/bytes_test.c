/* Readers stop at the end; varints are those of protocol buffers. */
#include "base/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void varints_come_back_and_have_their_size(void **unused)
{
	int64_t values[] = {0,     1,    -1,        63,        -64,       64,        -65,       8191,
			    -8192, 8192, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1ll << 56, -(1ll << 56)};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		uint8_t out[10];
		size_t n = varint_put(out, values[i]);
		assert_int_equal(n, varint_size(values[i]));
		struct byte_reader r = byte_reader(bytes_of(out, n));
		assert_true(reader_varint(&r) == values[i]);
		assert_false(r.failed);
		assert_int_equal(reader_left(&r), 0);
		for (size_t short_by = 1; short_by <= n; short_by++) {
			r = byte_reader(bytes_of(out, n - short_by));
			assert_int_equal(reader_varint(&r), 0);
			assert_true(r.failed);
		}
	}
	uint8_t out[10];
	assert_int_equal(varint_put(out, -1), 1);
	assert_int_equal(out[0], 1);
	assert_int_equal(uvarint_put(out, 300), 2);
	assert_memory_equal(out, "\xac\x02", 2);
	assert_int_equal(uvarint_put(out, UINT64_MAX), 10);
}

static void too_long_a_varint_is_refused(void **unused)
{
	static const char *const cases[] = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
					    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
	for (size_t i = 0; i < 3; i++) {
		struct byte_reader r = byte_reader(bytes_str(cases[i]));
		assert_int_equal(reader_uvarint(&r), 0);
		assert_true(r.failed);
	}
	struct byte_reader r = byte_reader(BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
	assert_true(reader_uvarint(&r) == UINT64_MAX && !r.failed);
}

static void a_reader_never_passes_the_end(void **unused)
{
	static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct byte_reader r = byte_reader(bytes_of(data, 15));
	assert_int_equal(reader_u8(&r), 1);
	assert_int_equal(reader_be16(&r), 0x0203);
	assert_int_equal(reader_be32(&r), 0x04050607);
	assert_true(reader_be64(&r) == 0x08090a0b0c0d0e0full);
	assert_false(r.failed);
	assert_int_equal(reader_u8(&r), 0);
	assert_true(r.failed);
	r = byte_reader(bytes_of(data, 3));
	assert_int_equal(reader_be32(&r), 0);
	assert_int_equal(reader_u8(&r), 0); /* failed stays */
	assert_null(reader_take(&r, 0));
	assert_int_equal(reader_left(&r), 3);
	r = byte_reader(bytes_of(data, 3));
	assert_null(reader_take(&r, SIZE_MAX));
}

static void bytes_compare_as_memcmp_then_by_size(void **unused)
{
	assert_int_equal(bytes_compare(BYTES("a"), BYTES("a")), 0);
	assert_true(bytes_compare(BYTES("a"), BYTES("ab")) < 0);
	assert_true(bytes_compare(BYTES("b"), BYTES("ab")) > 0);
	assert_true(bytes_compare(BYTES("\xff"), BYTES("a")) > 0);
	assert_true(bytes_compare(bytes_of(NULL, 0), BYTES("a")) < 0);
	assert_int_equal(bytes_compare(bytes_of(NULL, 0), BYTES("")), 0);
	assert_true(bytes_equal(bytes_of(NULL, 0), BYTES("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(varints_come_back_and_have_their_size),
		cmocka_unit_test(too_long_a_varint_is_refused),
		cmocka_unit_test(a_reader_never_passes_the_end),
		cmocka_unit_test(bytes_compare_as_memcmp_then_by_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
