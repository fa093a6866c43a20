/* What plain.c takes is what row.c makes of the same bytes, also of damaged ones. */
#include "store/testing.h"

static uint64_t random_state = 88172645463325252u;
static uint64_t pick(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

/* Most are plain; each thing that is not comes now and then. */
static void random_row(const struct store_table *t, struct buf *out)
{
	static const uint8_t letters[] = "a value that is borrowed";
	struct store__row row;
	store__row_init(&row);
	if (pick(4))
		row.marker_us = 10 + (pick(8) == 0);
	if (pick(16) == 0) {
		row.marker_us = 10;
		row.marker_ttl_s = 5;
		row.marker_expiry_s = 1000;
	}
	if (pick(16) == 0)
		row.deleted_us = 9;
	if (pick(16) == 0)
		*store__row_add(&row) = (struct store__cell){.id = STORE_FORM_ID, .timestamp_us = 10, .data = letters, .size = 4};
	uint32_t last = store__table_of(t)->next_column_id;
	for (uint32_t id = 1; id <= last; id++) { /* of the last no column is known */
		if (pick(4) == 0)
			continue;
		struct store__cell *c = store__row_add(&row);
		*c = (struct store__cell){.id = id, .timestamp_us = 10, .data = letters + pick(4), .size = (uint32_t)pick(20)};
		if (pick(32) == 0)
			c->timestamp_us = 11;
		if (pick(32) == 0)
			c->tombstone = true;
		else if (pick(32) == 0)
			c->ttl_s = (int32_t)(c->expiry_s = 7);
		else if (pick(32) == 0) {
			c->part = STORE__ELEMENT;
			c->path = letters;
			c->path_size = 2;
		}
	}
	store__row_encode(&row, out);
	store__row_done(&row);
}

/* true: it was plain, and all is as row.c has it. */
static bool same_as_decoded(const struct store_table *t, struct bytes value)
{
	struct store_cell cells[16];
	struct store__row row;
	int64_t time_us;
	memset(cells, 0x55, sizeof cells);
	if (!store__row_plain(store__table_of(t), value, cells, &time_us))
		return false;
	bool lives = false;
	store__row_init(&row);
	assert_ok(store__row_decode(value, &row));
	assert_true(row.deleted_us == STORE_NO_TIME);
	assert_int_equal(row.marker_ttl_s, 0);
	if (row.marker_us != STORE_NO_TIME) {
		assert_true(row.marker_us == time_us);
		lives = true;
	}
	for (uint32_t i = 0; i < row.cell_count; i++) {
		const struct store__cell *c = &row.cells[i];
		assert_true(c->timestamp_us == time_us && !c->tombstone && !c->ttl_s && c->part == STORE__WHOLE && c->id != STORE_FORM_ID);
		uint16_t at = c->id < store__table_of(t)->next_column_id ? store__table_of(t)->column_of_id[c->id] : STORE_NO_COLUMN;
		if (at == STORE_NO_COLUMN || t->columns[at].kind != STORE_REGULAR)
			continue;
		lives = true;
		assert_ptr_equal(cells[at].data, c->data);
		assert_int_equal(cells[at].size, c->size);
		cells[at].size = -1;
	}
	for (uint16_t i = t->partition_key_count; i < t->column_count; i++)
		assert_int_equal(cells[i].size, -1); /* and nothing else */
	assert_true(lives);
	store__row_done(&row);
	return true;
}

static void plain_rows_are_what_they_are_taken_apart(void **state)
{
	struct fixture *f = *state;
	unsigned plain = 0;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c a:text:r b:int:r d:list<int>:r e:text:r s:text:s", NULL));
	const struct store_table *t = table_of(f, "t");
	for (int i = 0; i < 3000; i++) {
		struct buf b;
		buf_init(&b);
		random_row(t, &b);
		plain += same_as_decoded(t, buf_bytes(&b));
		for (size_t n = 0; n < b.end; n++) { /* every end, and a bit that flips */
			(void)same_as_decoded(t, bytes_of(b.data, n));
			uint8_t was = b.data[n];
			b.data[n] ^= (uint8_t)(1u << pick(8));
			(void)same_as_decoded(t, buf_bytes(&b));
			b.data[n] = was;
		}
		buf_done(&b);
	}
	assert_true(plain > 100);
}

static void inserted_row_is_plain(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p a:text:r b:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	struct store__row row;
	struct buf b;
	buf_init(&b);
	store__row_init(&row);
	row.marker_us = 1700000000000000;
	for (uint16_t i = 1; i < 3; i++)
		*store__row_add(&row) = (struct store__cell){
			.id = t->columns[i].id, .timestamp_us = row.marker_us, .data = (const uint8_t *)"four", .size = 4};
	store__row_encode(&row, &b);
	assert_true(same_as_decoded(t, buf_bytes(&b)));
	store__row_done(&row);
	buf_done(&b);
}

/* Times come with a read that wants them, whatever the row is like; cells are the same without. */
static void times_come_where_they_are_wanted(void **state)
{
	struct fixture *f = *state;
	assert_ok(make_keyspace(f, "ks"));
	assert_ok(make_table(f, "t", "k:int:p c:int:c a:int:r b:int:r", NULL));
	const struct store_table *t = table_of(f, "t");
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(1)), "a", INT(7), 10, 0));
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(2)), "a", INT(8), 20, 100));
	assert_ok(insert(f, t, KEY(INT(1)), KEY(INT(3)), "b", INT(9), 30, 0));
	struct store_cell key[] = {INT(1)};
	for (int none = 0; none < 2; none++) {
		struct store_read read = {.table = t, .partition_key = key, .no_times = none};
		struct store_cursor *c;
		const struct store_row *row;
		assert_ok(f->store->ops->open(f->store, &read, &c, NULL));
		for (int i = 1; i <= 3; i++) {
			uint16_t at = i == 3 ? 3 : 2;
			assert_ok(f->store->ops->next(c, &row));
			assert_int_equal(be32_get(row->cells[at].data), 6 + i);
			assert_int_equal(row->cells[5 - at].size, -1);
			assert_true(row->timestamps_us[at] == (none ? STORE_NO_TIME : i * 10));
			assert_true(row->timestamps_us[5 - at] == STORE_NO_TIME);
			assert_int_equal(row->ttls_s[at], !none && i == 2 ? 100 : 0);
		}
		assert_err(f->store->ops->next(c, &row), SM_END);
		f->store->ops->close_cursor(c);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(plain_rows_are_what_they_are_taken_apart),
		T(inserted_row_is_plain),
		T(times_come_where_they_are_wanted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
