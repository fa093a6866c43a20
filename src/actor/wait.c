/* A thread that waits for one message: an address without a dispatcher. What is sent there signals the thread; in a simulated system
 * the thread runs the steps itself. */
#include "actor/mailbox.h"
#include <stdlib.h>

/* Others may hold the address when the waiter is gone. */
struct waiter_ref {
	struct sm_ref ref;
	struct waiter *waiter;
};
static_assert(offsetof(struct waiter_ref, ref) == 0, "freed with its address");

struct waiter {
	struct sm_system *system;
	struct sm_ref *ref;
	struct sm_msg *out;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool has_answer;
};

static void waiter_run(struct actor_task *task)
{
	struct waiter *waiter = CONTAINER(task, struct waiter_ref, ref.run)->waiter;
	pthread_mutex_lock(&waiter->lock);
	waiter->has_answer = true;
	pthread_cond_signal(&waiter->answered);
	pthread_mutex_unlock(&waiter->lock);
}

enum sm_err actor__waiter_new(struct sm_system *system, struct waiter **ret_waiter)
{
	assert(!actor__current);
	struct waiter *waiter = calloc(1, sizeof *waiter);
	struct waiter_ref *ref = waiter ? calloc(1, sizeof *ref) : NULL;
	if (!ref) {
		free(waiter);
		return SM_NO_MEMORY;
	}
	actor__ref_init(&ref->ref, REF_COUNT, &waiter->out);
	ref->ref.run.run = waiter_run;
	ref->waiter = waiter;
	waiter->ref = &ref->ref;
	waiter->system = system;
	pthread_mutex_init(&waiter->lock, NULL);
	clock_cond_init(&waiter->answered);
	*ret_waiter = waiter;
	return SM_OK;
}

struct sm_ref *actor__waiter_ref(struct waiter *waiter)
{
	return waiter->ref;
}

/* After the close no answer comes in; one that is counted by now is waited for: its sender is a few instructions away from done
 * with the waiter. */
static struct sm_msg *waiter_close(struct waiter *waiter)
{
	uint32_t count = atomic_fetch_or(&waiter->ref->count, REF_CLOSED);
	if (count & REF_CLOSED)
		return NULL; /* closed before, and emptied */
	pthread_mutex_lock(&waiter->lock);
	while (count && !waiter->has_answer)
		pthread_cond_wait(&waiter->answered, &waiter->lock);
	pthread_mutex_unlock(&waiter->lock);
	struct sm_msg *answer = NULL, *more;
	for (; count; count--) {
		while (!(more = actor__pop(waiter->ref, &waiter->out)))
			;
		if (answer)
			sm_msg_free(more); /* a second answer */
		else
			answer = more;
	}
	return answer;
}

struct sm_msg *actor__waiter_wait(struct waiter *waiter, uint32_t timeout_ms)
{
	uint64_t deadline = actor__now_ns(waiter->system) + timeout_ms * 1000000ull, steps = 0;
	while (waiter->system->sim && !waiter->has_answer && actor__sim_wait(waiter->system, deadline, &steps))
		;
	pthread_mutex_lock(&waiter->lock);
	while (!waiter->system->sim && !waiter->has_answer && clock_cond_wait_until(&waiter->answered, &waiter->lock, deadline))
		;
	pthread_mutex_unlock(&waiter->lock);
	return waiter_close(waiter);
}

void actor__waiter_free(struct waiter *waiter)
{
	struct sm_msg *unread = waiter_close(waiter);
	sm_msg_free(unread);
	sm_unref(waiter->ref);
	pthread_cond_destroy(&waiter->answered);
	pthread_mutex_destroy(&waiter->lock);
	free(waiter);
}

enum sm_err sm_stop_wait(struct sm_system *system, struct sm_ref *ref, uint32_t timeout_ms, enum sm_err *ret_why)
{
	struct waiter *waiter;
	enum sm_err err = actor__waiter_new(system, &waiter);
	if (err)
		return err;
	if (!(err = actor__watch_from(waiter->ref, ref))) {
		sm_stop(ref);
		struct sm_msg *ended = actor__waiter_wait(waiter, timeout_ms);
		if (ended && ret_why)
			*ret_why = ((struct sm_terminated_msg *)ended)->why;
		err = ended ? SM_OK : SM_TIMEOUT;
		sm_msg_free(ended);
	}
	actor__waiter_free(waiter);
	return err;
}
