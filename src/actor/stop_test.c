/* Ends under pressure: stops that run out of time, siblings that fail while others end, threads that drop while a system ends. */
#include "actor/sim_testing.h"
#include <pthread.h>

/* A wait for who never rests takes 100,000 steps: not with each seed. */
static bool is_spared(void)
{
	return sim_seed % 5 != 1 && !getenv("SMACK_SEED");
}

/* Sends itself urgent messages for ever: the order to stop stands behind them. */
static enum sm_err restless_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct sm_msg *again = number_new(1);
	enum sm_err err = sm_send_lane(sm_self(self), again, SM_LANE_PRIORITY);
	if (err)
		sm_msg_free(again);
	return err;
}
static const struct sm_props restless = {.receive = restless_receive, .lanes = true};

static struct sm_ref *restless_spawn(struct sm_system *system, struct sm_actor *parent)
{
	struct sm_ref *ref;
	assert_int_equal(sm_spawn(system, parent, &restless, &ref), SM_OK);
	assert_int_equal(sm_send_lane(ref, number_new(1), SM_LANE_PRIORITY), SM_OK);
	return ref;
}

/* ---- who watches, and who has failed, when the time is up ---- */

static enum sm_err watcher_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct sm_ref *ref = restless_spawn(sm_actor_system(self), NULL);
	enum sm_err err = sm_watch(self, ref);
	sm_unref(ref);
	return err;
}

SIM_TEST(a_stop_out_of_time_ends_those_who_watch_each_other)
{
	if (is_spared())
		return;
	struct sm_system *system = sim_new();
	struct sm_props props = {.receive = watcher_receive, .dispatcher = SM_DISPATCHER_ANY};
	struct sm_ref *watcher = sim_spawn(system, &props);
	send_number(watcher, 1);
	sm_unref(watcher); /* its address goes with it */
	for (int i = 0; i < 100; i++)
		sm_sim_step(system);
	assert_int_equal(sm_system_stop(system, 100), SM_TIMEOUT);
	assert_int_equal(atomic_load(&testing_live), 0);
}

static enum sm_directive escalate(enum sm_err why)
{
	return SM_DIRECTIVE_ESCALATE;
}
static enum sm_err middle_init(struct sm_actor *self, void *state, void *arg)
{
	sm_unref(restless_spawn(sm_actor_system(self), self));
	return SM_OK;
}
static enum sm_err failing_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_FAILED;
}
static enum sm_err top_init(struct sm_actor *self, void *state, void *arg)
{
	struct sm_props props = {
		.init = middle_init, .receive = failing_receive, .dispatcher = SM_DISPATCHER_ANY, .supervision.decide = escalate};
	struct sm_ref *ref;
	enum sm_err err = sm_spawn(sm_actor_system(self), self, &props, &ref);
	if (err)
		return err;
	send_number(ref, 1);
	sm_unref(ref);
	return SM_OK;
}

SIM_TEST(a_stop_out_of_time_ends_a_child_whose_failure_is_its_parents)
{
	if (is_spared())
		return;
	struct sm_system *system = sim_new();
	struct sm_props props = {.init = top_init, .receive = failing_receive, .dispatcher = SM_DISPATCHER_ANY};
	assert_int_equal(sm_spawn(system, NULL, &props, NULL), SM_OK);
	for (int i = 0; i < 100; i++)
		sm_sim_step(system);
	assert_int_equal(sm_system_stop(system, 100), SM_TIMEOUT);
	assert_int_equal(atomic_load(&testing_live), 0);
}

SIM_TEST(an_actor_that_never_rests_does_not_hold_up_a_wait_for_ever)
{
	if (is_spared())
		return;
	struct sm_system *system = sim_new();
	struct sm_ref *ref = restless_spawn(system, NULL);
	assert_int_equal(sm_stop_wait(system, ref, 50, NULL), SM_TIMEOUT);
	sm_stop_now(ref);
	assert_int_equal(sm_stop_wait(system, ref, 50, NULL), SM_OK);
	sm_unref(ref);
	sim_end(system);
}

/* ---- restarts without delay and without end ---- */

static enum sm_err never_init(struct sm_actor *self, void *state, void *arg)
{
	return (*(int *)arg)++ ? SM_IO : SM_OK;
}

SIM_TEST(restarts_without_delay_leave_others_their_turns)
{
	struct sm_system *system = sim_new();
	int inits = 0;
	struct trace trace = {0};
	struct sm_props props = {.init = never_init,
				 .receive = failing_receive,
				 .arg = &inits,
				 .dispatcher = SM_DISPATCHER_ANY,
				 .supervision = {.restarts_max = UINT32_MAX}},
			other = trace_props(&trace);
	struct sm_ref *ref = sim_spawn(system, &props), *beside = sim_spawn(system, &other);
	send_number(ref, 1);
	assert_false(sm_sim_run(system, 1000));
	send_number(beside, 2);
	assert_false(sm_sim_run(system, 1000));
	TRACE_IS(&trace, 2);
	sm_stop(ref);
	sm_unref(ref);
	sm_unref(beside);
	sim_end(system);
}

/* ---- what a life that is over starts ---- */

static enum sm_err spawned_in_done;
static void spawning_done(struct sm_actor *self, void *state)
{
	struct sm_props props = {.receive = failing_receive, .dispatcher = SM_DISPATCHER_ANY};
	spawned_in_done = sm_spawn(sm_actor_system(self), self, &props, NULL);
}

SIM_TEST(a_life_that_is_over_spawns_no_children)
{
	struct sm_system *system = sim_new();
	struct sm_props props = {
		.receive = failing_receive, .done = spawning_done, .dispatcher = SM_DISPATCHER_ANY, .supervision = {.restarts_max = 1}};
	struct sm_ref *ref = sim_spawn(system, &props);
	for (int i = 0; i < 2; i++) { /* a restart, an end */
		spawned_in_done = SM_OK;
		send_number(ref, 1);
		sim_settle(system);
		assert_int_equal(spawned_in_done, SM_CLOSED);
	}
	sm_unref(ref);
	sim_end(system);
}

/* ---- stops before the start ---- */

SIM_TEST(who_is_stopped_at_once_before_its_start_reads_nothing)
{
	struct sm_system *system = sim_new();
	struct trace trace = {0};
	struct sm_props props = trace_props(&trace);
	struct sm_ref *ref = sim_spawn(system, &props);
	for (uint64_t n = 1; n <= 3; n++)
		send_number(ref, n);
	sm_stop_now(ref);
	sim_settle(system);
	assert_int_equal(trace.count, 0);
	assert_int_equal(sm_dead_letters(system), 3);
	sm_unref(ref);
	sim_end(system);
}

/* ---- with threads ---- */

/* One fails and takes its siblings with it while these end by themselves. */
static void siblings_that_end_while_one_fails_end_once(void **unused)
{
	struct sm_system *system = system_with(2);
	logging_set((enum log_level)(LOG_LEVEL_ERROR + 1), false);
	struct sm_props props = {.receive = failing_receive, .supervision = {.all_for_one = true}};
	for (int round = 0; round < 300; round++) {
		struct sm_ref *refs[4];
		for (int i = 0; i < 4; i++) {
			props.dispatcher = i % 2;
			props.supervision.restarts_max = round % 2;
			assert_int_equal(sm_spawn(system, NULL, &props, &refs[i]), SM_OK);
		}
		for (int i = 0; i < 4; i++) {
			struct sm_msg *msg = number_new(1);
			if (i == round % 4 ? sm_send(refs[i], msg) : (sm_stop_now(refs[i]), SM_GONE))
				sm_msg_free(msg);
		}
		for (int i = 0; i < 4; i++) {
			assert_int_equal(sm_stop_wait(system, refs[i], DEADLINE_MS, NULL), SM_OK);
			sm_unref(refs[i]);
		}
	}
	assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	assert_int_equal(atomic_load(&testing_live), 0);
}

/* Threads send, drop and stop while the system ends: it stays until each of their calls is done with it. */
struct outsider {
	pthread_t thread;
	struct sm_ref *ref;
	atomic_bool *go;
};
static void *outsider_main(void *arg)
{
	struct outsider *o = arg;
	gate_wait(o->go);
	for (int n = 0;; n++) {
		if (n == 50)
			sm_stop_now(o->ref);
		struct sm_msg *msg = number_new(1);
		enum sm_err err = sm_send(o->ref, msg);
		if (err)
			sm_msg_free(msg);
		if (err == SM_GONE)
			return NULL;
	}
}
static enum sm_err ignore(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_OK;
}

static void threads_that_send_while_a_system_ends_touch_nothing_freed(void **unused)
{
	for (int round = 0; round < 30; round++) {
		struct sm_system *system = system_with(2);
		struct outsider outsiders[3];
		atomic_bool go = false;
		struct sm_props props = {
			.receive = ignore, .dispatcher = SM_DISPATCHER_ANY, .overflow = SM_OVERFLOW_DROP_OLDEST, .mailbox_max = 2};
		struct sm_ref *ref;
		assert_int_equal(sm_spawn(system, NULL, &props, &ref), SM_OK);
		for (int i = 0; i < 3; i++) {
			outsiders[i] = (struct outsider){.ref = sm_ref_get(ref), .go = &go};
			assert_int_equal(pthread_create(&outsiders[i].thread, NULL, outsider_main, &outsiders[i]), 0);
		}
		atomic_store(&go, true);
		assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
		for (int i = 0; i < 3; i++) {
			pthread_join(outsiders[i].thread, NULL);
			sm_unref(outsiders[i].ref);
		}
		sm_unref(ref);
		assert_int_equal(atomic_load(&testing_live), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stop_out_of_time_ends_those_who_watch_each_other),
		cmocka_unit_test(a_stop_out_of_time_ends_a_child_whose_failure_is_its_parents),
		cmocka_unit_test(an_actor_that_never_rests_does_not_hold_up_a_wait_for_ever),
		cmocka_unit_test(restarts_without_delay_leave_others_their_turns),
		cmocka_unit_test(a_life_that_is_over_spawns_no_children),
		cmocka_unit_test(who_is_stopped_at_once_before_its_start_reads_nothing),
		cmocka_unit_test(siblings_that_end_while_one_fails_end_once),
		cmocka_unit_test(threads_that_send_while_a_system_ends_touch_nothing_freed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
