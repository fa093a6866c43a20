/* Reading by an index: entries say where rows may be, the rows say whether they are.
 *
 * One iterator goes to both, so that entries and rows are of one state: a few entries are taken, then their rows are read, and so on behind
 * them. The entries of one value lie in the order of the rows. Those of a range of values do not: all of them are looked at, those that are
 * wanted are sorted, and where there are more than a bound, all rows of the table, or of the partition, are read instead. That is also done
 * as long as the index is not built, and in reverse. */
#include "store/index.h"
#include <rocksdb/c.h>
#include <stdlib.h>

#define FIRST_CANDIDATES 16
#define MORE_CANDIDATES 512
#define BYTES_MAX (16u << 20)  /* of candidates */
#define PARTITION_STEPS_MAX 64 /* over entries of a range, for the rows of one partition: it may be small */
#define STEPS_MAX 1000         /* over entries, and rows that do not meet the condition, in one call that must not take long */

/* Where a row, or with STATIC and the kind of whole partitions some of it, may be found. */
struct candidate {
	size_t at; /* in the bytes of all: as a key of the table without its number */
	uint32_t size, prefix_size;
	enum store_key_kind kind;
};
struct store__by_index {
	struct store__engine *engine;
	struct store__table *table; /* counted */
	uint16_t index;
	/* the condition */
	const struct store_type *type; /* of what is between from and to */
	enum store_bound_kind from_kind, to_kind;
	struct store_cell from, to, key;
	struct arena arena;
	bool one_value;
	/* what is read besides */
	struct store_read read; /* table, statics_only, now_s, cached_only; nothing that is borrowed */
	int64_t token_from, token_to;
	struct buf partition; /* as a key from the token on, if one partition is read */
	struct buf slice_bytes;
	struct store_span slice;
	bool whole;            /* the slice is */
	struct buf after;      /* as a key from the token on, through the kind and, with after_row, the clustering */
	uint32_t after_prefix; /* of that */
	bool resumed, after_row;
	/* under way */
	struct store_cursor *rows; /* aimed, or with scanning over all rows */
	struct store_cursor *scan; /* over all rows: what rows becomes if the index does not help */
	bool scanning, entered, collected_all, aimed;
	rocksdb_readoptions_t *options;
	rocksdb_iterator_t *it;
	struct buf lower, upper, without_order; /* entries to take: from..to; then those that begin with the third, where it is not empty */
	struct buf bytes, row_key, row_end;
	struct candidate *candidates;
	uint32_t count, cap, next, batch;
	uint32_t steps; /* in this call */
};

/* ---- what is asked ---- */

static enum sm_err copy_cell(struct store__by_index *r, const struct store_type *type, struct store_cell from, struct store_cell *to)
{
	if (from.size < 0 || !store_value_ok(type, from))
		return SM_INVALID;
	*to = (struct store_cell){arena_copy(&r->arena, from.data ? from.data : (const uint8_t *)"", (size_t)from.size), from.size};
	return to->data ? SM_OK : SM_NO_MEMORY;
}

static enum sm_err take_condition(struct store__by_index *r, const struct store_condition *c)
{
	const struct store_type *type = &store__index_column(r->table, r->index)->type;
	enum store_index_part part = r->table->public.indexes[r->index].part;
	bool second = type->id == STORE_MAP && part != STORE_INDEX_KEYS;
	enum sm_err err = SM_OK;
	r->type = part == STORE_INDEX_WHOLE ? type : &type->elements[second];
	r->from_kind = c->from_kind;
	r->to_kind = c->to_kind;
	if (part == STORE_INDEX_ENTRIES)
		err = copy_cell(r, &type->elements[0], c->key, &r->key);
	if (!err && c->from_kind != STORE_UNBOUNDED)
		err = copy_cell(r, r->type, c->from, &r->from);
	if (!err && c->to_kind != STORE_UNBOUNDED)
		err = copy_cell(r, r->type, c->to, &r->to);
	r->one_value = !err && c->from_kind == STORE_INCLUSIVE && c->to_kind == STORE_INCLUSIVE &&
		       bytes_equal(bytes_of(r->from.data, (size_t)r->from.size), bytes_of(r->to.data, (size_t)r->to.size));
	return err;
}

static bool between(const struct store__by_index *r, struct store_cell v)
{
	if (v.size < 0)
		return false;
	const struct store_index *x = &r->table->public.indexes[r->index];
	int low = r->from_kind == STORE_UNBOUNDED ? 1 : store__index_compare(x, r->type, v, r->from);
	int high = r->to_kind == STORE_UNBOUNDED ? -1 : store__index_compare(x, r->type, v, r->to);
	return (low > 0 || (low == 0 && r->from_kind == STORE_INCLUSIVE)) && (high < 0 || (high == 0 && r->to_kind == STORE_INCLUSIVE));
}

static bool fits(const void *arg, struct store_cell key, struct store_cell value)
{
	const struct store__by_index *r = arg;
	if (r->table->public.indexes[r->index].part == STORE_INDEX_ENTRIES &&
	    store_compare(&store__index_column(r->table, r->index)->type.elements[0], key, r->key) != 0)
		return false;
	return between(r, value);
}

/* ---- where the entries are ---- */

static void put_value(struct store__by_index *r, struct store_cell value, struct buf *out)
{
	const struct store_type *type = &store__index_column(r->table, r->index)->type;
	store__entry_value(type, &r->table->public.indexes[r->index], r->key, value, out);
}

/* One value: its entries, of them those of the partition or of the tokens. */
static void bound_one_value(struct store__by_index *r, uint32_t number)
{
	buf_be32(&r->lower, number);
	put_value(r, r->from, &r->lower);
	buf_append_bytes(&r->upper, buf_bytes(&r->lower));
	if (r->partition.end) {
		buf_append_bytes(&r->lower, buf_bytes(&r->partition));
		buf_append_bytes(&r->upper, buf_bytes(&r->partition));
		buf_u8(&r->upper, STORE_KEY_END);
		return;
	}
	buf_be64(&r->lower, (uint64_t)r->token_from ^ 1ull << 63);
	buf_be64(&r->upper, (uint64_t)r->token_to ^ 1ull << 63);
	store__successor(&r->upper, 0);
}

/* A range of values, and those that have no place in it. */
static void bound_values(struct store__by_index *r, uint32_t number)
{
	struct buf from, to;
	buf_init(&from);
	buf_init(&to);
	if (r->from_kind != STORE_UNBOUNDED)
		put_value(r, r->from, &from);
	if (r->to_kind != STORE_UNBOUNDED)
		put_value(r, r->to, &to);
	/* a bound without an order bounds nothing here; a row that is not between is left out later */
	buf_be32(&r->lower, number);
	if (from.end && from.data[0])
		buf_append_bytes(&r->lower, buf_bytes(&from));
	else
		buf_u8(&r->lower, 1);
	buf_be32(&r->upper, number);
	if (to.end && to.data[0])
		buf_append_bytes(&r->upper, buf_bytes(&to));
	else
		buf_u8(&r->upper, 1);
	store__successor(&r->upper, 0);
	buf_be32(&r->without_order, number);
	buf_u8(&r->without_order, 0);
	r->lower.failed |= from.failed || to.failed;
	buf_done(&from);
	buf_done(&to);
}

static enum sm_err key_from_token(const struct store_table *t, const struct store_cell *partition_key, struct buf *out)
{
	struct buf partition, key;
	buf_init(&partition);
	buf_init(&key);
	enum sm_err err = store__partition_bytes(t, partition_key, &partition);
	if (!err) {
		store__key_prefix(0, buf_bytes(&partition), &key);
		buf_append(out, key.data + STORE_KEY_TOKEN_AT, key.end - STORE_KEY_TOKEN_AT);
		err = key.failed || out->failed ? SM_NO_MEMORY : SM_OK;
	}
	buf_done(&key);
	buf_done(&partition);
	return err;
}

static enum sm_err take_place(struct store__by_index *r, const struct store_read *read)
{
	const struct store_table *t = &r->table->public;
	struct buf clustering;
	buf_init(&clustering); /* encoders want a buffer that begins at 0 */
	enum sm_err err = SM_OK;
	const struct store_cell *after = read->partition_key ? read->partition_key : read->after_partition_key;
	r->resumed = read->partition_key ? read->after_clustering != NULL : read->after_partition_key != NULL;
	r->after_row = r->resumed && read->after_clustering;
	if (r->resumed) {
		err = key_from_token(t, after, &r->after);
		r->after_prefix = (uint32_t)r->after.end;
		buf_u8(&r->after, r->after_row ? STORE_KEY_ROW : STORE_KEY_END);
	}
	if (!err && r->after_row)
		err = store__clustering_encode(t, read->after_clustering, t->clustering_count, &clustering);
	buf_append_bytes(&r->after, buf_bytes(&clustering));
	buf_done(&clustering);
	if (!err && read->partition_key)
		err = key_from_token(t, read->partition_key, &r->partition);
	if (!err)
		err = store__span(t, &read->from, &read->to, &r->slice_bytes, &r->slice);
	r->whole = r->slice.lower.size == 0 && !r->slice.has_upper;
	return err ? err : r->after.failed || r->partition.failed || r->slice_bytes.failed ? SM_NO_MEMORY : SM_OK;
}

/* ---- opening ---- */

static enum sm_err find_index(struct store__by_index *r, const char *name)
{
	const struct store_table *t = &r->table->public;
	for (r->index = 0; r->index < t->index_count; r->index++)
		if (strcmp(t->indexes[r->index].name, name) == 0 && t->indexes[r->index].part != STORE_INDEX_NOTHING)
			return SM_OK;
	return SM_NOT_FOUND;
}

/* From here on all rows are read. */
static void use_scan(struct store__by_index *r)
{
	store__cursor_close(r->rows);
	r->rows = r->scan;
	r->scan = NULL;
	r->scanning = true;
}

static enum sm_err prepare(struct store__by_index *r, const struct store_read *read, struct sm_error *reterr)
{
	const struct store_table *t = &r->table->public;
	enum sm_err err = find_index(r, read->where->index);
	if (err)
		return sm_fail(reterr, err, "table '%s.%s' has no index '%s' to read by", t->keyspace, t->name, read->where->index);
	const struct store_column *c = store__index_column(r->table, r->index);
	if (read->statics_only && (c->kind == STORE_CLUSTERING || c->kind == STORE_REGULAR))
		return sm_fail(reterr, SM_INVALID,
			       "column '%s' is none of the partition's: one row a partition cannot be found by its index", c->name);
	if ((err = take_condition(r, read->where)) || (err = take_place(r, read)))
		return sm_fail(reterr, err, "a value, key or bound of the read of table '%s.%s' by index '%s' is %s", t->keyspace, t->name,
			       read->where->index, err == SM_TOO_LARGE ? "longer than 65535 bytes" : sm_err_text(err));
	uint32_t number = t->indexes[r->index].number;
	(r->one_value ? bound_one_value : bound_values)(r, number);
	if (r->lower.failed || r->upper.failed || r->without_order.failed)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	r->collected_all = r->slice.empty || r->token_from > r->token_to;
	r->scanning = read->reverse || !store__built_has(r->engine->built, number);
	struct store_read all = *read;
	all.where = NULL;
	if ((err = store__cursor_open(&r->engine->public, &all, &r->scan, reterr)))
		return err;
	store__cursor_uncounted(r->scan);
	if (r->scanning)
		use_scan(r);
	return SM_OK;
}

enum sm_err store__by_index_open(struct store__engine *engine, const struct store_read *read, struct store__by_index **ret_reading,
				 struct sm_error *reterr)
{
	struct store__by_index *r = calloc(1, sizeof *r);
	if (!r)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	r->engine = engine;
	r->table = store__table_ref(store__table_of(read->table));
	r->read = (struct store_read){.table = &r->table->public,
				      .statics_only = read->statics_only,
				      .cached_only = read->cached_only,
				      .partition_key = NULL,
				      .now_s = read->now_s};
	r->token_from = read->partition_key ? INT64_MIN : read->token_from;
	r->token_to = read->partition_key ? INT64_MAX : read->token_to;
	r->batch = FIRST_CANDIDATES;
	arena_init(&r->arena, 0);
	enum sm_err err = prepare(r, read, reterr);
	if (err)
		store__by_index_close(r);
	else
		*ret_reading = r;
	return err;
}

void store__by_index_close(struct store__by_index *r)
{
	if (!r)
		return;
	store__cursor_close(r->rows);
	store__cursor_close(r->scan);
	if (r->it)
		rocksdb_iter_destroy(r->it);
	if (r->options)
		rocksdb_readoptions_destroy(r->options);
	if (r->entered)
		store__leave(r->engine);
	struct buf *bufs[] = {&r->partition,     &r->slice_bytes, &r->after,   &r->lower,  &r->upper,
			      &r->without_order, &r->bytes,       &r->row_key, &r->row_end};
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
		buf_done(bufs[i]);
	free(r->candidates);
	arena_done(&r->arena);
	store__table_unref(r->table);
	free(r);
}

/* ---- taking entries ---- */

static enum sm_err begin(struct store__by_index *r)
{
	enum sm_err err = store__enter(r->engine, !r->read.cached_only, NULL);
	if (err)
		return err;
	r->entered = true;
	const struct buf *first = r->without_order.end ? &r->without_order : &r->lower; /* those without an order lie before the others */
	if (store__damage_hits(r->engine->damage, buf_bytes(first), buf_bytes(&r->upper)))
		return SM_CORRUPT;
	r->options = store__read_options();
	if (r->read.cached_only)
		rocksdb_readoptions_set_read_tier(r->options, STORE_READ_CACHE_ONLY);
	r->it = rocksdb_create_iterator(r->engine->rocks.db, r->options);
	if (!store__built_has(r->engine->built, r->table->public.indexes[r->index].number)) {
		use_scan(r); /* it was dropped since */
		return SM_OK;
	}
	return store__cursor_open_aimed(r->engine, &r->read, r->it, &r->rows);
}

/* Is it behind the place where the read goes on, in the partition, between the tokens, in the slice? */
static bool is_wanted(const struct store__by_index *r, const struct store__entry *e)
{
	struct bytes after = bytes_of(r->after.data, r->after_prefix);
	int64_t token = (int64_t)(be64_get(e->row.data) ^ 1ull << 63);
	if (token < r->token_from || token > r->token_to || (r->partition.end && !bytes_equal(buf_bytes(&r->partition), e->prefix)))
		return false;
	int order = r->resumed ? bytes_compare(e->prefix, after) : 1;
	if (order < 0 || (order == 0 && !r->after_row))
		return false;
	if (e->kind != STORE_KEY_ROW)
		return true;
	struct bytes clustering = bytes_of(e->row.data + e->prefix.size + 1, e->row.size - e->prefix.size - 1);
	if (order == 0 && bytes_compare(e->row, buf_bytes(&r->after)) <= 0)
		return false;
	return bytes_compare(clustering, r->slice.lower) >= 0 && (!r->slice.has_upper || bytes_compare(clustering, r->slice.upper) < 0);
}

static enum sm_err add(struct store__by_index *r, const struct store__entry *e)
{
	if (r->count == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : MORE_CANDIDATES;
		struct candidate *more = realloc(r->candidates, cap * sizeof *more);
		if (!more)
			return SM_NO_MEMORY;
		r->candidates = more;
		r->cap = cap;
	}
	r->candidates[r->count++] = (struct candidate){r->bytes.end, (uint32_t)e->row.size, (uint32_t)e->prefix.size, e->kind};
	buf_append_bytes(&r->bytes, e->row);
	return r->bytes.failed ? SM_NO_MEMORY : SM_OK;
}

static enum sm_err iterator_error(const struct store__by_index *r)
{
	char *text = NULL;
	rocksdb_iter_get_error(r->it, &text);
	if (!text)
		return SM_OK;
	enum sm_err err = store__rocks_error(text, NULL, "read");
	return err == SM_NOT_FOUND ? SM_CORRUPT : err;
}

static bool begins(struct bytes key, struct bytes with)
{
	return key.size >= with.size && bytes_equal(bytes_of(key.data, with.size), with);
}

static bool takes_long(struct store__by_index *r)
{
	return r->read.cached_only && ++r->steps > STEPS_MAX;
}

/* Take the wanted ones of the entries from lower on that are before upper, or that begin with lower. SM_FULL: there are more than *left,
 * wanted or not, and lower is where to go on. */
static enum sm_err take(struct store__by_index *r, struct buf *lower, const struct buf *upper, uint32_t *left)
{
	struct store__entry e;
	rocksdb_iter_seek(r->it, (const char *)lower->data, lower->end);
	for (; rocksdb_iter_valid(r->it); rocksdb_iter_next(r->it), --*left) {
		size_t size;
		const char *data = rocksdb_iter_key(r->it, &size);
		struct bytes key = bytes_of(data, size);
		if (upper ? bytes_compare(key, buf_bytes(upper)) >= 0 : !begins(key, buf_bytes(lower)))
			return SM_OK;
		if (takes_long(r))
			return SM_AGAIN;
		if (*left == 0 || r->bytes.end > BYTES_MAX) {
			buf_clear(lower);
			buf_append_bytes(lower, key);
			return lower->failed ? SM_NO_MEMORY : SM_FULL;
		}
		enum sm_err err = store__entry_decode(key, &e);
		if (!err && is_wanted(r, &e))
			err = add(r, &e);
		if (err)
			return err;
	}
	return iterator_error(r);
}

static int compare_candidates(const void *a, const void *b, void *bytes)
{
	const struct candidate *x = a, *y = b;
	return bytes_compare(bytes_of((uint8_t *)bytes + x->at, x->size), bytes_of((uint8_t *)bytes + y->at, y->size));
}

static void sort(struct store__by_index *r)
{
	uint32_t kept = 0;
	if (r->count == 0)
		return;
	qsort_r(r->candidates, r->count, sizeof *r->candidates, compare_candidates, r->bytes.data);
	for (uint32_t i = 1; i < r->count; i++)
		if (compare_candidates(&r->candidates[kept], &r->candidates[i], r->bytes.data) != 0)
			r->candidates[++kept] = r->candidates[i];
	r->count = kept + 1;
}

/* Behind the place where the read goes on, without stepping over all before it. */
static void skip_to_place(struct store__by_index *r)
{
	if (!r->resumed || !r->one_value)
		return;
	struct buf place;
	buf_init(&place);
	buf_be32(&place, r->table->public.indexes[r->index].number);
	put_value(r, r->from, &place);
	buf_append(&place, r->after.data, r->after_prefix);
	if (!place.failed && bytes_compare(buf_bytes(&place), buf_bytes(&r->lower)) > 0) {
		/* entries of whole partitions and of static cells stand before those of rows */
		if (store__index_column(r->table, r->index)->kind != STORE_PARTITION_KEY &&
		    store__index_column(r->table, r->index)->kind != STORE_STATIC)
			buf_append(&place, r->after.data + r->after_prefix, r->after.end - r->after_prefix);
		buf_clear(&r->lower);
		buf_append_bytes(&r->lower, buf_bytes(&place));
	}
	r->lower.failed |= place.failed;
	buf_done(&place);
}

static enum sm_err collect(struct store__by_index *r)
{
	enum sm_err err = SM_OK;
	if (!r->it) {
		if ((err = begin(r)) || r->scanning)
			return err;
		skip_to_place(r);
		if (r->lower.failed)
			return SM_NO_MEMORY;
	}
	r->count = r->next = 0;
	buf_clear(&r->bytes);
	uint32_t left = r->one_value ? r->batch : r->partition.end ? PARTITION_STEPS_MAX : r->engine->index_candidates_max;
	r->batch = MORE_CANDIDATES;
	err = take(r, &r->lower, &r->upper, &left);
	if (!err && !r->one_value)
		err = take(r, &r->without_order, NULL, &left);
	r->collected_all = err != SM_FULL;
	if (r->one_value)
		return err == SM_FULL ? SM_OK : err;
	if (err == SM_FULL) { /* too many */
		use_scan(r);
		return SM_OK;
	}
	sort(r);
	return err;
}

/* ---- rows ---- */

static enum sm_err aim(struct store__by_index *r, const struct candidate *c)
{
	struct bytes row = bytes_of(r->bytes.data + c->at, c->size), prefix = bytes_of(row.data, c->prefix_size);
	struct store__aim aim;
	enum sm_err err = store__entry_aim(r->table, &(struct store__entry){.row = row, .prefix = prefix, .kind = c->kind}, &r->row_key,
					   &r->row_end, &aim);
	if (err)
		return err;
	if (c->kind != STORE_KEY_ROW) {
		aim.slice = r->slice;
		aim.whole = r->whole;
		if (r->resumed && r->after_row && bytes_equal(prefix, bytes_of(r->after.data, r->after_prefix))) {
			aim.after = bytes_of(r->after.data + r->after_prefix + 1, r->after.end - r->after_prefix - 1);
			aim.whole = false;
		}
	}
	return store__cursor_aim(r->rows, &aim);
}

enum sm_err store__by_index_next(struct store__by_index *r, const struct store_row **ret_row)
{
	r->steps = 0;
	for (;;) {
		enum sm_err err = r->scanning || r->aimed ? store__cursor_next(r->rows, ret_row) : SM_END;
		if (!err && store__index_any(r->table, r->index, *ret_row, fits, r))
			return SM_OK;
		if ((!err || (err == SM_END && r->aimed)) && takes_long(r))
			return SM_AGAIN;
		if (!err)
			continue;
		if (err != SM_END || r->scanning)
			return err;
		r->aimed = r->next < r->count;
		if (r->aimed)
			err = aim(r, &r->candidates[r->next++]);
		else
			err = r->collected_all ? SM_END : collect(r);
		if (err)
			return err;
	}
}
