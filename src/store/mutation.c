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

/* Put the cell where its id belongs; false: it is there already. Statements name columns mostly in the table's order. */
static bool sort_in(struct store__row *row)
{
	struct store__cell last = row->cells[row->cell_count - 1];
	uint32_t at = row->cell_count - 1;
	for (; at > 0 && row->cells[at - 1].id > last.id; at--)
		row->cells[at] = row->cells[at - 1];
	row->cells[at] = last;
	return at == 0 || row->cells[at - 1].id != last.id;
}

static enum sm_err add_cell(const struct store_mutation *m, const struct store_assignment *a, int64_t now_s, struct store__row *row)
{
	bool tombstone = a->value.size < 0 || m->kind == STORE_DELETE_CELLS;
	if (!tombstone && (uint32_t)a->value.size > STORE_CELL_BYTES_MAX)
		return SM_TOO_LARGE;
	if (!tombstone && !store_value_ok(&a->column->type, a->value))
		return SM_INVALID;
	struct store__cell *cell = store__row_add(row);
	if (!cell)
		return SM_NO_MEMORY;
	*cell = (struct store__cell){.id = a->column->id, .tombstone = tombstone, .timestamp_us = m->timestamp_us};
	if (tombstone) {
		cell->expiry_s = now_s;
	} else {
		cell->data = a->value.data;
		cell->size = (uint32_t)a->value.size;
		cell->ttl_s = m->ttl_s;
		cell->expiry_s = m->ttl_s ? now_s + m->ttl_s : 0;
	}
	return sort_in(row) ? SM_OK : SM_INVALID;
}

static enum sm_err add_cells(const struct store_mutation *m, enum store_column_kind kind, int64_t now_s, struct store__row *row)
{
	for (uint32_t i = 0; i < m->cell_count; i++) {
		if (m->cells[i].column->kind != kind)
			continue;
		enum sm_err err = add_cell(m, &m->cells[i], now_s, row);
		if (err)
			return err;
	}
	return SM_OK;
}

/* One MERGE of row under the partition's prefix, the kind and rest. */
static void put(struct store__write *w, struct bytes prefix, enum store_key_kind kind, struct bytes rest, const struct store__row *row)
{
	size_t at = store__op_begin(&w->ops, STORE_OP_MERGE);
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
			put(w, prefix, STORE_KEY_RANGE_DELETION, buf_bytes(&rest), row);
	}
	buf_done(&rest);
	buf_done(&bounds);
	return err;
}

/* Cells, marker or deletion of one row. A statement without clustering writes static cells only. */
static enum sm_err encode_row(const struct store_mutation *m, struct bytes prefix, int64_t now_s, struct store__row *row,
			      struct store__write *w)
{
	const struct store_table *t = m->table;
	bool whole = m->clustering || t->clustering_count == 0;
	enum sm_err err = add_cells(m, STORE_REGULAR, now_s, row);
	if (err)
		return err;
	if (!whole && (row->cell_count || m->kind == STORE_DELETE_ROW))
		return SM_INVALID;
	if (whole && m->kind == STORE_UPSERT_INSERT) {
		row->marker_us = m->timestamp_us;
		row->marker_ttl_s = m->ttl_s;
		row->marker_expiry_s = m->ttl_s ? now_s + m->ttl_s : 0;
	} else if (m->kind == STORE_DELETE_ROW) {
		row->deleted_us = m->timestamp_us;
		row->deleted_s = now_s;
	}
	if (row->cell_count == 0 && row->marker_us == STORE_NO_TIME && row->deleted_us == STORE_NO_TIME)
		return SM_OK;
	size_t at = store__op_begin(&w->ops, STORE_OP_MERGE);
	buf_append_bytes(&w->ops, prefix);
	buf_u8(&w->ops, STORE_KEY_ROW);
	if ((err = store__clustering_encode(t, m->clustering, t->clustering_count, &w->ops)))
		return err;
	store__op_value(&w->ops, at);
	store__row_encode(row, &w->ops);
	store__op_end(&w->ops, at);
	return SM_OK;
}

static enum sm_err encode_with_prefix(const struct store_mutation *m, struct bytes prefix, int64_t now_s, struct store__write *w)
{
	struct store__row row;
	store__row_init(&row);
	enum sm_err err = SM_OK;
	if (m->kind == STORE_DELETE_PARTITION || m->kind == STORE_DELETE_RANGE) {
		row.deleted_us = m->timestamp_us;
		row.deleted_s = now_s;
		if (m->kind == STORE_DELETE_RANGE)
			err = encode_range(m, prefix, &row, w);
		else
			put(w, prefix, STORE_KEY_PARTITION_DELETION, bytes_of(NULL, 0), &row);
	} else {
		err = encode_row(m, prefix, now_s, &row, w);
		row.cell_count = 0;
		row.marker_us = row.deleted_us = STORE_NO_TIME;
		if (!err && m->table->static_count && m->kind != STORE_DELETE_ROW && !(err = add_cells(m, STORE_STATIC, now_s, &row)) &&
		    row.cell_count)
			put(w, prefix, STORE_KEY_STATIC, bytes_of(NULL, 0), &row);
	}
	store__row_done(&row);
	return err;
}

static enum sm_err check(const struct store_mutation *m)
{
	if (m->timestamp_us == STORE_NO_TIME || m->ttl_s < 0 || m->ttl_s > STORE_TTL_MAX_S)
		return SM_INVALID;
	for (uint32_t i = 0; i < m->cell_count; i++)
		if (m->cells[i].column->kind != STORE_REGULAR && m->cells[i].column->kind != STORE_STATIC)
			return SM_INVALID;
	return SM_OK;
}

static enum sm_err encode_mutation(const struct store_mutation *m, int64_t now_s, struct buf *partition, struct buf *prefix,
				   struct store__write *w)
{
	bool deletions = m->kind == STORE_DELETE_PARTITION || m->kind == STORE_DELETE_RANGE;
	enum sm_err err = check(m);
	buf_clear(partition);
	buf_clear(prefix);
	if (!err)
		err = store__partition_bytes(m->table, m->partition_key, partition);
	if (err)
		return err;
	store__key_prefix(m->table->number, buf_bytes(partition), prefix);
	if (prefix->failed || !touch(w, m->table->number, deletions))
		return SM_NO_MEMORY;
	return encode_with_prefix(m, buf_bytes(prefix), now_s, w);
}

enum sm_err store__batch_encode(const struct store_batch *batch, int64_t now_s, struct store__write *w)
{
	struct buf partition, prefix;
	buf_init(&partition);
	buf_init(&prefix);
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < batch->count && !err; i++) {
		err = encode_mutation(&batch->mutations[i], now_s, &partition, &prefix, w);
		if (!err && w->ops.end > STORE_BATCH_BYTES_MAX)
			err = SM_TOO_LARGE;
	}
	buf_done(&prefix);
	buf_done(&partition);
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
