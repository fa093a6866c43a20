/* Tables as sources: a partition is a token range, so that no row is read twice and none is left out. */
#include "compute/compute_internal.h"
#include <stdlib.h>

struct table_scan {
	struct dag_node node;
	struct sm_store *store;
	const struct store_schema *schema; /* held: it owns the table's picture */
	const struct store_table *table;
	uint16_t columns[]; /* of the table, one a field */
};
struct table_iterator {
	struct dag_iterator it;
	struct table_scan *scan;
	struct store_cursor *cursor;
	bool at_end;
};

static enum sm_err put_row(const struct table_scan *scan, const struct store_row *row, struct batch *batch)
{
	for (uint32_t i = 0; i < batch->type->field_count; i++) {
		struct value v;
		enum sm_err err = value_of_cell(batch->type->fields[i].type, row->cells[scan->columns[i]], &v);
		if (!err)
			err = batch_put(batch, i, v);
		if (err)
			return err;
	}
	batch_row_end(batch);
	return SM_OK;
}

static enum sm_err table_next(struct dag_iterator *it, struct batch **ret_batch, struct sm_error *reterr)
{
	struct table_iterator *t = (struct table_iterator *)it;
	const struct table_scan *scan = t->scan;
	if (t->at_end)
		return SM_END;
	struct batch *batch = batch_new(scan->node.type);
	enum sm_err err = batch ? SM_OK : SM_NO_MEMORY;
	while (!err && !batch_is_full(batch)) {
		const struct store_row *row;
		err = scan->store->ops->next(t->cursor, &row);
		if (!err)
			err = put_row(scan, row, batch);
	}
	if (err && err != SM_END) {
		batch_unref(batch);
		return sm_fail(reterr, err, "reading %s.%s: %s", scan->table->keyspace, scan->table->name, sm_err_text(err));
	}
	t->at_end = err == SM_END;
	*ret_batch = batch;
	return SM_OK;
}

static void table_free(struct dag_iterator *it)
{
	struct table_iterator *t = (struct table_iterator *)it;
	t->scan->store->ops->close_cursor(t->cursor);
	free(t);
}

static const struct dag_iterator_ops table_it_ops = {table_next, table_free};

enum sm_err dag__table_open(struct dag_node *node, const struct store_read *read, struct dag_iterator **ret_it, struct sm_error *reterr)
{
	struct table_scan *scan = (struct table_scan *)node;
	struct table_iterator *t = calloc(1, sizeof *t);
	if (!t)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for a scan");
	*t = (struct table_iterator){.it = {&table_it_ops}, .scan = scan};
	enum sm_err err = scan->store->ops->open(scan->store, read, &t->cursor, reterr);
	if (err)
		free(t);
	else
		*ret_it = &t->it;
	return err;
}

const struct store_table *dag__table_of(const struct dag_node *node)
{
	return ((const struct table_scan *)node)->table;
}

static enum sm_err scan_iterate(struct dag_node *node, struct dag_task *task, uint32_t partition, struct dag_iterator **ret_it,
				struct sm_error *reterr)
{
	/* Unsigned arithmetic over the ring, shifted so that the first range begins at INT64_MIN. */
	uint64_t step = UINT64_MAX / node->partitions + 1, from = step * partition;
	bool last = partition == node->partitions - 1;
	struct store_read read = {.table = dag__table_of(node),
				  .token_from = (int64_t)(from ^ (1ull << 63)),
				  .token_to = last ? INT64_MAX : (int64_t)((from + step - 1) ^ (1ull << 63)),
				  .no_times = true};
	return dag__table_open(node, &read, ret_it, reterr);
}

static void scan_free(struct dag_node *node)
{
	struct table_scan *scan = (struct table_scan *)node;
	if (scan->schema)
		scan->store->ops->schema_release(scan->store, scan->schema);
}

static void scan_explain(const struct dag_node *node, struct buf *out)
{
	const struct table_scan *scan = (const struct table_scan *)node;
	buf_printf(out, "%s.%s in %u token range%s", scan->table->keyspace, scan->table->name, node->partitions,
		   node->partitions == 1 ? "" : "s");
}

static const struct dag_node_ops scan_ops = {"table scan", scan_iterate, scan_free, scan_explain};

static enum sm_err choose(const struct store_table *table, const char *const *names, uint32_t i, struct column_field *field,
			  uint16_t *ret_column, struct sm_error *reterr)
{
	const char *name = names ? names[i] : table->columns[i].name;
	const struct store_column *column = store_find_column(table, name);
	if (!column)
		return sm_fail(reterr, SM_NOT_FOUND, "table %s.%s has no column %s", table->keyspace, table->name, name);
	*ret_column = (uint16_t)(column - table->columns);
	field->name = column->name;
	enum sm_err err = column_type_of_store(&column->type, &field->type);
	if (!err)
		return SM_OK;
	struct arena arena;
	arena_init(&arena, 0);
	sm_fail(reterr, err, "column %s of %s.%s is of type %s, which jobs cannot read yet; name the other columns", column->name,
		table->keyspace, table->name, store_type_name(&column->type, &arena));
	arena_done(&arena);
	return err;
}

static enum sm_err scan_new(struct sm_store *store, const struct store_table *table, const char *const *names, uint32_t count,
			    struct table_scan **ret_scan, struct sm_error *reterr)
{
	struct column_field *fields = calloc(count + 1, sizeof *fields);
	uint16_t *columns = calloc(count + 1, sizeof *columns);
	enum sm_err err = fields && columns ? SM_OK : SM_NO_MEMORY;
	for (uint32_t i = 0; i < count && !err; i++)
		err = choose(table, names, i, &fields[i], &columns[i], reterr);
	struct row_type *type = err ? NULL : row_type_new(fields, count);
	struct table_scan *scan = NULL;
	if (type)
		scan = (struct table_scan *)dag_node_new(sizeof *scan + count * sizeof scan->columns[0], &scan_ops, type,
							 COMPUTE_SCAN_PARTITIONS);
	row_type_unref(type);
	if (!err && !scan)
		err = sm_fail(reterr, SM_NO_MEMORY, "no memory for a scan");
	if (scan) {
		memcpy(scan->columns, columns, count * sizeof *columns);
		scan->store = store;
		scan->table = table;
		*ret_scan = scan;
	}
	free(fields);
	free(columns);
	return err;
}

enum sm_err dag_table_scan(const struct compute_env *env, const char *keyspace, const char *table, const char *const *columns,
			   uint32_t column_count, struct dag_node **ret_node, struct sm_error *reterr)
{
	if (!env->store)
		return sm_fail(reterr, SM_UNAVAILABLE, "table %s.%s cannot be read: the job has no store", keyspace, table);
	const struct store_schema *schema = env->store->ops->schema(env->store);
	const struct store_table *found = store_find_table(schema, keyspace, table);
	struct table_scan *scan = NULL;
	enum sm_err err;
	if (!found)
		err = sm_fail(reterr, SM_NOT_FOUND, "there is no table %s.%s", keyspace, table);
	else if (!(err = store_check_no_view(found, false, reterr)))
		err = scan_new(env->store, found, columns, columns ? column_count : found->column_count, &scan, reterr);
	if (!scan) {
		env->store->ops->schema_release(env->store, schema);
		return err;
	}
	scan->schema = schema;
	*ret_node = &scan->node;
	return SM_OK;
}
