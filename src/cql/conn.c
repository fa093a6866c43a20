/* A connection: frames come in, requests go out of it and their answers back, in any order. From version 5 frames come and go in segments.
 */
#include "cql/conn.h"
#include "cql/segment.h"

#include "base/metrics.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOGIN_TIMER = 1 };

static enum sm_err conn_open(struct net_conn *net, void *state, void *arg)
{
	struct conn *c = state;
	c->net = net;
	c->listener = arg;
	c->server = c->listener->server;
	buf_init(&c->held);
	buf_init(&c->large);
	buf_init(&c->scratch);
	net_conn_local(net, c->host, &c->port);
	if (*c->listener->advertised_host) {
		memcpy(c->host, c->listener->advertised_host, sizeof c->host);
		c->port = c->listener->advertised_port;
	}
	return c->listener->authenticate ? sm_timer_start(net_conn_actor(net), LOGIN_TIMER, CQL_LOGIN_MS, 0) : SM_OK;
}

static void conn_close(struct net_conn *net, void *state)
{
	struct conn *c = state;
	if (c->registered)
		server__unregister(c->server, net_conn_ref(net));
	buf_done(&c->held);
	buf_done(&c->large);
	buf_done(&c->scratch);
}

/* ---- out ---- */

void conn__write(struct conn *c, const struct buf *out)
{
	struct buf segments;
	if (out->failed) {
		net_conn_close(c->net); /* no memory even for an error */
		return;
	}
	if (!c->segments) {
		net_conn_write(c->net, buf_bytes(out));
		return;
	}
	buf_init(&segments);
	cql_segments_put(&segments, c->compression == CQL_LZ4, buf_bytes(out));
	if (segments.failed)
		net_conn_close(c->net);
	else
		net_conn_write(c->net, buf_bytes(&segments));
	buf_done(&segments);
}

void conn__protocol_error(struct conn *c, const struct cql_reply *reply, bool fatal, const char *fmt, ...)
{
	struct cql_error err = {.code = CQL_PROTOCOL_ERROR};
	struct buf out;
	va_list args;
	va_start(args, fmt);
	vsnprintf(err.text, sizeof err.text, fmt, args);
	va_end(args);
	buf_init(&out);
	cql__put_error(&out, reply, &err);
	conn__write(c, &out);
	buf_done(&out);
	if (fatal) {
		c->ending = true;
		net_conn_finish(c->net);
	}
}

void conn__empty_frame(struct conn *c, uint8_t opcode, const struct cql_reply *reply)
{
	struct buf out;
	buf_init(&out);
	cql__frame_end(&out, cql__frame_begin(&out, reply, NULL, 0), opcode, reply, 0);
	conn__write(c, &out);
	buf_done(&out);
}

/* ---- requests ---- */

static void answer(struct conn *c, struct request *r)
{
	if (r->logged_in) {
		snprintf(c->user, sizeof c->user, "%s", r->logged_in);
		c->state = CONN_READY;
	}
	if (r->use)
		snprintf(c->keyspace, sizeof c->keyspace, "%s", r->use);
	metric_observe_us(METRIC_CQL_US, (clock_monotonic_ns(c->server->engine.clock) - r->started_ns) / 1000);
	conn__write(c, &r->out);
}

static void overloaded(struct conn *c, const struct cql_reply *reply)
{
	struct cql_error err;
	struct buf out;
	(void)cql__fail(
		&err, CQL_OVERLOADED,
		"Request breached limit on requests in flight of a connection. (%u/%u requests.) Server is currently in an overloaded "
		"state and cannot accept more requests.",
		c->under_way, CQL_REQUESTS_MAX);
	buf_init(&out);
	cql__put_error(&out, reply, &err);
	conn__write(c, &out);
	buf_done(&out);
}

static void request(struct conn *c, const struct cql_header *h, struct bytes body)
{
	struct request_origin origin = {.server = c->server,
					.conn = net_conn_ref(c->net),
					.keyspace = c->keyspace,
					.peer = net_conn_peer(c->net),
					.host = c->host,
					.port = c->port,
					.user = c->listener->authenticate ? c->user : NULL,
					.compression = c->compression};
	struct request *r = request__new(&origin, h, body);
	if (!r) {
		net_conn_close(c->net);
		return;
	}
	c->under_way++;
	if (!request__start(r))
		return;
	c->under_way--;
	answer(c, r);
	request__free(r);
}

/* ---- in ---- */

static const struct {
	uint8_t opcode;
	bool response;
	const char *name;
} opcodes[] = {
	{CQL_OP_ERROR, true, "ERROR"},
	{CQL_OP_STARTUP, false, "STARTUP"},
	{CQL_OP_READY, true, "READY"},
	{CQL_OP_AUTHENTICATE, true, "AUTHENTICATE"},
	{CQL_OP_OPTIONS, false, "OPTIONS"},
	{CQL_OP_SUPPORTED, true, "SUPPORTED"},
	{CQL_OP_QUERY, false, "QUERY"},
	{CQL_OP_RESULT, true, "RESULT"},
	{CQL_OP_PREPARE, false, "PREPARE"},
	{CQL_OP_EXECUTE, false, "EXECUTE"},
	{CQL_OP_REGISTER, false, "REGISTER"},
	{CQL_OP_EVENT, true, "EVENT"},
	{CQL_OP_BATCH, false, "BATCH"},
	{CQL_OP_AUTH_CHALLENGE, true, "AUTH_CHALLENGE"},
	{CQL_OP_AUTH_RESPONSE, false, "AUTH_RESPONSE"},
	{CQL_OP_AUTH_SUCCESS, true, "AUTH_SUCCESS"},
};

/* The opcode's name; NULL: it is none that a client may send, and the error is told. */
static const char *request_name(struct conn *c, const struct cql_header *h, const struct cql_reply *reply)
{
	size_t i = 0, n = sizeof opcodes / sizeof opcodes[0];
	while (i < n && opcodes[i].opcode != h->opcode)
		i++;
	if (i == n)
		conn__protocol_error(c, reply, false, "Unknown opcode %u", h->opcode);
	else if (opcodes[i].response && !h->from_server)
		conn__protocol_error(c, reply, false, "Wrong protocol direction (expected RESPONSE, got REQUEST) for opcode %u (%s)",
				     h->opcode, opcodes[i].name);
	else if (!opcodes[i].response && h->from_server)
		conn__protocol_error(c, reply, false, "Wrong protocol direction (expected REQUEST, got RESPONSE) for opcode %u (%s)",
				     h->opcode, opcodes[i].name);
	else if (opcodes[i].response)
		conn__protocol_error(c, reply, false, "Unexpected message %s", opcodes[i].name);
	else
		return opcodes[i].name;
	return NULL;
}

static void frame(struct conn *c, const struct cql_header *h, struct bytes body)
{
	struct cql_reply reply = {.version = c->version ? c->version : h->version, .stream = h->stream};
	const char *name = request_name(c, h, &reply);
	if (!name)
		return;
	if (c->version && h->version != c->version)
		conn__protocol_error(c, &reply, false,
				     "Invalid message version. Got %u/v%u but previous messages on this connection had version %u/v%u",
				     h->version, h->version, c->version, c->version);
	else if ((h->flags & CQL_FLAG_PAYLOAD) && h->version < 4)
		conn__protocol_error(c, &reply, false, "Received frame with CUSTOM_PAYLOAD flag for native protocol version < 4");
	else if (c->state == CONN_LOGIN && (h->opcode != CQL_OP_AUTH_RESPONSE || c->under_way))
		conn__protocol_error(c, &reply, false, "Unexpected message %s, expecting SASL_RESPONSE", name);
	else if (c->state == CONN_LOGIN)
		request(c, h, body);
	else if (h->opcode == CQL_OP_OPTIONS)
		conn__options(c, h);
	else if (c->state == CONN_NEW && h->opcode != CQL_OP_STARTUP)
		conn__protocol_error(c, &(struct cql_reply){.version = h->version}, false,
				     "Unexpected message %s, expecting STARTUP or OPTIONS", name);
	else if (c->state == CONN_READY && h->opcode == CQL_OP_STARTUP)
		conn__protocol_error(c, &reply, false, "Unexpected message STARTUP, the connection is already initialized");
	else if (h->opcode == CQL_OP_STARTUP)
		conn__startup(c, h, body);
	else if (h->opcode == CQL_OP_AUTH_RESPONSE)
		conn__auth_response(c, h);
	else if (h->opcode == CQL_OP_REGISTER)
		conn__register(c, h, body);
	else if (c->under_way >= CQL_REQUESTS_MAX) /* only who has asked for it comes here: others are not read */
		overloaded(c, &reply);
	else
		request(c, h, body);
}

/* Versions 1 and 2 have shorter headers: they are told in their own form. */
static void refuse_old(struct conn *c, uint8_t version, const char *text)
{
	struct buf out;
	buf_init(&out);
	buf_u8(&out, 0x80 | version);
	buf_be16(&out, 0); /* flags, stream */
	buf_u8(&out, CQL_OP_ERROR);
	buf_be32(&out, (uint32_t)strlen(text) + 6);
	buf_be32(&out, CQL_PROTOCOL_ERROR);
	cql_put_string(&out, text);
	conn__write(c, &out);
	buf_done(&out);
}

/* false: the error is told. */
static bool version_ok(struct conn *c, uint8_t version, int16_t stream)
{
	char text[120];
	struct cql_reply reply = {.version = c->version ? c->version : CQL_VERSION_HIGHEST, .stream = stream};
	if (version >= CQL_VERSION_LOWEST && version <= CQL_VERSION_HIGHEST)
		return true;
	snprintf(text, sizeof text, "Invalid or unsupported protocol version (%u); supported versions are (" CQL_VERSIONS_TEXT ")",
		 version);
	if (!c->version && (version == 1 || version == 2))
		refuse_old(c, version, text);
	else
		conn__protocol_error(c, &reply, false, "%s", text);
	return false;
}

/* Who has not logged in needs no large frames. */
static uint32_t frame_max(const struct conn *c)
{
	return c->listener->authenticate && c->state != CONN_READY ? CQL_LOGIN_FRAME_MAX : CQL_FRAME_MAX;
}

static void too_big(struct conn *c, const struct cql_header *h)
{
	struct cql_reply reply = {.version = c->version ? c->version : h->version, .stream = h->stream};
	struct cql_error err;
	struct buf out;
	if (c->segments)
		(void)cql__fail(&err, CQL_INVALID, "CQL Message of size %zu bytes exceeds allowed maximum of %u bytes",
				CQL_HEADER_BYTES + (size_t)h->length, frame_max(c));
	else
		(void)cql__fail(&err, CQL_INVALID, "Request is too big: length %zu exceeds maximum allowed length %u.",
				CQL_HEADER_BYTES + (size_t)h->length, frame_max(c));
	buf_init(&out);
	cql__put_error(&out, &reply, &err);
	conn__write(c, &out);
	buf_done(&out);
}

/* One frame of in, which is not in segments. Returns how much was taken; 0: it is not whole yet (*ret_need, if its size is known). */
static size_t one_frame(struct conn *c, struct bytes in, size_t *ret_need)
{
	*ret_need = 0;
	if (c->discard) {
		size_t n = in.size < c->discard ? in.size : c->discard;
		c->discard -= n;
		if (!c->discard)
			too_big(c, &c->discarded);
		return n;
	}
	if (in.size == 0)
		return 0;
	if (!version_ok(c, in.data[0] & 0x7f, 0))
		return in.size; /* where the next one begins is not known: the client waits for our answer */
	if (in.size < CQL_HEADER_BYTES)
		return 0;
	struct cql_header h = cql_header_read(in.data);
	size_t size = CQL_HEADER_BYTES + (size_t)h.length;
	if (h.length > frame_max(c)) {
		c->discard = size;
		c->discarded = h;
		return one_frame(c, in, ret_need);
	}
	if (in.size < size) {
		*ret_need = size;
		return 0;
	}
	frame(c, &h, bytes_of(in.data + CQL_HEADER_BYTES, h.length));
	return size;
}

static bool behind(const struct conn *c)
{
	return (c->under_way >= CQL_REQUESTS_MAX && !c->overloads) || net_conn_write_full(c->net);
}

/* One frame of a segment's frames. Returns its size; what cannot be a frame is told and takes the rest. */
static size_t frame_of_segment(struct conn *c, struct bytes in)
{
	struct cql_reply reply = {.version = c->version};
	struct cql_header h = in.size < CQL_HEADER_BYTES ? (struct cql_header){0} : cql_header_read(in.data);
	if (in.size < CQL_HEADER_BYTES || h.length > in.size - CQL_HEADER_BYTES) {
		conn__protocol_error(c, &reply, false, "A self-contained segment ends within a frame");
		return in.size;
	}
	if (version_ok(c, h.version, h.stream))
		frame(c, &h, bytes_of(in.data + CQL_HEADER_BYTES, h.length));
	return CQL_HEADER_BYTES + (size_t)h.length;
}

/* Frames of a self-contained segment. Returns how much was taken: all, or as much as may be under way. */
static size_t whole_frames(struct conn *c, struct bytes in)
{
	size_t used = 0;
	while (used < in.size && !c->ending && !behind(c))
		used += frame_of_segment(c, bytes_of(in.data + used, in.size - used));
	return c->ending ? in.size : used;
}

/* The first segment of a frame that comes in several. */
static bool begin_large(struct conn *c, struct bytes part)
{
	struct cql_reply reply = {.version = c->version};
	if (part.size < CQL_HEADER_BYTES) {
		conn__protocol_error(c, &reply, true, "The first segment of a frame is shorter than the frame's header");
		return false;
	}
	struct cql_header h = cql_header_read(part.data);
	reply.stream = h.stream;
	if ((int32_t)h.length < 0) {
		conn__protocol_error(c, &reply, true, "Invalid value for envelope header body length field: %d", (int32_t)h.length);
		return false;
	}
	c->discarded = h;
	c->large_size = CQL_HEADER_BYTES + (size_t)h.length;
	c->large_seen = 0;
	return true;
}

/* A segment of a frame that comes in several. Of one that is too large nothing is kept but its size. */
static void part_of_frame(struct conn *c, struct bytes part)
{
	struct cql_reply reply = {.version = c->version};
	if (!c->large_size && !begin_large(c, part))
		return;
	bool keep = c->large_size <= frame_max(c) + (size_t)CQL_HEADER_BYTES;
	c->large_seen += part.size;
	if (keep)
		buf_append_bytes(&c->large, part);
	if (c->large.failed) {
		net_conn_close(c->net);
	} else if (c->large_seen > c->large_size) {
		conn__protocol_error(c, &reply, true, "The segments of a frame hold more than the frame");
	} else if (c->large_seen == c->large_size) {
		if (keep)
			(void)frame_of_segment(c, buf_bytes(&c->large));
		else
			too_big(c, &c->discarded);
		buf_done(&c->large);
		buf_init(&c->large);
		c->large_size = 0;
	}
}

/* One segment of in. Returns its size; 0: it is not whole yet, or the connection ends. */
static size_t one_segment(struct conn *c, struct bytes in, size_t *ret_need)
{
	struct cql_segment s = {0};
	struct cql_reply reply = {.version = c->version};
	const char *text = "";
	enum sm_err err = cql_segment_read(in, c->compression == CQL_LZ4, &c->scratch, &s, &text);
	*ret_need = 0;
	if (err == SM_AGAIN) {
		*ret_need = s.size;
		return 0;
	}
	if (err == SM_CORRUPT) {
		conn__protocol_error(c, &reply, true, "invalid, unrecoverable CRC mismatch detected in frame %s. Read %d, Computed %d",
				     text, (int32_t)s.crc_read, (int32_t)s.crc_computed);
	} else if (err == SM_INVALID) {
		conn__protocol_error(c, &reply, !s.self_contained, "Segment refused: %s", text);
	} else if (err) {
		net_conn_close(c->net);
	} else if (!s.self_contained) {
		part_of_frame(c, s.payload);
	} else {
		size_t used = whole_frames(c, s.payload);
		buf_append_bytes(&c->held, bytes_of(s.payload.data + used, s.payload.size - used));
		if (c->held.failed)
			net_conn_close(c->net);
	}
	return c->ending || (err && err != SM_INVALID) ? 0 : s.size;
}

/* Frames that are held go first. False: there are some still. */
static bool take_held(struct conn *c)
{
	if (!buf_size(&c->held))
		return true;
	struct bytes held = buf_bytes(&c->held);
	buf_consume(&c->held, whole_frames(c, held));
	if (buf_size(&c->held))
		return false;
	buf_done(&c->held);
	buf_init(&c->held);
	return true;
}

static enum sm_err conn_data(struct net_conn *net, void *state, struct bytes in, size_t *ret_used)
{
	struct conn *c = state;
	size_t used = 0;
	while (!c->ending) {
		if (behind(c) || buf_size(&c->held)) { /* what is left is shown again after the resume */
			if (!c->paused)
				net_conn_pause(net);
			c->paused = true;
			break;
		}
		struct bytes rest = bytes_of(in.data + used, in.size - used);
		size_t need, n = c->segments ? one_segment(c, rest, &need) : one_frame(c, rest, &need);
		if (!n) {
			if (need)
				net_conn_need(net, need);
			break;
		}
		used += n;
	}
	*ret_used = c->ending ? in.size : used;
	return SM_OK;
}

/* The peer has ended its side, or the server stops: answer what is under way, then close. */
static void conn_end(struct net_conn *net, void *state)
{
	struct conn *c = state;
	c->ending = true;
	if (!c->under_way)
		net_conn_finish(net);
}

static void catch_up(struct conn *c)
{
	if (c->paused && !behind(c) && take_held(c) && !behind(c)) {
		c->paused = false;
		net_conn_resume(c->net);
	}
}

static enum sm_err conn_receive(struct net_conn *net, void *state, struct sm_msg *msg)
{
	struct conn *c = state;
	if (msg->type == &request__type) {
		struct request *r = (struct request *)msg;
		sm_msg_keep(net_conn_actor(net)); /* it may be on its way again before this returns */
		if (!request__finish(r))
			return SM_OK;
		c->under_way--;
		answer(c, r);
		request__free(r);
		if (c->ending && !c->under_way)
			net_conn_finish(net);
		else
			catch_up(c);
	} else if (msg->type == &sm_msg_timer) {
		return c->state == CONN_READY ? SM_OK : SM_TIMEOUT; /* who has not logged in by now does not want to */
	} else if (msg->type == &server__event_type) {
		conn__write(c, &((struct event_msg *)msg)->frame);
	}
	return SM_OK;
}

static void conn_drained(struct net_conn *net, void *state)
{
	catch_up(state);
}

const struct net_protocol conn__protocol = {
	.name = "cql",
	.state_size = sizeof(struct conn),
	.mailbox_max = 2 * CQL_REQUESTS_MAX,
	.open = conn_open,
	.data = conn_data,
	.receive = conn_receive,
	.eof = conn_end,
	.drain = conn_end,
	.drained = conn_drained,
	.close = conn_close,
};
