#include "base/io.h"
#include "base/logging.h"
#include "cli/command.h"
#include "cli/platform.h"
#include "cli/server_options.h"
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct arguments {
	struct server_options server; /* first */
	char **command;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case ARGP_KEY_ARG:
		/* The first word that is no option begins the command; all that follows is its own. */
		a->command = &state->argv[state->next - 1];
		state->next = state->argc;
		return 0;
	case ARGP_KEY_END:
		if (!a->command)
			argp_error(state, "name the command to run: smack with -- CMD");
		return 0;
	default: return server_options_parse(key, arg, state, &a->server);
	}
}

/* The child gets our environment with the platform's addresses in it, and the signals as they were. */
static enum sm_err run_command(struct platform *p, char **command, int *ret_status, struct sm_error *reterr)
{
	for (char **e = p->process_env; *e; e++)
		if (putenv(*e))
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	posix_spawnattr_t attributes;
	sigset_t none, defaults;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	pid_t pid;
	extern char **environ;
	int failed = posix_spawnp(&pid, command[0], NULL, &attributes, command, environ);
	posix_spawnattr_destroy(&attributes);
	if (failed) {
		*ret_status = failed == ENOENT ? 127 : 126; /* as a shell says it */
		return sm_fail_errno(reterr, failed, "cannot run %s", command[0]);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return SM_OK;
}

int command_with(int argc, char **argv)
{
	static const struct argp_option options[] = {SERVER_OPTIONS, {0}};
	static const struct argp argp = {
		options,
		parse,
		"-- CMD [ARGUMENT ...]",
		"Run CMD beside a platform of its own: free ports, a temporary directory (unless --data names one), gone when CMD ends. "
		"CMD finds KAFKA_BOOTSTRAP_SERVERS, CASSANDRA_CONTACT_POINTS, CASSANDRA_PORT, SMACK_URL and SMACK_DATA in its "
		"environment; smack ends with CMD's status. This is how a test suite uses smack.",
		NULL,
		NULL,
		NULL};
	static struct config config;
	struct arguments a = {.server = {.config = &config}};
	struct sm_error error = {0};
	char temporary[] = "/tmp/smack-with-XXXXXX";
	int status = STATUS_FAILED;
	config_init(&config);
	config.http_port = config.kafka_port = config.cql_port = 0;
	argp_err_exit_status = STATUS_USAGE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &a);
	signals_block();
	bool own = !a.server.data;
	if (own && !mkdtemp(temporary)) {
		sm_fail_errno(&error, errno, "cannot make a temporary directory in /tmp");
		return command_failed(&error);
	}
	if (own)
		a.server.data = temporary;
	logging_set(LOG_LEVEL_WARN, false);
	struct platform *platform = NULL;
	enum sm_err err = server_options_apply(&a.server, &error);
	if (!err)
		err = platform_start(&config, &platform, &error);
	if (!err) {
		err = run_command(platform, a.command, &status, &error);
		signals_expect_end();
		struct sm_error late;
		if (platform_stop(platform, &late) && !err)
			err = sm_fail(&error, late.code, "%s", late.text);
	}
	if (own) {
		struct sm_error left;
		if (io_remove_tree(&io_system, temporary, &left))
			fprintf(stderr, "smack: %s is left behind: %s\n", temporary, left.text);
	}
	config_done(&config);
	if (err) {
		command_failed(&error);
		return status > STATUS_FAILED ? status : STATUS_FAILED;
	}
	return status;
}
