/* A client's connection: frames in, requests in their turn, answers in order.
 *
 * Two queues: `waiting` holds whole frames that have not begun, `underway` the requests that have, in the order of arrival. The
 * head of `underway` leaves when it is finished. All of this runs on the connection's dispatcher. */
#include "kafka/kafka_internal.h"
#include "base/logging.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "kafka/quota.h"
#include <assert.h>
#include <stdlib.h>

struct queue {
	struct kafka_request *first, **last;
	uint32_t count;
	size_t bytes;
};
struct kafka_conn {
	struct kafka_server *server;
	const struct kafka_listener *listener;
	struct kafka_session session;
	struct net_conn *net;
	struct queue waiting, underway;
	uint32_t stalls; /* requests under way that wait for the log */
	bool paused;     /* we do not read */
	bool closing;    /* nothing new begins; the connection ends when underway is empty */
	bool pumping;
	uint64_t muted_ns; /* nothing is read or begun until then: its client has used up a quota; 0: all is */
	uint64_t timer_ns; /* when the timer fires; 0: not started */
	char host[46];
	uint16_t port;
};
enum { TIMER = 1, LOGIN_TIMER, REFUSED_TIMER };

static void queue_init(struct queue *q)
{
	*q = (struct queue){0};
	q->last = &q->first;
}

static void queue_push(struct queue *q, struct kafka_request *r)
{
	r->next = NULL;
	*q->last = r;
	q->last = &r->next;
	q->count++;
	q->bytes += r->frame_size;
}

static struct kafka_request *queue_pop(struct queue *q)
{
	struct kafka_request *r = q->first;
	assert(r);
	q->first = r->next;
	if (!q->first)
		q->last = &q->first;
	q->count--;
	q->bytes -= r->frame_size;
	return r;
}

/* ---- out ---- */

static void release_request(void *arg)
{
	kafka__request_unref(arg);
}

static void release_slice(void *arg)
{
	struct kafka_slice *s = arg;
	log_slice_done(&s->slice);
	kafka__request_unref(s->request);
}

#define COPY_MAX 4096 /* below, a copy is cheaper than a queue entry of its own */
static void write_piece(struct kafka_conn *c, struct kafka_request *r, struct bytes piece)
{
	if (piece.size == 0)
		return;
	if (piece.size <= COPY_MAX)
		net_conn_write(c->net, piece);
	else
		net_conn_write_ref(c->net, piece, release_request, kafka__request_ref(r));
}

static void write_slice(struct kafka_conn *c, struct kafka_slice *s)
{
	kafka__request_ref(s->request);
	if (s->slice.data)
		net_conn_write_ref(c->net, bytes_of(s->slice.data, s->slice.size), release_slice, s);
	else
		net_conn_write_file(c->net, s->slice.fd, s->slice.file_at, s->slice.size, release_slice, s);
}

static void write_reply(struct kafka_conn *c, struct kafka_request *r)
{
	struct bytes all = buf_bytes(&r->out);
	size_t at = 0;
	for (uint32_t i = 0; i < r->splice_count; i++) {
		write_piece(c, r, bytes_of(all.data + at, r->splices[i].at - at));
		at = r->splices[i].at;
		write_slice(c, r->splices[i].splice);
	}
	write_piece(c, r, bytes_of(all.data + at, all.size - at));
}

/* ---- turns ---- */

static bool is_produce(const struct kafka_conn *c, const struct kafka_request *r)
{
	return c->session.state == SESSION_OPEN && r->frame_size >= 2 && be16_get(r->frame) == KAFKA_PRODUCE;
}

static bool is_full(size_t bytes, size_t bytes_max)
{
	return bytes >= bytes_max || (bytes >= KAFKA_TIGHT_BYTES_MAX && memory_tight());
}

static bool may_begin(const struct kafka_conn *c)
{
	const struct kafka_request *r = c->waiting.first;
	if (!r || c->closing || c->stalls || c->muted_ns || net_conn_write_full(c->net))
		return false;
	if (!c->underway.first)
		return true;
	return is_produce(c, r) && is_produce(c, c->underway.first) && c->underway.count < KAFKA_PRODUCES_MAX &&
	       !is_full(c->underway.bytes, KAFKA_PRODUCES_BYTES_MAX);
}

static void begin(struct kafka_conn *c)
{
	struct kafka_request *r = queue_pop(&c->waiting);
	queue_push(&c->underway, r);
	r->begun = true;
	enum kafka_admission admission = kafka__session_admit(&c->session, r);
	if (admission == ADMIT_TOKEN) {
		kafka__sasl_token(r);
		return;
	}
	bool answered;
	kafka__turn_begin(r);
	enum sm_err err = admission == ADMIT_NOT ? SM_DENIED : kafka__request_parse(r, &answered);
	if (err) {
		LOG_DEBUG("kafka", "connection %s closed: request of %zu bytes, %s", net_conn_peer(c->net), r->frame_size,
			  sm_err_text(err));
		kafka__abort(r);
	} else if (admission == ADMIT_ILLEGAL) {
		kafka__sasl_illegal(r);
	} else if (answered) {
		kafka__finish(r);
	} else if (!r->server->acls || kafka__authorize(r)) {
		r->api->handle(r);
	}
	kafka__turn_end(r);
}

static void set_pause(struct kafka_conn *c)
{
	size_t bytes_max = c->session.state == SESSION_OPEN ? KAFKA_WAITING_BYTES_MAX : KAFKA_LOGIN_FRAME_MAX;
	bool pause = c->waiting.count >= KAFKA_WAITING_MAX || is_full(c->waiting.bytes, bytes_max) || c->muted_ns;
	if (pause == c->paused)
		return;
	c->paused = pause;
	if (pause)
		net_conn_pause(c->net);
	else
		net_conn_resume(c->net);
}

static void mute(struct kafka_conn *c, uint32_t ms);

static void pump(struct kafka_conn *c)
{
	if (c->pumping)
		return;
	c->pumping = true;
	for (;;) {
		struct kafka_request *r = c->underway.first;
		if (r && r->finished) {
			queue_pop(&c->underway);
			if (!r->silent)
				write_reply(c, r);
			if (r->throttle_ms)
				mute(c, r->throttle_ms);
			r->conn = NULL;
			kafka__request_unref(r);
		} else if (may_begin(c)) {
			begin(c);
		} else {
			break;
		}
	}
	c->pumping = false;
	if (c->closing && !c->underway.first)
		net_conn_finish(c->net);
	else
		set_pause(c);
}

static void end_after_underway(struct kafka_conn *c)
{
	c->closing = true;
	while (c->waiting.first)
		kafka__request_unref(queue_pop(&c->waiting));
	pump(c);
}

void kafka__finish(struct kafka_request *r)
{
	if (!r->conn || r->finished)
		return;
	if ((r->server->acls && !r->encoded && !kafka__authorize_reply(r)) || kafka__answer_encode(r)) {
		kafka__abort(r);
		return;
	}
	if (!r->silent && !r->encoded)
		metric_add_labelled(METRIC_KAFKA_REQUESTS, r->api->name, 1);
	r->finished = true;
	pump(r->conn);
}

void kafka__finish_last(struct kafka_request *r)
{
	struct kafka_conn *c = r->conn;
	if (!c || r->finished)
		return;
	c->closing = true;
	kafka__finish(r);
	end_after_underway(c);
}

struct kafka_session *kafka__session(struct kafka_request *r)
{
	return &r->conn->session;
}

void kafka__abort(struct kafka_request *r)
{
	if (!r->conn || r->finished)
		return;
	r->silent = r->finished = true;
	end_after_underway(r->conn);
}

void kafka__stall(struct kafka_request *r, bool on)
{
	if (!r->conn || r->stalled == on)
		return;
	r->stalled = on;
	if (on)
		r->conn->stalls++;
	else
		r->conn->stalls--;
	if (!on)
		pump(r->conn);
}

bool kafka__ending(const struct kafka_request *r)
{
	return !r->conn || r->conn->closing;
}

/* ---- steps elsewhere and back ---- */

static void post(struct kafka_msg *m)
{
	if (sm_send_reply(m->request->conn_ref, &m->msg))
		kafka__request_unref(m->request);
}

void kafka__resume(struct kafka_request *r)
{
	post(&r->resume_msg);
}
void kafka__wake(struct kafka_request *r)
{
	post(&r->wake_msg);
}

static void pool_work(struct sm_work *work)
{
	struct kafka_request *r = (struct kafka_request *)((char *)work - offsetof(struct kafka_request, work));
	kafka__pool_turn(r);
	kafka__resume(r);
}

static void pool_again(struct kafka_request *r);

void kafka__pool(struct kafka_request *r, void (*run)(struct kafka_request *r))
{
	r->pool_run = run;
	r->work.run = pool_work;
	kafka__request_ref(r);
	if (sm_pool_run(r->server->system, &r->work) == SM_OK)
		return;
	kafka__request_unref(r);
	kafka__later(r, KAFKA_RETRY_MS, pool_again); /* full */
}

static void pool_again(struct kafka_request *r)
{
	kafka__pool(r, r->pool_run);
}

static void set_timer(struct kafka_conn *c)
{
	uint64_t first = c->muted_ns;
	for (struct kafka_request *r = c->underway.first; r; r = r->next) {
		if (r->due_ns && (!first || r->due_ns < first))
			first = r->due_ns;
	}
	if (!first || (c->timer_ns && c->timer_ns <= first))
		return;
	uint64_t now = clock_monotonic_ns(&clock_system);
	uint64_t ms = first > now ? (first - now + 999999) / 1000000 : 0;
	c->timer_ns = first;
	if (sm_timer_start(net_conn_actor(c->net), TIMER, ms ? ms : 1, 0))
		net_conn_close(c->net);
}

static void mute(struct kafka_conn *c, uint32_t ms)
{
	uint64_t until = clock_monotonic_ns(&clock_system) + (uint64_t)ms * 1000000;
	if (until > c->muted_ns)
		c->muted_ns = until;
	set_timer(c);
}

void kafka__later(struct kafka_request *r, uint32_t after_ms, void (*due)(struct kafka_request *r))
{
	if (!r->conn)
		return;
	r->due = due;
	r->due_ns = clock_monotonic_ns(&clock_system) + (uint64_t)after_ms * 1000000 + 1;
	set_timer(r->conn);
}

/* They may finish requests and change the queue, so the search begins anew after each. */
static void run_due(struct kafka_conn *c, uint64_t now_ns)
{
	for (struct kafka_request *r = c->underway.first; r;) {
		if (!r->due_ns || r->due_ns > now_ns) {
			r = r->next;
			continue;
		}
		r->due_ns = 0;
		kafka__request_ref(r);
		kafka__turn_begin(r);
		r->due(r);
		kafka__turn_end(r);
		kafka__request_unref(r);
		r = c->underway.first;
	}
}

static enum sm_err on_receive(struct net_conn *net, void *state, struct sm_msg *msg)
{
	struct kafka_conn *c = state;
	if (msg->type == &sm_msg_timer) {
		uint32_t timer = ((struct sm_timer_msg *)msg)->timer;
		if (timer == TIMER) {
			c->timer_ns = 0;
			uint64_t now = clock_monotonic_ns(&clock_system);
			run_due(c, now);
			if (c->muted_ns && c->muted_ns <= now) {
				c->muted_ns = 0;
				pump(c);
			}
			set_timer(c);
		}
		/* Who has not logged in by now does not want to. */
		return timer == REFUSED_TIMER || (timer == LOGIN_TIMER && !c->session.since_ns) ? SM_TIMEOUT : SM_OK;
	}
	/* All other messages are requests coming back. They can be sent again from within the step, so they are kept. */
	sm_msg_keep(net_conn_actor(net));
	struct kafka_msg *m = (struct kafka_msg *)msg;
	struct kafka_request *r = m->request;
	if (r->conn && !r->finished) {
		kafka__turn_begin(r);
		(m == &r->wake_msg ? r->wake : r->step)(r);
		kafka__turn_end(r);
	}
	kafka__request_unref(r);
	return SM_OK;
}

/* ---- in ---- */

static enum sm_err on_open(struct net_conn *net, void *state, void *arg)
{
	struct kafka_conn *c = state;
	c->listener = arg;
	c->server = c->listener->server;
	c->net = net;
	queue_init(&c->waiting);
	queue_init(&c->underway);
	net_conn_local(net, c->host, &c->port);
	if (!kafka__session_init(&c->session, c->listener, net))
		return SM_NO_MEMORY;
	char host[KAFKA_PEER_HOST_MAX];
	uint32_t refused_ms = kafka__quota_connect(c->server->quotas, kafka__peer_host(net_conn_peer(net), host),
						   clock_monotonic_ns(&clock_system) / 1000000);
	if (refused_ms) { /* as Kafka does: it is closed after the time that it should have waited */
		c->closing = true;
		net_conn_pause(net);
		return sm_timer_start(net_conn_actor(net), REFUSED_TIMER, refused_ms, 0);
	}
	return c->listener->sasl ? sm_timer_start(net_conn_actor(net), LOGIN_TIMER, KAFKA_LOGIN_MS, 0) : SM_OK;
}

static enum sm_err take_frame(struct kafka_conn *c, struct bytes frame)
{
	uint8_t *data;
	void *memory = net_conn_take(c->net, frame, &data);
	if (!memory)
		return SM_NO_MEMORY;
	struct kafka_request *r = kafka__request_new(c->server, memory, data, frame.size);
	if (!r)
		return SM_NO_MEMORY;
	r->conn = c;
	r->conn_ref = sm_ref_get(net_conn_ref(c->net));
	memcpy(r->host, c->host, sizeof r->host);
	r->port = c->port;
	r->listener = c->listener;
	r->peer = net_conn_peer(c->net);
	queue_push(&c->waiting, r);
	return SM_OK;
}

static enum sm_err on_data(struct net_conn *net, void *state, struct bytes in, size_t *ret_used)
{
	struct kafka_conn *c = state;
	size_t used = 0;
	/* What was shown is taken whole even when it fills the queue: it is in memory already, and bounded by one read. */
	while (!c->closing && in.size - used >= 4) {
		uint32_t size = be32_get(in.data + used);
		if (size > (c->session.state == SESSION_OPEN ? KAFKA_FRAME_MAX : KAFKA_LOGIN_FRAME_MAX))
			return SM_TOO_LARGE;
		if (in.size - used - 4 < size) {
			net_conn_need(net, 4 + (size_t)size);
			break;
		}
		enum sm_err err = take_frame(c, bytes_of(in.data + used + 4, size));
		if (err)
			return err;
		used += 4 + (size_t)size;
	}
	*ret_used = c->closing ? in.size : used;
	pump(c);
	return SM_OK;
}

static void on_drained(struct net_conn *net, void *state)
{
	pump(state);
}

/* The server stops: what waits for time or records is answered now. */
static void on_drain(struct net_conn *net, void *state)
{
	struct kafka_conn *c = state;
	uint64_t now = clock_monotonic_ns(&clock_system);
	c->closing = true;
	for (struct kafka_request *r = c->underway.first; r; r = r->next)
		r->due_ns = r->due_ns ? now : 0;
	run_due(c, now);
	end_after_underway(c);
}

static void on_close(struct net_conn *net, void *state)
{
	struct kafka_conn *c = state;
	c->closing = true;
	while (c->waiting.first)
		kafka__request_unref(queue_pop(&c->waiting));
	while (c->underway.first) {
		struct kafka_request *r = queue_pop(&c->underway);
		r->conn = NULL;
		if (r->gone && !r->finished)
			r->gone(r);
		kafka__request_unref(r);
	}
	kafka__session_done(&c->session);
}

const struct net_protocol kafka__protocol = {
	.name = "kafka",
	.state_size = sizeof(struct kafka_conn),
	.open = on_open,
	.data = on_data,
	.receive = on_receive,
	.drain = on_drain,
	.drained = on_drained,
	.close = on_close,
};
