/* Reading: rows of one partition or of a range of tokens, in order, resolved with the deletions that cover them.
 *
 * A partition is entered at its first key: its deletion, static cells and range deletions are taken up, then its rows follow. The row
 * of a full primary key needs one Get instead, if its table has neither static columns nor any range or partition deletion.
 *
 * Reads with a condition are index_read.c's, which sends a cursor of its own from partition to partition. */
#include "store/index.h"
#include "base/metrics.h"
#include "store/page_cache.h"
#include <assert.h>
#include <rocksdb/c.h>
#include <stddef.h>
#include <stdlib.h>

#define READAHEAD_BYTES (256u << 10)

struct store_cursor {
	struct store__engine *engine;
	struct store__table *table;
	struct store__table *now; /* where its rows are: the same, or what a truncation made of it */
	struct store__by_index *by_index;
	bool aimed, heads_known; /* sent to partitions, through an iterator that is not its own; prefix is one whose deletions are known */
	int64_t newest_us;       /* of all that was decoded */
	int64_t now_s;
	bool point, whole_tokens, reverse, statics_only, cached_only;
	bool cache_tier, no_wait; /* cached_only: RocksDB's cache, or what the system has in memory too */
	bool notes_times;         /* of rows: for transactions */
	bool no_times;            /* of cells: they stay as they were at the beginning */
	bool has_elements;        /* the table has columns with a cell for each element */
	bool unbounded;           /* no slice: a partition of static cells only is shown */
	bool end, begun, entered; /* entered: the database is held */
	int64_t row_count;        /* given so far, for the metric */
	bool uncounted;           /* to another cursor */
	enum sm_err err;

	rocksdb_readoptions_t *options;
	rocksdb_iterator_t *it;
	rocksdb_pinnableslice_t *pinned;
	struct buf lower, upper; /* the read's bounds, and the iterator's unless no_heads; of a point read, lower is the key */
	struct buf slice_bytes;
	struct store_span slice; /* of encoded clusterings */
	struct buf start;        /* token range: first key to seek, when resumed */
	struct buf after;        /* clustering to go on behind, in the first partition */
	bool has_after;

	/* the partition that the iterator is in */
	bool in_partition, advance, emitted, skip;
	/* Nothing stands before the rows of the one partition: it is entered at the first of them that is wanted, and the iterator's
	 * bounds are those of the slice. */
	bool no_heads;
	struct buf first, behind; /* then: these */
	struct buf prefix, seek;
	int64_t token, deleted_us;
	struct buf static_bytes;
	bool static_live;
	struct store__ranges ranges;

	struct buf clustering;
	struct store_row row;
	struct store_cell *cells; /* the row's arrays, table->column_count each, behind the cursor */
	int64_t *timestamps_us;
	int32_t *ttls_s;
	struct store_elements *elements;
	struct arena values; /* of the row: what elements were put together to */
	bool no_memory;
	/* From here on not cleared: they are large and begin empty. */
	struct store__row statics, current;
};

/* ---- opening ---- */

static struct store_cursor *cursor_new(struct store__engine *engine, const struct store_read *read, struct store__table *now)
{
	size_t n = read->table->column_count;
	size_t arrays = n * (sizeof(struct store_cell) + sizeof(struct store_elements) + sizeof(int64_t) + sizeof(int32_t));
	struct store_cursor *c = malloc(sizeof *c + arrays);
	if (!c)
		return NULL;
	memset(c, 0, offsetof(struct store_cursor, statics));
	memset(c + 1, 0, arrays);
	c->engine = engine;
	c->table = store__table_ref(store__table_of(read->table));
	c->now = store__table_ref(now ? now : c->table);
	c->newest_us = STORE_NO_TIME;
	c->cells = (struct store_cell *)(c + 1);
	c->elements = (struct store_elements *)(c->cells + n);
	c->timestamps_us = (int64_t *)(c->elements + n);
	c->ttls_s = (int32_t *)(c->timestamps_us + n);
	c->row = (struct store_row){.cells = c->cells, .timestamps_us = c->timestamps_us, .ttls_s = c->ttls_s, .elements = c->elements};
	c->now_s = read->now_s ? read->now_s : (int64_t)(clock_wall_us(engine->clock) / 1000000);
	c->reverse = read->reverse;
	c->statics_only = read->statics_only;
	c->cached_only = read->cached_only;
	c->no_times = read->no_times;
	for (size_t i = 0; i < n; i++)
		c->has_elements |= store_type_multi_cell(&read->table->columns[i].type);
	for (size_t i = 0; i < n; i++)
		c->timestamps_us[i] = STORE_NO_TIME;
	c->whole_tokens = !read->partition_key;
	c->no_wait = c->cached_only && !c->whole_tokens && engine->rocks.page_cache;
	c->cache_tier = c->cached_only && !c->no_wait;
	store__row_init(&c->statics);
	store__row_init(&c->current);
	arena_init(&c->values, 0);
	return c;
}

void store__cursor_close(struct store_cursor *c)
{
	if (!c)
		return;
	if (c->row_count && !c->uncounted)
		metric_add(METRIC_STORE_ROWS_READ, c->row_count);
	store__by_index_close(c->by_index);
	if (c->it && !c->aimed)
		rocksdb_iter_destroy(c->it);
	if (c->options)
		rocksdb_readoptions_destroy(c->options);
	if (c->pinned)
		rocksdb_pinnableslice_destroy(c->pinned);
	if (c->entered)
		store__leave(c->engine);
	struct buf *bufs[] = {&c->lower, &c->upper, &c->slice_bytes,  &c->start,      &c->after, &c->prefix,
			      &c->seek,  &c->first, &c->static_bytes, &c->clustering, &c->behind};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		buf_done(bufs[i]);
	store__ranges_done(&c->ranges);
	store__row_done(&c->statics);
	store__row_done(&c->current);
	store__table_unref(c->now);
	arena_done(&c->values);
	store__table_unref(c->table);
	free(c);
}

/* [table][token] as a key. */
static void token_key(struct buf *out, uint32_t table, int64_t token)
{
	buf_be32(out, table);
	buf_be64(out, (uint64_t)token ^ 1ull << 63);
}

static bool full_key(const struct store_table *t, const struct store_bound *b)
{
	return b->kind == STORE_INCLUSIVE && b->count == t->clustering_count;
}

/* Do both bounds name the same row? */
static bool is_point(const struct store_cursor *c, const struct store_read *read)
{
	const struct store_table *t = &c->table->public;
	if (c->whole_tokens || c->statics_only || t->static_count || c->has_after || atomic_load(&c->now->state->deletions))
		return false;
	if (t->clustering_count == 0)
		return true;
	if (!full_key(t, &read->from) || !full_key(t, &read->to))
		return false;
	for (uint16_t i = 0; i < t->clustering_count; i++) {
		struct store_cell a = read->from.cells[i], b = read->to.cells[i];
		if (a.size != b.size || (a.size > 0 && memcmp(a.data, b.data, (size_t)a.size) != 0))
			return false;
	}
	return true;
}

static enum sm_err set_partition(struct store_cursor *c, const struct store_cell *partition_key, struct buf *out)
{
	struct buf partition;
	buf_init(&partition);
	enum sm_err err = store__partition_bytes(&c->table->public, partition_key, &partition);
	if (!err)
		store__key_prefix(c->now->public.number, buf_bytes(&partition), out);
	buf_done(&partition);
	return err;
}

static enum sm_err set_token_bounds(struct store_cursor *c, const struct store_read *read)
{
	uint32_t number = c->now->public.number;
	token_key(&c->lower, number, read->token_from);
	token_key(&c->upper, number, read->token_to);
	if (read->token_from > read->token_to || !store__successor(&c->upper, 0))
		c->end = true;
	if (!read->after_partition_key)
		return SM_OK;
	enum sm_err err = set_partition(c, read->after_partition_key, &c->start);
	buf_u8(&c->start, read->after_clustering ? STORE_KEY_PARTITION_DELETION : STORE_KEY_END);
	return err;
}

static enum sm_err set_bounds(struct store_cursor *c, const struct store_read *read)
{
	const struct store_table *t = &c->table->public;
	enum sm_err err = store__span(t, &read->from, &read->to, &c->slice_bytes, &c->slice);
	if (err)
		return err;
	c->unbounded = c->slice.lower.size == 0 && !c->slice.has_upper;
	c->end = c->slice.empty;
	if (read->after_clustering) {
		c->has_after = true;
		if ((err = store__clustering_encode(t, read->after_clustering, t->clustering_count, &c->after)))
			return err;
	}
	if (c->whole_tokens)
		return set_token_bounds(c, read);
	if ((err = set_partition(c, read->partition_key, &c->lower)))
		return err;
	c->point = is_point(c, read);
	if (c->point) {
		buf_u8(&c->lower, STORE_KEY_ROW);
		return store__clustering_encode(t, read->from.cells, t->clustering_count, &c->lower);
	}
	buf_append_bytes(&c->upper, buf_bytes(&c->lower));
	buf_u8(&c->upper, STORE_KEY_END);
	return SM_OK;
}

enum sm_err store__cursor_open(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
			       struct sm_error *reterr)
{
	return store__cursor_open_now(store, read, NULL, ret_cursor, reterr);
}

enum sm_err store__cursor_open_now(struct sm_store *store, const struct store_read *read, struct store__table *now,
				   struct store_cursor **ret_cursor, struct sm_error *reterr)
{
	if (read->reverse && !read->partition_key)
		return sm_fail(reterr, SM_INVALID, "a range of tokens cannot be read in reverse");
	struct store_cursor *c = cursor_new(store__engine_of(store), read, now);
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	enum sm_err err;
	if (read->where) {
		err = store__by_index_open(c->engine, read, &c->by_index, reterr);
		if (err)
			store__cursor_close(c);
		else
			*ret_cursor = c;
		return err;
	}
	err = set_bounds(c, read);
	if (!err && (c->lower.failed || c->upper.failed || c->start.failed || c->after.failed || c->slice_bytes.failed))
		err = SM_NO_MEMORY;
	if (err) {
		store__cursor_close(c);
		return sm_fail(reterr, err, "a key or bound of the read of table '%s.%s' is %s", read->table->keyspace, read->table->name,
			       err == SM_TOO_LARGE ? "longer than 65535 bytes" : sm_err_text(err));
	}
	c->notes_times = now != NULL;
	*ret_cursor = c;
	return SM_OK;
}

/* ---- one row ---- */

/* All but the cells. */
static void clear_rest(struct store_cursor *c, uint16_t from)
{
	uint16_t end = c->table->public.column_count;
	for (uint16_t i = from; !c->no_times && i < end; i++) {
		c->timestamps_us[i] = STORE_NO_TIME;
		c->ttls_s[i] = 0;
	}
	if (c->has_elements) {
		for (uint16_t i = from; i < end; i++)
			c->elements[i].count = 0;
		arena_reset(&c->values);
	}
	c->row.static_only = false;
}

static void clear_row(struct store_cursor *c, uint16_t from)
{
	for (uint16_t i = from; i < c->table->public.column_count; i++)
		c->cells[i] = (struct store_cell){NULL, -1};
	clear_rest(c, from);
}

static bool cell_live(const struct store_cursor *c, const struct store__cell *cell, int64_t deleted_us)
{
	return !cell->tombstone && cell->timestamp_us > deleted_us && (!cell->ttl_s || cell->expiry_s > c->now_s);
}

/* The elements of one column, from cells[from] on; returns where they end. A column without a live one is null. */
static uint32_t fill_elements(struct store_cursor *c, const struct store__row *row, uint32_t from, uint16_t at, int64_t deleted_us)
{
	uint32_t end = from, n = 0;
	int64_t latest = STORE_NO_TIME;
	while (end < row->cell_count && row->cells[end].id == row->cells[from].id)
		end++;
	const struct store_type *type = &c->table->public.columns[at].type;
	struct store_element *items = arena_alloc_raw(&c->values, (end - from) * sizeof *items, _Alignof(struct store_element));
	for (uint32_t i = from; items && i < end; i++) {
		const struct store__cell *cell = &row->cells[i];
		if (cell->part != STORE__ELEMENT || !cell_live(c, cell, deleted_us))
			continue;
		/* A field that the type was given later than this picture of it. */
		if (type->id == STORE_UDT && (cell->path_size != 2 || be16_get(cell->path) >= type->element_count))
			continue;
		items[n++] = (struct store_element){{cell->path, (int32_t)cell->path_size},
						    {cell->data, (int32_t)cell->size},
						    cell->timestamp_us,
						    cell->ttl_s ? (int32_t)(cell->expiry_s - c->now_s) : 0};
		latest = cell->timestamp_us > latest ? cell->timestamp_us : latest;
	}
	if (!items || (n && store__assemble(type, items, n, &c->values, &c->cells[at])))
		c->no_memory = true;
	if (!c->no_times)
		c->timestamps_us[at] = latest;
	c->elements[at] = (struct store_elements){items, n};
	return end;
}

/* Put the live cells of the kind into the row; false: there is none. */
static bool fill(struct store_cursor *c, const struct store__row *row, enum store_column_kind kind, int64_t deleted_us)
{
	bool any = false;
	for (uint32_t i = 0; i < row->cell_count; i++) {
		const struct store__cell *cell = &row->cells[i];
		uint16_t at = cell->id < c->table->next_column_id ? c->table->column_of_id[cell->id] : STORE_NO_COLUMN;
		if (at == STORE_NO_COLUMN || c->table->public.columns[at].kind != kind)
			continue;
		if (cell->part != STORE__WHOLE) {
			if (store_type_multi_cell(&c->table->public.columns[at].type)) {
				i = fill_elements(c, row, i, at, deleted_us) - 1;
				any |= c->elements[at].count > 0;
			}
			continue;
		}
		if (!cell_live(c, cell, deleted_us))
			continue;
		c->cells[at] = (struct store_cell){cell->data, (int32_t)cell->size};
		any = true;
		if (c->no_times)
			continue;
		c->timestamps_us[at] = cell->timestamp_us;
		c->ttls_s[at] = cell->ttl_s ? (int32_t)(cell->expiry_s - c->now_s) : 0;
	}
	return any;
}

static bool marker_live(const struct store_cursor *c, const struct store__row *row, int64_t deleted_us)
{
	return row->marker_us != STORE_NO_TIME && row->marker_us > deleted_us && (!row->marker_ttl_s || row->marker_expiry_s > c->now_s);
}

static void note_times(struct store_cursor *c, const struct store__row *row)
{
	int64_t newest_us = store__row_newest_us(row);
	if (newest_us > c->newest_us)
		c->newest_us = newest_us;
}

int64_t store__cursor_newest_us(const struct store_cursor *c)
{
	return c->newest_us;
}

/* Regular cells from c->current; false: the row does not live. */
static bool fill_row(struct store_cursor *c, int64_t covering_us)
{
	if (c->notes_times)
		note_times(c, &c->current);
	int64_t deleted_us = c->current.deleted_us > covering_us ? c->current.deleted_us : covering_us;
	clear_row(c, c->table->public.partition_key_count);
	bool cells = fill(c, &c->current, STORE_REGULAR, deleted_us);
	return cells || marker_live(c, &c->current, deleted_us);
}

/* As fill_row, from the value; SM_END: the row does not live. */
static enum sm_err take_row(struct store_cursor *c, struct bytes value, int64_t covering_us)
{
	const struct store_table *t = &c->table->public;
	int64_t time_us;
	if (c->notes_times || !store__row_plain(c->table, value, c->cells, &time_us) || time_us <= covering_us) {
		enum sm_err err = store__row_decode(value, &c->current);
		return err ? err : fill_row(c, covering_us) ? SM_OK : SM_END;
	}
	c->current.cell_count = 0; /* no form */
	clear_rest(c, t->partition_key_count);
	for (uint16_t i = t->partition_key_count; !c->no_times && i < t->column_count; i++)
		if (c->cells[i].size >= 0)
			c->timestamps_us[i] = time_us;
	return SM_OK;
}

/* A file of tables that is missing is damage, too. */
static enum sm_err read_error(char *text)
{
	enum sm_err err = store__rocks_error(text, NULL, "read");
	return err == SM_NOT_FOUND ? SM_CORRUPT : err;
}

/* From the key, or as it was written where the row has that. */
static enum sm_err take_clustering(struct store_cursor *c, struct bytes encoded)
{
	struct store_cell *cells = c->cells + c->table->public.partition_key_count;
	const struct store__cell *form = c->current.cell_count ? &c->current.cells[0] : NULL;
	enum sm_err err = store__clustering_decode(&c->table->public, encoded, &c->clustering, cells);
	if (err || !form || form->id != STORE_FORM_ID)
		return err;
	return store__clustering_reform(&c->table->public, bytes_of(form->data, form->size), cells) ? SM_OK : SM_CORRUPT;
}

/* ---- point reads ---- */

static enum sm_err point_next(struct store_cursor *c)
{
	c->end = true;
	char *text = NULL;
	const struct store__rocks *r = &c->engine->rocks;
	c->pinned = rocksdb_get_pinned(r->db, c->cache_tier ? r->get_cached : r->get, (const char *)c->lower.data, c->lower.end, &text);
	if (text)
		return read_error(text);
	/* A batch that deletes a range or partition raises the flag before it is written: what this read may have seen of it is
	 * right only together with the deletion. */
	if (atomic_load(&c->now->state->deletions)) {
		struct store_key key;
		enum sm_err err = store__key_decode(buf_bytes(&c->lower), &key);
		if (err)
			return err;
		c->end = c->point = false;
		c->lower.end = key.prefix.size;
		buf_append_bytes(&c->upper, buf_bytes(&c->lower));
		buf_u8(&c->upper, STORE_KEY_END);
		return c->upper.failed ? SM_NO_MEMORY : SM_AGAIN;
	}
	if (!c->pinned)
		return SM_END;
	size_t size;
	const char *value = rocksdb_pinnableslice_value(c->pinned, &size);
	enum sm_err err = take_row(c, bytes_of(value, size), STORE_NO_TIME);
	if (err)
		return err;
	struct store_key key;
	if ((err = store__key_decode(buf_bytes(&c->lower), &key)) ||
	    (err = store__partition_cells(&c->table->public, key.partition, c->cells)))
		return err;
	c->row.token = key.token;
	return take_clustering(c, key.rest);
}

/* ---- iterating ---- */

static void open_iterator(struct store_cursor *c, const struct buf *lower, const struct buf *upper)
{
	c->options = store__read_options();
	rocksdb_readoptions_set_iterate_lower_bound(c->options, (const char *)lower->data, lower->end);
	rocksdb_readoptions_set_iterate_upper_bound(c->options, (const char *)upper->data, upper->end);
	if (c->cache_tier)
		rocksdb_readoptions_set_read_tier(c->options, STORE_READ_CACHE_ONLY);
	if (c->whole_tokens && !c->cached_only) {
		/* a scan must not push out what point reads need */
		rocksdb_readoptions_set_fill_cache(c->options, 0);
		rocksdb_readoptions_set_readahead_size(c->options, READAHEAD_BYTES);
	}
	c->it = rocksdb_create_iterator(c->engine->rocks.db, c->options);
}

static void close_iterator(struct store_cursor *c)
{
	rocksdb_iter_destroy(c->it);
	rocksdb_readoptions_destroy(c->options);
	c->it = NULL;
	c->options = NULL;
}

/* The rows of the slice as keys: what the iterator shows needs no comparing then. */
static void set_slice_bounds(struct store_cursor *c)
{
	buf_append_bytes(&c->first, buf_bytes(&c->lower));
	buf_u8(&c->first, STORE_KEY_ROW);
	buf_append_bytes(&c->first, c->slice.lower);
	buf_append_bytes(&c->behind, buf_bytes(&c->lower));
	buf_u8(&c->behind, c->slice.has_upper ? STORE_KEY_ROW : STORE_KEY_END);
	buf_append_bytes(&c->behind, c->slice.upper);
}

static enum sm_err begin(struct store_cursor *c)
{
	if (store__damage_hits(c->engine->damage, buf_bytes(&c->lower), buf_bytes(&c->upper)))
		return SM_CORRUPT;
	c->begun = true;
	bool rows_only = !c->whole_tokens && !c->table->public.static_count && !atomic_load(&c->now->state->deletions);
	if (rows_only) {
		set_slice_bounds(c);
		if (c->first.failed || c->behind.failed)
			return SM_NO_MEMORY;
		open_iterator(c, &c->first, &c->behind);
		/* The flag is raised before a deletion is written: what the iterator sees has none if it is down now. */
		c->no_heads = !atomic_load(&c->now->state->deletions);
		if (c->no_heads)
			return SM_OK;
		close_iterator(c);
	}
	open_iterator(c, &c->lower, &c->upper);
	const struct buf *from = c->start.end ? &c->start : &c->lower;
	rocksdb_iter_seek(c->it, (const char *)from->data, from->end);
	return SM_OK;
}

static enum sm_err iterator_error(const struct store_cursor *c)
{
	char *text = NULL;
	rocksdb_iter_get_error(c->it, &text);
	return text ? read_error(text) : SM_OK;
}

static struct bytes iterator_key(const struct store_cursor *c)
{
	size_t size;
	const char *key = rocksdb_iter_key(c->it, &size);
	return bytes_of(key, size);
}

static struct bytes iterator_value(const struct store_cursor *c)
{
	size_t size;
	const char *value = rocksdb_iter_value(c->it, &size);
	return bytes_of(value, size);
}

static enum sm_err add_range(struct store_cursor *c, struct bytes rest, int64_t deleted_us)
{
	struct store_span span;
	enum sm_err err = store__range_decode(rest, &span);
	return err ? err : store__ranges_add(&c->ranges, span, deleted_us);
}

/* When the row with this clustering was deleted by its partition or a range. */
static int64_t covering(const struct store_cursor *c, struct bytes clustering)
{
	int64_t range_us = store__ranges_covering(&c->ranges, clustering);
	return range_us > c->deleted_us ? range_us : c->deleted_us;
}

static bool in_partition(const struct store_cursor *c, struct bytes key)
{
	return key.size > c->prefix.end && memcmp(key.data, c->prefix.data, c->prefix.end) == 0;
}

/* Seek to [prefix][kind][rest], or with back to it or before. */
static void seek(struct store_cursor *c, enum store_key_kind kind, struct bytes rest, bool back)
{
	buf_clear(&c->seek);
	buf_append_bytes(&c->seek, buf_bytes(&c->prefix));
	buf_u8(&c->seek, (uint8_t)kind);
	buf_append_bytes(&c->seek, rest);
	(back ? rocksdb_iter_seek_for_prev : rocksdb_iter_seek)(c->it, (const char *)c->seek.data, c->seek.end);
}

/* Take up what stands before the rows of a partition. */
static enum sm_err read_heads(struct store_cursor *c)
{
	enum sm_err err;
	for (; rocksdb_iter_valid(c->it) && in_partition(c, iterator_key(c)); rocksdb_iter_next(c->it)) {
		struct bytes key = iterator_key(c);
		uint8_t kind = key.data[c->prefix.end];
		struct bytes rest = bytes_of(key.data + c->prefix.end + 1, key.size - c->prefix.end - 1);
		if (kind >= STORE_KEY_ROW)
			return store__ranges_ready(&c->ranges);
		if (kind == STORE_KEY_STATIC) {
			buf_append_bytes(&c->static_bytes, iterator_value(c));
			err = c->static_bytes.failed ? SM_NO_MEMORY : store__row_decode(buf_bytes(&c->static_bytes), &c->statics);
			if (!err)
				note_times(c, &c->statics);
		} else {
			err = store__row_decode(iterator_value(c), &c->current);
			if (!err)
				note_times(c, &c->current);
			if (!err && kind == STORE_KEY_PARTITION_DELETION)
				c->deleted_us = c->current.deleted_us;
			else if (!err)
				err = add_range(c, rest, c->current.deleted_us);
		}
		if (err)
			return err;
	}
	err = iterator_error(c);
	return err ? err : store__ranges_ready(&c->ranges);
}

static bool statics_live(const struct store_cursor *c)
{
	for (uint32_t i = 0; i < c->statics.cell_count; i++) {
		const struct store__cell *cell = &c->statics.cells[i];
		if (cell->id < c->table->next_column_id && c->table->column_of_id[cell->id] != STORE_NO_COLUMN &&
		    cell_live(c, cell, c->deleted_us))
			return true;
	}
	return false;
}

/* Bring the iterator to the first row of the slice. */
static void seek_rows(struct store_cursor *c)
{
	struct bytes after = buf_bytes(&c->after);
	if (c->reverse) {
		struct bytes upper = c->slice.upper;
		bool bounded = c->slice.has_upper;
		if (c->has_after && (!bounded || bytes_compare(after, upper) < 0)) {
			upper = after;
			bounded = true;
		}
		seek(c, bounded ? STORE_KEY_ROW : STORE_KEY_END, bounded ? upper : bytes_of(NULL, 0), true);
		/* both bounds are exclusive */
		if (bounded && rocksdb_iter_valid(c->it) && bytes_equal(iterator_key(c), buf_bytes(&c->seek)))
			rocksdb_iter_prev(c->it);
		return;
	}
	struct bytes lower = c->slice.lower;
	bool behind = c->has_after && bytes_compare(after, lower) >= 0;
	if (behind)
		lower = after;
	if (lower.size || behind || c->no_heads)
		seek(c, STORE_KEY_ROW, lower, false);
	if (behind && rocksdb_iter_valid(c->it) && bytes_equal(iterator_key(c), buf_bytes(&c->seek)))
		rocksdb_iter_next(c->it);
}

/* The partition that the prefix names, whose heads are known. */
static enum sm_err enter_prefix(struct store_cursor *c)
{
	struct bytes prefix = buf_bytes(&c->prefix);
	assert(prefix.data && prefix.size > STORE_KEY_PARTITION_AT + 2);
	struct bytes partition = bytes_of(prefix.data + STORE_KEY_PARTITION_AT + 2, prefix.size - STORE_KEY_PARTITION_AT - 2);
	c->emitted = c->skip = c->advance = false;
	c->in_partition = true;
	c->row.token = c->token = (int64_t)(be64_get(prefix.data + STORE_KEY_TOKEN_AT) ^ 1ull << 63);
	clear_row(c, 0);
	return store__partition_cells(&c->table->public, partition, c->cells);
}

/* Of one partition that is known to have nothing but rows. */
static enum sm_err enter_rows(struct store_cursor *c)
{
	buf_append_bytes(&c->prefix, buf_bytes(&c->lower));
	if (c->prefix.failed)
		return SM_NO_MEMORY;
	c->deleted_us = STORE_NO_TIME;
	enum sm_err err = enter_prefix(c);
	if (!err)
		seek_rows(c);
	return err;
}

static enum sm_err enter_partition(struct store_cursor *c)
{
	if (c->no_heads)
		return enter_rows(c);
	if (!rocksdb_iter_valid(c->it)) {
		enum sm_err err = iterator_error(c);
		return err ? err : SM_END;
	}
	struct store_key key;
	enum sm_err err = store__key_decode(iterator_key(c), &key);
	if (err)
		return err;
	buf_clear(&c->prefix);
	buf_append_bytes(&c->prefix, key.prefix);
	buf_clear(&c->static_bytes);
	store__ranges_clear(&c->ranges);
	if (c->prefix.failed)
		return SM_NO_MEMORY;
	c->statics.cell_count = 0;
	c->deleted_us = STORE_NO_TIME;
	c->emitted = c->skip = c->advance = false;
	c->in_partition = true;
	c->row.token = c->token = key.token;
	clear_row(c, 0);
	size_t at = key.prefix.size - key.partition.size;
	if ((err = store__partition_cells(&c->table->public, bytes_of(c->prefix.data + at, key.partition.size), c->cells)) ||
	    (err = read_heads(c)))
		return err;
	c->static_live = statics_live(c);
	/* A resumed read goes on in the partition of the paging state only; that one may be gone. */
	if (c->has_after && c->whole_tokens &&
	    (c->start.end != c->prefix.end + 1 || memcmp(c->start.data, c->prefix.data, c->prefix.end) != 0))
		c->has_after = false;
	if (c->statics_only && c->static_live)
		return SM_OK;
	seek_rows(c);
	return SM_OK;
}

/* The next live row of the partition; SM_END: there is none. */
static enum sm_err partition_next(struct store_cursor *c)
{
	for (;; c->advance = true) {
		if (c->advance)
			(c->reverse ? rocksdb_iter_prev : rocksdb_iter_next)(c->it);
		c->advance = false;
		if (!rocksdb_iter_valid(c->it)) {
			enum sm_err err = iterator_error(c);
			return err ? err : SM_END;
		}
		struct bytes key = iterator_key(c);
		if (!c->no_heads && (!in_partition(c, key) || key.data[c->prefix.end] != STORE_KEY_ROW))
			return SM_END;
		struct bytes clustering = bytes_of(key.data + c->prefix.end + 1, key.size - c->prefix.end - 1);
		if (!c->no_heads && (c->reverse ? bytes_compare(clustering, c->slice.lower) < 0
						: c->slice.has_upper && bytes_compare(clustering, c->slice.upper) >= 0)) {
			c->skip = true;
			return SM_END;
		}
		enum sm_err err = take_row(c, iterator_value(c), c->no_heads ? STORE_NO_TIME : covering(c, clustering));
		if (err == SM_END)
			continue;
		if (err)
			return err;
		c->advance = true;
		if (c->table->public.static_count)
			fill(c, &c->statics, STORE_STATIC, c->deleted_us);
		return take_clustering(c, clustering);
	}
}

/* The one row of a partition for SELECT DISTINCT; SM_END: nothing in it lives. */
static enum sm_err distinct_next(struct store_cursor *c)
{
	enum sm_err err = c->static_live ? SM_OK : partition_next(c);
	if (err)
		return err;
	clear_row(c, c->table->public.partition_key_count);
	fill(c, &c->statics, STORE_STATIC, c->deleted_us);
	c->skip = true;
	return SM_OK;
}

/* Go behind the partition; SM_END after the only one. */
static enum sm_err leave_partition(struct store_cursor *c)
{
	c->in_partition = false;
	c->has_after = false;
	if (!c->whole_tokens)
		return SM_END;
	if (c->skip || (rocksdb_iter_valid(c->it) && in_partition(c, iterator_key(c))))
		seek(c, STORE_KEY_END, bytes_of(NULL, 0), false);
	return SM_OK;
}

/* Go to the partition and slice that the cursor is aimed at. */
static enum sm_err enter_aimed(struct store_cursor *c)
{
	if (store__damage_hits(c->engine->damage, buf_bytes(&c->prefix), buf_bytes(&c->upper)))
		return SM_CORRUPT;
	if (!c->heads_known && (c->table->public.static_count || atomic_load(&c->now->state->deletions))) {
		seek(c, STORE_KEY_PARTITION_DELETION, bytes_of(NULL, 0), false);
		if (rocksdb_iter_valid(c->it) && !in_partition(c, iterator_key(c)))
			return SM_END;
		enum sm_err err = enter_partition(c);
		c->heads_known = !err;
		return err;
	}
	enum sm_err err = enter_prefix(c);
	if (!err && !(c->statics_only && c->static_live)) {
		if (c->slice.lower.size == 0 && !c->has_after)
			seek(c, STORE_KEY_ROW, bytes_of(NULL, 0), false);
		seek_rows(c);
	}
	return err;
}

static enum sm_err iterate(struct store_cursor *c)
{
	enum sm_err err = c->begun ? SM_OK : begin(c);
	while (!err) {
		if (!c->in_partition && (err = c->aimed ? enter_aimed(c) : enter_partition(c)))
			break;
		if (c->statics_only && c->emitted)
			err = SM_END;
		else
			err = c->statics_only ? distinct_next(c) : partition_next(c);
		if (!err) {
			c->emitted = true;
			return SM_OK;
		}
		if (err != SM_END)
			break;
		bool alone = !c->emitted && !c->statics_only && c->static_live && c->unbounded && !c->has_after;
		err = leave_partition(c);
		if (alone) {
			c->end = err == SM_END;
			clear_row(c, c->table->public.partition_key_count);
			fill(c, &c->statics, STORE_STATIC, c->deleted_us);
			c->row.static_only = true;
			return SM_OK;
		}
	}
	return err;
}

static enum sm_err next_row(struct store_cursor *c)
{
	if (c->point) {
		enum sm_err err = point_next(c);
		if (err != SM_AGAIN || c->point)
			return err;
	}
	return iterate(c);
}

/* A read that was refused is an error of RocksDB's, whatever it makes of it. */
static enum sm_err next_in_time(struct store_cursor *c)
{
	if (!c->no_wait)
		return next_row(c);
	store__no_wait_begin();
	enum sm_err err = next_row(c);
	return store__no_wait_end() ? SM_AGAIN : err;
}

enum sm_err store__cursor_next(struct store_cursor *c, const struct store_row **ret_row)
{
	if (c->err)
		return c->err;
	if (c->by_index) {
		c->err = store__by_index_next(c->by_index, ret_row);
		c->row_count += !c->err;
		return c->err;
	}
	if (c->end)
		return SM_END;
	enum sm_err err = SM_OK;
	if (!c->aimed && !c->entered && (err = store__enter(c->engine, !c->cached_only, NULL)))
		return err;
	c->entered = !c->aimed;
	err = next_in_time(c);
	if (!err && c->no_memory)
		err = SM_NO_MEMORY;
	if (err) {
		c->err = err;
		c->end = true;
		return err;
	}
	c->row_count++;
	*ret_row = &c->row;
	return SM_OK;
}

/* ---- cursors that are part of another read ---- */

void store__cursor_uncounted(struct store_cursor *c)
{
	c->uncounted = true;
}

enum sm_err store__cursor_open_aimed(struct store__engine *engine, const struct store_read *read, rocksdb_iterator_t *it,
				     struct store_cursor **ret_cursor)
{
	struct store_cursor *c = cursor_new(engine, read, NULL);
	if (!c)
		return SM_NO_MEMORY;
	c->aimed = c->begun = c->end = c->uncounted = true;
	c->whole_tokens = c->reverse = false;
	c->it = it;
	*ret_cursor = c;
	return SM_OK;
}

enum sm_err store__cursor_aim(struct store_cursor *c, const struct store__aim *aim)
{
	if (c->err && c->err != SM_END)
		return c->err;
	if (!bytes_equal(aim->prefix, buf_bytes(&c->prefix))) {
		buf_clear(&c->prefix);
		buf_append_bytes(&c->prefix, aim->prefix);
		buf_clear(&c->upper);
		buf_append_bytes(&c->upper, aim->prefix);
		buf_u8(&c->upper, STORE_KEY_END);
		buf_clear(&c->static_bytes);
		store__ranges_clear(&c->ranges);
		c->statics.cell_count = 0;
		c->static_live = c->heads_known = false;
		c->deleted_us = STORE_NO_TIME;
	}
	size_t lower = aim->slice.lower.size;
	buf_clear(&c->slice_bytes);
	buf_append_bytes(&c->slice_bytes, aim->slice.lower);
	buf_append_bytes(&c->slice_bytes, aim->slice.upper);
	buf_clear(&c->after);
	buf_append_bytes(&c->after, aim->after);
	if (c->prefix.failed || c->upper.failed || c->slice_bytes.failed || c->after.failed)
		return SM_NO_MEMORY;
	c->slice = (struct store_span){.has_upper = aim->slice.has_upper};
	if (c->slice_bytes.end) {
		c->slice.lower = bytes_of(c->slice_bytes.data, lower);
		c->slice.upper = bytes_of(c->slice_bytes.data + lower, aim->slice.upper.size);
	}
	c->has_after = aim->after.data != NULL;
	c->unbounded = aim->whole;
	c->in_partition = c->end = false;
	c->err = SM_OK;
	return SM_OK;
}
