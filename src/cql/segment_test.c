#include "cql/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static struct buf scratch;
static const char *text;

static const uint8_t hello[] = {0x05, 0x00, 0x02, 0x19, 0x99, 0x9a, 'h', 'e', 'l', 'l', 'o', 0x74, 0x80, 0x0e, 0xb6};
static const uint8_t hello_lz4[] = {0x06, 0x00, 0x0a, 0x00, 0x04, 0x4e, 0x96, 0xfe, 0x50, 'h', 'e', 'l', 'l', 'o', 0xd9, 0x75, 0x4d, 0x1e};

static void bytes_on_the_wire_are_those_of_the_specification(void **state)
{
	struct cql_segment s;
	struct buf out;
	buf_init(&out);
	cql_segments_put(&out, false, BYTES("hello"));
	assert_int_equal(buf_size(&out), sizeof hello);
	assert_memory_equal(out.data, hello, sizeof hello);
	buf_done(&out);
	assert_int_equal(cql_segment_read(bytes_of(hello_lz4, sizeof hello_lz4), true, &scratch, &s, &text), SM_OK);
	assert_true(s.self_contained && bytes_equal(s.payload, BYTES("hello")));
	assert_int_equal(s.size, sizeof hello_lz4);
}

static void a_segment_that_is_not_whole_says_what_it_needs(void **state)
{
	struct cql_segment s;
	for (size_t n = 0; n < sizeof hello; n++) {
		assert_int_equal(cql_segment_read(bytes_of(hello, n), false, &scratch, &s, &text), SM_AGAIN);
		assert_int_equal(s.size, n < 6 ? 6 : sizeof hello);
	}
}

static void any_flipped_bit_is_noticed(void **state)
{
	struct cql_segment s;
	uint8_t bad[sizeof hello];
	for (size_t bit = 0; bit < 8 * sizeof hello; bit++) {
		memcpy(bad, hello, sizeof hello);
		bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(cql_segment_read(bytes_of(bad, sizeof bad), false, &scratch, &s, &text), SM_CORRUPT);
		assert_string_equal(text, bit < 48 ? "header" : "body");
	}
}

/* Frames of this size leave and are put together again. */
static void there_and_back(size_t size, bool lz4, bool random)
{
	struct buf in, out, back;
	struct cql_segment s = {0};
	buf_init(&in);
	buf_init(&out);
	buf_init(&back);
	for (size_t i = 0; i < size; i++)
		buf_u8(&in, random ? (uint8_t)(i * 2654435761u >> 13) : (uint8_t)(i >> 12));
	cql_segments_put(&out, lz4, buf_bytes(&in));
	for (size_t at = 0; at < buf_size(&out); at += s.size) {
		assert_int_equal(cql_segment_read(bytes_of(out.data + at, out.end - at), lz4, &scratch, &s, &text), SM_OK);
		assert_int_equal(s.self_contained, size <= CQL_SEGMENT_PAYLOAD_MAX);
		buf_append_bytes(&back, s.payload);
	}
	assert_true(bytes_equal(buf_bytes(&in), buf_bytes(&back)));
	buf_done(&in);
	buf_done(&out);
	buf_done(&back);
}

static void frames_of_any_size_go_there_and_back(void **state)
{
	static const size_t sizes[] = {1,      9, 1000, CQL_SEGMENT_PAYLOAD_MAX, CQL_SEGMENT_PAYLOAD_MAX + 1, 3 * CQL_SEGMENT_PAYLOAD_MAX,
				       1000000};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		for (int how = 0; how < 4; how++)
			there_and_back(sizes[i], how & 1, how & 2);
}

static void a_block_that_is_none_is_refused(void **state)
{
	/* Names 16 bytes, holds 5: the CRCs fit, LZ4 does not. */
	struct cql_segment s;
	struct buf out;
	buf_init(&out);
	cql_segments_put(&out, true, BYTES("hello")); /* too short to be compressed */
	assert_int_equal(cql_segment_read(buf_bytes(&out), true, &scratch, &s, &text), SM_OK);
	assert_true(bytes_equal(s.payload, BYTES("hello")));
	buf_done(&out);
	static const uint8_t bad[] = {0x05, 0x00, 0x20, 0x00, 0x04, 0xb7, 0x9f, 0xaf, 'h', 'e', 'l', 'l', 'o', 0x74, 0x80, 0x0e, 0xb6};
	assert_int_equal(cql_segment_read(bytes_of(bad, sizeof bad), true, &scratch, &s, &text), SM_INVALID);
}

static int tear_down(void **state)
{
	buf_done(&scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_on_the_wire_are_those_of_the_specification),
		cmocka_unit_test(a_segment_that_is_not_whole_says_what_it_needs),
		cmocka_unit_test(any_flipped_bit_is_noticed),
		cmocka_unit_test(frames_of_any_size_go_there_and_back),
		cmocka_unit_test(a_block_that_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
