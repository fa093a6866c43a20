/* The conditions of INSERT, UPDATE and DELETE: what IF may say, and whether a value meets it. cas.c runs them. */
#include "cql/plan.h"

#include <string.h>

bool cql__is_conditional(const struct cql_plan *plan)
{
	if (plan->kind != CQL_PLAN_MODIFY)
		return false;
	for (uint32_t i = 0; i < plan->modify_count; i++)
		if (plan->modify[i].condition_kind)
			return true;
	return false;
}

/* ---- analysis ---- */

static enum sm_err analyse_in(struct cql_analysis *a, const struct cql_relation *r, struct cql_condition *out)
{
	const struct store_column *column = out->column;
	if (!r->value) {
		out->value_count = r->value_count;
		out->values = cql__new(a, sizeof *out->values * r->value_count);
		enum sm_err err = out->values ? SM_OK : SM_NO_MEMORY;
		for (uint32_t i = 0; !err && i < r->value_count; i++)
			err = cql__term(a, r->values[i], out->type, column->name, &out->values[i]);
		return err;
	}
	struct store_type *list = cql__new(a, sizeof *list);
	const char *name = arena_printf(a->c->arena, "in(%s)", column->name);
	if (!list || !name)
		return SM_NO_MEMORY;
	*list = (struct store_type){.id = STORE_LIST, .element_count = 1, .elements = out->type};
	if (r->value->kind != CQL_TERM_MARKER)
		return cql__fail(a->c->err, CQL_INVALID, "IN takes a list of values in parentheses or a bind marker");
	return cql__term(a, r->value, list, name, &out->list);
}

static enum sm_err field(struct cql_analysis *a, const struct cql_relation *r, struct cql_condition *out)
{
	static const char classes[] = "org.apache.cassandra.db.marshal.";
	const struct store_type *type = &out->column->type;
	if (type->id != STORE_UDT) { /* what Cassandra says of a mistake that it does not look for */
		struct buf class;
		buf_init(&class);
		cql__put_class(&class, type);
		int size = (int)strcspn(class.data ? (const char *)class.data + class.start : "", "(");
		const char *name = size ? (const char *)class.data + class.start : "";
		enum sm_err err = cql__fail(
			a->c->err, CQL_SERVER_ERROR,
			"java.lang.ClassCastException: class %.*s cannot be cast to class %sUserType (%.*s and %sUserType are "
			"in unnamed module of loader 'app')",
			size, name, classes, size, name, classes);
		buf_done(&class);
		return err;
	}
	out->field = cql__field_of(type, r->field);
	if (out->field < 0)
		return cql__fail(a->c->err, CQL_INVALID, "Unknown field %s for column %s", r->field, out->column->name);
	out->type = &type->elements[out->field];
	return SM_OK;
}

/* What is compared: the column, an element or a field of it, or what it contains. */
static enum sm_err part(struct cql_analysis *a, const struct cql_relation *r, struct cql_condition *out)
{
	struct cql_error *err = a->c->err;
	const struct store_type *type = &out->column->type;
	const char *name = out->column->name;
	bool collection = type->id >= STORE_LIST && type->id <= STORE_SET, map = type->id == STORE_MAP;
	out->type = type;
	out->field = -1;
	if (r->field)
		return field(a, r, out);
	if (r->op == CQL_CONTAINS || r->op == CQL_CONTAINS_KEY) {
		if (!collection || (r->op == CQL_CONTAINS_KEY && !map))
			return cql__fail(err, CQL_INVALID, "Cannot use %s on %s column %s",
					 r->op == CQL_CONTAINS ? "CONTAINS" : "CONTAINS KEY",
					 r->op == CQL_CONTAINS ? "non-collection" : "non-map", name);
		out->type = &type->elements[map && r->op == CQL_CONTAINS];
		return SM_OK;
	}
	if (!r->subscript)
		return SM_OK;
	if (!collection)
		return cql__fail(err, CQL_INVALID, "Invalid element access syntax for non-collection column %s", name);
	if (type->id == STORE_SET)
		return cql__fail(err, CQL_INVALID, "Invalid element access syntax for set column %s", name);
	const char *key = arena_printf(a->c->arena, map ? "key(%s)" : "idx(%s)", name);
	if (!key)
		return cql__no_memory(err, a->c->arena);
	out->type = &type->elements[map];
	return cql__term(a, r->subscript, map ? &type->elements[0] : cql__type(STORE_INT), key, &out->key);
}

static enum sm_err analyse_one(struct cql_analysis *a, const struct cql_relation *r, struct cql_condition *out)
{
	struct cql_context *c = a->c;
	enum sm_err err = cql__column(a, r->columns[0], &out->column);
	if (err)
		return err;
	out->op = r->op;
	if (out->column->type.id == STORE_COUNTER)
		return cql__fail(c->err, CQL_INVALID, "Conditions on counters are not supported");
	if ((err = part(a, r, out)))
		return err;
	if (out->type->id == STORE_DURATION && r->op != CQL_EQ && r->op != CQL_NEQ && r->op < CQL_IN)
		return cql__fail(c->err, CQL_INVALID, "Slice conditions ( %s ) are not supported on durations",
				 r->op == CQL_LT   ? "<"
				 : r->op == CQL_LE ? "<="
				 : r->op == CQL_GT ? ">"
						   : ">=");
	if (r->op == CQL_IN) {
		err = analyse_in(a, r, out);
	} else {
		out->value_count = 1;
		if (!(out->values = cql__new(a, sizeof *out->values)))
			return SM_NO_MEMORY;
		err = cql__term(a, r->value, out->type, out->column->name, &out->values[0]);
	}
	if (!err && out->column->kind <= STORE_CLUSTERING)
		return cql__fail(c->err, CQL_INVALID, "PRIMARY KEY column '%s' cannot have IF conditions", out->column->name);
	return err;
}

enum sm_err cql__analyse_conditions(struct cql_analysis *a, const struct cql_modify *m, struct cql_modify_plan *plan)
{
	static const char custom[] = "Cannot provide custom timestamp for conditional updates";
	plan->condition_kind = m->if_not_exists     ? CQL_IF_NOT_EXISTS
			       : m->if_exists       ? CQL_IF_EXISTS
			       : m->condition_count ? CQL_IF_COLUMNS
						    : CQL_IF_NOTHING;
	if (plan->condition_kind && m->timestamp)
		return cql__fail(a->c->err, CQL_INVALID, custom);
	for (uint16_t i = 0; i < plan->table->column_count && plan->condition_kind && !m->condition_count; i++)
		if (plan->table->columns[i].type.id == STORE_COUNTER)
			return cql__fail(a->c->err, CQL_INVALID, "Conditional updates are not supported on counter tables");
	plan->conditions = cql__new(a, sizeof *plan->conditions * m->condition_count);
	if (!plan->conditions)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < m->condition_count; i++) {
		enum sm_err err = analyse_one(a, &m->conditions[i], &plan->conditions[i]);
		if (err)
			return err;
		plan->condition_count++;
	}
	return SM_OK;
}

static bool has_kind(const struct cql_modify_plan *plan, bool conditions, enum store_column_kind kind)
{
	uint32_t count = conditions ? plan->condition_count : plan->count;
	for (uint32_t i = 0; i < count; i++)
		if ((conditions ? plan->conditions[i].column : plan->columns[i])->kind == kind)
			return true;
	return false;
}

static bool whole_key(const struct cql_modify_plan *plan)
{
	const struct store_table *t = plan->table;
	uint16_t covered = 0;
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		if (plan->where.partition[i]->op != CQL_EQ) /* likewise */
			return true;
	for (uint32_t i = 0; i < plan->where.clustering_count; i++)
		if (plan->where.clustering[i].equal && plan->where.clustering[i].equal->op == CQL_EQ)
			covered = (uint16_t)(covered + plan->where.clustering[i].equal->column_count);
	return covered == t->clustering_count;
}

/* Refused later, in other words. */
static bool clustering_in(const struct cql_modify_plan *plan)
{
	for (uint32_t i = 0; i < plan->where.clustering_count; i++)
		if (plan->where.clustering[i].equal && plan->where.clustering[i].equal->op == CQL_IN)
			return true;
	return false;
}

enum sm_err cql__check_conditions(struct cql_analysis *a, const struct cql_modify_plan *plan)
{
	static const char must[] = "DELETE statements must restrict all PRIMARY KEY columns with equality relations in order to";
	if (!plan->condition_kind || plan->kind != CQL_DELETE || whole_key(plan) || clustering_in(plan))
		return SM_OK;
	if (plan->count == 0 || has_kind(plan, false, STORE_REGULAR))
		return cql__fail(a->c->err, CQL_INVALID, "%s delete non static columns", must);
	if (has_kind(plan, true, STORE_REGULAR))
		return cql__fail(a->c->err, CQL_INVALID, "%s use IF condition on non static columns", must);
	return SM_OK;
}

enum sm_err cql__check_conditional_batch(struct cql_error *err, const struct cql_modify_plan *first, const struct cql_modify_plan *plan)
{
	if (strcmp(first->table->keyspace, plan->table->keyspace) != 0 || strcmp(first->table->name, plan->table->name) != 0)
		return cql__fail(err, CQL_INVALID, "Batch with conditions cannot span multiple tables");
	return SM_OK;
}

/* ---- values ---- */

static const char *operator_text(enum cql_operator op)
{
	static const char *const texts[] = {"=", "<", "<=", ">", ">=", "!=", "IN", "CONTAINS", "CONTAINS KEY"};
	return texts[op];
}

enum sm_err cql__list_values(struct cql_eval *e, struct store_cell list, struct store_cell **ret_values, uint32_t *ret_count)
{
	struct cql_error *err = e->context->err;
	struct byte_reader in = byte_reader(bytes_of(list.data, (size_t)list.size));
	uint32_t count = reader_be32(&in);
	if (in.failed || count > reader_left(&in) / 4)
		return cql__fail(err, CQL_INVALID, "Not enough bytes to read a list");
	struct store_cell *values = arena_alloc(e->context->arena, sizeof *values * (count + 1u));
	if (!values)
		return cql__no_memory(err, e->context->arena);
	for (uint32_t i = 0; i < count; i++) {
		int32_t size = (int32_t)reader_be32(&in);
		values[i] = size < 0 ? cql__null() : (struct store_cell){reader_take(&in, (size_t)size), size};
	}
	if (in.failed)
		return cql__fail(err, CQL_INVALID, "Not enough bytes to read a list");
	*ret_values = values;
	*ret_count = count;
	return SM_OK;
}

static enum sm_err compared_values(struct cql_eval *e, const struct cql_condition *x, struct store_cell **ret_values, uint32_t *ret_count)
{
	struct store_cell *values, v;
	uint32_t count = 0;
	enum sm_err err;
	if (x->list) {
		if ((err = cql__eval(e, x->list, &v)))
			return err;
		if (v.size == CQL_UNSET)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid 'unset' value in condition");
		if (v.size < 0)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid null list in IN condition");
		return cql__list_values(e, v, ret_values, ret_count);
	}
	if (!(values = arena_alloc(e->context->arena, sizeof *values * (x->value_count + 1u))))
		return cql__no_memory(e->context->err, e->context->arena);
	for (uint32_t i = 0; i < x->value_count; i++) {
		if ((err = cql__eval(e, x->values[i], &v)))
			return err;
		if (v.size == CQL_UNSET && x->op == CQL_IN) /* as if it were not in the list */
			continue;
		if (v.size == CQL_UNSET)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid 'unset' value in condition");
		if (v.size < 0 && x->op != CQL_EQ && x->op != CQL_NEQ && x->op != CQL_IN)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid comparison with null for operator \"%s\"",
					 operator_text(x->op));
		values[count++] = v;
	}
	*ret_values = values;
	*ret_count = count;
	return SM_OK;
}

static enum sm_err key_value(struct cql_eval *e, const struct cql_condition *x, struct store_cell *ret)
{
	bool map = x->column->type.id == STORE_MAP;
	enum sm_err err = cql__eval(e, x->key, ret);
	if (!err && ret->size < 0)
		return cql__fail(e->context->err, CQL_INVALID, "Invalid %s value for %s element access",
				 ret->size == CQL_UNSET ? "unset" : "null", map ? "map" : "list");
	if (!err && !map && ret->size == 4 && (int32_t)be32_get(ret->data) < 0)
		return cql__fail(e->context->err, CQL_INVALID, "Invalid negative list index %d", (int32_t)be32_get(ret->data));
	return err;
}

enum sm_err cql__condition_values(struct cql_eval *e, const struct cql_condition *x, struct store_cell **ret_values, uint32_t *ret_count)
{
	enum sm_err err = compared_values(e, x, ret_values, ret_count);
	return err || !x->key ? err : key_value(e, x, &(*ret_values)[*ret_count]);
}

/* The element under key, or the field, of the column's value. */
static struct store_cell part_of(const struct cql_condition *x, struct store_cell cell, struct store_cell key)
{
	const struct store_type *type = &x->column->type, *element;
	struct store_cell v;
	if (cell.size < 0)
		return cell;
	struct store_value_reader r = store_value_reader(type, cell);
	for (uint32_t i = 0; store_value_next(&r, &v, &element); i++) {
		if (x->field >= 0 ? i == (uint32_t)x->field : type->id == STORE_LIST && key.size == 4 && i == be32_get(key.data))
			return v;
		if (type->id != STORE_MAP)
			continue;
		bool found = store_compare(&type->elements[0], v, key) == 0;
		if (!store_value_next(&r, &v, &element))
			break;
		if (found)
			return v;
	}
	return cql__null();
}

static bool contains(const struct cql_condition *x, struct store_cell value, struct store_cell cell)
{
	const struct store_type *type = &x->column->type, *element;
	struct store_cell v;
	if (cell.size < 0 || value.size < 0)
		return false;
	struct store_value_reader r = store_value_reader(type, cell);
	for (uint32_t i = 0; store_value_next(&r, &v, &element); i++)
		if ((type->id != STORE_MAP || i % 2 == (x->op == CQL_CONTAINS)) && store_compare(x->type, v, value) == 0)
			return true;
	return false;
}

static bool holds_one(const struct cql_condition *x, struct store_cell value, struct store_cell cell)
{
	if (value.size < 0)
		return x->op == CQL_NEQ ? cell.size >= 0 : cell.size < 0;
	if (cell.size < 0)
		return x->op == CQL_NEQ;
	int order = store_compare(x->type, cell, value);
	switch (x->op) {
	case CQL_LT: return order < 0;
	case CQL_LE: return order <= 0;
	case CQL_GT: return order > 0;
	case CQL_GE: return order >= 0;
	case CQL_NEQ: return order != 0;
	default: return order == 0;
	}
}

bool cql__condition_holds(const struct cql_condition *x, const struct store_cell *values, uint32_t count, struct store_cell cell)
{
	if (x->key || x->field >= 0)
		cell = part_of(x, cell, x->key ? values[count] : cql__null());
	for (uint32_t i = 0; i < count; i++)
		if (x->op >= CQL_CONTAINS ? contains(x, values[i], cell) : holds_one(x, values[i], cell))
			return true;
	return false;
}
