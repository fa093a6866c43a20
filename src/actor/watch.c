/* Death watch. One record a watch is held twice: by the watcher's list and by the watched one's (or, after that has ended, by the
 * message that says so, of which the record is the body). Each side touches its own list on its own dispatcher; the sides talk by
 * posted tasks, which arrive in order. */
#include "actor/actor_internal.h"
#include <stdlib.h>

struct actor_watch {
	union {
		struct sm_terminated_msg terminated; /* ref: the watched one, from the start */
		struct {                             /* until the message is made */
			struct actor_task begin;
			struct actor_watch *watched_next, *watched_prev; /* the watched one's list */
		};
	};
	_Atomic uint32_t holders;
	bool listed;         /* in the watcher's list; its dispatcher's */
	bool watched_listed; /* in the watched one's; its dispatcher's */
	struct sm_ref *watcher;
	struct actor_task cancel;
	struct actor_watch *next, *prev; /* the watcher's list */
};
static_assert(offsetof(struct actor_watch, terminated.ref) >= offsetof(struct actor_watch, watched_prev) + sizeof(void *),
	      "who is watched is known from the start");

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the analyzer does not follow counts */
static void watch_release(struct actor_watch *w)
{
	if (atomic_fetch_sub(&w->holders, 1) > 1)
		return;
	sm_unref(w->terminated.ref);
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
	w->terminated.msg = (struct sm_msg){.type = &sm_msg_terminated};
	w->terminated.why = w->terminated.ref->why;
	if (actor__send_internal(w->watcher, &w->terminated.msg))
		watch_release(w); /* the watcher has ended meanwhile */
}

static void watch_begin(struct actor_task *task)
{
	struct actor_watch *w = CONTAINER(task, struct actor_watch, begin);
	struct actor_watch **list = actor__watchers_of(w->terminated.ref);
	if (!list) {
		tell(w);
		return;
	}
	w->watched_listed = true;
	w->watched_prev = NULL;
	w->watched_next = *list;
	*list = w;
	if (w->watched_next)
		w->watched_next->watched_prev = w;
	else
		actor__watchers_changed(w->terminated.ref, true);
}

static void watch_cancel(struct actor_task *task)
{
	struct actor_watch *w = CONTAINER(task, struct actor_watch, cancel);
	if (w->watched_listed) {
		struct actor_watch **list = actor__watchers_of(w->terminated.ref);
		assert(list);
		if (w->watched_prev)
			w->watched_prev->watched_next = w->watched_next;
		else
			*list = w->watched_next;
		if (w->watched_next)
			w->watched_next->watched_prev = w->watched_prev;
		w->watched_listed = false;
		if (!*list)
			actor__watchers_changed(w->terminated.ref, false);
		watch_release(w);
	}
	watch_release(w);
}

void actor__watch_list_tell(struct actor_watch **list)
{
	while (*list) {
		struct actor_watch *w = *list;
		*list = w->watched_next;
		w->watched_listed = false;
		tell(w);
	}
}

void actor__watchers_tell(struct sm_actor *a)
{
	actor__watch_list_tell(&a->watchers);
}

/* ---- on the watcher's ---- */

static void unlist(struct sm_actor *a, struct actor_watch *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		actor__extra_of(a)->watching = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->listed = false;
}

enum sm_err sm_watch(struct sm_actor *self, struct sm_ref *ref)
{
	assert(self->ref.dispatcher == actor__current);
	if (actor__at(self) == ACTOR_STOPPING)
		return SM_CLOSED;
	struct actor_extra *extra = actor__extra(self);
	struct actor_watch *w = extra ? calloc(1, sizeof *w) : NULL;
	if (!w)
		return SM_NO_MEMORY;
	atomic_init(&w->holders, 2);
	w->terminated.ref = sm_ref_get(ref);
	w->watcher = sm_ref_get(&self->ref);
	w->begin.run = watch_begin;
	w->cancel.run = watch_cancel;
	w->listed = true;
	w->next = extra->watching;
	if (w->next)
		w->next->prev = w;
	extra->watching = w;
	actor__post(ref->dispatcher, &w->begin);
	return SM_OK;
}

enum sm_err actor__watch_from(struct sm_ref *watcher, struct sm_ref *ref)
{
	struct actor_watch *w = calloc(1, sizeof *w);
	if (!w)
		return SM_NO_MEMORY;
	atomic_init(&w->holders, 1);
	w->terminated.ref = sm_ref_get(ref);
	w->watcher = sm_ref_get(watcher);
	w->begin.run = watch_begin;
	actor__post(ref->dispatcher, &w->begin);
	return SM_OK;
}

void sm_unwatch(struct sm_actor *self, struct sm_ref *ref)
{
	assert(self->ref.dispatcher == actor__current);
	struct actor_extra *extra = actor__extra_of(self);
	for (struct actor_watch *w = extra ? extra->watching : NULL, *next; w; w = next) {
		next = w->next;
		if (w->terminated.ref != ref)
			continue;
		unlist(self, w);
		actor__post(w->terminated.ref->dispatcher, &w->cancel);
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
	struct actor_extra *extra = actor__extra_of(a);
	while (extra && extra->watching) {
		struct actor_watch *w = extra->watching;
		unlist(a, w);
		actor__post(w->terminated.ref->dispatcher, &w->cancel);
	}
}
