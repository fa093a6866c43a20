/* One check of one task: a request over HTTP, a connection, or a command in its sandbox. */
#include "cluster/cluster_internal.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void probe_http(struct probe *p)
{
	struct http_client *client;
	struct http_response response;
	struct sm_error error;
	char url[600];
	if (http_client_new(&client)) {
		snprintf(p->cause, sizeof p->cause, "no memory");
		return;
	}
	const char *path = p->path ? p->path : "/";
	snprintf(url, sizeof url, "%s://127.0.0.1:%u%s%.500s", p->https ? "https" : "http", p->port, *path == '/' ? "" : "/", path);
	if (http_client_do(client, "GET", url, NULL, (struct bytes){0}, p->timeout_ms, &response, &error)) {
		snprintf(p->cause, sizeof p->cause, "%.199s", error.text);
	} else {
		struct bytes body = buf_bytes(&response.body);
		p->status = response.status;
		snprintf(p->content_type, sizeof p->content_type, "%.63s", response.content_type);
		snprintf(p->body, sizeof p->body, "%.*s", (int)(body.size < sizeof p->body ? body.size : sizeof p->body - 1),
			 body.data ? (const char *)body.data : "");
		http_response_done(&response);
	}
	http_client_free(client);
}

static void probe_tcp(struct probe *p)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(p->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failed = fd < 0 ? errno : 0;
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
		struct pollfd f = {.fd = fd, .events = POLLOUT};
		socklen_t size = sizeof failed;
		failed = errno;
		if (failed == EINPROGRESS) {
			int n = poll(&f, 1, (int)p->timeout_ms);
			failed = n == 0 ? ETIMEDOUT : n < 0 ? errno : 0;
			if (!failed)
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size);
		}
	}
	if (fd >= 0)
		close(fd);
	if (failed)
		snprintf(p->cause, sizeof p->cause, "connection to port %u: %s", p->port, strerror(failed));
}

/* -1: it did not end in time and was killed. */
static int wait_for(pid_t pid, uint32_t timeout_ms)
{
	int status = 0;
	for (uint32_t waited = 0;; waited += 5) {
		pid_t ended = waitpid(pid, &status, WNOHANG);
		if (ended == pid)
			return status;
		if (ended < 0 && errno != EINTR)
			return -1;
		if (waited >= timeout_ms) {
			kill(-pid, SIGKILL);
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
			return -1;
		}
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
}

#define WORD(text) ((char *)(uintptr_t)(text))
static void probe_command(struct probe *p)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	pid_t pid;
	char *const argv[] = {WORD("sh"), WORD("-c"), WORD(p->command), NULL};
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, p->sandbox);
	for (int fd = 0; fd < 3; fd++)
		posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY, 0);
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	int failed = posix_spawn(&pid, "/bin/sh", &actions, &attributes, argv, p->env ? p->env : environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (failed) {
		snprintf(p->cause, sizeof p->cause, "cannot run the command: %s", strerror(failed));
		return;
	}
	int status = wait_for(pid, p->timeout_ms);
	if (status < 0)
		snprintf(p->cause, sizeof p->cause, "the command did not end in %u ms", p->timeout_ms);
	else if (WIFSIGNALED(status))
		snprintf(p->cause, sizeof p->cause, "the command was killed by signal %d", WTERMSIG(status));
	else if ((p->status = WEXITSTATUS(status)))
		snprintf(p->cause, sizeof p->cause, "the command ended with status %d", p->status);
}

void cluster__probe(struct probe *p)
{
	switch (p->kind) {
	case PROBE_HTTP: probe_http(p); break;
	case PROBE_TCP: probe_tcp(p); break;
	case PROBE_COMMAND: probe_command(p); break;
	}
}
