/* Terms (literals, markers, calls, collections), types, selections and relations. */
#include "cql/parse_internal.h"
#include "cql/plan.h"

#include <string.h>

static struct cql_term *new_term(struct parser *p, enum cql_term_kind kind)
{
	struct cql_term *t = arena_alloc(p->arena, sizeof *t);
	if (!t) {
		parse__memory(p);
		return NULL;
	}
	t->kind = kind;
	t->place = p->token.place;
	return t;
}

static bool add_term(struct parser *p, struct cql_term *to, uint32_t *cap, struct cql_term *arg)
{
	struct cql_term **args = cql__grow(p->arena, to->args, to->arg_count, cap, sizeof *args);
	if (!args)
		return parse__memory(p);
	to->args = args;
	to->args[to->arg_count++] = arg;
	return true;
}

static bool type_args(struct parser *p, struct cql_type_name *type)
{
	uint32_t cap = 0;
	do {
		struct cql_type_name *arg = NULL, **args;
		bool negative = parse__at(p, '-');
		if (negative)
			parse__next(p);
		if (p->token.kind == TOK_INTEGER) { /* vector<float, 3> */
			arg = arena_alloc(p->arena, sizeof *arg);
			if (!arg)
				return parse__memory(p);
			arg->name = arena_printf(p->arena, "%s%.*s", negative ? "-" : "", (int)p->token.text.size,
						 (const char *)p->token.text.data);
			parse__next(p);
		} else if (negative) {
			return parse__expected(p, "a number after '-'");
		} else if (!parse__type(p, &arg)) {
			return false;
		}
		args = cql__grow(p->arena, type->args, type->arg_count, &cap, sizeof *args);
		if (!args || !arg || !arg->name)
			return parse__memory(p);
		type->args = args;
		type->args[type->arg_count++] = arg;
	} while (parse__skip(p, ','));
	return parse__take(p, '>');
}

bool parse__type(struct parser *p, struct cql_type_name **ret_type)
{
	struct cql_type_name *type = arena_alloc(p->arena, sizeof *type);
	if (!type)
		return parse__memory(p);
	type->place = p->token.place;
	if (p->token.kind == TOK_STRING) { /* a custom type's class */
		type->name = arena_printf(p->arena, "'%.*s'", (int)p->token.text.size, (const char *)p->token.text.data);
		parse__next(p);
		*ret_type = type;
		return !p->failed && (type->name || parse__memory(p));
	}
	if (!parse__enter(p))
		return false;
	type->quoted = p->token.kind == TOK_QUOTED;
	/* set is a reserved word and a type. */
	if (parse__at_word(p, "set")) {
		type->name = "set";
		parse__next(p);
	} else if (!parse__name(p, "a type", &type->name)) {
		return false;
	}
	if (parse__skip(p, '.')) { /* keyspace.type */
		const char *keyspace = type->name;
		if (!parse__name(p, "a type", &type->name))
			return false;
		type->qualified = true;
		type->name = arena_printf(p->arena, "%s.%s", keyspace, type->name);
		if (!type->name)
			return parse__memory(p);
	}
	if (parse__skip(p, '<') && !type_args(p, type))
		return false;
	parse__leave(p);
	*ret_type = type;
	return !p->failed;
}

static bool marker(struct parser *p, const char *name, struct cql_term **ret_term)
{
	struct cql_term *t = new_term(p, CQL_TERM_MARKER);
	if (!t)
		return false;
	if (p->marker_count == CQL_MARKERS_MAX)
		return parse__fail(p, CQL_INVALID, "Too many bind markers (maximum %d)", CQL_MARKERS_MAX);
	const char **markers = cql__grow(p->arena, p->markers, p->marker_count, &p->marker_cap, sizeof *markers);
	if (!markers)
		return parse__memory(p);
	p->markers = markers;
	t->marker = p->marker_count;
	p->markers[p->marker_count++] = name;
	*ret_term = t;
	return true;
}

static bool literal(struct parser *p, enum cql_literal kind, bool negative, struct cql_term **ret_term)
{
	struct cql_term *t = new_term(p, CQL_TERM_LITERAL);
	if (!t)
		return false;
	t->literal = kind;
	t->text = p->token.text;
	if (negative) {
		char *text = arena_printf(p->arena, "-%.*s", (int)p->token.text.size, (const char *)p->token.text.data);
		if (!text)
			return parse__memory(p);
		t->text = bytes_of(text, p->token.text.size + 1);
	}
	parse__next(p);
	*ret_term = t;
	return !p->failed;
}

/* Terms up to close, the opening one is taken. */
static bool list_of(struct parser *p, struct cql_term *to, char close, bool (*one)(struct parser *, struct cql_term **))
{
	uint32_t cap = 0;
	if (parse__skip(p, close))
		return !p->failed;
	do {
		struct cql_term *arg;
		if (!one(p, &arg) || !add_term(p, to, &cap, arg))
			return false;
	} while (parse__skip(p, ','));
	return parse__take(p, close);
}

/* {a, b}, {a: b} or {field: b}; the brace is taken. */
static bool braces(struct parser *p, struct cql_term **ret_term)
{
	struct cql_term *t = new_term(p, CQL_TERM_SET);
	uint32_t cap = 0;
	if (!t)
		return false;
	*ret_term = t;
	if (parse__skip(p, '}'))
		return !p->failed;
	do {
		struct cql_term *arg;
		struct cql_token next = parse__peek(p);
		bool value = parse__at_word(p, "true") || parse__at_word(p, "false") || parse__at_word(p, "null") ||
			     parse__at_word(p, "nan") || parse__at_word(p, "infinity");
		if ((p->token.kind == TOK_IDENT || p->token.kind == TOK_QUOTED) && next.kind == TOK_PUNCTUATION &&
		    next.punctuation == ':' && !value) {
			if (!(arg = new_term(p, CQL_TERM_COLUMN)) || !parse__name(p, "a field", &arg->name))
				return false;
		} else if (!parse__term(p, &arg)) {
			return false;
		}
		if (!add_term(p, t, &cap, arg))
			return false;
		if (t->arg_count == 1 && parse__at(p, ':'))
			t->kind = CQL_TERM_MAP;
		if (t->kind == CQL_TERM_MAP && (!parse__take(p, ':') || !parse__term(p, &arg) || !add_term(p, t, &cap, arg)))
			return false;
	} while (parse__skip(p, ','));
	return parse__take(p, '}');
}

static bool call(struct parser *p, bool (*one)(struct parser *, struct cql_term **), struct cql_term **ret_term)
{
	struct cql_term *t = new_term(p, CQL_TERM_CALL);
	if (!t)
		return false;
	if (parse__at_word(p, "token")) {
		t->name = "token";
		parse__next(p);
	} else if (!parse__name(p, "a function", &t->name)) {
		return false;
	}
	if (parse__skip(p, '.')) {
		t->keyspace = t->name;
		if (!parse__name(p, "a function", &t->name))
			return false;
	}
	if (!parse__take(p, '('))
		return false;
	*ret_term = t;
	if (parse__skip(p, '*')) {
		t->star = true;
		return parse__take(p, ')');
	}
	return list_of(p, t, ')', one);
}

static bool simple_term(struct parser *p, struct cql_term **ret_term)
{
	bool negative = parse__at(p, '-');
	if (negative)
		parse__next(p);
	switch (p->token.kind) {
	case TOK_INTEGER: return literal(p, CQL_INTEGER, negative, ret_term);
	case TOK_FLOAT: return literal(p, CQL_FLOAT, negative, ret_term);
	case TOK_DURATION: return literal(p, CQL_DURATION, negative, ret_term);
	default: break;
	}
	if (parse__at_word(p, "nan") || parse__at_word(p, "infinity"))
		return literal(p, CQL_FLOAT, negative, ret_term);
	if (negative)
		return parse__expected(p, "a number after '-'");
	switch (p->token.kind) {
	case TOK_STRING: return literal(p, CQL_STRING, false, ret_term);
	case TOK_HEX: return literal(p, CQL_HEX, false, ret_term);
	case TOK_UUID: return literal(p, CQL_UUID, false, ret_term);
	case TOK_MARKER: parse__next(p); return marker(p, NULL, ret_term);
	default: break;
	}
	if (parse__at_word(p, "true") || parse__at_word(p, "false"))
		return literal(p, CQL_BOOLEAN, false, ret_term);
	if (parse__at_word(p, "null")) {
		*ret_term = new_term(p, CQL_TERM_NULL);
		parse__next(p);
		return *ret_term && !p->failed;
	}
	if (parse__skip(p, ':')) {
		const char *name;
		return parse__name(p, "the name of a bind marker", &name) && marker(p, name, ret_term);
	}
	return parse__expected(p, "a value");
}

static bool grouped_term(struct parser *p, struct cql_term **ret_term)
{
	if (parse__skip(p, '[')) {
		*ret_term = new_term(p, CQL_TERM_LIST);
		return *ret_term && list_of(p, *ret_term, ']', parse__term);
	}
	if (parse__skip(p, '{'))
		return braces(p, ret_term);
	parse__next(p); /* ( */
	struct cql_token next = parse__peek(p);
	if (p->token.kind == TOK_IDENT && next.kind == TOK_PUNCTUATION && (next.punctuation == ')' || next.punctuation == '<') &&
	    !parse__at_word(p, "null") && !parse__at_word(p, "true") && !parse__at_word(p, "false")) {
		struct cql_term *inner = NULL, *t = new_term(p, CQL_TERM_CAST); /* (int) 3 */
		uint32_t cap = 0;
		if (!t || !parse__type(p, &t->type) || !parse__take(p, ')') || !parse__operand(p, &inner) || !add_term(p, t, &cap, inner))
			return false;
		*ret_term = t;
		return true;
	}
	*ret_term = new_term(p, CQL_TERM_TUPLE);
	return *ret_term && list_of(p, *ret_term, ')', parse__term);
}

bool parse__operand(struct parser *p, struct cql_term **ret_term)
{
	if (!parse__enter(p))
		return false;
	struct cql_token next = {.kind = TOK_END};
	bool ok;
	if (p->token.kind == TOK_IDENT || p->token.kind == TOK_QUOTED)
		next = parse__peek(p);
	if (next.kind == TOK_PUNCTUATION && (next.punctuation == '(' || next.punctuation == '.'))
		ok = call(p, parse__term, ret_term);
	else if (parse__at(p, '[') || parse__at(p, '{') || parse__at(p, '('))
		ok = grouped_term(p, ret_term);
	else
		ok = simple_term(p, ret_term);
	parse__leave(p);
	return ok;
}

static bool at_literal(const struct parser *p)
{
	static const char *const words[] = {"true", "false", "null", "nan", "infinity"};
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (parse__at_word(p, words[i]))
			return true;
	return p->token.kind != TOK_IDENT && p->token.kind != TOK_QUOTED;
}

/* (int) before something that begins a value: a type hint. (c) alone is a column in parentheses. */
static bool at_hint(struct parser *p)
{
	struct cql_lexer ahead = p->lexer;
	struct cql_token name = cql__lex(&ahead), close = cql__lex(&ahead), after = cql__lex(&ahead);
	if (name.kind != TOK_IDENT || close.kind != TOK_PUNCTUATION)
		return false;
	if (close.punctuation == '<')
		return true;
	if (close.punctuation != ')')
		return false;
	if (after.kind == TOK_PUNCTUATION)
		return after.punctuation == '(' || after.punctuation == '[' || after.punctuation == '{' || after.punctuation == ':';
	return after.kind != TOK_END && !parse__token_is(&after, "from") && !parse__token_is(&after, "as");
}

static bool selected_group(struct parser *p, struct cql_term **ret_term)
{
	if (parse__skip(p, '[')) {
		*ret_term = new_term(p, CQL_TERM_LIST);
		return *ret_term && list_of(p, *ret_term, ']', parse__selection);
	}
	if (!at_hint(p)) {
		parse__next(p);
		*ret_term = new_term(p, CQL_TERM_TUPLE);
		return *ret_term && list_of(p, *ret_term, ')', parse__selection);
	}
	struct cql_term *inner = NULL, *t = new_term(p, CQL_TERM_CAST);
	uint32_t cap = 0;
	parse__next(p);
	*ret_term = t;
	return t && parse__type(p, &t->type) && parse__take(p, ')') && parse__selected(p, &inner) && add_term(p, t, &cap, inner);
}

static bool native_type(struct parser *p, const struct cql_type_name *type)
{
	return (type->arg_count == 0 && !type->quoted && !type->qualified && cql__is_type_name(type->name)) ||
	       parse__fail(p, CQL_SYNTAX_ERROR, "line %u:%u no viable alternative at input '%s'", type->place.line, type->place.column,
			   type->name);
}

static bool selected_cast(struct parser *p, struct cql_term **ret_term)
{
	struct cql_term *inner, *t = new_term(p, CQL_TERM_CAST);
	uint32_t cap = 0;
	parse__next(p);
	if (!t || !parse__take(p, '(') || !parse__selection(p, &inner) || !add_term(p, t, &cap, inner) || !parse__take_word(p, "as") ||
	    !parse__type(p, &t->type) || !native_type(p, t->type) || !parse__take(p, ')'))
		return false;
	t->is_function = true;
	*ret_term = t;
	return true;
}

/* What follows a selected column: [key], [from..to], .field; any number of them. */
static bool selected_part(struct parser *p, struct cql_term **term)
{
	struct cql_term *t = new_term(p, CQL_TERM_FIELD);
	if (!t || !(t->args = arena_alloc(p->arena, 3 * sizeof(struct cql_term *))))
		return parse__memory(p);
	t->args[0] = *term;
	t->arg_count = 1;
	*term = t;
	if (parse__skip(p, '.'))
		return parse__name(p, "a field name", &t->name);
	parse__next(p);
	t->kind = CQL_TERM_ELEMENT;
	t->arg_count = 2;
	if (p->token.kind != TOK_RANGE && !parse__term(p, &t->args[1]))
		return false;
	if (p->token.kind == TOK_RANGE) {
		t->kind = CQL_TERM_SLICE;
		t->arg_count = 3;
		parse__next(p);
		if (!parse__at(p, ']') && !parse__term(p, &t->args[2]))
			return false;
	}
	return parse__take(p, ']');
}

static bool selected(struct parser *p, struct cql_term **ret_term)
{
	struct cql_token next = parse__peek(p);
	if (parse__at(p, '(') || parse__at(p, '['))
		return selected_group(p, ret_term);
	if (at_literal(p))
		return parse__operand(p, ret_term);
	if (next.kind == TOK_PUNCTUATION && next.punctuation == '(')
		return parse__at_word(p, "cast") ? selected_cast(p, ret_term) : call(p, parse__selection, ret_term);
	if (next.kind == TOK_PUNCTUATION && next.punctuation == '.') { /* keyspace.function( */
		struct cql_lexer ahead = p->lexer;
		(void)cql__lex(&ahead);
		(void)cql__lex(&ahead);
		struct cql_token after = cql__lex(&ahead);
		if (after.kind == TOK_PUNCTUATION && after.punctuation == '(')
			return call(p, parse__selection, ret_term);
	}
	struct cql_term *t = new_term(p, CQL_TERM_COLUMN);
	if (!t || !parse__name(p, "a column, a function or a value", &t->name))
		return false;
	*ret_term = t;
	uint32_t parts = 0; /* each is a level of its own when the selection is looked at */
	for (; parse__at(p, '[') || parse__at(p, '.'); parts++)
		if (!parse__enter(p) || !selected_part(p, ret_term))
			return false;
	while (parts--)
		parse__leave(p);
	return true;
}

/* One selected thing: a column, a call of such, a literal. */
bool parse__selected(struct parser *p, struct cql_term **ret_term)
{
	if (!parse__enter(p))
		return false;
	bool ok = selected(p, ret_term);
	parse__leave(p);
	return ok && !p->failed;
}

bool parse__integer_or_marker(struct parser *p, const char *what, struct cql_term **ret_term)
{
	if (parse__at(p, '-') || p->token.kind == TOK_INTEGER || p->token.kind == TOK_MARKER || parse__at(p, ':'))
		return parse__operand(p, ret_term);
	return parse__expected(p, what);
}

static bool add_column(struct parser *p, struct cql_relation *r, uint32_t *cap)
{
	const char **columns = cql__grow(p->arena, r->columns, r->column_count, cap, sizeof *columns);
	if (!columns)
		return parse__memory(p);
	r->columns = columns;
	return parse__name(p, "a column name", &r->columns[r->column_count++]);
}

static bool columns_in_parentheses(struct parser *p, struct cql_relation *r)
{
	uint32_t cap = 0;
	if (!parse__take(p, '('))
		return false;
	do {
		if (!add_column(p, r, &cap))
			return false;
	} while (parse__skip(p, ','));
	return parse__take(p, ')');
}

static bool in_values(struct parser *p, struct cql_relation *r)
{
	if (!parse__at(p, '('))
		return parse__term(p, &r->value);
	parse__next(p);
	struct cql_term holder = {0};
	if (!list_of(p, &holder, ')', parse__term))
		return false;
	r->values = holder.args;
	r->value_count = holder.arg_count;
	return true;
}

static bool operator_and_value(struct parser *p, struct cql_relation *r)
{
	if (!r->token && parse__skip_word(p, "in")) {
		r->op = CQL_IN;
		return in_values(p, r);
	}
	if (parse__skip_word(p, "contains")) {
		r->op = parse__skip_word(p, "key") ? CQL_CONTAINS_KEY : CQL_CONTAINS;
		return parse__term(p, &r->value);
	}
	if (parse__skip_word(p, "like")) {
		r->op = CQL_LIKE;
		return parse__term(p, &r->value);
	}
	if (parse__skip_word(p, "is")) {
		r->op = CQL_IS_NOT_NULL;
		return parse__take_word(p, "not") && parse__take_word(p, "null");
	}
	if (parse__skip(p, '='))
		r->op = CQL_EQ;
	else if (parse__skip(p, '<'))
		r->op = CQL_LT;
	else if (parse__skip(p, '>'))
		r->op = CQL_GT;
	else if (p->token.kind == TOK_LE || p->token.kind == TOK_GE || p->token.kind == TOK_NEQ) {
		r->op = p->token.kind == TOK_LE ? CQL_LE : p->token.kind == TOK_GE ? CQL_GE : CQL_NEQ;
		parse__next(p);
	} else
		return parse__expected(p, "=, <, <=, >, >=, != or IN");
	return parse__term(p, &r->value);
}

static bool relation(struct parser *p, struct cql_relation *r)
{
	uint32_t cap = 0;
	if (parse__at_word(p, "token")) {
		parse__next(p);
		r->token = true;
		return columns_in_parentheses(p, r) && operator_and_value(p, r);
	}
	if (parse__at(p, '(')) {
		r->tuple = true;
		return columns_in_parentheses(p, r) && operator_and_value(p, r);
	}
	if (!add_column(p, r, &cap))
		return false;
	if (parse__skip(p, '[') && (!parse__term(p, &r->subscript) || !parse__take(p, ']')))
		return false;
	if (!r->subscript && parse__skip(p, '.') && !parse__name(p, "a field name", &r->field))
		return false;
	return operator_and_value(p, r);
}

bool parse__where(struct parser *p, struct cql_relation **ret_relations, uint32_t *ret_count)
{
	uint32_t cap = 0;
	do {
		*ret_relations = cql__grow(p->arena, *ret_relations, *ret_count, &cap, sizeof **ret_relations);
		if (!*ret_relations)
			return parse__memory(p);
		if (!relation(p, &(*ret_relations)[*ret_count]))
			return false;
		(*ret_count)++;
	} while (parse__skip_word(p, "and"));
	return !p->failed;
}
