/* A start after a crash looks through what came after the last checkpoint, and knows all that a look through the whole would tell. */
#include "log/testing.h"

#define TOPIC "c"
#define CHECKPOINT_BYTES 20000

/* Counts what is read of segments. */
struct counting {
	struct io io;
	struct io_ops ops;
	atomic_ulong bytes;
};

static enum sm_err counting_pread(struct io *io, struct io_file *file, void *data, size_t size, uint64_t at, size_t *ret_got,
				  struct sm_error *reterr)
{
	enum sm_err err = io_system.ops->pread(io, file, data, size, at, ret_got, reterr);
	if (!err && size > 4096)
		atomic_fetch_add(&((struct counting *)io)->bytes, *ret_got);
	return err;
}

/* The directory as a crash at this moment would leave it; the log goes on. */
static void copy_of(const struct bench_log *b, struct bench_log *copy)
{
	char command[300];
	*copy = (struct bench_log){.system = b->system};
	testing_dir(copy);
	snprintf(command, sizeof command, "cp -a %s/. %s && rm %s/lock", b->dir, copy->dir, copy->dir);
	assert_int_equal(system(command), 0);
}

static enum sm_err put(struct bench_log *b, int64_t producer, int32_t sequence)
{
	struct buf out;
	struct batch_builder builder;
	static const char filler[700];
	buf_init(&out);
	batch_begin(&builder, &out, CODEC_NONE);
	batch_set_producer(&builder, producer, 0, sequence);
	batch_add(&builder, &(struct record){.timestamp_ms = T0 + sequence, .key_null = true, .value = bytes_of(filler, sizeof filler)},
		  NULL, 0);
	assert_int_equal(batch_end(&builder), SM_OK);
	int64_t offset;
	enum sm_err err = log_append_wait(b->log, TOPIC, 0, out.data + out.start, buf_size(&out), &offset);
	buf_done(&out);
	return err;
}

static void a_start_reads_what_came_after_the_checkpoint(void **state)
{
	struct counting counting = {.io = {&counting.ops}, .ops = *io_system.ops};
	struct bench_log b, copy;
	counting.ops.pread = counting_pread;
	testing_begin(&b);
	testing_topic(&b, TOPIC, 1, NULL, NULL);
	((struct engine *)b.log)->checkpoint_bytes = CHECKPOINT_BYTES;
	for (int i = 0; i < 3000; i++)
		assert_int_equal(put(&b, 7, i), SM_OK);
	copy_of(&b, &copy);
	testing_end(&b);

	testing_system(&copy);
	copy.options.io = &counting.io;
	testing_open(&copy);
	assert_string_equal(copy.notices, "");
	assert_in_range(atomic_load(&counting.bytes), 1, 1200000); /* a piece or two, of some 2,300,000 */
	int64_t end, offset, time;
	assert_int_equal(copy.log->ops->offset_for(copy.log, TOPIC, 0, LOG_LATEST, &end, NULL), SM_OK);
	assert_int_equal(end, 3000);
	/* By offset and by time, before and behind the checkpoint. */
	for (int i = 0; i < 3000; i += 7) {
		struct log_read_result r;
		assert_int_equal(copy.log->ops->read(copy.log, TOPIC, 0, i, 1, &r), SM_OK);
		log_slice_done(&r.slice);
		assert_int_equal(copy.log->ops->offset_for(copy.log, TOPIC, 0, T0 + i, &offset, &time), SM_OK);
		assert_int_equal(offset, i);
	}
	/* The producer goes on where it was. */
	assert_int_equal(put(&copy, 7, 2999), SM_OK); /* there already */
	assert_int_equal(copy.log->ops->offset_for(copy.log, TOPIC, 0, LOG_LATEST, &end, NULL), SM_OK);
	assert_int_equal(end, 3000);
	assert_int_equal(put(&copy, 7, 3001), SM_SEQUENCE_GAP);
	assert_int_equal(put(&copy, 7, 3000), SM_OK);
	testing_end(&copy);
}

static void without_a_right_checkpoint_the_whole_is_looked_through(void **state)
{
	static const char *const what[] = {"checkpoint", "00000000000000000000.index", "00000000000000000000.timeindex"};
	for (int how = 0; how < 6; how++) {
		struct bench_log b, copy;
		char path[200];
		uint8_t *data;
		size_t size;
		testing_begin(&b);
		testing_topic(&b, TOPIC, 1, NULL, NULL);
		((struct engine *)b.log)->checkpoint_bytes = CHECKPOINT_BYTES;
		for (int i = 0; i < 100; i++)
			assert_int_equal(put(&b, 7, i), SM_OK);
		copy_of(&b, &copy);
		testing_end(&b);
		snprintf(path, sizeof path, "%s/" TOPIC "-0/%s", copy.dir, what[how / 2]);
		assert_int_equal(io_read_file(&io_system, path, 1 << 20, &data, &size, NULL), SM_OK);
		data[size / 2] ^= 4;
		if (how % 2)
			assert_int_equal(unlink(path), 0);
		else
			assert_int_equal(io_write_file_atomic(&io_system, path, bytes_of(data, size), NULL), SM_OK);
		free(data);
		testing_system(&copy);
		testing_open(&copy);
		assert_string_equal(copy.notices, "");
		int64_t end;
		assert_int_equal(copy.log->ops->offset_for(copy.log, TOPIC, 0, LOG_LATEST, &end, NULL), SM_OK);
		assert_int_equal(end, 100);
		assert_int_equal(put(&copy, 7, 101), SM_SEQUENCE_GAP);
		assert_int_equal(put(&copy, 7, 100), SM_OK);
		testing_end(&copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_reads_what_came_after_the_checkpoint),
		cmocka_unit_test(without_a_right_checkpoint_the_whole_is_looked_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
