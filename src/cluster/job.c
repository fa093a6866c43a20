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

static bool given(const json_t *d, const char *name)
{
	const json_t *v = json_object_get(d, name);
	return v && !json_is_null(v) && !(json_is_array(v) && !json_array_size(v)) && !(json_is_string(v) && !json_string_length(v));
}

static enum sm_err check_members(const json_t *d, struct sm_error *reterr)
{
	size_t i;
	json_t *word;
	if (given(d, "container"))
		return sm_fail(reterr, SM_UNSUPPORTED, "\"container\" is not there: leave it out");
	if (given(d, "runAsUser") && !json_is_string(json_object_get(d, "runAsUser")))
		return sm_fail(reterr, SM_INVALID, "\"runAsUser\" must be the name of a user");
	if (given(d, "constraints") && !json_is_array(json_object_get(d, "constraints")))
		return sm_fail(reterr, SM_INVALID, "\"constraints\" must be a list");
	if (given(d, "arguments") && !json_is_array(json_object_get(d, "arguments")))
		return sm_fail(reterr, SM_INVALID, "\"arguments\" must be a list of strings");
	json_array_foreach(json_object_get(d, "arguments"), i,
			   word) if (!json_is_string(word)) return sm_fail(reterr, SM_INVALID, "\"arguments\" must be a list of strings");
	return cluster__fetch_check(d, reterr);
}

/* *ret_zone NULL: none is named. */
static enum sm_err load_zone(const json_t *d, struct zone **ret_zone, struct sm_error *reterr)
{
	const char *name;
	enum sm_err err = json_get_string(d, "scheduleTimeZone", "", &name, reterr);
	*ret_zone = NULL;
	return err || !*name ? err : zone_load(name, ret_zone, reterr);
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

static enum sm_err check_parents(const json_t *parents, struct sm_error *reterr)
{
	size_t i;
	json_t *parent;
	if (!json_is_array(parents) || !json_array_size(parents) || json_array_size(parents) > CLUSTER_PARENTS_MAX)
		return sm_fail(reterr, SM_INVALID, "\"parents\" must be a list of 1 to %d names of jobs", CLUSTER_PARENTS_MAX);
	json_array_foreach((json_t *)(uintptr_t)parents, i,
			   parent) if (!json_is_string(parent)) return sm_fail(reterr, SM_INVALID, "\"parents\" must be names of jobs");
	return SM_OK;
}

enum sm_err cluster__job_check(const json_t *document, json_t **ret_document, int64_t now_ms, struct sm_error *reterr)
{
	const char *name, *command, *text;
	struct schedule schedule;
	enum sm_err err;
	if ((err = json_get_string(document, "name", NULL, &name, reterr)) ||
	    (err = json_get_string(document, "command", NULL, &command, reterr)) ||
	    (err = json_get_string(document, "schedule", NULL, &text, reterr)) || (err = check_name(name, reterr)) ||
	    (err = check_numbers(document, reterr)) || (err = check_members(document, reterr)))
		return err;
	const json_t *parents = json_object_get(document, "parents");
	if (parents && text && *text)
		return sm_fail(reterr, SM_INVALID, "give either \"schedule\" or \"parents\"");
	if (!parents && !text)
		return sm_fail(reterr, SM_INVALID, "\"schedule\" is missing, as R/2026-01-01T00:00:00Z/PT1H");
	struct zone *zone;
	if ((err = load_zone(document, &zone, reterr)))
		return err;
	err = parents ? check_parents(parents, reterr) : cluster__schedule_parse(text, zone, now_ms, &schedule, reterr);
	zone_free(zone);
	if (err)
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
	json_decref(job->edges);
	json_decref(job->took_ms);
	zone_free(job->zone);
	free(job->name);
	free(job);
}

static int64_t integer(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *zone_name(const struct job *j)
{
	const char *name = json_string_value(json_object_get(j->document, "scheduleTimeZone"));
	return name ? name : "";
}

json_t *cluster__job_state(const struct job *j)
{
	return json_pack("{s:s s:I s:I s:I s:I s:I s:I s:I s:s s:O* s:O* s:O* s:b}", "zone", zone_name(j), "repeats",
			 (json_int_t)j->schedule.repeats, "startMs", (json_int_t)j->schedule.start_ms, "successCount",
			 (json_int_t)j->success_count, "errorCount", (json_int_t)j->error_count, "errorsSinceLastSuccess",
			 (json_int_t)j->errors_since_success, "lastSuccessMs", (json_int_t)j->last_success_ms, "lastErrorMs",
			 (json_int_t)j->last_error_ms, "lastErrorMessage", j->last_error, "schedule",
			 json_object_get(j->document, "schedule"), "edges", j->edges, "tookMs", j->took_ms, "underWay", j->under_way);
}

/* An edge for each parent; a new one begins at 0. */
static void take_edges(struct job *j, const json_t *kept)
{
	size_t i;
	json_t *parent;
	json_decref(j->edges);
	j->edges = json_object();
	json_array_foreach(json_object_get(j->document, "parents"), i, parent)
	{
		const json_t *count = json_object_get(kept, json_string_value(parent));
		json_object_set_new(j->edges, json_string_value(parent), json_integer(json_integer_value(count)));
	}
}

/* What was kept holds as long as the schedule is the same text. */
static void take_state(struct job *j, const json_t *state)
{
	if (!state)
		return;
	/* The server ended during the run: once more, at once. */
	j->under_way = json_is_true(json_object_get(state, "underWay"));
	if (j->under_way && !j->running)
		j->retry_at_ms = 1;
	const char *zone = json_string_value(json_object_get(state, "zone")), *present = zone_name(j);
	if (j->period && json_equal(json_object_get(state, "schedule"), json_object_get(j->document, "schedule")) &&
	    strcmp(zone ? zone : "", present) == 0) {
		j->schedule.repeats = integer(state, "repeats");
		j->schedule.start_ms = integer(state, "startMs");
	}
	if (!j->took_ms && json_is_array(json_object_get(state, "tookMs")))
		j->took_ms = json_incref(json_object_get(state, "tookMs"));
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
		   *text = json_object_get(document, "parents") ? NULL : json_string_value(json_object_get(document, "schedule"));
	struct schedule schedule = {0};
	struct zone *zone = NULL;
	struct sm_error error;
	/* A zone that is not known any more: the job is kept and runs by UTC. */
	if (load_zone(document, &zone, &error))
		LOG_ERROR("cluster", "job %s: %s; its schedule is taken as UTC", name ? name : "", error.text);
	if (!name ||
	    (text ? cluster__schedule_parse(text, zone, cluster__now_ms(c), &schedule, NULL) : !json_object_get(document, "parents"))) {
		json_decref(document);
		zone_free(zone);
		return SM_CORRUPT;
	}
	struct job *j = map_get(&c->jobs, bytes_str(name));
	json_t *kept = j ? cluster__job_state(j) : NULL;
	if (!j) {
		j = calloc(1, sizeof *j);
		if (!j || !(j->name = strdup(name)) || map_put(&c->jobs, bytes_str(name), j, NULL)) {
			json_decref(document);
			zone_free(zone);
			if (j)
				free(j->name);
			free(j);
			return SM_NO_MEMORY;
		}
	} else {
		json_decref(j->document);
	}
	j->document = document;
	zone_free(j->zone);
	j->zone = zone;
	j->schedule = schedule;
	j->period = text ? strrchr(text, '/') + 1 : NULL;
	j->attempt = 0;
	j->retry_at_ms = 0;
	take_state(j, kept ? kept : state);
	/* Chronos begins to count anew when a dependent job is edited. */
	take_edges(j, kept ? NULL : json_object_get(state, "edges"));
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
	j->under_way = false;
	persist(c, j);
}

/* ---- jobs that run after others ---- */

/* A child with one parent runs after each of its successes; with several, when the parent that has just succeeded has caught up with
 * the one that has succeeded least. */
static void tell_children(struct cluster *c, const char *parent)
{
	size_t pos = 0;
	void *item;
	while (map_next(&c->jobs, &pos, NULL, &item)) {
		struct job *child = item;
		const json_t *edge = json_object_get(child->edges, parent);
		if (!edge)
			continue;
		json_int_t mine = json_integer_value(edge) + 1, least = mine;
		json_object_set_new(child->edges, parent, json_integer(mine));
		const char *name;
		json_t *count;
		json_object_foreach(child->edges, name, count) least = json_integer_value(count) < least ? json_integer_value(count)
													 : least;
		if (least == mine && !cluster__job_disabled(child))
			child->run_now = child->under_way = true;
		persist(c, child);
	}
}

const char *cluster__job_child(struct cluster *c, const char *name)
{
	size_t pos = 0;
	void *item;
	while (map_next(&c->jobs, &pos, NULL, &item))
		if (json_object_get(((struct job *)item)->edges, name))
			return ((struct job *)item)->name;
	return NULL;
}

static bool follows(struct cluster *c, const json_t *parents, const char *name, unsigned depth)
{
	size_t i;
	json_t *parent;
	json_array_foreach((json_t *)(uintptr_t)parents, i, parent)
	{
		const struct job *j = map_get(&c->jobs, bytes_str(json_string_value(parent)));
		if (strcmp(json_string_value(parent), name) == 0 || depth > CLUSTER_DEPTH_MAX ||
		    (j && follows(c, json_object_get(j->document, "parents"), name, depth + 1)))
			return true;
	}
	return false;
}

bool cluster__job_follows(struct cluster *c, const json_t *parents, const char *name)
{
	return follows(c, parents, name, 0);
}

/* ---- runs ---- */

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
		/* "softError": what follows runs although this failed. */
		if (json_is_true(json_object_get(j->document, "softError")))
			tell_children(c, j->name);
	}
}

void cluster__job_ended(struct cluster *c, struct job *j, const struct cluster_task *task)
{
	int64_t now = cluster__now_ms(c);
	j->running = false;
	if (task->state == TASK_KILLING && task->error.code) {
		/* Interrupted by the server's end it is still under way and runs again after the start; killed on purpose it is over. */
		if (!c->stopping)
			finish_run(c, j);
		return;
	}
	if (task->error.code) {
		run_failed(c, j, &task->error, now);
		return;
	}
	j->success_count++;
	j->errors_since_success = 0;
	j->last_success_ms = now;
	cluster__job_took(j, now - task->started_ms);
	finish_run(c, j);
	tell_children(c, j->name);
}

bool cluster__job_disabled(const struct job *j)
{
	return json_is_true(json_object_get(j->document, "disabled")) || (j->period && j->schedule.repeats == 0);
}

/* When it is due next; INT64_MAX: never by itself. */
static int64_t due_ms(const struct job *j)
{
	if (j->run_now)
		return 0;
	if (j->retry_at_ms)
		return j->retry_at_ms;
	return !j->period || cluster__job_disabled(j) ? INT64_MAX : j->schedule.start_ms;
}

static void start_run(struct cluster *c, struct job *j, int64_t now_ms)
{
	struct sm_error error = {0};
	enum sm_err err = cluster__task_start(c, NULL, j, &error);
	if (err == SM_FULL) {
		snprintf(j->last_error, sizeof j->last_error, "%.299s", error.text);
		return; /* looked at again soon */
	}
	if (!j->run_now && !j->retry_at_ms && j->period)
		cluster__schedule_advance(&j->schedule, now_ms);
	j->run_now = false;
	j->retry_at_ms = 0;
	j->running = !err;
	j->under_way = true;
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
