/* Batches in memory as a source. */
#include "compute/compute_internal.h"
#include <stdlib.h>

struct values {
	struct dag_node node;
	struct batch_list *lists; /* one a partition */
};

static enum sm_err values_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				  struct sm_error *reterr)
{
	return batch_lists_iterate(&((struct values *)node)->lists[partition], 1, 1, ret_it);
}

static void values_free(struct dag_node *node)
{
	struct values *values = (struct values *)node;
	for (uint32_t i = 0; values->lists && i < node->partitions; i++)
		batch_list_done(&values->lists[i]);
	free(values->lists);
}

static void values_explain(const struct dag_node *node, struct buf *out)
{
	const struct values *values = (const struct values *)node;
	uint64_t rows = 0;
	for (uint32_t i = 0; i < node->partitions; i++)
		for (uint32_t k = 0; k < values->lists[i].count; k++)
			rows += values->lists[i].items[k]->rows;
	buf_printf(out, "%llu rows", (unsigned long long)rows);
}

static const struct dag_node_ops values_ops = {"values", values_iterate, values_free, values_explain};

enum sm_err dag__values(struct row_type *type, struct batch *const *batches, uint32_t count, uint32_t partitions,
			struct dag_node **ret_node)
{
	struct values *values = (struct values *)dag_node_new(sizeof *values, &values_ops, type, partitions);
	enum sm_err err = values ? SM_OK : SM_NO_MEMORY;
	if (!err && !(values->lists = calloc(partitions, sizeof *values->lists)))
		err = SM_NO_MEMORY;
	for (uint32_t i = 0; i < count && !err; i++)
		err = batch_list_add(&values->lists[i % partitions], batch_ref(batches[i]));
	if (err)
		dag_unref(values ? &values->node : NULL);
	else
		*ret_node = &values->node;
	return err;
}

enum sm_err dag_values(struct row_type *type, struct batch *const *batches, uint32_t count, struct dag_node **ret_node)
{
	return dag__values(type, batches, count, 1, ret_node);
}
