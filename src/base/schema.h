/* Schemas of events, a subset of JSON Schema 2020-12, compiled to a one-pass scanner.
 *
 * Understood at the top: type "object", properties, required, additionalProperties (false, or true as when absent), $schema, $id.
 * In a property: type "string", "integer", "number", "boolean", "object", "array", or a list of one of these and "null"; of strings format
 * "uuid" or "date-time", enum and const (strings), minLength, maxLength (in characters); of integers and numbers minimum, maximum,
 * exclusiveMinimum, exclusiveMaximum; of objects properties (without: any object), required, additionalProperties; of arrays items
 * (without: any), minItems, maxItems. Everywhere title, description, $comment, default, examples, deprecated, which say nothing about what
 * is valid. Anything else is refused by name, with its JSON pointer. */
#ifndef BASE_SCHEMA_H
#define BASE_SCHEMA_H

#include "base/arena.h"
#include "base/buf.h"

enum schema_type {
	SCHEMA_STRING,
	SCHEMA_UUID,
	SCHEMA_DATE_TIME,
	SCHEMA_INTEGER,
	SCHEMA_NUMBER,
	SCHEMA_BOOLEAN,
	SCHEMA_OBJECT,
	SCHEMA_ARRAY
};
struct schema_field {
	const char *name;
	enum schema_type type;
	bool required;
	bool nullable;                           /* null is taken as if the member were not there, but fulfils `required` */
	int64_t minimum, maximum;                /* of integers */
	double number_minimum, number_maximum;   /* of numbers */
	uint32_t length_minimum, length_maximum; /* characters of a string, items of an array */
	const struct schema *inner;              /* an object's members; an array's items as the one field; NULL: any */
	const char *const *choices;              /* enum; NULL: any */
	uint32_t choice_count;
};
struct schema {
	const char *title;
	struct schema_field *fields; /* in the document's order */
	uint32_t field_count;
	bool additional; /* members that are not named are allowed (and skipped) */
	/* the rest is the scanner's */
	void *index;
};
#define SCHEMA_FIELDS_MAX 256 /* of one object */
#define SCHEMA_DEPTH_MAX 16   /* objects and arrays within each other */
#define SCHEMA_NODES_MAX 4096 /* fields of all of them */

SM_MUST_CHECK enum sm_err schema_compile(struct bytes document, struct schema **ret_schema, struct sm_error *reterr);
void schema_free(struct schema *schema);
/* Index of a field, or -1. */
int schema_find(const struct schema *schema, const char *name);

/* One field's value as the scanner found it. Borrowed from the event or from the arena (unescaped strings). */
struct event_value {
	bool present;
	struct bytes raw; /* the value's text as it stands in the event, a string's without its quotes */
	union {
		struct bytes text; /* SCHEMA_STRING: unescaped UTF-8; SCHEMA_OBJECT, SCHEMA_ARRAY: as raw */
		uint8_t uuid[16];  /* SCHEMA_UUID */
		int64_t integer;   /* SCHEMA_INTEGER; SCHEMA_DATE_TIME: ms since 1970 */
		double number;
		bool boolean;
	};
};
/* One reason why an event does not fit: path as in the article's flat JSON ("obj.ts", "obj.user.tags[2]"), and Play's error keys in
 * `reason`
 * ("error.path.missing", "error.expected.uuid", "error.expected.jsnumber" ...; all of them: event_scan.c). The path lives in the
 * schema or in the arena. More problems than fit: the last one says "error.more". */
struct event_problem {
	const char *path;
	const char *reason;
};
#define EVENT_PROBLEMS_MAX 32
#define EVENT_DEPTH_MAX 64
struct event_problems {
	struct event_problem items[EVENT_PROBLEMS_MAX];
	uint32_t count;
};
/* Check one JSON document (whitespace around it is allowed, nothing else) and take its fields apart.
 * values: schema->field_count of them, may be NULL when only the check is wanted. arena: unescaped strings and paths.
 * An integer may be written in any way that is one (1.0, 1e3); null is no value of any type. Thread: any, side by side.
 * Errors: the arena's; SM_INVALID with problems filled (a syntax error has the path "obj"). Strict RFC 8259: UTF-8, no duplicates of
 * a named member, numbers in range. */
SM_MUST_CHECK enum sm_err event_scan(const struct schema *schema, struct bytes text, struct event_value *values, struct arena *arena,
				     struct event_problems *problems);
/* What the format "date-time" takes: RFC 3339, to ms since 1970. */
bool schema_date_time(struct bytes text, int64_t *ret_ms);
/* {"obj.ts":["error.expected.jsnumber"],...}, appended. */
void event_problems_json(const struct event_problems *problems, struct buf *out);

/* Whether every event that fits narrow fits wide too, as far as it can be shown from the schemas: what cannot be shown counts as a problem.
 * So evolution is checked: the new schema must take the old one's events (backward), or the old one the new one's (forward).
 * wide_name, narrow_name: what they are called in reasons ("new", "old"). Each problem has the path of a member and a reason in words; both
 * live in the arena. Returns SM_OK, SM_INVALID (problems filled), the arena's. */
SM_MUST_CHECK enum sm_err schema_takes_all(const struct schema *wide, const char *wide_name, const struct schema *narrow,
					   const char *narrow_name, struct arena *arena, struct event_problems *problems);

#endif
