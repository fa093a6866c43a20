/* The failure detector against values of the normal distribution's tail. */
#include "remoting/phi.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define MS 1000000ull

static void close_to(double got, double want, double off)
{
	if (!(fabs(got - want) <= off))
		fail_msg("got %.6f, want %.6f", got, want);
}

/* Heartbeats every 1000 ms, exactly: the deviation is its lower bound, 100 ms. */
static void phi_is_the_tail_of_the_normal_distribution(void **unused)
{
	struct phi p;
	phi_init(&p, 1000, 100, 0);
	assert_true(phi_value(&p, 5000 * MS) == 0); /* nothing has come yet */
	for (uint64_t i = 1; i <= 2 * REMOTING_SAMPLES; i++)
		phi_heartbeat(&p, i * 1000 * MS);
	uint64_t last = 2ull * REMOTING_SAMPLES * 1000 * MS;
	/* -log10 of 1 - CDF at 0, 1, 2, 3, 4, 5, 6 deviations */
	static const double table[] = {0.301030, 0.799546, 1.643016, 2.869695, 4.499336, 6.542645, 9.005897};
	for (int k = 0; k < 7; k++)
		close_to(phi_value(&p, last + (1000 + 100 * (uint64_t)k) * MS), table[k], 0.0005);
	close_to(phi_value(&p, last + 900 * MS), 0.075023, 0.0005); /* one below the mean: 1 - 0.158655 */
	assert_true(isinf(phi_value(&p, last + 100000 * MS)));
}

static void the_deviation_is_learnt(void **unused)
{
	struct phi p;
	uint64_t now = MS;
	phi_init(&p, 1000, 10, 0);
	for (int i = 0; i < 2 * REMOTING_SAMPLES; i++) /* 500 and 1500 in turn: mean 1000, deviation 500 */
		phi_heartbeat(&p, now += (i % 2 ? 1500 : 500) * MS);
	close_to(phi_value(&p, now + 1500 * MS), 0.799546, 0.005);
	close_to(phi_value(&p, now + 2500 * MS), 2.869695, 0.01);
}

static void a_pause_is_accepted(void **unused)
{
	struct phi p;
	uint64_t now = MS;
	phi_init(&p, 1000, 100, 3000);
	for (int i = 0; i < 300; i++)
		phi_heartbeat(&p, now += 1000 * MS);
	assert_true(phi_value(&p, now + 3500 * MS) < 0.01);
	close_to(phi_value(&p, now + 4000 * MS), 0.301030, 0.001);
	close_to(phi_value(&p, now + 4500 * MS), 6.542645, 0.002);
}

static void before_there_are_samples_there_is_a_guess(void **unused)
{
	struct phi p;
	phi_init(&p, 1000, 100, 0);
	phi_heartbeat(&p, 1000 * MS); /* mean 1000, deviation 250 */
	close_to(phi_value(&p, 2000 * MS), 0.301030, 0.001);
	close_to(phi_value(&p, 2250 * MS), 0.799546, 0.001);
}

static void signs_of_life_and_own_pauses_are_no_intervals(void **unused)
{
	struct phi p;
	uint64_t now = MS;
	phi_init(&p, 1000, 100, 0);
	for (int i = 0; i < 300; i++)
		phi_heartbeat(&p, now += 1000 * MS);
	phi_alive(&p, now + 800 * MS);
	close_to(phi_value(&p, now + 1800 * MS), 0.301030, 0.001);
	phi_heartbeat(&p, now += 1000 * MS); /* 1000 after the last heartbeat, not 200 after the sign of life */
	close_to(phi_value(&p, now + 1000 * MS), 0.301030, 0.001);
	phi_pardon(&p, 60000 * MS, now + 60500 * MS);
	close_to(phi_value(&p, now + 61000 * MS), 0.301030, 0.001);
	phi_heartbeat(&p, now += 61000 * MS);
	close_to(phi_value(&p, now + 1000 * MS), 0.301030, 0.001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phi_is_the_tail_of_the_normal_distribution),
		cmocka_unit_test(the_deviation_is_learnt),
		cmocka_unit_test(a_pause_is_accepted),
		cmocka_unit_test(before_there_are_samples_there_is_a_guess),
		cmocka_unit_test(signs_of_life_and_own_pauses_are_no_intervals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
