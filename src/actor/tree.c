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
	if (!parent)
		return &system->child_names;
	struct actor_extra *extra = actor__extra_of(parent);
	return extra ? extra->child_names : NULL;
}

/* Behind the state, or its address, and the time in handlers. */
static size_t state_room(const struct sm_system *system, size_t state_size)
{
	size_t room = state_size > ACTOR_STATE_INSIDE_MAX ? sizeof(void *) : (state_size + 7) / 8 * 8;
	return room + (system->options.observe ? sizeof(uint64_t) : 0);
}

static char *name_of(struct sm_actor *a)
{
	return a->has_name ? a->body + state_room(actor__system(a), a->props->state_size) : NULL;
}

_Atomic uint64_t *actor__handler_ns(struct sm_actor *a)
{
	return (_Atomic uint64_t *)(a->body + state_room(actor__system(a), a->props->state_size)) - 1;
}

static enum sm_err name_add(struct sm_actor *a, const char *name)
{
	struct sm_actor *parent = a->parent;
	struct map *names = names_of(actor__system(a), parent);
	if (!names) {
		struct actor_extra *extra = actor__extra(parent);
		if (!extra || !(names = calloc(1, sizeof *names)))
			return SM_NO_MEMORY;
		map_init(names);
		extra->child_names = names;
	}
	return map_get(names, bytes_str(name)) ? SM_EXISTS : map_put(names, bytes_str(name), a, NULL);
}

/* Under the lock. */
static enum sm_err tree_add(struct sm_actor *a, const struct sm_props *props)
{
	struct sm_system *system = actor__system(a);
	if (system->stopping)
		return SM_CLOSED;
	uint32_t mailbox_max = props->mailbox_max ? props->mailbox_max : system->options.mailbox_max;
	if (!(a->props = actor__props_take(system, props, props->stash_max ? props->stash_max : mailbox_max)))
		return SM_NO_MEMORY;
	enum sm_err err = props->name ? name_add(a, props->name) : SM_OK;
	if (err) {
		actor__props_give(system, a->props);
		return err;
	}
	struct sm_actor **youngest = youngest_of(system, a->parent);
	uint64_t number = ++system->actor_number;
	a->number_low = (uint32_t)number;
	a->number_high = (uint16_t)(number >> 32);
	a->older = *youngest;
	if (a->older)
		a->older->younger = a;
	*youngest = a;
	return SM_OK;
}

void actor__tree_remove(struct sm_actor *a)
{
	struct sm_system *system = actor__system(a);
	struct sm_actor *parent = a->parent;
	bool tell = false;
	pthread_mutex_lock(&system->tree_lock);
	a->removed = true;
	if (a->has_name)
		map_remove(names_of(system, parent), bytes_str(name_of(a)));
	if (a->younger)
		a->younger->older = a->older;
	else
		*youngest_of(system, parent) = a->older;
	if (a->older)
		a->older->younger = a->younger;
	if (parent && a->escalates)
		parent->escalated = a->ref.why;
	if (parent && (parent->wants_children_ended || a->escalates) && !parent->children_posted)
		tell = parent->children_posted = true; /* keeps the parent until the task has run */
	if (a->ref.dispatcher->index >= system->dispatcher_count)
		actor__pinned_give(a->ref.dispatcher);
	if (!parent && system->stopping)
		pthread_cond_broadcast(&system->tree_changed);
	actor__props_give(system, a->props);
	pthread_mutex_unlock(&system->tree_lock);
	if (tell)
		actor__look(parent, WANTED_RELATIVES);
}

bool actor__children_ended(struct sm_actor *a)
{
	if (!a->has_had_children && !a->props->supervision.all_for_one)
		return true; /* no relative has anything to say to it */
	struct sm_ref *youngest = NULL;
	pthread_mutex_lock(&actor__system(a)->tree_lock);
	if (a->youngest_child)
		youngest = sm_ref_get(&a->youngest_child->ref);
	a->wants_children_ended = youngest != NULL;
	bool ended = !youngest && !a->children_posted;
	a->leaves = ended && actor__at(a) == ACTOR_STOPPING;
	pthread_mutex_unlock(&actor__system(a)->tree_lock);
	if (youngest)
		sm_stop(youngest);
	sm_unref(youngest);
	return ended;
}

struct relatives actor__children_seen(struct sm_actor *a)
{
	pthread_mutex_lock(&actor__system(a)->tree_lock);
	a->children_posted = false;
	struct relatives seen = {a->escalated, a->group_failed, a->group_stops, a->group_delay_ms * 1000000ull};
	a->escalated = a->group_failed = SM_OK;
	a->group_stops = false;
	pthread_mutex_unlock(&actor__system(a)->tree_lock);
	return seen;
}

/* children_posted keeps each of them until its task has run, so they can be posted to under the lock. */
void actor__group_tell(struct sm_actor *a, enum sm_err why, bool stops, uint64_t delay_ns)
{
	struct sm_system *system = actor__system(a);
	pthread_mutex_lock(&system->tree_lock);
	for (struct sm_actor *s = *youngest_of(system, a->parent); s; s = s->older) {
		if (s == a || s->leaves || !s->props->supervision.all_for_one)
			continue;
		s->group_failed = (uint16_t)why;
		s->group_stops |= stops;
		s->group_delay_ms = (uint32_t)(delay_ns / 1000000);
		if (s->children_posted)
			continue;
		s->children_posted = true;
		actor__look(s, WANTED_RELATIVES);
	}
	pthread_mutex_unlock(&system->tree_lock);
}

struct sm_ref *actor__root_youngest(struct sm_system *system)
{
	return system->youngest_child ? sm_ref_get(&system->youngest_child->ref) : NULL;
}

static void actor_free(struct sm_actor *a)
{
	if (a->state_apart)
		free(*(void **)a->body);
	sm_unref(&a->ref);
}

static struct sm_actor *actor_new(struct sm_system *system, struct dispatcher *dispatcher, struct sm_actor *parent,
				  const struct sm_props *props)
{
	size_t name_size = props->name ? strlen(props->name) + 1 : 0, state_size = state_room(system, props->state_size);
	struct sm_actor *a = calloc(1, sizeof *a + state_size + name_size);
	if (!a)
		return NULL;
	uint32_t mailbox_max = props->mailbox_max ? props->mailbox_max : system->options.mailbox_max;
	bool lanes = props->lanes || props->overflow != SM_OVERFLOW_FAIL;
	actor__ref_init(&a->ref, lanes ? 0 : mailbox_max, &a->out);
	atomic_init(&a->ref.count, 1); /* its start */
	a->ref.dispatcher = dispatcher;
	a->ref.run.run = actor__run;
	a->look.run = actor__look_run;
	a->parent = parent;
	a->receive = props->receive;
	a->arg = props->arg;
	if ((a->has_name = props->name != NULL))
		memcpy(a->body + state_size, props->name, name_size);
	if (props->state_size > ACTOR_STATE_INSIDE_MAX)
		a->state_apart = (*(void **)a->body = calloc(1, props->state_size)) != NULL;
	if (lanes && (a->ref.lanes = actor__lanes_new(props->overflow, mailbox_max, props->lanes)))
		a->special = SPECIAL_LANES;
	if ((props->state_size > ACTOR_STATE_INSIDE_MAX && !a->state_apart) || (lanes && !a->ref.lanes)) {
		actor_free(a);
		return NULL;
	}
	return a;
}

static enum sm_err choose_dispatcher(struct sm_system *system, struct sm_actor *parent, int wanted, struct dispatcher **ret)
{
	/* A pinned actor's thread is its own: its children live with the others. */
	if (wanted == SM_DISPATCHER_PARENT && parent && parent->ref.dispatcher->index < system->dispatcher_count) {
		*ret = parent->ref.dispatcher;
		return SM_OK;
	}
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
	assert(props->receive && props->dispatcher >= SM_DISPATCHER_PARENT && props->dispatcher < (int)system->dispatcher_count);
	assert(!parent || parent->ref.dispatcher == actor__current);
	if (props->name && (!props->name[0] || strlen(props->name) > ACTOR_NAME_MAX || strchr(props->name, '/')))
		return SM_INVALID;
	if (parent && actor__at(parent) != ACTOR_RUNNING)
		return SM_CLOSED;
	struct dispatcher *dispatcher;
	enum sm_err err = choose_dispatcher(system, parent, props->dispatcher, &dispatcher);
	if (err)
		return err;
	struct sm_actor *a = actor_new(system, dispatcher, parent, props);
	if (!a) {
		give_back(system, dispatcher);
		return SM_NO_MEMORY;
	}
	struct sm_ref *ref = &a->ref;
	if (ret_ref)
		sm_ref_get(ref);
	if (parent)
		parent->has_had_children = true;
	pthread_mutex_lock(&system->tree_lock);
	err = tree_add(a, props);
	pthread_mutex_unlock(&system->tree_lock);
	if (err) {
		give_back(system, dispatcher);
		if (ret_ref)
			sm_unref(ref);
		actor_free(a);
		return err;
	}
	actor__post(ref->dispatcher, &ref->run);
	if (ret_ref)
		*ret_ref = ref;
	return SM_OK;
}

/* ---- paths ---- */

size_t actor__name_put(struct sm_actor *a, char out[ACTOR_NAME_MAX + 2])
{
	int size = a->has_name ? snprintf(out, ACTOR_NAME_MAX + 2, "/%s", name_of(a))
			       : snprintf(out, ACTOR_NAME_MAX + 2, "/$%llu",
					  (unsigned long long)a->number_high << 32 | (unsigned long long)a->number_low);
	return (size_t)size;
}

char *actor__path_make(struct sm_actor *a)
{
	static const char root[] = ACTOR_ROOT;
	char name[ACTOR_NAME_MAX + 2];
	size_t size = sizeof root;
	for (struct sm_actor *up = a; up; up = up->parent)
		size += actor__name_put(up, name);
	char *path = calloc(1, size);
	if (!path)
		return NULL;
	char *end = path + size - 1;
	for (struct sm_actor *up = a; up; up = up->parent) {
		size_t part = actor__name_put(up, name);
		memcpy(end -= part, name, part);
	}
	memcpy(path, root, sizeof root - 1);
	return path;
}

const char *sm_actor_path(struct sm_actor *self)
{
	struct actor_extra *extra = actor__extra(self);
	if (extra && !extra->path) {
		pthread_mutex_lock(&actor__system(self)->tree_lock);
		extra->path = actor__path_make(self);
		pthread_mutex_unlock(&actor__system(self)->tree_lock);
	}
	return extra && extra->path ? extra->path : "?";
}
