/* The life of an actor: its run on the dispatcher, the end. Failure and restart are in supervise.c.
 *
 *   NEW -> RUNNING -> STOPPING -> (gone)
 *             |  ^        ^
 *             v  |        |
 *      RESTARTING -> BACKOFF
 *
 * All of it happens on the actor's dispatcher. An actor ends when its children have ended and no sender is in the middle of a
 * send (its count is 0). */
#include "actor/actor_internal.h"
#include "actor/tree.h"
#include <stdlib.h>

static void stop_msg_done(struct sm_msg *msg) {} /* part of its ref */
static const struct sm_msg_type stop_type = {"stop", stop_msg_done};

static inline uint32_t uncount(struct sm_ref *ref)
{
	return (atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel) - 1) & REF_COUNT;
}

static inline bool is_idle(struct sm_ref *ref)
{
	return (atomic_load_explicit(&ref->count, memory_order_acquire) & REF_COUNT) == 0;
}

/* ---- the end ---- */

static void finish(struct sm_actor *a)
{
	struct sm_ref *ref = a->ref;
	if (a->has_state && a->props->done)
		a->props->done(a, a->state);
	actor__extra_done(a);
	actor__restarts_done(a);
	actor__timers_clear(a);
	actor__asks_clear(a);
	actor__watches_clear(a);
	ref->why = a->failed_with;
	ref->actor = NULL;
	actor__tree_remove(a); /* whoever is told may use the name again */
	actor__watchers_tell(a);
	free(a->path);
	free(a);
	sm_unref(ref);
}

void actor__finish_if_alone(struct sm_actor *a)
{
	if (is_idle(a->ref) && actor__children_ended(a))
		finish(a);
}

void actor__resume_run(struct sm_actor *a)
{
	if (a->parked) {
		a->parked = false;
		actor__post(a->dispatcher, &a->ref->run);
	}
}

void actor__end(struct sm_actor *a, enum sm_err why)
{
	a->at = ACTOR_STOPPING;
	a->failed_with = why;
	actor__close(a);
	actor__registrations_clear(a);
	actor__backoff_clear(a);
	actor__behaviour_clear(a);
	actor__timers_clear(a);
	actor__asks_clear(a);
	actor__watches_clear(a);
	if (a->parked)
		actor__resume_run(a);
	else
		actor__finish_if_alone(a); /* else a run is under way or queued: it will see to it */
}

/* ---- running ---- */

static void start(struct sm_actor *a)
{
	a->at = ACTOR_RUNNING;
	enum sm_err err = a->props->init ? a->props->init(a, a->state, a->arg) : SM_OK;
	a->has_state = !err;
	if (a->seen_to_at_start)
		actor__post(a->dispatcher, &a->children_task);
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
	if (type == &stop_type) {
		actor__end(a, SM_OK);
		return false;
	}
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

static inline void deliver(struct sm_actor *a, struct sm_msg *msg)
{
	if (UNLIKELY(msg->ask_id & (ASK_ANSWER | ASK_INTERNAL)) && !admit(a, &msg))
		return;
	if (UNLIKELY(a->extra != NULL) && msg->type != &sm_msg_idle)
		actor__touched(a);
	/* A message that is embedded in its owner has come back with this call, and the owner may be freed by it. */
	bool embedded = !msg->type->done && !msg->sender;
	a->keep = false;
	a->current = msg;
	enum sm_err err = a->receive(a, a->state, msg);
	a->current = NULL;
	if (!a->keep && !embedded)
		sm_msg_free(msg);
	if (UNLIKELY(err))
		actor__fail(a, err);
}

static void deliver_observed(struct sm_actor *a, struct sm_msg *msg)
{
	const struct sm_msg_type *type = msg->type;
	uint64_t started = actor__now_ns(a->system);
	deliver(a, msg);
	actor__observed(a, type, actor__now_ns(a->system) - started);
}

static void drain(struct sm_actor *a, uint32_t left)
{
	struct sm_ref *ref = a->ref;
	struct sm_msg *msg;
	while (left && (msg = actor__next(a))) {
		actor__refuse(a, msg, SM_GONE);
		left = uncount(ref);
	}
	if (left)
		actor__post(a->dispatcher, &ref->run);
	else
		actor__finish_if_alone(a);
}

static inline void count_processed(struct sm_actor *a, uint32_t n)
{
	uint64_t before = atomic_load_explicit(&a->processed, memory_order_relaxed);
	atomic_store_explicit(&a->processed, before + n, memory_order_relaxed);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts. An actor is freed by finish(), once nothing is left. */
void actor__run(struct actor_task *task)
{
	struct sm_ref *ref = CONTAINER(task, struct sm_ref, run);
	struct sm_actor *a = ref->actor;
	struct dispatcher *d = a->dispatcher;
	bool observe = a->system->options.observe;
	uint32_t left = 1, most = a->system->options.messages_a_turn, budget, handled = 0;
	budget = most = most < d->check_every ? most : d->check_every;
	if (a->at == ACTOR_NEW) {
		start(a);
		if (a->at == ACTOR_RUNNING && atomic_load_explicit(&ref->stop_now.wanted, memory_order_relaxed))
			actor__end(a, SM_OK); /* its task waits for the start */
		left = uncount(ref);          /* the count that it was spawned with */
	}
	while (left && a->at == ACTOR_RUNNING) {
		struct sm_msg *msg = budget-- ? UNLIKELY(a->extra != NULL) ? actor__next(a) : actor__pop(ref) : NULL;
		if (!msg) {
			actor__post(d, task);
			break;
		}
		if (UNLIKELY(observe))
			deliver_observed(a, msg);
		else
			deliver(a, msg);
		handled++;
		left = uncount(ref);
	}
	count_processed(a, handled);
	d->handled += most - budget;
	if (a->at == ACTOR_STOPPING)
		drain(a, left);
	else if (a->at != ACTOR_RUNNING)
		a->parked = left > 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ---- stopping ---- */

/* The message stands behind those already queued. An actor that waits for its restart reads no messages: for it the task is. */
static void stop_task(struct actor_task *task)
{
	struct sm_ref *ref = CONTAINER(task, struct sm_ref, stop.task);
	struct sm_actor *a = ref->actor;
	if (a && (a->at == ACTOR_RESTARTING || a->at == ACTOR_BACKOFF))
		actor__end(a, SM_OK);
	sm_unref(ref);
}

static void stop_now_task(struct actor_task *task)
{
	struct sm_ref *ref = CONTAINER(task, struct sm_ref, stop_now.task);
	struct sm_actor *a = ref->actor;
	if (a && a->at == ACTOR_NEW) { /* its start is queued too, perhaps behind us */
		actor__post(a->dispatcher, task);
		return;
	}
	if (a && a->at != ACTOR_STOPPING)
		actor__end(a, SM_OK);
	sm_unref(ref);
}

/* Posted before the message is in: until then the actor, and so its dispatcher, stay. */
static void stop(struct sm_ref *ref, struct stop *stop, void (*run)(struct actor_task *task))
{
	bool first;
	if (atomic_exchange(&stop->wanted, true) || actor__reserve(ref, REF_COUNT, &first))
		return;
	sm_ref_get(ref);
	stop->task.run = run;
	actor__post(ref->dispatcher, &stop->task);
	stop->msg.type = &stop_type;
	stop->msg.ask_id = ASK_INTERNAL;
	actor__push(ref, &stop->msg, first);
}

void sm_stop(struct sm_ref *ref)
{
	stop(ref, &ref->stop, stop_task);
}

void sm_stop_now(struct sm_ref *ref)
{
	stop(ref, &ref->stop_now, stop_now_task);
}

bool actor__stop_wanted(struct sm_ref *ref)
{
	return atomic_load(&ref->stop.wanted) || atomic_load(&ref->stop_now.wanted);
}

void actor__close(struct sm_actor *a)
{
	atomic_fetch_or(&a->ref->count, REF_CLOSED);
	if (a->ref->lanes)
		actor__lanes_closed(a->ref->lanes);
}

void actor__force_end(struct sm_actor *a)
{
	struct sm_actor *child;
	a->wants_children_ended = a->escalates = false; /* nobody will be there to be told */
	while ((child = a->youngest_child))
		actor__force_end(child); /* NOLINT(clang-analyzer-unix.Malloc): its end takes it off the list */
	actor__current = a->dispatcher;
	bool new = a->at == ACTOR_NEW;
	a->at = ACTOR_STOPPING;
	a->failed_with = SM_TIMEOUT;
	a->children_posted = false;
	actor__registrations_clear(a);
	actor__backoff_clear(a);
	actor__behaviour_clear(a);
	if (new)
		uncount(a->ref);
	while (!is_idle(a->ref)) {
		struct sm_msg *msg = actor__next(a); /* NULL: a thread of somebody's is in the middle of a send */
		if (!msg)
			continue;
		actor__refuse(a, msg, SM_GONE);
		uncount(a->ref);
	}
	finish(a);
	actor__current = NULL;
}

/* ---- what a handler asks about itself ---- */

void sm_msg_keep(struct sm_actor *self)
{
	self->keep = true;
}
struct sm_ref *sm_self(struct sm_actor *self)
{
	return self->ref;
}
struct sm_system *sm_actor_system(struct sm_actor *self)
{
	return self->system;
}
