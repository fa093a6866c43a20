/* CREATE, ALTER, DROP and TRUNCATE as changes of the store's schema. A change that loses a race is refused by the store, and that error is
 * then worded here as if it had been seen before. */
#include "cql/ddl_internal.h"
#include "cql/index.h"
#include "cql/view.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum sm_err ddl__check_name(struct cql_context *c, const char *what, const char *name)
{
	size_t size = strlen(name);
	bool ok = size > 0 && size <= CQL_NAME_MAX;
	for (size_t i = 0; i < size; i++)
		ok &= isalnum((unsigned char)name[i]) || name[i] == '_';
	if (!ok)
		return cql__fail(c->err, CQL_INVALID,
				 "%s name must not be empty, more than %d characters long, or contain non-alphanumeric-underscore "
				 "characters (got \"%.100s\")",
				 what, CQL_NAME_MAX, name);
	return SM_OK;
}

/* ---- options ---- */

static const char *term_string(struct cql_context *c, const struct cql_term *t)
{
	if (t->kind != CQL_TERM_LITERAL)
		return NULL;
	return arena_string(c->arena, (const char *)t->text.data, t->text.size);
}

static const char *quoted(struct cql_context *c, const char *text)
{
	static const struct store_type type = {.id = STORE_TEXT};
	return cql_literal_text(&type, (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)}, c->arena);
}

/* A map of literals as a literal, keys in order. */
static const char *map_literal(struct cql_context *c, const struct cql_term *t)
{
	uint32_t n = t->arg_count / 2;
	const char *text = "{";
	bool *done = arena_alloc(c->arena, n + 1);
	for (uint32_t i = 0; done && i < n; i++) {
		uint32_t least = n;
		for (uint32_t k = 0; k < n; k++) {
			if (!term_string(c, t->args[2 * k]) || !term_string(c, t->args[2 * k + 1]))
				return NULL;
			if (!done[k] && (least == n || strcmp(term_string(c, t->args[2 * k]), term_string(c, t->args[2 * least])) < 0))
				least = k;
		}
		done[least] = true;
		text = arena_printf(c->arena, "%s%s%s: %s", text, i ? ", " : "", quoted(c, term_string(c, t->args[2 * least])),
				    quoted(c, term_string(c, t->args[2 * least + 1])));
		if (!text)
			return NULL;
	}
	return arena_printf(c->arena, "%s}", text);
}

/* Not all that strtod takes: nan, infinity, hexadecimal numbers, blanks before them. */
static bool is_number(const char *text, const char *characters)
{
	const char *digits = text + (*text == '-' || *text == '+');
	return *digits && digits[strspn(digits, characters)] == 0;
}

static enum sm_err option_literal(struct cql_context *c, const struct cql_option *o, const struct cql_table_option *known,
				  const char **ret_value)
{
	const char *text = term_string(c, o->value);
	char *end = NULL;
	*ret_value = NULL;
	switch (known->kind) {
	case CQL_OPT_TEXT: *ret_value = text ? quoted(c, text) : NULL; break;
	case CQL_OPT_INT:
		if (text && is_number(text, "0123456789") && strtoll(text, &end, 10) <= INT32_MAX && strtoll(text, NULL, 10) >= INT32_MIN &&
		    !*end)
			*ret_value = text;
		break;
	case CQL_OPT_DOUBLE:
		if (text && is_number(text, "0123456789.eE+-") && isfinite(strtod(text, &end)) && !*end)
			*ret_value = text;
		break;
	case CQL_OPT_BOOL:
		if (text && (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0))
			*ret_value = strcasecmp(text, "true") == 0 ? "true" : "false";
		break;
	case CQL_OPT_MAP:
		if (o->value->kind == CQL_TERM_MAP || (o->value->kind == CQL_TERM_SET && o->value->arg_count == 0))
			*ret_value = map_literal(c, o->value);
		break;
	}
	if (*ret_value)
		return SM_OK;
	static const char *const names[] = {"It should be a string", "It should be an integer", "It should be a number",
					    "It should be true or false", "It should be a map of strings"};
	return cql__fail(c->err, CQL_SYNTAX_ERROR, "Invalid value for property '%s'. %s.", o->name, names[known->kind]);
}

static const char *chosen(const struct store_option *options, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(options[i].name, name) == 0)
			return options[i].value;
	return NULL;
}

static enum sm_err table_options(struct cql_context *c, const struct cql_ddl *ddl, struct store_table *t)
{
	struct store_option *options = arena_alloc(c->arena, sizeof *options * (t->option_count + ddl->option_count + 2));
	uint32_t n = t->option_count;
	if (!options)
		return cql__no_memory(c->err, c->arena);
	if (n)
		memcpy(options, t->options, sizeof *options * n);
	for (uint32_t i = 0; i < ddl->option_count; i++) {
		const struct cql_option *o = &ddl->options[i];
		const struct cql_table_option *known = NULL;
		const char *value = NULL;
		for (uint32_t k = 0; k < cql__table_option_count; k++)
			if (strcmp(cql__table_options[k].name, o->name) == 0)
				known = &cql__table_options[k];
		if (!known)
			return cql__fail(c->err, CQL_SYNTAX_ERROR, "Unknown property '%s'", o->name);
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(ddl->options[k].name, o->name) == 0)
				return cql__fail(c->err, CQL_SYNTAX_ERROR, "Multiple definition for property '%s'", o->name);
		enum sm_err err = option_literal(c, o, known, &value);
		if (err)
			return err;
		assert(value != NULL);
		if ((err = ddl__option_value(c, o, &value)))
			return err;
		int32_t number = known->kind == CQL_OPT_INT ? (int32_t)strtoll(value, NULL, 10) : 0;
		if (strcmp(o->name, "default_time_to_live") == 0) {
			if (number > CQL_TTL_MAX)
				return cql__fail(c->err, CQL_CONFIG_ERROR, "default_time_to_live must be less than or equal to %d (got %d)",
						 CQL_TTL_MAX, number);
			t->default_ttl_s = number;
		}
		if (strcmp(o->name, "gc_grace_seconds") == 0)
			t->gc_grace_s = number;
		uint32_t at = 0;
		while (at < n && strcmp(options[at].name, o->name) != 0)
			at++;
		options[at] = (struct store_option){o->name, value};
		n += at == n;
	}
	if (ddl->verb == CQL_CREATE && !chosen(options, n, "bloom_filter_fp_chance") && chosen(options, n, "compaction") &&
	    strstr(chosen(options, n, "compaction"), "LeveledCompactionStrategy")) /* whose default it is */
		options[n++] = (struct store_option){"bloom_filter_fp_chance", "0.1"};
	t->options = options;
	t->option_count = n;
	return SM_OK;
}

/* ---- keyspaces ---- */

static enum sm_err strategy_class(struct cql_context *c, const char *given, const char **ret_class)
{
	static const char prefix[] = "org.apache.cassandra.locator.";
	static const char *const known[] = {"SimpleStrategy", "NetworkTopologyStrategy", "EverywhereStrategy", "LocalStrategy"};
	const char *name = strncmp(given, prefix, sizeof prefix - 1) == 0 ? given + sizeof prefix - 1 : given;
	for (size_t i = 0; i < 2; i++)
		if (strcmp(name, known[i]) == 0) {
			*ret_class = arena_printf(c->arena, "%s%s", prefix, name);
			return *ret_class ? SM_OK : cql__no_memory(c->err, c->arena);
		}
	if (strcmp(name, known[3]) == 0)
		return cql__fail(c->err, CQL_CONFIG_ERROR,
				 "Unable to use given strategy class: LocalStrategy is reserved for internal use.");
	return cql__fail(c->err, CQL_CONFIG_ERROR, "Unable to find replication strategy class '%s%s'", strchr(given, '.') ? "" : prefix,
			 given);
}

static enum sm_err replication(struct cql_context *c, const struct cql_term *t, struct store_keyspace *k)
{
	struct store_option *options = arena_alloc(c->arena, sizeof *options * (t->arg_count / 2 + 2));
	uint32_t n = 1;
	bool factor = false;
	if (!options)
		return cql__no_memory(c->err, c->arena);
	if (t->kind != CQL_TERM_MAP)
		return cql__fail(c->err, CQL_SYNTAX_ERROR, "Invalid value for property 'replication'. It should be a map.");
	for (uint32_t i = 0; i + 1 < t->arg_count; i += 2) {
		const char *name = term_string(c, t->args[i]), *value = term_string(c, t->args[i + 1]);
		if (!name || !value)
			return cql__fail(c->err, CQL_SYNTAX_ERROR,
					 "Invalid value for property 'replication'. It should be a map of strings.");
		if (strcmp(name, "class") == 0) {
			enum sm_err err = strategy_class(c, value, &options[0].value);
			if (err)
				return err;
			options[0].name = "class";
			continue;
		}
		char *end;
		long number = strtol(value, &end, 10);
		if (!*value || *end)
			return cql__fail(c->err, CQL_CONFIG_ERROR, "Replication factor must be numeric; found %.100s", value);
		if (number < 0)
			return cql__fail(c->err, CQL_CONFIG_ERROR, "Replication factor must be non-negative; found %ld", number);
		factor |= strcmp(name, "replication_factor") == 0;
		options[n++] = (struct store_option){name, value};
	}
	if (!options[0].name)
		return cql__fail(c->err, CQL_CONFIG_ERROR, "Missing replication strategy class");
	if (!factor && strstr(options[0].value, "SimpleStrategy"))
		options[n++] = (struct store_option){"replication_factor", "1"};
	k->replication = options;
	k->replication_count = n;
	return SM_OK;
}

static enum sm_err keyspace_options(struct cql_context *c, const struct cql_ddl *ddl, struct store_keyspace *k)
{
	for (uint32_t i = 0; i < ddl->option_count; i++) {
		const struct cql_option *o = &ddl->options[i];
		const char *text = term_string(c, o->value);
		enum sm_err err = SM_OK;
		if (strcmp(o->name, "replication") == 0)
			err = replication(c, o->value, k);
		else if (strcmp(o->name, "durable_writes") == 0 && text &&
			 (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0))
			k->durable_writes = strcasecmp(text, "true") == 0;
		else
			err = cql__fail(c->err, CQL_SYNTAX_ERROR,
					strcmp(o->name, "durable_writes") == 0 ? "Invalid value for property '%s'"
									       : "Unknown property '%s'",
					o->name);
		if (err)
			return err;
	}
	if (!k->replication)
		return cql__fail(c->err, CQL_CONFIG_ERROR, "Missing mandatory option 'replication'");
	return SM_OK;
}

enum sm_err ddl__exists(struct cql_context *c, const char *keyspace, const char *table)
{
	struct cql_error *e = c->err;
	snprintf(e->keyspace, sizeof e->keyspace, "%s", keyspace);
	snprintf(e->table, sizeof e->table, "%s", table ? table : "");
	if (table)
		return cql__fail(e, CQL_ALREADY_EXISTS, "Cannot add already existing table \"%s\" to keyspace \"%s\"", table, keyspace);
	return cql__fail(e, CQL_ALREADY_EXISTS, "Cannot add existing keyspace \"%s\"", keyspace);
}

static enum sm_err absent(struct cql_context *c, const char *keyspace, const char *table)
{
	if (table)
		return cql__fail(c->err, CQL_INVALID, "Table '%s.%s' doesn't exist", keyspace, table);
	return cql__fail(c->err, CQL_INVALID, "Keyspace '%s' doesn't exist", keyspace);
}

static enum sm_err keyspace_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing)
{
	const char *name = ddl->table.keyspace;
	enum sm_err err = cql__check_user_keyspace(c, name);
	if (err)
		return err;
	const struct store_keyspace *old = store_find_keyspace(c->schema, name);
	struct store_keyspace *k = arena_alloc(c->arena, sizeof *k);
	if (!k)
		return cql__no_memory(c->err, c->arena);
	*k = (struct store_keyspace){.name = name, .durable_writes = true};
	change->change.keyspace = name;
	change->change.new_keyspace = k;
	if (ddl->verb == CQL_CREATE) {
		change->change.kind = STORE_CREATE_KEYSPACE;
		if ((err = ddl__check_name(c, "Keyspace", name)) || (err = keyspace_options(c, ddl, k)))
			return err;
		*ret_nothing = old && ddl->if_not_exists;
		return old && !*ret_nothing ? ddl__exists(c, name, NULL) : SM_OK;
	}
	*ret_nothing = !old && ddl->if_exists;
	if (!old)
		return *ret_nothing ? SM_OK : absent(c, name, NULL);
	if (ddl->verb == CQL_DROP) {
		change->change.kind = STORE_DROP_KEYSPACE;
		change->change.new_keyspace = NULL;
		return SM_OK;
	}
	change->change.kind = STORE_ALTER_KEYSPACE;
	k->durable_writes = old->durable_writes;
	k->replication = old->replication;
	k->replication_count = old->replication_count;
	return keyspace_options(c, ddl, k);
}

/* ---- tables ---- */

static bool has_duration(const struct store_type *type)
{
	bool has = type->id == STORE_DURATION;
	for (uint16_t i = 0; !has && i < type->element_count; i++)
		has = has_duration(&type->elements[i]);
	return has;
}

/* A user type with a cell for each field cannot have fields with a cell for each element. */
static bool nests_elements(const struct store_type *type)
{
	bool nests = false;
	for (uint16_t i = 0; type->id == STORE_UDT && !type->frozen && i < type->element_count; i++)
		nests |= store_type_multi_cell(&type->elements[i]);
	return nests;
}

static enum sm_err key_column(struct cql_context *c, const struct cql_ddl *ddl, const char *table, const struct store_type *types,
			      const char *name, struct store_column *out, enum store_column_kind kind, uint16_t position)
{
	uint32_t i = 0;
	while (i < ddl->column_count && strcmp(ddl->columns[i].name, name) != 0)
		i++;
	if (i == ddl->column_count)
		return cql__fail(c->err, CQL_INVALID, "Unknown column '%s' referenced in PRIMARY KEY for table '%s'", name, table);
	const struct store_type *type = &types[i];
	if (ddl->columns[i].is_static)
		return cql__fail(c->err, CQL_INVALID, "Static column '%s' cannot be part of the PRIMARY KEY", name);
	if (store_type_multi_cell(type) && type->id == STORE_UDT)
		return cql__fail(c->err, CQL_INVALID, "Invalid non-frozen user-defined type \"%s.%s\" for PRIMARY KEY column '%s'",
				 type->keyspace, type->name, name);
	if (store_type_multi_cell(type))
		return cql__fail(c->err, CQL_INVALID, "Invalid non-frozen collection type %s for PRIMARY KEY column '%s'",
				 cql_type_text(type, c->arena), name);
	if (type->id == STORE_COUNTER || has_duration(type))
		return cql__fail(c->err, CQL_INVALID, "%s type is not supported for PRIMARY KEY column '%s'",
				 type->id == STORE_COUNTER ? "counter" : "duration", name);
	*out = (struct store_column){.name = ddl->columns[i].name, .type = *type, .kind = kind, .position = position};
	return SM_OK;
}

static int by_kind_and_name(const void *a, const void *b)
{
	const struct store_column *x = a, *y = b;
	return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->name, y->name);
}

/* Static and regular columns behind the keys, by name; positions and counts. */
static void finish_columns(struct store_table *t, struct store_column *columns)
{
	uint16_t keys = (uint16_t)(t->partition_key_count + t->clustering_count);
	qsort(columns + keys, (size_t)t->column_count - keys, sizeof *columns, by_kind_and_name);
	t->static_count = t->regular_count = 0;
	for (uint16_t i = keys; i < t->column_count; i++)
		columns[i].position = columns[i].kind == STORE_STATIC ? t->static_count++ : t->regular_count++;
	t->columns = columns;
}

static enum sm_err clustering_order(struct cql_context *c, const struct cql_ddl *ddl, const struct store_table *t,
				    struct store_column *columns)
{
	if (!ddl->order_count)
		return SM_OK;
	bool matches = ddl->order_count == t->clustering_count;
	for (uint32_t i = 0; i < ddl->order_count; i++) {
		const char *name = ddl->order[i].column;
		bool known = false;
		for (uint16_t k = 0; k < t->clustering_count; k++)
			known |= strcmp(columns[t->partition_key_count + k].name, name) == 0;
		if (!known)
			return cql__fail(
				c->err, CQL_INVALID,
				"Only clustering key columns can be defined in CLUSTERING ORDER directive: [%s] are not clustering columns",
				name);
		matches &= i < t->clustering_count && strcmp(columns[t->partition_key_count + i].name, name) == 0;
	}
	if (!matches)
		return cql__fail(c->err, CQL_INVALID,
				 "The order of columns in the CLUSTERING ORDER directive must match that of the clustering columns");
	for (uint32_t i = 0; i < ddl->order_count; i++)
		columns[t->partition_key_count + i].descending = ddl->order[i].descending;
	return SM_OK;
}

static enum sm_err check_columns(struct cql_context *c, const struct cql_ddl *ddl, const char *table)
{
	for (uint32_t i = 0; i < ddl->column_count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(ddl->columns[i].name, ddl->columns[k].name) == 0)
				return cql__fail(c->err, CQL_INVALID, "Duplicate column '%s' declaration for table '%s'",
						 ddl->columns[i].name, table);
	uint32_t keys = ddl->partition_key_count + ddl->clustering_count;
	for (uint32_t i = 0; i < keys; i++)
		for (uint32_t k = 0; k < i; k++) {
			const char *a = i < ddl->partition_key_count ? ddl->partition_key[i]
								     : ddl->clustering[i - ddl->partition_key_count];
			const char *b = k < ddl->partition_key_count ? ddl->partition_key[k]
								     : ddl->clustering[k - ddl->partition_key_count];
			if (strcmp(a, b) == 0)
				return cql__fail(c->err, CQL_INVALID, "Duplicate column '%s' in PRIMARY KEY clause for table '%s'", a,
						 table);
		}
	return SM_OK;
}

static enum sm_err check_counters(struct cql_context *c, const struct store_table *t)
{
	uint16_t counters = 0, others = 0, first = (uint16_t)(t->partition_key_count + t->clustering_count);
	for (uint16_t i = first; i < t->column_count; i++)
		*(t->columns[i].type.id == STORE_COUNTER ? &counters : &others) += 1;
	if (counters && others)
		return cql__fail(c->err, CQL_INVALID, "Cannot mix counter and non counter columns in the same table");
	return SM_OK;
}

/* After the options: counters do not expire. */
static enum sm_err check_expiry(struct cql_context *c, const struct store_table *t)
{
	if (t->default_ttl_s && cql__has_counters(t))
		return cql__fail(c->err, CQL_INVALID, "Cannot set default_time_to_live on a table with counters");
	return SM_OK;
}

enum sm_err ddl__table(struct cql_context *c, const struct cql_ddl *ddl, const char *keyspace, bool computed,
		       struct store_table **ret_table)
{
	const char *name = ddl->table.name;
	uint32_t keys = ddl->partition_key_count + ddl->clustering_count;
	enum sm_err err;
	if (ddl->column_count > STORE_COLUMNS_MAX || keys > STORE_COLUMNS_MAX)
		return cql__fail(c->err, CQL_INVALID, "A table has at most %d columns", STORE_COLUMNS_MAX);
	struct store_table *t = arena_alloc(c->arena, sizeof *t);
	struct store_type *types = arena_alloc(c->arena, sizeof *types * (ddl->column_count + 1));
	struct store_column *columns = arena_alloc(c->arena, sizeof *columns * (ddl->column_count + keys + 1));
	if (!t || !types || !columns)
		return cql__no_memory(c->err, c->arena);
	for (uint32_t i = 0; i < ddl->column_count; i++)
		if ((err = cql__type_resolve(c, keyspace, ddl->columns[i].type, &types[i])))
			return err;
	if (ddl->primary_keys != 1)
		return cql__fail(c->err, CQL_INVALID, "%s PRIMARY KEY%s specifed for table '%s' (exactly one required)",
				 ddl->primary_keys ? "Multiple" : "No", ddl->primary_keys ? "s" : "", name);
	if ((err = check_columns(c, ddl, name)))
		return err;
	*t = (struct store_table){.keyspace = keyspace, .name = name, .gc_grace_s = 864000};
	t->partition_key_count = (uint16_t)ddl->partition_key_count;
	t->clustering_count = (uint16_t)ddl->clustering_count;
	for (uint32_t i = 0; i < keys; i++) {
		bool partition = i < ddl->partition_key_count;
		uint32_t at = partition ? i : i - ddl->partition_key_count;
		if ((err = key_column(c, ddl, name, types, partition ? ddl->partition_key[at] : ddl->clustering[at], &columns[i],
				      partition ? STORE_PARTITION_KEY : STORE_CLUSTERING, (uint16_t)at)))
			return err;
	}
	t->column_count = (uint16_t)keys;
	for (uint32_t i = 0; i < ddl->column_count; i++) {
		bool key = false;
		for (uint32_t k = 0; k < keys; k++)
			key |= strcmp(columns[k].name, ddl->columns[i].name) == 0;
		if (key)
			continue;
		if (ddl->columns[i].is_static && !t->clustering_count)
			return cql__fail(
				c->err, CQL_INVALID,
				"Static columns are only useful (and thus allowed) if the table has at least one clustering column");
		columns[t->column_count++] = (struct store_column){
			.name = ddl->columns[i].name, .type = types[i], .kind = ddl->columns[i].is_static ? STORE_STATIC : STORE_REGULAR};
	}
	finish_columns(t, columns);
	if ((err = clustering_order(c, ddl, t, columns)) || (err = check_counters(c, t)))
		return err;
	for (uint32_t i = 0; i < ddl->column_count; i++)
		if (nests_elements(&types[i]))
			return cql__fail(c->err, CQL_INVALID, "Non-frozen UDTs with nested non-frozen collections are not supported");
	*ret_table = t;
	err = table_options(c, ddl, t);
	return err ? err : check_expiry(c, t);
}

static struct store_column *find(struct store_column *columns, uint16_t count, const char *name)
{
	for (uint16_t i = 0; i < count; i++)
		if (strcmp(columns[i].name, name) == 0)
			return &columns[i];
	return NULL;
}

static bool counter_table(const struct store_table *t, const struct store_column *columns)
{
	uint16_t first = (uint16_t)(t->partition_key_count + t->clustering_count);
	return first < t->column_count && columns[first].type.id == STORE_COUNTER;
}

static enum sm_err add_columns(struct cql_context *c, const struct cql_ddl *ddl, struct store_table *t, struct store_column *columns,
			       bool *ret_nothing)
{
	uint16_t before = t->column_count;
	for (uint32_t i = 0; i < ddl->column_count; i++) {
		const struct cql_column_def *d = &ddl->columns[i];
		struct store_column new = {.name = d->name, .kind = d->is_static ? STORE_STATIC : STORE_REGULAR};
		enum sm_err err = cql__type_resolve(c, t->keyspace, d->type, &new.type);
		if (err)
			return err;
		if (find(columns, t->column_count, d->name)) {
			if (ddl->column_if_not_exists)
				continue;
			return cql__fail(c->err, CQL_INVALID, "Column with name '%s' already exists", d->name);
		}
		if (d->is_static && !t->clustering_count)
			return cql__fail(
				c->err, CQL_INVALID,
				"Static columns are only useful (and thus allowed) if the table has at least one clustering column");
		bool counters = counter_table(t, columns);
		if (before && counters != (new.type.id == STORE_COUNTER))
			return cql__fail(c->err, CQL_CONFIG_ERROR, "%s.%s: Cannot have a %scounter column (\"%s\") in a %scounter table",
					 t->keyspace, t->name, counters ? "non " : "", d->name, counters ? "" : "non ");
		if (nests_elements(&new.type))
			return cql__fail(c->err, CQL_INVALID,
					 "Non-frozen UDTs with nested non-frozen collections are not supported for column %s", d->name);
		if (t->column_count >= STORE_COLUMNS_MAX)
			return cql__fail(c->err, CQL_INVALID, "A table has at most %d columns", STORE_COLUMNS_MAX);
		columns[t->column_count++] = new;
	}
	*ret_nothing = before == t->column_count;
	return SM_OK;
}

static enum sm_err drop_columns(struct cql_context *c, const struct cql_ddl *ddl, struct store_table *t, struct store_column *columns,
				bool *ret_nothing)
{
	*ret_nothing = true;
	for (uint32_t i = 0; i < ddl->dropped_count; i++) {
		struct store_column *old = find(columns, t->column_count, ddl->dropped[i]);
		if (!old && ddl->column_if_exists)
			continue;
		if (!old)
			return cql__fail(c->err, CQL_INVALID, "Column %s was not found in table '%s.%s'", ddl->dropped[i], t->keyspace,
					 t->name);
		if (old->kind <= STORE_CLUSTERING)
			return cql__fail(c->err, CQL_INVALID, "Cannot drop PRIMARY KEY column %s", old->name);
		if (old->type.id == STORE_UDT && !old->type.frozen)
			return cql__fail(c->err, CQL_INVALID, "Cannot drop non-frozen column %s of user type %s", old->name,
					 old->type.name);
		const char *index = cql__index_of(t, old->name, c->arena);
		if (index)
			return cql__fail(c->err, CQL_INVALID, "Cannot drop column %s because it has dependent secondary indexes (%s)",
					 old->name, index);
		*old = columns[--t->column_count];
		*ret_nothing = false;
	}
	return SM_OK;
}

static enum sm_err rename_columns(struct cql_context *c, const struct cql_ddl *ddl, struct store_table *t, struct store_column *columns)
{
	for (uint32_t i = 0; i + 1 < ddl->renamed_count; i += 2) {
		struct store_column *old = find(columns, t->column_count, ddl->renamed[i]);
		if (!old)
			return cql__fail(c->err, CQL_INVALID, "Column %s was not found in table %s.%s", ddl->renamed[i], t->keyspace,
					 t->name);
		if (old->kind > STORE_CLUSTERING)
			return cql__fail(c->err, CQL_INVALID, "Cannot rename non PRIMARY KEY column %s", old->name);
		if (find(columns, t->column_count, ddl->renamed[i + 1]))
			return cql__fail(c->err, CQL_INVALID,
					 "Cannot rename column %s to %s in table '%s.%s'; another column with that name already exists",
					 ddl->renamed[i], ddl->renamed[i + 1], t->keyspace, t->name);
		const char *index = cql__index_of(t, old->name, c->arena);
		if (index)
			return cql__fail(c->err, CQL_INVALID, "Can't rename column %s because it has dependent secondary indexes (%s)",
					 old->name, index);
		old->name = ddl->renamed[i + 1];
	}
	return SM_OK;
}

enum sm_err ddl__alter_table(struct cql_context *c, const struct cql_ddl *ddl, const struct store_table *old, struct cql_change *change,
			     bool *ret_nothing)
{
	struct store_table *t = arena_alloc(c->arena, sizeof *t);
	struct store_column *columns = arena_alloc(c->arena, sizeof *columns * (old->column_count + ddl->column_count + 1));
	enum sm_err err = SM_OK;
	if (!t || !columns)
		return cql__no_memory(c->err, c->arena);
	*t = *old;
	memcpy(columns, old->columns, sizeof *columns * old->column_count);
	t->columns = columns;
	if (ddl->column_count)
		err = add_columns(c, ddl, t, columns, ret_nothing);
	else if (ddl->dropped_count)
		err = drop_columns(c, ddl, t, columns, ret_nothing);
	else if (ddl->renamed_count)
		err = rename_columns(c, ddl, t, columns);
	if (err)
		return err;
	finish_columns(t, columns);
	change->change.new_table = t;
	change->change.from = old;
	err = table_options(c, ddl, t);
	return err ? err : check_expiry(c, t);
}

/* A view is no table here, and what views show of a table stays. */
static enum sm_err check_views(struct cql_context *c, const struct cql_ddl *ddl, const struct store_keyspace *k,
			       const struct store_table *t)
{
	const char *views = cql__views_of(k, t->name, c->arena);
	bool drop = ddl->verb == CQL_DROP;
	if (cql__view_base(t))
		return cql__fail(c->err, CQL_INVALID,
				 drop ? "Cannot use DROP TABLE on a materialized view. Please use DROP MATERIALIZED VIEW instead."
				      : "Cannot use ALTER TABLE on a materialized view; use ALTER MATERIALIZED VIEW instead");
	if (!views)
		return SM_OK;
	if (drop)
		return cql__fail(c->err, CQL_INVALID, "Cannot drop a table when materialized views still depend on it (%s)", t->keyspace);
	if (ddl->dropped_count)
		return cql__fail(c->err, CQL_INVALID, "Cannot drop column %s on base table %s with materialized views", ddl->dropped[0],
				 t->name);
	if (ddl->renamed_count)
		return cql__fail(c->err, CQL_INVALID, "Renaming columns of a table with materialized views (%s) is not supported yet",
				 views);
	for (uint32_t i = 0; i < k->table_count && ddl->column_count; i++) {
		const char *base = cql__view_base(k->tables[i]);
		if (base && strcmp(base, t->name) == 0 && cql__view_has_all(k->tables[i]))
			return cql__fail(c->err, CQL_INVALID,
					 "Adding columns to a table of which the materialized view %s shows all is not supported yet",
					 k->tables[i]->name);
	}
	return SM_OK;
}

static enum sm_err table_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing)
{
	const char *keyspace, *name = ddl->table.name;
	enum sm_err err = cql__keyspace_of(c, &ddl->table, &keyspace);
	if (err || (err = cql__check_user_keyspace(c, keyspace)))
		return err;
	const struct store_keyspace *k = store_find_keyspace(c->schema, keyspace);
	const struct store_table *old = k ? store_find_table(c->schema, keyspace, name) : NULL;
	struct store_table *t;
	change->change.keyspace = keyspace;
	change->change.table = name;
	switch (ddl->verb) {
	case CQL_CREATE:
		change->change.kind = STORE_CREATE_TABLE;
		if (!k)
			return cql__fail(c->err, CQL_INVALID, "Keyspace '%s' doesn't exist", keyspace);
		*ret_nothing = old && ddl->if_not_exists;
		if (old)
			return *ret_nothing ? SM_OK : ddl__exists(c, keyspace, name);
		if (ddl->compact)
			return cql__fail(c->err, CQL_INVALID, "COMPACT STORAGE tables are not allowed starting with version 4.0");
		if ((err = ddl__check_name(c, "Table", name)) || (err = ddl__table(c, ddl, keyspace, false, &t)))
			return err;
		change->change.new_table = t;
		return SM_OK;
	case CQL_TRUNCATE:
		change->change.kind = STORE_TRUNCATE_TABLE;
		if (!k)
			return cql__fail(c->err, CQL_INVALID, "keyspace %s does not exist", keyspace);
		if (old && cql__view_base(old))
			return cql__fail(c->err, CQL_INVALID,
					 "Cannot TRUNCATE materialized view directly; must truncate base table instead");
		return old ? SM_OK : cql__fail(c->err, CQL_INVALID, "table %s does not exist", name);
	case CQL_DROP:
	case CQL_ALTER: break;
	}
	change->change.kind = ddl->verb == CQL_DROP ? STORE_DROP_TABLE : STORE_ALTER_TABLE;
	*ret_nothing = !old && ddl->if_exists;
	if (!old)
		return *ret_nothing ? SM_OK : absent(c, keyspace, name);
	if ((err = check_views(c, ddl, k, old)))
		return err;
	return ddl->verb == CQL_DROP ? SM_OK : ddl__alter_table(c, ddl, old, change, ret_nothing);
}

enum sm_err cql__build_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *ret_change, bool *ret_nothing)
{
	static const char *const verbs[] = {"CREATED", "UPDATED", "DROPPED", NULL};
	*ret_change = (struct cql_change){.verb = verbs[ddl->verb]};
	*ret_nothing = false;
	switch (ddl->object) {
	case CQL_KEYSPACE: return keyspace_change(c, ddl, ret_change, ret_nothing);
	case CQL_TYPE: return ddl__type_change(c, ddl, ret_change, ret_nothing);
	case CQL_INDEX: return cql__index_change(c, ddl, ret_change, ret_nothing);
	case CQL_VIEW: return cql__view_change(c, ddl, ret_change, ret_nothing);
	case CQL_TABLE: break;
	}
	return table_change(c, ddl, ret_change, ret_nothing);
}

enum sm_err cql__change_failed(struct cql_context *c, const struct cql_change *change, const struct sm_error *error)
{
	const struct store_change *s = &change->change;
	if (s->type)
		return cql__fail(c->err, CQL_INVALID, "%s", error->text);
	if (error->code == SM_EXISTS)
		return ddl__exists(c, s->keyspace, s->kind == STORE_CREATE_KEYSPACE ? NULL : s->table);
	if (error->code == SM_NOT_FOUND)
		return absent(c, s->keyspace, s->table);
	return cql__fail_store(c->err, error->code, error->text);
}
