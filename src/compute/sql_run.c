/* Running a statement: SELECT hands rows on, INSERT writes them through a table_sink. All rows of an INSERT carry one write time, so that
 * running it again after a failure in its middle gives the same table. */
#include "compute/sql_internal.h"

struct insert {
	struct table_sink *sink;
	uint64_t rows;
};

static enum sm_err insert_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct insert *in = arg;
	in->rows += batch->rows;
	return table_sink_batch(in->sink, batch, reterr);
}

static enum sm_err run_insert(const struct compute_env *env, const struct sql_statement *s, struct dag_node *node, const char *job,
			      uint64_t epoch, uint64_t *ret_rows, struct sm_error *reterr)
{
	struct insert in = {0};
	struct dag_stats stats;
	enum sm_err err;
	if (s->column_count && s->column_count != node->type->field_count)
		return sql__fail(reterr, SM_INVALID, s->line, s->column, "INSERT names %u columns, its query has %u", s->column_count,
				 node->type->field_count);
	if ((err = table_sink_new(env->store, s->target, env->default_keyspace, node->type, s->column_count ? s->columns : NULL,
				  (int64_t)clock_wall_us(&clock_system), job, epoch, &in.sink, reterr)))
		return err;
	if (!(err = dag_run(env, node, insert_batch, &in, &stats, reterr)) && !(err = table_sink_flush(in.sink, reterr)) && ret_rows)
		*ret_rows = in.rows;
	table_sink_free(in.sink);
	return err;
}

struct select {
	enum sm_err (*each)(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr);
	void *arg;
	uint64_t rows;
};

static enum sm_err select_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct select *s = arg;
	s->rows += batch->rows;
	return s->each ? s->each(s->arg, partition, batch, reterr) : SM_OK;
}

enum sm_err sql_run(const struct compute_env *env, const struct sql_statement *statement, const char *job, uint64_t epoch,
		    enum sm_err (*each)(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr), void *arg,
		    uint64_t *ret_rows, struct sm_error *reterr)
{
	struct select select = {.each = each, .arg = arg};
	struct dag_stats stats;
	struct dag_node *node;
	enum sm_err err = sql_plan(env, statement, &node, reterr);
	if (err)
		return err;
	if (statement->insert)
		err = run_insert(env, statement, node, job, epoch, ret_rows, reterr);
	else if (!(err = dag_run(env, node, select_batch, &select, &stats, reterr)) && ret_rows)
		*ret_rows = select.rows;
	dag_unref(node);
	return err;
}
