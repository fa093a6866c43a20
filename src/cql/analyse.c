/* From names to schema: tables, columns, terms and markers, and the plan of a whole statement. */
#include "cql/arithmetic.h"
#include "cql/json_value.h"

#include <assert.h>
#include <string.h>

void *cql__new(struct cql_analysis *a, size_t size)
{
	void *p = arena_alloc(a->c->arena, size ? size : 1);
	if (!p)
		(void)cql__no_memory(a->c->err, a->c->arena);
	return p;
}

/* ---- names ---- */

static const struct store_keyspace *system_keyspace(struct cql_context *c, const char *name)
{
	for (uint32_t i = 0; i < c->engine->system.keyspace_count; i++)
		if (strcmp(c->engine->system.keyspaces[i].name, name) == 0)
			return &c->engine->system.keyspaces[i];
	return NULL;
}

bool cql__is_system(struct cql_context *c, const char *keyspace)
{
	return system_keyspace(c, keyspace) != NULL;
}

const struct store_keyspace *cql__find_keyspace(struct cql_context *c, const char *name, bool *ret_system)
{
	const struct store_keyspace *k = system_keyspace(c, name);
	*ret_system = k != NULL;
	return k ? k : store_find_keyspace(c->schema, name);
}

enum sm_err cql__check_user_keyspace(struct cql_context *c, const char *keyspace)
{
	if (cql__is_system(c, keyspace))
		return cql__fail(c->err, CQL_UNAUTHORIZED, "%s keyspace is not user-modifiable.", keyspace);
	return SM_OK;
}

enum sm_err cql__keyspace_of(struct cql_context *c, const struct cql_table_name *name, const char **ret_keyspace)
{
	*ret_keyspace = name->keyspace ? name->keyspace : c->keyspace;
	if (!*ret_keyspace || !**ret_keyspace)
		return cql__fail(c->err, CQL_INVALID,
				 "No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename");
	return SM_OK;
}

enum sm_err cql__table(struct cql_context *c, const struct cql_table_name *name, const struct store_table **ret_table, bool *ret_virtual)
{
	const char *keyspace;
	enum sm_err err = cql__keyspace_of(c, name, &keyspace);
	if (err)
		return err;
	const struct store_keyspace *k = cql__find_keyspace(c, keyspace, ret_virtual);
	if (!k)
		return cql__fail(c->err, CQL_INVALID, "keyspace %s does not exist", keyspace);
	for (uint32_t i = 0; i < k->table_count; i++)
		if (strcmp(k->tables[i]->name, name->name) == 0) {
			*ret_table = k->tables[i];
			return SM_OK;
		}
	return cql__fail(c->err, CQL_INVALID, "table %s does not exist", name->name);
}

enum sm_err cql__column(struct cql_analysis *a, const char *name, const struct store_column **ret_column)
{
	*ret_column = store_find_column(a->table, name);
	if (!*ret_column)
		return cql__fail(a->c->err, CQL_INVALID, "Undefined column name %s in table %s.%s", name, a->table->keyspace,
				 a->table->name);
	return SM_OK;
}

/* ---- terms ---- */

static struct cql_expr *new_expr(struct cql_analysis *a, enum cql_expr_kind kind, const struct store_type *type, const char *name)
{
	struct cql_expr *x = cql__new(a, sizeof *x);
	if (x)
		*x = (struct cql_expr){.kind = kind, .type = type, .name = name};
	return x;
}

static enum sm_err marker(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
			  struct cql_expr **ret_expr)
{
	struct cql_expr *x = new_expr(a, CQL_EXPR_MARKER, type, name);
	if (!x)
		return SM_NO_MEMORY;
	x->index = t->marker;
	const char *given = a->statement->markers[t->marker];
	a->plan->binds[t->marker] = (struct cql_bind){a->table ? a->table->keyspace : "", a->table ? a->table->name : "",
						      given ? given : name, type};
	*ret_expr = x;
	return SM_OK;
}

/* The type that a literal has where nothing else says so. */
static const struct store_type *natural_type(const struct cql_term *t)
{
	static const enum store_type_id ids[] = {STORE_TEXT,    STORE_INT,  STORE_UUID,    STORE_DOUBLE,
						 STORE_BOOLEAN, STORE_BLOB, STORE_DURATION};
	return t->kind == CQL_TERM_LITERAL ? cql__type(ids[t->literal]) : NULL;
}

const struct store_type *cql__literal_type(const struct cql_term *t, struct arena *arena)
{
	struct store_cell v;
	if (t->kind != CQL_TERM_LITERAL || t->literal != CQL_INTEGER)
		return natural_type(t);
	if (cql__varint_of_text(t->text, arena, &v) != SM_OK)
		return cql__type(STORE_VARINT);
	return cql__type(v.size <= 4 ? STORE_INT : v.size <= 8 ? STORE_BIGINT : STORE_VARINT);
}

static enum sm_err term_call(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
			     struct cql_expr **ret_expr)
{
	const struct cql_function *f;
	const struct store_type *types[2] = {0};
	struct cql_expr *inner[2] = {0};
	if (t->arg_count > 2 || t->star || (t->keyspace && strcmp(t->keyspace, "system") != 0))
		return cql__fail(a->c->err, CQL_INVALID, "Unknown function '%s%s%s'", t->keyspace ? t->keyspace : "",
				 t->keyspace ? "." : "", t->name);
	for (uint32_t i = 0; i < t->arg_count; i++)
		if (t->args[i]->kind == CQL_TERM_CALL) { /* its result's type picks the overload */
			enum sm_err err = term_call(a, t->args[i], NULL, name, &inner[i]);
			if (err)
				return err;
			assert(inner[i] != NULL);
			types[i] = inner[i]->type;
		} else if (t->args[i]->kind == CQL_TERM_LITERAL && (t->args[i]->literal == CQL_HEX || cql__is_math(t->name))) {
			types[i] = cql__literal_type(t->args[i], a->c->arena);
		} else if (t->args[i]->kind == CQL_TERM_CAST && cql__is_math(t->name)) { /* a type hint: (bigint)5 */
			struct store_type *to = cql__new(a, sizeof *to);
			if (!to)
				return SM_NO_MEMORY;
			enum sm_err err = cql__type_resolve(a->c, a->c->keyspace, t->args[i]->type, to);
			if (err)
				return err;
			types[i] = to;
		}
	enum sm_err err = cql__function_find(a->c, t->name, types, t->arg_count, &f);
	if (err)
		return err;
	if (f->aggregate)
		return cql__fail(a->c->err, CQL_INVALID, "Aggregate functions are not supported in the where clause or as values: %s",
				 t->name);
	if (type && !cql__type_accepts(type->id, f->result))
		return cql__fail(a->c->err, CQL_INVALID, "Type error: cannot assign result of function system.%s (type %s) to %s (type %s)",
				 t->name, cql_type_text(cql__type(f->result), a->c->arena), name, cql_type_text(type, a->c->arena));
	struct cql_expr *x = new_expr(a, CQL_EXPR_CALL, cql__type(f->result), name);
	if (!x || !(x->args = cql__new(a, sizeof *x->args * 2)))
		return SM_NO_MEMORY;
	x->function = f;
	x->arg_count = t->arg_count;
	for (uint32_t i = 0; i < t->arg_count; i++) {
		const char *arg = arena_printf(a->c->arena, "arg%u(system.%s)", i, t->name);
		if (inner[i]) { /* once: each level twice would be 2^depth */
			inner[i]->name = arg;
			x->args[i] = inner[i];
		} else if ((err = cql__term(a, t->args[i], cql__type(f->args[i]), arg, &x->args[i]))) {
			return err;
		}
	}
	*ret_expr = x;
	return SM_OK;
}

static enum sm_err term_token(struct cql_analysis *a, const struct cql_term *t, const char *name, struct cql_expr **ret_expr)
{
	struct cql_expr *x = new_expr(a, CQL_EXPR_TOKEN, cql__type(STORE_BIGINT), name);
	if (!x || !(x->args = cql__new(a, sizeof *x->args * a->table->partition_key_count)))
		return SM_NO_MEMORY;
	if (t->arg_count != a->table->partition_key_count)
		return cql__fail(a->c->err, CQL_INVALID,
				 "Invalid number of arguments in call to function token: %u required but %u provided",
				 a->table->partition_key_count, t->arg_count);
	for (uint32_t i = 0; i < t->arg_count; i++) {
		enum sm_err err = cql__term(a, t->args[i], &a->table->columns[i].type, a->table->columns[i].name, &x->args[i]);
		if (err)
			return err;
	}
	x->arg_count = t->arg_count;
	*ret_expr = x;
	return SM_OK;
}

/* A collection is another one's even where only one of them is frozen. */
static bool same_shape(const struct store_type *a, const struct store_type *b)
{
	if (a->id != b->id || a->element_count != b->element_count || a->dimension != b->dimension ||
	    (a->id == STORE_UDT && strcmp(a->name, b->name) != 0))
		return false;
	for (uint16_t i = 0; i < a->element_count; i++)
		if (!same_shape(&a->elements[i], &b->elements[i]))
			return false;
	return true;
}

enum sm_err cql__term(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
		      struct cql_expr **ret_expr)
{
	struct cql_expr *x;
	switch (t->kind) {
	case CQL_TERM_MARKER: return marker(a, t, type, name, ret_expr);
	case CQL_TERM_CALL:
		if (strcmp(t->name, "token") == 0 && a->table)
			return term_token(a, t, name, ret_expr);
		if (cql__is_from_json(t->name))
			return cql__from_json(a, t, type, name, ret_expr);
		return term_call(a, t, type, name, ret_expr);
	case CQL_TERM_NULL:
	case CQL_TERM_LITERAL:
		if (!(x = new_expr(a, CQL_EXPR_CONST, type, name)))
			return SM_NO_MEMORY;
		*ret_expr = x;
		x->cell = cql__null();
		return t->kind == CQL_TERM_NULL ? SM_OK : cql__literal_value(t, type, name, a->c->arena, &x->cell, a->c->err);
	case CQL_TERM_LIST:
	case CQL_TERM_SET:
	case CQL_TERM_MAP:
	case CQL_TERM_TUPLE: return cql__composite_term(a, t, type, name, ret_expr);
	case CQL_TERM_CAST: {
		struct store_type to;
		enum sm_err err = cql__type_resolve(a->c, a->c->keyspace, t->type, &to);
		if (err)
			return err;
		if (!cql__type_accepts(type->id, to.id) ||
		    (store_type_fixed_size(type) < 0 && cql__type(type->id) == NULL && !same_shape(type, &to)))
			return cql__fail(a->c->err, CQL_INVALID, "Cannot assign value %s to %s of type %s", cql__term_text(t, a->c->arena),
					 name, cql_type_text(type, a->c->arena));
		return cql__term(a, t->args[0], cql__type(to.id) ? cql__type(to.id) : type, name, ret_expr);
	}
	case CQL_TERM_OPERATION: return cql__value_arithmetic(a, t, type, name, ret_expr);
	case CQL_TERM_JSON_FIELD:
		if (!(x = new_expr(a, CQL_EXPR_JSON_FIELD, type, name)))
			return SM_NO_MEMORY;
		assert(a->table != NULL);
		x->index = (uint32_t)(store_find_column(a->table, t->name) - a->table->columns);
		*ret_expr = x;
		return SM_OK;
	case CQL_TERM_ELEMENT:
	case CQL_TERM_SLICE:
	case CQL_TERM_FIELD:
	case CQL_TERM_COLUMN: break;
	}
	return cql__fail(a->c->err, CQL_INVALID, "Invalid value for %s", name);
}

/* ---- statements ---- */

/* A driver routes a statement by its partition key when each key column has a marker of its own. */
static enum sm_err key_binds(struct cql_analysis *a, const struct cql_where *where, const struct store_table *table)
{
	if (!where->partition)
		return SM_OK;
	uint16_t *markers = cql__new(a, sizeof *markers * table->partition_key_count);
	if (!markers)
		return SM_NO_MEMORY;
	for (uint16_t i = 0; i < table->partition_key_count; i++) {
		const struct cql_restriction *r = where->partition[i];
		if (r->op != CQL_EQ || r->values[0]->kind != CQL_EXPR_MARKER)
			return SM_OK;
		markers[i] = (uint16_t)r->values[0]->index;
	}
	a->plan->key_binds = markers;
	a->plan->key_bind_count = table->partition_key_count;
	return SM_OK;
}

enum sm_err cql__check_batch(struct cql_context *c, enum cql_batch_kind kind, bool counters, bool others)
{
	if (counters && others)
		return cql__fail(c->err, CQL_INVALID, "Counter and non-counter mutations cannot exist in the same batch");
	if (counters && kind == CQL_LOGGED)
		return cql__fail(c->err, CQL_INVALID, "Cannot include a counter statement in a logged batch");
	if (others && kind == CQL_COUNTER)
		return cql__fail(c->err, CQL_INVALID, "Cannot include non-counter statement in a counter batch");
	return SM_OK;
}

static enum sm_err analyse_modifications(struct cql_analysis *a, const struct cql_statement *s)
{
	bool batch = s->kind == CQL_STMT_BATCH;
	const struct cql_modify *statements = batch ? s->batch.statements : &s->modify;
	uint32_t count = batch ? s->batch.count : 1;
	struct cql_plan *plan = a->plan;
	plan->kind = CQL_PLAN_MODIFY;
	plan->batch = batch;
	plan->modify = cql__new(a, sizeof *plan->modify * count);
	if (!plan->modify)
		return SM_NO_MEMORY;
	plan->modify_count = count;
	bool counters = false, others = false, timed = false;
	if (batch && s->batch.timestamp) {
		enum sm_err err = cql__term(a, s->batch.timestamp, cql__type(STORE_BIGINT), "[timestamp]", &plan->timestamp);
		if (err)
			return err;
	}
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = cql__analyse_modify(a, &statements[i], &plan->modify[i]);
		if (err)
			return err;
		timed |= plan->modify[i].timestamp != NULL;
		*(plan->modify[i].counter ? &counters : &others) = true;
		plan->reads |= plan->modify[i].reads;
	}
	if (plan->timestamp && timed)
		return cql__fail(a->c->err, CQL_INVALID, "Timestamp must be set either on BATCH or individual statements");
	if (batch && s->batch.timestamp && s->batch.kind == CQL_COUNTER)
		return cql__fail(a->c->err, CQL_INVALID, "Cannot provide custom timestamp for counter BATCH");
	if (batch && cql__is_conditional(plan)) {
		if (plan->timestamp)
			return cql__fail(a->c->err, CQL_INVALID, "Cannot provide custom timestamp for conditional BATCH");
		for (uint32_t i = 1; i < count; i++) {
			enum sm_err err = cql__check_conditional_batch(a->c->err, &plan->modify[0], &plan->modify[i]);
			if (err)
				return err;
		}
	}
	enum sm_err err = batch ? cql__check_batch(a->c, s->batch.kind, counters, others) : SM_OK;
	if (err)
		return err;
	return count ? key_binds(a, &plan->modify[0].where, plan->modify[0].table) : SM_OK;
}

enum sm_err cql__analyse(struct cql_context *c, const struct cql_statement *s, struct cql_plan **ret_plan)
{
	struct cql_analysis a = {.c = c, .statement = s};
	struct cql_plan *plan = cql__new(&a, sizeof *plan);
	enum sm_err err = SM_OK;
	if (!plan || !(plan->binds = cql__new(&a, sizeof *plan->binds * s->marker_count)))
		return SM_NO_MEMORY;
	plan->bind_count = s->marker_count;
	plan->statement = s;
	a.plan = plan;
	switch (s->kind) {
	case CQL_STMT_SELECT:
		plan->kind = CQL_PLAN_SELECT;
		if (!(plan->select = cql__new(&a, sizeof *plan->select)))
			return SM_NO_MEMORY;
		err = cql__analyse_select(&a, &s->select, plan->select);
		if (!err)
			err = key_binds(&a, &plan->select->where, plan->select->table);
		break;
	case CQL_STMT_MODIFY:
	case CQL_STMT_BATCH: err = analyse_modifications(&a, s); break;
	case CQL_STMT_DDL: plan->kind = CQL_PLAN_DDL; break;
	case CQL_STMT_USE: plan->kind = CQL_PLAN_USE; break;
	case CQL_STMT_DESCRIBE: plan->kind = CQL_PLAN_DESCRIBE; break;
	case CQL_STMT_ROLE: plan->kind = CQL_PLAN_ROLE; break;
	case CQL_STMT_REFUSED: return cql__fail(c->err, CQL_INVALID, "%s", s->refused);
	}
	for (uint32_t i = 0; !err && i < plan->bind_count; i++)
		if (!plan->binds[i].type)
			err = cql__fail(c->err, CQL_INVALID, "Bind marker %u can't stand where it is", i + 1);
	if (!err)
		*ret_plan = plan;
	return err;
}
