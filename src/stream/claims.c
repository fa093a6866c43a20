/* Deduplication: each key is claimed by one record. Within a micro-batch the record that is read first has the claim; a claim in the store
 * that names the very same record is our own (a write that came through although its answer did not) and makes no duplicate. */
#include "stream/stream_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define KEY_BYTES_MAX (STORE_KEY_BYTES_MAX - STREAM_NAME_MAX - 16)

struct claim {
	bool found;
	bool ours;
	const struct source *source;
	int32_t partition;
	int64_t offset;
};

static const struct store_cell *cell_named(const struct store_table *t, const struct store_row *row, const char *name)
{
	const struct store_column *c = store_find_column(t, name);
	return c ? &row->cells[c - t->columns] : NULL;
}

static enum sm_err compare_claim(const struct store_table *table, const struct store_row *row, struct claim *claim)
{
	const struct store_cell *topic = cell_named(table, row, "topic"), *partition = cell_named(table, row, "partition");
	const struct store_cell *offset = cell_named(table, row, "offset");
	if (!topic || !partition || !offset || topic->size < 0 || partition->size != 4 || offset->size != 8)
		return SM_CORRUPT;
	claim->found = true;
	claim->ours = bytes_equal(bytes_of(topic->data, (size_t)topic->size), bytes_str(claim->source->topic)) &&
		      (int32_t)be32_get(partition->data) == claim->partition && (int64_t)be64_get(offset->data) == claim->offset;
	return SM_OK;
}

/* Where the store is another server's, claims are asked for some records ahead: one answer is on its way while another is read. */
struct ahead {
	struct store_cursor *cursors[STREAM_CLAIMS_AHEAD]; /* by row; NULL: not asked */
	uint32_t asked;                                    /* rows */
};

static enum sm_err ask_claim(const struct stream_job *job, struct bytes key, struct store_cursor **ret_cursor, struct sm_error *reterr)
{
	struct store_cell keys[] = {cell_of_text(job->name), cell_of_bytes(key)};
	struct store_read read = {.table = job->tables.claim, .partition_key = keys, .no_times = true};
	return job->env->store->ops->open(job->env->store, &read, ret_cursor, reterr);
}

/* The cursor is closed. */
static enum sm_err take_claim(const struct stream_job *job, struct store_cursor *cursor, struct claim *claim, struct sm_error *reterr)
{
	const struct store_table *t = job->tables.claim;
	const struct store_row *row;
	enum sm_err err = job->env->store->ops->next(cursor, &row);
	if (!err)
		err = compare_claim(t, row, claim);
	job->env->store->ops->close_cursor(cursor);
	return !err || err == SM_END ? SM_OK : sm_fail(reterr, err, "reading %s.%s: %s", t->keyspace, t->name, sm_err_text(err));
}

/* The key's bytes; scratch has room for 8. */
static struct bytes key_bytes(struct value v, uint8_t scratch[8])
{
	switch (v.type) {
	case COLUMN_BOOL: scratch[0] = v.boolean; return bytes_of(scratch, 1);
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: be64_put(scratch, (uint64_t)v.integer); return bytes_of(scratch, 8);
	case COLUMN_DOUBLE: {
		uint64_t bits;
		memcpy(&bits, &v.real, 8);
		be64_put(scratch, bits);
		return bytes_of(scratch, 8);
	}
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: break;
	}
	return v.bytes;
}

static enum sm_err put_claim(struct build *b, struct bytes key, const struct claim *c, struct sm_error *reterr)
{
	uint8_t partition[4], offset[8];
	be32_put(partition, (uint32_t)c->partition);
	be64_put(offset, (uint64_t)c->offset);
	struct store_cell keys[] = {cell_of_text(b->job->name), cell_of_bytes(key)};
	struct named_cell cells[] = {{"topic", cell_of_text(c->source->topic)}, {"partition", {partition, 4}}, {"offset", {offset, 8}}};
	return build__put(b, b->job->tables.claim, keys, cells, 3, reterr);
}

/* asked: the claim's cursor, which is closed, or NULL. */
static enum sm_err claim(struct build *b, uint32_t source, int32_t partition, int64_t offset, struct bytes key, struct map *seen,
			 struct store_cursor *asked, bool *ret_ours, struct sm_error *reterr)
{
	const struct source *s = &b->job->sources[source];
	struct claim c = {.source = s, .partition = partition, .offset = offset};
	enum sm_err err = SM_OK;
	*ret_ours = false;
	bool twice = map_get(seen, key) != NULL;
	if (!twice && (err = map_put(seen, key, b, NULL)))
		sm_fail(reterr, err, "out of memory");
	if (twice || err) {
		if (asked)
			b->job->env->store->ops->close_cursor(asked);
		return err;
	}
	if (key.size > KEY_BYTES_MAX) /* nobody asked for it */
		return sm_fail(reterr, SM_TOO_LARGE, "topic %s, partition %d, offset %lld: the dedup key has %zu bytes", s->topic,
			       partition, (long long)offset, key.size);
	if (!asked && (err = ask_claim(b->job, key, &asked, reterr)))
		return err;
	if ((err = take_claim(b->job, asked, &c, reterr)))
		return err;
	*ret_ours = !c.found || c.ours;
	return *ret_ours ? put_claim(b, key, &c, reterr) : SM_OK;
}

enum sm_err claims__claim(struct build *b, uint32_t source, int32_t partition, int64_t offset, struct bytes key, struct map *seen,
			  bool *ret_ours, struct sm_error *reterr)
{
	return claim(b, source, partition, offset, key, seen, NULL, ret_ours, reterr);
}

/* Ask for the claims of rows up to STREAM_CLAIMS_AHEAD behind this one. */
static enum sm_err ask_ahead(struct build *b, uint32_t source, uint32_t row, const struct map *seen, struct ahead *ahead,
			     struct sm_error *reterr)
{
	const struct batch *rows = b->rows[source];
	uint32_t end = row + (b->job->env->store->ops->reads_travel ? STREAM_CLAIMS_AHEAD : 1);
	enum sm_err err = SM_OK;
	for (; ahead->asked < rows->rows && ahead->asked < end && !err; ahead->asked++) {
		struct store_cursor **cursor = &ahead->cursors[ahead->asked % STREAM_CLAIMS_AHEAD];
		struct value v = batch_get(rows, (uint32_t)b->job->sources[source].dedup_column, ahead->asked);
		uint8_t scratch[8];
		*cursor = NULL;
		struct bytes key = v.null ? (struct bytes){0} : key_bytes(v, scratch);
		if (!v.null && key.size <= KEY_BYTES_MAX && !map_get(seen, key))
			err = ask_claim(b->job, key, cursor, reterr);
	}
	return err;
}

static void drop_ahead(struct build *b, struct ahead *ahead)
{
	for (uint32_t i = 0; i < STREAM_CLAIMS_AHEAD; i++)
		if (ahead->cursors[i])
			b->job->env->store->ops->close_cursor(ahead->cursors[i]);
}

static enum sm_err claim_row(struct build *b, uint32_t source, uint32_t row, struct map *seen, struct ahead *ahead, bool *ret_keep,
			     struct sm_error *reterr)
{
	enum sm_err err = ask_ahead(b, source, row, seen, ahead, reterr);
	if (err)
		return err;
	struct store_cursor *asked = ahead->cursors[row % STREAM_CLAIMS_AHEAD];
	ahead->cursors[row % STREAM_CLAIMS_AHEAD] = NULL;
	const struct batch *rows = b->rows[source];
	uint8_t scratch[8];
	uint32_t fields = rows->type->field_count; /* .., _key, _partition, _offset, _timestamp */
	struct value v = batch_get(rows, (uint32_t)b->job->sources[source].dedup_column, row);
	if (v.null) {
		*ret_keep = true;
		return SM_OK;
	}
	struct bytes key = key_bytes(v, scratch);
	int32_t partition = (int32_t)batch_get(rows, fields - 3, row).integer;
	int64_t offset = batch_get(rows, fields - 2, row).integer;
	if (key.size > KEY_BYTES_MAX) {
		char text[120];
		snprintf(text, sizeof text, "the dedup key has %zu bytes; at most %d can be kept", key.size, KEY_BYTES_MAX);
		b->poisoned = true;
		*ret_keep = false;
		return poison__add(b, source, partition, offset, text, reterr);
	}
	return claim(b, source, partition, offset, key, seen, asked, ret_keep, reterr);
}

enum sm_err claims__dedup(struct build *b, struct sm_error *reterr)
{
	struct map seen;
	enum sm_err err = SM_OK;
	map_init(&seen);
	for (uint32_t i = 0; i < b->job->source_count && !err; i++) {
		const struct source *s = &b->job->sources[i];
		struct batch *rows = b->rows[i];
		if (!rows || s->dedup_column < 0)
			continue;
		struct ahead ahead = {.asked = 0};
		struct batch *kept = batch_new(rows->type);
		if (!kept)
			err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		for (uint32_t row = 0; row < rows->rows && !err; row++) {
			bool keep;
			if ((err = claim_row(b, i, row, &seen, &ahead, &keep, reterr)))
				break;
			if (!keep)
				b->duplicates++;
			else if ((err = batch_copy_row(kept, rows, row)))
				sm_fail(reterr, err, "a micro-batch: %s", sm_err_text(err));
		}
		drop_ahead(b, &ahead);
		if (err) {
			batch_unref(kept);
		} else {
			batch_unref(rows);
			b->rows[i] = kept;
		}
	}
	map_done(&seen);
	if (!err && b->poisoned)
		err = sm_fail(reterr, SM_TOO_LARGE, "a dedup key is too large");
	return err;
}
