/* What a change of the schema makes: the new picture and the keys that are written. */
#include "store/index.h"
#include <stdlib.h>

/* The new picture's parts while it is made. */
struct draft {
	struct store_keyspace *keyspaces;
	struct store__table **tables;
	uint32_t keyspace_count, table_count;
	struct store__table **made; /* counted; those that the change made */
	uint32_t made_count;
	struct arena arena; /* of types that the change made */
};

/* Remember a table that was made, so that the draft's count of it ends with the draft. */
static void made(struct draft *d, struct store__table *table)
{
	d->made[d->made_count++] = table;
}

static bool name_ok(const char *name)
{
	size_t n = name ? strlen(name) : 0;
	for (size_t i = 0; i < n; i++)
		if (!((name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
		      name[i] == '_'))
			return false;
	return n > 0 && n <= STORE_NAME_BYTES_MAX;
}

static enum sm_err options_ok(const struct store_option *options, uint32_t count, struct sm_error *reterr)
{
	if (count > STORE_OPTIONS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "more than %d options", STORE_OPTIONS_MAX);
	for (uint32_t i = 0; i < count; i++)
		if (strlen(options[i].name) > STORE_OPTION_BYTES_MAX || strlen(options[i].value) > STORE_OPTION_BYTES_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "an option is longer than %d bytes", STORE_OPTION_BYTES_MAX);
	return SM_OK;
}

static enum sm_err draft_init(struct draft *d, const struct store__schema *now)
{
	d->keyspace_count = now->public.keyspace_count;
	d->table_count = now->table_count;
	d->keyspaces = calloc(d->keyspace_count + 1, sizeof *d->keyspaces);
	d->tables = calloc(d->table_count + 1, sizeof *d->tables);
	d->made = calloc(d->table_count + 1, sizeof(struct store__table *));
	if (!d->keyspaces || !d->tables || !d->made)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < d->keyspace_count; i++)
		d->keyspaces[i] = now->public.keyspaces[i];
	for (uint32_t i = 0; i < d->table_count; i++)
		d->tables[i] = now->tables[i];
	return SM_OK;
}

static struct store_keyspace *draft_keyspace(struct draft *d, const char *name)
{
	for (uint32_t i = 0; i < d->keyspace_count; i++)
		if (strcmp(d->keyspaces[i].name, name) == 0)
			return &d->keyspaces[i];
	return NULL;
}

static struct store__table **draft_table(struct draft *d, const char *keyspace, const char *name)
{
	for (uint32_t i = 0; i < d->table_count; i++)
		if (strcmp(d->tables[i]->public.name, name) == 0 && strcmp(d->tables[i]->public.keyspace, keyspace) == 0)
			return &d->tables[i];
	return NULL;
}

static enum sm_err change_keyspace(struct draft *d, const struct store_change *change, struct buf *ops, struct sm_error *reterr)
{
	const struct store_keyspace *new = change->new_keyspace;
	struct store_keyspace *k = draft_keyspace(d, change->keyspace);
	bool create = change->kind == STORE_CREATE_KEYSPACE;
	if (!new)
		return sm_fail(reterr, SM_INVALID, "the change has no keyspace");
	if (create && !name_ok(change->keyspace))
		return sm_fail(reterr, SM_INVALID,
			       "Keyspace name must not be empty, more than %d characters long, or contain non-alphanumeric-underscore "
			       "characters (got \"%s\")",
			       STORE_NAME_BYTES_MAX, change->keyspace);
	if (create && k)
		return sm_fail(reterr, SM_EXISTS, "Keyspace '%s' already exists", change->keyspace);
	if (!create && !k)
		return sm_fail(reterr, SM_NOT_FOUND, "Keyspace '%s' doesn't exist", change->keyspace);
	enum sm_err err = options_ok(new->replication, new->replication_count, reterr);
	if (err)
		return err;
	if (create)
		k = &d->keyspaces[d->keyspace_count++];
	struct store_keyspace changed = {change->keyspace, new->durable_writes, new->replication, new->replication_count, NULL, 0};
	if (!create) {
		changed.types = k->types;
		changed.type_count = k->type_count;
	}
	*k = changed;
	store__put_keyspace(ops, k);
	return SM_OK;
}

static enum sm_err drop_keyspace(struct draft *d, const struct store_change *change, struct buf *ops, struct sm_error *reterr)
{
	struct store_keyspace *k = draft_keyspace(d, change->keyspace);
	if (!k)
		return sm_fail(reterr, SM_NOT_FOUND, "Keyspace '%s' doesn't exist", change->keyspace);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < d->table_count; i++) {
		if (strcmp(d->tables[i]->public.keyspace, change->keyspace) == 0)
			store__delete_table(ops, &d->tables[i]->public);
		else
			d->tables[kept++] = d->tables[i];
	}
	d->table_count = kept;
	for (uint32_t i = 0; i < k->type_count; i++)
		store__delete_udt(ops, k->name, k->types[i].name);
	*k = d->keyspaces[--d->keyspace_count];
	store__delete_keyspace(ops, change->keyspace);
	return SM_OK;
}

static enum sm_err check_table(const struct store_table *t, struct sm_error *reterr)
{
	if (!name_ok(t->name))
		return sm_fail(reterr, SM_INVALID,
			       "Table name must not be empty, more than %d characters long, or contain non-alphanumeric-underscore "
			       "characters (got \"%s\")",
			       STORE_NAME_BYTES_MAX, t->name ? t->name : "");
	if (t->default_ttl_s < 0 || t->default_ttl_s > STORE_TTL_MAX_S)
		return sm_fail(reterr, SM_INVALID, "default_time_to_live must be between 0 and %d (got %d)", STORE_TTL_MAX_S,
			       t->default_ttl_s);
	if (t->gc_grace_s < 0)
		return sm_fail(reterr, SM_INVALID, "gc_grace_seconds must not be negative (got %d)", t->gc_grace_s);
	return options_ok(t->options, t->option_count, reterr);
}

/* Indexes that are new get numbers. empty: they all are, and there is nothing to build. */
static enum sm_err number_indexes(struct draft *d, struct store_table *t, struct store__schema_step *step, bool empty,
				  struct sm_error *reterr)
{
	struct store_index *indexes = arena_alloc(&d->arena, (t->index_count + 1u) * sizeof *indexes);
	if (!indexes)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint16_t i = 0; i < t->index_count; i++) {
		indexes[i] = t->indexes[i];
		enum sm_err err = indexes[i].number ? SM_OK : store__index_new_ok(t, &indexes[i], reterr);
		if (err)
			return err;
		if (!empty && indexes[i].number)
			continue;
		if (step->next_table_number == UINT32_MAX)
			return sm_fail(reterr, SM_TOO_LARGE, "all table numbers are used up");
		indexes[i].number = step->next_table_number++;
		if (empty || indexes[i].part == STORE_INDEX_NOTHING)
			store__index_put_built(&step->ops, indexes[i].number);
	}
	t->indexes = indexes;
	return SM_OK;
}

static const struct store_index *index_by_number(const struct store_table *t, uint32_t number)
{
	for (uint16_t i = 0; i < t->index_count; i++)
		if (t->indexes[i].number == number)
			return &t->indexes[i];
	return NULL;
}

/* Indexes of an altered table: those with a number are as they were, new ones have none, and what is not there any more goes. */
static enum sm_err altered_indexes(struct draft *d, const struct store_table *old, struct store_table *t, struct store__schema_step *step,
				   struct sm_error *reterr)
{
	for (uint16_t i = 0; i < t->index_count; i++) {
		const struct store_index *x = &t->indexes[i], *was = x->number ? index_by_number(old, x->number) : NULL;
		if (x->number && (!was || was->part != x->part || was->folds != x->folds || strcmp(was->column, x->column) != 0))
			return sm_fail(reterr, SM_INVALID, "Index '%s' cannot be changed: drop it and create it anew", x->name);
	}
	for (uint16_t i = 0; i < old->index_count; i++)
		if (!index_by_number(t, old->indexes[i].number))
			store__index_delete(&step->ops, old->indexes[i].number);
	return number_indexes(d, t, step, false, reterr);
}

static enum sm_err create_table(struct draft *d, const struct store_change *change, struct store__schema_step *step,
				struct sm_error *reterr)
{
	if (!change->new_table)
		return sm_fail(reterr, SM_INVALID, "the change has no table");
	if (!draft_keyspace(d, change->keyspace))
		return sm_fail(reterr, SM_NOT_FOUND, "Keyspace '%s' doesn't exist", change->keyspace);
	if (draft_table(d, change->keyspace, change->table))
		return sm_fail(reterr, SM_EXISTS, "Table '%s.%s' already exists", change->keyspace, change->table);
	if (step->next_table_number == UINT32_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "all table numbers are used up");
	struct store_table t = *change->new_table;
	t.keyspace = change->keyspace;
	t.name = change->table;
	enum sm_err err = check_table(&t, reterr);
	if (err)
		return err;
	if (t.column_count > STORE_COLUMNS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "table '%s.%s' has %u columns; at most %d are allowed", t.keyspace, t.name,
			       t.column_count, STORE_COLUMNS_MAX);
	struct store_column *columns = calloc((size_t)t.column_count + 1, sizeof *columns);
	if (!columns)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint16_t i = 0; i < t.column_count; i++) {
		columns[i] = t.columns[i];
		columns[i].id = i + 1u;
	}
	t.columns = columns;
	t.number = step->next_table_number++;
	uuid_random(&t.id);
	struct store__table *table;
	err = number_indexes(d, &t, step, true, reterr);
	if (!err)
		err = store__table_new(&t, t.column_count + 1u, NULL, &table, reterr);
	free(columns);
	if (err)
		return err;
	d->tables[d->table_count++] = table;
	made(d, table);
	store__put_table(&step->ops, table);
	return SM_OK;
}

static const struct store_column *column_by_id(const struct store_table *t, uint32_t id)
{
	for (uint16_t i = 0; i < t->column_count; i++)
		if (t->columns[i].id == id)
			return &t->columns[i];
	return NULL;
}

/* A column of an altered table against the one that has its id. */
static enum sm_err check_altered(const struct store_table *old, const struct store_column *c, struct sm_error *reterr)
{
	if (c->id == 0) {
		if (c->kind == STORE_PARTITION_KEY || c->kind == STORE_CLUSTERING)
			return sm_fail(reterr, SM_INVALID, "Cannot add a column to the PRIMARY KEY (%s)", c->name);
		return SM_OK;
	}
	const struct store_column *was = column_by_id(old, c->id);
	if (!was)
		return sm_fail(reterr, SM_INVALID, "column '%s' has an id that table '%s.%s' does not have", c->name, old->keyspace,
			       old->name);
	if (was->kind != c->kind || !store_type_equal(&was->type, &c->type))
		return sm_fail(reterr, SM_INVALID, "Cannot alter the type or kind of column '%s'", was->name);
	if (c->kind <= STORE_CLUSTERING && (was->position != c->position || was->descending != c->descending))
		return sm_fail(reterr, SM_INVALID, "Cannot change the place or order of PRIMARY KEY column '%s'", was->name);
	if (c->kind > STORE_CLUSTERING && strcmp(was->name, c->name) != 0)
		return sm_fail(reterr, SM_INVALID, "Cannot rename non PRIMARY KEY column %s", was->name);
	return SM_OK;
}

static enum sm_err altered_columns(const struct store__table *old, const struct store_table *t, struct store_column *columns,
				   uint32_t *ret_next_id, struct sm_error *reterr)
{
	uint32_t keys = 0, next_id = old->next_column_id;
	for (uint16_t i = 0; i < t->column_count; i++) {
		columns[i] = t->columns[i];
		enum sm_err err = check_altered(&old->public, &columns[i], reterr);
		if (err)
			return err;
		for (uint16_t j = 0; j < i; j++)
			if (columns[i].id && columns[j].id == columns[i].id)
				return sm_fail(reterr, SM_INVALID, "column '%s' is there twice", columns[i].name);
		keys += columns[i].kind <= STORE_CLUSTERING;
	}
	for (uint16_t i = 0; i < t->column_count; i++)
		if (columns[i].id == 0)
			columns[i].id = next_id++;
	if (keys != (uint32_t)old->public.partition_key_count + old->public.clustering_count)
		return sm_fail(reterr, SM_INVALID, "Cannot drop a PRIMARY KEY column of table '%s.%s'", old->public.keyspace,
			       old->public.name);
	*ret_next_id = next_id;
	return SM_OK;
}

static enum sm_err alter_table(struct draft *d, const struct store_change *change, struct store__schema_step *step, struct sm_error *reterr)
{
	struct store__table **at = draft_table(d, change->keyspace, change->table), *table = NULL;
	if (!at)
		return sm_fail(reterr, SM_NOT_FOUND, "Table '%s.%s' doesn't exist", change->keyspace, change->table);
	if (!change->new_table)
		return sm_fail(reterr, SM_INVALID, "the change has no table");
	struct store__table *old = *at;
	if (change->from && change->from != &old->public) /* what was made from another would undo what came between */
		return sm_fail(reterr, SM_CONFLICT, "Table '%s.%s' was changed by another statement at the same time", change->keyspace,
			       change->table);
	struct store_table t = *change->new_table;
	t.keyspace = change->keyspace;
	t.name = change->table;
	t.id = old->public.id;
	t.number = old->public.number;
	if (t.column_count > STORE_COLUMNS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "table '%s.%s' has %u columns; at most %d are allowed", t.keyspace, t.name,
			       t.column_count, STORE_COLUMNS_MAX);
	enum sm_err err = check_table(&t, reterr);
	if (err)
		return err;
	struct store_column *columns = calloc((size_t)t.column_count + 1, sizeof *columns);
	if (!columns)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	uint32_t next_id = 0;
	err = altered_columns(old, &t, columns, &next_id, reterr);
	t.columns = columns;
	if (!err)
		err = altered_indexes(d, &old->public, &t, step, reterr);
	if (!err)
		err = store__table_new(&t, next_id, old->state, &table, reterr);
	free(columns);
	if (err)
		return err;
	*at = table;
	made(d, table);
	store__put_table(&step->ops, table);
	return SM_OK;
}

static enum sm_err drop_table(struct draft *d, const struct store_change *change, struct store__schema_step *step, struct sm_error *reterr)
{
	struct store__table **at = draft_table(d, change->keyspace, change->table);
	if (!at)
		return sm_fail(reterr, SM_NOT_FOUND, "Table '%s.%s' doesn't exist", change->keyspace, change->table);
	store__delete_table(&step->ops, &(*at)->public);
	*at = d->tables[--d->table_count];
	return SM_OK;
}

/* The table gets a new number and starts empty; what stands under the old one is deleted as a whole. */
static enum sm_err truncate_table(struct draft *d, const struct store_change *change, struct store__schema_step *step,
				  struct sm_error *reterr)
{
	struct store__table **at = draft_table(d, change->keyspace, change->table), *table;
	if (!at)
		return sm_fail(reterr, SM_NOT_FOUND, "Table '%s.%s' doesn't exist", change->keyspace, change->table);
	if (step->next_table_number == UINT32_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "all table numbers are used up");
	struct store_table t = (*at)->public;
	step->truncated_from = t.number;
	step->truncated_to = t.number = step->next_table_number++;
	enum sm_err err = number_indexes(d, &t, step, true, reterr);
	if (err || (err = store__table_new(&t, (*at)->next_column_id, NULL, &table, reterr)))
		return err;
	store__delete_table(&step->ops, &(*at)->public);
	*at = table;
	made(d, table);
	store__put_table(&step->ops, table);
	return SM_OK;
}

/* ---- user types ---- */

/* Fields may be new at the end and have new names; those that were there stay, with their types. */
static enum sm_err check_type(const struct store_type *old, const struct store_type *t, struct sm_error *reterr)
{
	if (t->id != STORE_UDT || t->frozen || !t->element_count || !t->fields)
		return sm_fail(reterr, SM_INVALID, "the change has no type with fields");
	for (uint16_t i = 0; i < t->element_count; i++)
		for (uint16_t k = 0; k < i; k++)
			if (strcmp(t->fields[i], t->fields[k]) == 0)
				return sm_fail(reterr, SM_INVALID, "Duplicate field name '%s' in type '%s'", t->fields[i], t->name);
	for (uint16_t i = 0; old && i < old->element_count; i++)
		if (i >= t->element_count || !store_type_equal(&old->elements[i], &t->elements[i]))
			return sm_fail(reterr, SM_INVALID, "Field '%s' of type '%s' cannot be dropped or altered", old->fields[i],
				       old->name);
	return SM_OK;
}

static enum sm_err type_in_use(struct draft *d, const struct store_keyspace *k, const char *name, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < k->type_count; i++)
		if (strcmp(k->types[i].name, name) != 0 && store_type_uses(&k->types[i], k->name, name))
			return sm_fail(reterr, SM_INVALID, "Cannot drop user type '%s.%s' as it is still used by user types %s", k->name,
				       name, k->types[i].name);
	for (uint32_t i = 0; i < d->table_count; i++) {
		const struct store_table *t = &d->tables[i]->public;
		for (uint16_t n = 0; n < t->column_count; n++)
			if (store_type_uses(&t->columns[n].type, k->name, name))
				return sm_fail(reterr, SM_INVALID, "Cannot drop user type '%s.%s' as it is still used by tables %s",
					       k->name, name, t->name);
	}
	return SM_OK;
}

static bool table_uses(const struct store_table *t, const struct store_type *type)
{
	for (uint16_t i = 0; i < t->column_count; i++)
		if (store_type_uses(&t->columns[i].type, type->keyspace, type->name))
			return true;
	return false;
}

/* The tables that use the type get it as it is now. */
static enum sm_err retype_tables(struct draft *d, const struct store_type *type, struct buf *ops, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < d->table_count; i++) {
		struct store__table *old = d->tables[i], *table;
		struct store_table t = old->public;
		if (!table_uses(&t, type))
			continue;
		struct store_column *columns = arena_copy(&d->arena, t.columns, t.column_count * sizeof *columns);
		if (!columns)
			return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		for (uint16_t n = 0; n < t.column_count; n++)
			if (!store__type_copy(&t.columns[n].type, type, &d->arena, &columns[n].type))
				return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		t.columns = columns;
		enum sm_err err = store__table_new(&t, old->next_column_id, old->state, &table, reterr);
		if (err)
			return err;
		d->tables[i] = table;
		made(d, table);
		store__put_table(ops, table);
	}
	return SM_OK;
}

/* The keyspace's types with one more, one other or one less. */
static enum sm_err retype_keyspace(struct draft *d, struct store_keyspace *k, const struct store_change *change,
				   const struct store_type *type, struct buf *ops, struct sm_error *reterr)
{
	struct store_type *types = arena_alloc(&d->arena, (k->type_count + 1) * sizeof *types);
	uint32_t n = 0;
	if (!types)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < k->type_count; i++) {
		if (strcmp(k->types[i].name, change->type) == 0)
			continue;
		if (!store__type_copy(&k->types[i], type, &d->arena, &types[n]))
			return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
		if (type && store_type_uses(&types[n], k->name, change->type))
			store__put_udt(ops, &types[n]);
		n++;
	}
	if (type)
		types[n++] = *type;
	k->types = types;
	k->type_count = n;
	return SM_OK;
}

static enum sm_err change_type(struct draft *d, const struct store_change *change, struct store__schema_step *step, struct sm_error *reterr)
{
	struct store_keyspace *k = draft_keyspace(d, change->keyspace);
	if (!k)
		return sm_fail(reterr, SM_NOT_FOUND, "Keyspace '%s' doesn't exist", change->keyspace);
	const struct store_type *old = store_find_type(k, change->type);
	enum sm_err err;
	if (change->kind == STORE_CREATE_TYPE && old)
		return sm_fail(reterr, SM_EXISTS, "A user type with name '%s' already exists", change->type);
	if (change->kind == STORE_CREATE_TYPE && k->type_count >= STORE_TYPES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "keyspace '%s' has %d types already, and more are not allowed", k->name,
			       STORE_TYPES_MAX);
	if (change->kind != STORE_CREATE_TYPE && !old)
		return sm_fail(reterr, SM_NOT_FOUND, "Type '%s.%s' doesn't exist", change->keyspace, change->type);
	if (change->kind == STORE_DROP_TYPE) {
		store__delete_udt(&step->ops, k->name, change->type);
		err = type_in_use(d, k, change->type, reterr);
		return err ? err : retype_keyspace(d, k, change, NULL, &step->ops, reterr);
	}
	if (!change->new_type)
		return sm_fail(reterr, SM_INVALID, "the change has no type");
	struct store_type *type = arena_copy(&d->arena, change->new_type, sizeof *type);
	if (!type)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	type->keyspace = change->keyspace;
	type->name = change->type;
	if ((err = check_type(old, type, reterr)))
		return err;
	store__put_udt(&step->ops, type);
	if ((err = retype_keyspace(d, k, change, type, &step->ops, reterr)))
		return err;
	return old ? retype_tables(d, type, &step->ops, reterr) : SM_OK;
}

static enum sm_err change_draft(struct draft *d, const struct store_change *change, struct store__schema_step *step,
				struct sm_error *reterr)
{
	switch (change->kind) {
	case STORE_CREATE_KEYSPACE:
	case STORE_ALTER_KEYSPACE: return change_keyspace(d, change, &step->ops, reterr);
	case STORE_DROP_KEYSPACE: return drop_keyspace(d, change, &step->ops, reterr);
	case STORE_CREATE_TABLE: return create_table(d, change, step, reterr);
	case STORE_ALTER_TABLE: return alter_table(d, change, step, reterr);
	case STORE_DROP_TABLE: return drop_table(d, change, step, reterr);
	case STORE_TRUNCATE_TABLE: return truncate_table(d, change, step, reterr);
	case STORE_CREATE_TYPE:
	case STORE_ALTER_TYPE:
	case STORE_DROP_TYPE: return change_type(d, change, step, reterr);
	}
	return sm_fail(reterr, SM_INVALID, "no such change of the schema: %d", change->kind);
}

enum sm_err store__schema_change(const struct store__schema *now, uint32_t next_table_number, const struct store_change *change,
				 struct store__schema_step *ret_step, struct sm_error *reterr)
{
	struct draft d = {0};
	struct store__schema_step step = {.next_table_number = next_table_number};
	bool type_change = change->kind >= STORE_CREATE_TYPE, table_change = change->kind >= STORE_CREATE_TABLE && !type_change;
	if (!change->keyspace || (table_change && !change->table) || (type_change && !change->type))
		return sm_fail(reterr, SM_INVALID, "the change names no %s",
			       !change->keyspace ? "keyspace"
			       : type_change     ? "type"
						 : "table");
	arena_init(&d.arena, 0);
	buf_init(&step.ops);
	enum sm_err err = draft_init(&d, now);
	if (err)
		sm_fail(reterr, err, "out of memory");
	else
		err = change_draft(&d, change, &step, reterr);
	if (!err) {
		struct uuid version;
		uuid_random(&version);
		store__put_schema(&step.ops, version, step.next_table_number);
		err = store__schema_new(d.keyspaces, d.keyspace_count, d.tables, d.table_count, version, &step.schema, reterr);
		if (!err && step.ops.failed)
			err = sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	for (uint32_t i = 0; i < d.made_count; i++) /* the picture has counted them */
		store__table_unref(d.made[i]);
	free(d.made);
	arena_done(&d.arena);
	free(d.keyspaces);
	free(d.tables);
	if (err) {
		store__schema_step_done(&step);
		return err;
	}
	*ret_step = step;
	return SM_OK;
}

void store__schema_step_done(struct store__schema_step *step)
{
	store__schema_unref(step->schema);
	buf_done(&step->ops);
	*step = (struct store__schema_step){0};
}
