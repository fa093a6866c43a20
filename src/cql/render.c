/* Values as cqlsh prints them, and as literals for DESCRIBE and for errors. */
#include "cql/cql_internal.h"

#include <arpa/inet.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Five digits behind the point, as cqlsh shows float and double unless it is told otherwise. */
static const char *real(double v, struct arena *arena)
{
	if (isnan(v))
		return "NaN";
	if (isinf(v))
		return v < 0 ? "-Infinity" : "Infinity";
	int digits = 5, exponent = fabs(v) > DBL_EPSILON ? (int)log10(fabs(v)) : INT32_MIN;
	if (exponent >= -4 && exponent < digits)
		digits += exponent + 1;
	return arena_printf(arena, "%.*g", digits, v);
}

static const char *timestamp(int64_t ms, struct arena *arena)
{
	struct civil c = civil_of_ms(ms);
	return arena_printf(arena, "%04d-%02u-%02u %02u:%02u:%02u.%03u000+0000", c.year, c.month, c.day, c.hour, c.minute, c.second, c.ms);
}

static const char *date(uint32_t days, struct arena *arena)
{
	struct civil c = civil_of_ms(((int64_t)days - ((int64_t)1 << 31)) * 86400000);
	return arena_printf(arena, "%04d-%02u-%02u", c.year, c.month, c.day);
}

static const char *day_time(int64_t ns, struct arena *arena)
{
	int64_t s = ns / 1000000000;
	return arena_printf(arena, "%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%09" PRId64, s / 3600, s / 60 % 60, s % 60, ns % 1000000000);
}

static const char *hex(struct store_cell v, struct arena *arena)
{
	char *out = arena_alloc(arena, 2 * (size_t)v.size + 3);
	if (!out)
		return NULL;
	out[0] = '0';
	out[1] = 'x';
	for (int32_t i = 0; i < v.size; i++) {
		out[2 + 2 * i] = "0123456789abcdef"[v.data[i] >> 4];
		out[3 + 2 * i] = "0123456789abcdef"[v.data[i] & 15];
	}
	return out;
}

static const char *duration(struct store_cell v, struct arena *arena)
{
	struct cql_duration d;
	if (cql__duration_of_cell(v, &d) != SM_OK)
		return hex(v, arena);
	struct buf out;
	buf_init(&out);
	if (d.months < 0 || d.days < 0 || d.ns < 0)
		buf_append_str(&out, "-");
	uint64_t months = (uint64_t)llabs((long long)d.months), days = (uint64_t)llabs((long long)d.days),
		 ns = d.ns < 0 ? 0 - (uint64_t)d.ns : (uint64_t)d.ns;
	const struct {
		uint64_t n;
		const char *unit;
	} parts[] = {{months / 12, "y"},          {months % 12, "mo"},          {days, "d"},
		     {ns / 3600000000000, "h"},   {ns / 60000000000 % 60, "m"}, {ns / 1000000000 % 60, "s"},
		     {ns / 1000000 % 1000, "ms"}, {ns / 1000 % 1000, "us"},     {ns % 1000, "ns"}};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		if (parts[i].n)
			buf_printf(&out, "%" PRIu64 "%s", parts[i].n, parts[i].unit);
	const char *text = buf_size(&out) ? arena_string(arena, (const char *)out.data + out.start, buf_size(&out)) : "";
	buf_done(&out);
	return text;
}

static const char *quoted(struct store_cell v, struct arena *arena)
{
	char *out = arena_alloc(arena, 2 * (size_t)v.size + 3), *q = out;
	if (!out)
		return NULL;
	*q++ = '\'';
	for (int32_t i = 0; i < v.size; i++) {
		if (v.data[i] == '\'')
			*q++ = '\'';
		*q++ = (char)v.data[i];
	}
	*q = '\'';
	return out;
}

static const char *render(const struct store_type *type, struct store_cell v, bool nested, struct arena *arena);

/* A list or vector in [], a set or map in {}, a tuple in (), a user type as {field: value}. */
static const char *composite(const struct store_type *type, struct store_cell v, struct arena *arena)
{
	struct store_value_reader r = store_value_reader(type, v);
	struct store_cell e;
	const struct store_type *et;
	bool map = type->id == STORE_MAP, tuple = type->id == STORE_TUPLE, list = type->id == STORE_LIST || type->id == STORE_VECTOR;
	struct buf out;
	buf_init(&out);
	buf_append_str(&out, list ? "[" : tuple ? "(" : "{");
	while (store_value_next(&r, &e, &et)) {
		uint32_t i = r.index - 1;
		const char *text = render(et, e, true, arena);
		buf_append_str(&out, i == 0 ? "" : map && i % 2 ? ": " : ", ");
		if (type->id == STORE_UDT)
			buf_printf(&out, "%s: ", type->fields[i]);
		buf_append_str(&out, text ? text : "");
	}
	buf_append_str(&out, list ? "]" : tuple ? ")" : "}");
	const char *text = arena_string(arena, (const char *)out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text;
}

static const char *render(const struct store_type *type, struct store_cell v, bool nested, struct arena *arena)
{
	static const uint8_t sizes[64] = {
		[STORE_BIGINT] = 8, [STORE_COUNTER] = 8,   [STORE_BOOLEAN] = 1, [STORE_DOUBLE] = 8,    [STORE_FLOAT] = 4,
		[STORE_INT] = 4,    [STORE_TIMESTAMP] = 8, [STORE_UUID] = 16,   [STORE_TIMEUUID] = 16, [STORE_DATE] = 4,
		[STORE_TIME] = 8,   [STORE_SMALLINT] = 2,  [STORE_TINYINT] = 1};
	char text[INET6_ADDRSTRLEN];
	struct uuid u;
	double d;
	float f;
	uint64_t bits;
	uint32_t bits32;
	if (v.size < 0)
		return "null";
	if ((unsigned)type->id < 64 && sizes[type->id] && v.size != sizes[type->id])
		return v.size == 0 ? "" : hex(v, arena);
	switch (type->id) {
	case STORE_INT: return arena_printf(arena, "%" PRId32, (int32_t)be32_get(v.data));
	case STORE_BIGINT:
	case STORE_COUNTER: return arena_printf(arena, "%" PRId64, (int64_t)be64_get(v.data));
	case STORE_SMALLINT: return arena_printf(arena, "%d", (int16_t)be16_get(v.data));
	case STORE_TINYINT: return arena_printf(arena, "%d", (int8_t)v.data[0]);
	case STORE_BOOLEAN: return v.data[0] ? "True" : "False";
	case STORE_DOUBLE:
		bits = be64_get(v.data);
		memcpy(&d, &bits, 8);
		return real(d, arena);
	case STORE_FLOAT:
		bits32 = be32_get(v.data);
		memcpy(&f, &bits32, 4);
		return real((double)f, arena);
	case STORE_UUID:
	case STORE_TIMEUUID: {
		char out[37];
		memcpy(u.bytes, v.data, 16);
		uuid_format(&u, out);
		return arena_string(arena, out, 36);
	}
	case STORE_TIMESTAMP: return timestamp((int64_t)be64_get(v.data), arena);
	case STORE_DATE: return date(be32_get(v.data), arena);
	case STORE_TIME: return day_time((int64_t)be64_get(v.data), arena);
	case STORE_INET:
		if ((v.size != 4 && v.size != 16) || !inet_ntop(v.size == 4 ? AF_INET : AF_INET6, v.data, text, sizeof text))
			return hex(v, arena);
		return arena_string(arena, text, strlen(text));
	case STORE_VARINT: return cql__varint_text(bytes_of(v.data, (size_t)v.size), arena);
	case STORE_DECIMAL: return cql__decimal_text(bytes_of(v.data, (size_t)v.size), arena);
	case STORE_DURATION: return duration(v, arena);
	case STORE_TEXT:
	case STORE_ASCII: return nested ? quoted(v, arena) : arena_string(arena, (const char *)v.data, (size_t)v.size);
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP:
	case STORE_TUPLE:
	case STORE_UDT:
	case STORE_VECTOR: return composite(type, v, arena);
	default: return hex(v, arena);
	}
}

const char *cql_render(const struct store_type *type, struct store_cell value, struct arena *arena)
{
	const char *text = render(type, value, false, arena);
	return text ? text : "";
}

const char *cql_literal_text(const struct store_type *type, struct store_cell value, struct arena *arena)
{
	const char *text;
	switch (value.size < 0 ? STORE_TEXT : type->id) {
	case STORE_TEXT:
	case STORE_ASCII: text = value.size < 0 ? "null" : quoted(value, arena); break;
	case STORE_BOOLEAN: text = value.size == 1 ? value.data[0] ? "true" : "false" : ""; break;
	default: text = cql_render(type, value, arena);
	}
	return text ? text : "";
}
