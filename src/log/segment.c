/* The reading side of a segment. segment_write.c owns the format of the file, segment_index.c that of its indexes. */
#include "log/log_internal.h"
#include <stdio.h>
#include <stdlib.h>

int64_t log__segment_name_parse(const char *name, const char *suffix)
{
	size_t digits = strspn(name, "0123456789");
	if (digits != 20 || strcmp(name + digits, suffix) != 0)
		return -1;
	char *end;
	unsigned long long value = strtoull(name, &end, 10);
	return value <= INT64_MAX ? (int64_t)value : -1;
}

static void segment_release(struct log_hold *hold)
{
	log__segment_release((struct segment *)hold);
}

struct segment *log__segment_new(struct io *io, const char *dir, int64_t base_offset)
{
	struct segment *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	if (asprintf(&s->path, "%s/%020lld.log", dir, (long long)base_offset) < 0) {
		free(s);
		return NULL;
	}
	s->hold.release = segment_release;
	atomic_init(&s->refs, 1);
	s->io = io;
	s->base_offset = base_offset;
	s->next_offset = -1;
	s->max_timestamp_ms = -1;
	s->file.fd = s->direct.fd = -1;
	static atomic_uint_fast64_t ids;
	s->id = atomic_fetch_add(&ids, 1);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

struct segment *log__segment_ref(struct segment *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

static void file_close(struct segment *s)
{
	if (s->file.fd >= 0)
		s->io->ops->close(s->io, &s->file);
	if (s->direct.fd >= 0)
		s->io->ops->close(s->io, &s->direct);
	s->file.fd = s->direct.fd = -1;
}

void log__segment_unref(struct segment *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	file_close(s);
	log__index_done(&s->index);
	log__txn_index_done(&s->txns);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

/* Without a whole mark the file's size counts; what lies there is checked when it is read. */
static enum sm_err know_locked(struct segment *s, struct sm_error *reterr)
{
	struct segment_mark mark;
	uint64_t size;
	int page;
	enum sm_err err = s->io->ops->size(s->io, &s->file, &size, reterr);
	if (err)
		return err;
	err = log__mark_read(s->io, &s->file, &mark, &page, reterr);
	if (err && err != SM_NOT_FOUND)
		return err;
	s->end = size;
	s->max_timestamp_ms = INT64_MAX; /* unknown: found by no retention, looked into by every search for a time */
	if (!err && mark.kind != MARK_GROUP && mark.end <= size && mark.base_offset == s->base_offset) {
		s->end = mark.end;
		s->next_offset = mark.next_offset;
		s->max_timestamp_ms = mark.max_timestamp_ms;
	}
	if (s->end < SEGMENT_HEADER) /* it was cut short: nothing is left */
		s->end = SEGMENT_HEADER;
	s->checked_from = s->end;
	s->loaded = true;
	return SM_OK;
}

static enum sm_err load(struct segment *s, bool keep, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&s->lock);
	s->kept |= keep;
	if (s->file.fd < 0 && s->dropped) {
		err = SM_AGAIN; /* what has its name by now may be another one's */
	} else if (s->file.fd < 0) {
		if ((err = s->io->ops->open(s->io, s->path, s->active ? IO_READ | IO_WRITE : IO_READ, &s->file, reterr)))
			s->file.fd = -1;
		else if (!s->loaded && (err = know_locked(s, reterr)))
			file_close(s);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

enum sm_err log__segment_load(struct segment *s, struct sm_error *reterr)
{
	return load(s, false, reterr);
}

enum sm_err log__segment_keep(struct segment *s, struct sm_error *reterr)
{
	return load(s, true, reterr);
}

void log__segment_release(struct segment *s)
{
	pthread_mutex_lock(&s->lock);
	/* Ours and the partition's. Two that leave at once both see the other, and the file stays open until it is next read. */
	if (atomic_load(&s->refs) == 2 && !s->dropped && !(s->active && s->kept) && s->file.fd >= 0)
		file_close(s);
	pthread_mutex_unlock(&s->lock);
	log__segment_unref(s);
}

void log__segment_rest(struct segment *s)
{
	pthread_mutex_lock(&s->lock);
	s->kept = false;
	if (atomic_load(&s->refs) == 1 && s->file.fd >= 0)
		file_close(s);
	pthread_mutex_unlock(&s->lock);
}

void log__segment_drop(struct segment *s)
{
	pthread_mutex_lock(&s->lock);
	s->dropped = true;
	pthread_mutex_unlock(&s->lock);
	log__segment_unref(s);
}

/* ---- walking ---- */

/* A piece of the file, so that the headers of small batches do not cost a read each. */
struct window {
	uint8_t data[SEGMENT_INDEX_INTERVAL];
	uint64_t at;
	size_t size;
};

static enum sm_err header_read(struct segment *s, struct window *w, uint64_t position, uint64_t end, struct batch_info *ret_info)
{
	if (position < w->at || position + LOG_BATCH_OVERHEAD > w->at + w->size) {
		size_t want = end - position < sizeof w->data ? (size_t)(end - position) : sizeof w->data;
		enum sm_err err = s->io->ops->pread(s->io, &s->file, w->data, want, position, &w->size, NULL);
		if (err)
			return err;
		w->at = position;
	}
	size_t from = (size_t)(position - w->at);
	if (batch_parse_header(bytes_of(w->data + from, w->size - from), ret_info))
		return SM_CORRUPT;
	return ret_info->size > end - position ? SM_CORRUPT : SM_OK;
}

static int64_t last_offset(const struct batch_info *info)
{
	return info->base_offset + info->last_offset_delta;
}

enum index_key { BY_OFFSET, BY_POSITION };

/* The last entry whose key is not above; false: none. */
static bool index_find(const struct segment_index *index, enum index_key by, uint64_t key, struct index_entry *ret)
{
	uint32_t low = 0, high = index->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct index_entry *e = &index->entries[middle];
		if ((by == BY_OFFSET ? e->offset : e->position) <= key)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return false;
	*ret = index->entries[low - 1];
	return true;
}

/* What was read before the segment was dropped was its own. */
static bool is_dropped(struct segment *s)
{
	pthread_mutex_lock(&s->lock);
	bool dropped = s->dropped;
	pthread_mutex_unlock(&s->lock);
	return dropped;
}

/* The index of an active segment is in memory; that of another is read for this call. */
static bool index_lookup(struct segment *s, enum index_key by, uint64_t key, struct index_entry *ret)
{
	pthread_mutex_lock(&s->lock);
	bool active = s->active, found = active && index_find(&s->index, by, key, ret);
	pthread_mutex_unlock(&s->lock);
	if (active)
		return found;
	struct segment_index index = {0};
	if (log__index_read(s->io, s->path, s->base_offset, &index))
		return false;
	found = !is_dropped(s) && index_find(&index, by, key, ret);
	log__index_done(&index);
	return found;
}

static uint64_t end_of(struct segment *s)
{
	pthread_mutex_lock(&s->lock);
	uint64_t end = s->end;
	pthread_mutex_unlock(&s->lock);
	return end;
}

/* A position from which the segment can be walked, near the batch that holds offset, and the offset there. */
static void walk_from(struct segment *s, int64_t offset, uint64_t end, struct window *w, uint64_t *ret_position, int64_t *ret_next)
{
	struct index_entry entry;
	struct batch_info info;
	*ret_position = SEGMENT_HEADER;
	*ret_next = s->base_offset;
	if (offset > s->base_offset && index_lookup(s, BY_OFFSET, (uint64_t)(offset - s->base_offset), &entry) && entry.position < end &&
	    entry.position >= SEGMENT_HEADER && !header_read(s, w, entry.position, end, &info) &&
	    info.base_offset == s->base_offset + entry.offset) {
		*ret_position = entry.position;
		*ret_next = info.base_offset;
	}
}

void log__segment_near(struct segment *s, int64_t offset, uint64_t *ret_position, int64_t *ret_offset)
{
	struct index_entry entry;
	bool found = offset > s->base_offset && index_lookup(s, BY_OFFSET, (uint64_t)(offset - s->base_offset), &entry);
	*ret_position = found ? entry.position : SEGMENT_HEADER;
	*ret_offset = s->base_offset + (found ? entry.offset : 0);
}

/* The first batch from position on that is right and ends at or after offset; next is the offset at position. SM_END: none. */
static enum sm_err find_right(struct segment *s, int64_t offset, uint64_t position, int64_t next, uint64_t end, uint64_t *ret_position,
			      struct batch_info *ret_info)
{
	struct scanner scan = {.io = s->io, .file = &s->file, .position = position, .size = end};
	struct batch_info info;
	enum sm_err err;
	pthread_mutex_lock(&s->lock);
	int64_t below = s->next_offset >= 0 ? s->next_offset : INT64_MAX;
	pthread_mutex_unlock(&s->lock);
	while (!(err = log__scan_next(&scan, next, below, &info, NULL)) && last_offset(&info) < offset) {
		next = last_offset(&info) + 1;
		scan.position += info.size;
	}
	if (!err) {
		*ret_position = scan.position;
		*ret_info = info;
	}
	log__scan_done(&scan);
	return err;
}

/* Position and header of the first batch that ends at or after offset. */
static enum sm_err find_batch(struct segment *s, int64_t offset, uint64_t end, struct window *w, uint64_t *ret_position,
			      struct batch_info *ret_info)
{
	uint64_t position, before;
	struct batch_info info;
	int64_t next, next_before;
	walk_from(s, offset, end, w, &position, &next);
	before = position;
	next_before = next;
	while (position < end) {
		enum sm_err err = header_read(s, w, position, end, &info);
		if (!err && info.base_offset != next) /* outside the CRC, so checked by counting */
			err = SM_CORRUPT;
		/* This batch is damaged, or the size of the one before it was. What can be read behind them is found by its CRC. */
		if (err == SM_CORRUPT) {
			err = find_right(s, offset, before, next_before, end, ret_position, ret_info);
			return err == SM_END || (!err && ret_info->base_offset > offset) ? SM_CORRUPT : err;
		}
		if (err)
			return err;
		before = position;
		next_before = next;
		next = last_offset(&info) + 1;
		if (last_offset(&info) >= offset) {
			*ret_position = position;
			*ret_info = info;
			return SM_OK;
		}
		position += info.size;
	}
	return SM_END;
}

enum sm_err log__segment_readable(struct segment *s, int64_t offset, int64_t *ret_offset)
{
	struct window window = {.size = 0};
	struct batch_info info;
	uint64_t position, end = end_of(s);
	int64_t next;
	walk_from(s, offset, end, &window, &position, &next);
	enum sm_err err = find_right(s, offset, position, next, end, &position, &info);
	if (!err)
		*ret_offset = info.base_offset > offset ? info.base_offset : offset;
	return err;
}

/* ---- reading ---- */

bool log__segment_verified(struct segment *s, uint64_t from, uint64_t to)
{
	pthread_mutex_lock(&s->lock);
	bool verified = from >= s->verified_from && to <= s->verified_to;
	pthread_mutex_unlock(&s->lock);
	return verified;
}

static bool is_checked(struct segment *s, uint64_t from, uint64_t to)
{
	pthread_mutex_lock(&s->lock);
	uint64_t known_from = s->checked_from;
	pthread_mutex_unlock(&s->lock);
	return from >= known_from || log__segment_verified(s, from, to < known_from ? to : known_from);
}

void log__segment_set_verified(struct segment *s, uint64_t from, uint64_t to)
{
	pthread_mutex_lock(&s->lock);
	if (from <= s->verified_to && to >= s->verified_from) {
		s->verified_from = from < s->verified_from ? from : s->verified_from;
		s->verified_to = to > s->verified_to ? to : s->verified_to;
	} else {
		s->verified_from = from;
		s->verified_to = to;
	}
	pthread_mutex_unlock(&s->lock);
}

/* What of a segment a read gives: up to a position, and the offset there. */
struct extent {
	uint64_t to;
	int64_t next;
};

/* Bytes of whole batches from position on, within limit; checked data: headers are enough. */
static enum sm_err extent_known(struct segment *s, uint64_t position, uint64_t limit, uint64_t end, struct window *w, struct extent *ret)
{
	struct index_entry entry;
	uint64_t at = position;
	if (limit >= end) {
		ret->to = end;
		return log__segment_offset(s, end, &ret->next);
	}
	if (index_lookup(s, BY_POSITION, limit, &entry) && entry.position > position)
		at = entry.position;
	for (;;) {
		struct batch_info info;
		enum sm_err err = header_read(s, w, at, end, &info);
		if (err)
			return err;
		ret->next = info.base_offset;
		if (at > position && at + info.size > limit)
			break;
		at += info.size;
		ret->next = last_offset(&info) + 1;
		if (at >= limit)
			break;
	}
	ret->to = at;
	return SM_OK;
}

/* The same for data of an earlier run: every batch is read and its CRC checked, so that nothing corrupt is served. */
static enum sm_err extent_checked(struct segment *s, uint64_t position, uint64_t limit, const struct batch_info *first, struct extent *ret)
{
	if (limit > position + LOG_READ_VERIFY_MAX)
		limit = position + LOG_READ_VERIFY_MAX;
	if (limit < position + first->size)
		limit = position + first->size;
	size_t size = (size_t)(limit - position), got, at = 0;
	uint8_t *data = malloc(size);
	if (!data)
		return SM_NO_MEMORY;
	enum sm_err err = s->io->ops->pread(s->io, &s->file, data, size, position, &got, NULL);
	struct batch_info info;
	int64_t next = first->base_offset;
	while (!err && at < got && batch_parse(bytes_of(data + at, got - at), &info) == SM_OK && info.base_offset == next &&
	       info.leader_epoch == LOG_LEADER_EPOCH && batch_crc_ok(bytes_of(data + at, got - at), &info)) {
		at += info.size;
		next = last_offset(&info) + 1;
	}
	free(data);
	if (err)
		return err;
	if (at == 0)
		return SM_CORRUPT;
	log__segment_set_verified(s, position, position + at);
	*ret = (struct extent){position + at, next};
	return SM_OK;
}

static uint64_t read_limit(uint64_t position, size_t bytes_max, size_t first_size, uint64_t end)
{
	uint64_t limit = bytes_max < end - position ? position + bytes_max : end;
	return limit < position + first_size ? position + first_size : limit;
}

enum sm_err log__segment_read(struct segment *s, int64_t offset, size_t bytes_max, struct log_slice *ret_slice, int64_t *ret_next)
{
	struct window window = {.size = 0};
	struct batch_info first;
	struct extent extent = {0, offset};
	uint64_t position, end = end_of(s);
	if (!log__bulk_read(s, offset, bytes_max, ret_slice, ret_next))
		return SM_OK;
	enum sm_err err = find_batch(s, offset, end, &window, &position, &first);
	if (err)
		return err;
	uint64_t limit = read_limit(position, bytes_max, first.size, end);
	if (is_checked(s, position, limit)) {
		err = extent_known(s, position, limit, end, &window, &extent);
	} else if ((err = extent_checked(s, position, limit, &first, &extent)) == SM_CORRUPT) {
		/* Its header may claim offsets that are not its own. */
		err = find_right(s, offset, position + 1, s->base_offset, end, &position, &first);
		if (err == SM_END || (!err && first.base_offset > offset))
			err = SM_CORRUPT;
		if (!err)
			err = extent_checked(s, position, read_limit(position, bytes_max, first.size, end), &first, &extent);
	}
	if (err)
		return err;
	*ret_slice = (struct log_slice){
		.fd = s->file.fd, .file_at = position, .size = (size_t)(extent.to - position), .hold = &log__segment_ref(s)->hold};
	if (ret_next)
		*ret_next = extent.next;
	return SM_OK;
}

enum sm_err log__segment_position(struct segment *s, int64_t offset, uint64_t *ret_position)
{
	struct window window = {.size = 0};
	struct batch_info info;
	return find_batch(s, offset, end_of(s), &window, ret_position, &info);
}

enum sm_err log__segment_offset(struct segment *s, uint64_t position, int64_t *ret_offset)
{
	struct window window = {.size = 0};
	struct batch_info info;
	pthread_mutex_lock(&s->lock);
	uint64_t end = s->end;
	int64_t next_offset = s->next_offset;
	pthread_mutex_unlock(&s->lock);
	if (position >= end) {
		*ret_offset = next_offset >= 0 ? next_offset : INT64_MAX;
		return SM_OK;
	}
	enum sm_err err = header_read(s, &window, position, end, &info);
	if (!err)
		*ret_offset = info.base_offset;
	return err;
}

enum sm_err log__segment_walk(struct segment *s, enum sm_err (*each)(void *arg, struct segment *s, const struct batch_info *info),
			      void *arg)
{
	struct window window = {.size = 0};
	struct batch_info info;
	uint64_t end = end_of(s);
	for (uint64_t position = SEGMENT_HEADER; position < end; position += info.size) {
		enum sm_err err = header_read(s, &window, position, end, &info);
		if (err || (err = each(arg, s, &info)))
			return err;
	}
	return SM_OK;
}

/* ---- times ---- */

/* Offset of the batch after which a record of that time may first come. */
static int64_t time_lookup(struct segment *s, int64_t timestamp_ms)
{
	struct segment_index read = {0};
	pthread_mutex_lock(&s->lock);
	bool active = s->active;
	const struct segment_index *index = &s->index;
	if (!active) {
		pthread_mutex_unlock(&s->lock);
		if (log__index_read(s->io, s->path, s->base_offset, &read))
			return s->base_offset;
		index = &read;
		if (is_dropped(s))
			read.time_count = 0;
	}
	uint32_t low = 0, high = index->time_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (index->times[middle].timestamp_ms < timestamp_ms)
			low = middle + 1;
		else
			high = middle;
	}
	int64_t offset = s->base_offset + (low ? index->times[low - 1].offset : 0);
	if (active)
		pthread_mutex_unlock(&s->lock);
	log__index_done(&read);
	return offset;
}

/* First record of a batch at or after a time; SM_END: none. */
static enum sm_err find_in_batch(struct bytes batch, int64_t timestamp_ms, int64_t from, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
	struct batch_reader reader;
	struct record record;
	enum sm_err err = batch_reader_init(&reader, batch);
	if (err)
		return err;
	while (!(err = batch_next(&reader, &record)))
		if (record.timestamp_ms >= timestamp_ms && record.offset >= from) {
			*ret_offset = record.offset;
			*ret_timestamp_ms = record.timestamp_ms;
			break;
		}
	batch_reader_done(&reader);
	return err;
}

enum sm_err log__segment_find_time(struct segment *s, int64_t timestamp_ms, int64_t from, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
	struct window window = {.size = 0};
	struct batch_info info;
	uint64_t position, end = end_of(s);
	enum sm_err err = find_batch(s, time_lookup(s, timestamp_ms), end, &window, &position, &info);
	while (!err) {
		if (info.max_timestamp_ms >= timestamp_ms && info.base_offset + info.last_offset_delta >= from) {
			struct log_slice slice;
			struct bytes batch;
			uint8_t *buffer = NULL;
			size_t cap = 0;
			if ((err = log__segment_read(s, info.base_offset, 1, &slice, NULL)))
				return err;
			if (!(err = log_slice_bytes(&slice, &buffer, &cap, &batch)))
				err = find_in_batch(batch, timestamp_ms, from, ret_offset, ret_timestamp_ms);
			free(buffer);
			log_slice_done(&slice);
			if (err != SM_END) /* a header that promises more than its records hold: look on */
				return err;
		}
		position += info.size;
		if (position >= end)
			return SM_END;
		err = header_read(s, &window, position, end, &info);
	}
	return err;
}
