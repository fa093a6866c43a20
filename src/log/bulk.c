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
#include "log/bulk.h"
#include <stdlib.h>

static atomic_size_t held; /* a reader's pieces may outlive the log that it has them from */

size_t log__pieces_held(void)
{
	return atomic_load(&held);
}

void log__piece_unref(struct bulk *b)
{
	if (atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	atomic_fetch_sub(&held, b->cap);
	block_free(b->block);
	free(b);
}

static void piece_release(struct log_hold *hold)
{
	log__piece_unref((struct bulk *)hold);
}

struct bulk *log__piece_new(const struct segment *s, uint64_t at, size_t cap)
{
	struct bulk *b = calloc(1, sizeof *b);
	size_t got;
	if (!b)
		return NULL;
	if (!(b->block = block_new(cap + 3 * BULK_PAGE, &got))) {
		free(b);
		return NULL;
	}
	b->hold.release = piece_release;
	atomic_init(&b->refs, 1);
	atomic_fetch_add(&held, cap);
	b->segment = s->id;
	b->at = at;
	b->cap = cap;
	b->data = (uint8_t *)bulk_page_up((uintptr_t)b->block) + at % BULK_PAGE;
	return b;
}

/* ---- the cache ---- */

void log__bulk_init(struct bulk_cache *cache, struct sm_system *system, uint32_t from_bytes)
{
	*cache = (struct bulk_cache){.from_bytes = from_bytes,
				     .system = system,
				     .written = {.most = LOG_BULK_WRITTEN_BYTES},
				     .read = {.most = LOG_BULK_READ_BYTES}};
	cache->written.last = &cache->written.first;
	cache->read.last = &cache->read.first;
	pthread_mutex_init(&cache->lock, NULL);
	pthread_cond_init(&cache->ahead_changed, NULL);
}

void log__bulk_list_drop(struct bulk_list *list, struct bulk **at)
{
	struct bulk *b = *at;
	if (!(*at = b->next))
		list->last = at;
	list->bytes -= b->cap;
	b->next = NULL;
	log__piece_unref(b);
}

static void list_drop(struct bulk_list *list, size_t most)
{
	while (list->first && list->bytes > most)
		log__bulk_list_drop(list, &list->first);
}

void log__bulk_list_add(struct bulk_list *list, struct bulk *b)
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
	pthread_cond_destroy(&cache->ahead_changed);
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

struct bulk *log__bulk_find(const struct bulk_cache *cache, uint64_t segment, uint64_t position)
{
	struct bulk *b = list_find(&cache->written, segment, position);
	return b ? b : list_find(&cache->read, segment, position);
}

/* ---- writing ---- */

enum sm_err log__bulk_open(struct segment *s, struct sm_error *reterr)
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
	uint64_t end = b->at + b->size, from = bulk_page_up(b->at), to = bulk_page_down(end);
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
		log__piece_unref(pieces);
		pieces = next;
	}
}

bool log__bulk_wants(struct bulk_cache *cache, struct segment *s, size_t size)
{
	if (!cache || !cache->from_bytes || size < cache->from_bytes || atomic_load_explicit(&cache->refused, memory_order_relaxed))
		return false;
	enum sm_err err = log__bulk_open(s, NULL);
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
		if (!(b = log__piece_new(s, at, left < LOG_BULK_PIECE ? left : LOG_BULK_PIECE))) {
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
		log__bulk_list_add(&cache->written, pieces);
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
