/* Rows of a job into a table, batch after batch. */
#include "compute/compute_internal.h"
#include <stdlib.h>
#include <time.h>

struct table_sink {
	struct sm_store *store;
	const struct store_schema *schema; /* held: it owns the table's picture */
	const struct store_table *table;
	struct table_writer *writer;
	int64_t timestamp_us;
	char *job;
	uint64_t epoch;
	struct arena arena; /* what mutations point into, until they are written */
	struct store_mutation mutations[COMPUTE_WRITE_ROWS];
	uint32_t count;
};

enum sm_err table_name_split(const char *name, const char *default_keyspace, char keyspace[256], const char **ret_table,
			     struct sm_error *reterr)
{
	const char *dot = strchr(name, '.');
	const char *from = dot ? name : default_keyspace;
	size_t size = dot ? (size_t)(dot - name) : from ? strlen(from) : 0;
	if (!from)
		return sm_fail(reterr, SM_INVALID, "table %s: name its keyspace (keyspace.%s), there is no default one", name, name);
	if (size == 0 || size > 255 || (dot && dot[1] == 0))
		return sm_fail(reterr, SM_INVALID, "'%s' is no name of a table: write keyspace.table", name);
	memcpy(keyspace, from, size);
	keyspace[size] = 0;
	*ret_table = dot ? dot + 1 : name;
	return SM_OK;
}

enum sm_err table_sink_new(struct sm_store *store, const char *name, const char *default_keyspace, const struct row_type *type,
			   const char *const *target_columns, int64_t timestamp_us, const char *job, uint64_t epoch,
			   struct table_sink **ret_sink, struct sm_error *reterr)
{
	char keyspace[256] = "";
	const char *table = name;
	if (!store)
		return sm_fail(reterr, SM_UNAVAILABLE, "table %s cannot be written: the job has no store", name);
	enum sm_err err = table_name_split(name, default_keyspace, keyspace, &table, reterr);
	if (err)
		return err;
	struct table_sink *sink = calloc(1, sizeof *sink);
	if (!sink)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory to write a table");
	arena_init(&sink->arena, 0);
	sink->store = store;
	sink->timestamp_us = timestamp_us;
	sink->epoch = epoch;
	sink->schema = store->ops->schema(store);
	sink->table = store_find_table(sink->schema, keyspace, table);
	if (!sink->table)
		err = sm_fail(reterr, SM_NOT_FOUND, "there is no table %s.%s", keyspace, table);
	else if (job && !(sink->job = strdup(job)))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory to write a table");
	else
		err = table_writer_new(sink->table, type, target_columns, &sink->writer, reterr);
	if (err)
		table_sink_free(sink);
	else
		*ret_sink = sink;
	return err;
}

void table_sink_free(struct table_sink *sink)
{
	if (!sink)
		return;
	table_writer_free(sink->writer);
	sink->store->ops->schema_release(sink->store, sink->schema);
	arena_done(&sink->arena);
	free(sink->job);
	free(sink);
}

/* A store that is behind says SM_FULL: ask again, a little later each time. There is nothing that could be waited on instead. */
static enum sm_err apply(struct sm_store *store, const struct store_batch *batch)
{
	int64_t waited_ms = 0;
	for (int64_t pause_ms = 2;; pause_ms = pause_ms < 100 ? pause_ms * 2 : pause_ms) {
		enum sm_err err = store_apply_wait(store, batch);
		if (err != SM_FULL || waited_ms >= COMPUTE_WRITE_WAIT_MS)
			return err;
		nanosleep(&(struct timespec){0, pause_ms * 1000000}, NULL);
		waited_ms += pause_ms;
	}
}

enum sm_err table_sink_flush(struct table_sink *sink, struct sm_error *reterr)
{
	if (sink->count == 0)
		return SM_OK;
	struct store_batch batch = {.mutations = sink->mutations, .count = sink->count, .job = sink->job, .epoch = sink->epoch};
	enum sm_err err = apply(sink->store, &batch);
	if (err)
		return sm_fail(reterr, err, "writing %s.%s: %s", sink->table->keyspace, sink->table->name, sm_err_text(err));
	sink->count = 0;
	arena_reset(&sink->arena);
	return SM_OK;
}

enum sm_err table_sink_batch(struct table_sink *sink, const struct batch *batch, struct sm_error *reterr)
{
	for (uint32_t row = 0; row < batch->rows; row++) {
		enum sm_err err = table_writer_row(sink->writer, batch, row, sink->timestamp_us, &sink->arena,
						   &sink->mutations[sink->count], reterr);
		if (err)
			return err;
		sink->count++;
		if (sink->count == COMPUTE_WRITE_ROWS || sink->arena.used >= COMPUTE_WRITE_BYTES)
			err = table_sink_flush(sink, reterr);
		if (err)
			return err;
	}
	return SM_OK;
}
