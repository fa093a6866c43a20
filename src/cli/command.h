/* Subcommands of `smack`: one list, one way to report errors, one way to reach a server. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/buf.h"
#include "base/json.h"
#include "remote/remote.h"
#include <argp.h>

/* Exit status: 0 done, 1 it failed, 2 it was called wrongly. */
enum { STATUS_OK, STATUS_FAILED, STATUS_USAGE };

struct command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is "smack NAME" */
	const char *summary;
};
extern const struct command commands[]; /* ends with name NULL */

#define X(name, summary) int command_##name(int argc, char **argv);
#include "cli/commands.def"
#undef X

/* Print "smack: text" in one line on stderr; returns STATUS_FAILED. */
int command_failed(const struct sm_error *error);
/* argp_parse with our exit statuses. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);

/* words ends with NULL. */
bool command_is_one_of(const char *word, const char *const *words);

/* --data, for commands that need a running server. */
#define OPTION_DATA                                                                                              \
	{                                                                                                        \
		"data", 'd', "DIR", 0, "data directory of the server (default: $SMACK_DATA, else smack-data)", 0 \
	}
/* What the server's "info" command tells: its addresses. */
struct server_info {
	char url[64];     /* "http://127.0.0.1:8080" */
	char pin[64];     /* of https: the server's public key, for http_client_pin; else "" */
	char kafka[1024]; /* "127.0.0.1:9092"; several of a real Kafka */
	char cql_host[46];
	uint16_t cql_port;
	int64_t pid;
	char data[4096];
};
SM_MUST_CHECK enum sm_err server_info(struct sm_session *session, struct server_info *ret_info, struct sm_error *reterr);

/* What commands that run statements are given, first in their arguments; command_statements_parse takes it. */
struct statement_arguments {
	const char *data, *text, *file, *keyspace;
};
error_t command_statements_parse(int key, char *arg, struct argp_state *state);
#define OPTIONS_STATEMENTS(language, keyspace_help)                                              \
	OPTION_DATA, {"execute", 'e', language, 0, "run these statements", 0},                   \
		{"file", 'f', "FILE", 0, "run the statements of FILE (- is standard input)", 0}, \
	{                                                                                        \
		"keyspace", 'k', "NAME", 0, keyspace_help, 0                                     \
	}
/* The text of -e, of the file of -f, or standard input; appended to out. */
SM_MUST_CHECK enum sm_err command_text(const char *inline_text, const char *file, struct buf *out, struct sm_error *reterr);

/* ---- tables on a terminal: columns as wide as their widest value, numbers to the right ---- */
/* A whole command: ask the running server for the document `what`, and print it, with --json as it is. about: for --help. Returns the
 * status to end with. */
int command_show(int argc, char **argv, const char *what, const char *about, void (*print)(const json_t *document));

struct text_table;
struct text_table *text_table_new(uint32_t columns);
void text_table_free(struct text_table *t);
/* A value of the next cell; the first row is the heading. NULL: null. right: aligned to the right. */
void text_table_cell(struct text_table *t, const char *value, bool right);
void text_table_print(const struct text_table *t, void *stream /* FILE */);

#endif
