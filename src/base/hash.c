/* CRC-32C: RFC 3720, by ISA-L. MurmurHash2 and MurmurHash3: Austin Appleby's published algorithms, with the two
 * departures that Kafka and Cassandra made and that their data depends on. */
#include "base/hash.h"
#include <isa-l/crc.h>

uint32_t crc32c(uint32_t start, const void *data, size_t size)
{
	uint32_t crc = ~start;
	const uint8_t *p = data;
	/* ISA-L takes an int. */
	while (size > (1u << 30)) {
		crc = crc32_iscsi((unsigned char *)(uintptr_t)p, 1 << 30, crc);
		p += 1u << 30;
		size -= 1u << 30;
	}
	if (size)
		crc = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)size, crc);
	return ~crc;
}

uint32_t murmur2(const void *data, size_t size)
{
	const uint8_t *p = data;
	const uint32_t m = 0x5bd1e995;
	uint32_t h = 0x9747b28cu ^ (uint32_t)size;
	for (; size >= 4; p += 4, size -= 4) {
		uint32_t k;
		memcpy(&k, p, 4);
		k *= m;
		k ^= k >> 24;
		k *= m;
		h *= m;
		h ^= k;
	}
	switch (size) {
	case 3: h ^= (uint32_t)p[2] << 16; __attribute__((fallthrough));
	case 2: h ^= (uint32_t)p[1] << 8; __attribute__((fallthrough));
	case 1: h ^= p[0]; h *= m;
	}
	h ^= h >> 13;
	h *= m;
	h ^= h >> 15;
	return h;
}

static uint64_t rotl(uint64_t x, int r)
{
	return x << r | x >> (64 - r);
}

static uint64_t fmix(uint64_t k)
{
	k ^= k >> 33;
	k *= 0xff51afd7ed558ccdULL;
	k ^= k >> 33;
	k *= 0xc4ceb9fe1a85ec53ULL;
	return k ^ k >> 33;
}

int64_t murmur3_token(const void *data, size_t size)
{
	if (size == 0)
		return INT64_MIN;
	const uint8_t *p = data;
	const uint64_t c1 = 0x87c37b91114253d5ULL, c2 = 0x4cf5ad432745937fULL;
	uint64_t h1 = 0, h2 = 0, k1 = 0, k2 = 0;
	size_t blocks = size / 16;
	for (size_t i = 0; i < blocks; i++, p += 16) {
		memcpy(&k1, p, 8);
		memcpy(&k2, p + 8, 8);
		h1 ^= rotl(k1 * c1, 31) * c2;
		h1 = (rotl(h1, 27) + h2) * 5 + 0x52dce729;
		h2 ^= rotl(k2 * c2, 33) * c1;
		h2 = (rotl(h2, 31) + h1) * 5 + 0x38495ab5;
	}
	/* Cassandra's Java adds the tail's bytes as signed ones. */
	k1 = k2 = 0;
	const int8_t *t = (const int8_t *)p;
	size_t tail = size & 15;
	for (size_t i = tail; i > 8; i--)
		k2 ^= (uint64_t)(int64_t)t[i - 1] << (8 * (i - 9));
	for (size_t i = tail < 8 ? tail : 8; i > 0; i--)
		k1 ^= (uint64_t)(int64_t)t[i - 1] << (8 * (i - 1));
	if (tail > 8)
		h2 ^= rotl(k2 * c2, 33) * c1;
	if (tail)
		h1 ^= rotl(k1 * c1, 31) * c2;
	h1 ^= size;
	h2 ^= size;
	h1 += h2;
	h2 += h1;
	h1 = fmix(h1);
	h2 = fmix(h2);
	h1 += h2;
	return (int64_t)h1 == INT64_MIN ? INT64_MAX : (int64_t)h1;
}

uint64_t hash64(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t h = 0x9e3779b97f4a7c15ULL ^ size, k;
	for (; size >= 8; p += 8, size -= 8) {
		memcpy(&k, p, 8);
		__uint128_t m = (__uint128_t)(h ^ k) * 0xa0761d6478bd642fULL;
		h = (uint64_t)m ^ (uint64_t)(m >> 64);
	}
	k = 0;
	if (size)
		memcpy(&k, p, size);
	return fmix(h ^ k * 0xe7037ed1a0b428dbULL);
}
