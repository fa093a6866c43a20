#include "base/memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <cmocka.h>

/* Pages of the system's own, so that no allocator keeps them. */
static void *used(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	memset(p, 1, size);
	return p;
}

static void memory_is_measured(void **state)
{
	size_t before = memory_used(), size = 32 << 20;
	assert_true(before > 0 && before < memory_of_machine());
	void *p = used(size);
	assert_true(memory_used() >= before + size / 2);
	munmap(p, size);
}

static void beyond_the_budget_it_is_tight(void **state)
{
	assert_false(memory_tight()); /* none is set */
	memory_budget_set(1);
	assert_int_equal(memory_budget(), 1);
	assert_true(memory_tight());
	memory_budget_set(SIZE_MAX);
	assert_false(memory_tight());
	memory_budget_set(0);
	assert_false(memory_tight());
}

static void it_is_looked_at_again(void **state)
{
	size_t size = 64 << 20;
	memory_budget_set(memory_used() + size / 2);
	assert_false(memory_tight());
	void *p = used(size);
	while (!memory_tight())
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	munmap(p, size);
	while (memory_tight())
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	memory_budget_set(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_measured),
		cmocka_unit_test(beyond_the_budget_it_is_tight),
		cmocka_unit_test(it_is_looked_at_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
