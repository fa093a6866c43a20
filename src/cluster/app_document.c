/* The documents of apps: what is wrong with one, and its defaults. */
#include "cluster/cluster_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_S 1.0
#define BACKOFF_FACTOR 1.15
#define LAUNCH_DELAY_MAX_S 300.0

/* path: the member that is wrong, as Marathon's error names it: "/cpus". */
enum sm_err cluster__id_check(const char *id, struct sm_error *reterr)
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

/* What changes what runs and is not there is refused; what only places a task on one of many machines is kept and has no effect. */
static enum sm_err check_unsupported(const json_t *d, const char **path, struct sm_error *reterr)
{
	static const char *const names[] = {"container", "residency", "secrets", "args", NULL};
	for (const char *const *n = names; *n; n++) {
		const json_t *v = json_object_get(d, *n);
		if (json_is_null(v) || !v || (json_is_array(v) && !json_array_size(v)) || (json_is_object(v) && !json_object_size(v)))
			continue;
		*path = *n;
		return sm_fail(reterr, SM_UNSUPPORTED, "\"%s\" is not there: leave it out", *n);
	}
	return SM_OK;
}

static bool given(const json_t *d, const char *name)
{
	const json_t *v = json_object_get(d, name);
	return v && !json_is_null(v);
}

static enum sm_err check_ports(const json_t *d, const char **path, struct sm_error *reterr)
{
	const json_t *list = json_object_get(d, "portDefinitions");
	size_t i, k;
	json_t *a, *b;
	*path = "portDefinitions";
	if (given(d, "portDefinitions") && !json_is_array(list))
		return sm_fail(reterr, SM_INVALID, "\"portDefinitions\" must be a list");
	if (json_array_size(list) && json_array_size(json_object_get(d, "ports")))
		return sm_fail(reterr, SM_INVALID, "give either \"ports\" or \"portDefinitions\"");
	json_array_foreach((json_t *)(uintptr_t)list, i, a)
	{
		json_int_t port = json_integer_value(json_object_get(a, "port"));
		if (!json_is_object(a) || port < 0 || port > 65535)
			return sm_fail(reterr, SM_INVALID, "\"portDefinitions\": each is an object with a \"port\" from 0 to 65535");
		json_array_foreach((json_t *)(uintptr_t)list, k, b)
		{
			const json_t *name = json_object_get(a, "name");
			if (k < i && ((port && port == json_integer_value(json_object_get(b, "port"))) ||
				      (name && json_equal(name, json_object_get(b, "name")))))
				return sm_fail(reterr, SM_INVALID, "\"portDefinitions\": ports and names must differ from each other");
		}
	}
	return SM_OK;
}

static enum sm_err check_constraints(const json_t *d, const char **path, struct sm_error *reterr)
{
	static const char *const operators[] = {"UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS", NULL};
	const json_t *list = json_object_get(d, "constraints");
	size_t i;
	json_t *item;
	*path = "constraints";
	if (given(d, "constraints") && !json_is_array(list))
		return sm_fail(reterr, SM_INVALID, "\"constraints\" must be a list");
	json_array_foreach((json_t *)(uintptr_t)list, i, item)
	{
		const char *operator= json_string_value(json_array_get(item, 1));
		const char *const *o = operators;
		while (operator&& * o && strcmp(*o, operator) != 0)
			o++;
		if (!operator|| !* o || !json_is_string(json_array_get(item, 0)))
			return sm_fail(reterr, SM_INVALID,
				       "\"constraints\": each is [attribute, operator, value?] with UNIQUE, CLUSTER, GROUP_BY, LIKE, "
				       "UNLIKE, MAX_PER or IS");
	}
	return SM_OK;
}

static enum sm_err check_strategies(const json_t *d, const char **path, struct sm_error *reterr)
{
	static const char *const shares[] = {"minimumHealthCapacity", "maximumOverCapacity", NULL};
	const json_t *upgrade = json_object_get(d, "upgradeStrategy"), *unreachable = json_object_get(d, "unreachableStrategy");
	*path = "upgradeStrategy";
	if (given(d, "upgradeStrategy") && !json_is_object(upgrade))
		return sm_fail(reterr, SM_INVALID, "\"upgradeStrategy\" must be an object");
	for (const char *const *s = shares; *s; s++) {
		double share = json_number_value(json_object_get(upgrade, *s));
		if (share < 0 || share > 1)
			return sm_fail(reterr, SM_INVALID, "\"upgradeStrategy\": %s must lie between 0 and 1", *s);
	}
	*path = "unreachableStrategy";
	if (json_is_object(unreachable) && json_number_value(json_object_get(unreachable, "inactiveAfterSeconds")) >
						   json_number_value(json_object_get(unreachable, "expungeAfterSeconds")))
		return sm_fail(reterr, SM_INVALID, "\"unreachableStrategy\": inactiveAfterSeconds must not exceed expungeAfterSeconds");
	return SM_OK;
}

enum sm_err cluster__dependencies_check(const json_t *d, struct sm_error *reterr)
{
	const json_t *list = json_object_get(d, "dependencies");
	size_t i;
	json_t *item;
	if (given(d, "dependencies") && !json_is_array(list))
		return sm_fail(reterr, SM_INVALID, "\"dependencies\" must be a list of ids");
	json_array_foreach((json_t *)(uintptr_t)list, i, item) if (!json_is_string(item)) return sm_fail(
		reterr, SM_INVALID, "\"dependencies\" must be ids of apps or groups");
	return SM_OK;
}

static enum sm_err check_user(const json_t *d, struct sm_error *reterr)
{
	const json_t *user = json_object_get(d, "user");
	return !given(d, "user") || json_is_string(user) ? SM_OK : sm_fail(reterr, SM_INVALID, "\"user\" must be the name of a user");
}

static enum sm_err check_members(const json_t *d, const char **path, struct sm_error *reterr)
{
	enum sm_err err;
	if ((err = check_unsupported(d, path, reterr)) || (err = check_ports(d, path, reterr)) ||
	    (err = check_constraints(d, path, reterr)) || (err = check_strategies(d, path, reterr)) ||
	    (err = cluster__checks_check(d, path, reterr)))
		return err;
	*path = "fetch";
	if ((err = cluster__fetch_check(d, reterr)))
		return err;
	*path = "user";
	if ((err = check_user(d, reterr)))
		return err;
	*path = "dependencies";
	return cluster__dependencies_check(d, reterr);
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
		"version",        "versionInfo", "tasks",           "tasksRunning", "tasksStaged",           "tasksHealthy",
		"tasksUnhealthy", "deployments", "lastTaskFailure", "taskStats",    "readinessCheckResults", NULL};
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
	if ((err = cluster__id_check(absolute, reterr)))
		return err;
	*ret_path = "cmd";
	if ((err = json_get_string(document, "cmd", NULL, &cmd, reterr)) || (err = check_command(document, cmd, reterr)))
		return err;
	*ret_path = "env";
	if ((err = check_env(json_object_get(document, "env"), reterr)) || (err = check_numbers(document, ret_path, reterr)) ||
	    (err = check_members(document, ret_path, reterr)))
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
