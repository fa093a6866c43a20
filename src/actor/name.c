/* Names by which an actor is found again from elsewhere: its path and its number, which no other actor of this system's life has. */
#include "actor/tree.h"
#include <stdio.h>
#include <stdlib.h>

static uint64_t number_of(const struct sm_actor *a)
{
	return (uint64_t)a->number_high << 32 | a->number_low;
}

bool actor_ref_name(struct sm_ref *ref, char *out, size_t size, uint64_t *ret_number)
{
	assert(actor_ref_sort(ref) == ACTOR_REF_ACTOR);
	if (actor_ref_closed(ref))
		return false; /* its system may have gone, too */
	struct sm_system *system = ref->dispatcher->system;
	pthread_mutex_lock(&system->tree_lock);
	struct sm_actor *a = CONTAINER(ref, struct sm_actor, ref);
	char *path = a->removed ? NULL : actor__path_make(a);
	*ret_number = number_of(a);
	pthread_mutex_unlock(&system->tree_lock);
	bool there = path && (size_t)snprintf(out, size, "%s", path) < size;
	free(path);
	return there;
}

/* Under the lock. */
static struct sm_actor *child_of(struct sm_system *system, struct sm_actor *parent, const char *segment, size_t size)
{
	struct actor_extra *extra = parent ? actor__extra_of(parent) : NULL;
	const struct map *names = !parent ? &system->child_names : extra ? extra->child_names : NULL;
	struct sm_actor *named = names ? map_get(names, bytes_of(segment, size)) : NULL;
	if (named || segment[0] != '$')
		return named;
	char *end;
	uint64_t number = strtoull(segment + 1, &end, 10);
	struct sm_actor *a = parent ? parent->youngest_child : system->youngest_child;
	while (a && (number_of(a) > number || a->has_name)) /* the youngest has the highest number */
		a = a->older;
	return a && number_of(a) == number && end == segment + size ? a : NULL;
}

enum sm_err actor_find(struct sm_system *system, const char *path, uint64_t number, struct sm_ref **ret_ref)
{
	const char *at = strncmp(path, "/root/", 6) == 0 ? path + 5 : "";
	struct sm_actor *a = NULL;
	pthread_mutex_lock(&system->tree_lock);
	while (*at == '/') {
		size_t size = strcspn(++at, "/");
		if (!size || !(a = child_of(system, a, at, size))) {
			a = NULL;
			break;
		}
		at += size;
	}
	bool found = a && (!number || number_of(a) == number) && !actor_ref_closed(&a->ref);
	if (found)
		*ret_ref = sm_ref_get(&a->ref);
	pthread_mutex_unlock(&system->tree_lock);
	return found ? SM_OK : SM_NOT_FOUND;
}
