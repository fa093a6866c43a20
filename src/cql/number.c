/* varint and decimal as text: whole numbers of any size as two's complement, big-endian, and such with a scale in front (native protocol
 * v4, 6.6 and 6.22). Those of up to eight bytes are converted here, others by decimal.c. */
#include "cql/decimal.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 8192
#define SHORT_DIGITS_MAX 18 /* fit eight bytes, whatever they are */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* In as few bytes as keep its sign. */
static struct store_cell short_varint(int64_t v, struct arena *arena)
{
	uint8_t bytes[8];
	size_t skip = 0;
	be64_put(bytes, (uint64_t)v);
	while (skip < 7 && ((bytes[skip] == 0 && !(bytes[skip + 1] & 0x80)) || (bytes[skip] == 0xff && bytes[skip + 1] & 0x80)))
		skip++;
	return cql__cell(arena, bytes + skip, 8 - skip);
}

enum sm_err cql__varint_of_text(struct bytes text, struct arena *arena, struct store_cell *ret_value)
{
	size_t at = text.size && text.data[0] == '-';
	struct store_cell value;
	if (at == text.size)
		return SM_SYNTAX;
	if (text.size > DIGITS_MAX)
		return SM_TOO_LARGE;
	for (size_t i = at; i < text.size; i++)
		if (!is_digit(text.data[i]))
			return SM_SYNTAX;
	if (text.size - at <= SHORT_DIGITS_MAX) {
		int64_t v = 0;
		for (size_t i = at; i < text.size; i++)
			v = v * 10 + (text.data[i] - '0');
		value = short_varint(at ? -v : v, arena);
	} else {
		const char *digits = arena_string(arena, (const char *)text.data, text.size);
		struct cql_calculation *c = digits ? cql__calculation_new(arena) : NULL;
		value = c ? cql__number_varint(c, cql__number_of_digits(c, digits)) : cql__null();
		cql__calculation_done(c);
	}
	if (!value.data)
		return cql__not_ok(arena_error(arena));
	*ret_value = value;
	return SM_OK;
}

/* Bytes without those that only repeat the sign. */
static struct bytes significant(struct bytes value)
{
	while (value.size > 1 && ((value.data[0] == 0 && !(value.data[1] & 0x80)) || (value.data[0] == 0xff && value.data[1] & 0x80)))
		value = bytes_of(value.data + 1, value.size - 1);
	return value;
}

bool cql__has_digits(const struct store_type *type, struct store_cell value)
{
	if (value.size < 0 || !value.data)
		return true;
	struct bytes b = bytes_of(value.data, (size_t)value.size);
	if (type->id == STORE_VARINT)
		return significant(b).size <= CQL_NUMBER_BYTES_MAX;
	if (type->id == STORE_DECIMAL)
		return b.size <= 4 || significant(bytes_of(b.data + 4, b.size - 4)).size <= CQL_NUMBER_BYTES_MAX;
	if (type->element_count == 0 || b.size <= CQL_NUMBER_BYTES_MAX)
		return true;
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell element;
	const struct store_type *of;
	while (store_value_next(&r, &element, &of))
		if (!cql__has_digits(of, element))
			return false;
	return true;
}

const char *cql__varint_text(struct bytes value, struct arena *arena)
{
	const char *text = NULL;
	if (value.size == 0)
		return "";
	value = significant(value);
	if (value.size > CQL_NUMBER_BYTES_MAX)
		return "<a number too large to show>";
	if (value.size <= 8) {
		uint64_t v = value.data[0] & 0x80 ? UINT64_MAX : 0;
		for (size_t i = 0; i < value.size; i++)
			v = v << 8 | value.data[i];
		text = arena_printf(arena, "%lld", (long long)v);
	} else {
		struct cql_calculation *c = cql__calculation_new(arena);
		if (c)
			text = cql__number_digits(c, cql__number_of_varint(c, (struct store_cell){value.data, (int32_t)value.size}));
		cql__calculation_done(c);
	}
	return text ? text : "";
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
	if (value.size < 4)
		return "";
	int64_t scale = (int32_t)be32_get(value.data);
	const char *digits = value.size > 4 ? cql__varint_text(bytes_of(value.data + 4, value.size - 4), arena) : "0", *sign = "";
	if (*digits == '<') /* it has too many of them */
		return digits;
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
