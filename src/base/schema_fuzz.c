/* Any bytes as a schema document; what compiles must scan. */
#include "base/schema.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct schema *schema;
	struct sm_error error;
	if (schema_compile(bytes_of(data, size), &schema, &error))
		return 0;
	struct arena arena;
	struct event_problems problems;
	arena_init(&arena, 0);
	for (uint32_t i = 0; i < schema->field_count; i++) {
		if (schema_find(schema, schema->fields[i].name) != (int)i)
			abort();
	}
	if (event_scan(schema, BYTES("{\"id\":1,\"ts\":\"x\",\"type\":true,\"\":{}}"), NULL, &arena, &problems) == SM_SYNTAX)
		abort();
	arena_done(&arena);
	schema_free(schema);
	return 0;
}
