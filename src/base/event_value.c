/* Texts of events as values: UUIDs, times, numbers. */
#include "base/clock.h"
#include "base/event_internal.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- UUID: 16 characters at a time ---- */

typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef uint64_t u64x2 __attribute__((vector_size(16)));

/* 16 hexadecimal digits to 8 values of 8 bits in the low halves of 16-bit lanes; not all digits: *bad gets bits. */
static inline u16x8 hex16(uint64_t first, uint64_t last, u8x16 *bad)
{
	u8x16 c = (u8x16)(u64x2){first, last};
	u8x16 digit = c - '0', letter = (c | 0x20) - 'a';
	u8x16 is_digit = (u8x16)(digit <= 9), is_letter = (u8x16)(letter <= 5);
	*bad |= ~(is_digit | is_letter);
	u16x8 nibbles = (u16x8)((digit & is_digit) | ((letter + 10) & is_letter));
	return (nibbles << 4 | nibbles >> 8) & 0xff; /* the first character is the high half, and the lane's low byte */
}

static inline uint64_t load4(const uint8_t *at)
{
	uint32_t v;
	memcpy(&v, at, 4);
	return v;
}

/* The digits are put together in registers: read back from memory they would have to wait for their pieces to be written. */
bool base__uuid_scan(const uint8_t text[36], uint8_t out[16])
{
	u8x16 bad = {0};
	u16x8 high = hex16(lex_load8(text), load4(text + 9) | load4(text + 14) << 32, &bad);
	u16x8 low = hex16(load4(text + 19) | load4(text + 24) << 32, lex_load8(text + 28), &bad);
	u64x2 any = (u64x2)bad;
	if ((any[0] | any[1]) || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
		return false;
	u8x16 packed = __builtin_shufflevector((u8x16)high, (u8x16)low, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	memcpy(out, &packed, 16);
	return true;
}

/* ---- time: RFC 3339, section 5.6 ---- */

/* Two digits, at most max; -1: not. */
static int two(const uint8_t *at, int max)
{
	uint8_t tens = (uint8_t)(at[0] - '0'), ones = (uint8_t)(at[1] - '0');
	int v = tens * 10 + ones;
	return tens > 9 || ones > 9 || v > max ? -1 : v;
}

static int month_days(int year, int month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return days[month - 1] + (month == 2 && (year % 4 == 0) && (year % 100 != 0 || year % 400 == 0));
}

/* "Z" or "+01:00" to minutes. */
static bool zone(const uint8_t *at, const uint8_t *end, int *ret_minutes)
{
	if (end - at == 1 && (*at | 0x20) == 'z') {
		*ret_minutes = 0;
		return true;
	}
	if (end - at != 6 || (*at != '+' && *at != '-') || at[3] != ':')
		return false;
	int hour = two(at + 1, 23), minute = two(at + 4, 59);
	*ret_minutes = (hour * 60 + minute) * (*at == '-' ? -1 : 1);
	return hour >= 0 && minute >= 0;
}

bool schema_date_time(struct bytes text, int64_t *ret_ms)
{
	const uint8_t *t = text.data, *end = text.data + text.size;
	if (text.size < 20 || t[4] != '-' || t[7] != '-' || (t[10] | 0x20) != 't' || t[13] != ':' || t[16] != ':')
		return false;
	int century = two(t, 99), years = two(t + 2, 99), month = two(t + 5, 12), day = two(t + 8, 31);
	int hour = two(t + 11, 23), minute = two(t + 14, 59), second = two(t + 17, 60), minutes;
	if (century < 0 || years < 0 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0)
		return false;
	int year = century * 100 + years;
	if (day > month_days(year, month))
		return false;
	const uint8_t *at = t + 19;
	int ms = 0;
	if (*at == '.') {
		const uint8_t *first = ++at;
		for (int scale = 100; at < end && (uint8_t)(*at - '0') <= 9; at++, scale /= 10)
			ms += (*at - '0') * scale; /* beyond milliseconds the scale is 0 */
		if (at == first)
			return false;
	}
	if (!zone(at, end, &minutes) || (second == 60 && (60 + minute - minutes % 60) % 60 != 59))
		return false; /* a leap second ends an hour of UTC */
	struct civil c = {.year = year,
			  .month = (uint8_t)month,
			  .day = (uint8_t)day,
			  .hour = (uint8_t)hour,
			  .minute = (uint8_t)minute,
			  .second = (uint8_t)second,
			  .ms = (uint16_t)ms};
	*ret_ms = civil_to_ms(&c) - minutes * 60000LL;
	return true;
}

/* ---- numbers ---- */

/* The exponent behind an e; far out of every range it stays there. */
static int64_t exponent_of(const uint8_t *at, const uint8_t *end)
{
	bool negative = at < end && *at == '-';
	int64_t v = 0;
	if (at < end && (*at == '-' || *at == '+'))
		at++;
	for (; at < end; at++)
		v = v < 1000000000 ? v * 10 + (*at - '0') : v;
	return negative ? -v : v;
}

/* Significant digits without leading or trailing zeros, and the power of ten of the last one. */
struct decimal {
	bool negative, too_long;
	uint64_t digits; /* of at most 19 */
	int64_t exponent;
};

static struct decimal decimal_of(struct bytes text)
{
	const uint8_t *at = text.data, *end = at + text.size;
	struct decimal d = {.negative = *at == '-'};
	int64_t zeros = 0, count = 0, fraction = 0; /* zeros: seen, but not yet known to be inside */
	bool point = false;
	for (at += d.negative; at < end && (*at | 0x20) != 'e'; at++) {
		if (*at == '.') {
			point = true;
			continue;
		}
		fraction += point;
		if (*at == '0') {
			zeros += count > 0;
			continue;
		}
		count += zeros + 1;
		if (count > 19) {
			d.too_long = true;
			return d;
		}
		for (; zeros > 0; zeros--)
			d.digits *= 10;
		d.digits = d.digits * 10 + (uint64_t)(*at - '0');
	}
	d.exponent = zeros - fraction + (at < end ? exponent_of(at + 1, end) : 0);
	return d;
}

bool base__integer_scan(struct bytes digits, int64_t *ret_value)
{
	struct decimal d = decimal_of(digits);
	if (d.too_long || (d.digits && (d.exponent < 0 || d.exponent > 18)))
		return false;
	uint64_t v = d.digits;
	for (int64_t i = 0; v && i < d.exponent; i++) {
		if (__builtin_mul_overflow(v, 10ull, &v))
			return false;
	}
	if (v > (uint64_t)INT64_MAX + d.negative)
		return false;
	*ret_value = d.negative ? (int64_t)-v : (int64_t)v;
	return true;
}

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;
static void c_locale_make(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool base__double_scan(struct bytes digits, double *ret_value)
{
	static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
					1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	struct decimal d = decimal_of(digits);
	/* Both exact in a double, so one rounding: Clinger's fast path. */
	if (!d.too_long && d.digits <= 1ull << 53 && d.exponent >= -22 && d.exponent <= 22) {
		double v = (double)d.digits;
		v = d.exponent < 0 ? v / powers[-d.exponent] : v * powers[d.exponent];
		*ret_value = d.negative ? -v : v;
		return true;
	}
	pthread_once(&c_locale_once, c_locale_make);
	double v = c_locale ? strtod_l((const char *)digits.data, NULL, c_locale) : strtod((const char *)digits.data, NULL);
	*ret_value = v;
	return isfinite(v);
}
