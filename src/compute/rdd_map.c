/* filter, map, flat_map, map_to_pair: a job's functions, a row at a time. */
#include "compute/rdd_internal.h"
#include <stdlib.h>

struct map_node {
	struct dag_node node;
	sm_filter_fn keep; /* filter, else */
	sm_map_fn map;
	bool many; /* flat_map: any number of rows for one */
	void *arg;
};
struct map_iterator {
	struct dag_iterator it;
	struct map_node *node;
	struct dag_task *task;
	struct dag_iterator *in;
	const struct row_type *type; /* the parent's names, also over a union */
	uint64_t row_number;         /* of this task's input, for messages */
	struct batch *batch;         /* of the input; rows from `next` on are still to come */
	uint32_t next;
	struct sm_out out; /* map */
	struct row_fault fault;
};

/* Where a function failed: the row's number in the task's input, and its first column. */
static enum sm_err fail_at(struct map_iterator *m, const struct sm_row *row, enum sm_err err, const struct row_fault *fault,
			   struct sm_error *reterr)
{
	char first[80] = "";
	struct row_fault ignored = {0};
	struct sm_row safe = *row;
	safe.fault = &ignored;
	if (sm_row_width(row))
		sm_value_format(sm_get_at(&safe, 0), first, sizeof first);
	return sm_fail(reterr, err, "row %llu (%s = %s): %s", (unsigned long long)m->row_number + 1, sm_row_name(row, 0), first,
		       fault->err ? fault->text : sm_err_text(err));
}

/* ---- filter ---- */

static enum sm_err filter_batch(struct map_iterator *m, struct batch *in, struct batch **ret_out, struct sm_error *reterr)
{
	struct sm_row row = {.type = m->type, .batch = in, .fault = &m->fault};
	struct batch *out = NULL;
	enum sm_err err = SM_OK;
	/* As long as every row stays nothing is copied. */
	for (; row.index < in->rows && !err; row.index++, m->row_number++) {
		bool keep = m->node->keep(&row, m->node->arg);
		if (m->fault.err)
			err = fail_at(m, &row, m->fault.err, &m->fault, reterr);
		else if (!keep && !out)
			err = (out = batch_new(in->type)) ? SM_OK : SM_NO_MEMORY;
		else
			continue;
		for (uint32_t i = 0; i < row.index && !err; i++)
			err = batch_copy_row(out, in, i);
		row.index++, m->row_number++;
		break;
	}
	for (; row.index < in->rows && !err; row.index++, m->row_number++) {
		if (m->node->keep(&row, m->node->arg) && !m->fault.err)
			err = batch_copy_row(out, in, row.index);
		if (m->fault.err)
			err = fail_at(m, &row, m->fault.err, &m->fault, reterr);
	}
	if (err) {
		batch_unref(out);
		return err;
	}
	*ret_out = out ? out : batch_ref(in);
	return SM_OK;
}

static enum sm_err filter_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct map_iterator *m = (struct map_iterator *)it;
	struct batch *in;
	enum sm_err err = m->in->ops->next(m->in, &in, reterr);
	if (err)
		return err;
	err = filter_batch(m, in, ret_batch, reterr);
	batch_unref(in);
	return err;
}

/* ---- map ---- */

static enum sm_err map_row(struct map_iterator *m, const struct sm_row *row, struct sm_error *reterr)
{
	struct sm_out *out = &m->out;
	out->emitted = out->skipped = 0;
	enum sm_err err = m->node->map(row, out, m->node->arg);
	const struct row_fault *fault = m->fault.err ? &m->fault : &out->fault;
	if (fault->err || err)
		return fail_at(m, row, fault->err ? fault->err : err, fault, reterr);
	if (!m->node->many && out->emitted + out->skipped != 1) {
		row_fault_set(&out->fault, SM_INVALID,
			      "the function emitted %u rows and skipped %u; map wants one, flat_map takes any number", out->emitted,
			      out->skipped);
		return fail_at(m, row, SM_INVALID, &out->fault, reterr);
	}
	dag_task_skip(m->task, out->skipped);
	out_clear(out, 0);
	return SM_OK;
}

static enum sm_err map_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct map_iterator *m = (struct map_iterator *)it;
	enum sm_err err = SM_OK;
	if (!m->batch) {
		err = m->in->ops->next(m->in, &m->batch, reterr);
		m->next = 0;
		if (err)
			return err;
	}
	if (!(m->out.batch = batch_new(m->node->node.type)))
		return SM_NO_MEMORY;
	struct sm_row row = {.type = m->type, .batch = m->batch, .index = m->next, .fault = &m->fault};
	for (; row.index < m->batch->rows && !err && !batch_is_full(m->out.batch); row.index++, m->row_number++)
		err = map_row(m, &row, reterr);
	m->next = row.index;
	if (m->next == m->batch->rows) {
		batch_unref(m->batch);
		m->batch = NULL;
	}
	struct batch *made = m->out.batch;
	m->out.batch = NULL;
	if (err)
		batch_unref(made);
	else
		*ret_batch = made;
	return err;
}

static void map_free(struct dag_iterator *it)
{
	struct map_iterator *m = (struct map_iterator *)it;
	dag_iterator_free(m->in);
	batch_unref(m->batch);
	if (m->out.staged)
		out_done(&m->out);
	free(m);
}

static const struct dag_iterator_ops filter_it_ops = {filter_next, map_free};
static const struct dag_iterator_ops map_it_ops = {map_next, map_free};

static enum sm_err map_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
			       struct sm_error *reterr)
{
	struct map_iterator *m = calloc(1, sizeof *m);
	if (!m)
		return SM_NO_MEMORY;
	m->node = (struct map_node *)node;
	m->it.ops = m->node->keep ? &filter_it_ops : &map_it_ops;
	m->task = task;
	m->type = node->parents[0].node->type;
	enum sm_err err = m->node->map ? out_init(&m->out, node->type) : SM_OK;
	if (!err)
		err = dag_read_parent(node, task, 0, partition, &m->in, reterr);
	if (err)
		map_free(&m->it);
	else
		*ret_it = &m->it;
	return err;
}

static const struct dag_node_ops filter_ops = {.name = "filter", .iterate = map_iterate};
static const struct dag_node_ops map_ops = {.name = "map", .iterate = map_iterate};
static const struct dag_node_ops flat_map_ops = {.name = "flat map", .iterate = map_iterate};
static const struct dag_node_ops pair_ops = {.name = "map to pair", .iterate = map_iterate};

/* ---- building ---- */

struct sm_rdd *sm_rdd_filter(struct sm_rdd *rdd, sm_filter_fn keep, void *arg)
{
	if (rdd_is_broken(rdd))
		return rdd;
	struct map_node *m = (struct map_node *)rdd_child(sizeof *m, &filter_ops, rdd->node->type, rdd->node->partitions, rdd->node,
							  DAG_NARROW, 0);
	if (m) {
		m->keep = keep;
		m->arg = arg;
	}
	return rdd_mark_hashed(rdd_new(rdd->context, m ? &m->node : NULL, rdd->key_count), rdd->hashed);
}

static struct sm_rdd *add_map(struct sm_rdd *rdd, const struct dag_node_ops *ops, const char *columns, sm_map_fn map, void *arg)
{
	struct sm_error error = {0};
	struct row_type *type;
	uint32_t key_count;
	if (rdd_is_broken(rdd))
		return rdd;
	enum sm_err err = rdd_columns_parse(columns, &type, &key_count, &error);
	if (err)
		return rdd_broken(rdd->context, err, "%s: %s", ops->name, error.text);
	if (ops == &pair_ops && key_count == 0) {
		row_type_unref(type);
		return rdd_broken(rdd->context, SM_SYNTAX,
				  "map to pair: columns \"%.100s\": an arrow stands between the key's columns and the values'", columns);
	}
	struct map_node *m = (struct map_node *)rdd_child(sizeof *m, ops, type, rdd->node->partitions, rdd->node, DAG_NARROW, 0);
	row_type_unref(type);
	if (m) {
		m->map = map;
		m->arg = arg;
		m->many = ops == &flat_map_ops;
	}
	return rdd_new(rdd->context, m ? &m->node : NULL, key_count);
}

struct sm_rdd *sm_rdd_map(struct sm_rdd *rdd, const char *columns, sm_map_fn map, void *arg)
{
	return add_map(rdd, &map_ops, columns, map, arg);
}

struct sm_rdd *sm_rdd_flat_map(struct sm_rdd *rdd, const char *columns, sm_map_fn map, void *arg)
{
	return add_map(rdd, &flat_map_ops, columns, map, arg);
}

struct sm_rdd *sm_rdd_map_to_pair(struct sm_rdd *rdd, const char *columns, sm_map_fn map, void *arg)
{
	return add_map(rdd, &pair_ops, columns, map, arg);
}
