/* Restarts: what ends, is stopped or overflows before or while a part is built anew. */
#include "flow/testing.h"

static uint64_t three = 3, hundred = 100;

static const struct sm_supervision after_ten_s = {.restarts_max = 100, .backoff_min_ms = 10000, .backoff_max_ms = 10000};

/* Fails at 3, *arg times. */
static enum sm_err fails_at_three(void *arg, struct sm_msg *element, struct sm_msg **ret_element, struct sm_error *reterr)
{
	uint64_t *failures = arg;
	if (number_of(element) == 3 && *failures) {
		--*failures;
		return sm_fail(reterr, SM_IO, "the source broke");
	}
	*ret_element = element;
	return SM_OK;
}

static enum sm_err offer(struct sm_flow_queue *queue, uint64_t number)
{
	struct sm_msg *element = element_new(number);
	enum sm_err err = sm_flow_offer(queue, element, NULL);
	if (err)
		sm_msg_free(element);
	return err;
}

/* The part has given all that is wanted of it when another branch of it fails. */
SIM_TEST(a_part_that_has_given_its_end_is_not_restarted)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace = {0};
	struct sm_flow *b[2];
	sm_flow_broadcast(count_to(&hundred), b, 2);
	b[1] = sm_flow_async(sm_flow_map(b[1], fail_at, &three));
	struct sm_flow *f = sm_flow_restart(sm_flow_take(sm_flow_merge(b, 2), 1), &after_ten_s);
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(f, "all", 100), &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(a_queue_takes_no_more_after_a_stop_though_its_part_waits_for_its_restart)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace = {0};
	uint64_t failures = 1;
	struct sm_flow *f = sm_flow_map(sm_flow_from_queue("in", 5, SM_FLOW_BACK_PRESSURE), fails_at_three, &failures);
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_restart(f, &after_ten_s), "all", 100), &ending);
	struct sm_flow_queue *queue = sm_flow_queue(run, "in");
	assert_int_equal(offer(queue, 3), SM_OK);
	sim_settle(system);
	assert_int_equal(failures, 0);
	assert_int_equal(offer(queue, 4), SM_OK);
	sm_flow_stop(run);
	sim_settle(system);
	assert_int_equal(offer(queue, 5), SM_CLOSED);
	assert_int_equal(ending.count, 0);
	assert_true(sm_sim_advance(system, 10000));
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 4);
	sm_flow_queue_release(queue);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(a_queue_that_has_overflowed_is_full_until_the_restart)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace = {0};
	uint64_t failures = 1;
	struct sm_flow *f = sm_flow_map(sm_flow_from_queue("in", 2, SM_FLOW_FAIL), fails_at_three, &failures);
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_restart(f, &after_ten_s), "all", 100), &ending);
	struct sm_flow_queue *queue = sm_flow_queue(run, "in");
	assert_int_equal(offer(queue, 3), SM_OK);
	sim_settle(system);
	assert_int_equal(offer(queue, 4), SM_OK);
	assert_int_equal(offer(queue, 5), SM_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(offer(queue, 6), SM_FULL);
	assert_true(sm_sim_advance(system, 20000)); /* it reads that it has failed, and is restarted once more */
	assert_int_equal(offer(queue, 7), SM_OK);
	sm_flow_complete(queue);
	assert_int_equal(offer(queue, 8), SM_CLOSED);
	sm_flow_queue_release(queue);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 4, 5, 7);
	sm_flow_release(run);
	flow_sim_end(system);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_that_has_given_its_end_is_not_restarted),
		cmocka_unit_test(a_queue_takes_no_more_after_a_stop_though_its_part_waits_for_its_restart),
		cmocka_unit_test(a_queue_that_has_overflowed_is_full_until_the_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
