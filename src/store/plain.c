/* Rows as most INSERTs leave them, straight from the value on disk (row.c has its bytes) to a reader's cells: all of one write time,
 * nothing that expires, no tombstone, no elements. That is the value's second byte onwards as it stands; everything else is row.c's. */
#include "store/store_internal.h"

enum { MARKER = 1 }; /* row.c: the only flag of a row that is plain */
#define HEAD_BYTES 9 /* flags, write time */

bool store__row_plain(const struct store__table *table, struct bytes value, struct store_cell *cells, int64_t *ret_time_us)
{
	const struct store_table *t = &table->public;
	if (value.size < HEAD_BYTES + 1 || (*value.data & ~MARKER))
		return false;
	bool lives = *value.data & MARKER;
	const uint8_t *at = value.data + HEAD_BYTES, *end = value.data + value.size;
	if (lives && *at++) /* the marker has another time than the cells */
		return false;
	for (uint16_t i = t->partition_key_count; i < t->column_count; i++)
		cells[i] = (struct store_cell){NULL, -1};
	uint32_t last = 0; /* no column's: STORE_FORM_ID is not plain either */
	while (at < end) {
		struct byte_reader r = byte_reader(bytes_of(at, (size_t)(end - at)));
		uint64_t id = reader_uvarint(&r);
		uint8_t flags = reader_u8(&r);
		uint64_t size = reader_uvarint(&r);
		if (r.failed || flags || id <= last || id > UINT32_MAX || size > INT32_MAX || size > reader_left(&r))
			return false;
		last = (uint32_t)id;
		at = r.at + size;
		uint16_t column = id < table->next_column_id ? table->column_of_id[id] : STORE_NO_COLUMN;
		if (column == STORE_NO_COLUMN || t->columns[column].kind != STORE_REGULAR)
			continue;
		if (store_type_multi_cell(&t->columns[column].type))
			return false;
		cells[column] = (struct store_cell){r.at, (int32_t)size};
		lives = true;
	}
	*ret_time_us = (int64_t)be64_get(value.data + 1);
	return lives;
}
