/* The lexer of the event scanner: RFC 8259 and UTF-8 to the letter. */
#include "base/event_internal.h"

bool base__lex_fail(struct json_lex *lex)
{
	if (!lex->err)
		lex->err = SM_SYNTAX;
	return false;
}

/* Length of the UTF-8 sequence of several bytes at `at`; 0: it is none. RFC 3629, table of well-formed sequences. */
static size_t utf8_sequence(const uint8_t *at, const uint8_t *end)
{
	uint8_t first = at[0], low = 0x80, high = 0xbf;
	size_t size;
	if (first >= 0xc2 && first <= 0xdf) {
		size = 2;
	} else if (first >= 0xe0 && first <= 0xef) {
		size = 3;
		low = first == 0xe0 ? 0xa0 : low;
		high = first == 0xed ? 0x9f : high;
	} else if (first >= 0xf0 && first <= 0xf4) {
		size = 4;
		low = first == 0xf0 ? 0x90 : low;
		high = first == 0xf4 ? 0x8f : high;
	} else {
		return 0;
	}
	if ((size_t)(end - at) < size || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	return size;
}

/* The next quote, backslash or error. */
static const uint8_t *string_run(const uint8_t *at, const uint8_t *end)
{
	for (;;) {
		while (end - at >= 8) {
			uint64_t marks = lex_specials(lex_load8(at));
			if (marks) {
				at += __builtin_ctzll(marks) / 8;
				break;
			}
			at += 8;
		}
		while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\')
			at++;
		if (at == end || *at < 0x80)
			return at;
		size_t size = utf8_sequence(at, end);
		if (size == 0)
			return at;
		at += size;
	}
}

static int hex4(const uint8_t *at, const uint8_t *end)
{
	int v = 0;
	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		uint8_t c = at[i], letter = c | 0x20;
		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (letter >= 'a' && letter <= 'f')
			v = v << 4 | (letter - 'a' + 10);
		else
			return -1;
	}
	return v;
}

static size_t utf8_put(uint8_t *out, int code)
{
	if (code < 0x80) {
		out[0] = (uint8_t)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (uint8_t)(0xc0 | code >> 6);
		out[1] = (uint8_t)(0x80 | (code & 63));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (uint8_t)(0xe0 | code >> 12);
		out[1] = (uint8_t)(0x80 | (code >> 6 & 63));
		out[2] = (uint8_t)(0x80 | (code & 63));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | code >> 18);
	out[1] = (uint8_t)(0x80 | (code >> 12 & 63));
	out[2] = (uint8_t)(0x80 | (code >> 6 & 63));
	out[3] = (uint8_t)(0x80 | (code & 63));
	return 4;
}

/* The escape whose backslash is at lex->at. A lone surrogate is an error: it has no UTF-8. 0: failed. */
static size_t escape(struct json_lex *lex, uint8_t *out)
{
	const uint8_t *at = lex->at + 1, *end = lex->end;
	if (at == end)
		return 0;
	lex->at = at + 1;
	switch (*at) {
	case '"':
	case '\\':
	case '/': *out = *at; return 1;
	case 'b': *out = '\b'; return 1;
	case 'f': *out = '\f'; return 1;
	case 'n': *out = '\n'; return 1;
	case 'r': *out = '\r'; return 1;
	case 't': *out = '\t'; return 1;
	case 'u': break;
	default: return 0;
	}
	int code = hex4(at + 1, end);
	if (code < 0 || (code >= 0xdc00 && code <= 0xdfff))
		return 0;
	lex->at = at + 5;
	if (code >= 0xd800 && code <= 0xdbff) {
		int low = end - lex->at >= 6 && lex->at[0] == '\\' && lex->at[1] == 'u' ? hex4(lex->at + 2, end) : -1;
		if (low < 0xdc00 || low > 0xdfff)
			return 0;
		lex->at += 6;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	return utf8_put(out, code);
}

/* The size is known only behind it; the text without escapes is never longer than with them. */
static const uint8_t *string_end(const uint8_t *at, const uint8_t *end)
{
	while ((at = string_run(at, end)) < end && *at == '\\')
		at += end - at >= 2 ? 2 : 1;
	return at < end && *at == '"' ? at : NULL;
}

static bool string_unescape(struct json_lex *lex, const uint8_t *start, struct bytes *ret_text)
{
	const uint8_t *close = string_end(lex->at, lex->end);
	if (!close)
		return base__lex_fail(lex);
	uint8_t *text = arena_alloc_raw(lex->arena, (size_t)(close - start), 1), *out = text;
	if (!text) {
		lex->err = arena_error(lex->arena);
		return false;
	}
	for (const uint8_t *from = start;;) {
		memcpy(out, from, (size_t)(lex->at - from));
		out += lex->at - from;
		if (lex->at == close)
			break;
		size_t n = *lex->at == '\\' ? escape(lex, out) : 0;
		if (n == 0)
			return base__lex_fail(lex);
		out += n;
		from = lex->at;
		lex->at = string_run(from, lex->end);
	}
	lex->at = close + 1;
	*ret_text = bytes_of(text, (size_t)(out - text));
	return true;
}

bool base__lex_string(struct json_lex *lex, struct bytes *ret_text)
{
	const uint8_t *start = lex->at;
	lex->at = string_run(start, lex->end);
	if (lex->at < lex->end && *lex->at == '"') {
		*ret_text = bytes_of(start, (size_t)(lex->at++ - start));
		return true;
	}
	return lex->at < lex->end && *lex->at == '\\' ? string_unescape(lex, start, ret_text) : base__lex_fail(lex);
}

/* The same without keeping the text. */
static bool string_skip(struct json_lex *lex)
{
	uint8_t ignored[4];
	while ((lex->at = string_run(lex->at, lex->end)) < lex->end && *lex->at == '\\') {
		if (escape(lex, ignored) == 0)
			return base__lex_fail(lex);
	}
	if (lex->at == lex->end || *lex->at != '"')
		return base__lex_fail(lex);
	lex->at++;
	return true;
}

static inline bool digits(struct json_lex *lex)
{
	const uint8_t *start = lex->at;
	while (lex->at < lex->end && (uint8_t)(*lex->at - '0') <= 9)
		lex->at++;
	return lex->at > start;
}

bool base__lex_number(struct json_lex *lex, struct bytes *ret_digits, bool *ret_integer)
{
	const uint8_t *start = lex->at, *end = lex->end;
	*ret_integer = true;
	if (lex->at < end && *lex->at == '-')
		lex->at++;
	const uint8_t *first = lex->at;
	if (!digits(lex) || (*first == '0' && lex->at - first > 1))
		return base__lex_fail(lex);
	if (lex->at < end && *lex->at == '.') {
		*ret_integer = false;
		lex->at++;
		if (!digits(lex))
			return base__lex_fail(lex);
	}
	if (lex->at < end && (*lex->at | 0x20) == 'e') {
		*ret_integer = false;
		lex->at++;
		if (lex->at < end && (*lex->at == '+' || *lex->at == '-'))
			lex->at++;
		if (!digits(lex))
			return base__lex_fail(lex);
	}
	/* Whatever follows belongs to a member list: a number at the very end of the text is never whole. */
	if (lex->at == end || !(*lex->at == ',' || *lex->at == '}' || *lex->at == ']' || lex_is_space(*lex->at)))
		return base__lex_fail(lex);
	*ret_digits = bytes_of(start, (size_t)(lex->at - start));
	return true;
}

bool base__lex_word(struct json_lex *lex, const char *word, size_t size)
{
	if ((size_t)(lex->end - lex->at) < size || memcmp(lex->at, word, size) != 0)
		return base__lex_fail(lex);
	lex->at += size;
	return true;
}

/* One value that is no container. */
static bool scalar_skip(struct json_lex *lex)
{
	struct bytes text;
	bool integer;
	switch (*lex->at) {
	case '"': lex->at++; return string_skip(lex);
	case 't': return base__lex_word(lex, "true", 4);
	case 'f': return base__lex_word(lex, "false", 5);
	case 'n': return base__lex_word(lex, "null", 4);
	default: return base__lex_number(lex, &text, &integer);
	}
}

/* A member's name and its colon. */
static bool name_skip(struct json_lex *lex)
{
	if (!lex_take(lex, '"'))
		return base__lex_fail(lex);
	if (!string_skip(lex))
		return false;
	return lex_take(lex, ':') || base__lex_fail(lex);
}

/* The open containers are bits of `objects`: 1 for an object. The whole event is one level more. */
bool base__lex_skip(struct json_lex *lex)
{
	uint64_t objects = 0;
	uint32_t depth = 0;
	for (;;) {
		lex_spaces(lex);
		if (lex->at == lex->end)
			return base__lex_fail(lex);
		uint8_t c = *lex->at;
		if (c == '{' || c == '[') {
			if (++depth >= EVENT_DEPTH_MAX)
				return base__lex_fail(lex);
			objects = objects << 1 | (c == '{');
			lex->at++;
			if (!lex_take(lex, c == '{' ? '}' : ']')) {
				if (c == '{' && !name_skip(lex))
					return false;
				continue;
			}
			objects >>= 1;
			depth--;
		} else if (!scalar_skip(lex)) {
			return false;
		}
		/* A value is behind us: close what ends here. */
		while (depth && lex_take(lex, objects & 1 ? '}' : ']')) {
			objects >>= 1;
			depth--;
		}
		if (depth == 0)
			return true;
		if (!lex_take(lex, ','))
			return base__lex_fail(lex);
		if (objects & 1 && !name_skip(lex))
			return false;
	}
}
