/* From restrictions and bound values to partitions, slices of clustering rows, token ranges and filters.
 *
 * A slice is an interval in the table's clustering order. One comparison of several columns, (a, b) > (1, 2), is one interval when all of
 * them are stored in the same direction; else it falls into one interval a column, and a lower and an upper bound are intersected. */
#include "cql/plan.h"

#include "base/map.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static enum sm_err token_range(struct cql_eval *e, const struct cql_where *where, struct cql_keys *keys);

static enum sm_err not_null(struct cql_eval *e, const struct cql_expr *x, struct store_cell v)
{
	if (v.size == CQL_UNSET)
		return cql__fail(e->context->err, CQL_INVALID, "Invalid unset value for column %s", x->name);
	if (v.size < 0)
		return cql__fail(e->context->err, CQL_INVALID, "Invalid null value in condition for column %s", x->name);
	return SM_OK;
}

static enum sm_err key_value(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	enum sm_err err = cql__eval(e, x, ret);
	return err ? err : not_null(e, x, *ret);
}

/* The columns' values of a tuple in a bound list. */
static enum sm_err split(struct cql_eval *e, const struct cql_restriction *r, struct store_cell tuple, struct store_cell *cells)
{
	const struct store_type *type = r->list->type->elements;
	struct store_cell *values;
	uint32_t count;
	enum sm_err err = cql__value_check(type, tuple, e->context->err);
	if (err || (err = cql__unpack(e->context, type, tuple, &values, &count)))
		return err;
	for (uint16_t i = 0; i < r->column_count; i++) {
		cells[i] = i < count ? values[i] : cql__null();
		if (cells[i].size < 0)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid null value in condition for column %s",
					 r->columns[i]->name);
	}
	return SM_OK;
}

static enum sm_err list_values(struct cql_eval *e, const struct cql_restriction *r, struct store_cell **ret_cells, uint32_t *ret_count)
{
	struct store_cell list;
	struct cql_error *fail = e->context->err;
	enum sm_err err = cql__eval(e, r->list, &list);
	if (err)
		return err;
	if (list.size == CQL_UNSET)
		return cql__fail(fail, CQL_INVALID, "Invalid unset value for column %s", r->columns[0]->name);
	if (list.size < 0)
		return cql__fail(fail, CQL_INVALID, "Invalid null value for column %s", r->columns[0]->name);
	struct store_cell *values, *cells;
	uint32_t count;
	if ((err = cql__list_values(e, list, &values, &count)))
		return err;
	bool tuple = r->column_count > 1;
	if (!(cells = tuple ? arena_alloc(e->context->arena, sizeof *cells * ((size_t)count * r->column_count + 1)) : values))
		return cql__no_memory(fail, e->context->arena);
	for (uint32_t i = 0; i < count; i++) {
		if (values[i].size < 0)
			return cql__fail(fail, CQL_INVALID, "Invalid null value in condition for column %s", r->columns[0]->name);
		err = tuple ? split(e, r, values[i], &cells[(size_t)i * r->column_count])
			    : cql__value_check(&r->columns[0]->type, values[i], fail);
		if (err)
			return err;
	}
	*ret_cells = cells;
	*ret_count = count;
	return SM_OK;
}

/* All tuples of an EQ or IN restriction: count times column_count cells. */
static enum sm_err tuples(struct cql_eval *e, const struct cql_restriction *r, struct store_cell **ret_cells, uint32_t *ret_count)
{
	if (r->list)
		return list_values(e, r, ret_cells, ret_count);
	uint32_t n = r->value_count * r->column_count;
	struct store_cell *cells = arena_alloc(e->context->arena, sizeof *cells * (n + 1));
	if (!cells)
		return cql__no_memory(e->context->err, e->context->arena);
	for (uint32_t i = 0; i < n; i++) {
		enum sm_err err = key_value(e, r->values[i], &cells[i]);
		if (err)
			return err;
	}
	*ret_cells = cells;
	*ret_count = r->value_count;
	return SM_OK;
}

/* Every row so far, extended by every tuple. rows: count arrays of width cells of which filled are set. */
static enum sm_err extend(struct cql_eval *e, const struct cql_restriction *r, uint32_t filled, uint32_t width, struct store_cell ***rows,
			  uint32_t *count)
{
	struct store_cell *values;
	uint32_t n, k = 0;
	enum sm_err err = tuples(e, r, &values, &n);
	if (err)
		return err;
	if (n == 1) {
		for (uint32_t i = 0; i < *count; i++)
			memcpy(&(*rows)[i][filled], values, sizeof *values * r->column_count);
		return SM_OK;
	}
	if ((uint64_t)n * *count > CQL_COMBINATIONS_MAX)
		return cql__fail(e->context->err, CQL_INVALID, "The IN restrictions name %llu combinations, more than the limit of %d",
				 (unsigned long long)n * *count, CQL_COMBINATIONS_MAX);
	struct store_cell **more = arena_alloc(e->context->arena, sizeof *more * (n * *count + 1));
	struct store_cell *cells = arena_alloc(e->context->arena, sizeof *cells * (size_t)width * (n * *count + 1));
	if (!more || !cells)
		return cql__no_memory(e->context->err, e->context->arena);
	for (uint32_t i = 0; i < *count; i++)
		for (uint32_t v = 0; v < n; v++, k++) {
			more[k] = cells + (size_t)k * width;
			memcpy(more[k], (*rows)[i], sizeof *cells * filled);
			memcpy(&more[k][filled], &values[(size_t)v * r->column_count], sizeof *cells * r->column_count);
		}
	*rows = more;
	*count = k;
	return SM_OK;
}

static enum sm_err start_rows(struct cql_eval *e, uint32_t width, struct store_cell ***rows, uint32_t *count)
{
	*rows = arena_alloc(e->context->arena, sizeof **rows);
	struct store_cell *cells = arena_alloc(e->context->arena, sizeof *cells * (width + 1));
	if (!*rows || !cells)
		return cql__no_memory(e->context->err, e->context->arena);
	(*rows)[0] = cells;
	*count = 1;
	return SM_OK;
}

static enum sm_err check_key(struct cql_eval *e, const struct store_cell *cells, uint32_t count)
{
	size_t size = 0;
	for (uint32_t i = 0; i < count; i++)
		size += (size_t)cells[i].size + (count > 1 ? 3 : 0);
	if (size > STORE_KEY_BYTES_MAX)
		return cql__fail(e->context->err, CQL_INVALID, "Key length of %zu is longer than maximum of %d", size, STORE_KEY_BYTES_MAX);
	if (size == 0)
		return cql__fail(e->context->err, CQL_INVALID, "Key may not be empty");
	return SM_OK;
}

/* IN (1, 1) names one partition. */
static enum sm_err drop_doubles(struct cql_eval *e, struct cql_keys *keys)
{
	uint16_t width = e->table->partition_key_count;
	struct map seen;
	struct buf key;
	enum sm_err err = SM_OK;
	uint32_t kept = 0;
	map_init(&seen);
	buf_init(&key);
	for (uint32_t i = 0; i < keys->partition_count && !err; i++) {
		buf_clear(&key);
		for (uint16_t k = 0; k < width; k++) {
			buf_be32(&key, (uint32_t)keys->partitions[i][k].size);
			buf_append(&key, keys->partitions[i][k].data, (size_t)keys->partitions[i][k].size);
		}
		if (map_get(&seen, buf_bytes(&key)))
			continue;
		err = key.failed ? SM_NO_MEMORY : map_put(&seen, buf_bytes(&key), keys, NULL);
		keys->partitions[kept++] = keys->partitions[i];
	}
	keys->partition_count = kept;
	map_done(&seen);
	buf_done(&key);
	return err ? cql__fail_store(e->context->err, err, NULL) : SM_OK;
}

static int compare_keys(const void *a, const void *b, void *arg)
{
	const struct store_cell *x = *(struct store_cell *const *)a, *y = *(struct store_cell *const *)b;
	const struct store_table *t = arg;
	for (uint16_t i = 0; i < t->partition_key_count; i++) {
		int order = store_compare(&t->columns[i].type, x[i], y[i]);
		if (order)
			return order;
	}
	return 0;
}

/* IN names partitions together with token(): those outside of its range are none. */
static enum sm_err drop_by_token(struct cql_eval *e, const struct cql_where *where, struct cql_keys *keys)
{
	struct cql_keys range = {0};
	enum sm_err err = token_range(e, where, &range);
	uint32_t kept = 0;
	for (uint32_t i = 0; !err && !range.empty && i < keys->partition_count; i++) {
		int64_t token = store_token(e->table, keys->partitions[i]);
		if (token >= range.token_from && token <= range.token_to)
			keys->partitions[kept++] = keys->partitions[i];
	}
	keys->partition_count = kept;
	return err;
}

static enum sm_err partitions(struct cql_eval *e, const struct cql_where *where, struct cql_keys *keys)
{
	uint16_t width = e->table->partition_key_count;
	enum sm_err err = start_rows(e, width, &keys->partitions, &keys->partition_count);
	for (uint16_t i = 0; !err && i < width; i++)
		err = extend(e, where->partition[i], i, width, &keys->partitions, &keys->partition_count);
	for (uint32_t i = 0; !err && i < keys->partition_count; i++)
		err = check_key(e, keys->partitions[i], width);
	if (!err && (where->token_low || where->token_high || where->token_equal))
		err = drop_by_token(e, where, keys);
	if (err || keys->partition_count < 2)
		return err;
	/* In the order of the values, as Cassandra answers them. */
	qsort_r(keys->partitions, keys->partition_count, sizeof *keys->partitions, compare_keys, (void *)(uintptr_t)e->table);
	return drop_doubles(e, keys);
}

/* ---- clustering ---- */

static const struct store_column *clustering_column(const struct store_table *t, uint32_t i)
{
	return &t->columns[t->partition_key_count + i];
}

static int compare_cells(const struct store_table *t, const struct store_cell *a, const struct store_cell *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct store_column *c = clustering_column(t, i);
		assert(a != NULL && b != NULL);
		int order = store_compare(&c->type, a[i], b[i]);
		if (order)
			return c->descending ? -order : order;
	}
	return 0;
}

/* Where a bound cuts: -1 before the rows that begin with its cells, +1 behind them. */
static int cut_of(const struct store_bound *b, bool is_from)
{
	if (b->count == 0)
		return is_from ? -1 : 1;
	return (b->kind == STORE_INCLUSIVE) == is_from ? -1 : 1;
}

static int compare_bounds(const struct store_table *t, const struct store_bound *a, bool a_from, const struct store_bound *b, bool b_from)
{
	uint16_t common = a->count < b->count ? a->count : b->count;
	int order = compare_cells(t, a->cells, b->cells, common);
	if (order)
		return order;
	int cut_a = cut_of(a, a_from), cut_b = cut_of(b, b_from);
	if (a->count == b->count)
		return cut_a - cut_b;
	return a->count < b->count ? cut_a : -cut_b;
}

struct sorting {
	const struct store_table *table;
	uint32_t count;
};

static int compare_rows(const void *a, const void *b, void *arg)
{
	const struct sorting *s = arg;
	return compare_cells(s->table, *(struct store_cell *const *)a, *(struct store_cell *const *)b, s->count);
}

static enum sm_err add_slice(struct cql_eval *e, struct cql_keys *keys, uint32_t *cap, struct cql_slice slice)
{
	if (compare_bounds(e->table, &slice.from, true, &slice.to, false) >= 0)
		return SM_OK; /* empty */
	keys->slices = cql__grow(e->context->arena, keys->slices, keys->slice_count, cap, sizeof *keys->slices);
	if (!keys->slices)
		return cql__no_memory(e->context->err, e->context->arena);
	keys->slices[keys->slice_count++] = slice;
	return SM_OK;
}

/* prefix of filled cells and the restriction's values behind it. */
static enum sm_err bound_cells(struct cql_eval *e, const struct store_cell *prefix, uint32_t filled, const struct cql_restriction *r,
			       struct store_cell **ret_cells)
{
	struct store_cell *cells = arena_alloc(e->context->arena, sizeof *cells * (filled + (r ? r->column_count : 0) + 1u));
	if (!cells)
		return cql__no_memory(e->context->err, e->context->arena);
	if (filled)
		memcpy(cells, prefix, sizeof *cells * filled);
	for (uint16_t i = 0; r && i < r->column_count; i++) {
		enum sm_err err = key_value(e, r->values[i], &cells[filled + i]);
		if (err)
			return err;
	}
	*ret_cells = cells;
	return SM_OK;
}

static enum store_bound_kind kind_of(const struct cql_restriction *r)
{
	return r->op == CQL_GE || r->op == CQL_LE ? STORE_INCLUSIVE : STORE_EXCLUSIVE;
}

/* The intervals of one comparison, at most one a column; in clustering order they need not be. */
static enum sm_err intervals(struct cql_eval *e, const struct store_cell *prefix, uint16_t filled, const struct cql_restriction *r,
			     struct cql_slice **ret_slices, uint32_t *ret_count)
{
	struct store_cell *cells = NULL;
	struct store_bound whole = {filled ? STORE_INCLUSIVE : STORE_UNBOUNDED, filled, prefix};
	enum sm_err err = bound_cells(e, prefix, filled, r, &cells);
	if (err)
		return err;
	uint16_t n = r ? r->column_count : 1;
	struct cql_slice *slices = arena_alloc(e->context->arena, sizeof *slices * n);
	if (!slices)
		return cql__no_memory(e->context->err, e->context->arena);
	*ret_slices = slices;
	*ret_count = n;
	if (!r) {
		slices[0] = (struct cql_slice){whole, whole};
		return SM_OK;
	}
	bool greater = r->op == CQL_GT || r->op == CQL_GE, same = true;
	for (uint16_t i = 1; i < n; i++)
		same &= clustering_column(e->table, filled + i)->descending == clustering_column(e->table, filled)->descending;
	if (same)
		*ret_count = n = 1;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t last = same ? r->column_count : (uint16_t)(i + 1);
		bool final = same || i + 1 == n;
		struct store_bound value = {final ? kind_of(r) : STORE_EXCLUSIVE, (uint16_t)(filled + last), cells};
		uint16_t around = (uint16_t)(filled + (same ? 0 : i));
		struct store_bound equal = {around ? STORE_INCLUSIVE : STORE_UNBOUNDED, around, cells};
		bool value_first = greater != clustering_column(e->table, around)->descending;
		slices[i] = value_first ? (struct cql_slice){value, equal} : (struct cql_slice){equal, value};
	}
	return SM_OK;
}

struct slice_sorting {
	const struct store_table *table;
};

static int compare_slices(const void *a, const void *b, void *arg)
{
	const struct slice_sorting *s = arg;
	return compare_bounds(s->table, &((const struct cql_slice *)a)->from, true, &((const struct cql_slice *)b)->from, true);
}

static enum sm_err slice_of_prefix(struct cql_eval *e, const struct store_cell *prefix, uint16_t filled, const struct cql_clustering *part,
				   struct cql_keys *keys, uint32_t *cap)
{
	struct cql_slice *low, *high;
	uint32_t lows, highs, start = keys->slice_count;
	enum sm_err err = intervals(e, prefix, filled, part ? part->low : NULL, &low, &lows);
	if (err || (err = intervals(e, prefix, filled, part ? part->high : NULL, &high, &highs)))
		return err;
	for (uint32_t i = 0; i < lows; i++)
		for (uint32_t k = 0; k < highs; k++) {
			struct cql_slice both = low[i];
			if (compare_bounds(e->table, &high[k].from, true, &both.from, true) > 0)
				both.from = high[k].from;
			if (compare_bounds(e->table, &high[k].to, false, &both.to, false) < 0)
				both.to = high[k].to;
			if ((err = add_slice(e, keys, cap, both)))
				return err;
		}
	struct slice_sorting s = {e->table};
	if (keys->slice_count - start > 1)
		qsort_r(keys->slices + start, keys->slice_count - start, sizeof *keys->slices, compare_slices, &s);
	return SM_OK;
}

static enum sm_err slices(struct cql_eval *e, const struct cql_where *where, struct cql_keys *keys)
{
	struct store_cell **rows;
	uint32_t count, cap = 0;
	uint16_t filled = 0;
	const struct cql_clustering *last = NULL;
	enum sm_err err = start_rows(e, e->table->clustering_count, &rows, &count);
	if (err)
		return err;
	for (uint32_t i = 0; i < where->clustering_count; i++) {
		const struct cql_clustering *p = &where->clustering[i];
		if (!p->equal) {
			last = p;
			break;
		}
		if ((err = extend(e, p->equal, filled, e->table->clustering_count, &rows, &count)))
			return err;
		filled = (uint16_t)(filled + p->equal->column_count);
	}
	struct sorting s = {e->table, filled};
	if (count > 1)
		qsort_r(rows, count, sizeof *rows, compare_rows, &s);
	for (uint32_t i = 0; i < count; i++) {
		if (i && compare_rows(&rows[i - 1], &rows[i], &s) == 0)
			continue;
		if ((err = slice_of_prefix(e, rows[i], filled, last, keys, &cap)))
			return err;
	}
	return SM_OK;
}

static enum sm_err token_bound(struct cql_eval *e, const struct cql_restriction *r, int64_t *ret)
{
	struct store_cell v;
	enum sm_err err = key_value(e, r->values[0], &v);
	if (err)
		return err;
	if (v.size != 8)
		return cql__fail(e->context->err, CQL_INVALID, "Invalid token for Murmur3Partitioner");
	*ret = (int64_t)be64_get(v.data);
	return SM_OK;
}

/* Cassandra takes the least long as the least token: no key has it, so > and >= of it are all keys, and as an upper bound it is none. */
static enum sm_err token_range(struct cql_eval *e, const struct cql_where *where, struct cql_keys *keys)
{
	int64_t v = 0;
	enum sm_err err;
	keys->token_from = INT64_MIN;
	keys->token_to = INT64_MAX;
	if (where->token_equal) {
		if ((err = token_bound(e, where->token_equal, &v)))
			return err;
		keys->token_from = keys->token_to = v;
	}
	if (where->token_low) {
		if ((err = token_bound(e, where->token_low, &v)))
			return err;
		if (where->token_low->op == CQL_GT && v == INT64_MAX)
			keys->empty = true;
		else
			keys->token_from = where->token_low->op == CQL_GT ? v + 1 : v;
	}
	if (where->token_high) {
		if ((err = token_bound(e, where->token_high, &v)))
			return err;
		if (v == INT64_MIN)
			return SM_OK; /* the ring's end, as drivers' last range writes it */
		keys->token_to = where->token_high->op == CQL_LT ? v - 1 : v;
	}
	keys->empty |= keys->token_from > keys->token_to;
	return SM_OK;
}

enum sm_err cql__keys(struct cql_eval *e, const struct cql_where *where, struct cql_keys *ret_keys)
{
	struct cql_keys keys = {0};
	enum sm_err err = where->partition ? partitions(e, where, &keys) : token_range(e, where, &keys);
	if (!err)
		err = slices(e, where, &keys);
	if (err)
		return err;
	keys.empty |= keys.slice_count == 0 || (where->partition && keys.partition_count == 0);
	*ret_keys = keys;
	return SM_OK;
}

/* ---- filters ---- */

static bool holds(enum cql_operator op, int order)
{
	switch (op) {
	case CQL_EQ: return order == 0;
	case CQL_LT: return order < 0;
	case CQL_LE: return order <= 0;
	case CQL_GT: return order > 0;
	case CQL_GE: return order >= 0;
	default: return false;
	}
}

/* Texts without regard to the case of letters a to z. */
static int compare_folded(struct store_cell a, struct store_cell b)
{
	int32_t common = a.size < b.size ? a.size : b.size;
	int order = common > 0 ? strncasecmp((const char *)a.data, (const char *)b.data, (size_t)common) : 0;
	return order ? order : (a.size > b.size) - (a.size < b.size);
}

static enum sm_err compare_row(struct cql_eval *e, const struct cql_restriction *r, const struct store_cell *values, enum cql_operator op,
			       bool *ret)
{
	int order = 0;
	*ret = false;
	if (r->token) {
		int64_t v = values[0].size == 8 ? (int64_t)be64_get(values[0].data) : 0;
		*ret = holds(op, e->row->token < v ? -1 : e->row->token > v);
		return SM_OK;
	}
	for (uint16_t i = 0; i < r->column_count && order == 0; i++) {
		struct store_cell cell = e->row->cells[r->columns[i] - e->table->columns];
		if (cell.size < 0)
			return SM_OK;
		order = r->folds ? compare_folded(cell, values[i]) : store_compare(&r->columns[i]->type, cell, values[i]);
	}
	*ret = holds(op, order);
	return SM_OK;
}

/* Columns that are no keys have other words for null. */
static enum sm_err filter_value(struct cql_eval *e, const struct cql_restriction *r, const struct cql_expr *x, struct store_cell *ret)
{
	enum sm_err err = cql__eval(e, x, ret);
	if (!err && ret->size == -1 && !r->token && r->columns[0]->kind > STORE_CLUSTERING)
		return cql__fail(e->context->err, CQL_INVALID, "Unsupported null value for column %s", x->name);
	return err ? err : not_null(e, x, *ret);
}

static enum sm_err filter_one(struct cql_eval *e, const struct cql_restriction *r, bool *ret)
{
	struct store_cell *values;
	uint32_t count, width = r->token ? 1 : r->column_count;
	enum sm_err err = SM_OK;
	if (r->key || r->op == CQL_CONTAINS || r->op == CQL_CONTAINS_KEY)
		return cql__filter_elements(e, r, ret);
	if (r->op == CQL_IN) {
		err = tuples(e, r, &values, &count);
		*ret = false;
		for (uint32_t i = 0; !err && i < count && !*ret; i++)
			err = compare_row(e, r, values + (size_t)i * width, CQL_EQ, ret);
		return err;
	}
	values = arena_alloc(e->context->arena, sizeof *values * width);
	if (!values)
		return cql__no_memory(e->context->err, e->context->arena);
	for (uint32_t i = 0; i < width; i++)
		if ((err = filter_value(e, r, r->values[i], &values[i])))
			return err;
	return compare_row(e, r, values, r->op, ret);
}

enum sm_err cql__filter(struct cql_eval *e, const struct cql_where *where, bool all, bool *ret_passes)
{
	*ret_passes = true;
	for (uint32_t i = 0; i < where->count && *ret_passes; i++) {
		const struct cql_restriction *r = &where->restrictions[i];
		if (!all && (r->used || r->token))
			continue;
		enum sm_err err = filter_one(e, r, ret_passes);
		if (err)
			return err;
	}
	return SM_OK;
}
