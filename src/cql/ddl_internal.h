/* Between ddl.c and system_tables.c: both make tables from CREATE TABLE. */
#ifndef CQL_DDL_INTERNAL_H
#define CQL_DDL_INTERNAL_H

#include "cql/plan.h"

/* The table that a CREATE TABLE describes, in c->arena. computed: of the system keyspaces, where collections are allowed. */
SM_MUST_CHECK enum sm_err ddl__table(struct cql_context *c, const struct cql_ddl *ddl, const char *keyspace, bool computed,
				     struct store_table **ret_table);

/* Check the value of a table option whose kind is right, and bring it into the form that Cassandra shows (option_value.c). value: the
 * literal. */
SM_MUST_CHECK enum sm_err ddl__option_value(struct cql_context *c, const struct cql_option *option, const char **value);

/* ALTER of old as a change; the error of a name that is taken (ddl.c). */
SM_MUST_CHECK enum sm_err ddl__alter_table(struct cql_context *c, const struct cql_ddl *ddl, const struct store_table *old,
					   struct cql_change *change, bool *ret_nothing);
/* A name of what is made: "Table", "Index". */
enum sm_err ddl__check_name(struct cql_context *c, const char *what, const char *name);
enum sm_err ddl__exists(struct cql_context *c, const char *keyspace, const char *table);

/* The change that CREATE, ALTER or DROP TYPE means (ddl_type.c). */
SM_MUST_CHECK enum sm_err ddl__type_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing);

#endif
