/* What the tests of store/ share: a store in a directory of its own, values, statements in a few words. */
#ifndef STORE_TESTING_H
#define STORE_TESTING_H

#include "base/io.h"
#include "store/index.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <rocksdb/c.h>

#define assert_ok(expression)                                               \
	do {                                                                \
		enum sm_err err_ = (expression);                            \
		if (err_)                                                   \
			fail_msg("%s: %s", #expression, sm_err_name(err_)); \
	} while (0)
#define assert_err(expression, expected)                                                                   \
	do {                                                                                               \
		enum sm_err err_ = (expression);                                                           \
		if (err_ != (expected))                                                                    \
			fail_msg("%s: %s, not %s", #expression, sm_err_name(err_), sm_err_name(expected)); \
	} while (0)

struct fixture {
	char dir[64];
	struct sm_store *store;
	struct clock_manual clock;
	const struct store_schema *schema;
};

static inline void fixture_reopen(struct fixture *f)
{
	struct sm_error error = {0};
	struct store_embedded_options o = {
		.clock = &f->clock.clock, .dir = f->dir, .memtable_bytes = 1 << 20, .block_cache_bytes = 1 << 20};
	if (f->schema)
		f->store->ops->schema_release(f->store, f->schema);
	f->schema = NULL;
	if (f->store)
		assert_ok(f->store->ops->close(f->store, NULL));
	f->store = NULL;
	if (store_embedded_open(&o, &f->store, &error))
		fail_msg("%s", error.text);
	f->schema = f->store->ops->schema(f->store);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	strcpy(f->dir, "/tmp/smack-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	clock_manual_init(&f->clock, 1700000000000000u);
	fixture_reopen(f);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	if (f->schema)
		f->store->ops->schema_release(f->store, f->schema);
	if (f->store)
		assert_ok(f->store->ops->close(f->store, NULL));
	assert_ok(io_remove_tree(&io_system, f->dir, NULL));
	free(f);
	return 0;
}

static inline rocksdb_t *db_of(struct fixture *f)
{
	return store__engine_of(f->store)->rocks.db;
}

/* The memtable to a file. */
static inline void flush(struct fixture *f)
{
	char *text = NULL;
	rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
	rocksdb_flush(db_of(f), options, &text);
	rocksdb_flushoptions_destroy(options);
	assert_null(text);
}

/* Take the picture anew. */
static inline void fixture_look(struct fixture *f)
{
	f->store->ops->schema_release(f->store, f->schema);
	f->schema = f->store->ops->schema(f->store);
}

static inline enum sm_err make_keyspace(struct fixture *f, const char *name)
{
	struct store_option replication[] = {{"class", "SimpleStrategy"}, {"replication_factor", "1"}};
	struct store_keyspace k = {.name = name, .durable_writes = true, .replication = replication, .replication_count = 2};
	struct store_change c = {.kind = STORE_CREATE_KEYSPACE, .keyspace = name, .new_keyspace = &k};
	enum sm_err err = store_change_wait(f->store, &c, NULL);
	fixture_look(f);
	return err;
}

/* columns: "k:int:p c:text:c d:int:C s:int:s v:text:r" (C: descending). */
static inline uint16_t parse_columns(char *text, struct store_column *columns, struct arena *arena)
{
	uint16_t n = 0, positions[4] = {0};
	char *outer = NULL;
	for (char *word = strtok_r(text, " ", &outer); word; word = strtok_r(NULL, " ", &outer)) {
		char *inner = NULL;
		const char *name = strtok_r(word, ":", &inner), *type = strtok_r(NULL, ":", &inner), *kind = strtok_r(NULL, ":", &inner);
		struct store_column *c = &columns[n++];
		*c = (struct store_column){.name = name, .descending = *kind == 'C'};
		c->kind = *kind == 'p'   ? STORE_PARTITION_KEY
			  : *kind == 's' ? STORE_STATIC
			  : *kind == 'r' ? STORE_REGULAR
					 : STORE_CLUSTERING;
		c->position = positions[c->kind]++;
		assert_ok(store_type_parse(type, arena, &c->type));
	}
	return n;
}

static inline enum sm_err make_table_graced(struct fixture *f, const char *name, const char *columns, int32_t grace_s,
					    struct sm_error *reterr)
{
	char text[2048];
	struct store_column list[64];
	struct arena arena;
	arena_init(&arena, 0);
	snprintf(text, sizeof text, "%s", columns);
	struct store_table t = {
		.keyspace = "ks", .name = name, .columns = list, .column_count = parse_columns(text, list, &arena), .gc_grace_s = grace_s};
	struct store_change c = {.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = name, .new_table = &t};
	enum sm_err err = store_change_wait(f->store, &c, reterr);
	arena_done(&arena);
	fixture_look(f);
	return err;
}

static inline enum sm_err make_table(struct fixture *f, const char *name, const char *columns, struct sm_error *reterr)
{
	return make_table_graced(f, name, columns, 864000, reterr);
}

static inline const struct store_table *table_of(struct fixture *f, const char *name)
{
	const struct store_table *t = store_find_table(f->schema, "ks", name);
	assert_non_null(t);
	return t;
}

static inline enum sm_err change_table(struct fixture *f, enum store_change_kind kind, const char *name)
{
	struct store_change c = {.kind = kind, .keyspace = "ks", .table = name};
	enum sm_err err = store_change_wait(f->store, &c, NULL);
	fixture_look(f);
	return err;
}

/* CREATE INDEX on a table of ks, which the picture shows afterwards. */
static inline enum sm_err make_index(struct fixture *f, const char *table, const char *name, const char *column, enum store_index_part part,
				     struct sm_error *reterr)
{
	fixture_look(f);
	const struct store_table *old = table_of(f, table);
	struct store_index list[STORE_INDEXES_MAX + 2];
	struct store_table t = *old;
	for (uint16_t i = 0; i < t.index_count; i++)
		list[i] = t.indexes[i];
	list[t.index_count++] = (struct store_index){.name = name, .column = column, .part = part, .definition = ""};
	t.indexes = list;
	struct store_change c = {.kind = STORE_ALTER_TABLE, .keyspace = "ks", .table = table, .new_table = &t};
	enum sm_err err = store_change_wait(f->store, &c, reterr);
	fixture_look(f);
	return err;
}

static inline void wait_until_built(struct fixture *f, const char *table)
{
	const struct store_table *t = table_of(f, table);
	struct store__engine *engine = store__engine_of(f->store);
	uint64_t deadline_ns = clock_deadline_ns(300000);
	for (uint16_t i = 0; i < t->index_count; i++)
		while (!store__built_has(engine->built, t->indexes[i].number)) {
			if (clock_monotonic_ns(&clock_system) > deadline_ns)
				fail_msg("index %s is not built after 300 s", t->indexes[i].name);
			usleep(1000);
		}
}

/* column = value, by an index. */
static inline struct store_condition equal_to(const char *index, struct store_cell v)
{
	return (struct store_condition){.index = index, .from_kind = STORE_INCLUSIVE, .to_kind = STORE_INCLUSIVE, .from = v, .to = v};
}

struct int_value {
	uint8_t bytes[4];
};
static inline struct store_cell int_cell(int32_t v, struct int_value *room)
{
	be32_put(room->bytes, (uint32_t)v);
	return (struct store_cell){room->bytes, 4};
}
#define INT(v) int_cell(v, &(struct int_value){{0}})
#define TEXT(literal) ((struct store_cell){(const uint8_t *)(literal), (int32_t)strlen(literal)})
#define NULL_CELL ((struct store_cell){NULL, -1})
#define KEY(...) ((struct store_cell[]){__VA_ARGS__})

static inline enum sm_err apply_one(struct fixture *f, const struct store_mutation *m)
{
	struct store_batch b = {.mutations = m, .count = 1};
	return store_apply_wait(f->store, &b);
}

/* INSERT of one column. */
static inline enum sm_err insert(struct fixture *f, const struct store_table *t, const struct store_cell *key,
				 const struct store_cell *clustering, const char *column, struct store_cell value, int64_t timestamp_us,
				 int32_t ttl_s)
{
	struct store_assignment a = {store_find_column(t, column), value};
	struct store_mutation m = {.kind = STORE_UPSERT_INSERT,
				   .table = t,
				   .partition_key = key,
				   .clustering = clustering,
				   .cells = &a,
				   .cell_count = 1,
				   .timestamp_us = timestamp_us,
				   .ttl_s = ttl_s};
	return apply_one(f, &m);
}

static inline void show_value(const struct store_type *type, struct store_cell v, struct buf *out)
{
	if (v.size < 0)
		buf_append_str(out, "-");
	else if (type->id == STORE_INT)
		buf_printf(out, "%d", (int32_t)be32_get(v.data));
	else if (type->id == STORE_BIGINT)
		buf_printf(out, "%lld", (long long)be64_get(v.data));
	else
		buf_printf(out, "%.*s", (int)v.size, (const char *)v.data);
}

/* All rows of a read as "1 a -|2 b 7|"; the caller frees. */
static inline char *rows(struct fixture *f, const struct store_read *read)
{
	struct store_cursor *c;
	const struct store_row *row;
	struct buf out;
	enum sm_err err;
	buf_init(&out);
	assert_ok(f->store->ops->open(f->store, read, &c, NULL));
	while (!(err = f->store->ops->next(c, &row))) {
		for (uint16_t i = 0; i < read->table->column_count; i++) {
			if (i)
				buf_u8(&out, ' ');
			show_value(&read->table->columns[i].type, row->cells[i], &out);
		}
		buf_append_str(&out, row->static_only ? "!|" : "|");
	}
	assert_err(err, SM_END);
	assert_err(f->store->ops->next(c, &row), SM_END);
	f->store->ops->close_cursor(c);
	buf_u8(&out, 0);
	return (char *)out.data;
}

static inline void assert_rows(struct fixture *f, const struct store_read *read, const char *expected)
{
	char *got = rows(f, read);
	assert_string_equal(got, expected);
	free(got);
}

static inline struct store_read all_of(const struct store_table *t)
{
	return (struct store_read){.table = t, .token_from = INT64_MIN, .token_to = INT64_MAX};
}

#endif
