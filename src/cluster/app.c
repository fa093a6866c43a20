/* Long-running apps as Marathon keeps them: so many instances, restarted with a growing delay when they end. */
#include "base/logging.h"
#include "cluster/cluster_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_S 1.0
#define BACKOFF_FACTOR 1.15
#define LAUNCH_DELAY_MAX_S 300.0
#define WAIT_FOR_OFFER_MS 1000

/* ---- documents ---- */

/* path: the member that is wrong, as Marathon's error names it: "/cpus". */
static enum sm_err check_id(const char *id, struct sm_error *reterr)
{
	if (!id || id[0] != '/' || !id[1])
		return sm_fail(reterr, SM_INVALID, "\"id\" must be an absolute path, as /team/app");
	for (const char *c = id; *c; c++) {
		bool slash = *c == '/';
		if (!(islower((unsigned char)*c) || isdigit((unsigned char)*c) || slash || strchr("-._", *c)) ||
		    (slash && (c[1] == '/' || !c[1])))
			return sm_fail(reterr, SM_INVALID,
				       "\"id\": '%s': lower-case letters, digits, '-', '_' and '.' in parts that '/' separates", id);
	}
	return strlen(id) < 128 ? SM_OK : sm_fail(reterr, SM_INVALID, "\"id\" has at most 127 characters");
}

static enum sm_err check_numbers(const json_t *d, const char **path, struct sm_error *reterr)
{
	static const struct {
		const char *name;
		double least, most;
	} numbers[] = {{"cpus", 0, 1e6},
		       {"mem", 0, 1e9},
		       {"disk", 0, 1e9},
		       {"instances", 0, CLUSTER_INSTANCES_MAX},
		       {"backoffSeconds", 0, 1e6},
		       {"backoffFactor", 1, 100},
		       {"maxLaunchDelaySeconds", 0, 1e7}};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		double n;
		*path = numbers[i].name;
		enum sm_err err = json_get_real(d, numbers[i].name, numbers[i].least, &n, reterr);
		if (err)
			return sm_fail(reterr, SM_INVALID, "\"%s\" must be a number", numbers[i].name);
		if (n < numbers[i].least || n > numbers[i].most)
			return sm_fail(reterr, SM_INVALID, "\"%s\" must lie between %g and %g", numbers[i].name, numbers[i].least,
				       numbers[i].most);
	}
	return SM_OK;
}

/* What changes what runs and is not there yet is refused; what only places a task on one of many machines is kept and has no effect. */
static enum sm_err check_unsupported(const json_t *d, const char **path, struct sm_error *reterr)
{
	static const char *const names[] = {"container", "healthChecks", "readinessChecks", "fetch",   "uris",
					    "user",      "dependencies", "residency",       "secrets", NULL};
	for (const char *const *n = names; *n; n++) {
		const json_t *v = json_object_get(d, *n);
		if (json_is_null(v) || !v || (json_is_array(v) && !json_array_size(v)) || (json_is_object(v) && !json_object_size(v)))
			continue;
		*path = *n;
		return sm_fail(reterr, SM_UNSUPPORTED, "\"%s\" is not there yet: leave it out", *n);
	}
	return SM_OK;
}

static enum sm_err check_env(const json_t *env, struct sm_error *reterr)
{
	const char *name;
	json_t *value;
	if (env && !json_is_object(env))
		return sm_fail(reterr, SM_INVALID, "\"env\" must be an object of strings");
	json_object_foreach((json_t *)(uintptr_t)env, name, value)
	{
		if (!*name || strchr(name, '='))
			return sm_fail(reterr, SM_INVALID, "\"env\": '%s' is no name of a variable", name);
		if (!json_is_string(value))
			return sm_fail(reterr, SM_INVALID, "\"env\": the value of %s must be a string", name);
	}
	return SM_OK;
}

static enum sm_err check_command(const json_t *d, const char *cmd, struct sm_error *reterr)
{
	const json_t *smack = json_object_get(d, "smack");
	if (smack && !json_is_object(smack))
		return sm_fail(reterr, SM_INVALID, "\"smack\" must be an object, as {\"stream\": \"daily\"}");
	if (!smack && (!cmd || strlen(cmd) < 2))
		return sm_fail(reterr, SM_INVALID, "\"cmd\" must be a shell command");
	return SM_OK;
}

/* What the server adds to a document when it shows it: clients send all of it back. */
static void drop_shown(json_t *d)
{
	static const char *const names[] = {
		"version",        "versionInfo", "tasks",           "tasksRunning", "tasksStaged", "tasksHealthy",
		"tasksUnhealthy", "deployments", "lastTaskFailure", "taskStats",    NULL};
	for (const char *const *n = names; *n; n++)
		json_object_del(d, *n);
}

enum sm_err cluster__app_check(const json_t *document, json_t **ret_document, const char **ret_path, struct sm_error *reterr)
{
	const char *id, *cmd;
	enum sm_err err;
	*ret_path = "id";
	if ((err = json_get_string(document, "id", NULL, &id, reterr)))
		return err;
	char absolute[130];
	/* Marathon takes "a/b" as "/a/b". */
	snprintf(absolute, sizeof absolute, "%s%s", id && *id != '/' ? "/" : "", id ? id : "");
	if ((err = check_id(absolute, reterr)))
		return err;
	*ret_path = "cmd";
	if ((err = json_get_string(document, "cmd", NULL, &cmd, reterr)) || (err = check_command(document, cmd, reterr)))
		return err;
	*ret_path = "env";
	if ((err = check_env(json_object_get(document, "env"), reterr)) || (err = check_numbers(document, ret_path, reterr)) ||
	    (err = check_unsupported(document, ret_path, reterr)))
		return err;
	json_t *d = json_deep_copy(document);
	if (!d)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	drop_shown(d);
	json_object_set_new(d, "id", json_string(absolute));
	json_t *defaults = json_pack("{s:f s:f s:f s:i s:f s:f s:f s:{} s:{}}", "cpus", 1.0, "mem", 128.0, "disk", 0.0, "instances", 1,
				     "backoffSeconds", BACKOFF_S, "backoffFactor", BACKOFF_FACTOR, "maxLaunchDelaySeconds",
				     LAUNCH_DELAY_MAX_S, "env", "labels");
	json_object_update_missing(d, defaults);
	json_decref(defaults);
	*ret_document = d;
	return SM_OK;
}

/* ---- state ---- */

void cluster__app_free(struct app *app)
{
	json_decref(app->document);
	free(app->id);
	free(app);
}

struct app *cluster__app_find(struct cluster *c, const char *id)
{
	struct app *app = map_get(&c->apps, bytes_str(id));
	return app && !app->removed ? app : NULL;
}

static double number(const struct app *app, const char *name)
{
	return json_number_value(json_object_get(app->document, name));
}

void cluster__app_stop_tasks(struct cluster *c, struct app *app)
{
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		if (t->app == app && t->state == TASK_RUNNING) {
			app->running--;
			cluster__task_stop(c, t);
		}
}

enum sm_err cluster__app_install(struct cluster *c, json_t *document)
{
	const char *id = json_string_value(json_object_get(document, "id"));
	struct app *app = id ? map_get(&c->apps, bytes_str(id)) : NULL;
	if (app) {
		json_decref(app->document);
	} else {
		app = calloc(1, sizeof *app);
		if (!app || !id || !(app->id = strdup(id)) || map_put(&c->apps, bytes_str(id), app, NULL)) {
			json_decref(document);
			if (app)
				free(app->id);
			free(app);
			return id ? SM_NO_MEMORY : SM_CORRUPT;
		}
	}
	app->document = document;
	app->removed = false;
	app->delay_ms = 0;
	app->launch_at_ms = 0;
	civil_format(cluster__now_ms(c), app->version);
	return SM_OK;
}

static void fail(struct app *app, const struct sm_error *error, int64_t now_ms)
{
	app->last_error = *error;
	app->last_error_ms = now_ms;
}

/* The delay before the next launch grows with each end and is forgotten after a run that lasted longer than itself. */
static void back_off(struct app *app, int64_t now_ms, int64_t ran_ms)
{
	double least = number(app, "backoffSeconds") * 1000, most = number(app, "maxLaunchDelaySeconds") * 1000;
	if (app->delay_ms > 0 && (double)ran_ms > app->delay_ms + most)
		app->delay_ms = 0;
	app->delay_ms = app->delay_ms > 0 ? app->delay_ms * number(app, "backoffFactor") : least;
	if (app->delay_ms > most)
		app->delay_ms = most;
	app->launch_at_ms = now_ms + (int64_t)app->delay_ms;
}

void cluster__app_ended(struct cluster *c, struct app *app, const struct cluster_task *task)
{
	int64_t now = cluster__now_ms(c);
	if (task->state == TASK_RUNNING) {
		app->running--;
		app->restarts++;
		struct sm_error finished;
		sm_fail(&finished, SM_FAILED, "finished");
		fail(app, task->error.code ? &task->error : &finished, now);
		back_off(app, now, now - task->started_ms);
		LOG_WARN("cluster", "app %s ended: %s; starts again in %.1f s", app->id, app->last_error.text, app->delay_ms / 1000);
	}
	if (!app->removed)
		return;
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		if (t->app == app)
			return;
	map_remove(&c->apps, bytes_str(app->id));
	cluster__app_free(app);
}

/* Returns false when it has to wait. */
static bool launch(struct cluster *c, struct app *app, int64_t now_ms)
{
	struct sm_error error = {0};
	enum sm_err err = cluster__task_start(c, app, NULL, &error);
	if (!err) {
		app->running++;
		return true;
	}
	fail(app, &error, now_ms);
	if (err == SM_FULL) {
		app->launch_at_ms = now_ms + WAIT_FOR_OFFER_MS;
	} else {
		back_off(app, now_ms, 0);
		LOG_ERROR("cluster", "app %s cannot start: %s; tried again in %.1f s", app->id, error.text, app->delay_ms / 1000);
	}
	return false;
}

int64_t cluster__apps_look(struct cluster *c, int64_t now_ms)
{
	int64_t next = INT64_MAX;
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		struct app *app = item;
		uint32_t wanted = app->removed ? 0 : (uint32_t)number(app, "instances");
		while (app->running < wanted && app->launch_at_ms <= now_ms && launch(c, app, now_ms))
			;
		for (struct cluster_task *t = c->tasks; t && app->running > wanted; t = t->next)
			if (t->app == app && t->state == TASK_RUNNING) {
				app->running--;
				cluster__task_stop(c, t);
			}
		if (app->running < wanted && app->launch_at_ms - now_ms < next)
			next = app->launch_at_ms - now_ms;
	}
	return next;
}
