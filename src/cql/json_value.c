/* Values to JSON and back, type by type. */
#include "cql/json_value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- out ---- */

void cql__json_put_string(struct bytes text, struct buf *out)
{
	buf_u8(out, '"');
	for (size_t i = 0; text.data && i < text.size; i++) {
		static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
		uint8_t c = text.data[i];
		const char *known = c ? strchr(from, c) : NULL;
		if (known)
			buf_printf(out, "\\%c", to[known - from]);
		else if (c < 0x20)
			buf_printf(out, "\\u%04X", c);
		else
			buf_u8(out, c);
	}
	buf_u8(out, '"');
}

static void put_quoted(const char *text, struct buf *out)
{
	cql__json_put_string(bytes_str(text), out);
}

/* A map's key is a string, whatever it is. */
static void put_key(const struct store_type *type, struct store_cell value, struct arena *arena, struct buf *out)
{
	struct buf key;
	buf_init(&key);
	cql__json_put(type, value, arena, &key);
	struct bytes b = buf_bytes(&key);
	out->failed |= key.failed;
	if (b.data && b.size && b.data[0] == '"')
		buf_append_bytes(out, b);
	else
		cql__json_put_string(b, out);
	buf_done(&key);
}

void cql__json_put_name(const char *name, struct buf *out)
{
	bool plain = true;
	for (const char *c = name; *c; c++)
		plain &= *c < 'A' || *c > 'Z';
	if (plain) {
		cql__json_put_string(bytes_str(name), out);
		return;
	}
	buf_append_str(out, "\"\\\"");
	for (const char *c = name; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)*c);
	}
	buf_append_str(out, "\\\"\"");
}

static void put_composite(const struct store_type *type, struct store_cell value, struct arena *arena, struct buf *out)
{
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell e;
	const struct store_type *et;
	bool map = type->id == STORE_MAP, udt = type->id == STORE_UDT, fields = udt || type->id == STORE_TUPLE;
	uint32_t n = 0;
	buf_u8(out, map || udt ? '{' : '[');
	for (; store_value_next(&r, &e, &et) || (fields && n < type->element_count); n++) {
		if (n >= r.index) { /* fields that were added after the value was written */
			e = cql__null();
			et = &type->elements[n];
		}
		buf_append_str(out, n == 0 ? "" : map && n % 2 ? ": " : ", ");
		if (udt) {
			cql__json_put_name(type->fields[n], out);
			buf_append_str(out, ": ");
		}
		if (map && n % 2 == 0)
			put_key(et, e, arena, out);
		else
			cql__json_put(et, e, arena, out);
	}
	buf_u8(out, map || udt ? '}' : ']');
}

void cql__json_put(const struct store_type *type, struct store_cell value, struct arena *arena, struct buf *out)
{
	bool text = type->id == STORE_TEXT || type->id == STORE_ASCII || type->id == STORE_BLOB;
	if (value.size < 0 || (value.size == 0 && !text)) {
		buf_append_str(out, value.size < 0 ? "null" : "\"\"");
		return;
	}
	switch (type->id) {
	case STORE_TEXT:
	case STORE_ASCII: cql__json_put_string(bytes_of(value.data, (size_t)value.size), out); return;
	case STORE_DOUBLE:
	case STORE_FLOAT: {
		const char *number = cql__java_text(type, value, true, arena);
		bool finite = isfinite(type->id == STORE_DOUBLE ? cql__double_of(value) : (double)cql__float_of(value));
		buf_append_str(out, finite ? number : "null");
		return;
	}
	case STORE_TINYINT:
	case STORE_SMALLINT:
	case STORE_INT:
	case STORE_BIGINT:
	case STORE_COUNTER:
	case STORE_VARINT:
	case STORE_DECIMAL:
	case STORE_BOOLEAN: buf_append_str(out, cql__java_text(type, value, true, arena)); return;
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP:
	case STORE_TUPLE:
	case STORE_UDT:
	case STORE_VECTOR: put_composite(type, value, arena, out); return;
	default: put_quoted(cql__java_text(type, value, true, arena), out); return;
	}
}

/* ---- in ---- */

struct reading {
	const struct json_node *node;
	const struct store_type *type;
	struct arena *arena;
	struct store_cell *ret;
	const char *why;
	bool plain;
};

static enum sm_err wrong(struct reading *r, const char *fmt, ...) SM_PRINTF(2, 3);
static enum sm_err wrong(struct reading *r, const char *fmt, ...)
{
	char text[600];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	r->why = arena_string(r->arena, text, strlen(text));
	return SM_INVALID;
}

#define SHOWN_MAX 600 /* bytes of an array or object in an error */

/* A string's bytes; a zero is written out, so that nothing behind it is lost, and no value but a text can have it. */
static void put_shown_string(struct bytes text, struct buf *out)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i])
			buf_u8(out, text.data[i]);
		else
			buf_append_str(out, "\\u0000");
}

static const char *shown_real(const struct json_node *n, struct arena *arena)
{
	const char *number = arena_string(arena, (const char *)n->text.data, n->text.size);
	return number ? cql__java_double(strtod(number, NULL), arena) : "";
}

static void put_shown(const struct json_node *n, struct arena *arena, struct buf *out)
{
	switch (n->kind) {
	case JSON_NODE_NULL: buf_append_str(out, "null"); return;
	case JSON_NODE_BOOLEAN: buf_append_str(out, n->truth ? "true" : "false"); return;
	case JSON_NODE_REAL: buf_append_str(out, shown_real(n, arena)); return;
	case JSON_NODE_INTEGER:
	case JSON_NODE_STRING: put_shown_string(n->text, out); return;
	case JSON_NODE_ARRAY:
	case JSON_NODE_OBJECT: break;
	}
	buf_u8(out, n->kind == JSON_NODE_ARRAY ? '[' : '{');
	for (uint32_t i = 0; i < n->count && buf_size(out) < SHOWN_MAX; i++) {
		buf_append_str(out, i ? ", " : "");
		if (n->names) {
			put_shown_string(n->names[i], out);
			buf_u8(out, '=');
		}
		put_shown(&n->items[i], arena, out);
	}
	buf_u8(out, n->kind == JSON_NODE_ARRAY ? ']' : '}');
}

/* What Java's toString makes of the parsed value: whole, but for the end of a long array or object. */
static const char *shown(const struct json_node *n, struct arena *arena)
{
	const char *text = "";
	struct buf out;
	if (n->kind == JSON_NODE_REAL)
		return shown_real(n, arena);
	buf_init(&out);
	put_shown(n, arena, &out);
	if (!out.failed && buf_size(&out))
		text = arena_string(arena, (const char *)out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text ? text : "";
}

static const char *java_class(const struct json_node *n, struct arena *arena)
{
	struct store_cell v;
	switch (n->kind) {
	case JSON_NODE_BOOLEAN: return "Boolean";
	case JSON_NODE_REAL: return "Double";
	case JSON_NODE_STRING: return "String";
	case JSON_NODE_ARRAY: return "ArrayList";
	case JSON_NODE_OBJECT: return "LinkedHashMap";
	default: break;
	}
	if (cql__varint_of_text(n->text, arena, &v) != SM_OK)
		return "BigInteger";
	return v.size <= 4 ? "Integer" : v.size <= 8 ? "Long" : "BigInteger";
}

static enum sm_err expected(struct reading *r, const char *what)
{
	return wrong(r, "Expected %s, but got a %s: %s", what, java_class(r->node, r->arena), shown(r->node, r->arena));
}

/* By way of the literal that CQL has for it, whose errors have the same texts. */
static enum sm_err literal(struct reading *r, enum cql_literal kind, const char *text)
{
	struct cql_error why = {0};
	struct cql_term term = {.kind = CQL_TERM_LITERAL, .literal = kind, .text = bytes_str(text)};
	if (cql__literal_value(&term, r->type, "", r->arena, r->ret, &why) == SM_OK)
		return SM_OK;
	return wrong(r, "%s", why.text);
}

static bool is_whole(const char *text)
{
	text += *text == '-' || *text == '+';
	if (!*text)
		return false;
	for (; *text; text++)
		if (*text < '0' || *text > '9')
			return false;
	return true;
}

static enum sm_err whole(struct reading *r, const char *java, const char *expecting)
{
	const char *class = java_class(r->node, r->arena), *text = shown(r->node, r->arena);
	bool small = r->type->id == STORE_TINYINT || r->type->id == STORE_SMALLINT;
	bool fits = strcmp(class, "Integer") == 0 || (strcmp(class, "Long") == 0 && r->type->id == STORE_BIGINT) ||
		    (small && (r->node->kind == JSON_NODE_INTEGER || r->node->kind == JSON_NODE_REAL));
	if (r->node->kind != JSON_NODE_STRING && !fits)
		return expected(r, expecting);
	return is_whole(text) ? literal(r, CQL_INTEGER, *text == '+' ? text + 1 : text)
			      : wrong(r, "Unable to make %s from '%s'", java, text);
}

#define BLANKS " \t\n\r\f\v"

static enum sm_err real(struct reading *r)
{
	bool single = r->type->id == STORE_FLOAT;
	const char *text = shown(r->node, r->arena);
	const char *start = text + strspn(text, BLANKS), *plain = start + (*start == '-' || *start == '+');
	size_t size = strspn(start, "+-.eE0123456789");
	char *end = NULL;
	if (r->node->kind != JSON_NODE_STRING && r->node->kind != JSON_NODE_INTEGER && r->node->kind != JSON_NODE_REAL)
		return expected(r, single ? "a float value" : "a double value");
	if (strncmp(plain, "NaN", 3) == 0) {
		size = (size_t)(plain - start) + 3;
		start = "NaN"; /* Java has one, without a sign */
	} else if (strncmp(plain, "Infinity", 8) == 0) {
		size = (size_t)(plain - start) + 8;
	}
	double d = size ? strtod(start, &end) : 0; /* which takes more than Java does: 0x10, inf */
	size_t rest = strspn(text, BLANKS) + size;
	if (!size || (*start != 'N' && end != start + size) || text[rest + strspn(text + rest, BLANKS)])
		return wrong(r, "Unable to make %s from '%s'", single ? "float" : "double", text);
	*r->ret = single ? cql__cell_float(r->arena, strtof(start, NULL)) : cql__cell_double(r->arena, d);
	return SM_OK;
}

static enum sm_err big(struct reading *r)
{
	bool varint = r->type->id == STORE_VARINT;
	const char *text = shown(r->node, r->arena);
	enum sm_err err = varint ? cql__varint_of_text(bytes_str(text), r->arena, r->ret)
				 : cql__decimal_of_text(bytes_str(text), r->arena, r->ret);
	if (err == SM_NO_MEMORY)
		return err;
	if (err || !*text)
		return wrong(r, "Value '%s' is not a valid representation of a %s value", text, varint ? "varint" : "decimal");
	return SM_OK;
}

static enum sm_err text(struct reading *r)
{
	bool ascii = r->type->id == STORE_ASCII;
	if (r->node->kind != JSON_NODE_STRING)
		return expected(r, ascii ? "an ascii string" : "a UTF-8 string");
	for (size_t i = 0; ascii && i < r->node->text.size; i++)
		if (r->node->text.data[i] & 0x80)
			return wrong(r, "Invalid ASCII character in string literal: java.nio.charset.UnmappableCharacterException: Input "
					"length = 1");
	*r->ret = cql__cell(r->arena, r->node->text.data, r->node->text.size);
	return SM_OK;
}

static enum sm_err blob(struct reading *r)
{
	const char *t = shown(r->node, r->arena);
	if (r->node->kind != JSON_NODE_STRING) {
		const char *class = java_class(r->node, r->arena);
		const char *package = strcmp(class, "ArrayList") == 0 || strcmp(class, "LinkedHashMap") == 0 ? "util" : "lang";
		return wrong(r,
			     "Value '%s' is not a valid blob representation: class java.%s.%s cannot be cast to class java.lang.String "
			     "(java.%s.%s and java.lang.String are in module java.base of loader 'bootstrap')",
			     t, package, class, package, class);
	}
	if (strncmp(t, "0x", 2) != 0)
		return wrong(r, "Value '%s' is not a valid blob representation: String representation of blob is missing 0x prefix: %s", t,
			     t);
	for (const char *p = t + 2; *p; p++)
		if (!strchr("0123456789abcdefABCDEF", *p))
			return wrong(r, "Value '%s' is not a valid blob representation: Non-hex characters in %s", t, t + 2);
	return literal(r, CQL_HEX, t + 2);
}

static enum sm_err boolean(struct reading *r)
{
	const char *t = shown(r->node, r->arena);
	bool truth = strcasecmp(t, "true") == 0;
	if (r->node->kind != JSON_NODE_STRING && r->node->kind != JSON_NODE_BOOLEAN)
		return expected(r, "a boolean value");
	if (!truth && strcasecmp(t, "false") != 0)
		return wrong(r, "Unable to make boolean from '%s'", t);
	*r->ret = cql__cell(r->arena, truth ? "\1" : "\0", 1);
	return SM_OK;
}

static enum sm_err stringly(struct reading *r, const char *expecting, enum cql_literal kind)
{
	const char *t = shown(r->node, r->arena);
	r->plain = r->type->id == STORE_DURATION && r->node->kind == JSON_NODE_STRING;
	if (r->node->kind != JSON_NODE_STRING)
		return expected(r, expecting);
	return literal(r, kind, t);
}

static enum sm_err timestamp(struct reading *r)
{
	const char *class = java_class(r->node, r->arena);
	if (strcmp(class, "Integer") == 0 || strcmp(class, "Long") == 0)
		return literal(r, CQL_INTEGER, shown(r->node, r->arena));
	return stringly(r, "a long or a datestring representation of a timestamp value", CQL_STRING);
}

/* ---- composite values in ---- */

static enum sm_err element(struct reading *r, const struct json_node *node, const struct store_type *type, struct store_cell *ret)
{
	const char *why;
	enum sm_err err = cql__json_value(node, type, r->arena, ret, &why, &r->plain);
	if (err == SM_INVALID)
		r->why = why;
	return err;
}

/* The serialized form of cells. */
static enum sm_err packed(struct reading *r, struct store_cell *cells, uint32_t count)
{
	struct cql_error why = {0};
	struct cql_context c = {.arena = r->arena, .err = &why};
	enum sm_err err = cql__pack(&c, r->type, cells, count, r->ret);
	return err == SM_INVALID ? wrong(r, "%s", why.text) : err;
}

/* A list, map ... may also stand in a string: of a map's key it always does. */
static enum sm_err decoded(struct reading *r)
{
	const char *why;
	if (r->node->kind != JSON_NODE_STRING)
		return SM_OK;
	struct json_node *inner = arena_alloc(r->arena, sizeof *inner);
	enum sm_err err = inner ? cql__json_parse(r->node->text, r->arena, inner, &why) : SM_NO_MEMORY;
	if (err == SM_SYNTAX)
		return wrong(r, "Error decoding JSON string: %s", strncmp(why, "com.", 4) == 0 ? strstr(why, ": ") + 2 : why);
	r->node = inner;
	return err;
}

static enum sm_err array(struct reading *r)
{
	const struct store_type *type = r->type;
	bool tuple = type->id == STORE_TUPLE, set = type->id == STORE_SET;
	const struct json_node *n = r->node;
	if (n->kind != JSON_NODE_ARRAY)
		return expected(r, tuple ? "a list representation of a tuple" : set ? "a list (representing a set)" : "a list");
	if (tuple && n->count != type->element_count)
		return wrong(r, "Tuple %s items (expected %u): %s", n->count > type->element_count ? "contains extra" : "is missing",
			     type->element_count, shown(n, r->arena));
	if (type->id == STORE_VECTOR && n->count != type->dimension)
		return wrong(r, "List had incorrect size: expected %u but given %u; %s", type->dimension, n->count, shown(n, r->arena));
	struct store_cell *cells = arena_alloc(r->arena, sizeof *cells * (n->count + 1u));
	enum sm_err err = cells ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; !err && i < n->count; i++)
		if (n->items[i].kind == JSON_NODE_NULL && !tuple)
			err = wrong(r, "Invalid null element in %s", set ? "set" : "list");
		else
			err = element(r, &n->items[i], &type->elements[tuple ? i : 0], &cells[i]);
	return err ? err : packed(r, cells, n->count);
}

static enum sm_err object(struct reading *r)
{
	const struct json_node *n = r->node;
	if (n->kind != JSON_NODE_OBJECT)
		return expected(r, "a map");
	struct store_cell *cells = arena_alloc(r->arena, sizeof *cells * (2 * (size_t)n->count + 1));
	enum sm_err err = cells ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; !err && i < n->count; i++) {
		struct json_node key = {.kind = JSON_NODE_STRING, .text = n->names[i]};
		if (n->items[i].kind == JSON_NODE_NULL)
			return wrong(r, "Invalid null value in map");
		err = element(r, &key, &r->type->elements[0], &cells[2 * i]);
		if (!err)
			err = element(r, &n->items[i], &r->type->elements[1], &cells[2 * i + 1]);
	}
	return err ? err : packed(r, cells, 2 * n->count);
}

static enum sm_err user_type(struct reading *r)
{
	const struct json_node *n = r->node;
	const struct store_type *type = r->type;
	if (n->kind != JSON_NODE_OBJECT)
		return expected(r, "a map");
	struct store_cell *cells = arena_alloc(r->arena, sizeof *cells * (type->element_count + 1u));
	enum sm_err err = cells ? SM_OK : SM_NO_MEMORY;
	for (uint16_t i = 0; !err && i < type->element_count; i++)
		cells[i] = cql__null();
	uint32_t *last = arena_alloc(r->arena, sizeof *last * (type->element_count + 1u)); /* of several equal names, its number + 1 */
	const char *unknown = NULL;
	if (!last)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < n->count; i++) {
		const char *name = cql__json_name(n->names[i], r->arena);
		int at = name && !json_has_zero(n->names[i]) ? cql__field_of(type, name) : -1;
		if (at >= 0)
			last[at] = i + 1;
		else if (!unknown)
			unknown = name ? name : "";
	}
	for (uint16_t i = 0; !err && i < type->element_count; i++)
		if (last[i])
			err = element(r, &n->items[last[i] - 1], &type->elements[i], &cells[i]);
	if (!err && unknown)
		return wrong(r, "Unknown field '%s' in value of user defined type %s", unknown, type->name);
	return err ? err : packed(r, cells, type->element_count);
}

static enum sm_err composite(struct reading *r)
{
	enum sm_err err = decoded(r);
	if (err)
		return err;
	switch (r->type->id) {
	case STORE_MAP: return object(r);
	case STORE_UDT: return user_type(r);
	default: return array(r);
	}
}

enum sm_err cql__json_value(const struct json_node *node, const struct store_type *type, struct arena *arena, struct store_cell *ret_value,
			    const char **ret_why, bool *ret_plain)
{
	struct reading r = {node, type, arena, ret_value, NULL, false};
	enum sm_err err;
	*ret_value = cql__null();
	if (node->kind == JSON_NODE_NULL)
		return SM_OK;
	switch (type->id) {
	case STORE_TEXT:
	case STORE_ASCII: err = text(&r); break;
	case STORE_INT: err = whole(&r, "int", "an int value"); break;
	case STORE_BIGINT: err = whole(&r, "long", "a bigint value"); break;
	case STORE_SMALLINT: err = whole(&r, "short", "a smallint value"); break;
	case STORE_TINYINT: err = whole(&r, "byte", "a tinyint value"); break;
	case STORE_DOUBLE:
	case STORE_FLOAT: err = real(&r); break;
	case STORE_VARINT:
	case STORE_DECIMAL: err = big(&r); break;
	case STORE_BOOLEAN: err = boolean(&r); break;
	case STORE_BLOB: err = blob(&r); break;
	case STORE_TIMESTAMP: err = timestamp(&r); break;
	case STORE_DATE: err = stringly(&r, "a string representation of a date value", CQL_STRING); break;
	case STORE_TIME: err = stringly(&r, "a string representation of a time value", CQL_STRING); break;
	case STORE_INET: err = stringly(&r, "a string representation of an inet value", CQL_STRING); break;
	case STORE_UUID: err = stringly(&r, "a string representation of a uuid", CQL_UUID); break;
	case STORE_TIMEUUID: err = stringly(&r, "a string representation of a timeuuid", CQL_UUID); break;
	case STORE_DURATION: err = stringly(&r, "a string representation of a duration", CQL_DURATION); break;
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP:
	case STORE_TUPLE:
	case STORE_UDT:
	case STORE_VECTOR: err = composite(&r); break;
	default: err = wrong(&r, "Values of type %s cannot be given as JSON", cql_type_text(type, arena)); break;
	}
	*ret_why = r.why ? r.why : "";
	*ret_plain = r.plain;
	return !err && !ret_value->data ? SM_NO_MEMORY : err;
}
