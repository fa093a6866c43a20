/* The statements about roles: what Cassandra checks, in its order and words, then a change of the tables or a list. Runs on the pool. */
#include "cql/role_internal.h"

#include "auth/auth.h"
#include <stdlib.h>

struct run {
	struct cql_context *c;
	const struct cql_role_statement *s;
	struct cql_role_picture *p; /* the newest */
	struct cql_resource resource;
	struct buf out; /* statements on the tables */
	struct cql_result *result;
};

static enum sm_err unauthorized(struct run *r, const char *text)
{
	return cql__fail(r->c->err, CQL_UNAUTHORIZED, "%s", text);
}

static enum sm_err need(struct run *r, enum cql_permission permission, const struct cql_resource *resource)
{
	if (cql__role_may(r->p, r->c->user, permission, resource))
		return SM_OK;
	const char *text = cql__resource_text(resource, r->c->arena);
	return cql__fail(r->c->err, CQL_UNAUTHORIZED, "User %s has no %s permission on %s or any of its parents", r->c->user,
			 cql__permission_names[permission], text ? text : "");
}

/* The same for roles, where Cassandra says less. role NULL: for all of them. */
static enum sm_err need_role(struct run *r, enum cql_permission permission, const char *role)
{
	struct cql_resource resource = {.kind = role ? CQL_ONE_ROLE : CQL_ALL_ROLES, .name = role};
	if (cql__role_may(r->p, r->c->user, permission, &resource))
		return SM_OK;
	return cql__fail(r->c->err, CQL_UNAUTHORIZED, "User %s does not have sufficient privileges to perform the requested operation",
			 r->c->user);
}

static enum sm_err there(struct run *r, const char *role)
{
	return cql__role_find(r->p, role) ? SM_OK : cql__fail(r->c->err, CQL_INVALID, "%s doesn't exist", role);
}

/* ---- CREATE, ALTER, DROP ---- */

/* What is wrong with the options by themselves. */
static enum sm_err check_options(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	static const char manager[] = "org.apache.cassandra.auth.CassandraRoleManager";
	if (s->options)
		return cql__fail(r->c->err, CQL_INVALID, "%s doesn't support OPTIONS", manager);
	if (s->access)
		return cql__fail(r->c->err, CQL_INVALID,
				 "ACCESS TO and ACCESS FROM are not supported: there is one datacenter and no CIDR authorizer");
	if (s->password && !r->c->engine->roles)
		return cql__fail(r->c->err, CQL_INVALID, "%s doesn't support PASSWORD", manager);
	if (s->password && s->hashed && !auth_password_hash_ok(s->password))
		return cql__fail(r->c->err, CQL_INVALID, "Invalid hashed password value. Please use jBcrypt."); /* as Cassandra says it */
	if (s->password && !s->hashed && strlen(s->password) > AUTH_PASSWORD_MAX)
		return cql__fail(r->c->err, CQL_INVALID, "A password has at most %d bytes", AUTH_PASSWORD_MAX);
	return SM_OK;
}

static const char *hash_of(struct run *r, char out[AUTH_PASSWORD_HASH_BYTES])
{
	if (r->s->hashed)
		return r->s->password;
	return auth_password_hash(bytes_str(r->s->password), out) ? out : NULL;
}

static void put_grants(struct buf *out, const char *role, const struct cql_resource *resource, unsigned permissions, struct arena *arena)
{
	const char *name = cql__resource_name(resource, arena);
	if (!name)
		out->failed = true;
	for (int i = 0; name && i < CQL_PERMISSIONS; i++) {
		if (!(permissions & CQL_PERMISSION_BIT(i)))
			continue;
		buf_append_str(out, "INSERT INTO " ROLE_GRANT_TABLE " (role, resource, permission) VALUES (");
		role__put_text(out, role);
		buf_append_str(out, ", ");
		role__put_text(out, name);
		buf_printf(out, ", '%s');", cql__permission_names[i]);
	}
}

static bool name_ok(const char *name)
{
	size_t size = strlen(name);
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	return size <= AUTH_NAME_MAX;
}

static enum sm_err create_role(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	struct cql_resource self = {.kind = CQL_ONE_ROLE, .name = s->role};
	char hash[AUTH_PASSWORD_HASH_BYTES];
	enum sm_err err;
	if (!s->role[0])
		return cql__fail(r->c->err, CQL_INVALID, "Role name can't be an empty string");
	if (!name_ok(s->role))
		return cql__fail(r->c->err, CQL_INVALID, "A role's name has at most %d bytes, and no control characters", AUTH_NAME_MAX);
	if ((err = need_role(r, CQL_MAY_CREATE, NULL)))
		return err;
	if (s->superuser == 1 && !cql__role_is_super(r->p, r->c->user))
		return unauthorized(r, "Only superusers can create a role with superuser status");
	if (cql__role_find(r->p, s->role))
		return s->if_not_exists ? SM_OK : cql__fail(r->c->err, CQL_INVALID, "%s already exists", s->role);
	const char *text = s->password ? hash_of(r, hash) : NULL;
	if (s->password && !text)
		return cql__fail(r->c->err, CQL_INVALID, "The password cannot be hashed: it is empty");
	buf_append_str(&r->out, "INSERT INTO " ROLE_TABLE " (role, superuser, login, hash) VALUES (");
	role__put_text(&r->out, s->role);
	buf_printf(&r->out, ", %s, %s, ", s->superuser == 1 ? "true" : "false", s->login == 1 ? "true" : "false");
	if (text)
		role__put_text(&r->out, text);
	else
		buf_append_str(&r->out, "null");
	buf_append_str(&r->out, ");");
	put_grants(&r->out, r->c->user, &self, cql__resource_permissions(&self), r->c->arena);
	return SM_OK;
}

static enum sm_err may_alter(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	bool super = cql__role_is_super(r->p, r->c->user);
	if (s->superuser >= 0 && cql__role_has(r->p, r->c->user, s->role))
		return unauthorized(r, "You aren't allowed to alter your own superuser status or that of a role granted to you");
	if (s->superuser >= 0 && !super)
		return unauthorized(r, "Only superusers are allowed to alter superuser status");
	if (super)
		return SM_OK;
	if (strcmp(r->c->user, s->role) != 0)
		return need_role(r, CQL_MAY_ALTER, s->role);
	return s->login >= 0 ? unauthorized(r, "You aren't allowed to alter LOGIN") : SM_OK;
}

static enum sm_err alter_role(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	char hash[AUTH_PASSWORD_HASH_BYTES];
	if (!cql__role_find(r->p, s->role))
		return s->if_exists ? SM_OK : cql__fail(r->c->err, CQL_INVALID, "Role %s doesn't exist", s->role);
	enum sm_err err = may_alter(r);
	if (err)
		return err;
	const char *text = s->password ? hash_of(r, hash) : NULL;
	if (s->password && !text)
		return cql__fail(r->c->err, CQL_INVALID, "The password cannot be hashed: it is empty");
	const char *comma = "";
	buf_append_str(&r->out, "UPDATE " ROLE_TABLE " SET ");
	if (s->superuser >= 0) {
		buf_printf(&r->out, "superuser = %s", s->superuser ? "true" : "false");
		comma = ", ";
	}
	if (s->login >= 0) {
		buf_printf(&r->out, "%slogin = %s", comma, s->login ? "true" : "false");
		comma = ", ";
	}
	if (text) {
		buf_printf(&r->out, "%shash = ", comma);
		role__put_text(&r->out, text);
	}
	buf_append_str(&r->out, " WHERE role = ");
	role__put_text(&r->out, s->role);
	buf_u8(&r->out, ';');
	return SM_OK;
}

static void drop_grant(struct run *r, const struct cql_grant *grant)
{
	buf_append_str(&r->out, "DELETE FROM " ROLE_GRANT_TABLE " WHERE role = ");
	role__put_text(&r->out, grant->role);
	buf_append_str(&r->out, " AND resource = ");
	role__put_text(&r->out, grant->resource);
	buf_u8(&r->out, ';');
}

static void drop_grants_on(struct run *r, const char *resource)
{
	for (uint32_t i = 0; i < r->p->grant_count; i++)
		if (strcmp(r->p->grants[i].resource, resource) == 0)
			drop_grant(r, &r->p->grants[i]);
}

static void put_delete(struct buf *out, const char *table, const char *column, const char *value)
{
	buf_printf(out, "DELETE FROM %s WHERE %s = ", table, column);
	role__put_text(out, value);
	buf_u8(out, ';');
}

static void put_membership(struct buf *out, bool grant, const char *member, const char *role)
{
	buf_append_str(out, grant ? "INSERT INTO " ROLE_MEMBER_TABLE " (member, role) VALUES ("
				  : "DELETE FROM " ROLE_MEMBER_TABLE " WHERE member = ");
	role__put_text(out, member);
	buf_append_str(out, grant ? ", " : " AND role = ");
	role__put_text(out, role);
	buf_append_str(out, grant ? ");" : ";");
}

static enum sm_err drop_role(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	struct cql_resource self = {.kind = CQL_ONE_ROLE, .name = s->role};
	enum sm_err err = need_role(r, CQL_MAY_DROP, s->role);
	if (err)
		return err;
	const struct cql_role *role = cql__role_find(r->p, s->role);
	if (role && cql__role_is_super(r->p, s->role) && !cql__role_is_super(r->p, r->c->user))
		return unauthorized(r, "Only superusers can drop a role with superuser status");
	if (!role && !s->if_exists)
		return there(r, s->role);
	if (strcmp(r->c->user, s->role) == 0)
		return cql__fail(r->c->err, CQL_INVALID, "Cannot DROP primary role for current login");
	if (!role)
		return SM_OK;
	put_delete(&r->out, ROLE_TABLE, "role", s->role);
	put_delete(&r->out, ROLE_MEMBER_TABLE, "member", s->role);
	put_delete(&r->out, ROLE_GRANT_TABLE, "role", s->role);
	for (uint32_t i = 0; i < r->p->role_count; i++)
		for (uint32_t k = 0; k < r->p->roles[i].member_count; k++)
			if (strcmp(r->p->roles[i].member_of[k], s->role) == 0)
				put_membership(&r->out, false, r->p->roles[i].name, s->role);
	const char *name = cql__resource_name(&self, r->c->arena);
	if (!name)
		return cql__no_memory(r->c->err, r->c->arena);
	drop_grants_on(r, name);
	return SM_OK;
}

/* ---- GRANT, REVOKE of roles ---- */

static bool is_direct_member(const struct cql_role_picture *p, const char *member, const char *role)
{
	const struct cql_role *m = cql__role_find(p, member);
	for (uint32_t i = 0; m && i < m->member_count; i++)
		if (strcmp(m->member_of[i], role) == 0)
			return true;
	return m && strcmp(member, role) == 0;
}

static enum sm_err grant_role(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	bool grant = s->verb == CQL_GRANT_ROLE;
	enum sm_err err = need_role(r, CQL_MAY_AUTHORIZE, s->role);
	if (err || (err = there(r, s->role)) || (err = there(r, s->grantee)))
		return err;
	if (grant && cql__role_has(r->p, s->grantee, s->role))
		return cql__fail(r->c->err, CQL_INVALID, "%s is a member of %s", s->grantee, s->role);
	if (grant && cql__role_has(r->p, s->role, s->grantee))
		return cql__fail(r->c->err, CQL_INVALID, "%s is a member of %s", s->role, s->grantee);
	if (!grant && !is_direct_member(r->p, s->grantee, s->role))
		return cql__fail(r->c->err, CQL_INVALID, "%s is not a member of %s", s->grantee, s->role);
	put_membership(&r->out, grant, s->grantee, s->role);
	return SM_OK;
}

/* ---- GRANT, REVOKE of permissions ---- */

static bool resource_exists(struct run *r)
{
	const struct cql_resource *x = &r->resource;
	bool system, found = true;
	switch (x->kind) {
	case CQL_ONE_KEYSPACE:
	case CQL_TABLES_OF_KEYSPACE:
	case CQL_FUNCTIONS_OF_KEYSPACE: return cql__find_keyspace(r->c, x->keyspace, &system) != NULL;
	case CQL_ONE_TABLE:
		found = store_find_table(r->c->schema, x->keyspace, x->name) ||
			store_find_table(&r->c->engine->system, x->keyspace, x->name);
		break;
	case CQL_ONE_ROLE: found = cql__role_find(r->p, x->name) != NULL; break;
	default: break;
	}
	return found;
}

/* A table's keyspace may be the one in use. */
static enum sm_err complete_resource(struct run *r)
{
	r->resource = r->s->resource;
	if (r->resource.kind != CQL_ONE_TABLE || r->resource.keyspace)
		return SM_OK;
	struct cql_table_name name = {.name = r->resource.name};
	return cql__keyspace_of(r->c, &name, &r->resource.keyspace);
}

static enum sm_err check_grant(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	enum sm_err err = complete_resource(r);
	if (err)
		return err;
	if (!cql__role_find(r->p, s->grantee))
		return cql__fail(r->c->err, CQL_INVALID, "Role %s doesn't exist", s->grantee);
	if (!resource_exists(r)) {
		const char *text = cql__resource_text(&r->resource, r->c->arena);
		return cql__fail(r->c->err, CQL_INVALID, "Resource %s doesn't exist", text ? text : "");
	}
	return SM_OK;
}

/* Tell what of it was so before. */
static void warn(struct run *r, unsigned permissions, const char *what)
{
	struct buf names;
	buf_init(&names);
	for (int i = 0; i < CQL_PERMISSIONS; i++)
		if (permissions & CQL_PERMISSION_BIT(i))
			buf_printf(&names, "%s%s", buf_size(&names) ? ", " : "", cql__permission_names[i]);
	buf_u8(&names, 0);
	const char *on = cql__resource_text(&r->resource, r->c->arena);
	const char *text = names.failed || !on ? NULL
					       : arena_printf(r->c->arena, "Role '%s' was %s %s on %s", r->s->grantee, what,
							      (const char *)names.data, on);
	buf_done(&names);
	if (text && permissions)
		r->result->warnings[r->result->warning_count++] = text;
}

static unsigned granted_before(struct run *r, const char *resource)
{
	for (uint32_t i = 0; i < r->p->grant_count; i++)
		if (strcmp(r->p->grants[i].role, r->s->grantee) == 0 && strcmp(r->p->grants[i].resource, resource) == 0)
			return r->p->grants[i].permissions;
	return 0;
}

static void put_revokes(struct run *r, const char *resource, unsigned permissions)
{
	for (int i = 0; i < CQL_PERMISSIONS; i++) {
		if (!(permissions & CQL_PERMISSION_BIT(i)))
			continue;
		buf_append_str(&r->out, "DELETE FROM " ROLE_GRANT_TABLE " WHERE role = ");
		role__put_text(&r->out, r->s->grantee);
		buf_append_str(&r->out, " AND resource = ");
		role__put_text(&r->out, resource);
		buf_printf(&r->out, " AND permission = '%s';", cql__permission_names[i]);
	}
}

static enum sm_err grant(struct run *r)
{
	const struct cql_role_statement *s = r->s;
	unsigned applicable = cql__resource_permissions(&s->resource), wanted = (s->permissions ? s->permissions : applicable) & applicable;
	if (!wanted)
		return cql__fail(r->c->err, CQL_SYNTAX_ERROR, "Resource type %s does not support any of the requested permissions",
				 s->resource.kind <= CQL_ONE_TABLE  ? "DataResource"
				 : s->resource.kind <= CQL_ONE_ROLE ? "RoleResource"
								    : "FunctionResource");
	enum sm_err err = check_grant(r);
	if (!err)
		err = need(r, CQL_MAY_AUTHORIZE, &r->resource);
	for (int i = 0; !err && i < CQL_PERMISSIONS; i++)
		if (wanted & CQL_PERMISSION_BIT(i))
			err = need(r, (enum cql_permission)i, &r->resource);
	const char *name = err ? NULL : cql__resource_name(&r->resource, r->c->arena);
	if (err || !name)
		return err ? err : cql__no_memory(r->c->err, r->c->arena);
	unsigned before = granted_before(r, name);
	if (s->verb == CQL_GRANT) {
		put_grants(&r->out, s->grantee, &r->resource, wanted & ~before, r->c->arena);
		warn(r, wanted & before, "already granted");
	} else {
		put_revokes(r, name, wanted & before);
		warn(r, wanted & ~before, "not granted");
	}
	return SM_OK;
}

/* ---- the whole of a change ---- */

static enum sm_err run_change(struct run *r)
{
	enum sm_err err = SM_OK;
	switch (r->s->verb) {
	case CQL_CREATE_ROLE: err = create_role(r); break;
	case CQL_ALTER_ROLE: err = alter_role(r); break;
	case CQL_DROP_ROLE: err = drop_role(r); break;
	case CQL_GRANT_ROLE:
	case CQL_REVOKE_ROLE: err = grant_role(r); break;
	default: err = grant(r); break;
	}
	return err || !(buf_size(&r->out) || r->out.failed) ? err : role__change(r->c->engine->roles, &r->out, r->c->err);
}

static bool alters_nothing(const struct cql_role_statement *s)
{
	return s->verb == CQL_ALTER_ROLE && !s->password && s->superuser < 0 && s->login < 0 && !s->options && !s->access;
}

enum sm_err cql__run_role(struct cql_context *c, const struct cql_role_statement *statement, struct cql_result *result)
{
	struct run r = {.c = c, .s = statement, .result = result};
	enum sm_err err = check_options(&r);
	if (err)
		return err;
	if (alters_nothing(statement))
		return cql__fail(c->err, CQL_INVALID, "ALTER [ROLE|USER] can't be empty");
	if (!c->user || !c->engine->roles)
		return unauthorized(&r, "You have to be logged in and not anonymous to perform this request");
	result->kind = CQL_RESULT_VOID;
	bool change = statement->verb != CQL_LIST_ROLES && statement->verb != CQL_LIST_PERMISSIONS;
	buf_init(&r.out);
	if (change)
		role__lock(c->engine->roles);
	r.p = cql__roles_picture(c->engine->roles);
	if (change)
		err = run_change(&r);
	else
		err = role__list(c, statement, r.p, result);
	cql__role_picture_unref(r.p);
	if (change)
		role__unlock(c->engine->roles);
	buf_done(&r.out);
	return err;
}

/* ---- changes of the schema ---- */

bool cql__role_minds_change(const struct cql_context *c, const struct store_change *change)
{
	return c->user && (change->kind == STORE_CREATE_KEYSPACE || change->kind == STORE_CREATE_TABLE ||
			   change->kind == STORE_DROP_KEYSPACE || change->kind == STORE_DROP_TABLE);
}

/* Of a keyspace all that is in it, too. */
static void drop_grants_in(struct run *r, const struct store_change *change)
{
	struct cql_resource resource;
	for (uint32_t i = 0; i < r->p->grant_count; i++) {
		const char *name = r->p->grants[i].resource;
		if (!cql__resource_parse(name, r->c->arena, &resource) || !resource.keyspace ||
		    strcmp(resource.keyspace, change->keyspace) != 0)
			continue;
		if (change->kind == STORE_DROP_KEYSPACE || (resource.kind == CQL_ONE_TABLE && strcmp(resource.name, change->table) == 0))
			drop_grant(r, &r->p->grants[i]);
	}
}

enum sm_err cql__role_after_change(struct cql_context *c, const struct store_change *change)
{
	struct run r = {.c = c};
	struct cql_resource table = {.kind = CQL_ONE_TABLE, .keyspace = change->keyspace, .name = change->table};
	struct cql_resource keyspace = {.kind = CQL_ONE_KEYSPACE, .keyspace = change->keyspace};
	struct cql_resource functions = {.kind = CQL_FUNCTIONS_OF_KEYSPACE, .keyspace = change->keyspace};
	buf_init(&r.out);
	role__lock(c->engine->roles);
	r.p = cql__roles_picture(c->engine->roles);
	if (change->kind == STORE_CREATE_KEYSPACE) {
		put_grants(&r.out, c->user, &keyspace, cql__resource_permissions(&keyspace), c->arena);
		put_grants(&r.out, c->user, &functions, cql__resource_permissions(&functions), c->arena);
	} else if (change->kind == STORE_CREATE_TABLE) {
		put_grants(&r.out, c->user, &table, cql__resource_permissions(&table), c->arena);
	} else {
		drop_grants_in(&r, change);
	}
	enum sm_err err = buf_size(&r.out) || r.out.failed ? role__change(c->engine->roles, &r.out, c->err) : SM_OK;
	cql__role_picture_unref(r.p);
	role__unlock(c->engine->roles);
	buf_done(&r.out);
	return err;
}
