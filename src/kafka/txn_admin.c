/* WriteTxnMarkers, DescribeProducers, DescribeTransactions, ListTransactions: what tools ask and do about transactions. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

/* ---- WriteTxnMarkers: a broker's own request, with which a tool ends a transaction that nobody ends ---- */

struct marker_part {
	struct kafka_request *request;
	struct kafka_txn_partition_result *reply;
	const char *topic;
	const struct kafka_txn_marker *marker;
};

static int16_t marker_error(enum sm_err err)
{
	return err == SM_CONFLICT ? KAFKA_TRANSACTION_COORDINATOR_FENCED : kafka__error_of(err);
}

static void marker_is_written(void *arg, const struct log_append_result *result)
{
	struct marker_part *p = arg;
	p->reply->error_code = marker_error(result->err);
	kafka__part_end(p->request);
}

/* The replies of one marker; those that can be written are put into parts. */
static bool marker_replies(struct kafka_request *r, const struct kafka_txn_marker *q, struct kafka_txn_marker_result *out,
			   struct marker_part *parts, uint32_t *count)
{
	out->producer_id = q->producer_id;
	out->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *out->topics);
	if (!out->topics)
		return false;
	out->topics_count = q->topics_count;
	for (int32_t i = 0; i < q->topics_count; i++) {
		const struct log_topic *topic = kafka__topic(r, r->topics, q->topics[i].name, NULL);
		struct kafka_txn_topic_result *t = &out->topics[i];
		t->name = q->topics[i].name;
		t->partitions = kafka__alloc(r, (size_t)q->topics[i].partitions_count, sizeof *t->partitions);
		if (!t->partitions)
			return false;
		t->partitions_count = q->topics[i].partitions_count;
		for (int32_t k = 0; k < t->partitions_count; k++) {
			int32_t number = q->topics[i].partitions[k];
			t->partitions[k] = (struct kafka_txn_partition_result){number, kafka__partition_error(topic, false, number)};
			if (!t->partitions[k].error_code && q->producer_epoch < 0)
				t->partitions[k].error_code = KAFKA_INVALID_PRODUCER_EPOCH;
			if (!t->partitions[k].error_code)
				parts[(*count)++] = (struct marker_part){r, &t->partitions[k], topic->name, q};
		}
	}
	return true;
}

void kafka__write_txn_markers(struct kafka_request *r)
{
	const struct kafka_write_txn_markers_request *q = r->body;
	struct kafka_write_txn_markers_response *reply = r->reply;
	struct sm_log *log = r->server->log;
	size_t most = 0;
	uint32_t count = 0;
	for (int32_t i = 0; i < q->markers_count; i++)
		for (int32_t k = 0; k < q->markers[i].topics_count; k++)
			most += (size_t)q->markers[i].topics[k].partitions_count;
	struct marker_part *parts = kafka__alloc(r, most, sizeof *parts);
	reply->markers = kafka__alloc(r, (size_t)q->markers_count, sizeof *reply->markers);
	bool ok = kafka__topics(r) && parts && reply->markers;
	for (int32_t i = 0; ok && i < q->markers_count; i++)
		ok = marker_replies(r, &q->markers[i], &reply->markers[i], parts, &count);
	if (!ok) {
		kafka__abort(r);
		return;
	}
	reply->markers_count = q->markers_count;
	r->step = kafka__finish;
	kafka__parts_begin(r, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct kafka_txn_marker *m = parts[i].marker;
		const struct log_txn_marker marker = {
			.producer_id = m->producer_id,
			.producer_epoch = m->producer_epoch,
			.coordinator_epoch = m->coordinator_epoch,
			.commit = m->transaction_result,
		};
		log->ops->txn_end(log, parts[i].topic, parts[i].reply->partition_index, &marker, marker_is_written, &parts[i]);
	}
	kafka__part_end(r);
}

/* ---- DescribeProducers ---- */

struct producers_part {
	struct kafka_request *request;
	struct kafka_described_producers *reply;
	const char *topic;
	enum sm_err err;
	struct log_producer *list; /* malloc'ed */
	uint32_t count;
};
struct producers_state {
	struct producers_part *parts;
	uint32_t count;
};

static void producers_done(struct kafka_request *r)
{
	struct producers_state *s = r->state;
	for (uint32_t i = 0; i < s->count; i++)
		free(s->parts[i].list);
}

static void producers_are_listed(void *arg, enum sm_err err, struct log_producer *list, uint32_t count)
{
	struct producers_part *p = arg;
	p->err = err;
	p->list = list;
	p->count = count;
	kafka__part_end(p->request);
}

static bool producers_fill(struct kafka_request *r, const struct producers_part *p)
{
	struct kafka_described_producers *out = p->reply;
	out->error_code = kafka__error_of(p->err);
	out->active_producers = kafka__alloc(r, p->count, sizeof *out->active_producers);
	if (!out->active_producers)
		return false;
	out->active_producers_count = (int32_t)p->count;
	for (uint32_t i = 0; i < p->count; i++)
		out->active_producers[i] = (struct kafka_producer_state){
			.producer_id = p->list[i].producer_id,
			.producer_epoch = p->list[i].epoch,
			.last_sequence = p->list[i].last_sequence,
			.last_timestamp = p->list[i].last_timestamp_ms,
			.coordinator_epoch = p->list[i].coordinator_epoch,
			.current_txn_start_offset = p->list[i].txn_first_offset,
		};
	return true;
}

static void producers_answer(struct kafka_request *r)
{
	struct producers_state *s = r->state;
	bool ok = true;
	for (uint32_t i = 0; ok && i < s->count; i++)
		ok = producers_fill(r, &s->parts[i]);
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}

static bool producers_topic(struct kafka_request *r, const struct kafka_txn_topic *q, struct kafka_described_producers_topic *out)
{
	struct producers_state *s = r->state;
	const struct log_topic *topic = kafka__topic(r, r->topics, q->name, NULL);
	const char *name = kafka__cstr(r, q->name);
	bool named = name && log_topic_name_ok(name);
	out->name = q->name;
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		struct kafka_described_producers *p = &out->partitions[i];
		kafka__defaults(&kafka_layout_described_producers, p);
		p->partition_index = q->partitions[i];
		p->error_code = named ? kafka__partition_error(topic, false, p->partition_index) : KAFKA_INVALID_TOPIC_EXCEPTION;
		if (p->error_code)
			p->error_message = kafka__text(named ? "This server does not host this topic-partition."
							     : "The topic's name is not valid.");
		else
			s->parts[s->count++] = (struct producers_part){.request = r, .reply = p, .topic = topic->name};
	}
	return true;
}

void kafka__describe_producers(struct kafka_request *r)
{
	const struct kafka_describe_producers_request *q = r->body;
	struct kafka_describe_producers_response *reply = r->reply;
	struct sm_log *log = r->server->log;
	struct producers_state *s = kafka__alloc(r, 1, sizeof *s);
	size_t most = 0;
	for (int32_t i = 0; i < q->topics_count; i++)
		most += (size_t)q->topics[i].partitions_count;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	bool ok = s && reply->topics && (s->parts = kafka__alloc(r, most, sizeof *s->parts));
	if (ok) {
		r->state = s;
		r->done = producers_done;
		ok = kafka__topics(r) != NULL;
	}
	for (int32_t i = 0; ok && i < q->topics_count; i++)
		ok = producers_topic(r, &q->topics[i], &reply->topics[i]);
	if (!ok) {
		kafka__abort(r);
		return;
	}
	reply->topics_count = q->topics_count;
	r->step = producers_answer;
	kafka__parts_begin(r, s->count);
	for (uint32_t i = 0; i < s->count; i++)
		log->ops->producers(log, s->parts[i].topic, s->parts[i].reply->partition_index, producers_are_listed, &s->parts[i]);
	kafka__part_end(r);
}

/* ---- the coordinator's own lists (txn_list.c) ---- */

static void ask_list(struct kafka_request *r, enum kafka_txn_op op, void (*step)(struct kafka_request *r))
{
	r->txn.op = op;
	r->step = step;
	kafka__txn_ask(r);
}

static void described(struct kafka_request *r)
{
	struct kafka_describe_transactions_response *reply = r->reply;
	for (int32_t i = 0; r->txn.error && i < reply->transaction_states_count; i++)
		reply->transaction_states[i].error_code = r->txn.error;
	kafka__finish(r);
}

void kafka__describe_transactions(struct kafka_request *r)
{
	const struct kafka_describe_transactions_request *q = r->body;
	struct kafka_describe_transactions_response *reply = r->reply;
	reply->transaction_states = kafka__alloc(r, (size_t)q->transactional_ids_count, sizeof *reply->transaction_states);
	if (!reply->transaction_states) {
		kafka__abort(r);
		return;
	}
	reply->transaction_states_count = q->transactional_ids_count;
	for (int32_t i = 0; i < q->transactional_ids_count; i++) {
		kafka__defaults(&kafka_layout_transaction_state, &reply->transaction_states[i]);
		reply->transaction_states[i].transactional_id = q->transactional_ids[i];
		if (!q->transactional_ids[i].size)
			reply->transaction_states[i].error_code = KAFKA_INVALID_REQUEST;
	}
	ask_list(r, TXN_DESCRIBE, described);
}

static void listed(struct kafka_request *r)
{
	struct kafka_list_transactions_response *reply = r->reply;
	if (r->txn.error)
		reply->error_code = r->txn.error;
	kafka__finish(r);
}

void kafka__list_transactions(struct kafka_request *r)
{
	ask_list(r, TXN_LIST, listed);
}
