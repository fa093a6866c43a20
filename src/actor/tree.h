/* The tree of actors, under the system's lock. Within the room. */
#ifndef ACTOR_TREE_H
#define ACTOR_TREE_H

#include "actor/actor_internal.h"

/* Take an actor that ends out of the tree and tell its parent, if that waits. */
void actor__tree_remove(struct sm_actor *a);
/* True: there are no children. Else the youngest is asked to stop, and actor__children_task comes when one has ended. */
bool actor__children_ended(struct sm_actor *a);
/* What relatives have done since the task ran last; taken from the actor. */
struct relatives {
	enum sm_err escalated, group_failed;
	bool group_stops;
	uint64_t group_delay_ns;
};
/* The first thing that actor__children_task does. */
struct relatives actor__children_seen(struct sm_actor *a);
void actor__children_task(struct actor_task *task); /* supervise.c */
/* Tell the all-for-one siblings that a has failed. */
void actor__group_tell(struct sm_actor *a, enum sm_err why, bool stops, uint64_t delay_ns);
const char *actor__tree_path(struct sm_actor *a); /* under the lock */
/* The root's youngest child, counted; NULL: none. */
struct sm_ref *actor__root_youngest(struct sm_system *system);

#endif
