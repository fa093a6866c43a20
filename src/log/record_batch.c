/* Kafka record batches: see record_batch.h for the layout of a batch.
 *
 * A record, inside the batch's (perhaps compressed) run of records:
 *   varint length of what follows, int8 attributes (0), varint timestamp delta, varint offset delta,
 *   varint key length (-1: null), key, varint value length (-1: null), value,
 *   varint header count, and for each header: varint key length, key, varint value length (-1: null), value.
 * Source: Kafka protocol guide, "Record". */
#include "log/record_batch.h"
#include "base/hash.h"
#include "log/log_limits.h"
#include <assert.h>

enum {
	AT_LENGTH = 8,
	AT_LEADER_EPOCH = 12,
	AT_MAGIC = 16,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_LAST_OFFSET_DELTA = 23,
	AT_BASE_TIMESTAMP = 27,
	AT_MAX_TIMESTAMP = 35,
	AT_PRODUCER_ID = 43,
	AT_PRODUCER_EPOCH = 51,
	AT_BASE_SEQUENCE = 53,
	AT_COUNT = 57,
	LENGTH_FROM = 12 /* the length counts the bytes from here on */
};
#define ATTRIBUTES_KNOWN 0x7f

/* ---- building ---- */

void batch_begin(struct batch_builder *b, struct buf *out, enum codec codec)
{
	*b = (struct batch_builder){
		.out = out, .start = buf_size(out), .codec = codec, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
	if (buf_reserve(out, LOG_BATCH_OVERHEAD))
		buf_commit(out, LOG_BATCH_OVERHEAD);
}

void batch_set_producer(struct batch_builder *b, int64_t producer_id, int16_t epoch, int32_t base_sequence)
{
	b->producer_id = producer_id;
	b->producer_epoch = epoch;
	b->base_sequence = base_sequence;
}

void batch_set_kind(struct batch_builder *b, uint16_t kind)
{
	b->kind = kind;
}

static size_t field_size(struct bytes field, bool null)
{
	return null ? 1 : (size_t)varint_size((int64_t)field.size) + field.size;
}

static uint8_t *field_put(uint8_t *p, struct bytes field, bool null)
{
	p += varint_put(p, null ? -1 : (int64_t)field.size);
	if (!null && field.size) {
		memcpy(p, field.data, field.size);
		p += field.size;
	}
	return p;
}

void batch_add(struct batch_builder *b, const struct record *record, const struct record_header *headers, uint32_t header_count)
{
	if (b->count == 0)
		b->base_timestamp_ms = b->max_timestamp_ms = record->timestamp_ms;
	if (record->timestamp_ms > b->max_timestamp_ms)
		b->max_timestamp_ms = record->timestamp_ms;
	int64_t timestamp_delta = (int64_t)((uint64_t)record->timestamp_ms - (uint64_t)b->base_timestamp_ms);

	size_t size = 1 + varint_size(timestamp_delta) + varint_size(b->count) + field_size(record->key, record->key_null) +
		      field_size(record->value, record->value_null) + varint_size(header_count);
	for (uint32_t i = 0; i < header_count; i++)
		size += field_size(headers[i].key, false) + field_size(headers[i].value, headers[i].value_null);

	uint8_t *p = buf_reserve(b->out, 10 + size);
	if (!p)
		return; /* batch_end tells */
	uint8_t *begin = p;
	p += varint_put(p, (int64_t)size);
	*p++ = 0;
	p += varint_put(p, timestamp_delta);
	p += varint_put(p, b->count);
	p = field_put(p, record->key, record->key_null);
	p = field_put(p, record->value, record->value_null);
	p += varint_put(p, header_count);
	for (uint32_t i = 0; i < header_count; i++) {
		p = field_put(p, headers[i].key, false);
		p = field_put(p, headers[i].value, headers[i].value_null);
	}
	buf_commit(b->out, (size_t)(p - begin));
	b->count++;
}

size_t batch_size(const struct batch_builder *b)
{
	return buf_size(b->out) - b->start;
}

/* Replace the plain records at the batch's end by their compressed form. */
static enum sm_err compress_records(struct buf *out, size_t start, enum codec codec)
{
	struct buf packed;
	buf_init(&packed);
	struct bytes plain = buf_bytes(out);
	plain.data += start + LOG_BATCH_OVERHEAD;
	plain.size -= start + LOG_BATCH_OVERHEAD;
	enum sm_err err = codec == CODEC_NONE ? SM_OK : codec_compress(codec, plain, &packed);
	if (!err && codec != CODEC_NONE) {
		out->end -= plain.size;
		buf_append_bytes(out, buf_bytes(&packed));
	}
	buf_done(&packed);
	return err ? err : out->failed ? SM_NO_MEMORY : SM_OK;
}

static void crc_set(uint8_t *batch, size_t size)
{
	be32_put(batch + AT_CRC, crc32c(0, batch + AT_ATTRIBUTES, size - AT_ATTRIBUTES));
}

/* size: of the whole batch; info->size and crc are not looked at. */
static void header_set(uint8_t *batch, size_t size, const struct batch_info *info)
{
	be64_put(batch, (uint64_t)info->base_offset);
	be32_put(batch + AT_LENGTH, (uint32_t)(size - LENGTH_FROM));
	be32_put(batch + AT_LEADER_EPOCH, (uint32_t)info->leader_epoch);
	batch[AT_MAGIC] = 2;
	be16_put(batch + AT_ATTRIBUTES, info->attributes);
	be32_put(batch + AT_LAST_OFFSET_DELTA, (uint32_t)info->last_offset_delta);
	be64_put(batch + AT_BASE_TIMESTAMP, (uint64_t)info->base_timestamp_ms);
	be64_put(batch + AT_MAX_TIMESTAMP, (uint64_t)info->max_timestamp_ms);
	be64_put(batch + AT_PRODUCER_ID, (uint64_t)info->producer_id);
	be16_put(batch + AT_PRODUCER_EPOCH, (uint16_t)info->producer_epoch);
	be32_put(batch + AT_BASE_SEQUENCE, (uint32_t)info->base_sequence);
	be32_put(batch + AT_COUNT, (uint32_t)info->record_count);
	crc_set(batch, size);
}

enum sm_err batch_end(struct batch_builder *b)
{
	assert(b->count > 0);
	enum sm_err err;
	if (b->out->failed)
		return SM_NO_MEMORY;
	if ((err = compress_records(b->out, b->start, b->codec)))
		return err;

	const struct batch_info info = {
		.leader_epoch = -1,
		.attributes = (uint16_t)(b->codec | b->kind),
		.last_offset_delta = b->count - 1,
		.base_timestamp_ms = b->base_timestamp_ms,
		.max_timestamp_ms = b->max_timestamp_ms,
		.producer_id = b->producer_id,
		.producer_epoch = b->producer_epoch,
		.base_sequence = b->base_sequence,
		.record_count = b->count,
	};
	header_set(b->out->data + b->out->start + b->start, batch_size(b), &info);
	return SM_OK;
}

/* ---- reading ---- */

enum sm_err batch_parse_header(struct bytes data, struct batch_info *ret_info)
{
	if (data.size <= AT_MAGIC)
		return SM_TRUNCATED;
	const uint8_t *p = data.data;
	if (p[AT_MAGIC] != 2)
		return SM_VERSION;
	uint32_t length = be32_get(p + AT_LENGTH);
	if (length < LOG_BATCH_OVERHEAD - LENGTH_FROM || length > INT32_MAX - LENGTH_FROM)
		return SM_CORRUPT;
	if (data.size < LOG_BATCH_OVERHEAD)
		return SM_TRUNCATED;
	struct batch_info info = {
		.base_offset = (int64_t)be64_get(p),
		.size = length + LENGTH_FROM,
		.leader_epoch = (int32_t)be32_get(p + AT_LEADER_EPOCH),
		.magic = 2,
		.crc = be32_get(p + AT_CRC),
		.attributes = be16_get(p + AT_ATTRIBUTES),
		.last_offset_delta = (int32_t)be32_get(p + AT_LAST_OFFSET_DELTA),
		.base_timestamp_ms = (int64_t)be64_get(p + AT_BASE_TIMESTAMP),
		.max_timestamp_ms = (int64_t)be64_get(p + AT_MAX_TIMESTAMP),
		.producer_id = (int64_t)be64_get(p + AT_PRODUCER_ID),
		.producer_epoch = (int16_t)be16_get(p + AT_PRODUCER_EPOCH),
		.base_sequence = (int32_t)be32_get(p + AT_BASE_SEQUENCE),
		.record_count = (int32_t)be32_get(p + AT_COUNT),
	};
	if (info.record_count < 0 || info.last_offset_delta < 0 || info.record_count - 1 > info.last_offset_delta)
		return SM_CORRUPT;
	*ret_info = info;
	return SM_OK;
}

enum sm_err batch_parse(struct bytes data, struct batch_info *ret_info)
{
	struct batch_info info;
	enum sm_err err = batch_parse_header(data, &info);
	if (err)
		return err;
	if (data.size < info.size)
		return SM_TRUNCATED;
	*ret_info = info;
	return SM_OK;
}

bool batch_crc_ok(struct bytes data, const struct batch_info *info)
{
	return data.size >= info->size && info->crc == crc32c(0, data.data + AT_ATTRIBUTES, info->size - AT_ATTRIBUTES);
}

void batch_set_offset(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
	be64_put(batch, (uint64_t)base_offset);
	be32_put(batch + AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void batch_set_create_time(uint8_t *batch, uint32_t size, int64_t max_timestamp_ms)
{
	be16_put(batch + AT_ATTRIBUTES, (uint16_t)(be16_get(batch + AT_ATTRIBUTES) & ~BATCH_TIMESTAMP_LOG_APPEND));
	be64_put(batch + AT_MAX_TIMESTAMP, (uint64_t)max_timestamp_ms);
	crc_set(batch, size);
}

void batch_set_log_append_time(uint8_t *batch, uint32_t size, int64_t now_ms)
{
	be16_put(batch + AT_ATTRIBUTES, be16_get(batch + AT_ATTRIBUTES) | BATCH_TIMESTAMP_LOG_APPEND);
	be64_put(batch + AT_MAX_TIMESTAMP, (uint64_t)now_ms);
	crc_set(batch, size);
}

enum sm_err batch_reader_init(struct batch_reader *r, struct bytes data)
{
	*r = (struct batch_reader){.left = 0};
	buf_init(&r->plain);
	enum sm_err err = batch_parse(data, &r->info);
	if (err)
		return err;
	struct bytes records = bytes_of(data.data + LOG_BATCH_OVERHEAD, r->info.size - LOG_BATCH_OVERHEAD);
	enum codec codec = BATCH_CODEC(r->info.attributes);
	if (codec >= CODEC_COUNT)
		return SM_CORRUPT;
	if (codec != CODEC_NONE) {
		if ((err = codec_decompress(codec, records, LOG_DECOMPRESSED_MAX, &r->plain))) {
			batch_reader_done(r);
			return err == SM_TRUNCATED ? SM_CORRUPT : err;
		}
		records = buf_bytes(&r->plain);
	}
	r->at = byte_reader(records);
	r->left = r->info.record_count;
	return SM_OK;
}

void batch_reader_done(struct batch_reader *r)
{
	buf_done(&r->plain);
	buf_init(&r->plain);
	r->left = 0;
}

/* A length and its bytes; -1 is null where that is allowed. A wrong length sets r->failed. */
static struct bytes field_read(struct byte_reader *r, bool *ret_null)
{
	int64_t size = reader_varint(r);
	if (ret_null)
		*ret_null = size == -1;
	if (size == -1 && ret_null)
		return (struct bytes){NULL, 0};
	if (size < 0) {
		r->failed = true;
		return (struct bytes){NULL, 0};
	}
	const uint8_t *p = reader_take(r, (size_t)size);
	return bytes_of(p, p ? (size_t)size : 0);
}

static bool headers_ok(struct bytes raw, uint32_t count)
{
	struct record_header header;
	for (uint32_t i = 0; i < count; i++)
		if (record_header_next(&raw, &header))
			return false;
	return raw.size == 0;
}

enum sm_err batch_next(struct batch_reader *r, struct record *ret_record)
{
	if (r->left == 0)
		return reader_left(&r->at) ? SM_CORRUPT : SM_END;
	int64_t size = reader_varint(&r->at);
	const uint8_t *body = size < 0 ? NULL : reader_take(&r->at, (size_t)size);
	if (!body)
		return SM_CORRUPT;
	struct byte_reader in = byte_reader(bytes_of(body, (size_t)size));
	struct record record = {0};
	reader_u8(&in); /* attributes: none are defined */
	int64_t timestamp_delta = reader_varint(&in);
	int64_t offset_delta = reader_varint(&in);
	record.key = field_read(&in, &record.key_null);
	record.value = field_read(&in, &record.value_null);
	int64_t header_count = reader_varint(&in);
	if (in.failed || offset_delta < 0 || offset_delta > r->info.last_offset_delta || header_count < 0 || header_count > size)
		return SM_CORRUPT;
	record.header_count = (uint32_t)header_count;
	record.headers_raw = bytes_of(in.at, reader_left(&in));
	if (!headers_ok(record.headers_raw, record.header_count))
		return SM_CORRUPT;
	record.offset = (int64_t)((uint64_t)r->info.base_offset + (uint64_t)offset_delta);
	record.timestamp_ms = r->info.attributes & BATCH_TIMESTAMP_LOG_APPEND
				      ? r->info.max_timestamp_ms
				      : (int64_t)((uint64_t)r->info.base_timestamp_ms + (uint64_t)timestamp_delta);
	r->left--;
	*ret_record = record;
	return SM_OK;
}

enum sm_err record_header_next(struct bytes *headers_raw, struct record_header *ret_header)
{
	if (headers_raw->size == 0)
		return SM_END;
	struct byte_reader in = byte_reader(*headers_raw);
	struct record_header header = {0};
	header.key = field_read(&in, NULL);
	header.value = field_read(&in, &header.value_null);
	if (in.failed)
		return SM_CORRUPT;
	*headers_raw = bytes_of(in.at, reader_left(&in));
	*ret_header = header;
	return SM_OK;
}

/* Is the record against the rules? */
static enum batch_refusal rules_check(const struct batch_rules *rules, const struct record *record)
{
	if (rules->keyed && record->key_null)
		return BATCH_WITHOUT_KEY;
	if (record->timestamp_ms != -1 && (record->timestamp_ms < rules->oldest_ms || record->timestamp_ms > rules->newest_ms))
		return BATCH_TIME_OUT_OF_RANGE;
	return BATCH_NOT_REFUSED;
}

static enum sm_err records_check(struct batch_reader *reader, const struct batch_rules *rules, struct batch_refused *refused,
				 int64_t *newest_ms)
{
	struct record record;
	enum sm_err err;
	for (int32_t delta = 0; !(err = batch_next(reader, &record)); delta++) {
		if (record.offset - reader->info.base_offset != delta)
			return SM_INVALID;
		if (record.timestamp_ms > *newest_ms)
			*newest_ms = record.timestamp_ms;
		enum batch_refusal why = rules_check(rules, &record);
		if (why && refused->count < LOG_REFUSED_RECORDS_MAX)
			refused->records[refused->count++] = delta;
		if (why > refused->why) /* as Kafka: a time names the whole */
			refused->why = why;
	}
	return err != SM_END ? err : refused->why ? SM_INVALID : SM_OK;
}

enum sm_err batch_check(struct bytes data, const struct batch_info *info, const struct batch_rules *rules,
			struct batch_refused *ret_refused, int64_t *ret_max_timestamp_ms)
{
	struct batch_refused refused = {.why = BATCH_NOT_REFUSED};
	int64_t newest_ms = -1;
	struct batch_reader reader;
	if (!batch_crc_ok(data, info))
		return SM_CORRUPT;
	*ret_refused = refused;
	if (info->attributes & ~ATTRIBUTES_KNOWN)
		return SM_INVALID;
	if (info->record_count < 1 || info->last_offset_delta != info->record_count - 1)
		return SM_INVALID;
	enum sm_err err = batch_reader_init(&reader, data);
	if (err)
		return err;
	err = records_check(&reader, rules, &refused, &newest_ms);
	batch_reader_done(&reader);
	if (err == SM_CORRUPT) /* the bytes are those that were sent: to send them again is of no use */
		err = SM_INVALID;
	if (err == SM_INVALID && refused.why)
		*ret_refused = refused;
	if (!err)
		*ret_max_timestamp_ms = newest_ms;
	return err;
}

enum sm_err batch_recode(struct bytes data, const struct batch_info *info, enum codec codec, int level, struct buf *out)
{
	struct bytes records = bytes_of(data.data + LOG_BATCH_OVERHEAD, info->size - LOG_BATCH_OVERHEAD);
	struct buf plain;
	size_t start = buf_size(out);
	buf_init(&plain);
	enum sm_err err = codec_decompress(BATCH_CODEC(info->attributes), records, LOG_DECOMPRESSED_MAX, &plain);
	if (err)
		goto done;
	buf_append(out, data.data, LOG_BATCH_OVERHEAD);
	if ((err = codec_compress_level(codec, level, buf_bytes(&plain), out)))
		goto done;
	if (out->failed) {
		err = SM_NO_MEMORY;
		goto done;
	}
	uint8_t *batch = out->data + out->start + start;
	size_t size = buf_size(out) - start;
	be32_put(batch + AT_LENGTH, (uint32_t)(size - LENGTH_FROM));
	be16_put(batch + AT_ATTRIBUTES, (uint16_t)((info->attributes & ~(7u | BATCH_DELETE_HORIZON)) | codec));
	crc_set(batch, size);
done:
	buf_done(&plain);
	return err == SM_TRUNCATED ? SM_CORRUPT : err;
}

/* ---- leaving records out ---- */

void batch_rewrite_begin(struct batch_rewriter *w, struct buf *out, const struct batch_info *info, int64_t delete_horizon_ms)
{
	*w = (struct batch_rewriter){.out = out, .start = buf_size(out), .info = *info, .max_timestamp_ms = -1};
	w->base_timestamp_ms = info->base_timestamp_ms;
	if (delete_horizon_ms >= 0) {
		w->base_timestamp_ms = delete_horizon_ms;
		w->info.attributes |= BATCH_DELETE_HORIZON;
	}
	if (buf_reserve(out, LOG_BATCH_OVERHEAD))
		buf_commit(out, LOG_BATCH_OVERHEAD);
}

void batch_rewrite_add(struct batch_rewriter *w, const struct record *record)
{
	if (record->timestamp_ms > w->max_timestamp_ms)
		w->max_timestamp_ms = record->timestamp_ms;
	int64_t timestamp_delta = (int64_t)((uint64_t)record->timestamp_ms - (uint64_t)w->base_timestamp_ms);
	int64_t offset_delta = record->offset - w->info.base_offset;
	size_t size = 1 + varint_size(timestamp_delta) + varint_size(offset_delta) + field_size(record->key, record->key_null) +
		      field_size(record->value, record->value_null) + varint_size(record->header_count) + record->headers_raw.size;
	uint8_t *p = buf_reserve(w->out, 10 + size);
	if (!p)
		return; /* batch_rewrite_end tells */
	uint8_t *begin = p;
	p += varint_put(p, (int64_t)size);
	*p++ = 0;
	p += varint_put(p, timestamp_delta);
	p += varint_put(p, offset_delta);
	p = field_put(p, record->key, record->key_null);
	p = field_put(p, record->value, record->value_null);
	p += varint_put(p, record->header_count);
	if (record->headers_raw.size)
		memcpy(p, record->headers_raw.data, record->headers_raw.size);
	buf_commit(w->out, (size_t)(p + record->headers_raw.size - begin));
	w->count++;
}

enum sm_err batch_rewrite_end(struct batch_rewriter *w)
{
	enum sm_err err = w->out->failed ? SM_NO_MEMORY : compress_records(w->out, w->start, BATCH_CODEC(w->info.attributes));
	if (err)
		return err;
	w->info.base_timestamp_ms = w->base_timestamp_ms;
	if (!(w->info.attributes & BATCH_TIMESTAMP_LOG_APPEND))
		w->info.max_timestamp_ms = w->max_timestamp_ms;
	w->info.record_count = w->count;
	header_set(w->out->data + w->out->start + w->start, buf_size(w->out) - w->start, &w->info);
	return SM_OK;
}

static void forget_producer(struct batch_info *info)
{
	if (info->attributes & BATCH_CONTROL)
		return;
	info->attributes &= (uint16_t)~BATCH_TRANSACTIONAL;
	info->producer_id = -1;
	info->producer_epoch = -1;
	info->base_sequence = -1;
}

void batch_stretch(uint8_t *batch, uint32_t size, int64_t next_offset)
{
	struct batch_info info;
	if (batch_parse(bytes_of(batch, size), &info))
		return;
	forget_producer(&info);
	info.last_offset_delta = (int32_t)(next_offset - info.base_offset - 1);
	header_set(batch, size, &info);
}

void batch_stretch_back(struct batch_info *info, int64_t base_offset)
{
	forget_producer(info);
	info->last_offset_delta += (int32_t)(info->base_offset - base_offset);
	info->base_offset = base_offset;
}

void batch_put_empty(struct buf *out, int64_t from, int64_t to, int32_t leader_epoch)
{
	uint8_t *batch = buf_reserve(out, LOG_BATCH_OVERHEAD);
	const struct batch_info info = {
		.base_offset = from,
		.leader_epoch = leader_epoch,
		.last_offset_delta = (int32_t)(to - from - 1),
		.base_timestamp_ms = -1,
		.max_timestamp_ms = -1,
		.producer_id = -1,
		.producer_epoch = -1,
		.base_sequence = -1,
	};
	if (!batch)
		return;
	header_set(batch, LOG_BATCH_OVERHEAD, &info);
	buf_commit(out, LOG_BATCH_OVERHEAD);
}
