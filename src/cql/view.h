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
/* The relations of a view's WHERE that say more than IS NOT NULL, on the base table's rows. */
enum sm_err cql__view_restrictions(struct cql_context *c, const struct store_table *base, const char *where, struct cql_where *ret_where);
/* Which of a view's rows are wanted. */
struct cql_view_read {
	const struct store_cell *key,
		*clustering; /* those behind this one; clustering NULL: behind its partition; key NULL: from the first on */
	uint32_t rows_max;   /* so many of them are enough; 0: all */
	size_t bytes_max;    /* with rows_max: likewise, one row at least; 0: no bound */
};
/* The view's rows that pass where, in the order of tokens and clustering. Arrays of cells in the order of the view's columns, null where
 * the plan does not look. ret_cut: there are more than were wanted. Blocks. */
enum sm_err cql__view_rows(struct cql_eval *eval, const struct cql_select_plan *plan, const struct cql_view_read *read,
			   struct store_cell ***ret_rows, uint32_t *ret_count, bool *ret_cut);
const char *cql__describe_view(const struct store_table *view, bool internals, struct arena *arena);

#endif
