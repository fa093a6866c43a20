/* What a running server tells of itself: /readyz, /healthz, /metrics, and the commands of the Unix socket. */
#include "store/snapshot.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "cli/platform.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- HTTP ---- */

static void ready(struct http_request *request)
{
	struct platform *p = request->arg;
	char why[200] = "ready";
	bool fine = false;
	if (!atomic_load(&p->ready))
		snprintf(why, sizeof why, "starting or stopping");
	else if (memory_tight())
		snprintf(why, sizeof why, "memory is beyond memory.budget: large requests wait");
	else
		fine = !ingest_is_behind(p->ingest, why, sizeof why - 1);
	strcat(why, "\n");
	http_reply(request, fine ? 200 : 503, "text/plain; charset=utf-8", bytes_str(why));
}

static void healthy(struct http_request *request)
{
	http_reply(request, 200, "text/plain; charset=utf-8", BYTES("ok\n"));
}

static void metrics(struct http_request *request)
{
	struct buf out;
	buf_init(&out);
	metrics_write(&out);
	http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&out));
	buf_done(&out);
}

enum sm_err platform_routes(struct platform *p, struct sm_error *reterr)
{
	const struct http_route routes[] = {
		{.methods = HTTP_GET, .pattern = "/readyz", .handle = ready, .arg = p, .outside = true},
		{.methods = HTTP_GET, .pattern = "/healthz", .handle = healthy, .arg = p, .outside = true},
		{.methods = HTTP_GET, .pattern = "/metrics", .handle = metrics, .arg = p},
	};
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		enum sm_err err = http_server_route(p->http, &routes[i]);
		if (err)
			return sm_fail(reterr, err, "route %s: %s", routes[i].pattern, sm_err_text(err));
	}
	return SM_OK;
}

/* ---- status ---- */

/* Of a real Kafka, which may have thousands of topics and is asked over the network, only those that are ours. */
static bool records_are_asked(struct platform *p, const char *topic)
{
	size_t size = strlen(topic);
	if (!p->outgrown)
		return true;
	for (uint32_t i = 0; i < p->topic_count; i++)
		if (strcmp(p->topics[i].name, topic) == 0 ||
		    (size > 5 && strcmp(topic + size - 5, ".dead") == 0 && strlen(p->topics[i].name) == size - 5 &&
		     memcmp(p->topics[i].name, topic, size - 5) == 0))
			return true;
	for (uint32_t i = 0; i < p->config->stream_count; i++)
		if (strcmp(p->config->streams[i].dead_letter, topic) == 0)
			return true;
	return false;
}

static json_t *topics_status(struct platform *p)
{
	json_t *list = json_array();
	const struct log_topics *topics = p->log->ops->topics(p->log);
	for (uint32_t i = 0; topics && i < topics->count; i++) {
		const struct log_topic *t = &topics->items[i];
		int64_t records = 0;
		bool asked = platform_log_answers(p) && records_are_asked(p, t->name);
		for (int32_t k = 0; asked && k < t->partitions; k++) {
			int64_t first, next;
			enum sm_err err = p->log->ops->offset_for(p->log, t->name, k, LOG_EARLIEST, &first, NULL);
			if (!err && !(err = p->log->ops->offset_for(p->log, t->name, k, LOG_LATEST, &next, NULL)))
				records += next - first;
			asked = err != SM_UNAVAILABLE && err != SM_TIMEOUT;
		}
		json_array_append_new(list, json_pack("{s:s s:i s:i s:o s:b s:I s:I}", "name", t->name, "partitions", (int)t->partitions,
						      "replicationFactor", (int)t->replication_factor, "records",
						      asked ? json_integer(records) : json_null(), "internal", t->internal, "appended",
						      (json_int_t)metric_get_labelled(METRIC_LOG_RECORDS, t->name), "bytes",
						      (json_int_t)metric_get_labelled(METRIC_LOG_BYTES, t->name)));
	}
	p->log->ops->topics_release(p->log, topics);
	return list;
}

static json_t *tables_status(struct platform *p)
{
	json_t *list = json_array();
	const struct store_schema *schema = p->store->ops->schema(p->store);
	for (uint32_t k = 0; schema && k < schema->keyspace_count; k++)
		for (uint32_t i = 0; i < schema->keyspaces[k].table_count; i++) {
			const struct store_table *t = schema->keyspaces[k].tables[i];
			json_array_append_new(list, json_pack("{s:s s:s s:i}", "keyspace", t->keyspace, "name", t->name, "columns",
							      (int)t->column_count));
		}
	p->store->ops->schema_release(p->store, schema);
	return list;
}

static json_t *latency(enum metric metric)
{
	return json_pack("{s:I s:I s:I}", "count", (json_int_t)metric_get(metric), "p50us", (json_int_t)metric_quantile_us(metric, 0.5),
			 "p99us", (json_int_t)metric_quantile_us(metric, 0.99));
}

static json_t *streams_status(struct platform *p)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < p->config->stream_count; i++) {
		const char *name = p->config->streams[i].name;
		json_array_append_new(list, json_pack("{s:s s:I s:I s:I s:I s:I}", "name", name, "records",
						      (json_int_t)metric_get_labelled(METRIC_STREAM_RECORDS, name), "duplicates",
						      (json_int_t)metric_get_labelled(METRIC_STREAM_DUPLICATES, name), "deadLetters",
						      (json_int_t)metric_get_labelled(METRIC_STREAM_DEAD_LETTERS, name), "batches",
						      (json_int_t)metric_get_labelled(METRIC_STREAM_BATCHES, name), "lag",
						      (json_int_t)metric_get_labelled(METRIC_STREAM_LAG, name)));
	}
	return list;
}

static json_t *listener_status(const struct config_listener *l, const char *name, uint16_t port)
{
	char address[ADDRESS_HOST_MAX + 20];
	bool tls = strcmp(l->tls, "yes") == 0;
	const char *protocol = config_is_cql(l) ? "cql" : config_is_http(l) ? "http" : "kafka";
	const char *login = config_is_kafka(l) ? l->sasl : strcmp(l->authenticator, "AllowAllAuthenticator") == 0 ? "" : l->authenticator;
	return json_pack("{s:s s:s s:s s:s s:b s:s s:s}", "name", name, "protocol", protocol, "address",
			 address_text(l->address, port, address, sizeof address), "advertised", l->advertise, "tls", (int)tls,
			 "clientCertificates", tls ? l->client_auth : "none", "login", login);
}

/* The first of Kafka and of CQL, then the sections [listener NAME]. */
static json_t *listeners_status(struct platform *p)
{
	const struct config *c = p->config;
	json_t *list = json_array();
	const struct config_listener kafka = config_first_listener(c), cql = config_first_cql_listener(c);
	uint16_t port;
	if (p->kafka)
		json_array_append_new(list, listener_status(&kafka, "kafka.port", kafka_server_port(p->kafka, 0)));
	if (p->cql)
		json_array_append_new(list, listener_status(&cql, "cql.port", cql_server_port(p->cql, 0)));
	for (uint32_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
		if (platform_listener_port(p, i, &port))
			json_array_append_new(list, listener_status(l, l->name, port));
	}
	return list;
}

json_t *platform_status(struct platform *p)
{
	json_t *status = json_object();
	json_object_set_new(status, "version", json_string(SMACK_VERSION));
	json_object_set_new(status, "pid", json_integer(getpid()));
	json_object_set_new(status, "uptimeMs", json_integer((json_int_t)((clock_monotonic_ns(&clock_system) - p->started_ns) / 1000000)));
	json_object_set_new(status, "readyAfterMs", json_real((double)(p->ready_ns - p->started_ns) / 1e6));
	json_object_set_new(status, "memoryBytes", json_integer((json_int_t)process_rss_bytes()));
	json_object_set_new(status, "cpuSeconds", json_real(process_cpu_seconds()));
	json_object_set_new(status, "url", json_string(p->url));
	json_object_set_new(status, "kafka", json_string(p->kafka_address));
	json_object_set_new(status, "cqlHost", json_string(p->cql_host));
	json_object_set_new(status, "cqlPort", json_integer(atoi(p->cql_port)));
	json_object_set_new(status, "data", json_string(p->config->data));
	json_object_set_new(status, "listeners", listeners_status(p));
	json_object_set_new(status, "ingest",
			    json_pack("{s:I s:I s:o}", "events", (json_int_t)metric_get(METRIC_INGEST_EVENTS), "invalid",
				      (json_int_t)metric_get(METRIC_INGEST_INVALID), "latency", latency(METRIC_INGEST_US)));
	json_object_set_new(status, "log",
			    json_pack("{s:s s:b s:I s:o}", "engine", p->log_shown, "answers", platform_log_answers(p), "syncs",
				      (json_int_t)metric_get(METRIC_LOG_SYNCS), "latency", latency(METRIC_LOG_SYNC_US)));
	json_object_set_new(status, "store",
			    json_pack("{s:s s:b s:I s:I s:o}", "engine", p->store_shown, "answers", platform_store_answers(p), "writes",
				      (json_int_t)metric_get(METRIC_STORE_WRITES), "rowsRead",
				      (json_int_t)metric_get(METRIC_STORE_ROWS_READ), "latency", latency(METRIC_STORE_SYNC_US)));
	json_object_set_new(status, "cql", latency(METRIC_CQL_US));
	json_object_set_new(status, "batch", latency(METRIC_STREAM_BATCH_US));
	json_object_set_new(status, "connections", json_integer(metric_get(METRIC_CONNECTIONS)));
	json_object_set_new(status, "streams", streams_status(p));
	json_object_set_new(status, "topics", topics_status(p));
	json_object_set_new(status, "tables", tables_status(p));
	json_object_set_new(status, "cluster", cluster_status(p->cluster));
	return status;
}

/* ---- the Unix socket ---- */

static enum sm_err command_status_json(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	json_t *status = platform_status(arg);
	json_write(status, answer);
	json_decref(status);
	return SM_OK;
}

static enum sm_err command_info(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	struct platform *p = arg;
	char pin[NET_TLS_PIN_MAX];
	platform_http_pin(p, pin);
	json_t *info = json_pack("{s:s s:s s:s s:s s:i s:i s:s}", "url", p->url, "pin", pin, "kafka", p->kafka_address, "cqlHost",
				 p->cql_host, "cqlPort", atoi(p->cql_port), "pid", (int)getpid(), "data", p->config->data);
	json_write(info, answer);
	json_decref(info);
	return SM_OK;
}

/* {"topic": name} -> the schema's document, or null. */
static enum sm_err command_topic_schema(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	struct platform *p = arg;
	json_t *json;
	const char *name;
	enum sm_err err = json_parse(request, &json, reterr);
	if (err)
		return err;
	if (!(err = json_get_string(json, "topic", "", &name, reterr))) {
		const char *text = "null";
		for (uint32_t i = 0; i < p->topic_count; i++)
			if (strcmp(p->topics[i].name, name) == 0 && p->topics[i].schema_text)
				text = p->topics[i].schema_text;
		if (strcmp(text, "null") != 0 || !schemas_document(p->schemas, name, answer))
			buf_append_str(answer, text);
	}
	json_decref(json);
	return err;
}

static enum sm_err embedded_only(struct platform *p, struct sm_error *reterr)
{
	return p->store_outgrown
		       ? sm_fail(reterr, SM_UNSUPPORTED, "%s keeps the tables: nodetool snapshot makes a snapshot there", p->store_shown)
		       : SM_OK;
}

/* {"keyspace": name, "dir": absolute path, "replace": bool} */
static enum sm_err snapshot_request(struct bytes request, json_t **ret_json, const char **ret_keyspace, const char **ret_dir,
				    struct sm_error *reterr)
{
	enum sm_err err = json_parse(request, ret_json, reterr);
	if (err)
		return err;
	if ((err = json_get_string(*ret_json, "keyspace", "", ret_keyspace, reterr)) ||
	    (err = json_get_string(*ret_json, "dir", "", ret_dir, reterr)))
		json_decref(*ret_json);
	return err;
}

static enum sm_err command_snapshot(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	struct platform *p = arg;
	json_t *json;
	const char *keyspace, *dir;
	enum sm_err err = embedded_only(p, reterr);
	if (err || (err = snapshot_request(request, &json, &keyspace, &dir, reterr)))
		return err;
	err = store_snapshot(p->store, keyspace, dir, reterr);
	buf_append_str(answer, "{}");
	json_decref(json);
	return err;
}

static enum sm_err command_snapshot_restore(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	struct platform *p = arg;
	struct store_restored done;
	json_t *json;
	const char *keyspace, *dir;
	enum sm_err err = embedded_only(p, reterr);
	if (err || (err = snapshot_request(request, &json, &keyspace, &dir, reterr)))
		return err;
	err = store_restore(p->store, keyspace, dir, json_is_true(json_object_get(json, "replace")), &done, reterr);
	if (!err)
		buf_printf(answer, "{\"tables\":%u,\"keys\":%llu,\"bytes\":%llu}", done.tables, (unsigned long long)done.keys,
			   (unsigned long long)done.bytes);
	json_decref(json);
	return err;
}

/* ---- the tree of actors ---- */

#define ACTORS_SHOWN_MAX 10000

static void append_actor(void *arg, const struct sm_actor_info *info)
{
	json_t *actor = json_object();
	json_object_set_new(actor, "path", json_string(info->path));
	json_object_set_new(actor, "depth", json_integer(info->depth));
	json_object_set_new(actor, "state", json_string(info->state));
	json_object_set_new(actor, "dispatcher", json_integer(info->dispatcher));
	json_object_set_new(actor, "mailbox", json_integer(info->mailbox));
	json_object_set_new(actor, "mailboxMax", json_integer(info->mailbox_max));
	json_object_set_new(actor, "processed", json_integer((json_int_t)info->processed));
	json_object_set_new(actor, "handlerMs", json_real((double)info->handler_ns / 1e6));
	json_object_set_new(actor, "restarts", json_integer(info->restarts));
	json_array_append_new(arg, actor);
}

static enum sm_err command_actors_json(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr)
{
	struct platform *p = arg;
	json_t *all = json_object(), *actors = json_array();
	uint32_t total = sm_actors_each(p->system, ACTORS_SHOWN_MAX, append_actor, actors);
	json_object_set_new(all, "total", json_integer(total));
	json_object_set_new(all, "deadLetters", json_integer((json_int_t)sm_dead_letters(p->system)));
	json_object_set_new(all, "actors", actors);
	json_write(all, answer);
	json_decref(all);
	return SM_OK;
}

const struct remote_command *platform_commands(struct platform *p)
{
	p->commands[0] = (struct remote_command){"info", command_info, p};
	p->commands[1] = (struct remote_command){"status", command_status_json, p};
	p->commands[2] = (struct remote_command){"topic_schema", command_topic_schema, p};
	p->commands[3] = (struct remote_command){"store_snapshot", command_snapshot, p};
	p->commands[4] = (struct remote_command){"store_restore", command_snapshot_restore, p};
	p->commands[5] = (struct remote_command){"actors", command_actors_json, p};
	return p->commands;
}
