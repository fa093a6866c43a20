/* Passwords as Cassandra keeps them: bcrypt, "$2a$10$" and 22 characters of salt, then 31 of hash; computed by the system's crypt(3). */
#include "auth/auth.h"

#include "base/uuid.h"
#include <crypt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#define PREFIX "$2a$"
#define ROUNDS_LOG2 10

/* crypt(3) takes a string of at most 72 bytes; what is behind them does not count, as in Cassandra. */
static bool run(struct bytes password, const char *setting, char out[AUTH_PASSWORD_HASH_BYTES])
{
	char text[AUTH_PASSWORD_MAX + 1];
	struct crypt_data *data = calloc(1, sizeof *data);
	if (!data || password.size > AUTH_PASSWORD_MAX || memchr(password.data, 0, password.size)) {
		free(data);
		return false;
	}
	memcpy(text, password.data, password.size);
	text[password.size] = 0;
	const char *hash = crypt_r(text, setting, data);
	bool ok = hash && hash[0] == '$' && strlen(hash) < AUTH_PASSWORD_HASH_BYTES;
	if (ok)
		strcpy(out, hash);
	OPENSSL_cleanse(text, sizeof text);
	OPENSSL_cleanse(data, sizeof *data);
	free(data);
	return ok;
}

bool auth_password_hash(struct bytes password, char out[AUTH_PASSWORD_HASH_BYTES])
{
	char salt[16], setting[CRYPT_GENSALT_OUTPUT_SIZE];
	random_bytes(salt, sizeof salt);
	return password.size && crypt_gensalt_rn(PREFIX, ROUNDS_LOG2, salt, sizeof salt, setting, sizeof setting) &&
	       run(password, setting, out);
}

bool auth_password_hash_ok(const char *hash)
{
	unsigned rounds = 0;
	char minor = 0;
	if (strlen(hash) != 60 || sscanf(hash, "$2%c$%2u$", &minor, &rounds) != 2)
		return false;
	return (minor == 'a' || minor == 'b' || minor == 'y') && rounds >= 4 && rounds <= 12;
}

bool auth_password_fits(const char *hash, struct bytes password)
{
	char again[AUTH_PASSWORD_HASH_BYTES];
	size_t size = strlen(hash);
	bool ok = password.size && run(password, hash, again);
	return ok && strlen(again) == size && CRYPTO_memcmp(again, hash, size) == 0;
}
