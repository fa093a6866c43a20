/* Idempotency-Key: a request that is sent again is stored once.
 *
 * What the log remembers of idempotent producers (KIP-98) is used: it is written with the batches, by the same sync, and comes back with
 * them after a restart. Each batch of such a request is the only one of a producer whose id is made of the key and of the batch's number
 * among those of its partition; its sequence number is made of the request's content. So a partition that has the batch says so and
 * takes nothing; one that lacks it takes it, which mends a request that was stored in part; and other content under the same key is a gap
 * in the sequence, which is told. The ids lie far above those that the log gives to real producers.
 *
 * Remembered for LOG_PRODUCER_EXPIRE_MS, of each partition the LOG_PRODUCERS_MAX last. */
#include "ingest/ingest_internal.h"
#include <openssl/evp.h>

static bool digest(const struct bytes *parts, uint32_t count, uint8_t out[32])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	for (uint32_t i = 0; i < count && ok; i++) {
		uint8_t size[8];
		be64_put(size, parts[i].size); /* so that two parts are never taken for others */
		ok = EVP_DigestUpdate(context, size, sizeof size) == 1 && EVP_DigestUpdate(context, parts[i].data, parts[i].size) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(context, out, NULL) == 1;
	EVP_MD_CTX_free(context);
	return ok;
}

static bool key_ok(struct bytes key)
{
	for (size_t i = 0; i < key.size; i++)
		if (key.data[i] < 0x20 || key.data[i] > 0x7e)
			return false;
	return key.size && key.size <= INGEST_ONCE_KEY_MAX;
}

struct once *ingest__once(struct job *job, bool *ret_ok)
{
	struct http_request *request = job->request;
	struct bytes key = {0};
	*ret_ok = true;
	for (uint32_t i = 0; i < request->header_count; i++) {
		if (!bytes_equal(request->headers[i].name, BYTES("idempotency-key")))
			continue;
		*ret_ok = !key.data; /* given twice, it is none */
		key = request->headers[i].value;
		if (!*ret_ok || !key_ok(key)) {
			*ret_ok = false;
			ingest__reply_message(request, 400, "Idempotency-Key is given once, 1 to 255 visible ASCII characters");
			return NULL;
		}
	}
	if (!key.data)
		return NULL;
	if (job->worker->ingest->options.no_once) {
		*ret_ok = false;
		ingest__reply_message(request, 501, "the log of this server cannot keep an Idempotency-Key: a real Kafka keeps the topics");
		return NULL;
	}
	struct once *once = arena_alloc(request->arena, sizeof *once);
	uint32_t parts = 3;
	uint8_t content[32];
	/* One user's key says nothing of another's. */
	const char *principal = http_principal(request);
	struct bytes of_key[] = {key, bytes_str(principal ? principal : "")};
	struct bytes of_content[3 + 2 * HTTP_HEADERS_MAX] = {http_header(request, "content-type"), request->query, request->body};
	for (uint32_t i = 0; i < request->header_count; i++) {
		const struct http_header *h = &request->headers[i];
		if (h->name.size < 4 || memcmp(h->name.data, "ce-", 3) != 0)
			continue;
		of_content[parts++] = h->name; /* of a CloudEvent in binary mode */
		of_content[parts++] = h->value;
	}
	if (!once || !(once->open = arena_alloc(request->arena, (size_t)job->entry->partitions * sizeof *once->open)) ||
	    !digest(of_key, 2, once->key) || !digest(of_content, parts, content)) {
		*ret_ok = false;
		ingest__refuse(request, SM_NO_MEMORY, job->entry->name);
		return NULL;
	}
	/* Sequence numbers go up to INT32_MAX; the batch's own records are counted on top. */
	once->sequence = (int32_t)(be32_get(content) & 0x3fffffff);
	once->partition = (int32_t)(be32_get(once->key) % (uint32_t)job->entry->partitions);
	return once;
}

int64_t ingest__once_producer(const struct once *once, uint32_t ordinal)
{
	uint8_t id[8];
	memcpy(id, once->key + 8, 8);
	return (int64_t)(((be64_get(id) + (uint64_t)ordinal * 0x9e3779b97f4a7c15) & 0x3fffffffffffffff) | 0x4000000000000000);
}
