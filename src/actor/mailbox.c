/* Addresses, mailboxes, sending. */
#include "actor/mailbox.h"
#include <stdlib.h>

void actor__ref_init(struct sm_ref *ref, uint32_t mailbox_max, struct sm_msg **ret_out)
{
	atomic_init(&ref->in, actor__stub_of(ref));
	atomic_init(&ref->refs, 1);
	/* Places for those that are not uncounted yet (actor__run), so that no message is refused for them. */
	uint32_t max = mailbox_max + mailbox_max / 64;
	ref->mailbox_max = mailbox_max < REF_COUNT / 2 ? max : REF_COUNT;
	*ret_out = actor__stub_of(ref);
}

struct sm_ref *sm_ref_get(struct sm_ref *ref)
{
	atomic_fetch_add_explicit(&ref->refs, 1, memory_order_relaxed);
	return ref;
}

void sm_unref(struct sm_ref *ref)
{
	if (ref && atomic_fetch_sub_explicit(&ref->refs, 1, memory_order_acq_rel) == 1) {
		actor__lanes_free(ref->lanes);
		free(ref);
	}
}

void sm_msg_free(struct sm_msg *msg)
{
	if (!msg)
		return;
	struct sm_ref *sender = msg->sender;
	msg->sender = NULL;
	if (msg->type->done)
		msg->type->done(msg);
	sm_unref(sender);
}

static inline enum sm_err reserve(struct sm_ref *ref, uint32_t max, bool *ret_first)
{
	uint32_t count = atomic_load_explicit(&ref->count, memory_order_relaxed);
	do {
		if (UNLIKELY(count & REF_CLOSED))
			return SM_GONE;
		if (UNLIKELY(count >= max))
			return SM_FULL;
	} while (!atomic_compare_exchange_weak_explicit(&ref->count, &count, count + 1, memory_order_acq_rel, memory_order_relaxed));
	*ret_first = count == 0;
	return SM_OK;
}

static inline void push(struct sm_ref *ref, struct sm_msg *msg, bool first)
{
	actor__link_in(ref, msg);
	if (first)
		actor__post(ref->dispatcher, &ref->run);
}

enum sm_err actor__reserve(struct sm_ref *ref, uint32_t max, bool *ret_first)
{
	return reserve(ref, max, ret_first);
}
void actor__push(struct sm_ref *ref, struct sm_msg *msg, bool first)
{
	if (LIKELY(!ref->lanes)) {
		push(ref, msg, first);
		return;
	}
	actor__lanes_link(ref, msg);
	if (first)
		actor__post(ref->dispatcher, &ref->run);
}

/* Who has lanes has a bound of 0 here, so the way of all others has no look at them. */
enum sm_err sm_send(struct sm_ref *to, struct sm_msg *msg)
{
	bool first;
	enum sm_err err = reserve(to, to->mailbox_max, &first);
	if (LIKELY(!err))
		push(to, msg, first);
	else if (to->lanes)
		err = actor__lanes_send(to, msg, SM_LANE_NORMAL, false);
	return err;
}

enum sm_err sm_send_lane(struct sm_ref *to, struct sm_msg *msg, enum sm_lane lane)
{
	if (!to->lanes)
		return lane == SM_LANE_NORMAL ? sm_send(to, msg) : SM_UNSUPPORTED;
	return actor__lanes_send(to, msg, lane, false);
}

enum sm_err sm_send_reply(struct sm_ref *to, struct sm_msg *msg)
{
	bool first;
	if (UNLIKELY(to->lanes != NULL))
		return actor__lanes_send(to, msg, SM_LANE_NORMAL, true);
	enum sm_err err = reserve(to, REF_COUNT, &first);
	if (LIKELY(!err))
		push(to, msg, first);
	return err;
}

enum sm_err sm_forward(struct sm_actor *self, struct sm_ref *to, struct sm_msg *msg)
{
	struct dispatcher *d = self->ref.dispatcher;
	assert(msg == d->current);
	if (msg->type == &sm_msg_idle)
		return SM_INVALID;
	bool kept = d->keep;
	d->keep = true; /* before it is sent: from then on it is the receiver's */
	enum sm_err err = sm_send(to, msg);
	if (err)
		d->keep = kept;
	return err;
}

enum sm_err actor__send_internal(struct sm_ref *to, struct sm_msg *msg)
{
	msg->ask_id |= ASK_INTERNAL;
	return sm_send_reply(to, msg);
}

enum sm_err actor_send_quiet(struct sm_ref *to, struct sm_msg *msg)
{
	return actor__send_internal(to, msg);
}
