/* Secondary indexes (index.c). The store keeps them with their entries; what it knows nothing of is the definition's text. An index says
 * which queries need no ALLOW FILTERING, and one of them finds the rows that are filtered then. */
#ifndef CQL_INDEX_H
#define CQL_INDEX_H

#include "cql/plan.h"

struct cql_index {
	const char *name, *kind, *target; /* "COMPOSITES" or "CUSTOM"; "v", "keys(m)" */
	const char *class, *options;      /* "" for the plain one; "{'case_sensitive': 'false'}" or "" */
	const struct store_column *column;
	enum store_index_part part;
	bool sai, folds; /* folds: letters are compared without case */
};
/* The i-th index of the table, by name; false: there are no more. Texts are in the arena. */
bool cql__index_at(const struct store_table *table, uint32_t i, struct arena *arena, struct cql_index *ret_index);
/* CREATE INDEX or DROP INDEX as a change of the table. */
enum sm_err cql__index_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing);
const char *cql__describe_index(const struct store_table *table, const struct cql_index *index, struct arena *arena);
/* The table of the keyspace that has an index of this name, or NULL. */
const struct store_table *cql__index_table(const struct store_keyspace *keyspace, const char *name, struct arena *arena,
					   struct cql_index *ret_index);
/* May a restriction op of column be answered by an index of the table? entry: it is one of m['k']. ret_index: by which. */
bool cql__indexed(const struct store_table *table, const struct store_column *column, enum cql_operator op, bool entry, struct arena *arena,
		  struct cql_index *ret_index);
/* Choose what the rows are read by: where->by. Its restrictions are complete, and used is known of each. */
void cql__index_choose(const struct store_table *table, struct cql_where *where, struct arena *arena);
/* What where->by, which is there, asks of the index. *ret_any false: nothing that an index answers, as the value is null. */
enum sm_err cql__index_condition(struct cql_eval *eval, const struct cql_where *where, struct store_condition *ret_condition,
				 bool *ret_any);
/* The first index that depends on the column, or NULL. */
const char *cql__index_of(const struct store_table *table, const char *column, struct arena *arena);

#endif
