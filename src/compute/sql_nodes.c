/* SQL's operators as nodes of the graph: project (with filter), partial and final aggregate, sort, limit, union all. Joins: sql_join.c. */
#include "compute/sql_internal.h"
#include <stdlib.h>

#define EVAL_BYTES_MAX (256u << 20)   /* vectors of one batch */
#define PARTIAL_BYTES_MAX (64u << 20) /* a partial aggregate hands on what it has beyond this */

struct plan_memory *plan_memory_new(void)
{
	struct plan_memory *m = calloc(1, sizeof *m);
	if (m) {
		m->refs = 1;
		arena_init(&m->arena, 256u << 20);
	}
	return m;
}

struct plan_memory *plan_memory_ref(struct plan_memory *m)
{
	__atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

void plan_memory_unref(struct plan_memory *m)
{
	if (m && __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		arena_done(&m->arena);
		free(m);
	}
}

struct row_type *sql__row_type(struct expr *const *outputs, const char *const *names, uint32_t count)
{
	struct column_field *fields = calloc(count ? count : 1, sizeof *fields);
	if (!fields)
		return NULL;
	for (uint32_t i = 0; i < count; i++)
		fields[i] = (struct column_field){names[i], outputs[i]->type};
	struct row_type *type = row_type_new(fields, count);
	free(fields);
	return type;
}

enum sm_err sql__batch_of(struct row_type *type, const struct vec *vecs, uint32_t n, struct batch **ret_batch, struct sm_error *reterr)
{
	struct batch *batch = batch_new(type);
	enum sm_err err = batch ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; i < n && !err; i++) {
		for (uint32_t k = 0; k < type->field_count && !err; k++)
			err = batch_put(batch, k, vec_get(&vecs[k], i));
		if (!err)
			batch_row_end(batch);
	}
	if (err) {
		batch_unref(batch);
		return sm_fail(reterr, err, "building a batch: %s", sm_err_text(err));
	}
	*ret_batch = batch;
	return SM_OK;
}

/* All nodes here begin with this. */
struct sql_node {
	struct dag_node node;
	struct plan_memory *memory;
	struct expr *filter, **outputs, **keys; /* project */
	uint32_t output_count, key_count;
	bool keyed;
	const struct grouping *grouping; /* aggregates */
	const struct sort_key *sort;
	uint32_t sort_count;
	uint64_t limit;
};
/* All iterators here begin with this. */
struct sql_iterator {
	struct dag_iterator it;
	struct sql_node *node;
	struct dag_task *task;
	struct dag_iterator *input;
	struct arena arena;
	bool ended;
	uint64_t left;            /* limit */
	struct group_table table; /* aggregates */
	uint32_t next;
	struct batch **batches; /* sort */
	uint32_t batch_count, batch_cap;
	struct sort_row {
		uint32_t batch, row;
	} * rows;
	uint32_t row_count;
};

static void node_free(struct dag_node *node)
{
	plan_memory_unref(((struct sql_node *)node)->memory);
}

static void iterator_free(struct dag_iterator *it)
{
	struct sql_iterator *s = (struct sql_iterator *)it;
	dag_iterator_free(s->input);
	arena_done(&s->arena);
	if (s->node->grouping)
		group_table_done(&s->table);
	for (uint32_t i = 0; i < s->batch_count; i++)
		batch_unref(s->batches[i]);
	free(s->batches);
	free(s->rows);
	free(s);
}

static enum sm_err iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, const struct dag_iterator_ops *ops,
			   struct dag_iterator **ret_it, struct sm_error *reterr)
{
	struct sql_iterator *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	s->it.ops = ops;
	s->node = (struct sql_node *)node;
	s->task = task;
	s->left = s->node->limit;
	arena_init(&s->arena, EVAL_BYTES_MAX);
	if (s->node->grouping)
		group_table_init(&s->table, s->node->grouping);
	enum sm_err err = dag_read_parent(node, task, 0, partition, &s->input, reterr);
	if (err) {
		iterator_free(&s->it);
		return err;
	}
	*ret_it = &s->it;
	return SM_OK;
}

/* Takes the reference to input. */
static enum sm_err node_new(struct plan_memory *m, struct dag_node *input, const struct dag_node_ops *ops, struct row_type *type,
			    uint32_t partitions, enum dag_dependency dependency, const uint32_t *keys, uint32_t key_count,
			    struct sql_node **ret)
{
	struct sql_node *n = type ? (struct sql_node *)dag_node_new(sizeof *n, ops, type, partitions) : NULL;
	if (!n) {
		dag_unref(input);
		return SM_NO_MEMORY;
	}
	n->memory = plan_memory_ref(m);
	enum sm_err err = dag_add_parent(&n->node, input, dependency, keys, key_count);
	if (err) {
		dag_unref(&n->node);
		return err;
	}
	*ret = n;
	return SM_OK;
}

/* ---- project ---- */

/* The join key: the values one after the other, or null when one of them is, for no null equals another. */
static enum sm_err eval_key(struct sql_iterator *s, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *out)
{
	const struct sql_node *node = s->node;
	struct vec *keys = arena_alloc(&s->arena, (node->key_count + 1) * sizeof *keys);
	struct buf buf;
	enum sm_err err;
	if (!keys)
		return sm_fail(c->reterr, arena_error(&s->arena), "a join's key needs too much memory");
	if ((err = vec_new(c, COLUMN_BLOB, n, true, out)))
		return err;
	for (uint32_t k = 0; k < node->key_count; k++)
		if ((err = expr_eval(node->keys[k], c, rows, n, &keys[k])))
			return err;
	buf_init(&buf);
	for (uint32_t i = 0; i < n && !err; i++) {
		buf_clear(&buf);
		for (uint32_t k = 0; k < node->key_count; k++) {
			out->null[i] |= keys[k].null && keys[k].null[i];
			key_append(&buf, &keys[k], i);
		}
		struct bytes key = buf_bytes(&buf);
		uint8_t *copy = arena_alloc_raw(&s->arena, key.size + 1, 1);
		if (!copy || buf.failed) {
			err = sm_fail(c->reterr, SM_NO_MEMORY, "a join's key needs too much memory");
			break;
		}
		if (key.data)
			memcpy(copy, key.data, key.size);
		out->bytes[i] = bytes_of(copy, key.size);
	}
	buf_done(&buf);
	return err;
}

static enum sm_err project_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct sql_iterator *s = (struct sql_iterator *)it;
	const struct sql_node *node = s->node;
	struct batch *in;
	const uint32_t *rows;
	uint32_t n;
	enum sm_err err = s->input->ops->next(s->input, &in, reterr);
	if (err)
		return err;
	arena_reset(&s->arena);
	struct eval c = {in, &s->arena, reterr};
	struct vec *vecs = arena_alloc(&s->arena, (node->output_count + 1) * sizeof *vecs);
	err = vecs ? expr_select(node->filter, &c, &rows, &n) : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < node->output_count && !err; i++)
		err = expr_eval(node->outputs[i], &c, rows, n, &vecs[i]);
	if (!err && node->keyed)
		err = eval_key(s, &c, rows, n, &vecs[node->output_count]);
	if (!err)
		err = sql__batch_of(node->node.type, vecs, n, ret_batch, reterr);
	batch_unref(in);
	return err;
}

static const struct dag_iterator_ops project_it = {project_next, iterator_free};

static enum sm_err project_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret,
				   struct sm_error *reterr)
{
	return iterate(node, task, partition, &project_it, ret, reterr);
}

static void project_explain(const struct dag_node *node, struct buf *out)
{
	const struct sql_node *n = (const struct sql_node *)node;
	const struct row_type *input = node->parents[0].node->type;
	for (uint32_t i = 0; i < n->output_count; i++) {
		buf_append_str(out, i ? ", " : "");
		expr_print(n->outputs[i], input, out);
	}
	for (uint32_t i = 0; i < n->key_count; i++) {
		buf_append_str(out, i ? ", " : " by ");
		expr_print(n->keys[i], input, out);
	}
	if (n->filter) {
		buf_append_str(out, " where ");
		expr_print(n->filter, input, out);
	}
}

static const struct dag_node_ops project_ops = {
	.name = "project", .iterate = project_iterate, .free = node_free, .explain = project_explain};

enum sm_err node_project(struct plan_memory *m, struct dag_node *input, struct expr *filter, struct expr **outputs, const char **names,
			 uint32_t count, struct dag_node **ret_node)
{
	struct row_type *type = sql__row_type(outputs, names, count);
	struct sql_node *n;
	enum sm_err err = node_new(m, input, &project_ops, type, input->partitions, DAG_NARROW, NULL, 0, &n);
	row_type_unref(type);
	if (err)
		return err;
	n->filter = filter;
	n->outputs = outputs;
	n->output_count = count;
	*ret_node = &n->node;
	return SM_OK;
}

/* All columns of input, then the join key. */
enum sm_err node_keyed(struct plan_memory *m, struct dag_node *input, struct expr **keys, uint32_t key_count, struct dag_node **ret_node)
{
	uint32_t count = input->type->field_count;
	struct column_field *fields = calloc(count + 1, sizeof *fields);
	struct expr **outputs = arena_alloc(&m->arena, (count + 1) * sizeof *outputs);
	struct row_type *type = NULL;
	struct sql_node *n;
	for (uint32_t i = 0; fields && outputs && i < count; i++) {
		fields[i] = input->type->fields[i];
		if (!(outputs[i] = arena_alloc(&m->arena, sizeof **outputs)))
			outputs = NULL;
		else
			*outputs[i] = (struct expr){.op = OP_COLUMN, .type = fields[i].type, .index = i};
	}
	if (fields && outputs) {
		fields[count] = (struct column_field){"join key", COLUMN_BLOB};
		type = row_type_new(fields, count + 1);
	}
	free(fields);
	enum sm_err err = node_new(m, input, &project_ops, type, input->partitions, DAG_NARROW, NULL, 0, &n);
	row_type_unref(type);
	if (err)
		return err;
	n->outputs = outputs;
	n->output_count = count;
	n->keys = keys;
	n->key_count = key_count;
	n->keyed = true;
	*ret_node = &n->node;
	return SM_OK;
}

/* ---- aggregate ---- */

/* Charge what the table has grown by. */
static enum sm_err charge(struct sql_iterator *s, size_t before, const char *what, struct sm_error *reterr)
{
	return s->table.bytes > before ? dag_task_charge(s->task, (int64_t)(s->table.bytes - before), what, reterr) : SM_OK;
}

static enum sm_err partial_read(struct sql_iterator *s, struct sm_error *reterr)
{
	struct batch *in;
	enum sm_err err;
	while (s->table.bytes < PARTIAL_BYTES_MAX) {
		size_t before = s->table.bytes;
		if ((err = s->input->ops->next(s->input, &in, reterr))) {
			s->ended = err == SM_END;
			return s->ended ? SM_OK : err;
		}
		arena_reset(&s->arena);
		struct eval c = {in, &s->arena, reterr};
		err = group_table_add(&s->table, s->node->filter, &c);
		batch_unref(in);
		if (err || (err = charge(s, before, "aggregate", reterr)))
			return err;
	}
	return SM_OK;
}

/* Rows of (key, state), a row a group of this partition. */
static enum sm_err partial_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct sql_iterator *s = (struct sql_iterator *)it;
	enum sm_err err = SM_OK;
	struct buf state;
	if (s->next == s->table.count) {
		int64_t held = (int64_t)s->table.bytes;
		group_table_done(&s->table);
		group_table_init(&s->table, s->node->grouping);
		s->next = 0;
		if (s->ended)
			return SM_END;
		if ((held && (err = dag_task_charge(s->task, -held, "aggregate", reterr))) || (err = partial_read(s, reterr)))
			return err;
	}
	struct batch *out = batch_new(s->node->node.type);
	if (!out)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	buf_init(&state);
	for (; s->next < s->table.count && out->rows < COMPUTE_BATCH_ROWS && !err; s->next++) {
		const struct group *g = s->table.groups[s->next];
		buf_clear(&state);
		group_state(&s->table, g, &state);
		if (state.failed || (err = batch_put(out, 0, (struct value){.type = COLUMN_BLOB, .bytes = group_key(g)})) ||
		    (err = batch_put(out, 1, (struct value){.type = COLUMN_BLOB, .bytes = buf_bytes(&state)})))
			err = sm_fail(reterr, err ? err : SM_NO_MEMORY, "an aggregate's state: %s", sm_err_text(err ? err : SM_NO_MEMORY));
		else
			batch_row_end(out);
	}
	buf_done(&state);
	if (err) {
		batch_unref(out);
		return err;
	}
	*ret_batch = out;
	return SM_OK;
}

static enum sm_err final_read(struct sql_iterator *s, struct sm_error *reterr)
{
	struct batch *in;
	enum sm_err err;
	while (!(err = s->input->ops->next(s->input, &in, reterr))) {
		size_t before = s->table.bytes;
		for (uint32_t i = 0; i < in->rows && !err; i++)
			err = group_table_merge(&s->table, batch_get(in, 0, i).bytes, batch_get(in, 1, i).bytes);
		batch_unref(in);
		if (err)
			return sm_fail(reterr, err, "an aggregate's state: %s", sm_err_text(err));
		if ((err = charge(s, before, "aggregate", reterr)))
			return err;
	}
	if (err != SM_END)
		return err;
	s->ended = true;
	if (s->node->grouping->key_count == 0 && s->node->limit == 0 && (err = group_table_empty(&s->table)))
		return sm_fail(reterr, err, "out of memory");
	return SM_OK;
}

static enum sm_err final_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct sql_iterator *s = (struct sql_iterator *)it;
	enum sm_err err;
	if (!s->ended && (err = final_read(s, reterr)))
		return err;
	if (s->next == s->table.count)
		return SM_END;
	struct batch *out = batch_new(s->node->node.type);
	if (!out)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (err = SM_OK; s->next < s->table.count && out->rows < COMPUTE_BATCH_ROWS && !err; s->next++)
		err = group_row(&s->table, s->table.groups[s->next], out, reterr);
	if (err) {
		batch_unref(out);
		return err;
	}
	*ret_batch = out;
	return SM_OK;
}

static const struct dag_iterator_ops partial_it = {partial_next, iterator_free}, final_it = {final_next, iterator_free};

static enum sm_err partial_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret,
				   struct sm_error *reterr)
{
	return iterate(node, task, partition, &partial_it, ret, reterr);
}
static enum sm_err final_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret,
				 struct sm_error *reterr)
{
	return iterate(node, task, partition, &final_it, ret, reterr);
}

static void partial_explain(const struct dag_node *node, struct buf *out)
{
	static const char *const kinds[] = {"count", "count_if", "sum", "min", "max", "avg", "count distinct"};
	const struct sql_node *n = (const struct sql_node *)node;
	const struct row_type *input = node->parents[0].node->type;
	for (uint32_t i = 0; i < n->grouping->aggregate_count; i++) {
		const struct aggregate *a = &n->grouping->aggregates[i];
		buf_printf(out, "%s%s(", i ? ", " : "", kinds[a->kind]);
		if (a->arg)
			expr_print(a->arg, input, out);
		buf_append_str(out, ")");
	}
	for (uint32_t i = 0; i < n->grouping->key_count; i++) {
		buf_append_str(out, i ? ", " : n->grouping->aggregate_count ? " by " : "by ");
		expr_print(n->grouping->keys[i], input, out);
	}
	if (n->filter) {
		buf_append_str(out, " where ");
		expr_print(n->filter, input, out);
	}
}

static const struct dag_node_ops partial_ops = {
	.name = "partial aggregate", .iterate = partial_iterate, .free = node_free, .explain = partial_explain};
static const struct dag_node_ops final_ops = {.name = "final aggregate", .iterate = final_iterate, .free = node_free};

enum sm_err node_aggregate(struct plan_memory *m, struct dag_node *input, struct expr *filter, const struct grouping *grouping,
			   struct dag_node **ret_node)
{
	static const struct column_field fields[] = {{"key", COLUMN_BLOB}, {"state", COLUMN_BLOB}};
	static const uint32_t key_column = 0;
	uint32_t keys = grouping->key_count ? 1 : 0;
	struct row_type *states = row_type_new(fields, 2), *rows = grouping_row_type(grouping);
	struct sql_node *partial, *final;
	enum sm_err err = node_new(m, input, &partial_ops, states, input->partitions, DAG_NARROW, NULL, 0, &partial);
	if (!err) {
		partial->filter = filter;
		partial->grouping = grouping;
		err = node_new(m, &partial->node, &final_ops, rows, keys ? COMPUTE_SHUFFLE_PARTITIONS : 1, DAG_SHUFFLE, &key_column, keys,
			       &final);
	}
	row_type_unref(states);
	row_type_unref(rows);
	if (err)
		return err;
	final->grouping = grouping;
	*ret_node = &final->node;
	return SM_OK;
}

/* ---- sort ---- */

static int compare_rows(const void *x, const void *y, void *arg)
{
	const struct sql_iterator *s = arg;
	const struct sort_row *a = x, *b = y;
	for (uint32_t i = 0; i < s->node->sort_count; i++) {
		const struct sort_key *k = &s->node->sort[i];
		struct value v = batch_get(s->batches[a->batch], k->column, a->row), w = batch_get(s->batches[b->batch], k->column, b->row);
		if (v.null && w.null)
			continue;
		if (v.null || w.null)
			return v.null == k->nulls_last ? 1 : -1;
		int d = value_compare(v, w);
		if (d)
			return k->descending ? -d : d;
	}
	/* equal rows stay in the order in which they came */
	return a->batch != b->batch ? (a->batch < b->batch ? -1 : 1) : a->row < b->row ? -1 : a->row > b->row;
}

static enum sm_err sort_read(struct sql_iterator *s, struct sm_error *reterr)
{
	struct batch *in;
	uint64_t rows = 0;
	enum sm_err err;
	while (!(err = s->input->ops->next(s->input, &in, reterr))) {
		if (s->batch_count == s->batch_cap) {
			uint32_t cap = s->batch_cap ? s->batch_cap * 2 : 16;
			struct batch **more = realloc(s->batches, cap * sizeof *more);
			if (!more) {
				batch_unref(in);
				return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
			}
			s->batches = more;
			s->batch_cap = cap;
		}
		s->batches[s->batch_count++] = in;
		rows += in->rows;
		if ((err = dag_task_charge(s->task, (int64_t)(batch_bytes(in) + in->rows * sizeof *s->rows), "sort", reterr)))
			return err;
	}
	if (err != SM_END)
		return err;
	s->ended = true;
	if (rows > UINT32_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "sort of more than %u rows", UINT32_MAX);
	if (!(s->rows = malloc((rows ? rows : 1) * sizeof *s->rows)))
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint32_t b = 0; b < s->batch_count; b++)
		for (uint32_t r = 0; r < s->batches[b]->rows; r++)
			s->rows[s->row_count++] = (struct sort_row){b, r};
	qsort_r(s->rows, s->row_count, sizeof *s->rows, compare_rows, s);
	return SM_OK;
}

static enum sm_err sort_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct sql_iterator *s = (struct sql_iterator *)it;
	enum sm_err err;
	if (!s->ended && (err = sort_read(s, reterr)))
		return err;
	if (s->next == s->row_count)
		return SM_END;
	struct batch *out = batch_new(s->node->node.type);
	if (!out)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (; s->next < s->row_count && out->rows < COMPUTE_BATCH_ROWS; s->next++) {
		const struct sort_row *r = &s->rows[s->next];
		if ((err = batch_copy_row(out, s->batches[r->batch], r->row))) {
			batch_unref(out);
			return sm_fail(reterr, err, "sort: %s", sm_err_text(err));
		}
	}
	*ret_batch = out;
	return SM_OK;
}

static const struct dag_iterator_ops sort_it = {sort_next, iterator_free};

static enum sm_err sort_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret,
				struct sm_error *reterr)
{
	return iterate(node, task, partition, &sort_it, ret, reterr);
}

static void sort_explain(const struct dag_node *node, struct buf *out)
{
	const struct sql_node *n = (const struct sql_node *)node;
	for (uint32_t i = 0; i < n->sort_count; i++)
		buf_printf(out, "%s%s%s", i ? ", " : "by ", node->type->fields[n->sort[i].column].name,
			   n->sort[i].descending ? " desc" : "");
}

static const struct dag_node_ops sort_ops = {.name = "sort", .iterate = sort_iterate, .free = node_free, .explain = sort_explain};

enum sm_err node_sort(struct plan_memory *m, struct dag_node *input, const struct sort_key *keys, uint32_t count,
		      struct dag_node **ret_node)
{
	struct sql_node *n;
	enum sm_err err = node_new(m, input, &sort_ops, input->type, 1, DAG_SHUFFLE, NULL, 0, &n);
	if (err)
		return err;
	n->sort = keys;
	n->sort_count = count;
	*ret_node = &n->node;
	return SM_OK;
}

/* ---- limit ---- */

static enum sm_err limit_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct sql_iterator *s = (struct sql_iterator *)it;
	struct batch *in;
	enum sm_err err;
	if (s->left == 0)
		return SM_END;
	if ((err = s->input->ops->next(s->input, &in, reterr)))
		return err;
	if (in->rows <= s->left) {
		s->left -= in->rows;
		*ret_batch = in;
		return SM_OK;
	}
	struct batch *out = batch_new(s->node->node.type);
	err = out ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; i < s->left && !err; i++)
		err = batch_copy_row(out, in, i);
	batch_unref(in);
	s->left = 0;
	if (err) {
		batch_unref(out);
		return sm_fail(reterr, err, "limit: %s", sm_err_text(err));
	}
	*ret_batch = out;
	return SM_OK;
}

static const struct dag_iterator_ops limit_it = {limit_next, iterator_free};

static enum sm_err limit_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret,
				 struct sm_error *reterr)
{
	return iterate(node, task, partition, &limit_it, ret, reterr);
}

static void limit_explain(const struct dag_node *node, struct buf *out)
{
	buf_printf(out, "%llu rows", (unsigned long long)((const struct sql_node *)node)->limit);
}

static const struct dag_node_ops limit_ops = {.name = "limit", .iterate = limit_iterate, .free = node_free, .explain = limit_explain};

/* Each partition's first rows, then the first of all. */
enum sm_err node_limit(struct plan_memory *m, struct dag_node *input, uint64_t limit, struct dag_node **ret_node)
{
	struct sql_node *n;
	bool several = input->partitions > 1;
	enum sm_err err = node_new(m, input, &limit_ops, input->type, input->partitions, DAG_NARROW, NULL, 0, &n);
	if (err)
		return err;
	n->limit = limit;
	if (several) {
		if ((err = node_new(m, &n->node, &limit_ops, n->node.type, 1, DAG_SHUFFLE, NULL, 0, &n)))
			return err;
		n->limit = limit;
	}
	*ret_node = &n->node;
	return SM_OK;
}

/* ---- union all ---- */

static enum sm_err union_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret,
				 struct sm_error *reterr)
{
	uint32_t first = node->parents[0].node->partitions;
	return partition < first ? dag_read_parent(node, task, 0, partition, ret, reterr)
				 : dag_read_parent(node, task, 1, partition - first, ret, reterr);
}

static const struct dag_node_ops union_ops = {.name = "union all", .iterate = union_iterate};

enum sm_err node_union(struct dag_node *a, struct dag_node *b, struct dag_node **ret_node)
{
	struct dag_node *n = dag_node_new(sizeof *n, &union_ops, a->type, a->partitions + b->partitions);
	if (!n) {
		dag_unref(a);
		dag_unref(b);
		return SM_NO_MEMORY;
	}
	enum sm_err err = dag_add_parent(n, a, DAG_NARROW, NULL, 0);
	if (err)
		dag_unref(b);
	else
		err = dag_add_parent(n, b, DAG_NARROW, NULL, 0);
	if (err) {
		dag_unref(n);
		return err;
	}
	*ret_node = n;
	return SM_OK;
}
