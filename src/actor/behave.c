/* What an actor does about its own messages: another behaviour, the stash, the idle time-out. */
#include "actor/mailbox.h"
#include <stdlib.h>

static struct actor_aside *aside_of(const struct sm_actor *a)
{
	struct actor_extra *extra = actor__extra_of(a);
	return extra ? extra->aside : NULL;
}

static struct actor_aside *aside_make(struct sm_actor *a)
{
	struct actor_extra *extra = actor__extra(a);
	if (extra && !extra->aside)
		extra->aside = calloc(1, sizeof *extra->aside);
	return extra ? extra->aside : NULL;
}

void sm_become(struct sm_actor *self, sm_receive_fn receive)
{
	self->receive = receive ? receive : self->props->receive;
}

/* ---- the stash ---- */

enum sm_err sm_stash(struct sm_actor *self)
{
	struct dispatcher *d = self->ref.dispatcher;
	struct sm_msg *msg = d->current;
	assert(msg && !d->keep);
	if (msg->type == &sm_msg_idle)
		return SM_INVALID;
	struct actor_aside *aside = aside_make(self);
	if (!aside)
		return SM_NO_MEMORY;
	/* With what was unstashed and not yet read: an actor that unstashes at each control message would have no bound. */
	if (aside->stash.count + aside->front.count + aside->again.count >= self->props->stash_max)
		return SM_FULL;
	msg_list_append(&aside->stash, msg);
	d->keep = true;
	return SM_OK;
}

uint32_t sm_stash_size(const struct sm_actor *self)
{
	struct actor_aside *aside = aside_of(self);
	return aside ? aside->stash.count : 0;
}

/* What is unstashed is counted again as if it were in the mailbox; it stands before what was unstashed earlier and not yet read: it
 * has come before that. */
void sm_unstash_all(struct sm_actor *self)
{
	struct actor_aside *aside = aside_of(self);
	if (!aside || !aside->stash.count)
		return;
	struct msg_list *stash = &aside->stash, *front = &aside->front;
	uint32_t before = atomic_fetch_add_explicit(&self->ref.count, stash->count, memory_order_acq_rel);
	stash->last->next = front->first;
	if (!front->last)
		front->last = stash->last;
	front->first = stash->first;
	front->count += stash->count;
	*stash = (struct msg_list){0};
	self->special |= SPECIAL_FRONT;
	if ((before & REF_COUNT) == 0) { /* in no run queue */
		self->parked = true;
		if (actor__at(self) == ACTOR_RUNNING)
			actor__resume_run(self);
	}
}

void actor_unread(struct sm_actor *self, struct sm_msg *msg)
{
	struct actor_aside *aside = aside_make(self);
	/* While a message is handled its actor is on its way through the run queue, and will look for more. */
	assert(self->ref.dispatcher->current);
	if (!aside) {
		actor__refuse(self, msg, SM_NO_MEMORY);
		return;
	}
	atomic_fetch_add_explicit(&self->ref.count, 1, memory_order_acq_rel);
	msg_list_prepend(&aside->again, msg);
	self->special |= SPECIAL_FRONT;
}

void actor_unstash_first(struct sm_actor *self)
{
	struct actor_aside *aside = aside_of(self);
	/* What is to be read again comes before it, and takes the next along when it is done. */
	struct sm_msg *msg = aside && !aside->again.first ? msg_list_take(&aside->stash) : NULL;
	if (msg)
		actor_unread(self, msg);
}

void actor_refuse(struct sm_actor *self, struct sm_msg *msg, enum sm_err why)
{
	struct dispatcher *d = self->ref.dispatcher;
	if (msg == d->current) {
		assert(!d->keep);
		d->keep = true;
	}
	actor__refuse(self, msg, why);
}

struct sm_msg *actor__next(struct sm_actor *a)
{
	struct sm_ref *ref = &a->ref;
	bool front = a->special & SPECIAL_FRONT;
	struct sm_msg *msg = NULL;
	if (ref->lanes && (msg = actor__lanes_pop(ref, front)))
		return msg;
	if (!front)
		return ref->lanes ? NULL : actor__pop(ref, &a->out);
	struct actor_aside *aside = aside_of(a);
	if (!(msg = msg_list_take(&aside->again)))
		msg = msg_list_take(&aside->front);
	if (!aside->again.first && !aside->front.first)
		a->special &= (uint8_t)~SPECIAL_FRONT;
	return msg;
}

/* ---- the idle time-out ---- */

const struct sm_msg_type sm_msg_idle = {"idle", NULL, NULL};

void actor__touched(struct sm_actor *a)
{
	aside_of(a)->idle_since_ns = actor__now_ns(actor__system(a));
}

/* Each message only notes its time; the timer finds out by itself that it has come too early. */
static void idle_fire(struct timer_node *node)
{
	struct actor_aside *aside = CONTAINER(node, struct actor_aside, idle);
	struct sm_actor *a = aside->idle_actor;
	uint64_t now = actor__now_ns(actor__system(a)), at = aside->idle_since_ns + aside->idle_ns;
	if (at <= now) {
		aside->idle_since_ns = aside->idle_fired_ns = now;
		at = now + aside->idle_ns;
		if (!aside->idle_queued) {
			aside->idle_msg = (struct sm_msg){.type = &sm_msg_idle};
			aside->idle_queued = !actor__send_internal(&a->ref, &aside->idle_msg);
		}
	}
	enum sm_err err = actor__timer_set(a->ref.dispatcher, node, at);
	assert(!err); /* this node's place in the heap is free */
}

enum sm_err sm_idle_timeout(struct sm_actor *self, uint64_t ms)
{
	struct actor_aside *aside = aside_make(self);
	const uint64_t ms_max = UINT64_MAX / 4 / 1000000;
	if (actor__at(self) == ACTOR_STOPPING)
		return SM_CLOSED;
	if (!aside)
		return SM_NO_MEMORY;
	actor__timer_unset(self->ref.dispatcher, &aside->idle);
	aside->idle_ns = (ms < ms_max ? ms : ms_max) * 1000000;
	self->special &= (uint8_t)~SPECIAL_IDLE;
	if (!ms)
		return SM_OK;
	self->special |= SPECIAL_IDLE;
	aside->idle_actor = self;
	aside->idle.fire = idle_fire;
	aside->idle_fired_ns = 0;
	aside->idle_since_ns = actor__now_ns(actor__system(self));
	return actor__timer_set(self->ref.dispatcher, &aside->idle, aside->idle_since_ns + aside->idle_ns);
}

/* It means nothing any more when another message has come since it was queued. */
bool actor__idle_admit(struct sm_actor *a, struct sm_msg *msg)
{
	struct actor_aside *aside = aside_of(a);
	aside->idle_queued = false;
	return aside->idle_ns != 0 && aside->idle_since_ns == aside->idle_fired_ns;
}

/* ---- the end of a life ---- */

void actor__behaviour_clear(struct sm_actor *a)
{
	a->receive = a->props->receive;
	struct actor_aside *aside = aside_of(a);
	if (!aside)
		return;
	actor__timer_unset(a->ref.dispatcher, &aside->idle);
	aside->idle_ns = 0;
	a->special &= (uint8_t)~SPECIAL_IDLE;
	if (actor__at(a) != ACTOR_STOPPING)
		sm_unstash_all(a);
}

void actor__aside_done(struct sm_actor *a)
{
	struct actor_aside *aside = aside_of(a);
	struct sm_msg *msg;
	if (!aside)
		return;
	actor__timer_unset(a->ref.dispatcher, &aside->idle);
	while ((msg = msg_list_take(&aside->stash)))
		actor__refuse(a, msg, SM_GONE);
	free(aside);
	actor__extra_of(a)->aside = NULL;
}
