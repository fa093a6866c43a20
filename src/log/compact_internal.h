/* What the files of compaction share: compact.c (what goes and what stays), key_map.c, compact_swap.c (files change places),
 * cleaner.c (which partition, and when). */
#ifndef LOG_COMPACT_INTERNAL_H
#define LOG_COMPACT_INTERNAL_H

#include "log/log_internal.h"

/* ---- key_map.c ---- */
struct key_slot;
struct key_map {
	struct key_slot *slots;
	uint32_t count, cap;
};
void key_map_done(struct key_map *map);
/* Room for so many more within keys_max. An empty one has always: one batch must go in. */
bool key_map_has_room(const struct key_map *map, int32_t keys, uint32_t keys_max);
/* The larger offset stays. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err key_map_put(struct key_map *map, struct bytes key, int64_t offset);
int64_t key_map_get(const struct key_map *map, struct bytes key); /* -1: not there */

/* ---- compact_swap.c ---- */

/* Sealed segments in a row that become one. */
struct compact_range {
	int64_t base_offset, next_offset;
	uint32_t count;
};
/* The segment of a range and its file, which gets its place by log__compact_swap. Errors: SM_CANCELLED (the partition goes). */
SM_MUST_CHECK enum sm_err log__compact_create(struct partition *p, int64_t base_offset, struct segment_writer *w, struct sm_error *reterr);
/* It is not needed after all. */
void log__compact_discard(struct partition *p, struct segment_writer *w);
/* Put the finished file in place of the range's segments. Takes the writer's segment in any case. Readers of what was there go on.
 * SM_CANCELLED: the segments are not there any more. */
SM_MUST_CHECK enum sm_err log__compact_swap(struct partition *p, const struct compact_range *range, struct segment_writer *w,
					    struct sm_error *reterr);

#endif
