/* Which partitions have the file of their active segment open, and which of them is to close it when there are too many.
 *
 * A hand goes round, as in the CLOCK algorithm: who has written since it last came by is passed over. The one that it stops at gets a
 * message and closes its file itself, if it still rests then; its next append opens it again. */
#include "log/log_internal.h"
#include <stdlib.h>
#include <sys/resource.h>

#define FILES_MIN 16

void log__files_init(struct open_files *f, uint32_t most)
{
	struct rlimit limit;
	*f = (struct open_files){.most = most};
	pthread_mutex_init(&f->lock, NULL);
	/* The other half is for connections, sealed segments that are read, and the store. A partition may have its file open twice
	 * (bulk.c). */
	if (!most && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		f->most = limit.rlim_cur / 4 < INT32_MAX ? (uint32_t)(limit.rlim_cur / 4) : INT32_MAX;
	if (f->most < FILES_MIN)
		f->most = FILES_MIN;
}

void log__files_done(struct open_files *f)
{
	free(f->partitions);
	pthread_mutex_destroy(&f->lock);
}

/* Under the lock: one that rests, NULL: none does. */
static struct partition *victim(struct open_files *f, const struct partition *but)
{
	for (uint32_t steps = 0; steps < 2 * f->count; steps++) {
		struct partition *p = f->partitions[f->hand++ % f->count];
		if (p == but || p->resting)
			continue;
		if (atomic_exchange_explicit(&p->written, false, memory_order_relaxed))
			continue;
		p->resting = true;
		return log__partition_ref(p);
	}
	return NULL;
}

static void nothing_to_tell(void *arg, const struct sm_error *error) {}

bool log__files_room(struct open_files *f)
{
	pthread_mutex_lock(&f->lock);
	bool room = f->count < f->most;
	pthread_mutex_unlock(&f->lock);
	return room;
}

static bool list(struct open_files *f, struct partition *p)
{
	if (f->count == f->cap) {
		uint32_t cap = f->cap ? f->cap * 2 : 64;
		struct partition **grown = realloc(f->partitions, cap * sizeof *grown);
		if (!grown)
			return false;
		f->partitions = grown;
		f->cap = cap;
	}
	p->open_at = f->count;
	f->partitions[f->count++] = p;
	return true;
}

void log__files_opened(struct partition *p)
{
	struct open_files *f = &p->engine->files;
	struct partition *rests = NULL;
	pthread_mutex_lock(&f->lock);
	atomic_store(&p->listed, list(f, p)); /* without memory it stays open */
	if (f->count > f->most)
		rests = victim(f, p);
	pthread_mutex_unlock(&f->lock);
	if (rests && log__partition_do(rests, PARTITION_REST, 0, nothing_to_tell, NULL))
		log__files_needed(rests);
	log__partition_unref(rests);
}

void log__files_closed(struct partition *p)
{
	struct open_files *f = &p->engine->files;
	pthread_mutex_lock(&f->lock);
	p->resting = false;
	if (atomic_load(&p->listed)) {
		struct partition *last = f->partitions[--f->count];
		f->partitions[p->open_at] = last;
		last->open_at = p->open_at;
		atomic_store(&p->listed, false);
	}
	pthread_mutex_unlock(&f->lock);
}

void log__files_needed(struct partition *p)
{
	struct open_files *f = &p->engine->files;
	pthread_mutex_lock(&f->lock);
	p->resting = false;
	pthread_mutex_unlock(&f->lock);
}
