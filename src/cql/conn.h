/* A connection of CQL's native protocol. */
#ifndef CQL_CONN_H
#define CQL_CONN_H

#include "auth/auth_limits.h"
#include "cql/server_internal.h"

extern const struct net_protocol conn__protocol;

/* Between conn.c (frames in and out) and startup.c (what a connection says of itself). */
struct conn {
	struct net_conn *net;
	struct cql_server *server;
	uint8_t version; /* that STARTUP came in; 0: there was none */
	enum { CONN_NEW, CONN_LOGIN, CONN_READY } state;
	const struct cql_listener *listener;
	char user[AUTH_NAME_MAX + 1]; /* who logged in */
	enum cql_compression compression;
	bool segments;   /* frames travel in segments */
	bool registered; /* for schema events */
	bool overloads;  /* the client wants OVERLOADED rather than not to be read */
	bool paused;
	bool ending; /* nothing new is taken; the end comes with the last answer */
	char keyspace[CQL_NAME_MAX + 1];
	char host[46]; /* that the client is told */
	uint16_t port;
	uint32_t under_way;
	struct buf held;             /* whole frames of a segment, not taken while too much was under way */
	struct buf large;            /* of a frame that comes in several segments */
	size_t large_size;           /* of that frame; 0: there is none */
	size_t large_seen;           /* how much of it has come */
	size_t discard;              /* bytes of a frame that is too large, still to come and be dropped */
	struct cql_header discarded; /* its header */
	struct buf scratch;          /* a segment uncompressed */
};

/* Frames that stand in out leave, in segments where that is agreed. */
void conn__write(struct conn *c, const struct buf *out);
/* An error that is the frame's, not a statement's; fatal: the connection ends with it. */
void conn__protocol_error(struct conn *c, const struct cql_reply *reply, bool fatal, const char *fmt, ...) SM_PRINTF(4, 5);
/* A frame without a body. */
void conn__empty_frame(struct conn *c, uint8_t opcode, const struct cql_reply *reply);

void conn__startup(struct conn *c, const struct cql_header *h, struct bytes body);
void conn__options(struct conn *c, const struct cql_header *h);
void conn__auth_response(struct conn *c, const struct cql_header *h);
void conn__register(struct conn *c, const struct cql_header *h, struct bytes body);

#endif
