/* The queue of an address: what its reader does at each message, inline. Within the room. */
#ifndef ACTOR_MAILBOX_H
#define ACTOR_MAILBOX_H

#include "actor/actor_internal.h"

/* The public struct is plain C for its users; its link is shared between threads while it is queued. */
static inline void actor__link_store(struct sm_msg *msg, struct sm_msg *next)
{
	__atomic_store_n(&msg->next, next, __ATOMIC_RELEASE);
}
static inline struct sm_msg *actor__link_load(const struct sm_msg *msg)
{
	return __atomic_load_n(&msg->next, __ATOMIC_ACQUIRE);
}

static inline struct sm_msg *actor__stub_of(struct sm_ref *ref)
{
	return (struct sm_msg *)&ref->stub;
}

static inline void actor__link_in(struct sm_ref *ref, struct sm_msg *msg)
{
	actor__link_store(msg, NULL);
	struct sm_msg *before = atomic_exchange_explicit(&ref->in, msg, memory_order_acq_rel);
	actor__link_store(before, msg);
}

/* Of a plain mailbox. NULL: none, or its sender has not linked it in yet. out: where the reader is. */
static inline struct sm_msg *actor__pop(struct sm_ref *ref, struct sm_msg **out)
{
	struct sm_msg *msg = *out;
	struct sm_msg *next = actor__link_load(msg);
	if (msg == actor__stub_of(ref)) {
		if (!next)
			return NULL;
		*out = msg = next;
		next = actor__link_load(msg);
	}
	if (!next) {
		/* The last one: the stub goes behind it, so that it can be taken. Not the last pushed: its successor is on the way. */
		if (msg != atomic_load_explicit(&ref->in, memory_order_acquire))
			return NULL;
		actor__link_in(ref, actor__stub_of(ref));
		next = actor__link_load(msg);
		if (!next)
			return NULL;
	}
	*out = next;
	return msg;
}

/* So many messages have been handled. Returns how many are left. */
static inline uint32_t actor__uncount(struct sm_ref *ref, uint32_t handled)
{
	return (atomic_fetch_sub_explicit(&ref->count, handled, memory_order_acq_rel) - handled) & REF_COUNT;
}

#endif
