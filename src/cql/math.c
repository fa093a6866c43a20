/* abs, exp, log, log10 and round of every type of number. exp and log of whole numbers are cut to their type, as in Cassandra. */
#include "cql/arithmetic.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"abs", "exp", "log", "log10", "round"};

bool cql__is_math(const char *name)
{
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Half goes up, towards positive infinity. */
static double java_round(double d)
{
	double down = floor(d);
	return d - down >= 0.5 ? down + 1 : down;
}

static double real(const char *name, double d)
{
	if (name[0] == 'l' && d < 0) /* Java's NaN has a sign here */
		return copysign((double)NAN, -1);
	switch (name[0]) {
	case 'a': return fabs(d);
	case 'e': return exp(d);
	default: return name[3] ? log10(d) : log(d);
	}
}

static enum sm_err unbounded(struct cql_eval *e, const struct cql_function *f, struct store_cell v, struct store_cell *ret)
{
	struct arena *arena = e->context->arena;
	bool decimal = f->result == STORE_DECIMAL;
	if (f->name[0] == 'e' || f->name[0] == 'l')
		return cql__fail(e->context->err, CQL_INVALID, "%s of %s is not supported yet: cast it to double", f->name,
				 decimal ? "decimal" : "varint");
	struct cql_calculation *c = cql__calculation_new(arena);
	if (!c)
		return cql__no_memory(e->context->err, arena);
	struct cql_number *n = cql__number_of(c, f->result, v, arena);
	if (f->name[0] == 'a' && cql__number_sign(n) < 0)
		n = cql__number_negate(c, n);
	if (f->name[0] == 'r')
		n = cql__number_scaled(c, n, 0, CQL_ROUND_HALF_UP);
	*ret = decimal ? cql__number_decimal(c, n) : cql__number_varint(c, n);
	return cql__calculation_end(c, e->context->err);
}

static enum sm_err call(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args, struct store_cell *ret)
{
	struct arena *arena = e->context->arena;
	enum store_type_id type = f->result;
	bool round = f->name[0] == 'r';
	if (args[0].size == 0) {
		*ret = cql__null();
		return SM_OK;
	}
	if (type == STORE_DECIMAL || type == STORE_VARINT)
		return unbounded(e, f, args[0], ret);
	double d = cql__number_double(type, args[0], arena);
	if (type == STORE_DOUBLE) {
		*ret = cql__cell_double(arena, round ? (double)cql__saturated(java_round(d), INT64_MIN, INT64_MAX) : real(f->name, d));
	} else if (type == STORE_FLOAT) {
		*ret = cql__cell_float(arena, round ? (float)cql__saturated(java_round(d), INT32_MIN, INT32_MAX) : (float)real(f->name, d));
	} else if (round) {
		*ret = args[0];
	} else if (f->name[0] == 'a') {
		int64_t v = cql__whole_of(args[0]);
		*ret = cql__cell_whole(arena, type, v < 0 ? (int64_t)(0 - (uint64_t)v) : v);
	} else {
		bool wide = type == STORE_BIGINT;
		*ret = cql__cell_whole(arena, type,
				       cql__saturated(real(f->name, d), wide ? INT64_MIN : INT32_MIN, wide ? INT64_MAX : INT32_MAX));
	}
	return SM_OK;
}

const struct cql_function *cql__math_function(struct cql_context *c, const char *name, const struct store_type *type)
{
	if (!cql__is_number(type->id))
		return NULL;
	struct cql_function *f = arena_alloc(c->arena, sizeof *f);
	enum store_type_id id = type->id == STORE_COUNTER ? STORE_BIGINT : type->id;
	if (f)
		*f = (struct cql_function){name, id, {id}, 1, call, CQL_NO_AGGREGATE};
	return f;
}
