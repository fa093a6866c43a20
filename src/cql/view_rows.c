/* The rows of a materialized view, made from its base table when they are read: all of the table's rows, or those of one partition where
 * the statement names it, without those that the view leaves out, in the view's order. */
#include "cql/view.h"

#include <stdlib.h>
#include <string.h>

struct making {
	struct cql_eval *e;
	const struct cql_select_plan *plan;
	const struct store_table *view, *base;
	uint16_t *from;           /* of each column of the view: which of the base's */
	struct cql_where where;   /* of the view itself, on base's rows */
	struct store_cell *cells; /* the row at hand */
	struct arena scratch;     /* emptied for each row */
	struct cql_context row_context;
	struct store_cell **rows;
	uint32_t count, cap;
};

static enum sm_err no_memory(struct making *m)
{
	return cql__no_memory(m->e->context->err, m->e->context->arena);
}

static enum sm_err columns(struct making *m)
{
	struct cql_context *c = m->e->context;
	m->base = store_find_table(c->schema, m->view->keyspace, cql__view_base(m->view));
	if (!m->base)
		return cql__fail(c->err, CQL_SERVER_ERROR, "The table %s of the materialized view %s.%s is not there",
				 cql__view_base(m->view), m->view->keyspace, m->view->name);
	m->from = arena_alloc(c->arena, sizeof *m->from * m->view->column_count);
	m->cells = arena_alloc(c->arena, sizeof *m->cells * m->view->column_count);
	if (!m->from || !m->cells)
		return no_memory(m);
	for (uint16_t i = 0; i < m->view->column_count; i++) {
		const struct store_column *column = store_find_column(m->base, m->view->columns[i].name);
		if (!column)
			return cql__fail(c->err, CQL_SERVER_ERROR, "The table %s.%s has no column %s, which a materialized view of it has",
					 m->base->keyspace, m->base->name, m->view->columns[i].name);
		m->from[i] = (uint16_t)(column - m->base->columns);
	}
	return SM_OK;
}

/* The relations of the view's WHERE that say more than IS NOT NULL. */
static enum sm_err restrictions(struct making *m)
{
	struct cql_context *c = m->e->context;
	struct cql_statement *s = NULL;
	const char *text = arena_printf(c->arena, "SELECT * FROM %s.%s WHERE %s", cql__quote_name(m->base->keyspace, c->arena),
					cql__quote_name(m->base->name, c->arena), cql__view_where(m->view));
	enum sm_err err = text ? cql__parse(bytes_str(text), c->arena, &s, c->err) : no_memory(m);
	if (err)
		return err;
	struct cql_select *select = &s->select;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < select->where_count; i++)
		if (select->where[i].op != CQL_IS_NOT_NULL)
			select->where[kept++] = select->where[i];
	struct cql_analysis a = {.c = c, .statement = s, .table = m->base};
	return kept ? cql__analyse_where(&a, select->where, kept, CQL_FOR_SELECT, true, &m->where) : SM_OK;
}

/* Where the statement says = for every column of the base table's partition key, only that partition is read. */
static enum sm_err aim(struct making *m, struct store_read *read)
{
	const struct cql_where *where = &m->plan->where;
	struct store_cell *key = arena_alloc(m->e->context->arena, sizeof *key * m->base->partition_key_count);
	if (!key)
		return no_memory(m);
	for (uint16_t i = 0; i < m->base->partition_key_count; i++) {
		const struct cql_restriction *found = NULL;
		for (uint32_t k = 0; k < where->count; k++)
			if (where->restrictions[k].op == CQL_EQ && where->restrictions[k].column_count == 1 &&
			    !where->restrictions[k].token && strcmp(where->restrictions[k].columns[0]->name, m->base->columns[i].name) == 0)
				found = &where->restrictions[k];
		if (!found)
			return SM_OK;
		enum sm_err err = cql__eval(m->e, found->values[0], &key[i]);
		if (err || key[i].size < 0)
			return err;
	}
	read->partition_key = key;
	return SM_OK;
}

static struct store_cell *copy(struct making *m)
{
	struct arena *arena = m->e->context->arena;
	struct store_cell *cells = arena_copy(arena, m->cells, sizeof *cells * m->view->column_count);
	for (uint16_t i = 0; cells && i < m->view->column_count; i++)
		if (cells[i].size > 0 && !(cells[i].data = arena_copy(arena, cells[i].data, (size_t)cells[i].size)))
			return NULL;
	return cells;
}

static enum sm_err take(struct making *m, const struct store_row *row)
{
	uint16_t keys = (uint16_t)(m->view->partition_key_count + m->view->clustering_count);
	bool passes = true;
	if (row->static_only && m->base->clustering_count)
		return SM_OK;
	for (uint16_t i = 0; i < m->view->column_count; i++) {
		m->cells[i] = row->cells[m->from[i]];
		if (i < keys && m->cells[i].size < 0)
			return SM_OK;
	}
	struct store_row made = {.cells = m->cells, .token = store_token(m->view, m->cells)};
	struct cql_eval e = *m->e;
	arena_reset(&m->scratch);
	e.context = &m->row_context;
	e.row = row;
	e.table = m->base;
	enum sm_err err = cql__filter(&e, &m->where, true, &passes);
	e.row = &made;
	e.table = m->view;
	if (!err && passes)
		err = cql__filter(&e, &m->plan->where, true, &passes);
	if (err || !passes)
		return err;
	m->rows = cql__grow(m->e->context->arena, m->rows, m->count, &m->cap, sizeof *m->rows);
	if (!m->rows || !(m->rows[m->count] = copy(m)))
		return no_memory(m);
	m->count++;
	return SM_OK;
}

static enum sm_err read_base(struct making *m)
{
	struct cql_context *c = m->e->context;
	struct sm_store *store = c->engine->store;
	struct store_read read = {.table = m->base, .token_from = INT64_MIN, .token_to = INT64_MAX, .now_s = c->now_s};
	struct store_cursor *cursor;
	struct sm_error why = {0};
	enum sm_err err = aim(m, &read);
	if (err)
		return err;
	if ((err = store->ops->open(store, &read, &cursor, &why)))
		return cql__fail_store(c->err, err, why.text);
	for (;;) {
		const struct store_row *row;
		err = store->ops->next(cursor, &row);
		if (err) {
			err = err == SM_END ? SM_OK : cql__fail_store(c->err, err, NULL);
			break;
		}
		if ((err = take(m, row)))
			break;
	}
	store->ops->close_cursor(cursor);
	return err;
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct making *m = arg;
	const struct store_cell *x = *(struct store_cell *const *)a, *y = *(struct store_cell *const *)b;
	int64_t s = store_token(m->view, x), t = store_token(m->view, y);
	if (s != t)
		return s < t ? -1 : 1;
	for (uint16_t i = 0; i < m->view->partition_key_count + m->view->clustering_count; i++) {
		const struct store_column *column = &m->view->columns[i];
		int order = store_compare(&column->type, x[i], y[i]);
		if (order)
			return column->kind == STORE_CLUSTERING && column->descending != m->plan->reversed ? -order : order;
	}
	return 0;
}

enum sm_err cql__view_rows(struct cql_eval *e, const struct cql_select_plan *plan, struct store_cell ***ret_rows, uint32_t *ret_count)
{
	struct making m = {.e = e, .plan = plan, .view = plan->table, .row_context = *e->context};
	arena_init(&m.scratch, CQL_REQUEST_ARENA_MAX);
	m.row_context.arena = &m.scratch;
	enum sm_err err = columns(&m);
	if (!err)
		err = restrictions(&m);
	if (!err)
		err = read_base(&m);
	arena_done(&m.scratch);
	if (err)
		return err;
	if (m.count)
		qsort_r(m.rows, m.count, sizeof *m.rows, compare, &m);
	static struct store_cell *none[1];
	*ret_rows = m.rows ? m.rows : none;
	*ret_count = m.count;
	return SM_OK;
}
