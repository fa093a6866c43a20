/* The file of users. Text, one line for each user and hash:
 *
 *   smack users 1                                     the first line: what this is, and its version
 *   # a comment, kept when the file is rewritten
 *   NAME MECHANISM ITERATIONS SALT STORED SERVER      MECHANISM: SCRAM-SHA-256, SCRAM-SHA-512; the last three in Base64
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

#define FIRST_LINE "smack users 1"

struct user {
	struct auth_keys keys[AUTH_HASHES];
};
struct auth_users {
	char *path;
	uint8_t secret[32]; /* of what is invented for users that are not there */
	pthread_mutex_t lock;
	struct map users;
	struct stat seen; /* the file that was read last, well or not */
};

static const char *const hash_names[] = {[AUTH_SHA_256] = "SCRAM-SHA-256", [AUTH_SHA_512] = "SCRAM-SHA-512"};

bool auth__name_ok(struct bytes name)
{
	for (size_t i = 0; i < name.size; i++)
		if (name.data[i] <= ' ' || name.data[i] == 0x7f)
			return false;
	return name.size && name.size <= AUTH_NAME_MAX && name.data[0] != '#';
}

/* ---- reading ---- */

static void users_free(struct map *users)
{
	size_t pos = 0;
	struct bytes name;
	void *user;
	while (map_next(users, &pos, &name, &user)) {
		OPENSSL_cleanse(user, sizeof(struct user));
		free(user);
	}
	map_done(users);
}

static struct bytes next_word(struct bytes *line)
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
	*ret_name = next_word(&line);
	struct bytes mechanism = next_word(&line), iterations = next_word(&line), salt = next_word(&line), stored = next_word(&line),
		     server = next_word(&line);
	if (!auth__name_ok(*ret_name))
		return "the name must have 1 to 255 bytes, none of them a blank or a control character";
	int hash = AUTH_HASHES - 1;
	while (hash >= 0 && !bytes_equal(mechanism, bytes_str(hash_names[hash])))
		hash--;
	if (hash < 0)
		return "the second word must be SCRAM-SHA-256 or SCRAM-SHA-512";
	*ret_hash = (enum auth_hash)hash;
	if (!number_of(iterations, &keys->iterations) || keys->iterations < AUTH_ITERATIONS_MIN || keys->iterations > AUTH_ITERATIONS_MAX)
		return "the third word must be the iterations, from 4096 to 65536";
	if (!auth__base64_decode(salt, keys->salt, sizeof keys->salt, &keys->salt_size) || !keys->salt_size)
		return "the fourth word must be the salt in Base64";
	size_t want = auth__hash_size(*ret_hash);
	if (!auth__base64_decode(stored, keys->stored, want, &size) || size != want ||
	    !auth__base64_decode(server, keys->server, want, &size) || size != want || next_word(&line).size)
		return "the fifth and the last word must be the stored key and the server key in Base64";
	return NULL;
}

static enum sm_err take_line(struct map *users, struct bytes line, const char *path, int number, struct sm_error *reterr)
{
	struct bytes name;
	enum auth_hash hash;
	struct auth_keys keys = {0};
	const char *wrong = parse_line(line, &name, &hash, &keys);
	if (wrong)
		return sm_fail(reterr, SM_INVALID, "%s:%d: %s; `smack user add` makes such lines", path, number, wrong);
	struct user *user = map_get(users, name);
	if (!user) {
		user = calloc(1, sizeof *user);
		if (!user || map_put(users, name, user, NULL)) {
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

static bool next_line(struct bytes *text, struct bytes *ret_line)
{
	if (!text->size)
		return false;
	const uint8_t *end = memchr(text->data, '\n', text->size);
	size_t size = end ? (size_t)(end - text->data) : text->size, skip = size + (end != NULL);
	*ret_line = bytes_of(text->data, size);
	*text = bytes_of(text->data + skip, text->size - skip);
	return true;
}

static enum sm_err parse(struct bytes text, const char *path, struct map *users, struct sm_error *reterr)
{
	struct bytes line = {0};
	enum sm_err err = SM_OK;
	if (!next_line(&text, &line) || !bytes_equal(line, BYTES(FIRST_LINE)))
		return sm_fail(reterr, SM_INVALID, "%s:1: the first line must be \"" FIRST_LINE "\"; `smack user add` makes such a file",
			       path);
	for (int number = 2; !err && next_line(&text, &line); number++)
		if (line.size && line.data[0] != '#')
			err = take_line(users, line, path, number, reterr);
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

static enum sm_err read_text(const char *path, struct stat *ret_st, uint8_t **ret_text, size_t *ret_size, struct sm_error *reterr)
{
	enum sm_err err = check_mode(path, ret_st, reterr);
	return err ? err : io_read_file(&io_system, path, AUTH_USERS_FILE_MAX, ret_text, ret_size, reterr);
}

static void text_free(uint8_t *text, size_t size)
{
	if (text)
		OPENSSL_cleanse(text, size);
	free(text);
}

static enum sm_err read_users(const char *path, struct stat *ret_st, struct map *ret_users, struct sm_error *reterr)
{
	uint8_t *text = NULL;
	size_t size = 0;
	map_init(ret_users);
	enum sm_err err = read_text(path, ret_st, &text, &size, reterr);
	if (!err)
		err = parse(bytes_of(text, size), path, ret_users, reterr);
	text_free(text, size);
	if (err)
		users_free(ret_users);
	return err;
}

enum sm_err auth_users_open(const char *path, struct auth_users **ret_users, struct sm_error *reterr)
{
	struct auth_users *u = calloc(1, sizeof *u);
	if (!u || !(u->path = strdup(path))) {
		free(u);
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the users");
	}
	enum sm_err err = read_users(path, &u->seen, &u->users, reterr);
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
	users_free(&u->users);
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
static void look_again(struct auth_users *u)
{
	struct stat st = {0}, read = {0};
	struct map users;
	struct sm_error error;
	if (stat(u->path, &st))
		memset(&st, 0, sizeof st); /* gone: told once, as any other change */
	if (same_file(&st, &u->seen))
		return;
	u->seen = st;
	if (read_users(u->path, &read, &users, &error)) {
		LOG_ERROR("auth", "the users stay as they were: %s", error.text);
		return;
	}
	u->seen = read;
	users_free(&u->users);
	u->users = users;
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
	look_again(u);
	const struct user *user = map_get(&u->users, name);
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

/* ---- changing ---- */

/* The file as it is, or what a new one begins with. */
static enum sm_err read_or_begin(const char *path, uint8_t **ret_text, size_t *ret_size, struct sm_error *reterr)
{
	struct stat st;
	struct map users;
	if (stat(path, &st) && errno == ENOENT) {
		*ret_text = (uint8_t *)strdup(FIRST_LINE "\n");
		*ret_size = strlen(FIRST_LINE) + 1;
		return *ret_text ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory for the users");
	}
	/* A file that is wrong is not made worse. */
	enum sm_err err = read_users(path, &st, &users, reterr);
	if (err)
		return err;
	users_free(&users);
	return read_text(path, &st, ret_text, ret_size, reterr);
}

/* All lines but the user's. Returns how many those were. The first line is of no user, though one may have its first word for a name. */
static unsigned copy_others(struct bytes text, struct bytes name, struct buf *out)
{
	struct bytes line;
	unsigned left_out = 0;
	for (bool first = true; next_line(&text, &line); first = false) {
		struct bytes rest = line;
		bool of_user = !first && line.size && line.data[0] != '#' && bytes_equal(next_word(&rest), name);
		left_out += of_user;
		if (of_user)
			continue;
		buf_append_bytes(out, line);
		buf_u8(out, '\n');
	}
	return left_out;
}

static enum sm_err write_back(const char *path, struct buf *out, struct sm_error *reterr)
{
	char temp[4200];
	if (out->failed)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for the users");
	/* What a former run left there may have another mode. */
	if ((size_t)snprintf(temp, sizeof temp, "%s.tmp", path) < sizeof temp)
		unlink(temp);
	return io_write_file_atomic(&io_system, path, buf_bytes(out), reterr);
}

static void append_line(struct buf *out, const char *name, enum auth_hash hash, const struct auth_keys *keys)
{
	buf_printf(out, "%s %s %u ", name, hash_names[hash], keys->iterations);
	auth__base64(out, bytes_of(keys->salt, keys->salt_size));
	buf_u8(out, ' ');
	auth__base64(out, bytes_of(keys->stored, auth__hash_size(hash)));
	buf_u8(out, ' ');
	auth__base64(out, bytes_of(keys->server, auth__hash_size(hash)));
	buf_u8(out, '\n');
}

static bool append_keys(struct buf *out, const char *name, enum auth_hash hash, struct bytes password, uint32_t iterations)
{
	struct auth_keys keys = {.iterations = iterations, .salt_size = AUTH_SALT_BYTES};
	random_bytes(keys.salt, AUTH_SALT_BYTES);
	if (!auth__scram_keys(hash, password, &keys))
		return false;
	append_line(out, name, hash, &keys);
	OPENSSL_cleanse(&keys, sizeof keys);
	return true;
}

enum sm_err auth_user_put(const char *path, const char *name, struct bytes password, uint32_t iterations, bool replace,
			  struct sm_error *reterr)
{
	if (!auth__name_ok(bytes_str(name)))
		return sm_fail(reterr, SM_INVALID,
			       "a user's name has 1 to %d bytes, none of them a blank or a control character, and does not begin with #",
			       AUTH_NAME_MAX);
	if (!password.size || password.size > AUTH_PASSWORD_MAX || memchr(password.data, 0, password.size))
		return sm_fail(reterr, SM_INVALID, "a password has 1 to %d bytes, none of them zero", AUTH_PASSWORD_MAX);
	if (iterations < AUTH_ITERATIONS_MIN || iterations > AUTH_ITERATIONS_MAX)
		return sm_fail(reterr, SM_INVALID, "the iterations must lie between %d and %d", AUTH_ITERATIONS_MIN, AUTH_ITERATIONS_MAX);
	uint8_t *text = NULL;
	size_t size = 0;
	struct buf out;
	enum sm_err err = read_or_begin(path, &text, &size, reterr);
	if (err)
		return err;
	buf_init(&out);
	bool there = copy_others(bytes_of(text, size), bytes_str(name), &out) > 0;
	if (there && !replace)
		err = sm_fail(reterr, SM_EXISTS, "user %s is in %s already: `smack user password` changes the password", name, path);
	else if (!there && replace)
		err = sm_fail(reterr, SM_NOT_FOUND, "there is no user %s in %s: `smack user add` makes one", name, path);
	else if (!append_keys(&out, name, AUTH_SHA_256, password, iterations) ||
		 !append_keys(&out, name, AUTH_SHA_512, password, iterations))
		err = sm_fail(reterr, SM_NO_MEMORY, "the password cannot be hashed: no memory");
	else
		err = write_back(path, &out, reterr);
	buf_done(&out);
	text_free(text, size);
	return err;
}

enum sm_err auth_user_remove(const char *path, const char *name, struct sm_error *reterr)
{
	uint8_t *text = NULL;
	size_t size = 0;
	struct stat st;
	struct buf out;
	enum sm_err err = read_text(path, &st, &text, &size, reterr);
	if (err)
		return err;
	buf_init(&out);
	if (!copy_others(bytes_of(text, size), bytes_str(name), &out))
		err = sm_fail(reterr, SM_NOT_FOUND, "there is no user %s in %s; `smack user list` shows those that are", name, path);
	else
		err = write_back(path, &out, reterr);
	buf_done(&out);
	text_free(text, size);
	return err;
}

enum sm_err auth_users_list(const char *path, struct buf *out, struct sm_error *reterr)
{
	uint8_t *text = NULL;
	size_t size = 0;
	struct stat st;
	struct map users;
	enum sm_err err = read_users(path, &st, &users, reterr);
	if (err)
		return err;
	users_free(&users);
	if ((err = read_text(path, &st, &text, &size, reterr)))
		return err;
	struct bytes rest = bytes_of(text, size), line;
	for (bool first = true; next_line(&rest, &line); first = false) {
		struct bytes words = line;
		if (first || !line.size || line.data[0] == '#')
			continue;
		for (int i = 0; i < 3; i++) {
			buf_append_bytes(out, next_word(&words));
			buf_u8(out, i < 2 ? ' ' : '\n');
		}
	}
	text_free(text, size);
	return SM_OK;
}

/* ---- what Kafka's admin clients do ---- */

static enum auth_hash hash_of(enum auth_mechanism mechanism)
{
	return mechanism == AUTH_SCRAM_SHA_512 ? AUTH_SHA_512 : AUTH_SHA_256;
}

const char *auth_credential_wrong(const struct auth_credential *c)
{
	if (!*c->name)
		return "Username must not be empty";
	if (!auth__name_ok(bytes_str(c->name)))
		return "A user's name has 1 to 255 bytes, none of them a blank or a control character, and does not begin with #";
	if (c->iterations < AUTH_ITERATIONS_MIN)
		return "Too few iterations";
	if (c->iterations > AUTH_ITERATIONS_MAX)
		return "Too many iterations";
	if (!c->salt.size || c->salt.size > AUTH_SALT_MAX)
		return "The salt must have 1 to 64 bytes";
	if (c->salted_password.size != auth__hash_size(hash_of(c->mechanism)))
		return "The salted password must have as many bytes as the mechanism's hash";
	return NULL;
}

static bool is_changed(struct bytes line, const struct auth_credential *changes, uint32_t count)
{
	struct bytes name = next_word(&line), mechanism = next_word(&line);
	for (uint32_t i = 0; i < count; i++)
		if (bytes_equal(name, bytes_str(changes[i].name)) &&
		    bytes_equal(mechanism, bytes_str(hash_names[hash_of(changes[i].mechanism)])))
			return true;
	return false;
}

static void append_change(struct buf *out, const struct auth_credential *c)
{
	struct auth_keys keys = {.iterations = c->iterations, .salt_size = c->salt.size};
	if (!c->iterations)
		return;
	memcpy(keys.salt, c->salt.data, c->salt.size);
	auth__scram_keys_of_salted(hash_of(c->mechanism), c->salted_password.data, &keys);
	append_line(out, c->name, hash_of(c->mechanism), &keys);
}

enum sm_err auth_users_change(struct auth_users *u, const struct auth_credential *changes, uint32_t count, struct sm_error *reterr)
{
	uint8_t *text = NULL;
	size_t size = 0;
	struct buf out;
	buf_init(&out);
	pthread_mutex_lock(&u->lock);
	enum sm_err err = read_or_begin(u->path, &text, &size, reterr);
	struct bytes rest = bytes_of(text, err ? 0 : size), line;
	while (next_line(&rest, &line)) {
		if (is_changed(line, changes, count))
			continue;
		buf_append_bytes(&out, line);
		buf_u8(&out, '\n');
	}
	for (uint32_t i = 0; !err && i < count; i++)
		append_change(&out, &changes[i]);
	if (!err && !(err = write_back(u->path, &out, reterr)))
		look_again(u);
	pthread_mutex_unlock(&u->lock);
	buf_done(&out);
	text_free(text, err ? 0 : size);
	return err;
}

uint32_t auth_users_iterations(struct auth_users *u, struct bytes name, enum auth_mechanism mechanism)
{
	pthread_mutex_lock(&u->lock);
	look_again(u);
	const struct user *user = map_get(&u->users, name);
	uint32_t iterations = user ? user->keys[hash_of(mechanism)].iterations : 0;
	pthread_mutex_unlock(&u->lock);
	return iterations;
}

void auth_users_names(struct auth_users *u, void (*visit)(void *arg, struct bytes name), void *arg)
{
	size_t pos = 0;
	struct bytes name;
	void *user;
	pthread_mutex_lock(&u->lock);
	look_again(u);
	while (map_next(&u->users, &pos, &name, &user))
		visit(arg, name);
	pthread_mutex_unlock(&u->lock);
}
