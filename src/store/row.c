/* What the value of one key holds, and how two of them are resolved.
 *
 *   size     what
 *   1        flags: 1 a row marker, 2 the marker expires, 4 deleted
 *   8        base write time B in microseconds, big-endian
 *   varint   marker: its write time - B           (flag 1)
 *   uvarint  marker: ttl in seconds, expiry second  (flag 2; two numbers)
 *   varint   deletion: its write time - B         (flag 4)
 *   uvarint  deletion: second when it was made    (flag 4)
 *   then cells until the end, their places ascending:
 *   uvarint  column id
 *   1        flags: 1 write time is not B, 2 tombstone, 4 expires, 8 an element, 16 (with 2) of all elements that are as old
 *   varint   write time - B                       (flag 1)
 *   uvarint  tombstone: second when it was made   (flag 2)
 *   uvarint  ttl in seconds, expiry second          (flag 4; two numbers)
 *   uvarint  size, then the element's path        (flag 8)
 *   uvarint  size, then the value in CQL's serialization   (not flag 2)
 *
 * A cell's place is its column's id, then whether it clears all elements (first) or is one, then the element's path, as bytes. The path is
 * the key of a map, the element of a set (its value is empty), the index of a user type's field (be16), or a list's position (mutation.c).
 *
 * A row is written as such a value with the cells that the statement names, and RocksDB keeps the pieces until the merge operator
 * resolves them. Resolution is commutative, associative and idempotent, and loses nothing that another piece could need:
 * tombstones and deletions stay, whatever the time is. Counters hold sums, not differences (counter.c), so they need no other rule. A row's
 * own deletion is kept in the row (marker, cells and deletion in one value); partition and range deletions use the same format with nothing
 * but the deletion. Rule: Cassandra's. Later write time wins; then a tombstone; then what expires, the later expiry first; then the larger
 * value. */
#include "store/store_internal.h"
#include <assert.h>
#include <stdlib.h>

enum { ROW_MARKER = 1, ROW_MARKER_EXPIRES = 2, ROW_DELETED = 4, ROW_FLAGS = 7 };
enum { CELL_TIME = 1, CELL_TOMBSTONE = 2, CELL_EXPIRES = 4, CELL_ELEMENT = 8, CELL_CLEARED = 16, CELL_FLAGS = 31 };

void store__row_init(struct store__row *row)
{
	row->marker_us = row->deleted_us = STORE_NO_TIME;
	row->marker_ttl_s = 0;
	row->marker_expiry_s = row->deleted_s = 0;
	row->cells = row->inline_cells;
	row->cell_count = 0;
	row->cell_cap = sizeof row->inline_cells / sizeof *row->inline_cells;
}

void store__row_done(struct store__row *row)
{
	if (row->cells != row->inline_cells)
		free(row->cells);
	store__row_init(row);
}

int64_t store__row_newest_us(const struct store__row *row)
{
	int64_t newest_us = row->marker_us > row->deleted_us ? row->marker_us : row->deleted_us;
	for (uint32_t i = 0; i < row->cell_count; i++)
		if (row->cells[i].timestamp_us > newest_us)
			newest_us = row->cells[i].timestamp_us;
	return newest_us;
}

struct store__cell *store__row_add(struct store__row *row)
{
	assert(row->cell_cap);
	if (row->cell_count == row->cell_cap) {
		bool first = row->cells == row->inline_cells;
		struct store__cell *cells = realloc(first ? NULL : row->cells, row->cell_cap * 2 * sizeof *cells);
		if (!cells)
			return NULL;
		if (first)
			memcpy(cells, row->inline_cells, sizeof row->inline_cells);
		row->cells = cells;
		row->cell_cap *= 2;
	}
	return &row->cells[row->cell_count++];
}

/* < 0: a's place is before b's. */
static int compare_places(const struct store__cell *a, const struct store__cell *b)
{
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->part != b->part)
		return a->part < b->part ? -1 : 1;
	return a->part == STORE__ELEMENT ? bytes_compare(bytes_of(a->path, a->path_size), bytes_of(b->path, b->path_size)) : 0;
}

/* Base and difference wrap, so that each pair of times has a difference. */
static int64_t time_at(int64_t base, int64_t difference)
{
	return (int64_t)((uint64_t)base + (uint64_t)difference);
}

static bool decode_lifetime(struct byte_reader *r, int32_t *ret_ttl_s, int64_t *ret_expiry_s)
{
	uint64_t ttl = reader_uvarint(r), expiry = reader_uvarint(r);
	*ret_ttl_s = (int32_t)ttl;
	*ret_expiry_s = (int64_t)expiry;
	return !r->failed && ttl > 0 && ttl <= STORE_TTL_MAX_S && expiry <= INT64_MAX;
}

static bool decode_bytes(struct byte_reader *r, const uint8_t **ret_data, uint32_t *ret_size)
{
	uint64_t size = reader_uvarint(r);
	if (size > INT32_MAX)
		return false;
	*ret_size = (uint32_t)size;
	*ret_data = reader_take(r, (size_t)size);
	return !r->failed;
}

static bool decode_cell(struct byte_reader *r, int64_t base, struct store__cell *cell)
{
	uint64_t id = reader_uvarint(r);
	uint8_t flags = reader_u8(r);
	*cell = (struct store__cell){.id = (uint32_t)id, .timestamp_us = base, .tombstone = flags & CELL_TOMBSTONE};
	cell->part = flags & CELL_ELEMENT ? STORE__ELEMENT : flags & CELL_CLEARED ? STORE__CLEARED : STORE__WHOLE;
	if (id > UINT32_MAX || flags & ~CELL_FLAGS || (flags & CELL_TOMBSTONE && flags & CELL_EXPIRES) ||
	    (flags & CELL_CLEARED && (flags & CELL_ELEMENT || !(flags & CELL_TOMBSTONE))))
		return false;
	if (flags & CELL_TIME)
		cell->timestamp_us = time_at(base, reader_varint(r));
	if (flags & CELL_TOMBSTONE) {
		uint64_t second = reader_uvarint(r);
		cell->expiry_s = (int64_t)second;
		if (second > INT64_MAX)
			return false;
	}
	if (flags & CELL_EXPIRES && !decode_lifetime(r, &cell->ttl_s, &cell->expiry_s))
		return false;
	if (flags & CELL_ELEMENT && !decode_bytes(r, &cell->path, &cell->path_size))
		return false;
	if (!(flags & CELL_TOMBSTONE) && !decode_bytes(r, &cell->data, &cell->size))
		return false;
	return !r->failed;
}

enum sm_err store__row_decode(struct bytes value, struct store__row *row)
{
	struct byte_reader r = byte_reader(value);
	uint8_t flags = reader_u8(&r);
	int64_t base = (int64_t)reader_be64(&r);
	row->marker_us = row->deleted_us = STORE_NO_TIME;
	row->marker_ttl_s = 0;
	row->marker_expiry_s = row->deleted_s = 0;
	row->cell_count = 0;
	if (flags & ~ROW_FLAGS || (flags & ROW_MARKER_EXPIRES && !(flags & ROW_MARKER)))
		return SM_CORRUPT;
	if (flags & ROW_MARKER)
		row->marker_us = time_at(base, reader_varint(&r));
	if (flags & ROW_MARKER_EXPIRES && !decode_lifetime(&r, &row->marker_ttl_s, &row->marker_expiry_s))
		return SM_CORRUPT;
	if (flags & ROW_DELETED) {
		row->deleted_us = time_at(base, reader_varint(&r));
		uint64_t second = reader_uvarint(&r);
		if (second > INT64_MAX)
			return SM_CORRUPT;
		row->deleted_s = (int64_t)second;
	}
	while (!r.failed && reader_left(&r)) {
		struct store__cell *cell = store__row_add(row);
		if (!cell)
			return SM_NO_MEMORY;
		if (!decode_cell(&r, base, cell) || (row->cell_count > 1 && compare_places(&cell[-1], cell) >= 0))
			return SM_CORRUPT;
	}
	return r.failed ? SM_CORRUPT : SM_OK;
}

static int64_t base_time(const struct store__row *row)
{
	if (row->marker_us != STORE_NO_TIME)
		return row->marker_us;
	return row->cell_count ? row->cells[0].timestamp_us : row->deleted_us;
}

static int64_t difference(int64_t base, int64_t time)
{
	return (int64_t)((uint64_t)time - (uint64_t)base);
}

#define CELL_HEAD_MAX 48 /* bytes of a cell without its path and value, and of a row before its cells */

static uint8_t *encode_bytes(uint8_t *to, const uint8_t *data, uint32_t size)
{
	to += uvarint_put(to, size);
	if (size)
		memcpy(to, data, size);
	return to + size;
}

static uint8_t *encode_cell(uint8_t *to, const struct store__cell *cell, int64_t base)
{
	to += uvarint_put(to, cell->id);
	*to++ = (uint8_t)((cell->timestamp_us != base ? CELL_TIME : 0) | (cell->tombstone ? CELL_TOMBSTONE : 0) |
			  (cell->ttl_s ? CELL_EXPIRES : 0) | (cell->part == STORE__ELEMENT ? CELL_ELEMENT : 0) |
			  (cell->part == STORE__CLEARED ? CELL_CLEARED : 0));
	if (cell->timestamp_us != base)
		to += varint_put(to, difference(base, cell->timestamp_us));
	if (cell->tombstone)
		to += uvarint_put(to, (uint64_t)cell->expiry_s);
	if (cell->ttl_s) {
		to += uvarint_put(to, (uint64_t)cell->ttl_s);
		to += uvarint_put(to, (uint64_t)cell->expiry_s);
	}
	if (cell->part == STORE__ELEMENT)
		to = encode_bytes(to, cell->path, cell->path_size);
	return cell->tombstone ? to : encode_bytes(to, cell->data, cell->size);
}

void store__row_encode(const struct store__row *row, struct buf *out)
{
	size_t room = CELL_HEAD_MAX * ((size_t)row->cell_count + 1);
	for (uint32_t i = 0; i < row->cell_count; i++)
		room += (size_t)row->cells[i].size + row->cells[i].path_size;
	uint8_t *start = buf_reserve(out, room), *to = start;
	if (!start)
		return;
	int64_t base = base_time(row);
	bool marker = row->marker_us != STORE_NO_TIME, deleted = row->deleted_us != STORE_NO_TIME;
	*to++ = (uint8_t)((marker ? ROW_MARKER : 0) | (marker && row->marker_ttl_s ? ROW_MARKER_EXPIRES : 0) | (deleted ? ROW_DELETED : 0));
	be64_put(to, (uint64_t)base);
	to += 8;
	if (marker)
		to += varint_put(to, difference(base, row->marker_us));
	if (marker && row->marker_ttl_s) {
		to += uvarint_put(to, (uint64_t)row->marker_ttl_s);
		to += uvarint_put(to, (uint64_t)row->marker_expiry_s);
	}
	if (deleted) {
		to += varint_put(to, difference(base, row->deleted_us));
		to += uvarint_put(to, (uint64_t)row->deleted_s);
	}
	for (uint32_t i = 0; i < row->cell_count; i++)
		to = encode_cell(to, &row->cells[i], base);
	buf_commit(out, (size_t)(to - start));
}

/* < 0: b wins; > 0: a wins; 0: they are the same. */
static int resolve(const struct store__cell *a, const struct store__cell *b)
{
	if (a->timestamp_us != b->timestamp_us)
		return a->timestamp_us < b->timestamp_us ? -1 : 1;
	if (a->tombstone != b->tombstone)
		return a->tombstone ? 1 : -1;
	if (!a->ttl_s != !b->ttl_s)
		return a->ttl_s ? 1 : -1;
	if (a->expiry_s != b->expiry_s)
		return a->expiry_s < b->expiry_s ? -1 : 1;
	int c = bytes_compare(bytes_of(a->data, a->size), bytes_of(b->data, b->size));
	return c ? c : (a->ttl_s > b->ttl_s) - (a->ttl_s < b->ttl_s);
}

static void merge_marker(struct store__row *row, const struct store__row *from)
{
	struct store__cell a = {.timestamp_us = row->marker_us, .ttl_s = row->marker_ttl_s, .expiry_s = row->marker_expiry_s};
	struct store__cell b = {.timestamp_us = from->marker_us, .ttl_s = from->marker_ttl_s, .expiry_s = from->marker_expiry_s};
	if (resolve(&a, &b) >= 0)
		return;
	row->marker_us = from->marker_us;
	row->marker_ttl_s = from->marker_ttl_s;
	row->marker_expiry_s = from->marker_expiry_s;
}

static enum sm_err merge_cells(struct store__row *row, const struct store__row *from)
{
	/* Grow by as many, move the old ones to the end, and merge forward: the write position never overtakes the read. */
	uint32_t old = row->cell_count, count = from->cell_count;
	for (uint32_t i = 0; i < count; i++)
		if (!store__row_add(row))
			return SM_NO_MEMORY;
	memmove(row->cells + count, row->cells, old * sizeof *row->cells);
	const struct store__cell *a = row->cells + count, *a_end = a + old, *b = from->cells, *b_end = b + count;
	struct store__cell *to = row->cells;
	while (a < a_end && b < b_end) {
		int order = compare_places(a, b);
		if (order == 0) {
			*to++ = resolve(a, b) >= 0 ? *a : *b;
			a++, b++;
		} else {
			*to++ = order < 0 ? *a++ : *b++;
		}
	}
	while (a < a_end)
		*to++ = *a++;
	while (b < b_end)
		*to++ = *b++;
	row->cell_count = (uint32_t)(to - row->cells);
	return SM_OK;
}

/* What the row's own deletion covers can go, for the deletion stays; so can elements that were cleared, for that stays too. */
static void drop_deleted(struct store__row *row)
{
	if (row->deleted_us != STORE_NO_TIME && row->marker_us <= row->deleted_us) {
		row->marker_us = STORE_NO_TIME;
		row->marker_ttl_s = 0;
		row->marker_expiry_s = 0;
	}
	uint32_t kept = 0, cleared_id = 0;
	int64_t cleared_us = STORE_NO_TIME;
	for (uint32_t i = 0; i < row->cell_count; i++) {
		const struct store__cell *cell = &row->cells[i];
		if (row->deleted_us != STORE_NO_TIME && cell->timestamp_us <= row->deleted_us)
			continue;
		if (cell->part == STORE__CLEARED) {
			cleared_id = cell->id;
			cleared_us = cell->timestamp_us;
		} else if (cell->part == STORE__ELEMENT && cell->id == cleared_id && cell->timestamp_us <= cleared_us) {
			continue;
		}
		row->cells[kept++] = *cell;
	}
	row->cell_count = kept;
}

static int compare_cells(const void *a, const void *b)
{
	return compare_places(a, b);
}

void store__row_sort(struct store__row *row, bool *ret_doubles)
{
	uint32_t i = 1, kept = 0;
	*ret_doubles = false;
	while (i < row->cell_count && compare_places(&row->cells[i - 1], &row->cells[i]) < 0)
		i++;
	if (i >= row->cell_count)
		return;
	qsort(row->cells, row->cell_count, sizeof *row->cells, compare_cells);
	for (i = 1; i < row->cell_count; i++) {
		struct store__cell *last = &row->cells[kept], *cell = &row->cells[i];
		if (compare_places(last, cell) != 0) {
			row->cells[++kept] = *cell;
			continue;
		}
		*ret_doubles |= cell->part == STORE__WHOLE;
		if (resolve(last, cell) < 0)
			*last = *cell;
	}
	row->cell_count = kept + 1;
}

enum sm_err store__row_merge(struct store__row *row, const struct store__row *from)
{
	merge_marker(row, from);
	if (from->deleted_us > row->deleted_us || (from->deleted_us == row->deleted_us && from->deleted_s > row->deleted_s)) {
		row->deleted_us = from->deleted_us;
		row->deleted_s = from->deleted_s;
	}
	enum sm_err err = merge_cells(row, from);
	if (!err)
		drop_deleted(row);
	return err;
}

enum sm_err store__row_merge_values(const struct bytes *values, size_t count, struct buf *out)
{
	struct store__row all, one;
	store__row_init(&all);
	store__row_init(&one);
	enum sm_err err = SM_OK;
	for (size_t i = 0; i < count && !err; i++) {
		err = store__row_decode(values[i], i ? &one : &all);
		if (i == 0)
			drop_deleted(&all);
		else if (!err)
			err = store__row_merge(&all, &one);
	}
	if (!err)
		store__row_encode(&all, out);
	store__row_done(&one);
	store__row_done(&all);
	return err ? err : out->failed ? SM_NO_MEMORY : SM_OK;
}
