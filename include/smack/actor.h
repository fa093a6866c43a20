/* Actors: state that is touched by one message at a time.
 *
 * An actor lives on one dispatcher (a thread with an event loop). Messages to it are queued in its mailbox, in order
 * for one sender and one receiver, and delivered at most once. A full mailbox refuses the message and the sender
 * decides (or as props.overflow says): nothing is dropped silently. A handler must not block; what may block goes to the
 * pool (sm_pool_run, sm_pipe). A handler that returns an error has failed: its supervision, given at the spawn, decides what follows.
 *
 * doc/actors.md has the guarantees in one place and an example; <smack/actor_sim.h> runs actors on one thread with a seed and a
 * clock of the test's own.
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
	/* Another message like this one, without sender and ask_id, for what goes to several receivers (sm_publish, broadcast routers);
	 * returns NULL when there is no memory. May be NULL: it goes to one receiver only. */
	struct sm_msg *(*copy)(const struct sm_msg *msg);
};

/* First member of every message. */
struct sm_msg {
	struct sm_msg *next; /* the queue's, while it is queued */
	const struct sm_msg_type *type;
	struct sm_ref *sender; /* counted, or NULL; released with the message */
	uint64_t ask_id;       /* not 0: the sender waits for sm_reply */
};

/* System messages that handlers receive. */
SM_EXPORT extern const struct sm_msg_type sm_msg_timer;       /* struct sm_timer_msg */
SM_EXPORT extern const struct sm_msg_type sm_msg_terminated;  /* struct sm_terminated_msg, after sm_watch */
SM_EXPORT extern const struct sm_msg_type sm_msg_ask_failed;  /* struct sm_ask_failed_msg */
SM_EXPORT extern const struct sm_msg_type sm_msg_idle;        /* struct sm_msg, after sm_idle_timeout */
SM_EXPORT extern const struct sm_msg_type sm_msg_dead_letter; /* struct sm_dead_letter_msg, after sm_subscribe */
SM_EXPORT extern const struct sm_msg_type sm_msg_listing;     /* struct sm_listing_msg, after sm_subscribe_key */

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

/* A message that its receiver will never read. */
struct sm_dead_letter_msg {
	struct sm_msg msg;
	const struct sm_msg_type *type;
	const struct sm_msg *letter; /* to be read only, until this message is freed; NULL: an embedded one, its owner has it back */
	struct sm_ref *to;           /* released with the message */
	enum sm_err why;             /* SM_GONE: it has ended; SM_FULL: it was dropped from a mailbox or stash without room */
};
/* Who is registered under a key now; refs are borrowed from the message. */
struct sm_listing_msg {
	struct sm_msg msg;
	const char *key;
	struct sm_ref *const *refs;
	uint32_t count;
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
	uint32_t pinned_max;      /* actors with a thread of their own at a time, 0: 16 */
	/* Measure the time in handlers (sm_actors_each) and log handlers that take longer than slow_handler_ms (0: 200). Costs two looks
	 * at the clock a message. */
	bool observe;
	uint32_t slow_handler_ms;
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

/* What follows a failure. */
enum sm_directive {
	SM_DIRECTIVE_RESTART, /* within the limits, else it ends (or escalates, see escalate_at_limit) */
	SM_DIRECTIVE_RESUME,  /* go on with the state as it is; the message that failed is done with. Without a state (init failed): restart
			       */
	SM_DIRECTIVE_STOP,    /* end */
	SM_DIRECTIVE_ESCALATE, /* end, and the parent has failed with the same error. A child of the root: end */
};

/* At a restart the actor's children end first, then done is called, the delay passes, and init builds a new state. The mailbox
 * stays, without the message that failed, and what was stashed goes to its front; timers, asks, watches, the idle time-out and the
 * behaviour are those of the start; subscriptions and registrations stay. */
struct sm_supervision {
	uint32_t restarts_max;   /* within window_ms; 0: an error ends the actor */
	uint32_t window_ms;      /* from the first failure on; 0: for ever */
	uint32_t backoff_min_ms; /* first delay before a restart, doubled each time in the window */
	uint32_t backoff_max_ms;
	uint32_t jitter_percent; /* a delay is shortened by up to so much of it, at random: those who failed together do not come back
				    together */
	bool all_for_one;        /* a restart or an end by failure befalls also the siblings that have this too, at the same time; theirs do
				    not count against their limits */
	bool escalate_at_limit;  /* one failure too many in the window is the parent's */
	/* Decides by the error; NULL: restart. Thread: the actor's dispatcher. */
	enum sm_directive (*decide)(enum sm_err why);
};

/* What a full mailbox does. */
enum sm_overflow {
	SM_OVERFLOW_FAIL,        /* sm_send answers SM_FULL */
	SM_OVERFLOW_DROP_OLDEST, /* the oldest message of the lane becomes a dead letter (its asker is told); the new one is taken */
	SM_OVERFLOW_BLOCK,       /* sm_send waits for room; on a dispatcher's thread, which must not wait, it answers SM_FULL */
};

/* For props.dispatcher. */
#define SM_DISPATCHER_ANY (-1)
#define SM_DISPATCHER_PINNED (-2) /* a thread for this actor alone, which may block in its handlers */
#define SM_DISPATCHER_PARENT (-3) /* where its parent is: for actors that talk with each other more than they compute. Of the root: ANY */

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
	void *arg; /* borrowed: lives as long as the actor */
	/* Called with arg when the actor has ended, for good, after done; then arg is the actor's once the spawn has succeeded. May be
	 * NULL. */
	void (*arg_done)(void *arg);
	uint32_t mailbox_max; /* 0: the system's default */
	int dispatcher;       /* SM_DISPATCHER_ANY: chosen round robin; SM_DISPATCHER_PINNED; SM_DISPATCHER_PARENT; else its index */
	struct sm_supervision supervision;
	enum sm_overflow overflow;
	bool lanes;         /* there is a priority and a control lane too (sm_send_lane) */
	uint32_t stash_max; /* 0: as mailbox_max */
};

/* Spawn a child of parent (NULL: of the root). init runs on the child's dispatcher before the first message.
 * ret_ref: counted, release with sm_unref; may be NULL. Thread: the parent's dispatcher; any for the root.
 * Errors: SM_NO_MEMORY, SM_EXISTS (a sibling has the name), SM_INVALID (the name), SM_CLOSED (stopping), SM_FULL (no pinned thread is
 * free), SM_IO (a thread cannot be started). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_spawn(struct sm_system *system, struct sm_actor *parent, const struct sm_props *props,
					     struct sm_ref **ret_ref);

/* Queue msg. The bound counts the message that is being handled too; 1/64 more than the bound may be let in (neither with lanes nor with
 * another overflow than SM_OVERFLOW_FAIL). On SM_OK the message belongs to the receiver; else it still belongs to the caller. Errors:
 * SM_FULL (mailbox bound), SM_GONE (ended). Thread: any. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_send(struct sm_ref *to, struct sm_msg *msg);
/* The same past the bound, for answers that the receiver itself asked for (its requests are what is bounded).
 * Errors: SM_GONE. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_send_reply(struct sm_ref *to, struct sm_msg *msg);

/* Lanes of an actor with props.lanes: control is read before priority, priority before normal. Order holds within a lane. Control
 * messages may pass the bound by 64. */
enum sm_lane { SM_LANE_NORMAL, SM_LANE_PRIORITY, SM_LANE_CONTROL };
/* As sm_send. Errors: also SM_UNSUPPORTED (the receiver has no lanes). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_send_lane(struct sm_ref *to, struct sm_msg *msg, enum sm_lane lane);

/* Keep the message that is being handled: the handler owns it now. */
SM_EXPORT void sm_msg_keep(struct sm_actor *self);
/* Hand the message that is being handled on to another actor, with its sender and ask_id: an answer goes to the first sender. On
 * failure it is still the handler's. Errors: as sm_send; SM_INVALID (sm_msg_idle). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_forward(struct sm_actor *self, struct sm_ref *to, struct sm_msg *msg);

/* ---- behaviour, stash, idle time-out: in the actor's own handlers ---- */

typedef enum sm_err (*sm_receive_fn)(struct sm_actor *self, void *state, struct sm_msg *msg);
/* Handle the messages from the next one on with receive (NULL: the one of the props). The state stays; a restart begins with the props'
 * one. */
SM_EXPORT void sm_become(struct sm_actor *self, sm_receive_fn receive);
/* Put the message that is being handled aside. Errors: SM_FULL (props.stash_max, with what was unstashed and is not read yet; it is
 * still being handled), SM_NO_MEMORY, SM_INVALID (sm_msg_idle). */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_stash(struct sm_actor *self);
/* What was put aside stands before the mailbox, in the order of its coming. Only control messages are read before it. */
SM_EXPORT void sm_unstash_all(struct sm_actor *self);
SM_EXPORT uint32_t sm_stash_size(const struct sm_actor *self);
/* Get sm_msg_idle whenever no other message came for so long, again and again; 0: no more. Errors: SM_NO_MEMORY, SM_CLOSED. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_idle_timeout(struct sm_actor *self, uint64_t ms);

SM_EXPORT struct sm_ref *sm_self(struct sm_actor *self); /* borrowed */
SM_EXPORT struct sm_system *sm_actor_system(struct sm_actor *self);
SM_EXPORT const char *sm_actor_path(struct sm_actor *self); /* "/root/log/raw_events-3" */
SM_EXPORT struct sm_ref *sm_ref_get(struct sm_ref *ref);    /* counted up; returns ref */
SM_EXPORT void sm_unref(struct sm_ref *ref);                /* NULL is allowed */

/* Stop after the messages already queued; done runs on its dispatcher; its children end first. Idempotent. Thread: any. */
SM_EXPORT void sm_stop(struct sm_ref *ref);
/* Stop after the message in hand: what is queued becomes dead letters. Also after sm_stop. Thread: any. */
SM_EXPORT void sm_stop_now(struct sm_ref *ref);
/* sm_stop, and wait until it and its children have ended. ret_why (may be NULL): as sm_terminated_msg.why. Thread: none of the
 * system's own; actors use sm_watch. Errors: SM_TIMEOUT (it will still end), SM_NO_MEMORY. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_stop_wait(struct sm_system *system, struct sm_ref *ref, uint32_t timeout_ms, enum sm_err *ret_why);

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

/* No notice any more, not even one that was queued; of all its calls. */
SM_EXPORT void sm_unwatch(struct sm_actor *self, struct sm_ref *ref);

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

/* Run run(msg) on the pool; then msg, which holds what goes in and what comes out, is delivered to self as an ordinary message (past the
 * bound; also after a restart). Errors: SM_FULL, SM_CLOSED, SM_NO_MEMORY: msg still belongs to the caller. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_pipe(struct sm_actor *self, void (*run)(struct sm_msg *msg), struct sm_msg *msg);

/* ---- event stream: publish and subscribe by the type of a message ---- */

/* Get a copy of each message of this type that is published from now on, until the actor ends (restarts do not matter; twice is once).
 * sm_msg_dead_letter is published by the system. Errors: SM_NO_MEMORY, SM_FULL (4096 subscribers), SM_CLOSED. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_subscribe(struct sm_actor *self, const struct sm_msg_type *type);
SM_EXPORT void sm_unsubscribe(struct sm_actor *self, const struct sm_msg_type *type);
/* Send msg, or copies of it, to all that have subscribed to its type; takes msg in any case. A subscriber without room loses it (a dead
 * letter, SM_FULL). Errors: SM_UNSUPPORTED (its type has no copy), SM_NO_MEMORY (some have not got it). Thread: any. */
SM_EXPORT enum sm_err sm_publish(struct sm_system *system, struct sm_msg *msg);
/* Messages that became dead letters since the start. */
SM_EXPORT uint64_t sm_dead_letters(const struct sm_system *system);

/* ---- receptionist: actors found by a key ---- */

/* Be found under the key until the actor ends (restarts do not matter; twice is once). Errors: SM_INVALID (empty, or longer than 255
 * bytes), SM_NO_MEMORY, SM_FULL (4096 under this key), SM_CLOSED. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_register(struct sm_actor *self, const char *key);
SM_EXPORT void sm_deregister(struct sm_actor *self, const char *key);
/* Those under the key, in the order of their registration; at most max are written, counted, each to be released. Returns how many there
 * are. Thread: any. */
SM_EXPORT uint32_t sm_find(struct sm_system *system, const char *key, struct sm_ref **refs, uint32_t max);
/* Get sm_msg_listing now and whenever those under the key have changed; of several changes before it is read there is one message,
 * with the last state. Errors: as sm_register. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_subscribe_key(struct sm_actor *self, const char *key);
SM_EXPORT void sm_unsubscribe_key(struct sm_actor *self, const char *key);

/* ---- routers: one address before many actors ---- */

enum sm_routing {
	SM_ROUTE_ROUND_ROBIN,     /* the next one that has room */
	SM_ROUTE_CONSISTENT_HASH, /* by hash(msg); when one comes or goes, only its share of the hashes moves */
	SM_ROUTE_BROADCAST        /* a copy to each (the type needs copy) */
};
struct sm_router_props {
	const char *name; /* as sm_props.name */
	enum sm_routing routing;
	uint64_t (*hash)(const struct sm_msg *msg); /* for SM_ROUTE_CONSISTENT_HASH */
	/* Either a pool: the router spawns count children of these props (name is left out) and ends when all of them have ended. */
	const struct sm_props *pool;
	uint32_t count;
	/* Or a group: those registered under this key, whoever that is at the moment. */
	const char *key;
	uint32_t mailbox_max;
};
/* Spawn a router. Messages keep their sender and ask_id on the way, so answers go straight to who asked. What no routee has room for
 * becomes a dead letter. Thread and errors: as sm_spawn; SM_INVALID: not exactly one of pool and key, count 0 or above 1024, arg_done in
 * pool, no hash. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_spawn_router(struct sm_system *system, struct sm_actor *parent, const struct sm_router_props *props,
						    struct sm_ref **ret_ref);

/* ---- what goes on ---- */

struct sm_actor_info {
	const char *path;
	uint32_t depth; /* 0: a child of the root */
	uint32_t dispatcher;
	const char *state; /* "running", "waits for its restart", ... */
	uint32_t mailbox, mailbox_max;
	uint64_t processed;  /* messages handled */
	uint64_t handler_ns; /* time in its handlers; 0 unless options.observe */
	uint32_t restarts;
};
/* Call each for the actors, parents before children, siblings in the order of their spawning; at most max of them. info is valid for the
 * call, which must not use the system. Returns how many actors there are. Thread: any. */
SM_EXPORT uint32_t sm_actors_each(struct sm_system *system, uint32_t max, void (*each)(void *arg, const struct sm_actor_info *info),
				  void *arg);

#ifdef __cplusplus
}
#endif
#endif
