/* Actors: state that is touched by one message at a time.
 *
 * An actor lives on one dispatcher (a thread with an event loop). Messages to it are queued in its mailbox, in order
 * for one sender and one receiver, and delivered at most once. A full mailbox refuses the message and the sender
 * decides: nothing is dropped silently. A handler must not block; what may block goes to the pool (sm_pool_run).
 * A handler that returns an error has failed: its parent's supervision decides whether it is restarted.
 *
 * Source: Hewitt's actor model as Akka Typed names its parts. */
#ifndef SMACK_ACTOR_H
#define SMACK_ACTOR_H

#include <smack/error.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_system; /* dispatchers, pool and the root of the actor tree */
struct sm_actor;  /* an actor as its own handlers see it; never shared */
struct sm_ref;    /* counted address of an actor; outlives it */
struct sm_msg;    /* first member of every message */

/* ---- messages ---- */

/* done frees what the message owns and the message itself; NULL: the memory belongs to somebody else (a message that
 * is embedded in its owner). Answers are plain types too: a type is compared by address. With the call of its handler an
 * embedded message has come back: if it has no sender, the handler may free its owner or send it again at once; with a
 * sender, after sm_msg_keep. */
struct sm_msg_type {
	const char *name;
	void (*done)(struct sm_msg *msg);
};

/* First member of every message. */
struct sm_msg {
	struct sm_msg *next; /* the queue's, while it is queued */
	const struct sm_msg_type *type;
	struct sm_ref *sender; /* counted, or NULL; released with the message */
	uint64_t ask_id;       /* not 0: the sender waits for sm_reply */
};

/* System messages that handlers receive. */
SM_EXPORT extern const struct sm_msg_type sm_msg_timer;      /* struct sm_timer_msg */
SM_EXPORT extern const struct sm_msg_type sm_msg_terminated; /* struct sm_terminated_msg, after sm_watch */
SM_EXPORT extern const struct sm_msg_type sm_msg_ask_failed; /* struct sm_ask_failed_msg */

struct sm_timer_msg {
	struct sm_msg msg;
	uint32_t timer; /* the id given to sm_timer_start */
};
struct sm_terminated_msg {
	struct sm_msg msg;
	struct sm_ref *ref; /* who ended; released with the message */
	enum sm_err why;    /* SM_OK: stopped; else the error it gave up with */
};
struct sm_ask_failed_msg {
	struct sm_msg msg;
	uint64_t ask_id;
	enum sm_err why; /* SM_TIMEOUT, SM_GONE */
};

/* Free a message that was not handed on (calls type->done, releases the sender). NULL is allowed. */
SM_EXPORT void sm_msg_free(struct sm_msg *msg);

/* ---- system ---- */

struct sm_system_options {
	uint32_t dispatchers;     /* 0: one a core */
	uint32_t pool_threads;    /* 0: default 4 */
	uint32_t pool_queue_max;  /* 0: default 65536 */
	uint32_t mailbox_max;     /* default bound of a mailbox in messages, 0: 4096 */
	uint32_t messages_a_turn; /* an actor yields after so many, 0: 64 */
};

/* Start the dispatchers. Errors: SM_NO_MEMORY, SM_IO (thread or loop). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_system_new(const struct sm_system_options *options, struct sm_system **ret_system,
						  struct sm_error *reterr);
/* Stop all actors, children before parents, in the reverse order of their spawning; wait for them and for the pool for
 * at most timeout_ms, then end the threads and free all. Returns SM_TIMEOUT if an actor had to be abandoned.
 * Thread: none of the system's own. */
SM_EXPORT enum sm_err sm_system_stop(struct sm_system *system, uint32_t timeout_ms);
SM_EXPORT uint32_t sm_system_dispatchers(const struct sm_system *system);

/* ---- actors ---- */

/* At a restart the actor's children end first, then done is called, the delay passes, and init builds a new state. The mailbox
 * stays, without the message that failed; timers, asks and watches are gone. */
struct sm_supervision {
	uint32_t restarts_max;   /* within window_ms; 0: an error ends the actor */
	uint32_t window_ms;      /* from the first failure on; 0: for ever */
	uint32_t backoff_min_ms; /* first delay before a restart, doubled each time in the window */
	uint32_t backoff_max_ms;
};

struct sm_props {
	const char *name;  /* copied; unique among siblings or NULL; no slash */
	size_t state_size; /* zeroed before init, also at each restart */
	/* Builds the state; also called at each restart. An error ends the actor (counts as a failure at restart); done is not
	 * called then, so init frees what it has made. May be NULL. */
	enum sm_err (*init)(struct sm_actor *self, void *state, void *arg);
	/* One message. msg is freed after the call unless sm_msg_keep(self) was called. */
	enum sm_err (*receive)(struct sm_actor *self, void *state, struct sm_msg *msg);
	/* Frees what the state owns; before a restart and at the end. May be NULL. */
	void (*done)(struct sm_actor *self, void *state);
	void *arg;            /* borrowed: lives as long as the actor */
	uint32_t mailbox_max; /* 0: the system's default */
	int dispatcher;       /* -1: any, chosen round robin */
	struct sm_supervision supervision;
};

/* Spawn a child of parent (NULL: of the root). init runs on the child's dispatcher before the first message.
 * ret_ref: counted, release with sm_unref; may be NULL. Thread: the parent's dispatcher; any for the root.
 * Errors: SM_NO_MEMORY, SM_EXISTS (a sibling has the name), SM_INVALID (the name), SM_CLOSED (stopping). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_spawn(struct sm_system *system, struct sm_actor *parent, const struct sm_props *props,
					     struct sm_ref **ret_ref);

/* Queue msg. The bound counts the message that is being handled too. On SM_OK the message belongs to the receiver; else it still belongs to
 * the caller. Errors: SM_FULL (mailbox bound), SM_GONE (ended). Thread: any. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_send(struct sm_ref *to, struct sm_msg *msg);
/* The same past the bound, for answers that the receiver itself asked for (its requests are what is bounded).
 * Errors: SM_GONE. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_send_reply(struct sm_ref *to, struct sm_msg *msg);

/* Keep the message that is being handled: the handler owns it now. */
SM_EXPORT void sm_msg_keep(struct sm_actor *self);

SM_EXPORT struct sm_ref *sm_self(struct sm_actor *self); /* borrowed */
SM_EXPORT struct sm_system *sm_actor_system(struct sm_actor *self);
SM_EXPORT const char *sm_actor_path(struct sm_actor *self); /* "/root/log/raw_events-3" */
SM_EXPORT struct sm_ref *sm_ref_get(struct sm_ref *ref);    /* counted up; returns ref */
SM_EXPORT void sm_unref(struct sm_ref *ref);                /* NULL is allowed */

/* Stop after the messages already queued; done runs on its dispatcher; its children end first. Idempotent. Thread: any. */
SM_EXPORT void sm_stop(struct sm_ref *ref);

/* Ask: send msg (its sender and ask_id are set); the answer that the other gives with sm_reply arrives as an ordinary message whose ask_id
 * is *ret_ask_id; if none comes in time, or the other ends with the request unread, sm_msg_ask_failed arrives instead. A late answer is
 * freed unseen. Errors: as sm_send (msg still belongs to the caller), SM_CLOSED (self is ending), SM_NO_MEMORY. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_ask(struct sm_actor *self, struct sm_ref *to, struct sm_msg *msg, uint32_t timeout_ms,
					   uint64_t *ret_ask_id);
/* Answer the message `request` (being handled or kept) with answer; takes answer in any case. */
SM_EXPORT void sm_reply(struct sm_actor *self, const struct sm_msg *request, struct sm_msg *answer);
/* Ask from a thread that is no dispatcher: blocks for the answer. Errors: SM_GONE, SM_FULL, SM_NO_MEMORY: not sent, msg still
 * belongs to the caller. SM_TIMEOUT, SM_CANCELLED (it ended with the request unread): msg was sent and is not the caller's any more. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_ask_wait(struct sm_system *system, struct sm_ref *to, struct sm_msg *msg, uint32_t timeout_ms,
						struct sm_msg **ret_answer);

/* Get sm_msg_terminated when ref ends (at once if it has); once a call. Errors: SM_NO_MEMORY, SM_CLOSED (self is ending). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_watch(struct sm_actor *self, struct sm_ref *ref);

/* Start (or restart) the timer with this id of the actor; repeat_ms 0: once. Delivered as sm_msg_timer; of a repeating one at
 * most one message is queued. After sm_timer_stop none comes, not even one that was queued. Errors: SM_NO_MEMORY, SM_FULL (too
 * many), SM_CLOSED (self is ending). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_timer_start(struct sm_actor *self, uint32_t timer, uint64_t after_ms, uint64_t repeat_ms);
SM_EXPORT void sm_timer_stop(struct sm_actor *self, uint32_t timer);

/* ---- pool: for what may block ---- */

/* A piece of work, embedded in its owner's memory. run is called on a pool thread, then finished: if reply_to is set
 * and done_msg too, done_msg is sent there with sm_send_reply (if the actor is gone the message is freed).
 * Without done_msg the owner learns of the end from run itself, which may free the work: both fields are read before run. */
struct sm_work {
	struct sm_work *next;
	void (*run)(struct sm_work *work);
	struct sm_ref *reply_to; /* borrowed: the owner holds it while the work is under way */
	struct sm_msg *done_msg;
	bool waits; /* run waits for other work of the pool: at most half of the threads do such work at a time, so that the rest goes on */
};
/* Errors: SM_FULL (queue bound), SM_CLOSED. Thread: any. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_pool_run(struct sm_system *system, struct sm_work *work);

#ifdef __cplusplus
}
#endif
#endif
