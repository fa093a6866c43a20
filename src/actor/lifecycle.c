/* The life of an actor: its run on the dispatcher, the end. Failure and restart are in supervise.c.
 *
 *   NEW -> RUNNING -> STOPPING -> (gone)
 *             |  ^        ^
 *             v  |        |
 *      RESTARTING -> BACKOFF
 *
 * All of it happens on the actor's dispatcher. An actor ends when its children have ended and no sender is in the middle of a
 * send (its count is 0). */
#include "actor/mailbox.h"
#include "actor/tree.h"
#include <stdlib.h>

static inline bool is_idle(struct sm_ref *ref)
{
	return (atomic_load_explicit(&ref->count, memory_order_acquire) & REF_COUNT) == 0;
}

/* ---- the end ---- */

static void finish(struct sm_actor *a)
{
	struct sm_ref *ref = &a->ref;
	if (a->has_state && a->props->done)
		a->props->done(a, actor__state(a));
	if (actor__extra_of(a)) {
		actor__aside_done(a);
		actor__backoff_clear(a);
		actor__timers_clear(a);
		actor__asks_clear(a);
		actor__watches_clear(a);
	}
	if (a->props->arg_done)
		a->props->arg_done(a->arg);
	ref->ended = true;
	actor__tree_remove(a); /* whoever is told may use the name again */
	actor__watchers_tell(a);
	actor__extra_done(a);
	if (a->state_apart)
		free(*(void **)a->body);
	sm_unref(ref);
}

void actor__finish_if_alone(struct sm_actor *a)
{
	if (is_idle(&a->ref) && actor__children_ended(a))
		finish(a);
}

void actor__resume_run(struct sm_actor *a)
{
	if (a->parked) {
		a->parked = false;
		actor__post(a->ref.dispatcher, &a->ref.run);
	}
}

void actor__end(struct sm_actor *a, enum sm_err why)
{
	actor__move_to(a, ACTOR_STOPPING);
	a->ref.why = (uint16_t)why;
	actor__close(a);
	if (actor__extra_of(a)) {
		actor__registrations_clear(a);
		actor__backoff_clear(a);
		actor__behaviour_clear(a);
		actor__timers_clear(a);
		actor__asks_clear(a);
		actor__watches_clear(a);
	}
	if (a->parked)
		actor__resume_run(a);
	else
		actor__finish_if_alone(a); /* else a run is under way or queued: it will see to it */
}

/* ---- running ---- */

static void start(struct sm_actor *a)
{
	actor__move_to(a, ACTOR_RUNNING);
	enum sm_err err = a->props->init ? a->props->init(a, actor__state(a), a->arg) : SM_OK;
	a->has_state = !err;
	if (a->look_at_start)
		actor__look(a, 0);
	if (err)
		actor__end(a, err);
}

/* The room's own messages and answers. False: nothing for the handler. */
static bool admit(struct sm_actor *a, struct sm_msg **msg)
{
	if ((*msg)->ask_id & ASK_ANSWER)
		return actor__answer_admit(a, msg);
	(*msg)->ask_id &= ~ASK_INTERNAL;
	const struct sm_msg_type *type = (*msg)->type;
	bool wanted = type == &sm_msg_timer        ? actor__timer_admit(a, *msg)
		      : type == &sm_msg_terminated ? actor__terminated_admit(a, *msg)
		      : type == &sm_msg_idle       ? actor__idle_admit(a, *msg)
		      : type == &sm_msg_listing    ? actor__listing_admit(a, *msg)
		      : type == &sm_msg_ask_failed ? actor__ask_failed_admit(a, *msg)
						   : true; /* actor_send_quiet */
	if (!wanted)
		sm_msg_free(*msg);
	return wanted;
}

static inline void deliver(struct dispatcher *d, struct sm_actor *a, struct sm_msg *msg)
{
	if (UNLIKELY(actor__is_stop(&a->ref, msg))) {
		actor__end(a, SM_OK);
		return;
	}
	if (UNLIKELY(msg->ask_id & (ASK_ANSWER | ASK_INTERNAL)) && !admit(a, &msg))
		return;
	if (UNLIKELY(a->special & SPECIAL_IDLE) && msg->type != &sm_msg_idle)
		actor__touched(a);
	/* A message that is embedded in its owner has come back with this call, and the owner may be freed by it. */
	bool embedded = !msg->type->done && !msg->sender;
	d->keep = false;
	d->current = msg;
	enum sm_err err = a->receive(a, actor__state(a), msg);
	d->current = NULL;
	if (!d->keep && !embedded)
		sm_msg_free(msg);
	if (UNLIKELY(err))
		actor__fail(a, err);
}

static void deliver_observed(struct dispatcher *d, struct sm_actor *a, struct sm_msg *msg)
{
	const struct sm_msg_type *type = actor__is_stop(&a->ref, msg) ? NULL : msg->type;
	uint64_t started = actor__now_ns(d->system);
	deliver(d, a, msg);
	if (type)
		actor__observed(a, type, actor__now_ns(d->system) - started);
}

static void drain(struct sm_actor *a, uint32_t left)
{
	struct sm_ref *ref = &a->ref;
	struct sm_msg *msg;
	while (left && (msg = actor__next(a))) {
		actor__refuse(a, msg, SM_GONE);
		left = actor__uncount(ref, 1);
	}
	if (left)
		actor__post(a->ref.dispatcher, &ref->run);
	else
		actor__finish_if_alone(a);
}

static inline void count_processed(struct sm_actor *a, uint32_t n)
{
	uint64_t before = atomic_load_explicit(&a->processed, memory_order_relaxed);
	atomic_store_explicit(&a->processed, before + n, memory_order_relaxed);
}

/* Messages are uncounted several at a time, of a large mailbox: not more than its bound was raised by (actor__ref_init). */
static inline uint32_t uncount_batch(const struct sm_ref *ref)
{
	uint32_t batch = ref->mailbox_max / 66;
	return batch < 1 ? 1 : batch < ACTOR_UNCOUNTED_MAX ? batch : ACTOR_UNCOUNTED_MAX;
}

static inline uint32_t counted(const struct sm_ref *ref)
{
	return atomic_load_explicit(&ref->count, memory_order_relaxed) & REF_COUNT;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts. An actor is freed by finish(), once nothing is left. */
void actor__run(struct actor_task *task)
{
	struct sm_actor *a = CONTAINER(task, struct sm_actor, ref.run);
	struct sm_ref *ref = &a->ref;
	struct dispatcher *d = ref->dispatcher;
	bool observe = d->system->options.observe;
	uint32_t left = 1, most = d->system->options.messages_a_turn, budget, handled = 0, pending = 0, batch = uncount_batch(ref);
	budget = most = most < d->check_every ? most : d->check_every;
	if (actor__at(a) == ACTOR_NEW) {
		start(a);
		if (actor__at(a) == ACTOR_RUNNING && (atomic_load_explicit(&ref->wanted, memory_order_relaxed) & WANTED_STOP_NOW))
			actor__end(a, SM_OK);  /* its look waits for the start */
		left = actor__uncount(ref, 1); /* the count that it was spawned with */
	}
	while (left && actor__at(a) == ACTOR_RUNNING) {
		struct sm_msg *msg = budget-- ? UNLIKELY(a->special & (SPECIAL_FRONT | SPECIAL_LANES)) ? actor__next(a)
												       : actor__pop(ref, &a->out)
					      : NULL;
		if (!msg) {
			actor__post(d, task);
			break;
		}
		if (UNLIKELY(observe))
			deliver_observed(d, a, msg);
		else
			deliver(d, a, msg);
		handled++;
		if (++pending == batch || (left = counted(ref) - pending) == 0) {
			left = actor__uncount(ref, pending);
			pending = 0;
		}
	}
	if (pending)
		left = actor__uncount(ref, pending);
	count_processed(a, handled);
	d->handled += most - budget;
	if (actor__at(a) == ACTOR_STOPPING)
		drain(a, left);
	else if (actor__at(a) != ACTOR_RUNNING)
		a->parked = left > 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ---- stopping ---- */

/* The order stands behind the messages already queued. An actor that waits for its restart reads none: for it the look is. It is posted
 * before the order is in: until then the actor, and so its dispatcher, stay. */
static void stop(struct sm_ref *ref, uint8_t wanted, struct link *order)
{
	bool first;
	if (!ref->dispatcher || (atomic_fetch_or(&ref->wanted, wanted) & wanted) || actor__reserve(ref, REF_COUNT, &first))
		return;
	if (actor_ref_sort(ref) == ACTOR_REF_ACTOR)
		actor__look(CONTAINER(ref, struct sm_actor, ref), 0);
	actor__push(ref, (struct sm_msg *)order, first);
}

void sm_stop(struct sm_ref *ref)
{
	stop(ref, WANTED_STOP, &ref->stop);
}

void sm_stop_now(struct sm_ref *ref)
{
	stop(ref, WANTED_STOP_NOW, &ref->stop_now);
}

bool actor__stop_wanted(struct sm_ref *ref)
{
	return atomic_load(&ref->wanted) & (WANTED_STOP | WANTED_STOP_NOW);
}

void actor__look(struct sm_actor *a, uint8_t wanted)
{
	if (atomic_fetch_or(&a->ref.wanted, wanted | WANTED_LOOK) & WANTED_LOOK)
		return;
	sm_ref_get(&a->ref);
	actor__post(a->ref.dispatcher, &a->look);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts */
void actor__look_run(struct actor_task *task)
{
	struct sm_actor *a = CONTAINER(task, struct sm_actor, look);
	uint8_t wanted = atomic_fetch_and(&a->ref.wanted, (uint8_t) ~(WANTED_LOOK | WANTED_RELATIVES));
	enum actor_state at = actor__at(a);
	if (a->ref.ended) {
		/* it was faster */
	} else if (at == ACTOR_NEW) { /* its start is queued too, perhaps behind us */
		atomic_fetch_or(&a->ref.wanted, wanted & WANTED_RELATIVES);
		a->look_at_start = true;
	} else {
		struct relatives r = {0};
		if (wanted & WANTED_RELATIVES)
			r = actor__children_seen(a);
		if ((wanted & WANTED_STOP_NOW) && at != ACTOR_STOPPING)
			actor__end(a, SM_OK);
		else if ((wanted & WANTED_STOP) && (at == ACTOR_RESTARTING || at == ACTOR_BACKOFF))
			actor__end(a, SM_OK);
		else if (wanted & WANTED_RELATIVES)
			actor__relatives(a, &r);
	}
	sm_unref(&a->ref);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

void actor__close(struct sm_actor *a)
{
	atomic_fetch_or(&a->ref.count, REF_CLOSED);
	if (a->ref.lanes)
		actor__lanes_closed(a->ref.lanes);
}

void actor__force_end(struct sm_actor *a)
{
	struct sm_actor *child;
	a->wants_children_ended = a->escalates = false; /* nobody will be there to be told */
	while ((child = a->youngest_child))
		actor__force_end(child); /* NOLINT(clang-analyzer-unix.Malloc): its end takes it off the list */
	actor__current = a->ref.dispatcher;
	bool new = actor__at(a) == ACTOR_NEW;
	actor__move_to(a, ACTOR_STOPPING);
	a->ref.why = SM_TIMEOUT;
	a->children_posted = false;
	actor__registrations_clear(a);
	actor__backoff_clear(a);
	actor__behaviour_clear(a);
	if (new)
		actor__uncount(&a->ref, 1);
	while (!is_idle(&a->ref)) {
		struct sm_msg *msg = actor__next(a); /* NULL: a thread of somebody's is in the middle of a send */
		if (!msg)
			continue;
		actor__refuse(a, msg, SM_GONE);
		actor__uncount(&a->ref, 1);
	}
	finish(a);
	actor__current = NULL;
}

/* ---- what a handler asks about itself ---- */

void sm_msg_keep(struct sm_actor *self)
{
	self->ref.dispatcher->keep = true;
}
struct sm_ref *sm_self(struct sm_actor *self)
{
	return &self->ref;
}
struct sm_system *sm_actor_system(struct sm_actor *self)
{
	return actor__system(self);
}
