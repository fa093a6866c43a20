/* What an actor does about its own messages: another behaviour, the stash, the idle time-out. */
#include "actor/actor_internal.h"
#include <stdlib.h>

struct actor_extra *actor__extra(struct sm_actor *a)
{
	if (!a->extra)
		a->extra = calloc(1, sizeof *a->extra);
	return a->extra;
}

void sm_become(struct sm_actor *self, sm_receive_fn receive)
{
	self->receive = receive ? receive : self->props->receive;
}

/* ---- the stash ---- */

enum sm_err sm_stash(struct sm_actor *self)
{
	struct sm_msg *msg = self->current;
	assert(msg && !self->keep);
	if (msg->type == &sm_msg_idle)
		return SM_INVALID;
	struct actor_extra *extra = actor__extra(self);
	if (!extra)
		return SM_NO_MEMORY;
	/* With what was unstashed and not yet read: an actor that unstashes at each control message would have no bound. */
	if (extra->stash.count + extra->front.count >= self->props->stash_max)
		return SM_FULL;
	msg_list_append(&extra->stash, msg);
	self->keep = true;
	return SM_OK;
}

uint32_t sm_stash_size(const struct sm_actor *self)
{
	return self->extra ? self->extra->stash.count : 0;
}

/* What is unstashed is counted again as if it were in the mailbox; it stands before what was unstashed earlier and not yet read: it
 * has come before that. */
void sm_unstash_all(struct sm_actor *self)
{
	struct actor_extra *extra = self->extra;
	if (!extra || !extra->stash.count)
		return;
	struct msg_list *stash = &extra->stash, *front = &extra->front;
	uint32_t before = atomic_fetch_add_explicit(&self->ref->count, stash->count, memory_order_acq_rel);
	stash->last->next = front->first;
	if (!front->last)
		front->last = stash->last;
	front->first = stash->first;
	front->count += stash->count;
	*stash = (struct msg_list){0};
	if ((before & REF_COUNT) == 0) { /* in no run queue */
		self->parked = true;
		if (self->at == ACTOR_RUNNING)
			actor__resume_run(self);
	}
}

struct sm_msg *actor__next(struct sm_actor *a)
{
	struct sm_ref *ref = a->ref;
	struct msg_list *front = a->extra ? &a->extra->front : NULL;
	struct sm_msg *msg = NULL;
	if (!front || !front->first)
		return actor__pop(ref);
	if (ref->lanes)
		msg = actor__lanes_pop(ref, true);
	return msg ? msg : msg_list_take(front);
}

/* ---- the idle time-out ---- */

const struct sm_msg_type sm_msg_idle = {"idle", NULL, NULL};

void actor__touched(struct sm_actor *a)
{
	if (a->extra->idle_ns)
		a->extra->idle_since_ns = actor__now_ns(a->system);
}

/* Each message only notes its time; the timer finds out by itself that it has come too early. */
static void idle_fire(struct timer_node *node)
{
	struct actor_extra *extra = CONTAINER(node, struct actor_extra, idle);
	struct sm_actor *a = extra->idle_actor;
	uint64_t now = actor__now_ns(a->system), at = extra->idle_since_ns + extra->idle_ns;
	if (at <= now) {
		extra->idle_since_ns = extra->idle_fired_ns = now;
		at = now + extra->idle_ns;
		if (!extra->idle_queued) {
			extra->idle_msg = (struct sm_msg){.type = &sm_msg_idle};
			extra->idle_queued = !actor__send_internal(a->ref, &extra->idle_msg);
		}
	}
	enum sm_err err = actor__timer_set(a->dispatcher, node, at);
	assert(!err); /* this node's place in the heap is free */
}

enum sm_err sm_idle_timeout(struct sm_actor *self, uint64_t ms)
{
	struct actor_extra *extra = actor__extra(self);
	const uint64_t ms_max = UINT64_MAX / 4 / 1000000;
	if (self->at == ACTOR_STOPPING)
		return SM_CLOSED;
	if (!extra)
		return SM_NO_MEMORY;
	actor__timer_unset(self->dispatcher, &extra->idle);
	extra->idle_ns = (ms < ms_max ? ms : ms_max) * 1000000;
	if (!ms)
		return SM_OK;
	extra->idle_actor = self;
	extra->idle.fire = idle_fire;
	extra->idle_fired_ns = 0;
	extra->idle_since_ns = actor__now_ns(self->system);
	return actor__timer_set(self->dispatcher, &extra->idle, extra->idle_since_ns + extra->idle_ns);
}

/* It means nothing any more when another message has come since it was queued. */
bool actor__idle_admit(struct sm_actor *a, struct sm_msg *msg)
{
	struct actor_extra *extra = a->extra;
	extra->idle_queued = false;
	return extra->idle_ns != 0 && extra->idle_since_ns == extra->idle_fired_ns;
}

/* ---- the end of a life ---- */

void actor__behaviour_clear(struct sm_actor *a)
{
	a->receive = a->props->receive;
	if (!a->extra)
		return;
	actor__timer_unset(a->dispatcher, &a->extra->idle);
	a->extra->idle_ns = 0;
	if (a->at != ACTOR_STOPPING)
		sm_unstash_all(a);
}

void actor__extra_done(struct sm_actor *a)
{
	struct sm_msg *msg;
	if (!a->extra)
		return;
	actor__timer_unset(a->dispatcher, &a->extra->idle);
	while ((msg = msg_list_take(&a->extra->stash)))
		actor__refuse(a, msg, SM_GONE);
	free(a->extra);
	a->extra = NULL;
}
