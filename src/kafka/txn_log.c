/* __transaction_state: what each transactional id is at, in Kafka's own layout.
 *
 * Key:   int16 version 0, string transactional id
 * Value: int16 version 1, then txn_log_value of messages.def; null: the id was forgotten.
 * Source: Kafka's TransactionLogKey.json and TransactionLogValue.json. */
#include "kafka/txn_internal.h"
#include "log/record_batch.h"
#include <stdio.h>
#include <stdlib.h>

#define KEY_VERSION 0
#define VALUE_VERSION 1
#define READ_BYTES (1u << 20)

/* ---- lists of partitions ---- */

bool txn__parts_have(const struct txn_parts *parts, const char *topic, int32_t partition)
{
	for (uint32_t i = 0; i < parts->count; i++)
		if (parts->items[i].partition == partition && strcmp(parts->items[i].topic, topic) == 0)
			return true;
	return false;
}

enum sm_err txn__parts_reserve(struct txn_parts *parts, uint32_t more)
{
	if (parts->cap - parts->count >= more)
		return SM_OK;
	uint32_t cap = parts->cap ? parts->cap * 2 : 4;
	while (cap < parts->count + more)
		cap *= 2;
	struct txn_part *grown = realloc(parts->items, cap * sizeof *grown);
	if (!grown)
		return SM_NO_MEMORY;
	parts->items = grown;
	parts->cap = cap;
	return SM_OK;
}

void txn__parts_move(struct txn_parts *to, struct txn_parts *from)
{
	for (uint32_t i = 0; i < from->count; i++)
		to->items[to->count++] = from->items[i];
	from->count = 0;
}

enum sm_err txn__parts_add(struct txn_parts *parts, const char *topic, size_t topic_size, int32_t partition)
{
	if (txn__parts_reserve(parts, 1))
		return SM_NO_MEMORY;
	char *copy = strndup(topic, topic_size);
	if (!copy)
		return SM_NO_MEMORY;
	parts->items[parts->count++] = (struct txn_part){.topic = copy, .partition = partition};
	return SM_OK;
}

void txn__parts_clear(struct txn_parts *parts)
{
	for (uint32_t i = 0; i < parts->count; i++)
		free(parts->items[i].topic);
	free(parts->items);
	*parts = (struct txn_parts){0};
}

/* ---- writing ---- */

/* By topic, as the record has them. */
static bool group_parts(const struct txn_parts *parts, uint32_t total, struct arena *arena, struct kafka_txn_log_value *value)
{
	for (uint32_t i = 0; i < parts->count; i++) {
		const struct txn_part *p = &parts->items[i];
		int32_t at = 0;
		while (at < value->partitions_count && !bytes_equal(value->partitions[at].topic, bytes_str(p->topic)))
			at++;
		struct kafka_txn_log_topic *topic = &value->partitions[at];
		if (at == value->partitions_count) {
			topic->topic = bytes_str(p->topic);
			if (!(topic->partition_ids = arena_alloc(arena, total * sizeof(int32_t))))
				return false;
			value->partitions_count++;
		}
		topic->partition_ids[topic->partition_ids_count++] = p->partition;
	}
	return true;
}

static bool value_of(const struct kafka_txn *t, struct arena *arena, struct kafka_txn_log_value *value)
{
	const struct txn_values *v = &t->next;
	kafka__defaults(&kafka_layout_txn_log_value, value);
	value->producer_id = v->producer_id;
	value->previous_producer_id = v->previous_producer_id;
	value->next_producer_id = v->next_producer_id;
	value->next_producer_epoch = v->next_producer_id >= 0 ? 0 : -1;
	value->producer_epoch = v->epoch;
	value->timeout_ms = v->timeout_ms;
	value->status = (int8_t)v->state;
	value->updated_ms = v->updated_ms;
	value->start_ms = v->start_ms;
	value->client_version = v->client_version;
	bool has_parts = v->state == TXN_ONGOING || v->state == TXN_PREPARE_COMMIT || v->state == TXN_PREPARE_ABORT;
	value->partitions_count = v->state == TXN_EMPTY ? -1 : 0;
	if (!has_parts)
		return true;
	uint32_t total = t->parts.count + t->adding.count;
	value->partitions = arena_alloc(arena, (total + 1) * sizeof *value->partitions);
	return value->partitions && group_parts(&t->parts, total, arena, value) && group_parts(&t->adding, total, arena, value);
}

enum sm_err txn__record(struct kafka_txn *t, bool forget, int64_t now_ms, struct buf *out)
{
	struct arena arena;
	struct buf key, body;
	struct kafka_txn_log_value value;
	struct batch_builder b;
	enum sm_err err = SM_OK;
	arena_init(&arena, 0);
	buf_init(&key);
	buf_init(&body);
	buf_be16(&key, KEY_VERSION);
	buf_be16(&key, (uint16_t)strlen(t->id));
	buf_append_str(&key, t->id);
	buf_be16(&body, VALUE_VERSION);
	struct kafka_writer w = {.out = &body, .arena = &arena};
	if (!forget)
		err = value_of(t, &arena, &value)
			      ? kafka__encode(&kafka_layout_txn_log_value, (struct kafka_version){VALUE_VERSION, true}, &value, &w)
			      : SM_NO_MEMORY;
	if (!err && (key.failed || body.failed))
		err = SM_NO_MEMORY;
	if (!err) {
		batch_begin(&b, out, CODEC_NONE);
		batch_add(&b,
			  &(struct record){.timestamp_ms = now_ms, .key = buf_bytes(&key), .value = buf_bytes(&body), .value_null = forget},
			  NULL, 0);
		err = batch_end(&b);
	}
	buf_done(&key);
	buf_done(&body);
	arena_done(&arena);
	return err;
}

/* ---- reading ---- */

static enum sm_err take_value(struct kafka_txn *t, const struct kafka_txn_log_value *v)
{
	if (v->status < 0 || v->status >= TXN_STATES)
		return SM_CORRUPT;
	t->stored = true;
	t->is = (struct txn_values){
		.state = (enum txn_state)v->status,
		.producer_id = v->producer_id,
		.previous_producer_id = v->previous_producer_id,
		.next_producer_id = v->next_producer_id,
		.epoch = v->producer_epoch,
		.last_epoch = -1,
		.timeout_ms = v->timeout_ms,
		.start_ms = v->start_ms,
		.updated_ms = v->updated_ms,
		.client_version = v->client_version,
	};
	txn__parts_clear(&t->parts);
	for (int32_t i = 0; i < v->partitions_count; i++)
		for (int32_t k = 0; k < v->partitions[i].partition_ids_count; k++) {
			const struct kafka_txn_log_topic *topic = &v->partitions[i];
			enum sm_err err = txn__parts_add(&t->parts, (const char *)topic->topic.data, topic->topic.size,
							 topic->partition_ids[k]);
			if (err)
				return err;
		}
	return SM_OK;
}

static enum sm_err take_record(struct kafka_txns *c, const struct record *record)
{
	struct byte_reader key = byte_reader(record->key), in = byte_reader(record->value);
	uint16_t key_version = reader_be16(&key), size = reader_be16(&key);
	const uint8_t *id = reader_take(&key, size);
	if (key_version != KEY_VERSION)
		return SM_OK;
	if (key.failed || !size)
		return SM_CORRUPT;
	struct kafka_txn *t = map_get(&c->by_id, bytes_of(id, size));
	if (record->value_null) {
		if (t)
			txn__remove(t);
		return SM_OK;
	}
	if (!t && !(t = txn__new(c, (const char *)id, size)))
		return SM_NO_MEMORY;
	uint16_t version = reader_be16(&in);
	if (in.failed || version > VALUE_VERSION)
		return SM_VERSION;
	struct arena arena;
	struct kafka_txn_log_value value;
	arena_init(&arena, 0);
	kafka__defaults(&kafka_layout_txn_log_value, &value);
	enum sm_err err = kafka__decode(&kafka_layout_txn_log_value, (struct kafka_version){(int16_t)version, version >= 1}, &in, &arena,
					&value);
	if (!err)
		err = take_value(t, &value);
	arena_done(&arena);
	return err;
}

static enum sm_err take_slice(struct kafka_txns *c, struct bytes data, int64_t *next)
{
	enum sm_err err = SM_OK;
	while (data.size && !err) {
		struct batch_reader reader;
		struct record record;
		if ((err = batch_reader_init(&reader, data)))
			return err;
		while (!(err = batch_next(&reader, &record)))
			if (record.offset >= *next && (err = take_record(c, &record)))
				break;
		*next = reader.info.base_offset + reader.info.last_offset_delta + 1;
		data = bytes_of(data.data + reader.info.size, data.size - reader.info.size);
		batch_reader_done(&reader);
		err = err == SM_END ? SM_OK : err;
	}
	return err;
}

enum sm_err txn__load(struct kafka_txns *c, struct sm_error *reterr)
{
	struct sm_log *log = c->server->log;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	const struct log_topics *topics = log->ops->topics(log);
	c->topic_made = topics && log_topics_find(topics, TXN_TOPIC);
	if (topics)
		log->ops->topics_release(log, topics);
	if (!c->topic_made)
		return SM_OK;
	int64_t at = 0, end = 0;
	enum sm_err err = log->ops->offset_for(log, TXN_TOPIC, 0, LOG_EARLIEST, &at, NULL);
	if (!err)
		err = log->ops->offset_for(log, TXN_TOPIC, 0, LOG_HIGH_WATERMARK, &end, NULL);
	while (!err && at < end) {
		struct log_read_result r;
		struct bytes data;
		if ((err = log->ops->read_uncommitted(log, TXN_TOPIC, 0, at, READ_BYTES, &r)))
			break;
		if (!r.slice.size)
			break;
		if (!(err = log_slice_bytes(&r.slice, &buffer, &cap, &data)))
			err = take_slice(c, data, &at);
		log_slice_done(&r.slice);
	}
	free(buffer);
	return err ? sm_fail(reterr, err, "%s cannot be read at offset %lld: %s", TXN_TOPIC, (long long)at, sm_err_text(err)) : SM_OK;
}
