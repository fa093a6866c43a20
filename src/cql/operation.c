/* What UPDATE and DELETE do to one column: values, elements, fields, counters. The rules of what goes with which type, and their texts, are
 * Cassandra's. Operations at a list's index or values read the list first, as there; nothing else reads. */
#include "cql/arithmetic.h"

#include <stdio.h>
#include <string.h>

/* ---- analysis ---- */

bool cql__has_counters(const struct store_table *t)
{
	uint16_t first = (uint16_t)(t->partition_key_count + t->clustering_count);
	return first < t->column_count && t->columns[first].type.id == STORE_COUNTER; /* all are, or none */
}

/* The operation as Cassandra writes it. */
static const char *text_of(struct cql_analysis *a, const struct cql_assign *s)
{
	struct arena *arena = a->c->arena;
	const char *value = cql__term_text(s->value, arena), *text = NULL;
	switch (s->kind) {
	case CQL_SET_VALUE: text = arena_printf(arena, "%s = %s", s->column, value); break;
	case CQL_SET_SUBSCRIPT: text = arena_printf(arena, "%s[%s] = %s", s->column, cql__term_text(s->subscript, arena), value); break;
	case CQL_SET_FIELD: text = arena_printf(arena, "%s.%s = %s", s->column, s->field, value); break;
	case CQL_SET_ADD: text = arena_printf(arena, "%s = %s + %s", s->column, s->column, value); break;
	case CQL_SET_SUBTRACT: text = arena_printf(arena, "%s = %s - %s", s->column, s->column, value); break;
	case CQL_SET_PREPEND: text = arena_printf(arena, "%s = %s - %s", s->column, value, s->column); break;
	}
	return text ? text : "";
}

static enum sm_err invalid(struct cql_analysis *a, const struct cql_assign *s, const char *what)
{
	return cql__fail(a->c->err, CQL_INVALID, "Invalid operation (%s) for %s column %s", text_of(a, s), what, s->column);
}

static const char *named(struct cql_analysis *a, const char *part, const char *column)
{
	const char *text = arena_printf(a->c->arena, "%s(%s)", part, column);
	return text ? text : column;
}

static bool is_collection(const struct store_type *type)
{
	return type->id >= STORE_LIST && type->id <= STORE_SET;
}

struct building {
	struct cql_analysis *a;
	const struct cql_assign *assign;
	const struct store_column *column;
	struct cql_modify_plan *plan;
	struct cql_operation op;
	struct cql_expr *value;
};

static enum sm_err counter_value(struct building *b)
{
	struct cql_error *err = b->a->c->err;
	enum sm_err failed = cql__term(b->a, b->assign->value, &b->column->type, b->column->name, &b->value);
	if (!failed && b->value->kind == CQL_EXPR_CONST && b->value->cell.size < 0)
		failed = cql__fail(err, CQL_INVALID, "Invalid null value for counter increment/decrement");
	return failed;
}

/* n = n + 1 of numbers and texts: only where the row is read anyway, for a condition. */
static enum sm_err calculated(struct building *b)
{
	struct cql_analysis *a = b->a;
	const struct store_column *column = b->column;
	enum store_type_id id = column->type.id;
	if (!b->plan->condition_kind || b->assign->kind == CQL_SET_SUBTRACT)
		return invalid(a, b->assign, "non counter");
	if (!cql__arithmetic_type('+', id, id))
		return cql__fail(a->c->err, CQL_INVALID, "Invalid operation (%s = %s + %s) for non-numeric and non-text type %s",
				 column->name, column->name, cql__term_text(b->assign->value, a->c->arena), column->name);
	struct cql_term *operation = cql__new(a, sizeof *operation);
	struct cql_expr *args[2] = {cql__new(a, sizeof **args), NULL};
	if (!operation || !args[0])
		return SM_NO_MEMORY;
	*operation = (struct cql_term){.kind = CQL_TERM_OPERATION, .op = '+', .arg_count = 2};
	*args[0] = (struct cql_expr){
		.kind = CQL_EXPR_COLUMN, .type = &column->type, .name = column->name, .index = (uint32_t)(column - a->table->columns)};
	enum sm_err err = cql__term(a, b->assign->value, &column->type, column->name, &args[1]);
	if (err)
		return err;
	b->op.kind = CQL_OP_CALCULATE;
	b->plan->needs_row = true;
	return cql__arithmetic(a, operation, args, &b->value);
}

/* c + v, c - v, v + c */
static enum sm_err add_or_subtract(struct building *b)
{
	struct cql_analysis *a = b->a;
	const struct cql_assign *s = b->assign;
	const struct store_type *type = &b->column->type, *value_type = type;
	bool collection = is_collection(type), list = type->id == STORE_LIST;
	if (s->kind == CQL_SET_PREPEND && !list)
		return invalid(a, s, "non list");
	if (s->kind == CQL_SET_PREPEND && type->frozen)
		return invalid(a, s, "frozen list");
	if (type->id == STORE_TUPLE || type->id == STORE_UDT)
		return invalid(a, s, "tuple");
	if (collection && type->frozen)
		return invalid(a, s, "frozen collection");
	if (type->id == STORE_COUNTER) {
		b->op.kind = s->kind == CQL_SET_ADD ? CQL_OP_ADD : CQL_OP_SUBTRACT;
		return counter_value(b);
	}
	if (!collection)
		return calculated(b);
	b->op.kind = s->kind == CQL_SET_ADD       ? CQL_OP_ADD
		     : s->kind == CQL_SET_PREPEND ? CQL_OP_PREPEND
		     : list                       ? CQL_OP_DISCARD
						  : CQL_OP_REMOVE;
	if (b->op.kind == CQL_OP_REMOVE && type->id == STORE_MAP) { /* the keys that go */
		struct store_type *set = cql__new(a, sizeof *set);
		if (!set)
			return SM_NO_MEMORY;
		*set = (struct store_type){STORE_SET, 1, type->elements};
		value_type = set;
		if (s->value->kind != CQL_TERM_SET && s->value->kind != CQL_TERM_MARKER && s->value->kind != CQL_TERM_NULL)
			return cql__fail(a->c->err, CQL_INVALID, "Value for a map substraction has to be a set, but was: '%s'",
					 cql__term_text(s->value, a->c->arena));
	}
	return cql__term(a, s->value, value_type, b->column->name, &b->value);
}

static enum sm_err subscript(struct building *b, bool removed)
{
	struct cql_analysis *a = b->a;
	const struct cql_assign *s = b->assign;
	const struct store_type *type = &b->column->type;
	const char *name = b->column->name;
	if (removed && (!is_collection(type) || type->frozen))
		return cql__fail(a->c->err, CQL_INVALID, "Invalid deletion operation for %s column %s",
				 is_collection(type) ? "frozen collection" : "non collection", name);
	if (!is_collection(type))
		return invalid(a, s, "non collection");
	if (type->frozen)
		return invalid(a, s, "frozen collection");
	if (type->id == STORE_SET && !removed)
		return invalid(a, s, "set");
	bool list = type->id == STORE_LIST;
	b->op.kind = list ? CQL_OP_LIST_INDEX : CQL_OP_ELEMENT;
	enum sm_err err = cql__term(a, s->subscript, list ? cql__type(STORE_INT) : &type->elements[0],
				    named(a,
					  list                    ? "idx"
					  : type->id == STORE_MAP ? "key"
								  : "value",
					  name),
				    &b->op.key);
	if (err || removed)
		return err;
	return cql__term(a, s->value, &type->elements[list ? 0 : 1], named(a, "value", name), &b->value);
}

static enum sm_err field(struct building *b, bool removed)
{
	struct cql_analysis *a = b->a;
	const struct cql_assign *s = b->assign;
	const struct store_type *type = &b->column->type;
	const char *name = b->column->name;
	uint8_t path[2];
	if (type->id != STORE_UDT)
		return removed ? cql__fail(a->c->err, CQL_INVALID, "Invalid field deletion operation for non-UDT column %s", name)
			       : invalid(a, s, "non-UDT");
	if (type->frozen)
		return removed ? cql__fail(a->c->err, CQL_INVALID, "Frozen UDT column %s does not support field deletions", name)
			       : invalid(a, s, "frozen UDT");
	int at = cql__field_of(type, s->field);
	if (at < 0)
		return cql__fail(a->c->err, CQL_INVALID, "UDT column %s does not have a field named %s", name, s->field);
	b->op.kind = CQL_OP_ELEMENT;
	if (!(b->op.key = cql__new(a, sizeof *b->op.key)))
		return SM_NO_MEMORY;
	be16_put(path, (uint16_t)at);
	*b->op.key = (struct cql_expr){.kind = CQL_EXPR_CONST, .name = s->field, .cell = cql__cell(a->c->arena, path, 2)};
	if (!b->op.key->cell.data)
		return cql__no_memory(a->c->err, a->c->arena);
	const char *part = arena_printf(a->c->arena, "%s.%s", name, s->field);
	return removed ? SM_OK : cql__term(a, s->value, &type->elements[at], part ? part : name, &b->value);
}

static enum sm_err whole(struct building *b, bool removed)
{
	struct cql_analysis *a = b->a;
	if (removed)
		return SM_OK;
	if (b->column->type.id == STORE_COUNTER)
		return b->assign->value->kind == CQL_TERM_NULL
			       ? cql__fail(a->c->err, CQL_INVALID, "Invalid null value for counter increment/decrement")
			       : cql__fail(a->c->err, CQL_INVALID,
					   "Cannot set the value of counter column %s (counters can only be incremented/decremented, not "
					   "set)",
					   b->column->name);
	return cql__term(a, b->assign->value, &b->column->type, b->column->name, &b->value);
}

enum sm_err cql__operation(struct cql_analysis *a, const struct cql_assign *assign, const struct store_column *column, bool removed,
			   struct cql_modify_plan *plan)
{
	struct building b = {.a = a, .assign = assign, .column = column, .plan = plan};
	enum sm_err err;
	switch (assign->kind) {
	case CQL_SET_SUBSCRIPT: err = subscript(&b, removed); break;
	case CQL_SET_FIELD: err = field(&b, removed); break;
	case CQL_SET_ADD:
	case CQL_SET_SUBTRACT:
	case CQL_SET_PREPEND: err = add_or_subtract(&b); break;
	default: err = whole(&b, removed); break;
	}
	if (err)
		return err;
	plan->reads |= b.op.kind == CQL_OP_LIST_INDEX || b.op.kind == CQL_OP_DISCARD;
	plan->columns[plan->count] = column;
	plan->values[plan->count] = b.value;
	plan->operations[plan->count++] = b.op;
	return SM_OK;
}

/* ---- running ---- */

static enum sm_err counter(struct cql_eval *e, const struct cql_operation *op, struct store_assignment *s, bool *ret_any)
{
	struct cql_error *err = e->context->err;
	s->how = STORE_ADD_ELEMENTS;
	if (s->value.size < 0)
		return cql__fail(err, CQL_INVALID, "Invalid null value for counter increment");
	*ret_any = s->value.size == 8;
	if (op->kind != CQL_OP_SUBTRACT || !*ret_any)
		return SM_OK;
	int64_t v = (int64_t)be64_get(s->value.data);
	if (v == INT64_MIN)
		return cql__fail(err, CQL_INVALID, "The negation of %lld overflows supported counter precision (signed 8 bytes integer)",
				 (long long)v);
	s->value = cql__cell_long(e->context->arena, -v);
	return s->value.data ? SM_OK : cql__no_memory(err, e->context->arena);
}

static enum sm_err element_key(struct cql_eval *e, const struct cql_expr *key, const struct store_type *type, struct store_cell *ret)
{
	enum sm_err err = cql__eval(e, key, ret);
	const char *what = type->id == STORE_LIST ? "value for list index" : type->id == STORE_MAP ? "map key" : "set element";
	if (!err && ret->size < 0)
		err = cql__fail(e->context->err, CQL_INVALID, "Invalid %s %s", ret->size == CQL_UNSET ? "unset" : "null", what);
	return err;
}

enum sm_err cql__assignment(struct cql_eval *e, const struct cql_modify_plan *p, uint32_t i, struct store_assignment *ret, bool *ret_any)
{
	const struct cql_operation *op = &p->operations[i];
	struct store_assignment s = {.column = p->columns[i], .value = cql__null()};
	enum sm_err err = p->values[i] ? cql__eval(e, p->values[i], &s.value) : SM_OK;
	*ret_any = false;
	if (err)
		return err;
	bool unset = s.value.size == CQL_UNSET;
	if (op->kind == CQL_OP_ELEMENT) {
		s.how = STORE_ASSIGN_ELEMENT;
		if ((err = element_key(e, op->key, &s.column->type, &s.path)))
			return err;
	}
	if (unset || op->kind == CQL_OP_LIST_INDEX || op->kind == CQL_OP_DISCARD)
		return SM_OK;
	*ret_any = true;
	switch (op->kind) {
	case CQL_OP_ADD:
	case CQL_OP_SUBTRACT:
		if (s.column->type.id == STORE_COUNTER)
			err = counter(e, op, &s, ret_any);
		else
			s.how = STORE_ADD_ELEMENTS;
		break;
	case CQL_OP_CALCULATE: *ret_any = s.value.size >= 0; break; /* null + 1 changes nothing */
	case CQL_OP_PREPEND: s.how = STORE_PREPEND_ELEMENTS; break;
	case CQL_OP_REMOVE: s.how = STORE_REMOVE_ELEMENTS; break;
	default: break;
	}
	/* adding or taking away null does nothing */
	if (s.how != STORE_ASSIGN && s.how != STORE_ASSIGN_ELEMENT && s.value.size < 0)
		*ret_any = false;
	*ret = s;
	return err;
}

struct reading {
	struct cql_eval *e;
	const struct cql_modify_plan *plan;
	struct store_assignment *cells;
	uint32_t count, cap;
};

static enum sm_err add(struct reading *r, struct store_assignment s)
{
	r->cells = cql__grow(r->e->context->arena, r->cells, r->count, &r->cap, sizeof *r->cells);
	if (!r->cells)
		return cql__no_memory(r->e->context->err, r->e->context->arena);
	r->cells[r->count++] = s;
	return SM_OK;
}

static struct store_cell copy(struct reading *r, struct store_cell v)
{
	return cql__cell(r->e->context->arena, v.data, (size_t)v.size);
}

static enum sm_err at_index(struct reading *r, uint32_t i, const struct store_elements *list)
{
	struct cql_error *fail = r->e->context->err;
	const struct cql_operation *op = &r->plan->operations[i];
	bool removed = !r->plan->values[i];
	struct store_cell index, value = cql__null();
	enum sm_err err = cql__eval(r->e, op->key, &index);
	if (err || (!removed && (err = cql__eval(r->e, r->plan->values[i], &value))))
		return err;
	if (removed && index.size == CQL_UNSET)
		return SM_OK;
	if (index.size != 4)
		return cql__fail(fail, CQL_INVALID, "Invalid %s value for list index", index.size == CQL_UNSET ? "unset" : "null");
	int32_t at = (int32_t)be32_get(index.data);
	if (!list->count)
		return cql__fail(fail, CQL_INVALID,
				 removed ? "Attempted to delete an element from a list which is null"
					 : "Attempted to set an element on a list which is null");
	if (at < 0 || (uint32_t)at >= list->count)
		return cql__fail(fail, CQL_INVALID, "List index %d out of bound, list has size %u", at, list->count);
	if (value.size == CQL_UNSET)
		return SM_OK;
	struct store_assignment s = {r->plan->columns[i], value, STORE_ASSIGN_ELEMENT, copy(r, list->items[at].path)};
	return s.path.data ? add(r, s) : cql__no_memory(fail, r->e->context->arena);
}

static enum sm_err discard(struct reading *r, uint32_t i, const struct store_elements *list)
{
	const struct store_column *column = r->plan->columns[i];
	struct store_cell values, *cells;
	uint32_t count;
	enum sm_err err = cql__eval(r->e, r->plan->values[i], &values);
	if (err || values.size < 0 || (err = cql__unpack(r->e->context, &column->type, values, &cells, &count)))
		return err;
	for (uint32_t k = 0; k < list->count; k++)
		for (uint32_t n = 0; n < count; n++) {
			if (store_compare(&column->type.elements[0], cells[n], list->items[k].value) != 0)
				continue;
			struct store_assignment s = {column, cql__null(), STORE_ASSIGN_ELEMENT, copy(r, list->items[k].path)};
			if ((err = s.path.data ? add(r, s) : cql__no_memory(r->e->context->err, r->e->context->arena)))
				return err;
			break;
		}
	return SM_OK;
}

static enum sm_err with_row(struct reading *r, const struct store_row *row)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; !err && i < r->plan->count; i++) {
		const struct cql_operation *op = &r->plan->operations[i];
		size_t at = (size_t)(r->plan->columns[i] - r->plan->table->columns);
		struct store_elements list = row ? row->elements[at] : (struct store_elements){0};
		if (op->kind == CQL_OP_LIST_INDEX)
			err = at_index(r, i, &list);
		else if (op->kind == CQL_OP_DISCARD)
			err = discard(r, i, &list);
	}
	return err;
}

enum sm_err cql__row_assignments(struct cql_eval *e, const struct cql_modify_plan *p, const struct store_row *row, struct store_mutation *m)
{
	struct reading r = {.e = e, .plan = p};
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; !err && i < m->cell_count; i++)
		err = add(&r, m->cells[i]);
	if (!err)
		err = with_row(&r, row);
	m->cells = r.cells;
	m->cell_count = r.count;
	return err;
}

enum sm_err cql__read_assignments(struct cql_eval *e, const struct cql_modify_plan *p, struct store_mutation *m)
{
	struct sm_store *store = e->context->engine->store;
	struct store_read read = {.table = p->table, .partition_key = m->partition_key, .statics_only = p->statics_only};
	struct store_cursor *cursor;
	const struct store_row *row = NULL;
	struct sm_error why = {0};
	if (m->clustering)
		read.from = read.to = (struct store_bound){STORE_INCLUSIVE, p->table->clustering_count, m->clustering};
	enum sm_err err = store->ops->open(store, &read, &cursor, &why);
	if (err)
		return cql__fail_store(e->context->err, err, why.text);
	err = store->ops->next(cursor, &row);
	if (err && err != SM_END)
		err = cql__fail_store(e->context->err, err, NULL);
	else
		err = cql__row_assignments(e, p, err ? NULL : row, m);
	store->ops->close_cursor(cursor);
	return err;
}
