/* The handshake. Both say hello, each with a fresh number; then the one that has dialled proves that it knows the secret, then the other
 * one. A proof is HMAC-SHA-256, keyed by the secret, of who proves, the dialler's hello and the other's: so it is good for this connection
 * and this side alone, and what the hellos say cannot be altered. (RFC 2104; the exchange is the ISO/IEC 9798-4 mutual authentication by a
 * keyed check of both nonces.) */
#include "remoting/frame.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define DIALER "smack remoting 1 dialer"
#define LISTENER "smack remoting 1 listener"

static void say_hello(struct handshake *h, struct buf *out)
{
	size_t begun = frame_begin(out, FRAME_HELLO);
	buf_append_str(out, FRAME_MAGIC);
	buf_be16(out, FRAME_PROTOCOL);
	buf_append(out, h->mine.nonce, sizeof h->mine.nonce);
	buf_be64(out, h->mine.uid);
	buf_be32(out, h->mine.message_max);
	frame_string(out, bytes_str(h->mine.name));
	frame_string(out, bytes_str(h->mine.where));
	frame_end(out, begun);
	if (out->failed)
		return;
	h->mine_size = buf_size(out) - begun;
	memcpy(h->mine_bytes, out->data + out->start + begun, h->mine_size);
}

static bool proof(const struct handshake *h, bool of_dialer, uint8_t ret[32])
{
	uint8_t text[32 + 2 * REMOTING_HELLO_MAX];
	struct bytes who = of_dialer ? BYTES(DIALER) : BYTES(LISTENER);
	size_t at = who.size;
	memcpy(text, who.data, at);
	const uint8_t *first = h->dialer ? h->mine_bytes : h->peer_bytes, *second = h->dialer ? h->peer_bytes : h->mine_bytes;
	size_t first_size = h->dialer ? h->mine_size : h->peer_size, second_size = h->dialer ? h->peer_size : h->mine_size;
	memcpy(text + at, first, first_size);
	memcpy(text + at + first_size, second, second_size);
	unsigned size = 32;
	return HMAC(EVP_sha256(), h->secret.size ? h->secret.data : (const uint8_t *)"", (int)h->secret.size, text,
		    at + first_size + second_size, ret, &size) &&
	       size == 32;
}

static bool prove(const struct handshake *h, struct buf *out)
{
	uint8_t mac[32];
	if (!proof(h, h->dialer, mac))
		return false;
	size_t begun = frame_begin(out, FRAME_PROOF);
	buf_append(out, mac, sizeof mac);
	frame_end(out, begun);
	return true;
}

void handshake_begin(struct handshake *h, bool dialer, const struct hello *mine, struct bytes secret, struct buf *out)
{
	memset(h, 0, sizeof *h);
	h->dialer = dialer;
	h->mine = *mine;
	h->secret = secret;
	if (dialer)
		say_hello(h, out);
}

static enum sm_err hello_has_come(struct handshake *h, const struct frame *frame, struct bytes whole, struct buf *out)
{
	if (h->has_peer || whole.size > sizeof h->peer_bytes)
		return SM_CORRUPT;
	h->has_peer = true;
	h->peer = frame->hello;
	h->peer_size = whole.size;
	memcpy(h->peer_bytes, whole.data, whole.size);
	if (!h->dialer)
		say_hello(h, out);
	else if (!prove(h, out))
		return SM_NO_MEMORY;
	return SM_OK;
}

static enum sm_err proof_has_come(struct handshake *h, const struct frame *frame, struct buf *out)
{
	uint8_t want[32];
	if (!h->has_peer)
		return SM_CORRUPT;
	if (!proof(h, !h->dialer, want))
		return SM_NO_MEMORY;
	if (CRYPTO_memcmp(want, frame->proof.data, sizeof want) != 0)
		return SM_DENIED;
	if (!h->dialer && !prove(h, out))
		return SM_NO_MEMORY;
	h->done = true;
	return SM_OK;
}

enum sm_err handshake_frame(struct handshake *h, const struct frame *frame, struct bytes whole, struct buf *out)
{
	enum sm_err err = h->done                      ? SM_CORRUPT
			  : frame->kind == FRAME_HELLO ? hello_has_come(h, frame, whole, out)
			  : frame->kind == FRAME_PROOF ? proof_has_come(h, frame, out)
						       : SM_CORRUPT;
	return err ? err : out->failed ? SM_NO_MEMORY : SM_OK;
}
