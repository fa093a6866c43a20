#include "store/testing.h"

static uint64_t random_state = 88172645463325252u;
static uint64_t pick(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 7) % n;
}

static void newest_covering_deletion_is_found(void **state)
{
	uint8_t numbers[256];
	struct store__ranges r = {0};
	for (int i = 0; i < 256; i++)
		numbers[i] = (uint8_t)i;
	for (int round = 0; round < 300; round++) {
		struct store_span spans[40];
		int64_t times[40];
		int count = (int)pick(40);
		store__ranges_clear(&r);
		for (int i = 0; i < count; i++) {
			uint64_t from = pick(60), to = from + 1 + pick(20);
			spans[i] = (struct store_span){.lower = bytes_of(&numbers[from], pick(8) ? 1 : 0), .has_upper = pick(6) != 0};
			if (spans[i].has_upper)
				spans[i].upper = bytes_of(&numbers[to], 1);
			times[i] = (int64_t)pick(30);
			assert_ok(store__ranges_add(&r, spans[i], times[i]));
		}
		assert_ok(store__ranges_ready(&r));
		for (int x = 0; x < 90; x++) {
			struct bytes at = bytes_of(&numbers[x], 1);
			int64_t want = STORE_NO_TIME;
			for (int i = 0; i < count; i++)
				if (bytes_compare(at, spans[i].lower) >= 0 &&
				    (!spans[i].has_upper || bytes_compare(at, spans[i].upper) < 0) && times[i] > want)
					want = times[i];
			assert_int_equal(store__ranges_covering(&r, at), want);
		}
	}
	store__ranges_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(newest_covering_deletion_is_found)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
