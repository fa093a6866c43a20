/* Selected parts of columns: m['a'], m['b'..'c'], s['x'], a.street, and the write times and ttls of elements. */
#include "cql/plan.h"

#include <string.h>

static struct cql_expr *new_part(struct cql_analysis *a, enum cql_expr_kind kind, const struct store_type *type, struct cql_expr *base)
{
	struct cql_expr *x = cql__new(a, sizeof *x);
	if (!x || !(x->args = cql__new(a, sizeof *x->args * 3)))
		return NULL;
	x->kind = kind;
	x->type = type;
	x->args[0] = base;
	x->arg_count = 1;
	return x;
}

static enum sm_err field(struct cql_analysis *a, const struct cql_term *t, struct cql_expr *base, const char *text,
			 struct cql_expr **ret_expr)
{
	const char *type = cql_type_text(base->type, a->c->arena);
	int at = base->type->id == STORE_UDT ? cql__field_of(base->type, t->name) : -1;
	if (base->type->id != STORE_UDT)
		return cql__fail(a->c->err, CQL_INVALID, "Invalid field selection: %s of type %s is not a user type", text, type);
	if (at < 0)
		return cql__fail(a->c->err, CQL_INVALID, "%s of type %s has no field %s", text, type, t->name);
	struct cql_expr *x = new_part(a, CQL_EXPR_FIELD, &base->type->elements[at], base);
	if (!x)
		return SM_NO_MEMORY;
	x->index = (uint32_t)at;
	*ret_expr = x;
	return SM_OK;
}

enum sm_err cql__selected_part(struct cql_analysis *a, const struct cql_term *t, struct cql_expr *base, struct cql_expr **ret_expr)
{
	struct cql_error *err = a->c->err;
	const char *text = cql__term_text(t->args[0], a->c->arena), *type = cql_type_text(base->type, a->c->arena);
	enum store_type_id id = base->type->id;
	bool slice = t->kind == CQL_TERM_SLICE;
	if (t->kind == CQL_TERM_FIELD)
		return field(a, t, base, text, ret_expr);
	if (id == STORE_LIST)
		return cql__fail(err, CQL_INVALID, "%s selection is only allowed on sets and maps, but %s is a list",
				 slice ? "Slice" : "Element", text);
	if (id != STORE_MAP && id != STORE_SET)
		return cql__fail(err, CQL_INVALID,
				 slice ? "Invalid slice selection: %s of type %s is not a collection"
				       : "Invalid element selection: %s is of type %s is not a collection",
				 text, type);
	struct cql_expr *x = new_part(a, slice ? CQL_EXPR_SLICE : CQL_EXPR_ELEMENT,
				      slice ? base->type : &base->type->elements[id == STORE_MAP ? 1 : 0], base);
	const char *key = arena_printf(a->c->arena, "%s(%s)", id == STORE_MAP ? "key" : "value", text);
	if (!x)
		return SM_NO_MEMORY;
	for (uint32_t i = 1; i < t->arg_count; i++) {
		enum sm_err failed = t->args[i] ? cql__term(a, t->args[i], &base->type->elements[0], key ? key : text, &x->args[i]) : SM_OK;
		if (failed)
			return failed;
	}
	x->arg_count = t->arg_count;
	*ret_expr = x;
	return SM_OK;
}

/* ---- values ---- */

static enum sm_err key_of(struct cql_eval *e, const struct cql_expr *x, uint32_t i, struct store_cell *ret)
{
	*ret = cql__null();
	if (!x->args[i])
		return SM_OK;
	enum sm_err err = cql__eval(e, x->args[i], ret);
	if (!err && ret->size < 0)
		err = cql__fail(e->context->err, CQL_INVALID, "Invalid %s value for %s", ret->size == CQL_UNSET ? "unset" : "null",
				x->args[i]->name);
	return err;
}

/* 0: within the part that is selected. */
static int place(const struct cql_expr *x, const struct store_type *key, struct store_cell at, struct store_cell from, struct store_cell to)
{
	if (x->kind == CQL_EXPR_ELEMENT)
		return store_compare(key, at, from);
	if (x->args[1] && store_compare(key, at, from) < 0)
		return -1;
	return x->args[2] && store_compare(key, at, to) > 0 ? 1 : 0;
}

static enum sm_err slice(struct cql_eval *e, const struct cql_expr *x, struct store_cell base, struct store_cell from, struct store_cell to,
			 struct store_cell *ret)
{
	const struct store_type *type = x->args[0]->type;
	uint32_t width = type->id == STORE_MAP ? 2 : 1, count, kept = 0;
	struct store_cell *cells;
	enum sm_err err = cql__unpack(e->context, type, base, &cells, &count);
	if (err)
		return err;
	for (uint32_t i = 0; i < count; i += width) {
		if (place(x, &type->elements[0], cells[i], from, to) != 0)
			continue;
		if (x->kind == CQL_EXPR_ELEMENT) {
			*ret = cells[i + width - 1];
			return SM_OK;
		}
		memmove(&cells[kept], &cells[i], sizeof *cells * width);
		kept += width;
	}
	bool empty = kept == 0 && (x->kind == CQL_EXPR_ELEMENT || store_type_multi_cell(type));
	*ret = cql__null();
	return empty ? SM_OK : cql__pack(e->context, type, cells, kept, ret);
}

/* The elements that are selected, as the column's cells have them. */
static bool selected(const struct cql_expr *x, const struct store_type *type, const struct store_element *item, struct store_cell from,
		     struct store_cell to)
{
	if (!x)
		return true;
	if (x->kind == CQL_EXPR_FIELD)
		return be16_get(item->path.data) == x->index;
	return place(x, &type->elements[0], item->path, from, to) == 0;
}

static struct store_cell time_of(struct cql_eval *e, const struct cql_expr *x, const struct store_element *item)
{
	if (!x->star)
		return cql__cell_long(e->context->arena, item->timestamp_us);
	return item->ttl_s > 0 ? cql__cell_int(e->context->arena, item->ttl_s) : cql__null();
}

/* A list of all times, in it null for a field that is not there; or the one time of an element or a field. */
static enum sm_err times(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	const struct store_type *type = &e->table->columns[x->index].type;
	const struct cql_expr *part = x->arg_count ? x->args[0] : NULL;
	struct store_elements all = e->row->elements ? e->row->elements[x->index] : (struct store_elements){0};
	struct store_cell from = cql__null(), to = cql__null();
	if (!store_type_multi_cell(type)) { /* its one cell has one time, if the part is there */
		enum sm_err failed = cql__eval(e, part, &from);
		struct store_element whole = {.timestamp_us = e->row->timestamps_us ? e->row->timestamps_us[x->index] : 0,
					      .ttl_s = e->row->ttls_s ? e->row->ttls_s[x->index] : 0};
		*ret = failed || from.size < 0 ? cql__null() : time_of(e, x, &whole);
		return failed;
	}
	bool one = part && part->kind != CQL_EXPR_SLICE, fields = !part && type->id == STORE_UDT && all.count;
	uint32_t n = 0, next = 0;
	enum sm_err err = SM_OK;
	if (part && part->kind != CQL_EXPR_FIELD && !(err = key_of(e, part, 1, &from)) && part->kind == CQL_EXPR_SLICE)
		err = key_of(e, part, 2, &to);
	struct store_cell *cells = arena_alloc(e->context->arena, sizeof *cells * (all.count + type->element_count + 1u));
	*ret = cql__null();
	if (err || !cells)
		return err ? err : cql__no_memory(e->context->err, e->context->arena);
	for (uint32_t i = 0; i < all.count; i++) {
		if (!selected(part, type, &all.items[i], from, to))
			continue;
		for (; fields && next < be16_get(all.items[i].path.data); next++)
			cells[n++] = cql__null();
		cells[n++] = time_of(e, x, &all.items[i]);
		next++;
	}
	for (; fields && next < type->element_count; next++)
		cells[n++] = cql__null();
	if (n && one)
		*ret = cells[0];
	return n && !one ? cql__pack(e->context, x->type, cells, n, ret) : SM_OK;
}

/* CONTAINS, CONTAINS KEY and m['k'] = v of a row. */
enum sm_err cql__filter_elements(struct cql_eval *e, const struct cql_restriction *r, bool *ret)
{
	const struct store_column *column = r->columns[0];
	const struct store_type *type = &column->type;
	uint32_t width = type->id == STORE_MAP ? 2 : 1, at = width == 2 && r->op == CQL_CONTAINS ? 1 : 0, count;
	struct store_cell value = cql__null(), key = cql__null(), cell = e->row->cells[column - e->table->columns], *cells;
	enum sm_err err = cql__eval(e, r->values[0], &value);
	if (!err && r->key)
		err = cql__eval(e, r->key, &key);
	if (err)
		return err;
	if (r->key && key.size < 0)
		return cql__fail(e->context->err, CQL_INVALID, "Unsupported %s map key for column %s",
				 key.size == CQL_UNSET ? "unset" : "null", column->name);
	if (value.size < 0)
		return cql__fail(e->context->err, CQL_INVALID, "Unsupported %s %svalue for column %s",
				 value.size == CQL_UNSET ? "unset" : "null", r->key ? "map " : "", column->name);
	*ret = false;
	if (cell.size < 0 || (err = cql__unpack(e->context, type, cell, &cells, &count)))
		return err;
	for (uint32_t i = 0; i + width <= count && !*ret; i += width) {
		if (r->key)
			*ret = store_compare(&type->elements[0], cells[i], key) == 0 &&
			       store_compare(&type->elements[1], cells[i + 1], value) == 0;
		else
			*ret = store_compare(&type->elements[at], cells[i + at], value) == 0;
	}
	return SM_OK;
}

enum sm_err cql__eval_part(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	struct store_cell base, from, to = cql__null(), *cells;
	uint32_t count;
	if (x->kind == CQL_EXPR_ELEMENT_TIMES)
		return times(e, x, ret);
	enum sm_err err = cql__eval(e, x->args[0], &base);
	*ret = cql__null();
	if (err || base.size < 0)
		return err;
	if (x->kind == CQL_EXPR_FIELD) {
		err = cql__unpack(e->context, x->args[0]->type, base, &cells, &count);
		if (!err && x->index < count)
			*ret = cells[x->index];
		return err;
	}
	if ((err = key_of(e, x, 1, &from)) || (x->kind == CQL_EXPR_SLICE && (err = key_of(e, x, 2, &to))))
		return err;
	return slice(e, x, base, from, to, ret);
}
