#include "base/json.h"
#include <stdlib.h>

/* jansson counts nesting itself, but its bound (2048) is fixed when it is built; ours is lower. */
static bool too_deep(struct bytes text)
{
	unsigned depth = 0;
	bool string = false;
	for (size_t i = 0; i < text.size; i++) {
		uint8_t c = text.data[i];
		if (string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				string = false;
		} else if (c == '"') {
			string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return false;
}

enum sm_err json_parse(struct bytes text, json_t **ret_json, struct sm_error *reterr)
{
	if (too_deep(text))
		return sm_fail(reterr, SM_SYNTAX, "JSON is nested deeper than %d", JSON_DEPTH_MAX);
	json_error_t error;
	json_t *json = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (!json)
		return sm_fail(reterr, SM_SYNTAX, "JSON, line %d column %d: %s", error.line, error.column, error.text);
	*ret_json = json;
	return SM_OK;
}

static int append(const char *text, size_t size, void *out)
{
	buf_append(out, text, size);
	return ((struct buf *)out)->failed ? -1 : 0;
}

void json_write(const json_t *json, struct buf *out)
{
	json_dump_callback(json, append, out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
}

void json_write_pretty(const json_t *json, struct buf *out)
{
	json_dump_callback(json, append, out, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
}

static enum sm_err wrong(const char *name, const char *type, struct sm_error *reterr)
{
	return sm_fail(reterr, SM_TYPE, "member \"%s\" must be %s", name, type);
}

static const json_t *member(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);
	return json_is_null(v) ? NULL : v;
}

enum sm_err json_get_string(const json_t *object, const char *name, const char *absent, const char **ret, struct sm_error *reterr)
{
	const json_t *v = member(object, name);
	if (v && !json_is_string(v))
		return wrong(name, "a string", reterr);
	*ret = v ? json_string_value(v) : absent;
	return SM_OK;
}

enum sm_err json_get_int(const json_t *object, const char *name, int64_t absent, int64_t *ret, struct sm_error *reterr)
{
	const json_t *v = member(object, name);
	if (v && !json_is_integer(v))
		return wrong(name, "an integer", reterr);
	*ret = v ? (int64_t)json_integer_value(v) : absent;
	return SM_OK;
}

enum sm_err json_get_real(const json_t *object, const char *name, double absent, double *ret, struct sm_error *reterr)
{
	const json_t *v = member(object, name);
	if (v && !json_is_number(v))
		return wrong(name, "a number", reterr);
	*ret = v ? json_number_value(v) : absent;
	return SM_OK;
}

enum sm_err json_get_bool(const json_t *object, const char *name, bool absent, bool *ret, struct sm_error *reterr)
{
	const json_t *v = member(object, name);
	if (v && !json_is_boolean(v))
		return wrong(name, "true or false", reterr);
	*ret = v ? json_boolean_value(v) : absent;
	return SM_OK;
}
