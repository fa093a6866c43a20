/* The tree of actors, under the system's lock. Within the room. */
#ifndef ACTOR_TREE_H
#define ACTOR_TREE_H

#include "actor/actor_internal.h"

/* Take an actor that ends out of the tree and tell its parent, if that waits. */
void actor__tree_remove(struct sm_actor *a);
/* True: there are no children. Else the youngest is asked to stop, and actor__children_task comes when one has ended. */
bool actor__children_ended(struct sm_actor *a);
/* The first thing that actor__children_task does. */
void actor__children_seen(struct sm_actor *a);
void actor__children_task(struct actor_task *task); /* lifecycle.c */
/* The root's youngest child, counted; NULL: none. */
struct sm_ref *actor__root_youngest(struct sm_system *system);

#endif
