/* The parser's frame: tokens, names, tables, and which statement it is. */
#include "cql/parse_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void parse__next(struct parser *p)
{
	if (p->failed)
		return;
	p->token = cql__lex(&p->lexer);
	if (p->token.kind == TOK_BAD) {
		struct cql_place at = p->token.place;
		parse__fail(p, CQL_SYNTAX_ERROR, "line %u:%u %s", at.line, at.column, p->lexer.problem);
	}
}

struct cql_token parse__peek(struct parser *p)
{
	struct cql_lexer ahead = p->lexer;
	return cql__lex(&ahead);
}

bool parse__fail(struct parser *p, enum cql_code code, const char *fmt, ...)
{
	if (p->failed)
		return false;
	char text[sizeof p->err->text];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	p->failed = cql__fail(p->err, code, "%s", text);
	p->token.kind = TOK_BAD;
	return false;
}

bool parse__memory(struct parser *p)
{
	if (!p->failed)
		p->failed = cql__no_memory(p->err, p->arena);
	p->token.kind = TOK_BAD;
	return false;
}

bool parse__expected(struct parser *p, const char *what)
{
	struct cql_place at = p->token.place;
	if (p->token.kind == TOK_END)
		return parse__fail(p, CQL_SYNTAX_ERROR, "line %u:%u expected %s but the statement ends", at.line, at.column, what);
	struct bytes s = p->token.source;
	return parse__fail(p, CQL_SYNTAX_ERROR, "line %u:%u expected %s but found '%.*s'%s", at.line, at.column, what,
			   (int)(s.size > 80 ? 80 : s.size), (const char *)s.data, s.size > 80 ? "..." : "");
}

bool parse__at(const struct parser *p, char punctuation)
{
	return p->token.kind == TOK_PUNCTUATION && p->token.punctuation == punctuation;
}

bool parse__skip(struct parser *p, char punctuation)
{
	if (!parse__at(p, punctuation))
		return false;
	parse__next(p);
	return true;
}

bool parse__take(struct parser *p, char punctuation)
{
	char what[] = {'\'', punctuation, '\'', 0};
	if (!parse__at(p, punctuation))
		return parse__expected(p, what);
	parse__next(p);
	return !p->failed;
}

bool parse__token_is(const struct cql_token *t, const char *word)
{
	return t->kind == TOK_IDENT && t->text.size == strlen(word) && strncasecmp((const char *)t->text.data, word, t->text.size) == 0;
}

bool parse__at_word(const struct parser *p, const char *word)
{
	return parse__token_is(&p->token, word);
}

bool parse__skip_word(struct parser *p, const char *word)
{
	if (!parse__at_word(p, word))
		return false;
	parse__next(p);
	return true;
}

bool parse__take_word(struct parser *p, const char *word)
{
	if (!parse__at_word(p, word))
		return parse__expected(p, word);
	parse__next(p);
	return !p->failed;
}

bool parse__name(struct parser *p, const char *what, const char **ret_name)
{
	struct cql_token t = p->token;
	if (t.kind != TOK_IDENT && t.kind != TOK_QUOTED)
		return parse__expected(p, what);
	char *name = arena_string(p->arena, (const char *)t.text.data, t.text.size);
	if (!name)
		return parse__memory(p);
	if (memchr(name, 0, t.text.size) || (t.kind == TOK_QUOTED && t.text.size == 0))
		return parse__expected(p, what);
	if (t.kind == TOK_IDENT) {
		if (cql__is_reserved(name))
			return parse__expected(p, what);
		for (char *c = name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	}
	*ret_name = name;
	parse__next(p);
	return !p->failed;
}

bool parse__table(struct parser *p, struct cql_table_name *ret_table)
{
	struct cql_table_name table = {0};
	if (!parse__name(p, "a table name", &table.name))
		return false;
	if (parse__skip(p, '.')) {
		table.keyspace = table.name;
		if (!parse__name(p, "a table name", &table.name))
			return false;
	}
	*ret_table = table;
	return true;
}

bool parse__enter(struct parser *p)
{
	if (++p->depth > CQL_DEPTH_MAX)
		return parse__fail(p, CQL_SYNTAX_ERROR, "line %u:%u nested deeper than %d levels", p->token.place.line,
				   p->token.place.column, CQL_DEPTH_MAX);
	return !p->failed;
}

bool parse__if_exists(struct parser *p, bool *ret)
{
	*ret = false;
	struct cql_token next;
	if (!parse__at_word(p, "if") || (next = parse__peek(p), !parse__token_is(&next, "exists")))
		return !p->failed;
	parse__next(p);
	parse__next(p);
	*ret = true;
	return !p->failed;
}

bool parse__if_not_exists(struct parser *p, bool *ret)
{
	*ret = false;
	if (!parse__skip_word(p, "if"))
		return !p->failed;
	*ret = true;
	return parse__take_word(p, "not") && parse__take_word(p, "exists");
}

static bool parse_use(struct parser *p, const char **ret_keyspace)
{
	parse__next(p);
	return parse__name(p, "a keyspace name", ret_keyspace);
}

/* Statements of Cassandra that are known and not there yet: the whole statement is skipped. */
static bool parse_refused(struct parser *p, const char **ret_refused)
{
	struct cql_token second = parse__peek(p);
	*ret_refused = arena_printf(p->arena, "%.*s %.*s", (int)p->token.source.size, (const char *)p->token.source.data,
				    (int)(second.source.size > 40 ? 40 : second.source.size), (const char *)second.source.data);
	if (!*ret_refused)
		return parse__memory(p);
	for (char *c = (char *)*ret_refused; *c; c++)
		*c = (char)toupper((unsigned char)*c);
	*ret_refused = arena_printf(p->arena, "%s is not supported yet", *ret_refused);
	if (!*ret_refused)
		return parse__memory(p);
	while (p->token.kind != TOK_END && p->token.kind != TOK_BAD && !parse__at(p, ';'))
		parse__next(p);
	return !p->failed;
}

static bool at_any_word(const struct parser *p, const char *const *words)
{
	for (; *words; words++)
		if (parse__at_word(p, *words))
			return true;
	return false;
}

/* At a statement about roles. */
static bool at_role(struct parser *p)
{
	static const char *const alone[] = {"grant", "revoke", "list", NULL};
	static const char *const verbs[] = {"create", "alter", "drop", NULL};
	if (at_any_word(p, alone))
		return true;
	struct cql_token next = parse__peek(p);
	return at_any_word(p, verbs) && (parse__token_is(&next, "role") || parse__token_is(&next, "user"));
}

static bool parse_role(struct parser *p, struct cql_role_statement *s)
{
	enum cql_role_verb verb = parse__at_word(p, "create")  ? CQL_CREATE_ROLE
				  : parse__at_word(p, "alter") ? CQL_ALTER_ROLE
							       : CQL_DROP_ROLE;
	if (parse__at_word(p, "list"))
		return parse__list(p, s);
	if (parse__at_word(p, "grant") || parse__at_word(p, "revoke"))
		return parse__grant(p, s);
	parse__next(p);
	bool user = parse__at_word(p, "user");
	parse__next(p);
	return parse__role(p, s, verb, user);
}

static bool parse_statement(struct parser *p, struct cql_statement *s)
{
	static const char *const modify[] = {"insert", "update", "delete", NULL};
	static const char *const ddl[] = {"create", "alter", "drop", "truncate", NULL};
	static const char *const refused[] = {"add", NULL};
	if (parse__at_word(p, "select")) {
		s->kind = CQL_STMT_SELECT;
		return parse__select(p, &s->select);
	}
	if (at_any_word(p, modify)) {
		s->kind = CQL_STMT_MODIFY;
		return parse__modify(p, &s->modify);
	}
	if (parse__at_word(p, "begin")) {
		s->kind = CQL_STMT_BATCH;
		return parse__batch(p, &s->batch);
	}
	if (at_role(p)) {
		s->kind = CQL_STMT_ROLE;
		return parse_role(p, &s->role);
	}
	if (at_any_word(p, ddl))
		return parse__ddl(p, s);
	if (parse__at_word(p, "use")) {
		s->kind = CQL_STMT_USE;
		return parse_use(p, &s->use);
	}
	if (parse__at_word(p, "describe") || parse__at_word(p, "desc")) {
		s->kind = CQL_STMT_DESCRIBE;
		return parse__describe(p, &s->describe);
	}
	if (at_any_word(p, refused)) {
		s->kind = CQL_STMT_REFUSED;
		return parse_refused(p, &s->refused);
	}
	return parse__expected(p,
			       "a statement (SELECT, INSERT, UPDATE, DELETE, BEGIN BATCH, CREATE, ALTER, DROP, TRUNCATE, USE, DESCRIBE)");
}

static void parser_init(struct parser *p, struct bytes text, struct arena *arena, struct cql_error *err)
{
	*p = (struct parser){.arena = arena, .err = err};
	cql__lexer_init(&p->lexer, text, arena);
	parse__next(p);
}

enum sm_err cql__parse(struct bytes text, struct arena *arena, struct cql_statement **ret_statement, struct cql_error *err)
{
	struct parser p;
	parser_init(&p, text, arena, err);
	struct cql_statement *s = arena_alloc(arena, sizeof *s);
	if (!s)
		return cql__no_memory(err, arena);
	if (p.failed || !parse_statement(&p, s))
		return p.failed;
	while (parse__skip(&p, ';'))
		;
	if (!p.failed && p.token.kind != TOK_END)
		parse__expected(&p, "the end of the statement");
	if (p.failed)
		return p.failed;
	s->markers = p.markers;
	s->marker_count = p.marker_count;
	*ret_statement = s;
	return SM_OK;
}

enum sm_err cql__parse_type(struct bytes text, struct arena *arena, struct cql_type_name **ret_type, struct cql_error *err)
{
	struct parser p;
	parser_init(&p, text, arena, err);
	struct cql_type_name *type;
	if (p.failed || !parse__type(&p, &type))
		return p.failed;
	if (p.token.kind != TOK_END)
		parse__expected(&p, "the end of the type");
	if (p.failed)
		return p.failed;
	*ret_type = type;
	return SM_OK;
}
