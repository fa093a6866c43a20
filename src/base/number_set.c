#include "base/number_set.h"
#include <stdlib.h>
#include <string.h>

#define FIRST 256

void number_set_clear(struct number_set *set)
{
	/* A set that was large once must not cost each small one after it. */
	if (set->cap > NUMBER_SET_KEPT || (set->cap > FIRST && set->count < set->cap / 16))
		number_set_done(set);
	else if (set->count)
		memset(set->slots, 0, set->cap * sizeof *set->slots);
	set->count = 0;
	set->any = false;
}

void number_set_done(struct number_set *set)
{
	free(set->slots);
	*set = (struct number_set){0};
}

/* Where it is, or would be. */
static size_t slot_of(const struct number_set *set, uint64_t number)
{
	size_t at = number & (set->cap - 1);
	while (set->slots[at] && set->slots[at] != number)
		at = (at + 1) & (set->cap - 1);
	return at;
}

/* At most half of the slots are taken. */
static bool grow(struct number_set *set)
{
	if ((set->count + 1) * 2 <= set->cap)
		return true;
	struct number_set more = {.count = set->count, .cap = set->cap ? set->cap * 2 : FIRST};
	if (!(more.slots = calloc(more.cap, sizeof *more.slots)))
		return false;
	for (size_t i = 0; i < set->cap; i++)
		if (set->slots[i])
			more.slots[slot_of(&more, set->slots[i])] = set->slots[i];
	free(set->slots);
	*set = more;
	return true;
}

bool number_set_add(struct number_set *set, uint64_t number)
{
	number += !number;
	if (set->any || !grow(set)) {
		set->any = true;
		return false;
	}
	size_t slot = slot_of(set, number);
	bool added = !set->slots[slot];
	set->slots[slot] = number;
	set->count += added;
	return added;
}

bool number_set_has(const struct number_set *set, uint64_t number)
{
	number += !number;
	return set->any || (set->count && set->slots[slot_of(set, number)]);
}
