/* Fetch: a read of every partition on the pool; while it is too little, waits for records, then the read again.
 *
 * Fetch sessions (KIP-227) are not kept: every answer has session id 0, on which clients go on to send whole requests. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

struct fetch_part {
	struct log_wait wait; /* first member */
	struct kafka_slice slice;
	const struct kafka_fetch_partition *asked;
	struct kafka_fetch_partition_response *reply;
	const char *topic;
	int16_t error; /* found before any read */
	enum sm_err err;
	bool diverged;                 /* the reader is past the end of what it has read */
	struct log_read_result result; /* its slice has moved to `slice` */
};
struct fetch_state {
	struct fetch_part *parts;
	uint32_t count;
	uint64_t deadline_ns;
	size_t bytes_max; /* by the client's quota */
	size_t bytes;
	bool committed; /* isolation level: not beyond the last stable offset */
	bool failed;    /* some partition has an error: answered at once */
	bool last;      /* answer with what is there */
	bool waiting;
	atomic_bool fired;
};

static void fetch_done(struct kafka_request *r)
{
	struct fetch_state *s = r->state;
	for (uint32_t i = 0; i < s->count; i++)
		log_slice_done(&s->parts[i].slice.slice);
}

/* ---- reading, on the pool ---- */

/* A reader that says in which epoch it read last is told where that epoch ends, if it stands behind it: records that it has are lost
 * here (KIP-595). */
static bool has_diverged(struct kafka_request *r, struct fetch_part *p)
{
	const struct log_ops *ops = r->server->log->ops;
	const char *topic = p->topic;
	int32_t partition = p->asked->partition;
	struct log_read_result *now = &p->result;
	if (r->version.version < 12 || p->asked->last_fetched_epoch < 0)
		return false;
	if (ops->offset_for(r->server->log, topic, partition, LOG_HIGH_WATERMARK, &now->high_watermark, NULL) ||
	    ops->offset_for(r->server->log, topic, partition, LOG_LATEST, &now->last_stable_offset, NULL) ||
	    ops->offset_for(r->server->log, topic, partition, LOG_EARLIEST, &now->log_start_offset, NULL))
		return false;
	return p->asked->fetch_offset > now->high_watermark;
}

static void read_part(struct kafka_request *r, struct fetch_part *p, size_t *left)
{
	struct fetch_state *s = r->state;
	struct sm_log *log = r->server->log;
	log_slice_done(&p->slice.slice);
	memset(&p->slice.slice, 0, sizeof p->slice.slice);
	if (p->error)
		return;
	size_t most = p->asked->partition_max_bytes > 0 ? (size_t)p->asked->partition_max_bytes : 0;
	size_t room = most < *left ? most : *left;
	p->err = (s->committed ? log->ops->read : log->ops->read_uncommitted)(log, p->topic, p->asked->partition, p->asked->fetch_offset,
									      room, &p->result);
	p->diverged = p->err == SM_OUT_OF_RANGE && has_diverged(r, p);
	if (p->err) {
		s->failed = true;
		return;
	}
	p->slice = (struct kafka_slice){p->result.slice, r};
	/* The first partition with records may exceed the bounds by one batch, so that a consumer never stands still. */
	if (s->bytes && p->slice.slice.size > room) {
		log_slice_done(&p->slice.slice);
		memset(&p->slice.slice, 0, sizeof p->slice.slice);
	}
	size_t size = p->slice.slice.size;
	s->bytes += size;
	*left -= size < *left ? size : *left;
}

static void fetch_read(struct kafka_request *r)
{
	const struct kafka_fetch_request *q = r->body;
	struct fetch_state *s = r->state;
	size_t left = q->max_bytes > 0 ? (size_t)q->max_bytes : 0;
	if (left > KAFKA_FETCH_BYTES_MAX)
		left = KAFKA_FETCH_BYTES_MAX;
	if (left > s->bytes_max)
		left = s->bytes_max;
	s->bytes = 0;
	for (uint32_t i = 0; i < s->count; i++)
		read_part(r, &s->parts[i], &left);
}

/* ---- waiting ---- */

static void woken(struct log_wait *wait, enum sm_err err)
{
	struct fetch_part *p = (struct fetch_part *)wait;
	struct kafka_request *r = p->slice.request;
	struct fetch_state *s = r->state;
	if (!atomic_exchange(&s->fired, true)) {
		kafka__request_ref(r);
		kafka__wake(r);
	}
	kafka__part_end(r);
}

/* Take back all waits; fetch_again follows when the last of them has come back. */
static void end_waits(struct kafka_request *r)
{
	struct fetch_state *s = r->state;
	struct sm_log *log = r->server->log;
	if (!s->waiting)
		return;
	s->waiting = false;
	r->due_ns = 0;
	for (uint32_t i = 0; i < s->count; i++)
		log->ops->wait_cancel(log, &s->parts[i].wait);
	kafka__part_end(r);
}

static void waited_long_enough(struct kafka_request *r)
{
	((struct fetch_state *)r->state)->last = true;
	end_waits(r);
}

static void read_answered(struct kafka_request *r);

static void fetch_again(struct kafka_request *r)
{
	r->step = read_answered;
	kafka__pool(r, fetch_read);
}

static void wait_for_records(struct kafka_request *r, uint64_t ms)
{
	struct fetch_state *s = r->state;
	struct sm_log *log = r->server->log;
	atomic_store(&s->fired, false);
	s->waiting = true;
	r->step = fetch_again;
	r->wake = end_waits;
	r->gone = end_waits;
	kafka__parts_begin(r, s->count); /* our own part ends with the waits */
	for (uint32_t i = 0; i < s->count; i++) {
		struct fetch_part *p = &s->parts[i];
		p->wait = (struct log_wait){
			.topic = p->topic,
			.partition = p->asked->partition,
			.offset = s->committed ? p->result.last_stable_offset : p->result.high_watermark,
			.uncommitted = !s->committed,
			.done = woken,
		};
		log->ops->wait(log, &p->wait);
	}
	kafka__later(r, (uint32_t)ms, waited_long_enough);
}

/* ---- answering ---- */

/* Which transactions a consumer must leave out. */
static bool answer_aborted(struct kafka_request *r, struct fetch_part *p)
{
	const struct log_slice *slice = &p->slice.slice;
	struct kafka_aborted_transaction *out = kafka__alloc(r, slice->aborted_count, sizeof *out);
	if (!out)
		return false;
	for (uint32_t i = 0; i < slice->aborted_count; i++)
		out[i] = (struct kafka_aborted_transaction){slice->aborted[i].producer_id, slice->aborted[i].first_offset};
	p->reply->aborted_transactions = out;
	p->reply->aborted_transactions_count = (int32_t)slice->aborted_count;
	return true;
}

static bool answer_part(struct kafka_request *r, struct fetch_part *p, bool committed_only)
{
	struct kafka_fetch_partition_response *out = p->reply;
	out->error_code = p->error ? p->error : p->diverged ? KAFKA_NONE : kafka__error_of(p->err);
	out->records = (struct kafka_records){(const uint8_t *)"", 0, NULL};
	/* Null unless asked for, but empty in Kafka's answer for a partition that is not there. */
	bool there = p->error != KAFKA_UNKNOWN_TOPIC_OR_PARTITION && p->error != KAFKA_UNKNOWN_TOPIC_ID;
	out->aborted_transactions_count = (committed_only && !out->error_code && !p->diverged) || !there ? 0 : -1;
	if (out->error_code) {
		out->high_watermark = out->last_stable_offset = out->log_start_offset = -1;
		return true;
	}
	out->high_watermark = p->result.high_watermark;
	out->last_stable_offset = p->result.last_stable_offset;
	out->log_start_offset = p->result.log_start_offset;
	if (p->diverged) {
		if (!(out->diverging_epoch = kafka__alloc(r, 1, sizeof *out->diverging_epoch)))
			return false;
		*out->diverging_epoch = (struct kafka_epoch_end_offset){0, p->result.high_watermark};
	}
	if (p->slice.slice.size)
		out->records = (struct kafka_records){NULL, p->slice.slice.size, &p->slice};
	return !committed_only || p->diverged || answer_aborted(r, p);
}

static void fetch_answer(struct kafka_request *r)
{
	struct fetch_state *s = r->state;
	bool ok = true;
	for (uint32_t i = 0; i < s->count && ok; i++)
		ok = answer_part(r, &s->parts[i], s->committed);
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}

static void read_answered(struct kafka_request *r)
{
	const struct kafka_fetch_request *q = r->body;
	struct fetch_state *s = r->state;
	uint64_t now = clock_monotonic_ns(&clock_system);
	if (s->last || s->failed || !s->count || kafka__ending(r) || now >= s->deadline_ns ||
	    (q->min_bytes <= 0 || s->bytes >= (size_t)q->min_bytes || s->bytes >= s->bytes_max))
		fetch_answer(r);
	else
		wait_for_records(r, (s->deadline_ns - now + 999999) / 1000000);
}

/* ---- beginning ---- */

static bool prepare_topic(struct kafka_request *r, const struct kafka_fetch_topic *q, struct kafka_fetch_topic_response *out)
{
	struct fetch_state *s = r->state;
	bool by_id = r->version.version >= 13;
	const struct log_topic *topic = kafka__topic(r, r->topics, q->topic, by_id ? &q->topic_id : NULL);
	out->topic = q->topic;
	out->topic_id = q->topic_id;
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		struct fetch_part *p = &s->parts[s->count++];
		kafka__defaults(&kafka_layout_fetch_partition_response, &out->partitions[i]);
		p->slice.request = r;
		p->asked = &q->partitions[i];
		p->reply = &out->partitions[i];
		p->reply->partition_index = p->asked->partition;
		p->error = kafka__partition_error(topic, by_id, p->asked->partition);
		/* The one leader's epoch is 0 for ever. */
		if (!p->error && p->asked->current_leader_epoch > 0)
			p->error = KAFKA_UNKNOWN_LEADER_EPOCH;
		else if (!p->error && p->asked->last_fetched_epoch > 0)
			p->error = KAFKA_OFFSET_OUT_OF_RANGE; /* nothing was ever written in such an epoch */
		if (p->error)
			s->failed = true;
		else
			p->topic = topic->name;
	}
	return true;
}

void kafka__fetch(struct kafka_request *r)
{
	const struct kafka_fetch_request *q = r->body;
	struct kafka_fetch_response *reply = r->reply;
	/* A whole request (epoch -1 or 0) needs no session, whatever it calls it. */
	if (q->session_epoch > 0 || q->session_epoch < -1) {
		reply->error_code = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
		kafka__finish(r);
		return;
	}
	struct fetch_state *s = kafka__alloc(r, 1, sizeof *s);
	size_t count = 0;
	for (int32_t i = 0; i < q->topics_count; i++)
		count += (size_t)q->topics[i].partitions_count;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	if (!s || !reply->topics || !(s->parts = kafka__alloc(r, count, sizeof *s->parts))) {
		kafka__abort(r);
		return;
	}
	r->state = s;
	r->done = fetch_done;
	s->committed = q->isolation_level == 1;
	s->bytes_max = kafka__fetch_bytes_max(r);
	uint64_t wait_ms = q->max_wait_ms > 0 ? (uint64_t)q->max_wait_ms : 0;
	if (wait_ms > KAFKA_FETCH_WAIT_MAX_MS)
		wait_ms = KAFKA_FETCH_WAIT_MAX_MS;
	s->deadline_ns = clock_monotonic_ns(&clock_system) + wait_ms * 1000000;
	reply->topics_count = q->topics_count;
	bool ok = kafka__topics(r) != NULL;
	for (int32_t i = 0; ok && i < q->topics_count; i++)
		ok = prepare_topic(r, &q->topics[i], &reply->topics[i]);
	if (ok)
		fetch_again(r);
	else
		kafka__abort(r);
}
