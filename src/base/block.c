#include "base/block.h"
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* In a kept block. */
struct kept {
	struct kept *next;
	size_t size;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *all;
static size_t kept_bytes;

/* The first that is large enough and not more than twice too large. */
static struct kept *take(size_t size)
{
	for (struct kept **at = &all; *at; at = &(*at)->next) {
		struct kept *k = *at;
		if (k->size >= size && k->size / 2 <= size) {
			*at = k->next;
			kept_bytes -= k->size;
			return k;
		}
	}
	return NULL;
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

void block_free(void *block)
{
	size_t size = malloc_usable_size(block);
	if (size < BLOCK_MIN || size > BLOCK_KEPT_MAX) {
		free(block);
		return;
	}
	pthread_mutex_lock(&lock);
	bool keep = kept_bytes + size <= BLOCK_KEPT_MAX;
	if (keep) {
		struct kept *k = block;
		*k = (struct kept){all, size};
		all = k;
		kept_bytes += size;
	}
	pthread_mutex_unlock(&lock);
	if (!keep)
		free(block);
}

void block_trim(void)
{
	pthread_mutex_lock(&lock);
	struct kept *first = all;
	all = NULL;
	kept_bytes = 0;
	pthread_mutex_unlock(&lock);
	while (first) {
		struct kept *k = first;
		first = k->next;
		free(k);
	}
}
