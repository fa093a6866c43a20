/* Hash join: both sides are shuffled by their key; the right side of a partition is built into a table in memory, the left one streams by.
 * Without a key all rows meet in one partition, which is the cross join. A null key meets nothing. */
#include "compute/sql_internal.h"
#include <stdlib.h>

#define NONE UINT32_MAX

struct join_node {
	struct dag_node node;
	struct plan_memory *memory;
	const struct expr *residual;
	enum join_kind kind;
	uint32_t left_count, right_count; /* columns without the key, which stands last */
};
struct build_row {
	uint32_t batch, row, next; /* next: with the same key */
	bool matched;
};
struct join_iterator {
	struct dag_iterator it;
	struct join_node *node;
	struct dag_task *task;
	struct dag_iterator *left_input, *right_input;
	struct arena arena;
	struct batch **batches; /* the right side */
	uint32_t batch_count, batch_cap;
	struct build_row *rows;
	uint32_t row_count, row_cap;
	struct map heads; /* key -> first row + 1 */
	bool built, left_ended;
	struct batch *left; /* where the probe stands */
	uint32_t left_row, chain, unmatched_right;
	uint8_t *left_matched;
	uint32_t *pair_left, *pair_right; /* of the candidates */
};

static void join_it_free(struct dag_iterator *it)
{
	struct join_iterator *j = (struct join_iterator *)it;
	dag_iterator_free(j->left_input);
	dag_iterator_free(j->right_input);
	for (uint32_t i = 0; i < j->batch_count; i++)
		batch_unref(j->batches[i]);
	batch_unref(j->left);
	map_done(&j->heads);
	arena_done(&j->arena);
	free(j->batches);
	free(j->rows);
	free(j->left_matched);
	free(j->pair_left);
	free(j->pair_right);
	free(j);
}

static enum sm_err no_memory(struct sm_error *reterr)
{
	return sm_fail(reterr, SM_NO_MEMORY, "out of memory in a join");
}

static enum sm_err build_batch(struct join_iterator *j, struct batch *in, struct sm_error *reterr)
{
	uint32_t key = j->node->right_count;
	for (uint32_t i = 0; i < in->rows; i++) {
		struct value v = batch_get(in, key, i);
		struct build_row *r = &j->rows[j->row_count];
		*r = (struct build_row){j->batch_count - 1, i, NONE, false};
		if (!v.null) {
			uintptr_t head = (uintptr_t)map_get(&j->heads, v.bytes);
			r->next = head ? (uint32_t)(head - 1) : NONE;
			if (map_put(&j->heads, v.bytes, (void *)((uintptr_t)j->row_count + 1), NULL))
				return no_memory(reterr);
		}
		j->row_count++;
	}
	return SM_OK;
}

static enum sm_err build(struct join_iterator *j, struct sm_error *reterr)
{
	struct batch *in;
	enum sm_err err;
	while (!(err = j->right_input->ops->next(j->right_input, &in, reterr))) {
		if (j->batch_count == j->batch_cap) {
			uint32_t cap = j->batch_cap ? j->batch_cap * 2 : 16;
			struct batch **more = realloc(j->batches, cap * sizeof *more);
			if (!more) {
				batch_unref(in);
				return no_memory(reterr);
			}
			j->batches = more;
			j->batch_cap = cap;
		}
		j->batches[j->batch_count++] = in;
		uint64_t need = (uint64_t)j->row_count + in->rows;
		if (need >= NONE)
			return sm_fail(reterr, SM_TOO_LARGE, "the right side of a join has more than %u rows in one partition", NONE);
		if (need > j->row_cap) {
			uint64_t cap = need * 2 < NONE ? need * 2 : need;
			struct build_row *more = realloc(j->rows, cap * sizeof *more);
			if (!more)
				return no_memory(reterr);
			j->rows = more;
			j->row_cap = (uint32_t)cap;
		}
		if ((err = dag_task_charge(j->task, (int64_t)(batch_bytes(in) + in->rows * (sizeof *j->rows + 64)), "join", reterr)) ||
		    (err = build_batch(j, in, reterr)))
			return err;
	}
	j->built = err == SM_END;
	return j->built ? SM_OK : err;
}

/* Append a row; NONE: nulls on that side. */
static enum sm_err put_pair(struct join_iterator *j, struct batch *out, uint32_t left_row, uint32_t right, struct sm_error *reterr)
{
	const struct join_node *n = j->node;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < n->left_count && !err; i++)
		err = batch_put(out, i,
				left_row == NONE ? (struct value){.type = out->type->fields[i].type, .null = true}
						 : batch_get(j->left, i, left_row));
	for (uint32_t i = 0; i < n->right_count && !err; i++) {
		uint32_t column = n->left_count + i;
		const struct build_row *r = right == NONE ? NULL : &j->rows[right];
		err = batch_put(out, column,
				r ? batch_get(j->batches[r->batch], i, r->row)
				  : (struct value){.type = out->type->fields[column].type, .null = true});
	}
	if (err)
		return sm_fail(reterr, err, "join: %s", sm_err_text(err));
	batch_row_end(out);
	return SM_OK;
}

static void find_chain(struct join_iterator *j)
{
	j->chain = NONE;
	if (j->left_row >= j->left->rows)
		return;
	struct value v = batch_get(j->left, j->node->left_count, j->left_row);
	uintptr_t head = v.null ? 0 : (uintptr_t)map_get(&j->heads, v.bytes);
	if (head)
		j->chain = (uint32_t)(head - 1);
}

/* Pairs of equal key, until the batch is full or the left batch is through. */
static enum sm_err fill(struct join_iterator *j, struct batch *out, struct sm_error *reterr)
{
	enum sm_err err;
	while (out->rows < COMPUTE_BATCH_ROWS && j->left_row < j->left->rows) {
		if (j->chain == NONE) {
			j->left_row++;
			find_chain(j);
			continue;
		}
		j->pair_left[out->rows] = j->left_row;
		j->pair_right[out->rows] = j->chain;
		if ((err = put_pair(j, out, j->left_row, j->chain, reterr)))
			return err;
		j->chain = j->rows[j->chain].next;
	}
	return SM_OK;
}

/* Keep the pairs for which the rest of ON is true, and remember who found a partner. */
static enum sm_err apply_residual(struct join_iterator *j, struct batch **batch, struct sm_error *reterr)
{
	struct eval c = {*batch, &j->arena, reterr};
	const uint32_t *rows;
	uint32_t n;
	enum sm_err err;
	arena_reset(&j->arena);
	if ((err = expr_select(j->node->residual, &c, &rows, &n)))
		return err;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t pair = rows ? rows[i] : i;
		j->left_matched[j->pair_left[pair]] = 1;
		j->rows[j->pair_right[pair]].matched = true;
	}
	if (!rows)
		return SM_OK;
	struct batch *kept = batch_new((*batch)->type);
	err = kept ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; i < n && !err; i++)
		err = batch_copy_row(kept, *batch, rows[i]);
	batch_unref(*batch);
	*batch = kept;
	return err ? sm_fail(reterr, err, "join: %s", sm_err_text(err)) : SM_OK;
}

static enum sm_err next_left(struct join_iterator *j, struct sm_error *reterr)
{
	enum sm_err err = j->left_input->ops->next(j->left_input, &j->left, reterr);
	if (err) {
		j->left = NULL;
		j->left_ended = err == SM_END;
		return j->left_ended ? SM_OK : err;
	}
	free(j->left_matched);
	if (!(j->left_matched = calloc(j->left->rows ? j->left->rows : 1, 1)))
		return no_memory(reterr);
	j->left_row = 0;
	find_chain(j);
	return SM_OK;
}

static enum sm_err put_lonely_left(struct join_iterator *j, struct batch *out, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	bool keep = j->node->kind == JOIN_LEFT || j->node->kind == JOIN_FULL;
	for (uint32_t i = 0; keep && i < j->left->rows && !err; i++)
		if (!j->left_matched[i])
			err = put_pair(j, out, i, NONE, reterr);
	batch_unref(j->left);
	j->left = NULL;
	return err;
}

static enum sm_err put_lonely_right(struct join_iterator *j, struct batch *out, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	for (; j->unmatched_right < j->row_count && out->rows < COMPUTE_BATCH_ROWS && !err; j->unmatched_right++)
		if (!j->rows[j->unmatched_right].matched)
			err = put_pair(j, out, NONE, j->unmatched_right, reterr);
	return err;
}

static enum sm_err join_step(struct join_iterator *j, struct batch **out, struct sm_error *reterr)
{
	enum sm_err err;
	if (!j->left && !j->left_ended && (err = next_left(j, reterr)))
		return err;
	if (!j->left)
		return put_lonely_right(j, *out, reterr);
	if ((err = fill(j, *out, reterr)) || (err = apply_residual(j, out, reterr)))
		return err;
	return j->left_row >= j->left->rows ? put_lonely_left(j, *out, reterr) : SM_OK;
}

static enum sm_err join_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct join_iterator *j = (struct join_iterator *)it;
	bool keep_right = j->node->kind == JOIN_RIGHT || j->node->kind == JOIN_FULL;
	enum sm_err err = SM_OK;
	if (!j->built && (err = build(j, reterr)))
		return err;
	if (j->left_ended && (!keep_right || j->unmatched_right == j->row_count))
		return SM_END;
	if (dag_task_cancelled(j->task))
		return sm_fail(reterr, SM_CANCELLED, "cancelled");
	struct batch *out = batch_new(j->node->node.type);
	if (!out)
		return no_memory(reterr);
	if (!j->left_ended || keep_right)
		err = join_step(j, &out, reterr);
	if (err) {
		batch_unref(out);
		return err;
	}
	if (j->left_ended && !keep_right) {
		j->unmatched_right = j->row_count;
		batch_unref(out);
		return SM_END;
	}
	*ret_batch = out;
	return SM_OK;
}

static const struct dag_iterator_ops join_it = {join_next, join_it_free};

static enum sm_err join_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				struct sm_error *reterr)
{
	struct join_iterator *j = calloc(1, sizeof *j);
	enum sm_err err;
	if (!j)
		return no_memory(reterr);
	j->it.ops = &join_it;
	j->node = (struct join_node *)node;
	j->task = task;
	arena_init(&j->arena, 256u << 20);
	map_init(&j->heads);
	j->pair_left = malloc(COMPUTE_BATCH_ROWS * sizeof *j->pair_left);
	j->pair_right = malloc(COMPUTE_BATCH_ROWS * sizeof *j->pair_right);
	err = j->pair_left && j->pair_right ? SM_OK : no_memory(reterr);
	if (err || (err = dag_read_parent(node, task, 0, partition, &j->left_input, reterr)) ||
	    (err = dag_read_parent(node, task, 1, partition, &j->right_input, reterr))) {
		join_it_free(&j->it);
		return err;
	}
	*ret_it = &j->it;
	return SM_OK;
}

static void join_free(struct dag_node *node)
{
	plan_memory_unref(((struct join_node *)node)->memory);
}

static void join_explain(const struct dag_node *node, struct buf *out)
{
	static const char *const kinds[] = {"inner", "left", "right", "full"};
	const struct join_node *n = (const struct join_node *)node;
	buf_append_str(out, kinds[n->kind]);
	if (n->residual) {
		buf_append_str(out, " on ");
		expr_print(n->residual, node->type, out);
	}
}

static const struct dag_node_ops join_ops = {.name = "hash join", .iterate = join_iterate, .free = join_free, .explain = join_explain};

static struct row_type *join_type(const struct row_type *left, const struct row_type *right)
{
	uint32_t count = left->field_count + right->field_count;
	struct column_field *fields = calloc(count ? count : 1, sizeof *fields);
	if (!fields)
		return NULL;
	memcpy(fields, left->fields, left->field_count * sizeof *fields);
	memcpy(fields + left->field_count, right->fields, right->field_count * sizeof *fields);
	struct row_type *type = row_type_new(fields, count);
	free(fields);
	return type;
}

enum sm_err node_join(struct plan_memory *m, struct dag_node *left, struct dag_node *right, const struct join_plan *plan,
		      struct dag_node **ret_node)
{
	struct row_type *type = join_type(left->type, right->type);
	uint32_t left_key = left->type->field_count, right_key = right->type->field_count, keys = plan->key_count ? 1 : 0;
	struct join_node *n = NULL;
	enum sm_err err = type ? SM_OK : SM_NO_MEMORY;
	if (err || (err = node_keyed(m, left, plan->left_keys, plan->key_count, &left))) {
		if (!type)
			dag_unref(left);
		dag_unref(right);
		goto done;
	}
	if ((err = node_keyed(m, right, plan->right_keys, plan->key_count, &right))) {
		dag_unref(left);
		goto done;
	}
	n = (struct join_node *)dag_node_new(sizeof *n, &join_ops, type, keys ? COMPUTE_SHUFFLE_PARTITIONS : 1);
	if (!n) {
		dag_unref(left);
		dag_unref(right);
		err = SM_NO_MEMORY;
		goto done;
	}
	n->memory = plan_memory_ref(m);
	n->residual = plan->residual;
	n->kind = plan->kind;
	n->left_count = left_key;
	n->right_count = right_key;
	if ((err = dag_add_parent(&n->node, left, DAG_SHUFFLE, &left_key, keys)))
		dag_unref(right);
	else
		err = dag_add_parent(&n->node, right, DAG_SHUFFLE, &right_key, keys);
	if (err)
		dag_unref(&n->node);
	else
		*ret_node = &n->node;
done:
	row_type_unref(type);
	return err;
}
