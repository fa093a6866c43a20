/* `smack migrate`: its arguments; topics from a log to another engine's, and back. */
#include "backup/migrate.h"
#include "cli/migrate_command.h"
#include "rdkafka/rdkafka.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	KEY_TO = 256,
	KEY_FROM,
	KEY_STATE,
	KEY_SKIP,
	KEY_DRY,
	KEY_VERIFY,
	KEY_REPLICATION,
	KEY_OVERWRITE,
	KEY_TABLES,
	KEY_PRUNE,
	KEY_RANGES
};

/* a,b,c: cut in place. */
static void add_names(struct argp_state *state, char *list, const char **names, uint32_t *count)
{
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		if (*count == MIGRATE_NAMES_MAX)
			argp_error(state, "at most %d names", MIGRATE_NAMES_MAX);
		else
			names[(*count)++] = name;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct migrate_arguments *a = state->input;
	char *end = NULL;
	switch (key) {
	case 'd': a->data = arg; break;
	case 't': add_names(state, arg, a->topics, &a->topic_count); break;
	case KEY_TO: a->to = arg; break;
	case KEY_FROM: a->from = arg; break;
	case KEY_STATE: a->state = arg; break;
	case KEY_SKIP: add_names(state, arg, a->skip, &a->skip_count); break;
	case KEY_DRY: a->dry_run = true; break;
	case KEY_VERIFY: a->verify = true; break;
	case KEY_OVERWRITE: a->overwrite_groups = true; break;
	case KEY_TABLES: add_names(state, arg, a->tables, &a->table_count); break;
	case KEY_PRUNE: a->prune = true; break;
	case KEY_RANGES: a->ranges = true; break;
	case KEY_REPLICATION:
		a->replication = strtol(arg, &end, 10);
		if (*end || end == arg || a->replication < 1 || a->replication > 32767)
			argp_error(state, "'%s' is no replication factor", arg);
		break;
	case ARGP_KEY_ARG:
		if (a->what || (strcmp(arg, "log") != 0 && strcmp(arg, "store") != 0))
			argp_error(state, "'%s': smack migrate log or smack migrate store, with --to ADDRESS or --from ADDRESS", arg);
		a->what = arg;
		break;
	case ARGP_KEY_END:
		if (!a->what)
			argp_error(state, "say what: smack migrate log, or smack migrate store");
		else if (!a->to && !a->from)
			argp_error(state, "say where: --to ADDRESS, or --from ADDRESS");
		else if (a->dry_run && a->verify)
			argp_error(state, "--dry-run or --verify");
		else if (strcmp(a->what, "log") == 0 && (a->table_count || a->prune || a->ranges))
			argp_error(state, "--tables, --prune and --ranges are for smack migrate store");
		else if (strcmp(a->what, "store") == 0 && (a->topic_count || a->skip_count || a->overwrite_groups))
			argp_error(state, "--topics, --skip-config and --overwrite-groups are for smack migrate log");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- sides ---- */

struct side {
	struct migrate_place_of place;
	char brokers[1024]; /* where Kafka's clients find it */
	struct sm_session *session;
	struct sm_log *kafka; /* NULL: the session's */
	struct sm_log *log;
};

/* Brokers that are gone, and back. */
static void notice(void *arg, const char *text)
{
	fprintf(stderr, "warning: %s\n", text);
}

static enum sm_err kafka_open(struct side *s, const char *address, struct sm_error *reterr)
{
	const struct rdkafka_options options = {.address = address, .notice = notice};
	rdkafka_shown(address, s->place.name, sizeof s->place.name);
	rdkafka_brokers(address, s->brokers, sizeof s->brokers);
	enum sm_err err = rdkafka_open(&options, &s->kafka, reterr);
	if (!err)
		s->log = s->kafka;
	return err;
}

/* address: kafka://..., or the data directory of a running server (NULL: the usual one). */
static enum sm_err side_open(struct side *s, const char *address, struct sm_error *reterr)
{
	struct server_info info;
	if (address && rdkafka_is_address(address))
		return kafka_open(s, address, reterr);
	if (address && strstr(address, "://"))
		return sm_fail(reterr, SM_INVALID, "%s: the address of a log is kafka://HOST:PORT or a data directory", address);
	enum sm_err err = sm_connect(address, &s->session, reterr);
	if (err || (err = server_info(s->session, &info, reterr)))
		return err;
	snprintf(s->place.dir, sizeof s->place.dir, "%s", info.data);
	snprintf(s->place.name, sizeof s->place.name, "%.255s", info.data);
	snprintf(s->brokers, sizeof s->brokers, "%s", info.kafka);
	s->log = sm_session_log(s->session);
	return SM_OK;
}

static void side_close(struct side *s)
{
	if (s->kafka)
		(void)!s->kafka->ops->close(s->kafka, NULL);
	if (s->session)
		sm_disconnect(s->session);
}

enum sm_err migrate_state_dir(const struct migrate_arguments *a, const struct migrate_place_of *source,
			      const struct migrate_place_of *target, char out[4096], struct sm_error *reterr)
{
	const struct migrate_place_of *home = a->to && *source->dir ? source
					      : *target->dir        ? target
								    : source,
				      *other = home == source ? target : source;
	if (!a->state && !*home->dir)
		return sm_fail(reterr, SM_INVALID,
			       "neither side has a data directory for the notes of this migration: name one with --state");
	int n = a->state ? snprintf(out, 4096, "%s", a->state)
			 : snprintf(out, 4096, "%s/migrate/%s-%s", home->dir, home == source ? "to" : "from", other->name);
	if (n < 0 || n >= 4096)
		return sm_fail(reterr, SM_INVALID, "the path for the notes is too long: name a directory with --state");
	if (!a->state)
		for (char *p = out + strlen(home->dir) + strlen("/migrate/"); *p; p++)
			*p = strchr("/:,?", *p) ? '_' : *p;
	return SM_OK;
}

/* ---- telling ---- */

void migrate_end_bar(struct migrate_telling *t)
{
	if (t->shown)
		progress_end(&t->bar, NULL);
	t->shown = false;
}

void migrate_say(void *arg, enum migrate_say kind, const char *text)
{
	migrate_end_bar(arg);
	fprintf(kind == MIGRATE_WARNING ? stderr : stdout, "%s%s\n", kind == MIGRATE_WARNING ? "warning: " : "", text);
}

void migrate_show(struct migrate_telling *t, const char *what, uint64_t done, uint64_t total)
{
	if (t->shown && strcmp(what, t->what) != 0)
		migrate_end_bar(t);
	if (!t->shown) {
		snprintf(t->what, sizeof t->what, "%s", what);
		progress_begin(&t->bar, stderr, t->what, total);
		t->shown = true;
	}
	progress_set(&t->bar, done);
}

static void show(void *arg, const char *topic, int32_t partition, bool proof, uint64_t done, uint64_t total)
{
	char what[300];
	if (proof && !isatty(STDERR_FILENO))
		return;
	snprintf(what, sizeof what, "%s-%d%s", topic, (int)partition, proof ? ", proof" : "");
	migrate_show(arg, what, done, total);
}

void migrate_cell_number(struct text_table *table, uint64_t number)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRIu64, number);
	text_table_cell(table, text, true);
}

void migrate_cell_sum(struct text_table *table, const uint8_t sum[MIGRATE_SUM_SIZE])
{
	char text[17];
	for (int i = 0; i < 8; i++)
		snprintf(text + 2 * i, 3, "%02x", sum[i]);
	text_table_cell(table, text, false);
}

static void print_rows(const struct migrate_log_report *r, bool verify)
{
	static const char *const heads[] = {"topic", "partition", "copied now", "records", "there", "checksum", "there", "proof"};
	struct text_table *table = text_table_new(verify ? 7 : 8);
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		if (!verify || i != 2)
			text_table_cell(table, heads[i], i > 0 && i < 5);
	for (uint32_t i = 0; i < r->row_count; i++) {
		const struct migrate_log_row *row = &r->rows[i];
		text_table_cell(table, row->topic, false);
		migrate_cell_number(table, (uint64_t)row->partition);
		if (!verify)
			migrate_cell_number(table, row->copied);
		migrate_cell_number(table, row->source_records);
		migrate_cell_number(table, row->target_records);
		migrate_cell_sum(table, row->source_sum);
		migrate_cell_sum(table, row->target_sum);
		text_table_cell(table, row->same ? "same" : "DIFFERENT", false);
	}
	text_table_print(table, stdout);
	text_table_free(table);
}

/* Status 1 unless everything is as it shall be. */
static int print_report(const struct migrate_log_report *r, const struct migrate_arguments *a, const struct side *source,
			const struct side *target)
{
	if (a->dry_run)
		return STATUS_OK;
	if (r->row_count)
		print_rows(r, a->verify);
	else
		printf("there are no topics to %s\n", a->verify ? "compare" : "copy");
	fflush(stdout);
	for (uint32_t i = 0; i < r->row_count; i++) {
		const struct migrate_log_row *row = &r->rows[i];
		char here[32] = "none", there[32] = "none";
		if (row->same)
			continue;
		if (row->source_offset >= 0)
			snprintf(here, sizeof here, "%" PRId64, row->source_offset);
		if (row->target_offset >= 0)
			snprintf(there, sizeof there, "%" PRId64, row->target_offset);
		fprintf(stderr, "smack: %s, partition %d: %s: the first difference is offset %s of %s, offset %s of %s%s\n", row->topic,
			(int)row->partition, row->difference, here, source->place.name, there, target->place.name,
			a->verify ? "" : ". If nobody has written there, delete the topic there and run this again");
		return STATUS_FAILED;
	}
	if (!a->verify)
		printf("%u groups, %u committed offsets moved\n", r->groups, r->offsets);
	if (r->offsets_failed)
		fprintf(stderr, "smack: %u committed offsets were not moved\n", r->offsets_failed);
	return r->offsets_failed ? STATUS_FAILED : STATUS_OK;
}

static int migrate_topics(const struct migrate_arguments *a)
{
	struct side source = {.log = NULL}, target = {.log = NULL};
	struct migrate_telling telling = {.shown = false};
	struct migrate_log_report *report = NULL;
	struct sm_error error = {0};
	char state[4096];
	int status = STATUS_FAILED;
	enum sm_err err = side_open(&source, a->from ? a->from : a->data, &error);
	if (!err)
		err = side_open(&target, a->to ? a->to : a->data, &error);
	if (!err && (strcmp(source.place.name, target.place.name) == 0 || (*source.brokers && strcmp(source.brokers, target.brokers) == 0)))
		err = sm_fail(&error, SM_INVALID, "%s is both sides", source.place.name);
	if (!err)
		err = migrate_state_dir(a, &source.place, &target.place, state, &error);
	if (!err) {
		const struct migrate_log_options options = {.source = source.log,
							    .target = target.log,
							    .source_name = source.place.name,
							    .target_name = target.place.name,
							    .state_dir = state,
							    .topics = a->topics,
							    .topic_count = a->topic_count,
							    .skip_configs = a->skip,
							    .skip_config_count = a->skip_count,
							    .replication_factor = (int32_t)a->replication,
							    .dry_run = a->dry_run,
							    .verify = a->verify,
							    .overwrite_groups = a->overwrite_groups,
							    .say = migrate_say,
							    .progress = show,
							    .arg = &telling};
		err = migrate_log(&options, &report, &error);
		migrate_end_bar(&telling);
	}
	if (!err)
		status = print_report(report, a, &source, &target);
	else
		(void)!command_failed(&error);
	migrate_log_report_free(report);
	side_close(&target);
	side_close(&source);
	return status;
}

int command_migrate(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_DATA,
		{"to", KEY_TO, "ADDRESS", 0, "copy there, from the server of --data", 0},
		{"from", KEY_FROM, "ADDRESS", 0, "copy from there, into the server of --data (with --to: into that)", 0},
		{"topics", 't', "LIST", 0, "only these: names or patterns with * ? [], with commas or more than once", 0},
		{"skip-config", KEY_SKIP, "NAME", 0, "a config of topics that is not to be set", 0},
		{"replication-factor", KEY_REPLICATION, "N", 0,
		 "of topics that are made (default: as at the source, if that has more than 1, else the target's own), of keyspaces that "
		 "are "
		 "made (in each data center; default: as at the source)",
		 0},
		{"tables", KEY_TABLES, "LIST", 0, "only these: KEYSPACE or KEYSPACE.TABLE, names or patterns, as with --topics", 0},
		{"prune", KEY_PRUNE, NULL, 0, "delete rows and cells there that the source does not have any more", 0},
		{"ranges", KEY_RANGES, NULL, 0, "print the proof of each range of tokens", 0},
		{"overwrite-groups", KEY_OVERWRITE, NULL, 0, "set also offsets that a group has committed at the target itself", 0},
		{"dry-run", KEY_DRY, NULL, 0, "say what would be done", 0},
		{"verify", KEY_VERIFY, NULL, 0, "only compare both sides", 0},
		{"state", KEY_STATE, "DIR", 0, "where the notes are that a later run needs (default: migrate/ in the data directory)", 0},
		{0},
	};
	static const struct argp argp = {
		options,
		parse,
		"log --to ADDRESS\nlog --from ADDRESS\nstore --to ADDRESS\nstore --from ADDRESS",
		"Copy topics with their records, configs and the committed offsets of consumer groups to another log or from it, or tables "
		"with "
		"their rows, write times, ttls, indexes and views to another store or from it, and prove that the copy is the source. Run "
		"again, "
		"it goes on where it ended, also after a kill. ADDRESS is kafka://HOST:PORT,HOST:PORT or cassandra://HOST:PORT,HOST:PORT "
		"(with "
		"?NAME=VALUE&... for security; passwords lie in a file, ?password.file=), or the data directory of another server.",
		NULL,
		NULL,
		NULL};
	struct migrate_arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	return strcmp(a.what, "log") == 0 ? migrate_topics(&a) : migrate_tables(&a);
}
