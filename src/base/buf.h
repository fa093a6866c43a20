/* A growing byte buffer: bytes are appended at the end and consumed at the front. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/bytes.h"

struct buf {
	uint8_t *data; /* the allocation */
	size_t start, end, cap;
	bool failed; /* an append found no memory: everything after it was left out */
};

static inline struct bytes buf_bytes(const struct buf *b)
{
	return bytes_of(b->data ? b->data + b->start : NULL, b->end - b->start); /* NULL + 0 is undefined */
}
static inline size_t buf_size(const struct buf *b)
{
	return b->end - b->start;
}
void buf_init(struct buf *b);
void buf_done(struct buf *b);
static inline void buf_clear(struct buf *b)
{
	b->start = b->end = 0;
}
/* Room for size more bytes at the end; NULL and failed when memory is out. buf_commit then counts what was written. */
uint8_t *buf_reserve(struct buf *b, size_t size);
static inline void buf_commit(struct buf *b, size_t size)
{
	b->end += size;
}
void buf_append(struct buf *b, const void *data, size_t size);
static inline void buf_append_bytes(struct buf *b, struct bytes s)
{
	buf_append(b, s.data, s.size);
}
static inline void buf_append_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}
void buf_u8(struct buf *b, uint8_t v);
void buf_be16(struct buf *b, uint16_t v);
void buf_be32(struct buf *b, uint32_t v);
void buf_be64(struct buf *b, uint64_t v);
void buf_uvarint(struct buf *b, uint64_t v);
void buf_varint(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) SM_PRINTF(2, 3);
/* RFC 3629. */
bool bytes_are_utf8(struct bytes text);
/* text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_json_string(struct buf *b, struct bytes text);
void buf_consume(struct buf *b, size_t size);

#endif
