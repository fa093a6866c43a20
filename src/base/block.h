/* Large blocks of memory, those of struct buf among them, that come and go under load: those that were freed are kept for the next ones, so
 * that the system need not map and clear their pages again (a third of the CPU of a produce load). They are malloc's: free() is right for
 * them too, and block_free for any memory of malloc's. Thread: any. */
#ifndef BASE_BLOCK_H
#define BASE_BLOCK_H

#include <stddef.h>

#define BLOCK_MIN (128u << 10)     /* smaller ones are malloc's business */
#define BLOCK_KEPT_MAX (10u << 20) /* bytes kept */

/* At least size bytes; *ret_size: how many. NULL: no memory. */
void *block_new(size_t size, size_t *ret_size);
void block_free(void *block); /* NULL is allowed */
/* Give back to the system what is kept. */
void block_trim(void);

#endif
