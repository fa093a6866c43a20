/* The scanner of events: one pass over a JSON object, checking it against a schema and taking its fields apart.
 *
 * Members usually come in the schema's order, so the next field's name is tried first, by one compare; then a hash. Values are read as
 * what the schema says; one that is something else is stepped over (it must be JSON all the same) and reported. Nothing is allocated
 * for events without escapes. Reasons follow Play Framework's error keys:
 *
 *   error.invalid.json            not JSON (path "obj"; nothing else is reported then)
 *   error.expected.jsobject       JSON, but no object
 *   error.path.missing            required, and not there
 *   error.path.unknown            not a member of a schema with additionalProperties false
 *   error.path.duplicate          a member of the schema is there twice
 *   error.expected.jsstring, jsnumber, jsboolean       another JSON type
 *   error.expected.uuid           no UUID in text
 *   error.expected.date, error.expected.date.isoformat no string; a string, but no RFC 3339 time
 *   error.expected.long           a number, but no integer of 64 bits
 *   error.expected.double         a number beyond the range of doubles
 *   error.expected.validenumvalue a string that is none of the enum
 *   error.expected.jsarray        no array
 *   error.min, error.max          a number below minimum, above maximum
 *   error.minLength, maxLength    a string of too few or too many characters, an array of too few or too many items
 *   error.more                    there are more problems than EVENT_PROBLEMS_MAX (path "obj") */
#include "base/event_internal.h"
#include <stdio.h>

#define CHOICES_TRIED 8 /* strings of an enum that are compared with what stands there before it is read */
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Where a value lies that is not a member of the event itself: the containers around it, the innermost first. */
struct frame {
	const struct frame *outer; /* NULL: the event */
	const char *name;          /* the container's; NULL: it is an item of an array */
	uint32_t item;             /* which is at hand, in an array */
	bool array;
};
struct scan {
	struct json_lex lex;
	const struct schema *schema;
	const struct schema_index *index;
	struct event_value *values;
	struct event_problems *problems;
	const struct frame *frame; /* NULL: in the event itself */
	uint64_t seen[SCHEMA_FIELDS_MAX / 64];
};

/* ---- problems ---- */

static void problem(struct event_problems *problems, const char *path, const char *reason)
{
	if (problems->count == EVENT_PROBLEMS_MAX - 1) {
		path = "obj";
		reason = "error.more";
	}
	if (problems->count < EVENT_PROBLEMS_MAX)
		problems->items[problems->count++] = (struct event_problem){path, reason};
}

/* "obj.a.b[2]" of the innermost container. Returns its size; out NULL: only that. */
static size_t frame_path(const struct frame *frame, char *out)
{
	static const char root[] = {'o', 'b', 'j'};
	char item[16];
	if (!frame) {
		if (out)
			memcpy(out, root, sizeof root);
		return sizeof root;
	}
	size_t at = frame_path(frame->outer, out);
	if (frame->name) {
		size_t size = strlen(frame->name);
		if (out) {
			out[at] = '.';
			memcpy(out + at + 1, frame->name, size);
		}
		at += size + 1;
	}
	if (frame->array) {
		size_t size = (size_t)snprintf(item, sizeof item, "[%u]", frame->item);
		if (out)
			memcpy(out + at, item, size);
		at += size;
	}
	return at;
}

/* name: of a member of the innermost container; data NULL: its item. */
static const char *path_within(struct scan *s, struct bytes name)
{
	size_t size = frame_path(s->frame, NULL);
	char *path = arena_alloc_raw(s->lex.arena, size + name.size + 2, 1);
	if (!path) {
		s->lex.err = arena_error(s->lex.arena);
		return NULL;
	}
	frame_path(s->frame, path);
	if (name.data)
		path[size++] = '.';
	/* A path is text with an end: a zero byte in a name shows as a blank. */
	for (size_t i = 0; i < name.size; i++)
		path[size + i] = name.data[i] ? (char)name.data[i] : ' ';
	path[size + name.size] = 0;
	return path;
}

static void problem_within(struct scan *s, struct bytes name, const char *reason)
{
	bool full = s->problems->count >= EVENT_PROBLEMS_MAX - 1;
	const char *path = full ? "obj" : path_within(s, name);
	if (path)
		problem(s->problems, path, reason);
}

static void problem_unknown(struct scan *s, struct bytes name)
{
	problem_within(s, name.data ? name : bytes_of("", 0), "error.path.unknown");
}

static void problem_of(struct scan *s, uint32_t field, const char *reason)
{
	const struct field_index *f = &s->index->fields[field];
	if (s->frame)
		problem_within(s, f->name ? bytes_of(f->name, f->name_size) : (struct bytes){0}, reason);
	else
		problem(s->problems, f->path, reason);
}

/* ---- values; each returns NULL or the reason why the value does not fit; with a reason (and without lex.err) at is anywhere ---- */

static const char *scan_text(struct scan *s, struct bytes *ret_text, const char *otherwise)
{
	if (*s->lex.at != '"')
		return otherwise;
	s->lex.at++;
	return base__lex_string(&s->lex, ret_text) ? NULL : "";
}

static const char *scan_uuid(struct scan *s, struct event_value *value)
{
	const uint8_t *at = s->lex.at;
	if (LIKELY(s->lex.end - at >= 38 && at[0] == '"' && at[37] == '"' && base__uuid_scan(at + 1, value->uuid))) {
		s->lex.at = at + 38;
		return NULL;
	}
	struct bytes text; /* it may be written with escapes */
	const char *reason = scan_text(s, &text, "error.expected.uuid");
	if (reason)
		return reason;
	return text.size == 36 && base__uuid_scan(text.data, value->uuid) ? NULL : "error.expected.uuid";
}

static const char *scan_date_time(struct scan *s, struct event_value *value)
{
	struct bytes text;
	const char *reason = scan_text(s, &text, "error.expected.date");
	if (reason)
		return reason;
	return schema_date_time(text, &value->integer) ? NULL : "error.expected.date.isoformat";
}

/* Of UTF-8 that is sound. */
static size_t characters(struct bytes text)
{
	size_t n = 0;
	for (size_t i = 0; i < text.size; i++)
		n += (text.data[i] & 0xc0) != 0x80;
	return n;
}

/* One of the enum's strings that stands there as it is, and is short as most are: it need not be read as a string. at is at the opening
 * quote. */
static bool scan_choice(struct scan *s, uint32_t field, struct event_value *value)
{
	const struct bytes *choices = s->index->fields[field].choices;
	const uint8_t *at = s->lex.at + 1;
	size_t left = (size_t)(s->lex.end - at);
	for (uint32_t i = 0; i < s->schema->fields[field].choice_count; i++) {
		size_t size = choices[i].size, n = 0;
		if (size >= left || at[size] != '"')
			continue;
		while (n < size && at[n] == choices[i].data[n] && at[n] >= 0x20 && at[n] < 0x80 && at[n] != '"' && at[n] != '\\')
			n++;
		if (n == size) {
			value->text = bytes_of(at, size);
			s->lex.at = at + size + 1;
			return true;
		}
	}
	return false;
}

static const char *scan_string(struct scan *s, uint32_t field, struct event_value *value)
{
	const struct schema_field *f = &s->schema->fields[field];
	uint32_t count = f->choice_count;
	bool of_any_length = !f->length_minimum && f->length_maximum == UINT32_MAX;
	if (count && count <= CHOICES_TRIED && of_any_length && *s->lex.at == '"' && scan_choice(s, field, value))
		return NULL;
	const char *reason = scan_text(s, &value->text, "error.expected.jsstring");
	if (reason)
		return reason;
	if (UNLIKELY(!of_any_length)) {
		size_t length = characters(value->text);
		if (length < f->length_minimum || length > f->length_maximum)
			return length < f->length_minimum ? "error.minLength" : "error.maxLength";
	}
	if (count == 0)
		return NULL;
	const struct bytes *choices = s->index->fields[field].choices;
	for (uint32_t i = 0; i < count; i++) {
		if (bytes_equal(choices[i], value->text))
			return NULL;
	}
	return "error.expected.validenumvalue";
}

static inline bool is_number(uint8_t c)
{
	return c == '-' || (uint8_t)(c - '0') <= 9;
}

/* Up to 18 digits without sign, fraction and exponent, which cannot overflow. */
static bool scan_short_integer(struct scan *s, int64_t *ret_value)
{
	const uint8_t *at = s->lex.at, *end = s->lex.end;
	if (end - at > 19)
		end = at + 19;
	uint64_t v = 0;
	if (at == end || *at == '0')
		return false;
	if (end - at >= 8) { /* eight at once, pairwise */
		uint64_t x = lex_load8(at), d = x - LEX_ONES * '0';
		if (((d | (d + LEX_ONES * 0x76)) & LEX_HIGHS) == 0) {
			d = d * 10 + (d >> 8);
			v = ((d & 0x000000ff000000ff) * 0x000f424000000064 + (d >> 16 & 0x000000ff000000ff) * 0x0000271000000001) >> 32;
			at += 8;
		}
	}
	for (; at < end && (uint8_t)(*at - '0') <= 9; at++)
		v = v * 10 + (uint64_t)(*at - '0');
	if (at == end || !(*at == ',' || *at == '}' || lex_is_space(*at)))
		return false;
	s->lex.at = at;
	*ret_value = (int64_t)v;
	return true;
}

static const char *scan_integer(struct scan *s, uint32_t field, struct event_value *value)
{
	if (!is_number(*s->lex.at))
		return "error.expected.jsnumber";
	if (!LIKELY(scan_short_integer(s, &value->integer))) {
		struct bytes digits;
		bool plain;
		if (!base__lex_number(&s->lex, &digits, &plain))
			return "";
		if (!base__integer_scan(digits, &value->integer))
			return "error.expected.long";
	}
	const struct schema_field *f = &s->schema->fields[field];
	return value->integer < f->minimum ? "error.min" : value->integer > f->maximum ? "error.max" : NULL;
}

static const char *scan_number(struct scan *s, uint32_t field, struct event_value *value)
{
	struct bytes digits;
	bool plain;
	if (!is_number(*s->lex.at))
		return "error.expected.jsnumber";
	if (!base__lex_number(&s->lex, &digits, &plain))
		return "";
	if (!base__double_scan(digits, &value->number))
		return "error.expected.double";
	const struct schema_field *f = &s->schema->fields[field];
	return value->number < f->number_minimum ? "error.min" : value->number > f->number_maximum ? "error.max" : NULL;
}

static const char *scan_boolean(struct scan *s, struct event_value *value)
{
	if (*s->lex.at != 't' && *s->lex.at != 'f')
		return "error.expected.jsboolean";
	value->boolean = *s->lex.at == 't';
	return (value->boolean ? base__lex_word(&s->lex, "true", 4) : base__lex_word(&s->lex, "false", 5)) ? NULL : "";
}

static bool scan_object(struct scan *s);
static void report_missing(struct scan *s);
static bool scan_value(struct scan *s, uint32_t field);

/* Each item against the one field of `inner`. */
static bool scan_items(struct scan *s, const struct schema *inner, struct frame *frame, uint32_t *ret_count)
{
	s->lex.at++;
	*ret_count = 0;
	if (lex_take(&s->lex, ']'))
		return true;
	do {
		lex_spaces(&s->lex);
		if (s->lex.at == s->lex.end)
			return base__lex_fail(&s->lex);
		frame->item = (*ret_count)++;
		if (!(inner ? scan_value(s, 0) : base__lex_skip(&s->lex)))
			return false;
	} while (lex_take(&s->lex, ','));
	return lex_take(&s->lex, ']') || base__lex_fail(&s->lex);
}

/* An object or an array, whose own problems are reported from within. */
static const char *scan_container(struct scan *s, uint32_t field)
{
	const struct schema_field *f = &s->schema->fields[field];
	bool array = f->type == SCHEMA_ARRAY;
	if (*s->lex.at != (array ? '[' : '{'))
		return array ? "error.expected.jsarray" : "error.expected.jsobject";
	if (!f->inner && !array)
		return base__lex_skip(&s->lex) ? NULL : "";
	struct frame frame = {.outer = s->frame, .name = s->index->fields[field].name, .array = array};
	struct scan outer = *s;
	uint32_t count = 0;
	s->frame = &frame;
	s->values = NULL;
	if (f->inner) {
		s->schema = f->inner;
		s->index = f->inner->index;
	}
	memset(s->seen, 0, sizeof s->seen);
	bool ok = array ? scan_items(s, f->inner, &frame, &count) : scan_object(s);
	if (ok && !array)
		report_missing(s);
	struct json_lex lex = s->lex;
	*s = outer;
	s->lex = lex;
	if (!ok || s->lex.err)
		return "";
	return !array ? NULL : count < f->length_minimum ? "error.minLength" : count > f->length_maximum ? "error.maxLength" : NULL;
}

static bool scan_value(struct scan *s, uint32_t field)
{
	struct event_value ignored, *value = s->values ? &s->values[field] : &ignored;
	const uint8_t *start = s->lex.at;
	const char *reason = NULL;
	switch (s->schema->fields[field].type) {
	case SCHEMA_STRING: reason = scan_string(s, field, value); break;
	case SCHEMA_UUID: reason = scan_uuid(s, value); break;
	case SCHEMA_DATE_TIME: reason = scan_date_time(s, value); break;
	case SCHEMA_INTEGER: reason = scan_integer(s, field, value); break;
	case SCHEMA_NUMBER: reason = scan_number(s, field, value); break;
	case SCHEMA_BOOLEAN: reason = scan_boolean(s, value); break;
	case SCHEMA_OBJECT:
	case SCHEMA_ARRAY:
		reason = scan_container(s, field);
		value->text = bytes_of(start, (size_t)(s->lex.at - start));
		break;
	}
	if (LIKELY(!reason)) {
		size_t quote = *start == '"';
		value->raw = bytes_of(start + quote, (size_t)(s->lex.at - start) - 2 * quote);
		value->present = true;
		return true;
	}
	if (s->lex.err)
		return false;
	if (*start == 'n' && s->schema->fields[field].nullable) {
		s->lex.at = start;
		return base__lex_word(&s->lex, "null", 4);
	}
	problem_of(s, field, reason);
	s->lex.at = start;
	return base__lex_skip(&s->lex);
}

/* ---- members ---- */

/* The name is the given field's: at goes behind its closing quote. */
static inline bool name_is(struct scan *s, uint32_t field)
{
	const struct field_index *f = &s->index->fields[field];
	const uint8_t *at = s->lex.at;
	/* Eight bytes are always there in an event worth the haste. */
	if (!f->plain || (size_t)(s->lex.end - at) < (size_t)f->name_size + 8 || (lex_load8(at) & f->head_mask) != f->head)
		return false;
	if (f->name_size >= 8 && ((f->name_size > 8 && memcmp(at + 8, f->name + 8, f->name_size - 8) != 0) || at[f->name_size] != '"'))
		return false;
	s->lex.at = at + f->name_size + 1;
	return true;
}

/* at is behind the opening quote. ret_field: -1 if unknown; next: the field to try first. */
static bool scan_name(struct scan *s, uint32_t next, int *ret_field, struct bytes *ret_name)
{
	if (LIKELY(next < s->schema->field_count && name_is(s, next))) {
		*ret_field = (int)next;
		return true;
	}
	if (!base__lex_string(&s->lex, ret_name))
		return false;
	*ret_field = base__field_find(s->schema, ret_name->data, ret_name->size);
	return true;
}

static bool scan_member(struct scan *s, uint32_t *next)
{
	struct bytes name;
	int field;
	if (!lex_take(&s->lex, '"'))
		return base__lex_fail(&s->lex);
	if (!scan_name(s, *next, &field, &name))
		return false;
	if (!lex_take(&s->lex, ':'))
		return base__lex_fail(&s->lex);
	lex_spaces(&s->lex);
	if (s->lex.at == s->lex.end)
		return base__lex_fail(&s->lex);
	if (UNLIKELY(field < 0)) {
		if (!s->schema->additional)
			problem_unknown(s, name);
		return !s->lex.err && base__lex_skip(&s->lex);
	}
	uint64_t bit = 1ull << (field & 63), *seen = &s->seen[field >> 6];
	if (UNLIKELY(*seen & bit)) {
		problem_of(s, (uint32_t)field, "error.path.duplicate");
		return base__lex_skip(&s->lex);
	}
	*seen |= bit;
	*next = (uint32_t)field + 1;
	return scan_value(s, (uint32_t)field);
}

static bool scan_object(struct scan *s)
{
	uint32_t next = 0;
	s->lex.at++;
	if (lex_take(&s->lex, '}'))
		return true;
	do {
		if (!scan_member(s, &next))
			return false;
	} while (lex_take(&s->lex, ','));
	return lex_take(&s->lex, '}') || base__lex_fail(&s->lex);
}

static void report_missing(struct scan *s)
{
	for (uint32_t word = 0; word * 64 < s->schema->field_count; word++) {
		for (uint64_t missing = s->index->required[word] & ~s->seen[word]; missing; missing &= missing - 1)
			problem_of(s, word * 64 + (uint32_t)__builtin_ctzll(missing), "error.path.missing");
	}
}

/* JSON that is no object. The lexer wants something behind a number, so the end of the text is looked at here. */
static bool scan_other(struct scan *s)
{
	struct json_lex whole = s->lex, last = s->lex;
	if (s->lex.at < s->lex.end && is_number(*s->lex.at)) {
		size_t size = (size_t)(s->lex.end - s->lex.at);
		uint8_t *copy = arena_alloc_raw(s->lex.arena, size + 1, 1);
		if (!copy) {
			s->lex.err = arena_error(s->lex.arena);
			return false;
		}
		memcpy(copy, s->lex.at, size);
		copy[size] = ' ';
		whole.at = copy;
		whole.end = copy + size + 1;
	}
	last = whole;
	bool ok = base__lex_skip(&last);
	s->lex.err = last.err;
	lex_spaces(&last);
	if (ok && last.at == last.end) {
		problem(s->problems, "obj", "error.expected.jsobject");
		return true;
	}
	return base__lex_fail(&s->lex);
}

enum sm_err event_scan(const struct schema *schema, struct bytes text, struct event_value *values, struct arena *arena,
		       struct event_problems *problems)
{
	struct scan s = {.lex = {.at = text.data, .end = text.data + text.size, .arena = arena},
			 .schema = schema,
			 .index = schema->index,
			 .values = values,
			 .problems = problems};
	problems->count = 0;
	for (uint32_t i = 0; values && i < schema->field_count; i++)
		values[i].present = false;
	lex_spaces(&s.lex);
	if (LIKELY(s.lex.at < s.lex.end && *s.lex.at == '{')) {
		if (LIKELY(scan_object(&s))) {
			lex_spaces(&s.lex);
			if (UNLIKELY(s.lex.at != s.lex.end))
				base__lex_fail(&s.lex);
			else
				report_missing(&s);
		}
	} else {
		scan_other(&s);
	}
	if (UNLIKELY(s.lex.err)) {
		problems->count = 0;
		if (s.lex.err != SM_SYNTAX)
			return s.lex.err;
		problem(problems, "obj", "error.invalid.json");
	}
	return LIKELY(problems->count == 0) ? SM_OK : SM_INVALID;
}

void event_problems_json(const struct event_problems *problems, struct buf *out)
{
	bool written[EVENT_PROBLEMS_MAX] = {false};
	const char *separator = "";
	buf_u8(out, '{');
	for (uint32_t i = 0; i < problems->count; i++) {
		if (written[i])
			continue;
		buf_append_str(out, separator);
		buf_json_string(out, bytes_str(problems->items[i].path));
		buf_append_str(out, ":[");
		const char *comma = "";
		for (uint32_t j = i; j < problems->count; j++) {
			if (strcmp(problems->items[j].path, problems->items[i].path) != 0)
				continue;
			written[j] = true;
			buf_append_str(out, comma);
			buf_json_string(out, bytes_str(problems->items[j].reason));
			comma = ",";
		}
		buf_u8(out, ']');
		separator = ",";
	}
	buf_u8(out, '}');
}
