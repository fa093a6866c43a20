/* Dates, times and durations as text. Timestamps without a zone are UTC. */
#include "cql/cql_internal.h"

#include <stdio.h>
#include <string.h>

#define DAY_NS 86400000000000

struct scan {
	const uint8_t *at, *end;
};

static bool digits(struct scan *s, int least, int most, int64_t *ret)
{
	int n = 0;
	int64_t v = 0;
	while (s->at < s->end && n < most && *s->at >= '0' && *s->at <= '9') {
		v = v * 10 + (*s->at++ - '0');
		n++;
	}
	*ret = v;
	return n >= least;
}

static bool skip(struct scan *s, char c)
{
	if (s->at == s->end || *s->at != (uint8_t)c)
		return false;
	s->at++;
	return true;
}

static bool civil_date(struct scan *s, struct civil *c)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t year, month, day;
	bool negative = skip(s, '-');
	if (!negative)
		skip(s, '+');
	if (!digits(s, 1, 7, &year) || !skip(s, '-') || !digits(s, 1, 2, &month) || !skip(s, '-') || !digits(s, 1, 2, &day))
		return false;
	if (negative)
		year = -year;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (month < 1 || month > 12 || day < 1 || day > days[month - 1] + (month == 2 && leap))
		return false;
	*c = (struct civil){.year = (int32_t)year, .month = (uint8_t)month, .day = (uint8_t)day};
	return true;
}

/* hh:mm[:ss[.fraction]]; the fraction is given in nanoseconds. */
static bool day_time(struct scan *s, int64_t *ret_ns)
{
	int64_t hour, minute, second = 0, fraction = 0;
	if (!digits(s, 1, 2, &hour) || !skip(s, ':') || !digits(s, 2, 2, &minute))
		return false;
	if (skip(s, ':')) {
		if (!digits(s, 2, 2, &second))
			return false;
		if (skip(s, '.')) {
			const uint8_t *start = s->at;
			if (!digits(s, 1, 9, &fraction))
				return false;
			for (int64_t n = s->at - start; n < 9; n++)
				fraction *= 10;
		}
	}
	*ret_ns = ((hour * 60 + minute) * 60 + second) * 1000000000 + fraction;
	return hour < 24 && minute < 60 && second < 60;
}

/* Z, UTC, GMT, +hh, +hhmm, +hh:mm, a space before it allowed; nothing: UTC. */
static bool zone(struct scan *s, int64_t *ret_ms)
{
	*ret_ms = 0;
	skip(s, ' ');
	if (s->at == s->end)
		return true;
	if (skip(s, 'Z') || skip(s, 'z'))
		return s->at == s->end;
	if (s->end - s->at == 3 && (memcmp(s->at, "UTC", 3) == 0 || memcmp(s->at, "GMT", 3) == 0))
		return true;
	int sign = *s->at == '-' ? -1 : 1;
	int64_t hours, minutes = 0;
	if ((!skip(s, '+') && !skip(s, '-')) || !digits(s, 2, 2, &hours))
		return false;
	skip(s, ':');
	if (s->at < s->end && !digits(s, 2, 2, &minutes))
		return false;
	*ret_ms = sign * (hours * 60 + minutes) * 60000;
	return s->at == s->end && hours < 24 && minutes < 60;
}

enum sm_err cql__timestamp_of_text(struct bytes text, int64_t *ret_ms)
{
	struct scan s = {text.data, text.data + text.size};
	struct civil c;
	int64_t ns = 0, offset_ms;
	bool all_digits = text.size > 0;
	for (size_t i = 0; i < text.size; i++)
		all_digits &= (text.data[i] >= '0' && text.data[i] <= '9') || (i == 0 && text.data[i] == '-' && text.size > 1);
	if (all_digits) { /* milliseconds, in quotes */
		bool negative = skip(&s, '-');
		if (!digits(&s, 1, 18, ret_ms) || s.at != s.end)
			return SM_SYNTAX;
		if (negative)
			*ret_ms = -*ret_ms;
		return SM_OK;
	}
	if (!civil_date(&s, &c))
		return SM_SYNTAX;
	if (s.end - s.at > 1 && (*s.at == 'T' || *s.at == ' ') && s.at[1] >= '0' && s.at[1] <= '9') {
		s.at++;
		if (!day_time(&s, &ns))
			return SM_SYNTAX;
	}
	if (!zone(&s, &offset_ms))
		return SM_SYNTAX;
	*ret_ms = civil_to_ms(&c) + ns / 1000000 - offset_ms;
	return SM_OK;
}

enum sm_err cql__date_of_text(struct bytes text, uint32_t *ret_days)
{
	struct scan s = {text.data, text.data + text.size};
	struct civil c;
	int64_t number;
	if (digits(&s, 1, 10, &number) && s.at == s.end && number <= UINT32_MAX) { /* the days as they are stored */
		*ret_days = (uint32_t)number;
		return SM_OK;
	}
	s.at = text.data;
	if (!civil_date(&s, &c) || s.at != s.end)
		return SM_SYNTAX;
	int64_t days = civil_to_ms(&c) / 86400000 + ((int64_t)1 << 31);
	if (days < 0 || days > UINT32_MAX)
		return SM_OUT_OF_RANGE;
	*ret_days = (uint32_t)days;
	return SM_OK;
}

enum sm_err cql__time_of_text(struct bytes text, int64_t *ret_ns)
{
	struct scan s = {text.data, text.data + text.size};
	int64_t hour, minute, second, fraction = 0;
	if (digits(&s, 1, 15, ret_ns) && s.at == s.end) /* nanoseconds in quotes */
		return *ret_ns < DAY_NS ? SM_OK : SM_SYNTAX;
	s.at = text.data;
	if (!digits(&s, 1, 2, &hour) || !skip(&s, ':') || !digits(&s, 1, 2, &minute) || !skip(&s, ':') || !digits(&s, 1, 2, &second))
		return SM_SYNTAX;
	if (skip(&s, '.')) {
		const uint8_t *start = s.at;
		if (!digits(&s, 1, 9, &fraction))
			return SM_SYNTAX;
		for (int64_t n = s.at - start; n < 9; n++)
			fraction *= 10;
	}
	*ret_ns = ((hour * 60 + minute) * 60 + second) * 1000000000 + fraction;
	return s.at == s.end && hour < 24 && minute < 60 && second < 60 ? SM_OK : SM_SYNTAX;
}

/* ---- durations: months, days and nanoseconds, as three signed variable-length integers (native protocol v5, 6.9) ---- */

struct building {
	struct cql_duration d;
	int last; /* the unit before, from years on; -1: none yet */
	struct cql_problem *why;
};

static bool too_many(struct building *b, const char *what, const char *most)
{
	snprintf(b->why->text, sizeof b->why->text, "Invalid duration. The total number of %s must be less or equal to %s", what, most);
	return false;
}

static bool add_unit(struct building *b, int64_t n, const char *unit, size_t size)
{
	static const struct {
		const char *name, *plural;
		int64_t months, days, ns;
		int rank;
	} units[] = {{"y", "years", 12, 0, 0, 0},
		     {"mo", "months", 1, 0, 0, 1},
		     {"w", "weeks", 0, 7, 0, 2},
		     {"d", "days", 0, 1, 0, 3},
		     {"h", "hours", 0, 0, 3600000000000, 4},
		     {"m", "minutes", 0, 0, 60000000000, 5},
		     {"s", "seconds", 0, 0, 1000000000, 6},
		     {"ms", "milliseconds", 0, 0, 1000000, 7},
		     {"us", "microseconds", 0, 0, 1000, 8},
		     {"ns", "nanoseconds", 0, 0, 1, 9},
		     {"\xc2\xb5s", "microseconds", 0, 0, 1000, 8}};
	size_t i = 0;
	while (i < sizeof units / sizeof units[0] && (strlen(units[i].name) != size || strncasecmp(units[i].name, unit, size) != 0))
		i++;
	if (i == sizeof units / sizeof units[0])
		return false;
	if (units[i].rank == b->last)
		snprintf(b->why->text, sizeof b->why->text, "Invalid duration. The %s are specified multiple times", units[i].plural);
	else if (units[i].rank < b->last)
		snprintf(b->why->text, sizeof b->why->text, "Invalid duration. The %s should be after %s", units[b->last].plural,
			 units[i].plural);
	if (units[i].rank <= b->last)
		return false;
	b->last = units[i].rank;
	struct cql_duration *d = &b->d;
	int64_t months, days, ns;
	if (__builtin_mul_overflow(n, units[i].months, &months) || months + d->months > INT32_MAX)
		return too_many(b, "months", "2147483647");
	if (__builtin_mul_overflow(n, units[i].days, &days) || days + d->days > INT32_MAX)
		return too_many(b, "days", "2147483647");
	if (__builtin_mul_overflow(n, units[i].ns, &ns) || __builtin_add_overflow(d->ns, ns, &d->ns))
		return too_many(b, "nanoseconds", "9223372036854775807");
	d->months += (int32_t)months;
	d->days += (int32_t)days;
	return true;
}

static bool iso_duration(struct scan *s, struct building *b)
{
	bool time = false;
	int64_t n;
	if (s->end - s->at == 19) { /* 0001-02-03T04:05:06 */
		int64_t v[6];
		for (int i = 0; i < 6; i++) {
			if (!digits(s, i ? 2 : 4, i ? 2 : 4, &v[i]))
				return false;
			if (i < 5 && !skip(s, "--T::"[i]) && !skip(s, "--t::"[i]))
				return false;
		}
		b->d = (struct cql_duration){(int32_t)(v[0] * 12 + v[1]), (int32_t)v[2], ((v[3] * 60 + v[4]) * 60 + v[5]) * 1000000000};
		return true;
	}
	while (s->at < s->end) {
		if (skip(s, 'T') || skip(s, 't')) {
			time = true;
			continue;
		}
		if (!digits(s, 1, 15, &n) || s->at == s->end)
			return false;
		const char *unit = (const char *)s->at++;
		bool month = (*unit | 32) == 'm' && !time;
		if (!add_unit(b, n, month ? "mo" : unit, month ? 2 : 1))
			return false;
	}
	return true;
}

enum sm_err cql__duration_of_text(struct bytes text, struct cql_duration *ret_duration, struct cql_problem *ret_why)
{
	struct scan s = {text.data, text.data + text.size};
	struct building b = {.last = -1, .why = ret_why};
	bool negative = skip(&s, '-');
	ret_why->text[0] = 0;
	if (s.at == s.end)
		return SM_SYNTAX;
	if (skip(&s, 'P') || skip(&s, 'p')) {
		if (!iso_duration(&s, &b))
			return SM_SYNTAX;
	} else {
		while (s.at < s.end) {
			int64_t n;
			if (!digits(&s, 1, 18, &n))
				return SM_SYNTAX;
			const uint8_t *unit = s.at;
			while (s.at < s.end && (*s.at < '0' || *s.at > '9'))
				s.at++;
			if (!add_unit(&b, n, (const char *)unit, (size_t)(s.at - unit)))
				return SM_SYNTAX;
		}
	}
	if (negative)
		b.d = (struct cql_duration){-b.d.months, -b.d.days, -b.d.ns};
	*ret_duration = b.d;
	return SM_OK;
}

/* Cassandra's variable-length integers: the first byte's leading ones count the bytes that follow. */
static size_t vint_put(uint8_t *out, int64_t value)
{
	uint64_t v = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
	int extra = 0;
	while (extra < 8 && v >> (7 * (extra + 1)))
		extra++;
	for (int i = extra; i >= 0; i--)
		out[extra - i] = i >= 8 ? 0 : (uint8_t)(v >> (8 * i));
	if (extra)
		out[0] |= (uint8_t) ~(0xff >> extra);
	return (size_t)extra + 1;
}

static bool vint_get(struct byte_reader *r, int64_t *ret)
{
	uint8_t first = reader_u8(r);
	int extra = first == 0xff ? 8 : __builtin_clz((unsigned)(uint8_t)~first << 24);
	uint64_t v = extra >= 7 ? 0 : first & (0x7f >> extra);
	const uint8_t *more = reader_take(r, (size_t)extra);
	for (int i = 0; more && i < extra; i++)
		v = v << 8 | more[i];
	*ret = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
	return !r->failed;
}

struct store_cell cql__duration_cell(const struct cql_duration *d, struct arena *arena)
{
	uint8_t out[27];
	size_t n = vint_put(out, d->months);
	n += vint_put(out + n, d->days);
	n += vint_put(out + n, d->ns);
	return cql__cell(arena, out, n);
}

enum sm_err cql__duration_of_cell(struct store_cell cell, struct cql_duration *ret_duration)
{
	struct byte_reader r = byte_reader(bytes_of(cell.data, cell.size > 0 ? (size_t)cell.size : 0));
	int64_t months, days, ns;
	if (!vint_get(&r, &months) || !vint_get(&r, &days) || !vint_get(&r, &ns) || reader_left(&r))
		return SM_CORRUPT;
	if (months != (int32_t)months || days != (int32_t)days)
		return SM_OUT_OF_RANGE;
	*ret_duration = (struct cql_duration){(int32_t)months, (int32_t)days, ns};
	return SM_OK;
}
