/* For tests and fuzz targets of this room: a store that has a schema and no rows, and takes every write. */
#ifndef CQL_TESTING_H
#define CQL_TESTING_H

#include "cql/ddl_internal.h"
#include <assert.h>
#include <string.h>

struct testing_store {
	struct sm_store store;
	struct store_schema schema;
	struct store_keyspace keyspace;
	const struct store_table *tables[8];
	struct arena arena;
	uint32_t writes; /* mutations seen */
};

static const struct store_schema *testing_schema(struct sm_store *store)
{
	return &((struct testing_store *)store)->schema;
}
static void testing_schema_release(struct sm_store *store, const struct store_schema *schema) {}
static void testing_change(struct sm_store *store, const struct store_change *change, void (*done)(void *, const struct sm_error *),
			   void *arg)
{
	struct sm_error none = {0};
	done(arg, &none);
}
static void testing_apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *, enum sm_err), void *arg)
{
	((struct testing_store *)store)->writes += batch->count;
	done(arg, SM_OK);
}
static void testing_transact(struct sm_store *store, const struct store_transaction *t, void (*done)(void *, enum sm_err), void *arg)
{
	struct store_row none[8] = {{0}};
	struct store_sight sight = {none, INT64_MIN};
	struct store_batch batch = {0};
	enum sm_err err = t->look_count > 8 ? SM_TOO_LARGE : t->decide(t->arg, &sight, &batch);
	((struct testing_store *)store)->writes += err ? 0 : batch.count;
	done(arg, err);
}
static enum sm_err testing_open(struct sm_store *store, const struct store_read *read, struct store_cursor **ret_cursor,
				struct sm_error *reterr)
{
	*ret_cursor = (struct store_cursor *)store;
	return read->cached_only && read->partition_key ? SM_AGAIN : SM_OK;
}
static enum sm_err testing_next(struct store_cursor *cursor, const struct store_row **ret_row)
{
	return SM_END;
}
static void testing_close_cursor(struct store_cursor *cursor) {}

static const struct store_ops testing_ops = {
	.schema = testing_schema,
	.schema_release = testing_schema_release,
	.change = testing_change,
	.apply = testing_apply,
	.transact = testing_transact,
	.open = testing_open,
	.next = testing_next,
	.close_cursor = testing_close_cursor,
};

/* Keyspace k with tables of every kind of key. */
static inline void testing_store_init(struct testing_store *s)
{
	static const char *const definitions[] = {
		"CREATE TABLE k.campaign (id uuid, year int, month int, day int, views bigint, clicks bigint, PRIMARY KEY (id, year, "
		"month, day))",
		"CREATE TABLE k.mixed (a int, b text, c int, d text, e timeuuid, s int static, v blob, PRIMARY KEY ((a, b), c, d, e)) "
		"WITH CLUSTERING ORDER BY (c DESC, d ASC, e DESC)",
		"CREATE TABLE k.types (k int PRIMARY KEY, a ascii, b bigint, bl blob, bo boolean, da date, de decimal, d double, du "
		"duration, f float, "
		"i inet, s smallint, t text, ti time, ts timestamp, tu timeuuid, tn tinyint, u uuid, vi varint)",
	};
	struct cql_error why = {0};
	struct cql_engine engine = {0};
	*s = (struct testing_store){.store = {&testing_ops}};
	arena_init(&s->arena, 0);
	struct cql_context c = {.engine = &engine, .schema = &s->schema, .arena = &s->arena, .err = &why};
	for (size_t i = 0; i < sizeof definitions / sizeof definitions[0]; i++) {
		struct cql_statement *statement;
		struct store_table *t;
		enum sm_err err = cql__parse(bytes_str(definitions[i]), &s->arena, &statement, &why);
		if (!err)
			err = ddl__table(&c, &statement->ddl, "k", false, &t);
		assert(err == SM_OK);
		s->tables[s->keyspace.table_count++] = t;
	}
	s->keyspace.name = "k";
	s->keyspace.tables = s->tables;
	s->schema.keyspaces = &s->keyspace;
	s->schema.keyspace_count = 1;
}

#endif
