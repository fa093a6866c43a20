/* Rows and outputs as a job's functions see them. */
#include "compute/rdd_internal.h"
#include "base/clock.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

_Static_assert((int)SM_BOOLEAN == COLUMN_BOOL && (int)SM_INT == COLUMN_INT32 && (int)SM_BIGINT == COLUMN_INT64 &&
		       (int)SM_DOUBLE == COLUMN_DOUBLE && (int)SM_TEXT == COLUMN_TEXT && (int)SM_BLOB == COLUMN_BLOB &&
		       (int)SM_UUID == COLUMN_UUID && (int)SM_TIMESTAMP == COLUMN_TIMESTAMP,
	       "public types are the columns' types");

struct value value_of_public(struct sm_value v)
{
	struct value out = {.type = (enum column_type)v.type, .null = v.null};
	switch (v.type) {
	case SM_BOOLEAN: out.boolean = v.boolean; break;
	case SM_INT:
	case SM_BIGINT:
	case SM_TIMESTAMP: out.integer = v.integer; break;
	case SM_DOUBLE: out.real = v.real; break;
	case SM_TEXT:
	case SM_BLOB:
	case SM_UUID: out.bytes = bytes_of(v.bytes.data, v.bytes.size); break;
	}
	return out;
}

struct sm_value value_to_public(struct value v)
{
	struct sm_value out = sm_null();
	out.type = (enum sm_type)v.type;
	out.null = v.null;
	if (v.null)
		return out;
	switch (v.type) {
	case COLUMN_BOOL: out.boolean = v.boolean; break;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: out.integer = v.integer; break;
	case COLUMN_DOUBLE: out.real = v.real; break;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: out.bytes = (struct sm_bytes){v.bytes.data, v.bytes.size}; break;
	}
	return out;
}

/* ---- mistakes ---- */

enum sm_err row_fault_set(struct row_fault *fault, enum sm_err err, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	if (!fault) {
		fputs("smack: ", stderr);
		vfprintf(stderr, fmt, args);
		fputc('\n', stderr);
		abort();
	}
	if (!fault->err) {
		fault->err = err;
		vsnprintf(fault->text, sizeof fault->text, fmt, args);
	}
	va_end(args);
	return err;
}

/* "id, views" for messages; cut when there are many. */
static void list_columns(const struct row_type *type, char *out, size_t room)
{
	size_t at = 0;
	out[0] = 0;
	for (uint32_t i = 0; i < type->field_count && at < room; i++)
		at += (size_t)snprintf(out + at, room - at, "%s%s", i ? ", " : "", type->fields[i].name);
}

static int find(const struct row_type *type, const char *column, struct row_fault *fault)
{
	int at = row_type_find(type, column);
	if (at < 0) {
		char names[160];
		list_columns(type, names, sizeof names);
		row_fault_set(fault, SM_NOT_FOUND, "there is no column %s, the row has (%s)", column, names);
	}
	return at;
}

/* ---- rows ---- */

static struct value value_at(const struct sm_row *row, uint32_t column)
{
	return row->values ? row->values[column] : batch_get(row->batch, column, row->index);
}

uint32_t sm_row_width(const struct sm_row *row)
{
	return row->type->field_count;
}

const char *sm_row_name(const struct sm_row *row, uint32_t column)
{
	return column < row->type->field_count ? row->type->fields[column].name : "";
}

struct sm_value sm_get_at(const struct sm_row *row, uint32_t column)
{
	if (column >= row->type->field_count) {
		row_fault_set(row->fault, SM_OUT_OF_RANGE, "there is no column number %u, the row has %u", column, row->type->field_count);
		return sm_null();
	}
	return value_to_public(value_at(row, column));
}

struct sm_value sm_get(const struct sm_row *row, const char *column)
{
	int at = find(row->type, column, row->fault);
	return at < 0 ? sm_null() : value_to_public(value_at(row, (uint32_t)at));
}

bool sm_is_null(const struct sm_row *row, const char *column)
{
	return sm_get(row, column).null;
}

/* A value of one of the types in `types` (bits), not null; else *ret_ok is false and the mistake is noted. */
static struct value plain(const struct sm_row *row, const char *column, unsigned types, const char *wanted, bool *ret_ok)
{
	struct value v = {0};
	int at = find(row->type, column, row->fault);
	*ret_ok = false;
	if (at < 0)
		return v;
	v = value_at(row, (uint32_t)at);
	if (!(types >> row->type->fields[at].type & 1))
		row_fault_set(row->fault, SM_TYPE, "column %s is %s, not %s", column, column_type_name(row->type->fields[at].type), wanted);
	else if (v.null)
		row_fault_set(row->fault, SM_TYPE, "column %s is null in this row (sm_is_null tells)", column);
	else
		*ret_ok = true;
	return v;
}

int64_t sm_get_integer(const struct sm_row *row, const char *column)
{
	bool ok;
	struct value v = plain(row, column, 1u << COLUMN_INT32 | 1u << COLUMN_INT64 | 1u << COLUMN_TIMESTAMP, "an integer", &ok);
	return ok ? v.integer : 0;
}

double sm_get_real(const struct sm_row *row, const char *column)
{
	bool ok;
	struct value v = plain(row, column, 1u << COLUMN_DOUBLE, "double", &ok);
	return ok ? v.real : 0;
}

bool sm_get_boolean(const struct sm_row *row, const char *column)
{
	bool ok;
	struct value v = plain(row, column, 1u << COLUMN_BOOL, "boolean", &ok);
	return ok && v.boolean;
}

struct sm_bytes sm_get_bytes(const struct sm_row *row, const char *column)
{
	bool ok;
	struct value v = plain(row, column, 1u << COLUMN_TEXT | 1u << COLUMN_BLOB, "text or blob", &ok);
	return ok ? (struct sm_bytes){v.bytes.data, v.bytes.size} : (struct sm_bytes){NULL, 0};
}

struct sm_uuid sm_get_uuid(const struct sm_row *row, const char *column)
{
	bool ok;
	struct sm_uuid uuid = {{0}};
	struct value v = plain(row, column, 1u << COLUMN_UUID, "uuid", &ok);
	if (ok)
		memcpy(uuid.bytes, v.bytes.data, 16);
	return uuid;
}

bool sm_text_is(const struct sm_row *row, const char *column, const char *text)
{
	bool ok;
	if (sm_is_null(row, column))
		return false;
	struct value v = plain(row, column, 1u << COLUMN_TEXT, "text", &ok);
	return ok && bytes_equal(v.bytes, bytes_str(text));
}

const char *sm_value_format(struct sm_value v, char *out, size_t room)
{
	char text[40];
	if (v.null) {
		snprintf(out, room, "NULL");
		return out;
	}
	switch (v.type) {
	case SM_BOOLEAN: snprintf(out, room, "%s", v.boolean ? "true" : "false"); break;
	case SM_INT:
	case SM_BIGINT: snprintf(out, room, "%lld", (long long)v.integer); break;
	case SM_DOUBLE: snprintf(out, room, "%.17g", v.real); break;
	case SM_TIMESTAMP:
		civil_format(v.integer, text);
		snprintf(out, room, "%s", text);
		break;
	case SM_UUID: {
		struct uuid uuid;
		memcpy(uuid.bytes, v.bytes.data, 16);
		uuid_format(&uuid, text);
		snprintf(out, room, "%s", text);
		break;
	}
	case SM_TEXT: snprintf(out, room, "%.*s", (int)(v.bytes.size < room ? v.bytes.size : room), (const char *)v.bytes.data); break;
	case SM_BLOB:
		snprintf(out, room, "0x");
		for (size_t i = 0; i < v.bytes.size && i * 2 + 5 <= room; i++)
			snprintf(out + 2 + i * 2, room - 2 - i * 2, "%02x", ((const uint8_t *)v.bytes.data)[i]);
		break;
	}
	return out;
}

/* ---- outputs ---- */

enum sm_err out_init(struct sm_out *out, const struct row_type *type)
{
	*out = (struct sm_out){.type = type, .staged = calloc(type->field_count + 1, sizeof *out->staged)};
	if (!out->staged)
		return SM_NO_MEMORY;
	out_clear(out, 0);
	return SM_OK;
}

void out_done(struct sm_out *out)
{
	free(out->staged);
	batch_unref(out->batch);
	*out = (struct sm_out){0};
}

void out_clear(struct sm_out *out, uint32_t from)
{
	for (uint32_t i = from; i < out->type->field_count; i++)
		out->staged[i] = (struct value){.type = out->type->fields[i].type, .null = true};
}

void sm_put_at(struct sm_out *out, uint32_t column, struct sm_value value)
{
	const struct column_field *field = &out->type->fields[column];
	if (column >= out->type->field_count) {
		row_fault_set(&out->fault, SM_OUT_OF_RANGE, "there is no column number %u to put, there are %u", column,
			      out->type->field_count);
		return;
	}
	if (column < out->fixed) {
		row_fault_set(&out->fault, SM_INVALID, "column %s is of the key: put the values only", field->name);
		return;
	}
	struct value v = value_of_public(value);
	bool integers = (v.type == COLUMN_INT32 || v.type == COLUMN_INT64) && (field->type == COLUMN_INT32 || field->type == COLUMN_INT64);
	if (!v.null && v.type != field->type && !integers) {
		row_fault_set(&out->fault, SM_TYPE, "column %s is %s, not %s", field->name, column_type_name(field->type),
			      column_type_name(v.type));
		return;
	}
	if (!v.null && field->type == COLUMN_INT32 && (v.integer < INT32_MIN || v.integer > INT32_MAX)) {
		row_fault_set(&out->fault, SM_OUT_OF_RANGE, "%lld does not fit into column %s, an int", (long long)v.integer, field->name);
		return;
	}
	v.type = field->type;
	out->staged[column] = v;
}

void sm_put(struct sm_out *out, const char *column, struct sm_value value)
{
	int at = find(out->type, column, &out->fault);
	if (at >= 0)
		sm_put_at(out, (uint32_t)at, value);
}

enum sm_err sm_emit(struct sm_out *out)
{
	out->emitted++;
	if (out->fault.err || !out->batch)
		return out->fault.err;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < out->type->field_count && !err; i++)
		err = batch_put(out->batch, i, out->staged[i]);
	if (err)
		return row_fault_set(&out->fault, err, "the row that was made: %s", sm_err_text(err));
	batch_row_end(out->batch);
	out_clear(out, out->fixed);
	return SM_OK;
}

enum sm_err sm_skip(struct sm_out *out)
{
	out->skipped++;
	return SM_OK;
}

enum sm_err sm_out_fail(struct sm_out *out, enum sm_err code, const char *fmt, ...)
{
	char text[sizeof out->fault.text];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	return row_fault_set(&out->fault, code, "%s", text);
}

/* ---- declarations ---- */

static bool type_of_name(const char *name, size_t size, enum column_type *ret_type)
{
	static const struct {
		const char *name;
		enum column_type type;
	} names[] = {{"boolean", COLUMN_BOOL}, {"int", COLUMN_INT32},          {"bigint", COLUMN_INT64}, {"double", COLUMN_DOUBLE},
		     {"text", COLUMN_TEXT},    {"string", COLUMN_TEXT},        {"blob", COLUMN_BLOB},    {"binary", COLUMN_BLOB},
		     {"uuid", COLUMN_UUID},    {"timestamp", COLUMN_TIMESTAMP}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i].name) == size && strncasecmp(names[i].name, name, size) == 0) {
			*ret_type = names[i].type;
			return true;
		}
	return false;
}

static const char *skip_space(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

static size_t word(const char *p)
{
	size_t n = 0;
	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

/* One "name type"; the name is copied to the next free byte of names. */
static enum sm_err parse_column(const char **at, struct column_field *field, char **names, struct sm_error *reterr)
{
	const char *name = skip_space(*at);
	size_t name_size = word(name);
	const char *type = skip_space(name + name_size);
	size_t type_size = word(type);
	field->name = memcpy(*names, name, name_size);
	(*names)[name_size] = 0;
	*names += name_size + 1;
	if (name_size == 0 || type_size == 0)
		return sm_fail(reterr, SM_SYNTAX, "a column is a name and a type, as in \"views bigint\", not \"%.40s\"", name);
	if (!type_of_name(type, type_size, &field->type))
		return sm_fail(reterr, SM_SYNTAX, "%.*s is no type: boolean, int, bigint, double, text, blob, uuid, timestamp are",
			       (int)type_size, type);
	*at = skip_space(type + type_size);
	return SM_OK;
}

#define COLUMNS_MAX 256

static enum sm_err parse_columns(const char *text, struct column_field *fields, char *names, uint32_t *ret_count, uint32_t *ret_key_count,
				 struct sm_error *reterr)
{
	const char *at = text;
	*ret_key_count = 0;
	for (uint32_t count = 0; count < COLUMNS_MAX;) {
		enum sm_err err = parse_column(&at, &fields[count], &names, reterr);
		if (err)
			return err;
		for (uint32_t i = 0; i < count; i++)
			if (strcasecmp(fields[i].name, fields[count].name) == 0)
				return sm_fail(reterr, SM_SYNTAX, "column %s is there twice", fields[i].name);
		count++;
		if (*at == 0) {
			*ret_count = count;
			return SM_OK;
		}
		bool arrow = at[0] == '-' && at[1] == '>';
		if (!arrow && *at != ',')
			return sm_fail(reterr, SM_SYNTAX, "a comma, an arrow or the end was expected at \"%.40s\"", at);
		if (arrow && *ret_key_count)
			return sm_fail(reterr, SM_SYNTAX, "there are two arrows; one divides the key from the values");
		if (arrow)
			*ret_key_count = count;
		at += arrow ? 2 : 1;
	}
	return sm_fail(reterr, SM_TOO_LARGE, "more than %d columns", COLUMNS_MAX);
}

enum sm_err rdd_columns_parse(const char *text, struct row_type **ret_type, uint32_t *ret_key_count, struct sm_error *reterr)
{
	struct column_field fields[COLUMNS_MAX] = {{NULL, 0}};
	uint32_t count = 0;
	char *names = malloc(strlen(text) + COLUMNS_MAX + 1);
	if (!names)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for columns");
	enum sm_err err = parse_columns(text, fields, names, &count, ret_key_count, reterr);
	if (err)
		sm_error_prefix(reterr, "columns \"%.100s\"", text);
	else if (!(*ret_type = row_type_new(fields, count)))
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for columns");
	free(names);
	return err;
}

/* ---- uuids and days ---- */

enum sm_err sm_uuid_parse(const char *text, size_t size, struct sm_uuid *ret_uuid)
{
	struct uuid uuid;
	enum sm_err err = uuid_parse(text, size, &uuid);
	if (!err)
		memcpy(ret_uuid->bytes, uuid.bytes, 16);
	return err;
}

void sm_uuid_format(const struct sm_uuid *uuid, char out[37])
{
	struct uuid inner;
	memcpy(inner.bytes, uuid->bytes, 16);
	uuid_format(&inner, out);
}

struct sm_day sm_day_of(int64_t ms_since_1970)
{
	struct civil c = civil_of_ms(ms_since_1970);
	return (struct sm_day){c.year, c.month, c.day};
}

int64_t sm_day_start(int32_t year, int32_t month, int32_t day)
{
	return civil_to_ms(&(struct civil){.year = year, .month = (uint8_t)month, .day = (uint8_t)day});
}

enum sm_err sm_day_parse(const char *text, struct sm_day *ret_day)
{
	int end = 0;
	struct sm_day day, back;
	if (sscanf(text, "%4d-%2d-%2d%n", &day.year, &day.month, &day.day, &end) != 3 || text[end] != 0 || day.month < 1 ||
	    day.month > 12 || day.day < 1 || day.day > 31)
		return SM_SYNTAX;
	back = sm_day_of(sm_day_start(day.year, day.month, day.day));
	if (back.month != day.month || back.day != day.day)
		return SM_SYNTAX;
	*ret_day = day;
	return SM_OK;
}
