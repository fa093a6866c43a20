#include "auth/auth_internal.h"
#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const EVP_MD *digest(enum auth_hash hash)
{
	return hash == AUTH_SHA_256 ? EVP_sha256() : EVP_sha512();
}

size_t auth__hash_size(enum auth_hash hash)
{
	return hash == AUTH_SHA_256 ? 32 : 64;
}

void auth__hmac(enum auth_hash hash, struct bytes key, struct bytes data, uint8_t out[AUTH_HASH_MAX])
{
	static const uint8_t nothing;
	unsigned size;
	const void *made = HMAC(digest(hash), key.size ? key.data : &nothing, (int)key.size, data.size ? data.data : &nothing, data.size,
				out, &size);
	assert(made && size == auth__hash_size(hash));
}

static void hash_of(enum auth_hash hash, struct bytes data, uint8_t out[AUTH_HASH_MAX])
{
	unsigned size;
	int ok = EVP_Digest(data.data, data.size, out, &size, digest(hash), NULL);
	assert(ok && size == auth__hash_size(hash));
}

void auth__scram_keys_of_salted(enum auth_hash hash, const uint8_t *salted, struct auth_keys *keys)
{
	uint8_t client[AUTH_HASH_MAX];
	size_t size = auth__hash_size(hash);
	auth__hmac(hash, bytes_of(salted, size), BYTES("Client Key"), client);
	hash_of(hash, bytes_of(client, size), keys->stored);
	auth__hmac(hash, bytes_of(salted, size), BYTES("Server Key"), keys->server);
	OPENSSL_cleanse(client, sizeof client);
}

bool auth__scram_keys(enum auth_hash hash, struct bytes password, struct auth_keys *keys)
{
	uint8_t salted[AUTH_HASH_MAX];
	size_t size = auth__hash_size(hash);
	static const char nothing[] = "";
	if (!PKCS5_PBKDF2_HMAC(password.size ? (const char *)password.data : nothing, (int)password.size, keys->salt, (int)keys->salt_size,
			       (int)keys->iterations, digest(hash), (int)size, salted))
		return false;
	auth__scram_keys_of_salted(hash, salted, keys);
	OPENSSL_cleanse(salted, sizeof salted);
	return true;
}

bool auth__scram_proof_ok(enum auth_hash hash, const struct auth_keys *keys, struct bytes auth_message, struct bytes proof)
{
	uint8_t signature[AUTH_HASH_MAX], key[AUTH_HASH_MAX], stored[AUTH_HASH_MAX];
	size_t size = auth__hash_size(hash);
	if (proof.size != size)
		return false;
	auth__hmac(hash, bytes_of(keys->stored, size), auth_message, signature);
	for (size_t i = 0; i < size; i++)
		key[i] = proof.data[i] ^ signature[i];
	hash_of(hash, bytes_of(key, size), stored);
	OPENSSL_cleanse(key, sizeof key);
	return CRYPTO_memcmp(stored, keys->stored, size) == 0;
}

void auth__scram_signature(enum auth_hash hash, const struct auth_keys *keys, struct bytes auth_message, uint8_t out[AUTH_HASH_MAX])
{
	auth__hmac(hash, bytes_of(keys->server, auth__hash_size(hash)), auth_message, out);
}
