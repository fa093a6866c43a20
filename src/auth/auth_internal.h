/* Inside the auth room: SCRAM's arithmetic and what is kept of a password. */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include "auth/auth.h"
#include "base/base64.h"
#include "base/map.h"
#include <pthread.h>
#include <sys/stat.h>

/* ---- scram.c: RFC 5802, section 3 ---- */

enum auth_hash { AUTH_SHA_256, AUTH_SHA_512, AUTH_HASHES };
#define AUTH_HASH_MAX 64
/* What is kept of a password for one hash. */
struct auth_keys {
	uint32_t iterations; /* 0: there are none */
	size_t salt_size;
	uint8_t salt[AUTH_SALT_MAX], stored[AUTH_HASH_MAX], server[AUTH_HASH_MAX];
};
size_t auth__hash_size(enum auth_hash hash);
/* Fill stored and server from the password and the salt and iterations that stand in keys. false: OpenSSL refuses (memory). */
SM_MUST_CHECK bool auth__scram_keys(enum auth_hash hash, struct bytes password, struct auth_keys *keys);
/* Fill stored and server from the salted password (of the hash's size). */
void auth__scram_keys_of_salted(enum auth_hash hash, const uint8_t *salted, struct auth_keys *keys);
void auth__hmac(enum auth_hash hash, struct bytes key, struct bytes data, uint8_t out[AUTH_HASH_MAX]);
/* Does the proof show the client's key? AuthMessage is what RFC 5802 calls so. */
bool auth__scram_proof_ok(enum auth_hash hash, const struct auth_keys *keys, struct bytes auth_message, struct bytes proof);
/* ServerSignature. */
void auth__scram_signature(enum auth_hash hash, const struct auth_keys *keys, struct bytes auth_message, uint8_t out[AUTH_HASH_MAX]);

/* ---- scram_text.c: the messages ---- */

struct auth_client_first {
	struct bytes gs2;  /* "n,," */
	struct bytes bare; /* what follows it */
	struct bytes authzid, name, nonce;
	bool token; /* of a delegation token, as Kafka's extension says it */
	char authzid_text[AUTH_NAME_MAX + 1], name_text[AUTH_NAME_MAX + 1];
};
/* Errors: SM_UNSUPPORTED (channel binding, a mandatory extension), SM_INVALID. What it tells is borrowed from text, or in out itself. */
SM_MUST_CHECK enum sm_err auth__client_first(struct bytes text, struct auth_client_first *out);
struct auth_client_final {
	struct bytes without_proof, binding, nonce, proof; /* binding and proof still in Base64 */
};
SM_MUST_CHECK enum sm_err auth__client_final(struct bytes text, struct auth_client_final *out);

/* ---- users.c ---- */

/* The keys of a user now. For one that does not exist: invented ones that nobody has the password of, always the same. May block.
 * Returns whether the user exists. */
bool auth__users_keys(struct auth_users *users, struct bytes name, enum auth_hash hash, struct auth_keys *ret_keys);
/* For PLAIN, which any of the hashes can check: the first that the user has. */
bool auth__users_any_keys(struct auth_users *users, struct bytes name, enum auth_hash *ret_hash, struct auth_keys *ret_keys);
/* 1 to AUTH_NAME_MAX bytes of printable UTF-8 without blanks. */
bool auth__name_ok(struct bytes name);

/* ---- token.c ---- */

#define AUTH_TOKEN_ID_BYTES 16
#define AUTH_TOKEN_HASH_BYTES 32
bool auth__token_id_ok(struct bytes id);
/* false: no memory. */
SM_MUST_CHECK bool auth__token_new(char out[AUTH_API_TOKEN_BYTES + 1]);
/* Within the token's text; without data: it is none. */
struct bytes auth__token_id(struct bytes token);
/* false: OpenSSL refuses (memory). */
SM_MUST_CHECK bool auth__token_hash(struct bytes token, uint8_t out[AUTH_TOKEN_HASH_BYTES]);

/* ---- users.c, for users_change.c ---- */

#define AUTH_USERS_FIRST_LINE "smack users 1"
extern const char *const auth__hash_names[AUTH_HASHES];
/* Of one of SCRAM's. */
enum auth_hash auth__hash_of(enum auth_mechanism mechanism);
struct auth_known {
	struct map users;  /* by name */
	struct map tokens; /* by id */
};
struct auth_users {
	char *path;
	uint8_t secret[32]; /* of what is invented for users that are not there */
	pthread_mutex_t lock;
	struct auth_known known;
	struct stat seen; /* the file that was read last, well or not */
};
/* If the file has changed. Under the lock. Blocks. */
void auth__users_look_again(struct auth_users *users);
/* Is the file right? Blocks. */
SM_MUST_CHECK enum sm_err auth__users_check(const char *path, struct sm_error *reterr);
/* What is in it, if nobody else may read it; given to auth__text_free, which wipes it. Blocks. */
SM_MUST_CHECK enum sm_err auth__users_text(const char *path, struct stat *ret_st, uint8_t **ret_text, size_t *ret_size,
					   struct sm_error *reterr);
void auth__text_free(uint8_t *text, size_t size);
bool auth__next_line(struct bytes *text, struct bytes *ret_line);
/* Without data at the end. */
struct bytes auth__next_word(struct bytes *line);
/* Is the line one of the user's (without data: anybody's) with this second word (NULL: any)? Then *ret_rest is what follows. */
bool auth__line_of(struct bytes line, struct bytes name, const char *second, struct bytes *ret_rest);

/* ---- sasl.c ---- */

/* For tests: the server's nonce instead of a random one. Constant text. */
void auth__sasl_nonce(struct auth_sasl *sasl, const char *nonce);

#endif
