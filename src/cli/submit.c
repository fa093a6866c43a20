#include "cli/command.h"
#include "cli/sql_session.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct arguments {
	const char *data, *class, *master, *keyspace;
	bool explain;
	char **words; /* the program and its own arguments */
	int word_count;
};
enum { KEY_CLASS = 256, KEY_MASTER, KEY_EXPLAIN };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'd': a->data = arg; break;
	case 'k': a->keyspace = arg; break;
	case KEY_CLASS: a->class = arg; break;
	case KEY_MASTER: a->master = arg; break;
	case KEY_EXPLAIN: a->explain = true; break;
	case ARGP_KEY_ARG:
		a->words = &state->argv[state->next - 1];
		a->word_count = state->argc - state->next + 1;
		state->next = state->argc;
		break;
	case ARGP_KEY_END:
		if (!a->words)
			argp_error(state, "name a program or a file with SQL");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int submit_sql(const struct arguments *a)
{
	struct sm_error error = {0};
	struct buf text;
	struct sm_session *session = NULL;
	buf_init(&text);
	enum sm_err err = command_text(NULL, a->words[0], &text, &error);
	if (!err && !(err = sm_connect(a->data, &session, &error)))
		err = sql_session_print(session, a->keyspace, buf_bytes(&text), a->words + 1, stdout, &error);
	sm_disconnect(session);
	buf_done(&text);
	return err ? command_failed(&error) : STATUS_OK;
}

/* The program takes this process's place, so that its output, its exit status and the signals to it are its own. */
static int submit_program(const struct arguments *a)
{
	char **argv = calloc((size_t)a->word_count + 8, sizeof *argv);
	struct sm_error error = {0};
	int n = 0;
	if (!argv)
		return STATUS_FAILED;
	argv[n++] = a->words[0];
	if (a->class) {
		argv[n++] = (char *)(uintptr_t) "--class";
		argv[n++] = (char *)(uintptr_t)a->class;
	}
	if (a->master) {
		argv[n++] = (char *)(uintptr_t) "--master";
		argv[n++] = (char *)(uintptr_t)a->master;
	}
	if (a->explain)
		argv[n++] = (char *)(uintptr_t) "--explain";
	for (int i = 1; i < a->word_count; i++)
		argv[n++] = a->words[i];
	if (a->data && setenv("SMACK_DATA", a->data, 1)) {
		free(argv);
		return STATUS_FAILED;
	}
	execvp(argv[0], argv);
	sm_fail_errno(&error, errno, "cannot run %s", argv[0]);
	free(argv);
	return command_failed(&error);
}

int command_submit(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_DATA,
		{"class", KEY_CLASS, "NAME", 0, "which job of a program that holds several", 0},
		{"master", KEY_MASTER, "local[N]", 0, "how many threads the job's tasks may use", 0},
		{"explain", KEY_EXPLAIN, NULL, 0, "print RDDs, stages and tasks of a program's jobs", 0},
		{"keyspace", 'k', "NAME", 0, "SQL: where tables without a keyspace are looked for", 0},
		{0},
	};
	static const struct argp argp = {
		options,
		parse,
		"PROGRAM|FILE.sql [NAME=VALUE ...]",
		"Run a job against a running server and end with its status: a program that is linked with libsmack, in a process of its "
		"own, "
		"or the SQL statements of a file, in which NAME=VALUE gives :NAME its value. To run it on a schedule or for ever, give it "
		"to `smack job` or `smack app`.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {0};
	argp_err_exit_status = STATUS_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
	size_t n = strlen(a.words[0]);
	return n > 4 && strcmp(a.words[0] + n - 4, ".sql") == 0 ? submit_sql(&a) : submit_program(&a);
}
