/* Contexts, and RDDs from sources. An RDD that cannot be built is `broken`; so is all that is built from it, and the first action tells
 * why. That keeps a job's text as short as its dataflow. */
#include "compute/compute.h"
#include "compute/rdd_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* "local", "local[3]", "local[*]" */
static enum sm_err parse_master(const char *master, uint32_t *ret_threads, struct sm_error *reterr)
{
	int end = 0;
	unsigned threads = 0;
	if (!master || strcmp(master, "local[*]") == 0) {
		*ret_threads = 0;
		return SM_OK;
	}
	if (strcmp(master, "local") == 0) {
		*ret_threads = 1;
		return SM_OK;
	}
	if (sscanf(master, "local[%3u]%n", &threads, &end) != 1 || end == 0 || master[end] || threads == 0 || threads > COMPUTE_THREADS_MAX)
		return sm_fail(reterr, SM_INVALID, "master '%.40s': write local, local[N] with N from 1 to %d, or local[*]", master,
			       COMPUTE_THREADS_MAX);
	*ret_threads = threads;
	return SM_OK;
}

enum sm_err sm_context_new(struct sm_log *log, struct sm_store *store, const struct sm_context_options *options,
			   struct sm_context **ret_context, struct sm_error *reterr)
{
	static const struct sm_context_options defaults;
	if (!options)
		options = &defaults;
	uint32_t threads = 0;
	enum sm_err err = parse_master(options->master, &threads, reterr);
	if (err)
		return err;
	if (options->shuffle_partitions > COMPUTE_PARTITIONS_MAX)
		return sm_fail(reterr, SM_INVALID, "at most %d shuffle partitions", COMPUTE_PARTITIONS_MAX);
	struct sm_context *context = calloc(1, sizeof *context);
	char *keyspace = options->keyspace ? strdup(options->keyspace) : NULL;
	if (!context || (options->keyspace && !keyspace)) {
		free(context);
		free(keyspace);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a context");
	}
	context->env = (struct compute_env){.log = log,
					    .store = store,
					    .threads = threads,
					    .memory_max = options->memory_max,
					    .default_keyspace = keyspace,
					    .cancel = (volatile bool *)(uintptr_t)options->cancel};
	context->keyspace = keyspace;
	context->shuffle_partitions = options->shuffle_partitions ? options->shuffle_partitions : COMPUTE_SHUFFLE_PARTITIONS;
	context->explain = options->explain;
	context->broken.context = context;
	*ret_context = context;
	return SM_OK;
}

void sm_context_free(struct sm_context *context)
{
	if (!context)
		return;
	while (context->rdds) {
		struct sm_rdd *rdd = context->rdds;
		context->rdds = rdd->next;
		dag_unref(rdd->node);
		free(rdd);
	}
	free(context->keyspace);
	free(context);
}

void context_set_schemas(struct sm_context *context, const struct schema *(*topic_schema)(void *arg, const char *topic), void *arg)
{
	context->env.topic_schema = topic_schema;
	context->env.arg = arg;
}

struct sm_job_stats sm_context_stats(const struct sm_context *context)
{
	const struct dag_stats *s = &context->stats;
	return (struct sm_job_stats){s->stages, s->tasks, s->retries, s->rows_out, s->shuffle_bytes, s->skipped};
}

/* ---- building ---- */

struct sm_rdd *rdd_broken(struct sm_context *context, enum sm_err err, const char *fmt, ...)
{
	if (!context->error.code) {
		va_list args;
		va_start(args, fmt);
		context->error.code = err;
		vsnprintf(context->error.text, sizeof context->error.text, fmt, args);
		va_end(args);
	}
	return &context->broken;
}

struct sm_rdd *rdd_new(struct sm_context *context, struct dag_node *node, uint32_t key_count)
{
	struct sm_rdd *rdd = node ? calloc(1, sizeof *rdd) : NULL;
	if (!rdd) {
		dag_unref(node);
		return rdd_broken(context, SM_NO_MEMORY, "no memory for another RDD, or more than %d on the way from a source",
				  COMPUTE_DEPTH_MAX);
	}
	*rdd = (struct sm_rdd){.context = context, .next = context->rdds, .node = node, .key_count = key_count};
	context->rdds = rdd;
	return rdd;
}

struct dag_node *rdd_child(size_t size, const struct dag_node_ops *ops, struct row_type *type, uint32_t partitions, struct dag_node *parent,
			   enum dag_dependency dependency, uint32_t key_count)
{
	struct dag_node *node = dag_node_new(size, ops, type, partitions);
	uint32_t *keys = calloc(key_count + 1, sizeof *keys);
	for (uint32_t i = 0; keys && i < key_count; i++)
		keys[i] = i;
	if (!node || !keys || dag_add_parent(node, dag_ref(parent), dependency, keys, key_count) != SM_OK) {
		dag_unref(node);
		node = NULL;
	}
	free(keys);
	return node;
}

/* ---- sources ---- */

struct sm_rdd *sm_rdd_table(struct sm_context *context, const char *table)
{
	struct sm_error error = {0};
	char keyspace[256];
	const char *name;
	struct dag_node *node;
	enum sm_err err = table_name_split(table, context->keyspace, keyspace, &name, &error);
	if (!err)
		err = dag_table_scan(&context->env, keyspace, name, NULL, 0, &node, &error);
	return err ? rdd_broken(context, err, "%s", error.text) : rdd_new(context, node, 0);
}

struct sm_rdd *sm_rdd_topic(struct sm_context *context, const char *topic)
{
	struct sm_error error = {0};
	struct dag_node *node;
	enum sm_err err = dag_topic_scan(&context->env, topic, &node, &error);
	return err ? rdd_broken(context, err, "%s", error.text) : rdd_new(context, node, 0);
}

struct sm_rdd *sm_rdd_text_files(struct sm_context *context, const char *glob)
{
	struct sm_error error = {0};
	struct dag_node *node;
	enum sm_err err = dag_text_files(glob, &node, &error);
	return err ? rdd_broken(context, err, "%s", error.text) : rdd_new(context, node, 0);
}

/* The rows of one batch, dealt out to the partitions in runs of the same length. */
static enum sm_err deal(const struct batch *all, uint32_t partitions, struct dag_node **ret_node)
{
	struct batch **parts = calloc(partitions, sizeof(struct batch *));
	enum sm_err err = parts ? SM_OK : SM_NO_MEMORY;
	for (uint32_t p = 0; p < partitions && !err; p++) {
		uint32_t from = (uint32_t)((uint64_t)all->rows * p / partitions),
			 to = (uint32_t)((uint64_t)all->rows * (p + 1) / partitions);
		parts[p] = batch_new(all->type);
		err = parts[p] ? SM_OK : SM_NO_MEMORY;
		for (uint32_t row = from; row < to && !err; row++)
			err = batch_copy_row(parts[p], all, row);
	}
	if (!err)
		err = dag__values(all->type, parts, partitions, partitions, ret_node);
	for (uint32_t p = 0; parts && p < partitions; p++)
		batch_unref(parts[p]);
	free(parts);
	return err;
}

struct sm_rdd *sm_rdd_parallelize(struct sm_context *context, const char *columns, uint32_t partitions,
				  enum sm_err (*fill)(struct sm_out *out, void *arg), void *arg)
{
	struct sm_error error = {0};
	struct row_type *type;
	uint32_t key_count;
	struct dag_node *node = NULL;
	if (partitions > COMPUTE_PARTITIONS_MAX)
		return rdd_broken(context, SM_INVALID, "parallelize: at most %d partitions", COMPUTE_PARTITIONS_MAX);
	enum sm_err err = rdd_columns_parse(columns, &type, &key_count, &error);
	if (err)
		return rdd_broken(context, err, "parallelize: %s", error.text);
	struct sm_out out = {0};
	err = out_init(&out, type);
	if (!err && !(out.batch = batch_new(type)))
		err = SM_NO_MEMORY;
	if (!err)
		err = fill(&out, arg);
	err = out.fault.err ? out.fault.err : err;
	if (!err)
		err = deal(out.batch, partitions ? partitions : 1, &node);
	struct sm_rdd *rdd = err ? rdd_broken(context, err, "parallelize: %s", out.fault.err ? out.fault.text : sm_err_text(err))
				 : rdd_new(context, node, key_count);
	if (out.staged)
		out_done(&out);
	row_type_unref(type);
	return rdd;
}
