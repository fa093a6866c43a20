/* Names to columns, operators to types. With a grouping, a name must be (part of) a group key or stand within an aggregate; a bound column
 * then counts keys first, aggregates behind them. */
#include "compute/sql_internal.h"
#include <assert.h>
#include <stdio.h>
#include <strings.h>

bool expr_is_integer(const struct expr *e)
{
	return !e->untyped && (e->type == COLUMN_INT32 || e->type == COLUMN_INT64);
}

static bool is_number(const struct expr *e)
{
	return expr_is_integer(e) || (!e->untyped && e->type == COLUMN_DOUBLE);
}

static const char *type_name(const struct expr *e)
{
	return e->untyped ? "NULL" : column_type_name(e->type);
}

struct expr *expr_new(struct binder *b, enum sql_op op, enum column_type type, const struct ast *at, uint32_t count)
{
	struct expr *e = arena_alloc(b->arena, sizeof *e);
	if (!e || (count && !(e->args = arena_alloc(b->arena, count * sizeof *e->args))))
		return NULL;
	e->op = op;
	e->type = type;
	e->count = count;
	if (at) {
		e->line = at->line;
		e->column = at->column;
	}
	return e;
}

struct expr *expr_column(struct binder *b, uint32_t index, enum column_type type)
{
	struct expr *e = expr_new(b, OP_COLUMN, type, NULL, 0);
	if (e)
		e->index = index;
	return e;
}

/* ---- types ---- */

/* What is turned into another type without being asked: wider numbers, and texts where the other side is no text. */
enum sm_err bind_coerce(struct binder *b, struct expr **e, enum column_type type)
{
	struct expr *from = *e;
	if (from->untyped) { /* NULL takes any type; a shared one is not changed under its other users */
		struct expr *null = expr_new(b, OP_LITERAL, type, NULL, 0);
		if (!null)
			return bind_no_memory(b);
		null->value = (struct value){.type = type, .null = true};
		*e = null;
		return SM_OK;
	}
	if (from->type == type)
		return SM_OK;
	bool widens = (from->type == COLUMN_INT32 && (type == COLUMN_INT64 || type == COLUMN_DOUBLE)) ||
		      (from->type == COLUMN_INT64 && type == COLUMN_DOUBLE) || (from->type == COLUMN_UUID && type == COLUMN_TEXT) ||
		      (from->type == COLUMN_TEXT && type != COLUMN_BLOB);
	if (!widens)
		return sql__fail(b->reterr, SM_TYPE, from->line, from->column, "%s where %s is expected", type_name(from),
				 column_type_name(type));
	struct expr *cast = expr_new(b, OP_CAST, type, NULL, 1);
	if (!cast)
		return bind_no_memory(b);
	cast->line = from->line;
	cast->column = from->column;
	cast->args[0] = from;
	*e = cast;
	return SM_OK;
}

enum sm_err bind_common(struct binder *b, const struct expr *x, const struct expr *y, enum column_type *ret)
{
	if (x->untyped || (!y->untyped && x->type == y->type)) {
		*ret = y->type;
	} else if (y->untyped) {
		*ret = x->type;
	} else if (is_number(x) && is_number(y)) {
		*ret = x->type == COLUMN_DOUBLE || y->type == COLUMN_DOUBLE ? COLUMN_DOUBLE : COLUMN_INT64;
	} else if ((x->type == COLUMN_TEXT) != (y->type == COLUMN_TEXT)) {
		const struct expr *text = x->type == COLUMN_TEXT ? x : y, *other = text == x ? y : x;
		*ret = other->type == COLUMN_INT32 ? COLUMN_INT64 : other->type;
		/* A constant is read as a uuid once; of two columns the uuid is shown as text, so that no row's text can fail. */
		if (other->type == COLUMN_UUID && text->op != OP_LITERAL)
			*ret = COLUMN_TEXT;
		if (other->type == COLUMN_BLOB)
			goto differ;
	} else {
		goto differ;
	}
	return SM_OK;
differ:
	return sql__fail(b->reterr, SM_TYPE, y->line, y->column, "%s and %s don't fit together: cast one of them", type_name(x),
			 type_name(y));
}

static enum sm_err coerce_both(struct binder *b, struct expr *e, uint32_t i, uint32_t k)
{
	enum column_type type;
	enum sm_err err;
	if ((err = bind_common(b, e->args[i], e->args[k], &type)) || (err = bind_coerce(b, &e->args[i], type)))
		return err;
	return bind_coerce(b, &e->args[k], type);
}

/* One type for args[first], args[first + step] .. and the last one. */
static enum sm_err coerce_all(struct binder *b, struct expr *e, uint32_t first, uint32_t step)
{
	struct expr seen = *e->args[e->count - 1];
	enum sm_err err;
	for (uint32_t i = first; i + 1 < e->count; i += step) {
		enum column_type type;
		if ((err = bind_common(b, &seen, e->args[i], &type)))
			return err;
		bool untyped = seen.untyped && e->args[i]->untyped;
		if (seen.untyped || type != seen.type)
			seen = *e->args[i];
		seen.type = type;
		seen.untyped = untyped;
	}
	e->untyped = seen.untyped;
	e->type = seen.type;
	for (uint32_t i = first; i + 1 < e->count && !seen.untyped; i += step)
		if ((err = bind_coerce(b, &e->args[i], seen.type)))
			return err;
	if (!seen.untyped)
		return bind_coerce(b, &e->args[e->count - 1], seen.type);
	/* nothing but NULLs */
	e->op = OP_LITERAL;
	e->count = 0;
	e->type = COLUMN_TEXT;
	e->value = (struct value){.type = COLUMN_TEXT, .null = true};
	return SM_OK;
}

/* ---- leaves ---- */

static bool same_name(const char *a, const char *b)
{
	return a && b && strcasecmp(a, b) == 0;
}

static void name_text(const struct ast *a, char *out, size_t size)
{
	size_t n = 0;
	out[0] = 0;
	for (uint32_t i = 0; i < a->part_count && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%.60s", i ? "." : "", a->parts[i]);
}

/* Index of the column, or UINT32_MAX. */
static enum sm_err find_column(struct binder *b, const struct ast *a, uint32_t *ret)
{
	const char *name = a->parts[a->part_count - 1];
	const char *qualifier = a->part_count > 1 ? a->parts[a->part_count - 2] : NULL, *keyspace = a->part_count > 2 ? a->parts[0] : NULL;
	char text[200];
	*ret = UINT32_MAX;
	for (uint32_t i = 0; i < b->scope->count; i++) {
		const struct scope_column *c = &b->scope->columns[i];
		if (!same_name(c->name, name) || (qualifier && !same_name(c->qualifier, qualifier)) ||
		    (keyspace && !same_name(c->keyspace, keyspace)))
			continue;
		if (*ret != UINT32_MAX) {
			name_text(a, text, sizeof text);
			return sql__fail(b->reterr, SM_INVALID, a->line, a->column,
					 "%s stands for more than one column: put its table's name before it", text);
		}
		*ret = i;
	}
	return SM_OK;
}

/* The expression that an alias stands for; NULL: none has that name. */
static const struct ast *find_alias(const struct binder *b, const struct ast *a)
{
	for (uint32_t i = 0; b->aliases && a->part_count == 1 && i < b->aliases->item_count; i++)
		if (same_name(b->aliases->items[i].alias, a->parts[0]))
			return b->aliases->items[i].ast;
	return NULL;
}

static enum sm_err bind_name(struct binder *b, const struct ast *a, struct expr **ret)
{
	uint32_t index;
	char text[200], known[240];
	size_t n = 0;
	enum sm_err err = find_column(b, a, &index);
	if (err)
		return err;
	const struct ast *stands_for = index == UINT32_MAX ? find_alias(b, a) : NULL;
	if (stands_for) {
		const struct query *aliases = b->aliases;
		b->aliases = NULL; /* an alias does not see the others */
		err = bind_expr(b, stands_for, ret);
		b->aliases = aliases;
		return err;
	}
	if (index != UINT32_MAX) {
		if (!(*ret = expr_column(b, index, b->scope->columns[index].type)))
			return bind_no_memory(b);
		(*ret)->line = a->line;
		(*ret)->column = a->column;
		return SM_OK;
	}
	name_text(a, text, sizeof text);
	known[0] = 0;
	for (uint32_t i = 0; i < b->scope->count && n + 40 < sizeof known; i++)
		if (!b->scope->columns[i].hidden)
			n += (size_t)snprintf(known + n, sizeof known - n, "%s%.30s", n ? ", " : "", b->scope->columns[i].name);
	return sql__fail(b->reterr, SM_NOT_FOUND, a->line, a->column, "there is no column %s%s%s", text, known[0] ? "; known here: " : "",
			 known);
}

static enum sm_err bind_value(struct binder *b, const struct ast *a, struct value value, bool untyped, struct expr **ret)
{
	struct expr *e = expr_new(b, OP_LITERAL, value.type, a, 0);
	if (!e)
		return bind_no_memory(b);
	if (!value.null && (value.type == COLUMN_TEXT || value.type == COLUMN_BLOB || value.type == COLUMN_UUID)) {
		void *copy = arena_alloc_raw(b->arena, value.bytes.size ? value.bytes.size : 1, 1);
		if (!copy)
			return bind_no_memory(b);
		if (value.bytes.size)
			memcpy(copy, value.bytes.data, value.bytes.size);
		value.bytes.data = copy;
	}
	e->value = value;
	e->untyped = untyped;
	*ret = e;
	return SM_OK;
}

static enum sm_err bind_param(struct binder *b, const struct ast *a, struct expr **ret)
{
	for (uint32_t i = 0; b->script && i < b->script->param_count; i++) {
		const struct sql_param *p = &b->script->params[i];
		if (strcmp(p->name, a->parts[0]) == 0 && p->bound)
			return bind_value(b, a, p->value, p->value.null, ret);
	}
	return sql__fail(b->reterr, SM_INVALID, a->line, a->column, "the parameter :%s has no value", a->parts[0]);
}

/* ---- aggregates ---- */

static bool aggregate_kind(const struct ast *a, enum aggregate_kind *ret)
{
	static const struct {
		const char *name;
		enum aggregate_kind kind;
	} kinds[] = {{"count", AGG_COUNT}, {"count_if", AGG_COUNT_IF}, {"sum", AGG_SUM}, {"min", AGG_MIN},
		     {"max", AGG_MAX},     {"avg", AGG_AVG},           {"mean", AGG_AVG}};
	for (size_t i = 0; a->op == OP_CALL && i < sizeof kinds / sizeof *kinds; i++) {
		if (strcasecmp(kinds[i].name, a->parts[0]) == 0) {
			*ret = kinds[i].kind;
			return true;
		}
	}
	return false;
}

bool ast_has_aggregate(const struct ast *a)
{
	enum aggregate_kind kind;
	if (aggregate_kind(a, &kind))
		return true;
	for (uint32_t i = 0; i < a->count; i++)
		if (ast_has_aggregate(a->args[i]))
			return true;
	return false;
}

static enum sm_err aggregate_type(struct binder *b, const struct ast *a, struct aggregate *g)
{
	switch (g->kind) {
	case AGG_COUNT:
	case AGG_COUNT_DISTINCT: g->type = COLUMN_INT64; return SM_OK;
	case AGG_COUNT_IF: g->type = COLUMN_INT64; return bind_coerce(b, &g->arg, COLUMN_BOOL);
	case AGG_MIN:
	case AGG_MAX:
		if (g->arg->untyped)
			return bind_coerce(b, &g->arg, COLUMN_TEXT);
		g->type = g->arg->type;
		return SM_OK;
	case AGG_SUM:
	case AGG_AVG: break;
	}
	if (expr_is_integer(g->arg)) {
		enum sm_err err = bind_coerce(b, &g->arg, COLUMN_INT64);
		g->type = g->kind == AGG_SUM ? COLUMN_INT64 : COLUMN_DOUBLE;
		return err;
	}
	g->type = COLUMN_DOUBLE;
	if (!g->arg->untyped && g->arg->type != COLUMN_DOUBLE && g->arg->type != COLUMN_TEXT)
		return sql__fail(b->reterr, SM_TYPE, a->line, a->column, "%s of %s: a number is expected", a->parts[0], type_name(g->arg));
	return bind_coerce(b, &g->arg, COLUMN_DOUBLE);
}

/* Find the same aggregate among those of the query, or add it. */
static enum sm_err add_aggregate(struct binder *b, const struct aggregate *g, struct expr **ret)
{
	struct grouping *all = b->grouping;
	uint32_t i = 0;
	for (; i < all->aggregate_count; i++) {
		const struct aggregate *o = &all->aggregates[i];
		if (o->kind == g->kind && !o->arg == !g->arg && (!g->arg || expr_equal(o->arg, g->arg)))
			break;
	}
	if (i == all->aggregate_cap) {
		uint32_t cap = i ? i * 2 : 8;
		struct aggregate *more = arena_alloc(b->arena, cap * sizeof *more);
		if (!more)
			return bind_no_memory(b);
		if (i)
			memcpy(more, all->aggregates, i * sizeof *more);
		all->aggregates = more;
		all->aggregate_cap = cap;
	}
	if (i == all->aggregate_count)
		all->aggregates[all->aggregate_count++] = *g;
	*ret = expr_column(b, all->key_count + i, g->type);
	return *ret ? SM_OK : bind_no_memory(b);
}

static enum sm_err bind_aggregate(struct binder *b, const struct ast *a, enum aggregate_kind kind, struct expr **ret)
{
	struct aggregate g = {.kind = kind};
	enum sm_err err;
	if (!b->grouping)
		return sql__fail(b->reterr, SM_INVALID, a->line, a->column, "%s can't stand here: %s", a->parts[0],
				 b->in_aggregate ? "an aggregate within another"
						 : "WHERE, ON and GROUP BY see single rows (HAVING sees groups)");
	if (a->count != 1)
		return sql__fail(b->reterr, a->count && kind == AGG_COUNT ? SM_UNSUPPORTED : SM_INVALID, a->line, a->column,
				 "%s takes one argument", a->parts[0]);
	if (a->distinct && kind == AGG_COUNT)
		g.kind = AGG_COUNT_DISTINCT;
	else if (a->distinct && kind != AGG_MIN && kind != AGG_MAX)
		return sql__fail(b->reterr, SM_UNSUPPORTED, a->line, a->column, "%s(DISTINCT ..) is not supported", a->parts[0]);
	bool star = a->args[0]->op == OP_STAR;
	if (star && g.kind != AGG_COUNT)
		return sql__fail(b->reterr, SM_INVALID, a->line, a->column, "* can't stand within %s", a->parts[0]);
	if (!star) {
		struct grouping *grouping = b->grouping;
		bool within = b->in_aggregate;
		b->grouping = NULL;
		b->in_aggregate = true;
		err = bind_expr(b, a->args[0], &g.arg);
		b->grouping = grouping;
		b->in_aggregate = within;
		if (err)
			return err;
	}
	/* count(1) counts rows as count(*) does */
	if (kind == AGG_COUNT && !a->distinct && g.arg && g.arg->op == OP_LITERAL && !g.arg->value.null)
		g.arg = NULL;
	g.type = COLUMN_INT64;
	if (g.arg && (err = aggregate_type(b, a, &g)))
		return err;
	return add_aggregate(b, &g, ret);
}

/* ---- calls ---- */

static enum sm_err bind_args(struct binder *b, const struct ast *a, struct expr *e)
{
	for (uint32_t i = 0; i < a->count; i++) {
		enum sm_err err = bind_expr(b, a->args[i], &e->args[i]);
		if (err)
			return err;
	}
	return SM_OK;
}

static enum sm_err wrong_count(struct binder *b, const struct ast *a, const char *wanted)
{
	return sql__fail(b->reterr, SM_INVALID, a->line, a->column, "%s takes %s, not %u", a->parts[0], wanted, a->count);
}

/* if(c, a, b) is CASE; nullif(a, b) is CASE WHEN a = b THEN NULL ELSE a; ifnull and nvl are coalesce. *ret NULL: another function. */
static enum sm_err bind_special(struct binder *b, const struct ast *a, struct expr **ret)
{
	const char *name = a->parts[0];
	bool is_if = same_name(name, "if"), is_nullif = same_name(name, "nullif");
	bool is_coalesce = same_name(name, "coalesce"), is_nvl = same_name(name, "ifnull") || same_name(name, "nvl");
	enum sm_err err;
	struct expr *e, *same, *null;
	*ret = NULL;
	if (!is_if && !is_nullif && !is_coalesce && !is_nvl)
		return SM_OK;
	if (is_if ? a->count != 3 : is_coalesce ? a->count < 1 : a->count != 2)
		return wrong_count(b, a, is_if ? "3 arguments" : is_coalesce ? "at least 1 argument" : "2 arguments");
	if (!(e = expr_new(b, is_if ? OP_CASE : OP_COALESCE, COLUMN_TEXT, a, a->count)))
		return bind_no_memory(b);
	if ((err = bind_args(b, a, e)))
		return err;
	*ret = e;
	if (is_if)
		return (err = bind_coerce(b, &e->args[0], COLUMN_BOOL)) ? err : coerce_all(b, e, 1, 2);
	if (!is_nullif)
		return coerce_all(b, e, 0, 1);
	if (!(same = expr_new(b, OP_EQ, COLUMN_BOOL, a, 2)) || !(null = expr_new(b, OP_LITERAL, COLUMN_TEXT, a, 0)) ||
	    !(*ret = expr_new(b, OP_CASE, COLUMN_TEXT, a, 3)))
		return bind_no_memory(b);
	null->untyped = true;
	null->value = (struct value){.type = COLUMN_TEXT, .null = true};
	same->args[0] = (*ret)->args[2] = e->args[0];
	same->args[1] = e->args[1];
	(*ret)->args[0] = same;
	(*ret)->args[1] = null;
	return (err = coerce_both(b, same, 0, 1)) ? err : coerce_all(b, *ret, 1, 2);
}

static enum sm_err bind_call(struct binder *b, const struct ast *a, struct expr **ret)
{
	const struct function *f = function_find(a->parts[0]);
	enum aggregate_kind kind;
	enum sm_err err;
	if (aggregate_kind(a, &kind))
		return bind_aggregate(b, a, kind, ret);
	if (a->distinct)
		return sql__fail(b->reterr, SM_INVALID, a->line, a->column, "DISTINCT belongs to aggregates, %.60s is none", a->parts[0]);
	if ((err = bind_special(b, a, ret)) || *ret)
		return err;
	if (!f)
		return sql__fail(b->reterr, SM_UNSUPPORTED, a->line, a->column, "there is no function %.60s", a->parts[0]);
	if (a->count < f->args_min || a->count > f->args_max)
		return wrong_count(b, a,
				   f->args_min == f->args_max ? (f->args_min == 1   ? "1 argument"
								 : f->args_min == 2 ? "2 arguments"
										    : "3 arguments")
							      : "2 or 3 arguments");
	struct expr *e = expr_new(b, OP_FUNCTION, COLUMN_TEXT, a, a->count);
	if (!e)
		return bind_no_memory(b);
	e->function = f;
	if ((err = bind_args(b, a, e)) || (err = f->bind(b, e)))
		return err;
	*ret = e;
	return SM_OK;
}

/* ---- operators ---- */

static enum sm_err bind_arithmetic(struct binder *b, struct expr *e)
{
	enum sm_err err;
	for (uint32_t i = 0; i < e->count; i++) {
		struct expr *arg = e->args[i];
		if (!arg->untyped && !is_number(arg) && arg->type != COLUMN_TEXT)
			return sql__fail(b->reterr, SM_TYPE, e->line, e->column, "arithmetic with %s: a number is expected",
					 type_name(arg));
		/* as Spark: a text in arithmetic is a double */
		if ((arg->type == COLUMN_TEXT || e->op == OP_DIV) && (err = bind_coerce(b, &e->args[i], COLUMN_DOUBLE)))
			return err;
	}
	if (e->op == OP_INT_DIV && (!expr_is_integer(e->args[0]) || !expr_is_integer(e->args[1])))
		return sql__fail(b->reterr, SM_TYPE, e->line, e->column, "DIV takes integers");
	if (e->count == 2 && (err = coerce_both(b, e, 0, 1)))
		return err;
	e->type = e->args[0]->type;
	if (e->op == OP_INT_DIV)
		e->type = COLUMN_INT64;
	return SM_OK;
}

static enum sm_err bind_operator(struct binder *b, const struct ast *a, struct expr *e)
{
	enum sm_err err = SM_OK;
	e->type = COLUMN_BOOL;
	switch (a->op) {
	case OP_AND:
	case OP_OR:
	case OP_NOT:
		for (uint32_t i = 0; i < e->count && !err; i++)
			err = bind_coerce(b, &e->args[i], COLUMN_BOOL);
		return err;
	case OP_IS_NULL: return SM_OK;
	case OP_EQ:
	case OP_NE:
	case OP_LT:
	case OP_LE:
	case OP_GT:
	case OP_GE:
	case OP_SAME: return coerce_both(b, e, 0, 1);
	case OP_LIKE: return (err = bind_coerce(b, &e->args[0], COLUMN_TEXT)) ? err : bind_coerce(b, &e->args[1], COLUMN_TEXT);
	case OP_IN:
		if ((err = coerce_all(b, e, 0, 1)))
			return err;
		e->type = COLUMN_BOOL;
		e->untyped = false;
		return SM_OK;
	case OP_CASE:
		for (uint32_t i = 0; i + 1 < e->count && !err; i += 2)
			err = bind_coerce(b, &e->args[i], COLUMN_BOOL);
		return err ? err : coerce_all(b, e, 1, 2);
	default: return bind_arithmetic(b, e);
	}
}

static enum sm_err bind_cast(struct binder *b, const struct ast *a, struct expr *e)
{
	e->type = a->type;
	if (e->args[0]->untyped)
		return bind_coerce(b, &e->args[0], a->type);
	if (!sql__cast_known(e->args[0]->type, a->type))
		return sql__fail(b->reterr, SM_TYPE, a->line, a->column, "%s can't be cast to %s", type_name(e->args[0]),
				 column_type_name(a->type));
	return SM_OK;
}

static enum sm_err bind_subquery(struct binder *b, const struct ast *a, struct expr **ret)
{
	struct value value;
	bool untyped;
	if (!b->subquery)
		return sql__fail(b->reterr, SM_UNSUPPORTED, a->line, a->column, "a subquery can't stand here");
	enum sm_err err = b->subquery(b, a, &value, &untyped);
	return err ? err : bind_value(b, a, value, untyped, ret);
}

/* The whole of a equals a group key: *ret is that key's column; else NULL. */
static enum sm_err match_key(struct binder *b, const struct ast *a, struct expr **ret)
{
	struct grouping *grouping = b->grouping;
	struct sm_error *reterr = b->reterr, ignored;
	struct expr *e;
	*ret = NULL;
	if (a->op == OP_LITERAL || a->op == OP_PARAM || a->op == OP_SUBQUERY || ast_has_aggregate(a))
		return SM_OK;
	b->grouping = NULL;
	b->reterr = &ignored;
	enum sm_err err = bind_expr(b, a, &e);
	b->grouping = grouping;
	b->reterr = reterr;
	for (uint32_t i = 0; !err && i < grouping->key_count; i++)
		if (expr_equal(e, grouping->keys[i]))
			return (*ret = expr_column(b, i, e->type)) ? SM_OK : bind_no_memory(b);
	return SM_OK;
}

enum sm_err bind_expr(struct binder *b, const struct ast *a, struct expr **ret)
{
	enum sm_err err;
	if (b->grouping && ((err = match_key(b, a, ret)) || *ret))
		return err;
	switch (a->op) {
	case OP_NAME:
		if ((err = bind_name(b, a, ret)) || !b->grouping || find_alias(b, a))
			return err;
		return sql__fail(b->reterr, SM_INVALID, a->line, a->column, "%.60s must stand in GROUP BY or within an aggregate",
				 a->parts[a->part_count - 1]);
	case OP_LITERAL: return bind_value(b, a, a->value, a->untyped, ret);
	case OP_PARAM: return bind_param(b, a, ret);
	case OP_STAR: return sql__fail(b->reterr, SM_SYNTAX, a->line, a->column, "* can't stand here");
	case OP_SUBQUERY: return bind_subquery(b, a, ret);
	case OP_CALL: return bind_call(b, a, ret);
	default: break;
	}
	struct expr *e = expr_new(b, a->op, COLUMN_BOOL, a, a->count);
	if (!e)
		return bind_no_memory(b);
	if ((err = bind_args(b, a, e)) || (err = a->op == OP_CAST ? bind_cast(b, a, e) : bind_operator(b, a, e)))
		return err;
	*ret = e;
	return SM_OK;
}

enum sm_err bind_condition(struct binder *b, const struct ast *a, const char *clause, struct expr **ret)
{
	enum sm_err err;
	if ((err = bind_expr(b, a, ret)))
		return err;
	assert(*ret);
	if (!(*ret)->untyped && (*ret)->type != COLUMN_BOOL)
		return sql__fail(b->reterr, SM_TYPE, a->line, a->column, "%s needs a boolean, this is %s", clause, type_name(*ret));
	return bind_coerce(b, ret, COLUMN_BOOL);
}
