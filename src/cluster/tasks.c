/* Attempts to run something: share of the agent, ports and environment, life. */
#include "base/metrics.h"
#include "cluster/cluster_internal.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void cluster_task_output(struct cluster_task *t, const char *line)
{
	char path[PATH_MAX + 16];
	snprintf(path, sizeof path, "%s/stdout", t->sandbox);
	FILE *f = fopen(path, "ae");
	if (!f)
		return;
	fprintf(f, "%s\n", line);
	fclose(f);
}

/* ---- ports and environment of an app's task ---- */

static bool port_taken(const struct cluster *c, uint16_t port)
{
	for (const struct cluster_task *t = c->tasks; t; t = t->next)
		for (unsigned i = 0; i < t->port_count; i++)
			if (t->ports[i] == port)
				return true;
	return false;
}

/* The next port that no task of ours has and that can be bound now. */
static uint16_t free_port(struct cluster *c)
{
	for (unsigned n = CLUSTER_PORT_FIRST; n <= CLUSTER_PORT_LAST; n++) {
		if (c->next_port < CLUSTER_PORT_FIRST || c->next_port > CLUSTER_PORT_LAST)
			c->next_port = CLUSTER_PORT_FIRST;
		uint16_t port = c->next_port++;
		if (port_taken(c, port))
			continue;
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
		if (fd >= 0)
			close(fd);
		if (bound)
			return port;
	}
	return 0;
}

/* PORT, PORT0, PORT1 ..., PORT_NAME: as Marathon numbers and names them. */
static enum sm_err give_ports(struct cluster *c, struct cluster_task *t, const json_t *document, struct sm_error *reterr)
{
	bool must = json_is_true(json_object_get(document, "requirePorts"));
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(document, "portDefinitions"), i, item)
	{
		char name[80], value[8];
		const char *called = json_string_value(json_object_get(item, "name"));
		json_int_t asked = json_integer_value(json_object_get(item, "port"));
		if (i == CLUSTER_PORTS_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "\"portDefinitions\": more than %d", CLUSTER_PORTS_MAX);
		uint16_t port = must && asked > 0 && asked < 65536 ? (uint16_t)asked : free_port(c);
		if (!port)
			return sm_fail(reterr, SM_FULL, "waits for a port between %d and %d", CLUSTER_PORT_FIRST, CLUSTER_PORT_LAST);
		t->ports[t->port_count++] = port;
		snprintf(value, sizeof value, "%u", port);
		snprintf(name, sizeof name, "PORT%zu", i);
		json_object_set_new(t->env, name, json_string(value));
		if (i == 0)
			json_object_set_new(t->env, "PORT", json_string(value));
		if (!called || strlen(called) > 63)
			continue;
		snprintf(name, sizeof name, "PORT_%s", called);
		for (char *p = name; *p; p++)
			*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
		json_object_set_new(t->env, name, json_string(value));
	}
	return SM_OK;
}

static enum sm_err make_env(struct cluster *c, struct cluster_task *t, const json_t *document, struct sm_error *reterr)
{
	t->env = json_object();
	json_object_set_new(t->env, "MESOS_TASK_ID", json_string(t->id));
	json_object_set_new(t->env, "MESOS_SANDBOX", json_string(t->sandbox));
	json_object_set_new(t->env, "HOST", json_string("localhost"));
	if (t->app) {
		json_object_set_new(t->env, "MARATHON_APP_ID", json_string(t->app->id));
		json_object_set_new(t->env, "MARATHON_APP_VERSION", json_string(t->app->version));
	} else {
		json_object_set_new(t->env, "CHRONOS_JOB_NAME", json_string(t->owner));
	}
	enum sm_err err = give_ports(c, t, document, reterr);
	if (!err && json_is_object(json_object_get(document, "env")))
		json_object_update(t->env, json_object_get(document, "env"));
	return err;
}

/* ---- start and stop ---- */

void cluster__task_free(struct cluster_task *t)
{
	cluster__checks_free(t);
	json_decref(t->env);
	json_decref(t->document);
	free(t);
}

static void staged_free(struct sm_msg *msg)
{
	/* The actor has gone: the process is about to exit, and the task's memory with it. */
}
const struct sm_msg_type cluster__staged_type = {"task staged", staged_free};

/* DIR/apps/stream_daily/000000000017; increasing, also over a restart. */
static enum sm_err name_sandbox(struct cluster *c, struct cluster_task *t, struct sm_error *reterr)
{
	char owner[128];
	cluster__file_name(t->owner, owner, sizeof owner);
	int size = snprintf(t->sandbox, sizeof t->sandbox, "%s/%s/%s/%015llu-%04llu", c->dir, t->app ? "apps" : "jobs", owner,
			    (unsigned long long)cluster__now_ms(c), (unsigned long long)++c->next_task % 10000);
	return (size_t)size < sizeof t->sandbox - 16 ? SM_OK : sm_fail(reterr, SM_INVALID, "the path of the sandbox is too long");
}

static struct cluster_task *task_new(struct cluster *c, struct app *app, struct job *job)
{
	struct cluster_task *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->document = json_incref(app ? app->document : job->document);
	t->cluster = c;
	t->app = app;
	t->job = job;
	t->app_kind = app != NULL;
	t->in_server = json_object_get(t->document, "smack") != NULL;
	t->runner = t->in_server ? c->options.server_runner : cluster__processes_table(c->processes);
	t->started_ms = cluster__now_ms(c);
	t->cpus = json_number_value(json_object_get(t->document, "cpus"));
	t->memory_bytes = (uint64_t)(json_number_value(json_object_get(t->document, "mem")) * 1048576);
	snprintf(t->owner, sizeof t->owner, "%s", app ? app->id : job->name);
	snprintf(t->version, sizeof t->version, "%s", app ? app->config_version : "");
	char name[128], text[37];
	struct uuid id;
	cluster__file_name(t->owner, name, sizeof name);
	uuid_random(&id);
	uuid_format(&id, text);
	snprintf(t->id, sizeof t->id, "%.120s.%s", name, text);
	return t;
}

/* The part on the pool. */
static enum sm_err stage(struct cluster *c, struct cluster_task *t, struct sm_error *reterr)
{
	t->staging = true;
	t->staged.type = &cluster__staged_type;
	t->stage.run = cluster__stage;
	t->stage.reply_to = c->ref;
	t->stage.done_msg = &t->staged;
	enum sm_err err = sm_pool_run(c->options.system, &t->stage);
	return err ? sm_fail(reterr, err, "the server is busy: tried again") : SM_OK;
}

enum sm_err cluster__task_start(struct cluster *c, struct app *app, struct job *job, struct sm_error *reterr)
{
	struct cluster_task *t = task_new(c, app, job);
	if (!t)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (!cluster__agent_take(&c->agent, t->cpus, t->memory_bytes)) {
		enum sm_err full = sm_fail(reterr, SM_FULL, "waits for %.2f CPUs and %.0f MiB: %.2f CPUs and %.0f MiB are free", t->cpus,
					   (double)t->memory_bytes / 1048576, c->agent.cpus - c->agent.cpus_used,
					   (double)(c->agent.memory_bytes - c->agent.memory_used) / 1048576);
		cluster__task_free(t);
		return full;
	}
	enum sm_err err = t->runner ? name_sandbox(c, t, reterr) : sm_fail(reterr, SM_UNSUPPORTED, "no jobs inside this server");
	if (!err)
		err = make_env(c, t, t->document, reterr);
	if (!err)
		err = stage(c, t, reterr);
	if (err) {
		cluster__agent_give(&c->agent, t->cpus, t->memory_bytes);
		cluster__task_free(t);
		return err;
	}
	t->next = c->tasks;
	c->tasks = t;
	metric_add(METRIC_TASKS_RUNNING, 1);
	metric_add(METRIC_TASKS_STARTED, 1);
	return SM_OK;
}

bool cluster__task_staged(struct cluster *c, struct cluster_task *t)
{
	t->staging = false;
	if (t->not_started || t->has_ended)
		return false;
	t->started_ms = cluster__now_ms(c);
	if (t->state == TASK_KILLING)
		t->runner->stop(t->runner->arg, t);
	else
		cluster__checks_begin(c, t);
	return true;
}

void cluster__task_stop(struct cluster *c, struct cluster_task *t)
{
	if (t->state == TASK_KILLING)
		return;
	t->state = TASK_KILLING;
	if (t->staging)
		atomic_store(&t->cancelled, true);
	else if (!t->has_ended)
		t->runner->stop(t->runner->arg, t);
}
