/* Columnar batches: rows as columns, laid out as the Arrow C data interface lays them out, so that a batch can be handed to
 * Arrow tools without a copy (batch_export). Validity bits (LSB first, 1: there), int32 offsets for texts, 8-byte aligned.
 * Source: Arrow columnar format 1.0, C data interface. */
#ifndef COMPUTE_BATCH_H
#define COMPUTE_BATCH_H

#include "base/bytes.h"
#include "base/uuid.h"
#include "compute/compute_limits.h"
#include <smack/error.h>

/* Arrow formats:  b           i          l          g           u         z         w:16      tsm:UTC (ms) */
enum column_type { COLUMN_BOOL, COLUMN_INT32, COLUMN_INT64, COLUMN_DOUBLE, COLUMN_TEXT, COLUMN_BLOB, COLUMN_UUID, COLUMN_TIMESTAMP };
const char *
column_type_name(enum column_type type); /* Spark's: "boolean", "int", "bigint", "double", "string", "binary", "uuid", "timestamp" */

struct column_field {
	const char *name;
	enum column_type type;
};
/* Immutable, counted. */
struct row_type {
	uint32_t refs;
	uint32_t field_count;
	struct column_field fields[];
};
struct row_type *row_type_new(const struct column_field *fields, uint32_t count); /* names are copied; NULL: no memory */
struct row_type *row_type_ref(struct row_type *type);
void row_type_unref(struct row_type *type);
int row_type_find(const struct row_type *type, const char *name); /* -1: not there; names compare without case, as in Spark */

struct column {
	enum column_type type;
	uint8_t *validity; /* NULL: no nulls */
	void *values;      /* bits for BOOL; int32_t, int64_t, double; 16 bytes a UUID; heap of TEXT and BLOB */
	int32_t *offsets;  /* TEXT, BLOB: rows + 1 */
	uint32_t null_count;
	size_t values_cap, offsets_cap, validity_cap; /* bytes allocated, while it grows */
};
/* Counted; immutable once shared. Thread: while it is built, its builder's. */
struct batch {
	uint32_t refs;
	uint32_t rows;
	struct row_type *type;
	struct column columns[];
};
struct batch *batch_new(struct row_type *type); /* empty; refs the type; NULL: no memory */
struct batch *batch_ref(struct batch *batch);
void batch_unref(struct batch *batch);
size_t batch_bytes(const struct batch *batch);

/* One value, of any type; text and blob are borrowed. */
struct value {
	enum column_type type;
	bool null;
	union {
		bool boolean;
		int64_t integer; /* INT32, INT64, TIMESTAMP (ms) */
		double real;
		struct bytes bytes; /* TEXT, BLOB, UUID (16 bytes) */
	};
};
struct value batch_get(const struct batch *batch, uint32_t column, uint32_t row);
/* Append a value to a column (types must match, but INT32 and INT64 go into each other, narrowed with a check; a null is of any type).
 * Every column of a row must be given one before batch_row_end; given twice, the last counts. Errors: SM_NO_MEMORY, SM_TYPE,
 * SM_OUT_OF_RANGE, SM_TOO_LARGE (COMPUTE_BATCH_BYTES_MAX of one heap). */
SM_MUST_CHECK enum sm_err batch_put(struct batch *batch, uint32_t column, struct value value);
void batch_row_end(struct batch *batch);
/* Append row `row` of from (same types). */
SM_MUST_CHECK enum sm_err batch_copy_row(struct batch *to, const struct batch *from, uint32_t row);
static inline bool column_is_null(const struct column *c, uint32_t row)
{
	return c->validity && !(c->validity[row >> 3] >> (row & 7) & 1);
}
/* Total order used by ORDER BY and min/max: nulls first, NaN last (Spark). Integers, times and doubles compare by value with each other;
 * other types must be the same (else their types' order). */
int value_compare(struct value a, struct value b);
/* Values that compare as equal and are of one family (integers and times, doubles, bytes) have one hash. */
uint64_t value_hash(struct value v, uint64_t seed);

/* Hand the batch over as a record batch (a struct array with one child a column) of the Arrow C data interface: no copy; the array holds a
 * reference to the batch until it is released, the schema one to the row type; each child may be moved out and released by itself.
 * Both are written only on success. A UUID is w:16 with the extension type arrow.uuid. Errors: SM_NO_MEMORY. */
struct ArrowSchema;
struct ArrowArray;
SM_MUST_CHECK enum sm_err batch_export(struct batch *batch, struct ArrowSchema *ret_schema, struct ArrowArray *ret_array);

#endif
