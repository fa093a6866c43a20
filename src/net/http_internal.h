/* The HTTP server inside: requests under way, bodies, routes, the guard. */
#ifndef NET_HTTP_INTERNAL_H
#define NET_HTTP_INTERNAL_H

#include "base/compress.h"
#include "base/unzstd.h"
#include "net/http.h"
#include "net/http_limits.h"
#include "net/http_parse.h"
#include <pthread.h>

struct http__conn;
struct http__event;
struct http__events_link;
struct http2__conn;
struct http2__stream;
struct login;

/* ---- a request ---- */

struct http__request {
	struct http_request public; /* first: handlers have its address */
	struct http__request *next; /* of its connection, in order; of the spare ones */
	struct http__conn *conn;
	struct arena arena;
	struct bytes etag; /* of the answer */
	struct buf body;   /* a body that did not come at once */
	struct buf extra;  /* header lines of the answer */
	struct buf answer; /* of one whose turn has not come; HTTP/2: the body of its answer, what has not left */
	uint64_t id;
	size_t held; /* HTTP/1: of its memory, as far as the connection counts it */
	const struct http_route *route;
	struct http_events *events; /* counted: an event stream that begins when its turn comes */
	void (*release_events)(struct http_events *events);
	const char *principal;         /* from outside: who sends it */
	struct login *login;           /* that is to be checked before more of it is read */
	const struct http__head *head; /* while that is done */
	struct http2__stream *stream;  /* HTTP/2 */
	uint8_t minor;
	bool answered;
	bool close;         /* HTTP/1: the connection ends after the answer */
	bool keep_alive_10; /* HTTP/1.0 asked for it */
	bool wants_continue;
	bool under_way; /* the handler has it */
	bool preflight; /* a browser's question (http_cors.c), whoever sends it */
	bool cors;      /* of a page that may send it */
};
static inline struct http__request *http__request_of(struct http_request *request)
{
	return (struct http__request *)request;
}
/* What the connections of one dispatcher share. */
struct http__shared {
	uint32_t connections;
	struct http__request *spare;
	uint32_t spare_count;
	int64_t date_s;
	char date[64]; /* "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n" */
};
/* The calling dispatcher's; made for its first connection, gone with its last. NULL: out of memory. */
struct http__shared *http__shared_get(void);
void http__shared_put(struct http__shared *shared);
/* The Date line of now, 37 bytes. */
const char *http__date_line(struct http__shared *shared);
/* From the spare ones. NULL: out of memory. */
struct http__request *http__request_new(struct http__conn *conn);
void http__request_free(struct http__request *request);

/* ---- a body ---- */

enum http__body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_STREAM };
/* Zeroed: none. */
struct http__body {
	enum http__body_kind kind;
	bool discard; /* the answer is out already: the rest is read and thrown away */
	uint64_t left;
	uint64_t size; /* as sent, so far */
	struct http__chunks chunks;
	struct gunzip *gunzip;
	struct unzstd *unzstd;
};
/* Prepare for what the head announces. Returns 0 or a status (413, 415, 500). */
int http__body_begin(struct http__body *body, const struct http__head *head);
void http__body_done(struct http__body *body);
/* BODY_STREAM: its last byte was fed. Returns 0 or a status. */
int http__body_end(struct http__body *body);
/* What is to come of it is read over. */
void http__body_discard(struct http__body *body);
/* A Content-Encoding is to be undone. */
bool http__body_is_coded(const struct http__body *body);
/* Memory that this takes now, as far as the sender decides about it: up to 8 MiB of a zstd window. */
size_t http__body_decoder_bytes(const struct http__body *body);
/* Take what in has of the body: appended to out (whose own limit is HTTP_BODY_MAX). Returns 0 or a status (400, 413, 500);
 * *ret_whole tells whether it has ended. */
int http__body_feed(struct http__body *body, struct bytes in, struct buf *out, size_t *ret_used, bool *ret_whole);

/* ---- routes ---- */

struct http__routes {
	struct http__route {
		struct http_route public;
		char *pattern, *media_types;
		size_t prefix; /* bytes of the pattern before its first { or * */
	} * items;
	uint32_t count, cap;
};
/* Errors: SM_INVALID (the pattern), SM_EXISTS (a method of it is taken), SM_NO_MEMORY. */
enum sm_err http__routes_add(struct http__routes *routes, const struct http_route *route);
void http__routes_done(struct http__routes *routes);
/* Find the route of method and path. NULL: none; *ret_allowed then has the methods that the path knows (0: 404, else 405). */
const struct http_route *http__routes_find(const struct http__routes *routes, enum http_method method, struct bytes path,
					   struct bytes params[4], unsigned *ret_allowed);
/* "GET, HEAD, POST"; out has room for 64. */
void http__methods_text(unsigned methods, char *out);

/* ---- the guard ---- */

/* The host of a URL or a Host header names this server. */
bool http__guard_host(struct bytes host, uint16_t port, bool tls);
/* The Origin is this server's own. */
bool http__guard_origin(struct bytes origin, uint16_t port, bool tls);
/* The media type of a Content-Type (without its parameters) is one of the list. */
bool http__guard_media_type(struct bytes content_type, const char *media_types);

/* ---- pages of other origins (http_cors.c) ---- */

/* With the head, before a login: sets preflight, cors, and lines of the answer. */
void http__cors(struct http__request *request, const struct http__head *head);
/* Its answer depends on Origin. */
void http__cors_vary(struct http__request *request);
/* Answers preflights whose origin may. */
extern const struct http_route http__preflight;

/* ---- logins (http_login.c) ---- */

struct http__logins {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t under_way;
	struct http__known {
		uint8_t key[32]; /* SHA-256 of the credentials */
		char *principal; /* NULL: none */
		uint64_t until_ns;
	} * known;
};
enum sm_err http__logins_init(struct http__logins *logins);
/* Waits for those under way. */
void http__logins_done(struct http__logins *logins);
/* With the head: 0 (principal or login is set), or a status and why. */
int http__login_begin(struct http__request *request, const char **ret_why);
/* The request has a login: the version's login_over is called when it is checked, at the earliest at once. */
void http__login_check(struct http__request *request);
void http__login_free(struct login *login);

/* ---- what a request must pass (http_rules.c) ---- */

/* Take the target's path and query apart, once. Returns 0, or a status and why. */
int http__take_path(struct http__request *request, const struct http__head *head, const char **ret_why);
/* Who sends it is known: the guard, its route and what its body is. Returns 0 (route and body are set), or a status and why. */
int http__admit(struct http__request *request, const struct http__head *head, struct http__body *body, const char **ret_why);
/* To its handler; it may be gone afterwards. */
void http__dispatch(struct http__request *request);
/* The body did not come in time: 408, or 429 if it was not read since memory is short. */
void http__refuse_late(struct http__request *request, bool close);
/* When a body that began at begun_ms, whose last piece came at since_ms, is given up. */
uint64_t http__body_deadline(const struct http_server *server, const struct http__body *body, uint64_t begun_ms, uint64_t since_ms);

/* ---- the server ---- */

struct http__listener {
	struct http_server *server;
	struct http_listen_options options; /* of a further one */
	struct net_listener *net;
	bool outside;
};
struct http_server {
	struct http_server_options options;
	char *host;
	struct http__listener first, *more[HTTP_LISTENERS_MAX];
	uint32_t more_count;
	struct http__logins logins;
	struct http__routes routes;
};
extern const struct net_protocol http__protocol;

/* What the versions of HTTP do differently. */
struct http__version {
	enum sm_err (*data)(struct http__conn *conn, struct bytes in, size_t *ret_used);
	void (*eof)(struct http__conn *conn);
	void (*drain)(struct http__conn *conn);
	void (*drained)(struct http__conn *conn);
	/* When the next thing is late by loop time, 0: never; and that it is. */
	uint64_t (*deadline)(struct http__conn *conn);
	void (*late)(struct http__conn *conn);
	/* Before the requests that are there are freed. */
	void (*close)(struct http__conn *conn);
	/* http_reply: send it, or keep it (body is borrowed). The request may be gone afterwards. */
	void (*answer)(struct http__request *request, int status, const char *content_type, struct bytes body);
	/* The request's sender is known and it goes on (status 0), or is refused. */
	void (*login_over)(struct http__request *request, int status, const char *why);
	/* http_events_subscribe; then http__events_begin, in its turn. */
	void (*subscribed)(struct http__request *request);
	/* The head of an event stream leaves; it keeps the link for http__events_leave. */
	void (*stream)(struct http__request *request, struct http__events_link *link);
	/* For the stream of the request with this id, if it is still there. NULL: the events are over. */
	void (*event)(struct http__conn *conn, uint64_t id, struct http__event *event);
};
extern const struct http__version http__version1, http__version2;

struct http__conn {
	struct net_conn *net;
	const struct http__version *version;
	bool choosing; /* the first bytes have not told it yet */
	struct http2__conn *h2;
	struct http_server *server;
	struct http__listener *listener;
	struct http__shared *shared;
	struct http__request *first, *last; /* under way, in the order of their coming */
	uint32_t count;
	uint16_t port; /* the server's, as the guard wants to see it */
	uint64_t next_id;
	uint64_t now_ns;   /* of this turn's bytes */
	uint64_t idle_ms;  /* since when it waits for a request */
	uint64_t armed_ms; /* what the timer is set for; 0: not */
	bool ended;        /* the peer's side */
	bool paused;       /* too much is under way */
	/* HTTP/1 */
	size_t held;                   /* by requests that wait for their answers or their turn */
	struct http__request *reading; /* the one whose body is being read; NULL with reading_body: it is answered already */
	bool reading_body;
	struct http__scan scan;
	struct http__body body;
	struct http__events_link *stream; /* the connection is an event stream now */
	struct http__request *checking;   /* the last, whose sender is not known yet: nothing is read meanwhile */
	bool stopped;                     /* nothing more is read */
	bool in_data;
	bool partial;      /* a head has begun to come: */
	uint64_t since_ms; /* when; or when the last piece of a body came */
	uint64_t body_ms;  /* when the body began */
};
enum { HTTP_TIMER = 1 };

/* ---- a connection, whichever version (http_conn.c) ---- */

uint64_t http__now_ms(const struct http__conn *conn);
/* Set the timer for the version's deadline. */
void http__arm(struct http__conn *conn);
/* At the end of the list. NULL: the connection closes. */
struct http__request *http__append(struct http__conn *conn);
/* Free it, wherever in the list it stands; its handler is told if it has not answered. */
void http__remove(struct http__conn *conn, struct http__request *request);
struct http__request *http__find(struct http__conn *conn, uint64_t id);

/* http2_conn.c: the connection speaks HTTP/2 from now on. */
enum sm_err http2__begin(struct http__conn *conn);

/* http_reply.c */
extern const struct sm_msg_type http__msg_ticket;
void http__ticket_run(struct http__conn *conn, struct sm_msg *msg);
/* {"message": why}, and an HTTP/1 connection ends when close is set. */
void http__refuse(struct http__request *request, int status, const char *why, bool close);
const char *http__status_text(int status);
/* An answer with this status has a body. */
bool http__has_body(int status);

/* http_events.c */
extern const struct sm_msg_type http__msg_event;
/* Its turn has come: it becomes a stream (or is refused, and the request is answered). */
void http__events_begin(struct http__request *request);
void http__events_receive(struct http__conn *conn, struct sm_msg *msg);
/* The stream has ended. NULL is allowed. */
void http__events_leave(struct http__events_link *link);
/* The text of an event, which streams share. */
struct bytes http__event_text(const struct http__event *event);
struct http__event *http__event_ref(struct http__event *event);
void http__event_unref(void *event);
#define HTTP__EVENTS_FIRST "retry: 2000\n\n"

#endif
