/* Savina's benchmarks give the right result, in each order of a seed, and with threads. */
#include "actor/savina_work.h"
#include "actor/sim_testing.h"

static void give_their_results(struct sm_system *system, bool small)
{
	for (size_t i = 0; i < SAVINA_BENCHMARKS; i++) {
		const struct savina_benchmark *b = &savina_benchmarks[i];
		struct savina_params params = b->small;
		if (!small)
			params.n *= 10;
		struct savina_result result, expected = b->expected(&params);
		enum sm_err err = b->run(system, &params, &result);
		if (err || !savina_is_right(result, expected))
			fail_msg("seed %llu, %s: %s, %llu and %g instead of %llu and %g", (unsigned long long)sim_seed, b->name,
				 sm_err_name(err), (unsigned long long)result.number, result.value, (unsigned long long)expected.number,
				 expected.value);
	}
}

SIM_TEST(the_benchmarks_give_their_results_in_each_order)
{
	struct sm_system *system = sim_new();
	give_their_results(system, true);
	assert_int_equal(sm_dead_letters(system), 0);
	sim_end(system);
}

static void the_benchmarks_give_their_results_with_threads(void **unused)
{
	for (uint32_t dispatchers = 1; dispatchers <= 3; dispatchers++) {
		struct sm_system *system = system_with(dispatchers);
		give_their_results(system, false);
		assert_int_equal(sm_system_stop(system, DEADLINE_MS), SM_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_benchmarks_give_their_results_in_each_order),
		cmocka_unit_test(the_benchmarks_give_their_results_with_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
