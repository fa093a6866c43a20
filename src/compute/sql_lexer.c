/* SQL text to tokens. Source: Spark SQL reference, "Literals", "Identifiers"; ANSI mode. */
#include "compute/sql_internal.h"
#include <stdio.h>

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}
static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}
static bool is_name(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

/* The byte at offset from here, 0 at the end. */
static uint8_t peek(const struct lexer *l, size_t offset)
{
	return l->at + offset < l->source.size ? l->source.data[l->at + offset] : 0;
}

static void step(struct lexer *l)
{
	if (l->source.data[l->at++] == '\n') {
		l->line++;
		l->line_start = l->at;
	}
}

static uint32_t column_of(const struct lexer *l)
{
	return (uint32_t)(l->at - l->line_start + 1);
}

static enum sm_err skip_blanks(struct lexer *l, struct sm_error *reterr)
{
	while (l->at < l->source.size) {
		if (is_space(peek(l, 0))) {
			step(l);
		} else if (peek(l, 0) == '-' && peek(l, 1) == '-') {
			while (l->at < l->source.size && peek(l, 0) != '\n')
				step(l);
		} else if (peek(l, 0) == '/' && peek(l, 1) == '*') {
			uint32_t line = l->line, column = column_of(l);
			l->at += 2;
			while (l->at < l->source.size && !(peek(l, 0) == '*' && peek(l, 1) == '/'))
				step(l);
			if (l->at >= l->source.size)
				return sql__fail(reterr, SM_SYNTAX, line, column, "this comment has no end: add */");
			l->at += 2;
		} else {
			break;
		}
	}
	return SM_OK;
}

/* One escape after the backslash, as Spark: the named ones, \uXXXX, octal \ooo, and \% \_ kept for LIKE. */
static size_t unescape(struct lexer *l, char *out)
{
	uint8_t c = peek(l, 0);
	step(l);
	switch (c) {
	case 'n': *out = '\n'; return 1;
	case 't': *out = '\t'; return 1;
	case 'r': *out = '\r'; return 1;
	case 'b': *out = '\b'; return 1;
	case '%':
	case '_':
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	case 'u': {
		uint32_t code = 0;
		for (int i = 0; i < 4; i++) {
			uint8_t h = peek(l, (size_t)i);
			uint32_t d = is_digit(h) ? h - 48u : (h | 32) >= 'a' && (h | 32) <= 'f' ? (h | 32u) - 'a' + 10u : 99;
			if (d == 99)
				goto plain;
			code = code * 16 + d;
		}
		if (code >= 0xd800 && code <= 0xdfff)
			goto plain;
		l->at += 4;
		if (code < 0x80) {
			out[0] = (char)code;
			return 1;
		}
		if (code < 0x800) {
			out[0] = (char)(0xc0 | code >> 6);
			out[1] = (char)(0x80 | (code & 63));
			return 2;
		}
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 63));
		out[2] = (char)(0x80 | (code & 63));
		return 3;
	}
	default: break;
	}
plain:
	*out = (char)c;
	return 1;
}

/* 'text' or "text"; a doubled quote is one quote. */
static enum sm_err lex_string(struct lexer *l, struct token *t, struct sm_error *reterr)
{
	uint8_t quote = peek(l, 0);
	/* Where it ends: an escape never writes more than it reads, so that bounds the text. */
	size_t end = l->at + 1;
	while (end < l->source.size) {
		uint8_t c = l->source.data[end];
		bool doubled = c == quote && end + 1 < l->source.size && l->source.data[end + 1] == quote;
		if (c == quote && !doubled)
			break;
		end += c == '\\' || doubled ? 2 : 1;
	}
	char *out = arena_alloc_raw(l->arena, end - l->at + 8, 1);
	if (!out)
		return sm_fail(reterr, arena_error(l->arena), "the statement needs too much memory");
	size_t size = 0;
	step(l);
	for (;;) {
		if (l->at >= l->source.size)
			return sql__fail(reterr, SM_SYNTAX, t->line, t->column, "this text has no end: add %c", quote);
		uint8_t c = peek(l, 0);
		if (c == quote && peek(l, 1) != quote) {
			step(l);
			break;
		}
		if (c == quote)
			l->at++;
		else if (c == '\\' && l->at + 1 < l->source.size) {
			l->at++;
			size += unescape(l, out + size);
			continue;
		}
		out[size++] = (char)c;
		step(l);
	}
	out[size] = 0;
	t->kind = TOKEN_STRING;
	t->text = out;
	t->size = size;
	return SM_OK;
}

/* `name`; a doubled back-tick is one. */
static enum sm_err lex_quoted(struct lexer *l, struct token *t, struct sm_error *reterr)
{
	size_t end = l->at + 1;
	while (end < l->source.size && (l->source.data[end] != '`' || (end + 1 < l->source.size && l->source.data[end + 1] == '`')))
		end += l->source.data[end] == '`' ? 2 : 1;
	if (end >= l->source.size)
		return sql__fail(reterr, SM_SYNTAX, t->line, t->column, "this name has no end: add `");
	char *out = arena_alloc_raw(l->arena, end - l->at + 1, 1);
	if (!out)
		return sm_fail(reterr, arena_error(l->arena), "the statement needs too much memory");
	size_t size = 0;
	for (step(l); l->at < end; step(l)) {
		if (peek(l, 0) == '`')
			l->at++;
		out[size++] = (char)peek(l, 0);
	}
	step(l);
	out[size] = 0;
	if (size == 0 || memchr(out, 0, size))
		return sql__fail(reterr, SM_SYNTAX, t->line, t->column, "a name must not be empty or hold a zero byte");
	t->kind = TOKEN_QUOTED;
	t->text = out;
	t->size = size;
	return SM_OK;
}

/* 12, 12L, 1.5, .5, 1e3, 1.5D. There is no decimal type: a fraction is a double. */
static enum sm_err lex_number(struct lexer *l, struct token *t, struct sm_error *reterr)
{
	size_t start = l->at;
	t->kind = TOKEN_INTEGER;
	while (is_digit(peek(l, 0)))
		l->at++;
	if (peek(l, 0) == '.') {
		t->kind = TOKEN_REAL;
		for (l->at++; is_digit(peek(l, 0));)
			l->at++;
	}
	size_t sign = peek(l, 1) == '+' || peek(l, 1) == '-' ? 2 : 1;
	if ((peek(l, 0) | 32) == 'e' && is_digit(peek(l, sign))) {
		t->kind = TOKEN_REAL;
		for (l->at += sign; is_digit(peek(l, 0));)
			l->at++;
	}
	t->size = l->at - start;
	t->text = arena_string(l->arena, (const char *)l->source.data + start, t->size);
	if (!t->text)
		return sm_fail(reterr, arena_error(l->arena), "the statement needs too much memory");
	uint8_t suffix = peek(l, 0) | 32;
	if (suffix == 'l' && t->kind == TOKEN_INTEGER && !is_name(peek(l, 1))) {
		t->kind = TOKEN_BIGINT;
		l->at++;
	} else if ((suffix == 'd' || suffix == 'f') && !is_name(peek(l, 1))) {
		t->kind = TOKEN_REAL;
		l->at++;
	}
	if (is_name(peek(l, 0)))
		return sql__fail(reterr, SM_SYNTAX, t->line, t->column, "a name can't begin with a digit: put it in back-ticks");
	return SM_OK;
}

static enum sm_err lex_symbol(struct lexer *l, struct token *t, struct sm_error *reterr)
{
	static const char *const symbols[] = {"<=>", "<>", "!=", "<=", ">=", "==", "||", "(", ")", ",",
					      ".",   ";",  "*",  "+",  "-",  "/",  "%",  "=", "<", ">"};
	for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
		size_t size = strlen(symbols[i]);
		if (l->source.size - l->at >= size && memcmp(l->source.data + l->at, symbols[i], size) == 0) {
			l->at += size;
			t->kind = TOKEN_SYMBOL;
			t->text = symbols[i];
			t->size = size;
			return SM_OK;
		}
	}
	uint8_t c = peek(l, 0);
	if (c >= 0x20 && c < 0x7f)
		return sql__fail(reterr, SM_SYNTAX, t->line, t->column, "unexpected character '%c'", c);
	return sql__fail(reterr, SM_SYNTAX, t->line, t->column, "unexpected byte 0x%02x", c);
}

enum sm_err lexer_next(struct lexer *l, struct token *t, struct sm_error *reterr)
{
	enum sm_err err;
	if ((err = skip_blanks(l, reterr)))
		return err;
	*t = (struct token){.kind = TOKEN_END, .text = "", .line = l->line, .column = column_of(l), .start = l->at};
	uint8_t c = peek(l, 0);
	if (l->at >= l->source.size) {
		err = SM_OK;
	} else if (c == '\'' || c == '"') {
		err = lex_string(l, t, reterr);
	} else if (c == '`') {
		err = lex_quoted(l, t, reterr);
	} else if (is_digit(c) || (c == '.' && is_digit(peek(l, 1)))) {
		err = lex_number(l, t, reterr);
	} else if (is_name(c) || (c == ':' && is_name(peek(l, 1)))) {
		t->kind = c == ':' ? TOKEN_PARAM : TOKEN_NAME;
		size_t start = l->at += c == ':';
		while (is_name(peek(l, 0)))
			l->at++;
		t->size = l->at - start;
		t->text = arena_string(l->arena, (const char *)l->source.data + start, t->size);
		if (!t->text)
			err = sm_fail(reterr, arena_error(l->arena), "the statement needs too much memory");
	} else {
		err = lex_symbol(l, t, reterr);
	}
	t->end = l->at;
	return err;
}
