#include "log/testing.h"

static enum sm_err apply(struct topic_settings *set, const char *name, const char *value)
{
	struct sm_error error;
	log__config_defaults(set, 1 << 20, -1);
	return log__config_apply(set, &(struct log_config){name, value}, &error);
}

static void policy_is_a_list(void **state)
{
	struct topic_settings set;
	assert_int_equal(apply(&set, "cleanup.policy", "delete"), SM_OK);
	assert_true(set.delete_old && !set.compact);
	assert_int_equal(apply(&set, "cleanup.policy", "compact"), SM_OK);
	assert_true(!set.delete_old && set.compact);
	assert_int_equal(apply(&set, "cleanup.policy", "compact , delete"), SM_OK);
	assert_true(set.delete_old && set.compact);
	assert_int_equal(apply(&set, "cleanup.policy", ""), SM_OK);
	assert_true(!set.delete_old && !set.compact);
	static const char *const bad[] = {"compac", "compact,", ",delete", "compact delete", "delete;compact"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (apply(&set, "cleanup.policy", bad[i]) != SM_INVALID)
			fail_msg("\"%s\" was taken", bad[i]);
}

static void values_are_checked_and_taken_over(void **state)
{
	struct topic_settings set;
	assert_int_equal(apply(&set, "segment.ms", "60000"), SM_OK);
	assert_int_equal(set.segment_ms, 60000);
	assert_int_equal(apply(&set, "segment.ms", "0"), SM_INVALID);
	assert_int_equal(apply(&set, "compression.type", "zstd"), SM_OK);
	assert_true(set.recode);
	assert_int_equal(set.codec, CODEC_ZSTD);
	assert_int_equal(apply(&set, "compression.type", "none"), SM_INVALID);
	assert_int_equal(apply(&set, "compression.gzip.level", "0"), SM_INVALID);
	assert_int_equal(apply(&set, "compression.gzip.level", "-1"), SM_OK);
	assert_int_equal(apply(&set, "min.cleanable.dirty.ratio", "0.25"), SM_OK);
	assert_true(set.cleanable_ratio_min == 0.25);
	assert_int_equal(apply(&set, "min.cleanable.dirty.ratio", "nan"), SM_INVALID);
	assert_int_equal(apply(&set, "remote.storage.enable", "true"), SM_UNSUPPORTED);
	assert_int_equal(apply(&set, "no.such", "1"), SM_INVALID);
}

static enum codec stored_codec(struct bench_log *b, const char *topic, int64_t offset)
{
	struct log_read_result r;
	struct batch_info info;
	struct bytes data;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	assert_int_equal(b->log->ops->read(b->log, topic, 0, offset, 1, &r), SM_OK);
	assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
	assert_int_equal(batch_parse(data, &info), SM_OK);
	free(buffer);
	log_slice_done(&r.slice);
	return BATCH_CODEC(info.attributes);
}

static void batches_are_kept_in_the_codec_of_the_topic(void **state)
{
	static const char *const types[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
	struct bench_log b;
	testing_begin(&b);
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		char name[16];
		snprintf(name, sizeof name, "t%d", codec);
		testing_topic(&b, name, 1, "compression.type", types[codec]);
		for (int from = 0; from < CODEC_COUNT; from++) {
			struct buf out;
			struct batch_builder builder;
			int64_t offset = -1;
			char value[300] = "";
			buf_init(&out);
			batch_begin(&builder, &out, (enum codec)from);
			snprintf(value, sizeof value, "%s-%d", name, from);
			batch_add(&builder, &(struct record){.timestamp_ms = T0, .key_null = true, .value = bytes_of(value, sizeof value)},
				  NULL, 0);
			assert_int_equal(batch_end(&builder), SM_OK);
			assert_int_equal(log_append_wait(b.log, name, 0, out.data + out.start, buf_size(&out), &offset), SM_OK);
			assert_int_equal(offset, from);
			assert_int_equal(stored_codec(&b, name, offset), codec);
			buf_done(&out);
		}
		assert_int_equal(testing_check(&b, name, 0, 0, 0, 1 << 20), CODEC_COUNT);
	}
	testing_end(&b);
}

struct answer {
	struct log_append_result result;
	bool called;
};

static void answered(void *arg, const struct log_append_result *result)
{
	struct answer *a = arg;
	a->result = *result;
	a->called = true;
}

/* Append one batch of records with these times; what is refused is answered at once. */
static struct log_append_result refused_times(struct bench_log *b, const char *topic, const int64_t *times, int count)
{
	struct buf out;
	struct batch_builder builder;
	struct answer a = {.called = false};
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_NONE);
	for (int i = 0; i < count; i++)
		batch_add(&builder, &(struct record){.timestamp_ms = times[i], .value = bytes_str("v")}, NULL, 0);
	assert_int_equal(batch_end(&builder), SM_OK);
	b->log->ops->append(b->log, topic, 0, out.data + out.start, buf_size(&out), 0, answered, &a);
	assert_true(a.called);
	buf_done(&out);
	return a.result;
}

static void times_too_far_from_now_are_refused_and_named(void **state)
{
	struct bench_log b;
	struct clock_manual clock;
	testing_begin(&b);
	clock_manual_init(&clock, (uint64_t)T0 * 1000);
	b.options.clock = &clock.clock;
	testing_reopen(&b);
	testing_topic(&b, "past", 1, "message.timestamp.before.max.ms", "1000");
	testing_topic(&b, "plain", 1, NULL, NULL);
	struct log_append_result r = refused_times(&b, "past", (int64_t[]){T0, T0 - 1001, -1, T0 - 1000, 5}, 5);
	assert_int_equal(r.err, SM_INVALID);
	assert_int_equal(r.refused.why, BATCH_TIME_OUT_OF_RANGE);
	assert_int_equal(r.refused.count, 2);
	assert_int_equal(r.refused.records[0], 1);
	assert_int_equal(r.refused.records[1], 4);
	r = refused_times(&b, "plain", (int64_t[]){T0 + 3600001}, 1); /* the default: an hour */
	assert_int_equal(r.refused.why, BATCH_TIME_OUT_OF_RANGE);
	testing_append(&b, "past", 0, 0, 1, 10);
	testing_append(&b, "plain", 0, 3599999, 1, 10);
	testing_end(&b);
}

static uint32_t segments_of(struct bench_log *b, const char *topic)
{
	struct partition *p = log__topics_partition((struct engine *)b->log, topic, 0);
	uint32_t count = p->segment_count;
	log__partition_unref(p);
	return count;
}

static void segment_is_full_after_its_time(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "t", 1, "segment.ms", "100");
	testing_append(&b, "t", 0, 0, 10, 10); /* the newest is T0 + 9 */
	testing_append(&b, "t", 0, 10, 100, 10);
	assert_int_equal(segments_of(&b, "t"), 1);
	testing_reopen(&b);
	testing_append(&b, "t", 0, 110, 1, 10);
	assert_int_equal(segments_of(&b, "t"), 2);
	assert_int_equal(testing_check(&b, "t", 0, 0, 0, 1 << 20), 111);
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_is_a_list),
		cmocka_unit_test(values_are_checked_and_taken_over),
		cmocka_unit_test(batches_are_kept_in_the_codec_of_the_topic),
		cmocka_unit_test(times_too_far_from_now_are_refused_and_named),
		cmocka_unit_test(segment_is_full_after_its_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
