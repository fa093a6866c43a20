/* Server-sent events (WHATWG HTML, "Server-sent events"): one sender, many connections that each take an event when there is room.
 *
 * The list of streams is under a lock because any thread may send. A stream holds a reference to the events, so that whichever
 * ends first, the other finds it. */
#include "net/http_internal.h"
#include "base/metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct http__events_link {
	struct http__events_link *next, *prev;
	struct http_events *events; /* counted */
	struct sm_ref *ref;         /* counted */
};
struct http_events {
	pthread_mutex_t lock;
	struct http__events_link *links;
	uint32_t count;
	bool closed;
	_Atomic uint32_t refs;
};

/* The text of one event, shared by the streams that send it. */
struct event_text {
	_Atomic uint32_t refs;
	struct buf text;
};
struct event_msg {
	struct sm_msg msg;
	struct event_text *event;
};

static void text_unref(void *arg)
{
	struct event_text *event = arg;
	if (atomic_fetch_sub(&event->refs, 1) > 1)
		return;
	buf_done(&event->text);
	free(event);
}

static void event_done(struct sm_msg *msg)
{
	text_unref(((struct event_msg *)msg)->event);
	free(msg);
}
static void end_done(struct sm_msg *msg)
{
	free(msg);
}
const struct sm_msg_type http__msg_event = {"http event", event_done};
const struct sm_msg_type http__msg_events_end = {"http events end", end_done};

struct http_events *http_events_new(struct sm_system *system)
{
	struct http_events *events = calloc(1, sizeof *events);
	if (!events)
		return NULL;
	pthread_mutex_init(&events->lock, NULL);
	atomic_store(&events->refs, 1);
	return events;
}

static void events_unref(struct http_events *events)
{
	if (atomic_fetch_sub(&events->refs, 1) > 1)
		return;
	pthread_mutex_destroy(&events->lock);
	free(events);
}

void http_events_free(struct http_events *events)
{
	if (!events)
		return;
	pthread_mutex_lock(&events->lock);
	events->closed = true;
	for (struct http__events_link *link = events->links; link; link = link->next) {
		struct sm_msg *msg = calloc(1, sizeof *msg);
		if (!msg)
			continue;
		msg->type = &http__msg_events_end;
		if (sm_send_reply(link->ref, msg))
			sm_msg_free(msg);
	}
	pthread_mutex_unlock(&events->lock);
	events_unref(events);
}

uint32_t http_events_subscribers(const struct http_events *events)
{
	struct http_events *e = (struct http_events *)events;
	pthread_mutex_lock(&e->lock);
	uint32_t count = e->count;
	pthread_mutex_unlock(&e->lock);
	return count;
}

/* ---- streams ---- */

void http_events_subscribe(struct http_events *events, struct http_request *request)
{
	struct http__request *r = http__request_of(request);
	atomic_fetch_add(&events->refs, 1);
	r->events = events;
	r->release_events = events_unref;
	if (r == r->conn->first)
		http__advance(r->conn);
}

static struct http__events_link *link_new(struct http_events *events, struct http__conn *c)
{
	struct http__events_link *link = calloc(1, sizeof *link);
	if (!link)
		return NULL;
	link->events = events;
	pthread_mutex_lock(&events->lock);
	bool ok = !events->closed && events->count < HTTP_EVENT_STREAMS_MAX;
	if (ok) {
		events->count++;
		link->ref = sm_ref_get(net_conn_ref(c->net));
		link->next = events->links;
		if (link->next)
			link->next->prev = link;
		events->links = link;
		atomic_fetch_add(&events->refs, 1);
	}
	pthread_mutex_unlock(&events->lock);
	if (!ok) {
		free(link);
		return NULL;
	}
	return link;
}

void http__events_begin(struct http__request *r)
{
	struct http__conn *c = r->conn;
	struct http_events *events = r->events;
	if (r->public.method == HTTP_HEAD) {
		r->events = NULL;
		events_unref(events);
		http_reply(&r->public, 200, "text/event-stream", (struct bytes){0});
		return;
	}
	c->stream = link_new(events, c);
	r->events = NULL;
	events_unref(events);
	if (!c->stream) {
		http__refuse(r, 503, "there are too many event streams", false);
		return;
	}
	/* No length and no chunks: the stream ends with the connection, which every client of event streams understands. */
	net_conn_write(c->net, BYTES("HTTP/1.1 200 OK\r\n"));
	net_conn_write(c->net, bytes_of(http__date_line(c->shared), 37));
	net_conn_write(c->net,
		       BYTES("Content-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nretry: 2000\n\n"));
	metric_add(METRIC_HTTP_REQUESTS, 1);
	r->answered = true;
	c->stopped = true;
}

void http__events_leave(struct http__conn *c)
{
	struct http__events_link *link = c->stream;
	if (!link)
		return;
	c->stream = NULL;
	struct http_events *events = link->events;
	pthread_mutex_lock(&events->lock);
	if (link->next)
		link->next->prev = link->prev;
	if (link->prev)
		link->prev->next = link->next;
	else
		events->links = link->next;
	events->count--;
	pthread_mutex_unlock(&events->lock);
	sm_unref(link->ref);
	events_unref(events);
	free(link);
}

void http__events_receive(struct http__conn *c, struct sm_msg *msg)
{
	if (!c->stream)
		return;
	if (msg->type == &http__msg_events_end) {
		net_conn_finish(c->net);
		return;
	}
	struct event_text *event = ((struct event_msg *)msg)->event;
	if (net_conn_write_full(c->net)) {
		metric_add(METRIC_HTTP_EVENTS_SKIPPED, 1);
		return;
	}
	atomic_fetch_add(&event->refs, 1);
	net_conn_write_ref(c->net, buf_bytes(&event->text), text_unref, event);
}

/* ---- sending ---- */

/* Each line of data is a line of the event. */
static void write_event(struct buf *out, const char *name, struct bytes data)
{
	if (name) {
		buf_append_str(out, "event: ");
		buf_append_str(out, name);
		buf_append_str(out, "\n");
	}
	size_t at = 0;
	do {
		size_t n = 0;
		while (at + n < data.size && data.data[at + n] != '\n' && data.data[at + n] != '\r')
			n++;
		buf_append_str(out, "data: ");
		buf_append(out, data.data + at, n);
		buf_append_str(out, "\n");
		at += n;
		if (at + 1 < data.size && data.data[at] == '\r' && data.data[at + 1] == '\n')
			at++;
	} while (at++ < data.size);
	buf_append_str(out, "\n");
}

static void send_to(struct http__events_link *link, struct event_text *event)
{
	struct event_msg *msg = calloc(1, sizeof *msg);
	if (!msg) {
		metric_add(METRIC_HTTP_EVENTS_SKIPPED, 1);
		return;
	}
	msg->msg.type = &http__msg_event;
	msg->event = event;
	atomic_fetch_add(&event->refs, 1);
	enum sm_err err = sm_send(link->ref, &msg->msg);
	if (err == SM_FULL)
		metric_add(METRIC_HTTP_EVENTS_SKIPPED, 1);
	if (err)
		sm_msg_free(&msg->msg);
}

void http_events_send(struct http_events *events, const char *name, struct bytes data)
{
	struct event_text *event = calloc(1, sizeof *event);
	if (!event)
		return;
	atomic_store(&event->refs, 1);
	buf_init(&event->text);
	write_event(&event->text, name, data);
	if (!event->text.failed) {
		pthread_mutex_lock(&events->lock);
		for (struct http__events_link *link = events->links; link; link = link->next)
			send_to(link, event);
		pthread_mutex_unlock(&events->lock);
	}
	text_unref(event);
}
