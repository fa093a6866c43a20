/* A connection: frames come in, requests go out of it and their answers back, in any order; STARTUP, OPTIONS and REGISTER are its own. */
#include "cql/conn.h"

#include "base/metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct conn {
	struct net_conn *net;
	struct cql_server *server;
	bool ready, registered, paused;
	bool ending; /* nothing new is taken; the end comes with the last answer */
	enum cql_compression compression;
	char keyspace[CQL_NAME_MAX + 1];
	char host[46]; /* where the client connected to */
	uint16_t port;
	uint32_t under_way;
};

static enum sm_err conn_open(struct net_conn *net, void *state, void *arg)
{
	struct conn *c = state;
	c->net = net;
	c->server = arg;
	net_conn_local(net, c->host, &c->port);
	return SM_OK;
}

static void conn_close(struct net_conn *net, void *state)
{
	struct conn *c = state;
	if (c->registered)
		server__unregister(c->server, net_conn_ref(net));
}

static void write_buf(struct conn *c, const struct buf *out)
{
	if (out->failed)
		net_conn_close(c->net); /* no memory even for an error */
	else
		net_conn_write(c->net, buf_bytes(out));
}

/* An error that is the frame's, not a statement's. The stream of a frame that can't be understood is 0. */
static void protocol_error(struct conn *c, int16_t stream, bool fatal, const char *fmt, ...) SM_PRINTF(4, 5);
static void protocol_error(struct conn *c, int16_t stream, bool fatal, const char *fmt, ...)
{
	struct cql_error err = {.code = CQL_PROTOCOL_ERROR};
	struct buf out;
	va_list args;
	va_start(args, fmt);
	vsnprintf(err.text, sizeof err.text, fmt, args);
	va_end(args);
	buf_init(&out);
	cql__put_error(&out, stream, &err);
	write_buf(c, &out);
	buf_done(&out);
	if (fatal)
		net_conn_finish(c->net);
}

static void frame_of(struct conn *c, uint8_t opcode, int16_t stream)
{
	struct buf out;
	buf_init(&out);
	if (opcode == CQL_OP_SUPPORTED)
		cql__put_supported(&out, stream);
	else
		cql__frame_end(&out, cql__frame_begin(&out, NULL, 0), opcode, stream, 0);
	write_buf(c, &out);
	buf_done(&out);
}

static void startup(struct conn *c, const struct cql_header *h, struct bytes body)
{
	struct byte_reader in = byte_reader(body);
	bool version = false;
	enum cql_compression compression = CQL_PLAIN;
	for (uint16_t n = reader_be16(&in); n && !in.failed; n--) {
		struct bytes name = cql__read_string(&in), value = cql__read_string(&in);
		if (name.size == 11 && strncasecmp((const char *)name.data, "CQL_VERSION", 11) == 0) {
			version = true;
			if (value.size < 2 || (value.data[0] != '3' && value.data[0] != '4') || value.data[1] != '.') {
				protocol_error(c, h->stream, false, "CQL version %.*s is not supported; supported is 3.4.7",
					       (int)value.size, (const char *)value.data);
				return;
			}
		} else if (name.size == 11 && strncasecmp((const char *)name.data, "COMPRESSION", 11) == 0) {
			bool lz4 = value.size == 3 && strncasecmp((const char *)value.data, "lz4", 3) == 0;
			bool snappy = value.size == 6 && strncasecmp((const char *)value.data, "snappy", 6) == 0;
			if (!lz4 && !snappy) {
				protocol_error(c, h->stream, false, "Unknown compression algorithm: %.*s", (int)value.size,
					       (const char *)value.data);
				return;
			}
			compression = lz4 ? CQL_LZ4 : CQL_SNAPPY;
		}
	}
	if (in.failed || !version) {
		protocol_error(c, h->stream, false, in.failed ? "STARTUP ends too early" : "Missing value CQL_VERSION in STARTUP message");
		return;
	}
	c->ready = true;
	c->compression = compression;
	frame_of(c, CQL_OP_READY, h->stream);
}

static void register_events(struct conn *c, const struct cql_header *h, struct bytes body)
{
	struct byte_reader in = byte_reader(body);
	for (uint16_t n = reader_be16(&in); n && !in.failed; n--) {
		struct bytes type = cql__read_string(&in);
		bool schema = bytes_equal(type, BYTES("SCHEMA_CHANGE"));
		if (!schema && !bytes_equal(type, BYTES("TOPOLOGY_CHANGE")) && !bytes_equal(type, BYTES("STATUS_CHANGE"))) {
			protocol_error(c, h->stream, false, "Invalid value '%.*s' for Type", (int)type.size, (const char *)type.data);
			return;
		}
		if (schema && !c->registered) {
			c->registered = true;
			server__register(c->server, net_conn_ref(c->net));
		}
	}
	if (in.failed)
		protocol_error(c, h->stream, false, "REGISTER ends too early");
	else
		frame_of(c, CQL_OP_READY, h->stream);
}

static void answer(struct conn *c, struct request *r)
{
	if (r->use)
		snprintf(c->keyspace, sizeof c->keyspace, "%s", r->use);
	metric_observe_us(METRIC_CQL_US, (clock_monotonic_ns(c->server->engine.clock) - r->started_ns) / 1000);
	write_buf(c, &r->out);
}

static void request(struct conn *c, const struct cql_header *h, struct bytes body)
{
	struct request_origin origin = {.server = c->server,
					.conn = net_conn_ref(c->net),
					.keyspace = c->keyspace,
					.host = c->host,
					.port = c->port,
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

static void frame(struct conn *c, const struct cql_header *h, struct bytes body)
{
	switch (h->opcode) {
	case CQL_OP_OPTIONS: frame_of(c, CQL_OP_SUPPORTED, h->stream); return;
	case CQL_OP_STARTUP:
		if (c->ready)
			protocol_error(c, h->stream, false, "Unexpected message STARTUP, the connection is already initialized");
		else
			startup(c, h, body);
		return;
	default: break;
	}
	if (!c->ready)
		protocol_error(c, h->stream, false, "Unexpected message with opcode %u, expecting STARTUP or OPTIONS", h->opcode);
	else if (h->opcode == CQL_OP_REGISTER)
		register_events(c, h, body);
	else
		request(c, h, body);
}

/* One frame of in; 0: it is not whole yet, or the connection ends. */
static size_t one_frame(struct conn *c, struct bytes in)
{
	if (in.size == 0)
		return 0;
	uint8_t version = in.data[0] & 0x7f;
	if (version != CQL_VERSION_HIGHEST) {
		protocol_error(c, 0, true, "Invalid or unsupported protocol version (%u); supported versions are (4/v4)", version);
		return 0;
	}
	if (in.size < CQL_HEADER_BYTES)
		return 0;
	struct cql_header h = cql__header(in.data);
	if (in.data[0] & 0x80) {
		protocol_error(c, h.stream, true, "A frame of a server came from a client");
		return 0;
	}
	if (h.length > CQL_FRAME_MAX) {
		protocol_error(c, h.stream, true, "Request is too big: length %u exceeds maximum allowed length %u.", h.length,
			       CQL_FRAME_MAX);
		return 0;
	}
	if (in.size < CQL_HEADER_BYTES + (size_t)h.length) {
		net_conn_need(c->net, CQL_HEADER_BYTES + (size_t)h.length);
		return 0;
	}
	frame(c, &h, bytes_of(in.data + CQL_HEADER_BYTES, h.length));
	return CQL_HEADER_BYTES + (size_t)h.length;
}

static bool behind(const struct conn *c)
{
	return c->under_way >= CQL_REQUESTS_MAX || net_conn_write_full(c->net);
}

static enum sm_err conn_data(struct net_conn *net, void *state, struct bytes in, size_t *ret_used)
{
	struct conn *c = state;
	size_t used = 0;
	while (!c->ending) {
		if (behind(c)) { /* what is left is shown again after the resume */
			if (!c->paused)
				net_conn_pause(net);
			c->paused = true;
			break;
		}
		size_t n = one_frame(c, bytes_of(in.data + used, in.size - used));
		if (!n)
			break;
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
	if (c->paused && !behind(c)) {
		c->paused = false;
		net_conn_resume(c->net);
	}
}

static enum sm_err conn_receive(struct net_conn *net, void *state, struct sm_msg *msg)
{
	struct conn *c = state;
	if (msg->type == &request__type) {
		struct request *r = (struct request *)msg;
		request__finish(r);
		c->under_way--;
		answer(c, r);
		if (c->ending && !c->under_way)
			net_conn_finish(net);
		else
			catch_up(c);
	} else if (msg->type == &server__event_type) {
		write_buf(c, &((struct event_msg *)msg)->frame);
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
