/* Running a SELECT: partitions and slices, or a token range, or a computed table; filters, limits, pages, groups.
 *
 * Paging state, opaque to clients: [u8 version 1][u32 rows left of LIMIT][u32 rows left of PER PARTITION LIMIT][u32 partition][u32 slice]
 * [u8 what follows: 1 partition key, 2 clustering] and then the cells of the last row's key as [i32 size][bytes]. For a computed table,
 * partition is the number of rows seen; a materialized view always has its row's key, and partition and slice 0. */
#include "cql/decimal.h"
#include "cql/index.h"
#include "cql/json_value.h"
#include "cql/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1
#define NO_LIMIT UINT32_MAX

struct place {
	uint32_t limit, partition_limit, partition, slice;
	struct store_cell *key, *clustering; /* or NULL */
};

struct run {
	struct cql_context *c;
	const struct cql_plan *plan;
	const struct cql_select_plan *select;
	const struct cql_options *options;
	struct cql_result *result;
	struct cql_context row_context; /* its arena is emptied for each row */
	struct cql_eval eval;
	struct cql_keys keys;
	struct store_cursor *cursor;
	struct store_condition condition; /* of reads by an index */
	bool by_index;
	struct place at;
	uint32_t partition_limit; /* as written; at.partition_limit counts down */
	struct arena scratch, key_arena;
	struct buf place;             /* behind the row that was put last; of groups, that was seen last */
	struct store_cell *last_key;  /* of a range scan, in key_arena */
	struct store_cell **computed; /* the rows of a computed table or a view */
	uint32_t computed_count;
	struct store_row made;  /* the one of them at hand */
	bool is_view, view_cut; /* view_cut: computed are not all that are left */
	uint32_t rows_read;
	bool plain; /* columns as they are stored, of all rows that the keys name */
	/* aggregates */
	struct cql_aggregate_state *aggregates;
	struct store_row first;   /* of the group, in group_arena */
	struct store_cell *group; /* its key */
	struct arena group_arena;
	bool in_group;
};

/* ---- paging state ---- */

static void put_cells(struct buf *out, const struct store_cell *cells, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		buf_be32(out, (uint32_t)cells[i].size);
		if (cells[i].size > 0)
			buf_append(out, cells[i].data, (size_t)cells[i].size);
	}
}

static void put_place(const struct run *r, const struct store_row *row, struct buf *out)
{
	const struct store_table *t = r->select->table;
	bool stored = r->is_view || !r->computed, key = r->is_view || (!r->select->where.partition && !r->computed);
	bool clustering = stored && !row->static_only && !r->select->distinct && t->clustering_count;
	buf_clear(out);
	buf_u8(out, STATE_VERSION);
	buf_be32(out, r->at.limit);
	buf_be32(out, r->at.partition_limit);
	buf_be32(out, r->is_view ? 0 : r->at.partition);
	buf_be32(out, r->is_view ? 0 : r->at.slice);
	buf_u8(out, (uint8_t)((key ? 1 : 0) | (clustering ? 2 : 0)));
	if (key)
		put_cells(out, row->cells, t->partition_key_count);
	if (clustering)
		put_cells(out, row->cells + t->partition_key_count, t->clustering_count);
}

/* The place that r->place holds, with the limits as they are now. */
static enum sm_err save_place(struct run *r, struct bytes *ret_state)
{
	if (r->place.failed)
		return cql__fail_store(r->c->err, SM_NO_MEMORY, NULL);
	uint8_t *copy = arena_copy(r->c->arena, r->place.data + r->place.start, buf_size(&r->place));
	if (!copy)
		return cql__no_memory(r->c->err, r->c->arena);
	be32_put(copy + 1, r->at.limit);
	be32_put(copy + 5, r->at.partition_limit);
	*ret_state = bytes_of(copy, buf_size(&r->place));
	return SM_OK;
}

static enum sm_err get_cells(struct run *r, struct byte_reader *in, const struct store_column *columns, uint16_t count,
			     struct store_cell **ret)
{
	struct cql_error ignored;
	struct store_cell *cells = arena_alloc(r->c->arena, sizeof *cells * count);
	if (!cells)
		return cql__no_memory(r->c->err, r->c->arena);
	for (uint16_t i = 0; i < count; i++) {
		cells[i].size = (int32_t)reader_be32(in);
		cells[i].data = cells[i].size < 0 ? NULL : reader_take(in, (size_t)cells[i].size);
		if (in->failed || cells[i].size < 0 || cql__value_check(&columns[i].type, cells[i], &ignored) != SM_OK)
			in->failed = true;
	}
	*ret = cells;
	return SM_OK;
}

static enum sm_err load_place(struct run *r, struct bytes state)
{
	const struct store_table *t = r->select->table;
	struct byte_reader in = byte_reader(state);
	uint8_t version = reader_u8(&in), what;
	enum sm_err err;
	struct place p = {0};
	p.limit = reader_be32(&in);
	p.partition_limit = reader_be32(&in);
	p.partition = reader_be32(&in);
	p.slice = reader_be32(&in);
	what = reader_u8(&in);
	if ((what & 1) && (err = get_cells(r, &in, t->columns, t->partition_key_count, &p.key)))
		return err;
	if ((what & 2) && (err = get_cells(r, &in, t->columns + t->partition_key_count, t->clustering_count, &p.clustering)))
		return err;
	bool by_key = !r->is_view && r->select->where.partition;
	bool wrong = r->is_view    ? p.partition || p.slice || what != (t->clustering_count && !r->select->distinct ? 3 : 1)
		     : r->computed ? p.partition > r->computed_count || what != 0
		     : by_key      ? p.partition >= r->keys.partition_count || (what & 1)
				   : !(what & 1);
	if (in.failed || reader_left(&in) || version != STATE_VERSION || wrong || (!r->computed && p.slice >= r->keys.slice_count) ||
	    what > 3)
		return cql__fail(r->c->err, CQL_PROTOCOL_ERROR, "Invalid value for the paging state");
	r->at = p;
	if (by_key && !p.clustering && !r->computed) { /* that partition is done */
		r->at.partition++;
		r->at.slice = 0;
		r->at.partition_limit = r->partition_limit;
	}
	return SM_OK;
}

/* ---- reading ---- */

static void close_cursor(struct run *r)
{
	if (r->cursor)
		r->c->engine->store->ops->close_cursor(r->cursor);
	r->cursor = NULL;
}

static enum sm_err open_cursor(struct run *r)
{
	const struct cql_select_plan *s = r->select;
	uint32_t n = s->reversed ? r->keys.slice_count - 1 - r->at.slice : r->at.slice;
	struct sm_error why = {0};
	struct store_read read = {
		.table = s->table,
		.from = r->keys.slices[n].from,
		.to = r->keys.slices[n].to,
		.reverse = s->reversed,
		.statics_only = s->distinct,
		.where = r->by_index ? &r->condition : NULL,
		.cached_only = r->options->on_dispatcher,
		.after_clustering = r->at.clustering,
		.now_s = r->eval.context->now_s,
		.no_times = r->plain,
	};
	if (s->where.partition) {
		read.partition_key = r->keys.partitions[r->at.partition];
	} else {
		read.token_from = r->keys.token_from;
		read.token_to = r->keys.token_to;
		read.after_partition_key = r->at.key;
	}
	enum sm_err err = r->c->engine->store->ops->open(r->c->engine->store, &read, &r->cursor, &why);
	return err ? cql__fail_store(r->c->err, err, why.text) : SM_OK;
}

static void next_partition(struct run *r)
{
	close_cursor(r);
	r->at.partition++;
	r->at.slice = 0;
	r->at.clustering = NULL;
	r->at.partition_limit = r->partition_limit;
}

static enum sm_err next_computed(struct run *r, const struct store_row **ret_row)
{
	if (r->at.partition >= r->computed_count)
		return SM_END;
	const struct store_cell *cells = r->computed[r->at.partition++];
	r->made = (struct store_row){.cells = cells, .token = store_token(r->select->table, cells)};
	*ret_row = &r->made;
	return SM_OK;
}

/* The next row of the whole statement, whether it passes the filters or not. */
static enum sm_err next_row(struct run *r, const struct store_row **ret_row)
{
	bool by_key = r->select->where.partition != NULL;
	for (;;) {
		if (by_key && r->at.partition >= r->keys.partition_count)
			return SM_END;
		if (r->options->on_dispatcher &&
		    (r->rows_read > CQL_DISPATCHER_ROWS_MAX || r->at.partition > CQL_DISPATCHER_PARTITIONS_MAX))
			return SM_AGAIN;
		enum sm_err err;
		if (!r->cursor && (err = open_cursor(r)))
			return err;
		err = r->c->engine->store->ops->next(r->cursor, ret_row);
		if (err == SM_OK) {
			r->rows_read++;
			return SM_OK;
		}
		close_cursor(r);
		if (err != SM_END)
			return cql__fail_store(r->c->err, err, NULL);
		r->at.clustering = NULL;
		if (!by_key)
			return SM_END;
		if (++r->at.slice >= r->keys.slice_count)
			next_partition(r);
	}
}

static bool same_key(const struct store_cell *a, const struct store_cell *b, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++)
		if (a[i].size != b[i].size || (a[i].size > 0 && memcmp(a[i].data, b[i].data, (size_t)a[i].size) != 0))
			return false;
	return true;
}

static struct store_cell *copy_cells(struct arena *arena, const struct store_cell *cells, uint32_t count)
{
	struct store_cell *copy = arena_alloc(arena, sizeof *copy * (count + 1));
	for (uint32_t i = 0; copy && i < count; i++) {
		copy[i] = cells[i].size < 0 ? cells[i] : cql__cell(arena, cells[i].data, (size_t)cells[i].size);
		if (cells[i].size >= 0 && !copy[i].data)
			return NULL;
	}
	return copy;
}

/* PER PARTITION LIMIT: *ret_skip true when the row is one too many; a range scan then goes on behind its partition. */
static enum sm_err limit_partition(struct run *r, const struct store_row *row, bool *ret_skip)
{
	uint16_t count = r->select->table->partition_key_count;
	*ret_skip = false;
	if (r->partition_limit == NO_LIMIT)
		return SM_OK;
	if (!r->select->where.partition || r->computed) {
		const struct store_cell *before = r->last_key ? r->last_key : r->at.key;
		if (!before || !same_key(before, row->cells, count)) {
			arena_reset(&r->key_arena);
			r->at.partition_limit = r->partition_limit;
			r->last_key = copy_cells(&r->key_arena, row->cells, count);
			if (!r->last_key)
				return cql__no_memory(r->c->err, &r->key_arena);
		}
	}
	if (r->at.partition_limit)
		return SM_OK;
	*ret_skip = true;
	if (r->computed)
		return SM_OK;
	if (r->select->where.partition) {
		next_partition(r);
		return SM_OK;
	}
	r->at.key = copy_cells(r->c->arena, row->cells, count);
	r->at.clustering = NULL;
	close_cursor(r); /* the row was its */
	return r->at.key ? SM_OK : cql__no_memory(r->c->err, r->c->arena);
}

/* The next row that is a row of the result. */
static enum sm_err next_match(struct run *r, const struct store_row **ret_row)
{
	for (;;) {
		const struct store_row *row;
		bool passes, skip;
		enum sm_err err = r->computed ? next_computed(r, &row) : next_row(r, &row);
		if (err)
			return err;
		if (r->plain && !row->static_only) {
			*ret_row = row;
			return SM_OK;
		}
		arena_reset(&r->scratch);
		r->eval.row = row;
		if (row->static_only && r->select->where.clustering_count)
			continue;
		passes = r->is_view; /* it has been filtered already, and not all of its columns are there */
		if (!passes && (err = cql__filter(&r->eval, &r->select->where, r->computed != NULL, &passes)))
			return err;
		if (!passes)
			continue;
		if ((err = limit_partition(r, row, &skip)))
			return err;
		if (skip)
			continue;
		*ret_row = row;
		return SM_OK;
	}
}

/* ---- results ---- */

void cql__result_cell(struct cql_result *result, struct store_cell cell)
{
	buf_be32(&result->rows, cell.size < 0 ? UINT32_MAX : (uint32_t)cell.size);
	if (cell.size > 0)
		buf_append(&result->rows, cell.data, (size_t)cell.size);
}

static enum sm_err check_size(struct run *r)
{
	if (r->result->rows.failed)
		return cql__fail_store(r->c->err, SM_NO_MEMORY, NULL);
	if (buf_size(&r->result->rows) > CQL_RESULT_BYTES_MAX)
		return cql__fail(r->c->err, CQL_INVALID, "The result is larger than the limit of %u bytes: use a LIMIT or pages",
				 CQL_RESULT_BYTES_MAX);
	return SM_OK;
}

/* The values of the row that r->eval sees, as cells or as one JSON text. */
static enum sm_err put_values(struct run *r)
{
	const struct cql_select_plan *s = r->select;
	struct store_cell *cells = s->json ? arena_alloc(&r->scratch, sizeof *cells * (s->value_count + 1)) : NULL;
	if (s->json && !cells)
		return cql__no_memory(r->c->err, &r->scratch);
	for (uint32_t i = 0; i < s->value_count; i++) {
		const struct cql_expr *x = s->exprs[i];
		struct store_cell v;
		enum sm_err err = SM_OK;
		if (x->kind == CQL_EXPR_COLUMN)
			v = r->eval.row->cells[x->index];
		else
			err = cql__eval(&r->eval, x, &v);
		if (err)
			return err;
		if (cells && !cql__has_digits(x->type, v))
			return cql__too_many_digits(r->c->err);
		if (cells)
			cells[i] = v;
		else
			cql__result_cell(r->result, v);
	}
	if (cells) {
		struct store_cell object = cql__json_object(s, cells, &r->scratch);
		if (!object.data)
			return cql__no_memory(r->c->err, &r->scratch);
		cql__result_cell(r->result, object);
	}
	r->result->row_count++;
	return check_size(r);
}

static uint32_t page_size(const struct run *r)
{
	uint32_t size = r->options->page_size;
	return size > CQL_PAGE_ROWS_MAX ? CQL_PAGE_ROWS_MAX : size;
}

static bool page_full(const struct run *r)
{
	uint32_t page = page_size(r);
	return page && (r->result->row_count >= page || buf_size(&r->result->rows) >= CQL_PAGE_BYTES_MAX);
}

/* Behind a full page there is another one, if only an empty one, as in Cassandra: nobody looks whether any row is left. But a limit that is
 * reached, and the one row of the last partition, are an end. */
static bool may_go_on(const struct run *r, const struct store_row *row)
{
	bool last = !r->computed && r->select->where.partition && r->at.partition + 1 >= r->keys.partition_count;
	return r->at.limit != 0 && !(last && (row->static_only || r->select->distinct || r->at.partition_limit == 0 ||
					      r->select->table->clustering_count == 0));
}

/* Of a view's large rows fewer were made than the page may have. */
static enum sm_err end_early(struct run *r)
{
	struct store_row last = {.cells = r->computed[r->computed_count - 1]};
	put_place(r, &last, &r->place);
	return save_place(r, &r->result->paging_state);
}

/* Whether rows need nothing but their columns' bytes: no filter, no function, no limit for each partition. */
static bool is_plain(const struct run *r)
{
	const struct cql_select_plan *s = r->select;
	if (r->computed || r->is_view || s->json || r->partition_limit != NO_LIMIT)
		return false;
	for (uint32_t i = 0; i < s->value_count; i++)
		if (s->exprs[i]->kind != CQL_EXPR_COLUMN)
			return false;
	for (uint32_t i = 0; i < s->where.count; i++)
		if (!s->where.restrictions[i].used && !s->where.restrictions[i].token)
			return false;
	return true;
}

/* As put_values, of plain rows. */
static enum sm_err put_columns(struct run *r, const struct store_row *row)
{
	const struct cql_select_plan *s = r->select;
	size_t room = 4 * (size_t)s->value_count;
	for (uint32_t i = 0; i < s->value_count; i++)
		room += row->cells[s->exprs[i]->index].size > 0 ? (size_t)row->cells[s->exprs[i]->index].size : 0;
	uint8_t *to = buf_reserve(&r->result->rows, room);
	for (uint32_t i = 0; to && i < s->value_count; i++) {
		struct store_cell v = row->cells[s->exprs[i]->index];
		be32_put(to, v.size < 0 ? UINT32_MAX : (uint32_t)v.size);
		to += 4;
		if (v.size > 0) {
			memcpy(to, v.data, (size_t)v.size);
			to += v.size;
		}
	}
	if (to)
		buf_commit(&r->result->rows, room);
	r->result->row_count++;
	return check_size(r);
}

static enum sm_err run_rows(struct run *r)
{
	r->plain = is_plain(r);
	for (;;) {
		const struct store_row *row;
		if (r->at.limit == 0)
			return SM_OK;
		enum sm_err err = next_match(r, &row);
		if (err == SM_END)
			return r->view_cut ? end_early(r) : SM_OK;
		if (err || (err = r->plain ? put_columns(r, row) : put_values(r)))
			return err;
		if (r->at.limit != NO_LIMIT)
			r->at.limit--;
		if (r->at.partition_limit != NO_LIMIT)
			r->at.partition_limit--;
		if (page_full(r) && may_go_on(r, row)) {
			put_place(r, row, &r->place);
			return save_place(r, &r->result->paging_state);
		}
	}
}

/* ---- aggregates ---- */

static enum sm_err end_group(struct run *r)
{
	const struct store_row *now = r->eval.row;
	r->eval.row = &r->first;
	enum sm_err err = put_values(r);
	r->eval.row = now;
	r->in_group = false;
	for (uint32_t i = 0; i < r->select->aggregate_count; i++)
		cql__aggregate_reset(&r->aggregates[i]);
	return err;
}

/* What is no aggregate comes from the group's first row; without any row it is null. */
static enum sm_err no_rows(struct run *r)
{
	uint16_t n = r->select->table->column_count;
	struct store_cell *cells = arena_alloc(&r->group_arena, sizeof *cells * n);
	if (!cells)
		return cql__no_memory(r->c->err, &r->group_arena);
	for (uint16_t i = 0; i < n; i++)
		cells[i] = cql__null();
	r->first = (struct store_row){.cells = cells};
	return SM_OK;
}

/* The elements' paths and times: what writetime and ttl look at. false: no memory. */
static bool copy_elements(struct arena *arena, const struct store_elements *from, uint16_t n, const struct store_elements **ret)
{
	struct store_elements *all = arena_alloc(arena, sizeof *all * n);
	*ret = all;
	for (uint16_t i = 0; all && i < n; i++) {
		struct store_element *items = arena_alloc(arena, sizeof *items * (from[i].count + 1u));
		if (!items)
			return false;
		for (uint32_t k = 0; k < from[i].count; k++) {
			items[k] = from[i].items[k];
			items[k].value = cql__null();
			items[k].path = cql__cell(arena, from[i].items[k].path.data, (size_t)from[i].items[k].path.size);
			if (!items[k].path.data)
				return false;
		}
		all[i] = (struct store_elements){.items = items, .count = from[i].count};
	}
	return all;
}

static enum sm_err begin_group(struct run *r, const struct store_row *row)
{
	const struct cql_select_plan *s = r->select;
	uint16_t n = s->table->column_count;
	arena_reset(&r->group_arena);
	r->first = *row;
	r->first.cells = copy_cells(&r->group_arena, row->cells, n);
	if (row->timestamps_us)
		r->first.timestamps_us = arena_copy(&r->group_arena, row->timestamps_us, n * sizeof *row->timestamps_us);
	if (row->ttls_s)
		r->first.ttls_s = arena_copy(&r->group_arena, row->ttls_s, n * sizeof *row->ttls_s);
	if (row->elements && !copy_elements(&r->group_arena, row->elements, n, &r->first.elements))
		return cql__no_memory(r->c->err, &r->group_arena);
	r->group = copy_cells(&r->group_arena, row->cells, s->group_count);
	r->in_group = true;
	bool whole = r->first.cells && r->group && !r->first.timestamps_us == !row->timestamps_us && !r->first.ttls_s == !row->ttls_s;
	return whole ? SM_OK : cql__no_memory(r->c->err, &r->group_arena);
}

static void find_aggregate(const struct cql_expr *x, const struct cql_expr **ret_exprs)
{
	if (x->kind == CQL_EXPR_AGGREGATE)
		ret_exprs[x->index] = x;
	for (uint32_t i = 0; x->kind != CQL_EXPR_AGGREGATE && x->args && i < x->arg_count; i++)
		if (x->args[i]) /* a slice without an end */
			find_aggregate(x->args[i], ret_exprs);
}

static void find_aggregates(const struct cql_select_plan *s, const struct cql_expr **ret_exprs)
{
	for (uint32_t i = 0; i < s->value_count; i++)
		find_aggregate(s->exprs[i], ret_exprs);
}

static enum sm_err add_row(struct run *r, const struct cql_expr *const *exprs)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < r->select->aggregate_count && !err; i++)
		if (exprs[i])
			err = cql__aggregate_add(&r->eval, exprs[i], &r->aggregates[i]);
	return err;
}

/* The row begins another group: end the one before, count it, and note the place if that fills the page. *ret_skip: its partition has had
 * as many groups as it may. */
static enum sm_err next_group(struct run *r, const struct store_row *row, struct bytes *state, bool *ret_skip)
{
	const struct cql_select_plan *s = r->select;
	bool same_partition = same_key(r->group, row->cells, s->table->partition_key_count);
	enum sm_err err = end_group(r);
	*ret_skip = false;
	if (err)
		return err;
	if (r->at.limit != NO_LIMIT)
		r->at.limit--;
	if (r->partition_limit != NO_LIMIT && same_partition)
		*ret_skip = --r->at.partition_limit == 0;
	return page_full(r) ? save_place(r, state) : SM_OK;
}

static enum sm_err run_aggregate(struct run *r)
{
	const struct cql_select_plan *s = r->select;
	struct bytes state = {NULL, 0};
	const struct cql_expr **exprs = arena_alloc(r->c->arena, sizeof *exprs * (s->aggregate_count + 1));
	r->aggregates = arena_alloc(r->c->arena, sizeof *r->aggregates * (s->aggregate_count + 1));
	if (!exprs || !r->aggregates)
		return cql__no_memory(r->c->err, r->c->arena);
	r->eval.aggregates = r->aggregates;
	find_aggregates(s, exprs);
	for (;;) {
		const struct store_row *row;
		bool skip = false;
		enum sm_err err = next_match(r, &row);
		if (err == SM_END)
			break;
		if (err)
			return err;
		if (r->in_group && !same_key(r->group, row->cells, s->group_count) && (err = next_group(r, row, &state, &skip)))
			return err;
		if (r->at.limit == 0)
			return SM_OK;
		if (skip)
			continue;
		if (!r->in_group && state.data) { /* the page is full and there is more */
			r->result->paging_state = state;
			return SM_OK;
		}
		if ((!r->in_group && (err = begin_group(r, row))) || (err = add_row(r, exprs)))
			return err;
		if (s->group_count && r->options->page_size)
			put_place(r, row, &r->place);
	}
	if (!r->in_group && s->group_count == 0) {
		enum sm_err err = no_rows(r);
		return err ? err : end_group(r);
	}
	enum sm_err err = r->in_group ? end_group(r) : SM_OK;
	if (state.data) /* noted when the page was full: the limits were those of that partition */
		r->result->paging_state = state;
	else if (!err && s->group_count && page_full(r) && r->at.limit > 1)
		err = save_place(r, &r->result->paging_state);
	return err;
}

/* ---- ORDER BY over several partitions: all rows, then sorted ---- */

struct sortable {
	const struct store_cell *keys; /* the clustering columns */
	size_t at, size;               /* of the row in result->rows */
	uint32_t number;
};

static int compare_sortables(const void *a, const void *b, void *arg)
{
	const struct run *r = arg;
	const struct sortable *x = a, *y = b;
	const struct store_table *t = r->select->table;
	for (uint16_t i = 0; i < r->select->order_count; i++) {
		const struct store_column *column = &t->columns[t->partition_key_count + i];
		int nulls = (y->keys[i].size < 0) - (x->keys[i].size < 0);
		if (nulls) /* of partitions with statics alone */
			return r->select->reversed ? -nulls : nulls;
		int order = x->keys[i].size < 0 ? 0 : store_compare(&column->type, x->keys[i], y->keys[i]);
		if (order)
			return column->descending != r->select->reversed ? -order : order;
	}
	return (x->number > y->number) - (x->number < y->number);
}

static enum sm_err put_sorted(struct run *r, struct sortable *rows, uint32_t count, uint32_t limit)
{
	struct buf sorted;
	buf_init(&sorted);
	if (rows)
		qsort_r(rows, count, sizeof *rows, compare_sortables, r);
	r->result->row_count = count < limit ? count : limit;
	for (uint32_t i = 0; rows && i < r->result->row_count; i++)
		buf_append(&sorted, r->result->rows.data + r->result->rows.start + rows[i].at, rows[i].size);
	buf_done(&r->result->rows);
	r->result->rows = sorted;
	return check_size(r);
}

static enum sm_err run_sorted(struct run *r)
{
	const struct store_table *t = r->select->table;
	struct sortable *rows = NULL;
	uint32_t count = 0, cap = 0, limit = r->at.limit;
	for (;;) {
		const struct store_row *row;
		size_t before = buf_size(&r->result->rows);
		enum sm_err err = next_match(r, &row);
		if (err == SM_END)
			return put_sorted(r, rows, count, limit);
		if (err || (err = put_values(r)))
			return err;
		if (r->at.partition_limit != NO_LIMIT)
			r->at.partition_limit--;
		rows = cql__grow(r->c->arena, rows, count, &cap, sizeof *rows);
		const struct store_cell *keys = copy_cells(r->c->arena, row->cells + t->partition_key_count, t->clustering_count);
		if (!rows || !keys)
			return cql__no_memory(r->c->err, r->c->arena);
		rows[count] = (struct sortable){keys, before, buf_size(&r->result->rows) - before, count};
		count++;
	}
}

/* ---- ORDER BY ... ANN OF: the nearest rows of all that match ---- */

struct near {
	float score;
	size_t at, size; /* of the row in result->rows */
	uint32_t number;
};

static int compare_near(const void *a, const void *b)
{
	const struct near *x = a, *y = b;
	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return (x->number > y->number) - (x->number < y->number);
}

/* Only the nearest stay. */
static enum sm_err keep_nearest(struct run *r, struct near *rows, uint32_t *count)
{
	struct buf kept;
	buf_init(&kept);
	qsort(rows, *count, sizeof *rows, compare_near);
	if (*count > r->at.limit)
		*count = r->at.limit;
	for (uint32_t i = 0; i < *count; i++) {
		size_t at = buf_size(&kept);
		buf_append(&kept, r->result->rows.data + r->result->rows.start + rows[i].at, rows[i].size);
		rows[i].at = at;
	}
	buf_done(&r->result->rows);
	r->result->rows = kept;
	r->result->row_count = *count;
	return check_size(r);
}

static enum sm_err run_nearest(struct run *r)
{
	struct near *rows = NULL;
	uint32_t count = 0, cap = 0, seen = 0;
	struct cql_eval e = {.context = r->c, .values = r->options->values, .value_count = r->options->value_count};
	struct store_cell to;
	enum sm_err err = cql__eval(&e, r->select->ann, &to);
	if (!err && to.size < 0)
		err = cql__fail(r->c->err, CQL_INVALID, "Invalid null value for column %s",
				r->select->table->columns[r->select->ann_column].name);
	if (!err)
		err = cql__check_nearest(r->c, r->select, to);
	if (!err && r->at.limit > CQL_NEAREST_MAX)
		err = cql__fail(r->c->err, CQL_INVALID,
				"Use of ANN OF in an ORDER BY clause requires a LIMIT that is not greater than %d. LIMIT was %u",
				CQL_NEAREST_MAX, r->at.limit);
	while (!err) {
		const struct store_row *row;
		if ((err = next_match(r, &row)) == SM_END)
			return count ? keep_nearest(r, rows, &count) : SM_OK;
		struct store_cell v = err ? cql__null() : row->cells[r->select->ann_column];
		size_t before = buf_size(&r->result->rows);
		float score = err || v.size != to.size ? NAN : cql__similarity(r->select->similarity, v, to);
		if (!isfinite(score)) /* written before the column had its index */
			continue;
		rows = cql__grow(r->c->arena, rows, count, &cap, sizeof *rows);
		if (!rows)
			return cql__no_memory(r->c->err, r->c->arena);
		if (!(err = put_values(r)))
			rows[count++] = (struct near){score, before, buf_size(&r->result->rows) - before, seen++};
		if (!err && count >= 2 * r->at.limit + 64)
			err = keep_nearest(r, rows, &count);
	}
	return err;
}

/* No partition, slice or token can match: an aggregate still has its one row. */
static enum sm_err run_empty(struct run *r)
{
	if (!r->select->aggregate || r->select->group_count)
		return SM_OK;
	r->aggregates = arena_alloc(r->c->arena, sizeof *r->aggregates * (r->select->aggregate_count + 1));
	if (!r->aggregates)
		return cql__no_memory(r->c->err, r->c->arena);
	r->eval.aggregates = r->aggregates;
	enum sm_err err = no_rows(r);
	return err ? err : end_group(r);
}

/* ---- the whole ---- */

static enum sm_err limit_value(struct run *r, const struct cql_expr *x, const char *what, uint32_t *ret)
{
	struct store_cell v;
	*ret = NO_LIMIT;
	if (!x)
		return SM_OK;
	enum sm_err err = cql__eval(&r->eval, x, &v);
	if (err || v.size == CQL_UNSET)
		return err;
	if (v.size < 0)
		return cql__fail(r->c->err, CQL_INVALID, "Invalid null value of %s",
				 strcmp(what, "LIMIT") == 0 ? "limit" : "per partition limit");
	if (v.size != 4 || (int32_t)be32_get(v.data) <= 0)
		return cql__fail(r->c->err, CQL_INVALID, "%s must be strictly positive", what);
	*ret = be32_get(v.data);
	return SM_OK;
}

static bool goes_on(const struct run *r)
{
	return r->options->paging_state.data && (!r->select->aggregate || r->select->group_count) && !r->keys.empty;
}

static enum sm_err view_rows(struct run *r)
{
	const struct cql_select_plan *s = r->select;
	r->is_view = true;
	enum sm_err err = cql__keys(&r->eval, &s->where, &r->keys);
	if (err || r->keys.empty)
		return err;
	if (r->options->on_dispatcher)
		return SM_AGAIN;
	if (goes_on(r) && (err = load_place(r, r->options->paging_state)))
		return err;
	struct cql_view_read read = {.key = r->at.key, .clustering = r->at.clustering};
	uint32_t page = page_size(r);
	if (!s->aggregate && !s->ann && !s->distinct && !cql__sorts(s) && r->partition_limit == NO_LIMIT) {
		read.rows_max = page && page < r->at.limit ? page : r->at.limit == NO_LIMIT ? 0 : r->at.limit;
		read.bytes_max = page ? CQL_PAGE_BYTES_MAX : 0;
	}
	err = cql__view_rows(&r->eval, s, &read, &r->computed, &r->computed_count, &r->view_cut);
	r->view_cut &= page != 0;
	return err;
}

/* An index helps where more than one row would be read, and it does not know the rows' order backwards, or what one row of a partition is.
 */
static enum sm_err prepare_index(struct run *r)
{
	const struct cql_select_plan *s = r->select;
	bool one_row = s->where.partition && s->table->clustering_count && r->keys.slice_count == 1 &&
		       r->keys.slices[0].from.count == s->table->clustering_count && r->keys.slices[0].from.kind == STORE_INCLUSIVE &&
		       r->keys.slices[0].to.count == s->table->clustering_count;
	if (!s->where.by || s->reversed || s->distinct || one_row || r->keys.empty)
		return SM_OK;
	return cql__index_condition(&r->eval, &s->where, &r->condition, &r->by_index);
}

bool cql__sorts(const struct cql_select_plan *s)
{
	for (uint16_t i = 0; s->ordered && s->where.partition && i < s->table->partition_key_count; i++)
		if (s->where.partition[i]->op == CQL_IN)
			return true;
	return false;
}

static enum sm_err prepare_run(struct run *r)
{
	const struct cql_select_plan *s = r->select;
	enum sm_err err = limit_value(r, s->limit, "LIMIT", &r->at.limit);
	if (!err)
		err = limit_value(r, s->partition_limit, "PER PARTITION LIMIT", &r->partition_limit);
	if (err)
		return err;
	r->at.partition_limit = r->partition_limit;
	if (s->is_virtual && cql__is_estimates(s->table))
		err = r->options->on_dispatcher ? SM_AGAIN
						: cql__estimates(&r->eval, &s->where, s->table, &r->computed, &r->computed_count);
	else if (cql__view_base(s->table))
		err = view_rows(r);
	else if (s->is_virtual)
		err = cql__system_rows(r->c, s->table, &r->computed, &r->computed_count);
	else
		err = cql__keys(&r->eval, &s->where, &r->keys);
	if (!err && !s->is_virtual)
		err = prepare_index(r);
	if (err)
		return err;
	if (page_size(r) && cql__sorts(s))
		return cql__fail(r->c->err, CQL_INVALID,
				 "Cannot page queries with both ORDER BY and a IN restriction on the partition key; you must either remove "
				 "the ORDER BY or the IN and sort client side, or disable paging for this query");
	return goes_on(r) && !r->is_view ? load_place(r, r->options->paging_state) : SM_OK;
}

enum sm_err cql__run_select(struct cql_context *c, const struct cql_plan *plan, const struct cql_options *options,
			    struct cql_result *result)
{
	struct run r = {.c = c, .plan = plan, .select = plan->select, .options = options, .result = result, .row_context = *c};
	const struct cql_select_plan *s = plan->select;
	arena_init(&r.scratch, CQL_REQUEST_ARENA_MAX);
	arena_init(&r.key_arena, 0);
	arena_init(&r.group_arena, CQL_REQUEST_ARENA_MAX);
	buf_init(&r.place);
	r.eval = (struct cql_eval){.context = c, .values = options->values, .value_count = options->value_count, .table = s->table};
	result->kind = CQL_RESULT_ROWS;
	result->keyspace = s->table->keyspace;
	result->table = s->table->name;
	result->columns = s->columns;
	result->column_count = s->column_count;
	enum sm_err err = prepare_run(&r);
	r.row_context.arena = &r.scratch;
	r.eval.context = &r.row_context;
	if (!err)
		err = r.keys.empty                                  ? run_empty(&r)
		      : s->aggregate                                ? run_aggregate(&r)
		      : s->ann                                      ? run_nearest(&r)
		      : (r.is_view || !r.computed) && cql__sorts(s) ? run_sorted(&r)
								    : run_rows(&r);
	close_cursor(&r);
	for (uint32_t i = 0; r.aggregates && i < s->aggregate_count; i++)
		cql__aggregate_reset(&r.aggregates[i]);
	arena_done(&r.scratch);
	arena_done(&r.key_arena);
	arena_done(&r.group_arena);
	buf_done(&r.place);
	if (err) {
		buf_clear(&result->rows);
		result->row_count = 0;
	}
	return err;
}
