/* The records of a journal's topic. Key: the persistence id. Value: the event's data; of a fence null. Headers:
 *
 *  smack.event   1 version (1), 8 writer number, 8 sequence number, 4 place in its group from 0 on, 4 events of the group,
 *                4 the group's number, among its writer's; big-endian
 *  smack.type    the event's type, if it is not empty
 *  smack.tag     a tag, as often as there are
 *  others        the event's own
 *
 *  smack.fence   1 version (1), 8 writer number, 16 token: the writer has begun here; older ones are not heeded behind it
 *
 * Records with neither belong to somebody else and are left alone. A group is one record batch of an idempotent producer, whose id is made
 * of the persistence id. */
#include "base/hash.h"
#include "persist/persist_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define MARK_VERSION 1
#define MARK_SIZE 29 /* of an event */
#define FENCE_SIZE 25
#define PREFIX "smack."

static bool named(const struct record_header *h, const char *name)
{
	return bytes_equal(h->key, bytes_str(name));
}

static enum sm_err take_mark(const struct record_header *h, bool event, struct record_mark *mark)
{
	struct byte_reader r = byte_reader(h->value);
	if (h->value_null || !h->value.size)
		return SM_CORRUPT;
	if (reader_u8(&r) != MARK_VERSION)
		return SM_VERSION;
	mark->writer = reader_be64(&r);
	if (event) {
		mark->sequence = (int64_t)reader_be64(&r);
		mark->index = reader_be32(&r);
		mark->count = reader_be32(&r);
		mark->group = reader_be32(&r);
	} else {
		const uint8_t *token = reader_take(&r, PERSIST_TOKEN_SIZE);
		if (token)
			memcpy(mark->token, token, PERSIST_TOKEN_SIZE);
	}
	if (r.failed || reader_left(&r) || (event && (mark->sequence < 1 || mark->index >= mark->count)))
		return SM_CORRUPT;
	mark->kind = event ? RECORD_EVENT : RECORD_FENCE;
	return SM_OK;
}

enum sm_err persist__record_mark(const struct record *record, struct record_mark *ret_mark)
{
	struct record_mark mark = {.kind = RECORD_OTHER};
	struct bytes raw = record->headers_raw;
	struct record_header h;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < record->header_count && mark.kind == RECORD_OTHER && !err; i++) {
		if ((err = record_header_next(&raw, &h)))
			break;
		bool event = named(&h, PREFIX "event");
		if (event || named(&h, PREFIX "fence"))
			err = take_mark(&h, event, &mark);
	}
	if (!err)
		*ret_mark = mark;
	return err;
}

/* The text with a zero behind it, at a place in room->text that the text may still move from. */
static size_t keep(struct event_room *room, struct bytes text)
{
	size_t at = buf_size(&room->text);
	buf_append_bytes(&room->text, text);
	buf_u8(&room->text, 0);
	return at;
}

static const char *kept(const struct event_room *room, size_t at)
{
	return (const char *)room->text.data + room->text.start + at;
}

static enum sm_err take_headers(const struct record *record, struct event_room *room, size_t *tags_at, size_t *headers_at)
{
	struct sm_persist_event *e = &room->event;
	struct bytes raw = record->headers_raw;
	struct record_header h;
	for (uint32_t i = 0; i < record->header_count; i++) {
		enum sm_err err = record_header_next(&raw, &h);
		if (err)
			return err;
		bool ours = h.key.size >= strlen(PREFIX) && memcmp(h.key.data, PREFIX, strlen(PREFIX)) == 0;
		if (named(&h, PREFIX "type")) {
			if (h.value.size > PERSIST_ID_MAX)
				return SM_CORRUPT;
			snprintf(room->type, sizeof room->type, "%.*s", (int)h.value.size, (const char *)h.value.data);
		} else if (named(&h, PREFIX "tag")) {
			if (e->tag_count == PERSIST_HEADERS_MAX)
				return SM_CORRUPT;
			tags_at[e->tag_count++] = keep(room, h.value);
		} else if (!ours) {
			if (e->header_count == PERSIST_HEADERS_MAX)
				return SM_CORRUPT;
			headers_at[e->header_count] = keep(room, h.key);
			room->headers[e->header_count++].value = (struct sm_bytes){h.value.data, h.value.size};
		}
	}
	return room->text.failed ? SM_NO_MEMORY : SM_OK;
}

enum sm_err persist__record_event(const struct record *record, const struct record_mark *mark, struct event_room *room)
{
	size_t tags_at[PERSIST_HEADERS_MAX] = {0}, headers_at[PERSIST_HEADERS_MAX] = {0};
	struct sm_persist_event *e = &room->event;
	*e = (struct sm_persist_event){.data = {record->value.data, record->value.size},
				       .type = room->type,
				       .tags = room->tags,
				       .headers = room->headers,
				       .sequence = mark->sequence,
				       .timestamp_ms = record->timestamp_ms,
				       .offset = record->offset};
	room->type[0] = 0;
	buf_clear(&room->text);
	enum sm_err err = take_headers(record, room, tags_at, headers_at);
	for (uint32_t i = 0; i < e->tag_count && !err; i++)
		room->tags[i] = kept(room, tags_at[i]);
	for (uint32_t i = 0; i < e->header_count && !err; i++)
		room->headers[i].name = kept(room, headers_at[i]);
	return err;
}

/* ---- batches ---- */

static enum sm_err check_event(const struct sm_persist_event *e)
{
	if (e->tag_count > PERSIST_HEADERS_MAX || e->header_count > PERSIST_HEADERS_MAX || (e->type && strlen(e->type) > PERSIST_ID_MAX))
		return SM_TOO_LARGE;
	for (uint32_t i = 0; i < e->header_count; i++)
		if (!e->headers[i].name || strncmp(e->headers[i].name, PREFIX, strlen(PREFIX)) == 0)
			return SM_INVALID;
	return SM_OK;
}

/* Each batch_add copies. */
static void add_event(struct batch_builder *builder, const char *id, const struct sm_persist_event *e, struct bytes mark)
{
	struct record_header headers[2 + 2 * PERSIST_HEADERS_MAX];
	uint32_t count = 0;
	headers[count++] = (struct record_header){.key = BYTES(PREFIX "event"), .value = mark};
	if (e->type && e->type[0])
		headers[count++] = (struct record_header){.key = BYTES(PREFIX "type"), .value = bytes_str(e->type)};
	for (uint32_t i = 0; i < e->tag_count; i++)
		headers[count++] = (struct record_header){.key = BYTES(PREFIX "tag"), .value = bytes_str(e->tags[i])};
	for (uint32_t i = 0; i < e->header_count; i++)
		headers[count++] = (struct record_header){.key = bytes_str(e->headers[i].name),
							  .value = bytes_of(e->headers[i].value.data, e->headers[i].value.size)};
	struct record record = {
		.timestamp_ms = clock_wall_ms(&clock_system), .key = bytes_str(id), .value = bytes_of(e->data.data, e->data.size)};
	batch_add(builder, &record, headers, count);
}

enum sm_err persist__batch_events(struct buf *out, const char *id, const struct writer *writer, int64_t sequence,
				  const struct sm_persist_event *events, uint32_t count)
{
	struct batch_builder builder;
	uint8_t mark[MARK_SIZE];
	if (!count)
		return SM_INVALID;
	if (count > PERSIST_GROUP_EVENTS_MAX)
		return SM_TOO_LARGE;
	batch_begin(&builder, out, CODEC_NONE);
	batch_set_producer(&builder, writer->producer, writer->epoch, writer->sequence);
	for (uint32_t i = 0; i < count; i++) {
		enum sm_err err = check_event(&events[i]);
		if (err)
			return err;
		if (events[i].data.size > PERSIST_GROUP_BYTES_MAX || batch_size(&builder) > PERSIST_GROUP_BYTES_MAX)
			return SM_TOO_LARGE;
		mark[0] = MARK_VERSION;
		be64_put(mark + 1, writer->number);
		be64_put(mark + 9, (uint64_t)sequence + i);
		be32_put(mark + 17, i);
		be32_put(mark + 21, count);
		be32_put(mark + 25, writer->group);
		add_event(&builder, id, &events[i], bytes_of(mark, sizeof mark));
	}
	if (batch_size(&builder) > PERSIST_GROUP_BYTES_MAX)
		return SM_TOO_LARGE;
	return batch_end(&builder);
}

enum sm_err persist__batch_fence(struct buf *out, const char *id, const struct writer *writer, const uint8_t token[PERSIST_TOKEN_SIZE])
{
	struct batch_builder builder;
	uint8_t mark[FENCE_SIZE] = {MARK_VERSION};
	be64_put(mark + 1, writer->number);
	memcpy(mark + 9, token, PERSIST_TOKEN_SIZE);
	struct record_header header = {.key = BYTES(PREFIX "fence"), .value = bytes_of(mark, sizeof mark)};
	struct record record = {.timestamp_ms = clock_wall_ms(&clock_system), .key = bytes_str(id), .value_null = true};
	batch_begin(&builder, out, CODEC_NONE);
	batch_set_producer(&builder, writer->producer, writer->epoch, 0);
	batch_add(&builder, &record, &header, 1);
	return batch_end(&builder);
}

/* Far above the ids that a log gives to real producers. */
static int64_t producer_of(const char *id, uint64_t generation)
{
	char bytes[PERSIST_ID_MAX + 9] = {0};
	size_t size = (size_t)snprintf(bytes, PERSIST_ID_MAX + 1, "%s", id);
	be64_put(bytes + size + 1, generation);
	return (int64_t)(((uint64_t)murmur3_token(bytes, size + 9) & (PERSIST_PRODUCERS_FROM - 1)) | PERSIST_PRODUCERS_FROM);
}

void persist__writer_of(const char *id, uint64_t number, struct writer *ret_writer)
{
	*ret_writer = (struct writer){.number = number,
				      .producer = producer_of(id, number / NUMBERS_A_PRODUCER),
				      .epoch = (int16_t)(number % NUMBERS_A_PRODUCER),
				      .sequence = 1,
				      .fence = -1};
}

void persist__writer_before(const char *id, uint64_t number, struct writer *ret_writer)
{
	uint64_t generation = number / NUMBERS_A_PRODUCER;
	*ret_writer = (struct writer){
		.number = generation * NUMBERS_A_PRODUCER - 1, .producer = producer_of(id, generation - 1), .epoch = NUMBERS_A_PRODUCER};
}

/* ---- groups ---- */

void persist__group_add(struct group *group, const struct record *record)
{
	struct buf *b = &group->bytes;
	buf_be64(b, (uint64_t)record->offset);
	buf_be64(b, (uint64_t)record->timestamp_ms);
	buf_be32(b, record->header_count);
	buf_be32(b, (uint32_t)record->headers_raw.size);
	buf_append_bytes(b, record->headers_raw);
	buf_be32(b, (uint32_t)record->value.size);
	buf_append_bytes(b, record->value);
	group->have++;
}

bool persist__group_next(struct byte_reader *in, struct record *ret_record)
{
	struct record r = {.offset = (int64_t)reader_be64(in), .timestamp_ms = (int64_t)reader_be64(in)};
	r.header_count = reader_be32(in);
	r.headers_raw.size = reader_be32(in);
	r.headers_raw.data = reader_take(in, r.headers_raw.size);
	r.value.size = reader_be32(in);
	r.value.data = reader_take(in, r.value.size);
	if (in->failed)
		return false;
	*ret_record = r;
	return true;
}
