/* Sources whose offsets have gaps: transactions, compaction, retention; kills at every step; a target that was changed. */
#include "backup/migrate_testing.h"

struct ended {
	sem_t done;
	struct log_append_result result;
};

static void is_ended(void *arg, const struct log_append_result *result)
{
	struct ended *e = arg;
	e->result = *result;
	sem_post(&e->done);
}

/* A transaction of `count` records and its marker. */
static void transaction(struct sm_log *log, const char *topic, int64_t producer_id, int first, int count, int32_t *sequence, bool commit)
{
	struct buf out;
	struct batch_builder builder;
	struct ended e;
	sem_init(&e.done, 0, 0);
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_LZ4);
	batch_set_producer(&builder, producer_id, 0, *sequence);
	batch_set_kind(&builder, BATCH_TRANSACTIONAL);
	for (int i = first; i < first + count; i++)
		two_add(&builder, i);
	*sequence += count;
	assert_int_equal(batch_end(&builder), SM_OK);
	log->ops->append(log, topic, 0, out.data + out.start, buf_size(&out), LOG_TXN, is_ended, &e);
	sem_wait(&e.done);
	assert_int_equal(e.result.err, SM_OK);
	buf_done(&out);
	const struct log_txn_marker marker = {.producer_id = producer_id, .producer_epoch = 0, .commit = commit};
	log->ops->txn_end(log, topic, 0, &marker, is_ended, &e);
	sem_wait(&e.done);
	assert_int_equal(e.result.err, SM_OK);
	sem_destroy(&e.done);
}

/* Committed records of the source before offset. */
static int64_t committed_before(struct sm_log *log, int64_t offset)
{
	int64_t at = 0, count = 0;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	while (at < offset) {
		struct log_read_result r;
		struct bytes data;
		assert_int_equal(log->ops->read(log, "t", 0, at, 1 << 20, &r), SM_OK);
		assert_true(r.slice.size > 0);
		assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
		while (data.size && at < offset) {
			struct batch_info info;
			assert_int_equal(batch_parse(data, &info), SM_OK);
			int64_t after = info.base_offset + info.last_offset_delta + 1;
			if (!log_slice_hides(&r.slice, &info) && after > at)
				count += (after < offset ? after : offset) - (info.base_offset > at ? info.base_offset : at);
			at = after;
			data = bytes_of(data.data + info.size, data.size - info.size);
		}
		log_slice_done(&r.slice);
	}
	free(buffer);
	return count;
}

/* Transactions of 1 to 4 records, every third aborted. */
static void fill_with_transactions(struct two_logs *b, int count)
{
	int32_t sequences[2] = {0, 0};
	for (int i = 0; i < count; i++)
		transaction(b->source, "t", 700 + i % 2, i * 4, 1 + i % 4, &sequences[i % 2], i % 3 != 0);
}

static void check_translation(struct two_logs *b, int step)
{
	int64_t end = two_end_of(b->source, "t", 0);
	for (int64_t offset = 0; offset <= end; offset += step) {
		two_commit(b->source, "g", "t", 0, offset);
		two_copied(b);
		assert_int_equal(two_committed(b->inner, "g", "t", 0), committed_before(b->source, offset));
	}
}

static void aborted_records_stay_and_offsets_are_translated(void **state)
{
	struct two_logs b;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	fill_with_transactions(&b, 30);
	two_put(b.source, "t", 0, 5000, 20, CODEC_NONE);
	int64_t records = committed_before(b.source, two_end_of(b.source, "t", 0));
	assert_int_equal(two_copied(&b), records);
	assert_int_equal(two_end_of(b.inner, "t", 0), records);
	check_translation(&b, 1);
	b.options.verify = true;
	assert_int_equal(two_copied(&b), 0);
	two_end(&b);
}

static void translation_is_exact_when_places_were_forgotten(void **state)
{
	struct two_logs b;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	fill_with_transactions(&b, 4000);
	int64_t records = committed_before(b.source, two_end_of(b.source, "t", 0));
	assert_int_equal(two_copied(&b), records);
	check_translation(&b, 997);
	two_end(&b);
}

static void an_open_transaction_holds_back_what_follows_and_is_told(void **state)
{
	struct two_logs b;
	struct ended e;
	struct buf out;
	struct batch_builder builder;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 10, CODEC_NONE);
	sem_init(&e.done, 0, 0);
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_NONE);
	batch_set_producer(&builder, 7, 0, 0);
	batch_set_kind(&builder, BATCH_TRANSACTIONAL);
	two_add(&builder, 1);
	assert_int_equal(batch_end(&builder), SM_OK);
	b.source->ops->append(b.source, "t", 0, out.data + out.start, buf_size(&out), LOG_TXN, is_ended, &e);
	sem_wait(&e.done);
	buf_done(&out);
	two_put(b.source, "t", 0, 10, 5, CODEC_NONE);
	assert_int_equal(two_copied(&b), 10);
	assert_non_null(strstr(b.said, "6 offsets at the end of the source are not copied"));
	const struct log_txn_marker marker = {.producer_id = 7, .producer_epoch = 0, .commit = true};
	b.source->ops->txn_end(b.source, "t", 0, &marker, is_ended, &e);
	sem_wait(&e.done);
	assert_int_equal(two_copied(&b), 6);
	assert_null(strstr(b.said, "not copied"));
	two_end(&b);
}

static void records_are_deleted(void *arg, enum sm_err err, int64_t start)
{
	assert_int_equal(err, SM_OK);
	sem_post(arg);
}

static void records_that_the_source_has_deleted_are_told(void **state)
{
	struct two_logs b;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 10, CODEC_NONE);
	assert_int_equal(two_copied(&b), 10);
	two_put(b.source, "t", 0, 10, 30, CODEC_NONE);
	struct ended e;
	sem_init(&e.done, 0, 0);
	b.source->ops->records_delete(b.source, "t", 0, 25, records_are_deleted, &e.done);
	sem_wait(&e.done);
	two_commit(b.source, "g", "t", 0, 27);
	two_commit(b.source, "h", "t", 0, 5);
	assert_int_equal(two_copied(&b), 15);
	assert_non_null(strstr(b.said, "the source has deleted its records before offset 25; those from 10 on"));
	assert_int_equal(two_committed(b.inner, "g", "t", 0), 12);
	assert_int_equal(two_committed(b.inner, "h", "t", 0), 5);
	/* What both still have is compared. */
	b.options.verify = true;
	assert_int_equal(two_copied(&b), 0);
	two_end(&b);
}

static void old_records_outlive_the_copy_whatever_the_topic_says(void **state)
{
	struct two_logs b;
	two_begin(&b);
	/* Compacted, and of times long ago: the target has all of them when they are proven. */
	static const struct log_config configs[] = {
		{"cleanup.policy", "compact"}, {"segment.bytes", "2000"}, {"min.cleanable.dirty.ratio", "0"}};
	two_topic(b.source, "t", 1, configs, 3);
	for (int i = 1; i < 400; i++)
		if (i % 5 && i % 11) /* without those that have no key */
			two_put(b.source, "t", 0, i, 1, CODEC_NONE);
	int64_t records = two_end_of(b.source, "t", 0);
	assert_true(two_copied(&b) <= (uint64_t)records); /* the source's own cleaner may have begun */
	b.options.verify = true;
	assert_int_equal(two_copied(&b), 0);
	two_end(&b);
}

/* ---- kills ---- */

static void fill(struct two_logs *b)
{
	static const struct log_config configs[] = {{"retention.ms", "1000"}};
	two_topic(b->source, "t", 2, configs, 1);
	int32_t sequence = 0;
	for (int i = 0; i < 3; i++) {
		transaction(b->source, "t", 900, i * 10, 5, &sequence, i != 1);
		for (int big = 0; big < 3; big++)
			two_put(b->source, "t", 0, 10000 * i + 4000 * big, 4000, CODEC_NONE);
	}
	two_put(b->source, "t", 1, 0, 10, CODEC_GZIP);
	two_commit(b->source, "g", "t", 0, 12345);
}

#define FILLED (10 + 36000 + 10)

/* After a failure: what the target has is a part of the source, and another run makes it whole, nothing twice. */
static void finish(struct two_logs *b)
{
	two_copied(b);
	assert_int_equal(two_end_of(b->inner, "t", 0), FILLED - 10);
	assert_int_equal(two_end_of(b->inner, "t", 1), 10);
	assert_int_equal(two_committed(b->inner, "g", "t", 0), committed_before(b->source, 12345));
	b->options.verify = true;
	assert_int_equal(two_copied(b), 0);
	b->options.verify = false;
}

static void an_append_that_fails_is_made_once(void **state)
{
	for (int arrives = 0; arrives < 3; arrives++)
		for (long nth = 1; nth < 9; nth += nth < 3 ? 1 : 3) {
			struct two_logs b;
			struct sm_error error;
			struct migrate_log_report *report;
			two_begin(&b);
			fill(&b);
			b.target.fail_at = nth;
			b.target.arrives = arrives > 0;
			b.target.in_part = arrives == 2;
			assert_int_equal(two_run(&b, &report, &error), SM_UNAVAILABLE);
			assert_non_null(strstr(error.text, "Run this again"));
			finish(&b);
			two_end(&b);
		}
}

/* A second passes at each look. */
static uint64_t leap(struct clock *clock)
{
	static _Atomic uint64_t now_ns;
	return now_ns += UINT64_C(1000000000);
}
static struct clock leaping = {.monotonic_ns = leap};

/* How often a migration changes its notes. */
static uint64_t changes_of_notes(struct clock *clock)
{
	struct two_logs b;
	struct io_fault_plan plan = {0};
	struct io *io = io_fault_new(&plan);
	two_begin(&b);
	fill(&b);
	b.options.io = io;
	b.options.clock = clock;
	two_copied(&b);
	uint64_t calls = io_fault_calls(io);
	b.options.io = NULL;
	io_fault_free(io);
	finish(&b);
	two_end(&b);
	return calls;
}

static void notes_are_written_when_it_is_time(void **state)
{
	struct clock_manual still;
	clock_manual_init(&still, 1);
	uint64_t few = changes_of_notes(&still.clock), many = changes_of_notes(&leaping);
	/* Each takes some calls, and there are some appends of a MiB. */
	if (many < few + 12)
		fail_msg("%llu calls, %llu with a note for each append", (unsigned long long)few, (unsigned long long)many);
}

/* What was acknowledged is noted when a run ends in the middle, whatever the time is. */
static void a_run_that_ends_early_notes_where_it_was(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	struct clock_manual still;
	char notes[100];
	clock_manual_init(&still, 1);
	two_begin(&b);
	fill(&b);
	b.options.clock = &still.clock;
	b.target.fail_at = 5;
	assert_int_equal(two_run(&b, &report, &error), SM_UNAVAILABLE);
	snprintf(notes, sizeof notes, "%s/topics/t/0", b.state);
	assert_int_equal(access(notes, F_OK), 0);
	int64_t there = two_end_of(b.inner, "t", 0);
	assert_true(there > 4000);
	assert_int_equal(two_copied(&b), FILLED - there);
	finish(&b);
	two_end(&b);
}

/* Every change of the notes fails once, and with it all that follow: as if the process were dead. */
static void notes_that_cannot_be_written_cost_nothing(void **state)
{
	uint64_t calls = 1000;
	for (uint64_t nth = 1; nth <= calls; nth += nth < 30 ? 1 : 7) {
		struct two_logs b;
		struct sm_error error;
		struct migrate_log_report *report;
		struct io_fault_plan plan = {.fail_at = nth, .fail_after = true};
		struct io *io = io_fault_new(&plan);
		two_begin(&b);
		fill(&b);
		b.options.io = io;
		b.options.clock = &leaping;
		enum sm_err err = two_run(&b, &report, &error);
		if (!err) { /* it had fewer */
			calls = io_fault_calls(io);
			migrate_log_report_free(report);
		}
		if (nth % 2) /* what was not synced goes */
			assert_int_equal(io_fault_power_loss(io, nth, &error), SM_OK);
		b.options.io = NULL;
		io_fault_free(io);
		finish(&b);
		two_end(&b);
	}
	assert_true(calls > 20 && calls < 1000);
}

static void a_second_writer_is_noticed(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	fill(&b);
	b.target.fail_at = 5;
	assert_int_equal(two_run(&b, &report, &error), SM_UNAVAILABLE);
	two_put(b.inner, "t", 0, 77, 1, CODEC_NONE);
	assert_int_equal(two_run(&b, &report, &error), SM_CONFLICT);
	assert_non_null(strstr(error.text, "delete the topic"));
	two_end(&b);
	/* In the middle. */
	two_begin(&b);
	fill(&b);
	b.target.intrude_at = 4;
	assert_int_equal(two_run(&b, &report, &error), SM_CONFLICT);
	assert_non_null(strstr(error.text, "somebody else writes"));
	two_end(&b);
}

static void one_migration_at_a_time_and_each_with_its_own_notes(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 3, CODEC_NONE);
	assert_int_equal(two_copied(&b), 3);
	b.options.target_name = "elsewhere";
	assert_int_equal(two_run(&b, &report, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "a migration from here to there"));
	b.options.target_name = "there";
	char path[200];
	snprintf(path, sizeof path, "%s/topics/t/0", b.state);
	struct io_file file;
	assert_int_equal(io_system.ops->open(&io_system, path, IO_WRITE, &file, &error), SM_OK);
	struct iovec iov = {(void *)(uintptr_t) "x", 1};
	assert_int_equal(io_system.ops->pwritev(&io_system, &file, &iov, 1, 40, &error), SM_OK);
	io_system.ops->close(&io_system, &file);
	assert_int_equal(two_run(&b, &report, &error), SM_CORRUPT);
	assert_non_null(strstr(error.text, "delete it"));
	two_end(&b);
}

/* ---- differences ---- */

static void the_first_difference_is_told(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_topic(b.inner, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 100, CODEC_NONE);
	two_put(b.inner, "t", 0, 0, 61, CODEC_NONE);
	two_put(b.inner, "t", 0, 62, 38, CODEC_NONE);
	b.options.verify = true;
	assert_int_equal(two_run(&b, &report, &error), SM_OK);
	assert_int_equal(report->differences, 1);
	assert_int_equal(report->rows[0].source_records, 100);
	assert_int_equal(report->rows[0].target_records, 99);
	assert_int_equal(report->rows[0].source_offset, 61);
	assert_int_equal(report->rows[0].target_offset, 61);
	assert_string_equal(report->rows[0].difference, "the keys differ");
	migrate_log_report_free(report);
	/* The target has too few. */
	two_topic(b.source, "u", 1, NULL, 0);
	two_topic(b.inner, "u", 1, NULL, 0);
	two_put(b.source, "u", 0, 0, 10, CODEC_NONE);
	two_put(b.inner, "u", 0, 0, 9, CODEC_NONE);
	assert_int_equal(two_run(&b, &report, &error), SM_OK);
	assert_int_equal(report->differences, 2);
	assert_int_equal(report->rows[1].source_offset, 9);
	assert_int_equal(report->rows[1].target_offset, -1);
	migrate_log_report_free(report);
	two_end(&b);
}

/* A target whose stored records change between the copy and the proof. */
static enum sm_err spoilt_read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
			       struct log_read_result *ret)
{
	enum sm_err err = faulty_read(log, topic, partition, offset, bytes_max, ret);
	static uint8_t *copy;
	size_t cap = 0;
	struct bytes data;
	free(copy);
	copy = NULL;
	if (err || !ret->slice.size || log_slice_bytes(&ret->slice, &copy, &cap, &data))
		return err;
	for (size_t at = 0; at < data.size;) {
		struct batch_info info;
		if (batch_parse(bytes_of(copy + at, data.size - at), &info))
			break;
		batch_set_create_time(copy + at, info.size, info.max_timestamp_ms); /* the CRC anew */
		uint64_t base = be64_get(copy + at + 27) + (info.base_offset == 10);
		be64_put(copy + at + 27, base);
		batch_set_create_time(copy + at, info.size, info.max_timestamp_ms);
		at += info.size;
	}
	ret->slice.data = copy;
	return SM_OK;
}

static void a_copy_that_is_not_the_source_fails_the_proof(void **state)
{
	struct two_logs b;
	struct sm_error error;
	struct migrate_log_report *report;
	two_begin(&b);
	two_topic(b.source, "t", 1, NULL, 0);
	two_put(b.source, "t", 0, 0, 10, CODEC_NONE);
	two_put(b.source, "t", 0, 10, 10, CODEC_NONE);
	struct log_ops ops = faulty_ops;
	ops.read = spoilt_read;
	b.target.log.ops = &ops;
	assert_int_equal(two_run(&b, &report, &error), SM_OK);
	assert_int_equal(report->differences, 1);
	assert_false(report->rows[0].same);
	assert_int_equal(report->rows[0].source_records, 20);
	assert_int_equal(report->rows[0].target_records, 20);
	assert_int_equal(report->rows[0].source_offset, 10);
	assert_int_equal(report->rows[0].target_offset, 10);
	assert_string_equal(report->rows[0].difference, "the times differ");
	migrate_log_report_free(report);
	two_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aborted_records_stay_and_offsets_are_translated),
		cmocka_unit_test(translation_is_exact_when_places_were_forgotten),
		cmocka_unit_test(an_open_transaction_holds_back_what_follows_and_is_told),
		cmocka_unit_test(records_that_the_source_has_deleted_are_told),
		cmocka_unit_test(old_records_outlive_the_copy_whatever_the_topic_says),
		cmocka_unit_test(an_append_that_fails_is_made_once),
		cmocka_unit_test(notes_are_written_when_it_is_time),
		cmocka_unit_test(a_run_that_ends_early_notes_where_it_was),
		cmocka_unit_test(notes_that_cannot_be_written_cost_nothing),
		cmocka_unit_test(a_second_writer_is_noticed),
		cmocka_unit_test(one_migration_at_a_time_and_each_with_its_own_notes),
		cmocka_unit_test(the_first_difference_is_told),
		cmocka_unit_test(a_copy_that_is_not_the_source_fails_the_proof),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
