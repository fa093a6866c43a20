/* system_schema of a real Cassandra as a picture of the store's schema. What the picture cannot say (views, indexes, columns of custom
 * types) is left out, a table with such a column as a whole. */
#include "cassandra/cassandra_internal.h"
#include <stdio.h>
#include <stdlib.h>

struct column_row {
	const char *keyspace, *table, *type;
	struct store_column column;
};
struct type_row {
	const char *keyspace;
	struct store_type type; /* its fields' types are texts until they are known */
	const char **field_types;
	bool done;
};
struct reading {
	struct client *client;
	struct cassandra_picture *picture;
	struct arena *arena; /* the picture's */
	struct store_keyspace *keyspaces;
	uint32_t keyspace_count;
	struct store_table **tables;
	uint32_t table_count;
	struct column_row *columns;
	uint32_t column_count, column_at;
	struct type_row *types;
	uint32_t type_count;
	struct sm_error *reterr;
};

static bool is_system(struct bytes keyspace)
{
	static const char *const names[] = {"system",        "system_auth",  "system_distributed",    "system_schema",
					    "system_traces", "system_views", "system_virtual_schema", "system_cluster_metadata"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (bytes_equal(keyspace, bytes_str(names[i])))
			return true;
	return false;
}

static struct bytes bytes_of_cell(struct store_cell c)
{
	return bytes_of(c.size > 0 ? c.data : NULL, c.size > 0 ? (size_t)c.size : 0);
}

static const char *text_of(struct reading *r, struct store_cell c)
{
	const char *text = arena_string(r->arena, c.size > 0 ? (const char *)c.data : "", c.size > 0 ? (size_t)c.size : 0);
	return text ? text : "";
}

/* ---- one table of system_schema ---- */

struct rows {
	struct client_answer answer;
	struct client_column *columns;
	struct store_cell *cells; /* of a row */
	struct byte_reader in;
	uint32_t left;
};

static enum sm_err rows_open(struct reading *r, const char *text, struct rows *rows)
{
	*rows = (struct rows){0};
	const struct client_request request = {
		.text = text, .consistency = CQL_ONE, .idempotent = true, .on_control = true, .timeout_ms = CLIENT_REQUEST_MS};
	enum sm_err err = client__ask_wait(r->client, &request, &rows->answer);
	if (err) {
		*r->reterr = rows->answer.error;
		return err;
	}
	if ((err = client__columns(&rows->answer, r->arena, &rows->columns)))
		return sm_fail(r->reterr, err, "the answer to %s makes no sense", text);
	rows->cells = arena_alloc(r->arena, (rows->answer.column_count + 1) * sizeof *rows->cells);
	rows->in = byte_reader(rows->answer.rows);
	rows->left = rows->answer.row_count;
	return rows->cells ? SM_OK : sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
}

static bool rows_next(struct rows *rows)
{
	if (!rows->left)
		return false;
	rows->left--;
	for (uint32_t i = 0; i < rows->answer.column_count; i++)
		rows->cells[i] = client__value(&rows->in);
	return !rows->in.failed;
}

static struct store_cell cell(const struct rows *rows, const char *name)
{
	for (uint32_t i = 0; i < rows->answer.column_count; i++)
		if (strcmp(rows->columns[i].name, name) == 0)
			return rows->cells[i];
	return client__null();
}

static int32_t int_of(struct store_cell c, int32_t otherwise)
{
	return c.size == 4 ? (int32_t)be32_get(c.data) : otherwise;
}

/* The cluster's own: the picture changes when it does. */
static enum sm_err read_version(struct reading *r, struct rows *rows)
{
	enum sm_err err = rows_open(r, "SELECT schema_version FROM system.local", rows);
	if (!err && (!rows_next(rows) || rows->cells[0].size != 16))
		err = sm_fail(r->reterr, SM_CORRUPT, "system.local has no schema_version");
	if (!err)
		memcpy(r->picture->schema.version.bytes, rows->cells[0].data, 16);
	return err;
}

/* ---- keyspaces ---- */

static enum sm_err read_keyspaces(struct reading *r, struct rows *rows)
{
	enum sm_err err = rows_open(r, "SELECT keyspace_name, durable_writes, replication FROM system_schema.keyspaces", rows);
	if (err)
		return err;
	r->keyspaces = arena_alloc(r->arena, (rows->left + 1) * sizeof *r->keyspaces);
	while (r->keyspaces && rows_next(rows)) {
		struct store_cell replication = cell(rows, "replication"), durable = cell(rows, "durable_writes");
		if (is_system(bytes_of_cell(cell(rows, "keyspace_name"))))
			continue;
		struct store_keyspace *k = &r->keyspaces[r->keyspace_count++];
		k->name = text_of(r, cell(rows, "keyspace_name"));
		k->durable_writes = durable.size != 1 || *durable.data;
		struct byte_reader in = byte_reader(bytes_of_cell(replication));
		uint32_t count = replication.size > 0 ? reader_be32(&in) : 0;
		struct store_option *options = arena_alloc(r->arena, (count < 1000 ? count + 1 : 1) * sizeof *options);
		/* the class goes first */
		for (uint32_t i = 0; options && i < count && count < 1000 && !in.failed; i++) {
			struct store_option o = {text_of(r, client__value(&in)), NULL};
			o.value = text_of(r, client__value(&in));
			if (strcmp(o.name, "class") == 0 && k->replication_count) {
				memmove(options + 1, options, k->replication_count * sizeof *options);
				options[0] = o;
			} else {
				options[k->replication_count] = o;
			}
			k->replication_count++;
		}
		k->replication = options;
	}
	return r->keyspaces ? SM_OK : sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
}

static struct store_keyspace *keyspace_of(struct reading *r, const char *name)
{
	for (uint32_t i = 0; i < r->keyspace_count; i++)
		if (strcmp(r->keyspaces[i].name, name) == 0)
			return &r->keyspaces[i];
	return NULL;
}

/* ---- types ---- */

static const char **texts_of(struct reading *r, struct store_cell list, uint32_t *ret_count)
{
	struct byte_reader in = byte_reader(bytes_of_cell(list));
	uint32_t count = list.size > 0 ? reader_be32(&in) : 0;
	if (count > STORE_COLUMNS_MAX)
		return NULL;
	const char **texts = arena_alloc(r->arena, (count + 1) * sizeof *texts);
	for (uint32_t i = 0; texts && i < count; i++)
		texts[i] = text_of(r, client__value(&in));
	*ret_count = count;
	return in.failed ? NULL : texts;
}

static enum sm_err read_types(struct reading *r, struct rows *rows)
{
	enum sm_err err = rows_open(r, "SELECT keyspace_name, type_name, field_names, field_types FROM system_schema.types", rows);
	if (err)
		return err;
	r->types = arena_alloc(r->arena, (rows->left + 1) * sizeof *r->types);
	while (r->types && rows_next(rows)) {
		struct type_row *t = &r->types[r->type_count];
		uint32_t names = 0, types = 0;
		t->keyspace = text_of(r, cell(rows, "keyspace_name"));
		t->type = (struct store_type){.id = STORE_UDT, .keyspace = t->keyspace, .name = text_of(r, cell(rows, "type_name"))};
		t->type.fields = texts_of(r, cell(rows, "field_names"), &names);
		t->field_types = texts_of(r, cell(rows, "field_types"), &types);
		if (!t->type.fields || !t->field_types || names != types)
			return sm_fail(r->reterr, SM_CORRUPT, "the fields of type %s.%s", t->keyspace, t->type.name);
		t->type.element_count = (uint16_t)names;
		r->type_count++;
	}
	return r->types ? SM_OK : sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
}

/* The text of a type, with the user types that are known so far. */
static enum sm_err resolve(struct reading *r, const char *keyspace, const char *text, struct store_type *ret)
{
	return cql_type_of_text(&r->picture->schema, keyspace, text, r->arena, ret);
}

static int type_order(const void *a, const void *b)
{
	return strcmp(((const struct store_type *)a)->name, ((const struct store_type *)b)->name);
}

static enum sm_err add_type(struct reading *r, struct type_row *t)
{
	struct store_keyspace *k = keyspace_of(r, t->keyspace);
	struct store_type *elements = arena_alloc(r->arena, (t->type.element_count + 1u) * sizeof *elements);
	for (uint16_t i = 0; elements && i < t->type.element_count; i++)
		if (resolve(r, t->keyspace, t->field_types[i], &elements[i]))
			return SM_NOT_FOUND;
	struct store_type *types = k && elements ? arena_alloc(r->arena, (k->type_count + 1) * sizeof *types) : NULL;
	if (!types)
		return SM_NO_MEMORY;
	if (k->type_count)
		memcpy(types, k->types, k->type_count * sizeof *types);
	t->type.elements = elements;
	types[k->type_count++] = t->type;
	qsort(types, k->type_count, sizeof *types, type_order);
	k->types = types;
	t->done = true;
	return SM_OK;
}

/* One after those that it is made of: as many rounds as types hang on each other. */
static void add_types(struct reading *r)
{
	bool more = true;
	while (more) {
		more = false;
		for (uint32_t i = 0; i < r->type_count; i++)
			if (!r->types[i].done && add_type(r, &r->types[i]) == SM_OK)
				more = true;
	}
}

/* ---- tables ---- */

static void read_options(struct reading *r, const struct rows *rows, struct store_table *t)
{
	struct store_option *options = arena_alloc(r->arena, (rows->answer.column_count + 1) * sizeof *options);
	const char *name;
	for (uint32_t i = 0; options && (name = cql_table_option_name(i)); i++)
		for (uint32_t k = 0; k < rows->answer.column_count; k++) {
			const struct client_column *column = &rows->columns[k];
			if (strcmp(column->name, name) != 0 || rows->cells[k].size < 0)
				continue;
			const char *value = cql_literal_text(&column->type, rows->cells[k], r->arena);
			if (value)
				options[t->option_count++] = (struct store_option){name, value};
		}
	t->options = options;
}

static enum sm_err read_tables(struct reading *r, struct rows *rows)
{
	enum sm_err err = rows_open(r, "SELECT * FROM system_schema.tables", rows);
	if (err)
		return err;
	r->tables = arena_alloc(r->arena, (rows->left + 1) * sizeof *r->tables);
	while (r->tables && rows_next(rows)) {
		struct store_cell id = cell(rows, "id");
		if (is_system(bytes_of_cell(cell(rows, "keyspace_name"))))
			continue;
		struct store_table *t = arena_alloc(r->arena, sizeof *t);
		if (!t)
			return sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
		t->keyspace = text_of(r, cell(rows, "keyspace_name"));
		t->name = text_of(r, cell(rows, "table_name"));
		if (id.size == 16)
			memcpy(t->id.bytes, id.data, 16);
		t->gc_grace_s = int_of(cell(rows, "gc_grace_seconds"), 864000);
		t->default_ttl_s = int_of(cell(rows, "default_time_to_live"), 0);
		read_options(r, rows, t);
		r->tables[r->table_count++] = t;
	}
	return r->tables ? SM_OK : sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
}

static enum store_column_kind kind_of(const char *text)
{
	return strcmp(text, "partition_key") == 0 ? STORE_PARTITION_KEY
	       : strcmp(text, "clustering") == 0  ? STORE_CLUSTERING
	       : strcmp(text, "static") == 0      ? STORE_STATIC
						  : STORE_REGULAR;
}

static int column_order(const void *a, const void *b)
{
	const struct column_row *x = a, *y = b;
	int c = strcmp(x->keyspace, y->keyspace);
	if (!c)
		c = strcmp(x->table, y->table);
	if (!c)
		c = (int)x->column.kind - (int)y->column.kind;
	if (!c && x->column.kind <= STORE_CLUSTERING)
		c = (int)x->column.position - (int)y->column.position;
	return c ? c : strcmp(x->column.name, y->column.name);
}

static enum sm_err read_columns(struct reading *r, struct rows *rows)
{
	enum sm_err err = rows_open(r,
				    "SELECT keyspace_name, table_name, column_name, clustering_order, kind, position, type FROM "
				    "system_schema.columns",
				    rows);
	if (err)
		return err;
	r->columns = arena_alloc(r->arena, (rows->left + 1) * sizeof *r->columns);
	while (r->columns && rows_next(rows)) {
		if (is_system(bytes_of_cell(cell(rows, "keyspace_name"))))
			continue;
		struct column_row *c = &r->columns[r->column_count++];
		c->keyspace = text_of(r, cell(rows, "keyspace_name"));
		c->table = text_of(r, cell(rows, "table_name"));
		c->type = text_of(r, cell(rows, "type"));
		c->column = (struct store_column){.name = text_of(r, cell(rows, "column_name")),
						  .kind = kind_of(text_of(r, cell(rows, "kind"))),
						  .position = (uint16_t)int_of(cell(rows, "position"), 0)};
		c->column.descending = c->column.kind == STORE_CLUSTERING &&
				       strcmp(text_of(r, cell(rows, "clustering_order")), "desc") == 0;
	}
	if (!r->columns)
		return sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
	if (r->column_count)
		qsort(r->columns, r->column_count, sizeof *r->columns, column_order);
	return SM_OK;
}

static void leave_out(struct reading *r, const struct store_table *t, const char *why)
{
	char *out = r->picture->left_out;
	size_t used = strlen(out);
	snprintf(out + used, sizeof r->picture->left_out - used, "%s%s.%s (%s)", used ? ", " : "", t->keyspace, t->name, why);
}

/* The table's columns, which lie together. false: it is left out. */
static bool fill_table(struct reading *r, struct store_table *t)
{
	uint32_t first = r->column_at, count = 0; /* tables and columns are in the same order */
	while (first < r->column_count) {
		int c = strcmp(r->columns[first].keyspace, t->keyspace);
		if (!c)
			c = strcmp(r->columns[first].table, t->name);
		if (c >= 0)
			break;
		first++;
	}
	while (first + count < r->column_count && strcmp(r->columns[first + count].keyspace, t->keyspace) == 0 &&
	       strcmp(r->columns[first + count].table, t->name) == 0)
		count++;
	r->column_at = first + count;
	if (count > STORE_COLUMNS_MAX) {
		leave_out(r, t, "too many columns");
		return false;
	}
	struct store_column *columns = arena_alloc(r->arena, (count + 1) * sizeof *columns);
	uint16_t counts[4] = {0};
	if (!columns)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct column_row *c = &r->columns[first + i];
		if (resolve(r, t->keyspace, c->type, &c->column.type)) {
			leave_out(r, t, c->type);
			return false;
		}
		c->column.position = counts[c->column.kind]++;
		c->column.id = i + 1;
		columns[i] = c->column;
	}
	t->columns = columns;
	t->column_count = (uint16_t)count;
	t->partition_key_count = counts[STORE_PARTITION_KEY];
	t->clustering_count = counts[STORE_CLUSTERING];
	t->static_count = counts[STORE_STATIC];
	t->regular_count = counts[STORE_REGULAR];
	return t->partition_key_count > 0;
}

static int keyspace_order(const void *a, const void *b)
{
	return strcmp(((const struct store_keyspace *)a)->name, ((const struct store_keyspace *)b)->name);
}

static int table_order(const void *a, const void *b)
{
	const struct store_table *const *x = a, *const *y = b;
	int c = strcmp((*x)->keyspace, (*y)->keyspace);
	return c ? c : strcmp((*x)->name, (*y)->name);
}

static enum sm_err assemble(struct reading *r)
{
	struct store_schema *schema = &r->picture->schema;
	if (r->keyspace_count)
		qsort(r->keyspaces, r->keyspace_count, sizeof *r->keyspaces, keyspace_order);
	schema->keyspaces = r->keyspaces;
	schema->keyspace_count = r->keyspace_count;
	add_types(r);
	if (r->table_count)
		qsort(r->tables, r->table_count, sizeof(struct store_table *), table_order);
	for (uint32_t i = 0, number = 0; i < r->table_count; i++) {
		struct store_table *t = r->tables[i];
		struct store_keyspace *k = keyspace_of(r, t->keyspace);
		if (!k || !fill_table(r, t))
			continue;
		t->number = ++number;
		if (!k->tables) {
			const struct store_table **list = arena_alloc(r->arena, (r->table_count + 1) * sizeof *list);
			if (!list)
				return sm_fail(r->reterr, SM_NO_MEMORY, "no memory");
			k->tables = list;
		}
		((const struct store_table **)(uintptr_t)k->tables)[k->table_count++] = t;
	}
	return SM_OK;
}

enum sm_err cassandra__schema_read(struct client *client, struct cassandra_picture **ret_picture, struct sm_error *reterr)
{
	struct cassandra_picture *p = calloc(1, sizeof *p);
	if (!p)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct sm_error none;
	arena_init(&p->arena, 0);
	struct reading r = {.client = client, .picture = p, .arena = &p->arena, .reterr = reterr ? reterr : &none};
	enum sm_err (*const steps[])(struct reading *, struct rows *) = {read_version, read_keyspaces, read_types, read_tables,
									 read_columns};
	enum sm_err err = SM_OK;
	for (size_t i = 0; i < sizeof steps / sizeof *steps && !err; i++) {
		struct rows rows;
		err = steps[i](&r, &rows);
		client__answer_done(&rows.answer);
	}
	if (!err)
		err = assemble(&r);
	atomic_init(&p->refs, 1);
	if (err) {
		cassandra__picture_unref(p);
		return err;
	}
	*ret_picture = p;
	return SM_OK;
}

void cassandra__picture_unref(struct cassandra_picture *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	arena_done(&p->arena);
	free(p);
}
