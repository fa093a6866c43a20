/* Large groups go to the disk past the kernel's page cache, and are read past it.
 *
 * The page cache costs a copy, a fresh page for every 4 KiB and its write-back; for a stream of large groups that is most of a broker's
 * CPU. So the pages that lie wholly inside a group are written with O_DIRECT from a piece of memory laid out as the file is (a byte's
 * position in its page of memory is that in its page of the file), and the parts of a page at its two ends through the page cache, where
 * the next group finds its page. The sync that follows covers both.
 *
 * A piece holds whole batches and stays in memory for a while: who reads the end of the log is answered from there. Who reads what is
 * older reads it from the disk into a piece of the same kind, so that others who read the same find it. Its batches' CRCs are checked when
 * it is the first time: the disk has what was meant. After that, as with files in the page cache, that is the scrubber's business.
 * Both kinds are bounded, the oldest go first; what nobody has used between two looks goes back to the system.
 *
 * Groups below from_bytes, and all of an earlier run, live in the page cache as ever. On a file system without O_DIRECT everything does. */
#include "base/block.h"
#include "log/log_internal.h"
#include <stdlib.h>

#define PAGE 4096u
#define READ_MIN (128u << 10)

struct bulk {
	struct log_hold hold; /* first */
	atomic_uint refs;
	struct bulk *next;
	uint64_t segment; /* its id */
	uint64_t at;      /* position in the file */
	size_t size, cap;
	void *block;
	uint8_t *data; /* as far into a page as `at` is */
};

static uint64_t page_down(uint64_t position)
{
	return position / PAGE * PAGE;
}

static uint64_t page_up(uint64_t position)
{
	return page_down(position + PAGE - 1);
}

static void piece_unref(struct bulk *b)
{
	if (atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	block_free(b->block);
	free(b);
}

static void piece_release(struct log_hold *hold)
{
	piece_unref((struct bulk *)hold);
}

/* Room for cap bytes from `at` on, and for the whole pages around them. NULL: no memory. */
static struct bulk *piece_new(const struct segment *s, uint64_t at, size_t cap)
{
	struct bulk *b = calloc(1, sizeof *b);
	size_t got;
	if (!b)
		return NULL;
	if (!(b->block = block_new(cap + 3 * PAGE, &got))) {
		free(b);
		return NULL;
	}
	b->hold.release = piece_release;
	atomic_init(&b->refs, 1);
	b->segment = s->id;
	b->at = at;
	b->cap = cap;
	b->data = (uint8_t *)page_up((uintptr_t)b->block) + at % PAGE;
	return b;
}

/* ---- the cache ---- */

void log__bulk_init(struct bulk_cache *cache, uint32_t from_bytes)
{
	*cache = (struct bulk_cache){
		.from_bytes = from_bytes, .written = {.most = LOG_BULK_WRITTEN_BYTES}, .read = {.most = LOG_BULK_READ_BYTES}};
	cache->written.last = &cache->written.first;
	cache->read.last = &cache->read.first;
	pthread_mutex_init(&cache->lock, NULL);
}

static void list_drop(struct bulk_list *list, size_t most)
{
	while (list->first && list->bytes > most) {
		struct bulk *b = list->first;
		if (!(list->first = b->next))
			list->last = &list->first;
		list->bytes -= b->cap;
		b->next = NULL;
		piece_unref(b);
	}
}

/* The list takes over the caller's reference. */
static void list_add(struct bulk_list *list, struct bulk *b)
{
	b->next = NULL;
	*list->last = b;
	list->last = &b->next;
	list->bytes += b->cap;
	list_drop(list, list->most);
}

void log__bulk_done(struct bulk_cache *cache)
{
	list_drop(&cache->written, 0);
	list_drop(&cache->read, 0);
	pthread_mutex_destroy(&cache->lock);
}

void log__bulk_rest(struct bulk_cache *cache)
{
	pthread_mutex_lock(&cache->lock);
	if (!cache->used) {
		list_drop(&cache->written, 0);
		list_drop(&cache->read, 0);
	}
	cache->used = false;
	pthread_mutex_unlock(&cache->lock);
}

static struct bulk *list_find(const struct bulk_list *list, uint64_t segment, uint64_t position)
{
	struct bulk *b = list->first;
	while (b && (b->segment != segment || position < b->at || position - b->at >= b->size))
		b = b->next;
	return b;
}

/* Counted; NULL: it is not here. */
static struct bulk *find(struct bulk_cache *cache, const struct segment *s, uint64_t position)
{
	pthread_mutex_lock(&cache->lock);
	struct bulk *b = list_find(&cache->written, s->id, position);
	if (!b)
		b = list_find(&cache->read, s->id, position);
	if (b)
		atomic_fetch_add(&b->refs, 1);
	cache->used = true;
	pthread_mutex_unlock(&cache->lock);
	return b;
}

/* ---- writing ---- */

/* The segment's second descriptor. Errors: SM_AGAIN (the segment was dropped), as open. */
static enum sm_err direct_open(struct segment *s, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&s->lock);
	if (s->direct.fd < 0 && s->dropped)
		err = SM_AGAIN;
	else if (s->direct.fd < 0 &&
		 (err = s->io->ops->open(s->io, s->path, (s->active ? IO_READ | IO_WRITE : IO_READ) | IO_DIRECT, &s->direct, reterr)))
		s->direct.fd = -1;
	pthread_mutex_unlock(&s->lock);
	return err;
}

static enum sm_err write_cached(struct segment *s, const struct bulk *b, uint64_t from, uint64_t to, struct sm_error *reterr)
{
	struct iovec iov = {b->data + (from - b->at), (size_t)(to - from)};
	return from < to ? s->io->ops->pwritev(s->io, &s->file, &iov, 1, from, reterr) : SM_OK;
}

static enum sm_err piece_write(struct bulk_cache *cache, struct segment *s, const struct bulk *b, struct sm_error *reterr)
{
	uint64_t end = b->at + b->size, from = page_up(b->at), to = page_down(end);
	if (to <= from || atomic_load_explicit(&cache->refused, memory_order_relaxed))
		return write_cached(s, b, b->at, end, reterr);
	struct iovec iov = {b->data + (from - b->at), (size_t)(to - from)};
	enum sm_err err = write_cached(s, b, b->at, from, reterr);
	if (!err)
		err = s->io->ops->pwritev(s->io, &s->direct, &iov, 1, from, reterr);
	if (err == SM_INVALID) { /* not so here: another size of block, another file system */
		atomic_store(&cache->refused, true);
		return write_cached(s, b, from, end, reterr);
	}
	return err ? err : write_cached(s, b, to, end, reterr);
}

static void pieces_drop(struct bulk *pieces)
{
	while (pieces) {
		struct bulk *next = pieces->next;
		piece_unref(pieces);
		pieces = next;
	}
}

bool log__bulk_wants(struct bulk_cache *cache, struct segment *s, size_t size)
{
	if (!cache || !cache->from_bytes || size < cache->from_bytes || atomic_load_explicit(&cache->refused, memory_order_relaxed))
		return false;
	enum sm_err err = direct_open(s, NULL);
	if (err == SM_INVALID)
		atomic_store(&cache->refused, true);
	return !err;
}

enum sm_err log__bulk_write(struct bulk_cache *cache, struct segment *s, const struct iovec *iov, int count, uint64_t at,
			    struct bulk **ret_pieces, struct sm_error *reterr)
{
	struct bulk *pieces = NULL, **last = &pieces;
	size_t left = 0;
	enum sm_err err = SM_OK;
	for (int i = 0; i < count; i++)
		left += iov[i].iov_len;
	for (int i = 0; i < count && !err;) {
		struct bulk *b;
		if (iov[i].iov_len > LOG_BULK_PIECE) { /* a batch beyond the usual */
			err = s->io->ops->pwritev(s->io, &s->file, &iov[i], 1, at, reterr);
			at += iov[i].iov_len;
			left -= iov[i++].iov_len;
			continue;
		}
		if (!(b = piece_new(s, at, left < LOG_BULK_PIECE ? left : LOG_BULK_PIECE))) {
			err = sm_fail(reterr, SM_NO_MEMORY, "no memory for a group of the log");
			break;
		}
		*last = b;
		last = &b->next;
		for (; i < count && iov[i].iov_len <= b->cap - b->size; b->size += iov[i++].iov_len)
			memcpy(b->data + b->size, iov[i].iov_base, iov[i].iov_len);
		err = piece_write(cache, s, b, reterr);
		at += b->size;
		left -= b->size;
	}
	if (err)
		pieces_drop(pieces);
	else
		*ret_pieces = pieces;
	return err;
}

void log__bulk_written(struct bulk_cache *cache, struct segment *s, struct bulk *pieces, int64_t next_offset)
{
	pthread_mutex_lock(&cache->lock);
	while (pieces) {
		struct bulk *next = pieces->next;
		list_add(&cache->written, pieces);
		pieces = next;
	}
	cache->used = true;
	pthread_mutex_unlock(&cache->lock);
	pthread_mutex_lock(&s->lock);
	s->bulk = cache;
	s->bulk_next = next_offset;
	pthread_mutex_unlock(&s->lock);
}

void log__bulk_failed(struct bulk *pieces)
{
	pieces_drop(pieces);
}

/* ---- reading ---- */

/* How many of the bytes are right batches, from the one that begins with `offset` on; verified: headers are enough. */
static size_t right_bytes(struct bytes data, int64_t offset, bool verified)
{
	struct batch_info info;
	size_t at = 0;
	while (at < data.size && batch_parse(bytes_of(data.data + at, data.size - at), &info) == SM_OK && info.base_offset == offset &&
	       info.leader_epoch == LOG_LEADER_EPOCH && (verified || batch_crc_ok(bytes_of(data.data + at, data.size - at), &info))) {
		offset = info.base_offset + info.last_offset_delta + 1;
		at += info.size;
	}
	return at;
}

/* Read [position, position + size) as far as the file goes; *ret_got: of these. */
static enum sm_err piece_read(struct segment *s, uint64_t position, size_t size, struct bulk **ret, size_t *ret_got)
{
	struct bulk *b = piece_new(s, position, size);
	if (!b)
		return SM_NO_MEMORY;
	uint64_t from = page_down(position), to = page_up(position + size);
	size_t got;
	enum sm_err err = s->io->ops->pread(s->io, &s->direct, b->data - (position - from), (size_t)(to - from), from, &got, NULL);
	if (!err && got <= position - from)
		err = SM_CORRUPT;
	if (err) {
		piece_unref(b);
		return err;
	}
	got -= (size_t)(position - from);
	*ret_got = got < size ? got : size;
	*ret = b;
	return SM_OK;
}

/* The batches from position on, where `offset` begins, from the disk. */
static enum sm_err piece_load(struct bulk_cache *cache, struct segment *s, uint64_t position, uint64_t end, int64_t offset, size_t want,
			      struct bulk **ret)
{
	struct bulk *b = NULL;
	size_t got;
	enum sm_err err = direct_open(s, NULL);
	if (want < READ_MIN)
		want = READ_MIN;
	for (bool again = true; !err; again = false) {
		struct batch_info first;
		if (want > LOG_BULK_PIECE)
			want = LOG_BULK_PIECE;
		if (want > end - position)
			want = (size_t)(end - position);
		if ((err = piece_read(s, position, want, &b, &got)))
			return err;
		bool verified = log__segment_verified(s, position, position + got);
		if ((b->size = right_bytes(bytes_of(b->data, got), offset, verified))) {
			if (!verified)
				log__segment_set_verified(s, position, position + b->size);
			break;
		}
		/* Is it only that the first batch is longer? */
		if (!again || batch_parse_header(bytes_of(b->data, got), &first) || first.size <= want || first.size > LOG_BULK_PIECE)
			err = SM_CORRUPT;
		else
			want = first.size;
		piece_unref(b);
	}
	if (err)
		return err;
	atomic_fetch_add(&b->refs, 1);
	pthread_mutex_lock(&cache->lock);
	list_add(&cache->read, b);
	pthread_mutex_unlock(&cache->lock);
	*ret = b;
	return SM_OK;
}

/* The batch at `at` of the piece, which may not reach behind limit. */
static bool batch_at(const struct bulk *b, size_t at, size_t limit, int64_t offset, struct batch_info *ret)
{
	return at < limit && !batch_parse_header(bytes_of(b->data + at, limit - at), ret) && ret->size <= limit - at &&
	       ret->base_offset == offset;
}

/* The batches of a piece, from the one that holds offset on; *position and *next move behind what comes before. Takes the reference. */
static enum sm_err piece_slice(struct bulk *b, int64_t offset, size_t bytes_max, uint64_t end, uint64_t *position, int64_t *next,
			       struct log_slice *ret_slice)
{
	size_t at = (size_t)(*position - b->at), limit = b->size < end - b->at ? b->size : (size_t)(end - b->at), from;
	struct batch_info info;
	bool there;
	while ((there = batch_at(b, at, limit, *next, &info)) && info.base_offset + info.last_offset_delta < offset) {
		at += info.size;
		*next = info.base_offset + info.last_offset_delta + 1;
	}
	if (!there) {
		*position = b->at + at;
		bool ends = at >= limit;
		piece_unref(b);
		return ends ? SM_AGAIN : SM_CORRUPT;
	}
	from = at;
	do {
		at += info.size;
		*next = info.base_offset + info.last_offset_delta + 1;
	} while (batch_at(b, at, limit, *next, &info) && at + info.size - from <= bytes_max);
	*ret_slice = (struct log_slice){.data = b->data + from, .fd = -1, .file_at = b->at + from, .size = at - from, .hold = &b->hold};
	return SM_OK;
}

enum sm_err log__bulk_read(struct segment *s, int64_t offset, size_t bytes_max, struct log_slice *ret_slice, int64_t *ret_next)
{
	uint64_t position;
	int64_t next;
	pthread_mutex_lock(&s->lock);
	struct bulk_cache *cache = offset < s->bulk_next ? s->bulk : NULL;
	uint64_t end = s->end;
	pthread_mutex_unlock(&s->lock);
	if (!cache)
		return SM_NOT_FOUND;
	log__segment_near(s, offset, &position, &next);
	enum sm_err err = SM_AGAIN;
	while (err == SM_AGAIN && position < end) {
		struct bulk *b = find(cache, s, position);
		size_t want = bytes_max < LOG_BULK_PIECE ? bytes_max + SEGMENT_INDEX_INTERVAL : LOG_BULK_PIECE;
		if (!b && (err = piece_load(cache, s, position, end, next, want, &b)))
			break;
		err = piece_slice(b, offset, bytes_max, end, &position, &next, ret_slice);
	}
	if (!err && ret_next)
		*ret_next = next;
	return err;
}
