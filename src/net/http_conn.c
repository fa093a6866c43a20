/* One HTTP connection, whichever version it speaks: which one that is, its list of requests, its timer.
 *
 * With TLS the version is agreed on (ALPN). Without, a connection that begins with HTTP/2's preface speaks HTTP/2, by prior knowledge
 * (RFC 9113 3.3), every other one HTTP/1. Upgrade is not answered, as RFC 9110 7.8 allows. */
#include "net/http_internal.h"
#include "actor/actor.h"

uint64_t http__now_ms(const struct http__conn *c)
{
	return uv_now(actor_loop(net_conn_actor(c->net)));
}

/* ---- timeouts: one timer, started again only for an earlier end; one that fires early looks what is due ---- */

void http__arm(struct http__conn *c)
{
	uint64_t at = c->version->deadline(c), now = http__now_ms(c);
	if (!at || (c->armed_ms && c->armed_ms <= at))
		return;
	c->armed_ms = at;
	if (sm_timer_start(net_conn_actor(c->net), HTTP_TIMER, at > now ? at - now : 0, 0))
		net_conn_close(c->net);
}

static void on_timer(struct http__conn *c)
{
	uint64_t at = c->version->deadline(c);
	c->armed_ms = 0;
	if (!at)
		return;
	if (http__now_ms(c) < at)
		http__arm(c);
	else
		c->version->late(c);
}

/* ---- the list of requests ---- */

struct http__request *http__append(struct http__conn *c)
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

static void drop(struct http__request *r)
{
	if (r->under_way && !r->answered && r->public.gone)
		r->public.gone(&r->public);
	if (r->events)
		r->release_events(r->events);
	http__login_free(r->login);
	http__request_free(r);
}

void http__remove(struct http__conn *c, struct http__request *r)
{
	struct http__request **at = &c->first, *before = NULL;
	while (*at != r) {
		before = *at;
		at = &before->next;
	}
	*at = r->next;
	if (c->last == r)
		c->last = before;
	c->count--;
	c->held -= r->held;
	drop(r);
}

struct http__request *http__find(struct http__conn *c, uint64_t id)
{
	struct http__request *r = c->first;
	while (r && r->id != id)
		r = r->next;
	return r;
}

/* ---- which version ---- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113 3.4 */

/* false: more must come before it can be told. */
static bool choose(struct http__conn *c, struct bytes in, enum sm_err *ret_err)
{
	size_t size = in.size < sizeof preface - 1 ? in.size : sizeof preface - 1;
	bool same = memcmp(in.data, preface, size) == 0;
	if (same && size < sizeof preface - 1) {
		if (!c->partial)
			c->since_ms = http__now_ms(c);
		c->partial = true;
		http__arm(c);
		return false;
	}
	c->choosing = false;
	if (same) {
		c->partial = false;
		*ret_err = http2__begin(c);
	}
	return true;
}

static enum sm_err on_data(struct net_conn *net, void *state, struct bytes in, size_t *ret_used)
{
	struct http__conn *c = state;
	enum sm_err err = SM_OK;
	if (c->choosing && !choose(c, in, &err))
		return SM_OK;
	return err ? err : c->version->data(c, in, ret_used);
}

static enum sm_err on_open(struct net_conn *net, void *state, void *arg)
{
	struct http__conn *c = state;
	c->net = net;
	c->listener = arg;
	c->server = c->listener->server;
	c->version = &http__version1;
	c->shared = http__shared_get();
	if (!c->shared)
		return SM_NO_MEMORY;
	char host[46];
	net_conn_local(net, host, &c->port);
	c->idle_ms = http__now_ms(c);
	if (strcmp(net_conn_alpn(net), "h2") == 0)
		return http2__begin(c);
	c->choosing = !net_conn_secure(net);
	http__arm(c);
	return SM_OK;
}

/* ---- the rest ---- */

static enum sm_err on_receive(struct net_conn *net, void *state, struct sm_msg *msg)
{
	struct http__conn *c = state;
	if (msg->type == &http__msg_ticket)
		http__ticket_run(c, msg);
	else if (msg->type == &http__msg_event)
		http__events_receive(c, msg);
	else if (msg->type == &sm_msg_timer && ((struct sm_timer_msg *)msg)->timer == HTTP_TIMER)
		on_timer(c);
	return SM_OK;
}

static void on_drained(struct net_conn *net, void *state)
{
	struct http__conn *c = state;
	c->version->drained(c);
}

static void on_eof(struct net_conn *net, void *state)
{
	struct http__conn *c = state;
	c->ended = true;
	c->version->eof(c);
}

static void on_drain(struct net_conn *net, void *state)
{
	struct http__conn *c = state;
	c->version->drain(c);
}

static void on_close(struct net_conn *net, void *state)
{
	struct http__conn *c = state;
	if (!c->shared)
		return;
	c->version->close(c);
	while (c->first)
		http__remove(c, c->first);
	http__shared_put(c->shared);
}

const struct net_protocol http__protocol = {
	.name = "http",
	.state_size = sizeof(struct http__conn),
	.mailbox_max = HTTP_MAILBOX_MAX,
	.busy = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	.open = on_open,
	.data = on_data,
	.receive = on_receive,
	.eof = on_eof,
	.drain = on_drain,
	.drained = on_drained,
	.close = on_close,
};
