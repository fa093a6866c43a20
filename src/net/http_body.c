/* Bodies: by length, in chunks or to the end of a stream, gzip or zstd undone on the way, bounded as sent and as undone. A bomb stops at
 * HTTP_BODY_MAX bytes of output, whatever it promises. */
#include "net/http_internal.h"

int http__body_begin(struct http__body *body, const struct http__head *head)
{
	*body = (struct http__body){0};
	if (head->flags & HEAD_STREAM) {
		body->kind = BODY_STREAM;
	} else if (head->flags & HEAD_CHUNKED) {
		body->kind = BODY_CHUNKED;
	} else if (head->length) {
		body->kind = BODY_LENGTH;
		body->left = head->length;
	}
	if (body->kind != BODY_NONE && (head->flags & HEAD_CODING_UNKNOWN))
		return 415;
	if (head->length > HTTP_BODY_MAX)
		return 413;
	if (body->kind != BODY_NONE && (head->flags & HEAD_GZIP) && gunzip_new(&body->gunzip))
		return 500;
	if (body->kind != BODY_NONE && (head->flags & HEAD_ZSTD) && unzstd_new(&body->unzstd))
		return 500;
	return 0;
}

void http__body_discard(struct http__body *body)
{
	gunzip_free(body->gunzip);
	unzstd_free(body->unzstd);
	body->gunzip = NULL;
	body->unzstd = NULL;
	body->discard = true;
}

void http__body_done(struct http__body *body)
{
	http__body_discard(body);
	body->kind = BODY_NONE;
}

bool http__body_is_coded(const struct http__body *body)
{
	return body->gunzip || body->unzstd;
}

size_t http__body_decoder_bytes(const struct http__body *body)
{
	return body->unzstd ? unzstd_bytes(body->unzstd) : 0;
}

static int undo_coding(struct http__body *body, struct bytes piece, struct buf *out)
{
	while (piece.size) {
		size_t used = 0, before = buf_size(out);
		size_t room = HTTP_BODY_MAX - before;
		/* One byte more than is allowed tells a body that is just as large as it may be from one that is larger. */
		enum sm_err err = body->gunzip ? gunzip_feed(body->gunzip, piece, room + 1, out, &used)
					       : unzstd_feed(body->unzstd, piece, room + 1, out, &used);
		if (err)
			return err == SM_NO_MEMORY ? 500 : 400;
		if (buf_size(out) > HTTP_BODY_MAX)
			return 413;
		if (used == 0 && buf_size(out) == before)
			return 400;
		piece.data += used;
		piece.size -= used;
	}
	return 0;
}

/* What is known to come is not moved again and again. Only where much has come at once, so that nobody holds memory by a mere promise;
 * frames of HTTP/2 are smaller, whose bound counts what has come. */
static void make_room(const struct http__body *body, size_t coming, struct buf *out)
{
	size_t promised = coming + (size_t)body->left, most = HTTP_BODY_ROOM_TIMES * (buf_size(out) + coming);
	if (body->kind == BODY_LENGTH && coming >= HTTP_BODY_ROOM_FROM)
		buf_reserve(out, promised < most ? promised : most);
}

static int take(struct http__body *body, struct bytes piece, struct buf *out)
{
	body->size += piece.size;
	if (body->size > HTTP_BODY_MAX)
		return 413;
	if (body->discard)
		return 0;
	if (http__body_is_coded(body)) {
		int status = undo_coding(body, piece, out);
		if (status)
			return status;
	} else {
		make_room(body, piece.size, out);
		buf_append_bytes(out, piece);
	}
	return out->failed ? 500 : 0;
}

static int whole(struct http__body *body, bool *ret_whole)
{
	*ret_whole = true;
	bool open = (body->gunzip && !gunzip_at_end(body->gunzip)) || (body->unzstd && !unzstd_at_end(body->unzstd));
	return open ? 400 : 0;
}

int http__body_end(struct http__body *body)
{
	bool ended;
	return whole(body, &ended);
}

int http__body_feed(struct http__body *body, struct bytes in, struct buf *out, size_t *ret_used, bool *ret_whole)
{
	size_t at = 0;
	int status = 0;
	*ret_whole = false;
	if (body->kind == BODY_LENGTH) {
		at = in.size < body->left ? in.size : (size_t)body->left;
		body->left -= at;
		status = take(body, bytes_of(in.data, at), out);
		if (!status && body->left == 0)
			status = whole(body, ret_whole);
	}
	if (body->kind == BODY_STREAM) {
		at = in.size;
		status = take(body, in, out);
	}
	while (body->kind == BODY_CHUNKED && !status) {
		size_t used;
		struct bytes piece;
		enum http__chunk got = http__chunks_next(&body->chunks, bytes_of(in.data + at, in.size - at), &used, &piece);
		at += used;
		if (got == CHUNK_DATA)
			status = take(body, piece, out);
		else if (got == CHUNK_BAD)
			status = 400;
		else if (got == CHUNK_END)
			status = whole(body, ret_whole);
		if (got == CHUNK_MORE || got == CHUNK_END)
			break;
	}
	*ret_used = at;
	return status;
}
