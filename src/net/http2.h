/* An HTTP/2 session of a server (RFC 9113): frames and streams, by libnghttp2, of which nobody but http2.c knows. Pure: bytes in, bytes
 * out; no connection, no requests. What the ops do is called from within http2_feed and http2_pump, and may call everything here but
 * http2_free. */
#ifndef NET_HTTP2_H
#define NET_HTTP2_H

#include "base/bytes.h"
#include "net/http_limits.h"
#include <smack/error.h>

struct http2;
struct http2_field {
	struct bytes name, value; /* name in lower case */
};
/* stream: its number. user: what open gave back. */
struct http2_ops {
	/* A request begins. NULL: it is refused (REFUSED_STREAM), which the client may send again. */
	void *(*open)(void *arg, int32_t stream);
	/* A line of its head, the pseudo ones first (":path"); borrowed. nghttp2 holds them to RFC 9113 8. */
	void (*field)(void *arg, void *user, struct bytes name, struct bytes value);
	/* The head is whole. last: there is no body. */
	void (*head)(void *arg, void *user, bool last);
	/* A piece of the body; borrowed. http2_took gives the sender room for as much again. */
	void (*data)(void *arg, void *user, struct bytes piece);
	/* The body is whole. */
	void (*end)(void *arg, void *user);
	/* The stream is over; user is not used any more. Returns whether its answer has left as a whole. */
	bool (*close)(void *arg, void *user);
	/* More of the answer's body: up to room bytes. 0 and not *ret_last: http2_resume tells when there is more. */
	size_t (*answer)(void *arg, void *user, uint8_t *out, size_t room, bool *ret_last);
	/* Bytes to the peer; borrowed. full: not now, http2_pump is called again. */
	void (*write)(void *arg, struct bytes data);
	bool (*full)(void *arg);
};
/* NULL: no memory. ops and arg outlive it. */
struct http2 *http2_new(const struct http2_ops *ops, void *arg);
/* Streams that are open are not closed by ops. NULL is allowed. */
void http2_free(struct http2 *session);
/* Bytes from the peer, all of which are taken; now_ms: any clock. What is wrong is answered with RST_STREAM or GOAWAY by the next pump.
 * Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err http2_feed(struct http2 *session, struct bytes in, uint64_t now_ms);
/* Write what is to be written. Does nothing within another call. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err http2_pump(struct http2 *session);
/* Nothing more is read or written: the connection ends. */
bool http2_over(const struct http2 *session);
/* The client's SETTINGS have come: it speaks HTTP/2. */
bool http2_greeted(const struct http2 *session);

/* Size bytes of DATA were taken: of the connection's window, or of the stream's too. */
void http2_took_of_conn(struct http2 *session, size_t size);
void http2_took_of_stream(struct http2 *session, int32_t stream, size_t size);
/* 100 (Continue). */
void http2_continue(struct http2 *session, int32_t stream);
/* The answer; user is what ops->answer is called with. */
SM_MUST_CHECK enum sm_err http2_answer(struct http2 *session, int32_t stream, const struct http2_field *fields, size_t count, bool has_body,
				       void *user);
void http2_resume(struct http2 *session, int32_t stream);
/* What has not come of a request that is answered is not wanted (RFC 9113 8.1: RST_STREAM with NO_ERROR). */
void http2_unwanted(struct http2 *session, int32_t stream);
/* The request will not be answered (CANCEL). */
void http2_cancel(struct http2 *session, int32_t stream);
/* GOAWAY: no new requests; those that are there are answered. Ones that are on their way still count until the client knows (it answers a
 * PING); at_once: they do not, and it may send them again elsewhere. */
void http2_drain(struct http2 *session, bool at_once);
/* GOAWAY, and http2_over when it is written. calm: because of what the peer does (ENHANCE_YOUR_CALM). */
void http2_end(struct http2 *session, bool calm);

#endif
