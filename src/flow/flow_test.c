/* Sources, fused stages, sinks; completion, failure, cancellation; what a description cannot be. */
#include "flow/testing.h"

static uint64_t ten = 10, five = 5, many = 5000;

SIM_TEST(elements_go_through_fused_stages_in_order)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_flow *f = count_to(&ten);
	f = sm_flow_filter(f, is_even, NULL);
	f = sm_flow_map(f, twice, NULL);
	f = sm_flow_collect(f, "all", 100);
	struct sm_flow_run *run = run_flow(system, f, &ending);
	assert_null(sm_flow_value(run, "all"));
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 4, 8, 12, 16, 20);
	assert_null(sm_flow_value(run, "all"));
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(elements_go_over_boundaries_in_order)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_flow *f = count_to(&many);
	f = sm_flow_buffer(f, 3, SM_FLOW_BACK_PRESSURE);
	f = sm_flow_filter(f, is_even, NULL);
	f = sm_flow_async(f);
	f = sm_flow_take(f, 2000);
	f = sm_flow_buffer(f, 1, SM_FLOW_BACK_PRESSURE);
	f = sm_flow_collect(f, "all", 10000);
	struct sm_flow_run *run = run_flow(system, f, &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	assert_int_equal(trace.count, 2000);
	for (uint32_t i = 0; i < trace.count; i++)
		assert_int_equal(trace.seen[i], 2 * i + 2);
	sm_flow_release(run);
	flow_sim_end(system);
}

static enum sm_err sum(void *arg, struct sm_msg **value, struct sm_msg *element, struct sm_error *reterr)
{
	if (!*value)
		*value = element_new(0);
	((struct number_msg *)*value)->number += number_of(element);
	sm_msg_free(element);
	return SM_OK;
}

SIM_TEST(one_description_runs_more_than_once)
{
	struct sm_system *system = sim_new();
	struct sm_flow *f = sm_flow_fold(sm_flow_async(count_to(&many)), "sum", sum, NULL);
	struct sm_flow_run *runs[3];
	for (int i = 0; i < 3; i++)
		assert_int_equal(sm_flow_run(system, f, NULL, &runs[i], NULL), SM_OK);
	sm_flow_free(f);
	sim_settle(system);
	for (int i = 0; i < 3; i++) {
		struct sm_msg *value = sm_flow_value(runs[i], "sum");
		assert_int_equal(number_of(value), 5000 * 5001 / 2);
		sm_msg_free(value);
		enum sm_err how = SM_FAILED;
		assert_int_equal(sm_flow_wait(runs[i], 1000, &how, NULL), SM_OK);
		assert_int_equal(how, SM_OK);
		sm_flow_release(runs[i]);
	}
	flow_sim_end(system);
}

SIM_TEST(an_array_gives_copies_or_embedded_elements)
{
	static const struct sm_msg_type embedded_type = {"embedded"};
	struct number_msg embedded[2] = {{{.type = &embedded_type}, 7}, {{.type = &embedded_type}, 8}};
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	struct sm_msg *copied = element_new(9), *cannot = number_new(1);
	struct sm_msg *elements[] = {&embedded[0].msg, &embedded[1].msg, copied, cannot};
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_from_array(elements, 3), "all", 3), &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 7, 8, 9);
	sm_flow_release(run);
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_from_array(elements, 4), NULL, NULL), &ending));
	sim_settle(system);
	ended_with(&ending, SM_UNSUPPORTED);
	sm_msg_free(copied);
	sm_msg_free(cannot);
	flow_sim_end(system);
}

SIM_TEST(an_array_of_embedded_elements_that_can_be_copied_gives_copies)
{
	static const struct sm_msg_type embedded_type = {"embedded", .copy = copied_number};
	struct number_msg embedded[2] = {{{.type = &embedded_type}, 7}, {{.type = &embedded_type}, 8}};
	struct sm_msg *elements[] = {&embedded[0].msg, &embedded[1].msg};
	struct sm_system *system = sim_new();
	struct sm_flow *f = sm_flow_collect(sm_flow_from_array(elements, 2), "all", 2);
	struct sm_flow_run *runs[2];
	struct trace trace;
	for (int i = 0; i < 2; i++)
		assert_int_equal(sm_flow_run(system, f, NULL, &runs[i], NULL), SM_OK);
	sm_flow_free(f);
	sim_settle(system);
	for (int i = 0; i < 2; i++) { /* both values exist at the same time */
		value_to(runs[i], "all", &trace);
		TRACE_IS(&trace, 7, 8);
		sm_flow_release(runs[i]);
	}
	flow_sim_end(system);
}

SIM_TEST(a_failure_goes_down_with_its_text_and_cancels_what_is_before_it)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct sm_error error;
	struct sm_flow *f = count_to(&many);
	f = sm_flow_async(f);
	f = sm_flow_map(f, fail_at, &ten);
	f = sm_flow_async(f);
	f = sm_flow_map(f, twice, NULL);
	f = sm_flow_collect(f, "all", 10000);
	struct sm_flow_run *run = run_flow(system, f, &ending);
	sim_settle(system);
	ended_with(&ending, SM_CORRUPT);
	assert_string_equal(ending.text, "number 10 is bad");
	enum sm_err how = SM_OK;
	assert_int_equal(sm_flow_wait(run, 1000, &how, &error), SM_OK);
	assert_int_equal(how, SM_CORRUPT);
	assert_string_equal(error.text, "number 10 is bad");
	assert_null(sm_flow_value(run, "all"));
	sm_flow_release(run);
	flow_sim_end(system);
}

static enum sm_err sink_fails(void *arg, struct sm_msg *element, struct sm_error *reterr)
{
	if (number_of(element) == five)
		return SM_DENIED;
	sm_msg_free(element);
	return SM_OK;
}

SIM_TEST(a_sink_that_fails_cancels_its_source)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	sm_flow_release(run_flow(system, sm_flow_for_each(sm_flow_async(count_to(&many)), sink_fails, NULL), &ending));
	sim_settle(system);
	ended_with(&ending, SM_DENIED);
	assert_string_equal(ending.text, "for_each: not allowed");
	flow_sim_end(system);
}

SIM_TEST(take_cancels_an_endless_source)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t endless = UINT64_MAX;
	struct sm_flow *f = sm_flow_collect(sm_flow_take(sm_flow_async(count_to(&endless)), 5), "all", 5);
	struct sm_flow_run *run = run_flow(system, f, &ending);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1, 2, 3, 4, 5);
	sm_flow_release(run);
	flow_sim_end(system);
}

SIM_TEST(cancel_and_stop_end_an_endless_flow)
{
	for (int stop = 0; stop < 2; stop++) {
		struct sm_system *system = sim_new();
		struct ending ending;
		uint64_t endless = UINT64_MAX;
		struct sm_flow *f = sm_flow_for_each(sm_flow_async(sm_flow_map(sm_flow_async(count_to(&endless)), twice, NULL)), NULL,
						     NULL);
		struct sm_flow_run *run = run_flow(system, f, &ending);
		sm_sim_run(system, sm_sim_random(system, 300) + 1);
		assert_int_equal(ending.count, 0);
		stop ? sm_flow_stop(run) : sm_flow_cancel(run);
		sim_settle(system);
		ended_with(&ending, stop ? SM_OK : SM_CANCELLED);
		sm_flow_cancel(run);
		sm_flow_release(run);
		flow_sim_end(system);
	}
}

SIM_TEST(a_system_that_stops_ends_its_flows)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	uint64_t endless = UINT64_MAX;
	struct sm_flow *f = sm_flow_for_each(sm_flow_async(sm_flow_map(sm_flow_async(count_to(&endless)), twice, NULL)), NULL, NULL);
	struct sm_flow_run *run = run_flow(system, f, &ending);
	sm_sim_run(system, sm_sim_random(system, 300) + 1);
	struct sm_error error;
	enum sm_err how = SM_OK;
	sim_end(system);
	ended_with(&ending, SM_CANCELLED);
	assert_int_equal(sm_flow_wait(run, 1000, &how, &error), SM_OK); /* the system is no more */
	assert_int_equal(how, SM_CANCELLED);
	sm_flow_cancel(run);
	assert_int_equal(atomic_load(&testing_open), 0);
	sm_flow_release(run);
}

SIM_TEST(collect_is_bounded)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	sm_flow_release(run_flow(system, sm_flow_collect(count_to(&ten), "all", 9), &ending));
	sim_settle(system);
	ended_with(&ending, SM_TOO_LARGE);
	flow_sim_end(system);
}

static enum sm_err tick_make(void *arg, struct sm_msg **ret_element, struct sm_error *reterr)
{
	*ret_element = element_new((*(uint64_t *)arg)++);
	return SM_OK;
}

SIM_TEST(a_tick_gives_an_element_an_interval)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t n = 1;
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_tick(5, 10, tick_make, &n), "all", 50), &ending);
	assert_true(sm_sim_advance(system, 4));
	assert_int_equal(n, 1);
	assert_true(sm_sim_advance(system, 32));
	assert_int_equal(n, 5); /* at 5, 15, 25, 35 */
	sm_flow_stop(run);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1, 2, 3, 4);
	sm_flow_release(run);
	flow_sim_end(system);
}

static enum sm_err tick_to_three(void *arg, struct sm_msg **ret_element, struct sm_error *reterr)
{
	return *(uint64_t *)arg == 3 ? SM_END : tick_make(arg, ret_element, reterr);
}

SIM_TEST(a_tick_that_has_ended_has_no_timer_any_more)
{
	struct sm_system *system = sim_new();
	struct ending ending;
	struct trace trace;
	uint64_t n = 1;
	struct sm_flow *flows[2] = {sm_flow_tick(10, 10, tick_to_three, &n), sm_flow_from_queue("in", 1, SM_FLOW_BACK_PRESSURE)};
	struct sm_flow_run *run = run_flow(system, sm_flow_collect(sm_flow_merge(flows, 2), "all", 50), &ending);
	assert_true(sm_sim_advance(system, 100));
	assert_int_equal(ending.count, 0);
	assert_int_equal(n, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sm_flow_wait(run, 5, NULL, NULL), SM_AGAIN);
	sm_flow_stop(run);
	sim_settle(system);
	ended_with(&ending, SM_OK);
	value_to(run, "all", &trace);
	TRACE_IS(&trace, 1, 2);
	sm_flow_release(run);
	flow_sim_end(system);
}

static void refused(struct sm_system *system, struct sm_flow *flow, const char *text)
{
	struct sm_error error;
	assert_int_equal(sm_flow_run(system, flow, NULL, NULL, &error), SM_INVALID);
	if (!strstr(error.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, error.text);
	sm_flow_free(flow);
}

static void what_cannot_be_is_told_when_it_is_to_run(void **unused)
{
	sim_seed = 1;
	struct sm_system *system = sim_new();
	refused(system, count_to(&ten), "no sink");
	refused(system, sm_flow_for_each(sm_flow_buffer(count_to(&ten), 0, SM_FLOW_FAIL), NULL, NULL), "a bound above 0");
	refused(system, sm_flow_for_each(sm_flow_for_each(count_to(&ten), NULL, NULL), NULL, NULL), "nothing can follow a sink");
	refused(system, sm_flow_for_each(sm_flow_map(count_to(&ten), NULL, NULL), NULL, NULL), "map needs a function");
	refused(system, sm_flow_for_each(sm_flow_merge(NULL, 0), NULL, NULL), "1 to 1024");
	struct sm_flow *both[2] = {sm_flow_collect(count_to(&ten), "a", 1), sm_flow_collect(count_to(&ten), "a", 1)};
	refused(system, sm_flow_graph(both, 2), "have the name a");
	sm_flow_broadcast(count_to(&ten), both, 2);
	refused(system, sm_flow_for_each(both[0], NULL, NULL), "branch 1 of a broadcast");
	sm_flow_free(both[1]);
	sm_flow_broadcast(count_to(&ten), both, 2);
	both[0] = sm_flow_for_each(sm_flow_restart(both[0], &(struct sm_supervision){.restarts_max = 1}), NULL, NULL);
	both[1] = sm_flow_for_each(both[1], NULL, NULL);
	refused(system, sm_flow_graph(both, 2), "broadcast behind the restart");
	struct sm_flow *given = count_to(&ten);
	both[0] = sm_flow_for_each(given, NULL, NULL);
	both[1] = sm_flow_for_each(given, NULL, NULL);
	refused(system, sm_flow_graph(both, 2), "given to two stages");
	struct sm_flow *deep = count_to(&ten);
	for (int i = 0; i < 5000; i++)
		deep = sm_flow_map(deep, twice, NULL);
	refused(system, sm_flow_for_each(deep, NULL, NULL), "at most 1024 stages in a row");
	assert_int_equal(sm_flow_run(system, NULL, NULL, NULL, NULL), SM_NO_MEMORY);
	static const struct sm_msg_type embedded_type = {"embedded"};
	struct number_msg embedded = {{.type = &embedded_type}, 7};
	struct sm_msg *once = &embedded.msg;
	struct sm_flow *again = sm_flow_restart(sm_flow_async(sm_flow_from_array(&once, 1)), &(struct sm_supervision){.restarts_max = 1});
	refused(system, sm_flow_for_each(again, NULL, NULL), "type embedded");
	flow_sim_end(system);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_go_through_fused_stages_in_order),
		cmocka_unit_test(elements_go_over_boundaries_in_order),
		cmocka_unit_test(one_description_runs_more_than_once),
		cmocka_unit_test(an_array_gives_copies_or_embedded_elements),
		cmocka_unit_test(an_array_of_embedded_elements_that_can_be_copied_gives_copies),
		cmocka_unit_test(a_failure_goes_down_with_its_text_and_cancels_what_is_before_it),
		cmocka_unit_test(a_sink_that_fails_cancels_its_source),
		cmocka_unit_test(take_cancels_an_endless_source),
		cmocka_unit_test(cancel_and_stop_end_an_endless_flow),
		cmocka_unit_test(a_system_that_stops_ends_its_flows),
		cmocka_unit_test(collect_is_bounded),
		cmocka_unit_test(a_tick_gives_an_element_an_interval),
		cmocka_unit_test(a_tick_that_has_ended_has_no_timer_any_more),
		cmocka_unit_test(what_cannot_be_is_told_when_it_is_to_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
