/* Fuzz target: bytes of a hostile client to an HTTP/2 session, and the heads of its requests. The first byte says how the bytes are cut and
 * whether the preface and an empty SETTINGS come first. What is checked besides memory: what is told of a stream comes in order, every
 * stream that began ends once, and no more are open than may be. */
#include "net/http2_internal.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct request {
	int32_t id;
	bool headed, ended, answered;
	struct arena arena;
	struct http2__head head;
	size_t at;
};
static struct http2 *session;
static struct request *live[HTTP2_STREAMS_MAX];

static void *on_open(void *arg, int32_t stream)
{
	struct request *r = calloc(1, sizeof *r);
	if (!r)
		abort();
	r->id = stream;
	arena_init(&r->arena, HTTP_ARENA_MAX);
	int at = 0;
	while (live[at])
		assert(++at < HTTP2_STREAMS_MAX);
	live[at] = r;
	return r;
}

static void on_field(void *arg, void *user, struct bytes name, struct bytes value)
{
	struct request *r = user;
	assert(!r->headed && name.size);
	http2__head_field(&r->head, &r->arena, name, value);
	assert(r->arena.used < 4 * (HTTP_HEADER_BYTES_MAX + 3 * HTTP_LINE_MAX));
}

static void answer(struct request *r)
{
	const struct http2_field status = {BYTES(":status"), BYTES("200")};
	r->answered = true;
	assert(http2_answer(session, r->id, &status, 1, r->id % 4 != 3, r) == SM_OK);
}

static void on_head(void *arg, void *user, bool last)
{
	struct request *r = user;
	assert(!r->headed);
	r->headed = true;
	r->ended = last;
	int status = http2__head_end(&r->head, &r->arena, last);
	assert(status || (r->head.head.method && r->head.head.target.size && r->head.head.has_host));
	if (last || status)
		answer(r);
}

static void on_data(void *arg, void *user, struct bytes piece)
{
	struct request *r = user;
	assert(r->headed && !r->ended);
	http2_took_of_conn(session, piece.size);
	if (r->id % 8 != 5)
		http2_took_of_stream(session, r->id, piece.size);
}

static void on_end(void *arg, void *user)
{
	struct request *r = user;
	assert(r->headed && !r->ended);
	r->ended = true;
	if (!r->answered)
		answer(r);
}

static bool on_close(void *arg, void *user)
{
	struct request *r = user;
	bool answered = r->answered;
	int at = 0;
	while (live[at] != r)
		assert(++at < HTTP2_STREAMS_MAX);
	live[at] = NULL;
	arena_done(&r->arena);
	free(r);
	return answered;
}

static size_t on_answer(void *arg, void *user, uint8_t *out, size_t room, bool *ret_last)
{
	struct request *r = user;
	size_t size = room < 100000 - r->at ? room : 100000 - r->at;
	memset(out, 'a', size);
	r->at += size;
	*ret_last = r->at == 100000;
	return size;
}

static void on_write(void *arg, struct bytes data)
{
	*(uint64_t *)arg += data.size;
}

static bool is_full(void *arg)
{
	return false;
}

static const struct http2_ops ops = {on_open, on_field, on_head, on_data, on_end, on_close, on_answer, on_write, is_full};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	uint64_t written = 0, now_ms = 0;
	uint8_t how = size ? *data : 0;
	struct bytes in = bytes_of(data + (size > 0), size - (size > 0));
	size_t step = how & 63 ? how & 63 : SIZE_MAX;
	session = http2_new(&ops, &written);
	if (!session)
		abort();
	/* The literal's own end is the last byte of the frame's head. */
	if (!(how & 64))
		assert(http2_feed(session, bytes_of(begin, sizeof begin), now_ms) == SM_OK);
	while (in.size && !http2_over(session)) {
		size_t n = in.size < step ? in.size : step;
		assert(http2_feed(session, bytes_of(in.data, n), now_ms++) == SM_OK);
		assert(http2_pump(session) == SM_OK);
		in = bytes_of(in.data + n, in.size - n);
		if (how & 128 && in.size < size / 2)
			http2_drain(session, false);
	}
	http2_end(session, false);
	assert(http2_pump(session) == SM_OK);
	http2_free(session);
	for (int i = 0; i < HTTP2_STREAMS_MAX; i++)
		if (live[i])
			on_close(NULL, live[i]);
	return 0;
}
