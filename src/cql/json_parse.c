/* JSON as Jackson reads it with its defaults: strict, the last of several equal names wins, what follows the value is not looked at. */
#include "cql/json_value.h"

#include <string.h>

#define TEXTS_MAX 500 /* of the source shown in an error */

struct scan {
	const uint8_t *at, *start, *end;
	struct arena *arena;
	const char *why;
	uint32_t depth;
	bool memory;
};

/* Where the reader is: lines and columns count from 1, the column behind the character that was read last. */
static const char *place(struct scan *s, const uint8_t *at)
{
	size_t size = (size_t)(s->end - s->start), line = 1, column = 1;
	for (const uint8_t *p = s->start; p < at; p++, column++)
		if (*p == '\n') {
			line++;
			column = 0;
		}
	if (size == 0)
		column = 0;
	const char *text = arena_printf(s->arena, "[Source: (String)\"%.*s\"%s; line: %zu, column: %zu]",
					(int)(size > TEXTS_MAX ? TEXTS_MAX : size), (const char *)s->start,
					size > TEXTS_MAX ? "[truncated]" : "", line, column);
	return text ? text : "";
}

static bool fail(struct scan *s, const char *class, const char *what, const uint8_t *at)
{
	if (s->why)
		return false;
	s->why = arena_printf(s->arena, "com.fasterxml.jackson.%s: %s\n at %s", class, what, place(s, at));
	s->memory |= !s->why;
	return false;
}

/* The text ends within an array or object that began at open. */
static bool not_closed(struct scan *s, bool object, const uint8_t *open)
{
	const char *what = arena_printf(s->arena, "Unexpected end-of-input: expected close marker for %s (start marker at %s)",
					object ? "Object" : "Array", place(s, open));
	return fail(s, "core.io.JsonEOFException", what ? what : "", s->at);
}

static bool ends_between(struct scan *s, bool object, const char *class)
{
	return fail(s, class,
		    object ? "Unexpected end-of-input within/between Object entries"
			   : "Unexpected end-of-input within/between Array entries",
		    s->at);
}

static bool character(struct scan *s, const char *was, const char *expecting)
{
	if (s->at == s->end) {
		const char *what = arena_printf(s->arena, "Unexpected end-of-input: was expecting %s", expecting);
		return fail(s, "core.io.JsonEOFException", what ? what : "", s->at);
	}
	const char *what = arena_printf(s->arena, "Unexpected character ('%c' (code %u)): %s %s", *s->at, *s->at, was, expecting);
	return fail(s, "core.JsonParseException", what ? what : "", s->at + 1);
}

static bool unexpected(struct scan *s, const char *expecting)
{
	return character(s, "was expecting", expecting);
}

static bool expected(struct scan *s, const char *expecting)
{
	return character(s, "expected", expecting);
}

static bool bad_escape(struct scan *s)
{
	if (s->at == s->end)
		return unexpected(s, "an escaped character");
	const char *what = arena_printf(s->arena, "Unrecognized character escape '%c' (code %u)", *s->at, *s->at);
	return fail(s, "core.JsonParseException", what ? what : "", s->at + 1);
}

static void blanks(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

static bool word_character(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c >= 0x80;
}

static bool word(struct scan *s, struct json_node *node)
{
	const uint8_t *start = s->at;
	while (s->at < s->end && word_character(*s->at))
		s->at++;
	struct bytes w = bytes_of(start, (size_t)(s->at - start));
	if (bytes_equal(w, bytes_str("null"))) {
		node->kind = JSON_NODE_NULL;
	} else if (bytes_equal(w, bytes_str("true")) || bytes_equal(w, bytes_str("false"))) {
		node->kind = JSON_NODE_BOOLEAN;
		node->truth = w.size == 4;
	} else {
		const char *what = arena_printf(
			s->arena,
			"Unrecognized token '%.*s': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')",
			(int)(w.size > 256 ? 256 : w.size), (const char *)w.data);
		return fail(s, "core.JsonParseException", what ? what : "", s->at);
	}
	return true;
}

static bool digits(struct scan *s)
{
	const uint8_t *start = s->at;
	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > start || unexpected(s, "digit");
}

static bool number(struct scan *s, struct json_node *node)
{
	const uint8_t *start = s->at;
	node->kind = JSON_NODE_INTEGER;
	if (*s->at == '-')
		s->at++;
	if (s->end - s->at > 1 && *s->at == '0' && s->at[1] >= '0' && s->at[1] <= '9')
		return fail(s, "core.JsonParseException", "Invalid numeric value: Leading zeroes not allowed", s->at + 1);
	if (!digits(s))
		return false;
	if (s->at < s->end && *s->at == '.') {
		s->at++;
		node->kind = JSON_NODE_REAL;
		if (!digits(s))
			return false;
	}
	if (s->at < s->end && (*s->at | 32) == 'e') {
		s->at++;
		node->kind = JSON_NODE_REAL;
		if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
			s->at++;
		if (!digits(s))
			return false;
	}
	node->text = bytes_of(start, (size_t)(s->at - start));
	return true;
}

static size_t put_utf8(uint8_t *out, uint32_t code)
{
	if (code < 0x80) {
		out[0] = (uint8_t)code;
		return 1;
	}
	size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	for (size_t i = more; i > 0; i--, code >>= 6)
		out[i] = (uint8_t)(0x80 | (code & 0x3f));
	out[0] = (uint8_t)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | code);
	return more + 1;
}

static bool hex4(struct scan *s, uint32_t *ret)
{
	*ret = 0;
	for (int i = 0; i < 4; i++, s->at++) {
		uint8_t c = s->at < s->end ? *s->at : 0, low = c | 32;
		bool digit = c >= '0' && c <= '9', letter = low >= 'a' && low <= 'f';
		if (!digit && !letter)
			return expected(s, "a hex-digit for character escape sequence");
		*ret = *ret << 4 | ((uint32_t)(digit ? c - '0' : low - 'a' + 10));
	}
	return true;
}

/* Behind the backslash; at most four bytes. */
static bool escape(struct scan *s, uint8_t *out, size_t *n)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *known = s->at < s->end && *s->at ? strchr(from, *s->at) : NULL;
	uint32_t code, low;
	if (known) {
		out[(*n)++] = (uint8_t)to[known - from];
		s->at++;
		return true;
	}
	if (s->at == s->end || *s->at != 'u')
		return bad_escape(s);
	s->at++;
	if (!hex4(s, &code))
		return false;
	if (code >= 0xD800 && code < 0xDC00 && s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u') {
		s->at += 2;
		if (!hex4(s, &low))
			return false;
		if (low >= 0xDC00 && low < 0xE000)
			code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
	}
	*n += put_utf8(out + *n, code >= 0xD800 && code < 0xE000 ? '?' : code);
	return true;
}

static bool string(struct scan *s, struct bytes *ret)
{
	const uint8_t *close = s->at + 1;
	while (close < s->end && *close != '"')
		close += *close == '\\' ? 2 : 1;
	size_t room = close < s->end ? (size_t)(close - s->at) : (size_t)(s->end - s->at), n = 0;
	uint8_t *out = arena_alloc_raw(s->arena, room + 1, 1);
	if (!out) {
		s->memory = true;
		return false;
	}
	for (s->at++;;) {
		if (s->at == s->end)
			return unexpected(s, "closing quote for a string value");
		uint8_t c = *s->at++;
		if (c == '"')
			break;
		if (c == '\\') {
			if (!escape(s, out, &n))
				return false;
		} else if (c < 0x20) {
			const char *what = arena_printf(s->arena,
							"Illegal unquoted character ((CTRL-CHAR, code %u)): has to be escaped using "
							"backslash to be included in string value",
							c);
			return fail(s, "core.JsonParseException", what ? what : "", s->at);
		} else {
			out[n++] = c;
		}
	}
	*ret = bytes_of(out, n);
	return true;
}

static bool value(struct scan *s, struct json_node *node);

static bool add_item(struct scan *s, struct json_node *node, uint32_t *cap, uint32_t *name_cap)
{
	node->items = cql__grow(s->arena, node->items, node->count, cap, sizeof *node->items);
	if (node->kind == JSON_NODE_OBJECT)
		node->names = cql__grow(s->arena, node->names, node->count, name_cap, sizeof *node->names);
	s->memory |= !node->items || (node->kind == JSON_NODE_OBJECT && !node->names);
	return !s->memory;
}

static bool name_of(struct scan *s, struct bytes *ret)
{
	blanks(s);
	if (s->at == s->end || *s->at != '"')
		return unexpected(s, "double-quote to start field name");
	if (!string(s, ret))
		return false;
	blanks(s);
	if (s->at == s->end)
		return ends_between(s, true, "core.io.JsonEOFException");
	if (*s->at != ':')
		return unexpected(s, "a colon to separate field name and value");
	s->at++;
	blanks(s);
	return s->at < s->end || ends_between(s, true, "core.io.JsonEOFException");
}

static bool members(struct scan *s, struct json_node *node)
{
	const uint8_t *open = s->at;
	uint8_t close = *s->at++ == '{' ? '}' : ']';
	uint32_t cap = 0, name_cap = 0;
	node->kind = close == '}' ? JSON_NODE_OBJECT : JSON_NODE_ARRAY;
	blanks(s);
	if (s->at == s->end)
		return not_closed(s, close == '}', open);
	if (*s->at == close) {
		s->at++;
		return true;
	}
	for (;;) {
		if (!add_item(s, node, &cap, &name_cap) || (node->names && !name_of(s, &node->names[node->count])) ||
		    !value(s, &node->items[node->count]))
			return false;
		node->count++;
		blanks(s);
		if (s->at < s->end && *s->at == close) {
			s->at++;
			return true;
		}
		if (s->at == s->end)
			return not_closed(s, close == '}', open);
		if (*s->at != ',')
			return unexpected(s, close == '}' ? "comma to separate Object entries" : "comma to separate Array entries");
		s->at++;
		blanks(s);
		if (s->at == s->end)
			return ends_between(s, close == '}', "core.JsonParseException");
	}
}

static bool value(struct scan *s, struct json_node *node)
{
	*node = (struct json_node){0};
	blanks(s);
	if (s->at == s->end)
		return unexpected(s, "a value");
	if (s->depth == CQL_DEPTH_MAX) {
		const char *what = arena_printf(s->arena, "Document nesting depth (%d) exceeds the maximum allowed (%d)", CQL_DEPTH_MAX + 1,
						CQL_DEPTH_MAX);
		return fail(s, "core.exc.StreamConstraintsException", what ? what : "", s->at);
	}
	s->depth++;
	bool ok;
	if (*s->at == '"') {
		node->kind = JSON_NODE_STRING;
		ok = string(s, &node->text);
	} else if (*s->at == '{' || *s->at == '[') {
		ok = members(s, node);
	} else if (*s->at == '-' || (*s->at >= '0' && *s->at <= '9')) {
		ok = number(s, node);
	} else if (word_character(*s->at)) {
		ok = word(s, node);
	} else {
		ok = expected(s, "a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')");
	}
	s->depth--;
	return ok;
}

enum sm_err cql__json_parse(struct bytes text, struct arena *arena, struct json_node *ret_node, const char **ret_why)
{
	struct scan s = {.at = text.data, .start = text.data, .end = text.data + text.size, .arena = arena};
	blanks(&s);
	bool ok = s.at < s.end ? value(&s, ret_node)
			       : fail(&s, "databind.exc.MismatchedInputException", "No content to map due to end-of-input", s.at);
	*ret_why = s.why ? s.why : "";
	return ok ? SM_OK : s.memory ? SM_NO_MEMORY : SM_SYNTAX;
}
