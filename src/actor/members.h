/* Who has subscribed to a type, or is registered under a key: a picture that does not change, counted. A change makes another one, so
 * whoever sends to all of them needs the registry's lock only to take the picture. Within the room. */
#ifndef ACTOR_MEMBERS_H
#define ACTOR_MEMBERS_H

#include "actor/actor_internal.h"

struct members {
	atomic_uint holders;
	uint32_t count;
	struct sm_ref *refs[]; /* counted */
};
void actor__members_release(struct members *members); /* NULL is allowed */
/* Those under a key that is good, now; counted; NULL: none. */
struct members *actor__registered(struct sm_system *system, const char *key);

#endif
