/* Casts, as Spark's ANSI mode has them: a value that does not fit is an error. A timestamp is ms since 1970 in UTC; cast to a number it
 * is seconds, as in Spark (unix_millis and timestamp_millis keep the ms). */
#include "compute/sql_internal.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

bool sql__type_by_name(const char *name, enum column_type *ret_type)
{
	static const struct {
		const char *name;
		enum column_type type;
	} types[] = {{"boolean", COLUMN_BOOL},       {"int", COLUMN_INT32},     {"integer", COLUMN_INT32}, {"bigint", COLUMN_INT64},
		     {"long", COLUMN_INT64},         {"double", COLUMN_DOUBLE}, {"string", COLUMN_TEXT},   {"text", COLUMN_TEXT},
		     {"varchar", COLUMN_TEXT},       {"binary", COLUMN_BLOB},   {"blob", COLUMN_BLOB},     {"uuid", COLUMN_UUID},
		     {"timestamp", COLUMN_TIMESTAMP}};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (strcasecmp(types[i].name, name) == 0) {
			*ret_type = types[i].type;
			return true;
		}
	}
	return false;
}

static bool is_integer(enum column_type t)
{
	return t == COLUMN_INT32 || t == COLUMN_INT64;
}

bool sql__cast_known(enum column_type from, enum column_type to)
{
	if (from == to || from == COLUMN_TEXT || to == COLUMN_TEXT)
		return true;
	switch (from) {
	case COLUMN_BOOL: return is_integer(to) || to == COLUMN_DOUBLE;
	case COLUMN_INT32:
	case COLUMN_INT64: return to != COLUMN_BLOB && to != COLUMN_UUID;
	case COLUMN_DOUBLE: return is_integer(to) || to == COLUMN_BOOL;
	case COLUMN_TIMESTAMP: return is_integer(to) || to == COLUMN_DOUBLE;
	case COLUMN_UUID: return to == COLUMN_BLOB;
	case COLUMN_BLOB:
	case COLUMN_TEXT: break;
	}
	return false;
}

static struct bytes trimmed(struct bytes s)
{
	while (s.size && s.data[0] <= ' ') {
		s.data++;
		s.size--;
	}
	while (s.size && s.data[s.size - 1] <= ' ')
		s.size--;
	return s;
}

/* digits at *at, exactly least..most of them */
static bool digits(struct bytes s, size_t *at, int least, int most, int *ret)
{
	int n = 0, v = 0;
	while (n < most && *at < s.size && s.data[*at] >= '0' && s.data[*at] <= '9') {
		v = v * 10 + s.data[(*at)++] - '0';
		n++;
	}
	*ret = v;
	return n >= least;
}

static bool take(struct bytes s, size_t *at, const char *one_of)
{
	if (*at >= s.size || !strchr(one_of, s.data[*at]) || s.data[*at] == 0)
		return false;
	(*at)++;
	return true;
}

bool sql__parse_timestamp(struct bytes text, int64_t *ret_ms)
{
	struct bytes s = trimmed(text);
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day, hour = 0, minute = 0, second = 0;
	size_t at = 0;
	double fraction = 0;
	if (!digits(s, &at, 4, 4, &year) || !take(s, &at, "-") || !digits(s, &at, 1, 2, &month) || !take(s, &at, "-") ||
	    !digits(s, &at, 1, 2, &day))
		return false;
	if (at < s.size) {
		if (!take(s, &at, "T ") || !digits(s, &at, 1, 2, &hour) || !take(s, &at, ":") || !digits(s, &at, 1, 2, &minute))
			return false;
		if (take(s, &at, ":") && !digits(s, &at, 1, 2, &second))
			return false;
		if (take(s, &at, ".")) {
			double scale = 1;
			size_t start = at;
			for (; at < s.size && s.data[at] >= '0' && s.data[at] <= '9' && at - start < 9; at++) {
				scale /= 10;
				fraction += (s.data[at] - '0') * scale;
			}
			if (at == start)
				return false;
		}
		if (at < s.size && !take(s, &at, "Zz"))
			return false;
	}
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (at != s.size || month < 1 || month > 12 || day < 1 || day > days[month - 1] + (month == 2 && leap) || hour > 23 ||
	    minute > 59 || second > 59)
		return false;
	struct civil c = {.year = year,
			  .month = (uint8_t)month,
			  .day = (uint8_t)day,
			  .hour = (uint8_t)hour,
			  .minute = (uint8_t)minute,
			  .second = (uint8_t)second,
			  .ms = (uint16_t)(fraction * 1000 + 1e-6)};
	*ret_ms = civil_to_ms(&c);
	return true;
}

static enum sm_err fail_cast(const struct expr *e, struct eval *c, const struct vec *in, uint32_t row)
{
	struct value v = vec_get(in, row);
	char shown[80];
	if (v.type == COLUMN_TEXT)
		snprintf(shown, sizeof shown, "'%.*s'", (int)(v.bytes.size > 40 ? 40 : v.bytes.size), (const char *)v.bytes.data);
	else if (v.type == COLUMN_DOUBLE)
		snprintf(shown, sizeof shown, "%.17g", v.real);
	else
		snprintf(shown, sizeof shown, "%lld", (long long)v.integer);
	return sql__fail(c->reterr, v.type == COLUMN_TEXT ? SM_INVALID : SM_OUT_OF_RANGE, e->line, e->column, "%s can't be cast to %s",
			 shown, column_type_name(e->type));
}

static bool integer_fits(enum column_type type, int64_t v)
{
	return type == COLUMN_INT64 || v == (int32_t)v;
}

static bool real_to_integer(enum column_type type, double d, int64_t *ret)
{
	d = trunc(d);
	if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0))
		return false;
	*ret = (int64_t)d;
	return integer_fits(type, *ret);
}

static bool text_to_integer(enum column_type type, struct bytes s, int64_t *ret)
{
	char text[32];
	char *end;
	s = trimmed(s);
	if (s.size == 0 || s.size >= sizeof text)
		return false;
	memcpy(text, s.data, s.size);
	text[s.size] = 0;
	if (strspn(text, "+-0123456789") != s.size)
		return false;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno == 0 && *end == 0 && integer_fits(type, *ret);
}

static bool text_to_real(struct bytes s, double *ret)
{
	char text[400];
	char *end;
	s = trimmed(s);
	if (s.size == 0 || s.size >= sizeof text)
		return false;
	memcpy(text, s.data, s.size);
	text[s.size] = 0;
	if (strcasecmp(text, "nan") == 0 || strcasecmp(text, "infinity") == 0 || strcasecmp(text, "-infinity") == 0) {
		*ret = strtod(text, NULL);
		return true;
	}
	if (strspn(text, "+-.0123456789eE") != s.size)
		return false;
	*ret = strtod(text, &end);
	return *end == 0;
}

static bool text_to_bool(struct bytes s, uint8_t *ret)
{
	static const char *const words[] = {"true", "t", "yes", "y", "1", "false", "f", "no", "n", "0"};
	s = trimmed(s);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (s.size == strlen(words[i]) && strncasecmp((const char *)s.data, words[i], s.size) == 0) {
			*ret = i < 5;
			return true;
		}
	}
	return false;
}

/* Java's shape: 1.0, 1.5, 1.0E10; the shortest digits that read back as the same number. */
static int real_text(double d, char *out, size_t size)
{
	char text[40];
	if (isnan(d))
		return snprintf(out, size, "NaN");
	if (isinf(d))
		return snprintf(out, size, d < 0 ? "-Infinity" : "Infinity");
	int precision = 0;
	do {
		snprintf(text, sizeof text, "%.*e", precision, d);
	} while (strtod(text, NULL) != d && ++precision < 17);
	int exponent = atoi(strchr(text, 'e') + 1);
	if (d == 0 || (exponent >= -3 && exponent < 7)) {
		int places = precision - exponent;
		return snprintf(out, size, "%.*f", places < 1 ? 1 : places, d);
	}
	*strchr(text, 'e') = 0;
	return snprintf(out, size, "%s%sE%d", text, precision ? "" : ".0", exponent);
}

/* 2019-11-24 00:00:17.004, the fraction without zeros at its end. */
static int timestamp_text(int64_t ms, char *out, size_t size)
{
	struct civil c = civil_of_ms(ms);
	int n = snprintf(out, size, "%04d-%02u-%02u %02u:%02u:%02u", c.year, c.month, c.day, c.hour, c.minute, c.second);
	if (c.ms == 0)
		return n;
	n += snprintf(out + n, size - (size_t)n, ".%03u", c.ms);
	while (out[n - 1] == '0')
		n--;
	return n;
}

static bool to_text(struct eval *c, const struct vec *in, uint32_t row, struct bytes *ret)
{
	char text[64];
	int n = 0;
	switch (in->type) {
	case COLUMN_TEXT:
	case COLUMN_BLOB: *ret = in->bytes[row]; return true;
	case COLUMN_BOOL: n = snprintf(text, sizeof text, "%s", in->booleans[row] ? "true" : "false"); break;
	case COLUMN_INT32:
	case COLUMN_INT64: n = snprintf(text, sizeof text, "%lld", (long long)in->integers[row]); break;
	case COLUMN_DOUBLE: n = real_text(in->reals[row], text, sizeof text); break;
	case COLUMN_TIMESTAMP: n = timestamp_text(in->integers[row], text, sizeof text); break;
	case COLUMN_UUID:
		uuid_format((const struct uuid *)in->bytes[row].data, text);
		n = 36;
		break;
	}
	void *copy = arena_copy(c->arena, text, (size_t)n);
	*ret = bytes_of(copy, (size_t)n);
	return copy;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool to_integer(enum column_type type, const struct vec *in, uint32_t i, int64_t *ret)
{
	switch (in->type) {
	case COLUMN_BOOL: *ret = in->booleans[i]; return true;
	case COLUMN_INT32:
	case COLUMN_INT64: *ret = in->integers[i]; return integer_fits(type, *ret);
	case COLUMN_TIMESTAMP: *ret = floor_div(in->integers[i], 1000); return integer_fits(type, *ret);
	case COLUMN_DOUBLE: return real_to_integer(type, in->reals[i], ret);
	case COLUMN_TEXT: return text_to_integer(type, in->bytes[i], ret);
	default: return false;
	}
}

static bool to_real(const struct vec *in, uint32_t i, double *ret)
{
	switch (in->type) {
	case COLUMN_BOOL: *ret = in->booleans[i]; return true;
	case COLUMN_INT32:
	case COLUMN_INT64: *ret = (double)in->integers[i]; return true;
	case COLUMN_TIMESTAMP: *ret = (double)in->integers[i] / 1000; return true;
	case COLUMN_TEXT: return text_to_real(in->bytes[i], ret);
	default: return false;
	}
}

static bool to_bool(const struct vec *in, uint32_t i, uint8_t *ret)
{
	if (in->type == COLUMN_TEXT)
		return text_to_bool(in->bytes[i], ret);
	*ret = in->type == COLUMN_DOUBLE ? in->reals[i] != 0 : in->integers[i] != 0;
	return true;
}

static bool to_timestamp(const struct vec *in, uint32_t i, int64_t *ret)
{
	if (in->type == COLUMN_TEXT)
		return sql__parse_timestamp(in->bytes[i], ret);
	return !__builtin_mul_overflow(in->integers[i], (int64_t)1000, ret);
}

static bool to_uuid(struct eval *c, const struct vec *in, uint32_t i, struct bytes *ret)
{
	struct uuid u;
	if (uuid_parse((const char *)in->bytes[i].data, in->bytes[i].size, &u))
		return false;
	void *copy = arena_copy(c->arena, u.bytes, 16);
	*ret = bytes_of(copy, 16);
	return copy;
}

enum sm_err sql__cast(const struct expr *e, struct eval *c, const struct vec *in, uint32_t n, struct vec *out)
{
	enum column_type from = in->type, to = e->type;
	enum sm_err err;
	if (from == to || (from == COLUMN_INT32 && to == COLUMN_INT64) ||
	    (to == COLUMN_BLOB && (from == COLUMN_TEXT || from == COLUMN_UUID))) {
		*out = *in; /* held alike */
		out->type = to;
		return SM_OK;
	}
	if ((err = vec_new(c, to, n, false, out)))
		return err;
	out->null = in->null;
	for (uint32_t i = 0; i < n; i++) {
		bool ok = true;
		if (in->null && in->null[i])
			continue;
		switch (to) {
		case COLUMN_BOOL: ok = to_bool(in, i, &out->booleans[i]); break;
		case COLUMN_INT32:
		case COLUMN_INT64: ok = to_integer(to, in, i, &out->integers[i]); break;
		case COLUMN_DOUBLE: ok = to_real(in, i, &out->reals[i]); break;
		case COLUMN_TEXT: ok = to_text(c, in, i, &out->bytes[i]); break;
		case COLUMN_UUID: ok = to_uuid(c, in, i, &out->bytes[i]); break;
		case COLUMN_TIMESTAMP: ok = to_timestamp(in, i, &out->integers[i]); break;
		case COLUMN_BLOB: ok = false; break;
		}
		if (!ok && arena_error(c->arena) && (to == COLUMN_TEXT))
			return sm_fail(c->reterr, SM_NO_MEMORY, "an expression needs too much memory for one batch");
		if (!ok)
			return fail_cast(e, c, in, i);
	}
	return SM_OK;
}
