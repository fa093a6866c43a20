/* Where a job stands: read at its start, written with each micro-batch. */
#include "stream/stream_internal.h"
#include <stdio.h>

struct loading {
	struct stream_job *job;
};

static const struct store_cell *cell_named(const struct store_table *t, const struct store_row *row, const char *name)
{
	static const struct store_cell none = {NULL, -1};
	const struct store_column *c = store_find_column(t, name);
	return c ? &row->cells[c - t->columns] : &none;
}

static enum sm_err take_offset(void *arg, const struct store_row *row)
{
	struct stream_job *job = ((struct loading *)arg)->job;
	const struct store_table *t = job->tables.offset;
	const struct store_cell *topic = cell_named(t, row, "topic"), *partition = cell_named(t, row, "partition"),
				*offset = cell_named(t, row, "offset");
	const struct store_cell *written = cell_named(t, row, "written_us");
	if (topic->size < 0 || partition->size != 4 || offset->size != 8 || written->size != 8)
		return SM_CORRUPT;
	int64_t written_us = (int64_t)be64_get(written->data), at = (int64_t)be64_get(offset->data);
	int32_t p = (int32_t)be32_get(partition->data);
	if (written_us > job->last_us)
		job->last_us = written_us;
	for (uint32_t i = 0; i < job->source_count; i++) {
		struct source *s = &job->sources[i];
		if (bytes_equal(bytes_of(topic->data, (size_t)topic->size), bytes_str(s->topic)) && p >= 0 && p < s->partitions)
			s->next[p] = s->end[p] = at;
	}
	return SM_OK;
}

enum sm_err offsets__load(struct stream_job *job, struct sm_error *reterr)
{
	struct store_cell key = cell_of_text(job->name);
	return stream__read_partition(job->env->store, job->tables.offset, &key, take_offset, &(struct loading){job}, reterr);
}

/* Records of the dead-letter topic that a lost micro-batch appended and that have not been read again yet: the committed position must not
 * pass them, or a second crash would forget them. */
static bool dead_letters_pending(struct stream_job *job)
{
	size_t pos = 0;
	struct bytes key;
	void *value;
	while (map_next(&job->dead_written, &pos, &key, &value)) {
		char text[64];
		unsigned source;
		int partition;
		long long offset;
		size_t size = key.size < sizeof text - 1 ? key.size : sizeof text - 1;
		memcpy(text, key.data, size);
		text[size] = 0;
		if (sscanf(text, "%u/%d/%lld", &source, &partition, &offset) == 3 && source < job->source_count &&
		    partition < job->sources[source].partitions && offset < job->sources[source].end[partition])
			map_remove(&job->dead_written, key);
	}
	return job->dead_written.count > 0;
}

enum sm_err offsets__put(struct build *b, struct sm_error *reterr)
{
	struct stream_job *job = b->job;
	bool pending = dead_letters_pending(job);
	for (uint32_t i = 0; i < job->source_count; i++) {
		struct source *s = &job->sources[i];
		for (int32_t p = 0; p < s->partitions; p++) {
			if (s->dead_letter && pending)
				s->end[p] = s->next[p];
			if (s->end[p] == s->next[p] || s->end[p] < 0)
				continue;
			uint8_t partition[4], offset[8], written[8];
			be32_put(partition, (uint32_t)p);
			be64_put(offset, (uint64_t)s->end[p]);
			be64_put(written, (uint64_t)b->timestamp_us);
			struct store_cell keys[] = {cell_of_text(job->name), cell_of_text(s->topic), {partition, 4}};
			struct named_cell cells[] = {{"offset", {offset, 8}}, {"written_us", {written, 8}}};
			enum sm_err err = build__put(b, job->tables.offset, keys, cells, 2, reterr);
			if (err)
				return err;
		}
	}
	return SM_OK;
}
