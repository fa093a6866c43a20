#include "kafka/kafka_internal.h"
#include "base/address.h"
#include "base/block.h"
#include "base/metrics.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

const struct kafka_api kafka__apis[] = {
#define X(NAME, name, key, advertised, min, max, flexible, handler) \
	{#name, key, advertised, min, max, flexible, &kafka_layout_##name##_request, &kafka_layout_##name##_response, handler},
#include "kafka/apis.def"
#undef X
};
const uint32_t kafka__api_count = sizeof kafka__apis / sizeof kafka__apis[0];

const struct kafka_api *kafka__api_find(int16_t key)
{
	for (uint32_t i = 0; i < kafka__api_count; i++) {
		if (kafka__apis[i].key == key)
			return &kafka__apis[i];
	}
	return NULL;
}

static void msg_done(struct sm_msg *msg)
{
	kafka__request_unref(((struct kafka_msg *)msg)->request);
}
static const struct sm_msg_type msg_type = {"kafka request", msg_done};

struct kafka_request *kafka__request_new(struct kafka_server *server, void *memory, uint8_t *frame, size_t size)
{
	struct kafka_request *r = calloc(1, sizeof *r);
	if (!r) {
		free(memory);
		return NULL;
	}
	atomic_init(&r->refs, 1);
	r->server = server;
	r->memory = memory;
	r->frame = frame;
	r->frame_size = size;
	arena_init(&r->arena, KAFKA_REQUEST_ARENA_MAX);
	buf_init(&r->out);
	struct kafka_msg *all[] = {&r->resume_msg, &r->wake_msg, &r->group_msg, &r->txn.msg};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		all[i]->msg.type = &msg_type;
		all[i]->request = r;
	}
	atomic_fetch_add(&server->users, 1);
	return r;
}

struct kafka_request *kafka__request_ref(struct kafka_request *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void kafka__request_unref(struct kafka_request *r)
{
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct kafka_server *server = r->server;
	if (r->done)
		r->done(r);
	if (r->topics)
		server->log->ops->topics_release(server->log, r->topics);
	kafka__txn_release(r);
	sm_unref(r->conn_ref);
	buf_done(&r->out);
	arena_done(&r->arena);
	block_free(r->memory);
	free(r);
	atomic_fetch_sub(&server->users, 1);
}

/* Source: KIP-511: a broker that does not know the version of ApiVersions answers in version 0, with the range that it knows. */
static enum sm_err answer_unknown_api_versions(struct kafka_request *r)
{
	struct kafka_api_versions_response *reply = r->reply;
	r->version = (struct kafka_version){0, false};
	reply->error_code = KAFKA_UNSUPPORTED_VERSION;
	reply->api_keys = kafka__alloc(r, 1, sizeof *reply->api_keys);
	if (!reply->api_keys)
		return SM_NO_MEMORY;
	reply->api_keys_count = 1;
	reply->api_keys[0] = (struct kafka_api_version){r->api->key, r->api->advertised_min, r->api->max};
	return SM_OK;
}

/* Request header v1: key, version, correlation id, client id (never compact); v2 adds tags. */
enum sm_err kafka__request_parse(struct kafka_request *r, bool *ret_answer)
{
	struct byte_reader in = byte_reader(bytes_of(r->frame, r->frame_size));
	int16_t key = (int16_t)reader_be16(&in), version = (int16_t)reader_be16(&in);
	r->correlation_id = (int32_t)reader_be32(&in);
	*ret_answer = false;
	if (in.failed)
		return SM_TRUNCATED;
	r->api = kafka__api_find(key);
	if (!r->api)
		return SM_UNSUPPORTED;
	r->version = (struct kafka_version){version, version >= r->api->flexible};
	r->reply = arena_alloc(&r->arena, r->api->response->size);
	if (!r->reply)
		return SM_NO_MEMORY;
	kafka__defaults(r->api->response, r->reply);
	if (version < r->api->min || version > r->api->max) {
		if (key != KAFKA_API_VERSIONS)
			return SM_UNSUPPORTED;
		*ret_answer = true;
		return answer_unknown_api_versions(r);
	}
	int16_t client_size = (int16_t)reader_be16(&in);
	if (client_size > 0)
		r->client_id = bytes_of(reader_take(&in, (size_t)client_size), (size_t)client_size);
	if (in.failed)
		return SM_TRUNCATED;
	if (r->version.flexible) {
		uint64_t tags = reader_uvarint(&in);
		for (uint64_t i = 0; i < tags && !in.failed; i++) {
			reader_uvarint(&in);
			reader_take(&in, reader_uvarint(&in));
		}
		if (in.failed)
			return SM_TRUNCATED;
	}
	r->body = arena_alloc(&r->arena, r->api->request->size);
	if (!r->body)
		return SM_NO_MEMORY;
	return kafka__decode(r->api->request, r->version, &in, &r->arena, r->body);
}

enum sm_err kafka__request_encode(struct kafka_request *r)
{
	buf_be32(&r->out, 0);
	buf_be32(&r->out, (uint32_t)r->correlation_id);
	/* An ApiVersions answer has the old header in every version: its reader does not know yet what the broker speaks. */
	if (r->version.flexible && r->api->key != KAFKA_API_VERSIONS)
		buf_u8(&r->out, 0);
	struct kafka_writer w = {.out = &r->out, .arena = &r->arena};
	enum sm_err err = kafka__encode(r->api->response, r->version, r->reply, &w);
	if (err)
		return err;
	r->splices = w.splices;
	r->splice_count = w.splice_count;
	be32_put(r->out.data + r->out.start, (uint32_t)(buf_size(&r->out) - 4 + w.spliced_bytes));
	return SM_OK;
}

void kafka__parts_begin(struct kafka_request *r, uint32_t count)
{
	atomic_store(&r->parts, count + 1);
	kafka__request_ref(r);
}

void kafka__part_end(struct kafka_request *r)
{
	if (atomic_fetch_sub_explicit(&r->parts, 1, memory_order_acq_rel) == 1)
		kafka__resume(r);
}

void *kafka__alloc(struct kafka_request *r, size_t count, size_t size)
{
	if (size && count > KAFKA_REQUEST_ARENA_MAX / size)
		return NULL;
	size_t bytes = count * size;
	return arena_alloc(&r->arena, bytes ? bytes : 1);
}

const char *kafka__peer_host(const char *peer, char out[KAFKA_PEER_HOST_MAX])
{
	return address_host(peer, out, KAFKA_PEER_HOST_MAX);
}

const char *kafka__cstr(struct kafka_request *r, struct bytes text)
{
	if (text.size && memchr(text.data, 0, text.size))
		return NULL;
	return arena_string(&r->arena, (const char *)text.data, text.size);
}

bool kafka__uuid_is_zero(const struct uuid *id)
{
	static const struct uuid zero;
	return memcmp(id, &zero, sizeof zero) == 0;
}

const uint32_t *kafka__firsts(struct kafka_request *r, const struct bytes *keys, uint32_t count)
{
	uint32_t *firsts = kafka__alloc(r, count, sizeof *firsts);
	struct map places; /* each of firsts, which says of itself where it stands */
	map_init(&places);
	for (uint32_t i = 0; firsts && i < count; i++) {
		const uint32_t *first = map_get(&places, keys[i]);
		firsts[i] = first ? *first : i;
		if (!first && map_put(&places, keys[i], &firsts[i], NULL))
			firsts = NULL;
	}
	map_done(&places);
	return firsts;
}

const struct log_topics *kafka__topics(struct kafka_request *r)
{
	struct sm_log *log = r->server->log;
	if (r->topics)
		log->ops->topics_release(log, r->topics);
	return r->topics = log->ops->topics(log);
}

const struct log_topic *kafka__topic(struct kafka_request *r, const struct log_topics *topics, struct bytes name, const struct uuid *id)
{
	if (!id) {
		const char *text = kafka__cstr(r, name);
		return text ? log_topics_find(topics, text) : NULL;
	}
	for (uint32_t i = 0; i < topics->count; i++) {
		if (memcmp(&topics->items[i].id, id, sizeof *id) == 0)
			return &topics->items[i];
	}
	return NULL;
}

bool kafka__topic_internal(struct bytes name)
{
	return bytes_equal(name, BYTES("__consumer_offsets")) || bytes_equal(name, BYTES("__transaction_state"));
}

int16_t kafka__partition_error(const struct log_topic *topic, bool by_id, int32_t partition)
{
	if (!topic)
		return by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return partition < 0 || partition >= topic->partitions ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_NONE;
}
