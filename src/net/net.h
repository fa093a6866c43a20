/* Connections on dispatchers: listeners, byte connections, and what can be said over them.
 *
 * A listener accepts on one dispatcher and hands each connection to the next one in turn. A connection is an actor there:
 * its protocol's handlers, its timers and every message to it run on that dispatcher. Descriptors are plain non-blocking
 * sockets under the loop's poll, so that a region of a file leaves by sendfile(2). Beyond loopback only who asks for credentials. */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/buf.h"
#include "net/net_limits.h"
#include <smack/actor.h>

struct net_conn;
struct net_tls;

/* What a protocol does with a connection. Handlers run on the connection's dispatcher. An error closes the connection. */
struct net_protocol {
	const char *name;  /* "kafka" */
	size_t state_size; /* zeroed per connection */
	uint32_t mailbox_max;
	const char *busy; /* what a peer is told, without TLS, whose connection is closed at once; NULL: nothing */
	/* With TLS: when the handshake is done. If that fails, neither this nor close is called. */
	enum sm_err (*open)(struct net_conn *conn, void *state, void *arg);
	/* Bytes have arrived. Returns how many were consumed; the rest is shown again with more behind it. After a partial
	 * consume, set net_conn_need to the size wanted, so that a large frame is not shown byte by byte. */
	enum sm_err (*data)(struct net_conn *conn, void *state, struct bytes in, size_t *ret_used);
	/* A message to the connection's actor (an answer from the log, the pool, another actor). */
	enum sm_err (*receive)(struct net_conn *conn, void *state, struct sm_msg *msg);
	/* The peer has ended its side and wants the answers that are under way: close with net_conn_finish when they are queued.
	 * NULL: the connection is closed at once. */
	void (*eof)(struct net_conn *conn, void *state);
	/* The server stops: finish what has begun, take nothing new, then net_conn_finish. NULL: finished at once, without the
	 * answers that are under way. */
	void (*drain)(struct net_conn *conn, void *state);
	/* The output queue has fallen under NET_WRITE_LOW after net_conn_write_full was true. May be NULL. */
	void (*drained)(struct net_conn *conn, void *state);
	/* The end, for whatever reason; the state is freed after it. Requests under way must not touch it any more: their answers
	 * come as messages to an actor that is gone and are freed. */
	void (*close)(struct net_conn *conn, void *state);
};

struct net_listener;
struct net_listen_options {
	struct sm_system *system;
	const char *host;      /* "127.0.0.1", "::1"; NULL with unix_path. Neither: no socket, for net_adopt alone */
	bool anywhere;         /* the protocol asks for credentials: host may be an address beyond loopback */
	uint16_t port;         /* 0: any free one */
	const char *unix_path; /* made with mode 0600; a stale socket file is replaced */
	const struct net_protocol *protocol;
	void *arg;           /* handed to open; lives as long as the listener */
	struct net_tls *tls; /* net/tls.h; outlives the listener; NULL: plain */
	bool one_dispatcher; /* all connections live on `dispatcher`, instead of each on the next one */
	uint32_t dispatcher;
	uint32_t connections_max; /* 0: NET_CONNECTIONS_MAX; above, or beyond NET_FILES_PERCENT, accepted and closed at once */
	uint64_t idle_ms;         /* close after so long without a byte from the peer; 0: never */
};
/* Errors: SM_BUSY (the text names address and port, and what to do), SM_DENIED (an address beyond loopback without `anywhere`), SM_IO. */
SM_MUST_CHECK enum sm_err net_listen(const struct net_listen_options *options, struct net_listener **ret_listener, struct sm_error *reterr);
/* A connected socket that did not come through the listener is one of its connections from now on, a child of parent, whose dispatcher
 * calls. Takes fd. */
struct net_adopt_options {
	void *arg;                  /* handed to open in place of the listener's */
	struct net_tls *tls;        /* NULL: plain */
	void (*release)(void *arg); /* when the connection has ended, or never came to be; once, on the dispatcher of either; may be NULL */
	const char *tls_host; /* the server's certificate names it (a DNS name or an address); copied; for net_tls_options.for_clients */
};
void net_adopt(struct net_listener *listener, struct sm_actor *parent, int fd, const struct net_adopt_options *options);
uint16_t net_listener_port(const struct net_listener *listener);
/* Stop accepting; connections stay. */
void net_listener_stop(struct net_listener *listener);
/* Ask every connection to end when its answers are written (drain), close at once what has not done so after drain_ms, and free
 * the listener. Before sm_system_stop. Thread: no dispatcher. */
void net_listener_free(struct net_listener *listener, uint32_t drain_ms);

/* All of these: thread: the connection's dispatcher. */
struct sm_actor *net_conn_actor(struct net_conn *conn); /* for sm_ask, timers */
struct sm_ref *net_conn_ref(struct net_conn *conn);     /* borrowed: where answers are sent */
void net_conn_need(struct net_conn *conn, size_t size);
/* Within data(): take a part of what is shown, which counts as consumed then. It is not copied where it came into memory of its own, as
 * large frames do. *ret_data: where the part lies from now on. Returns the memory to block_free (base/block.h) when it is done with; NULL:
 * no memory. */
void *net_conn_take(struct net_conn *conn, struct bytes part, uint8_t **ret_data);
/* Queue bytes (copied). They leave when the loop's turn ends, all in one call where they fit. */
void net_conn_write(struct net_conn *conn, struct bytes data);
/* Queue bytes that are borrowed until release(arg) is called, exactly once. */
void net_conn_write_ref(struct net_conn *conn, struct bytes data, void (*release)(void *arg), void *arg);
/* Queue a region of a file (sendfile; with TLS it is read on the pool). release is called once when it has left or never will; if a TLS
 * connection ended while the file was read, on a thread of the pool. */
void net_conn_write_file(struct net_conn *conn, int fd, uint64_t at, size_t size, void (*release)(void *arg), void *arg);
bool net_conn_write_full(const struct net_conn *conn); /* more than NET_WRITE_HIGH is queued: produce no more */
/* Stop and go on reading: back pressure to the peer. Counted: as many resumes as pauses. */
void net_conn_pause(struct net_conn *conn);
void net_conn_resume(struct net_conn *conn);
/* What comes belongs to something large that the protocol gathers by itself: while the process is beyond its memory's budget it is read in
 * turn with other large things. false: it is whole, or over. */
void net_conn_large(struct net_conn *conn, bool large);
/* Nothing is read for that reason now. */
bool net_conn_held_up(const struct net_conn *conn);
/* Close when the queue has left; no more data is read. */
void net_conn_finish(struct net_conn *conn);
void net_conn_close(struct net_conn *conn); /* now */
/* "127.0.0.1:40312", and the address that the client connected to. */
const char *net_conn_peer(const struct net_conn *conn);
void net_conn_local(const struct net_conn *conn, char host[46], uint16_t *ret_port);
/* With TLS: the subject of the certificate that the client has shown and that a client_ca vouches for, as "CN=alice,O=Example"; else "".
 * Lives as long as the connection. */
const char *net_conn_subject(const struct net_conn *conn);
/* With TLS. */
bool net_conn_secure(const struct net_conn *conn);
/* What the client has asked for by ALPN and got: "h2", "http/1.1"; "": nothing. */
const char *net_conn_alpn(const struct net_conn *conn);
bool net_conn_draining(const struct net_conn *conn);

#endif
