/* Asks: a request whose answer, or whose failure, comes back to the asker.
 *
 * The id of an ask names a slot of the dispatcher's table and that slot's generation, so an answer finds its ask without a search
 * and a late one finds that it is none any more. */
#include "actor/actor_internal.h"
#include <stdlib.h>

#define SLOT_BITS 24
#define GENERATION_MAX ((1ull << (62 - SLOT_BITS)) - 1)

struct actor_ask {
	struct timer_node timeout;
	struct sm_actor *actor; /* NULL: free */
	uint64_t generation;
	uint32_t slot;
	struct actor_ask *next, *prev; /* of the actor's, or free */
};

/* incarnation: a failure that was queued before a restart means nothing to the actor after it. */
struct ask_failed {
	struct sm_ask_failed_msg failed;
	uint32_t incarnation;
};
static void ask_failed_done(struct sm_msg *msg)
{
	free(msg);
}
const struct sm_msg_type sm_msg_ask_failed = {"ask_failed", ask_failed_done};

/* Travels as an answer: its receiver has ended with the request unread. */
static void ask_gone_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type ask_gone = {"ask_gone", ask_gone_done};

static inline uint64_t ask_id(const struct actor_ask *ask)
{
	return ask->generation << SLOT_BITS | ask->slot;
}

/* ---- the table ---- */

static void ask_release(struct actor_ask *ask)
{
	struct sm_actor *a = ask->actor;
	assert(a);
	struct dispatcher *d = a->ref.dispatcher;
	actor__timer_unset(d, &ask->timeout);
	if (ask->prev)
		ask->prev->next = ask->next;
	else
		actor__extra_of(a)->asks = ask->next;
	if (ask->next)
		ask->next->prev = ask->prev;
	ask->actor = NULL;
	ask->next = d->ask_free;
	d->ask_free = ask;
}

static enum sm_err ask_new_slot(struct dispatcher *d)
{
	if (d->ask_count == ACTOR_ASKS_MAX)
		return SM_FULL;
	if (d->ask_count == d->ask_cap) {
		uint32_t cap = d->ask_cap ? d->ask_cap * 2 : 64;
		struct actor_ask **asks = realloc(d->asks, cap * sizeof(struct actor_ask *));
		if (!asks)
			return SM_NO_MEMORY;
		d->asks = asks;
		d->ask_cap = cap;
	}
	struct actor_ask *ask = calloc(1, sizeof *ask);
	if (!ask)
		return SM_NO_MEMORY;
	ask->slot = d->ask_count;
	d->asks[d->ask_count++] = ask;
	d->ask_free = ask;
	return SM_OK;
}

static struct actor_ask *ask_find(struct sm_actor *a, uint64_t id)
{
	struct dispatcher *d = a->ref.dispatcher;
	uint64_t slot = id & ((1u << SLOT_BITS) - 1);
	struct actor_ask *ask = slot < d->ask_count ? d->asks[slot] : NULL;
	return ask && ask->actor == a && ask_id(ask) == id ? ask : NULL;
}

void actor__asks_clear(struct sm_actor *a)
{
	struct actor_extra *extra = actor__extra_of(a);
	while (extra && extra->asks)
		ask_release(extra->asks);
}

void actor__asks_done(struct dispatcher *d)
{
	for (uint32_t i = 0; i < d->ask_count; i++)
		free(d->asks[i]);
	free(d->asks);
}

/* ---- asking ---- */

static bool tell_failed(struct sm_actor *a, uint64_t id, enum sm_err why)
{
	struct ask_failed *msg = calloc(1, sizeof *msg);
	if (!msg)
		return false;
	msg->failed.msg.type = &sm_msg_ask_failed;
	msg->failed.ask_id = id;
	msg->failed.why = why;
	msg->incarnation = actor__restarts(a);
	if (actor__send_internal(&a->ref, &msg->failed.msg))
		free(msg);
	return true;
}

static void ask_timed_out(struct timer_node *node)
{
	struct actor_ask *ask = CONTAINER(node, struct actor_ask, timeout);
	if (tell_failed(ask->actor, ask_id(ask), SM_TIMEOUT))
		ask_release(ask);
	else
		(void)!actor__timer_set(ask->actor->ref.dispatcher, node,
					actor__now_ns(actor__system(ask->actor)) + 1000000); /* its place in the heap is free */
}

static enum sm_err send_asking(struct sm_ref *asker, uint64_t id, struct sm_ref *to, struct sm_msg *msg)
{
	sm_unref(msg->sender);
	msg->sender = sm_ref_get(asker);
	msg->ask_id = id;
	enum sm_err err = sm_send(to, msg);
	if (err) {
		msg->sender = NULL;
		msg->ask_id = 0;
		sm_unref(asker);
	}
	return err;
}

enum sm_err sm_ask(struct sm_actor *self, struct sm_ref *to, struct sm_msg *msg, uint32_t timeout_ms, uint64_t *ret_ask_id)
{
	struct dispatcher *d = self->ref.dispatcher;
	assert(d == actor__current);
	if (actor__at(self) == ACTOR_STOPPING)
		return SM_CLOSED;
	enum sm_err err;
	struct actor_extra *extra = actor__extra(self);
	if (!extra)
		return SM_NO_MEMORY;
	if (!d->ask_free && (err = ask_new_slot(d)))
		return err;
	struct actor_ask *ask = d->ask_free;
	ask->timeout.fire = ask_timed_out;
	if ((err = actor__timer_set(d, &ask->timeout, actor__now_ns(actor__system(self)) + timeout_ms * 1000000ull)))
		return err;
	d->ask_free = ask->next;
	ask->generation = ask->generation % GENERATION_MAX + 1;
	ask->actor = self;
	ask->prev = NULL;
	ask->next = extra->asks;
	if (ask->next)
		ask->next->prev = ask;
	extra->asks = ask;
	uint64_t id = ask_id(ask);
	if ((err = send_asking(&self->ref, id, to, msg))) {
		ask_release(ask);
		return err;
	}
	*ret_ask_id = id;
	return SM_OK;
}

/* ---- answering ---- */

/* False: who asked is not there any more; the answer is the caller's. */
static bool answer_send(const struct sm_msg *request, struct sm_msg *answer)
{
	answer->ask_id = request->ask_id | ASK_ANSWER;
	if (!sm_send_reply(request->sender, answer))
		return true;
	answer->ask_id = 0;
	return false;
}

void sm_reply(struct sm_actor *self, const struct sm_msg *request, struct sm_msg *answer)
{
	if (!request->sender || !request->ask_id)
		sm_msg_free(answer);
	else if (!answer_send(request, answer))
		actor__dead_letter(actor__system(self), request->sender, answer, SM_GONE);
}

bool actor__is_ask_gone(const struct sm_msg *msg)
{
	return msg->type == &ask_gone;
}

void actor__tell_asker_gone(const struct sm_msg *msg)
{
	if (!msg->sender || !msg->ask_id || (msg->ask_id & (ASK_ANSWER | ASK_INTERNAL)))
		return;
	struct sm_msg *gone = calloc(1, sizeof *gone);
	if (!gone)
		return; /* the asker's time runs out */
	gone->type = &ask_gone;
	if (!answer_send(msg, gone))
		sm_msg_free(gone);
}

void actor__refuse(struct sm_actor *a, struct sm_msg *msg, enum sm_err why)
{
	if (actor__is_stop(&a->ref, msg))
		return;
	actor__tell_asker_gone(msg);
	if (msg->ask_id & (ASK_ANSWER | ASK_INTERNAL) || msg->type == &ask_gone)
		sm_msg_free(msg);
	else
		actor__dead_letter(actor__system(a), &a->ref, msg, why);
}

bool actor__answer_admit(struct sm_actor *a, struct sm_msg **msg)
{
	struct sm_msg *answer = *msg;
	uint64_t id = answer->ask_id &= ~ASK_ANSWER;
	struct actor_ask *ask = ask_find(a, id);
	if (ask && answer->type == &ask_gone) {
		if (tell_failed(a, id, SM_GONE))
			ask_release(ask);
		ask = NULL;
	}
	if (!ask) {
		sm_msg_free(answer);
		return false;
	}
	ask_release(ask);
	return true;
}

bool actor__ask_failed_admit(struct sm_actor *a, struct sm_msg *msg)
{
	return ((struct ask_failed *)msg)->incarnation == actor__restarts(a);
}

/* ---- asking from a thread ---- */

enum sm_err sm_ask_wait(struct sm_system *system, struct sm_ref *to, struct sm_msg *msg, uint32_t timeout_ms, struct sm_msg **ret_answer)
{
	struct waiter *waiter;
	enum sm_err err = actor__waiter_new(system, &waiter);
	if (err)
		return err;
	if (!(err = send_asking(actor__waiter_ref(waiter), 1, to, msg))) {
		struct sm_msg *answer = actor__waiter_wait(waiter, timeout_ms);
		if (!answer) {
			err = SM_TIMEOUT;
		} else if (answer->type == &ask_gone) {
			sm_msg_free(answer);
			err = SM_CANCELLED;
		} else {
			answer->ask_id &= ~ASK_ANSWER;
			*ret_answer = answer;
		}
	}
	actor__waiter_free(waiter);
	return err;
}
