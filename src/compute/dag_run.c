/* The executor. Worker threads take tasks of stages whose inputs are complete; the calling thread hands the result's batches out.
 *
 * A task computes into lists of its own, and only a task that succeeded puts its lists where others see them, under the job's lock: this is
 * what makes running it again harmless. Its inputs are sources, which can be read again, and buckets of finished stages, which stay until
 * the job ends. So a failed task costs one more attempt of that task alone. */
#include "compute/compute_internal.h"
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct job;

struct dag_task {
	struct job *job;
	uint32_t stage, partition;
	int64_t charged;
	uint64_t skipped;
	bool final;                       /* running it again would not help */
	const struct dag_node *failed_in; /* the innermost operator that failed */
};

struct stage_run {
	uint32_t waits_for, tasks_left;
	uint8_t *attempts;        /* one a task */
	struct batch_list *lists; /* result: one a task; else buckets of each task, task by task */
	uint32_t bucket_count;    /* lists a task */
};
struct task_id {
	uint32_t stage, partition;
};

struct job {
	const struct compute_env *env;
	struct stage_plan plan;
	struct stage_run *runs;
	int64_t memory_max;
	int64_t memory; /* atomic */

	pthread_mutex_t lock;  /* all below */
	pthread_cond_t work;   /* for workers: ready or ended changed */
	pthread_cond_t done;   /* for the caller: delivered or ended changed */
	struct task_id *ready; /* a ring as large as all tasks; each is in it at most once */
	uint32_t ready_at, ready_count, task_count;
	uint32_t *finished; /* result partitions that wait to be handed out */
	uint32_t finished_count, taken_count;
	uint32_t threads;
	bool ended; /* atomic: tasks look at it without the lock */
	enum sm_err err;
	struct sm_error error;
	struct dag_stats stats;
};

/* ---- what tasks may ask ---- */

static bool job_cancelled(const struct job *job)
{
	return __atomic_load_n(&job->ended, __ATOMIC_ACQUIRE) || (job->env->cancel && __atomic_load_n(job->env->cancel, __ATOMIC_ACQUIRE));
}

bool dag_task_cancelled(const struct dag_task *task)
{
	return job_cancelled(task->job);
}

void dag_task_skip(struct dag_task *task, uint64_t rows)
{
	task->skipped += rows;
}

enum sm_err dag_task_charge(struct dag_task *task, int64_t bytes, const char *what, struct sm_error *reterr)
{
	struct job *job = task->job;
	int64_t now = __atomic_add_fetch(&job->memory, bytes, __ATOMIC_RELAXED);
	if (bytes > 0 && now > job->memory_max) {
		__atomic_sub_fetch(&job->memory, bytes, __ATOMIC_RELAXED);
		task->final = true;
		return sm_fail(
			reterr, SM_TOO_LARGE,
			"%s: the job needs more memory than its budget of %lld bytes (this task holds %lld); raise the job's memory, "
			"or give it more partitions",
			what, (long long)job->memory_max, (long long)task->charged + bytes);
	}
	task->charged += bytes;
	return SM_OK;
}

/* ---- reading ---- */

/* Around each operator's iterator, so that each stops when the job does and the first to fail is known by name. */
struct guard {
	struct dag_iterator it;
	struct dag_task *task;
	const struct dag_node *node;
	struct dag_iterator *inner;
};

static enum sm_err guard_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct guard *g = (struct guard *)it;
	for (;;) {
		if (job_cancelled(g->task->job))
			return sm_fail(reterr, SM_CANCELLED, "the job was cancelled");
		struct batch *batch = NULL;
		enum sm_err err = g->inner->ops->next(g->inner, &batch, reterr);
		if (err && err != SM_END && !g->task->failed_in)
			g->task->failed_in = g->node;
		if (err)
			return err;
		if (batch->rows) {
			*ret_batch = batch;
			return SM_OK;
		}
		batch_unref(batch);
	}
}

static void guard_free(struct dag_iterator *it)
{
	struct guard *g = (struct guard *)it;
	dag_iterator_free(g->inner);
	free(g);
}

static const struct dag_iterator_ops guard_ops = {guard_next, guard_free};

/* Takes inner, also when it fails. */
static enum sm_err guard_new(struct dag_task *task, const struct dag_node *node, struct dag_iterator *inner, struct dag_iterator **ret_it)
{
	struct guard *g = calloc(1, sizeof *g);
	if (!g) {
		dag_iterator_free(inner);
		return SM_NO_MEMORY;
	}
	*g = (struct guard){{&guard_ops}, task, node, inner};
	*ret_it = &g->it;
	return SM_OK;
}

static enum sm_err open_node(struct dag_task *task, struct dag_node *node, uint32_t partition, struct dag_iterator **ret_it,
			     struct sm_error *reterr)
{
	assert(partition < node->partitions);
	struct dag_iterator *inner;
	enum sm_err err = node->ops->iterate(node, task, partition, &inner, reterr);
	if (err) {
		if (!task->failed_in)
			task->failed_in = node;
		return err;
	}
	return guard_new(task, node, inner, ret_it);
}

enum sm_err dag_read_parent(struct dag_node *node, struct dag_task *task, uint32_t parent, uint32_t partition, struct dag_iterator **ret_it,
			    struct sm_error *reterr)
{
	assert(parent < node->parent_count);
	const struct dag_parent *p = &node->parents[parent];
	if (p->dependency == DAG_NARROW)
		return open_node(task, p->node, partition, ret_it, reterr);
	uint32_t stage = dag__plan_find(&task->job->plan, node, parent);
	const struct stage_run *run = &task->job->runs[stage];
	assert(partition < run->bucket_count);
	struct dag_iterator *inner;
	enum sm_err err = batch_lists_iterate(run->lists + partition, p->node->partitions, run->bucket_count, &inner);
	return err ? err : guard_new(task, node, inner, ret_it);
}

/* ---- one attempt ---- */

static enum sm_err run_map(struct dag_task *task, const struct stage *stage, struct dag_iterator *it, struct batch_list *lists,
			   struct sm_error *reterr)
{
	const struct dag_parent *p = &stage->child->parents[stage->parent];
	struct scatter s = {
		.task = task, .keys = p->key_columns, .key_count = p->key_count, .bucket_count = stage->child->partitions, .full = lists};
	s.open = calloc(s.bucket_count, sizeof *s.open);
	enum sm_err err = s.open ? SM_OK : SM_NO_MEMORY;
	while (!err) {
		struct batch *batch;
		err = it->ops->next(it, &batch, reterr);
		if (err)
			break;
		err = scatter_batch(&s, batch, reterr);
		batch_unref(batch);
	}
	if (err == SM_END)
		err = scatter_end(&s, reterr);
	for (uint32_t i = 0; s.open && i < s.bucket_count; i++)
		batch_unref(s.open[i]);
	free(s.open);
	return err;
}

static enum sm_err run_result(struct dag_task *task, struct dag_iterator *it, struct batch_list *list, struct sm_error *reterr)
{
	enum sm_err err;
	struct batch *batch;
	while (!(err = it->ops->next(it, &batch, reterr))) {
		err = dag_task_charge(task, (int64_t)batch_bytes(batch), "result", reterr);
		if (err) {
			batch_unref(batch);
			return err;
		}
		if ((err = batch_list_add(list, batch)))
			return err;
	}
	return err == SM_END ? SM_OK : err;
}

static enum sm_err run_attempt(struct dag_task *task, struct batch_list *lists, struct sm_error *reterr)
{
	const struct stage *stage = &task->job->plan.stages[task->stage];
	struct dag_iterator *it;
	enum sm_err err = open_node(task, stage->node, task->partition, &it, reterr);
	if (err)
		return err;
	err = stage->child ? run_map(task, stage, it, lists, reterr) : run_result(task, it, lists, reterr);
	dag_iterator_free(it);
	return err;
}

/* ---- the job's state; the lock is held ---- */

static void job_end(struct job *job, enum sm_err err, const struct sm_error *error)
{
	if (job->ended)
		return;
	job->err = err;
	if (error)
		job->error = *error;
	__atomic_store_n(&job->ended, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&job->work);
	pthread_cond_broadcast(&job->done);
}

static void push_ready(struct job *job, struct task_id id)
{
	assert(job->ready_count < job->task_count);
	job->ready[(job->ready_at + job->ready_count++) % job->task_count] = id;
	pthread_cond_signal(&job->work);
}

static void start_stage(struct job *job, uint32_t stage);

/* A stage is complete: those that waited for it alone may start. */
static void finish_stage(struct job *job, uint32_t stage)
{
	for (uint32_t i = stage + 1; i < job->plan.count; i++)
		for (uint32_t n = 0; n < job->plan.stages[i].need_count; n++)
			if (job->plan.stages[i].needs[n] == stage && --job->runs[i].waits_for == 0)
				start_stage(job, i);
}

static void start_stage(struct job *job, uint32_t stage)
{
	uint32_t tasks = job->plan.stages[stage].node->partitions;
	for (uint32_t i = 0; i < tasks; i++)
		push_ready(job, (struct task_id){stage, i});
	if (tasks == 0)
		finish_stage(job, stage);
}

static void task_succeeded(struct job *job, struct dag_task *task, struct batch_list *lists)
{
	struct stage_run *run = &job->runs[task->stage];
	int64_t kept = 0;
	for (uint32_t i = 0; i < run->bucket_count; i++) {
		kept += (int64_t)lists[i].bytes;
		run->lists[(size_t)task->partition * run->bucket_count + i] = lists[i];
		lists[i] = (struct batch_list){0};
	}
	__atomic_sub_fetch(&job->memory, task->charged - kept, __ATOMIC_RELAXED);
	job->stats.skipped += task->skipped;
	run->tasks_left--;
	if (!job->plan.stages[task->stage].child) {
		job->finished[job->finished_count++] = task->partition;
		pthread_cond_signal(&job->done);
		return;
	}
	job->stats.shuffle_bytes += (uint64_t)kept;
	if (run->tasks_left == 0)
		finish_stage(job, task->stage);
}

static void task_failed(struct job *job, const struct dag_task *task, enum sm_err err, struct sm_error *error)
{
	struct stage_run *run = &job->runs[task->stage];
	const struct stage *stage = &job->plan.stages[task->stage];
	__atomic_sub_fetch(&job->memory, task->charged, __ATOMIC_RELAXED);
	if (job->ended)
		return;
	if (job_cancelled(job)) {
		job_end(job, SM_CANCELLED, &(struct sm_error){.code = SM_CANCELLED, .text = "the job was cancelled"});
		return;
	}
	if (!task->final && run->attempts[task->partition] < COMPUTE_TASK_ATTEMPTS) {
		job->stats.retries++;
		push_ready(job, (struct task_id){task->stage, task->partition});
		return;
	}
	if (error->text[0] == 0)
		sm_fail(error, err, "%s", sm_err_text(err));
	sm_error_prefix(error, "stage %u, task %u of %u, attempt %u, %s", task->stage, task->partition + 1, stage->node->partitions,
			run->attempts[task->partition], task->failed_in ? task->failed_in->ops->name : stage->node->ops->name);
	job_end(job, err, error);
}

/* ---- threads ---- */

static void run_task(struct job *job, struct task_id id)
{
	struct dag_task task = {.job = job, .stage = id.stage, .partition = id.partition};
	struct sm_error error = {0};
	uint32_t count = job->runs[id.stage].bucket_count;
	struct batch_list *lists = calloc(count, sizeof *lists);
	enum sm_err err = lists ? run_attempt(&task, lists, &error) : SM_NO_MEMORY;
	pthread_mutex_lock(&job->lock);
	if (err)
		task_failed(job, &task, err, &error);
	else
		task_succeeded(job, &task, lists);
	pthread_mutex_unlock(&job->lock);
	for (uint32_t i = 0; lists && i < count; i++)
		batch_list_done(&lists[i]);
	free(lists);
}

/* Results pile up behind a slow reader: no more of them are begun than there are threads. The result's stage is the last one, so nothing
 * else waits behind it. */
static bool must_wait_for_reader(const struct job *job, struct task_id id)
{
	return id.stage == job->plan.count - 1 && job->finished_count - job->taken_count >= job->threads;
}

static void *worker(void *arg)
{
	struct job *job = arg;
	pthread_mutex_lock(&job->lock);
	while (!job->ended) {
		struct task_id id = job->ready[job->ready_at];
		if (job->ready_count == 0 || must_wait_for_reader(job, id)) {
			pthread_cond_wait(&job->work, &job->lock);
			continue;
		}
		job->ready_at = (job->ready_at + 1) % job->task_count;
		job->ready_count--;
		job->stats.tasks++;
		job->runs[id.stage].attempts[id.partition]++;
		pthread_mutex_unlock(&job->lock);
		run_task(job, id);
		pthread_mutex_lock(&job->lock);
	}
	pthread_mutex_unlock(&job->lock);
	return NULL;
}

typedef enum sm_err each_fn(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr);

/* Outside the lock: the batches of a finished partition are the caller's alone. */
static enum sm_err hand_out(struct job *job, uint32_t partition, each_fn *each, void *arg, uint64_t *rows, struct sm_error *reterr)
{
	struct batch_list *list = &job->runs[job->plan.count - 1].lists[partition];
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < list->count && !err; i++) {
		*rows += list->items[i]->rows;
		if (each)
			err = each(arg, partition, list->items[i], reterr);
	}
	__atomic_sub_fetch(&job->memory, (int64_t)list->bytes, __ATOMIC_RELAXED);
	batch_list_done(list);
	return err;
}

static void deliver(struct job *job, each_fn *each, void *arg)
{
	uint32_t left = job->plan.stages[job->plan.count - 1].node->partitions;
	pthread_mutex_lock(&job->lock);
	while (left && !job->ended) {
		if (job->taken_count == job->finished_count) {
			pthread_cond_wait(&job->done, &job->lock);
			continue;
		}
		uint32_t partition = job->finished[job->taken_count++];
		pthread_cond_signal(&job->work);
		pthread_mutex_unlock(&job->lock);
		struct sm_error error = {0};
		uint64_t rows = 0;
		enum sm_err err = job_cancelled(job) ? sm_fail(&error, SM_CANCELLED, "the job was cancelled")
						     : hand_out(job, partition, each, arg, &rows, &error);
		pthread_mutex_lock(&job->lock);
		job->stats.rows_out += rows;
		left--;
		if (err && !error.text[0])
			sm_fail(&error, err, "%s", sm_err_text(err));
		if (err)
			job_end(job, err, &error);
	}
	job_end(job, SM_OK, NULL);
	pthread_mutex_unlock(&job->lock);
}

static uint32_t thread_count(const struct job *job)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t count = job->env->threads ? job->env->threads : cores > 0 ? (uint32_t)cores : 1;
	count = count < COMPUTE_THREADS_MAX ? count : COMPUTE_THREADS_MAX;
	return count < job->task_count ? count : job->task_count;
}

static enum sm_err run_threads(struct job *job, each_fn *each, void *arg, struct sm_error *reterr)
{
	pthread_t threads[COMPUTE_THREADS_MAX];
	uint32_t wanted = job->threads = thread_count(job), started = 0;
	int failed = 0;
	while (started < wanted && !(failed = pthread_create(&threads[started], NULL, worker, job)))
		started++;
	if (wanted && !started)
		return sm_fail_errno(reterr, failed, "cannot start a thread for the job's tasks");
	deliver(job, each, arg);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return SM_OK;
}

/* ---- jobs ---- */

static enum sm_err job_init(struct job *job, const struct compute_env *env, struct dag_node *node)
{
	*job = (struct job){.env = env, .memory_max = env->memory_max ? (int64_t)env->memory_max : COMPUTE_MEMORY_MAX};
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->work, NULL);
	pthread_cond_init(&job->done, NULL);
	enum sm_err err = dag__plan(node, &job->plan);
	if (err)
		return err;
	job->stats.stages = job->plan.count;
	job->runs = calloc(job->plan.count, sizeof *job->runs);
	job->finished = calloc(node->partitions + 1, sizeof *job->finished);
	if (!job->runs || !job->finished)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < job->plan.count; i++) {
		const struct stage *stage = &job->plan.stages[i];
		struct stage_run *run = &job->runs[i];
		run->waits_for = stage->need_count;
		run->tasks_left = stage->node->partitions;
		run->bucket_count = stage->child ? stage->child->partitions : 1;
		run->attempts = calloc(stage->node->partitions + 1, sizeof *run->attempts);
		run->lists = calloc((size_t)stage->node->partitions * run->bucket_count + 1, sizeof *run->lists);
		if (!run->attempts || !run->lists)
			return SM_NO_MEMORY;
		job->task_count += stage->node->partitions;
	}
	job->ready = calloc(job->task_count + 1, sizeof *job->ready);
	return job->ready ? SM_OK : SM_NO_MEMORY;
}

static void job_done(struct job *job)
{
	for (uint32_t i = 0; job->runs && i < job->plan.count; i++) {
		struct stage_run *run = &job->runs[i];
		size_t lists = run->lists ? (size_t)job->plan.stages[i].node->partitions * run->bucket_count : 0;
		for (size_t k = 0; k < lists; k++)
			batch_list_done(&run->lists[k]);
		free(run->lists);
		free(run->attempts);
	}
	free(job->runs);
	free(job->finished);
	free(job->ready);
	dag__plan_done(&job->plan);
	pthread_cond_destroy(&job->done);
	pthread_cond_destroy(&job->work);
	pthread_mutex_destroy(&job->lock);
}

enum sm_err dag_run(const struct compute_env *env, struct dag_node *node, each_fn *each, void *arg, struct dag_stats *ret_stats,
		    struct sm_error *reterr)
{
	struct job job;
	enum sm_err err = job_init(&job, env, node);
	if (err) {
		err = sm_fail(reterr, err, "no memory to plan the job");
		goto done;
	}
	for (uint32_t i = 0; i < job.plan.count; i++)
		if (job.plan.stages[i].need_count == 0)
			start_stage(&job, i);
	err = run_threads(&job, each, arg, reterr);
	if (!err && job.err) {
		err = job.err;
		if (reterr)
			*reterr = job.error;
	}
	if (ret_stats)
		*ret_stats = job.stats;
done:
	job_done(&job);
	return err;
}
