#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void append(struct buf *out, struct bytes data, const char *alphabet, bool pads)
{
	for (size_t i = 0; i < data.size; i += 3) {
		size_t n = data.size - i < 3 ? data.size - i : 3;
		uint32_t bits = (uint32_t)data.data[i] << 16;
		if (n > 1)
			bits |= (uint32_t)data.data[i + 1] << 8;
		if (n > 2)
			bits |= data.data[i + 2];
		for (size_t k = 0; k <= n; k++)
			buf_u8(out, (uint8_t)alphabet[bits >> (18 - 6 * k) & 63]);
		for (size_t k = n; pads && k < 3; k++)
			buf_u8(out, '=');
	}
}

void base64_append(struct buf *out, struct bytes data)
{
	append(out, data, digits, true);
}

void base64url_append(struct buf *out, struct bytes data)
{
	append(out, data, url_digits, false);
}

static int value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct bytes text, uint8_t *out, size_t size_max, size_t *ret_size)
{
	size_t size = text.size, n = 0;
	uint32_t bits = 0;
	if (size % 4)
		return false;
	while (size && text.size - size < 2 && text.data[size - 1] == '=')
		size--;
	for (size_t i = 0; i < size; i++) {
		int v = value_of(text.data[i]);
		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		if (i % 4 == 0)
			continue;
		if (n == size_max)
			return false;
		out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	*ret_size = n;
	return true;
}
