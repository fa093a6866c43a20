/* JSON looked into, on the scanner's lexer. A value is stepped over once for each level that is walked. */
#include "base/json_walk.h"
#include "base/event_internal.h"

static struct json_lex lex_of(const struct json_walk *w)
{
	return (struct json_lex){.at = w->at, .end = w->end, .arena = w->arena};
}

enum sm_err json_walk_begin(struct json_walk *w, struct bytes text, struct arena *arena)
{
	*w = (struct json_walk){.at = text.data, .end = text.data + text.size, .begin = text.data, .arena = arena};
	struct json_lex lex = lex_of(w);
	lex_spaces(&lex);
	w->begin = lex.at;
	if (lex.at == lex.end || (*lex.at != '{' && *lex.at != '['))
		return SM_SYNTAX;
	w->object = *lex.at == '{';
	w->at = lex.at + 1;
	return SM_OK;
}

static enum sm_err walk_end(struct json_walk *w, struct json_lex *lex)
{
	lex_spaces(lex);
	w->at = lex->at;
	return lex->at == lex->end ? SM_END : SM_SYNTAX;
}

static enum sm_err failed(const struct json_lex *lex)
{
	return lex->err ? lex->err : SM_SYNTAX;
}

enum sm_err json_walk_next(struct json_walk *w, struct bytes *ret_name, struct bytes *ret_value)
{
	struct json_lex lex = lex_of(w);
	*ret_name = (struct bytes){0};
	lex_spaces(&lex);
	w->begin = lex.at;
	if (lex_take(&lex, w->object ? '}' : ']'))
		return walk_end(w, &lex);
	if (w->started && !lex_take(&lex, ','))
		return SM_SYNTAX;
	lex_spaces(&lex);
	w->begin = lex.at;
	if (w->object && (!lex_take(&lex, '"') || !base__lex_string(&lex, ret_name) || !lex_take(&lex, ':')))
		return failed(&lex);
	lex_spaces(&lex);
	const uint8_t *value = lex.at;
	w->begin = value;
	if (!base__lex_skip(&lex))
		return failed(&lex);
	*ret_value = bytes_of(value, (size_t)(lex.at - value));
	w->at = lex.at;
	w->started = true;
	return SM_OK;
}

enum sm_err json_value_next(struct bytes *text, struct arena *arena, struct bytes *ret_value)
{
	struct json_lex lex = {.at = text->data, .end = text->data + text->size, .arena = arena};
	lex_spaces(&lex);
	if (lex.at == lex.end)
		return SM_END;
	const uint8_t *value = lex.at;
	if (!base__lex_skip(&lex))
		return failed(&lex);
	*ret_value = bytes_of(value, (size_t)(lex.at - value));
	*text = bytes_of(lex.at, (size_t)(lex.end - lex.at));
	return SM_OK;
}

enum sm_err json_string_text(struct bytes value, struct arena *arena, struct bytes *ret_text)
{
	struct json_lex lex = {.at = value.data, .end = value.data + value.size, .arena = arena};
	if (!value.size || *value.data != '"')
		return SM_TYPE;
	lex.at++;
	if (!base__lex_string(&lex, ret_text))
		return failed(&lex);
	return lex.at == lex.end ? SM_OK : SM_SYNTAX;
}

/* ---- pointers ---- */

static enum sm_err token_text(struct bytes raw, struct arena *arena, struct bytes *ret_token)
{
	uint8_t *out = arena_alloc_raw(arena, raw.size + 1, 1);
	size_t n = 0;
	if (!out)
		return arena_error(arena);
	for (size_t i = 0; i < raw.size; i++) {
		uint8_t c = raw.data[i];
		if (c == '~') {
			if (++i == raw.size || (raw.data[i] != '0' && raw.data[i] != '1'))
				return SM_INVALID;
			c = raw.data[i] == '0' ? '~' : '/';
		}
		out[n++] = c;
	}
	*ret_token = bytes_of(out, n);
	return SM_OK;
}

enum sm_err json_pointer_parse(struct bytes text, struct arena *arena, struct json_pointer *ret)
{
	ret->count = 0;
	while (text.size) {
		if (*text.data != '/')
			return SM_INVALID;
		if (ret->count == JSON_POINTER_DEPTH_MAX)
			return SM_TOO_LARGE;
		const uint8_t *end = memchr(text.data + 1, '/', text.size - 1);
		size_t size = end ? (size_t)(end - text.data) : text.size;
		enum sm_err err = token_text(bytes_of(text.data + 1, size - 1), arena, &ret->tokens[ret->count++]);
		if (err)
			return err;
		text = bytes_of(text.data + size, text.size - size);
	}
	return SM_OK;
}

/* RFC 6901: digits without a leading zero. */
static bool index_of(struct bytes token, uint64_t *ret)
{
	uint64_t v = 0;
	if (!token.size || token.size > 9 || (token.size > 1 && *token.data == '0'))
		return false;
	for (size_t i = 0; i < token.size; i++) {
		if ((uint8_t)(token.data[i] - '0') > 9)
			return false;
		v = v * 10 + (uint64_t)(token.data[i] - '0');
	}
	*ret = v;
	return true;
}

static enum sm_err step_down(struct bytes token, struct bytes text, struct arena *arena, struct bytes *ret_value)
{
	struct json_walk walk;
	struct bytes name;
	uint64_t want = 0, at = 0;
	if (json_walk_begin(&walk, text, arena) || (!walk.object && !index_of(token, &want)))
		return SM_NOT_FOUND;
	enum sm_err err;
	while (!(err = json_walk_next(&walk, &name, ret_value)))
		if (walk.object ? bytes_equal(name, token) : at++ == want)
			return SM_OK;
	return err == SM_END ? SM_NOT_FOUND : err;
}

enum sm_err json_pointer_find(const struct json_pointer *pointer, struct bytes text, struct arena *arena, struct bytes *ret_value)
{
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < pointer->count && !err; i++)
		err = step_down(pointer->tokens[i], text, arena, &text);
	if (!err)
		*ret_value = text;
	return err;
}
