/* Logins: PasswordAuthenticator's message, SASL PLAIN without its name ([authzid] 0 name 0 password), checked on the pool, a few at a time.
 *
 * Texts are those of Apache Cassandra's PasswordAuthenticator. */
#include "cql/server_internal.h"

#include "auth/auth.h"
#include "base/logging.h"
#include <openssl/crypto.h>
#include <stdio.h>

/* From the end, as Cassandra reads it. false: the error is made. */
static bool split(struct request *r, struct bytes token, struct bytes *ret_name, struct bytes *ret_password)
{
	size_t end = token.size;
	int parts = 0;
	for (size_t i = token.size; i-- > 0;) {
		if (token.data[i] != 0)
			continue;
		if (parts == 2) {
			(void)cql__fail(&r->error, CQL_BAD_CREDENTIALS,
					"Credential format error: username or password is empty or contains NUL(\\0) character");
			return false;
		}
		*(parts == 0 ? ret_password : ret_name) = bytes_of(token.data + i + 1, end - i - 1);
		parts++;
		end = i;
	}
	if (parts == 0 || !ret_password->size)
		(void)cql__fail(&r->error, CQL_BAD_CREDENTIALS, "Password must not be null");
	else if (parts == 1 || !ret_name->size)
		(void)cql__fail(&r->error, CQL_BAD_CREDENTIALS, "Authentication ID must not be null");
	else
		return true;
	return false;
}

/* A password that everybody knows is good for the machine itself only. */
static bool is_first_password(const struct request *r, const char *name, struct bytes password)
{
	return !r->from_loopback && strcmp(name, "cassandra") == 0 && bytes_equal(password, BYTES("cassandra"));
}

/* Of no password that anyone has: who is not there is hashed for as long. */
static const char nobody[] = "$2a$10$abcdefghijklmnopqrstuuVwHXeZ2gDvJoYHqyaYTRHuQZeTUYzW2";

static void check(struct request *r, const char *name, struct bytes password)
{
	const struct cql_role *role = cql__role_find(r->context.roles, name);
	bool fits = auth_password_fits(role && role->hash ? role->hash : nobody, password);
	if (!fits || !role || !role->hash)
		(void)cql__fail(&r->error, CQL_BAD_CREDENTIALS, "Provided username %s and/or password are incorrect", name);
	else if (!role->login)
		(void)cql__fail(&r->error, CQL_BAD_CREDENTIALS, "%s is not permitted to log in", name);
	else if (is_first_password(r, name, password))
		(void)cql__fail(&r->error, CQL_BAD_CREDENTIALS,
				"The first password of %s is taken from this machine only: change it there with ALTER ROLE", name);
	else
		r->logged_in = name;
}

static void answer(struct request *r)
{
	if (!r->logged_in) {
		LOG_INFO("cql", "connection %s: login failed: %s", r->peer, r->error.text);
		cql__put_error(&r->out, &r->reply, &r->error);
		return;
	}
	size_t start = cql__frame_begin(&r->out, &r->reply, NULL, 0);
	buf_be32(&r->out, UINT32_MAX); /* null */
	cql__frame_end(&r->out, start, CQL_OP_AUTH_SUCCESS, &r->reply, 0);
}

static void login(struct request *r)
{
	struct byte_reader in = byte_reader(r->body);
	struct bytes name = {0}, password = {0};
	struct bytes token = cql__read_long_string(&in);
	const char *text;
	if (in.failed)
		token = bytes_of("", 0);
	if (split(r, token, &name, &password)) {
		text = arena_string(&r->arena, (const char *)name.data, name.size);
		if (!text || name.size > AUTH_NAME_MAX)
			(void)cql__fail(&r->error, CQL_BAD_CREDENTIALS, "Provided username and/or password are incorrect");
		else
			check(r, text, password);
	}
	OPENSSL_cleanse((void *)r->body.data, r->body.size);
	answer(r);
}

/* One of the few: takes what waits until there is nothing. */
static void work(struct sm_work *w)
{
	struct request *r = (struct request *)((char *)w - offsetof(struct request, work));
	struct cql_server *s = r->server;
	while (r) {
		login(r);
		pthread_mutex_lock(&s->lock);
		struct request *next = s->logins;
		if (next)
			s->logins = next->next_login;
		else
			s->login_workers--;
		pthread_mutex_unlock(&s->lock);
		request__send_back(r);
		r = next;
	}
}

bool request__start_login(struct request *r)
{
	struct cql_server *s = r->server;
	r->waiting = REQUEST_READ;
	pthread_mutex_lock(&s->lock);
	bool wait = s->login_workers >= CQL_LOGINS_MAX;
	if (wait) {
		struct request **last = &s->logins;
		while (*last)
			last = &(*last)->next_login;
		*last = r;
	} else {
		s->login_workers++;
	}
	pthread_mutex_unlock(&s->lock);
	r->work.run = work;
	if (wait || sm_pool_run(s->system, &r->work) == SM_OK)
		return false;
	pthread_mutex_lock(&s->lock);
	s->login_workers--;
	pthread_mutex_unlock(&s->lock);
	(void)cql__fail(&r->error, CQL_OVERLOADED, "Too many requests are waiting: log in again");
	cql__put_error(&r->out, &r->reply, &r->error);
	return true;
}
