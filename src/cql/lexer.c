/* CQL's words: names, strings in both quotings, numbers, UUIDs, durations, markers.
 * A UUID and a duration look like numbers and names at their start, so they are tried first, as in Cassandra's lexer. */
#include "cql/cql_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const reserved[] = {
	"add",    "allow",   "alter",  "and",         "apply",    "asc",   "authorize", "batch",    "begin", "by",           "columnfamily",
	"create", "default", "delete", "desc",        "describe", "drop",  "entries",   "execute",  "from",  "full",         "grant",
	"if",     "in",      "index",  "infinity",    "insert",   "into",  "is",        "keyspace", "limit", "materialized", "mbean",
	"mbeans", "modify",  "nan",    "norecursive", "not",      "null",  "of",        "on",       "or",    "order",        "primary",
	"rename", "replace", "revoke", "schema",      "select",   "set",   "table",     "to",       "token", "truncate",     "unlogged",
	"unset",  "update",  "use",    "using",       "view",     "where", "with",
};

bool cql__is_reserved(const char *name)
{
	for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
		if (strcasecmp(reserved[i], name) == 0)
			return true;
	return false;
}

const char *cql_quote_name(const char *name, struct arena *arena)
{
	bool plain = name[0] >= 'a' && name[0] <= 'z';
	size_t quotes = 0;
	for (const char *p = name; *p; p++) {
		plain = plain && ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_');
		quotes += *p == '"';
	}
	if (plain && !cql__is_reserved(name))
		return name;
	char *out = arena_alloc(arena, strlen(name) + quotes + 3);
	if (!out)
		return name;
	char *q = out;
	*q++ = '"';
	for (const char *p = name; *p; p++) {
		if (*p == '"')
			*q++ = '"';
		*q++ = *p;
	}
	*q = '"';
	return out;
}

void cql__lexer_init(struct cql_lexer *lexer, struct bytes text, struct arena *arena)
{
	*lexer = (struct cql_lexer){.at = text.data, .end = text.data + text.size, .line_start = text.data, .line = 1, .arena = arena};
}

static int peek(const struct cql_lexer *l, size_t ahead)
{
	return (size_t)(l->end - l->at) > ahead ? l->at[ahead] : -1;
}
static bool is_name(int c)
{
	return c == '_' || (c >= 0 && c < 128 && isalnum(c));
}
static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}
static bool is_hex(int c)
{
	return c >= 0 && c < 128 && isxdigit(c);
}

static void new_line(struct cql_lexer *l)
{
	l->line++;
	l->line_start = l->at + 1;
}

/* False: a comment does not end. */
static bool skip_blanks(struct cql_lexer *l)
{
	for (;;) {
		int c = peek(l, 0);
		if (c == '\n')
			new_line(l);
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			l->at++;
		} else if ((c == '-' && peek(l, 1) == '-') || (c == '/' && peek(l, 1) == '/')) {
			while (l->at < l->end && *l->at != '\n')
				l->at++;
		} else if (c == '/' && peek(l, 1) == '*') {
			l->at += 2;
			while (l->at < l->end && !(*l->at == '*' && peek(l, 1) == '/')) {
				if (*l->at == '\n')
					new_line(l);
				l->at++;
			}
			if (l->at == l->end)
				return false;
			l->at += 2;
		} else {
			return true;
		}
	}
}

static struct cql_token bad(struct cql_lexer *l, struct cql_token token, const char *problem)
{
	token.kind = TOK_BAD;
	token.source.size = (size_t)(l->at - token.source.data);
	l->problem = problem;
	return token;
}

/* After the opening quote: until the closing one; a doubled quote is one quote. */
static struct cql_token quoted(struct cql_lexer *l, struct cql_token token, uint8_t quote, enum cql_token_kind kind)
{
	const uint8_t *start = ++l->at;
	size_t doubled = 0;
	for (;;) {
		if (l->at == l->end)
			return bad(l, token, quote == '\'' ? "a string is not closed by '" : "a name is not closed by \"");
		if (*l->at == '\n')
			new_line(l);
		if (*l->at == quote) {
			if (peek(l, 1) != quote)
				break;
			doubled++;
			l->at++;
		}
		l->at++;
	}
	size_t size = (size_t)(l->at - start);
	l->at++;
	token.kind = kind;
	token.text = bytes_of(start, size);
	if (!doubled)
		return token;
	uint8_t *out = arena_alloc_raw(l->arena, size, 1);
	if (!out)
		return bad(l, token, "out of memory");
	size_t n = 0;
	for (size_t i = 0; i < size; i++) {
		out[n++] = start[i];
		if (start[i] == quote)
			i++;
	}
	token.text = bytes_of(out, n);
	return token;
}

static struct cql_token dollar_string(struct cql_lexer *l, struct cql_token token)
{
	l->at += 2;
	const uint8_t *start = l->at;
	while (l->at < l->end && !(*l->at == '$' && peek(l, 1) == '$')) {
		if (*l->at == '\n')
			new_line(l);
		l->at++;
	}
	if (l->at == l->end)
		return bad(l, token, "a string is not closed by $$");
	token.kind = TOK_STRING;
	token.text = bytes_of(start, (size_t)(l->at - start));
	l->at += 2;
	return token;
}

static bool at_uuid(const struct cql_lexer *l)
{
	static const uint8_t groups[] = {8, 4, 4, 4, 12};
	size_t at = 0;
	for (size_t g = 0; g < sizeof groups; g++) {
		if (g && peek(l, at++) != '-')
			return false;
		for (int i = 0; i < groups[g]; i++)
			if (!is_hex(peek(l, at++)))
				return false;
	}
	return !is_name(peek(l, at));
}

/* The size of a duration at the lexer's place, 0 if none is there: 1y2mo3d4h5m6s7ms8us9ns, P1Y2M3DT4H5M6S, P2W, P0001-02-03T04:05:06. */
static size_t duration_size(const struct cql_lexer *l)
{
	size_t at = 0;
	int c = peek(l, 0);
	if (c == 'P' || c == 'p') {
		bool digits = false;
		static const char dated[] = "dddd-dd-ddTdd:dd:dd";
		for (at = 1; at < sizeof dated; at++)
			if (dated[at - 1] == 'd' ? !is_digit(peek(l, at)) : (peek(l, at) & ~32) != (dated[at - 1] & ~32))
				break;
		if (at == sizeof dated && !is_name(peek(l, at)))
			return at;
		for (at = 1; is_digit(peek(l, at)) || (peek(l, at) > 0 && strchr("YMWDTHSymwdths", peek(l, at))); at++)
			digits |= is_digit(peek(l, at));
		/* A column may be called p1 or pty. */
		return digits && !is_digit(peek(l, at - 1)) && !is_name(peek(l, at)) ? at : 0;
	}
	while (is_digit(peek(l, at))) {
		while (is_digit(peek(l, at)))
			at++;
		int u = peek(l, at) | 32, v = peek(l, at + 1) | 32;
		if ((u == 'm' && (v == 'o' || v == 's')) || ((u == 'u' || u == 'n') && v == 's'))
			at += 2;
		else if (peek(l, at) == 0xC2 && peek(l, at + 1) == 0xB5 && (peek(l, at + 2) | 32) == 's')
			at += 3;
		else if (u == 'y' || u == 'w' || u == 'd' || u == 'h' || u == 'm' || u == 's')
			at++;
		else
			return 0;
	}
	return at && !is_name(peek(l, at)) ? at : 0;
}

static struct cql_token number(struct cql_lexer *l, struct cql_token token)
{
	token.kind = TOK_INTEGER;
	while (is_digit(peek(l, 0)))
		l->at++;
	if (peek(l, 0) == '.' && peek(l, 1) != '.') {
		token.kind = TOK_FLOAT;
		l->at++;
		while (is_digit(peek(l, 0)))
			l->at++;
	}
	if ((peek(l, 0) | 32) == 'e') {
		size_t sign = peek(l, 1) == '+' || peek(l, 1) == '-';
		if (is_digit(peek(l, 1 + sign))) {
			token.kind = TOK_FLOAT;
			l->at += 1 + sign;
			while (is_digit(peek(l, 0)))
				l->at++;
		}
	}
	if (is_name(peek(l, 0)))
		return bad(l, token, "a number is followed by a letter");
	return token;
}

static struct cql_token punctuation(struct cql_lexer *l, struct cql_token token)
{
	int c = peek(l, 0), next = peek(l, 1);
	if (c == '?') {
		token.kind = TOK_MARKER;
		l->at++;
	} else if (c == ':' && (is_name(next) || next == '"')) {
		/* {a: b} also has a colon before a name; the parser knows which it is from where it stands. */
		token.kind = TOK_PUNCTUATION;
		token.punctuation = ':';
		l->at++;
	} else if ((c == '<' || c == '>' || c == '!') && next == '=') {
		token.kind = c == '<' ? TOK_LE : c == '>' ? TOK_GE : TOK_NEQ;
		l->at += 2;
	} else if (c == '.' && next == '.') {
		token.kind = TOK_RANGE;
		l->at += 2;
	} else if (c > 0 && c < 128 && strchr("(){}[],;.=<>+-*/%:", c)) {
		token.kind = TOK_PUNCTUATION;
		token.punctuation = (char)c;
		l->at++;
	} else {
		l->at++;
		while (l->at < l->end && (*l->at & 0xC0) == 0x80) /* the rest of a UTF-8 character */
			l->at++;
		return bad(l, token, "a character that CQL does not use here");
	}
	return token;
}

static struct cql_token word(struct cql_lexer *l, struct cql_token token)
{
	int c = peek(l, 0);
	size_t duration = 0;
	if (is_hex(c) && at_uuid(l)) {
		token.kind = TOK_UUID;
		l->at += 36;
	} else if (c == '0' && (peek(l, 1) | 32) == 'x') {
		token.kind = TOK_HEX;
		l->at += 2;
		token.text.data = l->at;
		while (is_hex(peek(l, 0)))
			l->at++;
		token.text.size = (size_t)(l->at - token.text.data);
		return is_name(peek(l, 0)) ? bad(l, token, "a blob has a digit that is not hexadecimal") : token;
	} else if ((is_digit(c) || c == 'P' || c == 'p') && (duration = duration_size(l))) {
		token.kind = TOK_DURATION;
		l->at += duration;
	} else if (is_digit(c)) {
		token = number(l, token);
		if (token.kind == TOK_BAD)
			return token;
	} else {
		token.kind = TOK_IDENT;
		while (is_name(peek(l, 0)))
			l->at++;
	}
	token.text = bytes_of(token.source.data, (size_t)(l->at - token.source.data));
	return token;
}

struct cql_token cql__lex(struct cql_lexer *l)
{
	struct cql_token token = {.kind = TOK_END};
	bool closed = skip_blanks(l);
	token.place = (struct cql_place){l->line, (uint32_t)(l->at - l->line_start)};
	token.source = bytes_of(l->at, 0);
	if (!closed)
		return bad(l, token, "a comment is not closed by */");
	if (l->at == l->end)
		return token;
	int c = peek(l, 0);
	if (c == '\'')
		token = quoted(l, token, '\'', TOK_STRING);
	else if (c == '"')
		token = quoted(l, token, '"', TOK_QUOTED);
	else if (c == '$' && peek(l, 1) == '$')
		token = dollar_string(l, token);
	else if (is_name(c) && c != '_')
		token = word(l, token);
	else
		token = punctuation(l, token);
	token.source.size = (size_t)(l->at - token.source.data);
	return token;
}

size_t cql_statement_end(struct bytes text)
{
	struct arena arena;
	struct cql_lexer lexer;
	arena_init(&arena, 0);
	cql__lexer_init(&lexer, text, &arena);
	size_t end = 0;
	bool batch = false, first = true, apply = false;
	for (;;) {
		struct cql_token t = cql__lex(&lexer);
		if (t.kind == TOK_END || (t.kind == TOK_BAD && lexer.at == lexer.end))
			break;
		bool word_is = t.kind == TOK_IDENT;
		if (first && word_is && t.text.size == 5 && strncasecmp((const char *)t.text.data, "begin", 5) == 0)
			batch = true;
		if (word_is && t.text.size == 5 && strncasecmp((const char *)t.text.data, "apply", 5) == 0)
			apply = true;
		first = false;
		if (t.kind == TOK_PUNCTUATION && t.punctuation == ';' && (!batch || apply)) {
			end = (size_t)(lexer.at - text.data);
			break;
		}
	}
	arena_done(&arena);
	return end;
}
