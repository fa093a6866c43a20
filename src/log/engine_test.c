#include "log/testing.h"
#include <dirent.h>
#include <semaphore.h>
#include <sys/stat.h>

static void appended_records_are_read_back_also_after_a_restart(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "events", 3, NULL, NULL);
	assert_int_equal(testing_append(&b, "events", 1, 0, 10, 100), 0);
	assert_int_equal(testing_append(&b, "events", 1, 10, 1, 100), 10);
	assert_int_equal(testing_append(&b, "events", 2, 0, 5, 100), 0);
	assert_int_equal(testing_check(&b, "events", 1, 0, 0, 1 << 20), 11);
	assert_int_equal(testing_check(&b, "events", 1, 7, 7, 1), 4);
	testing_reopen(&b);
	assert_string_equal(b.notices, "");
	assert_int_equal(testing_check(&b, "events", 1, 0, 0, 1), 11);
	assert_int_equal(testing_check(&b, "events", 2, 0, 0, 1), 5);
	assert_int_equal(testing_check(&b, "events", 0, 0, 0, 1), 0);
	assert_int_equal(testing_append(&b, "events", 1, 11, 1, 100), 11);
	assert_int_equal(testing_check(&b, "events", 1, 0, 0, 300), 12);
	testing_end(&b);
}

static void segments_roll_and_are_found_again(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "small", 1, "segment.bytes", "20000");
	for (int i = 0; i < 300; i++)
		assert_int_equal(testing_append(&b, "small", 0, i, 1, 500), i);
	assert_int_equal(testing_check(&b, "small", 0, 0, 0, 1 << 20), 300);
	for (int from = 0; from < 300; from += 17)
		assert_int_equal(testing_check(&b, "small", 0, from, from, 2000), 300 - from);
	testing_reopen(&b);
	assert_int_equal(testing_check(&b, "small", 0, 0, 0, 1 << 20), 300);
	for (int from = 0; from < 300; from += 17)
		assert_int_equal(testing_check(&b, "small", 0, from, from, 2000), 300 - from);
	assert_int_equal(testing_append(&b, "small", 0, 300, 3, 500), 300);
	assert_int_equal(testing_check(&b, "small", 0, 0, 0, 1 << 20), 303);
	testing_end(&b);
}

static int open_segments(void)
{
	DIR *d = opendir("/proc/self/fd");
	int count = 0;
	for (struct dirent *e; (e = readdir(d));) {
		char path[300], target[300];
		snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
		ssize_t n = readlink(path, target, sizeof target - 1);
		if (n > 4 && memcmp(target + n - 4, ".log", 4) == 0)
			count++;
	}
	closedir(d);
	return count;
}

static void files_of_old_segments_are_open_only_while_they_are_read(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "small", 1, "segment.bytes", "20000");
	for (int i = 0; i < 300; i++)
		testing_append(&b, "small", 0, i, 1, 500);
	assert_int_equal(open_segments(), 1);
	assert_int_equal(testing_check(&b, "small", 0, 0, 0, 5000), 300);
	assert_int_equal(open_segments(), 1);
	struct log_read_result r;
	assert_int_equal(b.log->ops->read(b.log, "small", 0, 0, 100, &r), SM_OK);
	assert_int_equal(open_segments(), 2);
	log_slice_done(&r.slice);
	testing_reopen(&b);
	assert_int_equal(open_segments(), 1);
	assert_int_equal(testing_check(&b, "small", 0, 0, 0, 5000), 300);
	assert_int_equal(open_segments(), 1);
	testing_end(&b);
}

static void read_gives_one_batch_at_least_and_no_more_than_fit(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	for (int i = 0; i < 100; i++)
		testing_append(&b, "t", 0, i, 1, 1000);
	for (int again = 0; again < 2; again++) {
		struct log_read_result r;
		assert_int_equal(b.log->ops->read(b.log, "t", 0, 5, 1, &r), SM_OK);
		size_t one = r.slice.size;
		assert_in_range(one, 1000, 1200);
		log_slice_done(&r.slice);
		assert_int_equal(b.log->ops->read(b.log, "t", 0, 5, 50 * one + 3, &r), SM_OK);
		assert_int_equal(r.slice.size, 50 * one);
		assert_int_equal(r.high_watermark, 100);
		log_slice_done(&r.slice);
		assert_int_equal(b.log->ops->read(b.log, "t", 0, 100, 1000, &r), SM_OK);
		assert_int_equal(r.slice.size, 0);
		log_slice_done(&r.slice);
		assert_int_equal(b.log->ops->read(b.log, "t", 0, 101, 1000, &r), SM_OUT_OF_RANGE);
		assert_int_equal(b.log->ops->read(b.log, "t", 0, -1, 1000, &r), SM_OUT_OF_RANGE);
		assert_int_equal(b.log->ops->read(b.log, "t", 1, 0, 1000, &r), SM_NOT_FOUND);
		testing_reopen(&b);
	}
	testing_end(&b);
}

struct woken {
	struct log_wait wait;
	sem_t done;
	enum sm_err err;
	int times;
};

static void wake(struct log_wait *wait, enum sm_err err)
{
	struct woken *w = (struct woken *)wait;
	w->err = err;
	w->times++;
	sem_post(&w->done);
}

static void woken_init(struct woken *w, const char *topic, int64_t offset)
{
	memset(w, 0, sizeof *w);
	w->wait = (struct log_wait){.topic = topic, .offset = offset, .done = wake};
	sem_init(&w->done, 0, 0);
}

static void waits_end_with_the_record_with_cancel_and_with_the_topic(void **state)
{
	struct bench_log b;
	struct woken now, later, cancelled, deleted, closed, missing;
	testing_begin(&b);
	testing_topic(&b, "t", 1, NULL, NULL);
	testing_topic(&b, "gone", 1, NULL, NULL);
	testing_append(&b, "t", 0, 0, 1, 10);
	woken_init(&now, "t", 0);
	b.log->ops->wait(b.log, &now.wait);
	assert_int_equal(now.times, 1);
	woken_init(&later, "t", 2);
	b.log->ops->wait(b.log, &later.wait);
	woken_init(&cancelled, "t", 1);
	b.log->ops->wait(b.log, &cancelled.wait);
	b.log->ops->wait_cancel(b.log, &cancelled.wait);
	assert_int_equal(cancelled.err, SM_CANCELLED);
	testing_append(&b, "t", 0, 1, 1, 10);
	assert_int_equal(later.times, 0);
	testing_append(&b, "t", 0, 2, 1, 10);
	sem_wait(&later.done);
	assert_int_equal(later.err, SM_OK);
	b.log->ops->wait_cancel(b.log, &later.wait);
	assert_int_equal(later.times, 1);
	woken_init(&deleted, "gone", 0);
	b.log->ops->wait(b.log, &deleted.wait);
	assert_int_equal(log_topic_delete_wait(b.log, "gone", NULL), SM_OK);
	sem_wait(&deleted.done);
	assert_int_equal(deleted.err, SM_NOT_FOUND);
	woken_init(&missing, "gone", 0);
	b.log->ops->wait(b.log, &missing.wait);
	assert_int_equal(missing.err, SM_NOT_FOUND);
	woken_init(&closed, "t", 100);
	b.log->ops->wait(b.log, &closed.wait);
	testing_close(&b);
	assert_int_equal(closed.err, SM_CLOSED);
	testing_end(&b);
}

static enum sm_err try_create(struct bench_log *b, const char *name, int partitions, const char *config, const char *value,
			      struct sm_error *error)
{
	struct log_config c = {config, value};
	struct log_topic_spec spec = {name, partitions, 1, &c, config ? 1 : 0};
	return log_topic_create_wait(b->log, &spec, error);
}

static void topics_are_kept_with_their_configs(void **state)
{
	struct bench_log b;
	struct sm_error error;
	testing_begin(&b);
	testing_topic(&b, "b", 2, "retention.ms", "1000");
	testing_topic(&b, "a", 1, NULL, NULL);
	assert_int_equal(try_create(&b, "a", 1, NULL, NULL, &error), SM_EXISTS);
	assert_int_equal(try_create(&b, "..", 1, NULL, NULL, &error), SM_INVALID);
	assert_int_equal(try_create(&b, "a/b", 1, NULL, NULL, &error), SM_INVALID);
	assert_int_equal(try_create(&b, "c", 0, NULL, NULL, &error), SM_INVALID);
	assert_int_equal(try_create(&b, "c", 10001, NULL, NULL, &error), SM_TOO_LARGE);
	assert_int_equal(try_create(&b, "c", 1, "retention.mss", "1", &error), SM_INVALID);
	assert_int_equal(try_create(&b, "c", 1, "retention.ms", "x", &error), SM_INVALID);
	assert_int_equal(try_create(&b, "c", 1, "cleanup.policy", "compacted", &error), SM_INVALID);
	assert_non_null(strstr(error.text, "compacted"));
	const struct log_topics *before = b.log->ops->topics(b.log);
	assert_int_equal(before->count, 2);
	struct uuid id = log_topics_find(before, "b")->id;
	b.log->ops->topics_release(b.log, before);
	testing_reopen(&b);
	const struct log_topics *after = b.log->ops->topics(b.log);
	assert_int_equal(after->count, 2);
	const struct log_topic *t = log_topics_find(after, "b");
	assert_non_null(t);
	assert_memory_equal(&t->id, &id, sizeof id);
	assert_int_equal(t->partitions, 2);
	assert_int_equal(t->config_count, 1);
	assert_string_equal(t->configs[0].name, "retention.ms");
	assert_string_equal(t->configs[0].value, "1000");
	assert_null(log_topics_find(after, "c"));
	b.log->ops->topics_release(b.log, after);
	testing_end(&b);
}

static void deleted_topic_leaves_nothing_and_its_readers_finish(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "t", 2, NULL, NULL);
	testing_append(&b, "t", 1, 0, 10, 100);
	struct log_read_result r;
	assert_int_equal(b.log->ops->read(b.log, "t", 1, 0, 1 << 20, &r), SM_OK);
	assert_int_equal(log_topic_delete_wait(b.log, "t", NULL), SM_OK);
	assert_int_equal(log_topic_delete_wait(b.log, "t", NULL), SM_NOT_FOUND);
	char path[128];
	snprintf(path, sizeof path, "%s/t-1", b.dir);
	assert_int_equal(access(path, F_OK), -1);
	uint8_t *buffer = NULL;
	size_t cap = 0;
	struct bytes data;
	assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
	assert_int_equal(data.size, r.slice.size);
	free(buffer);
	log_slice_done(&r.slice);
	assert_int_equal(testing_try_append(&b, "t", 1, 0, 1, 10, NULL), SM_NOT_FOUND);
	testing_topic(&b, "t", 1, NULL, NULL);
	assert_int_equal(testing_append(&b, "t", 0, 0, 1, 10), 0);
	testing_end(&b);
}

static void idle_topic_costs_no_file(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "idle", 100, NULL, NULL);
	DIR *d = opendir(b.dir);
	int entries = 0;
	for (struct dirent *e; (e = readdir(d));)
		entries += strncmp(e->d_name, "idle", 4) == 0;
	closedir(d);
	assert_int_equal(entries, 0);
	testing_end(&b);
}

static enum sm_err append_as(struct bench_log *b, int64_t id, int16_t epoch, int32_t sequence, int count, int64_t *ret_offset)
{
	struct buf out;
	buf_init(&out);
	testing_batch_put(&out, "p", sequence, count, 20, id, epoch, sequence);
	enum sm_err err = log_append_wait(b->log, "p", 0, out.data + out.start, buf_size(&out), ret_offset);
	buf_done(&out);
	return err;
}

static void idempotent_producer_is_stored_once(void **state)
{
	struct bench_log b;
	int64_t at;
	testing_begin(&b);
	testing_topic(&b, "p", 1, NULL, NULL);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(append_as(&b, 7, 0, i * 2, 2, &at), SM_OK);
		assert_int_equal(at, i * 2);
	}
	for (int restart = 0; restart < 2; restart++) {
		assert_int_equal(append_as(&b, 7, 0, 6, 2, &at), SM_OK); /* the oldest of the five that are remembered */
		assert_int_equal(at, 6);
		assert_int_equal(append_as(&b, 7, 0, 14, 2, &at), SM_OK);
		assert_int_equal(at, 14);
		assert_int_equal(append_as(&b, 7, 0, 2, 2, &at), SM_SEQUENCE_GAP);
		assert_int_equal(append_as(&b, 7, 0, 18, 2, &at), SM_SEQUENCE_GAP);
		testing_reopen(&b);
	}
	char path[128];
	snprintf(path, sizeof path, "%s/p-0/%020d.snapshot", b.dir, 16);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0); /* lost: rebuilt from the batches */
	testing_reopen(&b);
	assert_int_equal(append_as(&b, 7, 1, 0, 1, &at), SM_OK);
	assert_int_equal(at, 16);
	assert_int_equal(append_as(&b, 7, 0, 16, 1, &at), SM_STALE_EPOCH);
	assert_int_equal(append_as(&b, 8, 0, 100, 1, &at), SM_OK); /* not known: any start */
	assert_int_equal(append_as(&b, 8, 0, 101, 1, &at), SM_OK);
	int64_t time;
	assert_int_equal(b.log->ops->offset_for(b.log, "p", 0, LOG_LATEST, &at, &time), SM_OK);
	assert_int_equal(at, 19);
	testing_reopen(&b);
	assert_int_equal(access(path, F_OK), -1); /* only the newest is kept */
	testing_end(&b);
}

static void bad_batches_are_refused(void **state)
{
	struct bench_log b;
	struct buf out;
	testing_begin(&b);
	testing_topic(&b, "t", 1, "max.message.bytes", "1000");
	buf_init(&out);
	testing_batch_put(&out, "t", 0, 2, 20, -1, -1, -1);
	uint8_t *data = out.data + out.start;
	size_t size = buf_size(&out);
	data[70] ^= 1;
	assert_int_equal(log_append_wait(b.log, "t", 0, data, size, NULL), SM_CORRUPT);
	data[70] ^= 1;
	assert_int_equal(log_append_wait(b.log, "t", 0, data, size - 1, NULL), SM_CORRUPT);
	assert_int_equal(log_append_wait(b.log, "t", 0, data, 0, NULL), SM_INVALID);
	data[16] = 1;
	assert_int_equal(log_append_wait(b.log, "t", 0, data, size, NULL), SM_VERSION);
	data[16] = 2;
	assert_int_equal(log_append_wait(b.log, "t", 0, data, size, NULL), SM_OK);
	assert_int_equal(testing_try_append(&b, "t", 0, 0, 1, 1000, NULL), SM_TOO_LARGE);
	assert_int_equal(testing_try_append(&b, "t", 1, 0, 1, 10, NULL), SM_NOT_FOUND);
	assert_int_equal(testing_check(&b, "t", 0, 0, 0, 1 << 20), 2);
	buf_done(&out);
	testing_end(&b);
}

static void offsets_are_found_by_time(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, "t", 1, "segment.bytes", "30000");
	for (int i = 0; i < 200; i += 2)
		testing_append(&b, "t", 0, i, 2, 500);
	for (int restart = 0; restart < 2; restart++) {
		int64_t offset, time;
		for (int i = 0; i < 200; i += 7) {
			assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, T0 + i, &offset, &time), SM_OK);
			assert_int_equal(offset, i);
			assert_int_equal(time, T0 + i);
		}
		assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, 0, &offset, &time), SM_OK);
		assert_int_equal(offset, 0);
		assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, T0 + 200, &offset, &time), SM_OK);
		assert_int_equal(offset, -1);
		assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, LOG_LATEST, &offset, &time), SM_OK);
		assert_int_equal(offset, 200);
		assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, LOG_EARLIEST, &offset, &time), SM_OK);
		assert_int_equal(offset, 0);
		assert_int_equal(b.log->ops->offset_for(b.log, "t", 0, LOG_MAX_TIMESTAMP, &offset, &time), SM_OK);
		assert_int_equal(offset, 199);
		assert_int_equal(time, T0 + 199);
		testing_reopen(&b);
	}
	testing_end(&b);
}

struct id_wait {
	sem_t done;
	int64_t id;
};

static void id_is_there(void *arg, enum sm_err err, int64_t id, int16_t epoch)
{
	struct id_wait *w = arg;
	w->id = err ? -1 : id;
	sem_post(&w->done);
}

static int64_t next_id(struct bench_log *b)
{
	struct id_wait w;
	sem_init(&w.done, 0, 0);
	b->log->ops->producer_id(b->log, id_is_there, &w);
	sem_wait(&w.done);
	return w.id;
}

static void producer_ids_grow_across_restarts(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	int64_t last = -1;
	for (int i = 0; i < 1010; i++) {
		int64_t id = next_id(&b);
		assert_true(id > last);
		last = id;
		if (i % 500 == 499)
			testing_reopen(&b);
	}
	testing_end(&b);
}

static void second_engine_on_a_directory_is_refused(void **state)
{
	struct bench_log b, second;
	struct sm_error error;
	testing_begin(&b);
	second = b;
	assert_int_equal(testing_try_open(&second, &error), SM_BUSY);
	testing_end(&b);
}

static void a_producer_that_is_silent_for_a_day_is_forgotten(void **state)
{
	struct bench_log b;
	struct clock_manual clock;
	int64_t at;
	memset(&b, 0, sizeof b);
	clock_manual_init(&clock, (uint64_t)T0 * 1000);
	b.options.clock = &clock.clock;
	testing_dir(&b);
	testing_system(&b);
	testing_open(&b);
	testing_topic(&b, "p", 1, NULL, NULL);
	assert_int_equal(append_as(&b, 7, 0, 0, 2, &at), SM_OK);
	clock.now_us += (LOG_PRODUCER_EXPIRE_MS - 1000) * 1000ull;
	assert_int_equal(append_as(&b, 8, 0, 0, 1, &at), SM_OK);
	testing_reopen(&b);
	assert_int_equal(append_as(&b, 7, 0, 5, 1, &at), SM_SEQUENCE_GAP);
	clock.now_us += 2000 * 1000ull;
	testing_reopen(&b);
	testing_append(&b, "p", 0, 0, 1, 10); /* so that closing has something to keep */
	testing_reopen(&b);
	assert_int_equal(append_as(&b, 7, 0, 5, 1, &at), SM_OK); /* not known: any start */
	assert_int_equal(append_as(&b, 8, 0, 5, 1, &at), SM_SEQUENCE_GAP);
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appended_records_are_read_back_also_after_a_restart),
		cmocka_unit_test(segments_roll_and_are_found_again),
		cmocka_unit_test(files_of_old_segments_are_open_only_while_they_are_read),
		cmocka_unit_test(read_gives_one_batch_at_least_and_no_more_than_fit),
		cmocka_unit_test(waits_end_with_the_record_with_cancel_and_with_the_topic),
		cmocka_unit_test(topics_are_kept_with_their_configs),
		cmocka_unit_test(deleted_topic_leaves_nothing_and_its_readers_finish),
		cmocka_unit_test(idle_topic_costs_no_file),
		cmocka_unit_test(idempotent_producer_is_stored_once),
		cmocka_unit_test(a_producer_that_is_silent_for_a_day_is_forgotten),
		cmocka_unit_test(bad_batches_are_refused),
		cmocka_unit_test(offsets_are_found_by_time),
		cmocka_unit_test(producer_ids_grow_across_restarts),
		cmocka_unit_test(second_engine_on_a_directory_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
