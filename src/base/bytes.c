#include "base/bytes.h"

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.size < b.size ? a.size : b.size;
	int c = n ? memcmp(a.data, b.data, n) : 0;
	return c ? c : (a.size > b.size) - (a.size < b.size);
}

uint64_t reader_uvarint(struct byte_reader *r)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		const uint8_t *p = reader_take(r, 1);
		if (!p)
			return 0;
		/* The tenth byte has room for one bit. */
		if (shift == 63 && *p > 1)
			break;
		value |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p & 0x80))
			return value;
	}
	r->failed = true;
	return 0;
}

int64_t reader_varint(struct byte_reader *r)
{
	uint64_t v = reader_uvarint(r);
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

size_t uvarint_put(uint8_t *out, uint64_t value)
{
	size_t n = 0;
	for (; value >= 0x80; value >>= 7)
		out[n++] = (uint8_t)(value | 0x80);
	out[n++] = (uint8_t)value;
	return n;
}

static uint64_t zigzag(int64_t value)
{
	return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

size_t varint_put(uint8_t *out, int64_t value)
{
	return uvarint_put(out, zigzag(value));
}

size_t varint_size(int64_t value)
{
	uint64_t v = zigzag(value) | 1;
	return (size_t)(63 - __builtin_clzll(v)) / 7 + 1;
}
