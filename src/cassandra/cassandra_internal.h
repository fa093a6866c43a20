/* The engine of cassandra.h, inside. engine.c tells of its threads, commit.c of how a batch is atomic. */
#ifndef CASSANDRA_INTERNAL_H
#define CASSANDRA_INTERNAL_H

#include "base/map.h"
#include "cassandra/cassandra.h"
#include "cassandra/client.h"
#include "cql/text.h"
#include <pthread.h>
#include <stdatomic.h>

#define CASSANDRA_KEYSPACE "smack_system"

/* ---- the schema (schema.c) ---- */

struct cassandra_picture {
	struct store_schema schema; /* first: what callers hold */
	atomic_uint refs;
	struct arena arena;
	char left_out[300]; /* tables that cannot be shown, and why; or "" */
};
/* Read it from system_schema. Blocks. */
SM_MUST_CHECK enum sm_err cassandra__schema_read(struct client *client, struct cassandra_picture **ret_picture, struct sm_error *reterr);
void cassandra__picture_unref(struct cassandra_picture *picture);

/* ---- changes of it (change.c) ---- */

/* The statements that make a change, in the arena. replication_factor: of keyspaces that ask for SimpleStrategy; 0: as they ask. */
SM_MUST_CHECK enum sm_err cassandra__change_text(const struct store_schema *now, const struct store_change *change,
						 uint32_t replication_factor, struct arena *arena, const char ***ret_texts,
						 uint32_t *ret_count, struct sm_error *reterr);

/* ---- writes as statements (statement.c) ---- */

/* A batch's mutations as the statements that make them: entries as client__batch takes them, one after the other, and what is known of
 * them. */
struct cassandra_entry {
	size_t at, size; /* in the buffer */
	int32_t statement;
	int64_t token;
};
struct cassandra_program {
	struct buf bytes;
	struct cassandra_entry *entries;
	uint32_t count, cap;
	bool counters, repeatable; /* counters: all are of counters; repeatable: twice is as good as once */
	bool one_partition;
};
void cassandra__program_init(struct cassandra_program *program);
void cassandra__program_done(struct cassandra_program *program);
/* Errors: SM_INVALID (a key that is null or, of one column, empty; a value that is none of its column's type), SM_UNSUPPORTED (counters
 * and others in one batch), SM_TOO_LARGE (a statement; CLIENT_STATEMENTS_MAX), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err cassandra__program_add(struct cassandra_program *program, struct client *client, const struct store_batch *batch);
/* The entries from *at on as they lie in the journal, up to bytes_max and one more: each [i64 token][u32 number of the text within the
 * chunk] [u32 size][text], where the number is new, [u32 size][u16 count][value]... false: there is none left. */
bool cassandra__journal_chunk(const struct cassandra_program *program, struct client *client, uint32_t *at, size_t bytes_max,
			      struct buf *out);
/* And back. Errors: SM_CORRUPT, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err cassandra__journal_read(struct cassandra_program *program, struct client *client, struct bytes chunk);

/* Append "a = ? AND b = ?" for the partition key. */
void cassandra__partition_where(const struct store_table *table, struct arena *arena, struct buf *text);
void cassandra__table_name(const struct store_table *table, struct arena *arena, struct buf *text);

/* Ranges of clusterings as CQL can say them (slice.c): the columns before the last are given, the last lies between two bounds.
 */
struct cassandra_slice {
	uint16_t equals;                    /* columns that are given; 0: from the first on */
	const struct store_cell *prefix;    /* their values */
	enum store_bound_kind lower, upper; /* of the next column, in its values' order */
	struct store_cell low, high;
};
#define CASSANDRA_SLICES_MAX 40 /* two a clustering column, and one; tables with more are read whole */
/* The slices between two bounds, in the table's order; ret has room for CASSANDRA_SLICES_MAX. Returns their number; 0: nothing lies there.
 */
uint32_t cassandra__slices(const struct store_table *table, const struct store_bound *from, const struct store_bound *to,
			   struct cassandra_slice *ret);
/* Append " AND c = ? AND d > ?" and the values; values has room for clustering_count + 1. Returns the values' number. */
uint16_t cassandra__slice_where(const struct store_table *table, const struct cassandra_slice *slice, struct arena *arena, struct buf *text,
				struct store_cell *values);

/* ---- the engine ---- */

struct cassandra_job {
	uint64_t epoch;
	int64_t committed; /* the last batch that was decided; -1: none */
	uint32_t batches;  /* attempts of this epoch */
	bool broken;       /* a commit's end is not known: only a new epoch helps */
	bool busy;         /* a commit is under way */
};
struct cassandra_change_task;
struct cassandra_store {
	struct sm_store store; /* first */
	struct client *client;
	char shown[300];
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
	pthread_t keeper;
	bool started, guest;  /* guest: there are no tables of ours */
	pthread_mutex_t lock; /* of the rest */
	pthread_cond_t changed;
	struct cassandra_picture *picture;
	unsigned stale; /* enum client_event: what the keeper is to look at */
	bool closing;
	struct cassandra_change_task *changes, **changes_end;
	struct map jobs;    /* name -> struct cassandra_job */
	uint32_t under_way; /* commits */
	bool batches_left;  /* a large batch ended before all was written: the keeper goes on */
	char left_out[300]; /* told already */
};
static inline struct cassandra_store *cassandra__of(struct sm_store *store)
{
	return (struct cassandra_store *)store;
}
void cassandra__notice(struct cassandra_store *s, const char *fmt, ...) SM_PRINTF(2, 3);
/* Read the schema anew; later pictures have it. Blocks. */
SM_MUST_CHECK enum sm_err cassandra__refresh(struct cassandra_store *s, struct sm_error *reterr);
/* Run statements that change the schema, and wait until all hosts know it. Blocks. */
SM_MUST_CHECK enum sm_err cassandra__run_changes(struct cassandra_store *s, const char *const *texts, uint32_t count,
						 struct sm_error *reterr);
/* Wait until all hosts have the same schema; one that is down learns of it later. Blocks. */
SM_MUST_CHECK enum sm_err cassandra__await_agreement(struct cassandra_store *s, struct sm_error *reterr);
uint32_t cassandra__replication(struct cassandra_store *s); /* of our own keyspace */

/* commit.c */
void cassandra__apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg);
/* Write what the entries say, all of them, but for what is about tables or columns that are no longer there; repeatable ones only. Blocks.
 * Errors: SM_INVALID (the server refuses a statement for another reason), those of requests. */
SM_MUST_CHECK enum sm_err cassandra__replay(struct cassandra_store *s, struct cassandra_program *program, struct sm_error *reterr);
#define CASSANDRA_INSERT_CHUNK "INSERT INTO smack_system.store_journal (job, number, chunk, data) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
#define CASSANDRA_DELETE_CHUNKS "DELETE FROM smack_system.store_journal USING TIMESTAMP ? WHERE job = ? AND number = ?"
#define CASSANDRA_SET_APPLIED "UPDATE smack_system.store_job USING TIMESTAMP ? SET applied = ? WHERE job = ?"
#define CASSANDRA_DELETE_BATCH "DELETE FROM smack_system.store_batch WHERE bucket = 0 AND id = ?"
/* The name under which a large batch lies in the journal. */
void cassandra__batch_name(const struct uuid *id, char out[64]);

/* job.c */
enum sm_err cassandra__job_epoch(struct sm_store *store, const char *job, uint64_t *ret_epoch, struct sm_error *reterr);
/* What large batches left in the journal. Blocks. */
SM_MUST_CHECK enum sm_err cassandra__recover_batches(struct cassandra_store *s, struct sm_error *reterr);
/* Make smack_system.store_job, store_journal, store_batch where they are not. Blocks. */
SM_MUST_CHECK enum sm_err cassandra__own_tables(struct cassandra_store *s, struct sm_error *reterr);
/* read.c */
enum sm_err cassandra__open_cursor(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
				   struct sm_error *reterr);
enum sm_err cassandra__next_row(struct store_cursor *cursor, const struct store_row **ret_row);
void cassandra__close_cursor(struct store_cursor *cursor);

#endif
