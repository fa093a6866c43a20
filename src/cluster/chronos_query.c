/* What Chronos tells about its jobs besides their documents: search, the graph of who runs after whom, how long runs took. */
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- search ---- */

static bool has(const json_t *document, const char *member, const char *part)
{
	const char *text = json_string_value(json_object_get(document, member));
	return text && strcasestr(text, part);
}

static bool matches(const json_t *document, const json_t *query)
{
	const char *name = json_string_value(json_object_get(query, "name")),
		   *command = json_string_value(json_object_get(query, "command")), *any = json_string_value(json_object_get(query, "any"));
	return (!name || has(document, "name", name)) && (!command || has(document, "command", command)) &&
	       (!any || has(document, "name", any) || has(document, "command", any));
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct job *const *)a)->name, (*(struct job *const *)b)->name);
}

/* All jobs by name; malloc'ed. NULL: no memory. */
static struct job **sorted(const struct cluster *c)
{
	struct job **jobs = calloc(c->jobs.count + 1, sizeof *jobs);
	size_t pos = 0, n = 0;
	void *item;
	while (jobs && map_next(&c->jobs, &pos, NULL, &item))
		jobs[n++] = item;
	if (jobs)
		qsort(jobs, n, sizeof *jobs, by_name);
	return jobs;
}

static void search_handle(struct cluster *c, struct call *call)
{
	json_int_t offset = json_integer_value(json_object_get(call->body, "offset")),
		   limit = json_integer_value(json_object_get(call->body, "limit"));
	json_t *found = json_array();
	struct job **jobs = sorted(c);
	for (struct job **j = jobs; jobs && *j; j++)
		if (matches((*j)->document, call->body) && offset-- <= 0 && (!limit || (json_int_t)json_array_size(found) < limit))
			json_array_append_new(found, cluster__job_json(*j));
	free(jobs);
	cluster__answer(call, 200, found);
}

static void take(json_t *query, struct http_request *request, const char *name, bool number)
{
	struct bytes value = http_query(request, name);
	char digits[20];
	if (!value.size)
		return;
	snprintf(digits, sizeof digits, "%.*s", (int)(value.size < 19 ? value.size : 19), (const char *)value.data);
	json_object_set_new(query, name, number ? json_integer(atoll(digits)) : json_stringn((const char *)value.data, value.size));
}

static void route_search(struct http_request *request)
{
	struct call *call = cluster__rest_call(request, (struct bytes){0}, false, search_handle);
	if (!call)
		return;
	call->body = json_object();
	take(call->body, request, "name", false);
	take(call->body, request, "command", false);
	take(call->body, request, "any", false);
	take(call->body, request, "limit", true);
	take(call->body, request, "offset", true);
	cluster__call_send(call);
}

/* ---- the graph ---- */

const char *cluster__job_last(const struct job *j)
{
	return !j->last_success_ms && !j->last_error_ms ? "fresh" : j->last_error_ms > j->last_success_ms ? "failure" : "success";
}

static void put(struct buf *out, const char *format, const char *a, const char *b, const char *c)
{
	char line[512];
	int n = snprintf(line, sizeof line, format, a, b, c);
	buf_append(out, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

/* csv: "node,NAME,success|failure|fresh,STATE" and "link,PARENT,CHILD". */
static void graph_handle(struct cluster *c, struct call *call)
{
	bool dot = strcmp(call->name, "dot") == 0;
	struct job **jobs = sorted(c);
	struct buf out;
	buf_init(&out);
	if (dot)
		put(&out, "digraph G {\n%s%s%s", "", "", "");
	for (struct job **j = jobs; jobs && *j; j++)
		put(&out, dot ? "\"%s\" [label=\"%s\"]\n%.0s" : "node,%s,%s,%s\n", (*j)->name, dot ? (*j)->name : cluster__job_last(*j),
		    (*j)->running ? "running" : "idle");
	for (struct job **j = jobs; jobs && *j; j++) {
		const char *parent;
		json_t *count;
		json_object_foreach((*j)->edges, parent, count)
			put(&out, dot ? "\"%s\" -> \"%s\"%s\n" : "link,%s,%s%s\n", parent, (*j)->name, "");
	}
	if (dot)
		put(&out, "}\n%s%s%s", "", "", "");
	free(jobs);
	buf_append(&out, "", 1);
	call->text = out.failed ? NULL : (char *)out.data;
	if (out.failed)
		buf_done(&out);
	cluster__answer(call, 200, NULL);
}

static void route_graph(struct http_request *request)
{
	struct bytes kind = request->params[0];
	if (!bytes_equal(kind, BYTES("dot")) && !bytes_equal(kind, BYTES("csv"))) {
		struct sm_error error;
		sm_fail(&error, SM_NOT_FOUND, "the graph is at graph/dot and graph/csv");
		http_reply_error(request, &error);
		return;
	}
	struct call *call = cluster__rest_call(request, kind, false, graph_handle);
	if (call)
		cluster__call_send(call);
}

/* ---- how long runs took ---- */

void cluster__job_took(struct job *j, int64_t ms)
{
	if (!j->took_ms)
		j->took_ms = json_array();
	json_array_append_new(j->took_ms, json_integer(ms < 0 ? 0 : ms));
	if (json_array_size(j->took_ms) > CLUSTER_RUNS_KEPT)
		json_array_remove(j->took_ms, 0);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* Seconds of the last runs, shortest first. */
static size_t times_of(const struct job *j, int64_t out[CLUSTER_RUNS_KEPT])
{
	size_t n = json_array_size(j->took_ms);
	for (size_t i = 0; i < n; i++)
		out[i] = json_integer_value(json_array_get(j->took_ms, i));
	qsort(out, n, sizeof *out, by_value);
	return n;
}

static double seconds_at(const int64_t *times, size_t n, double share)
{
	size_t at = n ? (size_t)(share * (double)(n - 1) + 0.5) : 0;
	return n ? (double)times[at] / 1000 : 0;
}

static double mean(const int64_t *times, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += (double)times[i] / 1000;
	return n ? sum / (double)n : 0;
}

static const struct {
	const char *name;
	double share; /* below 0: the mean */
} statistics[] = {{"99thPercentile", 0.99}, {"98thPercentile", 0.98}, {"95thPercentile", 0.95},
		  {"75thPercentile", 0.75}, {"median", 0.5},          {"mean", -1}};
#define STATISTICS (sizeof statistics / sizeof *statistics)

static void stat_handle(struct cluster *c, struct call *call)
{
	const struct job *j = map_get(&c->jobs, bytes_str(call->name));
	int64_t times[CLUSTER_RUNS_KEPT];
	if (!j) {
		sm_fail(&call->error, SM_INVALID, "Job '%s' not found", call->name);
		cluster__answer_error(call);
		return;
	}
	size_t n = times_of(j, times);
	json_t *answer = json_pack("{s:I}", "count", (json_int_t)n);
	for (size_t i = 0; i < STATISTICS; i++)
		json_object_set_new(answer, statistics[i].name,
				    json_real(statistics[i].share < 0 ? mean(times, n) : seconds_at(times, n, statistics[i].share)));
	cluster__answer(call, 200, answer);
}

static void stats_handle(struct cluster *c, struct call *call)
{
	size_t which = 0;
	while (which < STATISTICS && strcmp(statistics[which].name, call->name) != 0)
		which++;
	if (which == STATISTICS) {
		sm_fail(&call->error, SM_NOT_FOUND,
			"stats/%s: there are 99thPercentile, 98thPercentile, 95thPercentile, 75thPercentile, median, mean", call->name);
		cluster__answer_error(call);
		return;
	}
	json_t *list = json_array();
	struct job **jobs = sorted(c);
	for (struct job **j = jobs; jobs && *j; j++) {
		int64_t times[CLUSTER_RUNS_KEPT];
		size_t n = times_of(*j, times);
		double value = statistics[which].share < 0 ? mean(times, n) : seconds_at(times, n, statistics[which].share);
		json_array_append_new(list, json_pack("{s:s s:f}", "jobNameLabel", (*j)->name, "time", value));
	}
	free(jobs);
	cluster__answer(call, 200, list);
}

static void route_named(struct http_request *request, void (*handle)(struct cluster *, struct call *))
{
	struct call *call = cluster__rest_call(request, request->params[0], false, handle);
	if (call)
		cluster__call_send(call);
}

static void route_stat(struct http_request *request)
{
	route_named(request, stat_handle);
}

static void route_stats(struct http_request *request)
{
	route_named(request, stats_handle);
}

enum sm_err cluster__chronos_query_routes(struct cluster *c, struct http_server *server)
{
	const struct http_route routes[] = {
		{.methods = HTTP_GET, .pattern = "/jobs/search", .handle = route_search},
		{.methods = HTTP_GET, .pattern = "/graph/{kind}", .handle = route_graph},
		{.methods = HTTP_GET, .pattern = "/job/stat/{name}", .handle = route_stat},
		{.methods = HTTP_GET, .pattern = "/stats/{which}", .handle = route_stats},
	};
	return cluster__chronos_add(c, server, routes, sizeof routes / sizeof *routes);
}
