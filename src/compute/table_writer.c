/* Rows to INSERTs of a table. What can be known of types is checked once, for the columns; only fits, parses and nulls are left for rows.
 */
#include "compute/compute_internal.h"
#include <stdlib.h>
#include <strings.h>

struct target {
	const struct store_column *column;
	uint32_t field; /* of the rows */
};
struct table_writer {
	const struct store_table *table;
	struct row_type *type;
	uint32_t cell_count; /* static and regular columns that are written */
	struct target *keys; /* partition key, then clustering, in their order */
	struct target *cells;
	struct target targets[]; /* what keys and cells point into */
};

/* Whether values of a column can go there, some perhaps only after a look at the value. */
static bool converts(enum column_type from, enum store_type_id to)
{
	switch (to) {
	case STORE_BOOLEAN: return from == COLUMN_BOOL;
	case STORE_TINYINT:
	case STORE_SMALLINT:
	case STORE_INT: return from == COLUMN_INT32 || from == COLUMN_INT64;
	case STORE_BIGINT: return from == COLUMN_INT32 || from == COLUMN_INT64 || from == COLUMN_TIMESTAMP;
	case STORE_TIMESTAMP: return from == COLUMN_TIMESTAMP || from == COLUMN_INT64;
	case STORE_FLOAT:
	case STORE_DOUBLE: return from == COLUMN_DOUBLE || from == COLUMN_INT32;
	case STORE_ASCII:
	case STORE_TEXT: return from == COLUMN_TEXT || from == COLUMN_UUID;
	case STORE_BLOB: return from == COLUMN_BLOB;
	case STORE_UUID:
	case STORE_TIMEUUID: return from == COLUMN_UUID || from == COLUMN_TEXT;
	default: return false;
	}
}

static enum sm_err type_error(const struct store_table *table, const struct store_column *column, enum column_type from,
			      struct sm_error *reterr)
{
	struct arena arena;
	arena_init(&arena, 0);
	const char *wanted = store_type_name(&column->type, &arena);
	sm_fail(reterr, SM_TYPE, "column %s of %s.%s is of type %s, but the rows have %s there: convert it (in SQL: CAST(... AS %s))",
		column->name, table->keyspace, table->name, wanted ? wanted : "?", column_type_name(from), wanted ? wanted : "?");
	arena_done(&arena);
	return SM_TYPE;
}

/* CQL's names are exact, SQL's are not: the exact one goes first. */
static const struct store_column *find_column(const struct store_table *table, const char *name)
{
	const struct store_column *column = store_find_column(table, name);
	for (uint32_t i = 0; i < table->column_count && !column; i++)
		if (strcasecmp(table->columns[i].name, name) == 0)
			column = &table->columns[i];
	return column;
}

static struct target *place_of(struct table_writer *w, const struct store_column *column)
{
	if (column->kind == STORE_PARTITION_KEY)
		return &w->keys[column->position];
	if (column->kind == STORE_CLUSTERING)
		return &w->keys[w->table->partition_key_count + column->position];
	for (uint32_t i = 0; i < w->cell_count; i++)
		if (w->cells[i].column == column)
			return &w->cells[i];
	return &w->cells[w->cell_count++];
}

static enum sm_err aim(struct table_writer *w, const char *const *names, struct sm_error *reterr)
{
	const struct store_table *t = w->table;
	for (uint32_t i = 0; i < w->type->field_count; i++) {
		const char *name = names ? names[i] : w->type->fields[i].name;
		const struct store_column *column = find_column(t, name);
		if (!column)
			return sm_fail(reterr, SM_NOT_FOUND,
				       "table %s.%s has no column %s: leave it out of the rows, or give it the name of a column",
				       t->keyspace, t->name, name);
		if (!converts(w->type->fields[i].type, column->type.id))
			return type_error(t, column, w->type->fields[i].type, reterr);
		struct target *target = place_of(w, column);
		if (target->column)
			return sm_fail(reterr, SM_INVALID, "column %s of %s.%s is named twice", column->name, t->keyspace, t->name);
		*target = (struct target){column, i};
	}
	for (uint32_t i = 0; i < (uint32_t)t->partition_key_count + t->clustering_count; i++)
		if (!w->keys[i].column)
			return sm_fail(reterr, SM_INVALID, "the rows have no column for %s, which is part of the primary key of %s.%s",
				       t->columns[i].name, t->keyspace, t->name);
	return SM_OK;
}

enum sm_err table_writer_new(const struct store_table *table, const struct row_type *type, const char *const *target_columns,
			     struct table_writer **ret_writer, struct sm_error *reterr)
{
	uint32_t keys = (uint32_t)table->partition_key_count + table->clustering_count;
	enum sm_err err = store_check_no_view(table, true, reterr);
	if (err)
		return err;
	struct table_writer *w = calloc(1, sizeof *w + (keys + type->field_count) * sizeof w->targets[0]);
	if (!w)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a table writer");
	w->table = table;
	w->type = row_type_ref((struct row_type *)type);
	w->keys = w->targets;
	w->cells = w->targets + keys;
	err = aim(w, target_columns, reterr);
	if (err)
		table_writer_free(w);
	else
		*ret_writer = w;
	return err;
}

void table_writer_free(struct table_writer *w)
{
	if (!w)
		return;
	row_type_unref(w->type);
	free(w);
}

/* ---- values ---- */

static enum sm_err integer_cell(const struct store_column *column, int64_t v, struct arena *arena, struct store_cell *cell,
				struct sm_error *reterr)
{
	int32_t size = 8;
	switch (column->type.id) {
	case STORE_TINYINT: size = 1; break;
	case STORE_SMALLINT: size = 2; break;
	case STORE_INT: size = 4; break;
	default: break;
	}
	int64_t most = size == 8 ? INT64_MAX : (1ll << (size * 8 - 1)) - 1;
	if (v > most || v < -most - 1)
		return sm_fail(reterr, SM_OUT_OF_RANGE, "%lld does not fit into column %s (%d bytes)", (long long)v, column->name, size);
	uint8_t bytes[8];
	be64_put(bytes, (uint64_t)v);
	*cell = (struct store_cell){arena_copy(arena, bytes + 8 - size, (size_t)size), size};
	return SM_OK;
}

static void real_cell(const struct store_column *column, double v, struct arena *arena, struct store_cell *cell)
{
	uint8_t bytes[8];
	if (column->type.id == STORE_FLOAT) {
		float small = (float)v;
		uint32_t bits;
		memcpy(&bits, &small, sizeof bits);
		be32_put(bytes, bits);
		*cell = (struct store_cell){arena_copy(arena, bytes, 4), 4};
		return;
	}
	uint64_t bits;
	memcpy(&bits, &v, sizeof bits);
	be64_put(bytes, bits);
	*cell = (struct store_cell){arena_copy(arena, bytes, 8), 8};
}

static enum sm_err bytes_cell(const struct store_column *column, struct value v, struct arena *arena, struct store_cell *cell,
			      struct sm_error *reterr)
{
	struct uuid uuid;
	char text[37];
	struct bytes from = v.bytes;
	bool to_uuid = column->type.id == STORE_UUID || column->type.id == STORE_TIMEUUID;
	if (to_uuid && v.type == COLUMN_TEXT) {
		if (uuid_parse((const char *)from.data, from.size, &uuid) != SM_OK)
			return sm_fail(reterr, SM_TYPE, "'%.*s' is no uuid, as column %s wants one", (int)(from.size < 60 ? from.size : 60),
				       (const char *)from.data, column->name);
		from = bytes_of(uuid.bytes, 16);
	}
	if (!to_uuid && v.type == COLUMN_UUID) {
		memcpy(uuid.bytes, from.data, 16);
		uuid_format(&uuid, text);
		from = bytes_of(text, 36);
	}
	if (from.size > STORE_CELL_BYTES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "a value of %zu bytes for column %s; at most %u can be stored", from.size,
			       column->name, STORE_CELL_BYTES_MAX);
	*cell = (struct store_cell){arena_copy(arena, from.data, from.size), (int32_t)from.size};
	if (cell->data && !store_value_ok(&column->type, *cell))
		return sm_fail(reterr, SM_TYPE, "a value for column %s is not valid for its type (a time uuid, ASCII, UTF-8)",
			       column->name);
	return SM_OK;
}

static enum sm_err cell_of(const struct store_column *column, struct value v, struct arena *arena, struct store_cell *cell,
			   struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	if (v.null) {
		*cell = (struct store_cell){NULL, -1};
		return SM_OK;
	}
	switch (v.type) {
	case COLUMN_BOOL: *cell = (struct store_cell){arena_copy(arena, v.boolean ? "\1" : "\0", 1), 1}; break;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP:
		if (column->type.id == STORE_DOUBLE || column->type.id == STORE_FLOAT)
			real_cell(column, (double)v.integer, arena, cell);
		else
			err = integer_cell(column, v.integer, arena, cell, reterr);
		break;
	case COLUMN_DOUBLE: real_cell(column, v.real, arena, cell); break;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: err = bytes_cell(column, v, arena, cell, reterr); break;
	}
	if (!err && !cell->data)
		err = sm_fail(reterr, arena_error(arena), "no memory for a row");
	return err;
}

enum sm_err value_to_cell(const struct store_table *table, const struct store_column *column, struct value v, struct arena *arena,
			  struct store_cell *ret_cell, struct sm_error *reterr)
{
	if (!v.null && !converts(v.type, column->type.id))
		return type_error(table, column, v.type, reterr);
	return cell_of(column, v, arena, ret_cell, reterr);
}

/* What the store would refuse together with the whole batch is told of this row. */
static enum sm_err check_keys(const struct store_table *t, const struct store_cell *keys, struct sm_error *reterr)
{
	size_t partition = 0, clustering = 0;
	uint32_t own = t->partition_key_count > 1 ? 3 : 0; /* bytes that a key of several columns spends on each */
	for (uint32_t i = 0; i < t->partition_key_count; i++)
		partition += (size_t)keys[i].size + own;
	for (uint32_t i = 0; i < t->clustering_count; i++)
		clustering += (size_t)keys[t->partition_key_count + i].size;
	if (partition == 0)
		return sm_fail(reterr, SM_INVALID, "a row has an empty %s, which is the partition key of %s.%s: filter such rows out",
			       t->columns[0].name, t->keyspace, t->name);
	if (partition > STORE_KEY_BYTES_MAX || clustering > STORE_KEY_BYTES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "a row's primary key has %zu bytes; %s.%s takes at most %d", partition + clustering,
			       t->keyspace, t->name, STORE_KEY_BYTES_MAX);
	return SM_OK;
}

enum sm_err table_writer_row(struct table_writer *w, const struct batch *batch, uint32_t row, int64_t timestamp_us, struct arena *arena,
			     struct store_mutation *ret_mutation, struct sm_error *reterr)
{
	const struct store_table *t = w->table;
	uint32_t key_count = (uint32_t)t->partition_key_count + t->clustering_count;
	struct store_cell *keys = arena_alloc(arena, key_count * sizeof *keys);
	struct store_assignment *cells = arena_alloc(arena, (w->cell_count + 1) * sizeof *cells);
	if (!keys || !cells)
		return sm_fail(reterr, arena_error(arena), "no memory for a row");
	enum sm_err err;
	for (uint32_t i = 0; i < key_count; i++) {
		struct value v = batch_get(batch, w->keys[i].field, row);
		if (v.null)
			return sm_fail(reterr, SM_INVALID,
				       "a row has null for %s, which is part of the primary key of %s.%s: filter such rows out",
				       w->keys[i].column->name, t->keyspace, t->name);
		if ((err = cell_of(w->keys[i].column, v, arena, &keys[i], reterr)))
			return err;
	}
	if ((err = check_keys(t, keys, reterr)))
		return err;
	for (uint32_t i = 0; i < w->cell_count; i++) {
		cells[i].column = w->cells[i].column;
		if ((err = cell_of(w->cells[i].column, batch_get(batch, w->cells[i].field, row), arena, &cells[i].value, reterr)))
			return err;
	}
	*ret_mutation = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
						.table = t,
						.partition_key = keys,
						.clustering = t->clustering_count ? keys + t->partition_key_count : NULL,
						.cells = cells,
						.cell_count = w->cell_count,
						.timestamp_us = timestamp_us,
						.ttl_s = t->default_ttl_s};
	return SM_OK;
}
