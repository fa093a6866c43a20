/* Behaviours that change, the stash, the idle time-out, dead letters, results of the pool, ways to stop. */
#include "actor/sim_testing.h"

/* ---- become and stash: a door that is opened (1) and closed (2); what comes while it is closed waits ---- */

enum { OPEN = 1, CLOSE, FAIL, IDLE_ON, IDLE_OFF };

static struct trace trace;
static int stash_full;

static enum sm_err door_open(struct sm_actor *self, void *state, struct sm_msg *msg);
static enum sm_err door_closed(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (number_of(msg) == OPEN) {
		sm_become(self, door_open);
		sm_unstash_all(self);
		return SM_OK;
	}
	if (number_of(msg) == FAIL)
		return SM_FAILED;
	enum sm_err err = sm_stash(self);
	stash_full += err == SM_FULL;
	return SM_OK;
}
static enum sm_err door_open(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (number_of(msg) == CLOSE)
		sm_become(self, NULL);
	else
		trace_add(&trace, number_of(msg));
	return SM_OK;
}
static struct sm_props door_props(uint32_t stash_max)
{
	memset(&trace, 0, sizeof trace);
	stash_full = 0;
	return (struct sm_props){.receive = door_closed, .dispatcher = SM_DISPATCHER_ANY, .stash_max = stash_max};
}

SIM_TEST(what_is_stashed_comes_back_in_order_and_before_the_mailbox)
{
	struct sm_system *system = sim_new();
	struct sm_props props = door_props(0);
	struct sm_ref *door = sim_spawn(system, &props);
	for (uint64_t n = 10; n < 14; n++)
		send_number(door, n);
	send_number(door, OPEN);
	send_number(door, 14);
	send_number(door, CLOSE);
	send_number(door, 15);
	send_number(door, OPEN);
	send_number(door, 16);
	sim_settle(system);
	TRACE_IS(&trace, 10, 11, 12, 13, 14, 15, 16);
	sm_unref(door);
	sim_end(system);
}

SIM_TEST(unstashed_messages_may_be_stashed_again_and_keep_their_order)
{
	struct sm_system *system = sim_new();
	struct sm_props props = door_props(0);
	struct sm_ref *door = sim_spawn(system, &props);
	send_number(door, 10);
	send_number(door, CLOSE); /* stashed too: closes the door when it is read again */
	send_number(door, 11);
	send_number(door, 12);
	send_number(door, OPEN);
	sim_settle(system);
	TRACE_IS(&trace, 10);
	send_number(door, 13);
	send_number(door, OPEN);
	sim_settle(system);
	TRACE_IS(&trace, 10, 11, 12, 13);
	sm_unref(door);
	sim_end(system);
}

SIM_TEST(the_stash_is_bounded)
{
	struct sm_system *system = sim_new();
	struct sm_props props = door_props(3);
	struct sm_ref *door = sim_spawn(system, &props);
	for (uint64_t n = 10; n < 15; n++)
		send_number(door, n);
	send_number(door, OPEN);
	sim_settle(system);
	assert_int_equal(stash_full, 2);
	TRACE_IS(&trace, 10, 11, 12);
	sm_unref(door);
	sim_end(system);
}

/* What is unstashed is read behind control messages only: these must not pile it up by unstashing, each of them. */
static enum sm_err piling_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	stash_full += sm_stash(self) == SM_FULL;
	if (number_of(msg) >= 10 && stash_full == 0)
		sm_unstash_all(self);
	return SM_OK;
}

SIM_TEST(the_stash_is_bounded_with_what_was_unstashed_too)
{
	struct sm_system *system = sim_new();
	struct sm_props props = {.receive = piling_receive, .dispatcher = SM_DISPATCHER_ANY, .stash_max = 3, .lanes = true};
	stash_full = 0;
	struct sm_ref *ref = sim_spawn(system, &props);
	for (uint64_t n = 10; n < 16; n++)
		assert_int_equal(sm_send_lane(ref, number_new(n), SM_LANE_CONTROL), SM_OK);
	sim_settle(system);
	assert_int_equal(stash_full, 3);
	sm_unref(ref);
	sim_end(system);
}

SIM_TEST(a_restart_keeps_what_was_stashed_and_begins_with_the_first_behaviour)
{
	struct sm_system *system = sim_new();
	struct sm_props props = door_props(0);
	props.supervision = (struct sm_supervision){.restarts_max = 5, .backoff_min_ms = 10};
	struct sm_ref *door = sim_spawn(system, &props);
	send_number(door, 10);
	send_number(door, 11);
	send_number(door, FAIL);
	send_number(door, 12);
	assert_true(sm_sim_advance(system, 5));
	send_number(door, OPEN);
	assert_int_equal(trace.count, 0);
	assert_true(sm_sim_advance(system, 5));
	TRACE_IS(&trace, 10, 11, 12);
	sm_unref(door);
	sim_end(system);
}

/* ---- dead letters ---- */

struct mourner {
	uint64_t numbers[64];
	enum sm_err why[64];
	uint32_t count;
	const struct sm_ref *to;
};
static enum sm_err mourner_init(struct sm_actor *self, void *state, void *arg)
{
	*(struct mourner **)state = arg;
	return sm_subscribe(self, &sm_msg_dead_letter);
}
static enum sm_err mourner_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct mourner *m = *(struct mourner **)state;
	struct sm_dead_letter_msg *dead = (struct sm_dead_letter_msg *)msg;
	assert_ptr_equal(msg->type, &sm_msg_dead_letter);
	assert_ptr_equal(dead->type, &number_type);
	assert_true(m->count < 64);
	m->to = dead->to;
	m->why[m->count] = dead->why;
	m->numbers[m->count++] = number_of(dead->letter);
	return SM_OK;
}
static struct sm_ref *mourner_spawn(struct sm_system *system, struct mourner *m)
{
	struct sm_props props = {
		.state_size = sizeof(void *), .init = mourner_init, .receive = mourner_receive, .arg = m, .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *ref = sim_spawn(system, &props);
	sim_settle(system);
	return ref;
}

SIM_TEST(what_is_stashed_at_the_end_becomes_dead_letters_that_all_subscribers_see)
{
	struct sm_system *system = sim_new();
	struct mourner m[2] = {{.count = 0}};
	sm_unref(mourner_spawn(system, &m[0]));
	sm_unref(mourner_spawn(system, &m[1]));
	struct sm_props props = door_props(0);
	struct sm_ref *door = sim_spawn(system, &props);
	send_number(door, 10);
	send_number(door, 11);
	sim_settle(system);
	sm_stop(door);
	sim_settle(system);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(m[i].count, 2);
		assert_int_equal(m[i].numbers[0] + m[i].numbers[1], 21);
		assert_int_equal(m[i].why[0], SM_GONE);
		assert_ptr_equal(m[i].to, door);
	}
	assert_int_equal(sm_dead_letters(system), 2);
	sm_unref(door);
	sim_end(system);
}

SIM_TEST(stop_now_makes_dead_letters_of_what_is_queued_stop_does_not)
{
	struct sm_system *system = sim_new();
	static struct trace graceful, hard;
	memset(&graceful, 0, sizeof graceful);
	memset(&hard, 0, sizeof hard);
	struct mourner m = {.count = 0};
	sm_unref(mourner_spawn(system, &m));
	struct sm_props first = trace_props(&graceful), second = trace_props(&hard);
	struct sm_ref *a = sim_spawn(system, &first), *b = sim_spawn(system, &second);
	for (uint64_t n = 0; n < 20; n++) {
		send_number(a, n);
		send_number(b, n);
	}
	sm_stop(a);
	sm_stop(b);
	sm_stop_now(b);
	sm_stop_now(b);
	sim_settle(system);
	assert_int_equal(graceful.count, 20);
	assert_int_equal(hard.count + m.count, 20);
	for (uint32_t i = 0; i < m.count; i++)
		assert_int_equal(m.numbers[i], hard.count + i);
	sm_unref(a);
	sm_unref(b);
	sim_end(system);
}

/* ---- the idle time-out ---- */

static int idles;
static enum sm_err sleeper_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type == &sm_msg_idle) {
		assert_int_equal(sm_stash(self), SM_INVALID);
		idles++;
		return SM_OK;
	}
	if (number_of(msg) == FAIL)
		return SM_FAILED;
	return number_of(msg) == IDLE_ON ? sm_idle_timeout(self, 100) : number_of(msg) == IDLE_OFF ? sm_idle_timeout(self, 0) : SM_OK;
}

SIM_TEST(idleness_is_told_after_the_time_without_messages_again_and_again)
{
	struct sm_system *system = sim_new();
	struct sm_props props = {.receive = sleeper_receive, .dispatcher = SM_DISPATCHER_ANY, .supervision = {.restarts_max = 1}};
	struct sm_ref *ref = sim_spawn(system, &props);
	idles = 0;
	send_number(ref, IDLE_ON);
	assert_true(sm_sim_advance(system, 60));
	send_number(ref, 10);
	assert_true(sm_sim_advance(system, 99));
	assert_int_equal(idles, 0);
	assert_true(sm_sim_advance(system, 1));
	assert_int_equal(idles, 1);
	assert_true(sm_sim_advance(system, 300));
	assert_int_equal(idles, 4);
	send_number(ref, IDLE_OFF);
	assert_true(sm_sim_advance(system, 1000));
	assert_int_equal(idles, 4);
	send_number(ref, IDLE_ON);
	send_number(ref, FAIL);
	assert_true(sm_sim_advance(system, 1000));
	assert_int_equal(idles, 4); /* a restart begins without it */
	sm_unref(ref);
	sim_end(system);
}

/* ---- results of the pool ---- */

static const struct sm_msg_type square_type = {"square", number_done, NULL};
static uint64_t squared;
static void square(struct sm_msg *msg)
{
	struct number_msg *m = (struct number_msg *)msg;
	m->number *= m->number;
}
static enum sm_err piper_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type == &square_type) {
		squared += number_of(msg);
		return SM_OK;
	}
	if (number_of(msg) == 0)
		return SM_FAILED;
	msg->type = &square_type;
	return sm_pipe(self, square, msg); /* the very message that is being handled */
}

SIM_TEST(a_result_of_the_pool_comes_back_as_a_message_also_after_a_restart)
{
	struct sm_system *system = sim_new();
	struct sm_props props = {.receive = piper_receive, .dispatcher = SM_DISPATCHER_ANY, .supervision = {.restarts_max = 9}};
	struct sm_ref *ref = sim_spawn(system, &props);
	squared = 0;
	for (uint64_t n = 1; n <= 10; n++)
		send_number(ref, n);
	send_number(ref, 0);
	sim_settle(system);
	assert_int_equal(squared, 385);
	send_number(ref, 7);
	sm_stop_now(ref);
	sim_settle(system);
	sm_unref(ref);
	sim_end(system);
}

/* ---- waiting for the end ---- */

static enum sm_err parent_init(struct sm_actor *self, void *state, void *arg)
{
	struct sm_props props = trace_props(arg);
	return sm_spawn(sm_actor_system(self), self, &props, NULL);
}
static enum sm_err failing(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_CORRUPT;
}

SIM_TEST(a_thread_waits_for_the_end_of_an_actor)
{
	struct sm_system *system = sim_new();
	struct sm_props props = {.receive = failing, .init = parent_init, .arg = &trace, .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *ref = sim_spawn(system, &props);
	enum sm_err why = SM_FAILED;
	assert_int_equal(sm_stop_wait(system, ref, 1000, &why), SM_OK);
	assert_int_equal(why, SM_OK);
	assert_int_equal(sm_stop_wait(system, ref, 1000, &why), SM_OK); /* it has ended already */
	sm_unref(ref);
	ref = sim_spawn(system, &props);
	send_number(ref, 1);
	assert_int_equal(sm_stop_wait(system, ref, 1000, &why), SM_OK);
	assert_int_equal(why, SM_CORRUPT);
	sm_unref(ref);
	sim_end(system);
}

static enum sm_err keeper(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type == &sm_msg_terminated) {
		idles++;
		return SM_OK;
	}
	struct sm_ref *other = *(struct sm_ref **)state;
	if (number_of(msg) == 1)
		return sm_watch(self, other);
	sm_unwatch(self, other);
	return SM_OK;
}
static enum sm_err keeper_init(struct sm_actor *self, void *state, void *arg)
{
	*(void **)state = arg;
	return SM_OK;
}

SIM_TEST(who_unwatches_hears_nothing)
{
	struct sm_system *system = sim_new();
	struct sm_props plain = trace_props(&trace);
	struct sm_ref *watched = sim_spawn(system, &plain);
	struct sm_props props = {
		.state_size = sizeof(void *), .init = keeper_init, .receive = keeper, .arg = watched, .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *ref = sim_spawn(system, &props);
	idles = 0;
	send_number(ref, 1);
	send_number(ref, 2);
	sim_settle(system);
	sm_stop(watched);
	sim_settle(system);
	assert_int_equal(idles, 0);
	idles = 0;
	send_number(ref, 1); /* it has ended: told at once */
	sim_settle(system);
	assert_int_equal(idles, 1);
	sm_unref(ref);
	sm_unref(watched);
	sim_end(system);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stashed_comes_back_in_order_and_before_the_mailbox),
		cmocka_unit_test(unstashed_messages_may_be_stashed_again_and_keep_their_order),
		cmocka_unit_test(the_stash_is_bounded),
		cmocka_unit_test(the_stash_is_bounded_with_what_was_unstashed_too),
		cmocka_unit_test(a_restart_keeps_what_was_stashed_and_begins_with_the_first_behaviour),
		cmocka_unit_test(what_is_stashed_at_the_end_becomes_dead_letters_that_all_subscribers_see),
		cmocka_unit_test(stop_now_makes_dead_letters_of_what_is_queued_stop_does_not),
		cmocka_unit_test(idleness_is_told_after_the_time_without_messages_again_and_again),
		cmocka_unit_test(a_result_of_the_pool_comes_back_as_a_message_also_after_a_restart),
		cmocka_unit_test(a_thread_waits_for_the_end_of_an_actor),
		cmocka_unit_test(who_unwatches_hears_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
