/* The wide-column store: keyspaces, tables, rows of cells with a write time.
 *
 * struct sm_store is an engine behind a table of calls: the embedded one on RocksDB (store_embedded_open), the one on
 * the data directory's socket (remote/), a real Cassandra (cassandra/cassandra.h). Code above sees only this file.
 *
 * Values travel in CQL's serialized form (native protocol v4, section 6): an int is 4 bytes big-endian, a text its UTF-8.
 * A cell with size -1 is null. Within one row the last write time wins, cell by cell; at equal times a tombstone wins over a
 * value, then the larger value (Cassandra's rule).
 *
 * A write is answered after the sync of the write-ahead log that covers it, and seen by readers only from then on. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "store/store_limits.h"
#include <smack/actor.h>

struct sm_store;

/* ---- schema ---- */

/* CQL's type numbers (native protocol v4, section 4.2.5.2 [option]). */
enum store_type_id {
	STORE_CUSTOM = 0x00,
	STORE_ASCII = 0x01,
	STORE_BIGINT = 0x02,
	STORE_BLOB = 0x03,
	STORE_BOOLEAN = 0x04,
	STORE_COUNTER = 0x05,
	STORE_DECIMAL = 0x06,
	STORE_DOUBLE = 0x07,
	STORE_FLOAT = 0x08,
	STORE_INT = 0x09,
	STORE_TIMESTAMP = 0x0B,
	STORE_UUID = 0x0C,
	STORE_TEXT = 0x0D,
	STORE_VARINT = 0x0E,
	STORE_TIMEUUID = 0x0F,
	STORE_INET = 0x10,
	STORE_DATE = 0x11,
	STORE_TIME = 0x12,
	STORE_SMALLINT = 0x13,
	STORE_TINYINT = 0x14,
	STORE_DURATION = 0x15,
	STORE_LIST = 0x20,
	STORE_MAP = 0x21,
	STORE_SET = 0x22,
	STORE_UDT = 0x30,
	STORE_TUPLE = 0x31,
	STORE_VECTOR = 0x7F, /* not the protocol's: a custom type there */
};
struct store_type {
	enum store_type_id id;
	uint16_t element_count; /* of collections, tuples, vectors (1), user types (their fields); 0 else */
	const struct store_type *elements;
	bool frozen;                 /* a list, set, map or user type is one value; else it has a cell for each element */
	uint32_t dimension;          /* of a vector */
	const char *keyspace, *name; /* of a user type */
	const char *const *fields;   /* of a user type: the fields' names */
};
/* The values of the type lie in a cell for each element. */
static inline bool store_type_multi_cell(const struct store_type *type)
{
	return !type->frozen && ((type->id >= STORE_LIST && type->id <= STORE_SET) || type->id == STORE_UDT);
}
enum store_column_kind { STORE_PARTITION_KEY, STORE_CLUSTERING, STORE_STATIC, STORE_REGULAR };
struct store_column {
	const char *name;
	struct store_type type;
	enum store_column_kind kind;
	uint16_t position; /* among those of its kind */
	bool descending;   /* clustering order */
	uint32_t id;       /* stable across renames and drops: what is on disk */
};
/* What of a column an index has entries for. */
enum store_index_part {
	STORE_INDEX_WHOLE,   /* its value; of what is frozen, all of it */
	STORE_INDEX_VALUES,  /* each element of a list or set, each value of a map that is not frozen */
	STORE_INDEX_KEYS,    /* each key of a map that is not frozen */
	STORE_INDEX_ENTRIES, /* each key with its value of such a map */
	STORE_INDEX_NOTHING, /* it is only a definition: nothing can be read by it */
};
struct store_index {
	const char *name, *column;
	enum store_index_part part;
	bool folds;             /* of texts: the letters A to Z count as a to z */
	const char *definition; /* whoever made it keeps here what it wants; not NULL */
	uint32_t number;        /* given by the engine: 0 in new ones */
};
struct store_option {
	const char *name, *value; /* table or keyspace options as written: gc_grace_seconds = 864000 */
};
struct store_table {
	const char *keyspace, *name;
	struct uuid id;
	uint32_t number;                    /* the key prefix on disk */
	const struct store_column *columns; /* partition key, clustering, static, regular; the last two by name */
	uint16_t column_count, partition_key_count, clustering_count, static_count, regular_count;
	const struct store_option *options;
	uint32_t option_count;
	const struct store_index *indexes; /* by name */
	uint16_t index_count;
	int32_t default_ttl_s, gc_grace_s;
};
struct store_keyspace {
	const char *name;
	bool durable_writes;
	const struct store_option *replication; /* class, replication_factor ...: kept, shown, counted as 1 */
	uint32_t replication_count;
	const struct store_table *const *tables; /* by name */
	uint32_t table_count;
	const struct store_type *types; /* user types, by name; not frozen */
	uint32_t type_count;
};
/* A counted, immutable picture of the whole schema. A table pointer stays valid while its picture is held. */
struct store_schema {
	struct uuid version;                    /* changes with each change */
	const struct store_keyspace *keyspaces; /* by name */
	uint32_t keyspace_count;
};
enum store_change_kind {
	STORE_CREATE_KEYSPACE,
	STORE_ALTER_KEYSPACE,
	STORE_DROP_KEYSPACE,
	STORE_CREATE_TABLE,
	STORE_ALTER_TABLE,
	STORE_DROP_TABLE,
	STORE_TRUNCATE_TABLE,
	STORE_CREATE_TYPE,
	STORE_ALTER_TYPE,
	STORE_DROP_TYPE
};
struct store_change {
	enum store_change_kind kind;
	const char *keyspace, *table;
	const struct store_keyspace *new_keyspace; /* name, durable_writes, replication; tables are left out */
	const struct store_table *new_table; /* CREATE, ALTER: as it shall be; id, numbers and column ids are given by the engine (0 in new
						columns and indexes). An index is there for reads at once; as long as the engine makes
						entries for the rows that were there before, reads by it go over all rows */
	const struct store_table *from;      /* ALTER: the table of a picture that is held, from which new_table was made. SM_CONFLICT: it
						has been changed since. NULL: not looked at, and only the embedded engine looks */
	const char *type;                    /* of the three last: its name */
	const struct store_type *new_type;   /* CREATE, ALTER: as it shall be; fields can be added at the end and renamed, not removed */
};

/* ---- writes ---- */

struct store_cell {
	const uint8_t *data;
	int32_t size; /* -1: null */
};
enum store_bound_kind { STORE_UNBOUNDED, STORE_INCLUSIVE, STORE_EXCLUSIVE };
/* A prefix of the clustering columns and whether rows that begin with it are in. count 0: unbounded. */
struct store_bound {
	enum store_bound_kind kind;
	uint16_t count;
	const struct store_cell *cells;
};
enum store_mutation_kind {
	STORE_UPSERT_INSERT, /* INSERT: writes cells and the row marker */
	STORE_UPSERT_UPDATE, /* UPDATE: cells only; a row of nulls is no row */
	STORE_DELETE_CELLS,  /* the columns named in cells */
	STORE_DELETE_ROW,
	STORE_DELETE_RANGE, /* from .. to */
	STORE_DELETE_PARTITION,
};
enum store_assign {
	STORE_ASSIGN,           /* the value, or null for a tombstone; of a column with a cell for each element: all of them anew */
	STORE_ADD_ELEMENTS,     /* the elements of a list (at its end), set or map; of a counter: a difference of 8 bytes */
	STORE_PREPEND_ELEMENTS, /* the elements of a list, before its first */
	STORE_REMOVE_ELEMENTS,  /* value is a set of those that go: elements of a set, keys of a map */
	STORE_ASSIGN_ELEMENT,   /* the value under path, or null for a tombstone */
};
struct store_assignment {
	const struct store_column *column; /* of the table's picture */
	struct store_cell value;           /* null: a tombstone */
	enum store_assign how;
	struct store_cell path; /* STORE_ASSIGN_ELEMENT: see struct store_element */
};
struct store_mutation {
	enum store_mutation_kind kind;
	const struct store_table *table;
	const struct store_cell *partition_key; /* table->partition_key_count */
	const struct store_cell *clustering;    /* table->clustering_count; NULL for static-only, range and partition */
	struct store_bound from, to;            /* STORE_DELETE_RANGE */
	const struct store_assignment *cells;
	uint32_t cell_count;
	int64_t timestamp_us;
	int32_t ttl_s; /* 0: none (the caller has applied the table's default) */
};
/* All mutations in one atomic, durable step. Embedded or in the caller's arena; borrowed until done. */
struct store_batch {
	const struct store_mutation *mutations;
	uint32_t count;
	/* Fence: when job is not NULL, the batch is refused with SM_STALE_EPOCH unless epoch is the one that
	 * store_ops.job_epoch gave out last for this job. */
	const char *job;
	uint64_t epoch;
	int64_t now_s; /* ttls count from here; 0: the engine's clock (and in a large batch on a real Cassandra) */
};

/* ---- reads ---- */

/* Rows in which a value that the index has entries for lies between two, in store_compare's order. Null lies nowhere. */
struct store_condition {
	const char *index; /* of the table */
	enum store_bound_kind from_kind, to_kind;
	struct store_cell from, to; /* equality: the same value, both inclusive */
	struct store_cell key;      /* STORE_INDEX_ENTRIES: the value that stands under this key of the map */
};
struct store_read {
	const struct store_table *table;
	/* Either one partition (partition_key set) or a token range [token_from, token_to], both inclusive. */
	const struct store_cell *partition_key;
	int64_t token_from, token_to;
	struct store_bound from, to; /* clustering slice in the table's order; with a partition or for each of the range */
	bool reverse;                /* one partition only */
	bool statics_only;           /* SELECT DISTINCT: one row a partition */
	/* Only the rows that meet it as they are now, in the same order as without. NULL: all. SM_NOT_FOUND: the table has no such index,
	 * or it has no entries; SM_INVALID with statics_only if its column is clustering or regular. */
	const struct store_condition *where;
	/* Go on behind this row (a paging state): its token and keys; NULL: from the start. */
	const struct store_cell *after_partition_key; /* token range only */
	const struct store_cell *after_clustering;    /* NULL with after_partition_key set: behind the whole partition */
	bool cached_only;                             /* never block: SM_AGAIN when a block is not in memory */
	int64_t now_s;                                /* for expiry; 0: the engine's clock */
	bool no_times;                                /* write times and ttls are not wanted: an engine may leave them out */
	bool element_times;                           /* those of elements are wanted; without it a real Cassandra is not asked */
};
/* One element of a list, set, map or user type that is not frozen. path: of a map the key, of a set the element (value is empty), of a user
 * type the field's index (be16), of a list what the engine made up: it is good for STORE_ASSIGN_ELEMENT and nothing else. */
struct store_element {
	struct store_cell path, value;
	int64_t timestamp_us;
	int32_t ttl_s;
};
struct store_elements {
	const struct store_element *items; /* in the type's order */
	uint32_t count;
};
/* One live row. Cells in the order of table->columns; borrowed until the next call on the cursor. */
struct store_row {
	const struct store_cell *cells;
	const int64_t *timestamps_us;          /* per column; INT64_MIN where null or key; of elements the latest */
	const int32_t *ttls_s;                 /* seconds left; 0: none, and of columns with elements */
	const struct store_elements *elements; /* per column; count 0 for those whose values are one cell */
	int64_t token;
	bool static_only; /* the partition has static cells and no row */
};
struct store_cursor;

/* ---- read, decide, write ---- */

/* A row that a transaction looks at: by its full clustering, or (partition) the first of the partition, which is one of static cells alone
 * where the partition has no other. */
struct store_look {
	const struct store_cell *clustering; /* table->clustering_count; NULL where that is 0 */
	bool partition;
};
/* What it sees: one row for each look, in their order; cells NULL: there is none. Valid during decide. */
struct store_sight {
	const struct store_row *rows;
	int64_t newest_us; /* latest write time of all that was read, deletions included; INT64_MIN: nothing was ever written */
};
/* One step of a partition: the rows are read when all writes before it are on disk and none after it has begun, decide says what to
 * write, and that is written as a batch is. So transactions are linearizable among themselves and with plain writes and reads, and what
 * decide sees and its caller learns is durable.
 * decide runs once, on a thread of the engine: it must not block, and it may use what belongs to the caller, who waits. It fills
 * ret_batch (its mutations live until done is called), or leaves it empty to write nothing; an error ends the transaction. A write time
 * after sight->newest_us makes its writes replace all that it has seen. */
struct store_transaction {
	const struct store_table *table;
	const struct store_cell *partition_key;
	const struct store_look *looks;
	uint32_t look_count;
	enum sm_err (*decide)(void *arg, const struct store_sight *sight, struct store_batch *ret_batch);
	void *arg; /* of decide */
};

struct store_ops {
	bool reads_travel; /* a read asks another server: who needs many opens some ahead, as their first answers come then */
	const struct store_schema *(*schema)(struct sm_store *store); /* counted; never blocks */
	void (*schema_release)(struct sm_store *store, const struct store_schema *schema);
	/* Errors: SM_EXISTS, SM_NOT_FOUND, SM_INVALID. Durable when done. Runs on the pool. */
	void (*change)(struct sm_store *store, const struct store_change *change, void (*done)(void *arg, const struct sm_error *error),
		       void *arg);

	/* done is called once the batch is on disk, on a thread of the engine; it must not block. A batch that is refused before it was
	 * queued is answered before apply returns. Mutations may use an older picture as long as the table is still there.
	 * SM_INVALID: a key that is null or empty, a value that is none of its column's type, a column twice, a bad ttl or time.
	 * Errors: SM_FULL (push back), SM_STALE_EPOCH, SM_TOO_LARGE, SM_NOT_FOUND (table dropped), SM_NO_SPACE, SM_IO. Thread: any. */
	void (*apply)(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg);

	/* The transaction is borrowed until done, which is called as apply's. Errors: apply's, SM_CORRUPT, decide's, and SM_UNSUPPORTED
	 * from engines that cannot do it. Never blocks. Thread: any. */
	void (*transact)(struct sm_store *store, const struct store_transaction *transaction, void (*done)(void *arg, enum sm_err err),
			 void *arg);

	/* Reads one consistent state, the one of the first call of next. Rows that a reader sees are synced. */
	enum sm_err (*open)(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
			    struct sm_error *reterr);
	/* SM_END after the last row; SM_AGAIN with cached_only (close it; open anew without it where blocking is allowed, behind the last
	 * row that came). May block otherwise. */
	enum sm_err (*next)(struct store_cursor *cursor, const struct store_row **ret_row);
	void (*close_cursor)(struct store_cursor *cursor);

	/* Begin a new instance of a job: its epoch, greater than any before; batches of older ones are refused from now on. Durable. */
	enum sm_err (*job_epoch)(struct sm_store *store, const char *job, uint64_t *ret_epoch, struct sm_error *reterr);

	/* Make dir a consistent copy (hard links) of all that is durable now; another process opens it with store_checkpoint_open. May
	 * block. */
	enum sm_err (*checkpoint)(struct sm_store *store, const char *dir, struct sm_error *reterr);
	/* Flush and end. */
	enum sm_err (*close)(struct sm_store *store, struct sm_error *reterr);
};
struct sm_store {
	const struct store_ops *ops;
};

const struct store_keyspace *store_find_keyspace(const struct store_schema *schema, const char *keyspace);
const struct store_table *store_find_table(const struct store_schema *schema, const char *keyspace, const char *table);
const struct store_column *store_find_column(const struct store_table *table, const char *column);
/* A materialized view is a table with the option STORE_VIEW_BASE and without rows of its own: they are made from the table's of this name
 * when CQL reads them (cql/view.h). NULL: it is no view. */
#define STORE_VIEW_BASE "view/base"
const char *store_view_base(const struct store_table *table);
/* For who reads or writes a table's own rows. SM_INVALID: it is a view. */
SM_MUST_CHECK enum sm_err store_check_no_view(const struct store_table *table, bool writes, struct sm_error *reterr);
/* The token of a partition key: one column's bytes, or each column as [u16 size][bytes][0] (Cassandra's CompositeType). */
int64_t store_token(const struct store_table *table, const struct store_cell *partition_key);
/* Cassandra's comparison order of two non-null values of a type: <0, 0, >0. */
int store_compare(const struct store_type *type, struct store_cell a, struct store_cell b);
/* The type as a nested one: collections and user types in it are frozen, it is too. */
SM_MUST_CHECK bool store_type_freeze(const struct store_type *type, struct arena *arena, struct store_type *ret_type);
bool store_type_equal(const struct store_type *a, const struct store_type *b);
/* The user type of this keyspace and name is the type or within it. */
bool store_type_uses(const struct store_type *type, const char *keyspace, const char *name);
const struct store_type *store_find_type(const struct store_keyspace *keyspace, const char *name);
/* The elements of a serialized collection, tuple, user type or vector, one after the other: begin with count 0 and data and size of the
 * value; ret: its size is -1 for null. false at the end, or with failed set where the bytes are no such value. Of a map keys and values
 * come in turn. */
struct store_value_reader {
	const struct store_type *type;
	struct byte_reader in;
	uint32_t index, count; /* elements read, and all */
	bool failed;
};
struct store_value_reader store_value_reader(const struct store_type *type, struct store_cell value);
bool store_value_next(struct store_value_reader *reader, struct store_cell *ret_element, const struct store_type **ret_type);
/* Cassandra's bytes of each value of a type of fixed size, or -1: elements of a vector are written without sizes then. */
int store_type_fixed_size(const struct store_type *type);
/* Append Cassandra's unsigned variable-length integer: the size of a vector's element otherwise. */
void store_put_vint(struct buf *out, uint64_t value);
/* "bigint"; collections, tuples, user types and frozen in CQL's syntax, as system_schema.columns shows it. */
const char *store_type_name(const struct store_type *type, struct arena *arena);
/* Parse a type's name, user types excepted; SM_NOT_FOUND for a name that is none, SM_UNSUPPORTED for nesting that is too deep. */
SM_MUST_CHECK enum sm_err store_type_parse(const char *name, struct arena *arena, struct store_type *ret_type);
/* No decimal in the value, which is one of the type, has more than STORE_KEY_DECIMAL_BYTES_MAX: else it is not ordered. */
bool store_decimals_fit(const struct store_type *type, struct store_cell value);
/* The bytes are a valid value of the type (sizes, UTF-8). */
bool store_value_ok(const struct store_type *type, struct store_cell value);

/* ---- for callers that may block ---- */
SM_MUST_CHECK enum sm_err store_apply_wait(struct sm_store *store, const struct store_batch *batch);
SM_MUST_CHECK enum sm_err store_transact_wait(struct sm_store *store, const struct store_transaction *transaction);
SM_MUST_CHECK enum sm_err store_change_wait(struct sm_store *store, const struct store_change *change, struct sm_error *reterr);

/* ---- the embedded engine ---- */
struct store_embedded_options {
	struct sm_system *system;
	struct clock *clock; /* NULL: clock_system */
	const char *dir;
	size_t block_cache_bytes; /* 0: 16 MiB */
	size_t memtable_bytes;    /* 0: 8 MiB */
	bool ack_before_sync;     /* planted faults, only with -Dplant_faults=true */
	bool split_batches;
	/* Told when a damaged file keeps the store read-only, before open returns. NULL: nobody. */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
};
/* Where a file of tables is damaged so that RocksDB refuses it, the store is opened all the same: writes are refused with SM_CORRUPT, reads
 * that need the file too, all others are served. Errors: SM_VERSION (a newer format), SM_BUSY (another process has it), SM_CORRUPT (the
 * log, the manifest or the schema is damaged), SM_NO_SPACE, SM_IO. */
SM_MUST_CHECK enum sm_err store_embedded_open(const struct store_embedded_options *options, struct sm_store **ret_store,
					      struct sm_error *reterr);
/* Open a checkpoint read-only in any process: schema, open, next, close_cursor, close work; the rest is SM_UNSUPPORTED. */
SM_MUST_CHECK enum sm_err store_checkpoint_open(const char *dir, struct sm_store **ret_store, struct sm_error *reterr);

#endif
