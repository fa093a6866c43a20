/* Reads: what a cursor has fetched, as one record batch that covers the offsets without a gap. Offsets that hold no record (markers of
 * transactions, what was aborted, what compaction removed) lie in the batch's range, or in an empty batch of their own. */
#include "log/record_batch.h"
#include "rdkafka/rdkafka_internal.h"
#include <stdlib.h>
#include <time.h>

#define RANGE_MAX INT32_MAX /* offsets of one batch */
#define ASK_MS 3000         /* then a question is asked again: the leader may be another broker by now */

struct reading {
	struct rdkafka_cursor *c;
	int isolation;
	int64_t base, end; /* covered so far */
	size_t bytes_max;
	uint64_t deadline_ns;
	struct buf out, headers;
	struct batch_rewriter batch;
	bool begun;
};

/* ---- one record ---- */

static void put_field(struct buf *b, const void *data, size_t size)
{
	buf_varint(b, data ? (int64_t)size : -1);
	if (data)
		buf_append(b, data, size);
}

static uint32_t put_headers(struct buf *b, const rd_kafka_message_t *m)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size, count = 0;
	buf_clear(b);
	if (rd_kafka_message_headers(m, &headers))
		return 0;
	while (!rd_kafka_header_get_all(headers, count, &name, &value, &size)) {
		put_field(b, name, strlen(name));
		put_field(b, value, size);
		count++;
	}
	return (uint32_t)count;
}

static void take_record(struct reading *r, const rd_kafka_message_t *m)
{
	rd_kafka_timestamp_type_t type;
	struct record record = {
		.offset = m->offset,
		.timestamp_ms = rd_kafka_message_timestamp(m, &type),
		.key = bytes_of(m->key, m->key_len),
		.value = bytes_of(m->payload, m->len),
		.key_null = !m->key,
		.value_null = !m->payload,
	};
	record.header_count = put_headers(&r->headers, m);
	record.headers_raw = buf_bytes(&r->headers);
	if (!r->begun) {
		const struct batch_info info = {.base_offset = r->base,
						.leader_epoch = -1,
						.base_timestamp_ms = record.timestamp_ms,
						.max_timestamp_ms = -1,
						.producer_id = -1,
						.producer_epoch = -1,
						.base_sequence = -1};
		batch_rewrite_begin(&r->batch, &r->out, &info, -1);
		r->begun = true;
	}
	batch_rewrite_add(&r->batch, &record);
	r->end = m->offset + 1;
}

/* ---- what the cursor has ---- */

enum step { GO_ON, WAIT, ENOUGH };

static enum step take_message(struct reading *r, const rd_kafka_message_t *m)
{
	struct rdkafka_cursor *c = r->c;
	c->end = -1;
	if (m->offset < r->end) /* before the place that was asked for */
		return GO_ON;
	if (m->offset - r->base >= RANGE_MAX) {
		if (!r->begun)
			r->end = r->base + RANGE_MAX;
		return ENOUGH;
	}
	if (r->begun && buf_size(&r->out) + m->len + m->key_len > r->bytes_max)
		return ENOUGH;
	take_record(r, m);
	return GO_ON;
}

static enum step take_end(struct reading *r, int64_t end)
{
	r->c->end = end;
	if (end - r->base > RANGE_MAX)
		end = r->base + RANGE_MAX;
	if (end > r->end)
		r->end = end;
	return GO_ON;
}

/* Take what is first of what was fetched, if there is something. */
static enum sm_err take_next(struct reading *r, int timeout_ms, enum step *ret_step)
{
	struct rdkafka_cursor *c = r->c;
	rd_kafka_message_t *m = rdkafka__cursor_peek(c, timeout_ms);
	*ret_step = m ? GO_ON : WAIT;
	if (!m)
		return SM_OK;
	rd_kafka_resp_err_t err = m->err;
	if (!err)
		*ret_step = take_message(r, m);
	else if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		*ret_step = take_end(r, m->offset);
	else if (!rdkafka__passes(err)) {
		c->broken = rdkafka__err(err);
		if (r->end > r->base) /* first what came before it */
			*ret_step = ENOUGH;
	}
	if (*ret_step == GO_ON)
		rdkafka__cursor_drop(c);
	return c->broken && *ret_step == GO_ON ? c->broken : SM_OK;
}

/* The high watermark as the last fetch told it; -1: none has. */
static int64_t high_watermark(struct rdkafka_cursor *c, int isolation)
{
	struct rdkafka_part *part = c->part;
	int64_t low, high;
	rd_kafka_t *rk = rdkafka__lane(part->engine, isolation, c->lane, NULL);
	if (!rk || rd_kafka_get_watermark_offsets(rk, part->topic, part->partition, &low, &high))
		return -1;
	return high < 0 ? -1 : high;
}

/* How long to wait for more: not at all when there is something to give out, or when nothing is to be expected. */
static int patience(struct reading *r)
{
	struct rdkafka_cursor *c = r->c;
	if (r->end > r->base)
		return 0;
	/* librdkafka tells of the end only after a fetch that waited in vain. */
	if (c->end < 0 && high_watermark(c, r->isolation) == r->end)
		c->end = r->end;
	if (c->end == r->end && atomic_load(&c->part->told[r->isolation]) <= c->end)
		return 0;
	uint64_t now = clock_monotonic_ns(&clock_system);
	return now >= r->deadline_ns ? -1 : (int)((r->deadline_ns - now) / 1000000) + 1;
}

static enum sm_err nothing_came(struct reading *r)
{
	if (r->c->end != r->end)
		return rdkafka_answers(&r->c->part->engine->log) ? SM_TIMEOUT : SM_UNAVAILABLE;
	atomic_store(&r->c->part->told[r->isolation], r->end); /* the end has gone back: an unclean election */
	return SM_OK;
}

static enum sm_err collect(struct reading *r)
{
	enum step step = GO_ON;
	while (step != ENOUGH) {
		enum sm_err err = take_next(r, 0, &step);
		if (!err && step == WAIT) {
			int wait_ms = patience(r);
			if (wait_ms == 0)
				break;
			if (wait_ms < 0)
				return nothing_came(r);
			err = take_next(r, wait_ms < 500 ? wait_ms : 500, &step);
			if (!err && atomic_load(&r->c->part->engine->ending))
				err = SM_CLOSED;
		}
		if (err)
			return err;
	}
	return SM_OK;
}

/* A cursor that has just begun: is it at the end already? Else its first fetch would wait to find that out. */
static enum sm_err find_end(struct reading *r)
{
	struct rdkafka_cursor *c = r->c;
	struct rdkafka_part *part = c->part;
	int64_t end, high;
	enum sm_err err = rdkafka__ask_offset(part->engine, r->isolation, part->topic, part->partition, RD_KAFKA_OFFSET_END, &end);
	if (err)
		return err;
	c->fresh = false;
	atomic_store(&part->told[r->isolation], end);
	if (end == r->base)
		c->end = end;
	if (end >= r->base)
		return SM_OK;
	/* Between the last stable offset and the high watermark there is nothing yet for who reads what is committed. */
	err = rdkafka__ask_offset(part->engine, RDKAFKA_UNCOMMITTED, part->topic, part->partition, RD_KAFKA_OFFSET_END, &high);
	if (!err && high < r->base)
		err = SM_OUT_OF_RANGE;
	if (!err) {
		c->end = r->base;
		c->fresh = true; /* librdkafka does not tell when the stable offset passes by */
	}
	return err;
}

/* ---- the slice ---- */

static void release_run(struct log_hold *hold)
{
	rdkafka__run_unref((struct rdkafka_run *)hold);
}

static enum sm_err make_run(struct reading *r, struct rdkafka_run **ret_run)
{
	struct rdkafka_run *run = calloc(1, sizeof *run);
	enum sm_err err = run ? SM_OK : SM_NO_MEMORY;
	if (!err && r->begun) {
		r->batch.info.last_offset_delta = (int32_t)(r->end - r->base - 1);
		err = batch_rewrite_end(&r->batch);
	} else if (!err) {
		batch_put_empty(&r->out, r->base, r->end, -1);
	}
	if (!err && r->out.failed)
		err = SM_NO_MEMORY;
	if (err) {
		free(run);
		return err;
	}
	*run = (struct rdkafka_run){.hold.release = release_run, .base = r->base, .end = r->end, .size = buf_size(&r->out)};
	atomic_store(&run->refs, 1);
	run->data = r->out.data;
	buf_init(&r->out); /* the run's now */
	*ret_run = run;
	return SM_OK;
}

static void fill(struct rdkafka_cursor *c, int isolation, struct log_read_result *result)
{
	int64_t high = high_watermark(c, isolation), told = atomic_load(&c->part->told[isolation]);
	bool more = c->held_at < c->held_count;
	/* Where the end was reached is exact. Else there is more: how much of it is not told before it was read. */
	int64_t end = c->end >= 0 ? c->end : high > told ? high : told;
	if (end < c->next + more)
		end = c->next + more;
	result->last_stable_offset = end;
	result->high_watermark = high > end ? high : end;
	result->log_start_offset = -1;
}

/* Fetch a run; none, without an error: there is nothing yet. */
static enum sm_err next_run(struct reading *r, struct rdkafka_run **ret_run)
{
	struct rdkafka_cursor *c = r->c;
	enum sm_err err = c->fresh ? find_end(r) : SM_OK;
	if (!err)
		err = collect(r);
	if (!err && r->end > r->base)
		err = make_run(r, ret_run);
	if (err && err != SM_TIMEOUT && err != SM_UNAVAILABLE && !c->broken)
		c->broken = err; /* what was taken is lost to it */
	return err;
}

static enum sm_err read_with(struct rdkafka_cursor *c, int isolation, int64_t offset, size_t bytes_max, struct log_read_result *ret_result)
{
	struct log_read_result result = {.slice = {.fd = -1}};
	struct rdkafka_run *run = c->last;
	if (c->next == offset) {
		struct reading r = {.c = c,
				    .isolation = isolation,
				    .base = offset,
				    .end = offset,
				    .bytes_max = bytes_max < RDKAFKA_RUN_BYTES_MAX ? bytes_max : RDKAFKA_RUN_BYTES_MAX,
				    .deadline_ns = rdkafka__deadline_ns(c->part->engine)};
		buf_init(&r.out);
		buf_init(&r.headers);
		run = NULL;
		enum sm_err err = next_run(&r, &run);
		buf_done(&r.out);
		buf_done(&r.headers);
		if (err)
			return err;
		if (run) {
			rdkafka__run_unref(c->last);
			c->last = run;
			c->next = run->end;
		}
	}
	if (run) {
		atomic_fetch_add(&run->refs, 1);
		result.slice = (struct log_slice){.data = run->data, .fd = -1, .size = run->size, .hold = &run->hold};
	}
	fill(c, isolation, &result);
	*ret_result = result;
	return SM_OK;
}

enum sm_err rdkafka__cursor_beyond(struct rdkafka_cursor *c, int64_t offset, bool *ret_beyond)
{
	rd_kafka_message_t *m;
	*ret_beyond = c->next > offset;
	while (!*ret_beyond && !c->broken && (m = rdkafka__cursor_peek(c, 0))) {
		bool at_end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
		if (m->err && !at_end && !rdkafka__passes(m->err))
			c->broken = rdkafka__err(m->err);
		*ret_beyond = at_end ? m->offset > offset : !m->err && m->offset >= offset;
		if (*ret_beyond) /* for the reader */
			break;
		if (at_end)
			c->end = m->offset;
		rdkafka__cursor_drop(c);
	}
	return c->broken;
}

static enum sm_err read_batches(struct rdkafka_log *k, const char *topic, int32_t partition, int isolation, int64_t offset,
				size_t bytes_max, struct log_read_result *ret_result)
{
	struct rdkafka_cursor *c;
	enum sm_err err = offset < 0 ? SM_OUT_OF_RANGE : rdkafka__partition_known(k, topic, partition, false);
	if (err)
		return err;
	struct rdkafka_part *part = rdkafka__part(k, topic, partition);
	if (!part)
		return SM_NO_MEMORY;
	if ((err = rdkafka__cursor_take(part, isolation, offset, true, &c)))
		return err;
	err = read_with(c, isolation, offset, bytes_max, ret_result);
	rdkafka__cursor_release(c);
	rdkafka__poke(k); /* waits look at what it knows now */
	return err;
}

enum sm_err rdkafka__read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
			  struct log_read_result *ret_result)
{
	return read_batches(rdkafka__log_of(log), topic, partition, RDKAFKA_COMMITTED, offset, bytes_max, ret_result);
}

enum sm_err rdkafka__read_uncommitted(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
				      struct log_read_result *ret_result)
{
	return read_batches(rdkafka__log_of(log), topic, partition, RDKAFKA_UNCOMMITTED, offset, bytes_max, ret_result);
}

/* ---- offsets by time, and ends ---- */

enum sm_err rdkafka__ask_offset(struct rdkafka_log *k, int isolation, const char *topic, int32_t partition, int64_t what,
				int64_t *ret_offset)
{
	rd_kafka_t *rk = rdkafka__lane(k, isolation, RDKAFKA_ASKER, NULL);
	rd_kafka_topic_partition_list_t *list = rk ? rd_kafka_topic_partition_list_new(1) : NULL;
	if (!list)
		return SM_NO_MEMORY;
	uint64_t end_ns = rdkafka__deadline_ns(k), now;
	rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_add(list, topic, partition);
	rd_kafka_resp_err_t err;
	do {
		now = clock_monotonic_ns(&clock_system);
		int left_ms = now < end_ns ? (int)((end_ns - now) / 1000000) + 1 : 1;
		left_ms = left_ms < ASK_MS ? left_ms : ASK_MS;
		p->offset = what;
		p->err = RD_KAFKA_RESP_ERR_NO_ERROR;
		if (!(err = rd_kafka_offsets_for_times(rk, list, left_ms)))
			err = p->err;
		/* A partition that is there, but whose leader is not known yet. */
		bool again = err && (rdkafka__passes(err) || err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION);
		if (again && atomic_load(&k->ending))
			err = RD_KAFKA_RESP_ERR__DESTROY;
		if (!again || now >= end_ns || atomic_load(&k->ending))
			break;
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	} while (true);
	if (!err) {
		*ret_offset = p->offset < 0 ? -1 : p->offset;
		rdkafka__seen(k);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return rdkafka__err(err);
}

enum sm_err rdkafka__offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
				int64_t *ret_timestamp_ms)
{
	struct rdkafka_log *k = rdkafka__log_of(log);
	int isolation = what == LOG_HIGH_WATERMARK ? RDKAFKA_UNCOMMITTED : RDKAFKA_COMMITTED;
	bool end = what == LOG_HIGH_WATERMARK || what == LOG_LATEST;
	int64_t offset = -1;
	if (what < 0 && !end && what != LOG_EARLIEST)
		return what == LOG_MAX_TIMESTAMP ? SM_UNSUPPORTED : SM_INVALID;
	enum sm_err err = rdkafka__partition_known(k, topic, partition, false);
	struct rdkafka_part *part = err ? NULL : rdkafka__part(k, topic, partition);
	if (!err && !part)
		err = SM_NO_MEMORY;
	if (!err)
		err = rdkafka__ask_offset(k, isolation, topic, partition, end ? RD_KAFKA_OFFSET_END : what, &offset);
	if (err)
		return err;
	if (end)
		atomic_store(&part->told[isolation], offset);
	*ret_offset = offset;
	if (ret_timestamp_ms)
		*ret_timestamp_ms = -1;
	return SM_OK;
}
