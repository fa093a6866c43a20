/* The rows of the computed tables, from the schema picture and the connection. */
#include "cql/index.h"
#include "cql/view.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONER "org.apache.cassandra.dht.Murmur3Partitioner"
#define RELEASE "5.0.5"

struct rows {
	struct cql_context *c;
	const struct store_table *table;
	struct store_cell **items, *row; /* row: the one being filled */
	uint32_t count, cap;
	bool failed;
};

static void begin(struct rows *r)
{
	r->items = cql__grow(r->c->arena, r->items, r->count, &r->cap, sizeof *r->items);
	r->row = arena_alloc(r->c->arena, sizeof *r->row * r->table->column_count);
	if (!r->items || !r->row) {
		r->failed = true;
		return;
	}
	for (uint16_t i = 0; i < r->table->column_count; i++)
		r->row[i] = cql__null();
	r->items[r->count++] = r->row;
}

static void set(struct rows *r, const char *column, struct store_cell value)
{
	if (r->failed)
		return;
	const struct store_column *c = store_find_column(r->table, column);
	assert(c != NULL);
	r->row[c - r->table->columns] = value;
}

static void set_text(struct rows *r, const char *column, const char *text)
{
	set(r, column, (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)});
}

static void set_int(struct rows *r, const char *column, int32_t v)
{
	set(r, column, cql__cell_int(r->c->arena, v));
}
static void set_bool(struct rows *r, const char *column, bool v)
{
	set(r, column, cql__cell(r->c->arena, v ? "\1" : "\0", 1));
}
static void set_uuid(struct rows *r, const char *column, const struct uuid *u)
{
	set(r, column, cql__cell(r->c->arena, u->bytes, 16));
}

static void set_double(struct rows *r, const char *column, double v)
{
	uint64_t bits;
	memcpy(&bits, &v, 8);
	set(r, column, cql__cell_long(r->c->arena, (int64_t)bits));
}

static void set_address(struct rows *r, const char *column, const char *host)
{
	uint8_t out[16];
	if (inet_pton(AF_INET, host, out) == 1)
		set(r, column, cql__cell(r->c->arena, out, 4));
	else if (inet_pton(AF_INET6, host, out) == 1)
		set(r, column, cql__cell(r->c->arena, out, 16));
}

/* A list, set or map of texts: n strings, for a map keys and values in turn. */
static void set_texts(struct rows *r, const char *column, const char *const *texts, uint32_t n, uint32_t count)
{
	struct buf b;
	buf_init(&b);
	buf_be32(&b, count);
	for (uint32_t i = 0; i < n; i++) {
		buf_be32(&b, (uint32_t)strlen(texts[i]));
		buf_append_str(&b, texts[i]);
	}
	r->failed |= b.failed;
	set(r, column, cql__cell(r->c->arena, b.failed ? NULL : b.data + b.start, b.failed ? 0 : buf_size(&b)));
	buf_done(&b);
}

static void local(struct rows *r)
{
	static const char *const tokens[] = {"-9223372036854775808"};
	struct cql_context *c = r->c;
	const char *host = c->local_host[0] ? c->local_host : "127.0.0.1";
	begin(r);
	set_text(r, "key", "local");
	set_text(r, "bootstrapped", "COMPLETED");
	set_address(r, "broadcast_address", host);
	set_int(r, "broadcast_port", 7000);
	set_text(r, "cluster_name", c->engine->cluster_name);
	set_text(r, "cql_version", "3.4.7");
	set_text(r, "data_center", CQL_DATA_CENTER);
	set_int(r, "gossip_generation", (int32_t)(clock_wall_us(c->engine->clock) / 1000000));
	set_uuid(r, "host_id", &c->engine->host_id);
	set_address(r, "listen_address", host);
	set_int(r, "listen_port", 7000);
	set_text(r, "native_protocol_version", "5");
	set_text(r, "partitioner", PARTITIONER);
	set_text(r, "rack", "rack1");
	set_text(r, "release_version", RELEASE);
	set_address(r, "rpc_address", host);
	set_int(r, "rpc_port", c->local_port ? c->local_port : 9042);
	set_uuid(r, "schema_version", &c->schema->version);
	set_texts(r, "tokens", tokens, 1, 1);
}

static void keyspaces(struct rows *r, const struct store_schema *schema)
{
	for (uint32_t i = 0; i < schema->keyspace_count && !r->failed; i++) {
		const struct store_keyspace *k = &schema->keyspaces[i];
		if (strcmp(k->name, "system_virtual_schema") == 0)
			continue;
		uint32_t count;
		const struct store_option *replication = cql__replication_shown(k, r->c->arena, &count);
		const char **texts = arena_alloc(r->c->arena, sizeof *texts * (2 * k->replication_count + 1));
		begin(r);
		if (!texts || !replication || r->failed) {
			r->failed = true;
			return;
		}
		for (uint32_t n = 0; n < count; n++) {
			texts[2 * n] = replication[n].name;
			texts[2 * n + 1] = replication[n].value;
		}
		set_text(r, "keyspace_name", k->name);
		set_bool(r, "durable_writes", k->durable_writes);
		set_texts(r, "replication", texts, 2 * count, count);
	}
}

/* The value of an option, a CQL literal, as a cell of the option's column. */
static void set_option(struct rows *r, const struct cql_table_option *o, const char *literal)
{
	struct cql_lexer lexer;
	struct cql_token t;
	const char *texts[64];
	uint32_t n = 0;
	cql__lexer_init(&lexer, bytes_str(literal), r->c->arena);
	switch (o->kind) {
	case CQL_OPT_INT: set_int(r, o->name, (int32_t)strtol(literal, NULL, 10)); break;
	case CQL_OPT_DOUBLE: set_double(r, o->name, strtod(literal, NULL)); break;
	case CQL_OPT_BOOL: set_bool(r, o->name, strcmp(literal, "true") == 0); break;
	case CQL_OPT_TEXT:
		t = cql__lex(&lexer);
		set(r, o->name, cql__cell(r->c->arena, t.text.data, t.kind == TOK_STRING ? t.text.size : 0));
		break;
	case CQL_OPT_MAP:
		while ((t = cql__lex(&lexer)).kind != TOK_END && t.kind != TOK_BAD)
			if (t.kind == TOK_STRING && n < 64)
				if (!(texts[n++] = arena_string(r->c->arena, (const char *)t.text.data, t.text.size)))
					r->failed = true;
		if (!r->failed)
			set_texts(r, o->name, texts, n & ~1u, n / 2);
		break;
	}
}

static void tables(struct rows *r, const struct store_schema *schema)
{
	static const char *const flags[] = {"compound", "counter"};
	for (uint32_t i = 0; i < schema->keyspace_count; i++) {
		const struct store_keyspace *k = &schema->keyspaces[i];
		if (strcmp(k->name, "system_virtual_schema") == 0)
			continue;
		for (uint32_t n = 0; n < k->table_count && !r->failed; n++) {
			const struct store_table *t = k->tables[n];
			if (cql__view_base(t))
				continue;
			begin(r);
			set_text(r, "keyspace_name", k->name);
			set_text(r, "table_name", t->name);
			set_uuid(r, "id", &t->id);
			uint32_t flag_count = cql__has_counters(t) ? 2 : 1;
			set_texts(r, "flags", flags, flag_count, flag_count);
			set_double(r, "read_repair_chance", 0);
			set_double(r, "dclocal_read_repair_chance", 0);
			for (uint32_t o = 0; o < cql__table_option_count && !r->failed; o++)
				if (strcmp(cql__table_options[o].name, "cdc") != 0) /* kept only where a node does it */
					set_option(r, &cql__table_options[o], cql__table_option_value(t, &cql__table_options[o]));
		}
	}
}

static void views(struct rows *r, const struct store_schema *schema)
{
	for (uint32_t i = 0; i < schema->keyspace_count; i++)
		for (uint32_t n = 0; n < schema->keyspaces[i].table_count && !r->failed; n++) {
			const struct store_table *v = schema->keyspaces[i].tables[n];
			const char *base = cql__view_base(v);
			const struct store_table *t = base ? store_find_table(schema, v->keyspace, base) : NULL;
			if (!t)
				continue;
			begin(r);
			set_text(r, "keyspace_name", v->keyspace);
			set_text(r, "view_name", v->name);
			set_uuid(r, "base_table_id", &t->id);
			set_text(r, "base_table_name", base);
			set_bool(r, "include_all_columns", cql__view_has_all(v));
			set_text(r, "where_clause", cql__view_where(v));
			set_uuid(r, "id", &v->id);
			for (uint32_t o = 0; o < cql__table_option_count && !r->failed; o++)
				if (strcmp(cql__table_options[o].name, "cdc") != 0) /* kept only where a node does it */
					set_option(r, &cql__table_options[o], cql__table_option_value(v, &cql__table_options[o]));
		}
}

static int by_column_name(const void *a, const void *b)
{
	return strcmp((*(const struct store_column *const *)a)->name, (*(const struct store_column *const *)b)->name);
}

static void columns_of(struct rows *r, const struct store_table *t)
{
	static const char *const kinds[] = {"partition_key", "clustering", "static", "regular"};
	const struct store_column **sorted = arena_alloc(r->c->arena, sizeof *sorted * (t->column_count + 1u));
	if (!sorted) {
		r->failed = true;
		return;
	}
	for (uint16_t i = 0; i < t->column_count; i++)
		sorted[i] = &t->columns[i];
	qsort(sorted, t->column_count, sizeof *sorted, by_column_name);
	for (uint16_t i = 0; i < t->column_count && !r->failed; i++) {
		const struct store_column *c = sorted[i];
		begin(r);
		set_text(r, "keyspace_name", t->keyspace);
		set_text(r, "table_name", t->name);
		set_text(r, "column_name", c->name);
		set_text(r, "clustering_order", c->kind != STORE_CLUSTERING ? "none" : c->descending ? "desc" : "asc");
		set_text(r, "column_name_bytes", c->name);
		set_text(r, "kind", kinds[c->kind]);
		set_int(r, "position", c->kind <= STORE_CLUSTERING ? c->position : -1);
		set_text(r, "type", cql_type_text(&c->type, r->c->arena));
	}
}

static void columns(struct rows *r, const struct store_schema *schema, bool of_virtual)
{
	for (uint32_t i = 0; i < schema->keyspace_count; i++)
		if ((strcmp(schema->keyspaces[i].name, "system_virtual_schema") == 0) == of_virtual)
			for (uint32_t n = 0; n < schema->keyspaces[i].table_count && !r->failed; n++)
				columns_of(r, schema->keyspaces[i].tables[n]);
}

static void types(struct rows *r, const struct store_schema *schema)
{
	for (uint32_t i = 0; i < schema->keyspace_count; i++)
		for (uint32_t n = 0; n < schema->keyspaces[i].type_count && !r->failed; n++) {
			const struct store_type *t = &schema->keyspaces[i].types[n];
			const char **texts = arena_alloc(r->c->arena, sizeof *texts * (t->element_count + 1u));
			begin(r);
			if (!texts || r->failed) {
				r->failed = true;
				return;
			}
			set_text(r, "keyspace_name", t->keyspace);
			set_text(r, "type_name", t->name);
			set_texts(r, "field_names", t->fields, t->element_count, t->element_count);
			for (uint16_t k = 0; k < t->element_count; k++)
				texts[k] = cql_type_text(&t->elements[k], r->c->arena);
			set_texts(r, "field_types", texts, t->element_count, t->element_count);
		}
}

static void virtual_tables(struct rows *r, const struct store_schema *schema)
{
	for (uint32_t i = 0; i < schema->keyspace_count; i++)
		for (uint32_t n = 0;
		     n < schema->keyspaces[i].table_count && strcmp(schema->keyspaces[i].name, "system_virtual_schema") == 0; n++) {
			begin(r);
			set_text(r, "keyspace_name", "system_virtual_schema");
			set_text(r, "table_name", schema->keyspaces[i].tables[n]->name);
			set_text(r, "comment", "virtual schema");
		}
}

static void set_long(struct rows *r, const char *column, int64_t v)
{
	set(r, column, cql__cell_long(r->c->arena, v));
}

/* What lies in the session's own memory is copied: it may go when the lock is given back. */
static void set_copy(struct rows *r, const char *column, const char *text)
{
	set(r, column, cql__cell(r->c->arena, text, strlen(text)));
}

static void trace_session(void *arg, const struct cql_trace *t)
{
	struct rows *r = arg;
	begin(r);
	if (r->failed)
		return;
	set_uuid(r, "session_id", &t->id);
	set_address(r, "client", t->client);
	set_copy(r, "command", t->command);
	set_address(r, "coordinator", t->coordinator);
	set_int(r, "coordinator_port", t->coordinator_port);
	set_int(r, "duration", t->duration_us);
	set_texts(r, "parameters", t->parameters, 2 * t->parameter_count, t->parameter_count);
	set_copy(r, "request", t->request);
	set_long(r, "started_at", t->started_ms);
}

static void trace_events(void *arg, const struct cql_trace *t)
{
	struct rows *r = arg;
	for (uint32_t i = 0; i < t->event_count && !r->failed; i++) {
		begin(r);
		if (r->failed)
			return;
		set_uuid(r, "session_id", &t->id);
		set_uuid(r, "event_id", &t->events[i].id);
		set_copy(r, "activity", t->events[i].activity);
		set_address(r, "source", t->coordinator);
		set_int(r, "source_elapsed", t->events[i].elapsed_us);
		set_int(r, "source_port", t->coordinator_port);
		set_copy(r, "thread", t->events[i].thread);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void role_rows(struct rows *r, const struct cql_role_picture *p)
{
	for (uint32_t i = 0; i < p->role_count && !r->failed; i++) {
		const struct cql_role *role = &p->roles[i];
		begin(r);
		set_text(r, "role", role->name);
		set_bool(r, "can_login", role->login);
		set_bool(r, "is_superuser", role->superuser);
		if (role->member_count && !r->failed)
			set_texts(r, "member_of", role->member_of, role->member_count, role->member_count);
		if (role->hash)
			set_text(r, "salted_hash", role->hash);
	}
}

static void member_rows(struct rows *r, const struct cql_role_picture *p)
{
	for (uint32_t of = 0; of < p->role_count; of++)
		for (uint32_t i = 0; i < p->role_count && !r->failed; i++)
			for (uint32_t k = 0; k < p->roles[i].member_count && !r->failed; k++)
				if (strcmp(p->roles[i].member_of[k], p->roles[of].name) == 0) {
					begin(r);
					set_text(r, "role", p->roles[of].name);
					set_text(r, "member", p->roles[i].name);
				}
}

static void grant_rows(struct rows *r, const struct cql_role_picture *p, bool with_permissions)
{
	for (uint32_t i = 0; i < p->grant_count && !r->failed; i++) {
		const char *names[CQL_PERMISSIONS];
		uint32_t n = 0;
		for (int k = 0; k < CQL_PERMISSIONS; k++)
			if (p->grants[i].permissions & CQL_PERMISSION_BIT(k))
				names[n++] = cql__permission_names[k];
		qsort(names, n, sizeof names[0], by_text);
		begin(r);
		set_text(r, "role", p->grants[i].role);
		set_text(r, "resource", p->grants[i].resource);
		if (with_permissions && !r->failed)
			set_texts(r, "permissions", names, n, n);
	}
}

/* The texts are the picture's, which the request holds. */
static void auth_rows(struct rows *r)
{
	const struct cql_role_picture *p = r->c->roles;
	if (!p)
		return;
	if (strcmp(r->table->name, "roles") == 0)
		role_rows(r, p);
	else if (strcmp(r->table->name, "role_members") == 0)
		member_rows(r, p);
	else if (strcmp(r->table->name, "role_permissions") == 0)
		grant_rows(r, p, true);
	else if (strcmp(r->table->name, "resource_role_permissons_index") == 0)
		grant_rows(r, p, false);
}

#define INDEX_TEXTS_MAX 20

/* The strings of {'case_sensitive': 'false'}, one after the other. */
static uint32_t option_texts(struct rows *r, const char *options, const char **texts, uint32_t max)
{
	uint32_t count = 0;
	const char *open = strchr(options, '\'');
	while (open && count < max) {
		const char *close = strchr(open + 1, '\'');
		if (!close)
			break;
		texts[count] = arena_string(r->c->arena, open + 1, (size_t)(close - open - 1));
		r->failed |= !texts[count++];
		open = strchr(close + 1, '\'');
	}
	return count & ~1u;
}

static void indexes_of(struct rows *r, const struct store_table *t)
{
	struct cql_index index;
	for (uint32_t n = 0; !r->failed && cql__index_at(t, n, r->c->arena, &index); n++) {
		const char *texts[INDEX_TEXTS_MAX] = {NULL};
		uint32_t count = option_texts(r, index.options, texts, INDEX_TEXTS_MAX - 4);
		if (*index.class) {
			texts[count++] = "class_name";
			texts[count++] = index.class;
		}
		texts[count++] = "target";
		texts[count++] = index.target;
		if (r->failed)
			return;
		qsort(texts, count / 2, 2 * sizeof texts[0], by_text);
		begin(r);
		set_text(r, "keyspace_name", t->keyspace);
		set_text(r, "table_name", t->name);
		set_text(r, "index_name", index.name);
		set_text(r, "kind", index.kind);
		set_texts(r, "options", texts, count, count / 2);
	}
}

static void indexes(struct rows *r, const struct store_schema *schema)
{
	for (uint32_t i = 0; i < schema->keyspace_count; i++)
		for (uint32_t n = 0; n < schema->keyspaces[i].table_count; n++)
			indexes_of(r, schema->keyspaces[i].tables[n]);
}

enum sm_err cql__system_rows(struct cql_context *c, const struct store_table *table, struct store_cell ***ret_rows, uint32_t *ret_count)
{
	struct rows r = {.c = c, .table = table};
	const struct store_schema *system = &c->engine->system;
	bool is_virtual = strcmp(table->keyspace, "system_virtual_schema") == 0;
	r.items = arena_alloc(c->arena, sizeof *r.items);
	if (strcmp(table->keyspace, "system") == 0 && strcmp(table->name, "local") == 0) {
		local(&r);
	} else if (strcmp(table->name, "keyspaces") == 0 && is_virtual) {
		begin(&r);
		set_text(&r, "keyspace_name", "system_virtual_schema");
	} else if (strcmp(table->name, "keyspaces") == 0) {
		keyspaces(&r, system);
		keyspaces(&r, c->schema);
	} else if (strcmp(table->name, "tables") == 0 && is_virtual) {
		virtual_tables(&r, system);
	} else if (strcmp(table->name, "tables") == 0) {
		tables(&r, system);
		tables(&r, c->schema);
	} else if (strcmp(table->name, "columns") == 0) {
		columns(&r, system, is_virtual);
		if (!is_virtual)
			columns(&r, c->schema, false);
	} else if (strcmp(table->keyspace, "system_auth") == 0) {
		auth_rows(&r);
	} else if (strcmp(table->keyspace, "system_traces") == 0 && c->engine->traces) {
		cql__traces_each(c->engine->traces, strcmp(table->name, "events") == 0 ? trace_events : trace_session, &r);
	} else if (strcmp(table->keyspace, "system_schema") == 0 && strcmp(table->name, "types") == 0) {
		types(&r, c->schema);
	} else if (strcmp(table->keyspace, "system_schema") == 0 && strcmp(table->name, "indexes") == 0) {
		indexes(&r, c->schema);
	} else if (strcmp(table->keyspace, "system_schema") == 0 && strcmp(table->name, "views") == 0) {
		views(&r, c->schema);
	} /* the others are empty: one node, and no such objects */
	if (r.failed || !r.items)
		return cql__no_memory(c->err, c->arena);
	*ret_rows = r.items;
	*ret_count = r.count;
	return SM_OK;
}
