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
	return parent ? &parent->child_names : &system->child_names;
}

/* Under the lock. */
static enum sm_err tree_add(struct sm_actor *a)
{
	struct sm_system *system = a->system;
	if (system->stopping)
		return SM_CLOSED;
	if (a->name[0]) {
		struct map *names = names_of(system, a->parent);
		if (map_get(names, bytes_str(a->name)))
			return SM_EXISTS;
		enum sm_err err = map_put(names, bytes_str(a->name), a, NULL);
		if (err)
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
	if (parent && parent->wants_children_ended && !parent->children_posted)
		tell = parent->children_posted = true; /* keeps the parent until the task has run */
	if (!parent && system->stopping)
		pthread_cond_broadcast(&system->tree_changed);
	pthread_mutex_unlock(&system->tree_lock);
	map_done(&a->child_names);
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
	pthread_mutex_unlock(&a->system->tree_lock);
	if (youngest)
		sm_stop(youngest);
	sm_unref(youngest);
	return ended;
}

void actor__children_seen(struct sm_actor *a)
{
	pthread_mutex_lock(&a->system->tree_lock);
	a->children_posted = false;
	pthread_mutex_unlock(&a->system->tree_lock);
}

struct sm_ref *actor__root_youngest(struct sm_system *system)
{
	return system->youngest_child ? sm_ref_get(system->youngest_child->ref) : NULL;
}

static struct sm_actor *actor_new(struct sm_system *system, struct sm_actor *parent, const struct sm_props *props)
{
	size_t name_size = props->name ? strlen(props->name) : 0;
	size_t state_at = (offsetof(struct sm_actor, name) + name_size + 1 + 15) / 16 * 16;
	struct sm_actor *a = calloc(1, state_at + props->state_size);
	struct sm_ref *ref = a ? actor__ref_new(props->mailbox_max ? props->mailbox_max : system->options.mailbox_max) : NULL;
	if (!ref) {
		free(a);
		return NULL;
	}
	uint32_t at = props->dispatcher >= 0 ? (uint32_t)props->dispatcher : atomic_fetch_add(&system->round_robin, 1);
	a->dispatcher = &system->dispatchers[at % system->dispatcher_count];
	a->system = system;
	a->parent = parent;
	a->receive = props->receive;
	a->state = (char *)a + state_at;
	memcpy(a->name, props->name ? props->name : "", name_size + 1);
	a->props = *props;
	a->props.name = a->name;
	a->children_task.run = actor__children_task;
	map_init(&a->child_names);
	a->ref = ref;
	ref->actor = a;
	ref->dispatcher = a->dispatcher;
	ref->run.run = actor__run;
	atomic_init(&ref->count, 1); /* its start */
	return a;
}

enum sm_err sm_spawn(struct sm_system *system, struct sm_actor *parent, const struct sm_props *props, struct sm_ref **ret_ref)
{
	assert(props->receive && (props->dispatcher < 0 || (uint32_t)props->dispatcher < system->dispatcher_count));
	assert(!parent || parent->dispatcher == actor__current);
	if (props->name && (!props->name[0] || strlen(props->name) > ACTOR_NAME_MAX || strchr(props->name, '/')))
		return SM_INVALID;
	if (parent && parent->at == ACTOR_STOPPING)
		return SM_CLOSED;
	struct sm_actor *a = actor_new(system, parent, props);
	if (!a)
		return SM_NO_MEMORY;
	struct sm_ref *ref = a->ref;
	if (ret_ref)
		sm_ref_get(ref);
	pthread_mutex_lock(&system->tree_lock);
	enum sm_err err = tree_add(a);
	pthread_mutex_unlock(&system->tree_lock);
	if (err) {
		map_done(&a->child_names);
		free(a);
		free(ref);
		return err;
	}
	actor__post(ref->dispatcher, &ref->run);
	if (ret_ref)
		*ret_ref = ref;
	return SM_OK;
}

/* Under the lock: an actor's path is asked for by its children's threads too. */
static const char *path_of(struct sm_actor *a)
{
	if (!a->path) {
		const char *parent = a->parent ? path_of(a->parent) : "/root";
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
	const char *path = path_of(self);
	pthread_mutex_unlock(&self->system->tree_lock);
	return path;
}
