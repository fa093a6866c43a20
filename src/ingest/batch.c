/* Events to record batches, and the log's answers back to requests.
 *
 * The events of all requests that a dispatcher handles in one turn share one batch a partition: that is what makes one event a
 * request cheap. When the turn ends the batches go to the log; each comes back as a message to the worker of the same dispatcher,
 * which answers the requests that wait for it. */
#include "base/metrics.h"
#include "ingest/ingest_internal.h"
#include <assert.h>
#include <stdlib.h>

#define ROOM_MAX (4u * INGEST_SPARE_BYTES) /* that a batch has before there are events for it */

/* ---- answers ---- */

int ingest__status_of(enum sm_err err)
{
	switch (err) {
	case SM_NOT_FOUND: return 404;
	case SM_TOO_LARGE: return 413;
	case SM_SEQUENCE_GAP: return 422; /* once.c */
	case SM_FULL:
	case SM_AGAIN: return 429;
	case SM_NO_SPACE: return 507;
	case SM_CORRUPT:
	case SM_INVALID:
	case SM_FAILED: return 500; /* the log refuses what we have built: our own fault */
	default: return 503;
	}
}

void ingest__refuse(struct http_request *request, enum sm_err err, const char *topic)
{
	int status = ingest__status_of(err);
	struct buf text;
	buf_init(&text);
	buf_append_str(&text, "{\"message\":");
	char why[400];
	if (status == 404)
		snprintf(why, sizeof why, "there is no topic \"%s\"", topic);
	else if (status == 429)
		snprintf(why, sizeof why, "the log of \"%s\" is behind: send the request again later", topic);
	else if (status == 422)
		snprintf(why, sizeof why, "this Idempotency-Key came with another request before: nothing is stored of what differs");
	else if (status == 413)
		snprintf(why, sizeof why, "an event is larger than a record batch may be (%u bytes)", LOG_BATCH_BYTES_MAX);
	else
		snprintf(why, sizeof why, "the events may not be stored: %s; send the request again", sm_err_text(err));
	buf_json_string(&text, bytes_str(why));
	buf_append_str(&text, "}");
	if (status == 429)
		http_reply_header(request, "Retry-After", "1");
	http_reply(request, status, "application/json", buf_bytes(&text));
	buf_done(&text);
}

#define ANSWER_MAX (sizeof(((struct topic_entry *)0)->answer) + 16)

/* {"topic":"ad.events","accepted":1 without its brace. Returns its size. By hand because it is on the path of every event. */
static size_t good_answer(const struct pending *p, uint8_t out[ANSWER_MAX])
{
	uint8_t digits[10];
	size_t at = sizeof digits, size = p->entry->answer_size;
	uint32_t left = p->accepted;
	do
		digits[--at] = (uint8_t)('0' + left % 10);
	while (left /= 10);
	memcpy(out, p->entry->answer, size);
	memcpy(out + size, digits + at, sizeof digits - at);
	return size + sizeof digits - at;
}

static void answer(struct pending *p)
{
	if (p->err) {
		ingest__refuse(p->request, p->err, p->entry->name);
		return;
	}
	uint8_t small[ANSWER_MAX];
	struct buf text = {.data = small, .cap = sizeof small};
	bool report = buf_size(&p->report) > 0;
	size_t size = good_answer(p, small);
	if (!report) {
		small[size++] = '}';
		text.end = size;
	} else {
		buf_init(&text);
		buf_append(&text, small, size);
		buf_append_bytes(&text, buf_bytes(&p->report));
		buf_append_str(&text, "}");
	}
	http_reply(p->request, text.failed ? 503 : 202, "application/json", buf_bytes(&text));
	if (report)
		buf_done(&text);
}

/* ---- requests that wait ---- */

static void request_gone(struct http_request *request)
{
	((struct pending *)request->user)->request = NULL;
}

struct pending *ingest__pending_new(struct worker *worker, struct http_request *request, struct topic_entry *entry)
{
	struct pending *p = worker->spare_pending;
	if (p)
		worker->spare_pending = p->next;
	else if (!(p = malloc(sizeof *p)))
		return NULL;
	*p = (struct pending){.request = request, .bytes = request->body.size, .entry = entry, .left = 1};
	atomic_fetch_add_explicit(&worker->ingest->held, p->bytes, memory_order_relaxed);
	entry->refs++;
	request->user = p;
	request->gone = request_gone;
	return p;
}

void ingest__pending_release(struct worker *worker, struct pending *p)
{
	if (--p->left)
		return;
	if (!p->err)
		metric_add(METRIC_INGEST_EVENTS, p->accepted);
	if (p->request) {
		p->request->gone = NULL;
		metric_observe_us(METRIC_INGEST_US, (clock_monotonic_ns(&clock_system) - p->request->arrived_ns) / 1000);
		if (p->placed)
			ingest__produced(p);
		else
			answer(p);
	}
	atomic_fetch_sub_explicit(&worker->ingest->held, p->bytes, memory_order_relaxed);
	free(p->placed);
	buf_done(&p->report);
	ingest__entry_unref(p->entry);
	p->next = worker->spare_pending;
	worker->spare_pending = p;
}

/* ---- batches ---- */

static void batch_free(struct open_batch *b)
{
	buf_done(&b->data);
	free(b->waiting);
	free(b);
}

/* Freed by the actor runtime only when the worker has ended, which ingest_free lets it do after the last batch. */
static void appended_done(struct sm_msg *msg)
{
	batch_free((struct open_batch *)msg);
}
const struct sm_msg_type ingest__msg_appended = {"ingest appended", appended_done};

static struct open_batch *batch_new(struct worker *worker, struct topic_entry *entry, const struct once *once, int32_t partition)
{
	struct open_batch **slot = once ? &once->open[partition] : &entry->open[partition], *full = *slot;
	struct open_batch *b = worker->spare;
	if (b) {
		worker->spare = b->next;
		worker->spare_count--;
	} else if (!(b = calloc(1, sizeof *b))) {
		return NULL;
	}
	b->msg = (struct sm_msg){.type = &ingest__msg_appended};
	b->worker = worker;
	b->entry = entry;
	b->partition = partition;
	b->err = SM_OK;
	b->waiting_count = 0;
	buf_clear(&b->data);
	entry->refs++;
	b->ordinal = once && full ? full->ordinal + 1 : 0;
	*slot = b;
	if (!once)
		buf_reserve(&b->data, entry->batch_bytes);
	batch_begin(&b->builder, &b->data, CODEC_NONE);
	if (once && !once->plain)
		batch_set_producer(&b->builder, ingest__once_producer(once, b->ordinal), 0, once->sequence);
	b->next = worker->open;
	worker->open = b;
	return b;
}

static void batch_recycle(struct worker *worker, struct open_batch *b)
{
	ingest__entry_unref(b->entry);
	if (worker->spare_count >= INGEST_SPARE_BATCHES || b->data.cap > INGEST_SPARE_BYTES || b->data.failed) {
		batch_free(b);
		return;
	}
	b->next = worker->spare;
	worker->spare = b;
	worker->spare_count++;
}

/* Thread: one of the log's, or this one. */
static void on_append(void *arg, const struct log_append_result *result)
{
	struct open_batch *b = arg;
	b->err = result->err;
	b->base_offset = result->base_offset;
	b->stamped_ms = result->log_append_time_ms;
	if (sm_send_reply(b->worker->ref, &b->msg))
		sm_msg_free(&b->msg);
}

static void batch_send(struct open_batch *b)
{
	struct worker *worker = b->worker;
	struct ingest *ingest = worker->ingest;
	struct sm_log *log = ingest->options.log;
	if (b->entry->open[b->partition] == b) {
		b->entry->open[b->partition] = NULL;
		b->entry->batch_bytes = buf_size(&b->data) < ROOM_MAX ? buf_size(&b->data) : ROOM_MAX;
	}
	ingest__sent(ingest);
	enum sm_err err = batch_end(&b->builder);
	if (err)
		on_append(b, &(struct log_append_result){.err = err, .log_append_time_ms = -1});
	else
		log->ops->append(log, b->entry->name, b->partition, b->data.data + b->data.start, buf_size(&b->data), 0, on_append, b);
}

/* Those of its events that were in this batch. */
static void note_offsets(struct pending *p, uint32_t last, const struct open_batch *b)
{
	for (uint32_t i = last; i; i = p->placed[i - 1].before) {
		struct placed *at = &p->placed[i - 1];
		at->err = b->err;
		at->offset = b->base_offset + at->index;
		at->stamped_ms = b->stamped_ms;
	}
}

void ingest__appended(struct worker *worker, struct open_batch *b)
{
	struct ingest *ingest = worker->ingest;
	for (uint32_t i = 0; i < b->waiting_count; i++) {
		struct pending *p = b->waiting[i].pending;
		note_offsets(p, b->waiting[i].last, b);
		if (b->err && !p->err)
			p->err = b->err;
		ingest__pending_release(worker, p);
	}
	enum sm_err err = b->err;
	batch_recycle(worker, b);
	ingest__answered(ingest, err);
}

void ingest__turn_end(struct actor_turn_hook *hook)
{
	struct worker *worker = (struct worker *)hook; /* its first member */
	/* The list has the newest first; of two batches of a partition the older goes first. */
	struct open_batch *oldest = NULL;
	while (worker->open) {
		struct open_batch *b = worker->open;
		worker->open = b->next;
		b->next = oldest;
		oldest = b;
	}
	for (struct open_batch *b = oldest, *next; b; b = next) {
		next = b->next;
		batch_send(b);
	}
	ingest__topics_release(worker);
}

void ingest__batches_done(struct worker *worker)
{
	assert(!worker->open);
	for (struct open_batch *b = worker->spare, *next; b; b = next) {
		next = b->next;
		batch_free(b);
	}
	for (struct pending *p = worker->spare_pending, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	worker->spare = NULL;
	worker->spare_pending = NULL;
}

/* The request is answered after this batch too. NULL: out of memory. */
static struct waiter *wait_for(struct open_batch *b, struct pending *p)
{
	if (b->waiting_count && b->waiting[b->waiting_count - 1].pending == p)
		return &b->waiting[b->waiting_count - 1];
	if (b->waiting_count == b->waiting_cap) {
		uint32_t cap = b->waiting_cap ? b->waiting_cap * 2 : 8;
		struct waiter *waiting = realloc(b->waiting, cap * sizeof *waiting);
		if (!waiting)
			return NULL;
		b->waiting = waiting;
		b->waiting_cap = cap;
	}
	p->left++;
	b->waiting[b->waiting_count] = (struct waiter){.pending = p};
	return &b->waiting[b->waiting_count++];
}

/* Bytes of a record's numbers, at most. */
#define RECORD_OVERHEAD 40

static size_t headers_size(const struct line *line)
{
	size_t size = 0;
	for (uint32_t i = 0; i < line->header_count; i++)
		size += line->headers[i].key.size + line->headers[i].value.size + 10;
	return size;
}

void ingest__add(struct worker *worker, struct pending *p, const struct once *once, const struct line *line, int64_t now_ms)
{
	struct topic_entry *entry = p->entry;
	int32_t keyless = once ? once->partition : entry->keyless;
	int32_t partition = line->partition ? line->partition - 1
			    : line->has_key ? log_partition_of(line->key, entry->partitions)
					    : keyless;
	struct open_batch *b = once ? once->open[partition] : entry->open[partition];
	/* A full batch stays in the worker's list and leaves when the turn ends. */
	if (!b || batch_size(&b->builder) + line->key.size + line->text.size + headers_size(line) + RECORD_OVERHEAD > LOG_BATCH_BYTES_MAX)
		b = batch_new(worker, entry, once, partition);
	struct waiter *waiter = b ? wait_for(b, p) : NULL;
	if (!waiter) {
		p->err = SM_NO_MEMORY;
		return;
	}
	struct record record = {.timestamp_ms = line->stamped ? line->timestamp_ms : now_ms,
				.key = line->key,
				.value = line->text,
				.key_null = !line->has_key,
				.value_null = line->null};
	if (p->placed) {
		p->placed[p->accepted] = (struct placed){
			.before = waiter->last, .index = (uint32_t)b->builder.count, .partition = partition};
		waiter->last = p->accepted + 1;
	}
	batch_add(&b->builder, &record, line->headers, line->header_count);
	p->accepted++;
}
