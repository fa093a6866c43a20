/* The mutations of one micro-batch, gathered in an arena. */
#include "stream/stream_internal.h"
#include <stdio.h>
#include <stdlib.h>

void build__init(struct build *b, struct stream_job *job)
{
	*b = (struct build){.job = job};
	arena_init(&b->arena, 0);
	arena_init(&b->dead_arena, 0);
	arena_init(&b->poison_arena, 0);
	map_init(&b->poison);
}

static void drop_rows(struct build *b)
{
	for (uint32_t i = 0; i < STREAM_SOURCES_MAX; i++) {
		batch_unref(b->rows[i]);
		b->rows[i] = NULL;
	}
}

void build__reset(struct build *b)
{
	drop_rows(b);
	arena_reset(&b->arena);
	arena_reset(&b->dead_arena);
	b->mutation_count = b->dead_count = 0;
	b->record_count = b->duplicates = b->output_rows = 0;
	b->lag = 0;
	b->more = b->too_large = b->poisoned = false;
}

void build__done(struct build *b)
{
	drop_rows(b);
	arena_done(&b->poison_arena);
	arena_done(&b->arena);
	arena_done(&b->dead_arena);
	map_done(&b->poison);
	free(b->mutations);
	free(b->dead);
}

enum sm_err build__mutation(struct build *b, struct store_mutation **ret, struct sm_error *reterr)
{
	if (b->mutation_count == b->mutation_cap) {
		uint32_t cap = b->mutation_cap ? b->mutation_cap * 2 : 256;
		struct store_mutation *more = realloc(b->mutations, cap * sizeof *more);
		if (!more)
			return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		b->mutations = more;
		b->mutation_cap = cap;
	}
	*ret = &b->mutations[b->mutation_count++];
	return SM_OK;
}

static bool copy_cell(struct arena *arena, struct store_cell in, struct store_cell *out)
{
	*out = in;
	if (in.size <= 0)
		return true;
	return (out->data = arena_copy(arena, in.data, (size_t)in.size)) != NULL;
}

enum sm_err build__put(struct build *b, const struct store_table *table, const struct store_cell *keys, const struct named_cell *cells,
		       uint32_t cell_count, struct sm_error *reterr)
{
	uint32_t key_count = (uint32_t)table->partition_key_count + table->clustering_count;
	struct store_cell *key = arena_alloc(&b->arena, key_count * sizeof *key);
	struct store_assignment *values = arena_alloc(&b->arena, (cell_count + 1) * sizeof *values);
	struct store_mutation *m = NULL;
	bool ok = key && values;
	for (uint32_t i = 0; i < key_count && ok; i++)
		ok = copy_cell(&b->arena, keys[i], &key[i]);
	for (uint32_t i = 0; i < cell_count && ok; i++) {
		values[i].column = store_find_column(table, cells[i].column);
		if (!values[i].column)
			return sm_fail(reterr, SM_CORRUPT, "%s.%s has no column %s: it was made by another version", table->keyspace,
				       table->name, cells[i].column);
		ok = copy_cell(&b->arena, cells[i].cell, &values[i].value);
	}
	enum sm_err err = ok ? build__mutation(b, &m, reterr) : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (err)
		return err;
	*m = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
				     .table = table,
				     .partition_key = key,
				     .clustering = table->clustering_count ? key + table->partition_key_count : NULL,
				     .cells = values,
				     .cell_count = cell_count,
				     .timestamp_us = b->timestamp_us};
	return SM_OK;
}

size_t stream__position(char out[64], uint32_t source, int32_t partition, int64_t offset)
{
	return (size_t)snprintf(out, 64, "%u/%d/%lld", source, partition, (long long)offset);
}
