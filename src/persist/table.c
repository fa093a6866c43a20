/* The journal's table: reading on the pool, what is written to it. */
#include "persist/persist_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* A time that is the greater the earlier the offset is. */
#define FIRST_TIME(offset) ((INT64_C(1) << 48) - (offset))

static int64_t number_of(struct store_cell cell, int64_t otherwise)
{
	return cell.size == 8 ? (int64_t)be64_get(cell.data) : otherwise;
}

static void key_of(const struct op *op, struct store_cell key[2])
{
	const struct entity *e = op->entity;
	key[0] = (struct store_cell){(const uint8_t *)e->journal->topic, (int32_t)strlen(e->journal->topic)};
	key[1] = (struct store_cell){(const uint8_t *)e->props.id, (int32_t)strlen(e->props.id)};
}

/* ---- reading ---- */

static void take_statics(struct op *op, const struct store_row *row)
{
	op->number = (uint64_t)number_of(row->cells[COLUMN_WRITER], 0);
	op->fence = number_of(row->cells[COLUMN_FENCE], -1);
	op->first = number_of(row->cells[COLUMN_FIRST], -1);
	op->found = op->first >= 0;
}

/* The newest that is allowed is the one that is loaded. */
static enum sm_err take_snapshot(struct op *op, const struct store_row *row, struct sm_error *reterr)
{
	int64_t sequence = number_of(row->cells[COLUMN_SEQUENCE], -1);
	if (op->kept_count <= PERSIST_SNAPSHOTS_KEPT_MAX)
		op->kept[op->kept_count++] = sequence;
	if (op->snapshot.sequence || (op->newest_allowed && sequence > op->newest_allowed))
		return SM_OK;
	uint64_t wrote = (uint64_t)number_of(row->cells[COLUMN_WROTE], 0);
	if (op->entity->props.recovery.no_snapshot) { /* what is wrong with it keeps nobody from doing without it */
		op->snapshot.wrote = wrote > op->snapshot.wrote ? wrote : op->snapshot.wrote;
		return SM_OK;
	}
	struct store_cell data = row->cells[COLUMN_DATA], type = row->cells[COLUMN_TYPE];
	op->snapshot.position = number_of(row->cells[COLUMN_POSITION], -1);
	op->snapshot.wrote = wrote;
	if (sequence < 0 || op->snapshot.position < 0 || data.size < 0 || type.size > PERSIST_ID_MAX)
		return sm_fail(reterr, SM_CORRUPT,
			       "the snapshot %lld of %s lacks columns; recover without snapshots (recovery.no_snapshot)",
			       (long long)sequence, op->entity->props.id);
	op->snapshot.sequence = sequence;
	snprintf(op->snapshot.type, sizeof op->snapshot.type, "%.*s", type.size > 0 ? (int)type.size : 0,
		 type.size > 0 ? (const char *)type.data : "");
	buf_append(&op->buf, data.data, (size_t)data.size);
	return op->buf.failed ? SM_NO_MEMORY : SM_OK;
}

static enum sm_err read_rows(struct op *op, bool statics_only)
{
	struct sm_journal *j = op->entity->journal;
	struct store_cell key[2];
	key_of(op, key);
	struct store_read read = {.table = j->table, .partition_key = key, .statics_only = statics_only, .no_times = true};
	struct store_cursor *cursor;
	const struct store_row *row;
	enum sm_err err = j->store->ops->open(j->store, &read, &cursor, &op->error);
	if (err)
		return err;
	while (!(err = j->store->ops->next(cursor, &row))) {
		take_statics(op, row);
		if (!statics_only && !row->static_only && (err = take_snapshot(op, row, &op->error)))
			break;
	}
	j->store->ops->close_cursor(cursor);
	if (err == SM_END)
		return SM_OK;
	return op->error.code ? err
			      : sm_fail(&op->error, err, "reading what the store has of %s: %s", op->entity->props.id, sm_err_text(err));
}

void persist__look(struct sm_work *work)
{
	struct op *op = op_of_work(work);
	op->error.code = read_rows(op, true);
	persist__op_send(op);
}

void persist__load(struct sm_work *work)
{
	struct op *op = op_of_work(work);
	op->error.code = read_rows(op, false);
	persist__op_send(op);
}

/* ---- writing ---- */

static struct store_cell cell_of_number(struct op *op, int64_t number)
{
	uint8_t *bytes = arena_alloc(&op->arena, 8);
	if (!bytes)
		return (struct store_cell){NULL, -1};
	be64_put(bytes, (uint64_t)number);
	return (struct store_cell){bytes, 8};
}

static struct store_mutation *mutations_new(struct op *op, uint32_t count, struct store_cell **ret_key)
{
	struct store_mutation *m = arena_alloc(&op->arena, count * sizeof *m);
	*ret_key = arena_alloc(&op->arena, 2 * sizeof **ret_key);
	if (!m || !*ret_key)
		return NULL;
	key_of(op, *ret_key);
	op->batch = (struct store_batch){.mutations = m, .count = count};
	return m;
}

enum sm_err persist__row_batch(struct op *op, uint64_t number, int64_t fence, bool first)
{
	const struct store_table *t = op->entity->journal->table;
	struct store_cell *key;
	struct store_mutation *m = mutations_new(op, first ? 2 : 1, &key);
	struct store_assignment *cells = arena_alloc(&op->arena, 3 * sizeof *cells);
	if (!m || !cells)
		return SM_NO_MEMORY;
	cells[0] = (struct store_assignment){&t->columns[COLUMN_FENCE], cell_of_number(op, fence)};
	cells[1] = (struct store_assignment){&t->columns[COLUMN_WRITER], cell_of_number(op, (int64_t)number)};
	cells[2] = (struct store_assignment){&t->columns[COLUMN_FIRST], cell_of_number(op, fence)};
	m[0] = (struct store_mutation){.kind = STORE_UPSERT_UPDATE,
				       .table = t,
				       .partition_key = key,
				       .cells = cells,
				       .cell_count = 2,
				       .timestamp_us = (int64_t)number};
	if (first)
		m[1] = (struct store_mutation){.kind = STORE_UPSERT_UPDATE,
					       .table = t,
					       .partition_key = key,
					       .cells = cells + 2,
					       .cell_count = 1,
					       .timestamp_us = FIRST_TIME(fence)};
	return cells[0].value.size < 0 || cells[1].value.size < 0 || cells[2].value.size < 0 ? SM_NO_MEMORY : SM_OK;
}

static bool fill_snapshot(struct op *op, struct store_mutation *m, struct store_cell *key, uint64_t number, int64_t position,
			  const char *type)
{
	const struct store_table *t = op->entity->journal->table;
	struct store_assignment *cells = arena_alloc(&op->arena, 5 * sizeof *cells);
	struct store_cell *clustering = arena_alloc(&op->arena, sizeof *clustering);
	struct bytes data = buf_bytes(&op->buf);
	int64_t now_us = (int64_t)clock_wall_us(&clock_system);
	if (!cells || !clustering)
		return false;
	*clustering = cell_of_number(op, op->sequence);
	cells[0] = (struct store_assignment){&t->columns[COLUMN_DATA], {data.data, (int32_t)data.size}};
	cells[1] = (struct store_assignment){&t->columns[COLUMN_POSITION], cell_of_number(op, position)};
	cells[2] = (struct store_assignment){&t->columns[COLUMN_TAKEN], cell_of_number(op, now_us / 1000)};
	cells[3] = (struct store_assignment){&t->columns[COLUMN_TYPE], {(const uint8_t *)type, (int32_t)strlen(type)}};
	cells[4] = (struct store_assignment){&t->columns[COLUMN_WROTE], cell_of_number(op, (int64_t)number)};
	m[0] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
				       .table = t,
				       .partition_key = key,
				       .clustering = clustering,
				       .cells = cells,
				       .cell_count = 5,
				       .timestamp_us = now_us};
	return clustering->size == 8 && cells[1].value.size == 8 && cells[2].value.size == 8 && cells[4].value.size == 8;
}

enum sm_err persist__snapshot_batch(struct op *op, uint64_t number, int64_t position, const char *type, int64_t oldest)
{
	struct store_cell *key, *bound = arena_alloc(&op->arena, sizeof *bound);
	struct store_mutation *m = mutations_new(op, 2, &key);
	if (!m || !bound || !fill_snapshot(op, m, key, number, position, type) || (*bound = cell_of_number(op, oldest)).size < 0)
		return SM_NO_MEMORY;
	/* The table's order is descending: what comes after the oldest one that stays. */
	m[1] = (struct store_mutation){.kind = STORE_DELETE_RANGE,
				       .table = m->table,
				       .partition_key = key,
				       .from = {STORE_EXCLUSIVE, 1, bound},
				       .timestamp_us = m->timestamp_us};
	return SM_OK;
}

static void applied(void *arg, enum sm_err err)
{
	struct op *op = arg;
	if (err)
		(void)sm_fail(&op->error, err, "writing to %s.%s for %s: %s", op->entity->journal->keyspace,
			      op->entity->journal->table->name, op->entity->props.id, sm_err_text(err));
	persist__op_send(op);
}

void persist__op_apply(struct op *op)
{
	struct sm_store *store = op->entity->journal->store;
	store->ops->apply(store, &op->batch, applied, op);
}
