/* The commit log: topics, cut into partitions of Kafka record batches (magic 2).
 *
 * struct sm_log is an engine behind a table of calls: the embedded one (log_embedded_open), the one on the data
 * directory's socket (remote/), a real Kafka (rdkafka/). Code above sees only this file.
 *
 * Calls with a `done` are asynchronous: done is called exactly once, on a thread of the engine, possibly before the call
 * returns; it must not block and usually sends a message. Everything else may block for a disk read at most, and says so.
 * An append is answered after the fsync that covers it; no reader sees a record before that. */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/bytes.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/uuid.h"
#include "log/record_batch.h"
#include <smack/actor.h>

struct sm_log;

/* ---- topics ---- */

struct log_config {
	const char *name, *value; /* Kafka's names: retention.ms, segment.bytes, cleanup.policy, compression.type ... */
};
struct log_topic_spec {
	const char *name;
	int32_t partitions;
	int32_t replication_factor; /* 0: the engine's own. The embedded one keeps and shows it, and counts it as 1 */
	const struct log_config *configs;
	uint32_t config_count;
	bool internal; /* written by the server alone; its name begins with "__" */
	bool check;    /* only say whether it can be made */
};
/* What to change of a topic that is there. */
struct log_topic_change {
	const char *name;
	int32_t partitions;               /* grow to so many; 0: as they are */
	const struct log_config *configs; /* value NULL: back to the default */
	uint32_t config_count;
	bool only;  /* configs that are not named go back to their defaults too */
	bool check; /* only say whether it can be done */
};
/* A counted, immutable picture of one topic. */
struct log_topic {
	const char *name;
	struct uuid id;
	int32_t partitions;
	int32_t replication_factor;
	bool internal;
	const struct log_config *configs; /* only those that were set */
	uint32_t config_count;
};
struct log_topics {
	const struct log_topic *items; /* by name */
	uint32_t count;
};

/* ---- appends ---- */

struct log_append_result {
	enum sm_err err;
	int64_t base_offset;
	int64_t log_append_time_ms; /* -1 unless the topic stamps records itself */
	int64_t log_start_offset;
	struct batch_refused refused; /* of SM_INVALID: the records that the topic does not take */
};
typedef void (*log_append_done)(void *arg, const struct log_append_result *result);

/* ---- transactions ---- */

/* A producer's transactional batches from first_offset on, before the ABORT marker at last_offset, are no data. */
struct log_aborted {
	int64_t producer_id, first_offset, last_offset;
};
/* The end of a transaction in one partition. */
struct log_txn_marker {
	int64_t producer_id;
	int16_t producer_epoch; /* batches of an older epoch are refused from then on */
	int32_t coordinator_epoch;
	bool commit;
};
/* A producer that a partition remembers. */
struct log_producer {
	int64_t producer_id;
	int16_t epoch;
	int32_t last_sequence; /* -1: none in this epoch */
	int64_t last_timestamp_ms;
	int32_t coordinator_epoch; /* of its last marker, -1: none */
	int64_t txn_first_offset;  /* of its open transaction, -1: none is open */
};

/* ---- reads ---- */

/* First member of what a slice points into; release is called once, by log_slice_done. */
struct log_hold {
	void (*release)(struct log_hold *hold);
};
/* Where whole record batches lie. Either in memory (data; of the embedded engine, file_at tells where in the segment) or in a file region
 * that sendfile can take (fd, file_at).
 * The slice holds a reference to what it points into until log_slice_done. The first batch may begin before the offset
 * that was asked for. */
struct log_slice {
	const uint8_t *data; /* NULL: in the file */
	int fd;
	uint64_t file_at;
	size_t size;
	struct log_hold *hold;       /* NULL: nothing to release */
	struct log_aborted *aborted; /* malloc'ed; of a committed read: all aborted transactions that reach into the slice, by their ends */
	uint32_t aborted_count;
};
struct log_read_result {
	struct log_slice slice;     /* size 0: nothing there yet */
	int64_t high_watermark;     /* first offset that is not on disk yet */
	int64_t last_stable_offset; /* first offset of the oldest transaction that is open, else the high watermark */
	int64_t log_start_offset;
};
/* LOG_LATEST: the last stable offset, where a committed read ends. */
enum log_offset_of { LOG_EARLIEST = -2, LOG_LATEST = -1, LOG_MAX_TIMESTAMP = -3, LOG_HIGH_WATERMARK = -100 };

/* A wait for records: done is called once, when last stable offset (uncommitted: high watermark) > offset, the partition is gone,
 * or log_wait_cancel.
 * Embedded in its owner's memory, which stays until done was called. */
struct log_wait {
	struct log_wait *next, *prev;
	const char *topic;
	int32_t partition;
	int64_t offset;
	bool uncommitted;
	void (*done)(struct log_wait *wait, enum sm_err err);
	void *engine;
};

/* ---- group offsets ---- */

struct log_group_offset {
	const char *topic;
	int32_t partition;
	int64_t offset; /* -1: none committed */
	int32_t leader_epoch;
	const char *metadata; /* may be NULL */
	bool pending;         /* filled by offsets_fetch and offsets_list: an open transaction has another offset for it */
	int64_t committed_ms; /* filled by offsets_list: when it was committed; 0: the engine does not know */
};
/* What a group's coordinator keeps of the group. */
struct log_group_record {
	struct bytes key;   /* as in Kafka's: a version from 2 on, the group's name, what the version has beside */
	struct bytes value; /* data NULL: it is taken away (a tombstone) */
};

struct log_ops {
	/* Errors: SM_EXISTS, SM_INVALID (name, counts, config), SM_TOO_LARGE (partitions), SM_UNSUPPORTED (a config that is known
	 * but not there yet). Durable when done. done's error is NULL on success. spec and name are borrowed for the call. */
	void (*topic_create)(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *arg, const struct sm_error *error),
			     void *arg);
	void (*topic_delete)(struct sm_log *log, const char *name, void (*done)(void *arg, const struct sm_error *error), void *arg);
	/* Errors: SM_NOT_FOUND, SM_INVALID (fewer partitions than there are, a config), SM_TOO_LARGE, SM_UNSUPPORTED. Durable and in
	 * force when done; appends that come later see it. change is borrowed for the call. */
	void (*topic_change)(struct sm_log *log, const struct log_topic_change *change,
			     void (*done)(void *arg, const struct sm_error *error), void *arg);
	/* Records before offset (-1: before the high watermark) are readable no more, after a restart too; their space is given back as
	 * whole segments. Errors: SM_NOT_FOUND, SM_OUT_OF_RANGE (beyond the high watermark), SM_IO ... */
	void (*records_delete)(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
			       void (*done)(void *arg, enum sm_err err, int64_t log_start_offset), void *arg);
	/* What a partition takes on disk, in bytes of batches. May block. Errors: SM_NOT_FOUND, SM_UNSUPPORTED, SM_IO. */
	enum sm_err (*partition_bytes)(struct sm_log *log, const char *topic, int32_t partition, uint64_t *ret_bytes);
	/* A picture of all topics; release with topics_release. Does not block. */
	const struct log_topics *(*topics)(struct sm_log *log);
	void (*topics_release)(struct sm_log *log, const struct log_topics *topics);

	/* Append record batches, as a Kafka Produce request carries them. They are checked (magic, CRC, counts, sizes, what the topic
	 * asks of keys and times, idempotent producer's epoch and sequence) and, if the topic has a codec of its own, brought into that;
	 * offsets and leader epoch are set in place; the bytes are borrowed until done. flags: LOG_ACKS_NONE answers without waiting for
	 * the sync; LOG_TXN: transactional batches may come, their transaction's coordinator knows of this partition; LOG_FROM_ZERO: their
	 * producer, if it is unknown, begins with sequence 0.
	 * Results: SM_NOT_FOUND, SM_CORRUPT, SM_VERSION (magic 0 or 1), SM_TOO_LARGE, SM_FULL (behind: try later), SM_STALE_EPOCH,
	 * SM_SEQUENCE_GAP, SM_INVALID, SM_CONFLICT (transactional without LOG_TXN, or a plain batch in an open transaction), SM_NO_SPACE
	 * (try later), SM_IO (the partition is read-only until the next start), SM_CLOSED. An unknown producer may begin with any sequence,
	 * as in Kafka. A repeated batch of an idempotent producer: SM_OK and its first offset. Thread: any. */
	void (*append)(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
		       log_append_done done, void *arg);
	/* Whole batches from the one that holds offset on, up to the last stable offset: at least one batch (even a larger one),
	 * then as many as fit in bytes_max. Control batches and those of aborted transactions are among them: log_slice_hides tells.
	 * May block for a disk read. Errors: SM_NOT_FOUND, SM_OUT_OF_RANGE (offset below start
	 * or above the high watermark), SM_CORRUPT (a quarantined hole), SM_IO. */
	enum sm_err (*read)(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
			    struct log_read_result *ret_result);
	/* The same up to the high watermark, transactions or not. */
	enum sm_err (*read_uncommitted)(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
					struct log_read_result *ret_result);
	/* Where reading can go on behind a hole: the first offset at or after `offset` whose batch is there and right; if there is none,
	 * where committed reads end. May block. NULL: an engine whose log another process keeps. Errors: as read. */
	enum sm_err (*readable)(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, int64_t *ret_offset);
	void (*wait)(struct sm_log *log, struct log_wait *wait);
	void (*wait_cancel)(struct sm_log *log, struct log_wait *wait); /* done(SM_CANCELLED) follows unless it was called already */
	/* what: a time in ms (first record at or after it) or enum log_offset_of. ret_offset -1: none. ret_timestamp_ms may be NULL. */
	enum sm_err (*offset_for)(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
				  int64_t *ret_timestamp_ms);

	/* A producer id with an epoch; transactional id NULL: plain idempotence. */
	void (*producer_id)(struct sm_log *log, void (*done)(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch), void *arg);

	/* Offsets of a consumer group, kept in __consumer_offsets in Kafka's own record layout. Durable when done. An offset
	 * below 0 takes the commit back (a tombstone). group and offsets are borrowed for the call.
	 * Errors: SM_INVALID (lengths), SM_FULL, SM_IO and the like. */
	void (*offsets_commit)(struct sm_log *log, const char *group, const struct log_group_offset *offsets, uint32_t count,
			       void (*done)(void *arg, enum sm_err err), void *arg);
	/* Fills offset, leader_epoch and metadata (borrowed until offsets_release) of each. */
	enum sm_err (*offsets_fetch)(struct sm_log *log, const char *group, struct log_group_offset *offsets, uint32_t count,
				     void **ret_hold);
	/* All that the group has committed, by topic and partition; borrowed until offsets_release. */
	enum sm_err (*offsets_list)(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
				    void **ret_hold);
	void (*offsets_release)(struct sm_log *log, void *hold);
	/* The names of all groups that have committed offsets, perhaps of others too, in order; borrowed until offsets_release. May
	 * block.
	 * Errors: SM_IO (some cannot be known), SM_NO_MEMORY, SM_UNAVAILABLE. */
	enum sm_err (*groups)(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold);

	/* Further records of a group, kept in __consumer_offsets too; NULL in an engine whose log another process keeps. Durable when done,
	 * in the order of the calls; all is borrowed for the call. Errors: SM_INVALID (a key), SM_TOO_LARGE (a record above
	 * LOG_BATCH_BYTES_MAX, all above LOG_GROUP_BYTES_MAX), and those of an append. */
	void (*group_write)(struct sm_log *log, const char *group, const struct log_group_record *records, uint32_t count,
			    void (*done)(void *arg, enum sm_err err), void *arg);
	/* The newest of each key of the group, in no order; borrowed until offsets_release. Does not block. Errors: SM_IO (they cannot be
	 * known), SM_NO_MEMORY. */
	enum sm_err (*group_read)(struct sm_log *log, const char *group, struct log_group_record **ret_records, uint32_t *ret_count,
				  void **ret_hold);
	/* The names of all groups that have such records, in order; borrowed until offsets_release. */
	enum sm_err (*groups_kept)(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold);

	/* Transactions; NULL in an engine whose log another process keeps. Who calls these is the coordinator: it has made the decision
	 * durable, and says the same again until done has had SM_OK (or SM_NOT_FOUND: the partition has gone). What offsets_commit_txn has
	 * left pending is ended by a marker in
	 * __consumer_offsets, in the partition of the group (offsets_partition).
	 * Errors: as append, SM_STALE_EPOCH (a newer epoch of the producer is known), SM_CONFLICT (of a newer coordinator). */
	void (*txn_end)(struct sm_log *log, const char *topic, int32_t partition, const struct log_txn_marker *marker, log_append_done done,
			void *arg);
	void (*offsets_commit_txn)(struct sm_log *log, const char *group, int64_t producer_id, int16_t epoch,
				   const struct log_group_offset *offsets, uint32_t count, void (*done)(void *arg, enum sm_err err),
				   void *arg);
	int32_t (*offsets_partition)(struct sm_log *log, const char *group);
	/* The producers that the partition remembers, malloc'ed; done owns the list. */
	void (*producers)(struct sm_log *log, const char *topic, int32_t partition,
			  void (*done)(void *arg, enum sm_err err, struct log_producer *producers, uint32_t count), void *arg);

	/* Engines that own their storage end it; SM_OK when all that was accepted is on disk. */
	enum sm_err (*close)(struct sm_log *log, struct sm_error *reterr);
};
struct sm_log {
	const struct log_ops *ops;
};
enum log_append_flags { LOG_ACKS_NONE = 1, LOG_TXN = 2, LOG_FROM_ZERO = 4 };
struct batch_info;

void log_slice_done(struct log_slice *slice);
/* The batch, of this slice of a committed read, holds no data: control records, or records of an aborted transaction. */
bool log_slice_hides(const struct log_slice *slice, const struct batch_info *info);
/* The slice's bytes in memory: itself, or read into *buffer (malloc'ed, grown; the caller frees it). May block. */
SM_MUST_CHECK enum sm_err log_slice_bytes(const struct log_slice *slice, uint8_t **buffer, size_t *cap, struct bytes *ret_bytes);
/* Find a topic in a picture; NULL if it is not there. */
const struct log_topic *log_topics_find(const struct log_topics *topics, const char *name);
/* The partition of a key as Kafka's default partitioner chooses it; an empty key is a key. */
int32_t log_partition_of(struct bytes key, int32_t partitions);
/* Kafka's rule for topic names: [a-zA-Z0-9._-]{1,249}, not "." or "..". */
bool log_topic_name_ok(const char *name);

/* ---- for callers that may block (tasks, the command line) ---- */
SM_MUST_CHECK enum sm_err log_append_wait(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size,
					  int64_t *ret_base_offset);
SM_MUST_CHECK enum sm_err log_topic_create_wait(struct sm_log *log, const struct log_topic_spec *spec, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err log_topic_change_wait(struct sm_log *log, const struct log_topic_change *change, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err log_topic_delete_wait(struct sm_log *log, const char *name, struct sm_error *reterr);

/* ---- the embedded engine ---- */
struct log_embedded_options {
	struct sm_system *system;
	struct io *io;          /* NULL: io_system */
	struct clock *clock;    /* NULL: clock_system */
	const char *dir;        /* made if it is not there */
	uint64_t segment_bytes; /* 0: 128 MiB */
	uint64_t retention_ms;  /* 0: no bound */
	/* So long after the end of one pass the scrubber begins the next over all sealed segments; 0: none. Damage goes to notice. */
	uint64_t scrub_interval_ms;
	uint32_t files_max; /* partitions that keep the file open to which they append, twice if need be; 0: a quarter of RLIMIT_NOFILE */
	/* 0: an append is answered after the sync that covers it. Else after its write, and its partition is synced so long after the first
	 * write that is not: a loss of power may take what was answered since. The death of the process takes nothing. */
	uint32_t sync_interval_ms;
	/* Groups from this size on are written past the page cache; 0: none. */
	uint32_t direct_bytes;
	/* Called for what an operator should know: records that are lost, a partition that is offline. One thread at a time. May be NULL.
	 */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
	bool ack_before_sync; /* planted fault for the crash tests, only in builds with -Dplant_faults=true */
};
/* Recover and start. Errors: SM_CORRUPT (a rotten middle names file and offset), SM_BUSY (another process), SM_VERSION, SM_IO. */
SM_MUST_CHECK enum sm_err log_embedded_open(const struct log_embedded_options *options, struct sm_log **ret_log, struct sm_error *reterr);

#endif
