/* Batches that Cassandra warns of or refuses: large ones, unlogged ones of many partitions, logged ones of tables that forget tombstones.
 * The thresholds are Cassandra 5.0's defaults; the size is what its own data would take (PartitionUpdate.dataSize). */
#include "cql/plan.h"

#include "base/map.h"
#include <string.h>

#define PARTITION_BYTES (12 + 8 + 13) /* its deletion, and the static row's time and deletion */
#define ROW_BYTES (8 + 13)            /* time and deletion */
#define CELL_BYTES 16                 /* times and ttl */

struct counting {
	struct map partitions; /* keyspace and key */
	size_t bytes, partition_count;
	const struct store_table *tables[CQL_BATCH_TABLES_SHOWN]; /* by their names */
	uint32_t table_count;
};

static bool partition_bytes(const struct store_mutation *m, struct buf *out)
{
	buf_clear(out);
	buf_append(out, m->table->keyspace, strlen(m->table->keyspace) + 1);
	for (uint16_t i = 0; i < m->table->partition_key_count; i++) {
		buf_be32(out, (uint32_t)m->partition_key[i].size);
		buf_append(out, m->partition_key[i].data, (size_t)m->partition_key[i].size);
	}
	return !out->failed;
}

static size_t row_bytes(const struct store_mutation *m)
{
	size_t bytes = m->clustering || m->table->clustering_count == 0 ? ROW_BYTES : 0;
	for (uint16_t i = 0; m->clustering && i < m->table->clustering_count; i++)
		bytes += (size_t)m->clustering[i].size;
	for (uint32_t i = 0; i < m->cell_count; i++)
		bytes += CELL_BYTES + (m->cells[i].value.size > 0 ? (size_t)m->cells[i].value.size : 0);
	return bytes;
}

static int compare_tables(const struct store_table *a, const struct store_table *b)
{
	int order = a == b ? 0 : strcmp(a->keyspace, b->keyspace);
	return order || a == b ? order : strcmp(a->name, b->name);
}

static void note_table(struct counting *c, const struct store_table *table)
{
	uint32_t i = 0;
	while (i < c->table_count && compare_tables(c->tables[i], table) < 0)
		i++;
	if (i < c->table_count && compare_tables(c->tables[i], table) == 0)
		return;
	if (c->table_count == CQL_BATCH_TABLES_SHOWN)
		return;
	memmove(&c->tables[i + 1], &c->tables[i], (c->table_count - i) * sizeof *c->tables);
	c->tables[i] = table;
	c->table_count++;
}

static enum sm_err count(struct cql_context *context, const struct cql_mutations *mutations, struct counting *c)
{
	struct buf key;
	enum sm_err err = SM_OK;
	buf_init(&key);
	for (uint32_t i = 0; i < mutations->count && !err; i++) {
		const struct store_mutation *m = &mutations->items[i];
		if (!partition_bytes(m, &key)) {
			err = SM_NO_MEMORY;
			break;
		}
		note_table(c, m->table);
		c->bytes += row_bytes(m);
		if (map_get(&c->partitions, buf_bytes(&key)))
			continue;
		err = map_put(&c->partitions, buf_bytes(&key), c, NULL);
		c->partition_count++;
		c->bytes += PARTITION_BYTES;
	}
	buf_done(&key);
	return err ? cql__fail_store(context->err, err, NULL) : SM_OK;
}

static const char *names(struct cql_context *context, const struct store_table *const *tables, uint32_t table_count)
{
	const char *text = "[";
	for (uint32_t i = 0; text && i < table_count; i++)
		text = arena_printf(context->arena, "%s%s%s.%s", text, i ? ", " : "", tables[i]->keyspace, tables[i]->name);
	return text ? arena_printf(context->arena, "%s]", text) : NULL;
}

static void warn(struct cql_result *result, const char *text)
{
	if (text && result->warning_count < CQL_WARNINGS_MAX)
		result->warnings[result->warning_count++] = text;
}

static void warn_of_gc_grace(struct cql_context *context, const struct cql_mutations *mutations, struct cql_result *result)
{
	struct counting c = {0};
	for (uint32_t i = 0; i < mutations->count; i++) {
		const struct store_table *t = mutations->items[i].table;
		if (t->gc_grace_s == 0)
			note_table(&c, t);
	}
	if (c.table_count)
		warn(result,
		     arena_printf(
			     context->arena,
			     "Executing a LOGGED BATCH on table%s %s, configured with a gc_grace_seconds of 0. The gc_grace_seconds is "
			     "used "
			     "to TTL batchlog entries, so setting gc_grace_seconds too low on tables involved in an atomic batch might "
			     "cause batchlog entries to expire before being replayed.",
			     c.table_count == 1 ? "" : "s", names(context, c.tables, c.table_count)));
}

enum sm_err cql__check_batch_size(struct cql_context *context, enum cql_batch_kind kind, const struct cql_mutations *mutations,
				  struct cql_result *result)
{
	struct counting c = {0};
	if (kind == CQL_LOGGED)
		warn_of_gc_grace(context, mutations, result);
	map_init(&c.partitions);
	enum sm_err err = mutations->count > 1 ? count(context, mutations, &c) : SM_OK;
	map_done(&c.partitions);
	if (err || c.partition_count < 2)
		return err;
	if (c.bytes > CQL_BATCH_BYTES_FAIL)
		return cql__fail(context->err, CQL_INVALID, "Batch too large");
	if (c.bytes > CQL_BATCH_BYTES_WARN)
		warn(result,
		     arena_printf(context->arena, "Batch for %s is of size %zu, exceeding specified threshold of %d by %zu.",
				  names(context, c.tables, c.table_count), c.bytes, CQL_BATCH_BYTES_WARN, c.bytes - CQL_BATCH_BYTES_WARN));
	if (kind != CQL_LOGGED && c.partition_count > CQL_BATCH_PARTITIONS_WARN)
		warn(result,
		     arena_printf(context->arena,
				  "Unlogged batch covering %zu partitions detected against table%s %s. You should use a logged batch "
				  "for atomicity, or asynchronous writes for performance.",
				  c.partition_count, c.table_count == 1 ? "" : "s", names(context, c.tables, c.table_count)));
	return SM_OK;
}
