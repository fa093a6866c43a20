/* HTTP/2 frames and streams, on libnghttp2.
 *
 * nghttp2 keeps the state of streams, HPACK, flow control and the rules of heads (RFC 9113 8.1 to 8.3: pseudo headers, connection headers,
 * a body as long as it says). Windows open only as bodies are taken (no automatic WINDOW_UPDATE). What costs the peer little and us much is
 * counted in two buckets: frames that ask for nothing, and streams that end before their answer, whoever ended them (CVE-2023-44487,
 * and its sisters that make the server reset). An empty bucket ends the connection with ENHANCE_YOUR_CALM. */
#include "net/http2.h"
#include "net/net_limits.h"
#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

/* Tokens, in thousandths. */
struct bucket {
	uint64_t left, at_ms;
};
struct http2 {
	nghttp2_session *ng;
	const struct http2_ops *ops;
	void *arg;
	uint64_t now_ms;
	struct bucket empty, resets;
	int32_t reset;        /* the stream that the peer has reset last */
	uint64_t updates_due; /* WINDOW_UPDATE frames that what we have sent may bring */
	uint32_t why;         /* of the end; an error code of nghttp2 */
	uint64_t head_bytes;  /* of the header block that comes */
	bool busy;            /* within feed or pump */
	bool feeding;         /* within feed: the session must not be terminated there, see end */
	bool greeted;
	bool no_memory;
	bool draining;
	bool asked;    /* the notice has left, and a PING behind it: */
	bool informed; /* it is answered */
	bool gone;     /* the last GOAWAY is queued */
	bool ended;
};

/* ---- the end ---- */

static void check(struct http2 *h, int rc)
{
	h->no_memory |= rc == NGHTTP2_ERR_NOMEM;
}

/* A session that is terminated within nghttp2_session_mem_recv is in two states at a time: what is still in the same bytes runs into an
 * assert of libnghttp2 1.52 (a frame of a wrong size, say). So there the end is only noted, and nothing that follows is looked at. */
static void end(struct http2 *h, uint32_t why)
{
	if (h->ended)
		return;
	h->ended = true;
	h->why = why;
	if (!h->feeding)
		check(h, nghttp2_session_terminate_session(h->ng, why));
}

void http2_end(struct http2 *h, bool calm)
{
	end(h, calm ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR);
}

/* ---- what is counted ---- */

static void spend(struct http2 *h, struct bucket *b, uint64_t burst, uint64_t per_s)
{
	uint64_t passed = h->now_ms - b->at_ms;
	/* tokens a second are thousandths a millisecond */
	uint64_t gain = passed < 1000000 ? passed * per_s : burst * 1000;
	b->left = b->left + gain < burst * 1000 ? b->left + gain : burst * 1000;
	b->at_ms = h->now_ms;
	if (b->left >= 1000)
		b->left -= 1000;
	else
		http2_end(h, true);
}

static void spend_empty(struct http2 *h)
{
	spend(h, &h->empty, HTTP2_EMPTY_BURST, HTTP2_EMPTY_PER_S);
}

static void spend_reset(struct http2 *h)
{
	spend(h, &h->resets, HTTP2_RESETS_BURST, HTTP2_RESETS_PER_S);
}

/* ---- from the peer ---- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct http2 *h = arg;
	h->head_bytes = 0;
	if (h->ended)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	void *user = h->ops->open(h->arg, frame->hd.stream_id);
	if (user)
		return nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, user);
	nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
	return 0;
}

/* A byte may stand for a line of thousands, each of which libnghttp2 looks through: one that sends so many more than it was told
 * (MAX_HEADER_LIST_SIZE) is not answered but stopped. What is left of the block is then only decoded. */
static int count_line(struct http2 *h, size_t name_size, size_t value_size)
{
	h->head_bytes += name_size + value_size + 32; /* as RFC 9113 6.5.2 counts */
	if (h->head_bytes <= 2 * HTTP_HEADER_BYTES_MAX)
		return 0;
	end(h, NGHTTP2_ENHANCE_YOUR_CALM);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* A line with bytes that no value has: left out by libnghttp2, once it has looked. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value,
			     size_t value_size, uint8_t flags, void *arg)
{
	return count_line(arg, name_size, value_size);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value,
		     size_t value_size, uint8_t flags, void *arg)
{
	struct http2 *h = arg;
	int rc = count_line(h, name_size, value_size);
	if (rc)
		return rc;
	void *user = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	/* Trailers say nothing that a handler looks at, as in HTTP/1. */
	if (user && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h->ops->field(h->arg, user, bytes_of(name, name_size), bytes_of(value, value_size));
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t stream, const uint8_t *data, size_t size, void *arg)
{
	struct http2 *h = arg;
	void *user = nghttp2_session_get_stream_user_data(ng, stream);
	if (user && !h->ended)
		h->ops->data(h->arg, user, bytes_of(data, size));
	else
		http2_took_of_conn(h, size);
	return 0;
}

static void count(struct http2 *h, const nghttp2_frame *frame)
{
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		if (!last && frame->hd.length == frame->data.padlen)
			spend_empty(h);
		break;
	case NGHTTP2_SETTINGS:
		h->greeted |= !(frame->hd.flags & NGHTTP2_FLAG_ACK);
		spend_empty(h);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		if (h->updates_due)
			h->updates_due--;
		else
			spend_empty(h);
		break;
	case NGHTTP2_HEADERS: break;
	case NGHTTP2_RST_STREAM:
		h->reset = frame->hd.stream_id;
		spend_empty(h);
		break;
	default: spend_empty(h); break;
	}
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct http2 *h = arg;
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (h->ended)
		return 0;
	count(h, frame);
	/* The last GOAWAY names the last request: also of those that come behind in the same bytes. */
	h->informed |= h->asked && frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK);
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	void *user = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (!user || h->ended)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h->ops->head(h->arg, user, last);
	else if (last)
		h->ops->end(h->arg, user);
	return 0;
}

/* A stream above the bound, a frame that has no place. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
	spend_reset(arg);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t stream, uint32_t error, void *arg)
{
	struct http2 *h = arg;
	void *user = nghttp2_session_get_stream_user_data(ng, stream);
	nghttp2_session_set_stream_user_data(ng, stream, NULL);
	bool answered = user && h->ops->close(h->arg, user);
	/* An answer that is a head alone counts as sent before anything has left. */
	if (!answered || stream == h->reset)
		spend_reset(h);
	return 0;
}

/* ---- to the peer ---- */

static ssize_t read_answer(nghttp2_session *ng, int32_t stream, uint8_t *out, size_t room, uint32_t *flags, nghttp2_data_source *source,
			   void *arg)
{
	struct http2 *h = arg;
	bool last = false;
	size_t size = h->ops->answer(h->arg, source->ptr, out, room, &last);
	if (last)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return size || last ? (ssize_t)size : NGHTTP2_ERR_DEFERRED;
}

static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct http2 *h = arg;
	if (frame->hd.type == NGHTTP2_DATA)
		h->updates_due += 2; /* for the connection and for the stream */
	/* PINGs overtake GOAWAYs within libnghttp2. */
	if (frame->hd.type == NGHTTP2_GOAWAY && h->draining && !h->asked && !h->gone) {
		h->asked = true;
		check(h, nghttp2_submit_ping(ng, NGHTTP2_FLAG_NONE, NULL));
	}
	return 0;
}

enum sm_err http2_pump(struct http2 *h)
{
	if (h->busy)
		return SM_OK;
	h->busy = true;
	while (!h->no_memory && !h->ops->full(h->arg)) {
		const uint8_t *data;
		ssize_t size = nghttp2_session_mem_send(h->ng, &data);
		if (size <= 0) {
			h->no_memory |= size < 0;
			break;
		}
		h->ops->write(h->arg, bytes_of(data, (size_t)size));
	}
	h->busy = false;
	return h->no_memory ? SM_NO_MEMORY : SM_OK;
}

/* ---- the session ---- */

enum sm_err http2_feed(struct http2 *h, struct bytes in, uint64_t now_ms)
{
	assert(!h->busy);
	h->now_ms = now_ms;
	if (h->ended)
		return SM_OK;
	h->busy = h->feeding = true;
	ssize_t size = nghttp2_session_mem_recv(h->ng, in.data, in.size);
	h->busy = h->feeding = false;
	if (h->ended)
		check(h, nghttp2_session_terminate_session(h->ng, h->why));
	else if (h->informed)
		http2_drain(h, true);
	if (size == NGHTTP2_ERR_NOMEM || size == NGHTTP2_ERR_CALLBACK_FAILURE)
		h->no_memory = true;
	else if (size < 0) /* no preface, or a flood that nghttp2 counts */
		end(h, size == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM);
	return h->no_memory ? SM_NO_MEMORY : SM_OK;
}

bool http2_over(const struct http2 *h)
{
	return !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
}

bool http2_greeted(const struct http2 *h)
{
	return h->greeted;
}

void http2_took_of_conn(struct http2 *h, size_t size)
{
	check(h, nghttp2_session_consume_connection(h->ng, size));
}

void http2_took_of_stream(struct http2 *h, int32_t stream, size_t size)
{
	check(h, nghttp2_session_consume_stream(h->ng, stream, size));
}

void http2_continue(struct http2 *h, int32_t stream)
{
	nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NONE};
	check(h, nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, stream, NULL, &status, 1, NULL));
}

enum sm_err http2_answer(struct http2 *h, int32_t stream, const struct http2_field *fields, size_t field_count, bool has_body, void *user)
{
	nghttp2_nv lines[HTTP2_ANSWER_HEADERS_MAX + 4];
	assert(field_count <= sizeof lines / sizeof *lines);
	for (size_t i = 0; i < field_count; i++)
		lines[i] = (nghttp2_nv){(uint8_t *)fields[i].name.data, (uint8_t *)fields[i].value.data, fields[i].name.size,
					fields[i].value.size, NGHTTP2_NV_FLAG_NONE};
	nghttp2_data_provider body = {.source.ptr = user, .read_callback = read_answer};
	int rc = nghttp2_submit_response(h->ng, stream, lines, field_count, has_body ? &body : NULL);
	check(h, rc);
	return rc ? SM_NO_MEMORY : SM_OK;
}

void http2_resume(struct http2 *h, int32_t stream)
{
	check(h, nghttp2_session_resume_data(h->ng, stream));
}

void http2_cancel(struct http2 *h, int32_t stream)
{
	check(h, nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL));
}

void http2_unwanted(struct http2 *h, int32_t stream)
{
	check(h, nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR));
}

void http2_drain(struct http2 *h, bool at_once)
{
	if (h->gone)
		return;
	if (!at_once && !h->draining) {
		h->draining = true;
		check(h, nghttp2_submit_shutdown_notice(h->ng));
	} else if (at_once) {
		h->gone = true;
		check(h, nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR,
					       NULL, 0));
	}
}

static bool set_up(struct http2 *h, nghttp2_session_callbacks *callbacks, nghttp2_option *option)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_settings(option, HTTP2_SETTINGS_MAX);
	nghttp2_option_set_max_outbound_ack(option, HTTP2_ACKS_MAX);
	nghttp2_option_set_max_continuations(option, HTTP2_CONTINUATIONS_MAX);
	if (nghttp2_session_server_new2(&h->ng, callbacks, h, option))
		return false;
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_BYTES_MAX},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	return !nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings) &&
	       !nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, HTTP2_CONN_WINDOW);
}

struct http2 *http2_new(const struct http2_ops *ops, void *arg)
{
	struct http2 *h = calloc(1, sizeof *h);
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	if (h) {
		*h = (struct http2){.ops = ops, .arg = arg};
		h->empty.left = HTTP2_EMPTY_BURST * 1000;
		h->resets.left = HTTP2_RESETS_BURST * 1000;
	}
	bool ok = h && !nghttp2_session_callbacks_new(&callbacks) && !nghttp2_option_new(&option) && set_up(h, callbacks, option);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	if (ok)
		return h;
	http2_free(h);
	return NULL;
}

void http2_free(struct http2 *h)
{
	if (!h)
		return;
	nghttp2_session_del(h->ng);
	free(h);
}
