/* The tree of actors: spawning, names, paths, and how a parent waits for its children. */
#include "actor/tree.h"
#include <stdio.h>
#include <stdlib.h>

static struct sm_actor **youngest_of(struct sm_system *system, struct sm_actor *parent)
{
	return parent ? &parent->youngest_child : &system->youngest_child;
}

static struct map *names_of(struct sm_system *system, struct sm_actor *parent)
{
	return parent ? parent->child_names : &system->child_names;
}

static enum sm_err name_add(struct sm_actor *a)
{
	struct sm_actor *parent = a->parent;
	if (parent && !parent->child_names) {
		if (!(parent->child_names = calloc(1, sizeof *parent->child_names)))
			return SM_NO_MEMORY;
		map_init(parent->child_names);
	}
	struct map *names = names_of(a->system, parent);
	return map_get(names, bytes_str(a->name)) ? SM_EXISTS : map_put(names, bytes_str(a->name), a, NULL);
}

/* Under the lock. */
static enum sm_err tree_add(struct sm_actor *a, const struct sm_props *props)
{
	struct sm_system *system = a->system;
	if (system->stopping)
		return SM_CLOSED;
	uint32_t mailbox_max = props->mailbox_max ? props->mailbox_max : system->options.mailbox_max;
	if (!(a->props = actor__props_take(system, props, props->stash_max ? props->stash_max : mailbox_max)))
		return SM_NO_MEMORY;
	enum sm_err err = a->name[0] ? name_add(a) : SM_OK;
	if (err) {
		actor__props_give(system, a->props);
		return err;
	}
	struct sm_actor **youngest = youngest_of(system, a->parent);
	a->number = ++system->actor_number;
	a->older = *youngest;
	if (a->older)
		a->older->younger = a;
	*youngest = a;
	return SM_OK;
}

void actor__tree_remove(struct sm_actor *a)
{
	struct sm_system *system = a->system;
	struct sm_actor *parent = a->parent;
	bool tell = false;
	pthread_mutex_lock(&system->tree_lock);
	if (a->name[0])
		map_remove(names_of(system, parent), bytes_str(a->name));
	if (a->younger)
		a->younger->older = a->older;
	else
		*youngest_of(system, parent) = a->older;
	if (a->older)
		a->older->younger = a->younger;
	if (parent && a->escalates)
		parent->escalated = a->failed_with;
	if (parent && (parent->wants_children_ended || a->escalates) && !parent->children_posted)
		tell = parent->children_posted = true; /* keeps the parent until the task has run */
	if (a->dispatcher->index >= system->dispatcher_count)
		actor__pinned_give(a->dispatcher);
	if (!parent && system->stopping)
		pthread_cond_broadcast(&system->tree_changed);
	actor__props_give(system, a->props);
	pthread_mutex_unlock(&system->tree_lock);
	if (a->child_names)
		map_done(a->child_names);
	free(a->child_names);
	if (tell)
		actor__post(parent->dispatcher, &parent->children_task);
}

bool actor__children_ended(struct sm_actor *a)
{
	struct sm_ref *youngest = NULL;
	pthread_mutex_lock(&a->system->tree_lock);
	if (a->youngest_child)
		youngest = sm_ref_get(a->youngest_child->ref);
	a->wants_children_ended = youngest != NULL;
	bool ended = !youngest && !a->children_posted;
	a->leaves = ended && a->at == ACTOR_STOPPING;
	pthread_mutex_unlock(&a->system->tree_lock);
	if (youngest)
		sm_stop(youngest);
	sm_unref(youngest);
	return ended;
}

struct relatives actor__children_seen(struct sm_actor *a)
{
	pthread_mutex_lock(&a->system->tree_lock);
	a->children_posted = false;
	struct relatives seen = {a->escalated, a->group_failed, a->group_stops, a->group_delay_ns};
	a->escalated = a->group_failed = SM_OK;
	a->group_stops = false;
	pthread_mutex_unlock(&a->system->tree_lock);
	return seen;
}

/* children_posted keeps each of them until its task has run, so they can be posted to under the lock. */
void actor__group_tell(struct sm_actor *a, enum sm_err why, bool stops, uint64_t delay_ns)
{
	struct sm_system *system = a->system;
	pthread_mutex_lock(&system->tree_lock);
	for (struct sm_actor *s = *youngest_of(system, a->parent); s; s = s->older) {
		if (s == a || s->leaves || !s->props->supervision.all_for_one)
			continue;
		s->group_failed = why;
		s->group_stops |= stops;
		s->group_delay_ns = delay_ns;
		if (s->children_posted)
			continue;
		s->children_posted = true;
		actor__post(s->dispatcher, &s->children_task);
	}
	pthread_mutex_unlock(&system->tree_lock);
}

struct sm_ref *actor__root_youngest(struct sm_system *system)
{
	return system->youngest_child ? sm_ref_get(system->youngest_child->ref) : NULL;
}

static struct sm_actor *actor_new(struct sm_system *system, struct dispatcher *dispatcher, struct sm_actor *parent,
				  const struct sm_props *props)
{
	size_t name_size = props->name ? strlen(props->name) : 0;
	size_t state_at = (offsetof(struct sm_actor, name) + name_size + 1 + 15) / 16 * 16;
	struct sm_actor *a = calloc(1, state_at + props->state_size);
	uint32_t mailbox_max = props->mailbox_max ? props->mailbox_max : system->options.mailbox_max;
	bool lanes = props->lanes || props->overflow != SM_OVERFLOW_FAIL;
	struct sm_ref *ref = a ? actor__ref_new(lanes ? 0 : mailbox_max) : NULL;
	if (ref && lanes && !(ref->lanes = actor__lanes_new(props->overflow, mailbox_max, props->lanes))) {
		free(ref);
		ref = NULL;
	}
	if (!ref) {
		free(a);
		return NULL;
	}
	a->dispatcher = dispatcher;
	a->system = system;
	a->parent = parent;
	a->receive = props->receive;
	a->state = (char *)a + state_at;
	memcpy(a->name, props->name ? props->name : "", name_size + 1);
	a->arg = props->arg;
	a->children_task.run = actor__children_task;
	a->ref = ref;
	ref->actor = a;
	ref->dispatcher = a->dispatcher;
	ref->run.run = actor__run;
	atomic_init(&ref->count, 1); /* its start */
	return a;
}

static enum sm_err choose_dispatcher(struct sm_system *system, int wanted, struct dispatcher **ret)
{
	if (wanted == SM_DISPATCHER_PINNED && !system->sim)
		return actor__pinned_take(system, ret);
	uint32_t at = wanted >= 0 ? (uint32_t)wanted : atomic_fetch_add(&system->round_robin, 1);
	*ret = &system->dispatchers[at % system->dispatcher_count];
	return SM_OK;
}

static void give_back(struct sm_system *system, struct dispatcher *d)
{
	if (d->index < system->dispatcher_count)
		return;
	pthread_mutex_lock(&system->tree_lock);
	actor__pinned_give(d);
	pthread_mutex_unlock(&system->tree_lock);
}

enum sm_err sm_spawn(struct sm_system *system, struct sm_actor *parent, const struct sm_props *props, struct sm_ref **ret_ref)
{
	assert(props->receive && props->dispatcher >= SM_DISPATCHER_PINNED && props->dispatcher < (int)system->dispatcher_count);
	assert(!parent || parent->dispatcher == actor__current);
	if (props->name && (!props->name[0] || strlen(props->name) > ACTOR_NAME_MAX || strchr(props->name, '/')))
		return SM_INVALID;
	if (parent && parent->at != ACTOR_RUNNING)
		return SM_CLOSED;
	struct dispatcher *dispatcher;
	enum sm_err err = choose_dispatcher(system, props->dispatcher, &dispatcher);
	if (err)
		return err;
	struct sm_actor *a = actor_new(system, dispatcher, parent, props);
	if (!a) {
		give_back(system, dispatcher);
		return SM_NO_MEMORY;
	}
	struct sm_ref *ref = a->ref;
	if (ret_ref)
		sm_ref_get(ref);
	pthread_mutex_lock(&system->tree_lock);
	err = tree_add(a, props);
	pthread_mutex_unlock(&system->tree_lock);
	if (err) {
		give_back(system, dispatcher);
		free(a);
		if (ret_ref)
			sm_unref(ref);
		sm_unref(ref);
		return err;
	}
	actor__post(ref->dispatcher, &ref->run);
	if (ret_ref)
		*ret_ref = ref;
	return SM_OK;
}

/* Under the lock: an actor's path is asked for by its children's threads too. */
const char *actor__tree_path(struct sm_actor *a)
{
	if (!a->path) {
		const char *parent = a->parent ? actor__tree_path(a->parent) : "/root";
		int printed = a->name[0] ? asprintf(&a->path, "%s/%s", parent, a->name)
					 : asprintf(&a->path, "%s/$%llu", parent, (unsigned long long)a->number);
		if (printed < 0)
			a->path = NULL;
	}
	return a->path ? a->path : "?";
}

const char *sm_actor_path(struct sm_actor *self)
{
	pthread_mutex_lock(&self->system->tree_lock);
	const char *path = actor__tree_path(self);
	pthread_mutex_unlock(&self->system->tree_lock);
	return path;
}
