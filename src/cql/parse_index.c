/* CREATE INDEX and DROP INDEX. */
#include "cql/parse_internal.h"

static bool target(struct parser *p, struct cql_index_target *t)
{
	static const char *const kinds[] = {"keys", "values", "entries", "full"};
	struct cql_token next = parse__peek(p);
	bool called = next.kind == TOK_PUNCTUATION && next.punctuation == '(';
	for (size_t i = 0; called && i < sizeof kinds / sizeof kinds[0]; i++)
		if (parse__skip_word(p, kinds[i])) {
			t->function = kinds[i];
			return parse__take(p, '(') && parse__name(p, "a column name", &t->column) && parse__take(p, ')');
		}
	return parse__name(p, "a column name", &t->column);
}

static bool targets(struct parser *p, struct cql_index_def *d)
{
	uint32_t cap = 0;
	if (!parse__take(p, '('))
		return false;
	do {
		d->targets = cql__grow(p->arena, d->targets, d->target_count, &cap, sizeof *d->targets);
		if (!d->targets)
			return parse__memory(p);
		d->targets[d->target_count] = (struct cql_index_target){0};
		if (!target(p, &d->targets[d->target_count++]))
			return false;
	} while (parse__skip(p, ','));
	return parse__take(p, ')');
}

static bool create(struct parser *p, struct cql_ddl *d)
{
	struct cql_index_def *def = arena_alloc(p->arena, sizeof *def);
	if (!def)
		return parse__memory(p);
	d->index = def;
	def->custom = parse__skip_word(p, "custom");
	if (!parse__take_word(p, "index") || !parse__if_not_exists(p, &d->if_not_exists))
		return false;
	if (!parse__at_word(p, "on") && !parse__name(p, "the name of an index", &def->name))
		return false;
	if (!parse__take_word(p, "on") || !parse__table(p, &d->table) || !targets(p, def))
		return false;
	if (parse__skip_word(p, "using")) {
		if (p->token.kind != TOK_STRING)
			return parse__expected(p, "the class of the index, a string");
		def->using = arena_string(p->arena, (const char *)p->token.text.data, p->token.text.size);
		if (!def->using)
			return parse__memory(p);
		parse__next(p);
	}
	if (!parse__skip_word(p, "with"))
		return !p->failed;
	return parse__take_word(p, "options") && parse__take(p, '=') && parse__operand(p, &def->options);
}

bool parse__index(struct parser *p, struct cql_ddl *d)
{
	d->object = CQL_INDEX;
	if (d->verb == CQL_CREATE)
		return create(p, d);
	parse__next(p);
	return parse__if_exists(p, &d->if_exists) && parse__table(p, &d->table);
}
