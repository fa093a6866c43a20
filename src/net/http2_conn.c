/* HTTP/2: streams become requests, which pass the same rules as HTTP/1's (http_rules.c) and have the same handlers.
 *
 * A request is in the connection's list from the begin of its head until its stream is over. Its body goes into memory as it comes, which
 * opens the stream's window for more, while the connection's requests hold less than HTTP2_BODIES_MAX. Above that, what still comes
 * (a window's worth a stream) is put aside as it is, and only the oldest body grows; the others go on when requests are answered. So a
 * connection's memory is bounded and one request can always become whole. Answers that the peer does not take hold up handlers the same
 * way. While a password is checked the connection is not read. */
#include "net/http2_internal.h"
#include <stdlib.h>
#include <uv.h>

static void body_over(struct http__request *r, int status, const char *why)
{
	http__refuse(r, status, status == 400 && !why ? "the body is broken" : why, false);
}

/* ---- memory ---- */

static void hold(struct http__request *r, size_t size)
{
	r->stream->held += size;
	r->conn->h2->held += size;
}

static void hold_decoder(struct http__request *r)
{
	struct http2__stream *s = r->stream;
	size_t now = http__body_decoder_bytes(&s->body);
	r->conn->h2->waiting |= now < s->decoder;
	s->held += now - s->decoder;
	r->conn->h2->held += now - s->decoder;
	s->decoder = now;
}

void http2__drop_body(struct http__request *r)
{
	struct http2__conn *h2 = r->conn->h2;
	struct http2__stream *s = r->stream;
	/* What the handler's own copy needs is its own: the request is answered. */
	h2->held -= s->held;
	if (s->at == AT_READY || s->at == AT_HANDLER)
		h2->held_whole -= s->held;
	h2->waiting |= s->held != 0;
	s->held = s->decoder = 0;
	/* The handler may still be told that the request is gone. */
	r->public.body = (struct bytes){0};
	buf_done(&r->body);
	buf_done(&s->parked);
	http__body_done(&s->body);
}

static bool may_grow(const struct http__request *r)
{
	const struct http2__conn *h2 = r->conn->h2;
	if (h2->held <= HTTP2_BODIES_MAX)
		return true;
	const struct http__request *oldest = r->conn->first;
	while (oldest && oldest->stream->at != AT_BODY)
		oldest = oldest->next;
	return oldest == r && h2->held_whole <= HTTP2_BODIES_MAX;
}

/* ---- bodies ---- */

static void go_to_handler(struct http__request *r)
{
	if (r->conn->h2->unsent > HTTP2_ANSWERS_MAX) {
		r->conn->h2->waiting = true;
		return;
	}
	r->stream->at = AT_HANDLER;
	http__dispatch(r);
}

static void become_whole(struct http__request *r)
{
	r->stream->at = AT_READY;
	r->conn->h2->held_whole += r->stream->held;
	go_to_handler(r);
}

static void body_ended(struct http__request *r)
{
	int status = http__body_end(&r->stream->body);
	if (status) {
		body_over(r, status, NULL);
		return;
	}
	http__body_done(&r->stream->body);
	hold_decoder(r);
	r->public.body = buf_bytes(&r->body);
	become_whole(r);
}

/* Returns false when that was too much or broken: the request is answered. */
static bool grow(struct http__request *r, struct bytes piece)
{
	size_t before = buf_size(&r->body), used;
	bool whole;
	int status = http__body_feed(&r->stream->body, piece, &r->body, &used, &whole);
	hold(r, buf_size(&r->body) - before);
	hold_decoder(r);
	if (status)
		body_over(r, status, NULL);
	return !status;
}

static void take_parked(struct http__request *r)
{
	struct http2__stream *s = r->stream;
	size_t size = buf_size(&s->parked);
	s->since_ms = http__now_ms(r->conn);
	if (size && !grow(r, buf_bytes(&s->parked)))
		return;
	s->held -= size;
	r->conn->h2->held -= size;
	buf_done(&s->parked);
	if (s->ended)
		body_ended(r);
	else
		http2_took_of_stream(r->conn->h2->session, s->id, s->owed);
	s->owed = 0;
}

static void on_piece(void *arg, void *user, struct bytes piece)
{
	struct http__conn *c = arg;
	struct http__request *r = user;
	struct http2__stream *s = r->stream;
	http2_took_of_conn(c->h2->session, piece.size);
	if (s->at == AT_ANSWER)
		return;
	if (s->at == AT_BODY && !buf_size(&s->parked) && may_grow(r)) {
		s->since_ms = http__now_ms(c);
		if (grow(r, piece))
			http2_took_of_stream(c->h2->session, s->id, piece.size);
		return;
	}
	buf_append_bytes(&s->parked, piece);
	s->owed += piece.size;
	hold(r, piece.size);
	c->h2->waiting |= s->at == AT_BODY;
	if (s->parked.failed)
		net_conn_close(c->net);
}

static void on_end(void *arg, void *user)
{
	struct http__request *r = user;
	r->stream->ended = true;
	if (r->stream->at == AT_BODY && !buf_size(&r->stream->parked))
		body_ended(r);
}

/* ---- a request's beginning ---- */

static void *on_open_stream(void *arg, int32_t id)
{
	struct http__conn *c = arg;
	struct http__request *r = http__append(c);
	if (!r)
		return NULL;
	r->stream = arena_alloc(&r->arena, sizeof *r->stream);
	if (!r->stream) {
		http__remove(c, r);
		return NULL;
	}
	r->stream->id = id;
	r->stream->since_ms = http__now_ms(c);
	r->minor = 1;
	return r;
}

static void on_field(void *arg, void *user, struct bytes name, struct bytes value)
{
	struct http__request *r = user;
	http2__head_field(&r->stream->lines, &r->arena, name, value);
}

/* Who sends it is known. */
static void take_request(struct http__request *r, int status, const char *why)
{
	struct http2__stream *s = r->stream;
	const struct http__head *head = &s->lines.head;
	if (!status)
		status = http__admit(r, head, &s->body, &why);
	if (status) {
		http__refuse(r, status, why, false);
		return;
	}
	if (s->body.kind == BODY_NONE) {
		become_whole(r);
		return;
	}
	s->at = AT_BODY;
	hold_decoder(r);
	s->since_ms = s->body_ms = http__now_ms(r->conn);
	if (buf_size(&s->parked) || s->ended)
		r->conn->h2->waiting = true;
	else if (head->flags & HEAD_CONTINUE)
		http2_continue(r->conn->h2->session, s->id);
}

/* One password at a time; the next request finds what the last one has shown. */
static void ask_next(struct http__conn *c)
{
	struct http2__conn *h2 = c->h2;
	for (struct http__request *r = c->first; r && !h2->checking; r = r->next) {
		const char *why = NULL;
		if (r->stream->at != AT_QUEUED)
			continue;
		int status = http__login_begin(r, &why);
		if (status || !r->login) {
			take_request(r, status, why);
			continue;
		}
		r->stream->at = AT_CHECKING;
		h2->checking = r;
		net_conn_pause(c->net);
		http__login_check(r);
	}
}

static void check_over(struct http__conn *c)
{
	c->h2->checking = NULL;
	net_conn_resume(c->net);
}

static void remove_request(struct http__request *r)
{
	struct http__conn *c = r->conn;
	c->h2->waiting = true;
	http__remove(c, r);
	c->idle_ms = http__now_ms(c);
}

static void login_over(struct http__request *r, int status, const char *why)
{
	struct http__conn *c = r->conn;
	http2__enter(c);
	check_over(c);
	c->now_ns = uv_hrtime();
	if (r->stream->closed)
		remove_request(r);
	else
		take_request(r, status, why);
	http2__leave(c);
}

static void on_head(void *arg, void *user, bool last)
{
	struct http__conn *c = arg;
	struct http__request *r = user;
	struct http2__head *lines = &r->stream->lines;
	int status = http2__head_end(lines, &r->arena, last);
	r->stream->ended = last;
	r->public.headers = lines->headers;
	r->public.header_count = lines->head.header_count;
	r->public.method = lines->head.method;
	if (!status)
		http__cors(r, &lines->head);
	if (status) {
		http__refuse(r, status, lines->head.why, false);
	} else if (c->listener->outside && !r->preflight) {
		r->stream->at = AT_QUEUED;
		ask_next(c);
	} else {
		take_request(r, 0, NULL);
	}
}

static bool on_close_stream(void *arg, void *user)
{
	struct http__conn *c = arg;
	struct http__request *r = user;
	bool sent = r->stream->sent;
	http2__drop_body(r);
	/* A reset ends no check: one that were begun in its place would be the second at a time. */
	if (c->h2->checking == r) {
		r->stream->closed = true;
		return false;
	}
	c->h2->unsent -= buf_size(&r->answer);
	http__events_leave(r->stream->events);
	remove_request(r);
	return sent;
}

static void write_out(void *arg, struct bytes data)
{
	net_conn_write(((struct http__conn *)arg)->net, data);
}

static bool is_full(void *arg)
{
	return net_conn_write_full(((struct http__conn *)arg)->net);
}

static const struct http2_ops ops = {
	.open = on_open_stream,
	.field = on_field,
	.head = on_head,
	.data = on_piece,
	.end = on_end,
	.close = on_close_stream,
	.answer = http2__read_answer,
	.write = write_out,
	.full = is_full,
};

/* ---- what follows from what has happened ---- */

/* Requests that waited for something to get less; no stream ends within. */
static void go_on(struct http__conn *c)
{
	ask_next(c);
	for (struct http__request *r = c->first; r; r = r->next) {
		struct http2__stream *s = r->stream;
		if (s->at == AT_BODY && (buf_size(&s->parked) || s->ended)) {
			if (may_grow(r))
				take_parked(r);
			else
				c->h2->waiting = true;
		} else if (s->at == AT_READY) {
			go_to_handler(r);
		}
	}
}

static void settle(struct http__conn *c)
{
	struct http2__conn *h2 = c->h2;
	for (bool more = true; more;) {
		if (h2->waiting) {
			h2->waiting = false;
			go_on(c);
		}
		bool waited = h2->waiting;
		h2->waiting = false;
		if (h2->draining && !c->first)
			http2_drain(h2->session, true);
		if (http2_pump(h2->session)) {
			net_conn_close(c->net);
			return;
		}
		more = h2->waiting; /* something has ended or left */
		h2->waiting |= waited;
	}
	if (http2_over(h2->session) || (c->ended && !c->first)) {
		h2->finished = true;
		net_conn_finish(c->net);
	}
	if (c->paused && !net_conn_write_full(c->net)) {
		c->paused = false;
		net_conn_resume(c->net);
	}
}

/* Time in which we do not read is none that the peer lets pass. */
static void heed_pauses(struct http__conn *c)
{
	struct http2__conn *h2 = c->h2;
	uint64_t now = http__now_ms(c);
	if (h2->checking || c->paused || net_conn_write_full(c->net)) {
		if (!h2->held_ms)
			h2->held_ms = now;
		return;
	}
	if (!h2->held_ms)
		return;
	for (struct http__request *r = c->first; r; r = r->next) {
		struct http2__stream *s = r->stream;
		s->since_ms = now;
		uint64_t body_ms = s->body_ms + (now - h2->held_ms);
		s->body_ms = body_ms < now ? body_ms : now;
	}
	h2->held_ms = 0;
}

void http2__enter(struct http__conn *c)
{
	c->h2->depth++;
}

void http2__leave(struct http__conn *c)
{
	if (c->h2->depth == 1) {
		settle(c);
		heed_pauses(c);
		/* What is whole waits for its handler or the log, not for bytes. */
		net_conn_large(c->net, c->h2->held - c->h2->held_whole > NET_READ_CHUNK);
	}
	c->h2->depth--;
	if (!c->h2->depth)
		http__arm(c);
}

/* ---- the connection ---- */

static enum sm_err on_data(struct http__conn *c, struct bytes in, size_t *ret_used)
{
	if (net_conn_write_full(c->net)) {
		c->paused = true;
		net_conn_pause(c->net);
		*ret_used = 0;
		return SM_OK;
	}
	c->now_ns = uv_hrtime();
	http2__enter(c);
	enum sm_err err = http2_feed(c->h2->session, in, http__now_ms(c));
	http2__leave(c);
	*ret_used = in.size;
	return err;
}

static uint64_t sooner(uint64_t at, uint64_t other)
{
	return !at || other < at ? other : at;
}

static uint64_t request_deadline(const struct http__request *r)
{
	const struct http2__stream *s = r->stream;
	if (s->at == AT_HEAD)
		return s->since_ms + r->conn->server->options.header_timeout_ms;
	/* A client that is answered before it has sent all looks at the answer only then, or stops by itself. */
	if (s->at == AT_ANSWER && s->sent && !s->ended)
		return s->since_ms + NET_LINGER_MS;
	if (s->at == AT_BODY && !s->ended && !buf_size(&s->parked))
		return http__body_deadline(r->conn->server, &s->body, s->body_ms, s->since_ms);
	return 0;
}

static uint64_t deadline(struct http__conn *c)
{
	const struct http_server_options *o = &c->server->options;
	struct http2__conn *h2 = c->h2;
	/* Also with a full queue: nothing that is late could be told; net_conn looks whether the peer reads at all. */
	if (h2->held_ms || c->paused || h2->finished)
		return 0;
	if (!http2_greeted(h2->session))
		return c->since_ms + o->header_timeout_ms;
	if (!c->first)
		return h2->draining ? 0 : c->idle_ms + o->idle_timeout_ms;
	uint64_t at = h2->unsent ? h2->sent_ms + NET_WRITE_STALL_MS : 0;
	for (struct http__request *r = c->first; r; r = r->next) {
		uint64_t its = request_deadline(r);
		if (its)
			at = sooner(at, its);
	}
	return at;
}

/* Only what is late itself: the connection goes on, unless it cannot. */
static void late(struct http__conn *c)
{
	struct http2__conn *h2 = c->h2;
	uint64_t now = http__now_ms(c);
	http2__enter(c);
	bool stalled = h2->unsent && now >= h2->sent_ms + NET_WRITE_STALL_MS;
	for (struct http__request *r = c->first; r; r = r->next) {
		uint64_t its = request_deadline(r);
		if (!its || now < its)
			continue;
		/* Nothing else can come within a block of header lines. */
		if (r->stream->at == AT_HEAD)
			stalled = true;
		else if (r->stream->at == AT_ANSWER)
			http2_unwanted(h2->session, r->stream->id);
		else
			http__refuse_late(r, false);
	}
	if (stalled || !c->first) {
		http2_end(h2->session, false);
		h2->waiting = true;
	}
	http2__leave(c);
	http__arm(c);
}

/* The peer has ended its side: bodies that have not come will not, and no reset would end an event stream. */
static void on_eof(struct http__conn *c)
{
	http2__enter(c);
	http2__end_events(c);
	for (struct http__request *r = c->first; r; r = r->next)
		if (!r->stream->ended && r->stream->at != AT_ANSWER && !r->stream->closed)
			http2_cancel(c->h2->session, r->stream->id);
	http2__leave(c);
}

static void on_drain(struct http__conn *c)
{
	http2__enter(c);
	c->h2->draining = true;
	http2__end_events(c);
	http2_drain(c->h2->session, false);
	http2__leave(c);
}

static void on_drained(struct http__conn *c)
{
	http2__enter(c);
	http2__leave(c);
}

static void on_close(struct http__conn *c)
{
	c->h2->depth++; /* nothing follows from it any more */
	for (struct http__request *r = c->first; r; r = r->next) {
		http2__drop_body(r);
		http__events_leave(r->stream->events);
	}
	http2_free(c->h2->session);
	while (c->first)
		http__remove(c, c->first);
	free(c->h2);
	c->h2 = NULL;
}

enum sm_err http2__begin(struct http__conn *c)
{
	struct http2__conn *h2 = calloc(1, sizeof *h2);
	if (!h2 || !(h2->session = http2_new(&ops, c))) {
		free(h2);
		return SM_NO_MEMORY;
	}
	c->h2 = h2;
	c->version = &http__version2;
	c->since_ms = c->idle_ms = http__now_ms(c);
	http2__enter(c); /* our SETTINGS need not wait for the client's */
	http2__leave(c);
	return SM_OK;
}

const struct http__version http__version2 = {
	.data = on_data,
	.eof = on_eof,
	.drain = on_drain,
	.drained = on_drained,
	.deadline = deadline,
	.late = late,
	.close = on_close,
	.answer = http2__answer,
	.login_over = login_over,
	.subscribed = http2__subscribed,
	.stream = http2__stream,
	.event = http2__event,
};
