/* `smack log`: what lies in a log's directory, without a server. */
#include "log/check.h"
#include "cli/command.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct arguments {
	const char *action, *path, *topic;
	long long from, most;
	bool records, quiet;
};
enum { KEY_FROM = 256, KEY_MAX, KEY_RECORDS };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end = NULL;
	switch (key) {
	case 't': a->topic = arg; break;
	case 'q': a->quiet = true; break;
	case KEY_RECORDS: a->records = true; break;
	case KEY_FROM: a->from = strtoll(arg, &end, 10); break;
	case KEY_MAX: a->most = strtoll(arg, &end, 10); break;
	case ARGP_KEY_ARG:
		if (!a->action)
			a->action = arg;
		else if (!a->path)
			a->path = arg;
		else
			argp_error(state, "one directory at a time");
		break;
	case ARGP_KEY_END:
		if (!a->action)
			argp_error(state, "say what to do: check or dump");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	if (end && (*end || end == arg))
		argp_error(state, "'%s' is no number", arg);
	return 0;
}

static void say_checked(void *arg, enum log_check_kind kind, const char *text)
{
	const struct arguments *a = arg;
	static const char *const heads[] = {[LOG_CHECK_OK] = "ok     ", [LOG_CHECK_NOTE] = "note   ", [LOG_CHECK_PROBLEM] = "DAMAGE "};
	if (kind != LOG_CHECK_OK || !a->quiet)
		printf("%s %s\n", heads[kind], text);
}

/* DATA, or DATA/log itself. */
static void log_dir(const char *path, char out[PATH_MAX])
{
	char table[PATH_MAX];
	snprintf(out, PATH_MAX, "%s/log", path);
	snprintf(table, sizeof table, "%s/topics.json", path);
	if (access(out, F_OK) != 0 || access(table, F_OK) == 0)
		snprintf(out, PATH_MAX, "%s", path);
}

static int check(struct arguments *a)
{
	char dir[PATH_MAX];
	struct sm_error error;
	struct log_check_totals totals;
	const char *data = getenv("SMACK_DATA");
	log_dir(a->path ? a->path : data ? data : "smack-data", dir);
	const struct log_check check = {.io = &io_system, .dir = dir, .topic = a->topic, .say = say_checked, .arg = a};
	if (log_check(&check, &totals, &error))
		return command_failed(&error);
	printf("%u partitions, %u segments, %llu records, %llu bytes: ", totals.partitions, totals.segments,
	       (unsigned long long)totals.records, (unsigned long long)totals.bytes);
	if (!totals.problems) {
		printf("nothing is damaged or missing\n");
		return STATUS_OK;
	}
	printf("%u problems. The server starts all the same, refuses what is lost and serves the rest; files from a backup go to where the "
	       "damaged ones are, while it is stopped\n",
	       totals.problems);
	return STATUS_FAILED;
}

static void say_line(void *arg, const char *text)
{
	puts(text);
}

static int dump(const struct arguments *a)
{
	struct sm_error error;
	const struct log_dump dump = {
		.io = &io_system, .path = a->path, .from = a->from, .most = a->most, .records = a->records, .say = say_line};
	if (!a->path) {
		(void)!sm_fail(&error, SM_INVALID, "say which: smack log dump DATA/log/TOPIC-PARTITION, or one .log file of it");
		return command_failed(&error);
	}
	return log_dump(&dump, &error) ? command_failed(&error) : STATUS_OK;
}

int command_log(int argc, char **argv)
{
	static const struct argp_option options[] = {{"topic", 't', "NAME", 0, "check: only this topic", 0},
						     {"quiet", 'q', NULL, 0, "check: no line for what is in order", 0},
						     {"from", KEY_FROM, "OFFSET", 0, "dump: begin with the batch that holds it", 0},
						     {"max", KEY_MAX, "N", 0, "dump: so many batches", 0},
						     {"records", KEY_RECORDS, NULL, 0, "dump: each record too", 0},
						     {0}};
	static const struct argp argp = {
		options,
		parse,
		"check [DATA]\ndump DIRECTORY|FILE",
		"Look into a log without a server. check reads every batch of every topic below the data directory DATA and says what is "
		"damaged or "
		"missing (status 1); it changes nothing. dump prints the batches of a partition's directory or of one segment file.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {.most = -1};
	command_parse(&argp, argc, argv, &a);
	if (strcmp(a.action, "check") == 0)
		return check(&a);
	if (strcmp(a.action, "dump") == 0)
		return dump(&a);
	struct sm_error error;
	(void)!sm_fail(&error, SM_INVALID, "smack log has check and dump, no '%s'", a.action);
	(void)!command_failed(&error);
	return STATUS_USAGE;
}
