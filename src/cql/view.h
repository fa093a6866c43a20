/* Materialized views (view.c, view_rows.c, parse_view.c). A view is a table of the store with options "view/base", "view/where" and
 * "view/all"; nothing is ever written to it: its rows are made from the base table's when they are read. */
#ifndef CQL_VIEW_H
#define CQL_VIEW_H

#include "cql/plan.h"

/* The name of the table that it is a view of; NULL: it is no view. */
const char *cql__view_base(const struct store_table *table);
const char *cql__view_where(const struct store_table *view); /* "a IS NOT NULL AND b IS NOT NULL" */
bool cql__view_has_all(const struct store_table *view);      /* it was made with SELECT * */
/* "v, w": the views of the table, in the arena; NULL: it has none. */
const char *cql__views_of(const struct store_keyspace *keyspace, const char *table, struct arena *arena);
/* CREATE, ALTER or DROP MATERIALIZED VIEW as a change of tables. */
enum sm_err cql__view_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing);
/* The view's rows that pass where, in the order of tokens and clustering. Arrays of cells in the order of the view's columns. Blocks. */
enum sm_err cql__view_rows(struct cql_eval *eval, const struct cql_select_plan *plan, struct store_cell ***ret_rows, uint32_t *ret_count);
const char *cql__describe_view(const struct store_table *view, bool internals, struct arena *arena);

#endif
