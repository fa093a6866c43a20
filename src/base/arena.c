#include "base/arena.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES 4096
#define BLOCK_BYTES_MAX (1u << 20)

struct arena_block {
	struct arena_block *next;
	size_t size; /* of data */
	_Alignas(16) char data[];
};

void arena_init(struct arena *arena, size_t bytes_max)
{
	*arena = (struct arena){.max = bytes_max};
}

void arena_done(struct arena *arena)
{
	for (struct arena_block *b = arena->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	arena_init(arena, arena->max);
}

void arena_reset(struct arena *arena)
{
	struct arena_block *keep = arena->blocks;
	arena->over = false;
	if (!keep)
		return;
	struct arena_block *rest = keep->next;
	/* A block for one large allocation is not worth keeping. */
	if (keep->size > BLOCK_BYTES_MAX) {
		arena_done(arena);
		return;
	}
	for (struct arena_block *next; rest; rest = next) {
		next = rest->next;
		free(rest);
	}
	keep->next = NULL;
	arena->next = keep->data;
	arena->end = keep->data + keep->size;
	arena->used = 0;
}

static bool grow(struct arena *arena, size_t need)
{
	size_t size = arena->blocks ? arena->blocks->size * 2 : BLOCK_BYTES;
	if (size > BLOCK_BYTES_MAX)
		size = BLOCK_BYTES_MAX;
	if (size < need)
		size = need;
	struct arena_block *b = malloc(sizeof *b + size);
	if (!b)
		return false;
	b->next = arena->blocks;
	b->size = size;
	arena->blocks = b;
	arena->next = b->data;
	arena->end = b->data + size;
	return true;
}

void *arena_alloc_raw(struct arena *arena, size_t size, size_t align)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	if (arena->max && (size > arena->max || arena->used > arena->max - size)) {
		arena->over = true;
		return NULL;
	}
	uintptr_t at = ((uintptr_t)arena->next + align - 1) & ~(uintptr_t)(align - 1);
	if (!arena->next || at + size > (uintptr_t)arena->end) {
		if (!grow(arena, size + align))
			return NULL;
		at = ((uintptr_t)arena->next + align - 1) & ~(uintptr_t)(align - 1);
	}
	arena->next = (char *)at + size;
	arena->used += size;
	return (void *)at;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	void *p = arena_alloc_raw(arena, size, 16);
	return p ? memset(p, 0, size) : NULL;
}

void *arena_copy(struct arena *arena, const void *data, size_t size)
{
	void *p = arena_alloc_raw(arena, size, 16);
	if (p && size)
		memcpy(p, data, size);
	return p;
}

char *arena_string(struct arena *arena, const char *text, size_t length)
{
	char *p = arena_alloc_raw(arena, length + 1, 1);
	if (p) {
		if (length)
			memcpy(p, text, length);
		p[length] = 0;
	}
	return p;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	char *p = n < 0 ? NULL : arena_alloc_raw(arena, (size_t)n + 1, 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

enum sm_err arena_error(const struct arena *arena)
{
	return arena->over ? SM_TOO_LARGE : SM_NO_MEMORY;
}
