/* Compaction: of each key only the last record stays, under its offset and in its order.
 *
 * One pass reads the dirty part (what came since the last compaction, without the active segment and what is younger than
 * min.compaction.lag.ms) and remembers the last offset of each key, as many as LOG_COMPACT_KEYS_MAX; then it rewrites all segments up to
 * where that reached. A record stays if no later one of its key is known. Small segments that follow each other become one.
 *
 * A tombstone (null value) that is the last of its key gets a delete horizon, now and delete.retention.ms, in its batch's header; the first
 * compaction after it takes the tombstone too, so that readers have that long to learn of it.
 *
 * Records of aborted transactions go; what lies behind the last stable offset is not looked at. Control batches stay.
 *
 * Batches follow each other without gaps here as everywhere in the log, and damage is told by counting: the offsets of batches that
 * went wholly belong to the one before them, or at the start of a file to the one after them; only where nothing is left a batch
 * without records holds them. A batch that grows so, or goes, loses its sequence numbers: they stand in the snapshots, and recovery
 * wants them only from batches that are younger than the last one.
 *
 * Source: Kafka's documentation, "Log Compaction"; KIP-58 (lag), KIP-354 (max lag), KIP-534 (delete horizon). */
#include "log/compact_internal.h"
#include <stdlib.h>

#define READ_BYTES (1u << 20)
#define WRITE_BYTES (1u << 20)

/* A sealed segment, as it was when the pass began. */
struct part {
	int64_t base_offset, next_offset, newest_ms;
	uint64_t bytes;
};
struct pass {
	struct partition *p;
	int64_t reached; /* the offset at which reading ended */
	struct topic_settings settings;
	int64_t now_ms;
	struct part *parts;
	uint32_t count;
	int64_t dirty_from, clean_to; /* the keys of these offsets are in the map */
	bool map_was_full;
	struct key_map keys;
	int64_t stable_offset;       /* what lies behind may still be aborted */
	struct log_aborted *aborted; /* by producer and last offset */
	uint32_t aborted_count;
};

static bool is_ending(const struct partition *p)
{
	return atomic_load(&p->engine->closing) || p->files_gone;
}

/* ---- reading batches ---- */

typedef enum sm_err (*batch_visit)(void *arg, struct bytes batch, const struct batch_info *info);

/* The CRC is checked here once more, even if it was when the bytes came in: rot must not be copied under a new one. */
static enum sm_err slice_visit(const struct partition *p, struct bytes data, int64_t to, batch_visit visit, void *arg, int64_t *ret_next)
{
	struct batch_info info;
	while (data.size && *ret_next < to) {
		enum sm_err err = is_ending(p) ? SM_CANCELLED : batch_parse(data, &info);
		if (!err && !batch_crc_ok(data, &info))
			err = SM_CORRUPT;
		if (err || (err = visit(arg, bytes_of(data.data, info.size), &info)))
			return err;
		*ret_next = info.base_offset + info.last_offset_delta + 1;
		data = bytes_of(data.data + info.size, data.size - info.size);
	}
	return SM_OK;
}

/* All batches of [from, to), from the one on that holds from. */
static enum sm_err batches_visit(struct pass *pass, int64_t from, int64_t to, batch_visit visit, void *arg)
{
	struct partition *p = pass->p;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	enum sm_err err = SM_OK;
	while (!err && from < to) {
		struct log_slice slice;
		struct bytes data;
		struct segment *s = log__partition_segment(p, from);
		if (!s) {
			err = SM_CANCELLED;
			break;
		}
		if (!(err = log__segment_load(s, NULL)) && !(err = log__segment_read(s, from, READ_BYTES, &slice, NULL))) {
			if (!(err = log_slice_bytes(&slice, &buffer, &cap, &data)))
				err = slice_visit(p, data, to, visit, arg, &from);
			log_slice_done(&slice);
		}
		log__segment_release(s);
		if (err == SM_AGAIN) /* retention has taken it */
			err = SM_CANCELLED;
	}
	free(buffer);
	pass->reached = from;
	return err == SM_END ? SM_CORRUPT : err;
}

/* ---- what there is to do ---- */

static enum sm_err parts_take(struct pass *pass)
{
	struct partition *p = pass->p;
	pthread_mutex_lock(&p->lock);
	uint32_t count = p->segment_count ? p->segment_count - 1 : 0;
	pass->parts = calloc(count + 1, sizeof *pass->parts);
	for (uint32_t i = 0; pass->parts && i < count; i++)
		pass->parts[i] = (struct part){.base_offset = p->segments[i]->base_offset, .next_offset = p->segments[i + 1]->base_offset};
	pass->count = count;
	pass->settings = p->arriving;
	pass->stable_offset = p->last_stable_offset;
	pthread_mutex_unlock(&p->lock);
	if (!pass->parts)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		struct segment *s = log__partition_segment(p, pass->parts[i].base_offset);
		enum sm_err err = s ? log__segment_load(s, NULL) : SM_CANCELLED;
		if (!err) {
			pass->parts[i].bytes = s->end - SEGMENT_HEADER;
			pass->parts[i].newest_ms = s->max_timestamp_ms;
		}
		if (s)
			log__segment_release(s);
		pass->reached = pass->parts[i].base_offset;
		if (err)
			return err;
	}
	return SM_OK;
}

static enum sm_err first_time(void *arg, struct bytes batch, const struct batch_info *info)
{
	*(int64_t *)arg = info->max_timestamp_ms;
	return SM_END;
}

/* Has the oldest dirty record waited for max.compaction.lag.ms? */
static bool waited_long(struct pass *pass, const struct part *dirty)
{
	int64_t first_ms = -1;
	if (pass->settings.compaction_lag_max_ms == INT64_MAX)
		return false;
	(void)!batches_visit(pass, dirty->base_offset, dirty->base_offset + 1, first_time, &first_ms);
	return first_ms >= 0 && first_ms < pass->now_ms - pass->settings.compaction_lag_max_ms;
}

/* How far the dirty part reaches (ret_to), and whether it is worth a pass. */
static bool is_due(struct pass *pass, int64_t *ret_to)
{
	const struct part *first = NULL;
	uint64_t clean = 0, dirty = 0;
	for (uint32_t i = 0; i < pass->count; i++) {
		const struct part *part = &pass->parts[i];
		if (part->next_offset <= pass->dirty_from) {
			clean += part->bytes;
			continue;
		}
		if (pass->settings.compaction_lag_min_ms > 0 && part->newest_ms > pass->now_ms - pass->settings.compaction_lag_min_ms)
			break;
		if (part->next_offset > pass->stable_offset)
			break;
		if (!first)
			first = part;
		dirty += part->bytes;
		*ret_to = part->next_offset;
	}
	if (!dirty)
		return false;
	return (double)dirty / (double)(clean + dirty) > pass->settings.cleanable_ratio_min || waited_long(pass, first);
}

/* ---- aborted transactions ---- */

static int by_producer(const void *a, const void *b)
{
	const struct log_aborted *x = a, *y = b;
	if (x->producer_id != y->producer_id)
		return x->producer_id < y->producer_id ? -1 : 1;
	return (x->last_offset > y->last_offset) - (x->last_offset < y->last_offset);
}

static enum sm_err aborted_add(struct pass *pass, const struct log_aborted *list, uint32_t count)
{
	struct log_aborted *grown = realloc(pass->aborted, (pass->aborted_count + count) * sizeof *grown);
	if (!grown)
		return SM_NO_MEMORY;
	pass->aborted = grown;
	memcpy(grown + pass->aborted_count, list, count * sizeof *list);
	pass->aborted_count += count;
	return SM_OK;
}

/* Those that reach into the parts before `to`, some of them more than once. */
static enum sm_err aborted_take(struct pass *pass, int64_t to)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < pass->count && pass->parts[i].base_offset < to && !err; i++) {
		struct log_aborted *list = NULL;
		uint32_t count = 0;
		pass->reached = pass->parts[i].base_offset;
		err = log__partition_aborted(pass->p, pass->parts[i].base_offset, pass->parts[i].next_offset, &list, &count);
		if (!err && count)
			err = aborted_add(pass, list, count);
		free(list);
	}
	if (!err && pass->aborted_count)
		qsort(pass->aborted, pass->aborted_count, sizeof *pass->aborted, by_producer);
	return err == SM_AGAIN ? SM_CANCELLED : err;
}

/* Do the batch's records belong to a transaction that was aborted? */
static bool is_aborted(const struct pass *pass, const struct batch_info *info)
{
	const struct log_aborted key = {.producer_id = info->producer_id, .last_offset = info->base_offset};
	uint32_t low = 0, high = pass->aborted_count;
	if (!(info->attributes & BATCH_TRANSACTIONAL))
		return false;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (by_producer(&pass->aborted[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < pass->aborted_count && pass->aborted[low].producer_id == info->producer_id &&
	       pass->aborted[low].first_offset <= info->base_offset;
}

/* ---- the keys ---- */

static enum sm_err keys_of_batch(void *arg, struct bytes batch, const struct batch_info *info)
{
	struct pass *pass = arg;
	struct batch_reader reader;
	struct record record;
	if (!key_map_has_room(&pass->keys, info->record_count, pass->p->engine->compact_keys_max)) {
		pass->map_was_full = true;
		return SM_FULL;
	}
	pass->clean_to = info->base_offset + info->last_offset_delta + 1;
	if (info->attributes & BATCH_CONTROL || is_aborted(pass, info))
		return SM_OK;
	enum sm_err err = batch_reader_init(&reader, batch);
	if (err)
		return err;
	while (!err && !(err = batch_next(&reader, &record)))
		if (!record.key_null && record.offset >= pass->dirty_from)
			err = key_map_put(&pass->keys, record.key, record.offset);
	batch_reader_done(&reader);
	return err == SM_END ? SM_OK : err;
}

static enum sm_err keys_collect(struct pass *pass, int64_t to)
{
	pass->clean_to = pass->dirty_from;
	enum sm_err err = batches_visit(pass, pass->dirty_from, to, keys_of_batch, pass);
	return err == SM_FULL ? SM_OK : err;
}

/* ---- rewriting ---- */

struct rewrite {
	struct pass *pass;
	struct segment_writer w;
	struct buf out;
	struct buf last;     /* the batch that comes after those of out */
	int64_t next_offset; /* of what was read */
	int64_t empty_from;  /* offsets from here to next_offset have no batch yet; -1: all have */
	bool changed;
	bool stays;        /* anything */
	int64_t newest_ms; /* of what stays */
};

static bool stays(const struct pass *pass, const struct batch_info *info, const struct record *record)
{
	if (record->key_null || record->offset < key_map_get(&pass->keys, record->key))
		return false;
	bool horizon = info->attributes & BATCH_DELETE_HORIZON;
	return !record->value_null || !horizon || pass->now_ms < info->base_timestamp_ms;
}

struct counts {
	int32_t stay, go, tombstones; /* tombstones: of those that stay */
};

static enum sm_err batch_count(struct pass *pass, struct bytes batch, const struct batch_info *info, struct counts *ret)
{
	struct batch_reader reader;
	struct record record;
	struct counts counts = {0};
	if (is_aborted(pass, info)) {
		*ret = (struct counts){.go = info->record_count};
		return SM_OK;
	}
	enum sm_err err = batch_reader_init(&reader, batch);
	if (err)
		return err;
	while (!(err = batch_next(&reader, &record))) {
		bool stay = stays(pass, info, &record);
		counts.stay += stay;
		counts.go += !stay;
		counts.tombstones += stay && record.value_null;
	}
	batch_reader_done(&reader);
	*ret = counts;
	return err == SM_END ? SM_OK : err;
}

/* Put what was gathered into the file. */
static enum sm_err flush(struct rewrite *r)
{
	struct iovec iov = {r->out.data + r->out.start, buf_size(&r->out)};
	const struct group_write group = {
		.iov = &iov,
		.iov_count = 1,
		.size = iov.iov_len,
		.next_offset = r->next_offset,
		.max_timestamp_ms = r->newest_ms,
		.segment_bytes = r->w.end + iov.iov_len,
		.no_sync = true,
	};
	bool retry;
	if (r->out.failed)
		return SM_NO_MEMORY;
	enum sm_err err = iov.iov_len ? log__writer_group(&r->w, &group, &retry, NULL) : SM_OK;
	buf_clear(&r->out);
	return err;
}

/* The batch that begins at `start` of out is whole. */
static enum sm_err note(struct rewrite *r, size_t start)
{
	struct batch_info info;
	struct bytes all = buf_bytes(&r->out);
	if (r->out.failed)
		return SM_NO_MEMORY;
	enum sm_err err = batch_parse(bytes_of(all.data + start, all.size - start), &info);
	if (!err && info.max_timestamp_ms > r->newest_ms)
		r->newest_ms = info.max_timestamp_ms;
	if (!err)
		err = log__index_add(&r->w.segment->index, r->w.segment->base_offset, &info, r->w.end + start);
	return err ? err : buf_size(&r->out) >= WRITE_BYTES ? flush(r) : SM_OK;
}

/* The last batch is final. */
static enum sm_err last_put(struct rewrite *r)
{
	size_t start = buf_size(&r->out);
	if (r->last.failed)
		return SM_NO_MEMORY;
	if (buf_size(&r->last) == 0)
		return SM_OK;
	buf_append_bytes(&r->out, buf_bytes(&r->last));
	buf_clear(&r->last);
	return note(r, start);
}

/* The offsets that went belong to the batch before them, if there is one in this file. */
static void gap_to_last(struct rewrite *r, int64_t to)
{
	if (r->empty_from < 0 || buf_size(&r->last) == 0)
		return;
	batch_stretch(r->last.data + r->last.start, (uint32_t)buf_size(&r->last), to);
	r->empty_from = -1;
	r->changed = true;
}

static void gap_put(struct rewrite *r, int64_t to)
{
	if (r->empty_from < 0)
		return;
	batch_put_empty(&r->last, r->empty_from, to, LOG_LEADER_EPOCH);
	r->empty_from = -1;
}

/* as: the batch that it becomes. */
static enum sm_err batch_thin(struct rewrite *r, struct bytes batch, const struct batch_info *info, const struct batch_info *as,
			      int64_t horizon_ms)
{
	struct batch_reader reader;
	struct batch_rewriter w;
	struct record record;
	enum sm_err err = batch_reader_init(&reader, batch);
	if (err)
		return err;
	batch_rewrite_begin(&w, &r->last, as, horizon_ms);
	while (!(err = batch_next(&reader, &record)))
		if (stays(r->pass, info, &record))
			batch_rewrite_add(&w, &record);
	batch_reader_done(&reader);
	return err == SM_END ? batch_rewrite_end(&w) : err;
}

static enum sm_err control_put(struct rewrite *r, struct bytes batch, const struct batch_info *info)
{
	gap_put(r, info->base_offset);
	enum sm_err err = last_put(r);
	buf_append_bytes(&r->last, batch);
	return err;
}

static enum sm_err data_put(struct rewrite *r, struct bytes batch, const struct batch_info *info, const struct counts *counts)
{
	const struct pass *pass = r->pass;
	/* Only where all older records of the key are known to go. */
	bool horizon = counts->tombstones && !(info->attributes & BATCH_DELETE_HORIZON) && r->next_offset <= pass->clean_to;
	struct batch_info as = *info;
	int64_t until;
	if (!counts->go && !horizon && r->empty_from < 0) {
		buf_append_bytes(&r->last, batch);
		return SM_OK;
	}
	r->changed = true;
	if (r->empty_from >= 0) /* at the start of the file */
		batch_stretch_back(&as, r->empty_from);
	r->empty_from = -1;
	if (__builtin_add_overflow(pass->now_ms, pass->settings.delete_retention_ms, &until))
		until = INT64_MAX;
	return batch_thin(r, batch, info, &as, horizon ? until : -1);
}

static enum sm_err rewrite_batch(void *arg, struct bytes batch, const struct batch_info *info)
{
	struct rewrite *r = arg;
	struct pass *pass = r->pass;
	struct counts counts = {.stay = 1};
	bool control = info->attributes & BATCH_CONTROL;
	int64_t next = info->base_offset + info->last_offset_delta + 1;
	enum sm_err err = control ? SM_OK : batch_count(pass, batch, info, &counts);
	if (err)
		return err;
	r->changed |= counts.go > 0;
	if (!counts.stay) {
		if (r->empty_from < 0)
			r->empty_from = info->base_offset;
		r->next_offset = next;
		return SM_OK;
	}
	r->stays = true;
	gap_to_last(r, info->base_offset);
	if ((err = last_put(r)))
		return err;
	r->next_offset = next;
	return control ? control_put(r, batch, info) : data_put(r, batch, info, &counts);
}

/* A segment in which nothing stays still has its time, or retention would stop at it. */
static void keep_time(struct rewrite *r, uint32_t from, uint32_t to)
{
	if (r->newest_ms >= 0)
		return;
	for (uint32_t i = from; i < to; i++)
		if (r->pass->parts[i].newest_ms != INT64_MAX && r->pass->parts[i].newest_ms > r->newest_ms)
			r->newest_ms = r->pass->parts[i].newest_ms;
}

static bool fits(const struct pass *pass, uint32_t from, uint32_t part)
{
	return part < pass->count && pass->parts[part].base_offset < pass->clean_to &&
	       pass->parts[part].next_offset - pass->parts[from].base_offset <= INT32_MAX;
}

static enum sm_err parts_visit(struct rewrite *r, uint32_t from, uint32_t *to)
{
	const struct part *parts = r->pass->parts;
	enum sm_err err = batches_visit(r->pass, parts[from].base_offset, parts[*to - 1].next_offset, rewrite_batch, r);
	/* Some clients stumble over an answer without records: while nothing stays, the next one is taken too. */
	for (; !err && !r->stays && fits(r->pass, from, *to); ++*to) {
		r->changed = true;
		err = batches_visit(r->pass, parts[*to].base_offset, parts[*to].next_offset, rewrite_batch, r);
	}
	if (err)
		return err;
	gap_to_last(r, r->next_offset);
	gap_put(r, r->next_offset);
	if ((err = last_put(r)))
		return err;
	keep_time(r, from, *to);
	if ((err = flush(r)))
		return err;
	return r->next_offset == parts[*to - 1].next_offset ? SM_OK : SM_CORRUPT;
}

/* Parts [from, *to) into one segment; more of them if nothing would be in it. */
static enum sm_err rewrite_parts(struct pass *pass, uint32_t from, uint32_t *to, struct sm_error *reterr)
{
	struct rewrite r = {
		.pass = pass, .next_offset = pass->parts[from].base_offset, .empty_from = -1, .newest_ms = -1, .changed = *to - from > 1};
	enum sm_err err = log__compact_create(pass->p, pass->parts[from].base_offset, &r.w, reterr);
	if (err)
		return err;
	buf_init(&r.out);
	buf_init(&r.last);
	err = parts_visit(&r, from, to);
	if (!err && r.changed && !(err = log__writer_finish(&r.w, MARK_SEALED, reterr))) {
		const struct compact_range range = {pass->parts[from].base_offset, pass->parts[*to - 1].next_offset, *to - from};
		struct segment *s = r.w.segment;
		s->end = r.w.end;
		s->next_offset = r.w.next_offset;
		s->max_timestamp_ms = r.w.max_timestamp_ms;
		err = log__compact_swap(pass->p, &range, &r.w, reterr);
	} else {
		log__compact_discard(pass->p, &r.w);
	}
	buf_done(&r.out);
	buf_done(&r.last);
	return err;
}

static enum sm_err rewrite_all(struct pass *pass, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	for (uint32_t from = 0; !err && from < pass->count && pass->parts[from].base_offset < pass->clean_to;) {
		uint64_t bytes = pass->parts[from].bytes;
		uint32_t to = from + 1;
		while (fits(pass, from, to) && (bytes += pass->parts[to].bytes) <= pass->settings.segment_bytes)
			to++;
		err = rewrite_parts(pass, from, &to, reterr);
		from = to;
	}
	return err;
}

/* ---- a partition ---- */

static enum sm_err remember(struct partition *p, int64_t clean_to, struct sm_error *reterr)
{
	p->clean_to = clean_to;
	pthread_mutex_lock(&p->files_lock);
	enum sm_err err = p->files_gone ? SM_CANCELLED : log__offset_write(p->io, p->dir, "cleaned", clean_to, reterr);
	pthread_mutex_unlock(&p->files_lock);
	return err;
}

/* again: the map was full before, what is left is done whatever its share is. */
static enum sm_err run_pass(struct partition *p, int64_t now_ms, bool *again, struct sm_error *reterr)
{
	struct pass pass = {.p = p, .now_ms = now_ms, .dirty_from = p->clean_to};
	int64_t to = 0;
	struct sm_error why = {.code = SM_OK};
	enum sm_err err = parts_take(&pass);
	if (err || !pass.count)
		goto done;
	if (pass.dirty_from < pass.parts[0].base_offset || pass.dirty_from > pass.parts[pass.count - 1].next_offset)
		pass.dirty_from = pass.parts[0].base_offset;
	bool due = is_due(&pass, &to) || (*again && to > pass.dirty_from);
	*again = false;
	if (!due || (err = aborted_take(&pass, to)) || (err = keys_collect(&pass, to)) || (err = rewrite_all(&pass, &why)))
		goto done;
	*again = pass.map_was_full;
	err = remember(p, pass.clean_to, &why);
done:
	if (err == SM_CORRUPT && !why.code)
		sm_fail(&why, err, "%s: offset %lld cannot be read", p->dir, (long long)pass.reached);
	if (err && why.code && reterr)
		*reterr = why;
	key_map_done(&pass.keys);
	free(pass.aborted);
	free(pass.parts);
	return err;
}

enum sm_err log__partition_compact(struct partition *p, int64_t now_ms, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	bool again = false;
	/* Without the file, or with a wrong one, all is dirty: that costs a pass and harms nothing. */
	if (p->clean_to < 0 && log__offset_read(p->io, p->dir, "cleaned", &p->clean_to, NULL))
		p->clean_to = 0;
	do {
		if (p->uncleanable || is_ending(p))
			return SM_CANCELLED;
		err = run_pass(p, now_ms, &again, reterr);
	} while (!err && again);
	return err && is_ending(p) ? SM_CANCELLED : err;
}
