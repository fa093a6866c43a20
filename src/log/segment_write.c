/* The writing side of a segment, and the marks that make its recovery decidable.
 *
 * BASE.log (BASE: its first offset in 20 digits)
 *      0  4096  mark, page 0
 *   4096  4096  mark, page 1
 *   8192        record batches, back to back, exactly as on the wire; then zeros that were written ahead
 *
 * A mark, big-endian, at the start of its page (the rest of the page is zero):
 *  offset  size  field
 *       0     4  "SMKL"
 *       4     2  version, 1
 *       6     2  kind: 0 group, 1 synced, 2 clean, 3 sealed: clean, and the segment after this one has been made
 *       8     8  number, one more than the mark's before it; the higher one of the two counts
 *      16     8  start: everything before this position was synced when the mark was written
 *      24     8  end: the group being written reaches up to here (others: start)
 *      32     8  base offset of the segment
 *      40     8  offset after the last record before end
 *      48     8  newest record time in ms before end, -1: no record
 *      56     4  0
 *      60     4  crc32c of the 60 bytes before
 *
 * The order that everything rests on: a group (its mark and its batches) is written only after the sync of the group
 * before it returned. So whatever of group n+1 is found on disk proves all of group n. Marks alternate between two pages,
 * and the page of the last mark known to be synced is never written: one whole mark is always there. After a sync a
 * "synced" mark is written without a sync of its own: it usually reaches the disk (always, when only the process dies), and
 * then the last group too counts as acknowledged and a flaw in it as rot, not as a torn tail. recovery.c reads all this.
 *
 * Where an operator has chosen to sync at an interval (log.sync_interval), groups are written without marks, and the sync makes one group
 * of all since the last: its mark is written when they are, and nothing is written until the sync has returned. What stands behind the
 * mark's end then proves as much as before.
 *
 * Zeros are written ahead, so that a group's sync finds its blocks and the file's size unchanged and is one write. A large group extends
 * the file itself: there the second write would cost more than the longer sync. */
#include "base/hash.h"
#include "log/log_internal.h"
#include <assert.h>
#include <stdlib.h>

#define FILL_MIN (64u << 10)
#define FILL_MAX (4u << 20)
#define EXTEND_MIN (256u << 10) /* a group from this size on, and each that is written past the page cache */

static uint8_t zeros[64u << 10];

static bool mark_decode(const uint8_t *p, struct segment_mark *mark, bool *newer_version)
{
	if (memcmp(p, "SMKL", 4) != 0 || be32_get(p + 60) != crc32c(0, p, 60))
		return false;
	if (be16_get(p + 4) != 1 || be16_get(p + 6) > MARK_SEALED) {
		*newer_version = true;
		return false;
	}
	*mark = (struct segment_mark){
		.kind = (enum mark_kind)be16_get(p + 6),
		.number = be64_get(p + 8),
		.start = be64_get(p + 16),
		.end = be64_get(p + 24),
		.base_offset = (int64_t)be64_get(p + 32),
		.next_offset = (int64_t)be64_get(p + 40),
		.max_timestamp_ms = (int64_t)be64_get(p + 48),
	};
	return mark->start >= SEGMENT_HEADER && mark->end >= mark->start;
}

enum sm_err log__mark_read(struct io *io, struct io_file *file, struct segment_mark *ret_mark, int *ret_page, struct sm_error *reterr)
{
	bool found = false, newer_version = false;
	for (int page = 0; page < 2; page++) {
		uint8_t data[MARK_SIZE];
		size_t got;
		struct segment_mark mark;
		enum sm_err err = io->ops->pread(io, file, data, sizeof data, (uint64_t)page * MARK_PAGE, &got, reterr);
		if (err)
			return err;
		if (got < sizeof data || !mark_decode(data, &mark, &newer_version))
			continue;
		if (!found || mark.number > ret_mark->number) {
			*ret_mark = mark;
			*ret_page = page;
			found = true;
		}
	}
	if (newer_version)
		return sm_fail(reterr, SM_VERSION, "the segment was written by a newer version");
	return found ? SM_OK : SM_NOT_FOUND;
}

static enum sm_err mark_write(struct segment_writer *w, enum mark_kind kind, uint64_t start, uint64_t end, int64_t next_offset,
			      int64_t max_timestamp_ms, struct sm_error *reterr)
{
	uint8_t data[MARK_SIZE] = "SMKL";
	be16_put(data + 4, 1);
	be16_put(data + 6, (uint16_t)kind);
	be64_put(data + 8, ++w->mark_number);
	be64_put(data + 16, start);
	be64_put(data + 24, end);
	be64_put(data + 32, (uint64_t)w->segment->base_offset);
	be64_put(data + 40, (uint64_t)next_offset);
	be64_put(data + 48, (uint64_t)max_timestamp_ms);
	be32_put(data + 60, crc32c(0, data, 60));
	struct iovec iov = {data, sizeof data};
	struct io *io = w->segment->io;
	return io->ops->pwritev(io, &w->segment->file, &iov, 1, (uint64_t)!w->synced_page * MARK_PAGE, reterr);
}

/* The sync of what mark_write wrote last has returned. */
static void mark_synced(struct segment_writer *w)
{
	w->synced_page = !w->synced_page;
}

/* Zeros from w->filled up to `to`. */
static enum sm_err fill(struct segment_writer *w, uint64_t to, struct sm_error *reterr)
{
	struct io *io = w->segment->io;
	while (w->filled < to) {
		struct iovec iov[16];
		int n = 0;
		uint64_t at = w->filled;
		for (; n < 16 && at < to; n++) {
			size_t size = to - at < sizeof zeros ? (size_t)(to - at) : sizeof zeros;
			iov[n] = (struct iovec){zeros, size};
			at += size;
		}
		enum sm_err err = io->ops->pwritev(io, &w->segment->file, iov, n, w->filled, reterr);
		if (err)
			return err;
		w->filled = at;
	}
	return SM_OK;
}

/* How far to fill so that `end` lies inside: chunks grow with the segment, so that a small topic stays small. */
static uint64_t fill_target(uint64_t end, uint64_t segment_bytes)
{
	uint64_t chunk = end < FILL_MIN ? FILL_MIN : end > FILL_MAX ? FILL_MAX : end;
	uint64_t to = end + chunk;
	if (to > segment_bytes && end <= segment_bytes)
		to = segment_bytes;
	return (to + 4095) / 4096 * 4096;
}

enum sm_err log__writer_create(struct segment_writer *w, const char *dir, struct sm_error *reterr)
{
	struct segment *s = w->segment;
	struct io *io = s->io;
	enum sm_err err = io->ops->open(io, s->path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &s->file, reterr);
	if (err)
		return err;
	w->end = w->synced = w->filled = SEGMENT_HEADER;
	w->mark_number = 0;
	w->synced_page = 1;
	w->next_offset = s->base_offset;
	w->max_timestamp_ms = -1;
	w->torn = false;
	w->unclean = true;
	/* An empty header first: a hole here would cost the first group's sync a block. */
	struct iovec iov = {zeros, SEGMENT_HEADER};
	if ((err = io->ops->pwritev(io, &s->file, &iov, 1, 0, reterr)))
		goto failed;
	if ((err = mark_write(w, MARK_SYNCED, w->end, w->end, w->next_offset, -1, reterr)))
		goto failed;
	if ((err = io->ops->fdatasync(io, &s->file, reterr)))
		goto failed;
	if ((err = io->ops->sync_dir(io, dir, reterr)))
		goto failed;
	mark_synced(w);
	s->loaded = s->active = s->kept = true;
	s->end = s->checked_from = SEGMENT_HEADER;
	s->next_offset = s->base_offset;
	s->max_timestamp_ms = -1;
	return SM_OK;
failed:
	io->ops->close(io, &s->file);
	s->file.fd = -1;
	io->ops->unlink(io, s->path, NULL);
	return err;
}

static bool may_retry(enum sm_err err)
{
	return err == SM_NO_SPACE || err == SM_NO_FILES || err == SM_NO_MEMORY;
}

/* Take away what a failed write left after the end, on disk too: stale batches there would look like the next group. */
static enum sm_err untear(struct segment_writer *w, struct sm_error *reterr)
{
	struct io *io = w->segment->io;
	enum sm_err err = io->ops->truncate(io, &w->segment->file, w->end, reterr);
	if (err)
		return err;
	if ((err = io->ops->fdatasync(io, &w->segment->file, reterr)))
		return err;
	w->filled = w->end;
	w->torn = false;
	return SM_OK;
}

static void all_synced(struct segment_writer *w)
{
	mark_synced(w);
	w->synced = w->end;
	/* A failure here harms nothing yet: the next group will meet it again. */
	(void)!mark_write(w, MARK_SYNCED, w->end, w->end, w->next_offset, w->max_timestamp_ms, NULL);
}

enum sm_err log__writer_sync(struct segment_writer *w, struct sm_error *reterr)
{
	struct io *io = w->segment->io;
	enum sm_err err;
	if (w->synced == w->end)
		return SM_OK;
	if ((err = mark_write(w, MARK_GROUP, w->synced, w->end, w->next_offset, w->max_timestamp_ms, reterr)) ||
	    (err = io->ops->fdatasync(io, &w->segment->file, reterr)))
		return err;
	all_synced(w);
	return SM_OK;
}

enum sm_err log__writer_group(struct segment_writer *w, const struct group_write *group, bool *ret_retry, struct sm_error *reterr)
{
	struct io *io = w->segment->io;
	struct io_file *file = &w->segment->file;
	uint64_t end = w->end + group->size;
	int64_t newest = group->max_timestamp_ms > w->max_timestamp_ms ? group->max_timestamp_ms : w->max_timestamp_ms;
	enum sm_err err;
	*ret_retry = false;
	if (w->torn && (err = untear(w, reterr)))
		return err;
	w->unclean = true;
	bool bulk = !group->later && log__bulk_wants(group->bulk, w->segment, group->size);
	bool extend = bulk || group->size >= EXTEND_MIN;
	struct bulk *pieces = NULL;
	if (end > w->filled && !extend && (err = fill(w, fill_target(end, group->segment_bytes), reterr)))
		goto torn;
	if (!group->later && (err = mark_write(w, MARK_GROUP, w->end, end, group->next_offset, newest, reterr)))
		goto torn;
	err = bulk ? log__bulk_write(group->bulk, w->segment, group->iov, group->iov_count, w->end, &pieces, reterr)
		   : io->ops->pwritev(io, file, group->iov, group->iov_count, w->end, reterr);
	if (err)
		goto torn;
	if (!group->later && !group->no_sync && (err = io->ops->fdatasync(io, file, reterr))) {
		log__bulk_failed(pieces);
		return err; /* never again on this file: the kernel may have dropped the pages and call the next sync good */
	}
	if (bulk)
		log__bulk_written(group->bulk, w->segment, pieces, group->next_offset);
	w->end = end;
	if (w->filled < end)
		w->filled = end;
	w->next_offset = group->next_offset;
	w->max_timestamp_ms = newest;
	if (!group->later)
		all_synced(w);
	return SM_OK;
torn:
	w->torn = true;
	*ret_retry = may_retry(err);
	return err;
}

enum sm_err log__writer_cut(struct segment_writer *w, struct sm_error *reterr)
{
	struct io *io = w->segment->io;
	enum sm_err err = io->ops->truncate(io, &w->segment->file, w->end, reterr);
	if (err)
		return err;
	if ((err = mark_write(w, MARK_SYNCED, w->end, w->end, w->next_offset, w->max_timestamp_ms, reterr)))
		return err;
	if ((err = io->ops->fdatasync(io, &w->segment->file, reterr)))
		return err;
	mark_synced(w);
	w->synced = w->filled = w->end;
	w->torn = false;
	w->unclean = true;
	return SM_OK;
}

enum sm_err log__writer_finish(struct segment_writer *w, enum mark_kind kind, struct sm_error *reterr)
{
	struct segment *s = w->segment;
	struct io *io = s->io;
	enum sm_err err;
	if ((err = io->ops->truncate(io, &s->file, w->end, reterr)))
		return err;
	if ((err = mark_write(w, kind, w->end, w->end, w->next_offset, w->max_timestamp_ms, reterr)))
		return err;
	if ((err = io->ops->fdatasync(io, &s->file, reterr)))
		return err;
	mark_synced(w);
	w->synced = w->filled = w->end;
	w->torn = w->unclean = false;
	return SM_OK;
}

enum sm_err log__writer_seal(struct segment_writer *w, struct sm_error *reterr)
{
	struct segment *s = w->segment;
	enum sm_err err;
	if (!w->unclean)
		return SM_OK;
	if ((err = log__index_write(s->io, s->path, s->base_offset, &s->index, reterr)))
		return err;
	return log__writer_finish(w, MARK_CLEAN, reterr);
}

enum sm_err log__writer_followed(struct segment_writer *w, bool sync, struct sm_error *reterr)
{
	struct io *io = w->segment->io;
	enum sm_err err = mark_write(w, MARK_SEALED, w->end, w->end, w->next_offset, w->max_timestamp_ms, reterr);
	return err || !sync ? err : io->ops->fdatasync(io, &w->segment->file, reterr);
}
