/* Appends, from the caller's thread to the group that they are written with. */
#include "base/metrics.h"
#include "log/partition_internal.h"
#include <assert.h>
#include <limits.h>
#include <stdlib.h>

static void append_free(struct sm_msg *msg);
const struct sm_msg_type log__append_type = {"log append", append_free};

/* ---- appends: on the caller's thread ---- */

void log__append_finish(struct append *a, enum sm_err err)
{
	struct partition *p = a->partition;
	a->result.err = err;
	if (err) {
		a->result.base_offset = -1;
		pthread_mutex_lock(&p->lock);
		a->result.log_start_offset = p->log_start_offset;
		pthread_mutex_unlock(&p->lock);
	}
	atomic_fetch_sub(&p->pending_bytes, a->size);
	if (a->done)
		a->done(a->arg, &a->result);
	struct engine *engine = p->engine;
	log__partition_unref(p);
	free(a->owned);
	free(a);
	atomic_fetch_sub(&engine->live, 1);
}

/* A message that the actor never took up: it has ended. */
static void append_free(struct sm_msg *msg)
{
	struct append *a = (struct append *)msg;
	log__append_finish(a, a->partition->gone ? a->partition->gone : SM_CLOSED);
}

/* How far below or above from, at most so much. */
static int64_t time_shift(int64_t from_ms, int64_t by_ms, int sign)
{
	int64_t result;
	if (sign < 0 ? __builtin_sub_overflow(from_ms, by_ms, &result) : __builtin_add_overflow(from_ms, by_ms, &result))
		return sign < 0 ? INT64_MIN : INT64_MAX;
	return result;
}

/* On its way to the actor: what was found out about the bytes. */
struct arriving {
	struct topic_settings settings;
	int64_t max_timestamp_ms;
	bool recode;
	struct batch_refused refused;
};

/* A time in the header that is not that of the records would hide them from those who look for a time. */
static void times_set(const struct topic_settings *set, uint8_t *batch, struct batch_info *info, int64_t newest_ms)
{
	if (set->log_append_time || (info->max_timestamp_ms == newest_ms && !(info->attributes & BATCH_TIMESTAMP_LOG_APPEND)))
		return;
	batch_set_create_time(batch, info->size, newest_ms);
	info->max_timestamp_ms = newest_ms;
}

static enum sm_err batches_check(struct arriving *in, int64_t now_ms, uint8_t *data, size_t size, unsigned flags)
{
	const struct topic_settings *set = &in->settings;
	const struct batch_rules rules = {
		.keyed = set->compact,
		.oldest_ms = set->log_append_time ? INT64_MIN : time_shift(now_ms, set->timestamp_before_max_ms, -1),
		.newest_ms = set->log_append_time ? INT64_MAX : time_shift(now_ms, set->timestamp_after_max_ms, 1),
	};
	uint32_t count = 0;
	bool idempotent = false;
	if (size == 0)
		return SM_INVALID;
	if (size > LOG_GROUP_BYTES_MAX)
		return SM_TOO_LARGE;
	for (size_t at = 0; at < size;) {
		struct bytes rest = bytes_of(data + at, size - at);
		struct batch_info info;
		enum sm_err err = batch_parse(rest, &info);
		if (err)
			return err == SM_TRUNCATED ? SM_CORRUPT : err;
		if (info.size > set->max_message_bytes)
			return SM_TOO_LARGE;
		if (info.attributes & BATCH_CONTROL)
			return SM_INVALID;
		if (info.attributes & BATCH_TRANSACTIONAL && !(flags & LOG_TXN))
			return SM_CONFLICT;
		if (info.attributes & BATCH_TRANSACTIONAL && info.producer_id < 0)
			return SM_INVALID;
		int64_t newest_ms;
		if ((err = batch_check(bytes_of(rest.data, info.size), &info, &rules, &in->refused, &newest_ms)))
			return err;
		times_set(set, data + at, &info, newest_ms);
		in->recode |= set->recode && BATCH_CODEC(info.attributes) != set->codec;
		if (info.max_timestamp_ms > in->max_timestamp_ms)
			in->max_timestamp_ms = info.max_timestamp_ms;
		if (info.producer_id >= 0) {
			idempotent = true;
			if (info.producer_epoch < 0 || info.base_sequence < 0)
				return SM_INVALID;
		}
		at += info.size;
		count++;
	}
	/* Two batches of which one is a duplicate would need two answers. */
	return idempotent && count > 1 ? SM_INVALID : SM_OK;
}

/* The batches in the topic's own codec; ret_bytes is malloc'ed. */
static enum sm_err batches_recode(const struct topic_settings *set, const uint8_t *data, size_t size, uint8_t **ret_bytes, size_t *ret_size)
{
	struct buf out;
	buf_init(&out);
	enum sm_err err = SM_OK;
	for (size_t at = 0; at < size && !err;) {
		struct batch_info info;
		size_t before = buf_size(&out);
		struct bytes rest = bytes_of(data + at, size - at);
		if ((err = batch_parse(rest, &info)) || (err = batch_recode(rest, &info, set->codec, set->levels[set->codec], &out)))
			break;
		if (buf_size(&out) - before > set->max_message_bytes)
			err = SM_TOO_LARGE;
		at += info.size;
	}
	if (!err && buf_size(&out) > LOG_GROUP_BYTES_MAX)
		err = SM_TOO_LARGE;
	if (!err && !(*ret_bytes = malloc(buf_size(&out))))
		err = SM_NO_MEMORY;
	if (!err) {
		struct bytes all = buf_bytes(&out);
		*ret_size = all.size;
		if (all.data)
			memcpy(*ret_bytes, all.data, all.size);
	}
	buf_done(&out);
	return err;
}

static void answer_now(struct partition *p, log_append_done done, void *arg, enum sm_err err, const struct batch_refused *refused)
{
	struct log_append_result result = {.err = err, .base_offset = -1, .log_append_time_ms = -1};
	pthread_mutex_lock(&p->lock);
	result.log_start_offset = p->log_start_offset;
	pthread_mutex_unlock(&p->lock);
	if (refused)
		result.refused = *refused;
	done(arg, &result);
}

/* owned: the bytes are the append's, else the caller's until done. */
static enum sm_err append_send(struct partition *p, uint8_t *bytes, size_t size, uint8_t *owned, const struct arriving *in, unsigned flags,
			       const struct log_txn_marker *marker, log_append_done done, void *arg)
{
	struct append *a = calloc(1, sizeof *a);
	if (!a) {
		free(owned);
		return SM_NO_MEMORY;
	}
	a->owned = owned;
	if (marker)
		a->marker = *marker;
	a->from_zero = flags & LOG_FROM_ZERO;
	if (flags & LOG_ACKS_NONE) {
		if (!owned && !(a->owned = malloc(size))) {
			free(a);
			return SM_NO_MEMORY;
		}
		if (!owned && bytes)
			memcpy(a->owned, bytes, size);
		bytes = a->owned;
	} else {
		a->done = done;
		a->arg = arg;
	}
	a->msg.type = &log__append_type;
	a->partition = log__partition_ref(p);
	a->bytes = bytes;
	a->size = size;
	a->max_timestamp_ms = in->max_timestamp_ms;
	a->result.log_append_time_ms = -1;
	atomic_fetch_add(&p->engine->live, 1);
	enum sm_err err = sm_send(p->actor, &a->msg);
	if (err) {
		a->done = NULL;
		log__append_finish(a, err);
		return err == SM_GONE ? SM_CLOSED : err;
	}
	if (flags & LOG_ACKS_NONE)
		answer_now(p, done, arg, SM_OK, NULL);
	return SM_OK;
}

static enum sm_err arriving_begin(struct partition *p, struct arriving *in)
{
	*in = (struct arriving){.max_timestamp_ms = -1};
	pthread_mutex_lock(&p->lock);
	enum sm_err err = p->gone ? p->gone : p->failed;
	in->settings = p->arriving;
	pthread_mutex_unlock(&p->lock);
	return err;
}

void log__partition_append(struct partition *p, uint8_t *batches, size_t size, unsigned flags, log_append_done done, void *arg)
{
	struct arriving in;
	uint8_t *owned = NULL;
	enum sm_err err = arriving_begin(p, &in);
	if (!err)
		err = batches_check(&in, clock_wall_ms(p->engine->clock), batches, size, flags);
	if (!err && in.recode && !(err = batches_recode(&in.settings, batches, size, &owned, &size)))
		batches = owned;
	if (!err && atomic_fetch_add(&p->pending_bytes, size) + size > LOG_PENDING_BYTES_MAX) {
		atomic_fetch_sub(&p->pending_bytes, size);
		free(owned);
		err = SM_FULL;
	} else if (!err && (err = append_send(p, batches, size, owned, &in, flags, NULL, done, arg)) == SM_NO_MEMORY) {
		atomic_fetch_sub(&p->pending_bytes, size);
	}
	if (err)
		answer_now(p, done, arg, err, &in.refused);
}

/* Past the bound of what may wait: it ends what holds others up. */
static void append_past_bound(struct partition *p, uint8_t *batches, size_t size, const struct log_txn_marker *marker, log_append_done done,
			      void *arg)
{
	struct arriving in;
	enum sm_err err = arriving_begin(p, &in);
	in.max_timestamp_ms = clock_wall_ms(p->engine->clock);
	if (err) {
		if (marker)
			free(batches);
	} else {
		atomic_fetch_add(&p->pending_bytes, size);
		if ((err = append_send(p, batches, size, marker ? batches : NULL, &in, 0, marker, done, arg)) == SM_NO_MEMORY)
			atomic_fetch_sub(&p->pending_bytes, size);
	}
	if (err)
		answer_now(p, done, arg, err, NULL);
}

void log__partition_append_own(struct partition *p, uint8_t *batches, size_t size, log_append_done done, void *arg)
{
	append_past_bound(p, batches, size, NULL, done, arg);
}

void log__partition_txn_end(struct partition *p, const struct log_txn_marker *marker, log_append_done done, void *arg)
{
	struct buf out;
	buf_init(&out);
	uint8_t *copy = NULL;
	size_t size = 0;
	assert(marker);
	if (log__marker_build(&out, marker, clock_wall_ms(p->engine->clock)) == SM_OK) {
		struct bytes all = buf_bytes(&out);
		if (all.data && (copy = malloc(size = all.size)))
			memcpy(copy, all.data, all.size);
	}
	buf_done(&out);
	if (copy)
		append_past_bound(p, copy, size, marker, done, arg);
	else
		answer_now(p, done, arg, SM_NO_MEMORY, NULL);
}

/* ---- forming a group ---- */

void log__fail_waiting(struct partition_writer *w, enum sm_err err)
{
	struct append *a = w->head;
	w->head = NULL;
	w->tail = &w->head;
	w->waiting = 0;
	w->waiting_bytes = 0;
	while (a) {
		struct append *next = a->next;
		log__append_finish(a, err);
		a = next;
	}
}

static void group_clear(struct group *g)
{
	g->head = NULL;
	g->tail = &g->head;
	g->count = g->iov_count = 0;
	g->size = 0;
	g->records = 0;
	g->max_timestamp_ms = -1;
	g->aborted.aborted_count = 0;
}

static void group_put(struct group *g, struct append *a)
{
	a->next = NULL;
	*g->tail = a;
	g->tail = &a->next;
	g->count++;
}

/* SM_DUPLICATE: answered from what is there; *ret_in_group: its original waits in this very group. */
static enum sm_err producer_check(struct partition_writer *w, struct append *a, const struct batch_info *info, bool *ret_in_group)
{
	struct producer_batch there;
	enum sm_err err = log__producers_check(&w->producers, info, &there);
	/* Its epoch is this transaction's own (KIP-890): what came before it here was lost on the way. */
	if (!err && a->from_zero && info->base_sequence > 0 && !log__producer_find(&w->producers, info->producer_id))
		return SM_SEQUENCE_GAP;
	if (err == SM_DUPLICATE) {
		a->result.base_offset = there.base_offset;
		a->result.log_append_time_ms = there.timestamp_ms;
		*ret_in_group = there.base_offset >= w->group.first_offset;
	}
	return err;
}

/* What became of a transaction is not to be lost for want of memory once it is on disk. */
static enum sm_err aborted_reserve(struct partition_writer *w)
{
	struct segment *s = w->out.segment;
	pthread_mutex_lock(&s->lock);
	enum sm_err err = log__txn_index_reserve(&s->txns, w->group.aborted.aborted_count + 1);
	pthread_mutex_unlock(&s->lock);
	return err ? err : log__txn_index_reserve(&w->group.aborted, 1);
}

static enum sm_err end_txn(struct partition_writer *w, const struct append *a, int64_t now_ms)
{
	struct log_aborted aborted;
	enum sm_err err = log__txn_check(&w->producers, &a->marker);
	if (!err && !(err = aborted_reserve(w)) &&
	    !(err = log__txn_end(&w->producers, &a->marker, w->group.next_offset, now_ms, true, &aborted)))
		err = log__txn_index_add(&w->group.aborted, &aborted);
	return err;
}

static enum sm_err producer_number(struct partition_writer *w, struct append *a, const struct batch_info *info, int64_t now_ms,
				   bool *ret_in_group)
{
	if (info->attributes & BATCH_CONTROL)
		return end_txn(w, a, now_ms);
	enum sm_err err = producer_check(w, a, info, ret_in_group);
	return err ? err : log__producers_add(&w->producers, info, w->group.next_offset, a->result.log_append_time_ms, now_ms, true);
}

/* Give the append's batches their offsets. */
static enum sm_err append_number(struct partition_writer *w, struct append *a, int64_t now_ms, bool *ret_in_group)
{
	struct partition *p = w->partition;
	struct group *g = &w->group;
	a->result.base_offset = g->next_offset;
	if (p->settings.log_append_time)
		a->result.log_append_time_ms = now_ms;
	for (size_t at = 0; at < a->size;) {
		struct batch_info info;
		enum sm_err err = batch_parse(bytes_of(a->bytes + at, a->size - at), &info);
		if (err)
			return err; /* its owner changed it meanwhile */
		if (info.producer_id >= 0 && (err = producer_number(w, a, &info, now_ms, ret_in_group)))
			return err;
		batch_set_offset(a->bytes + at, g->next_offset, LOG_LEADER_EPOCH);
		if (p->settings.log_append_time && !(info.attributes & BATCH_CONTROL)) {
			batch_set_log_append_time(a->bytes + at, info.size, now_ms);
			info.max_timestamp_ms = now_ms;
		}
		if (info.max_timestamp_ms > g->max_timestamp_ms)
			g->max_timestamp_ms = info.max_timestamp_ms;
		g->next_offset += info.last_offset_delta + 1;
		g->records += info.record_count;
		at += info.size;
	}
	return SM_OK;
}

/* Kafka's rule of segment.ms: by the newest times of the segment's first batch and of the one that comes. */
static bool segment_is_old(const struct partition_writer *w, const struct append *a)
{
	const struct topic_settings *set = &w->partition->settings;
	const struct segment *s = w->out.segment;
	int64_t max_ms = set->compact && set->compaction_lag_max_ms < set->segment_ms ? set->compaction_lag_max_ms : set->segment_ms;
	int64_t newest = set->log_append_time ? clock_wall_ms(w->partition->engine->clock) : a->max_timestamp_ms, age;
	/* 0: a first batch without times. */
	return s->index.time_count && s->index.times[0].timestamp_ms > 0 &&
	       !__builtin_sub_overflow(newest, s->index.times[0].timestamp_ms, &age) && age > max_ms;
}

static bool group_has_room(struct partition_writer *w, const struct append *a)
{
	const struct group *g = &w->group;
	uint64_t segment_left = w->partition->settings.segment_bytes > w->out.end ? w->partition->settings.segment_bytes - w->out.end : 0;
	return g->count == 0 || (g->size + a->size <= LOG_GROUP_BYTES_MAX && g->size + a->size <= segment_left &&
				 g->count < LOG_GROUP_APPENDS_MAX && !segment_is_old(w, a));
}

bool log__must_roll(const struct partition_writer *w, const struct append *a)
{
	const struct segment_writer *out = &w->out;
	if (!out->segment)
		return true;
	return out->end > SEGMENT_HEADER && (out->end + a->size > w->partition->settings.segment_bytes ||
					     w->next_offset - out->segment->base_offset > INT32_MAX || segment_is_old(w, a));
}

static bool iov_reserve(struct group *g)
{
	if (g->iov_count < g->iov_cap)
		return true;
	uint32_t cap = g->iov_cap ? g->iov_cap * 2 : 16;
	struct iovec *grown = realloc(g->iov, cap * sizeof *grown);
	if (!grown)
		return false;
	g->iov = grown;
	g->iov_cap = cap;
	return true;
}

void log__group_form(struct partition_writer *w)
{
	struct group *g = &w->group;
	int64_t now_ms = clock_wall_ms(w->partition->engine->clock);
	group_clear(g);
	g->first_offset = g->next_offset = w->next_offset;
	while (w->head && group_has_room(w, w->head)) {
		struct append *a = w->head;
		if (!(w->head = a->next))
			w->tail = &w->head;
		w->waiting--;
		w->waiting_bytes -= a->size;
		bool in_group = false;
		const struct group before = *g;
		/* The room first: what has its sequence numbers must be written. */
		enum sm_err err = iov_reserve(g) ? append_number(w, a, now_ms, &in_group) : SM_NO_MEMORY;
		if (!err) {
			g->iov[g->iov_count++] = (struct iovec){a->bytes, a->size};
			g->size += a->size;
			group_put(g, a);
			continue;
		}
		g->next_offset = before.next_offset;
		g->max_timestamp_ms = before.max_timestamp_ms;
		g->records = before.records;
		a->duplicate = err == SM_DUPLICATE;
		if (a->duplicate && in_group)
			group_put(g, a);
		else
			log__append_finish(a, a->duplicate ? SM_OK : err);
	}
}

/* ---- what became of a group ---- */

void log__sync_is_counted(const struct partition_writer *w)
{
	metric_add(METRIC_LOG_SYNCS, 1);
	metric_observe_us(METRIC_LOG_SYNC_US, (clock_monotonic_ns(&clock_system) - w->started_ns) / 1000);
}

void log__group_is_written(struct partition_writer *w)
{
	struct partition *p = w->partition;
	struct group *g = &w->group;
	struct segment *s = w->out.segment;
	uint64_t position = w->out.end - g->size;
	log__producers_keep(&w->producers);
	w->next_offset = g->next_offset;

	pthread_mutex_lock(&s->lock);
	for (struct append *a = g->head; a; a = a->next) {
		struct batch_info info;
		for (size_t at = 0; !a->duplicate && at < a->size && !batch_parse(bytes_of(a->bytes + at, a->size - at), &info);
		     at += info.size) {
			/* Without memory the index is only sparser. */
			(void)!log__index_add(&s->index, s->base_offset, &info, position);
			position += info.size;
		}
	}
	for (uint32_t i = 0; i < g->aborted.aborted_count; i++)
		(void)!log__txn_index_add(&s->txns, &g->aborted.aborted[i]); /* there is room */
	s->end = w->out.end;
	s->next_offset = w->out.next_offset;
	s->max_timestamp_ms = w->out.max_timestamp_ms;
	pthread_mutex_unlock(&s->lock);

	pthread_mutex_lock(&p->lock);
	p->high_watermark = g->next_offset;
	int64_t unstable = log__txn_unstable(&w->producers);
	p->last_stable_offset = unstable < 0 ? p->high_watermark : unstable;
	int64_t log_start = p->log_start_offset;
	pthread_mutex_unlock(&p->lock);

	metric_add_labelled(METRIC_LOG_RECORDS, p->topic, g->records);
	metric_add_labelled(METRIC_LOG_BYTES, p->topic, (int64_t)g->size);
	if (w->out.synced == w->out.end)
		log__sync_is_counted(w);
	log__partition_wake(p, SM_OK);
	for (struct append *a = g->head, *next; a; a = next) {
		next = a->next;
		a->result.log_start_offset = log_start;
		log__append_finish(a, SM_OK);
	}
	group_clear(g);
}

void log__group_has_failed(struct partition_writer *w, enum sm_err err)
{
	log__producers_undo(&w->producers);
	for (struct append *a = w->group.head, *next; a; a = next) {
		next = a->next;
		log__append_finish(a, err);
	}
	group_clear(&w->group);
}

void log__group_init(struct group *g)
{
	*g = (struct group){.iov = NULL};
	group_clear(g);
}
