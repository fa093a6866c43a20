/* Dead letters: appended before the commit, once each. The last source of a job stands for the dead-letter topic; its offsets are where the
 * topic ended when the last micro-batch was committed. What lies behind that point at the start was appended by a micro-batch that was
 * lost, and is not appended again. */
#include "stream/stream_internal.h"
#include <stdio.h>
#include <stdlib.h>

static struct source *dead_source(struct stream_job *job)
{
	for (uint32_t i = 0; i < job->source_count; i++)
		if (job->sources[i].dead_letter)
			return &job->sources[i];
	return NULL;
}

/* ---- after a crash ---- */

struct letter {
	struct bytes job, topic, partition, offset;
};

static long long number_of(struct bytes text)
{
	char copy[24];
	if (text.size == 0 || text.size >= sizeof copy)
		return -1;
	memcpy(copy, text.data, text.size);
	copy[text.size] = 0;
	return atoll(copy);
}

static enum sm_err note_record(struct stream_job *job, const struct record *record)
{
	struct letter l = {0};
	struct bytes raw = record->headers_raw;
	for (uint32_t i = 0; i < record->header_count; i++) {
		struct record_header h;
		if (record_header_next(&raw, &h))
			return SM_OK; /* not one of ours */
		struct bytes *to = bytes_equal(h.key, BYTES("smack.job"))         ? &l.job
				   : bytes_equal(h.key, BYTES("smack.topic"))     ? &l.topic
				   : bytes_equal(h.key, BYTES("smack.partition")) ? &l.partition
				   : bytes_equal(h.key, BYTES("smack.offset"))    ? &l.offset
										  : NULL;
		if (to)
			*to = h.value;
	}
	if (!bytes_equal(l.job, bytes_str(job->name)))
		return SM_OK;
	for (uint32_t i = 0; i < job->source_count; i++) {
		const struct source *s = &job->sources[i];
		long long partition = number_of(l.partition), offset = number_of(l.offset);
		if (s->dead_letter || !bytes_equal(l.topic, bytes_str(s->topic)) || partition < 0 || partition >= s->partitions ||
		    offset < s->next[partition])
			continue;
		char position[64];
		size_t size = stream__position(position, i, (int32_t)partition, offset);
		return map_put(&job->dead_written, bytes_of(position, size), job, NULL);
	}
	return SM_OK;
}

static enum sm_err note_slice(struct stream_job *job, const struct log_slice *slice, struct bytes data, int64_t *next)
{
	enum sm_err err = SM_OK;
	while (data.size && !err) {
		struct batch_reader reader;
		struct record record;
		if ((err = batch_reader_init(&reader, data)))
			return err == SM_TRUNCATED ? SM_OK : err;
		while (!log_slice_hides(slice, &reader.info) && !(err = batch_next(&reader, &record)))
			if (record.offset >= *next && (err = note_record(job, &record)))
				break;
		*next = reader.info.base_offset + reader.info.last_offset_delta + 1;
		data = bytes_of(data.data + reader.info.size, data.size - reader.info.size);
		batch_reader_done(&reader);
		err = err == SM_END ? SM_OK : err;
	}
	return err;
}

static enum sm_err scan(struct stream_job *job, struct source *s, int32_t p)
{
	struct sm_log *log = job->env->log;
	int64_t first, unused, at;
	enum sm_err err = log->ops->offset_for(log, s->topic, p, LOG_EARLIEST, &first, &unused);
	if (err)
		return err;
	if (s->next[p] < first)
		s->next[p] = s->end[p] = first;
	for (at = s->next[p];;) {
		struct log_read_result result;
		struct bytes data;
		int64_t before = at;
		if ((err = log->ops->read(log, s->topic, p, at, STREAM_READ_BYTES, &result)))
			return err == SM_OUT_OF_RANGE ? SM_OK : err; /* the topic was made anew: nothing of ours is there */
		bool more = result.slice.size > 0;
		if (more && !(err = log_slice_bytes(&result.slice, &job->buffer, &job->buffer_cap, &data)))
			err = note_slice(job, &result.slice, data, &at);
		log_slice_done(&result.slice);
		if (err || !more || at == before)
			return err;
	}
}

enum sm_err dead__recover(struct stream_job *job, struct sm_error *reterr)
{
	struct source *s = dead_source(job);
	for (int32_t p = 0; s && p < s->partitions; p++) {
		enum sm_err err = scan(job, s, p);
		if (err)
			return sm_fail(reterr, err, "reading the dead-letter topic %s: %s", s->topic, sm_err_text(err));
	}
	return SM_OK;
}

/* ---- appending ---- */

static void add_letter(struct batch_builder *builder, const struct build *b, const struct dead_record *d)
{
	char partition[16], offset[24], omitted[96];
	const struct source *s = &b->job->sources[d->source];
	struct record record = {
		.timestamp_ms = d->timestamp_ms, .key = d->key, .value = d->value, .key_null = d->key_null, .value_null = d->value_null};
	snprintf(partition, sizeof partition, "%d", d->partition);
	snprintf(offset, sizeof offset, "%lld", (long long)d->offset);
	struct record_header headers[] = {
		{BYTES("smack.job"), bytes_str(b->job->name), false},    {BYTES("smack.topic"), bytes_str(s->topic), false},
		{BYTES("smack.partition"), bytes_str(partition), false}, {BYTES("smack.offset"), bytes_str(offset), false},
		{BYTES("smack.reason"), bytes_str(d->reason), false},    {BYTES("smack.omitted"), {0}, false}};
	uint32_t count = 5;
	/* With its headers it would be larger than the log takes: say where it is. */
	if (d->value.size + d->key.size + strlen(d->reason) > LOG_BATCH_BYTES_MAX - 4096) {
		snprintf(omitted, sizeof omitted, "the value of %zu bytes is left out: read it at its offset", d->value.size);
		headers[count++].value = bytes_str(omitted);
		record.value = bytes_of(NULL, 0);
		record.value_null = true;
	}
	batch_add(builder, &record, headers, count);
}

static enum sm_err append_batch(struct build *b, struct source *s, int32_t partition, struct buf *out, struct batch_builder *builder,
				struct sm_error *reterr)
{
	int32_t count = builder->count;
	int64_t base;
	enum sm_err err = batch_end(builder);
	if (!err && !out->failed)
		err = log_append_wait(b->job->env->log, s->topic, partition, out->data + out->start, buf_size(out), &base);
	else if (!err)
		err = SM_NO_MEMORY;
	if (err)
		return sm_fail(reterr, err, "appending to the dead-letter topic %s: %s", s->topic, sm_err_text(err));
	s->end[partition] = base + count;
	buf_clear(out);
	return SM_OK;
}

enum sm_err dead__append(struct build *b, struct sm_error *reterr)
{
	struct source *s = dead_source(b->job);
	struct batch_builder builder;
	struct buf out;
	enum sm_err err = SM_OK;
	buf_init(&out);
	for (int32_t p = 0; s && p < s->partitions && !err; p++) {
		bool open = false;
		s->end[p] = s->next[p];
		for (uint32_t i = 0; i < b->dead_count && !err; i++) {
			const struct dead_record *d = &b->dead[i];
			char position[64];
			size_t size = stream__position(position, d->source, d->partition, d->offset);
			if (d->partition % s->partitions != p || map_get(&b->job->dead_written, bytes_of(position, size)))
				continue;
			size_t need = d->value.size + d->key.size + strlen(d->reason) + 4096;
			if (open && batch_size(&builder) + need > LOG_BATCH_BYTES_MAX) {
				err = append_batch(b, s, p, &out, &builder, reterr);
				open = false;
			}
			if (!err && !open)
				batch_begin(&builder, &out, CODEC_NONE);
			open = true;
			if (!err)
				add_letter(&builder, b, d);
		}
		if (open && !err)
			err = append_batch(b, s, p, &out, &builder, reterr);
	}
	buf_done(&out);
	return err;
}
