/* What goes on: the tree with its figures, the time in handlers, slow ones. */
#include "actor/actor_internal.h"
#include "actor/tree.h"
#include "base/logging.h"

void actor__observed(struct sm_actor *a, const struct sm_msg_type *type, uint64_t spent_ns)
{
	struct dispatcher *d = a->dispatcher;
	uint64_t before = atomic_load_explicit(&a->handler_ns, memory_order_relaxed);
	atomic_store_explicit(&a->handler_ns, before + spent_ns, memory_order_relaxed);
	if (LIKELY(spent_ns < (uint64_t)a->system->options.slow_handler_ms * 1000000) || d->index >= a->system->dispatcher_count)
		return; /* a pinned actor may take its time */
	uint64_t now = actor__now_ns(a->system);
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
};

static void show(struct walk *w, struct sm_actor *a, uint32_t depth)
{
	struct sm_ref *ref = a->ref;
	w->total++;
	if (w->shown == w->max)
		return;
	w->shown++;
	struct sm_actor_info info = {
		.path = actor__tree_path(a),
		.depth = depth,
		.dispatcher = a->dispatcher->index,
		.state = state_name(a->at),
		.mailbox = atomic_load_explicit(&ref->count, memory_order_relaxed) & REF_COUNT,
		.mailbox_max = ref->lanes ? actor__lanes_max(ref->lanes) : ref->mailbox_max,
		.processed = atomic_load_explicit(&a->processed, memory_order_relaxed),
		.handler_ns = atomic_load_explicit(&a->handler_ns, memory_order_relaxed),
		.restarts = atomic_load_explicit(&a->restarts_total, memory_order_relaxed),
	};
	w->each(w->arg, &info);
}

/* Oldest first. The depth of the tree is the program's, not a client's. */
static void walk(struct walk *w, struct sm_actor *youngest, uint32_t depth)
{
	struct sm_actor *a = youngest;
	while (a && a->older)
		a = a->older;
	for (; a; a = a->younger) {
		show(w, a, depth);
		walk(w, a->youngest_child, depth + 1);
	}
}

uint32_t sm_actors_each(struct sm_system *system, uint32_t max, void (*each)(void *arg, const struct sm_actor_info *info), void *arg)
{
	struct walk w = {.each = each, .arg = arg, .max = max};
	pthread_mutex_lock(&system->tree_lock);
	walk(&w, system->youngest_child, 0);
	pthread_mutex_unlock(&system->tree_lock);
	return w.total;
}
