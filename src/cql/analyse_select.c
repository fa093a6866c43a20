/* SELECT: what is selected, under which names, in which order. */
#include "cql/plan.h"

#include <string.h>

static struct cql_expr *new_expr(struct cql_analysis *a, enum cql_expr_kind kind, const struct store_type *type, const char *name)
{
	struct cql_expr *x = cql__new(a, sizeof *x);
	if (x)
		*x = (struct cql_expr){.kind = kind, .type = type, .name = name};
	return x;
}

/* The name of a result column without an alias, as Cassandra makes it: "system.max(views)", "writetime(v)", "count". */
static const char *selection_name(struct cql_analysis *a, const struct cql_term *t)
{
	struct arena *arena = a->c->arena;
	const char *text = NULL;
	switch (t->kind) {
	case CQL_TERM_COLUMN: return t->name;
	case CQL_TERM_NULL: return "null";
	case CQL_TERM_LITERAL: {
		const char *q = t->literal == CQL_STRING ? "'" : "", *x = t->literal == CQL_HEX ? "0x" : "";
		text = arena_printf(arena, "%s%s%.*s%s", q, x, (int)t->text.size, (const char *)t->text.data, q);
		break;
	}
	case CQL_TERM_CALL: {
		bool plain = strcmp(t->name, "writetime") == 0 || strcmp(t->name, "ttl") == 0 || strcmp(t->name, "maxwritetime") == 0;
		if (t->star)
			return t->name;
		text = arena_printf(arena, "%s%s(", plain ? "" : "system.", t->name);
		for (uint32_t i = 0; text && i < t->arg_count; i++)
			text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", selection_name(a, t->args[i]));
		if (text)
			text = arena_printf(arena, "%s)", text);
		break;
	}
	case CQL_TERM_FIELD: text = arena_printf(arena, "%s.%s", selection_name(a, t->args[0]), t->name); break;
	case CQL_TERM_ELEMENT:
		text = arena_printf(arena, "%s[%s]", selection_name(a, t->args[0]), cql__term_text(t->args[1], arena));
		break;
	case CQL_TERM_SLICE:
		text = arena_printf(arena, "%s[%s..%s]", selection_name(a, t->args[0]), t->args[1] ? cql__term_text(t->args[1], arena) : "",
				    t->args[2] ? cql__term_text(t->args[2], arena) : "");
		break;
	default: text = cql__term_text(t, arena); break;
	}
	return text ? text : "";
}

static enum sm_err selection(struct cql_analysis *a, struct cql_select_plan *plan, const struct cql_term *t, bool inside,
			     struct cql_expr **ret_expr);

static enum sm_err column_expr(struct cql_analysis *a, const char *name, enum cql_expr_kind kind, struct cql_expr **ret_expr)
{
	const struct store_column *column;
	enum sm_err err = cql__column(a, name, &column);
	if (err)
		return err;
	if (kind != CQL_EXPR_COLUMN && column->kind <= STORE_CLUSTERING)
		return cql__fail(a->c->err, CQL_INVALID, "Cannot use selection function %s on PRIMARY KEY part %s",
				 kind == CQL_EXPR_TTL ? "ttl" : "writetime", name);
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
	enum sm_err err = column_expr(a, of->name, ttl ? CQL_EXPR_TTL : CQL_EXPR_WRITETIME, ret_expr);
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
	struct cql_expr *x = new_expr(a, CQL_EXPR_AGGREGATE, f ? cql__type(f->result) : cql__type(STORE_BIGINT), "");
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
				 "Invalid number of arguments in call to function token: %u required but %u provided",
				 table->partition_key_count, t->arg_count);
	struct cql_expr *x = new_expr(a, CQL_EXPR_TOKEN, cql__type(STORE_BIGINT), "token");
	if (!x || !(x->args = cql__new(a, sizeof *x->args * t->arg_count)))
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < t->arg_count; i++) {
		if (t->args[i]->kind != CQL_TERM_COLUMN)
			return cql__fail(a->c->err, CQL_INVALID, "token takes either columns or values");
		enum sm_err err = column_expr(a, t->args[i]->name, CQL_EXPR_COLUMN, &x->args[i]);
		if (err)
			return err;
	}
	x->arg_count = t->arg_count;
	*ret_expr = x;
	return SM_OK;
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
	if (t->star || t->arg_count > 2)
		return cql__fail(c->err, CQL_INVALID, "Unknown function '%s'", t->name);
	for (uint32_t i = 0; i < t->arg_count; i++)
		if (t->args[i]->kind == CQL_TERM_COLUMN || t->args[i]->kind == CQL_TERM_CALL) {
			if ((err = selection(a, plan, t->args[i], true, &args[i])))
				return err;
			types[i] = args[i]->type;
		} else if (t->args[i]->kind == CQL_TERM_LITERAL && t->args[i]->literal == CQL_HEX) {
			types[i] = cql__type(STORE_BLOB);
		}
	if ((err = cql__function_find(c, t->name, types, t->arg_count, &f)))
		return err;
	for (uint32_t i = 0; i < t->arg_count; i++)
		if (!args[i] && (err = cql__term(a, t->args[i], cql__type(f->args[i]), t->name, &args[i])))
			return err;
	if (f->aggregate)
		return inside ? cql__fail(c->err, CQL_INVALID, "aggregate functions cannot be used as arguments of aggregate functions")
			      : aggregate_expr(a, plan, f, args[0], ret_expr);
	struct cql_expr *x = new_expr(a, CQL_EXPR_CALL, cql__type(f->result), t->name);
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
	static const enum store_type_id natural[] = {STORE_TEXT,    STORE_INT,  STORE_UUID,    STORE_DOUBLE,
						     STORE_BOOLEAN, STORE_BLOB, STORE_DURATION};
	struct cql_expr *base = NULL;
	enum sm_err err;
	switch (t->kind) {
	case CQL_TERM_COLUMN: return column_expr(a, t->name, CQL_EXPR_COLUMN, ret_expr);
	case CQL_TERM_FIELD:
	case CQL_TERM_ELEMENT:
	case CQL_TERM_SLICE:
		err = selection(a, plan, t->args[0], inside, &base);
		return err ? err : cql__selected_part(a, t, base, ret_expr);
	case CQL_TERM_CALL: return call_expr(a, plan, t, inside, ret_expr);
	case CQL_TERM_LITERAL: return cql__term(a, t, cql__type(natural[t->literal]), "selection", ret_expr);
	case CQL_TERM_CAST: return cql__fail(a->c->err, CQL_INVALID, "CAST is not supported yet");
	case CQL_TERM_MARKER:
		return cql__fail(a->c->err, CQL_INVALID,
				 "Cannot infer type for term ? in selection clause (try using a cast to force a type)");
	default:
		return cql__fail(a->c->err, CQL_INVALID,
				 "Cannot infer type for term %s in selection clause (try using a cast to force a type)",
				 cql__term_text(t, a->c->arena));
	}
}

static enum sm_err selected_columns(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	const struct store_table *table = plan->table;
	uint32_t count = s->star ? table->column_count : s->selector_count;
	plan->exprs = cql__new(a, sizeof *plan->exprs * count);
	plan->columns = cql__new(a, sizeof *plan->columns * count);
	if (!plan->exprs || !plan->columns)
		return SM_NO_MEMORY;
	plan->column_count = count;
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = s->star ? column_expr(a, table->columns[i].name, CQL_EXPR_COLUMN, &plan->exprs[i])
					  : selection(a, plan, s->selectors[i].term, false, &plan->exprs[i]);
		if (err)
			return err;
		const char *alias = s->star ? NULL : s->selectors[i].alias;
		plan->columns[i].name = alias ? alias : s->star ? table->columns[i].name : selection_name(a, s->selectors[i].term);
		plan->columns[i].type = plan->exprs[i]->type;
	}
	return SM_OK;
}

static enum sm_err check_distinct(struct cql_analysis *a, const struct cql_select *s, const struct cql_select_plan *plan)
{
	const struct store_table *t = plan->table;
	struct cql_context *c = a->c;
	bool seen[STORE_COLUMNS_MAX] = {0};
	for (uint32_t i = 0; i < plan->column_count; i++) {
		const struct cql_expr *x = plan->exprs[i];
		if (x->kind != CQL_EXPR_COLUMN)
			continue;
		const struct store_column *col = &t->columns[x->index];
		if (col->kind != STORE_PARTITION_KEY && col->kind != STORE_STATIC)
			return cql__fail(c->err, CQL_INVALID,
					 "SELECT DISTINCT queries must only request partition key columns and/or static columns (not %s)",
					 col->name);
		seen[x->index] = true;
	}
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		if (!seen[i] && !s->star)
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
	plan->ordered = true;
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

enum sm_err cql__analyse_select(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	enum sm_err err = cql__table(a->c, &s->table, &plan->table, &plan->is_virtual);
	if (err)
		return err;
	a->table = plan->table;
	if (s->json)
		return cql__fail(a->c->err, CQL_INVALID, "SELECT JSON is not supported yet");
	plan->distinct = s->distinct;
	if ((err = selected_columns(a, s, plan)))
		return err;
	if ((err = cql__analyse_where(a, s->where, s->where_count, CQL_FOR_SELECT, s->allow_filtering || plan->is_virtual, &plan->where)))
		return err;
	if (plan->distinct && (err = check_distinct(a, s, plan)))
		return err;
	if ((err = analyse_group_by(a, s, plan)) || (err = analyse_order(a, s, plan)))
		return err;
	if ((err = analyse_limit(a, s->partition_limit, "PER PARTITION LIMIT", "[per_partition_limit]", &plan->partition_limit)) ||
	    (err = analyse_limit(a, s->limit, "LIMIT", "[limit]", &plan->limit)))
		return err;
	if (plan->distinct && plan->partition_limit)
		return cql__fail(a->c->err, CQL_INVALID, "PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries");
	if (plan->aggregate && plan->partition_limit && !plan->group_count)
		return cql__fail(a->c->err, CQL_INVALID, "PER PARTITION LIMIT is not allowed with aggregate queries.");
	if (plan->partition_limit && plan->group_count)
		return cql__fail(a->c->err, CQL_INVALID, "PER PARTITION LIMIT with GROUP BY is not supported yet");
	if (plan->group_count) /* without an aggregate the first row of each group is shown */
		plan->aggregate = true;
	warn_of_aggregates(a, plan);
	return SM_OK;
}
