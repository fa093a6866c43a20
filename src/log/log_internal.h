/* What the files of log/ share and nobody else sees. */
#ifndef LOG_INTERNAL_H
#define LOG_INTERNAL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "log/log.h"
#include "log/record_batch.h"
#include <pthread.h>
#include <stdatomic.h>

#define SEGMENT_HEADER 8192u /* first position of a batch; before it the two pages of marks */
#define MARK_PAGE 4096
#define MARK_SIZE 64
#define LOG_LEADER_EPOCH 0           /* set in each batch: there is one broker, and it never loses an election */
#define SEGMENT_INDEX_INTERVAL 8192u /* bytes between index entries, at least */

/* ---- segment.c: one segment, for its readers ---- */

struct index_entry {
	uint32_t offset; /* of the batch, less the segment's base offset */
	uint32_t position;
};
/* The newest record up to and with the batch at `offset` has this time. */
struct time_entry {
	int64_t timestamp_ms;
	uint32_t offset;
};
struct segment_index {
	struct index_entry *entries;
	struct time_entry *times;
	uint32_t count, cap, time_count, time_cap;
	int64_t newest_ms; /* of all batches added, 0 before the first */
};
void log__index_done(struct segment_index *index);
/* Note a batch at position; keeps the index sparse. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err log__index_add(struct segment_index *index, int64_t base_offset, const struct batch_info *info,
					 uint64_t position);
/* Write both files beside the segment. They are hints: not synced, checked by CRC when read. */
SM_MUST_CHECK enum sm_err log__index_write(struct io *io, const char *segment_path, int64_t base_offset, const struct segment_index *index,
					   struct sm_error *reterr);
/* SM_CORRUPT, SM_NOT_FOUND ...: there is no index to be had; scan instead. */
SM_MUST_CHECK enum sm_err log__index_read(struct io *io, const char *segment_path, int64_t base_offset, struct segment_index *ret_index);

/* ---- txn_index.c: aborted transactions whose markers lie in a segment ---- */

struct producers;
struct txn_index {
	struct log_aborted *aborted; /* by last_offset */
	uint32_t aborted_count, aborted_cap;
	struct log_aborted *open; /* at the segment's end, when it has one; last_offset -1 */
	uint32_t open_count, open_cap;
	bool known; /* of a sealed segment: this is all */
};
void log__txn_index_done(struct txn_index *index);
SM_MUST_CHECK enum sm_err log__txn_index_add(struct txn_index *index, const struct log_aborted *aborted);
/* Room for so many more. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err log__txn_index_reserve(struct txn_index *index, uint32_t more);
/* The segment ends here. Errors: SM_NO_MEMORY: it is found out again when it is needed. */
SM_MUST_CHECK enum sm_err log__txn_index_seal(struct txn_index *index, const struct producers *producers);
/* What is open at the end of another segment is so here too. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err log__txn_index_copy_open(struct txn_index *index, const struct txn_index *from);
SM_MUST_CHECK enum sm_err log__txn_index_write(struct io *io, const char *dir, int64_t base_offset, const struct txn_index *index,
					       struct sm_error *reterr);
SM_MUST_CHECK enum sm_err log__txn_index_read(struct io *io, const char *dir, int64_t base_offset, struct txn_index *ret_index);

/* One file of batches. Counted: a reader's slice holds it, so that its file outlives deletion. */
struct segment {
	struct log_hold hold; /* first */
	atomic_uint refs;
	struct io *io;
	char *path;
	uint64_t id; /* no other of this process has it */
	int64_t base_offset;
	pthread_mutex_t lock; /* of what follows; taken for a few instructions, or once to load the segment */
	bool loaded;
	bool active;  /* the index is in memory */
	bool kept;    /* its file is not closed by readers: it is being written */
	bool dropped; /* the partition has let go of it: all references are readers' */
	struct io_file file;
	struct io_file direct;   /* the same past the page cache, once it was needed */
	struct bulk_cache *bulk; /* large groups are among its batches, NULL: none */
	int64_t bulk_next;       /* the offset after the last of them */
	uint64_t end;            /* batches end here; all before is synced */
	int64_t next_offset;     /* first offset after end */
	int64_t max_timestamp_ms;
	uint64_t checked_from; /* this process wrote or checked all batches from here on; the rest is checked when first read */
	uint64_t verified_from, verified_to; /* what was read from the disk and checked; one stretch */
	struct segment_index index;
	struct txn_index txns; /* of the active segment: so far */
};
/* dir: the partition's. Touches no file. NULL: no memory. */
struct segment *log__segment_new(struct io *io, const char *dir, int64_t base_offset);
struct segment *log__segment_ref(struct segment *segment);
void log__segment_unref(struct segment *segment); /* NULL is allowed */
/* The partition's reference. */
void log__segment_drop(struct segment *segment);
/* A reader's reference: the file is closed too when nobody else reads it and it is not being written. */
void log__segment_release(struct segment *segment);
/* Open the file of a segment (that of one that is not written any more has its marks read once); nothing if it is open. Stays open while
 * the caller holds its reference. May block. */
SM_MUST_CHECK enum sm_err log__segment_load(struct segment *segment, struct sm_error *reterr);
/* The same for the one who writes it: no reader closes it, until log__segment_rest. That closes it, or has its last reader do so. */
SM_MUST_CHECK enum sm_err log__segment_keep(struct segment *segment, struct sm_error *reterr);
void log__segment_rest(struct segment *segment);
/* Whole batches from the one that holds offset on. The segment is loaded. ret_slice holds a reference. *ret_next (may be NULL): the
 * offset after them. Errors: SM_CORRUPT, SM_IO, SM_NO_MEMORY, SM_END (no batch at or after offset here). */
SM_MUST_CHECK enum sm_err log__segment_read(struct segment *segment, int64_t offset, size_t bytes_max, struct log_slice *ret_slice,
					    int64_t *ret_next);
/* The bytes that were read from the disk and checked since the segment was opened: whether these are among them, and that these are. One
 * stretch is remembered, which grows with who reads on. */
bool log__segment_verified(struct segment *segment, uint64_t from, uint64_t to);
void log__segment_set_verified(struct segment *segment, uint64_t from, uint64_t to);
/* Where the batch lies that holds offset, and which offset the batch at a position begins with (the position where batches end: the
 * next offset). The segment is loaded. Errors: as log__segment_read. */
SM_MUST_CHECK enum sm_err log__segment_position(struct segment *segment, int64_t offset, uint64_t *ret_position);
SM_MUST_CHECK enum sm_err log__segment_offset(struct segment *segment, uint64_t position, int64_t *ret_offset);
/* A position at or before the batch that holds offset, as the index knows it, and the offset there. */
void log__segment_near(struct segment *segment, int64_t offset, uint64_t *ret_position, int64_t *ret_offset);
/* The headers of all batches, in order, until `each` says otherwise. The segment is loaded. */
SM_MUST_CHECK enum sm_err log__segment_walk(struct segment *segment,
					    enum sm_err (*each)(void *arg, struct segment *segment, const struct batch_info *info),
					    void *arg);
/* The first offset at or after `offset` whose batch is right; past damage if need be. The segment is loaded. Errors: SM_END (none here). */
SM_MUST_CHECK enum sm_err log__segment_readable(struct segment *segment, int64_t offset, int64_t *ret_offset);
/* First record at or after timestamp_ms, of those from offset `from` on. Errors: SM_END (none), as read. */
SM_MUST_CHECK enum sm_err log__segment_find_time(struct segment *segment, int64_t timestamp_ms, int64_t from, int64_t *ret_offset,
						 int64_t *ret_timestamp_ms);
/* "DIR/00000000000000000042.log" -> 42; -1: not such a name. */
int64_t log__segment_name_parse(const char *name, const char *suffix);

/* ---- bulk.c, bulk_read.c: large groups, past the page cache ---- */

struct bulk; /* a piece of a segment in memory */
struct bulk_list {
	struct bulk *first, **last; /* oldest first */
	size_t bytes, most;
};
struct bulk_cache {
	uint32_t from_bytes; /* groups from this size on; 0: none */
	atomic_bool refused; /* the file system does not do it */
	pthread_mutex_t lock;
	struct bulk_list written, read;
	bool used;                /* since the last look */
	struct sm_system *system; /* whose pool reads ahead; NULL: nobody does */
	struct bulk_ahead *ahead; /* pieces that are wanted */
	size_t ahead_bytes;
	uint32_t ahead_jobs; /* given to the pool */
	pthread_cond_t ahead_changed;
	bool closing;
};
void log__bulk_init(struct bulk_cache *cache, struct sm_system *system, uint32_t from_bytes);
/* Wait until nothing is read ahead; closing: nor will be. */
void log__bulk_quiet(struct bulk_cache *cache, bool closing);
void log__bulk_done(struct bulk_cache *cache);
/* Called now and then: give back what was not used since the last call. */
void log__bulk_rest(struct bulk_cache *cache);
/* Is a group of that size written so? cache may be NULL. Opens the segment's second descriptor. */
bool log__bulk_wants(struct bulk_cache *cache, struct segment *segment, size_t size);
/* Write a group's batches at a position; each iov is whole batches. The sync is the caller's; after it the pieces are for readers
 * (log__bulk_written), or it has failed. Errors: as pwritev; any part may have been written then. */
SM_MUST_CHECK enum sm_err log__bulk_write(struct bulk_cache *cache, struct segment *segment, const struct iovec *iov, int count,
					  uint64_t at, struct bulk **ret_pieces, struct sm_error *reterr);
void log__bulk_written(struct bulk_cache *cache, struct segment *segment, struct bulk *pieces, int64_t next_offset);
void log__bulk_failed(struct bulk *pieces);
/* As log__segment_read, from memory. Any error: read it through the page cache. */
SM_MUST_CHECK enum sm_err log__bulk_read(struct segment *segment, int64_t offset, size_t bytes_max, struct log_slice *ret_slice,
					 int64_t *ret_next);

/* ---- segment_list.c ---- */

struct segment_list {
	int64_t *offsets; /* base offsets of the segments, in order; malloc'ed */
	uint32_t count, cap;
	int64_t named;   /* the highest offset that a file beside them is named after, -1: none */
	bool compaction; /* a crash has left something of one */
};
/* Errors: SM_NOT_FOUND (there is no such directory), SM_NO_MEMORY, SM_IO. */
SM_MUST_CHECK enum sm_err log__segments_list(struct io *io, const char *dir, struct segment_list *ret, struct sm_error *reterr);

/* ---- segment_scan.c: a segment's file, not trusted ---- */

/* Reads forward in large pieces. io, file, size (of what counts of the file) and position (of the next batch) are the caller's. */
struct scanner {
	struct io *io;
	struct io_file *file;
	uint64_t position, size;
	uint8_t *data;
	size_t cap, got;
	uint64_t at; /* position of data */
};
void log__scan_done(struct scanner *s);
/* Bytes from the position on: at least `want`, unless the file ends. Valid until the next call. */
SM_MUST_CHECK enum sm_err log__scan_bytes(struct scanner *s, size_t want, struct bytes *ret, struct sm_error *reterr);
/* The batch at the position, which begins with offset. SM_END: there is none that is right. */
SM_MUST_CHECK enum sm_err log__scan_batch(struct scanner *s, int64_t offset, struct batch_info *ret_info, struct sm_error *reterr);
/* The first batch at or after the position that is right: the position becomes its. It begins with the offset `from` if it is at the
 * position itself, which is trusted; behind damage with one in [from, below). below: the offset at the end of the file, if it is known.
 * SM_END: there is none. */
SM_MUST_CHECK enum sm_err log__scan_next(struct scanner *s, int64_t from, int64_t below, struct batch_info *ret_info,
					 struct sm_error *reterr);
/* Does anything but zeros stand at or after position? */
SM_MUST_CHECK enum sm_err log__scan_anything(struct scanner *s, uint64_t position, bool *ret, struct sm_error *reterr);

/* ---- segment_write.c: the one writer of an active segment ---- */

enum mark_kind { MARK_GROUP, MARK_SYNCED, MARK_CLEAN, MARK_SEALED };
struct segment_mark {
	uint64_t number;
	enum mark_kind kind;
	uint64_t start, end;
	int64_t base_offset, next_offset, max_timestamp_ms;
};
/* The newer of the two marks. Errors: SM_NOT_FOUND (none is whole), SM_VERSION, SM_IO. */
SM_MUST_CHECK enum sm_err log__mark_read(struct io *io, struct io_file *file, struct segment_mark *ret_mark, int *ret_page,
					 struct sm_error *reterr);

struct segment_writer {
	struct segment *segment; /* borrowed from the partition */
	uint64_t end;            /* of the last group */
	uint64_t synced;         /* end, but with groups that are synced later */
	uint64_t filled;         /* the file has zeros up to here */
	uint64_t mark_number;
	int synced_page; /* holds the last mark that is known to be on disk: the other one is written */
	int64_t next_offset, max_timestamp_ms;
	bool torn;    /* a write failed: what stands after end must go before the next */
	bool unclean; /* groups were written since the last clean mark */
};
/* Make the file of writer's segment, on disk when done. */
SM_MUST_CHECK enum sm_err log__writer_create(struct segment_writer *w, const char *dir, struct sm_error *reterr);
struct group_write {
	const struct iovec *iov;
	int iov_count;
	size_t size;
	int64_t next_offset;
	int64_t max_timestamp_ms;
	uint64_t segment_bytes;
	struct bulk_cache *bulk; /* NULL: through the page cache */
	bool no_sync;            /* a file that nobody reads before it is finished; a planted fault */
	bool later;              /* log__writer_sync follows in time: until then the group has no mark */
};
/* Write and sync one group. *ret_retry: it failed, but may be tried again (no space); else nothing may be acknowledged on
 * this file any more. */
SM_MUST_CHECK enum sm_err log__writer_group(struct segment_writer *w, const struct group_write *group, bool *ret_retry,
					    struct sm_error *reterr);
/* Sync what was written since the last sync, and say so in a mark. Nothing is written meanwhile. */
SM_MUST_CHECK enum sm_err log__writer_sync(struct segment_writer *w, struct sm_error *reterr);
/* Cut the file to its batches, all of them synced, set a mark of that kind, sync. */
SM_MUST_CHECK enum sm_err log__writer_finish(struct segment_writer *w, enum mark_kind kind, struct sm_error *reterr);
/* The same with MARK_CLEAN, and write the index first. */
SM_MUST_CHECK enum sm_err log__writer_seal(struct segment_writer *w, struct sm_error *reterr);
/* The segment after this one is on disk: say so in a mark of this one. Its batches stay as they are; the mark gets w's end and next offset.
 */
SM_MUST_CHECK enum sm_err log__writer_followed(struct segment_writer *w, bool sync, struct sm_error *reterr);
/* Cut the file at the writer's end, zero nothing, mark it as synced, sync. */
SM_MUST_CHECK enum sm_err log__writer_cut(struct segment_writer *w, struct sm_error *reterr);

/* ---- producer_state.c: idempotent producers of one partition ---- */

struct producer_batch {
	int32_t first_sequence, last_sequence;
	int64_t base_offset, last_offset;
	int64_t timestamp_ms; /* log append time or -1 */
};
struct producer {
	int64_t id;
	int16_t epoch;
	uint8_t count;
	bool any_sequence; /* what came last is lost: count is 0, and the next batch may begin anywhere */
	int64_t seen_ms;
	int32_t coordinator_epoch;                           /* of its last marker, -1: none */
	int64_t txn_first_offset;                            /* -1: no transaction is open */
	struct producer_batch batches[LOG_PRODUCER_BATCHES]; /* oldest first */
};
struct producers {
	struct map by_id;       /* 8 bytes -> struct producer */
	struct producer **open; /* those with a transaction, oldest first */
	uint32_t open_count, open_cap;
	struct producer *undo;
	uint32_t undo_count, undo_cap;
};
void log__producers_init(struct producers *p);
void log__producers_done(struct producers *p);
void log__producers_clear(struct producers *p);
/* NULL: not known. */
struct producer *log__producer_find(const struct producers *p, int64_t id);
/* The producer, made if it is not there, to be changed by the caller; undo: log__producers_undo can take that back. */
SM_MUST_CHECK enum sm_err log__producer_change(struct producers *p, int64_t id, bool undo, struct producer **ret_producer);
/* May this batch come next? SM_DUPLICATE: it is there already, *ret_there says where. A batch without a sequence is the engine's own.
 * Errors: SM_STALE_EPOCH, SM_SEQUENCE_GAP, SM_CONFLICT (it does not fit the transaction that is open). */
SM_MUST_CHECK enum sm_err log__producers_check(const struct producers *p, const struct batch_info *info, struct producer_batch *ret_there);
/* Remember a batch that was given base_offset. undo: log__producers_undo can take it back. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err log__producers_add(struct producers *p, const struct batch_info *info, int64_t base_offset,
					     int64_t append_time_ms, int64_t now_ms, bool undo);
void log__producers_undo(struct producers *p); /* take back all since the last keep */
void log__producers_keep(struct producers *p);
void log__producers_expire(struct producers *p, int64_t before_ms);
/* Batches before `to` are lost: a producer of which nothing is known from there on may go on with any sequence. */
void log__producers_lost(struct producers *p, int64_t to);
/* As a snapshot's file has it; without memory out has failed. */
void log__producers_put(const struct producers *p, int64_t offset, struct buf *out);
/* The state that was put so, in place of p's. Errors: SM_CORRUPT, SM_NO_MEMORY: p is empty. */
SM_MUST_CHECK enum sm_err log__producers_take(struct producers *p, struct bytes in, int64_t offset);
SM_MUST_CHECK enum sm_err log__producers_write(const struct producers *p, struct io *io, const char *dir, int64_t offset,
					       struct sm_error *reterr);
/* Delete all snapshots but those of these two offsets. */
void log__producers_clean(struct io *io, const char *dir, int64_t keep, int64_t keep_too);
/* State as of offset. Errors: SM_NOT_FOUND, SM_CORRUPT: rebuild it. */
SM_MUST_CHECK enum sm_err log__producers_read(struct producers *p, struct io *io, const char *dir, int64_t offset);

/* ---- txn_state.c: transactions of one partition ---- */

SM_MUST_CHECK enum sm_err log__marker_build(struct buf *out, const struct log_txn_marker *marker, int64_t now_ms);
/* batch: a whole control batch. SM_END: it ends no transaction. */
SM_MUST_CHECK enum sm_err log__marker_read(struct bytes batch, struct log_txn_marker *ret_marker);
/* A transaction of the producer begins at offset. */
SM_MUST_CHECK enum sm_err log__txn_open(struct producers *p, struct producer *producer, int64_t offset);
/* Find the open ones anew, after the producers were changed. */
SM_MUST_CHECK enum sm_err log__txn_reopen(struct producers *p);
/* First offset of the oldest open transaction, -1: none. */
int64_t log__txn_unstable(const struct producers *p);
/* May this marker be written? Errors: SM_STALE_EPOCH, SM_CONFLICT (of a newer coordinator). */
SM_MUST_CHECK enum sm_err log__txn_check(const struct producers *p, const struct log_txn_marker *marker);
/* A marker was given this offset. ret_aborted: first_offset -1 if it aborts nothing. */
SM_MUST_CHECK enum sm_err log__txn_end(struct producers *p, const struct log_txn_marker *marker, int64_t offset, int64_t now_ms, bool undo,
				       struct log_aborted *ret_aborted);
/* malloc'ed. */
SM_MUST_CHECK enum sm_err log__producers_list(const struct producers *p, struct log_producer **ret_list, uint32_t *ret_count);

/* ---- checkpoint.c ---- */

struct checkpoint {
	uint64_t position;
	int64_t next_offset, max_timestamp_ms;
};
/* All that w has written is synced. Nobody writes meanwhile. Blocks. */
SM_MUST_CHECK enum sm_err log__checkpoint_write(const struct segment_writer *w, const char *dir, const struct producers *producers,
						struct sm_error *reterr);
/* Index and aborted transactions of the segment, and the producers, as they were at the checkpoint. An error: there is none to go by, and
 * all of them are empty. */
SM_MUST_CHECK enum sm_err log__checkpoint_read(struct segment *s, const char *dir, struct checkpoint *ret, struct producers *producers);

/* ---- recovery.c ---- */

typedef void (*log_notice)(void *arg, const char *text);
struct recovery {
	struct io *io;
	const char *dir;
	log_notice notice;
	void *notice_arg;
	int64_t now_ms;
	int64_t start_offset; /* where the partition is known to begin; 0: at its first segment */
};
/* What a partition's directory holds. */
struct recovered {
	struct segment **segments; /* malloc'ed, by base offset; the last one is active unless count is 0 */
	uint32_t count;
	struct segment_writer writer;
	int64_t next_offset;
	uint64_t checked; /* position of the checkpoint that was used, else the segment's first */
};
SM_MUST_CHECK enum sm_err log__recover(const struct recovery *r, struct producers *producers, struct recovered *ret,
				       struct sm_error *reterr);
/* salvage.c: say that the partition's first segments are missing. */
void log__lost_first(const struct recovery *r, int64_t from, int64_t to);

/* ---- topic_config.c ---- */

struct topic_settings {
	uint32_t max_message_bytes;
	uint64_t segment_bytes;
	int64_t segment_ms;                    /* a segment whose first batch is so much older is full */
	int64_t retention_ms, retention_bytes; /* -1: no bound */
	bool log_append_time;
	int64_t timestamp_before_max_ms, timestamp_after_max_ms; /* how far from now a producer's times may be */
	bool recode;                                             /* batches that come in another codec */
	enum codec codec;
	int levels[CODEC_COUNT];
	bool delete_old, compact; /* cleanup.policy */
	double cleanable_ratio_min;
	int64_t delete_retention_ms, compaction_lag_min_ms, compaction_lag_max_ms;
};
/* What holds when nothing is set. */
void log__config_defaults(struct topic_settings *settings, uint64_t segment_bytes, int64_t retention_ms);
/* Check one config, and take it over. Errors: SM_INVALID (unknown name, bad value), SM_UNSUPPORTED. */
SM_MUST_CHECK enum sm_err log__config_apply(struct topic_settings *settings, const struct log_config *config, struct sm_error *reterr);

/* As log__txn_aborted, without a look at other segments or the disk. False: that is needed, or there is an error. */
bool log__txn_aborted_known(struct segment *s, int64_t from, int64_t to, struct log_aborted **ret_aborted, uint32_t *ret_count,
			    enum sm_err *ret_err);
/* The aborted transactions that reach into [from, to). The segments are the partition's, from that of `from` on at least, and counted;
 * those before are looked at only when an index file is missing. ret_aborted is malloc'ed, by last_offset. May block. */
SM_MUST_CHECK enum sm_err log__txn_aborted(struct segment **segments, uint32_t count, const char *dir, int64_t from, int64_t to,
					   struct log_aborted **ret_aborted, uint32_t *ret_count);

/* ---- partition.c: the actor that writes ---- */

struct engine;
struct partition_writer;
struct partition {
	atomic_uint refs;
	struct engine *engine; /* outlives the actor and every append */
	struct io *io;
	char *topic;
	int32_t number;
	char *dir;
	struct topic_settings settings; /* the actor's own, and its job's */
	struct sm_ref *actor;
	atomic_size_t pending_bytes;

	pthread_mutex_t lock;           /* of what follows; held for a few instructions */
	struct topic_settings arriving; /* settings by which appends are taken in: new ones hold here at once */
	int64_t high_watermark, last_stable_offset, log_start_offset;
	int64_t start_kept;        /* the log start that is on disk; under files_lock */
	struct segment **segments; /* by base offset; the last one is active */
	uint32_t segment_count, segment_cap;
	enum sm_err failed; /* read-only, and why */
	bool offline;       /* its files could not be opened: nothing can be read */
	enum sm_err gone;   /* SM_NOT_FOUND: deleted, SM_CLOSED: closed */

	/* Who deletes, renames or makes files of sealed segments has this lock meanwhile. */
	pthread_mutex_t files_lock;
	atomic_bool files_gone;  /* the directory is being deleted */
	atomic_bool uncleanable; /* no compaction before the next start */
	int64_t clean_to;        /* the cleaner's own: compacted up to here; -1: not read yet */

	atomic_bool written; /* since the hand of open_files.c came by */
	atomic_bool listed;  /* among the open files: its own jobs and its actor change this */
	uint32_t open_at;    /* its place among them; under their lock, as is resting */
	bool resting;        /* it was told to close its file */

	struct log_wait *waits;          /* under the engine's waits_lock */
	struct partition_writer *writer; /* the actor's own */
};
/* Recover what is on disk and spawn the actor. Blocks. */
SM_MUST_CHECK enum sm_err log__partition_new(struct engine *engine, const char *topic, int32_t number,
					     const struct topic_settings *settings, struct partition **ret_partition,
					     struct sm_error *reterr);
struct partition *log__partition_ref(struct partition *p);
void log__partition_unref(struct partition *p);
void log__partition_append(struct partition *p, uint8_t *batches, size_t size, unsigned flags, log_append_done done, void *arg);
/* A batch of a transaction that the engine itself has made; it has no sequence. */
void log__partition_append_own(struct partition *p, uint8_t *batches, size_t size, log_append_done done, void *arg);
/* End a producer's transaction. marker is borrowed for the call. */
void log__partition_txn_end(struct partition *p, const struct log_txn_marker *marker, log_append_done done, void *arg);
/* done owns the list. */
void log__partition_producers(struct partition *p, void (*done)(void *arg, enum sm_err err, struct log_producer *producers, uint32_t count),
			      void *arg);
enum partition_job {
	PARTITION_GROUP,
	PARTITION_SYNC,
	PARTITION_CHECKPOINT,
	PARTITION_ROLL,
	PARTITION_RETENTION,
	PARTITION_START, /* the log's start moves to the offset, for good */
	PARTITION_CLOSE,
	PARTITION_DELETE,
	PARTITION_PRODUCERS,
	PARTITION_REST /* close the active segment's file until it is needed again */
};
/* Ask the partition for a job other than a group. done is called on a thread of the engine; always, unless an error is
 * returned here. offset: for PARTITION_START, -1 is the high watermark. */
SM_MUST_CHECK enum sm_err log__partition_do(struct partition *p, enum partition_job job, int64_t offset,
					    void (*done)(void *arg, const struct sm_error *error), void *arg);

/* New settings, in force for what comes later. */
SM_MUST_CHECK enum sm_err log__partition_settings(struct partition *p, const struct topic_settings *settings);

/* ---- partition_start.c: where a partition begins, when records were deleted on demand ---- */

/* Keep offset (-1: the high watermark), let readers see it, delete whole segments before it. Blocks.
 * Errors: SM_OUT_OF_RANGE. Before the present start: nothing happens. */
SM_MUST_CHECK enum sm_err log__partition_start_at(struct partition *p, int64_t offset, struct sm_error *reterr);

/* A small file in the partition's directory that keeps one offset. Errors: SM_NOT_FOUND, SM_CORRUPT, SM_IO. */
SM_MUST_CHECK enum sm_err log__offset_read(struct io *io, const char *dir, const char *name, int64_t *ret_offset, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err log__offset_write(struct io *io, const char *dir, const char *name, int64_t offset, struct sm_error *reterr);

/* ---- compact.c, cleaner.c ---- */

/* Keep the last record of each key only, where the topic's settings say that it is time for it, segment by segment. Appends and reads go
 * on. Thread: one at a time, of the pool. Blocks. SM_CANCELLED: the partition or the log is closing. */
SM_MUST_CHECK enum sm_err log__partition_compact(struct partition *p, int64_t now_ms, struct sm_error *reterr);
/* The same; damage or a failing disk ends it until the next start, which is told once. */
void log__cleaner_visit(struct partition *p, int64_t now_ms);
/* Finish or take back what a crash has left of a compaction. */
SM_MUST_CHECK enum sm_err log__compact_resume(struct io *io, const char *dir, struct sm_error *reterr);
/* Look through all compacted topics, on the pool; nothing if that is under way. */
void log__cleaner_start(struct engine *engine);

/* ---- scrubber.c ---- */

SM_MUST_CHECK enum sm_err log__scrubber_new(struct engine *engine);
void log__scrubber_free(struct engine *engine);
/* Once a minute: what is due, on the pool. Thread: the meta actor's. */
void log__scrubber_tick(struct engine *engine);
/* Look at about so many bytes. Blocks. Thread: one at a time. */
void log__scrub_some(struct engine *engine, uint64_t budget);

/* ---- partition_read.c: from any thread ---- */
/* As log__txn_aborted, within one segment; afterwards it knows its own. */
SM_MUST_CHECK enum sm_err log__partition_aborted(struct partition *p, int64_t from, int64_t to, struct log_aborted **ret_aborted,
						 uint32_t *ret_count);
/* The segment that holds offset, counted; NULL: none. */
struct segment *log__partition_segment(struct partition *p, int64_t offset);

enum sm_err log__partition_read(struct partition *p, int64_t offset, size_t bytes_max, bool committed, struct log_read_result *ret_result);
/* The first offset at or after `offset` that can be read, past what is damaged or lost; the high watermark if there is none. */
SM_MUST_CHECK enum sm_err log__partition_readable(struct partition *p, int64_t offset, int64_t *ret_offset);
enum sm_err log__partition_offset_for(struct partition *p, int64_t what, int64_t *ret_offset, int64_t *ret_timestamp_ms);
void log__partition_wait(struct partition *p, struct log_wait *wait);
/* Call the waits that are due: the end that they look at is above their offset, or all with `why`. */
void log__partition_wake(struct partition *p, enum sm_err why);
void log__wait_cancel(struct engine *engine, struct log_wait *wait);
/* Bytes of batches in all segments. May block. */
SM_MUST_CHECK enum sm_err log__partition_bytes(struct partition *p, uint64_t *ret_bytes);
/* Delete whole segments that retention or drop_before lets go; never the active one. Blocks. */
SM_MUST_CHECK enum sm_err log__partition_drop_old(struct partition *p, int64_t now_ms, int64_t drop_before, struct sm_error *reterr);

/* ---- topics.c: the table of topics and its file ---- */

struct topics_picture; /* counted */
struct topic {
	char *name;
	struct uuid id;
	int32_t partition_count, replication_factor;
	bool internal, deleting;
	struct log_config *configs;
	uint32_t config_count;
	struct topic_settings settings;
	struct partition **partitions;
};
void log__topic_free(struct topic *t); /* the partitions' references too */
/* A checked copy of spec with an id. */
SM_MUST_CHECK enum sm_err log__topic_new(const struct engine *engine, const struct log_topic_spec *spec, bool internal,
					 struct topic **ret_topic, struct sm_error *reterr);
/* A checked copy of the topic as the change would have it, with its id and without partitions. */
SM_MUST_CHECK enum sm_err log__topic_changed(const struct engine *engine, const struct topic *t, const struct log_topic_change *change,
					     struct topic **ret_topic, struct sm_error *reterr);
/* Recover its partitions and start them; those that it has already are left. */
SM_MUST_CHECK enum sm_err log__topic_start(struct engine *engine, struct topic *t, struct sm_error *reterr);
/* Have those that were started end; does not wait for it. */
void log__topic_stop(struct topic *t);
/* After a change of the table; under its lock, or with nobody else there. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err log__topics_picture_renew(struct engine *engine);
/* topics_file.c: all topics of the table and `extra` (may be NULL; in place of the one with its name) to the file. */
SM_MUST_CHECK enum sm_err log__topics_write(struct engine *engine, const struct topic *extra, struct sm_error *reterr);
/* topics_start.c: recover the partitions of these topics (NULL is passed over) and start them. After an error some are started. */
SM_MUST_CHECK enum sm_err log__topics_start(struct engine *engine, struct topic **topics, size_t count, struct sm_error *reterr);
/* Each topic that the file, or its copy, tells of; none is started. Errors: SM_NOT_FOUND (there is no table), those of each. */
SM_MUST_CHECK enum sm_err log__topics_look(struct engine *engine,
					   enum sm_err (*each)(void *arg, const struct topic *t, struct sm_error *reterr), void *arg,
					   struct sm_error *reterr);
/* Read the file into the table; finishes deletions that were begun. */
SM_MUST_CHECK enum sm_err log__topics_read(struct engine *engine, struct sm_error *reterr);
/* In place of one with the same name, whose partitions it has: that one is freed. */
SM_MUST_CHECK enum sm_err log__topics_put(struct engine *engine, struct topic *t);
/* Whether there is such a topic; its entry lives until the actor that changes topics changes it. */
struct topic *log__topics_find(struct engine *engine, const char *name);
struct topic *log__topics_take(struct engine *engine, const char *name); /* out of the table; NULL: not there */
/* Counted; NULL: not there. */
struct partition *log__topics_partition(struct engine *engine, const char *topic, int32_t number);
/* The partitions of all topics that are wanted (NULL: all), counted; *ret is malloc'ed. NULL: no memory. */
struct partition **log__topics_partitions(struct engine *engine, bool (*wanted)(const struct topic *t), uint32_t *ret_count);
const struct log_topics *log__topics_picture(struct engine *engine);
void log__topics_picture_release(const struct log_topics *topics);
void log__topics_done(struct engine *engine);

/* ---- meta.c: the actor that changes topics and gives out producer ids, one thing at a time ---- */

SM_MUST_CHECK enum sm_err log__meta_start(struct engine *engine, struct sm_error *reterr);
void log__meta_topic_create(struct engine *engine, const struct log_topic_spec *spec, bool internal,
			    void (*done)(void *arg, const struct sm_error *error), void *arg);
void log__meta_topic_change(struct engine *engine, const struct log_topic_change *change,
			    void (*done)(void *arg, const struct sm_error *error), void *arg);
void log__meta_topic_delete(struct engine *engine, const char *name, void (*done)(void *arg, const struct sm_error *error), void *arg);
void log__meta_producer_id(struct engine *engine, void (*done)(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch), void *arg);
/* After what is queued before it. */
void log__meta_stop(struct engine *engine, void (*done)(void *arg, const struct sm_error *error), void *arg);
void log__meta_free(struct engine *engine); /* when the actor has ended */

/* ---- group_records.c: what coordinators keep beside offsets; its own lock ---- */
struct group_records;
/* NULL: no memory. */
struct group_records *log__group_records_new(void);
void log__group_records_free(struct group_records *g);
/* One record of the topic whose key is of a version above 1. Errors: SM_CORRUPT (its key), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err log__group_records_apply(struct group_records *g, const struct record *record);
SM_MUST_CHECK enum sm_err log__group_records_read(struct group_records *g, const char *group, struct arena *arena,
						  struct log_group_record **ret, uint32_t *ret_count);
/* Put the names of all groups into names. */
SM_MUST_CHECK enum sm_err log__group_records_names(struct group_records *g, struct map *names);
/* Append them to out as record batches. */
SM_MUST_CHECK enum sm_err log__group_records_build(const struct log_group_record *records, uint32_t count, int64_t now_ms, struct buf *out);

/* ---- group_offsets.c ---- */

#define TOPIC_OFFSETS "__consumer_offsets"
#define TOPIC_TRANSACTIONS "__transaction_state" /* kafka/ writes it */
struct group_offsets;
int32_t log__offsets_partition(const char *group);
SM_MUST_CHECK enum sm_err log__offsets_open(struct engine *engine, struct group_offsets **ret, struct sm_error *reterr);
void log__offsets_close(struct group_offsets *g);
void log__offsets_commit(struct group_offsets *g, const char *group, const struct log_group_offset *offsets, uint32_t count,
			 void (*done)(void *arg, enum sm_err err), void *arg);
void log__offsets_commit_txn(struct group_offsets *g, const char *group, int64_t producer_id, int16_t epoch,
			     const struct log_group_offset *offsets, uint32_t count, void (*done)(void *arg, enum sm_err err), void *arg);
/* Write the marker to a partition of __consumer_offsets; a commit's offsets are seen when done is called. */
void log__offsets_txn_end(struct group_offsets *g, struct partition *log, const struct log_txn_marker *marker, log_append_done done,
			  void *arg);
enum sm_err log__offsets_fetch(struct group_offsets *g, const char *group, struct log_group_offset *offsets, uint32_t count,
			       void **ret_hold);
void log__group_write(struct group_offsets *g, const char *group, const struct log_group_record *records, uint32_t count,
		      void (*done)(void *arg, enum sm_err err), void *arg);
enum sm_err log__group_read(struct group_offsets *g, const char *group, struct log_group_record **ret_records, uint32_t *ret_count,
			    void **ret_hold);
enum sm_err log__groups_kept(struct group_offsets *g, const char *const **ret_names, uint32_t *ret_count, void **ret_hold);
enum sm_err log__offsets_list(struct group_offsets *g, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
			      void **ret_hold);
enum sm_err log__offsets_groups(struct group_offsets *g, const char *const **ret_names, uint32_t *ret_count, void **ret_hold);

/* ---- open_files.c ---- */

struct open_files {
	pthread_mutex_t lock;
	struct partition **partitions; /* with an open active segment; each takes itself out */
	uint32_t count, cap, hand, most;
};
/* most: 0 is a quarter of what the process may open. */
void log__files_init(struct open_files *f, uint32_t most);
void log__files_done(struct open_files *f);
/* Is there room for one more? */
bool log__files_room(struct open_files *f);
/* The partition has opened its active segment's file: another one may have to close its own. */
void log__files_opened(struct partition *p);
/* It has closed it. */
void log__files_closed(struct partition *p);
/* It was told to and does not. */
void log__files_needed(struct partition *p);

/* ---- engine.c ---- */

/* A line for the operator, if there is one. engine: struct engine. Thread: any. */
void log__notice(void *engine, const char *text);

struct engine {
	struct sm_log log; /* first */
	struct sm_system *system;
	struct io *io;
	struct clock *clock;
	char *dir;
	uint64_t segment_bytes;
	int64_t retention_ms;
	uint32_t sync_interval_ms; /* 0: each group is synced before it is answered */
	log_notice notice;
	void *notice_arg;
	pthread_mutex_t notice_lock; /* partitions are opened by several threads */
	bool ack_before_sync;
	struct io_file lock_file;
	int64_t format; /* of topics.json as it was read */
	atomic_bool closing;
	atomic_long live; /* actors that run and appends that are not answered: close waits for them */

	pthread_mutex_t lock; /* of the table */
	struct map topics;    /* name -> struct topic */
	struct topics_picture *picture;
	pthread_mutex_t waits_lock;

	struct meta *meta;
	bool meta_runs; /* its actor was started */
	struct group_offsets *offsets;
	struct open_files files;
	struct bulk_cache bulk;
	struct scrubber *scrubber;
	atomic_bool scrubbing;
	uint64_t scrub_interval_ms;
	atomic_bool cleaning;
	uint32_t compact_keys_max; /* LOG_COMPACT_KEYS_MAX, but in tests */
	uint64_t checkpoint_bytes; /* LOG_CHECKPOINT_BYTES, but in tests */
};

#endif
