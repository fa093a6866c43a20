/* The pieces of large groups and what keeps them: for bulk.c, which writes, and bulk_read.c, which reads. */
#ifndef LOG_BULK_H
#define LOG_BULK_H

#include "log/log_internal.h"

#define BULK_PAGE 4096u

struct bulk {
	struct log_hold hold; /* first */
	atomic_uint refs;
	struct bulk *next;
	uint64_t segment; /* its id */
	uint64_t at;      /* position in the file */
	size_t size, cap;
	uint64_t ahead_ns; /* when it was read ahead of its readers; 0: somebody has asked for it */
	void *block;
	uint8_t *data; /* as far into a page as `at` is */
};

static inline uint64_t bulk_page_down(uint64_t position)
{
	return position / BULK_PAGE * BULK_PAGE;
}

static inline uint64_t bulk_page_up(uint64_t position)
{
	return bulk_page_down(position + BULK_PAGE - 1);
}

/* Room for cap bytes from `at` on, and for the whole pages around them. NULL: no memory. */
struct bulk *log__piece_new(const struct segment *segment, uint64_t at, size_t cap);
void log__piece_unref(struct bulk *piece);
/* Bytes of all pieces of this process. */
size_t log__pieces_held(void);
/* The list takes over the caller's reference. Under the cache's lock, as what follows. */
void log__bulk_list_add(struct bulk_list *list, struct bulk *piece);
void log__bulk_list_drop(struct bulk_list *list, struct bulk **at); /* at: what points to it */
/* The piece that has the byte at position. NULL: it is not here. */
struct bulk *log__bulk_find(const struct bulk_cache *cache, uint64_t segment, uint64_t position);
/* The segment's second descriptor. Errors: SM_AGAIN (the segment was dropped), as open. */
SM_MUST_CHECK enum sm_err log__bulk_open(struct segment *segment, struct sm_error *reterr);

#endif
