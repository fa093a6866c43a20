/* `smack store`: what lies in a store's directory, without a server. */
#include "store/check.h"
#include "cli/command.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct arguments {
	const char *action, *path;
	bool quiet;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'q': a->quiet = true; break;
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
			argp_error(state, "say what to do: check");
		else if (strcmp(a->action, "check") != 0)
			argp_error(state, "smack store has check, no '%s'", a->action);
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void say_checked(void *arg, enum store_check_kind kind, const char *text)
{
	const struct arguments *a = arg;
	static const char *const heads[] = {[STORE_CHECK_OK] = "ok     ", [STORE_CHECK_PROBLEM] = "DAMAGE "};
	if (kind != STORE_CHECK_OK || !a->quiet)
		printf("%s %s\n", heads[kind], text);
}

/* DATA, or DATA/store itself. */
static void store_dir(const char *path, char out[PATH_MAX])
{
	char current[PATH_MAX];
	snprintf(out, PATH_MAX, "%s/store", path);
	snprintf(current, sizeof current, "%s/CURRENT", path);
	if (access(out, F_OK) != 0 || access(current, F_OK) == 0)
		snprintf(out, PATH_MAX, "%s", path);
}

static int check(struct arguments *a)
{
	char dir[PATH_MAX];
	struct sm_error error;
	struct store_check_totals totals;
	const char *data = getenv("SMACK_DATA");
	store_dir(a->path ? a->path : data ? data : "smack-data", dir);
	const struct store_check check = {.dir = dir, .say = say_checked, .arg = a};
	if (store_check(&check, &totals, &error))
		return command_failed(&error);
	printf("%u tables, %u files, %llu keys, %llu bytes: ", totals.tables, totals.files, (unsigned long long)totals.keys,
	       (unsigned long long)totals.bytes);
	if (!totals.problems) {
		printf("nothing is damaged or missing\n");
		return STATUS_OK;
	}
	printf("%u problems. The server refuses what is damaged and serves the rest where it can; restore the store from a snapshot or "
	       "backup, while the server is stopped\n",
	       totals.problems);
	return STATUS_FAILED;
}

int command_store(int argc, char **argv)
{
	static const struct argp_option options[] = {{"quiet", 'q', NULL, 0, "no line for what is in order", 0}, {0}};
	static const struct argp argp = {options,
					 parse,
					 "check [DATA]",
					 "Look into a store without a server. check reads the log, every file and every row of the store "
					 "below the data directory DATA and "
					 "says what is damaged or missing (status 1); it changes nothing.",
					 NULL,
					 NULL,
					 NULL};
	struct arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	return check(&a);
}
