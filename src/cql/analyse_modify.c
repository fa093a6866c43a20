/* INSERT, UPDATE and DELETE: which cells of which rows. */
#include "cql/view.h"

#include <string.h>

static enum sm_err usings(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	enum sm_err err = SM_OK;
	if (m->timestamp)
		err = cql__term(a, m->timestamp, cql__type(STORE_BIGINT), "[timestamp]", &plan->timestamp);
	if (!err && m->ttl)
		err = cql__term(a, m->ttl, cql__type(STORE_INT), "[ttl]", &plan->ttl);
	return err;
}

static enum sm_err add_cell(struct cql_analysis *a, struct cql_modify_plan *plan, const struct store_column *column,
			    const struct cql_term *value)
{
	if (value) {
		enum sm_err err = cql__term(a, value, &column->type, column->name, &plan->values[plan->count]);
		if (err)
			return err;
	}
	plan->columns[plan->count++] = column;
	return SM_OK;
}

/* What is written and what is asked for are static columns. */
static bool only_statics(const struct cql_modify_plan *plan)
{
	for (uint32_t i = 0; i < plan->count; i++)
		if (plan->columns[i]->kind != STORE_STATIC)
			return false;
	for (uint32_t i = 0; i < plan->condition_count; i++)
		if (plan->conditions[i].column->kind != STORE_STATIC)
			return false;
	return plan->count + plan->condition_count > 0;
}

static enum sm_err missing(struct cql_analysis *a, const char *what, const bool *present, uint16_t first, uint16_t count)
{
	const char *names = NULL;
	for (uint16_t i = 0; i < count; i++)
		if (!present[i])
			names = arena_printf(a->c->arena, "%s%s%s", names ? names : "", names ? ", " : "",
					     a->table->columns[first + i].name);
	return names ? cql__fail(a->c->err, CQL_INVALID, "Some %s are missing: %s", what, names) : SM_OK;
}

/* A relation column = value of an INSERT, so that keys are made as everywhere else. */
static struct cql_relation equals(struct cql_analysis *a, const struct cql_assign *assign)
{
	struct cql_relation r = {.op = CQL_EQ, .column_count = 1, .value = assign->value};
	r.columns = cql__new(a, sizeof *r.columns);
	if (r.columns)
		r.columns[0] = assign->column;
	return r;
}

static enum sm_err insert_keys(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	const struct store_table *t = a->table;
	struct cql_relation *relations = cql__new(a, sizeof *relations * m->assign_count);
	bool *present = cql__new(a, sizeof *present * (t->partition_key_count + t->clustering_count));
	uint32_t count = 0;
	if (!relations || !present)
		return SM_NO_MEMORY;
	/* In the order of the key, so that it reads as a WHERE that is always right. */
	for (uint16_t k = 0; k < t->partition_key_count + t->clustering_count; k++)
		for (uint32_t i = 0; i < m->assign_count; i++)
			if (strcmp(m->assigns[i].column, t->columns[k].name) == 0) {
				present[k] = true;
				relations[count] = equals(a, &m->assigns[i]);
				if (!relations[count++].columns)
					return SM_NO_MEMORY;
			}
	enum sm_err err = missing(a, "partition key parts", present, 0, t->partition_key_count);
	if (err)
		return err;
	bool any_clustering = false;
	for (uint16_t i = 0; i < t->clustering_count; i++)
		any_clustering |= present[t->partition_key_count + i];
	plan->statics_only = t->clustering_count && !any_clustering && only_statics(plan);
	if (!plan->statics_only &&
	    (err = missing(a, "clustering keys", present + t->partition_key_count, t->partition_key_count, t->clustering_count)))
		return err;
	return cql__analyse_where(a, relations, count, CQL_FOR_UPDATE, false, &plan->where);
}

/* INSERT JSON is an INSERT of every column, whose values come from the document. */
static enum sm_err insert_json(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	const struct store_table *t = a->table;
	struct cql_modify all = *m;
	struct cql_term *terms = cql__new(a, sizeof *terms * t->column_count);
	all.assigns = cql__new(a, sizeof *all.assigns * t->column_count);
	plan->columns = cql__new(a, sizeof *plan->columns * t->column_count);
	plan->values = cql__new(a, sizeof *plan->values * t->column_count);
	plan->operations = cql__new(a, sizeof *plan->operations * t->column_count);
	if (!terms || !all.assigns || !plan->columns || !plan->values || !plan->operations)
		return SM_NO_MEMORY;
	enum sm_err err = cql__term(a, m->json, cql__type(STORE_TEXT), "[json]", &plan->json);
	plan->json_unset = m->json_unset;
	all.assign_count = t->column_count;
	for (uint16_t i = 0; !err && i < t->column_count; i++) {
		terms[i] = (struct cql_term){.kind = CQL_TERM_JSON_FIELD, .name = t->columns[i].name};
		all.assigns[i] = (struct cql_assign){.column = t->columns[i].name, .value = &terms[i]};
		if (t->columns[i].kind > STORE_CLUSTERING)
			err = add_cell(a, plan, &t->columns[i], &terms[i]);
	}
	if (!err)
		err = insert_keys(a, &all, plan);
	return err ? err : usings(a, m, plan);
}

static enum sm_err insert(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	struct cql_context *c = a->c;
	const struct store_column *column;
	enum sm_err err;
	for (uint32_t i = 0; i < m->assign_count; i++) {
		if ((err = cql__column(a, m->assigns[i].column, &column)))
			return err;
	}
	if (m->assign_count != m->value_count)
		return cql__fail(c->err, CQL_INVALID, "Unmatched column names/values");
	for (uint32_t i = 0; i < m->assign_count; i++) {
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(m->assigns[k].column, m->assigns[i].column) == 0)
				return cql__fail(c->err, CQL_INVALID, "The column names contains duplicates");
		if ((err = cql__column(a, m->assigns[i].column, &column)))
			return err;
		if (column->kind > STORE_CLUSTERING && (err = add_cell(a, plan, column, m->assigns[i].value)))
			return err;
	}
	if ((err = insert_keys(a, m, plan)))
		return err;
	return usings(a, m, plan);
}

static bool whole_row(const struct cql_modify_plan *plan)
{
	uint16_t covered = 0;
	for (uint32_t i = 0; i < plan->where.clustering_count; i++)
		if (plan->where.clustering[i].equal)
			covered = (uint16_t)(covered + plan->where.clustering[i].equal->column_count);
	return covered == plan->table->clustering_count;
}

static enum sm_err missing_clustering(struct cql_analysis *a, const struct cql_modify_plan *plan)
{
	const struct store_table *t = a->table;
	bool *present = cql__new(a, sizeof *present * t->clustering_count);
	if (!present)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < plan->where.count; i++)
		for (uint16_t k = 0; k < plan->where.restrictions[i].column_count; k++)
			if (plan->where.restrictions[i].columns[k]->kind == STORE_CLUSTERING)
				present[plan->where.restrictions[i].columns[k]->position] = true;
	return missing(a, "clustering keys", present, t->partition_key_count, t->clustering_count);
}

/* Rows are named, and nothing but what the partition shares is changed. */
static enum sm_err check_static_rows(struct cql_analysis *a, const struct cql_modify *m, const struct cql_modify_plan *plan,
				     const char *statement)
{
	bool clustering = false;
	for (uint32_t i = 0; i < m->where_count; i++)
		for (uint32_t k = 0; k < m->where[i].column_count; k++) {
			const struct store_column *column;
			enum sm_err err = cql__column(a, m->where[i].columns[k], &column);
			if (err)
				return err;
			clustering |= column->kind == STORE_CLUSTERING;
		}
	if (!only_statics(plan) || !clustering)
		return SM_OK;
	return cql__fail(a->c->err, CQL_INVALID,
			 "Invalid restrictions on clustering columns since the %s statement modifies only static columns", statement);
}

/* What the assignments so far do to a column: fields of a user type may be set side by side, and so may elements. */
struct touched {
	bool any, whole;
	const struct cql_assign **fields; /* by their number; NULL: not set */
};

static enum sm_err note_assign(struct cql_analysis *a, const struct cql_assign *s, const struct store_column *column, struct touched *t)
{
	int field = s->kind == CQL_SET_FIELD && column->type.id == STORE_UDT ? cql__field_of(&column->type, s->field) : -1;
	if (field >= 0 && !t->fields && !(t->fields = cql__new(a, sizeof *t->fields * column->type.element_count)))
		return SM_NO_MEMORY;
	if (t->whole || (t->any && s->kind == CQL_SET_VALUE) || (field >= 0 && t->fields[field]))
		return cql__fail(a->c->err, CQL_SYNTAX_ERROR, "Multiple incompatible setting of column %s", column->name);
	t->any = true;
	t->whole = s->kind == CQL_SET_VALUE;
	if (field >= 0)
		t->fields[field] = s;
	return SM_OK;
}

static enum sm_err update(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	struct cql_context *c = a->c;
	enum sm_err err = usings(a, m, plan);
	struct touched *touched = cql__new(a, sizeof *touched * a->table->column_count);
	if (!touched)
		return SM_NO_MEMORY;
	plan->mutation = STORE_UPSERT_UPDATE;
	for (uint32_t i = 0; !err && i < m->assign_count; i++) {
		const struct cql_assign *s = &m->assigns[i];
		const struct store_column *column;
		if ((err = cql__column(a, s->column, &column)))
			return err;
		if (column->kind <= STORE_CLUSTERING)
			return cql__fail(c->err, CQL_INVALID, "PRIMARY KEY part %s found in SET part", column->name);
		if ((err = note_assign(a, s, column, &touched[column - a->table->columns])))
			return err;
		err = cql__operation(a, s, column, false, plan);
	}
	if (err || (err = check_static_rows(a, m, plan, "UPDATE")) ||
	    (err = cql__analyse_where(a, m->where, m->where_count, CQL_FOR_UPDATE, false, &plan->where)))
		return err;
	plan->statics_only = only_statics(plan) && a->table->clustering_count > 0;
	return plan->statics_only || whole_row(plan) ? SM_OK : missing_clustering(a, plan);
}

static enum sm_err deleted_columns(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	struct cql_context *c = a->c;
	enum sm_err err = usings(a, m, plan);
	bool *whole = cql__new(a, sizeof *whole * a->table->column_count);
	if (!whole)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; !err && i < m->assign_count; i++) {
		const struct store_column *column;
		if ((err = cql__column(a, m->assigns[i].column, &column)))
			return err;
		if (column->kind <= STORE_CLUSTERING)
			return cql__fail(c->err, CQL_INVALID, "Invalid identifier %s for deletion (should not be a PRIMARY KEY part)",
					 column->name);
		bool *again = &whole[column - a->table->columns];
		if (m->assigns[i].kind == CQL_SET_VALUE && *again)
			continue;
		err = cql__operation(a, &m->assigns[i], column, true, plan);
		const struct cql_operation *last = plan->count ? &plan->operations[plan->count - 1] : NULL;
		*again |= last && last->kind == CQL_OP_ASSIGN && !last->key;
	}
	return err;
}

static enum sm_err deletion(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	struct cql_context *c = a->c;
	enum sm_err err = deleted_columns(a, m, plan);
	if (err || (err = cql__analyse_where(a, m->where, m->where_count, CQL_FOR_DELETE, false, &plan->where)))
		return err;
	if (plan->count) {
		if ((err = check_static_rows(a, m, plan, "DELETE")))
			return err;
		plan->mutation = STORE_DELETE_CELLS;
		plan->statics_only = only_statics(plan) && a->table->clustering_count > 0;
		if (plan->statics_only || whole_row(plan) || plan->condition_kind) /* condition.c has other words for it */
			return SM_OK;
		return cql__fail(c->err, CQL_INVALID, "Range deletions are not supported for specific columns");
	}
	if (plan->where.clustering_count == 0 && a->table->clustering_count)
		plan->mutation = STORE_DELETE_PARTITION;
	else if (whole_row(plan))
		plan->mutation = a->table->clustering_count ? STORE_DELETE_ROW : STORE_DELETE_PARTITION;
	else
		plan->mutation = STORE_DELETE_RANGE;
	return SM_OK;
}

static enum sm_err check_counter(struct cql_analysis *a, const struct cql_modify *m)
{
	struct cql_error *err = a->c->err;
	if (m->kind == CQL_INSERT)
		return cql__fail(err, CQL_INVALID, "INSERT statements are not allowed on counter tables, use UPDATE instead");
	if (m->timestamp)
		return cql__fail(err, CQL_INVALID, "Cannot provide custom timestamp for counter updates");
	return m->ttl ? cql__fail(err, CQL_INVALID, "Cannot provide custom TTL for counter updates") : SM_OK;
}

enum sm_err cql__analyse_modify(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	const char *keyspace;
	bool is_virtual;
	enum sm_err err = cql__keyspace_of(a->c, &m->table, &keyspace);
	if (err || (err = cql__table(a->c, &m->table, &plan->table, &is_virtual)) || (err = cql__check_user_keyspace(a->c, keyspace)))
		return err;
	if (cql__view_base(plan->table))
		return cql__fail(a->c->err, CQL_INVALID, "Cannot directly modify a materialized view");
	a->table = plan->table;
	plan->kind = m->kind;
	plan->counter = cql__has_counters(plan->table);
	if (plan->counter && (err = check_counter(a, m)))
		return err;
	plan->columns = cql__new(a, sizeof *plan->columns * m->assign_count);
	plan->values = cql__new(a, sizeof *plan->values * m->assign_count);
	plan->operations = cql__new(a, sizeof *plan->operations * m->assign_count);
	if (!plan->columns || !plan->values || !plan->operations)
		return SM_NO_MEMORY;
	if ((err = cql__analyse_conditions(a, m, plan)))
		return err;
	switch (m->kind) {
	case CQL_INSERT:
		plan->mutation = STORE_UPSERT_INSERT;
		err = m->json ? insert_json(a, m, plan) : insert(a, m, plan);
		break;
	case CQL_UPDATE: err = update(a, m, plan); break;
	case CQL_DELETE: err = deletion(a, m, plan); break;
	}
	return err ? err : cql__check_conditions(a, plan);
}
