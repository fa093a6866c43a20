/* A small HTTP/2 client for tests, on nghttp2's client side: bytes in, bytes out. */
#ifndef NET_HTTP2_TESTING_H
#define NET_HTTP2_TESTING_H

#include "base/buf.h"
#include "net/testing.h"
#include <nghttp2/nghttp2.h>

#define CLIENT_STREAMS 4096
struct client_stream {
	int32_t id;
	struct bytes send; /* body */
	size_t sent;
	bool hold; /* do not end the body */
	int status, informational;
	struct buf body;
	char header[256]; /* of the answer: the last one asked for with client.want */
	bool closed;
	uint32_t error;
};
struct client {
	nghttp2_session *ng;
	struct client_stream streams[CLIENT_STREAMS];
	uint32_t count, closed;
	const char *want;      /* a header whose value is kept */
	const char *authority; /* NULL: "localhost" */
	uint32_t goaways, goaway_error;
	int32_t goaway_last;
	bool settled; /* the server's SETTINGS have come */
};

static inline struct client_stream *client_find(struct client *c, int32_t id)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->streams[i].id == id)
			return &c->streams[i];
	return NULL;
}

static inline int client_on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
				   const uint8_t *value, size_t value_size, uint8_t flags, void *arg)
{
	struct client *c = arg;
	struct client_stream *s = client_find(c, frame->hd.stream_id);
	if (!s)
		return 0;
	if (name_size == 7 && memcmp(name, ":status", 7) == 0) {
		int status = atoi((const char *)value);
		if (status < 200)
			s->informational = status;
		else
			s->status = status;
	}
	if (c->want && strlen(c->want) == name_size && memcmp(c->want, name, name_size) == 0)
		snprintf(s->header, sizeof s->header, "%.*s", (int)value_size, (const char *)value);
	return 0;
}

static inline int client_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *arg)
{
	struct client_stream *s = client_find(arg, id);
	if (s)
		buf_append(&s->body, data, size);
	return 0;
}

static inline int client_on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct client *c = arg;
	struct client_stream *s = client_find(c, id);
	if (s) {
		s->closed = true;
		s->error = error;
		c->closed++;
	}
	return 0;
}

static inline int client_on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct client *c = arg;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		c->goaways++;
		c->goaway_error = frame->goaway.error_code;
		c->goaway_last = frame->goaway.last_stream_id;
	}
	c->settled |= frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK);
	return 0;
}

/* window: of each stream; 0: HTTP/2's own. */
static inline struct client *client_new(uint32_t window)
{
	struct client *c = calloc(1, sizeof *c);
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	assert_int_equal(nghttp2_option_new(&option), 0);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, client_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_on_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, client_on_frame);
	/* What the server allows is for it to hold. */
	nghttp2_option_set_peer_max_concurrent_streams(option, CLIENT_STREAMS);
	assert_int_equal(nghttp2_session_client_new2(&c->ng, callbacks, c, option), 0);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window ? window : 65535};
	assert_int_equal(nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, &entry, 1), 0);
	return c;
}

static inline void client_free(struct client *c)
{
	nghttp2_session_del(c->ng);
	for (uint32_t i = 0; i < c->count; i++)
		buf_done(&c->streams[i].body);
	free(c);
}

static inline ssize_t client_read_body(nghttp2_session *ng, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
				       nghttp2_data_source *source, void *arg)
{
	struct client_stream *s = source->ptr;
	size_t left = s->send.size - s->sent, size = left < room ? left : room;
	if (size)
		memcpy(out, s->send.data + s->sent, size);
	s->sent += size;
	if (s->sent == s->send.size && !s->hold)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return size || !s->hold ? (ssize_t)size : NGHTTP2_ERR_DEFERRED;
}

/* more: "name", "value" pairs, NULL at the end; may be NULL. body: data NULL: none; borrowed. */
static inline struct client_stream *client_request(struct client *c, const char *method, const char *path, const char *const *more,
						   struct bytes body, bool hold)
{
	nghttp2_nv lines[128];
	size_t n = 0;
	const char *const first[] = {":method", method, ":scheme", "http", ":authority", c->authority ? c->authority : "localhost",
				     ":path",   path,   NULL};
	for (int part = 0; part < 2; part++)
		for (const char *const *p = part ? more : first; p && *p; p += 2) {
			assert_true(n < 128);
			lines[n++] = (nghttp2_nv){(uint8_t *)p[0], (uint8_t *)p[1], strlen(p[0]), strlen(p[1]), NGHTTP2_NV_FLAG_NONE};
		}
	assert_true(c->count < CLIENT_STREAMS);
	struct client_stream *s = &c->streams[c->count++];
	*s = (struct client_stream){.send = body, .hold = hold};
	nghttp2_data_provider provider = {.source.ptr = s, .read_callback = client_read_body};
	s->id = nghttp2_submit_request(c->ng, NULL, lines, n, body.data || hold ? &provider : NULL, NULL);
	assert_true(s->id > 0);
	return s;
}

/* All that it wants to send. */
static inline void client_take(struct client *c, struct buf *out)
{
	const uint8_t *data;
	ssize_t size;
	while ((size = nghttp2_session_mem_send(c->ng, &data)) > 0)
		buf_append(out, data, (size_t)size);
	assert_int_equal(size, 0);
}

static inline void client_feed(struct client *c, struct bytes in)
{
	if (in.size)
		assert_true(nghttp2_session_mem_recv(c->ng, in.data, in.size) >= 0);
}

/* A frame as bytes, for what no client sends. */
static inline void client_raw(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream, struct bytes payload)
{
	buf_u8(out, (uint8_t)(payload.size >> 16));
	buf_be16(out, (uint16_t)payload.size);
	buf_u8(out, type);
	buf_u8(out, flags);
	buf_be32(out, stream);
	buf_append_bytes(out, payload);
}

#endif
