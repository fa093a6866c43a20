#include "backup/backup.h"
#include "base/json.h"
#include "cli/command.h"
#include <stdio.h>
#include <stdlib.h>

struct arguments {
	const char *data, *topic, *time_field, *table, *place, *schema;
};
enum { KEY_TIME = 256, KEY_SCHEMA, KEY_TABLE };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'd': a->data = arg; break;
	case 't': a->topic = arg; break;
	case KEY_TABLE: a->table = arg; break;
	case KEY_TIME: a->time_field = arg; break;
	case KEY_SCHEMA: a->schema = arg; break;
	case ARGP_KEY_ARG:
		if (a->place)
			argp_error(state, "one directory or pattern at a time (put a pattern into quotes)");
		else
			a->place = arg;
		break;
	case ARGP_KEY_END:
		if (!a->place || !(a->topic || a->schema))
			argp_error(state, "name the directory, and the topic that the events are of (--topic)");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* The schema: of a file, or the one that the server has for the topic. */
static enum sm_err get_schema(struct sm_session *session, const char *file, const char *topic, struct schema **ret_schema,
			      struct sm_error *reterr)
{
	struct buf request, text;
	buf_init(&request);
	buf_init(&text);
	enum sm_err err;
	if (file) {
		err = command_text(NULL, file, &text, reterr);
	} else {
		buf_append_str(&request, "{\"topic\":");
		buf_json_string(&request, bytes_str(topic));
		buf_append_str(&request, "}");
		err = remote_call(session, "topic_schema", buf_bytes(&request), &text, reterr);
		if (!err && bytes_equal(buf_bytes(&text), BYTES("null")))
			err = sm_fail(reterr, SM_NOT_FOUND, "the server has no schema for topic '%s': name a file with --schema", topic);
	}
	if (!err)
		err = schema_compile(buf_bytes(&text), ret_schema, reterr);
	buf_done(&request);
	buf_done(&text);
	return err;
}

int command_backup(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_DATA,
		{"topic", 't', "TOPIC", 0, "whose events", 0},
		{"time", KEY_TIME, "FIELD", 0, "field with the time of an event, in ms since 1970 or as date-time (default: ts)", 0},
		{"schema", KEY_SCHEMA, "FILE", 0, "JSON Schema of the events (default: the one that the server has for the topic)", 0},
		{0},
	};
	static const struct argp argp = {options,
					 parse,
					 "--topic TOPIC DIR",
					 "Archive a topic's events as DIR/YYYY/MM/DD.gz (gzip NDJSON), by the day of each event in UTC.",
					 NULL,
					 NULL,
					 NULL};
	struct arguments a = {.time_field = "ts"};
	command_parse(&argp, argc, argv, &a);
	struct sm_error error = {0};
	struct sm_session *session = NULL;
	struct schema *schema = NULL;
	struct backup_archive_stats stats;
	enum sm_err err = sm_connect(a.data, &session, &error);
	if (!err)
		err = get_schema(session, a.schema, a.topic, &schema, &error);
	if (!err) {
		struct backup_archive_options archive = {
			.log = sm_session_log(session), .topic = a.topic, .schema = schema, .time_field = a.time_field, .dir = a.place};
		err = backup_archive(&archive, &stats, &error);
	}
	if (!err)
		printf("%llu events in %u files below %s; %llu records left out because they do not fit the schema\n",
		       (unsigned long long)stats.events, stats.files, a.place, (unsigned long long)stats.bad);
	schema_free(schema);
	sm_disconnect(session);
	return err ? command_failed(&error) : STATUS_OK;
}

int command_restore(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_DATA,
		{"table", KEY_TABLE, "KEYSPACE.TABLE", 0, "where the rows go; fields go to the columns of the same names", 0},
		{"topic", 't', "TOPIC", 0, "the topic that the archive was made of: its schema in the server describes the lines", 0},
		{"schema", KEY_SCHEMA, "FILE", 0, "or: JSON Schema of the lines", 0},
		{0},
	};
	static const struct argp argp = {options,
					 parse,
					 "--table KEYSPACE.TABLE --topic TOPIC DIR|PATTERN",
					 "Load an archive (gzip NDJSON) into a table. Lines that do not fit are counted and skipped; doing "
					 "it twice changes nothing.",
					 NULL,
					 NULL,
					 NULL};
	struct arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	struct sm_error error = {0};
	struct sm_session *session = NULL;
	struct schema *schema = NULL;
	struct backup_restore_stats stats;
	char keyspace[64];
	const char *dot = a.table ? strchr(a.table, '.') : NULL;
	if (!dot || dot == a.table || (size_t)(dot - a.table) >= sizeof keyspace) {
		fprintf(stderr, "smack: --table %s: write KEYSPACE.TABLE\n", a.table ? a.table : "");
		return STATUS_USAGE;
	}
	snprintf(keyspace, sizeof keyspace, "%.*s", (int)(dot - a.table), a.table);
	enum sm_err err = sm_connect(a.data, &session, &error);
	if (!err)
		err = get_schema(session, a.schema, a.topic, &schema, &error);
	if (!err) {
		struct backup_restore_options restore = {
			.store = sm_session_store(session), .keyspace = keyspace, .table = dot + 1, .schema = schema, .pattern = a.place};
		err = backup_restore(&restore, &stats, &error);
	}
	if (!err) {
		printf("%llu rows from %u files into %s; %llu bad lines skipped\n", (unsigned long long)stats.rows, stats.files, a.table,
		       (unsigned long long)stats.bad);
		if (*stats.first_bad)
			printf("the first bad line: %s\n", stats.first_bad);
	}
	schema_free(schema);
	sm_disconnect(session);
	return err ? command_failed(&error) : STATUS_OK;
}
