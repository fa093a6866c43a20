/* JSON for CQL: documents taken apart (json_parse.c), values to JSON and back (json_value.c), toJson, fromJson, SELECT JSON and INSERT JSON
 * (json_rows.c). Texts are those that Cassandra and its parser, Jackson, give. */
#ifndef CQL_JSON_VALUE_H
#define CQL_JSON_VALUE_H

#include "cql/plan.h"

#include <string.h>

enum json_kind {
	JSON_NODE_NULL,
	JSON_NODE_BOOLEAN,
	JSON_NODE_INTEGER,
	JSON_NODE_REAL,
	JSON_NODE_STRING,
	JSON_NODE_ARRAY,
	JSON_NODE_OBJECT
};
/* Everything in the arena of the parse. */
struct json_node {
	enum json_kind kind;
	bool truth;
	struct bytes text; /* of a string without quotes and escapes; of a number as written */
	struct json_node *items;
	struct bytes *names; /* of an object's items */
	uint32_t count;
};
/* Parse the value at the text's start; what follows it is not looked at. On an error *ret_why is Jackson's text, in the arena.
 * Errors: SM_SYNTAX, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err cql__json_parse(struct bytes text, struct arena *arena, struct json_node *ret_node, const char **ret_why);

/* The value as JSON, appended; size -1: null. */
void cql__json_put(const struct store_type *type, struct store_cell value, struct arena *arena, struct buf *out);
/* The name of a column or field: in quotes of its own it keeps its letters, else they become small. A zero in it is written out: such a
 * name is for errors only. NULL: no memory. */
const char *cql__json_name(struct bytes name, struct arena *arena);
static inline bool json_has_zero(struct bytes text)
{
	return text.size && memchr(text.data, 0, text.size);
}
void cql__json_put_string(struct bytes text, struct buf *out);
void cql__json_put_name(const char *name, struct buf *out); /* with capital letters it stands in quotes of its own */
/* A parsed value as one of type. On SM_INVALID *ret_why says why, in Cassandra's words; it is plain where the text stands alone. */
SM_MUST_CHECK enum sm_err cql__json_value(const struct json_node *node, const struct store_type *type, struct arena *arena,
					  struct store_cell *ret_value, const char **ret_why, bool *ret_plain);

bool cql__is_to_json(const char *function);
bool cql__is_from_json(const char *function);
enum sm_err cql__to_json(struct cql_analysis *a, struct cql_expr *arg, struct cql_expr **ret_expr);
enum sm_err cql__eval_to_json(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret);
/* fromJson(text) as a value of type. */
enum sm_err cql__from_json(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
			   struct cql_expr **ret_expr);
enum sm_err cql__eval_from_json(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret);

/* INSERT JSON: the values of the document, one cell a column of the table, absent ones null or unset. */
enum sm_err cql__json_row(struct cql_eval *e, const struct cql_modify_plan *plan, struct store_cell **ret_cells);
/* SELECT JSON: one text for the row, from the cells of its columns. */
struct store_cell cql__json_object(const struct cql_select_plan *plan, const struct store_cell *cells, struct arena *arena);

#endif
