/* Any bytes as the one segment of a partition: recovery opens or refuses it. What it opens can be read, past what is damaged: batches with
 * right checksums, whose offsets count up by one but for what is refused, and end before the next offset to be given out. The first byte
 * says what is made right before, so that the fuzzer gets past the checksums: 1 the marks, 2 the batches, 4 the sizes of the batches too.
 */
#include "base/hash.h"
#include "log/log_internal.h"
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64], path[128];

static void make_dir(void)
{
	snprintf(dir, sizeof dir, "%s/smack-log-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof path, "%s/%020d.log", dir, 0);
}

static void marks_right(uint8_t *p, size_t size)
{
	for (size_t at = 0; at <= 4096 && at + 64 <= size; at += 4096)
		be32_put(p + at + 60, crc32c(0, p + at, 60));
}

static void batches_right(uint8_t *p, size_t size, bool sizes)
{
	int64_t next = 0;
	for (size_t at = SEGMENT_HEADER; at + LOG_BATCH_OVERHEAD <= size;) {
		struct batch_info info;
		if (sizes) {
			be64_put(p + at, (uint64_t)next);
			be32_put(p + at + 8, be32_get(p + at + 8) % 256 + LOG_BATCH_OVERHEAD - 12);
			be32_put(p + at + 12, LOG_LEADER_EPOCH);
			p[at + 16] = 2;
		}
		if (batch_parse(bytes_of(p + at, size - at), &info))
			break;
		be32_put(p + at + 17, crc32c(0, p + at + 21, info.size - 21));
		next += info.last_offset_delta + 1;
		at += info.size;
	}
}

static enum sm_err unlink_it(void *arg, const char *name)
{
	char at[sizeof dir + 300];
	snprintf(at, sizeof at, "%s/%s", dir, name);
	return io_system.ops->unlink(&io_system, at, NULL);
}

static void write_segment(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

static void read_all(struct segment *s, int64_t next_offset)
{
	uint8_t *buffer = NULL;
	size_t cap = 0;
	int64_t offset = s->base_offset, found, time, after;
	while (offset < next_offset) {
		struct log_slice slice;
		struct bytes batches;
		struct batch_info info;
		if (log__segment_load(s, NULL))
			abort();
		if (log__segment_read(s, offset, 1000, &slice, &after)) {
			if (log__segment_readable(s, offset, &found))
				break;
			assert(found > offset);
			offset = found;
			continue;
		}
		if (log_slice_bytes(&slice, &buffer, &cap, &batches))
			abort();
		while (batches.size) {
			assert(batch_parse(batches, &info) == SM_OK && batch_crc_ok(batches, &info) && info.base_offset == offset);
			offset = info.base_offset + info.last_offset_delta + 1;
			batches = bytes_of(batches.data + info.size, batches.size - info.size);
		}
		assert(offset == after);
		log_slice_done(&slice);
	}
	if (log__segment_load(s, NULL))
		abort();
	(void)!log__segment_find_time(s, 1, 0, &found, &time);
	free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!dir[0])
		make_dir();
	if (size < 1 || size > 1u << 16)
		return 0;
	uint8_t *copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		marks_right(copy, size - 1);
	if (data[0] & 2)
		batches_right(copy, size - 1, data[0] & 4);
	if (io_system.ops->list(&io_system, dir, unlink_it, NULL, NULL)) /* what the run before has made beside it */
		abort();
	write_segment(copy, size - 1);
	free(copy);

	struct producers producers;
	struct recovered found;
	struct sm_error error;
	const struct recovery r = {.io = &io_system, .dir = dir};
	log__producers_init(&producers);
	if (log__recover(&r, &producers, &found, &error) == SM_OK) {
		for (uint32_t i = 0; i < found.count; i++) {
			read_all(found.segments[i], i + 1 < found.count ? found.segments[i + 1]->base_offset : found.next_offset);
			log__segment_unref(found.segments[i]);
		}
		free(found.segments);
	}
	log__producers_done(&producers);
	return 0;
}
