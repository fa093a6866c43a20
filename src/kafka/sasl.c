/* SaslHandshake and SaslAuthenticate, and what a connection may ask before it has logged in.
 *
 * Sources: Kafka protocol guide, "SASL Authentication Sequence"; KIP-43, KIP-152 (SaslAuthenticate; after SaslHandshake version 0 the
 * messages of a login come without any header), KIP-368 (sessions that end). The order that is asked for, the errors and their texts
 * are those of Apache Kafka 4.1's broker. */
#include "kafka/kafka_internal.h"
#include "base/logging.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* One step of a login, the state of its request. */
struct login {
	struct auth_sasl *sasl; /* the session's, while the step is under way */
	struct bytes token;
	struct buf out;
	enum auth_step result;
	bool counted; /* in server->logins */
	bool raw;
};

struct kafka_principal *kafka__principal_new(const char *type, const char *name)
{
	size_t size = strlen(type) + strlen(name) + 2;
	struct kafka_principal *p = malloc(sizeof *p + size);
	if (!p)
		return NULL;
	atomic_init(&p->refs, 1);
	snprintf(p->name, size, "%s:%s", type, name);
	return p;
}

void kafka__principal_unref(struct kafka_principal *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}

bool kafka__session_init(struct kafka_session *s, const struct kafka_listener *listener, const struct net_conn *net)
{
	*s = (struct kafka_session){.state = listener->sasl ? SESSION_BEGUN : SESSION_OPEN};
	const char *subject = net_conn_subject(net);
	s->principal = kafka__principal_new("User", *subject ? subject : "ANONYMOUS");
	return s->principal != NULL;
}

void kafka__session_done(struct kafka_session *s)
{
	auth_sasl_free(s->sasl);
	kafka__principal_unref(s->principal);
	*s = (struct kafka_session){0};
}

/* A login anew is begun by a handshake, at most once a second; else that is an ordinary request, which is refused. */
static bool begins_again(const struct kafka_session *s, const struct kafka_request *r, uint64_t now_ns)
{
	return s->expires_ns && r->frame_size >= 2 && be16_get(r->frame) == KAFKA_SASL_HANDSHAKE && now_ns - s->since_ns >= 1000000000;
}

enum kafka_admission kafka__session_admit(struct kafka_session *s, const struct kafka_request *r)
{
	int key = r->frame_size >= 2 ? (int16_t)be16_get(r->frame) : -1;
	uint64_t now = s->expires_ns ? clock_monotonic_ns(&clock_system) : 0;
	switch (s->state) {
	case SESSION_OPEN:
		if (begins_again(s, r, now))
			s->state = SESSION_AGAIN;
		else if (s->expires_ns && now > s->expires_ns)
			return ADMIT_NOT;
		return ADMIT;
	case SESSION_BEGUN: return key == KAFKA_API_VERSIONS || key == KAFKA_SASL_HANDSHAKE ? ADMIT : ADMIT_NOT;
	case SESSION_TOLD: return key == KAFKA_SASL_HANDSHAKE ? ADMIT : ADMIT_NOT;
	case SESSION_TOKENS: return s->raw ? ADMIT_TOKEN : key == KAFKA_SASL_AUTHENTICATE ? ADMIT : ADMIT_ILLEGAL;
	case SESSION_AGAIN:
	case SESSION_REFUSED: break;
	}
	return ADMIT_NOT;
}

void kafka__session_told(struct kafka_request *r)
{
	struct kafka_session *s = kafka__session(r);
	if (s->state == SESSION_BEGUN)
		s->state = SESSION_TOLD;
}

/* ---- SaslHandshake ---- */

static bool list_mechanisms(struct kafka_request *r, struct kafka_sasl_handshake_response *reply)
{
	reply->mechanisms = kafka__alloc(r, AUTH_MECHANISMS, sizeof *reply->mechanisms);
	for (int m = 0; reply->mechanisms && m < AUTH_MECHANISMS; m++)
		if (r->listener->sasl & AUTH_BIT(m))
			reply->mechanisms[reply->mechanisms_count++] = bytes_str(auth_mechanism_name((enum auth_mechanism)m));
	return reply->mechanisms != NULL;
}

/* -1: not of this listener. */
static int asked_mechanism(const struct kafka_request *r)
{
	const struct kafka_sasl_handshake_request *q = r->body;
	int m = AUTH_MECHANISMS - 1;
	while (m >= 0 &&
	       !((r->listener->sasl & AUTH_BIT(m)) && bytes_equal(q->mechanism, bytes_str(auth_mechanism_name((enum auth_mechanism)m)))))
		m--;
	return m;
}

void kafka__sasl_handshake(struct kafka_request *r)
{
	struct kafka_sasl_handshake_response *reply = r->reply;
	struct kafka_session *s = kafka__session(r);
	if (s->state == SESSION_OPEN) { /* nobody asked for a login, or it is done */
		reply->error_code = KAFKA_ILLEGAL_SASL_STATE;
		kafka__finish(r);
		return;
	}
	int mechanism = asked_mechanism(r);
	bool again = s->state == SESSION_AGAIN;
	s->state = SESSION_REFUSED;
	if (!list_mechanisms(r, reply)) {
		kafka__abort(r);
		return;
	}
	if (mechanism < 0) {
		reply->error_code = KAFKA_UNSUPPORTED_SASL_MECHANISM;
		kafka__later(r, KAFKA_LOGIN_FAILED_MS, kafka__finish_last);
		return;
	}
	/* Another mechanism than before is answered well, but not listened to. */
	if (!again || s->mechanism == (enum auth_mechanism)mechanism) {
		auth_sasl_free(s->sasl);
		s->sasl = auth_sasl_new(r->server->accounts, (enum auth_mechanism)mechanism);
		s->state = SESSION_TOKENS;
		s->raw = r->version.version == 0;
		if (!s->sasl) {
			kafka__abort(r);
			return;
		}
	}
	kafka__finish(r);
}

/* ---- a step of the login ---- */

static void login_uncount(struct kafka_request *r, struct login *l)
{
	if (l->counted)
		atomic_fetch_sub(&r->server->logins, 1);
	l->counted = false;
}

static void login_done(struct kafka_request *r)
{
	struct login *l = r->state;
	login_uncount(r, l);
	auth_sasl_free(l->sasl);
	buf_done(&l->out);
}

static void login_run(struct kafka_request *r)
{
	struct login *l = r->state;
	l->result = auth_sasl_step(l->sasl, l->token, &l->out);
	login_uncount(r, l);
}

/* Hashing takes milliseconds: a few at a time, so that those who sync and read on the pool are not kept out by a flood of logins. */
static void login_try(struct kafka_request *r)
{
	struct login *l = r->state;
	if (atomic_fetch_add(&r->server->logins, 1) < KAFKA_LOGINS_MAX) {
		l->counted = true;
		kafka__pool(r, login_run);
		return;
	}
	atomic_fetch_sub(&r->server->logins, 1);
	kafka__later(r, KAFKA_RETRY_MS, login_try);
}

/* Tell the client and end, later than at once: who guesses passwords shall wait. */
static void refused(struct kafka_request *r)
{
	struct login *l = r->state;
	if (l->raw)
		kafka__abort(r);
	else
		kafka__finish_last(r);
}

static void refuse(struct kafka_request *r, const char *text)
{
	struct login *l = r->state;
	struct kafka_session *s = kafka__session(r);
	LOG_INFO("kafka", "connection %s: login by %s failed", r->peer, auth_mechanism_name(auth_sasl_mechanism(l->sasl)));
	s->state = SESSION_REFUSED;
	if (!l->raw) {
		struct kafka_sasl_authenticate_response *reply = r->reply;
		reply->error_code = KAFKA_SASL_AUTHENTICATION_FAILED;
		reply->error_message = kafka__text(text);
	}
	kafka__later(r, KAFKA_LOGIN_FAILED_MS, refused);
}

static const char *reason_of(struct kafka_request *r, const struct login *l)
{
	const char *told = auth_sasl_reason(l->sasl);
	if (told)
		return arena_string(&r->arena, told, strlen(told));
	static const char before[] = "Authentication failed during authentication due to invalid credentials with SASL mechanism ";
	const char *name = auth_mechanism_name(auth_sasl_mechanism(l->sasl));
	char *text = kafka__alloc(r, 1, sizeof before + strlen(name));
	if (text)
		strcpy(stpcpy(text, before), name);
	return text;
}

/* The session is open from now on. false: not, the answer is made. */
static bool open_session(struct kafka_request *r, struct login *l, int64_t *ret_lifetime_ms)
{
	struct kafka_session *s = kafka__session(r);
	struct kafka_principal *p = kafka__principal_new("User", auth_sasl_user(l->sasl));
	if (!p) {
		kafka__abort(r);
		return false;
	}
	if (s->since_ns && strcmp(p->name, s->principal->name) != 0) {
		kafka__principal_unref(p);
		refuse(r, "Cannot change principals during re-authentication");
		return false;
	}
	kafka__principal_unref(s->principal);
	s->principal = p;
	s->mechanism = auth_sasl_mechanism(l->sasl);
	s->since_ns = clock_monotonic_ns(&clock_system);
	*ret_lifetime_ms = r->server->session_max_ms;
	s->expires_ns = r->server->session_max_ms ? s->since_ns + (uint64_t)r->server->session_max_ms * 1000000 : 0;
	s->state = SESSION_OPEN;
	return true;
}

static void answer(struct kafka_request *r, struct bytes token, int64_t lifetime_ms)
{
	struct login *l = r->state;
	if (l->raw) {
		buf_be32(&r->out, (uint32_t)token.size);
		buf_append_bytes(&r->out, token);
		r->encoded = true;
	} else {
		struct kafka_sasl_authenticate_response *reply = r->reply;
		reply->error_message = KAFKA_EMPTY;
		reply->auth_bytes = token.size ? token : KAFKA_EMPTY;
		reply->session_lifetime_ms = lifetime_ms;
	}
	kafka__finish(r);
}

static void login_answered(struct kafka_request *r)
{
	struct login *l = r->state;
	struct kafka_session *s = kafka__session(r);
	int64_t lifetime_ms = 0;
	if (l->result == AUTH_FAILED || l->out.failed) {
		refuse(r, reason_of(r, l));
		return;
	}
	if (l->result == AUTH_COMPLETE && !open_session(r, l, &lifetime_ms))
		return;
	if (l->result == AUTH_CONTINUE) {
		s->sasl = l->sasl;
		l->sasl = NULL;
	}
	answer(r, buf_bytes(&l->out), lifetime_ms);
}

static void take_step(struct kafka_request *r, struct bytes token, bool raw)
{
	struct kafka_session *s = kafka__session(r);
	struct login *l = kafka__alloc(r, 1, sizeof *l);
	assert(s->sasl);
	if (!l) {
		kafka__abort(r);
		return;
	}
	*l = (struct login){.sasl = s->sasl, .token = token, .raw = raw};
	buf_init(&l->out);
	s->sasl = NULL;
	r->state = l;
	r->done = login_done;
	r->step = login_answered;
	login_try(r);
}

void kafka__sasl_token(struct kafka_request *r)
{
	take_step(r, bytes_of(r->frame, r->frame_size), true);
}

void kafka__sasl_illegal(struct kafka_request *r)
{
	struct kafka_member error = kafka__member(r->api->response, r->reply, "error_code");
	if (error.field)
		*(int16_t *)error.value = KAFKA_ILLEGAL_SASL_STATE;
	kafka__session(r)->state = SESSION_REFUSED;
	kafka__later(r, KAFKA_LOGIN_FAILED_MS, kafka__finish_last);
}

void kafka__sasl_authenticate(struct kafka_request *r)
{
	const struct kafka_sasl_authenticate_request *q = r->body;
	struct kafka_sasl_authenticate_response *reply = r->reply;
	if (kafka__session(r)->state == SESSION_TOKENS) {
		take_step(r, q->auth_bytes, false);
		return;
	}
	reply->error_code = KAFKA_ILLEGAL_SASL_STATE;
	reply->error_message = kafka__text("SaslAuthenticate request received after successful authentication");
	reply->auth_bytes = KAFKA_EMPTY;
	kafka__finish(r);
}
