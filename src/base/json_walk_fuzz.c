/* Fuzz target: containers, rows of values and pointers. The first byte is the size of the pointer in front of the text. */
#include "base/json_walk.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size - 1 < data[0])
		return 0;
	struct bytes pointer_text = bytes_of(data + 1, data[0]), text = bytes_of(data + 1 + data[0], size - 1 - data[0]), name, value;
	struct json_pointer pointer;
	struct json_walk walk;
	struct arena arena;
	arena_init(&arena, 1 << 20);
	enum sm_err err = json_walk_begin(&walk, text, &arena);
	while (!err && !(err = json_walk_next(&walk, &name, &value)))
		assert(value.size && value.data >= text.data && value.data + value.size <= text.data + text.size);
	if (err == SM_END && !json_pointer_parse(pointer_text, &arena, &pointer) && !json_pointer_find(&pointer, text, &arena, &value))
		assert(value.data >= text.data && value.data + value.size <= text.data + text.size);
	for (struct bytes rest = text; !json_value_next(&rest, &arena, &value);)
		assert(value.size && rest.size < text.size);
	arena_done(&arena);
	return 0;
}
