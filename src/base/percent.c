#include "base/percent.h"
#include <string.h>

static int digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

bool percent_decode(struct bytes in, bool plus, uint8_t *out, size_t *ret_size)
{
	size_t n = 0;
	for (size_t i = 0; i < in.size; i++) {
		uint8_t c = in.data[i];
		if (c == '%') {
			int high = i + 2 < in.size ? digit(in.data[i + 1]) : -1, low = i + 2 < in.size ? digit(in.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		out[n++] = c;
	}
	*ret_size = n;
	return true;
}

bool percent_decode_text(char *text)
{
	size_t size;
	if (!percent_decode(bytes_str(text), false, (uint8_t *)text, &size) || memchr(text, 0, size))
		return false;
	text[size] = 0;
	return true;
}

void percent_append(struct buf *out, struct bytes text, const char *also)
{
	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i];
		if (c <= ' ' || c == '%' || c == 0x7f || strchr(also, c))
			buf_printf(out, "%%%02X", c);
		else
			buf_u8(out, c);
	}
}
