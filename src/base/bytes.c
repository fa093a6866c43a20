#include "base/bytes.h"

int bytes_compare(struct bytes a, struct bytes b)
{
	size_t n = a.size < b.size ? a.size : b.size;
	int c = n ? memcmp(a.data, b.data, n) : 0;
	return c ? c : (a.size > b.size) - (a.size < b.size);
}

uint64_t reader_uvarint_long(struct byte_reader *r)
{
	const uint8_t *p = r->at;
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70 && p < r->end && !r->failed; shift += 7) {
		uint8_t byte = *p++;
		/* The tenth byte has room for one bit. */
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			r->at = p;
			return value;
		}
	}
	r->failed = true;
	return 0;
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
