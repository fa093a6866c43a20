#include "base/number_set.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void what_is_added_is_there(void **state)
{
	struct number_set set = {0};
	assert_false(number_set_has(&set, 7));
	for (uint64_t i = 1; i < 5000; i++)
		assert_true(number_set_add(&set, i * i << 8)); /* many have the same low bits */
	for (uint64_t i = 1; i < 5000; i++) {
		assert_false(number_set_add(&set, i * i << 8));
		assert_true(number_set_has(&set, i * i << 8));
		assert_false(number_set_has(&set, (i * i << 8) + 1));
	}
	number_set_clear(&set);
	assert_false(number_set_has(&set, 256));
	assert_true(number_set_add(&set, 0));
	assert_true(number_set_has(&set, 0));
	number_set_done(&set);
}

static void a_large_one_gives_its_memory_back(void **state)
{
	struct number_set set = {0};
	for (uint64_t i = 1; i <= NUMBER_SET_KEPT; i++)
		number_set_add(&set, i);
	assert_true(set.cap > NUMBER_SET_KEPT);
	number_set_clear(&set);
	assert_int_equal(set.cap, 0);
	assert_true(number_set_add(&set, 1));
	size_t first = set.cap;
	for (uint64_t i = 1; i < 10 * first; i++)
		number_set_add(&set, i);
	number_set_clear(&set);
	assert_true(set.cap > first);
	assert_true(number_set_add(&set, 1));
	number_set_clear(&set); /* for one number it was too large */
	assert_true(number_set_add(&set, 1));
	assert_int_equal(set.cap, first);
	number_set_done(&set);
}

static void without_memory_it_may_have_any(void **state)
{
	struct number_set set = {.any = true};
	assert_true(number_set_has(&set, 3));
	assert_false(number_set_add(&set, 3));
	number_set_clear(&set);
	assert_false(number_set_has(&set, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_is_there),
		cmocka_unit_test(a_large_one_gives_its_memory_back),
		cmocka_unit_test(without_memory_it_may_have_any),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
