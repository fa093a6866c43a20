/* Lanes, what full mailboxes do, actors with a thread of their own, what is seen from outside. */
#include "actor/sim_testing.h"
#include <pthread.h>

static struct trace trace;

static struct sm_ref *lanes_spawn(struct sm_system *system, uint32_t mailbox_max, enum sm_overflow overflow, bool lanes)
{
	struct sm_props props = trace_props(&trace);
	memset(&trace, 0, sizeof trace);
	props.mailbox_max = mailbox_max;
	props.overflow = overflow;
	props.lanes = lanes;
	return sim_spawn(system, &props);
}
static enum sm_err send_lane(struct sm_ref *to, uint64_t number, enum sm_lane lane)
{
	struct sm_msg *msg = number_new(number);
	enum sm_err err = sm_send_lane(to, msg, lane);
	if (err)
		sm_msg_free(msg);
	return err;
}

SIM_TEST(control_goes_before_priority_and_priority_before_the_rest)
{
	struct sm_system *system = sim_new();
	struct sm_ref *ref = lanes_spawn(system, 0, SM_OVERFLOW_FAIL, true);
	for (uint64_t n = 0; n < 3; n++) {
		assert_int_equal(send_lane(ref, 30 + n, SM_LANE_NORMAL), SM_OK);
		assert_int_equal(send_lane(ref, 20 + n, SM_LANE_PRIORITY), SM_OK);
		assert_int_equal(send_lane(ref, 10 + n, SM_LANE_CONTROL), SM_OK);
	}
	sim_settle(system);
	TRACE_IS(&trace, 10, 11, 12, 20, 21, 22, 30, 31, 32);
	sm_unref(ref);
	ref = lanes_spawn(system, 0, SM_OVERFLOW_FAIL, false);
	assert_int_equal(send_lane(ref, 1, SM_LANE_CONTROL), SM_UNSUPPORTED);
	assert_int_equal(send_lane(ref, 1, SM_LANE_NORMAL), SM_OK);
	sm_unref(ref);
	sim_end(system);
}

SIM_TEST(a_full_mailbox_with_lanes_refuses_and_takes_control_messages_still)
{
	struct sm_system *system = sim_new();
	struct sm_ref *ref = lanes_spawn(system, 4, SM_OVERFLOW_FAIL, true);
	for (uint64_t n = 0; n < 4; n++)
		assert_int_equal(send_lane(ref, n, n % 2 ? SM_LANE_PRIORITY : SM_LANE_NORMAL), SM_OK);
	assert_int_equal(send_lane(ref, 9, SM_LANE_NORMAL), SM_FULL);
	assert_int_equal(send_lane(ref, 9, SM_LANE_PRIORITY), SM_FULL);
	assert_int_equal(send_lane(ref, 5, SM_LANE_CONTROL), SM_OK);
	sim_settle(system);
	TRACE_IS(&trace, 5, 1, 3, 0, 2);
	sm_unref(ref);
	sim_end(system);
}

SIM_TEST(drop_oldest_takes_the_new_one_and_makes_a_dead_letter_of_the_oldest)
{
	struct sm_system *system = sim_new();
	struct sm_ref *ref = lanes_spawn(system, 4, SM_OVERFLOW_DROP_OLDEST, false);
	for (uint64_t n = 1; n <= 10; n++)
		send_number(ref, n);
	assert_int_equal(sm_dead_letters(system), 6);
	sm_stop(ref); /* no message of the room's own is dropped */
	for (uint64_t n = 11; n <= 12; n++)
		send_number(ref, n);
	sim_settle(system);
	TRACE_IS(&trace, 9, 10);
	assert_int_equal(sm_dead_letters(system), 10);
	sm_unref(ref);
	sim_end(system);
}

SIM_TEST(who_asks_a_router_without_routees_is_told)
{
	struct sm_system *system = sim_new();
	struct sm_router_props props = {.key = "nobody"};
	struct sm_ref *router;
	assert_int_equal(sm_spawn_router(system, NULL, &props, &router), SM_OK);
	struct sm_msg *answer;
	assert_int_equal(sm_ask_wait(system, router, number_new(1), 1000, &answer), SM_CANCELLED);
	sm_unref(router);
	sim_end(system);
}

/* ---- with threads ---- */

static atomic_ulong received;
static enum sm_err slow_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	nanosleep(&(struct timespec){0, 20000}, NULL);
	received++;
	return SM_OK;
}

static void *send_many(void *arg)
{
	for (uint64_t n = 0; n < 300; n++) {
		struct sm_msg *msg = number_new(n);
		if (sm_send(arg, msg))
			sm_msg_free(msg);
	}
	return NULL;
}

static void a_thread_waits_for_room_and_the_end_lets_it_go(void **unused)
{
	struct sm_system *system = system_with(2);
	struct sm_props props = {
		.receive = slow_receive, .mailbox_max = 3, .overflow = SM_OVERFLOW_BLOCK, .dispatcher = SM_DISPATCHER_PINNED};
	struct sm_ref *ref;
	pthread_t threads[3];
	received = 0;
	assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_many, ref), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	eventually(received == 900);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_many, ref), 0);
	eventually(received > 910);
	sm_stop_now(ref);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	sm_unref(ref);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static atomic_bool gate;
static enum sm_err gate_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	gate_wait(&gate);
	received++;
	return SM_OK;
}

static void a_pinned_actor_may_block_and_its_thread_is_used_again(void **unused)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1, .pinned_max = 2};
	assert_int_equal(sm_system_new(&options, &system, NULL), SM_OK);
	struct sm_props pinned = {.receive = gate_receive, .dispatcher = SM_DISPATCHER_PINNED}, plain = {.receive = slow_receive};
	struct sm_ref *refs[2], *ref;
	gate = false;
	received = 0;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 2; i++) {
			assert_int_equal(sm_spawn(system, NULL, &pinned, &refs[i]), SM_OK);
			send_number(refs[i], 1);
		}
		assert_int_equal(sm_spawn(system, NULL, &pinned, &ref), SM_FULL);
		assert_int_equal(sm_spawn(system, NULL, &plain, &ref), SM_OK);
		send_number(ref, 1);
		eventually(received == 1); /* while both others stand in their handlers */
		gate = true;
		eventually(received == 3);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(sm_stop_wait(system, refs[i], DEADLINE_MS, NULL), SM_OK);
			sm_unref(refs[i]);
		}
		sm_unref(ref);
		gate = false;
		received = 0;
	}
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

struct seen {
	uint32_t count;
	uint64_t processed, handler_ns;
	uint32_t depth_max;
	char paths[4][64];
};
static void see(void *arg, const struct sm_actor_info *info)
{
	struct seen *s = arg;
	snprintf(s->paths[s->count++ % 4], 64, "%s", info->path);
	s->processed += info->processed;
	s->handler_ns += info->handler_ns;
	s->depth_max = info->depth > s->depth_max ? info->depth : s->depth_max;
}
static enum sm_err family_init(struct sm_actor *self, void *state, void *arg)
{
	struct sm_props props = {.name = "child", .receive = slow_receive, .dispatcher = SM_DISPATCHER_ANY};
	return sm_spawn(sm_actor_system(self), self, &props, arg);
}

static void the_tree_is_seen_with_its_figures(void **unused)
{
	struct sm_system *system;
	struct sm_system_options options = {.dispatchers = 2, .pool_threads = 1, .observe = true, .slow_handler_ms = 1};
	assert_int_equal(sm_system_new(&options, &system, NULL), SM_OK);
	struct sm_ref *child = NULL, *parent;
	struct sm_props props = {
		.name = "parent", .init = family_init, .receive = slow_receive, .arg = &child, .dispatcher = SM_DISPATCHER_ANY};
	received = 0;
	assert_int_equal(sm_spawn(system, NULL, &props, &parent), SM_OK);
	send_number(parent, 1);
	eventually(received == 1);
	for (int i = 0; i < 9; i++)
		send_number(child, 1);
	struct seen s;
	eventually((s = (struct seen){0}, sm_actors_each(system, 10, see, &s)) == 2 && s.processed == 10);
	assert_int_equal(s.depth_max, 1);
	assert_string_equal(s.paths[0], "/root/parent");
	assert_string_equal(s.paths[1], "/root/parent/child");
	assert_true(s.handler_ns >= 10 * 20000);
	s = (struct seen){0};
	assert_int_equal(sm_actors_each(system, 1, see, &s), 2);
	assert_int_equal(s.count, 1);
	sm_unref(child);
	sm_unref(parent);
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_goes_before_priority_and_priority_before_the_rest),
		cmocka_unit_test(a_full_mailbox_with_lanes_refuses_and_takes_control_messages_still),
		cmocka_unit_test(drop_oldest_takes_the_new_one_and_makes_a_dead_letter_of_the_oldest),
		cmocka_unit_test(who_asks_a_router_without_routees_is_told),
		cmocka_unit_test(a_thread_waits_for_room_and_the_end_lets_it_go),
		cmocka_unit_test(a_pinned_actor_may_block_and_its_thread_is_used_again),
		cmocka_unit_test(the_tree_is_seen_with_its_figures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
