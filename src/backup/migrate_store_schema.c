/* What is to be copied, and the target's definitions: the source's own words, as DESCRIBE gives them. */
#include "backup/migrate_store_internal.h"
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#define OWN_KEYSPACE "smack_system"

/* ---- choosing ---- */

/* Tables of the engine on a real Cassandra that have no sense elsewhere. */
static bool is_engines(const char *keyspace, const char *table)
{
	static const char *const names[] = {"store_job", "store_journal", "store_batch"};
	for (size_t i = 0; i < sizeof names / sizeof *names && strcmp(keyspace, OWN_KEYSPACE) == 0; i++)
		if (strcmp(names[i], table) == 0)
			return true;
	return false;
}

static bool matches(const char *pattern, const char *keyspace, const char *table)
{
	char name[256];
	snprintf(name, sizeof name, "%s.%s", keyspace, table);
	return fnmatch(pattern, strchr(pattern, '.') ? name : keyspace, 0) == 0;
}

/* Our own keyspace only where it is named. */
static bool is_chosen(const struct migrate_move *m, const char *keyspace, const char *table)
{
	bool own = strcmp(keyspace, OWN_KEYSPACE) == 0;
	if (is_engines(keyspace, table))
		return false;
	for (uint32_t i = 0; i < m->o->table_count; i++) {
		const char *pattern = m->o->tables[i];
		if (matches(pattern, keyspace, table) && (!own || strncmp(pattern, OWN_KEYSPACE, strlen(OWN_KEYSPACE)) == 0))
			return true;
	}
	return !m->o->table_count && !own;
}

/* Every pattern is for something; a keyspace may be empty. */
static enum sm_err check_patterns(const struct migrate_move *m, struct sm_error *reterr)
{
	for (uint32_t p = 0; p < m->o->table_count; p++) {
		bool any = false;
		for (uint32_t i = 0; i < m->source_schema->keyspace_count && !any; i++) {
			const struct store_keyspace *k = &m->source_schema->keyspaces[i];
			any = matches(m->o->tables[p], k->name, "");
			for (uint32_t n = 0; n < k->table_count && !any; n++)
				any = matches(m->o->tables[p], k->name, k->tables[n]->name);
		}
		if (!any)
			return sm_fail(reterr, SM_NOT_FOUND, "%s has no keyspace or table '%s'", m->o->source.name, m->o->tables[p]);
	}
	return SM_OK;
}

/* ---- DESCRIBE ---- */

struct describing {
	struct migrate_move *m;
	struct migrate_definitions *to;
	const char *keyspace, *base;
};

/* As it is, not as statements have it: "a""b" is a"b. */
static const char *unquoted(struct migrate_move *m, const char *name)
{
	char *copy = arena_string(&m->arena, name, strlen(name)), *to = copy;
	if (!copy || *copy != '"')
		return copy;
	for (const char *from = name + 1; *from && !(*from == '"' && !from[1]); from++) {
		*to++ = *from;
		from += *from == '"' && from[1] == '"';
	}
	*to = 0;
	return copy;
}

static enum sm_err take_definition(void *arg, const char *const *values, uint32_t count)
{
	struct describing *d = arg;
	struct arena *arena = &d->m->arena;
	struct migrate_definitions *to = d->to;
	if (count < 4 || !values[1] || !values[2] || !values[3])
		return SM_CORRUPT;
	if (to->count == to->cap) {
		uint32_t cap = to->cap ? to->cap * 2 : 32;
		struct migrate_definition *more = arena_alloc(arena, cap * sizeof *more);
		if (!more)
			return SM_NO_MEMORY;
		if (to->count)
			memcpy(more, to->items, to->count * sizeof *more);
		to->items = more;
		to->cap = cap;
	}
	struct migrate_definition one = {.keyspace = d->keyspace,
					 .kind = arena_string(arena, values[1], strlen(values[1])),
					 .name = unquoted(d->m, values[2]),
					 .text = arena_string(arena, values[3], strlen(values[3]))};
	if (!one.kind || !one.name || !one.text)
		return SM_NO_MEMORY;
	if (strcmp(one.kind, "table") == 0)
		d->base = one.name;
	one.base = d->base;
	to->items[to->count++] = one;
	return SM_OK;
}

static enum sm_err describe(struct migrate_move *m, const struct migrate_store_side *side, const char *keyspace,
			    struct migrate_definitions *to, struct sm_error *reterr)
{
	struct describing d = {m, to, keyspace, NULL};
	char text[256], *at = text + snprintf(text, sizeof text, "DESCRIBE KEYSPACE \"");
	for (const char *c = keyspace; *c && at < text + sizeof text - 4; c++) {
		*at++ = *c;
		if (*c == '"')
			*at++ = '"';
	}
	strcpy(at, "\"");
	struct sm_error why = {0};
	enum sm_err err = side->run(side->arg, text, take_definition, &d, &why);
	return err ? sm_fail(reterr, err, "%s does not describe its keyspace %s: %.300s", side->name, keyspace, why.text) : SM_OK;
}

static bool is_kind(const struct migrate_definition *d, const char *kind)
{
	return strcmp(d->kind, kind) == 0;
}

static bool comes_after_rows(const struct migrate_definition *d)
{
	return !is_kind(d, "keyspace") && !is_kind(d, "type") && !is_kind(d, "table");
}

static bool is_wanted(const struct migrate_move *m, const struct migrate_definition *d)
{
	return is_kind(d, "keyspace") || is_kind(d, "type") || !d->base || is_chosen(m, d->keyspace, d->base);
}

static const struct migrate_definition *find(const struct migrate_definitions *in, const struct migrate_definition *d)
{
	for (uint32_t i = 0; i < in->count; i++)
		if (strcmp(in->items[i].keyspace, d->keyspace) == 0 && strcmp(in->items[i].kind, d->kind) == 0 &&
		    strcmp(in->items[i].name, d->name) == 0)
			return &in->items[i];
	return NULL;
}

/* ---- the plan ---- */

static bool is_unsettled(const struct store_table *t)
{
	for (uint16_t i = 0; i < t->column_count; i++)
		if (t->columns[i].type.id == STORE_COUNTER ||
		    (t->columns[i].type.id == STORE_LIST && store_type_multi_cell(&t->columns[i].type)))
			return true;
	return false;
}

static enum sm_err add_table(struct migrate_move *m, const struct store_table *source, struct sm_error *reterr)
{
	char name[256];
	struct migrate_table *t = arena_alloc(&m->arena, sizeof *t);
	struct migrate_table **more = arena_alloc(&m->arena, (m->table_count + 1) * sizeof(struct migrate_table *));
	snprintf(name, sizeof name, "%s.%s", source->keyspace, source->name);
	if (!t || !more || !(t->name = arena_string(&m->arena, name, strlen(name))))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	t->source = source;
	t->unsettled = is_unsettled(source);
	if (m->table_count)
		memcpy(more, m->tables, m->table_count * sizeof(struct migrate_table *));
	more[m->table_count++] = t;
	m->tables = more;
	return SM_OK;
}

static enum sm_err plan_keyspace(struct migrate_move *m, const struct store_keyspace *k, struct sm_error *reterr)
{
	uint32_t first = m->wanted.count;
	bool any = is_chosen(m, k->name, "");
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < k->table_count && !any; i++)
		any = is_chosen(m, k->name, k->tables[i]->name);
	if (!any || (err = describe(m, &m->o->source, k->name, &m->wanted, reterr)))
		return err;
	for (uint32_t i = first; i < m->wanted.count && !err; i++) {
		const struct migrate_definition *d = &m->wanted.items[i];
		if (!is_kind(d, "table") || !is_wanted(m, d))
			continue;
		const struct store_table *t = store_find_table(m->source_schema, k->name, d->name);
		if (t)
			err = add_table(m, t, reterr);
		else {
			m->report->not_made++;
			migrate__tell(m, MIGRATE_WARNING, "table %s.%s is not copied: it has a column of a type that cannot be read here",
				      k->name, d->name);
		}
	}
	return err;
}

enum sm_err migrate__store_plan(struct migrate_move *m, struct sm_error *reterr)
{
	struct sm_store *source = m->o->source.store, *target = m->o->target.store;
	m->source_schema = source->ops->schema(source);
	m->target_schema = target->ops->schema(target);
	if (!m->source_schema || !m->target_schema)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	enum sm_err err = check_patterns(m, reterr);
	for (uint32_t i = 0; i < m->source_schema->keyspace_count && !err; i++)
		err = plan_keyspace(m, &m->source_schema->keyspaces[i], reterr);
	return err;
}

/* ---- the target's ---- */

static bool same_columns(const struct store_table *a, const struct store_table *b)
{
	if (a->column_count != b->column_count)
		return false;
	for (uint16_t i = 0; i < a->column_count; i++) {
		const struct store_column *x = &a->columns[i], *y = &b->columns[i];
		if (strcmp(x->name, y->name) != 0 || x->kind != y->kind || x->position != y->position || x->descending != y->descending ||
		    !store_type_equal(&x->type, &y->type))
			return false;
	}
	return true;
}

enum sm_err migrate__target_anew(struct migrate_move *m, struct migrate_table *t, struct sm_error *reterr)
{
	struct sm_store *target = m->o->target.store;
	if (m->target_schema)
		target->ops->schema_release(target, m->target_schema);
	if (!(m->target_schema = target->ops->schema(target)))
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	if (!t)
		return SM_OK;
	t->target = store_find_table(m->target_schema, t->source->keyspace, t->source->name);
	if (!t->target)
		return sm_fail(reterr, SM_NOT_FOUND, "%s has no table %s", m->o->target.name, t->name);
	if (!same_columns(t->source, t->target))
		return sm_fail(reterr, SM_CONFLICT,
			       "table %s has other columns, types or orders at %s than at %s: drop it there, or leave it out with --tables",
			       t->name, m->o->target.name, m->o->source.name);
	return SM_OK;
}

/* The statement; a keyspace with as many copies as were asked for. */
static const char *text_of(struct migrate_move *m, const struct migrate_definition *d)
{
	char text[512];
	const char *name = d->text + strlen("CREATE KEYSPACE "), *end = strstr(d->text, " WITH replication");
	if (!is_kind(d, "keyspace") || !m->o->replication_factor || !end || strncmp(d->text, "CREATE KEYSPACE ", 16) != 0)
		return d->text;
	snprintf(text, sizeof text,
		 "CREATE KEYSPACE %.*s WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': '%u'} AND "
		 "durable_writes = %s",
		 (int)(end - name), name, m->o->replication_factor, strstr(end, "durable_writes = false") ? "false" : "true");
	return arena_string(&m->arena, text, strlen(text));
}

static void not_made(struct migrate_move *m, const struct migrate_definition *d, const char *why)
{
	m->report->not_made++;
	migrate__tell(m, MIGRATE_WARNING, "%s %s.%s: %s", d->kind, d->keyspace, d->name, why);
}

static enum sm_err make(struct migrate_move *m, const struct migrate_definition *d, struct sm_error *reterr)
{
	struct sm_error why = {0};
	const char *text = text_of(m, d);
	enum sm_err err = text ? m->o->target.run(m->o->target.arg, text, NULL, NULL, &why) : sm_fail(&why, SM_NO_MEMORY, "no memory");
	if (!err)
		return SM_OK;
	if (!comes_after_rows(d))
		return sm_fail(reterr, err, "%s refuses to make the %s %s.%s: %.300s%s", m->o->target.name, d->kind, d->keyspace, d->name,
			       why.text,
			       is_kind(d, "keyspace") ? " (--replication-factor N says another replication, or make it there yourself)"
						      : "");
	char said[400];
	snprintf(said, sizeof said, "is not made, the target says: %.340s", why.text);
	not_made(m, d, said);
	return SM_OK;
}

/* It is there: is it the same? */
static enum sm_err compare(struct migrate_move *m, const struct migrate_definition *d, const struct migrate_definition *there,
			   struct sm_error *reterr)
{
	if (is_kind(d, "keyspace") || strcmp(d->text, there->text) == 0)
		return SM_OK;
	if (is_kind(d, "type"))
		return sm_fail(reterr, SM_CONFLICT, "type %s.%s has other fields at %s than at %s", d->keyspace, d->name, m->o->target.name,
			       m->o->source.name);
	if (is_kind(d, "table")) /* its columns are compared elsewhere */
		migrate__tell(m, MIGRATE_WARNING, "table %s.%s has other options at the target: they are left as they are", d->keyspace,
			      d->name);
	else
		not_made(m, d, "the target has another one of this name");
	return SM_OK;
}

static enum sm_err define_one(struct migrate_move *m, const struct migrate_definition *d, const struct migrate_definitions *there,
			      struct sm_error *reterr)
{
	const struct migrate_definition *same = find(there, d);
	if (same)
		return compare(m, d, same, reterr);
	if (m->o->dry_run) {
		if (is_kind(d, "keyspace"))
			migrate__tell(m, MIGRATE_NOTE, "keyspace %s: would be made", d->name);
		else
			migrate__tell(m, MIGRATE_NOTE, "%s %s.%s: would be made", d->kind, d->keyspace, d->name);
		return SM_OK;
	}
	if (m->o->verify) {
		not_made(m, d, "the target does not have it");
		return SM_OK;
	}
	return make(m, d, reterr);
}

static enum sm_err describe_target(struct migrate_move *m, struct migrate_definitions *there, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	const char *last = "";
	for (uint32_t i = 0; i < m->wanted.count && !err; i++) {
		const char *keyspace = m->wanted.items[i].keyspace;
		if (strcmp(keyspace, last) != 0 && store_find_keyspace(m->target_schema, keyspace))
			err = describe(m, &m->o->target, keyspace, there, reterr);
		last = keyspace;
	}
	return err;
}

enum sm_err migrate__define(struct migrate_move *m, bool after_rows, struct sm_error *reterr)
{
	struct migrate_definitions there = {0};
	enum sm_err err = describe_target(m, &there, reterr);
	for (uint32_t i = 0; i < m->wanted.count && !err; i++) {
		const struct migrate_definition *d = &m->wanted.items[i];
		if (comes_after_rows(d) == after_rows && is_wanted(m, d))
			err = define_one(m, d, &there, reterr);
	}
	return err || after_rows ? err : migrate__target_anew(m, NULL, reterr);
}
