/* JSON documents of INSERT JSON and fromJson, as values of every type; what was read is written again. */
#include "cql/json_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum store_type_id types[] = {STORE_ASCII,    STORE_BIGINT,   STORE_BLOB,    STORE_BOOLEAN,   STORE_DECIMAL,
						   STORE_DOUBLE,   STORE_FLOAT,    STORE_INT,     STORE_TEXT,      STORE_VARINT,
						   STORE_TIMEUUID, STORE_INET,     STORE_DATE,    STORE_TIMESTAMP, STORE_TIME,
						   STORE_UUID,     STORE_SMALLINT, STORE_TINYINT, STORE_DURATION};
	struct arena arena;
	struct json_node node;
	struct buf out;
	const char *why;
	bool plain;
	arena_init(&arena, 16u << 20);
	buf_init(&out);
	if (cql__json_parse(bytes_of(data, size), &arena, &node, &why) == SM_OK)
		for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
			struct store_cell cell;
			const struct store_type *type = cql__type(types[i]);
			const struct json_node *of = node.count ? &node.items[i % node.count] : &node;
			if (cql__json_value(of, type, &arena, &cell, &why, &plain) == SM_OK)
				cql__json_put(type, cell, &arena, &out);
		}
	buf_done(&out);
	arena_done(&arena);
	return 0;
}
