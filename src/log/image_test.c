/* One segment file, cut and flipped all over: what is left of it is served, what is not is refused, no offset comes twice. Every 41st byte
 * and every 61st bit; with SMACK_TEST_LONG in the environment every byte of 1 MiB and every bit of 64 KiB. */
#include "log/testing.h"
#include <fcntl.h>
#include <sys/wait.h>

#define TOPIC "crash"
#define RECORDS_MAX 8000

struct image {
	uint8_t *data;
	size_t size;
	char dir[64], path[128];
	int records;
	uint64_t end; /* of the last batch */
};

static void image_write(const struct image *m, const uint8_t *data, size_t size)
{
	int fd = open(m->path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	close(fd);
}

/* The one segment of a log with `records` records: as it lies there while the log runs, or after a clean end. */
static void image_make(struct image *m, int records, bool clean)
{
	assert_in_range(records, 1, RECORDS_MAX - 1);
	struct bench_log b;
	struct sm_error error;
	char path[128];
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	for (int i = 0; i < records; i++)
		testing_append(&b, TOPIC, 0, i, 1, 200);
	if (clean)
		testing_close(&b);
	snprintf(path, sizeof path, "%s/" TOPIC "-0/%020d.log", b.dir, 0);
	assert_int_equal(io_read_file(&io_system, path, 16 << 20, &m->data, &m->size, &error), SM_OK);
	testing_end(&b);
	m->records = records;
	testing_dir(&b);
	memcpy(m->dir, b.dir, sizeof m->dir);
	snprintf(m->path, sizeof m->path, "%s/%020d.log", m->dir, 0);
	m->end = SEGMENT_HEADER;
	struct batch_info info;
	while (!batch_parse(bytes_of(m->data + m->end, m->size - m->end), &info))
		m->end += info.size;
}

static void image_done(struct image *m)
{
	free(m->data);
	assert_int_equal(io_remove_tree(&io_system, m->dir, NULL), SM_OK);
}

static char last_notice[700];
static void keep_notice(void *arg, const char *text)
{
	snprintf(last_notice, sizeof last_notice, "%s", text);
}

static enum sm_err unlink_it(void *arg, const char *name)
{
	char path[200];
	snprintf(path, sizeof path, "%s/%s", ((const struct image *)arg)->dir, name);
	return io_system.ops->unlink(&io_system, path, NULL);
}

/* The file alone in its directory. */
static void image_place(const struct image *m, const uint8_t *data, size_t size)
{
	assert_int_equal(io_system.ops->list(&io_system, m->dir, unlink_it, (void *)(uintptr_t)m, NULL), SM_OK);
	image_write(m, data, size);
}

/* Recover the directory and read every record, past what is refused: found[i] says whether record i is there. */
struct outcome {
	bool found[RECORDS_MAX];
	int count;
	int refused; /* holes */
	int64_t next_offset;
};

/* The records of one segment; where reading is refused, on with the next that can be read. */
static void read_segment(struct segment *s, int64_t to, struct outcome *out)
{
	int64_t offset = s->base_offset;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	while (offset < to) {
		struct log_slice slice;
		struct bytes data;
		assert_int_equal(log__segment_load(s, NULL), SM_OK);
		enum sm_err err = log__segment_read(s, offset, 1 << 20, &slice, NULL);
		if (err) {
			int64_t next = to;
			assert_true(err == SM_CORRUPT || err == SM_END);
			err = log__segment_readable(s, offset, &next);
			assert_true(err == SM_OK || err == SM_END);
			assert_true(next > offset);
			offset = next;
			out->refused++;
			continue;
		}
		assert_int_equal(log_slice_bytes(&slice, &buffer, &cap, &data), SM_OK);
		while (data.size) {
			struct batch_reader reader;
			struct record record;
			char want[64];
			assert_int_equal(batch_reader_init(&reader, data), SM_OK);
			assert_true(batch_crc_ok(data, &reader.info));
			assert_int_equal(reader.info.leader_epoch, 0);
			assert_int_equal(batch_next(&reader, &record), SM_OK);
			int n = snprintf(want, sizeof want, TOPIC "-%d", (int)offset);
			assert_int_equal(record.offset, offset);
			assert_memory_equal(record.value.data, want, (size_t)n);
			assert_false(out->found[offset]);
			out->found[offset] = true;
			out->count++;
			offset++;
			data = bytes_of(data.data + reader.info.size, data.size - reader.info.size);
			batch_reader_done(&reader);
		}
		log_slice_done(&slice);
	}
	free(buffer);
}

static enum sm_err recover_and_read(const struct image *m, struct outcome *out, struct sm_error *error)
{
	struct producers producers;
	struct recovered found;
	struct recovery r = {.io = &io_system, .dir = m->dir, .notice = keep_notice};
	memset(out, 0, sizeof *out);
	last_notice[0] = 0;
	log__producers_init(&producers);
	enum sm_err err = log__recover(&r, &producers, &found, error);
	log__producers_done(&producers);
	if (err)
		return err;
	for (uint32_t i = 0; i < found.count; i++) {
		int64_t to = i + 1 < found.count ? found.segments[i + 1]->base_offset : found.next_offset;
		read_segment(found.segments[i], to < RECORDS_MAX ? to : RECORDS_MAX, out);
		log__segment_unref(found.segments[i]);
	}
	out->next_offset = found.next_offset;
	free(found.segments);
	return SM_OK;
}

static int whole_batches(const struct image *m, uint64_t before)
{
	uint64_t at = SEGMENT_HEADER;
	struct batch_info info;
	int count = 0;
	while (!batch_parse(bytes_of(m->data + at, m->size - at), &info) && at + info.size <= before) {
		at += info.size;
		count++;
	}
	return count;
}

static bool is_long(void)
{
	return getenv("SMACK_TEST_LONG") != NULL;
}

/* The long form is shared out to as many processes: this one's number, from 0. In the first process, the test's own, the others have ended
 * well when the function that asked returns to shared_end. */
struct shared {
	int of, number;
	pid_t children[64];
};

static void shared_begin(struct shared *s, struct image *m)
{
	long cores = is_long() ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
	*s = (struct shared){.of = cores < 1 ? 1 : cores > 64 ? 64 : (int)cores};
	for (int i = 1; i < s->of; i++) {
		s->children[i] = fork();
		assert_true(s->children[i] >= 0);
		if (s->children[i] == 0) { /* a directory of its own */
			struct bench_log b;
			testing_dir(&b);
			memcpy(m->dir, b.dir, sizeof m->dir);
			snprintf(m->path, sizeof m->path, "%s/%020d.log", m->dir, 0);
			s->number = i;
			return;
		}
	}
}

static void shared_end(const struct shared *s, struct image *m)
{
	image_done(m);
	if (s->number)
		_exit(0); /* an assertion that failed has ended with another status */
	for (int i = 1; i < s->of; i++) {
		int status;
		assert_int_equal(waitpid(s->children[i], &status, 0), s->children[i]);
		assert_int_equal(status, 0);
	}
}

/* Twice: what the first recovery has written down, the second one finds. In the long form now and then. */
static void recover_twice(const struct image *m, struct outcome *out, const char *what, size_t at)
{
	struct sm_error error;
	static struct outcome again;
	if (recover_and_read(m, out, &error))
		fail_msg("%s %zu: %s", what, at, error.text);
	if (is_long() && at / 2 % 31)
		return;
	if (recover_and_read(m, &again, &error))
		fail_msg("%s %zu, second start: %s", what, at, error.text);
	if (again.count != out->count || again.next_offset != out->next_offset || *last_notice)
		fail_msg("%s %zu, second start: %d records and next offset %lld, not %d and %lld; notice: %s", what, at, again.count,
			 (long long)again.next_offset, out->count, (long long)out->next_offset, last_notice);
}

static void truncated_segment_keeps_every_whole_batch_and_no_offset_comes_twice(void **state)
{
	static struct outcome out;
	struct image m;
	struct shared s;
	image_make(&m, is_long() ? 3900 : 60, false);
	assert_true(!is_long() || m.end >= 1 << 20);
	shared_begin(&s, &m);
	for (size_t size = 0; size < m.size; size += size >= m.end + 200 ? 4099 : is_long() ? 1 : 41) {
		if (size % (size_t)s.of != (size_t)s.number)
			continue;
		image_place(&m, m.data, size);
		recover_twice(&m, &out, "cut at", size);
		assert_int_equal(out.count, whole_batches(&m, size));
		/* Below the marks' size nothing tells that the file was not just being made. */
		if (size < MARK_SIZE)
			continue;
		if (out.next_offset < m.records)
			fail_msg("cut at %zu: offset %lld is given out again", size, (long long)out.next_offset);
	}
	shared_end(&s, &m);
}

/* Flip bits all over: every record but those that the bit hit is there, and no offset comes twice. */
static void flip(bool clean)
{
	static struct outcome out;
	struct image m;
	struct shared s;
	image_make(&m, is_long() ? 240 : 60, clean);
	assert_true(!is_long() || m.end >= 64 << 10);
	uint8_t *copy = malloc(m.size);
	uint64_t refused = 0, bits = m.end * 8;
	shared_begin(&s, &m);
	for (uint64_t bit = 0; bit < bits; bit += is_long() ? 1 : 61) {
		if (bit % (uint64_t)s.of != (uint64_t)s.number)
			continue;
		memcpy(copy, m.data, m.size);
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		image_place(&m, copy, m.size);
		recover_twice(&m, &out, "bit", bit);
		bool hit = bit / 8 >= SEGMENT_HEADER;
		if (out.count != m.records - hit)
			fail_msg("bit %llu: %d of %d records", (unsigned long long)bit, out.count, m.records);
		if (out.next_offset < m.records)
			fail_msg("bit %llu: offset %lld is given out again", (unsigned long long)bit, (long long)out.next_offset);
		if (hit && !out.refused)
			fail_msg("bit %llu of position %llu is not noticed", (unsigned long long)bit, (unsigned long long)bit / 8);
		refused += out.refused > 0;
	}
	assert_true(refused > 0);
	free(copy);
	shared_end(&s, &m);
}

static void flipped_bit_is_never_served_after_a_crash(void **state)
{
	flip(false);
}
static void flipped_bit_is_never_served_after_a_clean_end(void **state)
{
	flip(true);
}

static void torn_tail_is_cut_and_rotten_middle_is_told_with_file_and_position(void **state)
{
	static struct outcome out;
	struct image m;
	image_make(&m, 30, false);
	uint8_t *copy = malloc(m.size);
	/* garbage where the next group would begin: never acknowledged */
	memcpy(copy, m.data, m.size);
	memset(copy + m.end, 0xa5, 3000);
	image_place(&m, copy, m.size);
	recover_twice(&m, &out, "garbage at", m.end);
	assert_int_equal(out.count, 30);
	assert_int_equal(out.next_offset, 30);
	/* the same, but the group before it is damaged: the group that follows proves that it was synced */
	struct sm_error error;
	copy[m.end - 10] ^= 4;
	image_place(&m, copy, m.size);
	assert_int_equal(recover_and_read(&m, &out, &error), SM_OK);
	assert_int_equal(out.count, 29);
	assert_int_equal(out.next_offset, 30);
	assert_non_null(strstr(last_notice, m.path));
	assert_non_null(strstr(last_notice, "offsets 29 to 29"));
	free(copy);
	image_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(torn_tail_is_cut_and_rotten_middle_is_told_with_file_and_position),
		cmocka_unit_test(truncated_segment_keeps_every_whole_batch_and_no_offset_comes_twice),
		cmocka_unit_test(flipped_bit_is_never_served_after_a_crash),
		cmocka_unit_test(flipped_bit_is_never_served_after_a_clean_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
