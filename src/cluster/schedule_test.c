#include "cluster/schedule.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void schedule_takes_what_chronos_takes(void **state)
{
	struct schedule s;
	struct sm_error error;
	assert_int_equal(cluster__schedule_parse("R/2026-01-01T01:00:00.000Z/P1D", NULL, 0, &s, &error), SM_OK);
	assert_int_equal(s.repeats, -1);
	assert_int_equal(s.start_ms, 1767229200000);
	assert_int_equal(s.days, 1);
	assert_int_equal(s.period_ms, 0);
	assert_int_equal(cluster__schedule_parse("R5//PT1M", NULL, 5000, &s, &error), SM_OK);
	assert_int_equal(s.repeats, 5);
	assert_int_equal(s.start_ms, 4000);
	assert_int_equal(cluster__schedule_parse("R/2026-01-01T02:00:00+01:00/PT10M", NULL, 0, &s, &error), SM_OK);
	assert_int_equal(s.start_ms, 1767229200000);
	assert_int_equal(cluster__schedule_parse("R/2026-01-31T00:00:00Z/P1M", NULL, 0, &s, &error), SM_OK);
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
		if (cluster__schedule_parse(*b, NULL, 0, &s, &error) != SM_INVALID)
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
	assert_int_equal(cluster__schedule_parse("R/2024-01-31T00:00:00Z/P1M", NULL, 0, &s, NULL), SM_OK);
	cluster__schedule_advance(&s, s.start_ms);
	cluster__schedule_format(&s, "P1M", out, sizeof out);
	assert_string_equal(out, "R/2024-02-29T00:00:00.000Z/P1M");
}

static void a_zone_keeps_its_clock_over_the_change_to_summer(void **state)
{
	struct schedule s;
	struct zone *zone;
	char out[96];
	if (zone_load("Europe/Paris", &zone, NULL))
		skip(); /* no tzdata */
	/* The offset that is written counts for nothing beside a zone. */
	assert_int_equal(cluster__schedule_parse("R/2026-03-28T02:30:00.000Z/P1D", zone, 0, &s, NULL), SM_OK);
	cluster__schedule_format(&s, "P1D", out, sizeof out);
	assert_string_equal(out, "R/2026-03-28T02:30:00.000+01:00/P1D");
	cluster__schedule_advance(&s, s.start_ms);
	cluster__schedule_format(&s, "P1D", out, sizeof out);
	assert_string_equal(out, "R/2026-03-29T03:30:00.000+02:00/P1D"); /* 02:30 was skipped */
	assert_int_equal(cluster__schedule_parse("R/2026-03-28T12:00:00/P2D", zone, 0, &s, NULL), SM_OK);
	cluster__schedule_advance(&s, s.start_ms);
	cluster__schedule_format(&s, "P2D", out, sizeof out);
	assert_string_equal(out, "R/2026-03-30T12:00:00.000+02:00/P2D");
	/* Hours are hours. */
	assert_int_equal(cluster__schedule_parse("R/2026-03-28T12:00:00/PT24H", zone, 0, &s, NULL), SM_OK);
	cluster__schedule_advance(&s, s.start_ms);
	cluster__schedule_format(&s, "PT24H", out, sizeof out);
	assert_string_equal(out, "R/2026-03-29T13:00:00.000+02:00/PT24H");
	zone_free(zone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedule_takes_what_chronos_takes),
		cmocka_unit_test(schedule_refuses_the_rest),
		cmocka_unit_test(missed_runs_collapse_into_one),
		cmocka_unit_test(months_have_their_own_lengths),
		cmocka_unit_test(a_zone_keeps_its_clock_over_the_change_to_summer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
