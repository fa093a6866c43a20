/* A change of the schema as the statements that make it on a real Cassandra. */
#include "cassandra/cassandra_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct writing {
	struct arena *arena;
	const char **texts;
	uint32_t count, cap;
	struct buf text; /* of the statement that is being made */
	struct sm_error *reterr;
};

static const char *quoted(struct writing *w, const char *name)
{
	return cql_quote_name(name, w->arena);
}

/* The text is a statement. */
static enum sm_err end_statement(struct writing *w)
{
	const char **texts = w->texts;
	if (w->count == w->cap) {
		texts = arena_alloc(w->arena, (w->cap * 2 + 8) * sizeof *texts);
		if (texts && w->count)
			memcpy(texts, w->texts, w->count * sizeof *texts);
		w->cap = w->cap * 2 + 8;
	}
	const char *text = texts && !w->text.failed ? arena_string(w->arena, (const char *)buf_bytes(&w->text).data, buf_size(&w->text))
						    : NULL;
	if (!text)
		return sm_fail(w->reterr, SM_NO_MEMORY, "no memory");
	w->texts = texts;
	w->texts[w->count++] = text;
	buf_clear(&w->text);
	return SM_OK;
}

/* ---- keyspaces ---- */

static void put_string(struct buf *out, const char *text)
{
	buf_append_str(out, "'");
	for (; *text; text++)
		buf_printf(out, *text == '\'' ? "''" : "%c", *text);
	buf_append_str(out, "'");
}

/* SimpleStrategy knows no data centers: where copies are asked for, each data center has as many. */
static void put_replication(struct writing *w, const struct store_keyspace *k, uint32_t factor)
{
	bool simple = false;
	for (uint32_t i = 0; i < k->replication_count; i++)
		simple |= strcmp(k->replication[i].name, "class") == 0 && strstr(k->replication[i].value, "SimpleStrategy");
	buf_append_str(&w->text, "{");
	if (simple && factor)
		buf_printf(&w->text, "'class': 'NetworkTopologyStrategy', 'replication_factor': '%u'", factor);
	else
		for (uint32_t i = 0; i < k->replication_count; i++) {
			buf_append_str(&w->text, i ? ", " : "");
			put_string(&w->text, k->replication[i].name);
			buf_append_str(&w->text, ": ");
			put_string(&w->text, k->replication[i].value);
		}
	buf_printf(&w->text, "} AND durable_writes = %s", k->durable_writes ? "true" : "false");
}

static enum sm_err keyspace(struct writing *w, const struct store_change *c, const char *verb, uint32_t factor)
{
	buf_printf(&w->text, "%s KEYSPACE %s", verb, quoted(w, c->keyspace));
	if (c->kind != STORE_DROP_KEYSPACE) {
		buf_append_str(&w->text, " WITH replication = ");
		put_replication(w, c->new_keyspace, factor);
	}
	return end_statement(w);
}

/* ---- tables ---- */

static void put_table(struct writing *w, const char *verb, const struct store_change *c)
{
	buf_printf(&w->text, "%s TABLE %s.%s", verb, quoted(w, c->keyspace), quoted(w, c->table));
}

static void put_column(struct writing *w, const struct store_column *c)
{
	buf_printf(&w->text, "%s %s%s", quoted(w, c->name), cql_type_text(&c->type, w->arena), c->kind == STORE_STATIC ? " static" : "");
}

static const char *option_of(const struct store_table *t, const char *name)
{
	for (uint32_t i = 0; i < t->option_count; i++)
		if (strcmp(t->options[i].name, name) == 0)
			return t->options[i].value;
	return NULL;
}

static void put_option(struct writing *w, int *n, const char *name, const char *value)
{
	buf_printf(&w->text, "%s%s = %s", (*n)++ ? " AND " : " WITH ", name, value);
}

/* Those that differ from before's; before NULL: all that are said. */
static int put_options(struct writing *w, const struct store_table *t, const struct store_table *before, int n)
{
	char number[16];
	for (uint32_t i = 0; i < t->option_count; i++) {
		const struct store_option *o = &t->options[i];
		const char *was = before ? option_of(before, o->name) : NULL;
		if (!was || strcmp(was, o->value) != 0)
			put_option(w, &n, o->name, o->value);
	}
	/* callers that make tables themselves say them as numbers */
	if (!option_of(t, "gc_grace_seconds") && t->gc_grace_s != (before ? before->gc_grace_s : 864000)) {
		snprintf(number, sizeof number, "%d", t->gc_grace_s);
		put_option(w, &n, "gc_grace_seconds", number);
	}
	if (!option_of(t, "default_time_to_live") && t->default_ttl_s != (before ? before->default_ttl_s : 0)) {
		snprintf(number, sizeof number, "%d", t->default_ttl_s);
		put_option(w, &n, "default_time_to_live", number);
	}
	return n;
}

/* Views stand in our schema as options that no Cassandra knows. */
static enum sm_err check_options(struct writing *w, const struct store_table *t)
{
	if (t->index_count)
		return sm_fail(w->reterr, SM_UNSUPPORTED,
			       "a real Cassandra keeps the tables: make views and indexes there, with cqlsh (index %.60s of %s.%s)",
			       t->indexes[0].name, t->keyspace, t->name);
	for (uint32_t i = 0; i < t->option_count; i++) {
		const char *known;
		for (uint32_t k = 0; (known = cql_table_option_name(k)); k++)
			if (strcmp(known, t->options[i].name) == 0)
				break;
		if (!known)
			return sm_fail(w->reterr, SM_UNSUPPORTED,
				       "a real Cassandra keeps the tables: make views and indexes there, with cqlsh (%.60s of %s.%s)",
				       t->options[i].name, t->keyspace, t->name);
	}
	return SM_OK;
}

static enum sm_err create_table(struct writing *w, const struct store_change *c)
{
	const struct store_table *t = c->new_table;
	int options = 0;
	enum sm_err err = check_options(w, t);
	if (err)
		return err;
	put_table(w, "CREATE", c);
	buf_append_str(&w->text, " (");
	for (uint16_t i = 0; i < t->column_count; i++) {
		put_column(w, &t->columns[i]);
		buf_append_str(&w->text, ", ");
	}
	/* keys in their order, wherever they stand among the columns */
	for (int kind = STORE_PARTITION_KEY; kind <= STORE_CLUSTERING; kind++) {
		buf_append_str(&w->text, kind == STORE_PARTITION_KEY ? "PRIMARY KEY ((" : "");
		uint16_t count = kind == STORE_PARTITION_KEY ? t->partition_key_count : t->clustering_count;
		for (uint16_t at = 0; at < count; at++)
			for (uint16_t i = 0; i < t->column_count; i++)
				if ((int)t->columns[i].kind == kind && t->columns[i].position == at)
					buf_printf(&w->text, "%s%s", at || kind == STORE_CLUSTERING ? ", " : "",
						   quoted(w, t->columns[i].name));
		buf_append_str(&w->text, kind == STORE_PARTITION_KEY ? ")" : "))");
	}
	for (uint16_t at = 0; at < t->clustering_count; at++)
		for (uint16_t i = 0; i < t->column_count; i++) {
			const struct store_column *col = &t->columns[i];
			if (col->kind != STORE_CLUSTERING || col->position != at)
				continue;
			buf_printf(&w->text, "%s%s %s", at ? ", " : " WITH CLUSTERING ORDER BY (", quoted(w, col->name),
				   col->descending ? "DESC" : "ASC");
			options = 1;
		}
	if (options)
		buf_append_str(&w->text, ")");
	put_options(w, t, NULL, options);
	return end_statement(w);
}

static const struct store_column *column_by_id(const struct store_table *t, uint32_t id)
{
	for (uint16_t i = 0; i < t->column_count; i++)
		if (t->columns[i].id == id)
			return &t->columns[i];
	return NULL;
}

/* Columns that are new have no id; those that were renamed have another name. */
static enum sm_err alter_table(struct writing *w, const struct store_schema *now, const struct store_change *c)
{
	const struct store_table *before = store_find_table(now, c->keyspace, c->table), *t = c->new_table;
	enum sm_err err = SM_OK;
	if (!before)
		return sm_fail(w->reterr, SM_NOT_FOUND, "Table '%s.%s' doesn't exist", c->keyspace, c->table);
	if ((err = check_options(w, t)))
		return err;
	for (uint16_t i = 0; i < before->column_count && !err; i++)
		if (!column_by_id(t, before->columns[i].id)) {
			put_table(w, "ALTER", c);
			buf_printf(&w->text, " DROP %s", quoted(w, before->columns[i].name));
			err = end_statement(w);
		}
	for (uint16_t i = 0; i < t->column_count && !err; i++) {
		const struct store_column *col = &t->columns[i], *was = col->id ? column_by_id(before, col->id) : NULL;
		if (was && strcmp(was->name, col->name) == 0)
			continue;
		put_table(w, "ALTER", c);
		if (was) {
			buf_printf(&w->text, " RENAME %s TO %s", quoted(w, was->name), quoted(w, col->name));
		} else {
			buf_append_str(&w->text, " ADD ");
			put_column(w, col);
		}
		err = end_statement(w);
	}
	if (err)
		return err;
	put_table(w, "ALTER", c);
	if (put_options(w, t, before, 0))
		return end_statement(w);
	buf_clear(&w->text);
	return SM_OK;
}

/* ---- types ---- */

static enum sm_err create_type(struct writing *w, const struct store_change *c)
{
	const struct store_type *t = c->new_type;
	buf_printf(&w->text, "CREATE TYPE %s.%s (", quoted(w, c->keyspace), quoted(w, c->type));
	for (uint16_t i = 0; i < t->element_count; i++)
		buf_printf(&w->text, "%s%s %s", i ? ", " : "", quoted(w, t->fields[i]), cql_type_text(&t->elements[i], w->arena));
	buf_append_str(&w->text, ")");
	return end_statement(w);
}

static enum sm_err alter_type(struct writing *w, const struct store_schema *now, const struct store_change *c)
{
	const struct store_keyspace *k = store_find_keyspace(now, c->keyspace);
	const struct store_type *before = k ? store_find_type(k, c->type) : NULL, *t = c->new_type;
	enum sm_err err = SM_OK;
	if (!before)
		return sm_fail(w->reterr, SM_NOT_FOUND, "Type %s.%s doesn't exist", c->keyspace, c->type);
	for (uint16_t i = 0; i < t->element_count && !err; i++) {
		if (i < before->element_count && strcmp(before->fields[i], t->fields[i]) == 0)
			continue;
		buf_printf(&w->text, "ALTER TYPE %s.%s ", quoted(w, c->keyspace), quoted(w, c->type));
		if (i < before->element_count)
			buf_printf(&w->text, "RENAME %s TO %s", quoted(w, before->fields[i]), quoted(w, t->fields[i]));
		else
			buf_printf(&w->text, "ADD %s %s", quoted(w, t->fields[i]), cql_type_text(&t->elements[i], w->arena));
		err = end_statement(w);
	}
	return err;
}

enum sm_err cassandra__change_text(const struct store_schema *now, const struct store_change *c, uint32_t factor, struct arena *arena,
				   const char ***ret_texts, uint32_t *ret_count, struct sm_error *reterr)
{
	struct writing w = {.arena = arena, .reterr = reterr};
	enum sm_err err = SM_OK;
	buf_init(&w.text);
	switch (c->kind) {
	case STORE_CREATE_KEYSPACE: err = keyspace(&w, c, "CREATE", factor); break;
	case STORE_ALTER_KEYSPACE: err = keyspace(&w, c, "ALTER", factor); break;
	case STORE_DROP_KEYSPACE: err = keyspace(&w, c, "DROP", 0); break;
	case STORE_CREATE_TABLE: err = create_table(&w, c); break;
	case STORE_ALTER_TABLE: err = alter_table(&w, now, c); break;
	case STORE_DROP_TABLE:
	case STORE_TRUNCATE_TABLE:
		put_table(&w, c->kind == STORE_DROP_TABLE ? "DROP" : "TRUNCATE", c);
		err = end_statement(&w);
		break;
	case STORE_CREATE_TYPE: err = create_type(&w, c); break;
	case STORE_ALTER_TYPE: err = alter_type(&w, now, c); break;
	case STORE_DROP_TYPE: buf_printf(&w.text, "DROP TYPE %s.%s", quoted(&w, c->keyspace), quoted(&w, c->type)); err = end_statement(&w);
	}
	buf_done(&w.text);
	*ret_texts = w.texts;
	*ret_count = w.count;
	return err;
}
