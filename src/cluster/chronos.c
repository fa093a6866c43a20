/* Chronos' REST over the jobs. */
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- documents ---- */

static void set_time(json_t *j, const char *name, int64_t ms)
{
	char text[32] = "";
	if (ms > 0)
		civil_format(ms, text);
	json_object_set_new(j, name, json_string(text));
}

json_t *cluster__job_json(const struct job *j)
{
	json_t *out = json_deep_copy(j->document);
	char schedule[96];
	json_object_del(out, "env");
	if (j->period) {
		cluster__schedule_format(&j->schedule, j->period, schedule, sizeof schedule);
		json_object_set_new(out, "schedule", json_string(schedule));
	}
	json_object_set_new(out, "successCount", json_integer(j->success_count));
	json_object_set_new(out, "errorCount", json_integer(j->error_count));
	json_object_set_new(out, "errorsSinceLastSuccess", json_integer(j->errors_since_success));
	json_object_set_new(out, "lastErrorMessage", json_string(j->last_error));
	json_object_set_new(out, "state",
			    json_string(j->running                 ? "running"
					: j->retry_at_ms           ? "waits to retry"
					: cluster__job_disabled(j) ? "disabled"
								   : "idle"));
	set_time(out, "lastSuccess", j->last_success_ms);
	set_time(out, "lastError", j->last_error_ms);
	set_time(out, "next", cluster__job_disabled(j) || !j->period ? 0 : j->schedule.start_ms);
	return out;
}

static void installed(struct cluster *c, struct call *call)
{
	enum sm_err err = cluster__job_install(c, json_deep_copy(call->body), NULL);
	if (err) {
		sm_fail(&call->error, err, "%s", sm_err_text(err));
		cluster__answer_error(call);
	} else {
		cluster__answer(call, 204, NULL);
	}
}

static enum sm_err check_parents(struct cluster *c, const json_t *document, const char *name, struct sm_error *reterr)
{
	const json_t *parents = json_object_get(document, "parents");
	size_t i;
	json_t *parent;
	json_array_foreach((json_t *)(uintptr_t)parents, i, parent)
	{
		if (strcmp(json_string_value(parent), name) != 0 && !map_get(&c->jobs, bytes_str(json_string_value(parent))))
			return sm_fail(reterr, SM_INVALID, "\"parents\": there is no job '%s'", json_string_value(parent));
	}
	if (cluster__job_follows(c, parents, name))
		return sm_fail(reterr, SM_INVALID, "\"parents\": %s would run after itself", name);
	return SM_OK;
}

void cluster__job_put_handle(struct cluster *c, struct call *call)
{
	json_t *document = NULL;
	enum sm_err err = cluster__job_check(call->body, &document, cluster__now_ms(c), &call->error);
	const char *name = document ? json_string_value(json_object_get(document, "name")) : NULL;
	struct job *there = name ? map_get(&c->jobs, bytes_str(name)) : NULL;
	if (!err)
		err = name ? check_parents(c, document, name, &call->error) : sm_fail(&call->error, SM_INVALID, "\"name\" is missing");
	if (!err && !there && c->jobs.count >= CLUSTER_JOBS_MAX)
		err = sm_fail(&call->error, SM_TOO_LARGE, "there are %d jobs already", CLUSTER_JOBS_MAX);
	if (err) {
		/* Chronos says 400 to all of these. */
		if (call->error.code == SM_UNSUPPORTED || call->error.code == SM_TOO_LARGE || call->error.code == SM_NOT_FOUND)
			call->error.code = SM_INVALID;
		json_decref(document);
		cluster__answer_error(call);
		return;
	}
	json_decref(call->body);
	call->body = document;
	if (there && json_equal(there->document, document)) {
		cluster__answer(call, 204, NULL);
		return;
	}
	json_t *state = there ? cluster__job_state(there) : NULL;
	call->then = installed;
	cluster__persist_job(c, name, document, state, call);
	json_decref(state);
}

static struct job *wanted(struct cluster *c, struct call *call)
{
	struct job *j = map_get(&c->jobs, bytes_str(call->name));
	if (!j) {
		/* Chronos says 400, not 404. */
		sm_fail(&call->error, SM_INVALID, "Job '%s' not found", call->name);
		cluster__answer_error(call);
	}
	return j;
}

static void list_handle(struct cluster *c, struct call *call)
{
	json_t *jobs = json_array();
	size_t pos = 0;
	void *item;
	while (map_next(&c->jobs, &pos, NULL, &item))
		json_array_append_new(jobs, cluster__job_json(item));
	cluster__answer(call, 200, jobs);
}

static void summary_handle(struct cluster *c, struct call *call)
{
	json_t *jobs = json_array();
	size_t pos = 0;
	void *item;
	while (map_next(&c->jobs, &pos, NULL, &item)) {
		const struct job *j = item;
		json_t *shown = cluster__job_json(j), *parents = json_object_get(j->document, "parents"),
		       *schedule = json_object_get(shown, "schedule");
		json_array_append_new(jobs, json_pack("{s:s s:s s:O s:o s:o s:b}", "name", j->name, "status", cluster__job_last(j), "state",
						      json_object_get(shown, "state"), "schedule",
						      schedule ? json_incref(schedule) : json_string(""), "parents",
						      parents ? json_deep_copy(parents) : json_array(), "disabled",
						      (int)cluster__job_disabled(j)));
		json_decref(shown);
	}
	cluster__answer(call, 200, json_pack("{s:o}", "jobs", jobs));
}

static void get_handle(struct cluster *c, struct call *call)
{
	struct job *j = wanted(c, call);
	if (j)
		cluster__answer(call, 200, cluster__job_json(j));
}

static void run_handle(struct cluster *c, struct call *call)
{
	struct job *j = wanted(c, call);
	if (!j)
		return;
	j->run_now = true; /* after the present run, if one is under way */
	cluster__answer(call, 204, NULL);
}

static void stop_tasks(struct cluster *c, struct job *j, bool forget)
{
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		if (t->job == j) {
			cluster__task_stop(c, t);
			if (forget)
				t->job = NULL;
		}
}

static void removed(struct cluster *c, struct call *call)
{
	struct job *j = map_get(&c->jobs, bytes_str(call->name));
	if (j) {
		stop_tasks(c, j, true);
		map_remove(&c->jobs, bytes_str(call->name));
		cluster__job_free(j);
	}
	cluster__answer(call, 204, NULL);
}

static void delete_handle(struct cluster *c, struct call *call)
{
	const char *child = cluster__job_child(c, call->name);
	if (!wanted(c, call))
		return;
	if (child) {
		sm_fail(&call->error, SM_INVALID, "job %s runs after %s: delete that one first", child, call->name);
		cluster__answer_error(call);
		return;
	}
	call->then = removed;
	cluster__persist_job(c, call->name, NULL, NULL, call);
}

static void kill_handle(struct cluster *c, struct call *call)
{
	struct job *j = wanted(c, call);
	if (!j)
		return;
	stop_tasks(c, j, false);
	cluster__answer(call, 204, NULL);
}

static void route(struct http_request *request, bool wants_body, void (*handle)(struct cluster *, struct call *))
{
	struct call *call = cluster__rest_call(request, request->params[0], wants_body, handle);
	if (call)
		cluster__call_send(call);
}

static void route_jobs(struct http_request *request)
{
	route(request, false, list_handle);
}

static void route_summary(struct http_request *request)
{
	route(request, false, summary_handle);
}

static void route_put(struct http_request *request)
{
	route(request, true, cluster__job_put_handle);
}

static void route_job(struct http_request *request)
{
	route(request, false, request->method == HTTP_DELETE ? delete_handle : request->method == HTTP_PUT ? run_handle : get_handle);
}

static void route_kill(struct http_request *request)
{
	route(request, false, kill_handle);
}

enum sm_err cluster__chronos_add(struct cluster *c, struct http_server *server, const struct http_route *routes, size_t count)
{
	static const char *const prefixes[] = {"/v1/scheduler", "/scheduler"};
	for (size_t p = 0; p < 2; p++)
		for (size_t i = 0; i < count; i++) {
			char pattern[64];
			struct http_route r = routes[i];
			snprintf(pattern, sizeof pattern, "%s%s", prefixes[p], routes[i].pattern);
			r.pattern = pattern;
			r.arg = c;
			enum sm_err err = http_server_route(server, &r);
			if (err)
				return err;
		}
	return SM_OK;
}

enum sm_err cluster__chronos_routes(struct cluster *c, struct http_server *server)
{
	const struct http_route routes[] = {
		{.methods = HTTP_GET, .pattern = "/jobs", .handle = route_jobs},
		{.methods = HTTP_GET, .pattern = "/jobs/summary", .handle = route_summary},
		{.methods = HTTP_POST | HTTP_PUT, .pattern = "/iso8601", .handle = route_put},
		{.methods = HTTP_POST | HTTP_PUT, .pattern = "/dependency", .handle = route_put},
		{.methods = HTTP_GET | HTTP_PUT | HTTP_DELETE, .pattern = "/job/{name}", .handle = route_job},
		{.methods = HTTP_DELETE, .pattern = "/task/kill/{name}", .handle = route_kill},
	};
	enum sm_err err = cluster__chronos_add(c, server, routes, sizeof routes / sizeof *routes);
	return err ? err : cluster__chronos_query_routes(c, server);
}
