#include "compute/arrow.h"
#include "compute/batch.h"
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct column_field all_fields[] = {
	{"b", COLUMN_BOOL}, {"i", COLUMN_INT32}, {"l", COLUMN_INT64}, {"d", COLUMN_DOUBLE},
	{"t", COLUMN_TEXT}, {"z", COLUMN_BLOB},  {"Id", COLUMN_UUID}, {"at", COLUMN_TIMESTAMP},
};
enum { FIELDS = sizeof all_fields / sizeof *all_fields };

static struct value integer(enum column_type type, int64_t v)
{
	return (struct value){.type = type, .integer = v};
}
static struct value real(double v)
{
	return (struct value){.type = COLUMN_DOUBLE, .real = v};
}
static struct value text(const char *v)
{
	return (struct value){.type = COLUMN_TEXT, .bytes = bytes_str(v)};
}
static struct value null_of(enum column_type type)
{
	return (struct value){.type = type, .null = true};
}
static struct value uuid(const char *v)
{
	return (struct value){.type = COLUMN_UUID, .bytes = bytes_of(v, 16)};
}

/* Row i has its number in every column, every third value is null, shifted by the column. */
static struct batch *sample(uint32_t rows)
{
	struct row_type *type = row_type_new(all_fields, FIELDS);
	struct batch *batch = batch_new(type);
	row_type_unref(type);
	assert_non_null(batch);
	for (uint32_t i = 0; i < rows; i++) {
		char words[32], id[17];
		snprintf(words, sizeof words, "row %u", i);
		snprintf(id, sizeof id, "%016u", i);
		struct value values[FIELDS] = {{.type = COLUMN_BOOL, .boolean = i & 1},
					       integer(COLUMN_INT32, i),
					       integer(COLUMN_INT64, (int64_t)i << 33),
					       real(i / 2.0),
					       text(words),
					       {.type = COLUMN_BLOB, .bytes = bytes_of(words, 3)},
					       uuid(id),
					       integer(COLUMN_TIMESTAMP, 1574553617004 + i)};
		for (uint32_t c = 0; c < FIELDS; c++) {
			values[c].null = (i + c) % 3 == 0;
			assert_int_equal(batch_put(batch, c, values[c]), SM_OK);
		}
		batch_row_end(batch);
	}
	return batch;
}

static void batch_gives_back_what_was_put(void **state)
{
	struct batch *batch = sample(1000);
	assert_int_equal(batch->rows, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		char words[32];
		snprintf(words, sizeof words, "row %u", i);
		for (uint32_t c = 0; c < FIELDS; c++)
			assert_int_equal(batch_get(batch, c, i).null, (i + c) % 3 == 0);
		if (i % 3)
			assert_int_equal(batch_get(batch, 0, i).boolean, i & 1);
		if ((i + 1) % 3)
			assert_int_equal(batch_get(batch, 1, i).integer, i);
		if ((i + 4) % 3)
			assert_true(bytes_equal(batch_get(batch, 4, i).bytes, bytes_str(words)));
		if ((i + 7) % 3)
			assert_int_equal(batch_get(batch, 7, i).integer, 1574553617004 + i);
	}
	assert_int_equal(batch->columns[0].null_count, 334);
	struct batch *copy = batch_new(batch->type);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(batch_copy_row(copy, batch, i), SM_OK);
	for (uint32_t i = 0; i < 1000; i++)
		for (uint32_t c = 0; c < FIELDS; c++)
			assert_int_equal(value_compare(batch_get(batch, c, i), batch_get(copy, c, i)), 0);
	assert_true(batch_bytes(copy) > 1000 * 40);
	batch_unref(copy);
	batch_unref(batch);
}

static void batch_put_refuses_other_types_and_narrows_with_a_check(void **state)
{
	struct batch *batch = sample(0);
	assert_int_equal(batch_put(batch, 4, integer(COLUMN_INT64, 1)), SM_TYPE);
	assert_int_equal(batch_put(batch, 1, text("1")), SM_TYPE);
	assert_int_equal(batch_put(batch, 6, (struct value){.type = COLUMN_UUID, .bytes = BYTES("short")}), SM_TYPE);
	assert_int_equal(batch_put(batch, 1, integer(COLUMN_INT64, INT32_MAX)), SM_OK);
	assert_int_equal(batch_put(batch, 1, integer(COLUMN_INT64, 1ll << 31)), SM_OUT_OF_RANGE);
	assert_int_equal(batch_put(batch, 2, integer(COLUMN_INT32, -5)), SM_OK);
	assert_int_equal(batch_put(batch, 7, integer(COLUMN_INT64, 5)), SM_TYPE);
	batch_unref(batch);
}

static void a_value_given_twice_counts_once(void **state)
{
	struct row_type *type = row_type_new(&(struct column_field){"t", COLUMN_TEXT}, 1);
	struct batch *batch = batch_new(type);
	assert_int_equal(batch_put(batch, 0, null_of(COLUMN_TEXT)), SM_OK);
	assert_int_equal(batch_put(batch, 0, text("first, a long one")), SM_OK);
	assert_int_equal(batch_put(batch, 0, text("second")), SM_OK);
	batch_row_end(batch);
	assert_int_equal(batch->columns[0].null_count, 0);
	assert_true(bytes_equal(batch_get(batch, 0, 0).bytes, BYTES("second")));
	batch_unref(batch);
	row_type_unref(type);
}

static void names_are_found_without_case(void **state)
{
	struct row_type *type = row_type_new(all_fields, FIELDS);
	assert_int_equal(row_type_find(type, "ID"), 6);
	assert_int_equal(row_type_find(type, "none"), -1);
	row_type_unref(type);
}

static void values_are_in_sparks_order(void **state)
{
	/* Each is below the next. */
	struct value order[] = {null_of(COLUMN_DOUBLE),
				real(-INFINITY),
				integer(COLUMN_INT64, INT64_MIN + 1),
				real(-1.5),
				integer(COLUMN_INT32, -1),
				real(0),
				real(0.5),
				integer(COLUMN_INT64, 1),
				integer(COLUMN_INT64, INT64_MAX),
				real(0x1p63),
				real(NAN)};
	size_t n = sizeof order / sizeof *order;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			assert_int_equal(value_compare(order[i], order[j]), (i > j) - (i < j));
	assert_int_equal(value_compare(real(-0.0), real(0.0)), 0);
	assert_true(value_compare(text("a"), text("ab")) < 0);
	assert_true(value_compare(text("b"), text("ab")) > 0);
}

static void equal_values_have_one_hash(void **state)
{
	assert_int_equal(value_hash(real(-0.0), 1), value_hash(real(0.0), 1));
	assert_int_equal(value_hash(real(NAN), 1), value_hash(real(-NAN), 1));
	assert_int_equal(value_hash(integer(COLUMN_INT32, 7), 1), value_hash(integer(COLUMN_INT64, 7), 1));
	assert_int_equal(value_hash(null_of(COLUMN_TEXT), 1), value_hash(null_of(COLUMN_INT32), 1));
	assert_int_not_equal(value_hash(text("7"), 1), value_hash(text("8"), 1));
	assert_int_not_equal(value_hash(text("7"), 1), value_hash(text("7"), 2));
}

static void export_is_arrow(void **state)
{
	struct batch *batch = sample(100);
	struct ArrowSchema schema;
	struct ArrowArray array;
	assert_int_equal(batch_export(batch, &schema, &array), SM_OK);
	batch_unref(batch); /* the array holds it now */
	static const char *const formats[FIELDS] = {"b", "i", "l", "g", "u", "z", "w:16", "tsm:UTC"};
	assert_string_equal(schema.format, "+s");
	assert_int_equal(schema.n_children, FIELDS);
	assert_int_equal(array.n_children, FIELDS);
	assert_int_equal(array.length, 100);
	assert_int_equal(array.n_buffers, 1);
	for (int c = 0; c < FIELDS; c++) {
		assert_string_equal(schema.children[c]->format, formats[c]);
		assert_string_equal(schema.children[c]->name, all_fields[c].name);
		assert_int_equal(array.children[c]->n_buffers, c == 4 || c == 5 ? 3 : 2);
		assert_int_equal(array.children[c]->length, 100);
		assert_int_equal(array.children[c]->null_count, c % 3 == 0 ? 34 : 33);
	}
	const char *metadata = schema.children[6]->metadata;
	assert_memory_equal(metadata + 8, "ARROW:extension:name", 20);
	const uint8_t *validity = array.children[4]->buffers[0];
	const int32_t *offsets = array.children[4]->buffers[1];
	const char *heap = array.children[4]->buffers[2];
	assert_true(validity[1] >> 2 & 1); /* row 10 */
	assert_int_equal(offsets[11] - offsets[10], 6);
	assert_memory_equal(heap + offsets[10], "row 10", 6);
	/* A child that is moved out outlives its parent. */
	struct ArrowArray child = *array.children[1];
	array.children[1]->release = NULL;
	schema.release(&schema);
	array.release(&array);
	assert_null(schema.release);
	assert_null(array.release);
	assert_int_equal(((const int32_t *)child.buffers[1])[10], 10);
	child.release(&child);
}

static void export_of_no_rows_has_offsets(void **state)
{
	struct batch *batch = sample(0);
	struct ArrowSchema schema;
	struct ArrowArray array;
	assert_int_equal(batch_export(batch, &schema, &array), SM_OK);
	assert_int_equal(((const int32_t *)array.children[4]->buffers[1])[0], 0);
	schema.release(&schema);
	array.release(&array);
	batch_unref(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_gives_back_what_was_put),
		cmocka_unit_test(batch_put_refuses_other_types_and_narrows_with_a_check),
		cmocka_unit_test(a_value_given_twice_counts_once),
		cmocka_unit_test(names_are_found_without_case),
		cmocka_unit_test(values_are_in_sparks_order),
		cmocka_unit_test(equal_values_have_one_hash),
		cmocka_unit_test(export_is_arrow),
		cmocka_unit_test(export_of_no_rows_has_offsets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
