/* Answers: the errors of the program as statuses, what handlers ask of a request, and answers that come from elsewhere (tickets). */
#include "net/http_internal.h"
#include "base/json.h"
#include "base/metrics.h"
#include <assert.h>
#include <stdlib.h>

const char *http__status_text(int status)
{
	switch (status) {
#define X(code, text) \
	case code: return text;
		X(200, "OK")
		X(201, "Created")
		X(202, "Accepted")
		X(204, "No Content")
		X(303, "See Other")
		X(304, "Not Modified")
		X(400, "Bad Request")
		X(401, "Unauthorized")
		X(403, "Forbidden")
		X(404, "Not Found")
		X(405, "Method Not Allowed")
		X(408, "Request Timeout")
		X(409, "Conflict")
		X(413, "Content Too Large")
		X(414, "URI Too Long")
		X(415, "Unsupported Media Type")
		X(417, "Expectation Failed")
		X(422, "Unprocessable Content")
		X(429, "Too Many Requests")
		X(431, "Request Header Fields Too Large")
		X(500, "Internal Server Error")
		X(501, "Not Implemented")
		X(503, "Service Unavailable")
		X(504, "Gateway Timeout")
		X(505, "HTTP Version Not Supported")
		X(507, "Insufficient Storage")
#undef X
	default: return "Status";
	}
}

int http_status_of(enum sm_err err)
{
	switch (err) {
	case SM_OK: return 200;
	case SM_INVALID:
	case SM_SYNTAX:
	case SM_TYPE:
	case SM_OUT_OF_RANGE: return 400;
	case SM_DENIED: return 403;
	case SM_NOT_FOUND: return 404;
	case SM_EXISTS:
	case SM_CONFLICT:
	case SM_BUSY:
	case SM_STALE_EPOCH:
	case SM_SEQUENCE_GAP:
	case SM_DUPLICATE:
	case SM_UNKNOWN_PRODUCER: return 409;
	case SM_TOO_LARGE: return 413;
	case SM_UNSUPPORTED:
	case SM_VERSION: return 501;
	case SM_FULL:
	case SM_AGAIN: return 429;
	case SM_CANCELLED:
	case SM_CLOSED:
	case SM_GONE:
	case SM_NO_MEMORY:
	case SM_NO_FILES:
	case SM_UNAVAILABLE: return 503;
	case SM_TIMEOUT: return 504;
	case SM_NO_SPACE: return 507;
	default: return 500;
	}
}

bool http__has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
	struct http__request *r = http__request_of(request);
	buf_append_str(&r->extra, name);
	buf_append_str(&r->extra, ": ");
	/* A value may come from a client: it must not end the line. */
	for (const char *c = value; *c; c++)
		buf_u8(&r->extra, (uint8_t)*c < ' ' || *c == 127 ? ' ' : (uint8_t)*c);
	buf_append_str(&r->extra, "\r\n");
	if (http__same(bytes_str(name), "etag")) {
		char *copy = arena_string(&r->arena, value, strlen(value));
		if (copy)
			r->etag = bytes_str(copy);
	}
}

static bool not_modified(struct http__request *r)
{
	struct bytes list = http_header(&r->public, "if-none-match"), tag;
	while (http__list_next(&list, &tag)) {
		if (tag.size > 2 && memcmp(tag.data, "W/", 2) == 0)
			tag = bytes_of(tag.data + 2, tag.size - 2);
		if (bytes_equal(tag, r->etag) || bytes_equal(tag, BYTES("*")))
			return true;
	}
	return false;
}

void http_reply(struct http_request *request, int status, const char *content_type, struct bytes body)
{
	struct http__request *r = http__request_of(request);
	assert(!r->answered);
	if (status == 200 && r->etag.size && (request->method & (HTTP_GET | HTTP_HEAD)) && not_modified(r))
		status = 304;
	r->answered = true;
	metric_add(METRIC_HTTP_REQUESTS, 1);
	if (status >= 400)
		metric_add(METRIC_HTTP_REFUSED, 1);
	r->conn->version->answer(r, status, content_type, body);
}

void http_reply_json(struct http_request *request, int status, json_t *json)
{
	struct buf text;
	buf_init(&text);
	json_write(json, &text);
	json_decref(json);
	http_reply(request, text.failed ? 500 : status, "application/json", buf_bytes(&text));
	buf_done(&text);
}

static void reply_message(struct http__request *r, int status, const char *message, const char *error_type)
{
	struct buf text;
	buf_init(&text);
	if (error_type)
		buf_printf(&text, "{\"error_code\":%d,\"message\":", status);
	else
		buf_append_str(&text, "{\"message\":");
	buf_json_string(&text, bytes_str(message));
	buf_append_str(&text, "}");
	http_reply(&r->public, status, error_type ? error_type : "application/json", buf_bytes(&text));
	buf_done(&text);
}

void http_reply_error(struct http_request *request, const struct sm_error *error)
{
	int status = http_status_of(error->code == SM_OK ? SM_FAILED : error->code);
	if (status == 429)
		http_reply_header(request, "Retry-After", "1");
	reply_message(http__request_of(request), status, error->text[0] ? error->text : sm_err_text(error->code), NULL);
}

void http__refuse(struct http__request *r, int status, const char *why, bool close)
{
	r->close |= close;
	reply_message(r, status, why ? why : http__status_text(status), r->route ? r->route->error_type : NULL);
}

/* ---- what handlers ask of a request ---- */

struct bytes http_header(const struct http_request *request, const char *name)
{
	size_t size = strlen(name);
	for (uint32_t i = 0; i < request->header_count; i++) {
		const struct http_header *h = &request->headers[i];
		if (h->name.size == size && memcmp(h->name.data, name, size) == 0)
			return h->value;
	}
	return (struct bytes){0};
}

struct bytes http_query(const struct http_request *request, const char *name)
{
	struct bytes rest = request->query;
	size_t size = strlen(name);
	while (rest.size) {
		const uint8_t *amp = memchr(rest.data, '&', rest.size);
		size_t n = amp ? (size_t)(amp - rest.data) : rest.size;
		const uint8_t *equals = memchr(rest.data, '=', n);
		size_t name_size = equals ? (size_t)(equals - rest.data) : n;
		if (name_size == size && memcmp(rest.data, name, size) == 0) {
			struct bytes raw = equals ? bytes_of(equals + 1, n - size - 1) : bytes_of(rest.data + n, 0);
			uint8_t *text = arena_alloc_raw(request->arena, raw.size + 1, 1);
			size_t got;
			if (!text || !http__decode(raw, true, text, &got))
				return (struct bytes){0};
			text[got] = 0;
			return bytes_of(text, got);
		}
		rest.data += n + (amp != NULL);
		rest.size -= n + (amp != NULL);
	}
	return (struct bytes){0};
}

/* ---- tickets: a message to the connection, made when the request is put aside ---- */

struct http_ticket {
	struct sm_msg msg;
	struct sm_ref *ref; /* counted */
	uint64_t id;
	void (*fn)(struct http_request *request, void *arg);
	void *arg;
};

static void ticket_done(struct sm_msg *msg)
{
	struct http_ticket *ticket = (struct http_ticket *)msg;
	if (ticket->fn)
		ticket->fn(NULL, ticket->arg);
	sm_unref(ticket->ref);
	free(ticket);
}
const struct sm_msg_type http__msg_ticket = {"http ticket", ticket_done};

struct http_ticket *http_ticket(struct http_request *request)
{
	struct http_ticket *ticket = calloc(1, sizeof *ticket);
	if (!ticket)
		return NULL;
	ticket->msg.type = &http__msg_ticket;
	ticket->ref = sm_ref_get(net_conn_ref(request->conn));
	ticket->id = http__request_of(request)->id;
	return ticket;
}

void http_ticket_drop(struct http_ticket *ticket)
{
	sm_msg_free(&ticket->msg);
}

void http_ticket_post(struct http_ticket *ticket, void (*fn)(struct http_request *request, void *arg), void *arg)
{
	ticket->fn = fn;
	ticket->arg = arg;
	if (sm_send_reply(ticket->ref, &ticket->msg))
		sm_msg_free(&ticket->msg);
}

void http__ticket_run(struct http__conn *c, struct sm_msg *msg)
{
	struct http_ticket *ticket = (struct http_ticket *)msg;
	struct http__request *r = http__find(c, ticket->id);
	if (!r || r->answered)
		return;
	void (*fn)(struct http_request *, void *) = ticket->fn;
	ticket->fn = NULL;
	fn(&r->public, ticket->arg);
}
