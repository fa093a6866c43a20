/* Answers of a Cassandra as our client takes them apart: [opcode][flags][version, two bits][body]. Whatever a host says: no crash, no hang,
 * and an error is one. */
#include "cassandra/client_internal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every value of every row lies within the answer. */
static void read_rows(const struct client_answer *a, struct bytes body)
{
	struct byte_reader in = byte_reader(a->rows);
	for (uint32_t i = 0; a->column_count && i < a->row_count; i++)
		for (uint32_t k = 0; k < a->column_count && !in.failed; k++) {
			struct store_cell v = client__value(&in);
			if (v.size > 0 && (v.data < body.data || v.data + v.size > body.data + body.size))
				abort();
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	size_t left = size - 3;
	uint8_t *copy = malloc(left + 1); /* of its own, so that a read past its end is seen */
	struct cql_header h = {
		.version = (uint8_t)(3 + (data[2] & 3) % 3), .opcode = data[0], .flags = data[1], .stream = 1, .length = (uint32_t)left};
	struct client_answer a = {.frame = NULL};
	struct client_prepared prepared;
	struct client_column *columns;
	struct arena arena;
	if (!copy)
		return 0;
	memcpy(copy, data + 3, left);
	struct bytes body = bytes_of(copy, left);
	arena_init(&arena, 0);
	if (client__take_answer(&h, body, "host", &a)) {
		if (h.opcode == CQL_OP_ERROR && a.error.code == SM_OK)
			abort();
		if (h.opcode == CQL_OP_RESULT && a.kind == CQL_RESULT_ROWS) {
			if (a.metadata.size)
				(void)!client__columns(&a, &arena, &columns);
			read_rows(&a, body);
		}
	}
	(void)client__take_prepared(&h, body, &prepared);
	arena_done(&arena);
	free(copy);
	return 0;
}
