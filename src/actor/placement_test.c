/* Where actors live, and that dispatchers which wait awake for each other look after everything else meanwhile. */
#include "actor/actor_internal.h"
#include "actor/testing.h"

/* ---- SM_DISPATCHER_PARENT ---- */

#define CHILDREN 8
static atomic_int child_at[CHILDREN];

static enum sm_err child_init(struct sm_actor *self, void *state, void *arg)
{
	atomic_store((atomic_int *)arg, (int)actor_dispatcher(self));
	return SM_OK;
}
static enum sm_err nothing(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_OK;
}
static enum sm_err parent_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	enum sm_err err = SM_OK;
	for (int i = 0; !err && i < CHILDREN; i++) {
		struct sm_props props = {.init = child_init, .receive = nothing, .arg = &child_at[i], .dispatcher = SM_DISPATCHER_PARENT};
		err = sm_spawn(sm_actor_system(self), self, &props, NULL);
	}
	return err;
}

static void children_of(int dispatcher)
{
	struct sm_system *system = system_with(3);
	struct sm_ref *parent;
	const struct sm_props props = {.receive = parent_receive, .dispatcher = dispatcher};
	for (int i = 0; i < CHILDREN; i++)
		atomic_store(&child_at[i], -1);
	assert_int_equal(sm_spawn(system, NULL, &props, &parent), SM_OK);
	assert_int_equal(sm_send(parent, number_new(0)), SM_OK);
	for (int i = 0; i < CHILDREN; i++)
		eventually(atomic_load(&child_at[i]) >= 0);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	sm_unref(parent);
}

static void children_live_where_their_parent_is(void **unused)
{
	for (int d = 0; d < 3; d++) {
		children_of(d);
		for (int i = 0; i < CHILDREN; i++)
			assert_int_equal(child_at[i], d);
	}
}

static void children_of_a_pinned_actor_and_of_the_root_live_with_all_others(void **unused)
{
	children_of(SM_DISPATCHER_PINNED);
	for (int i = 0; i < CHILDREN; i++)
		assert_in_range(child_at[i], 0, 2);
	children_of(SM_DISPATCHER_PARENT);
	for (int i = 0; i < CHILDREN; i++)
		assert_int_equal(child_at[i], child_at[0]);
}

/* ---- waiting awake ---- */

enum { HOP = 1, START };

struct talk {
	struct sm_ref *refs[2];
	atomic_bool over;
	atomic_uint timers, events, hops;
	uv_async_t event;
	atomic_int closed;
};

static void on_event(uv_async_t *event)
{
	atomic_fetch_add(&((struct talk *)event->data)->events, 1);
}
static void on_event_closed(uv_handle_t *event)
{
	atomic_store(&((struct talk *)event->data)->closed, 1);
}
static enum sm_err talk_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct talk **)state = arg;
	return SM_OK;
}
static enum sm_err talk_start(struct sm_actor *self, struct talk *t)
{
	t->event.data = t;
	if (uv_async_init(actor_loop(self), &t->event, on_event))
		return SM_FAILED;
	return sm_timer_start(self, 1, 1, 1);
}
static enum sm_err talk_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct talk *t = *(struct talk **)state;
	if (msg->type == &sm_msg_timer) {
		atomic_fetch_add(&t->timers, 1);
		return SM_OK;
	}
	if (number_of(msg) == START)
		return talk_start(self, t);
	atomic_fetch_add(&t->hops, 1);
	if (atomic_load(&t->over))
		return SM_OK;
	return sm_forward(self, t->refs[sm_self(self) == t->refs[0]], msg);
}
static void talk_done(struct sm_actor *self, void *state)
{
	struct talk *t = *(struct talk **)state;
	if (t->event.data && sm_self(self) == t->refs[0])
		uv_close((uv_handle_t *)&t->event, on_event_closed);
}

/* Two that do nothing but answer each other, across dispatchers: their loops' events and their timers come all the same. */
static void dispatchers_that_talk_serve_timers_and_events(void **unused)
{
	struct sm_system *system = system_with(2);
	static struct talk t;
	for (int i = 0; i < 2; i++) {
		const struct sm_props props = {.state_size = sizeof(void *),
					       .init = talk_init,
					       .receive = talk_receive,
					       .done = talk_done,
					       .arg = &t,
					       .dispatcher = i};
		assert_int_equal(sm_spawn(system, NULL, &props, &t.refs[i]), SM_OK);
	}
	assert_int_equal(sm_send(t.refs[0], number_new(START)), SM_OK);
	assert_int_equal(sm_send(t.refs[0], number_new(HOP)), SM_OK);
	eventually(atomic_load(&t.hops) >= 2000 && atomic_load(&t.timers) >= 1);
	for (unsigned i = 0; i < 20; i++) {
		unsigned seen = atomic_load(&t.events), timers = atomic_load(&t.timers);
		uv_async_send(&t.event);
		eventually(atomic_load(&t.events) > seen && atomic_load(&t.timers) > timers);
	}
	atomic_store(&t.over, true);
	eventually(atomic_load(&testing_live) == 0);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(t.closed, 1);
	for (int i = 0; i < 2; i++)
		sm_unref(t.refs[i]);
}

/* Silence between the messages: then they sleep, and are woken. */
static void dispatchers_that_have_talked_sleep_and_are_woken(void **unused)
{
	struct sm_system *system = system_with(2);
	static struct talk t;
	for (int i = 0; i < 2; i++) {
		const struct sm_props props = {
			.state_size = sizeof(void *), .init = talk_init, .receive = talk_receive, .arg = &t, .dispatcher = i};
		assert_int_equal(sm_spawn(system, NULL, &props, &t.refs[i]), SM_OK);
	}
	for (unsigned i = 1; i <= 10; i++) {
		atomic_store(&t.over, false);
		unsigned before = atomic_load(&t.hops);
		assert_int_equal(sm_send(t.refs[i % 2], number_new(HOP)), SM_OK);
		eventually(atomic_load(&t.hops) - before > 100 * i);
		atomic_store(&t.over, true);
		eventually(atomic_load(&testing_live) == 0);
	}
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	for (int i = 0; i < 2; i++)
		sm_unref(t.refs[i]);
}

static void only_short_sleeps_make_it_wait_awake(void **unused)
{
	struct awake w = {.needed = ACTOR_SHORT_SLEEPS_MIN};
	for (int i = 0; i < 100000; i++) { /* an idle one, and one that is woken quickly now and then */
		actor__awake_slept(&w, i % ACTOR_SHORT_SLEEPS_MIN != 0);
		assert_false(actor__awake_pays(&w));
	}
	for (int i = 0; i < ACTOR_SHORT_SLEEPS_MIN; i++)
		actor__awake_slept(&w, true);
	assert_true(actor__awake_pays(&w));
	actor__awake_waited(&w, false); /* and as long as it is answered */
	assert_true(actor__awake_pays(&w));
}

static void waits_in_vain_become_seldom(void **unused)
{
	struct awake w = {.needed = ACTOR_SHORT_SLEEPS_MIN};
	const uint32_t sleeps = 1000000;
	uint32_t in_vain = 0;
	for (uint32_t i = 0; i < sleeps; i++) {
		actor__awake_slept(&w, true);
		if (!actor__awake_pays(&w))
			continue;
		actor__awake_waited(&w, true);
		assert_false(actor__awake_pays(&w));
		in_vain++;
	}
	assert_in_range(in_vain, 1, 12 + sleeps / ACTOR_SHORT_SLEEPS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(children_live_where_their_parent_is),
		cmocka_unit_test(children_of_a_pinned_actor_and_of_the_root_live_with_all_others),
		cmocka_unit_test(dispatchers_that_talk_serve_timers_and_events),
		cmocka_unit_test(dispatchers_that_have_talked_sleep_and_are_woken),
		cmocka_unit_test(only_short_sleeps_make_it_wait_awake),
		cmocka_unit_test(waits_in_vain_become_seldom),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
