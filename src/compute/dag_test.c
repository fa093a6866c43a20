#include "compute/dag.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- operators for the tests ---- */

/* A source of rows (k, v): partition p of P has k = p, p + P, ... below rows; v = 1. Its first `failures` attempts end with an error after
 * one batch. */
struct source {
	struct dag_node node;
	uint32_t rows, failures;
	uint32_t *attempts; /* atomic */
	enum sm_err err;
	bool *cancel_at_first; /* set once a batch was given out */
};
struct source_iterator {
	struct dag_iterator it;
	struct source *source;
	uint32_t next, batches;
	bool fails;
};

static const struct column_field pair_fields[] = {{"k", COLUMN_INT64}, {"v", COLUMN_INT64}};

static struct row_type *pair_type(void)
{
	struct row_type *type = row_type_new(pair_fields, 2);
	assert_non_null(type);
	return type;
}

static void put_pair(struct batch *batch, int64_t k, int64_t v)
{
	assert_int_equal(batch_put(batch, 0, (struct value){.type = COLUMN_INT64, .integer = k}), SM_OK);
	assert_int_equal(batch_put(batch, 1, (struct value){.type = COLUMN_INT64, .integer = v}), SM_OK);
	batch_row_end(batch);
}

static enum sm_err source_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct source_iterator *s = (struct source_iterator *)it;
	if (s->fails && s->batches == 1)
		return sm_fail(reterr, s->source->err, "the disk is on fire");
	if (s->next >= s->source->rows)
		return SM_END;
	struct batch *batch = batch_new(s->source->node.type);
	for (; s->next < s->source->rows && batch->rows < 100; s->next += s->source->node.partitions)
		put_pair(batch, s->next, 1);
	s->batches++;
	if (s->source->cancel_at_first)
		__atomic_store_n(s->source->cancel_at_first, true, __ATOMIC_RELEASE);
	*ret_batch = batch;
	return SM_OK;
}
static void source_free(struct dag_iterator *it)
{
	free(it);
}
static const struct dag_iterator_ops source_it_ops = {source_next, source_free};

static enum sm_err source_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				  struct sm_error *reterr)
{
	struct source *source = (struct source *)node;
	struct source_iterator *s = calloc(1, sizeof *s);
	uint32_t attempt = source->attempts ? __atomic_add_fetch(source->attempts, 1, __ATOMIC_RELAXED) : 0;
	*s = (struct source_iterator){
		{&source_it_ops}, source, partition, 0, partition == 1 % node->partitions && attempt <= source->failures};
	if (source->failures == 0)
		s->fails = false;
	*ret_it = &s->it;
	return SM_OK;
}
static const struct dag_node_ops source_ops = {.name = "numbers", .iterate = source_iterate};

static struct source *source_new(uint32_t partitions, uint32_t rows)
{
	struct row_type *type = pair_type();
	struct source *source = (struct source *)dag_node_new(sizeof *source, &source_ops, type, partitions);
	row_type_unref(type);
	source->rows = rows;
	source->err = SM_IO;
	return source;
}

/* k becomes k % modulus. */
struct modulo {
	struct dag_node node;
	int64_t modulus;
};
struct modulo_iterator {
	struct dag_iterator it;
	struct modulo *node;
	struct dag_iterator *in;
};
static enum sm_err modulo_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct modulo_iterator *m = (struct modulo_iterator *)it;
	struct batch *in;
	enum sm_err err = m->in->ops->next(m->in, &in, reterr);
	if (err)
		return err;
	struct batch *out = batch_new(in->type);
	for (uint32_t i = 0; i < in->rows; i++)
		put_pair(out, batch_get(in, 0, i).integer % m->node->modulus, batch_get(in, 1, i).integer);
	batch_unref(in);
	*ret_batch = out;
	return SM_OK;
}
static void modulo_free(struct dag_iterator *it)
{
	dag_iterator_free(((struct modulo_iterator *)it)->in);
	free(it);
}
static const struct dag_iterator_ops modulo_it_ops = {modulo_next, modulo_free};
static enum sm_err modulo_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				  struct sm_error *reterr)
{
	struct dag_iterator *in;
	enum sm_err err = dag_read_parent(node, task, 0, partition, &in, reterr);
	if (err)
		return err;
	struct modulo_iterator *m = calloc(1, sizeof *m);
	*m = (struct modulo_iterator){{&modulo_it_ops}, (struct modulo *)node, in};
	*ret_it = &m->it;
	return SM_OK;
}
static const struct dag_node_ops modulo_ops = {.name = "modulo", .iterate = modulo_iterate};

static struct dag_node *modulo_new(struct dag_node *parent, int64_t modulus)
{
	struct modulo *m = (struct modulo *)dag_node_new(sizeof *m, &modulo_ops, parent->type, parent->partitions);
	m->modulus = modulus;
	assert_int_equal(dag_add_parent(&m->node, parent, DAG_NARROW, NULL, 0), SM_OK);
	return &m->node;
}

/* Sums v a k over shuffled parents; k < 1000. */
struct sum_iterator {
	struct dag_iterator it;
	struct dag_node *node;
	struct dag_task *task;
	uint32_t partition;
	bool done;
};
static enum sm_err sum_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct sum_iterator *s = (struct sum_iterator *)it;
	if (s->done)
		return SM_END;
	s->done = true;
	int64_t sums[1000] = {0};
	for (uint32_t p = 0; p < s->node->parent_count; p++) {
		struct dag_iterator *in;
		enum sm_err err = dag_read_parent(s->node, s->task, p, s->partition, &in, reterr);
		struct batch *batch;
		while (!err && !(err = in->ops->next(in, &batch, reterr))) {
			for (uint32_t i = 0; i < batch->rows; i++)
				sums[batch_get(batch, 0, i).integer] += batch_get(batch, 1, i).integer;
			batch_unref(batch);
		}
		dag_iterator_free(in);
		if (err != SM_END)
			return err;
	}
	*ret_batch = batch_new(s->node->type);
	for (int k = 0; k < 1000; k++)
		if (sums[k])
			put_pair(*ret_batch, k, sums[k]);
	return SM_OK;
}
static const struct dag_iterator_ops sum_it_ops = {sum_next, source_free};
static enum sm_err sum_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
			       struct sm_error *reterr)
{
	struct sum_iterator *s = calloc(1, sizeof *s);
	*s = (struct sum_iterator){{&sum_it_ops}, node, task, partition, false};
	*ret_it = &s->it;
	return SM_OK;
}
static const struct dag_node_ops sum_ops = {.name = "sum", .iterate = sum_iterate};

static struct dag_node *sum_new(struct dag_node *parent, struct dag_node *other, uint32_t partitions)
{
	struct dag_node *sum = dag_node_new(sizeof *sum, &sum_ops, parent->type, partitions);
	assert_int_equal(dag_add_parent(sum, parent, DAG_SHUFFLE, (const uint32_t[]){0}, 1), SM_OK);
	if (other)
		assert_int_equal(dag_add_parent(sum, other, DAG_SHUFFLE, (const uint32_t[]){0}, 1), SM_OK);
	return sum;
}

/* ---- what came out ---- */

struct result {
	int64_t sums[1000];
	uint32_t seen[1000];
	uint64_t rows;
	pthread_t thread;
	uint32_t fail_at;
};
static enum sm_err gather(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	struct result *r = arg;
	assert_true(pthread_equal(r->thread, pthread_self()));
	for (uint32_t i = 0; i < batch->rows; i++) {
		int64_t k = batch_get(batch, 0, i).integer;
		r->rows++;
		if (k < 1000) {
			r->sums[k] += batch_get(batch, 1, i).integer;
			r->seen[k]++;
		}
	}
	return r->fail_at && r->rows >= r->fail_at ? sm_fail(reterr, SM_NO_SPACE, "the reader is full") : SM_OK;
}

static enum sm_err run(struct compute_env *env, struct dag_node *node, struct result *result, struct dag_stats *stats,
		       struct sm_error *error)
{
	if (!env->threads)
		env->threads = 4;
	result->thread = pthread_self();
	return dag_run(env, node, gather, result, stats, error);
}

/* ---- tests ---- */

static void shuffle_brings_equal_keys_together_once(void **state)
{
	struct dag_node *sum = sum_new(modulo_new(&source_new(5, 50000)->node, 1000), NULL, 8);
	struct compute_env env = {0};
	struct result result = {0};
	struct dag_stats stats;
	struct sm_error error;
	assert_int_equal(run(&env, sum, &result, &stats, &error), SM_OK);
	for (int k = 0; k < 1000; k++) {
		assert_int_equal(result.sums[k], 50);
		assert_int_equal(result.seen[k], 1);
	}
	assert_int_equal(stats.stages, 2);
	assert_int_equal(stats.tasks, 13);
	assert_int_equal(stats.retries, 0);
	assert_int_equal(stats.rows_out, 1000);
	assert_true(stats.shuffle_bytes >= 50000 * 16);
	dag_unref(sum);
}

static void a_failed_task_is_run_again_and_its_first_output_is_not_seen(void **state)
{
	for (int shuffled = 0; shuffled < 2; shuffled++) {
		uint32_t attempts = 0;
		struct source *source = source_new(1, 900);
		source->failures = COMPUTE_TASK_ATTEMPTS - 1;
		source->attempts = &attempts;
		struct dag_node *node = shuffled ? sum_new(&source->node, NULL, 3) : &source->node;
		struct compute_env env = {0};
		struct result result = {0};
		struct dag_stats stats;
		struct sm_error error;
		assert_int_equal(run(&env, node, &result, &stats, &error), SM_OK);
		assert_int_equal(stats.retries, COMPUTE_TASK_ATTEMPTS - 1);
		assert_int_equal(result.rows, 900);
		for (int k = 0; k < 900; k++)
			assert_int_equal(result.sums[k], 1);
		dag_unref(node);
	}
}

static void a_task_that_always_fails_ends_the_job_with_its_place(void **state)
{
	uint32_t attempts = 0;
	struct source *source = source_new(3, 900);
	source->failures = 1000;
	source->attempts = &attempts;
	struct dag_node *sum = sum_new(modulo_new(&source->node, 10), NULL, 2);
	struct compute_env env = {0};
	struct result result = {0};
	struct dag_stats stats;
	struct sm_error error = {0};
	assert_int_equal(run(&env, sum, &result, &stats, &error), SM_IO);
	assert_string_equal(error.text, "stage 0, task 2 of 3, attempt 4, numbers: the disk is on fire");
	assert_int_equal(error.code, SM_IO);
	assert_int_equal(result.rows, 0);
	assert_int_equal(stats.retries, COMPUTE_TASK_ATTEMPTS - 1);
	dag_unref(sum);
}

static void memory_beyond_the_budget_is_refused_by_name(void **state)
{
	struct dag_node *sum = sum_new(&source_new(2, 900)->node, NULL, 2);
	struct compute_env env = {.memory_max = 4096};
	struct result result = {0};
	struct dag_stats stats;
	struct sm_error error = {0};
	assert_int_equal(run(&env, sum, &result, &stats, &error), SM_TOO_LARGE);
	assert_non_null(strstr(error.text, "shuffle output: the job needs more memory than its budget of 4096 bytes"));
	assert_int_equal(stats.retries, 0);
	dag_unref(sum);
}

static void a_result_larger_than_the_budget_passes_in_partitions(void **state)
{
	/* 200 partitions of about 22 KiB each through 256 KiB: tasks wait for the reader. */
	struct source *source = source_new(200, 200 * 900);
	struct compute_env env = {.memory_max = 256 << 10, .threads = 2};
	struct result result = {0};
	struct sm_error error = {0};
	assert_int_equal(run(&env, &source->node, &result, NULL, &error), SM_OK);
	assert_int_equal(result.rows, 200 * 900);
	dag_unref(&source->node);
}

static void cancellation_ends_the_job(void **state)
{
	bool cancel = false;
	struct source *source = source_new(4, UINT32_MAX / 2);
	source->cancel_at_first = &cancel;
	struct dag_node *sum = sum_new(modulo_new(&source->node, 10), NULL, 2);
	struct compute_env env = {.cancel = &cancel};
	struct result result = {0};
	struct sm_error error = {0};
	assert_int_equal(run(&env, sum, &result, NULL, &error), SM_CANCELLED);
	assert_string_equal(error.text, "the job was cancelled");
	assert_int_equal(result.rows, 0);
	dag_unref(sum);
}

static void an_error_of_the_reader_ends_the_job(void **state)
{
	struct source *source = source_new(4, 100000);
	struct compute_env env = {0};
	struct result result = {.fail_at = 100};
	struct sm_error error = {0};
	assert_int_equal(run(&env, &source->node, &result, NULL, &error), SM_NO_SPACE);
	assert_string_equal(error.text, "the reader is full");
	dag_unref(&source->node);
}

static void stages_may_share_a_parent(void **state)
{
	struct dag_node *source = &source_new(3, 1000)->node;
	struct dag_node *base = modulo_new(source, 500);
	struct dag_node *left = modulo_new(dag_ref(base), 100), *right = modulo_new(base, 50);
	struct dag_node *sum = sum_new(left, right, 4);
	struct compute_env env = {0};
	struct result result = {0};
	struct dag_stats stats;
	struct sm_error error = {0};
	assert_int_equal(run(&env, sum, &result, &stats, &error), SM_OK);
	assert_int_equal(stats.stages, 3);
	for (int k = 0; k < 100; k++)
		assert_int_equal(result.sums[k], k < 50 ? 10 + 20 : 10);
	dag_unref(sum);
}

static void explain_draws_rdds_and_lists_stages(void **state)
{
	struct dag_node *base = modulo_new(&source_new(3, 1000)->node, 500);
	struct dag_node *sum = modulo_new(sum_new(modulo_new(dag_ref(base), 100), base, 4), 7);
	struct buf out;
	buf_init(&out);
	dag_explain(sum, &out);
	buf_u8(&out, 0);
	assert_string_equal((char *)buf_bytes(&out).data, "(4) modulo [4] (k bigint, v bigint)\n"
							  " |  sum [3] (k bigint, v bigint)\n"
							  " +-(3) modulo [2] (k bigint, v bigint)\n"
							  " |  |  modulo [1] (k bigint, v bigint)\n"
							  " |  |  numbers [0] (k bigint, v bigint)\n"
							  " +-(3) modulo [1], as above\n"
							  "stage 0: 3 tasks: numbers [0], modulo [1], modulo [2]; shuffle to 4 by k\n"
							  "stage 1: 3 tasks: numbers [0], modulo [1]; shuffle to 4 by k\n"
							  "stage 2: 4 tasks: sum [3], modulo [4]; after stage 0, 1; result\n");
	buf_done(&out);
	dag_unref(sum);
}

static void no_partitions_and_no_rows_are_results_too(void **state)
{
	struct compute_env env = {0};
	struct result result = {0};
	struct sm_error error = {0};
	struct dag_node *none = &source_new(1, 0)->node;
	assert_int_equal(run(&env, none, &result, NULL, &error), SM_OK);
	dag_unref(none);
	struct source *empty = source_new(1, 0);
	empty->node.partitions = 0;
	struct dag_node *sum = sum_new(&empty->node, NULL, 2);
	assert_int_equal(run(&env, sum, &result, NULL, &error), SM_OK);
	assert_int_equal(result.rows, 0);
	dag_unref(sum);
}

static void a_lineage_without_end_is_refused(void **state)
{
	struct dag_node *node = &source_new(1, 10)->node;
	for (int i = 1; i < COMPUTE_DEPTH_MAX; i++)
		node = modulo_new(node, 1000);
	struct compute_env env = {0};
	struct result result = {0};
	struct sm_error error = {0};
	assert_int_equal(run(&env, node, &result, NULL, &error), SM_OK);
	assert_int_equal(result.rows, 10);
	struct dag_node *deeper = dag_node_new(sizeof *deeper, &sum_ops, node->type, 1);
	assert_int_equal(dag_add_parent(deeper, node, DAG_NARROW, NULL, 0), SM_TOO_LARGE);
	dag_unref(deeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shuffle_brings_equal_keys_together_once),
		cmocka_unit_test(a_failed_task_is_run_again_and_its_first_output_is_not_seen),
		cmocka_unit_test(a_task_that_always_fails_ends_the_job_with_its_place),
		cmocka_unit_test(memory_beyond_the_budget_is_refused_by_name),
		cmocka_unit_test(a_result_larger_than_the_budget_passes_in_partitions),
		cmocka_unit_test(cancellation_ends_the_job),
		cmocka_unit_test(an_error_of_the_reader_ends_the_job),
		cmocka_unit_test(stages_may_share_a_parent),
		cmocka_unit_test(explain_draws_rdds_and_lists_stages),
		cmocka_unit_test(no_partitions_and_no_rows_are_results_too),
		cmocka_unit_test(a_lineage_without_end_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
