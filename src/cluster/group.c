/* Groups of apps, as Marathon nests them: /shop holds /shop/store/ingest. A group is the apps below it; only what it has of its own (the
 * groups that it depends on, or that it exists with no app) is kept. A document of a group is one change: all of it is kept and installed,
 * or nothing. */
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void cluster__group_free(struct app_group *group)
{
	json_decref(group->document);
	free(group->id);
	free(group);
}

bool cluster__group_holds(const char *group, const char *id)
{
	size_t n = strlen(group);
	return strcmp(group, "/") == 0 || (strncmp(group, id, n) == 0 && id[n] == '/');
}

enum sm_err cluster__group_install(struct cluster *c, json_t *document)
{
	const char *id = json_string_value(json_object_get(document, "id"));
	struct app_group *group = id ? map_get(&c->groups, bytes_str(id)) : NULL;
	if (group) {
		json_decref(group->document);
		group->document = document;
		return SM_OK;
	}
	group = calloc(1, sizeof *group);
	if (!group || !id || !(group->id = strdup(id)) || map_put(&c->groups, bytes_str(id), group, NULL)) {
		json_decref(document);
		if (group)
			free(group->id);
		free(group);
		return id ? SM_NO_MEMORY : SM_CORRUPT;
	}
	group->document = document;
	return SM_OK;
}

/* ---- what is shown ---- */

/* The group right below `parent` that holds id or is id: "/shop", "/shop/store/ingest" -> "/shop/store". False: id lies directly in it. */
static bool next_below(const char *parent, const char *id, bool id_is_group, char out[130])
{
	size_t from = strcmp(parent, "/") == 0 ? 1 : strlen(parent) + 1;
	const char *slash = strchr(id + from, '/');
	if (!slash && !id_is_group)
		return false;
	snprintf(out, 130, "%.*s", slash ? (int)(slash - id) : (int)strlen(id), id);
	return true;
}

static json_t *group_json(const struct cluster *c, const char *id, unsigned depth);

static void add_group(const struct cluster *c, json_t *groups, const char *id, unsigned depth)
{
	size_t i;
	json_t *there;
	json_array_foreach(groups, i, there) if (strcmp(json_string_value(json_object_get(there, "id")), id) == 0) return;
	if (depth < CLUSTER_GROUP_DEPTH_MAX)
		json_array_append_new(groups, group_json(c, id, depth + 1));
}

static json_t *group_json(const struct cluster *c, const char *id, unsigned depth)
{
	json_t *apps = json_array(), *groups = json_array();
	const char *version = "1970-01-01T00:00:00.000Z";
	char below[130];
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *app = item;
		if (app->removed || !cluster__group_holds(id, app->id))
			continue;
		if (strcmp(app->version, version) > 0)
			version = app->version;
		if (next_below(id, app->id, false, below))
			add_group(c, groups, below, depth);
		else
			json_array_append_new(apps, cluster__app_json(c, app));
	}
	pos = 0;
	while (map_next(&c->groups, &pos, NULL, &item)) {
		const struct app_group *group = item;
		if (cluster__group_holds(id, group->id) && strcmp(group->id, id) != 0 && next_below(id, group->id, true, below))
			add_group(c, groups, below, depth);
	}
	const struct app_group *own = map_get(&c->groups, bytes_str(id));
	json_t *dependencies = own ? json_object_get(own->document, "dependencies") : NULL;
	return json_pack("{s:s s:o s:o s:o s:s}", "id", id, "apps", apps, "groups", groups, "dependencies",
			 dependencies ? json_deep_copy(dependencies) : json_array(), "version", version);
}

static bool exists(const struct cluster *c, const char *id)
{
	size_t pos = 0;
	void *item;
	if (strcmp(id, "/") == 0 || map_get(&c->groups, bytes_str(id)))
		return true;
	while (map_next(&c->apps, &pos, NULL, &item))
		if (!((struct app *)item)->removed && cluster__group_holds(id, ((struct app *)item)->id))
			return true;
	return false;
}

static void not_there(struct call *call)
{
	sm_fail(&call->error, SM_NOT_FOUND, "Group '%s' does not exist", call->name);
	cluster__answer_error(call);
}

static void get_handle(struct cluster *c, struct call *call)
{
	if (exists(c, call->name))
		cluster__answer(call, 200, group_json(c, call->name, 0));
	else
		not_there(call);
}

/* ---- documents ---- */

/* What a document of a group says, taken apart. */
struct plan {
	json_t *apps;   /* checked documents, absolute ids */
	json_t *groups; /* {"id", "dependencies"} */
	const char *path;
};

/* "store", "../x" and "/shop/store" seen from /shop. */
static enum sm_err absolute(const char *base, const char *id, char out[130], struct sm_error *reterr)
{
	if (*id == '/') {
		snprintf(out, 130, "%s", id);
	} else {
		char parent[130];
		snprintf(parent, sizeof parent, "%s", base);
		while (strncmp(id, "../", 3) == 0) {
			char *cut = strrchr(parent, '/');
			*(cut && cut != parent ? cut : parent + 1) = 0;
			id += 3;
		}
		if ((size_t)snprintf(out, 130, "%s%s%s", parent, strcmp(parent, "/") == 0 ? "" : "/", id) >= 130)
			return sm_fail(reterr, SM_INVALID, "\"id\": '%s' is too long", id);
	}
	return strcmp(out, "/") == 0 ? SM_OK : cluster__id_check(out, reterr);
}

/* Dependencies may be relative to where they stand. */
static enum sm_err resolve(json_t *document, const char *base, struct sm_error *reterr)
{
	json_t *list = json_object_get(document, "dependencies"), *entry;
	size_t i;
	enum sm_err err = cluster__dependencies_check(document, reterr);
	if (err)
		return err;
	json_array_foreach(list, i, entry)
	{
		char id[130];
		if ((err = absolute(base, json_string_value(entry), id, reterr)))
			return err;
		json_array_set_new(list, i, json_string(id));
	}
	return SM_OK;
}

static enum sm_err plan_app(struct plan *plan, const char *group, json_t *document, struct sm_error *reterr)
{
	const char *id = json_string_value(json_object_get(document, "id"));
	char full[130];
	json_t *checked;
	enum sm_err err;
	plan->path = "apps";
	if (!id)
		return sm_fail(reterr, SM_INVALID, "an app in group %s has no \"id\"", group);
	if ((err = absolute(group, id, full, reterr)))
		return err;
	if (!cluster__group_holds(group, full))
		return sm_fail(reterr, SM_INVALID, "app %s does not lie in group %s", full, group);
	json_t *copy = json_deep_copy(document);
	json_object_set_new(copy, "id", json_string(full));
	if (!(err = resolve(copy, group, reterr)))
		err = cluster__app_check(copy, &checked, &plan->path, reterr);
	json_decref(copy);
	if (!err)
		json_array_append_new(plan->apps, checked);
	return err;
}

static enum sm_err plan_group(struct plan *plan, const char *id, const json_t *document, unsigned depth, struct sm_error *reterr)
{
	const json_t *apps = json_object_get(document, "apps"), *groups = json_object_get(document, "groups"),
		     *dependencies = json_object_get(document, "dependencies");
	size_t i;
	json_t *entry;
	plan->path = "groups";
	if (depth > CLUSTER_GROUP_DEPTH_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "groups are nested deeper than %d", CLUSTER_GROUP_DEPTH_MAX);
	if ((apps && !json_is_array(apps)) || (groups && !json_is_array(groups)))
		return sm_fail(reterr, SM_INVALID, "group %s: \"apps\" and \"groups\" must be lists", id);
	json_t *own = json_pack("{s:s s:o}", "id", id, "dependencies", dependencies ? json_deep_copy(dependencies) : json_array());
	enum sm_err err = resolve(own, id, reterr);
	json_array_append_new(plan->groups, own);
	json_array_foreach((json_t *)(uintptr_t)apps, i, entry)
	{
		if (!err)
			err = plan_app(plan, id, entry, reterr);
	}
	json_array_foreach((json_t *)(uintptr_t)groups, i, entry)
	{
		const char *called = json_string_value(json_object_get(entry, "id"));
		char full[130];
		if (!err && !called)
			err = sm_fail(reterr, SM_INVALID, "a group in %s has no \"id\"", id);
		if (!err && !(err = absolute(id, called, full, reterr)))
			err = cluster__group_holds(id, full) ? plan_group(plan, full, entry, depth + 1, reterr)
							     : sm_fail(reterr, SM_INVALID, "group %s does not lie in %s", full, id);
	}
	return err;
}

/* {"scaleBy": 2}: each app below with so many times its instances. */
static enum sm_err plan_scale(struct cluster *c, struct plan *plan, const char *id, double factor, struct sm_error *reterr)
{
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *app = item;
		double n = json_number_value(json_object_get(app->document, "instances")) * factor;
		if (app->removed || !cluster__group_holds(id, app->id))
			continue;
		if (factor < 0 || n > CLUSTER_INSTANCES_MAX)
			return sm_fail(reterr, SM_INVALID, "\"scaleBy\": app %s would have %g instances", app->id, n);
		json_t *scaled = json_deep_copy(app->document);
		json_object_set_new(scaled, "instances", json_integer((json_int_t)(n + 0.5)));
		json_array_append_new(plan->apps, scaled);
	}
	return SM_OK;
}

/* ---- changes ---- */

static bool planned(const json_t *list, const char *id)
{
	size_t i;
	json_t *entry;
	json_array_foreach((json_t *)(uintptr_t)list, i,
			   entry) if (strcmp(json_string_value(json_object_get(entry, "id")), id) == 0) return true;
	return false;
}

/* Apps and groups below id that the document does not have. */
static void add_removals(struct cluster *c, struct change *change, const char *id, const struct plan *plan, json_t *gone)
{
	size_t pos = 0;
	void *item;
	while (map_next(&c->apps, &pos, NULL, &item)) {
		const struct app *app = item;
		if (app->removed || !cluster__group_holds(id, app->id) || planned(plan->apps, app->id))
			continue;
		cluster__change_app_delete(change, app);
		json_array_append_new(gone, json_string(app->id));
	}
	pos = 0;
	while (map_next(&c->groups, &pos, NULL, &item)) {
		const struct app_group *group = item;
		bool below = strcmp(group->id, id) == 0 || cluster__group_holds(id, group->id);
		if (below && !planned(plan->groups, group->id))
			cluster__change_group(change, group->id, NULL);
	}
}

static enum sm_err add_apps(struct cluster *c, struct change *change, json_t *apps, json_t *changed, struct sm_error *reterr)
{
	size_t i;
	json_t *document;
	json_array_foreach(apps, i, document)
	{
		const char *id = json_string_value(json_object_get(document, "id"));
		const struct app *there = map_get(&c->apps, bytes_str(id));
		char version[32];
		if (there && there->removed)
			return sm_fail(reterr, SM_CONFLICT, "app %s is being removed: try again when its tasks have ended", id);
		if (there && json_equal(there->document, document))
			continue;
		if (!there && c->apps.count + json_array_size(changed) >= CLUSTER_APPS_MAX)
			return sm_fail(reterr, SM_CONFLICT, "there are %d apps already: delete one", CLUSTER_APPS_MAX);
		cluster__change_app(c, change, there, document, version);
		json_t *copy = json_deep_copy(document);
		json_object_set_new(copy, "version", json_string(version));
		json_array_append_new(changed, copy);
	}
	return SM_OK;
}

/* call->body is {"changed": apps, "groups": groups, "gone": ids, "deployment": id, "version": version} by now. */
static void installed(struct cluster *c, struct call *call)
{
	const char *deployment = json_string_value(json_object_get(call->body, "deployment"));
	size_t i;
	json_t *entry;
	json_array_foreach(json_object_get(call->body, "groups"), i, entry)(void) !cluster__group_install(c, json_deep_copy(entry));
	json_array_foreach(json_object_get(call->body, "changed"), i, entry)
	{
		struct app *app;
		if (cluster__app_install(c, json_deep_copy(entry)))
			continue; /* out of memory: it is kept, and there after the next start */
		app = cluster__app_find(c, json_string_value(json_object_get(entry, "id")));
		cluster__app_version_add(app, json_deep_copy(entry));
		snprintf(app->deployment, sizeof app->deployment, "%s", deployment);
	}
	json_array_foreach(json_object_get(call->body, "gone"), i, entry)
	{
		struct app *app = cluster__app_find(c, json_string_value(entry));
		if (app)
			cluster__app_remove(c, app);
	}
	json_array_foreach(json_object_get(call->body, "goneGroups"), i, entry)
	{
		struct app_group *group = map_remove(&c->groups, bytes_str(json_string_value(entry)));
		if (group)
			cluster__group_free(group);
	}
	const char *version = json_string_value(json_object_get(call->body, "version"));
	cluster__answer(call, call->action ? 201 : 200, cluster__deployment(call, version, deployment));
}

static json_t *gone_groups(struct cluster *c, const char *id, const struct plan *plan)
{
	json_t *gone = json_array();
	size_t pos = 0;
	void *item;
	while (map_next(&c->groups, &pos, NULL, &item)) {
		const struct app_group *group = item;
		if ((strcmp(group->id, id) == 0 || cluster__group_holds(id, group->id)) && !planned(plan->groups, group->id))
			json_array_append_new(gone, json_string(group->id));
	}
	return gone;
}

/* removals: what lies below id and is not planned goes. */
static void carry_out(struct cluster *c, struct call *call, const char *id, struct plan *plan, bool removals)
{
	struct change change = {0};
	json_t *changed = json_array(), *gone = json_array(), *gone_too = removals ? gone_groups(c, id, plan) : json_array(), *entry;
	char now[32], deployment[37];
	struct uuid uuid;
	size_t i;
	uuid_random(&uuid);
	uuid_format(&uuid, deployment);
	civil_format(cluster__now_ms(c), now);
	if (removals)
		add_removals(c, &change, id, plan, gone);
	json_array_foreach(plan->groups, i, entry)
		cluster__change_group(&change, json_string_value(json_object_get(entry, "id")), json_incref(entry));
	enum sm_err err = add_apps(c, &change, plan->apps, changed, &call->error);
	json_decref(call->body);
	call->body = json_pack("{s:o s:O s:o s:o s:s s:s}", "changed", changed, "groups", plan->groups, "gone", gone, "goneGroups",
			       gone_too, "deployment", deployment, "version", now);
	if (err) {
		cluster__answer_error(call);
	} else {
		call->then = installed;
		cluster__persist_change(c, &change, call);
	}
	cluster__change_done(&change);
}

static void plan_done(struct plan *plan)
{
	json_decref(plan->apps);
	json_decref(plan->groups);
}

/* POST makes a group, PUT one that may be there; "dryRun" (call->partial) only checks. */
static void put_handle(struct cluster *c, struct call *call)
{
	struct plan plan = {json_array(), json_array(), NULL};
	const char *given = json_string_value(json_object_get(call->body, "id"));
	const json_t *scale = json_object_get(call->body, "scaleBy");
	char id[130];
	enum sm_err err = given ? absolute(call->name, given, id, &call->error) : SM_OK;
	if (!given)
		snprintf(id, sizeof id, "%s", call->name);
	if (!err && call->action && strcmp(id, "/") != 0 && exists(c, id))
		err = sm_fail(&call->error, SM_CONFLICT, "Group %s is already created. Use PUT to change this group.", id);
	if (!err && json_object_get(call->body, "version"))
		err = sm_fail(&call->error, SM_UNSUPPORTED,
			      "former versions of a group are not kept: give the document, or roll its apps back");
	if (!err && json_is_number(scale))
		err = plan_scale(c, &plan, id, json_number_value(scale), &call->error);
	else if (!err)
		err = plan_group(&plan, id, call->body, 0, &call->error);
	if (err == SM_INVALID || err == SM_TOO_LARGE)
		call->path = plan.path ? plan.path : "id";
	if (err)
		cluster__answer_error(call);
	else if (call->partial)
		cluster__answer(call, 200, json_pack("{s:[]}", "steps"));
	else
		carry_out(c, call, id, &plan, !json_is_number(scale) && !call->action);
	plan_done(&plan);
}

static void delete_handle(struct cluster *c, struct call *call)
{
	struct plan plan = {json_array(), json_array(), NULL};
	char id[130];
	snprintf(id, sizeof id, "%s", call->name);
	if (exists(c, id))
		carry_out(c, call, id, &plan, true);
	else
		not_there(call);
	plan_done(&plan);
}

static void versions_handle(struct cluster *c, struct call *call)
{
	if (exists(c, call->name)) {
		json_t *group = group_json(c, call->name, 0);
		cluster__answer(call, 200, json_pack("[O]", json_object_get(group, "version")));
		json_decref(group);
	} else {
		not_there(call);
	}
}

/* ---- routes ---- */

static void route_group(struct http_request *request)
{
	struct bytes name = request->params[0], dry = http_query(request, "dryRun");
	enum http_method method = request->method;
	bool read = method == HTTP_GET || method == HTTP_HEAD, put = method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH,
	     versions = read && name.data && (cluster__path_ends(&name, "/versions") || bytes_equal(name, BYTES("versions")));
	char id[130];
	if (versions && bytes_equal(name, BYTES("versions")))
		name.size = 0;
	struct call *call = cluster__rest_call(request, bytes_str(cluster__path_id(name, id, sizeof id)), put,
					       versions ? versions_handle
					       : read   ? get_handle
					       : put    ? put_handle
							: delete_handle);
	if (!call)
		return;
	call->action = method == HTTP_POST ? "POST" : NULL;
	call->partial = dry.size == 4 && strncasecmp((const char *)dry.data, "true", 4) == 0;
	cluster__call_send(call);
}

enum sm_err cluster__group_routes(struct cluster *c, struct http_server *server)
{
	static const char *const patterns[] = {"/v2/groups", "/v2/groups/*"};
	for (int i = 0; i < 2; i++) {
		const struct http_route route = {.methods = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_PATCH | HTTP_DELETE,
						 .pattern = patterns[i],
						 .handle = route_group,
						 .arg = c};
		enum sm_err err = http_server_route(server, &route);
		if (err)
			return err;
	}
	return SM_OK;
}
