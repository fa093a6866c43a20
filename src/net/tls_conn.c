/* TLS on a connection: OpenSSL on the connection's own non-blocking socket.
 *
 * A handshake and the ciphers are the dispatcher's work, which never waits in them. A region of a file is read on the pool, a piece at a
 * time, since it may have to come from the disk; then it is written like other bytes. */
#include "net/tls_internal.h"
#include "base/logging.h"
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORD 16384 /* bytes of a TLS record at most */

/* A piece of a file on its way. Two hold it: the connection and the pool, then the message. Who lets go last frees it, and does what
 * is to be done when the region is not needed any more, if the connection has gone meanwhile. */
struct piece {
	struct sm_msg msg; /* first */
	struct sm_work work;
	atomic_int refs;
	struct sm_ref *to;
	int fd, os_errno;
	uint64_t at;
	size_t size;
	void (*release)(void *arg);
	void *arg;
	uint8_t data[];
};
struct net__tls {
	SSL *ssl;
	char *subject;
	char alpn[16];
	bool ended; /* the peer has said that it ends, which is not told yet */
	struct piece *piece;
	bool reading; /* the piece is still being read */
	size_t used;  /* bytes of it that were written */
};

static void piece_unref(struct piece *p)
{
	if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (p->release)
		p->release(p->arg);
	sm_unref(p->to);
	free(p);
}

static void piece_msg_done(struct sm_msg *msg)
{
	piece_unref((struct piece *)msg);
}
const struct sm_msg_type net__msg_tls_read = {"net file read", piece_msg_done};

/* ---- beginning and end ---- */

/* RFC 6125: the certificate must name the host that was dialled, as an address where it is one. */
static bool expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	if (!host[0])
		return true;
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	ERR_clear_error();
	return SSL_set_tlsext_host_name(ssl, host) == 1 && X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

bool net__tls_begin(struct net_conn *conn, const char *tls_host)
{
	SSL_CTX *context = net__tls_context(conn->use_tls);
	bool client = net__tls_is_client(conn->use_tls);
	struct net__tls *t = context ? calloc(1, sizeof *t) : NULL;
	if (t && (t->ssl = SSL_new(context)) && SSL_set_fd(t->ssl, conn->fd) == 1 && (!client || expect_host(t->ssl, tls_host))) {
		if (client)
			SSL_set_connect_state(t->ssl);
		else
			SSL_set_accept_state(t->ssl);
		conn->tls = t;
	} else if (t) {
		SSL_free(t->ssl);
		free(t);
	}
	SSL_CTX_free(context);
	ERR_clear_error();
	return conn->tls != NULL;
}

void net__tls_done(struct net_conn *conn)
{
	struct net__tls *t = conn->tls;
	struct net__node *first = conn->out.first;
	if (!t)
		return;
	if (t->piece && t->reading && first) {
		t->piece->release = first->release;
		t->piece->arg = first->arg;
		first->release = NULL;
	}
	if (t->piece)
		piece_unref(t->piece);
	SSL_free(t->ssl);
	OPENSSL_free(t->subject);
	free(t);
	conn->tls = NULL;
}

/* As Java writes it: RFC 2253, in UTF-8. */
static char *subject_of(SSL *ssl)
{
	X509 *certificate = SSL_get1_peer_certificate(ssl);
	char *out = NULL;
	BIO *bio = certificate ? BIO_new(BIO_s_mem()) : NULL;
	if (bio &&
	    X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
		char *data;
		long size = BIO_get_mem_data(bio, &data);
		out = size > 0 ? OPENSSL_strndup(data, (size_t)size) : NULL;
	}
	BIO_free(bio);
	X509_free(certificate);
	return out;
}

static void note_alpn(struct net__tls *t)
{
	const unsigned char *name;
	unsigned size;
	SSL_get0_alpn_selected(t->ssl, &name, &size);
	if (size && size < sizeof t->alpn)
		memcpy(t->alpn, name, size);
}

enum net_handshake net__tls_handshake(struct net_conn *conn)
{
	struct net__tls *t = conn->tls;
	char text[160];
	ERR_clear_error();
	int rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		t->subject = subject_of(t->ssl);
		note_alpn(t);
		return NET_HANDSHAKE_DONE;
	}
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ: return NET_HANDSHAKE_READ;
	case SSL_ERROR_WANT_WRITE: return NET_HANDSHAKE_WRITE;
	default: break;
	}
	LOG_DEBUG("net", "connection %s: no TLS: %s", conn->peer, net__tls_error(text));
	return NET_HANDSHAKE_FAILED;
}

void net__tls_shut(struct net_conn *conn)
{
	ERR_clear_error();
	SSL_shutdown(conn->tls->ssl);
	ERR_clear_error();
}

const char *net__tls_subject(const struct net_conn *conn)
{
	return conn->tls && conn->tls->subject ? conn->tls->subject : "";
}

const char *net__tls_alpn(const struct net_conn *conn)
{
	return conn->tls ? conn->tls->alpn : "";
}

/* ---- reading ---- */

/* What recv(2) would have said; 0: the peer has ended. */
static ssize_t failure(struct net__tls *t, int rc)
{
	int os_errno = errno;
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
	case SSL_ERROR_ZERO_RETURN: return 0;
	case SSL_ERROR_SYSCALL: errno = os_errno && os_errno != EAGAIN ? os_errno : ECONNRESET; return -1;
	default: errno = EPROTO; return -1;
	}
}

ssize_t net__tls_read(struct net_conn *conn, void *data, size_t size)
{
	struct net__tls *t = conn->tls;
	size_t got = 0;
	if (t->ended)
		return 0;
	while (got < size) {
		size_t want = size - got < INT32_MAX ? size - got : INT32_MAX;
		ERR_clear_error();
		errno = 0;
		int n = SSL_read(t->ssl, (char *)data + got, (int)want);
		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		ssize_t failed = failure(t, n);
		if (!got)
			return failed;
		t->ended = failed == 0;
		break; /* an error is met again by the next read */
	}
	return (ssize_t)got;
}

bool net__tls_pending(const struct net_conn *conn)
{
	return conn->tls && (conn->tls->ended || SSL_has_pending(conn->tls->ssl));
}

/* ---- files ---- */

static void read_piece(struct sm_work *work)
{
	struct piece *p = (struct piece *)((char *)work - offsetof(struct piece, work));
	size_t got = 0;
	while (got < p->size && !p->os_errno) {
		ssize_t n = pread(p->fd, p->data + got, p->size - got, (off_t)(p->at + got));
		if (n > 0)
			got += (size_t)n;
		else if (n == 0) /* shorter than the region: the peer was promised bytes that do not exist */
			p->os_errno = EIO;
		else if (errno != EINTR)
			p->os_errno = errno;
	}
	if (sm_send_reply(p->to, &p->msg))
		piece_unref(p);
}

/* false: no memory. While the pool is full nothing begins, and the caller tries again. */
static bool begin_piece(struct net_conn *conn, const struct net__node *node)
{
	struct net__tls *t = conn->tls;
	size_t size = node->size < NET_TLS_FILE_PIECE ? node->size : NET_TLS_FILE_PIECE;
	struct piece *p = malloc(sizeof *p + size);
	if (!p)
		return false;
	*p = (struct piece){.msg.type = &net__msg_tls_read, .work.run = read_piece, .fd = node->fd, .at = node->at, .size = size};
	atomic_init(&p->refs, 2);
	p->to = sm_ref_get(conn->ref);
	if (sm_pool_run(conn->listener->options.system, &p->work)) {
		sm_unref(p->to);
		free(p);
		return sm_timer_start(conn->actor, NET_TIMER_FILE, NET_TLS_RETRY_MS, 0) == SM_OK;
	}
	t->piece = p;
	t->reading = true;
	t->used = 0;
	return true;
}

bool net__tls_file_read(struct net_conn *conn, struct sm_msg *msg)
{
	struct net__tls *t = conn->tls;
	assert(t->piece == (struct piece *)msg);
	t->reading = false;
	return t->piece->os_errno == 0;
}

/* ---- writing ---- */

/* The bytes up to the next file region, at most a record. What was tried once and did not leave is there again, with more behind it. */
static struct bytes next_bytes(const struct net__out *out, uint8_t gathered[RECORD])
{
	const struct net__node *node = out->first;
	if (node->size >= RECORD || !node->next || node->next->kind == NET_NODE_FILE)
		return bytes_of(node->data, node->size < RECORD ? node->size : RECORD);
	size_t size = 0;
	for (; node && node->kind != NET_NODE_FILE && size < RECORD; node = node->next) {
		size_t n = node->size < RECORD - size ? node->size : RECORD - size;
		if (n)
			memcpy(gathered + size, node->data, n);
		size += n;
	}
	return bytes_of(gathered, size);
}

static enum net_flush next_piece(struct net_conn *conn, struct bytes *ret)
{
	struct net__tls *t = conn->tls;
	if (!t->piece && !begin_piece(conn, conn->out.first))
		return NET_FLUSH_FAILED;
	if (!t->piece || t->reading)
		return NET_FLUSH_WAITING;
	size_t left = t->piece->size - t->used;
	*ret = bytes_of(t->piece->data + t->used, left < RECORD ? left : RECORD);
	return NET_FLUSH_EMPTY;
}

static void piece_used(struct net__tls *t, size_t n)
{
	assert(t->piece && n);
	t->used += n;
	if (t->used < t->piece->size)
		return;
	piece_unref(t->piece);
	t->piece = NULL;
}

enum net_flush net__tls_flush(struct net_conn *conn, int *ret_errno)
{
	struct net__tls *t = conn->tls;
	uint8_t gathered[RECORD];
	while (conn->out.first) {
		struct bytes piece;
		bool file = conn->out.first->kind == NET_NODE_FILE && conn->out.first->size;
		enum net_flush there = file ? next_piece(conn, &piece) : NET_FLUSH_EMPTY;
		if (there != NET_FLUSH_EMPTY) {
			*ret_errno = ENOMEM;
			return there;
		}
		if (!file)
			piece = next_bytes(&conn->out, gathered);
		ERR_clear_error();
		errno = 0;
		int n = piece.size ? SSL_write(t->ssl, piece.data, (int)piece.size) : 0;
		if (piece.size && n <= 0) {
			if (failure(t, n) < 0 && errno == EAGAIN)
				return NET_FLUSH_BLOCKED;
			*ret_errno = errno ? errno : ECONNRESET;
			return NET_FLUSH_FAILED;
		}
		net__out_advance(&conn->out, conn->turn, (size_t)n);
		if (file)
			piece_used(t, (size_t)n);
	}
	return NET_FLUSH_EMPTY;
}
