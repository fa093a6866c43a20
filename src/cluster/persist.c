/* Documents in the store: smack_system.cluster_app (id, document), smack_system.cluster_job (name, document, state).
 * Among the apps, "ID@VERSION" is a former document and "group:ID" a group. */
#include "cluster/cluster_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define KEYSPACE "smack_system"
#define GROUP_KEY "group:"

static const char *version_of(const json_t *document)
{
	return json_string_value(json_object_get(document, "version"));
}

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
	static const struct store_option replication[] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
	struct store_keyspace keyspace = {.name = KEYSPACE, .durable_writes = true, .replication = replication, .replication_count = 2};
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

/* An app, a former version of one (its app may come later), or a group: told by the key. Takes document. */
static enum sm_err take_row(struct cluster *c, struct store_cell key, json_t *document, json_t *former)
{
	size_t size = (size_t)key.size;
	if (memchr(key.data, '@', size))
		return json_array_append_new(former, document) ? SM_NO_MEMORY : SM_OK;
	if (size > strlen(GROUP_KEY) && memcmp(key.data, GROUP_KEY, strlen(GROUP_KEY)) == 0)
		return cluster__group_install(c, document);
	return cluster__app_install(c, document);
}

static int by_version(const void *a, const void *b)
{
	const char *x = version_of(*(json_t *const *)a), *y = version_of(*(json_t *const *)b);
	return strcmp(x ? x : "", y ? y : "");
}

static void attach_versions(struct cluster *c, const json_t *former)
{
	size_t count = json_array_size(former);
	json_t **sorted = calloc(count ? count : 1, sizeof *sorted);
	for (size_t i = 0; sorted && i < count; i++)
		sorted[i] = json_array_get(former, i);
	if (sorted)
		qsort(sorted, count, sizeof *sorted, by_version);
	for (size_t i = 0; sorted && i < count; i++) {
		const char *id = json_string_value(json_object_get(sorted[i], "id"));
		struct app *app = id ? map_get(&c->apps, bytes_str(id)) : NULL;
		if (app)
			cluster__app_version_add(app, json_incref(sorted[i]));
	}
	free(sorted);
}

static enum sm_err read_table(struct cluster *c, const struct store_table *table, bool apps, struct sm_error *reterr)
{
	json_t *former = json_array();
	struct sm_store *store = c->options.store;
	struct store_read read = {.table = table, .token_from = INT64_MIN, .token_to = INT64_MAX, .no_times = true};
	struct store_cursor *cursor;
	const struct store_row *row;
	enum sm_err err = store->ops->open(store, &read, &cursor, reterr);
	if (err) {
		json_decref(former);
		return err;
	}
	while (!(err = store->ops->next(cursor, &row))) {
		json_t *document, *state = NULL;
		if ((err = parse_cell(row->cells[1], &document, reterr)) || (!apps && (err = parse_cell(row->cells[2], &state, reterr))) ||
		    !document) {
			json_decref(document);
			if (err)
				break;
			continue;
		}
		err = apps ? take_row(c, row->cells[0], document, former) : cluster__job_install(c, document, state);
		json_decref(state);
		if (err) {
			sm_fail(reterr, err, "a document in %s.%s cannot be used: %s", KEYSPACE, table->name, sm_err_text(err));
			break;
		}
	}
	store->ops->close_cursor(cursor);
	attach_versions(c, former);
	json_decref(former);
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

struct row {
	struct store_cell key;
	struct store_assignment cells[2];
	struct buf text[2];
	char *name;
};
struct write {
	struct cluster *cluster;
	struct call *call;
	struct store_batch batch;
	struct store_mutation *mutations;
	size_t count;
	struct row rows[];
};

static void write_free(struct write *w)
{
	for (size_t i = 0; i < w->count; i++) {
		buf_done(&w->rows[i].text[0]);
		buf_done(&w->rows[i].text[1]);
		free(w->rows[i].name);
	}
	free(w->mutations);
	free(w);
}

static void written(void *arg, enum sm_err err)
{
	struct write *w = arg;
	struct call *call = w->call;
	struct cluster *c = w->cluster;
	write_free(w);
	if (!call) {
		atomic_fetch_sub(&c->writing, 1);
		return;
	}
	if (err)
		sm_fail(&call->error, err, "cannot keep the document: %s", sm_err_text(err));
	if (sm_send_reply(call->cluster->ref, &call->msg))
		sm_msg_free(&call->msg);
	atomic_fetch_sub(&c->writing, 1);
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

static struct write *write_new(struct cluster *c, size_t count, struct call *call)
{
	struct write *w = calloc(1, sizeof *w + count * sizeof w->rows[0]);
	if (w)
		w->mutations = calloc(count ? count : 1, sizeof *w->mutations);
	if (!w || !w->mutations) {
		free(w);
		return NULL;
	}
	w->cluster = c;
	w->call = call;
	return w;
}

/* values NULL: delete. */
static bool write_add(struct write *w, const struct store_table *table, const char *name, const json_t *const *values, uint16_t count,
		      int64_t time_us)
{
	struct row *r = &w->rows[w->count];
	if (!(r->name = strdup(name)))
		return false;
	r->key = (struct store_cell){(const uint8_t *)r->name, (int32_t)strlen(name)};
	w->mutations[w->count] = (struct store_mutation){.kind = values ? STORE_UPSERT_INSERT : STORE_DELETE_PARTITION,
							 .table = table,
							 .partition_key = &r->key,
							 .clustering = &r->key, /* none: the count is 0 */
							 .cells = r->cells,
							 .timestamp_us = time_us};
	for (uint16_t i = 0; values && i < count; i++) {
		if (!values[i])
			continue; /* a job that has never run has no state */
		json_write(values[i], &r->text[i]);
		struct bytes text = buf_bytes(&r->text[i]);
		r->cells[w->mutations[w->count].cell_count++] = (struct store_assignment){&table->columns[i + 1],
											  {text.data, (int32_t)text.size}};
	}
	w->count++;
	return true;
}

static void write_send(struct cluster *c, struct write *w)
{
	w->batch = (struct store_batch){.mutations = w->mutations, .count = (uint32_t)w->count};
	atomic_fetch_add(&c->writing, 1);
	c->options.store->ops->apply(c->options.store, &w->batch, written, w);
}

/* ---- changes of apps and groups ---- */

void cluster__change_add(struct change *change, const char *key, json_t *document)
{
	if (change->count == change->cap) {
		size_t cap = change->cap ? change->cap * 2 : 8;
		struct change_item *items = realloc(change->items, cap * sizeof *items);
		if (!items) {
			change->failed = true;
			json_decref(document);
			return;
		}
		change->items = items;
		change->cap = cap;
	}
	struct change_item *item = &change->items[change->count++];
	snprintf(item->key, sizeof item->key, "%s", key);
	item->document = document;
}

static void version_key(const char *id, const char *version, char *out, size_t size)
{
	snprintf(out, size, "%s@%s", id, version ? version : "");
}

void cluster__change_app(struct cluster *c, struct change *change, const struct app *there, const json_t *document, char *version)
{
	const char *id = json_string_value(json_object_get(document, "id"));
	char key[180];
	int64_t now = cluster__now_ms(c);
	civil_format(now, version);
	while (there && strcmp(version, there->version) <= 0)
		civil_format(++now, version);
	json_t *kept = json_deep_copy(document);
	if (!kept || json_object_set_new(kept, "version", json_string(version)))
		change->failed = true;
	version_key(id, version, key, sizeof key);
	cluster__change_add(change, key, json_incref(kept));
	cluster__change_add(change, id, kept);
	for (size_t i = 0; there && i + CLUSTER_VERSIONS_KEPT <= json_array_size(there->versions); i++) {
		version_key(id, version_of(json_array_get(there->versions, i)), key, sizeof key);
		cluster__change_add(change, key, NULL);
	}
}

void cluster__change_app_delete(struct change *change, const struct app *app)
{
	size_t i;
	json_t *former;
	cluster__change_add(change, app->id, NULL);
	json_array_foreach(app->versions, i, former)
	{
		char key[180];
		version_key(app->id, version_of(former), key, sizeof key);
		cluster__change_add(change, key, NULL);
	}
}

void cluster__change_group(struct change *change, const char *id, json_t *document)
{
	char key[180];
	snprintf(key, sizeof key, GROUP_KEY "%s", id);
	cluster__change_add(change, key, document);
}

void cluster__change_done(struct change *change)
{
	for (size_t i = 0; i < change->count; i++)
		json_decref(change->items[i].document);
	free(change->items);
	*change = (struct change){0};
}

void cluster__persist_change(struct cluster *c, const struct change *change, struct call *call)
{
	struct write *w = change->failed ? NULL : write_new(c, change->count, call);
	int64_t time_us = write_time(c);
	bool ok = w != NULL;
	for (size_t i = 0; i < change->count && ok; i++) {
		const json_t *document = change->items[i].document;
		ok = write_add(w, c->app_table, change->items[i].key, document ? &document : NULL, 1, time_us);
	}
	if (ok) {
		write_send(c, w);
	} else {
		if (w)
			write_free(w);
		no_memory(call);
	}
}

void cluster__persist_job(struct cluster *c, const char *name, const json_t *document, const json_t *state, struct call *call)
{
	const json_t *values[] = {document, state};
	struct write *w = write_new(c, 1, call);
	if (w && write_add(w, c->job_table, name, document ? values : NULL, 2, write_time(c))) {
		write_send(c, w);
	} else {
		if (w)
			write_free(w);
		no_memory(call);
	}
}
