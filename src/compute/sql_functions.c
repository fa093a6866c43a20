/* Scalar functions, a row of the table each. A null argument makes a null result (coalesce, if, nullif and greatest are bound to other
 * expressions, in sql_bind.c). Source: Spark SQL built-in functions. Dates are texts yyyy-MM-dd: there is no date type. */
#include "compute/sql_internal.h"
#include <math.h>
#include <stdio.h>
#include <strings.h>
#include <wctype.h>
#include <locale.h>

static bool there(const struct vec *out, uint32_t i)
{
	return !out->null[i];
}

/* ---- binding ---- */

/* A time is a timestamp, or a bigint of ms since 1970 as it is; a text is read as a timestamp. */
static enum sm_err coerce_time(struct binder *b, struct expr **e)
{
	if ((*e)->type == COLUMN_TIMESTAMP || ((*e)->type == COLUMN_INT64 && !(*e)->untyped))
		return SM_OK;
	if ((*e)->type == COLUMN_INT32)
		return bind_coerce(b, e, COLUMN_INT64);
	return bind_coerce(b, e, COLUMN_TIMESTAMP);
}
static enum sm_err bind_time_to_int(struct binder *b, struct expr *e)
{
	e->type = COLUMN_INT32;
	return coerce_time(b, &e->args[0]);
}
static enum sm_err bind_time_to_text(struct binder *b, struct expr *e)
{
	e->type = COLUMN_TEXT;
	return coerce_time(b, &e->args[0]);
}
static enum sm_err bind_date_format(struct binder *b, struct expr *e)
{
	enum sm_err err = bind_time_to_text(b, e);
	return err ? err : bind_coerce(b, &e->args[1], COLUMN_TEXT);
}
static enum sm_err bind_date_trunc(struct binder *b, struct expr *e)
{
	enum sm_err err = bind_coerce(b, &e->args[0], COLUMN_TEXT);
	if (err || (err = coerce_time(b, &e->args[1])))
		return err;
	e->type = e->args[1]->type;
	return SM_OK;
}
static enum sm_err bind_make_date(struct binder *b, struct expr *e)
{
	e->type = COLUMN_TEXT;
	for (uint32_t i = 0; i < 3; i++) {
		enum sm_err err = bind_coerce(b, &e->args[i], COLUMN_INT64);
		if (err)
			return err;
	}
	return SM_OK;
}
static enum sm_err bind_timestamp_millis(struct binder *b, struct expr *e)
{
	e->type = COLUMN_TIMESTAMP;
	return bind_coerce(b, &e->args[0], COLUMN_INT64);
}
static enum sm_err bind_unix_millis(struct binder *b, struct expr *e)
{
	e->type = COLUMN_INT64;
	return bind_coerce(b, &e->args[0], COLUMN_TIMESTAMP);
}
static enum sm_err bind_text(struct binder *b, struct expr *e)
{
	e->type = COLUMN_TEXT;
	return bind_coerce(b, &e->args[0], COLUMN_TEXT);
}
static enum sm_err bind_concat(struct binder *b, struct expr *e)
{
	e->type = COLUMN_TEXT;
	for (uint32_t i = 0; i < e->count; i++) {
		if (e->args[i]->type != COLUMN_TEXT) {
			/* any type is shown as text, as Spark's implicit cast does */
			struct expr *cast = arena_alloc(b->arena, sizeof *cast);
			if (!cast)
				return bind_no_memory(b);
			struct expr **args = arena_copy(b->arena, &e->args[i], sizeof *args);
			if (!args)
				return bind_no_memory(b);
			*cast = (struct expr){
				.op = OP_CAST, .type = COLUMN_TEXT, .line = e->line, .column = e->column, .count = 1, .args = args};
			e->args[i] = cast;
		}
	}
	return SM_OK;
}
static enum sm_err bind_length(struct binder *b, struct expr *e)
{
	e->type = COLUMN_INT32;
	return e->args[0]->type == COLUMN_BLOB ? SM_OK : bind_coerce(b, &e->args[0], COLUMN_TEXT);
}
static enum sm_err bind_substring(struct binder *b, struct expr *e)
{
	enum sm_err err = bind_text(b, e);
	for (uint32_t i = 1; i < e->count && !err; i++)
		err = bind_coerce(b, &e->args[i], COLUMN_INT64);
	return err;
}
static enum sm_err bind_two_texts_to_bool(struct binder *b, struct expr *e)
{
	enum sm_err err = bind_coerce(b, &e->args[0], COLUMN_TEXT);
	e->type = COLUMN_BOOL;
	return err ? err : bind_coerce(b, &e->args[1], COLUMN_TEXT);
}
static enum sm_err bind_number(struct binder *b, struct expr *e)
{
	if (!expr_is_integer(e->args[0])) {
		enum sm_err err = bind_coerce(b, &e->args[0], COLUMN_DOUBLE);
		if (err)
			return err;
	}
	e->type = e->args[0]->type;
	return SM_OK;
}
static enum sm_err bind_round_down(struct binder *b, struct expr *e)
{
	enum sm_err err = bind_number(b, e);
	e->type = COLUMN_INT64;
	return err;
}

/* ---- time ---- */

/* A time has to lie in the years 0 to 9999, where yyyy-MM-dd is one text and orders as days do. */
static enum sm_err civil_at(const struct expr *e, struct eval *c, int64_t ms, struct civil *ret)
{
	if (ms < -62167219200000 || ms > 253402300799999)
		return sql__fail(c->reterr, SM_OUT_OF_RANGE, e->line, e->column, "%lld is no time in ms of the years 0 to 9999",
				 (long long)ms);
	*ret = civil_of_ms(ms);
	return SM_OK;
}

static int64_t field_of(const char *name, const struct civil *c, int64_t ms)
{
	switch (name[0]) {
	case 'y': return c->year;
	case 'm': return name[1] == 'o' ? c->month : c->minute;
	case 'q': return (c->month + 2) / 3;
	case 'h': return c->hour;
	case 's': return c->second;
	default: break;
	}
	if (strcmp(name, "dayofweek") == 0) { /* 1: Sunday; 1970-01-01 was a Thursday */
		int64_t days = ms / 86400000 - (ms % 86400000 < 0);
		return ((days + 4) % 7 + 7) % 7 + 1;
	}
	return c->day;
}

static enum sm_err eval_field(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	struct civil t = {0};
	for (uint32_t i = 0; i < n; i++) {
		if (!there(out, i))
			continue;
		enum sm_err err = civil_at(e, c, args[0].integers[i], &t);
		if (err)
			return err;
		out->integers[i] = field_of(e->function->name, &t, args[0].integers[i]);
	}
	return SM_OK;
}

static enum sm_err put_text(struct eval *c, struct vec *out, uint32_t i, const char *text, size_t size)
{
	void *copy = arena_copy(c->arena, text, size ? size : 1);
	if (!copy)
		return eval_no_memory(c);
	out->bytes[i] = bytes_of(copy, size);
	return SM_OK;
}

static enum sm_err eval_to_date(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	struct civil t = {0};
	char text[40];
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < n && !err; i++) {
		if (!there(out, i) || (err = civil_at(e, c, args[0].integers[i], &t)))
			continue;
		int size = snprintf(text, sizeof text, "%04d-%02u-%02u", t.year, t.month, t.day);
		err = put_text(c, out, i, text, (size_t)size);
	}
	return err;
}

static enum sm_err eval_make_date(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	char text[40];
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < n && !err; i++) {
		int64_t y = args[0].integers[i], m = args[1].integers[i], d = args[2].integers[i], ms;
		if (!there(out, i))
			continue;
		int size = snprintf(text, sizeof text, "%04lld-%02lld-%02lld", (long long)y % 10000, (long long)m % 100,
				    (long long)d % 100);
		if (y < 0 || y > 9999 || m < 1 || m > 12 || d < 1 || d > 31 || !sql__parse_timestamp(bytes_of(text, (size_t)size), &ms))
			return sql__fail(c->reterr, SM_OUT_OF_RANGE, e->line, e->column, "there is no day %lld-%lld-%lld", (long long)y,
					 (long long)m, (long long)d);
		err = put_text(c, out, i, text, (size_t)size);
	}
	return err;
}

/* The letters of Spark's patterns that are known; quotes hold text. */
static enum sm_err format_time(const struct expr *e, struct eval *c, const struct civil *t, struct bytes pattern, char *out, size_t room,
			       size_t *ret_size)
{
	size_t size = 0, run;
	for (size_t i = 0; i < pattern.size; i += run) {
		char letter = (char)pattern.data[i];
		run = 1;
		if (size + 16 > room)
			return sql__fail(c->reterr, SM_TOO_LARGE, e->line, e->column, "the pattern is too long");
		if (letter == '\'') {
			for (i++; i < pattern.size && pattern.data[i] != '\'' && size + 16 < room; i++)
				out[size++] = (char)pattern.data[i];
			continue;
		}
		if (!((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z'))) {
			out[size++] = letter;
			continue;
		}
		while (i + run < pattern.size && pattern.data[i + run] == (uint8_t)letter)
			run++;
		int v = letter == 'y'   ? t->year
			: letter == 'M' ? t->month
			: letter == 'd' ? t->day
			: letter == 'H' ? t->hour
			: letter == 'm' ? t->minute
			: letter == 's' ? t->second
			: letter == 'S' ? t->ms
					: -1;
		if (v < 0 || run > 4 || (run > 2 && letter != 'y' && letter != 'S') || (letter == 'S' && run != 3))
			return sql__fail(c->reterr, SM_UNSUPPORTED, e->line, e->column,
					 "pattern letter %c x %zu: known are yyyy MM dd HH mm ss SSS", letter, run);
		if (letter == 'y' && run == 2)
			v %= 100;
		size += (size_t)snprintf(out + size, room - size, "%0*d", (int)run, v);
	}
	*ret_size = size;
	return SM_OK;
}

static enum sm_err eval_date_format(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	struct civil t = {0};
	char text[200];
	size_t size = 0;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < n && !err; i++)
		if (there(out, i) && !(err = civil_at(e, c, args[0].integers[i], &t)) &&
		    !(err = format_time(e, c, &t, args[1].bytes[i], text, sizeof text, &size)))
			err = put_text(c, out, i, text, size);
	return err;
}

static bool truncate_civil(struct bytes unit, struct civil *t)
{
	static const char *const units[] = {"year", "month", "day", "hour", "minute", "second"};
	size_t u = 0;
	while (u < 6 && !(unit.size == strlen(units[u]) && strncasecmp((const char *)unit.data, units[u], unit.size) == 0))
		u++;
	if (u == 6)
		return false;
	t->ms = 0;
	t->second = u < 5 ? 0 : t->second;
	t->minute = u < 4 ? 0 : t->minute;
	t->hour = u < 3 ? 0 : t->hour;
	t->day = u < 2 ? 1 : t->day;
	t->month = u < 1 ? 1 : t->month;
	return true;
}

static enum sm_err eval_date_trunc(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	struct civil t = {0};
	for (uint32_t i = 0; i < n; i++) {
		if (!there(out, i))
			continue;
		enum sm_err err = civil_at(e, c, args[1].integers[i], &t);
		if (err)
			return err;
		if (!truncate_civil(args[0].bytes[i], &t))
			return sql__fail(c->reterr, SM_UNSUPPORTED, e->line, e->column,
					 "date_trunc: units are year, month, day, hour, minute, second");
		out->integers[i] = civil_to_ms(&t);
	}
	return SM_OK;
}

static enum sm_err eval_same_integer(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	memcpy(out->integers, args[0].integers, n * sizeof *out->integers);
	return SM_OK;
}

/* ---- text ---- */

/* Code point at s[i]; *ret_size bytes. What is not UTF-8 is taken byte by byte. */
static uint32_t decode(struct bytes s, size_t i, size_t *ret_size)
{
	uint8_t c = s.data[i];
	size_t more = c >= 0xf0 && c < 0xf8 ? 3 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xc2 && c < 0xe0 ? 1 : 0;
	uint32_t code = more == 3 ? c & 7u : more == 2 ? c & 15u : more == 1 ? c & 31u : c;
	*ret_size = 1;
	if (i + more >= s.size)
		return c;
	for (size_t k = 1; k <= more; k++) {
		if ((s.data[i + k] & 0xc0) != 0x80)
			return c;
		code = code << 6 | (s.data[i + k] & 63u);
	}
	*ret_size = more + 1;
	return code;
}

static size_t encode(uint32_t code, uint8_t *out)
{
	if (code < 0x80) {
		out[0] = (uint8_t)code;
		return 1;
	}
	size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	for (size_t i = size - 1; i > 0; i--, code >>= 6)
		out[i] = (uint8_t)(0x80 | (code & 63));
	out[0] = (uint8_t)((0xf00 >> size) | code);
	return size;
}

/* Letter by letter, in the C library's Unicode table; the few letters whose other case is two letters stay as they are. */
static enum sm_err eval_case(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	bool up = e->function->name[0] == 'u';
	locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	for (uint32_t i = 0; i < n; i++) {
		struct bytes s = args[0].bytes[i];
		if (!there(out, i))
			continue;
		uint8_t *to = arena_alloc_raw(c->arena, s.size * 2 + 4, 1);
		if (!to) {
			if (unicode)
				freelocale(unicode);
			return eval_no_memory(c);
		}
		size_t size = 0, step;
		for (size_t at = 0; at < s.size; at += step) {
			uint32_t code = decode(s, at, &step);
			if (step == 1 && code >= 0x80) {
				to[size++] = (uint8_t)code;
			} else if (code < 0x80 || !unicode) {
				bool turn = up ? code >= 'a' && code <= 'z' : code >= 'A' && code <= 'Z';
				size += encode(turn ? code ^ 32 : code, to + size);
			} else {
				size += encode((uint32_t)(up ? towupper_l(code, unicode) : towlower_l(code, unicode)), to + size);
			}
		}
		out->bytes[i] = bytes_of(to, size);
	}
	if (unicode)
		freelocale(unicode);
	return SM_OK;
}

static int64_t characters(struct bytes s)
{
	int64_t count = 0;
	for (size_t i = 0; i < s.size; i++)
		count += (s.data[i] & 0xc0) != 0x80;
	return count;
}

static enum sm_err eval_length(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	for (uint32_t i = 0; i < n; i++)
		if (there(out, i))
			out->integers[i] = args[0].type == COLUMN_BLOB ? (int64_t)args[0].bytes[i].size : characters(args[0].bytes[i]);
	return SM_OK;
}

static enum sm_err eval_concat(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	for (uint32_t i = 0; i < n; i++) {
		size_t size = 0;
		if (!there(out, i))
			continue;
		for (uint32_t k = 0; k < e->count; k++)
			size += args[k].bytes[i].size;
		uint8_t *to = arena_alloc_raw(c->arena, size + 1, 1);
		if (!to)
			return eval_no_memory(c);
		out->bytes[i] = bytes_of(to, size);
		for (uint32_t k = 0; k < e->count; k++) {
			if (args[k].bytes[i].size)
				memcpy(to, args[k].bytes[i].data, args[k].bytes[i].size);
			to += args[k].bytes[i].size;
		}
	}
	return SM_OK;
}

/* Characters [from, to) of s. */
static struct bytes slice(struct bytes s, int64_t from, int64_t to)
{
	size_t start = s.size, end = s.size;
	int64_t at = -1;
	for (size_t i = 0; i < s.size; i++) {
		if ((s.data[i] & 0xc0) == 0x80 && i > 0)
			continue;
		if (++at == from)
			start = i;
		if (at == to)
			end = i;
	}
	return end > start ? bytes_of(s.data + start, end - start) : bytes_of("", 0);
}

/* As Spark: positions count from 1, 0 is as 1, negative ones from the end; what lies before the text is cut off. */
static enum sm_err eval_substring(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!there(out, i))
			continue;
		int64_t position = args[1].integers[i], size = characters(args[0].bytes[i]), end;
		int64_t from = position > 0                  ? position - 1
			       : position == 0               ? 0
			       : position < -(INT64_MAX / 2) ? -(INT64_MAX / 2)
							     : size + position;
		if (e->count < 3 || __builtin_add_overflow(from, args[2].integers[i] < 0 ? 0 : args[2].integers[i], &end))
			end = size;
		out->bytes[i] = slice(args[0].bytes[i], from < 0 ? 0 : from, end > size ? size : end < 0 ? 0 : end);
	}
	return SM_OK;
}

static enum sm_err eval_left_right(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	bool left = e->function->name[0] == 'l';
	for (uint32_t i = 0; i < n; i++) {
		if (!there(out, i))
			continue;
		int64_t size = characters(args[0].bytes[i]), take = args[1].integers[i];
		take = take < 0 ? 0 : take > size ? size : take;
		out->bytes[i] = left ? slice(args[0].bytes[i], 0, take) : slice(args[0].bytes[i], size - take, size);
	}
	return SM_OK;
}

static enum sm_err eval_trim(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	char which = e->function->name[0];
	for (uint32_t i = 0; i < n; i++) {
		struct bytes s = args[0].bytes[i];
		if (!there(out, i))
			continue;
		while (which != 'r' && s.size && s.data[0] == ' ') {
			s.data++;
			s.size--;
		}
		while (which != 'l' && s.size && s.data[s.size - 1] == ' ')
			s.size--;
		out->bytes[i] = s;
	}
	return SM_OK;
}

static enum sm_err eval_find(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	const char *name = e->function->name;
	for (uint32_t i = 0; i < n; i++) {
		struct bytes s = args[0].bytes[i], what = args[1].bytes[i];
		if (!there(out, i))
			continue;
		if (what.size > s.size)
			out->booleans[i] = 0;
		else if (name[0] == 'c')
			out->booleans[i] = what.size == 0 || memmem(s.data, s.size, what.data, what.size);
		else
			out->booleans[i] = bytes_equal(bytes_of(s.data + (name[0] == 'e' ? s.size - what.size : 0), what.size), what);
	}
	return SM_OK;
}

/* ---- numbers ---- */

static enum sm_err eval_abs(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!there(out, i))
			continue;
		if (e->type == COLUMN_DOUBLE)
			out->reals[i] = fabs(args[0].reals[i]);
		else if (args[0].integers[i] == (e->type == COLUMN_INT32 ? INT32_MIN : INT64_MIN))
			return sql__fail(c->reterr, SM_OUT_OF_RANGE, e->line, e->column, "%s overflow in abs", column_type_name(e->type));
		else
			out->integers[i] = args[0].integers[i] < 0 ? -args[0].integers[i] : args[0].integers[i];
	}
	return SM_OK;
}

static enum sm_err eval_round_down(const struct expr *e, struct eval *c, const struct vec *args, uint32_t n, struct vec *out)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!there(out, i))
			continue;
		if (args[0].type != COLUMN_DOUBLE) {
			out->integers[i] = args[0].integers[i];
			continue;
		}
		double d = e->function->name[0] == 'f' ? floor(args[0].reals[i]) : ceil(args[0].reals[i]);
		if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0))
			return sql__fail(c->reterr, SM_OUT_OF_RANGE, e->line, e->column, "bigint overflow in %s", e->function->name);
		out->integers[i] = (int64_t)d;
	}
	return SM_OK;
}

static const struct function functions[] = {
	{"year", 1, 1, bind_time_to_int, eval_field},
	{"quarter", 1, 1, bind_time_to_int, eval_field},
	{"month", 1, 1, bind_time_to_int, eval_field},
	{"day", 1, 1, bind_time_to_int, eval_field},
	{"dayofmonth", 1, 1, bind_time_to_int, eval_field},
	{"dayofweek", 1, 1, bind_time_to_int, eval_field},
	{"hour", 1, 1, bind_time_to_int, eval_field},
	{"minute", 1, 1, bind_time_to_int, eval_field},
	{"second", 1, 1, bind_time_to_int, eval_field},
	{"to_date", 1, 1, bind_time_to_text, eval_to_date},
	{"date", 1, 1, bind_time_to_text, eval_to_date},
	{"make_date", 3, 3, bind_make_date, eval_make_date},
	{"date_format", 2, 2, bind_date_format, eval_date_format},
	{"date_trunc", 2, 2, bind_date_trunc, eval_date_trunc},
	{"timestamp_millis", 1, 1, bind_timestamp_millis, eval_same_integer},
	{"unix_millis", 1, 1, bind_unix_millis, eval_same_integer},
	{"lower", 1, 1, bind_text, eval_case},
	{"lcase", 1, 1, bind_text, eval_case},
	{"upper", 1, 1, bind_text, eval_case},
	{"ucase", 1, 1, bind_text, eval_case},
	{"length", 1, 1, bind_length, eval_length},
	{"char_length", 1, 1, bind_length, eval_length},
	{"len", 1, 1, bind_length, eval_length},
	{"concat", 0, 255, bind_concat, eval_concat},
	{"substring", 2, 3, bind_substring, eval_substring},
	{"substr", 2, 3, bind_substring, eval_substring},
	{"left", 2, 2, bind_substring, eval_left_right},
	{"right", 2, 2, bind_substring, eval_left_right},
	{"trim", 1, 1, bind_text, eval_trim},
	{"ltrim", 1, 1, bind_text, eval_trim},
	{"rtrim", 1, 1, bind_text, eval_trim},
	{"contains", 2, 2, bind_two_texts_to_bool, eval_find},
	{"startswith", 2, 2, bind_two_texts_to_bool, eval_find},
	{"endswith", 2, 2, bind_two_texts_to_bool, eval_find},
	{"abs", 1, 1, bind_number, eval_abs},
	{"floor", 1, 1, bind_round_down, eval_round_down},
	{"ceil", 1, 1, bind_round_down, eval_round_down},
	{"ceiling", 1, 1, bind_round_down, eval_round_down},
};

const struct function *function_find(const char *name)
{
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (strcasecmp(functions[i].name, name) == 0)
			return &functions[i];
	return NULL;
}
