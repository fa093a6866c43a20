#include "net/tls_internal.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/logging.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILES 3
struct net_tls {
	struct sm_system *system;
	char *files[FILES]; /* certificate, key, client_ca; NULL: none */
	enum net_tls_clients clients;
	bool for_clients;
	pthread_mutex_t lock;
	pthread_cond_t looked;
	SSL_CTX *context;
	struct stat seen[FILES]; /* the files when they were read last, well or not */
	uint64_t look_ns;        /* when the next look is due */
	bool looking;
	struct sm_work work;
};

const char *net__tls_error(char out[160])
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	snprintf(out, 160, "%s", reason ? reason : "no reason is given");
	ERR_clear_error();
	return out;
}

/* ---- the context ---- */

static enum sm_err fail(struct sm_error *reterr, const char *what, const char *path)
{
	char text[160];
	return sm_fail(reterr, SM_INVALID, "TLS: %s %s: %s", path, what, net__tls_error(text));
}

static enum sm_err load(SSL_CTX *context, const struct net_tls *tls, struct sm_error *reterr)
{
	const char *certificate = tls->files[0], *key = tls->files[1], *client_ca = tls->files[2];
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return fail(reterr, "is no PEM file with a certificate", certificate);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return fail(reterr, "is no PEM file with the certificate's private key, without a passphrase", key);
	if (SSL_CTX_check_private_key(context) != 1)
		return fail(reterr, "is not the key of the certificate", key);
	if (tls->clients == NET_TLS_NONE)
		return SM_OK;
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
	if (!names || SSL_CTX_load_verify_file(context, client_ca) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return fail(reterr, "is no PEM file with certificates", client_ca);
	}
	SSL_CTX_set_client_CA_list(context, names);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (tls->clients == NET_TLS_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	return SM_OK;
}

/* A passphrase is never asked for: the server would wait for a terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
	return -1;
}

static bool asks_for(const unsigned char *in, unsigned in_size, const char *want, const unsigned char **out, unsigned char *out_size)
{
	size_t size = strlen(want);
	for (unsigned at = 0; at < in_size && in[at] < in_size - at; at += 1u + in[at]) {
		if (in[at] != size || memcmp(in + at + 1, want, size) != 0)
			continue;
		*out = in + at + 1;
		*out_size = in[at];
		return true;
	}
	return false;
}

/* RFC 9113 9.2.2 and its appendix A: with TLS 1.2 only ciphers that keep past sessions secret and authenticate what they encrypt. */
static bool good_for_h2(SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
	if (SSL_version(ssl) >= TLS1_3_VERSION)
		return true;
	int exchange = cipher ? SSL_CIPHER_get_kx_nid(cipher) : NID_undef;
	return (exchange == NID_kx_ecdhe || exchange == NID_kx_dhe) && SSL_CIPHER_is_aead(cipher);
}

/* What HTTP's clients ask for (RFC 7301); others ask for nothing, or for what is not spoken here and get no answer to it. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in, unsigned in_size,
			   void *arg)
{
	bool found = (good_for_h2(ssl) && asks_for(in, in_size, "h2", out, out_size)) || asks_for(in, in_size, "http/1.1", out, out_size);
	return found ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static enum sm_err make_context(const struct net_tls *tls, SSL_CTX **ret_context, struct sm_error *reterr)
{
	ERR_clear_error();
	SSL_CTX *context = SSL_CTX_new(tls->for_clients ? TLS_client_method() : TLS_server_method());
	if (!context)
		return sm_fail(reterr, SM_NO_MEMORY, "TLS: no memory");
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
					     SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	enum sm_err err = load(context, tls, reterr);
	if (err)
		SSL_CTX_free(context);
	else
		*ret_context = context;
	return err;
}

/* ---- the files ---- */

static enum sm_err look(const struct net_tls *tls, struct stat st[FILES], struct sm_error *reterr)
{
	for (int i = 0; i < FILES; i++) {
		st[i] = (struct stat){0};
		if (tls->files[i] && stat(tls->files[i], &st[i]))
			return sm_fail_errno(reterr, errno, "TLS: cannot look at %s", tls->files[i]);
	}
	if (st[1].st_mode & 027)
		return sm_fail(reterr, SM_DENIED, "TLS: others may read or write the private key %s (mode %04o): run chmod 600 on it",
			       tls->files[1], (unsigned)st[1].st_mode & 07777);
	return SM_OK;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look_again(struct net_tls *tls)
{
	struct stat now[FILES];
	struct sm_error error = {0};
	SSL_CTX *context = NULL;
	enum sm_err err = look(tls, now, &error);
	bool changed = false;
	for (int i = 0; i < FILES; i++)
		changed |= !same(&now[i], &tls->seen[i]);
	if (changed) {
		memcpy(tls->seen, now, sizeof now);
		if (!err)
			err = make_context(tls, &context, &error);
		if (err)
			LOG_ERROR("net", "the certificate stays as it was: %s", error.text);
		else
			LOG_INFO("net", "TLS: %s is read again", tls->files[0]);
	}
	pthread_mutex_lock(&tls->lock);
	SSL_CTX *before = context ? tls->context : NULL;
	if (context)
		tls->context = context;
	tls->look_ns = clock_monotonic_ns(&clock_system) + NET_TLS_LOOK_MS * 1000000ull;
	tls->looking = false;
	pthread_cond_broadcast(&tls->looked);
	pthread_mutex_unlock(&tls->lock);
	SSL_CTX_free(before);
}

static void look_work(struct sm_work *work)
{
	look_again((struct net_tls *)((char *)work - offsetof(struct net_tls, work)));
}

SSL_CTX *net__tls_context(struct net_tls *tls)
{
	pthread_mutex_lock(&tls->lock);
	SSL_CTX *context = SSL_CTX_up_ref(tls->context) ? tls->context : NULL;
	bool due = !tls->looking && clock_monotonic_ns(&clock_system) >= tls->look_ns;
	if (due)
		tls->looking = true;
	pthread_mutex_unlock(&tls->lock);
	if (!due)
		return context;
	tls->work.run = look_work;
	if (sm_pool_run(tls->system, &tls->work)) {
		pthread_mutex_lock(&tls->lock);
		tls->looking = false; /* the pool is full: the next client tries again */
		pthread_mutex_unlock(&tls->lock);
	}
	return context;
}

enum sm_err net_tls_pin(struct net_tls *tls, char ret_pin[NET_TLS_PIN_MAX])
{
	SSL_CTX *context = net__tls_context(tls);
	X509 *certificate = context ? SSL_CTX_get0_certificate(context) : NULL;
	uint8_t digest[32], *key = NULL;
	int size = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key) : -1;
	struct buf text;
	buf_init(&text);
	bool ok = size > 0 && EVP_Digest(key, (size_t)size, digest, NULL, EVP_sha256(), NULL) == 1;
	if (ok) {
		base64_append(&text, bytes_of(digest, sizeof digest));
		ok = !text.failed;
	}
	if (ok)
		snprintf(ret_pin, NET_TLS_PIN_MAX, "sha256//%.*s", (int)buf_size(&text), (const char *)buf_bytes(&text).data);
	buf_done(&text);
	OPENSSL_free(key);
	SSL_CTX_free(context);
	return ok ? SM_OK : SM_NO_MEMORY;
}

bool net__tls_is_client(const struct net_tls *tls)
{
	return tls->for_clients;
}

bool net_tls_asks_clients(const struct net_tls *tls)
{
	return tls->clients == NET_TLS_REQUIRED;
}

void net_tls_look(struct net_tls *tls)
{
	pthread_mutex_lock(&tls->lock);
	while (tls->looking)
		pthread_cond_wait(&tls->looked, &tls->lock);
	tls->looking = true;
	pthread_mutex_unlock(&tls->lock);
	look_again(tls);
}

/* ---- life ---- */

enum sm_err net_tls_new(const struct net_tls_options *options, struct net_tls **ret_tls, struct sm_error *reterr)
{
	const char *const files[FILES] = {options->certificate, options->key, options->clients == NET_TLS_NONE ? NULL : options->client_ca};
	struct net_tls *tls = calloc(1, sizeof *tls);
	if (!tls)
		return sm_fail(reterr, SM_NO_MEMORY, "TLS: no memory");
	tls->system = options->system;
	tls->clients = options->clients;
	tls->for_clients = options->for_clients;
	pthread_mutex_init(&tls->lock, NULL);
	pthread_cond_init(&tls->looked, NULL);
	enum sm_err err = SM_OK;
	for (int i = 0; i < FILES && !err; i++)
		if (files[i] && !(tls->files[i] = strdup(files[i])))
			err = sm_fail(reterr, SM_NO_MEMORY, "TLS: no memory");
	if (!err && !(err = look(tls, tls->seen, reterr)))
		err = make_context(tls, &tls->context, reterr);
	tls->look_ns = clock_monotonic_ns(&clock_system) + NET_TLS_LOOK_MS * 1000000ull;
	if (err)
		net_tls_free(tls);
	else
		*ret_tls = tls;
	return err;
}

void net_tls_free(struct net_tls *tls)
{
	if (!tls)
		return;
	pthread_mutex_lock(&tls->lock);
	while (tls->looking)
		pthread_cond_wait(&tls->looked, &tls->lock);
	pthread_mutex_unlock(&tls->lock);
	SSL_CTX_free(tls->context);
	for (int i = 0; i < FILES; i++)
		free(tls->files[i]);
	pthread_cond_destroy(&tls->looked);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}
