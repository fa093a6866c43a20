/* HTTP server (RFC 9110): HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113); and a client. No handler knows the version.
 *
 * Requests of one connection are handled side by side; in HTTP/1 their answers leave in order. A handler answers with http_reply at once or
 * later (it keeps the request, and answers from the same dispatcher, usually on a message to the connection's ref).
 *
 * Every request passes the guard first: Host must name this server (loopback names and the listener's port), a request that
 * changes anything or has a body must not have a foreign Origin, and its Content-Type must be one of the route's media types
 * (application/json unless the route names others): 403, 415. That keeps web pages out (no form, no rebound name). */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/arena.h"
#include "net/net.h"
#include <jansson.h>

enum http_method { HTTP_GET = 1, HTTP_HEAD = 2, HTTP_POST = 4, HTTP_PUT = 8, HTTP_DELETE = 16, HTTP_PATCH = 32, HTTP_OPTIONS = 64 };

struct http_header {
	struct bytes name, value;
}; /* name in lower case */
struct http_request {
	enum http_method method; /* HEAD comes to GET's route as HTTP_HEAD; the reply's body is left out */
	struct bytes path;       /* decoded, without query; "/ingest/raw_events" */
	struct bytes query;      /* raw */
	const struct http_header *headers;
	uint32_t header_count;
	struct bytes body;      /* whole, dechunked, decompressed */
	struct bytes params[4]; /* what the route's {names} and the final * matched */
	struct arena *arena;    /* lives until the answer has been made */
	struct net_conn *conn;
	void *arg;           /* the route's */
	uint64_t arrived_ns; /* monotonic: when its last byte came */
	void *user;          /* the handler's */
	/* Set by a handler that answers later: the connection has ended first; the request is freed after the call. */
	void (*gone)(struct http_request *request);
};
/* Header by lower-case name; size 0 and data NULL if absent. */
struct bytes http_header(const struct http_request *request, const char *name);
/* Value of a query parameter, decoded into the arena; data NULL if absent. */
struct bytes http_query(const struct http_request *request, const char *name);

struct http_route {
	unsigned methods;    /* bits; another method gets 405 with Allow */
	const char *pattern; /* "/v2/apps/{id}", "/static/" and a star (a final star takes the rest, slashes included) */
	void (*handle)(struct http_request *request);
	void *arg;
	const char *media_types; /* of bodies, comma-separated; NULL: application/json */
	bool outside;            /* on listeners for clients elsewhere too; its handler looks at http_principal */
	bool cors;               /* pages of the origins that http_cors_options names may send it requests */
	/* What is refused before the handler is {"error_code":STATUS,"message":..} of this media type, which outlives the server; NULL:
	 * {"message":..} of JSON. */
	const char *error_type;
};
struct http_server;

/* Pages of other origins (CORS): on all listeners, for routes with `cors`; their browsers' questions (preflights) are answered before a
 * login. */
struct http_cors;
struct http_cors_options {
	const char *origins; /* SCHEME://HOST[:PORT] with blanks or commas between them; or *: all */
	const char *headers; /* names that a request may have beside those that every form sends, with commas between them */
	uint32_t max_age_s;  /* a browser remembers the answer to its question for so long */
	bool credentials;    /* what the browser knows of its user (cookies, passwords, certificates) may go along; not with * */
};
/* Errors: SM_INVALID, SM_TOO_LARGE (the text begins with the field's name). */
SM_MUST_CHECK enum sm_err http_cors_new(const struct http_cors_options *options, struct http_cors **ret_cors, struct sm_error *reterr);
/* One that no server has taken. NULL is allowed. */
void http_cors_free(struct http_cors *cors);

struct http_server_options {
	struct sm_system *system;
	const char *host;
	uint16_t port;
	struct net_tls *tls;                                          /* outlives the server; NULL: plain */
	uint32_t connections_max;                                     /* 0: NET_CONNECTIONS_MAX */
	uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms; /* 0: HTTP_..._TIMEOUT_MS */
	struct http_cors *cors; /* taken, also on failure; NULL: pages of other origins change nothing */
};
/* Routes are added before http_server_start; the most exact pattern wins. */
SM_MUST_CHECK enum sm_err http_server_new(const struct http_server_options *options, struct http_server **ret_server,
					  struct sm_error *reterr);
SM_MUST_CHECK enum sm_err http_server_route(struct http_server *server, const struct http_route *route);
SM_MUST_CHECK enum sm_err http_server_start(struct http_server *server, struct sm_error *reterr);
uint16_t http_server_port(const struct http_server *server);

/* ---- further listeners, for clients elsewhere ---- */

/* Only routes with `outside` are there, for others it is 404. Each request says who sends it, by Basic credentials, a Bearer token or
 * the connection's certificate, else it is 401. Host may be any; a request with a foreign Origin changes nothing here either. */
struct http_listen_options {
	const char *host;
	uint16_t port;
	struct net_tls *tls; /* outlives the server; NULL: plain */
	/* Whether this is the user's password, or (user without data) whose token it is; *ret_user: the name, which is freed. NULL:
	 * certificates alone count, so tls asks for them. Thread: the pool's; may block. */
	bool (*login)(void *arg, struct bytes user, struct bytes secret, char **ret_user);
	void *arg;
};
/* After http_server_start. Errors: as net_listen, SM_TOO_LARGE (HTTP_LISTENERS_MAX). */
SM_MUST_CHECK enum sm_err http_server_listen(struct http_server *server, const struct http_listen_options *options,
					     struct sm_error *reterr);
/* Of the further listeners, in the order of their making. */
uint16_t http_server_listener_port(const struct http_server *server, uint32_t index);
/* "User:alice" for a request that came from outside, else NULL. Lives as long as the request. */
const char *http_principal(const struct http_request *request);
/* The client's address, without its port; in the request's arena ("" without memory). */
const char *http_peer_host(const struct http_request *request);
void http_server_free(struct http_server *server, uint32_t drain_ms);

/* Answer; the request is gone afterwards. body is copied. content_type may be NULL when there is no body. A GET whose If-None-Match
 * names the ETag that http_reply_header has set gets 304 in place of 200. */
void http_reply(struct http_request *request, int status, const char *content_type, struct bytes body);
void http_reply_header(struct http_request *request, const char *name, const char *value); /* before http_reply; copied */
void http_reply_json(struct http_request *request, int status, json_t *json);              /* takes json */
/* {"message": text} with the status that belongs to the error (SM_NOT_FOUND 404, SM_INVALID 400, SM_FULL 429 with Retry-After ...). */
void http_reply_error(struct http_request *request, const struct sm_error *error);
int http_status_of(enum sm_err err);
/* Answers from another thread or actor: the request's address, valid until http_reply or until the connection is gone.
 * post runs fn(request, arg) on the connection's dispatcher, or fn(NULL, arg) on any thread if the request has been answered or the
 * connection has gone meanwhile. Every ticket is posted once. http_ticket: NULL when out of memory. Thread of post: any. */
struct http_ticket;
struct http_ticket *http_ticket(struct http_request *request);
/* A ticket that is not needed. */
void http_ticket_drop(struct http_ticket *ticket);
void http_ticket_post(struct http_ticket *ticket, void (*fn)(struct http_request *request, void *arg), void *arg); /* takes the ticket */

/* Server-sent events: the answer stays open (with HTTP/1 the connection is nothing else then); each event is sent to every subscriber whose
 * queue is not full (else it is skipped for that subscriber and counted). */
struct http_events;
struct http_events *http_events_new(struct sm_system *system);                           /* NULL: out of memory */
void http_events_free(struct http_events *events);                                       /* the streams end */
void http_events_subscribe(struct http_events *events, struct http_request *request);    /* answers the request */
void http_events_send(struct http_events *events, const char *event, struct bytes data); /* Thread: any */
uint32_t http_events_subscribers(const struct http_events *events);

/* ---- client: blocking, for the command line and for tasks on the pool (libcurl) ---- */
struct http_client;
struct http_response {
	int status;
	struct buf body;
	char content_type[128];
	uint32_t retry_after_s;
};
SM_MUST_CHECK enum sm_err http_client_new(struct http_client **ret_client);
void http_client_free(struct http_client *client);
/* https goes to the server with this public key (net_tls_pin) and no other, whatever its certificate says. Copied; "": as certificates say.
 */
void http_client_pin(struct http_client *client, const char *pin);
/* One request on a kept-alive connection. headers: "Name: value" strings, NULL-terminated, may be NULL. Errors: SM_UNAVAILABLE, SM_TIMEOUT.
 */
SM_MUST_CHECK enum sm_err http_client_do(struct http_client *client, const char *method, const char *url, const char *const *headers,
					 struct bytes body, uint32_t timeout_ms, struct http_response *ret_response,
					 struct sm_error *reterr);
void http_response_done(struct http_response *response);

#endif
