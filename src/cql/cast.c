/* CAST(x AS type): numbers to numbers and texts, dates, times, addresses and UUIDs to texts and to each other, as Java converts them. */
#include "cql/arithmetic.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- which casts there are ---- */

static bool is_target(enum store_type_id id)
{
	return cql__is_number(id) || id == STORE_TEXT || id == STORE_ASCII || id == STORE_DATE || id == STORE_TIMESTAMP;
}

static bool is_castable(enum store_type_id from, enum store_type_id to)
{
	if (cql__is_number(to))
		return cql__is_number(from) && to != STORE_COUNTER;
	if (to == STORE_DATE)
		return from == STORE_TIMESTAMP || from == STORE_TIMEUUID;
	if (to == STORE_TIMESTAMP)
		return from == STORE_DATE || from == STORE_TIMEUUID;
	switch (from) {
	case STORE_BOOLEAN:
	case STORE_DATE:
	case STORE_TIME:
	case STORE_TIMESTAMP:
	case STORE_TIMEUUID:
	case STORE_UUID:
	case STORE_INET: return true;
	case STORE_ASCII: return to == STORE_TEXT;
	default: return cql__is_number(from);
	}
}

static enum sm_err no_signature(struct cql_analysis *a, const char *to, enum store_type_id id)
{
	static const enum store_type_id froms[] = {STORE_TINYINT,   STORE_SMALLINT, STORE_INT,     STORE_BIGINT,  STORE_FLOAT, STORE_DOUBLE,
						   STORE_DECIMAL,   STORE_VARINT,   STORE_COUNTER, STORE_BOOLEAN, STORE_DATE,  STORE_TIME,
						   STORE_TIMESTAMP, STORE_TIMEUUID, STORE_UUID,    STORE_INET,    STORE_ASCII};
	struct arena *arena = a->c->arena;
	const char *known = "";
	for (size_t i = 0; known && i < sizeof froms / sizeof froms[0]; i++)
		if (froms[i] != id && is_castable(froms[i], id))
			known = arena_printf(arena, "%s%ssystem.cast_as_%s : (%s) -> %s", known, *known ? ", " : "", to,
					     cql_type_text(cql__type(froms[i]), arena), to);
	return cql__fail(a->c->err, CQL_INVALID,
			 "Invalid call to function system.cast_as_%s, none of its type signatures match (known type signatures: %s)", to,
			 known ? known : "");
}

enum sm_err cql__cast(struct cql_analysis *a, const struct cql_term *t, struct cql_expr *arg, struct cql_expr **ret_expr)
{
	struct store_type to;
	enum sm_err err = cql__type_resolve(a->c, a->c->keyspace, t->type, &to);
	if (err)
		return err;
	if (!is_target(to.id) || strcmp(t->type->name, "varchar") == 0)
		return cql__fail(a->c->err, CQL_INVALID, "%s cannot be cast to %s", cql__term_text(t->args[0], a->c->arena), t->type->name);
	if (to.id == arg->type->id) {
		*ret_expr = arg;
		return SM_OK;
	}
	if (!is_castable(arg->type->id, to.id))
		return no_signature(a, t->type->name, to.id);
	struct cql_expr *x = cql__new(a, sizeof *x);
	if (!x || !(x->args = cql__new(a, sizeof *x->args)))
		return SM_NO_MEMORY;
	x->kind = CQL_EXPR_CAST;
	x->type = cql__type(to.id);
	x->name = "";
	x->args[0] = arg;
	x->arg_count = 1;
	*ret_expr = x;
	return SM_OK;
}

/* ---- numbers ---- */

static int64_t whole_of(enum store_type_id from, enum store_type_id to, struct store_cell v, struct cql_calculation *c, struct arena *arena)
{
	if (from == STORE_FLOAT || from == STORE_DOUBLE) {
		bool wide = to == STORE_BIGINT || to == STORE_VARINT;
		double d = cql__number_double(from, v, arena);
		return cql__saturated(d, wide ? INT64_MIN : INT32_MIN, wide ? INT64_MAX : INT32_MAX);
	}
	if (from == STORE_VARINT || from == STORE_DECIMAL)
		return cql__number_long(c, cql__number_of(c, from, v, arena));
	return cql__whole_of(v);
}

static struct store_cell decimal_of(enum store_type_id from, struct store_cell v, struct cql_calculation *c, struct arena *arena)
{
	struct store_cell out = cql__null();
	if (from == STORE_FLOAT || from == STORE_DOUBLE) {
		const char *text = from == STORE_FLOAT ? cql__java_float(cql__float_of(v), arena)
						       : cql__java_double(cql__double_of(v), arena);
		return cql__decimal_of_text(bytes_str(text), arena, &out) == SM_OK ? out : cql__null();
	}
	if (from == STORE_VARINT)
		return cql__number_decimal(c, cql__number_of_varint(c, v));
	return cql__number_decimal(c, cql__number_of_long(c, whole_of(from, STORE_BIGINT, v, c, arena)));
}

static enum sm_err to_number(struct cql_eval *e, enum store_type_id from, enum store_type_id to, struct store_cell v,
			     struct store_cell *ret)
{
	struct arena *arena = e->context->arena;
	struct cql_calculation *c = cql__calculation_new(arena);
	if (!c)
		return cql__no_memory(e->context->err, arena);
	if (to == STORE_DOUBLE)
		*ret = cql__cell_double(arena, cql__number_double(from, v, arena));
	else if (to == STORE_FLOAT)
		*ret = cql__cell_float(arena, (float)cql__number_double(from, v, arena));
	else if (to == STORE_DECIMAL)
		*ret = decimal_of(from, v, c, arena);
	else if (to == STORE_VARINT && from == STORE_DECIMAL)
		*ret = cql__number_varint(c, cql__number_of_decimal(c, v));
	else if (to == STORE_VARINT)
		*ret = cql__number_varint(c, cql__number_of_long(c, whole_of(from, to, v, c, arena)));
	else
		*ret = cql__cell_whole(arena, to, whole_of(from, to, v, c, arena));
	enum sm_err err = cql__calculation_end(c, e->context->err);
	if (err || ret->data)
		return err;
	if (to == STORE_DECIMAL && !isfinite(cql__number_double(from, v, arena)))
		return cql__fail(
			e->context->err, CQL_SERVER_ERROR,
			"java.lang.NumberFormatException: Character %c is neither a decimal digit number, decimal point, nor \"e\" "
			"notation exponential mark.",
			isnan(cql__number_double(from, v, arena)) ? 'N' : 'I');
	return cql__no_memory(e->context->err, arena);
}

/* ---- the rest ---- */

static struct store_cell to_time(enum store_type_id from, enum store_type_id to, struct store_cell v, struct arena *arena)
{
	int64_t ms = 0;
	if (!cql__ms_of(from, v, &ms))
		return cql__null();
	return to == STORE_DATE ? cql__date_of_ms(arena, ms) : cql__cell_long(arena, ms);
}

enum sm_err cql__eval_cast(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	struct store_cell v;
	enum store_type_id from = x->args[0]->type->id, to = x->type->id;
	enum sm_err err = cql__eval(e, x->args[0], &v);
	if (err)
		return err;
	if (v.size < 0 || (v.size == 0 && from != STORE_ASCII)) {
		*ret = cql__null();
		return SM_OK;
	}
	assert(v.size == 0 || v.data != NULL);
	bool by_text = to == STORE_TEXT || to == STORE_ASCII || (from == STORE_DECIMAL && (to == STORE_DOUBLE || to == STORE_FLOAT));
	if (by_text && !cql__has_digits(x->args[0]->type, v))
		return cql__too_many_digits(e->context->err);
	if (cql__is_number(to))
		return to_number(e, from, to, v, ret);
	if (to == STORE_DATE || to == STORE_TIMESTAMP)
		*ret = to_time(from, to, v, e->context->arena);
	else if (from == STORE_ASCII)
		*ret = v;
	else
		*ret = cql__cell_text(e->context->arena, cql__java_text(x->args[0]->type, v, false, e->context->arena));
	return ret->data ? SM_OK : cql__no_memory(e->context->err, e->context->arena);
}
