/* Opening all partitions: each waits for syncs of its own after a crash, so several are opened at once. */
#include "log/log_internal.h"
#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 8
#define PARTITIONS_A_THREAD 4 /* fewer are not worth a thread */

struct opening {
	struct engine *engine;
	struct place {
		struct topic *topic;
		int32_t number;
	} * places;
	size_t count;
	atomic_size_t next;
	pthread_mutex_t lock; /* of error */
	struct sm_error error;
};

static void *open_some(void *arg)
{
	struct opening *o = arg;
	size_t i;
	while ((i = atomic_fetch_add(&o->next, 1)) < o->count) {
		struct topic *t = o->places[i].topic;
		int32_t number = o->places[i].number;
		struct sm_error error;
		enum sm_err err = log__partition_new(o->engine, t->name, number, &t->settings, &t->partitions[number], &error);
		if (!err)
			continue;
		pthread_mutex_lock(&o->lock);
		if (!o->error.code) {
			o->error = error;
			o->error.code = err;
		}
		pthread_mutex_unlock(&o->lock);
		atomic_store(&o->next, o->count); /* no more */
	}
	return NULL;
}

static enum sm_err places_make(struct opening *o, struct topic **topics, size_t count)
{
	size_t all = 0;
	for (size_t i = 0; i < count; i++)
		all += topics[i] ? (size_t)topics[i]->partition_count : 0;
	if (!(o->places = calloc(all + 1, sizeof *o->places)))
		return SM_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		struct topic *t = topics[i];
		if (t && !(t->partitions = calloc((size_t)t->partition_count, sizeof(struct partition *))))
			return SM_NO_MEMORY;
		for (int32_t k = 0; t && k < t->partition_count; k++)
			o->places[o->count++] = (struct place){t, k};
	}
	return SM_OK;
}

enum sm_err log__topics_start(struct engine *engine, struct topic **topics, size_t count, struct sm_error *reterr)
{
	struct opening o = {.engine = engine};
	pthread_t threads[THREADS_MAX];
	uint32_t started = 0;
	enum sm_err err = places_make(&o, topics, count);
	if (err) {
		free(o.places);
		return sm_fail(reterr, err, "no memory for the topics");
	}
	pthread_mutex_init(&o.lock, NULL);
	while (started < THREADS_MAX && started < o.count / PARTITIONS_A_THREAD && !pthread_create(&threads[started], NULL, open_some, &o))
		started++;
	open_some(&o); /* this thread too: it is enough for a few, or when no other is to be had */
	for (uint32_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&o.lock);
	free(o.places);
	if (o.error.code && reterr)
		*reterr = o.error;
	return o.error.code;
}
