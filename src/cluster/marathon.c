/* Marathon's REST over the apps: documents in and out, what runs, what waits. */
#include "base/address.h"
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* ---- documents ---- */

static json_t *task_json(const struct cluster_task *t)
{
	char started[32];
	json_t *ports = json_array();
	civil_format(t->started_ms, started);
	for (unsigned i = 0; i < t->port_count; i++)
		json_array_append_new(ports, json_integer(t->ports[i]));
	const char *state = t->state == TASK_KILLING ? "TASK_KILLING" : t->staging ? "TASK_STAGING" : "TASK_RUNNING";
	json_t *j = json_pack("{s:s s:s s:s s:s s:s s:s s:s s:o}", "id", t->id, "appId", t->app->id, "state", state, "stagedAt", started,
			      "startedAt", started, "version", t->version, "host", "localhost", "ports", ports);
	json_t *health = cluster__health_json(t);
	if (json_array_size(health))
		json_object_set(j, "healthCheckResults", health);
	json_decref(health);
	return j;
}

/* app NULL: of all apps. */
static json_t *tasks_json(const struct cluster *c, const struct app *app)
{
	json_t *list = json_array();
	for (const struct cluster_task *t = c->tasks; t; t = t->next)
		if (t->app && (!app || t->app == app))
			json_array_append_new(list, task_json(t));
	return list;
}

static void set_counts(const struct cluster *c, const struct app *app, json_t *j)
{
	int running = 0, staged = 0, healthy = 0, unhealthy = 0;
	json_t *readiness = json_array();
	for (const struct cluster_task *t = c->tasks; t; t = t->next) {
		if (t->app != app || t->state != TASK_RUNNING)
			continue;
		enum task_health health = cluster__task_health(t);
		json_t *results = cluster__readiness_json(t);
		json_array_extend(readiness, results);
		json_decref(results);
		staged += t->staging;
		running += !t->staging;
		healthy += health == HEALTH_GOOD;
		unhealthy += health == HEALTH_BAD;
	}
	json_object_set_new(j, "tasksRunning", json_integer(running));
	json_object_set_new(j, "tasksStaged", json_integer(staged));
	json_object_set_new(j, "tasksHealthy", json_integer(healthy));
	json_object_set_new(j, "tasksUnhealthy", json_integer(unhealthy));
	json_object_set_new(j, "readinessCheckResults", readiness);
}

json_t *cluster__app_json(const struct cluster *c, const struct app *app)
{
	json_t *j = json_deep_copy(app->document);
	json_object_set_new(j, "version", json_string(app->version));
	set_counts(c, app, j);
	json_object_set_new(j, "deployments", app->deployment[0] ? json_pack("[{s:s}]", "id", app->deployment) : json_array());
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

json_t *cluster__deployment(struct call *call, const char *version, const char *id)
{
	free(call->header_name);
	free(call->header_value);
	call->header_name = strdup("Marathon-Deployment-Id");
	call->header_value = strdup(id);
	return json_pack("{s:s s:s}", "version", version, "deploymentId", id);
}

static json_t *deployment(const struct app *app, struct call *call)
{
	struct uuid id;
	char text[37];
	uuid_random(&id);
	uuid_format(&id, text);
	return cluster__deployment(call, app->version, text);
}

static void installed(struct cluster *c, struct call *call)
{
	const char *id = json_string_value(json_object_get(call->body, "id"));
	enum sm_err err = cluster__app_install(c, json_deep_copy(call->body));
	if (err) {
		sm_fail(&call->error, err, "no memory");
		cluster__answer_error(call);
		return;
	}
	struct app *app = cluster__app_find(c, id);
	cluster__app_version_add(app, json_deep_copy(call->body));
	bool fresh = json_array_size(app->versions) == 1;
	json_t *begun = deployment(app, call);
	snprintf(app->deployment, sizeof app->deployment, "%s", json_string_value(json_object_get(begun, "deploymentId")));
	if (call->action) {
		json_decref(begun);
		cluster__answer(call, 201, cluster__app_json(c, app));
	} else {
		cluster__answer(call, fresh ? 201 : 200, begun);
	}
}

static const json_t *version_find(const struct app *app, const char *version)
{
	size_t i;
	json_t *former;
	json_array_foreach(app->versions, i, former)
	{
		const char *v = json_string_value(json_object_get(former, "version"));
		if (v && strcmp(v, version) == 0)
			return former;
	}
	return NULL;
}

/* {"version": V}: the document that the app had then. */
static enum sm_err roll_back(const struct app *there, struct call *call)
{
	const char *version = json_string_value(json_object_get(call->body, "version"));
	const json_t *former = there && version ? version_find(there, version) : NULL;
	call->path = "version";
	if (!former)
		return sm_fail(&call->error, SM_INVALID, "there is no such version of the app: see /versions");
	json_t *copy = json_deep_copy(former);
	if (!copy)
		return sm_fail(&call->error, SM_NO_MEMORY, "no memory");
	json_decref(call->body);
	call->body = copy;
	call->path = NULL;
	return SM_OK;
}

/* PUT and PATCH name the app by their path; what they leave out stays. */
static enum sm_err merge(struct cluster *c, struct call *call)
{
	struct app *there = cluster__app_find(c, call->name);
	if (!json_object_get(call->body, "id"))
		json_object_set_new(call->body, "id", json_string(call->name));
	if (json_object_get(call->body, "version") && json_object_size(call->body) == 2)
		return roll_back(there, call);
	if (!call->partial || !there)
		return SM_OK;
	json_t *merged = json_deep_copy(there->document);
	if (!merged || json_object_update(merged, call->body)) {
		json_decref(merged);
		return sm_fail(&call->error, SM_NO_MEMORY, "no memory");
	}
	json_decref(call->body);
	call->body = merged;
	return SM_OK;
}

static enum sm_err check_place(struct cluster *c, struct call *call, const char *id, const struct app *there)
{
	if (call->name && strcmp(id, call->name) != 0) {
		call->path = "id";
		return sm_fail(&call->error, SM_INVALID, "the document's id is %s, the path says %s", id, call->name);
	}
	if (there && there->removed)
		return sm_fail(&call->error, SM_CONFLICT, "app %s is being removed: try again when its tasks have ended", id);
	if (there && call->action)
		return sm_fail(&call->error, SM_CONFLICT, "An app with id [%s] already exists.", id);
	if (!there && c->apps.count >= CLUSTER_APPS_MAX)
		return sm_fail(&call->error, SM_CONFLICT, "there are %d apps already: delete one", CLUSTER_APPS_MAX);
	return SM_OK;
}

void cluster__app_put_handle(struct cluster *c, struct call *call)
{
	json_t *document = NULL;
	const char *path = NULL, *id = NULL;
	struct app *there = NULL;
	enum sm_err err = call->name ? merge(c, call) : SM_OK;
	if (!err && (err = cluster__app_check(call->body, &document, &path, &call->error)))
		call->path = path;
	if (!err) {
		id = json_string_value(json_object_get(document, "id"));
		there = map_get(&c->apps, bytes_str(id));
		err = check_place(c, call, id, there);
	}
	if (err) {
		json_decref(document);
		cluster__answer_error(call);
		return;
	}
	if (there && json_equal(there->document, document)) {
		json_decref(document);
		cluster__answer(call, 200, deployment(there, call));
		return;
	}
	struct change change = {0};
	char version[32];
	cluster__change_app(c, &change, there, document, version);
	json_object_set_new(document, "version", json_string(version));
	json_decref(call->body);
	call->body = document;
	call->then = installed;
	cluster__persist_change(c, &change, call);
	cluster__change_done(&change);
}

static struct app *wanted(struct cluster *c, struct call *call)
{
	struct app *app = cluster__app_find(c, call->name);
	if (!app) {
		sm_fail(&call->error, SM_NOT_FOUND, "App '%s' does not exist", call->name);
		cluster__answer_error(call);
	}
	return app;
}

static bool contains(const char *text, const char *part)
{
	return !part || (text && strstr(text, part));
}

/* ?id= and ?cmd= are parts of what is looked for. */
static void list_handle(struct cluster *c, struct call *call)
{
	json_t *apps = json_array();
	const char *id = json_string_value(json_object_get(call->body, "id")), *cmd = json_string_value(json_object_get(call->body, "cmd"));
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *app = item;
		if (!app->removed && contains(app->id, id) && contains(json_string_value(json_object_get(app->document, "cmd")), cmd))
			json_array_append_new(apps, cluster__app_json(c, app));
	}
	cluster__answer(call, 200, json_pack("{s:o}", "apps", apps));
}

static void get_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (app)
		cluster__answer(call, 200, json_pack("{s:o}", "app", cluster__app_json(c, app)));
}

static void versions_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (!app)
		return;
	json_t *list = json_array();
	for (size_t i = json_array_size(app->versions); i-- > 0;)
		json_array_append_new(list, json_deep_copy(json_object_get(json_array_get(app->versions, i), "version")));
	cluster__answer(call, 200, json_pack("{s:o}", "versions", list));
}

/* call->name is "ID/versions/VERSION". */
static void version_handle(struct cluster *c, struct call *call)
{
	char *cut = strstr(call->name, "/versions/");
	const char *version = cut + strlen("/versions/");
	*cut = 0;
	struct app *app = wanted(c, call);
	if (!app)
		return;
	const json_t *former = version_find(app, version);
	if (former) {
		cluster__answer(call, 200, json_deep_copy(former));
	} else {
		sm_fail(&call->error, SM_NOT_FOUND, "App '%s' has no version %s", app->id, version);
		cluster__answer_error(call);
	}
}

/* What is under way: the apps that do not yet run as their documents say. */
static void deployments_handle(struct cluster *c, struct call *call)
{
	json_t *list = json_array();
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *app = item;
		if (app->deployment[0] && !app->removed)
			json_array_append_new(list,
					      json_pack("{s:s s:s s:[s] s:[] s:[{s:s s:s}] s:i s:i}", "id", app->deployment, "version",
							app->version, "affectedApps", app->id, "steps", "currentActions", "action",
							"ScaleApplication", "app", app->id, "currentStep", 1, "totalSteps", 1));
	}
	cluster__answer(call, 200, list);
}

static void tasks_handle(struct cluster *c, struct call *call)
{
	struct app *app = *call->name ? wanted(c, call) : NULL;
	if (app || !*call->name)
		cluster__answer(call, 200, json_pack("{s:o}", "tasks", tasks_json(c, app)));
}

/* The tasks are started again, at once: they were killed, they did not fail. */
static void kill_tasks_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (!app)
		return;
	json_t *killed = tasks_json(c, app);
	cluster__app_stop_tasks(c, app);
	cluster__answer(call, 200, json_pack("{s:o}", "tasks", killed));
}

/* Returns what was killed. */
static json_t *kill_listed(struct cluster *c, const json_t *ids, const struct app *only)
{
	json_t *killed = json_array(), *id;
	size_t i;
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		json_array_foreach((json_t *)(uintptr_t)ids, i, id)
		{
			if (!t->app || (only && t->app != only) || t->state != TASK_RUNNING || strcmp(t->id, json_string_value(id)) != 0)
				continue;
			json_array_append_new(killed, task_json(t));
			t->app->running--;
			cluster__task_stop(c, t);
		}
	return killed;
}

/* call->name is "ID/tasks/TASK". */
static void kill_task_handle(struct cluster *c, struct call *call)
{
	char *cut = strstr(call->name, "/tasks/");
	const char *task = cut + strlen("/tasks/");
	*cut = 0;
	struct app *app = wanted(c, call);
	if (!app)
		return;
	json_t *ids = json_pack("[s]", task), *killed = kill_listed(c, ids, app);
	json_decref(ids);
	if (json_array_size(killed)) {
		cluster__answer(call, 200, json_pack("{s:O}", "task", json_array_get(killed, 0)));
	} else {
		sm_fail(&call->error, SM_NOT_FOUND, "Task '%s' does not exist", task);
		cluster__answer_error(call);
	}
	json_decref(killed);
}

static void kill_ids_handle(struct cluster *c, struct call *call)
{
	const json_t *ids = json_object_get(call->body, "ids");
	size_t i;
	json_t *id;
	bool good = json_is_array(ids);
	json_array_foreach((json_t *)(uintptr_t)ids, i, id) good = good && json_is_string(id);
	if (good) {
		cluster__answer(call, 200, json_pack("{s:o}", "tasks", kill_listed(c, ids, NULL)));
	} else {
		sm_fail(&call->error, SM_INVALID, "\"ids\" must be a list of tasks' ids");
		cluster__answer_error(call);
	}
}

static void queue_handle(struct cluster *c, struct call *call)
{
	json_t *queue = json_array();
	int64_t now = cluster__now_ms(c);
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *app = item;
		json_int_t wanted = json_integer_value(json_object_get(app->document, "instances"));
		if (app->removed || app->running >= wanted)
			continue;
		int64_t left = app->launch_at_ms > now ? (app->launch_at_ms - now + 999) / 1000 : 0;
		json_array_append_new(queue, json_pack("{s:o s:I s:{s:I s:b}}", "app", cluster__app_json(c, app), "count",
						       wanted - (json_int_t)app->running, "delay", "timeLeftSeconds", (json_int_t)left,
						       "overdue", left == 0));
	}
	cluster__answer(call, 200, json_pack("{s:o}", "queue", queue));
}

static void forget_delay_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (!app)
		return;
	app->delay_ms = 0;
	app->launch_at_ms = 0;
	cluster__answer(call, 204, NULL);
}

static void removed(struct cluster *c, struct call *call)
{
	struct app *app = cluster__app_find(c, call->name);
	if (!app) {
		cluster__answer(call, 200, json_object()); /* another request was quicker */
		return;
	}
	json_t *reply = deployment(app, call);
	cluster__app_remove(c, app);
	cluster__answer(call, 200, reply);
}

static void delete_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (!app)
		return;
	struct change change = {0};
	cluster__change_app_delete(&change, app);
	call->then = removed;
	cluster__persist_change(c, &change, call);
	cluster__change_done(&change);
}

static void restart_handle(struct cluster *c, struct call *call)
{
	struct app *app = wanted(c, call);
	if (!app)
		return;
	app->delay_ms = 0;
	app->launch_at_ms = 0;
	cluster__app_stop_tasks(c, app);
	cluster__answer(call, 200, deployment(app, call));
}

/* ---- routes ---- */

bool cluster__path_ends(struct bytes *name, const char *suffix)
{
	size_t n = strlen(suffix);
	if (name->size <= n || memcmp(name->data + name->size - n, suffix, n) != 0)
		return false;
	name->size -= n;
	return true;
}

static bool is_false(struct bytes value)
{
	return value.size == 5 && strncasecmp((const char *)value.data, "false", 5) == 0;
}

static bool is_true(struct bytes value)
{
	return value.size == 4 && strncasecmp((const char *)value.data, "true", 4) == 0;
}

typedef void (*handle_fn)(struct cluster *, struct call *);

/* What may stand behind an app's id in the path. */
static handle_fn below_app(enum http_method method, struct bytes *name)
{
	static const struct {
		unsigned methods;
		const char *suffix;
		handle_fn handle;
	} below[] = {{HTTP_POST, "/restart", restart_handle},
		     {HTTP_GET | HTTP_HEAD, "/tasks", tasks_handle},
		     {HTTP_DELETE, "/tasks", kill_tasks_handle},
		     {HTTP_GET | HTTP_HEAD, "/versions", versions_handle}};
	for (size_t i = 0; i < sizeof below / sizeof *below; i++)
		if ((below[i].methods & method) && cluster__path_ends(name, below[i].suffix))
			return below[i].handle;
	switch (method) {
	case HTTP_GET:
	case HTTP_HEAD: return memmem(name->data, name->size, "/versions/", 10) ? version_handle : get_handle;
	case HTTP_DELETE: return memmem(name->data, name->size, "/tasks/", 7) ? kill_task_handle : delete_handle;
	case HTTP_PUT:
	case HTTP_PATCH: return cluster__app_put_handle;
	default: return NULL;
	}
}

const char *cluster__path_id(struct bytes name, char *out, size_t size)
{
	while (name.size && name.data[0] == '/') {
		name.data++;
		name.size--;
	}
	if (name.size > size - 2)
		name.size = size - 2; /* longer than any that exists */
	snprintf(out, size, "/%.*s", (int)name.size, (const char *)name.data);
	return out;
}

static void refuse(struct http_request *request, enum sm_err err, const char *why)
{
	struct sm_error error;
	sm_fail(&error, err, "%s", why);
	http_reply_error(request, &error);
}

static void route_app(struct http_request *request)
{
	struct bytes name = request->params[0];
	char id[130];
	handle_fn handle = below_app(request->method, &name);
	bool put = handle == cluster__app_put_handle;
	if (!handle) {
		refuse(request, SM_NOT_FOUND, "POST is for /v2/apps and for /v2/apps/ID/restart");
		return;
	}
	if (is_true(http_query(request, "scale")) || is_true(http_query(request, "wipe"))) {
		refuse(request, SM_UNSUPPORTED, "scale and wipe are not there yet: PUT {\"instances\": N} to the app");
		return;
	}
	struct call *call = cluster__rest_call(request, bytes_str(cluster__path_id(name, id, sizeof id)), put, handle);
	if (!call)
		return;
	call->partial = request->method == HTTP_PATCH || !is_false(http_query(request, "partialUpdate"));
	cluster__call_send(call);
}

static void route_apps(struct http_request *request)
{
	bool post = request->method == HTTP_POST;
	struct bytes id = http_query(request, "id"), cmd = http_query(request, "cmd");
	if (!post && http_query(request, "label").size) {
		refuse(request, SM_UNSUPPORTED, "label selectors are not there yet: leave out ?label=");
		return;
	}
	struct call *call = cluster__rest_call(request, (struct bytes){0}, post, post ? cluster__app_put_handle : list_handle);
	if (!call)
		return;
	call->action = post ? "POST" : NULL;
	if (!post) {
		call->body = json_object();
		if (id.size)
			json_object_set_new(call->body, "id", json_stringn((const char *)id.data, id.size));
		if (cmd.size)
			json_object_set_new(call->body, "cmd", json_stringn((const char *)cmd.data, cmd.size));
	}
	cluster__call_send(call);
}

static void route_plain(struct http_request *request, const char *name, handle_fn handle)
{
	struct call *call = cluster__rest_call(request, bytes_str(name), false, handle);
	if (call)
		cluster__call_send(call);
}

static void route_tasks(struct http_request *request)
{
	route_plain(request, "", tasks_handle);
}

static void route_kill_ids(struct http_request *request)
{
	struct call *call = cluster__rest_call(request, (struct bytes){0}, true, kill_ids_handle);
	if (call)
		cluster__call_send(call);
}

static void route_queue(struct http_request *request)
{
	route_plain(request, "", queue_handle);
}

static void route_delay(struct http_request *request)
{
	struct bytes name = request->params[0];
	char id[130];
	if (cluster__path_ends(&name, "/delay"))
		route_plain(request, cluster__path_id(name, id, sizeof id), forget_delay_handle);
	else
		refuse(request, SM_NOT_FOUND, "DELETE is for /v2/queue/ID/delay");
}

static void route_deployments(struct http_request *request)
{
	route_plain(request, "", deployments_handle);
}

static void route_leader(struct http_request *request)
{
	char host[46], leader[64];
	uint16_t port;
	net_conn_local(request->conn, host, &port);
	address_text(host, port, leader, sizeof leader);
	bool info = bytes_equal(request->path, BYTES("/v2/info"));
	http_reply_json(request, 200,
			info ? json_pack("{s:s s:s s:s s:s s:b s:{s:i} s:{} s:{}}", "name", "smack", "version", SMACK_VERSION,
					 "frameworkId", "smack", "leader", leader, "elected", 1, "http_config", "http_port", (int)port,
					 "marathon_config", "zookeeper_config")
			     : json_pack("{s:s}", "leader", leader));
}

static void route_ping(struct http_request *request)
{
	http_reply(request, 200, "text/plain; charset=utf-8", BYTES("pong"));
}

enum sm_err cluster__marathon_routes(struct cluster *c, struct http_server *server)
{
	const struct http_route routes[] = {
		{.methods = HTTP_GET | HTTP_POST, .pattern = "/v2/apps", .handle = route_apps, .arg = c},
		{.methods = HTTP_GET | HTTP_PUT | HTTP_PATCH | HTTP_DELETE | HTTP_POST,
		 .pattern = "/v2/apps/*",
		 .handle = route_app,
		 .arg = c},
		{.methods = HTTP_GET, .pattern = "/v2/tasks", .handle = route_tasks, .arg = c},
		{.methods = HTTP_POST, .pattern = "/v2/tasks/delete", .handle = route_kill_ids, .arg = c},
		{.methods = HTTP_GET, .pattern = "/v2/queue", .handle = route_queue, .arg = c},
		{.methods = HTTP_DELETE, .pattern = "/v2/queue/*", .handle = route_delay, .arg = c},
		{.methods = HTTP_GET, .pattern = "/v2/deployments", .handle = route_deployments, .arg = c},
		{.methods = HTTP_GET, .pattern = "/v2/info", .handle = route_leader, .arg = c},
		{.methods = HTTP_GET, .pattern = "/v2/leader", .handle = route_leader, .arg = c},
		{.methods = HTTP_GET, .pattern = "/ping", .handle = route_ping, .arg = c},
	};
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		enum sm_err err = http_server_route(server, &routes[i]);
		if (err)
			return err;
	}
	return SM_OK;
}
