/* Reads: a cursor is a list of SELECTs, one after the other, read page by page; the next page is fetched while one is being read.
 *
 * A partition's slice is as many SELECTs as slice.c makes of it. A range of tokens is one; one that is resumed behind a row has
 * first the rest of that row's partition, then other partitions of the same token, then the tokens behind. */
#include "base/metrics.h"
#include "cassandra/cassandra_internal.h"
#include <stdlib.h>

#define STEPS_MAX 64

/* A page on its way; shared by the cursor and the answer's callback. */
struct fetch {
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	uint32_t refs;
	bool done;
	struct client_answer answer;
};
struct step {
	const char *text;
	struct store_cell *values;
	uint16_t value_count;
	bool routed;
	int64_t token;
};
enum what { VALUE, WRITE_TIME, TTL };
struct selected {
	uint16_t column; /* of the table */
	enum what what;
};
struct store_cursor {
	struct cassandra_store *store;
	const struct store_table *table;
	struct arena arena; /* of the steps */
	struct store_read read;
	bool cached_only, filter; /* filter: rows are compared with the slice here */
	struct selected *selected;
	uint32_t selected_count;
	const char *columns; /* the text between SELECT and FROM */
	struct step steps[STEPS_MAX];
	uint32_t step_count, step;
	struct fetch *fetch;
	struct client_answer page;
	struct byte_reader in;
	uint32_t rows_left;
	bool has_page;
	int64_t rows_given;
	enum sm_err err;
	struct store_row row;
	struct store_cell *cells;
	struct store_elements *elements;
	struct store_cell *element_times, *element_ttls; /* the lists as they came */
	int64_t *timestamps;
	int32_t *ttls;
	struct arena row_arena;
};

/* ---- pages ---- */

static void fetch_unref(struct fetch *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	bool last = --f->refs == 0;
	pthread_mutex_unlock(&f->lock);
	if (!last)
		return;
	client__answer_done(&f->answer);
	pthread_cond_destroy(&f->arrived);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void page_came(void *arg, struct client_answer *a)
{
	struct fetch *f = arg;
	pthread_mutex_lock(&f->lock);
	f->answer = *a;
	a->frame = NULL;
	f->done = true;
	pthread_cond_signal(&f->arrived);
	pthread_mutex_unlock(&f->lock);
	fetch_unref(f);
}

static enum sm_err ask_page(struct store_cursor *c, struct bytes paging_state)
{
	const struct step *s = &c->steps[c->step];
	struct fetch *f = calloc(1, sizeof *f);
	if (!f)
		return SM_NO_MEMORY;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->arrived, NULL);
	f->refs = 2;
	c->fetch = f;
	client__ask(c->store->client,
		    &(struct client_request){.text = s->text,
					     .prepare = true,
					     .values = s->values,
					     .value_count = s->value_count,
					     .consistency = CLIENT_CONSISTENCY,
					     .page_size = CASSANDRA_PAGE_ROWS,
					     .paging_state = paging_state,
					     .idempotent = true,
					     .now_s = c->read.now_s,
					     .routed = s->routed,
					     .token = s->token},
		    page_came, f);
	return SM_OK;
}

static enum sm_err begin_step(struct store_cursor *c)
{
	return ask_page(c, (struct bytes){0});
}

/* The page that was asked for, and the next one is. */
static enum sm_err take_page(struct store_cursor *c)
{
	struct fetch *f = c->fetch;
	pthread_mutex_lock(&f->lock);
	while (!f->done)
		pthread_cond_wait(&f->arrived, &f->lock);
	pthread_mutex_unlock(&f->lock);
	client__answer_done(&c->page);
	c->page = f->answer;
	f->answer.frame = NULL;
	fetch_unref(f);
	c->fetch = NULL;
	enum sm_err err = c->page.error.code;
	if (err == SM_INVALID) { /* the statement is ours: the table, or a column of it, is not there any more */
		cassandra__notice(c->store, "reading %s.%s: %s", c->table->keyspace, c->table->name, c->page.error.text);
		return SM_NOT_FOUND;
	}
	if (err)
		return err;
	if (c->page.row_count && c->page.column_count != c->selected_count)
		return SM_CORRUPT;
	c->in = byte_reader(c->page.rows);
	c->rows_left = c->page.row_count;
	c->has_page = true;
	return c->page.paging_state.size ? ask_page(c, c->page.paging_state) : SM_OK;
}

/* ---- statements ---- */

static bool is_selected(const struct store_cursor *c, const struct store_column *col)
{
	if (col->kind == STORE_PARTITION_KEY)
		return true;
	return c->read.statics_only ? col->kind == STORE_STATIC : true;
}

static bool has_times(const struct store_cursor *c, const struct store_column *col)
{
	return !c->read.no_times && !c->read.statics_only && col->kind >= STORE_STATIC && col->type.id != STORE_COUNTER &&
	       (c->read.element_times || !store_type_multi_cell(&col->type));
}

static enum sm_err choose_columns(struct store_cursor *c)
{
	const struct store_table *t = c->table;
	struct buf text;
	buf_init(&text);
	c->selected = arena_alloc(&c->arena, t->column_count * 3u * sizeof *c->selected);
	for (uint16_t i = 0; c->selected && i < t->column_count; i++) {
		const struct store_column *col = &t->columns[i];
		if (!is_selected(c, col))
			continue;
		const char *name = cql_quote_name(col->name, &c->arena);
		buf_printf(&text, "%s%s", c->selected_count ? ", " : "", name);
		c->selected[c->selected_count++] = (struct selected){i, VALUE};
		if (has_times(c, col)) {
			buf_printf(&text, ", WRITETIME(%s), TTL(%s)", name, name);
			c->selected[c->selected_count++] = (struct selected){i, WRITE_TIME};
			c->selected[c->selected_count++] = (struct selected){i, TTL};
		}
	}
	c->columns = text.failed ? NULL : arena_string(&c->arena, (const char *)buf_bytes(&text).data, buf_size(&text));
	buf_done(&text);
	return c->selected && c->columns ? SM_OK : SM_NO_MEMORY;
}

static void begin_select(struct store_cursor *c, struct buf *text)
{
	buf_printf(text, "SELECT %s%s FROM ", c->read.statics_only ? "DISTINCT " : "", c->columns);
	cassandra__table_name(c->table, &c->arena, text);
}

static enum sm_err end_select(struct store_cursor *c, struct buf *text, struct store_cell *values, uint16_t count, bool routed,
			      int64_t token)
{
	const char *copy = text->failed ? NULL : arena_string(&c->arena, (const char *)buf_bytes(text).data, buf_size(text));
	bool room = c->step_count < STEPS_MAX;
	buf_done(text);
	if (!copy)
		return SM_NO_MEMORY;
	if (!room)
		return SM_TOO_LARGE;
	c->steps[c->step_count++] = (struct step){.text = copy, .values = values, .value_count = count, .routed = routed, .token = token};
	return SM_OK;
}

static struct store_cell *copy_values(struct store_cursor *c, const struct store_cell *from, uint16_t count, uint16_t room)
{
	struct store_cell *values = arena_alloc(&c->arena, (room + 1u) * sizeof *values);
	for (uint16_t i = 0; values && i < count; i++) {
		values[i] = from[i];
		if (from[i].size > 0 && !(values[i].data = arena_copy(&c->arena, from[i].data, (size_t)from[i].size)))
			return NULL;
	}
	return values;
}

/* One SELECT: a slice of a partition, or all of it (slice NULL). */
static enum sm_err add_partition_select(struct store_cursor *c, const struct store_cell *key, const struct cassandra_slice *slice)
{
	const struct store_table *t = c->table;
	struct store_cell *values = copy_values(c, key, t->partition_key_count,
						(uint16_t)(t->partition_key_count + t->clustering_count + 2));
	struct buf text;
	if (!values)
		return SM_NO_MEMORY;
	buf_init(&text);
	begin_select(c, &text);
	buf_append_str(&text, " WHERE ");
	cassandra__partition_where(t, &c->arena, &text);
	uint16_t count = t->partition_key_count;
	if (slice) {
		uint16_t first = count;
		count = (uint16_t)(count + cassandra__slice_where(t, slice, &c->arena, &text, values + count));
		for (uint16_t i = first; i < count; i++)
			if (values[i].size > 0 && !(values[i].data = arena_copy(&c->arena, values[i].data, (size_t)values[i].size))) {
				buf_done(&text);
				return SM_NO_MEMORY;
			}
	}
	if (c->read.reverse && t->clustering_count && !c->read.statics_only) {
		const struct store_column *first = &t->columns[t->partition_key_count];
		buf_printf(&text, " ORDER BY %s %s", cql_quote_name(first->name, &c->arena), first->descending ? "ASC" : "DESC");
	}
	return end_select(c, &text, values, count, true, store_token(t, key));
}

static enum sm_err add_partition(struct store_cursor *c, const struct store_cell *key, const struct store_bound *from,
				 const struct store_bound *to)
{
	struct cassandra_slice slices[CASSANDRA_SLICES_MAX];
	enum sm_err err = SM_OK;
	if (c->read.statics_only || c->filter)
		return add_partition_select(c, key, NULL);
	uint32_t count = cassandra__slices(c->table, from, to, slices);
	for (uint32_t i = 0; i < count && !err; i++)
		err = add_partition_select(c, key, &slices[c->read.reverse ? count - 1 - i : i]);
	return err;
}

static void put_token(struct store_cursor *c, struct buf *text)
{
	buf_append_str(text, "token(");
	for (uint16_t i = 0; i < c->table->partition_key_count; i++)
		buf_printf(text, "%s%s", i ? ", " : "", cql_quote_name(c->table->columns[i].name, &c->arena));
	buf_append_str(text, ")");
}

static struct store_cell long_value(struct store_cursor *c, int64_t v)
{
	uint8_t *bytes = arena_alloc(&c->arena, 8);
	if (!bytes)
		return client__null();
	be64_put(bytes, (uint64_t)v);
	return (struct store_cell){bytes, 8};
}

static enum sm_err add_tokens(struct store_cursor *c, int64_t from, bool from_out, int64_t to)
{
	struct store_cell *values = arena_alloc(&c->arena, 2 * sizeof *values);
	struct buf text;
	uint16_t n = 0;
	if (!values)
		return SM_NO_MEMORY;
	buf_init(&text);
	begin_select(c, &text);
	if (from != INT64_MIN || from_out) {
		buf_append_str(&text, " WHERE ");
		put_token(c, &text);
		buf_append_str(&text, from_out ? " > ?" : " >= ?");
		values[n++] = long_value(c, from);
	}
	if (to != INT64_MAX) {
		buf_append_str(&text, n ? " AND " : " WHERE ");
		put_token(c, &text);
		buf_append_str(&text, " <= ?");
		values[n++] = long_value(c, to);
	}
	return end_select(c, &text, values, n, true, from);
}

/* ---- going on behind a row of a range of tokens ---- */

static void key_bytes(const struct store_table *t, const struct store_cell *key, struct buf *out)
{
	for (uint16_t i = 0; i < t->partition_key_count; i++) {
		if (t->partition_key_count > 1)
			buf_be16(out, (uint16_t)key[i].size);
		if (key[i].size > 0)
			buf_append(out, key[i].data, (size_t)key[i].size);
		if (t->partition_key_count > 1)
			buf_u8(out, 0);
	}
}

struct keys {
	struct store_cell *items[STEPS_MAX / 4];
	uint32_t count;
};

static int key_order(const struct store_table *t, const struct store_cell *a, const struct store_cell *b)
{
	struct buf x, y;
	buf_init(&x);
	buf_init(&y);
	key_bytes(t, a, &x);
	key_bytes(t, b, &y);
	int order = bytes_compare(buf_bytes(&x), buf_bytes(&y));
	buf_done(&x);
	buf_done(&y);
	return order;
}

/* Partitions of the token that lie behind key: nearly always none. */
static enum sm_err read_keys(struct store_cursor *c, int64_t token, const struct store_cell *key, struct keys *keys,
			     struct sm_error *reterr)
{
	const struct store_table *t = c->table;
	struct store_cell value = long_value(c, token);
	struct client_answer a = {0};
	struct buf text;
	buf_init(&text);
	buf_append_str(&text, "SELECT DISTINCT ");
	for (uint16_t i = 0; i < t->partition_key_count; i++)
		buf_printf(&text, "%s%s", i ? ", " : "", cql_quote_name(t->columns[i].name, &c->arena));
	buf_append_str(&text, " FROM ");
	cassandra__table_name(t, &c->arena, &text);
	buf_append_str(&text, " WHERE ");
	put_token(c, &text);
	buf_append_str(&text, " = ?");
	buf_u8(&text, 0);
	const struct client_request request = {.text = text.failed ? NULL : (const char *)buf_bytes(&text).data,
					       .prepare = true,
					       .statement = -1, /* without memory for its text */
					       .values = &value,
					       .value_count = 1,
					       .consistency = CLIENT_CONSISTENCY,
					       .idempotent = true,
					       .routed = true,
					       .token = token};
	enum sm_err err = client__ask_wait(c->store->client, &request, &a);
	struct byte_reader in = byte_reader(a.rows);
	buf_done(&text);
	if (err)
		*reterr = a.error;
	for (uint32_t i = 0; i < a.row_count && !err; i++) {
		struct store_cell *one = arena_alloc(&c->arena, t->partition_key_count * sizeof *one);
		for (uint16_t k = 0; one && k < t->partition_key_count; k++)
			one[k] = client__value(&in);
		if (one && key_order(t, one, key) <= 0)
			continue;
		if (!one || !(one = copy_values(c, one, t->partition_key_count, t->partition_key_count)))
			err = sm_fail(reterr, SM_NO_MEMORY, "no memory");
		else if (keys->count == sizeof keys->items / sizeof *keys->items)
			err = sm_fail(reterr, SM_TOO_LARGE, "%s.%s: too many partitions have the same token", t->keyspace, t->name);
		else
			keys->items[keys->count++] = one;
	}
	client__answer_done(&a);
	return err;
}

static enum sm_err add_rest(struct store_cursor *c, struct sm_error *reterr)
{
	const struct store_read *r = &c->read;
	const struct store_cell *key = r->after_partition_key;
	int64_t token = store_token(c->table, key);
	struct keys keys = {.count = 0};
	enum sm_err err = SM_OK;
	if (r->after_clustering) {
		const struct store_bound behind = {STORE_EXCLUSIVE, c->table->clustering_count, r->after_clustering};
		err = add_partition(c, key, &behind, &r->to);
	}
	if (!err)
		err = read_keys(c, token, key, &keys, reterr);
	else
		sm_fail(reterr, err, "reading %s.%s: %s", c->table->keyspace, c->table->name, sm_err_text(err));
	for (uint32_t i = 0; i < keys.count && !err; i++) {
		uint32_t least = i;
		for (uint32_t k = i + 1; k < keys.count; k++)
			if (key_order(c->table, keys.items[k], keys.items[least]) < 0)
				least = k;
		struct store_cell *one = keys.items[least];
		keys.items[least] = keys.items[i];
		keys.items[i] = one;
		err = add_partition(c, one, &r->from, &r->to);
	}
	if (!err && token < r->token_to)
		err = add_tokens(c, token, true, r->token_to);
	return err;
}

/* ---- opening ---- */

/* The bounds are the caller's only while the cursor is opened. */
static enum sm_err keep_bound(struct store_cursor *c, struct store_bound *b)
{
	if (b->kind == STORE_UNBOUNDED || !b->count)
		*b = (struct store_bound){0};
	else if (!(b->cells = copy_values(c, b->cells, b->count, b->count)))
		return SM_NO_MEMORY;
	return SM_OK;
}

static enum sm_err plan(struct store_cursor *c, struct sm_error *reterr)
{
	const struct store_read *r = &c->read;
	enum sm_err err = choose_columns(c);
	if (err || (err = keep_bound(c, &c->read.from)) || (err = keep_bound(c, &c->read.to)))
		return sm_fail(reterr, err, "reading %s.%s: %s", c->table->keyspace, c->table->name, sm_err_text(err));
	bool bounded = (r->from.kind && r->from.count) || (r->to.kind && r->to.count);
	c->filter = (!r->partition_key && bounded) || c->table->clustering_count * 2 + 1 > CASSANDRA_SLICES_MAX;
	if (!err && r->partition_key) {
		struct store_bound from = r->from, to = r->to, behind = {STORE_EXCLUSIVE, c->table->clustering_count, r->after_clustering};
		if (r->after_clustering && r->reverse)
			to = behind;
		else if (r->after_clustering)
			from = behind;
		if ((err = keep_bound(c, &from)) || (err = keep_bound(c, &to)))
			return sm_fail(reterr, err, "reading %s.%s: %s", c->table->keyspace, c->table->name, sm_err_text(err));
		c->read.from = from;
		c->read.to = to;
		err = add_partition(c, r->partition_key, &from, &to);
	} else if (!err && r->after_partition_key) {
		return add_rest(c, reterr);
	} else if (!err) {
		err = add_tokens(c, r->token_from, false, r->token_to);
	}
	return err ? sm_fail(reterr, err, "reading %s.%s: %s", c->table->keyspace, c->table->name, sm_err_text(err)) : SM_OK;
}

enum sm_err cassandra__open_cursor(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
				   struct sm_error *reterr)
{
	size_t n = read->table->column_count;
	struct sm_error none;
	struct store_cursor *c = calloc(1, sizeof *c);
	reterr = reterr ? reterr : &none;
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	arena_init(&c->arena, 0);
	arena_init(&c->row_arena, 0);
	c->store = cassandra__of(store);
	c->table = read->table;
	c->read = *read;
	c->cached_only = read->cached_only;
	c->cells = arena_alloc(&c->arena, n * sizeof *c->cells);
	c->elements = arena_alloc(&c->arena, n * sizeof *c->elements);
	c->element_times = arena_alloc(&c->arena, n * sizeof *c->element_times);
	c->element_ttls = arena_alloc(&c->arena, n * sizeof *c->element_ttls);
	c->timestamps = arena_alloc(&c->arena, n * sizeof *c->timestamps);
	c->ttls = arena_alloc(&c->arena, n * sizeof *c->ttls);
	bool room = c->cells && c->elements && c->element_times && c->element_ttls && c->timestamps && c->ttls;
	enum sm_err err = room ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "no memory");
	c->row = (struct store_row){.cells = c->cells, .timestamps_us = c->timestamps, .ttls_s = c->ttls, .elements = c->elements};
	if (!err && !c->cached_only)
		err = plan(c, reterr);
	if (!err && c->step_count && (err = begin_step(c)))
		sm_fail(reterr, err, "reading %s.%s: %s", c->table->keyspace, c->table->name, sm_err_text(err));
	if (err)
		cassandra__close_cursor(c);
	else
		*ret_cursor = c;
	return err;
}

void cassandra__close_cursor(struct store_cursor *c)
{
	if (!c)
		return;
	metric_add(METRIC_STORE_ROWS_READ, c->rows_given);
	fetch_unref(c->fetch);
	client__answer_done(&c->page);
	arena_done(&c->arena);
	arena_done(&c->row_arena);
	free(c);
}

/* ---- rows ---- */

/* The next of WRITETIME's or TTL's list of elements' own; what is not there is 0. */
static int64_t next_time(struct byte_reader *list)
{
	int32_t size = reader_left(list) >= 4 ? (int32_t)reader_be32(list) : -1;
	const uint8_t *value = size > 0 ? reader_take(list, (size_t)size) : NULL;
	return !value ? 0 : size == 8 ? (int64_t)be64_get(value) : size == 4 ? (int64_t)be32_get(value) : 0;
}

static struct byte_reader times_reader(struct store_cell list)
{
	struct byte_reader in = byte_reader(bytes_of(list.size > 0 ? list.data : NULL, list.size > 0 ? (size_t)list.size : 0));
	if (list.size > 0)
		(void)reader_be32(&in); /* their number */
	return in;
}

/* A value's elements, each with a path by which it can be written. */
static enum sm_err take_elements(struct store_cursor *c, uint16_t column)
{
	struct byte_reader times = times_reader(c->element_times[column]), ttls = times_reader(c->element_ttls[column]);
	const struct store_type *type = &c->table->columns[column].type, *element_type;
	struct store_value_reader in = store_value_reader(type, c->cells[column]);
	struct store_element *items = arena_alloc(&c->row_arena, (in.count + 1) * sizeof *items);
	struct store_cell one;
	uint32_t n = 0;
	if (!items)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; store_value_next(&in, &one, &element_type); i++) {
		struct store_element *e = &items[n];
		uint8_t *path = arena_alloc(&c->row_arena, 4);
		if (!path)
			return SM_NO_MEMORY;
		*e = (struct store_element){.value = one, .timestamp_us = next_time(&times), .ttl_s = (int32_t)next_time(&ttls)};
		if (type->id == STORE_MAP) {
			e->path = one;
			if (!store_value_next(&in, &e->value, &element_type))
				return SM_CORRUPT;
		} else if (type->id == STORE_SET) {
			e->path = one;
			e->value = (struct store_cell){(const uint8_t *)"", 0};
		} else if (type->id == STORE_LIST) { /* its place */
			be32_put(path, i);
			e->path = (struct store_cell){path, 4};
		} else {
			be16_put(path, (uint16_t)i);
			e->path = (struct store_cell){path, 2};
			if (one.size < 0)
				continue;
		}
		n++;
	}
	c->elements[column] = (struct store_elements){items, n};
	return in.failed ? SM_CORRUPT : SM_OK;
}

static enum sm_err take_row(struct store_cursor *c)
{
	const struct store_table *t = c->table;
	arena_reset(&c->row_arena);
	for (uint16_t i = 0; i < t->column_count; i++) {
		c->cells[i] = client__null();
		c->timestamps[i] = INT64_MIN;
		c->ttls[i] = 0;
		c->elements[i] = (struct store_elements){0};
		c->element_times[i] = c->element_ttls[i] = client__null();
	}
	for (uint32_t i = 0; i < c->selected_count; i++) {
		struct store_cell v = client__value(&c->in);
		uint16_t column = c->selected[i].column;
		bool list = store_type_multi_cell(&t->columns[column].type);
		if (c->selected[i].what == VALUE)
			c->cells[column] = v;
		else if (list)
			*(c->selected[i].what == TTL ? &c->element_ttls[column] : &c->element_times[column]) = v;
		else if (c->selected[i].what == WRITE_TIME && v.size == 8)
			c->timestamps[column] = (int64_t)be64_get(v.data);
		else if (c->selected[i].what == TTL && v.size == 4)
			c->ttls[column] = (int32_t)be32_get(v.data);
	}
	if (c->in.failed)
		return SM_CORRUPT;
	enum sm_err err = SM_OK;
	for (uint16_t i = 0; i < t->column_count && !err; i++)
		if (store_type_multi_cell(&t->columns[i].type) && c->cells[i].size > 0)
			err = take_elements(c, i);
	c->row.token = store_token(t, c->cells);
	c->row.static_only = t->clustering_count && !c->read.statics_only && c->cells[t->partition_key_count].size < 0;
	return err;
}

/* <0: the row lies before what begins with the bound's prefix; 0: it begins with it. */
static int against(const struct store_cursor *c, const struct store_bound *b)
{
	const struct store_table *t = c->table;
	for (uint16_t i = 0; i < b->count; i++) {
		const struct store_column *col = &t->columns[t->partition_key_count + i];
		int order = store_compare(&col->type, c->cells[t->partition_key_count + i], b->cells[i]);
		if (order)
			return col->descending ? -order : order;
	}
	return 0;
}

static bool passes(const struct store_cursor *c)
{
	const struct store_bound *from = &c->read.from, *to = &c->read.to;
	bool bounded = (from->kind && from->count) || (to->kind && to->count);
	if (!c->filter || !bounded || c->read.statics_only)
		return true;
	if (c->row.static_only)
		return false;
	int low = from->kind ? against(c, from) : 1, high = to->kind ? against(c, to) : -1;
	return (low > 0 || (low == 0 && from->kind == STORE_INCLUSIVE)) && (high < 0 || (high == 0 && to->kind == STORE_INCLUSIVE));
}

enum sm_err cassandra__next_row(struct store_cursor *c, const struct store_row **ret_row)
{
	if (c->cached_only)
		return SM_AGAIN;
	while (!c->err) {
		while (c->rows_left && !c->err) {
			c->rows_left--;
			if (!(c->err = take_row(c)) && passes(c)) {
				c->rows_given++;
				*ret_row = &c->row;
				return SM_OK;
			}
		}
		if (c->err)
			break;
		if (c->fetch) {
			c->err = take_page(c);
		} else if (c->has_page && c->step + 1 < c->step_count) {
			c->step++;
			c->err = begin_step(c);
		} else {
			c->err = SM_END;
		}
	}
	return c->err;
}
