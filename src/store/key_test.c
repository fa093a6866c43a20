#include "store/testing.h"

static struct arena arena; /* of types */

/* A table of one clustering column (and an int behind it) of the type. */
static struct store__table *table_with(const char *type, bool descending)
{
	struct store_column columns[3] = {{.name = "k", .type = {STORE_TEXT, 0, NULL}, .kind = STORE_PARTITION_KEY, .id = 1},
					  {.name = "c", .kind = STORE_CLUSTERING, .descending = descending, .id = 2},
					  {.name = "d", .type = {STORE_INT, 0, NULL}, .kind = STORE_CLUSTERING, .position = 1, .id = 3}};
	struct store__table *table;
	assert_ok(store_type_parse(type, &arena, &columns[1].type));
	struct store_table t = {.keyspace = "ks", .name = "t", .columns = columns, .column_count = 3, .number = 9};
	assert_ok(store__table_new(&t, 4, NULL, &table, NULL));
	return table;
}

static uint64_t random_state = 88172645463325252u;
static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

#define ROOM 4096
static struct store_cell random_value(const struct store_type *type, uint8_t *room);

/* Few elements, in sizes and with nulls where the type has them. */
static struct store_cell random_composite(const struct store_type *type, uint8_t *room)
{
	static __thread unsigned depth;
	uint8_t *to = room;
	bool fields = type->id == STORE_TUPLE || type->id == STORE_UDT, vector = type->id == STORE_VECTOR;
	uint32_t n = fields ? type->element_count : vector ? type->dimension : (uint32_t)(random_u64() % (depth ? 2 : 3));
	depth++;
	if (!fields && !vector) {
		be32_put(to, n);
		to += 4;
	}
	for (uint32_t i = 0; i < n * (type->id == STORE_MAP ? 2 : 1); i++) {
		uint8_t element[ROOM / 8];
		struct store_cell e = random_value(&type->elements[fields ? i : type->id == STORE_MAP ? i % 2 : 0], element);
		if (fields && random_u64() % 3 == 0)
			e.size = -1;
		if (!vector) {
			be32_put(to, (uint32_t)e.size);
			to += 4;
		} else if (store_type_fixed_size(&type->elements[0]) < 0) {
			*to++ = (uint8_t)e.size; /* all are short */
		}
		if (e.size > 0)
			memcpy(to, e.data, (size_t)e.size);
		to += e.size > 0 ? e.size : 0;
	}
	depth--;
	return (struct store_cell){room, (int32_t)(to - room)};
}

/* Values that differ in few places, so that every branch of the order is met. */
static struct store_cell random_value(const struct store_type *type, uint8_t *room)
{
	if (store__type_composite(type))
		return random_composite(type, room);
	int size = store__type_size(type);
	int32_t n = size < 0 ? (int32_t)(random_u64() % 6) : size;
	if (type->id == STORE_VARINT)
		n++;
	if (type->id == STORE_DECIMAL)
		n = 5 + n % 3;
	for (int i = 0; i < n; i++) {
		static const uint8_t usual[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
		room[i] = random_u64() % 3 ? usual[random_u64() % sizeof usual] : (uint8_t)random_u64();
		if (type->id == STORE_TEXT || type->id == STORE_ASCII)
			room[i] &= 0x7f;
	}
	if (type->id == STORE_TIMEUUID || (type->id == STORE_UUID && random_u64() % 2))
		room[6] = 0x10 | (room[6] & 0xf);
	if (type->id == STORE_BOOLEAN)
		room[0] &= 1;
	if (type->id == STORE_DECIMAL) /* scales near each other, so that the numbers are */
		be32_put(room, (uint32_t)(int32_t)(random_u64() % 7) - 3);
	return (struct store_cell){room, n};
}

static bool is_nan_of(const struct store_type *type, struct store_cell v)
{
	return (type->id == STORE_DOUBLE && (be64_get(v.data) & INT64_MAX) > 0x7ff0000000000000) ||
	       (type->id == STORE_FLOAT && (be32_get(v.data) & INT32_MAX) > 0x7f800000);
}

/* exact: the value comes back byte for byte, else one that is equal to it. */
static void check_type(const char *type, bool descending, bool exact)
{
	struct store__table *table = table_with(type, descending);
	const struct store_type *t = &table->public.columns[1].type;
	struct buf a, b, scratch;
	buf_init(&a);
	buf_init(&b);
	buf_init(&scratch);
	for (int i = 0; i < 3000; i++) {
		uint8_t room[2][ROOM];
		struct store_cell x[2] = {random_value(t, room[0]), INT((int32_t)random_u64())};
		struct store_cell y[2] = {random_u64() % 8 ? random_value(t, room[1]) : x[0], INT((int32_t)random_u64())};
		buf_clear(&a);
		buf_clear(&b);
		assert_ok(store__clustering_encode(&table->public, x, 2, &a));
		assert_ok(store__clustering_encode(&table->public, y, 2, &b));
		int want = store_compare(t, x[0], y[0]);
		if (descending)
			want = -want;
		if (!want)
			want = store_compare(&table->public.columns[2].type, x[1], y[1]);
		int got = bytes_compare(buf_bytes(&a), buf_bytes(&b));
		if ((want > 0) - (want < 0) != (got > 0) - (got < 0))
			fail_msg("%s: compare says %d, the encodings %d", type, want, got);
		struct store_cell back[2];
		assert_ok(store__clustering_decode(&table->public, buf_bytes(&a), &scratch, back));
		assert_int_equal(is_nan_of(t, x[0]) ? 0 : store_compare(t, back[0], x[0]), 0);
		if (!is_nan_of(t, x[0]) && exact) {
			assert_int_equal(back[0].size, x[0].size);
			assert_memory_equal(back[0].data, x[0].data, (size_t)x[0].size);
		}
		assert_memory_equal(back[1].data, x[1].data, 4);
		assert_err(store__clustering_decode(&table->public, bytes_of(a.data, a.end - 1), &scratch, back), SM_CORRUPT);
	}
	buf_done(&a);
	buf_done(&b);
	buf_done(&scratch);
	store__table_unref(table);
}

static void encodings_have_the_order_of_the_values_and_come_back(void **state)
{
	static const char *const names[] = {"ascii",    "bigint", "blob", "boolean",   "date",     "double",  "float", "int",
					    "smallint", "text",   "time", "timestamp", "timeuuid", "tinyint", "uuid"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		check_type(names[i], false, true);
		check_type(names[i], true, true);
	}
	static const char *const others[] = {"varint",
					     "decimal",
					     "frozen<list<int>>",
					     "frozen<set<text>>",
					     "frozen<map<text, frozen<list<blob>>>>",
					     "tuple<int, text, varint>",
					     "frozen<list<tuple<tinyint, decimal>>>",
					     "vector<smallint, 3>"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		check_type(others[i], false, false);
		check_type(others[i], true, false);
	}
}

static void spans_hold_just_their_rows(void **state)
{
	for (int descending = 0; descending < 2; descending++) {
		struct store__table *table = table_with("blob", descending);
		struct buf bounds, key;
		buf_init(&bounds);
		buf_init(&key);
		for (int i = 0; i < 5000; i++) {
			uint8_t room[3][ROOM];
			const struct store_type *t = &table->public.columns[1].type;
			struct store_cell low[2] = {random_value(t, room[0]), INT(random_u64() % 3)},
					  high[2] = {random_value(t, room[1]), INT(random_u64() % 3)};
			struct store_cell x[2] = {random_value(t, room[2]), INT(random_u64() % 3)};
			struct store_bound from = {(enum store_bound_kind)(random_u64() % 3), (uint16_t)(random_u64() % 3), low};
			struct store_bound to = {(enum store_bound_kind)(random_u64() % 3), (uint16_t)(random_u64() % 3), high};
			struct store_span span;
			buf_clear(&bounds);
			buf_clear(&key);
			assert_ok(store__span(&table->public, &from, &to, &bounds, &span));
			assert_ok(store__clustering_encode(&table->public, x, 2, &key));
			bool got = !span.empty && bytes_compare(buf_bytes(&key), span.lower) >= 0 &&
				   (!span.has_upper || bytes_compare(buf_bytes(&key), span.upper) < 0);
			bool want = true;
			for (int side = 0; side < 2; side++) {
				const struct store_bound *b = side ? &to : &from;
				if (b->kind == STORE_UNBOUNDED || b->count == 0)
					continue;
				int c = store_compare(t, x[0], b->cells[0]) * (descending ? -1 : 1);
				if (c == 0 && b->count == 2)
					c = store_compare(&table->public.columns[2].type, x[1], b->cells[1]);
				if (side)
					c = -c;
				want = want && (c > 0 || (c == 0 && b->kind == STORE_INCLUSIVE));
			}
			assert_int_equal(got, want);
		}
		buf_done(&bounds);
		buf_done(&key);
		store__table_unref(table);
	}
}

static void range_deletions_bounds_come_back(void **state)
{
	struct store_span span = {.lower = BYTES("abc"), .upper = BYTES("abd"), .has_upper = true}, back;
	struct buf b;
	buf_init(&b);
	store__range_encode(&span, &b);
	assert_ok(store__range_decode(buf_bytes(&b), &back));
	assert_true(bytes_equal(back.lower, span.lower) && bytes_equal(back.upper, span.upper) && back.has_upper);
	assert_err(store__range_decode(bytes_of(b.data, 6), &back), SM_CORRUPT);
	b.data[7] = 0; /* no upper bound, and yet bytes behind */
	assert_err(store__range_decode(buf_bytes(&b), &back), SM_CORRUPT);
	buf_done(&b);
}

/* Two that are known of the Murmur3Partitioner. */
static void tokens_are_cassandras(void **state)
{
	struct store__table *table = table_with("int", false);
	assert_int_equal(store_token(&table->public, KEY(TEXT("a"))), INT64_C(-8839064797231613815));
	assert_int_equal(store_token(&table->public, KEY(TEXT("hello"))), INT64_C(-3758069500696749310));
	store__table_unref(table);
}

static void several_key_columns_make_a_composite(void **state)
{
	struct store_column columns[2] = {{.name = "a", .type = {STORE_TEXT, 0, NULL}, .kind = STORE_PARTITION_KEY, .id = 1},
					  {.name = "b", .type = {STORE_INT, 0, NULL}, .kind = STORE_PARTITION_KEY, .position = 1, .id = 2}};
	struct store_table t = {.keyspace = "ks", .name = "t", .columns = columns, .column_count = 2, .number = 9};
	struct store__table *table;
	assert_ok(store__table_new(&t, 3, NULL, &table, NULL));
	struct buf b, key;
	buf_init(&b);
	buf_init(&key);
	assert_ok(store__partition_bytes(&table->public, KEY(TEXT("xy"), INT(7)), &b));
	assert_int_equal(b.end, 12);
	assert_memory_equal(b.data, "\0\2xy\0\0\4\0\0\0\7\0", 12);
	store__key_prefix(9, buf_bytes(&b), &key);
	buf_u8(&key, STORE_KEY_STATIC);
	struct store_key k;
	assert_ok(store__key_decode(buf_bytes(&key), &k));
	assert_int_equal(k.table, 9);
	assert_int_equal(k.token, store_token(&table->public, KEY(TEXT("xy"), INT(7))));
	assert_int_equal(k.kind, STORE_KEY_STATIC);
	struct store_cell cells[2];
	assert_ok(store__partition_cells(&table->public, k.partition, cells));
	assert_int_equal(cells[0].size, 2);
	assert_int_equal(be32_get(cells[1].data), 7);
	assert_err(store__partition_cells(&table->public, bytes_of(k.partition.data, 11), cells), SM_CORRUPT);
	for (size_t i = 0; i < key.end; i++)
		assert_err(store__key_decode(bytes_of(key.data, i), &k), SM_CORRUPT);
	buf_done(&b);
	buf_done(&key);
	store__table_unref(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodings_have_the_order_of_the_values_and_come_back),
		cmocka_unit_test(spans_hold_just_their_rows),
		cmocka_unit_test(range_deletions_bounds_come_back),
		cmocka_unit_test(tokens_are_cassandras),
		cmocka_unit_test(several_key_columns_make_a_composite),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	arena_done(&arena);
	return failed;
}
