/* Rows with equal keys folded into one: reduce_by_key and distinct, before the shuffle and after it. A group is an array of values that
 * changes in place, so memory follows the number of keys, not of rows. */
#include "compute/rdd_internal.h"
#include <stdlib.h>

struct group_node {
	struct dag_node node;
	uint32_t key_count;
	sm_reduce_fn reduce; /* NULL: the rows are their keys */
	void *arg;
};
struct group {
	uint64_t hash;
	struct value *values; /* a row; bytes of the key lie in the arena, bytes of values are malloc'ed */
};
struct group_iterator {
	struct dag_iterator it;
	struct group_node *node;
	struct dag_task *task;
	struct dag_iterator *in;
	struct arena arena;
	int64_t charged;
	struct group *groups; /* in the order of their first rows */
	uint32_t count, cap;
	uint32_t *slots; /* index + 1; 0: free. A power of two, at most half full */
	uint32_t slot_count;
	uint32_t next; /* to hand out; the input is read once loaded is set */
	bool loaded;
	struct sm_out out;
	struct row_fault fault;
};

uint64_t rdd_key_hash(const struct batch *batch, uint32_t row, uint32_t keys)
{
	uint64_t hash = 1;
	for (uint32_t i = 0; i < keys; i++)
		hash = value_hash(batch_get(batch, i, row), hash);
	return hash;
}

static bool has_bytes(struct value v)
{
	return !v.null && (v.type == COLUMN_TEXT || v.type == COLUMN_BLOB || v.type == COLUMN_UUID);
}

static bool same_key(const struct group *group, const struct batch *batch, uint32_t row, uint32_t keys)
{
	for (uint32_t i = 0; i < keys; i++)
		if (value_compare(group->values[i], batch_get(batch, i, row)) != 0)
			return false;
	return true;
}

static enum sm_err grow_slots(struct group_iterator *g)
{
	uint32_t wanted = g->slot_count ? g->slot_count * 2 : 64;
	uint32_t *slots = calloc(wanted, sizeof *slots);
	if (!slots)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < g->count; i++) {
		uint32_t at = (uint32_t)g->groups[i].hash & (wanted - 1);
		while (slots[at])
			at = (at + 1) & (wanted - 1);
		slots[at] = i + 1;
	}
	free(g->slots);
	g->slots = slots;
	g->slot_count = wanted;
	return SM_OK;
}

/* In steps, as asking for each group would cost more than the group. */
static enum sm_err charge(struct group_iterator *g, struct sm_error *reterr)
{
	int64_t now = (int64_t)(g->arena.used + g->cap * sizeof(struct group) + g->slot_count * sizeof(uint32_t));
	if (now < g->charged + 65536)
		return SM_OK;
	enum sm_err err = dag_task_charge(g->task, now - g->charged, g->node->node.ops->name, reterr);
	if (!err)
		g->charged = now;
	return err;
}

static enum sm_err copy_bytes(struct value *v)
{
	if (!has_bytes(*v))
		return SM_OK;
	uint8_t *copy = malloc(v->bytes.size + 1);
	if (!copy)
		return SM_NO_MEMORY;
	if (v->bytes.size)
		memcpy(copy, v->bytes.data, v->bytes.size);
	v->bytes.data = copy;
	return SM_OK;
}

static enum sm_err add_group(struct group_iterator *g, uint64_t hash, const struct batch *batch, uint32_t row)
{
	uint32_t width = g->node->node.type->field_count;
	if (g->count == g->cap) {
		uint32_t cap = g->cap ? g->cap * 2 : 32;
		struct group *groups = realloc(g->groups, cap * sizeof *groups);
		if (!groups)
			return SM_NO_MEMORY;
		g->groups = groups;
		g->cap = cap;
	}
	struct value *values = arena_alloc(&g->arena, width * sizeof *values);
	if (!values)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < width; i++) {
		values[i] = (struct value){.type = batch->columns[i].type, .null = true};
		struct value v = batch_get(batch, i, row);
		if (i >= g->node->key_count) {
			enum sm_err err = copy_bytes(&v);
			if (err)
				goto failed;
		} else if (has_bytes(v)) {
			v.bytes.data = arena_copy(&g->arena, v.bytes.data, v.bytes.size);
			if (!v.bytes.data)
				goto failed;
		}
		values[i] = v;
	}
	g->groups[g->count++] = (struct group){hash, values};
	return SM_OK;
failed:
	for (uint32_t i = g->node->key_count; i < width; i++)
		if (has_bytes(values[i]))
			free((uint8_t *)values[i].bytes.data);
	return SM_NO_MEMORY;
}

/* The new values may borrow from the old ones, also crosswise: copy all, then free all. */
static enum sm_err replace(struct group_iterator *g, struct group *group)
{
	uint32_t from = g->node->key_count, width = g->node->node.type->field_count;
	for (uint32_t i = from; i < width; i++) {
		enum sm_err err = copy_bytes(&g->out.staged[i]);
		if (err) {
			while (i-- > from)
				if (has_bytes(g->out.staged[i]))
					free((uint8_t *)g->out.staged[i].bytes.data);
			return err;
		}
	}
	for (uint32_t i = from; i < width; i++) {
		if (has_bytes(group->values[i]))
			free((uint8_t *)group->values[i].bytes.data);
		group->values[i] = g->out.staged[i];
	}
	return SM_OK;
}

static enum sm_err fold(struct group_iterator *g, struct group *group, const struct batch *batch, uint32_t row, struct sm_error *reterr)
{
	if (!g->node->reduce)
		return SM_OK;
	struct row_type *type = g->node->node.type;
	struct sm_row a = {.type = type, .values = group->values, .fault = &g->fault};
	struct sm_row b = {.type = type, .batch = batch, .index = row, .fault = &g->fault};
	out_clear(&g->out, g->node->key_count);
	g->out.emitted = 0;
	enum sm_err err = g->node->reduce(&a, &b, &g->out, g->node->arg);
	const struct row_fault *fault = g->fault.err ? &g->fault : &g->out.fault;
	if (!err && !fault->err && g->out.emitted != 1) {
		row_fault_set(&g->out.fault, SM_INVALID, "a reduce function emits one row, this one emitted %u", g->out.emitted);
		fault = &g->out.fault;
	}
	if (err || fault->err) {
		char key[80];
		sm_value_format(sm_get_at(&b, 0), key, sizeof key);
		err = fault->err ? fault->err : err;
		return sm_fail(reterr, err, "key %s: %s", key, fault->err ? fault->text : sm_err_text(err));
	}
	return replace(g, group);
}

static enum sm_err take_row(struct group_iterator *g, const struct batch *batch, uint32_t row, struct sm_error *reterr)
{
	enum sm_err err = g->count * 2 >= g->slot_count ? grow_slots(g) : SM_OK;
	if (err)
		return err;
	uint64_t hash = rdd_key_hash(batch, row, g->node->key_count);
	uint32_t at = (uint32_t)hash & (g->slot_count - 1);
	for (; g->slots[at]; at = (at + 1) & (g->slot_count - 1)) {
		struct group *group = &g->groups[g->slots[at] - 1];
		if (group->hash == hash && same_key(group, batch, row, g->node->key_count))
			return fold(g, group, batch, row, reterr);
	}
	if ((err = add_group(g, hash, batch, row)))
		return err;
	g->slots[at] = g->count;
	return charge(g, reterr);
}

static enum sm_err load(struct group_iterator *g, struct sm_error *reterr)
{
	struct batch *batch;
	enum sm_err err;
	while (!(err = g->in->ops->next(g->in, &batch, reterr))) {
		for (uint32_t row = 0; row < batch->rows && !err; row++)
			err = take_row(g, batch, row, reterr);
		batch_unref(batch);
		if (err)
			return err;
	}
	g->loaded = err == SM_END;
	return err == SM_END ? SM_OK : err;
}

static enum sm_err group_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct group_iterator *g = (struct group_iterator *)it;
	enum sm_err err = g->loaded ? SM_OK : load(g, reterr);
	if (err)
		return err;
	if (g->next == g->count)
		return SM_END;
	struct batch *batch = batch_new(g->node->node.type);
	err = batch ? SM_OK : SM_NO_MEMORY;
	for (; g->next < g->count && !err && !batch_is_full(batch); g->next++) {
		for (uint32_t i = 0; i < batch->type->field_count && !err; i++)
			err = batch_put(batch, i, g->groups[g->next].values[i]);
		if (!err)
			batch_row_end(batch);
	}
	if (err)
		batch_unref(batch);
	else
		*ret_batch = batch;
	return err;
}

static void group_free(struct dag_iterator *it)
{
	struct group_iterator *g = (struct group_iterator *)it;
	for (uint32_t k = 0; k < g->count; k++)
		for (uint32_t i = g->node->key_count; i < g->node->node.type->field_count; i++)
			if (has_bytes(g->groups[k].values[i]))
				free((uint8_t *)g->groups[k].values[i].bytes.data);
	dag_iterator_free(g->in);
	arena_done(&g->arena);
	free(g->groups);
	free(g->slots);
	if (g->out.staged)
		out_done(&g->out);
	free(g);
}

static const struct dag_iterator_ops group_it_ops = {group_next, group_free};

static enum sm_err group_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				 struct sm_error *reterr)
{
	struct group_iterator *g = calloc(1, sizeof *g);
	if (!g)
		return SM_NO_MEMORY;
	g->it.ops = &group_it_ops;
	g->node = (struct group_node *)node;
	g->task = task;
	arena_init(&g->arena, 0);
	enum sm_err err = out_init(&g->out, node->type);
	g->out.fixed = g->node->key_count;
	if (!err)
		err = dag_read_parent(node, task, 0, partition, &g->in, reterr);
	if (err)
		group_free(&g->it);
	else
		*ret_it = &g->it;
	return err;
}

static const struct dag_node_ops group_ops[] = {{.name = "combine", .iterate = group_iterate},
						{.name = "reduce by key", .iterate = group_iterate},
						{.name = "distinct", .iterate = group_iterate}};

static struct group_node *group_new(struct sm_rdd *rdd, const struct dag_node_ops *ops, struct dag_node *parent,
				    enum dag_dependency dependency, uint32_t key_count, sm_reduce_fn reduce, void *arg)
{
	uint32_t partitions = dependency == DAG_SHUFFLE ? rdd->context->shuffle_partitions : parent->partitions;
	struct group_node *g = (struct group_node *)rdd_child(sizeof *g, ops, parent->type, partitions, parent, dependency, key_count);
	if (g) {
		g->key_count = key_count;
		g->reduce = reduce;
		g->arg = arg;
	}
	return g;
}

/* Combine what a map task has, then, after the shuffle, what all have; one node if equal keys lie together already. */
static struct dag_node *add_groups(struct sm_rdd *rdd, const struct dag_node_ops *ops, bool together, uint32_t key_count,
				   sm_reduce_fn reduce, void *arg)
{
	struct group_node *first, *last;
	if (together) {
		last = group_new(rdd, ops, rdd->node, DAG_NARROW, key_count, reduce, arg);
		return last ? &last->node : NULL;
	}
	first = group_new(rdd, &group_ops[0], rdd->node, DAG_NARROW, key_count, reduce, arg);
	last = first ? group_new(rdd, ops, &first->node, DAG_SHUFFLE, key_count, reduce, arg) : NULL;
	dag_unref(first ? &first->node : NULL); /* last holds it */
	return last ? &last->node : NULL;
}

struct sm_rdd *sm_rdd_reduce_by_key(struct sm_rdd *pairs, sm_reduce_fn reduce, void *arg)
{
	if (rdd_is_broken(pairs))
		return pairs;
	if (pairs->key_count == 0)
		return rdd_broken(pairs->context, SM_INVALID, "reduce by key wants pairs: make them with sm_rdd_map_to_pair");
	struct dag_node *node = add_groups(pairs, &group_ops[1], rdd_by_key(pairs) == DAG_NARROW, pairs->key_count, reduce, arg);
	return rdd_mark_hashed(rdd_new(pairs->context, node, pairs->key_count), true);
}

struct sm_rdd *sm_rdd_distinct(struct sm_rdd *rdd)
{
	if (rdd_is_broken(rdd))
		return rdd;
	return rdd_new(rdd->context, add_groups(rdd, &group_ops[2], false, rdd->node->type->field_count, NULL, NULL), rdd->key_count);
}

enum sm_err sm_sum(const struct sm_row *a, const struct sm_row *b, struct sm_out *out, void *arg)
{
	for (uint32_t i = out->fixed; i < out->type->field_count; i++) {
		struct sm_value x = sm_get_at(a, i), y = sm_get_at(b, i), sum = x;
		enum column_type type = out->type->fields[i].type;
		if (type != COLUMN_INT32 && type != COLUMN_INT64 && type != COLUMN_DOUBLE)
			return sm_out_fail(out, SM_TYPE, "sm_sum adds numbers, column %s is %s", out->type->fields[i].name,
					   column_type_name(type));
		if (x.null)
			sum = y;
		else if (!y.null && type == COLUMN_DOUBLE)
			sum.real += y.real;
		else if (!y.null && __builtin_add_overflow(x.integer, y.integer, &sum.integer))
			return sm_out_fail(out, SM_OUT_OF_RANGE, "the sum of %s does not fit", out->type->fields[i].name);
		sm_put_at(out, i, sum);
	}
	return sm_emit(out);
}
