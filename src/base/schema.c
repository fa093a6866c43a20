/* Schemas of events: the subset of JSON Schema 2020-12 that schema.h names, compiled to the scanner's index. What is not understood is
 * refused with its JSON pointer: a rule that is silently not applied would be worse than none. */
#include "base/event_internal.h"
#include "base/hash.h"
#include "base/json.h"
#include <math.h>

struct compile {
	struct arena *arena; /* of all that stays */
	struct sm_error *reterr;
	uint32_t depth, nodes;
};

static enum sm_err compile_object(struct compile *c, const char *where, const json_t *json, const struct schema **ret);
static enum sm_err compile_items(struct compile *c, const char *where, const json_t *items, const struct schema **ret);

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

/* ---- one property; where: its JSON pointer ---- */

static const char *const annotations[] = {"title", "description", "$comment", "default", "examples", "deprecated", NULL};

/* "type": a name, or a list of one and "null". */
static const char *type_name(const json_t *type, bool *ret_nullable)
{
	const char *name = NULL;
	*ret_nullable = false;
	if (!json_is_array(type))
		return json_string_value(type);
	for (size_t i = 0; i < json_array_size(type); i++) {
		const char *one = json_string_value(json_array_get(type, i));
		if (one && strcmp(one, "null") == 0)
			*ret_nullable = true;
		else if (name || !one)
			return NULL;
		else
			name = one;
	}
	return name;
}

static enum sm_err property_type(struct compile *c, const char *where, const json_t *property, struct schema_field *field)
{
	const json_t *format = json_object_get(property, "format");
	const char *text = type_name(json_object_get(property, "type"), &field->nullable);
	static const struct {
		const char *name;
		enum schema_type type;
	} types[] = {{"string", SCHEMA_STRING},   {"integer", SCHEMA_INTEGER}, {"number", SCHEMA_NUMBER},
		     {"boolean", SCHEMA_BOOLEAN}, {"object", SCHEMA_OBJECT},   {"array", SCHEMA_ARRAY}};
	const size_t count = sizeof types / sizeof *types;
	size_t i = 0;
	while (i < count && (!text || strcmp(text, types[i].name) != 0))
		i++;
	if (i == count)
		return sm_fail(
			c->reterr, SM_UNSUPPORTED,
			"schema: %s/type: \"string\", \"integer\", \"number\", \"boolean\", \"object\" or \"array\" is needed, or one of "
			"them and \"null\" in a list",
			where);
	field->type = types[i].type;
	if (!format)
		return SM_OK;
	text = json_string_value(format);
	if (field->type != SCHEMA_STRING)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/format: understood for strings only", where);
	if (!text || (strcmp(text, "uuid") != 0 && strcmp(text, "date-time") != 0))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/format: \"uuid\" and \"date-time\" are understood", where);
	field->type = text[0] == 'u' ? SCHEMA_UUID : SCHEMA_DATE_TIME;
	return SM_OK;
}

static enum sm_err property_enum(struct compile *c, const char *where, const json_t *choices, struct schema_field *field,
				 struct field_index *index)
{
	size_t count = json_array_size(choices);
	if (field->type != SCHEMA_STRING || count == 0)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/enum: understood as a list of strings, for strings without format",
			       where);
	const char **texts = arena_alloc(c->arena, count * sizeof *texts);
	struct bytes *bytes = arena_alloc(c->arena, count * sizeof *bytes);
	if (!texts || !bytes)
		return no_memory(c);
	for (size_t i = 0; i < count; i++) {
		const json_t *choice = json_array_get(choices, i);
		if (!json_is_string(choice))
			return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/enum/%zu: is not a string", where, i);
		size_t size = json_string_length(choice);
		if (!(texts[i] = arena_string(c->arena, json_string_value(choice), size)))
			return no_memory(c);
		bytes[i] = bytes_of(texts[i], size);
		for (size_t j = 0; j < i; j++) {
			if (bytes_equal(bytes[i], bytes[j]))
				return sm_fail(c->reterr, SM_INVALID, "schema: %s/enum/%zu: is there twice", where, i);
		}
	}
	field->choices = texts;
	field->choice_count = (uint32_t)count;
	index->choices = bytes;
	return SM_OK;
}

/* An enum of one. */
static enum sm_err property_const(struct compile *c, const char *where, json_t *value, struct schema_field *field,
				  struct field_index *index)
{
	if (field->type != SCHEMA_STRING || !json_is_string(value) || field->choice_count)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/const: understood as a string, for strings without format and enum",
			       where);
	json_t *one = json_pack("[O]", value);
	enum sm_err err = one ? property_enum(c, where, one, field, index) : no_memory(c);
	json_decref(one);
	return err;
}

/* A bound of integers and numbers. which: "minimum" ...; an exclusive one is the next value. */
static enum sm_err property_bound(struct compile *c, const char *where, const json_t *property, const char *which,
				  struct schema_field *field)
{
	const json_t *value = json_object_get(property, which);
	bool exclusive = which[0] == 'e', lower = strstr(which, "inimum") != NULL;
	if (!value)
		return SM_OK;
	if ((field->type != SCHEMA_INTEGER && field->type != SCHEMA_NUMBER) || !json_is_number(value))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/%s: understood as a number, for integers and numbers", where, which);
	double real = json_number_value(value);
	if (field->type == SCHEMA_NUMBER) {
		real = exclusive ? nextafter(real, lower ? HUGE_VAL : -HUGE_VAL) : real;
		if (lower)
			field->number_minimum = fmax(field->number_minimum, real);
		else
			field->number_maximum = fmin(field->number_maximum, real);
		return SM_OK;
	}
	/* A bound between two integers is the inner one, and the same whether it is exclusive. */
	double whole = lower ? ceil(real) : floor(real);
	int64_t bound;
	if (json_is_integer(value))
		bound = json_integer_value(value);
	else if (whole < -9.2e18 || whole > 9.2e18)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/%s: is beyond 64 bits", where, which);
	else
		bound = (int64_t)whole;
	if (exclusive && (json_is_integer(value) || whole == real) && __builtin_add_overflow(bound, lower ? 1 : -1, &bound))
		return sm_fail(c->reterr, SM_INVALID, "schema: %s/%s: nothing is beyond it", where, which);
	if (lower && bound > field->minimum)
		field->minimum = bound;
	if (!lower && bound < field->maximum)
		field->maximum = bound;
	return SM_OK;
}

static enum sm_err property_length(struct compile *c, const char *where, const json_t *property, const char *which, enum schema_type type,
				   const struct schema_field *field, uint32_t *bound)
{
	const json_t *value = json_object_get(property, which);
	if (!value)
		return SM_OK;
	if (field->type != type || !json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/%s: understood as a count from 0, for %s", where, which,
			       type == SCHEMA_ARRAY ? "arrays" : "strings without format");
	*bound = (uint32_t)json_integer_value(value);
	return SM_OK;
}

static enum sm_err property_bounds(struct compile *c, const char *where, const json_t *object, struct schema_field *field)
{
	static const char *const bounds[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
	enum sm_err err = SM_OK;
	for (int i = 0; i < 4 && !err; i++)
		err = property_bound(c, where, object, bounds[i], field);
	if (!err)
		err = property_length(c, where, object, "minLength", SCHEMA_STRING, field, &field->length_minimum);
	if (!err)
		err = property_length(c, where, object, "maxLength", SCHEMA_STRING, field, &field->length_maximum);
	if (!err)
		err = property_length(c, where, object, "minItems", SCHEMA_ARRAY, field, &field->length_minimum);
	if (!err)
		err = property_length(c, where, object, "maxItems", SCHEMA_ARRAY, field, &field->length_maximum);
	if (!err && (field->minimum > field->maximum || field->number_minimum > field->number_maximum))
		err = sm_fail(c->reterr, SM_INVALID, "schema: %s/minimum: is above maximum", where);
	if (!err && field->length_minimum > field->length_maximum)
		err = sm_fail(c->reterr, SM_INVALID, "schema: %s/%s: is above the greatest", where,
			      field->type == SCHEMA_ARRAY ? "minItems" : "minLength");
	return err;
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

static bool is_annotation(const char *key)
{
	return is_one_of(key, annotations);
}

/* What lies within an object or an array. */
static enum sm_err property_inner(struct compile *c, const char *where, const json_t *object, struct schema_field *field)
{
	static const char *const of_objects[] = {"properties", "required", "additionalProperties", NULL};
	const json_t *items = json_object_get(object, "items");
	for (int i = 0; of_objects[i]; i++)
		if (field->type != SCHEMA_OBJECT && json_object_get(object, of_objects[i]))
			return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/%s: understood for objects", where, of_objects[i]);
	if (items && field->type != SCHEMA_ARRAY)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/items: understood for arrays", where);
	if (field->type == SCHEMA_OBJECT && (json_object_get(object, "properties") || json_object_get(object, "required") ||
					     json_object_get(object, "additionalProperties")))
		return compile_object(c, where, object, &field->inner);
	return items ? compile_items(c, where, items, &field->inner) : SM_OK;
}

static enum sm_err property(struct compile *c, const char *where, const json_t *object, struct schema_field *field,
			    struct field_index *index)
{
	static const char *const understood[] = {
		"type",     "format",   "enum",      "const",     "minimum",    "maximum",  "exclusiveMinimum",     "exclusiveMaximum",
		"minItems", "maxItems", "minLength", "maxLength", "properties", "required", "additionalProperties", "items",
		NULL};
	const char *key;
	json_t *value;
	if (!json_is_object(object))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s: is not an object", where);
	if (++c->nodes > SCHEMA_NODES_MAX)
		return sm_fail(c->reterr, SM_TOO_LARGE, "schema: %s: more than %d properties in all", where, SCHEMA_NODES_MAX);
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (!is_one_of(key, understood) && !is_annotation(key))
			return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/%s: is not understood", where, pointer(key));
	}
	field->minimum = INT64_MIN;
	field->maximum = INT64_MAX;
	field->number_minimum = -HUGE_VAL;
	field->number_maximum = HUGE_VAL;
	field->length_maximum = UINT32_MAX;
	enum sm_err err = property_type(c, where, object, field);
	if (!err && (value = json_object_get(object, "enum")))
		err = property_enum(c, where, value, field, index);
	if (!err && (value = json_object_get(object, "const")))
		err = property_const(c, where, value, field, index);
	if (!err)
		err = property_bounds(c, where, object, field);
	return err ? err : property_inner(c, where, object, field);
}

static enum sm_err member(struct compile *c, const struct schema *schema, uint32_t i, const char *where, const char *name,
			  const json_t *object)
{
	struct schema_field *field = &schema->fields[i];
	struct field_index *index = &((struct schema_index *)schema->index)->fields[i];
	field->name = index->name = string_in(c, name);
	index->name_size = (uint32_t)strlen(name);
	index->path = arena_printf(c->arena, "obj.%s", name);
	const char *at = arena_printf(c->arena, "%s/properties/%s", where, pointer(name));
	if (!field->name || !index->path || !at)
		return no_memory(c);
	name_index(index);
	return property(c, at, object, field, index);
}

/* ---- the index by name ---- */

static enum sm_err slots_make(struct compile *c, const struct schema *schema)
{
	struct schema_index *index = schema->index;
	uint32_t size = 8;
	while (size < 2 * schema->field_count)
		size *= 2;
	index->slot_mask = size - 1;
	if (!(index->slots = arena_alloc(c->arena, size * sizeof(uint16_t))))
		return no_memory(c);
	for (uint32_t i = 0; i < schema->field_count; i++) {
		uint32_t slot = (uint32_t)hash64(index->fields[i].name, index->fields[i].name_size) & index->slot_mask;
		while (index->slots[slot])
			slot = (slot + 1) & index->slot_mask;
		index->slots[slot] = (uint16_t)(i + 1);
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

/* ---- objects and arrays ---- */

/* With room for so many fields, in the arena. */
static enum sm_err schema_make(struct compile *c, const char *where, size_t count, struct schema **ret)
{
	if (c->depth == SCHEMA_DEPTH_MAX)
		return sm_fail(c->reterr, SM_TOO_LARGE, "schema: %s: more than %d objects and arrays within each other", where,
			       SCHEMA_DEPTH_MAX);
	if (count > SCHEMA_FIELDS_MAX)
		return sm_fail(c->reterr, SM_TOO_LARGE, "schema: %s/properties: more than %d", where, SCHEMA_FIELDS_MAX);
	struct schema *schema = arena_alloc(c->arena, sizeof *schema);
	struct schema_index *index = arena_alloc(c->arena, sizeof *index + (count + 1) * sizeof *index->fields);
	if (!schema || !index || !(schema->fields = arena_alloc(c->arena, (count + 1) * sizeof *schema->fields)))
		return no_memory(c);
	schema->index = index;
	schema->field_count = (uint32_t)count;
	*ret = schema;
	return SM_OK;
}

static enum sm_err compile_required(struct compile *c, const struct schema *schema, const char *where, const json_t *required)
{
	if (required && !json_is_array(required))
		return sm_fail(c->reterr, SM_INVALID, "schema: %s/required: is not an array", where);
	for (size_t i = 0; i < json_array_size(required); i++) {
		const char *name = json_string_value(json_array_get(required, i));
		int field = name ? schema_find(schema, name) : -1;
		if (field < 0)
			return sm_fail(c->reterr, SM_INVALID, "schema: %s/required/%zu: is not the name of a property", where, i);
		schema->fields[field].required = true;
		((struct schema_index *)schema->index)->required[field / 64] |= 1ull << (field % 64);
	}
	return SM_OK;
}

static enum sm_err compile_object(struct compile *c, const char *where, const json_t *json, const struct schema **ret)
{
	const json_t *properties = json_object_get(json, "properties"), *additional = json_object_get(json, "additionalProperties");
	const char *name;
	json_t *value;
	struct schema *schema;
	uint32_t i = 0;
	if (properties && !json_is_object(properties))
		return sm_fail(c->reterr, SM_INVALID, "schema: %s/properties: an object is needed", where);
	if (additional && !json_is_boolean(additional))
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: %s/additionalProperties: false and true are understood", where);
	enum sm_err err = schema_make(c, where, json_object_size(properties), &schema);
	if (err)
		return err;
	schema->additional = !json_is_false(additional);
	c->depth++;
	json_object_foreach((json_t *)(uintptr_t)properties, name, value)
	{
		if (!err)
			err = member(c, schema, i++, where, name, value);
	}
	c->depth--;
	if (!err)
		err = slots_make(c, schema);
	if (!err)
		err = compile_required(c, schema, where, json_object_get(json, "required"));
	*ret = schema;
	return err;
}

/* The items are the one field of a schema without names. */
static enum sm_err compile_items(struct compile *c, const char *where, const json_t *items, const struct schema **ret)
{
	struct schema *schema;
	const char *at = arena_printf(c->arena, "%s/items", where);
	enum sm_err err = at ? schema_make(c, where, 1, &schema) : no_memory(c);
	if (err)
		return err;
	c->depth++;
	err = property(c, at, items, &schema->fields[0], &((struct schema_index *)schema->index)->fields[0]);
	c->depth--;
	*ret = schema;
	return err;
}

/* ---- the document ---- */

static enum sm_err check_top(struct compile *c, const json_t *json)
{
	static const char *const understood[] = {"type", "properties", "required", "additionalProperties", "$schema", "$id", NULL};
	const char *key;
	json_t *value;
	if (!json_is_object(json))
		return sm_fail(c->reterr, SM_INVALID, "schema: is not a JSON object");
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		if (!is_one_of(key, understood) && !is_annotation(key))
			return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /%s: is not understood", pointer(key));
	}
	const char *type = json_string_value(json_object_get(json, "type"));
	if (!type || strcmp(type, "object") != 0)
		return sm_fail(c->reterr, SM_UNSUPPORTED, "schema: /type: must be \"object\"");
	if (!json_is_object(json_object_get(json, "properties")))
		return sm_fail(c->reterr, SM_INVALID, "schema: /properties: an object is needed");
	const json_t *title = json_object_get(json, "title");
	if (title && !json_is_string(title))
		return sm_fail(c->reterr, SM_INVALID, "schema: /title: is not a string");
	return SM_OK;
}

enum sm_err schema_compile(struct bytes document, struct schema **ret_schema, struct sm_error *reterr)
{
	json_t *json = NULL;
	struct arena arena;
	struct compile c = {.reterr = reterr, .arena = &arena};
	const struct schema *inner;
	enum sm_err err = json_parse(document, &json, reterr);
	if (err) {
		sm_error_prefix(reterr, "schema");
		return err;
	}
	arena_init(&arena, 0);
	err = check_top(&c, json);
	if (!err)
		err = compile_object(&c, "", json, &inner);
	if (!err) {
		struct schema *schema = (struct schema *)(uintptr_t)inner;
		const char *title = json_string_value(json_object_get(json, "title"));
		if (title && !(schema->title = string_in(&c, title)))
			err = no_memory(&c);
		((struct schema_index *)schema->index)->arena = arena; /* all of it, the schema too */
		if (!err)
			*ret_schema = schema;
	}
	if (err)
		arena_done(&arena);
	json_decref(json);
	return err;
}

void schema_free(struct schema *schema)
{
	if (!schema)
		return;
	struct arena arena = ((struct schema_index *)schema->index)->arena; /* the schema itself is in it */
	arena_done(&arena);
}
