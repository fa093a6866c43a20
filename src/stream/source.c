/* Reading: from the committed offsets towards the high watermarks, decoded by the topic's schema. The same offsets give the same rows. */
#include "stream/stream_internal.h"
#include <stdlib.h>

enum sm_err source__partitions(struct stream_job *job, struct source *s, struct sm_error *reterr)
{
	struct sm_log *log = job->env->log;
	const struct log_topics *topics = log->ops->topics(log);
	const struct log_topic *topic = log_topics_find(topics, s->topic);
	int32_t count = topic ? topic->partitions : 0;
	log->ops->topics_release(log, topics);
	if (!count)
		return sm_fail(reterr, SM_NOT_FOUND, "there is no topic %s", s->topic);
	if (count <= s->partitions)
		return SM_OK;
	int64_t *next = realloc(s->next, (size_t)count * sizeof *next);
	if (next)
		s->next = next;
	int64_t *end = next ? realloc(s->end, (size_t)count * sizeof *end) : NULL;
	if (end)
		s->end = end;
	int64_t *told = end ? realloc(s->told, (size_t)count * sizeof *told) : NULL;
	if (!told)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	s->told = told;
	for (int32_t i = s->partitions; i < count; i++)
		s->next[i] = s->end[i] = s->told[i] = -1; /* from the earliest record */
	s->partitions = count;
	return SM_OK;
}

#define RECORD_OVERHEAD 64 /* what one takes beside its bytes, about */

struct reading {
	struct build *b;
	uint32_t source, left; /* records that may still be taken from this partition */
	int32_t partition;
	size_t bytes_left;
	struct arena scratch;
};

static enum sm_err copy_bytes(struct arena *arena, struct bytes in, struct bytes *out)
{
	*out = in;
	if (in.size == 0)
		return SM_OK;
	void *copy = arena_copy(arena, in.data, in.size);
	out->data = copy;
	return copy ? SM_OK : SM_NO_MEMORY;
}

enum sm_err dead__add(struct build *b, const struct dead_record *record, struct sm_error *reterr)
{
	if (b->dead_count == b->dead_cap) {
		uint32_t cap = b->dead_cap ? b->dead_cap * 2 : 16;
		struct dead_record *more = realloc(b->dead, cap * sizeof *more);
		if (!more)
			return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		b->dead = more;
		b->dead_cap = cap;
	}
	struct dead_record *d = &b->dead[b->dead_count];
	*d = *record;
	d->reason = arena_string(&b->dead_arena, record->reason, strlen(record->reason));
	if (!d->reason || copy_bytes(&b->dead_arena, record->key, &d->key) || copy_bytes(&b->dead_arena, record->value, &d->value))
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	b->dead_count++;
	return SM_OK;
}

static enum sm_err bury(struct reading *r, const struct record *record, const char *reason, struct sm_error *reterr)
{
	return dead__add(r->b,
			 &(struct dead_record){r->source, r->partition, record->offset, record->timestamp_ms, record->key, record->value,
					       record->key_null, record->value_null, reason},
			 reterr);
}

static enum sm_err take_record(struct reading *r, const struct record *record, struct sm_error *reterr)
{
	struct build *b = r->b;
	struct source *s = &b->job->sources[r->source];
	struct event_problems problems;
	char position[64];
	size_t size = stream__position(position, r->source, r->partition, record->offset);
	const char *poison = map_get(&b->poison, bytes_of(position, size));
	struct buf reason;
	enum sm_err err;
	b->record_count++;
	if (poison)
		return bury(r, record, poison, reterr);
	arena_reset(&r->scratch);
	err = topic_put_record(b->rows[r->source], s->schema, record, r->partition, &r->scratch, &problems);
	if (err != SM_INVALID)
		return err ? sm_fail(reterr, err, "topic %s, partition %d, offset %lld: %s", s->topic, r->partition,
				     (long long)record->offset, sm_err_text(err))
			   : SM_OK;
	buf_init(&reason);
	event_problems_json(&problems, &reason);
	buf_u8(&reason, 0);
	err = reason.failed ? sm_fail(reterr, SM_NO_MEMORY, "out of memory")
			    : bury(r, record, (const char *)buf_bytes(&reason).data, reterr);
	buf_done(&reason);
	return err;
}

/* The records of one record batch from `next` on; s->end moves behind each one taken. */
static enum sm_err take_batch(struct reading *r, const struct log_slice *slice, struct bytes data, struct sm_error *reterr)
{
	struct source *s = &r->b->job->sources[r->source];
	struct batch_reader reader;
	struct record record;
	enum sm_err err = batch_reader_init(&reader, data);
	if (err)
		return sm_fail(reterr, err, "topic %s, partition %d, at offset %lld: %s", s->topic, r->partition,
			       (long long)s->end[r->partition], sm_err_text(err));
	bool hidden = log_slice_hides(slice, &reader.info);
	while (!hidden && r->left && r->bytes_left && !(err = batch_next(&reader, &record))) {
		if (record.offset < s->end[r->partition])
			continue;
		if ((err = take_record(r, &record, reterr)))
			break;
		s->end[r->partition] = record.offset + 1;
		r->left--;
		/* As they are in memory, not as they were sent: a small batch can unpack to a large one. */
		size_t size = record.key.size + record.value.size + RECORD_OVERHEAD;
		r->bytes_left = size < r->bytes_left ? r->bytes_left - size : 0;
	}
	/* Through: what compaction removed at its end is not waited for. */
	if (err == SM_END || hidden) {
		s->end[r->partition] = reader.info.base_offset + reader.info.last_offset_delta + 1;
		err = SM_OK;
	} else if (err && reterr && err == SM_CORRUPT) {
		sm_fail(reterr, err, "topic %s, partition %d, offset %lld: a record's structure is wrong", s->topic, r->partition,
			(long long)s->end[r->partition]);
	}
	batch_reader_done(&reader);
	return err;
}

static enum sm_err take_slice(struct reading *r, struct log_slice *slice, struct sm_error *reterr)
{
	struct stream_job *job = r->b->job;
	struct bytes data;
	enum sm_err err = log_slice_bytes(slice, &job->buffer, &job->buffer_cap, &data);
	if (err)
		return sm_fail(reterr, err, "reading topic %s: %s", job->sources[r->source].topic, sm_err_text(err));
	while (!err && data.size && r->left && r->bytes_left) {
		struct batch_info info;
		if ((err = batch_parse(data, &info)))
			return err == SM_TRUNCATED ? SM_OK
						   : sm_fail(reterr, err, "topic %s, partition %d: a record batch is damaged",
							     job->sources[r->source].topic, r->partition);
		err = take_batch(r, slice, bytes_of(data.data, info.size), reterr);
		data = bytes_of(data.data + info.size, data.size - info.size);
	}
	return err;
}

static enum sm_err first_offset(struct stream_job *job, struct source *s, int32_t partition, struct sm_error *reterr)
{
	int64_t unused;
	enum sm_err err = job->env->log->ops->offset_for(job->env->log, s->topic, partition, LOG_EARLIEST, &s->next[partition], &unused);
	return err ? sm_fail(reterr, err, "topic %s, partition %d: %s", s->topic, partition, sm_err_text(err)) : SM_OK;
}

int64_t stream_job_lag(const struct stream_job *job)
{
	struct sm_log *log = job->env->log;
	int64_t lag = 0;
	for (uint32_t i = 0; i < job->source_count; i++) {
		const struct source *s = &job->sources[i];
		for (int32_t p = 0; !s->dead_letter && p < s->partitions; p++) {
			int64_t first = s->next[p], end;
			enum sm_err err = log->ops->offset_for(log, s->topic, p, LOG_LATEST, &end, NULL);
			if (!err && first < 0)
				err = log->ops->offset_for(log, s->topic, p, LOG_EARLIEST, &first, NULL);
			if (err == SM_UNAVAILABLE || err == SM_TIMEOUT)
				return -1;
			if (err)
				continue;
			lag += end - first;
		}
	}
	return lag;
}

/* Go on behind a hole, if the job is to. */
static enum sm_err pass_over(struct reading *r)
{
	const struct compute_env *env = r->b->job->env;
	struct source *s = &r->b->job->sources[r->source];
	int64_t *end = &s->end[r->partition], *told = &s->told[r->partition], to;
	enum sm_err err = topic_pass_over(env, s->topic, r->partition, *end, &to);
	if (err)
		return err;
	if (to > *told)
		env->passed(env->passed_arg, s->topic, r->partition, *end, to);
	*told = *end = to;
	return SM_OK;
}

static enum sm_err read_partition(struct reading *r, struct sm_error *reterr)
{
	struct stream_job *job = r->b->job;
	struct source *s = &job->sources[r->source];
	int64_t *end = &s->end[r->partition], high = 0;
	enum sm_err err;
	if (s->next[r->partition] < 0 && (err = first_offset(job, s, r->partition, reterr)))
		return err;
	*end = s->next[r->partition];
	for (bool more = true; more;) {
		struct log_read_result result;
		int64_t before = *end;
		err = job->env->log->ops->read(job->env->log, s->topic, r->partition, *end, STREAM_READ_BYTES, &result);
		if (err == SM_CORRUPT && (err = pass_over(r)) == SM_OK)
			continue;
		if (err)
			return sm_fail(reterr, err,
				       err == SM_OUT_OF_RANGE ? "topic %s, partition %d: offset %lld is not there (%s): retention removed "
								"records before the job read them, or the topic was made anew; "
								"a job of another name starts at what is there"
							      : "reading topic %s, partition %d, at offset %lld: %s",
				       s->topic, r->partition, (long long)*end, sm_err_text(err));
		high = result.last_stable_offset;
		more = result.slice.size > 0 && r->left && r->bytes_left;
		if (more)
			err = take_slice(r, &result.slice, reterr);
		log_slice_done(&result.slice);
		if (err)
			return err;
		more = more && *end > before && *end < high;
	}
	r->b->lag += high - *end;
	r->b->more |= *end < high;
	return SM_OK;
}

enum sm_err source__read(struct build *b, uint32_t records, struct sm_error *reterr)
{
	struct stream_job *job = b->job;
	struct reading r = {.b = b};
	uint32_t partitions = 0, left = records;
	size_t bytes = job->bytes_limit;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < job->source_count; i++)
		partitions += job->sources[i].dead_letter ? 0 : (uint32_t)job->sources[i].partitions;
	arena_init(&r.scratch, 0);
	for (uint32_t i = 0; i < job->source_count && !err; i++) {
		struct source *s = &job->sources[i];
		if (s->dead_letter)
			continue;
		if (!(b->rows[i] = batch_new(s->type)))
			err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		for (int32_t p = 0; p < s->partitions && !err; p++, partitions--) {
			/* a fair share of what is left; a partition that needs less leaves it to those behind it */
			uint32_t share = left / partitions ? left / partitions : left > 0;
			size_t byte_share = bytes / partitions + 1;
			r.source = i;
			r.partition = p;
			r.left = share;
			r.bytes_left = byte_share;
			err = read_partition(&r, reterr);
			left -= share - r.left;
			size_t used = byte_share - r.bytes_left;
			bytes = used < bytes ? bytes - used : 0;
		}
	}
	arena_done(&r.scratch);
	return err;
}
