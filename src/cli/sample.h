/* What a file of events tells of them: its members, their types, which could be a key, a time, an identity. */
#ifndef CLI_SAMPLE_H
#define CLI_SAMPLE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include <smack/error.h>

#define SAMPLE_LINES_MAX 10000 /* that are looked at */
#define SAMPLE_BYTES_MAX (64u << 20)
#define SAMPLE_FIELDS_MAX 128
#define SAMPLE_NAME_MAX 128                /* bytes of a member's name that the configuration may mention */
#define SAMPLE_VALUES_MAX SAMPLE_LINES_MAX /* different values of a field that are told apart: all */

enum sample_type {
	SAMPLE_NULL, /* nothing else was seen */
	SAMPLE_STRING,
	SAMPLE_UUID,
	SAMPLE_DATE_TIME,
	SAMPLE_INTEGER,
	SAMPLE_NUMBER,
	SAMPLE_BOOLEAN,
	SAMPLE_OBJECT,
	SAMPLE_ARRAY,
	SAMPLE_MIXED
};
struct sample_field {
	const char *name;
	enum sample_type type;
	uint32_t count; /* lines that have it, null or not */
	uint32_t nulls;
	struct map values; /* of scalars */
	uint32_t different;
	bool speakable; /* its name can stand in a line of the configuration and in SQL */
	bool all_times; /* integers that could be milliseconds since 1970, of this century */
};
struct sample {
	struct arena arena;
	struct sample_field fields[SAMPLE_FIELDS_MAX]; /* in the order of their coming */
	uint32_t field_count;
	uint32_t lines; /* events */
};
/* text: one JSON object a line. Errors: SM_INVALID (a line is none, which is named; there is none), SM_TOO_LARGE (members). Release with
 * sample_done, also after an error. */
SM_MUST_CHECK enum sm_err sample_read(struct sample *sample, struct bytes text, struct sm_error *reterr);
void sample_done(struct sample *sample);
/* Of the following, none is given whose name is not speakable.
 * By which events are counted: of few values, each in several lines; NULL: none. */
const struct sample_field *sample_group(const struct sample *sample);
/* When an event was; NULL: none. */
const struct sample_field *sample_time(const struct sample *sample);
/* What no two events share; NULL: none. */
const struct sample_field *sample_identity(const struct sample *sample);
/* The schema as JSON. */
void sample_schema(const struct sample *sample, const char *title, struct buf *out);

#endif
