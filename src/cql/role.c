#include "cql/role.h"

#include <stdlib.h>

const char *const cql__permission_names[CQL_PERMISSIONS] = {
	[CQL_MAY_CREATE] = "CREATE",     [CQL_MAY_ALTER] = "ALTER",
	[CQL_MAY_DROP] = "DROP",         [CQL_MAY_SELECT] = "SELECT",
	[CQL_MAY_MODIFY] = "MODIFY",     [CQL_MAY_AUTHORIZE] = "AUTHORIZE",
	[CQL_MAY_DESCRIBE] = "DESCRIBE", [CQL_MAY_EXECUTE] = "EXECUTE",
	[CQL_MAY_UNMASK] = "UNMASK",     [CQL_MAY_SELECT_MASKED] = "SELECT_MASKED",
};

/* ---- resources ---- */

const char *cql__resource_text(const struct cql_resource *r, struct arena *arena)
{
	switch (r->kind) {
	case CQL_NO_RESOURCE: break;
	case CQL_ALL_KEYSPACES: return "<all keyspaces>";
	case CQL_ONE_KEYSPACE: return arena_printf(arena, "<keyspace %s>", r->keyspace);
	case CQL_TABLES_OF_KEYSPACE: return arena_printf(arena, "<all tables in %s>", r->keyspace);
	case CQL_ONE_TABLE: return arena_printf(arena, "<table %s.%s>", r->keyspace, r->name);
	case CQL_ALL_ROLES: return "<all roles>";
	case CQL_ONE_ROLE: return arena_printf(arena, "<role %s>", r->name);
	case CQL_ALL_FUNCTIONS: return "<all functions>";
	case CQL_FUNCTIONS_OF_KEYSPACE: return arena_printf(arena, "<all functions in %s>", r->keyspace);
	}
	return "";
}

const char *cql__resource_name(const struct cql_resource *r, struct arena *arena)
{
	switch (r->kind) {
	case CQL_NO_RESOURCE: break;
	case CQL_ALL_KEYSPACES: return "data";
	case CQL_ONE_KEYSPACE: return arena_printf(arena, "data/%s", r->keyspace);
	case CQL_TABLES_OF_KEYSPACE: return arena_printf(arena, "data/%s/*", r->keyspace);
	case CQL_ONE_TABLE: return arena_printf(arena, "data/%s/%s", r->keyspace, r->name);
	case CQL_ALL_ROLES: return "roles";
	case CQL_ONE_ROLE: return arena_printf(arena, "roles/%s", r->name);
	case CQL_ALL_FUNCTIONS: return "functions";
	case CQL_FUNCTIONS_OF_KEYSPACE: return arena_printf(arena, "functions/%s", r->keyspace);
	}
	return "";
}

static bool parse_data(const char *rest, struct arena *arena, struct cql_resource *ret)
{
	const char *slash = strchr(rest, '/');
	size_t size = slash ? (size_t)(slash - rest) : strlen(rest);
	ret->keyspace = arena_string(arena, rest, size);
	ret->kind = !slash ? CQL_ONE_KEYSPACE : strcmp(slash, "/*") == 0 ? CQL_TABLES_OF_KEYSPACE : CQL_ONE_TABLE;
	ret->name = ret->kind == CQL_ONE_TABLE ? slash + 1 : NULL;
	return ret->keyspace != NULL;
}

bool cql__resource_parse(const char *name, struct arena *arena, struct cql_resource *ret)
{
	*ret = (struct cql_resource){0};
	if (strcmp(name, "data") == 0) {
		ret->kind = CQL_ALL_KEYSPACES;
	} else if (strncmp(name, "data/", 5) == 0) {
		return parse_data(name + 5, arena, ret);
	} else if (strcmp(name, "roles") == 0) {
		ret->kind = CQL_ALL_ROLES;
	} else if (strncmp(name, "roles/", 6) == 0) {
		ret->kind = CQL_ONE_ROLE;
		ret->name = name + 6;
	} else if (strcmp(name, "functions") == 0) {
		ret->kind = CQL_ALL_FUNCTIONS;
	} else if (strncmp(name, "functions/", 10) == 0) {
		ret->kind = CQL_FUNCTIONS_OF_KEYSPACE;
		ret->keyspace = name + 10;
	}
	return ret->kind != CQL_NO_RESOURCE;
}

bool cql__resource_parent(struct cql_resource *r)
{
	static const enum cql_resource_kind parents[] = {
		[CQL_ONE_KEYSPACE] = CQL_ALL_KEYSPACES,          [CQL_TABLES_OF_KEYSPACE] = CQL_ONE_KEYSPACE,
		[CQL_ONE_TABLE] = CQL_TABLES_OF_KEYSPACE,        [CQL_ONE_ROLE] = CQL_ALL_ROLES,
		[CQL_FUNCTIONS_OF_KEYSPACE] = CQL_ALL_FUNCTIONS,
	};
	r->kind = parents[r->kind];
	return r->kind != CQL_NO_RESOURCE;
}

unsigned cql__resource_permissions(const struct cql_resource *r)
{
	const unsigned of_data = CQL_PERMISSION_BIT(CQL_MAY_ALTER) | CQL_PERMISSION_BIT(CQL_MAY_DROP) | CQL_PERMISSION_BIT(CQL_MAY_SELECT) |
				 CQL_PERMISSION_BIT(CQL_MAY_MODIFY) | CQL_PERMISSION_BIT(CQL_MAY_AUTHORIZE) |
				 CQL_PERMISSION_BIT(CQL_MAY_UNMASK) | CQL_PERMISSION_BIT(CQL_MAY_SELECT_MASKED);
	const unsigned of_role = CQL_PERMISSION_BIT(CQL_MAY_ALTER) | CQL_PERMISSION_BIT(CQL_MAY_DROP) |
				 CQL_PERMISSION_BIT(CQL_MAY_AUTHORIZE);
	const unsigned create = CQL_PERMISSION_BIT(CQL_MAY_CREATE);
	switch (r->kind) {
	case CQL_NO_RESOURCE: break;
	case CQL_ALL_KEYSPACES:
	case CQL_ONE_KEYSPACE:
	case CQL_TABLES_OF_KEYSPACE: return of_data | create;
	case CQL_ONE_TABLE: return of_data;
	case CQL_ALL_ROLES: return of_role | create | CQL_PERMISSION_BIT(CQL_MAY_DESCRIBE);
	case CQL_ONE_ROLE: return of_role;
	case CQL_ALL_FUNCTIONS:
	case CQL_FUNCTIONS_OF_KEYSPACE: return of_role | create | CQL_PERMISSION_BIT(CQL_MAY_EXECUTE);
	}
	return 0;
}

/* ---- the picture ---- */

static int role_by_name(const void *name, const void *role)
{
	return strcmp(name, ((const struct cql_role *)role)->name);
}

const struct cql_role *cql__role_find(const struct cql_role_picture *p, const char *name)
{
	return p->role_count ? bsearch(name, p->roles, p->role_count, sizeof *p->roles, role_by_name) : NULL;
}

/* Call visit for the role and those that it is a member of, until visit returns true. GRANT makes no circles; depth ends any that a
 * damaged store might hold. */
static bool any_role(const struct cql_role_picture *p, const char *name, uint32_t depth,
		     bool (*visit)(const struct cql_role_picture *p, const struct cql_role *role, const void *arg), const void *arg)
{
	const struct cql_role *role = cql__role_find(p, name);
	if (!role || depth > p->role_count)
		return false;
	if (visit(p, role, arg))
		return true;
	for (uint32_t i = 0; i < role->member_count; i++)
		if (any_role(p, role->member_of[i], depth + 1, visit, arg))
			return true;
	return false;
}

static bool is_super(const struct cql_role_picture *p, const struct cql_role *role, const void *arg)
{
	return role->superuser;
}

bool cql__role_is_super(const struct cql_role_picture *p, const char *name)
{
	return any_role(p, name, 0, is_super, NULL);
}

static bool is_called(const struct cql_role_picture *p, const struct cql_role *role, const void *name)
{
	return strcmp(role->name, name) == 0;
}

bool cql__role_has(const struct cql_role_picture *p, const char *role, const char *of)
{
	return any_role(p, role, 0, is_called, of);
}

struct wish {
	unsigned bit;
	const char *resource;
};

static int grant_by_key(const void *key, const void *item)
{
	const struct cql_grant *a = key, *b = item;
	int order = strcmp(a->role, b->role);
	return order ? order : strcmp(a->resource, b->resource);
}

static bool has_grant(const struct cql_role_picture *p, const struct cql_role *role, const void *arg)
{
	const struct wish *w = arg;
	struct cql_grant key = {.role = role->name, .resource = w->resource};
	const struct cql_grant *found = p->grant_count ? bsearch(&key, p->grants, p->grant_count, sizeof key, grant_by_key) : NULL;
	return found && (found->permissions & w->bit);
}

bool cql__role_may(const struct cql_role_picture *p, const char *role, enum cql_permission permission, const struct cql_resource *resource)
{
	struct cql_resource r = *resource;
	struct arena arena;
	bool may = cql__role_is_super(p, role);
	arena_init(&arena, 0);
	do {
		struct wish w = {CQL_PERMISSION_BIT(permission), cql__resource_name(&r, &arena)};
		may = may || (w.resource && any_role(p, role, 0, has_grant, &w));
	} while (!may && cql__resource_parent(&r));
	arena_done(&arena);
	return may;
}
