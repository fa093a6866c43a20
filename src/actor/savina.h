/* Savina's benchmarks for actors, shared by their test (results on the simulation and with threads) and their benchmark: each returns
 * a figure that the caller knows. This file: what they share, and those that only send messages; savina_work.h has those that compute.
 *
 * Source: S. Imam and V. Sarkar, "Savina - An Actor Benchmark Suite", AGERE 2014; written from its descriptions. */
#ifndef ACTOR_SAVINA_H
#define ACTOR_SAVINA_H

#include <smack/actor.h>
#include <stdlib.h>
#include <string.h>

/* ---- what they share ---- */

enum savina_kind {
	SAVINA_START = 1,
	SAVINA_GO,
	SAVINA_PING,
	SAVINA_PONG,
	SAVINA_DONE,
	SAVINA_EXIT,
	SAVINA_GET,
	SAVINA_TAKE,
};

struct savina_msg {
	struct sm_msg msg;
	enum savina_kind kind;
	uint32_t from; /* an index */
	uint64_t number;
	double value;
};

/* With SAVINA_SPARE, each thread keeps up to so many messages that are done with, for the next ones: what a program in C does about its
 * messages where a runtime with a heap of its own has a pointer to move. */
#ifdef SAVINA_SPARE
static _Thread_local struct {
	struct sm_msg *first;
	uint32_t count;
} savina_spare;
#endif

static inline void savina_msg_done(struct sm_msg *msg)
{
#ifdef SAVINA_SPARE
	if (savina_spare.count < SAVINA_SPARE) {
		msg->next = savina_spare.first;
		savina_spare.first = msg;
		savina_spare.count++;
		return;
	}
#endif
	free(msg);
}
static inline void *savina_msg_memory(void)
{
#ifdef SAVINA_SPARE
	struct sm_msg *msg = savina_spare.first;
	if (msg) {
		savina_spare.first = msg->next;
		savina_spare.count--;
		return msg;
	}
#endif
	return malloc(sizeof(struct savina_msg));
}
static const struct sm_msg_type savina_type = {"savina", savina_msg_done, NULL};

static inline const struct savina_msg *savina_of(const struct sm_msg *msg)
{
	return (const struct savina_msg *)msg;
}

static inline struct sm_msg *savina_new(enum savina_kind kind, uint32_t from, uint64_t number, double value)
{
	struct savina_msg *m = savina_msg_memory();
	if (!m)
		abort();
	*m = (struct savina_msg){.msg.type = &savina_type, .kind = kind, .from = from, .number = number, .value = value};
	return &m->msg;
}

static inline enum sm_err savina_send(struct sm_ref *to, enum savina_kind kind, uint32_t from, uint64_t number)
{
	struct sm_msg *msg = savina_new(kind, from, number, 0);
	enum sm_err err = sm_send(to, msg);
	if (err)
		sm_msg_free(msg);
	return err;
}

/* First in the state of each benchmark's main actor. refs are its workers', which may read them: they end before it. */
struct savina_main {
	const struct savina_params *params;
	struct sm_msg *start; /* kept until the result is there */
	struct sm_ref **refs;
	uint32_t count;
};

/* One that a benchmark is given; what each number means stands at the benchmark. */
struct savina_params {
	uint64_t n, m;
	bool together; /* workers live where the main actor does */
};

/* In the state of a worker. */
struct savina_worker {
	struct savina_main *main;
	struct sm_ref *main_ref; /* borrowed: the main actor ends last */
	uint32_t index;
};

static inline enum sm_directive savina_decide(enum sm_err why)
{
	return SM_DIRECTIVE_ESCALATE; /* a benchmark with a failure is over */
}

static inline enum sm_err savina_main_init(struct sm_actor *self, void *state, void *arg)
{
	((struct savina_main *)state)->params = arg;
	return SM_OK;
}
static inline void savina_main_done(struct sm_actor *self, void *state)
{
	struct savina_main *s = state;
	for (uint32_t i = 0; i < s->count; i++)
		sm_unref(s->refs[i]);
	free(s->refs);
	sm_msg_free(s->start);
}

/* The main actor's children, with one state each that begins with struct savina_worker, which is theirs after their init. Mailboxes have
 * no bound in Savina: they hold whatever the parameters can bring. */
static inline enum sm_err savina_worker_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct savina_worker *)state = *(struct savina_worker *)arg;
	free(arg);
	return SM_OK;
}
static inline enum sm_err savina_spawn(struct sm_actor *self, struct savina_main *s, uint32_t count, size_t state_size,
				       sm_receive_fn receive, uint64_t mailbox_max)
{
	if (!(s->refs = calloc(count, sizeof *s->refs)))
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		struct savina_worker *arg = calloc(1, sizeof *arg);
		if (!arg)
			return SM_NO_MEMORY;
		*arg = (struct savina_worker){s, sm_self(self), i};
		struct sm_props props = {.state_size = state_size,
					 .init = savina_worker_init,
					 .receive = receive,
					 .arg = arg,
					 .mailbox_max = (uint32_t)(mailbox_max + 8),
					 .dispatcher = s->params->together ? SM_DISPATCHER_PARENT : SM_DISPATCHER_ANY,
					 .supervision.decide = savina_decide};
		enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, &s->refs[i]);
		if (err) {
			free(arg);
			return err;
		}
		s->count++;
	}
	return SM_OK;
}

static inline void savina_result(struct sm_actor *self, struct savina_main *s, uint64_t number, double value)
{
	sm_reply(self, s->start, savina_new(SAVINA_DONE, 0, number, value));
	sm_msg_free(s->start);
	s->start = NULL;
}

struct savina_result {
	uint64_t number;
	double value;
};

/* A sum of values is right to nine digits: they come in any order. */
static inline bool savina_is_right(struct savina_result result, struct savina_result expected)
{
	double off = result.value - expected.value;
	return result.number == expected.number && off < 1e-9 && off > -1e-9;
}

/* Run one to its result and its end. */
static inline enum sm_err savina_run_with(struct sm_system *system, sm_receive_fn receive, void (*done)(struct sm_actor *self, void *state),
					  size_t state_size, uint64_t mailbox_max, const struct savina_params *params,
					  struct savina_result *ret_result)
{
	struct sm_props props = {.state_size = state_size,
				 .init = savina_main_init,
				 .receive = receive,
				 .done = done,
				 .arg = (void *)(uintptr_t)params,
				 .mailbox_max = (uint32_t)(mailbox_max + 8),
				 .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *ref;
	struct sm_msg *answer, *start = savina_new(SAVINA_START, 0, 0, 0);
	enum sm_err err = sm_spawn(system, NULL, &props, &ref), ended;
	if (err) {
		sm_msg_free(start);
		return err;
	}
	err = sm_ask_wait(system, ref, start, 600000, &answer);
	if (!err) {
		*ret_result = (struct savina_result){savina_of(answer)->number, savina_of(answer)->value};
		sm_msg_free(answer);
	} else if (err != SM_TIMEOUT && err != SM_CANCELLED) {
		sm_msg_free(start);
	}
	ended = sm_stop_wait(system, ref, 600000, NULL);
	sm_unref(ref);
	return err ? err : ended;
}

static inline enum sm_err savina_run(struct sm_system *system, sm_receive_fn receive, size_t state_size, uint64_t mailbox_max,
				     const struct savina_params *params, struct savina_result *ret_result)
{
	return savina_run_with(system, receive, savina_main_done, state_size, mailbox_max, params, ret_result);
}

static inline void savina_keep_start(struct sm_actor *self, struct savina_main *s, struct sm_msg *msg)
{
	sm_msg_keep(self);
	s->start = msg;
}

/* ---- ping-pong: n there and back; the result is what the other has counted ---- */

struct savina_token {
	struct savina_main main;
	struct sm_msg token; /* embedded: with each hop it comes back */
	uint64_t left, counted;
};
static const struct sm_msg_type savina_token_type = {"token", NULL, NULL};

struct savina_counter {
	struct savina_worker worker;
	uint64_t counted;
};

static inline enum sm_err savina_pong_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_counter *c = state;
	((struct savina_token *)c->worker.main)->counted = ++c->counted;
	return sm_send(c->worker.main_ref, msg);
}
static inline enum sm_err savina_ping_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_token *s = state;
	enum sm_err err = SM_OK;
	if (msg->type == &savina_type) {
		savina_keep_start(self, &s->main, msg);
		s->token.type = &savina_token_type;
		s->left = s->main.params->n;
		err = savina_spawn(self, &s->main, 1, sizeof(struct savina_counter), savina_pong_receive, 1);
	}
	if (!err && s->left-- == 0)
		savina_result(self, &s->main, s->counted, 0);
	else if (!err)
		err = sm_send(s->main.refs[0], &s->token);
	return err;
}
static inline enum sm_err savina_ping_pong(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_ping_receive, sizeof(struct savina_token), 1, p, ret);
}

/* ---- counting: n messages to one that counts them, then a question for the sum. At most two windows are under way: who counts asks for
 * the next one. ---- */

#define SAVINA_WINDOW 512u

struct savina_sender {
	struct savina_main main;
	uint64_t sent;
};
static inline enum sm_err savina_count_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_counter *c = state;
	if (savina_of(msg)->kind == SAVINA_GET)
		return savina_send(c->worker.main_ref, SAVINA_DONE, 0, c->counted);
	return ++c->counted % SAVINA_WINDOW ? SM_OK : savina_send(c->worker.main_ref, SAVINA_PONG, 0, 0);
}
static inline enum sm_err savina_send_window(struct savina_sender *s, uint64_t count)
{
	const uint64_t n = s->main.params->n;
	struct sm_ref *to = s->main.refs[0];
	enum sm_err err = SM_OK;
	if (s->sent == n)
		return SM_OK;
	for (; !err && count && s->sent < n; count--)
		err = savina_send(to, SAVINA_GO, 0, s->sent++);
	return err || s->sent < n ? err : savina_send(to, SAVINA_GET, 0, 0);
}
static inline enum sm_err savina_counting_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_sender *s = state;
	switch (savina_of(msg)->kind) {
	case SAVINA_DONE: savina_result(self, &s->main, savina_of(msg)->number, 0); return SM_OK;
	case SAVINA_PONG: return savina_send_window(s, SAVINA_WINDOW);
	default: savina_keep_start(self, &s->main, msg);
	}
	enum sm_err err = savina_spawn(self, &s->main, 1, sizeof(struct savina_counter), savina_count_receive, 2ull * SAVINA_WINDOW);
	return err ? err : savina_send_window(s, 2ull * SAVINA_WINDOW);
}
static inline enum sm_err savina_counting(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_counting_receive, sizeof(struct savina_sender), p->n / SAVINA_WINDOW + 1, p, ret);
}

/* ---- fork-join, throughput: n messages to each of m actors, turn by turn; the result is the sum of what they have read ---- */

struct savina_sum {
	struct savina_main main;
	uint64_t sum, heard;
};
static inline bool savina_add(struct savina_sum *s, uint64_t number, uint64_t of)
{
	s->sum += number;
	return ++s->heard == of;
}

static inline enum sm_err savina_throughput_worker(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_counter *c = state;
	const uint64_t n = c->worker.main->params->n;
	return ++c->counted == n ? savina_send(c->worker.main_ref, SAVINA_DONE, 0, c->counted) : SM_OK;
}
static inline enum sm_err savina_throughput_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_sum *s = state;
	const uint64_t n = s->main.params->n, m = s->main.params->m;
	if (savina_of(msg)->kind == SAVINA_DONE) {
		if (savina_add(s, savina_of(msg)->number, m))
			savina_result(self, &s->main, s->sum, 0);
		return SM_OK;
	}
	savina_keep_start(self, &s->main, msg);
	enum sm_err err = savina_spawn(self, &s->main, (uint32_t)m, sizeof(struct savina_counter), savina_throughput_worker, n);
	for (uint64_t i = 0; !err && i < n * m; i++)
		err = savina_send(s->main.refs[i % m], SAVINA_GO, 0, i);
	return err;
}
static inline enum sm_err savina_fork_join_throughput(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_throughput_receive, sizeof(struct savina_sum), p->m, p, ret);
}

/* ---- fork-join, create: n actors, each for one message; the result is how many have ended, as their watcher hears ---- */

static inline enum sm_err savina_create_worker(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	sm_stop(sm_self(self));
	return SM_OK;
}
static inline enum sm_err savina_create_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_sum *s = state;
	const uint64_t n = s->main.params->n;
	if (msg->type == &sm_msg_terminated) {
		if (savina_add(s, ((struct sm_terminated_msg *)msg)->why == SM_OK, n))
			savina_result(self, &s->main, s->sum, 0);
		return SM_OK;
	}
	savina_keep_start(self, &s->main, msg);
	enum sm_err err = savina_spawn(self, &s->main, (uint32_t)n, sizeof(struct savina_worker), savina_create_worker, 1);
	for (uint64_t i = 0; !err && i < n; i++)
		if (!(err = sm_watch(self, s->main.refs[i])))
			err = savina_send(s->main.refs[i], SAVINA_GO, 0, i);
	return err;
}
static inline enum sm_err savina_fork_join_create(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_create_receive, sizeof(struct savina_sum), 1, p, ret);
}

/* ---- thread ring: a token goes n hops round m actors; the result is where it ends ---- */

static inline enum sm_err savina_ring_worker(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	const struct savina_worker *w = state;
	struct savina_token *token = (struct savina_token *)w->main;
	if (token->left == 0)
		return savina_send(w->main_ref, SAVINA_DONE, w->index, 0);
	token->left--;
	return sm_send(w->main->refs[(w->index + 1) % w->main->count], msg);
}
static inline enum sm_err savina_ring_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_token *s = state;
	if (savina_of(msg)->kind == SAVINA_DONE) {
		savina_result(self, &s->main, savina_of(msg)->from, 0);
		return SM_OK;
	}
	savina_keep_start(self, &s->main, msg);
	s->token.type = &savina_token_type;
	s->left = s->main.params->n;
	enum sm_err err = savina_spawn(self, &s->main, (uint32_t)s->main.params->m, sizeof(struct savina_worker), savina_ring_worker, 1);
	return err ? err : sm_send(s->main.refs[0], &s->token);
}
static inline enum sm_err savina_thread_ring(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_ring_receive, sizeof(struct savina_token), 1, p, ret);
}

/* ---- big: m actors send n pings each, to others at random, one at a time; the result is the sum of the pings that were answered ---- */

struct savina_big {
	struct savina_worker worker;
	uint64_t random, left, answered;
};
static inline enum sm_err savina_big_next(struct savina_big *b)
{
	const struct savina_worker *w = &b->worker;
	if (b->left-- == 0)
		return savina_send(w->main_ref, SAVINA_DONE, w->index, 0);
	b->random = b->random * 6364136223846793005u + 1442695040888963407u;
	return savina_send(w->main->refs[(b->random >> 33) % w->main->count], SAVINA_PING, w->index, 0);
}
static inline enum sm_err savina_big_worker(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_big *b = state;
	const struct savina_worker *w = &b->worker;
	switch (savina_of(msg)->kind) {
	case SAVINA_PING: b->answered++; return savina_send(w->main->refs[savina_of(msg)->from], SAVINA_PONG, w->index, 0);
	case SAVINA_GET: return savina_send(w->main_ref, SAVINA_EXIT, w->index, b->answered);
	case SAVINA_GO:
		b->left = w->main->params->n;
		b->random = w->index;
		return savina_big_next(b);
	default: return savina_big_next(b);
	}
}
static inline enum sm_err savina_to_all(const struct savina_main *s, enum savina_kind kind)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; !err && i < s->count; i++)
		err = savina_send(s->refs[i], kind, i, 0);
	return err;
}
static inline enum sm_err savina_big_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_sum *s = state;
	const uint64_t m = s->main.params->m;
	switch (savina_of(msg)->kind) {
	case SAVINA_DONE: /* all pings have their pongs when all are done */
		if (!savina_add(s, 0, m))
			return SM_OK;
		s->heard = 0;
		return savina_to_all(&s->main, SAVINA_GET);
	case SAVINA_EXIT:
		if (savina_add(s, savina_of(msg)->number, m))
			savina_result(self, &s->main, s->sum, 0);
		return SM_OK;
	default: savina_keep_start(self, &s->main, msg);
	}
	enum sm_err err = savina_spawn(self, &s->main, (uint32_t)m, sizeof(struct savina_big), savina_big_worker, 2 * m);
	return err ? err : savina_to_all(&s->main, SAVINA_GO);
}
static inline enum sm_err savina_big_run(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_big_receive, sizeof(struct savina_sum), 2 * p->m, p, ret);
}

/* ---- chameneos: m of them meet n times, two by two, and change their colours; the result is the sum of what each has counted ---- */

struct savina_chameneo {
	struct savina_worker worker;
	uint32_t colour; /* 0 to 2 */
	uint64_t meetings;
};
struct savina_mall {
	struct savina_sum sum;
	uint64_t left;
	bool waits;
	uint32_t waiting;
};
static inline uint32_t savina_complement(uint32_t a, uint32_t b)
{
	return a == b ? a : 3 - a - b;
}
static inline enum sm_err savina_chameneo_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_chameneo *c = state;
	const struct savina_worker *w = &c->worker;
	const struct savina_msg *m = savina_of(msg);
	enum sm_err err = SM_OK;
	switch (m->kind) {
	case SAVINA_PING: /* who has come second; number is its colour */
		c->colour = savina_complement(c->colour, (uint32_t)m->number);
		c->meetings++;
		err = savina_send(w->main->refs[m->from], SAVINA_PONG, w->index, c->colour);
		break;
	case SAVINA_PONG:
		c->colour = (uint32_t)m->number;
		c->meetings++;
		break;
	case SAVINA_EXIT: return savina_send(w->main_ref, SAVINA_DONE, w->index, c->meetings);
	default: c->colour = w->index % 3;
	}
	return err ? err : savina_send(w->main_ref, SAVINA_GO, w->index, c->colour);
}
static inline enum sm_err savina_mall_meet(struct savina_mall *s, const struct savina_msg *m)
{
	struct sm_ref **refs = s->sum.main.refs;
	if (s->left == 0)
		return savina_send(refs[m->from], SAVINA_EXIT, 0, 0);
	if (!s->waits) {
		s->waits = true;
		s->waiting = m->from;
		return SM_OK;
	}
	s->waits = false;
	s->left--;
	return savina_send(refs[s->waiting], SAVINA_PING, m->from, m->number);
}
static inline enum sm_err savina_mall_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct savina_mall *s = state;
	struct savina_main *main = &s->sum.main;
	switch (savina_of(msg)->kind) {
	case SAVINA_GO: return savina_mall_meet(s, savina_of(msg));
	case SAVINA_DONE:
		if (savina_add(&s->sum, savina_of(msg)->number, main->count))
			savina_result(self, main, s->sum.sum, 0);
		return SM_OK;
	default: savina_keep_start(self, main, msg);
	}
	s->left = main->params->n;
	enum sm_err err = savina_spawn(self, main, (uint32_t)main->params->m, sizeof(struct savina_chameneo), savina_chameneo_receive, 4);
	return err ? err : savina_to_all(main, SAVINA_START);
}
static inline enum sm_err savina_chameneos(struct sm_system *system, const struct savina_params *p, struct savina_result *ret)
{
	return savina_run(system, savina_mall_receive, sizeof(struct savina_mall), 2 * p->m, p, ret);
}

#endif
