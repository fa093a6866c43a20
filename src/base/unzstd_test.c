#include "base/unzstd.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <cmocka.h>

#define TEXT_SIZE 300000

static uint8_t text[TEXT_SIZE], packed[2 * TEXT_SIZE];

static int set_up(void **state)
{
	for (size_t i = 0; i < TEXT_SIZE; i++)
		text[i] = (uint8_t)(i * i / 97);
	return 0;
}

static size_t pack(size_t at, int window_log)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
	ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0); /* else the window is cut to the size */
	ZSTD_inBuffer in = {text, TEXT_SIZE, 0};
	ZSTD_outBuffer out = {packed + at, sizeof packed - at, 0};
	while (ZSTD_compressStream2(c, &out, &in, ZSTD_e_continue) && in.pos < in.size)
		;
	while (ZSTD_compressStream2(c, &out, &in, ZSTD_e_end))
		;
	ZSTD_freeCCtx(c);
	return out.pos;
}

/* In pieces of `step`, with room for `room` bytes at a time. */
static enum sm_err unpack(size_t size, size_t step, size_t room, struct buf *out, bool *ret_at_end)
{
	struct unzstd *z;
	enum sm_err err = SM_OK;
	assert_int_equal(unzstd_new(&z), SM_OK);
	for (size_t at = 0, used; at < size && !err; at += used) {
		size_t n = size - at < step ? size - at : step, before = buf_size(out);
		err = unzstd_feed(z, bytes_of(packed + at, n), room, out, &used);
		assert_true(buf_size(out) - before <= room && used <= n);
		if (!used && buf_size(out) == before)
			break;
	}
	for (size_t used, before = SIZE_MAX; !err && before != buf_size(out);) { /* what is still inside */
		before = buf_size(out);
		err = unzstd_feed(z, (struct bytes){0}, room, out, &used);
	}
	*ret_at_end = unzstd_at_end(z);
	unzstd_free(z);
	return err;
}

static void frames_come_out_as_they_were(void **state)
{
	static const size_t steps[] = {1, 7, 4096, SIZE_MAX}, rooms[] = {1000, 1 << 20};
	size_t size = pack(0, 20);
	size += pack(size, 20);
	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < 2; k++) {
			struct buf out;
			bool at_end;
			buf_init(&out);
			assert_int_equal(unpack(size, steps[i], rooms[k], &out, &at_end), SM_OK);
			assert_true(at_end);
			assert_int_equal(buf_size(&out), 2 * TEXT_SIZE);
			assert_memory_equal(buf_bytes(&out).data, text, TEXT_SIZE);
			assert_memory_equal(buf_bytes(&out).data + TEXT_SIZE, text, TEXT_SIZE);
			buf_done(&out);
		}
}

static void a_cut_one_is_not_at_its_end(void **state)
{
	size_t size = pack(0, 20);
	for (size_t cut = 1; cut < size; cut += size / 50 + 1) {
		struct buf out;
		bool at_end;
		buf_init(&out);
		assert_int_equal(unpack(cut, SIZE_MAX, 1 << 20, &out, &at_end), SM_OK);
		assert_false(at_end);
		buf_done(&out);
	}
}

static void what_is_none_and_large_windows_are_refused(void **state)
{
	struct buf out;
	bool at_end;
	buf_init(&out);
	memset(packed, 'x', 100);
	assert_int_equal(unpack(100, SIZE_MAX, 1 << 20, &out, &at_end), SM_CORRUPT);
	assert_int_equal(unpack(pack(0, 23), SIZE_MAX, 1 << 20, &out, &at_end), SM_OK);
	assert_int_equal(unpack(pack(0, 24), SIZE_MAX, 1 << 20, &out, &at_end), SM_CORRUPT);
	buf_done(&out);
}

static void what_a_frame_makes_it_hold_is_told(void **state)
{
	struct unzstd *z;
	struct buf out;
	size_t used;
	buf_init(&out);
	assert_int_equal(unzstd_new(&z), SM_OK);
	size_t empty = unzstd_bytes(z);
	assert_true(empty < 1 << 20);
	assert_true(pack(0, 23) > 100);
	assert_int_equal(unzstd_feed(z, bytes_of(packed, 100), 1 << 20, &out, &used), SM_OK);
	assert_true(unzstd_bytes(z) >= empty + (8 << 20));
	unzstd_free(z);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_as_they_were),
		cmocka_unit_test(a_cut_one_is_not_at_its_end),
		cmocka_unit_test(what_is_none_and_large_windows_are_refused),
		cmocka_unit_test(what_a_frame_makes_it_hold_is_told),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
