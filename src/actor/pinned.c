/* Pinned actors: a dispatcher for one actor alone. Its thread is started when it is first needed and taken again by the next one. */
#include "actor/actor_internal.h"

enum sm_err actor__pinned_take(struct sm_system *system, struct dispatcher **ret_dispatcher)
{
	struct dispatcher *free_one = NULL;
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&system->tree_lock);
	for (uint32_t i = 0; i < system->pinned_count && !free_one; i++) {
		struct dispatcher *d = &system->dispatchers[system->dispatcher_count + i];
		if (!d->pinned_taken)
			free_one = d;
	}
	if (!free_one && system->stopping) {
		err = SM_CLOSED; /* whoever stops has counted the threads */
	} else if (!free_one && system->pinned_count == system->options.pinned_max) {
		err = SM_FULL;
	} else if (!free_one) {
		uint32_t index = system->dispatcher_count + system->pinned_count;
		struct dispatcher *d = &system->dispatchers[index];
		if ((err = actor__dispatcher_open(d, system, index, NULL)) || (err = actor__dispatcher_start(d, NULL))) {
			actor__dispatcher_close(d);
			memset(d, 0, sizeof *d);
		} else {
			system->pinned_count++;
			free_one = d;
		}
	}
	if (!err)
		free_one->pinned_taken = true;
	pthread_mutex_unlock(&system->tree_lock);
	*ret_dispatcher = free_one;
	return err;
}

void actor__pinned_give(struct dispatcher *d)
{
	d->pinned_taken = false;
}
