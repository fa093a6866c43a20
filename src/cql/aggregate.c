/* count, min, max, sum and avg over the rows of a group. Whole numbers are summed in 128 bits and wrap to the column's type as in
 * Cassandra; avg of whole numbers truncates. Floats are summed with Kahan's compensation; varint and decimal exactly. */
#include "cql/arithmetic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_real(struct cql_aggregate_state *s, double v)
{
	double y = v - s->compensation, t = s->real + y;
	s->compensation = (t - s->real) - y;
	s->real = t;
	s->plain += v;
}

static double real_sum(const struct cql_aggregate_state *s)
{
	double sum = s->real + s->compensation;
	return isnan(sum) && isinf(s->plain) ? s->plain : sum;
}

/* The sum so far, or the least or largest, is a cell of its own. */
static enum sm_err keep(struct cql_eval *e, struct cql_aggregate_state *state, struct store_cell v)
{
	uint8_t *copy = v.size < 0 ? NULL : realloc((void *)(uintptr_t)state->best.data, v.size ? (size_t)v.size : 1);
	if (!copy)
		return cql__fail_store(e->context->err, SM_NO_MEMORY, NULL);
	if (v.size)
		memcpy(copy, v.data, (size_t)v.size);
	state->best = (struct store_cell){copy, v.size};
	return SM_OK;
}

static enum sm_err add_big(struct cql_eval *e, enum store_type_id type, struct store_cell v, struct cql_aggregate_state *state)
{
	struct arena *arena = e->context->arena;
	if (state->count == 1)
		return keep(e, state, v);
	struct cql_calculation *c = cql__calculation_new(arena);
	if (!c)
		return cql__no_memory(e->context->err, arena);
	struct cql_number *n = cql__number_add(c, cql__number_of(c, type, state->best, arena), cql__number_of(c, type, v, arena), false);
	struct store_cell sum = type == STORE_VARINT ? cql__number_varint(c, n) : cql__number_decimal(c, n);
	enum sm_err err = cql__calculation_end(c, e->context->err);
	return err ? err : keep(e, state, sum);
}

static enum sm_err big_result(struct cql_eval *e, enum store_type_id type, const struct cql_aggregate_state *s, bool average,
			      struct store_cell *ret)
{
	struct arena *arena = e->context->arena;
	struct cql_calculation *c = cql__calculation_new(arena);
	if (!c)
		return cql__no_memory(e->context->err, arena);
	struct cql_number *n = s->count ? cql__number_of(c, type, s->best, arena) : cql__number_of_long(c, 0);
	if (average && s->count)
		n = type == STORE_DECIMAL ? cql__number_average(c, n, (int64_t)s->count)
					  : cql__number_divide_whole(c, n, cql__number_of_long(c, (int64_t)s->count));
	*ret = type == STORE_VARINT ? cql__number_varint(c, n) : cql__number_decimal(c, n);
	return cql__calculation_end(c, e->context->err);
}

enum sm_err cql__aggregate_add(struct cql_eval *e, const struct cql_expr *x, struct cql_aggregate_state *state)
{
	struct store_cell v = {NULL, 0};
	if (!x->star) {
		enum sm_err err = cql__eval(e, x->args[0], &v);
		if (err)
			return err;
		if (v.size < 0)
			return SM_OK;
	}
	enum cql_aggregate kind = x->function ? x->function->aggregate : CQL_COUNT;
	if ((kind == CQL_SUM || kind == CQL_AVG) && v.size == 0)
		return SM_OK;
	state->count++;
	if (kind == CQL_SUM || kind == CQL_AVG) {
		if (x->type->id == STORE_DOUBLE || x->type->id == STORE_FLOAT)
			add_real(state, cql__number_double(x->type->id, v, e->context->arena));
		else if (x->type->id == STORE_VARINT || x->type->id == STORE_DECIMAL)
			return add_big(e, x->type->id, v, state);
		else
			state->sum += cql__whole_of(v);
	} else if (kind == CQL_MIN || kind == CQL_MAX) {
		int order = state->count == 1 ? 0 : store_compare(x->type, v, state->best);
		if (state->count > 1 && (kind == CQL_MIN ? order >= 0 : order <= 0))
			return SM_OK;
		return keep(e, state, v);
	}
	return SM_OK;
}

static struct store_cell number(struct arena *arena, enum store_type_id type, const struct cql_aggregate_state *s, bool average)
{
	uint8_t out[8];
	if (type == STORE_DOUBLE || type == STORE_FLOAT) {
		double d = average && s->count ? real_sum(s) / (double)s->count : real_sum(s);
		float f = (float)d;
		uint64_t bits;
		uint32_t bits32;
		memcpy(&bits, &d, 8);
		memcpy(&bits32, &f, 4);
		be64_put(out, bits);
		if (type == STORE_FLOAT)
			be32_put(out, bits32);
		return cql__cell(arena, out, type == STORE_FLOAT ? 4 : 8);
	}
	cql_wide v = average && s->count ? s->sum / (cql_wide)s->count : s->sum;
	size_t size = type == STORE_TINYINT ? 1 : type == STORE_SMALLINT ? 2 : type == STORE_INT ? 4 : 8;
	be64_put(out, (uint64_t)v);
	return cql__cell(arena, out + 8 - size, size);
}

enum sm_err cql__aggregate_value(struct cql_eval *e, const struct cql_expr *x, const struct cql_aggregate_state *state,
				 struct store_cell *ret)
{
	struct arena *arena = e->context->arena;
	enum cql_aggregate aggregate = x->function ? x->function->aggregate : CQL_COUNT;
	if ((aggregate == CQL_SUM || aggregate == CQL_AVG) && (x->type->id == STORE_VARINT || x->type->id == STORE_DECIMAL))
		return big_result(e, x->type->id, state, aggregate == CQL_AVG, ret);
	switch (aggregate) {
	case CQL_COUNT: *ret = cql__cell_long(arena, (int64_t)state->count); break;
	case CQL_MIN:
	case CQL_MAX:
		if (!state->count) {
			*ret = cql__null();
			return SM_OK;
		}
		*ret = cql__cell(arena, state->best.data, (size_t)state->best.size);
		break;
	case CQL_SUM: *ret = number(arena, x->type->id, state, false); break;
	case CQL_AVG: *ret = number(arena, x->type->id, state, true); break;
	case CQL_NO_AGGREGATE: return cql__fail(e->context->err, CQL_SERVER_ERROR, "not an aggregate");
	}
	return ret->data ? SM_OK : cql__no_memory(e->context->err, arena);
}

void cql__aggregate_reset(struct cql_aggregate_state *state)
{
	free((void *)(uintptr_t)state->best.data);
	memset(state, 0, sizeof *state);
}
