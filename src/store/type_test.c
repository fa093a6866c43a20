#include "store/testing.h"

static struct arena arena;

static struct store_type parsed(const char *name)
{
	struct store_type t = {0};
	assert_ok(store_type_parse(name, &arena, &t));
	return t;
}

static struct store_cell u64(uint64_t v, uint8_t *room)
{
	be64_put(room, v);
	return (struct store_cell){room, 8};
}

static void names_are_parsed_and_shown(void **state)
{
	static const char *const names[] = {"ascii",
					    "bigint",
					    "blob",
					    "boolean",
					    "date",
					    "decimal",
					    "double",
					    "duration",
					    "float",
					    "inet",
					    "int",
					    "varint",
					    "smallint",
					    "text",
					    "time",
					    "timestamp",
					    "timeuuid",
					    "tinyint",
					    "uuid",
					    "counter",
					    "list<int>",
					    "map<text, frozen<set<int>>>",
					    "frozen<tuple<int, frozen<list<text>>>>",
					    "vector<float, 3>",
					    "frozen<list<frozen<map<int, text>>>>"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct store_type t = parsed(names[i]);
		assert_string_equal(store_type_name(&t, &arena), names[i]);
	}
	assert_int_equal(parsed(" VarChar ").id, STORE_TEXT);
	struct store_type t;
	assert_err(store_type_parse("nope", NULL, &t), SM_NOT_FOUND);
	assert_err(store_type_parse("int4", NULL, &t), SM_NOT_FOUND);
	assert_err(store_type_parse("", NULL, &t), SM_NOT_FOUND);
	assert_err(store_type_parse("areallylongtypename", NULL, &t), SM_NOT_FOUND);
	assert_err(store_type_parse("map<int>", &arena, &t), SM_NOT_FOUND);
	assert_err(store_type_parse("list<int", &arena, &t), SM_NOT_FOUND);
	assert_err(store_type_parse("list<int>>", &arena, &t), SM_NOT_FOUND);
	t = parsed("frozen<list<set<int>>>");
	assert_string_equal(store_type_name(&t, &arena), "frozen<list<frozen<set<int>>>>");
}

#define CELL(literal) ((struct store_cell){(const uint8_t *)(literal), sizeof(literal) - 1})

static void values_are_checked(void **state)
{
	struct store_type text = parsed("text"), ascii = parsed("ascii"), number = parsed("int"), timeuuid = parsed("timeuuid");
	assert_true(store_value_ok(&text, TEXT("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x98 and a long tail of plain letters")));
	static const char *const bad[] = {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",    "\xe2\x82",
					  "\x80",     "abcdefgh\xff", "\xf8\x88\x80\x80\x80"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(store_value_ok(&text, TEXT(bad[i])));
	assert_true(store_value_ok(&ascii, TEXT("abc")));
	assert_false(store_value_ok(&ascii, TEXT("gr\xc3\xbc")));
	assert_false(store_value_ok(&number, TEXT("abc")));
	assert_true(store_value_ok(&number, TEXT(""))); /* as Cassandra keeps it */
	struct store_type small = parsed("smallint"), list = parsed("list<int>"), tuple = parsed("tuple<int, text>");
	assert_false(store_value_ok(&small, TEXT("")));
	assert_true(store_value_ok(&list, CELL("\0\0\0\1\0\0\0\4\0\0\0\7")));
	assert_false(store_value_ok(&list, CELL("\0\0\0\1\0\0\0\4\0\0\0")));
	assert_false(store_value_ok(&list, CELL("\0\0\0\1\0\0\0\4\0\0\0\7x")));
	assert_false(store_value_ok(&list, CELL("\0\0\0\1\377\377\377\377")));
	assert_false(store_value_ok(&list, CELL("\177\0\0\1\0\0\0\4\0\0\0\7")));
	assert_true(store_value_ok(&tuple, CELL("\0\0\0\4\0\0\0\7")));
	assert_true(store_value_ok(&tuple, CELL("\377\377\377\377\0\0\0\1x")));
	assert_false(store_value_ok(&tuple, CELL("\0\0\0\4\0\0\0\7\0\0\0\1x\0\0\0\1x")));
	assert_true(store_value_ok(&number, NULL_CELL));
	uint8_t uuid[16] = {0};
	struct store_cell cell = {uuid, 16};
	assert_false(store_value_ok(&timeuuid, cell));
	uuid[6] = 0x10;
	assert_true(store_value_ok(&timeuuid, cell));
}

static void assert_order(const char *type, struct store_cell low, struct store_cell high)
{
	struct store_type t = parsed(type);
	assert_true(store_compare(&t, low, high) < 0);
	assert_true(store_compare(&t, high, low) > 0);
	assert_int_equal(store_compare(&t, low, low), 0);
}

static void numbers_compare_as_numbers(void **state)
{
	uint8_t a[8], b[8];
	assert_order("int", INT(-5), INT(3));
	assert_order("bigint", u64((uint64_t)INT64_MIN, a), u64(0, b));
	assert_order("time", u64(1, a), u64(0x8000000000000000u, b));
	assert_order("double", u64(0x8000000000000000u, a), u64(0, b));                   /* -0.0, 0.0 */
	assert_order("double", u64(0x7ff0000000000000u, a), u64(0x7ff8000000000001u, b)); /* infinity, NaN */
	assert_order("double", u64(0xfff0000000000000u, a), u64(0xbff0000000000000u, b)); /* -infinity, -1 */
	assert_order("double", u64(0xfff0000000000000u, a), u64(0xfff8000000000000u, b)); /* -infinity, NaN with a sign */
	assert_order("date", INT(1), INT(-1));
	assert_order("text", TEXT("a"), TEXT("ab"));
	assert_order("text", TEXT("z"), TEXT("\xc3\xa4"));
}

static struct store_cell uuid_cell(const char *text, struct uuid *room)
{
	assert_ok(uuid_parse(text, strlen(text), room));
	return (struct store_cell){room->bytes, 16};
}

static void uuids_compare_by_version_and_time(void **state)
{
	struct uuid a, b;
	/* the same day, one tick of 100 ns apart across the 32 bits of time_low */
	assert_order("timeuuid", uuid_cell("ffffffff-0e8a-11ea-8d71-362b9e155667", &a),
		     uuid_cell("00000000-0e8b-11ea-8d71-362b9e155667", &b));
	assert_order("uuid", uuid_cell("ffffffff-0e8a-11ea-8d71-362b9e155667", &a), uuid_cell("00000000-0e8b-11ea-8d71-362b9e155667", &b));
	/* the last bytes: signed in a timeuuid, unsigned in a uuid */
	assert_order("timeuuid", uuid_cell("00000000-0e8b-11ea-8d71-362b9e155667", &a),
		     uuid_cell("00000000-0e8b-11ea-0d71-362b9e155667", &b));
	assert_order("uuid", uuid_cell("00000000-0e8b-11ea-0d71-362b9e155667", &a), uuid_cell("00000000-0e8b-11ea-8d71-362b9e155667", &b));
	assert_order("uuid", uuid_cell("ffffffff-0e8b-11ea-8d71-362b9e155667", &a), uuid_cell("00000000-0e8b-41ea-8d71-362b9e155667", &b));
}

static void numbers_of_any_size_compare_as_numbers(void **state)
{
	static const char *const varints[] = {"\xff\x7f", "\x80", "\xff", "\x00", "\x01", "\x7f", "\x00\x80", "\x01\x00"};
	static const int sizes[] = {2, 1, 1, 1, 1, 1, 2, 2};
	for (int i = 0; i + 1 < 8; i++)
		assert_order("varint", (struct store_cell){(const uint8_t *)varints[i], sizes[i]},
			     (struct store_cell){(const uint8_t *)varints[i + 1], sizes[i + 1]});
	/* [scale][unscaled]: -100, -1.5, -0.01, 0, 0.001, 1.5, 12.29, 12.3, 1300 */
	static const char decimals[][6] = {{-1, -1, -1, -2, -1, 0}, {0, 0, 0, 1, -15, 0}, {0, 0, 0, 2, -1, 0},
					   {0, 0, 0, 5, 0, 0},      {0, 0, 0, 3, 1, 0},   {0, 0, 0, 1, 15, 0},
					   {0, 0, 0, 2, 4, -51},    {0, 0, 0, 1, 123, 0}, {-1, -1, -1, -2, 13, 0}};
	for (int i = 0; i + 1 < 9; i++)
		assert_order("decimal", (struct store_cell){(const uint8_t *)decimals[i], i == 6 ? 6 : 5},
			     (struct store_cell){(const uint8_t *)decimals[i + 1], i + 1 == 6 ? 6 : 5});
	struct store_type decimal = parsed("decimal");
	static const uint8_t same[2][6] = {{0, 0, 0, 1, 123}, {0, 0, 0, 2, 0x04, 0xce}}; /* 12.3 and 12.30 */
	assert_int_equal(store_compare(&decimal, (struct store_cell){same[0], 5}, (struct store_cell){same[1], 6}), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_parsed_and_shown),        cmocka_unit_test(values_are_checked),
		cmocka_unit_test(numbers_compare_as_numbers),        cmocka_unit_test(numbers_of_any_size_compare_as_numbers),
		cmocka_unit_test(uuids_compare_by_version_and_time),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_done(&arena);
	return failed;
}
