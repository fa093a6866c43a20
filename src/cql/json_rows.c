/* toJson and fromJson, SELECT JSON and INSERT JSON. */
#include "cql/decimal.h"
#include "cql/json_value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool cql__is_to_json(const char *function)
{
	return strcmp(function, "tojson") == 0 || strcmp(function, "to_json") == 0;
}

bool cql__is_from_json(const char *function)
{
	return strcmp(function, "fromjson") == 0 || strcmp(function, "from_json") == 0;
}

static struct cql_expr *new_expr(struct cql_analysis *a, enum cql_expr_kind kind, const struct store_type *type, const char *name,
				 struct cql_expr *arg)
{
	struct cql_expr *x = cql__new(a, sizeof *x), **args = cql__new(a, sizeof *args);
	if (!x || !args)
		return NULL;
	args[0] = arg;
	*x = (struct cql_expr){.kind = kind, .type = type, .name = name, .args = args, .arg_count = 1};
	return x;
}

static struct store_cell text_cell(struct buf *out, struct arena *arena)
{
	struct store_cell cell = out->failed ? cql__null() : cql__cell(arena, out->data + out->start, buf_size(out));
	buf_done(out);
	return cell;
}

/* ---- toJson ---- */

enum sm_err cql__to_json(struct cql_analysis *a, struct cql_expr *arg, struct cql_expr **ret_expr)
{
	*ret_expr = new_expr(a, CQL_EXPR_TO_JSON, cql__type(STORE_TEXT), "", arg);
	return *ret_expr ? SM_OK : SM_NO_MEMORY;
}

enum sm_err cql__eval_to_json(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	struct store_cell v;
	struct buf out;
	enum sm_err err = cql__eval(e, x->args[0], &v);
	if (err)
		return err;
	if (!cql__has_digits(x->args[0]->type, v))
		return cql__too_many_digits(e->context->err);
	buf_init(&out);
	cql__json_put(x->args[0]->type, v, e->context->arena, &out);
	*ret = text_cell(&out, e->context->arena);
	return ret->data ? SM_OK : cql__no_memory(e->context->err, e->context->arena);
}

/* ---- fromJson ---- */

enum sm_err cql__from_json(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
			   struct cql_expr **ret_expr)
{
	struct cql_expr *arg = NULL;
	const char *arg_name = arena_printf(a->c->arena, "arg0(system.%s)", t->name);
	if (t->arg_count != 1 || !type || !arg_name)
		return cql__fail(a->c->err, CQL_INVALID, "%s() only accepts one argument", t->name);
	const struct store_type *given = cql__literal_type(t->args[0], a->c->arena);
	if (given && given->id != STORE_TEXT)
		return cql__fail(a->c->err, CQL_INVALID,
				 "Function system.%s requires an argument of type text, but found argument %s of type %s", t->name,
				 cql__term_text(t->args[0], a->c->arena), cql_type_text(given, a->c->arena));
	enum sm_err err = cql__term(a, t->args[0], cql__type(STORE_TEXT), arg_name, &arg);
	if (err)
		return err;
	*ret_expr = new_expr(a, CQL_EXPR_FROM_JSON, type, name, arg);
	return *ret_expr ? SM_OK : SM_NO_MEMORY;
}

static enum sm_err function_failed(struct cql_eval *e, const char *text)
{
	struct cql_error *err = e->context->err;
	snprintf(err->keyspace, sizeof err->keyspace, "system");
	snprintf(err->table, sizeof err->table, "fromjson");
	return cql__fail(err, CQL_FUNCTION_FAILURE, "%s", text ? text : "");
}

enum sm_err cql__eval_from_json(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	struct store_cell v;
	struct json_node node;
	const char *why;
	bool plain;
	struct arena *arena = e->context->arena;
	enum sm_err err = cql__eval(e, x->args[0], &v);
	if (err || v.size < 0) {
		*ret = v;
		return err;
	}
	err = cql__json_parse(bytes_of(v.data, (size_t)v.size), arena, &node, &why);
	if (err == SM_SYNTAX)
		return function_failed(
			e, arena_printf(arena, "execution of 'system.fromjson[text]' failed: Could not decode JSON string '%.*s': %s",
					(int)(v.size > 400 ? 400 : v.size), (const char *)v.data, why));
	if (!err)
		err = cql__json_value(&node, x->type, arena, ret, &why, &plain);
	if (err == SM_INVALID)
		return function_failed(e, arena_printf(arena, "org.apache.cassandra.serializers.MarshalException: %s", why));
	return err ? cql__no_memory(e->context->err, arena) : SM_OK;
}

/* ---- INSERT JSON ---- */

static enum sm_err no_map(struct cql_eval *e, struct bytes text, const char *why)
{
	return cql__fail(e->context->err, CQL_INVALID, "Could not decode JSON string as a map: %s. (String was: %.*s)", why,
			 (int)(text.size > 400 ? 400 : text.size), (const char *)text.data);
}

const char *cql__json_name(struct bytes name, struct arena *arena)
{
	bool quoted = name.size >= 2 && name.data[0] == '"' && name.data[name.size - 1] == '"';
	struct bytes letters = quoted ? bytes_of(name.data + 1, name.size - 2) : name;
	struct buf out;
	buf_init(&out);
	for (size_t i = 0; i < letters.size; i++)
		if (letters.data[i])
			buf_u8(&out, quoted ? letters.data[i] : (uint8_t)tolower(letters.data[i]));
		else
			buf_append_str(&out, "\\u0000");
	buf_u8(&out, 0);
	const char *text = out.failed ? NULL : arena_copy(arena, out.data + out.start, buf_size(&out));
	buf_done(&out);
	return text;
}

static enum sm_err set_column(struct cql_eval *e, const struct json_node *node, const struct store_column *column, struct store_cell *ret)
{
	struct cql_error *err = e->context->err;
	const char *why;
	bool plain = false;
	enum sm_err failed = cql__json_value(node, &column->type, e->context->arena, ret, &why, &plain);
	if (failed == SM_INVALID && plain)
		return cql__fail(err, CQL_INVALID, "%s", why);
	if (failed == SM_INVALID)
		return cql__fail(err, CQL_INVALID, "Error decoding JSON value for %s: %s", column->name, why);
	return failed ? cql__no_memory(err, e->context->arena) : SM_OK;
}

/* The values of an object, each column's last one, in the columns' order; then names that are none. */
static enum sm_err set_columns(struct cql_eval *e, const struct json_node *object, struct store_cell *cells)
{
	struct arena *arena = e->context->arena;
	uint32_t *last = arena_alloc(arena, sizeof *last * (e->table->column_count + 1u)); /* its number + 1 */
	const char *unknown = NULL;
	if (!last)
		return cql__no_memory(e->context->err, arena);
	for (uint32_t i = 0; i < object->count; i++) {
		const char *name = cql__json_name(object->names[i], arena);
		if (!name)
			return cql__no_memory(e->context->err, arena);
		const struct store_column *column = json_has_zero(object->names[i]) ? NULL : store_find_column(e->table, name);
		if (column)
			last[column - e->table->columns] = i + 1;
		else if (!unknown)
			unknown = name;
	}
	for (uint16_t i = 0; i < e->table->column_count; i++) {
		enum sm_err err = last[i] ? set_column(e, &object->items[last[i] - 1], &e->table->columns[i], &cells[i]) : SM_OK;
		if (err)
			return err;
	}
	return unknown ? cql__fail(e->context->err, CQL_INVALID, "JSON values map contains unrecognized column: %.200s", unknown) : SM_OK;
}

static enum sm_err document(struct cql_eval *e, const struct cql_expr *json, struct json_node *ret_node)
{
	struct store_cell v;
	const char *why = "";
	enum sm_err err = cql__eval(e, json, &v);
	if (err)
		return err;
	if (v.size == -1)
		return cql__fail(e->context->err, CQL_INVALID, "Got null for INSERT JSON values");
	struct bytes text = bytes_of(v.data, v.size < 0 ? 0 : (size_t)v.size);
	err = cql__json_parse(text, e->context->arena, ret_node, &why);
	if (err == SM_SYNTAX)
		return no_map(e, text, why);
	if (err)
		return cql__no_memory(e->context->err, e->context->arena);
	if (ret_node->kind == JSON_NODE_NULL)
		return cql__fail(e->context->err, CQL_INVALID, "Got null for INSERT JSON values");
	if (ret_node->kind == JSON_NODE_OBJECT)
		return SM_OK;
	static const char *const tokens[] = {"",
					     "Boolean value (token `JsonToken.VALUE_TRUE`)",
					     "Integer value (token `JsonToken.VALUE_NUMBER_INT`)",
					     "Floating-point value (token `JsonToken.VALUE_NUMBER_FLOAT`)",
					     "String value (token `JsonToken.VALUE_STRING`)",
					     "Array value (token `JsonToken.START_ARRAY`)"};
	why = arena_printf(
		e->context->arena,
		"com.fasterxml.jackson.databind.exc.MismatchedInputException: Cannot deserialize value of type "
		"`java.util.LinkedHashMap<java.lang.Object,java.lang.Object>` from %s\n at [Source: (String)\"%.*s\"; line: 1, column: 1]",
		tokens[ret_node->kind], (int)(text.size > 400 ? 400 : text.size), (const char *)text.data);
	return no_map(e, text, why ? why : "");
}

enum sm_err cql__json_row(struct cql_eval *e, const struct cql_modify_plan *plan, struct store_cell **ret_cells)
{
	uint16_t count = plan->table->column_count;
	struct store_cell *cells = arena_alloc(e->context->arena, sizeof *cells * (count + 1u));
	struct json_node object;
	if (!cells)
		return cql__no_memory(e->context->err, e->context->arena);
	for (uint16_t i = 0; i < count; i++)
		cells[i] = (struct store_cell){NULL, plan->json_unset ? CQL_UNSET : -1};
	enum sm_err err = document(e, plan->json, &object);
	if (!err)
		err = set_columns(e, &object, cells);
	*ret_cells = cells;
	return err;
}

/* ---- SELECT JSON ---- */

struct store_cell cql__json_object(const struct cql_select_plan *plan, const struct store_cell *cells, struct arena *arena)
{
	struct buf out;
	buf_init(&out);
	buf_u8(&out, '{');
	for (uint32_t i = 0; i < plan->value_count; i++) {
		if (i)
			buf_append_str(&out, ", ");
		cql__json_put_name(plan->value_names[i], &out);
		buf_append_str(&out, ": ");
		cql__json_put(plan->exprs[i]->type, cells[i], arena, &out);
	}
	buf_u8(&out, '}');
	return text_cell(&out, arena);
}
