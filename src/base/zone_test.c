#include "base/zone.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* One change, at 1000000 s, from +1 h to +2 h, and one back at 2000000 s; as version 0. */
static size_t small_file(uint8_t *out)
{
	static const uint8_t block[] = {0, 0x0f, 0x42, 0x40, 0, 0x1e, 0x84, 0x80, 1,   0, 0,   0,   0x0e, 0x10, 0, 0,
					0, 0,    0x1c, 0x20, 1, 4,    'C',  'E',  'T', 0, 'C', 'E', 'S',  'T',  0};
	memset(out, 0, 44);
	memcpy(out, "TZif", 4);
	out[35] = 2;
	out[39] = 2;
	out[43] = 9;
	memcpy(out + 44, block, sizeof block);
	return 44 + sizeof block;
}

static struct zone *small_zone(void)
{
	uint8_t file[128];
	struct zone *zone;
	assert_int_equal(zone_parse(file, small_file(file), &zone, NULL), SM_OK);
	return zone;
}

static void offsets_change_at_their_second(void **state)
{
	struct zone *zone = small_zone();
	assert_int_equal(zone_offset_s(zone, 999999999), 3600);
	assert_int_equal(zone_offset_s(zone, 1000000000), 7200);
	assert_int_equal(zone_offset_s(zone, 2000000000), 3600);
	assert_int_equal(zone_offset_s(zone, -5), 3600);
	assert_int_equal(zone_offset_s(NULL, 1), 0);
	zone_free(zone);
}

static void every_time_comes_back_and_the_two_odd_hours_are_defined(void **state)
{
	struct zone *zone = small_zone();
	for (int64_t ms = 0; ms < 3000000000; ms += 777777) {
		/* The hour before the clocks go back comes twice: the first is meant. */
		bool second_of_two = ms >= 2000000000 && ms < 2000000000 + 3600000;
		assert_int_equal(zone_utc_ms(zone, zone_local_ms(zone, ms)), second_of_two ? ms - 3600000 : ms);
	}
	/* Half an hour into the hour that is skipped: half an hour after the change. */
	assert_int_equal(zone_utc_ms(zone, 1000000000 + 3600000 + 1800000), 1000000000 + 1800000);
	zone_free(zone);
}

static void cut_files_are_refused(void **state)
{
	uint8_t file[128];
	size_t size = small_file(file);
	for (size_t n = 0; n < size; n++) {
		uint8_t *cut = malloc(n ? n : 1);
		struct zone *zone;
		memcpy(cut, file, n);
		assert_int_equal(zone_parse(cut, n, &zone, NULL), SM_CORRUPT);
		free(cut);
	}
}

static void names_are_names(void **state)
{
	struct zone *zone;
	struct sm_error error;
	assert_int_equal(zone_load("../../../etc/passwd", &zone, &error), SM_INVALID);
	assert_int_equal(zone_load("/etc/passwd", &zone, &error), SM_INVALID);
	assert_int_equal(zone_load("", &zone, &error), SM_INVALID);
	assert_int_equal(zone_load("Mars/Olympus", &zone, &error), SM_NOT_FOUND);
}

static void paris_has_its_summer(void **state)
{
	struct zone *zone;
	struct sm_error error;
	if (zone_load("Europe/Paris", &zone, &error)) {
		assert_int_equal(error.code, SM_NOT_FOUND);
		skip(); /* no tzdata */
	}
	assert_int_equal(zone_offset_s(zone, 1767225900000), 3600); /* 2026-01-01 */
	assert_int_equal(zone_offset_s(zone, 1782864000000), 7200); /* 2026-07-01 */
	/* 2026-03-29 02:30 is skipped: 03:30 summer time, 01:30 UTC */
	assert_int_equal(zone_utc_ms(zone, 1774751400000), 1774747800000);
	zone_free(zone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_change_at_their_second), cmocka_unit_test(every_time_comes_back_and_the_two_odd_hours_are_defined),
		cmocka_unit_test(cut_files_are_refused),          cmocka_unit_test(names_are_names),
		cmocka_unit_test(paris_has_its_summer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
