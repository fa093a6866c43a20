/* ApiVersions, Metadata, DescribeCluster, FindCoordinator: who the broker is and what it has. */
#include "kafka/kafka_internal.h"
#include <ctype.h>
#include <stdlib.h>

/* Bits of Kafka's operations that a client without restrictions may do (AclOperation's numbers). */
#define OPERATIONS_CLUSTER 0x00001fa0 /* CREATE ALTER DESCRIBE CLUSTER_ACTION DESCRIBE_CONFIGS ALTER_CONFIGS IDEMPOTENT_WRITE */

/* group.version 1: consumer groups of the new protocol (KIP-848). transaction.version 2: Produce adds its partitions to the transaction,
 * and each EndTxn gives out a newer epoch (KIP-890). */
static const struct {
	const char *name;
	int16_t level;
} features[] = {{"group.version", 1}, {"transaction.version", 2}};
#define FEATURES (int32_t)(sizeof features / sizeof *features)

/* KIP-511: letters, digits, and between them dots and hyphens. */
static bool software_ok(struct bytes text)
{
	for (size_t i = 0; i < text.size; i++) {
		int c = text.data[i];
		bool inner = (c == '.' || c == '-') && i > 0 && i + 1 < text.size;
		if (c > 127 || (!isalnum(c) && !inner))
			return false;
	}
	return text.size > 0;
}

void kafka__api_versions(struct kafka_request *r)
{
	const struct kafka_api_versions_request *q = r->body;
	struct kafka_api_versions_response *reply = r->reply;
	if (r->version.version >= 3 && !(software_ok(q->client_software_name) && software_ok(q->client_software_version))) {
		reply->error_code = KAFKA_INVALID_REQUEST;
		kafka__finish(r);
		return;
	}
	reply->api_keys = kafka__alloc(r, kafka__api_count, sizeof *reply->api_keys);
	if (!reply->api_keys) {
		kafka__abort(r);
		return;
	}
	for (uint32_t i = 0; i < kafka__api_count; i++) {
		const struct kafka_api *api = &kafka__apis[i];
		reply->api_keys[i] = (struct kafka_api_version){api->key, api->advertised_min, api->max};
	}
	reply->api_keys_count = (int32_t)kafka__api_count;
	reply->supported_features = kafka__alloc(r, FEATURES, sizeof *reply->supported_features);
	reply->finalized_features = kafka__alloc(r, FEATURES, sizeof *reply->finalized_features);
	if (!reply->supported_features || !reply->finalized_features) {
		kafka__abort(r);
		return;
	}
	for (int32_t i = 0; i < FEATURES; i++) {
		struct bytes name = bytes_str(features[i].name);
		reply->supported_features[i] = (struct kafka_supported_feature){name, 0, features[i].level};
		reply->finalized_features[i] = (struct kafka_finalized_feature){name, features[i].level, features[i].level};
	}
	/* A client of version 3 takes no feature that begins at 0. */
	reply->supported_features_count = r->version.version >= 4 ? FEATURES : 0;
	reply->finalized_features_count = FEATURES;
	reply->finalized_features_epoch = 1;
	kafka__session_told(r);
	kafka__finish(r);
}

/* ---- Metadata ---- */

struct bytes kafka__our_host(const struct kafka_request *r)
{
	return bytes_str(*r->listener->advertised_host ? r->listener->advertised_host : r->host);
}

uint16_t kafka__our_port(const struct kafka_request *r)
{
	return *r->listener->advertised_host ? r->listener->advertised_port : r->port;
}

const char *kafka__protocol_name(const struct kafka_listener *listener)
{
	if (listener->sasl)
		return listener->tls ? "SASL_SSL" : "SASL_PLAINTEXT";
	return listener->tls ? "SSL" : "PLAINTEXT";
}

static bool fill_topic(struct kafka_request *r, const struct log_topic *topic, bool operations, struct kafka_metadata_topic *out)
{
	int32_t *node = &r->server->node_id; /* what every replica list points to */
	kafka__defaults(&kafka_layout_metadata_topic, out);
	out->name = bytes_str(topic->name);
	out->topic_id = topic->id;
	out->is_internal = topic->internal;
	if (operations)
		out->topic_authorized_operations = KAFKA_OPERATIONS_TOPIC;
	out->partitions = kafka__alloc(r, (size_t)topic->partitions, sizeof *out->partitions);
	if (!out->partitions)
		return false;
	out->partitions_count = topic->partitions;
	for (int32_t i = 0; i < topic->partitions; i++) {
		out->partitions[i] = (struct kafka_metadata_partition){
			.partition_index = i,
			.leader_id = *node,
			.replica_nodes = node,
			.replica_nodes_count = 1,
			.isr_nodes = node,
			.isr_nodes_count = 1,
		};
	}
	return true;
}

static int16_t missing_error(struct kafka_request *r, const struct kafka_metadata_request_topic *asked)
{
	if (!kafka__uuid_is_zero(&asked->topic_id) || !asked->name.data)
		return KAFKA_UNKNOWN_TOPIC_ID;
	const char *name = kafka__cstr(r, asked->name);
	return name && log_topic_name_ok(name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
}

static const struct log_topic *asked_topic(struct kafka_request *r, const struct kafka_metadata_request_topic *asked)
{
	bool by_id = !kafka__uuid_is_zero(&asked->topic_id);
	return kafka__topic(r, r->topics, asked->name, by_id ? &asked->topic_id : NULL);
}

/* Topics that are asked for twice are answered once. NULL: no memory. */
static const uint32_t *first_asked(struct kafka_request *r)
{
	const struct kafka_metadata_request *q = r->body;
	uint32_t count = q->topics_count > 0 ? (uint32_t)q->topics_count : 0;
	struct bytes *keys = kafka__alloc(r, count, sizeof *keys);
	for (uint32_t i = 0; keys && i < count; i++)
		keys[i] = kafka__uuid_is_zero(&q->topics[i].topic_id) ? q->topics[i].name
								      : bytes_of(&q->topics[i].topic_id, sizeof q->topics[i].topic_id);
	return keys ? kafka__firsts(r, keys, count) : NULL;
}

static bool fill_topics(struct kafka_request *r, struct kafka_metadata_response *reply, bool all)
{
	const struct kafka_metadata_request *q = r->body;
	uint32_t count = all ? r->topics->count : (uint32_t)q->topics_count;
	const uint32_t *firsts = first_asked(r);
	reply->topics = kafka__alloc(r, count, sizeof *reply->topics);
	if (!reply->topics || !firsts)
		return false;
	bool by_id = false; /* where one topic is asked for by its id, those that are not are left out */
	for (uint32_t i = 0; !all && r->version.version >= 12 && i < count && !by_id; i++)
		by_id = !kafka__uuid_is_zero(&q->topics[i].topic_id);
	for (uint32_t i = 0; i < count; i++) {
		const struct log_topic *topic = all ? &r->topics->items[i] : asked_topic(r, &q->topics[i]);
		if (!all && (firsts[i] != i || (by_id && kafka__uuid_is_zero(&q->topics[i].topic_id))))
			continue;
		struct kafka_metadata_topic *out = &reply->topics[reply->topics_count++];
		if (topic) {
			if (!fill_topic(r, topic, q->include_topic_authorized_operations, out))
				return false;
			continue;
		}
		kafka__defaults(&kafka_layout_metadata_topic, out);
		out->error_code = missing_error(r, &q->topics[i]);
		out->topic_id = q->topics[i].topic_id;
		if (kafka__uuid_is_zero(&out->topic_id)) /* asked for by its id, it has no name */
			out->name = q->topics[i].name;
		if (q->include_topic_authorized_operations && kafka__uuid_is_zero(&out->topic_id))
			out->topic_authorized_operations = KAFKA_OPERATIONS_TOPIC;
	}
	return true;
}

static bool wants_all(const struct kafka_request *r)
{
	const struct kafka_metadata_request *q = r->body;
	return q->topics_count < 0 || (r->version.version == 0 && q->topics_count == 0);
}

static bool asks_by_id(const struct kafka_metadata_request *q)
{
	for (int32_t i = 0; i < q->topics_count; i++)
		if (!q->topics[i].name.data || !kafka__uuid_is_zero(&q->topics[i].topic_id))
			return true;
	return false;
}

/* The field was there before its meaning (KIP-516): refused as a whole, with the topics as they were asked for. */
static void refuse_ids(struct kafka_request *r)
{
	const struct kafka_metadata_request *q = r->body;
	struct kafka_metadata_response *reply = r->reply;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	if (!reply->topics) {
		kafka__abort(r);
		return;
	}
	for (int32_t i = 0; i < q->topics_count; i++) {
		struct kafka_metadata_topic *out = &reply->topics[reply->topics_count++];
		kafka__defaults(&kafka_layout_metadata_topic, out);
		out->name = q->topics[i].name.data ? q->topics[i].name : KAFKA_EMPTY;
		out->topic_id = q->topics[i].topic_id;
		out->error_code = KAFKA_INVALID_REQUEST;
	}
	kafka__finish(r);
}

static void metadata_answer(struct kafka_request *r)
{
	const struct kafka_metadata_request *q = r->body;
	struct kafka_metadata_response *reply = r->reply;
	struct kafka_metadata_broker *broker = kafka__alloc(r, 1, sizeof *broker);
	if (!broker || !kafka__topics(r) || !fill_topics(r, reply, wants_all(r))) {
		kafka__abort(r);
		return;
	}
	*broker = (struct kafka_metadata_broker){r->server->node_id, kafka__our_host(r), kafka__our_port(r), {0}};
	reply->brokers = broker;
	reply->brokers_count = 1;
	reply->cluster_id = bytes_str(r->server->cluster_id);
	reply->controller_id = r->server->node_id;
	if (q->include_cluster_authorized_operations)
		reply->cluster_authorized_operations = OPERATIONS_CLUSTER;
	kafka__finish(r);
}

/* A topic that was not made is answered as unknown below; why it was not made, a client that creates it on purpose learns. */
static void topic_made(void *arg, const struct sm_error *error)
{
	kafka__part_end(arg);
}

/* Make the topics that are asked for and missing; the answer follows the last of them. */
static void make_missing(struct kafka_request *r)
{
	const struct kafka_metadata_request *q = r->body;
	struct sm_log *log = r->server->log;
	const struct log_topics *topics = kafka__topics(r);
	const char *missing[KAFKA_AUTO_CREATE_MAX];
	uint32_t count = 0;
	for (int32_t i = 0; topics && i < q->topics_count && count < KAFKA_AUTO_CREATE_MAX; i++) {
		const char *name = q->topics[i].name.data && kafka__uuid_is_zero(&q->topics[i].topic_id) ? kafka__cstr(r, q->topics[i].name)
													 : NULL;
		if (name && log_topic_name_ok(name) && !log_topics_find(topics, name) && kafka__mutation_take(r, r->server->partitions, 0))
			missing[count++] = name;
	}
	kafka__parts_begin(r, count);
	for (uint32_t i = 0; i < count; i++) {
		struct log_topic_spec spec = {.name = missing[i], .partitions = r->server->partitions, .replication_factor = 1};
		log->ops->topic_create(log, &spec, topic_made, r);
	}
	kafka__part_end(r);
}

void kafka__metadata(struct kafka_request *r)
{
	const struct kafka_metadata_request *q = r->body;
	r->step = metadata_answer;
	if (r->version.version < 12 && asks_by_id(q))
		refuse_ids(r);
	else if (wants_all(r) || !q->allow_auto_topic_creation || !r->server->auto_create)
		metadata_answer(r);
	else
		make_missing(r);
}

/* ---- DescribeCluster ---- */

enum { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2 };

void kafka__describe_cluster(struct kafka_request *r)
{
	const struct kafka_describe_cluster_request *q = r->body;
	struct kafka_describe_cluster_response *reply = r->reply;
	struct kafka_described_broker *broker = kafka__alloc(r, 1, sizeof *broker);
	if (!broker) {
		kafka__abort(r);
		return;
	}
	if (q->endpoint_type != ENDPOINT_BROKERS) {
		bool controllers = q->endpoint_type == ENDPOINT_CONTROLLERS;
		reply->error_code = controllers ? KAFKA_MISMATCHED_ENDPOINT_TYPE : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
		reply->error_message = kafka__text(controllers ? "This is a broker's endpoint, not a controller's."
							       : "There is no such endpoint type.");
		kafka__finish(r);
		return;
	}
	*broker = (struct kafka_described_broker){r->server->node_id, kafka__our_host(r), kafka__our_port(r), {0}, false};
	reply->brokers = broker;
	reply->brokers_count = 1;
	reply->cluster_id = bytes_str(r->server->cluster_id);
	reply->controller_id = r->server->node_id;
	if (q->include_cluster_authorized_operations)
		reply->cluster_authorized_operations = OPERATIONS_CLUSTER;
	kafka__finish(r);
}

/* ---- FindCoordinator ---- */

enum { COORDINATOR_GROUP, COORDINATOR_TRANSACTION, COORDINATOR_SHARE };

/* Kafka's own words; it knows share groups, if only to refuse them. */
static const char *coordinator_text(int16_t error, int8_t type, int16_t version)
{
	if (error && (type != COORDINATOR_SHARE || version < 4))
		return "This most likely occurs because of a request being malformed by the client library or the message was sent to an "
		       "incompatible broker. See the broker logs for more details.";
	return version >= 4 ? "" : "NONE";
}

static int16_t coordinator_error(int8_t type)
{
	return type == COORDINATOR_GROUP || type == COORDINATOR_TRANSACTION ? KAFKA_NONE : KAFKA_INVALID_REQUEST;
}

void kafka__find_coordinator(struct kafka_request *r)
{
	const struct kafka_find_coordinator_request *q = r->body;
	struct kafka_find_coordinator_response *reply = r->reply;
	int16_t error = coordinator_error(q->key_type);
	struct kafka_coordinator us = {
		.node_id = error ? -1 : r->server->node_id,
		.host = error ? KAFKA_EMPTY : kafka__our_host(r),
		.port = error ? -1 : kafka__our_port(r),
		.error_code = error,
		.error_message = kafka__text(coordinator_text(error, q->key_type, r->version.version)),
	};
	reply->error_code = us.error_code;
	reply->error_message = us.error_message;
	reply->node_id = us.node_id;
	reply->host = us.host;
	reply->port = us.port;
	reply->coordinators = kafka__alloc(r, (size_t)q->coordinator_keys_count, sizeof *reply->coordinators);
	if (!reply->coordinators) {
		kafka__abort(r);
		return;
	}
	reply->coordinators_count = q->coordinator_keys_count;
	for (int32_t i = 0; i < q->coordinator_keys_count; i++) {
		reply->coordinators[i] = us;
		reply->coordinators[i].key = q->coordinator_keys[i];
	}
	kafka__finish(r);
}
