/* system.size_estimates and table_estimates: how many partitions a table has and how large they are, which Spark's connector cuts its work
 * by.
 *
 * A table of at most CQL_ESTIMATE_ROWS rows is counted. Of a larger one that many are read from the start of the token range; since tokens
 * are hashes, as many partitions lie in any other stretch of the same length, and the whole is computed from it. */
#include "cql/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct estimate {
	uint64_t partitions, bytes; /* seen */
	double share;               /* of the token range that they came from */
};

static uint64_t row_bytes(const struct store_table *table, const struct store_row *row)
{
	uint64_t bytes = 0;
	for (uint16_t i = table->partition_key_count; i < table->column_count; i++)
		bytes += row->cells[i].size > 0 ? (uint64_t)row->cells[i].size + 8 : 0; /* a cell has its time, too */
	return bytes + 8;
}

static uint64_t key_bytes(const struct store_table *table, const struct store_row *row)
{
	uint64_t bytes = 0;
	for (uint16_t i = 0; i < table->partition_key_count; i++)
		bytes += row->cells[i].size > 0 ? (uint64_t)row->cells[i].size : 0;
	return bytes;
}

/* Partitions are told apart by their tokens: two of one token count once, which an estimate can bear. */
static enum sm_err sample(struct cql_context *c, const struct store_table *table, struct estimate *ret)
{
	struct store_read read = {.table = table, .token_from = INT64_MIN, .token_to = INT64_MAX, .now_s = c->now_s};
	struct estimate e = {.share = 1};
	struct sm_error why = {0};
	struct store_cursor *cursor;
	const struct store_row *row;
	const struct store_ops *ops = c->engine->store->ops;
	int64_t token = 0;
	enum sm_err err = ops->open(c->engine->store, &read, &cursor, &why);
	if (err)
		return cql__fail_store(c->err, err, why.text);
	for (uint32_t n = 0; !(err = ops->next(cursor, &row)) && n < CQL_ESTIMATE_ROWS; n++) {
		if (e.partitions == 0 || row->token != token) {
			e.partitions++;
			e.bytes += key_bytes(table, row);
		}
		token = row->token;
		e.bytes += row_bytes(table, row);
	}
	if (!err) /* there are more: the last partition may not be whole, its token is where we are */
		e.share = ldexp((double)token - (double)INT64_MIN + 1, -64);
	ops->close_cursor(cursor);
	*ret = e;
	return !err || err == SM_END ? SM_OK : cql__fail_store(c->err, err, NULL);
}

/* The value that an equality asks of this column, or one of size -1. */
static enum sm_err asked(struct cql_eval *eval, const struct cql_where *where, const char *column, struct store_cell *ret)
{
	*ret = cql__null();
	for (uint32_t i = 0; i < where->count; i++) {
		const struct cql_restriction *r = &where->restrictions[i];
		if (r->op == CQL_EQ && !r->token && r->column_count == 1 && strcmp(r->columns[0]->name, column) == 0)
			return cql__eval(eval, r->values[0], ret);
	}
	return SM_OK;
}

static bool fits(struct store_cell wanted, const char *name)
{
	return wanted.size < 0 || bytes_equal(bytes_of(wanted.data, (size_t)wanted.size), bytes_str(name));
}

struct out {
	struct cql_context *c;
	const struct store_table *table;
	struct store_cell **rows;
	uint32_t count, cap;
};

static enum sm_err put(struct out *o, const struct store_table *of, const struct estimate *e)
{
	static const char whole[] = "-9223372036854775808"; /* one node has one range, from its token to its token */
	const char *texts[][2] = {{"keyspace_name", of->keyspace},
				  {"table_name", of->name},
				  {"range_type", "primary"},
				  {"range_start", whole},
				  {"range_end", whole}};
	o->rows = cql__grow(o->c->arena, o->rows, o->count, &o->cap, sizeof *o->rows);
	struct store_cell *row = arena_alloc(o->c->arena, sizeof *row * o->table->column_count);
	if (!o->rows || !row)
		return cql__no_memory(o->c->err, o->c->arena);
	for (uint16_t i = 0; i < o->table->column_count; i++) {
		const char *name = o->table->columns[i].name;
		row[i] = cql__null();
		for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
			if (strcmp(name, texts[t][0]) == 0)
				row[i] = (struct store_cell){(const uint8_t *)texts[t][1], (int32_t)strlen(texts[t][1])};
		if (strcmp(name, "partitions_count") == 0)
			row[i] = cql__cell_long(o->c->arena, (int64_t)((double)e->partitions / e->share));
		else if (strcmp(name, "mean_partition_size") == 0)
			row[i] = cql__cell_long(o->c->arena, e->partitions ? (int64_t)(e->bytes / e->partitions) : 0);
	}
	o->rows[o->count++] = row;
	return SM_OK;
}

bool cql__is_estimates(const struct store_table *table)
{
	return strcmp(table->keyspace, "system") == 0 &&
	       (strcmp(table->name, "size_estimates") == 0 || strcmp(table->name, "table_estimates") == 0);
}

enum sm_err cql__estimates(struct cql_eval *eval, const struct cql_where *where, const struct store_table *table,
			   struct store_cell ***ret_rows, uint32_t *ret_count)
{
	struct cql_context *c = eval->context;
	struct out o = {.c = c, .table = table};
	struct store_cell keyspace, name;
	enum sm_err err = asked(eval, where, "keyspace_name", &keyspace);
	if (!err)
		err = asked(eval, where, "table_name", &name);
	o.rows = arena_alloc(c->arena, sizeof *o.rows);
	if (!err && !o.rows)
		err = cql__no_memory(c->err, c->arena);
	for (uint32_t i = 0; !err && i < c->schema->keyspace_count; i++) {
		const struct store_keyspace *k = &c->schema->keyspaces[i];
		for (uint32_t n = 0; !err && fits(keyspace, k->name) && n < k->table_count; n++) {
			struct estimate e;
			if (!fits(name, k->tables[n]->name))
				continue;
			err = sample(c, k->tables[n], &e);
			if (!err)
				err = put(&o, k->tables[n], &e);
		}
	}
	*ret_rows = o.rows;
	*ret_count = o.count;
	return err;
}
