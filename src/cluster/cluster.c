#include "cluster/cluster_internal.h"
#include "base/memory.h"
#include "base/metrics.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { TIMER_LOOK = 1 };
static const struct sm_msg_type call_type;
static const struct sm_msg_type ended_type = {"task ended", NULL};
static const struct sm_msg_type wake_type;

int64_t cluster__now_ms(const struct cluster *c)
{
	return clock_wall_ms(c->options.clock);
}

/* ---- calls ---- */

struct call *cluster__call_new(struct cluster *c, void (*handle)(struct cluster *, struct call *), void (*finish)(struct call *))
{
	struct call *call = calloc(1, sizeof *call);
	if (!call)
		return NULL;
	call->msg.type = &call_type;
	call->cluster = c;
	call->handle = handle;
	call->finish = finish;
	return call;
}

void cluster__call_free(struct call *call)
{
	json_decref(call->body);
	json_decref(call->reply);
	free(call->name);
	free(call->header_name);
	free(call->header_value);
	free(call->text);
	free(call);
}

void cluster__answer(struct call *call, int status, json_t *reply)
{
	call->status = status;
	call->reply = reply;
	call->finish(call);
}

void cluster__answer_error(struct call *call)
{
	if (!call->error.code)
		sm_fail(&call->error, SM_FAILED, "%s", sm_err_text(SM_FAILED));
	call->finish(call);
}

/* The actor ended before the call was handled. */
static void call_dropped(struct sm_msg *msg)
{
	struct call *call = (struct call *)msg;
	sm_fail(&call->error, SM_CLOSED, "the server is stopping");
	call->finish(call);
}
static const struct sm_msg_type call_type = {"cluster call", call_dropped};

void cluster__call_send(struct call *call)
{
	enum sm_err err = sm_send(call->cluster->ref, &call->msg);
	if (err) {
		sm_fail(&call->error, err, err == SM_FULL ? "too many requests at once: try again" : "the server is stopping");
		call->finish(call);
	}
}

static void finish_waiting(struct call *call)
{
	sem_post(call->user);
}

/* From a thread that may block. */
static enum sm_err call_wait(struct cluster *c, void (*handle)(struct cluster *, struct call *), const json_t *body, json_t **ret_reply,
			     struct sm_error *reterr)
{
	sem_t done;
	struct call *call = cluster__call_new(c, handle, finish_waiting);
	if (!call)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	sem_init(&done, 0, 0);
	call->user = &done;
	call->body = body ? json_deep_copy(body) : NULL;
	call->force = true;
	cluster__call_send(call);
	while (sem_wait(&done))
		;
	sem_destroy(&done);
	enum sm_err err = call->error.code;
	if (err && reterr)
		*reterr = call->error;
	if (!err && ret_reply) {
		*ret_reply = call->reply;
		call->reply = NULL;
	}
	cluster__call_free(call);
	return err;
}

enum sm_err cluster_app_put(struct cluster *c, const json_t *document, struct sm_error *reterr)
{
	return call_wait(c, cluster__app_put_handle, document, NULL, reterr);
}

enum sm_err cluster_job_put(struct cluster *c, const json_t *document, struct sm_error *reterr)
{
	return call_wait(c, cluster__job_put_handle, document, NULL, reterr);
}

/* ---- status ---- */

static void status_handle(struct cluster *c, struct call *call)
{
	json_t *apps = json_array(), *jobs = json_array();
	int staging = 0;
	for (const struct cluster_task *t = c->tasks; t; t = t->next)
		staging += t->staging;
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *a = item;
		json_array_append_new(apps,
				      json_pack("{s:s s:o? s:i s:i s:s}", "id", a->id, "instances",
						json_deep_copy(json_object_get(a->document, "instances")), "running", (int)a->running,
						"restarts", (int)a->restarts, "lastError", a->last_error.code ? a->last_error.text : ""));
	}
	pos = 0;
	while (map_next(&c->jobs, &pos, NULL, &item))
		json_array_append_new(jobs, cluster__job_json(item));
	cluster__answer(call, 200,
			json_pack("{s:{s:i s:f s:f s:f s:f} s:o s:o}", "agent", "staging", staging, "cpus", c->agent.cpus, "cpusUsed",
				  c->agent.cpus_used, "mem", (double)c->agent.memory_bytes / 1048576, "memUsed",
				  (double)c->agent.memory_used / 1048576, "apps", apps, "jobs", jobs));
}

json_t *cluster_status(struct cluster *c)
{
	json_t *reply = NULL;
	return call_wait(c, status_handle, NULL, &reply, NULL) ? json_object() : reply;
}

/* ---- the actor ---- */

static enum sm_err init(struct sm_actor *self, void *state, void *arg)
{
	*(struct cluster **)state = arg;
	return SM_OK;
}

/* The end of the last task of a cluster that is stopping. */
static void check_all_ended(struct cluster *c)
{
	if (c->stopping && !c->tasks && !c->all_ended_posted) {
		c->all_ended_posted = true;
		sem_post(&c->all_ended);
	}
}

static void handle_ended(struct cluster *c, struct cluster_task *task)
{
	for (struct cluster_task **at = &c->tasks; *at; at = &(*at)->next)
		if (*at == task) {
			*at = task->next;
			break;
		}
	task->has_ended = true;
	metric_add(METRIC_TASKS_RUNNING, -1);
	if (task->error.code)
		metric_add(METRIC_TASKS_FAILED, 1);
	cluster__agent_give(&c->agent, task->cpus, task->memory_bytes);
	if (task->app)
		cluster__app_ended(c, task->app, task);
	if (task->job)
		cluster__job_ended(c, task->job, task);
	cluster__task_free(task);
	check_all_ended(c);
}

static enum sm_err receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	struct cluster *c = *(struct cluster **)state;
	if (msg->type == &call_type) {
		struct call *call = (struct call *)msg;
		sm_msg_keep(self);
		if (call->then) {
			void (*then)(struct cluster *, struct call *) = call->then;
			call->then = NULL;
			if (call->error.code)
				cluster__answer_error(call);
			else
				then(c, call);
		} else if (c->stopping && call->handle != status_handle) {
			sm_fail(&call->error, SM_CLOSED, "the server is stopping");
			cluster__answer_error(call);
		} else {
			call->handle(c, call);
		}
	} else if (msg->type == &ended_type) {
		struct cluster_task *task = (struct cluster_task *)msg;
		sm_msg_keep(self);
		task->has_ended = true;
		if (!task->staging)
			handle_ended(c, task);
	} else if (msg->type == &cluster__staged_type) {
		struct cluster_task *task = (struct cluster_task *)((char *)msg - offsetof(struct cluster_task, staged));
		sm_msg_keep(self);
		if (!cluster__task_staged(c, task))
			handle_ended(c, task);
	} else if (msg->type == &cluster__probe_type) {
		sm_msg_keep(self);
		cluster__probe_done(c, msg);
	}
	if (c->stopping || !c->started)
		return SM_OK;
	int64_t now = cluster__now_ms(c), checks = cluster__checks_look(c, now), apps = cluster__apps_look(c, now),
		jobs = cluster__jobs_look(c, now), next = apps < jobs ? apps : jobs;
	if (checks < next)
		next = checks;
	/* The clock may be set: look at it once in a while. */
	return sm_timer_start(self, TIMER_LOOK, (uint64_t)(next < 1 ? 1 : next > 60000 ? 60000 : next), 0);
}

static const struct sm_props props = {
	.name = "cluster",
	.state_size = sizeof(struct cluster *),
	.init = init,
	.receive = receive,
	.mailbox_max = 16384,
	.dispatcher = -1,
};

static void free_wake(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type wake_type = {"wake", free_wake};

void cluster__wake(struct cluster *c)
{
	struct sm_msg *msg = calloc(1, sizeof *msg);
	if (!msg)
		return; /* the next message or the timer looks, too */
	msg->type = &wake_type;
	if (sm_send(c->ref, msg))
		sm_msg_free(msg);
}

void cluster_task_ended(struct cluster_task *task, const struct sm_error *error)
{
	if (error)
		task->error = *error;
	task->ended.type = &ended_type;
	/* The actor is ended after its tasks; the memory is the process's if that ever fails. */
	(void)!sm_send_reply(task->cluster->ref, &task->ended);
}

void cluster__task_usage(struct cluster_task *task, int64_t cpu_us, int64_t rss_kib)
{
	task->cpu_us = cpu_us;
	task->rss_kib = rss_kib;
}

/* ---- agent ---- */

bool cluster__agent_take(struct agent *a, double cpus, uint64_t memory_bytes)
{
	if (a->cpus_used + cpus > a->cpus + 1e-9 || a->memory_used + memory_bytes > a->memory_bytes)
		return false;
	a->cpus_used += cpus;
	a->memory_used += memory_bytes;
	return true;
}

void cluster__agent_give(struct agent *a, double cpus, uint64_t memory_bytes)
{
	a->cpus_used -= cpus;
	if (a->cpus_used < 1e-9)
		a->cpus_used = 0;
	a->memory_used -= memory_bytes;
}

static void agent_init(struct agent *a, const struct cluster_options *o)
{
	a->cpus = o->cpus > 0 ? o->cpus : (double)sysconf(_SC_NPROCESSORS_ONLN);
	a->memory_bytes = o->memory_bytes ? o->memory_bytes : memory_of_machine() / 2;
}

/* ---- start and end ---- */

static void free_all(struct cluster *c)
{
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item))
		cluster__app_free(item);
	pos = 0;
	while (map_next(&c->jobs, &pos, NULL, &item))
		cluster__job_free(item);
	pos = 0;
	while (map_next(&c->groups, &pos, NULL, &item))
		cluster__group_free(item);
	map_done(&c->groups);
	map_done(&c->apps);
	map_done(&c->jobs);
	cluster__persist_close(c);
	sm_unref(c->ref);
	sem_destroy(&c->all_ended);
	free(c->env);
	free(c->dir);
	free(c);
}

enum sm_err cluster_new(const struct cluster_options *options, struct cluster **ret_cluster, struct sm_error *reterr)
{
	struct cluster *c = calloc(1, sizeof *c);
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	c->options = *options;
	if (!c->options.clock)
		c->options.clock = &clock_system;
	sem_init(&c->all_ended, 0, 0);
	agent_init(&c->agent, options);
	enum sm_err err = io_mkdir_all(&io_system, options->dir, reterr);
	/* Absolute: the processes change their directory. */
	if (!err && !(c->dir = realpath(options->dir, NULL)))
		err = sm_fail(reterr, SM_IO, "cannot resolve %s", options->dir);
	if (!err)
		err = cluster__persist_open(c, reterr);
	if (!err)
		err = cluster__processes_new(&c->processes, reterr);
	struct sm_props own = props;
	own.arg = c;
	if (!err && (err = sm_spawn(options->system, NULL, &own, &c->ref)))
		sm_fail(reterr, err, "cluster: %s", sm_err_text(err));
	if (err) {
		cluster__processes_end(c->processes);
		cluster__processes_free(c->processes);
		free_all(c);
		return err;
	}
	*ret_cluster = c;
	return SM_OK;
}

static void start_handle(struct cluster *c, struct call *call)
{
	c->started = true;
	cluster__answer(call, 200, NULL);
}

enum sm_err cluster_start(struct cluster *c, const char *const *env, struct sm_error *reterr)
{
	size_t own = 0, more = 0;
	while (environ[own])
		own++;
	while (env && env[more])
		more++;
	if (!(c->env = calloc(own + more + 1, sizeof *c->env)))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	memcpy(c->env, environ, own * sizeof *c->env);
	for (size_t i = 0; i < more; i++)
		c->env[own + i] = (char *)(uintptr_t)env[i];
	cluster__processes_env(c->processes, c->env);
	return call_wait(c, start_handle, NULL, NULL, reterr);
}

static void stop_handle(struct cluster *c, struct call *call)
{
	c->stopping = true;
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		cluster__task_stop(c, t);
	check_all_ended(c);
	cluster__answer(call, 200, NULL);
}

static bool wait_for_ends(struct cluster *c, uint32_t timeout_ms)
{
	struct timespec deadline;
	clock_gettime(CLOCK_REALTIME, &deadline);
	uint64_t ns = (uint64_t)deadline.tv_nsec + (uint64_t)timeout_ms * 1000000;
	deadline.tv_sec += (time_t)(ns / 1000000000);
	deadline.tv_nsec = (long)(ns % 1000000000);
	int failed;
	while ((failed = sem_timedwait(&c->all_ended, &deadline)) && errno == EINTR)
		;
	return !failed;
}

#define KILL_WAIT_MS 500

void cluster_stop(struct cluster *c, uint32_t timeout_ms)
{
	if (!c || c->stopped)
		return;
	c->stopped = true;
	c->ended = call_wait(c, stop_handle, NULL, NULL, NULL) == SM_OK && wait_for_ends(c, timeout_ms);
	/* Kills what did not end in time, and waits for that. */
	cluster__processes_end(c->processes);
	if (!c->ended)
		c->ended = wait_for_ends(c, KILL_WAIT_MS);
}

void cluster_free(struct cluster *c, uint32_t timeout_ms)
{
	if (!c)
		return;
	cluster_stop(c, timeout_ms);
	sm_stop(c->ref);
	/* A job inside the server that does not end keeps its task and this memory: the process is about to exit. */
	if (!c->ended)
		return;
	/* The actor's last message is behind it when it answers no more. */
	while (call_wait(c, status_handle, NULL, NULL, NULL) == SM_OK || atomic_load(&c->reading) || atomic_load(&c->writing) || c->probes)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	cluster__processes_free(c->processes);
	free_all(c);
}

enum sm_err cluster_routes(struct cluster *c, struct http_server *server)
{
	enum sm_err err = cluster__marathon_routes(c, server);
	if (!err)
		err = cluster__group_routes(c, server);
	if (!err)
		err = cluster__log_routes(c, server);
	return err ? err : cluster__chronos_routes(c, server);
}
