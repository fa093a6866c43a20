#include "cluster/schedule.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void schedule_takes_what_chronos_takes(void **state)
{
	struct schedule s;
	struct sm_error error;
	assert_int_equal(cluster__schedule_parse("R/2026-01-01T01:00:00.000Z/P1D", 0, &s, &error), SM_OK);
	assert_int_equal(s.repeats, -1);
	assert_int_equal(s.start_ms, 1767229200000);
	assert_int_equal(s.period_ms, 86400000);
	assert_int_equal(cluster__schedule_parse("R5//PT1M", 5000, &s, &error), SM_OK);
	assert_int_equal(s.repeats, 5);
	assert_int_equal(s.start_ms, 4000);
	assert_int_equal(cluster__schedule_parse("R/2026-01-01T02:00:00+01:00/PT10M", 0, &s, &error), SM_OK);
	assert_int_equal(s.start_ms, 1767229200000);
	assert_int_equal(cluster__schedule_parse("R/2026-01-31T00:00:00Z/P1M", 0, &s, &error), SM_OK);
	assert_int_equal(s.months, 1);
}

static void schedule_refuses_the_rest(void **state)
{
	static const char *const bad[] = {"",
					  "R",
					  "R/",
					  "R//",
					  "R/x/PT1H",
					  "5/2026-01-01T00:00:00Z/PT1H",
					  "R-1//PT1H",
					  "R//P",
					  "R//PT",
					  "R//PT0S",
					  "R//1H",
					  "R/2026-02-31T00:00:00Z/PT1H",
					  "R/1969-12-31T00:00:00Z/PT1H",
					  "R//P99999999999D",
					  NULL};
	for (const char *const *b = bad; *b; b++) {
		struct schedule s;
		struct sm_error error;
		if (cluster__schedule_parse(*b, 0, &s, &error) != SM_INVALID)
			fail_msg("'%s' was taken", *b);
	}
}

static void missed_runs_collapse_into_one(void **state)
{
	struct schedule s = {.repeats = 10, .start_ms = 1000, .period_ms = 60000};
	cluster__schedule_advance(&s, 1000 + 60000 * 7 + 5);
	assert_int_equal(s.start_ms, 1000 + 60000 * 8);
	assert_int_equal(s.repeats, 9);
}

static void months_have_their_own_lengths(void **state)
{
	struct schedule s;
	char out[96];
	assert_int_equal(cluster__schedule_parse("R/2024-01-31T00:00:00Z/P1M", 0, &s, NULL), SM_OK);
	cluster__schedule_advance(&s, s.start_ms);
	cluster__schedule_format(&s, "P1M", out, sizeof out);
	assert_string_equal(out, "R/2024-02-29T00:00:00.000Z/P1M");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedule_takes_what_chronos_takes),
		cmocka_unit_test(schedule_refuses_the_rest),
		cmocka_unit_test(missed_runs_collapse_into_one),
		cmocka_unit_test(months_have_their_own_lengths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
