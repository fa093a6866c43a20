/* What a connection says of itself: OPTIONS, STARTUP, REGISTER. */
#include "cql/conn.h"

#include <strings.h>

static bool is_word(struct bytes text, const char *word)
{
	return text.size == strlen(word) && strncasecmp((const char *)text.data, word, text.size) == 0;
}

static struct cql_reply reply_to(const struct cql_header *h)
{
	return (struct cql_reply){.version = h->version, .stream = h->stream};
}

void conn__options(struct conn *c, const struct cql_header *h)
{
	struct cql_reply reply = reply_to(h);
	struct buf out;
	buf_init(&out);
	cql__put_supported(&out, &reply);
	conn__write(c, &out);
	buf_done(&out);
}

/* ---- STARTUP ---- */

struct startup {
	bool has_version, overloads;
	enum cql_compression compression;
};

/* "3.4.7" and the like. */
static bool is_version(struct bytes value)
{
	int dots = 0;
	for (size_t i = 0; i < value.size; i++) {
		bool dot = value.data[i] == '.';
		if ((!dot && (value.data[i] < '0' || value.data[i] > '9')) || (dot && (i == 0 || value.data[i - 1] == '.')))
			return false;
		dots += dot;
	}
	return dots == 2 && value.data[value.size - 1] != '.';
}

/* false: the error is told. */
static bool take_version(struct conn *c, const struct cql_reply *reply, struct bytes value)
{
	if (!is_version(value))
		conn__protocol_error(c, reply, false, "Invalid version value: %.*s", (int)value.size, (const char *)value.data);
	else if (value.data[0] < '3' && value.data[1] == '.')
		conn__protocol_error(c, reply, false,
				     "CQL version %.*s is not supported by the binary protocol (supported version are >= 3.0.0)",
				     (int)value.size, (const char *)value.data);
	else
		return true;
	return false;
}

static bool take_compression(struct conn *c, const struct cql_reply *reply, struct bytes value, enum cql_compression *ret)
{
	bool snappy = is_word(value, "snappy");
	if (snappy && reply->version >= 5) {
		conn__protocol_error(c, reply, false, "Snappy compression is not supported in protocol V5");
		return false;
	}
	if (!snappy && !is_word(value, "lz4")) {
		conn__protocol_error(c, reply, false, "Unknown compression algorithm: %.*s", (int)value.size, (const char *)value.data);
		return false;
	}
	*ret = snappy ? CQL_SNAPPY : CQL_LZ4;
	return true;
}

static bool take_fields(struct conn *c, const struct cql_reply *reply, struct bytes body, struct startup *s)
{
	struct byte_reader in = byte_reader(body);
	for (uint16_t n = reader_be16(&in); n && !in.failed; n--) {
		struct bytes name = cql_read_string(&in), value = cql_read_string(&in);
		if (is_word(name, "CQL_VERSION")) {
			s->has_version = true;
			if (!take_version(c, reply, value))
				return false;
		} else if (is_word(name, "COMPRESSION")) {
			if (!take_compression(c, reply, value, &s->compression))
				return false;
		} else if (is_word(name, "THROW_ON_OVERLOAD")) {
			s->overloads = bytes_equal(value, BYTES("1"));
		}
	}
	if (!in.failed && s->has_version)
		return true;
	conn__protocol_error(c, reply, false, in.failed ? "STARTUP ends too early" : "Missing value CQL_VERSION in STARTUP message");
	return false;
}

static void authenticate(struct conn *c, const struct cql_reply *reply)
{
	struct buf out;
	buf_init(&out);
	size_t start = cql__frame_begin(&out, reply, NULL, 0);
	cql_put_string(&out, "org.apache.cassandra.auth.PasswordAuthenticator");
	cql__frame_end(&out, start, CQL_OP_AUTHENTICATE, reply, 0);
	conn__write(c, &out);
	buf_done(&out);
}

void conn__startup(struct conn *c, const struct cql_header *h, struct bytes body)
{
	struct cql_reply reply = reply_to(h);
	struct startup s = {0};
	if (!take_fields(c, &reply, body, &s))
		return;
	c->version = h->version;
	c->compression = s.compression;
	c->overloads = s.overloads;
	c->state = c->listener->authenticate ? CONN_LOGIN : CONN_READY;
	if (c->listener->authenticate)
		authenticate(c, &reply);
	else
		conn__empty_frame(c, CQL_OP_READY, &reply);
	c->segments = h->version >= 5; /* from the answer on, which is none yet */
}

/* Nobody asks for credentials, or not again: whoever shows some all the same is let in. */
void conn__auth_response(struct conn *c, const struct cql_header *h)
{
	struct cql_reply reply = reply_to(h);
	struct buf out;
	buf_init(&out);
	size_t start = cql__frame_begin(&out, &reply, NULL, 0);
	buf_be32(&out, UINT32_MAX); /* null */
	cql__frame_end(&out, start, CQL_OP_AUTH_SUCCESS, &reply, 0);
	conn__write(c, &out);
	buf_done(&out);
}

/* ---- REGISTER ---- */

static void register_types(struct conn *c, const struct cql_reply *to, struct bytes body)
{
	struct byte_reader in = byte_reader(body);
	for (uint16_t n = reader_be16(&in); n && !in.failed; n--) {
		struct bytes type = cql_read_string(&in);
		bool schema = bytes_equal(type, BYTES("SCHEMA_CHANGE"));
		if (!schema && !bytes_equal(type, BYTES("TOPOLOGY_CHANGE")) && !bytes_equal(type, BYTES("STATUS_CHANGE"))) {
			conn__protocol_error(c, to, false, "Invalid value '%.*s' for Type", (int)type.size, (const char *)type.data);
			return;
		}
		if (schema && !c->registered) {
			c->registered = true;
			server__register(c->server, net_conn_ref(c->net), c->version);
		}
	}
	if (in.failed)
		conn__protocol_error(c, to, false, "REGISTER ends too early");
	else
		conn__empty_frame(c, CQL_OP_READY, to);
}

void conn__register(struct conn *c, const struct cql_header *h, struct bytes body)
{
	struct cql_reply reply = reply_to(h);
	struct cql_error err;
	struct arena arena;
	bool compressed = (h->flags & CQL_FLAG_COMPRESSED) && c->compression != CQL_PLAIN && h->version < 5;
	arena_init(&arena, CQL_REQUEST_ARENA_MAX);
	if (compressed && cql__decompress(c->compression, body, &arena, &body, &err) != SM_OK)
		conn__protocol_error(c, &reply, false, "%s", err.text);
	else
		register_types(c, &reply, body);
	arena_done(&arena);
}
