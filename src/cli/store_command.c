/* `smack store`: check, without a server; snapshot and restore, by a running one. */
#include "store/check.h"
#include "cli/command.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct arguments {
	const char *action, *what, *data, *to, *from;
	bool quiet, replace;
};
enum { KEY_TO = 256, KEY_FROM, KEY_REPLACE };

/* NULL: the arguments fit together. */
static const char *wrong(const struct arguments *a)
{
	if (!a->action)
		return "say what to do: check, snapshot or restore";
	if (strcmp(a->action, "check") == 0)
		return a->to || a->from || a->replace ? "check takes a directory only" : NULL;
	bool snapshot = strcmp(a->action, "snapshot") == 0;
	if (!snapshot && strcmp(a->action, "restore") != 0)
		return "smack store has check, snapshot and restore";
	if (!a->what)
		return "name the keyspace";
	if (snapshot ? !a->to || a->from || a->replace : !a->from || a->to)
		return snapshot ? "say where to: snapshot KEYSPACE --to DIR" : "say where from: restore KEYSPACE --from DIR [--replace]";
	return NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'q': a->quiet = true; break;
	case 'd': a->data = arg; break;
	case KEY_TO: a->to = arg; break;
	case KEY_FROM: a->from = arg; break;
	case KEY_REPLACE: a->replace = true; break;
	case ARGP_KEY_ARG:
		if (!a->action)
			a->action = arg;
		else if (!a->what)
			a->what = arg;
		else
			argp_error(state, "one directory or keyspace at a time");
		break;
	case ARGP_KEY_END:
		if (wrong(a))
			argp_error(state, "%s", wrong(a));
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
	store_dir(a->what ? a->what : data ? data : "smack-data", dir);
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

/* The server's command; path is made absolute, for the server may be elsewhere. */
static int ask_server(const struct arguments *a, const char *command, const char *path)
{
	struct sm_session *session = NULL;
	struct sm_error error = {0};
	struct buf request, answer;
	char here[PATH_MAX] = "";
	buf_init(&request);
	buf_init(&answer);
	enum sm_err err = SM_OK;
	if (path[0] != '/' && !getcwd(here, sizeof here))
		err = sm_fail_errno(&error, errno, "cannot tell the current directory");
	buf_append_str(&answer, here);
	buf_append_str(&answer, path[0] == '/' ? "" : "/");
	buf_append_str(&answer, path);
	buf_append_str(&request, "{\"keyspace\":");
	buf_json_string(&request, bytes_str(a->what));
	buf_append_str(&request, ",\"dir\":");
	buf_json_string(&request, buf_bytes(&answer));
	buf_printf(&request, ",\"replace\":%s}", a->replace ? "true" : "false");
	buf_clear(&answer);
	if (!err && !(err = sm_connect(a->data, &session, &error)))
		err = remote_call(session, command, buf_bytes(&request), &answer, &error);
	if (!err && a->from)
		printf("%s: %.*s\n", a->what, (int)answer.end, (const char *)answer.data);
	sm_disconnect(session);
	buf_done(&request);
	buf_done(&answer);
	return err ? command_failed(&error) : STATUS_OK;
}

int command_store(int argc, char **argv)
{
	static const struct argp_option options[] = {OPTION_DATA,
						     {"quiet", 'q', NULL, 0, "check: no line for what is in order", 0},
						     {"to", KEY_TO, "DIR", 0, "snapshot: a directory that is not there yet", 0},
						     {"from", KEY_FROM, "DIR", 0, "restore: a snapshot", 0},
						     {"replace", KEY_REPLACE, NULL, 0, "restore: drop the tables that are there first", 0},
						     {0}};
	static const struct argp argp = {options,
					 parse,
					 "check [DATA]\nsnapshot KEYSPACE --to DIR\nrestore KEYSPACE --from DIR",
					 "check reads the log, every file and every row of the store below the data directory DATA, "
					 "without a server, and says what is "
					 "damaged or missing (status 1); it changes nothing. snapshot has the server make DIR a snapshot "
					 "of a keyspace: hard links, where "
					 "DIR is on the same file system. restore makes the snapshot's tables anew and fills them, with "
					 "write times and expiry as they were.",
					 NULL,
					 NULL,
					 NULL};
	struct arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	if (strcmp(a.action, "check") == 0)
		return check(&a);
	return a.to ? ask_server(&a, "store_snapshot", a.to) : ask_server(&a, "store_restore", a.from);
}
