/* Going on after a loss: a segment is damaged, or cut short, inside what was acknowledged, or the newest segments are missing.
 *
 * No offset is given out twice, whatever is lost: consumers have seen them, groups have committed them. So the log goes on in a new segment
 * at the offset up to which records may have been acknowledged. The mark tells it; where nothing does (both marks are gone, or the file
 * itself), offsets go on LOST_OFFSETS after the last one that anything in the directory tells of, more than a segment can hold.
 *
 * The damaged file stays as it is, but for a mark that says where it counts to and where the log goes on. What of it is right can be read,
 * before the damage and behind it (segment.c finds it by its CRC); the offsets between are answered with SM_CORRUPT, which is no end of the
 * log and no empty answer: nobody passes over them without a word. They are gone for good when the log's start moves beyond them.
 *
 * Producers: what a producer sent last may be among what is lost. So one of whom nothing stands behind the loss may go on with any
 * sequence; a batch of his that was lost and comes again is appended anew, one that was not is appended twice at most this once.
 * A transaction whose marker is lost stays open until its coordinator, or an administrator (WriteTxnMarkers), ends it. */
#include "log/recovery_internal.h"
#include <stdio.h>

/* A segment's last batch begins at most INT32_MAX above its base offset, and has at most so many records. */
#define LOST_OFFSETS (INT64_C(1) << 32)

static void SM_PRINTF(2, 3) notify(const struct recovery *r, const char *fmt, ...)
{
	char text[900];
	va_list args;
	if (!r->notice)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	r->notice(r->notice_arg, text);
}

static void lost(struct tail *t, const char *what, int64_t from, int64_t to)
{
	log__producers_lost(t->producers, to);
	notify(t->r,
	       "%s: offsets %lld to %lld are lost, though they were acknowledged: %s. Reading them is refused, all others can be read. "
	       "Restore "
	       "the file from a backup while the server is stopped; or let consumers go on at %lld, and delete the records before it",
	       t->segment ? t->segment->path : t->r->dir, (long long)from, (long long)to - 1, what, (long long)to);
}

enum sm_err log__tail_was_made(struct tail *t, bool *ret, struct sm_error *reterr)
{
	*ret = t->named > t->segment->base_offset;
	if (*ret || !t->before_count)
		return SM_OK;
	/* Its predecessor says so, once it is on disk. */
	struct segment *s = t->before[t->before_count - 1];
	struct segment_mark mark;
	int page;
	enum sm_err err = log__segment_load(s, reterr);
	if (!err)
		err = log__mark_read(s->io, &s->file, &mark, &page, reterr);
	*ret = !err && mark.kind == MARK_SEALED;
	log__segment_release(log__segment_ref(s));
	return err == SM_NOT_FOUND ? SM_OK : err;
}

/* The batches behind the damage that are right, up to what was acknowledged. */
static enum sm_err walk_past_damage(struct tail *t, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	int64_t below = t->end_unknown ? s->base_offset + LOST_OFFSETS : t->mark.next_offset;
	struct batch_info info;
	enum sm_err err;
	t->scan.position = t->end;
	if (t->scan.size > t->synced)
		t->scan.size = t->synced;
	while (!(err = log__scan_next(&t->scan, s->next_offset, below, &info, reterr))) {
		char what[100];
		snprintf(what, sizeof what, "it is damaged at position %llu", (unsigned long long)t->end);
		if (info.base_offset != s->next_offset)
			lost(t, what, s->next_offset, info.base_offset);
		if ((err = log__tail_take(t, &info, reterr)))
			return err;
		t->end = t->scan.position;
	}
	return err == SM_END ? SM_OK : err;
}

static int64_t resume_offset(const struct tail *t)
{
	int64_t from = t->segment->next_offset;
	if (!t->end_unknown && t->mark.next_offset > from)
		from = t->mark.next_offset;
	if (!t->end_unknown && t->mark.kind != MARK_SEALED && t->named <= from)
		return from;
	return (t->named > from ? t->named : from) + LOST_OFFSETS;
}

/* The new segment is the last one from now on. */
static enum sm_err begin_at(struct tail *t, int64_t offset, struct sm_error *reterr)
{
	struct segment *s = log__segment_new(t->r->io, t->r->dir, offset);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "%s: no memory", t->r->dir);
	*t->w = (struct segment_writer){.segment = s};
	enum sm_err err = log__writer_create(t->w, t->r->dir, reterr);
	if (err)
		log__segment_unref(s);
	else
		t->out->segments[t->out->count++] = s;
	return err;
}

/* The segment is not written any more. */
static enum sm_err retire(struct tail *t, int64_t resume, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	struct segment_writer old = {
		.segment = s,
		.end = t->synced < t->scan.size ? t->synced : t->scan.size,
		.mark_number = t->mark.number,
		.synced_page = t->page,
		.next_offset = resume,
		.max_timestamp_ms = s->max_timestamp_ms,
	};
	if (old.end < SEGMENT_HEADER)
		old.end = SEGMENT_HEADER;
	enum sm_err err = log__writer_followed(&old, true, reterr);
	s->io->ops->close(s->io, &s->file);
	s->file.fd = -1;
	s->end = s->checked_from = old.end; /* all of it is checked when it is read */
	s->next_offset = resume;
	s->loaded = true;
	log__index_done(&s->index);
	return err;
}

enum sm_err log__salvage(struct tail *t, struct sm_error *reterr)
{
	struct segment *s = t->segment;
	const struct recovery *r = t->r;
	bool cut = t->scan.size < t->synced, whole = t->end >= t->synced;
	if (t->synced < t->end)
		t->synced = t->end;
	enum sm_err err = walk_past_damage(t, reterr);
	if (err)
		return err;
	int64_t resume = resume_offset(t);
	if (resume > s->next_offset)
		lost(t,
		     cut     ? "it was truncated"
		     : whole ? "the segments after it are missing"
			     : "it is damaged up to its end",
		     s->next_offset, resume);
	/* As when a segment is sealed; what is missing of this at the next start is found out again. */
	if ((err = log__index_write(r->io, s->path, s->base_offset, &s->index, reterr)) ||
	    (log__txn_index_seal(&s->txns, t->producers) && (err = sm_fail(reterr, SM_NO_MEMORY, "%s: no memory", s->path))) ||
	    (err = log__txn_index_write(r->io, r->dir, s->base_offset, &s->txns, reterr)) ||
	    (err = log__producers_write(t->producers, r->io, r->dir, resume, reterr)) || (err = begin_at(t, resume, reterr)))
		return err;
	return retire(t, resume, reterr);
}

enum sm_err log__salvage_none(struct tail *t, struct sm_error *reterr)
{
	int64_t resume = t->named + LOST_OFFSETS;
	lost(t, "its segments are missing", t->r->start_offset, resume);
	return begin_at(t, resume, reterr);
}

void log__lost_first(const struct recovery *r, int64_t from, int64_t to)
{
	notify(r,
	       "%s: offsets %lld to %lld are lost: their segments are missing, and nobody has deleted them. Reading them is refused. "
	       "Restore "
	       "the files from a backup while the server is stopped; or delete the records before %lld",
	       r->dir, (long long)from, (long long)to - 1, (long long)to);
}
