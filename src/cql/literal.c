/* Literals as serialized values, and the check of values that clients send, in Cassandra's words. */
#include "cql/cql_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct store_cell cql__cell(struct arena *arena, const void *data, size_t size)
{
	uint8_t *copy = arena_alloc_raw(arena, size ? size : 1, 1);
	if (!copy)
		return cql__null();
	if (size)
		memcpy(copy, data, size);
	return (struct store_cell){copy, (int32_t)size};
}

struct store_cell cql__cell_int(struct arena *arena, int32_t v)
{
	uint8_t out[4];
	be32_put(out, (uint32_t)v);
	return cql__cell(arena, out, 4);
}

struct store_cell cql__cell_long(struct arena *arena, int64_t v)
{
	uint8_t out[8];
	be64_put(out, (uint64_t)v);
	return cql__cell(arena, out, 8);
}

struct store_cell cql__cell_text(struct arena *arena, const char *text)
{
	return cql__cell(arena, text, strlen(text));
}

struct literal {
	const struct cql_term *term;
	const struct store_type *type;
	const char *name, *text; /* text is terminated */
	struct arena *arena;
	struct cql_error *err;
};

static enum sm_err mismatch(const struct literal *l)
{
	static const char *const names[] = {"STRING", "INTEGER", "UUID", "FLOAT", "BOOLEAN", "HEX", "DURATION"};
	return cql__fail(l->err, CQL_INVALID, "Invalid %s constant (%s%.400s) for \"%s\" of type %s", names[l->term->literal],
			 l->term->literal == CQL_HEX ? "0x" : "", l->text, l->name, store_type_name(l->type, l->arena));
}

static enum sm_err whole_number(const struct literal *l, const char *java_name, int size, struct store_cell *ret)
{
	char *end;
	uint8_t out[8];
	errno = 0;
	long long v = strtoll(l->text, &end, 10);
	int shift = 64 - 8 * size;
	if (errno || *end || end == l->text || (long long)((unsigned long long)v << shift) >> shift != v)
		return cql__fail(l->err, CQL_INVALID, "Unable to make %s from '%.400s'", java_name, l->text);
	be64_put(out, (uint64_t)v);
	*ret = cql__cell(l->arena, out + 8 - size, (size_t)size);
	return SM_OK;
}

static enum sm_err real_number(const struct literal *l, struct store_cell *ret)
{
	bool negative = l->text[0] == '-';
	const char *magnitude = l->text + negative;
	double v = strcasecmp(magnitude, "nan") == 0        ? (double)NAN
		   : strcasecmp(magnitude, "infinity") == 0 ? (double)INFINITY
							    : strtod(magnitude, NULL);
	if (negative && !isnan(v))
		v = -v;
	uint8_t out[8];
	if (l->type->id == STORE_FLOAT) {
		float f = isnan(v) ? 0 : strtod(magnitude, NULL) == v || !isfinite(v) ? (float)v : strtof(l->text, NULL);
		uint32_t bits;
		memcpy(&bits, &f, 4);
		be32_put(out, isnan(v) ? 0x7fc00000 : bits); /* Java's one NaN */
		*ret = cql__cell(l->arena, out, 4);
		return SM_OK;
	}
	uint64_t bits;
	memcpy(&bits, &v, 8);
	be64_put(out, isnan(v) ? 0x7ff8000000000000 : bits);
	*ret = cql__cell(l->arena, out, 8);
	return SM_OK;
}

static enum sm_err big_number(const struct literal *l, struct store_cell *ret)
{
	if (strcasecmp(l->text + (l->text[0] == '-'), "nan") == 0 || strcasecmp(l->text + (l->text[0] == '-'), "infinity") == 0)
		return cql__fail(l->err, CQL_INVALID, "unable to make BigDecimal from '%s'", l->text);
	enum sm_err err = l->type->id == STORE_VARINT ? cql__varint_of_text(l->term->text, l->arena, ret)
						      : cql__decimal_of_text(l->term->text, l->arena, ret);
	if (err == SM_NO_MEMORY)
		return cql__no_memory(l->err, l->arena);
	if (err)
		return cql__fail(l->err, CQL_INVALID, "unable to make %s from '%.400s'",
				 l->type->id == STORE_VARINT ? "BigInteger" : "BigDecimal", l->text);
	return SM_OK;
}

static enum sm_err number(const struct literal *l, struct store_cell *ret)
{
	switch (l->type->id) {
	case STORE_BIGINT:
	case STORE_COUNTER:
	case STORE_TIMESTAMP: return whole_number(l, "long", 8, ret);
	case STORE_TIME: {
		int64_t ns;
		if (l->text[0] == '-' || cql__time_of_text(l->term->text, &ns) != SM_OK)
			return cql__fail(l->err, CQL_INVALID, "Unable to make long (for time) from: '%.400s'", l->text);
		*ret = cql__cell_long(l->arena, ns);
		return SM_OK;
	}
	case STORE_INT: return whole_number(l, "int", 4, ret);
	case STORE_SMALLINT: return whole_number(l, "short", 2, ret);
	case STORE_TINYINT: return whole_number(l, "byte", 1, ret);
	case STORE_DATE: {
		char *end;
		errno = 0;
		unsigned long long v = strtoull(l->text, &end, 10); /* days, not shifted */
		if (errno || *end || l->text[0] == '-' || v > UINT32_MAX)
			return cql__fail(l->err, CQL_INVALID, "Unable to make unsigned int (for date) from: '%.400s'", l->text);
		*ret = cql__cell_int(l->arena, (int32_t)(uint32_t)v);
		return SM_OK;
	}
	case STORE_DOUBLE:
	case STORE_FLOAT: return real_number(l, ret);
	case STORE_VARINT:
	case STORE_DECIMAL: return big_number(l, ret);
	default: return mismatch(l);
	}
}

static enum sm_err inet_address(const struct literal *l, struct store_cell *ret)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	uint8_t out[16];
	struct in_addr short_form;
	if (l->text[0] == 0)
		*ret = cql__cell(l->arena, "", 0);
	else if (inet_pton(AF_INET, l->text, out) == 1)
		*ret = cql__cell(l->arena, out, 4);
	else if (inet_pton(AF_INET6, l->text, out) == 1 && memcmp(out, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)
		*ret = cql__cell(l->arena, out + 12, 4); /* as Java has it */
	else if (inet_pton(AF_INET6, l->text, out) == 1)
		*ret = memcmp(out, mapped, sizeof mapped) == 0 ? cql__cell(l->arena, out + 12, 4) : cql__cell(l->arena, out, 16);
	else if (strspn(l->text, "0123456789.") == strlen(l->text) && inet_aton(l->text, &short_form)) /* 1.2.3 is 1.2.0.3 */
		*ret = cql__cell(l->arena, &short_form.s_addr, 4);
	else
		return cql__fail(l->err, CQL_INVALID, "Unable to make inet address from '%.400s'", l->text);
	return SM_OK;
}

static enum sm_err string(const struct literal *l, struct store_cell *ret)
{
	int64_t v;
	uint32_t days;
	switch (l->type->id) {
	case STORE_ASCII:
	case STORE_TEXT:
		*ret = cql__cell(l->arena, l->term->text.data, l->term->text.size);
		return ret->data ? cql__value_check(l->type, *ret, l->err) : cql__no_memory(l->err, l->arena);
	case STORE_INET: return inet_address(l, ret);
	case STORE_TIMESTAMP:
		if (cql__timestamp_of_text(l->term->text, &v) != SM_OK)
			return cql__fail(l->err, CQL_INVALID, "Unable to parse a date/time from '%.400s'", l->text);
		*ret = cql__cell_long(l->arena, v);
		return SM_OK;
	case STORE_DATE:
		if (cql__date_of_text(l->term->text, &days) != SM_OK)
			return cql__fail(l->err, CQL_INVALID, "Unable to coerce '%.400s' to a formatted date (long)", l->text);
		*ret = cql__cell_int(l->arena, (int32_t)days);
		return SM_OK;
	case STORE_TIME:
		if (cql__time_of_text(l->term->text, &v) != SM_OK)
			return cql__fail(l->err, CQL_INVALID, "(TimeType) Unable to coerce '%.400s' to a formatted time (long)", l->text);
		*ret = cql__cell_long(l->arena, v);
		return SM_OK;
	default: return mismatch(l);
	}
}

static enum sm_err blob(const struct literal *l, struct store_cell *ret)
{
	struct bytes hex = l->term->text;
	if (hex.size % 2)
		return cql__fail(l->err, CQL_INVALID, "An hex string representing bytes must have an even length");
	uint8_t *out = arena_alloc_raw(l->arena, hex.size / 2 + 1, 1);
	if (!out)
		return cql__no_memory(l->err, l->arena);
	for (size_t i = 0; i < hex.size; i++) {
		uint8_t c = hex.data[i], v = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
		out[i / 2] = i % 2 ? (uint8_t)(out[i / 2] | v) : (uint8_t)(v << 4);
	}
	*ret = (struct store_cell){out, (int32_t)(hex.size / 2)};
	return SM_OK;
}

static enum sm_err uuid(const struct literal *l, struct store_cell *ret)
{
	struct uuid u;
	if (uuid_parse(l->text, strlen(l->text), &u) != SM_OK)
		return cql__fail(l->err, CQL_INVALID, "Unable to make UUID from '%.400s'", l->text);
	if (l->type->id == STORE_TIMEUUID && uuid_version(&u) != 1)
		return cql__fail(l->err, CQL_INVALID, "TimeUUID supports only version 1 UUIDs");
	*ret = cql__cell(l->arena, u.bytes, 16);
	return SM_OK;
}

static enum sm_err duration(const struct literal *l, struct store_cell *ret)
{
	struct cql_duration d;
	struct cql_problem why;
	if (cql__duration_of_text(l->term->text, &d, &why) != SM_OK)
		return why.text[0] ? cql__fail(l->err, CQL_INVALID, "%s", why.text)
				   : cql__fail(l->err, CQL_INVALID, "Unable to convert '%.400s' to a duration", l->text);
	*ret = cql__duration_cell(&d, l->arena);
	return SM_OK;
}

enum sm_err cql__literal_value(const struct cql_term *term, const struct store_type *type, const char *name, struct arena *arena,
			       struct store_cell *ret_value, struct cql_error *err)
{
	struct literal l = {term, type, name, arena_string(arena, (const char *)term->text.data, term->text.size), arena, err};
	struct store_cell value = {NULL, 0};
	enum sm_err failed;
	if (!l.text)
		return cql__no_memory(err, arena);
	bool is_uuid = type->id == STORE_UUID || type->id == STORE_TIMEUUID;
	bool is_real = type->id == STORE_DOUBLE || type->id == STORE_FLOAT || type->id == STORE_DECIMAL;
	if (term->literal == CQL_STRING)
		failed = string(&l, &value);
	else if (term->literal == CQL_INTEGER || (term->literal == CQL_FLOAT && is_real))
		failed = type->id == STORE_DURATION ? duration(&l, &value) : number(&l, &value);
	else if (term->literal == CQL_UUID && is_uuid)
		failed = uuid(&l, &value);
	else if (term->literal == CQL_BOOLEAN && type->id == STORE_BOOLEAN) {
		value = cql__cell(arena, strcasecmp(l.text, "true") == 0 ? "\1" : "\0", 1);
		failed = SM_OK;
	} else if (term->literal == CQL_HEX && type->id == STORE_BLOB)
		failed = blob(&l, &value);
	else if (term->literal == CQL_DURATION && type->id == STORE_DURATION)
		failed = duration(&l, &value);
	else
		failed = mismatch(&l);
	if (failed)
		return failed;
	if (!value.data)
		return cql__no_memory(err, arena);
	*ret_value = value;
	return SM_OK;
}

/* ---- values from clients ---- */

static bool utf8_ok(const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		uint8_t c = *p++;
		if (c < 0x80)
			continue;
		int more = c >= 0xC2 && c <= 0xDF ? 1 : (c & 0xF0) == 0xE0 ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : 0;
		if (!more || end - p < more)
			return false;
		uint32_t code = c & (0x3f >> more);
		for (int i = 0; i < more; i++, p++) {
			if ((*p & 0xC0) != 0x80)
				return false;
			code = code << 6 | (*p & 0x3f);
		}
		if ((more == 2 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) ||
		    (more == 3 && (code < 0x10000 || code > 0x10FFFF)))
			return false;
	}
	return true;
}

static enum sm_err sized(struct store_cell value, int32_t size, bool empty_ok, const char *fmt_before, const char *after,
			 struct cql_error *err)
{
	if (value.size == size)
		return SM_OK;
	if (empty_ok && value.size == 0) /* Cassandra keeps them for the sake of its oldest clients */
		return SM_OK;
	return cql__fail(err, CQL_INVALID, "%s (%d)%s", fmt_before, value.size, after);
}

static enum sm_err wrong_address(struct store_cell value, struct cql_error *err)
{
	char hex[2 * 64 + 1] = "";
	for (int32_t i = 0; i < value.size && i < 64; i++)
		snprintf(hex + (size_t)i * 2, 3, "%02x", value.data[i]);
	return cql__fail(err, CQL_INVALID, "Expected 4 or 16 byte inetaddress; got %s", hex);
}

static enum sm_err duration_check(struct store_cell value, struct cql_error *err)
{
	struct cql_duration d;
	if (value.size < 3 || cql__duration_of_cell(value, &d) != SM_OK)
		return cql__fail(err, CQL_INVALID, "Expected at least 3 bytes for a duration (%d)", value.size);
	bool negative = d.months < 0 || d.days < 0 || d.ns<0, positive = d.months> 0 || d.days > 0 || d.ns > 0;
	if (negative && positive)
		return cql__fail(err, CQL_INVALID, "The duration months, days and nanoseconds must be all of the same sign (%d, %d, %lld)",
				 d.months, d.days, (long long)d.ns);
	return SM_OK;
}

enum sm_err cql__value_check(const struct store_type *type, struct store_cell value, struct cql_error *err)
{
	if (value.size < 0)
		return SM_OK;
	if ((uint32_t)value.size > STORE_CELL_BYTES_MAX)
		return cql__fail(err, CQL_INVALID, "A value of %d bytes is larger than the limit of %u", value.size, STORE_CELL_BYTES_MAX);
	switch (type->id) {
	case STORE_INT: return sized(value, 4, true, "Expected 4 or 0 byte int", "", err);
	case STORE_BIGINT:
	case STORE_COUNTER: return sized(value, 8, true, "Expected 8 or 0 byte long", "", err);
	case STORE_TIMESTAMP: return sized(value, 8, true, "Expected 8 or 0 byte long for date", "", err);
	case STORE_BOOLEAN: return sized(value, 1, true, "Expected 1 or 0 byte value", "", err);
	case STORE_DOUBLE: return sized(value, 8, true, "Expected 8 or 0 byte value for a double", "", err);
	case STORE_FLOAT: return sized(value, 4, true, "Expected 4 or 0 byte value for a float", "", err);
	case STORE_SMALLINT: return sized(value, 2, false, "Expected 2 bytes for a smallint", "", err);
	case STORE_TINYINT: return sized(value, 1, false, "Expected 1 byte for a tinyint", "", err);
	case STORE_DATE: return sized(value, 4, false, "Expected 4 byte long for date", "", err);
	case STORE_TIME: return sized(value, 8, false, "Expected 8 byte long for time", "", err);
	case STORE_UUID: return sized(value, 16, true, "UUID should be 16 or 0 bytes", "", err);
	case STORE_TIMEUUID: {
		enum sm_err failed = sized(value, 16, true, "TimeUUID should be 16 or 0 bytes", "", err);
		if (!failed && value.size == 16 && value.data[6] >> 4 != 1)
			return cql__fail(err, CQL_INVALID, "Invalid version for TimeUUID type: 0x%x", value.data[6] & 0xf);
		return failed;
	}
	case STORE_INET: return value.size == 0 || value.size == 4 || value.size == 16 ? SM_OK : wrong_address(value, err);
	case STORE_TEXT:
		return utf8_ok(value.data, value.data + value.size) ? SM_OK : cql__fail(err, CQL_INVALID, "String didn't validate.");
	case STORE_ASCII:
		for (int32_t i = 0; i < value.size; i++)
			if (value.data[i] & 0x80)
				return cql__fail(err, CQL_INVALID, "Invalid byte for ascii: %d", (int8_t)value.data[i]);
		return SM_OK;
	case STORE_DECIMAL:
		if (value.size && value.size < 4)
			return cql__fail(err, CQL_INVALID, "Expected 0 or at least 4 bytes (%d)", value.size);
		return SM_OK;
	case STORE_VARINT: return SM_OK;
	case STORE_DURATION: return duration_check(value, err);
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP:
	case STORE_TUPLE:
	case STORE_UDT:
	case STORE_VECTOR: return cql__composite_check(type, value, err);
	default: return SM_OK;
	}
}
