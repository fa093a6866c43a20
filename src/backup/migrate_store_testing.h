/* Two embedded stores with a keyspace k: t (rows of all kinds of cells) and n (counters); a target whose writes fail on demand. */
#ifndef BACKUP_MIGRATE_STORE_TESTING_H
#define BACKUP_MIGRATE_STORE_TESTING_H

#include "backup/migrate_store.h"
#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

/* The target as the migration sees it: the store behind it, but for the write that is to fail. */
struct faulty_store {
	struct sm_store store; /* first */
	struct sm_store *inner;
	struct store_ops ops;
	long writes, fail_at; /* the Nth batch (0: none) is answered with error, ... */
	enum sm_err error;
	bool arrives;               /* ... but was made */
	bool twice;                 /* all are made twice */
	struct clock_manual *clock; /* not NULL: each write takes two seconds */
};
struct two_stores {
	struct sm_store *source, *inner;
	struct faulty_store target;
	struct clock_manual clock;
	char dirs[2][64], state[80], said[8192];
	struct migrate_store_options options;
	bool index; /* the source has an index, which the target refuses */
};

static inline void faulty_apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err),
				void *arg)
{
	struct faulty_store *f = (struct faulty_store *)store;
	bool fails = ++f->writes == f->fail_at;
	if (f->clock)
		f->clock->now_us += 2000000;
	enum sm_err err = fails && !f->arrives ? f->error : store_apply_wait(f->inner, batch);
	if (!err && f->twice)
		err = store_apply_wait(f->inner, batch);
	done(arg, fails ? f->error : err);
}

static inline const struct store_schema *faulty_schema(struct sm_store *store)
{
	struct sm_store *inner = ((struct faulty_store *)store)->inner;
	return inner->ops->schema(inner);
}

static inline void faulty_release(struct sm_store *store, const struct store_schema *schema)
{
	struct sm_store *inner = ((struct faulty_store *)store)->inner;
	inner->ops->schema_release(inner, schema);
}

static inline enum sm_err faulty_open(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
				      struct sm_error *reterr)
{
	struct sm_store *inner = ((struct faulty_store *)store)->inner;
	return inner->ops->open(inner, read, ret_cursor, reterr);
}

/* ---- the schema ---- */

static const struct store_type INT = {.id = STORE_INT, .frozen = true}, TEXT = {.id = STORE_TEXT, .frozen = true},
			       COUNTER = {.id = STORE_COUNTER, .frozen = true};
static const struct store_type INT_TEXT[] = {{.id = STORE_INT, .frozen = true}, {.id = STORE_TEXT, .frozen = true}};

static inline void change(struct sm_store *store, const struct store_change *c)
{
	struct sm_error error;
	if (store_change_wait(store, c, &error))
		fail_msg("%s", error.text);
}

static inline void make_keyspace(struct sm_store *store)
{
	static const struct store_option replication[] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
	static const struct store_keyspace k = {.name = "k", .durable_writes = true, .replication = replication, .replication_count = 2};
	change(store, &(struct store_change){.kind = STORE_CREATE_KEYSPACE, .keyspace = "k", .new_keyspace = &k});
}

static inline void make_table(struct sm_store *store, const char *name, const struct store_column *columns, uint16_t counts[4],
			      int32_t grace)
{
	const struct store_table t = {.keyspace = "k",
				      .name = name,
				      .columns = columns,
				      .column_count = (uint16_t)(counts[0] + counts[1] + counts[2] + counts[3]),
				      .partition_key_count = counts[0],
				      .clustering_count = counts[1],
				      .static_count = counts[2],
				      .regular_count = counts[3],
				      .gc_grace_s = grace};
	change(store, &(struct store_change){.kind = STORE_CREATE_TABLE, .keyspace = "k", .table = name, .new_table = &t});
}

static inline void make_t(struct sm_store *store)
{
	const struct store_column columns[] = {
		{"a", INT, STORE_PARTITION_KEY, 0},
		{"b", INT, STORE_CLUSTERING, 0, .descending = true},
		{"s", TEXT, STORE_STATIC, 0},
		{"l", {STORE_LIST, 1, INT_TEXT}, STORE_REGULAR, 0},
		{"m", {STORE_MAP, 2, INT_TEXT}, STORE_REGULAR, 1},
		{"v", TEXT, STORE_REGULAR, 2},
	};
	make_table(store, "t", columns, (uint16_t[]){1, 1, 1, 3}, 864000);
}

static inline void make_n(struct sm_store *store, bool counters)
{
	const struct store_column columns[] = {{"a", INT, STORE_PARTITION_KEY, 0}, {"n", counters ? COUNTER : TEXT, STORE_REGULAR, 0}};
	make_table(store, "n", columns, (uint16_t[]){1, 0, 0, 1}, 864000);
}

/* DESCRIBE KEYSPACE, and the statements that it gives. */
static inline enum sm_err run_source(void *arg, const char *text, enum sm_err (*row)(void *, const char *const *, uint32_t), void *row_arg,
				     struct sm_error *reterr)
{
	static const char *const rows[][4] = {{"k", "keyspace", "k", "CREATE KEYSPACE k"},
					      {"k", "table", "n", "CREATE TABLE n"},
					      {"k", "table", "t", "CREATE TABLE t"},
					      {"k", "index", "\"I\"\"x\"", "CREATE INDEX"}};
	struct two_stores *x = arg;
	enum sm_err err = SM_OK;
	assert_string_equal(text, "DESCRIBE KEYSPACE \"k\"");
	for (int i = 0; i < 3 + x->index && !err; i++)
		err = row(row_arg, rows[i], 4);
	return err;
}

static inline enum sm_err run_target(void *arg, const char *text, enum sm_err (*row)(void *, const char *const *, uint32_t), void *row_arg,
				     struct sm_error *reterr)
{
	struct two_stores *x = arg;
	if (strcmp(text, "CREATE KEYSPACE k") == 0)
		make_keyspace(x->inner);
	else if (strcmp(text, "CREATE TABLE t") == 0)
		make_t(x->inner);
	else if (strcmp(text, "CREATE TABLE n") == 0)
		make_n(x->inner, true);
	else if (strcmp(text, "CREATE INDEX") == 0)
		return sm_fail(reterr, SM_INVALID, "no indexes here");
	else {
		const struct store_schema *schema = x->inner->ops->schema(x->inner);
		const char *rows[][4] = {{"k", "keyspace", "k", "CREATE KEYSPACE k"}, {"k", "table", NULL, NULL}};
		enum sm_err err = row(row_arg, rows[0], 4);
		for (int i = 0; i < 2 && !err; i++) {
			rows[1][2] = i ? "t" : "n";
			rows[1][3] = i ? "CREATE TABLE t" : "CREATE TABLE n";
			if (store_find_table(schema, "k", rows[1][2]))
				err = row(row_arg, rows[1], 4);
		}
		x->inner->ops->schema_release(x->inner, schema);
		return err;
	}
	return SM_OK;
}

/* ---- the stores ---- */

static inline void note_said(void *arg, enum migrate_say kind, const char *text)
{
	struct two_stores *x = arg;
	size_t used = strlen(x->said);
	snprintf(x->said + used, sizeof x->said - used, "%s%s\n", kind == MIGRATE_WARNING ? "warning: " : "", text);
}

static inline struct sm_store *open_one(struct two_stores *x, int i)
{
	struct sm_error error;
	struct sm_store *store;
	snprintf(x->dirs[i], sizeof x->dirs[i], "%s/smack-store-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(x->dirs[i]));
	const struct store_embedded_options o = {.clock = &x->clock.clock, .dir = x->dirs[i], .memtable_bytes = 1 << 20};
	if (store_embedded_open(&o, &store, &error))
		fail_msg("%s", error.text);
	return store;
}

static inline int two_setup(void **state)
{
	struct two_stores *x = calloc(1, sizeof *x);
	clock_manual_init(&x->clock, 1700000000000000u);
	x->source = open_one(x, 0);
	x->inner = open_one(x, 1);
	x->target.ops = *x->inner->ops;
	x->target.ops.apply = faulty_apply;
	x->target.ops.schema = faulty_schema;
	x->target.ops.schema_release = faulty_release;
	x->target.ops.open = faulty_open;
	x->target.store.ops = &x->target.ops;
	x->target.inner = x->inner;
	make_keyspace(x->source);
	make_t(x->source);
	make_n(x->source, true);
	snprintf(x->state, sizeof x->state, "%s/../%s-notes", x->dirs[0], strrchr(x->dirs[0], '/') + 1);
	x->options = (struct migrate_store_options){.source = {x->source, "source", run_source, x},
						    .target = {&x->target.store, "target", run_target, x},
						    .clock = &x->clock.clock,
						    .state_dir = x->state,
						    .settle_ms = 1,
						    .say = note_said,
						    .arg = x};
	*state = x;
	return 0;
}

static inline int two_teardown(void **state)
{
	struct two_stores *x = *state;
	(void)!x->source->ops->close(x->source, NULL);
	(void)!x->inner->ops->close(x->inner, NULL);
	for (int i = 0; i < 2; i++)
		(void)!io_remove_tree(&io_system, x->dirs[i], NULL);
	(void)!io_remove_tree(&io_system, x->state, NULL);
	free(x);
	return 0;
}

/* ---- writes in a few words ---- */

struct cells {
	const char *v, *s;
	int list[8], list_count; /* appended */
	int key;                 /* of the map: its value is "m"; 0: none */
	int64_t time;
	int32_t ttl_s;
};
static inline struct store_cell text_of(const char *text)
{
	return (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)};
}

static inline void put(struct sm_store *store, enum store_mutation_kind kind, int a, int b, struct cells c)
{
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *t = store_find_table(schema, "k", "t");
	struct store_assignment cells[4];
	uint8_t keys[8], path[4], list[4 + 8 * 8];
	uint32_t n = 0;
	be32_put(keys, (uint32_t)a);
	be32_put(keys + 4, (uint32_t)b);
	be32_put(path, (uint32_t)c.key);
	be32_put(list, (uint32_t)c.list_count);
	for (int i = 0; i < c.list_count; i++) {
		be32_put(list + 4 + i * 8, 4);
		be32_put(list + 8 + i * 8, (uint32_t)c.list[i]);
	}
	if (c.v)
		cells[n++] = (struct store_assignment){.column = store_find_column(t, "v"), .value = text_of(c.v)};
	if (c.s)
		cells[n++] = (struct store_assignment){.column = store_find_column(t, "s"), .value = text_of(c.s)};
	if (c.list_count)
		cells[n++] = (struct store_assignment){
			.column = store_find_column(t, "l"), .how = STORE_ADD_ELEMENTS, .value = {list, 4 + 8 * c.list_count}};
	if (c.key)
		cells[n++] = (struct store_assignment){
			.column = store_find_column(t, "m"), .how = STORE_ASSIGN_ELEMENT, .path = {path, 4}, .value = text_of("m")};
	const struct store_cell key[2] = {{keys, 4}, {keys + 4, 4}};
	const struct store_mutation m = {.kind = kind,
					 .table = t,
					 .partition_key = key,
					 .clustering = c.s && !c.v ? NULL : key + 1,
					 .cells = cells,
					 .cell_count = n,
					 .timestamp_us = c.time ? c.time : 1000,
					 .ttl_s = c.ttl_s};
	assert_int_equal(store_apply_wait(store, &(struct store_batch){.mutations = &m, .count = 1}), SM_OK);
	store->ops->schema_release(store, schema);
}

static inline void count(struct sm_store *store, int a, int64_t by)
{
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *t = store_find_table(schema, "k", "n");
	uint8_t key[4], value[8];
	be32_put(key, (uint32_t)a);
	be64_put(value, (uint64_t)by);
	const struct store_cell keys = {key, 4};
	const struct store_assignment cell = {.column = store_find_column(t, "n"), .how = STORE_ADD_ELEMENTS, .value = {value, 8}};
	const struct store_mutation m = {
		.kind = STORE_UPSERT_UPDATE, .table = t, .partition_key = &keys, .cells = &cell, .cell_count = 1, .timestamp_us = 1};
	assert_int_equal(store_apply_wait(store, &(struct store_batch){.mutations = &m, .count = 1}), SM_OK);
	store->ops->schema_release(store, schema);
}

/* Rows of t as text, cells with their write times and seconds left; static until the next call. */
static inline const char *rows_of(struct sm_store *store)
{
	static struct buf out;
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *t = store_find_table(schema, "k", "t");
	const struct store_read read = {.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX};
	struct store_cursor *cursor;
	const struct store_row *row;
	struct sm_error error;
	buf_clear(&out);
	assert_int_equal(store->ops->open(store, &read, &cursor, &error), SM_OK);
	while (store->ops->next(cursor, &row) == SM_OK) {
		buf_printf(&out, "%d,%d:", (int)be32_get(row->cells[0].data), row->static_only ? -1 : (int)be32_get(row->cells[1].data));
		for (uint16_t i = 2; i < t->column_count; i++) {
			const struct store_elements *e = &row->elements[i];
			for (uint32_t k = 0; k < e->count; k++)
				buf_printf(&out, " %s[%d@%lld+%d]", t->columns[i].name,
					   (int)be32_get(i == 3 ? e->items[k].value.data : e->items[k].path.data),
					   (long long)e->items[k].timestamp_us, e->items[k].ttl_s);
			if (row->cells[i].size >= 0 && !e->count)
				buf_printf(&out, " %s=%.*s@%lld+%d", t->columns[i].name, (int)row->cells[i].size,
					   (const char *)row->cells[i].data, (long long)row->timestamps_us[i], row->ttls_s[i]);
		}
		buf_append_str(&out, "|");
	}
	store->ops->close_cursor(cursor);
	store->ops->schema_release(store, schema);
	buf_u8(&out, 0);
	return (const char *)buf_bytes(&out).data;
}

static inline int64_t counter_of(struct sm_store *store, int a)
{
	const struct store_schema *schema = store->ops->schema(store);
	const struct store_table *t = store_find_table(schema, "k", "n");
	uint8_t key[4];
	be32_put(key, (uint32_t)a);
	const struct store_cell keys = {key, 4};
	const struct store_read read = {.table = t, .partition_key = &keys};
	struct store_cursor *cursor;
	const struct store_row *row;
	int64_t value = -1;
	assert_int_equal(store->ops->open(store, &read, &cursor, NULL), SM_OK);
	if (store->ops->next(cursor, &row) == SM_OK)
		value = (int64_t)be64_get(row->cells[1].data);
	store->ops->close_cursor(cursor);
	store->ops->schema_release(store, schema);
	return value;
}

#endif
