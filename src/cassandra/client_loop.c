/* The client's thread: which host a request goes to, when it is tried again, when it is given up. */
#include "cassandra/client_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS 1000000ull
#define WAKE UINT32_MAX
#define LOOK_MS 20    /* while something is under way */
#define IDLE_MS 1000u /* else */

static void poke(struct client *c)
{
	uint64_t one = 1;
	(void)!write(c->wake, &one, sizeof one);
}

static void notice(struct client *c, const char *what)
{
	char text[700];
	snprintf(text, sizeof text, "%s %s", c->shown, what);
	if (c->notice)
		c->notice(c->arg, text);
}

/* ---- the end of a request ---- */

static void finish(struct client *c, struct client_call *call, struct client_answer *a)
{
	pthread_mutex_lock(&c->lock);
	c->pending_bytes -= call->size;
	pthread_mutex_unlock(&c->lock);
	call->done(call->arg, a);
	buf_done(&call->body);
	free(call->text);
	free(call->paging_state);
	free(call);
}

void client__call_answered(struct client *c, struct client_call *call, struct client_answer *a)
{
	finish(c, call, a);
}

static void fail(struct client *c, struct client_call *call, enum sm_err err, const char *text)
{
	struct client_answer a = {.code = call->last_code, .maybe = call->maybe};
	sm_fail(&a.error, err, "%s", text);
	finish(c, call, &a);
}

void client__call_failed(struct client *c, struct client_call *call, enum sm_err err, uint32_t code, bool maybe, bool again,
			 const char *text)
{
	call->maybe |= maybe;
	call->last_code = code;
	sm_fail(&call->last, err, "%s", text);
	bool harmless = !maybe || call->idempotent;
	if (again && harmless && call->tries < CLIENT_TRIES_MAX && clock_monotonic_ns(&clock_system) < call->deadline_ns)
		client__dispatch(c, call);
	else
		fail(c, call, err, text);
}

/* ---- which host ---- */

static bool was_tried(const struct client_call *call, uint32_t host)
{
	for (uint8_t i = 0; i < call->tries; i++)
		if (call->tried[i] == host)
			return true;
	return false;
}

static bool is_local(const struct client *c, const struct client_host *h)
{
	return !*c->target.local_dc || strcmp(h->dc, c->target.local_dc) == 0;
}

/* In the order of the ring from the token on: the first hosts are those which have the copies. */
static struct client_link *by_token(struct client *c, const struct client_call *call)
{
	uint32_t low = 0, high = c->ring_count;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (c->ring[middle].token < call->token)
			low = middle + 1;
		else
			high = middle;
	}
	/* as many entries as one data center with many tokens a host may have in a row */
	for (uint32_t i = 0; i < c->ring_count && i < 512; i++) {
		uint32_t host = c->ring[(low + i) % c->ring_count].host;
		struct client_host *h = c->hosts[host];
		if (client__link_free(&h->link) && is_local(c, h) && !was_tried(call, host))
			return &h->link;
	}
	return NULL;
}

/* Local hosts first, then others, then those that only the address names. tried: also such as were. */
static struct client_link *in_turn(struct client *c, const struct client_call *call, bool tried)
{
	struct client_link *best = NULL;
	int best_rank = 0;
	c->turn++;
	for (uint32_t i = 0; i < c->host_count; i++) {
		uint32_t host = (c->turn + i) % c->host_count;
		struct client_host *h = c->hosts[host];
		if (!client__link_free(&h->link) || (!tried && was_tried(call, host)))
			continue;
		int rank = !h->known ? 1 : is_local(c, h) ? 3 : 2;
		if (rank > best_rank) {
			best = &h->link;
			best_rank = rank;
		}
	}
	return best;
}

static struct client_link *pick(struct client *c, const struct client_call *call)
{
	struct client_link *l = NULL;
	if (call->on_control)
		return c->control && client__link_free(c->control) ? c->control : NULL;
	if (call->routed && c->ring_count)
		l = by_token(c, call);
	if (!l)
		l = in_turn(c, call, false);
	/* the only host there is may have had a bad moment */
	return l ? l : in_turn(c, call, true);
}

void client__dispatch(struct client *c, struct client_call *call)
{
	if (call->kind == CALL_LATER && !c->closing) {
		finish(c, call, &(struct client_answer){0});
		return;
	}
	struct client_link *l = pick(c, call);
	if (c->closing) {
		fail(c, call, SM_CLOSED, "the store is closing");
	} else if (!l) {
		call->next = c->parked;
		c->parked = call;
	} else {
		if (call->tries < CLIENT_TRIES_MAX)
			call->tried[call->tries++] = (uint16_t)l->host;
		client__link_send(l, call);
	}
}

/* ---- connections come and go ---- */

void client__link_ready(struct client_link *l)
{
	struct client *c = l->client;
	c->room = true;
	if (atomic_exchange(&c->away, false) && atomic_load(&c->was_there))
		notice(c, "answers again");
	atomic_store(&c->was_there, true);
	if (!c->control) {
		c->control = l;
		c->registered = false;
		client__link_register(l);
	}
}

void client__link_lost(struct client_link *l)
{
	struct client *c = l->client;
	struct client_link *other = NULL;
	bool any = false;
	for (uint32_t i = 0; i < c->host_count; i++)
		if (c->hosts[i]->link.state == LINK_READY) {
			any = true;
			other = &c->hosts[i]->link;
		}
	if (!any && !atomic_exchange(&c->away, true) && atomic_load(&c->was_there) && !atomic_load(&c->ending)) {
		char text[330];
		snprintf(text, sizeof text, "does not answer: %s", client__host_of(l)->problem);
		notice(c, text);
	}
	if (c->control == l) {
		c->control = other;
		c->registered = false;
		if (other)
			client__link_register(other);
	}
}

/* ---- those that wait ---- */

static const char *why_parked(struct client *c, char *out, size_t size)
{
	for (uint32_t i = 0; i < c->host_count; i++)
		if (c->hosts[i]->link.state == LINK_READY)
			return "the hosts have more requests under way than they can take";
	const char *problem = c->host_count ? c->hosts[0]->problem : "";
	snprintf(out, size, "%s does not answer%s%s", c->shown, *problem ? ": " : "", problem);
	return out;
}

static void look_at_parked(struct client *c, uint64_t now)
{
	struct client_call *list = c->parked;
	bool room = c->room;
	c->parked = NULL;
	c->room = false;
	while (list) {
		struct client_call *call = list;
		list = call->next;
		uint64_t deadline = call->deadline_ns;
		char text[640];
		if (now >= deadline || atomic_load(&c->ending)) {
			bool tried = call->last.code != SM_OK;
			enum sm_err err = tried ? call->last.code : SM_UNAVAILABLE;
			fail(c, call, err, tried ? call->last.text : why_parked(c, text, sizeof text));
		} else if (room || c->closing) {
			client__dispatch(c, call);
		} else {
			call->next = c->parked;
			c->parked = call;
		}
	}
}

static void take_inbox(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	struct client_call *list = c->inbox;
	struct client_topology *topology = c->topology;
	c->inbox = NULL;
	c->inbox_end = &c->inbox;
	c->topology = NULL;
	for (uint32_t i = 0; c->resolved && i < c->target.point_count; i++)
		client__point_take(c, i);
	c->resolved = false;
	pthread_mutex_unlock(&c->lock);
	if (topology)
		client__topology_take(c, topology);
	while (list) {
		struct client_call *call = list;
		list = call->next;
		client__dispatch(c, call);
	}
}

/* How long nothing needs to be looked at. */
static int rest_ms(const struct client *c, uint64_t now)
{
	uint64_t rest = IDLE_MS;
	if (c->parked)
		return LOOK_MS;
	for (uint32_t i = 0; i < c->host_count; i++) {
		const struct client_host *h = c->hosts[i];
		if (h->link.state == LINK_READY ? h->link.busy != 0 : h->link.state != LINK_DOWN)
			return LOOK_MS;
		if (h->link.state == LINK_DOWN && (h->point || h->known) && h->address_size) {
			uint64_t left = h->link.next_try_ns > now ? (h->link.next_try_ns - now) / MS : 0;
			rest = left < rest ? left : rest;
		}
	}
	return rest > LOOK_MS ? (int)rest : LOOK_MS;
}

static void *run(void *arg)
{
	struct client *c = arg;
	struct epoll_event events[64];
	while (!c->closing) {
		int n = epoll_wait(c->epoll, events, 64, rest_ms(c, clock_monotonic_ns(&clock_system)));
		for (int i = 0; i < n; i++) {
			uint64_t count;
			if (events[i].data.u32 == WAKE)
				(void)!read(c->wake, &count, sizeof count);
			else
				client__link_event(&c->hosts[events[i].data.u32]->link, events[i].events);
		}
		take_inbox(c);
		uint64_t now = clock_monotonic_ns(&clock_system);
		bool time = now - c->looked_ns > LOOK_MS * MS;
		if (time) {
			c->looked_ns = now;
			for (uint32_t i = 0; i < c->host_count; i++)
				client__link_look(&c->hosts[i]->link, now);
		}
		if (c->parked && (time || c->room))
			look_at_parked(c, now);
	}
	take_inbox(c); /* now answers SM_CLOSED */
	for (uint32_t i = 0; i < c->host_count; i++)
		client__link_close(&c->hosts[i]->link, SM_CLOSED, "the store is closing");
	look_at_parked(c, 0);
	return NULL;
}

/* ---- requests from other threads ---- */

static void refuse(client_done done, void *arg, enum sm_err err, const char *text)
{
	struct client_answer a = {0};
	sm_fail(&a.error, err, "%s", text);
	done(arg, &a);
}

static void call_free(struct client_call *call)
{
	if (!call)
		return;
	buf_done(&call->body);
	free(call->text);
	free(call->paging_state);
	free(call);
}

/* A call with what the request says, or NULL. body: taken over. */
static struct client_call *call_new(struct client *c, const struct client_request *r, client_done done, void *arg)
{
	struct client_call *call = calloc(1, sizeof *call);
	if (!call)
		return NULL;
	buf_init(&call->body);
	call->consistency = r->consistency == CLIENT_CONSISTENCY ? c->target.consistency : r->consistency;
	call->serial = client__serial(c->target.consistency);
	call->page_size = r->page_size;
	call->idempotent = r->idempotent;
	call->metadata = r->metadata || r->text;
	call->on_control = r->on_control;
	call->routed = r->routed;
	call->token = r->token;
	call->now_s = r->now_s;
	uint64_t ms = r->timeout_ms ? r->timeout_ms : CLIENT_REQUEST_MS;
	if (atomic_load(&c->away) && ms > CLIENT_AWAY_MS && atomic_load(&c->was_there))
		ms = CLIENT_AWAY_MS;
	call->deadline_ns = clock_monotonic_ns(&clock_system) + ms * MS;
	call->done = done;
	call->arg = arg;
	bool ok = true;
	if (r->paging_state.size) {
		ok = (call->paging_state = malloc(r->paging_state.size)) != NULL;
		if (ok)
			memcpy(call->paging_state, r->paging_state.data, call->paging_state_size = r->paging_state.size);
	}
	if (ok && r->text)
		ok = (call->text = strdup(r->text)) != NULL;
	if (!ok) {
		call_free(call);
		return NULL;
	}
	return call;
}

static void submit(struct client *c, struct client_call *call)
{
	bool own = pthread_equal(pthread_self(), c->thread), full = false, closed;
	call->size = sizeof *call + buf_size(&call->body) + (call->text ? strlen(call->text) : 0);
	pthread_mutex_lock(&c->lock);
	closed = c->closing;
	full = !own && c->pending_bytes > CLIENT_PENDING_BYTES_MAX;
	if (!closed && !full) {
		c->pending_bytes += call->size;
		call->next = NULL;
		*c->inbox_end = call;
		c->inbox_end = &call->next;
	}
	pthread_mutex_unlock(&c->lock);
	if (!closed && !full) {
		poke(c);
		return;
	}
	refuse(call->done, call->arg, closed ? SM_CLOSED : SM_FULL, closed ? "the store is closing" : "too many requests are under way");
	call_free(call);
}

void client__ask(struct client *c, const struct client_request *r, client_done done, void *arg)
{
	struct client_request known = *r;
	if (r->text && r->prepare && (known.statement = client__statement(c, r->text)) >= 0)
		known.text = NULL;
	r = &known;
	struct client_call *call = call_new(c, r, done, arg);
	if (call) {
		call->kind = r->text ? CALL_QUERY : CALL_EXECUTE;
		call->statement = r->statement;
		if (!r->text || r->value_count)
			buf_be16(&call->body, r->value_count);
		for (uint16_t i = 0; i < r->value_count; i++)
			client__put_value(&call->body, r->values[i]);
	}
	if (!call || call->body.failed || (!r->text && r->statement < 0)) {
		call_free(call);
		refuse(done, arg, SM_NO_MEMORY, "no memory for a request");
		return;
	}
	submit(c, call);
}

void client__later(struct client *c, client_done done, void *arg)
{
	struct client_call *call = call_new(c, &(struct client_request){0}, done, arg);
	if (call) {
		call->kind = CALL_LATER;
		submit(c, call);
	} else {
		refuse(done, arg, SM_NO_MEMORY, "no memory for a request");
	}
}

void client__execute(struct client *c, struct bytes encoded, const struct client_request *r, client_done done, void *arg)
{
	struct client_call *call = call_new(c, r, done, arg);
	if (call) {
		call->kind = CALL_EXECUTE;
		call->statement = r->statement;
		buf_append_bytes(&call->body, encoded);
	}
	if (!call || call->body.failed || r->statement < 0) {
		call_free(call);
		refuse(done, arg, SM_NO_MEMORY, "no memory for a request");
		return;
	}
	submit(c, call);
}

void client__batch(struct client *c, enum client_batch_kind kind, struct bytes entries, uint32_t count, const struct client_request *r,
		   client_done done, void *arg)
{
	struct client_call *call = count <= UINT16_MAX ? call_new(c, r, done, arg) : NULL;
	if (call) {
		call->kind = CALL_BATCH;
		call->batch_kind = kind;
		call->entry_count = count;
		buf_append_bytes(&call->body, entries);
	}
	if (!call || call->body.failed) {
		call_free(call);
		refuse(done, arg, count > UINT16_MAX ? SM_TOO_LARGE : SM_NO_MEMORY, "no room for a batch");
		return;
	}
	submit(c, call);
}

int32_t client__statement(struct client *c, const char *text)
{
	pthread_mutex_lock(&c->lock);
	uintptr_t number = (uintptr_t)map_get(&c->statements, bytes_str(text));
	uint32_t count = atomic_load(&c->statement_count);
	if (!number && count < CLIENT_STATEMENTS_MAX) {
		char *copy = strdup(text);
		if (copy && map_put(&c->statements, bytes_str(text), (void *)(uintptr_t)(count + 1), NULL) == SM_OK) {
			c->statement_texts[count] = copy;
			atomic_store(&c->statement_count, count + 1);
			number = count + 1;
		} else {
			free(copy);
		}
	}
	bool full = !number && count >= CLIENT_STATEMENTS_MAX;
	pthread_mutex_unlock(&c->lock);
	if (full && !atomic_exchange(&c->full_told, true)) {
		char told[200];
		snprintf(
			told, sizeof told,
			"has been given %d different statements, as many as are kept prepared: other reads go on as text, other writes are "
			"refused",
			CLIENT_STATEMENTS_MAX);
		notice(c, told);
	}
	return (int32_t)number - 1;
}

const char *client__statement_text(const struct client *c, int32_t statement)
{
	return c->statement_texts[statement];
}

/* ---- for threads that may block ---- */

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t done_cond;
	bool done;
	struct client_answer *answer;
};

static void answered(void *arg, struct client_answer *a)
{
	struct waiter *w = arg;
	pthread_mutex_lock(&w->lock);
	*w->answer = *a;
	a->frame = NULL;
	w->done = true;
	pthread_cond_signal(&w->done_cond);
	pthread_mutex_unlock(&w->lock);
}

enum sm_err client__ask_wait(struct client *c, const struct client_request *r, struct client_answer *ret_answer)
{
	struct waiter w = {.answer = ret_answer};
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.done_cond, NULL);
	client__ask(c, r, answered, &w);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.done_cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	pthread_cond_destroy(&w.done_cond);
	pthread_mutex_destroy(&w.lock);
	return ret_answer->error.code;
}

void client__answer_done(struct client_answer *a)
{
	free(a->frame);
	a->frame = NULL;
}

/* ---- beginning and end ---- */

bool client__answers(const struct client *c)
{
	return !atomic_load(&c->away);
}

void client__ending(struct client *c)
{
	atomic_store(&c->ending, true);
	poke(c);
}

const struct client_target *client__target(const struct client *c)
{
	return &c->target;
}

enum sm_err client__problem(struct client *c, char *out, size_t size)
{
	enum sm_err err = SM_OK;
	*out = 0;
	pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->target.point_count; i++)
		if (c->hosts[i] && *c->hosts[i]->problem && (err == SM_OK || c->hosts[i]->problem_err == SM_DENIED)) {
			snprintf(out, size, "%s", c->hosts[i]->problem);
			err = c->hosts[i]->problem_err;
		}
	pthread_mutex_unlock(&c->lock);
	return err;
}

/* One name that is known is enough: the others may be so later. */
static enum sm_err add_points(struct client *c, struct sm_error *reterr)
{
	enum sm_err first = SM_OK;
	uint32_t found = 0;
	for (uint32_t i = 0; i < c->target.point_count; i++) {
		struct client_host *h = calloc(1, sizeof *h);
		if (!h)
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
		c->hosts[c->host_count] = h;
		h->point = true;
		client__link_init(c, c->host_count++);
		struct sm_error error;
		enum sm_err err = client__resolve(c->target.points[i].host, c->target.points[i].port, &h->address, &h->address_size,
						  h->name, &error);
		if (err) {
			snprintf(h->name, sizeof h->name, "%.70s:%u", c->target.points[i].host, c->target.points[i].port);
			snprintf(h->problem, sizeof h->problem, "%.299s", error.text);
			h->problem_err = err;
			if (!first && reterr)
				*reterr = error;
			first = first ? first : err;
		}
		found += !err;
	}
	return found ? SM_OK : first;
}

static enum sm_err start(struct client *c, struct sm_error *reterr)
{
	enum sm_err err = add_points(c, reterr);
	if (err)
		return err;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = WAKE};
	if (c->epoll < 0 || c->wake < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->wake, &e))
		return sm_fail_errno(reterr, errno, "%s", c->shown);
	if (!(c->statement_texts = calloc(CLIENT_STATEMENTS_MAX, sizeof *c->statement_texts)))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	int failed = pthread_create(&c->thread, NULL, run, c);
	if (failed)
		return sm_fail_errno(reterr, failed, "no thread for %s", c->shown);
	c->started = true;
	return SM_OK;
}

enum sm_err client__new(const struct client_options *o, struct client **ret_client, struct sm_error *reterr)
{
	struct client *c = calloc(1, sizeof *c);
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	c->target = *o->target;
	c->dc_given = *c->target.local_dc != 0;
	snprintf(c->shown, sizeof c->shown, "%s", o->shown);
	c->event = o->event;
	c->notice = o->notice;
	c->arg = o->arg;
	c->epoll = c->wake = -1;
	c->inbox_end = &c->inbox;
	atomic_store(&c->away, true);
	map_init(&c->statements);
	pthread_mutex_init(&c->lock, NULL);
	enum sm_err err = start(c, reterr);
	if (err)
		client__free(c);
	else
		*ret_client = c;
	return err;
}

void client__free(struct client *c)
{
	if (!c)
		return;
	if (c->started) {
		pthread_mutex_lock(&c->lock);
		c->closing = true;
		pthread_mutex_unlock(&c->lock);
		poke(c);
		pthread_join(c->thread, NULL);
	}
	for (uint32_t i = 0; i < c->host_count; i++) {
		client__link_done(&c->hosts[i]->link);
		free(c->hosts[i]);
	}
	if (c->topology)
		arena_done(&c->topology->arena);
	free(c->topology);
	free(c->ring);
	for (uint32_t i = 0; i < atomic_load(&c->statement_count); i++)
		free(c->statement_texts[i]);
	free(c->statement_texts);
	map_done(&c->statements);
	if (c->epoll >= 0)
		close(c->epoll);
	if (c->wake >= 0)
		close(c->wake);
	pthread_mutex_destroy(&c->lock);
	explicit_bzero(&c->target, sizeof c->target);
	free(c);
}
