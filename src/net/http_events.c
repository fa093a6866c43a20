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
	uint64_t id;                /* of its request */
};
struct http_events {
	pthread_mutex_t lock;
	struct http__events_link *links;
	uint32_t count;
	bool closed;
	_Atomic uint32_t refs;
};

/* The text of one event, shared by the streams that send it. */
struct http__event {
	_Atomic uint32_t refs;
	struct buf text;
};
struct event_msg {
	struct sm_msg msg;
	uint64_t id;
	struct http__event *event; /* NULL: the end */
};

void http__event_unref(void *arg)
{
	struct http__event *event = arg;
	if (atomic_fetch_sub(&event->refs, 1) > 1)
		return;
	buf_done(&event->text);
	free(event);
}

struct bytes http__event_text(const struct http__event *event)
{
	return buf_bytes(&event->text);
}

struct http__event *http__event_ref(struct http__event *event)
{
	atomic_fetch_add(&event->refs, 1);
	return event;
}

static void event_done(struct sm_msg *msg)
{
	struct http__event *event = ((struct event_msg *)msg)->event;
	if (event)
		http__event_unref(event);
	free(msg);
}
const struct sm_msg_type http__msg_event = {"http event", event_done};

static struct event_msg *message(const struct http__events_link *link, struct http__event *event)
{
	struct event_msg *msg = calloc(1, sizeof *msg);
	if (!msg)
		return NULL;
	msg->msg.type = &http__msg_event;
	msg->id = link->id;
	msg->event = event ? http__event_ref(event) : NULL;
	return msg;
}

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
		struct event_msg *msg = message(link, NULL);
		if (msg && sm_send_reply(link->ref, &msg->msg))
			sm_msg_free(&msg->msg);
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
	r->conn->version->subscribed(r);
}

static struct http__events_link *link_new(struct http_events *events, const struct http__request *r)
{
	struct http__events_link *link = calloc(1, sizeof *link);
	if (!link)
		return NULL;
	link->events = events;
	link->id = r->id;
	pthread_mutex_lock(&events->lock);
	bool ok = !events->closed && events->count < HTTP_EVENT_STREAMS_MAX;
	if (ok) {
		events->count++;
		link->ref = sm_ref_get(net_conn_ref(r->conn->net));
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
	struct http_events *events = r->events;
	if (r->public.method == HTTP_HEAD) {
		r->events = NULL;
		events_unref(events);
		http_reply(&r->public, 200, "text/event-stream", (struct bytes){0});
		return;
	}
	struct http__events_link *link = link_new(events, r);
	r->events = NULL;
	events_unref(events);
	if (!link) {
		http__refuse(r, 503, "there are too many event streams", false);
		return;
	}
	metric_add(METRIC_HTTP_REQUESTS, 1);
	r->answered = true;
	r->conn->version->stream(r, link);
}

void http__events_leave(struct http__events_link *link)
{
	if (!link)
		return;
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
	struct event_msg *m = (struct event_msg *)msg;
	c->version->event(c, m->id, m->event);
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

static void send_to(struct http__events_link *link, struct http__event *event)
{
	struct event_msg *msg = message(link, event);
	if (!msg) {
		metric_add(METRIC_HTTP_EVENTS_SKIPPED, 1);
		return;
	}
	enum sm_err err = sm_send(link->ref, &msg->msg);
	if (err == SM_FULL)
		metric_add(METRIC_HTTP_EVENTS_SKIPPED, 1);
	if (err)
		sm_msg_free(&msg->msg);
}

void http_events_send(struct http_events *events, const char *name, struct bytes data)
{
	struct http__event *event = calloc(1, sizeof *event);
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
	http__event_unref(event);
}
