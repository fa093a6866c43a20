/* HTTP/2 inside: heads (http2_head.c), requests on their streams (http2_conn.c, http2_answer.c). */
#ifndef NET_HTTP2_INTERNAL_H
#define NET_HTTP2_INTERNAL_H

#include "net/http2.h"
#include "net/http_internal.h"

/* Zeroed at first. */
struct http2__head {
	struct http__head head;
	struct http_header *headers; /* in the arena */
	struct bytes method, path, authority, host;
	size_t bytes; /* of all lines */
	int status;   /* what is wrong already */
};
void http2__head_field(struct http2__head *head, struct arena *arena, struct bytes name, struct bytes value);
/* All lines have come; last: no body follows. Returns 0 or a status (400, 414, 417, 431, 500, 501); head.why says why. */
int http2__head_end(struct http2__head *head, struct arena *arena, bool last);

/* Where a request stands. */
enum http2__at {
	AT_HEAD,     /* its lines come */
	AT_QUEUED,   /* its sender is asked for after another's */
	AT_CHECKING, /* its password is looked at */
	AT_BODY,
	AT_READY,   /* whole; its handler has it when answers have left */
	AT_HANDLER, /* has it */
	AT_ANSWER,  /* is queued, or leaves */
};
struct http2__stream {
	int32_t id;
	enum http2__at at;
	struct http2__head lines;
	struct http__body body;
	struct buf parked; /* DATA that has come before it may be taken */
	size_t owed;       /* of it, what the stream's window is still to open for */
	size_t held;       /* bytes of the body, as sent and as undone, and of its decoder, that are counted */
	size_t decoder;    /* the decoder's of them */
	bool ended;        /* the peer has sent all */
	bool last;         /* the answer has no more than it has now */
	bool sent;         /* all of it has left */
	bool closed;       /* the stream is over; the request is still there because its password is checked */
	uint64_t since_ms, body_ms;
	struct http__events_link *events;
};
struct http2__conn {
	struct http2 *session;
	uint32_t depth; /* of calls; what there is to do is done when the outermost ends */
	bool waiting;   /* a request may go on when something gets less */
	bool draining;
	bool finished;     /* the connection ends when all is written */
	size_t held;       /* bodies of all requests, */
	size_t held_whole; /* and of those that are whole */
	size_t unsent;     /* bytes of answers */
	uint64_t sent_ms;  /* when some of them left */
	uint64_t held_ms;  /* since when nothing is read; 0: it is */
	struct http__request *checking;
};

/* Everything that may lead to frames stands between these. After leave a request may be gone, and the connection be finishing. */
void http2__enter(struct http__conn *conn);
void http2__leave(struct http__conn *conn);
/* Let go of the request's body. */
void http2__drop_body(struct http__request *request);

/* http2_answer.c */
void http2__answer(struct http__request *request, int status, const char *content_type, struct bytes body);
size_t http2__read_answer(void *arg, void *user, uint8_t *out, size_t room, bool *ret_last);
void http2__subscribed(struct http__request *request);
void http2__stream(struct http__request *request, struct http__events_link *link);
void http2__event(struct http__conn *conn, uint64_t id, struct http__event *event);
/* Event streams end with what they have. */
void http2__end_events(struct http__conn *conn);

#endif
