/* Requests of transactional producers on their way to the coordinator (txn.c), and back into each version's own words. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

int16_t kafka__txn_error(const struct kafka_request *r, int16_t since)
{
	int16_t error = r->txn.error;
	return error == KAFKA_PRODUCER_FENCED && r->version.version < since ? KAFKA_INVALID_PRODUCER_EPOCH : error;
}

/* The id as the coordinator takes it; false: there can be none of that name. */
static bool set_id(struct kafka_request *r, struct bytes id)
{
	r->txn.id = id.size && id.size <= INT16_MAX ? kafka__cstr(r, id) : NULL;
	return r->txn.id != NULL;
}

/* ---- InitProducerId ---- */

static void init_answer(struct kafka_request *r)
{
	struct kafka_init_producer_id_response *reply = r->reply;
	reply->error_code = kafka__txn_error(r, 4);
	reply->producer_id = reply->error_code ? -1 : r->txn.producer_id;
	reply->producer_epoch = reply->error_code ? -1 : r->txn.epoch;
	kafka__finish(r);
}

static void id_is_given(void *arg, enum sm_err err, int64_t producer_id, int16_t epoch)
{
	struct kafka_request *r = arg;
	r->txn.error = kafka__error_of(err);
	r->txn.producer_id = producer_id;
	r->txn.epoch = epoch;
	kafka__resume(r);
}

void kafka__init_producer_id(struct kafka_request *r)
{
	const struct kafka_init_producer_id_request *q = r->body;
	r->step = init_answer;
	if (!q->transactional_id.data) {
		r->server->log->ops->producer_id(r->server->log, id_is_given, kafka__request_ref(r));
		return;
	}
	r->txn.op = TXN_INIT;
	r->txn.timeout_ms = q->transaction_timeout_ms;
	r->txn.producer_id = q->producer_id;
	r->txn.epoch = q->producer_epoch;
	/* An id without an epoch, or an epoch without an id, is nobody's. */
	if (!set_id(r, q->transactional_id) || (q->producer_id < 0) != (q->producer_epoch < 0)) {
		r->txn.error = KAFKA_INVALID_REQUEST;
		init_answer(r);
	} else {
		kafka__txn_ask(r);
	}
}

/* ---- AddPartitionsToTxn: since version 4 for several transactions ---- */

struct add_state {
	int32_t at;
};

/* A result for each partition; those that are not there have theirs already. */
static bool add_results(struct kafka_request *r, const struct kafka_txn_topic *q, int32_t count, struct kafka_txn_topic_result **ret)
{
	struct kafka_txn_topic_result *out = kafka__alloc(r, (size_t)count, sizeof *out);
	uint32_t total = 0;
	bool ok = out != NULL;
	for (int32_t i = 0; ok && i < count; i++) {
		const struct log_topic *topic = kafka__topic(r, r->topics, q[i].name, NULL);
		out[i].name = q[i].name;
		out[i].partitions_count = q[i].partitions_count;
		out[i].partitions = kafka__alloc(r, (size_t)q[i].partitions_count, sizeof *out[i].partitions);
		ok = out[i].partitions != NULL;
		for (int32_t k = 0; ok && k < q[i].partitions_count; k++)
			out[i].partitions[k] = (struct kafka_txn_partition_result){
				q[i].partitions[k], kafka__partition_error(topic, false, q[i].partitions[k])};
		total += (uint32_t)q[i].partitions_count;
	}
	r->txn.parts = kafka__alloc(r, total, sizeof *r->txn.parts);
	r->txn.part_count = 0;
	*ret = out;
	return ok && r->txn.parts;
}

/* All or none: one that is not there, and the others are not attempted. */
static bool add_parts(struct kafka_request *r, struct kafka_txn_topic_result *results, int32_t count)
{
	bool all = true;
	for (int32_t i = 0; i < count; i++) {
		const struct log_topic *topic = kafka__topic(r, r->topics, results[i].name, NULL);
		for (int32_t k = 0; k < results[i].partitions_count; k++) {
			const struct kafka_txn_partition_result *p = &results[i].partitions[k];
			all = all && !p->error_code;
			if (!p->error_code)
				r->txn.parts[r->txn.part_count++] = (struct kafka_txn_part){topic->name, p->partition_index};
		}
	}
	return all;
}

static void add_set_errors(struct kafka_txn_topic_result *results, int32_t count, int16_t error)
{
	for (int32_t i = 0; i < count; i++)
		for (int32_t k = 0; k < results[i].partitions_count; k++)
			if (!results[i].partitions[k].error_code)
				results[i].partitions[k].error_code = error;
}

static void add_next(struct kafka_request *r);

static void add_answered(struct kafka_request *r)
{
	struct add_state *s = r->state;
	struct kafka_add_partitions_to_txn_response *reply = r->reply;
	if (r->version.version < 4) {
		add_set_errors(reply->topics, reply->topics_count, kafka__txn_error(r, 2));
		kafka__finish(r);
		return;
	}
	struct kafka_add_partitions_result *out = &reply->transactions[s->at++];
	/* Not in the transaction: the client is to abort it. */
	int16_t error = r->txn.error;
	if (r->txn.verify && error == KAFKA_INVALID_TXN_STATE)
		error = KAFKA_TRANSACTION_ABORTABLE;
	add_set_errors(out->topics, out->topics_count, error);
	add_next(r);
}

/* Ask for the partitions that `results` names. */
static void add_ask(struct kafka_request *r, struct bytes id, struct kafka_txn_topic_result *results, int32_t count)
{
	r->txn.op = TXN_ADD;
	if (!add_parts(r, results, count))
		r->txn.error = KAFKA_OPERATION_NOT_ATTEMPTED;
	else if (!set_id(r, id))
		r->txn.error = KAFKA_INVALID_REQUEST;
	else {
		kafka__txn_ask(r);
		return;
	}
	add_answered(r);
}

static void add_next(struct kafka_request *r)
{
	struct add_state *s = r->state;
	const struct kafka_add_partitions_to_txn_request *q = r->body;
	struct kafka_add_partitions_to_txn_response *reply = r->reply;
	if (s->at == q->transactions_count) {
		kafka__finish(r);
		return;
	}
	const struct kafka_add_partitions_transaction *t = &q->transactions[s->at];
	struct kafka_add_partitions_result *out = &reply->transactions[s->at];
	out->transactional_id = t->transactional_id;
	if (!add_results(r, t->topics, t->topics_count, &out->topics)) {
		kafka__abort(r);
		return;
	}
	out->topics_count = t->topics_count;
	reply->transactions_count = s->at + 1;
	r->txn.producer_id = t->producer_id;
	r->txn.epoch = t->producer_epoch;
	r->txn.verify = t->verify_only;
	r->txn.client_version = r->version.version >= 5 ? 2 : 1;
	add_ask(r, t->transactional_id, out->topics, out->topics_count);
}

void kafka__add_partitions_to_txn(struct kafka_request *r)
{
	const struct kafka_add_partitions_to_txn_request *q = r->body;
	struct kafka_add_partitions_to_txn_response *reply = r->reply;
	r->state = kafka__alloc(r, 1, sizeof(struct add_state));
	r->step = add_answered;
	bool ok = r->state && kafka__topics(r);
	if (ok && r->version.version >= 4)
		ok = (reply->transactions = kafka__alloc(r, (size_t)q->transactions_count, sizeof *reply->transactions)) != NULL;
	else if (ok)
		ok = add_results(r, q->topics, q->topics_count, &reply->topics);
	if (!ok) {
		kafka__abort(r);
		return;
	}
	if (r->version.version >= 4) {
		add_next(r);
		return;
	}
	reply->topics_count = q->topics_count;
	r->txn.producer_id = q->producer_id;
	r->txn.epoch = q->producer_epoch;
	r->txn.client_version = 1;
	add_ask(r, q->transactional_id, reply->topics, reply->topics_count);
}

/* ---- AddOffsetsToTxn: the group's partition of __consumer_offsets ---- */

static void add_offsets_answer(struct kafka_request *r)
{
	((struct kafka_add_offsets_to_txn_response *)r->reply)->error_code = kafka__txn_error(r, 2);
	kafka__finish(r);
}

void kafka__add_offsets_to_txn(struct kafka_request *r)
{
	const struct kafka_add_offsets_to_txn_request *q = r->body;
	struct kafka_txn_part *part = kafka__alloc(r, 1, sizeof *part);
	const char *group = kafka__cstr(r, q->group_id); /* "" too, as to Kafka: the commit refuses it */
	r->step = add_offsets_answer;
	r->txn.op = TXN_ADD;
	r->txn.producer_id = q->producer_id;
	r->txn.epoch = q->producer_epoch;
	r->txn.client_version = 1;
	r->txn.parts = part;
	r->txn.part_count = 1;
	if (!part) {
		kafka__abort(r);
	} else if (!set_id(r, q->transactional_id)) {
		r->txn.error = KAFKA_INVALID_REQUEST;
		add_offsets_answer(r);
	} else if (!group) {
		r->txn.error = KAFKA_INVALID_GROUP_ID;
		add_offsets_answer(r);
	} else {
		*part = (struct kafka_txn_part){"__consumer_offsets", r->server->log->ops->offsets_partition(r->server->log, group)};
		kafka__txn_ask(r);
	}
}

/* ---- EndTxn ---- */

static void end_answer(struct kafka_request *r)
{
	struct kafka_end_txn_response *reply = r->reply;
	reply->error_code = kafka__txn_error(r, 2);
	if (!reply->error_code) {
		reply->producer_id = r->txn.producer_id;
		reply->producer_epoch = r->txn.epoch;
	}
	kafka__finish(r);
}

void kafka__end_txn(struct kafka_request *r)
{
	const struct kafka_end_txn_request *q = r->body;
	r->step = end_answer;
	r->txn.op = TXN_END;
	r->txn.producer_id = q->producer_id;
	r->txn.epoch = q->producer_epoch;
	r->txn.commit = q->committed;
	r->txn.client_version = r->version.version >= 5 ? 2 : 1;
	if (set_id(r, q->transactional_id)) {
		kafka__txn_ask(r);
		return;
	}
	r->txn.error = KAFKA_INVALID_REQUEST;
	end_answer(r);
}

/* ---- TxnOffsetCommit: the transaction's coordinator, then the group's, then the log ---- */

static bool commit_topic(struct kafka_request *r, const struct kafka_txn_offset_commit_topic *q, struct kafka_txn_topic_result *out)
{
	const struct log_topic *topic = kafka__topic(r, r->topics, q->name, NULL);
	out->name = q->name;
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = q->partitions_count;
	for (int32_t i = 0; i < q->partitions_count; i++) {
		const struct kafka_txn_offset_commit_partition *p = &q->partitions[i];
		out->partitions[i].partition_index = p->partition_index;
		kafka__commit_add(r, topic,
				  (struct log_group_offset){.partition = p->partition_index,
							    .offset = p->committed_offset,
							    .leader_epoch = p->committed_leader_epoch},
				  p->committed_metadata, &out->partitions[i].error_code);
	}
	return true;
}

static bool commit_prepare(struct kafka_request *r)
{
	const struct kafka_txn_offset_commit_request *q = r->body;
	struct kafka_txn_offset_commit_response *reply = r->reply;
	size_t count = 0;
	for (int32_t i = 0; i < q->topics_count; i++)
		count += (size_t)q->topics[i].partitions_count;
	struct kafka_commit *c = kafka__commit_new(r, count);
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	r->txn.parts = kafka__alloc(r, 1, sizeof *r->txn.parts);
	if (!c || !reply->topics || !r->txn.parts)
		return false;
	c->group = q->group_id.size ? kafka__cstr(r, q->group_id) : NULL;
	reply->topics_count = q->topics_count;
	for (int32_t i = 0; i < q->topics_count; i++)
		if (!commit_topic(r, &q->topics[i], &reply->topics[i]))
			return false;
	return true;
}

static void commit_is_allowed(struct kafka_request *r)
{
	const struct kafka_txn_offset_commit_request *q = r->body;
	int16_t error = r->txn.error == KAFKA_PRODUCER_FENCED ? KAFKA_INVALID_PRODUCER_EPOCH : r->txn.error;
	if (error == KAFKA_INVALID_TXN_STATE && r->version.version >= 4)
		error = KAFKA_TRANSACTION_ABORTABLE;
	if (!error && !(error = kafka__commit_send(r, q->group_id, q->generation_id)))
		return;
	kafka__offsets_refuse(r, error);
	kafka__finish(r);
}

void kafka__txn_offset_commit(struct kafka_request *r)
{
	const struct kafka_txn_offset_commit_request *q = r->body;
	if (!commit_prepare(r)) {
		kafka__abort(r);
		return;
	}
	struct kafka_commit *c = r->state;
	if (!c->count) { /* nothing of it can be committed: it begins no transaction */
		kafka__finish(r);
		return;
	}
	r->step = commit_is_allowed;
	r->txn.op = TXN_ADD;
	r->txn.producer_id = q->producer_id;
	r->txn.epoch = q->producer_epoch;
	r->txn.lease = true;
	r->txn.verify = r->version.version < 5; /* before, AddOffsetsToTxn has come */
	r->txn.client_version = 2;
	if (!c->group)
		r->txn.error = KAFKA_INVALID_GROUP_ID;
	else if (!set_id(r, q->transactional_id))
		r->txn.error = KAFKA_INVALID_REQUEST;
	if (r->txn.error) {
		kafka__offsets_refuse(r, r->txn.error);
		kafka__finish(r);
		return;
	}
	r->txn.parts[0] = (struct kafka_txn_part){"__consumer_offsets", r->server->log->ops->offsets_partition(r->server->log, c->group)};
	r->txn.part_count = 1;
	kafka__txn_ask(r);
}
