/* SELECT, INSERT, UPDATE, DELETE and BATCH. */
#include "cql/parse_internal.h"

#include <string.h>

/* Whether the word is a modifier of SELECT here, not the name of a column: something to select follows. */
static bool modifies_select(struct parser *p, const char *word)
{
	if (!parse__at_word(p, word))
		return false;
	struct cql_token next = parse__peek(p);
	if (next.kind == TOK_PUNCTUATION)
		return next.punctuation == '*';
	return !parse__token_is(&next, "from") && !parse__token_is(&next, "as");
}

static bool selectors(struct parser *p, struct cql_select *s)
{
	uint32_t cap = 0;
	if (parse__skip(p, '*')) {
		s->star = true;
		return !p->failed;
	}
	do {
		s->selectors = cql__grow(p->arena, s->selectors, s->selector_count, &cap, sizeof *s->selectors);
		if (!s->selectors)
			return parse__memory(p);
		struct cql_selector *one = &s->selectors[s->selector_count++];
		if (!parse__selection(p, &one->term))
			return false;
		if (parse__skip_word(p, "as") && !parse__name(p, "an alias", &one->alias))
			return false;
	} while (parse__skip(p, ','));
	return !p->failed;
}

static bool group_by(struct parser *p, struct cql_select *s)
{
	uint32_t cap = 0;
	if (!parse__take_word(p, "by"))
		return false;
	do {
		s->group_by = cql__grow(p->arena, s->group_by, s->group_count, &cap, sizeof *s->group_by);
		if (!s->group_by)
			return parse__memory(p);
		if (!parse__name(p, "a column name", &s->group_by[s->group_count++]))
			return false;
	} while (parse__skip(p, ','));
	return true;
}

static bool order_by(struct parser *p, struct cql_select *s)
{
	uint32_t cap = 0;
	if (!parse__take_word(p, "by"))
		return false;
	do {
		s->order_by = cql__grow(p->arena, s->order_by, s->order_count, &cap, sizeof *s->order_by);
		if (!s->order_by)
			return parse__memory(p);
		struct cql_ordering *o = &s->order_by[s->order_count++];
		*o = (struct cql_ordering){0};
		if (!parse__name(p, "a column name", &o->column))
			return false;
		if (parse__skip_word(p, "ann") && (!parse__take_word(p, "of") || !parse__term(p, &o->ann)))
			return false;
		o->descending = parse__skip_word(p, "desc");
		if (!o->descending)
			parse__skip_word(p, "asc");
	} while (parse__skip(p, ','));
	return !p->failed;
}

bool parse__select(struct parser *p, struct cql_select *s)
{
	parse__next(p);
	if (modifies_select(p, "json")) {
		s->json = true;
		parse__next(p);
	}
	if (modifies_select(p, "distinct")) {
		s->distinct = true;
		parse__next(p);
	}
	if (!selectors(p, s) || !parse__take_word(p, "from") || !parse__table(p, &s->table))
		return false;
	if (parse__skip_word(p, "where") && !parse__where(p, &s->where, &s->where_count))
		return false;
	if (parse__skip_word(p, "group") && !group_by(p, s))
		return false;
	if (parse__skip_word(p, "order") && !order_by(p, s))
		return false;
	if (parse__skip_word(p, "per") && (!parse__take_word(p, "partition") || !parse__take_word(p, "limit") ||
					   !parse__integer_or_marker(p, "a number after PER PARTITION LIMIT", &s->partition_limit)))
		return false;
	if (parse__skip_word(p, "limit") && !parse__integer_or_marker(p, "a number after LIMIT", &s->limit))
		return false;
	if (parse__skip_word(p, "allow")) {
		s->allow_filtering = true;
		return parse__take_word(p, "filtering");
	}
	return !p->failed;
}

static bool using(struct parser *p, struct cql_term **timestamp, struct cql_term **ttl)
{
	do {
		if (timestamp && parse__skip_word(p, "timestamp")) {
			if (!parse__integer_or_marker(p, "a number after TIMESTAMP", timestamp))
				return false;
		} else if (ttl && parse__skip_word(p, "ttl")) {
			if (!parse__integer_or_marker(p, "a number after TTL", ttl))
				return false;
		} else {
			return parse__expected(p, ttl ? "TIMESTAMP or TTL" : "TIMESTAMP");
		}
	} while (parse__skip_word(p, "and"));
	return !p->failed;
}

static struct cql_assign *new_assign(struct parser *p, struct cql_modify *m, uint32_t *cap)
{
	m->assigns = cql__grow(p->arena, m->assigns, m->assign_count, cap, sizeof *m->assigns);
	if (!m->assigns) {
		parse__memory(p);
		return NULL;
	}
	return &m->assigns[m->assign_count++];
}

static bool insert_values(struct parser *p, struct cql_modify *m)
{
	uint32_t cap = 0;
	struct cql_term *extra;
	if (!parse__take(p, '('))
		return false;
	do {
		struct cql_assign *a = new_assign(p, m, &cap);
		if (!a || !parse__name(p, "a column name", &a->column))
			return false;
	} while (parse__skip(p, ','));
	if (!parse__take(p, ')') || !parse__take_word(p, "values") || !parse__take(p, '('))
		return false;
	do {
		struct cql_term **to = m->value_count < m->assign_count ? &m->assigns[m->value_count].value : &extra;
		if (!parse__term(p, to))
			return false;
		m->value_count++;
	} while (parse__skip(p, ','));
	return parse__take(p, ')');
}

static bool insert_json(struct parser *p, struct cql_modify *m)
{
	if (!parse__operand(p, &m->json))
		return false;
	if (!parse__skip_word(p, "default") || parse__skip_word(p, "null"))
		return !p->failed;
	m->json_unset = true;
	return parse__skip_word(p, "unset") || parse__expected(p, "NULL or UNSET");
}

static bool insert(struct parser *p, struct cql_modify *m)
{
	if (!parse__take_word(p, "into") || !parse__table(p, &m->table))
		return false;
	if (parse__skip_word(p, "json") ? !insert_json(p, m) : !insert_values(p, m))
		return false;
	if (!parse__if_not_exists(p, &m->if_not_exists))
		return false;
	return !parse__skip_word(p, "using") || using(p, &m->timestamp, &m->ttl);
}

static bool sign_follows_name(struct parser *p)
{
	if ((p->token.kind != TOK_IDENT && p->token.kind != TOK_QUOTED) || parse__at_word(p, "null"))
		return false;
	struct cql_token next = parse__peek(p);
	return next.kind == TOK_PUNCTUATION && (next.punctuation == '+' || next.punctuation == '-');
}

static bool assign_value(struct parser *p, struct cql_assign *a)
{
	const char *other;
	if (sign_follows_name(p)) { /* c = c + 1 */
		if (!parse__name(p, "a column name", &other))
			return false;
		if (strcmp(other, a->column) != 0)
			return parse__fail(p, CQL_SYNTAX_ERROR, "Only expressions of the form X = X +<value> are supported.");
		struct cql_token next = parse__peek(p);
		bool number = next.kind == TOK_INTEGER || next.kind == TOK_FLOAT || next.kind == TOK_DURATION;
		/* c-2 is c and -2, as in Cassandra's lexer */
		bool adds = parse__at(p, '+') || (number && next.source.data == p->token.source.data + 1);
		a->kind = adds ? CQL_SET_ADD : CQL_SET_SUBTRACT;
		if (parse__at(p, '+') || !adds)
			parse__next(p);
		return parse__term(p, &a->value);
	}
	if (!parse__term(p, &a->value))
		return false;
	if (parse__skip(p, '+')) { /* l = [0] + l */
		a->kind = CQL_SET_PREPEND;
		if (!parse__name(p, "a column name", &other))
			return false;
		return strcmp(other, a->column) == 0 ||
		       parse__fail(p, CQL_SYNTAX_ERROR, "Only expressions of the form X = <value> + X are supported.");
	}
	return !p->failed;
}

static bool update_assigns(struct parser *p, struct cql_modify *m)
{
	uint32_t cap = 0;
	do {
		struct cql_assign *a = new_assign(p, m, &cap);
		if (!a || !parse__name(p, "a column name", &a->column))
			return false;
		if (parse__skip(p, '[')) {
			a->kind = CQL_SET_SUBSCRIPT;
			if (!parse__term(p, &a->subscript) || !parse__take(p, ']'))
				return false;
		} else if (parse__skip(p, '.')) {
			a->kind = CQL_SET_FIELD;
			if (!parse__name(p, "a field name", &a->field))
				return false;
		} else if (parse__at(p, '+') || parse__at(p, '-')) { /* c += 1 */
			a->kind = parse__at(p, '+') ? CQL_SET_ADD : CQL_SET_SUBTRACT;
			parse__next(p);
			if (!parse__take(p, '=') || !parse__term(p, &a->value))
				return false;
			continue;
		}
		if (!parse__take(p, '='))
			return false;
		if (a->kind == CQL_SET_VALUE ? !assign_value(p, a) : !parse__term(p, &a->value))
			return false;
	} while (parse__skip(p, ','));
	return !p->failed;
}

static bool where_and_if(struct parser *p, struct cql_modify *m)
{
	if (!parse__take_word(p, "where") || !parse__where(p, &m->where, &m->where_count) || !parse__if_exists(p, &m->if_exists))
		return false;
	if (!parse__skip_word(p, "if"))
		return !p->failed;
	return parse__conditions(p, &m->conditions, &m->condition_count);
}

static bool update(struct parser *p, struct cql_modify *m)
{
	if (!parse__table(p, &m->table))
		return false;
	if (parse__skip_word(p, "using") && !using(p, &m->timestamp, &m->ttl))
		return false;
	return parse__take_word(p, "set") && update_assigns(p, m) && where_and_if(p, m);
}

static bool delete_columns(struct parser *p, struct cql_modify *m)
{
	uint32_t cap = 0;
	do {
		struct cql_assign *a = new_assign(p, m, &cap);
		if (!a || !parse__name(p, "a column name", &a->column))
			return false;
		if (parse__skip(p, '[')) {
			a->kind = CQL_SET_SUBSCRIPT;
			if (!parse__term(p, &a->subscript) || !parse__take(p, ']'))
				return false;
		} else if (parse__skip(p, '.')) {
			a->kind = CQL_SET_FIELD;
			if (!parse__name(p, "a field name", &a->field))
				return false;
		}
	} while (parse__skip(p, ','));
	return !p->failed;
}

static bool delete (struct parser *p, struct cql_modify *m)
{
	if (!parse__at_word(p, "from") && !delete_columns(p, m))
		return false;
	if (!parse__take_word(p, "from") || !parse__table(p, &m->table))
		return false;
	if (parse__skip_word(p, "using") && !using(p, &m->timestamp, NULL))
		return false;
	return where_and_if(p, m);
}

bool parse__modify(struct parser *p, struct cql_modify *m)
{
	if (parse__skip_word(p, "insert")) {
		m->kind = CQL_INSERT;
		return insert(p, m);
	}
	if (parse__skip_word(p, "update")) {
		m->kind = CQL_UPDATE;
		return update(p, m);
	}
	if (parse__skip_word(p, "delete")) {
		m->kind = CQL_DELETE;
		return delete (p, m);
	}
	return parse__expected(p, "INSERT, UPDATE or DELETE");
}

bool parse__batch(struct parser *p, struct cql_batch *b)
{
	uint32_t cap = 0;
	parse__next(p);
	if (parse__skip_word(p, "unlogged"))
		b->kind = CQL_UNLOGGED;
	else if (parse__skip_word(p, "counter"))
		b->kind = CQL_COUNTER;
	else
		b->kind = CQL_LOGGED;
	if (!parse__take_word(p, "batch"))
		return false;
	struct cql_term *ttl = NULL;
	if (parse__skip_word(p, "using") && !using(p, &b->timestamp, &ttl))
		return false;
	if (ttl)
		return parse__fail(p, CQL_INVALID, "Global TTL on the BATCH statement is not supported.");
	while (!parse__at_word(p, "apply")) {
		if (b->count == CQL_BATCH_STATEMENTS_MAX)
			return parse__fail(p, CQL_INVALID, "Too many statements in a batch (maximum %d)", CQL_BATCH_STATEMENTS_MAX);
		b->statements = cql__grow(p->arena, b->statements, b->count, &cap, sizeof *b->statements);
		if (!b->statements)
			return parse__memory(p);
		if (!parse__modify(p, &b->statements[b->count++]))
			return false;
		parse__skip(p, ';');
	}
	parse__next(p);
	return parse__take_word(p, "batch");
}
