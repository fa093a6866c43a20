/* The exchanges. Sources: RFC 4616 (PLAIN), RFC 5802 (SCRAM), RFC 7677 (SCRAM-SHA-256). The reasons that clients are told are those of
 * Apache Kafka's broker. */
#include "auth/auth_internal.h"
#include "base/uuid.h"
#include <assert.h>
#include <ctype.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum state { BEGUN, CHALLENGED, ENDED };
struct auth_sasl {
	struct auth_users *users;
	enum auth_mechanism mechanism;
	enum state state;
	const char *reason;
	char text[80]; /* of a reason that names a number */
	const char *nonce_for_tests;
	char user[AUTH_NAME_MAX + 1];
	bool known; /* the user is in the file */
	enum auth_hash hash;
	struct auth_keys keys;
	struct buf gs2;      /* "n,,": what the client must repeat */
	struct buf message;  /* RFC 5802's AuthMessage as far as it is known */
	struct buf nonce;    /* both halves */
	size_t client_nonce; /* bytes of the first */
};

static const char *const names[] = {
#define X(NAME, name) [AUTH_##NAME] = name,
#include "auth/mechanisms.def"
#undef X
};

const char *auth_mechanism_name(enum auth_mechanism mechanism)
{
	return names[mechanism];
}

enum sm_err auth_mechanisms_parse(const char *text, unsigned *ret_set, struct sm_error *reterr)
{
	unsigned set = 0;
	for (const char *at = text; *at;) {
		size_t size = strcspn(at, ", \t"), i = 0;
		while (i < AUTH_MECHANISMS && !bytes_equal(bytes_of(at, size), bytes_str(names[i])))
			i++;
		if (size && i == AUTH_MECHANISMS)
			return sm_fail(reterr, SM_INVALID, "'%.*s' is no SASL mechanism here; known: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
				       (int)size, at);
		if (size)
			set |= AUTH_BIT(i);
		at += size + (at[size] != 0);
	}
	*ret_set = set;
	return SM_OK;
}

struct auth_sasl *auth_sasl_new(struct auth_users *users, enum auth_mechanism mechanism)
{
	struct auth_sasl *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->users = users;
	s->mechanism = mechanism;
	s->hash = mechanism == AUTH_SCRAM_SHA_512 ? AUTH_SHA_512 : AUTH_SHA_256;
	buf_init(&s->gs2);
	buf_init(&s->message);
	buf_init(&s->nonce);
	return s;
}

void auth_sasl_free(struct auth_sasl *s)
{
	if (!s)
		return;
	buf_done(&s->gs2);
	buf_done(&s->message);
	buf_done(&s->nonce);
	OPENSSL_cleanse(s, sizeof *s);
	free(s);
}

void auth__sasl_nonce(struct auth_sasl *s, const char *nonce)
{
	s->nonce_for_tests = nonce;
}

enum auth_mechanism auth_sasl_mechanism(const struct auth_sasl *s)
{
	return s->mechanism;
}

const char *auth_sasl_user(const struct auth_sasl *s)
{
	return s->user;
}

const char *auth_sasl_reason(const struct auth_sasl *s)
{
	return s->reason;
}

static enum auth_step fail(struct auth_sasl *s, const char *reason)
{
	s->state = ENDED;
	s->reason = reason;
	OPENSSL_cleanse(&s->keys, sizeof s->keys);
	return AUTH_FAILED;
}

#define OTHER_AUTHZID "Authentication failed: Client requested an authorization id that is different from username"

/* ---- PLAIN: [authzid] NUL name NUL password ---- */

static enum auth_step plain(struct auth_sasl *s, struct bytes in)
{
	struct bytes parts[3] = {{0}};
	size_t count = 0, from = 0;
	assert(in.data || !in.size);
	for (size_t i = 0; i <= in.size; i++) {
		if (i < in.size && in.data[i])
			continue;
		if (count < 3)
			parts[count] = bytes_of(in.data + from, i - from);
		count++;
		from = i + 1;
	}
	if (count != 3) {
		snprintf(s->text, sizeof s->text, "Invalid SASL/PLAIN response: expected 3 tokens, got %zu", count);
		return fail(s, s->text);
	}
	struct bytes authzid = parts[0], name = parts[1], password = parts[2];
	if (name.size > AUTH_NAME_MAX || password.size > AUTH_PASSWORD_MAX)
		return fail(s, NULL);
	if (!name.size)
		return fail(s, "Authentication failed: username not specified");
	if (!password.size)
		return fail(s, "Authentication failed: password not specified");
	struct auth_keys given;
	bool known = auth__users_any_keys(s->users, name, &s->hash, &s->keys);
	given = s->keys;
	bool ok = auth__scram_keys(s->hash, password, &given) && known &&
		  CRYPTO_memcmp(given.stored, s->keys.stored, auth__hash_size(s->hash)) == 0;
	OPENSSL_cleanse(&given, sizeof given);
	if (!ok)
		return fail(s, "Authentication failed: Invalid username or password");
	if (authzid.size && !bytes_equal(authzid, name))
		return fail(s, OTHER_AUTHZID);
	memcpy(s->user, name.data, name.size);
	s->user[name.size] = 0;
	s->state = ENDED;
	return AUTH_COMPLETE;
}

/* ---- SCRAM ---- */

/* Printable and without a comma. */
static void append_nonce(struct auth_sasl *s)
{
	uint8_t random[24];
	if (s->nonce_for_tests) {
		buf_append_str(&s->nonce, s->nonce_for_tests);
		return;
	}
	random_bytes(random, sizeof random);
	base64_append(&s->nonce, bytes_of(random, sizeof random));
}

static enum auth_step scram_first(struct auth_sasl *s, struct bytes in, struct buf *out)
{
	struct auth_client_first q;
	enum sm_err err = auth__client_first(in, &q);
	if (err || q.token)
		return fail(s, NULL);
	if (q.authzid.size && !bytes_equal(q.authzid, q.name))
		return fail(s, OTHER_AUTHZID);
	memcpy(s->user, q.name_text, sizeof s->user);
	s->known = auth__users_keys(s->users, q.name, s->hash, &s->keys);
	buf_append_bytes(&s->gs2, q.gs2);
	buf_append_bytes(&s->nonce, q.nonce);
	s->client_nonce = q.nonce.size;
	append_nonce(s);
	struct buf first;
	buf_init(&first);
	buf_append_str(&first, "r=");
	buf_append_bytes(&first, buf_bytes(&s->nonce));
	buf_append_str(&first, ",s=");
	base64_append(&first, bytes_of(s->keys.salt, s->keys.salt_size));
	buf_printf(&first, ",i=%u", s->keys.iterations);
	buf_append_bytes(&s->message, q.bare);
	buf_u8(&s->message, ',');
	buf_append_bytes(&s->message, buf_bytes(&first));
	buf_u8(&s->message, ',');
	buf_append_bytes(out, buf_bytes(&first));
	bool failed = first.failed || s->message.failed || s->nonce.failed || s->gs2.failed;
	buf_done(&first);
	if (failed)
		return fail(s, NULL);
	s->state = CHALLENGED;
	return AUTH_CONTINUE;
}

/* librdkafka before 2.6.1 puts the client's half in front once more. It is told from a wrong nonce as surely as the right one, and Debian's
 * clients could not log in otherwise; Kafka took it too until 3.9. */
static bool nonce_ok(const struct auth_sasl *s, struct bytes given)
{
	struct bytes want = buf_bytes(&s->nonce);
	size_t n = s->client_nonce;
	if (given.size == want.size + n && bytes_equal(bytes_of(given.data, n), bytes_of(want.data, n)))
		given = bytes_of(given.data + n, given.size - n);
	return bytes_equal(given, want);
}

static enum auth_step scram_final(struct auth_sasl *s, struct bytes in, struct buf *out)
{
	struct auth_client_final q;
	uint8_t proof[AUTH_HASH_MAX], binding[AUTH_TOKEN_MAX], signature[AUTH_HASH_MAX];
	size_t proof_size, binding_size;
	if (auth__client_final(in, &q) || !base64_decode(q.proof, proof, sizeof proof, &proof_size) ||
	    !base64_decode(q.binding, binding, sizeof binding, &binding_size) ||
	    !bytes_equal(bytes_of(binding, binding_size), buf_bytes(&s->gs2)) || !nonce_ok(s, q.nonce))
		return fail(s, NULL);
	buf_append_bytes(&s->message, q.without_proof);
	if (s->message.failed)
		return fail(s, NULL);
	struct bytes message = buf_bytes(&s->message);
	/* The invented keys of a user that is not there fit no proof; `known` is the belt to those braces. */
	if (!auth__scram_proof_ok(s->hash, &s->keys, message, bytes_of(proof, proof_size)) || !s->known)
		return fail(s, NULL);
	auth__scram_signature(s->hash, &s->keys, message, signature);
	buf_append_str(out, "v=");
	base64_append(out, bytes_of(signature, auth__hash_size(s->hash)));
	OPENSSL_cleanse(&s->keys, sizeof s->keys);
	s->state = ENDED;
	return AUTH_COMPLETE;
}

enum auth_step auth_sasl_step(struct auth_sasl *s, struct bytes in, struct buf *out)
{
	assert(s->state != ENDED);
	if (in.size > AUTH_TOKEN_MAX)
		return fail(s, NULL);
	if (s->mechanism == AUTH_PLAIN)
		return plain(s, in);
	return s->state == BEGUN ? scram_first(s, in, out) : scram_final(s, in, out);
}

bool auth_password_login(struct auth_users *users, struct bytes user, struct bytes password)
{
	struct auth_sasl *sasl = auth_sasl_new(users, AUTH_PLAIN);
	struct buf message, out;
	buf_init(&message);
	buf_init(&out);
	buf_u8(&message, 0);
	buf_append_bytes(&message, user);
	buf_u8(&message, 0);
	buf_append_bytes(&message, password);
	bool fits = sasl && !message.failed && auth_sasl_step(sasl, buf_bytes(&message), &out) == AUTH_COMPLETE;
	OPENSSL_cleanse(message.data, message.cap);
	buf_done(&message);
	buf_done(&out);
	auth_sasl_free(sasl);
	return fits;
}
