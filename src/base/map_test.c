/* The hash map against a plain table. */
#include "base/map.h"
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define KEYS 2000
static int data[KEYS];

static struct bytes key_of(int i)
{
	static char text[32];
	int n = snprintf(text, sizeof text, "%s%d", i % 3 ? "key-" : "", i);
	return bytes_of(text, (size_t)n);
}

static void the_map_does_what_a_table_does(void **unused)
{
	struct map map;
	bool in[KEYS] = {false};
	size_t count = 0;
	uint32_t random = 1;
	map_init(&map);
	assert_null(map_get(&map, BYTES("x")));
	assert_null(map_remove(&map, BYTES("x")));
	for (int step = 0; step < 100000; step++) {
		random = random * 1664525 + 1013904223;
		int i = (int)(random >> 8) % (step < 30000 ? KEYS : step < 60000 ? 40 : KEYS / 4);
		if (random >> 31) {
			void *old;
			assert_int_equal(map_put(&map, key_of(i), &data[i], &old), SM_OK);
			assert_ptr_equal(old, in[i] ? &data[i] : NULL);
			count += !in[i];
			in[i] = true;
		} else {
			assert_ptr_equal(map_remove(&map, key_of(i)), in[i] ? &data[i] : NULL);
			count -= in[i];
			in[i] = false;
		}
		assert_int_equal(map.count, count);
	}
	for (int i = 0; i < KEYS; i++)
		assert_ptr_equal(map_get(&map, key_of(i)), in[i] ? &data[i] : NULL);
	map_done(&map);
}

static void a_walk_sees_each_key_once_also_while_it_removes(void **unused)
{
	for (int count = 0; count < 200; count = count < 20 ? count + 1 : count * 3 / 2) {
		for (int remove = 0; remove < 3; remove++) { /* none, all, some */
			struct map map;
			int seen[KEYS] = {0};
			map_init(&map);
			for (int i = 0; i < count; i++)
				assert_int_equal(map_put(&map, key_of(i), &data[i], NULL), SM_OK);
			size_t pos = 0;
			struct bytes key;
			void *value;
			int left = count;
			while (map_next(&map, &pos, &key, &value)) {
				int i = (int)((int *)value - data);
				assert_true(bytes_equal(key, key_of(i)));
				seen[i]++;
				if (remove == 1 || (remove == 2 && i % 3 == 0)) {
					assert_ptr_equal(map_remove(&map, key_of(i)), value);
					left--;
				}
			}
			for (int i = 0; i < count; i++)
				assert_int_equal(seen[i], 1);
			assert_int_equal(map.count, left);
			map_done(&map);
		}
	}
}

static void keys_may_be_empty_or_binary_and_are_copied(void **unused)
{
	struct map map;
	char key[] = "a\0b";
	map_init(&map);
	assert_int_equal(map_put(&map, BYTES(""), &data[0], NULL), SM_OK);
	assert_int_equal(map_put(&map, bytes_of(key, 3), &data[1], NULL), SM_OK);
	assert_int_equal(map_put(&map, bytes_of(key, 1), &data[2], NULL), SM_OK);
	key[0] = 'x';
	assert_ptr_equal(map_get(&map, bytes_of(NULL, 0)), &data[0]);
	assert_ptr_equal(map_get(&map, BYTES("a\0b")), &data[1]);
	assert_ptr_equal(map_get(&map, BYTES("a")), &data[2]);
	map_done(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_map_does_what_a_table_does),
		cmocka_unit_test(a_walk_sees_each_key_once_also_while_it_removes),
		cmocka_unit_test(keys_may_be_empty_or_binary_and_are_copied),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
