/* Idempotent producers of one partition: which sequence comes next, and where the last batches went.
 *
 * OFFSET.snapshot (20 digits: the state as of this offset), big-endian:
 *  offset  size  field
 *       0     4  "SMKP"
 *       4     4  version, 2 (1: without transactions)
 *       8     8  offset
 *      16     4  number of producers
 *      20     4  crc32c of everything after
 *      24        for each producer: 8 id, 2 epoch, 8 last seen in ms, since version 2: 4 coordinator epoch of its last marker (-1: none),
 *                8 first offset of its open transaction (-1: none), then 1 number of batches (128: none is known, any sequence may come),
 *                and for each batch: 4 first sequence, 4 last sequence, 8 first offset, 8 last offset, 8 append time, else the batch's
 *                (-1: none)
 * Source: Kafka KIP-98 and KIP-360. */
#include "base/hash.h"
#include "log/log_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define SNAPSHOT_HEADER 24
#define SNAPSHOT_VERSION 2
#define SNAPSHOT_FILE_MAX (64u << 20)
#define ANY_SEQUENCE 0x80

void log__producers_init(struct producers *p)
{
	*p = (struct producers){0};
	map_init(&p->by_id);
}

void log__producers_clear(struct producers *p)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (map_next(&p->by_id, &pos, &key, &value))
		free(value);
	map_done(&p->by_id);
	map_init(&p->by_id);
	p->undo_count = p->open_count = 0;
}

void log__producers_done(struct producers *p)
{
	log__producers_clear(p);
	map_done(&p->by_id);
	free(p->undo);
	p->undo = NULL;
	free(p->open);
	p->open = NULL;
}

struct producer *log__producer_find(const struct producers *p, int64_t id)
{
	return map_get(&p->by_id, bytes_of(&id, sizeof id));
}

static int32_t last_sequence(const struct batch_info *info)
{
	/* After the greatest sequence comes 0. */
	return (int32_t)(((uint32_t)info->base_sequence + (uint32_t)info->record_count - 1) & INT32_MAX);
}

enum sm_err log__producers_check(const struct producers *p, const struct batch_info *info, struct producer_batch *ret_there)
{
	const struct producer *producer = log__producer_find(p, info->producer_id);
	if (!producer)
		return SM_OK; /* as Kafka since KIP-360: its state may have expired */
	if (info->producer_epoch < producer->epoch)
		return SM_STALE_EPOCH;
	/* The coordinator ends a transaction before an epoch that is newer begins one. */
	if (producer->txn_first_offset >= 0 && (info->producer_epoch > producer->epoch || !(info->attributes & BATCH_TRANSACTIONAL)))
		return SM_CONFLICT;
	if (info->base_sequence < 0)
		return SM_OK;
	if (info->producer_epoch > producer->epoch)
		return info->base_sequence == 0 ? SM_OK : SM_SEQUENCE_GAP;
	int32_t last = last_sequence(info);
	for (int i = 0; i < producer->count; i++)
		if (producer->batches[i].first_sequence == info->base_sequence && producer->batches[i].last_sequence == last) {
			*ret_there = producer->batches[i];
			return SM_DUPLICATE;
		}
	if (producer->any_sequence)
		return SM_OK;
	if (producer->count == 0) /* its epoch came with a marker */
		return info->base_sequence == 0 ? SM_OK : SM_SEQUENCE_GAP;
	int32_t before = producer->batches[producer->count - 1].last_sequence;
	return info->base_sequence == (before == INT32_MAX ? 0 : before + 1) ? SM_OK : SM_SEQUENCE_GAP;
}

static int compare_times(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* Some of those that were silent longest go at once: producers that write a single batch (as requests that are stored once do) would
 * have all of them looked through for each batch else. */
static void forget_oldest(struct producers *p)
{
	size_t pos = 0, count = 0, some = p->by_id.count / 16 + 1;
	struct bytes key;
	void *value;
	int64_t *times = malloc(p->by_id.count * sizeof *times);
	if (!times)
		return;
	while (map_next(&p->by_id, &pos, &key, &value))
		if (((struct producer *)value)->txn_first_offset < 0)
			times[count++] = ((struct producer *)value)->seen_ms;
	qsort(times, count, sizeof *times, compare_times);
	int64_t last = count ? times[count < some ? count - 1 : some - 1] : 0;
	free(times);
	pos = 0;
	while (some && map_next(&p->by_id, &pos, &key, &value)) {
		struct producer *producer = value;
		if (producer->txn_first_offset >= 0 || producer->seen_ms > last)
			continue;
		int64_t id = producer->id;
		map_remove(&p->by_id, bytes_of(&id, sizeof id));
		free(producer);
		some--;
	}
}

static enum sm_err find_or_make(struct producers *p, int64_t id, struct producer **ret)
{
	struct producer *producer = log__producer_find(p, id);
	if (!producer) {
		/* Not while a group could be undone: what is forgotten could not come back. */
		if (p->by_id.count >= LOG_PRODUCERS_MAX && p->undo_count == 0)
			forget_oldest(p);
		if (!(producer = calloc(1, sizeof *producer)))
			return SM_NO_MEMORY;
		producer->id = id;
		producer->epoch = -1;
		producer->coordinator_epoch = -1;
		producer->txn_first_offset = -1;
		enum sm_err err = map_put(&p->by_id, bytes_of(&producer->id, sizeof producer->id), producer, NULL);
		if (err) {
			free(producer);
			return err;
		}
	}
	*ret = producer;
	return SM_OK;
}

/* Keep a copy of the producer as it was before the group, once. */
static enum sm_err undo_note(struct producers *p, const struct producer *producer)
{
	for (uint32_t i = 0; i < p->undo_count; i++)
		if (p->undo[i].id == producer->id)
			return SM_OK;
	if (p->undo_count == p->undo_cap) {
		uint32_t cap = p->undo_cap ? p->undo_cap * 2 : 8;
		struct producer *grown = realloc(p->undo, cap * sizeof *grown);
		if (!grown)
			return SM_NO_MEMORY;
		p->undo = grown;
		p->undo_cap = cap;
	}
	p->undo[p->undo_count++] = *producer;
	return SM_OK;
}

enum sm_err log__producer_change(struct producers *p, int64_t id, bool undo, struct producer **ret_producer)
{
	enum sm_err err = find_or_make(p, id, ret_producer);
	return err || !undo ? err : undo_note(p, *ret_producer);
}

enum sm_err log__producers_add(struct producers *p, const struct batch_info *info, int64_t base_offset, int64_t append_time_ms,
			       int64_t now_ms, bool undo)
{
	struct producer *producer;
	enum sm_err err = log__producer_change(p, info->producer_id, undo, &producer);
	if (!err && (info->attributes & BATCH_TRANSACTIONAL) && producer->txn_first_offset < 0)
		err = log__txn_open(p, producer, base_offset);
	if (err)
		return err;
	if (producer->epoch != info->producer_epoch) {
		producer->count = 0;
		producer->any_sequence = false;
	}
	producer->epoch = info->producer_epoch;
	producer->seen_ms = now_ms;
	if (info->base_sequence < 0)
		return SM_OK;
	if (producer->count == LOG_PRODUCER_BATCHES) {
		memmove(producer->batches, producer->batches + 1, (LOG_PRODUCER_BATCHES - 1) * sizeof *producer->batches);
		producer->count--;
	}
	producer->any_sequence = false;
	producer->batches[producer->count++] = (struct producer_batch){
		.first_sequence = info->base_sequence,
		.last_sequence = last_sequence(info),
		.base_offset = base_offset,
		.last_offset = base_offset + info->last_offset_delta,
		.timestamp_ms = append_time_ms >= 0 ? append_time_ms : info->max_timestamp_ms, /* what a repeated batch is told */
	};
	return SM_OK;
}

void log__producers_undo(struct producers *p)
{
	for (uint32_t i = 0; i < p->undo_count; i++) {
		struct producer *producer = log__producer_find(p, p->undo[i].id);
		*producer = p->undo[i];
		if (producer->epoch == -1) { /* it was not there before */
			map_remove(&p->by_id, bytes_of(&p->undo[i].id, sizeof p->undo[i].id));
			free(producer);
		}
	}
	p->undo_count = 0;
	(void)!log__txn_reopen(p); /* no more than were open before: there is room */
}

void log__producers_keep(struct producers *p)
{
	p->undo_count = 0;
}

void log__producers_expire(struct producers *p, int64_t before_ms)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (map_next(&p->by_id, &pos, &key, &value)) {
		struct producer *producer = value;
		if (producer->seen_ms >= before_ms || producer->txn_first_offset >= 0)
			continue;
		int64_t id = producer->id;
		map_remove(&p->by_id, bytes_of(&id, sizeof id));
		free(producer);
	}
}

void log__producers_lost(struct producers *p, int64_t to)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (map_next(&p->by_id, &pos, &key, &value)) {
		struct producer *producer = value;
		if (producer->count && producer->batches[producer->count - 1].base_offset >= to)
			continue;
		producer->count = 0;
		producer->any_sequence = true;
	}
}

/* ---- snapshots ---- */

static void path_of(const char *dir, int64_t offset, char *out, size_t size)
{
	snprintf(out, size, "%s/%020lld.snapshot", dir, (long long)offset);
}

void log__producers_put(const struct producers *p, int64_t offset, struct buf *out)
{
	size_t pos = 0, start = buf_size(out);
	struct bytes key;
	void *value;
	buf_append_str(out, "SMKP");
	buf_be32(out, SNAPSHOT_VERSION);
	buf_be64(out, (uint64_t)offset);
	buf_be32(out, (uint32_t)p->by_id.count);
	buf_be32(out, 0);
	while (map_next(&p->by_id, &pos, &key, &value)) {
		const struct producer *producer = value;
		buf_be64(out, (uint64_t)producer->id);
		buf_be16(out, (uint16_t)producer->epoch);
		buf_be64(out, (uint64_t)producer->seen_ms);
		buf_be32(out, (uint32_t)producer->coordinator_epoch);
		buf_be64(out, (uint64_t)producer->txn_first_offset);
		buf_u8(out, producer->any_sequence ? ANY_SEQUENCE : producer->count);
		for (int i = 0; i < producer->count; i++) {
			buf_be32(out, (uint32_t)producer->batches[i].first_sequence);
			buf_be32(out, (uint32_t)producer->batches[i].last_sequence);
			buf_be64(out, (uint64_t)producer->batches[i].base_offset);
			buf_be64(out, (uint64_t)producer->batches[i].last_offset);
			buf_be64(out, (uint64_t)producer->batches[i].timestamp_ms);
		}
	}
	if (out->failed)
		return;
	uint8_t *data = out->data + out->start + start;
	be32_put(data + 20, crc32c(0, data + SNAPSHOT_HEADER, buf_size(out) - start - SNAPSHOT_HEADER));
}

enum sm_err log__producers_write(const struct producers *p, struct io *io, const char *dir, int64_t offset, struct sm_error *reterr)
{
	char path[PATH_MAX];
	struct buf out;
	buf_init(&out);
	log__producers_put(p, offset, &out);
	path_of(dir, offset, path, sizeof path);
	enum sm_err err = out.failed ? SM_NO_MEMORY : io_write_file_atomic(io, path, buf_bytes(&out), reterr);
	buf_done(&out);
	return err;
}

struct cleaning {
	struct io *io;
	const char *dir;
	int64_t keep, keep_too;
};

static enum sm_err visit(void *arg, const char *name)
{
	const struct cleaning *c = arg;
	char path[PATH_MAX];
	int64_t offset = log__segment_name_parse(name, ".snapshot");
	if (offset < 0 || offset == c->keep || offset == c->keep_too)
		return SM_OK;
	path_of(c->dir, offset, path, sizeof path);
	return c->io->ops->unlink(c->io, path, NULL);
}

void log__producers_clean(struct io *io, const char *dir, int64_t keep, int64_t keep_too)
{
	struct cleaning c = {io, dir, keep, keep_too};
	(void)!io->ops->list(io, dir, visit, &c, NULL); /* what stays is looked for again at the next roll */
}

static enum sm_err producer_read(struct producers *p, struct byte_reader *in, uint32_t version)
{
	struct producer read = {.id = (int64_t)reader_be64(in), .coordinator_epoch = -1, .txn_first_offset = -1};
	read.epoch = (int16_t)reader_be16(in);
	read.seen_ms = (int64_t)reader_be64(in);
	if (version >= 2) {
		read.coordinator_epoch = (int32_t)reader_be32(in);
		read.txn_first_offset = (int64_t)reader_be64(in);
	}
	read.count = reader_u8(in);
	if ((read.any_sequence = read.count == ANY_SEQUENCE))
		read.count = 0;
	if (in->failed || read.count > LOG_PRODUCER_BATCHES)
		return SM_CORRUPT;
	for (int i = 0; i < read.count; i++) {
		struct producer_batch *b = &read.batches[i];
		b->first_sequence = (int32_t)reader_be32(in);
		b->last_sequence = (int32_t)reader_be32(in);
		b->base_offset = (int64_t)reader_be64(in);
		b->last_offset = (int64_t)reader_be64(in);
		b->timestamp_ms = (int64_t)reader_be64(in);
	}
	struct producer *producer;
	enum sm_err err = in->failed ? SM_CORRUPT : find_or_make(p, read.id, &producer);
	if (!err)
		*producer = read;
	return err;
}

enum sm_err log__producers_take(struct producers *p, struct bytes in, int64_t offset)
{
	const uint8_t *data = in.data;
	log__producers_clear(p);
	if (in.size < SNAPSHOT_HEADER || memcmp(data, "SMKP", 4) != 0 || be32_get(data + 4) - 1 >= SNAPSHOT_VERSION ||
	    (int64_t)be64_get(data + 8) != offset || be32_get(data + 20) != crc32c(0, data + SNAPSHOT_HEADER, in.size - SNAPSHOT_HEADER))
		return SM_CORRUPT;
	struct byte_reader rest = byte_reader(bytes_of(data + SNAPSHOT_HEADER, in.size - SNAPSHOT_HEADER));
	enum sm_err err = SM_OK;
	for (uint32_t i = be32_get(data + 16); i > 0 && !err; i--)
		err = producer_read(p, &rest, be32_get(data + 4));
	if (!err)
		err = log__txn_reopen(p);
	if (err)
		log__producers_clear(p);
	return err;
}

enum sm_err log__producers_read(struct producers *p, struct io *io, const char *dir, int64_t offset)
{
	char path[PATH_MAX];
	uint8_t *data;
	size_t size;
	path_of(dir, offset, path, sizeof path);
	enum sm_err err = io_read_file(io, path, SNAPSHOT_FILE_MAX, &data, &size, NULL);
	if (err)
		return err;
	err = log__producers_take(p, bytes_of(data, size), offset);
	free(data);
	return err;
}
