/* Calendar: days since 1970 to year, month, day by shifting the year's start to March, so that the leap day is the last of a year
 * (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

static uint64_t system_wall_us(struct clock *clock)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t system_monotonic_ns(struct clock *clock)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct clock clock_system = {system_wall_us, system_monotonic_ns};

static uint64_t manual_wall_us(struct clock *clock)
{
	return ((struct clock_manual *)clock)->now_us;
}

static uint64_t manual_monotonic_ns(struct clock *clock)
{
	return ((struct clock_manual *)clock)->now_us * 1000;
}

void clock_manual_init(struct clock_manual *clock, uint64_t now_us)
{
	*clock = (struct clock_manual){{manual_wall_us, manual_monotonic_ns}, now_us};
}

void clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

bool clock_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns)
{
	struct timespec at = {(time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000)};
	return pthread_cond_timedwait(cond, lock, &at) != ETIMEDOUT;
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

struct civil civil_of_ms(int64_t ms)
{
	int64_t days = floor_div(ms, 86400000);
	int32_t rest = (int32_t)((uint64_t)ms - (uint64_t)days * 86400000); /* the first day of all begins before INT64_MIN */
	int64_t z = days + 719468;
	int64_t era = floor_div(z, 146097);
	int32_t doe = (int32_t)(z - era * 146097);
	int32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int32_t mp = (5 * doy + 2) / 153;
	struct civil c;
	c.day = (uint8_t)(doy - (153 * mp + 2) / 5 + 1);
	c.month = (uint8_t)(mp < 10 ? mp + 3 : mp - 9);
	c.year = (int32_t)(yoe + era * 400 + (c.month <= 2));
	c.hour = (uint8_t)(rest / 3600000);
	c.minute = (uint8_t)(rest / 60000 % 60);
	c.second = (uint8_t)(rest / 1000 % 60);
	c.ms = (uint16_t)(rest % 1000);
	return c;
}

int64_t civil_to_ms(const struct civil *c)
{
	int64_t y = c->year - (c->month <= 2);
	int64_t era = floor_div(y, 400);
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (c->month + (c->month > 2 ? -3 : 9)) + 2) / 5 + c->day - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	int64_t days = era * 146097 + doe - 719468;
	return days * 86400000 + c->hour * 3600000LL + c->minute * 60000LL + c->second * 1000LL + c->ms;
}

size_t civil_format(int64_t ms, char *out)
{
	struct civil c = civil_of_ms(ms);
	int n = snprintf(out, 32, "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", (int)c.year, c.month, c.day, c.hour, c.minute, c.second, c.ms);
	return n < 0 ? 0 : (size_t)n;
}
