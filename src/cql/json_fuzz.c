/* JSON documents of INSERT JSON and fromJson, as values of every type; what was read is such a value, and is written again. */
#include "cql/fuzz_types.h"
#include "cql/json_value.h"

#include <stdlib.h>

static void must(bool fine)
{
	if (!fine)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store_type types[FUZZ_TYPE_COUNT];
	static struct arena kept;
	static bool parsed;
	struct cql_error ignored;
	struct arena arena;
	struct json_node node;
	struct buf out;
	const char *why;
	bool plain;
	for (size_t i = 0; !parsed && i < FUZZ_TYPE_COUNT; i++)
		must(!store_type_parse(fuzz_types[i], &kept, &types[i]));
	parsed = true;
	if (cql__value_check(cql__type(STORE_TEXT), (struct store_cell){data, (int32_t)size}, &ignored))
		return 0; /* no text that a statement can have */
	arena_init(&arena, 64u << 20);
	buf_init(&out);
	if (cql__json_parse(bytes_of(data, size), &arena, &node, &why) == SM_OK)
		for (size_t i = 0; i < FUZZ_TYPE_COUNT; i++) {
			struct store_cell cell;
			const struct json_node *of = node.count ? &node.items[i % node.count] : &node;
			if (cql__json_value(of, &types[i], &arena, &cell, &why, &plain) != SM_OK)
				continue;
			must(cell.size < 0 || store_value_ok(&types[i], cell));
			cql__json_put(&types[i], cell, &arena, &out);
		}
	buf_done(&out);
	arena_done(&arena);
	return 0;
}
