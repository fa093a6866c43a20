#include "cli/sample.h"
#include "base/json.h"
#include "base/schema.h"
#include "base/uuid.h"

/* A member's value alone, against a schema that asks for a time: the scanner's own judgement. */
static bool is_date_time(const char *text)
{
	static struct schema *schema; /* the command runs once */
	struct event_problems problems;
	struct arena arena;
	struct buf event;
	if (!schema && schema_compile(BYTES("{\"type\":\"object\",\"properties\":{\"t\":{\"type\":\"string\",\"format\":\"date-time\"}}}"),
				      &schema, NULL))
		return false;
	arena_init(&arena, 0);
	buf_init(&event);
	buf_append_str(&event, "{\"t\":");
	buf_json_string(&event, bytes_str(text));
	buf_append_str(&event, "}");
	bool is = event_scan(schema, buf_bytes(&event), NULL, &arena, &problems) == SM_OK;
	buf_done(&event);
	arena_done(&arena);
	return is;
}

static enum sample_type type_of(const json_t *value)
{
	struct uuid id;
	switch (json_typeof(value)) {
	case JSON_STRING:
		if (!uuid_parse(json_string_value(value), json_string_length(value), &id))
			return SAMPLE_UUID;
		return is_date_time(json_string_value(value)) ? SAMPLE_DATE_TIME : SAMPLE_STRING;
	case JSON_INTEGER: return SAMPLE_INTEGER;
	case JSON_REAL: return SAMPLE_NUMBER;
	case JSON_TRUE:
	case JSON_FALSE: return SAMPLE_BOOLEAN;
	case JSON_OBJECT: return SAMPLE_OBJECT;
	case JSON_ARRAY: return SAMPLE_ARRAY;
	default: return SAMPLE_NULL;
	}
}

static bool is_text(enum sample_type type)
{
	return type == SAMPLE_STRING || type == SAMPLE_UUID || type == SAMPLE_DATE_TIME;
}

/* What both are. */
static enum sample_type joined(enum sample_type a, enum sample_type b)
{
	if (a == b || b == SAMPLE_NULL)
		return a;
	if (a == SAMPLE_NULL)
		return b;
	if (is_text(a) && is_text(b))
		return SAMPLE_STRING;
	if ((a == SAMPLE_INTEGER || a == SAMPLE_NUMBER) && (b == SAMPLE_INTEGER || b == SAMPLE_NUMBER))
		return SAMPLE_NUMBER;
	return SAMPLE_MIXED;
}

static enum sm_err note_value(struct sample *s, struct sample_field *f, const json_t *value)
{
	struct buf text;
	enum sm_err err = SM_OK;
	enum sample_type type = type_of(value);
	f->type = joined(f->type, type);
	f->count++;
	f->nulls += type == SAMPLE_NULL;
	if (type == SAMPLE_INTEGER) {
		int64_t v = json_integer_value(value);
		f->all_times &= v > 946684800000 && v < 4102444800000;
	} else {
		f->all_times &= type == SAMPLE_NULL;
	}
	if (type == SAMPLE_NULL || type == SAMPLE_OBJECT || type == SAMPLE_ARRAY || f->different == SAMPLE_VALUES_MAX)
		return SM_OK;
	buf_init(&text);
	json_t *list = json_pack("[O]", value);
	json_write(list, &text);
	json_decref(list);
	struct bytes key = buf_bytes(&text);
	if (text.failed) {
		err = SM_NO_MEMORY;
	} else if (!map_get(&f->values, key)) {
		void *copy = arena_copy(&s->arena, key.data, key.size);
		f->different++;
		err = copy ? map_put(&f->values, bytes_of(copy, key.size), copy, NULL) : SM_NO_MEMORY;
	}
	buf_done(&text);
	return err;
}

/* The configuration has one line a key, cuts values at " ;" and takes quotes around them away. */
static bool is_speakable(const char *name)
{
	size_t n = strlen(name);
	bool ok = n > 0 && n <= SAMPLE_NAME_MAX && *name != ' ' && name[n - 1] != ' ' && *name != '"' && !strchr(name, ';');
	for (size_t i = 0; i < n && ok; i++)
		ok = (unsigned char)name[i] >= ' ' && name[i] != 127;
	return ok;
}

static struct sample_field *field_of(struct sample *s, const char *name)
{
	for (uint32_t i = 0; i < s->field_count; i++)
		if (strcmp(s->fields[i].name, name) == 0)
			return &s->fields[i];
	if (s->field_count == SAMPLE_FIELDS_MAX)
		return NULL;
	struct sample_field *f = &s->fields[s->field_count++];
	*f = (struct sample_field){.name = arena_string(&s->arena, name, strlen(name)), .speakable = is_speakable(name), .all_times = true};
	map_init(&f->values);
	return f->name ? f : NULL;
}

static enum sm_err read_line(struct sample *s, struct bytes line, uint32_t number, struct sm_error *reterr)
{
	json_t *json = NULL, *value;
	const char *name;
	enum sm_err err = json_parse(line, &json, reterr);
	if (err) {
		sm_error_prefix(reterr, "line %u", number);
		return SM_INVALID;
	}
	if (!json_is_object(json))
		err = sm_fail(reterr, SM_INVALID, "line %u: is no JSON object: give one event a line", number);
	json_object_foreach(json, name, value)
	{
		if (err)
			break;
		struct sample_field *f = field_of(s, name);
		if (!f)
			err = sm_fail(reterr, SM_TOO_LARGE, "line %u: more than %d different members", number, SAMPLE_FIELDS_MAX);
		else if ((err = note_value(s, f, value)))
			sm_fail(reterr, err, "no memory");
	}
	json_decref(json);
	s->lines++;
	return err;
}

static bool is_blank(struct bytes line)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r')
			return false;
	return true;
}

enum sm_err sample_read(struct sample *s, struct bytes text, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	uint32_t number = 0;
	*s = (struct sample){0};
	arena_init(&s->arena, 0);
	while (text.size && !err && s->lines < SAMPLE_LINES_MAX) {
		const uint8_t *end = memchr(text.data, '\n', text.size);
		size_t size = end ? (size_t)(end - text.data) : text.size;
		struct bytes line = bytes_of(text.data, size);
		number++;
		if (!is_blank(line))
			err = read_line(s, line, number, reterr);
		text = bytes_of(text.data + size + (end != NULL), text.size - size - (end != NULL));
	}
	if (!err && !s->lines)
		err = sm_fail(reterr, SM_INVALID, "there is no event in it");
	return err;
}

void sample_done(struct sample *s)
{
	for (uint32_t i = 0; i < s->field_count; i++)
		map_done(&s->fields[i].values);
	arena_done(&s->arena);
}

/* ---- what a field is good for ---- */

static bool always_there(const struct sample *s, const struct sample_field *f)
{
	return f->count == s->lines && !f->nulls && f->speakable;
}

static bool is_scalar(enum sample_type type)
{
	return type == SAMPLE_STRING || type == SAMPLE_UUID || type == SAMPLE_INTEGER || type == SAMPLE_BOOLEAN;
}

const struct sample_field *sample_group(const struct sample *s)
{
	const struct sample_field *best = NULL;
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct sample_field *f = &s->fields[i];
		/* Numbers are seldom names; what has one value tells nothing. */
		if (!always_there(s, f) || !is_scalar(f->type) || f->type == SAMPLE_INTEGER || f->different < 2 ||
		    f->different > s->lines / 2)
			continue;
		/* Of those the one that tells most apart. */
		if (!best || f->different > best->different)
			best = f;
	}
	return best;
}

const struct sample_field *sample_time(const struct sample *s)
{
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct sample_field *f = &s->fields[i];
		if (always_there(s, f) && (f->type == SAMPLE_DATE_TIME || (f->type == SAMPLE_INTEGER && f->all_times)))
			return f;
	}
	return NULL;
}

const struct sample_field *sample_identity(const struct sample *s)
{
	const struct sample_field *found = NULL;
	/* A few lines prove nothing, unless it is a UUID. */
	for (uint32_t i = 0; i < s->field_count && !found; i++) {
		const struct sample_field *f = &s->fields[i];
		bool unique = always_there(s, f) && f->different == s->lines;
		bool named = strcmp(f->name, "id") == 0 || strcmp(f->name, "event_id") == 0 || strcmp(f->name, "eventId") == 0;
		if (unique && ((f->type == SAMPLE_UUID && s->lines > 1) || (named && is_scalar(f->type))))
			found = f;
	}
	return found;
}

/* ---- the schema ---- */

void sample_schema(const struct sample *s, const char *title, struct buf *out)
{
	static const char *const types[] = {
		[SAMPLE_STRING] = "string", [SAMPLE_UUID] = "string",     [SAMPLE_DATE_TIME] = "string", [SAMPLE_INTEGER] = "integer",
		[SAMPLE_NUMBER] = "number", [SAMPLE_BOOLEAN] = "boolean", [SAMPLE_OBJECT] = "object",    [SAMPLE_ARRAY] = "array"};
	const char *comma = "";
	buf_append_str(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": ");
	buf_json_string(out, bytes_str(title));
	buf_append_str(out, ",\n  \"type\": \"object\",\n  \"properties\": {");
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct sample_field *f = &s->fields[i];
		if (f->type == SAMPLE_NULL || f->type == SAMPLE_MIXED)
			continue;
		buf_printf(out, "%s\n    ", comma);
		buf_json_string(out, bytes_str(f->name));
		buf_printf(out, f->nulls ? ": {\"type\": [\"%s\", \"null\"]" : ": {\"type\": \"%s\"", types[f->type]);
		if (f->type == SAMPLE_UUID || f->type == SAMPLE_DATE_TIME)
			buf_printf(out, ", \"format\": \"%s\"", f->type == SAMPLE_UUID ? "uuid" : "date-time");
		buf_append_str(out, "}");
		comma = ",";
	}
	buf_append_str(out, "\n  },\n  \"required\": [");
	comma = "";
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct sample_field *f = &s->fields[i];
		if (f->count != s->lines || f->type == SAMPLE_NULL || f->type == SAMPLE_MIXED)
			continue;
		buf_append_str(out, comma);
		buf_json_string(out, bytes_str(f->name));
		comma = ", ";
	}
	buf_append_str(out, "]\n}\n");
}
