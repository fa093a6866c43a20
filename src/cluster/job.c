/* Scheduled jobs as Chronos keeps them: an overdue job runs once at once, missed runs collapse, a failed run is tried again. */
#include "base/logging.h"
#include "cluster/cluster_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRIES 2
#define RETRY_AFTER_MS 60000
#define WAIT_FOR_OFFER_MS 1000

/* ---- documents ---- */

static enum sm_err check_name(const char *name, struct sm_error *reterr)
{
	if (!name || !*name || strlen(name) > 127)
		return sm_fail(reterr, SM_INVALID, "\"name\" must have 1 to 127 characters");
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
			return sm_fail(reterr, SM_INVALID, "\"name\": '%s': letters, digits, '_', '.' and '-' only", name);
	return SM_OK;
}

static enum sm_err check_unsupported(const json_t *d, struct sm_error *reterr)
{
	static const char *const names[] = {"container", "uris", "fetch", "runAsUser", "constraints", "arguments", NULL};
	const char *zone;
	for (const char *const *n = names; *n; n++) {
		const json_t *v = json_object_get(d, *n);
		bool empty = !v || json_is_null(v) || (json_is_array(v) && !json_array_size(v)) ||
			     (json_is_string(v) && !json_string_length(v));
		if (!empty)
			return sm_fail(reterr, SM_UNSUPPORTED, "\"%s\" is not there yet: leave it out", *n);
	}
	if (json_object_get(d, "parents"))
		return sm_fail(reterr, SM_UNSUPPORTED, "jobs that run after others (\"parents\") are not there yet: give a schedule");
	enum sm_err err = json_get_string(d, "scheduleTimeZone", "", &zone, reterr);
	if (err)
		return err;
	if (*zone && strcmp(zone, "UTC") != 0 && strcmp(zone, "Etc/UTC") != 0)
		return sm_fail(reterr, SM_UNSUPPORTED, "\"scheduleTimeZone\": '%s': only UTC for now", zone);
	return SM_OK;
}

static enum sm_err check_numbers(const json_t *d, struct sm_error *reterr)
{
	static const char *const names[] = {"cpus", "mem", "disk", "retries"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		double n;
		if (json_get_real(d, names[i], 0, &n, reterr) || n < 0 || n > 1e9)
			return sm_fail(reterr, SM_INVALID, "\"%s\" must be a number from 0 on", names[i]);
	}
	return SM_OK;
}

/* Chronos' form of an environment is a list of {"name", "value"}; inside it is an object. */
static json_t *environment(const json_t *d)
{
	json_t *env = json_object();
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(d, "environmentVariables"), i, item)
	{
		const char *name = json_string_value(json_object_get(item, "name")),
			   *value = json_string_value(json_object_get(item, "value"));
		if (name && value)
			json_object_set_new(env, name, json_string(value));
	}
	return env;
}

enum sm_err cluster__job_check(const json_t *document, json_t **ret_document, int64_t now_ms, struct sm_error *reterr)
{
	const char *name, *command, *text;
	struct schedule schedule;
	enum sm_err err;
	if ((err = json_get_string(document, "name", NULL, &name, reterr)) ||
	    (err = json_get_string(document, "command", NULL, &command, reterr)) ||
	    (err = json_get_string(document, "schedule", NULL, &text, reterr)) || (err = check_name(name, reterr)) ||
	    (err = check_numbers(document, reterr)) || (err = check_unsupported(document, reterr)))
		return err;
	if (!text)
		return sm_fail(reterr, SM_INVALID, "\"schedule\" is missing, as R/2026-01-01T00:00:00Z/PT1H");
	if ((err = cluster__schedule_parse(text, now_ms, &schedule, reterr)))
		return err;
	const json_t *smack = json_object_get(document, "smack");
	if (smack && !json_is_object(smack))
		return sm_fail(reterr, SM_INVALID, "\"smack\" must be an object, as {\"sql\": \"INSERT ...\"}");
	if (!smack && (!command || !*command))
		return sm_fail(reterr, SM_INVALID, "\"command\" must be a shell command");
	json_t *d = json_deep_copy(document);
	if (!d)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	json_t *defaults = json_pack("{s:f s:f s:f s:i s:b s:s s:s s:b}", "cpus", 0.1, "mem", 128.0, "disk", 256.0, "retries", RETRIES,
				     "disabled", 0, "owner", "", "description", "", "shell", 1);
	json_object_update_missing(d, defaults);
	json_decref(defaults);
	json_object_set_new(d, "env", environment(document));
	*ret_document = d;
	return SM_OK;
}

/* ---- state ---- */

void cluster__job_free(struct job *job)
{
	json_decref(job->document);
	free(job->name);
	free(job);
}

static int64_t integer(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

json_t *cluster__job_state(const struct job *j)
{
	return json_pack("{s:I s:I s:I s:I s:I s:I s:I s:s s:O}", "repeats", (json_int_t)j->schedule.repeats, "startMs",
			 (json_int_t)j->schedule.start_ms, "successCount", (json_int_t)j->success_count, "errorCount",
			 (json_int_t)j->error_count, "errorsSinceLastSuccess", (json_int_t)j->errors_since_success, "lastSuccessMs",
			 (json_int_t)j->last_success_ms, "lastErrorMs", (json_int_t)j->last_error_ms, "lastErrorMessage", j->last_error,
			 "schedule", json_object_get(j->document, "schedule"));
}

/* What was kept holds as long as the schedule is the same text. */
static void take_state(struct job *j, const json_t *state)
{
	if (!state)
		return;
	if (json_equal(json_object_get(state, "schedule"), json_object_get(j->document, "schedule"))) {
		j->schedule.repeats = integer(state, "repeats");
		j->schedule.start_ms = integer(state, "startMs");
	}
	j->success_count = integer(state, "successCount");
	j->error_count = integer(state, "errorCount");
	j->errors_since_success = integer(state, "errorsSinceLastSuccess");
	j->last_success_ms = integer(state, "lastSuccessMs");
	j->last_error_ms = integer(state, "lastErrorMs");
	const char *text = json_string_value(json_object_get(state, "lastErrorMessage"));
	snprintf(j->last_error, sizeof j->last_error, "%s", text ? text : "");
}

enum sm_err cluster__job_install(struct cluster *c, json_t *document, const json_t *state)
{
	const char *name = json_string_value(json_object_get(document, "name")),
		   *text = json_string_value(json_object_get(document, "schedule"));
	struct schedule schedule;
	if (!name || !text || cluster__schedule_parse(text, cluster__now_ms(c), &schedule, NULL)) {
		json_decref(document);
		return SM_CORRUPT;
	}
	struct job *j = map_get(&c->jobs, bytes_str(name));
	json_t *kept = j ? cluster__job_state(j) : NULL;
	if (!j) {
		j = calloc(1, sizeof *j);
		if (!j || !(j->name = strdup(name)) || map_put(&c->jobs, bytes_str(name), j, NULL)) {
			json_decref(document);
			if (j)
				free(j->name);
			free(j);
			return SM_NO_MEMORY;
		}
	} else {
		json_decref(j->document);
	}
	j->document = document;
	j->schedule = schedule;
	j->period = strrchr(text, '/') + 1;
	j->attempt = 0;
	j->retry_at_ms = 0;
	take_state(j, kept ? kept : state);
	json_decref(kept);
	return SM_OK;
}

static void persist(struct cluster *c, const struct job *j)
{
	json_t *state = cluster__job_state(j);
	cluster__persist_job(c, j->name, j->document, state, NULL);
	json_decref(state);
}

/* One run is over, well or not: on to the next slot. */
static void finish_run(struct cluster *c, struct job *j)
{
	j->attempt = 0;
	j->retry_at_ms = 0;
	persist(c, j);
}

static void run_failed(struct cluster *c, struct job *j, const struct sm_error *error, int64_t now_ms)
{
	j->error_count++;
	j->errors_since_success++;
	j->last_error_ms = now_ms;
	snprintf(j->last_error, sizeof j->last_error, "%.299s", error->text);
	LOG_WARN("cluster", "job %s failed: %s", j->name, j->last_error);
	if (j->attempt < (uint32_t)integer(j->document, "retries")) {
		j->attempt++;
		j->retry_at_ms = now_ms + RETRY_AFTER_MS;
		persist(c, j);
	} else {
		finish_run(c, j);
	}
}

void cluster__job_ended(struct cluster *c, struct job *j, const struct cluster_task *task)
{
	int64_t now = cluster__now_ms(c);
	j->running = false;
	if (c->stopping || task->state == TASK_KILLING) {
		/* Interrupted by us: the run is due again after the restart, unless it was killed on purpose. */
		if (c->stopping && !task->error.code)
			j->success_count++;
		return;
	}
	if (task->error.code) {
		run_failed(c, j, &task->error, now);
		return;
	}
	j->success_count++;
	j->errors_since_success = 0;
	j->last_success_ms = now;
	finish_run(c, j);
}

static bool disabled(const struct job *j)
{
	return json_is_true(json_object_get(j->document, "disabled")) || j->schedule.repeats == 0;
}

/* When it is due next; INT64_MAX: never by itself. */
static int64_t due_ms(const struct job *j)
{
	if (j->run_now)
		return 0;
	if (j->retry_at_ms)
		return j->retry_at_ms;
	return disabled(j) ? INT64_MAX : j->schedule.start_ms;
}

static void start_run(struct cluster *c, struct job *j, int64_t now_ms)
{
	struct sm_error error = {0};
	enum sm_err err = cluster__task_start(c, NULL, j, &error);
	if (err == SM_FULL) {
		snprintf(j->last_error, sizeof j->last_error, "%.299s", error.text);
		return; /* looked at again soon */
	}
	if (!j->run_now && !j->retry_at_ms)
		cluster__schedule_advance(&j->schedule, now_ms);
	j->run_now = false;
	j->retry_at_ms = 0;
	j->running = !err;
	if (err)
		run_failed(c, j, &error, now_ms);
	else
		persist(c, j);
}

int64_t cluster__jobs_look(struct cluster *c, int64_t now_ms)
{
	int64_t next = INT64_MAX;
	size_t pos = 0;
	void *item;
	while (map_next(&c->jobs, &pos, NULL, &item)) {
		struct job *j = item;
		if (!j->running && due_ms(j) <= now_ms)
			start_run(c, j, now_ms);
		int64_t due = j->running ? INT64_MAX : due_ms(j);
		if (due == INT64_MAX)
			continue;
		int64_t wait = due <= now_ms ? WAIT_FOR_OFFER_MS : due - now_ms;
		next = wait < next ? wait : next;
	}
	return next;
}

/* ---- REST (Chronos) ---- */

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
	cluster__schedule_format(&j->schedule, j->period, schedule, sizeof schedule);
	json_object_del(out, "env");
	json_object_set_new(out, "schedule", json_string(schedule));
	json_object_set_new(out, "successCount", json_integer(j->success_count));
	json_object_set_new(out, "errorCount", json_integer(j->error_count));
	json_object_set_new(out, "errorsSinceLastSuccess", json_integer(j->errors_since_success));
	json_object_set_new(out, "lastErrorMessage", json_string(j->last_error));
	json_object_set_new(out, "state",
			    json_string(j->running       ? "running"
					: j->retry_at_ms ? "waits to retry"
					: disabled(j)    ? "disabled"
							 : "idle"));
	set_time(out, "lastSuccess", j->last_success_ms);
	set_time(out, "lastError", j->last_error_ms);
	set_time(out, "next", disabled(j) ? 0 : j->schedule.start_ms);
	return out;
}

static void installed(struct cluster *c, struct call *call)
{
	enum sm_err err = cluster__job_install(c, json_incref(call->body), NULL);
	if (err) {
		sm_fail(&call->error, err, "%s", sm_err_text(err));
		cluster__answer_error(call);
	} else {
		cluster__answer(call, 204, NULL);
	}
}

void cluster__job_put_handle(struct cluster *c, struct call *call)
{
	json_t *document = NULL;
	enum sm_err err = cluster__job_check(call->body, &document, cluster__now_ms(c), &call->error);
	const char *name = document ? json_string_value(json_object_get(document, "name")) : NULL;
	struct job *there = name ? map_get(&c->jobs, bytes_str(name)) : NULL;
	if (!err && !there && c->jobs.count >= CLUSTER_JOBS_MAX)
		err = sm_fail(&call->error, SM_TOO_LARGE, "there are %d jobs already", CLUSTER_JOBS_MAX);
	if (err) {
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
	if (!wanted(c, call))
		return;
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

static void route_put(struct http_request *request)
{
	route(request, true, cluster__job_put_handle);
}

static void route_dependency(struct http_request *request)
{
	struct sm_error error;
	sm_fail(&error, SM_UNSUPPORTED,
		"jobs that run after others are not there yet: give a schedule and POST it to /v1/scheduler/iso8601");
	http_reply_error(request, &error);
}

static void route_job(struct http_request *request)
{
	route(request, false, request->method == HTTP_DELETE ? delete_handle : request->method == HTTP_PUT ? run_handle : get_handle);
}

static void route_kill(struct http_request *request)
{
	route(request, false, kill_handle);
}

enum sm_err cluster__chronos_routes(struct cluster *c, struct http_server *server)
{
	/* /v1 came with Chronos 3; clients of both kinds are there. */
	static const char *const prefixes[] = {"/v1/scheduler", "/scheduler"};
	const struct http_route routes[] = {
		{.methods = HTTP_GET, .pattern = "/jobs", .handle = route_jobs},
		{.methods = HTTP_POST | HTTP_PUT, .pattern = "/iso8601", .handle = route_put},
		{.methods = HTTP_POST | HTTP_PUT, .pattern = "/dependency", .handle = route_dependency},
		{.methods = HTTP_GET | HTTP_PUT | HTTP_DELETE, .pattern = "/job/{name}", .handle = route_job},
		{.methods = HTTP_DELETE, .pattern = "/task/kill/{name}", .handle = route_kill},
	};
	for (size_t p = 0; p < 2; p++)
		for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
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
