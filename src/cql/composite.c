/* Lists, sets, maps, tuples, user types and vectors as terms: what may be written where, in Cassandra's words, and their serialized form.
 */
#include "cql/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what may be assigned ---- */

static bool literal_fits(enum cql_literal literal, const struct store_type *type)
{
	switch (type->id) {
	case STORE_TUPLE:
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP:
	case STORE_UDT:
	case STORE_VECTOR: return false;
	case STORE_ASCII:
	case STORE_TEXT:
	case STORE_INET: return literal == CQL_STRING;
	case STORE_DATE:
	case STORE_TIME:
	case STORE_TIMESTAMP: return literal == CQL_STRING || literal == CQL_INTEGER;
	case STORE_BIGINT:
	case STORE_COUNTER:
	case STORE_INT:
	case STORE_SMALLINT:
	case STORE_TINYINT:
	case STORE_VARINT: return literal == CQL_INTEGER;
	case STORE_DECIMAL:
	case STORE_DOUBLE:
	case STORE_FLOAT: return literal == CQL_INTEGER || literal == CQL_FLOAT;
	case STORE_DURATION: return literal == CQL_INTEGER || literal == CQL_DURATION;
	case STORE_UUID:
	case STORE_TIMEUUID: return literal == CQL_UUID;
	case STORE_BOOLEAN: return literal == CQL_BOOLEAN;
	case STORE_BLOB: return literal == CQL_HEX;
	case STORE_CUSTOM: break;
	}
	return false;
}

static bool map_fits(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type)
{
	if (type->id == STORE_UDT) {
		for (uint32_t i = 0; i < t->arg_count; i += 2) {
			int field = t->args[i]->kind == CQL_TERM_COLUMN ? cql__field_of(type, t->args[i]->name) : -1;
			if (field < 0 || !cql__assignable(a, t->args[i + 1], &type->elements[field]))
				return false;
		}
		return true;
	}
	for (uint32_t i = 0; type->id == STORE_MAP && i < t->arg_count; i++)
		if (t->args[i]->kind == CQL_TERM_COLUMN || !cql__assignable(a, t->args[i], &type->elements[i % 2]))
			return false;
	return type->id == STORE_MAP;
}

bool cql__assignable(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type)
{
	struct cql_expr *ignored;
	struct cql_error error, *was = a->c->err;
	struct store_type to;
	bool ok;
	switch (t->kind) {
	case CQL_TERM_NULL:
	case CQL_TERM_MARKER: return true;
	case CQL_TERM_LITERAL: return literal_fits(t->literal, type);
	case CQL_TERM_LIST:
		if (type->id != STORE_LIST && type->id != STORE_VECTOR)
			return false;
		for (uint32_t i = 0; i < t->arg_count; i++)
			if (!cql__assignable(a, t->args[i], &type->elements[0]))
				return false;
		return type->id == STORE_LIST || t->arg_count == type->dimension;
	case CQL_TERM_SET:
		for (uint32_t i = 0; type->id == STORE_SET && i < t->arg_count; i++)
			if (!cql__assignable(a, t->args[i], &type->elements[0]))
				return false;
		return type->id == STORE_SET || ((type->id == STORE_MAP || type->id == STORE_UDT) && t->arg_count == 0);
	case CQL_TERM_MAP: return map_fits(a, t, type);
	case CQL_TERM_TUPLE:
		if (type->id != STORE_TUPLE && !(type->id == STORE_UDT && type->frozen && t->arg_count > 1))
			return t->arg_count == 1 && cql__assignable(a, t->args[0], type);
		for (uint32_t i = 0; i < t->arg_count; i++)
			if (i >= type->element_count || !cql__assignable(a, t->args[i], &type->elements[i]))
				return false;
		return true;
	case CQL_TERM_CALL:
	case CQL_TERM_OPERATION:
		a->c->err = &error;
		ok = cql__term(a, t, type, "", &ignored) == SM_OK;
		a->c->err = was;
		return ok;
	case CQL_TERM_CAST:
		a->c->err = &error;
		ok = cql__type_resolve(a->c, a->c->keyspace, t->type, &to) == SM_OK;
		a->c->err = was;
		return ok && (store_type_equal(&to, type) || cql__type_accepts(type->id, to.id));
	default: return false;
	}
}

/* ---- analysis ---- */

int cql__field_of(const struct store_type *type, const char *name)
{
	for (uint16_t i = 0; i < type->element_count; i++)
		if (strcmp(type->fields[i], name) == 0)
			return i;
	return -1;
}

static struct cql_expr *new_composite(struct cql_analysis *a, const struct store_type *type, const char *name, uint32_t count)
{
	struct cql_expr *x = cql__new(a, sizeof *x);
	if (!x || !(x->args = cql__new(a, sizeof *x->args * (count + 1))))
		return NULL;
	x->kind = CQL_EXPR_COMPOSITE;
	x->type = type;
	x->name = name;
	x->arg_count = count;
	return x;
}

/* The receiver's name of a part, for errors and markers. */
static const char *part_name(struct cql_analysis *a, const char *part, const char *name)
{
	const char *text = arena_printf(a->c->arena, "%s(%s)", part, name);
	return text ? text : name;
}

static enum sm_err wrong(struct cql_analysis *a, const char *what, const struct store_type *type, const char *name)
{
	return cql__fail(a->c->err, CQL_INVALID, "Invalid %s literal for %s of type %s", what, name, cql_type_text(type, a->c->arena));
}

static enum sm_err wrong_part(struct cql_analysis *a, const char *what, const char *name, const char *part, const struct cql_term *t,
			      const struct store_type *type)
{
	return cql__fail(a->c->err, CQL_INVALID, "Invalid %s literal for %s: %s %s is not of type %s", what, name, part,
			 cql__term_text(t, a->c->arena), cql_type_text(type, a->c->arena));
}

static bool has_marker(const struct cql_expr *x)
{
	bool has = x && x->kind == CQL_EXPR_MARKER;
	for (uint32_t i = 0; x && !has && x->kind != CQL_EXPR_CONST && i < x->arg_count; i++)
		has = has_marker(x->args[i]);
	return has;
}

static enum sm_err no_markers(struct cql_analysis *a, const struct cql_expr *x, const char *what, const char *name)
{
	if (!has_marker(x))
		return SM_OK;
	return cql__fail(a->c->err, CQL_INVALID, "Invalid %s literal for %s: bind variables are not supported inside collection literals",
			 what, name);
}

/* In Cassandra a list where neither list nor vector is wanted ends the look at what surrounds it. */
static enum sm_err check_part(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type)
{
	if (t->kind != CQL_TERM_LIST || type->id == STORE_LIST || type->id == STORE_VECTOR)
		return SM_OK;
	return cql__fail(a->c->err, CQL_INVALID, "Unexpected receiver type '%s'; only list and vector are expected",
			 cql_type_text(type, a->c->arena));
}

static enum sm_err elements(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
			    struct cql_expr **ret_expr)
{
	const char *what = t->kind == CQL_TERM_LIST ? type->id == STORE_VECTOR ? "vector" : "list" : "set";
	const struct store_type *element = type->id == STORE_MAP ? NULL : &type->elements[0];
	bool is_set = t->kind == CQL_TERM_SET;
	enum sm_err failed = check_part(a, t, type);
	if (failed)
		return failed;
	if (is_set ? type->id != STORE_SET && !(t->arg_count == 0 && type->id == STORE_MAP)
		   : type->id != STORE_LIST && type->id != STORE_VECTOR)
		return wrong(a, what, type, name);
	if (type->id == STORE_VECTOR && t->arg_count != type->dimension)
		return cql__fail(a->c->err, CQL_INVALID, "Invalid vector literal for %s of type %s; expected %u elements, but given %u",
				 name, cql_type_text(type, a->c->arena), type->dimension, t->arg_count);
	for (uint32_t i = 0; element && i < t->arg_count; i++) {
		if ((failed = check_part(a, t->args[i], element)))
			return failed;
		if (!cql__assignable(a, t->args[i], element))
			return wrong_part(a, what, name, "value", t->args[i], element);
	}
	struct cql_expr *x = new_composite(a, type, name, t->arg_count);
	const char *part = part_name(a, "value", name);
	if (!x)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; element && i < t->arg_count; i++) {
		enum sm_err err = cql__term(a, t->args[i], element, part, &x->args[i]);
		if (err || (type->id != STORE_VECTOR && (err = no_markers(a, x->args[i], what, name))))
			return err;
	}
	*ret_expr = x;
	return SM_OK;
}

static enum sm_err map(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
		       struct cql_expr **ret_expr)
{
	if (type->id != STORE_MAP)
		return wrong(a, "map", type, name);
	for (uint32_t i = 0; i < t->arg_count; i++) {
		enum sm_err failed = check_part(a, t->args[i], &type->elements[i % 2]);
		if (failed)
			return failed;
		if (!cql__assignable(a, t->args[i], &type->elements[i % 2]))
			return wrong_part(a, "map", name, i % 2 ? "value" : "key", t->args[i], &type->elements[i % 2]);
	}
	struct cql_expr *x = new_composite(a, type, name, t->arg_count);
	const char *parts[] = {part_name(a, "key", name), part_name(a, "value", name)};
	if (!x)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < t->arg_count; i++) {
		enum sm_err err = cql__term(a, t->args[i], &type->elements[i % 2], parts[i % 2], &x->args[i]);
		if (err || (err = no_markers(a, x->args[i], "map", name)))
			return err;
	}
	*ret_expr = x;
	return SM_OK;
}

static enum sm_err fields(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
			  struct cql_expr **ret_expr)
{
	struct cql_context *c = a->c;
	if (type->id != STORE_UDT)
		return wrong(a, "user type", type, name);
	struct cql_expr *x = new_composite(a, type, name, type->element_count);
	if (!x)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < t->arg_count; i += 2) {
		int at = t->args[i]->kind == CQL_TERM_COLUMN ? cql__field_of(type, t->args[i]->name) : -1;
		if (at < 0)
			return cql__fail(c->err, CQL_INVALID, "Unknown field '%s' in value of user defined type %s",
					 cql__term_text(t->args[i], c->arena), type->name);
		enum sm_err failed = check_part(a, t->args[i + 1], &type->elements[at]);
		if (failed)
			return failed;
		if (!cql__assignable(a, t->args[i + 1], &type->elements[at]))
			return cql__fail(c->err, CQL_INVALID, "Invalid user type literal for %s: field %s is not of type %s", name,
					 t->args[i]->name, cql_type_text(&type->elements[at], c->arena));
	}
	for (uint32_t i = 0; i < t->arg_count; i += 2) {
		int at = cql__field_of(type, t->args[i]->name);
		const char *part = arena_printf(c->arena, "%s.%s", name, t->args[i]->name);
		enum sm_err err = cql__term(a, t->args[i + 1], &type->elements[at], part ? part : name, &x->args[at]);
		if (err)
			return err;
	}
	*ret_expr = x;
	return SM_OK;
}

static enum sm_err tuple(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
			 struct cql_expr **ret_expr)
{
	struct cql_context *c = a->c;
	bool fields_of_udt = type->id == STORE_UDT && type->frozen && t->arg_count > 1; /* ('s', 1) for {street: 's', zip: 1} */
	if (type->id != STORE_TUPLE && !fields_of_udt)
		return t->arg_count == 1 ? cql__term(a, t->args[0], type, name, ret_expr) /* (5) is 5 */
					 : wrong(a, "tuple type", type, name);
	for (uint32_t i = 0; i < t->arg_count; i++) {
		if (i >= type->element_count)
			return cql__fail(c->err, CQL_INVALID,
					 "Invalid tuple literal for %s: too many elements. Type %s expects %u but got %u", name,
					 cql_type_text(type, c->arena), type->element_count, t->arg_count);
		enum sm_err failed = check_part(a, t->args[i], &type->elements[i]);
		if (failed)
			return failed;
		if (!cql__assignable(a, t->args[i], &type->elements[i]))
			return cql__fail(c->err, CQL_INVALID, "Invalid tuple literal for %s: component %u is not of type %s", name, i,
					 cql_type_text(&type->elements[i], c->arena));
	}
	struct cql_expr *x = new_composite(a, type, name, t->arg_count);
	if (!x)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < t->arg_count; i++) {
		const char *part = arena_printf(c->arena, "%s[%u]", name, i);
		enum sm_err err = cql__term(a, t->args[i], &type->elements[i], part ? part : name, &x->args[i]);
		if (err)
			return err;
	}
	*ret_expr = x;
	return SM_OK;
}

/* What has no marker and no call is worked out once. */
static enum sm_err fold(struct cql_analysis *a, struct cql_expr *x)
{
	struct cql_eval e = {.context = a->c};
	for (uint32_t i = 0; i < x->arg_count; i++)
		if (x->args[i] && x->args[i]->kind != CQL_EXPR_CONST)
			return SM_OK;
	enum sm_err err = cql__eval(&e, x, &x->cell);
	if (!err)
		x->kind = CQL_EXPR_CONST;
	return err;
}

enum sm_err cql__composite_term(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
				struct cql_expr **ret_expr)
{
	enum sm_err err;
	if (t->kind == CQL_TERM_TUPLE)
		err = tuple(a, t, type, name, ret_expr);
	else if (t->kind == CQL_TERM_MAP && t->args[0]->kind == CQL_TERM_COLUMN)
		err = fields(a, t, type, name, ret_expr);
	else if (t->kind == CQL_TERM_MAP)
		err = map(a, t, type, name, ret_expr);
	else
		err = elements(a, t, type, name, ret_expr);
	return err || (*ret_expr)->kind != CQL_EXPR_COMPOSITE ? err : fold(a, *ret_expr);
}

/* ---- values from clients ---- */

static enum sm_err collection_check(const struct store_type *type, struct store_cell value, struct cql_error *err)
{
	const char *what = type->id == STORE_LIST ? "list" : type->id == STORE_SET ? "set" : "map";
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell element;
	const struct store_type *element_type;
	enum sm_err failed = SM_OK;
	if (value.size >= 4 && (int32_t)be32_get(value.data) < 0)
		return cql__fail(err, CQL_INVALID, "The data cannot be deserialized as a %s", what);
	while (!failed && store_value_next(&r, &element, &element_type))
		failed = element.size < 0 ? cql__fail(err, CQL_INVALID, "Null value read when not allowed")
					  : cql__value_check(element_type, element, err);
	if (failed || !r.failed)
		return failed;
	if (r.index == r.count && value.size >= 4 && !r.in.failed && r.count == be32_get(value.data) * (type->id == STORE_MAP ? 2 : 1))
		return cql__fail(err, CQL_INVALID, "Unexpected extraneous bytes after %s value", what);
	return cql__fail(err, CQL_INVALID, "Not enough bytes to read a %s", what);
}

/* Cassandra answers what is wrong in a user type as an error of the server. */
static enum sm_err udt_failed(struct cql_error *err, const char *text)
{
	return cql__fail(err, CQL_SERVER_ERROR, "org.apache.cassandra.serializers.MarshalException: %s", text);
}

static enum sm_err fields_check(const struct store_type *type, struct store_cell value, struct cql_error *err)
{
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell field;
	const struct store_type *field_type;
	struct cql_error why = {0};
	char text[600];
	bool udt = type->id == STORE_UDT;
	while (store_value_next(&r, &field, &field_type)) {
		enum sm_err failed = cql__value_check(field_type, field, &why);
		if (failed && !udt)
			*err = why;
		if (!failed)
			continue;
		snprintf(text, sizeof text, "Failure validating the %uth field %s; %.400s", r.index - 1,
			 udt ? type->fields[r.index - 1] : "", why.text);
		return udt ? udt_failed(err, text) : failed;
	}
	if (!r.failed)
		return SM_OK;
	if (!r.in.failed)
		return udt ? udt_failed(err, "Invalid remaining data after end of UDT value")
			   : cql__fail(err, CQL_INVALID, "Invalid remaining data after end of tuple value");
	snprintf(text, sizeof text, "Not enough bytes to read %uth field %s", r.index - 1, udt ? type->fields[r.index - 1] : "");
	return udt ? udt_failed(err, text) : cql__fail(err, CQL_INVALID, "Not enough bytes to read %uth component", r.index - 1);
}

static enum sm_err vector_check(const struct store_type *type, struct store_cell value, struct cql_error *err)
{
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell element;
	const struct store_type *element_type;
	struct arena arena;
	enum sm_err failed = SM_OK;
	arena_init(&arena, 0);
	const char *name = cql_type_text(type, &arena);
	if (value.size == 0)
		failed = cql__fail(err, CQL_INVALID, "Invalid empty vector value");
	while (!failed && store_value_next(&r, &element, &element_type))
		failed = cql__value_check(element_type, element, err);
	if (!failed && r.in.failed)
		failed = cql__fail(err, CQL_INVALID, "Not enough bytes to read a %s", name);
	else if (!failed && r.failed)
		failed = cql__fail(err, CQL_INVALID, "Unexpected %zu extraneous bytes after %s value", reader_left(&r.in), name);
	arena_done(&arena);
	return failed;
}

enum sm_err cql__composite_check(const struct store_type *type, struct store_cell value, struct cql_error *err)
{
	switch (type->id) {
	case STORE_TUPLE:
	case STORE_UDT: return fields_check(type, value, err);
	case STORE_VECTOR: return vector_check(type, value, err);
	default: return collection_check(type, value, err);
	}
}

/* ---- values ---- */

struct sorting {
	const struct store_type *type;
	uint32_t width;
};

struct entry {
	struct store_cell key, value;
	uint32_t index;
};

static int compare_entries(const void *a, const void *b, void *type)
{
	const struct entry *x = a, *y = b;
	int order = store_compare(type, x->key, y->key);
	return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Elements of a set and keys of a map are ordered. */
static enum sm_err order_check(struct cql_context *c, const struct store_type *type, const struct store_cell *cells, uint32_t count)
{
	for (uint32_t i = 0; i < count; i += type->id == STORE_MAP ? 2 : 1)
		if (!store_decimals_fit(&type->elements[0], cells[i]))
			return cql__fail(c->err, CQL_INVALID, "A decimal in a set or in a map's key has more than %d bytes",
					 STORE_KEY_DECIMAL_BYTES_MAX);
	return SM_OK;
}

/* Elements of a set, or keys and values of a map, in their order; of equal keys the last one stays. 0: no memory. */
static uint32_t sort_unique(struct arena *arena, const struct store_type *type, struct store_cell *cells, uint32_t count)
{
	uint32_t width = type->id == STORE_MAP ? 2 : 1, n = count / width, kept = 0;
	struct entry *entries = arena_alloc(arena, sizeof *entries * (n + 1));
	if (!entries)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		entries[i] = (struct entry){cells[i * width], cells[i * width + width - 1], i};
	qsort_r(entries, n, sizeof *entries, compare_entries, (void *)(uintptr_t)&type->elements[0]);
	for (uint32_t i = 0; i < n; i++) {
		kept -= kept && store_compare(&type->elements[0], entries[i - 1].key, entries[i].key) == 0;
		cells[kept * width] = entries[i].key;
		cells[kept * width + width - 1] = entries[i].value;
		kept++;
	}
	return kept * width;
}

enum sm_err cql__pack(struct cql_context *c, const struct store_type *type, struct store_cell *cells, uint32_t count,
		      struct store_cell *ret_value)
{
	bool collection = type->id >= STORE_LIST && type->id <= STORE_SET;
	if (type->id == STORE_SET || type->id == STORE_MAP) {
		enum sm_err failed = order_check(c, type, cells, count);
		if (failed)
			return failed;
		count = sort_unique(c->arena, type, cells, count);
	}
	struct buf out;
	buf_init(&out);
	if (collection)
		buf_be32(&out, type->id == STORE_MAP ? count / 2 : count);
	bool sizes = type->id != STORE_VECTOR;
	for (uint32_t i = 0; i < count; i++) {
		if (sizes)
			buf_be32(&out, cells[i].size < 0 ? UINT32_MAX : (uint32_t)cells[i].size);
		else if (store_type_fixed_size(&type->elements[0]) < 0)
			store_put_vint(&out, (uint64_t)cells[i].size);
		if (cells[i].size > 0)
			buf_append(&out, cells[i].data, (size_t)cells[i].size);
	}
	bool no_memory = out.failed;
	*ret_value = no_memory ? cql__null() : cql__cell(c->arena, out.data ? out.data + out.start : NULL, buf_size(&out));
	buf_done(&out);
	if (no_memory || !ret_value->data)
		return cql__no_memory(c->err, c->arena);
	if ((uint32_t)ret_value->size > STORE_CELL_BYTES_MAX)
		return cql__fail(c->err, CQL_INVALID, "A value of %d bytes is larger than the limit of %u", ret_value->size,
				 STORE_CELL_BYTES_MAX);
	return SM_OK;
}

enum sm_err cql__eval_composite(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	struct cql_context *c = e->context;
	struct store_cell *cells = arena_alloc(c->arena, sizeof *cells * (x->arg_count + 1));
	bool nulls = x->type->id == STORE_TUPLE || x->type->id == STORE_UDT;
	if (!cells)
		return cql__no_memory(c->err, c->arena);
	for (uint32_t i = 0; i < x->arg_count; i++) {
		cells[i] = cql__null();
		enum sm_err err = x->args[i] ? cql__eval(e, x->args[i], &cells[i]) : SM_OK;
		if (err)
			return err;
		if (cells[i].size == CQL_UNSET && x->type->id == STORE_TUPLE)
			return cql__fail(c->err, CQL_INVALID, "Invalid unset value for tuple field number %u", i);
		if (cells[i].size == CQL_UNSET && (x->type->id == STORE_UDT || x->type->id == STORE_VECTOR))
			cells[i] = cql__null();
		if (cells[i].size == CQL_UNSET) {
			*ret = (struct store_cell){NULL, CQL_UNSET};
			return SM_OK;
		}
		if (cells[i].size < 0 && !nulls)
			return cql__fail(c->err, CQL_INVALID, "null is not supported inside %s",
					 x->type->id == STORE_VECTOR ? "vectors" : "collections");
	}
	return cql__pack(c, x->type, cells, x->arg_count, ret);
}

enum sm_err cql__unpack(struct cql_context *c, const struct store_type *type, struct store_cell value, struct store_cell **ret_cells,
			uint32_t *ret_count)
{
	struct store_value_reader r = store_value_reader(type, value);
	const struct store_type *element;
	uint32_t n = 0;
	struct store_cell *cells = arena_alloc(c->arena, sizeof *cells * (r.count + 1));
	if (!cells)
		return cql__no_memory(c->err, c->arena);
	while (n < r.count && store_value_next(&r, &cells[n], &element))
		n++;
	*ret_cells = cells;
	*ret_count = n;
	return SM_OK;
}

/* A client may send a set or map in any order, and elements twice. */
enum sm_err cql__normal(struct cql_context *c, const struct store_type *type, struct store_cell *value)
{
	struct store_cell *cells;
	uint32_t count;
	if (value->size < 0 || (type->id != STORE_SET && type->id != STORE_MAP))
		return SM_OK;
	enum sm_err err = cql__unpack(c, type, *value, &cells, &count);
	if (!err)
		err = order_check(c, type, cells, count);
	uint32_t width = type->id == STORE_MAP ? 2 : 1, i = width;
	while (!err && i < count && store_compare(&type->elements[0], cells[i - width], cells[i]) < 0)
		i += width;
	return err || i >= count ? err : cql__pack(c, type, cells, count, value);
}
