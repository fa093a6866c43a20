/* Functions and aggregates, and the evaluation of expressions.
 * A function's entry names its types; the same name may stand several times with others. Names come in Cassandra's old spelling and, where
 * it has one, its new spelling with underscores. */
#include "cql/arithmetic.h"
#include "cql/json_value.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct store_type *cql__type(enum store_type_id id)
{
	static const struct store_type types[] = {
		{.id = STORE_ASCII},   {.id = STORE_BIGINT}, {.id = STORE_BLOB},     {.id = STORE_BOOLEAN},  {.id = STORE_COUNTER},
		{.id = STORE_DECIMAL}, {.id = STORE_DOUBLE}, {.id = STORE_FLOAT},    {.id = STORE_INT},      {.id = STORE_TIMESTAMP},
		{.id = STORE_UUID},    {.id = STORE_TEXT},   {.id = STORE_VARINT},   {.id = STORE_TIMEUUID}, {.id = STORE_INET},
		{.id = STORE_DATE},    {.id = STORE_TIME},   {.id = STORE_SMALLINT}, {.id = STORE_TINYINT},  {.id = STORE_DURATION},
	};
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (types[i].id == id)
			return &types[i];
	return NULL;
}

/* ---- scalar functions ---- */

#define MS_OF_UUID_EPOCH 12219292800000 /* 1582-10-15 before 1970, in ms */

static int64_t now_ms(struct cql_eval *e)
{
	return clock_wall_ms(e->context->engine->clock);
}

static enum sm_err call_now(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args, struct store_cell *ret)
{
	struct uuid u;
	uuid_time(e->context->engine->clock, &u);
	*ret = cql__cell(e->context->arena, u.bytes, 16);
	return SM_OK;
}

static enum sm_err call_uuid(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args, struct store_cell *ret)
{
	struct uuid u;
	uuid_random(&u);
	*ret = cql__cell(e->context->arena, u.bytes, 16);
	return SM_OK;
}

static enum sm_err call_current(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args, struct store_cell *ret)
{
	int64_t ms = now_ms(e);
	if (f->result == STORE_DATE)
		*ret = cql__date_of_ms(e->context->arena, ms);
	else if (f->result == STORE_TIME)
		*ret = cql__cell_long(e->context->arena, (ms - cql__floor_div(ms, CQL_DAY_MS) * CQL_DAY_MS) * 1000000);
	else
		*ret = cql__cell_long(e->context->arena, ms);
	return SM_OK;
}

static enum sm_err call_to_time(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args, struct store_cell *ret)
{
	int64_t ms;
	if (!cql__ms_of(f->args[0], args[0], &ms))
		*ret = cql__null();
	else
		*ret = f->result == STORE_DATE ? cql__date_of_ms(e->context->arena, ms) : cql__cell_long(e->context->arena, ms);
	return SM_OK;
}

/* The least and the greatest timeuuid of a millisecond, as far as Cassandra's order goes: node and clock sequence are signed bytes. */
static enum sm_err call_bound_timeuuid(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args,
				       struct store_cell *ret)
{
	int64_t ms;
	bool max = strstr(f->name, "max") != NULL;
	if (!cql__ms_of(STORE_TIMESTAMP, args[0], &ms)) {
		*ret = cql__null();
		return SM_OK;
	}
	uint64_t ticks = ((uint64_t)ms + MS_OF_UUID_EPOCH) * 10000 + (max ? 9999 : 0);
	uint8_t u[16];
	be32_put(u, (uint32_t)ticks);
	be16_put(u + 4, (uint16_t)(ticks >> 32));
	be16_put(u + 6, (uint16_t)(0x1000 | ((ticks >> 48) & 0x0fff)));
	memset(u + 8, max ? 0x7f : 0x80, 8);
	*ret = cql__cell(e->context->arena, u, 16);
	return SM_OK;
}

static enum sm_err call_as_is(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args, struct store_cell *ret)
{
	*ret = args[0];
	if (f->result == STORE_BLOB || args[0].size < 0)
		return SM_OK;
	struct cql_error why;
	if (cql__value_check(cql__type(f->result), args[0], &why) == SM_OK)
		return SM_OK;
	struct store_cell shown = {args[0].data, args[0].size > 400 ? 400 : args[0].size};
	return cql__fail(e->context->err, CQL_INVALID,
			 "In call to function system.%s, value %s%s is not a valid binary representation for type %s", f->name,
			 cql_render(cql__type(STORE_BLOB), shown, e->context->arena), args[0].size > 400 ? "..." : "",
			 cql_type_text(cql__type(f->result), e->context->arena));
}

static const struct cql_function functions[] = {
	{"now", STORE_TIMEUUID, {0}, 0, call_now, 0},
	{"currenttimeuuid", STORE_TIMEUUID, {0}, 0, call_now, 0},
	{"current_timeuuid", STORE_TIMEUUID, {0}, 0, call_now, 0},
	{"uuid", STORE_UUID, {0}, 0, call_uuid, 0},
	{"currenttimestamp", STORE_TIMESTAMP, {0}, 0, call_current, 0},
	{"current_timestamp", STORE_TIMESTAMP, {0}, 0, call_current, 0},
	{"currentdate", STORE_DATE, {0}, 0, call_current, 0},
	{"current_date", STORE_DATE, {0}, 0, call_current, 0},
	{"currenttime", STORE_TIME, {0}, 0, call_current, 0},
	{"current_time", STORE_TIME, {0}, 0, call_current, 0},
	{"totimestamp", STORE_TIMESTAMP, {STORE_TIMEUUID}, 1, call_to_time, 0},
	{"totimestamp", STORE_TIMESTAMP, {STORE_DATE}, 1, call_to_time, 0},
	{"to_timestamp", STORE_TIMESTAMP, {STORE_TIMEUUID}, 1, call_to_time, 0},
	{"to_timestamp", STORE_TIMESTAMP, {STORE_DATE}, 1, call_to_time, 0},
	{"todate", STORE_DATE, {STORE_TIMEUUID}, 1, call_to_time, 0},
	{"todate", STORE_DATE, {STORE_TIMESTAMP}, 1, call_to_time, 0},
	{"to_date", STORE_DATE, {STORE_TIMEUUID}, 1, call_to_time, 0},
	{"to_date", STORE_DATE, {STORE_TIMESTAMP}, 1, call_to_time, 0},
	{"tounixtimestamp", STORE_BIGINT, {STORE_TIMEUUID}, 1, call_to_time, 0},
	{"tounixtimestamp", STORE_BIGINT, {STORE_TIMESTAMP}, 1, call_to_time, 0},
	{"tounixtimestamp", STORE_BIGINT, {STORE_DATE}, 1, call_to_time, 0},
	{"to_unix_timestamp", STORE_BIGINT, {STORE_TIMEUUID}, 1, call_to_time, 0},
	{"to_unix_timestamp", STORE_BIGINT, {STORE_TIMESTAMP}, 1, call_to_time, 0},
	{"to_unix_timestamp", STORE_BIGINT, {STORE_DATE}, 1, call_to_time, 0},
	{"mintimeuuid", STORE_TIMEUUID, {STORE_TIMESTAMP}, 1, call_bound_timeuuid, 0},
	{"min_timeuuid", STORE_TIMEUUID, {STORE_TIMESTAMP}, 1, call_bound_timeuuid, 0},
	{"maxtimeuuid", STORE_TIMEUUID, {STORE_TIMESTAMP}, 1, call_bound_timeuuid, 0},
	{"max_timeuuid", STORE_TIMEUUID, {STORE_TIMESTAMP}, 1, call_bound_timeuuid, 0},
#define BLOB_PAIR(name, type)                                                                                           \
	{name "asblob", STORE_BLOB, {type}, 1, call_as_is, 0}, {name "_as_blob", STORE_BLOB, {type}, 1, call_as_is, 0}, \
		{"blobas" name, type, {STORE_BLOB}, 1, call_as_is, 0},                                                  \
	{                                                                                                               \
		"blob_as_" name, type, {STORE_BLOB}, 1, call_as_is, 0                                                   \
	}
	BLOB_PAIR("ascii", STORE_ASCII),
	BLOB_PAIR("bigint", STORE_BIGINT),
	BLOB_PAIR("boolean", STORE_BOOLEAN),
	BLOB_PAIR("date", STORE_DATE),
	BLOB_PAIR("decimal", STORE_DECIMAL),
	BLOB_PAIR("double", STORE_DOUBLE),
	BLOB_PAIR("duration", STORE_DURATION),
	BLOB_PAIR("float", STORE_FLOAT),
	BLOB_PAIR("inet", STORE_INET),
	BLOB_PAIR("int", STORE_INT),
	BLOB_PAIR("smallint", STORE_SMALLINT),
	BLOB_PAIR("text", STORE_TEXT),
	BLOB_PAIR("varchar", STORE_TEXT),
	BLOB_PAIR("time", STORE_TIME),
	BLOB_PAIR("timestamp", STORE_TIMESTAMP),
	BLOB_PAIR("timeuuid", STORE_TIMEUUID),
	BLOB_PAIR("tinyint", STORE_TINYINT),
	BLOB_PAIR("uuid", STORE_UUID),
	BLOB_PAIR("varint", STORE_VARINT),
#undef BLOB_PAIR
#define NUMERIC(name, kind)                                                                                       \
	{name, STORE_DOUBLE, {STORE_DOUBLE}, 1, NULL, kind}, {name, STORE_BIGINT, {STORE_BIGINT}, 1, NULL, kind}, \
		{name, STORE_INT, {STORE_INT}, 1, NULL, kind}, {name, STORE_FLOAT, {STORE_FLOAT}, 1, NULL, kind}, \
		{name, STORE_SMALLINT, {STORE_SMALLINT}, 1, NULL, kind},                                          \
	{                                                                                                         \
		name, STORE_TINYINT, {STORE_TINYINT}, 1, NULL, kind                                               \
	}
	NUMERIC("sum", CQL_SUM),
	NUMERIC("avg", CQL_AVG),
	{"sum", STORE_COUNTER, {STORE_COUNTER}, 1, NULL, CQL_SUM},
	{"avg", STORE_COUNTER, {STORE_COUNTER}, 1, NULL, CQL_AVG},
	{"sum", STORE_VARINT, {STORE_VARINT}, 1, NULL, CQL_SUM},
	{"avg", STORE_VARINT, {STORE_VARINT}, 1, NULL, CQL_AVG},
	{"sum", STORE_DECIMAL, {STORE_DECIMAL}, 1, NULL, CQL_SUM},
	{"avg", STORE_DECIMAL, {STORE_DECIMAL}, 1, NULL, CQL_AVG},
#undef NUMERIC
};

bool cql__type_accepts(enum store_type_id receiver, enum store_type_id given)
{
	return receiver == given || (receiver == STORE_UUID && given == STORE_TIMEUUID) ||
	       (receiver == STORE_TEXT && given == STORE_ASCII) || receiver == STORE_BLOB;
}

static enum sm_err no_signature(struct cql_context *c, const char *name)
{
	static const enum store_type_id numbers[] = {STORE_FLOAT,  STORE_BIGINT,  STORE_SMALLINT, STORE_VARINT, STORE_TINYINT,
						     STORE_DOUBLE, STORE_DECIMAL, STORE_INT,      STORE_COUNTER};
	struct buf known;
	buf_init(&known);
	for (size_t i = 0; cql__is_math(name) && i < sizeof numbers / sizeof *numbers; i++) {
		const char *type = cql_type_text(cql__type(numbers[i]), c->arena);
		buf_printf(&known, "%ssystem.%s : (%s) -> %s", i ? ", " : "", name, type, type);
	}
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
		const struct cql_function *f = &functions[i];
		if (strcmp(f->name, name) != 0)
			continue;
		buf_printf(&known, "%ssystem.%s : (", buf_size(&known) ? ", " : "", name);
		for (int k = 0; k < f->arg_count; k++)
			buf_printf(&known, "%s%s", k ? ", " : "", cql_type_text(cql__type(f->args[k]), c->arena));
		buf_printf(&known, ") -> %s", cql_type_text(cql__type(f->result), c->arena));
	}
	enum sm_err err = cql__fail(c->err, CQL_INVALID,
				    "Invalid call to function %s, none of its type signatures match (known type signatures: %.*s)", name,
				    (int)buf_size(&known), known.data ? (const char *)known.data + known.start : "");
	buf_done(&known);
	return err;
}

/* A function of one signature says what is wrong with the call. */
static enum sm_err only_signature(struct cql_context *c, const char *name, const struct store_type *const *types, uint32_t count)
{
	const struct cql_function *only = NULL;
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
		if (strcmp(functions[i].name, name) != 0)
			continue;
		if (only)
			return no_signature(c, name);
		only = &functions[i];
	}
	if (!only)
		return no_signature(c, name);
	if (only->arg_count != count)
		return cql__fail(c->err, CQL_INVALID,
				 "Invalid number of arguments in call to function system.%s: %u required but %u provided", name,
				 only->arg_count, count);
	for (uint32_t i = 0; i < count; i++)
		if (types[i] && types[i]->id != only->args[i])
			return cql__fail(
				c->err, CQL_INVALID, "Type error: %s cannot be passed as argument %u of function system.%s of type %s",
				c->argument_texts ? c->argument_texts[i] : "?", i, name, cql_type_text(cql__type(only->args[i]), c->arena));
	return no_signature(c, name);
}

static const struct cql_function *any_type(struct cql_context *c, const char *name, enum cql_aggregate kind, const struct store_type *type)
{
	struct cql_function *f = arena_alloc(c->arena, sizeof *f);
	if (f)
		*f = (struct cql_function){.name = name,
					   .result = kind == CQL_COUNT ? STORE_BIGINT : type->id,
					   .args = {type ? type->id : STORE_BLOB},
					   .arg_count = 1,
					   .aggregate = kind,
					   .type = kind == CQL_COUNT ? NULL : type};
	return f;
}

enum sm_err cql__function_find(struct cql_context *c, const char *name, const struct store_type *const *types, uint32_t count,
			       const struct cql_function **ret_function)
{
	bool known = false;
	*ret_function = NULL;
	if (strcmp(name, "min") == 0 || strcmp(name, "max") == 0 || strcmp(name, "count") == 0) {
		if (count != 1 || (name[0] == 'm' && !types[0]))
			return no_signature(c, name);
		enum cql_aggregate kind = name[0] == 'c' ? CQL_COUNT : name[1] == 'i' ? CQL_MIN : CQL_MAX;
		*ret_function = any_type(c, name, kind, types[0]);
		return *ret_function ? SM_OK : cql__no_memory(c->err, c->arena);
	}
	if (cql__is_math(name) && count == 1 && types[0]) {
		*ret_function = cql__math_function(c, name, types[0]);
		return *ret_function ? SM_OK : no_signature(c, name);
	}
	if (cql__is_math(name) && count == 1)
		return cql__fail(c->err, CQL_INVALID, "Ambiguous call to function %s: use type hint to disambiguate, example '(int) ?'",
				 name);
	known = cql__is_math(name);
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
		const struct cql_function *f = &functions[i];
		if (strcmp(f->name, name) != 0)
			continue;
		known = true;
		bool fits = f->arg_count == count;
		for (uint32_t k = 0; fits && k < count; k++)
			fits = !types[k] || types[k]->id == f->args[k];
		if (fits) {
			*ret_function = f;
			return SM_OK;
		}
	}
	if (!known)
		return cql__fail(c->err, CQL_INVALID, "Unknown function '%s'", name);
	return only_signature(c, name, types, count);
}

/* ---- evaluation ---- */

static enum sm_err eval_call(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	struct store_cell args[2] = {{NULL, -1}, {NULL, -1}};
	for (uint32_t i = 0; i < x->arg_count; i++) {
		enum sm_err err = cql__eval(e, x->args[i], &args[i]);
		if (err)
			return err;
		if (args[i].size == CQL_UNSET)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid unset value for argument in call to function %s",
					 x->function->name);
		if (args[i].size < 0) { /* all of them return null on null */
			*ret = cql__null();
			return SM_OK;
		}
	}
	enum sm_err err = x->function->call(e, x->function, args, ret);
	if (!err && ret->size >= 0 && !ret->data)
		err = cql__no_memory(e->context->err, e->context->arena);
	return err;
}

static enum sm_err eval_token(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	if (x->arg_count == 0) {
		*ret = cql__cell_long(e->context->arena, e->row->token);
		return SM_OK;
	}
	struct store_cell *key = arena_alloc(e->context->arena, sizeof *key * x->arg_count);
	if (!key)
		return cql__no_memory(e->context->err, e->context->arena);
	for (uint32_t i = 0; i < x->arg_count; i++) {
		enum sm_err err = cql__eval(e, x->args[i], &key[i]);
		if (err)
			return err;
		if (key[i].size < 0)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid null value in condition for column %s", x->args[i]->name);
	}
	*ret = cql__cell_long(e->context->arena, store_token(e->table, key));
	return SM_OK;
}

enum sm_err cql__eval(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	switch (x->kind) {
	case CQL_EXPR_CONST: *ret = x->cell; return SM_OK;
	case CQL_EXPR_MARKER:
		*ret = x->index < e->value_count ? e->values[x->index] : (struct store_cell){NULL, CQL_UNSET};
		return cql__normal(e->context, x->type, ret);
	case CQL_EXPR_COLUMN: *ret = e->row->cells[x->index]; return SM_OK;
	case CQL_EXPR_WRITETIME:
		*ret = e->row->timestamps_us && e->row->cells[x->index].size >= 0 && e->row->timestamps_us[x->index] != INT64_MIN
			       ? cql__cell_long(e->context->arena, e->row->timestamps_us[x->index])
			       : cql__null();
		return SM_OK;
	case CQL_EXPR_TTL:
		*ret = e->row->ttls_s && e->row->cells[x->index].size >= 0 && e->row->ttls_s[x->index] > 0
			       ? cql__cell_int(e->context->arena, e->row->ttls_s[x->index])
			       : cql__null();
		return SM_OK;
	case CQL_EXPR_TOKEN: return eval_token(e, x, ret);
	case CQL_EXPR_CALL: return eval_call(e, x, ret);
	case CQL_EXPR_COMPOSITE: return cql__eval_composite(e, x, ret);
	case CQL_EXPR_ELEMENT:
	case CQL_EXPR_SLICE:
	case CQL_EXPR_FIELD:
	case CQL_EXPR_ELEMENT_TIMES: return cql__eval_part(e, x, ret);
	case CQL_EXPR_AGGREGATE: return cql__aggregate_value(e, x, &e->aggregates[x->index], ret);
	case CQL_EXPR_ARITHMETIC: return cql__eval_arithmetic(e, x, ret);
	case CQL_EXPR_CAST: return cql__eval_cast(e, x, ret);
	case CQL_EXPR_TO_JSON: return cql__eval_to_json(e, x, ret);
	case CQL_EXPR_FROM_JSON: return cql__eval_from_json(e, x, ret);
	case CQL_EXPR_JSON_FIELD: *ret = e->json[x->index]; return SM_OK;
	}
	return cql__fail(e->context->err, CQL_SERVER_ERROR, "unknown expression");
}
