/* <smack/store.h>: rows by key for jobs and actors. It lives here, not in store/, because its rows are the RDDs' rows. */
#include <smack/store.h>
#include "base/clock.h"
#include "compute/rdd_internal.h"
#include <stdlib.h>

/* ---- reading ---- */

static enum sm_err hand_out(const struct row_type *type, struct batch *batch, sm_store_each each, void *arg, struct sm_error *reterr)
{
	struct row_fault fault = {0};
	struct sm_row row = {.type = type, .batch = batch, .fault = &fault};
	for (; row.index < batch->rows; row.index++) {
		enum sm_err err = each(arg, &row);
		if (fault.err)
			return sm_fail(reterr, fault.err, "%s", fault.text);
		if (err)
			return err == SM_END ? err : sm_fail(reterr, err, "%s", sm_err_text(err));
	}
	return SM_OK;
}

static enum sm_err read_rows(struct dag_node *scan, const struct store_read *read, sm_store_each each, void *arg, struct sm_error *reterr)
{
	struct dag_iterator *it;
	enum sm_err err = dag__table_open(scan, read, &it, reterr);
	if (err)
		return err;
	struct batch *batch;
	while (!(err = it->ops->next(it, &batch, reterr))) {
		err = hand_out(scan->type, batch, each, arg, reterr);
		batch_unref(batch);
		if (err)
			break;
	}
	dag_iterator_free(it);
	return err == SM_END ? SM_OK : err;
}

static enum sm_err open_table(struct sm_store *store, const char *name, struct dag_node **ret_scan, struct sm_error *reterr)
{
	char keyspace[256];
	const char *table;
	enum sm_err err = table_name_split(name, NULL, keyspace, &table, reterr);
	return err ? err : dag_table_scan(&(struct compute_env){.store = store}, keyspace, table, NULL, 0, ret_scan, reterr);
}

enum sm_err sm_store_scan(struct sm_store *store, const char *table, sm_store_each each, void *arg, struct sm_error *reterr)
{
	struct dag_node *scan;
	enum sm_err err = open_table(store, table, &scan, reterr);
	if (err)
		return err;
	struct store_read read = {.table = dag__table_of(scan), .token_from = INT64_MIN, .token_to = INT64_MAX, .no_times = true};
	err = read_rows(scan, &read, each, arg, reterr);
	dag_unref(scan);
	return err;
}

static enum sm_err get(struct dag_node *scan, const struct sm_value *key, uint32_t key_count, struct arena *arena, sm_store_each each,
		       void *arg, struct sm_error *reterr)
{
	const struct store_table *t = dag__table_of(scan);
	if (key_count < t->partition_key_count || key_count > (uint32_t)t->partition_key_count + t->clustering_count)
		return sm_fail(reterr, SM_INVALID, "the key of %s.%s has %u columns, the first %u of them are needed; %u were given",
			       t->keyspace, t->name, t->partition_key_count + t->clustering_count, t->partition_key_count, key_count);
	struct store_cell *cells = arena_alloc(arena, key_count * sizeof *cells);
	enum sm_err err = cells ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory for a key");
	for (uint32_t i = 0; i < key_count && !err; i++) {
		if (key[i].null)
			return sm_fail(reterr, SM_INVALID, "the key's column %s is null", t->columns[i].name);
		err = value_to_cell(t, &t->columns[i], value_of_public(key[i]), arena, &cells[i], reterr);
	}
	if (err)
		return err;
	struct store_read read = {.table = t, .partition_key = cells, .no_times = true};
	if (key_count > t->partition_key_count)
		read.from = read.to = (struct store_bound){STORE_INCLUSIVE, (uint16_t)(key_count - t->partition_key_count),
							   cells + t->partition_key_count};
	return read_rows(scan, &read, each, arg, reterr);
}

enum sm_err sm_store_get(struct sm_store *store, const char *table, const struct sm_value *key, uint32_t key_count, sm_store_each each,
			 void *arg, struct sm_error *reterr)
{
	struct dag_node *scan;
	struct arena arena;
	enum sm_err err = open_table(store, table, &scan, reterr);
	if (err)
		return err;
	arena_init(&arena, 0);
	err = get(scan, key, key_count, &arena, each, arg, reterr);
	arena_done(&arena);
	dag_unref(scan);
	return err;
}

/* ---- writing ---- */

/* One row under way. */
struct put {
	struct sm_store *store;
	const struct store_schema *schema; /* held: it owns the table's picture */
	const struct store_table *table;
	struct arena arena;
	struct store_mutation mutation;
	struct store_batch batch;
	void (*done)(void *arg, enum sm_err err);
	void *arg;
};

static void put_free(struct put *put)
{
	if (put->schema)
		put->store->ops->schema_release(put->store, put->schema);
	arena_done(&put->arena);
	free(put);
}

static enum sm_err find_table(struct put *put, const char *name, struct sm_error *reterr)
{
	char keyspace[256];
	const char *table;
	enum sm_err err = table_name_split(name, NULL, keyspace, &table, reterr);
	if (err)
		return err;
	put->schema = put->store->ops->schema(put->store);
	put->table = store_find_table(put->schema, keyspace, table);
	return put->table ? SM_OK : sm_fail(reterr, SM_NOT_FOUND, "there is no table %s", name);
}

enum sm_err table_put_columns(const struct store_table *t, const struct sm_column_value *columns, uint32_t count, int64_t timestamp_us,
			      struct arena *arena, struct store_mutation *ret_mutation, struct sm_error *reterr)
{
	uint32_t key_count = (uint32_t)t->partition_key_count + t->clustering_count, cell_count = 0;
	enum sm_err err = store_check_no_view(t, true, reterr);
	if (err)
		return err;
	struct store_cell *keys = arena_alloc(arena, key_count * sizeof *keys);
	struct store_assignment *cells = arena_alloc(arena, (count + 1) * sizeof *cells);
	if (!keys || !cells)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a row");
	for (uint32_t i = 0; i < key_count; i++)
		keys[i].size = -1;
	for (uint32_t i = 0; i < count; i++) {
		const struct store_column *column = store_find_column(t, columns[i].column);
		struct store_cell cell;
		if (!column)
			return sm_fail(reterr, SM_NOT_FOUND, "table %s.%s has no column %s", t->keyspace, t->name, columns[i].column);
		err = value_to_cell(t, column, value_of_public(columns[i].value), arena, &cell, reterr);
		if (err)
			return err;
		if (column->kind == STORE_PARTITION_KEY)
			keys[column->position] = cell;
		else if (column->kind == STORE_CLUSTERING)
			keys[t->partition_key_count + column->position] = cell;
		else
			cells[cell_count++] = (struct store_assignment){column, cell};
	}
	for (uint32_t i = 0; i < key_count; i++)
		if (keys[i].size < 0)
			return sm_fail(reterr, SM_INVALID, "column %s is part of the primary key of %s.%s: it wants a value",
				       t->columns[i].name, t->keyspace, t->name);
	*ret_mutation = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
						.table = t,
						.partition_key = keys,
						.clustering = t->clustering_count ? keys + t->partition_key_count : NULL,
						.cells = cells,
						.cell_count = cell_count,
						.timestamp_us = timestamp_us,
						.ttl_s = t->default_ttl_s};
	return SM_OK;
}

/* NULL: *ret_err says why. */
static struct put *put_new(struct sm_store *store, const char *table, const struct sm_column_value *columns, uint32_t count,
			   enum sm_err *ret_err, struct sm_error *reterr)
{
	struct put *put = calloc(1, sizeof *put);
	if (!put) {
		*ret_err = sm_fail(reterr, SM_NO_MEMORY, "no memory for a row");
		return NULL;
	}
	put->store = store;
	arena_init(&put->arena, 0);
	*ret_err = find_table(put, table, reterr);
	if (!*ret_err)
		*ret_err = table_put_columns(put->table, columns, count, (int64_t)clock_wall_us(&clock_system), &put->arena, &put->mutation,
					     reterr);
	put->batch = (struct store_batch){.mutations = &put->mutation, .count = 1};
	if (!*ret_err)
		return put;
	put_free(put);
	return NULL;
}

enum sm_err sm_store_put(struct sm_store *store, const char *table, const struct sm_column_value *columns, uint32_t column_count,
			 struct sm_error *reterr)
{
	enum sm_err err;
	struct put *put = put_new(store, table, columns, column_count, &err, reterr);
	if (!put)
		return err;
	err = store_apply_wait(store, &put->batch);
	put_free(put);
	return err ? sm_fail(reterr, err, "writing %s: %s", table, sm_err_text(err)) : SM_OK;
}

static void put_done(void *arg, enum sm_err err)
{
	struct put *put = arg;
	put->done(put->arg, err);
	put_free(put);
}

enum sm_err sm_store_put_then(struct sm_store *store, const char *table, const struct sm_column_value *columns, uint32_t column_count,
			      void (*done)(void *arg, enum sm_err err), void *arg, struct sm_error *reterr)
{
	enum sm_err err;
	struct put *put = put_new(store, table, columns, column_count, &err, reterr);
	if (!put)
		return err;
	put->done = done;
	put->arg = arg;
	store->ops->apply(store, &put->batch, put_done, put);
	return SM_OK;
}
