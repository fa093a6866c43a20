/* Reading the large groups that bulk.c has written past the page cache: from its pieces in memory, or from the disk into pieces of the
 * same kind.
 *
 * Who reads a piece to its end will ask for the next: the pool reads that meanwhile. Pieces that were read ahead and nobody has asked for
 * yet take at most what the list of read ones may hold, so none drops another; of a reader that never comes back, what is older than
 * STALE_NS makes room. A reader who comes while its piece is being read waits for it, and reads it himself if no thread has begun. */
#include "log/bulk.h"
#include <stdlib.h>

#define READ_MIN (128u << 10)
#define STALE_NS 1000000000ull

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
	struct bulk *b = log__piece_new(s, position, size);
	if (!b)
		return SM_NO_MEMORY;
	uint64_t from = bulk_page_down(position), to = bulk_page_up(position + size);
	size_t got;
	enum sm_err err = s->io->ops->pread(s->io, &s->direct, b->data - (position - from), (size_t)(to - from), from, &got, NULL);
	if (!err && got <= position - from)
		err = SM_CORRUPT;
	if (err) {
		log__piece_unref(b);
		return err;
	}
	got -= (size_t)(position - from);
	*ret_got = got < size ? got : size;
	*ret = b;
	return SM_OK;
}

/* The batches from position on, where `offset` begins, from the disk. */
static enum sm_err piece_load(struct segment *s, uint64_t position, uint64_t end, int64_t offset, size_t want, struct bulk **ret)
{
	struct bulk *b = NULL;
	size_t got;
	enum sm_err err = log__pieces_held() > LOG_BULK_HELD_BYTES ? SM_FULL : log__bulk_open(s, NULL);
	for (bool again = true; !err; again = false) {
		struct batch_info first;
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
		log__piece_unref(b);
	}
	if (err)
		return err;
	*ret = b;
	return SM_OK;
}

/* ---- reading ahead ---- */

struct bulk_ahead {
	struct sm_work work; /* first */
	struct bulk_ahead *next;
	struct bulk_cache *cache;
	struct segment *segment; /* counted */
	uint64_t position, end;
	int64_t offset;
	size_t want;
	bool begun, given_up; /* by the reader that reads it himself */
};

static struct bulk_ahead *ahead_find(struct bulk_cache *cache, const struct segment *s, uint64_t position)
{
	struct bulk_ahead *a = cache->ahead;
	while (a && (a->segment != s || position < a->position || position - a->position >= a->want))
		a = a->next;
	return a;
}

static void ahead_unlink(struct bulk_cache *cache, struct bulk_ahead *a)
{
	struct bulk_ahead **at = &cache->ahead;
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	cache->ahead_bytes -= a->want;
}

static void ahead_run(struct sm_work *work)
{
	struct bulk_ahead *a = (struct bulk_ahead *)work;
	struct bulk_cache *cache = a->cache;
	struct bulk *b = NULL;
	pthread_mutex_lock(&cache->lock);
	a->begun = true;
	bool wanted = !a->given_up;
	pthread_mutex_unlock(&cache->lock);
	/* Whatever is wrong: its reader will see it. */
	if (wanted && piece_load(a->segment, a->position, a->end, a->offset, a->want, &b))
		b = NULL;
	log__segment_release(a->segment);
	pthread_mutex_lock(&cache->lock);
	if (wanted)
		ahead_unlink(cache, a);
	if (b) {
		b->ahead_ns = clock_monotonic_ns(&clock_system);
		log__bulk_list_add(&cache->read, b);
	}
	cache->ahead_jobs--;
	pthread_cond_broadcast(&cache->ahead_changed);
	pthread_mutex_unlock(&cache->lock);
	free(a);
}

/* Under the lock: is there room for want bytes more that nobody has asked for? */
static bool ahead_fits(struct bulk_cache *cache, size_t want)
{
	struct bulk_list *read = &cache->read;
	uint64_t now = clock_monotonic_ns(&clock_system);
	size_t bytes = cache->ahead_bytes + want;
	for (struct bulk **at = &read->first; *at;) {
		struct bulk *b = *at;
		if (b->ahead_ns && now - b->ahead_ns > STALE_NS) {
			log__bulk_list_drop(read, at);
			continue;
		}
		bytes += b->ahead_ns ? b->cap : 0;
		at = &b->next;
	}
	return bytes <= read->most;
}

/* A reader has had all up to `position`, where the offset `next` begins. */
static void ahead_begin(struct bulk_cache *cache, struct segment *s, uint64_t position, uint64_t end, int64_t next, size_t want)
{
	struct bulk_ahead *a = position < end && cache->system ? calloc(1, sizeof *a) : NULL;
	if (!a)
		return;
	*a = (struct bulk_ahead){.work = {.run = ahead_run}, .cache = cache, .segment = log__segment_ref(s), .end = end, .want = want};
	log__segment_near(s, next, &a->position, &a->offset); /* where he will look for it */
	pthread_mutex_lock(&cache->lock);
	bool begin = !cache->closing && !log__bulk_find(cache, s->id, position) && !ahead_find(cache, s, position) &&
		     ahead_fits(cache, want) && !sm_pool_run(cache->system, &a->work);
	if (begin) {
		a->next = cache->ahead;
		cache->ahead = a;
		cache->ahead_bytes += want;
		cache->ahead_jobs++;
	}
	pthread_mutex_unlock(&cache->lock);
	if (!begin) {
		log__segment_release(a->segment);
		free(a);
	}
}

void log__bulk_quiet(struct bulk_cache *cache, bool closing)
{
	pthread_mutex_lock(&cache->lock);
	cache->closing = closing;
	while (cache->ahead_jobs)
		pthread_cond_wait(&cache->ahead_changed, &cache->lock);
	pthread_mutex_unlock(&cache->lock);
}

/* ---- what readers get ---- */

/* Counted; NULL: it is not here, and nobody is reading it. */
static struct bulk *find(struct bulk_cache *cache, const struct segment *s, uint64_t position)
{
	struct bulk *b;
	struct bulk_ahead *a;
	pthread_mutex_lock(&cache->lock);
	cache->used = true;
	while (!(b = log__bulk_find(cache, s->id, position)) && (a = ahead_find(cache, s, position)) && a->begun)
		pthread_cond_wait(&cache->ahead_changed, &cache->lock);
	if (b) {
		b->ahead_ns = 0;
		atomic_fetch_add(&b->refs, 1);
	} else if (a) {
		a->given_up = true;
		ahead_unlink(cache, a);
	}
	pthread_mutex_unlock(&cache->lock);
	return b;
}

/* Read for a reader; others who come soon find it. */
static enum sm_err piece_get(struct bulk_cache *cache, struct segment *s, uint64_t position, uint64_t end, int64_t offset, size_t want,
			     struct bulk **ret)
{
	struct bulk *b = find(cache, s, position);
	enum sm_err err = SM_OK;
	if (!b && !(err = piece_load(s, position, end, offset, want, &b))) {
		atomic_fetch_add(&b->refs, 1);
		pthread_mutex_lock(&cache->lock);
		log__bulk_list_add(&cache->read, b);
		pthread_mutex_unlock(&cache->lock);
	}
	*ret = b;
	return err;
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
		log__piece_unref(b);
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
	int64_t bulk_next = s->bulk_next;
	struct bulk_cache *cache = offset < bulk_next ? s->bulk : NULL;
	uint64_t end = s->end;
	pthread_mutex_unlock(&s->lock);
	if (!cache)
		return SM_NOT_FOUND;
	log__segment_near(s, offset, &position, &next);
	size_t want = bytes_max < LOG_BULK_PIECE ? bytes_max + SEGMENT_INDEX_INTERVAL : LOG_BULK_PIECE;
	want = want < READ_MIN ? READ_MIN : want > LOG_BULK_PIECE ? LOG_BULK_PIECE : want;
	enum sm_err err = SM_AGAIN;
	while (err == SM_AGAIN && position < end) {
		struct bulk *b;
		if ((err = piece_get(cache, s, position, end, next, want, &b)))
			break;
		err = piece_slice(b, offset, bytes_max, end, &position, &next, ret_slice);
	}
	if (err)
		return err;
	if (next < bulk_next)
		ahead_begin(cache, s, ret_slice->file_at + ret_slice->size, end, next, want);
	if (ret_next)
		*ret_next = next;
	return SM_OK;
}
