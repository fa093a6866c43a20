/* What of the data on disk can go for good. purge.c has the rule, purge_look.c finds out what the rule needs to know, compaction.c asks
 * it in RocksDB's compactions, sweep.c looks for files where a compaction pays. Only these, rocks.c and engine.c include this. */
#ifndef STORE_PURGE_H
#define STORE_PURGE_H

#include "store/store_internal.h"

/* ---- the rule (purge.c) ---- */

#define STORE_OTHERS_NONE INT64_MAX    /* there is no other piece of the key */
#define STORE_OTHERS_UNKNOWN INT64_MIN /* there may be pieces of any write time */

/* The oldest write time in row; INT64_MAX: it is empty. */
int64_t store__row_oldest(const struct store__row *row);
bool store__row_empty(const struct store__row *row);
/* Has something in row passed gc_grace_seconds, so that it is worth while to look for the key's other pieces? */
bool store__purge_due(const struct store__row *row, const struct store__table *table, int64_t now_s);
/* Take out of row what no reader can miss. covered_us: the newest deletion of a partition or range that covers it (it stays on disk), or
 * STORE_NO_TIME. others_us: the oldest write time of the key's pieces that are not in row. true: row was changed. */
bool store__purge_row(struct store__row *row, const struct store__table *table, int64_t now_s, int64_t covered_us, int64_t others_us);
/* Is the second second_s (of a deletion, of an expiry) further back than the table's gc_grace_seconds? */
static inline bool store__purge_grace_over(const struct store__table *table, int64_t now_s, int64_t second_s)
{
	return second_s < now_s - table->public.gc_grace_s;
}

/* ---- the rule on a key of the database (purge_look.c) ---- */

struct rocksdb_t;
struct rocksdb_iterator_t;
struct rocksdb_readoptions_t;

/* An iterator, and of each piece of the key that it stands on the oldest write time, in order of arrival; count 0: the key has one
 * piece, the value. */
struct store__look {
	struct rocksdb_iterator_t *it;
	int64_t *oldest_us;
	uint32_t count, cap;
	bool failed;
};
struct store__judge {
	struct rocksdb_t *db;
	struct store__schema *schema; /* counted */
	int64_t now_s;
	bool whole;                       /* the values that are judged are all that there is of their keys */
	struct store__engine *entries_of; /* judge entries of indexes, too; NULL: they stay */
	struct store__stale *stale;
	uint32_t budget; /* keys that may still be looked at for deletions */
	struct store__table *table;
	struct rocksdb_readoptions_t *options;
	/* Along the keys that are judged; at the partition's beginning, and where deletions reach; at the rows of entries. */
	struct store__look same, heads, rows;
	struct buf partition; /* whose deletions are known: */
	int64_t deleted_us;
	struct store__ranges ranges;
	struct store__row row, other;
};
enum store__fate { STORE_FATE_KEEP, STORE_FATE_CHANGE, STORE_FATE_DROP };
/* schema is counted up. db: the judge's iterators live until done. */
void store__judge_init(struct store__judge *judge, struct rocksdb_t *db, struct store__schema *schema, int64_t now_s, bool whole);
void store__judge_done(struct store__judge *judge);
/* What becomes of the key. value is what its first pieces (by arrival) resolve to, and nothing older lies behind them. Keys must come in
 * ascending order. CHANGE: out (cleared first) has the new value. Whatever cannot be found out is kept. */
enum store__fate store__judge(struct store__judge *judge, struct bytes key, struct bytes value, size_t pieces, struct buf *out);
/* For the merge operator: these are all pieces of the key that an iterator has come to. false: no judge is looking in this thread. */
bool store__judge_note(const struct bytes *pieces, size_t count);
bool store__judge_looks(void); /* one is looking */

/* ---- RocksDB's compactions (compaction.c) ---- */

struct rocksdb_options_t;
/* The factory's state. on: the engine's database and schema are there; compactions begin while RocksDB opens. */
struct store__purge {
	struct store__engine *engine;
	atomic_bool on;
	atomic_uint filters; /* of compactions that run */
};
/* After rocksdb_close, which has waited for the compactions: what their threads have read here may be changed and freed. */
void store__purge_ended(struct store__purge *purge);
void store__purge_install(struct store__purge *purge, struct rocksdb_options_t *options);
/* For the merge operator: merged is what all pieces of key down to the oldest resolve to; within a compaction what may go is taken out. */
void store__purge_merged(struct bytes key, size_t pieces, struct buf *merged);
/* Whether what is merged in this thread is a compaction's or a judge's, and not a reader's, a writer's or a flush's. */
bool store__purge_looks(void);

/* ---- looking for what can go (sweep.c) ---- */

struct store__sweep;
SM_MUST_CHECK enum sm_err store__sweep_new(struct store__engine *engine, struct store__sweep **ret_sweep, struct sm_error *reterr);
/* Breaks off what it does and ends the thread. NULL is allowed. */
void store__sweep_free(struct store__sweep *sweep);
/* One round over all files, in the caller's thread. Returns how many ranges were compacted; ret_stuck (or NULL): ranges that a
 * compaction did not make smaller. */
uint32_t store__sweep_round(struct store__engine *engine, uint32_t *ret_stuck);

#endif
