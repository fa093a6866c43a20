/* DeleteRecords: a partition begins later from now on. */
#include "kafka/kafka_internal.h"

struct deletion {
	struct kafka_request *request;
	struct kafka_deleted_records_partition *reply;
	const char *topic; /* NULL: refused already */
	int64_t offset;
};

static void deleted(void *arg, enum sm_err err, int64_t log_start_offset)
{
	struct deletion *d = arg;
	struct kafka_request *r = d->request;
	d->reply->error_code = kafka__error_of(err);
	d->reply->low_watermark = err ? -1 : log_start_offset;
	kafka__part_end(r);
}

static bool prepare_topic(struct kafka_request *r, const struct kafka_delete_records_topic *q, struct kafka_deleted_records_topic *out,
			  struct deletion *all, uint32_t *count)
{
	const struct log_topic *topic = kafka__topic(r, r->topics, q->name, NULL);
	out->name = q->name;
	out->partitions = kafka__alloc(r, (size_t)q->partitions_count, sizeof *out->partitions);
	out->partitions_count = out->partitions ? q->partitions_count : 0;
	for (int32_t i = 0; i < out->partitions_count; i++) {
		struct deletion *d = &all[(*count)++];
		*d = (struct deletion){.request = r, .reply = &out->partitions[i], .offset = q->partitions[i].offset};
		kafka__defaults(&kafka_layout_deleted_records_partition, d->reply);
		d->reply->partition_index = q->partitions[i].partition_index;
		d->reply->error_code = kafka__partition_error(topic, false, q->partitions[i].partition_index);
		if (kafka__topic_internal(q->name))
			d->reply->error_code = KAFKA_INVALID_TOPIC_EXCEPTION; /* the offsets of groups, the states of transactions */
		if (!d->reply->error_code && d->offset < -1)
			d->reply->error_code = KAFKA_OFFSET_OUT_OF_RANGE;
		if (!d->reply->error_code)
			d->topic = topic->name;
	}
	return out->partitions != NULL;
}

void kafka__delete_records(struct kafka_request *r)
{
	const struct kafka_delete_records_request *q = r->body;
	struct kafka_delete_records_response *reply = r->reply;
	struct sm_log *log = r->server->log;
	size_t total = 0;
	for (int32_t i = 0; i < q->topics_count; i++)
		total += (size_t)q->topics[i].partitions_count;
	struct deletion *all = kafka__alloc(r, total, sizeof *all);
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	bool ok = all && reply->topics && kafka__topics(r);
	uint32_t count = 0, open = 0;
	for (int32_t i = 0; ok && i < q->topics_count; i++)
		ok = prepare_topic(r, &q->topics[i], &reply->topics[i], all, &count);
	if (!ok) {
		kafka__abort(r);
		return;
	}
	reply->topics_count = q->topics_count;
	for (uint32_t i = 0; i < count; i++)
		open += all[i].topic != NULL;
	r->step = kafka__finish;
	kafka__parts_begin(r, open);
	for (uint32_t i = 0; i < count; i++)
		if (all[i].topic)
			log->ops->records_delete(log, all[i].topic, all[i].reply->partition_index, all[i].offset, deleted, &all[i]);
	kafka__part_end(r);
}
