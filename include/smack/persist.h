/* Event-sourced actors: an actor whose state is what its events have made of it.
 *
 * A command (any message) is decided by a handler that changes nothing: it answers, or it asks for one or several events to be written
 * (sm_persist). When they are on disk, as one atomic group, the event handler changes the state by each of them, and an effect runs: the
 * reply. Until then further messages wait. At its start, and at each restart, the actor builds its state again from its newest snapshot
 * and the events after that, by the same event handler.
 *
 * Events are records of a topic of the log, snapshots are rows of the store: both are a journal, which many actors share. An actor is
 * found in it by its persistence id. One incarnation of an id writes at a time: a new one takes over, and the log refuses
 * what an older one writes after that (SM_STALE_EPOCH); that one ends. doc/actors.md says what this costs, and what a real Kafka
 * cannot do of it.
 *
 * What is guaranteed: a reply that an effect gives is covered by a sync of the events (not with log.durability = interval). An event is
 * applied once, in the order of its sequence number. Of a group either all events are there after a crash, or none. A command whose write
 * failed may have been written or not: what the log says after the restart counts, and who sends the command again makes it so that twice
 * is once (an id in the event).
 *
 * Source: Akka Persistence Typed names the parts; deliveries are those of its AtLeastOnceDelivery. */
#ifndef SMACK_PERSIST_H
#define SMACK_PERSIST_H

#include <smack/actor.h>
#include <smack/row.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_log;
struct sm_store;

/* ---- the journal ---- */

struct sm_journal; /* counted: each of its actors holds it */

struct sm_journal_options {
	struct sm_log *log;     /* lives until the journal is closed and its actors have ended; so does the store */
	struct sm_store *store; /* of a session, or the server's own */
	const char *topic;      /* made if it is not there, with retention.ms = -1 */
	int32_t partitions;     /* of a topic that is made; 0: 8. What the journal began with stays, whatever is added to the topic later */
	const char *keyspace;   /* of the table "persistence", made if it is not there; NULL: smack_persist */
};
/* Open a journal. May block; not for a dispatcher. Errors: SM_INVALID (the topic's name, or it is compacted), SM_DENIED, SM_IO,
 * SM_UNAVAILABLE and others of log and store; the text says which. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_journal_open(const struct sm_journal_options *options, struct sm_journal **ret_journal,
						    struct sm_error *reterr);
/* Actors that have it go on; log and store stay in use until the last of them has ended and what it had under way has come back. Waits for
 * that, at most timeout_ms: SM_TIMEOUT, if it was not so, and then the journal is freed with the last of them. NULL is allowed.
 * Thread: none of an actor system's own. */
SM_EXPORT enum sm_err sm_journal_close(struct sm_journal *journal, uint32_t timeout_ms);

/* ---- events ---- */

struct sm_persist_header {
	const char *name; /* does not begin with "smack." */
	struct sm_bytes value;
};
/* What has happened. The first part is given to sm_persist, which copies it; all of it is given to the event handler, borrowed for the
 * call. */
struct sm_persist_event {
	struct sm_bytes data;    /* the record's value */
	const char *type;        /* which kind of event, and which version of its bytes: "deposited-2"; NULL: "" */
	const char *const *tags; /* for who reads the topic: headers "smack.tag" */
	uint32_t tag_count;
	const struct sm_persist_header *headers;
	uint32_t header_count;
	/* of the record */
	int64_t sequence;             /* from 1 on, without gaps */
	int64_t timestamp_ms, offset; /* offset: of a group just written to a real Kafka, that of all but the first is a guess */
	bool replayed;                /* the actor recovers; false: it has just been written */
};

/* ---- actors ---- */

/* Where recovery begins and ends. */
struct sm_persist_recovery {
	bool no_snapshot; /* from the first event on */
	/* Above 0: up to the event with this number, and no snapshot after it. Such an actor shows the past: it does not take over its
	 * id, and sm_persist and sm_snapshot answer SM_DENIED. */
	int64_t to_sequence;
};

enum sm_persist_signal_kind {
	SM_PERSIST_RECOVERED,       /* sequence: of the last event; events: replayed; err is SM_OK. The first message is read after it */
	SM_PERSIST_RECOVERY_FAILED, /* err, text. The actor fails with it */
	SM_PERSIST_REJECTED,       /* err, command: the log did not take the write (it is full, or has no space), the state is as before and
				    * the actor goes on */
	SM_PERSIST_WRITE_FAILED,   /* err, text, command: whether it was written is not known. The actor fails with it */
	SM_PERSIST_SNAPSHOT_SAVED, /* sequence */
	SM_PERSIST_SNAPSHOT_FAILED, /* sequence, err, text. The actor goes on */
	SM_PERSIST_UNCONFIRMED,     /* delivery: it was sent warn_after times and not confirmed. Told once a recovery */
};
struct sm_delivery;
struct sm_persist_signal {
	enum sm_persist_signal_kind kind;
	enum sm_err err;
	const char *text; /* never NULL */
	int64_t sequence;
	uint64_t events;        /* of a recovery: those after the snapshot */
	uint64_t dropped;       /* of a recovery: events of an incarnation that another had taken over from, and repeated ones: left out */
	struct sm_msg *command; /* for sm_reply; freed after the call. NULL as in sm_persisted_fn */
	const struct sm_delivery *delivery;
};

/* Takes the state's bytes. */
struct sm_snapshot_out;
SM_EXPORT void sm_snapshot_write(struct sm_snapshot_out *out, const void *data, size_t size);

/* A message that is sent until its receipt is confirmed. */
struct sm_delivery {
	uint64_t id; /* from 1 on for each persistence id; the same at each attempt, also after a restart: receivers tell by it what they
			have */
	const char *to;
	struct sm_bytes data;
	uint32_t attempt; /* since the last recovery, from 1 on */
};
struct sm_delivery_options {
	uint64_t interval_ms;     /* sent again after so long (to half as long again); 0: 5000 */
	uint32_t burst_max;       /* sent at a time; 0: 1000. The others have their turn each half interval later */
	uint32_t unconfirmed_max; /* see sm_delivery_room; 0: 10000 */
	uint32_t warn_after;      /* attempts; 0: 5 */
};

/* Handlers are called on the actor's dispatcher and must not block. They do what an actor's handlers may do, but for sm_become, sm_stash
 * and sm_unstash_all: behaviour and stash are what makes the others wait. Outside of command there is no message in hand: no sm_msg_keep,
 * sm_forward or sm_pipe of it; a command can be answered there, not more. The timer UINT32_MAX is taken. */
struct sm_persistent_props {
	const char *name;  /* as sm_props.name */
	const char *id;    /* persistence id: 1 to 255 bytes of UTF-8, unique in the journal; not "#". Copied */
	size_t state_size; /* zeroed before init */
	/* The empty state, before anything is recovered. An error fails the actor; done is not called then. May be NULL. */
	enum sm_err (*init)(struct sm_actor *self, void *state, void *arg);
	/* One message. It looks at the state, and answers, or calls sm_persist; it changes nothing. An error fails the actor. */
	enum sm_err (*command)(struct sm_actor *self, void *state, struct sm_msg *msg);
	/* One event changes the state, and nothing else: no messages, no clock, as it will be called again at each recovery. It may call
	 * sm_deliver and sm_confirm. An error fails the actor, now and at each recovery: SM_VERSION, for a type that it does not know. */
	enum sm_err (*event)(struct sm_actor *self, void *state, const struct sm_persist_event *event);
	/* The state as bytes, and the state from them, which is as init has left it. Both or none (then the actor has no snapshots).
	 * Deliveries are not their business. type: snapshot_type of when it was taken. Without them each recovery begins at the id's first
	 * record. */
	enum sm_err (*save)(struct sm_actor *self, const void *state, struct sm_snapshot_out *out);
	enum sm_err (*load)(struct sm_actor *self, void *state, struct sm_bytes data, const char *type);
	const char *snapshot_type; /* which version of the bytes; NULL: "" */
	uint32_t snapshot_every;   /* events between snapshots; 0: only on request */
	uint32_t snapshots_kept;   /* 0: 2; at most 16. Older ones are deleted with the write of a new one */
	/* What went on. An error fails the actor (not of SM_PERSIST_RECOVERY_FAILED and SM_PERSIST_WRITE_FAILED: it has failed). May be
	 * NULL.
	 */
	enum sm_err (*signal)(struct sm_actor *self, void *state, const struct sm_persist_signal *signal);
	/* Send this delivery, once: by sm_send to an actor, by HTTP, into a topic. Whether that worked is not asked: it is called again
	 * until the delivery is confirmed. NULL: sm_deliver answers SM_UNSUPPORTED. */
	void (*deliver)(struct sm_actor *self, void *state, const struct sm_delivery *delivery);
	struct sm_delivery_options delivery;
	void (*done)(struct sm_actor *self, void *state); /* frees what the state owns. May be NULL */
	void *arg;                                        /* as sm_props.arg; of init */
	uint32_t mailbox_max;
	uint32_t stash_max; /* messages that wait for a recovery or a write, 0: the default of mailboxes; one more becomes a dead letter */
	int dispatcher;     /* as sm_props.dispatcher */
	/* What follows a failure. A restart is a recovery, so give it a back-off. If decide is NULL, SM_STALE_EPOCH ends the actor: another
	 * one has its id. SM_DIRECTIVE_RESUME is no answer to a failed write or recovery: all further messages fail with the same error. */
	struct sm_supervision supervision;
	struct sm_persist_recovery recovery;
};

/* Spawn an event-sourced actor. Messages can be sent to it at once; they wait for its recovery. A stop (sm_stop) does not wait for what
 * is being written: to end after all commands, send one whose effect stops the actor.
 * Thread and errors: as sm_spawn; SM_INVALID: the id, command or event missing, save without load. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_persist_spawn(struct sm_system *system, struct sm_actor *parent, struct sm_journal *journal,
						     const struct sm_persistent_props *props, struct sm_ref **ret_ref);

/* Runs when the events are on disk and applied, with the command that they are the answer to, for sm_reply; it is freed after the call.
 * command is NULL if the message was one that belongs to its owner (no sm_msg_type.done: timers, sm_msg_idle, embedded messages). */
typedef enum sm_err (*sm_persisted_fn)(struct sm_actor *self, void *state, struct sm_msg *command);

/* In the command handler, once a message: write these events as one group, then call the event handler for each, then the effect (may be
 * NULL). The message is kept for it: the handler does not keep, stash or forward it, and returns.
 * Errors: SM_INVALID (called elsewhere; no event; a header's name), SM_BUSY (the second call), SM_TOO_LARGE (1 MiB), SM_NO_MEMORY,
 * SM_DENIED (recovery.to_sequence): nothing is written. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_persist(struct sm_actor *self, const struct sm_persist_event *events, uint32_t count,
					       sm_persisted_fn effect);

/* In any handler: take a snapshot when the message in hand is done with, or the one that is being written is saved.
 * Errors: SM_UNSUPPORTED (no save), SM_DENIED (recovery.to_sequence), SM_INVALID (called elsewhere). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_snapshot(struct sm_actor *self);

/* Number of the last event that was applied; 0: none. In handlers. */
SM_EXPORT int64_t sm_sequence(struct sm_actor *self);
SM_EXPORT const char *sm_persistence_id(struct sm_actor *self);

/* ---- at-least-once delivery: in the event handler ---- */

/* From now on send this to `to`, whatever that means to props.deliver, until it is confirmed: first when the events of the group are
 * applied or, in a recovery, when it has ended; then every interval. What is not confirmed is part of the state and of snapshots. to and
 * data are copied. ret_id may be NULL. Errors: SM_UNSUPPORTED (no props.deliver), SM_INVALID (called elsewhere), SM_TOO_LARGE (to: 255
 * bytes, data: 1 MiB), SM_NO_MEMORY. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_deliver(struct sm_actor *self, const char *to, struct sm_bytes data, uint64_t *ret_id);
/* It has been received: an event that says so was written. False: it was not waited for (any more); no error. */
SM_EXPORT bool sm_confirm(struct sm_actor *self, uint64_t id);
/* In any handler: how many more may be unconfirmed, and whether this one is. An event handler cannot refuse what has happened, so a
 * command that would deliver asks before: with no room left, the answer is SM_FULL. */
SM_EXPORT uint32_t sm_delivery_room(struct sm_actor *self);
SM_EXPORT bool sm_is_unconfirmed(struct sm_actor *self, uint64_t id);

#ifdef __cplusplus
}
#endif
#endif
