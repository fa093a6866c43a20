/* The file of users. Text, one line for each user and hash:
 *
 *   smack users 1                                     the first line: what this is, and its version
 *   # a comment, kept when the file is rewritten
 *   NAME MECHANISM ITERATIONS SALT STORED SERVER      MECHANISM: SCRAM-SHA-256, SCRAM-SHA-512; the last three in Base64
 *   NAME TOKEN ID HASH                                a token for HTTP: its 16 hexadecimal digits, its SHA-256 in Base64
 *
 * STORED and SERVER are RFC 5802's StoredKey and ServerKey: from them nobody learns the password, but who has STORED and listens to a
 * login can log in, so nobody but the owner may read the file. */
#include "auth/auth_internal.h"
#include "base/io.h"
#include "base/logging.h"
#include "base/map.h"
#include "base/uuid.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct user {
	struct auth_keys keys[AUTH_HASHES];
};
struct token {
	uint8_t hash[AUTH_TOKEN_HASH_BYTES];
	char name[]; /* of its user */
};
const char *const auth__hash_names[] = {[AUTH_SHA_256] = "SCRAM-SHA-256", [AUTH_SHA_512] = "SCRAM-SHA-512"};

enum auth_hash auth__hash_of(enum auth_mechanism mechanism)
{
	return mechanism == AUTH_SCRAM_SHA_512 ? AUTH_SHA_512 : AUTH_SHA_256;
}

bool auth__name_ok(struct bytes name)
{
	for (size_t i = 0; i < name.size; i++)
		if (name.data[i] <= ' ' || name.data[i] == 0x7f)
			return false;
	return name.size && name.size <= AUTH_NAME_MAX && name.data[0] != '#';
}

/* ---- reading ---- */

static void known_free(struct auth_known *known)
{
	size_t pos = 0;
	struct bytes name;
	void *value;
	while (map_next(&known->users, &pos, &name, &value)) {
		OPENSSL_cleanse(value, sizeof(struct user));
		free(value);
	}
	for (pos = 0; map_next(&known->tokens, &pos, &name, &value);)
		free(value);
	map_done(&known->users);
	map_done(&known->tokens);
}

struct bytes auth__next_word(struct bytes *line)
{
	size_t from = 0, to;
	while (from < line->size && line->data[from] == ' ')
		from++;
	for (to = from; to < line->size && line->data[to] != ' ';)
		to++;
	struct bytes word = bytes_of(line->data + from, to - from);
	*line = bytes_of(line->data + to, line->size - to);
	return word;
}

static bool number_of(struct bytes word, uint32_t *ret)
{
	uint32_t n = 0;
	for (size_t i = 0; i < word.size; i++) {
		if (word.data[i] < '0' || word.data[i] > '9')
			return false;
		n = n * 10 + (uint32_t)(word.data[i] - '0');
	}
	*ret = n;
	return word.size > 0 && word.size < 9;
}

/* What is wrong with the line; NULL: nothing. */
static const char *parse_line(struct bytes line, struct bytes *ret_name, enum auth_hash *ret_hash, struct auth_keys *keys)
{
	size_t size;
	*ret_name = auth__next_word(&line);
	struct bytes mechanism = auth__next_word(&line), iterations = auth__next_word(&line), salt = auth__next_word(&line),
		     stored = auth__next_word(&line), server = auth__next_word(&line);
	if (!auth__name_ok(*ret_name))
		return "the name must have 1 to 255 bytes, none of them a blank or a control character";
	int hash = AUTH_HASHES - 1;
	while (hash >= 0 && !bytes_equal(mechanism, bytes_str(auth__hash_names[hash])))
		hash--;
	if (hash < 0)
		return "the second word must be SCRAM-SHA-256, SCRAM-SHA-512 or TOKEN";
	*ret_hash = (enum auth_hash)hash;
	if (!number_of(iterations, &keys->iterations) || keys->iterations < AUTH_ITERATIONS_MIN || keys->iterations > AUTH_ITERATIONS_MAX)
		return "the third word must be the iterations, from 4096 to 65536";
	if (!base64_decode(salt, keys->salt, sizeof keys->salt, &keys->salt_size) || !keys->salt_size)
		return "the fourth word must be the salt in Base64";
	size_t want = auth__hash_size(*ret_hash);
	if (!base64_decode(stored, keys->stored, want, &size) || size != want || !base64_decode(server, keys->server, want, &size) ||
	    size != want || auth__next_word(&line).size)
		return "the fifth and the last word must be the stored key and the server key in Base64";
	return NULL;
}

bool auth__line_of(struct bytes line, struct bytes name, const char *second, struct bytes *ret_rest)
{
	if (!line.size || line.data[0] == '#' || (name.data && !bytes_equal(auth__next_word(&line), name)))
		return false;
	if (!name.data)
		(void)auth__next_word(&line);
	if (second && !bytes_equal(auth__next_word(&line), bytes_str(second)))
		return false;
	*ret_rest = line;
	return true;
}

static enum sm_err take_token(struct map *tokens, struct bytes line, struct bytes rest, const char *path, int number,
			      struct sm_error *reterr)
{
	size_t size;
	struct bytes name = auth__next_word(&line), id = auth__next_word(&rest), hash = auth__next_word(&rest);
	struct token *token = calloc(1, sizeof *token + name.size + 1);
	const char *wrong = NULL;
	if (!token)
		return sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for the tokens", path);
	memcpy(token->name, name.data, name.size);
	if (!auth__name_ok(name))
		wrong = "the name must have 1 to 255 bytes, none of them a blank or a control character";
	else if (!auth__token_id_ok(id) || map_get(tokens, id))
		wrong = "the third word must be 16 hexadecimal digits, which no other token has";
	else if (!base64_decode(hash, token->hash, sizeof token->hash, &size) || size != sizeof token->hash || auth__next_word(&rest).size)
		wrong = "the last word must be a SHA-256 in Base64";
	if (wrong) {
		free(token);
		return sm_fail(reterr, SM_INVALID, "%s:%d: %s; `smack user token` makes such lines", path, number, wrong);
	}
	if (map_put(tokens, id, token, NULL)) {
		free(token);
		return sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for the tokens", path);
	}
	return SM_OK;
}

static enum sm_err take_line(struct auth_known *known, struct bytes line, const char *path, int number, struct sm_error *reterr)
{
	struct bytes name, rest;
	enum auth_hash hash;
	struct auth_keys keys = {0};
	if (auth__line_of(line, (struct bytes){0}, "TOKEN", &rest))
		return take_token(&known->tokens, line, rest, path, number, reterr);
	const char *wrong = parse_line(line, &name, &hash, &keys);
	if (wrong)
		return sm_fail(reterr, SM_INVALID, "%s:%d: %s; `smack user add` makes such lines", path, number, wrong);
	struct user *user = map_get(&known->users, name);
	if (!user) {
		user = calloc(1, sizeof *user);
		if (!user || map_put(&known->users, name, user, NULL)) {
			free(user);
			return sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for the users", path);
		}
	}
	if (user->keys[hash].iterations)
		return sm_fail(reterr, SM_INVALID, "%s:%d: a second line for this user and mechanism: remove one", path, number);
	user->keys[hash] = keys;
	OPENSSL_cleanse(&keys, sizeof keys);
	return SM_OK;
}

bool auth__next_line(struct bytes *text, struct bytes *ret_line)
{
	if (!text->size)
		return false;
	const uint8_t *end = memchr(text->data, '\n', text->size);
	size_t size = end ? (size_t)(end - text->data) : text->size, skip = size + (end != NULL);
	*ret_line = bytes_of(text->data, size);
	*text = bytes_of(text->data + skip, text->size - skip);
	return true;
}

static enum sm_err parse(struct bytes text, const char *path, struct auth_known *known, struct sm_error *reterr)
{
	struct bytes line = {0};
	enum sm_err err = SM_OK;
	if (!auth__next_line(&text, &line) || !bytes_equal(line, BYTES(AUTH_USERS_FIRST_LINE)))
		return sm_fail(reterr, SM_INVALID,
			       "%s:1: the first line must be \"" AUTH_USERS_FIRST_LINE "\"; `smack user add` makes such a file", path);
	for (int number = 2; !err && auth__next_line(&text, &line); number++)
		if (line.size && line.data[0] != '#')
			err = take_line(known, line, path, number, reterr);
	return err;
}

/* Whoever may write the file makes users, and whoever may read it can pass for one. */
static enum sm_err check_mode(const char *path, struct stat *ret_st, struct sm_error *reterr)
{
	if (stat(path, ret_st))
		return sm_fail_errno(reterr, errno, "cannot look at the file of users %s", path);
	if (!S_ISREG(ret_st->st_mode))
		return sm_fail(reterr, SM_INVALID, "%s: the file of users is no file", path);
	if (ret_st->st_uid != geteuid() && ret_st->st_uid != 0)
		return sm_fail(reterr, SM_DENIED, "%s: the file of users belongs to another user (%u): make it your own", path,
			       (unsigned)ret_st->st_uid);
	if (ret_st->st_mode & 077)
		return sm_fail(reterr, SM_DENIED, "%s: others may read or write the file of users (mode %04o): run chmod 600 on it", path,
			       (unsigned)ret_st->st_mode & 07777);
	return SM_OK;
}

enum sm_err auth__users_text(const char *path, struct stat *ret_st, uint8_t **ret_text, size_t *ret_size, struct sm_error *reterr)
{
	enum sm_err err = check_mode(path, ret_st, reterr);
	return err ? err : io_read_file(&io_system, path, AUTH_USERS_FILE_MAX, ret_text, ret_size, reterr);
}

void auth__text_free(uint8_t *text, size_t size)
{
	if (text)
		OPENSSL_cleanse(text, size);
	free(text);
}

static enum sm_err read_users(const char *path, struct stat *ret_st, struct auth_known *ret_known, struct sm_error *reterr)
{
	uint8_t *text = NULL;
	size_t size = 0;
	map_init(&ret_known->users);
	map_init(&ret_known->tokens);
	enum sm_err err = auth__users_text(path, ret_st, &text, &size, reterr);
	if (!err)
		err = parse(bytes_of(text, size), path, ret_known, reterr);
	auth__text_free(text, size);
	if (err)
		known_free(ret_known);
	return err;
}

enum sm_err auth__users_check(const char *path, struct sm_error *reterr)
{
	struct stat st;
	struct auth_known known;
	enum sm_err err = read_users(path, &st, &known, reterr);
	if (!err)
		known_free(&known);
	return err;
}

enum sm_err auth_users_open(const char *path, struct auth_users **ret_users, struct sm_error *reterr)
{
	struct auth_users *u = calloc(1, sizeof *u);
	if (!u || !(u->path = strdup(path))) {
		free(u);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the users");
	}
	enum sm_err err = read_users(path, &u->seen, &u->known, reterr);
	if (err) {
		free(u->path);
		free(u);
		return err;
	}
	random_bytes(u->secret, sizeof u->secret);
	pthread_mutex_init(&u->lock, NULL);
	*ret_users = u;
	return SM_OK;
}

void auth_users_free(struct auth_users *u)
{
	if (!u)
		return;
	known_free(&u->known);
	pthread_mutex_destroy(&u->lock);
	free(u->path);
	free(u);
}

/* ---- looking up ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mode == b->st_mode &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Under the lock. */
void auth__users_look_again(struct auth_users *u)
{
	struct stat st = {0}, read = {0};
	struct auth_known known;
	struct sm_error error;
	if (stat(u->path, &st))
		memset(&st, 0, sizeof st); /* gone: told once, as any other change */
	if (same_file(&st, &u->seen))
		return;
	u->seen = st;
	if (read_users(u->path, &read, &known, &error)) {
		LOG_ERROR("auth", "the users stay as they were: %s", error.text);
		return;
	}
	u->seen = read;
	known_free(&u->known);
	u->known = known;
}

static void invent(struct auth_users *u, struct bytes name, struct auth_keys *keys)
{
	uint8_t salt[AUTH_HASH_MAX];
	*keys = (struct auth_keys){.iterations = AUTH_ITERATIONS, .salt_size = AUTH_SALT_BYTES};
	auth__hmac(AUTH_SHA_512, bytes_of(u->secret, sizeof u->secret), name, salt);
	memcpy(keys->salt, salt, AUTH_SALT_BYTES);
	random_bytes(keys->stored, sizeof keys->stored);
	random_bytes(keys->server, sizeof keys->server);
}

bool auth__users_keys(struct auth_users *u, struct bytes name, enum auth_hash hash, struct auth_keys *ret_keys)
{
	pthread_mutex_lock(&u->lock);
	auth__users_look_again(u);
	const struct user *user = map_get(&u->known.users, name);
	bool there = user && user->keys[hash].iterations;
	if (there)
		*ret_keys = user->keys[hash];
	pthread_mutex_unlock(&u->lock);
	if (!there)
		invent(u, name, ret_keys);
	return there;
}

bool auth__users_any_keys(struct auth_users *u, struct bytes name, enum auth_hash *ret_hash, struct auth_keys *ret_keys)
{
	*ret_hash = AUTH_SHA_256;
	if (auth__users_keys(u, name, AUTH_SHA_256, ret_keys))
		return true;
	struct auth_keys other;
	if (!auth__users_keys(u, name, AUTH_SHA_512, &other))
		return false;
	*ret_hash = AUTH_SHA_512;
	*ret_keys = other;
	return true;
}

bool auth_token_login(struct auth_users *u, struct bytes token, char ret_name[AUTH_NAME_MAX + 1])
{
	uint8_t hash[AUTH_TOKEN_HASH_BYTES];
	struct bytes id = auth__token_id(token);
	if (!id.data || !auth__token_hash(token, hash))
		return false;
	pthread_mutex_lock(&u->lock);
	auth__users_look_again(u);
	const struct token *known = map_get(&u->known.tokens, id);
	bool fits = known && CRYPTO_memcmp(known->hash, hash, sizeof hash) == 0;
	if (fits)
		snprintf(ret_name, AUTH_NAME_MAX + 1, "%s", known->name);
	pthread_mutex_unlock(&u->lock);
	return fits;
}

uint32_t auth_users_iterations(struct auth_users *u, struct bytes name, enum auth_mechanism mechanism)
{
	pthread_mutex_lock(&u->lock);
	auth__users_look_again(u);
	const struct user *user = map_get(&u->known.users, name);
	uint32_t iterations = user ? user->keys[auth__hash_of(mechanism)].iterations : 0;
	pthread_mutex_unlock(&u->lock);
	return iterations;
}

void auth_users_names(struct auth_users *u, void (*visit)(void *arg, struct bytes name), void *arg)
{
	size_t pos = 0;
	struct bytes name;
	void *user;
	pthread_mutex_lock(&u->lock);
	auth__users_look_again(u);
	while (map_next(&u->known.users, &pos, &name, &user))
		visit(arg, name);
	pthread_mutex_unlock(&u->lock);
}
