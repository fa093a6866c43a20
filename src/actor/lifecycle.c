/* The life of an actor: its run on the dispatcher, failure and restart, the end.
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
#include "base/logging.h"
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
	if (a->has_state && a->props.done)
		a->props.done(a, a->state);
	actor__timers_clear(a);
	actor__asks_clear(a);
	actor__watches_clear(a);
	ref->why = a->failed_with;
	actor__watchers_tell(a);
	ref->actor = NULL;
	actor__tree_remove(a);
	free(a->path);
	free(a);
	sm_unref(ref);
}

static void finish_if_alone(struct sm_actor *a)
{
	if (is_idle(a->ref) && actor__children_ended(a))
		finish(a);
}

static void end(struct sm_actor *a, enum sm_err why)
{
	a->at = ACTOR_STOPPING;
	a->failed_with = why;
	atomic_fetch_or(&a->ref->count, REF_CLOSED);
	actor__timer_unset(a->dispatcher, &a->backoff);
	actor__timers_clear(a);
	actor__asks_clear(a);
	actor__watches_clear(a);
	if (a->parked) {
		a->parked = false;
		actor__post(a->dispatcher, &a->ref->run);
	} else {
		finish_if_alone(a); /* else a run is under way or queued: it will see to it */
	}
}

/* ---- failure and restart ---- */

static void restart(struct timer_node *node)
{
	struct sm_actor *a = CONTAINER(node, struct sm_actor, backoff);
	a->incarnation++;
	memset(a->state, 0, a->props.state_size);
	a->at = ACTOR_RUNNING;
	enum sm_err err = a->props.init ? a->props.init(a, a->state, a->props.arg) : SM_OK;
	if (err) {
		actor__fail(a, err);
		return;
	}
	a->has_state = true;
	if (a->parked) {
		a->parked = false;
		actor__post(a->dispatcher, &a->ref->run);
	}
}

static uint64_t backoff_ms(const struct sm_actor *a)
{
	const struct sm_supervision *s = &a->props.supervision;
	uint64_t ms = s->backoff_min_ms, max = s->backoff_max_ms > s->backoff_min_ms ? s->backoff_max_ms : s->backoff_min_ms;
	for (uint32_t i = 1; i < a->restarts && ms < max; i++)
		ms *= 2;
	return ms < max ? ms : max;
}

static void wait_for_restart(struct sm_actor *a)
{
	if (a->has_state && a->props.done)
		a->props.done(a, a->state);
	a->has_state = false;
	actor__timers_clear(a); /* also those that done has started */
	actor__asks_clear(a);
	actor__watches_clear(a);
	a->at = ACTOR_BACKOFF;
	a->backoff.fire = restart;
	enum sm_err err = actor__timer_set(a->dispatcher, &a->backoff, uv_hrtime() + backoff_ms(a) * 1000000);
	if (err)
		end(a, err);
}

/* Counts this failure; false: there have been too many in the window. */
static bool may_restart(struct sm_actor *a)
{
	const struct sm_supervision *s = &a->props.supervision;
	uint64_t now = uv_hrtime();
	if (a->restarts == 0 || (s->window_ms && now - a->window_start_ns > (uint64_t)s->window_ms * 1000000)) {
		a->restarts = 0;
		a->window_start_ns = now;
	}
	if (a->restarts >= s->restarts_max || atomic_load(&a->ref->stop_wanted))
		return false;
	a->restarts++;
	return true;
}

void actor__fail(struct sm_actor *a, enum sm_err why)
{
	if (!may_restart(a)) {
		if (a->props.supervision.restarts_max)
			LOG_ERROR("actor", "%s failed for good: %s", sm_actor_path(a), sm_err_text(why));
		end(a, why);
		return;
	}
	LOG_WARN("actor", "%s failed: %s; restart %u in %llu ms", sm_actor_path(a), sm_err_text(why), a->restarts,
		 (unsigned long long)backoff_ms(a));
	a->at = ACTOR_RESTARTING;
	actor__timers_clear(a);
	actor__asks_clear(a);
	actor__watches_clear(a);
	if (actor__children_ended(a))
		wait_for_restart(a);
}

void actor__children_task(struct actor_task *task)
{
	struct sm_actor *a = CONTAINER(task, struct sm_actor, children_task);
	actor__children_seen(a);
	if (a->at == ACTOR_STOPPING)
		finish_if_alone(a);
	else if (a->at == ACTOR_RESTARTING && actor__children_ended(a))
		wait_for_restart(a);
}

/* ---- running ---- */

static void start(struct sm_actor *a)
{
	a->at = ACTOR_RUNNING;
	enum sm_err err = a->props.init ? a->props.init(a, a->state, a->props.arg) : SM_OK;
	a->has_state = !err;
	if (err)
		end(a, err);
}

/* The room's own messages and answers. False: nothing for the handler. */
static bool admit(struct sm_actor *a, struct sm_msg **msg)
{
	if ((*msg)->ask_id & ASK_ANSWER)
		return actor__answer_admit(a, msg);
	(*msg)->ask_id &= ~ASK_INTERNAL;
	const struct sm_msg_type *type = (*msg)->type;
	if (type == &stop_type) {
		end(a, SM_OK);
		return false;
	}
	bool wanted = type == &sm_msg_timer        ? actor__timer_admit(a, *msg)
		      : type == &sm_msg_terminated ? actor__terminated_admit(a, *msg)
						   : actor__ask_failed_admit(a, *msg);
	if (!wanted)
		sm_msg_free(*msg);
	return wanted;
}

static inline void deliver(struct sm_actor *a, struct sm_msg *msg)
{
	if (UNLIKELY(msg->ask_id & (ASK_ANSWER | ASK_INTERNAL)) && !admit(a, &msg))
		return;
	/* A message that is embedded in its owner has come back with this call, and the owner may be freed by it. */
	bool embedded = !msg->type->done && !msg->sender;
	a->keep = false;
	enum sm_err err = a->receive(a, a->state, msg);
	if (!a->keep && !embedded)
		sm_msg_free(msg);
	if (UNLIKELY(err))
		actor__fail(a, err);
}

static void drain(struct sm_actor *a, uint32_t left)
{
	struct sm_ref *ref = a->ref;
	struct sm_msg *msg;
	while (left && (msg = actor__pop(ref))) {
		actor__refuse(msg);
		left = uncount(ref);
	}
	if (left)
		actor__post(a->dispatcher, &ref->run);
	else
		finish_if_alone(a);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts. An actor is freed by finish(), once nothing is left. */
void actor__run(struct actor_task *task)
{
	struct sm_ref *ref = CONTAINER(task, struct sm_ref, run);
	struct sm_actor *a = ref->actor;
	struct dispatcher *d = a->dispatcher;
	uint32_t left = 1, most = a->system->options.messages_a_turn, budget;
	budget = most = most < d->check_every ? most : d->check_every;
	if (a->at == ACTOR_NEW) {
		start(a);
		left = uncount(ref); /* the count that it was spawned with */
	}
	while (left && a->at == ACTOR_RUNNING) {
		struct sm_msg *msg = budget-- ? actor__pop(ref) : NULL;
		if (!msg) {
			actor__post(d, task);
			break;
		}
		deliver(a, msg);
		left = uncount(ref);
	}
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
	struct sm_ref *ref = CONTAINER(task, struct sm_ref, stop_task);
	struct sm_actor *a = ref->actor;
	if (a && (a->at == ACTOR_RESTARTING || a->at == ACTOR_BACKOFF))
		end(a, SM_OK);
	sm_unref(ref);
}

void sm_stop(struct sm_ref *ref)
{
	bool first;
	if (atomic_exchange(&ref->stop_wanted, true) || actor__reserve(ref, REF_COUNT, &first))
		return;
	/* Posted before the message is in: until then the actor and so its dispatcher stay. */
	ref->stop_task.run = stop_task;
	actor__post(ref->dispatcher, &sm_ref_get(ref)->stop_task);
	ref->stop_msg.type = &stop_type;
	ref->stop_msg.ask_id = ASK_INTERNAL;
	actor__push(ref, &ref->stop_msg, first);
}

void actor__force_end(struct sm_actor *a)
{
	struct sm_actor *child;
	a->wants_children_ended = false; /* nobody will be there to be told */
	while ((child = a->youngest_child))
		actor__force_end(child); /* NOLINT(clang-analyzer-unix.Malloc): its end takes it off the list */
	actor__current = a->dispatcher;
	a->at = ACTOR_STOPPING;
	a->failed_with = SM_TIMEOUT;
	a->children_posted = false;
	atomic_fetch_or(&a->ref->count, REF_CLOSED);
	actor__timer_unset(a->dispatcher, &a->backoff);
	for (struct sm_msg *msg; (msg = actor__pop(a->ref));)
		actor__refuse(msg);
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
