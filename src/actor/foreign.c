/* Addresses that stand for something that is no actor of this system. Their mailbox and their way into the dispatcher's run queue are
 * those of every address, so a send neither knows nor pays for the difference; what is taken out goes to functions of another room. */
#include "actor/mailbox.h"
#include <stdlib.h>

#define BUDGET 64 /* messages before others of the dispatcher have their turn */

struct foreign {
	struct sm_ref ref; /* first */
	const struct actor_foreign_ops *ops;
	struct actor_watch *watchers;
	struct sm_msg *out; /* the next message to take */
	bool parked;        /* has messages, but its owner takes none */
	_Alignas(16) char own[];
};

static void foreign_run(struct actor_task *task);

static inline struct foreign *foreign_of(struct sm_ref *ref)
{
	assert(actor_ref_sort(ref) == ACTOR_REF_FOREIGN);
	return (struct foreign *)ref;
}

enum actor_ref_sort actor_ref_sort(const struct sm_ref *ref)
{
	return ref->run.run == foreign_run ? ACTOR_REF_FOREIGN : ref->run.run == actor__run ? ACTOR_REF_ACTOR : ACTOR_REF_WAITER;
}

bool actor_ref_closed(const struct sm_ref *ref)
{
	return atomic_load_explicit(&ref->count, memory_order_acquire) & REF_CLOSED;
}

struct sm_system *actor_ref_system(const struct sm_ref *ref)
{
	return ref->dispatcher ? ref->dispatcher->system : NULL;
}

struct sm_ref *actor_foreign_new(struct sm_system *system, uint32_t dispatcher, const struct actor_foreign_ops *ops, size_t own_size,
				 uint32_t mailbox_max)
{
	assert(dispatcher < system->dispatcher_count);
	struct foreign *f = aligned_alloc(_Alignof(struct foreign), (sizeof *f + own_size + 63) / 64 * 64);
	if (!f)
		return NULL;
	memset(f, 0, sizeof *f + own_size);
	actor__ref_init(&f->ref, mailbox_max ? mailbox_max : system->options.mailbox_max, &f->out);
	f->ref.dispatcher = &system->dispatchers[dispatcher];
	f->ref.run.run = foreign_run;
	f->ops = ops;
	return &f->ref;
}

void *actor_foreign_own(struct sm_ref *ref)
{
	return foreign_of(ref)->own;
}

bool actor_foreign_unused(struct sm_ref *ref)
{
	struct foreign *f = foreign_of(ref);
	return atomic_load(&ref->refs) == 1 && !f->watchers && (atomic_load(&ref->count) & REF_COUNT) == 0;
}

/* ---- taking messages out ---- */

static void hand_out(struct foreign *f, struct sm_msg *msg)
{
	if (actor__is_stop(&f->ref, msg)) { /* no whole message */
		if (!f->ref.ended)
			f->ops->message(&f->ref, f->own, msg == (struct sm_msg *)&f->ref.stop ? ACTOR_FOREIGN_STOP : ACTOR_FOREIGN_STOP_NOW,
					NULL);
		return;
	}
	uint64_t id = msg->ask_id;
	enum actor_foreign_sort sort = ACTOR_FOREIGN_MESSAGE;
	msg->ask_id &= ~(ASK_ANSWER | ASK_INTERNAL);
	if (id & ASK_ANSWER)
		sort = actor__is_ask_gone(msg) ? ACTOR_FOREIGN_GONE : ACTOR_FOREIGN_ANSWER;
	if (!f->ref.ended)
		f->ops->message(&f->ref, f->own, sort, msg);
	else if (sort == ACTOR_FOREIGN_MESSAGE && !(id & ASK_INTERNAL))
		actor_undeliverable(f->ref.dispatcher->system, &f->ref, msg, SM_GONE);
	else
		sm_msg_free(msg);
}

static void foreign_run(struct actor_task *task)
{
	struct foreign *f = (struct foreign *)CONTAINER(task, struct sm_ref, run);
	struct sm_ref *ref = sm_ref_get(&f->ref); /* the last message may be what holds its owner's interest */
	uint32_t left = 1;
	for (int budget = BUDGET; left; budget--) {
		if (!f->ref.ended && !f->ops->ready(ref, f->own) && !f->ref.ended) {
			f->parked = true;
			break;
		}
		struct sm_msg *msg = budget > 0 ? actor__pop(ref, &f->out) : NULL;
		if (!msg) {
			actor__post(ref->dispatcher, task);
			break;
		}
		hand_out(f, msg);
		left = actor__uncount(ref, 1);
	}
	sm_unref(ref);
}

void actor_foreign_resume(struct sm_ref *ref)
{
	struct foreign *f = foreign_of(ref);
	assert(ref->dispatcher == actor__current);
	if (!f->parked)
		return;
	f->parked = false;
	actor__post(ref->dispatcher, &ref->run);
}

void actor_foreign_end(struct sm_ref *ref, enum sm_err why)
{
	struct foreign *f = foreign_of(ref);
	if (f->ref.ended)
		return;
	f->ref.ended = true;
	ref->why = (uint16_t)why;
	atomic_fetch_or(&ref->count, REF_CLOSED);
	actor__watch_list_tell(&f->watchers);
	actor_foreign_resume(ref); /* what is queued becomes dead letters */
}

bool actor_foreign_stop_wanted(struct sm_ref *ref)
{
	return actor__stop_wanted(ref);
}

/* ---- watches: on the dispatcher of the address ---- */

struct actor_watch **actor__watchers_of(struct sm_ref *ref)
{
	if (ref->ended || !ref->dispatcher) /* a thread's address: nobody will tell of its end */
		return NULL;
	return actor_ref_sort(ref) == ACTOR_REF_FOREIGN ? &foreign_of(ref)->watchers : &CONTAINER(ref, struct sm_actor, ref)->watchers;
}

void actor__watchers_changed(struct sm_ref *ref, bool some)
{
	if (actor_ref_sort(ref) != ACTOR_REF_FOREIGN)
		return;
	struct foreign *f = foreign_of(ref);
	if (!f->ref.ended)
		f->ops->watched(ref, f->own, some);
}

/* ---- what comes from elsewhere ---- */

enum sm_err actor_answer(struct sm_ref *asker, uint64_t ask_id, struct sm_msg *answer)
{
	answer->ask_id = (ask_id & ~(ASK_ANSWER | ASK_INTERNAL)) | ASK_ANSWER;
	enum sm_err err = sm_send_reply(asker, answer);
	if (err)
		answer->ask_id = 0;
	return err;
}

void actor_ask_is_gone(struct sm_ref *asker, uint64_t ask_id)
{
	struct sm_msg request = {.sender = asker, .ask_id = ask_id & ~(ASK_ANSWER | ASK_INTERNAL)};
	actor__tell_asker_gone(&request);
}

void actor_undeliverable(struct sm_system *system, struct sm_ref *to, struct sm_msg *msg, enum sm_err why)
{
	actor__tell_asker_gone(msg);
	actor__dead_letter(system, to, msg, why);
}

uint64_t actor_ask_id_of_peer(uint64_t id)
{
	return id & ~(ASK_ANSWER | ASK_INTERNAL);
}
