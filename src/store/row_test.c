#include "store/testing.h"

static uint64_t random_state = 2463534242u;
static uint64_t pick(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static const uint8_t letters[] = "abcdefgh";

static void fill_cell(struct store__cell *c)
{
	if (c->tombstone) {
		c->expiry_s = (int64_t)pick(2);
		return;
	}
	c->data = letters + pick(3);
	c->size = (uint32_t)pick(3);
	if (pick(3) == 0) {
		c->ttl_s = 1 + (int32_t)pick(2);
		c->expiry_s = 1000 + (int64_t)pick(2);
	}
}

/* Few times and values, so that ties are common. */
static void random_piece(struct buf *out)
{
	struct store__row row;
	store__row_init(&row);
	if (pick(3) == 0) {
		row.marker_us = (int64_t)pick(4);
		if (pick(2)) {
			row.marker_ttl_s = 1 + (int32_t)pick(2);
			row.marker_expiry_s = 1000 + (int64_t)pick(3);
		}
	}
	if (pick(5) == 0) {
		row.deleted_us = (int64_t)pick(4);
		row.deleted_s = (int64_t)pick(3);
	}
	for (uint32_t id = 1; id < 40; id++) {
		if (pick(6))
			continue;
		struct store__cell *c = store__row_add(&row);
		*c = (struct store__cell){.id = id, .timestamp_us = (int64_t)pick(4), .tombstone = pick(4) == 0};
		fill_cell(c);
	}
	/* columns with elements: now and then cleared, few paths, so that pieces meet */
	for (uint32_t id = 40; id < 44; id++) {
		if (pick(3) == 0)
			*store__row_add(&row) = (struct store__cell){.id = id,
								     .part = STORE__CLEARED,
								     .tombstone = true,
								     .timestamp_us = (int64_t)pick(4),
								     .expiry_s = (int64_t)pick(2)};
		for (uint32_t path = 0; path < 5; path++) {
			if (pick(2))
				continue;
			struct store__cell *c = store__row_add(&row);
			*c = (struct store__cell){
				.id = id, .part = STORE__ELEMENT, .timestamp_us = (int64_t)pick(4), .tombstone = pick(4) == 0};
			c->path = letters + path;
			c->path_size = 1 + path % 3;
			fill_cell(c);
		}
	}
	store__row_encode(&row, out);
	store__row_done(&row);
}

#define PIECES 7
static void merge_some(const struct buf *pieces, const int *order, int count, struct buf *out)
{
	struct bytes values[PIECES * 2];
	for (int i = 0; i < count; i++)
		values[i] = buf_bytes(&pieces[order[i]]);
	buf_clear(out);
	assert_ok(store__row_merge_values(values, (size_t)count, out));
}

static void resolution_knows_no_order_and_no_grouping(void **state)
{
	for (int round = 0; round < 2000; round++) {
		struct buf pieces[PIECES + 2], all, again;
		int order[PIECES * 2];
		for (int i = 0; i < PIECES + 2; i++)
			buf_init(&pieces[i]);
		buf_init(&all);
		buf_init(&again);
		for (int i = 0; i < PIECES; i++) {
			random_piece(&pieces[i]);
			order[i] = i;
		}
		merge_some(pieces, order, PIECES, &all);
		/* shuffled, some twice */
		for (int i = 0; i < PIECES; i++) {
			int j = (int)pick((uint64_t)i + 1), t = order[i];
			order[i] = order[j];
			order[j] = t;
		}
		order[PIECES] = order[0];
		order[PIECES + 1] = order[2];
		merge_some(pieces, order, PIECES + 2, &again);
		assert_true(bytes_equal(buf_bytes(&all), buf_bytes(&again)));
		/* in two groups, then those */
		int split = 1 + (int)pick(PIECES - 1);
		merge_some(pieces, order, split, &pieces[PIECES]);
		merge_some(pieces, order + split, PIECES - split, &pieces[PIECES + 1]);
		merge_some(pieces, (int[]){PIECES, PIECES + 1}, 2, &again);
		assert_true(bytes_equal(buf_bytes(&all), buf_bytes(&again)));
		for (int i = 0; i < PIECES + 2; i++)
			buf_done(&pieces[i]);
		buf_done(&all);
		buf_done(&again);
	}
}

static void encode_one(const struct store__cell *cell, int64_t deleted_us, struct buf *out)
{
	struct store__row row;
	store__row_init(&row);
	row.deleted_us = deleted_us;
	if (cell)
		*store__row_add(&row) = *cell;
	store__row_encode(&row, out);
	store__row_done(&row);
}

/* b wins over a, whichever comes first. */
static void assert_wins(struct store__cell a, struct store__cell b)
{
	for (int swap = 0; swap < 2; swap++) {
		struct buf x, y, out;
		struct store__row row;
		buf_init(&x);
		buf_init(&y);
		buf_init(&out);
		encode_one(&a, STORE_NO_TIME, &x);
		encode_one(&b, STORE_NO_TIME, &y);
		struct bytes values[2] = {buf_bytes(swap ? &y : &x), buf_bytes(swap ? &x : &y)};
		assert_ok(store__row_merge_values(values, 2, &out));
		store__row_init(&row);
		assert_ok(store__row_decode(buf_bytes(&out), &row));
		assert_int_equal(row.cell_count, 1);
		assert_int_equal(row.cells[0].timestamp_us, b.timestamp_us);
		assert_int_equal(row.cells[0].tombstone, b.tombstone);
		assert_int_equal(row.cells[0].expiry_s, b.expiry_s);
		assert_int_equal(row.cells[0].size, b.size);
		if (b.size)
			assert_memory_equal(row.cells[0].data, b.data, b.size);
		store__row_done(&row);
		buf_done(&x);
		buf_done(&y);
		buf_done(&out);
	}
}

static void cells_are_resolved_as_in_cassandra(void **state)
{
	struct store__cell a = {.id = 1, .timestamp_us = 5, .data = letters, .size = 1}, b = a;
	b.timestamp_us = 6;
	assert_wins(a, b); /* later */
	b = (struct store__cell){.id = 1, .timestamp_us = 5, .tombstone = true, .expiry_s = 3};
	assert_wins(a, b); /* a tombstone at the same time */
	a.ttl_s = 5, a.expiry_s = 100;
	assert_wins(a, b);
	b = a;
	b.ttl_s = 0, b.expiry_s = 0, b.data = letters + 1;
	assert_wins(b, a); /* what expires, before what stays */
	b = a;
	b.expiry_s = 101, b.data = letters + 1;
	assert_wins(a, b); /* the later expiry */
	a.ttl_s = 0, a.expiry_s = 0;
	b = a;
	b.data = letters + 1;
	assert_wins(a, b); /* the larger value */
	b = a;
	b.size = 2;
	assert_wins(a, b);
	a.size = 0;
	assert_wins(a, b);
	a = (struct store__cell){.id = 1, .timestamp_us = INT64_MAX, .data = letters, .size = 1};
	b.timestamp_us = -INT64_MAX;
	assert_wins(b, a);
}

static void deletion_takes_what_is_as_old_and_stays(void **state)
{
	struct store__cell a = {.id = 1, .timestamp_us = 5, .data = letters, .size = 1};
	struct buf x, y, out;
	struct store__row row;
	buf_init(&x);
	buf_init(&y);
	buf_init(&out);
	store__row_init(&row);
	encode_one(&a, STORE_NO_TIME, &x);
	encode_one(NULL, 5, &y);
	struct bytes values[2] = {buf_bytes(&x), buf_bytes(&y)};
	assert_ok(store__row_merge_values(values, 2, &out));
	assert_ok(store__row_decode(buf_bytes(&out), &row));
	assert_int_equal(row.cell_count, 0);
	assert_int_equal(row.deleted_us, 5);
	store__row_done(&row);
	buf_done(&x);
	buf_done(&y);
	buf_done(&out);
}

static struct store__cell an_element(const char *path, int64_t timestamp_us)
{
	return (struct store__cell){.id = 1,
				    .part = STORE__ELEMENT,
				    .timestamp_us = timestamp_us,
				    .path = (const uint8_t *)path,
				    .path_size = (uint32_t)strlen(path),
				    .data = letters,
				    .size = 1};
}

static void clearing_takes_the_elements_that_are_as_old_and_stays(void **state)
{
	struct store__cell old = an_element("a", 5), new = an_element("b", 6);
	struct store__cell cleared = {.id = 1, .part = STORE__CLEARED, .tombstone = true, .timestamp_us = 5, .expiry_s = 9};
	const struct store__cell *cells[] = {&new, &cleared, &old};
	struct buf pieces[3], out;
	struct bytes values[3];
	struct store__row row;
	buf_init(&out);
	for (int i = 0; i < 3; i++) {
		buf_init(&pieces[i]);
		encode_one(cells[i], STORE_NO_TIME, &pieces[i]);
		values[i] = buf_bytes(&pieces[i]);
	}
	assert_ok(store__row_merge_values(values, 3, &out));
	store__row_init(&row);
	assert_ok(store__row_decode(buf_bytes(&out), &row));
	assert_int_equal(row.cell_count, 2);
	assert_int_equal(row.cells[0].part, STORE__CLEARED);
	assert_int_equal(row.cells[0].expiry_s, 9);
	assert_int_equal(row.cells[1].part, STORE__ELEMENT);
	assert_memory_equal(row.cells[1].path, "b", 1);
	store__row_done(&row);
	for (int i = 0; i < 3; i++)
		buf_done(&pieces[i]);
	buf_done(&out);
}

static void damaged_values_are_refused(void **state)
{
	for (int round = 0; round < 3000; round++) {
		struct buf b;
		struct store__row row;
		buf_init(&b);
		store__row_init(&row);
		random_piece(&b);
		uint8_t *copy = malloc(b.end); /* exactly as long, so that ASan sees a read past the end */
		memcpy(copy, b.data, b.end);
		if (pick(2))
			copy[pick(b.end)] ^= (uint8_t)(1u << pick(8));
		size_t size = pick(2) ? b.end : pick(b.end);
		uint8_t *cut = malloc(size ? size : 1);
		memcpy(cut, copy, size);
		enum sm_err err = store__row_decode(bytes_of(cut, size), &row);
		assert_true(err == SM_OK || err == SM_CORRUPT);
		free(cut);
		free(copy);
		store__row_done(&row);
		buf_done(&b);
	}
	struct store__row row;
	store__row_init(&row);
	assert_err(store__row_decode(bytes_of(NULL, 0), &row), SM_CORRUPT);
	assert_err(store__row_decode(BYTES("\x08\0\0\0\0\0\0\0\0"), &row), SM_CORRUPT);             /* unknown flag */
	assert_err(store__row_decode(BYTES("\0\0\0\0\0\0\0\0\0\2\0\1a\1\0\1a"), &row), SM_CORRUPT); /* ids descend */
	store__row_done(&row);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resolution_knows_no_order_and_no_grouping),
		cmocka_unit_test(cells_are_resolved_as_in_cassandra),
		cmocka_unit_test(deletion_takes_what_is_as_old_and_stays),
		cmocka_unit_test(clearing_takes_the_elements_that_are_as_old_and_stays),
		cmocka_unit_test(damaged_values_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
