/* HTTP/1: bytes become requests, requests are handled as they come, answers leave in order.
 *
 * A request is in the connection's list from the end of its head until its answer is queued. Bodies are read into it; when it is
 * refused before its body has come, the rest of the body is read over (or the connection ends). */
#include "net/http_internal.h"
#include "base/metrics.h"
#include <assert.h>
#include <uv.h>

static uint64_t deadline(struct http__conn *c)
{
	const struct http_server_options *o = &c->server->options;
	if (c->stream || c->paused)
		return 0;
	if (c->reading_body)
		return http__body_deadline(c->server, &c->body, c->body_ms, c->since_ms);
	if (c->stopped)
		return 0;
	if (c->partial)
		return c->since_ms + o->header_timeout_ms;
	return c->first ? 0 : c->idle_ms + o->idle_timeout_ms;
}

/* ---- answers ---- */

/* It is whole, or will never be. */
static void end_body(struct http__conn *c)
{
	c->reading = NULL;
	c->reading_body = false;
	net_conn_large(c->net, false);
}

static void advance(struct http__conn *c)
{
	while (c->first && !c->stream) {
		struct http__request *r = c->first;
		if (r->events && !r->answered)
			http__events_begin(r);
		if (c->stream) {
			/* What was pipelined behind it is never answered. */
			while (c->first)
				http__remove(c, c->first);
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
		http__remove(c, r);
		if (close) {
			c->stopped = true;
			end_body(c);
			net_conn_finish(c->net);
			return;
		}
	}
	if (!c->first && c->stopped && !c->reading_body)
		net_conn_finish(c->net);
	if (c->paused && !c->checking && c->count <= HTTP_PIPELINE_MAX / 2 && c->held <= HTTP1_HELD_MAX / 2 &&
	    !net_conn_write_full(c->net)) {
		c->paused = false;
		net_conn_resume(c->net);
	}
	if (!c->in_data && !c->first) {
		c->idle_ms = http__now_ms(c);
		http__arm(c);
	}
}

/* ---- a request's beginning ---- */

static void count_held(struct http__request *r)
{
	size_t now = r->arena.used + r->body.cap + r->answer.cap;
	r->conn->held += now - r->held;
	r->held = now;
}

static void dispatch(struct http__conn *c, struct http__request *r)
{
	uint64_t id = r->id;
	if (r->close)
		c->stopped = true;
	http__dispatch(r);
	if (c->last && c->last->id == id) /* else it is answered and gone */
		count_held(r);
}

/* Refused with its body still to come: a short one is read over, for a long one the connection ends. */
static void refuse_before_body(struct http__conn *c, struct http__request *r, const struct http__head *head, int status, const char *why)
{
	bool skip = c->body.kind == BODY_LENGTH && c->body.left <= HTTP_DISCARD_MAX && !(head->flags & HEAD_CONTINUE) && !r->close;
	bool close = c->body.kind != BODY_NONE && !skip;
	if (skip) {
		http__body_discard(&c->body);
		c->reading_body = true;
		c->since_ms = c->body_ms = http__now_ms(c);
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
	net_conn_large(c->net, c->body.kind != BODY_LENGTH || http__body_is_coded(&c->body) || c->body.left > NET_READ_CHUNK);
	c->since_ms = c->body_ms = http__now_ms(c);
	if ((head->flags & HEAD_CONTINUE) && head->minor > 0 && here == 0) {
		r->wants_continue = true;
		advance(c);
	}
}

/* Who sends it is known. status: 0, or why that is refused. rest: what has come behind the head, from *used on. */
static void take_request(struct http__conn *c, struct http__request *r, const struct http__head *head, int status, const char *why,
			 struct bytes rest, size_t *used)
{
	if (status)
		http__body_begin(&c->body, head); /* how much is to be read over */
	else
		status = http__admit(r, head, &c->body, &why);
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
	http__cors(r, head);
	int status = c->listener->outside && !r->preflight ? http__login_begin(r, &why) : 0;
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
		http__remove(c, c->last); /* it will never be whole */
	end_body(c);
	if (!c->first)
		net_conn_finish(c->net);
}

static void login_over(struct http__request *r, int status, const char *why)
{
	struct http__conn *c = r->conn;
	size_t used = 0;
	c->checking = NULL;
	c->now_ns = uv_hrtime();
	take_request(c, r, r->head, status, why, (struct bytes){0}, &used);
	if (c->ended)
		drop_unfinished(c);
	advance(c);
	http__arm(c);
}

/* ---- bytes ---- */

/* What cannot be a request ends the connection: where the next one begins is not known. */
static void refuse_bytes(struct http__conn *c, int status, const char *why)
{
	struct http__request *r = http__append(c);
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
			c->since_ms = http__now_ms(c);
		c->partial = true;
		return false;
	}
	c->partial = false;
	struct http__request *r = http__append(c);
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
	c->since_ms = http__now_ms(c);
	if (!status && !whole)
		return true;
	end_body(c);
	http__body_done(&c->body);
	if (status) {
		c->stopped = true;
		if (r)
			http__refuse(r, status, status == 400 ? "the body is broken" : NULL, true);
		else
			advance(c);
	} else if (r) {
		r->public.body = buf_bytes(&r->body);
		dispatch(c, r);
	} else {
		advance(c);
	}
	return true;
}

static bool has_room(struct http__conn *c)
{
	if (!c->checking && c->count < HTTP_PIPELINE_MAX && c->held < HTTP1_HELD_MAX && !net_conn_write_full(c->net))
		return true;
	c->paused = true;
	net_conn_pause(c->net);
	return false;
}

static enum sm_err on_data(struct http__conn *c, struct bytes in, size_t *ret_used)
{
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
	c->idle_ms = http__now_ms(c);
	http__arm(c);
	return SM_OK;
}

/* ---- the head of an answer; written by hand because it is on the path of every event ---- */

struct text {
	char *at, *end;
};

static void put(struct text *t, const char *data, size_t size)
{
	assert((size_t)(t->end - t->at) >= size);
	memcpy(t->at, data, size);
	t->at += size;
}
#define PUT(t, literal) put(t, literal, sizeof(literal) - 1)

static void put_number(struct text *t, uint64_t value)
{
	char digits[20];
	size_t n = sizeof digits;
	do
		digits[--n] = (char)('0' + value % 10);
	while (value /= 10);
	put(t, digits + n, sizeof digits - n);
}

#define CONTENT_TYPE_MAX 128
#define HEAD_MAX 512

static size_t answer_head(struct http__request *r, int status, const char *content_type, size_t body_size, char *out)
{
	struct text t = {out, out + HEAD_MAX};
	const char *reason = http__status_text(status);
	PUT(&t, "HTTP/1.1 ");
	put_number(&t, (uint64_t)status);
	PUT(&t, " ");
	put(&t, reason, strlen(reason));
	PUT(&t, "\r\n");
	put(&t, http__date_line(r->conn->shared), 37);
	if (content_type && http__has_body(status)) {
		size_t size = strlen(content_type);
		assert(size <= CONTENT_TYPE_MAX);
		PUT(&t, "Content-Type: ");
		put(&t, content_type, size);
		PUT(&t, "\r\n");
	}
	if (http__has_body(status)) {
		PUT(&t, "Content-Length: ");
		put_number(&t, body_size);
		PUT(&t, "\r\n");
	}
	if (r->close)
		PUT(&t, "Connection: close\r\n");
	else if (r->keep_alive_10)
		PUT(&t, "Connection: keep-alive\r\n");
	return (size_t)(t.at - out);
}

static void answer(struct http__request *r, int status, const char *content_type, struct bytes body)
{
	struct http__conn *c = r->conn;
	/* The last answer of a connection says so. */
	if (c->stopped && r == c->last && !c->reading_body)
		r->close = true;
	char head[HEAD_MAX + 2];
	size_t size = answer_head(r, status, content_type, body.size, head);
	struct bytes extra = buf_bytes(&r->extra);
	bool with_body = http__has_body(status) && r->public.method != HTTP_HEAD && body.size;
	if (!extra.size) {
		head[size] = '\r';
		head[size + 1] = '\n';
	}
	if (r == c->first && !c->stream) {
		net_conn_write(c->net, bytes_of(head, size + (extra.size ? 0 : 2)));
		if (extra.size) {
			net_conn_write(c->net, extra);
			net_conn_write(c->net, BYTES("\r\n"));
		}
		if (with_body)
			net_conn_write(c->net, body);
		advance(c);
		return;
	}
	buf_append(&r->answer, head, size + (extra.size ? 0 : 2));
	if (extra.size) {
		buf_append_bytes(&r->answer, extra);
		buf_append_str(&r->answer, "\r\n");
	}
	if (with_body)
		buf_append_bytes(&r->answer, body);
	buf_done(&r->body); /* it may be what was answered */
	r->public.body = (struct bytes){0};
	count_held(r);
	if (r->answer.failed)
		net_conn_close(c->net);
}

/* ---- event streams: the connection is nothing else then ---- */

static void subscribed(struct http__request *r)
{
	if (r == r->conn->first)
		advance(r->conn);
}

static void stream(struct http__request *r, struct http__events_link *link)
{
	struct http__conn *c = r->conn;
	c->stream = link;
	/* No length and no chunks: the stream ends with the connection, which every client of event streams understands. */
	net_conn_write(c->net, BYTES("HTTP/1.1 200 OK\r\n"));
	net_conn_write(c->net, bytes_of(http__date_line(c->shared), 37));
	net_conn_write(c->net,
		       BYTES("Content-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n" HTTP__EVENTS_FIRST));
	c->stopped = true;
}

static void event(struct http__conn *c, uint64_t id, struct http__event *event)
{
	if (!c->stream)
		return;
	if (!event)
		net_conn_finish(c->net);
	else if (net_conn_write_full(c->net))
		metric_add(METRIC_HTTP_EVENTS_SKIPPED, 1);
	else
		net_conn_write_ref(c->net, http__event_text(event), http__event_unref, http__event_ref(event));
}

/* ---- the connection ---- */

static void late(struct http__conn *c)
{
	if (c->reading_body) {
		struct http__request *r = c->reading;
		end_body(c);
		c->stopped = true;
		if (r)
			http__refuse_late(r, true);
		else
			advance(c);
	} else if (c->partial) {
		refuse_bytes(c, 408, "the headers did not come in time");
	} else {
		net_conn_finish(c->net);
	}
}

static void on_eof(struct http__conn *c)
{
	c->stopped = true;
	drop_unfinished(c);
}

static void on_drain(struct http__conn *c)
{
	c->stopped = true;
	if (c->stream || (!c->first && !c->reading_body))
		net_conn_finish(c->net);
}

static void on_close(struct http__conn *c)
{
	http__events_leave(c->stream);
	c->stream = NULL;
	http__body_done(&c->body);
}

const struct http__version http__version1 = {
	.data = on_data,
	.eof = on_eof,
	.drain = on_drain,
	.drained = advance,
	.deadline = deadline,
	.late = late,
	.close = on_close,
	.answer = answer,
	.login_over = login_over,
	.subscribed = subscribed,
	.stream = stream,
	.event = event,
};
