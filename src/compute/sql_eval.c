/* Expressions over batches: each node gives one dense vector for the rows asked for. AND, OR, CASE, IF and COALESCE evaluate a part only
 * for the rows that reach it, so `IF(n = 0, 0, x / n)` divides by no zero. Three-valued logic; overflow and division by zero are errors,
 * as in Spark's ANSI mode. */
#include "compute/sql_internal.h"
#include <assert.h>
#include <math.h>

static size_t vec_width(enum column_type type)
{
	switch (type) {
	case COLUMN_BOOL: return 1;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP:
	case COLUMN_DOUBLE: return 8;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: return sizeof(struct bytes);
	}
	return 16;
}

enum sm_err vec_new(struct eval *c, enum column_type type, uint32_t n, bool null, struct vec *ret_vec)
{
	struct vec v = {.type = type};
	v.booleans = arena_alloc(c->arena, (n ? n : 1) * vec_width(type));
	if (!v.booleans || (null && !(v.null = arena_alloc(c->arena, n ? n : 1))))
		return eval_no_memory(c);
	*ret_vec = v;
	return SM_OK;
}

struct value vec_get(const struct vec *v, uint32_t row)
{
	struct value value = {.type = v->type, .null = v->null && v->null[row]};
	if (value.null)
		return value;
	switch (v->type) {
	case COLUMN_BOOL: value.boolean = v->booleans[row]; break;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: value.integer = v->integers[row]; break;
	case COLUMN_DOUBLE: value.real = v->reals[row]; break;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: value.bytes = v->bytes[row]; break;
	}
	return value;
}

void vec_set(struct vec *v, uint32_t row, struct value value)
{
	if (v->null)
		v->null[row] = value.null;
	if (value.null)
		return;
	switch (v->type) {
	case COLUMN_BOOL: v->booleans[row] = value.boolean; break;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: v->integers[row] = value.integer; break;
	case COLUMN_DOUBLE: v->reals[row] = value.real; break;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: v->bytes[row] = value.bytes; break;
	}
}

static bool is_null(const struct vec *v, uint32_t row)
{
	return v->null && v->null[row];
}

/* ---- columns and literals ---- */

static enum sm_err eval_column(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	const struct column *col = &c->batch->columns[e->index];
	struct vec v = {.type = col->type};
	enum sm_err err;
	bool wide = col->type == COLUMN_INT64 || col->type == COLUMN_TIMESTAMP || col->type == COLUMN_DOUBLE;
	assert(col->type == e->type);
	if (!rows && wide && n) {
		v.integers = col->values; /* as it lies there */
	} else {
		if ((err = vec_new(c, col->type, n, false, &v)))
			return err;
		for (uint32_t i = 0; i < n; i++) {
			uint32_t row = rows ? rows[i] : i;
			switch (col->type) {
			case COLUMN_BOOL: v.booleans[i] = ((const uint8_t *)col->values)[row >> 3] >> (row & 7) & 1; break;
			case COLUMN_INT32: v.integers[i] = ((const int32_t *)col->values)[row]; break;
			case COLUMN_INT64:
			case COLUMN_TIMESTAMP: v.integers[i] = ((const int64_t *)col->values)[row]; break;
			case COLUMN_DOUBLE: v.reals[i] = ((const double *)col->values)[row]; break;
			case COLUMN_UUID: v.bytes[i] = bytes_of((const uint8_t *)col->values + (size_t)row * 16, 16); break;
			case COLUMN_TEXT:
			case COLUMN_BLOB: {
				int32_t from = col->offsets[row], to = col->offsets[row + 1];
				v.bytes[i] = to > from ? bytes_of((const uint8_t *)col->values + from, (size_t)(to - from))
						       : bytes_of("", 0);
				break;
			}
			}
		}
	}
	if (col->validity && col->null_count) {
		if (!(v.null = arena_alloc(c->arena, n ? n : 1)))
			return eval_no_memory(c);
		for (uint32_t i = 0; i < n; i++)
			v.null[i] = column_is_null(col, rows ? rows[i] : i);
	}
	*ret = v;
	return SM_OK;
}

static enum sm_err eval_literal(const struct expr *e, struct eval *c, uint32_t n, struct vec *ret)
{
	enum sm_err err = vec_new(c, e->type, n, e->value.null, ret);
	if (err)
		return err;
	for (uint32_t i = 0; i < n; i++)
		vec_set(ret, i, e->value);
	return SM_OK;
}

/* ---- logic ---- */

/* Left AND right, or OR: right only where left has not decided. */
static enum sm_err eval_logic(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	bool decides = e->op == OP_OR;
	struct vec left, right, out;
	uint32_t *open = arena_alloc_raw(c->arena, (n ? n : 1) * sizeof *open, 4), open_count = 0;
	enum sm_err err;
	if (!open)
		return eval_no_memory(c);
	if ((err = expr_eval(e->args[0], c, rows, n, &left)) || (err = vec_new(c, COLUMN_BOOL, n, true, &out)))
		return err;
	for (uint32_t i = 0; i < n; i++) {
		out.booleans[i] = decides;
		if (is_null(&left, i) || left.booleans[i] != decides)
			open[open_count++] = rows ? rows[i] : i;
	}
	if (open_count && (err = expr_eval(e->args[1], c, open_count == n ? rows : open, open_count, &right)))
		return err;
	for (uint32_t i = 0, k = 0; i < n && k < open_count; i++) {
		if ((rows ? rows[i] : i) != open[k])
			continue;
		bool left_null = is_null(&left, i), right_null = is_null(&right, k);
		if (!right_null && right.booleans[k] == decides)
			out.booleans[i] = decides;
		else if (left_null || right_null)
			out.null[i] = 1;
		else
			out.booleans[i] = !decides;
		k++;
	}
	*ret = out;
	return SM_OK;
}

static enum sm_err eval_not(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec in;
	enum sm_err err;
	if ((err = expr_eval(e->args[0], c, rows, n, &in)) || (err = vec_new(c, COLUMN_BOOL, n, false, ret)))
		return err;
	for (uint32_t i = 0; i < n; i++)
		ret->booleans[i] = e->op == OP_IS_NULL ? is_null(&in, i) : !in.booleans[i];
	if (e->op == OP_NOT)
		ret->null = in.null;
	return SM_OK;
}

/* ---- comparison ---- */

/* Spark's order of doubles: NaN equals NaN and is greater than all; 0.0 equals -0.0. */
static int compare_reals(double a, double b)
{
	if (isnan(a) || isnan(b))
		return (isnan(a) ? 1 : 0) - (isnan(b) ? 1 : 0);
	return a < b ? -1 : a > b;
}

static int compare_at(const struct vec *a, const struct vec *b, uint32_t i)
{
	switch (a->type) {
	case COLUMN_BOOL: return (int)a->booleans[i] - (int)b->booleans[i];
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: return a->integers[i] < b->integers[i] ? -1 : a->integers[i] > b->integers[i];
	case COLUMN_DOUBLE: return compare_reals(a->reals[i], b->reals[i]);
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: {
		int d = bytes_compare(a->bytes[i], b->bytes[i]);
		return d < 0 ? -1 : d > 0;
	}
	}
	return 0;
}

static bool holds(enum sql_op op, int d)
{
	switch (op) {
	case OP_NE: return d != 0;
	case OP_LT: return d < 0;
	case OP_LE: return d <= 0;
	case OP_GT: return d > 0;
	case OP_GE: return d >= 0;
	default: return d == 0;
	}
}

/* The rows where either is null; NULL: none. */
static enum sm_err union_of_nulls(struct eval *c, const struct vec *a, const struct vec *b, uint32_t n, uint8_t **ret)
{
	*ret = a->null ? a->null : b->null;
	if (!a->null || !b->null)
		return SM_OK;
	if (!(*ret = arena_alloc_raw(c->arena, n ? n : 1, 1)))
		return eval_no_memory(c);
	for (uint32_t i = 0; i < n; i++)
		(*ret)[i] = a->null[i] | b->null[i];
	return SM_OK;
}

static enum sm_err eval_comparison(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec a, b;
	uint8_t *null;
	enum sm_err err;
	if ((err = expr_eval(e->args[0], c, rows, n, &a)) || (err = expr_eval(e->args[1], c, rows, n, &b)) ||
	    (err = vec_new(c, COLUMN_BOOL, n, false, ret)) || (err = union_of_nulls(c, &a, &b, n, &null)))
		return err;
	for (uint32_t i = 0; i < n; i++) {
		if (!null || !null[i])
			ret->booleans[i] = holds(e->op, compare_at(&a, &b, i));
		else if (e->op == OP_SAME)
			ret->booleans[i] = is_null(&a, i) && is_null(&b, i);
	}
	if (e->op != OP_SAME)
		ret->null = null;
	return SM_OK;
}

static enum sm_err eval_in(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec value, choice, out;
	enum sm_err err;
	if ((err = expr_eval(e->args[0], c, rows, n, &value)) || (err = vec_new(c, COLUMN_BOOL, n, true, &out)))
		return err;
	for (uint32_t i = 0; i < n; i++)
		out.null[i] = is_null(&value, i);
	for (uint32_t k = 1; k < e->count; k++) {
		if ((err = expr_eval(e->args[k], c, rows, n, &choice)))
			return err;
		for (uint32_t i = 0; i < n; i++) {
			if (out.booleans[i] || is_null(&value, i))
				continue;
			if (is_null(&choice, i)) {
				out.null[i] = 1;
			} else if (compare_at(&value, &choice, i) == 0) {
				out.booleans[i] = 1;
				out.null[i] = 0;
			}
		}
	}
	*ret = out;
	return SM_OK;
}

/* ---- arithmetic ---- */

static const char *op_text(enum sql_op op)
{
	switch (op) {
	case OP_ADD: return "+";
	case OP_SUB: return "-";
	case OP_MUL: return "*";
	case OP_DIV: return "/";
	case OP_INT_DIV: return "div";
	case OP_MOD: return "%";
	case OP_EQ: return "=";
	case OP_NE: return "<>";
	case OP_LT: return "<";
	case OP_LE: return "<=";
	case OP_GT: return ">";
	case OP_GE: return ">=";
	case OP_SAME: return "<=>";
	case OP_AND: return "AND";
	case OP_OR: return "OR";
	case OP_LIKE: return "LIKE";
	default: return "-";
	}
}

static enum sm_err fail_overflow(const struct expr *e, struct eval *c)
{
	return sql__fail(c->reterr, SM_OUT_OF_RANGE, e->line, e->column, "%s overflow in %s: cast to a larger type first",
			 column_type_name(e->type), op_text(e->op));
}

static enum sm_err fail_zero(const struct expr *e, struct eval *c)
{
	return sql__fail(c->reterr, SM_OUT_OF_RANGE, e->line, e->column, "division by zero: use nullif(divisor, 0) to get NULL instead");
}

static enum sm_err integer_op(const struct expr *e, struct eval *c, int64_t a, int64_t b, int64_t *ret)
{
	bool over = false;
	switch (e->op) {
	case OP_ADD: over = __builtin_add_overflow(a, b, ret); break;
	case OP_SUB: over = __builtin_sub_overflow(a, b, ret); break;
	case OP_MUL: over = __builtin_mul_overflow(a, b, ret); break;
	case OP_INT_DIV:
		if (b == 0)
			return fail_zero(e, c);
		if (b == -1)
			over = __builtin_sub_overflow((int64_t)0, a, ret);
		else
			*ret = a / b;
		break;
	case OP_MOD:
		if (b == 0)
			return fail_zero(e, c);
		*ret = b == -1 ? 0 : a % b;
		break;
	default: break;
	}
	if (over || (e->type == COLUMN_INT32 && *ret != (int32_t)*ret))
		return fail_overflow(e, c);
	return SM_OK;
}

static enum sm_err real_op(const struct expr *e, struct eval *c, double a, double b, double *ret)
{
	switch (e->op) {
	case OP_ADD: *ret = a + b; break;
	case OP_SUB: *ret = a - b; break;
	case OP_MUL: *ret = a * b; break;
	default:
		if (b == 0)
			return fail_zero(e, c);
		*ret = e->op == OP_MOD ? fmod(a, b) : a / b;
	}
	return SM_OK;
}

static enum sm_err eval_arithmetic(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec a, b;
	enum sm_err err;
	if ((err = expr_eval(e->args[0], c, rows, n, &a)) || (err = expr_eval(e->args[1], c, rows, n, &b)) ||
	    (err = vec_new(c, e->type, n, false, ret)) || (err = union_of_nulls(c, &a, &b, n, &ret->null)))
		return err;
	for (uint32_t i = 0; i < n && !err; i++) {
		if (is_null(ret, i))
			continue;
		if (a.type == COLUMN_DOUBLE)
			err = real_op(e, c, a.reals[i], b.reals[i], &ret->reals[i]);
		else
			err = integer_op(e, c, a.integers[i], b.integers[i], &ret->integers[i]);
	}
	return err;
}

static enum sm_err eval_negate(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec in;
	enum sm_err err;
	if ((err = expr_eval(e->args[0], c, rows, n, &in)) || (err = vec_new(c, e->type, n, false, ret)))
		return err;
	ret->null = in.null;
	for (uint32_t i = 0; i < n; i++) {
		if (is_null(&in, i))
			continue;
		if (e->type == COLUMN_DOUBLE)
			ret->reals[i] = -in.reals[i];
		else if (in.integers[i] == (e->type == COLUMN_INT32 ? INT32_MIN : INT64_MIN))
			return fail_overflow(e, c);
		else
			ret->integers[i] = -in.integers[i];
	}
	return SM_OK;
}

/* ---- texts ---- */

/* The start of the character after the one at i. */
static size_t next_character(struct bytes s, size_t i)
{
	for (i++; i < s.size && (s.data[i] & 0xc0) == 0x80;)
		i++;
	return i;
}

/* % any run, _ one character, \ takes the next one as it is. Greedy with one point to come back to: linear for usual patterns. */
bool sql__like(struct bytes text, struct bytes pattern)
{
	size_t t = 0, p = 0, back_t = 0, back_p = SIZE_MAX;
	while (t < text.size) {
		bool escaped = p + 1 < pattern.size && pattern.data[p] == '\\';
		if (p < pattern.size && !escaped && pattern.data[p] == '%') {
			back_p = ++p;
			back_t = t;
		} else if (p < pattern.size && !escaped && pattern.data[p] == '_') {
			t = next_character(text, t);
			p++;
		} else if (p < pattern.size && pattern.data[p + escaped] == text.data[t]) {
			p += 1 + escaped;
			t++;
		} else if (back_p != SIZE_MAX) {
			p = back_p;
			t = back_t = next_character(text, back_t);
		} else {
			return false;
		}
	}
	while (p < pattern.size && pattern.data[p] == '%')
		p++;
	return p == pattern.size;
}

static enum sm_err eval_like(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec a, b;
	enum sm_err err;
	if ((err = expr_eval(e->args[0], c, rows, n, &a)) || (err = expr_eval(e->args[1], c, rows, n, &b)) ||
	    (err = vec_new(c, COLUMN_BOOL, n, false, ret)) || (err = union_of_nulls(c, &a, &b, n, &ret->null)))
		return err;
	for (uint32_t i = 0; i < n; i++)
		if (!is_null(ret, i))
			ret->booleans[i] = sql__like(a.bytes[i], b.bytes[i]);
	return SM_OK;
}

/* ---- choices ---- */

/* Evaluate e for the open rows and put the results where they belong; at[k] is the place of rows[k] in out. */
static enum sm_err scatter(const struct expr *e, struct eval *c, const uint32_t *rows, const uint32_t *at, uint32_t n, struct vec *out)
{
	struct vec v;
	enum sm_err err;
	if (n == 0)
		return SM_OK;
	if ((err = expr_eval(e, c, rows, n, &v)))
		return err;
	for (uint32_t k = 0; k < n; k++)
		vec_set(out, at[k], vec_get(&v, k));
	return SM_OK;
}

/* CASE: rows fall through the conditions; each takes its THEN's value. COALESCE: rows fall through while the value is null. */
static enum sm_err eval_choice(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	bool coalesce = e->op == OP_COALESCE;
	uint32_t room = n ? n : 1, open = n;
	uint32_t *row = arena_alloc_raw(c->arena, room * 4, 4), *at = arena_alloc_raw(c->arena, room * 4, 4);
	uint32_t *hit_row = arena_alloc_raw(c->arena, room * 4, 4), *hit_at = arena_alloc_raw(c->arena, room * 4, 4);
	enum sm_err err;
	if (!row || !at || !hit_row || !hit_at)
		return eval_no_memory(c);
	if ((err = vec_new(c, e->type, n, true, ret)))
		return err;
	for (uint32_t i = 0; i < n; i++) {
		row[i] = rows ? rows[i] : i;
		at[i] = i;
	}
	for (uint32_t part = 0; open && part + 1 < e->count; part += coalesce ? 1 : 2) {
		struct vec test;
		uint32_t hits = 0, left = 0;
		if ((err = expr_eval(e->args[part], c, row, open, &test)))
			return err;
		for (uint32_t k = 0; k < open; k++) {
			bool hit = !is_null(&test, k) && (coalesce || test.booleans[k]);
			if (hit && coalesce)
				vec_set(ret, at[k], vec_get(&test, k));
			uint32_t *to = hit ? &hits : &left;
			(hit ? hit_row : row)[*to] = row[k];
			(hit ? hit_at : at)[*to] = at[k];
			(*to)++;
		}
		open = left;
		if (!coalesce && (err = scatter(e->args[part + 1], c, hit_row, hit_at, hits, ret)))
			return err;
	}
	return scatter(e->args[e->count - 1], c, row, at, open, ret);
}

static enum sm_err eval_function(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec *args = arena_alloc(c->arena, (e->count ? e->count : 1) * sizeof *args);
	enum sm_err err;
	if (!args)
		return eval_no_memory(c);
	if ((err = vec_new(c, e->type, n, true, ret)))
		return err;
	for (uint32_t k = 0; k < e->count; k++) {
		if ((err = expr_eval(e->args[k], c, rows, n, &args[k])))
			return err;
		for (uint32_t i = 0; i < n && args[k].null; i++)
			ret->null[i] |= args[k].null[i];
	}
	return e->function->eval(e, c, args, n, ret);
}

enum sm_err expr_eval(const struct expr *e, struct eval *c, const uint32_t *rows, uint32_t n, struct vec *ret)
{
	struct vec in;
	enum sm_err err;
	switch (e->op) {
	case OP_COLUMN: return eval_column(e, c, rows, n, ret);
	case OP_LITERAL: return eval_literal(e, c, n, ret);
	case OP_AND:
	case OP_OR: return eval_logic(e, c, rows, n, ret);
	case OP_NOT:
	case OP_IS_NULL: return eval_not(e, c, rows, n, ret);
	case OP_EQ:
	case OP_NE:
	case OP_LT:
	case OP_LE:
	case OP_GT:
	case OP_GE:
	case OP_SAME: return eval_comparison(e, c, rows, n, ret);
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_DIV:
	case OP_INT_DIV:
	case OP_MOD: return eval_arithmetic(e, c, rows, n, ret);
	case OP_NEG: return eval_negate(e, c, rows, n, ret);
	case OP_LIKE: return eval_like(e, c, rows, n, ret);
	case OP_IN: return eval_in(e, c, rows, n, ret);
	case OP_CASE:
	case OP_COALESCE: return eval_choice(e, c, rows, n, ret);
	case OP_CAST:
		if ((err = expr_eval(e->args[0], c, rows, n, &in)))
			return err;
		return sql__cast(e, c, &in, n, ret);
	case OP_FUNCTION: return eval_function(e, c, rows, n, ret);
	case OP_NAME:
	case OP_PARAM:
	case OP_STAR:
	case OP_SUBQUERY:
	case OP_CALL: break;
	}
	return sm_fail(c->reterr, SM_FAILED, "an unbound expression was evaluated");
}

enum sm_err expr_select(const struct expr *filter, struct eval *c, const uint32_t **ret_rows, uint32_t *ret_count)
{
	struct vec v;
	enum sm_err err;
	uint32_t n = c->batch->rows, count = 0;
	if (!filter) {
		*ret_rows = NULL;
		*ret_count = n;
		return SM_OK;
	}
	uint32_t *rows = arena_alloc_raw(c->arena, (n ? n : 1) * sizeof *rows, 4);
	if (!rows)
		return eval_no_memory(c);
	if ((err = expr_eval(filter, c, NULL, n, &v)))
		return err;
	for (uint32_t i = 0; i < n; i++)
		if (!is_null(&v, i) && v.booleans[i])
			rows[count++] = i;
	*ret_rows = count == n ? NULL : rows;
	*ret_count = count;
	return SM_OK;
}

/* ---- for the planner ---- */

bool expr_equal(const struct expr *a, const struct expr *b)
{
	if (a->op != b->op || a->type != b->type || a->count != b->count || a->index != b->index || a->function != b->function)
		return false;
	if (a->op == OP_LITERAL &&
	    (a->untyped != b->untyped || a->value.null != b->value.null || (!a->value.null && value_compare(a->value, b->value) != 0)))
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!expr_equal(a->args[i], b->args[i]))
			return false;
	return true;
}

static void print_literal(const struct value *v, struct buf *out)
{
	char text[40];
	if (v->null) {
		buf_append_str(out, "NULL");
		return;
	}
	switch (v->type) {
	case COLUMN_BOOL: buf_append_str(out, v->boolean ? "true" : "false"); break;
	case COLUMN_INT32:
	case COLUMN_INT64: buf_printf(out, "%lld", (long long)v->integer); break;
	case COLUMN_DOUBLE: buf_printf(out, "%.17g", v->real); break;
	case COLUMN_TIMESTAMP:
		civil_format(v->integer, text);
		buf_append_str(out, text);
		break;
	case COLUMN_TEXT: buf_json_string(out, v->bytes); break;
	case COLUMN_UUID:
		uuid_format((const struct uuid *)v->bytes.data, text);
		buf_append_str(out, text);
		break;
	case COLUMN_BLOB: buf_printf(out, "%zu bytes", v->bytes.size); break;
	}
}

void expr_print(const struct expr *e, const struct row_type *input, struct buf *out)
{
	const char *name = op_text(e->op);
	switch (e->op) {
	case OP_COLUMN: buf_append_str(out, e->index < input->field_count ? input->fields[e->index].name : "?"); return;
	case OP_LITERAL: print_literal(&e->value, out); return;
	case OP_NOT: name = "NOT"; break;
	case OP_IS_NULL: name = "isnull"; break;
	case OP_IN: name = "in"; break;
	case OP_CASE: name = "case"; break;
	case OP_COALESCE: name = "coalesce"; break;
	case OP_CAST: name = column_type_name(e->type); break;
	case OP_FUNCTION: name = e->function->name; break;
	default: break;
	}
	if (e->count == 2 && e->op != OP_FUNCTION && e->op != OP_IN && e->op != OP_COALESCE) {
		buf_append_str(out, "(");
		expr_print(e->args[0], input, out);
		buf_printf(out, " %s ", name);
		expr_print(e->args[1], input, out);
		buf_append_str(out, ")");
		return;
	}
	buf_printf(out, "%s(", name);
	for (uint32_t i = 0; i < e->count; i++) {
		if (i)
			buf_append_str(out, ", ");
		expr_print(e->args[i], input, out);
	}
	buf_append_str(out, ")");
}
