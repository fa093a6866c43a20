/* UUIDs: text, versions, order of time. */
#include "base/uuid.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define TEXT "c232ab00-9414-11ec-b3c8-9f6bdeced846" /* RFC 9562, A.1 */

static void text_is_parsed_and_written(void **unused)
{
	struct uuid u, again;
	char text[37];
	assert_int_equal(uuid_parse(TEXT, 36, &u), SM_OK);
	assert_memory_equal(u.bytes, "\xc2\x32\xab\x00\x94\x14\x11\xec\xb3\xc8\x9f\x6b\xde\xce\xd8\x46", 16);
	uuid_format(&u, text);
	assert_string_equal(text, TEXT);
	assert_int_equal(uuid_parse("C232AB00-9414-11EC-B3C8-9F6BDECED846", 36, &again), SM_OK);
	assert_memory_equal(&u, &again, 16);
	assert_int_equal(uuid_version(&u), 1);
	assert_true(uuid_time_ms(&u) == 1645557742000);
}

static void other_text_is_refused(void **unused)
{
	struct uuid u;
	assert_int_equal(uuid_parse(TEXT, 35, &u), SM_INVALID);
	assert_int_equal(uuid_parse(TEXT "0", 37, &u), SM_INVALID);
	assert_int_equal(uuid_parse("", 0, &u), SM_INVALID);
	for (int i = 0; i < 36; i++) {
		char text[] = TEXT;
		text[i] = text[i] == '-' ? '0' : i % 2 ? '-' : 'g';
		assert_int_equal(uuid_parse(text, 36, &u), SM_INVALID);
	}
}

static void random_ones_have_version_4_and_differ(void **unused)
{
	struct uuid u[64];
	for (int i = 0; i < 64; i++) {
		uuid_random(&u[i]);
		assert_int_equal(uuid_version(&u[i]), 4);
		assert_int_equal(u[i].bytes[8] & 0xc0, 0x80);
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(&u[i], &u[j], 16);
	}
}

static void time_ones_increase_even_when_the_clock_stands(void **unused)
{
	struct clock_manual clock;
	clock_manual_init(&clock, 1645557742000000);
	struct uuid first, u;
	uuid_time(&clock.clock, &first);
	int64_t ms = uuid_time_ms(&first);
	assert_true(ms == 1645557742000);
	uint64_t last = 0;
	for (int i = 0; i < 1000; i++) {
		uuid_time(&clock.clock, &u);
		assert_int_equal(uuid_version(&u), 1);
		assert_int_equal(u.bytes[8] & 0xc0, 0x80);
		uint64_t t = (uint64_t)(be16_get(u.bytes + 6) & 0xfff) << 48 | (uint64_t)be16_get(u.bytes + 4) << 32 | be32_get(u.bytes);
		assert_true(t > last);
		last = t;
		assert_memory_equal(u.bytes + 8, first.bytes + 8, 8);
	}
	clock.now_us -= 1000000; /* also when it goes back */
	uuid_time(&clock.clock, &u);
	assert_true(uuid_time_ms(&u) >= ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_parsed_and_written),
		cmocka_unit_test(other_text_is_refused),
		cmocka_unit_test(random_ones_have_version_4_and_differ),
		cmocka_unit_test(time_ones_increase_even_when_the_clock_stands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
