/* Produce. */
#include "kafka/kafka_internal.h"
#include "log/record_batch.h"
#include <stdlib.h>

#define KAFKA_RECORD_OVERHEAD 14 /* bytes of the least that was ever called a record, without its size */

struct produce_part {
	struct kafka_request *request;
	const char *topic;
	int32_t partition;
	uint8_t *batch; /* in the request's frame */
	size_t size;
	struct kafka_produce_partition_response *reply;
	struct log_append_result result;
	bool open; /* not appended yet */
	bool transactional;
};
struct produce_state {
	struct produce_part *parts;
	uint32_t count;
	uint64_t deadline_ns;
	bool failed; /* some partition was refused */
	/* Of the request as a whole. */
	int16_t error;
	const char *message;
};

static void refuse(struct kafka_request *r, struct kafka_produce_partition_response *reply, int16_t error, const char *message)
{
	((struct produce_state *)r->state)->failed = true;
	reply->error_code = error;
	reply->base_offset = -1;
	reply->error_message = kafka__text(message);
}

/* What Kafka asks of a Produce request's records since version 3, before the log looks at them. */
static int16_t batch_error(struct kafka_request *r, const struct kafka_records *records, const char **ret_message)
{
	struct batch_info info;
	struct bytes data = bytes_of(records->data, records->size);
	enum sm_err err = batch_parse(data, &info);
	*ret_message = NULL;
	if (!data.size || err == SM_TRUNCATED) {
		*ret_message = "A Produce request must have one record batch for each partition.";
		return KAFKA_INVALID_RECORD;
	}
	if (err == SM_VERSION) {
		*ret_message = "Only record batches of magic 2 are accepted by this version of Produce.";
		return KAFKA_INVALID_RECORD;
	}
	if (err == SM_CORRUPT && be32_get(data.data + 8) >= LOG_BATCH_OVERHEAD - 12 && be32_get(data.data + 8) <= INT32_MAX) {
		*ret_message = "The record batch's counts cannot be.";
		return KAFKA_INVALID_RECORD;
	}
	if (err) {
		*ret_message = "The record batch is corrupt.";
		return kafka__error_of(err);
	}
	if (info.base_offset) {
		*ret_message = "The base offset of a batch that a client sends is 0.";
		return KAFKA_INVALID_RECORD;
	}
	if (info.size != data.size) {
		*ret_message = "A Produce request must have exactly one record batch for each partition.";
		return KAFKA_INVALID_RECORD;
	}
	if (BATCH_CODEC(info.attributes) == CODEC_ZSTD && r->version.version < 7) {
		*ret_message = "Records in zstd need Produce version 7 or later.";
		return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
	}
	if (info.attributes & BATCH_CONTROL) {
		*ret_message = "Clients do not write control records.";
		return KAFKA_INVALID_RECORD;
	}
	if (info.attributes & BATCH_TRANSACTIONAL && info.producer_id < 0) {
		*ret_message = "A transactional batch needs a producer id.";
		return KAFKA_INVALID_PRODUCER_ID_MAPPING;
	}
	return KAFKA_NONE;
}

/* What Kafka sees in one partition's records and refuses all for: a magic that there is not, a transaction without its id. */
static void look_at(struct kafka_request *r, const struct kafka_records *records)
{
	struct produce_state *s = r->state;
	struct batch_info info;
	enum sm_err err = batch_parse(bytes_of(records->data, records->size), &info);
	bool named = ((const struct kafka_produce_request *)r->body)->transactional_id.data;
	bool bad_magic = err == SM_VERSION && records->data[16] > 1;
	if (bad_magic || (err == SM_CORRUPT && (int32_t)be32_get(records->data + 8) < KAFKA_RECORD_OVERHEAD)) {
		s->error = KAFKA_CORRUPT_MESSAGE;
		s->message = bad_magic ? "A record batch has a magic that there is not." : "A record batch is shorter than any can be.";
	} else if (!err && info.attributes & BATCH_TRANSACTIONAL && !named && !s->error) {
		s->error = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
		s->message = "A transactional batch needs a transactional id.";
	}
}

static void look_at_all(struct kafka_request *r)
{
	const struct kafka_produce_request *q = r->body;
	for (int32_t i = 0; i < q->topics_count; i++)
		for (int32_t k = 0; k < q->topics[i].partitions_count; k++)
			look_at(r, &q->topics[i].partitions[k].records);
}

static int16_t partition_error(struct kafka_request *r, struct bytes name, const struct log_topic *topic,
			       const struct kafka_produce_partition *q, const char **ret_message)
{
	const struct kafka_produce_request *all = r->body;
	const struct produce_state *s = r->state;
	*ret_message = s->message;
	if (s->error)
		return s->error;
	if (all->acks < -1 || all->acks > 1)
		return KAFKA_INVALID_REQUIRED_ACKS;
	if (kafka__topic_internal(topic ? bytes_str(topic->name) : name)) {
		*ret_message = "This topic is written by the broker only.";
		return KAFKA_INVALID_TOPIC_EXCEPTION;
	}
	int16_t error = kafka__partition_error(topic, r->version.version >= 13, q->index);
	if (error)
		return error;
	return batch_error(r, &q->records, ret_message);
}

static bool prepare_topic(struct kafka_request *r, const struct kafka_produce_topic *q, struct kafka_produce_topic_response *out)
{
	struct produce_state *s = r->state;
	bool by_id = r->version.version >= 13;
	const struct log_topic *topic = kafka__topic(r, r->topics, q->name, by_id ? &q->topic_id : NULL);
	out->name = q->name;
	out->topic_id = q->topic_id;
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		const struct kafka_produce_partition *p = &q->partitions[i];
		struct kafka_produce_partition_response *reply = &out->partitions[i];
		kafka__defaults(&kafka_layout_produce_partition_response, reply);
		reply->index = p->index;
		const char *message;
		int16_t error = partition_error(r, q->name, topic, p, &message);
		if (error) {
			refuse(r, reply, error, message);
			continue;
		}
		s->parts[s->count++] = (struct produce_part){
			.request = r,
			.topic = topic->name,
			.partition = p->index,
			.batch = r->frame + (p->records.data - r->frame),
			.size = p->records.size,
			.reply = reply,
			.open = true,
			.transactional = be16_get(p->records.data + 21) & BATCH_TRANSACTIONAL,
		};
	}
	return true;
}

static void append_done(void *arg, const struct log_append_result *result)
{
	struct produce_part *p = arg;
	p->result = *result;
	kafka__part_end(p->request);
}

static void submit(struct kafka_request *r)
{
	struct produce_state *s = r->state;
	struct sm_log *log = r->server->log;
	const struct kafka_produce_request *q = r->body;
	uint32_t open = 0;
	for (uint32_t i = 0; i < s->count; i++)
		open += s->parts[i].open;
	kafka__parts_begin(r, open);
	for (uint32_t i = 0; i < s->count; i++) {
		struct produce_part *p = &s->parts[i];
		unsigned flags = (q->acks == 0 ? LOG_ACKS_NONE : 0) | (p->transactional ? LOG_TXN : 0) |
				 (p->transactional && r->version.version >= 12 ? LOG_FROM_ZERO : 0);
		if (p->open)
			log->ops->append(log, p->topic, p->partition, p->batch, p->size, flags, append_done, p);
	}
	kafka__part_end(r);
}

/* Which records the topic does not take: clients give only those the error as their own. */
static void refuse_records(struct kafka_request *r, struct produce_part *p)
{
	const struct batch_refused *refused = &p->result.refused;
	bool times = refused->why == BATCH_TIME_OUT_OF_RANGE;
	struct kafka_record_error *errors = kafka__alloc(r, refused->count, sizeof *errors);
	p->reply->log_start_offset = p->result.log_start_offset;
	refuse(r, p->reply, times ? KAFKA_INVALID_TIMESTAMP : KAFKA_INVALID_RECORD,
	       times ? "One or more records have been rejected due to invalid timestamp." : "One or more records have been rejected.");
	for (uint32_t i = 0; errors && i < refused->count; i++) {
		const char *text = times ? "The timestamp is further from the broker's clock than the topic allows."
					 : "Compacted topic cannot accept message without key.";
		errors[i] = (struct kafka_record_error){refused->records[i], kafka__text(text)};
	}
	p->reply->record_errors = errors;
	p->reply->record_errors_count = errors ? (int32_t)refused->count : 0;
}

/* The errors with which Kafka tells where the log begins: a producer sees whether its last records have only grown old. */
static bool tells_start(int16_t error)
{
	switch (error) {
	case KAFKA_INVALID_RECORD:
	case KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER:
	case KAFKA_INVALID_PRODUCER_EPOCH:
	case KAFKA_UNKNOWN_PRODUCER_ID:
	case KAFKA_INVALID_TXN_STATE: return true;
	default: return false;
	}
}

static void answer_part(struct kafka_request *r, struct produce_part *p)
{
	const struct log_append_result *result = &p->result;
	if (result->err == SM_INVALID && result->refused.why) {
		refuse_records(r, p);
		return;
	}
	if (result->err) {
		/* What is wrong with a batch but not with its bytes: counts, timestamps, sequence fields. */
		int16_t error = result->err == SM_INVALID    ? KAFKA_INVALID_RECORD
				: result->err == SM_CONFLICT ? KAFKA_INVALID_TXN_STATE
							     : kafka__error_of(result->err);
		refuse(r, p->reply, error, NULL);
		if (tells_start(error))
			p->reply->log_start_offset = result->log_start_offset;
		return;
	}
	p->reply->base_offset = result->base_offset;
	p->reply->log_append_time_ms = result->log_append_time_ms;
	p->reply->log_start_offset = result->log_start_offset;
}

static void produce_joined(struct kafka_request *r)
{
	struct produce_state *s = r->state;
	const struct kafka_produce_request *q = r->body;
	bool late = clock_monotonic_ns(&clock_system) > s->deadline_ns, open = false;
	for (uint32_t i = 0; i < s->count; i++) {
		struct produce_part *p = &s->parts[i];
		if (!p->open)
			continue;
		if (p->result.err == SM_FULL && !late) {
			open = true;
			continue;
		}
		p->open = false;
		answer_part(r, p);
	}
	if (open) {
		kafka__stall(r, true);
		kafka__later(r, KAFKA_RETRY_MS, submit);
		return;
	}
	r->silent = q->acks == 0;
	/* A producer that wants no answers learns of a refusal as from Kafka: by the end of the connection. */
	if (r->silent && s->failed) {
		kafka__abort(r);
		return;
	}
	kafka__stall(r, false);
	kafka__finish(r);
}

/* ---- transactions: the coordinator first ---- */

static void txn_answered(struct kafka_request *r)
{
	struct produce_state *s = r->state;
	int16_t error = kafka__txn_error(r, INT16_MAX); /* no version of Produce knows PRODUCER_FENCED */
	bool missing = error == KAFKA_INVALID_TXN_STATE && r->txn.verify;
	if (missing && r->version.version >= 11)
		error = KAFKA_TRANSACTION_ABORTABLE;
	for (uint32_t i = 0; error && i < s->count; i++) {
		if (!s->parts[i].transactional)
			continue;
		s->parts[i].open = false;
		refuse(r, s->parts[i].reply, error, missing ? "The partition was not added to the transaction." : NULL);
	}
	r->step = produce_joined;
	submit(r);
}

/* All batches are of one producer. Since version 12 they add their partitions to the transaction; before, that was asked for. */
static bool txn_prepare(struct kafka_request *r)
{
	const struct kafka_produce_request *q = r->body;
	struct produce_state *s = r->state;
	struct kafka_txn_use *u = &r->txn;
	u->parts = kafka__alloc(r, s->count, sizeof *u->parts);
	u->id = kafka__cstr(r, q->transactional_id);
	if (!u->parts)
		return false;
	u->op = TXN_ADD;
	u->lease = true;
	u->verify = r->version.version < 12;
	u->client_version = 2;
	u->producer_id = -1;
	if (!u->id || q->transactional_id.size > INT16_MAX)
		u->error = KAFKA_INVALID_REQUEST;
	for (uint32_t i = 0; i < s->count; i++) {
		struct batch_info info;
		const struct produce_part *p = &s->parts[i];
		if (!p->transactional || batch_parse(bytes_of(p->batch, p->size), &info))
			continue;
		if (u->producer_id >= 0 && (info.producer_id != u->producer_id || info.producer_epoch != u->epoch))
			u->error = KAFKA_INVALID_PRODUCER_ID_MAPPING;
		u->producer_id = info.producer_id;
		u->epoch = info.producer_epoch;
		u->parts[u->part_count++] = (struct kafka_txn_part){p->topic, p->partition};
	}
	return true;
}

void kafka__produce(struct kafka_request *r)
{
	const struct kafka_produce_request *q = r->body;
	struct kafka_produce_response *reply = r->reply;
	struct produce_state *s = kafka__alloc(r, 1, sizeof *s);
	size_t count = 0;
	for (int32_t i = 0; i < q->topics_count; i++)
		count += (size_t)q->topics[i].partitions_count;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	if (!s || !reply->topics || !(s->parts = kafka__alloc(r, count, sizeof *s->parts))) {
		kafka__abort(r);
		return;
	}
	r->state = s;
	s->deadline_ns = clock_monotonic_ns(&clock_system) + (uint64_t)(q->timeout_ms > 0 ? q->timeout_ms : 0) * 1000000;
	reply->topics_count = q->topics_count;
	look_at_all(r);
	bool ok = kafka__topics(r) != NULL;
	for (int32_t i = 0; ok && i < q->topics_count; i++)
		ok = prepare_topic(r, &q->topics[i], &reply->topics[i]);
	if (!ok || !txn_prepare(r)) {
		kafka__abort(r);
	} else if (r->txn.part_count && !r->txn.error) {
		r->step = txn_answered;
		kafka__txn_ask(r);
	} else {
		txn_answered(r);
	}
}
