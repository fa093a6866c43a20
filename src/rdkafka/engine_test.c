/* The log on a real Kafka: records as they were, offsets without gaps, topics, groups. */
#include "rdkafka/testing.h"

/* ---- addresses ---- */

static void addresses_are_checked_before_anybody_is_asked(void **state)
{
	static const char *const good[] = {
		"kafka://127.0.0.1:9092",
		"kafka://b1.example:9092,b2.example:9092,[::1]:9093",
		"KAFKA://"
		"b:1?security.protocol=sasl_ssl&sasl.mechanism=SCRAM-SHA-512&sasl.username=u&sasl.password=p%26q%3D&ssl.ca.location=/x",
		"kafka://b:9092?replication.factor=3&compression.type=lz4&sasl.password.file=/does/not/exist",
		"kafka://b:9092?",
	};
	static const char *const bad[][2] = {
		{"embedded", "write kafka://HOST:PORT"},
		{"kafka://", "write kafka://HOST:PORT"},
		{"kafka://host", "'host' in kafka://host"},
		{"kafka://host:0", "'host:0'"},
		{"kafka://a:1,,b:2", "'' in kafka://a:1,,b:2"},
		{"kafka://a:1/x", "'a:1/x'"},
		{"kafka://u@a:1", "'u@a:1'"},
		{"kafka://a:1?bootstrap.servers=b:1", "unknown setting 'bootstrap.servers'"},
		{"kafka://a:1?security.protocol", "write name=value"},
		{"kafka://a:1?security.protocol=tls", "security.protocol = tls"},
		{"kafka://a:1?client.id=%4", "%XX"},
		{"kafka://a:1?client.id=%00", "%XX"},
		{"kafka://a:1?replication.factor=0", "from 1 to"},
	};
	struct sm_error error;
	for (size_t i = 0; i < COUNT(good); i++)
		if (rdkafka_check(good[i], &error))
			fail_msg("%s: %s", good[i], error.text);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(rdkafka_check(bad[i][0], &error), SM_INVALID);
		if (!strstr(error.text, bad[i][1]))
			fail_msg("%s: %s", bad[i][0], error.text);
	}
	char shown[100];
	rdkafka_shown("kafka://b1:1,b2:2?sasl.password=secret", shown, sizeof shown);
	assert_string_equal(shown, "kafka://b1:1,b2:2");
	rdkafka_brokers("kafka://b1:1,b2:2?sasl.password=secret", shown, sizeof shown);
	assert_string_equal(shown, "b1:1,b2:2");
}

static void an_address_where_nobody_is_says_so(void **state)
{
	struct outgrown x = {.port = 0};
	struct sm_error error;
	assert_int_equal(try_open(&x, "kafka://127.0.0.1:1", &error), SM_UNAVAILABLE);
	assert_non_null(strstr(error.text, "kafka://127.0.0.1:1: no broker answers"));
	assert_non_null(strstr(error.text, "Connection refused"));
}

static void a_password_that_others_may_read_is_refused(void **state)
{
	struct outgrown x = {.port = 0};
	struct sm_error error;
	char path[] = "/tmp/smack-password-XXXXXX", address[100];
	int fd = mkstemp(path);
	assert_int_equal(write(fd, "secret\n", 7), 7);
	assert_int_equal(fchmod(fd, 0644), 0);
	snprintf(address, sizeof address, "kafka://127.0.0.1:1?sasl.password.file=%s", path);
	assert_int_equal(try_open(&x, address, &error), SM_DENIED);
	assert_non_null(strstr(error.text, "chmod 600"));
	close(fd);
	unlink(path);
}

/* ---- records ---- */

/* Appended as they come, read back as they were. */
static void records_come_back_as_they_were(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "fields", 1, NULL, 0);
	const struct record_header headers[] = {{BYTES("a"), BYTES("one"), false},
						{BYTES("a"), BYTES("two"), false},
						{BYTES("empty"), {(const uint8_t *)"", 0}, false},
						{BYTES("null"), {NULL, 0}, true},
						{BYTES("zero"), {(const uint8_t *)"x\0y", 3}, false}};
	const struct record records[] = {
		{.timestamp_ms = T0, .key = BYTES("k"), .value = BYTES("v")},
		{.timestamp_ms = T0 - 5, .key_null = true, .value = BYTES("no key")},
		{.timestamp_ms = T0 + 5, .key = BYTES("no value"), .value_null = true},
		{.timestamp_ms = T0, .key = {(const uint8_t *)"", 0}, .value = {(const uint8_t *)"", 0}},
		{.timestamp_ms = 1, .key = {(const uint8_t *)"\0\1\2", 3}, .value = {(const uint8_t *)"\0\377", 2}},
	};
	static const enum codec codecs[] = {CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD};
	struct buf out;
	buf_init(&out);
	for (size_t c = 0; c < COUNT(codecs); c++) {
		struct batch_builder b;
		batch_begin(&b, &out, codecs[c]);
		for (size_t i = 0; i < COUNT(records); i++)
			batch_add(&b, &records[i], i == 0 ? headers : NULL, i == 0 ? COUNT(headers) : 0);
		assert_int_equal(batch_end(&b), SM_OK);
	}
	int64_t base = -1;
	assert_int_equal(log_append_wait(x->log, topic, 0, out.data, buf_size(&out), &base), SM_OK);
	assert_int_equal(base, 0);
	buf_done(&out);

	int64_t next = 0;
	size_t total = COUNT(codecs) * COUNT(records);
	while (next < (int64_t)total) {
		struct log_read_result result;
		struct batch_reader reader;
		struct record r;
		assert_int_equal(x->log->ops->read(x->log, topic, 0, next, 1 << 20, &result), SM_OK);
		assert_true(result.slice.size > 0);
		assert_int_equal(batch_reader_init(&reader, bytes_of(result.slice.data, result.slice.size)), SM_OK);
		assert_true(batch_crc_ok(bytes_of(result.slice.data, result.slice.size), &reader.info));
		assert_int_equal(reader.info.base_offset, next);
		while (!batch_next(&reader, &r)) {
			const struct record *want = &records[next % (int64_t)COUNT(records)];
			assert_int_equal(r.offset, next);
			assert_int_equal(r.timestamp_ms, want->timestamp_ms);
			assert_int_equal(r.key_null, want->key_null);
			assert_int_equal(r.value_null, want->value_null);
			assert_true(bytes_equal(r.key, want->key));
			assert_true(bytes_equal(r.value, want->value));
			assert_int_equal(r.header_count, next % (int64_t)COUNT(records) ? 0 : COUNT(headers));
			struct record_header h;
			for (size_t i = 0; i < r.header_count; i++) {
				assert_int_equal(record_header_next(&r.headers_raw, &h), SM_OK);
				assert_true(bytes_equal(h.key, headers[i].key));
				assert_int_equal(h.value_null, headers[i].value_null);
				assert_true(bytes_equal(h.value, headers[i].value));
			}
			next++;
		}
		batch_reader_done(&reader);
		log_slice_done(&result.slice);
	}
	struct log_read_result result;
	assert_int_equal(x->log->ops->read(x->log, topic, 0, next, 1 << 20, &result), SM_OK);
	assert_int_equal(result.slice.size, 0);
	assert_int_equal(result.last_stable_offset, next);
	assert_int_equal(result.high_watermark, next);
}

/* The sum of record numbers from offset on, which must be contiguous. */
static int64_t read_all(struct outgrown *x, const char *topic, int64_t from, int64_t to)
{
	int64_t next = from, sum = 0;
	while (next < to) {
		struct log_read_result result;
		struct batch_reader reader;
		struct record r;
		enum sm_err err = x->log->ops->read(x->log, topic, 0, next, 64 << 10, &result);
		if (err)
			fail_msg("offset %lld: %s", (long long)next, sm_err_text(err));
		assert_true(result.slice.size > 0);
		assert_int_equal(batch_reader_init(&reader, bytes_of(result.slice.data, result.slice.size)), SM_OK);
		while (!batch_next(&reader, &r)) {
			if (r.offset < next)
				continue;
			assert_int_equal(r.offset, next);
			sum += next++;
		}
		batch_reader_done(&reader);
		log_slice_done(&result.slice);
	}
	return sum;
}

static void readers_at_different_places_do_not_disturb_each_other(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "places", 1, NULL, 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(append_some(x, topic, 0, i * 1000, i * 1000 + 1000), i * 1000);
	assert_int_equal(read_all(x, topic, 0, 20000), (int64_t)20000 * 19999 / 2);
	int64_t at[6] = {0, 19000, 5000, 10000, 15000, 2500}, step = 100;
	for (int turn = 0; turn < 5; turn++)
		for (size_t i = 0; i < COUNT(at); i++, at[i - 1] += step)
			read_all(x, topic, at[i], at[i] + step);
	/* Half of what was given out, then the rest. */
	struct log_read_result first, second;
	assert_int_equal(x->log->ops->read(x->log, topic, 0, 7, 64 << 10, &first), SM_OK);
	assert_int_equal(x->log->ops->read(x->log, topic, 0, 8, 64 << 10, &second), SM_OK);
	assert_ptr_equal(first.slice.data, second.slice.data);
	log_slice_done(&first.slice);
	log_slice_done(&second.slice);
}

static void offsets_are_found_by_time_and_at_both_ends(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "offsets", 2, NULL, 0);
	int64_t offset = -5;
	const struct log_ops *ops = x->log->ops;
	assert_int_equal(ops->offset_for(x->log, topic, 1, LOG_LATEST, &offset, NULL), SM_OK);
	assert_int_equal(offset, 0);
	append_some(x, topic, 1, 0, 100);
	assert_int_equal(ops->offset_for(x->log, topic, 1, LOG_LATEST, &offset, NULL), SM_OK);
	assert_int_equal(offset, 100);
	assert_int_equal(ops->offset_for(x->log, topic, 1, LOG_HIGH_WATERMARK, &offset, NULL), SM_OK);
	assert_int_equal(offset, 100);
	assert_int_equal(ops->offset_for(x->log, topic, 1, LOG_EARLIEST, &offset, NULL), SM_OK);
	assert_int_equal(offset, 0);
	assert_int_equal(ops->offset_for(x->log, topic, 1, T0 + 40, &offset, NULL), SM_OK);
	assert_int_equal(offset, 40);
	assert_int_equal(ops->offset_for(x->log, topic, 1, T0 + 100, &offset, NULL), SM_OK);
	assert_int_equal(offset, -1);
	assert_int_equal(ops->offset_for(x->log, topic, 2, LOG_LATEST, &offset, NULL), SM_NOT_FOUND);
	assert_int_equal(ops->offset_for(x->log, "nowhere", 0, LOG_LATEST, &offset, NULL), SM_NOT_FOUND);
	struct log_read_result result;
	assert_int_equal(ops->read(x->log, topic, 1, 101, 1000, &result), SM_OUT_OF_RANGE);
	assert_int_equal(ops->read(x->log, "nowhere", 0, 0, 1000, &result), SM_NOT_FOUND);
}

static void what_cannot_be_appended_is_refused(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "refused", 1, NULL, 0);
	struct buf out;
	buf_init(&out);
	put_batch(&out, CODEC_NONE, 0, 10);
	assert_int_equal(log_append_wait(x->log, "nowhere", 0, out.data, buf_size(&out), NULL), SM_NOT_FOUND);
	assert_int_equal(log_append_wait(x->log, topic, 1, out.data, buf_size(&out), NULL), SM_NOT_FOUND);
	assert_int_equal(log_append_wait(x->log, topic, 0, out.data, buf_size(&out) - 1, NULL), SM_CORRUPT);
	out.data[70] ^= 1;
	assert_int_equal(log_append_wait(x->log, topic, 0, out.data, buf_size(&out), NULL), SM_CORRUPT);
	buf_clear(&out);
	struct batch_builder b;
	struct record r = {.timestamp_ms = T0, .key_null = true, .value = {calloc(1, 2 << 20), 2 << 20}};
	batch_begin(&b, &out, CODEC_NONE);
	batch_add(&b, &r, NULL, 0);
	assert_int_equal(batch_end(&b), SM_OK);
	assert_int_equal(log_append_wait(x->log, topic, 0, out.data, buf_size(&out), NULL), SM_TOO_LARGE);
	free((void *)(uintptr_t)r.value.data);
	buf_done(&out);
	int64_t end;
	assert_int_equal(x->log->ops->offset_for(x->log, topic, 0, LOG_LATEST, &end, NULL), SM_OK);
	assert_int_equal(end, 0);
}

/* ---- waits ---- */

static void wait_begin(struct outgrown *x, struct one_wait *w, const char *topic, int64_t offset)
{
	*w = (struct one_wait){.wait = {.topic = topic, .offset = offset, .done = wait_done}, .err = SM_AGAIN};
	sem_init(&w->done, 0, 0);
	x->log->ops->wait(x->log, &w->wait);
}

static enum sm_err wait_end(struct one_wait *w)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	if (sem_timedwait(&w->done, &until))
		fail_msg("the wait did not end");
	sem_destroy(&w->done);
	return w->err;
}

static void waits_end_with_a_record_or_a_cancel(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "waits", 1, NULL, 0);
	struct one_wait w, other;
	append_some(x, topic, 0, 0, 5);
	wait_begin(x, &w, topic, 4);
	assert_int_equal(wait_end(&w), SM_OK);
	wait_begin(x, &w, topic, 5);
	wait_begin(x, &other, topic, 6);
	struct log_read_result result;
	assert_int_equal(x->log->ops->read(x->log, topic, 0, 5, 1000, &result), SM_OK);
	assert_int_equal(result.slice.size, 0);
	append_some(x, topic, 0, 5, 6);
	assert_int_equal(wait_end(&w), SM_OK);
	assert_int_equal(x->log->ops->read(x->log, topic, 0, 5, 1000, &result), SM_OK);
	assert_true(result.slice.size > 0);
	log_slice_done(&result.slice);
	x->log->ops->wait_cancel(x->log, &other.wait);
	assert_int_equal(wait_end(&other), SM_CANCELLED);
	wait_begin(x, &w, "nowhere", 0);
	assert_int_equal(wait_end(&w), SM_NOT_FOUND);
	/* Closing ends what waits. */
	wait_begin(x, &w, topic, 6);
	outgrown_close(x);
	assert_int_equal(wait_end(&w), SM_CLOSED);
}

/* ---- topics ---- */

static const char *config_of(struct outgrown *x, const char *topic, const char *name)
{
	static char value[100];
	const struct log_topics *topics = x->log->ops->topics(x->log);
	const struct log_topic *t = log_topics_find(topics, topic);
	*value = 0;
	for (uint32_t i = 0; t && i < t->config_count; i++)
		if (strcmp(t->configs[i].name, name) == 0)
			snprintf(value, sizeof value, "%s", t->configs[i].value);
	x->log->ops->topics_release(x->log, topics);
	return value;
}

static int32_t partitions_of(struct outgrown *x, const char *topic)
{
	const struct log_topics *topics = x->log->ops->topics(x->log);
	const struct log_topic *t = log_topics_find(topics, topic);
	int32_t partitions = t ? t->partitions : 0;
	x->log->ops->topics_release(x->log, topics);
	return partitions;
}

static void topics_are_made_changed_and_deleted(void **state)
{
	struct outgrown *x = *state;
	struct sm_error error;
	const struct log_config configs[] = {{"retention.ms", "3600000"}, {"cleanup.policy", "compact"}};
	const char *topic = make_topic(x, "topics", 3, configs, 2);
	assert_int_equal(partitions_of(x, topic), 3);
	assert_string_equal(config_of(x, topic, "retention.ms"), "3600000");
	struct log_topic_spec again = {.name = topic, .partitions = 1, .replication_factor = 1};
	assert_int_equal(log_topic_create_wait(x->log, &again, &error), SM_EXISTS);
	const struct log_config wrong[] = {{"no.such.config", "1"}};
	struct log_topic_spec bad = {.name = "never", .partitions = 1, .replication_factor = 1, .configs = wrong, .config_count = 1};
	assert_int_equal(log_topic_create_wait(x->log, &bad, &error), SM_INVALID);
	struct log_topic_spec check = {.name = "never", .partitions = 1, .replication_factor = 1, .check = true};
	assert_int_equal(log_topic_create_wait(x->log, &check, &error), SM_OK);
	assert_int_equal(partitions_of(x, "never"), 0);

	/* One config is changed, the other stays; then one goes back to its default, then all but one. */
	const struct log_config changed[] = {{"retention.ms", "7200000"}, {"max.message.bytes", "100000"}};
	struct log_topic_change change = {.name = topic, .partitions = 5, .configs = changed, .config_count = 2};
	if (log_topic_change_wait(x->log, &change, &error))
		fail_msg("%s", error.text);
	assert_int_equal(partitions_of(x, topic), 5);
	assert_string_equal(config_of(x, topic, "retention.ms"), "7200000");
	assert_string_equal(config_of(x, topic, "cleanup.policy"), "compact");
	const struct log_config back[] = {{"max.message.bytes", NULL}};
	change = (struct log_topic_change){.name = topic, .configs = back, .config_count = 1};
	assert_int_equal(log_topic_change_wait(x->log, &change, &error), SM_OK);
	assert_string_equal(config_of(x, topic, "max.message.bytes"), "");
	assert_string_equal(config_of(x, topic, "retention.ms"), "7200000");
	const struct log_config only[] = {{"cleanup.policy", "delete"}};
	change = (struct log_topic_change){.name = topic, .configs = only, .config_count = 1, .only = true};
	assert_int_equal(log_topic_change_wait(x->log, &change, &error), SM_OK);
	assert_string_equal(config_of(x, topic, "retention.ms"), "");
	change = (struct log_topic_change){.name = topic, .partitions = 2};
	assert_int_equal(log_topic_change_wait(x->log, &change, &error), SM_INVALID);
	change = (struct log_topic_change){.name = "nowhere", .partitions = 2};
	assert_int_equal(log_topic_change_wait(x->log, &change, &error), SM_NOT_FOUND);

	assert_int_equal(log_topic_delete_wait(x->log, topic, &error), SM_OK);
	assert_int_equal(partitions_of(x, topic), 0);
	assert_int_equal(log_topic_delete_wait(x->log, topic, &error), SM_NOT_FOUND);
}

static void a_topic_that_is_made_anew_begins_at_zero(void **state)
{
	struct outgrown *x = *state;
	struct sm_error error;
	for (int i = 0; i < 3; i++) {
		const char *topic = make_topic(x, "anew", 1, NULL, 0);
		assert_int_equal(append_some(x, topic, 0, 0, 50), 0);
		assert_int_equal(read_all(x, topic, 0, 50), 50 * 49 / 2);
		assert_int_equal(log_topic_delete_wait(x->log, topic, &error), SM_OK);
	}
}

struct deleted {
	sem_t done;
	enum sm_err err;
	int64_t start;
};

static void records_deleted(void *arg, enum sm_err err, int64_t start)
{
	struct deleted *d = arg;
	d->err = err;
	d->start = start;
	sem_post(&d->done);
}

static void records_are_deleted_from_the_front(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "deleted", 1, NULL, 0);
	struct deleted d;
	struct log_read_result result;
	int64_t offset;
	append_some(x, topic, 0, 0, 100);
	sem_init(&d.done, 0, 0);
	x->log->ops->records_delete(x->log, topic, 0, 40, records_deleted, &d);
	sem_wait(&d.done);
	assert_int_equal(d.err, SM_OK);
	assert_int_equal(d.start, 40);
	assert_int_equal(x->log->ops->offset_for(x->log, topic, 0, LOG_EARLIEST, &offset, NULL), SM_OK);
	assert_int_equal(offset, 40);
	assert_int_equal(x->log->ops->read(x->log, topic, 0, 10, 1000, &result), SM_OUT_OF_RANGE);
	read_all(x, topic, 40, 100);
	x->log->ops->records_delete(x->log, topic, 0, 101, records_deleted, &d);
	sem_wait(&d.done);
	assert_int_equal(d.err, SM_OUT_OF_RANGE);
	x->log->ops->records_delete(x->log, topic, 0, -1, records_deleted, &d);
	sem_wait(&d.done);
	assert_int_equal(d.err, SM_OK);
	assert_int_equal(d.start, 100);
	sem_destroy(&d.done);
}

/* ---- groups ---- */

static void committed(void *arg, enum sm_err err)
{
	records_deleted(arg, err, 0);
}

static enum sm_err commit(struct outgrown *x, const char *group, const struct log_group_offset *offsets, uint32_t count)
{
	struct deleted d;
	sem_init(&d.done, 0, 0);
	x->log->ops->offsets_commit(x->log, group, offsets, count, committed, &d);
	sem_wait(&d.done);
	sem_destroy(&d.done);
	return d.err;
}

static void offsets_of_groups_are_kept(void **state)
{
	struct outgrown *x = *state;
	const char *topic = make_topic(x, "groups", 3, NULL, 0);
	char group[64];
	snprintf(group, sizeof group, "%sgroup", x->prefix);
	const struct log_group_offset offsets[] = {{.topic = topic, .partition = 0, .offset = 7, .metadata = "here"},
						   {.topic = topic, .partition = 2, .offset = 0}};
	assert_int_equal(commit(x, group, offsets, 2), SM_OK);
	struct log_group_offset wanted[] = {{.topic = topic, .partition = 2}, {.topic = topic, .partition = 1}, {.topic = topic}}, *list;
	void *hold;
	uint32_t count;
	assert_int_equal(x->log->ops->offsets_fetch(x->log, group, wanted, 3, &hold), SM_OK);
	assert_int_equal(wanted[0].offset, 0);
	assert_int_equal(wanted[1].offset, -1);
	assert_int_equal(wanted[2].offset, 7);
	assert_string_equal(wanted[2].metadata, "here");
	x->log->ops->offsets_release(x->log, hold);
	assert_int_equal(x->log->ops->offsets_list(x->log, group, &list, &count, &hold), SM_OK);
	assert_int_equal(count, 2);
	assert_int_equal(list[0].partition, 0);
	assert_int_equal(list[1].partition, 2);
	x->log->ops->offsets_release(x->log, hold);
	const char *const *names;
	bool found = false;
	assert_int_equal(x->log->ops->groups(x->log, &names, &count, &hold), SM_OK);
	for (uint32_t i = 0; i < count; i++)
		found |= strcmp(names[i], group) == 0;
	assert_true(found);
	x->log->ops->offsets_release(x->log, hold);
	const struct log_group_offset back[] = {{.topic = topic, .partition = 0, .offset = -1}};
	assert_int_equal(commit(x, group, back, 1), SM_OK);
	assert_int_equal(x->log->ops->offsets_list(x->log, group, &list, &count, &hold), SM_OK);
	assert_int_equal(count, 1);
	x->log->ops->offsets_release(x->log, hold);
	assert_int_equal(x->log->ops->offsets_list(x->log, "no group", &list, &count, &hold), SM_OK);
	assert_int_equal(count, 0);
	x->log->ops->offsets_release(x->log, hold);
}

int main(void)
{
#define WITH_BROKER(name) cmocka_unit_test_setup_teardown(name, outgrown_begin, outgrown_end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_checked_before_anybody_is_asked),
		cmocka_unit_test(an_address_where_nobody_is_says_so),
		cmocka_unit_test(a_password_that_others_may_read_is_refused),
		WITH_BROKER(records_come_back_as_they_were),
		WITH_BROKER(readers_at_different_places_do_not_disturb_each_other),
		WITH_BROKER(offsets_are_found_by_time_and_at_both_ends),
		WITH_BROKER(what_cannot_be_appended_is_refused),
		WITH_BROKER(waits_end_with_a_record_or_a_cancel),
		WITH_BROKER(topics_are_made_changed_and_deleted),
		WITH_BROKER(a_topic_that_is_made_anew_begins_at_zero),
		WITH_BROKER(records_are_deleted_from_the_front),
		WITH_BROKER(offsets_of_groups_are_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
