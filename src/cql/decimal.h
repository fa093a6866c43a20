/* varint and decimal as numbers that can be calculated with (decimal.c). A calculation owns its numbers; results are cells in the arena.
 * What goes wrong on the way (memory, more digits than CQL_DIGITS_MAX) shows at the end: cql__calculation_failed. */
#ifndef CQL_DECIMAL_H
#define CQL_DECIMAL_H

#include "cql/cql_internal.h"

#define CQL_NUMBERS_MAX 16        /* of one calculation */
#define CQL_DIGITS_MAX 10000      /* powers of ten that are multiplied with */
#define CQL_NUMBER_BYTES_MAX 8192 /* of a number that is calculated with: texts of digits take time by their square */

struct cql_calculation;
struct cql_number;
enum cql_rounding { CQL_ROUND_DOWN, CQL_ROUND_HALF_UP, CQL_ROUND_HALF_EVEN };

struct cql_calculation *cql__calculation_new(struct arena *arena); /* NULL: no memory */
void cql__calculation_done(struct cql_calculation *c);             /* NULL is allowed */
bool cql__calculation_failed(const struct cql_calculation *c);
/* Done with it; CQL_INVALID if it has failed. */
SM_MUST_CHECK enum sm_err cql__calculation_end(struct cql_calculation *c, struct cql_error *err);
SM_MUST_CHECK enum sm_err cql__too_many_digits(struct cql_error *err); /* the same error */
/* Whether the value, or each number in it, is small enough to become digits: varint and decimal, alone or within others. */
bool cql__has_digits(const struct store_type *type, struct store_cell value);

struct cql_number *cql__number_of_varint(struct cql_calculation *c, struct store_cell cell);
struct cql_number *cql__number_of_decimal(struct cql_calculation *c, struct store_cell cell);
struct cql_number *cql__number_of_long(struct cql_calculation *c, int64_t v);
/* Decimal digits, with a - in front of negative ones; the text is in the arena. */
struct cql_number *cql__number_of_digits(struct cql_calculation *c, const char *digits);
const char *cql__number_digits(struct cql_calculation *c, const struct cql_number *n);
struct store_cell cql__number_varint(struct cql_calculation *c, const struct cql_number *n); /* towards zero */
struct store_cell cql__number_decimal(struct cql_calculation *c, const struct cql_number *n);
int64_t cql__number_long(struct cql_calculation *c, const struct cql_number *n); /* towards zero, then the lowest 64 bits */
int cql__number_sign(const struct cql_number *n);

struct cql_number *cql__number_scaled(struct cql_calculation *c, const struct cql_number *n, int32_t scale, enum cql_rounding rounding);
struct cql_number *cql__number_add(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b, bool minus);
struct cql_number *cql__number_multiply(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b);
struct cql_number *cql__number_negate(struct cql_calculation *c, const struct cql_number *n);
/* b is not zero. divide_whole: of scale 0, towards zero; divide: decimals as Cassandra; average: keeps the sum's scale. */
struct cql_number *cql__number_divide_whole(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b);
struct cql_number *cql__number_divide(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b);
struct cql_number *cql__number_average(struct cql_calculation *c, const struct cql_number *sum, int64_t count);
struct cql_number *cql__number_remainder(struct cql_calculation *c, const struct cql_number *a, const struct cql_number *b);

#endif
