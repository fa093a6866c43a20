/* Actors in other processes, behind the references of <smack/actor.h>.
 *
 * A remoting joins an actor system to others: over TCP (with TLS where certificates are given), over a Unix socket, or to a child process
 * over a socket pair. References to actors elsewhere are made by sm_resolve, come with messages (their sender, and references in them), and
 * are used like others: sm_send, sm_ask, sm_reply, sm_watch, sm_stop, sm_forward. A message goes to another process if its type has a
 * serializer.
 *
 * Addresses: "smack://NAME@HOST:PORT", "smack://NAME@unix:%2Frun%2Forders.sock" (a path, with %2F for each slash), "smack://NAME@~UID" (one
 * that listens nowhere: reachable only by the connection that it has made). An actor's is followed by its path, and by what only this one
 * has: "smack://orders@127.0.0.1:2552/root/writer#9f86d081884c7d65.3". The number before the dot is the system's UID: a system that is
 * started again has another one, and none of the old references means anything in it.
 *
 * What is guaranteed between two systems:
 * - Messages are delivered at most once, in order for one sender and one receiver. Lost are those that were under way when a connection
 * broke.
 * - Watches, their ends, death notices and stops are delivered once and in order, over broken connections, too. Of an actor that had ended
 *   before the watch came there the notice says SM_GONE; SM_FULL: it cannot be watched, its system has 16384 watches of this one already.
 * - A connection that breaks is made again, with back-off and jitter; messages wait meanwhile in the reference's mailbox (sm_send answers
 * SM_FULL when that is full, nothing is dropped).
 * - Each side sends heartbeats. A peer that has been silent for unlikely long (phi accrual) is given up: its references end (watchers get
 *   sm_msg_terminated with SM_UNAVAILABLE, what waits becomes dead letters), and its UID is quarantined: it is never talked to again. The
 * process must start anew to be met again.
 * - A message that cannot be written (no serializer, too large) or read (unknown serializer or version) is a dead letter on the side where
 * that is seen, with a line in the log; its asker gets SM_GONE; the connection stays.
 *
 * Who may connect: one who knows the secret (an HMAC over both sides' fresh numbers; the secret itself never travels), or who has a
 * certificate that the authority vouches for. Nothing else is read before. Without either only addresses on loopback and Unix sockets (mode
 * 0600) are listened on. A peer that was let in may send to, watch and stop every actor of this system, as in Akka without untrusted mode.
 *
 * Source: Akka's remoting (Artery) for the guarantees and the terms; Hayashibara, Defago, Yared, Katayama, "The phi accrual failure
 * detector", 2004. */
#ifndef SMACK_REMOTING_H
#define SMACK_REMOTING_H

#include <smack/actor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_remoting;
struct sm_writer; /* where a serializer puts the message */
struct sm_reader; /* and takes it from */

/* ---- serializers ---- */

/* How messages of a type travel. id is the same in both processes and unique, version is what write makes; read is called for versions from
 * version_min to version. Thread: the remoting's dispatcher; they must not block. */
struct sm_serializer {
	uint32_t id;
	uint16_t version, version_min;
	const struct sm_msg_type *type;
	/* Errors: any; the message becomes a dead letter. */
	enum sm_err (*write)(const struct sm_msg *msg, struct sm_writer *out);
	/* Make the message. Its bytes come from elsewhere: they are what an attacker may have made of them. Reads past the end give zeros
	 * and let the whole fail. What is left unread lets it fail, too. On failure *ret_msg is not written. */
	enum sm_err (*read)(struct sm_reader *in, uint16_t version, struct sm_msg **ret_msg);
};

/* Big-endian. */
SM_EXPORT void sm_write_u8(struct sm_writer *out, uint8_t value);
SM_EXPORT void sm_write_u32(struct sm_writer *out, uint32_t value);
SM_EXPORT void sm_write_u64(struct sm_writer *out, uint64_t value);
SM_EXPORT void sm_write_bytes(struct sm_writer *out, const void *data, uint32_t size); /* with their size */
/* A reference (NULL is allowed) as its address; one that cannot be written (an ended actor's, another system's) arrives as one that has
 * ended. */
SM_EXPORT void sm_write_ref(struct sm_writer *out, struct sm_ref *ref);

SM_EXPORT uint8_t sm_read_u8(struct sm_reader *in);
SM_EXPORT uint32_t sm_read_u32(struct sm_reader *in);
SM_EXPORT uint64_t sm_read_u64(struct sm_reader *in);
/* Borrowed until read returns. *ret_size is 0 and the result NULL when they are not there. */
SM_EXPORT const void *sm_read_bytes(struct sm_reader *in, uint32_t *ret_size);
/* Counted, or NULL (as written, or failed). */
SM_EXPORT struct sm_ref *sm_read_ref(struct sm_reader *in);
/* A read has gone past the end, or found no reference where one must be. */
SM_EXPORT bool sm_read_failed(const struct sm_reader *in);

/* ---- a system's remoting ---- */

struct sm_remoting_options {
	const char *name; /* of the system, in its address: letters, digits, '-' and '_', at most 64 */
	/* Where others connect to: host (an address of this machine) and port (0: any free one), or the path of a Unix socket; neither:
	 * nowhere. */
	const char *host;
	uint16_t port;
	const char *unix_path;
	const char *advertised_host; /* what others call it; NULL: host */
	/* What lets peers in; the same on both sides. At least 16 bytes; NULL: everyone who can connect. */
	const char *secret;
	/* PEM files: TLS on TCP connections, both ways, each side showing a certificate that `authority` vouches for and that names its
	 * host. All or none. Certificates alone let in as a secret does. */
	const char *certificate, *key, *authority;
	const struct sm_serializer *serializers; /* copied */
	uint32_t serializer_count;               /* at most 4096 */
	uint32_t message_max;                    /* bytes of one message; 0: 262144; at most 16777216. The lower one of both sides counts */
	uint32_t mailbox_max;                    /* messages that wait for the connection, a reference; 0: the system's default */
	uint32_t unacknowledged_max;  /* watches, notices and stops that the peer has not acknowledged; one more: quarantine. 0: 20000 */
	uint32_t heartbeat_ms;        /* 0: 1000 */
	uint32_t acceptable_pause_ms; /* silence beyond what heartbeats make likely; 0: 10000 */
	uint32_t min_deviation_ms;    /* of the intervals; 0: 100 */
	double threshold;             /* phi from which on the peer counts as dead; 0: 10 */
	uint32_t handshake_ms;        /* a connection that is not let in by then is closed; 0: 10000 */
	uint32_t backoff_min_ms, backoff_max_ms; /* between two attempts to connect, doubled each time, shortened at random by up to a
						    fifth; 0: 100, 10000 */
};
/* Errors: SM_INVALID, SM_DENIED (an address beyond loopback without secret or certificates), SM_BUSY (the address is in use),
 * SM_UNSUPPORTED (a simulated system), those of reading certificates. Thread: no dispatcher. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_remoting_new(struct sm_system *system, const struct sm_remoting_options *options,
						    struct sm_remoting **ret_remoting, struct sm_error *reterr);
/* Before sm_system_stop. Peers are told, so that watchers there get their notices at once (SM_CLOSED); references to actors elsewhere end;
 * child processes are stopped and waited for. Afterwards no address is read or written. Thread: no dispatcher. */
SM_EXPORT void sm_remoting_free(struct sm_remoting *remoting);
/* "smack://orders@127.0.0.1:2552". */
SM_EXPORT const char *sm_remoting_address(const struct sm_remoting *remoting);
SM_EXPORT uint64_t sm_remoting_uid(const struct sm_remoting *remoting);

struct sm_remoting_info {
	uint32_t connected, quarantined; /* peers */
	uint32_t refs;                   /* references to actors elsewhere that are in use */
	uint64_t sent, received;         /* messages */
	uint64_t refused;                /* connections that were not let in */
};
SM_EXPORT void sm_remoting_info(const struct sm_remoting *remoting, struct sm_remoting_info *ret_info);

/* ---- references ---- */

SM_EXPORT extern const struct sm_msg_type sm_msg_resolved;
/* The answer to sm_resolve; refs are borrowed from the message. why: SM_OK; SM_NOT_FOUND: the system is there, no such actor is. */
struct sm_resolved_msg {
	struct sm_msg msg;
	enum sm_err why;
	struct sm_ref *const *refs;
	uint32_t count;
};
/* Look for what an address names: "smack://NAME@WHERE/root/writer" the actor that has this path now, "smack://NAME@WHERE/key/writers" those
 * that are registered there under the key (at most 256). The answer is an ask's: sm_msg_resolved with *ret_ask_id, or sm_msg_ask_failed
 * (SM_TIMEOUT: the system has not been reached). Errors: SM_INVALID (no such address), SM_FULL (1024 under way), as sm_ask. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_resolve(struct sm_actor *self, struct sm_remoting *remoting, const char *address,
					       uint32_t timeout_ms, uint64_t *ret_ask_id);
/* The same for a thread that is no dispatcher's; the first one is counted into ret_ref. Errors: SM_INVALID, SM_TIMEOUT, SM_NOT_FOUND,
 * SM_FULL, SM_NO_MEMORY. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_resolve_wait(struct sm_remoting *remoting, const char *address, uint32_t timeout_ms,
						    struct sm_ref **ret_ref, struct sm_error *reterr);
/* A reference as text that other systems understand, and back (counted; nothing is asked of the other system: whether it lives is seen by a
 * watch). Thread: any. Errors: SM_GONE (it has ended), SM_INVALID (a reference of another system of this process; no such text),
 * SM_TOO_LARGE (out is too small), SM_FULL (65536 references to actors elsewhere), SM_NO_MEMORY. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_ref_to_text(struct sm_remoting *remoting, struct sm_ref *ref, char *out, size_t size);
SM_EXPORT SM_MUST_CHECK enum sm_err sm_ref_of_text(struct sm_remoting *remoting, const char *text, struct sm_ref **ret_ref);

/* ---- child processes ---- */

/* An actor that survives its own assert or SIGSEGV: it lives in a process of its own, whose main actor is what the reference stands for.
 *
 * The process is started again when it ends by itself (an exit status, a signal: its failure), by the supervision's limits and back-off;
 * meanwhile messages wait in the reference's mailbox, as they do in an actor that is restarted; those that it had been given are lost.
 * Watchers are told when it is given up (SM_FAILED) or stopped (SM_OK, as when its main actor has ended and it exits with 0), after it has
 * ended and was waited for. */
struct sm_process_props {
	const char *name;        /* in the log */
	const char *const *argv; /* program (looked for in PATH if it has no slash) and its arguments, NULL at the end; copied. It calls
				    sm_remoting_join */
	uint32_t mailbox_max;    /* 0: the remoting's */
	struct sm_supervision supervision; /* of it: restarts_max, window_ms, backoff_*, jitter_percent; the rest does not apply */
	uint32_t start_ms;                 /* it has joined by then, or has failed; 0: 30000 */
	uint32_t stop_ms;                  /* for its actors to end after a stop, then SIGTERM, so long again, then SIGKILL; 0: 5000 */
	/* Its end, each time: "killed by signal 11 (Segmentation fault)", "exited with status 3". May be NULL. Thread: the remoting's
	 * dispatcher. */
	void (*ended)(void *arg, const char *how, bool starts_again);
	void *arg;
};
/* Errors: SM_INVALID, SM_NO_MEMORY, SM_CLOSED. Thread: any. A program that cannot be started is a failure of the process. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_spawn_process(struct sm_remoting *remoting, const struct sm_process_props *props,
						     struct sm_ref **ret_ref, struct sm_error *reterr);
/* In the child: join the system of the process that has started this one; main is what its reference stands for (counted by the remoting).
 * options->name and the serializers count, and what there is about messages; it listens where options say so. Errors: as sm_remoting_new;
 * SM_NOT_FOUND: this process was not started by sm_spawn_process. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_remoting_join(struct sm_system *system, const struct sm_remoting_options *options,
						     struct sm_ref *main, struct sm_remoting **ret_remoting, struct sm_error *reterr);
/* In the child: wait until its end has come: main has ended, because the parent has stopped the reference (SM_OK) or by a failure (its
 * error), or the parent is not there any more (SM_UNAVAILABLE). The process then ends its system and exits, with 0 after SM_OK: that is no
 * failure. A child whose parent dies is killed (PR_SET_PDEATHSIG) if it does not end by itself first. Thread: no dispatcher. */
SM_EXPORT enum sm_err sm_remoting_wait(struct sm_remoting *remoting);

#ifdef __cplusplus
}
#endif
#endif
