/* CREATE, ALTER and DROP TYPE. The order of the checks and their texts are Cassandra's. */
#include "cql/ddl_internal.h"

#include <string.h>

/* A user type as written, not in frozen<>, whether it exists or not. */
static bool written_as_udt(const struct cql_type_name *t)
{
	static const char *const words[] = {"frozen", "list", "set", "map", "tuple", "vector"};
	bool known = t->name[0] == '\'' || cql__is_type_name(t->name);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		known |= t->arg_count && strcmp(t->name, words[i]) == 0;
	return t->quoted || t->qualified || !known;
}

static enum sm_err field_type(struct cql_context *c, const char *keyspace, const struct cql_column_def *def, struct store_type *ret_type)
{
	if (written_as_udt(def->type))
		return cql__fail(c->err, CQL_INVALID, "A user type cannot contain non-frozen UDTs");
	enum sm_err err = cql__type_resolve(c, keyspace, def->type, ret_type);
	if (!err && ret_type->id == STORE_COUNTER)
		err = cql__fail(c->err, CQL_INVALID, "A user type cannot contain counters");
	return err;
}

static enum sm_err no_type(struct cql_context *c, const struct cql_ddl *ddl, const char *keyspace)
{
	const char *q = ddl->verb == CQL_DROP ? "'" : "";
	return cql__fail(c->err, CQL_INVALID, "Type %s%s.%s%s doesn't exist", q, keyspace, ddl->table.name, q);
}

static enum sm_err create(struct cql_context *c, const struct cql_ddl *ddl, struct store_type *t)
{
	const char **fields = arena_alloc(c->arena, sizeof *fields * ddl->column_count);
	struct store_type *types = arena_alloc(c->arena, sizeof *types * ddl->column_count);
	if (!fields || !types)
		return cql__no_memory(c->err, c->arena);
	if (ddl->column_count > STORE_COLUMNS_MAX)
		return cql__fail(c->err, CQL_INVALID, "A user type has at most %d fields", STORE_COLUMNS_MAX);
	for (uint32_t i = 0; i < ddl->column_count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(ddl->columns[i].name, ddl->columns[k].name) == 0)
				return cql__fail(c->err, CQL_INVALID, "Duplicate field name '%s' in type '%s'", ddl->columns[i].name,
						 ddl->table.name);
	for (uint32_t i = 0; i < ddl->column_count; i++) {
		enum sm_err err = field_type(c, t->keyspace, &ddl->columns[i], &types[i]);
		if (err)
			return err;
		fields[i] = ddl->columns[i].name;
	}
	t->elements = types;
	t->fields = fields;
	t->element_count = (uint16_t)ddl->column_count;
	return SM_OK;
}

static enum sm_err add_fields(struct cql_context *c, const struct cql_ddl *ddl, struct store_type *t, bool *ret_nothing)
{
	uint32_t most = t->element_count + ddl->column_count;
	const char **fields = arena_alloc(c->arena, sizeof *fields * most);
	struct store_type *types = arena_alloc(c->arena, sizeof *types * most);
	if (!fields || !types)
		return cql__no_memory(c->err, c->arena);
	if (most > STORE_COLUMNS_MAX)
		return cql__fail(c->err, CQL_INVALID, "A user type has at most %d fields", STORE_COLUMNS_MAX);
	memcpy(fields, t->fields, sizeof *fields * t->element_count);
	memcpy(types, t->elements, sizeof *types * t->element_count);
	t->fields = fields;
	t->elements = types;
	*ret_nothing = true;
	for (uint32_t i = 0; i < ddl->column_count; i++) {
		const char *name = ddl->columns[i].name;
		if (cql__field_of(t, name) >= 0) {
			if (ddl->column_if_not_exists)
				continue;
			return cql__fail(c->err, CQL_INVALID, "Cannot add field %s to type %s.%s: a field with name %s already exists",
					 name, t->keyspace, t->name, name);
		}
		enum sm_err err = field_type(c, t->keyspace, &ddl->columns[i], &types[t->element_count]);
		if (err)
			return err;
		if (store_type_uses(&types[t->element_count], t->keyspace, t->name))
			return cql__fail(c->err, CQL_INVALID,
					 "Cannot add new field %s of type frozen<%s.%s> to user type %s.%s as it would create a circular "
					 "reference",
					 name, t->keyspace, types[t->element_count].name ? types[t->element_count].name : t->name,
					 t->keyspace, t->name);
		fields[t->element_count++] = name;
		*ret_nothing = false;
	}
	return SM_OK;
}

static enum sm_err rename_fields(struct cql_context *c, const struct cql_ddl *ddl, struct store_type *t, bool *ret_nothing)
{
	const char **fields = arena_copy(c->arena, t->fields, sizeof *fields * t->element_count);
	if (!fields)
		return cql__no_memory(c->err, c->arena);
	t->fields = fields;
	*ret_nothing = true;
	for (uint32_t i = 0; i + 1 < ddl->renamed_count; i += 2) {
		int at = cql__field_of(t, ddl->renamed[i]);
		if (at < 0 && ddl->column_if_exists)
			continue;
		if (at < 0)
			return cql__fail(c->err, CQL_INVALID, "Unkown field %s in user type %s.%s", ddl->renamed[i], t->keyspace, t->name);
		fields[at] = ddl->renamed[i + 1];
		*ret_nothing = false;
	}
	for (uint16_t i = 0; i < t->element_count; i++)
		for (uint16_t k = 0; k < i; k++)
			if (strcmp(fields[i], fields[k]) == 0)
				return cql__fail(c->err, CQL_INVALID, "Duplicate field name %s in type %s", fields[i], t->keyspace);
	return SM_OK;
}

/* Who still uses the type: other types first, then tables. */
static enum sm_err check_unused(struct cql_context *c, const struct store_keyspace *k, const char *name)
{
	const char *users = NULL;
	for (uint32_t i = 0; i < k->type_count; i++)
		if (strcmp(k->types[i].name, name) != 0 && store_type_uses(&k->types[i], k->name, name))
			users = arena_printf(c->arena, "%s%s%s", users ? users : "", users ? ", " : "", k->types[i].name);
	const char *what = users ? "user types" : "tables";
	for (uint32_t i = 0, count = users ? 0 : k->table_count; i < count; i++) {
		bool uses = false;
		for (uint16_t n = 0; n < k->tables[i]->column_count; n++)
			uses |= store_type_uses(&k->tables[i]->columns[n].type, k->name, name);
		if (uses)
			users = arena_printf(c->arena, "%s%s%s", users ? users : "", users ? ", " : "", k->tables[i]->name);
	}
	return users ? cql__fail(c->err, CQL_INVALID, "Cannot drop user type '%s.%s' as it is still used by %s %s", k->name, name, what,
				 users)
		     : SM_OK;
}

enum sm_err ddl__type_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing)
{
	const char *keyspace, *name = ddl->table.name;
	enum sm_err err = cql__keyspace_of(c, &ddl->table, &keyspace);
	if (err || (err = cql__check_user_keyspace(c, keyspace)))
		return err;
	const struct store_keyspace *k = store_find_keyspace(c->schema, keyspace);
	const struct store_type *old = k ? store_find_type(k, name) : NULL;
	struct store_type *t = arena_alloc(c->arena, sizeof *t);
	if (!t)
		return cql__no_memory(c->err, c->arena);
	*t = old ? *old : (struct store_type){.id = STORE_UDT, .keyspace = keyspace, .name = name};
	change->change.keyspace = keyspace;
	change->change.type = name;
	if (ddl->verb == CQL_CREATE) {
		change->change.kind = STORE_CREATE_TYPE;
		change->change.new_type = t;
		if (!k)
			return cql__fail(c->err, CQL_INVALID, "Keyspace '%s' doesn't exist", keyspace);
		*ret_nothing = old && ddl->if_not_exists;
		if (old)
			return *ret_nothing ? SM_OK : cql__fail(c->err, CQL_INVALID, "A user type with name '%s' already exists", name);
		return create(c, ddl, t);
	}
	*ret_nothing = !old && ddl->if_exists;
	if (!old)
		return *ret_nothing ? SM_OK : no_type(c, ddl, keyspace);
	if (ddl->verb == CQL_DROP) {
		change->change.kind = STORE_DROP_TYPE;
		return check_unused(c, k, name);
	}
	change->change.kind = STORE_ALTER_TYPE;
	change->change.new_type = t;
	return ddl->column_count ? add_fields(c, ddl, t, ret_nothing) : rename_fields(c, ddl, t, ret_nothing);
}
