/* One connection to one host: connecting, the handshake (version 5, or 4 where that is not known), frames in and out, the statements that
 * are prepared on it. */
#include "cassandra/client_internal.h"
#include "cql/segment.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READ_BYTES (256u << 10)
#define VERSION_LOWEST 4
#define MS 1000000ull

static const char *name_of(const struct client_link *l)
{
	return client__host_of(l)->name;
}

/* ---- streams ---- */

static uint16_t slot_take(struct client_link *l, enum slot_use use, uint64_t now_ns)
{
	uint16_t at = l->first_free;
	struct client_slot *s = &l->slots[at];
	l->first_free = s->next_free;
	*s = (struct client_slot){.use = use, .statement = -1, .deadline_ns = now_ns + CLIENT_TRY_MS * MS};
	l->busy++;
	return at;
}

static void slot_release(struct client_link *l, uint16_t at)
{
	l->slots[at] = (struct client_slot){.next_free = l->first_free};
	l->first_free = at;
	l->busy--;
	l->client->room = true;
}

bool client__link_free(const struct client_link *l)
{
	return l->state == LINK_READY && l->busy < CLIENT_STREAMS_MAX - CLIENT_STREAMS_SPARE;
}

static void slots_reset(struct client_link *l)
{
	for (uint16_t i = 0; i < CLIENT_STREAMS_MAX; i++)
		l->slots[i] = (struct client_slot){.next_free = (uint16_t)(i + 1)};
	l->first_free = 0;
	l->busy = 0;
}

void client__link_init(struct client *client, uint32_t host)
{
	struct client_link *l = &client->hosts[host]->link;
	*l = (struct client_link){.client = client, .host = host, .fd = -1, .version = CQL_VERSION_HIGHEST};
	buf_init(&l->in);
	buf_init(&l->out);
	buf_init(&l->large);
	buf_init(&l->scratch);
}

/* ---- writing ---- */

static void watch(struct client_link *l)
{
	struct epoll_event e = {.events = EPOLLIN | (l->writable_wanted ? EPOLLOUT : 0), .data.u32 = l->host};
	(void)epoll_ctl(l->client->epoll, EPOLL_CTL_MOD, l->fd, &e);
}

static void flush(struct client_link *l)
{
	bool blocked = false;
	while (buf_size(&l->out)) {
		struct bytes b = buf_bytes(&l->out);
		ssize_t n = send(l->fd, b.data, b.size, MSG_NOSIGNAL);
		if (n > 0)
			buf_consume(&l->out, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			blocked = true;
			break;
		} else {
			client__link_close(l, SM_UNAVAILABLE, "%s: the connection was lost: %s", name_of(l), strerror(errno));
			return;
		}
	}
	if (blocked != l->writable_wanted) {
		l->writable_wanted = blocked;
		watch(l);
	}
}

/* Frames leave, in segments where that is agreed. false: no memory, the connection is closed. */
static bool write_frames(struct client_link *l, struct buf *frames)
{
	if (!frames->failed && l->segments)
		cql_segments_put(&l->out, false, buf_bytes(frames));
	else if (!frames->failed)
		buf_append_bytes(&l->out, buf_bytes(frames));
	bool ok = !frames->failed && !l->out.failed;
	buf_done(frames);
	if (!ok)
		client__link_close(l, SM_NO_MEMORY, "%s: no memory for a request", name_of(l));
	else
		flush(l);
	return ok && l->state != LINK_DOWN;
}

static void write_startup(struct client_link *l)
{
	struct buf out;
	buf_init(&out);
	size_t start = cql_header_begin(&out);
	buf_be16(&out, 2);
	cql_put_string(&out, "CQL_VERSION");
	cql_put_string(&out, "3.0.0");
	cql_put_string(&out, "DRIVER_NAME");
	cql_put_string(&out, "smack");
	client__frame_end(&out, start, l->version, CQL_OP_STARTUP, 0);
	l->state = LINK_STARTUP;
	(void)write_frames(l, &out);
}

static void write_login(struct client_link *l)
{
	const struct client_target *t = &l->client->target;
	struct buf out;
	buf_init(&out);
	size_t start = cql_header_begin(&out);
	buf_be32(&out, (uint32_t)(strlen(t->user) + strlen(t->password) + 2));
	buf_u8(&out, 0);
	buf_append_str(&out, t->user);
	buf_u8(&out, 0);
	buf_append_str(&out, t->password);
	client__frame_end(&out, start, l->version, CQL_OP_AUTH_RESPONSE, 0);
	l->state = LINK_LOGIN;
	(void)write_frames(l, &out);
}

void client__link_register(struct client_link *l)
{
	static const char *const events[] = {"TOPOLOGY_CHANGE", "STATUS_CHANGE", "SCHEMA_CHANGE"};
	struct buf out;
	if (l->busy >= CLIENT_STREAMS_MAX)
		return; /* client__link_look comes back to it */
	buf_init(&out);
	l->registering = true;
	uint16_t stream = slot_take(l, SLOT_REGISTER, clock_monotonic_ns(&clock_system));
	size_t start = cql_header_begin(&out);
	buf_be16(&out, 3);
	for (size_t i = 0; i < 3; i++)
		cql_put_string(&out, events[i]);
	client__frame_end(&out, start, l->version, CQL_OP_REGISTER, (int16_t)stream);
	(void)write_frames(l, &out);
}

/* ---- requests ---- */

static struct client_prepared *prepared_of(struct client_link *l, int32_t statement)
{
	if ((uint32_t)statement >= l->prepared_cap) {
		uint32_t cap = l->prepared_cap ? l->prepared_cap : 64;
		while (cap <= (uint32_t)statement)
			cap *= 2;
		struct client_prepared *more = realloc(l->prepared, cap * sizeof *more);
		if (!more)
			return NULL;
		memset(more + l->prepared_cap, 0, (cap - l->prepared_cap) * sizeof *more);
		l->prepared = more;
		l->prepared_cap = cap;
	}
	return &l->prepared[statement];
}

static bool write_prepare(struct client_link *l, int32_t statement)
{
	struct buf out;
	buf_init(&out);
	uint16_t stream = slot_take(l, SLOT_PREPARE, clock_monotonic_ns(&clock_system));
	l->slots[stream].statement = statement;
	const char *text = l->client->statement_texts[statement];
	size_t start = cql_header_begin(&out);
	buf_be32(&out, (uint32_t)strlen(text));
	buf_append_str(&out, text);
	if (l->version >= 5)
		buf_be32(&out, 0);
	client__frame_end(&out, start, l->version, CQL_OP_PREPARE, (int16_t)stream);
	return write_frames(l, &out);
}

/* false: the call waits for a statement, or the connection has gone with it. */
static bool all_prepared(struct client_link *l, struct client_call *call)
{
	size_t pos = 0;
	bool ready = true;
	for (int32_t statement; (statement = client__call_statement(call, &pos)) >= 0;) {
		struct client_prepared *p = prepared_of(l, statement);
		if (!p) {
			client__call_failed(l->client, call, SM_NO_MEMORY, 0, false, false, "no memory for a statement");
			return false;
		}
		ready &= p->state == PREPARED_READY;
	}
	if (ready)
		return true;
	call->next = l->preparing; /* if the connection goes, so does the call, elsewhere */
	l->preparing = call;
	pos = 0;
	for (int32_t statement; (statement = client__call_statement(call, &pos)) >= 0;) {
		struct client_prepared *p = &l->prepared[statement];
		if (p->state != PREPARED_NOT)
			continue;
		if (l->busy >= CLIENT_STREAMS_MAX)
			break; /* it is looked at again with the answer to another PREPARE */
		p->state = PREPARED_ASKED;
		if (!write_prepare(l, statement))
			return false;
	}
	return false;
}

void client__link_send(struct client_link *l, struct client_call *call)
{
	struct buf out;
	if (!all_prepared(l, call))
		return;
	buf_init(&out);
	uint16_t stream = slot_take(l, SLOT_CALL, clock_monotonic_ns(&clock_system));
	l->slots[stream].call = call;
	if (!call->idempotent && call->deadline_ns > l->slots[stream].deadline_ns) /* there is no other try: it may take all its time */
		l->slots[stream].deadline_ns = call->deadline_ns;
	client__put_call(&out, call, l->version, (int16_t)stream, l->prepared);
	(void)write_frames(l, &out);
}

/* Those that waited for a statement: to be looked at again. */
static void preparing_again(struct client_link *l)
{
	struct client_call *list = l->preparing;
	l->preparing = NULL;
	while (list) {
		struct client_call *call = list;
		list = call->next;
		if (l->state != LINK_READY || !client__link_free(l)) {
			call->tries = call->tries ? (uint8_t)(call->tries - 1) : 0;
			client__dispatch(l->client, call);
		} else {
			client__link_send(l, call);
		}
	}
}

/* The server cannot prepare it: nobody who waits for it has a chance. */
static void prepare_failed(struct client_link *l, int32_t statement, const struct client_answer *a)
{
	struct client_call *list = l->preparing;
	struct client_verdict v = client__verdict(a->code);
	l->preparing = NULL;
	while (list) {
		struct client_call *call = list;
		list = call->next;
		bool uses = false;
		size_t pos = 0;
		for (int32_t s; (s = client__call_statement(call, &pos)) >= 0;)
			uses |= s == statement;
		if (uses) {
			client__call_failed(l->client, call, a->error.code, a->code, false, v.again, a->error.text);
		} else {
			call->next = l->preparing;
			l->preparing = call;
		}
	}
}

static void take_prepare(struct client_link *l, int32_t statement, const struct cql_header *h, struct bytes body)
{
	struct client_answer a = {0};
	struct client_prepared *p = &l->prepared[statement];
	bool ok = client__take_prepared(h, body, p);
	p->state = ok ? PREPARED_READY : PREPARED_NOT;
	if (!ok) {
		if (!client__take_answer(h, body, name_of(l), &a) || a.error.code == SM_OK)
			a.code = CQL_PROTOCOL_ERROR, sm_fail(&a.error, SM_INVALID, "%s: the answer to PREPARE makes no sense", name_of(l));
		prepare_failed(l, statement, &a);
	}
	preparing_again(l);
}

/* ---- answers ---- */

static void take_call(struct client_link *l, struct client_call *call, const struct cql_header *h, struct bytes body)
{
	struct client_answer a = {0};
	uint8_t *frame = malloc(body.size + 1);
	if (!frame) {
		client__call_failed(l->client, call, SM_NO_MEMORY, 0, true, false, "no memory for an answer");
		return;
	}
	if (body.data && body.size)
		memcpy(frame, body.data, body.size);
	a.frame = frame;
	if (!client__take_answer(h, bytes_of(frame, body.size), name_of(l), &a)) {
		free(frame);
		client__call_failed(l->client, call, SM_CORRUPT, 0, true, false, "an answer makes no sense");
		return;
	}
	if (a.code == CQL_UNPREPARED && call->prepares < 3) { /* the host was started anew, or has forgotten it */
		size_t pos = 0;
		call->prepares++;
		for (int32_t s; (s = client__call_statement(call, &pos)) >= 0;)
			if (l->prepared[s].state == PREPARED_READY)
				l->prepared[s].state = PREPARED_NOT;
		free(frame);
		client__link_send(l, call);
		return;
	}
	if (a.error.code == SM_OK) {
		client__call_answered(l->client, call, &a);
		free(a.frame);
		return;
	}
	struct client_verdict v = client__verdict(a.code);
	free(frame);
	client__call_failed(l->client, call, a.error.code, a.code, v.maybe, v.again, a.error.text);
}

static void take_event(struct client_link *l, struct bytes body)
{
	struct byte_reader in = byte_reader(body);
	struct bytes type = cql_read_string(&in);
	unsigned events = bytes_equal(type, BYTES("SCHEMA_CHANGE")) ? CLIENT_SCHEMA : CLIENT_TOPOLOGY;
	struct client *c = l->client;
	/* a host that is said to be up is tried at once */
	for (uint32_t i = 0; events == CLIENT_TOPOLOGY && i < c->host_count; i++)
		if (c->hosts[i]->link.state == LINK_DOWN)
			c->hosts[i]->link.next_try_ns = 0;
	c->event(c->arg, events);
}

static void now_ready(struct client_link *l)
{
	l->state = LINK_READY;
	l->backoff_ms = 0;
	pthread_mutex_lock(&l->client->lock);
	client__host_of(l)->problem[0] = 0;
	pthread_mutex_unlock(&l->client->lock);
	atomic_store(&client__host_of(l)->up, true);
	client__link_ready(l);
}

static void handshake_failed(struct client_link *l, const struct cql_header *h, struct bytes body)
{
	struct client_answer a = {0};
	bool sense = client__take_answer(h, body, name_of(l), &a);
	if (sense && a.code == CQL_PROTOCOL_ERROR && l->state == LINK_STARTUP && l->version > VERSION_LOWEST) {
		uint8_t lower = (uint8_t)(l->version - 1);
		client__link_close(l, SM_UNAVAILABLE, "%s: version %u of the protocol is not known there", name_of(l), l->version);
		l->version = lower;
		l->next_try_ns = 0;
		l->backoff_ms = 0;
		return;
	}
	if (!sense)
		sm_fail(&a.error, SM_INVALID, "%s: the answer is none of CQL's protocol", name_of(l));
	client__link_close(l, a.error.code, "%s%s", a.code == CQL_BAD_CREDENTIALS ? "the login failed: " : "", a.error.text);
}

static void take_handshake(struct client_link *l, const struct cql_header *h, struct bytes body)
{
	bool starting = l->state == LINK_STARTUP;
	if (starting && (h->opcode == CQL_OP_READY || h->opcode == CQL_OP_AUTHENTICATE))
		l->segments = l->version >= 5; /* from here on */
	if (starting && h->opcode == CQL_OP_READY) {
		now_ready(l);
	} else if (starting && h->opcode == CQL_OP_AUTHENTICATE) {
		if (!*l->client->target.user)
			client__link_close(l, SM_DENIED, "%s asks for a login: set user and password.file", name_of(l));
		else
			write_login(l);
	} else if (!starting && h->opcode == CQL_OP_AUTH_SUCCESS) {
		now_ready(l);
	} else {
		handshake_failed(l, h, body);
	}
}

static void take_frame(struct client_link *l, const struct cql_header *h, struct bytes body)
{
	if (l->state != LINK_READY) {
		take_handshake(l, h, body);
		return;
	}
	if (h->opcode == CQL_OP_EVENT) {
		take_event(l, body);
		return;
	}
	if (h->stream < 0 || h->stream >= CLIENT_STREAMS_MAX || l->slots[h->stream].use == SLOT_FREE) {
		client__link_close(l, SM_UNAVAILABLE, "%s: an answer to nothing that was asked", name_of(l));
		return;
	}
	struct client_slot slot = l->slots[h->stream];
	slot_release(l, (uint16_t)h->stream);
	switch (slot.use) {
	case SLOT_CALL: take_call(l, slot.call, h, body); break;
	case SLOT_PREPARE: take_prepare(l, slot.statement, h, body); break;
	case SLOT_REGISTER:
		l->registering = false;
		l->client->registered = true;
		l->client->event(l->client->arg, CLIENT_READY | CLIENT_TOPOLOGY | CLIENT_SCHEMA);
		break;
	case SLOT_HEARTBEAT: l->asked = false; break;
	case SLOT_GIVEN_UP:
	case SLOT_FREE: break;
	}
}

/* ---- reading ---- */

/* Whole frames at the front of in; how many bytes they had. */
static size_t take_frames(struct client_link *l, struct bytes in)
{
	size_t at = 0;
	int fd = l->fd;
	bool segments = l->segments;
	while (l->fd == fd && l->segments == segments && in.size - at >= CQL_HEADER_BYTES) {
		struct cql_header h = cql_header_read(in.data + at);
		if (!h.from_server || h.length > CLIENT_FRAME_MAX) {
			client__link_close(l, SM_INVALID, "%s: what answers there does not speak CQL's protocol", name_of(l));
			return at;
		}
		if (in.size - at - CQL_HEADER_BYTES < h.length)
			break;
		struct bytes body = bytes_of(in.data + at + CQL_HEADER_BYTES, h.length);
		at += CQL_HEADER_BYTES + h.length;
		take_frame(l, &h, body);
	}
	return at;
}

static void take_segments(struct client_link *l)
{
	int fd = l->fd;
	while (l->fd == fd && buf_size(&l->in)) {
		struct cql_segment s;
		const char *text;
		enum sm_err err = cql_segment_read(buf_bytes(&l->in), false, &l->scratch, &s, &text);
		if (err == SM_AGAIN)
			return;
		if (err) {
			client__link_close(l, SM_CORRUPT, "%s: a segment is damaged (%s)", name_of(l), text);
			return;
		}
		if (s.self_contained && !buf_size(&l->large)) {
			(void)take_frames(l, s.payload);
		} else {
			buf_append_bytes(&l->large, s.payload);
			size_t used = l->large.failed ? 0 : take_frames(l, buf_bytes(&l->large));
			if (l->fd == fd)
				buf_consume(&l->large, used);
		}
		if (l->fd != fd)
			return;
		buf_consume(&l->in, s.size);
		if (l->large.failed) {
			client__link_close(l, SM_NO_MEMORY, "%s: no memory for an answer", name_of(l));
			return;
		}
	}
}

static void read_some(struct client_link *l)
{
	int fd = l->fd;
	for (int turn = 0; turn < 8 && l->fd == fd; turn++) {
		uint8_t *to = buf_reserve(&l->in, READ_BYTES);
		ssize_t n = to ? recv(l->fd, to, READ_BYTES, 0) : -1;
		if (!to) {
			client__link_close(l, SM_NO_MEMORY, "%s: no memory for an answer", name_of(l));
			return;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			client__link_close(l, SM_UNAVAILABLE, "%s: the connection was closed there%s%s", name_of(l), n ? ": " : "",
					   n ? strerror(errno) : "");
			return;
		}
		buf_commit(&l->in, (size_t)n);
		l->heard_ns = clock_monotonic_ns(&clock_system);
		if (!l->segments) {
			size_t used = take_frames(l, buf_bytes(&l->in));
			if (l->fd == fd)
				buf_consume(&l->in, used);
		}
		if (l->fd == fd && l->segments)
			take_segments(l);
	}
}

/* ---- connecting, closing ---- */

static void link_connect(struct client_link *l)
{
	struct client_host *h = client__host_of(l);
	uint64_t now = clock_monotonic_ns(&clock_system);
	int one = 1;
	if (!l->slots && !(l->slots = malloc(CLIENT_STREAMS_MAX * sizeof *l->slots)))
		return;
	slots_reset(l);
	l->fd = socket(h->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.u32 = l->host};
	bool failed = l->fd < 0 || epoll_ctl(l->client->epoll, EPOLL_CTL_ADD, l->fd, &e);
	l->state = LINK_CONNECTING;
	l->writable_wanted = true;
	l->deadline_ns = now + CLIENT_CONNECT_MS * MS;
	l->heard_ns = now;
	if (!failed) {
		(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		failed = connect(l->fd, (struct sockaddr *)&h->address, h->address_size) && errno != EINPROGRESS;
	}
	if (failed)
		client__link_close(l, SM_UNAVAILABLE, "%s: %s", h->name, strerror(errno));
}

static void connected(struct client_link *l)
{
	int error = 0;
	socklen_t size = sizeof error;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
		client__link_close(l, SM_UNAVAILABLE, "%s: %s", name_of(l), strerror(error ? error : errno));
		return;
	}
	l->writable_wanted = false;
	watch(l);
	write_startup(l);
}

void client__link_event(struct client_link *l, uint32_t events)
{
	if (l->fd < 0)
		return;
	if (l->state == LINK_CONNECTING) {
		connected(l);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		read_some(l);
	if (l->fd >= 0 && (events & EPOLLOUT))
		flush(l);
}

/* What was under way goes to other hosts, where that does no harm. */
static void calls_lost(struct client_link *l, enum sm_err err, const char *why)
{
	struct client_call *list = l->preparing;
	l->preparing = NULL;
	for (uint16_t i = 0; i < CLIENT_STREAMS_MAX; i++) {
		struct client_slot slot = l->slots[i];
		l->slots[i] = (struct client_slot){0};
		if (slot.use == SLOT_CALL)
			client__call_failed(l->client, slot.call, err, 0, true, true, why);
	}
	while (list) {
		struct client_call *call = list;
		list = call->next;
		client__call_failed(l->client, call, err, 0, false, true, why);
	}
}

void client__link_close(struct client_link *l, enum sm_err err, const char *fmt, ...)
{
	struct client_host *h = client__host_of(l);
	char why[300];
	va_list args;
	va_start(args, fmt);
	vsnprintf(why, sizeof why, fmt, args);
	va_end(args);
	if (l->state == LINK_DOWN)
		return;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->state = LINK_DOWN;
	l->segments = l->asked = l->registering = false;
	atomic_store(&h->up, false);
	buf_done(&l->in);
	buf_done(&l->out);
	buf_done(&l->large);
	buf_init(&l->in);
	buf_init(&l->out);
	buf_init(&l->large);
	free(l->prepared);
	l->prepared = NULL;
	l->prepared_cap = 0;
	pthread_mutex_lock(&l->client->lock);
	memcpy(h->problem, why, sizeof why);
	h->problem_err = err;
	pthread_mutex_unlock(&l->client->lock);
	l->backoff_ms = l->backoff_ms ? l->backoff_ms * 2 : CLIENT_BACKOFF_MIN_MS;
	if (l->backoff_ms > CLIENT_BACKOFF_MAX_MS)
		l->backoff_ms = CLIENT_BACKOFF_MAX_MS;
	l->next_try_ns = clock_monotonic_ns(&clock_system) + l->backoff_ms * MS;
	client__link_lost(l);
	calls_lost(l, SM_UNAVAILABLE, why);
	slots_reset(l);
}

void client__link_done(struct client_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	buf_done(&l->in);
	buf_done(&l->out);
	buf_done(&l->large);
	buf_done(&l->scratch);
	free(l->slots);
	free(l->prepared);
}

/* ---- time ---- */

static void heartbeat(struct client_link *l, uint64_t now)
{
	struct buf out;
	if (l->busy >= CLIENT_STREAMS_MAX)
		return;
	buf_init(&out);
	l->asked = true;
	uint16_t stream = slot_take(l, SLOT_HEARTBEAT, now);
	size_t start = cql_header_begin(&out);
	client__frame_end(&out, start, l->version, CQL_OP_OPTIONS, (int16_t)stream);
	(void)write_frames(l, &out);
}

static void look_at_slots(struct client_link *l, uint64_t now)
{
	int fd = l->fd;
	bool silent = now - l->heard_ns > CLIENT_TRY_MS * MS;
	for (uint16_t i = 0; i < CLIENT_STREAMS_MAX && l->fd == fd; i++) {
		struct client_slot *s = &l->slots[i];
		if (s->use == SLOT_FREE || s->use == SLOT_GIVEN_UP || s->deadline_ns > now)
			continue;
		if (silent || s->use != SLOT_CALL) { /* what was asked is lost with it */
			client__link_close(l, SM_UNAVAILABLE, "%s does not answer", name_of(l));
			return;
		}
		struct client_call *call = s->call;
		char why[160];
		snprintf(why, sizeof why, "%s: no answer in time", name_of(l));
		s->use = SLOT_GIVEN_UP;
		s->call = NULL;
		client__call_failed(l->client, call, SM_TIMEOUT, 0, true, true, why);
	}
}

void client__link_look(struct client_link *l, uint64_t now)
{
	struct client_host *h = client__host_of(l);
	switch (l->state) {
	case LINK_DOWN:
		if ((h->point || h->known) && h->address_size && now >= l->next_try_ns)
			link_connect(l);
		break;
	case LINK_CONNECTING:
	case LINK_STARTUP:
	case LINK_LOGIN:
		if (now >= l->deadline_ns)
			client__link_close(l, SM_UNAVAILABLE, "%s: no answer within %d s", h->name, CLIENT_CONNECT_MS / 1000);
		break;
	case LINK_READY:
		if (l->busy)
			look_at_slots(l, now);
		if (l->state == LINK_READY && !l->asked && now - l->heard_ns > CLIENT_HEARTBEAT_MS * MS)
			heartbeat(l, now);
		if (l->state == LINK_READY && l == l->client->control && !l->client->registered && !l->registering)
			client__link_register(l);
	}
}
