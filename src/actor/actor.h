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
/* The clock of the actor's system: monotonic, the simulation's where it is one. */
uint64_t actor_now_ns(const struct sm_actor *self);
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

#endif
