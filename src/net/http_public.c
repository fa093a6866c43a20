/* <smack/http.h> on top of net/http.h. A request's parts are copied, because it may outlive its connection and be answered from any
 * thread; the way back is a ticket. */
#include <smack/http.h>
#include "net/http.h"
#include <stdlib.h>

struct route {
	void (*handle)(struct sm_http_request *request, void *arg);
	void *arg;
	struct sm_ref *to; /* counted */
};
struct sm_http_server {
	struct http_server *server;
	struct route *routes;
	size_t route_count;
};
struct sm_http_request {
	struct http_request copy; /* all that it points to lies in the arena */
	struct arena arena;
	struct http_ticket *ticket;
	/* the answer */
	int status;
	char *content_type;
	enum sm_err err;
	struct buf body;
};
struct request_msg {
	struct sm_msg msg;
	struct sm_http_request *request;
};

/* ---- requests ---- */

static bool copy_bytes(struct arena *arena, struct bytes from, struct bytes *to)
{
	*to = from;
	if (!from.data)
		return true;
	const char *text = arena_string(arena, (const char *)from.data, from.size);
	*to = bytes_of(text, from.size);
	return text != NULL;
}

static bool copy_parts(struct sm_http_request *r, const struct http_request *from)
{
	struct http_request *to = &r->copy;
	*to = (struct http_request){.method = from->method, .header_count = from->header_count, .arena = &r->arena};
	struct http_header *headers = arena_alloc(&r->arena, (from->header_count + 1) * sizeof *headers);
	bool ok = headers && copy_bytes(&r->arena, from->path, &to->path) && copy_bytes(&r->arena, from->query, &to->query) &&
		  copy_bytes(&r->arena, from->body, &to->body);
	for (size_t i = 0; ok && i < 4; i++)
		ok = copy_bytes(&r->arena, from->params[i], &to->params[i]);
	for (uint32_t i = 0; ok && i < from->header_count; i++)
		ok = copy_bytes(&r->arena, from->headers[i].name, &headers[i].name) &&
		     copy_bytes(&r->arena, from->headers[i].value, &headers[i].value);
	to->headers = headers;
	return ok;
}

static void request_free(struct sm_http_request *r)
{
	arena_done(&r->arena);
	buf_done(&r->body);
	free(r);
}

/* NULL: out of memory, and the answer says so. */
static struct sm_http_request *request_new(struct http_request *from)
{
	struct sm_http_request *r = calloc(1, sizeof *r);
	if (r) {
		arena_init(&r->arena, 0);
		buf_init(&r->body);
		if (copy_parts(r, from) && (r->ticket = http_ticket(from)))
			return r;
		request_free(r);
	}
	http_reply_error(from, &(struct sm_error){.code = SM_NO_MEMORY});
	return NULL;
}

static struct sm_bytes public(struct bytes b)
{
	return (struct sm_bytes){b.data, b.size};
}

const char *sm_http_method(const struct sm_http_request *request)
{
	switch (request->copy.method) {
	case HTTP_GET: return "GET";
	case HTTP_HEAD: return "HEAD";
	case HTTP_POST: return "POST";
	case HTTP_PUT: return "PUT";
	case HTTP_DELETE: return "DELETE";
	case HTTP_PATCH: return "PATCH";
	case HTTP_OPTIONS: return "OPTIONS";
	}
	return "";
}

struct sm_bytes sm_http_path(const struct sm_http_request *request)
{
	return public(request->copy.path);
}

struct sm_bytes sm_http_param(const struct sm_http_request *request, uint32_t index)
{
	return public(index < 4 ? request->copy.params[index] : (struct bytes){0});
}

struct sm_bytes sm_http_query(const struct sm_http_request *request, const char *name)
{
	return public(http_query(&request->copy, name));
}

struct sm_bytes sm_http_header(const struct sm_http_request *request, const char *name)
{
	return public(http_header(&request->copy, name));
}

struct sm_bytes sm_http_body(const struct sm_http_request *request)
{
	return public(request->copy.body);
}

/* ---- answers ---- */

static void answer(struct http_request *request, void *arg)
{
	struct sm_http_request *r = arg;
	struct sm_error error = {.code = r->err};
	struct bytes body = buf_bytes(&r->body);
	if (request && r->err) {
		snprintf(error.text, sizeof error.text, "%.*s", (int)body.size, body.data ? (const char *)body.data : "");
		http_reply_error(request, &error);
	} else if (request) {
		http_reply(request, r->status, r->content_type, body);
	}
	request_free(r);
}

static void post(struct sm_http_request *r, struct bytes body)
{
	buf_append_bytes(&r->body, body);
	if (r->body.failed)
		r->err = SM_NO_MEMORY;
	http_ticket_post(r->ticket, answer, r);
}

void sm_http_reply(struct sm_http_request *request, int status, const char *content_type, struct sm_bytes body)
{
	request->status = status;
	if (content_type && !(request->content_type = arena_string(&request->arena, content_type, strlen(content_type))))
		request->err = SM_NO_MEMORY;
	post(request, bytes_of(body.data, body.size));
}

void sm_http_reply_error(struct sm_http_request *request, enum sm_err err, const char *why)
{
	request->err = err ? err : SM_FAILED;
	post(request, bytes_str(why ? why : ""));
}

void sm_http_drop(struct sm_http_request *request)
{
	if (request)
		sm_http_reply_error(request, SM_GONE, "nobody has answered the request");
}

/* ---- requests as messages ---- */

static void request_msg_done(struct sm_msg *msg)
{
	sm_http_drop(sm_http_take(msg));
	free(msg);
}
const struct sm_msg_type sm_msg_http_request = {"http request", request_msg_done};

struct sm_http_request *sm_http_take(struct sm_msg *msg)
{
	struct request_msg *m = (struct request_msg *)msg;
	struct sm_http_request *r = m->request;
	m->request = NULL;
	return r;
}

static void send_request(struct sm_http_request *r, struct sm_ref *to)
{
	struct request_msg *m = calloc(1, sizeof *m);
	enum sm_err err = m ? SM_OK : SM_NO_MEMORY;
	if (m) {
		m->msg.type = &sm_msg_http_request;
		m->request = r;
		err = sm_send(to, &m->msg);
	}
	if (!err)
		return;
	sm_http_reply_error(r, err, NULL);
	free(m);
}

/* ---- the server ---- */

static void handle(struct http_request *request)
{
	const struct route *route = request->arg;
	struct sm_http_request *r = request_new(request);
	if (r && route->to)
		send_request(r, route->to);
	else if (r)
		route->handle(r, route->arg);
}

/* 0: not a list of methods. */
static unsigned methods_of(const char *text)
{
	static const struct {
		const char *name;
		unsigned bits;
	} known[] = {{"GET", HTTP_GET},     {"HEAD", HTTP_HEAD},     {"POST", HTTP_POST},      {"PUT", HTTP_PUT},
		     {"PATCH", HTTP_PATCH}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS}};
	unsigned all = 0;
	while (text && *text) {
		size_t n = strcspn(text, " "), i = 0;
		while (i < sizeof known / sizeof *known && !(strlen(known[i].name) == n && memcmp(known[i].name, text, n) == 0))
			i++;
		if (n && i == sizeof known / sizeof *known)
			return 0;
		all |= n ? known[i].bits : 0;
		text += n + (text[n] == ' ');
	}
	return all;
}

static enum sm_err add_route(struct sm_http_server *s, const struct sm_http_route *from, struct sm_error *reterr)
{
	struct http_route route = {
		.methods = methods_of(from->method), .pattern = from->pattern, .handle = handle, .media_types = from->media_types};
	if (!route.methods)
		return sm_fail(reterr, SM_INVALID, "route %s: '%s' is no method", from->pattern, from->method ? from->method : "");
	if (!from->handle == !from->to)
		return sm_fail(reterr, SM_INVALID, "route %s %s: give it a function or an actor", from->method, from->pattern);
	struct route *own = &s->routes[s->route_count++];
	*own = (struct route){from->handle, from->arg, from->to ? sm_ref_get(from->to) : NULL};
	route.arg = own;
	enum sm_err err = http_server_route(s->server, &route);
	return err ? sm_fail(reterr, err, "route %s %s: %s", from->method, from->pattern, sm_err_text(err)) : SM_OK;
}

enum sm_err sm_http_start(const struct sm_http_options *options, const struct sm_http_route *routes, struct sm_http_server **ret_server,
			  struct sm_error *reterr)
{
	size_t count = 0;
	while (routes[count].pattern)
		count++;
	struct sm_http_server *s = calloc(1, sizeof *s);
	if (!s || !(s->routes = calloc(count + 1, sizeof *s->routes))) {
		free(s);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the HTTP server");
	}
	struct http_server_options inner = {
		.system = options->system, .host = options->host ? options->host : "127.0.0.1", .port = options->port};
	enum sm_err err = http_server_new(&inner, &s->server, reterr);
	for (size_t i = 0; !err && i < count; i++)
		err = add_route(s, &routes[i], reterr);
	if (!err)
		err = http_server_start(s->server, reterr);
	if (err)
		sm_http_stop(s, 0);
	else
		*ret_server = s;
	return err;
}

uint16_t sm_http_port(const struct sm_http_server *server)
{
	return http_server_port(server->server);
}

void sm_http_stop(struct sm_http_server *server, uint32_t drain_ms)
{
	if (!server)
		return;
	http_server_free(server->server, drain_ms);
	for (size_t i = 0; i < server->route_count; i++)
		sm_unref(server->routes[i].to);
	free(server->routes);
	free(server);
}
