#include "cql/protocol.h"

#include <string.h>

const char *cql_consistency_name(uint16_t consistency)
{
	static const char *const names[] = {"ANY",          "ONE",         "TWO",    "THREE",        "QUORUM",   "ALL",
					    "LOCAL_QUORUM", "EACH_QUORUM", "SERIAL", "LOCAL_SERIAL", "LOCAL_ONE"};
	return consistency < sizeof names / sizeof *names ? names[consistency] : "UNKNOWN";
}

struct cql_header cql_header_read(const uint8_t *p)
{
	return (struct cql_header){.from_server = p[0] & 0x80,
				   .version = p[0] & 0x7f,
				   .flags = p[1],
				   .stream = (int16_t)be16_get(p + 2),
				   .opcode = p[4],
				   .length = be32_get(p + 5)};
}

size_t cql_header_begin(struct buf *out)
{
	static const uint8_t header[CQL_HEADER_BYTES];
	size_t start = buf_size(out);
	buf_append(out, header, sizeof header);
	return start;
}

void cql_header_end(struct buf *out, size_t start, const struct cql_header *h)
{
	if (out->failed)
		return;
	uint8_t *p = out->data + out->start + start;
	p[0] = (uint8_t)((h->from_server ? 0x80 : 0) | h->version);
	p[1] = h->flags;
	be16_put(p + 2, (uint16_t)h->stream);
	p[4] = h->opcode;
	be32_put(p + 5, (uint32_t)(buf_size(out) - start - CQL_HEADER_BYTES));
}

struct bytes cql_read_string(struct byte_reader *in)
{
	size_t size = reader_be16(in);
	const uint8_t *p = reader_take(in, size);
	return p ? bytes_of(p, size) : bytes_of("", 0);
}

void cql_put_short_bytes(struct buf *out, const void *data, size_t size)
{
	if (size > UINT16_MAX)
		size = UINT16_MAX;
	buf_be16(out, (uint16_t)size);
	buf_append(out, data, size);
}

void cql_put_string(struct buf *out, const char *text)
{
	cql_put_short_bytes(out, text, strlen(text));
}
