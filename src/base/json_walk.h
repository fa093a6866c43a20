/* A look into JSON text without a tree: the members of one container, one after the other, each as the bytes it is written in. For
 * envelopes around events (arrays, CloudEvents, batches of records), whose contents must come through as they are. */
#ifndef BASE_JSON_WALK_H
#define BASE_JSON_WALK_H

#include "base/arena.h"

struct json_walk {
	const uint8_t *at, *end;
	const uint8_t *begin; /* of the present value, for errors */
	struct arena *arena;
	bool object;  /* an array else */
	bool started; /* a member was given */
};
/* text: one array or object, with whitespace around it at most. arena: for names written with escapes.
 * Errors: SM_SYNTAX (not a container; more is told by json_walk_next). */
SM_MUST_CHECK enum sm_err json_walk_begin(struct json_walk *walk, struct bytes text, struct arena *arena);
/* The next member: a value that is sound JSON (strict, EVENT_DEPTH_MAX deep), borrowed from the text; the name of an object's member, as
 * it reads (size 0 in an array). Errors: SM_END after the last and when nothing but whitespace follows; SM_SYNTAX; the arena's. */
SM_MUST_CHECK enum sm_err json_walk_next(struct json_walk *walk, struct bytes *ret_name, struct bytes *ret_value);
/* The value that text, sound or not, begins with, and what follows it. Errors: SM_END (nothing but whitespace), SM_SYNTAX, the arena's. */
SM_MUST_CHECK enum sm_err json_value_next(struct bytes *text, struct arena *arena, struct bytes *ret_value);
/* What a string's text says, quotes and escapes undone; borrowed or in the arena. Errors: SM_TYPE (it is no string), SM_SYNTAX, the
 * arena's. */
SM_MUST_CHECK enum sm_err json_string_text(struct bytes value, struct arena *arena, struct bytes *ret_text);

/* A JSON pointer (RFC 6901), taken apart. */
#define JSON_POINTER_DEPTH_MAX 16
struct json_pointer {
	uint32_t count;
	struct bytes tokens[JSON_POINTER_DEPTH_MAX]; /* in the arena */
};
/* Errors: SM_INVALID (no leading slash, a lone ~), SM_TOO_LARGE (deeper than JSON_POINTER_DEPTH_MAX), the arena's. */
SM_MUST_CHECK enum sm_err json_pointer_parse(struct bytes text, struct arena *arena, struct json_pointer *ret_pointer);
/* The value at the pointer, in a text that is sound JSON. Of members that are there twice the first. Errors: SM_NOT_FOUND, SM_SYNTAX,
 * the arena's. */
SM_MUST_CHECK enum sm_err json_pointer_find(const struct json_pointer *pointer, struct bytes text, struct arena *arena,
					    struct bytes *ret_value);

#endif
