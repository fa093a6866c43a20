/* Both sides of a process's start: the parent's fork, and what the child makes of what it finds. The socket pair is descriptor 3, and
 * SMACK_PARENT says so, with the parent's process id. */
#include "remoting/remoting_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHILD_FD 3
#define VARIABLE "SMACK_PARENT"

/* ---- the parent's side ---- */

/* The environment with our variable; the strings are the process's own. */
static char **environment_with(char *variable)
{
	size_t count = 0, kept = 0;
	while (environ[count])
		count++;
	char **env = calloc(count + 2, sizeof *env);
	for (size_t i = 0; env && i < count; i++)
		if (strncmp(environ[i], VARIABLE "=", sizeof VARIABLE) != 0)
			env[kept++] = environ[i];
	if (env)
		env[kept] = variable;
	return env;
}

/* After the fork of a process with threads: calls that are safe there, and execvpe, which allocates nothing in glibc. */
static _Noreturn void become(char *const *argv, char *const *env, int fd, pid_t parent)
{
	static const char text[] = "smack: a child process cannot be started: ";
	sigset_t none;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd == CHILD_FD)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, CHILD_FD);
	execvpe(argv[0], argv, env);
	const char *why = strerrordesc_np(errno);
	(void)!write(2, text, sizeof text - 1);
	(void)!write(2, argv[0], strlen(argv[0]));
	(void)!write(2, ": ", 2);
	(void)!write(2, why, strlen(why));
	(void)!write(2, "\n", 1);
	_exit(127);
}

enum sm_err remoting__process_start(char *const *argv, pid_t *ret_pid, int *ret_fd, struct sm_error *reterr)
{
	int pair[2];
	char variable[64];
	pid_t parent = getpid();
	snprintf(variable, sizeof variable, VARIABLE "=%d:%d", CHILD_FD, (int)parent);
	char **env = environment_with(variable);
	if (!env)
		return sm_fail(reterr, SM_NO_MEMORY, "cannot be started: no memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
		free(env);
		return sm_fail_errno(reterr, errno, "cannot be started: no socket pair");
	}
	pid_t pid = fork();
	int os_errno = errno;
	if (pid == 0)
		become(argv, env, pair[1], parent);
	free(env);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return sm_fail_errno(reterr, os_errno, "cannot be started");
	}
	*ret_pid = pid;
	*ret_fd = pair[0];
	return SM_OK;
}

/* ---- the child's ---- */

enum sm_err sm_remoting_join(struct sm_system *system, const struct sm_remoting_options *options, struct sm_ref *main,
			     struct sm_remoting **ret_remoting, struct sm_error *reterr)
{
	const char *text = getenv(VARIABLE);
	int fd, parent, end = 0;
	if (!text || sscanf(text, "%d:%d%n", &fd, &parent, &end) != 2 || text[end] || fcntl(fd, F_GETFD) < 0)
		return sm_fail(reterr, SM_NOT_FOUND, "this process was not started by sm_spawn_process: it has no %s, or no socket there",
			       VARIABLE);
	if (getppid() != parent)
		return sm_fail(reterr, SM_NOT_FOUND, "the process that has started this one, %d, is not there any more", parent);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* so that a second attempt finds it, if this one fails */
	if (own < 0)
		return sm_fail_errno(reterr, errno, "cannot take the socket to the parent");
	enum sm_err err = remoting__new(system, options, main, own, ret_remoting, reterr);
	if (!err) {
		unsetenv(VARIABLE);
		close(fd);
	}
	return err;
}

enum sm_err remoting__join_parent(struct sm_remoting *r)
{
	struct dial *dial = calloc(1, sizeof *dial);
	if (!dial)
		return SM_NO_MEMORY;
	dial->msg.type = &remoting__msg_dialled;
	dial->r = r;
	dial->dialer = dial->parent = true;
	dial->fd = r->parent_fd;
	r->parent_fd = -1;
	remoting__adopt(r, dial, NULL);
	return sm_watch(r->self, r->main);
}

void remoting__tell_main(struct peer *parent)
{
	char name[REMOTING_PATH_MAX + 1];
	if (remoting__name_of(parent->r, parent->r->main, name))
		return; /* it has ended: the notice is on its way */
	struct bytes bytes = bytes_str(name);
	remoting__peer_tell(parent, SYSTEM_MAIN, 0, 0, &bytes, 1);
}

void remoting__parent_gone(struct sm_remoting *r, enum sm_err why)
{
	pthread_mutex_lock(&r->lock);
	if (!r->over) {
		r->over = true;
		r->over_why = why;
	}
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

enum sm_err sm_remoting_wait(struct sm_remoting *remoting)
{
	pthread_mutex_lock(&remoting->lock);
	while (!remoting->over)
		pthread_cond_wait(&remoting->changed, &remoting->lock);
	enum sm_err why = remoting->over_why;
	pthread_mutex_unlock(&remoting->lock);
	return why;
}
