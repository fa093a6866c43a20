/* Any bytes as a key: of any table, of a table with all types of clustering columns, as a range deletion; and as the schema's records. */
#include "store/store_internal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store__table *tables[2]; /* ascending, descending */

static struct store__table *make_table(bool descending)
{
	static const enum store_type_id types[] = {STORE_TEXT,    STORE_BIGINT, STORE_INT,   STORE_SMALLINT, STORE_TINYINT,
						   STORE_BOOLEAN, STORE_DOUBLE, STORE_FLOAT, STORE_UUID,     STORE_TIMEUUID,
						   STORE_DATE,    STORE_TIME,   STORE_BLOB,  STORE_TIMESTAMP};
	static char names[2 + sizeof types / sizeof *types][2];
	struct store_column columns[2 + sizeof types / sizeof *types];
	uint16_t n = 0;
	for (; n < sizeof columns / sizeof *columns; n++) {
		names[n][0] = (char)('a' + n);
		columns[n] = (struct store_column){.name = names[n],
						   .type = {n < 2 ? STORE_TEXT : types[n - 2], 0, NULL},
						   .position = n < 2 ? n : n - 2u,
						   .kind = n < 2 ? STORE_PARTITION_KEY : STORE_CLUSTERING,
						   .descending = n >= 2 && descending,
						   .id = n + 1u};
	}
	struct store_table t = {.keyspace = "ks", .name = "t", .number = 1, .columns = columns, .column_count = n};
	struct store__table *table;
	if (store__table_new(&t, n + 1u, NULL, &table, NULL))
		abort();
	return table;
}

static void decode_clustering(struct store__table *table, struct bytes in)
{
	struct store_cell cells[STORE_COLUMNS_MAX];
	struct buf scratch, again;
	buf_init(&scratch);
	buf_init(&again);
	if (!store__clustering_decode(&table->public, in, &scratch, cells)) {
		/* but for NaNs and true as another byte than 1, a value has one encoding */
		if (store__clustering_encode(&table->public, cells, table->public.clustering_count, &again) || again.end != in.size)
			abort();
	}
	buf_done(&scratch);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_key key;
	struct store_span span;
	struct store_cell cells[2];
	struct store__table *table;
	struct store_keyspace keyspace;
	struct arena arena;
	struct bytes in = bytes_of(data, size);
	if (!tables[0]) {
		tables[0] = make_table(false);
		tables[1] = make_table(true);
	}
	if (!store__key_decode(in, &key)) {
		(void)!store__partition_cells(&tables[0]->public, key.partition, cells);
		(void)!store__range_decode(key.rest, &span);
	}
	(void)!store__range_decode(in, &span);
	decode_clustering(tables[0], in);
	decode_clustering(tables[1], in);
	if (!store__table_decode(7, in, &table))
		store__table_unref(table);
	arena_init(&arena, 0);
	(void)!store__keyspace_decode(BYTES("ks"), in, &arena, &keyspace);
	arena_done(&arena);
	return 0;
}
