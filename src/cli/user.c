#include "auth/auth.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

struct arguments {
	const char *file, *config;
	char *words[2]; /* action, user */
	int word_count;
	unsigned long iterations;
};
enum { KEY_ITERATIONS = 256 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	static const char *const actions[] = {"add", "password", "remove", "list", "token", "revoke", NULL};
	struct arguments *a = state->input;
	char *end;
	switch (key) {
	case 'f': a->file = arg; break;
	case 'c': a->config = arg; break;
	case KEY_ITERATIONS:
		a->iterations = strtoul(arg, &end, 10);
		if (end == arg || *end || a->iterations < AUTH_ITERATIONS_MIN || a->iterations > AUTH_ITERATIONS_MAX)
			argp_error(state, "--iterations %s: give a number from %d to %d", arg, AUTH_ITERATIONS_MIN, AUTH_ITERATIONS_MAX);
		break;
	case ARGP_KEY_ARG:
		if (a->word_count == 2)
			argp_error(state, "one user at a time; the password is asked for, or read from standard input");
		else
			a->words[a->word_count++] = arg;
		break;
	case ARGP_KEY_END:
		if (!a->word_count || !command_is_one_of(a->words[0], actions))
			argp_error(state, "say what to do: add, password, remove, list, token or revoke");
		if ((a->word_count == 1) != (strcmp(a->words[0], "list") == 0))
			argp_error(state, "%s",
				   a->word_count != 1                   ? "list takes no user"
				   : strcmp(a->words[0], "revoke") == 0 ? "name the token by its ID, as list shows it"
									: "name the user");
		if (!a->file == !a->config)
			argp_error(state, "say where the users are: --file FILE, or the --config FILE that names it as security.users");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* The file that --file gives, or the configuration's. */
static enum sm_err find_file(const struct arguments *a, char *out, size_t size, struct sm_error *reterr)
{
	static struct config config;
	if (a->file) {
		snprintf(out, size, "%s", a->file);
		return SM_OK;
	}
	config_init(&config);
	enum sm_err err = config_read(&config, a->config, reterr);
	if (!err && !*config.users)
		err = sm_fail(reterr, SM_INVALID, "%s: has no key security.users = FILE", a->config);
	if (!err)
		config_path(&config, config.users, out, size);
	config_done(&config);
	return err;
}

/* A line without its end. On a terminal the letters are not shown. */
static enum sm_err read_password(const char *prompt, char *out, size_t size, struct sm_error *reterr)
{
	struct termios shown, hidden;
	bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0;
	if (terminal) {
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		fprintf(stderr, "%s: ", prompt);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	char *got = fgets(out, (int)size, stdin);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fputc('\n', stderr);
	}
	if (!got)
		return sm_fail(reterr, SM_INVALID, "there is no password on standard input");
	size_t n = strlen(out);
	if (n && out[n - 1] == '\n')
		out[n - 1] = 0;
	else if (n == size - 1)
		return sm_fail(reterr, SM_TOO_LARGE, "a password has at most %d bytes", AUTH_PASSWORD_MAX);
	return SM_OK;
}

static enum sm_err ask_password(char *out, size_t size, struct sm_error *reterr)
{
	char again[AUTH_PASSWORD_MAX + 2];
	enum sm_err err = read_password("password", out, size, reterr);
	if (err || !isatty(STDIN_FILENO))
		return err;
	err = read_password("once more", again, sizeof again, reterr);
	if (!err && strcmp(out, again) != 0)
		err = sm_fail(reterr, SM_INVALID, "the two passwords differ");
	explicit_bzero(again, sizeof again);
	return err;
}

static enum sm_err put(const struct arguments *a, const char *path, bool replace, struct sm_error *reterr)
{
	char password[AUTH_PASSWORD_MAX + 2];
	enum sm_err err = ask_password(password, sizeof password, reterr);
	if (!err)
		err = auth_user_put(path, a->words[1], bytes_str(password), (uint32_t)a->iterations, replace, reterr);
	explicit_bzero(password, sizeof password);
	return err;
}

static enum sm_err list(const char *path, struct sm_error *reterr)
{
	struct buf out;
	buf_init(&out);
	enum sm_err err = auth_users_list(path, &out, reterr);
	if (!err)
		fwrite(buf_bytes(&out).data, 1, buf_size(&out), stdout);
	buf_done(&out);
	return err;
}

static enum sm_err token(const char *path, const char *user, struct sm_error *reterr)
{
	char text[AUTH_API_TOKEN_BYTES + 1];
	enum sm_err err = auth_token_make(path, user, text, reterr);
	if (!err)
		puts(text);
	explicit_bzero(text, sizeof text);
	return err;
}

int command_user(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"file", 'f', "FILE", 0, "the file of users; it is made if it is not there", 0},
		{"config", 'c', "FILE", 0, "the configuration that names the file of users", 0},
		{"iterations", KEY_ITERATIONS, "N", 0, "how often a password is hashed (default 8192)", 0},
		{0}};
	static const struct argp argp = {
		options,
		parse,
		"add USER\npassword USER\nremove USER\nlist\ntoken USER\nrevoke ID",
		"Users by whose names clients of Kafka, and of HTTP from outside, log in. The password is asked for, or is one line of "
		"standard input; the file holds "
		"it salted and hashed, for SCRAM-SHA-256 and SCRAM-SHA-512 (and so for PLAIN). A running server sees the change at the "
		"next login, HTTP within 10 s; connections that are logged in stay.\n\n"
		"token prints a new token, with which a program sends events over HTTP in the user's name (Authorization: Bearer TOKEN); "
		"it "
		"cannot be shown again. revoke ends it; remove ends a user's tokens, too.",
		NULL,
		NULL,
		NULL};
	struct arguments a = {.iterations = AUTH_ITERATIONS};
	struct sm_error error = {0};
	char path[4200];
	command_parse(&argp, argc, argv, &a);
	enum sm_err err = find_file(&a, path, sizeof path, &error);
	const char *action = a.words[0];
	if (err)
		return command_failed(&error);
	if (strcmp(action, "list") == 0)
		err = list(path, &error);
	else if (strcmp(action, "token") == 0)
		err = token(path, a.words[1], &error);
	else if (strcmp(action, "revoke") == 0)
		err = auth_token_revoke(path, a.words[1], &error);
	else if (strcmp(action, "remove") == 0)
		err = auth_user_remove(path, a.words[1], &error);
	else
		err = put(&a, path, strcmp(action, "password") == 0, &error);
	return err ? command_failed(&error) : STATUS_OK;
}
