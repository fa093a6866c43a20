#include "log/record_batch.h"
#include "log/log_limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define T0 INT64_C(1574553617004)

/* Made by python3-kafka: three records (the second without a key and with two headers, one null; the third an older one
 * with an empty key and no value), and 20 under gzip from an idempotent producer. */
static const uint8_t plain_by_kafka_python[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x5e, 0x00, 0x00, 0x00, 0x00, 0x02, 0xb0, 0xbf, 0x36, 0xe0, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x01, 0x6e, 0x9a, 0xb5, 0x82, 0x6c, 0x00, 0x00, 0x01, 0x6e, 0x9a, 0xb5, 0x82, 0x72, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x03, 0x28, 0x00, 0x00, 0x00, 0x08,
	0x6b, 0x65, 0x79, 0x30, 0x14, 0x76, 0x61, 0x6c, 0x75, 0x65, 0x20, 0x7a, 0x65, 0x72, 0x6f, 0x00, 0x1e, 0x00, 0x0c, 0x02, 0x01, 0x00,
	0x04, 0x04, 0x68, 0x31, 0x02, 0x78, 0x04, 0x68, 0x32, 0x01, 0x0e, 0x00, 0xd7, 0x0f, 0x04, 0x00, 0x01, 0x00};
static const uint8_t gzip_by_kafka_python[] = {
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xe1, 0x00, 0x00, 0x00, 0x00, 0x02, 0xdb, 0xd9, 0x86, 0xf2, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x13, 0x00, 0x00, 0x01, 0x6e, 0x9a, 0xb5, 0x82, 0x6c, 0x00, 0x00, 0x01, 0x6e, 0x9a, 0xb5, 0x82, 0x7f, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x03, 0x00, 0x00, 0x00, 0x29, 0x00, 0x00, 0x00, 0x14, 0x1f, 0x8b, 0x08, 0x00, 0x89,
	0x14, 0x04, 0x6b, 0x02, 0xff, 0x7d, 0xd0, 0x3d, 0x0a, 0x83, 0x40, 0x10, 0x06, 0xd0, 0x45, 0x44, 0x16, 0x11, 0x11, 0x11, 0x11, 0x11,
	0x59, 0x44, 0xac, 0x75, 0xfd, 0xcd, 0x05, 0x24, 0xd7, 0xb0, 0x18, 0x48, 0x48, 0x6c, 0x12, 0x23, 0x78, 0xfb, 0x30, 0x73, 0x80, 0xaf,
	0x7f, 0xd5, 0x5b, 0x95, 0x52, 0xfa, 0x45, 0x57, 0x6b, 0x8f, 0x07, 0x99, 0xef, 0xb6, 0x93, 0x39, 0xb7, 0xf7, 0x8f, 0x0c, 0x9d, 0xf4,
	0xb9, 0xcc, 0xf1, 0xdc, 0x49, 0xad, 0xca, 0x71, 0xd8, 0x74, 0xd0, 0xb8, 0x2e, 0x1b, 0x0b, 0x8d, 0xe7, 0xb1, 0xe9, 0xa1, 0xd1, 0x9a,
	0xcd, 0x00, 0x8d, 0xef, 0xb3, 0x19, 0xa1, 0x09, 0x02, 0x36, 0x13, 0x34, 0x61, 0xc8, 0x66, 0x86, 0x26, 0x8a, 0xd8, 0x2c, 0xd0, 0xc4,
	0x31, 0x9b, 0x1b, 0x30, 0x77, 0x95, 0x24, 0x3e, 0x1f, 0xb6, 0x10, 0xa5, 0xa9, 0xa0, 0x0e, 0xa2, 0x2c, 0x13, 0x64, 0x21, 0xca, 0x73,
	0x41, 0x3d, 0x44, 0x45, 0x21, 0x68, 0x80, 0xa8, 0x2c, 0x05, 0x8d, 0x10, 0x19, 0x23, 0x68, 0x82, 0xa8, 0xaa, 0x04, 0xcd, 0x10, 0xd5,
	0xb5, 0xa0, 0x05, 0xa2, 0xa6, 0x11, 0x84, 0xc6, 0xff, 0xb1, 0xe6, 0x4e, 0x87, 0xda, 0x02, 0x00, 0x00};

static enum sm_err check(struct bytes data, const struct batch_info *info)
{
	struct batch_refused refused;
	int64_t newest_ms;
	return batch_check(data, info, &(struct batch_rules){.oldest_ms = INT64_MIN, .newest_ms = INT64_MAX}, &refused, &newest_ms);
}

static void assert_bytes(struct bytes got, const char *want)
{
	assert_int_equal(got.size, strlen(want));
	assert_memory_equal(got.data, want, got.size);
}

static void batch_reads_what_kafka_python_wrote(void **state)
{
	struct bytes data = bytes_of(plain_by_kafka_python, sizeof plain_by_kafka_python);
	struct batch_info info;
	assert_int_equal(batch_parse(data, &info), SM_OK);
	assert_true(batch_crc_ok(data, &info));
	assert_int_equal(check(data, &info), SM_OK);
	assert_int_equal(info.size, sizeof plain_by_kafka_python);
	assert_int_equal(info.record_count, 3);
	assert_int_equal(info.producer_id, -1);
	assert_int_equal(info.max_timestamp_ms, T0 + 6);

	struct batch_reader reader;
	struct record r;
	struct record_header h;
	assert_int_equal(batch_reader_init(&reader, data), SM_OK);
	assert_int_equal(batch_next(&reader, &r), SM_OK);
	assert_int_equal(r.timestamp_ms, T0);
	assert_bytes(r.key, "key0");
	assert_bytes(r.value, "value zero");
	assert_int_equal(batch_next(&reader, &r), SM_OK);
	assert_int_equal(r.offset, 1);
	assert_true(r.key_null && !r.value_null);
	assert_int_equal(r.header_count, 2);
	assert_int_equal(record_header_next(&r.headers_raw, &h), SM_OK);
	assert_bytes(h.key, "h1");
	assert_bytes(h.value, "x");
	assert_int_equal(record_header_next(&r.headers_raw, &h), SM_OK);
	assert_bytes(h.key, "h2");
	assert_true(h.value_null);
	assert_int_equal(record_header_next(&r.headers_raw, &h), SM_END);
	assert_int_equal(batch_next(&reader, &r), SM_OK);
	assert_int_equal(r.timestamp_ms, T0 - 1004);
	assert_true(!r.key_null && r.key.size == 0 && r.value_null);
	assert_int_equal(batch_next(&reader, &r), SM_END);
	batch_reader_done(&reader);
}

static void batch_reads_gzip_of_kafka_python(void **state)
{
	struct bytes data = bytes_of(gzip_by_kafka_python, sizeof gzip_by_kafka_python);
	struct batch_info info;
	assert_int_equal(batch_parse(data, &info), SM_OK);
	assert_int_equal(check(data, &info), SM_OK);
	assert_int_equal(info.producer_id, 7);
	assert_int_equal(info.producer_epoch, 3);
	assert_int_equal(info.base_sequence, 41);
	struct batch_reader reader;
	struct record r;
	assert_int_equal(batch_reader_init(&reader, data), SM_OK);
	for (int i = 0; i < 20; i++) {
		char key[16];
		snprintf(key, sizeof key, "key%d", i);
		assert_int_equal(batch_next(&reader, &r), SM_OK);
		assert_bytes(r.key, key);
		assert_bytes(r.value, "the same value every time");
		assert_int_equal(r.timestamp_ms, T0 + i);
	}
	assert_int_equal(batch_next(&reader, &r), SM_END);
	batch_reader_done(&reader);
}

static void builder_writes_the_bytes_that_kafka_python_writes(void **state)
{
	struct buf out;
	buf_init(&out);
	buf_append_str(&out, "before"); /* the batch need not begin at the buffer's start */
	struct batch_builder b;
	struct record_header headers[] = {{BYTES("h1"), BYTES("x"), false}, {BYTES("h2"), {NULL, 0}, true}};
	batch_begin(&b, &out, CODEC_NONE);
	batch_add(&b, &(struct record){.timestamp_ms = T0, .key = BYTES("key0"), .value = BYTES("value zero")}, NULL, 0);
	batch_add(&b, &(struct record){.timestamp_ms = T0 + 6, .key_null = true}, headers, 2);
	batch_add(&b, &(struct record){.timestamp_ms = T0 - 1004, .value_null = true}, NULL, 0);
	assert_int_equal(batch_end(&b), SM_OK);
	assert_int_equal(batch_size(&b), sizeof plain_by_kafka_python);
	uint8_t *batch = out.data + out.start + 6;
	batch_set_offset(batch, 0, 0); /* python writes epoch 0, we leave it to the log */
	assert_memory_equal(batch, plain_by_kafka_python, sizeof plain_by_kafka_python);
	buf_done(&out);
}

static void every_codec_gives_its_records_back(void **state)
{
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		struct buf out;
		buf_init(&out);
		struct batch_builder b;
		batch_begin(&b, &out, (enum codec)codec);
		batch_set_producer(&b, 9, 1, 0);
		for (int i = 0; i < 1000; i++) {
			char value[64];
			snprintf(value, sizeof value, "{\"campaign\":%d,\"type\":\"view\"}", i % 7);
			batch_add(&b, &(struct record){.timestamp_ms = T0 + i, .key = BYTES("k"), .value = bytes_str(value)}, NULL, 0);
		}
		assert_int_equal(batch_end(&b), SM_OK);
		batch_set_offset(out.data + out.start, 5000, 0);
		struct batch_info info;
		assert_int_equal(batch_parse(buf_bytes(&out), &info), SM_OK);
		assert_int_equal(BATCH_CODEC(info.attributes), codec);
		assert_int_equal(check(buf_bytes(&out), &info), SM_OK);
		assert_int_equal(info.max_timestamp_ms, T0 + 999);
		struct batch_reader reader;
		struct record r;
		assert_int_equal(batch_reader_init(&reader, buf_bytes(&out)), SM_OK);
		for (int i = 0; i < 1000; i++) {
			assert_int_equal(batch_next(&reader, &r), SM_OK);
			assert_int_equal(r.offset, 5000 + i);
			assert_int_equal(r.timestamp_ms, T0 + i);
		}
		assert_int_equal(batch_next(&reader, &r), SM_END);
		batch_reader_done(&reader);
		buf_done(&out);
	}
}

static void every_truncation_is_refused(void **state)
{
	struct batch_info info;
	for (size_t size = 0; size < sizeof plain_by_kafka_python; size++)
		assert_int_equal(batch_parse(bytes_of(plain_by_kafka_python, size), &info), SM_TRUNCATED);
}

static void every_bit_flip_is_noticed(void **state)
{
	uint8_t copy[sizeof plain_by_kafka_python];
	for (size_t bit = 8 * 8; bit < 8 * sizeof copy; bit++) {
		if (bit / 8 >= 12 && bit / 8 < 16)
			continue; /* the leader epoch lies outside the CRC */
		memcpy(copy, plain_by_kafka_python, sizeof copy);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		struct batch_info info;
		if (batch_parse(bytes_of(copy, sizeof copy), &info) == SM_OK)
			assert_false(batch_crc_ok(bytes_of(copy, sizeof copy), &info));
	}
}

static void check_refuses_counts_and_attributes_that_cannot_be(void **state)
{
	struct {
		size_t at;
		uint8_t value;
		enum sm_err want;
	} cases[] = {
		{26, 3, SM_INVALID}, /* last offset delta 3 of 3 records */
		{60, 2, SM_INVALID}, /* two records announced, three there */
		{21, 1, SM_INVALID}, /* an attribute that is not defined */
		{22, 5, SM_CORRUPT}, /* a codec that is not */
		{61, 9, SM_INVALID}, /* a record length that cuts its record */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t copy[sizeof plain_by_kafka_python];
		memcpy(copy, plain_by_kafka_python, sizeof copy);
		copy[cases[i].at] = cases[i].value;
		batch_set_log_append_time(copy, sizeof copy, T0); /* sets the CRC anew */
		struct batch_info info;
		assert_int_equal(batch_parse(bytes_of(copy, sizeof copy), &info), SM_OK);
		assert_true(batch_crc_ok(bytes_of(copy, sizeof copy), &info));
		assert_int_equal(check(bytes_of(copy, sizeof copy), &info), cases[i].want);
	}
}

static void log_append_time_is_the_time_of_each_record(void **state)
{
	uint8_t copy[sizeof plain_by_kafka_python];
	memcpy(copy, plain_by_kafka_python, sizeof copy);
	batch_set_log_append_time(copy, sizeof copy, T0 + 77);
	struct batch_reader reader;
	struct record r;
	assert_int_equal(batch_reader_init(&reader, bytes_of(copy, sizeof copy)), SM_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(batch_next(&reader, &r), SM_OK);
		assert_int_equal(r.timestamp_ms, T0 + 77);
	}
	batch_reader_done(&reader);
}

static void older_magic_is_another_version(void **state)
{
	uint8_t copy[sizeof plain_by_kafka_python];
	memcpy(copy, plain_by_kafka_python, sizeof copy);
	struct batch_info info;
	copy[16] = 1;
	assert_int_equal(batch_parse(bytes_of(copy, sizeof copy), &info), SM_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_reads_what_kafka_python_wrote),
		cmocka_unit_test(batch_reads_gzip_of_kafka_python),
		cmocka_unit_test(builder_writes_the_bytes_that_kafka_python_writes),
		cmocka_unit_test(every_codec_gives_its_records_back),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_bit_flip_is_noticed),
		cmocka_unit_test(check_refuses_counts_and_attributes_that_cannot_be),
		cmocka_unit_test(log_append_time_is_the_time_of_each_record),
		cmocka_unit_test(older_magic_is_another_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
