/* Commands as processes. For each there is a helper, forked from the server without an exec: it starts /bin/sh in a process group of its
 * own, adopts whatever that leaves behind, and kills all of it when it is told to or when the server's end of the pipe closes, which
 * also a SIGKILL of the server does. After the fork of a program with threads only async-signal-safe calls are allowed, so the
 * helper makes system calls only.
 *
 * control pipe: server -> helper: 'T' ask to end (SIGTERM), 'K' kill; closed: kill.
 * status pipe: helper -> server: struct helper_status, once. One thread of the server watches all of them. */
#include "cluster/cluster_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct helper_status {
	int failed; /* errno of a start that failed, or 0 */
	int status; /* as wait gives it */
	int64_t cpu_us;
	int64_t rss_kib;
};
struct process {
	struct process *next;
	struct cluster_task *task;
	pid_t helper;
	int control, status;
	uint64_t kill_at_ns; /* 0: not asked to end */
	uint32_t kill_grace_ms;
	char sandbox[PATH_MAX];
};
struct process_runner {
	struct cluster_runner table;
	pthread_t thread;
	pthread_mutex_t lock;
	struct process *processes;
	int wake[2];
	unsigned starting; /* starts under way: the watching thread stays for what they make */
	bool ending;
	char *const *env; /* of the server, with the cluster's additions */
};

/* Whose rights a command has. */
struct identity {
	bool change;
	uid_t uid;
	gid_t gid, groups[64];
	int group_count;
};
/* What the helper is told. */
struct launch {
	const char *command, *sandbox;
	char *const *env;
	int out, err, control, status;
	struct identity identity;
};

/* ---- in the helper: system calls only ---- */

/* Kill every process that hangs below the helper, whatever group or session it has gone to. */
static void kill_descendants(void)
{
	char path[64], text[4096];
	int pid = getpid(), at = 0, digits[12], n = 0;
	/* "/proc/PID/task/PID/children", without printf. */
	static const char head[] = "/proc/", middle[] = "/task/", tail[] = "/children";
	for (; pid; pid /= 10)
		digits[n++] = pid % 10;
	for (const char *c = head; *c; c++)
		path[at++] = *c;
	for (int i = n; i-- > 0;)
		path[at++] = (char)('0' + digits[i]);
	for (const char *c = middle; *c; c++)
		path[at++] = *c;
	for (int i = n; i-- > 0;)
		path[at++] = (char)('0' + digits[i]);
	for (const char *c = tail; *c; c++)
		path[at++] = *c;
	path[at] = 0;
	/* Those killed hand their own children to us, alive: again until there are none. One wait a round, for one of those that were just
	 * killed: a wait for all would be for those others too. */
	for (int round = 0; round < 100000; round++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t size = fd >= 0 ? read(fd, text, sizeof text) : 0;
		if (fd >= 0)
			close(fd);
		if (size <= 0)
			break;
		int child = 0;
		for (ssize_t i = 0; i < size; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				child = child * 10 + (text[i] - '0');
			} else if (child) {
				kill(child, SIGKILL);
				child = 0;
			}
		}
		while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
			;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

static void say(const char *text)
{
	(void)!write(2, text, strlen(text));
}

/* By system calls: glibc's wrappers would talk to the threads that the server had. */
static bool become(const struct identity *who)
{
	return !who->change ||
	       (syscall(SYS_setgroups, who->group_count, who->groups) == 0 && syscall(SYS_setresgid, who->gid, who->gid, who->gid) == 0 &&
		syscall(SYS_setresuid, who->uid, who->uid, who->uid) == 0);
}

static _Noreturn void run_shell(const struct launch *l)
{
	sigset_t none;
	sigemptyset(&none);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	int in = open("/dev/null", O_RDONLY);
	if (in < 0 || dup2(in, 0) < 0 || dup2(l->out, 1) < 0 || dup2(l->err, 2) < 0)
		_exit(126);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	if (!become(&l->identity)) {
		say("smack: cannot take the rights of the user\n");
		_exit(126);
	}
	if (chdir(l->sandbox)) {
		say("smack: the user cannot enter the sandbox: a directory above the data directory is closed to it\n");
		_exit(126);
	}
	char *const argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)l->command, NULL};
	execve("/bin/sh", argv, l->env);
	_exit(127);
}

static void child_ended(int signal)
{
	/* Only interrupts the poll. */
}

static _Noreturn void run_helper(const struct launch *l)
{
	int control = l->control, status_fd = l->status;
	struct helper_status status = {0};
	struct rusage usage = {0};
	struct sigaction on_child = {.sa_handler = child_ended};
	sigset_t block, before;
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigaction(SIGCHLD, &on_child, NULL);
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_SETMASK, &block, &before);
	sigdelset(&before, SIGCHLD);
	pid_t child = fork();
	if (child == 0)
		run_shell(l);
	if (child < 0)
		status.failed = errno;
	/* Keep the two pipes, drop everything else that the server had open. */
	int low = control < status_fd ? control : status_fd, high = control < status_fd ? status_fd : control;
	if (low > 0)
		syscall(SYS_close_range, 0u, (unsigned)low - 1, 0u);
	if (high > low + 1)
		syscall(SYS_close_range, (unsigned)low + 1, (unsigned)high - 1, 0u);
	syscall(SYS_close_range, (unsigned)high + 1, ~0u, 0u);
	sigset_t open_mask;
	sigemptyset(&open_mask);
	bool dead = child < 0;
	while (!dead) {
		struct pollfd p = {.fd = control, .events = POLLIN};
		char what;
		pid_t ended = wait4(child, &status.status, WNOHANG, &usage);
		if (ended == child)
			break;
		if (ppoll(&p, 1, NULL, &open_mask) <= 0)
			continue;
		ssize_t n = read(control, &what, 1);
		if (n == 1 && what == 'T') {
			kill(-child, SIGTERM);
		} else if (n >= 0) {
			kill(-child, SIGKILL);
			if (n == 0)
				dead = true;
		}
	}
	if (child > 0) {
		kill(-child, SIGKILL);
		kill_descendants();
	}
	status.cpu_us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000ll + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
	status.rss_kib = usage.ru_maxrss;
	ssize_t written = write(status_fd, &status, sizeof status);
	_exit(written == sizeof status ? 0 : 1);
}

/* ---- the watching thread ---- */

/* To a pipe whose other end may be gone or full: both mean that what the byte asks for is under way already. */
static void send_byte(int fd, char c)
{
	(void)!write(fd, &c, 1);
}

static void tell_end(struct process *p, const struct helper_status *s, bool whole)
{
	struct sm_error error = {0};
	if (!whole)
		sm_fail(&error, SM_JOB_FAILED, "its helper process was killed");
	else if (s->failed)
		sm_fail_errno(&error, s->failed, "cannot start a process");
	else if (WIFSIGNALED(s->status))
		sm_fail(&error, SM_JOB_FAILED, "killed by signal %d (%s)", WTERMSIG(s->status), strsignal(WTERMSIG(s->status)));
	else if (WEXITSTATUS(s->status))
		sm_fail(&error, SM_JOB_FAILED, "exit status %d", WEXITSTATUS(s->status));
	if (whole)
		cluster__task_usage(p->task, s->cpu_us, s->rss_kib);
	cluster_task_ended(p->task, error.code ? &error : NULL);
}

/* Output without end would fill the disk. */
static void bound_output(const struct process *p)
{
	static const char note[] = "[smack: what stood here was dropped: the output had grown beyond its limit]\n";
	static const char *const names[] = {"stdout", "stderr"};
	for (int i = 0; i < 2; i++) {
		char path[PATH_MAX + 16];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", p->sandbox, names[i]);
		if (stat(path, &st) || (uint64_t)st.st_size <= CLUSTER_OUTPUT_MAX)
			continue;
		int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
		if (fd < 0)
			continue;
		/* The writers have it open for appending: they go on at the new end. */
		if (ftruncate(fd, 0) == 0)
			(void)!write(fd, note, sizeof note - 1);
		close(fd);
	}
}

/* Reap helpers that have reported; returns those that ended, off the list. */
static struct process *collect(struct process_runner *r, struct helper_status *statuses, bool *whole, unsigned max, unsigned *ret_count)
{
	struct process *ended = NULL, **tail = &ended;
	uint64_t now = clock_monotonic_ns(&clock_system);
	*ret_count = 0;
	for (struct process **at = &r->processes; *at;) {
		struct process *p = *at;
		struct pollfd f = {.fd = p->status, .events = POLLIN};
		bound_output(p);
		if (p->kill_at_ns && now >= p->kill_at_ns) {
			p->kill_at_ns = UINT64_MAX;
			send_byte(p->control, 'K');
		}
		if (*ret_count == max || poll(&f, 1, 0) <= 0) {
			at = &p->next;
			continue;
		}
		whole[*ret_count] = read(p->status, &statuses[*ret_count], sizeof *statuses) == sizeof *statuses;
		++*ret_count;
		*at = p->next;
		*tail = p;
		p->next = NULL;
		tail = &p->next;
	}
	return ended;
}

#define COLLECT_MAX 64
#define TICK_MS 1000

static void *watch(void *arg)
{
	struct process_runner *r = arg;
	for (;;) {
		pthread_mutex_lock(&r->lock);
		size_t n = 1;
		for (struct process *p = r->processes; p; p = p->next)
			n++;
		bool done = r->ending && n == 1 && !r->starting;
		struct pollfd *fds = calloc(n, sizeof *fds);
		int timeout = n == 1 ? -1 : TICK_MS;
		n = 0;
		if (fds)
			fds[n++] = (struct pollfd){.fd = r->wake[0], .events = POLLIN};
		for (struct process *p = r->processes; p && fds; p = p->next) {
			fds[n++] = (struct pollfd){.fd = p->status, .events = POLLIN};
			if (p->kill_at_ns && p->kill_at_ns != UINT64_MAX)
				timeout = 100;
		}
		pthread_mutex_unlock(&r->lock);
		if (done) {
			free(fds);
			return NULL;
		}
		if (!fds || poll(fds, n, timeout) < 0)
			poll(NULL, 0, 100); /* no memory: later */
		else if (fds[0].revents) {
			char dropped[64];
			while (read(r->wake[0], dropped, sizeof dropped) == sizeof dropped)
				;
		}
		free(fds);
		struct helper_status statuses[COLLECT_MAX] = {0};
		bool whole[COLLECT_MAX] = {0};
		unsigned count, i = 0;
		pthread_mutex_lock(&r->lock);
		struct process *ended = collect(r, statuses, whole, COLLECT_MAX, &count);
		pthread_mutex_unlock(&r->lock);
		for (struct process *p = ended, *next; p; p = next, i++) {
			next = p->next;
			close(p->control);
			close(p->status);
			waitpid(p->helper, NULL, 0);
			tell_end(p, &statuses[i], whole[i]);
			free(p);
		}
	}
}

static void wake(struct process_runner *r)
{
	send_byte(r->wake[1], 'w');
}

/* ---- the runner ---- */

char **cluster__process_env(char *const *base, const json_t *more)
{
	size_t n = 0, extra = json_object_size(more);
	while (base[n])
		n++;
	char **env = calloc(n + extra + 1, sizeof *env);
	if (!env)
		return NULL;
	size_t at = 0;
	for (size_t i = 0; i < n; i++)
		if (!(env[at++] = strdup(base[i])))
			return env;
	/* Behind the server's own: of two values the shell takes the last. */
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)more, name, value)
	{
		if (json_is_string(value) && asprintf(&env[at], "%s=%s", name, json_string_value(value)) >= 0)
			at++;
		else
			env[at] = NULL;
	}
	return env;
}

static void free_env(char **env)
{
	for (char **e = env; e && *e; e++)
		free(*e);
	free(env);
}

static int open_output(const char *sandbox, const char *name)
{
	char path[PATH_MAX + 16];
	snprintf(path, sizeof path, "%s/%s", sandbox, name);
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static enum sm_err identify(const char *user, struct identity *ret, struct sm_error *reterr)
{
	struct passwd entry, *found = NULL;
	char text[4096];
	*ret = (struct identity){0};
	if (!user)
		return SM_OK;
	if (getpwnam_r(user, &entry, text, sizeof text, &found) || !found)
		return sm_fail(reterr, SM_NOT_FOUND, "there is no user '%s' on this machine", user);
	*ret = (struct identity){.change = entry.pw_uid != geteuid(),
				 .uid = entry.pw_uid,
				 .gid = entry.pw_gid,
				 .group_count = sizeof ret->groups / sizeof ret->groups[0]};
	if (getgrouplist(user, entry.pw_gid, ret->groups, &ret->group_count) < 0)
		return sm_fail(reterr, SM_TOO_LARGE, "user '%s' is in more than 64 groups", user);
	return SM_OK;
}

static enum sm_err start_begin(struct process_runner *r, struct sm_error *reterr)
{
	pthread_mutex_lock(&r->lock);
	bool ending = r->ending;
	r->starting += !ending;
	pthread_mutex_unlock(&r->lock);
	return ending ? sm_fail(reterr, SM_CLOSED, "the server is stopping") : SM_OK;
}

/* p: what was started, or NULL. */
static void start_end(struct process_runner *r, struct process *p)
{
	pthread_mutex_lock(&r->lock);
	r->starting--;
	if (p) {
		p->next = r->processes;
		r->processes = p;
		if (r->ending)
			send_byte(p->control, 'K');
	}
	pthread_mutex_unlock(&r->lock);
	wake(r);
}

static enum sm_err start(void *arg, struct cluster_task *task, const struct cluster_task_info *info, struct sm_error *reterr)
{
	struct process_runner *r = arg;
	struct process *p = calloc(1, sizeof *p);
	char **env = cluster__process_env(r->env, info->env);
	int control[2] = {-1, -1}, status[2] = {-1, -1}, out = -1, err_fd = -1;
	struct identity identity;
	enum sm_err err = start_begin(r, reterr);
	if (err) {
		free(p);
		free_env(env);
		return err;
	}
	out = open_output(info->sandbox, "stdout");
	err_fd = open_output(info->sandbox, "stderr");
	if ((err = identify(info->user, &identity, reterr)))
		;
	else if (!p || !env)
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	else if (out < 0 || err_fd < 0)
		err = sm_fail_errno(reterr, errno, "cannot open output files in %s", info->sandbox);
	else if (pipe2(control, O_CLOEXEC) || pipe2(status, O_CLOEXEC))
		err = sm_fail_errno(reterr, errno, "no pipe");
	if (!err) {
		snprintf(p->sandbox, sizeof p->sandbox, "%s", info->sandbox);
		/* All signals blocked over the fork: a handler of the server's must not run in the helper. */
		sigset_t all, before;
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		p->helper = fork();
		const struct launch launch = {.command = info->command,
					      .sandbox = info->sandbox,
					      .env = env,
					      .out = out,
					      .err = err_fd,
					      .control = control[0],
					      .status = status[1],
					      .identity = identity};
		if (p->helper == 0)
			run_helper(&launch);
		int failed = errno;
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (p->helper < 0)
			err = sm_fail_errno(reterr, failed, "cannot start a process");
	}
	free_env(env);
	int *const mine[] = {&out, &err_fd, &control[0], &status[1]};
	for (int i = 0; i < 4; i++)
		if (*mine[i] >= 0)
			close(*mine[i]);
	if (err) {
		if (control[1] >= 0)
			close(control[1]);
		if (status[0] >= 0)
			close(status[0]);
		free(p);
		start_end(r, NULL);
		return err;
	}
	p->task = task;
	p->control = control[1];
	p->status = status[0];
	p->kill_grace_ms = info->kill_grace_ms;
	start_end(r, p);
	return SM_OK;
}

static void stop(void *arg, struct cluster_task *task)
{
	struct process_runner *r = arg;
	pthread_mutex_lock(&r->lock);
	for (struct process *p = r->processes; p; p = p->next) {
		if (p->task != task || p->kill_at_ns)
			continue;
		p->kill_at_ns = clock_monotonic_ns(&clock_system) + p->kill_grace_ms * 1000000ull;
		send_byte(p->control, 'T');
	}
	pthread_mutex_unlock(&r->lock);
	wake(r);
}

enum sm_err cluster__processes_new(struct process_runner **ret_runner, struct sm_error *reterr)
{
	struct process_runner *r = calloc(1, sizeof *r);
	if (!r)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	r->table = (struct cluster_runner){start, stop, r};
	pthread_mutex_init(&r->lock, NULL);
	enum sm_err err = SM_OK;
	if (pipe2(r->wake, O_CLOEXEC | O_NONBLOCK))
		err = sm_fail_errno(reterr, errno, "no pipe");
	else if (pthread_create(&r->thread, NULL, watch, r)) {
		err = sm_fail(reterr, SM_NO_MEMORY, "no thread");
		close(r->wake[0]);
		close(r->wake[1]);
	}
	if (err)
		free(r);
	else
		*ret_runner = r;
	return err;
}

void cluster__processes_env(struct process_runner *runner, char *const *env)
{
	runner->env = env;
}

const struct cluster_runner *cluster__processes_table(struct process_runner *runner)
{
	return &runner->table;
}

void cluster__processes_end(struct process_runner *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->ending = true;
	/* Whoever is still there has had its time. */
	for (struct process *p = r->processes; p; p = p->next)
		send_byte(p->control, 'K');
	pthread_mutex_unlock(&r->lock);
	wake(r);
	pthread_join(r->thread, NULL);
}

void cluster__processes_free(struct process_runner *r)
{
	if (!r)
		return;
	close(r->wake[0]);
	close(r->wake[1]);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
