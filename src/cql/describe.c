/* DESCRIBE as cqlsh sends it to the server: statements that make a keyspace or a table again. */
#include "cql/index.h"
#include "cql/view.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct describe {
	struct cql_context *c;
	struct cql_result *result;
};

static const struct cql_result_column *columns_of(struct cql_context *c, const char *const *names, uint32_t count)
{
	struct cql_result_column *out = arena_alloc(c->arena, sizeof *out * count);
	for (uint32_t i = 0; out && i < count; i++)
		out[i] = (struct cql_result_column){names[i], cql__type(STORE_TEXT)};
	return out;
}

static void row(struct describe *d, const char *a, const char *b, const char *c, const char *e)
{
	const char *texts[] = {a, b, c, e};
	for (uint32_t i = 0; i < d->result->column_count; i++)
		cql__result_cell(d->result, (struct store_cell){(const uint8_t *)texts[i], texts[i] ? (int32_t)strlen(texts[i]) : -1});
	d->result->row_count++;
}

static void add_column(struct buf *out, const struct store_column *col, bool alone, struct arena *arena)
{
	buf_printf(out, "    %s %s%s%s", cql_quote_name(col->name, arena), cql_type_text(&col->type, arena),
		   col->kind == STORE_STATIC ? " static" : "", alone ? " PRIMARY KEY" : "");
}

static void primary_key(struct buf *out, const struct store_table *t, struct arena *arena)
{
	buf_append_str(out, ",\n    PRIMARY KEY (");
	if (t->partition_key_count > 1)
		buf_append_str(out, "(");
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		buf_printf(out, "%s%s", i ? ", " : "", cql_quote_name(t->columns[i].name, arena));
	if (t->partition_key_count > 1)
		buf_append_str(out, ")");
	for (uint16_t i = 0; i < t->clustering_count; i++)
		buf_printf(out, ", %s", cql_quote_name(t->columns[t->partition_key_count + i].name, arena));
	buf_append_str(out, ")");
}

const char *cql__describe_options(const struct store_table *t, bool internals, struct arena *arena)
{
	struct buf out;
	char id[37];
	buf_init(&out);
	if (internals) {
		uuid_format(&t->id, id);
		buf_printf(&out, "ID = %s\n    AND ", id);
	}
	for (uint16_t i = 0; i < t->clustering_count; i++) {
		const struct store_column *col = &t->columns[t->partition_key_count + i];
		buf_printf(&out, "%s%s %s", i ? ", " : "CLUSTERING ORDER BY (", cql_quote_name(col->name, arena),
			   col->descending ? "DESC" : "ASC");
	}
	if (t->clustering_count)
		buf_append_str(&out, ")\n    AND ");
	for (uint32_t i = 0; i < cql__table_option_count; i++)
		if (!cql__view_base(t) || strcmp(cql__table_options[i].name, "default_time_to_live") != 0)
			buf_printf(&out, "%s%s = %s", i ? "\n    AND " : "", cql__table_options[i].name,
				   cql__table_option_value(t, &cql__table_options[i]));
	buf_append_str(&out, ";");
	const char *text = out.failed ? NULL : arena_string(arena, (const char *)out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text ? text : "";
}

const char *cql__describe_table(const struct store_table *t, bool internals, struct arena *arena)
{
	struct buf out;
	uint16_t keys = (uint16_t)(t->partition_key_count + t->clustering_count);
	buf_init(&out);
	buf_printf(&out, "CREATE TABLE %s.%s (\n", cql_quote_name(t->keyspace, arena), cql_quote_name(t->name, arena));
	/* of each kind first the columns that are one cell */
	for (int kind = STORE_PARTITION_KEY, n = 0; kind <= STORE_REGULAR; kind++)
		for (int elements = 0; elements < 2; elements++)
			for (uint16_t i = 0; i < t->column_count; i++) {
				const struct store_column *col = &t->columns[i];
				if ((int)col->kind != kind || store_type_multi_cell(&col->type) != elements)
					continue;
				buf_append_str(&out, n++ ? ",\n" : "");
				add_column(&out, col, keys == 1 && i == 0, arena);
			}
	if (keys > 1)
		primary_key(&out, t, arena);
	buf_printf(&out, "\n) WITH %s", cql__describe_options(t, internals, arena));
	const char *text = out.failed ? NULL : arena_string(arena, (const char *)out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text;
}

#define LOCATOR "org.apache.cassandra.locator."

static bool is_option(const struct store_option *o, const char *name)
{
	return strcmp(o->name, name) == 0;
}

struct store_option *cql__replication_shown(const struct store_keyspace *k, struct arena *arena, uint32_t *ret_count)
{
	struct store_option *shown = arena_alloc(arena, sizeof *shown * (k->replication_count + 1));
	bool by_center = false, named = false;
	for (uint32_t i = 0; i < k->replication_count; i++) {
		by_center |= is_option(&k->replication[i], "class") && strstr(k->replication[i].value, "NetworkTopologyStrategy");
		named |= is_option(&k->replication[i], CQL_DATA_CENTER);
	}
	*ret_count = 0;
	for (uint32_t i = 0; shown && i < k->replication_count; i++) {
		struct store_option o = k->replication[i];
		if (is_option(&o, "class") && !strchr(o.value, '.')) {
			o.value = arena_printf(arena, LOCATOR "%s", o.value);
			if (!o.value)
				return NULL;
		}
		if (by_center && is_option(&o, "replication_factor")) {
			if (named)
				continue;
			o.name = CQL_DATA_CENTER;
		}
		shown[(*ret_count)++] = o;
	}
	return shown;
}

const char *cql__describe_keyspace(const struct store_keyspace *k, struct arena *arena)
{
	struct buf out;
	uint32_t count;
	const struct store_option *replication = cql__replication_shown(k, arena, &count);
	if (!replication)
		return NULL;
	buf_init(&out);
	buf_printf(&out, "CREATE KEYSPACE %s WITH replication = {", cql_quote_name(k->name, arena));
	for (uint32_t i = 0; i < count; i++) {
		const char *value = replication[i].value;
		if (strncmp(value, LOCATOR, sizeof LOCATOR - 1) == 0)
			value += sizeof LOCATOR - 1;
		buf_printf(&out, "%s'%s': '%s'", i ? ", " : "", replication[i].name, value);
	}
	buf_printf(&out, "}  AND durable_writes = %s;", k->durable_writes ? "true" : "false");
	const char *text = out.failed ? NULL : arena_string(arena, (const char *)out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text;
}

const char *cql__describe_type(const struct store_type *t, struct arena *arena)
{
	struct buf out;
	buf_init(&out);
	buf_printf(&out, "CREATE TYPE %s.%s (", cql_quote_name(t->keyspace, arena), cql_quote_name(t->name, arena));
	for (uint16_t i = 0; i < t->element_count; i++)
		buf_printf(&out, "%s\n    %s %s", i ? "," : "", cql_quote_name(t->fields[i], arena), cql_type_text(&t->elements[i], arena));
	buf_append_str(&out, "\n);");
	const char *text = out.failed ? NULL : arena_string(arena, (const char *)out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text;
}

static void type_row(struct describe *d, const struct store_type *t)
{
	struct arena *arena = d->c->arena;
	row(d, cql_quote_name(t->keyspace, arena), "type", cql_quote_name(t->name, arena), cql__describe_type(t, arena));
}

/* A type after those that it is made of. */
static void types_in_order(struct describe *d, const struct store_keyspace *k, uint32_t i, bool *done)
{
	if (done[i])
		return;
	done[i] = true;
	for (uint32_t n = 0; n < k->type_count; n++)
		if (store_type_uses(&k->types[i], k->name, k->types[n].name))
			types_in_order(d, k, n, done);
	type_row(d, &k->types[i]);
}

/* The table, its indexes and its views; or a view alone. */
static void table_rows(struct describe *d, const struct store_keyspace *k, const struct store_table *t, bool internals)
{
	struct arena *arena = d->c->arena;
	struct cql_index index;
	const char *keyspace = cql_quote_name(t->keyspace, arena);
	if (cql__view_base(t)) {
		row(d, keyspace, "materialized_view", cql_quote_name(t->name, arena), cql__describe_view(t, internals, arena));
		return;
	}
	row(d, keyspace, "table", cql_quote_name(t->name, arena), cql__describe_table(t, internals, arena));
	for (uint32_t n = 0; cql__index_at(t, n, arena, &index); n++)
		row(d, keyspace, "index", cql_quote_name(index.name, arena), cql__describe_index(t, &index, arena));
	for (uint32_t i = 0; i < k->table_count; i++) {
		const char *base = cql__view_base(k->tables[i]);
		if (base && strcmp(base, t->name) == 0)
			table_rows(d, k, k->tables[i], internals);
	}
}

static enum sm_err describe_index(struct describe *d, const struct cql_table_name *name)
{
	struct cql_context *c = d->c;
	const char *keyspace = name->keyspace ? name->keyspace : c->keyspace;
	const struct store_keyspace *k = keyspace ? store_find_keyspace(c->schema, keyspace) : NULL;
	struct cql_index index;
	if (!keyspace)
		return cql__fail(c->err, CQL_INVALID, "No keyspace specified and no current keyspace");
	if (!k)
		return cql__fail(c->err, CQL_INVALID, "'%s' not found in keyspaces", keyspace);
	const struct store_table *t = cql__index_table(k, name->name, c->arena, &index);
	if (!t)
		return cql__fail(c->err, CQL_INVALID, "Table for existing index '%s' not found in '%s'", name->name, keyspace);
	row(d, cql_quote_name(keyspace, c->arena), "index", cql_quote_name(index.name, c->arena), cql__describe_index(t, &index, c->arena));
	return SM_OK;
}

static void keyspace_rows(struct describe *d, const struct store_keyspace *k, bool only, bool internals)
{
	struct arena *arena = d->c->arena;
	const char *name = cql_quote_name(k->name, arena);
	row(d, name, "keyspace", name, cql__describe_keyspace(k, arena));
	bool *done = arena_alloc(arena, k->type_count + 1);
	for (uint32_t i = 0; done && i < k->type_count && !only; i++)
		types_in_order(d, k, i, done);
	for (uint32_t i = 0; i < k->table_count && !only; i++)
		if (!cql__view_base(k->tables[i]))
			table_rows(d, k, k->tables[i], internals);
}

static void list(struct describe *d, const struct store_schema *schema, bool want_tables, const char *keyspace)
{
	for (uint32_t i = 0; i < schema->keyspace_count; i++) {
		const struct store_keyspace *k = &schema->keyspaces[i];
		const char *name = cql_quote_name(k->name, d->c->arena);
		if (!want_tables)
			row(d, name, "keyspace", name, NULL);
		for (uint32_t n = 0; want_tables && n < k->table_count; n++)
			if ((!keyspace || strcmp(keyspace, k->name) == 0) && !cql__view_base(k->tables[n]))
				row(d, name, "table", cql_quote_name(k->tables[n]->name, d->c->arena), NULL);
	}
}

static enum sm_err describe_keyspace(struct describe *d, const char *name, const struct cql_describe *what)
{
	bool system;
	const struct store_keyspace *k = name ? cql__find_keyspace(d->c, name, &system) : NULL;
	if (!name)
		return cql__fail(d->c->err, CQL_INVALID, "No keyspace specified and no current keyspace");
	if (!k)
		return cql__fail(d->c->err, CQL_INVALID, "'%s' not found in keyspaces", name);
	keyspace_rows(d, k, what->only, what->internals);
	return SM_OK;
}

static enum sm_err keyspace_of(struct describe *d, const char *named, const struct store_keyspace **ret)
{
	const char *name = named ? named : d->c->keyspace;
	bool system;
	if (!name)
		return cql__fail(d->c->err, CQL_INVALID, "No keyspace specified and no current keyspace");
	if (!(*ret = cql__find_keyspace(d->c, name, &system)))
		return cql__fail(d->c->err, CQL_INVALID, "'%s' not found in keyspaces", name);
	return SM_OK;
}

enum described { A_TABLE, A_VIEW, ANYTHING };

static enum sm_err describe_table(struct describe *d, const struct cql_table_name *name, bool internals, enum described which)
{
	static const char *const missing[] = {[A_TABLE] = "Table '%s' not found in keyspace '%s'",
					      [A_VIEW] = "Materialized view '%s' not found in keyspace '%s'",
					      [ANYTHING] = "'%s' not found in keyspace '%s'"};
	const struct store_keyspace *k;
	enum sm_err err = keyspace_of(d, name->keyspace, &k);
	if (err)
		return err;
	for (uint32_t i = 0; i < k->table_count; i++) {
		bool is_view = cql__view_base(k->tables[i]) != NULL;
		if (strcmp(k->tables[i]->name, name->name) == 0 && (which == ANYTHING || is_view == (which == A_VIEW))) {
			table_rows(d, k, k->tables[i], internals);
			return SM_OK;
		}
	}
	return cql__fail(d->c->err, CQL_INVALID, missing[which], name->name, k->name);
}

static enum sm_err describe_type(struct describe *d, const struct cql_table_name *name)
{
	const struct store_keyspace *k;
	enum sm_err err = keyspace_of(d, name->keyspace, &k);
	if (err)
		return err;
	const struct store_type *t = store_find_type(k, name->name);
	if (!t)
		return cql__fail(d->c->err, CQL_INVALID, "User defined type '%s' not found in '%s'", name->name, k->name);
	type_row(d, t);
	return SM_OK;
}

static int by_letters(const void *a, const void *b)
{
	return strcasecmp(((const struct store_type *)a)->name, ((const struct store_type *)b)->name);
}

static enum sm_err list_types(struct describe *d)
{
	struct cql_context *c = d->c;
	for (uint32_t i = 0; i < c->schema->keyspace_count; i++) {
		const struct store_keyspace *k = &c->schema->keyspaces[i];
		if (c->keyspace && strcmp(c->keyspace, k->name) != 0)
			continue;
		struct store_type *types = arena_copy(c->arena, k->types, sizeof *types * k->type_count);
		if (k->type_count && !types)
			return cql__no_memory(c->err, c->arena);
		if (k->type_count)
			qsort(types, k->type_count, sizeof *types, by_letters);
		for (uint32_t n = 0; n < k->type_count; n++)
			row(d, cql_quote_name(k->name, c->arena), "type", cql_quote_name(types[n].name, c->arena), NULL);
	}
	return SM_OK;
}

static enum sm_err describe_name(struct describe *d, const struct cql_describe *what)
{
	bool system;
	if (!what->table.keyspace && cql__find_keyspace(d->c, what->table.name, &system))
		return describe_keyspace(d, what->table.name, what);
	if (!what->table.keyspace && !d->c->keyspace)
		return cql__fail(d->c->err, CQL_INVALID, "'%s' not found in keyspaces", what->table.name);
	return describe_table(d, &what->table, what->internals, ANYTHING);
}

enum sm_err cql__run_describe(struct cql_context *c, const struct cql_describe *what, struct cql_result *result)
{
	static const char *const names[] = {"keyspace_name", "type", "name", "create_statement"};
	static const char *const cluster[] = {"cluster", "partitioner", "snitch"};
	struct describe d = {c, result};
	enum sm_err err = SM_OK;
	bool listing = what->what == CQL_DESC_KEYSPACES || what->what == CQL_DESC_TABLES || what->what == CQL_DESC_TYPES ||
		       what->what == CQL_DESC_FUNCTIONS || what->what == CQL_DESC_AGGREGATES;
	bool of_cluster = what->what == CQL_DESC_CLUSTER;
	result->kind = CQL_RESULT_ROWS;
	result->keyspace = "system";
	result->table = "describe";
	result->column_count = listing || of_cluster ? 3 : 4;
	result->columns = columns_of(c, of_cluster ? cluster : names, result->column_count);
	if (!result->columns)
		return cql__no_memory(c->err, c->arena);
	switch (what->what) {
	case CQL_DESC_CLUSTER:
		row(&d, c->engine->cluster_name, "org.apache.cassandra.dht.Murmur3Partitioner", "org.apache.cassandra.locator.SimpleSnitch",
		    NULL);
		break;
	case CQL_DESC_KEYSPACES:
	case CQL_DESC_TABLES:
		list(&d, c->schema, what->what == CQL_DESC_TABLES, c->keyspace);
		list(&d, &c->engine->system, what->what == CQL_DESC_TABLES, c->keyspace);
		break;
	case CQL_DESC_SCHEMA:
		for (uint32_t i = 0; what->full && i < c->engine->system.keyspace_count; i++)
			keyspace_rows(&d, &c->engine->system.keyspaces[i], false, what->internals);
		for (uint32_t i = 0; i < c->schema->keyspace_count; i++)
			keyspace_rows(&d, &c->schema->keyspaces[i], false, what->internals);
		break;
	case CQL_DESC_KEYSPACE: err = describe_keyspace(&d, what->table.keyspace ? what->table.keyspace : c->keyspace, what); break;
	case CQL_DESC_TABLE: err = describe_table(&d, &what->table, what->internals, A_TABLE); break;
	case CQL_DESC_NAME: err = describe_name(&d, what); break;
	case CQL_DESC_OTHER:
		if (strcmp(what->other, "type") == 0) {
			err = describe_type(&d, &what->table);
			break;
		}
		if (strcmp(what->other, "materialized") == 0) {
			err = describe_table(&d, &what->table, what->internals, A_VIEW);
			break;
		}
		if (strcmp(what->other, "index") == 0) {
			err = describe_index(&d, &what->table);
			break;
		}
		err = cql__fail(c->err, CQL_INVALID, "'%s' not found in keyspace '%s'", what->table.name,
				what->table.keyspace ? what->table.keyspace
				: c->keyspace        ? c->keyspace
						     : "");
		break;
	case CQL_DESC_TYPES: err = list_types(&d); break;
	case CQL_DESC_FUNCTIONS:
	case CQL_DESC_AGGREGATES: break; /* there are none */
	}
	return err ? err : result->rows.failed ? cql__fail_store(c->err, SM_NO_MEMORY, NULL) : SM_OK;
}
