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

static enum sm_err check_numbers(const json_t *d, struct sm_error *reterr)
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
static enum sm_err check_unsupported(const json_t *d, struct sm_error *reterr)
{
	static const char *const names[] = {"container", "healthChecks", "readinessChecks", "fetch",   "uris",
					    "user",      "dependencies", "residency",       "secrets", NULL};
	for (const char *const *n = names; *n; n++) {
		const json_t *v = json_object_get(d, *n);
		if (json_is_null(v) || !v || (json_is_array(v) && !json_array_size(v)) || (json_is_object(v) && !json_object_size(v)))
			continue;
		return sm_fail(reterr, SM_UNSUPPORTED, "\"%s\" is not there yet: leave it out", *n);
	}
	return SM_OK;
}

enum sm_err cluster__app_check(const json_t *document, json_t **ret_document, struct sm_error *reterr)
{
	const char *id, *cmd;
	enum sm_err err;
	if ((err = json_get_string(document, "id", NULL, &id, reterr)) || (err = json_get_string(document, "cmd", NULL, &cmd, reterr)))
		return err;
	json_t *smack = json_object_get(document, "smack");
	char absolute[130];
	/* Marathon takes "a/b" as "/a/b". */
	snprintf(absolute, sizeof absolute, "%s%s", id && *id != '/' ? "/" : "", id ? id : "");
	if ((err = check_id(absolute, reterr)) || (err = check_numbers(document, reterr)) || (err = check_unsupported(document, reterr)))
		return err;
	if (smack && !json_is_object(smack))
		return sm_fail(reterr, SM_INVALID, "\"smack\" must be an object, as {\"stream\": \"daily\"}");
	if (!smack && (!cmd || strlen(cmd) < 2))
		return sm_fail(reterr, SM_INVALID, "\"cmd\" must be a shell command");
	const json_t *env = json_object_get(document, "env");
	if (env && !json_is_object(env))
		return sm_fail(reterr, SM_INVALID, "\"env\" must be an object of strings");
	json_t *d = json_deep_copy(document);
	if (!d)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
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

static struct app *find(struct cluster *c, const char *id)
{
	struct app *app = map_get(&c->apps, bytes_str(id));
	return app && !app->removed ? app : NULL;
}

static double number(const struct app *app, const char *name)
{
	return json_number_value(json_object_get(app->document, name));
}

static void stop_tasks(struct cluster *c, struct app *app)
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

/* ---- REST (Marathon) ---- */

static json_t *tasks_json(const struct cluster *c, const struct app *app)
{
	json_t *list = json_array();
	for (const struct cluster_task *t = c->tasks; t; t = t->next) {
		char started[32];
		if (t->app != app)
			continue;
		civil_format(t->started_ms, started);
		json_array_append_new(list, json_pack("{s:s s:s s:s s:s s:s}", "id", t->id, "appId", app->id, "state",
						      t->state == TASK_RUNNING ? "TASK_RUNNING" : "TASK_KILLING", "startedAt", started,
						      "host", "localhost"));
	}
	return list;
}

json_t *cluster__app_json(const struct cluster *c, const struct app *app)
{
	json_t *j = json_deep_copy(app->document);
	json_object_set_new(j, "version", json_string(app->version));
	json_object_set_new(j, "tasksRunning", json_integer(app->running));
	json_object_set_new(j, "tasksStaged", json_integer(0));
	json_object_set_new(j, "tasksHealthy", json_integer(0));
	json_object_set_new(j, "tasksUnhealthy", json_integer(0));
	json_object_set_new(j, "deployments", json_array());
	json_object_set_new(j, "tasks", tasks_json(c, app));
	if (app->last_error.code) {
		char when[32];
		civil_format(app->last_error_ms, when);
		json_object_set_new(j, "lastTaskFailure",
				    json_pack("{s:s s:s s:s s:s}", "appId", app->id, "message", app->last_error.text, "state",
					      "TASK_FAILED", "timestamp", when));
	}
	return j;
}

static json_t *deployment(const struct app *app, struct call *call)
{
	struct uuid id;
	char text[37];
	uuid_random(&id);
	uuid_format(&id, text);
	call->header_name = strdup("Marathon-Deployment-Id");
	call->header_value = strdup(text);
	return json_pack("{s:s s:s}", "version", app->version, "deploymentId", text);
}

static void installed(struct cluster *c, struct call *call)
{
	const char *id = json_string_value(json_object_get(call->body, "id"));
	struct app *before = find(c, id);
	bool changed = !before || !json_equal(before->document, call->body);
	enum sm_err err = cluster__app_install(c, json_incref(call->body));
	if (err) {
		sm_fail(&call->error, err, "no memory");
		cluster__answer_error(call);
		return;
	}
	struct app *app = find(c, id);
	/* What runs is of the old version. */
	if (before && changed)
		stop_tasks(c, app);
	if (call->action && strcmp(call->action, "POST") == 0) {
		json_t *reply = cluster__app_json(c, app), *d = deployment(app, call);
		json_object_set_new(reply, "deployments", json_pack("[{s:O}]", "id", json_object_get(d, "deploymentId")));
		json_decref(d);
		cluster__answer(call, 201, reply);
	} else {
		cluster__answer(call, before ? 200 : 201, deployment(app, call));
	}
}

void cluster__app_put_handle(struct cluster *c, struct call *call)
{
	json_t *document = NULL;
	if (call->name && !json_object_get(call->body, "id"))
		json_object_set_new(call->body, "id", json_string(call->name));
	enum sm_err err = cluster__app_check(call->body, &document, &call->error);
	const char *id = document ? json_string_value(json_object_get(document, "id")) : NULL;
	struct app *there = id ? map_get(&c->apps, bytes_str(id)) : NULL;
	if (!err && call->name && strcmp(id, call->name) != 0)
		err = sm_fail(&call->error, SM_INVALID, "the document's id is %s, the path says %s", id, call->name);
	if (!err && there && there->removed)
		err = sm_fail(&call->error, SM_CONFLICT, "app %s is being removed: try again when its tasks have ended", id);
	if (!err && there && call->action && strcmp(call->action, "POST") == 0)
		err = sm_fail(&call->error, SM_CONFLICT, "An app with id [%s] already exists.", id);
	if (!err && !there && c->apps.count >= CLUSTER_APPS_MAX)
		err = sm_fail(&call->error, SM_TOO_LARGE, "there are %d apps already", CLUSTER_APPS_MAX);
	if (err) {
		json_decref(document);
		cluster__answer_error(call);
		return;
	}
	json_decref(call->body);
	call->body = document;
	if (there && json_equal(there->document, document)) {
		installed(c, call);
		return;
	}
	call->then = installed;
	cluster__persist_app(c, id, document, call);
}

static struct app *wanted(struct cluster *c, struct call *call)
{
	struct app *app = find(c, call->name);
	if (!app) {
		sm_fail(&call->error, SM_NOT_FOUND, "App '%s' does not exist", call->name);
		cluster__answer_error(call);
	}
	return app;
}

static void list_handle(struct cluster *c, struct call *call)
{
	json_t *apps = json_array();
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item))
		if (!((struct app *)item)->removed)
			json_array_append_new(apps, cluster__app_json(c, item));
	cluster__answer(call, 200, json_pack("{s:o}", "apps", apps));
}

static void get_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (app)
		cluster__answer(call, 200, json_pack("{s:o}", "app", cluster__app_json(c, app)));
}

static void tasks_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (app)
		cluster__answer(call, 200, json_pack("{s:o}", "tasks", tasks_json(c, app)));
}

static void removed(struct cluster *c, struct call *call)
{
	struct app *app = find(c, call->name);
	if (!app) {
		cluster__answer(call, 200, json_object()); /* another request was quicker */
		return;
	}
	json_t *reply = deployment(app, call);
	app->removed = true;
	stop_tasks(c, app);
	bool any = false;
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		any |= t->app == app;
	if (!any) {
		map_remove(&c->apps, bytes_str(app->id));
		cluster__app_free(app);
	}
	cluster__answer(call, 200, reply);
}

static void delete_handle(struct cluster *c, struct call *call)
{
	if (!wanted(c, call))
		return;
	call->then = removed;
	cluster__persist_app(c, call->name, NULL, call);
}

static void restart_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (!app)
		return;
	app->delay_ms = 0;
	app->launch_at_ms = 0;
	stop_tasks(c, app);
	cluster__answer(call, 200, deployment(app, call));
}

/* "/v2/apps/a/b", "/v2/apps//a/b", and with /tasks or /restart behind it. */
static bool ends_with(struct bytes *name, const char *suffix)
{
	size_t n = strlen(suffix);
	if (name->size <= n || memcmp(name->data + name->size - n, suffix, n) != 0)
		return false;
	name->size -= n;
	return true;
}

static void route_app(struct http_request *request)
{
	struct bytes name = request->params[0];
	char id[130];
	while (name.size && name.data[0] == '/') {
		name.data++;
		name.size--;
	}
	bool restart = request->method == HTTP_POST && ends_with(&name, "/restart");
	bool tasks = !restart && (request->method & (HTTP_GET | HTTP_HEAD)) && ends_with(&name, "/tasks");
	if (name.size > sizeof id - 2)
		name.size = sizeof id - 2; /* longer than any that exists */
	snprintf(id, sizeof id, "/%.*s", (int)name.size, (const char *)name.data);
	struct sm_error error;
	void (*handle)(struct cluster *, struct call *) = restart                                    ? restart_handle
							  : tasks                                    ? tasks_handle
							  : request->method & (HTTP_GET | HTTP_HEAD) ? get_handle
							  : request->method == HTTP_DELETE           ? delete_handle
							  : request->method == HTTP_PUT              ? cluster__app_put_handle
												     : NULL;
	if (!handle) {
		sm_fail(&error, SM_NOT_FOUND, "POST is for /v2/apps and for /v2/apps/ID/restart");
		http_reply_error(request, &error);
		return;
	}
	struct call *call = cluster__rest_call(request, bytes_str(id), request->method == HTTP_PUT, handle);
	if (call)
		cluster__call_send(call);
}

static void route_apps(struct http_request *request)
{
	bool post = request->method == HTTP_POST;
	struct call *call = cluster__rest_call(request, (struct bytes){0}, post, post ? cluster__app_put_handle : list_handle);
	if (!call)
		return;
	call->action = post ? "POST" : NULL;
	cluster__call_send(call);
}

static void route_ping(struct http_request *request)
{
	http_reply(request, 200, "text/plain; charset=utf-8", BYTES("pong"));
}

#define LOG_BYTES_MAX (256u << 10)

/* /smack/logs/apps/ID and /smack/logs/jobs/NAME: the newest task's output. */
static void route_logs(struct http_request *request)
{
	struct cluster *c = request->arg;
	struct bytes stream = http_query(request, "stream"), kind = request->params[0], owner = request->params[1];
	struct sm_error error;
	struct buf out;
	char name[130];
	bool app = bytes_equal(kind, BYTES("apps"));
	bool err_stream = bytes_equal(stream, BYTES("stderr"));
	buf_init(&out);
	snprintf(name, sizeof name, "%s%.*s", app ? "/" : "", (int)(owner.size < 127 ? owner.size : 127), (const char *)owner.data);
	enum sm_err err = app || bytes_equal(kind, BYTES("jobs"))
				  ? cluster__output(c, app ? "apps" : "jobs", name, err_stream ? "stderr" : "stdout", LOG_BYTES_MAX, &out)
				  : SM_NOT_FOUND;
	if (err) {
		sm_fail(&error, err, "%s has not run yet", name);
		http_reply_error(request, &error);
	} else {
		http_reply(request, 200, "text/plain; charset=utf-8", buf_bytes(&out));
	}
	buf_done(&out);
}

enum sm_err cluster__marathon_routes(struct cluster *c, struct http_server *server)
{
	const struct http_route routes[] = {
		{.methods = HTTP_GET | HTTP_POST, .pattern = "/v2/apps", .handle = route_apps, .arg = c},
		{.methods = HTTP_GET | HTTP_PUT | HTTP_DELETE | HTTP_POST, .pattern = "/v2/apps/*", .handle = route_app, .arg = c},
		{.methods = HTTP_GET, .pattern = "/ping", .handle = route_ping, .arg = c},
		{.methods = HTTP_GET, .pattern = "/smack/logs/{kind}/*", .handle = route_logs, .arg = c},
	};
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		enum sm_err err = http_server_route(server, &routes[i]);
		if (err)
			return err;
	}
	return SM_OK;
}
