#include "kafka/partition_set.h"
#include <stdlib.h>

int partition_id__compare(const struct partition_id *a, const struct partition_id *b)
{
	int order = memcmp(&a->topic, &b->topic, sizeof a->topic);
	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int compare_any(const void *a, const void *b)
{
	return partition_id__compare(a, b);
}

void partition_set__done(struct partition_set *set)
{
	free(set->items);
	*set = (struct partition_set){0};
}

void partition_set__move(struct partition_set *a, struct partition_set *b)
{
	free(a->items);
	*a = *b;
	*b = (struct partition_set){0};
}

bool partition_set__has(const struct partition_set *set, const struct partition_id *id)
{
	return set->count && bsearch(id, set->items, set->count, sizeof *set->items, compare_any);
}

bool partition_set__equal(const struct partition_set *a, const struct partition_set *b)
{
	return a->count == b->count && partition_set__within(a, b);
}

bool partition_set__meets(const struct partition_set *a, const struct partition_set *b)
{
	for (uint32_t i = 0; i < a->count; i++) {
		if (partition_set__has(b, &a->items[i]))
			return true;
	}
	return false;
}

bool partition_set__within(const struct partition_set *inner, const struct partition_set *outer)
{
	for (uint32_t i = 0; i < inner->count; i++) {
		if (!partition_set__has(outer, &inner->items[i]))
			return false;
	}
	return true;
}

enum sm_err partition_set__make(const struct partition_set *a, enum partition_set_op op, const struct partition_set *b,
				struct partition_set *ret_set)
{
	size_t most = a->count + (size_t)(op == SET_EITHER ? b->count : 0);
	*ret_set = (struct partition_set){0};
	if (!most)
		return SM_OK;
	struct partition_id *items = malloc(most * sizeof *items);
	if (!items)
		return SM_NO_MEMORY;
	uint32_t i = 0, k = 0, n = 0;
	while (i < a->count || (k < b->count && op == SET_EITHER)) {
		int order = i == a->count ? 1 : k == b->count ? -1 : partition_id__compare(&a->items[i], &b->items[k]);
		bool keep = op == SET_EITHER || (op == SET_BOTH) == (order == 0);
		if (order <= 0) {
			if (keep)
				items[n++] = a->items[i];
			i++;
		} else if (op == SET_EITHER) {
			items[n++] = b->items[k];
		}
		k += order >= 0;
	}
	*ret_set = (struct partition_set){items, n};
	return SM_OK;
}

void partition_set__sort(struct partition_set *set)
{
	if (set->count < 2)
		return;
	qsort(set->items, set->count, sizeof *set->items, compare_any);
	uint32_t n = 1;
	for (uint32_t i = 1; i < set->count; i++) {
		if (partition_id__compare(&set->items[i], &set->items[n - 1]) != 0)
			set->items[n++] = set->items[i];
	}
	set->count = n;
}
