/* Offsets that consumer groups have committed: records of the topic __consumer_offsets in Kafka's own layout, and a map of
 * the newest in memory.
 *
 * Key:   int16 version 1, string group, string topic, int32 partition       (string: int16 length, bytes)
 * Value: int16 version 3, int64 offset, int32 leader epoch, string metadata, int64 commit time in ms; null takes it back.
 * Those of a transaction lie in transactional batches of its producer, and count when its COMMIT marker follows in the same
 * partition; until then they are kept as the batches that they came in.
 * A group's partition is abs(hashCode of its name in Java) % partitions; abs of the smallest integer is 0, as in Kafka.
 * Source: Kafka's OffsetCommitKey.json and OffsetCommitValue.json; Utils.abs.
 *
 * The topic is made by the first commit. It is compacted like any other (compact.c), but in segments of LOG_OFFSETS_SEGMENT_BYTES: all
 * of it is read at the start. */
#include "base/arena.h"
#include "base/map.h"
#include "log/log_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define BATCH_SPLIT_BYTES (512u << 10)
#define READ_BYTES (1u << 20)

struct committed {
	int64_t offset;
	int32_t leader_epoch;
	int64_t time_ms;
	int64_t at; /* the record's own offset */
	uint32_t metadata_size;
	char metadata[]; /* terminated */
};
struct group {
	struct map offsets; /* topic and 4 bytes partition -> struct committed */
	struct map pending; /* the same -> how many batches of open transactions have one, as the pointer's value */
};
struct commit {
	struct group_offsets *offsets;
	struct partition *log; /* counted */
	int32_t partition;
	struct buf batches;
	bool transactional;
	void (*done)(void *arg, enum sm_err err);
	void *arg;
};
/* A batch of an open transaction. */
struct pending {
	struct pending *next;
	int64_t producer_id;
	size_t size;
	uint8_t batch[];
};
struct part {
	struct pending *pending, **pending_tail; /* oldest first */
	bool unreadable;                         /* nobody knows what was committed: nothing is told */
};
struct group_offsets {
	struct engine *engine;
	pthread_mutex_t lock;
	struct map groups;
	struct group_records *records;
	uint64_t strange; /* records that were passed over */
	struct part parts[LOG_OFFSETS_PARTITIONS];
};

/* ---- layout ---- */

/* String.hashCode of Java: over UTF-16 units. */
static int32_t java_hash(struct bytes utf8)
{
	uint32_t hash = 0;
	for (size_t i = 0; i < utf8.size;) {
		uint8_t c = utf8.data[i++];
		uint32_t code = c;
		int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
		if (more)
			code = c & (0x3fu >> more);
		while (more-- && i < utf8.size)
			code = code << 6 | (utf8.data[i++] & 0x3f);
		if (code >= 0x10000) {
			code -= 0x10000;
			hash = 31 * hash + (0xd800 | code >> 10);
			code = 0xdc00 | (code & 0x3ff);
		}
		hash = 31 * hash + code;
	}
	return (int32_t)hash;
}

int32_t log__offsets_partition(const char *group)
{
	int32_t hash = java_hash(bytes_str(group));
	return (hash == INT32_MIN ? 0 : abs(hash)) % LOG_OFFSETS_PARTITIONS;
}

static void string_put(struct buf *out, const char *text, size_t size)
{
	buf_be16(out, (uint16_t)size);
	buf_append(out, text, size);
}

static void key_put(struct buf *out, const char *group, const char *topic, size_t topic_size, int32_t partition)
{
	buf_be16(out, 1);
	string_put(out, group, strlen(group));
	string_put(out, topic, topic_size);
	buf_be32(out, (uint32_t)partition);
}

static void value_put(struct buf *out, int64_t offset, int32_t leader_epoch, const char *metadata, int64_t time_ms)
{
	buf_be16(out, 3);
	buf_be64(out, (uint64_t)offset);
	buf_be32(out, (uint32_t)leader_epoch);
	string_put(out, metadata, strlen(metadata));
	buf_be64(out, (uint64_t)time_ms);
}

/* Batches of such records, cut before they grow too large. */
struct writer {
	struct buf *out;
	struct batch_builder builder;
	struct buf key, value;
	int64_t producer_id; /* -1: no transaction */
	int16_t epoch;
	bool open;
	enum sm_err err;
};

static void writer_flush(struct writer *w)
{
	if (w->open && !w->err)
		w->err = batch_end(&w->builder);
	w->open = false;
}

static void writer_add(struct writer *w, const char *group, const char *topic, size_t topic_size, int32_t partition,
		       const struct committed *c, int64_t now_ms)
{
	if (w->open && batch_size(&w->builder) > BATCH_SPLIT_BYTES)
		writer_flush(w);
	if (!w->open)
		batch_begin(&w->builder, w->out, CODEC_NONE);
	if (!w->open && w->producer_id >= 0) {
		batch_set_producer(&w->builder, w->producer_id, w->epoch, -1);
		batch_set_kind(&w->builder, BATCH_TRANSACTIONAL);
	}
	w->open = true;
	buf_clear(&w->key);
	buf_clear(&w->value);
	key_put(&w->key, group, topic, topic_size, partition);
	if (c->offset >= 0)
		value_put(&w->value, c->offset, c->leader_epoch, c->metadata, c->time_ms);
	batch_add(&w->builder,
		  &(struct record){
			  .timestamp_ms = now_ms, .key = buf_bytes(&w->key), .value = buf_bytes(&w->value), .value_null = c->offset < 0},
		  NULL, 0);
	if (w->key.failed || w->value.failed)
		w->err = SM_NO_MEMORY;
}

static enum sm_err writer_end(struct writer *w)
{
	writer_flush(w);
	buf_done(&w->key);
	buf_done(&w->value);
	return w->out->failed ? SM_NO_MEMORY : w->err;
}

/* ---- the map: under the lock ---- */

static struct group *group_get(struct group_offsets *g, struct bytes name, bool make)
{
	struct group *group = map_get(&g->groups, name);
	if (group || !make || !(group = calloc(1, sizeof *group)))
		return group;
	map_init(&group->offsets);
	map_init(&group->pending);
	if (map_put(&g->groups, name, group, NULL)) {
		free(group);
		return NULL;
	}
	return group;
}

static void group_drop_if_empty(struct group_offsets *g, struct bytes name, struct group *group)
{
	if (group->offsets.count || group->pending.count)
		return;
	map_remove(&g->groups, name);
	map_done(&group->offsets);
	map_done(&group->pending);
	free(group);
}

/* Of two commits the one that was appended later counts, whenever a transaction's marker came: compaction keeps that one too. */
static enum sm_err map_apply(struct group_offsets *g, int64_t at, struct bytes group_name, struct bytes key, int64_t offset,
			     int32_t leader_epoch, struct bytes metadata, int64_t time_ms)
{
	struct group *group = group_get(g, group_name, offset >= 0);
	if (!group)
		return offset >= 0 ? SM_NO_MEMORY : SM_OK;
	const struct committed *there = map_get(&group->offsets, key);
	void *old = NULL;
	if (there && there->at > at)
		return SM_OK;
	if (offset < 0) {
		old = map_remove(&group->offsets, key);
	} else {
		struct committed *c = malloc(sizeof *c + metadata.size + 1);
		if (!c)
			return SM_NO_MEMORY;
		*c = (struct committed){offset, leader_epoch, time_ms, at, (uint32_t)metadata.size};
		if (metadata.size)
			memcpy(c->metadata, metadata.data, metadata.size);
		c->metadata[metadata.size] = 0;
		if (map_put(&group->offsets, key, c, &old)) {
			free(c);
			return SM_NO_MEMORY;
		}
	}
	free(old);
	group_drop_if_empty(g, group_name, group);
	return SM_OK;
}

static struct bytes string_read(struct byte_reader *in)
{
	uint16_t size = reader_be16(in);
	const uint8_t *p = reader_take(in, size);
	return bytes_of(p, p ? size : 0);
}

/* *ret_key: topic and partition, as the maps keep them: the bytes of the record's key from the topic's text on.
 * SM_END: a key of another version: what a coordinator keeps (group_records.c). */
static enum sm_err key_read(const struct record *record, struct bytes *ret_group, struct bytes *ret_key)
{
	struct byte_reader key = byte_reader(record->key);
	if (reader_be16(&key) > 1)
		return SM_END;
	*ret_group = string_read(&key);
	struct bytes topic = string_read(&key);
	reader_be32(&key);
	if (key.failed || reader_left(&key))
		return SM_CORRUPT;
	*ret_key = bytes_of(topic.data, topic.size + 4);
	return SM_OK;
}

static enum sm_err offset_apply(struct group_offsets *g, const struct record *record, struct bytes group, struct bytes map_key)
{
	struct byte_reader value = byte_reader(record->value);
	if (record->value_null)
		return map_apply(g, record->offset, group, map_key, -1, -1, (struct bytes){NULL, 0}, 0);
	uint16_t version = reader_be16(&value);
	int64_t offset = (int64_t)reader_be64(&value);
	int32_t leader_epoch = version >= 3 ? (int32_t)reader_be32(&value) : -1;
	struct bytes metadata = string_read(&value);
	int64_t time_ms = (int64_t)reader_be64(&value);
	if (value.failed || version > 3 || offset < 0)
		return SM_CORRUPT;
	return map_apply(g, record->offset, group, map_key, offset, leader_epoch, metadata, time_ms);
}

/* The first is told; others are of the same kind. */
static void notify_strange(struct group_offsets *g, int64_t offset)
{
	char text[200];
	if (g->strange++)
		return;
	snprintf(text, sizeof text,
		 TOPIC_OFFSETS ": the record at offset %lld is damaged or of an unknown version: it is passed over, as are "
			       "others like it",
		 (long long)offset);
	log__notice(g->engine, text);
}

/* One record of the topic. What nobody can make sense of is passed over: all others count. */
static enum sm_err record_apply(struct group_offsets *g, const struct record *record)
{
	struct bytes group, map_key;
	enum sm_err err = key_read(record, &group, &map_key);
	if (err == SM_END)
		err = log__group_records_apply(g->records, record);
	else if (!err)
		err = offset_apply(g, record, group, map_key);
	if (err != SM_CORRUPT)
		return err;
	notify_strange(g, record->offset);
	return SM_OK;
}

static enum sm_err records_each(struct group_offsets *g, struct bytes batch,
				enum sm_err (*each)(struct group_offsets *g, const struct record *record))
{
	struct batch_reader reader;
	struct record record;
	enum sm_err err = batch_reader_init(&reader, batch);
	if (err)
		return err;
	while (!(err = batch_next(&reader, &record)) && !(err = each(g, &record)))
		;
	batch_reader_done(&reader);
	return err == SM_END ? SM_OK : err;
}

/* ---- transactions: under the lock ---- */

static enum sm_err pending_count_up(struct group_offsets *g, const struct record *record)
{
	struct bytes name, key;
	enum sm_err err = key_read(record, &name, &key);
	if (err)
		return err == SM_END ? SM_OK : err;
	struct group *group = group_get(g, name, true);
	if (!group)
		return SM_NO_MEMORY;
	uintptr_t count = (uintptr_t)map_get(&group->pending, key);
	err = map_put(&group->pending, key, (void *)(count + 1), NULL);
	group_drop_if_empty(g, name, group);
	return err;
}

static enum sm_err pending_count_down(struct group_offsets *g, const struct record *record)
{
	struct bytes name, key;
	if (key_read(record, &name, &key))
		return SM_OK;
	struct group *group = group_get(g, name, false);
	uintptr_t count = group ? (uintptr_t)map_get(&group->pending, key) : 0;
	if (count > 1)
		(void)!map_put(&group->pending, key, (void *)(count - 1), NULL); /* it is there: needs no memory */
	else if (count == 1)
		map_remove(&group->pending, key);
	if (group)
		group_drop_if_empty(g, name, group);
	return SM_OK;
}

static enum sm_err pending_add(struct group_offsets *g, int32_t partition, struct bytes batch, int64_t producer_id)
{
	struct part *part = &g->parts[partition];
	struct pending *p = malloc(sizeof *p + batch.size);
	if (!p)
		return SM_NO_MEMORY;
	*p = (struct pending){NULL, producer_id, batch.size};
	if (batch.data)
		memcpy(p->batch, batch.data, batch.size);
	enum sm_err err = records_each(g, batch, pending_count_up);
	if (err) {
		free(p);
		return err;
	}
	*part->pending_tail = p;
	part->pending_tail = &p->next;
	return SM_OK;
}

/* The producer's transaction has ended in this partition. */
static enum sm_err pending_end(struct group_offsets *g, int32_t partition, int64_t producer_id, bool commit)
{
	struct part *part = &g->parts[partition];
	enum sm_err err = SM_OK;
	for (struct pending *p = part->pending; p && commit && !err; p = p->next)
		if (p->producer_id == producer_id)
			err = records_each(g, bytes_of(p->batch, p->size), record_apply);
	if (err) /* memory: the coordinator sends the marker again */
		return err;
	struct pending **at = &part->pending;
	while (*at) {
		struct pending *p = *at;
		if (p->producer_id != producer_id) {
			at = &p->next;
			continue;
		}
		(void)!records_each(g, bytes_of(p->batch, p->size), pending_count_down);
		*at = p->next;
		free(p);
	}
	part->pending_tail = at;
	return SM_OK;
}

static enum sm_err batch_apply(struct group_offsets *g, int32_t partition, struct bytes batch, const struct batch_info *info)
{
	struct log_txn_marker marker;
	if (!(info->attributes & (BATCH_TRANSACTIONAL | BATCH_CONTROL)))
		return records_each(g, batch, record_apply);
	if (!(info->attributes & BATCH_CONTROL))
		return pending_add(g, partition, batch, info->producer_id);
	enum sm_err err = log__marker_read(batch, &marker);
	if (err)
		return err == SM_END ? SM_OK : err;
	return pending_end(g, partition, marker.producer_id, marker.commit);
}

/* All records of whole batches in memory. */
static enum sm_err batches_apply(struct group_offsets *g, int32_t partition, struct bytes data, int64_t *ret_next)
{
	while (data.size) {
		struct batch_info info;
		enum sm_err err = batch_parse(data, &info);
		if (err || (err = batch_apply(g, partition, bytes_of(data.data, info.size), &info)))
			return err;
		if (ret_next)
			*ret_next = info.base_offset + info.last_offset_delta + 1;
		data = bytes_of(data.data + info.size, data.size - info.size);
	}
	return SM_OK;
}

/* ---- commits ---- */

static void commit_end(struct commit *c, enum sm_err err)
{
	c->done(c->arg, err);
	log__partition_unref(c->log);
	buf_done(&c->batches);
	free(c);
}

static void commit_is_appended(void *arg, const struct log_append_result *result)
{
	struct commit *c = arg;
	struct group_offsets *g = c->offsets;
	enum sm_err err = result->err;
	pthread_mutex_lock(&g->lock);
	if (!err)
		err = batches_apply(g, c->partition, buf_bytes(&c->batches), NULL);
	pthread_mutex_unlock(&g->lock);
	commit_end(c, err);
}

static void commit_append(struct commit *c)
{
	struct bytes data = buf_bytes(&c->batches);
	if (c->transactional)
		log__partition_append_own(c->log, (uint8_t *)(uintptr_t)data.data, data.size, commit_is_appended, c);
	else
		log__partition_append(c->log, (uint8_t *)(uintptr_t)data.data, data.size, 0, commit_is_appended, c);
}

static void topic_is_there(void *arg, const struct sm_error *error)
{
	struct commit *c = arg;
	enum sm_err err = error && error->code != SM_EXISTS ? error->code : SM_OK;
	if (!err && !(c->log = log__topics_partition(c->offsets->engine, TOPIC_OFFSETS, c->partition)))
		err = SM_NOT_FOUND;
	if (err)
		commit_end(c, err);
	else
		commit_append(c);
}

static enum sm_err commit_build(struct commit *c, const char *group, int64_t producer_id, int16_t epoch,
				const struct log_group_offset *offsets, uint32_t count)
{
	struct writer w = {.out = &c->batches, .producer_id = producer_id, .epoch = epoch};
	int64_t now_ms = clock_wall_ms(c->offsets->engine->clock);
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < count && !err; i++) {
		const struct log_group_offset *o = &offsets[i];
		size_t metadata_size = o->metadata ? strlen(o->metadata) : 0;
		struct committed *value = NULL;
		if (metadata_size > LOG_OFFSETS_METADATA_MAX)
			err = SM_TOO_LARGE;
		else if (!log_topic_name_ok(o->topic) || o->partition < 0)
			err = SM_INVALID;
		else if (!(value = malloc(sizeof *value + metadata_size + 1)))
			err = SM_NO_MEMORY;
		if (err)
			break;
		*value = (struct committed){o->offset, o->leader_epoch, now_ms, -1, (uint32_t)metadata_size};
		memcpy(value->metadata, o->metadata ? o->metadata : "", metadata_size + 1);
		writer_add(&w, group, o->topic, strlen(o->topic), o->partition, value, now_ms);
		free(value);
	}
	enum sm_err end_err = writer_end(&w);
	return err ? err : end_err;
}

/* NULL: done was told. */
static struct commit *commit_new(struct group_offsets *g, const char *group, void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct commit *c = strlen(group) > LOG_GROUP_NAME_MAX ? NULL : calloc(1, sizeof *c);
	if (!c) {
		done(arg, strlen(group) > LOG_GROUP_NAME_MAX ? SM_INVALID : SM_NO_MEMORY);
		return NULL;
	}
	c->offsets = g;
	c->done = done;
	c->arg = arg;
	c->partition = log__offsets_partition(group);
	buf_init(&c->batches);
	return c;
}

static void commit_start(struct commit *c, enum sm_err err)
{
	struct group_offsets *g = c->offsets;
	if (!err && atomic_load(&g->engine->closing))
		err = SM_CLOSED;
	if (err) {
		commit_end(c, err);
		return;
	}
	if ((c->log = log__topics_partition(g->engine, TOPIC_OFFSETS, c->partition))) {
		commit_append(c);
		return;
	}
	const struct log_config config = {"cleanup.policy", "compact"};
	const struct log_topic_spec spec = {TOPIC_OFFSETS, LOG_OFFSETS_PARTITIONS, 1, &config, 1};
	log__meta_topic_create(g->engine, &spec, true, topic_is_there, c);
}

static void commit_begin(struct group_offsets *g, const char *group, int64_t producer_id, int16_t epoch,
			 const struct log_group_offset *offsets, uint32_t count, void (*done)(void *arg, enum sm_err err), void *arg)
{
	if (count == 0 && strlen(group) <= LOG_GROUP_NAME_MAX) {
		done(arg, SM_OK);
		return;
	}
	struct commit *c = commit_new(g, group, done, arg);
	if (!c)
		return;
	c->transactional = producer_id >= 0;
	enum sm_err err = commit_build(c, group, producer_id, epoch, offsets, count);
	/* One append, one answer: a transaction's offsets are in one batch. */
	struct batch_info info;
	if (!err && c->transactional && !(err = batch_parse(buf_bytes(&c->batches), &info)) && info.size != buf_size(&c->batches))
		err = SM_TOO_LARGE;
	commit_start(c, err);
}

void log__group_write(struct group_offsets *g, const char *group, const struct log_group_record *records, uint32_t count,
		      void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct commit *c = commit_new(g, group, done, arg);
	if (c)
		commit_start(c, log__group_records_build(records, count, clock_wall_ms(g->engine->clock), &c->batches));
}

void log__offsets_commit(struct group_offsets *g, const char *group, const struct log_group_offset *offsets, uint32_t count,
			 void (*done)(void *arg, enum sm_err err), void *arg)
{
	commit_begin(g, group, -1, -1, offsets, count, done, arg);
}

void log__offsets_commit_txn(struct group_offsets *g, const char *group, int64_t producer_id, int16_t epoch,
			     const struct log_group_offset *offsets, uint32_t count, void (*done)(void *arg, enum sm_err err), void *arg)
{
	commit_begin(g, group, producer_id, epoch, offsets, count, done, arg);
}

struct ending {
	struct group_offsets *offsets;
	int32_t partition;
	struct log_txn_marker marker;
	log_append_done done;
	void *arg;
};

static void marker_is_appended(void *arg, const struct log_append_result *result)
{
	struct ending *e = arg;
	struct log_append_result out = *result;
	if (!out.err) {
		pthread_mutex_lock(&e->offsets->lock);
		out.err = pending_end(e->offsets, e->partition, e->marker.producer_id, e->marker.commit);
		pthread_mutex_unlock(&e->offsets->lock);
	}
	e->done(e->arg, &out);
	free(e);
}

void log__offsets_txn_end(struct group_offsets *g, struct partition *log, const struct log_txn_marker *marker, log_append_done done,
			  void *arg)
{
	struct ending *e = malloc(sizeof *e);
	if (!e) {
		done(arg, &(struct log_append_result){SM_NO_MEMORY, -1, -1, -1});
		return;
	}
	*e = (struct ending){g, log->number, *marker, done, arg};
	log__partition_txn_end(log, marker, marker_is_appended, e);
}

/* ---- reading ---- */

static struct arena *hold_new(void)
{
	struct arena *arena = calloc(1, sizeof *arena);
	if (arena)
		arena_init(arena, 0);
	return arena;
}

static void hold_free(struct arena *arena)
{
	if (arena)
		arena_done(arena);
	free(arena);
}

enum sm_err log__offsets_fetch(struct group_offsets *g, const char *group_name, struct log_group_offset *offsets, uint32_t count,
			       void **ret_hold)
{
	struct arena *arena = calloc(1, sizeof *arena);
	struct buf key;
	enum sm_err err = arena ? SM_OK : SM_NO_MEMORY;
	if (!err && g->parts[log__offsets_partition(group_name)].unreadable)
		err = SM_IO;
	if (err) {
		free(arena);
		return err;
	}
	arena_init(arena, 0);
	buf_init(&key);
	pthread_mutex_lock(&g->lock);
	struct group *group = map_get(&g->groups, bytes_str(group_name));
	for (uint32_t i = 0; i < count && !err; i++) {
		buf_clear(&key);
		buf_append_str(&key, offsets[i].topic);
		buf_be32(&key, (uint32_t)offsets[i].partition);
		const struct committed *c = group ? map_get(&group->offsets, buf_bytes(&key)) : NULL;
		offsets[i].offset = c ? c->offset : -1;
		offsets[i].leader_epoch = c ? c->leader_epoch : -1;
		offsets[i].metadata = c ? arena_string(arena, c->metadata, c->metadata_size) : "";
		offsets[i].pending = group && map_get(&group->pending, buf_bytes(&key));
		if (!offsets[i].metadata || key.failed)
			err = SM_NO_MEMORY;
	}
	pthread_mutex_unlock(&g->lock);
	buf_done(&key);
	if (err) {
		hold_free(arena);
		return err;
	}
	*ret_hold = arena;
	return SM_OK;
}

static int by_topic(const void *a, const void *b)
{
	const struct log_group_offset *x = a, *y = b;
	int order = strcmp(x->topic, y->topic);
	return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

enum sm_err log__offsets_list(struct group_offsets *g, const char *group_name, struct log_group_offset **ret_offsets, uint32_t *ret_count,
			      void **ret_hold)
{
	if (g->parts[log__offsets_partition(group_name)].unreadable)
		return SM_IO;
	struct arena *arena = hold_new();
	if (!arena)
		return SM_NO_MEMORY;
	pthread_mutex_lock(&g->lock);
	struct group *group = map_get(&g->groups, bytes_str(group_name));
	size_t want = group ? group->offsets.count : 0, pos = 0;
	uint32_t count = 0;
	struct log_group_offset *list = arena_alloc(arena, (want + 1) * sizeof *list);
	struct bytes key;
	void *value;
	bool whole = list != NULL;
	while (whole && group && map_next(&group->offsets, &pos, &key, &value)) {
		const struct committed *c = value;
		list[count] = (struct log_group_offset){
			.topic = arena_string(arena, (const char *)key.data, key.size - 4),
			.partition = (int32_t)be32_get(key.data + key.size - 4),
			.offset = c->offset,
			.leader_epoch = c->leader_epoch,
			.metadata = arena_string(arena, c->metadata, c->metadata_size),
			.pending = map_get(&group->pending, key) != NULL,
			.committed_ms = c->time_ms,
		};
		whole = list[count].topic && list[count].metadata;
		count++;
	}
	pthread_mutex_unlock(&g->lock);
	if (!whole) {
		hold_free(arena);
		return SM_NO_MEMORY;
	}
	qsort(list, count, sizeof *list, by_topic);
	*ret_offsets = list;
	*ret_count = count;
	*ret_hold = arena;
	return SM_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum sm_err log__offsets_groups(struct group_offsets *g, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	for (int32_t i = 0; i < LOG_OFFSETS_PARTITIONS; i++)
		if (g->parts[i].unreadable)
			return SM_IO;
	struct arena *arena = hold_new();
	if (!arena)
		return SM_NO_MEMORY;
	pthread_mutex_lock(&g->lock);
	const char **names = arena_alloc(arena, (g->groups.count + 1) * sizeof *names);
	uint32_t count = 0;
	size_t pos = 0;
	struct bytes key;
	void *value;
	bool whole = names != NULL;
	while (whole && map_next(&g->groups, &pos, &key, &value)) {
		const struct group *group = value;
		if (!group->offsets.count) /* only a transaction that is open */
			continue;
		names[count] = arena_string(arena, (const char *)key.data, key.size);
		whole = names[count++] != NULL;
	}
	pthread_mutex_unlock(&g->lock);
	if (!whole) {
		hold_free(arena);
		return SM_NO_MEMORY;
	}
	qsort(names, count, sizeof *names, by_name);
	*ret_names = names;
	*ret_count = count;
	*ret_hold = arena;
	return SM_OK;
}

enum sm_err log__group_read(struct group_offsets *g, const char *group, struct log_group_record **ret_records, uint32_t *ret_count,
			    void **ret_hold)
{
	if (g->parts[log__offsets_partition(group)].unreadable)
		return SM_IO;
	struct arena *arena = hold_new();
	enum sm_err err = arena ? log__group_records_read(g->records, group, arena, ret_records, ret_count) : SM_NO_MEMORY;
	if (err)
		hold_free(arena);
	else
		*ret_hold = arena;
	return err;
}

enum sm_err log__groups_kept(struct group_offsets *g, const char *const **ret_names, uint32_t *ret_count, void **ret_hold)
{
	struct map map;
	map_init(&map);
	struct arena *arena = hold_new();
	enum sm_err err = arena ? log__group_records_names(g->records, &map) : SM_NO_MEMORY;
	const char **names = err ? NULL : arena_alloc(arena, (map.count + 1) * sizeof *names);
	uint32_t count = 0;
	size_t pos = 0;
	struct bytes key;
	void *value;
	bool whole = names != NULL;
	while (whole && map_next(&map, &pos, &key, &value)) {
		names[count] = arena_string(arena, (const char *)key.data, key.size);
		whole = names[count++] != NULL;
	}
	map_done(&map);
	if (!whole) {
		hold_free(arena);
		return err ? err : SM_NO_MEMORY;
	}
	qsort(names, count, sizeof *names, by_name);
	*ret_names = names;
	*ret_count = count;
	*ret_hold = arena;
	return SM_OK;
}

/* ---- opening ---- */

static void notify_lost(const struct group_offsets *g, const struct partition *log, int64_t from, int64_t to)
{
	char text[400];
	snprintf(text, sizeof text,
		 "%s: the records at offsets %lld to %lld cannot be read: groups that committed offsets there begin at what they committed "
		 "before",
		 log->dir, (long long)from, (long long)to - 1);
	log__notice(g->engine, text);
}

static enum sm_err part_load(struct group_offsets *g, struct partition *log, int32_t partition, struct sm_error *reterr)
{
	struct log_read_result r;
	uint8_t *buffer = NULL;
	size_t cap = 0;
	int64_t offset = log->log_start_offset, lost_to;
	enum sm_err err = SM_OK;
	while (!err) {
		struct bytes data;
		if ((err = log__partition_read(log, offset, READ_BYTES, false, &r)) == SM_CORRUPT &&
		    !log__partition_readable(log, offset, &lost_to) && lost_to > offset) {
			notify_lost(g, log, offset, lost_to);
			offset = lost_to;
			err = SM_OK;
			continue;
		}
		if (err || !r.slice.size)
			break;
		if (!(err = log_slice_bytes(&r.slice, &buffer, &cap, &data)))
			err = batches_apply(g, partition, data, &offset);
		log_slice_done(&r.slice);
	}
	free(buffer);
	if (err == SM_IO) { /* it is offline, which was told */
		g->parts[partition].unreadable = true;
		err = SM_OK;
	}
	return err ? sm_fail(reterr, err, "%s: the record at or after offset %lld cannot be read", log->dir, (long long)offset) : SM_OK;
}

enum sm_err log__offsets_open(struct engine *engine, struct group_offsets **ret, struct sm_error *reterr)
{
	struct group_offsets *g = calloc(1, sizeof *g);
	enum sm_err err = SM_OK;
	if (!g)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	g->engine = engine;
	pthread_mutex_init(&g->lock, NULL);
	map_init(&g->groups);
	if (!(g->records = log__group_records_new()))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
	for (int32_t i = 0; i < LOG_OFFSETS_PARTITIONS; i++)
		g->parts[i].pending_tail = &g->parts[i].pending;
	for (int32_t i = 0; i < LOG_OFFSETS_PARTITIONS && !err; i++) {
		struct partition *log = log__topics_partition(engine, TOPIC_OFFSETS, i);
		if (log)
			err = part_load(g, log, i, reterr);
		log__partition_unref(log);
	}
	if (err)
		log__offsets_close(g);
	else
		*ret = g;
	return err;
}

void log__offsets_close(struct group_offsets *g)
{
	if (!g)
		return;
	size_t pos = 0, at;
	struct bytes key;
	void *value, *committed;
	while (map_next(&g->groups, &pos, &key, &value)) {
		struct group *group = value;
		for (at = 0; map_next(&group->offsets, &at, &key, &committed);)
			free(committed);
		map_done(&group->offsets);
		map_done(&group->pending);
		free(group);
	}
	for (int32_t i = 0; i < LOG_OFFSETS_PARTITIONS; i++)
		for (struct pending *p = g->parts[i].pending, *next; p; p = next) {
			next = p->next;
			free(p);
		}
	map_done(&g->groups);
	log__group_records_free(g->records);
	pthread_mutex_destroy(&g->lock);
	free(g);
}
