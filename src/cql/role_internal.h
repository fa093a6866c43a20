/* Between role_store.c (where roles are kept) and role_run.c (the statements). */
#ifndef CQL_ROLE_INTERNAL_H
#define CQL_ROLE_INTERNAL_H

#include "cql/plan.h"
#include "cql/role.h"

struct cql_roles;
/* Changes come one after the other: between these two, the picture is the newest. Block. */
void role__lock(struct cql_roles *roles);
void role__unlock(struct cql_roles *roles);
/* Run statements that change the tables, and make the picture anew. Under the lock; blocks. */
SM_MUST_CHECK enum sm_err role__change(struct cql_roles *roles, const struct buf *statements, struct cql_error *err);
/* Append text in quotes, as a CQL literal. */
void role__put_text(struct buf *out, const char *text);

SM_MUST_CHECK enum sm_err role__list(struct cql_context *c, const struct cql_role_statement *statement,
				     const struct cql_role_picture *picture, struct cql_result *result);

#define ROLE_TABLE "smack_system.cql_role"
#define ROLE_MEMBER_TABLE "smack_system.cql_role_member"
#define ROLE_GRANT_TABLE "smack_system.cql_role_grant"

#endif
