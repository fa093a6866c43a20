/* Values as the text that Java makes of them: what CAST(x AS text) and JSON show. */
#include "cql/cql_internal.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* digits: "d.ddde+xx" with at least two digits. Plain from 0.001 up to 10 million, else with an exponent. */
static const char *java_real(const char *digits, struct arena *arena)
{
	char mantissa[32];
	size_t n = 0;
	const char *p = digits, *sign = "";
	if (*p == '-') {
		sign = "-";
		p++;
	}
	for (; *p && *p != 'e'; p++)
		if (*p != '.' && n < sizeof mantissa - 1)
			mantissa[n++] = *p;
	while (n > 2 && mantissa[n - 1] == '0')
		n--;
	mantissa[n] = 0;
	int exponent = *p ? atoi(p + 1) : 0;
	const char *text;
	if (exponent >= 7 || exponent < -3)
		text = arena_printf(arena, "%s%c.%sE%d", sign, mantissa[0], mantissa + 1, exponent);
	else if (exponent < 0)
		text = arena_printf(arena, "%s0.%.*s%s", sign, -exponent - 1, "000",
				    n == 2 && mantissa[1] == '0' ? (mantissa[1] = 0, mantissa) : mantissa);
	else if ((size_t)exponent + 1 >= n)
		text = arena_printf(arena, "%s%s%.*s.0", sign, mantissa, exponent + 1 - (int)n, "0000000");
	else
		text = arena_printf(arena, "%s%.*s.%s", sign, exponent + 1, mantissa, mantissa + exponent + 1);
	return text ? text : "";
}

const char *cql__java_double(double v, struct arena *arena)
{
	char text[40];
	if (isnan(v))
		return "NaN";
	if (isinf(v))
		return v < 0 ? "-Infinity" : "Infinity";
	if (v == 0)
		return signbit(v) ? "-0.0" : "0.0";
	/* the shortest that reads back the same; DBL_DIG digits always have room, but for the smallest numbers */
	for (int precision = fabs(v) >= DBL_MIN ? DBL_DIG - 1 : 1; precision < 17; precision++) {
		snprintf(text, sizeof text, "%.*e", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	return java_real(text, arena);
}

const char *cql__java_float(float v, struct arena *arena)
{
	char text[40];
	if (!isfinite(v) || v == 0)
		return cql__java_double((double)v, arena);
	for (int precision = fabsf(v) >= FLT_MIN ? FLT_DIG - 1 : 1; precision < 9; precision++) {
		snprintf(text, sizeof text, "%.*e", precision, (double)v);
		if (strtof(text, NULL) == v)
			break;
	}
	return java_real(text, arena);
}

static const char *timestamp(int64_t ms, bool json, struct arena *arena)
{
	struct civil c = civil_of_ms(ms);
	int year = c.year > 0 ? c.year : 1 - c.year; /* of its era */
	return arena_printf(arena, "%s%04d-%02u-%02u%c%02u:%02u:%02u.%03uZ", year > 9999 ? "+" : "", year, c.month, c.day, json ? ' ' : 'T',
			    c.hour, c.minute, c.second, c.ms);
}

static const char *date(uint32_t days, struct arena *arena)
{
	struct civil c = civil_of_ms(((int64_t)days - ((int64_t)1 << 31)) * 86400000);
	if (c.year < 0)
		return arena_printf(arena, "-%04d-%02u-%02u", -c.year, c.month, c.day);
	return arena_printf(arena, "%s%04d-%02u-%02u", c.year > 9999 ? "+" : "", c.year, c.month, c.day);
}

static const char *inet(struct store_cell v, struct arena *arena)
{
	const uint8_t *d = v.data;
	if (v.size == 4)
		return arena_printf(arena, "%u.%u.%u.%u", d[0], d[1], d[2], d[3]);
	if (v.size != 16)
		return "";
	return arena_printf(arena, "%x:%x:%x:%x:%x:%x:%x:%x", be16_get(d), be16_get(d + 2), be16_get(d + 4), be16_get(d + 6),
			    be16_get(d + 8), be16_get(d + 10), be16_get(d + 12), be16_get(d + 14));
}

double cql__double_of(struct store_cell v)
{
	uint64_t bits = v.size == 8 ? be64_get(v.data) : 0;
	double d;
	memcpy(&d, &bits, 8);
	return d;
}

float cql__float_of(struct store_cell v)
{
	uint32_t bits = v.size == 4 ? be32_get(v.data) : 0;
	float f;
	memcpy(&f, &bits, 4);
	return f;
}

struct store_cell cql__cell_double(struct arena *arena, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, 8);
	return cql__cell_long(arena, (int64_t)bits);
}

struct store_cell cql__cell_float(struct arena *arena, float v)
{
	uint32_t bits;
	memcpy(&bits, &v, 4);
	return cql__cell_int(arena, (int32_t)bits);
}

const char *cql__java_text(const struct store_type *type, struct store_cell v, bool json, struct arena *arena)
{
	const char *text;
	switch (type->id) {
	case STORE_BOOLEAN: return v.size == 1 && v.data[0] ? "true" : "false";
	case STORE_DOUBLE: return v.size == 8 ? cql__java_double(cql__double_of(v), arena) : "";
	case STORE_FLOAT: return v.size == 4 ? cql__java_float(cql__float_of(v), arena) : "";
	case STORE_TIMESTAMP: text = v.size == 8 ? timestamp((int64_t)be64_get(v.data), json, arena) : ""; break;
	case STORE_DATE: text = v.size == 4 ? date(be32_get(v.data), arena) : ""; break;
	case STORE_INET: text = inet(v, arena); break;
	default: return cql_render(type, v, arena);
	}
	return text ? text : "";
}
