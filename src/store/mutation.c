/* A batch of mutations as changes of keys. Everything here runs on the caller's thread; nothing is read. */
#include "store/store_internal.h"
#include <assert.h>
#include <stdlib.h>

struct store__write *store__write_new(enum store__write_kind kind)
{
	struct store__write *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->kind = kind;
	buf_init(&w->ops);
	w->touched = w->touched_inline;
	w->touched_cap = sizeof w->touched_inline / sizeof *w->touched_inline;
	return w;
}

void store__write_free(struct store__write *w)
{
	if (!w)
		return;
	buf_done(&w->ops);
	if (w->touched != w->touched_inline)
		free(w->touched);
	free(w->job);
	store__schema_unref(w->schema);
	free(w);
}

static bool touch(struct store__write *w, uint32_t table, bool deletions)
{
	for (uint32_t i = w->touched_count; i > 0; i--) {
		if (w->touched[i - 1].table == table) {
			w->touched[i - 1].deletions |= deletions;
			return true;
		}
	}
	assert(w->touched_cap);
	if (w->touched_count == w->touched_cap) {
		bool first = w->touched == w->touched_inline;
		struct store__touched *t = realloc(first ? NULL : w->touched, w->touched_cap * 2 * sizeof *t);
		if (!t)
			return false;
		if (first)
			memcpy(t, w->touched_inline, sizeof w->touched_inline);
		w->touched = t;
		w->touched_cap *= 2;
	}
	w->touched[w->touched_count++] = (struct store__touched){table, deletions};
	return true;
}

/* What encoding a batch needs. */
struct encoding {
	struct store__write *write;
	int64_t now_us, alive_s; /* alive_s: ttls count from here */
	struct buf partition, prefix;
	struct arena arena; /* emptied for each mutation */
};

/* c = c + 1, c = c + 2 in one statement; false: the counter is not there yet. */
static bool add_up(struct encoding *e, const struct store_assignment *a, struct store__row *row)
{
	for (uint32_t i = 0; i < row->cell_count; i++) {
		if (row->cells[i].id != a->column->id || row->cells[i].tombstone)
			continue;
		uint8_t *sum = arena_alloc_raw(&e->arena, 8, 1);
		if (sum)
			be64_put(sum, be64_get(row->cells[i].data) + be64_get(a->value.data));
		row->cells[i].data = sum;
		return sum != NULL;
	}
	return false;
}

static enum sm_err add_cell(struct encoding *e, const struct store_mutation *m, const struct store_assignment *a, struct store__row *row)
{
	if (store_type_multi_cell(&a->column->type)) {
		struct store__assigning assigning = {m, a->column, e->now_us, e->alive_s, &e->arena};
		return store__assign_elements(&assigning, a, row);
	}
	bool counter = a->column->type.id == STORE_COUNTER, tombstone = a->value.size < 0 || m->kind == STORE_DELETE_CELLS;
	if (a->how != (counter && !tombstone ? STORE_ADD_ELEMENTS : STORE_ASSIGN))
		return SM_INVALID;
	if (!tombstone && (uint32_t)a->value.size > STORE_CELL_BYTES_MAX)
		return SM_TOO_LARGE;
	if (!tombstone && !store_value_ok(&a->column->type, a->value))
		return SM_INVALID;
	if (counter && !tombstone && add_up(e, a, row))
		return SM_OK;
	struct store__cell *cell = store__row_add(row);
	if (!cell)
		return SM_NO_MEMORY;
	*cell = (struct store__cell){.id = a->column->id, .tombstone = tombstone, .timestamp_us = m->timestamp_us};
	if (counter && tombstone) /* as in Cassandra: a counter that was deleted stays so, whatever is added later */
		cell->timestamp_us = INT64_MAX;
	if (tombstone) {
		cell->expiry_s = e->now_us / 1000000;
	} else {
		cell->data = a->value.data;
		cell->size = (uint32_t)a->value.size;
		cell->ttl_s = m->ttl_s;
		cell->expiry_s = m->ttl_s ? e->alive_s + m->ttl_s : 0;
	}
	return SM_OK;
}

static enum sm_err add_cells(struct encoding *e, const struct store_mutation *m, enum store_column_kind kind, struct store__row *row)
{
	bool doubles;
	for (uint32_t i = 0; i < m->cell_count; i++) {
		if (m->cells[i].column->kind != kind)
			continue;
		enum sm_err err = add_cell(e, m, &m->cells[i], row);
		if (err)
			return err;
	}
	store__row_sort(row, &doubles);
	return doubles ? SM_INVALID : SM_OK;
}

/* A table has counters only, or none. */
static bool has_counters(const struct store_table *t)
{
	uint16_t first = (uint16_t)(t->partition_key_count + t->clustering_count);
	return first < t->column_count && t->columns[first].type.id == STORE_COUNTER;
}

/* MERGE, or COUNT for the cells of counters; deletions of such are noted, as counting reads what was written before it. */
static enum store_op op_of(struct encoding *e, const struct store_mutation *m)
{
	if (!has_counters(m->table))
		return STORE_OP_MERGE;
	bool counts = m->kind == STORE_UPSERT_UPDATE;
	for (uint32_t i = 0; i < m->cell_count; i++)
		counts &= m->cells[i].value.size >= 0;
	*(counts ? &e->write->counts : &e->write->deletes_counters) = true;
	return counts ? STORE_OP_COUNT : STORE_OP_MERGE;
}

/* One MERGE of row under the partition's prefix, the kind and rest. */
static void put(struct store__write *w, enum store_op op, struct bytes prefix, enum store_key_kind kind, struct bytes rest,
		const struct store__row *row)
{
	size_t at = store__op_begin(&w->ops, op);
	buf_append_bytes(&w->ops, prefix);
	buf_u8(&w->ops, (uint8_t)kind);
	buf_append_bytes(&w->ops, rest);
	store__op_value(&w->ops, at);
	store__row_encode(row, &w->ops);
	store__op_end(&w->ops, at);
}

static enum sm_err encode_range(const struct store_mutation *m, struct bytes prefix, const struct store__row *row, struct store__write *w)
{
	struct buf bounds, rest;
	struct store_span span;
	buf_init(&bounds);
	buf_init(&rest);
	enum sm_err err = store__span(m->table, &m->from, &m->to, &bounds, &span);
	if (!err && !span.empty) {
		store__range_encode(&span, &rest);
		if (rest.failed)
			err = SM_NO_MEMORY;
		else
			put(w, STORE_OP_MERGE, prefix, STORE_KEY_RANGE_DELETION, buf_bytes(&rest), row);
	}
	buf_done(&rest);
	buf_done(&bounds);
	return err;
}

/* The clustering as it was written, in front of the row's cells. */
static enum sm_err add_form(struct encoding *e, const struct store_mutation *m, struct bytes encoded, struct store__row *row)
{
	struct buf form;
	buf_init(&form);
	enum sm_err err = store__clustering_form(m->table, m->clustering, encoded, &form);
	uint8_t *copy = !err && form.end ? arena_copy(&e->arena, form.data, form.end) : NULL;
	struct store__cell *cell = copy ? store__row_add(row) : NULL;
	if (!err && form.end && !cell)
		err = SM_NO_MEMORY;
	if (cell) {
		memmove(row->cells + 1, row->cells, (row->cell_count - 1u) * sizeof *row->cells);
		row->cells[0] = (struct store__cell){
			.id = STORE_FORM_ID, .timestamp_us = m->timestamp_us, .data = copy, .size = (uint32_t)form.end};
	}
	buf_done(&form);
	return err;
}

/* Cells, marker or deletion of one row. A statement without clustering writes static cells only. */
static enum sm_err encode_row(struct encoding *e, const struct store_mutation *m, struct store__row *row)
{
	const struct store_table *t = m->table;
	struct buf *ops = &e->write->ops;
	int64_t now_s = e->now_us / 1000000;
	bool whole = m->clustering || t->clustering_count == 0;
	enum sm_err err = add_cells(e, m, STORE_REGULAR, row);
	if (err)
		return err;
	if (!whole && (row->cell_count || m->kind == STORE_DELETE_ROW))
		return SM_INVALID;
	if (whole && m->kind == STORE_UPSERT_INSERT) {
		row->marker_us = m->timestamp_us;
		row->marker_ttl_s = m->ttl_s;
		row->marker_expiry_s = m->ttl_s ? e->alive_s + m->ttl_s : 0;
	} else if (m->kind == STORE_DELETE_ROW) {
		row->deleted_us = m->timestamp_us;
		row->deleted_s = now_s;
	}
	if (row->cell_count == 0 && row->marker_us == STORE_NO_TIME && row->deleted_us == STORE_NO_TIME)
		return SM_OK;
	size_t at = store__op_begin(ops, op_of(e, m));
	buf_append_bytes(ops, buf_bytes(&e->prefix));
	buf_u8(ops, STORE_KEY_ROW);
	size_t clustering_at = ops->end;
	if ((err = store__clustering_encode(t, m->clustering, t->clustering_count, ops)))
		return err;
	if (store__table_of(t)->loses_form && m->kind != STORE_DELETE_ROW && m->kind != STORE_DELETE_CELLS &&
	    (err = add_form(e, m, bytes_of(ops->data + clustering_at, ops->end - clustering_at), row)))
		return err;
	store__op_value(ops, at);
	store__row_encode(row, ops);
	store__op_end(ops, at);
	return SM_OK;
}

static enum sm_err encode_deletion(struct encoding *e, const struct store_mutation *m, struct store__row *row)
{
	struct bytes prefix = buf_bytes(&e->prefix);
	row->deleted_us = m->timestamp_us;
	row->deleted_s = e->now_us / 1000000;
	(void)op_of(e, m);
	if (m->kind == STORE_DELETE_RANGE)
		return encode_range(m, prefix, row, e->write);
	put(e->write, STORE_OP_MERGE, prefix, STORE_KEY_PARTITION_DELETION, bytes_of(NULL, 0), row);
	return SM_OK;
}

static enum sm_err encode_statics(struct encoding *e, const struct store_mutation *m, struct store__row *row)
{
	row->cell_count = 0;
	row->marker_us = row->deleted_us = STORE_NO_TIME;
	if (!m->table->static_count || m->kind == STORE_DELETE_ROW)
		return SM_OK;
	enum sm_err err = add_cells(e, m, STORE_STATIC, row);
	if (!err && row->cell_count)
		put(e->write, op_of(e, m), buf_bytes(&e->prefix), STORE_KEY_STATIC, bytes_of(NULL, 0), row);
	return err;
}

static enum sm_err check(const struct store_mutation *m)
{
	if (m->timestamp_us == STORE_NO_TIME || m->ttl_s < 0 || m->ttl_s > STORE_TTL_MAX_S)
		return SM_INVALID;
	for (uint32_t i = 0; i < m->cell_count; i++) {
		if (m->cells[i].column->kind != STORE_REGULAR && m->cells[i].column->kind != STORE_STATIC)
			return SM_INVALID;
		/* the store reads counters before it adds to them, others never */
		if (m->cells[i].column->type.id == STORE_COUNTER && (m->kind == STORE_UPSERT_INSERT || m->ttl_s))
			return SM_INVALID;
	}
	return SM_OK;
}

static enum sm_err encode_mutation(struct encoding *e, const struct store_mutation *m)
{
	struct store__row row;
	bool deletions = m->kind == STORE_DELETE_PARTITION || m->kind == STORE_DELETE_RANGE;
	enum sm_err err = check(m);
	buf_clear(&e->partition);
	buf_clear(&e->prefix);
	arena_reset(&e->arena);
	if (!err)
		err = store__partition_bytes(m->table, m->partition_key, &e->partition);
	if (err)
		return err;
	store__key_prefix(m->table->number, buf_bytes(&e->partition), &e->prefix);
	if (e->prefix.failed || !touch(e->write, m->table->number, deletions))
		return SM_NO_MEMORY;
	store__row_init(&row);
	if (deletions)
		err = encode_deletion(e, m, &row);
	else if (!(err = encode_row(e, m, &row)))
		err = encode_statics(e, m, &row);
	store__row_done(&row);
	return err;
}

enum sm_err store__batch_encode(const struct store_batch *batch, int64_t now_us, struct store__write *w)
{
	struct encoding e = {.write = w, .now_us = now_us, .alive_s = batch->now_s > 0 ? batch->now_s : now_us / 1000000};
	buf_init(&e.partition);
	buf_init(&e.prefix);
	arena_init(&e.arena, 0);
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < batch->count && !err; i++) {
		err = encode_mutation(&e, &batch->mutations[i]);
		if (!err && w->ops.end > STORE_BATCH_BYTES_MAX)
			err = SM_TOO_LARGE;
	}
	buf_done(&e.prefix);
	buf_done(&e.partition);
	arena_done(&e.arena);
	if (err)
		return err;
	w->row_count = batch->count;
	if (batch->job) {
		if (strlen(batch->job) > STORE_JOB_NAME_BYTES_MAX)
			return SM_TOO_LARGE;
		if (!(w->job = strdup(batch->job)))
			return SM_NO_MEMORY;
		w->epoch = batch->epoch;
	}
	return w->ops.failed ? SM_NO_MEMORY : SM_OK;
}
