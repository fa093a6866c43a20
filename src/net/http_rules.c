/* What every request must pass, whichever version of HTTP brought it: the guard, a route, a body that is taken; and how slow a body may be.
 */
#include "net/http_internal.h"
#include <uv.h>

/* Handlers take a parameter that cannot be decoded for one that is absent. */
static bool take_query(struct http__request *r, struct bytes query)
{
	size_t size;
	r->public.query = query;
	if (!query.size || !memchr(query.data, '%', query.size))
		return true;
	uint8_t *decoded = arena_alloc_raw(&r->arena, query.size, 1);
	return decoded && http__decode(query, true, decoded, &size);
}

int http__take_path(struct http__request *r, const struct http__head *head, const char **ret_why)
{
	if (r->public.path.data)
		return 0;
	const uint8_t *mark = memchr(head->target.data, '?', head->target.size);
	size_t size = mark ? (size_t)(mark - head->target.data) : head->target.size;
	uint8_t *path = arena_alloc_raw(&r->arena, size + 1, 1);
	if (!path)
		return 500;
	if (!http__decode(bytes_of(head->target.data, size), false, path, &size)) {
		*ret_why = "the path has a broken percent-encoding";
		return 400;
	}
	if (mark && !take_query(r, bytes_of(mark + 1, head->target.size - (size_t)(mark + 1 - head->target.data)))) {
		*ret_why = "the query has a broken percent-encoding";
		return 400;
	}
	r->public.path = bytes_of(path, size);
	return 0;
}

static int route_request(struct http__request *r, const struct http__head *head, const char **ret_why)
{
	struct http__conn *c = r->conn;
	unsigned allowed;
	int status = http__take_path(r, head, ret_why);
	if (status)
		return status;
	r->route = http__routes_find(&c->server->routes, head->method, r->public.path, r->public.params, &allowed);
	if (r->route && (r->route->outside || !c->listener->outside))
		return 0;
	if (r->route || !allowed || c->listener->outside)
		return 404;
	char methods[64];
	http__methods_text(allowed, methods);
	http_reply_header(&r->public, "Allow", methods);
	*ret_why = "the method is not allowed here";
	return 405;
}

/* What a page in a browser could have sent does not pass (http_guard.c). */
static int guard(struct http__request *r, const struct http__head *head, bool has_body, const char **ret_why)
{
	struct http__conn *c = r->conn;
	const enum http_method changing = HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH;
	if (!c->listener->outside && !http__guard_host(head->host, c->port, net_conn_secure(c->net))) {
		*ret_why = "Host does not name this server";
		return 403;
	}
	if (r->preflight) {
		r->route = &http__preflight;
		*ret_why = "pages of this origin may send no requests here";
		return r->cors ? 0 : 403;
	}
	int status = route_request(r, head, ret_why);
	if (status)
		return status;
	if (r->route->cors && !head->has_origin)
		http__cors_vary(r);
	if (head->has_origin && !r->cors && ((head->method & changing) || has_body) &&
	    (c->listener->outside || !http__guard_origin(head->origin, c->port, net_conn_secure(c->net)))) {
		*ret_why = "requests from pages of another origin change nothing here";
		return 403;
	}
	if ((has_body || head->method == HTTP_POST) && !http__guard_media_type(head->content_type, r->route->media_types)) {
		*ret_why = arena_printf(&r->arena, "Content-Type must be %s", r->route->media_types);
		return 415;
	}
	return 0;
}

int http__admit(struct http__request *r, const struct http__head *head, struct http__body *body, const char **ret_why)
{
	int body_status = http__body_begin(body, head);
	int status = guard(r, head, body->kind != BODY_NONE, ret_why);
	if (!status && body_status == 415) {
		http_reply_header(&r->public, "Accept-Encoding", "gzip, zstd, identity");
		*ret_why = "Content-Encoding is gzip or zstd, once";
	}
	return status ? status : body_status;
}

void http__dispatch(struct http__request *r)
{
	r->public.arrived_ns = r->conn->now_ns;
	r->public.arg = r->route->arg;
	r->under_way = true;
	r->route->handle(&r->public);
}

void http__refuse_late(struct http__request *r, bool close)
{
	bool held_up = net_conn_held_up(r->conn->net);
	if (held_up)
		http_reply_header(&r->public, "Retry-After", "1");
	http__refuse(r, held_up ? 429 : 408,
		     held_up ? "the server is short of memory: send the request again later" : "the body did not come in time", close);
}

/* A piece at a time is not enough: all of it comes at some speed. */
uint64_t http__body_deadline(const struct http_server *server, const struct http__body *body, uint64_t begun_ms, uint64_t since_ms)
{
	uint32_t timeout_ms = server->options.body_timeout_ms;
	uint64_t slowest = begun_ms + (uint64_t)timeout_ms * HTTP_BODY_SLOW_TIMES + body->size / HTTP_BODY_BYTES_PER_MS_MIN;
	uint64_t silent = since_ms + timeout_ms;
	return silent < slowest ? silent : slowest;
}
