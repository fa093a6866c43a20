/* TLS inside a connection: nobody outside net/conn.c, tls.c and tls_conn.c includes this. */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include "net/net_internal.h"
#include "net/tls.h"
#include <openssl/ssl.h>

/* tls.c: the context that counts now, with a reference; looks at the files again when it is time. NULL: no memory. */
SSL_CTX *net__tls_context(struct net_tls *tls);
bool net__tls_is_client(const struct net_tls *tls);
/* The last error of this thread, and the queue is empty again. */
const char *net__tls_error(char out[160]);

/* ---- tls_conn.c: a connection's; thread: its dispatcher ---- */

/* tls_host: whom a client expects to meet; "": not looked at. */
bool net__tls_begin(struct net_conn *conn, const char *tls_host);
void net__tls_done(struct net_conn *conn);
/* READ, WRITE: go on when the socket is so. */
enum net_handshake { NET_HANDSHAKE_DONE, NET_HANDSHAKE_READ, NET_HANDSHAKE_WRITE, NET_HANDSHAKE_FAILED };
enum net_handshake net__tls_handshake(struct net_conn *conn);
/* As recv(2). */
ssize_t net__tls_read(struct net_conn *conn, void *data, size_t size);
/* What was taken from the socket is not all read: read on without waiting for it. */
bool net__tls_pending(const struct net_conn *conn);
/* Write what the socket takes. NET_FLUSH_WAITING: a region of a file is being read; net__msg_tls_read comes. */
enum net_flush net__tls_flush(struct net_conn *conn, int *ret_errno);
/* That message. false: the file could not be read. */
bool net__tls_file_read(struct net_conn *conn, struct sm_msg *msg);
/* Tell the peer that nothing more comes. */
void net__tls_shut(struct net_conn *conn);
/* The subject of the client's certificate; "": it showed none. */
const char *net__tls_subject(const struct net_conn *conn);
/* What was agreed on by ALPN; "": nothing. */
const char *net__tls_alpn(const struct net_conn *conn);

extern const struct sm_msg_type net__msg_tls_read;

#endif
