/* Death watch. One record a watch is held twice: by the watcher's list and by the watched one's (or, after that has ended, by the
 * message that says so, of which the record is the body). Each side touches its own list on its own dispatcher; the sides talk by
 * posted tasks, which arrive in order. */
#include "actor/actor_internal.h"
#include <stdlib.h>

struct actor_watch {
	struct sm_terminated_msg terminated;
	_Atomic uint32_t holders;
	struct sm_ref *watched, *watcher;
	struct actor_task begin, cancel;
	/* the watcher's list */
	struct actor_watch *next, *prev;
	bool listed;
	/* the watched one's */
	struct actor_watch *watched_next, *watched_prev;
	bool watched_listed;
};

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts */
static void watch_release(struct actor_watch *w)
{
	if (atomic_fetch_sub(&w->holders, 1) > 1)
		return;
	sm_unref(w->watched);
	sm_unref(w->watcher);
	free(w);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static void terminated_done(struct sm_msg *msg)
{
	struct actor_watch *w = (struct actor_watch *)msg;
	watch_release(w);
}
const struct sm_msg_type sm_msg_terminated = {"terminated", terminated_done};

/* ---- on the watched actor's dispatcher ---- */

static void tell(struct actor_watch *w)
{
	w->terminated.msg.type = &sm_msg_terminated;
	w->terminated.ref = w->watched;
	w->terminated.why = w->watched->why;
	if (actor__send_internal(w->watcher, &w->terminated.msg))
		watch_release(w); /* the watcher has ended meanwhile */
}

static void watch_begin(struct actor_task *task)
{
	struct actor_watch *w = CONTAINER(task, struct actor_watch, begin);
	struct sm_actor *a = w->watched->actor;
	if (!a) {
		tell(w);
		return;
	}
	w->watched_listed = true;
	w->watched_prev = NULL;
	w->watched_next = a->watchers;
	if (a->watchers)
		a->watchers->watched_prev = w;
	a->watchers = w;
}

static void watch_cancel(struct actor_task *task)
{
	struct actor_watch *w = CONTAINER(task, struct actor_watch, cancel);
	if (w->watched_listed) {
		if (w->watched_prev)
			w->watched_prev->watched_next = w->watched_next;
		else
			w->watched->actor->watchers = w->watched_next;
		if (w->watched_next)
			w->watched_next->watched_prev = w->watched_prev;
		w->watched_listed = false;
		watch_release(w);
	}
	watch_release(w);
}

void actor__watchers_tell(struct sm_actor *a)
{
	while (a->watchers) {
		struct actor_watch *w = a->watchers;
		a->watchers = w->watched_next;
		w->watched_listed = false;
		tell(w);
	}
}

/* ---- on the watcher's ---- */

static void unlist(struct sm_actor *a, struct actor_watch *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		a->watching = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->listed = false;
}

enum sm_err sm_watch(struct sm_actor *self, struct sm_ref *ref)
{
	assert(self->dispatcher == actor__current);
	if (self->at == ACTOR_STOPPING)
		return SM_CLOSED;
	struct actor_watch *w = calloc(1, sizeof *w);
	if (!w)
		return SM_NO_MEMORY;
	atomic_init(&w->holders, 2);
	w->watched = sm_ref_get(ref);
	w->watcher = sm_ref_get(self->ref);
	w->begin.run = watch_begin;
	w->cancel.run = watch_cancel;
	w->listed = true;
	w->next = self->watching;
	if (w->next)
		w->next->prev = w;
	self->watching = w;
	actor__post(ref->dispatcher, &w->begin);
	return SM_OK;
}

enum sm_err actor__watch_from(struct sm_ref *watcher, struct sm_ref *ref)
{
	struct actor_watch *w = calloc(1, sizeof *w);
	if (!w)
		return SM_NO_MEMORY;
	atomic_init(&w->holders, 1);
	w->watched = sm_ref_get(ref);
	w->watcher = sm_ref_get(watcher);
	w->begin.run = watch_begin;
	actor__post(ref->dispatcher, &w->begin);
	return SM_OK;
}

void sm_unwatch(struct sm_actor *self, struct sm_ref *ref)
{
	assert(self->dispatcher == actor__current);
	for (struct actor_watch *w = self->watching, *next; w; w = next) {
		next = w->next;
		if (w->watched != ref)
			continue;
		unlist(self, w);
		actor__post(w->watched->dispatcher, &w->cancel);
	}
}

bool actor__terminated_admit(struct sm_actor *a, struct sm_msg *msg)
{
	struct actor_watch *w = (struct actor_watch *)msg;
	if (!w->listed)
		return false; /* of a life before a restart */
	unlist(a, w);
	watch_release(w);
	return true;
}

void actor__watches_clear(struct sm_actor *a)
{
	while (a->watching) {
		struct actor_watch *w = a->watching;
		unlist(a, w);
		actor__post(w->watched->dispatcher, &w->cancel);
	}
}
