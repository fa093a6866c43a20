/* Attempts to run something: sandbox, share of the agent, runner. */
#include "base/metrics.h"
#include "cluster/cluster_internal.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* "/stream/daily" -> "stream_daily": a name for files. */
static void file_name(const char *owner, char *out, size_t size)
{
	size_t n = 0;
	for (owner += *owner == '/'; *owner && n + 1 < size; owner++)
		out[n++] = (*owner >= 'a' && *owner <= 'z') || (*owner >= 'A' && *owner <= 'Z') || (*owner >= '0' && *owner <= '9') ||
					   strchr("-.", *owner)
				   ? *owner
				   : '_';
	out[n] = 0;
	if (out[0] == '.')
		out[0] = '_';
}

/* ---- sandboxes: DIR/apps/stream_daily/000000000017 ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void delete_old(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, not_hidden, by_name);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		if (i < n - CLUSTER_SANDBOXES_KEPT && (size_t)snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name) < sizeof path)
			(void)!io_remove_tree(&io_system, path, NULL);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static enum sm_err make_sandbox(struct cluster *c, struct cluster_task *t, struct sm_error *reterr)
{
	char owner[128], dir[PATH_MAX];
	file_name(t->owner, owner, sizeof owner);
	if ((size_t)snprintf(dir, sizeof dir, "%s/%s/%s", c->dir, t->app ? "apps" : "jobs", owner) >= sizeof dir - 32)
		return sm_fail(reterr, SM_INVALID, "the path of the sandbox is too long");
	enum sm_err err = io_mkdir_all(&io_system, dir, reterr);
	if (err)
		return err;
	delete_old(dir);
	/* Increasing, also over a restart. */
	snprintf(t->sandbox, sizeof t->sandbox, "%.*s/%015llu-%04llu", PATH_MAX - 32, dir, (unsigned long long)cluster__now_ms(c),
		 (unsigned long long)++c->next_task % 10000);
	return io_mkdir_all(&io_system, t->sandbox, reterr);
}

enum sm_err cluster__output(struct cluster *c, const char *kind, const char *owner, const char *stream, size_t max, struct buf *out)
{
	char name[128], dir[PATH_MAX], path[PATH_MAX];
	struct dirent **names;
	file_name(owner, name, sizeof name);
	snprintf(dir, sizeof dir, "%s/%s/%s", c->dir, kind, name);
	int n = scandir(dir, &names, not_hidden, by_name);
	if (n < 0)
		return SM_NOT_FOUND;
	*path = 0;
	if (n > 0)
		snprintf(path, sizeof path, "%.*s/%.64s/%s", PATH_MAX - 128, dir, names[n - 1]->d_name, stream);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	int fd = *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;
	if (fd < 0)
		return n > 0 ? SM_OK : SM_NOT_FOUND; /* nothing was written yet */
	if (!fstat(fd, &st)) {
		off_t at = (size_t)st.st_size > max ? st.st_size - (off_t)max : 0;
		size_t want = (size_t)(st.st_size - at);
		uint8_t *p = buf_reserve(out, want ? want : 1);
		ssize_t got = p ? pread(fd, p, want, at) : 0;
		if (got > 0)
			buf_commit(out, (size_t)got);
	}
	close(fd);
	return SM_OK;
}

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
	json_decref(t->env);
	free(t);
}

enum sm_err cluster__task_start(struct cluster *c, struct app *app, struct job *job, struct sm_error *reterr)
{
	const json_t *document = app ? app->document : job->document;
	const json_t *smack = json_object_get(document, "smack");
	struct cluster_task *t = calloc(1, sizeof *t);
	if (!t)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	t->cluster = c;
	t->app = app;
	t->job = job;
	t->in_server = smack != NULL;
	t->started_ms = cluster__now_ms(c);
	t->cpus = json_number_value(json_object_get(document, "cpus"));
	t->memory_bytes = (uint64_t)(json_number_value(json_object_get(document, "mem")) * 1048576);
	snprintf(t->owner, sizeof t->owner, "%s", app ? app->id : job->name);
	char name[128];
	file_name(t->owner, name, sizeof name);
	struct uuid id;
	char text[37];
	uuid_random(&id);
	uuid_format(&id, text);
	snprintf(t->id, sizeof t->id, "%.120s.%s", name, text);
	if (!cluster__agent_take(&c->agent, t->cpus, t->memory_bytes)) {
		free(t);
		return sm_fail(reterr, SM_FULL, "waits for %.2f CPUs and %.0f MiB: %.2f CPUs and %.0f MiB are free",
			       json_number_value(json_object_get(document, "cpus")), json_number_value(json_object_get(document, "mem")),
			       c->agent.cpus - c->agent.cpus_used, (double)(c->agent.memory_bytes - c->agent.memory_used) / 1048576);
	}
	enum sm_err err = make_sandbox(c, t, reterr);
	if (!err)
		err = make_env(c, t, document, reterr);
	const char *command = json_string_value(json_object_get(document, app ? "cmd" : "command"));
	struct cluster_task_info info = {
		.id = t->id,
		.owner = t->owner,
		.command = smack ? NULL : command,
		.smack = smack,
		.env = t->env,
		.sandbox = t->sandbox,
		.cpus = t->cpus,
		.memory_bytes = t->memory_bytes,
	};
	const struct cluster_runner *runner = smack ? c->options.server_runner : cluster__processes_table(c->processes);
	if (!err && !runner)
		err = sm_fail(reterr, SM_UNSUPPORTED, "no jobs inside this server");
	/* On the list first: its end may come before start returns. */
	t->next = c->tasks;
	c->tasks = t;
	if (!err)
		err = runner->start(runner->arg, t, &info, reterr);
	if (err) {
		c->tasks = t->next;
		cluster__agent_give(&c->agent, t->cpus, t->memory_bytes);
		cluster__task_free(t);
		return err;
	}
	metric_add(METRIC_TASKS_RUNNING, 1);
	metric_add(METRIC_TASKS_STARTED, 1);
	return SM_OK;
}

void cluster__task_stop(struct cluster *c, struct cluster_task *t)
{
	if (t->state == TASK_KILLING)
		return;
	t->state = TASK_KILLING;
	const struct cluster_runner *runner = t->in_server ? c->options.server_runner : cluster__processes_table(c->processes);
	runner->stop(runner->arg, t);
}
