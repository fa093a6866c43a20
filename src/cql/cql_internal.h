/* What the files of this room share: errors, lexer, parser, values. plan.h has statements after analysis. */
#ifndef CQL_INTERNAL_H
#define CQL_INTERNAL_H

#include "base/buf.h"
#include "cql/ast.h"
#include "cql/cql.h"
#include "cql/cql_limits.h"
#include "cql/protocol.h"
#include "cql/text.h"

/* ---- errors (error.c) ---- */

/* The fields behind the text belong to one code each. */
struct cql_error {
	enum cql_code code;
	char text[1200];
	char keyspace[CQL_NAME_MAX + 1], table[CQL_NAME_MAX + 1]; /* ALREADY_EXISTS; of FUNCTION_FAILURE the function's name */
	uint16_t consistency;                                     /* UNAVAILABLE */
	int32_t required, alive;
	uint8_t id[16]; /* UNPREPARED */
};
/* An error stays one: readers and analyzers see that what follows a failure is not reached. */
static inline enum sm_err cql__not_ok(enum sm_err err)
{
	return err != SM_OK ? err : SM_FAILED;
}
enum sm_err cql__fail_text(struct cql_error *err, enum cql_code code, const char *fmt, ...) SM_PRINTF(3, 4);
enum sm_err cql__fail_other(struct cql_error *err, enum sm_err code, const char *detail);
enum sm_err cql__fail_arena(struct cql_error *err, const struct arena *arena);
/* Fill err; gives the sm_err that stands for the code. */
#define cql__fail(err, code, ...) cql__not_ok(cql__fail_text(err, code, __VA_ARGS__))
/* The same for an error of another room; detail may be NULL or empty. SM_AGAIN is passed through untouched. */
static inline enum sm_err cql__fail_store(struct cql_error *err, enum sm_err code, const char *detail)
{
	return cql__not_ok(cql__fail_other(err, code, detail));
}
/* The arena gave nothing. */
static inline enum sm_err cql__no_memory(struct cql_error *err, const struct arena *arena)
{
	return cql__not_ok(cql__fail_arena(err, arena));
}
enum cql_code cql__code_of(enum sm_err err); /* never a success */
enum sm_err cql__err_of(enum cql_code code);

/* ---- lexer (lexer.c) ---- */

enum cql_token_kind {
	TOK_END,
	TOK_IDENT,
	TOK_QUOTED,
	TOK_STRING,
	TOK_INTEGER,
	TOK_FLOAT,
	TOK_HEX,
	TOK_UUID,
	TOK_DURATION,
	TOK_MARKER,
	TOK_NAMED_MARKER,
	TOK_LE,
	TOK_GE,
	TOK_NEQ,
	TOK_RANGE,
	TOK_PUNCTUATION,
	TOK_BAD
};
struct cql_token {
	enum cql_token_kind kind;
	char punctuation;    /* TOK_PUNCTUATION */
	struct bytes source; /* as written */
	struct bytes text;   /* strings and names without quotes; names not yet in lower case */
	struct cql_place place;
};
struct cql_lexer {
	const uint8_t *at, *end, *line_start;
	uint32_t line;
	struct arena *arena;
	const char *problem; /* of TOK_BAD */
};
void cql__lexer_init(struct cql_lexer *lexer, struct bytes text, struct arena *arena);
struct cql_token cql__lex(struct cql_lexer *lexer);
/* An unquoted name can't be this word. */
bool cql__is_reserved(const char *name);

/* ---- parser (parse.c, parse_term.c, parse_dml.c, parse_ddl.c) ---- */

/* Parse one statement; a semicolon at the end is allowed. Errors: SM_SYNTAX, SM_TOO_LARGE; err has line and column. */
SM_MUST_CHECK enum sm_err cql__parse(struct bytes text, struct arena *arena, struct cql_statement **ret_statement, struct cql_error *err);
/* Parse a type's name alone: "frozen<map<text, int>>". */
SM_MUST_CHECK enum sm_err cql__parse_type(struct bytes text, struct arena *arena, struct cql_type_name **ret_type, struct cql_error *err);

/* The term as it was written, for errors, and as Cassandra names a result column without an alias: "system.max(v)", "count" (term_text.c).
 */
const char *cql__term_text(const struct cql_term *term, struct arena *arena);
const char *cql__selection_name(const struct cql_term *term, struct arena *arena);
const char *cql__term_written(const struct cql_term *term, struct arena *arena); /* so that it can be parsed again */

/* ---- values (literal.c, number.c, date.c, render.c) ---- */

/* A literal as the serialized form of type. name: the column, for the error. */
SM_MUST_CHECK enum sm_err cql__literal_value(const struct cql_term *term, const struct store_type *type, const char *name,
					     struct arena *arena, struct store_cell *ret_value, struct cql_error *err);
/* Check bytes that a client sent as a value of type, with Cassandra's text. */
SM_MUST_CHECK enum sm_err cql__value_check(const struct store_type *type, struct store_cell value, struct cql_error *err);
/* The same of a list, set, map, tuple, user type or vector (composite.c). */
SM_MUST_CHECK enum sm_err cql__composite_check(const struct store_type *type, struct store_cell value, struct cql_error *err);
/* Decimal digits, a sign allowed -> two's complement, big-endian, shortest. */
SM_MUST_CHECK enum sm_err cql__varint_of_text(struct bytes digits, struct arena *arena, struct store_cell *ret_value);
SM_MUST_CHECK enum sm_err cql__decimal_of_text(struct bytes text, struct arena *arena, struct store_cell *ret_value);
const char *cql__varint_text(struct bytes value, struct arena *arena);
const char *cql__decimal_text(struct bytes value, struct arena *arena);
SM_MUST_CHECK enum sm_err cql__timestamp_of_text(struct bytes text, int64_t *ret_ms);
SM_MUST_CHECK enum sm_err cql__date_of_text(struct bytes text, uint32_t *ret_days); /* 2^31 is 1970-01-01 */
SM_MUST_CHECK enum sm_err cql__time_of_text(struct bytes text, int64_t *ret_ns);
struct cql_duration {
	int32_t months, days;
	int64_t ns;
};
struct cql_problem {
	char text[120];
};
/* ret_why: what Cassandra says is wrong, or empty. */
SM_MUST_CHECK enum sm_err cql__duration_of_text(struct bytes text, struct cql_duration *ret_duration, struct cql_problem *ret_why);
struct store_cell cql__duration_cell(const struct cql_duration *duration, struct arena *arena);
SM_MUST_CHECK enum sm_err cql__duration_of_cell(struct store_cell cell, struct cql_duration *ret_duration);

/* As Java writes them (java_text.c): 1.0E10, 2015-09-01T12:34:56.789Z; in JSON a blank stands for the T. No quotes. */
const char *cql__java_text(const struct store_type *type, struct store_cell value, bool json, struct arena *arena);
const char *cql__java_double(double v, struct arena *arena);
const char *cql__java_float(float v, struct arena *arena);
double cql__double_of(struct store_cell cell); /* 0 unless it has 8 bytes */
float cql__float_of(struct store_cell cell);
struct store_cell cql__cell_double(struct arena *arena, double v);
struct store_cell cql__cell_float(struct arena *arena, float v);

/* Cells of fixed sizes, in the arena; data NULL and size -1 when memory is out. */
struct store_cell cql__cell(struct arena *arena, const void *data, size_t size);
struct store_cell cql__cell_int(struct arena *arena, int32_t v);
struct store_cell cql__cell_long(struct arena *arena, int64_t v);
struct store_cell cql__cell_text(struct arena *arena, const char *text);
static inline struct store_cell cql__null(void)
{
	return (struct store_cell){NULL, -1};
}

/* Make room for one more item of size bytes in an array that lives in an arena; NULL: memory is out. */
void *cql__grow(struct arena *arena, void *items, uint32_t count, uint32_t *cap, size_t size);

#endif
