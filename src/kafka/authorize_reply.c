/* What leaves: what a principal asked for and may not touch comes back with its error, what it may not see does not leave. */
#include "kafka/authorize_internal.h"
#include <stdlib.h>

/* ---- putting back ---- */

/* A partition's number: the element itself, or its first member of this kind. */
static int32_t number_of(const struct kafka_field *list, void *item)
{
	static const char *const names[] = {"partition_index", "partition", "index"};
	if (list->kind == KIND_I32)
		return *(int32_t *)item;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct kafka_member m = kafka__member(list->of, item, names[i]);
		if (m.field)
			return *(int32_t *)m.value;
	}
	return 0;
}

/* The partitions that were asked about, each with the error. false: no memory. */
static bool put_partitions(struct kafka_request *r, const struct kafka_field *asked, void *item, struct kafka_member out, int16_t error)
{
	struct kafka_member in = kafka__member(asked->of, item, "partitions");
	if (!in.field)
		in = kafka__member(asked->of, item, "partition_indexes");
	int32_t count = in.field && *in.count > 0 ? *in.count : 0;
	const struct kafka_layout *layout = out.field->of;
	uint8_t *all = kafka__alloc(r, (size_t)count, layout->size);
	for (int32_t i = 0; all && i < count; i++) {
		static const char *const names[] = {"partition_index", "partition", "index"};
		static const char *const none[] = {"base_offset", "committed_offset", "high_watermark", "low_watermark"};
		void *one = all + (size_t)i * layout->size;
		kafka__defaults(layout, one);
		for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
			struct kafka_member number = kafka__member(layout, one, names[k]);
			if (number.field)
				*(int32_t *)number.value = number_of(in.field,
								     *(uint8_t **)in.value + (size_t)i * kafka__element_size(in.field));
		}
		*(int16_t *)kafka__member(layout, one, "error_code").value = error;
		for (size_t k = 0; k < sizeof none / sizeof *none; k++) {
			struct kafka_member offset = kafka__member(layout, one, none[k]);
			if (offset.field)
				*(int64_t *)offset.value = -1;
		}
		struct kafka_member metadata = kafka__member(layout, one, "metadata");
		if (metadata.field)
			*(struct bytes *)metadata.value = KAFKA_EMPTY;
		struct kafka_member records = kafka__member(layout, one, "records");
		if (records.field)
			*(struct kafka_records *)records.value = (struct kafka_records){(const uint8_t *)"", 0, NULL};
	}
	*(uint8_t **)out.value = all;
	*out.count = count;
	return all != NULL;
}

/* Kafka says why in the answers to some requests, in others not. */
static void set_text(const struct kafka_request *r, int16_t error, struct kafka_member text)
{
	switch (r->api->key) {
	case KAFKA_CREATE_TOPICS: *(struct bytes *)text.value = BYTES("Authorization failed."); break;
	case KAFKA_FIND_COORDINATOR:
	case KAFKA_DESCRIBE_CONFIGS:
	case KAFKA_ALTER_CONFIGS:
	case KAFKA_INCREMENTAL_ALTER_CONFIGS: *(struct bytes *)text.value = kafka__text(kafka__denied_text(error)); break;
	default: break;
	}
}

/* One element of the reply: as the request named it, with its error, else as if nothing were known. */
static bool put_denied(struct kafka_request *r, const struct kafka_denial *d, int32_t i, const struct kafka_field *list, void *out)
{
	void *item = d->items + (size_t)i * kafka__element_size(d->asked);
	struct bytes *from = kafka__name_in(d->asked, item), *to = kafka__name_in(list, out);
	struct uuid *id = kafka__id_in(d->asked, item), *to_id = kafka__id_in(list, out);
	kafka__defaults(list->of, out);
	if (from && to)
		*to = *from;
	if (id && to_id)
		*to_id = *id;
	struct kafka_member type = kafka__member(list->of, out, "resource_type");
	if (type.field)
		*(int8_t *)type.value = *(int8_t *)kafka__member(d->asked->of, item, "resource_type").value;
	if (r->api->key == KAFKA_FIND_COORDINATOR && to)
		*(struct kafka_coordinator *)out = (struct kafka_coordinator){.key = *to, .node_id = -1, .host = KAFKA_EMPTY, .port = -1};
	struct kafka_member error = kafka__member(list->of, out, "error_code");
	if (error.field) {
		*(int16_t *)error.value = d->errors[i];
		set_text(r, d->errors[i], kafka__member(list->of, out, "error_message"));
		return true;
	}
	return put_partitions(r, d->asked, item, kafka__member(list->of, out, "partitions"), d->errors[i]);
}

static bool put_back(struct kafka_request *r, const struct kafka_denial *d)
{
	struct kafka_member list = kafka__member(d->reply_layout, d->reply(r, d->index), d->list);
	size_t size = kafka__element_size(list.field);
	int32_t had = *list.count > 0 && !d->alone ? *list.count : 0;
	uint8_t *all = kafka__alloc(r, (size_t)had + (size_t)d->count, size);
	if (!all)
		return false;
	if (had)
		memcpy(all, *(uint8_t **)list.value, (size_t)had * size);
	*(uint8_t **)list.value = all;
	*list.count = had + d->count;
	for (int32_t i = 0; i < d->count; i++)
		if (!put_denied(r, d, i, list.field, all + (size_t)(had + i) * size))
			return false;
	return true;
}

/* ---- what is not to be seen ---- */

/* Keep the elements of a list that the principal may describe. */
static void keep_seen(struct kafka_request *r, struct kafka_member list, enum auth_acl_word resource)
{
	size_t size = kafka__element_size(list.field);
	uint8_t *items = *(uint8_t **)list.value;
	int32_t kept = 0;
	for (int32_t i = 0; i < *list.count; i++) {
		uint8_t *item = items + (size_t)i * size;
		struct bytes name = *kafka__name_in(list.field, item);
		if (name.data && !kafka__may(r, AUTH_OPERATION_DESCRIBE, resource, name))
			continue;
		memmove(items + (size_t)kept++ * size, item, size);
	}
	if (*list.count > 0)
		*list.count = kept;
}

/* Bits of operations: those that the principal may not do are cleared. INT32_MIN: nobody asked. */
static void cut_bits(struct kafka_request *r, int32_t *bits, enum auth_acl_word resource, struct bytes name)
{
	if (*bits == INT32_MIN)
		return;
	for (int operation = 2; operation < 31; operation++)
		if ((*bits & (1 << operation)) && !kafka__may(r, (enum auth_acl_word)operation, resource, name))
			*bits &= ~(1 << operation);
}

static void cut_cluster_bits(struct kafka_request *r, int32_t *bits)
{
	if (*bits != INT32_MIN && !kafka__may_cluster(r, AUTH_OPERATION_DESCRIBE))
		*bits = 0;
	cut_bits(r, bits, AUTH_RESOURCE_CLUSTER, BYTES(AUTH_CLUSTER_NAME));
}

static void metadata_seen(struct kafka_request *r)
{
	const struct kafka_metadata_request *q = r->body;
	struct kafka_metadata_response *reply = r->reply;
	if (q->topics_count < 0 || (r->version.version == 0 && q->topics_count == 0))
		keep_seen(r, kafka__member(r->api->response, reply, "topics"), AUTH_RESOURCE_TOPIC);
	for (int32_t i = 0; i < reply->topics_count; i++)
		if (reply->topics[i].name.data)
			cut_bits(r, &reply->topics[i].topic_authorized_operations, AUTH_RESOURCE_TOPIC, reply->topics[i].name);
	cut_cluster_bits(r, &reply->cluster_authorized_operations);
}

static void created_topics_seen(struct kafka_request *r)
{
	struct kafka_create_topics_response *reply = r->reply;
	for (int32_t i = 0; i < reply->topics_count; i++) {
		struct kafka_created_topic *t = &reply->topics[i];
		if (t->error_code || kafka__may(r, AUTH_OPERATION_DESCRIBE_CONFIGS, AUTH_RESOURCE_TOPIC, t->name))
			continue;
		t->topic_config_error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
		t->num_partitions = t->replication_factor = -1;
		t->configs = NULL;
		t->configs_count = r->version.version >= 5 ? -1 : 0;
	}
}

static void offset_topics_seen(struct kafka_request *r)
{
	struct kafka_offset_fetch_response *reply = r->reply;
	keep_seen(r, kafka__member(r->api->response, reply, "topics"), AUTH_RESOURCE_TOPIC);
	for (int32_t i = 0; i < reply->groups_count; i++)
		keep_seen(r, kafka__member(&kafka_layout_offset_fetch_group_response, &reply->groups[i], "topics"), AUTH_RESOURCE_TOPIC);
}

static void transactions_seen(struct kafka_request *r)
{
	struct kafka_describe_transactions_response *reply = r->reply;
	for (int32_t i = 0; i < reply->transaction_states_count; i++)
		keep_seen(r, kafka__member(&kafka_layout_transaction_state, &reply->transaction_states[i], "topics"), AUTH_RESOURCE_TOPIC);
}

static void groups_seen(struct kafka_request *r)
{
	struct kafka_describe_groups_response *reply = r->reply;
	for (int32_t i = 0; i < reply->groups_count; i++)
		cut_bits(r, &reply->groups[i].authorized_operations, AUTH_RESOURCE_GROUP, reply->groups[i].group_id);
}

/* A group whose members read what the principal may not see shows nothing but that. */
static void consumer_group_seen(struct kafka_request *r, const struct kafka_field *list, void *group)
{
	struct kafka_member members = kafka__member(list->of, group, "members");
	bool hidden = false;
	for (int32_t i = 0; i < *members.count && !hidden; i++) {
		void *one = *(uint8_t **)members.value + (size_t)i * kafka__element_size(members.field);
		struct kafka_member names = kafka__member(members.field->of, one, "subscribed_topic_names");
		for (int32_t k = 0; k < *names.count && !hidden; k++)
			hidden = !kafka__may(r, AUTH_OPERATION_DESCRIBE, AUTH_RESOURCE_TOPIC, (*(struct bytes **)names.value)[k]);
	}
	if (hidden) {
		*(int16_t *)kafka__member(list->of, group, "error_code").value = KAFKA_TOPIC_AUTHORIZATION_FAILED;
		*(struct bytes *)kafka__member(list->of, group, "error_message").value = BYTES(
			"The group has described topic(s) that the client is not authorized to describe.");
		*members.count = 0;
	}
	cut_bits(r, kafka__member(list->of, group, "authorized_operations").value, AUTH_RESOURCE_GROUP, *kafka__name_in(list, group));
}

static void consumer_groups_seen(struct kafka_request *r)
{
	struct kafka_member groups = kafka__member(r->api->response, r->reply, "groups");
	for (int32_t i = 0; i < *groups.count; i++)
		consumer_group_seen(r, groups.field, *(uint8_t **)groups.value + (size_t)i * kafka__element_size(groups.field));
}

static void pages_seen(struct kafka_request *r)
{
	struct kafka_describe_topic_partitions_response *reply = r->reply;
	for (int32_t i = 0; i < reply->topics_count; i++)
		cut_bits(r, &reply->topics[i].topic_authorized_operations, AUTH_RESOURCE_TOPIC, reply->topics[i].name);
}

static void cut_reply(struct kafka_request *r)
{
	switch (r->api->key) {
	case KAFKA_METADATA: metadata_seen(r); break;
	case KAFKA_CREATE_TOPICS: created_topics_seen(r); break;
	case KAFKA_OFFSET_FETCH: offset_topics_seen(r); break;
	case KAFKA_DESCRIBE_TRANSACTIONS: transactions_seen(r); break;
	case KAFKA_DESCRIBE_GROUPS: groups_seen(r); break;
	case KAFKA_CONSUMER_GROUP_DESCRIBE: consumer_groups_seen(r); break;
	case KAFKA_DESCRIBE_TOPIC_PARTITIONS: pages_seen(r); break;
	case KAFKA_DESCRIBE_CLUSTER:
		cut_cluster_bits(r, &((struct kafka_describe_cluster_response *)r->reply)->cluster_authorized_operations);
		break;
	case KAFKA_LIST_GROUPS:
		if (!kafka__may_cluster(r, AUTH_OPERATION_DESCRIBE))
			keep_seen(r, kafka__member(r->api->response, r->reply, "groups"), AUTH_RESOURCE_GROUP);
		break;
	case KAFKA_LIST_TRANSACTIONS:
		keep_seen(r, kafka__member(r->api->response, r->reply, "transaction_states"), AUTH_RESOURCE_TRANSACTIONAL_ID);
		break;
	default: break;
	}
}

bool kafka__authorize_reply(struct kafka_request *r)
{
	if (r->silent) /* a producer that wants no answers learns of a refusal by the end of the connection */
		return !r->denials;
	cut_reply(r);
	for (const struct kafka_denial *d = r->denials; d; d = d->next)
		if (!put_back(r, d))
			return false;
	return true;
}
