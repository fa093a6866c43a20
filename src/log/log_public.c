/* <smack/log.h>: records for jobs and actors, over any engine. */
#include <smack/log.h>
#include "log/log.h"
#include "log/record_batch.h"
#include <stdlib.h>

#define READ_BYTES (1u << 20)

/* ---- appending ---- */

struct append {
	struct buf batch;
	int32_t partition;
	void (*done)(void *arg, enum sm_err err, struct sm_log_position position);
	void *arg;
};

static void append_free(struct append *a)
{
	buf_done(&a->batch);
	free(a);
}

enum sm_err sm_log_partitions(struct sm_log *log, const char *topic, int32_t *ret_count)
{
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *found = log_topics_find(topics, topic);
	if (found)
		*ret_count = found->partitions;
	log->ops->topics_release(log, topics);
	return found ? SM_OK : SM_NOT_FOUND;
}

/* A record without a key goes to the partitions in turn. */
static enum sm_err choose_partition(struct sm_log *log, const char *topic, struct sm_bytes key, int32_t *ret_partition)
{
	static uint32_t turn;
	int32_t count;
	enum sm_err err = sm_log_partitions(log, topic, &count);
	if (err)
		return err;
	*ret_partition = key.data ? log_partition_of(bytes_of(key.data, key.size), count)
				  : (int32_t)(__atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % (uint32_t)count);
	return SM_OK;
}

static enum sm_err append_new(struct sm_log *log, const char *topic, struct sm_bytes key, struct sm_bytes value, struct append **ret_append)
{
	if (key.size > LOG_BATCH_BYTES_MAX || value.size > LOG_BATCH_BYTES_MAX)
		return SM_TOO_LARGE;
	struct append *a = calloc(1, sizeof *a);
	if (!a)
		return SM_NO_MEMORY;
	buf_init(&a->batch);
	enum sm_err err = choose_partition(log, topic, key, &a->partition);
	if (!err) {
		struct batch_builder builder;
		struct record record = {.timestamp_ms = clock_wall_ms(&clock_system),
					.key = bytes_of(key.data, key.size),
					.value = bytes_of(value.data, value.size),
					.key_null = !key.data,
					.value_null = !value.data};
		batch_begin(&builder, &a->batch, CODEC_NONE);
		batch_add(&builder, &record, NULL, 0);
		err = batch_end(&builder);
	}
	if (err)
		append_free(a);
	else
		*ret_append = a;
	return err;
}

enum sm_err sm_log_append(struct sm_log *log, const char *topic, struct sm_bytes key, struct sm_bytes value,
			  struct sm_log_position *ret_position, struct sm_error *reterr)
{
	struct append *a;
	enum sm_err err = append_new(log, topic, key, value, &a);
	if (err)
		return sm_fail(reterr, err, "appending to topic %s: %s", topic, sm_err_text(err));
	struct bytes batch = buf_bytes(&a->batch);
	struct sm_log_position position = {a->partition, -1};
	err = log_append_wait(log, topic, a->partition, (uint8_t *)(uintptr_t)batch.data, batch.size, &position.offset);
	append_free(a);
	if (err)
		return sm_fail(reterr, err, "appending to topic %s, partition %d: %s", topic, position.partition, sm_err_text(err));
	if (ret_position)
		*ret_position = position;
	return SM_OK;
}

static void append_done(void *arg, const struct log_append_result *result)
{
	struct append *a = arg;
	a->done(a->arg, result->err, (struct sm_log_position){a->partition, result->err ? -1 : result->base_offset});
	append_free(a);
}

enum sm_err sm_log_append_then(struct sm_log *log, const char *topic, struct sm_bytes key, struct sm_bytes value,
			       void (*done)(void *arg, enum sm_err err, struct sm_log_position position), void *arg)
{
	struct append *a;
	enum sm_err err = append_new(log, topic, key, value, &a);
	if (err)
		return err;
	a->done = done;
	a->arg = arg;
	struct bytes batch = buf_bytes(&a->batch);
	log->ops->append(log, topic, a->partition, (uint8_t *)(uintptr_t)batch.data, batch.size, 0, append_done, a);
	return SM_OK;
}

/* ---- reading ---- */

struct reading {
	int32_t partition;
	int64_t next, end;
	enum sm_err (*each)(void *arg, const struct sm_record *record);
	void *arg;
	bool stopped;
	uint8_t *buffer;
	size_t cap;
};

enum sm_err sm_log_offsets(struct sm_log *log, const char *topic, int32_t partition, int64_t *ret_first, int64_t *ret_end)
{
	int64_t first, end, unused;
	enum sm_err err = log->ops->offset_for(log, topic, partition, LOG_EARLIEST, &first, &unused);
	if (!err)
		err = log->ops->offset_for(log, topic, partition, LOG_LATEST, &end, &unused);
	if (!err) {
		*ret_first = first;
		*ret_end = end;
	}
	return err;
}

static enum sm_err read_batch(struct reading *r, const struct log_slice *slice, struct bytes data)
{
	struct batch_reader reader;
	struct record record;
	enum sm_err err = batch_reader_init(&reader, data);
	if (err)
		return err;
	int64_t behind = reader.info.base_offset + reader.info.last_offset_delta + 1;
	while (!log_slice_hides(slice, &reader.info) && !(err = batch_next(&reader, &record))) {
		if (record.offset < r->next || record.offset >= r->end)
			continue;
		struct sm_record out = {.partition = r->partition, .offset = record.offset, .timestamp_ms = record.timestamp_ms};
		if (!record.key_null)
			out.key = (struct sm_bytes){record.key.size ? record.key.data : (const uint8_t *)"", record.key.size};
		if (!record.value_null)
			out.value = (struct sm_bytes){record.value.size ? record.value.data : (const uint8_t *)"", record.value.size};
		err = r->each(r->arg, &out);
		r->stopped = err != SM_OK;
		if (r->stopped) {
			/* A record that was refused with an error is read again, one that ended the reading is not. */
			r->next = err == SM_END ? record.offset + 1 : record.offset;
			goto done;
		}
	}
	if (err == SM_END)
		err = SM_OK;
	if (!err)
		r->next = behind;
done:
	batch_reader_done(&reader);
	return err;
}

static enum sm_err read_slice(struct sm_log *log, const char *topic, struct reading *r)
{
	struct log_read_result result;
	enum sm_err err = log->ops->read(log, topic, r->partition, r->next, READ_BYTES, &result);
	if (err)
		return err;
	struct bytes data;
	err = log_slice_bytes(&result.slice, &r->buffer, &r->cap, &data);
	if (!err && data.size == 0)
		err = SM_TRUNCATED; /* below the last stable offset there is always a batch */
	while (!err && data.size && r->next < r->end) {
		struct batch_info info;
		err = batch_parse(data, &info);
		if (!err)
			err = read_batch(r, &result.slice, bytes_of(data.data, info.size));
		if (!err)
			data = bytes_of(data.data + info.size, data.size - info.size);
	}
	log_slice_done(&result.slice);
	return err;
}

enum sm_err sm_log_read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
			enum sm_err (*each)(void *arg, const struct sm_record *record), void *arg, int64_t *ret_next,
			struct sm_error *reterr)
{
	struct reading r = {.partition = partition, .next = offset, .each = each, .arg = arg};
	int64_t first;
	enum sm_err err = sm_log_offsets(log, topic, partition, &first, &r.end);
	if (!err && (offset < first || offset > r.end))
		return sm_fail(reterr, SM_OUT_OF_RANGE, "topic %s, partition %d has the offsets %lld to %lld, not %lld", topic, partition,
			       (long long)first, (long long)r.end, (long long)offset);
	while (!err && r.next < r.end)
		err = read_slice(log, topic, &r);
	free(r.buffer);
	if (err == SM_END && r.stopped)
		err = SM_OK;
	if (err)
		return sm_fail(reterr, err, "reading topic %s, partition %d, at offset %lld: %s", topic, partition, (long long)r.next,
			       sm_err_text(err));
	if (ret_next)
		*ret_next = r.next;
	return SM_OK;
}
