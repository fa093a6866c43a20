/* Reading a piece of the topic: the batches that may hold records of one id are copied, the others are passed over by their headers. On the
 * pool. */
#include "persist/persist_internal.h"
#include <stdlib.h>

#define GENERATIONS_MAX 8 /* producers of an id that are told apart by their batches' headers; with more all batches are looked into */

/* Whatever transactions of others are open: none of ours is in one. */
#define READS_ALL(journal) ((journal)->log->ops->read_uncommitted != NULL)

struct scan {
	struct op *op;
	int64_t producers[GENERATIONS_MAX];
	uint32_t producer_count; /* 0: any may be it */
	uint8_t *buffer;
	size_t cap;
};

static void scan_init(struct scan *s, struct op *op)
{
	*s = (struct scan){.op = op};
	for (uint64_t generation = 0; generation <= op->number / NUMBERS_A_PRODUCER; generation++) {
		struct writer writer;
		if (s->producer_count == GENERATIONS_MAX) {
			s->producer_count = 0;
			return;
		}
		persist__writer_of(op->entity->props.id, generation * NUMBERS_A_PRODUCER, &writer);
		s->producers[s->producer_count++] = writer.producer;
	}
}

/* Other ids' batches are known by their producers. A batch of another or of no producer is one that an engine has made of records as it got
 * them, or another program has copied: it is looked into. Transactional ones are nobody's of ours, and may have been aborted. */
static bool may_be_ours(const struct scan *s, const struct batch_info *info)
{
	if (info->attributes & (BATCH_CONTROL | BATCH_TRANSACTIONAL))
		return false;
	bool ours = info->producer_id < PERSIST_PRODUCERS_FROM || !s->producer_count;
	for (uint32_t i = 0; i < s->producer_count; i++)
		ours = ours || info->producer_id == s->producers[i];
	return ours;
}

static enum sm_err take_batches(struct scan *s, struct bytes data)
{
	struct op *op = s->op;
	enum sm_err err = SM_OK;
	while (data.size && op->offset < op->end) {
		struct batch_info info;
		if ((err = batch_parse(data, &info)))
			break;
		int64_t behind = info.base_offset + info.last_offset_delta + 1;
		if (behind > op->offset && may_be_ours(s, &info))
			buf_append(&op->buf, data.data, info.size);
		if (behind > op->offset)
			op->offset = behind;
		op->scanned += info.size;
		data = bytes_of(data.data + info.size, data.size - info.size);
	}
	/* The last one may be cut off where the slice ends. */
	if (err == SM_TRUNCATED)
		err = SM_OK;
	return op->buf.failed ? SM_NO_MEMORY : err;
}

static enum sm_err read_slice(struct scan *s)
{
	struct op *op = s->op;
	struct sm_journal *j = op->entity->journal;
	struct log_read_result result;
	struct bytes data;
	int64_t before = op->offset;
	enum sm_err err = (READS_ALL(j) ? j->log->ops->read_uncommitted : j->log->ops->read)(j->log, j->topic, op->entity->partition,
											     op->offset, PERSIST_READ_BYTES, &result);
	if (err)
		return err;
	op->waits = result.slice.size == 0;
	err = log_slice_bytes(&result.slice, &s->buffer, &s->cap, &data);
	if (!err)
		err = take_batches(s, data);
	log_slice_done(&result.slice);
	return !err && !op->waits && op->offset == before ? SM_TRUNCATED : err;
}

static void tell_failure(struct op *op, enum sm_err err)
{
	struct sm_journal *j = op->entity->journal;
	const char *what = err == SM_OUT_OF_RANGE ? "the topic does not reach back so far: its records were deleted, and with them events "
						    "(a journal's topic has retention.ms = -1)"
			   : err == SM_CORRUPT
				   ? "the log is damaged there, and events may be among what is lost (smack log check says more)"
			   : err == SM_TRUNCATED ? "the log ends before"
						 : sm_err_text(err);
	(void)sm_fail(&op->error, err, "reading the events of %s in topic %s, partition %d, at offset %lld: %s", op->entity->props.id,
		      j->topic, op->entity->partition, (long long)op->offset, what);
}

static void shown(struct log_wait *wait, enum sm_err err)
{
	struct op *op = (struct op *)((char *)wait - offsetof(struct op, wait));
	if (err)
		tell_failure(op, err);
	persist__op_send(op);
}

/* A reader of a real Kafka sees a moment later what was acknowledged. */
static void wait_for_more(struct op *op)
{
	struct sm_journal *j = op->entity->journal;
	op->wait = (struct log_wait){
		.topic = j->topic, .partition = op->entity->partition, .offset = op->offset, .uncommitted = READS_ALL(j), .done = shown};
	j->log->ops->wait(j->log, &op->wait);
}

void persist__replay(struct sm_work *work)
{
	struct op *op = op_of_work(work);
	struct scan s;
	enum sm_err err = SM_OK;
	scan_init(&s, op);
	if (op->end < 0) { /* as far as it goes now */
		const struct log_ops *ops = op->entity->journal->log->ops;
		err = ops->offset_for(op->entity->journal->log, op->entity->journal->topic, op->entity->partition, LOG_HIGH_WATERMARK,
				      &op->end, NULL);
	}
	while (!err && !op->waits && op->offset < op->end && op->scanned < PERSIST_PIECE_SCANNED &&
	       buf_size(&op->buf) < PERSIST_PIECE_FOUND)
		err = read_slice(&s);
	free(s.buffer);
	if (err)
		tell_failure(op, err);
	if (op->waits && !err)
		wait_for_more(op);
	else
		persist__op_send(op);
}
