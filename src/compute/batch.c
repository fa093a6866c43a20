#include "compute/batch.h"
#include "base/hash.h"
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

const char *column_type_name(enum column_type type)
{
	static const char *const names[] = {"boolean", "int", "bigint", "double", "string", "binary", "uuid", "timestamp"};
	return (size_t)type < sizeof names / sizeof *names ? names[type] : "?";
}

/* ---- row types ---- */

/* One allocation: the fields, then their names. */
struct row_type *row_type_new(const struct column_field *fields, uint32_t count)
{
	size_t size = sizeof(struct row_type) + count * sizeof *fields, names = size;
	for (uint32_t i = 0; i < count; i++)
		size += strlen(fields[i].name) + 1;
	struct row_type *type = malloc(size);
	if (!type)
		return NULL;
	type->refs = 1;
	type->field_count = count;
	char *name = (char *)type + names;
	for (uint32_t i = 0; i < count; i++) {
		size_t length = strlen(fields[i].name) + 1;
		memcpy(name, fields[i].name, length);
		type->fields[i] = (struct column_field){name, fields[i].type};
		name += length;
	}
	return type;
}

struct row_type *row_type_ref(struct row_type *type)
{
	__atomic_add_fetch(&type->refs, 1, __ATOMIC_RELAXED);
	return type;
}

void row_type_unref(struct row_type *type)
{
	if (type && __atomic_sub_fetch(&type->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(type);
}

int row_type_find(const struct row_type *type, const char *name)
{
	for (uint32_t i = 0; i < type->field_count; i++)
		if (strcasecmp(type->fields[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* ---- batches ---- */

static bool has_heap(enum column_type type)
{
	return type == COLUMN_TEXT || type == COLUMN_BLOB;
}

/* Bytes a value of fixed width takes; 0: bits or heap. */
static size_t width_of(enum column_type type)
{
	switch (type) {
	case COLUMN_INT32: return 4;
	case COLUMN_INT64:
	case COLUMN_DOUBLE:
	case COLUMN_TIMESTAMP: return 8;
	case COLUMN_UUID: return 16;
	case COLUMN_BOOL:
	case COLUMN_TEXT:
	case COLUMN_BLOB: break;
	}
	return 0;
}

/* New bytes are zeroed, so that bits can be set one by one and no uninitialised padding is ever exported. */
static bool reserve(void **data, size_t *cap, size_t need)
{
	if (need <= *cap)
		return true;
	size_t size = *cap ? *cap : 64;
	while (size < need)
		size *= 2;
	uint8_t *grown = realloc(*data, size);
	if (!grown)
		return false;
	memset(grown + *cap, 0, size - *cap);
	*data = grown;
	*cap = size;
	return true;
}

struct batch *batch_new(struct row_type *type)
{
	struct batch *batch = calloc(1, sizeof *batch + type->field_count * sizeof batch->columns[0]);
	if (!batch)
		return NULL;
	batch->refs = 1;
	batch->type = row_type_ref(type);
	for (uint32_t i = 0; i < type->field_count; i++) {
		struct column *c = &batch->columns[i];
		c->type = type->fields[i].type;
		/* Arrow wants the first offset even when there are no rows. */
		if (has_heap(c->type) && !reserve((void **)&c->offsets, &c->offsets_cap, sizeof *c->offsets)) {
			batch_unref(batch);
			return NULL;
		}
	}
	return batch;
}

struct batch *batch_ref(struct batch *batch)
{
	__atomic_add_fetch(&batch->refs, 1, __ATOMIC_RELAXED);
	return batch;
}

void batch_unref(struct batch *batch)
{
	if (!batch || __atomic_sub_fetch(&batch->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (uint32_t i = 0; i < batch->type->field_count; i++) {
		free(batch->columns[i].validity);
		free(batch->columns[i].values);
		free(batch->columns[i].offsets);
	}
	row_type_unref(batch->type);
	free(batch);
}

size_t batch_bytes(const struct batch *batch)
{
	size_t size = sizeof *batch + batch->type->field_count * sizeof batch->columns[0];
	for (uint32_t i = 0; i < batch->type->field_count; i++) {
		const struct column *c = &batch->columns[i];
		size += c->validity_cap + c->values_cap + c->offsets_cap;
	}
	return size;
}

struct value batch_get(const struct batch *batch, uint32_t column, uint32_t row)
{
	assert(column < batch->type->field_count && row < batch->rows);
	const struct column *c = &batch->columns[column];
	struct value v = {.type = c->type, .null = column_is_null(c, row)};
	if (v.null)
		return v;
	switch (c->type) {
	case COLUMN_BOOL: v.boolean = ((uint8_t *)c->values)[row >> 3] >> (row & 7) & 1; break;
	case COLUMN_INT32: v.integer = ((int32_t *)c->values)[row]; break;
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: v.integer = ((int64_t *)c->values)[row]; break;
	case COLUMN_DOUBLE: v.real = ((double *)c->values)[row]; break;
	case COLUMN_UUID: v.bytes = bytes_of((uint8_t *)c->values + (size_t)row * 16, 16); break;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
		/* a heap of nothing but empty texts was never allocated */
		v.bytes = bytes_of(c->values ? (const char *)c->values + c->offsets[row] : "",
				   (size_t)(c->offsets[row + 1] - c->offsets[row]));
		break;
	}
	return v;
}

static void bit_set(uint8_t *bits, uint32_t row, bool on)
{
	uint8_t mask = (uint8_t)(1u << (row & 7));
	assert(bits);
	bits[row >> 3] = (uint8_t)(on ? bits[row >> 3] | mask : bits[row >> 3] & ~mask);
}

/* The validity bits exist from the first null on; the rows before it are there. Called for the row being built. */
static enum sm_err mark_null(struct column *c, uint32_t row, bool null)
{
	if (!c->validity && !null)
		return SM_OK;
	bool first = !c->validity;
	if (!reserve((void **)&c->validity, &c->validity_cap, (row >> 3) + 1))
		return SM_NO_MEMORY;
	if (first)
		for (uint32_t i = 0; i < row; i++)
			bit_set(c->validity, i, true);
	bit_set(c->validity, row, !null);
	return SM_OK;
}

static enum sm_err put_heap(struct column *c, uint32_t row, struct bytes bytes)
{
	size_t start = (size_t)c->offsets[row];
	if (bytes.size > COMPUTE_BATCH_BYTES_MAX || start + bytes.size > COMPUTE_BATCH_BYTES_MAX)
		return SM_TOO_LARGE;
	if (!reserve((void **)&c->offsets, &c->offsets_cap, ((size_t)row + 2) * sizeof *c->offsets) ||
	    !reserve(&c->values, &c->values_cap, start + bytes.size))
		return SM_NO_MEMORY;
	if (bytes.size)
		memcpy((uint8_t *)c->values + start, bytes.data, bytes.size);
	c->offsets[row + 1] = (int32_t)(start + bytes.size);
	return SM_OK;
}

static bool fits(enum column_type column, enum column_type value)
{
	return column == value || (column == COLUMN_INT32 && value == COLUMN_INT64) || (column == COLUMN_INT64 && value == COLUMN_INT32);
}

enum sm_err batch_put(struct batch *batch, uint32_t column, struct value value)
{
	assert(column < batch->type->field_count && batch->refs == 1);
	struct column *c = &batch->columns[column];
	uint32_t row = batch->rows;
	if (!value.null) {
		if (!fits(c->type, value.type) || (c->type == COLUMN_UUID && value.bytes.size != 16))
			return SM_TYPE;
		if (c->type == COLUMN_INT32 && (value.integer < INT32_MIN || value.integer > INT32_MAX))
			return SM_OUT_OF_RANGE;
	}
	if (has_heap(c->type)) {
		enum sm_err err = put_heap(c, row, value.null ? bytes_of(NULL, 0) : value.bytes);
		return err ? err : mark_null(c, row, value.null);
	}
	size_t width = width_of(c->type);
	if (!reserve(&c->values, &c->values_cap, width ? ((size_t)row + 1) * width : (row >> 3) + 1))
		return SM_NO_MEMORY;
	if (!value.null)
		switch (c->type) {
		case COLUMN_BOOL: bit_set(c->values, row, value.boolean); break;
		case COLUMN_INT32: ((int32_t *)c->values)[row] = (int32_t)value.integer; break;
		case COLUMN_INT64:
		case COLUMN_TIMESTAMP: ((int64_t *)c->values)[row] = value.integer; break;
		case COLUMN_DOUBLE: ((double *)c->values)[row] = value.real; break;
		case COLUMN_UUID: memcpy((uint8_t *)c->values + (size_t)row * 16, value.bytes.data, 16); break;
		case COLUMN_TEXT:
		case COLUMN_BLOB: break;
		}
	return mark_null(c, row, value.null);
}

void batch_row_end(struct batch *batch)
{
	/* Nulls are counted here, not in batch_put: a value may be given twice. */
	for (uint32_t i = 0; i < batch->type->field_count; i++)
		batch->columns[i].null_count += column_is_null(&batch->columns[i], batch->rows);
	batch->rows++;
}

enum sm_err batch_copy_row(struct batch *to, const struct batch *from, uint32_t row)
{
	for (uint32_t i = 0; i < to->type->field_count; i++) {
		enum sm_err err = batch_put(to, i, batch_get(from, i, row));
		if (err)
			return err;
	}
	batch_row_end(to);
	return SM_OK;
}

/* ---- values ---- */

enum family { FAMILY_BOOL, FAMILY_INTEGER, FAMILY_REAL, FAMILY_BYTES };

static enum family family_of(enum column_type type)
{
	switch (type) {
	case COLUMN_BOOL: return FAMILY_BOOL;
	case COLUMN_INT32:
	case COLUMN_INT64:
	case COLUMN_TIMESTAMP: return FAMILY_INTEGER;
	case COLUMN_DOUBLE: return FAMILY_REAL;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
	case COLUMN_UUID: break;
	}
	return FAMILY_BYTES;
}

static int compare_reals(double a, double b)
{
	if (isnan(a) || isnan(b))
		return (isnan(a) != 0) - (isnan(b) != 0);
	return (a > b) - (a < b);
}

/* Exact also where a double cannot hold the integer: 2^63 is the first double above them all. */
static int compare_integer_real(int64_t a, double b)
{
	if (isnan(b) || b >= 0x1p63)
		return -1;
	if (b < -0x1p63)
		return 1;
	int64_t whole = (int64_t)b;
	return a != whole ? (a > whole) - (a < whole) : compare_reals(0, b - (double)whole);
}

int value_compare(struct value a, struct value b)
{
	if (a.null || b.null)
		return b.null - a.null;
	enum family fa = family_of(a.type), fb = family_of(b.type);
	if (fa == FAMILY_INTEGER && fb == FAMILY_REAL)
		return compare_integer_real(a.integer, b.real);
	if (fa == FAMILY_REAL && fb == FAMILY_INTEGER)
		return -compare_integer_real(b.integer, a.real);
	if (fa != fb || (fa == FAMILY_BYTES && a.type != b.type))
		return (a.type > b.type) - (a.type < b.type);
	switch (fa) {
	case FAMILY_BOOL: return a.boolean - b.boolean;
	case FAMILY_INTEGER: return (a.integer > b.integer) - (a.integer < b.integer);
	case FAMILY_REAL: return compare_reals(a.real, b.real);
	case FAMILY_BYTES: break;
	}
	return bytes_compare(a.bytes, b.bytes);
}

/* Finalizer of splitmix64: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t value_hash(struct value v, uint64_t seed)
{
	uint64_t h = 0x9e3779b97f4a7c15u;
	if (!v.null)
		switch (family_of(v.type)) {
		case FAMILY_BOOL: h = v.boolean; break;
		case FAMILY_INTEGER: h = (uint64_t)v.integer; break;
		case FAMILY_REAL: {
			/* -0.0 equals 0.0, and all NaNs are one. */
			double real = isnan(v.real) ? (double)NAN : v.real == 0 ? 0 : v.real;
			memcpy(&h, &real, sizeof h);
			break;
		}
		case FAMILY_BYTES: h = hash64(v.bytes.data, v.bytes.size); break;
		}
	return mix(h + 0x9e3779b97f4a7c15u + seed * 0xd1342543de82ef95u);
}
