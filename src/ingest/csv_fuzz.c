/* Fuzz target: CSV. What is checked besides memory: cells lie in the text or the arena, each row goes on, lines only grow. */
#include "ingest/ingest_internal.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct csv_reader reader = {bytes_of(data, size), 1};
	struct csv_cell cells[64];
	struct arena arena;
	uint32_t count, line, last = 0;
	arena_init(&arena, 1 << 20);
	for (size_t left = size + 1; !csv_next(&reader, &arena, cells, 64, &count, &line); left = reader.rest.size) {
		assert(count >= 1 && count <= 64 && line > last && reader.rest.size < left);
		last = line;
		for (uint32_t i = 0; i < count; i++)
			assert(cells[i].text.size <= size && (cells[i].quoted || !memchr(cells[i].text.data, '"', cells[i].text.size)));
	}
	arena_done(&arena);
	return 0;
}
