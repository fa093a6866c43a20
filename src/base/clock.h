/* Time as a table, so that a test can turn it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

struct clock {
	uint64_t (*wall_us)(struct clock *clock);      /* microseconds since 1970, UTC */
	uint64_t (*monotonic_ns)(struct clock *clock); /* never goes back */
};
extern struct clock clock_system;
struct clock_manual {
	struct clock clock;
	_Atomic uint64_t now_us; /* a test turns it while other threads look */
};
void clock_manual_init(struct clock_manual *clock, uint64_t now_us);
static inline uint64_t clock_wall_us(struct clock *c)
{
	return c->wall_us(c);
}
static inline int64_t clock_wall_ms(struct clock *c)
{
	return (int64_t)(c->wall_us(c) / 1000);
}
static inline uint64_t clock_monotonic_ns(struct clock *c)
{
	return c->monotonic_ns(c);
}

/* A condition whose deadlines are clock_system's monotonic ones; the machine's clock may be set meanwhile. */
void clock_cond_init(pthread_cond_t *cond);
/* false: the deadline has passed. As ever, a wait may end before anything has changed. */
bool clock_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline_ns);
static inline uint64_t clock_deadline_ns(uint64_t from_now_ms)
{
	return clock_monotonic_ns(&clock_system) + from_now_ms * 1000000;
}

/* Civil calendar in UTC, proleptic Gregorian. */
struct civil {
	int32_t year;
	uint8_t month, day, hour, minute, second;
	uint16_t ms;
};
struct civil civil_of_ms(int64_t ms_since_1970);
int64_t civil_to_ms(const struct civil *c);
/* "2019-11-24T00:00:17.004Z"; out has room for 32. */
size_t civil_format(int64_t ms, char *out);

#endif
