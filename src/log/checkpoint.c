/* How far a segment that is being written need not be looked through at the next start.
 *
 * LOG/TOPIC-N/checkpoint, big-endian:
 *  offset  size  field
 *       0     4  "SMKC"
 *       4     4  version, 1
 *       8     8  base offset of the segment
 *      16     8  position: all batches before it were right and synced when this was written
 *      24     8  offset at the position
 *      32     8  newest record time in ms before it, -1: no record
 *      40     4  number of aborted transactions
 *      44     4  size of the producers' state
 *      48     4  crc32c of the 48 bytes before and of all that comes after
 *      52        aborted transactions: 8 producer id, 8 first offset, 8 last offset; then the producers as in a snapshot (producer_state.c)
 *
 * The segment's indexes are written beside it, as for a sealed one; they may reach beyond the position. All of this is a hint: nothing of
 * it is synced, a new file is renamed over the old one, and where any of it is missing or damaged the segment is looked through from its
 * start. What is not looked through is checked when it is first read, as in a sealed segment. */
#include "base/hash.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER 52
#define FILE_MAX (96u << 20)

static uint32_t crc_of(const uint8_t *data, size_t size)
{
	return crc32c(crc32c(0, data, HEADER - 4), data + HEADER, size - HEADER);
}

static void put(const struct segment_writer *w, const struct producers *producers, struct buf *out)
{
	const struct segment *s = w->segment;
	buf_append_str(out, "SMKC");
	buf_be32(out, 1);
	buf_be64(out, (uint64_t)s->base_offset);
	buf_be64(out, w->end);
	buf_be64(out, (uint64_t)w->next_offset);
	buf_be64(out, (uint64_t)w->max_timestamp_ms);
	buf_be32(out, s->txns.aborted_count);
	buf_be32(out, 0);
	buf_be32(out, 0);
	for (uint32_t i = 0; i < s->txns.aborted_count; i++) {
		buf_be64(out, (uint64_t)s->txns.aborted[i].producer_id);
		buf_be64(out, (uint64_t)s->txns.aborted[i].first_offset);
		buf_be64(out, (uint64_t)s->txns.aborted[i].last_offset);
	}
	size_t before = buf_size(out);
	log__producers_put(producers, w->next_offset, out);
	if (out->failed)
		return;
	uint8_t *data = out->data + out->start;
	be32_put(data + 44, (uint32_t)(buf_size(out) - before));
	be32_put(data + 48, crc_of(data, buf_size(out)));
}

static enum sm_err file_put(struct io *io, const char *dir, struct bytes data, struct sm_error *reterr)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	struct io_file file;
	struct iovec iov = {(void *)(uintptr_t)data.data, data.size};
	snprintf(path, sizeof path, "%s/checkpoint", dir);
	snprintf(fresh, sizeof fresh, "%s/checkpoint.new", dir);
	enum sm_err err = io->ops->open(io, fresh, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file, reterr);
	if (err)
		return err;
	err = io->ops->pwritev(io, &file, &iov, 1, 0, reterr);
	io->ops->close(io, &file);
	return err ? err : io->ops->rename(io, fresh, path, reterr);
}

enum sm_err log__checkpoint_write(const struct segment_writer *w, const char *dir, const struct producers *producers,
				  struct sm_error *reterr)
{
	const struct segment *s = w->segment;
	struct buf out;
	enum sm_err err = log__index_write(s->io, s->path, s->base_offset, &s->index, reterr);
	if (err)
		return err;
	buf_init(&out);
	put(w, producers, &out);
	err = out.failed ? sm_fail(reterr, SM_NO_MEMORY, "%s: no memory for a checkpoint", dir)
			 : file_put(s->io, dir, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

static enum sm_err take(struct bytes in, struct segment *s, struct checkpoint *ret, struct producers *producers)
{
	const uint8_t *data = in.data;
	if (in.size < HEADER || memcmp(data, "SMKC", 4) != 0 || be32_get(data + 4) != 1 || be32_get(data + 48) != crc_of(data, in.size) ||
	    (int64_t)be64_get(data + 8) != s->base_offset)
		return SM_CORRUPT;
	uint64_t aborted = (uint64_t)be32_get(data + 40) * 24, size = be32_get(data + 44);
	if (in.size != HEADER + aborted + size)
		return SM_CORRUPT;
	*ret = (struct checkpoint){.position = be64_get(data + 16),
				   .next_offset = (int64_t)be64_get(data + 24),
				   .max_timestamp_ms = (int64_t)be64_get(data + 32)};
	enum sm_err err = log__producers_take(producers, bytes_of(data + HEADER + aborted, size), ret->next_offset);
	for (const uint8_t *at = data + HEADER; !err && at < data + HEADER + aborted; at += 24)
		err = log__txn_index_add(&s->txns, &(struct log_aborted){.producer_id = (int64_t)be64_get(at),
									 .first_offset = (int64_t)be64_get(at + 8),
									 .last_offset = (int64_t)be64_get(at + 16)});
	return err;
}

/* The index as it was at the position. */
static void index_cut(struct segment_index *index, int64_t base_offset, const struct checkpoint *at)
{
	while (index->count && index->entries[index->count - 1].position >= at->position)
		index->count--;
	while (index->time_count && base_offset + index->times[index->time_count - 1].offset >= at->next_offset)
		index->time_count--;
	index->newest_ms = index->time_count ? index->times[index->time_count - 1].timestamp_ms : 0;
	if (at->max_timestamp_ms > index->newest_ms)
		index->newest_ms = at->max_timestamp_ms;
}

enum sm_err log__checkpoint_read(struct segment *s, const char *dir, struct checkpoint *ret, struct producers *producers)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t size;
	snprintf(path, sizeof path, "%s/checkpoint", dir);
	enum sm_err err = io_read_file(s->io, path, FILE_MAX, &data, &size, NULL);
	if (err)
		return err;
	if (!(err = take(bytes_of(data, size), s, ret, producers)) && !(err = log__index_read(s->io, s->path, s->base_offset, &s->index)))
		index_cut(&s->index, s->base_offset, ret);
	if (err) {
		log__producers_clear(producers);
		log__txn_index_done(&s->txns);
	}
	free(data);
	return err;
}
