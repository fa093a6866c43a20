/* What the files of this room share. One actor, the core, and all connections live on one dispatcher: everything here belongs to its
 * thread, except what is marked as under the lock. */
#ifndef REMOTING_REMOTING_INTERNAL_H
#define REMOTING_REMOTING_INTERNAL_H

#include "actor/actor.h"
#include "base/map.h"
#include "net/net.h"
#include "net/tls.h"
#include "remoting/frame.h"
#include "remoting/phi.h"
#include <pthread.h>
#include <smack/remoting.h>
#include <stdatomic.h>
#include <sys/types.h>

struct peer;
struct link;
struct process;

/* ---- serializers: serial.c ---- */

struct sm_writer {
	struct sm_remoting *r;
	struct buf *out;
};
struct sm_reader {
	struct sm_remoting *r;
	struct byte_reader in;
};
struct serials {
	struct sm_serializer *by_id, *by_type; /* sorted */
	uint32_t count;
};
enum sm_err remoting__serials_init(struct serials *s, const struct sm_serializer *list, uint32_t count, struct sm_error *reterr);
void remoting__serials_done(struct serials *s);
const struct sm_serializer *remoting__serial_of_id(const struct serials *s, uint32_t id);
const struct sm_serializer *remoting__serial_of_type(const struct serials *s, const struct sm_msg_type *type);

/* ---- addresses: address.c ---- */

/* Parts of "smack://NAME@WHERE/path#uid.number"; path without the fragment; "" and 0: not there. */
struct remoting_address {
	char name[REMOTING_NAME_MAX + 1], where[REMOTING_WHERE_MAX + 1];
	char path[REMOTING_PATH_MAX + 1];
	uint64_t uid, number;
};
bool remoting__address_parse(struct bytes text, struct remoting_address *out);
bool remoting__name_is_good(const char *name);
/* "unix:%2Frun%2Fx" and back. */
bool remoting__where_of_unix(const char *path, char out[REMOTING_WHERE_MAX + 1]);
bool remoting__unix_of_where(const char *where, char *out, size_t size);

/* ---- references: refs.c ---- */

/* What an address of an actor elsewhere, or of a process, has of ours. */
struct remote_ref {
	struct sm_remoting *r;
	struct sm_ref *ref;      /* itself */
	struct process *process; /* it stands for this one, and the rest is not set */
	uint64_t uid;
	struct peer *peer;              /* NULL: not looked for yet, or gone */
	struct remote_ref *next, *prev; /* of the peer's */
	const char *name, *where;       /* behind path */
	size_t path_size;
	char path[]; /* "/root/x#3", as the other system knows it */
};
struct remote_ref *remoting__remote(struct sm_ref *ref); /* NULL: it is none of this room's */
extern const struct actor_foreign_ops remoting__foreign_ops;
/* Counted. path: with its number. Errors: SM_FULL, SM_NO_MEMORY. Thread: any. */
enum sm_err remoting__foreign(struct sm_remoting *r, uint64_t uid, const char *name, const char *where, struct bytes path,
			      struct sm_ref **ret_ref);
/* The name by which peers know an actor here, remembered so that it is found again; "": it cannot be named. Thread: any. */
enum sm_err remoting__name_of(struct sm_remoting *r, struct sm_ref *ref, char out[REMOTING_PATH_MAX + 1]);
enum sm_err remoting__text_of(struct sm_remoting *r, struct sm_ref *ref, char out[REMOTING_TEXT_MAX + 1]);
/* Counted; NULL: there is none (any more). Thread: any. */
struct sm_ref *remoting__local(struct sm_remoting *r, struct bytes name);
struct sm_ref *remoting__local_asker(struct sm_remoting *r, struct bytes name); /* for answers: a thread that waits, too */
void remoting__forget_name(struct sm_remoting *r, const char *name);
enum sm_err remoting__remember_name(struct sm_remoting *r, const char *name, struct sm_ref *ref);
/* A sender's or a message's reference as a peer has written it. peer: whose, for a name; NULL: only whole addresses. Errors: SM_INVALID,
 * SM_FULL, SM_NO_MEMORY. */
enum sm_err remoting__ref_of(struct sm_remoting *r, const struct peer *peer, struct bytes text, struct sm_ref **ret_ref);
void remoting__sweep(struct sm_remoting *r); /* references and names that nobody uses */
void remoting__refs_end(struct sm_remoting *r);

/* ---- peers: peer.c ---- */

enum peer_at { PEER_IDLE, PEER_DIALING, PEER_UP };
struct inbound_watch {
	struct sm_ref *ref;
	char *name;
};
struct peer {
	struct peer *next;
	struct sm_remoting *r;
	uint64_t id; /* of this struct: who comes back from the pool asks for it */
	char name[REMOTING_NAME_MAX + 1], where[REMOTING_WHERE_MAX + 1];
	uint64_t uid; /* 0: not met yet */
	enum peer_at at;
	struct link *link; /* NULL: not connected */
	struct remote_ref *refs;
	struct session session;
	struct phi phi;
	uint32_t message_max;
	uint64_t up_ns, heartbeat_ns, dial_ns, dial_deadline_ns; /* when it came up; when the next are due */
	uint32_t backoff_ms;
	bool ack_due;
	bool is_parent;
	bool complained;         /* in the log, of not reaching it */
	struct process *process; /* it is this one's */
	struct inbound_watch *watches;
	uint32_t watch_count, watch_cap;
};
struct peer *remoting__peer_of_uid(struct sm_remoting *r, uint64_t uid);
struct peer *remoting__peer_at(struct sm_remoting *r, const char *name, const char *where); /* the one met there, or to be met */
struct peer *remoting__peer_new(struct sm_remoting *r, const char *name, const char *where,
				uint64_t uid); /* NULL: too many, or no memory */
void remoting__peer_want(struct peer *p);      /* connect, if it is not and may be */
void remoting__peer_not_reached(struct peer *p, const char *why);
void remoting__peer_up(struct peer *p, struct link *link);
void remoting__peer_down(struct peer *p); /* its link has ended */
/* It is not there any more: references end with why, its UID is quarantined; frees it. */
void remoting__peer_gone(struct peer *p, enum sm_err why, const char *reason);
bool remoting__is_quarantined(const struct sm_remoting *r, uint64_t uid);
void remoting__peers_tick(struct sm_remoting *r, uint64_t now_ns);
/* A system message; false: it is gone now, because it cannot be told. */
bool remoting__peer_tell(struct peer *p, enum system_kind kind, uint64_t token, uint16_t code, const struct bytes *names, uint16_t count);
void remoting__dialled(struct sm_remoting *r, struct sm_msg *msg);
extern const struct sm_msg_type remoting__msg_dialled;

/* ---- dial.c: a connection is made on the pool ---- */

struct dial {
	struct sm_msg msg; /* first; then it is in the core's hands */
	struct sm_work work;
	struct sm_remoting *r;        /* for the core alone */
	uint64_t peer_id, process_id; /* either */
	bool dialer;                  /* in the handshake */
	bool done;                    /* the handshake */
	bool parent;                  /* the system that has started this process is there */
	int fd;
	uint32_t timeout_ms;
	char host[256]; /* TCP; "": a Unix socket at path */
	uint16_t port;
	char path[108];
	char error[200];
};
/* Begin; dialled comes to the core with fd or error. Errors: SM_FULL, SM_NO_MEMORY, SM_INVALID (where is nowhere to connect to). */
enum sm_err remoting__dial(struct peer *p);
void remoting__adopt(struct sm_remoting *r, struct dial *dial, struct net_tls *tls); /* takes dial */

/* ---- link.c: a connection ---- */

struct link {
	struct link *next, *prev; /* of the remoting's */
	struct net_conn *conn;
	struct sm_remoting *r;
	struct dial *dial; /* NULL: it came in; borrowed of the connection */
	struct peer *peer; /* NULL: not let in */
	struct handshake shake;
	uint64_t deadline_ns;
	bool closing, listed;
};
extern const struct net_protocol remoting__protocol;
void remoting__link_refuse(struct link *l, enum sm_err why, const char *text);
void remoting__link_close(struct link *l);
bool remoting__link_full(const struct link *l);
void remoting__links_tick(struct sm_remoting *r, uint64_t now_ns);

/* inbound.c, outbound.c */
enum sm_err remoting__inbound(struct peer *p, struct frame *frame); /* an error closes the connection. The peer may be gone afterwards */
void remoting__ended_here(struct sm_remoting *r, struct sm_ref *ref, enum sm_err why);
void remoting__inbound_clear(struct peer *p);
/* Takes msg. */
void remoting__outbound(struct peer *p, struct sm_ref *to, struct bytes path, enum actor_foreign_sort sort, struct sm_msg *msg);

/* ---- resolve.c ---- */

void remoting__resolve(struct sm_remoting *r, struct sm_msg *msg); /* a request of the core's */
void remoting__found(struct peer *p, struct frame *frame);
void remoting__resolves_send(struct peer *p); /* it is up; it may be gone afterwards */
void remoting__resolves_tick(struct sm_remoting *r, uint64_t now_ns);
void remoting__resolves_end(struct sm_remoting *r);
bool remoting__resolves_need(const struct sm_remoting *r, const struct peer *p);
extern const struct sm_msg_type remoting__msg_resolve;

/* ---- process.c, child.c ---- */

extern const struct sm_msg_type remoting__msg_process;
void remoting__process_begin(struct sm_remoting *r, struct sm_msg *msg);
bool remoting__process_ready(struct process *p);
void remoting__process_message(struct process *p, struct sm_ref *ref, enum actor_foreign_sort sort, struct sm_msg *msg);
struct process *remoting__process_of(struct sm_remoting *r, uint64_t id);
void remoting__process_joined(struct process *p, struct peer *peer);
void remoting__process_main(struct process *p, struct sm_ref *main); /* takes main */
void remoting__process_link_lost(struct process *p);
void remoting__process_drained(struct process *p);
void remoting__processes_tick(struct sm_remoting *r, uint64_t now_ns);
void remoting__processes_stop(struct sm_remoting *r);
void remoting__processes_kill(struct sm_remoting *r); /* at the end: what is left is killed and waited for */
/* A process of its own. Errors: those of the system. */
enum sm_err remoting__process_start(char *const *argv, pid_t *ret_pid, int *ret_fd, struct sm_error *reterr);
void remoting__parent_gone(struct sm_remoting *r, enum sm_err why);
void remoting__tell_main(struct peer *parent);
enum sm_err remoting__join_parent(struct sm_remoting *r);

/* ---- remoting.c ---- */

enum remoting_timer { REMOTING_TIMER_TICK = 1, REMOTING_TIMER_REAP };
struct sm_remoting {
	struct sm_system *system;
	struct sm_remoting_options options; /* with defaults; its texts are not kept */
	struct bytes secret;                /* own */
	char name[REMOTING_NAME_MAX + 1], where[REMOTING_WHERE_MAX + 1];
	char address[REMOTING_NAME_MAX + REMOTING_WHERE_MAX + 16];
	uint64_t uid;
	struct serials serials;
	struct net_listener *listener, *dialler; /* who comes, and whom we go to */
	struct dial accepts;                     /* the listener's connections have it */
	struct net_tls *server_tls, *client_tls;
	uint32_t dispatcher;
	struct sm_ref *core;
	struct sm_actor *self; /* the core */
	struct sm_ref *nobody; /* has ended: to whom unreadable messages went */
	_Atomic uint64_t sent, received, refused;
	_Atomic uint32_t connected, quarantined_count;
	_Atomic uint32_t since_sweep; /* references made */
	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct map foreign; /* by UID and path */
	struct map names;   /* actors here that peers have seen */
	uint64_t next_temp;
	bool closed;  /* the tables are */
	bool begun;   /* the core takes connections */
	bool stopped; /* the core has said good-bye and its processes have ended */
	bool over;    /* of a child: it is to end, */
	enum sm_err over_why;
	uint32_t stop_ms_max; /* of the processes */
	/* the dispatcher's */
	struct peer *peers;
	uint32_t peer_count;
	uint64_t next_id;
	struct link *links;
	struct map quarantined;
	uint64_t *quarantine_ring;
	uint32_t quarantine_next, quarantine_size;
	struct resolve *resolves;
	uint32_t resolve_count;
	struct process *processes;
	uint32_t process_count;
	struct buf scratch, scratch2;
	uint64_t tick_ns; /* when the next tick is due */
	uint32_t tick_ms;
	uint64_t swept_ns;
	bool stopping;
	/* of a child */
	struct sm_ref *main;
	int parent_fd;
};
enum sm_err remoting__new(struct sm_system *system, const struct sm_remoting_options *options, struct sm_ref *main, int parent_fd,
			  struct sm_remoting **ret_remoting, struct sm_error *reterr);
uint64_t remoting__random(void);
/* Milliseconds, shortened at random by up to a fifth, as ns. */
uint64_t remoting__jitter_ns(uint32_t ms);
void remoting__stopped_if_done(struct sm_remoting *r);

#endif
