/* Answers and event streams on HTTP/2: fields, and a body that nghttp2 takes as the peer's windows open. */
#include "base/metrics.h"
#include "net/http2_internal.h"
#include <assert.h>
#include <stdio.h>

struct fields {
	struct http2_field items[HTTP2_ANSWER_HEADERS_MAX + 4];
	size_t count;
	char status[8], length[24];
};

static void add(struct fields *f, struct bytes name, struct bytes value)
{
	assert(f->count < sizeof f->items / sizeof *f->items);
	f->items[f->count++] = (struct http2_field){name, value};
}

/* The lines of http_reply_header; their names are put into lower case in place. */
static void add_extra(struct fields *f, struct buf *extra)
{
	if (extra->failed) /* its last line may be half a one */
		return;
	uint8_t *p = extra->data ? extra->data + extra->start : NULL, *end = extra->data ? extra->data + extra->end : NULL;
	while (p < end) {
		uint8_t *colon = memchr(p, ':', (size_t)(end - p)), *cr = memchr(p, '\r', (size_t)(end - p));
		for (uint8_t *c = p; c < colon; c++)
			*c = *c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c;
		/* A value that is blank at its ends would break RFC 9113 8.2.1. */
		uint8_t *value = colon + 2, *value_end = cr;
		while (value < value_end && *value == ' ')
			value++;
		while (value < value_end && value_end[-1] == ' ')
			value_end--;
		add(f, bytes_of(p, (size_t)(colon - p)), bytes_of(value, (size_t)(value_end - value)));
		p = cr + 2;
	}
}

static void begin(struct fields *f, struct http__request *r, int status, const char *content_type)
{
	f->count = 0;
	snprintf(f->status, sizeof f->status, "%03u", (unsigned)status % 1000u);
	add(f, BYTES(":status"), bytes_of(f->status, 3));
	add(f, BYTES("date"), bytes_of(http__date_line(r->conn->shared) + 6, 29));
	if (content_type && http__has_body(status))
		add(f, BYTES("content-type"), bytes_str(content_type));
}

/* The head leaves; what there is of the body is in r->answer. */
static void send_head(struct http__request *r, struct fields *f, bool has_body)
{
	struct http__conn *c = r->conn;
	struct http2__conn *h2 = c->h2;
	add_extra(f, &r->extra);
	r->stream->at = AT_ANSWER;
	if (!h2->unsent)
		h2->sent_ms = http__now_ms(c);
	h2->unsent += buf_size(&r->answer);
	r->stream->sent = !has_body;
	r->stream->since_ms = http__now_ms(c);
	if (r->answer.failed || r->extra.failed || http2_answer(h2->session, r->stream->id, f->items, f->count, has_body, r))
		net_conn_close(c->net);
}

void http2__answer(struct http__request *r, int status, const char *content_type, struct bytes body)
{
	struct http__conn *c = r->conn;
	struct fields fields;
	http2__enter(c);
	begin(&fields, r, status, content_type);
	if (http__has_body(status)) {
		snprintf(fields.length, sizeof fields.length, "%zu", body.size);
		add(&fields, BYTES("content-length"), bytes_str(fields.length));
	}
	bool with_body = http__has_body(status) && r->public.method != HTTP_HEAD && body.size;
	if (with_body)
		buf_append_bytes(&r->answer, body);
	r->stream->last = true;
	/* The body may be what was sent: it goes only now. */
	http2__drop_body(r);
	send_head(r, &fields, with_body);
	http2__leave(c);
}

size_t http2__read_answer(void *arg, void *user, uint8_t *out, size_t room, bool *ret_last)
{
	struct http__conn *c = arg;
	struct http__request *r = user;
	struct bytes left = buf_bytes(&r->answer);
	size_t size = left.size < room ? left.size : room;
	if (left.data)
		memcpy(out, left.data, size);
	buf_consume(&r->answer, size);
	c->h2->waiting |= c->h2->unsent > HTTP2_ANSWERS_MAX;
	c->h2->unsent -= size;
	c->h2->sent_ms = http__now_ms(c);
	*ret_last = r->stream->last && size == left.size;
	r->stream->sent |= *ret_last;
	r->stream->since_ms = c->h2->sent_ms;
	return size;
}

/* ---- event streams: an answer without an end ---- */

void http2__subscribed(struct http__request *r)
{
	struct http__conn *c = r->conn;
	http2__enter(c);
	http__events_begin(r);
	http2__leave(c);
}

void http2__stream(struct http__request *r, struct http__events_link *link)
{
	struct fields fields;
	begin(&fields, r, 200, "text/event-stream");
	add(&fields, BYTES("cache-control"), BYTES("no-store"));
	r->stream->events = link;
	r->stream->last = r->conn->h2->draining || r->conn->ended;
	http2__drop_body(r);
	buf_append_str(&r->answer, HTTP__EVENTS_FIRST);
	send_head(r, &fields, true);
}

void http2__event(struct http__conn *c, uint64_t id, struct http__event *event)
{
	struct http__request *r = http__find(c, id);
	if (!r || !r->stream->events || r->stream->last)
		return;
	struct bytes text = event ? http__event_text(event) : (struct bytes){0};
	if (event && buf_size(&r->answer) + text.size > HTTP2_EVENTS_MAX) {
		metric_add(METRIC_HTTP_EVENTS_SKIPPED, 1);
		return;
	}
	http2__enter(c);
	if (!c->h2->unsent)
		c->h2->sent_ms = http__now_ms(c);
	buf_append_bytes(&r->answer, text);
	c->h2->unsent += text.size;
	r->stream->last = !event;
	if (r->answer.failed)
		net_conn_close(c->net);
	else
		http2_resume(c->h2->session, r->stream->id);
	http2__leave(c);
}

void http2__end_events(struct http__conn *c)
{
	for (struct http__request *r = c->first; r; r = r->next) {
		if (!r->stream->events || r->stream->last)
			continue;
		r->stream->last = true;
		http2_resume(c->h2->session, r->stream->id);
	}
}
