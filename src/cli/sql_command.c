#include "cli/command.h"
#include "cli/sql_session.h"
#include <stdio.h>
#include <stdlib.h>

int command_sql(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTIONS_STATEMENTS("SQL", "where tables without a keyspace are looked for"),
		{0},
	};
	static const struct argp argp = {
		options,
		command_statements_parse,
		NULL,
		"Run SQL (Spark's dialect) over the tables and topics of a running server. Without -e and -f statements are read from "
		"standard input. The work is done in this process; it reads the data where it lies.",
		NULL,
		NULL,
		NULL};
	struct statement_arguments a = {0};
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
