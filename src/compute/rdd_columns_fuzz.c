/* Declarations of rows: whatever is accepted has columns with names and at least one, and its key is shorter than the row. */
#include "compute/rdd_internal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct row_type *type;
	uint32_t keys;
	struct sm_error error = {.code = SM_OK};
	char *text = malloc(size + 1);
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (rdd_columns_parse(text, &type, &keys, &error) == SM_OK) {
		if (type->field_count == 0 || keys >= type->field_count || type->fields[0].name[0] == 0)
			abort();
		row_type_unref(type);
	} else if (error.text[0] == 0) {
		abort();
	}
	free(text);
	return 0;
}
