/* Linear probing with backward-shift deletion; at most 3/4 full. */
#include "base/map.h"
#include "base/hash.h"
#include <stdlib.h>

struct map_slot {
	uint64_t hash;
	uint8_t *key; /* malloc'ed; NULL only in a slot whose value is NULL, too, or for an empty key */
	size_t key_size;
	void *value; /* NULL: the slot is empty */
};

void map_init(struct map *map)
{
	*map = (struct map){0};
}

void map_done(struct map *map)
{
	for (size_t i = 0; i < map->cap; i++)
		free(map->slots[i].key);
	free(map->slots);
	map_init(map);
}

static struct map_slot *find(const struct map *map, struct bytes key, uint64_t hash)
{
	size_t mask = map->cap - 1;
	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct map_slot *s = &map->slots[i];
		if (!s->value || (s->hash == hash && bytes_equal(bytes_of(s->key, s->key_size), key)))
			return s;
	}
}

void *map_get(const struct map *map, struct bytes key)
{
	return map->cap ? find(map, key, hash64(key.data, key.size))->value : NULL;
}

static enum sm_err grow(struct map *map)
{
	size_t cap = map->cap ? map->cap * 2 : 16;
	struct map_slot *slots = calloc(cap, sizeof *slots), *old = map->slots;
	if (!slots)
		return SM_NO_MEMORY;
	for (size_t i = 0; i < map->cap; i++) {
		if (!old[i].value)
			continue;
		size_t at = old[i].hash & (cap - 1);
		while (slots[at].value)
			at = (at + 1) & (cap - 1);
		slots[at] = old[i];
	}
	free(old);
	map->slots = slots;
	map->cap = cap;
	return SM_OK;
}

enum sm_err map_put(struct map *map, struct bytes key, void *value, void **ret_old)
{
	if ((map->count + 1) * 4 > map->cap * 3) {
		enum sm_err err = grow(map);
		if (err)
			return err;
	}
	uint64_t hash = hash64(key.data, key.size);
	struct map_slot *s = find(map, key, hash);
	if (ret_old)
		*ret_old = s->value;
	if (!s->value) {
		uint8_t *copy = malloc(key.size ? key.size : 1);
		if (!copy)
			return SM_NO_MEMORY;
		if (key.size)
			memcpy(copy, key.data, key.size);
		*s = (struct map_slot){hash, copy, key.size, NULL};
		map->count++;
	}
	s->value = value;
	return SM_OK;
}

void *map_remove(struct map *map, struct bytes key)
{
	if (!map->cap)
		return NULL;
	struct map_slot *s = find(map, key, hash64(key.data, key.size));
	void *value = s->value;
	if (!value)
		return NULL;
	free(s->key);
	size_t mask = map->cap - 1, hole = (size_t)(s - map->slots);
	for (size_t i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
		/* Move back whatever may lie at the hole: its home is not between the hole and it. */
		size_t home = map->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole] = (struct map_slot){0};
	map->count--;
	return value;
}

bool map_next(const struct map *map, size_t *pos, struct bytes *ret_key, void **ret_value)
{
	/* Downward: a removal shifts entries back to smaller places, over which the walk has yet to go. What wraps around the
	 * table's end would be missed, so the walk begins behind an empty slot. */
	if (!map->cap || !map->count)
		return false;
	size_t mask = map->cap - 1;
	if (*pos == 0) {
		size_t start = 0;
		while (map->slots[start].value)
			start++;
		*pos = (start << 1 | 1) + ((uint64_t)map->cap << 32);
	}
	size_t left = *pos >> 32, at = (*pos & 0xffffffff) >> 1;
	while (left-- > 0) {
		at = (at - 1) & mask;
		*pos = ((uint64_t)left << 32) | at << 1 | 1;
		const struct map_slot *s = &map->slots[at];
		if (s->value) {
			if (ret_key)
				*ret_key = bytes_of(s->key, s->key_size);
			if (ret_value)
				*ret_value = s->value;
			return true;
		}
	}
	return false;
}
