/* Pictures of the schema: counted, immutable. A change makes a new picture that shares the tables which it did not touch. */
#include "store/index.h"
#include <assert.h>
#include <stdlib.h>

/* ---- look-ups ---- */

const struct store_keyspace *store_find_keyspace(const struct store_schema *schema, const char *keyspace)
{
	for (uint32_t low = 0, high = schema->keyspace_count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		int c = strcmp(keyspace, schema->keyspaces[middle].name);
		if (c == 0)
			return &schema->keyspaces[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct store_table *store_find_table(const struct store_schema *schema, const char *keyspace, const char *table)
{
	const struct store_keyspace *k = store_find_keyspace(schema, keyspace);
	for (uint32_t low = 0, high = k ? k->table_count : 0; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		int c = strcmp(table, k->tables[middle]->name);
		if (c == 0)
			return k->tables[middle];
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const char *store_view_base(const struct store_table *table)
{
	for (uint32_t i = 0; i < table->option_count; i++)
		if (strcmp(table->options[i].name, STORE_VIEW_BASE) == 0)
			return table->options[i].value;
	return NULL;
}

enum sm_err store_check_no_view(const struct store_table *table, bool writes, struct sm_error *reterr)
{
	const char *base = store_view_base(table);
	if (!base)
		return SM_OK;
	return sm_fail(reterr, SM_INVALID, "%s.%s is a materialized view: %s its table %s.%s", table->keyspace, table->name,
		       writes ? "write" : "read", table->keyspace, base);
}

const struct store_column *store_find_column(const struct store_table *table, const char *column)
{
	for (uint16_t i = 0; i < table->column_count; i++)
		if (strcmp(table->columns[i].name, column) == 0)
			return &table->columns[i];
	return NULL;
}

const struct store_type *store_find_type(const struct store_keyspace *keyspace, const char *name)
{
	for (uint32_t i = 0; i < keyspace->type_count; i++)
		if (strcmp(keyspace->types[i].name, name) == 0)
			return &keyspace->types[i];
	return NULL;
}

struct store__table *store__schema_table(const struct store__schema *schema, uint32_t number)
{
	for (uint32_t low = 0, high = schema->table_count; low < high;) {
		uint32_t middle = low + (high - low) / 2, at = schema->by_number[middle]->public.number;
		if (at == number)
			return schema->by_number[middle];
		if (number < at)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* ---- tables ---- */

static int compare_columns(const void *a, const void *b)
{
	const struct store_column *x = a, *y = b;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->kind <= STORE_CLUSTERING)
		return (x->position > y->position) - (x->position < y->position);
	return strcmp(x->name, y->name);
}

static const struct store_option *copy_options(struct arena *arena, const struct store_option *from, uint32_t count)
{
	struct store_option *to = arena_alloc(arena, (count ? count : 1) * sizeof *to);
	for (uint32_t i = 0; to && i < count; i++) {
		to[i].name = arena_string(arena, from[i].name, strlen(from[i].name));
		to[i].value = arena_string(arena, from[i].value, strlen(from[i].value));
		if (!to[i].name || !to[i].value)
			return NULL;
	}
	return to;
}

static enum sm_err check_columns(const struct store_table *t, struct sm_error *reterr)
{
	if (t->partition_key_count == 0)
		return sm_fail(reterr, SM_INVALID, "No PRIMARY KEY specified for table '%s.%s' (exactly one required)", t->keyspace,
			       t->name);
	if (t->static_count && !t->clustering_count)
		return sm_fail(reterr, SM_INVALID,
			       "Static columns are only useful (and thus allowed) if the table has at least one clustering column");
	uint16_t keys = (uint16_t)(t->partition_key_count + t->clustering_count);
	for (uint16_t i = keys; i < t->column_count; i++)
		if ((t->columns[i].type.id == STORE_COUNTER) != (t->columns[keys].type.id == STORE_COUNTER))
			return sm_fail(reterr, SM_INVALID, "Cannot mix counter and non counter columns in the same table");
	for (uint16_t i = 0; i < t->column_count; i++) {
		const struct store_column *c = &t->columns[i];
		size_t size = strlen(c->name);
		if (size == 0 || size > STORE_COLUMN_NAME_BYTES_MAX)
			return sm_fail(reterr, SM_INVALID, "a column name of table '%s.%s' has %zu bytes; 1 to %d are allowed", t->keyspace,
				       t->name, size, STORE_COLUMN_NAME_BYTES_MAX);
		if (store__type_size(&c->type) == STORE_SIZE_UNSUPPORTED)
			return sm_fail(reterr, SM_UNSUPPORTED, "column '%s': its type (0x%02x) is not supported yet", c->name, c->type.id);
		if (c->kind <= STORE_CLUSTERING &&
		    (c->type.id == STORE_COUNTER || c->type.id == STORE_DURATION || store_type_multi_cell(&c->type)))
			return sm_fail(reterr, SM_UNSUPPORTED, "PRIMARY KEY column '%s': values of its type (0x%02x) cannot be keys",
				       c->name, c->type.id);
		for (uint16_t j = 0; j < i; j++)
			if (strcmp(t->columns[j].name, c->name) == 0)
				return sm_fail(reterr, SM_INVALID, "Duplicate column '%s' declaration for table '%s'", c->name, t->name);
	}
	return SM_OK;
}

/* Copies the columns in their order, numbers the positions and counts the kinds. */
static enum sm_err copy_columns(struct store__table *t, const struct store_table *from, struct sm_error *reterr)
{
	struct store_column *columns = arena_alloc(&t->arena, (from->column_count ? from->column_count : 1) * sizeof *columns);
	if (!columns)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint16_t i = 0; i < from->column_count; i++) {
		columns[i] = from->columns[i];
		columns[i].name = arena_string(&t->arena, from->columns[i].name, strlen(from->columns[i].name));
		if (!columns[i].name || !store__type_copy(&from->columns[i].type, NULL, &t->arena, &columns[i].type))
			return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	qsort(columns, from->column_count, sizeof *columns, compare_columns);
	uint16_t counts[4] = {0};
	for (uint16_t i = 0; i < from->column_count; i++) {
		if (columns[i].kind != STORE_CLUSTERING)
			columns[i].descending = false;
		columns[i].position = counts[columns[i].kind]++;
	}
	t->public.columns = columns;
	t->public.column_count = from->column_count;
	t->public.partition_key_count = counts[STORE_PARTITION_KEY];
	t->public.clustering_count = counts[STORE_CLUSTERING];
	t->public.static_count = counts[STORE_STATIC];
	t->public.regular_count = counts[STORE_REGULAR];
	return check_columns(&t->public, reterr);
}

static bool index_columns(struct store__table *t)
{
	for (uint16_t i = 0; i < t->public.clustering_count; i++)
		t->loses_form |= store__loses_form(&t->public.columns[t->public.partition_key_count + i].type);
	t->column_of_id = arena_alloc(&t->arena, t->next_column_id * sizeof *t->column_of_id);
	if (!t->column_of_id)
		return false;
	for (uint32_t i = 0; i < t->next_column_id; i++)
		t->column_of_id[i] = STORE_NO_COLUMN;
	for (uint16_t i = 0; i < t->public.column_count; i++) {
		assert(t->public.columns[i].id < t->next_column_id);
		t->column_of_id[t->public.columns[i].id] = i;
	}
	return true;
}

enum sm_err store__table_new(const struct store_table *from, uint32_t next_column_id, struct store__table_state *state,
			     struct store__table **ret_table, struct sm_error *reterr)
{
	enum sm_err err;
	if (from->column_count > STORE_COLUMNS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "table '%s.%s' has %u columns; at most %d are allowed", from->keyspace, from->name,
			       from->column_count, STORE_COLUMNS_MAX);
	if (next_column_id > STORE_COLUMN_IDS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "table '%s.%s' has had %d columns; make a new table", from->keyspace, from->name,
			       STORE_COLUMN_IDS_MAX);
	if (from->option_count > STORE_OPTIONS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "table '%s.%s' has more than %d options", from->keyspace, from->name,
			       STORE_OPTIONS_MAX);
	struct store__table *t = calloc(1, sizeof *t);
	struct store__table_state *own = state ? NULL : calloc(1, sizeof *own);
	if (!t || (!state && !own)) {
		free(own);
		free(t);
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	t->state = state ? state : own;
	atomic_fetch_add(&t->state->refs, 1);
	atomic_store(&t->refs, 1);
	arena_init(&t->arena, 0);
	t->next_column_id = next_column_id;
	t->public = *from;
	t->public.keyspace = arena_string(&t->arena, from->keyspace, strlen(from->keyspace));
	t->public.name = arena_string(&t->arena, from->name, strlen(from->name));
	t->public.options = copy_options(&t->arena, from->options, from->option_count);
	if (!t->public.keyspace || !t->public.name || !t->public.options)
		err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	else if (!(err = copy_columns(t, from, reterr)) && !index_columns(t))
		err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (!err)
		err = store__indexes_copy(t, from, reterr);
	if (err) {
		store__table_unref(t);
		return err;
	}
	*ret_table = t;
	return SM_OK;
}

struct store__table *store__table_ref(struct store__table *table)
{
	atomic_fetch_add(&table->refs, 1);
	return table;
}

static void state_unref(struct store__table_state *state)
{
	if (atomic_fetch_sub(&state->refs, 1) == 1)
		free(state);
}

void store__table_share_state(struct store__table *table, struct store__table *with)
{
	if (atomic_load(&table->state->deletions))
		atomic_store(&with->state->deletions, true);
	state_unref(table->state);
	atomic_fetch_add(&with->state->refs, 1);
	table->state = with->state;
}

void store__table_unref(struct store__table *table)
{
	if (!table || atomic_fetch_sub(&table->refs, 1) != 1)
		return;
	state_unref(table->state);
	arena_done(&table->arena);
	free(table);
}

/* ---- pictures ---- */

static int compare_tables(const void *a, const void *b)
{
	const struct store__table *const *x = a, *const *y = b;
	int c = strcmp((*x)->public.keyspace, (*y)->public.keyspace);
	return c ? c : strcmp((*x)->public.name, (*y)->public.name);
}

static int compare_numbers(const void *a, const void *b)
{
	const struct store__table *const *x = a, *const *y = b;
	return ((*x)->public.number > (*y)->public.number) - ((*x)->public.number < (*y)->public.number);
}

static int compare_keyspaces(const void *a, const void *b)
{
	return strcmp(((const struct store_keyspace *)a)->name, ((const struct store_keyspace *)b)->name);
}

static int compare_types(const void *a, const void *b)
{
	return strcmp(((const struct store_type *)a)->name, ((const struct store_type *)b)->name);
}

static const struct store_type *copy_types(struct arena *arena, const struct store_type *from, uint32_t count)
{
	struct store_type *to = arena_alloc(arena, (count ? count : 1) * sizeof *to);
	for (uint32_t i = 0; to && i < count; i++)
		if (!store__type_copy(&from[i], NULL, arena, &to[i]))
			return NULL;
	if (to)
		qsort(to, count, sizeof *to, compare_types);
	return to;
}

static bool copy_keyspaces(struct store__schema *s, const struct store_keyspace *from, uint32_t count)
{
	struct store_keyspace *to = arena_alloc(&s->arena, (count ? count : 1) * sizeof *to);
	if (!to)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		to[i] = from[i];
		to[i].name = arena_string(&s->arena, from[i].name, strlen(from[i].name));
		to[i].replication = copy_options(&s->arena, from[i].replication, from[i].replication_count);
		to[i].types = copy_types(&s->arena, from[i].types, from[i].type_count);
		if (!to[i].name || !to[i].replication || !to[i].types)
			return false;
	}
	qsort(to, count, sizeof *to, compare_keyspaces);
	/* both are in the order of the keyspaces' names: each takes its run of tables */
	for (uint32_t i = 0, at = 0; i < count; i++) {
		/* a struct store__table begins with its store_table, so the array of one is an array of the other */
		to[i].tables = (const struct store_table *const *)(s->tables + at);
		to[i].table_count = 0;
		for (; at < s->table_count && strcmp(s->tables[at]->public.keyspace, to[i].name) == 0; at++)
			to[i].table_count++;
	}
	s->public.keyspaces = to;
	s->public.keyspace_count = count;
	return true;
}

enum sm_err store__schema_new(const struct store_keyspace *keyspaces, uint32_t keyspace_count, struct store__table *const *tables,
			      uint32_t table_count, struct uuid version, struct store__schema **ret_schema, struct sm_error *reterr)
{
	if (keyspace_count > STORE_KEYSPACES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "there are %d keyspaces already, and more are not allowed", STORE_KEYSPACES_MAX);
	if (table_count > STORE_TABLES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "there are %d tables already, and more are not allowed", STORE_TABLES_MAX);
	struct store__schema *s = calloc(1, sizeof *s);
	if (!s)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	arena_init(&s->arena, 0);
	atomic_store(&s->refs, 1);
	s->public.version = version;
	size_t bytes = (table_count ? table_count : 1) * sizeof *s->tables;
	s->tables = arena_alloc(&s->arena, bytes);
	s->by_number = arena_alloc(&s->arena, bytes);
	if (!s->tables || !s->by_number)
		goto no_memory;
	for (uint32_t i = 0; i < table_count; i++)
		s->tables[i] = s->by_number[i] = store__table_ref(tables[i]);
	s->table_count = table_count;
	qsort(s->tables, table_count, sizeof *s->tables, compare_tables);
	qsort(s->by_number, table_count, sizeof *s->by_number, compare_numbers);
	if (!copy_keyspaces(s, keyspaces, keyspace_count))
		goto no_memory;
	*ret_schema = s;
	return SM_OK;
no_memory:
	store__schema_unref(s);
	return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
}

struct store__schema *store__schema_ref(struct store__schema *schema)
{
	atomic_fetch_add(&schema->refs, 1);
	return schema;
}

void store__schema_unref(struct store__schema *schema)
{
	if (!schema || atomic_fetch_sub(&schema->refs, 1) != 1)
		return;
	for (uint32_t i = 0; i < schema->table_count; i++)
		store__table_unref(schema->tables[i]);
	arena_done(&schema->arena);
	free(schema);
}
