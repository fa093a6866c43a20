/* Secondary indexes: what stands in them, and when it is written.
 *
 * An index has a number like a table's, never used again, and its entries are the keys that begin with it:
 *
 *   offset  size  what
 *   0       4     the index's number, big-endian
 *   4       1     0: the value has no order-preserving encoding (no bytes for a type that has some, a very long decimal); 1: it follows
 *   5       V     the value's encoding (key_value.c), of a map's entry that of the key and then of the value; its beginning if it is long
 *   5+V     ...   the key of what has the value, without the table's number: token, partition key, kind, clustering (key.c). Of a static
 *                 column kind 1, of a component of the partition key kind 0 for the whole partition, else kind 3 and the row
 *   end-2   2     V+1, big-endian
 *
 * The values of entries are empty. Encodings are not the beginnings of one another, so the entries of one value are in the order of
 * the table's rows.
 *
 * A write never reads, so it does not know which value it replaces. For each value that it sets it puts an entry, in the same atomic write;
 * nothing is deleted with a value. So an index has an entry for each value that lives, and stale ones beside. Whoever reads by the index
 * looks at the row and leaves out those that do not have the value any more (index_read.c); they leave the disk later (index_stale.c).
 * Deletions and expiry need no entries of their own for the same reason.
 *
 * The entries are made by the writer's thread, from the keys that are written, by the newest picture of the schema: a statement that was
 * encoded before CREATE INDEX and arrives after it has its entries, and one that arrives before it is seen by the index's building. */
#include "store/index.h"
#include <stdlib.h>

#define PLAIN 1
#define WITHOUT_ORDER 0

/* ---- definitions ---- */

static int compare_indexes(const void *a, const void *b)
{
	return strcmp(((const struct store_index *)a)->name, ((const struct store_index *)b)->name);
}

/* A duration has no order: months and days differ. */
static bool holds_duration(const struct store_type *type)
{
	for (uint16_t i = 0; i < type->element_count; i++)
		if (holds_duration(&type->elements[i]))
			return true;
	return type->id == STORE_DURATION;
}

static bool type_fits(const struct store_type *type, enum store_index_part part)
{
	bool map = type->id == STORE_MAP, collection = map || type->id == STORE_LIST || type->id == STORE_SET;
	switch (part) {
	case STORE_INDEX_WHOLE:
		return !store_type_multi_cell(type) && type->id != STORE_COUNTER && type->id != STORE_DURATION && type->id != STORE_VECTOR;
	case STORE_INDEX_NOTHING: return type->id != STORE_COUNTER;
	case STORE_INDEX_VALUES: return collection && !type->frozen;
	case STORE_INDEX_KEYS:
	case STORE_INDEX_ENTRIES: return map && !type->frozen;
	}
	return false;
}

static enum sm_err check_index(const struct store_table *t, const struct store_index *x, uint16_t *ret_column, struct sm_error *reterr)
{
	const struct store_column *c = x->column ? store_find_column(t, x->column) : NULL;
	if (strlen(x->name) == 0 || strlen(x->name) > STORE_INDEX_NAME_BYTES_MAX)
		return sm_fail(reterr, SM_INVALID, "an index's name has 1 to %d bytes", STORE_INDEX_NAME_BYTES_MAX);
	if (!c)
		return sm_fail(reterr, SM_INVALID, "Cannot drop column %s because it has dependent secondary indexes (%s)",
			       x->column ? x->column : "", x->name);
	for (uint16_t i = 0; i < t->column_count; i++)
		if (t->columns[i].type.id == STORE_COUNTER)
			return sm_fail(reterr, SM_INVALID, "Secondary indexes are not supported on counter tables");
	if (!type_fits(&c->type, x->part) || (c->kind == STORE_PARTITION_KEY && t->partition_key_count == 1))
		return sm_fail(reterr, SM_INVALID, "Index '%s': column '%s' cannot be indexed in this way", x->name, c->name);
	*ret_column = (uint16_t)(c - t->columns);
	return SM_OK;
}

enum sm_err store__index_new_ok(const struct store_table *t, const struct store_index *x, struct sm_error *reterr)
{
	const struct store_column *c = x->column ? store_find_column(t, x->column) : NULL;
	if (!c || x->part == STORE_INDEX_NOTHING || !holds_duration(&c->type))
		return SM_OK;
	return sm_fail(reterr, SM_INVALID, "Index '%s': column '%s' holds durations, which have no order", x->name, c->name);
}

enum sm_err store__indexes_copy(struct store__table *table, const struct store_table *from, struct sm_error *reterr)
{
	uint16_t n = from->index_count;
	if (n > STORE_INDEXES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "table '%s.%s' has more than %d indexes", from->keyspace, from->name,
			       STORE_INDEXES_MAX);
	struct store_index *to = arena_alloc(&table->arena, (n + 1u) * sizeof *to);
	table->index_columns = arena_alloc(&table->arena, (n + 1u) * sizeof *table->index_columns);
	if (!to || !table->index_columns)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint16_t i = 0; i < n; i++) {
		to[i] = from->indexes[i];
		to[i].name = arena_string(&table->arena, to[i].name, strlen(to[i].name));
		to[i].column = arena_string(&table->arena, to[i].column, strlen(to[i].column));
		to[i].definition = arena_string(&table->arena, to[i].definition, strlen(to[i].definition));
		if (!to[i].name || !to[i].column || !to[i].definition)
			return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	qsort(to, n, sizeof *to, compare_indexes);
	table->public.indexes = to;
	table->public.index_count = n;
	for (uint16_t i = 0; i < n; i++) {
		enum sm_err err = check_index(&table->public, &to[i], &table->index_columns[i], reterr);
		if (err)
			return err;
		if (i && strcmp(to[i].name, to[i - 1].name) == 0)
			return sm_fail(reterr, SM_EXISTS, "Index '%s' already exists", to[i].name);
	}
	return SM_OK;
}

struct store__table *store__schema_index(const struct store__schema *schema, uint32_t number, uint16_t *ret_index)
{
	for (uint32_t i = 0; i < schema->table_count; i++) {
		const struct store_table *t = &schema->tables[i]->public;
		for (uint16_t k = 0; k < t->index_count; k++)
			if (t->indexes[k].number == number) {
				*ret_index = k;
				return schema->tables[i];
			}
	}
	return NULL;
}

void store__index_system_key(uint32_t number, struct buf *out)
{
	uint8_t bytes[4];
	be32_put(bytes, number);
	store__system_key(out, STORE_SYSTEM_INDEX, bytes_of(bytes, 4));
}

static void system_op(struct buf *ops, enum store_op op, uint32_t number, struct bytes value)
{
	size_t at = store__op_begin(ops, op);
	store__index_system_key(number, ops);
	store__op_value(ops, at);
	buf_append_bytes(ops, value);
	store__op_end(ops, at);
}

void store__index_delete(struct buf *ops, uint32_t number)
{
	uint8_t from[4], to[4];
	be32_put(from, number);
	be32_put(to, number + 1);
	system_op(ops, STORE_OP_DELETE, number, bytes_of(NULL, 0));
	store__op(ops, STORE_OP_DELETE_RANGE, bytes_of(from, 4), bytes_of(to, 4));
}

void store__index_put_built(struct buf *ops, uint32_t number)
{
	system_op(ops, STORE_OP_PUT, number, bytes_of("\1", 1));
}

/* ---- entries ---- */

static uint8_t fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool has_order(const struct store_type *type, struct store_cell value)
{
	return store__key_value_ok(type, value) && store_decimals_fit(type, value);
}

static bool folds(const struct store_index *index, const struct store_type *type)
{
	return index->folds && (type->id == STORE_TEXT || type->id == STORE_ASCII);
}

int store__index_compare(const struct store_index *index, const struct store_type *type, struct store_cell a, struct store_cell b)
{
	if (!folds(index, type))
		return store_compare(type, a, b);
	int32_t common = a.size < b.size ? a.size : b.size;
	for (int32_t i = 0; i < common; i++) {
		int order = fold(a.data[i]) - fold(b.data[i]);
		if (order)
			return order;
	}
	return (a.size > b.size) - (a.size < b.size);
}

void store__entry_value(const struct store_type *type, const struct store_index *index, struct store_cell key, struct store_cell value,
			struct buf *out)
{
	size_t at = out->end;
	bool entries = index->part == STORE_INDEX_ENTRIES, whole = index->part == STORE_INDEX_WHOLE;
	const struct store_type *key_type = entries ? &type->elements[0] : NULL;
	const struct store_type *value_type = type;
	if (!whole)
		value_type = &type->elements[type->id == STORE_MAP && index->part != STORE_INDEX_KEYS];
	if (!has_order(value_type, value) || (entries && !has_order(key_type, key))) {
		buf_u8(out, WITHOUT_ORDER);
		return;
	}
	buf_u8(out, PLAIN);
	if (entries)
		store__encode_value(key_type, key, out);
	size_t value_at = out->end;
	store__encode_value(value_type, value, out);
	if (out->end - at > STORE_INDEX_VALUE_BYTES_MAX)
		out->end = at + STORE_INDEX_VALUE_BYTES_MAX;
	for (size_t i = value_at; folds(index, value_type) && i < out->end; i++) /* what stands for a zero byte is no letter */
		out->data[i] = fold(out->data[i]);
}

enum sm_err store__entry_decode(struct bytes key, struct store__entry *ret_entry)
{
	size_t value = key.size < 6 ? 0 : be16_get(key.data + key.size - 2);
	if (value == 0 || value > STORE_INDEX_VALUE_BYTES_MAX || key.size < 6 + value)
		return SM_CORRUPT;
	struct store__entry e = {.index = be32_get(key.data), .value = bytes_of(key.data + 4, value)};
	e.row = bytes_of(key.data + 4 + value, key.size - 6 - value);
	struct byte_reader r = byte_reader(e.row);
	(void)reader_be64(&r);
	uint16_t size = reader_be16(&r);
	(void)reader_take(&r, size);
	e.prefix = bytes_of(e.row.data, (size_t)(r.at - e.row.data));
	uint8_t kind = reader_u8(&r);
	if (r.failed || (kind != STORE_KEY_PARTITION_DELETION && kind != STORE_KEY_STATIC && kind != STORE_KEY_ROW))
		return SM_CORRUPT;
	e.kind = kind;
	*ret_entry = e;
	return SM_OK;
}

enum sm_err store__entry_aim(const struct store__table *table, const struct store__entry *e, struct buf *key, struct buf *end,
			     struct store__aim *ret_aim)
{
	buf_clear(key);
	buf_be32(key, table->public.number);
	buf_append_bytes(key, e->prefix);
	buf_clear(end);
	size_t size = e->kind == STORE_KEY_ROW ? e->row.size - e->prefix.size - 1 : 0;
	if (e->kind == STORE_KEY_ROW) {
		/* no clustering is the beginning of another, so only the row itself is before this end */
		buf_append(end, e->row.data + e->prefix.size + 1, size);
		buf_u8(end, 0);
	}
	if (key->failed || end->failed)
		return SM_NO_MEMORY;
	*ret_aim = (struct store__aim){.prefix = buf_bytes(key), .whole = e->kind != STORE_KEY_ROW};
	if (e->kind == STORE_KEY_ROW)
		ret_aim->slice = (struct store_span){bytes_of(end->data, size), buf_bytes(end), .has_upper = true};
	return SM_OK;
}

bool store__index_any(const struct store__table *table, uint16_t index, const struct store_row *row,
		      bool (*fits)(const void *arg, struct store_cell key, struct store_cell value), const void *arg)
{
	const struct store_column *c = store__index_column(table, index);
	enum store_index_part part = table->public.indexes[index].part;
	size_t at = (size_t)(c - table->public.columns);
	bool by_path = part == STORE_INDEX_KEYS || c->type.id == STORE_SET;
	if (part == STORE_INDEX_WHOLE)
		return row->cells[at].size >= 0 && fits(arg, (struct store_cell){NULL, -1}, row->cells[at]);
	for (uint32_t i = 0; i < row->elements[at].count; i++) {
		const struct store_element *e = &row->elements[at].items[i];
		if (fits(arg, e->path, by_path ? e->path : e->value))
			return true;
	}
	return false;
}

/* What is written under one key of a table. */
struct putting {
	const struct store__table *table;
	const struct store_key *key;
	const struct store__row *row;
	struct buf *ops;
};

static enum sm_err put_entry(const struct putting *p, uint16_t index, struct store_cell key, struct store_cell value)
{
	const struct store_index *x = &p->table->public.indexes[index];
	const struct store_column *c = store__index_column(p->table, index);
	size_t at = store__op_begin(p->ops, STORE_OP_PUT);
	buf_be32(p->ops, x->number);
	size_t value_at = p->ops->end;
	store__entry_value(&c->type, x, key, value, p->ops);
	size_t size = p->ops->end - value_at;
	buf_append(p->ops, p->key->prefix.data + STORE_KEY_TOKEN_AT, p->key->prefix.size - STORE_KEY_TOKEN_AT);
	buf_u8(p->ops, c->kind == STORE_PARTITION_KEY ? STORE_KEY_PARTITION_DELETION : (uint8_t)p->key->kind);
	if (c->kind != STORE_PARTITION_KEY)
		buf_append_bytes(p->ops, p->key->rest);
	buf_be16(p->ops, (uint16_t)size);
	store__op_value(p->ops, at);
	store__op_end(p->ops, at);
	/* each element of a collection brings the whole key with it: a small write can need much */
	return p->ops->end > STORE_INDEX_ENTRIES_BYTES_MAX ? SM_TOO_LARGE : SM_OK;
}

/* Values of a static or regular column. */
static enum sm_err put_cells(const struct putting *p, uint16_t index)
{
	const struct store_column *c = store__index_column(p->table, index);
	enum store_index_part part = p->table->public.indexes[index].part;
	bool by_path = part == STORE_INDEX_KEYS || c->type.id == STORE_SET;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < p->row->cell_count && !err; i++) {
		const struct store__cell *cell = &p->row->cells[i];
		if (cell->id != c->id || cell->tombstone || (part == STORE_INDEX_WHOLE) != (cell->part == STORE__WHOLE))
			continue;
		struct store_cell path = {cell->path, (int32_t)cell->path_size}, value = {cell->data, (int32_t)cell->size};
		err = put_entry(p, index, path, by_path ? path : value);
	}
	return err;
}

/* Can what is written make a row live? */
static bool gives_life(const struct store__row *row)
{
	for (uint32_t i = 0; i < row->cell_count; i++)
		if (!row->cells[i].tombstone && row->cells[i].id != STORE_FORM_ID)
			return true;
	return row->marker_us != STORE_NO_TIME;
}

/* A component of the primary key. */
static enum sm_err put_key_column(const struct putting *p, uint16_t index)
{
	const struct store_column *c = store__index_column(p->table, index);
	struct store_cell cells[STORE_COLUMNS_MAX];
	struct buf scratch;
	if (!gives_life(p->row))
		return SM_OK;
	buf_init(&scratch);
	enum sm_err err = c->kind == STORE_PARTITION_KEY ? store__partition_cells(&p->table->public, p->key->partition, cells)
							 : store__clustering_decode(&p->table->public, p->key->rest, &scratch, cells);
	if (!err)
		err = put_entry(p, index, (struct store_cell){NULL, -1}, cells[c->position]);
	buf_done(&scratch);
	return err;
}

static bool concerns(const struct store_column *c, enum store_key_kind kind)
{
	switch (c->kind) {
	case STORE_PARTITION_KEY: return kind == STORE_KEY_ROW || kind == STORE_KEY_STATIC;
	case STORE_STATIC: return kind == STORE_KEY_STATIC;
	default: return kind == STORE_KEY_ROW;
	}
}

enum sm_err store__index_put(const struct store__table *table, struct bytes key, struct bytes value, uint32_t only, struct buf *ops)
{
	struct store_key k;
	struct store__row row;
	enum sm_err err = store__key_decode(key, &k);
	if (err || (k.kind != STORE_KEY_ROW && k.kind != STORE_KEY_STATIC))
		return err;
	store__row_init(&row);
	struct putting p = {table, &k, &row, ops};
	err = store__row_decode(value, &row);
	for (uint16_t i = 0; i < table->public.index_count && !err; i++) {
		const struct store_column *c = store__index_column(table, i);
		if ((only && table->public.indexes[i].number != only) || !concerns(c, k.kind) ||
		    table->public.indexes[i].part == STORE_INDEX_NOTHING)
			continue;
		if (c->kind <= STORE_CLUSTERING)
			err = put_key_column(&p, i);
		else
			err = put_cells(&p, i);
	}
	store__row_done(&row);
	return err ? err : ops->failed ? SM_NO_MEMORY : SM_OK;
}

enum sm_err store__index_write(const struct store__schema *schema, struct store__write *w)
{
	bool any = false;
	for (uint32_t i = 0; i < w->touched_count; i++) {
		const struct store__table *t = store__schema_table(schema, w->touched[i].table);
		any |= t && t->public.index_count;
	}
	if (!any)
		return SM_OK;
	struct buf entries;
	size_t at = 0;
	enum store_op op;
	struct bytes key, value;
	enum sm_err err = SM_OK;
	buf_init(&entries);
	while (!err && store__op_next(&w->ops, &at, &op, &key, &value)) {
		const struct store__table *t = op == STORE_OP_MERGE ? store__schema_table(schema, be32_get(key.data)) : NULL;
		if (t && t->public.index_count)
			err = store__index_put(t, key, value, 0, &entries);
	}
	if (!err)
		buf_append_bytes(&w->ops, buf_bytes(&entries));
	buf_done(&entries);
	return err ? err : w->ops.failed ? SM_NO_MEMORY : SM_OK;
}
