/* Recovery of one partition's directory.
 *
 * Only the last segment can have been written when the process or the machine stopped: the others were sealed and synced
 * before the next one was made. If its mark is clean and the index is there, nothing is read. Else every batch of it is
 * checked, from the last checkpoint (checkpoint.c) or its start on: header, base offset, CRC. Let X be the first position that holds no
 * right batch (the zeros written ahead, the end of the file, a torn or a rotten one), and g the group of the newest mark (segment_write.c):
 *
 *   - Everything before g's start was synced before g was written: X there is rot.
 *   - Everything before g's end was synced too if the mark says "synced" or "clean", or if any byte after g's end is not
 *     zero: the next group was begun, so g's sync had returned. X there is rot.
 *   - Otherwise X lies in the only group that was not known to be synced. Power loss may have dropped, torn or reordered
 *     its pages: the tail from X on was never acknowledged, and is cut.
 *
 * Rot, or a file that ends before X, has lost acknowledged records: salvage.c goes on from there. So it does when the last
 * segments are missing. A flaw in the last acknowledged group can pass for a torn tail only if power was lost before the
 * synced mark that follows each group reached the disk, and the medium rotted too.
 *
 * What is kept after g's start was perhaps never synced (the process died, or a sync failed and the page cache says
 * otherwise than the disk): it is written once more and synced before anybody reads it.
 *
 * Producer state: the snapshot at the last segment's start (or at its clean end), brought forward by the scan. Without a
 * snapshot the headers of all segments are read. */
#include "log/recovery_internal.h"
#include <stdlib.h>

/* The batch at the scanner's position. ret_aborted: first_offset -1 unless it aborts a transaction. */
static enum sm_err note_batch(struct producers *producers, const struct recovery *r, struct scanner *scan, const struct batch_info *info,
			      struct log_aborted *ret_aborted)
{
	ret_aborted->first_offset = -1;
	if (info->producer_id < 0)
		return SM_OK;
	if (info->attributes & BATCH_CONTROL) {
		struct bytes data;
		struct log_txn_marker marker;
		enum sm_err err = log__scan_bytes(scan, info->size, &data, NULL);
		if (!err && !(err = log__marker_read(bytes_of(data.data, info->size), &marker)))
			err = log__txn_end(producers, &marker, info->base_offset, r->now_ms, false, ret_aborted);
		return err == SM_NO_MEMORY || err == SM_IO ? err : SM_OK;
	}
	int64_t append_time = info->attributes & BATCH_TIMESTAMP_LOG_APPEND ? info->max_timestamp_ms : -1;
	return log__producers_add(producers, info, info->base_offset, append_time, r->now_ms, false);
}

/* ---- the last segment ---- */

enum sm_err log__tail_take(struct tail *t, const struct batch_info *info, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	struct log_aborted aborted;
	enum sm_err err;
	if ((err = log__index_add(&s->index, s->base_offset, info, t->scan.position)) ||
	    (err = note_batch(t->producers, t->r, &t->scan, info, &aborted)) || (err = log__txn_index_add(&s->txns, &aborted)))
		return sm_fail(reterr, err, "%s: no memory", s->path);
	if (info->max_timestamp_ms > s->max_timestamp_ms)
		s->max_timestamp_ms = info->max_timestamp_ms;
	s->next_offset = info->base_offset + info->last_offset_delta + 1;
	t->scan.position += info->size;
	return SM_OK;
}

/* Walk all right batches from position on, filling index and producer state. */
static enum sm_err walk(struct tail *t, uint64_t position, struct sm_error *reterr)
{
	struct batch_info info;
	enum sm_err err;
	t->scan.position = position;
	while (!(err = log__scan_batch(&t->scan, t->segment->next_offset, &info, reterr)) && !(err = log__tail_take(t, &info, reterr)))
		;
	t->end = t->scan.position;
	return err == SM_END ? SM_OK : err;
}

/* How far everything was synced. */
static enum sm_err judge(struct tail *t, struct sm_error *reterr)
{
	bool more = false;
	t->synced = t->mark.start;
	if (t->end < t->mark.end && t->mark.kind == MARK_GROUP && t->scan.size > t->mark.end) {
		enum sm_err err = log__scan_anything(&t->scan, t->mark.end, &more, reterr);
		if (err)
			return err;
	}
	if (t->mark.kind != MARK_GROUP || more)
		t->synced = t->mark.end;
	return SM_OK;
}

/* Write once more what may never have been synced, the newest mark included, and sync it. Only then may the other mark's page,
 * which could be the only one on disk, be written. */
static enum sm_err rewrite(struct tail *t, struct sm_error *reterr)
{
	struct io *io = t->r->io;
	uint8_t mark[MARK_SIZE];
	size_t got;
	uint64_t mark_at = (uint64_t)t->page * MARK_PAGE;
	struct iovec mark_iov = {mark, sizeof mark};
	enum sm_err mark_err = io->ops->pread(io, &t->segment->file, mark, sizeof mark, mark_at, &got, reterr);
	if (mark_err || (mark_err = io->ops->pwritev(io, &t->segment->file, &mark_iov, 1, mark_at, reterr)))
		return mark_err;
	t->scan.at = t->scan.got = 0;
	for (t->scan.position = t->mark.start; t->scan.position < t->end;) {
		struct bytes data;
		enum sm_err err = log__scan_bytes(&t->scan, 1, &data, reterr);
		if (err)
			return err;
		if (data.size == 0)
			break;
		if (data.size > t->end - t->scan.position)
			data.size = (size_t)(t->end - t->scan.position);
		struct iovec iov = {(void *)(uintptr_t)data.data, data.size};
		if ((err = io->ops->pwritev(io, &t->segment->file, &iov, 1, t->scan.position, reterr)))
			return err;
		t->scan.position += data.size;
	}
	return io->ops->fdatasync(io, &t->segment->file, reterr);
}

static void writer_set(struct tail *t)
{
	*t->w = (struct segment_writer){
		.segment = t->segment,
		.end = t->end,
		.synced = t->end,
		.filled = t->scan.size,
		.mark_number = t->mark.number,
		.synced_page = t->page,
		.next_offset = t->segment->next_offset,
		.max_timestamp_ms = t->segment->max_timestamp_ms,
		.unclean = true,
	};
	t->segment->end = t->end;
	t->segment->loaded = t->segment->active = t->segment->kept = true;
}

/* A clean mark: the index and the snapshot are taken as they are, if they are. */
static bool take_clean(struct tail *t)
{
	struct segment *s = t->segment;
	if (t->mark.kind != MARK_CLEAN || t->mark.end > t->scan.size || log__index_read(t->r->io, s->path, s->base_offset, &s->index))
		return false;
	if (log__txn_index_read(t->r->io, t->r->dir, s->base_offset, &s->txns) ||
	    log__producers_read(t->producers, t->r->io, t->r->dir, t->mark.next_offset)) {
		log__txn_index_done(&s->txns);
		log__index_done(&s->index);
		return false;
	}
	s->next_offset = t->mark.next_offset;
	s->max_timestamp_ms = t->mark.max_timestamp_ms;
	s->checked_from = t->mark.end;
	return true;
}

static enum sm_err producers_before(const struct recovery *r, struct segment **segments, uint32_t count, struct producers *producers,
				    struct sm_error *reterr);

/* A segment that was being made when the power went: nothing was ever put into it. Make it again; its name keeps the offset. */
static enum sm_err remake(struct tail *t, struct sm_error *reterr)
{
	t->r->io->ops->close(t->r->io, &t->segment->file);
	t->segment->file.fd = -1;
	*t->w = (struct segment_writer){.segment = t->segment};
	return log__writer_create(t->w, t->r->dir, reterr);
}

/* Neither mark can be read. */
static enum sm_err recover_unmarked(struct tail *t, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	bool data = false, was_made = false;
	enum sm_err err = t->scan.size <= SEGMENT_HEADER ? SM_OK : log__scan_anything(&t->scan, SEGMENT_HEADER, &data, reterr);
	if (!err && !data)
		err = log__tail_was_made(t, &was_made, reterr);
	if (err)
		return err;
	if (!data && !was_made)
		return remake(t, reterr);
	t->end_unknown = true;
	s->next_offset = s->base_offset;
	if ((err = walk(t, SEGMENT_HEADER, reterr)))
		return err;
	t->synced = t->scan.size;
	return log__salvage(t, reterr);
}

/* What stands before a checkpoint was right; the segment from there on. */
static bool take_checkpoint(struct tail *t)
{
	struct segment *s = t->segment;
	struct checkpoint at;
	if (log__checkpoint_read(s, t->r->dir, &at, t->producers))
		return false;
	if (at.position > t->mark.start || at.position > t->scan.size || t->mark.kind == MARK_SEALED) {
		log__index_done(&s->index);
		log__txn_index_done(&s->txns);
		log__producers_clear(t->producers);
		return false;
	}
	s->next_offset = at.next_offset;
	s->max_timestamp_ms = at.max_timestamp_ms;
	s->checked_from = t->out->checked = at.position;
	return true;
}

static enum sm_err recover_marked(struct tail *t, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	enum sm_err err;
	t->out->checked = SEGMENT_HEADER;
	if (take_clean(t)) {
		t->out->checked = t->mark.end;
		err = walk(t, t->mark.end, reterr);
	} else if (take_checkpoint(t)) {
		err = walk(t, t->out->checked, reterr);
	} else if (!(err = producers_before(t->r, t->before, t->before_count, t->producers, reterr))) {
		s->next_offset = s->base_offset;
		s->checked_from = SEGMENT_HEADER;
		err = walk(t, SEGMENT_HEADER, reterr);
	}
	if (err || (err = judge(t, reterr)))
		return err;
	if (t->end < t->synced || t->mark.kind == MARK_SEALED || t->named > s->next_offset)
		return log__salvage(t, reterr);
	writer_set(t);
	if (t->mark.kind == MARK_CLEAN && t->end == t->mark.end && t->end == t->scan.size) {
		t->w->unclean = false;
		return SM_OK;
	}
	return (err = rewrite(t, reterr)) ? err : log__writer_cut(t->w, reterr);
}

static enum sm_err recover_tail(struct tail *t, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	struct io *io = t->r->io;
	enum sm_err err = io->ops->open(io, s->path, IO_READ | IO_WRITE, &s->file, reterr);
	if (err)
		return err;
	t->scan.io = io;
	t->scan.file = &s->file;
	if ((err = io->ops->size(io, &s->file, &t->scan.size, reterr)))
		return err;
	err = log__mark_read(io, &s->file, &t->mark, &t->page, reterr);
	if (err == SM_NOT_FOUND)
		return (err = producers_before(t->r, t->before, t->before_count, t->producers, reterr)) ? err : recover_unmarked(t, reterr);
	if (!err && t->mark.base_offset != s->base_offset)
		err = sm_fail(reterr, SM_CORRUPT, "%s begins at offset %lld: the file was renamed", s->path,
			      (long long)t->mark.base_offset);
	return err ? err : recover_marked(t, reterr);
}

/* ---- the directory ---- */

/* Producer state at the start of the segment after these: its snapshot, or what their headers tell. */
static enum sm_err producers_before(const struct recovery *r, struct segment **segments, uint32_t count, struct producers *producers,
				    struct sm_error *reterr)
{
	if (count == 0 || log__producers_read(producers, r->io, r->dir, segments[count]->base_offset) == SM_OK)
		return SM_OK;
	log__producers_clear(producers);
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < count && !err; i++) {
		struct segment *s = segments[i];
		struct batch_info info;
		struct log_aborted aborted; /* the segment's own index has it, or is made again when it is read */
		if ((err = log__segment_load(s, reterr)))
			return err;
		struct scanner scan = {.io = r->io, .file = &s->file, .position = SEGMENT_HEADER, .size = s->end};
		int64_t next = s->base_offset;
		while (!(err = log__scan_batch(&scan, next, &info, reterr)) && !(err = note_batch(producers, r, &scan, &info, &aborted))) {
			scan.position += info.size;
			next = info.base_offset + info.last_offset_delta + 1;
		}
		log__scan_done(&scan);
		log__segment_release(log__segment_ref(s));
		if (err == SM_END) /* damage in here is found by whoever reads it */
			err = SM_OK;
	}
	return err;
}

/* *ret->segments with room for one more. */
static enum sm_err segments_make(const struct recovery *r, struct segment_list *list, struct recovered *ret, struct sm_error *reterr)
{
	ret->segments = calloc(list->count + 1, sizeof(struct segment *));
	for (; ret->segments && ret->count < list->count; ret->count++)
		if (!(ret->segments[ret->count] = log__segment_new(r->io, r->dir, list->offsets[ret->count])))
			break;
	return ret->segments && ret->count == list->count ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "%s: no memory", r->dir);
}

enum sm_err log__recover(const struct recovery *r, struct producers *producers, struct recovered *ret, struct sm_error *reterr)
{
	struct segment_list list = {0};
	struct recovered out = {0};
	struct tail t = {.r = r, .w = &out.writer, .producers = producers, .out = &out};
	enum sm_err err = log__segments_list(r->io, r->dir, &list, reterr);
	if (!err && list.compaction && !(err = log__compact_resume(r->io, r->dir, reterr))) {
		free(list.offsets);
		list = (struct segment_list){0};
		err = log__segments_list(r->io, r->dir, &list, reterr);
	}
	if (err || (err = segments_make(r, &list, &out, reterr)))
		goto done;
	t.named = list.named > r->start_offset ? list.named : r->start_offset;
	if (out.count) {
		t.before = out.segments;
		t.before_count = out.count - 1;
		t.segment = out.segments[t.before_count];
		err = recover_tail(&t, reterr);
	} else if (t.named > 0) {
		err = log__salvage_none(&t, reterr);
	}
	out.next_offset = out.writer.next_offset;
done:
	log__scan_done(&t.scan);
	free(list.offsets);
	if (!err) {
		*ret = out;
		return SM_OK;
	}
	for (uint32_t i = 0; i < out.count; i++)
		log__segment_unref(out.segments[i]);
	free(out.segments);
	return err;
}
