/* + - * / % between numbers, texts, and dates and durations: which types go together, what comes out, and the calculation.
 *
 * Two numbers give the wider type: whole numbers a whole one; with a float, double or decimal among them a float of the larger size,
 * decimal where one of them has no bound. Whole numbers wrap, as in Java. */
#include "cql/arithmetic.h"
#include "cql/decimal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- types ---- */

/* Bytes of a number; SIZE_UNBOUNDED for varint and decimal; 0: no number. */
#define SIZE_UNBOUNDED 100
static int number_size(enum store_type_id id)
{
	switch (id) {
	case STORE_TINYINT: return 1;
	case STORE_SMALLINT: return 2;
	case STORE_INT:
	case STORE_FLOAT: return 4;
	case STORE_BIGINT:
	case STORE_COUNTER:
	case STORE_DOUBLE: return 8;
	case STORE_VARINT:
	case STORE_DECIMAL: return SIZE_UNBOUNDED;
	default: return 0;
	}
}

bool cql__is_number(enum store_type_id id)
{
	return number_size(id) != 0;
}

static bool is_real(enum store_type_id id)
{
	return id == STORE_FLOAT || id == STORE_DOUBLE || id == STORE_DECIMAL;
}

static bool is_text(enum store_type_id id)
{
	return id == STORE_TEXT || id == STORE_ASCII;
}

const struct store_type *cql__arithmetic_type(char op, enum store_type_id a, enum store_type_id b)
{
	int size = number_size(a) > number_size(b) ? number_size(a) : number_size(b);
	if (number_size(a) && number_size(b)) {
		if (is_real(a) || is_real(b))
			return cql__type(size <= 4 ? STORE_FLOAT : size == 8 ? STORE_DOUBLE : STORE_DECIMAL);
		return cql__type(size == 1   ? STORE_TINYINT
				 : size == 2 ? STORE_SMALLINT
				 : size == 4 ? STORE_INT
				 : size == 8 ? STORE_BIGINT
					     : STORE_VARINT);
	}
	if (op == '+' && is_text(a) && is_text(b))
		return cql__type(a == STORE_ASCII && b == STORE_ASCII ? STORE_ASCII : STORE_TEXT);
	if ((op == '+' || op == '-') && (a == STORE_DATE || a == STORE_TIMESTAMP) && b == STORE_DURATION)
		return cql__type(a);
	return NULL;
}

/* ---- numbers of each kind ---- */

int64_t cql__whole_of(struct store_cell v)
{
	if (!v.data)
		return 0;
	switch (v.size) {
	case 1: return (int8_t)v.data[0];
	case 2: return (int16_t)be16_get(v.data);
	case 4: return (int32_t)be32_get(v.data);
	case 8: return (int64_t)be64_get(v.data);
	default: return 0;
	}
}

int64_t cql__saturated(double d, int64_t least, int64_t most)
{
	if (isnan(d))
		return 0;
	if (d >= (double)most)
		return most;
	return d <= (double)least ? least : (int64_t)d;
}

double cql__number_double(enum store_type_id type, struct store_cell v, struct arena *arena)
{
	if (type == STORE_DOUBLE)
		return cql__double_of(v);
	if (type == STORE_FLOAT)
		return (double)cql__float_of(v);
	if (type == STORE_VARINT || type == STORE_DECIMAL) {
		struct bytes b = bytes_of(v.data, (size_t)v.size);
		if (type == STORE_VARINT && !cql__has_digits(cql__type(type), v))
			return v.data[0] & 0x80 ? -INFINITY : INFINITY;
		const char *text = type == STORE_VARINT ? cql__varint_text(b, arena) : cql__decimal_text(b, arena);
		return strtod(text, NULL);
	}
	return (double)cql__whole_of(v);
}

struct store_cell cql__cell_whole(struct arena *arena, enum store_type_id type, int64_t v)
{
	uint8_t out[8];
	size_t size = (size_t)number_size(type);
	be64_put(out, (uint64_t)v);
	return cql__cell(arena, out + 8 - size, size);
}

/* What Java's Number makes of it on the way to BigDecimal: 7 is 7.0. */
struct cql_number *cql__number_of(struct cql_calculation *c, enum store_type_id type, struct store_cell v, struct arena *arena)
{
	struct store_cell decimal;
	if (type == STORE_VARINT)
		return cql__number_of_varint(c, v);
	if (type == STORE_DECIMAL)
		return cql__number_of_decimal(c, v);
	const char *text = cql__java_double(cql__number_double(type, v, arena), arena);
	if (cql__decimal_of_text(bytes_str(text), arena, &decimal) != SM_OK)
		return cql__number_of_long(c, 0);
	return cql__number_of_decimal(c, decimal);
}

/* ---- calculation ---- */

struct operation {
	struct cql_eval *e;
	const struct cql_expr *x;
	struct store_cell a, b;
	enum store_type_id left, right, type;
};

static enum sm_err failed(const struct operation *o, const char *why)
{
	struct cql_error *err = o->e->context->err;
	struct arena *arena = o->e->context->arena;
	snprintf(err->keyspace, sizeof err->keyspace, "system");
	snprintf(err->table, sizeof err->table, "%c", o->x->op);
	return cql__fail(err, CQL_FUNCTION_FAILURE, "the operation '%s %c %s' failed: %s", cql_type_text(o->x->args[0]->type, arena),
			 o->x->op, cql_type_text(o->x->args[1]->type, arena), why);
}

static enum sm_err whole(const struct operation *o, struct store_cell *ret)
{
	int64_t a = cql__whole_of(o->a), b = cql__whole_of(o->b), v = 0;
	if ((o->x->op == '/' || o->x->op == '%') && b == 0)
		return failed(o, "/ by zero");
	switch (o->x->op) {
	case '+': v = (int64_t)((uint64_t)a + (uint64_t)b); break;
	case '-': v = (int64_t)((uint64_t)a - (uint64_t)b); break;
	case '*': v = (int64_t)((uint64_t)a * (uint64_t)b); break;
	case '/': v = b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b; break;
	case '%': v = b == -1 ? 0 : a % b; break;
	}
	*ret = cql__cell_whole(o->e->context->arena, o->type, v);
	return SM_OK;
}

static double calculate_double(char op, double a, double b)
{
	switch (op) {
	case '+': return a + b;
	case '-': return a - b;
	case '*': return a * b;
	case '/': return a / b;
	default: return fmod(a, b);
	}
}

static float calculate_float(char op, float a, float b)
{
	switch (op) {
	case '+': return a + b;
	case '-': return a - b;
	case '*': return a * b;
	case '/': return a / b;
	default: return fmodf(a, b);
	}
}

static struct cql_number *calculate_number(const struct operation *o, struct cql_calculation *c, struct cql_number *a, struct cql_number *b)
{
	bool decimal = o->type == STORE_DECIMAL;
	switch (o->x->op) {
	case '+': return cql__number_add(c, a, b, false);
	case '-': return cql__number_add(c, a, b, true);
	case '*': return cql__number_multiply(c, a, b);
	case '/': return decimal ? cql__number_divide(c, a, b) : cql__number_divide_whole(c, a, b);
	default: return cql__number_remainder(c, a, b);
	}
}

static struct cql_number *operand(const struct operation *o, struct cql_calculation *c, enum store_type_id type, struct store_cell v)
{
	if (o->type == STORE_VARINT && type != STORE_VARINT)
		return cql__number_of_long(c, cql__whole_of(v));
	return cql__number_of(c, type, v, o->e->context->arena);
}

static enum sm_err unbounded(const struct operation *o, struct store_cell *ret)
{
	struct cql_context *context = o->e->context;
	struct cql_calculation *c = cql__calculation_new(context->arena);
	if (!c)
		return cql__no_memory(context->err, context->arena);
	struct cql_number *a = operand(o, c, o->left, o->a), *b = operand(o, c, o->right, o->b);
	enum sm_err err = SM_OK;
	if ((o->x->op == '/' || o->x->op == '%') && !cql__calculation_failed(c) && cql__number_sign(b) == 0)
		err = failed(o, o->x->op == '%' && o->type == STORE_DECIMAL ? "Division by zero" : "BigInteger divide by zero");
	if (!err) {
		struct cql_number *n = calculate_number(o, c, a, b);
		*ret = o->type == STORE_VARINT ? cql__number_varint(c, n) : cql__number_decimal(c, n);
		if (cql__calculation_failed(c))
			err = failed(o, "the numbers have too many digits");
	}
	cql__calculation_done(c);
	return err;
}

static enum sm_err concatenate(const struct operation *o, struct store_cell *ret)
{
	uint8_t *out = arena_alloc_raw(o->e->context->arena, (size_t)o->a.size + (size_t)o->b.size + 1, 1);
	if (!out)
		return cql__no_memory(o->e->context->err, o->e->context->arena);
	if (o->a.data && o->a.size > 0)
		memcpy(out, o->a.data, (size_t)o->a.size);
	if (o->b.data && o->b.size > 0)
		memcpy(out + o->a.size, o->b.data, (size_t)o->b.size);
	*ret = (struct store_cell){out, o->a.size + o->b.size};
	return SM_OK;
}

/* ---- dates ---- */

#define MS_NS 1000000
#define DAYS_OF_400_YEARS 146097

int64_t cql__floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

bool cql__ms_of(enum store_type_id type, struct store_cell v, int64_t *ret_ms)
{
	struct uuid u;
	if (type == STORE_TIMEUUID && v.size == 16) {
		memcpy(u.bytes, v.data, 16);
		*ret_ms = uuid_time_ms(&u);
	} else if (type == STORE_DATE && v.size == 4) {
		*ret_ms = ((int64_t)be32_get(v.data) - ((int64_t)1 << 31)) * CQL_DAY_MS;
	} else if (type == STORE_TIMESTAMP && v.size == 8) {
		*ret_ms = (int64_t)be64_get(v.data);
	} else {
		return false;
	}
	return true;
}

/* Java's Duration: whole seconds downwards, then days towards zero. */
struct store_cell cql__date_of_ms(struct arena *arena, int64_t ms)
{
	return cql__cell_int(arena, (int32_t)(uint32_t)(cql__floor_div(ms, 1000) / 86400 + ((int64_t)1 << 31)));
}

static int64_t add_months(int64_t ms, int64_t months)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct civil c = civil_of_ms(ms);
	int64_t month = (int64_t)c.year * 12 + c.month - 1 + months;
	int64_t year = cql__floor_div(month, 12), era = cql__floor_div(year, 400);
	c.year = (int32_t)(year - era * 400);
	c.month = (uint8_t)(month - year * 12 + 1);
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	uint8_t last = (uint8_t)(days[c.month - 1] + (c.month == 2 && leap));
	if (c.day > last)
		c.day = last;
	return (int64_t)((uint64_t)civil_to_ms(&c) + (uint64_t)era * DAYS_OF_400_YEARS * CQL_DAY_MS); /* wraps, as in Java */
}

static enum sm_err add_duration(const struct operation *o, struct store_cell *ret)
{
	struct arena *arena = o->e->context->arena;
	struct cql_duration d;
	bool date = o->type == STORE_DATE;
	if (cql__duration_of_cell(o->b, &d) != SM_OK)
		return failed(o, "the duration is none");
	if (d.ns % (date ? (int64_t)CQL_DAY_MS * MS_NS : MS_NS) != 0 || (date && d.ns))
		return failed(o, arena_printf(arena, "The duration must have a %s precision. Was: %s", date ? "day" : "millisecond",
					      cql_render(cql__type(STORE_DURATION), o->b, arena)));
	int64_t sign = o->x->op == '-' ? -1 : 1;
	int64_t ms = date ? ((int64_t)be32_get(o->a.data) - ((int64_t)1 << 31)) * CQL_DAY_MS : (int64_t)be64_get(o->a.data);
	if (d.months)
		ms = add_months(ms, sign * d.months);
	ms = (int64_t)((uint64_t)ms + (uint64_t)sign * ((uint64_t)d.days * CQL_DAY_MS + (uint64_t)(d.ns / MS_NS)));
	if (!date) {
		*ret = cql__cell_long(arena, ms);
		return SM_OK;
	}
	int64_t days = cql__floor_div(ms, CQL_DAY_MS) + ((int64_t)1 << 31);
	if (days < 0 || days > UINT32_MAX)
		return failed(o, "the date is out of range");
	*ret = cql__cell_int(arena, (int32_t)(uint32_t)days);
	return SM_OK;
}

/* ---- evaluation ---- */

static enum sm_err calculate(const struct operation *o, struct store_cell *ret)
{
	struct arena *arena = o->e->context->arena;
	char op = o->x->op;
	switch (o->type) {
	case STORE_TINYINT:
	case STORE_SMALLINT:
	case STORE_INT:
	case STORE_BIGINT: return whole(o, ret);
	case STORE_FLOAT:
		*ret = cql__cell_float(arena, calculate_float(op, (float)cql__number_double(o->left, o->a, arena),
							      (float)cql__number_double(o->right, o->b, arena)));
		return SM_OK;
	case STORE_DOUBLE:
		*ret = cql__cell_double(
			arena, calculate_double(op, cql__number_double(o->left, o->a, arena), cql__number_double(o->right, o->b, arena)));
		return SM_OK;
	case STORE_VARINT:
	case STORE_DECIMAL: return unbounded(o, ret);
	case STORE_DATE:
	case STORE_TIMESTAMP: return add_duration(o, ret);
	default: return concatenate(o, ret);
	}
}

static enum sm_err negate(struct cql_eval *e, enum store_type_id type, struct store_cell v, struct store_cell *ret)
{
	struct arena *arena = e->context->arena;
	if (type == STORE_DOUBLE) {
		*ret = cql__cell_double(arena, -cql__double_of(v));
	} else if (type == STORE_FLOAT) {
		*ret = cql__cell_float(arena, -cql__float_of(v));
	} else if (type == STORE_VARINT || type == STORE_DECIMAL) {
		struct cql_calculation *c = cql__calculation_new(arena);
		if (!c)
			return cql__no_memory(e->context->err, arena);
		struct cql_number *n = cql__number_negate(c, cql__number_of(c, type, v, arena));
		*ret = type == STORE_VARINT ? cql__number_varint(c, n) : cql__number_decimal(c, n);
		enum sm_err err = cql__calculation_end(c, e->context->err);
		if (err)
			return err;
	} else {
		*ret = cql__cell_whole(arena, type == STORE_COUNTER ? STORE_BIGINT : type, (int64_t)(0 - (uint64_t)cql__whole_of(v)));
	}
	return ret->data ? SM_OK : cql__no_memory(e->context->err, arena);
}

enum sm_err cql__eval_arithmetic(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret)
{
	struct store_cell v[2] = {{NULL, -1}, {NULL, -1}};
	for (uint32_t i = 0; i < x->arg_count; i++) {
		enum sm_err err = cql__eval(e, x->args[i], &v[i]);
		if (err)
			return err;
		if (v[i].size == CQL_UNSET)
			return cql__fail(e->context->err, CQL_INVALID, "Invalid unset value for an operand of '%c'", x->op);
		/* no value, or the empty one that numbers of Thrift's times may be */
		if (v[i].size < 0 || (v[i].size == 0 && !is_text(x->args[i]->type->id))) {
			*ret = cql__null();
			return SM_OK;
		}
	}
	assert(v[0].size == 0 || v[0].data != NULL);
	if (x->arg_count == 1)
		return negate(e, x->args[0]->type->id, v[0], ret);
	assert(v[1].size == 0 || v[1].data != NULL);
	struct operation o = {e, x, v[0], v[1], x->args[0]->type->id, x->args[1]->type->id, x->type->id};
	enum sm_err err = calculate(&o, ret);
	if (!err && !ret->data)
		return cql__no_memory(e->context->err, e->context->arena);
	return err;
}

/* ---- analysis ---- */

static enum sm_err not_supported(struct cql_analysis *a, const struct cql_term *t)
{
	return cql__fail(a->c->err, CQL_INVALID, "the '%c' operation is not supported between %s and %s", t->op,
			 cql__term_text(t->args[0], a->c->arena), cql__term_text(t->args[1], a->c->arena));
}

static enum sm_err ambiguous(struct cql_analysis *a, const struct cql_term *t)
{
	return cql__fail(a->c->err, CQL_INVALID,
			 "Ambiguous '%c' operation with args %s and %s: use type hint to disambiguate, example '(int) ?'", t->op,
			 cql__term_text(t->args[0], a->c->arena), cql__term_text(t->args[1], a->c->arena));
}

static enum sm_err no_negation(struct cql_analysis *a)
{
	return cql__fail(
		a->c->err, CQL_INVALID,
		"Invalid call to function system._negate, none of its type signatures match (known type signatures: "
		"system.\"_negate\" : (tinyint) -> tinyint, system.\"_negate\" : (smallint) -> smallint, system.\"_negate\" : (int) -> "
		"int, system.\"_negate\" : (bigint) -> bigint, system.\"_negate\" : (float) -> float, system.\"_negate\" : (double) -> "
		"double, system.\"_negate\" : (varint) -> varint, system.\"_negate\" : (decimal) -> decimal, system.\"_negate\" : "
		"(counter) -> counter)");
}

enum sm_err cql__arithmetic(struct cql_analysis *a, const struct cql_term *t, struct cql_expr *const *args, struct cql_expr **ret_expr)
{
	const struct store_type *type;
	assert(args[0] != NULL && (t->arg_count == 1 || args[1] != NULL));
	if (t->arg_count == 1) {
		if (!cql__is_number(args[0]->type->id))
			return no_negation(a);
		type = args[0]->type;
	} else {
		if (args[0]->type->id == STORE_TIMESTAMP && args[1]->type->id != STORE_DURATION)
			return ambiguous(a, t);
		if (!(type = cql__arithmetic_type(t->op, args[0]->type->id, args[1]->type->id)))
			return not_supported(a, t);
	}
	struct cql_expr *x = cql__new(a, sizeof *x);
	if (!x || !(x->args = cql__new(a, sizeof *x->args * 2)))
		return SM_NO_MEMORY;
	x->kind = CQL_EXPR_ARITHMETIC;
	x->type = type;
	x->name = "";
	x->op = t->op;
	x->arg_count = t->arg_count;
	for (uint32_t i = 0; i < t->arg_count; i++)
		x->args[i] = args[i];
	*ret_expr = x;
	return SM_OK;
}

/* What an operand of a value is taken as, so that the whole becomes the receiver's type. */
static const struct store_type *operand_receiver(const struct cql_term *t, uint32_t i, const struct store_type *type)
{
	bool date = type->id == STORE_DATE || type->id == STORE_TIMESTAMP;
	return date && i == 1 ? cql__type(STORE_DURATION) : type;
}

static enum sm_err value_operand(struct cql_analysis *a, const struct cql_term *t, uint32_t i, const struct store_type *type,
				 const char *name, struct cql_expr **ret_expr)
{
	const struct cql_term *arg = t->args[i];
	const struct store_type *receiver = operand_receiver(t, i, type);
	struct cql_error ignored = *a->c->err;
	enum sm_err err;
	if (arg->kind == CQL_TERM_TUPLE && arg->arg_count == 1)
		arg = arg->args[0];
	switch (arg->kind) {
	case CQL_TERM_MARKER: return t->arg_count == 2 ? ambiguous(a, t) : cql__term(a, arg, receiver, name, ret_expr);
	case CQL_TERM_OPERATION: return cql__value_arithmetic(a, arg, receiver, name, ret_expr);
	case CQL_TERM_CALL: return cql__term(a, arg, NULL, name, ret_expr);
	case CQL_TERM_CAST: {
		struct store_type *to = cql__new(a, sizeof *to);
		if (!to)
			return SM_NO_MEMORY;
		err = cql__type_resolve(a->c, a->c->keyspace, arg->type, to);
		return err ? err : cql__term(a, arg, to, name, ret_expr);
	}
	default:
		if ((err = cql__term(a, arg, receiver, name, ret_expr)) == SM_OK || t->arg_count == 1)
			return err;
		*a->c->err = ignored;
		return not_supported(a, t);
	}
}

enum sm_err cql__value_arithmetic(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
				  struct cql_expr **ret_expr)
{
	struct cql_expr *args[2] = {0};
	if (!type)
		return cql__fail(a->c->err, CQL_INVALID, "Cannot infer type for term %s", cql__term_text(t, a->c->arena));
	for (uint32_t i = 0; i < t->arg_count; i++) {
		enum sm_err err = value_operand(a, t, i, type, name, &args[i]);
		if (err)
			return err;
	}
	enum sm_err err = cql__arithmetic(a, t, args, ret_expr);
	if (err)
		return err;
	assert(*ret_expr != NULL);
	if ((*ret_expr)->type->id != type->id && !(type->id == STORE_TEXT && (*ret_expr)->type->id == STORE_ASCII))
		return t->arg_count == 2 ? not_supported(a, t) : no_negation(a);
	(*ret_expr)->name = name;
	return SM_OK;
}
