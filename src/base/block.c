#include "base/block.h"
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* In a kept block. The newest is the first to be taken, the oldest the first to go: what nobody needs does not fill the place. */
struct kept {
	struct kept *newer, *older;
	size_t size;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *newest, *oldest;
static size_t kept_bytes;

static void kept_remove(struct kept *k)
{
	*(k->newer ? &k->newer->older : &newest) = k->older;
	*(k->older ? &k->older->newer : &oldest) = k->newer;
	kept_bytes -= k->size;
}

/* One that is large enough and not more than twice too large. */
static struct kept *take(size_t size)
{
	struct kept *k = newest;
	while (k && (k->size < size || k->size / 2 > size))
		k = k->older;
	if (k)
		kept_remove(k);
	return k;
}

void *block_new(size_t size, size_t *ret_size)
{
	struct kept *k = NULL;
	if (size >= BLOCK_MIN) {
		pthread_mutex_lock(&lock);
		k = take(size);
		pthread_mutex_unlock(&lock);
	}
	if (k) {
		*ret_size = k->size;
		return k;
	}
	void *block = malloc(size ? size : 1);
	if (block)
		*ret_size = size;
	return block;
}

static void free_all(struct kept *k)
{
	for (struct kept *older; k; k = older) {
		older = k->older;
		free(k);
	}
}

void block_free(void *block)
{
	size_t size = malloc_usable_size(block);
	if (size < BLOCK_MIN || size > BLOCK_KEPT_MAX) {
		free(block);
		return;
	}
	struct kept *k = block, *gone = NULL;
	pthread_mutex_lock(&lock);
	*k = (struct kept){NULL, newest, size};
	*(newest ? &newest->newer : &oldest) = k;
	newest = k;
	kept_bytes += size;
	while (oldest && kept_bytes > BLOCK_KEPT_MAX) {
		struct kept *last = oldest;
		kept_remove(last);
		last->older = gone;
		gone = last;
	}
	pthread_mutex_unlock(&lock);
	free_all(gone);
}

void block_trim(void)
{
	pthread_mutex_lock(&lock);
	struct kept *all = newest;
	newest = oldest = NULL;
	kept_bytes = 0;
	pthread_mutex_unlock(&lock);
	free_all(all);
}
