/* Secondary indexes: their definitions, which restrictions they allow, and which one of them a query is read by. */
#include "cql/index.h"
#include "cql/ddl_internal.h"
#include "cql/view.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- definitions ---- */

static bool is_sai(const char *class)
{
	const char *simple = strrchr(class, '.');
	return strcasecmp(class, "sai") == 0 || strcasecmp(simple ? simple + 1 : class, "StorageAttachedIndex") == 0;
}

/* A definition is four lines: kind, target, class, and the map of options as a literal. */
static bool decode(const struct store_table *table, const struct store_index *x, struct arena *arena, struct cql_index *ret)
{
	char *text = arena_string(arena, x->definition, strlen(x->definition)), *lines[4] = {NULL};
	for (int i = 0; text && i < 4; i++) {
		lines[i] = text;
		text = strchr(text, '\n');
		if (text)
			*text++ = 0;
	}
	if (!lines[3])
		return false;
	*ret = (struct cql_index){.name = x->name,
				  .kind = lines[0],
				  .target = lines[1],
				  .class = lines[2],
				  .options = lines[3],
				  .column = store_find_column(table, x->column),
				  .part = x->part,
				  .folds = x->folds};
	ret->sai = is_sai(ret->class);
	return ret->column;
}

bool cql__index_at(const struct store_table *table, uint32_t n, struct arena *arena, struct cql_index *ret_index)
{
	return n < table->index_count && decode(table, &table->indexes[n], arena, ret_index);
}

const struct store_table *cql__index_table(const struct store_keyspace *k, const char *name, struct arena *arena,
					   struct cql_index *ret_index)
{
	for (uint32_t i = 0; i < k->table_count; i++)
		for (uint32_t n = 0; cql__index_at(k->tables[i], n, arena, ret_index); n++)
			if (strcmp(ret_index->name, name) == 0)
				return k->tables[i];
	return NULL;
}

const char *cql__index_of(const struct store_table *table, const char *column, struct arena *arena)
{
	struct cql_index index;
	for (uint32_t n = 0; cql__index_at(table, n, arena, &index); n++)
		if (strcmp(index.column->name, column) == 0)
			return index.name;
	return NULL;
}

bool cql__indexed(const struct store_table *table, const struct store_column *column, enum cql_operator op, bool entry, struct arena *arena,
		  struct cql_index *ret_index)
{
	struct cql_index index;
	bool found = false, slice = op == CQL_LT || op == CQL_LE || op == CQL_GT || op == CQL_GE;
	bool text = column->type.id == STORE_TEXT || column->type.id == STORE_ASCII;
	bool collection = column->type.id == STORE_LIST || column->type.id == STORE_SET || column->type.id == STORE_MAP;
	for (uint32_t n = 0; cql__index_at(table, n, arena, &index); n++) {
		if (index.column != column)
			continue;
		bool values = strncmp(index.target, "values(", 7) == 0, full = strncmp(index.target, "full(", 5) == 0;
		bool keys = strncmp(index.target, "keys(", 5) == 0, entries = strncmp(index.target, "entries(", 8) == 0;
		bool fits = (op == CQL_EQ && entry == entries && (entry || !collection || full)) ||
			    (slice && index.sai && !text && !collection) || (op == CQL_CONTAINS && values) ||
			    (op == CQL_CONTAINS_KEY && keys);
		if (!fits || (found && !index.sai))
			continue;
		*ret_index = index;
		found = true;
	}
	return found;
}

const char *cql__describe_index(const struct store_table *table, const struct cql_index *index, struct arena *arena)
{
	static const struct store_type type = {.id = STORE_TEXT};
	bool custom = strcmp(index->kind, "CUSTOM") == 0;
	const char *text = arena_printf(arena, "CREATE %sINDEX %s ON %s.%s (%s)%s%s%s%s;", custom ? "CUSTOM " : "",
					cql_quote_name(index->name, arena), cql_quote_name(table->keyspace, arena),
					cql_quote_name(table->name, arena), index->target, custom ? " USING " : "",
					custom ? cql_literal_text(&type, cql__cell_text(arena, index->class), arena) : "",
					*index->options ? " WITH OPTIONS = " : "", index->options);
	return text ? text : "";
}

/* ---- reading by an index ---- */

static bool is_low(enum cql_operator op)
{
	return op == CQL_GT || op == CQL_GE;
}

static bool is_slice(enum cql_operator op)
{
	return op == CQL_LT || op == CQL_LE || is_low(op);
}

/* Equality finds the fewest rows, wherever it stands; of several the first. */
void cql__index_choose(const struct store_table *table, struct cql_where *where, struct arena *arena)
{
	for (uint32_t i = 0; i < where->count; i++) {
		const struct cql_restriction *r = &where->restrictions[i];
		struct cql_index index;
		bool better = !where->by || (is_slice(where->by->op) && !is_slice(r->op));
		if (r->token || r->used || r->column_count != 1 || !better ||
		    !cql__indexed(table, r->columns[0], r->op, r->key != NULL, arena, &index) || index.part == STORE_INDEX_NOTHING)
			continue;
		where->by = r;
		where->by_index = index.name;
	}
	if (!where->by || !is_slice(where->by->op))
		return;
	for (uint32_t i = 0; i < where->count; i++) {
		const struct cql_restriction *r = &where->restrictions[i];
		if (is_slice(r->op) && !r->token && r->column_count == 1 && r->columns[0] == where->by->columns[0] &&
		    is_low(r->op) != is_low(where->by->op))
			where->by_too = r;
	}
}

/* *ret_none: the value is null or unset. */
static enum sm_err bound(struct cql_eval *e, const struct cql_restriction *r, struct store_condition *c, bool *ret_none)
{
	struct store_cell v;
	enum sm_err err = cql__eval(e, r->values[0], &v);
	enum store_bound_kind kind = r->op == CQL_LT || r->op == CQL_GT ? STORE_EXCLUSIVE : STORE_INCLUSIVE;
	if (err)
		return err;
	*ret_none |= v.size < 0;
	if (!is_slice(r->op) || is_low(r->op)) {
		c->from_kind = kind;
		c->from = v;
	}
	if (!is_slice(r->op) || !is_low(r->op)) {
		c->to_kind = kind;
		c->to = v;
	}
	return SM_OK;
}

enum sm_err cql__index_condition(struct cql_eval *e, const struct cql_where *where, struct store_condition *ret_condition, bool *ret_any)
{
	struct store_condition c = {.index = where->by_index, .key = cql__null()};
	bool none = false;
	enum sm_err err = bound(e, where->by, &c, &none);
	if (!err && where->by_too)
		err = bound(e, where->by_too, &c, &none);
	if (!err && where->by->key && !(err = cql__eval(e, where->by->key, &c.key)))
		none |= c.key.size < 0;
	if (err)
		return err;
	*ret_any = !none; /* the filter says what is wrong with null */
	*ret_condition = c;
	return SM_OK;
}

/* ---- CREATE INDEX ---- */

#define ANN_WARNING                                                                                                  \
	"SAI ANN indexes on vector columns are experimental and are not recommended for production use.\n"           \
	"They don't yet support SELECT queries with:\n * Consistency level higher than ONE/LOCAL_ONE.\n * Paging.\n" \
	" * No LIMIT clauses.\n * PER PARTITION LIMIT clauses.\n * GROUP BY clauses.\n * Aggregation functions.\n"   \
	" * Filters on columns without a SAI index."

struct creation {
	struct cql_context *c;
	const struct cql_index_def *def;
	const struct store_table *table;
	const struct store_column *column;
	const char *name, *class, *target, *options;
	bool sai, folds;
};

/* The definition is lines of text, and DESCRIBE prints the class: no other is taken. */
static bool is_sai_class(const char *using)
{
	return strcasecmp(using, "sai") == 0 || strcasecmp(using, "StorageAttachedIndex") == 0 ||
	       strcasecmp(using, "org.apache.cassandra.index.sai.StorageAttachedIndex") == 0;
}

/* As Cassandra names it: without what cannot be in a name. */
static const char *default_name(const struct creation *x)
{
	char *name = arena_printf(x->c->arena, "%s_%s", x->table->name, x->column->name), *to = name;
	for (const char *from = name; from && *from; from++)
		if (isalnum((unsigned char)*from) || *from == '_')
			*to++ = *from;
	if (!name)
		return NULL;
	*to = 0;
	return arena_printf(x->c->arena, "%s_idx", name);
}

static enum sm_err index_class(struct creation *x)
{
	const char *using = x->def->using ? x->def->using : "";
	bool plain = !*using || strcasecmp(using, "legacy_local_table") == 0;
	if (plain && !x->def->custom) {
		x->class = "";
		return SM_OK;
	}
	x->class = using;
	x->sai = is_sai_class(using);
	if (!x->sai)
		return cql__fail(x->c->err, CQL_CONFIG_ERROR, "Unable to find custom indexer class '%s'",
				 *using ? using : "legacy_local_table");
	return SM_OK;
}

static enum sm_err index_target(struct creation *x)
{
	struct cql_error *err = x->c->err;
	const struct store_table *t = x->table;
	const struct cql_index_target *target = &x->def->targets[0];
	if (x->def->target_count > 1) {
		const char *names = "";
		for (uint32_t i = 0; names && i < x->def->target_count; i++)
			names = arena_printf(x->c->arena, "%s%s%s", names, i ? ", " : "", x->def->targets[i].column);
		return x->sai ? cql__fail(err, CQL_INVALID, "A storage-attached index cannot be created over multiple columns: %s",
					  names ? names : "")
			      : cql__fail(err, CQL_INVALID, "Only CUSTOM indexes support multiple columns");
	}
	x->column = store_find_column(t, target->column);
	if (!x->column)
		return cql__fail(err, CQL_INVALID, "Undefined column name %s in table %s.%s", target->column, t->keyspace, t->name);
	const char *quoted = cql_quote_name(x->column->name, x->c->arena), *function = target->function;
	enum store_type_id id = x->column->type.id;
	bool collection = id == STORE_LIST || id == STORE_SET || id == STORE_MAP, frozen = collection && x->column->type.frozen;
	if (collection && !function)
		function = "values";
	bool full = function && strcmp(function, "full") == 0;
	if (x->column->kind == STORE_PARTITION_KEY && t->partition_key_count == 1)
		return cql__fail(err, CQL_INVALID, "Cannot create secondary index on the only partition key column %s", x->column->name);
	if (id == STORE_COUNTER)
		return cql__fail(err, CQL_INVALID, "Secondary indexes are not supported on counter tables");
	if (id == STORE_DURATION)
		return cql__fail(err, CQL_INVALID, "Secondary indexes are not supported on duration columns");
	if (frozen && !full)
		return cql__fail(err, CQL_INVALID,
				 "Cannot create %s() index on frozen column %s. Frozen collections are immutable and must be fully indexed "
				 "by using the 'full(%s)' modifier",
				 function, x->column->name, x->column->name);
	if (full && !frozen)
		return cql__fail(err, CQL_INVALID, "full() indexes can only be created on frozen collections");
	if (function && !collection)
		return cql__fail(err, CQL_INVALID, "Cannot create %s() index on %s. Non-collection columns only support simple indexes",
				 function, x->column->name);
	if (function && id != STORE_MAP && (strcmp(function, "keys") == 0 || strcmp(function, "entries") == 0))
		return cql__fail(err, CQL_INVALID, "Cannot create index on %s of column %s with non-map type", function, x->column->name);
	if (id == STORE_VECTOR && x->sai && x->column->type.elements[0].id != STORE_FLOAT)
		return cql__fail(err, CQL_INVALID, "SAI ANN indexes are only allowed on vector columns with float elements");
	if (id == STORE_UDT && !x->column->type.frozen)
		return cql__fail(err, CQL_INVALID, "Cannot create index on non-frozen UDT column %s", x->column->name);
	for (const char *p = quoted; *p; p++)
		if ((unsigned char)*p < ' ')
			return cql__fail(err, CQL_INVALID, "Cannot create index on a column whose name has control characters");
	x->target = function ? arena_printf(x->c->arena, "%s(%s)", function, quoted) : quoted;
	return x->target ? SM_OK : cql__no_memory(err, x->c->arena);
}

static const char *literal(struct cql_context *c, const char *text)
{
	static const struct store_type type = {.id = STORE_TEXT};
	return cql_literal_text(&type, cql__cell_text(c->arena, text), c->arena);
}

/* What the error of an option calls the index, whose name is not chosen yet. */
static const char *shown_name(const struct creation *x)
{
	return x->def->name ? x->def->name : default_name(x);
}

static enum sm_err boolean_option(struct creation *x, const char *name, const char *value, bool *ret)
{
	*ret = strcasecmp(value, "true") == 0;
	if (!*value)
		return cql__fail(x->c->err, CQL_INVALID, "Empty value for boolean option '%s'", name);
	if (!*ret && strcasecmp(value, "false") != 0)
		return cql__fail(x->c->err, CQL_INVALID, "Illegal value for boolean option '%s': %.100s", name, value);
	return SM_OK;
}

static enum sm_err text_option(struct creation *x, const char *name, const char *value)
{
	bool given;
	if (x->column->type.id != STORE_TEXT && x->column->type.id != STORE_ASCII)
		return cql__fail(x->c->err, CQL_INVALID, "CQL type %s cannot be analyzed.", cql_type_text(&x->column->type, x->c->arena));
	enum sm_err err = boolean_option(x, name, value, &given);
	if (!err && strcmp(name, "case_sensitive") == 0)
		x->folds = !given;
	else if (!err && given)
		return cql__fail(x->c->err, CQL_INVALID, "The index option '%s' is not supported yet", name);
	return err;
}

/* Of a vector's index: what it compares with; the others are a graph's, and there is none here. */
static enum sm_err vector_option(struct creation *x, const char *name, const char *value)
{
	struct cql_error *err = x->c->err;
	bool connections = strcmp(name, "maximum_node_connections") == 0, beam = strcmp(name, "construction_beam_width") == 0;
	if (x->column->type.id != STORE_VECTOR)
		return cql__fail(err, CQL_INVALID, "CQL type %s cannot have vector options", cql_type_text(&x->column->type, x->c->arena));
	if (strcmp(name, "similarity_function") == 0 && strcasecmp(value, "euclidean") != 0 && strcasecmp(value, "dot_product") != 0 &&
	    strcasecmp(value, "cosine") != 0)
		return cql__fail(err, CQL_INVALID,
				 "Similarity function %.100s was not recognized for index %.100s. Valid values are: EUCLIDEAN, "
				 "DOT_PRODUCT, COSINE",
				 value, shown_name(x));
	if (strcmp(name, "optimize_for") == 0 && strcasecmp(value, "latency") != 0 && strcasecmp(value, "recall") != 0)
		return cql__fail(err, CQL_INVALID,
				 "optimize_for '%.100s' was not recognized for index %.100s. Valid values are: latency, recall", value,
				 shown_name(x));
	if (!connections && !beam)
		return SM_OK;
	int most = connections ? 512 : 3200;
	const char *what = connections ? "Maximum number of connections" : "Construction beam width";
	if (!*value || value[strspn(value, "0123456789")] || strlen(value) > 9)
		return cql__fail(err, CQL_INVALID, "%s %.100s is not a valid integer for index %.100s", what, value, shown_name(x));
	if (atoi(value) <= 0 || atoi(value) > most)
		return cql__fail(err, CQL_INVALID, "%s for index %.100s cannot be <= 0 or > %d, was %s", what, shown_name(x), most, value);
	return SM_OK;
}

static enum sm_err one_option(struct creation *x, const char *name, const char *value)
{
	static const char *const texts[] = {"case_sensitive", "normalize", "ascii"};
	static const char *const vectors[] = {"similarity_function", "maximum_node_connections", "construction_beam_width", "optimize_for"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (strcmp(name, texts[i]) == 0)
			return text_option(x, name, value);
	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
		if (strcmp(name, vectors[i]) == 0)
			return vector_option(x, name, value);
	return cql__fail(x->c->err, CQL_CONFIG_ERROR, "Properties specified [%.100s] are not understood by StorageAttachedIndex", name);
}

static enum sm_err index_options(struct creation *x)
{
	struct cql_context *c = x->c;
	const struct cql_term *map = x->def->options;
	const char *text = "";
	x->options = "";
	if (!map || map->arg_count == 0)
		return SM_OK;
	if (map->kind != CQL_TERM_MAP)
		return cql__fail(c->err, CQL_SYNTAX_ERROR, "The options of an index are a map of strings");
	if (!x->sai)
		return cql__fail(c->err, CQL_INVALID, "Cannot specify options for a non-CUSTOM index");
	for (uint32_t i = 0; i + 1 < map->arg_count; i += 2) {
		const struct cql_term *name = map->args[i], *value = map->args[i + 1];
		if (name->kind != CQL_TERM_LITERAL || value->kind != CQL_TERM_LITERAL)
			return cql__fail(c->err, CQL_SYNTAX_ERROR, "The options of an index are a map of strings");
		for (uint32_t k = 0; k < i; k += 2)
			if (bytes_equal(map->args[k]->text, name->text))
				return cql__fail(c->err, CQL_SYNTAX_ERROR, "Multiple definition for property '%s'",
						 cql__term_text(name, c->arena));
		const char *n = arena_string(c->arena, (const char *)name->text.data, name->text.size);
		const char *v = arena_string(c->arena, (const char *)value->text.data, value->text.size);
		if (!n || !v)
			return cql__no_memory(c->err, c->arena);
		enum sm_err err = one_option(x, n, v);
		if (err)
			return err;
		text = text ? arena_printf(c->arena, "%s%s%s: %s", text, i ? ", " : "{", literal(c, n), literal(c, v)) : NULL;
	}
	x->options = text ? arena_printf(c->arena, "%s}", text) : NULL;
	return x->options ? SM_OK : cql__no_memory(c->err, c->arena);
}

static enum sm_err index_name(struct creation *x, const struct store_keyspace *k, bool if_not_exists, bool *ret_nothing)
{
	struct cql_context *c = x->c;
	struct cql_index other;
	x->name = x->def->name;
	enum sm_err err = x->name ? ddl__check_name(c, "Index", x->name) : SM_OK;
	if (err)
		return err;
	if (x->name && cql__index_table(k, x->name, c->arena, &other)) {
		*ret_nothing = if_not_exists;
		return if_not_exists ? SM_OK : cql__fail(c->err, CQL_INVALID, "Index '%s' already exists", x->name);
	}
	const char *base = x->name ? NULL : default_name(x);
	for (uint32_t n = 0; base && !x->name; n++) {
		const char *name = n ? arena_printf(c->arena, "%s_%u", base, n) : base;
		if (!name || !cql__index_table(k, name, c->arena, &other))
			x->name = name;
		if (!name)
			break;
	}
	if (!x->name)
		return cql__no_memory(c->err, c->arena);
	for (uint32_t n = 0; cql__index_at(x->table, n, c->arena, &other); n++)
		if (strcmp(other.target, x->target) == 0 && other.sai == x->sai) {
			*ret_nothing = if_not_exists;
			return if_not_exists ? SM_OK
					     : cql__fail(c->err, CQL_INVALID, "Index %s is a duplicate of existing index %s", x->name,
							 other.name);
		}
	return SM_OK;
}

/* The table with its indexes changed: without the one called dropped, with added. */
static enum sm_err with_indexes(struct cql_context *c, const struct store_table *old, const char *dropped, const struct store_index *added,
				struct cql_change *change)
{
	struct store_table *t = arena_alloc(c->arena, sizeof *t);
	struct store_index *indexes = arena_alloc(c->arena, sizeof *indexes * (old->index_count + 1u));
	if (!t || !indexes)
		return cql__no_memory(c->err, c->arena);
	*t = *old;
	t->index_count = 0;
	for (uint16_t i = 0; i < old->index_count; i++)
		if (!dropped || strcmp(old->indexes[i].name, dropped) != 0)
			indexes[t->index_count++] = old->indexes[i];
	if (added && t->index_count >= STORE_INDEXES_MAX)
		return cql__fail(c->err, CQL_INVALID, "A table has at most %d indexes", STORE_INDEXES_MAX);
	if (added)
		indexes[t->index_count++] = *added;
	t->indexes = indexes;
	change->change = (struct store_change){
		.kind = STORE_ALTER_TABLE, .keyspace = old->keyspace, .table = old->name, .new_table = t, .from = old};
	change->verb = "UPDATED";
	return SM_OK;
}

/* Which of the column's values the store keeps entries for. Neighbours of vectors are not looked for. */
static enum store_index_part part_of(const struct creation *x)
{
	if (x->column->type.id == STORE_VECTOR)
		return STORE_INDEX_NOTHING;
	if (strncmp(x->target, "values(", 7) == 0)
		return STORE_INDEX_VALUES;
	if (strncmp(x->target, "keys(", 5) == 0)
		return STORE_INDEX_KEYS;
	return strncmp(x->target, "entries(", 8) == 0 ? STORE_INDEX_ENTRIES : STORE_INDEX_WHOLE;
}

static enum sm_err create(struct cql_context *c, const struct cql_ddl *ddl, const struct store_keyspace *k, struct cql_change *change,
			  bool *ret_nothing)
{
	struct creation x = {.c = c, .def = ddl->index, .table = store_find_table(c->schema, k->name, ddl->table.name)};
	enum sm_err err;
	if (!x.table)
		return cql__fail(c->err, CQL_INVALID, "Table '%s' doesn't exist", ddl->table.name);
	if (cql__view_base(x.table))
		return cql__fail(c->err, CQL_INVALID, "Secondary indexes on materialized views aren't supported");
	if ((err = index_class(&x)) || (err = index_target(&x)) || (err = index_options(&x)) ||
	    (err = index_name(&x, k, ddl->if_not_exists, ret_nothing)) || *ret_nothing)
		return err;
	struct store_index added = {
		.name = x.name,
		.column = x.column->name,
		.part = part_of(&x),
		.folds = x.folds,
		.definition = arena_printf(c->arena, "%s\n%s\n%s\n%s", x.sai ? "CUSTOM" : "COMPOSITES", x.target, x.class, x.options),
	};
	if (!added.definition)
		return cql__no_memory(c->err, c->arena);
	if (x.sai && x.column->type.id == STORE_VECTOR)
		change->warning = ANN_WARNING;
	return with_indexes(c, x.table, NULL, &added, change);
}

enum sm_err cql__index_change(struct cql_context *c, const struct cql_ddl *ddl, struct cql_change *change, bool *ret_nothing)
{
	const char *keyspace;
	struct cql_index index;
	enum sm_err err = cql__keyspace_of(c, &ddl->table, &keyspace);
	if (err || (err = cql__check_user_keyspace(c, keyspace)))
		return err;
	const struct store_keyspace *k = store_find_keyspace(c->schema, keyspace);
	if (!k && ddl->verb == CQL_CREATE)
		return cql__fail(c->err, CQL_INVALID, "Keyspace '%s' doesn't exist", keyspace);
	if (ddl->verb == CQL_CREATE)
		return create(c, ddl, k, change, ret_nothing);
	const struct store_table *t = k ? cql__index_table(k, ddl->table.name, c->arena, &index) : NULL;
	*ret_nothing = !t && ddl->if_exists;
	if (!t)
		return *ret_nothing ? SM_OK : cql__fail(c->err, CQL_INVALID, "Index '%s.%s' doesn't exist'", keyspace, ddl->table.name);
	return with_indexes(c, t, index.name, NULL, change);
}
