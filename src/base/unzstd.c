#include "base/unzstd.h"
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* A frame may name any window; no body of ours needs more than 8 MiB. */
#define WINDOW_LOG_MAX 23
#define STEP 65536

struct unzstd {
	ZSTD_DCtx *ctx;
	bool at_end;
};

enum sm_err unzstd_new(struct unzstd **ret)
{
	struct unzstd *z = calloc(1, sizeof *z);
	if (!z || !(z->ctx = ZSTD_createDCtx())) {
		free(z);
		return SM_NO_MEMORY;
	}
	ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	z->at_end = true;
	*ret = z;
	return SM_OK;
}

void unzstd_free(struct unzstd *z)
{
	if (!z)
		return;
	ZSTD_freeDCtx(z->ctx);
	free(z);
}

bool unzstd_at_end(const struct unzstd *z)
{
	return z->at_end;
}

size_t unzstd_bytes(const struct unzstd *z)
{
	return sizeof *z + ZSTD_sizeof_DCtx(z->ctx);
}

enum sm_err unzstd_feed(struct unzstd *z, struct bytes in, size_t room, struct buf *out, size_t *ret_used)
{
	ZSTD_inBuffer from = {in.data, in.size, 0};
	enum sm_err err = SM_OK;
	while (room && !err) {
		size_t want = room < STEP ? room : STEP;
		uint8_t *p = buf_reserve(out, want);
		if (!p)
			return SM_NO_MEMORY;
		ZSTD_outBuffer to = {p, want, 0};
		bool begins = z->at_end && from.pos == from.size;
		size_t rest = begins ? 0 : ZSTD_decompressStream(z->ctx, &to, &from);
		if (begins)
			break;
		if (ZSTD_isError(rest)) {
			err = ZSTD_getErrorCode(rest) == ZSTD_error_memory_allocation ? SM_NO_MEMORY : SM_CORRUPT;
			break;
		}
		buf_commit(out, to.pos);
		room -= to.pos;
		z->at_end = rest == 0;
		if (from.pos == from.size && (z->at_end || to.pos < want))
			break;
	}
	*ret_used = from.pos;
	return err;
}
