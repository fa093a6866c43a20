/* The executor's graph: what an RDD and a SQL plan both become, and the one thing that runs them.
 *
 * A node is one RDD: its row type, its number of partitions, its parents, and how to iterate over one of its partitions. A parent is
 * narrow (partition i reads what its function says of the parent, usually i) or a shuffle (partition i reads what every map task wrote
 * for i). Running a node cuts the graph at its shuffles into stages, lowest first; a stage has one task a partition; tasks run on
 * threads; a task that fails is run again from its lineage, COMPUTE_TASK_ATTEMPTS times. Shuffle output stays in memory until the job ends.
 * Source: Zaharia et al., Resilient Distributed Datasets, NSDI 2012. */
#ifndef COMPUTE_DAG_H
#define COMPUTE_DAG_H

#include "compute/batch.h"
#include "log/log.h"
#include "base/buf.h"
#include "base/schema.h"
#include "store/store.h"

struct dag_node;
struct dag_task; /* a running task: its job's environment, budget and cancellation */

/* Iterates over the batches of one partition. next: SM_END after the last; the batch is the caller's to unref. */
struct dag_iterator {
	const struct dag_iterator_ops *ops;
};
struct dag_iterator_ops {
	enum sm_err (*next)(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr);
	void (*free)(struct dag_iterator *it);
};
enum dag_dependency { DAG_NARROW, DAG_SHUFFLE };
struct dag_parent {
	struct dag_node *node;
	enum dag_dependency dependency;
	/* DAG_SHUFFLE: the columns whose hash chooses the partition; 0 columns: all rows to partition 0. */
	const uint32_t *key_columns;
	uint32_t key_count;
};
struct dag_node_ops {
	const char *name; /* for --explain: "table scan", "filter", "hash aggregate" */
	/* Iterate over one partition. Read parents with dag_read_parent. */
	enum sm_err (*iterate)(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
			       struct sm_error *reterr);
	void (*free)(struct dag_node *node); /* the node's own part; may be NULL */
	/* One line for --explain, appended; may be NULL. */
	void (*explain)(const struct dag_node *node, struct buf *out);
};
/* Embedded as the first member of each kind of node. Counted, immutable once built. */
struct dag_node {
	const struct dag_node_ops *ops;
	uint32_t refs;
	uint32_t id;
	uint32_t partitions;
	struct row_type *type;
	struct dag_parent parents[2];
	uint32_t parent_count;
	uint32_t depth; /* 1 for a source; at most COMPUTE_DEPTH_MAX */
};
/* Allocates size bytes (>= sizeof(struct dag_node)), zeroed, with refs 1, a fresh id and a ref on type. NULL: no memory. */
struct dag_node *dag_node_new(size_t size, const struct dag_node_ops *ops, struct row_type *type, uint32_t partitions);
/* Takes the reference to parent, also when it fails. key_columns are copied. Errors: SM_NO_MEMORY, SM_TOO_LARGE (COMPUTE_DEPTH_MAX). */
SM_MUST_CHECK enum sm_err dag_add_parent(struct dag_node *node, struct dag_node *parent, enum dag_dependency dependency,
					 const uint32_t *key_columns, uint32_t key_count);
struct dag_node *dag_ref(struct dag_node *node);
void dag_unref(struct dag_node *node); /* NULL is allowed */

/* Within iterate: the batches of partition `partition` of parent number `parent` (a shuffled one: its bucket, in the order of the map
 * tasks). The iterator ends with SM_CANCELLED when the job is, and leaves out empty batches. */
SM_MUST_CHECK enum sm_err dag_read_parent(struct dag_node *node, struct dag_task *task, uint32_t parent, uint32_t partition,
					  struct dag_iterator **ret_it, struct sm_error *reterr);
void dag_iterator_free(struct dag_iterator *it); /* NULL is allowed */
bool dag_task_cancelled(const struct dag_task *task);
/* Count memory against the job's budget (less than 0: give it back). What a task still holds is given back when it ends.
 * Errors: SM_TOO_LARGE names what and the budget; the task is not tried again. */
SM_MUST_CHECK enum sm_err dag_task_charge(struct dag_task *task, int64_t bytes, const char *what, struct sm_error *reterr);

/* Count rows that the task leaves out because they cannot be read; they are in dag_stats.skipped if the task succeeds. */
void dag_task_skip(struct dag_task *task, uint64_t rows);

/* What a job runs in. */
struct compute_env {
	struct sm_log *log;     /* NULL: topics are not there */
	struct sm_store *store; /* NULL: tables are not there */
	/* The schema of a topic's values, or NULL when it has none; borrowed. */
	const struct schema *(*topic_schema)(void *arg, const char *topic);
	void *arg;
	uint32_t threads;             /* 0: one a core */
	size_t memory_max;            /* 0: COMPUTE_MEMORY_MAX */
	const char *default_keyspace; /* may be NULL */
	volatile bool *cancel;        /* may be NULL; true: end with SM_CANCELLED */
	/* Offsets from `from` to before `to` are damaged or lost and were passed over; told again when they are read again. Thread: any.
	 * NULL: who comes to such offsets ends with SM_CORRUPT. */
	void (*passed)(void *passed_arg, const char *topic, int32_t partition, int64_t from, int64_t to);
	void *passed_arg;
};
/* Where a topic goes on behind the hole at `from`, for those who pass over holes; telling is the caller's. Errors: SM_CORRUPT (they do not,
 * or it is no hole of the log's), those of readable. */
SM_MUST_CHECK enum sm_err topic_pass_over(const struct compute_env *env, const char *topic, int32_t partition, int64_t from,
					  int64_t *ret_to);
struct dag_stats {
	uint32_t stages, tasks, retries;
	uint64_t rows_out, shuffle_bytes, skipped;
};

/* Run the graph up to node. each is called (on the calling thread, the batch is borrowed; may be NULL) with each batch of each partition of
 * the last stage, one call at a time, partitions in any order, only for tasks that succeeded (a failed attempt's batches are never seen).
 * An error of each ends the job. An error of a task that failed COMPUTE_TASK_ATTEMPTS times is returned with its stage, task and operator
 * before its text. ret_stats may be NULL; it is also written on failure. May block. Thread: none of the dispatchers. */
SM_MUST_CHECK enum sm_err dag_run(const struct compute_env *env, struct dag_node *node,
				  enum sm_err (*each)(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr),
				  void *arg, struct dag_stats *ret_stats, struct sm_error *reterr);
/* The RDDs, stages and tasks of the graph as text: first the lineage as Spark's toDebugString draws it ("(partitions) operator [number]",
 * one step in for each shuffle), then the stages in the order they can run. */
void dag_explain(struct dag_node *node, struct buf *out);

/* ---- sources and sinks (both for RDDs and SQL) ---- */
/* A table by token ranges; columns NULL: all. Optional filter by key is done above. */
SM_MUST_CHECK enum sm_err dag_table_scan(const struct compute_env *env, const char *keyspace, const char *table, const char *const *columns,
					 uint32_t column_count, struct dag_node **ret_node, struct sm_error *reterr);
/* A topic's records from the earliest offset to the high watermark at planning time, one partition a topic partition. Columns: the
 * schema's fields (records that do not parse are left out and counted), then _key, _partition, _offset, _timestamp;
 * without a schema: value (binary) instead of the fields. */
SM_MUST_CHECK enum sm_err dag_topic_scan(const struct compute_env *env, const char *topic, struct dag_node **ret_node,
					 struct sm_error *reterr);
/* Text files by glob, .gz undone, one partition a file; one column, "value" (string), a row a line. */
SM_MUST_CHECK enum sm_err dag_text_files(const char *glob, struct dag_node **ret_node, struct sm_error *reterr);
/* Batches in memory, as one partition; takes references. */
SM_MUST_CHECK enum sm_err dag_values(struct row_type *type, struct batch *const *batches, uint32_t count, struct dag_node **ret_node);

/* The rows that a topic's records become, for whoever reads topics. Columns as dag_topic_scan says: _key is binary (null: no key),
 * _partition int, _offset bigint, _timestamp a timestamp; a schema's strings are string, uuid, timestamp (date-time), integers bigint,
 * numbers double. NULL: no memory. */
struct row_type *topic_row_type(const struct schema *schema);
/* Append a record as a row of topic_row_type(schema). Errors: SM_INVALID: it does not fit the schema (problems, which may be NULL, tell
 * why; a value that is null has the path "obj"); the batch is as it was. SM_NO_MEMORY. */
struct record;
SM_MUST_CHECK enum sm_err topic_put_record(struct batch *batch, const struct schema *schema, const struct record *record, int32_t partition,
					   struct arena *arena, struct event_problems *problems);

/* Rows of batches to mutations (INSERT) of a table: columns by name (or by target_columns, one name a column of type; NULL: their own),
 * types checked and widened: an integer to int or bigint where it fits, a text to uuid where it parses, a uuid to text, times to bigint and
 * back (ms). A null is written as a null (it deletes the cell), the table's default TTL applies. The mutations live in the arena and may
 * be put into any store_batch. table is borrowed until the writer is freed.
 * Errors: SM_NOT_FOUND (no such column), SM_TYPE, SM_INVALID (a key column is missing, null or named twice); the text names the column and
 * says what to do. */
struct table_writer;
SM_MUST_CHECK enum sm_err table_writer_new(const struct store_table *table, const struct row_type *type, const char *const *target_columns,
					   struct table_writer **ret_writer, struct sm_error *reterr);
void table_writer_free(struct table_writer *w); /* NULL is allowed */
/* Errors: SM_INVALID (null in the key), SM_OUT_OF_RANGE, SM_TYPE (a text that is no uuid), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err table_writer_row(struct table_writer *w, const struct batch *batch, uint32_t row, int64_t timestamp_us,
					   struct arena *arena, struct store_mutation *ret_mutation, struct sm_error *reterr);

/* One row of named values (<smack/store.h>) as an INSERT, by the same rules. */
struct sm_column_value;
SM_MUST_CHECK enum sm_err table_put_columns(const struct store_table *table, const struct sm_column_value *columns, uint32_t count,
					    int64_t timestamp_us, struct arena *arena, struct store_mutation *ret_mutation,
					    struct sm_error *reterr);

/* A writer and a store: rows go out in batches of COMPUTE_WRITE_ROWS, all with one write time, so that writing them again changes nothing.
 * name is "keyspace.table", or "table" in default_keyspace. job and epoch: the fence of store_batch; job may be NULL. */
struct table_sink;
SM_MUST_CHECK enum sm_err table_sink_new(struct sm_store *store, const char *name, const char *default_keyspace,
					 const struct row_type *type, const char *const *target_columns, int64_t timestamp_us,
					 const char *job, uint64_t epoch, struct table_sink **ret_sink, struct sm_error *reterr);
void table_sink_free(struct table_sink *sink); /* NULL is allowed; what was not flushed is not written */
/* Write all rows of a batch; the last few wait for more. A store that is behind (SM_FULL) is waited for. May block. */
SM_MUST_CHECK enum sm_err table_sink_batch(struct table_sink *sink, const struct batch *batch, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err table_sink_flush(struct table_sink *sink, struct sm_error *reterr);
/* Split "keyspace.table" or "table"; ret_table points into name, keyspace (room for 256) is the name's or the default. */
SM_MUST_CHECK enum sm_err table_name_split(const char *name, const char *default_keyspace, char keyspace[256], const char **ret_table,
					   struct sm_error *reterr);
/* From CQL types to columns: SM_UNSUPPORTED for a type not there yet. tinyint and smallint become int, float double, counter bigint. */
SM_MUST_CHECK enum sm_err column_type_of_store(const struct store_type *type, enum column_type *ret_type);
/* The value is borrowed from the cell. Errors: SM_CORRUPT (a size that the type cannot have). */
SM_MUST_CHECK enum sm_err value_of_cell(enum column_type type, struct store_cell cell, struct value *ret_value);

#endif
