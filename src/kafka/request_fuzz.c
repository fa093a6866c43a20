/* Any bytes as a request's frame: everything up to the handler, then back to bytes again. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted must survive being written and read once more. */
static void round_trip(const struct kafka_request *r)
{
	struct buf out;
	struct arena arena;
	buf_init(&out);
	arena_init(&arena, KAFKA_REQUEST_ARENA_MAX);
	struct kafka_writer w = {.out = &out, .arena = &arena};
	void *again = arena_alloc(&arena, r->api->request->size);
	if (again && kafka__encode(r->api->request, r->version, r->body, &w) == SM_OK) {
		struct byte_reader in = byte_reader(buf_bytes(&out));
		if (kafka__decode(r->api->request, r->version, &in, &arena, again))
			abort();
	}
	arena_done(&arena);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct kafka_server server;
	uint8_t *frame = malloc(size ? size : 1);
	if (!frame)
		return 0;
	if (size)
		memcpy(frame, data, size);
	struct kafka_request *r = kafka__request_new(&server, frame, frame, size);
	bool answered;
	if (r && kafka__request_parse(r, &answered) == SM_OK) {
		if (!answered)
			round_trip(r);
		if (kafka__request_encode(r))
			abort();
	}
	if (r)
		kafka__request_unref(r);
	return 0;
}
