/* Nodes: building, sharing, freeing. dag_plan.c cuts them into stages, dag_run.c runs those, dag_explain.c prints both. */
#include "compute/dag.h"
#include <assert.h>
#include <stdlib.h>

struct dag_node *dag_node_new(size_t size, const struct dag_node_ops *ops, struct row_type *type, uint32_t partitions)
{
	static uint32_t last_id;
	assert(size >= sizeof(struct dag_node));
	struct dag_node *node = calloc(1, size);
	if (!node)
		return NULL;
	node->ops = ops;
	node->refs = 1;
	node->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	node->partitions = partitions;
	node->type = row_type_ref(type);
	node->depth = 1;
	return node;
}

enum sm_err dag_add_parent(struct dag_node *node, struct dag_node *parent, enum dag_dependency dependency, const uint32_t *key_columns,
			   uint32_t key_count)
{
	assert(node->parent_count < sizeof node->parents / sizeof *node->parents);
	/* Tasks nest one iterator in the next, so a lineage without end would end the stack. */
	if (parent->depth >= COMPUTE_DEPTH_MAX) {
		dag_unref(parent);
		return SM_TOO_LARGE;
	}
	uint32_t *keys = NULL;
	if (key_count) {
		keys = malloc(key_count * sizeof *keys);
		if (!keys) {
			dag_unref(parent);
			return SM_NO_MEMORY;
		}
		memcpy(keys, key_columns, key_count * sizeof *keys);
	}
	node->parents[node->parent_count++] = (struct dag_parent){parent, dependency, keys, key_count};
	if (node->depth <= parent->depth)
		node->depth = parent->depth + 1;
	return SM_OK;
}

struct dag_node *dag_ref(struct dag_node *node)
{
	__atomic_add_fetch(&node->refs, 1, __ATOMIC_RELAXED);
	return node;
}

void dag_unref(struct dag_node *node)
{
	if (!node || __atomic_sub_fetch(&node->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	if (node->ops->free)
		node->ops->free(node);
	for (uint32_t i = 0; i < node->parent_count; i++) {
		dag_unref(node->parents[i].node);
		free((uint32_t *)node->parents[i].key_columns);
	}
	row_type_unref(node->type);
	free(node);
}

void dag_iterator_free(struct dag_iterator *it)
{
	if (it)
		it->ops->free(it);
}
