/* What the files of this room share. Who touches what: `struct sm_ref` is shared by all threads through its atomics; everything in
 * `struct sm_actor` belongs to the thread of its dispatcher, except the tree (parent, children, names), which is under the
 * system's tree lock. An actor and its address are one piece of memory, which goes with the last holder of the address. */
#ifndef ACTOR_ACTOR_INTERNAL_H
#define ACTOR_ACTOR_INTERNAL_H

#include "actor/actor.h"
#include "actor/msg_list.h"
#include "actor/actor_limits.h"
#include "base/clock.h"
#include "base/map.h"
#include <assert.h>
#include <pthread.h>
#include <smack/actor_sim.h>
#include <stdatomic.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Bits of ask_id that are set only while a message is under way: an answer, and a message of the room's own. */
#define ASK_ANSWER (1ull << 63)
#define ASK_INTERNAL (1ull << 62)

/* ---- the shared address: mailbox, run-queue entry, state ---- */

/* Bits of sm_ref.count above the number of messages that are queued or being handled. */
#define REF_CLOSED 0x80000000u /* sends are refused: it is ending or has ended */
#define REF_COUNT 0x3fffffffu

/* As much of a message as a queue looks at. */
struct link {
	struct sm_msg *next;
};

/* Bits of sm_ref.wanted. */
#define WANTED_STOP 1u
#define WANTED_STOP_NOW 2u
#define WANTED_RELATIVES 4u /* they have done something that concerns it (tree.h) */
#define WANTED_LOOK 8u      /* its look is queued, and holds the address */

/* The count is the scheduler too: who moves it from 0 to 1 puts the actor on its dispatcher's run queue; the dispatcher takes an
 * actor off when it brings the count back to 0. An actor ends only when its count is 0, so a sender that has counted its message
 * may touch ref and dispatcher until it has linked it in. The queue is D. Vyukov's intrusive MPSC list; the place where it is read
 * (`out`) is the reader's own and stands with it: senders write none of its cache lines. */
struct sm_ref {
	struct link stop, stop_now; /* orders to stop, in the queue: known by their addresses */
	struct lanes *lanes;        /* NULL: the plain queue below; else messages are there, and mailbox_max is 0 */
	_Atomic uint32_t refs;
	uint16_t why; /* an enum sm_err; valid when it has ended, its dispatcher's until then */
	bool ended;   /* its dispatcher's */
	_Atomic uint8_t wanted;
	_Atomic(struct sm_msg *) in; /* the last message pushed */
	_Atomic uint32_t count;
	uint32_t mailbox_max;
	struct dispatcher *dispatcher; /* NULL: a thread waits here (wait.c) */
	struct link stub;
	struct actor_task run;
};

enum actor_state {
	ACTOR_NEW,
	ACTOR_RUNNING,
	ACTOR_RESTARTING, /* waits for its children to end */
	ACTOR_BACKOFF,    /* waits for the time of its restart */
	ACTOR_STOPPING    /* waits for its children to end and for senders to let go */
};

/* ---- timers: one heap a dispatcher ---- */

struct timer_node {
	uint64_t at_ns;
	uint32_t slot; /* place in the heap plus 1; 0: not in it */
	void (*fire)(struct timer_node *node);
};
struct timer_heap {
	struct timer_node **nodes;
	uint32_t count, cap;
};

struct actor_kind;
struct actor_restarts;
struct actor_timer;
struct actor_ask;
struct actor_watch;
struct registration;

/* Messages put aside, and the idle time-out. */
struct actor_aside {
	struct msg_list stash;
	struct msg_list front; /* unstashed: read before the mailbox; counted like what is in it */
	struct msg_list again; /* read before that: what is to be read again, one after the other; counted too */
	/* the idle time-out */
	struct timer_node idle;
	struct sm_actor *idle_actor;
	uint64_t idle_ns, idle_since_ns, idle_fired_ns;
	struct sm_msg idle_msg;
	bool idle_queued;
};

/* What few actors have; made by its dispatcher when first needed, there until the end. */
struct actor_extra {
	struct actor_aside *aside;   /* NULL: it has never stashed, nor waited for its idleness */
	struct actor_timer **timers; /* sorted by id */
	uint32_t timer_count, timer_cap;
	struct actor_ask *asks;
	struct actor_watch *watching; /* its own watches of others */
	/* under the registry's lock, which the dispatcher's own thread need not take to read the list */
	struct registration *registrations;
	_Atomic(struct actor_restarts *) restarts; /* NULL: it has not failed yet; others look at it (sm_actors_each) */
	struct map *child_names;                   /* under the tree lock; NULL: none of its children has had a name */
	char *path;                                /* built when asked for */
};

/* Bits of sm_actor.special: what keeps its messages from the quick way. */
#define SPECIAL_FRONT 1u /* something is unstashed */
#define SPECIAL_IDLE 2u  /* the times of its messages are noted */
#define SPECIAL_LANES 4u

/* Few bytes each, since there are millions: what is rare is in extra, what all of a kind have in common in props. The message that is
 * being handled is the dispatcher's. */
struct sm_actor {
	struct sm_ref ref;
	struct actor_task look;       /* sees to what is in ref.wanted */
	struct actor_watch *watchers; /* those of others */
	void *arg;
	/* the tree, under the system's lock */
	struct sm_actor *parent; /* NULL: a child of the root */
	struct sm_actor *older, *younger;
	struct sm_actor *youngest_child;
	uint32_t number_low; /* of its spawn, for the path of one without a name */
	uint16_t number_high;
	/* what relatives have done, for its look to see */
	uint16_t escalated;    /* a child's failure */
	uint16_t group_failed; /* an all-for-one sibling's */
	bool wants_children_ended : 1, children_posted : 1, group_stops : 1;
	bool leaves : 1;  /* it has no children and is on its way out of the tree: nobody posts to it any more */
	bool removed : 1; /* it is in the tree no more */
	bool : 0;
	bool escalates; /* its end is its parent's failure; its dispatcher's until it leaves the tree */
	uint32_t group_delay_ms;
	/* its dispatcher's, at each message */
	_Atomic uint8_t at; /* an enum actor_state; others look at it (sm_actors_each) */
	uint8_t special;
	bool parked; /* has messages but is in no run queue, because it waits for its restart */
	bool has_state;
	bool look_at_start; /* its look came before its start */
	bool state_apart;   /* where the state would be, its address is */
	bool has_name;
	bool has_had_children;
	_Atomic(struct actor_extra *) extra;
	struct sm_msg *out; /* the next message to take */
	sm_receive_fn receive;
	const struct sm_props *props;
	_Atomic uint64_t processed;
	/* the state, then the name; the time in its handlers, if that is measured */
	_Alignas(16) char body[];
};
static_assert(offsetof(struct sm_actor, ref) == 0, "freed with its address");
static_assert(offsetof(struct sm_actor, at) >= offsetof(struct sm_actor, ref.run) + 64, "senders and the reader share no cache line");
static_assert(sizeof(struct sm_actor) <= 208, "with the heap's 8 bytes and a state of 40, 256");

static inline void *actor__state(struct sm_actor *a)
{
	return LIKELY(!a->state_apart) ? a->body : *(void **)a->body;
}
static inline struct actor_extra *actor__extra_of(const struct sm_actor *a)
{
	return atomic_load_explicit(&a->extra, memory_order_relaxed);
}
static inline void actor__move_to(struct sm_actor *a, enum actor_state state)
{
	atomic_store_explicit(&a->at, (uint8_t)state, memory_order_relaxed);
}
static inline enum actor_state actor__at(const struct sm_actor *a)
{
	return (enum actor_state)atomic_load_explicit(&a->at, memory_order_relaxed);
}
static inline bool actor__is_stop(const struct sm_ref *ref, const struct sm_msg *msg)
{
	return (uintptr_t)msg - (uintptr_t)&ref->stop < 2 * sizeof ref->stop;
}
/* Whether a dispatcher waits awake before it sleeps (dispatcher.c): after a number of short sleeps in a row, twice as many each time that
 * it was in vain. */
struct awake {
	uint32_t short_sleeps, needed;
};
static inline bool actor__awake_pays(const struct awake *w)
{
	return w->short_sleeps >= w->needed;
}
static inline void actor__awake_slept(struct awake *w, bool is_short)
{
	if (!is_short)
		w->short_sleeps = 0;
	else if (w->short_sleeps < w->needed)
		w->short_sleeps++;
}
static inline void actor__awake_waited(struct awake *w, bool in_vain)
{
	if (!in_vain) {
		w->needed = ACTOR_SHORT_SLEEPS_MIN;
		return;
	}
	w->short_sleeps = 0;
	w->needed = w->needed < ACTOR_SHORT_SLEEPS_MAX ? w->needed * 2 : ACTOR_SHORT_SLEEPS_MAX;
}

struct dispatcher {
	struct sm_system *system;
	uint32_t index;
	/* the run queue */
	struct actor_task *ready_first, *ready_last;
	uint32_t handled, check_every; /* messages since the clock was asked, and when to ask it again */
	struct sm_msg *current;        /* the message that is being handled */
	bool keep;                     /* it belongs to the handler now */
	struct actor_turn_hook hooks;  /* head of a ring */
	struct timer_heap timers;
	struct actor_ask **asks; /* by slot */
	uint32_t ask_count, ask_cap;
	struct actor_ask *ask_free;
	uv_loop_t loop;
	uv_poll_t wake;
	int wake_fd; /* an eventfd; 0: none */
	uv_prepare_t before_wait;
	uv_timer_t alarm;
	uint64_t alarm_ns; /* when the alarm is set for; 0: not */
	/* waiting awake (dispatcher.c) */
	uint64_t looked_ns; /* when the loop has looked for events last, while it did so */
	struct awake awake;
	pthread_t thread;
	bool loop_open, thread_started;
	bool pinned_taken;        /* a pinned actor lives here; under the tree lock */
	uint64_t slow_logged_ns;  /* the last line about a slow handler */
	uint32_t slow_suppressed; /* and how many there were since */
	/* other threads' side */
	_Alignas(64) _Atomic(struct actor_task *) inbound; /* newest first */
	_Atomic uint32_t sleeping;
	_Atomic uint32_t posters;
	atomic_bool quit;
};

struct pool;
struct registry;
struct sim;
struct sm_system {
	struct sm_system_options options;
	struct dispatcher *dispatchers; /* those for all, then the pinned ones */
	uint32_t dispatcher_count;
	uint32_t pinned_count; /* opened so far; under the tree lock */
	struct sim *sim;       /* NULL: threads and the real clock */
	bool several_cores;    /* for its threads */
	struct registry *registry;
	_Atomic uint64_t dead_letters;
	_Atomic uint32_t round_robin;
	struct pool *pool;
	/* the tree; also tells of ended actors and ended threads */
	pthread_mutex_t tree_lock;
	pthread_cond_t tree_changed;
	struct sm_actor *youngest_child; /* of the root */
	struct map child_names;
	struct actor_kind *kinds; /* of its actors, the newest first */
	uint64_t actor_number;
	uint32_t threads_ended;
	bool stopping;
};

/* The system's clock. */
uint64_t actor__sim_now_ns(const struct sm_system *system);
static inline uint64_t actor__now_ns(const struct sm_system *system)
{
	return LIKELY(!system->sim) ? uv_hrtime() : actor__sim_now_ns(system);
}

static inline struct sm_system *actor__system(const struct sm_actor *a)
{
	return a->ref.dispatcher->system;
}

/* mailbox.c */
/* Count one message more; ret_first: the caller must schedule the actor when the message is in. */
enum sm_err actor__reserve(struct sm_ref *ref, uint32_t max, bool *ret_first);
void actor__push(struct sm_ref *ref, struct sm_msg *msg, bool first);                    /* after actor__reserve; thread: any */
void actor__ref_init(struct sm_ref *ref, uint32_t mailbox_max, struct sm_msg **ret_out); /* zeroed; one holds it */
/* A message of the room's own, past the bound. */
enum sm_err actor__send_internal(struct sm_ref *to, struct sm_msg *msg);

/* lanes.c */
struct lanes *actor__lanes_new(enum sm_overflow overflow, uint32_t mailbox_max, bool several);
void actor__lanes_free(struct lanes *lanes);
enum sm_err actor__lanes_send(struct sm_ref *to, struct sm_msg *msg, enum sm_lane lane, bool past_bound);
void actor__lanes_link(struct sm_ref *ref, struct sm_msg *msg); /* counted already */
struct sm_msg *actor__lanes_pop(struct sm_ref *ref, bool control_only);
void actor__lanes_closed(struct lanes *lanes); /* who waits for room is told that there will be none */

/* dispatcher.c */
extern _Thread_local struct dispatcher *actor__current __attribute__((tls_model("initial-exec")));
enum sm_err actor__dispatcher_open(struct dispatcher *d, struct sm_system *system, uint32_t index, struct sm_error *reterr);
enum sm_err actor__dispatcher_start(struct dispatcher *d, struct sm_error *reterr);
void actor__dispatcher_quit(struct dispatcher *d);  /* thread: another one */
bool actor__dispatcher_drain(struct dispatcher *d); /* its thread has ended: run what is posted, but no actors; false: nothing was */
void actor__dispatcher_close(struct dispatcher *d);
/* Between the two, its system is not freed. Thread: any; while an actor of it has a message counted that is not handled yet. */
struct dispatcher *actor__dispatcher_hold(struct dispatcher *d);
void actor__dispatcher_release(struct dispatcher *d);
/* For the simulation: whether there is something to do, and a step of it. */
bool actor__dispatcher_ready(struct dispatcher *d, uint64_t now_ns);
void actor__dispatcher_step(struct dispatcher *d, uint64_t now_ns, bool turn_ends);
void actor__post(struct dispatcher *d, struct actor_task *task);

/* extra.c */
struct actor_extra *actor__extra(struct sm_actor *a); /* made if need be; NULL: no memory. Thread: its dispatcher's */
void actor__extra_done(struct sm_actor *a);           /* it is in no tree any more */

/* lifecycle.c */
void actor__run(struct actor_task *task);
void actor__end(struct sm_actor *a, enum sm_err why);
void actor__resume_run(struct sm_actor *a); /* it reads messages again: to the run queue, if it has some */
void actor__finish_if_alone(struct sm_actor *a);
void actor__close(struct sm_actor *a);     /* it takes no message any more */
void actor__force_end(struct sm_actor *a); /* threads have ended, all are closed */
bool actor__stop_wanted(struct sm_ref *ref);
/* It shall see to what is wanted of it (WANTED_...). Thread: any, while it and its dispatcher are kept. */
void actor__look(struct sm_actor *a, uint8_t wanted);
void actor__look_run(struct actor_task *task);

/* supervise.c */
void actor__fail(struct sm_actor *a, enum sm_err why);
uint32_t actor__restarts(const struct sm_actor *a); /* so far; thread: its own, or under the tree lock */
void actor__backoff_clear(struct sm_actor *a);      /* it will not be restarted */
void actor__restarts_done(struct sm_actor *a);      /* at the end */

/* behave.c */
struct sm_msg *actor__next(struct sm_actor *a); /* the next message to handle; NULL as actor__pop */
void actor__touched(struct sm_actor *a);        /* a message other than sm_msg_idle is about to be handled */
bool actor__idle_admit(struct sm_actor *a, struct sm_msg *msg);
void actor__behaviour_clear(struct sm_actor *a); /* before a restart, and at the end */
void actor__aside_done(struct sm_actor *a);      /* at the end: what is stashed becomes dead letters */

/* deadletter.c */
void actor__dead_letter(struct sm_system *system, struct sm_ref *to, struct sm_msg *msg, enum sm_err why);

/* registry.c */
struct registry *actor__registry_new(void);
void actor__registry_free(struct registry *registry);
void actor__registrations_clear(struct sm_actor *a);
bool actor__listing_admit(struct sm_actor *a, struct sm_msg *msg);
/* Those subscribed to the type: a picture that does not change, counted; NULL: none. */
struct members;
struct members *actor__subscribers(struct sm_system *system, const struct sm_msg_type *type);

/* observe.c */
void actor__observed(struct sm_actor *a, const struct sm_msg_type *type, uint64_t spent_ns);

/* system.c */
/* A system with places for its dispatchers, none of which is open. */
enum sm_err actor__system_make(const struct sm_system_options *options, struct sm_system **ret_system, struct sm_error *reterr);
void actor__system_free(struct sm_system *system); /* its threads have ended, or were never started */

/* sim.c */
enum sm_err actor__sim_pool_run(struct sm_system *system, struct sm_work *work);
/* One step, or the clock moves to the next timer, at most to deadline_ns. False: the deadline has come; it comes too after 100,000
 * steps in which the clock stood still. steps: those, the caller's count from 0. */
bool actor__sim_wait(struct sm_system *system, uint64_t deadline_ns, uint64_t *steps);
void actor__sim_free(struct sim *sim);

/* props.c, under the tree lock */
/* The props that these share with others of their kind, but for name and arg; NULL: no memory. */
const struct sm_props *actor__props_take(struct sm_system *system, const struct sm_props *given, uint32_t stash_max);
void actor__props_give(struct sm_system *system, const struct sm_props *props);

/* pinned.c */
enum sm_err actor__pinned_take(struct sm_system *system, struct dispatcher **ret_dispatcher);
void actor__pinned_give(struct dispatcher *d); /* under the tree lock */

/* timer.c */
enum sm_err actor__timer_set(struct dispatcher *d, struct timer_node *node, uint64_t at_ns);
void actor__timer_unset(struct dispatcher *d, struct timer_node *node);
void actor__timers_fire(struct dispatcher *d, uint64_t now_ns);
void actor__timers_clear(struct sm_actor *a);
bool actor__timer_admit(struct sm_actor *a, struct sm_msg *msg);

/* ask.c */
bool actor__answer_admit(struct sm_actor *a, struct sm_msg **msg);
bool actor__ask_failed_admit(struct sm_actor *a, struct sm_msg *msg);
void actor__asks_clear(struct sm_actor *a);
void actor__asks_done(struct dispatcher *d);
void actor__tell_asker_gone(const struct sm_msg *msg);
bool actor__is_ask_gone(const struct sm_msg *msg);
/* A message that its receiver will not handle any more: who asks is told, and it is a dead letter. */
void actor__refuse(struct sm_actor *a, struct sm_msg *msg, enum sm_err why);

/* wait.c: an address at which a thread waits for one message */
struct waiter;
enum sm_err actor__waiter_new(struct sm_system *system, struct waiter **ret_waiter);
struct sm_ref *actor__waiter_ref(struct waiter *waiter); /* borrowed */
/* Wait for at most so long, and let nothing in any more. NULL: none came. */
struct sm_msg *actor__waiter_wait(struct waiter *waiter, uint32_t timeout_ms);
void actor__waiter_free(struct waiter *waiter);

/* watch.c */
bool actor__terminated_admit(struct sm_actor *a, struct sm_msg *msg);
void actor__watches_clear(struct sm_actor *a);
void actor__watchers_tell(struct sm_actor *a);
void actor__watch_list_tell(struct actor_watch **list);
enum sm_err actor__watch_from(struct sm_ref *watcher, struct sm_ref *ref); /* by a waiter's address, without a list of its own */

/* foreign.c, on the dispatcher of the address */
struct actor_watch **actor__watchers_of(struct sm_ref *ref); /* NULL: it has ended */
void actor__watchers_changed(struct sm_ref *ref, bool some); /* its first watcher has come, its last one has gone */

/* pool.c */
enum sm_err actor__pool_new(uint32_t threads, uint32_t queue_max, struct pool **ret_pool, struct sm_error *reterr);
/* False: it was not idle at the deadline; its threads are left alone and it must not be freed. */
bool actor__pool_stop(struct pool *pool, uint64_t deadline_ns);
void actor__work_run(struct sm_work *work);
void actor__pool_free(struct pool *pool);

#endif
