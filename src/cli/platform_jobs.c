/* Jobs inside the server, as tasks of the cluster: a stream of the configuration runs until it is stopped; a SQL job runs once
 * on a thread of its own, since it may take long and the pool is for short work. */
#include "base/io.h"
#include "base/json.h"
#include "base/logging.h"
#include "base/metrics.h"
#include "cli/platform.h"
#include "stream/stream.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct running {
	struct running *next;
	struct platform_runner *runner;
	struct cluster_task *task;
	struct stream *stream; /* or a SQL job: */
	pthread_t thread;
	char *sql;
	char *name;
	const struct compute_env *env;
	volatile bool cancel;
	unsigned refs; /* the start, until it returns, and the end */
};
struct platform_runner {
	struct platform *platform;
	struct cluster_runner table;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct running *running;
};

/* Drop one reference; at the end of the task (or of a start that failed) also take it off the list. The runner may be freed as soon as
 * the lock is given back. */
static void drop(struct running *r, bool ended)
{
	struct platform_runner *runner = r->runner;
	pthread_mutex_lock(&runner->lock);
	for (struct running **at = &runner->running; ended && *at; at = &(*at)->next) {
		if (*at != r)
			continue;
		*at = r->next;
		pthread_cond_signal(&runner->ended);
		break;
	}
	bool last = --r->refs == 0;
	pthread_mutex_unlock(&runner->lock);
	if (!last)
		return;
	stream_free(r->stream);
	free(r->sql);
	free(r->name);
	free(r);
}

static void end_task(struct running *r, const struct sm_error *error)
{
	struct cluster_task *task = r->task;
	drop(r, true);
	cluster_task_ended(task, error);
}

/* ---- holes = pass ---- */

static void hole_was_passed(void *arg, const char *topic, int32_t partition, int64_t from, int64_t to)
{
	const char *name = arg;
	metric_add_labelled(METRIC_OFFSETS_PASSED_OVER, name, to - from);
	LOG_WARN("cli", "job %s: topic %s, partition %d: offsets %lld to %lld are damaged or lost; they were passed over", name, topic,
		 (int)partition, (long long)from, (long long)to - 1);
}

/* The environments of streams and jobs that pass over holes, in the order of the configuration: streams first. They live as long as the
 * platform, since work of a stream that was stopped may still be on the pool. */
static enum sm_err make_passing(struct platform *p, struct sm_error *reterr)
{
	const struct config *c = p->config;
	p->passing = calloc(c->stream_count + c->job_count + 1, sizeof *p->passing);
	for (uint32_t i = 0; p->passing && i < c->stream_count + c->job_count; i++) {
		bool job = i >= c->stream_count;
		p->passing[i] = p->env;
		p->passing[i].passed = hole_was_passed;
		p->passing[i].passed_arg = (char *)(uintptr_t)(job ? c->jobs[i - c->stream_count].name : c->streams[i].name);
	}
	return p->passing ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
}

static void choose_env(struct running *r, uint32_t index, const char *holes)
{
	struct platform *p = r->runner->platform;
	bool pass = false;
	(void)!holes_parse(holes, &pass); /* the configuration has been checked */
	r->env = pass ? &p->passing[index] : &p->env;
}

/* ---- SQL jobs ---- */

static enum sm_err count_rows(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	*(uint64_t *)arg += batch->rows;
	return SM_OK;
}

static enum sm_err run_script(struct running *r, struct sm_error *reterr)
{
	struct sql_script *script;
	struct compute_env env = *r->env;
	uint64_t epoch;
	env.cancel = &r->cancel;
	enum sm_err err = sql_parse(bytes_str(r->sql), &script, reterr);
	if (err)
		return err;
	err = env.store->ops->job_epoch(env.store, r->name, &epoch, reterr);
	for (uint32_t i = 0; i < sql_script_count(script) && !err; i++) {
		const struct sql_statement *statement = sql_script_at(script, i);
		uint64_t rows = 0, seen = 0;
		char line[160];
		err = sql_run(&env, statement, r->name, epoch, count_rows, &seen, &rows, reterr);
		if (err)
			break;
		if (sql_is_insert(statement))
			snprintf(line, sizeof line, "%llu rows written to %s", (unsigned long long)rows, sql_insert_target(statement));
		else
			snprintf(line, sizeof line, "%llu rows", (unsigned long long)seen);
		cluster_task_output(r->task, line);
	}
	sql_script_free(script);
	return err;
}

static void *run_sql(void *arg)
{
	struct running *r = arg;
	struct sm_error error = {0};
	enum sm_err err = run_script(r, &error);
	end_task(r, err ? &error : NULL);
	return NULL;
}

static enum sm_err start_sql(struct running *r, char *sql, struct sm_error *reterr)
{
	r->sql = sql;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	int failed = pthread_create(&r->thread, &attributes, run_sql, r);
	pthread_attr_destroy(&attributes);
	return failed ? sm_fail_errno(reterr, failed, "no thread for the job") : SM_OK;
}

/* ---- streams ---- */

static void stream_ended(void *arg, const struct sm_error *error)
{
	end_task(arg, error);
}

static enum sm_err read_file_of(struct platform *p, const char *name, char **ret_text, struct sm_error *reterr)
{
	size_t size;
	char path[4200];
	return io_read_file(&io_system, config_path(p->config, name, path, sizeof path), SQL_TEXT_MAX, (uint8_t **)ret_text, &size, reterr);
}

static enum sm_err start_stream(struct running *r, const struct config_stream *from, struct sm_error *reterr)
{
	struct platform *p = r->runner->platform;
	enum sm_err err = read_file_of(p, from->sql, &r->sql, reterr);
	if (err)
		return err;
	choose_env(r, (uint32_t)(from - p->config->streams), from->holes);
	struct stream_options options = {
		.name = from->name,
		.sql = r->sql,
		.dedup = from->dedup,
		.dead_letter = from->dead_letter,
		.interval_ms = (uint32_t)(from->interval_ms ? from->interval_ms : p->config->batch_interval_ms),
		.batch_records_max = (uint32_t)p->config->batch_records,
		.env = r->env,
#ifdef SMACK_PLANT_FAULTS
		.plant_count_twice = getenv("SMACK_FAULT_COUNT_TWICE") != NULL,
#endif
	};
	return stream_start(p->system, &options, stream_ended, r, &r->stream, reterr);
}

/* ---- the runner ---- */

static enum sm_err start_named(struct running *r, const json_t *smack, struct sm_error *reterr)
{
	const struct config *config = r->runner->platform->config;
	const char *stream, *job, *sql;
	enum sm_err err;
	if ((err = json_get_string(smack, "stream", NULL, &stream, reterr)) || (err = json_get_string(smack, "job", NULL, &job, reterr)) ||
	    (err = json_get_string(smack, "sql", NULL, &sql, reterr)))
		return err;
	for (uint32_t i = 0; stream && i < config->stream_count; i++)
		if (strcmp(config->streams[i].name, stream) == 0)
			return start_stream(r, &config->streams[i], reterr);
	for (uint32_t i = 0; job && i < config->job_count; i++) {
		if (strcmp(config->jobs[i].name, job) != 0 || !*config->jobs[i].sql)
			continue;
		char *text;
		choose_env(r, config->stream_count + i, config->jobs[i].holes);
		err = read_file_of(r->runner->platform, config->jobs[i].sql, &text, reterr);
		return err ? err : start_sql(r, text, reterr);
	}
	if (sql) {
		char *text = strdup(sql);
		return text ? start_sql(r, text, reterr) : sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	return sm_fail(reterr, SM_NOT_FOUND, "\"smack\" names %s '%s', which the configuration does not have; or give it a member \"sql\"",
		       stream ? "stream" : "job",
		       stream ? stream
		       : job  ? job
			      : "");
}

static enum sm_err start(void *arg, struct cluster_task *task, const struct cluster_task_info *info, struct sm_error *reterr)
{
	struct platform_runner *runner = arg;
	struct running *r = calloc(1, sizeof *r);
	if (!r || !(r->name = strdup(info->owner))) {
		free(r);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	}
	r->runner = runner;
	r->env = &runner->platform->env;
	r->task = task;
	r->refs = 2;
	/* Listed before it starts: it may end at once. */
	pthread_mutex_lock(&runner->lock);
	r->next = runner->running;
	runner->running = r;
	pthread_mutex_unlock(&runner->lock);
	enum sm_err err = start_named(r, info->smack, reterr);
	if (err)
		drop(r, true);
	drop(r, false); /* NOLINT(clang-analyzer-unix.Malloc): the second of two references */
	return err;
}

static void stop(void *arg, struct cluster_task *task)
{
	struct platform_runner *runner = arg;
	pthread_mutex_lock(&runner->lock);
	for (struct running *r = runner->running; r; r = r->next) {
		if (r->task != task)
			continue;
		r->cancel = true;
		if (r->stream)
			stream_stop(r->stream);
		break;
	}
	pthread_mutex_unlock(&runner->lock);
}

enum sm_err platform_runner_new(struct platform *platform, struct platform_runner **ret_runner, struct sm_error *reterr)
{
	struct platform_runner *runner = calloc(1, sizeof *runner);
	if (!runner)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	enum sm_err err = make_passing(platform, reterr);
	if (err) {
		free(runner);
		return err;
	}
	runner->platform = platform;
	runner->table = (struct cluster_runner){start, stop, runner};
	pthread_mutex_init(&runner->lock, NULL);
	pthread_cond_init(&runner->ended, NULL);
	*ret_runner = runner;
	return SM_OK;
}

void platform_runner_free(struct platform_runner *runner)
{
	if (!runner)
		return;
	/* The cluster has stopped them all; a thread may still be on its last lines. */
	pthread_mutex_lock(&runner->lock);
	while (runner->running)
		pthread_cond_wait(&runner->ended, &runner->lock);
	pthread_mutex_unlock(&runner->lock);
	pthread_cond_destroy(&runner->ended);
	pthread_mutex_destroy(&runner->lock);
	free(runner);
}

const struct cluster_runner *platform_runner_table(struct platform_runner *runner)
{
	return &runner->table;
}

/* ---- documents of the configuration ---- */

static enum sm_err put_stream(struct platform *p, const struct config_stream *s, struct sm_error *reterr)
{
	char id[CONFIG_LINE_MAX + 16];
	snprintf(id, sizeof id, "/stream/%s", s->name);
	json_t *document = json_pack("{s:s s:f s:f s:i s:{s:s}}", "id", id, "cpus", 0.1, "mem", 64.0, "instances", 1, "smack", "stream",
				     s->name);
	enum sm_err err = document ? cluster_app_put(p->cluster, document, reterr)
				   : sm_fail(reterr, SM_INVALID, "[stream %s]: the name must be UTF-8", s->name);
	json_decref(document);
	return err;
}

static enum sm_err put_job(struct platform *p, const struct config_job *j, struct sm_error *reterr)
{
	json_t *document = json_pack("{s:s s:s s:s s:b s:f s:i}", "name", j->name, "schedule", j->schedule, "owner", "smack", "disabled", 0,
				     "cpus", 0.1, "mem", 128);
	if (!document)
		return sm_fail(reterr, SM_INVALID, "[job %s]: name and schedule must be UTF-8", j->name);
	if (*j->sql)
		json_object_set_new(document, "smack", json_pack("{s:s}", "job", j->name));
	else
		json_object_set_new(document, "command", json_string(j->command));
	enum sm_err err = cluster_job_put(p->cluster, document, reterr);
	json_decref(document);
	return err;
}

enum sm_err platform_jobs_put(struct platform *p, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < p->config->stream_count && !err; i++)
		if ((err = put_stream(p, &p->config->streams[i], reterr)))
			sm_error_prefix(reterr, "[stream %s]", p->config->streams[i].name);
	for (uint32_t i = 0; i < p->config->job_count && !err; i++)
		if ((err = put_job(p, &p->config->jobs[i], reterr)))
			sm_error_prefix(reterr, "[job %s]", p->config->jobs[i].name);
	return err;
}
