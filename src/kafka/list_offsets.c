/* ListOffsets and OffsetForLeaderEpoch: where a partition begins, ends, and stood at a time. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

/* Kafka's special timestamps beyond enum log_offset_of. */
enum { EARLIEST_LOCAL = -4, LATEST_TIERED = -5 };

struct offsets_state {
	const struct log_topics *topics;
};

static void release_topics(struct kafka_request *r)
{
	struct offsets_state *s = r->state;
	if (s->topics)
		r->server->log->ops->topics_release(r->server->log, s->topics);
}

/* Take a picture of the topics into the request's state; false: the request was aborted. */
static bool take_topics(struct kafka_request *r)
{
	struct offsets_state *s = kafka__alloc(r, 1, sizeof *s);
	if (s) {
		r->state = s;
		r->done = release_topics;
		s->topics = r->server->log->ops->topics(r->server->log);
	}
	if (s && s->topics)
		return true;
	kafka__abort(r);
	return false;
}

static bool version_knows(int16_t version, int64_t timestamp)
{
	static const int16_t since[] = {
		[-LOG_LATEST] = 1, [-LOG_EARLIEST] = 1, [-LOG_MAX_TIMESTAMP] = 7, [-EARLIEST_LOCAL] = 8, [-LATEST_TIERED] = 9};
	return timestamp >= 0 || (timestamp >= LATEST_TIERED && version >= since[-timestamp]);
}

static void list_partition(struct kafka_request *r, const struct log_topic *topic, const struct kafka_list_offsets_partition *q,
			   struct kafka_list_offsets_partition_response *out)
{
	struct sm_log *log = r->server->log;
	kafka__defaults(&kafka_layout_list_offsets_partition_response, out);
	out->partition_index = q->partition_index;
	out->error_code = kafka__partition_error(topic, false, q->partition_index);
	if (!out->error_code && q->current_leader_epoch > 0)
		out->error_code = KAFKA_UNKNOWN_LEADER_EPOCH;
	if (!out->error_code && !version_knows(r->version.version, q->timestamp))
		out->error_code = KAFKA_UNSUPPORTED_VERSION;
	if (out->error_code || q->timestamp == LATEST_TIERED) /* nothing is tiered: no offset */
		return;
	/* All that there is, is local. */
	bool committed = ((const struct kafka_list_offsets_request *)r->body)->isolation_level == 1;
	int64_t what = q->timestamp == EARLIEST_LOCAL ? LOG_EARLIEST : q->timestamp;
	int64_t offset, timestamp, stable = INT64_MAX;
	enum sm_err err = log->ops->offset_for(log, topic->name, q->partition_index,
					       what == LOG_LATEST && !committed ? LOG_HIGH_WATERMARK : what, &offset, &timestamp);
	if (!err && committed && what != LOG_EARLIEST && what != LOG_LATEST)
		err = log->ops->offset_for(log, topic->name, q->partition_index, LOG_LATEST, &stable, NULL);
	out->error_code = kafka__error_of(err);
	if (err || offset < 0 || offset >= stable)
		return;
	out->offset = offset;
	out->timestamp = what == LOG_EARLIEST || what == LOG_LATEST ? -1 : timestamp;
	out->leader_epoch = 0;
}

static void list_all(struct kafka_request *r)
{
	const struct kafka_list_offsets_request *q = r->body;
	struct kafka_list_offsets_response *reply = r->reply;
	const struct log_topics *topics = ((struct offsets_state *)r->state)->topics;
	for (int32_t i = 0; i < q->topics_count; i++) {
		const struct log_topic *topic = kafka__topic(r, topics, q->topics[i].name, NULL);
		for (int32_t k = 0; k < q->topics[i].partitions_count; k++)
			list_partition(r, topic, &q->topics[i].partitions[k], &reply->topics[i].partitions[k]);
	}
}

void kafka__list_offsets(struct kafka_request *r)
{
	const struct kafka_list_offsets_request *q = r->body;
	struct kafka_list_offsets_response *reply = r->reply;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	bool ok = reply->topics != NULL;
	for (int32_t i = 0; ok && i < q->topics_count; i++) {
		size_t count = (size_t)q->topics[i].partitions_count;
		reply->topics[i].name = q->topics[i].name;
		reply->topics[i].partitions = kafka__alloc(r, count, sizeof *reply->topics[i].partitions);
		reply->topics[i].partitions_count = (int32_t)count;
		ok = reply->topics[i].partitions != NULL;
	}
	if (!ok) {
		kafka__abort(r);
		return;
	}
	reply->topics_count = q->topics_count;
	if (!take_topics(r))
		return;
	r->step = kafka__finish;
	kafka__pool(r, list_all);
}

/* ---- OffsetForLeaderEpoch: there was one leader, in epoch 0, and it ends where the log ends ---- */

static void end_of_epoch(struct kafka_request *r, const struct log_topic *topic, const struct kafka_offset_for_leader_partition *q,
			 struct kafka_offset_for_leader_partition_response *out)
{
	struct sm_log *log = r->server->log;
	kafka__defaults(&kafka_layout_offset_for_leader_partition_response, out);
	out->partition = q->partition;
	out->error_code = kafka__partition_error(topic, false, q->partition);
	if (!out->error_code && (q->current_leader_epoch > 0))
		out->error_code = KAFKA_UNKNOWN_LEADER_EPOCH;
	if (out->error_code || q->leader_epoch != 0)
		return;
	int64_t offset, timestamp;
	enum sm_err err = log->ops->offset_for(log, topic->name, q->partition, LOG_HIGH_WATERMARK, &offset, &timestamp);
	out->error_code = kafka__error_of(err);
	if (err)
		return;
	out->leader_epoch = 0;
	out->end_offset = offset;
}

static void ends_of_epochs(struct kafka_request *r)
{
	const struct kafka_offset_for_leader_epoch_request *q = r->body;
	struct kafka_offset_for_leader_epoch_response *reply = r->reply;
	const struct log_topics *topics = ((struct offsets_state *)r->state)->topics;
	for (int32_t i = 0; i < q->topics_count; i++) {
		const struct log_topic *topic = kafka__topic(r, topics, q->topics[i].topic, NULL);
		for (int32_t k = 0; k < q->topics[i].partitions_count; k++)
			end_of_epoch(r, topic, &q->topics[i].partitions[k], &reply->topics[i].partitions[k]);
	}
}

void kafka__offset_for_leader_epoch(struct kafka_request *r)
{
	const struct kafka_offset_for_leader_epoch_request *q = r->body;
	struct kafka_offset_for_leader_epoch_response *reply = r->reply;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	bool ok = reply->topics != NULL;
	for (int32_t i = 0; ok && i < q->topics_count; i++) {
		size_t count = (size_t)q->topics[i].partitions_count;
		reply->topics[i].topic = q->topics[i].topic;
		reply->topics[i].partitions = kafka__alloc(r, count, sizeof *reply->topics[i].partitions);
		reply->topics[i].partitions_count = (int32_t)count;
		ok = reply->topics[i].partitions != NULL;
	}
	if (!ok) {
		kafka__abort(r);
		return;
	}
	reply->topics_count = q->topics_count;
	if (!take_topics(r))
		return;
	r->step = kafka__finish;
	kafka__pool(r, ends_of_epochs);
}
