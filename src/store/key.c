/* Keys on disk.
 *
 *   offset  size  what
 *   0       4     table number, big-endian; 0: the system's keys (schema_disk.c)
 *   4       8     token, big-endian, sign bit inverted
 *   12      2     size P of the partition key's bytes, big-endian
 *   14      P     the partition key: one column's value, or of several each as [u16 size][bytes][0] (Cassandra's CompositeType)
 *   14+P    1     kind: 0 partition deletion, 1 static cells, 2 range deletion, 3 row
 *   15+P    ...   of a row: the clustering columns; of a range deletion: [u32 size][lower][u8 has upper][upper]
 *
 * A partition is one run of keys: first its deletion, its static cells and its range deletions, then its rows in order.
 * Each clustering column is encoded so that memcmp of two encodings is Cassandra's order of the values (key_value.c), and no encoding is
 * the beginning of another, so a prefix of columns is a prefix of bytes.
 *
 * Where the encoding of a value does not keep its form (1.50 is 1.5), the row's value has the clustering as it was written too, in a cell
 * with the column id 0: [u32 size][bytes] for each column.
 *
 * A descending column has all bytes of its encoding inverted. The bounds of a range deletion are encodings too: it deletes
 * the rows with lower <= x < upper. */
#include "store/store_internal.h"
#include "base/hash.h"
#include <assert.h>

static enum sm_err check_key_value(const struct store_column *column, struct store_cell value)
{
	if (value.size < 0 || !store_value_ok(&column->type, value))
		return SM_INVALID;
	if (column->kind == STORE_CLUSTERING && !store__key_value_ok(&column->type, value))
		return SM_INVALID;
	return value.size > STORE_KEY_BYTES_MAX ? SM_TOO_LARGE : SM_OK;
}

enum sm_err store__partition_bytes(const struct store_table *table, const struct store_cell *partition_key, struct buf *out)
{
	size_t start = buf_size(out);
	bool composite = table->partition_key_count > 1;
	for (uint16_t i = 0; i < table->partition_key_count; i++) {
		enum sm_err err = check_key_value(&table->columns[i], partition_key[i]);
		if (err)
			return err;
		if (composite)
			buf_be16(out, (uint16_t)partition_key[i].size);
		buf_append(out, partition_key[i].data, (size_t)partition_key[i].size);
		if (composite)
			buf_u8(out, 0);
	}
	if (out->failed)
		return SM_NO_MEMORY;
	size_t size = buf_size(out) - start;
	if (size == 0)
		return SM_INVALID; /* Cassandra: "Key may not be empty" */
	return size > STORE_KEY_BYTES_MAX ? SM_TOO_LARGE : SM_OK;
}

enum sm_err store__partition_cells(const struct store_table *table, struct bytes partition, struct store_cell *ret_cells)
{
	if (table->partition_key_count == 1) {
		ret_cells[0] = (struct store_cell){partition.data, (int32_t)partition.size};
		return store_value_ok(&table->columns[0].type, ret_cells[0]) ? SM_OK : SM_CORRUPT;
	}
	struct byte_reader r = byte_reader(partition);
	for (uint16_t i = 0; i < table->partition_key_count; i++) {
		uint16_t size = reader_be16(&r);
		const uint8_t *data = reader_take(&r, size);
		uint8_t end = reader_u8(&r);
		if (r.failed || end != 0)
			return SM_CORRUPT;
		ret_cells[i] = (struct store_cell){data, size};
		if (!store_value_ok(&table->columns[i].type, ret_cells[i]))
			return SM_CORRUPT;
	}
	return reader_left(&r) ? SM_CORRUPT : SM_OK;
}

int64_t store_token(const struct store_table *table, const struct store_cell *partition_key)
{
	if (table->partition_key_count == 1)
		return murmur3_token(partition_key[0].data, (size_t)partition_key[0].size);
	struct buf b;
	buf_init(&b);
	for (uint16_t i = 0; i < table->partition_key_count; i++) {
		buf_be16(&b, (uint16_t)partition_key[i].size);
		buf_append(&b, partition_key[i].data, (size_t)partition_key[i].size);
		buf_u8(&b, 0);
	}
	int64_t token = murmur3_token(b.data, buf_size(&b));
	buf_done(&b);
	return token;
}

void store__key_prefix(uint32_t table, struct bytes partition, struct buf *out)
{
	buf_be32(out, table);
	buf_be64(out, (uint64_t)murmur3_token(partition.data, partition.size) ^ 1ull << 63);
	buf_be16(out, (uint16_t)partition.size);
	buf_append_bytes(out, partition);
}

enum sm_err store__clustering_encode(const struct store_table *table, const struct store_cell *clustering, uint16_t count, struct buf *out)
{
	assert(out->start == 0);
	size_t bytes = 0;
	for (uint16_t i = 0; i < count; i++) {
		const struct store_column *column = &table->columns[table->partition_key_count + i];
		enum sm_err err = check_key_value(column, clustering[i]);
		if (err)
			return err;
		bytes += (size_t)clustering[i].size;
		if (bytes > STORE_KEY_BYTES_MAX || !store_decimals_fit(&column->type, clustering[i]))
			return SM_TOO_LARGE;
		size_t at = out->end;
		store__encode_value(&column->type, clustering[i], out);
		if (out->failed)
			return SM_NO_MEMORY;
		for (; column->descending && at < out->end; at++)
			out->data[at] = (uint8_t)~out->data[at];
	}
	return SM_OK;
}

/* Signed integers, which most clusterings are made of: what store__decode_value does with them, and any bytes of their size are a value.
 * size: their bytes, and room for them in to. */
static bool decode_integer(const struct store_type *type, struct byte_reader *r, bool descending, uint8_t *to, int32_t *ret_size)
{
	int32_t size = type->id == STORE_INT ? 4 : type->id == STORE_BIGINT || type->id == STORE_TIMESTAMP ? 8 : 0;
	if (!size || reader_left(r) < (size_t)size)
		return false;
	if (size == 4)
		be32_put(to, be32_get(r->at) ^ (descending ? ~(1u << 31) : 1u << 31));
	else
		be64_put(to, be64_get(r->at) ^ (descending ? ~(1ull << 63) : 1ull << 63));
	r->at += size;
	*ret_size = size;
	return true;
}

enum sm_err store__clustering_decode(const struct store_table *table, struct bytes encoded, struct buf *scratch,
				     struct store_cell *ret_cells)
{
	/* Most values are no longer than their encodings. Where the buffer moves all the same, the cells are set anew below. */
	buf_clear(scratch);
	const uint8_t *was = buf_reserve(scratch, encoded.size + 1);
	if (!was)
		return SM_NO_MEMORY;
	struct byte_reader r = byte_reader(encoded);
	for (uint16_t i = 0; i < table->clustering_count; i++) {
		const struct store_column *column = &table->columns[table->partition_key_count + i];
		size_t at = scratch->end;
		if (scratch->cap - at >= 8 &&
		    decode_integer(&column->type, &r, column->descending, scratch->data + at, &ret_cells[i].size)) {
			ret_cells[i].data = scratch->data + at;
			scratch->end += (size_t)ret_cells[i].size;
			continue;
		}
		enum sm_err err = store__decode_value(&column->type, &r, column->descending ? 0xff : 0, scratch);
		if (err)
			return err;
		for (uint16_t k = 0; scratch->data != was && k < i; k++)
			ret_cells[k].data = scratch->data + (ret_cells[k].data - was);
		was = scratch->data;
		ret_cells[i] = (struct store_cell){scratch->data + at, (int32_t)(scratch->end - at)};
		if (!store_value_ok(&column->type, ret_cells[i]))
			return SM_CORRUPT;
	}
	return reader_left(&r) ? SM_CORRUPT : SM_OK;
}

bool store__loses_form(const struct store_type *type)
{
	bool loses = type->id == STORE_DECIMAL || type->id == STORE_VARINT || type->id == STORE_TUPLE || type->id == STORE_UDT ||
		     type->id == STORE_BOOLEAN || type->id == STORE_FLOAT || type->id == STORE_DOUBLE;
	for (uint16_t i = 0; !loses && i < type->element_count; i++)
		loses = store__loses_form(&type->elements[i]);
	return loses;
}

enum sm_err store__clustering_form(const struct store_table *table, const struct store_cell *clustering, struct bytes encoded,
				   struct buf *out)
{
	struct store_cell back[STORE_COLUMNS_MAX];
	struct buf scratch;
	bool same = true;
	buf_init(&scratch);
	enum sm_err err = store__clustering_decode(table, encoded, &scratch, back);
	for (uint16_t i = 0; !err && i < table->clustering_count; i++) {
		same &= bytes_equal(bytes_of(back[i].data, (size_t)back[i].size), bytes_of(clustering[i].data, (size_t)clustering[i].size));
		buf_be32(out, (uint32_t)clustering[i].size);
		buf_append(out, clustering[i].data, (size_t)clustering[i].size);
	}
	buf_done(&scratch);
	if (same)
		buf_clear(out);
	return err ? err : out->failed ? SM_NO_MEMORY : SM_OK;
}

bool store__clustering_reform(const struct store_table *table, struct bytes form, struct store_cell *cells)
{
	struct byte_reader r = byte_reader(form);
	for (uint16_t i = 0; i < table->clustering_count; i++) {
		uint32_t size = reader_be32(&r);
		struct store_cell cell = {reader_take(&r, size), (int32_t)size};
		const struct store_type *type = &table->columns[table->partition_key_count + i].type;
		if (!cell.data || size > STORE_KEY_BYTES_MAX || !store_value_ok(type, cell) || store_compare(type, cell, cells[i]) != 0)
			return false;
		cells[i] = cell;
	}
	return reader_left(&r) == 0;
}

bool store__successor(struct buf *b, size_t at)
{
	assert(b->start == 0);
	for (size_t i = b->end; i > at; i--) {
		if (++b->data[i - 1] != 0) {
			b->end = i;
			return true;
		}
	}
	return false;
}

/* Encode a bound; up: as the first clustering behind all that begin with it. ret_end: there is none behind. */
static enum sm_err encode_bound(const struct store_table *table, const struct store_bound *bound, bool up, struct buf *out, bool *ret_end)
{
	*ret_end = false;
	size_t at = buf_size(out);
	enum sm_err err = store__clustering_encode(table, bound->cells, bound->count, out);
	if (!err && up)
		*ret_end = !store__successor(out, at);
	return err;
}

static bool unbounded(const struct store_bound *b)
{
	return b->kind == STORE_UNBOUNDED || b->count == 0;
}

enum sm_err store__span(const struct store_table *table, const struct store_bound *from, const struct store_bound *to, struct buf *out,
			struct store_span *ret_span)
{
	if (from->count > table->clustering_count || to->count > table->clustering_count)
		return SM_INVALID;
	size_t lower_at = buf_size(out), upper_at;
	bool behind_all = false, no_upper = true;
	enum sm_err err;
	if (!unbounded(from) && (err = encode_bound(table, from, from->kind == STORE_EXCLUSIVE, out, &behind_all)))
		return err;
	upper_at = buf_size(out);
	if (!unbounded(to) && (err = encode_bound(table, to, to->kind == STORE_INCLUSIVE, out, &no_upper)))
		return err;
	struct store_span s = {.lower = bytes_of(out->data + lower_at, upper_at - lower_at), .has_upper = !no_upper};
	s.upper = no_upper ? bytes_of(NULL, 0) : bytes_of(out->data + upper_at, buf_size(out) - upper_at);
	s.empty = behind_all || (s.has_upper && bytes_compare(s.lower, s.upper) >= 0);
	*ret_span = s;
	return out->failed ? SM_NO_MEMORY : SM_OK;
}

void store__range_encode(const struct store_span *span, struct buf *out)
{
	buf_be32(out, (uint32_t)span->lower.size);
	buf_append_bytes(out, span->lower);
	buf_u8(out, span->has_upper);
	buf_append_bytes(out, span->upper);
}

enum sm_err store__range_decode(struct bytes rest, struct store_span *ret_span)
{
	struct byte_reader r = byte_reader(rest);
	uint32_t size = reader_be32(&r);
	const uint8_t *lower = reader_take(&r, size);
	uint8_t has_upper = reader_u8(&r);
	if (r.failed || has_upper > 1 || (!has_upper && reader_left(&r)))
		return SM_CORRUPT;
	*ret_span = (struct store_span){.lower = bytes_of(lower, size), .upper = bytes_of(r.at, reader_left(&r)), .has_upper = has_upper};
	return SM_OK;
}

enum sm_err store__key_decode(struct bytes key, struct store_key *ret_key)
{
	struct byte_reader r = byte_reader(key);
	struct store_key k = {.table = reader_be32(&r), .token = (int64_t)(reader_be64(&r) ^ 1ull << 63)};
	uint16_t size = reader_be16(&r);
	k.partition = bytes_of(reader_take(&r, size), size);
	k.prefix = bytes_of(key.data, (size_t)(r.at - key.data));
	uint8_t kind = reader_u8(&r);
	if (r.failed || kind >= STORE_KEY_END)
		return SM_CORRUPT;
	k.kind = kind;
	k.rest = bytes_of(r.at, reader_left(&r));
	*ret_key = k;
	return SM_OK;
}
