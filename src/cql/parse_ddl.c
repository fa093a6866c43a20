/* CREATE, ALTER, DROP, TRUNCATE and DESCRIBE. What Cassandra has and smack has not yet is told apart from what is wrong. */
#include "cql/parse_internal.h"

#include "cql/plan.h"

#include <ctype.h>
#include <string.h>

static bool option_value(struct parser *p, struct cql_term **ret_term)
{
	if (p->token.kind != TOK_IDENT || parse__at_word(p, "true") || parse__at_word(p, "false") || parse__at_word(p, "nan"))
		return parse__term(p, ret_term);
	struct cql_term *t = arena_alloc(p->arena, sizeof *t);
	if (!t)
		return parse__memory(p);
	*t = (struct cql_term){.kind = CQL_TERM_LITERAL, .literal = CQL_STRING, .text = p->token.text, .place = p->token.place};
	*ret_term = t;
	parse__next(p);
	return !p->failed;
}

static bool clustering_order(struct parser *p, struct cql_ddl *d)
{
	uint32_t cap = 0;
	if (!parse__take_word(p, "order") || !parse__take_word(p, "by") || !parse__take(p, '('))
		return false;
	do {
		d->order = cql__grow(p->arena, d->order, d->order_count, &cap, sizeof *d->order);
		if (!d->order)
			return parse__memory(p);
		struct cql_ordering *o = &d->order[d->order_count++];
		if (!parse__name(p, "a column name", &o->column))
			return false;
		o->descending = parse__skip_word(p, "desc");
		if (!o->descending && !parse__take_word(p, "asc"))
			return false;
	} while (parse__skip(p, ','));
	return parse__take(p, ')');
}

bool parse__properties(struct parser *p, struct cql_ddl *d)
{
	uint32_t cap = 0;
	d->has_options = true;
	do {
		if (parse__skip_word(p, "compact")) {
			d->compact = true;
			if (!parse__take_word(p, "storage"))
				return false;
			continue;
		}
		if (parse__skip_word(p, "clustering")) {
			if (!clustering_order(p, d))
				return false;
			continue;
		}
		d->options = cql__grow(p->arena, d->options, d->option_count, &cap, sizeof *d->options);
		if (!d->options)
			return parse__memory(p);
		struct cql_option *o = &d->options[d->option_count++];
		if (!parse__name(p, "a property", &o->name) || !parse__take(p, '=') || !option_value(p, &o->value))
			return false;
	} while (parse__skip_word(p, "and"));
	return !p->failed;
}

static bool name_list(struct parser *p, const char ***names, uint32_t *count)
{
	uint32_t cap = 0;
	do {
		*names = cql__grow(p->arena, *names, *count, &cap, sizeof **names);
		if (!*names)
			return parse__memory(p);
		if (!parse__name(p, "a column name", &(*names)[(*count)++]))
			return false;
	} while (parse__skip(p, ','));
	return !p->failed;
}

/* (a, b) or ((a, b), c), the first parenthesis not yet taken. */
bool parse__primary_key(struct parser *p, struct cql_ddl *d)
{
	d->primary_keys++;
	if (!parse__take(p, '('))
		return false;
	d->partition_key_count = d->clustering_count = 0;
	d->partition_key = d->clustering = NULL;
	if (parse__skip(p, '(')) {
		if (!name_list(p, &d->partition_key, &d->partition_key_count) || !parse__take(p, ')'))
			return false;
	} else {
		d->partition_key = arena_alloc(p->arena, sizeof *d->partition_key);
		if (!d->partition_key)
			return parse__memory(p);
		d->partition_key_count = 1;
		if (!parse__name(p, "a column name", &d->partition_key[0]))
			return false;
	}
	if (parse__skip(p, ',') && !name_list(p, &d->clustering, &d->clustering_count))
		return false;
	return parse__take(p, ')');
}

static struct cql_column_def *new_column(struct parser *p, struct cql_ddl *d, uint32_t *cap)
{
	d->columns = cql__grow(p->arena, d->columns, d->column_count, cap, sizeof *d->columns);
	if (!d->columns) {
		parse__memory(p);
		return NULL;
	}
	return &d->columns[d->column_count++];
}

/* Behind commas, of which Cassandra takes one too many as well. */
static bool one_more(struct parser *p)
{
	bool comma = false;
	while (parse__skip(p, ','))
		comma = true;
	return comma && !parse__at(p, ')');
}

static bool create_table_columns(struct parser *p, struct cql_ddl *d)
{
	uint32_t cap = 0;
	if (!parse__take(p, '('))
		return false;
	do {
		struct cql_token next = parse__peek(p);
		if (parse__at_word(p, "primary") && parse__token_is(&next, "key")) {
			parse__next(p);
			parse__next(p);
			if (!parse__primary_key(p, d))
				return false;
			continue;
		}
		struct cql_column_def *c = new_column(p, d, &cap);
		if (!c || !parse__name(p, "a column name", &c->name) || !parse__type(p, &c->type))
			return false;
		c->is_static = parse__skip_word(p, "static");
		if (parse__at_word(p, "masked"))
			return parse__fail(p, CQL_INVALID, "Data masking is not supported yet");
		if (parse__skip_word(p, "primary")) {
			if (!parse__take_word(p, "key"))
				return false;
			d->primary_keys++;
			d->partition_key = arena_alloc(p->arena, sizeof *d->partition_key);
			if (!d->partition_key)
				return parse__memory(p);
			d->partition_key[0] = c->name;
			d->partition_key_count = 1;
			d->clustering_count = 0;
		}
	} while (one_more(p));
	return parse__take(p, ')');
}

/* The fields of a user type, in parentheses. */
static bool type_fields(struct parser *p, struct cql_ddl *d)
{
	uint32_t cap = 0;
	if (!parse__take(p, '('))
		return false;
	do {
		struct cql_column_def *c = new_column(p, d, &cap);
		if (!c || !parse__name(p, "a field name", &c->name) || !parse__type(p, &c->type))
			return false;
	} while (one_more(p));
	return parse__take(p, ')');
}

static bool create(struct parser *p, struct cql_ddl *d)
{
	if (!parse__if_not_exists(p, &d->if_not_exists))
		return false;
	if (d->object == CQL_KEYSPACE)
		return parse__name(p, "a keyspace name", &d->table.keyspace) && parse__take_word(p, "with") && parse__properties(p, d);
	if (d->object == CQL_TYPE) {
		bool plain = p->token.kind == TOK_IDENT;
		if (!parse__table(p, &d->table))
			return false;
		if (plain && !d->table.keyspace && cql__is_type_name(d->table.name))
			return parse__expected(p, "'.': a type cannot have the name of one that there is");
		return type_fields(p, d);
	}
	if (!parse__table(p, &d->table) || !create_table_columns(p, d))
		return false;
	return !parse__skip_word(p, "with") || parse__properties(p, d);
}

static bool add_columns(struct parser *p, struct cql_ddl *d)
{
	uint32_t cap = 0;
	if (!parse__if_not_exists(p, &d->column_if_not_exists))
		return false;
	bool parenthesis = parse__skip(p, '(');
	do {
		struct cql_column_def *c = new_column(p, d, &cap);
		if (!c || !parse__name(p, "a column name", &c->name) || !parse__type(p, &c->type))
			return false;
		c->is_static = parse__skip_word(p, "static");
	} while (parenthesis && parse__skip(p, ','));
	return !parenthesis || parse__take(p, ')');
}

static bool rename_columns(struct parser *p, struct cql_ddl *d)
{
	uint32_t cap = 0;
	if (!parse__if_exists(p, &d->column_if_exists))
		return false;
	do {
		for (int i = 0; i < 2; i++) {
			d->renamed = cql__grow(p->arena, d->renamed, d->renamed_count, &cap, sizeof *d->renamed);
			if (!d->renamed)
				return parse__memory(p);
			if (!parse__name(p, "a column name", &d->renamed[d->renamed_count++]) || (i == 0 && !parse__take_word(p, "to")))
				return false;
		}
	} while (parse__skip_word(p, "and"));
	return !p->failed;
}

static bool alter_type(struct parser *p, struct cql_ddl *d)
{
	if (parse__skip_word(p, "add"))
		return add_columns(p, d);
	if (parse__at_word(p, "alter"))
		return parse__fail(p, CQL_INVALID, "Altering field types is no longer supported");
	if (!parse__take_word(p, "rename"))
		return false;
	d->column_if_exists = false;
	return rename_columns(p, d);
}

static bool alter(struct parser *p, struct cql_ddl *d)
{
	if (!parse__if_exists(p, &d->if_exists))
		return false;
	if (d->object == CQL_KEYSPACE)
		return parse__name(p, "a keyspace name", &d->table.keyspace) && parse__take_word(p, "with") && parse__properties(p, d);
	if (!parse__table(p, &d->table))
		return false;
	if (d->object == CQL_TYPE)
		return alter_type(p, d);
	if (parse__skip_word(p, "add"))
		return add_columns(p, d);
	if (parse__skip_word(p, "drop")) {
		if (parse__at_word(p, "compact"))
			return parse__fail(p, CQL_INVALID, "COMPACT STORAGE tables are not supported");
		if (!parse__if_exists(p, &d->column_if_exists))
			return false;
		bool parenthesis = parse__skip(p, '(');
		return name_list(p, &d->dropped, &d->dropped_count) && (!parenthesis || parse__take(p, ')'));
	}
	if (parse__skip_word(p, "rename"))
		return rename_columns(p, d);
	if (parse__at_word(p, "alter"))
		return parse__fail(p, CQL_INVALID, "Altering column types is no longer supported");
	return parse__take_word(p, "with") && parse__properties(p, d);
}

static bool drop(struct parser *p, struct cql_ddl *d)
{
	if (!parse__if_exists(p, &d->if_exists))
		return false;
	return d->object == CQL_KEYSPACE ? parse__name(p, "a keyspace name", &d->table.keyspace) : parse__table(p, &d->table);
}

/* No class of a trigger can be there, since it would be Java's. */
static bool trigger(struct parser *p, struct cql_statement *s)
{
	const char *name;
	bool exists;
	struct cql_table_name table;
	parse__next(p);
	if (!parse__if_not_exists(p, &exists) || !parse__name(p, "the name of a trigger", &name) || !parse__take_word(p, "on") ||
	    !parse__table(p, &table) || !parse__take_word(p, "using"))
		return false;
	if (p->token.kind != TOK_STRING)
		return parse__expected(p, "the class of the trigger, a string");
	s->kind = CQL_STMT_REFUSED;
	s->refused = arena_printf(p->arena, "Trigger class '%.*s' couldn't be loaded", (int)p->token.text.size,
				  (const char *)p->token.text.data);
	parse__next(p);
	return s->refused || parse__memory(p);
}

static bool refused(struct parser *p, struct cql_statement *s, const char *verb)
{
	static const char *const objects[] = {"index", "custom", "function", "aggregate", "trigger",
					      "role",  "user",   "or",       "identity",  NULL};
	for (int i = 0; objects[i]; i++) {
		if (!parse__at_word(p, objects[i]))
			continue;
		char *what = arena_printf(p->arena, "%s %s", verb, strcmp(objects[i], "or") == 0 ? "OR REPLACE" : objects[i]);
		if (!what)
			return parse__memory(p);
		for (char *c = what; *c; c++)
			*c = (char)toupper((unsigned char)*c);
		s->kind = CQL_STMT_REFUSED;
		s->refused = arena_printf(p->arena, "%s is not supported yet", what);
		if (!s->refused)
			return parse__memory(p);
		while (p->token.kind != TOK_END && p->token.kind != TOK_BAD && !parse__at(p, ';'))
			parse__next(p);
		return !p->failed;
	}
	return parse__expected(p, "KEYSPACE, TABLE or TYPE");
}

bool parse__ddl(struct parser *p, struct cql_statement *s)
{
	static const char *const verbs[] = {"create", "alter", "drop", "truncate"};
	struct cql_ddl *d = &s->ddl;
	int verb = 0;
	while (verb < 3 && !parse__at_word(p, verbs[verb]))
		verb++;
	parse__next(p);
	s->kind = CQL_STMT_DDL;
	d->verb = verb;
	d->object = CQL_TABLE;
	if (d->verb == CQL_TRUNCATE) {
		struct cql_token next = parse__peek(p);
		if ((next.kind == TOK_IDENT || next.kind == TOK_QUOTED) && !parse__skip_word(p, "table"))
			parse__skip_word(p, "columnfamily");
		return parse__table(p, &d->table);
	}
	if (d->verb != CQL_ALTER && (parse__at_word(p, "index") || (d->verb == CQL_CREATE && parse__at_word(p, "custom"))))
		return parse__index(p, d);
	if (d->verb == CQL_CREATE && parse__at_word(p, "trigger"))
		return trigger(p, s);
	if (parse__at_word(p, "materialized"))
		return parse__view(p, d);
	if (parse__skip_word(p, "keyspace") || parse__skip_word(p, "schema"))
		d->object = CQL_KEYSPACE;
	else if (parse__skip_word(p, "type"))
		d->object = CQL_TYPE;
	else if (!parse__skip_word(p, "table") && !parse__skip_word(p, "columnfamily"))
		return refused(p, s, verbs[verb]);
	switch (d->verb) {
	case CQL_CREATE: return create(p, d);
	case CQL_ALTER: return alter(p, d);
	default: return drop(p, d);
	}
}

static bool describe_other(struct parser *p, struct cql_describe *d)
{
	static const char *const kinds[] = {"type", "index", "materialized", "function", "aggregate", NULL};
	struct cql_token next = parse__peek(p);
	if (next.kind != TOK_IDENT && next.kind != TOK_QUOTED)
		return false;
	for (int i = 0; kinds[i]; i++)
		if (parse__skip_word(p, kinds[i])) {
			if (i == 2)
				parse__skip_word(p, "view");
			d->what = CQL_DESC_OTHER;
			d->other = kinds[i];
			return parse__table(p, &d->table);
		}
	return false;
}

static bool describe_what(struct parser *p, struct cql_describe *d)
{
	static const struct {
		const char *word;
		enum cql_describe_what what;
	} plain[] = {{"cluster", CQL_DESC_CLUSTER},      {"keyspaces", CQL_DESC_KEYSPACES}, {"tables", CQL_DESC_TABLES},
		     {"types", CQL_DESC_TYPES},          {"functions", CQL_DESC_FUNCTIONS}, {"aggregates", CQL_DESC_AGGREGATES},
		     {"columnfamilies", CQL_DESC_TABLES}};
	for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
		if (parse__skip_word(p, plain[i].word)) {
			d->what = plain[i].what;
			return !p->failed;
		}
	d->full = parse__skip_word(p, "full");
	if (parse__skip_word(p, "schema")) {
		d->what = CQL_DESC_SCHEMA;
		return !p->failed;
	}
	d->only = parse__skip_word(p, "only");
	if (parse__skip_word(p, "keyspace")) {
		d->what = CQL_DESC_KEYSPACE;
		if (p->token.kind == TOK_IDENT && !parse__at_word(p, "with"))
			return parse__name(p, "a keyspace name", &d->table.keyspace);
		return p->token.kind != TOK_QUOTED || parse__name(p, "a keyspace name", &d->table.keyspace);
	}
	if (parse__skip_word(p, "table") || parse__skip_word(p, "columnfamily")) {
		d->what = CQL_DESC_TABLE;
		return parse__table(p, &d->table);
	}
	if (describe_other(p, d))
		return true;
	d->what = CQL_DESC_NAME;
	return parse__table(p, &d->table);
}

bool parse__describe(struct parser *p, struct cql_describe *d)
{
	parse__next(p);
	if (p->token.kind == TOK_END || parse__at(p, ';')) {
		d->what = CQL_DESC_SCHEMA;
		return true;
	}
	if (!describe_what(p, d))
		return false;
	if (parse__skip_word(p, "with")) {
		d->internals = true;
		return parse__take_word(p, "internals");
	}
	return !p->failed;
}
