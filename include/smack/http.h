/* An HTTP/1.1 server for programs and actors.
 *
 * A route leads to a function or to an actor. A request is answered once, at once or later, from any thread; the answers of one
 * connection leave in the order of its requests. Bodies come whole, dechunked and decompressed (gzip).
 *
 *	static void hello(struct sm_http_request *request, void *arg)
 *	{
 *		struct sm_bytes name = sm_http_param(request, 0);
 *		sm_http_reply(request, 200, "text/plain", name);
 *	}
 *	const struct sm_http_route routes[] = {{.method = "GET", .pattern = "/hello/{name}", .handle = hello}, {0}};
 *	err = sm_http_start(&(struct sm_http_options){.system = system, .port = 8081}, routes, &server, &error);
 *
 * The server listens on loopback only. So that no web page reaches it, every request passes a guard first: Host must name this server, what
 * changes anything or has a body must not come from a foreign Origin (403), and a body's Content-Type must be one of the route's (415). */
#ifndef SMACK_HTTP_H
#define SMACK_HTTP_H

#include <smack/actor.h>
#include <smack/row.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_http_server;
struct sm_http_request; /* one that waits for its answer */

struct sm_http_route {
	const char *
		method; /* "POST"; GET, HEAD (GET's routes answer it too), POST, PUT, PATCH, DELETE, OPTIONS; several with blanks between */
	const char *pattern; /* "/v2/apps/{id}"; a part {name} matches one part, a star at the end the rest; the most exact pattern wins */
	/* Either a function: it owns the request. It is called on a dispatcher of the system and must not block. */
	void (*handle)(struct sm_http_request *request, void *arg);
	void *arg; /* borrowed */
	/* or an actor: it gets sm_msg_http_request. A full mailbox is answered with 429, an actor that has ended with 503. Counted by the
	 * server. */
	struct sm_ref *to;
	const char *media_types; /* of bodies, comma-separated; NULL: application/json */
};
struct sm_http_options {
	struct sm_system *system;
	const char *host; /* NULL: 127.0.0.1 */
	uint16_t port;    /* 0: any free one */
};
/* routes ends with a NULL pattern; copied. Errors: SM_INVALID (a route), SM_EXISTS (two of one method and pattern), SM_BUSY (the port),
 * SM_DENIED (not loopback), SM_NO_MEMORY, SM_IO. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_http_start(const struct sm_http_options *options, const struct sm_http_route *routes,
						  struct sm_http_server **ret_server, struct sm_error *reterr);
SM_EXPORT uint16_t sm_http_port(const struct sm_http_server *server);
/* Accept nothing more, let what has begun be answered for at most drain_ms, close, free. Before sm_system_stop. NULL is allowed.
 * Thread: no dispatcher. */
SM_EXPORT void sm_http_stop(struct sm_http_server *server, uint32_t drain_ms);

/* ---- a request ----
 * What is returned is borrowed until the request is answered; data NULL: absent. Thread: any, one at a time. */
SM_EXPORT const char *sm_http_method(const struct sm_http_request *request);                       /* "POST" */
SM_EXPORT struct sm_bytes sm_http_path(const struct sm_http_request *request);                     /* decoded, without the query */
SM_EXPORT struct sm_bytes sm_http_param(const struct sm_http_request *request, uint32_t index);    /* what the pattern's {names} matched */
SM_EXPORT struct sm_bytes sm_http_query(const struct sm_http_request *request, const char *name);  /* decoded */
SM_EXPORT struct sm_bytes sm_http_header(const struct sm_http_request *request, const char *name); /* name in lower case */
SM_EXPORT struct sm_bytes sm_http_body(const struct sm_http_request *request);

/* ---- the answer: takes the request; Thread: any ---- */

/* body is copied. content_type: NULL when there is no body; at most 128 characters. */
SM_EXPORT void sm_http_reply(struct sm_http_request *request, int status, const char *content_type, struct sm_bytes body);
/* {"message": why} with the status that belongs to the error: SM_NOT_FOUND 404, SM_INVALID 400, SM_FULL 429 with Retry-After,
 * SM_UNAVAILABLE 503 ... why NULL: the error's own text. */
SM_EXPORT void sm_http_reply_error(struct sm_http_request *request, enum sm_err err, const char *why);
/* Nobody will answer: 503. NULL is allowed. For the done function of messages that carry a request. */
SM_EXPORT void sm_http_drop(struct sm_http_request *request);

/* ---- a request as a message ---- */

SM_EXPORT extern const struct sm_msg_type sm_msg_http_request;
/* Move the request out of the message that is being handled. What is not taken gets 503 when the message is freed; so does a request on
 * which its actor has failed. NULL if it was taken already. */
SM_EXPORT struct sm_http_request *sm_http_take(struct sm_msg *msg);

#ifdef __cplusplus
}
#endif
#endif
