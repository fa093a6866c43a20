/* What a principal may ask: a look at each request before its handler, and at its reply before it leaves.
 *
 * The handlers know nothing of it. Before: what the principal may not touch is taken out of the request, or the whole request is refused.
 * After (authorize_reply.c): what was taken out comes back into the reply with its error, what the principal may not see is taken out of
 * lists, and the bits of authorized operations are cut to what it may do. Which operation on which resource each request needs, and with
 * which error it is refused, is Apache Kafka 4.1's (KafkaApis, ControllerApis). A request that no table here knows is refused: a new
 * handler needs a line. */
#include "kafka/authorize_internal.h"
#include "base/logging.h"
#include "log/record_batch.h"
#include <stdlib.h>

/* ---- the question ---- */

bool kafka__may(struct kafka_request *r, enum auth_acl_word operation, enum auth_acl_word resource, struct bytes name)
{
	char host[KAFKA_PEER_HOST_MAX];
	return auth_may(r->server->acls, kafka__session(r)->principal->name, kafka__peer_host(r->peer, host), operation, resource, name);
}

bool kafka__may_cluster(struct kafka_request *r, enum auth_acl_word operation)
{
	return kafka__may(r, operation, AUTH_RESOURCE_CLUSTER, BYTES(AUTH_CLUSTER_NAME));
}

bool kafka__may_somewhere(struct kafka_request *r, enum auth_acl_word operation, enum auth_acl_word resource)
{
	char host[KAFKA_PEER_HOST_MAX];
	return auth_may_somewhere(r->server->acls, kafka__session(r)->principal->name, kafka__peer_host(r->peer, host), operation,
				  resource);
}

/* ---- members by their names ---- */

static const char *const name_fields[] = {"name", "topic", "group_id", "transactional_id", "resource_name", "key"};

struct bytes *kafka__name_in(const struct kafka_field *list, void *item)
{
	if (list->kind == KIND_STRING)
		return item;
	for (size_t i = 0; i < sizeof name_fields / sizeof *name_fields; i++) {
		struct kafka_member m = kafka__member(list->of, item, name_fields[i]);
		if (m.field && m.field->kind == KIND_STRING)
			return m.value;
	}
	return NULL;
}

struct uuid *kafka__id_in(const struct kafka_field *list, void *item)
{
	return list->kind == KIND_STRUCT ? kafka__member(list->of, item, "topic_id").value : NULL;
}

const char *kafka__denied_text(int16_t error)
{
	switch (error) {
	case KAFKA_TOPIC_AUTHORIZATION_FAILED: return "Topic authorization failed.";
	case KAFKA_GROUP_AUTHORIZATION_FAILED: return "Group authorization failed.";
	case KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED: return "Transactional Id authorization failed.";
	case KAFKA_CLUSTER_AUTHORIZATION_FAILED: return "Cluster authorization failed.";
	default: return NULL;
	}
}

static int16_t error_for(enum auth_acl_word resource)
{
	switch ((int)resource) {
	case AUTH_RESOURCE_TOPIC: return KAFKA_TOPIC_AUTHORIZATION_FAILED;
	case AUTH_RESOURCE_GROUP: return KAFKA_GROUP_AUTHORIZATION_FAILED;
	case AUTH_RESOURCE_TRANSACTIONAL_ID: return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
	default: return KAFKA_CLUSTER_AUTHORIZATION_FAILED;
	}
}

/* The name of an element, by its id where it has no name; data NULL: there is no such topic. */
static struct bytes topic_name(struct kafka_request *r, const struct kafka_field *list, void *item)
{
	struct bytes *name = kafka__name_in(list, item);
	const struct uuid *id = kafka__id_in(list, item);
	if ((name && name->data) || !id || kafka__uuid_is_zero(id) || !kafka__topics(r))
		return name ? *name : (struct bytes){0};
	const struct log_topic *topic = kafka__topic(r, r->topics, (struct bytes){0}, id);
	return kafka__text(topic ? topic->name : NULL);
}

/* ---- tables ---- */

/* A list of the request whose elements are looked at one by one. may NULL: by resource and operation; else it says the error. */
struct filter {
	int16_t api;
	const char *list, *reply;
	enum auth_acl_word resource, operation;
	int16_t (*error)(struct kafka_request *r, const struct kafka_field *list, void *item);
};
/* A whole request. name NULL: about the cluster; a name that is null is not asked about. */
struct gate {
	int16_t api;
	enum auth_acl_word resource, operation;
	const char *name;
};

static int16_t create_error(struct kafka_request *r, const struct kafka_field *list, void *item);
static int16_t delete_error(struct kafka_request *r, const struct kafka_field *list, void *item);
static int16_t metadata_error(struct kafka_request *r, const struct kafka_field *list, void *item);
static int16_t coordinator_error(struct kafka_request *r, const struct kafka_field *list, void *item);
static int16_t read_config_error(struct kafka_request *r, const struct kafka_field *list, void *item);
static int16_t write_config_error(struct kafka_request *r, const struct kafka_field *list, void *item);

#define TOPIC(operation) AUTH_RESOURCE_TOPIC, AUTH_OPERATION_##operation, NULL
static const struct filter filters[] = {
	{KAFKA_PRODUCE, "topics", "topics", TOPIC(WRITE)},
	{KAFKA_FETCH, "topics", "topics", TOPIC(READ)},
	{KAFKA_LIST_OFFSETS, "topics", "topics", TOPIC(DESCRIBE)},
	{KAFKA_METADATA, "topics", "topics", 0, 0, metadata_error},
	{KAFKA_OFFSET_COMMIT, "topics", "topics", TOPIC(READ)},
	{KAFKA_TXN_OFFSET_COMMIT, "topics", "topics", TOPIC(READ)},
	{KAFKA_CREATE_TOPICS, "topics", "topics", 0, 0, create_error},
	{KAFKA_DELETE_TOPICS, "topics", "topics", 0, 0, delete_error},
	{KAFKA_DELETE_TOPICS, "topic_names", "topics", 0, 0, delete_error},
	{KAFKA_DELETE_RECORDS, "topics", "topics", TOPIC(DELETE)},
	{KAFKA_OFFSET_FOR_LEADER_EPOCH, "topics", "topics", TOPIC(DESCRIBE)},
	{KAFKA_CREATE_PARTITIONS, "topics", "results", TOPIC(ALTER)},
	{KAFKA_DESCRIBE_PRODUCERS, "topics", "topics", TOPIC(READ)},
	{KAFKA_DESCRIBE_TOPIC_PARTITIONS, "topics", "topics", TOPIC(DESCRIBE)},
	{KAFKA_DESCRIBE_GROUPS, "groups", "groups", AUTH_RESOURCE_GROUP, AUTH_OPERATION_DESCRIBE, NULL},
	{API_OFFSET_DELETE, "topics", "topics", TOPIC(READ)},
	{KAFKA_CONSUMER_GROUP_DESCRIBE, "group_ids", "groups", AUTH_RESOURCE_GROUP, AUTH_OPERATION_DESCRIBE, NULL},
	{KAFKA_DELETE_GROUPS, "group_names", "results", AUTH_RESOURCE_GROUP, AUTH_OPERATION_DELETE, NULL},
	{KAFKA_DESCRIBE_TRANSACTIONS, "transactional_ids", "transaction_states", AUTH_RESOURCE_TRANSACTIONAL_ID, AUTH_OPERATION_DESCRIBE,
	 NULL},
	{KAFKA_FIND_COORDINATOR, "coordinator_keys", "coordinators", 0, 0, coordinator_error},
	{KAFKA_DESCRIBE_CONFIGS, "resources", "results", 0, 0, read_config_error},
	{KAFKA_ALTER_CONFIGS, "resources", "responses", 0, 0, write_config_error},
	{KAFKA_INCREMENTAL_ALTER_CONFIGS, "resources", "responses", 0, 0, write_config_error},
	{KAFKA_OFFSET_FETCH, "groups", "groups", AUTH_RESOURCE_GROUP, AUTH_OPERATION_DESCRIBE, NULL},
};
#define FILTERS (sizeof filters / sizeof *filters)

#define GROUP(operation) AUTH_RESOURCE_GROUP, AUTH_OPERATION_##operation
#define TXN(operation) AUTH_RESOURCE_TRANSACTIONAL_ID, AUTH_OPERATION_##operation
#define CLUSTER(operation) AUTH_RESOURCE_CLUSTER, AUTH_OPERATION_##operation
static const struct gate gates[] = {
	{KAFKA_PRODUCE, TXN(WRITE), "transactional_id"},
	{KAFKA_OFFSET_COMMIT, GROUP(READ), "group_id"},
	{KAFKA_TXN_OFFSET_COMMIT, TXN(WRITE), "transactional_id"},
	{KAFKA_TXN_OFFSET_COMMIT, GROUP(READ), "group_id"},
	{KAFKA_JOIN_GROUP, GROUP(READ), "group_id"},
	{KAFKA_SYNC_GROUP, GROUP(READ), "group_id"},
	{KAFKA_HEARTBEAT, GROUP(READ), "group_id"},
	{KAFKA_LEAVE_GROUP, GROUP(READ), "group_id"},
	{API_OFFSET_DELETE, GROUP(DELETE), "group_id"},
	{KAFKA_CONSUMER_GROUP_HEARTBEAT, GROUP(READ), "group_id"},
	{KAFKA_END_TXN, TXN(WRITE), "transactional_id"},
	{KAFKA_ADD_OFFSETS_TO_TXN, TXN(WRITE), "transactional_id"},
	{KAFKA_ADD_OFFSETS_TO_TXN, GROUP(READ), "group_id"},
	{KAFKA_DESCRIBE_LOG_DIRS, CLUSTER(DESCRIBE), NULL},
	{KAFKA_LIST_PARTITION_REASSIGNMENTS, CLUSTER(DESCRIBE), NULL},
	{KAFKA_DESCRIBE_QUORUM, CLUSTER(DESCRIBE), NULL},
	{KAFKA_ELECT_LEADERS, CLUSTER(ALTER), NULL},
	{KAFKA_ALTER_PARTITION_REASSIGNMENTS, CLUSTER(ALTER), NULL},
	{KAFKA_ALTER_REPLICA_LOG_DIRS, CLUSTER(ALTER), NULL},
	{KAFKA_LIST_CONFIG_RESOURCES, CLUSTER(DESCRIBE_CONFIGS), NULL},
	{KAFKA_DESCRIBE_ACLS, CLUSTER(DESCRIBE), NULL},
	{KAFKA_CREATE_ACLS, CLUSTER(ALTER), NULL},
	{KAFKA_DELETE_ACLS, CLUSTER(ALTER), NULL},
	{KAFKA_DESCRIBE_CLIENT_QUOTAS, CLUSTER(DESCRIBE_CONFIGS), NULL},
	{KAFKA_ALTER_CLIENT_QUOTAS, CLUSTER(ALTER_CONFIGS), NULL},
	{KAFKA_DESCRIBE_USER_SCRAM_CREDENTIALS, CLUSTER(DESCRIBE), NULL},
	{KAFKA_ALTER_USER_SCRAM_CREDENTIALS, CLUSTER(ALTER), NULL},
};
#define GATES (sizeof gates / sizeof *gates)

/* ---- errors of single elements; 0: it may pass ---- */

static int16_t create_error(struct kafka_request *r, const struct kafka_field *list, void *item)
{
	bool ok = kafka__may_cluster(r, AUTH_OPERATION_CREATE) ||
		  kafka__may(r, AUTH_OPERATION_CREATE, AUTH_RESOURCE_TOPIC, *kafka__name_in(list, item));
	return ok ? KAFKA_NONE : KAFKA_TOPIC_AUTHORIZATION_FAILED;
}

/* That a topic is not there, may be told to who may describe it. */
static int16_t delete_error(struct kafka_request *r, const struct kafka_field *list, void *item)
{
	struct bytes name = topic_name(r, list, item);
	if (!name.data || kafka__may(r, AUTH_OPERATION_DELETE, AUTH_RESOURCE_TOPIC, name))
		return KAFKA_NONE;
	bool unknown = kafka__topics(r) && !kafka__topic(r, r->topics, name, NULL);
	return unknown && kafka__may(r, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, name) ? KAFKA_NONE : KAFKA_TOPIC_AUTHORIZATION_FAILED;
}

static int16_t metadata_error(struct kafka_request *r, const struct kafka_field *list, void *item)
{
	const struct kafka_metadata_request *q = r->body;
	const struct kafka_metadata_request_topic *t = item;
	struct bytes name = topic_name(r, list, item);
	if (!name.data)
		return KAFKA_NONE; /* there is no such topic */
	if (!kafka__may(r, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, name))
		return t->name.data ? KAFKA_TOPIC_AUTHORIZATION_FAILED : KAFKA_UNKNOWN_TOPIC_ID;
	if (!t->name.data || !q->allow_auto_topic_creation || !r->server->auto_create || !kafka__topics(r) ||
	    kafka__topic(r, r->topics, name, NULL))
		return KAFKA_NONE;
	return create_error(r, list, item);
}

static int16_t coordinator_error(struct kafka_request *r, const struct kafka_field *list, void *item)
{
	const struct kafka_find_coordinator_request *q = r->body;
	enum auth_acl_word resource = q->key_type == 1 ? AUTH_RESOURCE_TRANSACTIONAL_ID : AUTH_RESOURCE_GROUP;
	return kafka__may(r, AUTH_OPERATION_DESCRIBE, resource, *(struct bytes *)item) ? KAFKA_NONE : error_for(resource);
}

enum { CONFIG_OF_TOPIC = 2, CONFIG_OF_GROUP = 32 };
static int16_t config_error(struct kafka_request *r, const struct kafka_field *list, void *item, enum auth_acl_word operation)
{
	int8_t type = *(int8_t *)kafka__member(list->of, item, "resource_type").value;
	enum auth_acl_word resource = type == CONFIG_OF_TOPIC   ? AUTH_RESOURCE_TOPIC
				      : type == CONFIG_OF_GROUP ? AUTH_RESOURCE_GROUP
								: AUTH_RESOURCE_CLUSTER;
	bool ok = resource == AUTH_RESOURCE_CLUSTER ? kafka__may_cluster(r, operation)
						    : kafka__may(r, operation, resource, *kafka__name_in(list, item));
	return ok ? KAFKA_NONE : error_for(resource);
}

static int16_t read_config_error(struct kafka_request *r, const struct kafka_field *list, void *item)
{
	return config_error(r, list, item, AUTH_OPERATION_DESCRIBE_CONFIGS);
}

static int16_t write_config_error(struct kafka_request *r, const struct kafka_field *list, void *item)
{
	return config_error(r, list, item, AUTH_OPERATION_ALTER_CONFIGS);
}

static int16_t item_error(struct kafka_request *r, const struct filter *f, const struct kafka_field *list, void *item)
{
	if (f->error)
		return f->error(r, list, item);
	struct bytes name = f->resource == AUTH_RESOURCE_TOPIC ? topic_name(r, list, item) : *kafka__name_in(list, item);
	return !name.data || kafka__may(r, f->operation, f->resource, name) ? KAFKA_NONE : error_for(f->resource);
}

/* ---- taking out ---- */

static void *whole_reply(struct kafka_request *r, int32_t index)
{
	return r->reply;
}

/* Bring the elements that may pass to the front; those that may not are counted off. error: of all, unless 0. */
static bool split(struct kafka_request *r, const struct filter *f, struct kafka_member list, int16_t error, struct kafka_denial *d)
{
	size_t size = kafka__element_size(list.field);
	int32_t count = *list.count, kept = 0;
	uint8_t *items = *(uint8_t **)list.value, *out = kafka__alloc(r, (size_t)count, size);
	int16_t *errors = kafka__alloc(r, (size_t)count, sizeof *errors);
	if (!out || !errors)
		return false;
	for (int pass = 0; pass < 2; pass++) {
		for (int32_t i = 0, at = 0; i < count; i++) {
			if (pass == 0)
				errors[i] = error ? error : item_error(r, f, list.field, items + (size_t)i * size);
			if (pass == 0 && !errors[i])
				memcpy(out + (size_t)kept++ * size, items + (size_t)i * size, size);
			if (pass == 1 && errors[i]) {
				memcpy(out + (size_t)(kept + at) * size, items + (size_t)i * size, size);
				errors[at++] = errors[i];
			}
		}
	}
	*(uint8_t **)list.value = out;
	*list.count = kept;
	d->asked = list.field;
	d->items = out + (size_t)kept * size;
	d->count = count - kept;
	d->errors = errors;
	return true;
}

/* Of a list in the request's own body. false: no memory. */
static bool take_out(struct kafka_request *r, const struct filter *f, int16_t error)
{
	struct kafka_member list = kafka__member(r->api->request, r->body, f->list);
	if (!list.field || *list.count <= 0)
		return true;
	struct kafka_denial *d = kafka__alloc(r, 1, sizeof *d);
	if (!d || !split(r, f, list, error, d))
		return false;
	*d = (struct kafka_denial){.next = r->denials,
				   .asked = d->asked,
				   .items = d->items,
				   .count = d->count,
				   .errors = d->errors,
				   .reply_layout = r->api->response,
				   .reply = whole_reply,
				   .list = f->reply,
				   .alone = *list.count == 0};
	if (d->count)
		r->denials = d;
	return true;
}

/* ---- refusing a whole request ---- */

/* One answer for each thing that was asked for, in its order. */
static bool refuse_each(struct kafka_request *r, const char *asked, const char *answers, int16_t error)
{
	struct kafka_member in = kafka__member(r->api->request, r->body, asked), out = kafka__member(r->api->response, r->reply, answers);
	int32_t count = *in.count > 0 ? *in.count : 0;
	uint8_t *all = kafka__alloc(r, (size_t)count, out.field->of->size);
	for (int32_t i = 0; all && i < count; i++) {
		kafka__defaults(out.field->of, all + (size_t)i * out.field->of->size);
		*(int16_t *)kafka__member(out.field->of, all + (size_t)i * out.field->of->size, "error_code").value = error;
	}
	*(uint8_t **)out.value = all;
	*out.count = count;
	return all != NULL;
}

/* false: no memory. */
static bool refuse_all(struct kafka_request *r, int16_t error)
{
	struct kafka_member code = kafka__member(r->api->response, r->reply, "error_code");
	if (code.field) {
		*(int16_t *)code.value = error;
		return true;
	}
	if (r->api->key == KAFKA_ALTER_USER_SCRAM_CREDENTIALS)
		return kafka__scram_refuse(r, error, kafka__denied_text(error));
	if (r->api->key == KAFKA_ALTER_CLIENT_QUOTAS)
		return kafka__quotas_refuse(r, error, kafka__denied_text(error));
	if (r->api->key == KAFKA_CREATE_ACLS)
		return refuse_each(r, "creations", "results", error);
	if (r->api->key == KAFKA_DELETE_ACLS)
		return refuse_each(r, "filters", "filter_results", error);
	for (size_t i = 0; i < FILTERS; i++)
		if (filters[i].api == r->api->key && !take_out(r, &filters[i], error))
			return false;
	return true;
}

/* ---- requests with rules of their own: PASS, or what they are refused with ---- */

enum verdict { PASS, REFUSED, NO_MEMORY };

static enum verdict refused(struct kafka_request *r, int16_t error)
{
	return refuse_all(r, error) ? REFUSED : NO_MEMORY;
}

static enum verdict init_producer_id(struct kafka_request *r)
{
	const struct kafka_init_producer_id_request *q = r->body;
	struct kafka_init_producer_id_response *reply = r->reply;
	int16_t error = KAFKA_NONE;
	if (q->transactional_id.data && !kafka__may(r, AUTH_OPERATION_WRITE, AUTH_RESOURCE_TRANSACTIONAL_ID, q->transactional_id))
		error = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
	else if (!q->transactional_id.data && !kafka__may_cluster(r, AUTH_OPERATION_IDEMPOTENT_WRITE) &&
		 !kafka__may_somewhere(r, AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC))
		error = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
	if (!error)
		return PASS;
	reply->producer_id = reply->producer_epoch = -1;
	return refused(r, error);
}

static bool set_results(struct kafka_request *r, const struct kafka_txn_topic *q, int32_t count, struct kafka_txn_topic_result *out,
			int16_t denied, int16_t others)
{
	for (int32_t i = 0; i < count; i++) {
		bool ok = !denied || kafka__may(r, AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC, q[i].name);
		out[i] = (struct kafka_txn_topic_result){.name = q[i].name, .partitions_count = q[i].partitions_count};
		out[i].partitions = kafka__alloc(r, (size_t)q[i].partitions_count, sizeof *out[i].partitions);
		if (!out[i].partitions)
			return false;
		for (int32_t k = 0; k < q[i].partitions_count; k++)
			out[i].partitions[k] = (struct kafka_txn_partition_result){q[i].partitions[k], ok ? others : denied};
	}
	return true;
}

/* All or none: topics that may not be written keep the others from being attempted. */
static enum verdict add_partitions(struct kafka_request *r)
{
	const struct kafka_add_partitions_to_txn_request *q = r->body;
	struct kafka_add_partitions_to_txn_response *reply = r->reply;
	if (r->version.version >= 4) /* a broker's own */
		return kafka__may_cluster(r, AUTH_OPERATION_CLUSTER_ACTION) ? PASS : refused(r, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
	bool id_ok = kafka__may(r, AUTH_OPERATION_WRITE, AUTH_RESOURCE_TRANSACTIONAL_ID, q->transactional_id), all = id_ok;
	for (int32_t i = 0; all && i < q->topics_count; i++)
		all = kafka__may(r, AUTH_OPERATION_WRITE, AUTH_RESOURCE_TOPIC, q->topics[i].name);
	if (all)
		return PASS;
	reply->topics = kafka__alloc(r, (size_t)q->topics_count, sizeof *reply->topics);
	reply->topics_count = q->topics_count;
	bool ok = reply->topics && (id_ok ? set_results(r, q->topics, q->topics_count, reply->topics, KAFKA_TOPIC_AUTHORIZATION_FAILED,
							KAFKA_OPERATION_NOT_ATTEMPTED)
					  : set_results(r, q->topics, q->topics_count, reply->topics, KAFKA_NONE,
							KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
	return ok ? REFUSED : NO_MEMORY;
}

static enum verdict write_markers(struct kafka_request *r)
{
	const struct kafka_write_txn_markers_request *q = r->body;
	struct kafka_write_txn_markers_response *reply = r->reply;
	if (kafka__may_cluster(r, AUTH_OPERATION_CLUSTER_ACTION) || kafka__may_cluster(r, AUTH_OPERATION_ALTER))
		return PASS;
	reply->markers = kafka__alloc(r, (size_t)q->markers_count, sizeof *reply->markers);
	bool ok = reply->markers != NULL;
	for (int32_t i = 0; ok && i < q->markers_count; i++) {
		struct kafka_txn_marker_result *out = &reply->markers[i];
		out->producer_id = q->markers[i].producer_id;
		out->topics = kafka__alloc(r, (size_t)q->markers[i].topics_count, sizeof *out->topics);
		out->topics_count = q->markers[i].topics_count;
		ok = out->topics &&
		     set_results(r, q->markers[i].topics, out->topics_count, out->topics, KAFKA_NONE, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
		reply->markers_count++;
	}
	return ok ? REFUSED : NO_MEMORY;
}

static enum verdict find_coordinator(struct kafka_request *r)
{
	struct kafka_find_coordinator_request *q = r->body;
	struct kafka_find_coordinator_response *reply = r->reply;
	int16_t error = r->version.version < 4 ? coordinator_error(r, NULL, &q->key) : KAFKA_NONE;
	if (!error)
		return PASS;
	reply->node_id = reply->port = -1;
	reply->host = KAFKA_EMPTY;
	reply->error_message = kafka__text(kafka__denied_text(error));
	return refused(r, error);
}

/* A member that names a topic which it may not see is refused as a whole. */
static enum verdict consumer_heartbeat(struct kafka_request *r)
{
	struct kafka_member names = kafka__member(r->api->request, r->body, "subscribed_topic_names");
	for (int32_t i = 0; names.field && i < *names.count; i++)
		if (!kafka__may(r, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, (*(struct bytes **)names.value)[i]))
			return refused(r, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	return PASS;
}

/* The topics of a group's offsets; a null list asks for all, of which some are not shown (offset_topics_shown). */
static void *offset_group_reply(struct kafka_request *r, int32_t index)
{
	struct kafka_offset_fetch_response *reply = r->reply;
	return r->version.version >= 8 ? (void *)&reply->groups[index] : (void *)reply;
}

static bool take_out_offsets(struct kafka_request *r, struct kafka_member topics, int32_t index, int16_t error)
{
	static const struct filter described = {KAFKA_OFFSET_FETCH, "topics", "topics", TOPIC(DESCRIBE)};
	struct kafka_denial *d = *topics.count > 0 ? kafka__alloc(r, 1, sizeof *d) : NULL;
	if (*topics.count <= 0)
		return true;
	if (!d || !split(r, &described, topics, error, d))
		return false;
	d->reply_layout = r->version.version >= 8 ? &kafka_layout_offset_fetch_group_response : r->api->response;
	d->reply = offset_group_reply;
	d->index = index;
	d->list = "topics";
	d->next = r->denials;
	if (d->count)
		r->denials = d;
	return true;
}

static enum verdict offset_fetch(struct kafka_request *r)
{
	struct kafka_offset_fetch_request *q = r->body;
	struct kafka_offset_fetch_response *reply = r->reply;
	struct kafka_member own = kafka__member(r->api->request, q, "topics");
	bool ok = true;
	if (r->version.version >= 8) { /* the groups that are left: the filter has been here */
		for (int32_t i = 0; ok && i < q->groups_count; i++)
			ok = take_out_offsets(r, kafka__member(&kafka_layout_offset_fetch_group, &q->groups[i], "topics"), i, KAFKA_NONE);
		return ok ? PASS : NO_MEMORY;
	}
	if (kafka__may(r, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_GROUP, q->group_id))
		return take_out_offsets(r, own, 0, KAFKA_NONE) ? PASS : NO_MEMORY;
	reply->error_code = KAFKA_GROUP_AUTHORIZATION_FAILED;
	return r->version.version >= 2 || take_out_offsets(r, own, 0, KAFKA_GROUP_AUTHORIZATION_FAILED) ? REFUSED : NO_MEMORY;
}

/* No topics: all of those that the principal may see. */
static enum verdict topic_pages(struct kafka_request *r)
{
	struct kafka_describe_topic_partitions_request *q = r->body;
	if (q->topics_count > 0)
		return PASS;
	const struct log_topics *topics = kafka__topics(r);
	struct kafka_topic_partitions_topic *all = topics ? kafka__alloc(r, topics->count, sizeof *all) : NULL;
	if (!all)
		return NO_MEMORY;
	for (uint32_t i = 0; i < topics->count; i++) {
		/* The names must outlive this picture of the topics. */
		const char *name = arena_string(&r->arena, topics->items[i].name, strlen(topics->items[i].name));
		if (name && kafka__may(r, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, bytes_str(name)))
			all[q->topics_count++] = (struct kafka_topic_partitions_topic){bytes_str(name)};
	}
	q->topics = all;
	return q->topics_count ? PASS : REFUSED; /* an empty list, not all */
}

static const struct special {
	int16_t api;
	enum verdict (*look)(struct kafka_request *r); /* NULL: open to all, or looked at in the reply */
} specials[] = {
	{KAFKA_API_VERSIONS, NULL},
	{KAFKA_SASL_HANDSHAKE, NULL},
	{KAFKA_SASL_AUTHENTICATE, NULL},
	{KAFKA_DESCRIBE_CLUSTER, NULL},
	{KAFKA_LIST_GROUPS, NULL},
	{KAFKA_LIST_TRANSACTIONS, NULL},
	{KAFKA_CONSUMER_GROUP_HEARTBEAT, consumer_heartbeat},
	{KAFKA_INIT_PRODUCER_ID, init_producer_id},
	{KAFKA_ADD_PARTITIONS_TO_TXN, add_partitions},
	{KAFKA_WRITE_TXN_MARKERS, write_markers},
	{KAFKA_FIND_COORDINATOR, find_coordinator},
	{KAFKA_OFFSET_FETCH, offset_fetch},
	{KAFKA_DESCRIBE_TOPIC_PARTITIONS, topic_pages},
};

/* ---- before ---- */

/* A transactional id that no batch makes use of is not looked at, as by Kafka. */
static bool is_transactional(const struct kafka_produce_request *q)
{
	for (int32_t i = 0; i < q->topics_count; i++) {
		for (int32_t k = 0; k < q->topics[i].partitions_count; k++) {
			const struct kafka_records *records = &q->topics[i].partitions[k].records;
			if (records->size > 23 && (be16_get(records->data + 21) & BATCH_TRANSACTIONAL))
				return true;
		}
	}
	return false;
}

static enum verdict pass_gates(struct kafka_request *r, bool *known)
{
	for (size_t i = 0; i < GATES; i++) {
		const struct gate *g = &gates[i];
		if (g->api != r->api->key)
			continue;
		*known = true;
		if (g->api == KAFKA_PRODUCE && !is_transactional(r->body))
			continue;
		struct bytes name = BYTES(AUTH_CLUSTER_NAME);
		if (g->name)
			name = *(struct bytes *)kafka__member(r->api->request, r->body, g->name).value;
		if (name.data && !kafka__may(r, g->operation, g->resource, name))
			return refused(r, error_for(g->resource));
	}
	return PASS;
}

static enum verdict look_at(struct kafka_request *r, bool *known)
{
	enum verdict v = pass_gates(r, known);
	for (size_t i = 0; v == PASS && i < FILTERS; i++) {
		if (filters[i].api != r->api->key)
			continue;
		*known = true;
		v = take_out(r, &filters[i], KAFKA_NONE) ? PASS : NO_MEMORY;
	}
	bool described = r->denials && r->denials->alone; /* nothing is left of what was named: not all */
	for (size_t i = 0; v == PASS && i < sizeof specials / sizeof *specials; i++) {
		if (specials[i].api != r->api->key)
			continue;
		*known = true;
		if (specials[i].look == topic_pages && described)
			v = REFUSED;
		else if (specials[i].look)
			v = specials[i].look(r);
	}
	return v;
}

bool kafka__authorize(struct kafka_request *r)
{
	bool known = false;
	enum verdict v = look_at(r, &known);
	if (v == PASS && known)
		return true;
	if (v == PASS)
		LOG_ERROR("kafka", "connection %s closed: nothing says who may ask for %s", r->peer, r->api->name);
	bool answered = r->api->key != KAFKA_PRODUCE || ((const struct kafka_produce_request *)r->body)->acks != 0;
	if (v == REFUSED && answered)
		kafka__finish(r);
	else
		kafka__abort(r);
	return false;
}
