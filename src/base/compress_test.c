/* Codecs: back and forth, foreign framings, bombs, damage. */
#include "base/compress.h"
#include <zlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static struct bytes sample(size_t size)
{
	static uint8_t data[300000];
	for (size_t i = 0; i < size; i++)
		data[i] = i % 97 == 0 ? (uint8_t)(i >> 8) : (uint8_t) "some text that repeats "[i % 23];
	return bytes_of(data, size);
}

static void what_was_compressed_comes_back(void **unused)
{
	static const size_t sizes[] = {0, 1, 100, 32768, 32769, 65536, 131072, 300000};
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			struct buf packed, out;
			buf_init(&packed);
			buf_init(&out);
			struct bytes in = sample(sizes[i]);
			buf_append_str(&out, "before"); /* both append */
			assert_int_equal(codec_compress((enum codec)codec, in, &packed), SM_OK);
			if (codec && in.size > 100)
				assert_true(buf_size(&packed) < in.size / 2);
			assert_int_equal(codec_decompress((enum codec)codec, buf_bytes(&packed), in.size, &out), SM_OK);
			assert_int_equal(buf_size(&out), in.size + 6);
			assert_true(bytes_equal(bytes_of(buf_bytes(&out).data + 6, in.size), in));
			buf_clear(&out);
			if (in.size)
				assert_int_equal(codec_decompress((enum codec)codec, buf_bytes(&packed), in.size - 1, &out), SM_TOO_LARGE);
			buf_done(&packed);
			buf_done(&out);
		}
	}
}

static void a_bomb_is_stopped_at_the_bound(void **unused)
{
	uint8_t *zeros = calloc(1, 64 << 20);
	for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
		struct buf packed, out;
		buf_init(&packed);
		buf_init(&out);
		assert_int_equal(codec_compress((enum codec)codec, bytes_of(zeros, 64 << 20), &packed), SM_OK);
		assert_int_equal(codec_decompress((enum codec)codec, buf_bytes(&packed), 1 << 20, &out), SM_TOO_LARGE);
		assert_true(out.cap <= 4 << 20);
		buf_done(&packed);
		buf_done(&out);
	}
	free(zeros);
	/* raw snappy that claims 4 GiB */
	struct buf out;
	buf_init(&out);
	assert_int_equal(codec_decompress(CODEC_SNAPPY,
					  BYTES("\xff\xff\xff\xff\x0f"
						"abc"),
					  1 << 20, &out),
			 SM_TOO_LARGE);
	buf_done(&out);
}

static void cut_and_damaged_input_is_an_error(void **unused)
{
	for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
		struct buf packed, out;
		buf_init(&packed);
		buf_init(&out);
		struct bytes in = sample(20000);
		assert_int_equal(codec_compress((enum codec)codec, in, &packed), SM_OK);
		struct bytes p = buf_bytes(&packed);
		for (size_t n = 0; n < p.size; n += 1 + n / 50) {
			buf_clear(&out);
			enum sm_err err = codec_decompress((enum codec)codec, bytes_of(p.data, n), 1 << 20, &out);
			/* Xerial framing has no end mark: after the header and after a whole block it may end. An empty gzip stream has no
			 * member. */
			bool may_end = (codec == CODEC_SNAPPY && n == 16) || (codec == CODEC_GZIP && n == 0);
			if (err != SM_CORRUPT && !(may_end && err == SM_OK))
				fail_msg("%s cut to %zu of %zu: %s", codec_name((enum codec)codec), n, p.size, sm_err_name(err));
		}
		for (size_t n = 0; n < p.size; n += 1 + n / 20) { /* no crash; most damage is seen */
			packed.data[packed.start + n] ^= 0x55;
			buf_clear(&out);
			enum sm_err err = codec_decompress((enum codec)codec, p, 1 << 20, &out);
			assert_true(err == SM_OK || err == SM_CORRUPT || err == SM_TOO_LARGE);
			packed.data[packed.start + n] ^= 0x55;
		}
		buf_done(&packed);
		buf_done(&out);
	}
}

static void raw_snappy_is_read_too(void **unused)
{
	struct buf out;
	buf_init(&out);
	assert_int_equal(codec_decompress(CODEC_SNAPPY, BYTES("\x05\x10hello"), 100, &out), SM_OK);
	assert_true(bytes_equal(buf_bytes(&out), BYTES("hello")));
	buf_done(&out);
}

static void gzip_streams_come_in_pieces_and_members(void **unused)
{
	struct buf packed, out;
	buf_init(&packed);
	buf_init(&out);
	struct bytes in = sample(100000);
	struct gzip *g;
	for (int member = 0; member < 3; member++) {
		assert_int_equal(gzip_new(1 + member, &g), SM_OK);
		for (size_t at = 0; at < in.size; at += 7777)
			assert_int_equal(gzip_feed(g, bytes_of(in.data + at, in.size - at < 7777 ? in.size - at : 7777), false, &packed),
					 SM_OK);
		assert_int_equal(gzip_feed(g, bytes_of(NULL, 0), true, &packed), SM_OK);
		gzip_free(g);
	}
	struct gunzip *u;
	assert_int_equal(gunzip_new(&u), SM_OK);
	assert_true(gunzip_at_end(u));
	struct bytes p = buf_bytes(&packed);
	while (p.size) {
		size_t used, piece = p.size < 501 ? p.size : 501, before = buf_size(&out);
		assert_int_equal(gunzip_feed(u, bytes_of(p.data, piece), 1000, &out, &used), SM_OK);
		assert_true(buf_size(&out) - before <= 1000);
		assert_true(used || buf_size(&out) > before);
		p.data += used;
		p.size -= used;
	}
	for (size_t used, before = 0; before != buf_size(&out);) { /* what the room held back */
		before = buf_size(&out);
		assert_int_equal(gunzip_feed(u, bytes_of(NULL, 0), 1000, &out, &used), SM_OK);
	}
	assert_true(gunzip_at_end(u));
	assert_int_equal(buf_size(&out), 3 * in.size);
	for (size_t i = 0; i < 3; i++)
		assert_true(bytes_equal(bytes_of(buf_bytes(&out).data + i * in.size, in.size), in));
	size_t used;
	assert_int_equal(gunzip_feed(u, BYTES("this is no gzip"), 1000, &out, &used), SM_CORRUPT);
	gunzip_free(u);
	buf_done(&packed);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_compressed_comes_back),          cmocka_unit_test(a_bomb_is_stopped_at_the_bound),
		cmocka_unit_test(cut_and_damaged_input_is_an_error),       cmocka_unit_test(raw_snappy_is_read_too),
		cmocka_unit_test(gzip_streams_come_in_pieces_and_members),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
