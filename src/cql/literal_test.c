#include "cql/testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena arena;

static int set_up(void **state)
{
	arena_init(&arena, 0);
	return 0;
}
static int tear_down(void **state)
{
	arena_done(&arena);
	return 0;
}

static struct cql_term term(enum cql_literal kind, const char *text)
{
	return (struct cql_term){.kind = CQL_TERM_LITERAL, .literal = kind, .text = bytes_str(text)};
}

/* The literal gives these bytes, and they are shown as shown. */
static void gives(enum store_type_id type, enum cql_literal kind, const char *text, const char *hex, const char *shown)
{
	struct cql_error err = {0};
	struct cql_term t = term(kind, text);
	struct store_cell cell;
	char got[200] = "";
	if (cql__literal_value(&t, cql__type(type), "c", &arena, &cell, &err))
		fail_msg("%s: %s", text, err.text);
	for (int32_t i = 0; i < cell.size; i++)
		snprintf(got + 2 * i, 3, "%02x", cell.data[i]);
	assert_string_equal(got, hex);
	assert_string_equal(cql_render(cql__type(type), cell, &arena), shown);
	assert_int_equal(cql__value_check(cql__type(type), cell, &err), SM_OK);
}

static void refused(enum store_type_id type, enum cql_literal kind, const char *text, const char *message)
{
	struct cql_error err = {0};
	struct cql_term t = term(kind, text);
	struct store_cell cell;
	assert_int_not_equal(cql__literal_value(&t, cql__type(type), "c", &arena, &cell, &err), SM_OK);
	assert_string_equal(err.text, message);
}

static void whole_numbers_keep_to_their_type(void **state)
{
	gives(STORE_INT, CQL_INTEGER, "-2147483648", "80000000", "-2147483648");
	gives(STORE_BIGINT, CQL_INTEGER, "9223372036854775807", "7fffffffffffffff", "9223372036854775807");
	gives(STORE_SMALLINT, CQL_INTEGER, "-1", "ffff", "-1");
	gives(STORE_TINYINT, CQL_INTEGER, "127", "7f", "127");
	refused(STORE_INT, CQL_INTEGER, "2147483648", "Unable to make int from '2147483648'");
	refused(STORE_TINYINT, CQL_INTEGER, "-129", "Unable to make byte from '-129'");
	refused(STORE_BIGINT, CQL_INTEGER, "9223372036854775808", "Unable to make long from '9223372036854775808'");
	refused(STORE_INT, CQL_FLOAT, "1.5", "Invalid FLOAT constant (1.5) for \"c\" of type int");
	refused(STORE_TEXT, CQL_INTEGER, "5", "Invalid INTEGER constant (5) for \"c\" of type text");
}

static void numbers_of_any_size_are_as_java_has_them(void **state)
{
	gives(STORE_VARINT, CQL_INTEGER, "123456789012345678901234567890", "018ee90ff6c373e0ee4e3f0ad2", "123456789012345678901234567890");
	gives(STORE_VARINT, CQL_INTEGER, "-129", "ff7f", "-129");
	gives(STORE_VARINT, CQL_INTEGER, "-128", "80", "-128");
	gives(STORE_VARINT, CQL_INTEGER, "0", "00", "0");
	gives(STORE_VARINT, CQL_INTEGER, "-0", "00", "0");
	gives(STORE_VARINT, CQL_INTEGER, "000000000000000000000000000", "00", "0");
	gives(STORE_VARINT, CQL_INTEGER, "-999999999999999999", "f21f494c589c0001", "-999999999999999999");
	gives(STORE_VARINT, CQL_INTEGER, "9223372036854775807", "7fffffffffffffff", "9223372036854775807");
	gives(STORE_VARINT, CQL_INTEGER, "9223372036854775808", "008000000000000000", "9223372036854775808");
	gives(STORE_VARINT, CQL_INTEGER, "-9223372036854775808", "8000000000000000", "-9223372036854775808");
	gives(STORE_VARINT, CQL_INTEGER, "-9223372036854775809", "ff7fffffffffffffff", "-9223372036854775809");
	gives(STORE_VARINT, CQL_INTEGER, "-18446744073709551616", "ff0000000000000000", "-18446744073709551616");
	gives(STORE_DECIMAL, CQL_FLOAT, "123.4500", "0000000412d644", "123.4500");
	gives(STORE_DECIMAL, CQL_FLOAT, "-0.001", "00000003ff", "-0.001");
	gives(STORE_DECIMAL, CQL_FLOAT, "1.5e10", "fffffff70f", "1.5E+10");
	gives(STORE_DECIMAL, CQL_INTEGER, "7", "0000000007", "7");
}

static void real_numbers_have_one_nan(void **state)
{
	gives(STORE_DOUBLE, CQL_FLOAT, "3.141592653589793", "400921fb54442d18", "3.14159");
	gives(STORE_DOUBLE, CQL_FLOAT, "NaN", "7ff8000000000000", "NaN");
	gives(STORE_FLOAT, CQL_FLOAT, "-Infinity", "ff800000", "-Infinity");
	gives(STORE_FLOAT, CQL_INTEGER, "2", "40000000", "2");
}

static void times_are_read_and_shown(void **state)
{
	gives(STORE_TIMESTAMP, CQL_STRING, "2015-09-01 12:34:56.789+0000", "0000014f88e73095", "2015-09-01 12:34:56.789000+0000");
	gives(STORE_TIMESTAMP, CQL_STRING, "2015-09-01T14:34:56.789+02:00", "0000014f88e73095", "2015-09-01 12:34:56.789000+0000");
	gives(STORE_TIMESTAMP, CQL_STRING, "1969-12-31", "fffffffffad9a400", "1969-12-31 00:00:00.000000+0000");
	gives(STORE_DATE, CQL_STRING, "1969-12-31", "7fffffff", "1969-12-31");
	gives(STORE_TIME, CQL_STRING, "13:14:15.123456789", "00002b5792b49315", "13:14:15.123456789");
	gives(STORE_DURATION, CQL_DURATION, "1y2mo3d4h5m6s7ms", "1c06fc1ac004a58780", "1y2mo3d4h5m6s7ms");
	gives(STORE_DURATION, CQL_DURATION, "-2w", "001b00", "-14d");
	refused(STORE_TIMESTAMP, CQL_STRING, "2015-02-29", "Unable to parse a date/time from '2015-02-29'");
	refused(STORE_TIME, CQL_STRING, "25:00:00", "(TimeType) Unable to coerce '25:00:00' to a formatted time (long)");
}

static void other_types(void **state)
{
	gives(STORE_INET, CQL_STRING, "10.1.2.3", "0a010203", "10.1.2.3");
	gives(STORE_INET, CQL_STRING, "::1", "00000000000000000000000000000001", "::1");
	gives(STORE_BLOB, CQL_HEX, "cafe00", "cafe00", "0xcafe00");
	gives(STORE_BOOLEAN, CQL_BOOLEAN, "TRUE", "01", "True");
	gives(STORE_UUID, CQL_UUID, "11111111-1111-4111-8111-111111111111", "11111111111141118111111111111111",
	      "11111111-1111-4111-8111-111111111111");
	refused(STORE_TIMEUUID, CQL_UUID, "11111111-1111-4111-8111-111111111111", "TimeUUID supports only version 1 UUIDs");
	refused(STORE_BLOB, CQL_HEX, "abc", "An hex string representing bytes must have an even length");
}

static void values_of_clients_are_checked(void **state)
{
	struct cql_error err = {0};
	assert_int_equal(cql__value_check(cql__type(STORE_INT), (struct store_cell){(const uint8_t *)"ab", 2}, &err), SM_INVALID);
	assert_string_equal(err.text, "Expected 4 or 0 byte int (2)");
	assert_int_equal(cql__value_check(cql__type(STORE_TEXT), (struct store_cell){(const uint8_t *)"\xff\xfe", 2}, &err), SM_INVALID);
	assert_string_equal(err.text, "String didn't validate.");
	assert_int_equal(cql__value_check(cql__type(STORE_TEXT), (struct store_cell){(const uint8_t *)"\xed\xa0\x80", 3}, &err),
			 SM_INVALID);
	assert_int_equal(cql__value_check(cql__type(STORE_INT), cql__null(), &err), SM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_keep_to_their_type),
		cmocka_unit_test(numbers_of_any_size_are_as_java_has_them),
		cmocka_unit_test(real_numbers_have_one_nan),
		cmocka_unit_test(times_are_read_and_shown),
		cmocka_unit_test(other_types),
		cmocka_unit_test(values_of_clients_are_checked),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
