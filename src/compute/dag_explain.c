/* The graph as text. RDDs are numbered from the sources on, so that the text is the same in each run. */
#include "compute/compute_internal.h"
#include <stdlib.h>

struct numbering {
	const struct dag_node **nodes;
	bool *printed; /* once all are numbered */
	uint32_t count, cap;
	bool failed;
};

static uint32_t number_of(const struct numbering *n, const struct dag_node *node)
{
	uint32_t i = 0;
	while (i < n->count && n->nodes[i] != node)
		i++;
	return i;
}

static void number(struct numbering *n, const struct dag_node *node)
{
	if (n->failed || number_of(n, node) < n->count)
		return;
	for (uint32_t i = 0; i < node->parent_count; i++)
		number(n, node->parents[i].node);
	if (n->count == n->cap) {
		uint32_t cap = n->cap ? n->cap * 2 : 16;
		const struct dag_node **nodes = realloc(n->nodes, cap * sizeof *nodes);
		n->nodes = nodes ? nodes : n->nodes;
		if (!nodes) {
			n->failed = true;
			return;
		}
		n->cap = cap;
	}
	n->nodes[n->count++] = node;
}

static void write_columns(const struct row_type *type, struct buf *out)
{
	buf_append_str(out, " (");
	for (uint32_t i = 0; i < type->field_count; i++)
		buf_printf(out, "%s%s %s", i ? ", " : "", type->fields[i].name, column_type_name(type->fields[i].type));
	buf_append_str(out, ")");
}

static void write_node(const struct dag_node *node, uint32_t id, struct buf *out)
{
	buf_printf(out, "%s [%u]", node->ops->name, id);
	if (node->ops->explain) {
		buf_append_str(out, " ");
		node->ops->explain(node, out);
	}
	write_columns(node->type, out);
	buf_append_str(out, "\n");
}

/* Spark's drawing: a stage's RDDs stand below each other behind " |  "; what is before a shuffle is set in behind " +-", and so is each of
 * several narrow parents behind " |-". The first line's prefix stands in out already. */
static void write_lineage(struct numbering *n, const struct dag_node *node, struct buf *prefix, bool first, struct buf *out)
{
	uint32_t id = number_of(n, node);
	if (first)
		buf_printf(out, "(%u) ", node->partitions);
	else
		buf_append_str(out, " |  ");
	if (n->printed[id]) {
		buf_printf(out, "%s [%u], as above\n", node->ops->name, id);
		return;
	}
	n->printed[id] = true;
	write_node(node, id, out);
	for (uint32_t i = 0; i < node->parent_count; i++) {
		const struct dag_parent *p = &node->parents[i];
		buf_append_bytes(out, buf_bytes(prefix));
		if (p->dependency == DAG_NARROW && node->parent_count == 1) {
			write_lineage(n, p->node, prefix, false, out);
			continue;
		}
		buf_append_str(out, p->dependency == DAG_NARROW ? " |-" : " +-");
		size_t end = prefix->end;
		buf_append_str(prefix, i + 1 == node->parent_count ? "   " : " | ");
		write_lineage(n, p->node, prefix, true, out);
		prefix->end = end;
	}
}

/* The operators of one stage, from its inputs to its end. */
static void write_operators(const struct numbering *n, const struct dag_node *node, bool *seen, const char **separator, struct buf *out)
{
	uint32_t id = number_of(n, node);
	if (seen[id])
		return;
	seen[id] = true;
	for (uint32_t i = 0; i < node->parent_count; i++)
		if (node->parents[i].dependency == DAG_NARROW)
			write_operators(n, node->parents[i].node, seen, separator, out);
	buf_printf(out, "%s%s [%u]", *separator, node->ops->name, id);
	*separator = ", ";
}

static void write_stage(const struct numbering *n, const struct stage_plan *plan, uint32_t i, struct buf *out)
{
	const struct stage *stage = &plan->stages[i];
	bool *seen = calloc(n->count, sizeof *seen);
	if (!seen) {
		out->failed = true;
		return;
	}
	buf_printf(out, "stage %u: %u task%s: ", i, stage->node->partitions, stage->node->partitions == 1 ? "" : "s");
	const char *separator = "";
	write_operators(n, stage->node, seen, &separator, out);
	free(seen);
	for (uint32_t k = 0; k < stage->need_count; k++)
		buf_printf(out, "%s%u", k == 0 ? "; after stage " : ", ", stage->needs[k]);
	if (!stage->child) {
		buf_append_str(out, "; result\n");
		return;
	}
	const struct dag_parent *p = &stage->child->parents[stage->parent];
	buf_printf(out, "; shuffle to %u", stage->child->partitions);
	for (uint32_t k = 0; k < p->key_count; k++)
		buf_printf(out, "%s%s", k ? ", " : " by ", stage->node->type->fields[p->key_columns[k]].name);
	buf_append_str(out, "\n");
}

void dag_explain(struct dag_node *node, struct buf *out)
{
	struct numbering n = {0};
	struct stage_plan plan = {0};
	struct buf prefix;
	buf_init(&prefix);
	number(&n, node);
	n.printed = calloc(n.count + 1, sizeof *n.printed);
	if (n.failed || !n.printed || dag__plan(node, &plan) != SM_OK) {
		out->failed = true;
		goto done;
	}
	write_lineage(&n, node, &prefix, true, out);
	for (uint32_t i = 0; i < plan.count; i++)
		write_stage(&n, &plan, i, out);
done:
	out->failed |= prefix.failed;
	dag__plan_done(&plan);
	buf_done(&prefix);
	free(n.nodes);
	free(n.printed);
}
