#include "cli/command.h"
#include "cli/sql_session.h"
#include <stdio.h>
#include <stdlib.h>

struct arguments {
	const char *data, *text, *file, *keyspace;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case 'd': a->data = arg; break;
	case 'e': a->text = arg; break;
	case 'f': a->file = arg; break;
	case 'k': a->keyspace = arg; break;
	case ARGP_KEY_ARG: argp_error(state, "put the statement behind -e"); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int command_sql(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTION_DATA,
		{"execute", 'e', "SQL", 0, "run these statements", 0},
		{"file", 'f', "FILE", 0, "run the statements of FILE (- is standard input)", 0},
		{"keyspace", 'k', "NAME", 0, "where tables without a keyspace are looked for", 0},
		{0},
	};
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Run SQL (Spark's dialect) over the tables and topics of a running server. Without -e and -f statements are read from "
		"standard input. The work is done in this process; it reads the data where it lies.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	struct sm_error error = {0};
	struct buf text;
	buf_init(&text);
	enum sm_err err = command_text(a.text, a.file, &text, &error);
	struct sm_session *session = NULL;
	if (!err && !(err = sm_connect(a.data, &session, &error)))
		err = sql_session_print(session, a.keyspace, buf_bytes(&text), NULL, stdout, &error);
	sm_disconnect(session);
	buf_done(&text);
	return err ? command_failed(&error) : STATUS_OK;
}
