#include "cli/command.h"
#include "base/io.h"
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int command_failed(const struct sm_error *error)
{
	fflush(stdout);
	fprintf(stderr, "smack: %s\n", error->text);
	return STATUS_FAILED;
}

void command_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	argp_err_exit_status = STATUS_USAGE;
	/* Options end at the first argument: what follows belongs to the command that is run, or is a subcommand with its own. */
	error_t err = argp_parse(argp, argc, argv, 0, NULL, input);
	if (err) {
		fprintf(stderr, "smack: %s\n", strerror(err));
		exit(STATUS_USAGE);
	}
}

bool command_is_one_of(const char *word, const char *const *words)
{
	while (*words && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

enum sm_err server_info(struct sm_session *session, struct server_info *ret_info, struct sm_error *reterr)
{
	struct buf answer;
	json_t *json = NULL;
	buf_init(&answer);
	*ret_info = (struct server_info){0};
	enum sm_err err = remote_call(session, "info", BYTES("{}"), &answer, reterr);
	if (!err)
		err = json_parse(buf_bytes(&answer), &json, reterr);
	if (!err) {
		const char *url = "", *pin = "", *kafka = "", *host = "", *data = "";
		int64_t port = 0;
		if (!(err = json_get_string(json, "url", "", &url, reterr)) && !(err = json_get_string(json, "pin", "", &pin, reterr)) &&
		    !(err = json_get_string(json, "kafka", "", &kafka, reterr)) &&
		    !(err = json_get_string(json, "cqlHost", "", &host, reterr)) &&
		    !(err = json_get_int(json, "cqlPort", 0, &port, reterr)) &&
		    !(err = json_get_int(json, "pid", 0, &ret_info->pid, reterr)) &&
		    !(err = json_get_string(json, "data", "", &data, reterr))) {
			snprintf(ret_info->url, sizeof ret_info->url, "%s", url);
			snprintf(ret_info->pin, sizeof ret_info->pin, "%s", pin);
			snprintf(ret_info->kafka, sizeof ret_info->kafka, "%s", kafka);
			snprintf(ret_info->cql_host, sizeof ret_info->cql_host, "%s", host);
			snprintf(ret_info->data, sizeof ret_info->data, "%s", data);
			ret_info->cql_port = (uint16_t)port;
		}
	}
	json_decref(json);
	buf_done(&answer);
	return err;
}

error_t command_statements_parse(int key, char *arg, struct argp_state *state)
{
	struct statement_arguments *a = state->input;
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

enum sm_err command_text(const char *inline_text, const char *file, struct buf *out, struct sm_error *reterr)
{
	if (inline_text) {
		buf_append_str(out, inline_text);
		return SM_OK;
	}
	int fd = STDIN_FILENO;
	struct io_file f = {.fd = -1};
	if (file && strcmp(file, "-") != 0) {
		enum sm_err err = io_system.ops->open(&io_system, file, IO_READ, &f, reterr);
		if (err)
			return err;
		fd = f.fd;
	}
	enum sm_err err = SM_OK;
	for (;;) {
		uint8_t *p = buf_reserve(out, 65536);
		if (!p) {
			err = sm_fail(reterr, SM_NO_MEMORY, "no memory for the text");
			break;
		}
		ssize_t n = read(fd, p, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = sm_fail_errno(reterr, errno, "cannot read %s", file ? file : "standard input");
		if (n <= 0)
			break;
		buf_commit(out, (size_t)n);
	}
	if (f.fd >= 0)
		io_system.ops->close(&io_system, &f);
	return err;
}

/* ---- what a server shows ---- */

struct show {
	const char *data;
	bool json;
};

static error_t parse_show(int key, char *arg, struct argp_state *state)
{
	struct show *s = state->input;
	switch (key) {
	case 'd': s->data = arg; return 0;
	case 'j': s->json = true; return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static enum sm_err ask(const char *data, const char *what, json_t **ret_document, struct sm_error *reterr)
{
	struct sm_session *session = NULL;
	struct buf answer;
	buf_init(&answer);
	enum sm_err err = sm_connect(data, &session, reterr);
	if (!err)
		err = remote_call(session, what, BYTES("{}"), &answer, reterr);
	if (!err)
		err = json_parse(buf_bytes(&answer), ret_document, reterr);
	buf_done(&answer);
	sm_disconnect(session);
	return err;
}

static void print_json(const json_t *document)
{
	struct buf out;
	buf_init(&out);
	json_write_pretty(document, &out);
	fwrite(buf_bytes(&out).data, 1, buf_size(&out), stdout);
	putchar('\n');
	buf_done(&out);
}

int command_show(int argc, char **argv, const char *what, const char *about, void (*print)(const json_t *document))
{
	static const struct argp_option options[] = {OPTION_DATA, {"json", 'j', NULL, 0, "print the whole as JSON", 0}, {0}};
	const struct argp argp = {options, parse_show, NULL, about, NULL, NULL, NULL};
	struct show s = {0};
	struct sm_error error = {0};
	json_t *document = NULL;
	command_parse(&argp, argc, argv, &s);
	if (ask(s.data, what, &document, &error))
		return command_failed(&error);
	(s.json ? print_json : print)(document);
	json_decref(document);
	return STATUS_OK;
}
