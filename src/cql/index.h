/* Secondary indexes (index.c). An index is an option of its table: "index/NAME" with four lines, kind, target, class, and a map literal of
 * options. It says which queries need no ALLOW FILTERING; rows are found by reading and filtering, there are no entries on disk. */
#ifndef CQL_INDEX_H
#define CQL_INDEX_H

#include "cql/plan.h"

#define CQL_INDEX_PREFIX "index/"

struct cql_index {
	const char *name, *kind, *target; /* "COMPOSITES" or "CUSTOM"; "v", "keys(m)" */
	const char *class, *options;      /* "" for the plain one; "{'case_sensitive': 'false'}" or "" */
	const struct store_column *column;
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
/* The first index that depends on the column, or NULL. */
const char *cql__index_of(const struct store_table *table, const char *column, struct arena *arena);

#endif
