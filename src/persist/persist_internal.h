/* What the files of this room share.
 *
 * `struct entity` is one spawned actor through all of its restarts; operations that are under way hold it, and it holds the journal.
 * `struct persistent` is its state between two restarts and belongs to its dispatcher. `struct op` is one operation on the log or the
 * store: it travels to a thread of theirs or of the pool, and comes back as a message; the actor does not touch it meanwhile. */
#ifndef PERSIST_PERSIST_INTERNAL_H
#define PERSIST_PERSIST_INTERNAL_H

#include "actor/actor.h"
#include "log/log.h"
#include "persist/persist_limits.h"
#include "store/store.h"
#include <pthread.h>
#include <smack/persist.h>
#include <stdatomic.h>

/* ---- the journal ---- */

struct sm_journal {
	struct sm_log *log;
	struct sm_store *store;
	char *topic, *keyspace;
	int32_t partitions;
	const struct store_schema *schema; /* held: it owns the table's picture */
	const struct store_table *table;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t holders; /* entities; under the lock */
	bool closed;
};
/* Columns of the table, by their place in it; journal.c makes it. */
enum persist_column {
	COLUMN_TOPIC,
	COLUMN_ID,
	COLUMN_SEQUENCE,
	COLUMN_FENCE,
	COLUMN_FIRST,
	COLUMN_PARTITIONS,
	COLUMN_WRITER,
	COLUMN_DATA,
	COLUMN_POSITION,
	COLUMN_TAKEN,
	COLUMN_TYPE,
	COLUMN_WROTE,
	COLUMNS
};
void persist__journal_hold(struct sm_journal *journal);
void persist__journal_release(struct sm_journal *journal);

/* ---- records ---- */

/* The writer of a batch: see README.md, "One writer". */
struct writer {
	uint64_t number;
	int64_t producer;
	int16_t epoch;
	int32_t sequence; /* of the next batch's first record */
	uint32_t group;   /* number of the next group, written or not */
	int64_t fence;    /* offset */
};
#define PERSIST_TOKEN_SIZE 16
/* What a record of the topic is to this room. */
enum record_kind { RECORD_OTHER, RECORD_EVENT, RECORD_FENCE };
struct record_mark {
	enum record_kind kind;
	uint64_t writer;
	int64_t sequence;                  /* of an event */
	uint32_t index, count;             /* its place in its group */
	uint32_t group;                    /* the number of that, among its writer\'s */
	uint8_t token[PERSIST_TOKEN_SIZE]; /* of a fence */
};
/* Errors: SM_CORRUPT (a header of ours that is none), SM_VERSION. */
SM_MUST_CHECK enum sm_err persist__record_mark(const struct record *record, struct record_mark *ret_mark);
/* An event as the handler gets it. What it points to lies in the record and in room, until the next one. */
struct event_room {
	struct sm_persist_event event;
	char type[PERSIST_ID_MAX + 1];
	struct buf text; /* names and tags with their zeros */
	const char *tags[PERSIST_HEADERS_MAX];
	struct sm_persist_header headers[PERSIST_HEADERS_MAX];
};
SM_MUST_CHECK enum sm_err persist__record_event(const struct record *record, const struct record_mark *mark, struct event_room *room);
/* Batches, appended to out. Errors: SM_INVALID, SM_TOO_LARGE, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err persist__batch_events(struct buf *out, const char *id, const struct writer *writer, int64_t sequence,
						const struct sm_persist_event *events, uint32_t count);
SM_MUST_CHECK enum sm_err persist__batch_fence(struct buf *out, const char *id, const struct writer *writer,
					       const uint8_t token[PERSIST_TOKEN_SIZE]);
/* The producer of these numbers of an id; NUMBERS_A_PRODUCER of them share one. */
#define PERSIST_PRODUCERS_FROM 0x4000000000000000 /* their ids: no log gives such to real producers */
#define NUMBERS_A_PRODUCER INT16_MAX              /* its last epoch closes it */
void persist__writer_of(const char *id, uint64_t number, struct writer *ret_writer);
void persist__writer_before(const char *id, uint64_t number, struct writer *ret_writer); /* number is at least NUMBERS_A_PRODUCER */

/* A group whose records may come in several batches, kept until it is whole. */
struct group {
	struct buf bytes;
	uint32_t have, number;
};
void persist__group_add(struct group *group, const struct record *record);
/* False at the end. */
bool persist__group_next(struct byte_reader *in, struct record *ret_record);

/* ---- deliveries ---- */

struct delivery {
	struct sm_delivery delivery; /* to and data lie behind this struct */
	uint64_t sent_ns;
};
struct deliveries {
	struct delivery **items;    /* by id */
	uint32_t count, cap, fresh; /* fresh: the last ones, never sent */
	uint64_t last_id;
	uint64_t turn; /* the last that was sent again: others come before it does */
	bool timer;
};

/* ---- operations ---- */

enum op_kind {
	OP_START,    /* begin: sent to itself, so that supervision sees to what fails */
	OP_LOOK,     /* the id's number, from the store */
	OP_FENCE,    /* a fence to the log */
	OP_ROW,      /* the number to the store */
	OP_LOAD,     /* where the id begins and its snapshots */
	OP_REPLAY,   /* a piece of the topic */
	OP_WRITE,    /* events */
	OP_SNAPSHOT, /* a snapshot */
};
struct snapshot_found {
	int64_t sequence, position;
	uint64_t wrote; /* writer number */
	char type[PERSIST_ID_MAX + 1];
};
struct op {
	struct sm_msg msg; /* first */
	struct sm_work work;
	enum op_kind kind;
	uint64_t incarnation;
	struct entity *entity; /* counted */
	struct sm_ref *actor;  /* counted */
	struct sm_error error;
	struct buf buf;     /* batches; a snapshot's bytes */
	struct arena arena; /* mutations */
	struct store_batch batch;
	int64_t sequence, offset; /* of a snapshot; of an append: its first offset; of a replay: where to begin, then where to go on */
	int64_t end;              /* of a replay: behind the last offset */
	int64_t append_ms;        /* the log's own time of an append, or -1 */
	uint64_t scanned;
	struct log_wait wait; /* the log has not shown yet what it has acknowledged */
	bool waits;
	bool final; /* of a fence: it closes the producer before */
	/* of a look and a load */
	bool found;
	uint64_t number;
	int64_t fence, first;
	int64_t newest_allowed; /* a snapshot's sequence; 0: any */
	struct snapshot_found snapshot;
	int64_t kept[PERSIST_SNAPSHOTS_KEPT_MAX + 1]; /* sequences, the newest first */
	uint32_t kept_count;
	struct event_room room; /* for the events that it brings */
};
extern const struct sm_msg_type persist__op_type;
struct persistent;
/* NULL: no memory. */
struct op *persist__op_new(struct persistent *p, enum op_kind kind);
void persist__op_send(struct op *op); /* to its actor; thread: any */
SM_MUST_CHECK enum sm_err persist__op_pool(struct persistent *p, struct op *op, void (*run)(struct sm_work *work));
static inline struct op *op_of_work(struct sm_work *work)
{
	return (struct op *)((char *)work - offsetof(struct op, work));
}

/* What the pool does: table.c and read.c. */
void persist__look(struct sm_work *work);
void persist__load(struct sm_work *work);
void persist__replay(struct sm_work *work);
/* Fill the op's batch from what it holds. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err persist__row_batch(struct op *op, uint64_t number, int64_t fence, bool first);
/* Older snapshots than oldest go. */
SM_MUST_CHECK enum sm_err persist__snapshot_batch(struct op *op, uint64_t number, int64_t position, const char *type, int64_t oldest);
void persist__op_apply(struct op *op);
void persist__op_append(struct op *op);

/* ---- actors ---- */

struct entity {
	_Atomic uint32_t refs;
	struct sm_journal *journal;
	struct sm_persistent_props props; /* its strings are ours */
	int32_t partition;
	_Atomic uint64_t incarnation;
};
void persist__entity_unref(struct entity *entity);

enum phase {
	PHASE_RECOVERING,
	PHASE_READY,
	PHASE_WRITING,
	PHASE_FAILED, /* each message fails it again */
};
/* In which of the user's functions we are. */
enum calling { CALLING_NOTHING, CALLING_COMMAND, CALLING_EVENT, CALLING_OTHER };

struct persistent {
	struct sm_actor *self;
	struct entity *entity;
	struct sm_journal *journal;
	uint64_t incarnation;
	enum phase phase;
	enum sm_err failed;
	bool has_user;  /* init of the user's state was called */
	bool was_ready; /* it has recovered, and now only claims its id again */
	bool has_state; /* a snapshot or events have gone into the state: a further claim goes on behind them */
	/* the journal's view */
	struct writer writer;
	uint8_t token[PERSIST_TOKEN_SIZE];
	int64_t sequence; /* of the last event applied */
	int64_t position; /* behind the last record that has gone into the state */
	/* recovery */
	uint64_t floor; /* the least number to claim */
	uint32_t claims;
	uint64_t filter; /* the newest number seen in the topic */
	bool fence_seen, row_known;
	bool lost; /* another one has the same number: claim again */
	bool past; /* recovery.to_sequence is reached */
	struct group group;
	uint64_t replayed, dropped, scanned;
	int64_t sequence_before; /* of a further claim */
	/* the command in hand or waiting for its write */
	enum calling calling;
	struct op *write; /* what sm_persist has put together */
	sm_persisted_fn effect;
	struct sm_msg *command;
	/* snapshots */
	bool snapshot_wanted, snapshot_saving;
	int64_t snapshot_sequence; /* of the last one that was taken */
	int64_t kept[PERSIST_SNAPSHOTS_KEPT_MAX + 1];
	uint32_t kept_count;
	struct deliveries deliveries;
	struct event_room *room; /* of the operation that is being handled */
};
void *persist__user(struct persistent *p);
/* The persistent actor whose handler calls; NULL: none. */
struct persistent *persist__current(struct sm_actor *self);
/* Around a call of the user's functions. */
struct persist_call {
	struct persistent *before;
	enum calling calling;
};
struct persist_call persist__enter(struct persistent *p, enum calling calling);
void persist__leave(struct persistent *p, struct persist_call call);
SM_MUST_CHECK enum sm_err persist__signal(struct persistent *p, const struct sm_persist_signal *signal);

/* recover.c */
SM_MUST_CHECK enum sm_err persist__recover(struct persistent *p);
SM_MUST_CHECK enum sm_err persist__recovered_op(struct persistent *p, struct op *op); /* the answer to one of its operations */
SM_MUST_CHECK enum sm_err persist__recovery_failed(struct persistent *p, const struct sm_error *error);
/* command.c */
SM_MUST_CHECK enum sm_err persist__command(struct persistent *p, struct sm_msg *msg);
SM_MUST_CHECK enum sm_err persist__written(struct persistent *p, struct op *op);
SM_MUST_CHECK enum sm_err persist__apply(struct persistent *p, const struct record *record, const struct record_mark *mark, bool replayed);
/* snapshot.c */
SM_MUST_CHECK enum sm_err persist__snapshot_load(struct persistent *p, const struct op *op);
SM_MUST_CHECK enum sm_err persist__snapshot_if_due(struct persistent *p);
SM_MUST_CHECK enum sm_err persist__snapshot_saved(struct persistent *p, struct op *op);
/* deliver.c */
SM_MUST_CHECK enum sm_err persist__deliver_fresh(struct persistent *p); /* what the group just applied has added; after a recovery all */
SM_MUST_CHECK enum sm_err persist__deliver_again(struct persistent *p);
void persist__deliveries_done(struct deliveries *d);
void persist__deliveries_put(struct buf *out, const struct deliveries *d);
/* ret_rest: what stands behind them. Errors: SM_CORRUPT, SM_VERSION, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err persist__deliveries_take(struct bytes data, struct deliveries *d, struct bytes *ret_rest);

#endif
