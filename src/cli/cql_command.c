#include "cli/command.h"
#include "cql/cql.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct printer {
	struct text_table *table;
	bool *right;
	bool describes;     /* DESCRIBE: the statements are printed as they are: */
	uint32_t statement; /* the column that has them */
};

static bool is_number(const char *type)
{
	static const char *const types[] = {"int",    "bigint", "smallint", "tinyint", "varint",
					    "double", "float",  "decimal",  "counter", NULL};
	for (const char *const *t = types; *t; t++)
		if (strcmp(*t, type) == 0)
			return true;
	return false;
}

static enum sm_err columns(void *arg, const struct cql_column *c, uint32_t count)
{
	struct printer *p = arg;
	text_table_free(p->table);
	free(p->right);
	p->table = text_table_new(count);
	p->right = calloc(count ? count : 1, sizeof *p->right);
	if (!p->table || !p->right)
		return SM_NO_MEMORY;
	p->describes = false;
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(c[i].name, "create_statement") == 0)
			p->describes = true, p->statement = i;
		p->right[i] = is_number(c[i].type);
		text_table_cell(p->table, c[i].name, p->right[i]);
	}
	return SM_OK;
}

static enum sm_err row(void *arg, const char *const *values, uint32_t count)
{
	struct printer *p = arg;
	if (p->describes) {
		printf("%s\n", values[p->statement] ? values[p->statement] : "");
		return SM_OK;
	}
	for (uint32_t i = 0; i < count; i++)
		text_table_cell(p->table, values[i], p->right[i]);
	return SM_OK;
}

static enum sm_err done(void *arg, int64_t rows)
{
	struct printer *p = arg;
	if (rows < 0)
		return SM_OK;
	if (!p->describes) {
		text_table_print(p->table, stdout);
		printf("(%lld row%s)\n", (long long)rows, rows == 1 ? "" : "s");
	}
	text_table_free(p->table);
	p->table = NULL;
	return SM_OK;
}

int command_cql(int argc, char **argv)
{
	static const struct argp_option options[] = {
		OPTIONS_STATEMENTS("CQL", "begin in this keyspace"),
		{0},
	};
	static const struct argp argp = {options,
					 command_statements_parse,
					 NULL,
					 "Run CQL statements against a running server and print their rows. Without -e and -f they are "
					 "read from standard input.",
					 NULL,
					 NULL,
					 NULL};
	struct statement_arguments a = {0};
	command_parse(&argp, argc, argv, &a);
	struct sm_error error = {0};
	struct sm_session *session = NULL;
	struct cql_session *cql = NULL;
	struct printer printer = {0};
	struct buf text;
	buf_init(&text);
	enum sm_err err = command_text(a.text, a.file, &text, &error);
	if (!err && !(err = sm_connect(a.data, &session, &error)) && (err = cql_session_new(sm_session_store(session), a.keyspace, &cql)))
		sm_fail(&error, err, "%s", sm_err_text(err));
	if (!err) {
		struct cql_sink sink = {.arg = &printer, .columns = columns, .row = row, .done = done};
		err = cql_session_run(cql, buf_bytes(&text), &sink, &error);
	}
	text_table_free(printer.table);
	free(printer.right);
	cql_session_free(cql);
	sm_disconnect(session);
	buf_done(&text);
	return err ? command_failed(&error) : STATUS_OK;
}
