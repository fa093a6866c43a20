/* Connections inside: nobody outside net/conn.c, out.c, turn.c, intake.c, listen.c, tls*.c and http_server.c (for its end) includes this.
 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include "actor/actor.h"
#include "net/net.h"
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

/* ---- output queue: nodes in order, each copied bytes, borrowed bytes or a region of a file ---- */

enum net_node_kind { NET_NODE_COPY, NET_NODE_REF, NET_NODE_FILE };
struct net__node {
	struct net__node *next;
	enum net_node_kind kind;
	bool block;          /* of the dispatcher's blocks */
	int fd;              /* of a file */
	uint64_t at;         /* where in the file */
	const uint8_t *data; /* copy, ref: what is left */
	size_t size;         /* bytes left */
	size_t room;         /* copy: bytes that can still be appended behind data + size */
	void (*release)(void *arg);
	void *arg;
	uint8_t own[]; /* copy */
};
struct net__out {
	struct net__node *first, *last;
	size_t size;
};
struct net__turn;
enum net_flush { NET_FLUSH_EMPTY, NET_FLUSH_BLOCKED, NET_FLUSH_WAITING, NET_FLUSH_FAILED };

/* false: out of memory, the connection must be closed. */
bool net__out_copy(struct net__out *out, struct net__turn *turn, struct bytes data);
bool net__out_node(struct net__out *out, enum net_node_kind kind, struct bytes data, int fd, uint64_t at, void (*release)(void *),
		   void *arg);
/* Write what the socket takes. ret_errno is set when it failed. */
enum net_flush net__out_flush(struct net__out *out, struct net__turn *turn, int fd, int *ret_errno);
/* So many bytes have left. */
void net__out_advance(struct net__out *out, struct net__turn *turn, size_t n);
/* Release everything that is queued. */
void net__out_done(struct net__out *out, struct net__turn *turn);

/* ---- what the connections of one dispatcher share ---- */

struct net__turn {
	struct actor_turn_hook hook;
	struct net_conn *dirty; /* connections with something to do at the end of the turn */
	uint32_t connections;
	struct net__node *spare; /* empty copy nodes of NET_OUT_BLOCK */
	uint32_t spare_count;
	/* One read buffer for all of them; what the previous read of a connection left is put in front of the new bytes. */
	uint8_t *chunk; /* NET_READ_CHUNK in front, NET_READ_CHUNK to read into */
};
/* The calling dispatcher's; made for its first connection, gone with its last. NULL: out of memory. */
struct net__turn *net__turn_get(void);
void net__turn_put(struct net__turn *turn);
/* See this connection at the end of the turn. */
void net__turn_mark(struct net_conn *conn);
struct net__node *net__turn_block(struct net__turn *turn);
void net__turn_block_free(struct net__turn *turn, struct net__node *node);

/* ---- a connection ---- */

enum net_timer { NET_TIMER_IDLE = 0x7f000001, NET_TIMER_STALL, NET_TIMER_LINGER, NET_TIMER_HANDSHAKE, NET_TIMER_INTAKE, NET_TIMER_FILE };

struct net_conn {
	uv_poll_t poll;
	struct sm_actor *actor;
	struct net_listener *listener;
	const struct net_protocol *protocol;
	void *state;
	int fd;
	int events; /* what the poll waits for */
	void *arg;  /* for open */
	void (*release)(void *arg);
	struct net_tls *use_tls; /* NULL: plain */
	struct net__tls *tls;    /* NULL: plain */
	struct net__turn *turn;
	struct net_conn *next_dirty;
	bool dirty;
	bool show; /* input that is there is to be shown again: reading was resumed */
	bool want_write;
	bool handshake;       /* TLS is not agreed on yet */
	bool short_of_memory; /* a large frame waits for its turn */
	bool large;           /* so does what the protocol gathers */
	bool more;            /* TLS holds bytes that are to be read */
	bool was_full;
	bool eof;       /* the peer has ended its side */
	bool finishing; /* close when the queue has left */
	bool lingering; /* our side is shut, the peer's bytes are thrown away */
	bool closed;
	bool opened; /* open() was called: close() will be */
	bool draining;
	uint32_t paused;
	size_t need;
	size_t lingered; /* bytes thrown away */
	struct buf in;   /* what the protocol has left */
	bool taken;      /* the memory of `in` is the protocol's now */
	struct net__out out;
	uint64_t read_ms, write_ms; /* loop time of the last progress */
	char peer[INET6_ADDRSTRLEN + 10];
	/* the listener's, under its lock */
	struct net_conn *next, *prev;
	struct sm_ref *ref; /* counted */
};

struct net_listener {
	struct net_listen_options options;
	char *host, *unix_path;
	uint16_t port;
	int fd;
	int spare_fd; /* given up for a moment to refuse a connection when descriptors have run out */
	struct sm_ref *acceptor;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct net_conn *connections; /* that live */
	uint32_t count;               /* that live or are being handed over */
	bool stopping;                /* no new connections; those that are there drain */
	bool ended;                   /* the drain is over */
	bool acceptor_gone;
};

/* intake.c: may more of the connection's large frame be read now? Done: it has all of it, or it ends. */
bool net__intake_may(struct net_conn *conn);
void net__intake_done(struct net_conn *conn);

/* Make the connection's actor; it is counted already. Takes fd. Thread: the parent's. */
void net__conn_start(struct net_listener *listener, struct sm_actor *parent, int fd, const struct net_adopt_options *options);
/* Input again if it was resumed, then flush. Called at the end of the turn. */
void net__conn_turn_end(struct net_conn *conn);
/* Returns whether it is to drain at once. */
bool net__listener_add(struct net_listener *listener, struct net_conn *conn);
/* net_listener_free; false: a connection's handler blocks its dispatcher, so what the listener was given is still in use. */
bool net__listener_free(struct net_listener *listener, uint32_t drain_ms);
/* conn NULL: one that was counted but never came to be. */
void net__listener_remove(struct net_listener *listener, struct net_conn *conn);
/* "127.0.0.1:8080", "[::1]:8080", "unix". */
void net__address_text(const struct sockaddr *address, char *out, size_t out_size);

extern const struct sm_msg_type net__msg_drain;

#endif
