/* What administrators ask about topics: DescribeTopicPartitions, DescribeLogDirs, ListPartitionReassignments, ListConfigResources. */
#include "kafka/kafka_internal.h"
#include <stdlib.h>

/* NULL: the request was aborted. */
static const struct log_topics *take_topics(struct kafka_request *r)
{
	if (!kafka__topics(r))
		kafka__abort(r);
	return r->topics;
}

/* ---- DescribeTopicPartitions: page by page, topics in the order of their names ---- */

struct pages {
	struct kafka_describe_topic_partitions_response *reply;
	int32_t left; /* partitions that still fit */
	const char *from_topic;
	int32_t from_partition;
};

static bool put_partitions(struct kafka_request *r, const struct log_topic *t, int32_t from, int32_t count,
			   struct kafka_described_topic_partitions *out)
{
	int32_t *here = kafka__alloc(r, 1, sizeof *here);
	out->partitions = kafka__alloc(r, (size_t)count, sizeof *out->partitions);
	if (!here || !out->partitions)
		return false;
	*here = r->server->node_id;
	out->partitions_count = count;
	for (int32_t i = 0; i < count; i++)
		out->partitions[i] = (struct kafka_described_topic_partition){.partition_index = from + i,
									      .leader_id = *here,
									      .replica_nodes = here,
									      .replica_nodes_count = 1,
									      .isr_nodes = here,
									      .isr_nodes_count = 1};
	return true;
}

static bool put_topic(struct kafka_request *r, struct pages *p, const struct log_topic *t)
{
	bool resumed = p->from_topic && strcmp(t->name, p->from_topic) == 0;
	int32_t from = resumed ? p->from_partition : 0, count = t->partitions > from ? t->partitions - from : 0;
	struct kafka_described_topic_partitions *out = &p->reply->topics[p->reply->topics_count++];
	kafka__defaults(&kafka_layout_described_topic_partitions, out);
	out->name = bytes_str(t->name);
	out->topic_id = t->id;
	out->is_internal = t->internal;
	out->topic_authorized_operations = KAFKA_OPERATIONS_TOPIC;
	if (count > p->left) {
		count = p->left;
		struct kafka_topic_cursor *cursor = kafka__alloc(r, 1, sizeof *cursor);
		if (!cursor)
			return false;
		*cursor = (struct kafka_topic_cursor){bytes_str(t->name), from + count};
		p->reply->next_cursor = cursor;
	}
	p->left -= count;
	return put_partitions(r, t, from, count, out);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names that were asked for, or all; in order. NULL: no memory. */
static const char **names_in_order(struct kafka_request *r, const struct log_topics *topics, uint32_t *ret_count)
{
	const struct kafka_describe_topic_partitions_request *q = r->body;
	uint32_t count = q->topics_count ? (uint32_t)q->topics_count : topics->count;
	const char **names = kafka__alloc(r, count, sizeof *names);
	*ret_count = 0;
	for (uint32_t i = 0; names && i < count; i++) {
		const char *name = q->topics_count ? kafka__cstr(r, q->topics[i].name) : topics->items[i].name;
		names[(*ret_count)++] = name ? name : "";
	}
	if (names)
		qsort(names, *ret_count, sizeof *names, by_text);
	return names;
}

static bool cursor_ok(const struct kafka_describe_topic_partitions_request *q)
{
	bool named = q->topics_count == 0;
	for (int32_t i = 0; i < q->topics_count && !named; i++)
		named = bytes_equal(q->topics[i].name, q->cursor->topic_name);
	return named && q->cursor->partition_index >= 0;
}

/* A cursor that points nowhere: every topic that was asked for has the error. */
static void refuse_pages(struct kafka_request *r)
{
	const struct kafka_describe_topic_partitions_request *q = r->body;
	struct kafka_describe_topic_partitions_response *reply = r->reply;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	if (!reply->topics) {
		kafka__abort(r);
		return;
	}
	reply->topics_count = q->topics_count;
	for (int32_t i = 0; i < q->topics_count; i++) {
		kafka__defaults(&kafka_layout_described_topic_partitions, &reply->topics[i]);
		reply->topics[i].name = q->topics[i].name;
		reply->topics[i].error_code = KAFKA_INVALID_REQUEST;
	}
	kafka__finish(r);
}

void kafka__describe_topic_partitions(struct kafka_request *r)
{
	const struct kafka_describe_topic_partitions_request *q = r->body;
	struct pages p = {.reply = r->reply, .left = q->response_partition_limit};
	const struct log_topics *topics = take_topics(r);
	uint32_t count;
	if (!topics)
		return;
	if (p.left < 1)
		p.left = 1;
	if (p.left > 2000)
		p.left = 2000; /* Kafka's max.request.partition.size.limit */
	if (q->cursor && !cursor_ok(q)) {
		refuse_pages(r);
		return;
	}
	if (q->cursor) {
		p.from_topic = kafka__cstr(r, q->cursor->topic_name);
		p.from_partition = q->cursor->partition_index;
	}
	const char **names = names_in_order(r, topics, &count);
	p.reply->topics = names ? kafka__alloc(r, count, sizeof *p.reply->topics) : NULL;
	bool ok = p.reply->topics != NULL;
	for (uint32_t i = 0; ok && i < count && !p.reply->next_cursor; i++) {
		if ((p.from_topic && strcmp(names[i], p.from_topic) < 0) || (i && strcmp(names[i], names[i - 1]) == 0))
			continue;
		const struct log_topic *t = log_topics_find(topics, names[i]);
		if (t && p.left == 0) {
			struct kafka_topic_cursor *cursor = kafka__alloc(r, 1, sizeof *cursor);
			if ((ok = cursor != NULL))
				*cursor = (struct kafka_topic_cursor){bytes_str(names[i]), 0};
			p.reply->next_cursor = cursor;
		} else if (t) {
			ok = put_topic(r, &p, t);
		} else {
			struct kafka_described_topic_partitions *out = &p.reply->topics[p.reply->topics_count++];
			kafka__defaults(&kafka_layout_described_topic_partitions, out);
			out->name = bytes_str(names[i]);
			out->topic_authorized_operations = KAFKA_OPERATIONS_TOPIC;
			out->error_code = log_topic_name_ok(names[i]) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
		}
	}
	if (ok)
		kafka__finish(r);
	else
		kafka__abort(r);
}

/* ---- DescribeLogDirs ---- */

static bool asked(const struct kafka_describe_log_dirs_request *q, const char *topic, int32_t partition)
{
	for (int32_t i = 0; i < q->topics_count; i++) {
		if (!bytes_equal(q->topics[i].topic, bytes_str(topic)))
			continue;
		for (int32_t k = 0; k < q->topics[i].partitions_count; k++)
			if (q->topics[i].partitions[k] == partition)
				return true;
	}
	return q->topics_count < 0; /* null: all */
}

static bool put_sizes(struct kafka_request *r, const struct log_topic *t, struct kafka_log_dir_topic *out)
{
	struct sm_log *log = r->server->log;
	*out = (struct kafka_log_dir_topic){.name = bytes_str(t->name)};
	out->partitions = kafka__alloc(r, (size_t)t->partitions, sizeof *out->partitions);
	for (int32_t i = 0; out->partitions && i < t->partitions; i++) {
		uint64_t bytes = 0;
		if (!asked(r->body, t->name, i) || log->ops->partition_bytes(log, t->name, i, &bytes))
			continue;
		out->partitions[out->partitions_count++] = (struct kafka_log_dir_partition){.partition_index = i,
											    .partition_size = (int64_t)bytes};
	}
	return out->partitions != NULL;
}

static void measure(struct kafka_request *r)
{
	struct kafka_describe_log_dirs_response *reply = r->reply;
	const struct log_topics *topics = r->topics;
	struct kafka_log_dir *dir = kafka__alloc(r, 1, sizeof *dir);
	struct kafka_log_dir_topic *list = kafka__alloc(r, topics->count, sizeof *list);
	if (!dir || !list)
		return; /* an answer without a directory: out of memory */
	kafka__defaults(&kafka_layout_log_dir, dir);
	dir->log_dir = bytes_str(KAFKA_LOG_DIR);
	dir->topics = list;
	for (uint32_t i = 0; i < topics->count; i++)
		if (put_sizes(r, &topics->items[i], &list[dir->topics_count]) && list[dir->topics_count].partitions_count)
			dir->topics_count++;
	reply->results = dir;
	reply->results_count = 1;
}

void kafka__describe_log_dirs(struct kafka_request *r)
{
	if (!take_topics(r))
		return;
	r->step = kafka__finish;
	kafka__pool(r, measure);
}

/* ---- ListConfigResources ---- */

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4, RESOURCE_BROKER_LOGGER = 8, RESOURCE_CLIENT_METRICS = 16, RESOURCE_GROUP = 32 };

static bool types_known(const struct kafka_list_config_resources_request *q)
{
	for (int32_t i = 0; i < q->resource_types_count; i++) {
		int8_t type = q->resource_types[i];
		if (type != RESOURCE_TOPIC && type != RESOURCE_BROKER && type != RESOURCE_BROKER_LOGGER &&
		    type != RESOURCE_CLIENT_METRICS && type != RESOURCE_GROUP)
			return false;
	}
	return true;
}

static bool type_asked(const struct kafka_list_config_resources_request *q, int16_t version, int8_t type)
{
	if (version == 0)
		return type == RESOURCE_CLIENT_METRICS;
	for (int32_t i = 0; i < q->resource_types_count; i++)
		if (q->resource_types[i] == type)
			return true;
	return q->resource_types_count == 0;
}

void kafka__list_config_resources(struct kafka_request *r)
{
	const struct kafka_list_config_resources_request *q = r->body;
	struct kafka_list_config_resources_response *reply = r->reply;
	const struct log_topics *topics = take_topics(r);
	if (!topics)
		return;
	if (!types_known(q)) {
		reply->error_code = KAFKA_UNSUPPORTED_VERSION;
		kafka__finish(r);
		return;
	}
	reply->config_resources = kafka__alloc(r, topics->count + 2, sizeof *reply->config_resources);
	const char *id = arena_printf(&r->arena, "%d", r->server->node_id);
	if (!reply->config_resources || !id) {
		kafka__abort(r);
		return;
	}
	for (uint32_t i = 0; i < topics->count && type_asked(q, r->version.version, RESOURCE_TOPIC); i++)
		reply->config_resources[reply->config_resources_count++] = (struct kafka_listed_config_resource){
			bytes_str(topics->items[i].name), RESOURCE_TOPIC};
	for (int type = RESOURCE_BROKER; type <= RESOURCE_BROKER_LOGGER; type *= 2)
		if (type_asked(q, r->version.version, (int8_t)type))
			reply->config_resources[reply->config_resources_count++] = (struct kafka_listed_config_resource){bytes_str(id),
															 (int8_t)type};
	kafka__finish(r);
}
