/* Reading a partition, from any thread: a picture of the segments is taken under the lock, the disk is read outside it. */
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* The segment that holds offset, counted. */
static struct segment *segment_for(struct partition *p, int64_t offset)
{
	uint32_t low = 0, high = p->segment_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (p->segments[middle]->base_offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? log__segment_ref(p->segments[low - 1]) : NULL;
}

/* Under the lock: a transaction that began before the log's start is over for its readers. */
static int64_t stable_end(const struct partition *p)
{
	return p->last_stable_offset > p->log_start_offset ? p->last_stable_offset : p->log_start_offset;
}

struct segment *log__partition_segment(struct partition *p, int64_t offset)
{
	pthread_mutex_lock(&p->lock);
	struct segment *s = p->gone ? NULL : segment_for(p, offset);
	pthread_mutex_unlock(&p->lock);
	return s;
}

static void fill_result(struct partition *p, struct log_read_result *r)
{
	pthread_mutex_lock(&p->lock);
	r->high_watermark = p->high_watermark;
	r->log_start_offset = p->log_start_offset;
	r->last_stable_offset = stable_end(p);
	pthread_mutex_unlock(&p->lock);
}

static enum sm_err segments_copy(struct partition *p, struct segment ***ret, uint32_t *ret_count);
static void segments_free(struct segment **segments, uint32_t count);

/* Cut a slice, [offset, to), where the stable part ends, and tell which transactions in it were aborted. */
static enum sm_err keep_committed(struct partition *p, struct segment *s, int64_t offset, int64_t to, int64_t stable,
				  struct log_slice *slice)
{
	struct segment **segments;
	uint32_t count;
	uint64_t position;
	enum sm_err err = SM_OK;
	if (to > stable) {
		err = log__segment_position(s, stable, &position);
		if (!err && position - slice->file_at < slice->size)
			slice->size = (size_t)(position - slice->file_at);
		to = stable;
		if (err == SM_END) /* it lies in a later segment */
			err = SM_OK;
	}
	if (err || log__txn_aborted_known(s, offset, to, &slice->aborted, &slice->aborted_count, &err) || err)
		return err;
	if ((err = segments_copy(p, &segments, &count)))
		return err;
	err = log__txn_aborted(segments, count, p->dir, offset, to, &slice->aborted, &slice->aborted_count);
	segments_free(segments, count);
	return err;
}

/* SM_AGAIN: the segment was dropped just now. */
static enum sm_err read_once(struct partition *p, int64_t offset, size_t bytes_max, bool committed, struct log_read_result *ret_result)
{
	struct log_read_result result = {.slice = {.fd = -1}};
	struct segment *s = NULL;
	enum sm_err err = SM_OK;
	int64_t next;
	pthread_mutex_lock(&p->lock);
	int64_t end = committed ? stable_end(p) : p->high_watermark;
	if (p->gone || p->offline)
		err = p->gone ? p->gone : SM_IO;
	else if (offset < p->log_start_offset || offset > p->high_watermark)
		err = SM_OUT_OF_RANGE;
	else if (offset < end && !(s = segment_for(p, offset)))
		err = SM_CORRUPT; /* the first segments are lost */
	pthread_mutex_unlock(&p->lock);
	if (err)
		return err;
	if (s) {
		if (!(err = log__segment_load(s, NULL)))
			err = log__segment_read(s, offset, bytes_max, &result.slice, &next);
		if (!err && committed && (err = keep_committed(p, s, offset, next, end, &result.slice)))
			log_slice_done(&result.slice);
		log__segment_release(s);
		if (err) /* a segment that ends before the next one begins has lost something; so has one without its file */
			return err == SM_END || err == SM_NOT_FOUND ? SM_CORRUPT : err;
	}
	fill_result(p, &result);
	*ret_result = result;
	return SM_OK;
}

enum sm_err log__partition_read(struct partition *p, int64_t offset, size_t bytes_max, bool committed, struct log_read_result *ret_result)
{
	enum sm_err err;
	while ((err = read_once(p, offset, bytes_max, committed, ret_result)) == SM_AGAIN)
		;
	return err;
}

/* The first segment that begins after offset, or the high watermark. */
static int64_t next_base(struct partition *p, int64_t offset)
{
	pthread_mutex_lock(&p->lock);
	int64_t next = p->high_watermark;
	for (uint32_t i = p->segment_count; i > 0 && p->segments[i - 1]->base_offset > offset; i--)
		next = p->segments[i - 1]->base_offset;
	pthread_mutex_unlock(&p->lock);
	return next;
}

enum sm_err log__partition_readable(struct partition *p, int64_t offset, int64_t *ret_offset)
{
	for (;;) {
		pthread_mutex_lock(&p->lock);
		enum sm_err err = p->gone ? p->gone : p->offline ? SM_IO : SM_END;
		int64_t end = p->high_watermark;
		struct segment *s = err == SM_END && offset < end ? segment_for(p, offset) : NULL;
		pthread_mutex_unlock(&p->lock);
		if (s && !(err = log__segment_load(s, NULL)))
			err = log__segment_readable(s, offset, &offset);
		if (s)
			log__segment_release(s);
		if (err == SM_AGAIN)
			continue;
		if (!err || (err == SM_END && offset >= end)) {
			*ret_offset = offset < end ? offset : end;
			return SM_OK;
		}
		/* A segment whose file is lost is passed over like what is damaged. */
		if (err != SM_END && err != SM_NOT_FOUND)
			return err;
		offset = next_base(p, offset);
	}
}

/* ---- times ---- */

/* The segments, counted; *ret is malloc'ed. */
static enum sm_err segments_copy(struct partition *p, struct segment ***ret, uint32_t *ret_count)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&p->lock);
	struct segment **copy = malloc((p->segment_count + 1) * sizeof *copy);
	if (p->gone || p->offline)
		err = p->gone ? p->gone : SM_IO;
	else if (!copy)
		err = SM_NO_MEMORY;
	for (uint32_t i = 0; !err && i < p->segment_count; i++)
		copy[i] = log__segment_ref(p->segments[i]);
	uint32_t count = p->segment_count;
	pthread_mutex_unlock(&p->lock);
	if (err) {
		free(copy);
		return err;
	}
	*ret = copy;
	*ret_count = count;
	return SM_OK;
}

static void segments_free(struct segment **segments, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		log__segment_release(segments[i]);
	free(segments);
}

static int64_t newest_of(struct segment *s)
{
	pthread_mutex_lock(&s->lock);
	int64_t newest = s->max_timestamp_ms;
	pthread_mutex_unlock(&s->lock);
	return newest;
}

static enum sm_err find_time(struct segment **segments, uint32_t count, int64_t timestamp_ms, int64_t from, int64_t *ret_offset,
			     int64_t *ret_timestamp_ms)
{
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = log__segment_load(segments[i], NULL);
		if (!err && newest_of(segments[i]) >= timestamp_ms &&
		    (err = log__segment_find_time(segments[i], timestamp_ms, from, ret_offset, ret_timestamp_ms)) != SM_END)
			return err;
		if (err && err != SM_END)
			return err;
	}
	return SM_END;
}

static enum sm_err newest_time(struct segment **segments, uint32_t count, int64_t *ret_timestamp_ms)
{
	int64_t newest = -1;
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = log__segment_load(segments[i], NULL);
		if (err)
			return err;
		int64_t t = newest_of(segments[i]);
		if (t != INT64_MAX && t > newest)
			newest = t;
	}
	*ret_timestamp_ms = newest;
	return newest < 0 ? SM_END : SM_OK;
}

static enum sm_err offset_for_once(struct partition *p, int64_t what, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
	struct log_read_result now;
	struct segment **segments;
	uint32_t count;
	int64_t offset = -1, timestamp_ms = -1;
	if (what < LOG_MAX_TIMESTAMP && what != LOG_HIGH_WATERMARK)
		return SM_INVALID;
	enum sm_err err = segments_copy(p, &segments, &count);
	if (err)
		return err;
	fill_result(p, &now);
	if (what == LOG_EARLIEST) {
		offset = now.log_start_offset;
	} else if (what == LOG_LATEST) {
		offset = now.last_stable_offset;
	} else if (what == LOG_HIGH_WATERMARK) {
		offset = now.high_watermark;
	} else {
		if (what == LOG_MAX_TIMESTAMP)
			err = newest_time(segments, count, &what);
		if (!err)
			err = find_time(segments, count, what, now.log_start_offset, &offset, &timestamp_ms);
		if (err == SM_END) {
			err = SM_OK;
			offset = timestamp_ms = -1;
		}
	}
	segments_free(segments, count);
	if (err)
		return err;
	*ret_offset = offset;
	if (ret_timestamp_ms)
		*ret_timestamp_ms = timestamp_ms;
	return SM_OK;
}

enum sm_err log__partition_offset_for(struct partition *p, int64_t what, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
	enum sm_err err;
	while ((err = offset_for_once(p, what, ret_offset, ret_timestamp_ms)) == SM_AGAIN)
		;
	return err;
}

enum sm_err log__partition_aborted(struct partition *p, int64_t from, int64_t to, struct log_aborted **ret_aborted, uint32_t *ret_count)
{
	struct segment **segments;
	uint32_t count;
	enum sm_err err = segments_copy(p, &segments, &count);
	if (err)
		return err;
	err = log__txn_aborted(segments, count, p->dir, from, to, ret_aborted, ret_count);
	segments_free(segments, count);
	return err;
}

/* ---- waits ---- */

static void unlink_wait(struct partition *p, struct log_wait *wait)
{
	if (wait->prev)
		wait->prev->next = wait->next;
	else
		p->waits = wait->next;
	if (wait->next)
		wait->next->prev = wait->prev;
	wait->engine = NULL;
}

void log__partition_wait(struct partition *p, struct log_wait *wait)
{
	enum sm_err err = SM_AGAIN;
	pthread_mutex_lock(&p->engine->waits_lock);
	pthread_mutex_lock(&p->lock);
	if (p->gone)
		err = p->gone;
	else if ((wait->uncommitted ? p->high_watermark : stable_end(p)) > wait->offset)
		err = SM_OK;
	pthread_mutex_unlock(&p->lock);
	wait->engine = NULL;
	if (err == SM_AGAIN) {
		wait->engine = p; /* not counted: the partition calls all its waits before it goes */
		wait->prev = NULL;
		wait->next = p->waits;
		if (p->waits)
			p->waits->prev = wait;
		p->waits = wait;
	}
	pthread_mutex_unlock(&p->engine->waits_lock);
	if (err != SM_AGAIN)
		wait->done(wait, err);
}

void log__partition_wake(struct partition *p, enum sm_err why)
{
	struct log_wait *due = NULL;
	pthread_mutex_lock(&p->engine->waits_lock);
	pthread_mutex_lock(&p->lock);
	int64_t high_watermark = p->high_watermark, last_stable_offset = stable_end(p);
	pthread_mutex_unlock(&p->lock);
	for (struct log_wait *w = p->waits, *next; w; w = next) {
		next = w->next;
		if (!why && (w->uncommitted ? high_watermark : last_stable_offset) <= w->offset)
			continue;
		unlink_wait(p, w);
		w->next = due;
		due = w;
	}
	pthread_mutex_unlock(&p->engine->waits_lock);
	while (due) {
		struct log_wait *next = due->next; /* the owner may free it in done */
		due->done(due, why);
		due = next;
	}
}

void log__wait_cancel(struct engine *engine, struct log_wait *wait)
{
	pthread_mutex_lock(&engine->waits_lock);
	bool waiting = wait->engine != NULL;
	if (waiting)
		unlink_wait(wait->engine, wait);
	pthread_mutex_unlock(&engine->waits_lock);
	if (waiting)
		wait->done(wait, SM_CANCELLED);
}

/* ---- old segments ---- */

enum sm_err log__partition_bytes(struct partition *p, uint64_t *ret_bytes)
{
	struct segment **segments;
	uint32_t count;
	uint64_t bytes = 0;
	enum sm_err err = segments_copy(p, &segments, &count);
	if (err)
		return err;
	for (uint32_t i = 0; i < count && !err; i++) {
		if (!(err = log__segment_load(segments[i], NULL)))
			bytes += segments[i]->end - SEGMENT_HEADER;
		else if (err == SM_AGAIN)
			err = SM_OK; /* it has just gone */
	}
	segments_free(segments, count);
	if (!err)
		*ret_bytes = bytes;
	return err;
}

static enum sm_err files_delete(struct partition *p, int64_t base_offset, struct sm_error *reterr)
{
	static const char *const suffixes[] = {".swap", ".index", ".timeindex", ".txnindex", ".snapshot", ".log"};
	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof path, "%s/%020lld%s", p->dir, (long long)base_offset, suffixes[i]);
		enum sm_err err = p->io->ops->unlink(p->io, path, reterr);
		if (err && err != SM_NOT_FOUND)
			return err;
	}
	return SM_OK;
}

/* May the oldest segment go? `bytes` is what all of them hold. */
static bool may_go(const struct partition *p, struct segment *s, const struct segment *next, uint64_t bytes, int64_t now_ms,
		   int64_t drop_before)
{
	const struct topic_settings *set = &p->settings;
	if (drop_before >= 0)
		return next->base_offset <= drop_before;
	if (!set->delete_old)
		return false;
	int64_t newest = newest_of(s);
	if (set->retention_ms >= 0 && newest >= 0 && newest != INT64_MAX && newest < now_ms - set->retention_ms)
		return true;
	return set->retention_bytes >= 0 && bytes - (s->end - SEGMENT_HEADER) >= (uint64_t)set->retention_bytes;
}

/* What is deleted is told first. A disk without space must not keep records from being deleted: then it is told the next time. */
static void start_keep(struct partition *p)
{
	pthread_mutex_lock(&p->lock);
	int64_t start = p->log_start_offset;
	bool there = p->segment_count > 0;
	pthread_mutex_unlock(&p->lock);
	if (there && start > p->start_kept && !log__offset_write(p->io, p->dir, "start", start, NULL))
		p->start_kept = start;
}

/* Take the oldest segment out if it may go. NULL: it may not. */
static struct segment *oldest_take(struct partition *p, uint64_t *bytes, int64_t now_ms, int64_t drop_before)
{
	struct segment *oldest = NULL;
	pthread_mutex_lock(&p->lock);
	if (p->segment_count >= 2 && may_go(p, p->segments[0], p->segments[1], *bytes, now_ms, drop_before)) {
		oldest = p->segments[0];
		p->segment_count--;
		memmove(p->segments, p->segments + 1, p->segment_count * sizeof *p->segments);
		if (p->log_start_offset < p->segments[0]->base_offset)
			p->log_start_offset = p->segments[0]->base_offset;
		*bytes -= oldest->end - SEGMENT_HEADER;
	}
	pthread_mutex_unlock(&p->lock);
	return oldest;
}

enum sm_err log__partition_drop_old(struct partition *p, int64_t now_ms, int64_t drop_before, struct sm_error *reterr)
{
	uint64_t bytes;
	struct segment *oldest;
	pthread_mutex_lock(&p->files_lock);
	enum sm_err err = log__partition_bytes(p, &bytes);
	while (!err && (oldest = oldest_take(p, &bytes, now_ms, drop_before))) {
		int64_t base_offset = oldest->base_offset;
		log__segment_drop(oldest);
		start_keep(p);
		err = files_delete(p, base_offset, reterr);
	}
	start_keep(p);
	pthread_mutex_unlock(&p->files_lock);
	return err;
}
