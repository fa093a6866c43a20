#include "cql/segment.h"

#include <lz4.h>
#include <zlib.h>

#define CRC24_BYTES 3
#define CRC32_BYTES 4
#define CRC24_START 0x875060u
#define CRC24_POLYNOMIAL 0x1974F0Bu

static uint32_t crc24(const uint8_t *data, size_t size)
{
	uint32_t crc = CRC24_START;
	for (size_t i = 0; i < size; i++) {
		crc ^= (uint32_t)data[i] << 16;
		for (int bit = 0; bit < 8; bit++) {
			crc <<= 1;
			if (crc & 0x1000000)
				crc ^= CRC24_POLYNOMIAL;
		}
	}
	return crc;
}

/* The usual CRC-32, with four bytes in front that are not sent. */
static uint32_t crc32_of(struct bytes payload)
{
	static const uint8_t before[] = {0xFA, 0x2D, 0x55, 0xCA};
	return (uint32_t)crc32(crc32(0, before, sizeof before), payload.data, (uInt)payload.size);
}

static uint64_t little_endian(const uint8_t *p, size_t size)
{
	uint64_t v = 0;
	for (size_t i = 0; i < size; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void put_little_endian(uint8_t *p, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static enum sm_err need(struct cql_segment *ret, size_t size)
{
	ret->size = size;
	return SM_AGAIN;
}

static enum sm_err open_block(struct cql_segment *s, size_t size, struct buf *scratch, const char **ret_text)
{
	buf_clear(scratch);
	uint8_t *to = buf_reserve(scratch, size);
	*ret_text = "no memory";
	if (!to)
		return SM_NO_MEMORY;
	*ret_text = "the payload is no LZ4 block of the size that the header names";
	if (LZ4_decompress_safe((const char *)s->payload.data, (char *)to, (int)s->payload.size, (int)size) != (int)size)
		return SM_INVALID;
	s->payload = bytes_of(to, size);
	return SM_OK;
}

enum sm_err cql_segment_read(struct bytes in, bool lz4, struct buf *scratch, struct cql_segment *ret, const char **ret_text)
{
	size_t fields = lz4 ? 5 : 3, header = fields + CRC24_BYTES;
	if (in.size < header)
		return need(ret, header);
	uint64_t bits = little_endian(in.data, fields);
	*ret_text = "header";
	ret->crc_read = (uint32_t)little_endian(in.data + fields, CRC24_BYTES);
	ret->crc_computed = crc24(in.data, fields);
	if (ret->crc_read != ret->crc_computed)
		return SM_CORRUPT;
	size_t size = bits & CQL_SEGMENT_PAYLOAD_MAX, uncompressed = lz4 ? bits >> 17 & CQL_SEGMENT_PAYLOAD_MAX : 0;
	ret->self_contained = bits >> (lz4 ? 34 : 17) & 1;
	if (in.size < header + size + CRC32_BYTES)
		return need(ret, header + size + CRC32_BYTES);
	ret->payload = bytes_of(in.data + header, size);
	ret->size = header + size + CRC32_BYTES;
	*ret_text = "body";
	ret->crc_read = (uint32_t)little_endian(in.data + header + size, CRC32_BYTES);
	ret->crc_computed = crc32_of(ret->payload);
	if (ret->crc_read != ret->crc_computed)
		return SM_CORRUPT;
	return uncompressed ? open_block(ret, uncompressed, scratch, ret_text) : SM_OK;
}

/* Compress payload to p, which has room for its size; 0: it does not become shorter. */
static size_t compress_to(uint8_t *p, struct bytes payload)
{
	int n = LZ4_compress_default((const char *)payload.data, (char *)p, (int)payload.size, (int)payload.size);
	return n > 0 && (size_t)n < payload.size ? (size_t)n : 0;
}

static void put_segment(struct buf *out, bool lz4, struct bytes payload, bool self_contained)
{
	size_t fields = lz4 ? 5 : 3, header = fields + CRC24_BYTES, size = payload.size, packed = 0;
	uint8_t *p = buf_reserve(out, header + payload.size + CRC32_BYTES);
	if (!p)
		return;
	if (lz4)
		packed = compress_to(p + header, payload);
	if (packed)
		size = packed;
	else if (size)
		memcpy(p + header, payload.data, size);
	uint64_t bits = lz4 ? size | (uint64_t)(packed ? payload.size : 0) << 17 | (uint64_t)self_contained << 34
			    : size | (uint64_t)self_contained << 17;
	put_little_endian(p, bits, fields);
	put_little_endian(p + fields, crc24(p, fields), CRC24_BYTES);
	put_little_endian(p + header + size, crc32_of(bytes_of(p + header, size)), CRC32_BYTES);
	out->end += header + size + CRC32_BYTES;
}

void cql_segments_put(struct buf *out, bool lz4, struct bytes frames)
{
	bool whole = frames.size <= CQL_SEGMENT_PAYLOAD_MAX;
	do {
		size_t n = frames.size < CQL_SEGMENT_PAYLOAD_MAX ? frames.size : CQL_SEGMENT_PAYLOAD_MAX;
		put_segment(out, lz4, bytes_of(frames.data, n), whole);
		frames = bytes_of(frames.data + n, frames.size - n);
	} while (frames.size);
}
