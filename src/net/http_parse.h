/* Bytes to request heads and chunked bodies, strictly by RFC 9112. Pure: no connection, no memory of its own.
 *
 * What two readers could take differently (bare LF, folded lines, lengths given twice, a length beside an encoding) is refused,
 * because that is how a request is smuggled past one of them. */
#ifndef NET_HTTP_PARSE_H
#define NET_HTTP_PARSE_H

#include "net/http.h"

/* Where the search for a head's end stands; zeroed for each request. */
struct http__scan {
	size_t at;      /* bytes looked at */
	uint32_t lines; /* whole lines so far, the request line included */
	size_t headers; /* where the request line ends */
	bool begun;     /* the empty lines before the request line are over */
	size_t skip;    /* bytes of these */
};
/* Look for the empty line that ends a head. in: everything that has come of this request, the same bytes again with more behind
 * them. Returns 0 and *ret_size 0 when there must come more; 0 and the head's size with its empty line; or a status
 * (400, 414, 431). The head begins at in.data + scan->skip. */
int http__scan_head(struct http__scan *scan, struct bytes in, size_t *ret_size);

enum http__head_flag {
	HEAD_LENGTH = 1,
	HEAD_CHUNKED = 2,
	HEAD_CLOSE = 4,
	HEAD_KEEP_ALIVE = 8,
	HEAD_CONTINUE = 16, /* Expect: 100-continue */
	HEAD_GZIP = 32,
	HEAD_CODING_UNKNOWN = 64, /* a Content-Encoding that is not known, or two: 415 */
	HEAD_ZSTD = 128,
	HEAD_AUTHORIZATION = 256,
	HEAD_STREAM = 512, /* HTTP/2: the body ends with its stream; nghttp2 holds a length that is given against it */
};
struct http__head {
	enum http_method method;
	uint8_t minor; /* of HTTP/1.x */
	unsigned flags;
	uint64_t length;     /* HEAD_LENGTH */
	struct bytes target; /* path and query, raw */
	struct bytes host;   /* of the target if it names one, else of the Host header */
	struct bytes origin, content_type;
	bool has_origin, has_content_type, has_host;
	uint32_t header_count;
	const char *why; /* with a status: what is wrong, in a few words */
};
/* Take a whole head apart: data is size bytes, without leading empty lines, with the final one; names are put into lower case in place.
 * headers: room for as many as there are lines. Returns 0 or a status (400, 417, 501, 505). */
int http__parse_head(uint8_t *data, size_t size, struct http_header *headers, struct http__head *ret_head);

/* The pieces of a head that HTTP/2 brings one by one; each returns 0 or a status. host: of the Host header. */
int http__take_method(struct http__head *head, struct bytes method);
int http__take_target(struct http__head *head, struct bytes target);
int http__take_header(struct http__head *head, const struct http_header *header, struct bytes *host);
/* After the last header. */
int http__take_end(struct http__head *head, struct bytes host);

/* A chunked body; zeroed at first. */
struct http__chunks {
	uint8_t at; /* where in the grammar */
	uint8_t digits;
	uint64_t left; /* of this chunk */
	uint32_t line; /* bytes of the present extension or trailer */
	uint32_t trailer;
};
enum http__chunk { CHUNK_MORE, CHUNK_DATA, CHUNK_END, CHUNK_BAD };
/* Go on in in. *ret_used bytes were taken; with CHUNK_DATA *ret_data is a run of the body within them. */
enum http__chunk http__chunks_next(struct http__chunks *chunks, struct bytes in, size_t *ret_used, struct bytes *ret_data);

/* Undo percent-encoding in place of out (room for in.size). plus: '+' is a space, as in queries. Returns false for a broken escape
 * or a zero byte. */
bool http__decode(struct bytes in, bool plus, uint8_t *out, size_t *ret_size);
/* The text is one of RFC 9110's tokens. */
bool http__is_token(struct bytes text);
/* ASCII without regard to case; lower is in lower case. */
bool http__same(struct bytes text, const char *lower);
/* Next member of a comma-separated list, trimmed; false at the end. Empty members are skipped. */
bool http__list_next(struct bytes *list, struct bytes *ret_member);

#endif
