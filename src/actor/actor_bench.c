/* What a message, a turn and an actor cost: ns each. */
#include "actor/actor.h"
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CHECK(call)                                                            \
	do {                                                                   \
		enum sm_err err_ = (call);                                     \
		if (err_) {                                                    \
			fprintf(stderr, "%s: %s\n", #call, sm_err_name(err_)); \
			exit(1);                                               \
		}                                                              \
	} while (0)

struct token {
	struct sm_msg msg;
	uint64_t left;
	struct sm_ref **to; /* the next hop, by the receiver's index */
};
static const struct sm_msg_type token_type = {"token", NULL};
static atomic_bool finished;

static enum sm_err pointer_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}

static void wait_finished(void)
{
	while (!atomic_load(&finished))
		nanosleep(&(struct timespec){0, 100000}, NULL);
	atomic_store(&finished, false);
}

static void report(const char *what, uint64_t started, uint64_t n)
{
	printf("%-44s %9.1f ns\n", what, (double)(uv_hrtime() - started) / (double)n);
}

/* A ring of n actors; a token goes round. Each has the place where its neighbour's address will stand. */
static enum sm_err link_hop(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct token *token = (struct token *)msg;
	if (token->left-- == 0) {
		atomic_store(&finished, true);
		return SM_OK;
	}
	return sm_send(**(struct sm_ref ***)state, msg);
}

static void ring(const char *what, uint32_t dispatchers, uint32_t n, uint64_t hops)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = dispatchers, .pool_threads = 1};
	CHECK(sm_system_new(&options, &system, NULL));
	struct sm_ref **refs = calloc(n, sizeof(struct sm_ref *));
	for (uint32_t i = 0; i < n; i++) {
		struct sm_props props = {.state_size = sizeof(void *),
					 .init = pointer_init,
					 .receive = link_hop,
					 .arg = &refs[(i + 1) % n],
					 .dispatcher = (int)(i % dispatchers)};
		CHECK(sm_spawn(system, NULL, &props, &refs[i]));
	}
	struct token token = {.msg.type = &token_type, .left = hops};
	uint64_t started = uv_hrtime();
	CHECK(sm_send(refs[0], &token.msg));
	wait_finished();
	report(what, started, hops);
	for (uint32_t i = 0; i < n; i++)
		sm_unref(refs[i]);
	free(refs);
	CHECK(sm_system_stop(system, 10000));
}

/* ---- counting: messages from the heap, one thread sends, one actor counts ---- */

static void heap_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type heap_type = {"heap", heap_done};
#define COUNT 5000000u
static enum sm_err count(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (++*(uint64_t *)state == COUNT)
		atomic_store(&finished, true);
	return SM_OK;
}
static void counting(void)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1};
	CHECK(sm_system_new(&options, &system, NULL));
	struct sm_ref *ref;
	struct sm_props props = {.state_size = sizeof(uint64_t), .receive = count, .dispatcher = 0, .mailbox_max = 4096};
	CHECK(sm_spawn(system, NULL, &props, &ref));
	uint64_t started = uv_hrtime();
	for (uint32_t i = 0; i < COUNT; i++) {
		struct sm_msg *msg = calloc(1, sizeof *msg);
		msg->type = &heap_type;
		while (sm_send(ref, msg))
			nanosleep(&(struct timespec){0, 1000}, NULL);
	}
	wait_finished();
	report("counting, from another thread, malloc'ed", started, COUNT);
	sm_unref(ref);
	CHECK(sm_system_stop(system, 10000));
}

/* ---- a burst: an actor sends 32 embedded messages to another one, which sends them back ---- */

#define BURST 32
struct burst {
	struct sm_ref *peer;
	struct token tokens[BURST];
	uint32_t back;
	uint64_t rounds;
};
static enum sm_err burst_echo(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct token *token = (struct token *)msg;
	return sm_send(*token->to, msg);
}
static struct sm_ref *burst_self;
static enum sm_err burst_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct burst *b = *(struct burst **)state;
	if (++b->back < BURST)
		return SM_OK;
	b->back = 0;
	if (b->rounds-- == 0) {
		atomic_store(&finished, true);
		return SM_OK;
	}
	for (int i = 0; i < BURST; i++)
		CHECK(sm_send(b->peer, &b->tokens[i].msg));
	return SM_OK;
}
static void bursts(void)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1};
	CHECK(sm_system_new(&options, &system, NULL));
	static struct burst b = {.rounds = 200000, .back = BURST - 1};
	struct sm_props props = {.receive = burst_echo, .dispatcher = 0};
	CHECK(sm_spawn(system, NULL, &props, &b.peer));
	props = (struct sm_props){.receive = burst_receive, .init = pointer_init, .arg = &b, .state_size = sizeof(void *), .dispatcher = 0};
	CHECK(sm_spawn(system, NULL, &props, &burst_self));
	for (int i = 0; i < BURST; i++)
		b.tokens[i] = (struct token){.msg.type = &token_type, .to = &burst_self};
	uint64_t started = uv_hrtime();
	struct token first = {.msg.type = &token_type};
	CHECK(sm_send(burst_self, &first.msg));
	wait_finished();
	report("bursts of 32 and back, local, a message", started, 2ull * BURST * 200000);
	sm_unref(b.peer);
	sm_unref(burst_self);
	CHECK(sm_system_stop(system, 10000));
}

/* ---- creation: an actor spawns children that stop at their first message ---- */

#define CHILDREN 200000u
static atomic_uint children_done;
static enum sm_err child_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_END;
}
static void child_done(struct sm_actor *self, void *state)
{
	if (atomic_fetch_add(&children_done, 1) + 1 == CHILDREN)
		atomic_store(&finished, true);
}
static enum sm_err parent_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct sm_props props = {.state_size = 64, .receive = child_receive, .done = child_done, .dispatcher = 0};
	struct token *token = (struct token *)msg;
	for (int i = 0; i < 50 && token->left; i++, token->left--) {
		struct sm_ref *child;
		CHECK(sm_spawn(sm_actor_system(self), self, &props, &child));
		sm_stop(child);
		sm_unref(child);
	}
	return token->left ? sm_send(sm_self(self), msg) : SM_OK;
}
static void creation(void)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1};
	CHECK(sm_system_new(&options, &system, NULL));
	struct sm_ref *ref;
	struct sm_props props = {.receive = parent_receive, .dispatcher = 0};
	CHECK(sm_spawn(system, NULL, &props, &ref));
	struct token token = {.msg.type = &token_type, .left = CHILDREN};
	uint64_t started = uv_hrtime();
	CHECK(sm_send(ref, &token.msg));
	wait_finished();
	report("an actor spawned, stopped and freed", started, CHILDREN);
	sm_unref(ref);
	CHECK(sm_system_stop(system, 10000));
}

/* ---- what an idle actor holds: supervised, without a state, its address held by one ---- */

#define IDLE 100000
static enum sm_err idle_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_OK;
}
static void memory(void)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1};
	static struct sm_ref *refs[IDLE];
	CHECK(sm_system_new(&options, &system, NULL));
	struct sm_props props = {.receive = idle_receive, .supervision = {.restarts_max = 3, .window_ms = 1000}};
	struct mallinfo2 before = mallinfo2();
	for (int i = 0; i < IDLE; i++)
		CHECK(sm_spawn(system, NULL, &props, &refs[i]));
	struct mallinfo2 after = mallinfo2();
	printf("%-44s %9.1f bytes\n", "memory of an idle actor", (double)(after.uordblks - before.uordblks) / IDLE);
	for (int i = 0; i < IDLE; i++)
		sm_unref(refs[i]);
	CHECK(sm_system_stop(system, 60000));
}

int main(void)
{
	ring("ping-pong, one dispatcher, a message", 1, 2, 10000000);
	ring("ring of 1,000 actors, one dispatcher", 1, 1000, 10000000);
	ring("ring of 100,000 actors, one dispatcher", 1, 100000, 3000000);
	ring("ping-pong, two dispatchers, a message", 2, 2, 200000);
	bursts();
	counting();
	creation();
	memory();
	return 0;
}
