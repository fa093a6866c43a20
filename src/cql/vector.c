/* Vectors: similarity_cosine, similarity_euclidean, similarity_dot_product, and ORDER BY v ANN OF [...], which looks at every row that
 * passes the filters and keeps the nearest: exact, where Cassandra's graph is approximate. */
#include "cql/index.h"

#include <math.h>
#include <string.h>

#define COMPONENT_MAX 1E17f /* of an indexed vector, as in Cassandra: scores stay finite */

static const char *const names[] = {
	[CQL_COSINE] = "similarity_cosine", [CQL_EUCLIDEAN] = "similarity_euclidean", [CQL_DOT_PRODUCT] = "similarity_dot_product"};

bool cql__is_similarity(const char *function)
{
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(names[i], function) == 0)
			return true;
	return false;
}

static bool is_float_vector(const struct store_type *type)
{
	return type && type->id == STORE_VECTOR && type->elements[0].id == STORE_FLOAT;
}

static float at(struct store_cell v, uint32_t i)
{
	return cql__float_of((struct store_cell){v.data + 4 * (size_t)i, 4});
}

float cql__similarity(enum cql_similarity kind, struct store_cell a, struct store_cell b)
{
	uint32_t n = (uint32_t)(a.size < b.size ? a.size : b.size) / 4;
	float dot = 0, square_a = 0, square_b = 0, distance = 0;
	for (uint32_t i = 0; i < n; i++) {
		float x = at(a, i), y = at(b, i), d = x - y;
		dot += x * y;
		square_a += x * x;
		square_b += y * y;
		distance += d * d;
	}
	switch (kind) {
	case CQL_EUCLIDEAN: return 1 / (1 + distance);
	case CQL_DOT_PRODUCT: return (1 + dot) / 2;
	case CQL_COSINE: break;
	}
	return (1 + (float)(dot / sqrt((double)square_a * square_b))) / 2;
}

static enum sm_err call(struct cql_eval *e, const struct cql_function *f, const struct store_cell *args, struct store_cell *ret)
{
	enum cql_similarity kind = strcmp(f->name, names[CQL_EUCLIDEAN]) == 0     ? CQL_EUCLIDEAN
				   : strcmp(f->name, names[CQL_DOT_PRODUCT]) == 0 ? CQL_DOT_PRODUCT
										  : CQL_COSINE;
	*ret = cql__cell_float(e->context->arena, cql__similarity(kind, args[0], args[1]));
	return SM_OK;
}

enum sm_err cql__similarity_call(struct cql_analysis *a, const struct cql_term *t, struct cql_expr **args, struct cql_expr **ret_expr)
{
	struct cql_context *c = a->c;
	const struct store_type *type = NULL;
	if (t->arg_count != 2)
		return cql__fail(c->err, CQL_INVALID,
				 "Invalid number of arguments for function system.%s(vector<float, n>, vector<float, n>)", t->name);
	for (uint32_t i = 0; i < 2 && !type; i++)
		type = args[i] ? args[i]->type : NULL;
	for (uint32_t i = 0; i < 2; i++) {
		const char *text = cql__term_text(t->args[i], c->arena);
		if (args[i] && !is_float_vector(args[i]->type))
			return cql__fail(c->err, CQL_INVALID,
					 "Function system.%s requires a float vector argument, but found argument %s of type %s", t->name,
					 text, cql_type_text(args[i]->type, c->arena));
		if (!type)
			return cql__fail(c->err, CQL_INVALID,
					 "Cannot infer type of argument %s in call to function system.%s: use type casts "
					 "to disambiguate",
					 text, t->name);
		enum sm_err err = args[i] ? SM_OK : cql__term(a, t->args[i], type, "[selection]", &args[i]);
		if (err)
			return err;
	}
	if (args[0]->type->dimension != args[1]->type->dimension)
		return cql__fail(c->err, CQL_INVALID, "All arguments must have the same vector dimensions");
	struct cql_expr *x = cql__new(a, sizeof *x);
	struct cql_function *f = cql__new(a, sizeof *f);
	if (!x || !f || !(x->args = cql__new(a, sizeof *x->args * 2)))
		return SM_NO_MEMORY;
	*f = (struct cql_function){.name = t->name, .result = STORE_FLOAT, .arg_count = 2, .call = call};
	x->kind = CQL_EXPR_CALL;
	x->type = cql__type(STORE_FLOAT);
	x->name = t->name;
	x->function = f;
	x->arg_count = 2;
	x->args[0] = args[0];
	x->args[1] = args[1];
	*ret_expr = x;
	return SM_OK;
}

/* ---- ORDER BY v ANN OF ---- */

/* What the column's index compares with; false: it has none. */
static bool indexed(struct cql_context *c, const struct store_table *table, const struct store_column *column, enum cql_similarity *ret)
{
	struct cql_index index;
	for (uint32_t n = 0; cql__index_at(table, n, c->arena, &index); n++)
		if (index.sai && strcmp(index.column->name, column->name) == 0) {
			*ret = strcasestr(index.options, "'euclidean'")     ? CQL_EUCLIDEAN
			       : strcasestr(index.options, "'dot_product'") ? CQL_DOT_PRODUCT
									    : CQL_COSINE;
			return true;
		}
	return false;
}

static enum sm_err check_vector(struct cql_context *c, enum cql_similarity kind, struct store_cell v)
{
	bool zero = kind == CQL_COSINE;
	for (uint32_t i = 0; i < (uint32_t)v.size / 4; i++) {
		float f = at(v, i);
		if (!isfinite(f))
			return cql__fail(c->err, CQL_INVALID, "non-finite value at vector[%u]=%s", i, cql__java_float(f, c->arena));
		if (fabsf(f) > COMPONENT_MAX)
			return cql__fail(c->err, CQL_INVALID, "Out-of-bounds value at vector[%u]=%s", i, cql__java_float(f, c->arena));
		zero &= f == 0;
	}
	return zero ? cql__fail(c->err, CQL_INVALID, "Zero vectors cannot be indexed or queried with cosine similarity") : SM_OK;
}

enum sm_err cql__check_nearest(struct cql_context *c, const struct cql_select_plan *plan, struct store_cell to)
{
	return check_vector(c, plan->similarity, to);
}

enum sm_err cql__check_indexed(struct cql_context *c, const struct store_table *table, const struct store_assignment *cells, uint32_t count)
{
	enum cql_similarity kind;
	for (uint32_t i = 0; table->index_count && i < count; i++)
		if (is_float_vector(&cells[i].column->type) && cells[i].value.size >= 0 && indexed(c, table, cells[i].column, &kind)) {
			enum sm_err err = check_vector(c, kind, cells[i].value);
			if (err)
				return err;
		}
	return SM_OK;
}

static bool all_indexed(struct cql_analysis *a, const struct cql_where *where)
{
	struct cql_index index;
	for (uint32_t i = 0; i < where->count; i++) {
		const struct cql_restriction *r = &where->restrictions[i];
		if (!r->used && !r->token &&
		    (r->column_count != 1 || !cql__indexed(a->table, r->columns[0], r->op, r->key, a->c->arena, &index)))
			return false;
	}
	return true;
}

enum sm_err cql__analyse_ann(struct cql_analysis *a, const struct cql_select *s, struct cql_select_plan *plan)
{
	struct cql_error *err = a->c->err;
	const struct store_column *column;
	if (s->order_count > 1)
		return cql__fail(err, CQL_INVALID, "ANN ordering does not support any other ordering");
	if (s->order_by[0].descending)
		return cql__fail(err, CQL_INVALID, "Descending ANN ordering is not supported");
	enum sm_err failed = cql__column(a, s->order_by[0].column, &column);
	if (failed)
		return failed;
	if (!is_float_vector(&column->type))
		return cql__fail(err, CQL_INVALID, "ANN ordering is only supported on float vector indexes");
	if (!indexed(a->c, a->table, column, &plan->similarity))
		return cql__fail(err, CQL_INVALID, "ANN ordering by vector requires the column to be indexed");
	if (!all_indexed(a, &plan->where))
		return cql__fail(err, CQL_INVALID, "ANN ordering by vector requires all restricted column(s) to be indexed");
	if (plan->aggregate || s->group_count)
		return cql__fail(err, CQL_INVALID, "Top-K queries can not be run with aggregation");
	if (s->distinct)
		return cql__fail(err, CQL_INVALID, "Top-K queries can not be run with DISTINCT");
	if (s->partition_limit)
		return cql__fail(err, CQL_INVALID, "Top-K queries do not support per-partition limits");
	if (!s->limit)
		return cql__fail(err, CQL_INVALID,
				 "Top-K queries must have a limit specified and the limit must be less than the query page size");
	plan->ann_column = (uint16_t)(column - a->table->columns);
	return cql__term(a, s->order_by[0].ann, &column->type, column->name, &plan->ann);
}
