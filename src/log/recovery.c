/* Recovery of one partition's directory.
 *
 * Only the last segment can have been written when the process or the machine stopped: the others were sealed and synced
 * before the next one was made. If its mark is clean and the index is there, nothing is read. Else every batch of it is
 * checked from its start on: header, base offset, CRC. Let X be the first position that holds no right batch (the zeros
 * written ahead, the end of the file, a torn or a rotten one), and g the group of the newest mark (segment_write.c):
 *
 *   - Everything before g's start was synced before g was written: X there is rot.
 *   - Everything before g's end was synced too if the mark says "synced" or "clean", or if any byte after g's end is not
 *     zero: the next group was begun, so g's sync had returned. X there is rot.
 *   - Otherwise X lies in the only group that was not known to be synced. Power loss may have dropped, torn or reordered
 *     its pages: the tail from X on was never acknowledged, and is cut.
 *
 * Rot is refused (SM_CORRUPT, with file and position): cutting there would lose acknowledged records without a word. One
 * case is told apart: a file that simply ends inside the acknowledged part (it was truncated from outside) is opened with
 * every whole batch that is left, and reported as a notice. A flaw in the last acknowledged group can pass for a torn tail
 * only if power was lost before the synced mark that follows each group reached the disk, and the medium rotted too.
 *
 * What is kept after g's start was perhaps never synced (the process died, or a sync failed and the page cache says
 * otherwise than the disk): it is written once more and synced before anybody reads it.
 *
 * Producer state: the snapshot at the last segment's start (or at its clean end), brought forward by the scan. Without a
 * snapshot the headers of all segments are read. */
#include "log/log_internal.h"
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define SCAN_CHUNK (1u << 20)

static void SM_PRINTF(2, 3) notify(const struct recovery *r, const char *fmt, ...)
{
	char text[600];
	va_list args;
	if (!r->notice)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	r->notice(r->notice_arg, text);
}

/* ---- scanning ---- */

/* Reads a file forward in large pieces. */
struct scanner {
	struct io *io;
	struct io_file *file;
	uint64_t position, size; /* of the next batch; of the file */
	uint8_t *data;
	size_t cap, got;
	uint64_t at; /* position of data */
};

/* Bytes from the scanner's position on: at least `want`, unless the file ends. */
static enum sm_err scanner_need(struct scanner *s, size_t want, struct bytes *ret, struct sm_error *reterr)
{
	uint64_t left = s->position < s->size ? s->size - s->position : 0;
	if (want > left)
		want = (size_t)left;
	if (s->position < s->at || s->position + want > s->at + s->got) {
		size_t size = want > SCAN_CHUNK ? want : SCAN_CHUNK;
		if (size > left)
			size = (size_t)left;
		if (size > s->cap) {
			uint8_t *grown = realloc(s->data, size);
			if (!grown)
				return sm_fail(reterr, SM_NO_MEMORY, "no memory to check a batch of %zu bytes", size);
			s->data = grown;
			s->cap = size;
		}
		s->got = 0;
		enum sm_err err = s->io->ops->pread(s->io, s->file, s->data, size, s->position, &s->got, reterr);
		if (err)
			return err;
		s->at = s->position;
	}
	size_t from = (size_t)(s->position - s->at);
	/* At the end of the file nothing may have been read yet: then there is no data to point into. */
	*ret = s->got > from ? bytes_of(s->data + from, s->got - from) : (struct bytes){0};
	return SM_OK;
}

/* The batch at the scanner's position; SM_END: there is none that is right. */
static enum sm_err scanner_batch(struct scanner *s, int64_t next_offset, struct batch_info *ret_info, struct sm_error *reterr)
{
	struct bytes data;
	struct batch_info info;
	enum sm_err err = scanner_need(s, LOG_BATCH_OVERHEAD, &data, reterr);
	if (err)
		return err;
	/* Base offset and leader epoch lie outside the CRC: they are known exactly. */
	if (batch_parse_header(data, &info) || info.size > LOG_BATCH_BYTES_LIMIT || info.size > s->size - s->position ||
	    info.base_offset != next_offset || info.leader_epoch != LOG_LEADER_EPOCH)
		return SM_END;
	if ((err = scanner_need(s, info.size, &data, reterr)))
		return err;
	if (!batch_crc_ok(data, &info))
		return SM_END;
	*ret_info = info;
	return SM_OK;
}

/* Does anything but zeros stand at or after position? */
static enum sm_err anything_after(struct scanner *s, uint64_t position, bool *ret, struct sm_error *reterr)
{
	*ret = false;
	for (s->position = position; s->position < s->size && !*ret;) {
		struct bytes data = {NULL, 0};
		enum sm_err err = scanner_need(s, 1, &data, reterr);
		if (err)
			return err;
		for (size_t i = 0; i < data.size && !*ret; i++)
			*ret = data.data[i] != 0;
		if (data.size == 0)
			break;
		s->position += data.size;
	}
	return SM_OK;
}

/* The batch that scanner_batch has found. ret_aborted: first_offset -1 unless it aborts a transaction. */
static enum sm_err note_batch(struct producers *producers, const struct recovery *r, struct scanner *scan, const struct batch_info *info,
			      struct log_aborted *ret_aborted)
{
	ret_aborted->first_offset = -1;
	if (info->producer_id < 0)
		return SM_OK;
	if (info->attributes & BATCH_CONTROL) {
		struct bytes data;
		struct log_txn_marker marker;
		enum sm_err err = scanner_need(scan, info->size, &data, NULL);
		if (!err && !(err = log__marker_read(bytes_of(data.data, info->size), &marker)))
			err = log__txn_end(producers, &marker, info->base_offset, r->now_ms, false, ret_aborted);
		return err == SM_NO_MEMORY || err == SM_IO ? err : SM_OK;
	}
	int64_t append_time = info->attributes & BATCH_TIMESTAMP_LOG_APPEND ? info->max_timestamp_ms : -1;
	return log__producers_add(producers, info, info->base_offset, append_time, r->now_ms, false);
}

/* ---- the last segment ---- */

struct tail {
	const struct recovery *r;
	struct segment *segment;
	struct segment_writer *w;
	struct producers *producers;
	struct segment_mark mark;
	struct scanner scan;
	uint64_t end; /* X */
};

/* Walk all right batches from position on, filling index and producer state. */
static enum sm_err walk(struct tail *t, uint64_t position, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	struct batch_info info;
	struct log_aborted aborted;
	enum sm_err err;
	t->scan.position = position;
	while (!(err = scanner_batch(&t->scan, s->next_offset, &info, reterr))) {
		if ((err = log__index_add(&s->index, s->base_offset, &info, t->scan.position)) ||
		    (err = note_batch(t->producers, t->r, &t->scan, &info, &aborted)) || (err = log__txn_index_add(&s->txns, &aborted)))
			return sm_fail(reterr, err, "%s: no memory", s->path);
		if (info.max_timestamp_ms > s->max_timestamp_ms)
			s->max_timestamp_ms = info.max_timestamp_ms;
		s->next_offset = info.base_offset + info.last_offset_delta + 1;
		t->scan.position += info.size;
	}
	t->end = t->scan.position;
	return err == SM_END ? SM_OK : err;
}

/* May the file be cut at t->end? */
static enum sm_err judge(struct tail *t, struct sm_error *reterr)
{
	bool more = false;
	uint64_t synced = t->mark.start;
	enum sm_err err;
	if (t->end >= t->mark.end)
		return SM_OK;
	if (t->mark.kind == MARK_GROUP && t->scan.size > t->mark.end && (err = anything_after(&t->scan, t->mark.end, &more, reterr)))
		return err;
	if (t->mark.kind != MARK_GROUP || more)
		synced = t->mark.end;
	if (t->end >= synced)
		return SM_OK;
	bool cut_by_end = false;
	struct bytes data;
	struct batch_info info;
	t->scan.position = t->end;
	if ((err = scanner_need(&t->scan, LOG_BATCH_OVERHEAD, &data, reterr)))
		return err;
	if (data.size < LOG_BATCH_OVERHEAD)
		cut_by_end = true;
	else if (!batch_parse_header(data, &info) && info.base_offset == t->segment->next_offset)
		cut_by_end = info.size > t->scan.size - t->end && t->scan.size < synced;
	if (cut_by_end) {
		notify(t->r,
		       "%s ends at %llu, but records up to %llu were acknowledged: it was truncated from outside; every whole batch before "
		       "that is kept, offsets go on at %lld",
		       t->segment->path, (unsigned long long)t->scan.size, (unsigned long long)synced, (long long)t->segment->next_offset);
		return SM_OK;
	}
	return sm_fail(
		reterr, SM_CORRUPT,
		"%s is damaged at position %llu (offset %lld), inside the part that was acknowledged (up to %llu): restore the file from a "
		"backup, or move the partition's directory away to start it empty",
		t->segment->path, (unsigned long long)t->end, (long long)t->segment->next_offset, (unsigned long long)synced);
}

/* Write once more what may never have been synced, the newest mark included, and sync it. Only then may the other mark's page,
 * which could be the only one on disk, be written. */
static enum sm_err rewrite(struct tail *t, int page, struct sm_error *reterr)
{
	struct io *io = t->r->io;
	uint8_t mark[MARK_SIZE];
	size_t got;
	uint64_t mark_at = (uint64_t)page * MARK_PAGE;
	struct iovec mark_iov = {mark, sizeof mark};
	enum sm_err mark_err = io->ops->pread(io, &t->segment->file, mark, sizeof mark, mark_at, &got, reterr);
	if (mark_err || (mark_err = io->ops->pwritev(io, &t->segment->file, &mark_iov, 1, mark_at, reterr)))
		return mark_err;
	t->scan.at = t->scan.got = 0;
	for (t->scan.position = t->mark.start; t->scan.position < t->end;) {
		struct bytes data;
		enum sm_err err = scanner_need(&t->scan, 1, &data, reterr);
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

static void writer_set(struct tail *t, int page)
{
	*t->w = (struct segment_writer){
		.segment = t->segment,
		.end = t->end,
		.filled = t->scan.size,
		.mark_number = t->mark.number,
		.synced_page = page,
		.next_offset = t->segment->next_offset,
		.max_timestamp_ms = t->segment->max_timestamp_ms,
		.unclean = true,
	};
	t->segment->end = t->end;
	t->segment->loaded = t->segment->active = true;
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
	bool data = false;
	enum sm_err err = t->scan.size <= SEGMENT_HEADER ? SM_OK : anything_after(&t->scan, SEGMENT_HEADER, &data, reterr);
	if (err)
		return err;
	if (data)
		return sm_fail(reterr, SM_CORRUPT,
			       "%s has records but both of its marks (positions 0 and 4096) are damaged: restore the file from a backup, "
			       "or move the "
			       "partition's directory away to start it empty",
			       t->segment->path);
	t->r->io->ops->close(t->r->io, &t->segment->file);
	t->segment->file.fd = -1;
	*t->w = (struct segment_writer){.segment = t->segment};
	return log__writer_create(t->w, t->r->dir, reterr);
}

static enum sm_err recover_tail(struct tail *t, struct segment **before, uint32_t before_count, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	struct io *io = t->r->io;
	int page = 0;
	enum sm_err err = io->ops->open(io, s->path, IO_READ | IO_WRITE, &s->file, reterr);
	if (err)
		return err;
	t->scan.io = io;
	t->scan.file = &s->file;
	if ((err = io->ops->size(io, &s->file, &t->scan.size, reterr)))
		return err;
	err = log__mark_read(io, &s->file, &t->mark, &page, reterr);
	if (err && err != SM_NOT_FOUND)
		return err;
	bool marked = !err;
	if (marked && t->mark.base_offset != s->base_offset)
		return sm_fail(reterr, SM_CORRUPT, "%s begins at offset %lld: the file was renamed", s->path,
			       (long long)t->mark.base_offset);
	if (marked && take_clean(t))
		err = walk(t, t->mark.end, reterr);
	else {
		if ((err = producers_before(t->r, before, before_count, t->producers, reterr)))
			return err;
		if (!marked)
			return remake(t, reterr);
		s->next_offset = s->base_offset;
		s->checked_from = SEGMENT_HEADER;
		err = walk(t, SEGMENT_HEADER, reterr);
	}
	if (err || (err = judge(t, reterr)))
		return err;
	writer_set(t, page);
	if (t->mark.kind == MARK_CLEAN && t->end == t->mark.end && t->end == t->scan.size) {
		t->w->unclean = false;
		return SM_OK;
	}
	if ((err = rewrite(t, page, reterr)))
		return err;
	return log__writer_cut(t->w, reterr);
}

/* ---- the directory ---- */

struct listing {
	int64_t *offsets;
	uint32_t count, cap;
	bool compaction; /* a crash has left something of one */
};

static enum sm_err visit(void *arg, const char *name)
{
	struct listing *l = arg;
	int64_t offset = log__segment_name_parse(name, ".log");
	l->compaction |= log__segment_name_parse(name, ".cleaned") >= 0 || log__segment_name_parse(name, ".swap") >= 0;
	if (offset < 0)
		return SM_OK;
	if (l->count == l->cap) {
		uint32_t cap = l->cap ? l->cap * 2 : 16;
		int64_t *grown = realloc(l->offsets, cap * sizeof *grown);
		if (!grown)
			return SM_NO_MEMORY;
		l->offsets = grown;
		l->cap = cap;
	}
	l->offsets[l->count++] = offset;
	return SM_OK;
}

static int by_offset(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

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
		while (!(err = scanner_batch(&scan, next, &info, reterr)) && !(err = note_batch(producers, r, &scan, &info, &aborted))) {
			scan.position += info.size;
			next = info.base_offset + info.last_offset_delta + 1;
		}
		free(scan.data);
		log__segment_release(log__segment_ref(s));
		if (err == SM_END) /* damage in here is found by whoever reads it */
			err = SM_OK;
	}
	return err;
}

enum sm_err log__recover(const struct recovery *r, struct producers *producers, struct recovered *ret, struct sm_error *reterr)
{
	struct listing listing = {0};
	struct recovered out = {0};
	struct tail t = {.r = r, .w = &out.writer, .producers = producers};
	enum sm_err err = r->io->ops->list(r->io, r->dir, visit, &listing, reterr);
	if (!err && listing.compaction) {
		listing.count = 0;
		if (!(err = log__compact_resume(r->io, r->dir, reterr)))
			err = r->io->ops->list(r->io, r->dir, visit, &listing, reterr);
	}
	if (err)
		goto done;
	if (listing.count == 0)
		goto done;
	qsort(listing.offsets, listing.count, sizeof *listing.offsets, by_offset);
	if (!(out.segments = calloc(listing.count, sizeof(struct segment *)))) {
		err = sm_fail(reterr, SM_NO_MEMORY, "%s: no memory", r->dir);
		goto done;
	}
	for (; out.count < listing.count; out.count++)
		if (!(out.segments[out.count] = log__segment_new(r->io, r->dir, listing.offsets[out.count]))) {
			err = sm_fail(reterr, SM_NO_MEMORY, "%s: no memory", r->dir);
			goto done;
		}
	t.segment = out.segments[out.count - 1];
	err = recover_tail(&t, out.segments, out.count - 1, reterr);
	out.next_offset = out.writer.next_offset;
done:
	free(t.scan.data);
	free(listing.offsets);
	if (!err) {
		*ret = out;
		return SM_OK;
	}
	for (uint32_t i = 0; i < out.count; i++)
		log__segment_unref(out.segments[i]);
	free(out.segments);
	return err;
}
