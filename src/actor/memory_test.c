/* Without memory: the Nth allocation fails, for N = 1, 2, 3, ... until all of it succeeds. Whatever fails, messages are freed once, no
 * ask has two outcomes, and the system ends in order. */
#include "actor/sim_testing.h"
#include <dlfcn.h>

static uint64_t fails_at; /* 0: none fails */
static uint64_t allocations;

static bool allocation_fails(void)
{
	return fails_at && ++allocations == fails_at;
}

/* These take the place of the C library's in the whole program. */
void *calloc(size_t count, size_t size)
{
	static void *(*next)(size_t, size_t);
	if (!next)
		next = (void *(*)(size_t, size_t))(uintptr_t)dlsym(RTLD_NEXT, "calloc");
	return allocation_fails() ? NULL : next(count, size);
}
void *realloc(void *old, size_t size)
{
	static void *(*next)(void *, size_t);
	if (!next)
		next = (void *(*)(void *, size_t))(uintptr_t)dlsym(RTLD_NEXT, "realloc");
	return allocation_fails() ? NULL : next(old, size);
}

/* A message of the test's own is not what shall fail. */
static struct sm_msg *spare(uint64_t number)
{
	uint64_t at = fails_at;
	fails_at = 0;
	struct sm_msg *msg = number_new(number);
	fails_at = at;
	return msg;
}
static struct sm_msg *spare_copy(const struct sm_msg *msg);
static const struct sm_msg_type event_type = {"event", number_done, spare_copy};
static struct sm_msg *event(uint64_t number)
{
	struct sm_msg *msg = spare(number);
	msg->type = &event_type;
	return msg;
}
static struct sm_msg *spare_copy(const struct sm_msg *msg)
{
	return event(number_of(msg));
}

/* ---- an actor that does a little of everything ---- */

enum { ASK = 1, ANSWER, WATCH, TIMER, STASH, UNSTASH, PIPE, JOIN, IDLE, FAIL, CHILD, EVERYTHING };

static struct sm_ref *helper, *router, *group;
static uint64_t asks, outcomes;

static enum sm_err helper_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->ask_id && number_of(msg) == ASK)
		sm_reply(self, msg, spare(ANSWER));
	return SM_OK;
}

static void piped(struct sm_msg *msg) {}

static void may_send(struct sm_ref *to, struct sm_msg *msg)
{
	if (!to || sm_send(to, msg))
		sm_msg_free(msg);
}

static void ask(struct sm_actor *self, struct sm_ref *to, struct sm_msg *msg)
{
	uint64_t id;
	if (to && !sm_ask(self, to, msg, 100, &id))
		asks++;
	else
		sm_msg_free(msg);
}

static void pipe_one(struct sm_actor *self)
{
	struct sm_msg *msg = spare(EVERYTHING);
	if (sm_pipe(self, piped, msg))
		sm_msg_free(msg);
}

static enum sm_err join(struct sm_actor *self)
{
	enum sm_err err = sm_subscribe(self, &event_type);
	if (!err)
		err = sm_subscribe(self, &sm_msg_dead_letter);
	if (!err)
		err = sm_register(self, "group");
	if (!err)
		err = sm_subscribe_key(self, "group");
	sm_unsubscribe_key(self, "group");
	return err;
}

static enum sm_err child(struct sm_actor *self)
{
	struct sm_props props = {.name = "child",
				 .receive = helper_receive,
				 .dispatcher = SM_DISPATCHER_ANY,
				 .overflow = SM_OVERFLOW_DROP_OLDEST,
				 .mailbox_max = 2};
	struct sm_ref *ref;
	enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, &ref);
	if (err)
		return err == SM_EXISTS ? SM_OK : err;
	for (int i = 0; i < 4; i++)
		may_send(ref, event(0));
	sm_unref(ref);
	return SM_OK;
}

static enum sm_err busy_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type == &sm_msg_ask_failed || (msg->type == &number_type && number_of(msg) == ANSWER)) {
		outcomes++;
		return SM_OK;
	}
	if (msg->type != &number_type)
		return SM_OK;
	switch (number_of(msg)) {
	case ASK:
		ask(self, helper, spare(ASK));
		ask(self, router, spare(ASK));
		ask(self, helper, spare(0)); /* runs out of time */
		return SM_OK;
	case WATCH: return helper ? sm_watch(self, helper) : SM_OK;
	case TIMER: return sm_timer_start(self, 1, 10, 10);
	case STASH: return sm_stash(self);
	case UNSTASH: sm_unstash_all(self); return SM_OK;
	case PIPE: pipe_one(self); return SM_OK;
	case JOIN: return join(self);
	case IDLE: return sm_idle_timeout(self, 50);
	case CHILD: return child(self);
	case FAIL: return SM_FAILED;
	}
	return SM_OK;
}

static void spawn_all(struct sm_system *system, struct sm_ref **busy)
{
	struct sm_props helping = {.name = "helper", .receive = helper_receive, .dispatcher = SM_DISPATCHER_ANY};
	struct sm_props props = {
		.receive = busy_receive, .dispatcher = SM_DISPATCHER_ANY, .supervision = {.restarts_max = 1000}, .lanes = true};
	struct sm_router_props pool = {.pool = &helping, .count = 3, .routing = SM_ROUTE_ROUND_ROBIN};
	struct sm_router_props by_key = {.key = "group", .routing = SM_ROUTE_BROADCAST};
	helper = router = group = *busy = NULL;
	(void)!sm_spawn(system, NULL, &helping, &helper);
	(void)!sm_spawn_router(system, NULL, &pool, &router);
	(void)!sm_spawn_router(system, NULL, &by_key, &group);
	(void)!sm_spawn(system, NULL, &props, busy);
}

static void one_run(struct sm_system *system)
{
	static const uint64_t orders[] = {JOIN,    STASH, WATCH, ASK, TIMER, CHILD, PIPE,  IDLE, UNSTASH, FAIL, ASK,
					  UNSTASH, CHILD, STASH, ASK, WATCH, JOIN,  TIMER, ASK,  PIPE,    FAIL, IDLE};
	struct sm_ref *busy;
	asks = outcomes = 0;
	spawn_all(system, &busy);
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		may_send(busy, spare(orders[i]));
		if (i % 3 == 0)
			assert_true(sm_sim_advance(system, 5));
		(void)sm_publish(system, event(i));
		may_send(group, event(i));
	}
	assert_true(sm_sim_advance(system, 1000));
	struct sm_msg *answer;
	struct sm_msg *request = spare(ASK);
	enum sm_err err = helper ? sm_ask_wait(system, helper, request, 100, &answer) : SM_GONE;
	if (!err)
		sm_msg_free(answer);
	else if (err != SM_TIMEOUT && err != SM_CANCELLED)
		sm_msg_free(request);
	if (helper)
		(void)!sm_stop_wait(system, helper, 100, NULL);
	sm_unref(helper);
	sm_unref(router);
	sm_unref(group);
	sm_unref(busy);
}

SIM_TEST(without_memory_nothing_is_lost_or_freed_twice)
{
	uint64_t n = 0;
	bool all;
	do {
		struct sm_system *system = sim_new();
		allocations = 0;
		fails_at = ++n;
		one_run(system);
		all = allocations < n;
		fails_at = 0;
		assert_true(outcomes <= asks); /* a restart ends the asks of before */
		assert_true(outcomes || !all);
		sim_end(system);
	} while (!all);
	assert_true(n > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(without_memory_nothing_is_lost_or_freed_twice)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
