#include "base/block.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void a_freed_block_is_the_next_one(void **state)
{
	size_t size, again;
	void *a = block_new(1 << 20, &size);
	assert_true(size >= 1 << 20);
	memset(a, 1, size);
	block_free(a);
	assert_ptr_equal(block_new(900000, &again), a);
	assert_true(again >= size);
	block_free(a);
	block_trim();
}

static void one_that_is_too_large_or_too_small_is_left(void **state)
{
	size_t size;
	void *a = block_new(4 << 20, &size);
	block_free(a);
	void *b = block_new(BLOCK_MIN, &size), *c = block_new(8 << 20, &size);
	assert_ptr_not_equal(b, a);
	assert_ptr_not_equal(c, a);
	block_free(b);
	free(c); /* malloc's, too */
	block_trim();
}

static void small_and_many_blocks_are_not_kept(void **state)
{
	enum { N = 2 * BLOCK_KEPT_MAX / (1 << 20) };
	size_t size;
	void *all[N];
	for (int i = 0; i < N; i++) {
		all[i] = block_new(1 << 20, &size);
		memset(all[i], 1, size);
	}
	for (int i = 0; i < N; i++)
		block_free(all[i]);
	block_free(malloc(100));
	block_free(NULL);
	block_trim();
}

/* What was of use before does not keep the place from what is of use now. */
static void the_oldest_make_room(void **state)
{
	enum { N = BLOCK_KEPT_MAX / (1 << 20) };
	size_t size;
	void *all[N];
	for (int i = 0; i < N; i++)
		all[i] = block_new(1 << 20, &size);
	for (int i = 0; i < N; i++)
		block_free(all[i]);
	void *small = block_new(200000, &size);
	block_free(small);
	assert_ptr_equal(block_new(200000, &size), small);
	block_free(small);
	assert_ptr_equal(block_new(1 << 20, &size), all[N - 1]);
	block_free(all[N - 1]);
	block_trim();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_freed_block_is_the_next_one),
		cmocka_unit_test(one_that_is_too_large_or_too_small_is_left),
		cmocka_unit_test(small_and_many_blocks_are_not_kept),
		cmocka_unit_test(the_oldest_make_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
