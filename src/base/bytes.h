/* Borrowed runs of bytes, big-endian access, and a bounds-checked reader. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <smack/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *data;
	size_t size;
};
#define BYTES(literal) ((struct bytes){(const uint8_t *)(literal), sizeof(literal) - 1})
static inline struct bytes bytes_of(const void *data, size_t size)
{
	return (struct bytes){data, size};
}
static inline struct bytes bytes_str(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.size == b.size &&
	       (a.size == 0 || memcmp(a.data, b.data, a.size) == 0); /* NOLINT(clang-analyzer-core.NonNullParamChecker) */
}
/* memcmp order, then the shorter first. */
int bytes_compare(struct bytes a, struct bytes b);

static inline uint16_t be16_get(const void *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return __builtin_bswap16(v);
}
static inline uint32_t be32_get(const void *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}
static inline uint64_t be64_get(const void *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}
static inline void be16_put(void *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, 2);
}
static inline void be32_put(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}
static inline void be64_put(void *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
}

/* Reads forward and never past the end. After a failed read `failed` stays set, every further read gives zero,
 * and the position no longer moves: check once at the end. */
struct byte_reader {
	const uint8_t *at, *end;
	bool failed;
};
static inline struct byte_reader byte_reader(struct bytes b)
{
	return (struct byte_reader){b.data, b.size ? b.data + b.size : b.data, false}; /* no arithmetic on NULL */
}
static inline size_t reader_left(const struct byte_reader *r)
{
	return (size_t)(r->end - r->at);
}
/* NULL when fewer than size bytes are left. */
static inline const uint8_t *reader_take(struct byte_reader *r, size_t size)
{
	if (r->failed || reader_left(r) < size) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *p = r->at;
	r->at += size;
	return p;
}
static inline uint8_t reader_u8(struct byte_reader *r)
{
	const uint8_t *p = reader_take(r, 1);
	return p ? *p : 0;
}
static inline uint16_t reader_be16(struct byte_reader *r)
{
	const uint8_t *p = reader_take(r, 2);
	return p ? be16_get(p) : 0;
}
static inline uint32_t reader_be32(struct byte_reader *r)
{
	const uint8_t *p = reader_take(r, 4);
	return p ? be32_get(p) : 0;
}
static inline uint64_t reader_be64(struct byte_reader *r)
{
	const uint8_t *p = reader_take(r, 8);
	return p ? be64_get(p) : 0;
}
/* LEB128 of at most 5 or 10 bytes, and its zigzag form (protocol buffers; Kafka's record format). */
uint64_t reader_uvarint_long(struct byte_reader *r);
static inline uint64_t reader_uvarint(struct byte_reader *r)
{
	/* Nearly all have one byte. */
	return !r->failed && r->at < r->end && *r->at < 0x80 ? *r->at++ : reader_uvarint_long(r);
}
static inline int64_t reader_varint(struct byte_reader *r)
{
	uint64_t v = reader_uvarint(r);
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
/* Bytes written to out (room for 10). */
size_t uvarint_put(uint8_t *out, uint64_t value);
size_t varint_put(uint8_t *out, int64_t value);
size_t varint_size(int64_t value);

#endif
