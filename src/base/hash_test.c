/* Checksums and hashes against published values and those of the systems that they must agree with. */
#include "base/hash.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static void crc32c_is_castagnoli_of_rfc_3720(void **unused)
{
	uint8_t bytes[32];
	memset(bytes, 0, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void crc32c_chains(void **unused)
{
	static const char text[] = "123456789";
	for (size_t i = 0; i <= 9; i++)
		assert_int_equal(crc32c(crc32c(0, text, i), text + i, 9 - i), 0xe3069283);
}

static void murmur2_is_that_of_kafkas_partitioner(void **unused)
{
	static const struct {
		const char *text;
		int32_t hash;
	} cases[] = {{"21", -973932308},
		     {"foobar", -790332482},
		     {"a-little-bit-long-string", -985981536},
		     {"a-little-bit-longer-string", -1486304829},
		     {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		     {"abc", 479470107},
		     {"", 275646681},
		     {"\xff\xfe\xfd", 998637092}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal((int32_t)murmur2(cases[i].text, strlen(cases[i].text)), cases[i].hash);
}

static void murmur3_is_that_of_cassandras_partitioner(void **unused)
{
	uint8_t bytes[64];
	assert_true(murmur3_token("123", 3) == -7468325962851647638);
	assert_true(murmur3_token("9223372036854775807", 19) == 7162290910810015547);
	memset(bytes, 0xfe, 8);
	assert_true(murmur3_token(bytes, 8) == -8927430733708461935);
	memset(bytes, 0x10, 8);
	assert_true(murmur3_token(bytes, 8) == 1446172840243228796);
	for (int i = 0; i < 50; i++)
		bytes[i] = (uint8_t) "\x00\xff\x10\xfa\x99"[i % 5];
	assert_true(murmur3_token(bytes, 50) == 5837342703291459765);
	/* tails of bytes above 127: added with their sign */
	for (int i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(128 + i);
	assert_true(murmur3_token(bytes, 1) == -5284281814142962636);
	assert_true(murmur3_token(bytes, 15) == 63099782945186636);
	assert_true(murmur3_token(bytes, 16) == 7217206371623098675);
	for (int i = 0; i < 57; i++)
		bytes[i] = (uint8_t)(i < 48 ? 240 + i % 16 : 255);
	assert_true(murmur3_token(bytes, 57) == 5427277121992639309);
	assert_true(murmur3_token(NULL, 0) == INT64_MIN);
}

static void hash64_spreads(void **unused)
{
	uint32_t buckets[256] = {0};
	for (uint32_t i = 0; i < 256 * 64; i++)
		buckets[hash64(&i, sizeof i) & 255]++;
	for (int i = 0; i < 256; i++)
		assert_in_range(buckets[i], 20, 130);
	assert_true(hash64("a", 1) != hash64("a\0", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_is_castagnoli_of_rfc_3720),
		cmocka_unit_test(crc32c_chains),
		cmocka_unit_test(murmur2_is_that_of_kafkas_partitioner),
		cmocka_unit_test(murmur3_is_that_of_cassandras_partitioner),
		cmocka_unit_test(hash64_spreads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
