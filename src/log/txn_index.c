/* Which transactions of a segment were aborted, so that a committed read can say so.
 *
 * An aborted transaction belongs to the segment that holds its marker. The active segment's list grows in memory; with its
 * end it goes to BASE.txnindex (20 digits, the segment's base offset), big-endian:
 *  offset  size  field
 *       0     4  "SMKT"
 *       4     4  version, 1
 *       8     8  base offset
 *      16     4  number of aborted transactions
 *      20     4  number of transactions that are open at the segment's end
 *      24     4  crc32c of everything before and after
 *      28        for each aborted one: 8 producer id, 8 first offset, 8 offset of the marker
 *                for each open one: 8 producer id, 8 first offset
 * It is a hint like the other indexes: not synced, and when it is missing or damaged the headers of the segment's batches tell
 * the same, beginning with what was open at the end of the segment before. */
#include "base/hash.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER 28
#define FILE_MAX (256u << 20)

void log__txn_index_done(struct txn_index *index)
{
	free(index->aborted);
	free(index->open);
	*index = (struct txn_index){0};
}

static bool grow(struct log_aborted **items, uint32_t *cap, uint32_t count)
{
	if (count < *cap)
		return true;
	uint32_t want = *cap ? *cap * 2 : 4;
	struct log_aborted *grown = realloc(*items, want * sizeof *grown);
	if (!grown)
		return false;
	*items = grown;
	*cap = want;
	return true;
}

enum sm_err log__txn_index_reserve(struct txn_index *index, uint32_t more)
{
	while (index->aborted_cap < index->aborted_count + more)
		if (!grow(&index->aborted, &index->aborted_cap, index->aborted_cap))
			return SM_NO_MEMORY;
	return SM_OK;
}

enum sm_err log__txn_index_add(struct txn_index *index, const struct log_aborted *aborted)
{
	if (aborted->first_offset < 0)
		return SM_OK;
	if (!grow(&index->aborted, &index->aborted_cap, index->aborted_count))
		return SM_NO_MEMORY;
	index->aborted[index->aborted_count++] = *aborted;
	return SM_OK;
}

static enum sm_err open_add(struct txn_index *index, int64_t producer_id, int64_t first_offset)
{
	if (!grow(&index->open, &index->open_cap, index->open_count))
		return SM_NO_MEMORY;
	index->open[index->open_count++] = (struct log_aborted){producer_id, first_offset, -1};
	return SM_OK;
}

enum sm_err log__txn_index_copy_open(struct txn_index *index, const struct txn_index *from)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < from->open_count && !err; i++)
		err = open_add(index, from->open[i].producer_id, from->open[i].first_offset);
	return err;
}

enum sm_err log__txn_index_seal(struct txn_index *index, const struct producers *producers)
{
	enum sm_err err = SM_OK;
	index->open_count = 0;
	for (uint32_t i = 0; i < producers->open_count && !err; i++)
		err = open_add(index, producers->open[i]->id, producers->open[i]->txn_first_offset);
	index->known = !err;
	return err;
}

/* ---- the file ---- */

static void path_of(const char *dir, int64_t base_offset, char *out, size_t size)
{
	snprintf(out, size, "%s/%020lld.txnindex", dir, (long long)base_offset);
}

static uint32_t crc_of(const uint8_t *data, size_t size)
{
	return crc32c(crc32c(0, data, HEADER - 4), data + HEADER, size - HEADER);
}

enum sm_err log__txn_index_write(struct io *io, const char *dir, int64_t base_offset, const struct txn_index *index,
				 struct sm_error *reterr)
{
	char path[PATH_MAX];
	struct buf out;
	buf_init(&out);
	buf_append_str(&out, "SMKT");
	buf_be32(&out, 1);
	buf_be64(&out, (uint64_t)base_offset);
	buf_be32(&out, index->aborted_count);
	buf_be32(&out, index->open_count);
	buf_be32(&out, 0);
	for (uint32_t i = 0; i < index->aborted_count; i++) {
		buf_be64(&out, (uint64_t)index->aborted[i].producer_id);
		buf_be64(&out, (uint64_t)index->aborted[i].first_offset);
		buf_be64(&out, (uint64_t)index->aborted[i].last_offset);
	}
	for (uint32_t i = 0; i < index->open_count; i++) {
		buf_be64(&out, (uint64_t)index->open[i].producer_id);
		buf_be64(&out, (uint64_t)index->open[i].first_offset);
	}
	enum sm_err err = SM_NO_MEMORY;
	if (!out.failed) {
		uint8_t *data = out.data + out.start;
		be32_put(data + HEADER - 4, crc_of(data, buf_size(&out)));
		path_of(dir, base_offset, path, sizeof path);
		err = io_write_file_atomic(io, path, buf_bytes(&out), reterr);
	}
	buf_done(&out);
	return err;
}

enum sm_err log__txn_index_read(struct io *io, const char *dir, int64_t base_offset, struct txn_index *ret_index)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t size;
	struct txn_index index = {.known = true};
	path_of(dir, base_offset, path, sizeof path);
	enum sm_err err = io_read_file(io, path, FILE_MAX, &data, &size, NULL);
	if (err)
		return err;
	err = SM_CORRUPT;
	if (size < HEADER || memcmp(data, "SMKT", 4) != 0 || be32_get(data + 4) != 1 || (int64_t)be64_get(data + 8) != base_offset ||
	    be32_get(data + HEADER - 4) != crc_of(data, size) ||
	    size != HEADER + (uint64_t)be32_get(data + 16) * 24 + (uint64_t)be32_get(data + 20) * 16)
		goto done;
	err = SM_OK;
	struct byte_reader in = byte_reader(bytes_of(data + HEADER, size - HEADER));
	for (uint32_t i = be32_get(data + 16); i > 0 && !err; i--) {
		struct log_aborted a = {.producer_id = (int64_t)reader_be64(&in)};
		a.first_offset = (int64_t)reader_be64(&in);
		a.last_offset = (int64_t)reader_be64(&in);
		err = a.first_offset < 0 ? SM_CORRUPT : log__txn_index_add(&index, &a);
	}
	for (uint32_t i = be32_get(data + 20); i > 0 && !err; i--) {
		int64_t id = (int64_t)reader_be64(&in);
		err = open_add(&index, id, (int64_t)reader_be64(&in));
	}
done:
	free(data);
	if (err)
		log__txn_index_done(&index);
	else
		*ret_index = index;
	return err;
}

/* ---- from the batches, when there is no file ---- */

static enum sm_err note_data(struct txn_index *index, const struct batch_info *info)
{
	for (uint32_t i = 0; i < index->open_count; i++)
		if (index->open[i].producer_id == info->producer_id)
			return SM_OK;
	return open_add(index, info->producer_id, info->base_offset);
}

static enum sm_err note_marker(struct txn_index *index, struct segment *s, const struct batch_info *info)
{
	struct log_slice slice;
	struct bytes batch;
	struct log_txn_marker marker;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	enum sm_err err = log__segment_read(s, info->base_offset, 1, &slice, NULL);
	if (err)
		return err;
	if (!(err = log_slice_bytes(&slice, &buffer, &cap, &batch)))
		err = log__marker_read(batch, &marker);
	free(buffer);
	log_slice_done(&slice);
	if (err)
		return err == SM_END ? SM_OK : err;
	for (uint32_t i = 0; i < index->open_count; i++) {
		struct log_aborted *open = &index->open[i];
		if (open->producer_id != marker.producer_id)
			continue;
		open->last_offset = info->base_offset;
		err = marker.commit ? SM_OK : log__txn_index_add(index, open);
		*open = index->open[--index->open_count];
		break;
	}
	return err;
}

static enum sm_err note(void *arg, struct segment *s, const struct batch_info *info)
{
	struct txn_index *index = arg;
	if (!(info->attributes & BATCH_TRANSACTIONAL) || info->producer_id < 0)
		return SM_OK;
	return info->attributes & BATCH_CONTROL ? note_marker(index, s, info) : note_data(index, info);
}

/* before: of the segment before, or NULL: this is the first. What lies behind damage is not readable, so it is not asked for. */
static enum sm_err rebuild(struct segment *s, const struct txn_index *before, struct txn_index *ret_index)
{
	struct txn_index index = {0};
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; before && i < before->open_count && !err; i++)
		err = open_add(&index, before->open[i].producer_id, before->open[i].first_offset);
	if (!err && !(err = log__segment_load(s, NULL)))
		err = log__segment_walk(s, note, &index);
	if (err == SM_CORRUPT || err == SM_VERSION)
		err = SM_OK;
	index.known = !err;
	if (err)
		log__txn_index_done(&index);
	else
		*ret_index = index;
	return err;
}

static bool known(struct segment *s)
{
	pthread_mutex_lock(&s->lock);
	bool known = s->txns.known || s->active;
	pthread_mutex_unlock(&s->lock);
	return known;
}

/* Another thread may have been quicker. */
static void keep(struct segment *s, struct txn_index *index)
{
	pthread_mutex_lock(&s->lock);
	if (s->txns.known) {
		pthread_mutex_unlock(&s->lock);
		log__txn_index_done(index);
		return;
	}
	s->txns = *index;
	pthread_mutex_unlock(&s->lock);
}

/* What is known of a sealed segment never changes, so it is read without the lock after this. */
static enum sm_err make_known(struct segment **segments, uint32_t at, const char *dir)
{
	uint32_t from = at;
	struct txn_index index;
	enum sm_err err = SM_OK;
	for (;; from--) {
		struct segment *s = segments[from];
		if (known(s))
			break;
		err = log__txn_index_read(s->io, dir, s->base_offset, &index);
		if (!err) {
			keep(s, &index);
			break;
		}
		if (err == SM_NO_MEMORY)
			return err;
		if (from == 0) {
			if ((err = rebuild(s, NULL, &index)))
				return err;
			keep(s, &index);
			break;
		}
	}
	for (; from < at; from++) {
		if ((err = rebuild(segments[from + 1], &segments[from]->txns, &index)))
			return err;
		keep(segments[from + 1], &index);
	}
	return SM_OK;
}

/* ---- asking ---- */

struct found {
	struct log_aborted *items;
	uint32_t count, cap;
};

/* Those of one segment that reach into [from, to). *ret_more: what reaches there may also end in a later segment. */
static enum sm_err collect(struct segment *s, int64_t from, int64_t to, struct found *out, bool *ret_more)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < s->txns.aborted_count && !err; i++) {
		const struct log_aborted *a = &s->txns.aborted[i];
		if (a->last_offset < from || a->first_offset >= to)
			continue;
		if (!grow(&out->items, &out->cap, out->count))
			err = SM_NO_MEMORY;
		else
			out->items[out->count++] = *a;
	}
	*ret_more = false;
	for (uint32_t i = 0; i < s->txns.open_count && !s->active; i++)
		*ret_more |= s->txns.open[i].first_offset < to;
	pthread_mutex_unlock(&s->lock);
	return err;
}

bool log__txn_aborted_known(struct segment *s, int64_t from, int64_t to, struct log_aborted **ret_aborted, uint32_t *ret_count,
			    enum sm_err *ret_err)
{
	struct found out = {0};
	bool more;
	*ret_err = SM_OK;
	if (!known(s))
		return false;
	*ret_err = collect(s, from, to, &out, &more);
	if (*ret_err || more) {
		free(out.items);
		return false;
	}
	*ret_aborted = out.items;
	*ret_count = out.count;
	return true;
}

enum sm_err log__txn_aborted(struct segment **segments, uint32_t count, const char *dir, int64_t from, int64_t to,
			     struct log_aborted **ret_aborted, uint32_t *ret_count)
{
	struct found out = {0};
	uint32_t at = count;
	enum sm_err err = SM_OK;
	bool more = true;
	while (at > 0 && segments[at - 1]->base_offset > from)
		at--;
	for (at -= at > 0; at < count && more && !err; at++)
		if (!(err = make_known(segments, at, dir)))
			err = collect(segments[at], from, to, &out, &more);
	if (err) {
		free(out.items);
		return err;
	}
	*ret_aborted = out.items;
	*ret_count = out.count;
	return SM_OK;
}
