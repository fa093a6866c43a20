#include "base/buf.h"
#include "base/block.h"
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b)
{
	*b = (struct buf){0};
}

void buf_done(struct buf *b)
{
	if (b->data)
		block_free(b->data);
	buf_init(b);
}

uint8_t *buf_reserve(struct buf *b, size_t size)
{
	if (b->failed)
		return NULL;
	if (b->cap - b->end >= size)
		return b->data + b->end;
	size_t used = buf_size(b);
	/* Move to the front when that frees at least half: it keeps the cost of consuming linear. */
	if (b->start && b->start >= used && b->cap - used >= size) {
		memmove(b->data, b->data + b->start, used);
		b->start = 0;
		b->end = used;
		return b->data + used;
	}
	if (size > SIZE_MAX / 4 || used > SIZE_MAX / 4) {
		b->failed = true;
		return NULL;
	}
	size_t cap = b->cap ? b->cap * 2 : 256;
	while (cap < used + size)
		cap *= 2;
	uint8_t *data = block_new(cap, &cap);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	if (used)
		memcpy(data, b->data + b->start, used);
	block_free(b->data);
	b->data = data;
	b->cap = cap;
	b->start = 0;
	b->end = used;
	return data + used;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
	if (!size)
		return;
	uint8_t *p = buf_reserve(b, size);
	if (p) {
		memcpy(p, data, size);
		b->end += size;
	}
}

void buf_u8(struct buf *b, uint8_t v)
{
	uint8_t *p = buf_reserve(b, 1);
	if (p) {
		*p = v;
		b->end++;
	}
}

void buf_be16(struct buf *b, uint16_t v)
{
	uint8_t *p = buf_reserve(b, 2);
	if (p) {
		be16_put(p, v);
		b->end += 2;
	}
}

void buf_be32(struct buf *b, uint32_t v)
{
	uint8_t *p = buf_reserve(b, 4);
	if (p) {
		be32_put(p, v);
		b->end += 4;
	}
}

void buf_be64(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_reserve(b, 8);
	if (p) {
		be64_put(p, v);
		b->end += 8;
	}
}

void buf_uvarint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_reserve(b, 10);
	if (p)
		b->end += uvarint_put(p, v);
}

void buf_varint(struct buf *b, int64_t v)
{
	uint8_t *p = buf_reserve(b, 10);
	if (p)
		b->end += varint_put(p, v);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	uint8_t *p = n < 0 ? NULL : buf_reserve(b, (size_t)n + 1);
	if (p) {
		vsnprintf((char *)p, (size_t)n + 1, fmt, again);
		b->end += (size_t)n;
	}
	va_end(again);
}

/* Length of the valid UTF-8 sequence at p, 0 if there is none (RFC 3629: no surrogates, no overlong forms). */
static size_t utf8_length(const uint8_t *p, size_t left)
{
	uint8_t c = p[0];
	if (c < 0x80)
		return 1;
	size_t n = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
	if (!n || left < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool bytes_are_utf8(struct bytes text)
{
	for (size_t i = 0, n; i < text.size; i += n)
		if (!(n = utf8_length(text.data + i, text.size - i)))
			return false;
	return true;
}

void buf_json_string(struct buf *b, struct bytes text)
{
	buf_u8(b, '"');
	for (size_t i = 0, n; i < text.size; i += n) {
		uint8_t c = text.data[i];
		n = utf8_length(text.data + i, text.size - i);
		if (!n) {
			n = 1;
			buf_append(b, "\xef\xbf\xbd", 3);
		} else if (c == '"' || c == '\\') {
			buf_u8(b, '\\');
			buf_u8(b, c);
		} else if (c == '\n') {
			buf_append(b, "\\n", 2);
		} else if (c == '\t') {
			buf_append(b, "\\t", 2);
		} else if (c == '\r') {
			buf_append(b, "\\r", 2);
		} else if (c < 0x20) {
			buf_printf(b, "\\u%04x", c);
		} else {
			buf_append(b, text.data + i, n);
		}
	}
	buf_u8(b, '"');
}

void buf_consume(struct buf *b, size_t size)
{
	b->start += size;
	if (b->start >= b->end)
		b->start = b->end = 0;
}
