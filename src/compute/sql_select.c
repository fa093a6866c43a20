/* A SELECT's clauses, bound in the order in which they are evaluated: WHERE, GROUP BY, the select list, HAVING, ORDER BY. */
#include "compute/sql_internal.h"
#include <stdio.h>
#include <strings.h>

struct output {
	struct expr *expr;
	const char *name;
};
struct select_binding {
	struct binder *b;
	const struct query *q;
	struct select_plan *plan;
	struct output *outputs;
	uint32_t count, cap;
};

static enum sm_err add_output(struct select_binding *s, struct expr *expr, const char *name)
{
	if (s->count == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 16;
		struct output *more = arena_alloc(s->b->arena, cap * sizeof *more);
		if (!more)
			return bind_no_memory(s->b);
		if (s->count)
			memcpy(more, s->outputs, s->count * sizeof *more);
		s->outputs = more;
		s->cap = cap;
	}
	/* the plan may outlive the text */
	const char *copy = arena_string(s->b->arena, name, strlen(name));
	if (!copy)
		return bind_no_memory(s->b);
	s->outputs[s->count++] = (struct output){expr, copy};
	return SM_OK;
}

/* *, t.* or keyspace.t.* */
static bool star_covers(const struct ast *star, const struct scope_column *c)
{
	if (c->hidden)
		return false;
	if (star->part_count == 0)
		return true;
	const char *table = star->parts[star->part_count - 1], *keyspace = star->part_count > 1 ? star->parts[star->part_count - 2] : NULL;
	return c->qualifier && strcasecmp(c->qualifier, table) == 0 &&
	       (!keyspace || (c->keyspace && strcasecmp(c->keyspace, keyspace) == 0));
}

static enum sm_err bind_star(struct select_binding *s, const struct ast *star)
{
	struct binder *b = s->b;
	uint32_t before = s->count;
	for (uint32_t i = 0; i < b->scope->count; i++) {
		const struct scope_column *c = &b->scope->columns[i];
		if (!star_covers(star, c))
			continue;
		struct expr *e = expr_column(b, i, c->type);
		if (!e)
			return bind_no_memory(b);
		if (b->grouping) {
			uint32_t k = 0;
			while (k < b->grouping->key_count && !expr_equal(e, b->grouping->keys[k]))
				k++;
			if (k == b->grouping->key_count)
				return sql__fail(b->reterr, SM_INVALID, star->line, star->column, "%.60s of * must stand in GROUP BY",
						 c->name);
			e->index = k;
		}
		enum sm_err err = add_output(s, e, c->name);
		if (err)
			return err;
	}
	if (s->count == before)
		return sql__fail(b->reterr, SM_NOT_FOUND, star->line, star->column, "* stands for no column here");
	return SM_OK;
}

static bool is_aggregated(const struct query *q)
{
	bool yes = q->grouped || q->having;
	for (uint32_t i = 0; i < q->item_count && !yes; i++)
		yes = ast_has_aggregate(q->items[i].ast);
	for (uint32_t i = 0; i < q->order_count && !yes; i++)
		yes = ast_has_aggregate(q->order[i].ast);
	return yes;
}

/* GROUP BY 2 is the second item. */
static enum sm_err group_ast(struct select_binding *s, const struct ast *a, const struct ast **ret)
{
	*ret = a;
	if (a->op != OP_LITERAL || a->value.null || (a->value.type != COLUMN_INT32 && a->value.type != COLUMN_INT64))
		return SM_OK;
	if (a->value.integer < 1 || a->value.integer > s->q->item_count)
		return sql__fail(s->b->reterr, SM_OUT_OF_RANGE, a->line, a->column, "GROUP BY %lld: the query has %u columns",
				 (long long)a->value.integer, s->q->item_count);
	*ret = s->q->items[a->value.integer - 1].ast;
	if ((*ret)->op == OP_STAR)
		return sql__fail(s->b->reterr, SM_UNSUPPORTED, a->line, a->column, "GROUP BY a position that is *");
	return SM_OK;
}

static enum sm_err add_key(struct select_binding *s, struct grouping *g, const struct ast *a)
{
	enum sm_err err;
	if ((err = group_ast(s, a, &a)) || (err = bind_expr(s->b, a, &g->keys[g->key_count])))
		return err;
	if (g->keys[g->key_count]->untyped && (err = bind_coerce(s->b, &g->keys[g->key_count], COLUMN_TEXT)))
		return err;
	g->key_count++;
	return SM_OK;
}

static enum sm_err bind_groups(struct select_binding *s)
{
	const struct query *q = s->q;
	struct grouping *g = arena_alloc(s->b->arena, sizeof *g);
	uint32_t most = q->group_all ? q->item_count : q->group_count;
	enum sm_err err = SM_OK;
	if (!g || !(g->keys = arena_alloc(s->b->arena, (most + 1) * sizeof *g->keys)))
		return bind_no_memory(s->b);
	s->b->aliases = q;
	for (uint32_t i = 0; i < q->group_count && !err; i++)
		err = add_key(s, g, q->groups[i]);
	for (uint32_t i = 0; i < q->item_count && q->group_all && !err; i++)
		if (q->items[i].ast->op == OP_STAR)
			err = sql__fail(s->b->reterr, SM_UNSUPPORTED, q->line, q->column, "GROUP BY ALL with *");
		else if (!ast_has_aggregate(q->items[i].ast))
			err = add_key(s, g, q->items[i].ast);
	s->b->aliases = NULL;
	s->plan->grouping = g;
	return err;
}

static enum sm_err bind_items(struct select_binding *s)
{
	for (uint32_t i = 0; i < s->q->item_count; i++) {
		const struct select_item *item = &s->q->items[i];
		struct expr *e;
		enum sm_err err;
		if (item->ast->op == OP_STAR) {
			if ((err = bind_star(s, item->ast)))
				return err;
			continue;
		}
		const char *name = item->alias                ? item->alias
				   : item->ast->op == OP_NAME ? item->ast->parts[item->ast->part_count - 1]
							      : item->ast->source;
		if ((err = bind_expr(s->b, item->ast, &e)))
			return err;
		if (e->untyped && (err = bind_coerce(s->b, &e, COLUMN_TEXT)))
			return err;
		if ((err = add_output(s, e, name ? name : "?")))
			return err;
	}
	return SM_OK;
}

/* An output's name or position; UINT32_MAX: neither. */
static enum sm_err find_output(struct binder *b, const struct ast *a, const char *const *names, size_t stride, uint32_t count,
			       uint32_t *ret)
{
	*ret = UINT32_MAX;
	if (a->op == OP_LITERAL && !a->value.null && (a->value.type == COLUMN_INT32 || a->value.type == COLUMN_INT64)) {
		if (a->value.integer < 1 || a->value.integer > count)
			return sql__fail(b->reterr, SM_OUT_OF_RANGE, a->line, a->column, "ORDER BY %lld: the query has %u columns",
					 (long long)a->value.integer, count);
		*ret = (uint32_t)a->value.integer - 1;
		return SM_OK;
	}
	for (uint32_t i = 0; a->op == OP_NAME && a->part_count == 1 && i < count; i++) {
		const char *name = *(const char *const *)((const char *)names + i * stride);
		if (strcasecmp(name, a->parts[0]) != 0)
			continue;
		if (*ret != UINT32_MAX)
			return sql__fail(b->reterr, SM_INVALID, a->line, a->column, "ORDER BY %.60s: more than one column has that name",
					 name);
		*ret = i;
	}
	return SM_OK;
}

static enum sm_err bind_order(struct select_binding *s)
{
	const struct query *q = s->q;
	uint32_t visible = s->count;
	enum sm_err err;
	if (q->order_count && !(s->plan->sort = arena_alloc(s->b->arena, q->order_count * sizeof *s->plan->sort)))
		return bind_no_memory(s->b);
	for (uint32_t i = 0; i < q->order_count; i++) {
		const struct order_item *item = &q->order[i];
		struct expr *e;
		uint32_t at;
		if ((err = find_output(s->b, item->ast, &s->outputs[0].name, sizeof *s->outputs, visible, &at)))
			return err;
		if (at == UINT32_MAX) {
			s->b->aliases = q;
			err = bind_expr(s->b, item->ast, &e);
			s->b->aliases = NULL;
			if (err || (e->untyped && (err = bind_coerce(s->b, &e, COLUMN_TEXT))))
				return err;
			for (at = 0; at < s->count && !expr_equal(e, s->outputs[at].expr);)
				at++;
			if (at >= visible && q->distinct)
				return sql__fail(s->b->reterr, SM_INVALID, item->ast->line, item->ast->column,
						 "with DISTINCT, ORDER BY takes columns of the result only");
			if (at == s->count && (err = add_output(s, e, "order")))
				return err;
		}
		s->plan->sort[s->plan->sort_count++] = (struct sort_key){at, item->descending, item->nulls_last};
	}
	return SM_OK;
}

enum sm_err bind_select(struct binder *b, const struct query *q, struct select_plan *plan)
{
	struct select_binding s = {.b = b, .q = q, .plan = plan};
	enum sm_err err;
	*plan = (struct select_plan){0};
	if (q->where && (err = bind_condition(b, q->where, "WHERE", &plan->filter)))
		return err;
	if (is_aggregated(q) && (err = bind_groups(&s)))
		return err;
	b->grouping = plan->grouping;
	err = bind_items(&s);
	if (!err && q->having) {
		b->aliases = q;
		err = bind_condition(b, q->having, "HAVING", &plan->having);
		b->aliases = NULL;
	}
	plan->visible_count = s.count;
	if (!err)
		err = bind_order(&s);
	b->grouping = NULL;
	if (err)
		return err;
	plan->output_count = s.count;
	plan->outputs = arena_alloc(b->arena, (s.count + 1) * sizeof *plan->outputs);
	plan->names = arena_alloc(b->arena, (s.count + 1) * sizeof *plan->names);
	if (!plan->outputs || !plan->names)
		return bind_no_memory(b);
	for (uint32_t i = 0; i < s.count; i++) {
		plan->outputs[i] = s.outputs[i].expr;
		plan->names[i] = s.outputs[i].name;
	}
	if (plan->grouping)
		plan->grouping->fingerprint = grouping_fingerprint(plan->grouping);
	return SM_OK;
}

enum sm_err bind_order_columns(struct binder *b, const struct query *q, const struct row_type *type, struct sort_key **ret_keys)
{
	struct sort_key *keys = arena_alloc(b->arena, (q->order_count + 1) * sizeof *keys);
	if (!keys)
		return bind_no_memory(b);
	for (uint32_t i = 0; i < q->order_count; i++) {
		const struct order_item *item = &q->order[i];
		enum sm_err err = find_output(b, item->ast, &type->fields[0].name, sizeof *type->fields, type->field_count,
					      &keys[i].column);
		if (err)
			return err;
		if (keys[i].column == UINT32_MAX)
			return sql__fail(b->reterr, SM_UNSUPPORTED, item->ast->line, item->ast->column,
					 "here ORDER BY takes the result's columns only, by name or position");
		keys[i].descending = item->descending;
		keys[i].nulls_last = item->nulls_last;
	}
	*ret_keys = keys;
	return SM_OK;
}

enum sm_err bind_limit(struct binder *b, const struct ast *ast, uint64_t *ret_limit)
{
	static const struct scope none = {0};
	const struct scope *scope = b->scope;
	struct expr *e;
	b->scope = &none;
	enum sm_err err = bind_expr(b, ast, &e);
	b->scope = scope;
	if (err)
		return err;
	if (e->op != OP_LITERAL || e->value.null || !expr_is_integer(e) || e->value.integer < 0)
		return sql__fail(b->reterr, SM_INVALID, ast->line, ast->column, "LIMIT needs an integer of 0 or more");
	*ret_limit = (uint64_t)e->value.integer;
	return SM_OK;
}
