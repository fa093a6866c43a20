/* Checksums and hashes, each exactly as the protocol that uses it computes it. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

/* CRC-32C (Castagnoli), as in Kafka's record batch v2. start 0; chains: crc32c(crc32c(0, a), b). */
uint32_t crc32c(uint32_t start, const void *data, size_t size);
/* MurmurHash2 with Kafka's default partitioner's seed; a partition is (murmur2(key) & 0x7fffffff) % partitions. */
uint32_t murmur2(const void *data, size_t size);
/* The token of Cassandra's Murmur3Partitioner: the first half of MurmurHash3 x64 128 with signed tail bytes;
 * INT64_MIN becomes INT64_MAX. An empty key has the token INT64_MIN. */
int64_t murmur3_token(const void *data, size_t size);
/* A fast hash for tables in memory; not stable across versions. */
uint64_t hash64(const void *data, size_t size);

#endif
