/* LIST ROLES, LIST USERS, LIST PERMISSIONS, in Cassandra's columns and order. */
#include "cql/role_internal.h"

struct list {
	struct cql_context *c;
	const struct cql_role_statement *s;
	const struct cql_role_picture *p;
	struct cql_result *result;
	struct cql_resource resource;
};

static struct store_cell text_cell(const char *text)
{
	return (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)};
}

static struct store_cell bool_cell(bool v)
{
	return (struct store_cell){(const uint8_t *)(v ? "\1" : "\0"), 1};
}

static enum sm_err doesnt_exist(struct list *l, const struct cql_resource *resource)
{
	const char *text = cql__resource_text(resource, l->c->arena);
	return cql__fail(l->c->err, CQL_INVALID, "%s doesn't exist", text ? text : "");
}

static enum sm_err check_grantee(struct list *l)
{
	struct cql_resource role = {.kind = CQL_ONE_ROLE, .name = l->s->grantee};
	return l->s->grantee && !cql__role_find(l->p, l->s->grantee) ? doesnt_exist(l, &role) : SM_OK;
}

/* ---- roles ---- */

static void put_role(struct list *l, const struct cql_role *role)
{
	static const uint8_t no_options[4];
	if (l->s->user && !role->login)
		return;
	cql__result_cell(l->result, text_cell(role->name));
	/* LIST USERS tells who is a superuser in the end, LIST ROLES what stands in the role. */
	cql__result_cell(l->result, bool_cell(l->s->user ? cql__role_is_super(l->p, role->name) : role->superuser));
	if (!l->s->user) {
		cql__result_cell(l->result, bool_cell(role->login));
		cql__result_cell(l->result, (struct store_cell){no_options, sizeof no_options});
	}
	cql__result_cell(l->result, text_cell("ALL"));
	l->result->row_count++;
}

/* Whether LIST ROLES OF `of` shows it. */
static bool is_of(const struct list *l, const char *of, const char *role)
{
	const struct cql_role *r = cql__role_find(l->p, of);
	if (!l->s->no_recursive)
		return cql__role_has(l->p, of, role);
	for (uint32_t i = 0; r && i < r->member_count; i++)
		if (strcmp(r->member_of[i], role) == 0)
			return true;
	return strcmp(of, role) == 0;
}

static enum sm_err list_roles(struct list *l)
{
	static const struct store_type options_elements[] = {{.id = STORE_TEXT}, {.id = STORE_TEXT}};
	static const struct store_type text = {.id = STORE_TEXT}, boolean = {.id = STORE_BOOLEAN},
				       options = {.id = STORE_MAP, .element_count = 2, .elements = options_elements};
	static const struct cql_result_column columns[] = {
		{"role", &text}, {"super", &boolean}, {"login", &boolean}, {"options", &options}, {"datacenters", &text}};
	static const struct cql_result_column of_users[] = {{"name", &text}, {"super", &boolean}, {"datacenters", &text}};
	struct cql_resource all = {.kind = CQL_ALL_ROLES};
	const char *of = l->s->grantee;
	enum sm_err err = check_grantee(l);
	if (err)
		return err;
	if (!cql__role_may(l->p, l->c->user, CQL_MAY_DESCRIBE, &all)) {
		if (of && !cql__role_has(l->p, l->c->user, of))
			return cql__fail(l->c->err, CQL_UNAUTHORIZED, "You are not authorized to view roles granted to %s ", of);
		of = of ? of : l->c->user;
	}
	l->result->columns = l->s->user ? of_users : columns;
	l->result->column_count = l->s->user ? 3 : 5;
	l->result->table = "roles";
	for (uint32_t i = 0; i < l->p->role_count; i++)
		if (!of || is_of(l, of, l->p->roles[i].name))
			put_role(l, &l->p->roles[i]);
	return SM_OK;
}

/* ---- permissions ---- */

/* ON resource shows the wider ones too, unless NORECURSIVE. */
static bool is_on(const struct list *l, const char *resource)
{
	struct cql_resource r = l->resource;
	if (r.kind == CQL_NO_RESOURCE)
		return true;
	do {
		const char *name = cql__resource_name(&r, l->c->arena);
		if (name && strcmp(name, resource) == 0)
			return true;
	} while (!l->s->no_recursive && cql__resource_parent(&r));
	return false;
}

static void put_grant(struct list *l, const struct cql_grant *grant)
{
	struct cql_resource r;
	const char *text = cql__resource_parse(grant->resource, l->c->arena, &r) ? cql__resource_text(&r, l->c->arena) : NULL;
	unsigned wanted = l->s->permissions ? l->s->permissions : ~0u;
	for (int i = 0; i < CQL_PERMISSIONS; i++) {
		if (!(grant->permissions & wanted & CQL_PERMISSION_BIT(i)))
			continue;
		cql__result_cell(l->result, text_cell(grant->role));
		cql__result_cell(l->result, text_cell(grant->role));
		cql__result_cell(l->result, text_cell(text ? text : grant->resource));
		cql__result_cell(l->result, text_cell(cql__permission_names[i]));
		l->result->row_count++;
	}
}

static bool exists(const struct list *l)
{
	const struct cql_resource *x = &l->resource;
	bool system;
	if (x->kind == CQL_ONE_TABLE)
		return store_find_table(l->c->schema, x->keyspace, x->name) ||
		       store_find_table(&l->c->engine->system, x->keyspace, x->name);
	if (x->kind == CQL_ONE_ROLE)
		return cql__role_find(l->p, x->name) != NULL;
	return !x->keyspace || cql__find_keyspace(l->c, x->keyspace, &system);
}

static enum sm_err list_permissions(struct list *l)
{
	static const struct store_type text = {.id = STORE_TEXT};
	static const struct cql_result_column columns[] = {
		{"role", &text}, {"username", &text}, {"resource", &text}, {"permission", &text}};
	const char *of = l->s->grantee;
	struct cql_table_name name = {.name = l->s->resource.name};
	enum sm_err err = SM_OK;
	l->resource = l->s->resource;
	if (l->resource.kind == CQL_ONE_TABLE && !l->resource.keyspace)
		err = cql__keyspace_of(l->c, &name, &l->resource.keyspace);
	if (!err && !exists(l))
		err = doesnt_exist(l, &l->resource);
	if (err || (err = check_grantee(l)))
		return err;
	if (!cql__role_is_super(l->p, l->c->user) && (!of || !cql__role_has(l->p, l->c->user, of)))
		return cql__fail(l->c->err, CQL_UNAUTHORIZED, "You are not authorized to view %s's permissions", of ? of : "everyone");
	l->result->columns = columns;
	l->result->column_count = 4;
	l->result->table = "permissions";
	for (uint32_t i = 0; i < l->p->grant_count; i++)
		if ((!of || cql__role_has(l->p, of, l->p->grants[i].role)) && is_on(l, l->p->grants[i].resource))
			put_grant(l, &l->p->grants[i]);
	return SM_OK;
}

enum sm_err role__list(struct cql_context *c, const struct cql_role_statement *s, const struct cql_role_picture *p,
		       struct cql_result *result)
{
	struct list l = {.c = c, .s = s, .p = p, .result = result};
	enum sm_err err = s->verb == CQL_LIST_ROLES ? list_roles(&l) : list_permissions(&l);
	if (err)
		return err;
	result->keyspace = "system_auth";
	result->kind = result->row_count ? CQL_RESULT_ROWS : CQL_RESULT_VOID;
	return result->rows.failed ? cql__fail_store(c->err, SM_NO_MEMORY, NULL) : SM_OK;
}
