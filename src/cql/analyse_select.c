/* SELECT: what is selected, under which names, in which order. */
#include "cql/arithmetic.h"
#include "cql/json_value.h"

#include <assert.h>
#include <string.h>

static struct cql_expr *new_expr(struct cql_analysis *a, enum cql_expr_kind kind, const struct store_type *type, const char *name)
{
	struct cql_expr *x = cql__new(a, sizeof *x);
	if (x)
		*x = (struct cql_expr){.kind = kind, .type = type, .name = name};
	return x;
}

static enum sm_err selection(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, bool inside,
			     struct cql_expr **ret_expr);

static enum sm_err column_expr(struct cql_analysis *a, const char *name, enum cql_expr_kind kind, const char *function,
			       struct cql_expr **ret_expr)
{
	const struct store_column *column;
	enum sm_err err = cql__column(a, name, &column);
	if (err)
		return err;
	if (kind != CQL_EXPR_COLUMN && column->kind <= STORE_CLUSTERING)
		return cql__fail(a->c->err, CQL_INVALID, "Cannot use selection function %s on PRIMARY KEY part %s", function, name);
	const struct store_type *type = kind == CQL_EXPR_COLUMN ? &column->type
								: cql__type(kind == CQL_EXPR_TTL ? STORE_INT : STORE_BIGINT);
	struct cql_expr *x = new_expr(a, kind, type, name);
	if (!x)
		return SM_NO_MEMORY;
	x->index = (uint32_t)(column - a->table->columns);
	*ret_expr = x;
	return SM_OK;
}

static const struct cql_term *column_of(const struct cql_term *t)
{
	while (t->kind == CQL_TERM_FIELD || t->kind == CQL_TERM_ELEMENT || t->kind == CQL_TERM_SLICE)
		t = t->args[0];
	return t;
}

/* writetime, maxwritetime and ttl: of a column, of its elements as a list, or of a part of it. */
static enum sm_err times_expr(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, struct cql_expr **ret_expr)
{
	bool ttl = strcmp(t->name, "ttl") == 0, most = t->name[0] == 'm';
	const struct cql_term *arg = t->arg_count == 1 ? t->args[0] : NULL, *of = arg ? column_of(arg) : NULL;
	struct cql_expr *part = NULL;
	if (!of || of->kind != CQL_TERM_COLUMN)
		return cql__fail(a->c->err, CQL_SYNTAX_ERROR, "line %u:%u %s takes the name of a column", t->place.line, t->place.column,
				 t->name);
	enum sm_err err = column_expr(a, of->name, ttl ? CQL_EXPR_TTL : CQL_EXPR_WRITETIME, t->name, ret_expr);
	if (err || (arg != of && (err = selection(a, plan, arg, true, &part))))
		return err;
	struct cql_expr *x = *ret_expr;
	bool elements = store_type_multi_cell(&a->table->columns[x->index].type);
	if ((!part && !elements) || most)
		return SM_OK;
	x->kind = CQL_EXPR_ELEMENT_TIMES;
	x->star = ttl;
	if (part) {
		if (!(x->args = cql__new(a, sizeof *x->args)))
			return SM_NO_MEMORY;
		x->args[0] = part;
		x->arg_count = 1;
	}
	if (elements && (!part || part->kind == CQL_EXPR_SLICE)) {
		struct store_type *list = cql__new(a, sizeof *list);
		if (!list)
			return SM_NO_MEMORY;
		*list = (struct store_type){STORE_LIST, 1, x->type};
		x->type = list;
	}
	return SM_OK;
}

static enum sm_err aggregate_expr(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_function *f, struct cql_expr *arg,
				  struct cql_expr **ret_expr)
{
	struct cql_expr *x = new_expr(a, CQL_EXPR_AGGREGATE, f ? cql__function_type(f) : cql__type(STORE_BIGINT), "");
	if (!x || !(x->args = cql__new(a, sizeof *x->args)))
		return SM_NO_MEMORY;
	x->function = f;
	x->star = arg == NULL;
	x->args[0] = arg;
	x->arg_count = arg != NULL;
	x->index = plan->aggregate_count++;
	plan->aggregate = true;
	*ret_expr = x;
	return SM_OK;
}

static enum sm_err token_expr(struct cql_analysis *a, const struct cql_term *t, struct cql_expr **ret_expr)
{
	const struct store_table *table = a->table;
	bool columns = t->arg_count > 0 && t->args[0]->kind == CQL_TERM_COLUMN;
	if (!columns) {
		enum sm_err err = cql__term(a, t, cql__type(STORE_BIGINT), "token", ret_expr);
		return err;
	}
	if (t->arg_count != table->partition_key_count)
		return cql__fail(a->c->err, CQL_INVALID,
				 "Invalid number of arguments in call to function system.token: %u required but %u provided",
				 table->partition_key_count, t->arg_count);
	struct cql_expr *x = new_expr(a, CQL_EXPR_TOKEN, cql__type(STORE_BIGINT), "token");
	if (!x || !(x->args = cql__new(a, sizeof *x->args * t->arg_count)))
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < t->arg_count; i++) {
		if (t->args[i]->kind != CQL_TERM_COLUMN)
			return cql__fail(a->c->err, CQL_INVALID, "token takes either columns or values");
		enum sm_err err = column_expr(a, t->args[i]->name, CQL_EXPR_COLUMN, NULL, &x->args[i]);
		if (err)
			return err;
	}
	x->arg_count = t->arg_count;
	*ret_expr = x;
	return SM_OK;
}

static bool is_aggregate(const char *name)
{
	static const char *const names[] = {"count", "min", "max", "sum", "avg"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* With its keyspace, where one was written. */
static enum sm_err unknown_function(struct cql_analysis *a, const struct cql_term *t, enum sm_err err)
{
	if (t->keyspace && strncmp(a->c->err->text, "Unknown function", 16) == 0)
		return cql__fail(a->c->err, CQL_INVALID, "Unknown function '%s.%s'", t->keyspace, t->name);
	return err;
}

static enum sm_err to_json_expr(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, bool inside,
				struct cql_expr **ret_expr)
{
	struct cql_expr *arg = NULL;
	const struct store_type *type;
	enum sm_err err;
	if (t->arg_count != 1)
		return cql__fail(a->c->err, CQL_INVALID, "%s() only accepts one argument", t->name);
	if ((type = cql__literal_type(t->args[0], a->c->arena)))
		err = cql__term(a, t->args[0], type, "[selection]", &arg);
	else
		err = selection(a, plan, t->args[0], inside, &arg);
	return err ? err : cql__to_json(a, arg, ret_expr);
}

static enum sm_err operation_expr(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, bool inside,
				  struct cql_expr **ret_expr)
{
	struct cql_expr *args[2] = {0};
	for (uint32_t i = 0; i < t->arg_count; i++) {
		const struct cql_term *arg = t->args[i];
		while (arg->kind == CQL_TERM_TUPLE && arg->arg_count == 1) /* (a + b) * c */
			arg = arg->args[0];
		const struct store_type *type = cql__literal_type(arg, a->c->arena);
		if (arg->kind == CQL_TERM_MARKER)
			return cql__fail(a->c->err, CQL_INVALID,
					 "Ambiguous '%c' operation with args %s and %s: use type hint to disambiguate, example '(int) ?'",
					 t->op, cql__term_text(t->args[0], a->c->arena),
					 t->arg_count > 1 ? cql__term_text(t->args[1], a->c->arena) : "");
		enum sm_err err = type ? cql__term(a, arg, type, "[selection]", &args[i]) : selection(a, plan, arg, inside, &args[i]);
		if (err)
			return err;
	}
	return cql__arithmetic(a, t, args, ret_expr);
}

static enum sm_err cast_expr(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, bool inside,
			     struct cql_expr **ret_expr)
{
	struct cql_expr *arg = NULL;
	if (t->is_function) {
		enum sm_err err = selection(a, plan, t->args[0], inside, &arg);
		return err ? err : cql__cast(a, t, arg, ret_expr);
	}
	struct store_type *type = cql__new(a, sizeof *type); /* a type hint: (int)5 */
	if (!type)
		return SM_NO_MEMORY;
	enum sm_err err = cql__type_resolve(a->c, a->c->keyspace, t->type, type);
	if (err)
		return err;
	struct cql_error before = *a->c->err;
	if (t->args[0]->kind != CQL_TERM_COLUMN && cql__term(a, t->args[0], type, "[selection]", ret_expr) == SM_OK)
		return SM_OK;
	const char *text = cql__term_text(t, a->c->arena);
	*a->c->err = before;
	return cql__fail(a->c->err, CQL_INVALID, "Cannot assign value %s to %s of type %s", text, text, cql_type_text(type, a->c->arena));
}

static enum sm_err call_expr(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, bool inside,
			     struct cql_expr **ret_expr)
{
	struct cql_context *c = a->c;
	const struct cql_function *f;
	const struct store_type *types[2] = {0};
	struct cql_expr *args[2] = {0};
	enum sm_err err;
	if (t->keyspace && strcmp(t->keyspace, "system") != 0)
		return cql__fail(c->err, CQL_INVALID, "Unknown function '%s.%s'", t->keyspace, t->name);
	if (strcmp(t->name, "ttl") == 0 || strcmp(t->name, "writetime") == 0 || strcmp(t->name, "maxwritetime") == 0)
		return times_expr(a, plan, t, ret_expr);
	if (strcmp(t->name, "token") == 0)
		return token_expr(a, t, ret_expr);
	if (strcmp(t->name, "count") == 0 && (t->star || (t->arg_count == 1 && t->args[0]->kind == CQL_TERM_LITERAL)))
		return inside ? cql__fail(c->err, CQL_INVALID, "aggregate functions cannot be used as arguments of aggregate functions")
			      : aggregate_expr(a, plan, NULL, NULL, ret_expr);
	if (cql__is_from_json(t->name))
		return cql__fail(c->err, CQL_INVALID, "%s() cannot be used in the selection clause of a SELECT statement", t->name);
	if (cql__is_to_json(t->name))
		return to_json_expr(a, plan, t, inside, ret_expr);
	if (t->star || t->arg_count > 2)
		return cql__fail(c->err, CQL_INVALID, "Unknown function '%s%s%s'", t->keyspace ? t->keyspace : "", t->keyspace ? "." : "",
				 t->name);
	const char *texts[2] = {0};
	bool aggregates = is_aggregate(t->name);
	for (uint32_t i = 0; i < t->arg_count; i++) {
		const struct cql_term *arg = t->args[i];
		texts[i] = cql__term_text(arg, c->arena);
		if (arg->kind == CQL_TERM_LITERAL && (arg->literal == CQL_HEX || cql__is_math(t->name))) {
			types[i] = cql__literal_type(arg, c->arena);
		} else if (arg->kind != CQL_TERM_LITERAL && arg->kind != CQL_TERM_MARKER && arg->kind != CQL_TERM_NULL &&
			   !(arg->kind == CQL_TERM_LIST && cql__is_similarity(t->name))) {
			if ((err = selection(a, plan, arg, inside || aggregates, &args[i])))
				return err;
			assert(args[i] != NULL);
			types[i] = args[i]->type;
		}
	}
	if (cql__is_similarity(t->name))
		return cql__similarity_call(a, t, args, ret_expr);
	c->argument_texts = texts;
	err = cql__function_find(c, t->name, types, t->arg_count, &f);
	c->argument_texts = NULL;
	if (err)
		return unknown_function(a, t, err);
	for (uint32_t i = 0; i < t->arg_count; i++)
		if (!args[i] && (err = cql__term(a, t->args[i], cql__type(f->args[i]), "[selection]", &args[i])))
			return err;
	if (f->aggregate)
		return inside ? cql__fail(c->err, CQL_INVALID, "aggregate functions cannot be used as arguments of aggregate functions")
			      : aggregate_expr(a, plan, f, args[0], ret_expr);
	struct cql_expr *x = new_expr(a, CQL_EXPR_CALL, cql__function_type(f), t->name);
	if (!x || !(x->args = cql__new(a, sizeof args)))
		return SM_NO_MEMORY;
	memcpy(x->args, args, sizeof args);
	x->function = f;
	x->arg_count = t->arg_count;
	*ret_expr = x;
	return SM_OK;
}

static enum sm_err selection(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, bool inside,
			     struct cql_expr **ret_expr)
{
	struct cql_expr *base = NULL;
	enum sm_err err;
	switch (t->kind) {
	case CQL_TERM_COLUMN: return column_expr(a, t->name, CQL_EXPR_COLUMN, NULL, ret_expr);
	case CQL_TERM_FIELD:
	case CQL_TERM_ELEMENT:
	case CQL_TERM_SLICE:
		err = selection(a, plan, t->args[0], inside, &base);
		return err ? err : cql__selected_part(a, t, base, ret_expr);
	case CQL_TERM_CALL: return call_expr(a, plan, t, inside, ret_expr);
	case CQL_TERM_CAST: return cast_expr(a, plan, t, inside, ret_expr);
	case CQL_TERM_OPERATION: return operation_expr(a, plan, t, inside, ret_expr);
	default: break;
	}
	return cql__fail(a->c->err, CQL_INVALID, "Cannot infer type for term %s in selection clause (try using a cast to force a type)",
			 cql__term_text(t, a->c->arena));
}

static enum sm_err selected_columns(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	const struct store_table *table = plan->table;
	uint32_t count = s->star ? table->column_count : s->selector_count;
	plan->exprs = cql__new(a, sizeof *plan->exprs * count);
	plan->value_names = cql__new(a, sizeof *plan->value_names * count);
	plan->columns = cql__new(a, sizeof *plan->columns * (count + 1));
	if (!plan->exprs || !plan->value_names || !plan->columns)
		return SM_NO_MEMORY;
	plan->value_count = plan->column_count = count;
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = s->star ? column_expr(a, table->columns[i].name, CQL_EXPR_COLUMN, NULL, &plan->exprs[i])
					  : selection(a, plan, s->selectors[i].term, false, &plan->exprs[i]);
		if (err)
			return err;
		const char *alias = s->star ? NULL : s->selectors[i].alias;
		bool plain = !s->star && !alias && plan->exprs[i]->kind == CQL_EXPR_COLUMN; /* a cast that is none has no name */
		plan->value_names[i] = alias     ? alias
				       : s->star ? table->columns[i].name
				       : plain   ? table->columns[plan->exprs[i]->index].name
						 : cql__selection_name(s->selectors[i].term, a->c->arena);
		plan->columns[i] = (struct cql_result_column){plan->value_names[i], plan->exprs[i]->type};
	}
	if (s->json) {
		plan->json = true;
		plan->column_count = 1;
		plan->columns[0] = (struct cql_result_column){"[json]", cql__type(STORE_TEXT)};
	}
	return SM_OK;
}

/* The columns that an expression reads; others than the partition's own are refused. */
static enum sm_err mark_columns(struct cql_analysis *a, const struct cql_expr *x, bool *seen)
{
	bool column = x->kind == CQL_EXPR_COLUMN || x->kind == CQL_EXPR_WRITETIME || x->kind == CQL_EXPR_TTL ||
		      x->kind == CQL_EXPR_ELEMENT_TIMES;
	const struct store_column *col = &a->table->columns[column ? x->index : 0];
	if (column && col->kind != STORE_PARTITION_KEY && col->kind != STORE_STATIC)
		return cql__fail(a->c->err, CQL_INVALID,
				 "SELECT DISTINCT queries must only request partition key columns and/or static columns (not %s)",
				 col->name);
	if (column)
		seen[x->index] = true;
	for (uint32_t i = 0; x->args && i < x->arg_count; i++) {
		enum sm_err err = x->args[i] ? mark_columns(a, x->args[i], seen) : SM_OK; /* NULL: a slice without an end */
		if (err)
			return err;
	}
	return SM_OK;
}

static enum sm_err check_distinct(struct cql_analysis *a, const struct cql_select *s, const struct cql_select_plan *plan)
{
	const struct store_table *t = plan->table;
	struct cql_context *c = a->c;
	bool seen[STORE_COLUMNS_MAX] = {0};
	for (uint32_t i = 0; i < plan->value_count; i++) {
		enum sm_err err = mark_columns(a, plan->exprs[i], seen);
		if (err)
			return err;
	}
	bool sorted = false; /* by what is then read as well */
	for (uint16_t i = 0; plan->where.partition && i < t->partition_key_count; i++)
		sorted |= plan->where.partition[i]->op == CQL_IN;
	for (uint32_t i = 0; sorted && i < s->order_count; i++) {
		const struct store_column *column;
		enum sm_err err = cql__column(a, s->order_by[i].column, &column);
		struct cql_expr read = {.kind = CQL_EXPR_COLUMN, .index = err ? 0 : (uint16_t)(column - t->columns)};
		if (err || (err = mark_columns(a, &read, seen)))
			return err;
	}
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		if (!seen[i])
			return cql__fail(c->err, CQL_INVALID,
					 "SELECT DISTINCT queries must request all the partition key columns (missing %s)",
					 t->columns[i].name);
	for (uint32_t i = 0; i < plan->where.count; i++)
		if (plan->where.restrictions[i].columns[0]->kind != STORE_PARTITION_KEY &&
		    plan->where.restrictions[i].columns[0]->kind != STORE_STATIC)
			return cql__fail(
				c->err, CQL_INVALID,
				"SELECT DISTINCT with WHERE clause only supports restriction by partition key and/or static columns.");
	return SM_OK;
}

static enum sm_err analyse_group_by(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	const struct store_table *t = plan->table;
	uint16_t next = 0;
	for (uint32_t i = 0; i < s->group_count; i++) {
		const struct store_column *col;
		enum sm_err err = cql__column(a, s->group_by[i], &col);
		if (err)
			return err;
		uint16_t at = (uint16_t)(col - t->columns);
		if (col->kind > STORE_CLUSTERING)
			return cql__fail(a->c->err, CQL_INVALID,
					 "Group by is currently only supported on the columns of the PRIMARY KEY, got %s", col->name);
		/* Columns restricted by = may be left out. */
		while (next < at) {
			const struct store_column *skipped = &t->columns[next];
			bool equal = false;
			for (uint32_t k = 0; k < plan->where.count; k++)
				equal |= plan->where.restrictions[k].op == CQL_EQ && plan->where.restrictions[k].columns[0] == skipped;
			if (!equal)
				break;
			next++;
		}
		if (at != next)
			return cql__fail(
				a->c->err, CQL_INVALID,
				"Group by currently only support groups of columns following their declared order in the PRIMARY KEY");
		next++;
	}
	if (next && next < t->partition_key_count)
		return cql__fail(a->c->err, CQL_INVALID, "Group by is not supported on only a part of the partition key");
	if (plan->distinct && next > t->partition_key_count)
		return cql__fail(a->c->err, CQL_INVALID, "Grouping on clustering columns is not allowed for SELECT DISTINCT queries");
	plan->group_count = next;
	return SM_OK;
}

static enum sm_err analyse_order(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	struct cql_context *c = a->c;
	uint16_t next = 0;
	bool first = true;
	if (!s->order_count)
		return SM_OK;
	for (uint32_t i = 0; i < s->order_count; i++)
		if (s->order_by[i].ann)
			return cql__analyse_ann(a, s, plan);
	plan->ordered = true;
	if (plan->where.indexed)
		return cql__fail(c->err, CQL_INVALID, "ORDER BY with 2ndary indexes is not supported, except for ANN queries.");
	if (!plan->where.partition)
		return cql__fail(c->err, CQL_INVALID, "ORDER BY is only supported when the partition key is restricted by an EQ or an IN.");
	for (uint32_t i = 0; i < s->order_count; i++) {
		const struct store_column *col;
		enum sm_err err = cql__column(a, s->order_by[i].column, &col);
		if (err)
			return err;
		if (col->kind != STORE_CLUSTERING)
			return cql__fail(c->err, CQL_INVALID,
					 "Order by is currently only supported on the clustered columns of the PRIMARY KEY, got %s",
					 col->name);
		while (next < col->position) { /* columns restricted by = may be left out */
			bool equal = false;
			for (uint32_t k = 0; k < plan->where.count; k++)
				equal |= plan->where.restrictions[k].op == CQL_EQ &&
					 plan->where.restrictions[k].columns[0]->kind == STORE_CLUSTERING &&
					 plan->where.restrictions[k].columns[0]->position <= next &&
					 next < plan->where.restrictions[k].columns[0]->position + plan->where.restrictions[k].column_count;
			if (!equal)
				break;
			next++;
		}
		if (col->position != next)
			return cql__fail(c->err, CQL_INVALID,
					 "Order by currently only supports the ordering of columns following their declared order in the "
					 "PRIMARY KEY");
		next++;
		bool reversed = s->order_by[i].descending != col->descending;
		if (!first && reversed != plan->reversed)
			return cql__fail(c->err, CQL_INVALID, "Unsupported order by relation");
		plan->reversed = reversed;
		first = false;
	}
	plan->order_count = next;
	return SM_OK;
}

static enum sm_err analyse_limit(struct cql_analysis *a, const struct cql_term *t, const char *what, const char *name,
				 struct cql_expr **ret_expr)
{
	if (!t)
		return SM_OK;
	enum sm_err err = cql__term(a, t, cql__type(STORE_INT), name, ret_expr);
	if (err || (*ret_expr)->kind != CQL_EXPR_CONST)
		return err;
	if ((*ret_expr)->cell.size != 4 || (int32_t)be32_get((*ret_expr)->cell.data) <= 0)
		return cql__fail(a->c->err, CQL_INVALID, "%s must be strictly positive", what);
	return SM_OK;
}

static void warn_of_aggregates(struct cql_analysis *a, const struct cql_select_plan *plan)
{
	struct cql_plan *p = a->plan;
	if (!plan->aggregate || plan->is_virtual)
		return;
	bool many = false;
	for (uint16_t i = 0; plan->where.partition && i < plan->table->partition_key_count; i++)
		many |= plan->where.partition[i]->op == CQL_IN;
	if (!plan->where.key_restricted)
		p->warnings[p->warning_count++] = "Aggregation query used without partition key";
	else if (many)
		p->warnings[p->warning_count++] = "Aggregation query used on multiple partition keys (IN restriction)";
}

/* The order in which Cassandra looks: a statement with two errors gets the same one. */
static enum sm_err analyse_clauses(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	enum sm_err err = SM_OK;
	const struct store_column *column;
	for (uint32_t i = 0; i < s->order_count && !err; i++)
		err = cql__column(a, s->order_by[i].column, &column);
	if (err ||
	    (err = cql__analyse_where(a, s->where, s->where_count, CQL_FOR_SELECT, s->allow_filtering || plan->is_virtual, &plan->where)) ||
	    (err = selected_columns(a, s, plan)))
		return err;
	if (plan->distinct && s->partition_limit)
		return cql__fail(a->c->err, CQL_INVALID, "PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries");
	if (plan->distinct && (err = check_distinct(a, s, plan)))
		return err;
	if ((err = analyse_group_by(a, s, plan)))
		return err;
	if (plan->aggregate && s->partition_limit && !plan->group_count)
		return cql__fail(a->c->err, CQL_INVALID, "PER PARTITION LIMIT is not allowed with aggregate queries.");
	return analyse_order(a, s, plan);
}

enum sm_err cql__analyse_select(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	enum sm_err err = cql__table(a->c, &s->table, &plan->table, &plan->is_virtual);
	if (err)
		return err;
	a->table = plan->table;
	plan->distinct = s->distinct;
	if ((err = analyse_clauses(a, s, plan)))
		return err;
	if ((err = analyse_limit(a, s->partition_limit, "LIMIT", "[per_partition_limit]", &plan->partition_limit)) ||
	    (err = analyse_limit(a, s->limit, "LIMIT", "[limit]", &plan->limit)))
		return err;
	if (plan->group_count) /* without an aggregate the first row of each group is shown */
		plan->aggregate = true;
	warn_of_aggregates(a, plan);
	return SM_OK;
}
