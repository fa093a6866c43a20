/* What actors of one kind have in common, kept once: thousands of them are spawned with the same props. */
#include "actor/actor_internal.h"
#include <stdlib.h>

#define LOOKED_AT 16 /* kinds that are compared with at a spawn: those that came last */

struct actor_kind {
	struct sm_props props; /* first: actors have its address */
	struct actor_kind *next, *prev;
	uint64_t actors;
};

static bool is_same(const struct sm_props *a, const struct sm_props *b)
{
	const struct sm_supervision *s = &a->supervision, *t = &b->supervision;
	return a->state_size == b->state_size && a->init == b->init && a->receive == b->receive && a->done == b->done &&
	       a->arg_done == b->arg_done && a->mailbox_max == b->mailbox_max && a->dispatcher == b->dispatcher &&
	       a->overflow == b->overflow && a->lanes == b->lanes && s->restarts_max == t->restarts_max && s->window_ms == t->window_ms &&
	       s->backoff_min_ms == t->backoff_min_ms && s->backoff_max_ms == t->backoff_max_ms && s->jitter_percent == t->jitter_percent &&
	       s->all_for_one == t->all_for_one && s->escalate_at_limit == t->escalate_at_limit && s->decide == t->decide;
}

static struct actor_kind *kind_find(struct sm_system *system, const struct sm_props *props, uint32_t stash_max)
{
	struct actor_kind *k = system->kinds;
	for (uint32_t n = 0; k && n < LOOKED_AT; n++, k = k->next)
		if (k->props.stash_max == stash_max && is_same(&k->props, props))
			return k;
	return NULL;
}

const struct sm_props *actor__props_take(struct sm_system *system, const struct sm_props *given, uint32_t stash_max)
{
	struct actor_kind *k = kind_find(system, given, stash_max);
	if (!k) {
		if (!(k = calloc(1, sizeof *k)))
			return NULL;
		k->props = *given;
		k->props.name = NULL; /* each actor's own */
		k->props.arg = NULL;
		k->props.stash_max = stash_max;
		k->next = system->kinds;
		if (k->next)
			k->next->prev = k;
		system->kinds = k;
	}
	k->actors++;
	return &k->props;
}

void actor__props_give(struct sm_system *system, const struct sm_props *props)
{
	struct actor_kind *k = (struct actor_kind *)(uintptr_t)props;
	if (--k->actors)
		return;
	if (k->prev)
		k->prev->next = k->next;
	else
		system->kinds = k->next;
	if (k->next)
		k->next->prev = k->prev;
	free(k);
}
