/* Actions: what makes a graph run. */
#include "base/clock.h"
#include "compute/rdd_internal.h"
#include <stdio.h>
#include <stdlib.h>

typedef enum sm_err each_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr);

static enum sm_err explain_only(struct dag_node *node, struct sm_error *reterr)
{
	struct buf out;
	buf_init(&out);
	dag_explain(node, &out);
	enum sm_err err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory to explain the job") : SM_OK;
	if (!err)
		fwrite(buf_bytes(&out).data, 1, buf_size(&out), stdout);
	buf_done(&out);
	return err;
}

static enum sm_err run(struct sm_rdd *rdd, struct dag_node *node, each_batch *each, void *arg, struct sm_error *reterr)
{
	struct sm_context *context = rdd->context;
	context->stats = (struct dag_stats){0};
	if (rdd_is_broken(rdd)) {
		if (reterr)
			*reterr = context->error;
		return context->error.code;
	}
	if (context->explain)
		return explain_only(node, reterr);
	return dag_run(&context->env, node, each, arg, &context->stats, reterr);
}

enum sm_err sm_rdd_count(struct sm_rdd *rdd, uint64_t *ret_count, struct sm_error *reterr)
{
	enum sm_err err = run(rdd, rdd->node, NULL, NULL, reterr);
	if (!err)
		*ret_count = rdd->context->stats.rows_out;
	return err;
}

char *sm_rdd_explain(struct sm_rdd *rdd)
{
	if (rdd_is_broken(rdd))
		return strdup(rdd->context->error.text);
	struct buf out;
	buf_init(&out);
	dag_explain(rdd->node, &out);
	buf_u8(&out, 0);
	char *text = out.failed || !out.data ? NULL : strdup((const char *)buf_bytes(&out).data);
	buf_done(&out);
	return text;
}

/* ---- foreach ---- */

struct foreach {
	const struct row_type *type;
	enum sm_err (*each)(const struct sm_row *row, void *arg);
	void *arg;
};

static enum sm_err foreach_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	const struct foreach *f = arg;
	struct row_fault fault = {0};
	struct sm_row row = {.type = f->type, .batch = batch, .fault = &fault};
	for (; row.index < batch->rows; row.index++) {
		enum sm_err err = f->each(&row, f->arg);
		if (fault.err)
			return sm_fail(reterr, fault.err, "foreach: %s", fault.text);
		if (err)
			return sm_fail(reterr, err, "foreach: %s", sm_err_text(err));
	}
	return SM_OK;
}

enum sm_err sm_rdd_foreach(struct sm_rdd *rdd, enum sm_err (*each)(const struct sm_row *row, void *arg), void *arg, struct sm_error *reterr)
{
	struct foreach f = {rdd->node ? rdd->node->type : NULL, each, arg};
	return run(rdd, rdd->node, foreach_batch, &f, reterr);
}

/* ---- collect ---- */

struct sm_rows {
	struct row_type *type;
	struct batch_list batches;
	struct sm_row *rows;
	uint64_t count;
	uint64_t memory_max;
};

static enum sm_err collect_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct sm_rows *rows = arg;
	if (rows->batches.bytes + batch_bytes(batch) > rows->memory_max)
		return sm_fail(reterr, SM_TOO_LARGE,
			       "collect: the rows need more than the job's memory of %llu bytes; use foreach or save them",
			       (unsigned long long)rows->memory_max);
	rows->count += batch->rows;
	return batch_list_add(&rows->batches, batch_ref(batch));
}

static enum sm_err index_rows(struct sm_rows *rows)
{
	rows->rows = calloc(rows->count + 1, sizeof *rows->rows);
	if (!rows->rows)
		return SM_NO_MEMORY;
	uint64_t at = 0;
	for (uint32_t i = 0; i < rows->batches.count; i++)
		for (uint32_t row = 0; row < rows->batches.items[i]->rows; row++)
			rows->rows[at++] = (struct sm_row){.type = rows->type, .batch = rows->batches.items[i], .index = row};
	return SM_OK;
}

enum sm_err sm_rdd_collect(struct sm_rdd *rdd, struct sm_rows **ret_rows, struct sm_error *reterr)
{
	struct sm_rows *rows = calloc(1, sizeof *rows);
	if (!rows)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for rows");
	rows->type = rdd->node ? row_type_ref(rdd->node->type) : NULL;
	rows->memory_max = rdd->context->env.memory_max ? rdd->context->env.memory_max : COMPUTE_MEMORY_MAX;
	enum sm_err err = run(rdd, rdd->node, collect_batch, rows, reterr);
	if (!err && (err = index_rows(rows)))
		sm_fail(reterr, err, "no memory for rows");
	if (err)
		sm_rows_free(rows);
	else
		*ret_rows = rows;
	return err;
}

uint64_t sm_rows_count(const struct sm_rows *rows)
{
	return rows->count;
}

const struct sm_row *sm_rows_at(const struct sm_rows *rows, uint64_t index)
{
	if (index >= rows->count)
		row_fault_set(NULL, SM_OUT_OF_RANGE, "row %llu of %llu was asked for", (unsigned long long)index,
			      (unsigned long long)rows->count);
	return &rows->rows[index];
}

void sm_rows_free(struct sm_rows *rows)
{
	if (!rows)
		return;
	batch_list_done(&rows->batches);
	row_type_unref(rows->type);
	free(rows->rows);
	free(rows);
}

/* ---- save ----
 * Each task writes its own rows, so nothing waits in memory. All have one write time: a task that is run again writes the same cells. */

struct save_node {
	struct dag_node node;
	struct sm_store *store;
	char *table, *keyspace;
	int64_t timestamp_us;
};
struct save_iterator {
	struct dag_iterator it;
	struct save_node *node;
	struct dag_iterator *in;
	struct table_sink *sink;
	bool done;
};

static enum sm_err save_all(struct save_iterator *s, uint64_t *ret_rows, struct sm_error *reterr)
{
	struct batch *batch;
	enum sm_err err;
	*ret_rows = 0;
	while (!(err = s->in->ops->next(s->in, &batch, reterr))) {
		err = table_sink_batch(s->sink, batch, reterr);
		*ret_rows += batch->rows;
		batch_unref(batch);
		if (err)
			return err;
	}
	return err == SM_END ? table_sink_flush(s->sink, reterr) : err;
}

/* One row: how many were written. */
static enum sm_err save_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct save_iterator *s = (struct save_iterator *)it;
	if (s->done)
		return SM_END;
	uint64_t rows;
	enum sm_err err = save_all(s, &rows, reterr);
	if (err)
		return err;
	s->done = true;
	struct batch *batch = batch_new(s->node->node.type);
	err = batch ? batch_put(batch, 0, (struct value){.type = COLUMN_INT64, .integer = (int64_t)rows}) : SM_NO_MEMORY;
	if (err) {
		batch_unref(batch);
		return err;
	}
	batch_row_end(batch);
	*ret_batch = batch;
	return SM_OK;
}

static void save_free(struct dag_iterator *it)
{
	struct save_iterator *s = (struct save_iterator *)it;
	dag_iterator_free(s->in);
	table_sink_free(s->sink);
	free(s);
}

static const struct dag_iterator_ops save_it_ops = {save_next, save_free};

static enum sm_err save_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				struct sm_error *reterr)
{
	struct save_iterator *s = calloc(1, sizeof *s);
	if (!s)
		return SM_NO_MEMORY;
	s->it.ops = &save_it_ops;
	s->node = (struct save_node *)node;
	enum sm_err err = table_sink_new(s->node->store, s->node->table, s->node->keyspace, node->parents[0].node->type, NULL,
					 s->node->timestamp_us, NULL, 0, &s->sink, reterr);
	if (!err)
		err = dag_read_parent(node, task, 0, partition, &s->in, reterr);
	if (err)
		save_free(&s->it);
	else
		*ret_it = &s->it;
	return err;
}

static void save_node_free(struct dag_node *node)
{
	free(((struct save_node *)node)->table);
	free(((struct save_node *)node)->keyspace);
}

static void save_explain(const struct dag_node *node, struct buf *out)
{
	buf_append_str(out, ((const struct save_node *)node)->table);
}

static const struct dag_node_ops save_ops = {"save to table", save_iterate, save_node_free, save_explain};

static enum sm_err add_count(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	*(uint64_t *)arg += (uint64_t)batch_get(batch, 0, 0).integer;
	return SM_OK;
}

/* The types are checked before anything runs. */
static enum sm_err check_table(struct sm_rdd *rdd, const char *table, struct sm_error *reterr)
{
	struct table_sink *sink;
	enum sm_err err = table_sink_new(rdd->context->env.store, table, rdd->context->keyspace, rdd->node->type, NULL, 0, NULL, 0, &sink,
					 reterr);
	if (!err)
		table_sink_free(sink);
	return err;
}

enum sm_err sm_rdd_save_to_table(struct sm_rdd *rdd, const char *table, uint64_t *ret_count, struct sm_error *reterr)
{
	if (rdd_is_broken(rdd))
		return run(rdd, NULL, NULL, NULL, reterr);
	enum sm_err err = check_table(rdd, table, reterr);
	if (err)
		return err;
	struct row_type *type = row_type_new(&(struct column_field){"rows", COLUMN_INT64}, 1);
	struct save_node *save = NULL;
	if (type)
		save = (struct save_node *)rdd_child(sizeof *save, &save_ops, type, rdd->node->partitions, rdd->node, DAG_NARROW, 0);
	row_type_unref(type);
	if (!save)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory to save rows");
	save->store = rdd->context->env.store;
	save->timestamp_us = (int64_t)clock_wall_us(&clock_system);
	save->table = strdup(table);
	save->keyspace = rdd->context->keyspace ? strdup(rdd->context->keyspace) : NULL;
	uint64_t count = 0;
	err = save->table ? run(rdd, &save->node, add_count, &count, reterr) : sm_fail(reterr, SM_NO_MEMORY, "no memory to save rows");
	dag_unref(&save->node);
	if (!err && ret_count)
		*ret_count = count;
	return err;
}
