/* ListOffsets and OffsetForLeaderEpoch: where a partition begins, ends, and stood at a time. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

/* Kafka's special timestamps beyond enum log_offset_of. */
enum { EARLIEST_LOCAL = -4, LATEST_TIERED = -5 };

/* The two requests ask for partitions by topic, and are answered on the pool. */
struct asked_topic {
	struct bytes name;
	int32_t partitions;
};
struct question {
	/* Make room in the reply: for the topics, of which it gives the number (-1: no memory), and for one topic's partitions. */
	int32_t (*topics)(struct kafka_request *r);
	bool (*topic)(struct kafka_request *r, int32_t i, struct asked_topic *ret_topic);
	/* topic: NULL if there is none. */
	void (*answer)(struct kafka_request *r, const struct log_topic *topic, int32_t i, int32_t partition);
};
struct offsets_state {
	const struct question *question;
	struct asked_topic *asked;
	int32_t count;
};

static void answer_all(struct kafka_request *r)
{
	const struct offsets_state *s = r->state;
	for (int32_t i = 0; i < s->count; i++) {
		const struct log_topic *topic = kafka__topic(r, r->topics, s->asked[i].name, NULL);
		for (int32_t k = 0; k < s->asked[i].partitions; k++)
			s->question->answer(r, topic, i, k);
	}
}

static bool prepare(struct kafka_request *r, const struct question *question)
{
	struct offsets_state *s = kafka__alloc(r, 1, sizeof *s);
	if (!s)
		return false;
	r->state = s;
	s->question = question;
	s->count = question->topics(r);
	if (!kafka__topics(r) || s->count < 0 || !(s->asked = kafka__alloc(r, (size_t)s->count, sizeof *s->asked)))
		return false;
	for (int32_t i = 0; i < s->count; i++)
		if (!question->topic(r, i, &s->asked[i]))
			return false;
	return true;
}

static void ask(struct kafka_request *r, const struct question *question)
{
	if (!prepare(r, question)) {
		kafka__abort(r);
		return;
	}
	r->step = kafka__finish;
	kafka__pool(r, answer_all);
}

/* ---- ListOffsets ---- */

static bool version_knows(int16_t version, int64_t timestamp)
{
	static const int16_t since[] = {
		[-LOG_LATEST] = 1, [-LOG_EARLIEST] = 1, [-LOG_MAX_TIMESTAMP] = 7, [-EARLIEST_LOCAL] = 8, [-LATEST_TIERED] = 9};
	return timestamp >= 0 || (timestamp >= LATEST_TIERED && version >= since[-timestamp]);
}

static int32_t list_topics(struct kafka_request *r)
{
	const struct kafka_list_offsets_request *q = r->body;
	struct kafka_list_offsets_response *reply = r->reply;
	if (!(reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics)))
		return -1;
	return reply->topics_count = q->topics_count;
}

static bool list_topic(struct kafka_request *r, int32_t i, struct asked_topic *ret_topic)
{
	const struct kafka_list_offsets_topic *q = &((const struct kafka_list_offsets_request *)r->body)->topics[i];
	struct kafka_list_offsets_topic_response *out = &((struct kafka_list_offsets_response *)r->reply)->topics[i];
	*ret_topic = (struct asked_topic){q->name, q->partitions_count};
	out->name = q->name;
	out->partitions_count = q->partitions_count;
	return (out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions)) != NULL;
}

static void list_partition(struct kafka_request *r, const struct log_topic *topic, int32_t i, int32_t k)
{
	const struct kafka_list_offsets_partition *q = &((const struct kafka_list_offsets_request *)r->body)->topics[i].partitions[k];
	struct kafka_list_offsets_partition_response *out = &((struct kafka_list_offsets_response *)r->reply)->topics[i].partitions[k];
	struct sm_log *log = r->server->log;
	kafka__defaults(&kafka_layout_list_offsets_partition_response, out);
	out->partition_index = q->partition_index;
	out->error_code = version_knows(r->version.version, q->timestamp) ? kafka__partition_error(topic, false, q->partition_index)
									  : KAFKA_UNSUPPORTED_VERSION;
	if (!out->error_code && q->current_leader_epoch > 0)
		out->error_code = KAFKA_UNKNOWN_LEADER_EPOCH;
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

void kafka__list_offsets(struct kafka_request *r)
{
	static const struct question question = {list_topics, list_topic, list_partition};
	ask(r, &question);
}

/* ---- OffsetForLeaderEpoch: there was one leader, in epoch 0, and it ends where the log ends ---- */

static int32_t epoch_topics(struct kafka_request *r)
{
	const struct kafka_offset_for_leader_epoch_request *q = r->body;
	struct kafka_offset_for_leader_epoch_response *reply = r->reply;
	if (!(reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics)))
		return -1;
	return reply->topics_count = q->topics_count;
}

static bool epoch_topic(struct kafka_request *r, int32_t i, struct asked_topic *ret_topic)
{
	const struct kafka_offset_for_leader_topic *q = &((const struct kafka_offset_for_leader_epoch_request *)r->body)->topics[i];
	struct kafka_offset_for_leader_topic_response *out = &((struct kafka_offset_for_leader_epoch_response *)r->reply)->topics[i];
	*ret_topic = (struct asked_topic){q->topic, q->partitions_count};
	out->topic = q->topic;
	out->partitions_count = q->partitions_count;
	return (out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions)) != NULL;
}

static void end_of_epoch(struct kafka_request *r, const struct log_topic *topic, int32_t i, int32_t k)
{
	const struct kafka_offset_for_leader_partition *q =
		&((const struct kafka_offset_for_leader_epoch_request *)r->body)->topics[i].partitions[k];
	struct kafka_offset_for_leader_partition_response *out =
		&((struct kafka_offset_for_leader_epoch_response *)r->reply)->topics[i].partitions[k];
	struct sm_log *log = r->server->log;
	kafka__defaults(&kafka_layout_offset_for_leader_partition_response, out);
	out->partition = q->partition;
	out->error_code = kafka__partition_error(topic, false, q->partition);
	if (!out->error_code && (q->current_leader_epoch > 0))
		out->error_code = KAFKA_UNKNOWN_LEADER_EPOCH;
	if (!out->error_code && q->leader_epoch < -1) { /* before all epochs: ends where the first one begins */
		out->leader_epoch = q->leader_epoch;
		out->end_offset = 0;
	}
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

void kafka__offset_for_leader_epoch(struct kafka_request *r)
{
	static const struct question question = {epoch_topics, epoch_topic, end_of_epoch};
	ask(r, &question);
}
