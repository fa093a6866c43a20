#include "log/check.h"
#include "log/log_internal.h"
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

struct checking {
	const struct log_check *check;
	struct log_check_totals *totals;
	struct engine engine; /* only what the table of topics needs */
	bool found;           /* the topic that was asked for */
};
/* A partition's directory. */
struct place {
	struct checking *c;
	char dir[PATH_MAX], name[300];
	struct segment_list list;
	int64_t next; /* what the segments so far end with */
	uint64_t records, bytes;
	uint32_t problems;
};

static void SM_PRINTF(3, 4) say(struct checking *c, enum log_check_kind kind, const char *fmt, ...)
{
	char text[PATH_MAX + 1000];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (kind == LOG_CHECK_PROBLEM)
		c->totals->problems++;
	c->check->say(c->check->arg, kind, text);
}

#define problem(place, ...)                                      \
	do {                                                     \
		(place)->problems++;                             \
		say((place)->c, LOG_CHECK_PROBLEM, __VA_ARGS__); \
	} while (0)

/* ---- a segment ---- */

struct looked {
	struct place *place;
	struct segment *segment;
	struct scanner scan;
	struct segment_mark mark;
	bool marked, last;
	uint64_t synced; /* what stands before this was acknowledged */
	int64_t expected;
};

/* Its records, down to the last varint. */
static enum sm_err look_into(struct looked *l, const struct batch_info *info, struct sm_error *reterr)
{
	struct bytes data;
	struct batch_reader reader;
	struct record record;
	int64_t count = 0;
	enum sm_err err = log__scan_bytes(&l->scan, info->size, &data, reterr);
	if (err || (err = batch_reader_init(&reader, bytes_of(data.data, info->size))) == SM_NO_MEMORY)
		return err;
	while (!err && !(err = batch_next(&reader, &record)))
		count++;
	if (err != SM_END || count != info->record_count)
		problem(l->place, "%s: position %llu, offset %lld: the batch's checksum is right, but its records cannot be read",
			l->segment->path, (unsigned long long)l->scan.position, (long long)info->base_offset);
	batch_reader_done(&reader);
	l->place->records += (uint64_t)count;
	return SM_OK;
}

/* Up to where it was synced: recovery.c says why. */
static enum sm_err synced_find(struct looked *l, struct sm_error *reterr)
{
	bool more = false;
	enum sm_err err = SM_OK;
	l->synced = l->scan.size;
	if (!l->marked || (!l->last && l->mark.kind == MARK_GROUP))
		return SM_OK;
	if (l->mark.kind == MARK_GROUP && l->scan.size > l->mark.end)
		err = log__scan_anything(&l->scan, l->mark.end, &more, reterr);
	l->synced = l->mark.kind != MARK_GROUP || more ? l->mark.end : l->mark.start;
	return err;
}

static enum sm_err batches_look(struct looked *l, struct sm_error *reterr)
{
	const int64_t below = l->marked && l->mark.kind != MARK_GROUP ? l->mark.next_offset : INT64_MAX;
	struct batch_info info;
	enum sm_err err;
	l->scan.position = SEGMENT_HEADER;
	for (;;) {
		uint64_t at = l->scan.position;
		if (!(err = log__scan_batch(&l->scan, l->expected, &info, reterr))) {
			if ((err = look_into(l, &info, reterr)))
				return err;
		} else if (err != SM_END || at >= l->synced) {
			return err == SM_END ? SM_OK : err;
		} else if ((err = log__scan_next(&l->scan, l->expected, below, &info, reterr))) {
			if (err == SM_END)
				problem(l->place, "%s: damaged from position %llu (offset %lld) on", l->segment->path,
					(unsigned long long)at, (long long)l->expected);
			l->scan.position = at;
			return err == SM_END ? SM_OK : err;
		} else {
			problem(l->place, "%s: damaged at position %llu: offsets %lld to %lld are lost", l->segment->path,
				(unsigned long long)at, (long long)l->expected, (long long)info.base_offset - 1);
			if ((err = look_into(l, &info, reterr)))
				return err;
		}
		l->expected = info.base_offset + info.last_offset_delta + 1;
		l->scan.position += info.size;
	}
}

static enum sm_err tail_look(struct looked *l, struct sm_error *reterr)
{
	bool more = false;
	uint64_t end = l->scan.position;
	if (l->scan.size < l->synced)
		problem(l->place, "%s: it ends at %llu, but records up to %llu were acknowledged: it was truncated", l->segment->path,
			(unsigned long long)l->scan.size, (unsigned long long)l->synced);
	enum sm_err err = end < l->synced ? SM_OK : log__scan_anything(&l->scan, end, &more, reterr);
	if (more && l->last)
		say(l->place->c, LOG_CHECK_NOTE, "%s: what stands after position %llu was never acknowledged; the next start cuts it off",
		    l->segment->path, (unsigned long long)end);
	l->place->bytes += end - SEGMENT_HEADER;
	return err;
}

static void index_look(struct looked *l)
{
	struct segment_index index = {0};
	if (l->last && (!l->marked || l->mark.kind != MARK_CLEAN))
		return; /* it has none yet */
	if (log__index_read(l->segment->io, l->segment->path, l->segment->base_offset, &index))
		say(l->place->c, LOG_CHECK_NOTE, "%s: its index is missing or damaged: reads go through the segment instead",
		    l->segment->path);
	log__index_done(&index);
}

static enum sm_err segment_look(struct place *p, uint32_t at, struct sm_error *reterr)
{
	struct segment *s = log__segment_new(p->c->check->io, p->dir, p->list.offsets[at]);
	struct looked l = {.place = p, .segment = s, .last = at + 1 == p->list.count, .expected = p->list.offsets[at]};
	struct io *io = p->c->check->io;
	int page;
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	enum sm_err err = io->ops->open(io, s->path, IO_READ, &s->file, reterr);
	if (err) {
		s->file.fd = -1;
		goto done;
	}
	l.scan = (struct scanner){.io = io, .file = &s->file};
	if ((err = io->ops->size(io, &s->file, &l.scan.size, reterr)))
		goto done;
	err = log__mark_read(io, &s->file, &l.mark, &page, reterr);
	if (err && err != SM_NOT_FOUND)
		goto done;
	l.marked = !err;
	if (!l.marked)
		problem(p, "%s: both of its marks are damaged", s->path);
	else if (l.mark.base_offset != s->base_offset)
		problem(p, "%s begins at offset %lld: the file was renamed", s->path, (long long)l.mark.base_offset);
	if ((err = synced_find(&l, reterr)) || (err = batches_look(&l, reterr)) || (err = tail_look(&l, reterr)))
		goto done;
	index_look(&l);
	p->next = l.expected;
	if (l.last && l.marked && l.mark.kind == MARK_SEALED)
		problem(p, "%s: the segments after it are missing", s->path);
	p->c->totals->segments++;
done:
	log__scan_done(&l.scan);
	log__segment_unref(s);
	return err;
}

/* ---- a partition ---- */

/* Where the partition begins: what the file says, or its first segment. */
static int64_t start_look(struct place *p)
{
	int64_t start, first = p->list.count ? p->list.offsets[0] : 0;
	struct sm_error error;
	enum sm_err err = log__offset_read(p->c->check->io, p->dir, "start", &start, &error);
	if (err && err != SM_NOT_FOUND) {
		problem(p, "%s", error.text);
		return first;
	}
	if (err == SM_NOT_FOUND && p->c->engine.format == 1)
		return first;
	return start;
}

static enum sm_err place_look(struct place *p, struct sm_error *reterr)
{
	enum sm_err err = log__segments_list(p->c->check->io, p->dir, &p->list, reterr);
	if (err)
		return err == SM_NOT_FOUND ? SM_OK : err; /* nothing was ever appended */
	if (p->list.compaction)
		say(p->c, LOG_CHECK_NOTE, "%s: a compaction was broken off; the next start finishes it or takes it back", p->dir);
	int64_t start = p->next = start_look(p);
	for (uint32_t i = 0; i < p->list.count; i++) {
		if (p->list.offsets[i] > p->next)
			problem(p, "%s: offsets %lld to %lld are lost: no segment holds them", p->dir, (long long)p->next,
				(long long)p->list.offsets[i] - 1);
		if ((err = segment_look(p, i, reterr)))
			return err;
	}
	p->c->totals->records += p->records;
	p->c->totals->bytes += p->bytes;
	if (!p->problems)
		say(p->c, LOG_CHECK_OK, "%s: offsets %lld to %lld, %llu records in %u segments, %llu bytes", p->name, (long long)start,
		    (long long)p->next, (unsigned long long)p->records, p->list.count, (unsigned long long)p->bytes);
	return SM_OK;
}

static enum sm_err topic_look(void *arg, const struct topic *t, struct sm_error *reterr)
{
	struct checking *c = arg;
	if (c->check->topic && strcmp(c->check->topic, t->name) != 0)
		return SM_OK;
	c->found = true;
	for (int32_t i = 0; i < t->partition_count; i++) {
		struct place *p = calloc(1, sizeof *p);
		if (!p)
			return sm_fail(reterr, SM_NO_MEMORY, "no memory");
		p->c = c;
		snprintf(p->name, sizeof p->name, "%s-%d", t->name, i);
		snprintf(p->dir, sizeof p->dir, "%s/%s", c->check->dir, p->name);
		enum sm_err err = place_look(p, reterr);
		free(p->list.offsets);
		free(p);
		c->totals->partitions++;
		if (err)
			return err;
	}
	return SM_OK;
}

/* ---- the directory ---- */

static void notice(void *arg, const char *text)
{
	say(arg, LOG_CHECK_PROBLEM, "%s", text);
}

/* Nobody writes meanwhile. */
static enum sm_err lock_look(const struct log_check *check, struct io_file *ret_file, struct sm_error *reterr)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/lock", check->dir);
	ret_file->fd = -1;
	enum sm_err err = check->io->ops->open(check->io, path, IO_READ, ret_file, reterr);
	if (err) {
		ret_file->fd = -1;
		return err == SM_NOT_FOUND ? SM_OK : err;
	}
	if (flock(ret_file->fd, LOCK_SH | LOCK_NB) == 0)
		return SM_OK;
	err = errno == EWOULDBLOCK ? sm_fail(reterr, SM_BUSY, "%s is in use: stop the server first", check->dir)
				   : sm_fail_errno(reterr, errno, "cannot lock %s", path);
	check->io->ops->close(check->io, ret_file);
	ret_file->fd = -1;
	return err;
}

enum sm_err log_check(const struct log_check *check, struct log_check_totals *ret_totals, struct sm_error *reterr)
{
	*ret_totals = (struct log_check_totals){0};
	struct checking c = {.check = check, .totals = ret_totals};
	struct io_file lock;
	c.engine.io = check->io;
	c.engine.dir = (char *)(uintptr_t)check->dir;
	c.engine.segment_bytes = INT32_MAX;
	c.engine.notice = notice;
	c.engine.notice_arg = &c;
	enum sm_err err = lock_look(check, &lock, reterr);
	if (err)
		return err;
	err = log__topics_look(&c.engine, topic_look, &c, reterr);
	if (err == SM_NOT_FOUND)
		sm_fail(reterr, err, "%s holds no log: there is no topics.json", check->dir);
	else if (!err && check->topic && !c.found)
		err = sm_fail(reterr, SM_NOT_FOUND, "there is no topic '%s' in %s", check->topic, check->dir);
	if (lock.fd >= 0)
		check->io->ops->close(check->io, &lock);
	return err;
}
