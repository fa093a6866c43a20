#include "base/json.h"
#include "cli/command.h"
#include <stdio.h>

static long long number(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);
	return json_is_integer(v) ? (long long)json_integer_value(v) : (long long)json_number_value(v);
}

static const char *text(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));
	return s ? s : "";
}

static void print_rows(const json_t *list, const char *const *names, const char *const *headings, unsigned count)
{
	if (!json_array_size(list))
		return;
	struct text_table *table = text_table_new(count);
	size_t i;
	const json_t *item;
	for (unsigned c = 0; c < count; c++)
		text_table_cell(table, headings[c], false);
	json_array_foreach((json_t *)(uintptr_t)list, i, item)
	{
		for (unsigned c = 0; c < count; c++) {
			const json_t *v = json_object_get(item, names[c]);
			char shown[64];
			if (json_is_string(v)) {
				text_table_cell(table, json_string_value(v), false);
				continue;
			}
			if (json_is_real(v))
				snprintf(shown, sizeof shown, "%.3f", json_real_value(v));
			else
				snprintf(shown, sizeof shown, "%s%lld", "", json_is_null(v) ? 0 : number(item, names[c]));
			text_table_cell(table, v && !json_is_null(v) ? shown : "-", true);
		}
	}
	text_table_print(table, stdout);
	text_table_free(table);
	putchar('\n');
}

static void print_replication(const json_t *topics)
{
	size_t i, count = 0;
	const json_t *topic;
	json_array_foreach((json_t *)(uintptr_t)topics, i, topic) count += number(topic, "replicationFactor") > 1;
	if (count)
		printf("%zu of the topics ask for a replication factor above 1: there is one copy of each\n\n", count);
}

/* The first listener of each protocol is in the heading; as long as there are no others and nobody logs in, it says all. */
static void print_listeners(const json_t *listeners)
{
	bool plain = true;
	size_t i;
	json_t *l;
	json_array_foreach((json_t *)(uintptr_t)listeners, i, l)
	{
		bool tls = json_is_true(json_object_get(l, "tls"));
		bool asked = strcmp(text(l, "clientCertificates"), "none") != 0;
		plain &= strcmp(text(l, "name"), "kafka.port") == 0 || strcmp(text(l, "name"), "cql.port") == 0;
		plain &= !tls && !*text(l, "login") && !*text(l, "advertised");
		json_object_set_new(l, "encrypted", json_string(tls ? "TLS" : "no"));
		if (asked)
			json_object_set_new(l, "encrypted", json_sprintf("TLS, client certificate %s", text(l, "clientCertificates")));
		if (!*text(l, "login"))
			json_object_set_new(l, "login", json_string("no"));
		if (!*text(l, "advertised"))
			json_object_set_new(l, "advertised", json_string("-"));
	}
	if (!plain)
		print_rows(listeners, (const char *const[]){"name", "protocol", "address", "advertised", "encrypted", "login"},
			   (const char *const[]){"listener", "protocol", "address", "clients are told", "encrypted", "login"}, 6);
}

/* Where another system keeps what is the log's or the store's. */
static bool print_engine(const json_t *s, const char *which, const char *what, const char *port)
{
	const json_t *engine = json_object_get(s, which);
	bool embedded = strcmp(text(engine, "engine"), "embedded") == 0;
	if (!embedded)
		printf("The %s are those of %s%s; %s is not served here.\n\n", what, text(engine, "engine"),
		       json_is_false(json_object_get(engine, "answers")) ? ", WHICH DOES NOT ANSWER" : "", port);
	return embedded;
}

static void print_status(const json_t *s)
{
	printf("smack %s, pid %lld, up %.1f s, %.1f MiB, %.2f s of CPU\nhttp %s  kafka %s  cql %s:%lld  data %s\n\n", text(s, "version"),
	       number(s, "pid"), (double)number(s, "uptimeMs") / 1000, (double)number(s, "memoryBytes") / 1048576,
	       json_number_value(json_object_get(s, "cpuSeconds")), text(s, "url"), text(s, "kafka"), text(s, "cqlHost"),
	       number(s, "cqlPort"), text(s, "data"));
	bool embedded = print_engine(s, "log", "topics", "Kafka's port");
	(void)print_engine(s, "store", "tables", "CQL's port");
	print_listeners(json_object_get(s, "listeners"));
	const json_t *ingest = json_object_get(s, "ingest"), *agent = json_object_get(json_object_get(s, "cluster"), "agent");
	printf("ingest: %lld events, %lld refused\nagent: %.1f of %.1f CPUs, %.0f of %.0f MiB in use\n\n", number(ingest, "events"),
	       number(ingest, "invalid"), json_number_value(json_object_get(agent, "cpusUsed")),
	       json_number_value(json_object_get(agent, "cpus")), json_number_value(json_object_get(agent, "memUsed")),
	       json_number_value(json_object_get(agent, "mem")));
	const json_t *cluster = json_object_get(s, "cluster");
	print_rows(json_object_get(s, "topics"), (const char *const[]){"name", "partitions", "records"},
		   (const char *const[]){"topic", "partitions", "records"}, 3);
	if (embedded)
		print_replication(json_object_get(s, "topics"));
	print_rows(json_object_get(s, "streams"), (const char *const[]){"name", "records", "duplicates", "deadLetters", "batches", "lag"},
		   (const char *const[]){"stream", "records", "duplicates", "dead letters", "batches", "lag"}, 6);
	print_rows(json_object_get(cluster, "apps"), (const char *const[]){"id", "instances", "running", "restarts"},
		   (const char *const[]){"app", "instances", "running", "restarts"}, 4);
	print_rows(json_object_get(cluster, "jobs"), (const char *const[]){"name", "state", "successCount", "errorCount"},
		   (const char *const[]){"job", "state", "succeeded", "failed"}, 4);
}

int command_status(int argc, char **argv)
{
	return command_show(argc, argv, "status", "What a running server does: addresses, memory, topics, streams, apps and jobs.",
			    print_status);
}
