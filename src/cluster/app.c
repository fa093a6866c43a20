/* Long-running apps as Marathon keeps them: so many instances, restarted with a growing delay when they end. */
#include "base/logging.h"
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define WAIT_FOR_OFFER_MS 1000

/* ---- state ---- */

void cluster__app_free(struct app *app)
{
	json_decref(app->document);
	json_decref(app->versions);
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

/* A change of nothing but the number of instances leaves those that run alone. */
static bool differs_in_scale_only(const json_t *before, const json_t *after)
{
	json_t *a = json_copy((json_t *)(uintptr_t)before), *b = json_copy((json_t *)(uintptr_t)after);
	json_object_del(a, "instances");
	json_object_del(b, "instances");
	json_object_del(b, "version");
	bool same = a && b && json_equal(a, b);
	json_decref(a);
	json_decref(b);
	return same;
}

enum sm_err cluster__app_install(struct cluster *c, json_t *document)
{
	const char *id = json_string_value(json_object_get(document, "id"));
	struct app *app = id ? map_get(&c->apps, bytes_str(id)) : NULL;
	bool scaled = app && differs_in_scale_only(app->document, document);
	if (app) {
		json_decref(app->document);
	} else {
		app = calloc(1, sizeof *app);
		if (!app || !id || !(app->id = strdup(id)) || !(app->versions = json_array()) ||
		    map_put(&c->apps, bytes_str(id), app, NULL)) {
			json_decref(document);
			if (app) {
				json_decref(app->versions);
				free(app->id);
			}
			free(app);
			return id ? SM_NO_MEMORY : SM_CORRUPT;
		}
	}
	const char *version = json_string_value(json_object_get(document, "version"));
	if (version)
		snprintf(app->version, sizeof app->version, "%.31s", version);
	else
		civil_format(cluster__now_ms(c), app->version); /* kept by a server that had no versions */
	json_object_del(document, "version");
	if (!scaled)
		memcpy(app->config_version, app->version, sizeof app->config_version);
	app->document = document;
	app->removed = false;
	app->launched = false;
	app->delay_ms = 0;
	app->launch_at_ms = 0;
	return SM_OK;
}

void cluster__app_version_add(struct app *app, json_t *document)
{
	json_array_append_new(app->versions, document);
	while (json_array_size(app->versions) > CLUSTER_VERSIONS_KEPT)
		json_array_remove(app->versions, 0);
}

static bool has_tasks(const struct cluster *c, const struct app *app)
{
	for (const struct cluster_task *t = c->tasks; t; t = t->next)
		if (t->app == app)
			return true;
	return false;
}

static void drop_if_ended(struct cluster *c, struct app *app)
{
	if (!app->removed || has_tasks(c, app))
		return;
	map_remove(&c->apps, bytes_str(app->id));
	cluster__app_free(app);
}

void cluster__app_remove(struct cluster *c, struct app *app)
{
	app->removed = true;
	cluster__app_stop_tasks(c, app);
	drop_if_ended(c, app);
}

/* ---- dependencies ---- */

static uint32_t wanted(const struct app *app)
{
	return app->removed ? 0 : (uint32_t)number(app, "instances");
}

/* Tasks of the present version that serve. */
static uint32_t ready_count(const struct cluster *c, const struct app *app)
{
	uint32_t n = 0;
	for (const struct cluster_task *t = c->tasks; t; t = t->next)
		n += t->app == app && strcmp(t->version, app->config_version) == 0 && cluster__task_ready(t);
	return n;
}

/* An app, or every app of a group, serves with all its instances. */
static bool is_there(struct cluster *c, const char *id, const struct app *asking)
{
	size_t pos = 0, found = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *app = item;
		if (app == asking || app->removed || (strcmp(app->id, id) != 0 && !cluster__group_holds(id, app->id)))
			continue;
		found++;
		if (ready_count(c, app) < wanted(app))
			return false;
	}
	return found > 0;
}

static const char *missing_of(struct cluster *c, const json_t *dependencies, const struct app *asking)
{
	size_t i;
	json_t *id;
	json_array_foreach((json_t *)(uintptr_t)dependencies, i,
			   id) if (!is_there(c, json_string_value(id), asking)) return json_string_value(id);
	return NULL;
}

const char *cluster__app_waits_for(struct cluster *c, const struct app *app)
{
	const char *missing = app->launched ? NULL : missing_of(c, json_object_get(app->document, "dependencies"), app);
	size_t pos = 0;
	void *item;
	while (!missing && !app->launched && map_next(&c->groups, &pos, NULL, &item)) {
		const struct app_group *group = item;
		if (cluster__group_holds(group->id, app->id))
			missing = missing_of(c, json_object_get(group->document, "dependencies"), app);
	}
	return missing;
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
	drop_if_ended(c, app);
}

/* Returns false when it has to wait. */
static bool launch(struct cluster *c, struct app *app, int64_t now_ms)
{
	struct sm_error error = {0};
	enum sm_err err = cluster__task_start(c, app, NULL, &error);
	if (!err) {
		app->running++;
		app->launched = true;
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

/* ---- what runs against what shall run ---- */

#define LOOK_AGAIN_MS 500 /* at tasks that become healthy, and at dependencies */

static void kill_one(struct cluster *c, struct app *app, struct cluster_task *t)
{
	app->running--;
	cluster__task_stop(c, t);
}

static bool is_old(const struct cluster_task *t, const struct app *app)
{
	return t->app == app && t->state == TASK_RUNNING && strcmp(t->version, app->config_version) != 0;
}

static struct cluster_task *an_old_one(struct cluster *c, const struct app *app)
{
	struct cluster_task *found = NULL;
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		if (is_old(t, app))
			found = t; /* the list is newest first: the last is the oldest */
	return found;
}

static double capacity(const struct app *app, const char *name)
{
	const json_t *v = json_object_get(json_object_get(app->document, "upgradeStrategy"), name);
	return json_is_number(v) ? json_number_value(v) : 1;
}

/* How many tasks of both versions may run at once. Jobs inside the server write under an epoch: two would fence each other. */
static uint32_t most_at_once(const struct app *app, uint32_t instances)
{
	if (json_object_get(app->document, "smack"))
		return instances;
	return instances + (uint32_t)(capacity(app, "maximumOverCapacity") * instances);
}

/* Old tasks go as new ones become ready, never so that fewer than minimumHealthCapacity serve; where the machine has no room for both
 * (no_room), one old task goes first: there is no other machine to wait for. */
static void retire(struct cluster *c, struct app *app, uint32_t instances, bool no_room)
{
	uint32_t least = (uint32_t)(capacity(app, "minimumHealthCapacity") * instances + 0.999999);
	bool in_server = json_object_get(app->document, "smack") != NULL;
	for (struct cluster_task *old; (old = an_old_one(c, app));) {
		uint32_t ready = ready_count(c, app), olds = 0;
		for (struct cluster_task *t = c->tasks; t; t = t->next)
			olds += is_old(t, app);
		if (!in_server && !no_room && ready + olds - 1 < least)
			return;
		kill_one(c, app, old);
		no_room = false;
	}
}

/* Too many of the present version: the youngest go first unless the document says otherwise. */
static void shrink(struct cluster *c, struct app *app, uint32_t instances)
{
	const char *selection = json_string_value(json_object_get(app->document, "killSelection"));
	bool oldest = selection && strcmp(selection, "OLDEST_FIRST") == 0;
	while (app->running > instances) {
		struct cluster_task *victim = NULL;
		for (struct cluster_task *t = c->tasks; t; t = t->next)
			if (t->app == app && t->state == TASK_RUNNING && (!victim || oldest))
				victim = t;
		if (!victim)
			return;
		kill_one(c, app, victim);
	}
}

static int64_t look_at(struct cluster *c, struct app *app, int64_t now_ms)
{
	uint32_t instances = wanted(app), olds = 0;
	bool no_room = false;
	const char *missing = instances ? cluster__app_waits_for(c, app) : NULL;
	for (struct cluster_task *t = c->tasks; t; t = t->next)
		olds += is_old(t, app);
	if (!olds)
		shrink(c, app, instances);
	while (!missing && app->running - olds < instances && app->running < most_at_once(app, instances) && app->launch_at_ms <= now_ms &&
	       !no_room)
		no_room = !launch(c, app, now_ms);
	if (olds)
		retire(c, app, instances, no_room);
	uint32_t ready = ready_count(c, app);
	if (ready >= instances && !an_old_one(c, app))
		app->deployment[0] = 0;
	if (app->running < instances && !missing && app->launch_at_ms > now_ms)
		return app->launch_at_ms - now_ms;
	return missing || olds || app->deployment[0] ? LOOK_AGAIN_MS : INT64_MAX;
}

int64_t cluster__apps_look(struct cluster *c, int64_t now_ms)
{
	int64_t next = INT64_MAX;
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		int64_t wait = look_at(c, item, now_ms);
		next = wait < next ? wait : next;
	}
	return next;
}
