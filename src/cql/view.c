/* Materialized views: what may be one, and the table that stands for it. The rules and their texts are Cassandra's. */
#include "cql/view.h"
#include "cql/ddl_internal.h"

#include <assert.h>
#include <string.h>

#define WHERE "view/where"
#define ALL "view/all"

static const char *option(const struct store_table *t, const char *name)
{
	for (uint32_t i = 0; i < t->option_count; i++)
		if (strcmp(t->options[i].name, name) == 0)
			return t->options[i].value;
	return NULL;
}

const char *cql__view_base(const struct store_table *table)
{
	return store_view_base(table);
}

const char *cql__view_where(const struct store_table *view)
{
	const char *where = option(view, WHERE);
	return where ? where : "";
}

bool cql__view_has_all(const struct store_table *view)
{
	return option(view, ALL) != NULL;
}

const char *cql__views_of(const struct store_keyspace *k, const char *table, struct arena *arena)
{
	const char *names = NULL;
	for (uint32_t i = 0; i < k->table_count; i++) {
		const char *base = cql__view_base(k->tables[i]);
		if (base && strcmp(base, table) == 0)
			names = arena_printf(arena, "%s%s%s", names ? names : "", names ? ", " : "", k->tables[i]->name);
	}
	return names;
}

struct creation {
	struct cql_context *c;
	const struct cql_ddl *ddl;
	const struct cql_select *select;
	const struct store_table *base;
	struct cql_ddl table; /* the CREATE TABLE that it means */
};

static bool is_key(const struct creation *x, const char *name)
{
	for (uint32_t i = 0; i < x->ddl->partition_key_count; i++)
		if (strcmp(x->ddl->partition_key[i], name) == 0)
			return true;
	for (uint32_t i = 0; i < x->ddl->clustering_count; i++)
		if (strcmp(x->ddl->clustering[i], name) == 0)
			return true;
	return false;
}

static enum sm_err add_column(struct creation *x, const struct store_column *column)
{
	struct cql_column_def *d = &x->table.columns[x->table.column_count++];
	d->name = column->name;
	d->is_static = false;
	return cql__parse_type(bytes_str(cql_type_text(&column->type, x->c->arena)), x->c->arena, &d->type, x->c->err);
}

static enum sm_err selected_columns(struct creation *x)
{
	struct cql_context *c = x->c;
	const struct cql_select *s = x->select;
	const struct store_table *base = x->base;
	uint32_t count = s->star ? base->column_count : s->selector_count;
	x->table.columns = arena_alloc(c->arena, sizeof *x->table.columns * (count + 1));
	if (!x->table.columns)
		return cql__no_memory(c->err, c->arena);
	for (uint32_t i = 0; i < count; i++) {
		const struct cql_term *t = s->star ? NULL : s->selectors[i].term;
		if (t && s->selectors[i].alias)
			return cql__fail(c->err, CQL_INVALID, "Cannot use alias when defining a materialized view");
		if (t && t->kind != CQL_TERM_COLUMN)
			return cql__fail(c->err, CQL_INVALID, "Can only select columns by name when defining a materialized view (got %s)",
					 cql__term_text(t, c->arena));
		const struct store_column *column = t ? store_find_column(base, t->name) : &base->columns[i];
		if (!column && t)
			return cql__fail(c->err, CQL_INVALID, "Undefined column name %s in table %s.%s", t->name, base->keyspace,
					 base->name);
		assert(column != NULL);
		if (column->kind == STORE_STATIC)
			return cql__fail(c->err, CQL_INVALID, "Cannot include static column '%s' in materialized view '%s'", column->name,
					 x->ddl->table.name);
		enum sm_err err = add_column(x, column);
		if (err)
			return err;
	}
	return SM_OK;
}

static bool is_selected(const struct creation *x, const char *name)
{
	for (uint32_t i = 0; i < x->table.column_count; i++)
		if (strcmp(x->table.columns[i].name, name) == 0)
			return true;
	return false;
}

static enum sm_err multi_cell(struct cql_context *c, const struct store_column *column)
{
	struct buf class;
	buf_init(&class);
	cql__put_class(&class, &column->type);
	enum sm_err err = cql__fail(c->err, CQL_INVALID, "Invalid non-frozen %s type '%.*s' for PRIMARY KEY column '%s'",
				    column->type.id == STORE_UDT ? "user-defined" : "collection", (int)buf_size(&class),
				    class.data ? (const char *)class.data + class.start : "", column->name);
	buf_done(&class);
	return err;
}

/* The key's columns are the base table's key and at most one more column; all are selected. */
static enum sm_err check_key(struct creation *x)
{
	struct cql_context *c = x->c;
	const struct store_table *base = x->base;
	const char *more = NULL, *missing = NULL;
	uint32_t more_count = 0, keys = x->ddl->partition_key_count + x->ddl->clustering_count;
	for (uint32_t i = 0; i < keys; i++) {
		const char *name = i < x->ddl->partition_key_count ? x->ddl->partition_key[i]
								   : x->ddl->clustering[i - x->ddl->partition_key_count];
		const struct store_column *column = store_find_column(base, name);
		if (!column || !is_selected(x, name))
			return cql__fail(c->err, CQL_INVALID, "Unknown column '%s' referenced in PRIMARY KEY for materialized view '%s'",
					 name, x->ddl->table.name);
		if (column->type.id == STORE_DURATION)
			return cql__fail(c->err, CQL_INVALID, "duration type is not supported for PRIMARY KEY column '%s'", name);
		if (store_type_multi_cell(&column->type))
			return multi_cell(c, column);
		if (column->kind > STORE_CLUSTERING && more_count++ < 20)
			more = arena_printf(c->arena, "%s%s%s", more ? more : "", more ? ", " : "", name);
	}
	if (more_count > 1)
		return cql__fail(c->err, CQL_INVALID,
				 "Cannot include more than one non-primary key column in materialized view primary key (got %s)",
				 more ? more : "");
	for (uint16_t i = 0; i < base->partition_key_count + base->clustering_count; i++)
		if (!is_key(x, base->columns[i].name))
			missing = arena_printf(c->arena, "%s%s%s", missing ? missing : "", missing ? ", " : "", base->columns[i].name);
	if (missing)
		return cql__fail(c->err, CQL_INVALID,
				 "Cannot create materialized view '%s' without primary key columns %s from base table '%s'",
				 x->ddl->table.name, missing, base->name);
	return SM_OK;
}

static const char *relation_text(const struct cql_relation *r, struct arena *arena)
{
	static const char *const operators[] = {
		[CQL_EQ] = "=", [CQL_LT] = "<", [CQL_LE] = "<=", [CQL_GT] = ">", [CQL_GE] = ">=", [CQL_IN] = "IN"};
	const char *name = cql_quote_name(r->columns[0], arena);
	if (r->op == CQL_IS_NOT_NULL)
		return arena_printf(arena, "%s IS NOT NULL", name);
	if (r->op != CQL_IN)
		return arena_printf(arena, "%s %s %s", name, operators[r->op], cql__term_written(r->value, arena));
	const char *text = arena_printf(arena, "%s IN (", name);
	for (uint32_t i = 0; text && i < r->value_count; i++)
		text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", cql__term_written(r->values[i], arena));
	return text ? arena_printf(arena, "%s)", text) : NULL;
}

/* The relations mean something for the base table, and their text means the same when it is read again. */
static enum sm_err check_relations(struct creation *x, const char *text)
{
	struct cql_context *c = x->c;
	const struct cql_select *s = x->select;
	struct cql_relation *kept = arena_alloc(c->arena, sizeof *kept * (s->where_count + 1u));
	struct cql_analysis a = {.c = c, .table = x->base};
	struct cql_where where = {0}, again = {0};
	uint32_t count = 0;
	if (!kept)
		return cql__no_memory(c->err, c->arena);
	for (uint32_t i = 0; i < s->where_count; i++)
		if (s->where[i].op != CQL_IS_NOT_NULL)
			kept[count++] = s->where[i];
	enum sm_err err = count ? cql__analyse_where(&a, kept, count, CQL_FOR_SELECT, true, &where) : SM_OK;
	for (uint32_t i = 0; i < where.count && !err; i++) {
		const struct cql_restriction *r = &where.restrictions[i];
		for (uint32_t k = 0; r->values && k < (r->op == CQL_IN ? r->value_count : r->column_count) && !err; k++)
			if (r->values[k]->kind == CQL_EXPR_CONST && r->values[k]->cell.size < 0)
				err = cql__fail(c->err, CQL_INVALID, "Invalid null value in condition for column %s", r->columns[0]->name);
	}
	if (err || !count || (err = cql__view_restrictions(c, x->base, text, &again)))
		return err;
	if (again.count != where.count)
		return cql__fail(c->err, CQL_INVALID, "The WHERE clause of the materialized view '%s' cannot be kept: %s",
				 x->ddl->table.name, text);
	return SM_OK;
}

/* Every key column is said not to be null, or restricted; others cannot be. */
static enum sm_err check_where(struct creation *x, const char **ret_text)
{
	struct cql_context *c = x->c;
	const struct cql_select *s = x->select;
	const char *text = "", *open = NULL;
	for (uint32_t i = 0; i < s->where_count; i++) {
		const struct cql_relation *r = &s->where[i];
		if (r->token || r->tuple || r->subscript || (r->op > CQL_GE && r->op != CQL_IN && r->op != CQL_IS_NOT_NULL) ||
		    (r->op == CQL_IN && r->value))
			return cql__fail(c->err, CQL_INVALID, "A materialized view's WHERE takes =, <, <=, >, >=, IN and IS NOT NULL only");
		if (!store_find_column(x->base, r->columns[0]))
			return cql__fail(c->err, CQL_INVALID, "Undefined column name %s in table %s.%s", r->columns[0], x->base->keyspace,
					 x->base->name);
		if (!is_key(x, r->columns[0]) && r->op != CQL_IS_NOT_NULL)
			return cql__fail(c->err, CQL_INVALID,
					 "Non-primary key columns can only be restricted with 'IS NOT NULL' (got: %s restricted illegally)",
					 r->columns[0]);
		const char *one = relation_text(r, c->arena);
		text = text && one ? arena_printf(c->arena, "%s%s%s", text, i ? " AND " : "", one) : NULL;
	}
	uint32_t keys = x->ddl->partition_key_count + x->ddl->clustering_count;
	for (uint32_t i = 0; i < keys; i++) {
		const char *name = i < x->ddl->partition_key_count ? x->ddl->partition_key[i]
								   : x->ddl->clustering[i - x->ddl->partition_key_count];
		bool known = false;
		for (uint32_t k = 0; k < s->where_count; k++)
			known |= strcmp(s->where[k].columns[0], name) == 0;
		if (!known)
			open = arena_printf(c->arena, "%s%s%s", open ? open : "", open ? ", " : "", name);
	}
	if (open)
		return cql__fail(c->err, CQL_INVALID, "Primary key columns %s must be restricted with 'IS NOT NULL' or otherwise", open);
	*ret_text = text;
	return text ? check_relations(x, text) : cql__no_memory(c->err, c->arena);
}

static enum sm_err add_options(struct cql_context *c, struct store_table *t, const char *base, const char *where, bool all)
{
	struct store_option *options = arena_alloc(c->arena, sizeof *options * (t->option_count + 3u));
	if (!options)
		return cql__no_memory(c->err, c->arena);
	if (t->option_count)
		memcpy(options, t->options, sizeof *options * t->option_count);
	options[t->option_count++] = (struct store_option){STORE_VIEW_BASE, base};
	options[t->option_count++] = (struct store_option){WHERE, where};
	if (all)
		options[t->option_count++] = (struct store_option){ALL, "true"};
	t->options = options;
	return SM_OK;
}

static bool has_option(const struct cql_ddl *ddl, const char *name)
{
	for (uint32_t i = 0; i < ddl->option_count; i++)
		if (strcmp(ddl->options[i].name, name) == 0)
			return true;
	return false;
}

static enum sm_err create(struct cql_context *c, const struct cql_ddl *ddl, const char *keyspace, struct cql_change *change,
			  bool *ret_nothing)
{
	struct creation x = {.c = c, .ddl = ddl, .select = ddl->view, .table = *ddl};
	const struct cql_table_name *from = &ddl->view->table;
	const struct store_keyspace *k = store_find_keyspace(c->schema, keyspace);
	const char *where;
	struct store_table *t;
	if (!k)
		return cql__fail(c->err, CQL_INVALID, "Keyspace '%s' doesn't exist", keyspace);
	if (from->keyspace && strcmp(from->keyspace, keyspace) != 0)
		return cql__fail(c->err, CQL_INVALID, "Cannot create a materialized view on a table in a different keyspace");
	x.base = store_find_table(c->schema, keyspace, from->name);
	if (!x.base || cql__view_base(x.base))
		return cql__fail(c->err, CQL_INVALID, "Base table '%s' doesn't exist", from->name);
	if (cql__has_counters(x.base))
		return cql__fail(c->err, CQL_INVALID, "Materialized views are not supported on counter tables");
	const struct store_table *old = store_find_table(c->schema, keyspace, ddl->table.name);
	if (old && !cql__view_base(old))
		return cql__fail(c->err, CQL_INVALID, "Cannot create materialized view '%s' - a table with the same name already exists",
				 old->name);
	if (old) {
		*ret_nothing = ddl->if_not_exists;
		return *ret_nothing ? SM_OK : ddl__exists(c, keyspace, ddl->table.name);
	}
	if (has_option(ddl, "default_time_to_live"))
		return cql__fail(c->err, CQL_INVALID,
				 "Cannot set default_time_to_live for a materialized view. Data in a materialized view always expire at "
				 "the same time than the corresponding data in the parent table.");
	enum sm_err err = selected_columns(&x);
	if (err || (err = check_key(&x)) || (err = check_where(&x, &where)))
		return err;
	if ((err = ddl__table(c, &x.table, keyspace, false, &t)) || (err = add_options(c, t, x.base->name, where, ddl->view->star)))
		return err;
	change->change.kind = STORE_CREATE_TABLE;
	change->change.new_table = t;
	change->warning = "Materialized views are experimental and are not recommended for production use.";
	return SM_OK;
}

enum sm_err cql__view_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing)
{
	const char *keyspace;
	enum sm_err err = cql__keyspace_of(c, &ddl->table, &keyspace);
	if (err || (err = cql__check_user_keyspace(c, keyspace)))
		return err;
	change->change.keyspace = keyspace;
	change->change.table = ddl->table.name;
	if (ddl->verb == CQL_CREATE)
		return create(c, ddl, keyspace, change, ret_nothing);
	const struct store_table *t = store_find_table(c->schema, keyspace, ddl->table.name);
	bool view = t && cql__view_base(t);
	*ret_nothing = !view && ddl->if_exists;
	if (!view)
		return *ret_nothing ? SM_OK
				    : cql__fail(c->err, CQL_INVALID, "Materialized view '%s.%s' doesn't exist", keyspace, ddl->table.name);
	change->change.kind = ddl->verb == CQL_DROP ? STORE_DROP_TABLE : STORE_ALTER_TABLE;
	if (ddl->verb == CQL_DROP)
		return SM_OK;
	if ((err = ddl__alter_table(c, ddl, t, change, ret_nothing)) || change->change.new_table->default_ttl_s == 0)
		return err;
	return cql__fail(
		c->err, CQL_INVALID,
		"Forbidden default_time_to_live detected for a materialized view. Data in a materialized view always expire at the "
		"same time than the corresponding data in the parent table. default_time_to_live must be set to zero, see "
		"CASSANDRA-12868 for more information");
}

const char *cql__describe_view(const struct store_table *v, bool internals, struct arena *arena)
{
	const char *columns = NULL, *name = cql_quote_name(v->keyspace, arena);
	for (uint16_t i = 0; i < v->column_count && !cql__view_has_all(v); i++)
		columns = arena_printf(arena, "%s%s%s", columns ? columns : "", columns ? ", " : "",
				       cql_quote_name(v->columns[i].name, arena));
	const char *partition = "", *clustering = "";
	for (uint16_t i = 0; i < v->partition_key_count; i++)
		partition = arena_printf(arena, "%s%s%s", partition ? partition : "", i ? ", " : "",
					 cql_quote_name(v->columns[i].name, arena));
	for (uint16_t i = 0; i < v->clustering_count; i++)
		clustering = arena_printf(arena, "%s, %s", clustering ? clustering : "",
					  cql_quote_name(v->columns[v->partition_key_count + i].name, arena));
	bool several = v->partition_key_count > 1;
	const char *out = arena_printf(arena,
				       "CREATE MATERIALIZED VIEW %s.%s AS\n    SELECT %s\n    FROM %s.%s\n    WHERE %s\n    PRIMARY KEY "
				       "(%s%s%s%s)\n WITH %s",
				       name, cql_quote_name(v->name, arena), columns ? columns : "*", name,
				       cql_quote_name(cql__view_base(v), arena), cql__view_where(v), several ? "(" : "",
				       partition ? partition : "", several ? ")" : "", clustering ? clustering : "",
				       cql__describe_options(v, internals, arena));
	return out ? out : "";
}
