/* Documents in the store: smack_system.cluster_app (id, document), smack_system.cluster_job (name, document, state). */
#include "cluster/cluster_internal.h"
#include <stdlib.h>

#define KEYSPACE "smack_system"

static const struct store_column app_columns[] = {
	{.name = "id", .type = {.id = STORE_TEXT}, .kind = STORE_PARTITION_KEY},
	{.name = "document", .type = {.id = STORE_TEXT}, .kind = STORE_REGULAR},
};
static const struct store_column job_columns[] = {
	{.name = "name", .type = {.id = STORE_TEXT}, .kind = STORE_PARTITION_KEY},
	{.name = "document", .type = {.id = STORE_TEXT}, .kind = STORE_REGULAR},
	{.name = "state", .type = {.id = STORE_TEXT}, .kind = STORE_REGULAR},
};

static enum sm_err make_table(struct sm_store *store, const char *name, const struct store_column *columns, uint16_t count,
			      struct sm_error *reterr)
{
	struct store_table table = {.keyspace = KEYSPACE,
				    .name = name,
				    .columns = columns,
				    .column_count = count,
				    .partition_key_count = 1,
				    .regular_count = (uint16_t)(count - 1),
				    .gc_grace_s = 864000};
	struct store_change change = {.kind = STORE_CREATE_TABLE, .keyspace = KEYSPACE, .table = name, .new_table = &table};
	enum sm_err err = store_change_wait(store, &change, reterr);
	return err == SM_EXISTS ? SM_OK : err;
}

static enum sm_err make_tables(struct sm_store *store, struct sm_error *reterr)
{
	static const struct store_option replication[] = {{"class", "LocalStrategy"}};
	struct store_keyspace keyspace = {.name = KEYSPACE, .durable_writes = true, .replication = replication, .replication_count = 1};
	struct store_change change = {.kind = STORE_CREATE_KEYSPACE, .keyspace = KEYSPACE, .new_keyspace = &keyspace};
	const struct store_schema *schema = store->ops->schema(store);
	bool there = schema && store_find_table(schema, KEYSPACE, "cluster_app") && store_find_table(schema, KEYSPACE, "cluster_job");
	store->ops->schema_release(store, schema);
	if (there)
		return SM_OK;
	enum sm_err err = store_change_wait(store, &change, reterr);
	if (err && err != SM_EXISTS)
		return err;
	err = make_table(store, "cluster_app", app_columns, 2, reterr);
	return err ? err : make_table(store, "cluster_job", job_columns, 3, reterr);
}

static enum sm_err parse_cell(struct store_cell cell, json_t **ret_json, struct sm_error *reterr)
{
	*ret_json = NULL;
	return cell.size < 0 ? SM_OK : json_parse(bytes_of(cell.data, (size_t)cell.size), ret_json, reterr);
}

static enum sm_err read_table(struct cluster *c, const struct store_table *table, bool apps, struct sm_error *reterr)
{
	struct sm_store *store = c->options.store;
	struct store_read read = {.table = table, .token_from = INT64_MIN, .token_to = INT64_MAX};
	struct store_cursor *cursor;
	const struct store_row *row;
	enum sm_err err = store->ops->open(store, &read, &cursor, reterr);
	if (err)
		return err;
	while (!(err = store->ops->next(cursor, &row))) {
		json_t *document, *state = NULL;
		if ((err = parse_cell(row->cells[1], &document, reterr)) || (!apps && (err = parse_cell(row->cells[2], &state, reterr))) ||
		    !document) {
			json_decref(document);
			if (err)
				break;
			continue;
		}
		err = apps ? cluster__app_install(c, document) : cluster__job_install(c, document, state);
		json_decref(state);
		if (err) {
			sm_fail(reterr, err, "a document in %s.%s cannot be used: %s", KEYSPACE, table->name, sm_err_text(err));
			break;
		}
	}
	store->ops->close_cursor(cursor);
	if (err != SM_END && reterr && !reterr->code)
		sm_fail(reterr, err, "cannot read %s.%s: %s", KEYSPACE, table->name, sm_err_text(err));
	return err == SM_END ? SM_OK : err;
}

enum sm_err cluster__persist_open(struct cluster *c, struct sm_error *reterr)
{
	struct sm_store *store = c->options.store;
	enum sm_err err = make_tables(store, reterr);
	if (err)
		return err;
	c->schema = store->ops->schema(store);
	c->app_table = c->schema ? store_find_table(c->schema, KEYSPACE, "cluster_app") : NULL;
	c->job_table = c->schema ? store_find_table(c->schema, KEYSPACE, "cluster_job") : NULL;
	if (!c->app_table || !c->job_table)
		return sm_fail(reterr, SM_NOT_FOUND, "the tables of the cluster are not there");
	err = read_table(c, c->app_table, true, reterr);
	return err ? err : read_table(c, c->job_table, false, reterr);
}

void cluster__persist_close(struct cluster *c)
{
	if (c->schema)
		c->options.store->ops->schema_release(c->options.store, c->schema);
}

/* ---- writing ---- */

struct write {
	struct call *call;
	struct store_cell key;
	struct store_assignment cells[2];
	struct store_mutation mutation;
	struct store_batch batch;
	struct buf text[2];
	char name[];
};

static void written(void *arg, enum sm_err err)
{
	struct write *w = arg;
	struct call *call = w->call;
	buf_done(&w->text[0]);
	buf_done(&w->text[1]);
	free(w);
	if (!call)
		return;
	if (err)
		sm_fail(&call->error, err, "cannot keep the document: %s", sm_err_text(err));
	if (sm_send_reply(call->cluster->ref, &call->msg))
		sm_msg_free(&call->msg);
}

static void no_memory(struct call *call)
{
	if (!call)
		return;
	sm_fail(&call->error, SM_NO_MEMORY, "no memory");
	cluster__answer_error(call);
}

static int64_t write_time(struct cluster *c)
{
	int64_t now = (int64_t)clock_wall_us(c->options.clock);
	c->last_write_us = now > c->last_write_us ? now : c->last_write_us + 1;
	return c->last_write_us;
}

static void write_row(struct cluster *c, const struct store_table *table, const char *name, const json_t *const *values, uint16_t count,
		      struct call *call)
{
	size_t size = strlen(name);
	struct write *w = calloc(1, sizeof *w + size + 1);
	if (!w) {
		no_memory(call);
		return;
	}
	memcpy(w->name, name, size + 1);
	w->call = call;
	w->key = (struct store_cell){(const uint8_t *)w->name, (int32_t)size};
	w->mutation = (struct store_mutation){.kind = values ? STORE_UPSERT_INSERT : STORE_DELETE_PARTITION,
					      .table = table,
					      .partition_key = &w->key,
					      .clustering = &w->key, /* none: the count is 0 */
					      .cells = w->cells,
					      .timestamp_us = write_time(c)};
	for (uint16_t i = 0; values && i < count; i++) {
		if (!values[i])
			continue; /* a job that has never run has no state */
		json_write(values[i], &w->text[i]);
		struct bytes text = buf_bytes(&w->text[i]);
		w->cells[w->mutation.cell_count++] = (struct store_assignment){&table->columns[i + 1], {text.data, (int32_t)text.size}};
	}
	w->batch = (struct store_batch){.mutations = &w->mutation, .count = 1};
	c->options.store->ops->apply(c->options.store, &w->batch, written, w);
}

void cluster__persist_app(struct cluster *c, const char *id, const json_t *document, struct call *call)
{
	write_row(c, c->app_table, id, document ? &document : NULL, 1, call);
}

void cluster__persist_job(struct cluster *c, const char *name, const json_t *document, const json_t *state, struct call *call)
{
	const json_t *values[] = {document, state};
	write_row(c, c->job_table, name, document ? values : NULL, 2, call);
}
