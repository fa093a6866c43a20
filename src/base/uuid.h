/* UUIDs (RFC 9562). */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include "base/bytes.h"
#include "base/clock.h"

struct uuid {
	uint8_t bytes[16];
};
/* Text of 36 characters, either case. */
SM_MUST_CHECK enum sm_err uuid_parse(const char *text, size_t size, struct uuid *ret_uuid);
void uuid_format(const struct uuid *uuid, char out[37]);
/* Version 4, from the system's random numbers. */
void uuid_random(struct uuid *ret_uuid);
/* Version 1: unique in this process and increasing with time. */
void uuid_time(struct clock *clock, struct uuid *ret_uuid);
static inline int uuid_version(const struct uuid *u)
{
	return u->bytes[6] >> 4;
}
int64_t uuid_time_ms(const struct uuid *uuid); /* of version 1 */
/* Random bytes from getrandom(2). */
void random_bytes(void *out, size_t size);

#endif
