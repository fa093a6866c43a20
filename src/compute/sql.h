/* SQL in Spark's dialect and ANSI mode: text to statements, statements to the executor's graph.
 *
 * Queries: [WITH name AS (..)] SELECT [DISTINCT] .. FROM tables, topics and subqueries, [INNER|LEFT|RIGHT|FULL|CROSS] JOIN .. ON, WHERE,
 * GROUP BY (expressions, positions, aliases, ALL), HAVING, ORDER BY [NULLS FIRST|LAST], LIMIT; UNION [ALL]; VALUES; scalar subqueries
 * (identical ones run once). INSERT INTO t [(columns)] query: without a column list the query's columns go by NAME.
 * Expressions: CASE, IN, BETWEEN, LIKE, IS [NOT] NULL, <=>, AND/OR/NOT, + - * / % DIV ||, CAST; count, sum, min, max, avg, count_if,
 * count(DISTINCT x); year, quarter, month, day, dayofweek, hour, minute, second, to_date, make_date, date_trunc, date_format,
 * timestamp_millis, unix_millis; coalesce, nullif, ifnull, if; lower, upper, length, concat, substring, left, right, trim, contains,
 * startswith, endswith; abs, floor, ceil. The functions of time take a timestamp, or a bigint of ms since 1970; all is UTC. Not as in
 * Spark: a date is a text yyyy-MM-dd (there is no date type; it compares alike); a number with a fraction is a double (there are no
 * decimals); no windows, EXISTS, IN (SELECT ..), NATURAL and USING, GROUPING SETS.
 * Overflow, division by zero and a cast that fails are errors with line and column. Names ignore case; back-ticks quote them. A relation is
 * keyspace.table, table (in the default keyspace), or a topic; a table goes before a topic of that name.
 * Anything else is SM_UNSUPPORTED or SM_SYNTAX with line and column. */
#ifndef COMPUTE_SQL_H
#define COMPUTE_SQL_H

#include "compute/dag.h"

struct sql_script;    /* the parsed statements of one text */
struct sql_statement; /* one of them */

SM_MUST_CHECK enum sm_err sql_parse(struct bytes text, struct sql_script **ret_script, struct sm_error *reterr);
void sql_script_free(struct sql_script *script);
uint32_t sql_script_count(const struct sql_script *script);
const struct sql_statement *sql_script_at(const struct sql_script *script, uint32_t index);
/* Named parameters of a script: `:name` in the text. Bind before planning; a parameter that stays unbound is an error. */
SM_MUST_CHECK enum sm_err sql_script_bind(struct sql_script *script, const char *name, struct value value);

/* What a statement is. */
bool sql_is_insert(const struct sql_statement *statement);
/* INSERT's target as written ("ads.event") and its column list (count 0: the query's names). */
const char *sql_insert_target(const struct sql_statement *statement);
uint32_t sql_insert_columns(const struct sql_statement *statement, const char *const **ret_names);

/* The one topic (or table without keyspace) that a plain SELECT .. FROM name reads; NULL: a join, a subquery, keyspace.table or nothing. */
const char *sql_source(const struct sql_statement *statement);

/* Plan the statement's query. */
SM_MUST_CHECK enum sm_err sql_plan(const struct compute_env *env, const struct sql_statement *statement, struct dag_node **ret_node,
				   struct sm_error *reterr);
/* Run a statement: a SELECT hands its rows to each in order; an INSERT writes its rows to the table (in batches, idempotent: the same
 * write time for the whole statement; job and epoch as fence, may be NULL) and counts them. May block. */
SM_MUST_CHECK enum sm_err sql_run(const struct compute_env *env, const struct sql_statement *statement, const char *job, uint64_t epoch,
				  enum sm_err (*each)(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr),
				  void *arg, uint64_t *ret_rows, struct sm_error *reterr);

/* ---- the same queries over micro-batches (stream/) ----
 * A statement of the form INSERT INTO target SELECT .. FROM one topic [WHERE ..] [GROUP BY ..] in two steps: `map` turns the batch's rows
 * into output rows (no aggregate) or into one row a group; for aggregates, the running state of a group is an opaque byte string that
 * the stream keeps: merge(old state, the batch's state) = new state, and finish makes the output row of absolute values from it. */
struct sql_incremental;
SM_MUST_CHECK enum sm_err sql_incremental_new(const struct compute_env *env, const struct sql_statement *statement, struct row_type *input,
					      struct sql_incremental **ret_plan, struct sm_error *reterr);
void sql_incremental_free(struct sql_incremental *plan);
bool sql_incremental_aggregates(const struct sql_incremental *plan);
struct row_type *sql_incremental_output(const struct sql_incremental *plan); /* borrowed */
/* No aggregates: the output rows of the input rows. */
SM_MUST_CHECK enum sm_err sql_incremental_map(struct sql_incremental *plan, const struct batch *in, struct batch **ret_out,
					      struct sm_error *reterr);
/* Aggregates: for each group of the input, each(arg, key bytes, state bytes). */
SM_MUST_CHECK enum sm_err sql_incremental_groups(struct sql_incremental *plan, const struct batch *in,
						 enum sm_err (*each)(void *arg, struct bytes key, struct bytes state), void *arg,
						 struct sm_error *reterr);
/* old may be empty (a new group). Appends the new state to ret_state. Errors: SM_CORRUPT, SM_VERSION (a state of another plan). */
SM_MUST_CHECK enum sm_err sql_incremental_merge(struct sql_incremental *plan, struct bytes old, struct bytes add, struct buf *ret_state,
						struct sm_error *reterr);
/* Append the output row of one group to out (type: sql_incremental_output). */
SM_MUST_CHECK enum sm_err sql_incremental_finish(struct sql_incremental *plan, struct bytes key, struct bytes state, struct batch *out,
						 struct sm_error *reterr);

#endif
