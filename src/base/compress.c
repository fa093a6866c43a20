/* gzip: RFC 1952 by zlib. Snappy: raw, or in the framing of snappy-java ("xerial"): 16 bytes of header, then blocks of
 * [u32 be size][raw snappy]. LZ4: the frame format. zstd: RFC 8878. */
#include "base/compress.h"
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

const char *codec_name(enum codec codec)
{
	static const char *const names[CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};
	return (unsigned)codec < CODEC_COUNT ? names[codec] : "?";
}

/* ---- gzip ---- */

struct gunzip {
	z_stream z;
	bool at_end; /* nothing of a member has been seen since the last one ended */
};
struct gzip {
	z_stream z;
};

enum sm_err gunzip_new(struct gunzip **ret)
{
	struct gunzip *g = calloc(1, sizeof *g);
	if (!g)
		return SM_NO_MEMORY;
	if (inflateInit2(&g->z, 15 + 16) != Z_OK) {
		free(g);
		return SM_NO_MEMORY;
	}
	g->at_end = true;
	*ret = g;
	return SM_OK;
}

void gunzip_free(struct gunzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

bool gunzip_at_end(const struct gunzip *g)
{
	return g->at_end;
}

#define STEP 65536

enum sm_err gunzip_feed(struct gunzip *g, struct bytes in, size_t room, struct buf *out, size_t *ret_used)
{
	size_t used = 0;
	enum sm_err err = SM_OK;
	if (in.size > 1u << 30)
		in.size = 1u << 30;
	g->z.next_in = (Bytef *)(uintptr_t)in.data;
	g->z.avail_in = (uInt)in.size;
	for (;;) {
		size_t want = room < STEP ? room : STEP;
		if (!want)
			break;
		uint8_t *p = buf_reserve(out, want);
		if (!p) {
			err = SM_NO_MEMORY;
			break;
		}
		g->z.next_out = p;
		g->z.avail_out = (uInt)want;
		if (g->z.avail_in)
			g->at_end = false;
		int z = inflate(&g->z, Z_NO_FLUSH);
		size_t made = want - g->z.avail_out;
		buf_commit(out, made);
		room -= made;
		if (z == Z_STREAM_END) {
			inflateReset(&g->z);
			g->at_end = true;
			if (!g->z.avail_in)
				break;
			continue; /* another member follows */
		}
		if (z == Z_BUF_ERROR && !made && !g->z.avail_in)
			break; /* wants more input */
		if (z != Z_OK && z != Z_BUF_ERROR) {
			err = z == Z_MEM_ERROR ? SM_NO_MEMORY : SM_CORRUPT;
			break;
		}
		if (!g->z.avail_in && g->z.avail_out)
			break;
	}
	used = in.size - g->z.avail_in;
	*ret_used = used;
	return err;
}

enum sm_err gzip_new(int level, struct gzip **ret)
{
	struct gzip *g = calloc(1, sizeof *g);
	if (!g)
		return SM_NO_MEMORY;
	if (deflateInit2(&g->z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return SM_NO_MEMORY;
	}
	*ret = g;
	return SM_OK;
}

void gzip_free(struct gzip *g)
{
	if (!g)
		return;
	deflateEnd(&g->z);
	free(g);
}

enum sm_err gzip_feed(struct gzip *g, struct bytes in, bool finish, struct buf *out)
{
	do {
		size_t piece = in.size < (1u << 30) ? in.size : 1u << 30;
		g->z.next_in = (Bytef *)(uintptr_t)in.data;
		g->z.avail_in = (uInt)piece;
		int flush = finish && piece == in.size ? Z_FINISH : Z_NO_FLUSH, z;
		do {
			uint8_t *p = buf_reserve(out, STEP);
			if (!p)
				return SM_NO_MEMORY;
			g->z.next_out = p;
			g->z.avail_out = STEP;
			z = deflate(&g->z, flush);
			buf_commit(out, STEP - g->z.avail_out);
		} while (g->z.avail_out == 0 || (flush == Z_FINISH && z == Z_OK));
		in.data = in.size ? in.data + piece : in.data;
		in.size -= piece;
	} while (in.size);
	return SM_OK;
}

static enum sm_err gzip_all(int level, struct bytes in, struct buf *out)
{
	struct gzip *g;
	enum sm_err err = gzip_new(level, &g);
	if (err)
		return err;
	err = gzip_feed(g, in, true, out);
	gzip_free(g);
	return err;
}

static enum sm_err gunzip_all(struct bytes in, size_t size_max, struct buf *out)
{
	struct gunzip *g;
	enum sm_err err = gunzip_new(&g);
	if (err)
		return err;
	size_t before = buf_size(out);
	while (!err) {
		size_t used, got = buf_size(out) - before;
		err = gunzip_feed(g, in, size_max + 1 - got, out, &used);
		if (in.size) {
			in.data += used;
			in.size -= used;
		}
		if (!err && buf_size(out) - before > size_max)
			err = SM_TOO_LARGE;
		if (!in.size)
			break;
	}
	if (!err && !g->at_end)
		err = SM_CORRUPT;
	gunzip_free(g);
	return err;
}

/* ---- snappy ---- */

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
#define XERIAL_HEADER 16
#define XERIAL_BLOCK 32768

static enum sm_err snappy_out(struct bytes in, struct buf *out)
{
	buf_append(out, xerial_magic, 8);
	buf_be32(out, 1); /* version */
	buf_be32(out, 1); /* oldest version that can read it */
	for (size_t at = 0; at < in.size; at += XERIAL_BLOCK) {
		size_t n = in.size - at < XERIAL_BLOCK ? in.size - at : XERIAL_BLOCK, made = snappy_max_compressed_length(n);
		uint8_t *p = buf_reserve(out, 4 + made);
		if (!p)
			return SM_NO_MEMORY;
		if (snappy_compress((const char *)in.data + at, n, (char *)p + 4, &made) != SNAPPY_OK)
			return SM_FAILED;
		be32_put(p, (uint32_t)made);
		buf_commit(out, 4 + made);
	}
	return out->failed ? SM_NO_MEMORY : SM_OK;
}

static enum sm_err snappy_block(struct bytes in, size_t room, struct buf *out)
{
	size_t size;
	if (snappy_uncompressed_length((const char *)in.data, in.size, &size) != SNAPPY_OK)
		return SM_CORRUPT;
	if (size > room)
		return SM_TOO_LARGE;
	uint8_t *p = buf_reserve(out, size ? size : 1);
	if (!p)
		return SM_NO_MEMORY;
	if (snappy_uncompress((const char *)in.data, in.size, (char *)p, &size) != SNAPPY_OK)
		return SM_CORRUPT;
	buf_commit(out, size);
	return SM_OK;
}

static enum sm_err snappy_in(struct bytes in, size_t size_max, struct buf *out)
{
	if (in.size < XERIAL_HEADER || memcmp(in.data, xerial_magic, 8) != 0)
		return snappy_block(in, size_max, out);
	struct byte_reader r = byte_reader(in);
	reader_take(&r, XERIAL_HEADER);
	size_t before = buf_size(out);
	while (reader_left(&r)) {
		uint32_t size = reader_be32(&r);
		const uint8_t *p = reader_take(&r, size);
		if (r.failed)
			return SM_CORRUPT;
		enum sm_err err = snappy_block(bytes_of(p, size), size_max - (buf_size(out) - before), out);
		if (err)
			return err;
	}
	return SM_OK;
}

/* ---- LZ4 ---- */

#define LZ4_ROOM_MIN (64u << 10)
#define LZ4_ROOM_MAX (4u << 20)

static enum sm_err lz4_out(int level, struct bytes in, struct buf *out)
{
	LZ4F_preferences_t how = {.compressionLevel = level};
	size_t bound = LZ4F_compressFrameBound(in.size, &how);
	uint8_t *p = buf_reserve(out, bound);
	if (!p)
		return SM_NO_MEMORY;
	size_t n = LZ4F_compressFrame(p, bound, in.data, in.size, &how);
	if (LZ4F_isError(n))
		return SM_FAILED;
	buf_commit(out, n);
	return SM_OK;
}

static enum sm_err lz4_in(struct bytes in, size_t size_max, struct buf *out)
{
	LZ4F_dctx *ctx;
	if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
		return SM_NO_MEMORY;
	enum sm_err err = SM_OK;
	size_t before = buf_size(out), hint = 1;
	while (in.size && !err) {
		/* Room for many blocks: what does not fit goes through a copy inside of the library. */
		size_t made = in.size < LZ4_ROOM_MAX / 4 ? in.size * 4 + LZ4_ROOM_MIN : LZ4_ROOM_MAX, used = in.size;
		uint8_t *p = buf_reserve(out, made);
		if (!p) {
			err = SM_NO_MEMORY;
			break;
		}
		hint = LZ4F_decompress(ctx, p, &made, in.data, &used, NULL);
		if (LZ4F_isError(hint)) {
			err = SM_CORRUPT;
			break;
		}
		buf_commit(out, made);
		in.data += used;
		in.size -= used;
		if (buf_size(out) - before > size_max)
			err = SM_TOO_LARGE;
		else if (!used && !made)
			err = SM_CORRUPT;
	}
	/* What is still inside of the context when the input has been read. */
	while (!err && hint) {
		uint8_t *p = buf_reserve(out, STEP);
		size_t made = STEP, used = 0;
		if (!p) {
			err = SM_NO_MEMORY;
			break;
		}
		hint = LZ4F_decompress(ctx, p, &made, in.data, &used, NULL);
		if (LZ4F_isError(hint) || !made) {
			err = SM_CORRUPT;
			break;
		}
		buf_commit(out, made);
		if (buf_size(out) - before > size_max)
			err = SM_TOO_LARGE;
	}
	LZ4F_freeDecompressionContext(ctx);
	return err;
}

/* ---- zstd ---- */

static enum sm_err zstd_out(int level, struct bytes in, struct buf *out)
{
	size_t bound = ZSTD_compressBound(in.size);
	uint8_t *p = buf_reserve(out, bound);
	if (!p)
		return SM_NO_MEMORY;
	size_t n = ZSTD_compress(p, bound, in.data, in.size, level);
	if (ZSTD_isError(n))
		return SM_FAILED;
	buf_commit(out, n);
	return SM_OK;
}

static enum sm_err zstd_in(struct bytes in, size_t size_max, struct buf *out)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	if (!ctx)
		return SM_NO_MEMORY;
	/* A frame may name any window; no batch of ours needs more than 8 MiB. */
	ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, 23);
	enum sm_err err = SM_OK;
	size_t before = buf_size(out), rest = 1;
	ZSTD_inBuffer from = {in.data, in.size, 0};
	while (!err) {
		uint8_t *p = buf_reserve(out, STEP);
		if (!p) {
			err = SM_NO_MEMORY;
			break;
		}
		ZSTD_outBuffer to = {p, STEP, 0};
		rest = ZSTD_decompressStream(ctx, &to, &from);
		if (ZSTD_isError(rest)) {
			err = SM_CORRUPT;
			break;
		}
		buf_commit(out, to.pos);
		if (buf_size(out) - before > size_max)
			err = SM_TOO_LARGE;
		else if (from.pos == from.size && (rest == 0 || to.pos < to.size)) /* asked again, it would begin a frame */
			break;
	}
	if (!err && rest)
		err = SM_CORRUPT;
	ZSTD_freeDCtx(ctx);
	return err;
}

int codec_level_default(enum codec codec)
{
	return codec == CODEC_GZIP ? 6 : codec == CODEC_ZSTD ? 3 : 0;
}

enum sm_err codec_compress_level(enum codec codec, int level, struct bytes in, struct buf *out)
{
	switch (codec) {
	case CODEC_NONE: buf_append_bytes(out, in); return out->failed ? SM_NO_MEMORY : SM_OK;
	case CODEC_GZIP: return gzip_all(level, in, out);
	case CODEC_SNAPPY: return snappy_out(in, out);
	case CODEC_LZ4: return lz4_out(level, in, out);
	case CODEC_ZSTD: return zstd_out(level, in, out);
	}
	return SM_UNSUPPORTED;
}

enum sm_err codec_compress(enum codec codec, struct bytes in, struct buf *out)
{
	return codec_compress_level(codec, codec_level_default(codec), in, out);
}

enum sm_err codec_decompress(enum codec codec, struct bytes in, size_t size_max, struct buf *out)
{
	switch (codec) {
	case CODEC_NONE:
		if (in.size > size_max)
			return SM_TOO_LARGE;
		buf_append_bytes(out, in);
		return out->failed ? SM_NO_MEMORY : SM_OK;
	case CODEC_GZIP: return gunzip_all(in, size_max, out);
	case CODEC_SNAPPY: return snappy_in(in, size_max, out);
	case CODEC_LZ4: return lz4_in(in, size_max, out);
	case CODEC_ZSTD: return zstd_in(in, size_max, out);
	}
	return SM_UNSUPPORTED;
}
