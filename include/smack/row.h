/* Rows and values, as jobs read them and put them together. */
#ifndef SMACK_ROW_H
#define SMACK_ROW_H

#include <smack/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In declarations of rows: boolean, int, bigint, double, text, blob, uuid, timestamp (ms since 1970, UTC). */
enum sm_type { SM_BOOLEAN, SM_INT, SM_BIGINT, SM_DOUBLE, SM_TEXT, SM_BLOB, SM_UUID, SM_TIMESTAMP };

struct sm_bytes {
	const void *data; /* not terminated */
	size_t size;
};
struct sm_uuid {
	uint8_t bytes[16];
};
/* bytes are borrowed from where the value came from. */
struct sm_value {
	enum sm_type type;
	bool null;
	union {
		bool boolean;
		int64_t integer; /* int, bigint, timestamp */
		double real;
		struct sm_bytes bytes; /* text, blob, uuid (16 bytes) */
	};
};

/* ---- making values ---- */
static inline struct sm_value sm_null(void)
{
	struct sm_value v;
	memset(&v, 0, sizeof v);
	v.null = true;
	return v;
}
static inline struct sm_value sm_integer(int64_t integer) /* for int and bigint */
{
	struct sm_value v = sm_null();
	v.null = false, v.type = SM_BIGINT, v.integer = integer;
	return v;
}
static inline struct sm_value sm_timestamp(int64_t ms)
{
	struct sm_value v = sm_integer(ms);
	v.type = SM_TIMESTAMP;
	return v;
}
static inline struct sm_value sm_real(double real)
{
	struct sm_value v = sm_null();
	v.null = false, v.type = SM_DOUBLE, v.real = real;
	return v;
}
static inline struct sm_value sm_boolean(bool boolean)
{
	struct sm_value v = sm_null();
	v.null = false, v.type = SM_BOOLEAN, v.boolean = boolean;
	return v;
}
static inline struct sm_value sm_bytes_value(enum sm_type type, const void *data, size_t size) /* text, blob */
{
	struct sm_value v = sm_null();
	v.null = false, v.type = type, v.bytes.data = data, v.bytes.size = size;
	return v;
}
static inline struct sm_value sm_text(const char *text)
{
	return sm_bytes_value(SM_TEXT, text, strlen(text));
}
static inline struct sm_value sm_uuid(const struct sm_uuid *uuid)
{
	return sm_bytes_value(SM_UUID, uuid->bytes, 16);
}

/* ---- reading rows ----
 * A row is borrowed for the call that hands it over. Columns are found by name (without case) or by index.
 * A column that is not there, is of another type, or is null where a plain value is asked for, is a mistake in the job: within a job's
 * function the value is zero and the task fails with a text that names the column; on a row of sm_rdd_collect the program ends with that
 * text. */
struct sm_row;
SM_EXPORT uint32_t sm_row_width(const struct sm_row *row);
SM_EXPORT const char *sm_row_name(const struct sm_row *row, uint32_t column);
SM_EXPORT struct sm_value sm_get_at(const struct sm_row *row, uint32_t column);
SM_EXPORT struct sm_value sm_get(const struct sm_row *row, const char *column);
SM_EXPORT bool sm_is_null(const struct sm_row *row, const char *column);
SM_EXPORT int64_t sm_get_integer(const struct sm_row *row, const char *column); /* int, bigint, timestamp */
SM_EXPORT double sm_get_real(const struct sm_row *row, const char *column);
SM_EXPORT bool sm_get_boolean(const struct sm_row *row, const char *column);
SM_EXPORT struct sm_bytes sm_get_bytes(const struct sm_row *row, const char *column); /* text, blob */
SM_EXPORT struct sm_uuid sm_get_uuid(const struct sm_row *row, const char *column);
SM_EXPORT bool sm_text_is(const struct sm_row *row, const char *column, const char *text); /* false for null */
/* A value as people read it ("view", 42, 2019-11-24T00:00:00.000Z, NULL); at most room bytes with the terminating zero, cut if it is
 * longer. Returns out. */
SM_EXPORT const char *sm_value_format(struct sm_value value, char *out, size_t room);

/* ---- uuids and days ---- */
/* 36 characters, either case. Errors: SM_SYNTAX or SM_INVALID. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_uuid_parse(const char *text, size_t size, struct sm_uuid *ret_uuid);
SM_EXPORT void sm_uuid_format(const struct sm_uuid *uuid, char out[37]);
struct sm_day {
	int32_t year, month, day;
};
SM_EXPORT struct sm_day sm_day_of(int64_t ms_since_1970);                 /* UTC */
SM_EXPORT int64_t sm_day_start(int32_t year, int32_t month, int32_t day); /* ms */
/* "2019-11-30". Errors: SM_SYNTAX. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_day_parse(const char *text, struct sm_day *ret_day);

#ifdef __cplusplus
}
#endif
#endif
