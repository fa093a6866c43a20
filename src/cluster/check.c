/* Health and readiness checks of an app's tasks, as Marathon has them: a check that fails too often in a row kills its task, which is
 * then started anew; a readiness check is asked until it says ready once. Each runs on the pool, a bounded number at a time; its answer
 * comes back as a message that names the task, which may have gone meanwhile. */
#include "base/logging.h"
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>

struct task_check {
	const json_t *spec; /* of the task's document */
	bool readiness, under_way;
	bool good, answered; /* as of the last answers */
	int64_t next_ms, first_success_ms, last_success_ms, last_failure_ms;
	unsigned failures; /* in a row */
	char cause[200];
	int status; /* of the last response of a readiness check */
	char content_type[64], body[1024];
};
struct probe_call {
	struct sm_msg msg;
	struct sm_work work;
	struct cluster *cluster;
	struct probe probe;
	json_t *document; /* holds what the probe's texts lie in */
	char **env;
	char task[160], sandbox[PATH_MAX];
	unsigned check;
};

/* ---- documents ---- */

/* Marathon's defaults; in seconds. */
#define GRACE 300.0
#define INTERVAL 60.0
#define TIMEOUT 20.0
#define FAILURES_MAX 3.0
#define DELAY 15.0
#define READY_INTERVAL 30.0
#define READY_TIMEOUT 10.0

static double number(const json_t *spec, const char *name, double absent)
{
	const json_t *v = json_object_get(spec, name);
	return json_is_number(v) ? json_number_value(v) : absent;
}

static const char *text(const json_t *spec, const char *name)
{
	return json_string_value(json_object_get(spec, name));
}

static const char *protocol(const json_t *spec)
{
	const char *p = text(spec, "protocol");
	return p ? p : "HTTP";
}

static bool any_of(const char *value, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(value, *names) == 0)
			return true;
	return false;
}

static enum sm_err check_numbers(const json_t *spec, const char *what, struct sm_error *reterr)
{
	static const char *const names[] = {"gracePeriodSeconds",     "intervalSeconds", "timeoutSeconds",
					    "maxConsecutiveFailures", "delaySeconds",    NULL};
	for (const char *const *n = names; *n; n++) {
		const json_t *v = json_object_get(spec, *n);
		if (v && (!json_is_number(v) || json_number_value(v) < 0 || json_number_value(v) > 1e6))
			return sm_fail(reterr, SM_INVALID, "%s: \"%s\" must be a number from 0 on", what, *n);
	}
	return SM_OK;
}

static enum sm_err check_health(const json_t *document, const json_t *spec, struct sm_error *reterr)
{
	static const char *const protocols[] = {"HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP", NULL};
	if (!json_is_object(spec))
		return sm_fail(reterr, SM_INVALID, "\"healthChecks\": each is an object");
	if (!any_of(protocol(spec), protocols))
		return sm_fail(reterr, SM_INVALID,
			       "\"healthChecks\": protocol '%s': HTTP, HTTPS, TCP, COMMAND, MESOS_HTTP, MESOS_HTTPS, MESOS_TCP",
			       protocol(spec));
	if (strcmp(protocol(spec), "COMMAND") == 0) {
		if (!text(json_object_get(spec, "command"), "value"))
			return sm_fail(reterr, SM_INVALID, "\"healthChecks\": COMMAND needs \"command\": {\"value\": \"...\"}");
	} else if (!json_object_get(spec, "port") &&
		   number(spec, "portIndex", 0) >= (double)json_array_size(json_object_get(document, "portDefinitions"))) {
		return sm_fail(reterr, SM_INVALID, "\"healthChecks\": portIndex %g: the app has %zu ports", number(spec, "portIndex", 0),
			       json_array_size(json_object_get(document, "portDefinitions")));
	}
	return check_numbers(spec, "\"healthChecks\"", reterr);
}

static const json_t *named_port(const json_t *document, const char *name, unsigned *ret_index)
{
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(document, "portDefinitions"), i, item)
	{
		const char *called = text(item, "name");
		if (called && name && strcmp(called, name) == 0) {
			*ret_index = (unsigned)i;
			return item;
		}
	}
	return NULL;
}

static const char *ready_port(const json_t *spec)
{
	const char *name = text(spec, "portName");
	return name ? name : "http-api";
}

static enum sm_err check_readiness(const json_t *document, const json_t *spec, struct sm_error *reterr)
{
	unsigned index;
	if (!json_is_object(spec))
		return sm_fail(reterr, SM_INVALID, "\"readinessChecks\": each is an object");
	const char *p = protocol(spec);
	if (strcmp(p, "HTTP") != 0 && strcmp(p, "HTTPS") != 0)
		return sm_fail(reterr, SM_INVALID, "\"readinessChecks\": protocol '%s': HTTP or HTTPS", p);
	if (!named_port(document, ready_port(spec), &index))
		return sm_fail(reterr, SM_INVALID, "\"readinessChecks\": \"portDefinitions\" has no port named '%s'", ready_port(spec));
	if (number(spec, "timeoutSeconds", READY_TIMEOUT) >= number(spec, "intervalSeconds", READY_INTERVAL))
		return sm_fail(reterr, SM_INVALID, "\"readinessChecks\": timeoutSeconds must be less than intervalSeconds");
	return check_numbers(spec, "\"readinessChecks\"", reterr);
}

enum sm_err cluster__checks_check(const json_t *document, const char **ret_path, struct sm_error *reterr)
{
	static const struct {
		const char *member;
		size_t most;
		enum sm_err (*check)(const json_t *document, const json_t *spec, struct sm_error *reterr);
	} lists[] = {{"healthChecks", CLUSTER_CHECKS_MAX - 1, check_health}, {"readinessChecks", 1, check_readiness}};
	for (int k = 0; k < 2; k++) {
		const json_t *list = json_object_get(document, lists[k].member);
		size_t i;
		json_t *spec;
		*ret_path = lists[k].member;
		if (list && !json_is_null(list) && !json_is_array(list))
			return sm_fail(reterr, SM_INVALID, "\"%s\" must be a list", lists[k].member);
		if (json_array_size(list) > lists[k].most)
			return sm_fail(reterr, SM_INVALID, "\"%s\" has at most %zu", lists[k].member, lists[k].most);
		json_array_foreach((json_t *)(uintptr_t)list, i, spec)
		{
			enum sm_err err = lists[k].check(document, spec, reterr);
			if (err)
				return err;
		}
	}
	return SM_OK;
}

/* ---- a task's checks ---- */

static double seconds_between(const struct task_check *k)
{
	double s = number(k->spec, "intervalSeconds", k->readiness ? READY_INTERVAL : INTERVAL);
	return s < 1 ? 1 : s;
}

void cluster__checks_begin(struct cluster *c, struct cluster_task *t)
{
	const json_t *health = json_object_get(t->document, "healthChecks"), *ready = json_object_get(t->document, "readinessChecks");
	size_t count = json_array_size(health) + json_array_size(ready), i;
	json_t *spec;
	if (!t->app || !count || !(t->checks = calloc(count, sizeof *t->checks)))
		return;
	int64_t now = cluster__now_ms(c);
	json_array_foreach((json_t *)(uintptr_t)health, i, spec)
	{
		struct task_check *k = &t->checks[t->check_count++];
		k->spec = spec;
		k->next_ms = now + (int64_t)(number(spec, "delaySeconds", DELAY) * 1000);
	}
	json_array_foreach((json_t *)(uintptr_t)ready, i, spec)
	{
		struct task_check *k = &t->checks[t->check_count++];
		*k = (struct task_check){.spec = spec, .readiness = true, .next_ms = now};
	}
}

void cluster__checks_free(struct cluster_task *t)
{
	free(t->checks);
}

enum task_health cluster__task_health(const struct cluster_task *t)
{
	bool unknown = true;
	for (unsigned i = 0; i < t->check_count; i++) {
		const struct task_check *k = &t->checks[i];
		if (k->readiness)
			continue;
		if (k->answered && !k->good)
			return HEALTH_BAD;
		if (!k->answered)
			return HEALTH_UNKNOWN;
		unknown = false;
	}
	return unknown ? HEALTH_UNKNOWN : HEALTH_GOOD;
}

bool cluster__task_ready(const struct cluster_task *t)
{
	if (t->staging || t->state != TASK_RUNNING)
		return false;
	for (unsigned i = 0; i < t->check_count; i++)
		if (!t->checks[i].good)
			return false;
	return true;
}

/* ---- asking ---- */

static void call_free(struct probe_call *call)
{
	for (char **e = call->env; e && *e; e++)
		free(*e);
	free(call->env);
	json_decref(call->document);
	free(call);
}

static void call_dropped(struct sm_msg *msg)
{
	call_free((struct probe_call *)msg);
}
const struct sm_msg_type cluster__probe_type = {"probe", call_dropped};

static void run_probe(struct sm_work *work)
{
	struct probe_call *call = (struct probe_call *)((char *)work - offsetof(struct probe_call, work));
	cluster__probe(&call->probe);
}

static uint16_t port_of(const struct cluster_task *t, const struct task_check *k)
{
	unsigned index = 0;
	if (k->readiness) {
		named_port(t->document, ready_port(k->spec), &index);
	} else {
		double port = number(k->spec, "port", 0);
		if (port > 0 && port < 65536)
			return (uint16_t)port;
		index = (unsigned)number(k->spec, "portIndex", 0);
	}
	return index < t->port_count ? t->ports[index] : 0;
}

static void fill(struct probe_call *call, const struct cluster_task *t, const struct task_check *k)
{
	const char *p = protocol(k->spec);
	struct probe *probe = &call->probe;
	double timeout = number(k->spec, "timeoutSeconds", k->readiness ? READY_TIMEOUT : TIMEOUT);
	probe->kind = strcmp(p, "COMMAND") == 0 ? PROBE_COMMAND : strstr(p, "TCP") ? PROBE_TCP : PROBE_HTTP;
	probe->https = strstr(p, "HTTPS") != NULL;
	probe->port = port_of(t, k);
	probe->path = text(k->spec, "path");
	probe->command = text(json_object_get(k->spec, "command"), "value");
	probe->timeout_ms = timeout > 0 ? (uint32_t)(timeout * 1000) : 1000;
	snprintf(call->task, sizeof call->task, "%s", t->id);
	snprintf(call->sandbox, sizeof call->sandbox, "%s", t->sandbox);
	probe->sandbox = call->sandbox;
	call->document = json_incref(t->document);
}

/* False: the pool is full. */
static bool ask(struct cluster *c, struct cluster_task *t, unsigned index)
{
	struct task_check *k = &t->checks[index];
	struct probe_call *call = calloc(1, sizeof *call);
	if (!call)
		return false;
	call->cluster = c;
	call->check = index;
	fill(call, t, k);
	if (call->probe.kind == PROBE_COMMAND && !(call->env = cluster__process_env(c->env, t->env))) {
		call_free(call);
		return false;
	}
	call->probe.env = call->env;
	call->msg.type = &cluster__probe_type;
	call->work.run = run_probe;
	call->work.reply_to = c->ref;
	call->work.done_msg = &call->msg;
	if (sm_pool_run(c->options.system, &call->work)) {
		call_free(call);
		return false;
	}
	c->probes++;
	k->under_way = true;
	return true;
}

int64_t cluster__checks_look(struct cluster *c, int64_t now_ms)
{
	int64_t next = INT64_MAX;
	for (struct cluster_task *t = c->tasks; t; t = t->next) {
		for (unsigned i = 0; i < t->check_count && t->state == TASK_RUNNING && !t->has_ended; i++) {
			struct task_check *k = &t->checks[i];
			if (k->under_way || (k->readiness && k->good))
				continue;
			if (k->next_ms <= now_ms && c->probes < CLUSTER_PROBES_MAX && ask(c, t, i))
				continue;
			int64_t wait = k->next_ms > now_ms ? k->next_ms - now_ms : 100;
			next = wait < next ? wait : next;
		}
	}
	return next;
}

/* ---- answers ---- */

static bool is_success(const struct task_check *k, const struct probe *p)
{
	if (p->cause[0] || p->kind != PROBE_HTTP)
		return !p->cause[0];
	const json_t *good = json_object_get(k->spec, "httpStatusCodesForReady");
	size_t i;
	json_t *code;
	if (!k->readiness)
		return p->status >= 200 && p->status < 400;
	if (!json_array_size(good))
		return p->status == 200;
	json_array_foreach((json_t *)(uintptr_t)good, i, code) if (json_integer_value(code) == p->status) return true;
	return false;
}

static void take_answer(struct task_check *k, const struct probe *p, int64_t now_ms)
{
	k->under_way = false;
	k->answered = true;
	k->good = is_success(k, p);
	k->status = p->status;
	memcpy(k->content_type, p->content_type, sizeof k->content_type);
	memcpy(k->body, p->body, sizeof k->body);
	k->next_ms = now_ms + (int64_t)(seconds_between(k) * 1000);
	if (k->good) {
		k->failures = 0;
		k->last_success_ms = now_ms;
		if (!k->first_success_ms)
			k->first_success_ms = now_ms;
		return;
	}
	k->last_failure_ms = now_ms;
	if (p->cause[0])
		snprintf(k->cause, sizeof k->cause, "%s", p->cause);
	else
		snprintf(k->cause, sizeof k->cause, "status %d", p->status);
}

/* A failure while the task has its grace and was never healthy counts for nothing. */
static void count_failure(struct cluster *c, struct cluster_task *t, struct task_check *k, int64_t now_ms)
{
	double grace = number(k->spec, "gracePeriodSeconds", GRACE), most = number(k->spec, "maxConsecutiveFailures", FAILURES_MAX);
	if (!k->first_success_ms && (double)(now_ms - t->started_ms) < grace * 1000) {
		k->answered = false;
		return;
	}
	k->failures++;
	if (most <= 0 || k->failures < most || !t->app)
		return;
	sm_fail(&t->app->last_error, SM_JOB_FAILED, "killed: its health check failed %u times: %s", k->failures, k->cause);
	t->app->last_error_ms = now_ms;
	LOG_WARN("cluster", "app %s, task %s: %s", t->app->id, t->id, t->app->last_error.text);
	t->app->running--;
	t->app->restarts++;
	cluster__task_stop(c, t);
}

void cluster__probe_done(struct cluster *c, struct sm_msg *msg)
{
	struct probe_call *call = (struct probe_call *)msg;
	int64_t now = cluster__now_ms(c);
	c->probes--;
	for (struct cluster_task *t = c->tasks; t; t = t->next) {
		if (strcmp(t->id, call->task) != 0)
			continue;
		struct task_check *k = &t->checks[call->check];
		take_answer(k, &call->probe, now);
		if (!k->good && !k->readiness && t->state == TASK_RUNNING)
			count_failure(c, t, k, now);
		break;
	}
	call_free(call);
}

/* ---- what is shown ---- */

static void set_time(json_t *j, const char *name, int64_t ms)
{
	char when[32];
	if (ms)
		civil_format(ms, when);
	json_object_set_new(j, name, ms ? json_string(when) : json_null());
}

json_t *cluster__health_json(const struct cluster_task *t)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < t->check_count; i++) {
		const struct task_check *k = &t->checks[i];
		if (k->readiness || !(k->first_success_ms || k->last_failure_ms))
			continue;
		json_t *j = json_pack("{s:s s:b s:i}", "taskId", t->id, "alive", (int)k->good, "consecutiveFailures", (int)k->failures);
		set_time(j, "firstSuccess", k->first_success_ms);
		set_time(j, "lastSuccess", k->last_success_ms);
		set_time(j, "lastFailure", k->last_failure_ms);
		json_object_set_new(j, "lastFailureCause", k->last_failure_ms ? json_string(k->cause) : json_null());
		json_array_append_new(list, j);
	}
	return list;
}

json_t *cluster__readiness_json(const struct cluster_task *t)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < t->check_count; i++) {
		const struct task_check *k = &t->checks[i];
		if (!k->readiness)
			continue;
		const char *name = text(k->spec, "name");
		json_t *j = json_pack("{s:s s:s s:b}", "name", name ? name : "readinessCheck", "taskId", t->id, "ready", (int)k->good);
		if (k->status && json_is_true(json_object_get(k->spec, "preserveLastResponse"))) {
			/* A body that is no UTF-8 is left out. */
			json_t *last = json_pack("{s:i}", "status", k->status);
			json_object_set_new(last, "contentType", json_string(k->content_type));
			json_object_set_new(last, "body", json_string(k->body));
			json_object_set_new(j, "lastResponse", last);
		}
		json_array_append_new(list, j);
	}
	return list;
}
