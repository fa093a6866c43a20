/* A server on a Unix socket in a temporary directory, for tests and the fuzz target. */
#ifndef REMOTE_TESTING_H
#define REMOTE_TESTING_H

#include "base/io.h"
#include "remote/remote_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct remote_machine {
	char dir[64], log_dir[80], store_dir[80];
	struct sm_system *system;
	struct sm_log *log;
	struct sm_store *store;
	struct remote_server *server;
};

static inline enum sm_err remote_machine_start(struct remote_machine *m, const struct remote_command *commands, struct sm_error *reterr)
{
	memset(m, 0, sizeof *m);
	snprintf(m->dir, sizeof m->dir, "/tmp/smack-remote-XXXXXX");
	if (!mkdtemp(m->dir))
		return sm_fail(reterr, SM_IO, "no directory");
	snprintf(m->log_dir, sizeof m->log_dir, "%s/log", m->dir);
	snprintf(m->store_dir, sizeof m->store_dir, "%s/store", m->dir);
	struct sm_system_options system = {.dispatchers = 1, .pool_threads = 4};
	struct log_embedded_options log = {.dir = m->log_dir};
	struct store_embedded_options store = {.dir = m->store_dir};
	enum sm_err err = sm_system_new(&system, &m->system, reterr);
	log.system = store.system = m->system;
	if (!err)
		err = log_embedded_open(&log, &m->log, reterr);
	if (!err)
		err = store_embedded_open(&store, &m->store, reterr);
	struct remote_server_options options = {
		.system = m->system, .log = m->log, .store = m->store, .data_dir = m->dir, .commands = commands};
	return err ? err : remote_server_new(&options, &m->server, reterr);
}

static inline void remote_machine_end(struct remote_machine *m)
{
	remote_server_free(m->server, 1000);
	if (m->log)
		(void)!m->log->ops->close(m->log, NULL);
	if (m->store)
		(void)!m->store->ops->close(m->store, NULL);
	(void)!sm_system_stop(m->system, 1000);
	(void)!io_remove_tree(&io_system, m->dir, NULL);
}

/* A plain socket to the server; -1: refused. */
static inline int remote_machine_connect(const struct remote_machine *m)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", m->dir, REMOTE_SOCKET_NAME);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = 20};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
		close(fd);
		return -1;
	}
	return fd;
}

#endif
