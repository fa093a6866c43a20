/* Lists of batches: what a task keeps of its output, and the shuffle's dealing out of rows to buckets. */
#include "compute/compute_internal.h"
#include <stdlib.h>

enum sm_err batch_list_add(struct batch_list *list, struct batch *batch)
{
	if (list->count == list->cap) {
		uint32_t cap = list->cap ? list->cap * 2 : 4;
		struct batch **items = realloc(list->items, cap * sizeof(struct batch *));
		if (!items) {
			batch_unref(batch);
			return SM_NO_MEMORY;
		}
		list->items = items;
		list->cap = cap;
	}
	list->items[list->count++] = batch;
	list->bytes += batch_bytes(batch);
	return SM_OK;
}

void batch_list_done(struct batch_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		batch_unref(list->items[i]);
	free(list->items);
	*list = (struct batch_list){0};
}

/* ---- shuffle ---- */

static enum sm_err keep(struct scatter *s, uint32_t bucket, struct batch *batch, struct sm_error *reterr)
{
	enum sm_err err = dag_task_charge(s->task, (int64_t)batch_bytes(batch), "shuffle output", reterr);
	if (err) {
		batch_unref(batch);
		return err;
	}
	return batch_list_add(&s->full[bucket], batch);
}

static uint32_t bucket_of(const struct scatter *s, const struct batch *batch, uint32_t row)
{
	uint64_t hash = 0;
	for (uint32_t k = 0; k < s->key_count; k++)
		hash = value_hash(batch_get(batch, s->keys[k], row), hash);
	return (uint32_t)(hash % s->bucket_count);
}

enum sm_err scatter_batch(struct scatter *s, struct batch *batch, struct sm_error *reterr)
{
	/* Everything goes to one place: hand the batch on as it is. */
	if (s->key_count == 0 || s->bucket_count == 1)
		return keep(s, 0, batch_ref(batch), reterr);
	for (uint32_t row = 0; row < batch->rows; row++) {
		uint32_t bucket = bucket_of(s, batch, row);
		struct batch **open = &s->open[bucket];
		if (!*open && !(*open = batch_new(batch->type)))
			return SM_NO_MEMORY;
		enum sm_err err = batch_copy_row(*open, batch, row);
		if (err)
			return err;
		if (batch_is_full(*open)) {
			struct batch *full = *open;
			*open = NULL;
			if ((err = keep(s, bucket, full, reterr)))
				return err;
		}
	}
	return SM_OK;
}

enum sm_err scatter_end(struct scatter *s, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < s->bucket_count; i++) {
		struct batch *last = s->open[i];
		s->open[i] = NULL;
		enum sm_err err = last ? keep(s, i, last, reterr) : SM_OK;
		if (err)
			return err;
	}
	return SM_OK;
}

/* ---- reading ---- */

struct lists_iterator {
	struct dag_iterator it;
	const struct batch_list *lists;
	uint32_t count, list, item;
	size_t stride;
};

static enum sm_err lists_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct lists_iterator *l = (struct lists_iterator *)it;
	for (; l->list < l->count; l->list++, l->item = 0) {
		const struct batch_list *list = &l->lists[l->list * l->stride];
		if (l->item < list->count) {
			*ret_batch = batch_ref(list->items[l->item++]);
			return SM_OK;
		}
	}
	return SM_END;
}

static void lists_free(struct dag_iterator *it)
{
	free(it);
}

static const struct dag_iterator_ops lists_ops = {lists_next, lists_free};

enum sm_err batch_lists_iterate(const struct batch_list *lists, uint32_t count, size_t stride, struct dag_iterator **ret_it)
{
	struct lists_iterator *l = calloc(1, sizeof *l);
	if (!l)
		return SM_NO_MEMORY;
	*l = (struct lists_iterator){.it = {&lists_ops}, .lists = lists, .count = count, .stride = stride};
	*ret_it = &l->it;
	return SM_OK;
}
