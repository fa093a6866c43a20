/* The newest offset of each key, for compaction: open addressing over 16 bytes of the key's SHA-256. Clients choose keys, and two keys
 * taken for one would lose a record: so it is a hash in which nobody can make a collision. */
#include "log/compact_internal.h"
#include <openssl/sha.h>
#include <stdlib.h>

#define CAP_FIRST 1024

struct key_slot {
	uint8_t digest[16];
	int64_t offset; /* -1: empty */
};

void key_map_done(struct key_map *map)
{
	free(map->slots);
	*map = (struct key_map){.slots = NULL};
}

static uint32_t limit_of(uint32_t cap)
{
	return cap / 4 * 3;
}

bool key_map_has_room(const struct key_map *map, int32_t keys, uint32_t keys_max)
{
	return map->count == 0 || map->count + (uint64_t)keys <= keys_max;
}

static struct key_slot *slot_of(struct key_slot *slots, uint32_t cap, const uint8_t *digest)
{
	for (uint64_t at = be64_get(digest);; at++) {
		struct key_slot *s = &slots[at & (cap - 1)];
		if (s->offset < 0 || memcmp(s->digest, digest, sizeof s->digest) == 0)
			return s;
	}
}

static enum sm_err grow(struct key_map *map)
{
	if (map->cap > UINT32_MAX / 4)
		return SM_TOO_LARGE;
	uint32_t cap = map->cap ? map->cap * 2 : CAP_FIRST;
	struct key_slot *slots = malloc(cap * sizeof *slots);
	if (!slots)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < cap; i++)
		slots[i].offset = -1;
	for (uint32_t i = 0; i < map->cap; i++)
		if (map->slots[i].offset >= 0)
			*slot_of(slots, cap, map->slots[i].digest) = map->slots[i];
	free(map->slots);
	map->slots = slots;
	map->cap = cap;
	return SM_OK;
}

static void digest_of(struct bytes key, uint8_t out[SHA256_DIGEST_LENGTH])
{
	SHA256(key.size ? key.data : (const uint8_t *)"", key.size, out);
}

enum sm_err key_map_put(struct key_map *map, struct bytes key, int64_t offset)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	enum sm_err err;
	if (map->count >= limit_of(map->cap) && (err = grow(map)))
		return err;
	digest_of(key, digest);
	struct key_slot *s = slot_of(map->slots, map->cap, digest);
	if (s->offset < 0) {
		memcpy(s->digest, digest, sizeof s->digest);
		map->count++;
	}
	if (s->offset < offset)
		s->offset = offset;
	return SM_OK;
}

int64_t key_map_get(const struct key_map *map, struct bytes key)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	if (!map->count)
		return -1;
	digest_of(key, digest);
	return slot_of(map->slots, map->cap, digest)->offset;
}
