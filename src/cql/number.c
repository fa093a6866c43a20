/* varint and decimal: whole numbers of any size as two's complement, big-endian, and such with a scale in front (native protocol v4, 6.6
 * and 6.22). Numbers here are some dozen digits long, so conversion is by short multiplication and division. */
#include "cql/cql_internal.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 8192

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static struct store_cell negate_and_trim(uint8_t *bytes, size_t size, bool negative)
{
	if (negative) {
		unsigned carry = 1;
		for (size_t i = size; i-- > 0;) {
			unsigned v = (uint8_t)~bytes[i] + carry;
			bytes[i] = (uint8_t)v;
			carry = v >> 8;
		}
	}
	while (size > 1 && ((bytes[0] == 0 && !(bytes[1] & 0x80)) || (bytes[0] == 0xff && (bytes[1] & 0x80)))) {
		bytes++;
		size--;
	}
	return (struct store_cell){bytes, (int32_t)size};
}

enum sm_err cql__varint_of_text(struct bytes text, struct arena *arena, struct store_cell *ret_value)
{
	bool negative = text.size && text.data[0] == '-';
	size_t at = negative, size;
	if (at == text.size)
		return SM_SYNTAX;
	if (text.size > DIGITS_MAX)
		return SM_TOO_LARGE;
	size = text.size / 2 + 2; /* a decimal digit needs less than half a byte; one byte for the sign */
	uint8_t *bytes = arena_alloc(arena, size);
	if (!bytes)
		return cql__not_ok(arena_error(arena));
	for (; at < text.size; at++) {
		if (!is_digit(text.data[at]))
			return SM_SYNTAX;
		unsigned carry = text.data[at] - '0';
		for (size_t i = size; i-- > 0;) {
			unsigned v = bytes[i] * 10u + carry;
			bytes[i] = (uint8_t)v;
			carry = v >> 8;
		}
	}
	*ret_value = negate_and_trim(bytes, size, negative);
	return SM_OK;
}

const char *cql__varint_text(struct bytes value, struct arena *arena)
{
	if (value.size == 0)
		return "";
	if (value.size > DIGITS_MAX)
		return "<a number too large to show>";
	bool negative = value.data[0] & 0x80;
	uint8_t *bytes = arena_copy(arena, value.data, value.size);
	size_t digits = value.size * 5 / 2 + 3;
	char *text = arena_alloc(arena, digits + 1), *at;
	if (!bytes || !text)
		return "";
	if (negative) {
		unsigned carry = 1;
		for (size_t i = value.size; i-- > 0;) {
			unsigned v = (uint8_t)~bytes[i] + carry;
			bytes[i] = (uint8_t)v;
			carry = v >> 8;
		}
	}
	at = text + digits;
	for (bool more = true; more;) {
		unsigned rest = 0;
		more = false;
		for (size_t i = 0; i < value.size; i++) {
			unsigned v = rest << 8 | bytes[i];
			bytes[i] = (uint8_t)(v / 10);
			rest = v % 10;
			more |= bytes[i] != 0;
		}
		*--at = (char)('0' + rest);
	}
	if (negative)
		*--at = '-';
	return at;
}

enum sm_err cql__decimal_of_text(struct bytes text, struct arena *arena, struct store_cell *ret_value)
{
	if (text.size > DIGITS_MAX)
		return SM_TOO_LARGE;
	char *digits = arena_alloc(arena, text.size + 1);
	if (!digits)
		return cql__not_ok(arena_error(arena));
	size_t n = 0, at = 0;
	int64_t scale = 0;
	bool point = false;
	if (text.size && (text.data[0] == '-' || text.data[0] == '+')) {
		if (text.data[0] == '-')
			digits[n++] = '-';
		at = 1;
	}
	for (; at < text.size && (is_digit(text.data[at]) || (text.data[at] == '.' && !point)); at++) {
		if (text.data[at] == '.') {
			point = true;
			continue;
		}
		digits[n++] = (char)text.data[at];
		scale += point;
	}
	if (at < text.size && (text.data[at] | 32) == 'e') {
		char *end, *exponent = arena_string(arena, (const char *)text.data + at + 1, text.size - at - 1);
		if (!exponent)
			return cql__not_ok(arena_error(arena));
		long e = strtol(exponent, &end, 10);
		if (!*exponent || *end || e > 1000000000L || e < -1000000000L)
			return SM_SYNTAX;
		scale -= e;
		at = text.size;
	}
	if (at < text.size)
		return SM_SYNTAX;
	struct store_cell unscaled;
	enum sm_err err = cql__varint_of_text(bytes_of(digits, n), arena, &unscaled);
	if (err)
		return err;
	uint8_t *out = arena_alloc(arena, 4 + (size_t)unscaled.size);
	if (!out)
		return cql__not_ok(arena_error(arena));
	be32_put(out, (uint32_t)(int32_t)scale);
	memcpy(out + 4, unscaled.data, (size_t)unscaled.size);
	*ret_value = (struct store_cell){out, 4 + unscaled.size};
	return SM_OK;
}

/* As Java's BigDecimal and Python's Decimal write it: an exponent only where the plain form would be long. */
const char *cql__decimal_text(struct bytes value, struct arena *arena)
{
	if (value.size < 5)
		return "";
	int64_t scale = (int32_t)be32_get(value.data);
	const char *digits = cql__varint_text(bytes_of(value.data + 4, value.size - 4), arena), *sign = "";
	if (*digits == '-') {
		sign = "-";
		digits++;
	}
	int64_t n = (int64_t)strlen(digits), adjusted = n - 1 - scale;
	const char *text;
	if (scale == 0)
		text = arena_printf(arena, "%s%s", sign, digits);
	else if (scale > 0 && adjusted >= -6 && n > scale)
		text = arena_printf(arena, "%s%.*s.%s", sign, (int)(n - scale), digits, digits + (n - scale));
	else if (scale > 0 && adjusted >= -6)
		text = arena_printf(arena, "%s0.%.*s%s", sign, (int)(scale - n), "000000", digits);
	else
		text = arena_printf(arena, "%s%c%s%sE%+lld", sign, digits[0], n > 1 ? "." : "", digits + 1, (long long)adjusted);
	return text ? text : "";
}
