/* Who comes in: users with salted passwords in a file, and the exchanges of SASL by which they prove who they are.
 *
 * Mechanisms: PLAIN (RFC 4616), SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677) without channel binding. Names and passwords are
 * taken as the bytes that they are, without SASLprep, as Apache Kafka does. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "auth/auth_limits.h"
#include "base/buf.h"

enum auth_mechanism {
#define X(NAME, name) AUTH_##NAME,
#include "auth/mechanisms.def"
#undef X
	AUTH_MECHANISMS
};
/* A set of mechanisms. */
#define AUTH_BIT(mechanism) (1u << (mechanism))
/* "SCRAM-SHA-256". */
const char *auth_mechanism_name(enum auth_mechanism mechanism);
/* "PLAIN, SCRAM-SHA-512" -> a set; "" is the empty one. Errors: SM_INVALID names the word that is none and those that are. */
SM_MUST_CHECK enum sm_err auth_mechanisms_parse(const char *text, unsigned *ret_set, struct sm_error *reterr);

/* ---- the file of users (its format: users.c) ---- */

struct auth_users;
/* Read the file. Errors: SM_NOT_FOUND, SM_DENIED (others than its owner may read or write it), SM_INVALID (a line is wrong, which is
 * named), SM_IO. Blocks. */
SM_MUST_CHECK enum sm_err auth_users_open(const char *path, struct auth_users **ret_users, struct sm_error *reterr);
void auth_users_free(struct auth_users *users);

/* What `smack user` does to the file, in one atomic step each, so that a server that reads it sees all or nothing. Block. */
/* replace: the user is there and gets a new password; else one is added. Errors: SM_INVALID (name, password, iterations), SM_EXISTS,
 * SM_NOT_FOUND, those of auth_users_open. A file that is not there is made with mode 0600. */
SM_MUST_CHECK enum sm_err auth_user_put(const char *path, const char *name, struct bytes password, uint32_t iterations, bool replace,
					struct sm_error *reterr);
/* Errors: SM_NOT_FOUND. */
SM_MUST_CHECK enum sm_err auth_user_remove(const char *path, const char *name, struct sm_error *reterr);
/* A new token for the user, who may have a password too, or not be there yet. The file keeps a hash of it: nobody can show it again.
 * Errors: SM_INVALID (name), those of auth_users_open. */
SM_MUST_CHECK enum sm_err auth_token_make(const char *path, const char *name, char ret_token[AUTH_API_TOKEN_BYTES + 1],
					  struct sm_error *reterr);
/* id: as auth_users_list shows it. Errors: SM_NOT_FOUND. */
SM_MUST_CHECK enum sm_err auth_token_revoke(const char *path, const char *id, struct sm_error *reterr);
/* "NAME MECHANISM ITERATIONS" or "NAME TOKEN ID" a line, in the order of the file, appended to out. */
SM_MUST_CHECK enum sm_err auth_users_list(const char *path, struct buf *out, struct sm_error *reterr);

/* What Kafka's admin clients do to it. */
struct auth_credential {
	const char *name;
	enum auth_mechanism mechanism; /* one of SCRAM's */
	uint32_t iterations;           /* 0: the credential is removed, and what follows is not looked at */
	struct bytes salt, salted_password;
};
/* What is wrong with one that is to be put, in Kafka's words or our own; NULL: nothing. Constant text. */
const char *auth_credential_wrong(const struct auth_credential *credential);
/* All or none, and counted when it returns. Errors: those of auth_users_open, SM_IO. Blocks. */
SM_MUST_CHECK enum sm_err auth_users_change(struct auth_users *users, const struct auth_credential *changes, uint32_t count,
					    struct sm_error *reterr);
/* The iterations of a user's credential, or 0: there is none. May block (a file that has changed is read). */
uint32_t auth_users_iterations(struct auth_users *users, struct bytes name, enum auth_mechanism mechanism);
/* The names of all users, in no order. visit runs under a lock. May block. */
void auth_users_names(struct auth_users *users, void (*visit)(void *arg, struct bytes name), void *arg);

/* ---- a password alone, as Cassandra keeps it (bcrypt; password.c) ---- */

#define AUTH_PASSWORD_HASH_BYTES 64
/* A new hash with its salt, as text. Takes tens of milliseconds. false: an empty password, a zero byte in it, or no memory. */
SM_MUST_CHECK bool auth_password_hash(struct bytes password, char out[AUTH_PASSWORD_HASH_BYTES]);
/* Whether the hash is of that password. As long as making one. */
SM_MUST_CHECK bool auth_password_fits(const char *hash, struct bytes password);
/* Whether the text has the form of such a hash, with 4 to 12 rounds (as a power of two). */
bool auth_password_hash_ok(const char *hash);

/* ---- a login ---- */

enum auth_step {
	AUTH_CONTINUE, /* send what is in out, and give the client's answer to the next step */
	AUTH_COMPLETE, /* send what is in out: the user is who they say */
	AUTH_FAILED,
};
struct auth_sasl;
/* users outlives it. NULL: no memory. */
struct auth_sasl *auth_sasl_new(struct auth_users *users, enum auth_mechanism mechanism);
void auth_sasl_free(struct auth_sasl *sasl);
/* One message of the client; ours is appended to out. A file of users that has changed is read anew, so that a new password counts at
 * once; one that cannot be read leaves the users as they were and says so in the log. Whether a user exists cannot be told from the
 * answers. After AUTH_COMPLETE and AUTH_FAILED there is no further step. May block (file, hashing): not on a dispatcher. */
enum auth_step auth_sasl_step(struct auth_sasl *sasl, struct bytes in, struct buf *out);
/* A login in one step: is this the user's password? Blocks (file, hashing). */
bool auth_password_login(struct auth_users *users, struct bytes user, struct bytes password);
/* Whose token is it? false: nobody's. May block (a file that has changed is read). */
bool auth_token_login(struct auth_users *users, struct bytes token, char ret_name[AUTH_NAME_MAX + 1]);
enum auth_mechanism auth_sasl_mechanism(const struct auth_sasl *sasl);
/* After AUTH_COMPLETE. Lives as long as sasl. */
const char *auth_sasl_user(const struct auth_sasl *sasl);
/* After AUTH_FAILED: what may be told to the client, or NULL: only that it failed. Lives as long as sasl. */
const char *auth_sasl_reason(const struct auth_sasl *sasl);

#endif
