/* What goes on: the tree with its figures, the time in handlers, slow ones. */
#include "actor/actor_internal.h"
#include "actor/tree.h"
#include "base/logging.h"
#include <stdlib.h>

void actor__observed(struct sm_actor *a, const struct sm_msg_type *type, uint64_t spent_ns)
{
	struct dispatcher *d = a->ref.dispatcher;
	_Atomic uint64_t *handler_ns = actor__handler_ns(a);
	uint64_t before = atomic_load_explicit(handler_ns, memory_order_relaxed);
	atomic_store_explicit(handler_ns, before + spent_ns, memory_order_relaxed);
	if (LIKELY(spent_ns < (uint64_t)actor__system(a)->options.slow_handler_ms * 1000000) ||
	    d->index >= actor__system(a)->dispatcher_count)
		return; /* a pinned actor may take its time */
	uint64_t now = actor__now_ns(actor__system(a));
	if (d->slow_logged_ns && now - d->slow_logged_ns < ACTOR_SLOW_LOG_MS * 1000000ull) {
		d->slow_suppressed++;
		return;
	}
	d->slow_logged_ns = now;
	LOG_WARN("actor",
		 "%s took %llu ms for a message of type %s; its dispatcher %u stood still (%u more of them since the last such line)",
		 sm_actor_path(a), (unsigned long long)(spent_ns / 1000000), type->name, d->index, d->slow_suppressed);
	d->slow_suppressed = 0;
}

static const char *state_name(enum actor_state at)
{
	switch (at) {
	case ACTOR_NEW: return "starts";
	case ACTOR_RUNNING: return "running";
	case ACTOR_RESTARTING:
	case ACTOR_BACKOFF: return "waits for its restart";
	case ACTOR_STOPPING: return "stopping";
	}
	return "?";
}

struct walk {
	void (*each)(void *arg, const struct sm_actor_info *info);
	void *arg;
	uint32_t shown, max, total;
	const struct sm_system *system;
	char *path; /* of the actor where the walk is */
	size_t size, cap;
};

/* False: no memory. */
static bool path_add(struct walk *w, struct sm_actor *a)
{
	if (w->cap - w->size < ACTOR_NAME_MAX + 2) {
		size_t cap = w->cap * 2 + 2 * (ACTOR_NAME_MAX + 2);
		char *path = realloc(w->path, cap);
		if (!path)
			return false;
		w->path = path;
		w->cap = cap;
	}
	w->size += actor__name_put(a, w->path + w->size);
	return true;
}

static void show(struct walk *w, struct sm_actor *a, const char *path, uint32_t depth)
{
	struct sm_ref *ref = &a->ref;
	struct sm_actor_info info = {
		.path = path,
		.depth = depth,
		.dispatcher = ref->dispatcher->index,
		.state = state_name(actor__at(a)),
		.mailbox = atomic_load_explicit(&ref->count, memory_order_relaxed) & REF_COUNT,
		.mailbox_max = a->props->mailbox_max ? a->props->mailbox_max : w->system->options.mailbox_max,
		.processed = atomic_load_explicit(&a->processed, memory_order_relaxed),
		.handler_ns = w->system->options.observe ? atomic_load_explicit(actor__handler_ns(a), memory_order_relaxed) : 0,
		.restarts = actor__restarts(a),
	};
	w->each(w->arg, &info);
}

/* Oldest first. The depth of the tree is the program's, not a client's. */
static void walk(struct walk *w, struct sm_actor *youngest, uint32_t depth)
{
	struct sm_actor *a = youngest;
	size_t size = w->size;
	while (a && a->older)
		a = a->older;
	for (; a; a = a->younger) {
		w->total++;
		bool shows = w->shown < w->max, named = shows && path_add(w, a);
		if (shows) {
			w->shown++;
			show(w, a, named ? w->path : "?", depth);
		}
		walk(w, a->youngest_child, depth + 1);
		w->size = size;
	}
}

uint32_t sm_actors_each(struct sm_system *system, uint32_t max, void (*each)(void *arg, const struct sm_actor_info *info), void *arg)
{
	struct walk w = {.each = each, .arg = arg, .max = max, .system = system};
	static const char root[] = ACTOR_ROOT;
	w.cap = sizeof root + ACTOR_NAME_MAX + 2;
	if ((w.path = calloc(1, w.cap)))
		memcpy(w.path, root, w.size = sizeof root - 1);
	else
		w.cap = 0;
	pthread_mutex_lock(&system->tree_lock);
	walk(&w, system->youngest_child, 0);
	pthread_mutex_unlock(&system->tree_lock);
	free(w.path);
	return w.total;
}
