/* What the files of store/ share. Nobody else includes this. */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "base/buf.h"
#include "base/number_set.h"
#include "store/store.h"
#include <pthread.h>
#include <stdatomic.h>

#define STORE_NO_TIME INT64_MIN   /* no write time: nothing written, nothing deleted */
#define STORE_TABLE_NUMBER_MIN 1u /* 0 is the system's */
#define STORE_TTL_MAX_S 630720000 /* 20 years, as in Cassandra */

/* ---- keys (key.c) ---- */

enum store_key_kind {
	STORE_KEY_PARTITION_DELETION = 0,
	STORE_KEY_STATIC = 1,
	STORE_KEY_RANGE_DELETION = 2,
	STORE_KEY_ROW = 3,
	STORE_KEY_END = 4
};
#define STORE_KEY_TOKEN_AT 4
#define STORE_KEY_PARTITION_AT 12

/* A key of a table taken apart; borrowed from the key. */
struct store_key {
	uint32_t table;
	int64_t token;
	struct bytes prefix;    /* through the partition key */
	struct bytes partition; /* the partition key's bytes */
	enum store_key_kind kind;
	struct bytes rest; /* behind the kind byte */
};
/* A run of encoded clusterings: lower <= x, and x < upper unless it has none. */
struct store_span {
	struct bytes lower, upper;
	bool has_upper, empty;
};

/* Append the bytes that stand for a partition key (CompositeType when it has several columns).
 * Errors: SM_INVALID (null, or no value of the type), SM_TOO_LARGE. */
SM_MUST_CHECK enum sm_err store__partition_bytes(const struct store_table *table, const struct store_cell *partition_key, struct buf *out);
/* Take them apart again into table->partition_key_count cells. Errors: SM_CORRUPT. */
SM_MUST_CHECK enum sm_err store__partition_cells(const struct store_table *table, struct bytes partition, struct store_cell *ret_cells);
/* Append table number, token, size and partition bytes. */
void store__key_prefix(uint32_t table, struct bytes partition, struct buf *out);
/* Append the first count clustering columns, encoded. Errors: SM_INVALID, SM_TOO_LARGE. */
SM_MUST_CHECK enum sm_err store__clustering_encode(const struct store_table *table, const struct store_cell *clustering, uint16_t count,
						   struct buf *out);
/* Decode all clustering columns; the cells point into scratch (cleared first). Errors: SM_CORRUPT, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__clustering_decode(const struct store_table *table, struct bytes encoded, struct buf *scratch,
						   struct store_cell *ret_cells);
/* The clustering as it was written, where the key has only its order: appended to out, which is left empty where the key has all of it. And
 * back: false when the bytes are no such thing. */
SM_MUST_CHECK enum sm_err store__clustering_form(const struct store_table *table, const struct store_cell *clustering, struct bytes encoded,
						 struct buf *out);
bool store__clustering_reform(const struct store_table *table, struct bytes form, struct store_cell *cells);
bool store__loses_form(const struct store_type *type); /* as a clustering column */
/* Turn the run of bytes, from at to its end, into the smallest one that is larger than all that begin with it.
 * false: there is none (all 0xff, or empty). */
bool store__successor(struct buf *b, size_t at);
/* The span of encoded clusterings between two bounds; its bytes are appended to out, which must not grow while the span is in use. */
SM_MUST_CHECK enum sm_err store__span(const struct store_table *table, const struct store_bound *from, const struct store_bound *to,
				      struct buf *out, struct store_span *ret_span);
/* Behind the kind byte of a range deletion, and back. Errors of the second: SM_CORRUPT. */
void store__range_encode(const struct store_span *span, struct buf *out);
SM_MUST_CHECK enum sm_err store__range_decode(struct bytes rest, struct store_span *ret_span);
/* Errors: SM_CORRUPT. */
SM_MUST_CHECK enum sm_err store__key_decode(struct bytes key, struct store_key *ret_key);

/* A value in a key, and back: encoded bytes have been inverted where flip is 0xff (key_value.c). out starts at 0. Errors: SM_CORRUPT,
 * SM_NO_MEMORY. */
void store__encode_value(const struct store_type *type, struct store_cell value, struct buf *out);
SM_MUST_CHECK enum sm_err store__decode_value(const struct store_type *type, struct byte_reader *in, uint8_t flip, struct buf *out);

/* ---- types (type.c) ---- */

#define STORE_SIZE_VARIABLE (-1)
#define STORE_SIZE_UNSUPPORTED (-2)
/* Bytes of each value of the type, or one of the above. */
int store__type_size(const struct store_type *type);
/* replacement: a user type that stands in the copy where one of its name was used, or NULL. false: no memory. */
bool store__type_copy(const struct store_type *from, const struct store_type *replacement, struct arena *arena,
		      struct store_type *ret_type);
/* The version nibble, then the time of version 1 or the rest as it stands: compares as unsigned. And back. */
uint64_t store__uuid_order(uint64_t high);
uint64_t store__uuid_unorder(uint64_t ordered);

/* ---- values made of values (composite.c) ---- */

bool store__type_composite(const struct store_type *type);
/* The magnitude's decimal digits, the least first, without zeros at the high end; their number. digits: room for size * 5 / 2 + 2. */
size_t store__decimal_digits(const uint8_t *number, size_t size, uint8_t *digits);
/* A value that store_value_ok accepts can stand in a clustering: it has no parts of no bytes where the type has a size (type.c). */
bool store__key_value_ok(const struct store_type *type, struct store_cell value);
bool store__composite_ok(const struct store_type *type, struct store_cell value);
int store__composite_compare(const struct store_type *type, struct store_cell a, struct store_cell b);

/* ---- row values (row.c) ---- */

enum store__part {
	STORE__WHOLE,   /* the column's value */
	STORE__CLEARED, /* a tombstone of all elements that are as old */
	STORE__ELEMENT, /* one of many, by its path */
};
struct store__cell {
	uint32_t id; /* column */
	uint8_t part;
	bool tombstone;
	int64_t timestamp_us;
	int32_t ttl_s;    /* 0: lives for ever */
	int64_t expiry_s; /* with a ttl: when it dies; of a tombstone: when it was written; else 0 */
	const uint8_t *data, *path;
	uint32_t size, path_size;
};
/* What one key holds. Cells are in the order of their ids, then parts, then paths as bytes. */
struct store__row {
	int64_t marker_us; /* STORE_NO_TIME: no row marker */
	int32_t marker_ttl_s;
	int64_t marker_expiry_s;
	int64_t deleted_us; /* STORE_NO_TIME: not deleted */
	int64_t deleted_s;  /* the clock's second when it was written */
	struct store__cell *cells;
	uint32_t cell_count, cell_cap;
	struct store__cell inline_cells[24];
};
void store__row_init(struct store__row *row);
void store__row_done(struct store__row *row);
/* Latest write time in it, deletion and marker included; STORE_NO_TIME: none. */
int64_t store__row_newest_us(const struct store__row *row);
/* Room for one more cell at the end; NULL when memory is out. */
struct store__cell *store__row_add(struct store__row *row);
/* Bring the cells into their order; of two with the same place the one that wins stays. *ret_doubles: a whole value was there twice. */
void store__row_sort(struct store__row *row, bool *ret_doubles);
/* row's cells borrow from value. Errors: SM_CORRUPT, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__row_decode(struct bytes value, struct store__row *row);
void store__row_encode(const struct store__row *row, struct buf *out);
/* Resolve from into row, cell by cell: order and repetition do not matter. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__row_merge(struct store__row *row, const struct store__row *from);
/* Merge encoded values into one. Errors: SM_CORRUPT, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__row_merge_values(const struct bytes *values, size_t count, struct buf *out);

/* ---- range deletions of a partition (ranges.c) ---- */

struct store__ranges {
	struct buf bytes;
	struct store__range *items;
	struct store__piece *pieces;
	uint32_t count, cap, piece_count;
};
void store__ranges_clear(struct store__ranges *ranges);
void store__ranges_done(struct store__ranges *ranges);
/* span is copied and not empty. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__ranges_add(struct store__ranges *ranges, struct store_span span, int64_t deleted_us);
/* All are added. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__ranges_ready(struct store__ranges *ranges);
/* Time of the newest deletion that covers the encoded clustering, or STORE_NO_TIME. */
int64_t store__ranges_covering(const struct store__ranges *ranges, struct bytes clustering);

/* ---- schema pictures (schema.c) ---- */

/* Shared by all pictures of a table that have its number. */
struct store__table_state {
	atomic_uint refs;
	atomic_bool deletions; /* it has range or partition deletions: a row alone does not tell whether it lives */
	/* The writer's (fresh.c): how often it has found a row that it looked for; rows that it has not looked for since. */
	unsigned old_rows, not_looked;
};
/* One version of a table: immutable, counted, held by the pictures that show it. */
struct store__table {
	struct store_table public; /* first: a store_table of a picture is cast to this */
	atomic_uint refs;
	struct arena arena;
	uint32_t next_column_id;
	bool loses_form;         /* a clustering column's encoding keeps its value's place, not its form: rows may have it (key.c) */
	uint16_t *column_of_id;  /* next_column_id entries; STORE_NO_COLUMN: dropped */
	uint16_t *index_columns; /* of each index: which column */
	struct store__table_state *state;
};
#define STORE_NO_COLUMN UINT16_MAX
#define STORE_FORM_ID 0 /* of the cell that has the clustering as it was written; columns begin at 1 */
struct store__schema {
	struct store_schema public; /* first */
	atomic_uint refs;
	struct arena arena;
	struct store__table **tables; /* by keyspace and name; counted */
	struct store__table **by_number;
	uint32_t table_count;
};
static inline struct store__table *store__table_of(const struct store_table *t)
{
	return (struct store__table *)t;
}
/* A row of one write time with nothing that expires or was deleted, to cells (table->column_count; those of the partition key are left, of
 * the clustering null) that borrow from value; it lives unless it is deleted from elsewhere. false: take it apart with store__row_decode,
 * as it is something else, or damaged, or does not live; cells hold anything then (plain.c). */
bool store__row_plain(const struct store__table *table, struct bytes value, struct store_cell *cells, int64_t *ret_time_us);
/* Two pictures of a table with the same number: table, which nobody else knows yet, takes over the state of the other. */
void store__table_share_state(struct store__table *table, struct store__table *with);
struct store__table *store__table_ref(struct store__table *table);
void store__table_unref(struct store__table *table); /* NULL is allowed */
/* Copy a definition: sorts its columns, counts them, fills column_of_id. Column ids are as given (next_column_id is above them).
 * state: counted up, or NULL for a new one. Errors: SM_INVALID (text), SM_UNSUPPORTED, SM_TOO_LARGE, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__table_new(const struct store_table *from, uint32_t next_column_id, struct store__table_state *state,
					   struct store__table **ret_table, struct sm_error *reterr);
/* keyspaces are copied, tables counted up; neither needs an order. Errors: SM_NO_MEMORY, SM_TOO_LARGE. */
SM_MUST_CHECK enum sm_err store__schema_new(const struct store_keyspace *keyspaces, uint32_t keyspace_count,
					    struct store__table *const *tables, uint32_t table_count, struct uuid version,
					    struct store__schema **ret_schema, struct sm_error *reterr);
struct store__schema *store__schema_ref(struct store__schema *schema);
void store__schema_unref(struct store__schema *schema);                                        /* NULL is allowed */
struct store__table *store__schema_table(const struct store__schema *schema, uint32_t number); /* or NULL */

/* ---- what is written (ops.c) ---- */

/* Changes of keys, one after the other in a buffer: [u8 op][be32 key size][be32 value size][key][value]. The value of a
 * STORE_OP_DELETE_RANGE is the key behind the last; a STORE_OP_COUNT is a merge whose value is not known yet (counter.c). */
enum store_op { STORE_OP_PUT, STORE_OP_MERGE, STORE_OP_DELETE, STORE_OP_DELETE_RANGE, STORE_OP_COUNT };
#define STORE_OP_HEAD 9
void store__op(struct buf *ops, enum store_op op, struct bytes key, struct bytes value);
/* The two halves of store__op for keys and values that are made in place: begin returns where the op starts; each is appended then. */
size_t store__op_begin(struct buf *ops, enum store_op op);
void store__op_value(struct buf *ops, size_t at); /* the key is complete */
void store__op_end(struct buf *ops, size_t at);   /* the value is complete */
/* Next op of ops from *at on; false at the end. */
bool store__op_next(const struct buf *ops, size_t *at, enum store_op *ret_op, struct bytes *ret_key, struct bytes *ret_value);

/* ---- the schema's changes and its form on disk (schema_change.c, schema_disk.c) ---- */

struct store__schema_step {
	struct store__schema *schema; /* the new picture; counted */
	uint32_t next_table_number;
	uint32_t truncated_from, truncated_to; /* numbers of STORE_TRUNCATE_TABLE; else 0 */
	struct buf ops;
};
/* What change makes of the picture now. Errors: see store_ops.change. */
SM_MUST_CHECK enum sm_err store__schema_change(const struct store__schema *now, uint32_t next_table_number,
					       const struct store_change *change, struct store__schema_step *ret_step,
					       struct sm_error *reterr);
void store__schema_step_done(struct store__schema_step *step);

/* Names of the system's keys, behind table number 0. */
#define STORE_SYSTEM_FORMAT "format"
#define STORE_SYSTEM_VERSION "schema/version"
#define STORE_SYSTEM_NEXT_TABLE "schema/next-table"
#define STORE_SYSTEM_KEYSPACE "keyspace/"   /* + name */
#define STORE_SYSTEM_TABLE "table/"         /* + number, big-endian */
#define STORE_SYSTEM_TYPE "type/"           /* + keyspace "." name */
#define STORE_SYSTEM_DELETIONS "deletions/" /* + number: the table has range or partition deletions */
#define STORE_SYSTEM_EPOCH "epoch/"         /* + job */
#define STORE_SYSTEM_INDEX "index/"         /* + number: how far it is built */
#define STORE_FORMAT 3                      /* 1: no elements in rows, no user types; 2: no indexes */
void store__system_key(struct buf *out, const char *prefix, struct bytes name);
void store__put_keyspace(struct buf *ops, const struct store_keyspace *keyspace);
void store__put_table(struct buf *ops, const struct store__table *table);
void store__delete_keyspace(struct buf *ops, const char *keyspace);
/* With all that is in it, and its indexes. */
void store__delete_table(struct buf *ops, const struct store_table *table);
void store__put_udt(struct buf *ops, const struct store_type *type);
void store__delete_udt(struct buf *ops, const char *keyspace, const char *name);
void store__put_schema(struct buf *ops, struct uuid version, uint32_t next_table_number);
/* Decoders of the values. Memory: the arena's, or a counted table. Errors: SM_CORRUPT, SM_VERSION, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__keyspace_decode(struct bytes name, struct bytes value, struct arena *arena,
						 struct store_keyspace *ret_keyspace);
SM_MUST_CHECK enum sm_err store__udt_decode(struct bytes value, struct arena *arena, struct store_type *ret_type);
SM_MUST_CHECK enum sm_err store__table_decode(uint32_t number, struct bytes value, struct store__table **ret_table);

/* ---- RocksDB (rocks.c): the only file with its options, its merge operator and its errors ---- */

#define STORE_READ_CACHE_ONLY 1 /* rocksdb::kBlockCacheTier */

struct rocksdb_t;
struct store__rocks {
	struct rocksdb_t *db;
	struct rocksdb_options_t *options;
	struct rocksdb_cache_t *cache;
	struct rocksdb_writeoptions_t *write_sync, *write_nosync; /* refuse to wait for compactions */
	struct rocksdb_writeoptions_t *wait_sync, *wait_nosync;
	struct rocksdb_readoptions_t *get, *get_cached; /* point reads; shared by all threads */
	struct store__purge *purge;                     /* NULL: compactions leave nothing out */
	bool page_cache;                                /* reads that may not wait come to page_cache.h's pread */
};
struct store__rocks_options {
	const char *dir;
	size_t block_cache_bytes, memtable_bytes;
	bool read_only;             /* of a checkpoint: the directory must be there */
	bool lenient;               /* read-only too, and damaged files of tables are found out when they are read */
	struct store__purge *purge; /* what compactions leave out; NULL: nothing */
};
/* For every read of rows. Range deletions are not looked at: only tables and indexes that are gone have them, whose numbers nobody asks for
 * again. And they must not be: where RocksDB 7.8 heeds them, an iterator that comes to the next file of a level and cannot read its first
 * block (an error, or it is not in the cache where only the cache is asked) steps over the whole file and reports nothing. */
struct rocksdb_readoptions_t *store__read_options(void);
SM_MUST_CHECK enum sm_err store__rocks_open(const struct store__rocks_options *options, struct store__rocks *ret_rocks,
					    struct sm_error *reterr);
void store__rocks_close(struct store__rocks *rocks);
/* The thread is about to read or write: RocksDB does not count its steps, which costs a tenth of a range. */
void store__rocks_thread(void);
/* The code for one of RocksDB's error texts, which is freed. reterr may be NULL. */
enum sm_err store__rocks_error(char *text, struct sm_error *reterr, const char *doing);

/* ---- the write-ahead log's check (wal.c) ---- */

/* Before RocksDB opens dir: a log whose end is torn is fine; one that is damaged before something that was written later is
 * SM_CORRUPT, with file and offset in the text. */
SM_MUST_CHECK enum sm_err store__wal_check(const char *dir, struct sm_error *reterr);
/* The same for the manifest. A directory without one is fine. */
SM_MUST_CHECK enum sm_err store__manifest_check(const char *dir, struct sm_error *reterr);
/* Cut off a last record of the manifest that a loss of power left half written; false: there is none, or it cannot be. */
bool store__manifest_cut(const char *dir);

/* ---- the engine (engine.c), its writer (writer.c), mutations (mutation.c), cursors (cursor.c) ---- */

struct store__engine;
enum store__write_kind { STORE__WRITE_BATCH, STORE__WRITE_TRANSACTION, STORE__WRITE_CHANGE, STORE__WRITE_EPOCH, STORE__WRITE_CHECKPOINT };
struct store__touched {
	uint32_t table;
	bool deletions; /* range or partition deletions are among them */
};
/* One unit of the writer's work, in the order of arrival. */
struct store__write {
	struct store__write *next;
	enum store__write_kind kind;
	struct buf ops;
	struct store__touched *touched, touched_inline[4];
	uint32_t touched_count, touched_cap, row_count;
	bool one_by_one;                             /* it waits for room: its sender has no other on the way */
	const struct store_transaction *transaction; /* TRANSACTION; borrowed */
	int64_t token;                               /* of its partition */
	bool counts, deletes_counters;               /* it has STORE_OP_COUNTs; deletions in tables of counters */
	uint32_t index;                              /* BATCH: it builds this one, which must still be there */
	char *job;                                   /* BATCH: its fence; EPOCH: who gets one */
	uint64_t epoch;                              /* BATCH: in; EPOCH: out */
	struct store__schema *schema;                /* CHANGE: the new picture; the writer takes it over */
	uint32_t truncated_from, truncated_to;
	const char *dir; /* CHECKPOINT; borrowed */
	enum sm_err err;
	struct sm_error *reterr; /* or NULL; filled before done is called */
	void (*done)(void *arg, enum sm_err err);
	void *arg;
};
struct store__write *store__write_new(enum store__write_kind kind);
void store__write_free(struct store__write *write);
/* The batch as ops. now_us: for expiry and the age of tombstones. Errors: SM_INVALID, SM_TOO_LARGE, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__batch_encode(const struct store_batch *batch, int64_t now_us, struct store__write *write);
/* A statement at one column with a cell for each element (elements.c). arena: holds the paths that are made until the row is encoded. */
struct store__assigning {
	const struct store_mutation *mutation;
	const struct store_column *column;
	int64_t now_us, alive_s; /* alive_s: ttls count from here */
	struct arena *arena;
};
/* Adds the cells; they need store__row_sort then. Errors: SM_INVALID, SM_TOO_LARGE, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__assign_elements(const struct store__assigning *assigning, const struct store_assignment *what,
						 struct store__row *row);

/* The value that live elements make (assemble.c); sorts them into the type's order first. It lies in the arena. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err store__assemble(const struct store_type *type, struct store_element *items, uint32_t count, struct arena *arena,
					  struct store_cell *ret_value);

/* ---- counters (counter.c) ---- */

/* The value of a STORE_OP_COUNT: differences of counters, as a row whose cells are what is to be added. */
struct store__counting;
struct store__counting *store__counting_new(struct store__engine *engine);
void store__counting_free(struct store__counting *counting);
/* What was read and added for the last group is on disk or has failed: forget it. */
void store__counting_reset(struct store__counting *counting);
/* The row to write under key for these differences: the sums, with their write times. Appended to out. May read. Errors: of reading. */
SM_MUST_CHECK enum sm_err store__count(struct store__counting *counting, struct bytes key, struct bytes differences, struct buf *out);

/* ---- transactions (transact.c) ---- */

/* See store_ops.transact. */
void store__transact(struct sm_store *store, const struct store_transaction *transaction, void (*done)(void *arg, enum sm_err err),
		     void *arg);
/* The writer's part: read, decide, and put what is to be written into write->ops. now: the table as it is now. */
SM_MUST_CHECK enum sm_err store__transaction_run(struct store__engine *engine, struct store__table *now, struct store__write *write);

/* Which partitions the writes of a group touch, by table and token: a transaction of one of them has to wait for the next group. */
void store__partitions_add(struct number_set *partitions, const struct buf *ops);
bool store__partitions_have(const struct number_set *partitions, uint32_t table, int64_t token);

/* ---- rows that are new (fresh.c) ---- */

/* A piece of this key comes next into the write. true: there is no other, in the write or in the database, so it can be put. in_write: the
 * rows of the write so far; state: of the key's table. Does not read from disk. Thread: the writer's. */
bool store__fresh_row(const struct store__rocks *rocks, struct number_set *in_write, struct store__table_state *state, struct bytes key);

struct store__writer;
struct store__writer_options {
	struct store__engine *engine;
	bool ack_before_sync, split_batches;
};
SM_MUST_CHECK enum sm_err store__writer_new(const struct store__writer_options *options, struct store__writer **ret_writer,
					    struct sm_error *reterr);
/* Tell an epoch that was read at opening. */
SM_MUST_CHECK enum sm_err store__writer_epoch(struct store__writer *writer, struct bytes job, uint64_t epoch);
SM_MUST_CHECK enum sm_err store__writer_start(struct store__writer *writer, struct sm_error *reterr);
/* Before start: refuse all writes with this error. */
void store__writer_refuse(struct store__writer *writer, const struct sm_error *error);
/* Queue: on SM_OK write belongs to the writer, which calls done and frees it. Errors: SM_FULL, SM_CLOSED. Thread: any. */
SM_MUST_CHECK enum sm_err store__writer_put(struct store__writer *writer, struct store__write *write);
/* The same, and wait for the end; write is taken in any case. ret_epoch: of STORE__WRITE_EPOCH, or NULL. */
SM_MUST_CHECK enum sm_err store__writer_wait(struct store__writer *writer, struct store__write *write, uint64_t *ret_epoch);
/* Finish what is queued, end the thread, free. Returns why the store had become read-only, or SM_OK. */
enum sm_err store__writer_free(struct store__writer *writer, struct sm_error *reterr);

enum store__gate_state {
	STORE_GATE_OPEN,
	STORE_GATE_MOVING, /* it is being opened anew */
	STORE_GATE_CLOSED, /* that failed; error says why */
};
/* Who uses the database. */
struct store__gate {
	atomic_uint users;
	atomic_uint state;
	pthread_mutex_t lock; /* changes of state */
	pthread_cond_t changed;
	struct sm_error error;
};
struct store__engine {
	struct sm_store public; /* first */
	struct store__rocks rocks;
	struct store__rocks_options rocks_options;
	struct store__gate gate;
	struct clock *clock;
	struct sm_system *system;
	struct store__writer *writer; /* NULL: read-only */
	struct store__purge *purge;   /* the same */
	struct store__sweep *sweep;
	struct store__damage *damage;
	struct store__built *built;     /* which indexes have all their entries */
	struct store__builder *builder; /* NULL: read-only */
	atomic_bool closing;
	char *dir;
	pthread_mutex_t schema_lock; /* the pointer below, for a few instructions */
	struct store__schema *schema;
	pthread_mutex_t change_lock; /* one change at a time, while it is made durable */
	uint32_t next_table_number;
	uint32_t index_candidates_max; /* STORE_INDEX_CANDIDATES_MAX; a test lowers it */
};
static inline struct store__engine *store__engine_of(struct sm_store *store)
{
	return (struct store__engine *)store;
}
bool store__is_embedded(const struct sm_store *store);                                      /* by this room, and not read-only */
struct store__schema *store__engine_schema(struct store__engine *engine);                   /* counted */
void store__engine_swap_schema(struct store__engine *engine, struct store__schema *schema); /* takes schema over */

/* ---- the database as it is shared (reopen.c) ---- */

/* engine->rocks stays as it is until leave. Errors: SM_AGAIN (it is away, and waiting is not allowed), why it could not be opened anew. */
SM_MUST_CHECK enum sm_err store__enter(struct store__engine *engine, bool may_block, struct sm_error *reterr);
void store__leave(struct store__engine *engine);
void store__gate_init(struct store__gate *gate);
void store__gate_done(struct store__gate *gate);
/* Close the database and open it again. Thread: the writer's. Errors: SM_NO_SPACE (still), SM_BUSY (long reads), those of opening; then
 * reads fail until it is called again with success. May block: up to a second and what opening takes. */
SM_MUST_CHECK enum sm_err store__reopen(struct store__engine *engine, struct sm_error *reterr);

/* ---- damaged files (damage.c): of a database that was opened leniently ---- */

struct store__damage;
SM_MUST_CHECK enum sm_err store__damage_find(struct store__engine *engine, struct store__damage **ret_damage);
void store__damage_free(struct store__damage *damage); /* NULL is allowed */
/* May a file that cannot be opened hold keys from..to, to not included? damage: NULL: no. */
bool store__damage_hits(const struct store__damage *damage, struct bytes from, struct bytes to);

/* What the directory holds besides rows (load.c): the schema; epochs go to the writer, the next table's number into engine. A
 * new directory gets its first keys. Errors: SM_VERSION, SM_CORRUPT, SM_NO_MEMORY, RocksDB's. */
SM_MUST_CHECK enum sm_err store__load(struct store__engine *engine, struct store__schema **ret_schema, struct sm_error *reterr);

/* As store_checkpoint_open, on any directory that nobody writes to, with damaged files of tables too. */
SM_MUST_CHECK enum sm_err store__open_to_look(const char *dir, struct sm_store **ret_store, struct sm_error *reterr);

SM_MUST_CHECK enum sm_err store__cursor_open(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
					     struct sm_error *reterr);
/* The same for a table that was truncated after the picture that read has: its rows are where they are now. */
SM_MUST_CHECK enum sm_err store__cursor_open_now(struct sm_store *store, const struct store_read *read, struct store__table *now,
						 struct store_cursor **ret_cursor, struct sm_error *reterr);
/* Latest write time of all that the cursor has looked at, deletions included. */
int64_t store__cursor_newest_us(const struct store_cursor *cursor);
/* A cursor for the rows of partitions that it is sent to, one after the other, through an iterator of the caller's without bounds. It
 * neither enters the database nor leaves it. read: table, statics_only and now_s. */
struct rocksdb_iterator_t;
SM_MUST_CHECK enum sm_err store__cursor_open_aimed(struct store__engine *engine, const struct store_read *read,
						   struct rocksdb_iterator_t *it, struct store_cursor **ret_cursor);
/* Where to: prefix is a key through the partition, the rows are those of the slice behind `after` (data NULL: all). whole: the slice is all
 * of the partition, so one of static cells alone is shown. Everything is copied. */
struct store__aim {
	struct bytes prefix, after;
	struct store_span slice;
	bool whole;
};
SM_MUST_CHECK enum sm_err store__cursor_aim(struct store_cursor *cursor, const struct store__aim *aim);
SM_MUST_CHECK enum sm_err store__cursor_next(struct store_cursor *cursor, const struct store_row **ret_row);
void store__cursor_close(struct store_cursor *cursor);
/* Its rows are not counted as read: another cursor gives them on, or not. */
void store__cursor_uncounted(struct store_cursor *cursor);

#endif
