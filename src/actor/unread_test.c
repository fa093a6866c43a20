/* What only rooms of the server use: messages that are read again one at a time or refused; and what belongs to an actor until its end. */
#include "actor/sim_testing.h"

/* ---- a clerk takes one paper (from 10 on) at a time: what comes meanwhile waits; DONE ends the one in hand, AGAIN puts it back ---- */

enum { DONE = 1, AGAIN, REFUSE_ALL, FAIL, ALL_AT_ONCE };

static struct trace trace;
static bool refusing;
struct clerk {
	struct sm_msg *paper;
};

static enum sm_err clerk_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct clerk *c = state;
	uint64_t number = number_of(msg);
	if (number == FAIL)
		return SM_FAILED;
	if (number == REFUSE_ALL) {
		refusing = true;
	} else if (number >= 10 && refusing) {
		actor_refuse(self, msg, SM_FULL);
		return SM_OK;
	} else if (number >= 10 && c->paper) {
		assert_int_equal(sm_stash(self), SM_OK);
		return SM_OK;
	} else if (number >= 10) {
		trace_add(&trace, number);
		sm_msg_keep(self);
		c->paper = msg;
		return SM_OK;
	} else if (number == AGAIN && c->paper) {
		actor_unread(self, c->paper);
		c->paper = NULL;
		return SM_OK;
	} else {
		sm_msg_free(c->paper);
		c->paper = NULL;
	}
	if (!c->paper)
		actor_unstash_first(self);
	if (number == ALL_AT_ONCE) /* as a restart does */
		sm_unstash_all(self);
	return SM_OK;
}

static void clerk_done(struct sm_actor *self, void *state)
{
	sm_msg_free(((struct clerk *)state)->paper);
}

static atomic_int ended; /* calls of arg_done */
static void clerk_ended(void *arg)
{
	assert_ptr_equal(arg, &trace);
	atomic_fetch_add(&ended, 1);
}

static struct sm_props clerk_props(void)
{
	memset(&trace, 0, sizeof trace);
	refusing = false;
	atomic_store(&ended, 0);
	return (struct sm_props){.state_size = sizeof(struct clerk),
				 .receive = clerk_receive,
				 .done = clerk_done,
				 .arg = &trace,
				 .arg_done = clerk_ended,
				 .dispatcher = SM_DISPATCHER_ANY,
				 .supervision = {.restarts_max = 2, .backoff_min_ms = 100}};
}

SIM_TEST(what_is_stashed_is_read_one_at_a_time_and_in_order)
{
	struct sm_system *system = sim_new();
	struct sm_props props = clerk_props();
	struct sm_ref *clerk = sim_spawn(system, &props);
	for (uint64_t n = 10; n < 15; n++)
		send_number(clerk, n);
	sim_settle(system);
	TRACE_IS(&trace, 10);
	send_number(clerk, DONE);
	send_number(clerk, 15); /* behind all that waits */
	sim_settle(system);
	TRACE_IS(&trace, 10, 11);
	send_number(clerk, AGAIN);
	sim_settle(system);
	TRACE_IS(&trace, 10, 11, 11);
	for (int i = 0; i < 5; i++) {
		send_number(clerk, DONE);
		sim_settle(system);
	}
	TRACE_IS(&trace, 10, 11, 11, 12, 13, 14, 15);
	sm_stop(clerk);
	sm_unref(clerk);
	sim_settle(system);
	assert_int_equal(atomic_load(&ended), 1);
	assert_int_equal(sm_dead_letters(system), 0);
	sim_end(system);
}

SIM_TEST(a_restart_reads_what_waits_in_order)
{
	struct sm_system *system = sim_new();
	struct sm_props props = clerk_props();
	struct sm_ref *clerk = sim_spawn(system, &props);
	for (uint64_t n = 10; n < 13; n++)
		send_number(clerk, n);
	send_number(clerk, DONE);
	send_number(clerk, FAIL);
	sim_settle(system);
	assert_true(sm_sim_advance(system, 200));
	TRACE_IS(&trace, 10, 11, 12);
	send_number(clerk, 13);
	send_number(clerk, 14);
	send_number(clerk, ALL_AT_ONCE);
	send_number(clerk, DONE);
	send_number(clerk, DONE);
	sim_settle(system);
	TRACE_IS(&trace, 10, 11, 12, 13, 14);
	sm_unref(clerk);
	sim_end(system);
	assert_int_equal(atomic_load(&ended), 1);
}

static enum sm_err asker_init(struct sm_actor *self, void *state, void *arg)
{
	uint64_t id;
	return sm_ask(self, arg, number_new(20), 1000, &id);
}
static enum sm_err asker_receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	assert_ptr_equal(msg->type, &sm_msg_ask_failed);
	trace_add(&trace, 1000 + ((struct sm_ask_failed_msg *)msg)->why);
	return SM_OK;
}

SIM_TEST(what_is_refused_is_a_dead_letter_and_its_asker_is_told)
{
	struct sm_system *system = sim_new();
	struct sm_props props = clerk_props();
	struct sm_ref *clerk = sim_spawn(system, &props);
	send_number(clerk, REFUSE_ALL);
	send_number(clerk, 10);
	sim_settle(system);
	assert_int_equal(sm_dead_letters(system), 1);
	struct sm_props asker = {.init = asker_init, .receive = asker_receive, .arg = clerk, .dispatcher = SM_DISPATCHER_ANY};
	sm_unref(sim_spawn(system, &asker));
	sim_settle(system);
	TRACE_IS(&trace, 1000 + SM_GONE);
	assert_int_equal(sm_dead_letters(system), 2);
	sm_unref(clerk);
	sim_end(system);
}

static enum sm_err failing_init(struct sm_actor *self, void *state, void *arg)
{
	return SM_FAILED;
}

SIM_TEST(the_argument_is_given_back_once_however_the_actor_ends)
{
	struct sm_system *system = sim_new();
	struct sm_props props = clerk_props();
	sm_unref(sim_spawn(system, &props)); /* with the system */
	struct sm_ref *clerk = sim_spawn(system, &props);
	send_number(clerk, FAIL); /* while it waits for its restart */
	sim_settle(system);
	sm_stop(clerk);
	sim_settle(system);
	assert_int_equal(atomic_load(&ended), 1);
	sm_unref(clerk);
	props.init = failing_init;
	sm_unref(sim_spawn(system, &props));
	sim_settle(system);
	assert_int_equal(atomic_load(&ended), 2);
	props.name = "a/b";
	assert_int_equal(sm_spawn(system, NULL, &props, &clerk), SM_INVALID);
	sim_end(system);
	assert_int_equal(atomic_load(&ended), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stashed_is_read_one_at_a_time_and_in_order),
		cmocka_unit_test(a_restart_reads_what_waits_in_order),
		cmocka_unit_test(what_is_refused_is_a_dead_letter_and_its_asker_is_told),
		cmocka_unit_test(the_argument_is_given_back_once_however_the_actor_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
