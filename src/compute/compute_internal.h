/* What the files of this room share and nobody else sees. */
#ifndef COMPUTE_INTERNAL_H
#define COMPUTE_INTERNAL_H

#include "compute/dag.h"

/* ---- dag_plan.c: a graph cut into stages ---- */

struct stage {
	struct dag_node *node; /* one task for each of its partitions */
	/* What the stage is for: input number `parent` of child, a shuffle. child NULL: the result. */
	struct dag_node *child;
	uint32_t parent;
	uint32_t *needs; /* stages that must be done before */
	uint32_t need_count;
};
/* Stages stand after those that they need; the last makes the result. */
struct stage_plan {
	struct stage *stages;
	uint32_t count;
};
SM_MUST_CHECK enum sm_err dag__plan(struct dag_node *node, struct stage_plan *ret_plan);
void dag__plan_done(struct stage_plan *plan);
/* The stage that fills a shuffled input. */
uint32_t dag__plan_find(const struct stage_plan *plan, const struct dag_node *child, uint32_t parent);

/* ---- batch_list.c ---- */

struct batch_list {
	struct batch **items;
	uint32_t count, cap;
	uint64_t bytes;
};
/* Takes the reference, also when it fails. */
SM_MUST_CHECK enum sm_err batch_list_add(struct batch_list *list, struct batch *batch);
void batch_list_done(struct batch_list *list);

/* Rows dealt out to buckets by the hash of their keys. */
struct scatter {
	struct dag_task *task;
	const uint32_t *keys;
	uint32_t key_count, bucket_count;
	struct batch **open;     /* one being filled a bucket, or NULL */
	struct batch_list *full; /* one a bucket */
};
SM_MUST_CHECK enum sm_err scatter_batch(struct scatter *s, struct batch *batch, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err scatter_end(struct scatter *s, struct sm_error *reterr);
/* An iterator over the batches of several lists one after the other; they are borrowed. */
SM_MUST_CHECK enum sm_err batch_lists_iterate(const struct batch_list *lists, uint32_t count, size_t stride, struct dag_iterator **ret_it);

/* dag_values over several partitions, batch by batch in turn. */
SM_MUST_CHECK enum sm_err dag__values(struct row_type *type, struct batch *const *batches, uint32_t count, uint32_t partitions,
				      struct dag_node **ret_node);

/* Rows of a dag_table_scan node that another read gives. */
SM_MUST_CHECK enum sm_err dag__table_open(struct dag_node *node, const struct store_read *read, struct dag_iterator **ret_it,
					  struct sm_error *reterr);
const struct store_table *dag__table_of(const struct dag_node *node);
/* A value as a cell of a column, by the rules of table_writer. */
SM_MUST_CHECK enum sm_err value_to_cell(const struct store_table *table, const struct store_column *column, struct value v,
					struct arena *arena, struct store_cell *ret_cell, struct sm_error *reterr);

static inline bool batch_is_full(const struct batch *batch)
{
	return batch->rows >= COMPUTE_BATCH_ROWS || ((batch->rows & 63) == 0 && batch_bytes(batch) >= COMPUTE_BATCH_BYTES);
}

#endif
