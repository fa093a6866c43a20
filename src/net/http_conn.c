/* One HTTP connection: bytes become requests, requests are handled as they come, answers leave in order.
 *
 * A request is in the connection's list from the end of its head until its answer is queued. Bodies are read into it; when it is
 * refused before its body has come, the rest of the body is read over (or the connection ends). */
#include "net/http_internal.h"
#include "actor/actor.h"
#include <assert.h>

static uint64_t now_ms(const struct http__conn *c)
{
	return uv_now(actor_loop(net_conn_actor(c->net)));
}

/* ---- timeouts: one timer, started again only for an earlier end; one that fires early looks what is due ---- */

static uint64_t deadline(struct http__conn *c)
{
	const struct http_server_options *o = &c->server->options;
	if (c->stream || c->paused)
		return 0;
	if (c->reading_body) {
		/* A piece at a time is not enough: all of it comes at some speed. */
		uint64_t slowest = c->body_ms + (uint64_t)o->body_timeout_ms * HTTP_BODY_SLOW_TIMES +
				   c->body.size / HTTP_BODY_BYTES_PER_MS_MIN;
		uint64_t silent = c->since_ms + o->body_timeout_ms;
		return silent < slowest ? silent : slowest;
	}
	if (c->stopped)
		return 0;
	if (c->partial)
		return c->since_ms + o->header_timeout_ms;
	return c->first ? 0 : c->idle_ms + o->idle_timeout_ms;
}

static void arm(struct http__conn *c)
{
	uint64_t at = deadline(c), now = now_ms(c);
	if (!at || (c->armed_ms && c->armed_ms <= at))
		return;
	c->armed_ms = at;
	if (sm_timer_start(net_conn_actor(c->net), HTTP_TIMER, at > now ? at - now : 0, 0))
		net_conn_close(c->net);
}

/* ---- the list of requests ---- */

static struct http__request *request_append(struct http__conn *c)
{
	struct http__request *r = http__request_new(c);
	if (!r) {
		net_conn_close(c->net);
		return NULL;
	}
	if (c->last)
		c->last->next = r;
	else
		c->first = r;
	c->last = r;
	c->count++;
	return r;
}

static void request_drop(struct http__request *r)
{
	if (r->under_way && !r->answered && r->public.gone)
		r->public.gone(&r->public);
	if (r->events)
		r->release_events(r->events);
	http__login_free(r->login);
	http__request_free(r);
}

/* The one whose body was being read will never be whole. */
static void drop_last(struct http__conn *c)
{
	struct http__request **at = &c->first, *before = NULL;
	while (*at != c->last) {
		before = *at;
		at = &(*at)->next;
	}
	request_drop(c->last);
	*at = NULL;
	c->last = before;
	c->count--;
}

void http__advance(struct http__conn *c)
{
	while (c->first && !c->stream) {
		struct http__request *r = c->first;
		if (r->events && !r->answered)
			http__events_begin(r);
		if (c->stream) {
			/* What was pipelined behind it is never answered. */
			while ((r = c->first)) {
				c->first = r->next;
				request_drop(r);
			}
			c->last = NULL;
			c->count = 0;
			return;
		}
		if (c->first != r)
			return; /* refused: the answer has gone this way already */
		if (!r->answered) {
			if (r->wants_continue)
				net_conn_write(c->net, BYTES("HTTP/1.1 100 Continue\r\n\r\n"));
			r->wants_continue = false;
			break;
		}
		if (buf_size(&r->answer))
			net_conn_write(c->net, buf_bytes(&r->answer));
		bool close = r->close;
		c->first = r->next;
		if (!c->first)
			c->last = NULL;
		c->count--;
		http__login_free(r->login);
		http__request_free(r);
		if (close) {
			c->stopped = true;
			c->reading_body = false;
			net_conn_finish(c->net);
			return;
		}
	}
	if (!c->first && c->stopped && !c->reading_body)
		net_conn_finish(c->net);
	if (c->paused && !c->checking && c->count <= HTTP_PIPELINE_MAX / 2 && !net_conn_write_full(c->net)) {
		c->paused = false;
		net_conn_resume(c->net);
	}
	if (!c->in_data && !c->first) {
		c->idle_ms = now_ms(c);
		arm(c);
	}
}

/* ---- a request's beginning ---- */

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

static int route_request(struct http__conn *c, struct http__request *r, const struct http__head *head, const char **ret_why)
{
	const uint8_t *mark = memchr(head->target.data, '?', head->target.size);
	size_t size = mark ? (size_t)(mark - head->target.data) : head->target.size;
	uint8_t *path = arena_alloc_raw(&r->arena, size + 1, 1);
	if (!path)
		return 500;
	if (!http__decode(bytes_of(head->target.data, size), false, path, &size)) {
		*ret_why = "the path has a broken percent-encoding";
		return 400;
	}
	r->public.path = bytes_of(path, size);
	if (mark && !take_query(r, bytes_of(mark + 1, head->target.size - (size_t)(mark + 1 - head->target.data)))) {
		*ret_why = "the query has a broken percent-encoding";
		return 400;
	}
	unsigned allowed;
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
static int guard(struct http__conn *c, struct http__request *r, const struct http__head *head, const char **ret_why)
{
	const enum http_method changing = HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH;
	bool has_body = c->body.kind != BODY_NONE;
	if (!c->listener->outside && !http__guard_host(head->host, c->port)) {
		*ret_why = "Host does not name this server";
		return 403;
	}
	int status = route_request(c, r, head, ret_why);
	if (status)
		return status;
	if (head->has_origin && ((head->method & changing) || has_body) &&
	    (c->listener->outside || !http__guard_origin(head->origin, c->port))) {
		*ret_why = "requests from pages of another origin change nothing here";
		return 403;
	}
	if ((has_body || head->method == HTTP_POST) && !http__guard_media_type(head->content_type, r->route->media_types)) {
		*ret_why = arena_printf(&r->arena, "Content-Type must be %s", r->route->media_types);
		return 415;
	}
	return 0;
}

static void dispatch(struct http__conn *c, struct http__request *r)
{
	r->public.arrived_ns = c->now_ns;
	r->public.arg = r->route->arg;
	r->under_way = true;
	if (r->close)
		c->stopped = true;
	r->route->handle(&r->public);
}

/* Refused with its body still to come: a short one is read over, for a long one the connection ends. */
static void refuse_before_body(struct http__conn *c, struct http__request *r, const struct http__head *head, int status, const char *why)
{
	bool skip = c->body.kind == BODY_LENGTH && c->body.left <= HTTP_DISCARD_MAX && !(head->flags & HEAD_CONTINUE) && !r->close;
	bool close = c->body.kind != BODY_NONE && !skip;
	if (skip) {
		http__body_discard(&c->body);
		c->reading_body = true;
		c->since_ms = c->body_ms = now_ms(c);
	} else {
		http__body_done(&c->body);
	}
	if (close || r->close)
		c->stopped = true;
	http__refuse(r, status, why, close);
}

static void begin_body(struct http__conn *c, struct http__request *r, const struct http__head *head, struct bytes rest, size_t *used)
{
	size_t here = rest.size - *used;
	if (c->body.kind == BODY_LENGTH && !http__body_is_coded(&c->body) && here >= c->body.left) {
		r->public.body = bytes_of(arena_copy(&r->arena, rest.data + *used, (size_t)c->body.left), (size_t)c->body.left);
		*used += (size_t)c->body.left;
		http__body_done(&c->body);
		if (r->public.body.data)
			dispatch(c, r);
		else
			http__refuse(r, 413, "the request is too large", true);
		return;
	}
	c->reading = r;
	c->reading_body = true;
	c->since_ms = c->body_ms = now_ms(c);
	if ((head->flags & HEAD_CONTINUE) && head->minor > 0 && here == 0) {
		r->wants_continue = true;
		http__advance(c);
	}
}

/* Who sends it is known. status: 0, or why that is refused. rest: what has come behind the head, from *used on. */
static void take_request(struct http__conn *c, struct http__request *r, const struct http__head *head, int status, const char *why,
			 struct bytes rest, size_t *used)
{
	int body_status = http__body_begin(&c->body, head);
	if (!status)
		status = guard(c, r, head, &why);
	if (!status && body_status == 415) {
		http_reply_header(&r->public, "Accept-Encoding", "gzip, zstd, identity");
		why = "Content-Encoding is gzip or zstd, once";
	}
	status = status ? status : body_status;
	if (status)
		refuse_before_body(c, r, head, status, why);
	else if (c->body.kind == BODY_NONE)
		dispatch(c, r);
	else
		begin_body(c, r, head, rest, used);
}

static void begin_request(struct http__conn *c, struct http__request *r, const struct http__head *head, struct bytes rest, size_t *used)
{
	r->minor = head->minor;
	r->keep_alive_10 = head->minor == 0 && (head->flags & HEAD_KEEP_ALIVE);
	r->close = (head->flags & HEAD_CLOSE) || (head->minor == 0 && !r->keep_alive_10);
	r->public.method = head->method;
	r->public.header_count = head->header_count;
	const char *why = NULL;
	int status = c->listener->outside ? http__login_begin(r, &why) : 0;
	if (!status && r->login) {
		/* Who is not known learns nothing of what is there, has no body taken from, and later requests wait their turn. */
		if ((r->head = arena_copy(&r->arena, head, sizeof *head))) {
			c->checking = r;
			http__login_check(r);
			return;
		}
		status = 500;
	}
	take_request(c, r, head, status, why, rest, used);
}

/* The peer has ended its side within a body. */
static void drop_unfinished(struct http__conn *c)
{
	if (c->reading_body && c->reading)
		drop_last(c);
	c->reading = NULL;
	c->reading_body = false;
	if (!c->first)
		net_conn_finish(c->net);
}

void http__login_over(struct http__request *r, int status, const char *why)
{
	struct http__conn *c = r->conn;
	size_t used = 0;
	c->checking = NULL;
	c->now_ns = uv_hrtime();
	take_request(c, r, r->head, status, why, (struct bytes){0}, &used);
	if (c->ended)
		drop_unfinished(c);
	http__advance(c);
	arm(c);
}

/* ---- bytes ---- */

/* What cannot be a request ends the connection: where the next one begins is not known. */
static void refuse_bytes(struct http__conn *c, int status, const char *why)
{
	struct http__request *r = request_append(c);
	c->stopped = true;
	if (r)
		http__refuse(r, status, why, true);
}

/* Returns whether there may be more in what follows. */
static bool read_head(struct http__conn *c, struct bytes rest, size_t *ret_used)
{
	size_t size;
	int status = http__scan_head(&c->scan, rest, &size);
	*ret_used = 0;
	if (status) {
		*ret_used = rest.size;
		refuse_bytes(c, status, NULL);
		return false;
	}
	if (!size) {
		if (!c->partial)
			c->since_ms = now_ms(c);
		c->partial = true;
		return false;
	}
	c->partial = false;
	struct http__request *r = request_append(c);
	if (!r)
		return false;
	uint32_t lines = c->scan.lines;
	uint8_t *data = arena_copy(&r->arena, rest.data + c->scan.skip, size);
	struct http_header *headers = arena_alloc_raw(&r->arena, lines * sizeof *headers, _Alignof(struct http_header));
	*ret_used = c->scan.skip + size;
	c->scan = (struct http__scan){0};
	struct http__head head = {.why = "out of memory"};
	status = data && headers ? http__parse_head(data, size, headers, &head) : 500;
	r->public.headers = headers;
	if (status) {
		c->stopped = true;
		http__refuse(r, status, head.why, true);
		return false;
	}
	begin_request(c, r, &head, rest, ret_used);
	return true;
}

static bool read_body(struct http__conn *c, struct bytes rest, size_t *ret_used)
{
	struct buf none = {0};
	struct http__request *r = c->reading;
	bool whole;
	int status = http__body_feed(&c->body, rest, r ? &r->body : &none, ret_used, &whole);
	c->since_ms = now_ms(c);
	if (!status && !whole)
		return true;
	c->reading = NULL;
	c->reading_body = false;
	http__body_done(&c->body);
	if (status) {
		c->stopped = true;
		if (r)
			http__refuse(r, status, status == 400 ? "the body is broken" : NULL, true);
		else
			http__advance(c);
	} else if (r) {
		r->public.body = buf_bytes(&r->body);
		dispatch(c, r);
	} else {
		http__advance(c);
	}
	return true;
}

static bool has_room(struct http__conn *c)
{
	if (!c->checking && c->count < HTTP_PIPELINE_MAX && !net_conn_write_full(c->net))
		return true;
	c->paused = true;
	net_conn_pause(c->net);
	return false;
}

static enum sm_err on_data(struct net_conn *net, void *state, struct bytes in, size_t *ret_used)
{
	struct http__conn *c = state;
	size_t at = 0;
	bool more = true;
	c->now_ns = uv_hrtime();
	c->in_data = true;
	while (at < in.size && more && !c->stream && (c->reading_body || (!c->stopped && has_room(c)))) {
		size_t used;
		struct bytes rest = bytes_of(in.data + at, in.size - at);
		more = c->reading_body ? read_body(c, rest, &used) : read_head(c, rest, &used);
		at += used;
	}
	c->in_data = false;
	/* After the last request of a connection nothing counts. */
	*ret_used = c->stream || (c->stopped && !c->reading_body) ? in.size : at;
	c->idle_ms = now_ms(c);
	arm(c);
	return SM_OK;
}

/* ---- the connection ---- */

static enum sm_err on_open(struct net_conn *net, void *state, void *arg)
{
	struct http__conn *c = state;
	c->net = net;
	c->listener = arg;
	c->server = c->listener->server;
	c->shared = http__shared_get();
	if (!c->shared)
		return SM_NO_MEMORY;
	char host[46];
	net_conn_local(net, host, &c->port);
	c->idle_ms = now_ms(c);
	arm(c);
	return SM_OK;
}

static void on_timer(struct http__conn *c)
{
	uint64_t at = deadline(c);
	c->armed_ms = 0;
	if (!at)
		return;
	if (now_ms(c) < at) {
		arm(c);
	} else if (c->reading_body) {
		struct http__request *r = c->reading;
		c->reading = NULL;
		c->reading_body = false;
		c->stopped = true;
		if (r)
			http__refuse(r, 408, "the body did not come in time", true);
		else
			http__advance(c);
	} else if (c->partial) {
		refuse_bytes(c, 408, "the headers did not come in time");
	} else {
		net_conn_finish(c->net);
	}
}

static enum sm_err on_receive(struct net_conn *net, void *state, struct sm_msg *msg)
{
	struct http__conn *c = state;
	if (msg->type == &http__msg_ticket)
		http__ticket_run(c, msg);
	else if (msg->type == &http__msg_event || msg->type == &http__msg_events_end)
		http__events_receive(c, msg);
	else if (msg->type == &sm_msg_timer && ((struct sm_timer_msg *)msg)->timer == HTTP_TIMER)
		on_timer(c);
	return SM_OK;
}

static void on_drained(struct net_conn *net, void *state)
{
	http__advance(state);
}

static void on_eof(struct net_conn *net, void *state)
{
	struct http__conn *c = state;
	c->stopped = c->ended = true;
	drop_unfinished(c);
}

static void on_drain(struct net_conn *net, void *state)
{
	struct http__conn *c = state;
	c->stopped = true;
	if (c->stream || (!c->first && !c->reading_body))
		net_conn_finish(net);
}

static void on_close(struct net_conn *net, void *state)
{
	struct http__conn *c = state;
	if (!c->shared)
		return;
	http__events_leave(c);
	http__body_done(&c->body);
	for (struct http__request *r = c->first, *next; r; r = next) {
		next = r->next;
		request_drop(r);
	}
	http__shared_put(c->shared);
}

const struct net_protocol http__protocol = {
	.name = "http",
	.state_size = sizeof(struct http__conn),
	.mailbox_max = HTTP_MAILBOX_MAX,
	.open = on_open,
	.data = on_data,
	.receive = on_receive,
	.eof = on_eof,
	.drain = on_drain,
	.drained = on_drained,
	.close = on_close,
};
