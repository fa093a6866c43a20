/* The pool: threads for what may block, one bounded queue.
 *
 * Work that waits for other work (a task that appends to the log waits for the append's sync, which is work too) has a list of its
 * own and never takes more than half of the threads: else it could take all of them, and what it waits for would never run. */
#include "actor/actor_internal.h"
#include <stdio.h>
#include <stdlib.h>

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct list {
		struct sm_work *first, *last;
	} plain, waits;
	uint32_t queued, queue_max;
	uint32_t running, waiting;
	uint32_t waits_running, waits_max;
	bool closed, ended;
	uint32_t thread_count;
	pthread_t threads[ACTOR_POOL_THREADS_MAX];
};

/* The address is counted and both fields are read before run: run may free the work, and the receiver of the message may free
 * whoever holds the address. */
void actor__work_run(struct sm_work *work)
{
	struct sm_msg *done_msg = work->done_msg;
	struct sm_ref *reply_to = done_msg && work->reply_to ? sm_ref_get(work->reply_to) : NULL;
	work->run(work);
	if (reply_to && sm_send_reply(reply_to, done_msg))
		sm_msg_free(done_msg);
	sm_unref(reply_to);
}

static void list_append(struct list *list, struct sm_work *work)
{
	work->next = NULL;
	if (list->last)
		list->last->next = work;
	else
		list->first = work;
	list->last = work;
}

static struct sm_work *list_take(struct list *list)
{
	struct sm_work *work = list->first;
	if (work && !(list->first = work->next))
		list->last = NULL;
	return work;
}

/* Under the lock. What waits for nothing goes first: it is what others wait for. */
static struct sm_work *take(struct pool *pool)
{
	struct sm_work *work = list_take(&pool->plain);
	return work || pool->waits_running >= pool->waits_max ? work : list_take(&pool->waits);
}

static void *pool_main(void *arg)
{
	struct pool *pool = arg;
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct sm_work *work = take(pool);
		if (work) {
			bool waits = work->waits; /* run may free it */
			pool->queued--;
			pool->running++;
			pool->waits_running += waits;
			pthread_mutex_unlock(&pool->lock);
			actor__work_run(work);
			pthread_mutex_lock(&pool->lock);
			pool->running--;
			pool->waits_running -= waits;
			continue;
		}
		if (pool->running == 0 && pool->queued == 0)
			pthread_cond_broadcast(&pool->idle);
		if (pool->ended)
			break;
		pool->waiting++;
		pthread_cond_wait(&pool->work, &pool->lock);
		pool->waiting--;
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

enum sm_err sm_pool_run(struct sm_system *system, struct sm_work *work)
{
	struct pool *pool = system->pool;
	enum sm_err err = SM_OK;
	if (system->sim)
		return actor__sim_pool_run(system, work);
	pthread_mutex_lock(&pool->lock);
	if (pool->closed) {
		err = SM_CLOSED;
	} else if (pool->queued >= pool->queue_max) {
		err = SM_FULL;
	} else {
		list_append(work->waits ? &pool->waits : &pool->plain, work);
		pool->queued++;
		if (pool->waiting)
			pthread_cond_signal(&pool->work);
	}
	pthread_mutex_unlock(&pool->lock);
	return err;
}

/* ---- a piece of work that is its message ---- */

struct pipe {
	struct sm_work work;
	void (*run)(struct sm_msg *msg);
};

static void pipe_run(struct sm_work *work)
{
	struct pipe *pipe = CONTAINER(work, struct pipe, work);
	pipe->run(work->done_msg);
	sm_unref(work->reply_to);
	free(pipe);
}

enum sm_err sm_pipe(struct sm_actor *self, void (*run)(struct sm_msg *msg), struct sm_msg *msg)
{
	if (msg->type == &sm_msg_idle)
		return SM_INVALID;
	struct dispatcher *d = self->ref.dispatcher;
	bool kept = d->keep;
	struct pipe *pipe = calloc(1, sizeof *pipe);
	if (!pipe)
		return SM_NO_MEMORY;
	pipe->run = run;
	pipe->work = (struct sm_work){.run = pipe_run, .reply_to = sm_ref_get(&self->ref), .done_msg = msg};
	if (msg == d->current)
		d->keep = true;
	enum sm_err err = sm_pool_run(actor__system(self), &pipe->work);
	if (err) {
		d->keep = kept;
		sm_unref(&self->ref);
		free(pipe);
	}
	return err;
}

enum sm_err actor__pool_new(uint32_t threads, uint32_t queue_max, struct pool **ret_pool, struct sm_error *reterr)
{
	struct pool *pool = calloc(1, sizeof *pool);
	if (!pool)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the pool");
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	clock_cond_init(&pool->idle);
	pool->queue_max = queue_max;
	pool->waits_max = threads > 1 ? threads / 2 : 1;
	for (; pool->thread_count < threads; pool->thread_count++) {
		int failed = pthread_create(&pool->threads[pool->thread_count], NULL, pool_main, pool);
		if (failed) {
			enum sm_err err = sm_fail_errno(reterr, failed, "cannot start thread %u of the pool", pool->thread_count);
			actor__pool_stop(pool, 0);
			actor__pool_free(pool);
			return err;
		}
		char name[16];
		snprintf(name, sizeof name, "smack-p%u", pool->thread_count);
		pthread_setname_np(pool->threads[pool->thread_count], name);
	}
	*ret_pool = pool;
	return SM_OK;
}

bool actor__pool_stop(struct pool *pool, uint64_t deadline_ns)
{
	pthread_mutex_lock(&pool->lock);
	pool->closed = true;
	bool in_time = true;
	while (in_time && (pool->queued || pool->running))
		in_time = clock_cond_wait_until(&pool->idle, &pool->lock, deadline_ns);
	bool idle = !pool->queued && !pool->running;
	pool->ended = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (uint32_t i = 0; i < pool->thread_count; i++)
		idle ? pthread_join(pool->threads[i], NULL) : pthread_detach(pool->threads[i]);
	return idle;
}

void actor__pool_free(struct pool *pool)
{
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->idle);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
