/* The tree of actors, under the system's lock. Within the room. */
#ifndef ACTOR_TREE_H
#define ACTOR_TREE_H

#include "actor/actor_internal.h"

/* Take an actor that ends out of the tree and tell its parent, if that waits. */
void actor__tree_remove(struct sm_actor *a);
/* True: there are no children. Else the youngest is asked to stop, and its look comes when one has ended. */
bool actor__children_ended(struct sm_actor *a);
/* What relatives have done since it was looked at last; taken from the actor. */
struct relatives {
	enum sm_err escalated, group_failed;
	bool group_stops;
	uint64_t group_delay_ns;
};
struct relatives actor__children_seen(struct sm_actor *a);
void actor__relatives(struct sm_actor *a, const struct relatives *r); /* supervise.c: what follows from it */
/* Tell the all-for-one siblings that a has failed. */
void actor__group_tell(struct sm_actor *a, enum sm_err why, bool stops, uint64_t delay_ns);
#define ACTOR_ROOT "/root"
/* The last part of its path, with the slash; returns its length. */
size_t actor__name_put(struct sm_actor *a, char out[ACTOR_NAME_MAX + 2]);
/* Its path, to be freed; NULL: no memory. Under the lock, which keeps the ancestors. */
char *actor__path_make(struct sm_actor *a);
/* The time in its handlers; only with options.observe. */
_Atomic uint64_t *actor__handler_ns(struct sm_actor *a);
/* The root's youngest child, counted; NULL: none. */
struct sm_ref *actor__root_youngest(struct sm_system *system);

#endif
