/* Moving topics between two logs: what comes over, what is refused, and kills at every step. */
#include "backup/migrate_testing.h"

static const char *config_of(struct sm_log *log, const char *topic, const char *name, char out[100])
{
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *t = log_topics_find(topics, topic);
	out[0] = 0;
	for (uint32_t i = 0; t && i < t->config_count; i++)
		if (strcmp(t->configs[i].name, name) == 0)
			snprintf(out, 100, "%s", t->configs[i].value);
	log->ops->topics_release(log, topics);
	return out;
}

static void assert_verified(struct two_logs *b)
{
	b->options.verify = true;
	assert_int_equal(two_copied(b), 0);
	b->options.verify = false;
}

struct codecs {
	uint32_t seen[CODEC_COUNT];
};

/* Codecs of the batches of a partition. */
static struct codecs codecs_of(struct sm_log *log, const char *topic)
{
	struct codecs c = {{0}};
	struct log_read_result r;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	struct bytes data;
	struct batch_info info;
	assert_int_equal(log->ops->read(log, topic, 0, 0, 10 << 20, &r), SM_OK);
	assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
	for (; data.size; data = bytes_of(data.data + info.size, data.size - info.size)) {
		assert_int_equal(batch_parse(data, &info), SM_OK);
		c.seen[BATCH_CODEC(info.attributes)]++;
	}
	log_slice_done(&r.slice);
	free(buffer);
	return c;
}

static void topics_come_over_with_records_configs_and_groups(void **state)
{
	struct two_logs b;
	char text[100];
	two_begin(&b);
	static const struct log_config configs[] = {
		{"retention.ms", "1000"}, {"segment.bytes", "100000"}, {"max.message.bytes", "2000000"}};
	two_topic(b.source, "t", 3, configs, 3);
	two_topic(b.source, "u", 1, NULL, 0);
	for (int i = 0; i < 20; i++)
		two_put(b.source, "t", i % 3, i * 100, 100, (enum codec)(i % CODEC_COUNT));
	for (int i = 0; i < CODEC_COUNT; i++)
		two_put(b.source, "u", 0, i * 10, 10, (enum codec)i);
	two_commit(b.source, "g", "t", 0, 17);
	two_commit(b.source, "g", "u", 0, 10 * CODEC_COUNT);
	two_commit(b.source, "h", "t", 2, 0);
	assert_int_equal(two_copied(&b), 2000 + 10 * CODEC_COUNT);
	assert_string_equal(config_of(b.inner, "t", "retention.ms", text), "1000");
	assert_string_equal(config_of(b.inner, "t", "max.message.bytes", text), "2000000");
	assert_string_equal(config_of(b.inner, "t", "segment.bytes", text), "100000");
	assert_string_equal(config_of(b.inner, "t", "cleanup.policy", text), "");
	/* What the source does not say is off. */
	assert_string_equal(config_of(b.inner, "u", "retention.ms", text), "-1");
	assert_non_null(strstr(b.said, "topic u: the source says nothing of it, so retention.bytes=-1 retention.ms=-1 is set"));
	assert_null(strstr(b.said, "topic t: the source says nothing of it, so retention.bytes=-1 retention.ms"));
	struct codecs here = codecs_of(b.source, "u"), there = codecs_of(b.inner, "u");
	assert_memory_equal(&here, &there, sizeof here);
	assert_int_equal(two_committed(b.inner, "g", "t", 0), 17);
	assert_int_equal(two_committed(b.inner, "g", "t", 1), -1);
	assert_int_equal(two_committed(b.inner, "g", "u", 0), 10 * CODEC_COUNT);
	assert_int_equal(two_committed(b.inner, "h", "t", 2), 0);
	assert_verified(&b);

	/* Again: what came meanwhile, and nothing else. */
	assert_int_equal(two_copied(&b), 0);
	two_put(b.source, "u", 0, 1000, 5, CODEC_LZ4);
	two_commit(b.source, "g", "u", 0, 10 * CODEC_COUNT + 3);
	assert_int_equal(two_copied(&b), 5);
	assert_int_equal(two_committed(b.inner, "g", "u", 0), 10 * CODEC_COUNT + 3);
	assert_verified(&b);
	two_end(&b);
}

static void the_topics_are_chosen_and_internal_ones_stay(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "alpha", 1, NULL, 0);
	two_topic(b.source, "beta-1", 1, NULL, 0);
	two_topic(b.source, "beta-2", 1, NULL, 0);
	two_commit(b.source, "g", "alpha", 0, 0); /* makes __consumer_offsets */
	static const char *const topics[] = {"beta-*"};
	b.options.topics = topics;
	b.options.topic_count = 1;
	assert_int_equal(two_copied(&b), 0);
	const struct log_topics *there = b.inner->ops->topics(b.inner);
	assert_int_equal(there->count, 2);
	b.inner->ops->topics_release(b.inner, there);
	assert_int_equal(two_committed(b.inner, "g", "alpha", 0), -1);
	static const char *const missing[] = {"__consumer_offsets"};
	b.options.topics = missing;
	assert_int_equal(two_run(&b, &report, &error), SM_NOT_FOUND);
	assert_non_null(strstr(error.text, "__consumer_offsets"));
	b.options.topic_count = 0;
	b.options.dry_run = true;
	assert_int_equal(two_run(&b, &report, &error), SM_OK);
	migrate_log_report_free(report);
	assert_non_null(strstr(b.said, "topic alpha: would be made"));
	assert_non_null(strstr(b.said, "group g: 1 committed offsets"));
	assert_null(strstr(b.said, "__consumer_offsets"));
	there = b.inner->ops->topics(b.inner);
	assert_null(log_topics_find(there, "alpha"));
	b.inner->ops->topics_release(b.inner, there);
	two_end(&b);
}

static void a_topic_with_other_records_or_partitions_is_refused(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_topic(b.inner, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 10, CODEC_NONE);
	two_put(b.inner, "t", 0, 0, 5, CODEC_NONE);
	two_put(b.inner, "t", 0, 6, 1, CODEC_NONE);
	assert_int_equal(two_run(&b, &report, &error), SM_CONFLICT);
	assert_non_null(strstr(error.text, "offset 5 of there is not that of offset 5 of here"));
	assert_int_equal(two_end_of(b.inner, "t", 0), 6);
	/* More than the source has. */
	two_topic(b.source, "v", 1, NULL, 0);
	two_topic(b.inner, "v", 1, NULL, 0);
	two_put(b.inner, "v", 0, 0, 1, CODEC_NONE);
	static const char *const only_v[] = {"v"};
	b.options.topics = only_v;
	b.options.topic_count = 1;
	assert_int_equal(two_run(&b, &report, &error), SM_CONFLICT);
	static const char *const only_p[] = {"p"};
	b.options.topics = only_p;
	two_topic(b.source, "p", 2, NULL, 0);
	two_topic(b.inner, "p", 1, NULL, 0);
	assert_int_equal(two_run(&b, &report, &error), SM_CONFLICT);
	assert_non_null(strstr(error.text, "1 partitions at there and 2 at here"));
	two_end(&b);
}

static void partitions_that_the_source_has_grown_are_made(void **state)
{
	struct two_logs b;
	struct sm_error error;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 10, CODEC_NONE);
	assert_int_equal(two_copied(&b), 10);
	struct log_topic_change change = {.name = "t", .partitions = 3};
	assert_int_equal(log_topic_change_wait(b.source, &change, &error), SM_OK);
	two_put(b.source, "t", 2, 0, 7, CODEC_NONE);
	assert_int_equal(two_copied(&b), 7);
	assert_int_equal(two_end_of(b.inner, "t", 2), 7);
	two_end(&b);
}

static void a_copy_without_its_notes_is_compared_and_goes_on(void **state)
{
	struct two_logs b;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 100, CODEC_ZSTD);
	assert_int_equal(two_copied(&b), 100);
	two_put(b.source, "t", 0, 100, 30, CODEC_ZSTD);
	assert_int_equal(io_remove_tree(&io_system, b.state, NULL), SM_OK);
	assert_int_equal(two_copied(&b), 30);
	assert_int_equal(two_end_of(b.inner, "t", 0), 130);
	assert_verified(&b);
	two_end(&b);
}

static void a_topic_that_was_made_anew_is_told(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 100, CODEC_NONE);
	assert_int_equal(two_copied(&b), 100);
	assert_int_equal(log_topic_delete_wait(b.inner, "t", &error), SM_OK);
	assert_int_equal(two_copied(&b), 100);
	assert_non_null(strstr(b.said, "the topic was made anew since the last run"));
	/* An engine that does not tell: there are too few. */
	b.target.same_ids = true;
	assert_int_equal(two_copied(&b), 0);
	assert_int_equal(log_topic_delete_wait(b.inner, "t", &error), SM_OK);
	assert_int_equal(two_copied(&b), 100);
	assert_non_null(strstr(b.said, "the target has fewer records than it had"));
	b.target.same_ids = false;
	/* Here: what is there is no copy of it. */
	assert_int_equal(log_topic_delete_wait(b.source, "t", &error), SM_OK);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 500, 100, CODEC_NONE);
	assert_int_equal(two_run(&b, &report, &error), SM_CONFLICT);
	two_end(&b);
}

static const struct log_config strange_configs[] = {{"segment.ms", "5000"}, {"some.other.engine", "7"}, {"retention.ms", "soon"}};
static const struct log_topic strange_topic = {"t", {{0}}, 1, 1, false, strange_configs, 3};
static const struct log_topics strange_picture = {&strange_topic, 1};

static const struct log_topics *strange_topics(struct sm_log *log)
{
	return &strange_picture;
}

static void strange_release(struct sm_log *log, const struct log_topics *topics) {}

static enum sm_err no_groups(struct sm_log *log, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	*ret_count = 0;
	*ret_hold = NULL;
	return SM_OK;
}

static enum sm_err no_offsets(struct sm_log *log, const char *group, struct log_group_offset **ret_offsets, uint32_t *ret_count,
			      void **ret_hold)
{
	return SM_NOT_FOUND;
}

static void configs_that_the_target_refuses_are_named_and_skipped_on_demand(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	char text[100];
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	/* A source of another engine: its topic has configs that are none here. */
	struct log_ops ops = faulty_ops;
	ops.topics = strange_topics;
	ops.topics_release = strange_release;
	ops.groups = no_groups;
	ops.offsets_list = no_offsets;
	struct faulty_log source = {.log = {&ops}, .inner = b.source};
	b.options.source = &source.log;
	assert_int_equal(two_run(&b, &report, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "some.other.engine=7, retention.ms=soon"));
	assert_non_null(strstr(error.text, "--skip-config"));
	const struct log_topics *there = b.inner->ops->topics(b.inner);
	assert_int_equal(there->count, 0);
	b.inner->ops->topics_release(b.inner, there);
	static const char *const skip[] = {"some.other.engine", "retention.ms"};
	b.options.skip_configs = skip;
	b.options.skip_config_count = 2;
	assert_int_equal(two_copied(&b), 0);
	assert_string_equal(config_of(b.inner, "t", "segment.ms", text), "5000");
	two_end(&b);
}

static void what_the_target_was_given_before_stays(void **state)
{
	struct two_logs b;
	char text[100];
	two_begin(&b);
	static const struct log_config there[] = {{"retention.ms", "86400000"}, {"min.insync.replicas", "2"}};
	two_topic(b.source, "t", 1, NULL, 0);
	two_topic(b.inner, "t", 1, there, 2);
	two_put(b.source, "t", 0, 0, 10, CODEC_NONE);
	/* Killed in the middle, when retention is off. */
	b.target.fail_at = 1;
	struct migrate_log_report *report;
	struct sm_error error;
	assert_int_equal(two_run(&b, &report, &error), SM_UNAVAILABLE);
	assert_string_equal(config_of(b.inner, "t", "retention.ms", text), "-1");
	assert_int_equal(two_copied(&b), 10);
	assert_string_equal(config_of(b.inner, "t", "retention.ms", text), "86400000");
	assert_string_equal(config_of(b.inner, "t", "min.insync.replicas", text), "2");
	assert_string_equal(config_of(b.inner, "t", "cleanup.policy", text), "");
	two_end(&b);
}

/* ---- groups ---- */

static void what_a_group_has_committed_at_the_target_itself_stays(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "t", 2, NULL, 0);
	two_put(b.source, "t", 0, 0, 100, CODEC_NONE);
	two_commit(b.source, "g", "t", 0, 40);
	two_commit(b.source, "g", "t", 1, 0);
	assert_int_equal(two_copied(&b), 100);
	two_commit(b.source, "g", "t", 0, 50);
	two_commit(b.inner, "g", "t", 0, 90); /* it has moved */
	assert_int_equal(two_run(&b, &report, &error), SM_OK);
	assert_int_equal(report->offsets_failed, 1);
	assert_int_equal(report->offsets, 1);
	migrate_log_report_free(report);
	assert_non_null(strstr(b.said, "has committed offset 90 at there itself"));
	assert_int_equal(two_committed(b.inner, "g", "t", 0), 90);
	b.options.overwrite_groups = true;
	assert_int_equal(two_copied(&b), 0);
	assert_int_equal(two_committed(b.inner, "g", "t", 0), 50);
	two_end(&b);
}

static void a_commit_that_failed_is_told_and_made_again(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 100, CODEC_NONE);
	two_commit(b.source, "g", "t", 0, 40);
	assert_int_equal(two_copied(&b), 100);
	two_commit(b.source, "g", "t", 0, 60);
	for (int i = 0; i < 2; i++) { /* what was noted but not done is not taken for the group's own */
		b.target.fail_commit_at = b.target.commits + 1;
		assert_int_equal(two_run(&b, &report, &error), SM_OK);
		assert_int_equal(report->offsets_failed, 1);
		migrate_log_report_free(report);
		assert_int_equal(two_committed(b.inner, "g", "t", 0), 40);
	}
	assert_int_equal(two_copied(&b), 0);
	assert_int_equal(two_committed(b.inner, "g", "t", 0), 60);
	/* Beyond what was copied: told. */
	two_put(b.source, "t", 0, 100, 1, CODEC_NONE);
	two_commit(b.source, "g", "t", 0, 500);
	assert_int_equal(two_copied(&b), 1);
	assert_non_null(strstr(b.said, "has committed offset 500, but the copy ends at 101"));
	assert_int_equal(two_committed(b.inner, "g", "t", 0), 101);
	two_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topics_come_over_with_records_configs_and_groups),
		cmocka_unit_test(the_topics_are_chosen_and_internal_ones_stay),
		cmocka_unit_test(a_topic_with_other_records_or_partitions_is_refused),
		cmocka_unit_test(partitions_that_the_source_has_grown_are_made),
		cmocka_unit_test(a_copy_without_its_notes_is_compared_and_goes_on),
		cmocka_unit_test(a_topic_that_was_made_anew_is_told),
		cmocka_unit_test(configs_that_the_target_refuses_are_named_and_skipped_on_demand),
		cmocka_unit_test(what_the_target_was_given_before_stays),
		cmocka_unit_test(what_a_group_has_committed_at_the_target_itself_stays),
		cmocka_unit_test(a_commit_that_failed_is_told_and_made_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
