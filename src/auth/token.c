/* Tokens for programs that send events over HTTP: "smack_ID_SECRET", the identity 16 hexadecimal digits, the secret 32 random bytes in
 * Base64 for URLs (RFC 4648, section 5). What is kept is a SHA-256 of the whole: the secret cannot be guessed, so nothing slower is needed.
 */
#include "auth/auth_internal.h"
#include "base/uuid.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#define PREFIX "smack_"
#define PREFIX_BYTES 6
#define SECRET_BYTES 43

bool auth__token_id_ok(struct bytes id)
{
	for (size_t i = 0; i < id.size; i++)
		if (!((id.data[i] >= '0' && id.data[i] <= '9') || (id.data[i] >= 'a' && id.data[i] <= 'f')))
			return false;
	return id.size == AUTH_TOKEN_ID_BYTES;
}

bool auth__token_new(char out[AUTH_API_TOKEN_BYTES + 1])
{
	uint8_t id[AUTH_TOKEN_ID_BYTES / 2], secret[32];
	struct buf text;
	random_bytes(id, sizeof id);
	random_bytes(secret, sizeof secret);
	buf_init(&text);
	base64url_append(&text, bytes_of(secret, sizeof secret));
	int at = snprintf(out, AUTH_API_TOKEN_BYTES + 1, PREFIX);
	for (size_t i = 0; i < sizeof id; i++)
		at += snprintf(out + at, 3, "%02x", id[i]);
	out[at++] = '_';
	bool failed = text.failed;
	if (!failed)
		memcpy(out + at, text.data, SECRET_BYTES);
	out[at + SECRET_BYTES] = 0;
	OPENSSL_cleanse(secret, sizeof secret);
	if (text.data)
		OPENSSL_cleanse(text.data, text.cap);
	buf_done(&text);
	return !failed;
}

struct bytes auth__token_id(struct bytes token)
{
	struct bytes id = {0};
	if (token.size != AUTH_API_TOKEN_BYTES || memcmp(token.data, PREFIX, PREFIX_BYTES) != 0 ||
	    token.data[PREFIX_BYTES + AUTH_TOKEN_ID_BYTES] != '_')
		return id;
	id = bytes_of(token.data + PREFIX_BYTES, AUTH_TOKEN_ID_BYTES);
	return auth__token_id_ok(id) ? id : (struct bytes){0};
}

bool auth__token_hash(struct bytes token, uint8_t out[AUTH_TOKEN_HASH_BYTES])
{
	return EVP_Digest(token.data, token.size, out, NULL, EVP_sha256(), NULL) == 1;
}
