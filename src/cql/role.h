/* Roles and what they may do, as Cassandra's CassandraRoleManager and CassandraAuthorizer have them: the statements, and a picture of all
 * roles and grants in memory, which is made anew after each change. They are kept in tables of the store (role_store.c). */
#ifndef CQL_ROLE_H
#define CQL_ROLE_H

#include "base/arena.h"
#include "base/bytes.h"

/* ---- permissions and what they are on ---- */

enum cql_permission {
	CQL_MAY_CREATE,
	CQL_MAY_ALTER,
	CQL_MAY_DROP,
	CQL_MAY_SELECT,
	CQL_MAY_MODIFY,
	CQL_MAY_AUTHORIZE,
	CQL_MAY_DESCRIBE,
	CQL_MAY_EXECUTE,
	CQL_MAY_UNMASK,
	CQL_MAY_SELECT_MASKED,
	CQL_PERMISSIONS
};
#define CQL_PERMISSION_BIT(permission) (1u << (permission))
extern const char *const cql__permission_names[CQL_PERMISSIONS];

enum cql_resource_kind {
	CQL_NO_RESOURCE,
	CQL_ALL_KEYSPACES,
	CQL_ONE_KEYSPACE,
	CQL_TABLES_OF_KEYSPACE,
	CQL_ONE_TABLE,
	CQL_ALL_ROLES,
	CQL_ONE_ROLE,
	CQL_ALL_FUNCTIONS,
	CQL_FUNCTIONS_OF_KEYSPACE
};
struct cql_resource {
	enum cql_resource_kind kind;
	const char *keyspace; /* NULL in a table that was named without one */
	const char *name;     /* of the table or role */
};
/* "<table a.t>"; in the arena, NULL: no memory. */
const char *cql__resource_text(const struct cql_resource *resource, struct arena *arena);
/* "data/a/t", as grants are kept. */
const char *cql__resource_name(const struct cql_resource *resource, struct arena *arena);
/* Back from the name; false: it is none. */
bool cql__resource_parse(const char *name, struct arena *arena, struct cql_resource *ret);
/* The next wider one; false: there is none. */
bool cql__resource_parent(struct cql_resource *resource);
/* The permissions that can be granted on it. */
unsigned cql__resource_permissions(const struct cql_resource *resource);

/* ---- statements ---- */

enum cql_role_verb {
	CQL_CREATE_ROLE,
	CQL_ALTER_ROLE,
	CQL_DROP_ROLE,
	CQL_LIST_ROLES,
	CQL_GRANT_ROLE,
	CQL_REVOKE_ROLE,
	CQL_GRANT,
	CQL_REVOKE,
	CQL_LIST_PERMISSIONS
};
struct cql_role_statement {
	enum cql_role_verb verb;
	bool user; /* CREATE USER and so on, LIST USERS */
	bool if_exists, if_not_exists, no_recursive;
	const char *role;        /* that it is about; GRANT_ROLE, REVOKE_ROLE: the one that is given or taken */
	const char *grantee;     /* GRANT, REVOKE: to whom; LIST: OF, or NULL */
	const char *password;    /* or NULL */
	bool hashed;             /* password is a hash */
	int8_t superuser, login; /* -1: not said */
	bool options, access;    /* OPTIONS, ACCESS TO or FROM were there */
	unsigned permissions;    /* of GRANT, REVOKE, LIST_PERMISSIONS; 0: all that the resource has */
	struct cql_resource resource;
};

/* ---- the picture ---- */

struct cql_role {
	const char *name, *hash; /* hash NULL: no password */
	bool superuser, login;
	const char **member_of; /* names, sorted */
	uint32_t member_count;
};
struct cql_grant {
	const char *role, *resource;
	unsigned permissions;
};
/* Counted and immutable. */
struct cql_role_picture {
	_Atomic uint32_t refs;
	struct arena arena;
	struct cql_role *roles;   /* by name */
	struct cql_grant *grants; /* by role, then resource */
	uint32_t role_count, grant_count;
};
const struct cql_role *cql__role_find(const struct cql_role_picture *picture, const char *name);
/* Whether the role or one that it is a member of, however far away, is a superuser. */
bool cql__role_is_super(const struct cql_role_picture *picture, const char *name);
/* Whether role is `of` or a member of it. */
bool cql__role_has(const struct cql_role_picture *picture, const char *role, const char *of);
/* What the role may do on the resource, by itself, its memberships, and the wider resources. */
bool cql__role_may(const struct cql_role_picture *picture, const char *role, enum cql_permission permission,
		   const struct cql_resource *resource);

/* ---- all roles of a server (role_store.c) ---- */

struct cql_roles;
struct sm_store;
/* Make the tables, read them, and make Cassandra's first role where there is none: cassandra, a superuser with the password cassandra.
 * Blocks. */
SM_MUST_CHECK enum sm_err cql__roles_open(struct sm_store *store, struct cql_roles **ret_roles, struct sm_error *reterr);
void cql__roles_free(struct cql_roles *roles);
/* Counted. Thread: any; does not block. */
struct cql_role_picture *cql__roles_picture(struct cql_roles *roles);
void cql__role_picture_unref(struct cql_role_picture *picture);

#endif
