/* The civil calendar against the C library, and the clocks. */
#include "base/clock.h"
#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void the_calendar_agrees_with_gmtime(void **unused)
{
	for (int64_t s = -70000000000; s < 300000000000; s += 86400 * 13 + 3601) {
		time_t t = (time_t)s;
		struct tm tm;
		gmtime_r(&t, &tm);
		struct civil c = civil_of_ms(s * 1000 + 7);
		if (c.year != tm.tm_year + 1900 || c.month != tm.tm_mon + 1 || c.day != tm.tm_mday || c.hour != tm.tm_hour ||
		    c.minute != tm.tm_min || c.second != tm.tm_sec || c.ms != 7)
			fail_msg("%lld: %d-%u-%u %u:%u:%u", (long long)s, (int)c.year, c.month, c.day, c.hour, c.minute, c.second);
		assert_true(civil_to_ms(&c) == s * 1000 + 7);
	}
}

static void the_first_millisecond_of_all_has_a_day(void **unused)
{
	struct civil c = civil_of_ms(INT64_MIN);
	assert_int_equal(c.year, -292275055);
	assert_int_equal(c.month, 5);
	assert_int_equal(c.day, 16);
	assert_int_equal(c.hour, 16);
	assert_int_equal(c.minute, 47);
	assert_int_equal(c.second, 4);
	assert_int_equal(c.ms, 192);
}

static void every_day_of_four_centuries_follows_the_one_before(void **unused)
{
	int64_t ms = civil_to_ms(&(struct civil){.year = 1600, .month = 1, .day = 1});
	struct civil before = civil_of_ms(ms - 1);
	assert_int_equal(before.year, 1599);
	assert_int_equal(before.ms, 999);
	for (int day = 0; day < 146097; day++, ms += 86400000) {
		struct civil c = civil_of_ms(ms);
		assert_true((c.day == before.day + 1 && c.month == before.month) || c.day == 1);
		before = c;
	}
	assert_int_equal(civil_of_ms(ms).year, 2000);
}

static void times_are_written_as_iso_8601(void **unused)
{
	char text[32];
	assert_int_equal(civil_format(1574553617004, text), 24);
	assert_string_equal(text, "2019-11-24T00:00:17.004Z");
	civil_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
	civil_format(951825600000, text);
	assert_string_equal(text, "2000-02-29T12:00:00.000Z");
}

static void clocks_go(void **unused)
{
	uint64_t a = clock_monotonic_ns(&clock_system), b = clock_monotonic_ns(&clock_system);
	assert_true(b >= a);
	assert_true(clock_wall_ms(&clock_system) > 1600000000000);
	struct clock_manual manual;
	clock_manual_init(&manual, 5000);
	assert_int_equal(clock_wall_us(&manual.clock), 5000);
	manual.now_us += 2;
	assert_int_equal(clock_wall_us(&manual.clock), 5002);
	assert_int_equal(clock_monotonic_ns(&manual.clock), 5002000);
}

static void a_wait_ends_at_its_deadline(void **unused)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond;
	clock_cond_init(&cond);
	uint64_t deadline_ns = clock_deadline_ns(20);
	pthread_mutex_lock(&lock);
	while (clock_cond_wait_until(&cond, &lock, deadline_ns))
		;
	pthread_mutex_unlock(&lock);
	assert_true(clock_monotonic_ns(&clock_system) >= deadline_ns);
	pthread_cond_destroy(&cond);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_calendar_agrees_with_gmtime),
		cmocka_unit_test(the_first_millisecond_of_all_has_a_day),
		cmocka_unit_test(every_day_of_four_centuries_follows_the_one_before),
		cmocka_unit_test(times_are_written_as_iso_8601),
		cmocka_unit_test(clocks_go),
		cmocka_unit_test(a_wait_ends_at_its_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
