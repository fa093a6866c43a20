/* Calls that must not block their caller: appends and applies, which wait for a sync on the other side. A few threads of the session do
 * them, started as they are needed. Several wait at once, so that one sync covers them all. */
#include "remote/remote_internal.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct remote__later {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct remote__call *first, *last;
	unsigned waiting, idle;
	bool stopping;
	unsigned thread_count;
	pthread_t threads[REMOTE_SENDERS];
};

struct remote__later *remote__later_new(void)
{
	struct remote__later *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	return l;
}

static void *work(void *arg)
{
	struct remote__later *l = arg;
	pthread_mutex_lock(&l->lock);
	for (;;) {
		struct remote__call *call = l->first;
		if (call) {
			l->first = call->next;
			l->waiting--;
			pthread_mutex_unlock(&l->lock);
			call->run(call);
			pthread_mutex_lock(&l->lock);
			continue;
		}
		if (l->stopping)
			break;
		l->idle++;
		pthread_cond_wait(&l->changed, &l->lock);
		l->idle--;
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* Signals are the program's own threads' business. */
static bool add_thread(struct remote__later *l)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool ok = pthread_create(&l->threads[l->thread_count], NULL, work, l) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	l->thread_count += ok;
	return ok;
}

enum sm_err remote__later_do(struct remote__later *l, struct remote__call *call)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&l->lock);
	if (l->waiting >= REMOTE_LATER_MAX)
		err = SM_FULL;
	else if (l->waiting >= l->idle && l->thread_count < REMOTE_SENDERS && !add_thread(l) && !l->thread_count)
		err = SM_NO_MEMORY;
	if (!err) {
		call->next = NULL;
		if (l->first)
			l->last->next = call;
		else
			l->first = call;
		l->last = call;
		l->waiting++;
		pthread_cond_signal(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

void remote__later_free(struct remote__later *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < l->thread_count; i++)
		pthread_join(l->threads[i], NULL);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->changed);
	free(l);
}
