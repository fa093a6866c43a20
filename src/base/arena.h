/* Arena: memory that dies together. One request, one parse tree, one batch has one. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/bytes.h"
#include <smack/error.h>
#include <stddef.h>

struct arena_block;
struct arena {
	struct arena_block *blocks;
	char *next, *end;
	size_t used, max; /* bytes handed out; most that may be (0: no bound) */
	bool over;        /* the bound has refused something */
};

/* bytes_max 0: no bound. Takes no memory until the first allocation. */
void arena_init(struct arena *arena, size_t bytes_max);
/* Free everything. The arena can be used again. */
void arena_done(struct arena *arena);
/* Forget everything but keep one block. */
void arena_reset(struct arena *arena);
/* Aligned to 16, zeroed. NULL: the bound is reached or memory is out (arena_error tells which). */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_alloc_raw(struct arena *arena, size_t size, size_t align); /* not zeroed */
void *arena_copy(struct arena *arena, const void *data, size_t size);
/* Copies with a terminating zero byte. */
char *arena_string(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *fmt, ...) SM_PRINTF(2, 3);
enum sm_err arena_error(const struct arena *arena); /* SM_TOO_LARGE or SM_NO_MEMORY */

#endif
