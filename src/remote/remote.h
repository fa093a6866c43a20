/* The Unix socket in the data directory: one versioned protocol for the command line and for C jobs.
 * Server side here; the client side is <smack/session.h>, and remote_call below. */
#ifndef REMOTE_REMOTE_H
#define REMOTE_REMOTE_H

#include "base/buf.h"
#include "log/log.h"
#include "remote/remote_limits.h"
#include "store/store.h"
#include <smack/session.h>

#define REMOTE_SOCKET_NAME "smack.sock"

/* ---- server ---- */

/* A named command of the control plane. request and answer are JSON text. Runs on the pool; may block. */
typedef enum sm_err (*remote_command_fn)(void *arg, struct bytes request, struct buf *answer, struct sm_error *reterr);
struct remote_command {
	const char *name;
	remote_command_fn run;
	void *arg;
};
struct remote_server;
struct remote_server_options {
	struct sm_system *system;
	struct sm_log *log;
	struct sm_store *store;
	const char *data_dir;
	const struct remote_command *commands; /* ends with name NULL; lives as long as the server */
	/* Told of each change of the store's schema that came through the socket, so that drivers hear of it. Thread: any; NULL: nobody. */
	void (*schema_changed)(void *arg, const struct store_change *change);
	void *arg;
};
SM_MUST_CHECK enum sm_err remote_server_new(const struct remote_server_options *options, struct remote_server **ret_server,
					    struct sm_error *reterr);
/* Thread: no dispatcher. */
void remote_server_free(struct remote_server *server, uint32_t drain_ms);

/* ---- client ---- */

/* Run a command of the server. answer is appended. Errors: the command's own, SM_NOT_FOUND (no such command), SM_UNAVAILABLE. */
SM_MUST_CHECK enum sm_err remote_call(struct sm_session *session, const char *command, struct bytes request, struct buf *answer,
				      struct sm_error *reterr);

#endif
