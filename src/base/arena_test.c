/* Arenas: alignment, zeroes, bounds, use again. */
#include "base/arena.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void allocations_are_aligned_zeroed_and_apart(void **unused)
{
	struct arena arena;
	arena_init(&arena, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t size = 0; size < 3000; size += 1 + size / 7) {
			uint8_t *p = arena_alloc(&arena, size);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xaa, size);
		}
		assert_non_null(arena_alloc(&arena, 5 << 20)); /* larger than any block */
		if (round == 0)
			arena_reset(&arena);
		else
			arena_done(&arena);
	}
}

static void texts_are_copied_with_their_end(void **unused)
{
	struct arena arena;
	arena_init(&arena, 0);
	assert_string_equal(arena_string(&arena, "abcdef", 3), "abc");
	assert_string_equal(arena_string(&arena, NULL, 0), "");
	assert_string_equal(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
	assert_memory_equal(arena_copy(&arena, "a\0b", 3), "a\0b", 3);
	arena_done(&arena);
}

static void a_bound_is_kept_and_named(void **unused)
{
	struct arena arena;
	arena_init(&arena, 10000);
	assert_null(arena_alloc(&arena, 20000));
	assert_int_equal(arena_error(&arena), SM_TOO_LARGE);
	size_t total = 0;
	while (arena_alloc(&arena, 100))
		total += 100;
	assert_int_equal(total, 10000);
	assert_int_equal(arena_error(&arena), SM_TOO_LARGE);
	arena_reset(&arena);
	assert_non_null(arena_alloc(&arena, 9000));
	assert_null(arena_alloc(&arena, SIZE_MAX));
	arena_done(&arena);
	assert_non_null(arena_alloc(&arena, 10000));
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_aligned_zeroed_and_apart),
		cmocka_unit_test(texts_are_copied_with_their_end),
		cmocka_unit_test(a_bound_is_kept_and_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
