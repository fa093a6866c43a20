#include "cluster/schedule.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool digits(const char **at, const char *end, unsigned count, unsigned *ret)
{
	unsigned n = 0;
	for (unsigned i = 0; i < count; i++, ++*at) {
		if (*at >= end || !isdigit((unsigned char)**at))
			return false;
		n = n * 10 + (unsigned)(**at - '0');
	}
	*ret = n;
	return true;
}

static bool one(const char **at, const char *end, char c)
{
	if (*at >= end || **at != c)
		return false;
	++*at;
	return true;
}

static enum sm_err time_parse(const char *text, size_t size, int64_t *ret_local_ms, int64_t *ret_offset_ms)
{
	const char *at = text, *end = text + size;
	unsigned year, month, day, hour = 0, minute = 0, second = 0, ms = 0;
	if (!digits(&at, end, 4, &year) || !one(&at, end, '-') || !digits(&at, end, 2, &month) || !one(&at, end, '-') ||
	    !digits(&at, end, 2, &day))
		return SM_INVALID;
	if (one(&at, end, 'T')) {
		if (!digits(&at, end, 2, &hour) || !one(&at, end, ':') || !digits(&at, end, 2, &minute))
			return SM_INVALID;
		if (one(&at, end, ':') && !digits(&at, end, 2, &second))
			return SM_INVALID;
		if (one(&at, end, '.')) {
			unsigned scale = 100;
			if (at >= end || !isdigit((unsigned char)*at))
				return SM_INVALID;
			for (; at < end && isdigit((unsigned char)*at); at++, scale /= 10)
				ms += (unsigned)(*at - '0') * scale;
		}
	}
	int64_t offset = 0;
	if (at < end && (*at == '+' || *at == '-')) {
		bool west = *at++ == '-';
		unsigned hours, minutes;
		if (!digits(&at, end, 2, &hours) || (one(&at, end, ':'), !digits(&at, end, 2, &minutes)) || hours > 18 || minutes > 59)
			return SM_INVALID;
		offset = (west ? -1 : 1) * (int64_t)(hours * 60 + minutes) * 60000;
	} else {
		one(&at, end, 'Z');
	}
	if (at != end || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
		return SM_INVALID;
	struct civil c = {.year = (int32_t)year,
			  .month = (uint8_t)month,
			  .day = (uint8_t)day,
			  .hour = (uint8_t)hour,
			  .minute = (uint8_t)minute,
			  .second = (uint8_t)second,
			  .ms = (uint16_t)ms};
	int64_t t = civil_to_ms(&c);
	/* The 31st of February would silently be the 3rd of March. */
	if (civil_of_ms(t).month != month)
		return SM_INVALID;
	*ret_local_ms = t;
	*ret_offset_ms = offset;
	return SM_OK;
}

enum sm_err cluster__time_parse(const char *text, size_t size, int64_t *ret_ms)
{
	int64_t local, offset;
	enum sm_err err = time_parse(text, size, &local, &offset);
	if (!err)
		*ret_ms = local - offset;
	return err;
}

enum sm_err cluster__time_parse_local(const char *text, size_t size, int64_t *ret_local_ms)
{
	int64_t offset;
	return time_parse(text, size, ret_local_ms, &offset);
}

/* P1Y2M3W4DT5H6M7S */
static bool period_parse(const char *p, struct schedule *s)
{
	static const char date_units[] = "YMWD", time_units[] = "HMS";
	static const int64_t time_ms[] = {3600000, 60000, 1000};
	bool time = false, any = false;
	if (*p++ != 'P')
		return false;
	while (*p) {
		if (*p == 'T' && !time) {
			time = true;
			p++;
			continue;
		}
		char *end;
		if (!isdigit((unsigned char)*p))
			return false;
		long n = strtol(p, &end, 10);
		const char *unit = *end ? strchr(time ? time_units : date_units, *end) : NULL;
		if (!unit || n > 1000000)
			return false;
		if (time)
			s->period_ms += n * time_ms[unit - time_units];
		else if (*unit == 'Y')
			s->months += (int32_t)n * 12;
		else if (*unit == 'M')
			s->months += (int32_t)n;
		else
			s->days += (int32_t)n * (*unit == 'W' ? 7 : 1);
		any = true;
		p = end + 1;
	}
	return any && (s->months > 0 || s->days > 0 || s->period_ms > 0);
}

static enum sm_err start_parse(const char *text, size_t size, const struct zone *zone, int64_t *ret_ms)
{
	if (!zone)
		return cluster__time_parse(text, size, ret_ms);
	int64_t local;
	enum sm_err err = cluster__time_parse_local(text, size, &local);
	if (!err)
		*ret_ms = zone_utc_ms(zone, local);
	return err;
}

enum sm_err cluster__schedule_parse(const char *text, const struct zone *zone, int64_t now_ms, struct schedule *ret,
				    struct sm_error *reterr)
{
	struct schedule s = {.repeats = -1, .zone = zone};
	const char *start = strchr(text, '/'), *period = start ? strchr(start + 1, '/') : NULL;
	if (*text != 'R' || !period)
		return sm_fail(reterr, SM_INVALID, "schedule '%s': write R[n]/start/period, as R/2026-01-01T00:00:00Z/PT1H", text);
	if (start != text + 1) {
		char *end;
		s.repeats = strtoll(text + 1, &end, 10);
		if (end != start || !isdigit((unsigned char)text[1]))
			return sm_fail(reterr, SM_INVALID, "schedule '%s': '%.*s' is no number of repetitions", text, (int)(start - text),
				       text);
	}
	if (period == start + 1)
		s.start_ms = now_ms - 1000;
	else if (start_parse(start + 1, (size_t)(period - start - 1), zone, &s.start_ms) || s.start_ms < 0)
		return sm_fail(reterr, SM_INVALID, "schedule '%s': '%.*s' is no time from 1970 on, as 2026-01-01T00:00:00Z", text,
			       (int)(period - start - 1), start + 1);
	if (!period_parse(period + 1, &s))
		return sm_fail(reterr, SM_INVALID, "schedule '%s': '%s' is no period, as PT1H or P1D", text, period + 1);
	*ret = s;
	return SM_OK;
}

static int64_t add_months(int64_t ms, int32_t months)
{
	static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct civil c = civil_of_ms(ms);
	int32_t month = c.year * 12 + c.month - 1 + months;
	c.year = month / 12;
	c.month = (uint8_t)(month % 12 + 1);
	bool leap = (c.year % 4 == 0 && c.year % 100 != 0) || c.year % 400 == 0;
	uint8_t length = (uint8_t)(lengths[c.month - 1] + (c.month == 2 && leap));
	if (c.day > length)
		c.day = length;
	return civil_to_ms(&c);
}

void cluster__schedule_advance(struct schedule *s, int64_t now_ms)
{
	if (s->repeats > 0)
		s->repeats--;
	if (!s->months && !s->days) {
		int64_t behind = now_ms >= s->start_ms ? (now_ms - s->start_ms) / s->period_ms : 0;
		s->start_ms += (behind + 1) * s->period_ms;
		return;
	}
	do {
		int64_t local = add_months(zone_local_ms(s->zone, s->start_ms), s->months) + s->days * 86400000ll;
		s->start_ms = zone_utc_ms(s->zone, local) + s->period_ms;
	} while (s->start_ms <= now_ms);
}

/* "+01:00" in place of the Z of a time that civil_format has written. */
static void put_offset(char *when, int32_t offset_s)
{
	int32_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
	char *z = strchr(when, 'Z');
	if (z && offset_s)
		snprintf(z, 8, "%c%02d:%02d", offset_s < 0 ? '-' : '+', (int)(minutes / 60 % 24), (int)(minutes % 60));
}

void cluster__schedule_format(const struct schedule *s, const char *period, char *out, size_t size)
{
	char when[40], count[24] = "";
	civil_format(zone_local_ms(s->zone, s->start_ms), when);
	put_offset(when, zone_offset_s(s->zone, s->start_ms));
	if (s->repeats >= 0)
		snprintf(count, sizeof count, "%lld", (long long)s->repeats);
	snprintf(out, size, "R%s/%s/%s", count, when, period);
}
