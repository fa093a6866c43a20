/* The wide-column store, for jobs and actors: rows of tables by key. Tables are named "keyspace.table".
 * A handle comes from a session (session.h) or from the server's own actors. Whole tables are for RDDs (rdd.h). */
#ifndef SMACK_STORE_H
#define SMACK_STORE_H

#include <smack/row.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_store;

struct sm_column_value {
	const char *column;
	struct sm_value value;
};
/* The row is borrowed for the call. SM_END ends the reading; another error ends it too and is returned. */
typedef enum sm_err (*sm_store_each)(void *arg, const struct sm_row *row);

/* Rows by key: the partition key's columns in their order, then as many clustering columns as wanted (all: one row). Values convert as in
 * sm_store_put. No row is no error. May block. Errors: SM_NOT_FOUND (table), SM_INVALID (the key is not whole), SM_TYPE, SM_IO. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_store_get(struct sm_store *store, const char *table, const struct sm_value *key, uint32_t key_count,
						 sm_store_each each, void *arg, struct sm_error *reterr);
/* Every row of the table, in token order. May block. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_store_scan(struct sm_store *store, const char *table, sm_store_each each, void *arg,
						  struct sm_error *reterr);
/* Write one row (INSERT): the whole primary key and any other columns; a null deletes a cell. Integers go into int and bigint where they
 * fit, texts into uuid where they parse. Returns after the sync that covers it. May block; in an actor use sm_store_put_then.
 * Errors: SM_NOT_FOUND (table, column), SM_INVALID (key), SM_TYPE, SM_OUT_OF_RANGE, SM_FULL (the store is behind: try later), SM_IO. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_store_put(struct sm_store *store, const char *table, const struct sm_column_value *columns,
						 uint32_t column_count, struct sm_error *reterr);
/* The same without waiting: done is called once, on a thread of the store, possibly before this returns, and must not block (it sends a
 * message). Only when this returns SM_OK. Everything is copied. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_store_put_then(struct sm_store *store, const char *table, const struct sm_column_value *columns,
						      uint32_t column_count, void (*done)(void *arg, enum sm_err err), void *arg,
						      struct sm_error *reterr);

#ifdef __cplusplus
}
#endif
#endif
