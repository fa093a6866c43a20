/* Batch jobs: RDDs, lazily built and run by actions.
 *
 *	struct sm_rdd *views = sm_rdd_filter(sm_rdd_table(sc, "ads.event"), is_view, NULL);
 *	struct sm_rdd *ones = sm_rdd_map_to_pair(views, "campaign uuid -> views bigint", one_view, NULL);
 *	return sm_rdd_foreach(sm_rdd_reduce_by_key(ones, sm_sum, NULL), print, NULL, reterr);
 *
 * An RDD is a recipe for rows in partitions; nothing runs before an action. An action cuts the graph at its shuffles into stages and runs
 * their tasks on threads. A task that fails is run again from its lineage, 4 times at most; then the job fails with stage, task, operator
 *and row. RDDs belong to their context and are freed with it. What is wrong with an RDD (no such table, a bad declaration) is told by the
 * action: the functions that build RDDs never return NULL.
 *
 * Functions of a job run on several threads at once, and again when a task is repeated: they read arg and must not change it.
 * Source: Zaharia et al., Resilient Distributed Datasets, NSDI 2012; names as in Spark. */
#ifndef SMACK_RDD_H
#define SMACK_RDD_H

#include <smack/row.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_log;
struct sm_store;
struct sm_context;
struct sm_rdd;
struct sm_out;  /* where a function puts rows */
struct sm_rows; /* what sm_rdd_collect brings */

struct sm_context_options {
	const char *master;          /* "local", "local[4]", "local[*]": threads; NULL: one a core */
	const char *keyspace;        /* of tables that are named without one; may be NULL */
	size_t memory_max;           /* bytes a job may hold; 0: 1 GiB */
	uint32_t shuffle_partitions; /* 0: 8 */
	const bool *cancel;          /* may be NULL; once true (another thread may set it) actions end with SM_CANCELLED */
	bool explain;                /* actions print what they would do on stdout, do nothing, and give nothing */
};
/* log, store: borrowed, may be NULL (then topics or tables are not there). options NULL: all defaults. Errors: SM_INVALID, SM_NO_MEMORY. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_context_new(struct sm_log *log, struct sm_store *store, const struct sm_context_options *options,
						   struct sm_context **ret_context, struct sm_error *reterr);
SM_EXPORT void sm_context_free(struct sm_context *context); /* with all its RDDs; NULL is allowed */
struct sm_job_stats {
	uint32_t stages, tasks, retries;
	uint64_t rows_out, shuffle_bytes;
	uint64_t skipped; /* rows left out with sm_skip, or records that do not fit their topic's schema */
};
SM_EXPORT struct sm_job_stats sm_context_stats(const struct sm_context *context); /* of the last action */

/* ---- sources ---- */
SM_EXPORT struct sm_rdd *sm_rdd_table(struct sm_context *context, const char *table); /* "keyspace.table", all columns */
/* Records from the earliest offset to the present end: columns of the topic's schema if the platform knows one, else value (blob);
 * then _key (blob), _partition, _offset, _timestamp. */
SM_EXPORT struct sm_rdd *sm_rdd_topic(struct sm_context *context, const char *topic);
/* One column, value (text), a row a line; glob(7) with {a,b}; files that end in .gz are undone. */
SM_EXPORT struct sm_rdd *sm_rdd_text_files(struct sm_context *context, const char *glob);
/* Rows made by fill, now, with sm_put and sm_emit. columns as in sm_rdd_map. partitions 0: one. */
SM_EXPORT struct sm_rdd *sm_rdd_parallelize(struct sm_context *context, const char *columns, uint32_t partitions,
					    enum sm_err (*fill)(struct sm_out *out, void *arg), void *arg);

/* ---- transformations ---- */
typedef bool (*sm_filter_fn)(const struct sm_row *row, void *arg);
/* Put the new row's columns into out and emit it. An error fails the task. */
typedef enum sm_err (*sm_map_fn)(const struct sm_row *row, struct sm_out *out, void *arg);
/* Put the value columns of a and b taken together, and emit them; the key's columns are there already. Associative and commutative. */
typedef enum sm_err (*sm_reduce_fn)(const struct sm_row *a, const struct sm_row *b, struct sm_out *out, void *arg);

/* A column that was not put is null. The value's bytes are borrowed until sm_emit. Mistakes (no such column, another type) fail the task.
 */
SM_EXPORT void sm_put(struct sm_out *out, const char *column, struct sm_value value);
SM_EXPORT void sm_put_at(struct sm_out *out, uint32_t column, struct sm_value value);
SM_EXPORT enum sm_err sm_emit(struct sm_out *out);
/* Leave the row out and count it (sm_job_stats.skipped); returns SM_OK. */
SM_EXPORT enum sm_err sm_skip(struct sm_out *out);
/* Fail with a text; returns code. */
SM_EXPORT enum sm_err sm_out_fail(struct sm_out *out, enum sm_err code, const char *fmt, ...) SM_PRINTF(3, 4);

SM_EXPORT struct sm_rdd *sm_rdd_filter(struct sm_rdd *rdd, sm_filter_fn keep, void *arg);
/* columns: the rows that come out, "campaign uuid, views bigint". map emits one row for each (or skips it), flat_map any number. */
SM_EXPORT struct sm_rdd *sm_rdd_map(struct sm_rdd *rdd, const char *columns, sm_map_fn map, void *arg);
SM_EXPORT struct sm_rdd *sm_rdd_flat_map(struct sm_rdd *rdd, const char *columns, sm_map_fn map, void *arg);
/* Pairs: what is before the arrow is the key, "campaign uuid -> views bigint, clicks bigint". */
SM_EXPORT struct sm_rdd *sm_rdd_map_to_pair(struct sm_rdd *rdd, const char *columns, sm_map_fn map, void *arg);
/* One row for each key; rows are combined before the shuffle too. Nulls in the key are equal to each other. */
SM_EXPORT struct sm_rdd *sm_rdd_reduce_by_key(struct sm_rdd *pairs, sm_reduce_fn reduce, void *arg);
/* A reduce function: adds up every value column; they are numbers, null counts as none. Errors: SM_OUT_OF_RANGE. */
SM_EXPORT enum sm_err sm_sum(const struct sm_row *a, const struct sm_row *b, struct sm_out *out, void *arg);
/* Pairs with equal keys: the key, left's values, right's values (their names differ). A null in a key matches nothing. SM_LEFT_JOIN keeps
 * left rows without a match, SM_FULL_JOIN those of both sides; what is missing is null. The right side is held in memory. */
enum sm_join { SM_INNER_JOIN, SM_LEFT_JOIN, SM_FULL_JOIN };
SM_EXPORT struct sm_rdd *sm_rdd_join(struct sm_rdd *left, struct sm_rdd *right, enum sm_join how);
SM_EXPORT struct sm_rdd *sm_rdd_union(struct sm_rdd *left, struct sm_rdd *right); /* same types; left's names */
SM_EXPORT struct sm_rdd *sm_rdd_distinct(struct sm_rdd *rdd);

/* ---- actions ----
 * Each runs the graph and blocks. reterr names the place of what failed. Thread: no dispatcher. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_rdd_count(struct sm_rdd *rdd, uint64_t *ret_count, struct sm_error *reterr);
/* Rows on the calling thread, in no order; none of a task that failed. An error of each ends the job. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_rdd_foreach(struct sm_rdd *rdd, enum sm_err (*each)(const struct sm_row *row, void *arg), void *arg,
						   struct sm_error *reterr);
/* All rows; free them with sm_rows_free. Errors: SM_TOO_LARGE above the context's memory. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_rdd_collect(struct sm_rdd *rdd, struct sm_rows **ret_rows, struct sm_error *reterr);
SM_EXPORT uint64_t sm_rows_count(const struct sm_rows *rows);
SM_EXPORT const struct sm_row *sm_rows_at(const struct sm_rows *rows, uint64_t index);
SM_EXPORT void sm_rows_free(struct sm_rows *rows); /* NULL is allowed */
/* Upsert each row into "keyspace.table", columns by name, all with one write time: running it again changes nothing. Rows are written as
 * tasks go, so a job that fails may leave some. ret_count may be NULL. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_rdd_save_to_table(struct sm_rdd *rdd, const char *table, uint64_t *ret_count,
							 struct sm_error *reterr);
/* RDDs, stages and tasks as text; free() it. NULL: no memory. */
SM_EXPORT char *sm_rdd_explain(struct sm_rdd *rdd);

#ifdef __cplusplus
}
#endif
#endif
