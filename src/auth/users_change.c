/* Changes of the file of users, each in one atomic step: what `smack user` and Kafka's admin clients do. */
#include "auth/auth_internal.h"
#include "base/io.h"
#include "base/uuid.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The file as it is, or what a new one begins with. */
static enum sm_err read_or_begin(const char *path, uint8_t **ret_text, size_t *ret_size, struct sm_error *reterr)
{
	struct stat st;
	if (stat(path, &st) && errno == ENOENT) {
		*ret_text = (uint8_t *)strdup(AUTH_USERS_FIRST_LINE "\n");
		*ret_size = strlen(AUTH_USERS_FIRST_LINE) + 1;
		return *ret_text ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory for the users");
	}
	/* A file that is wrong is not made worse. */
	enum sm_err err = auth__users_check(path, reterr);
	return err ? err : auth__users_text(path, &st, ret_text, ret_size, reterr);
}

static void copy_line(struct bytes line, struct buf *out)
{
	buf_append_bytes(out, line);
	buf_u8(out, '\n');
}

static bool is_password_of(struct bytes line, const char *name)
{
	struct bytes rest;
	return auth__line_of(line, bytes_str(name), NULL, &rest) && !auth__line_of(line, bytes_str(name), "TOKEN", &rest);
}

static bool is_of(struct bytes line, const char *name)
{
	struct bytes rest;
	return auth__line_of(line, bytes_str(name), NULL, &rest);
}

static bool is_token(struct bytes line, const char *id)
{
	struct bytes rest;
	return auth__line_of(line, (struct bytes){0}, "TOKEN", &rest) && bytes_equal(auth__next_word(&rest), bytes_str(id));
}

/* All lines but those that go; returns how many those were. The first line is of no user, though one may have its first word for a name. */
static unsigned copy_others(struct bytes text, bool (*goes)(struct bytes line, const char *what), const char *what, struct buf *out)
{
	struct bytes line;
	unsigned left_out = 0;
	for (bool first = true; auth__next_line(&text, &line); first = false) {
		if (!first && goes(line, what))
			left_out++;
		else
			copy_line(line, out);
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
	buf_printf(out, "%s %s %u ", name, auth__hash_names[hash], keys->iterations);
	base64_append(out, bytes_of(keys->salt, keys->salt_size));
	buf_u8(out, ' ');
	base64_append(out, bytes_of(keys->stored, auth__hash_size(hash)));
	buf_u8(out, ' ');
	base64_append(out, bytes_of(keys->server, auth__hash_size(hash)));
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

static enum sm_err check_name(const char *name, struct sm_error *reterr)
{
	return auth__name_ok(bytes_str(name))
		       ? SM_OK
		       : sm_fail(reterr, SM_INVALID,
				 "a user's name has 1 to %d bytes, none of them a blank or a control character, and does not begin with #",
				 AUTH_NAME_MAX);
}

enum sm_err auth_user_put(const char *path, const char *name, struct bytes password, uint32_t iterations, bool replace,
			  struct sm_error *reterr)
{
	enum sm_err err = check_name(name, reterr);
	if (err)
		return err;
	if (!password.size || password.size > AUTH_PASSWORD_MAX || memchr(password.data, 0, password.size))
		return sm_fail(reterr, SM_INVALID, "a password has 1 to %d bytes, none of them zero", AUTH_PASSWORD_MAX);
	if (iterations < AUTH_ITERATIONS_MIN || iterations > AUTH_ITERATIONS_MAX)
		return sm_fail(reterr, SM_INVALID, "the iterations must lie between %d and %d", AUTH_ITERATIONS_MIN, AUTH_ITERATIONS_MAX);
	uint8_t *text = NULL;
	size_t size = 0;
	struct buf out;
	if ((err = read_or_begin(path, &text, &size, reterr)))
		return err;
	buf_init(&out);
	bool there = copy_others(bytes_of(text, size), is_password_of, name, &out) > 0;
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
	auth__text_free(text, size);
	return err;
}

/* kind: what the lines that go are of. */
static enum sm_err remove_lines(const char *path, bool (*goes)(struct bytes line, const char *what), const char *what, const char *kind,
				struct sm_error *reterr)
{
	uint8_t *text = NULL;
	size_t size = 0;
	struct stat st;
	struct buf out;
	enum sm_err err = auth__users_text(path, &st, &text, &size, reterr);
	if (err)
		return err;
	buf_init(&out);
	if (!copy_others(bytes_of(text, size), goes, what, &out))
		err = sm_fail(reterr, SM_NOT_FOUND, "there is no %s %s in %s; `smack user list` shows those that are", kind, what, path);
	else
		err = write_back(path, &out, reterr);
	buf_done(&out);
	auth__text_free(text, size);
	return err;
}

enum sm_err auth_user_remove(const char *path, const char *name, struct sm_error *reterr)
{
	return remove_lines(path, is_of, name, "user", reterr);
}

enum sm_err auth_users_list(const char *path, struct buf *out, struct sm_error *reterr)
{
	uint8_t *text = NULL;
	size_t size = 0;
	struct stat st;
	enum sm_err err = auth__users_check(path, reterr);
	if (err || (err = auth__users_text(path, &st, &text, &size, reterr)))
		return err;
	struct bytes rest = bytes_of(text, size), line;
	for (bool first = true; auth__next_line(&rest, &line); first = false) {
		struct bytes words = line;
		if (first || !line.size || line.data[0] == '#')
			continue;
		for (int i = 0; i < 3; i++) {
			buf_append_bytes(out, auth__next_word(&words));
			buf_u8(out, i < 2 ? ' ' : '\n');
		}
	}
	auth__text_free(text, size);
	return SM_OK;
}

/* ---- tokens ---- */

enum sm_err auth_token_make(const char *path, const char *name, char ret_token[AUTH_API_TOKEN_BYTES + 1], struct sm_error *reterr)
{
	uint8_t *text = NULL, hash[AUTH_TOKEN_HASH_BYTES];
	size_t size = 0;
	struct buf out;
	enum sm_err err = check_name(name, reterr);
	if (err || (err = read_or_begin(path, &text, &size, reterr)))
		return err;
	buf_init(&out);
	if (!auth__token_new(ret_token))
		out.failed = true;
	buf_append_bytes(&out, bytes_of(text, size));
	if (size && text[size - 1] != '\n')
		buf_u8(&out, '\n');
	buf_printf(&out, "%s TOKEN %.*s ", name, AUTH_TOKEN_ID_BYTES, (const char *)auth__token_id(bytes_str(ret_token)).data);
	if (!auth__token_hash(bytes_str(ret_token), hash))
		out.failed = true;
	base64_append(&out, bytes_of(hash, sizeof hash));
	buf_u8(&out, '\n');
	err = write_back(path, &out, reterr);
	buf_done(&out);
	auth__text_free(text, size);
	return err;
}

enum sm_err auth_token_revoke(const char *path, const char *id, struct sm_error *reterr)
{
	return remove_lines(path, is_token, id, "token", reterr);
}

/* ---- what Kafka's admin clients do ---- */

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
	if (c->salted_password.size != auth__hash_size(auth__hash_of(c->mechanism)))
		return "The salted password must have as many bytes as the mechanism's hash";
	return NULL;
}

static bool is_changed(struct bytes line, const struct auth_credential *changes, uint32_t count)
{
	struct bytes name = auth__next_word(&line), mechanism = auth__next_word(&line);
	for (uint32_t i = 0; i < count; i++)
		if (bytes_equal(name, bytes_str(changes[i].name)) &&
		    bytes_equal(mechanism, bytes_str(auth__hash_names[auth__hash_of(changes[i].mechanism)])))
			return true;
	return false;
}

static void append_change(struct buf *out, const struct auth_credential *c)
{
	struct auth_keys keys = {.iterations = c->iterations, .salt_size = c->salt.size};
	if (!c->iterations)
		return;
	memcpy(keys.salt, c->salt.data, c->salt.size);
	auth__scram_keys_of_salted(auth__hash_of(c->mechanism), c->salted_password.data, &keys);
	append_line(out, c->name, auth__hash_of(c->mechanism), &keys);
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
	while (auth__next_line(&rest, &line)) {
		if (!is_changed(line, changes, count))
			copy_line(line, &out);
	}
	for (uint32_t i = 0; !err && i < count; i++)
		append_change(&out, &changes[i]);
	if (!err && !(err = write_back(u->path, &out, reterr)))
		auth__users_look_again(u);
	pthread_mutex_unlock(&u->lock);
	buf_done(&out);
	auth__text_free(text, err ? 0 : size);
	return err;
}
