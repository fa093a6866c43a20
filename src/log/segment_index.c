/* The two sparse indexes of a segment. They are kept in memory while a segment is written, and stored when it is sealed or
 * the log is closed. They are hints: a lookup checks what it finds, and without an index the segment is scanned.
 *
 * BASE.index and BASE.timeindex, big-endian:
 *  offset  size  field
 *       0     4  "SMKI" or "SMKT"
 *       4     4  version, 1
 *       8     8  base offset
 *      16     4  number of entries
 *      20     4  crc32c of the entries
 *      24        entries
 *  index:      4 offset of a batch less the base offset, 4 its position. Ascending; at least SEGMENT_INDEX_INTERVAL apart.
 *  time index: 8 newest record time up to and with a batch, 4 that batch's offset less the base offset. Ascending. */
#include "base/hash.h"
#include "log/log_internal.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define INDEX_HEADER 24
#define INDEX_FILE_MAX (64u << 20)

void log__index_done(struct segment_index *index)
{
	free(index->entries);
	free(index->times);
	*index = (struct segment_index){0};
}

static void *grown(void *items, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return items;
	uint32_t want = *cap ? *cap * 2 : 16;
	void *p = realloc(items, want * size);
	if (p)
		*cap = want;
	return p;
}

enum sm_err log__index_add(struct segment_index *index, int64_t base_offset, const struct batch_info *info, uint64_t position)
{
	if (info->max_timestamp_ms > index->newest_ms)
		index->newest_ms = info->max_timestamp_ms;
	if (index->count && position < index->entries[index->count - 1].position + (uint64_t)SEGMENT_INDEX_INTERVAL)
		return SM_OK;
	uint32_t offset = (uint32_t)(info->base_offset - base_offset);
	struct index_entry *entries = grown(index->entries, index->count, &index->cap, sizeof *entries);
	if (!entries)
		return SM_NO_MEMORY;
	index->entries = entries;
	entries[index->count++] = (struct index_entry){offset, (uint32_t)position};
	if (index->time_count && index->newest_ms <= index->times[index->time_count - 1].timestamp_ms)
		return SM_OK;
	struct time_entry *times = grown(index->times, index->time_count, &index->time_cap, sizeof *times);
	if (!times)
		return SM_NO_MEMORY;
	index->times = times;
	times[index->time_count++] = (struct time_entry){index->newest_ms, offset};
	return SM_OK;
}

/* ---- files ---- */

static void path_of(const char *segment_path, const char *suffix, char *out, size_t size)
{
	assert(segment_path);
	snprintf(out, size, "%.*s%s", (int)(strlen(segment_path) - strlen(".log")), segment_path, suffix);
}

static enum sm_err file_write(struct io *io, const char *path, const char *magic, int64_t base_offset, uint32_t count, struct buf *entries,
			      struct sm_error *reterr)
{
	uint8_t header[INDEX_HEADER];
	struct bytes body = buf_bytes(entries);
	memcpy(header, magic, 4);
	be32_put(header + 4, 1);
	be64_put(header + 8, (uint64_t)base_offset);
	be32_put(header + 16, count);
	be32_put(header + 20, crc32c(0, body.data, body.size));
	struct iovec iov[2] = {{header, sizeof header}, {(void *)(uintptr_t)body.data, body.size}};
	struct io_file file;
	enum sm_err err = io->ops->open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file, reterr);
	if (err)
		return err;
	err = io->ops->pwritev(io, &file, iov, body.size ? 2 : 1, 0, reterr);
	io->ops->close(io, &file);
	return err;
}

enum sm_err log__index_write(struct io *io, const char *segment_path, int64_t base_offset, const struct segment_index *index,
			     struct sm_error *reterr)
{
	char path[PATH_MAX];
	struct buf out;
	buf_init(&out);
	for (uint32_t i = 0; i < index->count; i++) {
		buf_be32(&out, index->entries[i].offset);
		buf_be32(&out, index->entries[i].position);
	}
	path_of(segment_path, ".index", path, sizeof path);
	enum sm_err err = out.failed ? SM_NO_MEMORY : file_write(io, path, "SMKI", base_offset, index->count, &out, reterr);
	if (err)
		goto done;
	buf_clear(&out);
	for (uint32_t i = 0; i < index->time_count; i++) {
		buf_be64(&out, (uint64_t)index->times[i].timestamp_ms);
		buf_be32(&out, index->times[i].offset);
	}
	path_of(segment_path, ".timeindex", path, sizeof path);
	err = out.failed ? SM_NO_MEMORY : file_write(io, path, "SMKT", base_offset, index->time_count, &out, reterr);
done:
	buf_done(&out);
	return err;
}

/* The entries of a file whose header and checksum are right. */
static enum sm_err file_read(struct io *io, const char *path, const char *magic, int64_t base_offset, size_t entry_size, uint8_t **ret_data,
			     uint32_t *ret_count)
{
	uint8_t *data;
	size_t size;
	enum sm_err err = io_read_file(io, path, INDEX_FILE_MAX, &data, &size, NULL);
	if (err)
		return err;
	if (size < INDEX_HEADER || memcmp(data, magic, 4) != 0 || be32_get(data + 4) != 1 || (int64_t)be64_get(data + 8) != base_offset ||
	    size - INDEX_HEADER != be32_get(data + 16) * entry_size ||
	    be32_get(data + 20) != crc32c(0, data + INDEX_HEADER, size - INDEX_HEADER)) {
		free(data);
		return SM_CORRUPT;
	}
	*ret_data = data;
	*ret_count = be32_get(data + 16);
	return SM_OK;
}

enum sm_err log__index_read(struct io *io, const char *segment_path, int64_t base_offset, struct segment_index *ret_index)
{
	char path[PATH_MAX];
	uint8_t *entries = NULL, *times = NULL;
	struct segment_index index = {0};
	path_of(segment_path, ".index", path, sizeof path);
	enum sm_err err = file_read(io, path, "SMKI", base_offset, 8, &entries, &index.count);
	path_of(segment_path, ".timeindex", path, sizeof path);
	if (err || (err = file_read(io, path, "SMKT", base_offset, 12, &times, &index.time_count)))
		goto done;
	index.cap = index.count;
	index.time_cap = index.time_count;
	index.entries = calloc(index.count + 1, sizeof *index.entries);
	index.times = calloc(index.time_count + 1, sizeof *index.times);
	if (!index.entries || !index.times) {
		log__index_done(&index);
		err = SM_NO_MEMORY;
		goto done;
	}
	for (uint32_t i = 0; i < index.count; i++) {
		const uint8_t *p = entries + INDEX_HEADER + i * 8;
		index.entries[i] = (struct index_entry){be32_get(p), be32_get(p + 4)};
	}
	for (uint32_t i = 0; i < index.time_count; i++) {
		const uint8_t *p = times + INDEX_HEADER + i * 12;
		index.times[i] = (struct time_entry){(int64_t)be64_get(p), be32_get(p + 8)};
		index.newest_ms = index.times[i].timestamp_ms;
	}
	*ret_index = index;
done:
	free(entries);
	free(times);
	return err;
}
