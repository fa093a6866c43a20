/* Pieces of statements as text, for rooms that write statements for a server of CQL: names, types, values, table options. */
#ifndef CQL_TEXT_H
#define CQL_TEXT_H

#include "base/arena.h"
#include "store/store.h"

/* The name as it must be written: in quotes where it needs them (lexer.c). */
const char *cql_quote_name(const char *name, struct arena *arena);
/* "map<text, int>" (types.c) */
const char *cql_type_text(const struct store_type *type, struct arena *arena);
/* And back: the type of this text, in the arena, with the user types that keyspace has in schema. keyspace may be NULL. Errors: SM_SYNTAX,
 * SM_TOO_LARGE, SM_INVALID (a type that is not there, or cannot stand where it does), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err cql_type_of_text(const struct store_schema *schema, const char *keyspace, const char *text, struct arena *arena,
					   struct store_type *ret_type);
/* As a CQL literal: 'it''s', 0xcafe, 3 (render.c). */
const char *cql_literal_text(const struct store_type *type, struct store_cell value, struct arena *arena);
/* Each option of a table that Cassandra knows, from 0 on; NULL: there are no more (options.c). */
const char *cql_table_option_name(uint32_t i);

#endif
