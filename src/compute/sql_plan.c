/* Queries to nodes. A scalar subquery runs while the statement is planned, as Spark runs it first, and its value takes its place. */
#include "compute/sql_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct subquery_value {
	const struct ast *ast;
	struct value value;
	bool untyped;
	struct subquery_value *next;
};
struct planner {
	const struct compute_env *env;
	const struct sql_statement *statement;
	struct plan_memory *memory;
	const struct store_schema *schema;
	struct subquery_value *subqueries;
	uint32_t relations, queries, depth;
	struct sm_error *reterr;
};

static enum sm_err plan_query(struct planner *p, const struct query *q, struct dag_node **ret);

/* ---- scalar subqueries ---- */

struct collect {
	struct arena *arena;
	struct value value;
	uint64_t rows;
};

static enum sm_err copy_value(struct arena *arena, struct value *v)
{
	if (v->null || (v->type != COLUMN_TEXT && v->type != COLUMN_BLOB && v->type != COLUMN_UUID))
		return SM_OK;
	void *copy = arena_alloc_raw(arena, v->bytes.size + 1, 1);
	if (!copy)
		return SM_NO_MEMORY;
	if (v->bytes.size)
		memcpy(copy, v->bytes.data, v->bytes.size);
	v->bytes.data = copy;
	return SM_OK;
}

static enum sm_err collect_row(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct collect *c = arg;
	if (c->rows == 0 && batch->rows) {
		c->value = batch_get(batch, 0, 0);
		if (copy_value(c->arena, &c->value))
			return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	c->rows += batch->rows;
	return SM_OK;
}

static enum sm_err run_subquery(struct binder *b, const struct ast *ast, struct value *ret_value, bool *ret_untyped)
{
	struct planner *p = b->arg;
	struct dag_node *node;
	enum sm_err err;
	for (struct subquery_value *s = p->subqueries; s; s = s->next) {
		/* as Spark, one of several that are the same runs for all: they must not see different moments */
		if (s->ast == ast || (s->ast->ctes == ast->ctes && bytes_equal(s->ast->text, ast->text))) {
			*ret_value = s->value;
			*ret_untyped = s->untyped;
			return SM_OK;
		}
	}
	struct sm_error *reterr = p->reterr, error = {0};
	p->reterr = &error;
	err = plan_query(p, ast->query, &node);
	p->reterr = reterr;
	if (!err) {
		struct collect c = {.arena = b->arena, .value = {.type = node->type->fields[0].type, .null = true}};
		struct dag_stats stats;
		if (node->type->field_count != 1)
			err = sql__fail(&error, SM_INVALID, ast->line, ast->column,
					"a subquery used as a value has one column, this has %u", node->type->field_count);
		else if (!(err = dag_run(p->env, node, collect_row, &c, &stats, &error)) && c.rows > 1)
			err = sql__fail(&error, SM_INVALID, ast->line, ast->column, "a subquery used as a value has one row, this has %llu",
					(unsigned long long)c.rows);
		dag_unref(node);
		struct subquery_value *s = err ? NULL : arena_alloc(b->arena, sizeof *s);
		if (s) {
			*s = (struct subquery_value){ast, c.value, false, p->subqueries};
			p->subqueries = s;
			*ret_value = c.value;
			*ret_untyped = false;
			return SM_OK;
		}
		if (!err)
			err = sm_fail(&error, SM_NO_MEMORY, "out of memory");
	}
	/* A failed subquery is reported whoever asked, also where a binding was only tried. */
	if (reterr)
		*reterr = error;
	if (b->reterr)
		*b->reterr = error;
	return err;
}

static struct binder binder_of(struct planner *p, const struct scope *scope)
{
	return (struct binder){.arena = &p->memory->arena,
			       .script = p->statement->script,
			       .scope = scope,
			       .subquery = run_subquery,
			       .arg = p,
			       .reterr = p->reterr};
}

/* ---- relations ---- */

static bool ast_names(const struct ast *a, const char *column)
{
	if (!a)
		return false;
	if (a->op == OP_STAR && a->source && a->depth == 0)
		return true;
	if (a->op == OP_NAME && strcasecmp(a->parts[a->part_count - 1], column) == 0)
		return true;
	for (uint32_t i = 0; i < a->count; i++)
		if (!(a->op == OP_CALL && a->args[i]->op == OP_STAR) && ast_names(a->args[i], column)) /* count(*) reads no column */
			return true;
	return false;
}

static bool relation_names(const struct relation *r, const char *column)
{
	return r && r->kind == RELATION_JOIN &&
	       (ast_names(r->on, column) || relation_names(r->left, column) || relation_names(r->right, column));
}

/* Whether the query's own clauses may read a column of that name. */
static bool query_names(const struct query *q, const char *column)
{
	for (uint32_t i = 0; i < q->item_count; i++)
		if (q->items[i].ast->op == OP_STAR || ast_names(q->items[i].ast, column))
			return true;
	for (uint32_t i = 0; i < q->group_count; i++)
		if (ast_names(q->groups[i], column))
			return true;
	for (uint32_t i = 0; i < q->order_count; i++)
		if (ast_names(q->order[i].ast, column))
			return true;
	return ast_names(q->where, column) || ast_names(q->having, column) || relation_names(q->from, column);
}

static enum sm_err plan_table(struct planner *p, const struct query *q, const struct store_table *table, struct dag_node **ret)
{
	const char **names = arena_alloc(&p->memory->arena, (table->column_count + 1u) * sizeof *names);
	uint32_t count = 0;
	if (!names)
		return sql__no_memory(p->reterr);
	for (uint32_t i = 0; i < table->column_count; i++)
		if (query_names(q, table->columns[i].name))
			names[count++] = table->columns[i].name;
	if (count == 0)
		names[count++] = table->columns[0].name;
	return dag_table_scan(p->env, table->keyspace, table->name, names, count, ret, p->reterr);
}

static bool topic_exists(const struct compute_env *env, const char *name)
{
	if (!env->log)
		return false;
	const struct log_topics *topics = env->log->ops->topics(env->log);
	bool found = topics && log_topics_find(topics, name);
	env->log->ops->topics_release(env->log, topics);
	return found;
}

static enum sm_err plan_named(struct planner *p, const struct query *q, const struct relation *r, struct dag_node **ret, bool *ret_topic)
{
	const char *keyspace = r->part_count == 2 ? r->parts[0] : p->env->default_keyspace, *name = r->parts[r->part_count - 1];
	const struct store_table *table = p->schema && keyspace ? store_find_table(p->schema, keyspace, name) : NULL;
	*ret_topic = false;
	if (++p->relations > SQL_RELATIONS_MAX)
		return sql__fail(p->reterr, SM_TOO_LARGE, r->line, r->column, "more than %d tables and topics", SQL_RELATIONS_MAX);
	if (table)
		return plan_table(p, q, table, ret);
	if (r->part_count == 1 && topic_exists(p->env, name)) {
		*ret_topic = true;
		return dag_topic_scan(p->env, name, ret, p->reterr);
	}
	if (r->part_count == 2)
		return sql__fail(p->reterr, SM_NOT_FOUND, r->line, r->column, "there is no table %.60s.%.60s", keyspace, name);
	return sql__fail(p->reterr, SM_NOT_FOUND, r->line, r->column, "there is no topic %.60s%s%.60s%s", name,
			 keyspace ? " and no table of that name in keyspace " : "", keyspace ? keyspace : "",
			 keyspace ? "" : " (a table is written keyspace.table)");
}

static enum sm_err scope_of(struct planner *p, const struct dag_node *node, const char *keyspace, const char *qualifier, bool topic,
			    struct scope *ret)
{
	ret->count = node->type->field_count;
	if (!(ret->columns = arena_alloc(&p->memory->arena, (ret->count + 1) * sizeof *ret->columns)))
		return sql__no_memory(p->reterr);
	for (uint32_t i = 0; i < ret->count; i++) {
		const char *name = node->type->fields[i].name;
		ret->columns[i] = (struct scope_column){keyspace, qualifier, arena_string(&p->memory->arena, name, strlen(name)),
							node->type->fields[i].type, topic && name[0] == '_'};
		if (!ret->columns[i].name)
			return sql__no_memory(p->reterr);
	}
	return SM_OK;
}

static enum sm_err plan_relation(struct planner *p, const struct query *q, const struct relation *r, struct dag_node **ret,
				 struct scope *ret_scope);

static bool has_column(const struct expr *e)
{
	bool found = e->op == OP_COLUMN;
	for (uint32_t i = 0; i < e->count && !found; i++)
		found = has_column(e->args[i]);
	return found;
}

/* The conjunct is one side's expression = the other side's: a key. *ret_taken false: it is not. */
static enum sm_err try_key(struct planner *p, const struct ast *a, const struct scope *left, const struct scope *right,
			   struct join_plan *plan, bool *ret_taken)
{
	struct sm_error ignored;
	*ret_taken = false;
	for (int swap = 0; a->op == OP_EQ && swap < 2; swap++) {
		struct binder lb = binder_of(p, left), rb = binder_of(p, right);
		struct expr *l, *r;
		enum column_type type;
		lb.reterr = rb.reterr = &ignored;
		if (bind_expr(&lb, a->args[swap], &l) || bind_expr(&rb, a->args[!swap], &r) || !has_column(l) || !has_column(r))
			continue;
		lb.reterr = p->reterr;
		enum sm_err err;
		if ((err = bind_common(&lb, l, r, &type)) || (err = bind_coerce(&lb, &l, type)) || (err = bind_coerce(&lb, &r, type)))
			return err;
		plan->left_keys[plan->key_count] = l;
		plan->right_keys[plan->key_count++] = r;
		*ret_taken = true;
		return SM_OK;
	}
	return SM_OK;
}

static enum sm_err split_on(struct planner *p, const struct ast *a, const struct scope *left, const struct scope *right,
			    const struct scope *both, struct join_plan *plan)
{
	enum sm_err err;
	bool taken;
	if (a->op == OP_AND)
		return (err = split_on(p, a->args[0], left, right, both, plan)) ? err : split_on(p, a->args[1], left, right, both, plan);
	struct binder b = binder_of(p, both);
	struct expr *e;
	if ((err = bind_condition(&b, a, "ON", &e)) || (err = try_key(p, a, left, right, plan, &taken)) || taken)
		return err;
	if (plan->residual) {
		struct expr *and = expr_new(&b, OP_AND, COLUMN_BOOL, a, 2);
		if (!and)
			return sql__no_memory(p->reterr);
		and->args[0] = plan->residual;
		and->args[1] = e;
		e = and;
	}
	plan->residual = e;
	return SM_OK;
}

static enum sm_err plan_join(struct planner *p, const struct query *q, const struct relation *r, struct dag_node **ret,
			     struct scope *ret_scope)
{
	struct join_plan plan = {.kind = r->join};
	struct dag_node *left, *right;
	struct scope ls, rs;
	enum sm_err err;
	if ((err = plan_relation(p, q, r->left, &left, &ls)))
		return err;
	if ((err = plan_relation(p, q, r->right, &right, &rs))) {
		dag_unref(left);
		return err;
	}
	ret_scope->count = ls.count + rs.count;
	ret_scope->columns = arena_alloc(&p->memory->arena, (ret_scope->count + 1) * sizeof *ret_scope->columns);
	plan.left_keys = arena_alloc(&p->memory->arena, (SQL_TREE_DEPTH_MAX + 1) * sizeof *plan.left_keys);
	plan.right_keys = arena_alloc(&p->memory->arena, (SQL_TREE_DEPTH_MAX + 1) * sizeof *plan.right_keys);
	if (!ret_scope->columns || !plan.left_keys || !plan.right_keys) {
		err = sql__no_memory(p->reterr);
	} else {
		memcpy(ret_scope->columns, ls.columns, ls.count * sizeof *ls.columns);
		memcpy(ret_scope->columns + ls.count, rs.columns, rs.count * sizeof *rs.columns);
		if (r->on && r->on->size > SQL_TREE_DEPTH_MAX)
			err = sql__fail(p->reterr, SM_TOO_LARGE, r->on->line, r->on->column, "ON has more than %d parts",
					SQL_TREE_DEPTH_MAX);
		else if (r->on)
			err = split_on(p, r->on, &ls, &rs, ret_scope, &plan);
	}
	if (err) {
		dag_unref(left);
		dag_unref(right);
		return err;
	}
	err = node_join(p->memory, left, right, &plan, ret);
	return err ? sm_fail(p->reterr, err, "planning a join: %s", sm_err_text(err)) : SM_OK;
}

static enum sm_err plan_relation(struct planner *p, const struct query *q, const struct relation *r, struct dag_node **ret,
				 struct scope *ret_scope)
{
	enum sm_err err;
	bool topic = false;
	if (r->kind == RELATION_JOIN)
		return plan_join(p, q, r, ret, ret_scope);
	err = r->kind == RELATION_QUERY ? plan_query(p, r->query, ret) : plan_named(p, q, r, ret, &topic);
	if (err)
		return err;
	const char *name = r->alias ? r->alias : r->kind == RELATION_NAMED ? r->parts[r->part_count - 1] : NULL;
	const char *keyspace = r->kind != RELATION_NAMED || r->alias || topic ? NULL
			       : r->part_count == 2                           ? r->parts[0]
									      : p->env->default_keyspace;
	if ((err = scope_of(p, *ret, keyspace, name, topic, ret_scope)))
		dag_unref(*ret);
	return err;
}

/* ---- queries ---- */

/* One row of one column that nobody names: what a SELECT without FROM reads. */
static enum sm_err plan_one_row(struct planner *p, struct dag_node **ret)
{
	static const struct column_field field = {"", COLUMN_BOOL};
	struct row_type *type = row_type_new(&field, 1);
	struct batch *batch = type ? batch_new(type) : NULL;
	enum sm_err err = batch ? batch_put(batch, 0, (struct value){.type = COLUMN_BOOL}) : SM_NO_MEMORY;
	if (!err) {
		batch_row_end(batch);
		err = dag_values(type, &batch, 1, ret);
	}
	batch_unref(batch);
	row_type_unref(type);
	return err ? sql__no_memory(p->reterr) : SM_OK;
}

/* The first count columns of node under these names, cast to these types where they differ; takes node. */
static enum sm_err plan_columns(struct planner *p, struct dag_node *node, const struct row_type *as, uint32_t count, struct dag_node **ret)
{
	struct expr **outputs = arena_alloc(&p->memory->arena, (count + 1) * sizeof *outputs);
	const char **names = arena_alloc(&p->memory->arena, (count + 1) * sizeof *names);
	struct binder b = binder_of(p, NULL);
	enum sm_err err = outputs && names ? SM_OK : sql__no_memory(p->reterr);
	for (uint32_t i = 0; i < count && !err; i++) {
		names[i] = arena_string(&p->memory->arena, as->fields[i].name, strlen(as->fields[i].name));
		outputs[i] = expr_column(&b, i, node->type->fields[i].type);
		err = names[i] && outputs[i] ? bind_coerce(&b, &outputs[i], as->fields[i].type) : sql__no_memory(p->reterr);
	}
	if (err) {
		dag_unref(node);
		return err;
	}
	err = node_project(p->memory, node, NULL, outputs, names, count, ret);
	return err ? sm_fail(p->reterr, err, "planning: %s", sm_err_text(err)) : SM_OK;
}

/* Each row once; takes node. */
static enum sm_err plan_distinct(struct planner *p, struct dag_node *node, struct dag_node **ret)
{
	struct grouping *g = arena_alloc(&p->memory->arena, sizeof *g);
	struct row_type *type = row_type_ref(node->type);
	struct binder b = binder_of(p, NULL);
	enum sm_err err = SM_OK;
	if (!g || !(g->keys = arena_alloc(&p->memory->arena, (type->field_count + 1) * sizeof *g->keys)))
		err = sql__no_memory(p->reterr);
	for (uint32_t i = 0; !err && i < type->field_count; i++)
		if (!(g->keys[g->key_count++] = expr_column(&b, i, type->fields[i].type)))
			err = sql__no_memory(p->reterr);
	if (err) {
		dag_unref(node);
	} else {
		g->fingerprint = grouping_fingerprint(g);
		if ((err = node_aggregate(p->memory, node, NULL, g, &node)))
			err = sm_fail(p->reterr, err, "planning DISTINCT: %s", sm_err_text(err));
		else
			err = plan_columns(p, node, type, type->field_count, ret);
	}
	row_type_unref(type);
	return err;
}

/* ORDER BY and LIMIT; takes node. */
static enum sm_err plan_tail(struct planner *p, const struct query *q, struct dag_node *node, const struct sort_key *keys,
			     uint32_t key_count, struct dag_node **ret)
{
	struct binder b = binder_of(p, NULL);
	uint64_t limit;
	enum sm_err err;
	if (q->limit && (err = bind_limit(&b, q->limit, &limit))) {
		dag_unref(node);
		return err;
	}
	if (key_count && (err = node_sort(p->memory, node, keys, key_count, &node)))
		return sm_fail(p->reterr, err, "planning ORDER BY: %s", sm_err_text(err));
	if (q->limit && (err = node_limit(p->memory, node, limit, &node)))
		return sm_fail(p->reterr, err, "planning LIMIT: %s", sm_err_text(err));
	*ret = node;
	return SM_OK;
}

static enum sm_err plan_select(struct planner *p, const struct query *q, struct dag_node **ret)
{
	struct select_plan plan;
	struct scope scope = {0};
	struct dag_node *node;
	enum sm_err err = q->from ? plan_relation(p, q, q->from, &node, &scope) : plan_one_row(p, &node);
	if (err)
		return err;
	struct binder b = binder_of(p, &scope);
	if ((err = bind_select(&b, q, &plan))) {
		dag_unref(node);
		return err;
	}
	if (plan.grouping && (err = node_aggregate(p->memory, node, plan.filter, plan.grouping, &node)))
		return sm_fail(p->reterr, err, "planning GROUP BY: %s", sm_err_text(err));
	if ((err = node_project(p->memory, node, plan.grouping ? plan.having : plan.filter, plan.outputs, plan.names, plan.output_count,
				&node)))
		return sm_fail(p->reterr, err, "planning SELECT: %s", sm_err_text(err));
	if ((q->distinct && (err = plan_distinct(p, node, &node))) || (err = plan_tail(p, q, node, plan.sort, plan.sort_count, &node)))
		return err;
	if (plan.visible_count < plan.output_count)
		return plan_columns(p, node, node->type, plan.visible_count, ret);
	*ret = node;
	return SM_OK;
}

static enum sm_err plan_union(struct planner *p, const struct query *q, struct dag_node **ret)
{
	struct dag_node *left = NULL, *right = NULL, *node;
	struct row_type *type = NULL;
	struct sort_key *keys = NULL;
	enum sm_err err;
	if ((err = plan_query(p, q->left, &left)) || (err = plan_query(p, q->right, &right)))
		goto done;
	uint32_t count = left->type->field_count;
	if (count != right->type->field_count) {
		err = sql__fail(p->reterr, SM_INVALID, q->right->line, q->right->column,
				"this query of the UNION has %u columns, the first has %u", right->type->field_count, count);
		goto done;
	}
	struct column_field *fields = arena_alloc(&p->memory->arena, (count + 1) * sizeof *fields);
	struct binder b = binder_of(p, NULL);
	if (!fields) {
		err = sql__no_memory(p->reterr);
		goto done;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct expr l = {.op = OP_COLUMN, .type = left->type->fields[i].type, .line = q->right->line, .column = q->right->column},
			    r = l;
		r.type = right->type->fields[i].type;
		fields[i].name = left->type->fields[i].name;
		if ((err = bind_common(&b, &l, &r, &fields[i].type)))
			goto done;
	}
	if (!(type = row_type_new(fields, count))) {
		err = sql__no_memory(p->reterr);
		goto done;
	}
	node = left;
	left = NULL;
	if ((err = plan_columns(p, node, type, count, &left)))
		goto done;
	node = right;
	right = NULL;
	if ((err = plan_columns(p, node, type, count, &right)))
		goto done;
	err = node_union(left, right, &node);
	left = right = NULL;
	if (err) {
		sm_fail(p->reterr, err, "planning UNION: %s", sm_err_text(err));
		goto done;
	}
	if (q->kind == QUERY_UNION && (err = plan_distinct(p, node, &node)))
		goto done;
	if (q->order_count && (err = bind_order_columns(&b, q, type, &keys)))
		dag_unref(node);
	else
		err = plan_tail(p, q, node, keys, q->order_count, ret);
done:
	dag_unref(left);
	dag_unref(right);
	row_type_unref(type);
	return err;
}

/* Bind and evaluate the rows of VALUES; the columns are col1, col2 .. */
static enum sm_err eval_values(struct planner *p, const struct query *q, struct expr **exprs, struct row_type *type, struct batch **ret)
{
	static const struct column_field field = {"", COLUMN_BOOL};
	struct row_type *one_type = row_type_new(&field, 1);
	struct batch *one = one_type ? batch_new(one_type) : NULL, *out = batch_new(type);
	struct arena arena;
	enum sm_err err = one && out ? batch_put(one, 0, (struct value){.type = COLUMN_BOOL}) : SM_NO_MEMORY;
	arena_init(&arena, 256u << 20);
	if (!err)
		batch_row_end(one);
	else
		err = sql__no_memory(p->reterr);
	for (uint32_t r = 0; r < q->row_count && !err; r++) {
		struct eval c = {one, &arena, p->reterr};
		arena_reset(&arena);
		for (uint32_t i = 0; i < q->item_count && !err; i++) {
			struct vec v;
			if (!(err = expr_eval(exprs[(size_t)r * q->item_count + i], &c, NULL, 1, &v)) &&
			    (err = batch_put(out, i, vec_get(&v, 0))))
				err = sm_fail(p->reterr, err, "VALUES: %s", sm_err_text(err));
		}
		if (!err)
			batch_row_end(out);
	}
	arena_done(&arena);
	batch_unref(one);
	row_type_unref(one_type);
	if (err)
		batch_unref(out);
	else
		*ret = out;
	return err;
}

static enum sm_err plan_values(struct planner *p, const struct query *q, struct dag_node **ret)
{
	static const struct scope none = {0};
	struct arena *arena = &p->memory->arena;
	struct expr **exprs = arena_alloc(arena, (size_t)q->row_count * q->item_count * sizeof *exprs);
	struct column_field *fields = arena_alloc(arena, q->item_count * sizeof *fields);
	struct binder b = binder_of(p, &none);
	struct dag_node *node = NULL;
	struct batch *batch = NULL;
	enum sm_err err = SM_OK;
	if (!exprs || !fields)
		return sql__no_memory(p->reterr);
	for (uint32_t i = 0; i < q->item_count; i++) {
		struct expr seen = {.untyped = true};
		for (uint32_t r = 0; r < q->row_count; r++) {
			struct expr **e = &exprs[(size_t)r * q->item_count + i];
			if ((err = bind_expr(&b, q->rows[r][i], e)) || (err = bind_common(&b, &seen, *e, &seen.type)))
				return err;
			seen.untyped = seen.untyped && (*e)->untyped;
			seen.op = OP_COLUMN;
		}
		fields[i] = (struct column_field){arena_printf(arena, "col%u", i + 1), seen.untyped ? COLUMN_TEXT : seen.type};
		for (uint32_t r = 0; r < q->row_count; r++)
			if ((err = bind_coerce(&b, &exprs[(size_t)r * q->item_count + i], fields[i].type)))
				return err;
		if (!fields[i].name)
			return sql__no_memory(p->reterr);
	}
	struct row_type *type = row_type_new(fields, q->item_count);
	if (!type)
		return sql__no_memory(p->reterr);
	struct sort_key *keys = NULL;
	if (!(err = eval_values(p, q, exprs, type, &batch)) && (err = dag_values(type, &batch, 1, &node)))
		err = sql__no_memory(p->reterr);
	if (!err && q->order_count && (err = bind_order_columns(&b, q, type, &keys)))
		dag_unref(node);
	if (!err)
		err = plan_tail(p, q, node, keys, q->order_count, ret);
	batch_unref(batch);
	row_type_unref(type);
	return err;
}

static enum sm_err plan_query(struct planner *p, const struct query *q, struct dag_node **ret)
{
	enum sm_err err = SM_OK;
	if (++p->queries > SQL_QUERIES_MAX)
		return sql__fail(p->reterr, SM_TOO_LARGE, q->line, q->column, "more than %d queries in one statement", SQL_QUERIES_MAX);
	if (++p->depth > SQL_DEPTH_MAX)
		return sql__fail(p->reterr, SM_TOO_LARGE, q->line, q->column, "queries nested more than %d deep", SQL_DEPTH_MAX);
	switch (q->kind) {
	case QUERY_SELECT: err = plan_select(p, q, ret); break;
	case QUERY_UNION:
	case QUERY_UNION_ALL: err = plan_union(p, q, ret); break;
	case QUERY_VALUES: err = plan_values(p, q, ret); break;
	}
	p->depth--;
	return err;
}

enum sm_err sql_plan(const struct compute_env *env, const struct sql_statement *statement, struct dag_node **ret_node,
		     struct sm_error *reterr)
{
	struct planner p = {.env = env, .statement = statement, .memory = plan_memory_new(), .reterr = reterr};
	if (!p.memory)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (env->store)
		p.schema = env->store->ops->schema(env->store);
	enum sm_err err = plan_query(&p, statement->query, ret_node);
	if (p.schema)
		env->store->ops->schema_release(env->store, p.schema);
	plan_memory_unref(p.memory);
	return err;
}
