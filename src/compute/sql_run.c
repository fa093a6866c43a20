/* Running a statement: SELECT hands rows on, INSERT writes them. All rows of an INSERT carry one write time, so that running it again
 * after a failure in its middle gives the same table. */
#include "compute/sql_internal.h"
#include <stdlib.h>
#include <time.h>

#define INSERT_ROWS 4096 /* of one store batch */
#define INSERT_BYTES (4u << 20)
#define INSERT_RETRIES 600 /* while the store pushes back, 100 ms each */

struct insert {
	const struct compute_env *env;
	struct table_writer *writer;
	const char *job;
	uint64_t epoch, rows;
	int64_t timestamp_us;
	struct arena arena;
	struct store_mutation *mutations;
	uint32_t count;
};

static enum sm_err flush(struct insert *in, struct sm_error *reterr)
{
	struct store_batch batch = {.mutations = in->mutations, .count = in->count, .job = in->job, .epoch = in->epoch};
	enum sm_err err = SM_OK;
	if (in->count == 0)
		return SM_OK;
	for (int i = 0; i < INSERT_RETRIES; i++) {
		err = store_apply_wait(in->env->store, &batch);
		if (err != SM_FULL || (in->env->cancel && *in->env->cancel))
			break;
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
	if (err)
		return sm_fail(reterr, err, "writing rows: %s", sm_err_text(err));
	in->rows += in->count;
	in->count = 0;
	arena_reset(&in->arena);
	return SM_OK;
}

static enum sm_err insert_batch(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct insert *in = arg;
	enum sm_err err;
	for (uint32_t i = 0; i < batch->rows; i++) {
		if ((in->count == INSERT_ROWS || in->arena.used >= INSERT_BYTES) && (err = flush(in, reterr)))
			return err;
		if ((err = table_writer_row(in->writer, batch, i, in->timestamp_us, &in->arena, &in->mutations[in->count], reterr)))
			return err;
		in->count++;
	}
	return SM_OK;
}

/* keyspace.table, or a table of the default keyspace. */
static enum sm_err find_target(const struct compute_env *env, const struct sql_statement *s, const struct store_schema *schema,
			       const struct store_table **ret, struct sm_error *reterr)
{
	const char *dot = strchr(s->target, '.');
	char keyspace[256];
	size_t size = dot ? (size_t)(dot - s->target) : 0;
	if (size >= sizeof keyspace || (!dot && !env->default_keyspace))
		return sql__fail(reterr, SM_INVALID, s->line, s->column, "INSERT INTO %.100s: write keyspace.table", s->target);
	memcpy(keyspace, s->target, size);
	keyspace[size] = 0;
	*ret = store_find_table(schema, dot ? keyspace : env->default_keyspace, dot ? dot + 1 : s->target);
	if (!*ret)
		return sql__fail(reterr, SM_NOT_FOUND, s->line, s->column, "there is no table %.100s", s->target);
	return SM_OK;
}

static enum sm_err run_insert(const struct compute_env *env, const struct sql_statement *s, struct dag_node *node, const char *job,
			      uint64_t epoch, uint64_t *ret_rows, struct sm_error *reterr)
{
	struct insert in = {.env = env, .job = job, .epoch = epoch, .timestamp_us = (int64_t)clock_wall_us(&clock_system)};
	const struct store_schema *schema = env->store->ops->schema(env->store);
	const struct store_table *table;
	struct dag_stats stats;
	enum sm_err err;
	arena_init(&in.arena, 0);
	if (s->column_count && s->column_count != node->type->field_count)
		err = sql__fail(reterr, SM_INVALID, s->line, s->column, "INSERT names %u columns, its query has %u", s->column_count,
				node->type->field_count);
	else if (!(in.mutations = calloc(INSERT_ROWS, sizeof *in.mutations)))
		err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	else if (!(err = find_target(env, s, schema, &table, reterr)) &&
		 !(err = table_writer_new(table, node->type, s->column_count ? s->columns : NULL, &in.writer, reterr)) &&
		 !(err = dag_run(env, node, insert_batch, &in, &stats, reterr)))
		err = flush(&in, reterr);
	if (!err && ret_rows)
		*ret_rows = in.rows;
	table_writer_free(in.writer);
	arena_done(&in.arena);
	free(in.mutations);
	env->store->ops->schema_release(env->store, schema);
	return err;
}

struct select {
	enum sm_err (*each)(void *, uint32_t, struct batch *, struct sm_error *);
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
	enum sm_err err;
	if (statement->insert && !env->store)
		return sm_fail(reterr, SM_INVALID, "INSERT needs a store");
	if ((err = sql_plan(env, statement, &node, reterr)))
		return err;
	if (statement->insert)
		err = run_insert(env, statement, node, job, epoch, ret_rows, reterr);
	else if (!(err = dag_run(env, node, select_batch, &select, &stats, reterr)) && ret_rows)
		*ret_rows = select.rows;
	dag_unref(node);
	return err;
}
