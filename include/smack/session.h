/* A session: how a program of its own (a job, a tool) reaches a running smack, through the Unix socket in its data directory.
 *
 * The log and the store of a session are the same tables of calls as inside the server. Scans read the data where it lies: the
 * store from a checkpoint that the server makes (hard links, only what is durable), the log's segments up to the high
 * watermark. Writes go through the server; one apply is one atomic, durable step.
 * Thread: any; each call blocks until the server has answered, but for sm_log_append_then and sm_store_put_then, whose waiting is done by
 * threads of the session. */
#ifndef SMACK_SESSION_H
#define SMACK_SESSION_H

#include <smack/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_session;
struct sm_log;
struct sm_store;

/* data_dir: the server's data directory; NULL: $SMACK_DATA, else "smack-data".
 * Errors: SM_UNAVAILABLE (no server there; the text says how to start one), SM_VERSION (a server of another version), SM_IO. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_connect(const char *data_dir, struct sm_session **ret_session, struct sm_error *reterr);
/* Cursors and slices must have been given back. NULL is allowed. */
SM_EXPORT void sm_disconnect(struct sm_session *session);
/* Borrowed from the session. */
SM_EXPORT struct sm_log *sm_session_log(struct sm_session *session);
SM_EXPORT struct sm_store *sm_session_store(struct sm_session *session);

#ifdef __cplusplus
}
#endif
#endif
