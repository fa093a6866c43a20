/* Posted functions, hooks, loops, and a stress over two dispatchers. */
#include "actor/testing.h"
#include <pthread.h>

struct posted {
	struct actor_task task;
	int on, number;
	atomic_int *next, *wrong;
};
static void posted_run(struct actor_task *task)
{
	struct posted *p = (struct posted *)task;
	*p->wrong += actor_current_dispatcher() != p->on || p->number != *p->next;
	++*p->next;
	free(p);
}

/* held: the wake-ups of 100 at a time. */
static void post_in_turn(bool held)
{
	struct sm_system *system = system_with(2);
	assert_int_equal(sm_system_dispatchers(system), 2);
	assert_int_equal(actor_current_dispatcher(), -1);
	atomic_int next[2] = {0}, wrong = 0;
	for (int i = 0; i < 2000; i++) {
		if (held && i % 100 == 0)
			actor_hold_wakes();
		struct posted *p = calloc(1, sizeof *p);
		*p = (struct posted){.task.run = posted_run, .on = i % 2, .number = i / 2, .next = &next[i % 2], .wrong = &wrong};
		actor_post(system, (uint32_t)(i % 2), &p->task);
		if (held && i % 100 == 99)
			actor_release_wakes();
	}
	eventually(next[0] == 1000 && next[1] == 1000);
	assert_int_equal(wrong, 0);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

static void posted_functions_run_in_order_on_their_dispatcher(void **unused)
{
	post_in_turn(false);
}

static void held_wake_ups_lose_nothing(void **unused)
{
	post_in_turn(true);
}

/* ---- hooks ---- */

struct hooked {
	struct actor_turn_hook hook, cancelled;
	struct sm_actor *self;
	atomic_int messages, flushes, flushed_at, wrong;
};
static void flush(struct actor_turn_hook *hook)
{
	struct hooked *h = (struct hooked *)hook;
	h->flushes++;
	h->flushed_at = h->messages;
	if (h->flushes == 1)
		actor_at_turn_end(h->self, hook); /* runs again, at the next turn's end */
}
static void never(struct actor_turn_hook *hook)
{
	abort();
}
static enum sm_err hooked_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct hooked *h = *(struct hooked **)state;
	h->self = self;
	h->wrong += actor_loop(self) == NULL || actor_dispatcher(self) != (uint32_t)actor_current_dispatcher();
	actor_at_turn_end(self, &h->hook);
	actor_at_turn_end(self, &h->hook);
	actor_at_turn_end(self, &h->cancelled);
	actor_turn_hook_cancel(self, &h->cancelled);
	actor_turn_hook_cancel(self, &h->cancelled);
	h->messages++;
	return SM_OK;
}
static enum sm_err pointer_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}
static void a_hook_runs_once_after_the_messages_of_a_turn(void **unused)
{
	struct sm_system *system = system_with(1);
	struct hooked h = {.hook.run = flush, .cancelled.run = never};
	struct sm_ref *ref;
	struct sm_props props = {
		.state_size = sizeof(void *), .init = pointer_init, .receive = hooked_receive, .arg = &h, .dispatcher = -1};
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	for (int i = 0; i < 100; i++)
		assert_int_equal(sm_send(ref, number_new(1)), SM_OK);
	eventually(h.messages == 100 && h.flushed_at == 100 && h.flushes >= 2);
	assert_in_range(h.flushes, 2, 101);
	assert_int_equal(h.wrong, 0);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

/* ---- stress: actors on two dispatchers send to each other, spawn, end, ask ---- */

#define PEERS 16
struct peer {
	struct sm_ref **peers;
	uint64_t index, random;
	atomic_long *handled, *answered;
};
struct peer_arg {
	struct sm_ref *peers[PEERS];
	atomic_int next_index;
	atomic_long handled, answered, children;
};
static enum sm_err child_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_END;
}
static enum sm_err child_init(struct sm_actor *self, void *state, void *arg)
{
	((struct peer_arg *)arg)->children++;
	return sm_timer_start(self, 1, 0, 0);
}
static enum sm_err peer_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct peer_arg *arg = *(struct peer_arg **)state;
	if (msg->type == &sm_msg_terminated || msg->type == &sm_msg_ask_failed) {
		arg->answered++;
		return SM_OK;
	}
	uint64_t n = number_of(msg);
	arg->handled++;
	if (msg->sender) {
		sm_reply(self, msg, number_new(0));
		return SM_OK;
	}
	if (msg->ask_id)
		arg->answered++;
	if (n == 0)
		return SM_OK;
	struct sm_ref *to = arg->peers[(n * 2654435761u >> 7) % PEERS];
	struct sm_msg *next = number_new(n - 1);
	if (sm_send(to, next))
		sm_msg_free(next);
	if (n % 8 == 0) {
		uint64_t id;
		struct sm_msg *ask = number_new(0);
		if (sm_ask(self, to, ask, 20000, &id))
			sm_msg_free(ask);
	}
	if (n % 64 == 0) {
		struct sm_ref *child;
		struct sm_props props = {.init = child_init, .receive = child_receive, .arg = arg, .dispatcher = (int)(n / 64 % 2)};
		if (sm_spawn(sm_actor_system(self), self, &props, &child) == SM_OK) {
			enum sm_err err = sm_watch(self, child);
			sm_unref(child);
			return err;
		}
	}
	return SM_OK;
}

static void two_dispatchers_under_stress_lose_nothing(void **unused)
{
	struct sm_system *system = system_with(2);
	struct peer_arg arg = {0};
	for (int i = 0; i < PEERS; i++) {
		struct sm_props props = {.state_size = sizeof(void *),
					 .init = pointer_init,
					 .receive = peer_receive,
					 .arg = &arg,
					 .dispatcher = i % 2,
					 .mailbox_max = 1000000};
		assert_int_equal(sm_spawn(system, NULL, &props, &arg.peers[i]), SM_OK);
	}
	const long starts = 64, hops = 640;
	for (int i = 0; i < starts; i++)
		assert_int_equal(sm_send(arg.peers[i % PEERS], number_new(hops)), SM_OK);
	/* each start: hops + 1 messages, an ask and its answer every 8, a child and its end every 64 */
	eventually(arg.handled == starts * (hops + 1 + 2 * hops / 8) && arg.answered == starts * (hops / 8 + hops / 64));
	assert_int_equal(arg.children, starts * hops / 64);
	for (int i = 0; i < PEERS; i++)
		sm_unref(arg.peers[i]);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static void a_stop_in_the_middle_of_traffic_frees_everything(void **unused)
{
	for (int round = 0; round < 5; round++) {
		struct sm_system *system = system_with(2);
		struct peer_arg arg = {0};
		for (int i = 0; i < PEERS; i++) {
			struct sm_props props = {.state_size = sizeof(void *),
						 .init = pointer_init,
						 .receive = peer_receive,
						 .arg = &arg,
						 .dispatcher = i % 2};
			assert_int_equal(sm_spawn(system, NULL, &props, &arg.peers[i]), SM_OK);
		}
		for (int i = 0; i < 64; i++)
			assert_int_equal(sm_send(arg.peers[i % PEERS], number_new(1000000)), SM_OK);
		eventually(arg.handled > 10000);
		assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
		for (int i = 0; i < PEERS; i++)
			sm_unref(arg.peers[i]);
		assert_int_equal(atomic_load(&testing_live), 0);
	}
}

/* ---- a handle of libuv's that has nothing to wait for ---- */

struct ticking {
	uv_timer_t timer;
	struct sm_actor *self;
	atomic_int ticks, closed;
};
static void on_tick(uv_timer_t *timer)
{
	struct ticking *t = timer->data;
	assert_int_equal(sm_send(sm_self(t->self), number_new(1)), SM_OK);
}
static void on_tick_closed(uv_handle_t *timer)
{
	atomic_store(&((struct ticking *)timer->data)->closed, 1);
}
static enum sm_err ticking_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct ticking *t = *(struct ticking **)state;
	if (number_of(msg) == 1) {
		atomic_fetch_add(&t->ticks, 1);
		return SM_OK;
	}
	t->self = self;
	uv_timer_init(actor_loop(self), &t->timer);
	t->timer.data = t;
	return uv_timer_start(&t->timer, on_tick, 0, 0) ? SM_FAILED : SM_OK;
}
static void ticking_done(struct sm_actor *self, void *state)
{
	uv_close((uv_handle_t *)&(*(struct ticking **)state)->timer, on_tick_closed);
}

/* libuv calls it just before it waits: what it sends must not wait for an event. */
static void what_a_callback_sends_before_the_loop_waits_is_read(void **unused)
{
	struct sm_system *system = system_with(1);
	struct ticking t = {.ticks = 0};
	struct sm_props props = {
		.state_size = sizeof(void *), .init = pointer_init, .receive = ticking_receive, .done = ticking_done, .arg = &t};
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	assert_int_equal(sm_send(ref, number_new(0)), SM_OK);
	eventually(t.ticks == 1);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(t.closed, 1);
	assert_int_equal(atomic_load(&testing_live), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(posted_functions_run_in_order_on_their_dispatcher),
		cmocka_unit_test(held_wake_ups_lose_nothing),
		cmocka_unit_test(a_hook_runs_once_after_the_messages_of_a_turn),
		cmocka_unit_test(two_dispatchers_under_stress_lose_nothing),
		cmocka_unit_test(what_a_callback_sends_before_the_loop_waits_is_read),
		cmocka_unit_test(a_stop_in_the_middle_of_traffic_frees_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
