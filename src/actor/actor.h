/* The actor room's interface to other rooms: the public one, and what only code inside the server may use: the
 * dispatcher's libuv loop, the end of its turn, and functions posted to it. */
#ifndef ACTOR_ACTOR_H
#define ACTOR_ACTOR_H

#include <smack/actor.h>
#include <uv.h>

/* The loop of the actor's dispatcher. Handles on it are opened, used and closed on that dispatcher only (in the actor's
 * handlers, in a posted task, or in a callback of the loop). Callbacks of the loop may send, spawn, ask, and use the timers of
 * an actor that lives there. A handle that an actor owns is closed (uv_close) in its done. */
uv_loop_t *actor_loop(struct sm_actor *self);
/* The index of the dispatcher whose thread calls, or -1 on any other thread. */
int actor_current_dispatcher(void);
/* Between the two, what this thread sends wakes no dispatcher that sleeps; the second wakes them. So the answers to a group cost one
 * wake-up and leave together. Thread: any, but no dispatcher's; not nested; it must not wait for an answer in between. */
void actor_hold_wakes(void);
void actor_release_wakes(void);
/* As sm_send_reply, for messages that mean nothing without their receiver: if it ends with msg unread, msg is freed and no dead letter.
 * Thread: any. Errors: SM_GONE. */
SM_MUST_CHECK enum sm_err actor_send_quiet(struct sm_ref *to, struct sm_msg *msg);
/* In a handler: a message that was kept is the next one to be handled (after control messages), or the first of those that were
 * stashed. */
void actor_unread(struct sm_actor *self, struct sm_msg *msg);
void actor_unstash_first(struct sm_actor *self);
/* A message that is being handled, or was kept, will not be answered: a dead letter, and its asker is told. */
void actor_refuse(struct sm_actor *self, struct sm_msg *msg, enum sm_err why);
/* The clock of the actor's system: monotonic, the simulation's where it is one. */
uint64_t actor_now_ns(const struct sm_actor *self);
bool actor_is_simulated(const struct sm_system *system);
/* The actor's dispatcher, for props.dispatcher of an actor that is to live beside it. */
uint32_t actor_dispatcher(const struct sm_actor *self);

/* Something to do once at the end of the dispatcher's turn, when the actors that were ready have run and before the loop looks
 * for events again: what a turn's messages have added up to leaves in one system call. Embedded in its owner; zeroed at first. */
struct actor_turn_hook {
	struct actor_turn_hook *next, *prev; /* NULL: not queued */
	void (*run)(struct actor_turn_hook *hook);
};
/* Run the hook at the end of this turn (of the next one if called from a hook). Queued already: nothing happens.
 * Thread: the actor's dispatcher. */
void actor_at_turn_end(struct sm_actor *self, struct actor_turn_hook *hook);
/* Forget it if it is queued: before its owner is freed. Thread: the same dispatcher. */
void actor_turn_hook_cancel(struct sm_actor *self, struct actor_turn_hook *hook);

/* A function to run once on a dispatcher, outside any actor. Embedded in its owner, which lives until run is called; run may free
 * or post it again. */
struct actor_task {
	struct actor_task *next; /* the queue's */
	void (*run)(struct actor_task *task);
};
/* Tasks from one thread run in the order of posting. Thread: any, until sm_system_stop returns. */
void actor_post(struct sm_system *system, uint32_t dispatcher, struct actor_task *task);

/* ---- addresses of what is elsewhere: room remoting ---- */

enum actor_ref_sort { ACTOR_REF_ACTOR, ACTOR_REF_WAITER /* a thread in sm_ask_wait or sm_stop_wait */, ACTOR_REF_FOREIGN };
enum actor_ref_sort actor_ref_sort(const struct sm_ref *ref);
/* It takes no message any more. */
bool actor_ref_closed(const struct sm_ref *ref);
struct sm_system *actor_ref_system(const struct sm_ref *ref); /* NULL: a waiter's */
/* Path and number of a living actor; false: it has ended, or out is too small. Thread: any. */
bool actor_ref_name(struct sm_ref *ref, char *out, size_t size, uint64_t *ret_number);
/* The actor with this path ("/root/log/writer"), and with this number (0: whichever is there now). ret_ref: counted. Thread: any.
 * Errors: SM_NOT_FOUND. */
SM_MUST_CHECK enum sm_err actor_find(struct sm_system *system, const char *path, uint64_t number, struct sm_ref **ret_ref);

/* An address whose messages go to these functions, on its dispatcher. To its senders and watchers it is as an actor's: bound, order, asks,
 * death notices. */
enum actor_foreign_sort {
	ACTOR_FOREIGN_MESSAGE,
	ACTOR_FOREIGN_ANSWER, /* to the ask msg->ask_id */
	ACTOR_FOREIGN_GONE,   /* the ask msg->ask_id will have no answer */
	ACTOR_FOREIGN_STOP,
	ACTOR_FOREIGN_STOP_NOW
};
struct actor_foreign_ops {
	/* false: takes no message now; actor_foreign_resume says when it does again. */
	bool (*ready)(struct sm_ref *ref, void *own);
	/* Takes msg; NULL: an order to stop. */
	void (*message)(struct sm_ref *ref, void *own, enum actor_foreign_sort sort, struct sm_msg *msg);
	/* Its first watcher has come, or its last one has gone. */
	void (*watched)(struct sm_ref *ref, void *own, bool some);
};
/* own_size: zeroed memory of its owner's in it. mailbox_max 0: the system's. Its owner ends it before it lets go of it. NULL: no memory. */
struct sm_ref *actor_foreign_new(struct sm_system *system, uint32_t dispatcher, const struct actor_foreign_ops *ops, size_t own_size,
				 uint32_t mailbox_max);
void *actor_foreign_own(struct sm_ref *ref);
/* Thread of these: its dispatcher. End it: watchers are told, what is queued becomes dead letters, sends are refused. */
void actor_foreign_end(struct sm_ref *ref, enum sm_err why);
bool actor_foreign_stop_wanted(struct sm_ref *ref); /* an order to stop is queued, or was taken */
void actor_foreign_resume(struct sm_ref *ref);
/* Nobody but its owner has it, nothing is queued. */
bool actor_foreign_unused(struct sm_ref *ref);

/* An answer that came from elsewhere; on failure it is still the caller's. Thread: any. Errors: SM_GONE. */
SM_MUST_CHECK enum sm_err actor_answer(struct sm_ref *asker, uint64_t ask_id, struct sm_msg *answer);
void actor_ask_is_gone(struct sm_ref *asker, uint64_t ask_id); /* no answer will come: SM_GONE to the asker */
uint64_t actor_ask_id_of_peer(uint64_t id);                    /* without what means something within a system */
/* Takes msg, which `to` will not read: who asked is told, and it is a dead letter. */
void actor_undeliverable(struct sm_system *system, struct sm_ref *to, struct sm_msg *msg, enum sm_err why);

#endif
