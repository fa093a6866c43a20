/* Files that are damaged or missing: what is left is served, what is lost is refused, no offset is given out twice. */
#include "log/testing.h"
#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>

#define TOPIC "l"
#define SEGMENT "10000"

static void path_in(const struct bench_log *b, char out[200], const char *name)
{
	snprintf(out, 200, "%s/%s", b->dir, name);
}

/* The offsets that the partition's segments begin with, in order. */
static int segments(const struct bench_log *b, const char *partition, int64_t *out, int most)
{
	char path[200];
	struct dirent *entry;
	int count = 0;
	path_in(b, path, partition);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		int64_t offset = log__segment_name_parse(entry->d_name, ".log");
		if (offset < 0)
			continue;
		assert_in_range(count, 0, most - 1);
		int at = count++;
		for (; at > 0 && out[at - 1] > offset; at--)
			out[at] = out[at - 1];
		out[at] = offset;
	}
	closedir(dir);
	return count;
}

static void remove_file(const struct bench_log *b, const char *partition, int64_t offset, const char *suffix)
{
	char name[100], path[200];
	snprintf(name, sizeof name, "%s/%020lld%s", partition, (long long)offset, suffix);
	path_in(b, path, name);
	assert_int_equal(unlink(path), 0);
}

static void damage(const struct bench_log *b, const char *name, off_t at)
{
	char path[200];
	uint8_t byte;
	path_in(b, path, name);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Which of the first `count` records can be read, in order; the others are refused with SM_CORRUPT. */
static int read_what_is_left(struct bench_log *b, int32_t partition, int64_t from, int64_t to)
{
	struct partition *p = log__topics_partition((struct engine *)b->log, TOPIC, partition);
	int64_t offset = from;
	int refused = 0;
	while (offset < to) {
		struct log_read_result r;
		enum sm_err err = b->log->ops->read(b->log, TOPIC, partition, offset, 1, &r);
		if (err) {
			int64_t next, told;
			assert_int_equal(err, SM_CORRUPT);
			assert_int_equal(log__partition_readable(p, offset, &next), SM_OK);
			assert_int_equal(b->log->ops->readable(b->log, TOPIC, partition, offset, &told), SM_OK);
			assert_int_equal(told, next);
			assert_true(next > offset);
			refused += (int)(next < to ? next - offset : to - offset);
			offset = next;
			continue;
		}
		uint8_t *buffer = NULL;
		size_t cap = 0;
		struct bytes data;
		struct batch_reader reader;
		struct record record;
		char want[40];
		assert_int_equal(log_slice_bytes(&r.slice, &buffer, &cap, &data), SM_OK);
		assert_int_equal(batch_reader_init(&reader, data), SM_OK);
		assert_int_equal(batch_next(&reader, &record), SM_OK);
		int n = snprintf(want, sizeof want, TOPIC "-%lld", (long long)offset);
		assert_int_equal(record.offset, offset);
		assert_memory_equal(record.value.data, want, (size_t)n);
		offset = reader.info.base_offset + reader.info.last_offset_delta + 1;
		batch_reader_done(&reader);
		log_slice_done(&r.slice);
		free(buffer);
	}
	log__partition_unref(p);
	return refused;
}

static int64_t end_of(struct bench_log *b, int32_t partition)
{
	int64_t end;
	assert_int_equal(b->log->ops->offset_for(b->log, TOPIC, partition, LOG_HIGH_WATERMARK, &end, NULL), SM_OK);
	return end;
}

static void fill(struct bench_log *b, int32_t partition, int from, int to)
{
	for (int i = from; i < to; i++)
		assert_int_equal(testing_append(b, TOPIC, partition, i, 1, 100), i);
}

/* Opened again, the same is left and no more is said. */
static void check_again(struct bench_log *b, int32_t partition, int64_t to, int refused)
{
	int64_t end = end_of(b, partition);
	testing_reopen(b);
	assert_string_equal(b->notices, "");
	assert_int_equal(end_of(b, partition), end);
	assert_int_equal(read_what_is_left(b, partition, 0, to), refused);
}

static void rot_in_the_last_segment_costs_one_batch_of_one_partition(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 2, NULL, NULL);
	fill(&b, 0, 0, 10);
	fill(&b, 1, 0, 10);
	testing_close(&b);
	damage(&b, TOPIC "-1/00000000000000000000.log", SEGMENT_HEADER + 3 * 170 + 100);
	remove_file(&b, TOPIC "-1", 0, ".index"); /* so that it is looked through */
	testing_open(&b);
	assert_non_null(strstr(b.notices, TOPIC "-1/00000000000000000000.log: offsets 3 to 3 are lost"));
	assert_int_equal(read_what_is_left(&b, 0, 0, 10), 0);
	assert_int_equal(read_what_is_left(&b, 1, 0, 10), 1);
	fill(&b, 1, 10, 20);
	check_again(&b, 1, 20, 1);
	/* Who gives it up is rid of it. */
	struct sm_error error;
	struct partition *p = log__topics_partition((struct engine *)b.log, TOPIC, 1);
	assert_int_equal(log__partition_start_at(p, 4, &error), SM_OK);
	log__partition_unref(p);
	assert_int_equal(read_what_is_left(&b, 1, 4, 20), 0);
	testing_end(&b);
}

static void missing_segments(const char *which, int first_lost, int lost_count)
{
	struct bench_log b;
	int64_t offsets[32];
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, "segment.bytes", SEGMENT);
	fill(&b, 0, 0, 100);
	testing_close(&b);
	int count = segments(&b, TOPIC "-0", offsets, 32);
	assert_in_range(count, 6, 32);
	if (first_lost < 0)
		first_lost += count;
	for (int i = first_lost; i < first_lost + lost_count; i++)
		remove_file(&b, TOPIC "-0", offsets[i], ".log");
	int64_t to = first_lost + lost_count < count ? offsets[first_lost + lost_count] : 100;
	int refused = (int)(to - offsets[first_lost]);
	testing_open(&b);
	if (end_of(&b, 0) < 100)
		fail_msg("%s: offset %lld is given out again", which, (long long)end_of(&b, 0));
	if (first_lost + lost_count < count && end_of(&b, 0) != 100)
		fail_msg("%s: the log goes on at %lld", which, (long long)end_of(&b, 0));
	assert_int_equal(read_what_is_left(&b, 0, 0, 100), refused);
	int64_t start;
	assert_int_equal(b.log->ops->offset_for(b.log, TOPIC, 0, LOG_EARLIEST, &start, NULL), SM_OK);
	assert_int_equal(start, 0);
	/* In the middle nobody looks before a reader does. */
	if (first_lost == 0 || first_lost + lost_count == count)
		assert_non_null(strstr(b.notices, "are lost"));
	int64_t next = end_of(&b, 0);
	assert_int_equal(testing_append(&b, TOPIC, 0, 7, 1, 100), next);
	testing_reopen(&b);
	assert_int_equal(end_of(&b, 0), next + 1);
	assert_int_equal(read_what_is_left(&b, 0, 0, 100), refused);
	testing_end(&b);
}

static void missing_segment_is_a_hole_wherever_it_was(void **state)
{
	missing_segments("first", 0, 1);
	missing_segments("first two", 0, 2);
	missing_segments("middle", 2, 1);
	missing_segments("last", -1, 1);
	missing_segments("last three", -3, 3);
}

static void last_segment_is_missed_without_any_file_that_names_it(void **state)
{
	struct bench_log b;
	int64_t offsets[32];
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, "segment.bytes", SEGMENT);
	fill(&b, 0, 0, 50);
	testing_close(&b);
	int count = segments(&b, TOPIC "-0", offsets, 32);
	remove_file(&b, TOPIC "-0", offsets[count - 1], ".log");
	remove_file(&b, TOPIC "-0", offsets[count - 1], ".index");
	remove_file(&b, TOPIC "-0", offsets[count - 1], ".timeindex");
	remove_file(&b, TOPIC "-0", offsets[count - 1], ".txnindex");
	remove_file(&b, TOPIC "-0", offsets[count - 1], ".snapshot");
	remove_file(&b, TOPIC "-0", 50, ".snapshot");
	testing_open(&b);
	assert_true(end_of(&b, 0) >= 50);
	assert_int_equal(read_what_is_left(&b, 0, 0, 50), 50 - offsets[count - 1]);
	testing_end(&b);
}

static void deleted_records_are_not_missed(void **state)
{
	struct bench_log b;
	struct sm_error error;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, "segment.bytes", SEGMENT);
	fill(&b, 0, 0, 60);
	struct partition *p = log__topics_partition((struct engine *)b.log, TOPIC, 0);
	p->settings.retention_bytes = 5000;
	assert_int_equal(log__partition_drop_old(p, T0, -1, &error), SM_OK);
	int64_t start = p->log_start_offset;
	log__partition_unref(p);
	assert_in_range(start, 10, 59);
	testing_reopen(&b);
	assert_string_equal(b.notices, "");
	assert_int_equal(read_what_is_left(&b, 0, start, 60), 0);
	testing_end(&b);
}

/* ---- producers ---- */

static enum sm_err put(struct bench_log *b, int64_t producer, int32_t sequence)
{
	struct buf out;
	int64_t offset;
	buf_init(&out);
	testing_batch_put(&out, TOPIC, 0, 1, 100, producer, 0, sequence);
	enum sm_err err = log_append_wait(b->log, TOPIC, 0, out.data + out.start, buf_size(&out), &offset);
	buf_done(&out);
	return err;
}

static void producers_go_on_behind_a_loss(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	for (int i = 0; i < 5; i++)
		assert_int_equal(put(&b, 7, i), SM_OK);
	for (int i = 0; i < 5; i++)
		assert_int_equal(put(&b, 8, i), SM_OK);
	assert_int_equal(put(&b, 7, 6), SM_SEQUENCE_GAP);
	testing_close(&b);
	/* A batch of 7, and what 8 has sent behind it is there. */
	damage(&b, TOPIC "-0/00000000000000000000.log", SEGMENT_HEADER + 4 * 170 + 100);
	remove_file(&b, TOPIC "-0", 0, ".index");
	testing_open(&b);
	assert_non_null(strstr(b.notices, "offsets 4 to 4"));
	testing_reopen(&b); /* nor is it forgotten */
	assert_int_equal(put(&b, 8, 6), SM_SEQUENCE_GAP);
	assert_int_equal(put(&b, 8, 5), SM_OK);
	assert_int_equal(put(&b, 7, 9), SM_OK);
	assert_int_equal(put(&b, 7, 11), SM_SEQUENCE_GAP);
	testing_end(&b);
}

/* ---- the table of topics ---- */

static void write_file(const struct bench_log *b, const char *name, const char *text)
{
	char path[200];
	path_in(b, path, name);
	assert_int_equal(io_write_file_atomic(&io_system, path, bytes_str(text), NULL), SM_OK);
}

static void unlink_in(const struct bench_log *b, const char *name)
{
	char path[200];
	path_in(b, path, name);
	assert_int_equal(unlink(path), 0);
}

static void table_of_topics_comes_from_its_copy(void **state)
{
	for (int how = 0; how < 4; how++) {
		struct bench_log b;
		testing_begin(&b);
		testing_topic(&b, TOPIC, 1, NULL, NULL);
		fill(&b, 0, 0, 10);
		testing_close(&b);
		switch (how) {
		case 0: unlink_in(&b, "topics.json"); break;
		case 1: damage(&b, "topics.json", 3); break;
		case 2: write_file(&b, "topics.json", "{\"version\": 2, \"topics\": [{\"name\": \"x\"}]}"); break;
		case 3: write_file(&b, "topics.json", "{\"version\": 2, \"crc32c\": \"00000000\", \"topics\": []}"); break;
		}
		testing_open(&b);
		assert_non_null(strstr(b.notices, "topics.copy.json is used"));
		assert_int_equal(read_what_is_left(&b, 0, 0, 10), 0);
		testing_close(&b);
		/* Both are there again. */
		unlink_in(&b, "topics.copy.json");
		testing_open(&b);
		assert_string_equal(b.notices, "");
		testing_close(&b);
		unlink_in(&b, "topics.json");
		testing_open(&b);
		assert_int_equal(read_what_is_left(&b, 0, 0, 10), 0);
		testing_end(&b);
	}
}

static void log_without_its_table_is_not_taken_for_a_new_one(void **state)
{
	struct bench_log b;
	struct sm_error error;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	fill(&b, 0, 0, 10);
	testing_close(&b);
	unlink_in(&b, "topics.json");
	unlink_in(&b, "topics.copy.json");
	assert_int_equal(testing_try_open(&b, &error), SM_CORRUPT);
	assert_non_null(strstr(error.text, TOPIC "-0"));
	write_file(&b, "topics.json", "no");
	write_file(&b, "topics.copy.json", "no");
	assert_int_equal(testing_try_open(&b, &error), SM_CORRUPT);
	assert_non_null(strstr(error.text, "restore"));
	testing_end(&b);
}

/* Who edits the file by hand leaves the checksum out. */
static void table_of_topics_can_be_edited(void **state)
{
	struct bench_log b;
	testing_begin(&b);
	testing_close(&b);
	write_file(
		&b, "topics.json",
		"{\"version\": 2, \"topics\": [{\"name\": \"l\", \"id\": \"01234567-89ab-cdef-0123-456789abcdef\", \"partitions\": 1}]}");
	testing_open(&b);
	assert_string_equal(b.notices, "");
	fill(&b, 0, 0, 3);
	testing_end(&b);
}

/* ---- what cannot be opened ---- */

static void partition_that_cannot_be_opened_is_offline_and_the_others_are_not(void **state)
{
	struct bench_log b;
	struct sm_error error;
	struct log_read_result r;
	char path[200];
	int64_t offset;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 2, NULL, NULL);
	fill(&b, 0, 0, 10);
	fill(&b, 1, 0, 10);
	testing_close(&b);
	write_file(&b, TOPIC "-1/start", "twelve bytes");
	testing_open(&b);
	assert_non_null(strstr(b.notices, "partition " TOPIC "-1 is offline"));
	assert_int_equal(read_what_is_left(&b, 0, 0, 10), 0);
	fill(&b, 0, 10, 12);
	assert_int_equal(b.log->ops->read(b.log, TOPIC, 1, 0, 100, &r), SM_IO);
	assert_int_equal(b.log->ops->offset_for(b.log, TOPIC, 1, LOG_LATEST, &offset, NULL), SM_IO);
	assert_int_equal(testing_try_append(&b, TOPIC, 1, 0, 1, 100, &offset), SM_IO);
	testing_close(&b);
	/* Made right, all is there. */
	unlink_in(&b, TOPIC "-1/start");
	testing_open(&b);
	assert_int_equal(read_what_is_left(&b, 1, 0, 10), 0);
	fill(&b, 1, 10, 12);
	testing_close(&b);
	/* Given up, it goes. */
	write_file(&b, TOPIC "-1/start", "twelve bytes");
	testing_open(&b);
	assert_int_equal(log_topic_delete_wait(b.log, TOPIC, &error), SM_OK);
	path_in(&b, path, TOPIC "-1");
	assert_int_not_equal(access(path, F_OK), 0);
	testing_end(&b);
}

/* ---- offsets of groups ---- */

struct waited {
	sem_t done;
	enum sm_err err;
};

static void committed(void *arg, enum sm_err err)
{
	struct waited *w = arg;
	w->err = err;
	sem_post(&w->done);
}

static void commit(struct bench_log *b, const char *group, int64_t offset)
{
	struct waited w;
	const struct log_group_offset o = {.topic = TOPIC, .partition = 0, .offset = offset, .leader_epoch = -1};
	sem_init(&w.done, 0, 0);
	b->log->ops->offsets_commit(b->log, group, &o, 1, committed, &w);
	sem_wait(&w.done);
	assert_int_equal(w.err, SM_OK);
}

static enum sm_err fetch(struct bench_log *b, const char *group, int64_t *ret_offset)
{
	struct log_group_offset o = {.topic = TOPIC, .partition = 0, .offset = -1};
	void *hold = NULL;
	enum sm_err err = b->log->ops->offsets_fetch(b->log, group, &o, 1, &hold);
	*ret_offset = o.offset;
	if (!err)
		b->log->ops->offsets_release(b->log, hold);
	return err;
}

static void groups_know_what_can_be_read_of_their_offsets(void **state)
{
	struct bench_log b;
	char name[100];
	int64_t offset;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	for (int64_t i = 1; i <= 5; i++)
		commit(&b, "g", i * 10);
	testing_close(&b);
	snprintf(name, sizeof name, TOPIC_OFFSETS "-%d/%020d.log", log__offsets_partition("g"), 0);
	damage(&b, name, SEGMENT_HEADER + 70); /* the first commit */
	testing_open(&b);
	assert_non_null(strstr(b.notices, "groups that committed offsets there"));
	assert_int_equal(fetch(&b, "g", &offset), SM_OK);
	assert_int_equal(offset, 50);
	commit(&b, "g", 60);
	testing_close(&b);
	snprintf(name, sizeof name, TOPIC_OFFSETS "-%d/start", log__offsets_partition("g"));
	write_file(&b, name, "twelve bytes");
	testing_open(&b);
	/* Not "none", on which a consumer would begin anew. */
	assert_int_equal(fetch(&b, "g", &offset), SM_IO);
	testing_end(&b);
}

static void scrubber_finds_what_nobody_reads(void **state)
{
	struct bench_log b;
	struct engine *e;
	int64_t offsets[100];
	char name[100];
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, "segment.bytes", SEGMENT);
	fill(&b, 0, 0, 100);
	testing_close(&b);
	int count = segments(&b, TOPIC "-0", offsets, 100);
	assert_in_range(count, 6, 100);
	snprintf(name, sizeof name, TOPIC "-0/%020lld.log", (long long)offsets[1]);
	damage(&b, name, SEGMENT_HEADER + 100);
	snprintf(name, sizeof name, TOPIC "-0/%020lld.log", (long long)offsets[3]);
	damage(&b, name, SEGMENT_HEADER + 170 + 100);
	testing_open(&b);
	assert_string_equal(b.notices, "");
	e = (struct engine *)b.log;
	for (int i = 0; i < 1000; i++) /* by little pieces: it goes on where it was */
		log__scrub_some(e, 200);
	char want[100];
	snprintf(want, sizeof want, "%020lld.log is damaged at position 8192: offsets %lld to %lld", (long long)offsets[1],
		 (long long)offsets[1], (long long)offsets[1]);
	assert_non_null(strstr(b.notices, want));
	snprintf(want, sizeof want, "%020lld.log is damaged at position", (long long)offsets[3]);
	assert_non_null(strstr(b.notices, want));
	testing_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rot_in_the_last_segment_costs_one_batch_of_one_partition),
		cmocka_unit_test(missing_segment_is_a_hole_wherever_it_was),
		cmocka_unit_test(last_segment_is_missed_without_any_file_that_names_it),
		cmocka_unit_test(deleted_records_are_not_missed),
		cmocka_unit_test(producers_go_on_behind_a_loss),
		cmocka_unit_test(table_of_topics_comes_from_its_copy),
		cmocka_unit_test(log_without_its_table_is_not_taken_for_a_new_one),
		cmocka_unit_test(table_of_topics_can_be_edited),
		cmocka_unit_test(partition_that_cannot_be_opened_is_offline_and_the_others_are_not),
		cmocka_unit_test(scrubber_finds_what_nobody_reads),
		cmocka_unit_test(groups_know_what_can_be_read_of_their_offsets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
