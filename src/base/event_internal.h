/* What the schema compiler prepares for the scanner, and the scanner's JSON lexer. Within base. */
#ifndef BASE_EVENT_INTERNAL_H
#define BASE_EVENT_INTERNAL_H

#include "base/schema.h"

/* ---- the index of a schema ---- */

struct field_index {
	/* The first (up to 8) bytes of the name with its closing quote, and which of them count: most names are told by one compare. */
	uint64_t head, head_mask;
	const char *name;
	uint32_t name_size;
	bool plain;                  /* stands in JSON as it is: no byte that must or may be looked at twice */
	const char *path;            /* "obj.ts" */
	const struct bytes *choices; /* as many as the field's choice_count */
};
struct schema_index {
	struct arena arena; /* of the outermost: holds the schema, this and all names */
	uint64_t required[SCHEMA_FIELDS_MAX / 64];
	uint32_t slot_mask;
	uint16_t *slots; /* by hash of the name: field + 1, linear probing; at most half full */
	struct field_index fields[];
};

/* -1: unknown. */
int base__field_find(const struct schema *schema, const uint8_t *name, size_t size);

/* ---- the lexer ---- */

struct json_lex {
	const uint8_t *at, *end;
	struct arena *arena;
	enum sm_err err; /* SM_SYNTAX, or what the arena says; nothing is read after it is set */
};
/* Each returns false when err was set. */
/* at is behind the opening quote, and behind the closing one afterwards. text is borrowed, or in the arena if it had escapes. */
bool base__lex_string(struct json_lex *lex, struct bytes *ret_text);
/* Check any value and step over it. */
bool base__lex_skip(struct json_lex *lex);
/* A number; ret_integer: it had neither fraction nor exponent. at is at its first character. */
bool base__lex_number(struct json_lex *lex, struct bytes *ret_digits, bool *ret_integer);
bool base__lex_word(struct json_lex *lex, const char *word, size_t size); /* true, false, null */
bool base__lex_fail(struct json_lex *lex);

static inline bool lex_is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
static inline void lex_spaces(struct json_lex *lex)
{
	while (lex->at < lex->end && *lex->at <= ' ' && lex_is_space(*lex->at))
		lex->at++;
}
/* Step over spaces, the character, spaces. */
static inline bool lex_take(struct json_lex *lex, uint8_t c)
{
	if (__builtin_expect(lex->at < lex->end && *lex->at == c, 1)) {
		lex->at++;
		return true;
	}
	lex_spaces(lex);
	if (lex->at >= lex->end || *lex->at != c)
		return false;
	lex->at++;
	return true;
}

#define LEX_ONES 0x0101010101010101ull
#define LEX_HIGHS 0x8080808080808080ull
/* Marks (in the high bits) the first of 8 bytes that is a quote, a backslash, a control character or not ASCII; those behind it may
 * be marked wrongly. */
static inline uint64_t lex_specials(uint64_t x)
{
	uint64_t quote = x ^ LEX_ONES * '"', backslash = x ^ LEX_ONES * '\\';
	return ((x - LEX_ONES * 0x20) | (quote - LEX_ONES) | (backslash - LEX_ONES) | x) & LEX_HIGHS;
}
static inline uint64_t lex_load8(const uint8_t *at)
{
	uint64_t v;
	memcpy(&v, at, 8);
	return v;
}

/* ---- values in text (event_value.c) ---- */

bool base__uuid_scan(const uint8_t text[36], uint8_t out[16]);
/* A JSON number that is mathematically an integer of 64 bits, in any notation. */
bool base__integer_scan(struct bytes digits, int64_t *ret_value);
/* False: too large for a double. The byte behind digits must be readable and no part of a number. */
bool base__double_scan(struct bytes digits, double *ret_value);

#endif
