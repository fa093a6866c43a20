/* What few actors have, beside the actor: made when first needed. */
#include "actor/actor_internal.h"
#include <stdlib.h>

/* Others may look at it under the tree lock (sm_actors_each). */
struct actor_extra *actor__extra(struct sm_actor *a)
{
	struct actor_extra *extra = actor__extra_of(a);
	if (!extra && (extra = calloc(1, sizeof *extra)))
		atomic_store_explicit(&a->extra, extra, memory_order_release);
	return extra;
}

void actor__extra_done(struct sm_actor *a)
{
	struct actor_extra *extra = actor__extra_of(a);
	if (!extra)
		return;
	actor__restarts_done(a);
	if (extra->child_names)
		map_done(extra->child_names);
	free(extra->child_names);
	free(extra->timers);
	free(extra->path);
	free(extra);
	atomic_store_explicit(&a->extra, NULL, memory_order_relaxed);
}
