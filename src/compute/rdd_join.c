/* Joins and unions. A join shuffles both sides by the key, unless they lie so already; a task holds its bucket of the right side in a hash
 * table and streams the left.
 */
#include "compute/rdd_internal.h"
#include <stdlib.h>

struct join_node {
	struct dag_node node;
	uint32_t key_count;
	enum sm_join how;
};
/* A row of the right side. */
struct entry {
	uint64_t hash;
	struct batch *batch;
	uint32_t row;
	uint32_t next; /* of the same slot, index + 1, in the order they came */
	bool matched;
};
struct join_iterator {
	struct dag_iterator it;
	struct join_node *node;
	struct dag_task *task;
	struct dag_iterator *left, *right;
	struct batch_list held; /* the right side */
	struct entry *entries;
	uint32_t count, cap;
	uint32_t *slots; /* index + 1 of the first entry */
	uint32_t slot_count;
	bool loaded;
	/* The left row at work: */
	struct batch *batch;
	uint32_t row, candidate; /* index + 1 of the next entry to look at */
	bool row_begun, row_matched, left_ended;
	uint32_t unmatched; /* full join, at the end: next entry to look at */
};

static bool null_key(const struct batch *batch, uint32_t row, uint32_t keys)
{
	for (uint32_t i = 0; i < keys; i++)
		if (column_is_null(&batch->columns[i], row))
			return true;
	return false;
}

static bool same_key(const struct entry *e, const struct batch *batch, uint32_t row, uint32_t keys)
{
	for (uint32_t i = 0; i < keys; i++)
		if (value_compare(batch_get(e->batch, i, e->row), batch_get(batch, i, row)) != 0)
			return false;
	return true;
}

/* ---- the right side ---- */

static enum sm_err hold_batch(struct join_iterator *j, struct batch *batch, struct sm_error *reterr)
{
	size_t entries = batch->rows * (sizeof(struct entry) + 2 * sizeof(uint32_t));
	enum sm_err err = dag_task_charge(j->task, (int64_t)(batch_bytes(batch) + entries), "join", reterr);
	if (!err && j->count + batch->rows > j->cap) {
		uint32_t cap = j->cap ? j->cap * 2 : COMPUTE_BATCH_ROWS;
		while (cap < j->count + batch->rows)
			cap *= 2;
		struct entry *grown = realloc(j->entries, cap * sizeof *grown);
		j->entries = grown ? grown : j->entries;
		j->cap = grown ? cap : j->cap;
		err = grown ? SM_OK : SM_NO_MEMORY;
	}
	if (err) {
		batch_unref(batch);
		return err;
	}
	for (uint32_t row = 0; row < batch->rows; row++)
		j->entries[j->count++] = (struct entry){.hash = rdd_key_hash(batch, row, j->node->key_count), .batch = batch, .row = row};
	return batch_list_add(&j->held, batch);
}

/* From the last to the first, so that each slot's chain is in the order of the rows. */
static enum sm_err chain_entries(struct join_iterator *j)
{
	j->slot_count = 64;
	while (j->slot_count < j->count)
		j->slot_count *= 2;
	j->slots = calloc(j->slot_count, sizeof *j->slots);
	if (!j->slots)
		return SM_NO_MEMORY;
	for (uint32_t i = j->count; i-- > 0;) {
		uint32_t *slot = &j->slots[j->entries[i].hash & (j->slot_count - 1)];
		if (null_key(j->entries[i].batch, j->entries[i].row, j->node->key_count))
			continue;
		j->entries[i].next = *slot;
		*slot = i + 1;
	}
	return SM_OK;
}

static enum sm_err load(struct join_iterator *j, struct sm_error *reterr)
{
	struct batch *batch;
	enum sm_err err;
	while (!(err = j->right->ops->next(j->right, &batch, reterr)))
		if ((err = hold_batch(j, batch, reterr)))
			return err;
	if (err != SM_END)
		return err;
	j->loaded = true;
	return chain_entries(j);
}

/* ---- output ---- */

/* left or right may be NULL: its values are null, the key comes from the other. */
static enum sm_err put_row(struct join_iterator *j, struct batch *out, const struct batch *left, uint32_t left_row,
			   const struct entry *right)
{
	const struct row_type *left_type = j->node->node.parents[0].node->type;
	uint32_t keys = j->node->key_count, left_width = left_type->field_count;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < out->type->field_count && !err; i++) {
		struct value v = {.type = out->type->fields[i].type, .null = true};
		if (i < left_width && left)
			v = batch_get(left, i, left_row);
		else if (i < keys && right)
			v = batch_get(right->batch, i, right->row);
		else if (i >= left_width && right)
			v = batch_get(right->batch, i - left_width + keys, right->row);
		err = batch_put(out, i, v);
	}
	if (!err)
		batch_row_end(out);
	return err;
}

/* Matches of the left row at work until it has no more or out is full. */
static enum sm_err match_row(struct join_iterator *j, struct batch *out)
{
	uint32_t keys = j->node->key_count;
	if (!j->row_begun) {
		uint64_t hash = rdd_key_hash(j->batch, j->row, keys);
		j->candidate = null_key(j->batch, j->row, keys) ? 0 : j->slots[hash & (j->slot_count - 1)];
		j->row_begun = true;
		j->row_matched = false;
	}
	enum sm_err err = SM_OK;
	while (j->candidate && !err && !batch_is_full(out)) {
		struct entry *e = &j->entries[j->candidate - 1];
		j->candidate = e->next;
		if (!same_key(e, j->batch, j->row, keys))
			continue;
		e->matched = j->row_matched = true;
		err = put_row(j, out, j->batch, j->row, e);
	}
	if (err || j->candidate)
		return err;
	if (!j->row_matched && j->node->how != SM_INNER_JOIN)
		err = put_row(j, out, j->batch, j->row, NULL);
	j->row_begun = false;
	j->row++;
	return err;
}

static enum sm_err put_unmatched(struct join_iterator *j, struct batch *out)
{
	enum sm_err err = SM_OK;
	for (; j->unmatched < j->count && !err && !batch_is_full(out); j->unmatched++)
		if (!j->entries[j->unmatched].matched)
			err = put_row(j, out, NULL, 0, &j->entries[j->unmatched]);
	return err;
}

static enum sm_err fill(struct join_iterator *j, struct batch *out, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	while (!err && !j->left_ended && !batch_is_full(out)) {
		if (!j->batch) {
			err = j->left->ops->next(j->left, &j->batch, reterr);
			j->row = 0;
			j->left_ended = err == SM_END;
			continue;
		}
		err = match_row(j, out);
		if (j->row == j->batch->rows) {
			batch_unref(j->batch);
			j->batch = NULL;
		}
	}
	if (!j->left_ended || (err && err != SM_END))
		return err;
	err = j->node->how == SM_FULL_JOIN ? put_unmatched(j, out) : SM_OK;
	return err || out->rows ? err : SM_END;
}

static enum sm_err join_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct join_iterator *j = (struct join_iterator *)it;
	enum sm_err err = j->loaded ? SM_OK : load(j, reterr);
	if (err)
		return err;
	struct batch *out = batch_new(j->node->node.type);
	err = out ? fill(j, out, reterr) : SM_NO_MEMORY;
	if (err)
		batch_unref(out);
	else
		*ret_batch = out;
	return err;
}

static void join_free(struct dag_iterator *it)
{
	struct join_iterator *j = (struct join_iterator *)it;
	dag_iterator_free(j->left);
	dag_iterator_free(j->right);
	batch_unref(j->batch);
	batch_list_done(&j->held);
	free(j->entries);
	free(j->slots);
	free(j);
}

static const struct dag_iterator_ops join_it_ops = {join_next, join_free};

static enum sm_err join_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				struct sm_error *reterr)
{
	struct join_iterator *j = calloc(1, sizeof *j);
	if (!j)
		return SM_NO_MEMORY;
	j->it.ops = &join_it_ops;
	j->node = (struct join_node *)node;
	j->task = task;
	enum sm_err err = dag_read_parent(node, task, 0, partition, &j->left, reterr);
	if (!err)
		err = dag_read_parent(node, task, 1, partition, &j->right, reterr);
	if (err)
		join_free(&j->it);
	else
		*ret_it = &j->it;
	return err;
}

static void join_explain(const struct dag_node *node, struct buf *out)
{
	static const char *const names[] = {"inner", "left", "full"};
	buf_append_str(out, names[((const struct join_node *)node)->how]);
}

static const struct dag_node_ops join_ops = {.name = "join", .iterate = join_iterate, .explain = join_explain};

/* ---- building ---- */

static bool same_types(const struct row_type *a, const struct row_type *b, uint32_t count)
{
	if (a->field_count < count || b->field_count < count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (a->fields[i].type != b->fields[i].type)
			return false;
	return true;
}

static struct row_type *joined_type(struct sm_context *context, const struct row_type *left, const struct row_type *right, uint32_t keys)
{
	struct column_field *fields = calloc(left->field_count + right->field_count, sizeof *fields);
	if (!fields)
		return NULL;
	uint32_t count = left->field_count;
	memcpy(fields, left->fields, count * sizeof *fields);
	struct row_type *type = NULL;
	for (uint32_t i = keys; i < right->field_count; i++) {
		if (row_type_find(left, right->fields[i].name) >= 0) {
			rdd_broken(context, SM_INVALID,
				   "join: both sides have a column %s; give it another name on one side (with sm_rdd_map_to_pair)",
				   right->fields[i].name);
			goto done;
		}
		fields[count++] = right->fields[i];
	}
	type = row_type_new(fields, count);
done:
	free(fields);
	return type;
}

struct sm_rdd *sm_rdd_join(struct sm_rdd *left, struct sm_rdd *right, enum sm_join how)
{
	struct sm_context *context = left->context;
	if (rdd_is_broken(left) || rdd_is_broken(right))
		return &context->broken;
	uint32_t keys = left->key_count;
	if (keys == 0 || right->key_count != keys || !same_types(left->node->type, right->node->type, keys))
		return rdd_broken(context, SM_INVALID,
				  "join wants pairs whose keys are of the same types: make them with sm_rdd_map_to_pair");
	struct row_type *type = joined_type(context, left->node->type, right->node->type, keys);
	struct join_node *join = NULL;
	if (type)
		join = (struct join_node *)rdd_child(sizeof *join, &join_ops, type, context->shuffle_partitions, left->node,
						     rdd_by_key(left), keys);
	row_type_unref(type);
	if (join) {
		join->key_count = keys;
		join->how = how;
		if (dag_add_parent(&join->node, dag_ref(right->node), rdd_by_key(right), join->node.parents[0].key_columns, keys) !=
		    SM_OK) {
			dag_unref(&join->node);
			join = NULL;
		}
	}
	return rdd_mark_hashed(rdd_new(context, join ? &join->node : NULL, keys), true);
}

static enum sm_err union_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				 struct sm_error *reterr)
{
	uint32_t left = node->parents[0].node->partitions;
	return partition < left ? dag_read_parent(node, task, 0, partition, ret_it, reterr)
				: dag_read_parent(node, task, 1, partition - left, ret_it, reterr);
}

static const struct dag_node_ops union_ops = {.name = "union", .iterate = union_iterate};

struct sm_rdd *sm_rdd_union(struct sm_rdd *left, struct sm_rdd *right)
{
	struct sm_context *context = left->context;
	if (rdd_is_broken(left) || rdd_is_broken(right))
		return &context->broken;
	struct row_type *type = left->node->type;
	if (type->field_count != right->node->type->field_count || !same_types(type, right->node->type, type->field_count))
		return rdd_broken(context, SM_INVALID, "union wants rows of the same types on both sides");
	if (left->node->partitions + right->node->partitions > COMPUTE_PARTITIONS_MAX)
		return rdd_broken(context, SM_TOO_LARGE, "union: more than %d partitions", COMPUTE_PARTITIONS_MAX);
	uint32_t partitions = left->node->partitions + right->node->partitions;
	struct dag_node *node = rdd_child(sizeof *node, &union_ops, type, partitions, left->node, DAG_NARROW, 0);
	if (node && dag_add_parent(node, dag_ref(right->node), DAG_NARROW, NULL, 0) != SM_OK) {
		dag_unref(node);
		node = NULL;
	}
	return rdd_new(context, node, left->key_count == right->key_count ? left->key_count : 0);
}
