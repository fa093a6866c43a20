/* Who sends a request that came from outside: Basic credentials (RFC 7617), a Bearer token (RFC 6750), or the certificate of the
 * connection.
 *
 * A password or token is checked on the pool, since that hashes for milliseconds; what was right is remembered for a moment, under a hash
 * of the whole header, so that a client that sends many requests is not checked each time. The connection is not read meanwhile: who is not
 * known has no memory for a body, and requests of one connection keep their order. */
#include "base/base64.h"
#include "net/http_internal.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <uv.h>

struct login {
	struct sm_work work; /* first */
	struct http__listener *listener;
	struct http_ticket *ticket;
	uint8_t key[32];
	bool fits;
	char *principal;                          /* "User:alice" */
	size_t user_size, secret_at, secret_size; /* secret_at 0: a token, of no user yet */
	uint8_t credentials[];                    /* user:password, or the token */
};

enum sm_err http__logins_init(struct http__logins *l)
{
	*l = (struct http__logins){0};
	l->known = calloc(HTTP_LOGINS_KNOWN, sizeof *l->known);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
	return l->known ? SM_OK : SM_NO_MEMORY;
}

void http__logins_done(struct http__logins *l)
{
	pthread_mutex_lock(&l->lock);
	while (l->under_way)
		pthread_cond_wait(&l->changed, &l->lock);
	pthread_mutex_unlock(&l->lock);
	for (uint32_t i = 0; l->known && i < HTTP_LOGINS_KNOWN; i++)
		free(l->known[i].principal);
	free(l->known);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
}

static struct http__known *slot_of(struct http__logins *l, const uint8_t key[32])
{
	return &l->known[be32_get(key) % HTTP_LOGINS_KNOWN];
}

/* A copy in the request's arena, or NULL. */
static const char *find_known(struct http__logins *l, const uint8_t key[32], struct arena *arena)
{
	const char *principal = NULL;
	pthread_mutex_lock(&l->lock);
	struct http__known *k = slot_of(l, key);
	if (k->principal && k->until_ns > uv_hrtime() && CRYPTO_memcmp(k->key, key, 32) == 0)
		principal = arena_string(arena, k->principal, strlen(k->principal));
	pthread_mutex_unlock(&l->lock);
	return principal;
}

static void remember(struct http__logins *l, const uint8_t key[32], const char *principal)
{
	char *copy = strdup(principal);
	pthread_mutex_lock(&l->lock);
	struct http__known *k = slot_of(l, key);
	free(k->principal);
	memcpy(k->key, key, 32);
	k->principal = copy;
	k->until_ns = uv_hrtime() + HTTP_LOGIN_KNOWN_MS * 1000000ull;
	pthread_mutex_unlock(&l->lock);
}

static int refuse_unknown(struct http__request *r, const char **ret_why)
{
	http_reply_header(&r->public, "WWW-Authenticate", "Basic realm=\"smack\", charset=\"UTF-8\"");
	http_reply_header(&r->public, "WWW-Authenticate", "Bearer realm=\"smack\"");
	*ret_why = "say who you are: Authorization: Basic, with a user of security.users, or Bearer, with a token";
	return 401;
}

/* "Basic dXNlcjpwYXNz" to "user:pass" in out. */
static bool basic_credentials(struct bytes header, uint8_t *out, size_t *ret_size)
{
	if (!header.data || header.size < 7 || !http__same(bytes_of(header.data, 6), "basic "))
		return false;
	struct bytes text = bytes_of(header.data + 6, header.size - 6);
	while (text.size && *text.data == ' ')
		text = bytes_of(text.data + 1, text.size - 1);
	return base64_decode(text, out, HTTP_CREDENTIALS_MAX, ret_size) && !memchr(out, 0, *ret_size) &&
	       memchr(out, ':', *ret_size) != NULL;
}

/* "Bearer smack_..." to the token. A colon is no part of one, so none is "user:pass". */
static bool bearer_token(struct bytes header, uint8_t *out, size_t *ret_size)
{
	if (!header.data || header.size < 8 || !http__same(bytes_of(header.data, 7), "bearer "))
		return false;
	*ret_size = header.size - 7;
	if (*ret_size > HTTP_CREDENTIALS_MAX || memchr(header.data + 7, ':', *ret_size))
		return false;
	memcpy(out, header.data + 7, *ret_size);
	return true;
}

int http__login_begin(struct http__request *r, const char **ret_why)
{
	struct http__conn *c = r->conn;
	struct bytes header = http_header(&r->public, "authorization");
	const char *subject = net_conn_subject(c->net);
	if (!c->listener->options.login || (!header.data && *subject)) {
		/* The handshake has asked for the certificate. */
		if (!*subject)
			return refuse_unknown(r, ret_why);
		r->principal = arena_printf(&r->arena, "User:%s", subject);
		return r->principal ? 0 : 500;
	}
	uint8_t credentials[HTTP_CREDENTIALS_MAX];
	size_t size = 0;
	bool token = bearer_token(header, credentials, &size);
	if (!token && !basic_credentials(header, credentials, &size))
		return refuse_unknown(r, ret_why);
	struct login *login = calloc(1, sizeof *login + size + 1);
	if (!login || EVP_Digest(credentials, size, login->key, NULL, EVP_sha256(), NULL) != 1) {
		free(login);
		return 500;
	}
	if ((r->principal = find_known(&c->server->logins, login->key, &r->arena))) {
		free(login);
		OPENSSL_cleanse(credentials, sizeof credentials);
		return 0;
	}
	login->listener = c->listener;
	if (!token) {
		login->user_size = (size_t)((uint8_t *)memchr(credentials, ':', size) - credentials);
		login->secret_at = login->user_size + 1;
	}
	login->secret_size = size - login->secret_at;
	memcpy(login->credentials, credentials, size);
	OPENSSL_cleanse(credentials, sizeof credentials);
	r->login = login;
	return 0;
}

void http__login_free(struct login *login)
{
	if (!login)
		return;
	OPENSSL_cleanse(login->credentials, login->secret_at + login->secret_size);
	free(login->principal);
	free(login);
}

/* On the connection's dispatcher again. */
static void login_done(struct http_request *request, void *arg)
{
	struct login *login = arg;
	if (request) {
		struct http__request *r = http__request_of(request);
		const char *why = NULL;
		int status = 0;
		if (!login->fits)
			status = refuse_unknown(r, &why);
		else if (!(r->principal = arena_string(&r->arena, login->principal, strlen(login->principal))))
			status = 500;
		r->conn->version->login_over(r, status, why);
	}
	http__login_free(login);
}

static void login_run(struct sm_work *work)
{
	struct login *login = (struct login *)work;
	const struct http_listen_options *o = &login->listener->options;
	struct http__logins *l = &login->listener->server->logins;
	struct bytes user = login->secret_at ? bytes_of(login->credentials, login->user_size) : (struct bytes){0};
	struct bytes secret = bytes_of(login->credentials + login->secret_at, login->secret_size);
	char *name = NULL;
	login->fits = o->login(o->arg, user, secret, &name) && asprintf(&login->principal, "User:%s", name) > 0;
	free(name);
	if (login->fits)
		remember(l, login->key, login->principal);
	http_ticket_post(login->ticket, login_done, login);
	pthread_mutex_lock(&l->lock);
	if (--l->under_way == 0)
		pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

void http__login_check(struct http__request *r)
{
	struct login *login = r->login;
	struct http__logins *l = &r->conn->server->logins;
	r->login = NULL;
	/* Syncs and reads of others go on beside it. */
	login->work = (struct sm_work){.run = login_run, .waits = true};
	pthread_mutex_lock(&l->lock);
	bool room = l->under_way < HTTP_LOGINS_MAX;
	l->under_way += room;
	pthread_mutex_unlock(&l->lock);
	if (room && (login->ticket = http_ticket(&r->public)) && !sm_pool_run(r->conn->server->options.system, &login->work))
		return;
	if (login->ticket) /* the pool is full */
		http_ticket_drop(login->ticket);
	pthread_mutex_lock(&l->lock);
	l->under_way -= room;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	http__login_free(login);
	http_reply_header(&r->public, "Retry-After", "1");
	r->conn->version->login_over(r, 503, "too many logins at a time: send the request again");
}
