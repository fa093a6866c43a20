/* What the two files of a partition's actor share: partition.c (the actor and its jobs), partition_group.c (appends, and the
 * groups that they form). */
#ifndef LOG_PARTITION_INTERNAL_H
#define LOG_PARTITION_INTERNAL_H

#include "actor/actor.h"
#include "log/log_internal.h"

struct append {
	struct sm_msg msg; /* first */
	struct append *next;
	struct partition *partition; /* counted */
	uint8_t *bytes;
	size_t size;
	uint8_t *owned; /* the bytes, when nobody waits for the sync, or they were made or brought into another codec here */
	int64_t max_timestamp_ms;
	bool from_zero;               /* LOG_FROM_ZERO */
	bool duplicate;               /* it is answered with its group, but has no bytes in it */
	struct log_txn_marker marker; /* what its control batch says, if it is one */
	log_append_done done;         /* NULL: answered already */
	void *arg;
	struct log_append_result result;
};

struct control {
	struct sm_msg msg; /* first */
	struct control *next;
	struct engine *engine;
	enum partition_job job;
	int64_t offset;
	struct topic_settings *settings; /* malloc'ed: new settings, instead of a job */
	bool rolled;                     /* a retention has had its roll */
	void (*done)(void *arg, const struct sm_error *error);
	void (*done_list)(void *arg, enum sm_err err, struct log_producer *producers, uint32_t count); /* PARTITION_PRODUCERS */
	void *arg;
};

struct group {
	struct append *head, **tail;
	uint32_t count;
	struct iovec *iov;
	uint32_t iov_count, iov_cap;
	size_t size;
	int64_t first_offset, next_offset, max_timestamp_ms, records;
	struct txn_index aborted; /* by the markers in it */
};

/* While `busy`, `out`, `producers` and the fields of the job belong to the pool. */
struct partition_writer {
	struct partition *partition;
	struct sm_actor *self;
	struct actor_turn_hook hook;
	struct append *head, **tail; /* waiting for a group */
	uint32_t waiting;            /* so many */
	size_t waiting_bytes;
	uint32_t last_count; /* appends of the last group */
	uint64_t last_ns;    /* when it ended */
	bool gathering;      /* the timer runs */
	uint64_t checked;    /* the last checkpoint's position in the segment of out */
	bool sync_timed;     /* the timer for the next sync runs */
	bool sync_due;       /* it has run out */
	struct control *controls, **controls_tail;
	struct segment_writer out; /* segment NULL: nothing was ever appended */
	struct producers producers;
	int64_t next_offset;
	struct group group;

	bool busy;
	struct sm_work work;
	struct sm_msg done_msg;
	enum partition_job job;
	struct control *control; /* whose job it is; NULL: the partition's own */
	struct segment *fresh;   /* the segment that a roll makes */
	bool retry;
	struct sm_error error;
	uint64_t started_ns;
};

/* partition_open.c: recover what is on disk; a partition for which that fails is offline. Errors: those that keep all of the log from being
 * opened (SM_NO_MEMORY, SM_VERSION, SM_NO_FILES). Blocks. */
SM_MUST_CHECK enum sm_err log__partition_open(struct partition_writer *w, struct sm_error *reterr);

extern const struct sm_msg_type log__append_type;

/* Answer an append and free it. */
void log__append_finish(struct append *a, enum sm_err err);
/* Answer all that wait for a group. */
void log__fail_waiting(struct partition_writer *w, enum sm_err err);
void log__group_init(struct group *g);
/* Take waiting appends into a group, until it is full; what is refused is answered. */
void log__group_form(struct partition_writer *w);
/* Must the segment be rolled before this append? Index entries hold offsets in 32 bits. */
bool log__must_roll(const struct partition_writer *w, const struct append *a);
/* The group is on disk: let readers see it, then say so. */
void log__group_is_written(struct partition_writer *w);
/* A write and a sync have ended: for the metrics. */
void log__sync_is_counted(const struct partition_writer *w);
/* It is not: take back offsets and producer state, and say so. */
void log__group_has_failed(struct partition_writer *w, enum sm_err err);

#endif
