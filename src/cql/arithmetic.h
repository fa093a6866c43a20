/* Operations on values (arithmetic.c), CAST (cast.c), functions of numbers (math.c): what analysis and evaluation call. */
#ifndef CQL_ARITHMETIC_H
#define CQL_ARITHMETIC_H

#include "cql/decimal.h"
#include "cql/plan.h"

bool cql__is_number(enum store_type_id id);
/* The type of a op b; NULL: there is none. */
const struct store_type *cql__arithmetic_type(char op, enum store_type_id a, enum store_type_id b);
/* Make the expression of operands whose types are known; t is the term, for errors. */
enum sm_err cql__arithmetic(struct cql_analysis *a, const struct cql_term *t, struct cql_expr *const *args, struct cql_expr **ret_expr);
/* The operation as a value of type (NULL: none is known): literals become that type, the result must have it. */
enum sm_err cql__value_arithmetic(struct cql_analysis *a, const struct cql_term *t, const struct store_type *type, const char *name,
				  struct cql_expr **ret_expr);
enum sm_err cql__eval_arithmetic(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret);

/* CAST(arg AS to): arg itself where it has that type. */
enum sm_err cql__cast(struct cql_analysis *a, const struct cql_term *t, struct cql_expr *arg, struct cql_expr **ret_expr);
enum sm_err cql__eval_cast(struct cql_eval *e, const struct cql_expr *x, struct store_cell *ret);

/* Numbers as other numbers. whole: of one to eight bytes, 0 if it has none; saturated: Java's (int) and (long) of a double, NaN is 0 and
 * what is too large the largest. */
int64_t cql__whole_of(struct store_cell v);
/* Times: days since 1970 of a moment, downwards; a day of CQL counts from 2^31 days before that. */
#define CQL_DAY_MS 86400000
int64_t cql__floor_div(int64_t a, int64_t b); /* b > 0 */
/* Milliseconds of a timeuuid, a date or a timestamp; false: the cell has another size. */
bool cql__ms_of(enum store_type_id type, struct store_cell v, int64_t *ret_ms);
struct store_cell cql__date_of_ms(struct arena *arena, int64_t ms);
int64_t cql__saturated(double d, int64_t least, int64_t most);
/* A varint beyond all doubles is infinite. A decimal has digits (cql__has_digits). */
double cql__number_double(enum store_type_id type, struct store_cell v, struct arena *arena);
struct store_cell cql__cell_whole(struct arena *arena, enum store_type_id type, int64_t v); /* cut to the type's size */
struct cql_number *cql__number_of(struct cql_calculation *c, enum store_type_id type, struct store_cell v, struct arena *arena);

/* abs, exp, log, log10, round of that type, or NULL; in the arena of c. */
const struct cql_function *cql__math_function(struct cql_context *c, const char *name, const struct store_type *type);
bool cql__is_math(const char *name);

#endif
