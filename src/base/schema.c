/* Schemas of events: the subset of JSON Schema 2020-12 that schema.h names, compiled to the scanner's index. What is not understood is
 * refused with its JSON pointer: a rule that is silently not applied would be worse than none. */
#include "base/event_internal.h"
#include "base/hash.h"
#include "base/json.h"
#include <stdlib.h>

struct compile {
	struct schema *schema;
	struct schema_index *index;
	struct arena *arena;
	struct sm_error *reterr;
};

static const char *string_in(struct compile *c, const char *text)
{
	return arena_string(c->arena, text, strlen(text));
}

static enum sm_err no_memory(struct compile *c)
{
	return sm_fail(c->reterr, SM_NO_MEMORY, "schema: no memory");
}

/* A name in a JSON pointer (RFC 6901) and bounded, for errors. */
static const char *pointer(const char *name)
{
	static _Thread_local char out[200];
	size_t n = 0;
	for (; *name && n < sizeof out - 6; name++) {
		if (*name == '~' || *name == '/') {
			out[n++] = '~';
			out[n++] = *name == '~' ? '0' : '1';
		} else {
			out[n++] = *name;
		}
	}
	memcpy(out + n, *name ? "..." : "", *name ? 4 : 1);
	return out;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++) {
		if (strcmp(name, *names) == 0)
			return true;
	}
	return false;
}

/* ---- one property ---- */

static enum sm_err property_type(struct compile *c, const char *name, const json_t *property, struct schema_field *field)
{
	const json_t *type = json_object_get(property, "type"), *format = json_object_get(property, "format");
	const char *text = json_string_value(type);
	static const struct {
		const char *name;
		enum schema_type type;
	} types[] = {{"string", SCHEMA_STRING}, {"integer", SCHEMA_INTEGER}, {"number", SCHEMA_NUMBER}, {"boolean", SCHEMA_BOOLEAN}};
	size_t i = 0;
	while (i < 4 && (!text || strcmp(text, types[i].name) != 0))
		i++;
	if (i == 4)
		return sm_fail(c->reterr, SM_UNSUPPORTED,
			       "schema: /properties/%s/type: \"string\", \"integer\", \"number\" or \"boolean\" is needed", pointer(name));
	field->type = types[i].type;
	if (!format)
		return SM_OK;
	text = json_string_value(format);
	if (field->type != SCHEMA_STRING)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /properties/%s/format: understood for strings only", pointer(name));
	if (!text || (strcmp(text, "uuid") != 0 && strcmp(text, "date-time") != 0))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /properties/%s/format: \"uuid\" and \"date-time\" are understood",
			       pointer(name));
	field->type = text[0] == 'u' ? SCHEMA_UUID : SCHEMA_DATE_TIME;
	return SM_OK;
}

static enum sm_err property_enum(struct compile *c, const char *name, const json_t *choices, struct schema_field *field,
				 struct field_index *index)
{
	size_t count = json_array_size(choices);
	if (field->type != SCHEMA_STRING || count == 0)
		return sm_fail(c->reterr, SM_UNSUPPORTED,
			       "schema: /properties/%s/enum: understood as a list of strings, for strings without format", pointer(name));
	const char **texts = arena_alloc(c->arena, count * sizeof *texts);
	struct bytes *bytes = arena_alloc(c->arena, count * sizeof *bytes);
	if (!texts || !bytes)
		return no_memory(c);
	for (size_t i = 0; i < count; i++) {
		const json_t *choice = json_array_get(choices, i);
		if (!json_is_string(choice))
			return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /properties/%s/enum/%zu: is not a string", pointer(name), i);
		size_t size = json_string_length(choice);
		if (!(texts[i] = arena_string(c->arena, json_string_value(choice), size)))
			return no_memory(c);
		bytes[i] = bytes_of(texts[i], size);
		for (size_t j = 0; j < i; j++) {
			if (bytes_equal(bytes[i], bytes[j]))
				return sm_fail(c->reterr, SM_INVALID, "schema: /properties/%s/enum/%zu: is there twice", pointer(name), i);
		}
	}
	field->choices = texts;
	field->choice_count = (uint32_t)count;
	index->choices = bytes;
	return SM_OK;
}

static enum sm_err property_bound(struct compile *c, const char *name, const json_t *property, const char *which, enum schema_type type,
				  int64_t *bound)
{
	const json_t *value = json_object_get(property, which);
	if (!value)
		return SM_OK;
	if (type != SCHEMA_INTEGER || !json_is_integer(value))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /properties/%s/%s: understood as an integer, for integers",
			       pointer(name), which);
	*bound = json_integer_value(value);
	return SM_OK;
}

/* The name's first bytes as the scanner compares them. Names with bytes that JSON may write in another way are found by hash only. */
static void name_index(struct field_index *index)
{
	uint8_t head[8] = {0}, mask[8] = {0};
	index->plain = true;
	for (uint32_t i = 0; i < index->name_size; i++) {
		uint8_t ch = (uint8_t)index->name[i];
		if (ch < 0x20 || ch >= 0x80 || ch == '"' || ch == '\\')
			index->plain = false;
	}
	for (uint32_t i = 0; i < 8 && i <= index->name_size; i++) {
		head[i] = i < index->name_size ? (uint8_t)index->name[i] : '"';
		mask[i] = 0xff;
	}
	memcpy(&index->head, head, 8);
	memcpy(&index->head_mask, mask, 8);
}

static enum sm_err property(struct compile *c, uint32_t i, const char *name, const json_t *object)
{
	static const char *const understood[] = {"type", "format", "enum", "minimum", "maximum", "title", "description", NULL};
	struct schema_field *field = &c->schema->fields[i];
	struct field_index *index = &c->index->fields[i];
	const char *key;
	json_t *value;
	if (!json_is_object(object))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /properties/%s: is not an object", pointer(name));
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (!is_one_of(key, understood)) {
			char of[200];
			strcpy(of, pointer(name));
			return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /properties/%s/%s: is not understood", of, pointer(key));
		}
	}
	*field = (struct schema_field){.minimum = INT64_MIN, .maximum = INT64_MAX};
	field->name = index->name = string_in(c, name);
	index->name_size = (uint32_t)strlen(name);
	index->path = arena_printf(c->arena, "obj.%s", name);
	if (!field->name || !index->path)
		return no_memory(c);
	name_index(index);
	enum sm_err err = property_type(c, name, object, field);
	if (!err && (value = json_object_get(object, "enum")))
		err = property_enum(c, name, value, field, index);
	if (!err)
		err = property_bound(c, name, object, "minimum", field->type, &field->minimum);
	if (!err)
		err = property_bound(c, name, object, "maximum", field->type, &field->maximum);
	if (!err && field->minimum > field->maximum)
		err = sm_fail(c->reterr, SM_INVALID, "schema: /properties/%s/minimum: is above maximum", pointer(name));
	return err;
}

/* ---- the index by name ---- */

static enum sm_err slots_make(struct compile *c)
{
	uint32_t size = 8;
	while (size < 2 * c->schema->field_count)
		size *= 2;
	c->index->slot_mask = size - 1;
	if (!(c->index->slots = arena_alloc(c->arena, size * sizeof(uint16_t))))
		return no_memory(c);
	for (uint32_t i = 0; i < c->schema->field_count; i++) {
		uint32_t slot = (uint32_t)hash64(c->index->fields[i].name, c->index->fields[i].name_size) & c->index->slot_mask;
		while (c->index->slots[slot])
			slot = (slot + 1) & c->index->slot_mask;
		c->index->slots[slot] = (uint16_t)(i + 1);
	}
	return SM_OK;
}

int base__field_find(const struct schema *schema, const uint8_t *name, size_t size)
{
	const struct schema_index *index = schema->index;
	uint32_t slot = (uint32_t)hash64(name, size) & index->slot_mask;
	for (uint16_t i; (i = index->slots[slot]); slot = (slot + 1) & index->slot_mask) {
		const struct field_index *f = &index->fields[i - 1];
		if (f->name_size == size && memcmp(f->name, name, size) == 0)
			return i - 1;
	}
	return -1;
}

int schema_find(const struct schema *schema, const char *name)
{
	return base__field_find(schema, (const uint8_t *)name, strlen(name));
}

/* ---- the document ---- */

static enum sm_err check_top(struct compile *c, const json_t *json)
{
	static const char *const understood[] = {"type",    "properties", "required", "additionalProperties", "title", "description",
						 "$schema", "$id",        NULL};
	const char *key;
	json_t *value;
	if (!json_is_object(json))
		return sm_fail(c->reterr, SM_INVALID, "schema: is not a JSON object");
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		if (!is_one_of(key, understood))
			return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /%s: is not understood", pointer(key));
	}
	const char *type = json_string_value(json_object_get(json, "type"));
	if (!type || strcmp(type, "object") != 0)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /type: must be \"object\"");
	const json_t *properties = json_object_get(json, "properties");
	if (!json_is_object(properties))
		return sm_fail(c->reterr, SM_INVALID, "schema: /properties: an object is needed");
	if (json_object_size(properties) > SCHEMA_FIELDS_MAX)
		return sm_fail(c->reterr, SM_TOO_LARGE, "schema: /properties: more than %d", SCHEMA_FIELDS_MAX);
	const json_t *additional = json_object_get(json, "additionalProperties");
	if (additional && !json_is_boolean(additional))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /additionalProperties: false and true are understood");
	const json_t *title = json_object_get(json, "title");
	if (title && !json_is_string(title))
		return sm_fail(c->reterr, SM_INVALID, "schema: /title: is not a string");
	return SM_OK;
}

static enum sm_err compile_required(struct compile *c, const json_t *required)
{
	if (required && !json_is_array(required))
		return sm_fail(c->reterr, SM_INVALID, "schema: /required: is not an array");
	for (size_t i = 0; i < json_array_size(required); i++) {
		const char *name = json_string_value(json_array_get(required, i));
		int field = name ? schema_find(c->schema, name) : -1;
		if (field < 0)
			return sm_fail(c->reterr, SM_INVALID, "schema: /required/%zu: is not the name of a property", i);
		c->schema->fields[field].required = true;
		c->index->required[field / 64] |= 1ull << (field % 64);
	}
	return SM_OK;
}

static enum sm_err compile(struct compile *c, const json_t *json)
{
	const char *title = json_string_value(json_object_get(json, "title")), *name;
	const json_t *properties = json_object_get(json, "properties");
	json_t *value;
	enum sm_err err;
	uint32_t i = 0;
	c->schema->additional = !json_is_false(json_object_get(json, "additionalProperties"));
	if (title && !(c->schema->title = string_in(c, title)))
		return no_memory(c);
	c->schema->field_count = (uint32_t)json_object_size(properties);
	if (!(c->schema->fields = arena_alloc(c->arena, (c->schema->field_count + 1) * sizeof *c->schema->fields)))
		return no_memory(c);
	json_object_foreach((json_t *)(uintptr_t)properties, name, value)
	{
		if ((err = property(c, i++, name, value)))
			return err;
	}
	if ((err = slots_make(c)))
		return err;
	return compile_required(c, json_object_get(json, "required"));
}

enum sm_err schema_compile(struct bytes document, struct schema **ret_schema, struct sm_error *reterr)
{
	json_t *json = NULL;
	struct compile c = {.reterr = reterr};
	enum sm_err err = json_parse(document, &json, reterr);
	if (err) {
		sm_error_prefix(reterr, "schema");
		return err;
	}
	if ((err = check_top(&c, json)))
		goto done;
	size_t count = json_object_size(json_object_get(json, "properties"));
	c.index = calloc(1, sizeof *c.index + count * sizeof *c.index->fields);
	if (!c.index) {
		err = no_memory(&c);
		goto done;
	}
	arena_init(&c.index->arena, 0);
	c.arena = &c.index->arena;
	if (!(c.schema = arena_alloc(c.arena, sizeof *c.schema))) {
		free(c.index);
		err = no_memory(&c);
		goto done;
	}
	c.schema->index = c.index;
	if ((err = compile(&c, json)))
		schema_free(c.schema);
	else
		*ret_schema = c.schema;
done:
	json_decref(json);
	return err;
}

void schema_free(struct schema *schema)
{
	if (!schema)
		return;
	struct schema_index *index = schema->index;
	arena_done(&index->arena); /* the schema itself is in it */
	free(index);
}
