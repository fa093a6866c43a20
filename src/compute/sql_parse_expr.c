/* Expressions: one function a level of precedence, lowest first: OR, AND, NOT, predicates, + - ||, * / % DIV, sign, primary. */
#include "compute/sql_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

/* A node at the token `at`, with copies of the argument pointers. */
static enum sm_err ast_new(struct parser *p, enum sql_op op, const struct token *at, struct ast *const *args, uint32_t count,
			   struct ast **ret)
{
	struct ast *a = arena_alloc(p->arena, sizeof *a);
	if (!a)
		return parser__no_memory(p);
	a->op = op;
	a->line = at->line;
	a->column = at->column;
	a->count = count;
	if (count && !(a->args = arena_copy(p->arena, args, count * sizeof *args)))
		return parser__no_memory(p);
	a->size = 1;
	for (uint32_t i = 0; i < count; i++) {
		a->size += args[i]->size;
		if (args[i]->depth >= a->depth)
			a->depth = args[i]->depth + 1;
		if (a->size > SQL_TREE_SIZE_MAX)
			return sql__fail(p->reterr, SM_TOO_LARGE, at->line, at->column, "an expression of more than %d parts",
					 SQL_TREE_SIZE_MAX);
	}
	if (a->depth > SQL_TREE_DEPTH_MAX)
		return sql__fail(p->reterr, SM_TOO_LARGE, at->line, at->column,
				 "an expression of more than %d steps: put parts of it in parentheses", SQL_TREE_DEPTH_MAX);
	*ret = a;
	return SM_OK;
}

static enum sm_err ast_call(struct parser *p, const char *name, const struct token *at, struct ast *const *args, uint32_t count,
			    struct ast **ret)
{
	enum sm_err err = ast_new(p, OP_CALL, at, args, count, ret);
	if (!err) {
		(*ret)->parts[0] = name;
		(*ret)->part_count = 1;
	}
	return err;
}

static enum sm_err ast_literal(struct parser *p, const struct token *at, struct value value, struct ast **ret)
{
	enum sm_err err = ast_new(p, OP_LITERAL, at, NULL, 0, ret);
	if (!err)
		(*ret)->value = value;
	return err;
}

/* ---- primary ---- */

static enum sm_err parse_number(struct parser *p, bool negative, struct ast **ret)
{
	struct token t = p->token;
	struct value v = {.type = COLUMN_INT32};
	errno = 0;
	if (t.kind == TOKEN_REAL) {
		v.type = COLUMN_DOUBLE;
		v.real = strtod(t.text, NULL);
		if (v.real > 1.7976931348623157e308)
			return sql__fail(p->reterr, SM_OUT_OF_RANGE, t.line, t.column, "%.40s is too large for a double", t.text);
		if (negative)
			v.real = -v.real;
	} else {
		unsigned long long u = strtoull(t.text, NULL, 10);
		if (errno == ERANGE || u > (unsigned long long)INT64_MAX + negative)
			return sql__fail(p->reterr, SM_OUT_OF_RANGE, t.line, t.column, "%.40s is too large for a bigint", t.text);
		v.integer = negative ? (int64_t)(0 - u) : (int64_t)u;
		if (t.kind == TOKEN_BIGINT || v.integer != (int32_t)v.integer)
			v.type = COLUMN_INT64;
	}
	enum sm_err err = ast_literal(p, &t, v, ret);
	return err ? err : parser__advance(p);
}

static enum sm_err parse_case(struct parser *p, const struct token *at, struct ast **ret)
{
	struct ast_list list = {0};
	struct ast *subject = NULL, *when, *then;
	enum sm_err err;
	bool taken;
	if (!parser__is_word(&p->token, "when") && (err = parser__expr(p, &subject)))
		return err;
	do {
		struct token w = p->token;
		if ((err = parser__expect(p, "when")) || (err = parser__expr(p, &when)))
			return err;
		if (subject && (err = ast_new(p, OP_EQ, &w, (struct ast *[]){subject, when}, 2, &when)))
			return err;
		if ((err = parser__expect(p, "then")) || (err = parser__expr(p, &then)) || (err = parser__list_add(p, &list, when)) ||
		    (err = parser__list_add(p, &list, then)))
			return err;
	} while (parser__is_word(&p->token, "when"));
	if ((err = parser__accept(p, "else", &taken)))
		return err;
	if (taken) {
		err = parser__expr(p, &then);
	} else if (!(err = ast_literal(p, at, (struct value){.type = COLUMN_TEXT, .null = true}, &then))) {
		then->untyped = true;
	}
	if (err || (err = parser__list_add(p, &list, then)) || (err = parser__expect(p, "end")))
		return err;
	return ast_new(p, OP_CASE, at, list.items, list.count, ret);
}

static enum sm_err parse_cast(struct parser *p, const struct token *at, struct ast **ret)
{
	struct ast *value;
	enum sm_err err;
	if ((err = parser__expr(p, &value)) || (err = parser__expect(p, "as")))
		return err;
	struct token t = p->token;
	enum column_type type;
	if (t.kind != TOKEN_NAME)
		return parser__unexpected(p, "a type");
	/* There is no date type: a date is the text yyyy-MM-dd, which compares and shows alike. */
	bool date = strcasecmp(t.text, "date") == 0;
	if (!date && !sql__type_by_name(t.text, &type))
		return sql__fail(p->reterr, SM_UNSUPPORTED, t.line, t.column, "there is no type %.60s", t.text);
	if ((err = parser__advance(p)))
		return err;
	if (parser__is_symbol(&p->token, "(") || parser__is_symbol(&p->token, "<"))
		return sql__fail(p->reterr, SM_UNSUPPORTED, t.line, t.column, "types with parameters are not supported");
	if ((err = parser__expect(p, ")")))
		return err;
	if (date)
		return ast_call(p, "to_date", at, &value, 1, ret);
	if ((err = ast_new(p, OP_CAST, at, &value, 1, ret)))
		return err;
	(*ret)->type = type;
	return SM_OK;
}

/* Behind "name(": arguments and the closing parenthesis. */
static enum sm_err parse_call(struct parser *p, const struct token *at, struct ast **ret)
{
	struct ast_list list = {0};
	enum sm_err err;
	bool distinct = false, taken, more;
	if (strcasecmp(at->text, "cast") == 0)
		return parse_cast(p, at, ret);
	if ((err = parser__accept(p, "distinct", &distinct)) || (err = parser__accept(p, ")", &taken)))
		return err;
	for (more = !taken; more;) {
		struct ast *arg;
		if ((err = parser__expr(p, &arg)) || (err = parser__list_add(p, &list, arg)) || (err = parser__accept(p, ",", &more)))
			return err;
	}
	if (!taken && (err = parser__expect(p, ")")))
		return err;
	if (parser__is_word(&p->token, "over") || parser__is_word(&p->token, "filter"))
		if (parser__is_symbol(&p->ahead, "("))
			return sql__fail(p->reterr, SM_UNSUPPORTED, p->token.line, p->token.column,
					 "OVER and FILTER are not supported (use count_if, CASE)");
	if ((err = ast_call(p, at->text, at, list.items, list.count, ret)))
		return err;
	(*ret)->distinct = distinct;
	return SM_OK;
}

static enum sm_err parse_parenthesis(struct parser *p, const struct token *at, struct ast **ret)
{
	enum sm_err err;
	if (parser__is_word(&p->token, "select") || parser__is_word(&p->token, "with")) {
		struct query *q;
		size_t start = p->token.start;
		if ((err = parser__query(p, &q)) || (err = ast_new(p, OP_SUBQUERY, at, NULL, 0, ret)))
			return err;
		(*ret)->query = q;
		(*ret)->ctes = p->ctes;
		(*ret)->text = bytes_of(arena_string(p->arena, (const char *)p->lexer.source.data + start, p->last_end - start),
					p->last_end - start);
		if (!(*ret)->text.data)
			return parser__no_memory(p);
	} else if ((err = parser__expr(p, ret))) {
		return err;
	}
	if (parser__is_symbol(&p->token, ","))
		return sql__fail(p->reterr, SM_UNSUPPORTED, p->token.line, p->token.column, "rows as values are not supported");
	return parser__expect(p, ")");
}

/* name, table.name, keyspace.table.name, or the same ending in * */
static enum sm_err parse_name(struct parser *p, const struct token *at, struct ast **ret)
{
	enum sm_err err;
	bool dot = true;
	if ((err = ast_new(p, OP_NAME, at, NULL, 0, ret)))
		return err;
	struct ast *a = *ret;
	while (dot) {
		if (a->part_count == 3)
			return sql__fail(p->reterr, SM_UNSUPPORTED, at->line, at->column,
					 "a name has at most three parts: keyspace.table.column");
		if (a->part_count && parser__is_symbol(&p->token, "*")) {
			a->op = OP_STAR;
			return parser__advance(p);
		}
		/* behind a dot every word is a name */
		if (p->token.kind != TOKEN_QUOTED && p->token.kind != TOKEN_NAME)
			return parser__unexpected(p, "a name");
		a->parts[a->part_count++] = p->token.text;
		if ((err = parser__advance(p)) || (err = parser__accept(p, ".", &dot)))
			return err;
	}
	return SM_OK;
}

/* DATE '2019-11-30' and TIMESTAMP '...'. */
static enum sm_err parse_typed_literal(struct parser *p, const struct token *at, struct ast **ret)
{
	struct ast *text;
	enum sm_err err;
	if ((err = parser__advance(p)) ||
	    (err = ast_literal(p, &p->token, (struct value){.type = COLUMN_TEXT, .bytes = bytes_of(p->token.text, p->token.size)}, &text)))
		return err;
	int64_t ms;
	if (!sql__parse_timestamp(text->value.bytes, &ms))
		return sql__fail(p->reterr, SM_INVALID, p->token.line, p->token.column, "'%.40s' is no %s", p->token.text,
				 strcasecmp(at->text, "date") == 0 ? "date (yyyy-MM-dd)" : "timestamp (yyyy-MM-dd HH:mm:ss.SSS)");
	if ((err = parser__advance(p)))
		return err;
	if (strcasecmp(at->text, "date") == 0)
		return ast_call(p, "to_date", at, &text, 1, ret);
	return ast_literal(p, at, (struct value){.type = COLUMN_TIMESTAMP, .integer = ms}, ret);
}

static enum sm_err parse_param(struct parser *p, struct ast **ret)
{
	struct sql_script *s = p->script;
	uint32_t i = 0;
	enum sm_err err;
	while (i < s->param_count && strcmp(s->params[i].name, p->token.text) != 0)
		i++;
	if (i == SQL_PARAMS_MAX)
		return sql__fail(p->reterr, SM_TOO_LARGE, p->token.line, p->token.column, "more than %d parameters", SQL_PARAMS_MAX);
	if (i == s->param_count)
		s->params[s->param_count++].name = p->token.text;
	if ((err = ast_new(p, OP_PARAM, &p->token, NULL, 0, ret)))
		return err;
	(*ret)->parts[0] = p->token.text;
	return parser__advance(p);
}

static enum sm_err parse_word(struct parser *p, struct ast **ret)
{
	struct token t = p->token;
	bool call = parser__is_symbol(&p->ahead, "(");
	enum sm_err err;
	if (p->ahead.kind == TOKEN_STRING && (parser__is_word(&t, "date") || parser__is_word(&t, "timestamp")))
		return parse_typed_literal(p, &t, ret);
	if (parser__is_word(&t, "case"))
		return (err = parser__advance(p)) ? err : parse_case(p, &t, ret);
	if (parser__is_word(&t, "null") || parser__is_word(&t, "true") || parser__is_word(&t, "false")) {
		bool null = parser__is_word(&t, "null");
		struct value v = {.type = null ? COLUMN_TEXT : COLUMN_BOOL, .null = null};
		if (!null)
			v.boolean = parser__is_word(&t, "true");
		if ((err = ast_literal(p, &t, v, ret)))
			return err;
		(*ret)->untyped = null;
		return parser__advance(p);
	}
	if (parser__is_word(&t, "interval") && (p->ahead.kind == TOKEN_STRING || p->ahead.kind == TOKEN_INTEGER))
		return sql__fail(p->reterr, SM_UNSUPPORTED, t.line, t.column, "INTERVAL is not supported");
	if (parser__is_word(&t, "exists") && call)
		return sql__fail(p->reterr, SM_UNSUPPORTED, t.line, t.column, "EXISTS is not supported (write a join)");
	if (call && (!parser__reserved(&t) || parser__is_word(&t, "left") || parser__is_word(&t, "right"))) {
		if ((err = parser__advance(p)) || (err = parser__advance(p)))
			return err;
		return parse_call(p, &t, ret);
	}
	if (parser__reserved(&t))
		return parser__unexpected(p, "an expression");
	return parse_name(p, &t, ret);
}

static enum sm_err parse_primary(struct parser *p, struct ast **ret)
{
	struct token t = p->token;
	enum sm_err err;
	switch (t.kind) {
	case TOKEN_INTEGER:
	case TOKEN_BIGINT:
	case TOKEN_REAL: return parse_number(p, false, ret);
	case TOKEN_STRING:
		if ((err = ast_literal(p, &t, (struct value){.type = COLUMN_TEXT, .bytes = bytes_of(t.text, t.size)}, ret)))
			return err;
		return parser__advance(p);
	case TOKEN_PARAM: return parse_param(p, ret);
	case TOKEN_QUOTED: return parse_name(p, &t, ret);
	case TOKEN_NAME: return parse_word(p, ret);
	case TOKEN_SYMBOL:
		if (parser__is_symbol(&t, "("))
			return (err = parser__advance(p)) ? err : parse_parenthesis(p, &t, ret);
		if (parser__is_symbol(&t, "*")) {
			if ((err = ast_new(p, OP_STAR, &t, NULL, 0, ret)))
				return err;
			return parser__advance(p);
		}
		break;
	case TOKEN_END: break;
	}
	return parser__unexpected(p, "an expression");
}

/* ---- operators ---- */

static enum sm_err parse_sign(struct parser *p, struct ast **ret)
{
	struct token t = p->token;
	bool minus = parser__is_symbol(&t, "-"), plus = parser__is_symbol(&t, "+");
	enum sm_err err;
	if (!minus && !plus)
		return parse_primary(p, ret);
	if ((err = parser__enter(p)) || (err = parser__advance(p)))
		return err;
	if (minus && (p->token.kind == TOKEN_INTEGER || p->token.kind == TOKEN_BIGINT || p->token.kind == TOKEN_REAL))
		err = parse_number(p, true, ret); /* so that the least bigint can be written */
	else if (!(err = parse_sign(p, ret)) && minus)
		err = ast_new(p, OP_NEG, &t, ret, 1, ret);
	p->depth--;
	return err;
}

struct binary {
	const char *word;
	enum sql_op op;
};

static const struct binary *find_binary(const struct token *t, const struct binary *table)
{
	for (; table->word; table++)
		if (parser__is_symbol(t, table->word) || parser__is_word(t, table->word))
			return table;
	return NULL;
}

static enum sm_err parse_product(struct parser *p, struct ast **ret)
{
	static const struct binary ops[] = {{"*", OP_MUL}, {"/", OP_DIV}, {"%", OP_MOD}, {"div", OP_INT_DIV}, {NULL, 0}};
	const struct binary *op;
	enum sm_err err = parse_sign(p, ret);
	while (!err && (op = find_binary(&p->token, ops))) {
		struct token t = p->token;
		struct ast *right;
		if ((err = parser__advance(p)) || (err = parse_sign(p, &right)))
			return err;
		err = ast_new(p, op->op, &t, (struct ast *[]){*ret, right}, 2, ret);
	}
	return err;
}

static enum sm_err parse_sum(struct parser *p, struct ast **ret)
{
	static const struct binary ops[] = {{"+", OP_ADD}, {"-", OP_SUB}, {"||", OP_CALL}, {NULL, 0}};
	const struct binary *op;
	enum sm_err err = parse_product(p, ret);
	while (!err && (op = find_binary(&p->token, ops))) {
		struct token t = p->token;
		struct ast *right;
		if ((err = parser__advance(p)) || (err = parse_product(p, &right)))
			return err;
		struct ast *args[] = {*ret, right};
		err = op->op == OP_CALL ? ast_call(p, "concat", &t, args, 2, ret) : ast_new(p, op->op, &t, args, 2, ret);
	}
	return err;
}

static enum sm_err parse_in(struct parser *p, const struct token *at, struct ast *value, struct ast **ret)
{
	struct ast_list list = {0};
	enum sm_err err;
	bool more = true;
	if ((err = parser__expect(p, "(")) || (err = parser__list_add(p, &list, value)))
		return err;
	if (parser__is_word(&p->token, "select") || parser__is_word(&p->token, "with"))
		return sql__fail(p->reterr, SM_UNSUPPORTED, p->token.line, p->token.column,
				 "IN (SELECT ..) is not supported (write a join)");
	while (more) {
		struct ast *item;
		if ((err = parser__expr(p, &item)) || (err = parser__list_add(p, &list, item)) || (err = parser__accept(p, ",", &more)))
			return err;
	}
	return (err = parser__expect(p, ")")) ? err : ast_new(p, OP_IN, at, list.items, list.count, ret);
}

static enum sm_err parse_between(struct parser *p, const struct token *at, struct ast *value, struct ast **ret)
{
	struct ast *low, *high;
	enum sm_err err;
	if ((err = parse_sum(p, &low)) || (err = parser__expect(p, "and")) || (err = parse_sum(p, &high)) ||
	    (err = ast_new(p, OP_GE, at, (struct ast *[]){value, low}, 2, &low)) ||
	    (err = ast_new(p, OP_LE, at, (struct ast *[]){value, high}, 2, &high)))
		return err;
	return ast_new(p, OP_AND, at, (struct ast *[]){low, high}, 2, ret);
}

/* value [NOT] IN, BETWEEN, LIKE; value IS [NOT] NULL, TRUE, FALSE. *ret_taken false: none of them. */
static enum sm_err parse_word_predicate(struct parser *p, struct ast **ret, bool *ret_taken)
{
	struct token t = p->token;
	enum sm_err err;
	bool not, taken = true;
	*ret_taken = true;
	if (parser__is_word(&t, "is")) {
		if ((err = parser__advance(p)) || (err = parser__accept(p, "not", &not )))
			return err;
		if (parser__is_word(&p->token, "null")) {
			err = ast_new(p, OP_IS_NULL, &t, ret, 1, ret);
		} else if (parser__is_word(&p->token, "true") || parser__is_word(&p->token, "false")) {
			struct ast *b;
			if (!(err = ast_literal(p, &p->token,
						(struct value){.type = COLUMN_BOOL, .boolean = parser__is_word(&p->token, "true")}, &b)))
				err = ast_new(p, OP_SAME, &t, (struct ast *[]){*ret, b}, 2, ret);
		} else {
			return parser__unexpected(p, "NULL, TRUE or FALSE");
		}
		if (!err)
			err = parser__advance(p);
	} else {
		not = parser__is_word(&t, "not");
		if (not &&!parser__is_word(&p->ahead, "in") && !parser__is_word(&p->ahead, "between") &&
		    !parser__is_word(&p->ahead, "like"))
			return parser__unexpected(p, "an operator");
		if (not &&(err = parser__advance(p)))
			return err;
		if ((err = parser__accept(p, "in", &taken)))
			return err;
		if (taken) {
			err = parse_in(p, &t, *ret, ret);
		} else if (!(err = parser__accept(p, "between", &taken)) && taken) {
			err = parse_between(p, &t, *ret, ret);
		} else if (!err && !(err = parser__accept(p, "like", &taken)) && taken) {
			struct ast *pattern;
			if ((err = parse_sum(p, &pattern)))
				return err;
			if (parser__is_word(&p->token, "escape"))
				return sql__fail(p->reterr, SM_UNSUPPORTED, p->token.line, p->token.column,
						 "LIKE .. ESCAPE is not supported");
			err = ast_new(p, OP_LIKE, &t, (struct ast *[]){*ret, pattern}, 2, ret);
		}
	}
	*ret_taken = taken;
	return err || !taken || !not ? err : ast_new(p, OP_NOT, &t, ret, 1, ret);
}

static enum sm_err parse_predicate(struct parser *p, struct ast **ret)
{
	static const struct binary ops[] = {{"=", OP_EQ}, {"==", OP_EQ}, {"<=>", OP_SAME}, {"<>", OP_NE}, {"!=", OP_NE},
					    {"<", OP_LT}, {"<=", OP_LE}, {">", OP_GT},     {">=", OP_GE}, {NULL, 0}};
	const struct binary *op;
	enum sm_err err = parse_sum(p, ret);
	bool taken = true;
	while (!err && taken) {
		struct token t = p->token;
		struct ast *right;
		if ((op = find_binary(&t, ops))) {
			if ((err = parser__advance(p)) || (err = parse_sum(p, &right)))
				return err;
			err = ast_new(p, op->op, &t, (struct ast *[]){*ret, right}, 2, ret);
		} else {
			err = parse_word_predicate(p, ret, &taken);
		}
	}
	return err;
}

static enum sm_err parse_not(struct parser *p, struct ast **ret)
{
	struct token t = p->token;
	enum sm_err err;
	if (!parser__is_word(&t, "not"))
		return parse_predicate(p, ret);
	if ((err = parser__enter(p)) || (err = parser__advance(p)) || (err = parse_not(p, ret)))
		return err;
	p->depth--;
	return ast_new(p, OP_NOT, &t, ret, 1, ret);
}

static enum sm_err parse_and(struct parser *p, struct ast **ret)
{
	enum sm_err err = parse_not(p, ret);
	while (!err && parser__is_word(&p->token, "and")) {
		struct token t = p->token;
		struct ast *right;
		if ((err = parser__advance(p)) || (err = parse_not(p, &right)))
			return err;
		err = ast_new(p, OP_AND, &t, (struct ast *[]){*ret, right}, 2, ret);
	}
	return err;
}

/* The source as written, runs of blanks as one, at most 200 bytes: a column's name where no alias gives it one. */
static enum sm_err source_text(struct parser *p, size_t start, struct ast *a)
{
	size_t size = p->last_end > start ? p->last_end - start : 0, n = 0;
	char *text = arena_alloc_raw(p->arena, (size < 200 ? size : 200) + 1, 1);
	if (!text)
		return parser__no_memory(p);
	for (size_t i = 0; i < size && n < 200; i++) {
		char c = (char)p->lexer.source.data[start + i];
		bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == 0;
		if (!blank)
			text[n++] = c;
		else if (n && text[n - 1] != ' ')
			text[n++] = ' ';
	}
	text[n] = 0;
	a->source = text;
	return SM_OK;
}

enum sm_err parser__expr(struct parser *p, struct ast **ret)
{
	size_t start = p->token.start;
	enum sm_err err;
	if ((err = parser__enter(p)))
		return err;
	err = parse_and(p, ret);
	while (!err && parser__is_word(&p->token, "or")) {
		struct token t = p->token;
		struct ast *right;
		if ((err = parser__advance(p)) || (err = parse_and(p, &right)))
			return err;
		err = ast_new(p, OP_OR, &t, (struct ast *[]){*ret, right}, 2, ret);
	}
	p->depth--;
	return err ? err : source_text(p, start, *ret);
}
