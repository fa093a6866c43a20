/* Expressions: terms and selections joined by + - * / %, with signs. What is joined is read by parse_term.c.
 *
 * A minus that stands directly before a number belongs to the number, as in Cassandra's lexer: a - 1 is a difference, a-1 is refused. */
#include "cql/parse_internal.h"

#include <assert.h>
#include <string.h>

typedef bool operand(struct parser *p, struct cql_term **ret_term);

static bool new_operation(struct parser *p, char op, struct cql_term *a, struct cql_term *b, struct cql_term **ret_term)
{
	assert(a != NULL);
	struct cql_term *t = arena_alloc(p->arena, sizeof *t);
	struct cql_term **args = arena_alloc(p->arena, 2 * sizeof *args);
	if (!t || !args)
		return parse__memory(p);
	args[0] = a;
	args[1] = b;
	*t = (struct cql_term){.kind = CQL_TERM_OPERATION, .op = op, .args = args, .arg_count = b ? 2 : 1, .place = a->place};
	*ret_term = t;
	return true;
}

static bool at_number(const struct cql_token *t)
{
	return t->kind == TOK_INTEGER || t->kind == TOK_FLOAT || t->kind == TOK_DURATION;
}

static bool begins_number(struct parser *p)
{
	struct cql_token next = parse__peek(p);
	return at_number(&next) || parse__token_is(&next, "nan") || parse__token_is(&next, "infinity");
}

/* Cassandra's lexer takes -i and -n for the start of -Infinity and -NaN, and nothing else: - i is a sign and a name. */
static bool refused_sign(struct parser *p)
{
	struct cql_token next = parse__peek(p);
	const uint8_t *name = next.source.data;
	if (next.kind != TOK_IDENT || name != p->token.source.data + 1 || !strchr("iInN", name[0]))
		return false;
	if (parse__token_is(&next, "nan") || parse__token_is(&next, "infinity"))
		return false;
	return !parse__fail(p, CQL_SYNTAX_ERROR, "line %u:%u mismatched character '%c' expecting set null", next.place.line,
			    next.place.column + 1, name + 1 < p->lexer.end ? name[1] : ';');
}

/* -x; a number takes its sign itself. */
static bool signed_operand(struct parser *p, operand *one, struct cql_term **ret_term)
{
	if (!parse__at(p, '-') || begins_number(p))
		return one(p, ret_term);
	struct cql_term *inner = NULL;
	if (refused_sign(p) || !parse__enter(p))
		return false;
	parse__next(p);
	bool ok = signed_operand(p, one, &inner) && new_operation(p, '-', inner, NULL, ret_term);
	parse__leave(p);
	return ok;
}

/* Is an operator here, one of those? In a value, + before a column belongs to the assignment: l = [0] + l. */
static bool at_operator(struct parser *p, const char *operators, bool value, char *ret_op)
{
	for (; *operators; operators++) {
		if (!parse__at(p, *operators))
			continue;
		struct cql_token next = parse__peek(p);
		if (*operators == '-' && at_number(&next) && next.source.data == p->token.source.data + 1)
			return parse__expected(p, "blanks around the operator -");
		if (value && next.kind == TOK_QUOTED)
			return false;
		if (value && next.kind == TOK_IDENT && !parse__token_is(&next, "nan") && !parse__token_is(&next, "infinity")) {
			struct cql_lexer ahead = p->lexer;
			(void)cql__lex(&ahead);
			struct cql_token after = cql__lex(&ahead);
			if (after.kind != TOK_PUNCTUATION || (after.punctuation != '(' && after.punctuation != '.'))
				return false;
		}
		*ret_op = *operators;
		return true;
	}
	return false;
}

static bool product(struct parser *p, operand *one, bool value, struct cql_term **ret_term)
{
	struct cql_term *left = NULL, *right = NULL;
	char op = 0;
	if (!signed_operand(p, one, &left))
		return false;
	for (uint32_t n = 0; at_operator(p, "*/%", value, &op); n++) {
		parse__next(p);
		if (n == CQL_OPERATORS_MAX)
			return parse__fail(p, CQL_INVALID, "An expression has more than %d operators in a row", CQL_OPERATORS_MAX);
		if (!signed_operand(p, one, &right) || !new_operation(p, op, left, right, &left))
			return false;
	}
	*ret_term = left;
	return !p->failed;
}

static bool sum(struct parser *p, operand *one, bool value, struct cql_term **ret_term)
{
	struct cql_term *left = NULL, *right = NULL;
	char op = 0;
	if (!product(p, one, value, &left))
		return false;
	for (uint32_t n = 0; at_operator(p, "+-", value, &op); n++) {
		parse__next(p);
		if (n == CQL_OPERATORS_MAX)
			return parse__fail(p, CQL_INVALID, "An expression has more than %d operators in a row", CQL_OPERATORS_MAX);
		if (!product(p, one, value, &right) || !new_operation(p, op, left, right, &left))
			return false;
	}
	*ret_term = left;
	return !p->failed;
}

bool parse__term(struct parser *p, struct cql_term **ret_term)
{
	return sum(p, parse__operand, true, ret_term);
}

bool parse__selection(struct parser *p, struct cql_term **ret_term)
{
	return sum(p, parse__selected, false, ret_term);
}
