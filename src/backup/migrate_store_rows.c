/* Rows of a table in the order of the ring, each as bytes that are the same where the row is. */
#include "backup/migrate_store_internal.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- a row as bytes ---- */

static void put_value(struct buf *out, struct store_cell value)
{
	buf_be32(out, (uint32_t)value.size);
	if (value.size > 0)
		buf_append(out, value.data, (size_t)value.size);
}

static void put_times(struct buf *out, int64_t timestamp_us, int32_t ttl_s, int64_t now_s)
{
	buf_be64(out, (uint64_t)timestamp_us);
	buf_be64(out, ttl_s ? (uint64_t)(now_s + ttl_s) : 0);
}

static void put_column(struct migrate_walk *w, uint16_t i)
{
	const struct store_column *col = &w->table->columns[i];
	const struct store_row *r = w->row;
	struct buf *out = &w->bytes;
	if (store_type_multi_cell(&col->type)) {
		const struct store_elements *all = &r->elements[i];
		buf_be32(out, all->count);
		for (uint32_t k = 0; k < all->count; k++) {
			if (col->type.id != STORE_LIST)
				put_value(out, all->items[k].path);
			put_value(out, all->items[k].value);
			put_times(out, all->items[k].timestamp_us, all->items[k].ttl_s, w->now_s);
		}
		return;
	}
	put_value(out, r->cells[i]);
	if (col->kind >= STORE_STATIC && col->type.id != STORE_COUNTER && r->cells[i].size >= 0)
		put_times(out, r->timestamps_us[i], r->ttls_s[i], w->now_s);
}

static void put_item(struct migrate_walk *w)
{
	const struct store_table *t = w->table;
	buf_clear(&w->bytes);
	buf_u8(&w->bytes, w->statics);
	for (uint16_t i = 0; i < t->column_count; i++) {
		enum store_column_kind kind = t->columns[i].kind;
		if (kind == STORE_PARTITION_KEY || (w->statics ? kind == STORE_STATIC : kind == STORE_CLUSTERING || kind == STORE_REGULAR))
			put_column(w, i);
	}
}

/* ---- the walk ---- */

static bool present(const struct migrate_walk *w, uint16_t i)
{
	return store_type_multi_cell(&w->table->columns[i].type) ? w->row->elements[i].count > 0 : w->row->cells[i].size >= 0;
}

static bool has_statics(const struct migrate_walk *w)
{
	for (uint16_t i = 0; i < w->table->column_count; i++)
		if (w->table->columns[i].kind == STORE_STATIC && present(w, i))
			return true;
	return false;
}

/* The row is the first of another partition, which is begun. */
static bool begins_partition(struct migrate_walk *w)
{
	struct buf key;
	buf_init(&key);
	for (uint16_t i = 0; i < w->table->partition_key_count; i++)
		put_value(&key, w->row->cells[i]);
	bool other = !bytes_equal(buf_bytes(&key), buf_bytes(&w->partition));
	buf_done(&w->partition);
	w->partition = key;
	return other;
}

static enum sm_err failed(struct migrate_walk *w, enum sm_err err, struct sm_error *reterr)
{
	return sm_fail(reterr, err, "reading table %s.%s at %s: %s", w->table->keyspace, w->table->name, w->side, sm_err_text(err));
}

enum sm_err migrate__walk_next(struct migrate_walk *w, struct sm_error *reterr)
{
	bool statics = w->row && w->statics;
	w->statics = false;
	if (!statics || w->row->static_only) {
		enum sm_err err = w->store->ops->next(w->cursor, &w->row);
		if (err)
			w->row = NULL;
		if (err)
			return err == SM_END ? SM_OK : failed(w, err, reterr);
		bool first = w->table->static_count && begins_partition(w);
		w->statics = first && has_statics(w);
	}
	put_item(w);
	return w->bytes.failed || w->partition.failed ? failed(w, SM_NO_MEMORY, reterr) : SM_OK;
}

enum sm_err migrate__walk_open(struct migrate_walk *w, const struct migrate_store_side *side, const struct store_table *table, int64_t from,
			       int64_t to, int64_t now_s, struct sm_error *reterr)
{
	*w = (struct migrate_walk){.store = side->store, .table = table, .side = side->name, .now_s = now_s};
	const struct store_read read = {.table = table, .token_from = from, .token_to = to, .now_s = now_s, .element_times = true};
	buf_init(&w->bytes);
	buf_init(&w->partition);
	enum sm_err err = w->store->ops->open(w->store, &read, &w->cursor, reterr);
	if (err)
		w->cursor = NULL;
	return err ? err : migrate__walk_next(w, reterr);
}

void migrate__walk_close(struct migrate_walk *w)
{
	if (w->cursor)
		w->store->ops->close_cursor(w->cursor);
	w->cursor = NULL;
	buf_done(&w->bytes);
	buf_done(&w->partition);
}

/* ---- the order of the ring ---- */

static int bytes_order(struct store_cell a, struct store_cell b)
{
	return bytes_compare(bytes_of(a.data, a.size > 0 ? (size_t)a.size : 0), bytes_of(b.data, b.size > 0 ? (size_t)b.size : 0));
}

/* Partitions of one token lie in the order of their keys' bytes: of several columns [u16 size][bytes][0] each. */
static int partition_order(const struct migrate_walk *a, const struct migrate_walk *b)
{
	uint16_t count = a->table->partition_key_count;
	int c = (a->row->token > b->row->token) - (a->row->token < b->row->token);
	for (uint16_t i = 0; i < count && !c; i++) {
		struct store_cell x = a->row->cells[i], y = b->row->cells[i];
		c = count > 1 ? (x.size > y.size) - (x.size < y.size) : 0;
		if (!c)
			c = bytes_order(x, y);
	}
	return c;
}

int migrate__walk_order(const struct migrate_walk *a, const struct migrate_walk *b)
{
	const struct store_table *t = a->table;
	int c = partition_order(a, b);
	if (c || a->statics != b->statics)
		return c ? c : a->statics ? -1 : 1;
	for (uint16_t i = 0; i < t->clustering_count && !a->statics && !c; i++) {
		const struct store_column *col = &t->columns[t->partition_key_count + i];
		struct store_cell x = a->row->cells[t->partition_key_count + i], y = b->row->cells[t->partition_key_count + i];
		c = x.size < 0 || y.size < 0 ? (x.size >= 0) - (y.size >= 0) : store_compare(&col->type, x, y);
		c = col->descending ? -c : c;
	}
	return c;
}

/* ---- for people ---- */

static void put_shown(struct buf *out, const struct store_type *type, struct store_cell v)
{
	int64_t number = 0;
	for (int32_t i = 0; i < v.size && v.size <= 8; i++)
		number = (int64_t)((uint64_t)number << 8 | v.data[i]);
	if (type->id == STORE_TEXT || type->id == STORE_ASCII)
		buf_printf(out, "'%.*s'", v.size < 60 ? v.size : 60, (const char *)v.data);
	else if (type->id == STORE_INT && v.size == 4)
		buf_printf(out, "%" PRId32, (int32_t)number);
	else if ((type->id == STORE_BIGINT || type->id == STORE_TIMESTAMP) && v.size == 8)
		buf_printf(out, "%" PRId64, number);
	else {
		buf_append_str(out, "0x");
		for (int32_t i = 0; i < v.size && i < 24; i++)
			buf_printf(out, "%02x", v.data[i]);
	}
}

void migrate__walk_key(const struct migrate_walk *w, char *out, size_t size)
{
	const struct store_table *t = w->table;
	uint16_t count = (uint16_t)(t->partition_key_count + (w->statics ? 0 : t->clustering_count));
	struct buf text;
	buf_init(&text);
	for (uint16_t i = 0; i < count; i++) {
		buf_printf(&text, "%s%s = ", i ? ", " : "", t->columns[i].name);
		put_shown(&text, &t->columns[i].type, w->row->cells[i]);
	}
	if (w->statics)
		buf_append_str(&text, " (static cells)");
	snprintf(out, size, "%.*s", (int)buf_size(&text), (const char *)buf_bytes(&text).data);
	buf_done(&text);
}
