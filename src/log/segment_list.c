/* The files of a partition's directory. */
#include "log/log_internal.h"
#include <stdlib.h>

static enum sm_err visit(void *arg, const char *name)
{
	static const char *const beside[] = {".index", ".timeindex", ".txnindex", ".snapshot"};
	struct segment_list *l = arg;
	int64_t offset = log__segment_name_parse(name, ".log");
	for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
		if (log__segment_name_parse(name, beside[i]) > l->named)
			l->named = log__segment_name_parse(name, beside[i]);
	l->compaction |= log__segment_name_parse(name, ".cleaned") >= 0 || log__segment_name_parse(name, ".swap") >= 0;
	if (offset < 0)
		return SM_OK;
	if (l->count == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 16;
		int64_t *grown = realloc(l->offsets, cap * sizeof *grown);
		if (!grown)
			return SM_NO_MEMORY;
		l->offsets = grown;
		l->cap = cap;
	}
	l->offsets[l->count++] = offset;
	return SM_OK;
}

static int by_offset(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

enum sm_err log__segments_list(struct io *io, const char *dir, struct segment_list *ret, struct sm_error *reterr)
{
	struct segment_list list = {.named = -1};
	enum sm_err err = io->ops->list(io, dir, visit, &list, reterr);
	if (err) {
		free(list.offsets);
		return err;
	}
	if (list.count)
		qsort(list.offsets, list.count, sizeof *list.offsets, by_offset);
	*ret = list;
	return SM_OK;
}
