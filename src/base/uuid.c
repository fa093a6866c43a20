#include "base/uuid.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t size)
{
	uint8_t *p = out;
	while (size) {
		ssize_t n = getrandom(p, size, 0);
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		} /* else it was interrupted: nothing else can fail here */
	}
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum sm_err uuid_parse(const char *text, size_t size, struct uuid *ret_uuid)
{
	struct uuid u;
	if (size != 36)
		return SM_INVALID;
	for (size_t i = 0, n = 0; i < 36;) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i++] != '-')
				return SM_INVALID;
			continue;
		}
		int high = hex(text[i]), low = hex(text[i + 1]);
		if (high < 0 || low < 0)
			return SM_INVALID;
		u.bytes[n++] = (uint8_t)(high << 4 | low);
		i += 2;
	}
	*ret_uuid = u;
	return SM_OK;
}

void uuid_format(const struct uuid *uuid, char out[37])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		out[n++] = digits[uuid->bytes[i] >> 4];
		out[n++] = digits[uuid->bytes[i] & 15];
	}
	out[n] = 0;
}

void uuid_random(struct uuid *ret_uuid)
{
	random_bytes(ret_uuid->bytes, 16);
	ret_uuid->bytes[6] = (uint8_t)((ret_uuid->bytes[6] & 0x0f) | 0x40);
	ret_uuid->bytes[8] = (uint8_t)((ret_uuid->bytes[8] & 0x3f) | 0x80);
}

#define GREGORIAN_TO_UNIX_100NS 0x01b21dd213814000ULL

void uuid_time(struct clock *clock, struct uuid *ret_uuid)
{
	static _Atomic uint64_t last;
	static _Atomic uint64_t node; /* random, with the multicast bit, as RFC 9562 asks of a made-up node */
	uint64_t own = atomic_load(&node);
	if (!own) {
		uint64_t fresh, none = 0;
		random_bytes(&fresh, sizeof fresh);
		fresh = (fresh & 0x3fffffffffffffffULL) | 0x10000000000ULL;
		own = atomic_compare_exchange_strong(&node, &none, fresh) ? fresh : none;
	}
	uint64_t now = clock_wall_us(clock) * 10 + GREGORIAN_TO_UNIX_100NS, seen = atomic_load(&last), next;
	do {
		next = now > seen ? now : seen + 1;
	} while (!atomic_compare_exchange_weak(&last, &seen, next));
	uint8_t *b = ret_uuid->bytes;
	be32_put(b, (uint32_t)next);
	be16_put(b + 4, (uint16_t)(next >> 32));
	be16_put(b + 6, (uint16_t)((next >> 48 & 0x0fff) | 0x1000));
	be16_put(b + 8, (uint16_t)((own >> 48 & 0x3fff) | 0x8000));
	be16_put(b + 10, (uint16_t)(own >> 32));
	be32_put(b + 12, (uint32_t)own);
}

int64_t uuid_time_ms(const struct uuid *uuid)
{
	const uint8_t *b = uuid->bytes;
	uint64_t t = (uint64_t)(be16_get(b + 6) & 0x0fff) << 48 | (uint64_t)be16_get(b + 4) << 32 | be32_get(b);
	int64_t since = (int64_t)(t - GREGORIAN_TO_UNIX_100NS);
	return since >= 0 ? since / 10000 : -((-since + 9999) / 10000);
}
