#include "base/io.h"
#include "base/logging.h"
#include "cli/command.h"
#include "cli/platform.h"
#include "cli/server_options.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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

/* ---- the command ---- */

/* In the child, between fork and exec: only calls that are safe there. It dies with us, also when we are killed. */
static _Noreturn void become_command(char **command, pid_t parent, int failed_fd)
{
	sigset_t none;
	sigemptyset(&none);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_FAILED);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(command[0], command);
	int failed = errno;
	(void)!write(failed_fd, &failed, sizeof failed);
	_exit(127);
}

/* The child gets our environment with the platform's addresses in it, and the signals as they were. */
static enum sm_err run_command(struct platform *p, char **command, int *ret_status, struct sm_error *reterr)
{
	int failed = 0, pipes[2], status = 0;
	pid_t parent = getpid();
	for (char **e = p->process_env; *e; e++)
		if (putenv(*e))
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (pipe2(pipes, O_CLOEXEC))
		return sm_fail_errno(reterr, errno, "no pipe");
	pid_t pid = fork();
	if (pid == 0)
		become_command(command, parent, pipes[1]);
	if (pid < 0)
		failed = errno;
	close(pipes[1]);
	/* Closed by the exec; before it an error is written. */
	if (pid > 0 && read(pipes[0], &failed, sizeof failed) != sizeof failed)
		failed = 0;
	close(pipes[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (failed) {
		*ret_status = failed == ENOENT ? 127 : 126; /* as a shell says it */
		return sm_fail_errno(reterr, failed, "cannot run %s", command[0]);
	}
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return SM_OK;
}

/* ---- the temporary directory ---- */

#define TEMPORARY "/tmp/smack-with-"

/* The directory of a platform that was killed: nobody holds its lock any more. */
static bool is_stale(const char *dir)
{
	char path[300];
	struct stat st;
	snprintf(path, sizeof path, "%s/" PLATFORM_LOCK_FILE, dir);
	if (lstat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return false;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false; /* it may be about to start */
	bool stale = flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return stale;
}

static void remove_stale(void)
{
	glob_t found;
	if (glob(TEMPORARY "*", GLOB_NOSORT, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (is_stale(found.gl_pathv[i]))
				(void)!io_remove_tree(&io_system, found.gl_pathv[i], NULL);
		globfree(&found);
	}
}

int command_with(int argc, char **argv)
{
	static const struct argp_option options[] = {
		SERVER_OPTIONS_OF("a temporary one, gone at the end", "a free one", "a free one", "a free one"), {0}};
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
	char temporary[] = TEMPORARY "XXXXXX";
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
	if (own) {
		remove_stale();
		a.server.data = temporary;
	}
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
