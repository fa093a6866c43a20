/* Hash map from bytes to pointers: open addressing, keys are copied. Thread: the owner's. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/bytes.h"

struct map_slot;
struct map {
	struct map_slot *slots;
	size_t count, cap;
};
void map_init(struct map *map);
void map_done(struct map *map); /* keys only; values are the caller's */
void *map_get(const struct map *map, struct bytes key);
/* Put or replace; the value that was there, or NULL, in *ret_old (may be NULL). value is not NULL. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err map_put(struct map *map, struct bytes key, void *value, void **ret_old);
void *map_remove(struct map *map, struct bytes key); /* the value that was there, or NULL */
/* Walk in no order: start with *pos = 0, until false. Removing the current key is allowed, putting is not. */
bool map_next(const struct map *map, size_t *pos, struct bytes *ret_key, void **ret_value);

#endif
