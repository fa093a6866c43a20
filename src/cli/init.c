/* `smack init SAMPLE`: from a file of one's own events the files of a platform that counts them. */
#include "base/io.h"
#include "base/schema.h"
#include "cli/command.h"
#include "cli/sample.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct arguments {
	const char *sample, *dir, *topic;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'o': a->dir = arg; break;
	case 't': a->topic = arg; break;
	case ARGP_KEY_ARG:
		if (a->sample)
			argp_error(state, "one sample at a time");
		a->sample = arg;
		break;
	case ARGP_KEY_END:
		if (!a->sample)
			argp_error(state, "name a file with one event in JSON a line");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* Keyspaces of the system's own. */
static bool is_system(const char *name)
{
	return strncmp(name, "system", 6) == 0 || strncmp(name, "smack", 5) == 0;
}

/* A name that is one everywhere: topic, keyspace, table in SQL. */
static void topic_name(const char *sample, char *out, size_t size)
{
	const char *slash = strrchr(sample, '/');
	size_t n = 0;
	for (const char *c = slash ? slash + 1 : sample; *c && *c != '.' && n + 1 < size && n < 40; c++)
		out[n++] = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '_';
	out[n] = 0;
	if (!isalpha((unsigned char)*out) || is_system(out))
		snprintf(out, size, "events");
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);
	if (!islower((unsigned char)*name) || n > 40 || is_system(name))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* What is made. */
struct project {
	const char *topic;
	const struct sample_field *group, *time, *identity;
	struct buf config, schema, tables, counts, chart;
};

static void put_name(struct buf *out, const char *name)
{
	buf_u8(out, '`');
	for (; *name; name++) {
		if (*name == '`')
			buf_u8(out, '`');
		buf_u8(out, (uint8_t)*name);
	}
	buf_u8(out, '`');
}

static void put_tables(struct project *p)
{
	const char *type = !p->group                          ? "int"
			   : p->group->type == SAMPLE_UUID    ? "uuid"
			   : p->group->type == SAMPLE_BOOLEAN ? "boolean"
							      : "text";
	buf_printf(&p->tables,
		   "-- Run at each start: what is there already stays as it is.\n"
		   "CREATE KEYSPACE IF NOT EXISTS \"%s\" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};\n\n",
		   p->topic);
	buf_printf(&p->tables, "-- How many events there were%s%s%s (UTC).\nCREATE TABLE IF NOT EXISTS \"%s\".counts (\n  what %s,\n",
		   p->group ? " of each " : "", p->group ? p->group->name : "", p->time ? ", by day" : "", p->topic, type);
	buf_append_str(&p->tables,
		       p->time ? "  year int,\n  month int,\n  day int,\n  events bigint,\n  PRIMARY KEY (what, year, month, day)\n);\n"
			       : "  events bigint,\n  PRIMARY KEY (what)\n);\n");
}

static void put_columns(struct project *p, struct buf *out, bool named)
{
	put_name(out, p->group ? p->group->name : "_partition");
	buf_append_str(out, named ? " AS what" : "");
	static const char *const parts[] = {"year", "month", "day"};
	for (int i = 0; p->time && i < 3; i++) {
		buf_printf(out, ", %s(", parts[i]);
		put_name(out, p->time->name);
		buf_append_str(out, ")");
		if (named)
			buf_printf(out, " AS %s", parts[i]);
	}
}

static void put_counts(struct project *p)
{
	buf_append_str(&p->counts, "-- The micro-batch job: each event counts once");
	buf_printf(&p->counts, p->identity ? ", also one that is sent again (dedup in smack.conf).\n" : ".\n");
	buf_printf(&p->counts, "INSERT INTO `%s`.counts\nSELECT ", p->topic);
	put_columns(p, &p->counts, true);
	buf_append_str(&p->counts, ", count(*) AS events\nFROM ");
	put_name(&p->counts, p->topic);
	buf_append_str(&p->counts, "\nGROUP BY ");
	put_columns(p, &p->counts, false);
	buf_append_str(&p->counts, ";\n");
	buf_printf(&p->chart,
		   "-- The dashboard's chart: a name, then numbers.\nSELECT what, sum(events) AS events FROM `%s`.counts GROUP BY what "
		   "ORDER BY "
		   "events DESC LIMIT 20;\n",
		   p->topic);
}

static void put_config(struct project *p)
{
	buf_append_str(&p->config,
		       "# Made by `smack init`. Every key with its default: smack up --print-config. Files are relative to this one.\n\n");
	buf_append_str(&p->config, "store.tables = tables.cql\nweb.report = chart.sql\nbatch.interval = 2s\n\n");
	buf_printf(&p->config, "[topic %s]\npartitions = 3\nschema = schema.json\n", p->topic);
	if (p->group)
		buf_printf(&p->config, "key = %s\n", p->group->name);
	buf_printf(&p->config, "\n[stream counts]\nsql = counts.sql\n");
	if (p->identity)
		buf_printf(&p->config, "dedup = %s\n", p->identity->name);
	buf_printf(&p->config, "dead_letter = %s.dead\n", p->topic);
}

static enum sm_err check_free(const char *dir, const char *name, struct sm_error *reterr)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return access(path, F_OK) ? SM_OK : sm_fail(reterr, SM_EXISTS, "%s is there already: choose another directory with --dir", path);
}

static enum sm_err write_all(const struct project *p, const char *dir, struct sm_error *reterr)
{
	const struct {
		const char *name;
		const struct buf *text;
	} files[] = {{"schema.json", &p->schema},
		     {"tables.cql", &p->tables},
		     {"counts.sql", &p->counts},
		     {"chart.sql", &p->chart},
		     {"smack.conf", &p->config}};
	enum sm_err err = io_mkdir_all(&io_system, dir, reterr);
	for (size_t i = 0; i < sizeof files / sizeof *files && !err; i++)
		err = check_free(dir, files[i].name, reterr);
	for (size_t i = 0; i < sizeof files / sizeof *files && !err; i++) {
		char path[4200];
		snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
		err = files[i].text->failed ? sm_fail(reterr, SM_NO_MEMORY, "no memory")
					    : io_write_file_atomic(&io_system, path, buf_bytes(files[i].text), reterr);
	}
	return err;
}

static void tell(const struct project *p, const struct sample *s, const struct arguments *a)
{
	printf("%u events with %u members looked at.\n", s->lines, s->field_count);
	printf("  counted by  %s\n", p->group ? p->group->name : "nothing: no member has a few values that come again");
	printf("  and day of  %s\n", p->time ? p->time->name : "nothing: no member is a time");
	printf("  each once   %s\n", p->identity ? p->identity->name : "not told: no member is an identity (dedup in smack.conf)");
	for (uint32_t i = 0; i < s->field_count; i++)
		if (s->fields[i].type == SAMPLE_NULL || s->fields[i].type == SAMPLE_MIXED)
			printf("  unchecked   %s: %s\n", s->fields[i].name,
			       s->fields[i].type == SAMPLE_NULL ? "always null" : "of different types");
	printf("%s/ has smack.conf, schema.json, tables.cql, counts.sql and chart.sql: look through them, then\n", a->dir);
	printf("  smack up --config %s/smack.conf\n", a->dir);
	printf("  curl -H 'Content-Type: application/x-ndjson' --data-binary @%s http://127.0.0.1:8080/ingest/%s\n", a->sample, p->topic);
	printf("  smack sql -e 'SELECT * FROM `%s`.counts'\n", p->topic);
}

static enum sm_err make(struct project *p, const struct sample *s, const struct arguments *a, struct sm_error *reterr)
{
	struct schema *schema;
	p->group = sample_group(s);
	p->time = sample_time(s);
	p->identity = sample_identity(s);
	sample_schema(s, p->topic, &p->schema);
	enum sm_err err = schema_compile(buf_bytes(&p->schema), &schema, reterr);
	if (err)
		return err;
	schema_free(schema);
	put_tables(p);
	put_counts(p);
	put_config(p);
	return write_all(p, a->dir, reterr);
}

int command_init(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"dir", 'o', "DIR", 0, "where the files go; default: the name of the topic", 0},
		{"topic", 't', "NAME", 0, "name of the topic and its keyspace; default: that of the sample", 0},
		{0},
	};
	static const struct argp argp = {
		options,
		parse,
		"SAMPLE",
		"From a file with events of your own, one in JSON a line, make a configuration, a schema, tables and a job "
		"that counts them. Nothing that is there is written over.",
		NULL,
		NULL,
		NULL};
	static struct sample sample;
	struct arguments a = {0};
	struct project p = {0};
	struct sm_error error = {0};
	char topic[64];
	uint8_t *text = NULL;
	size_t size;
	command_parse(&argp, argc, argv, &a);
	topic_name(a.sample, topic, sizeof topic);
	p.topic = a.topic ? a.topic : topic;
	a.dir = a.dir ? a.dir : p.topic;
	enum sm_err err =
		name_ok(p.topic) ? SM_OK
				 : sm_fail(&error, SM_INVALID,
					   "--topic %s: give a small letter, then small letters, digits and _; not system..., not smack...",
					   p.topic);
	if (!err)
		err = io_read_file(&io_system, a.sample, SAMPLE_BYTES_MAX, &text, &size, &error);
	if (!err) {
		if ((err = sample_read(&sample, bytes_of(text, size), &error)))
			sm_error_prefix(&error, "%s", a.sample);
		else if (!(err = make(&p, &sample, &a, &error)))
			tell(&p, &sample, &a);
		sample_done(&sample);
	}
	struct buf *const bufs[] = {&p.config, &p.schema, &p.tables, &p.counts, &p.chart};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		buf_done(bufs[i]);
	free(text);
	return err ? command_failed(&error) : STATUS_OK;
}
