/* The rows of a materialized view, made from its base table when they are read: all of the table's rows, or those of one partition where
 * the statement names it, without those that the view leaves out, in the view's order.
 *
 * Kept of each row are its key and the columns that the statement looks at. Where the first rows are enough, the others are dropped each
 * time that twice as many have come together, and from then on what lies behind the last of them is not taken at all. */
#include "cql/view.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MORE 64             /* than twice as many as are wanted come together before some are dropped */
#define BYTES_MORE (size_t)65536 /* likewise */

struct made {
	int64_t token;
	struct store_cell *cells;
	size_t bytes;
};

struct making {
	struct cql_eval *e;
	const struct cql_select_plan *plan;
	const struct cql_view_read *read;
	const struct store_table *view, *base;
	uint16_t *from;           /* of each column of the view: which of the base's */
	bool *wanted;             /* of each column of the view */
	struct cql_where where;   /* of the view itself, on base's rows */
	struct store_cell *cells; /* the row at hand */
	struct arena scratch;     /* emptied for each row */
	struct cql_context row_context;
	struct arena kept[2]; /* the rows are in kept[at] */
	int at;
	struct made *rows; /* malloc'ed */
	uint32_t count, cap;
	size_t bytes;
	bool cut;          /* rows were dropped */
	struct made bound; /* and nothing behind the last that stayed is taken; cells NULL: all is */
	struct made after; /* nothing up to this one is taken; cells NULL: there is none */
};

static enum sm_err no_memory(struct making *m)
{
	return cql__no_memory(m->e->context->err, m->e->context->arena);
}

static void want(struct making *m, const struct cql_expr *x)
{
	if (!x)
		return;
	if (x->kind == CQL_EXPR_COLUMN || x->kind == CQL_EXPR_WRITETIME || x->kind == CQL_EXPR_TTL || x->kind == CQL_EXPR_ELEMENT_TIMES)
		m->wanted[x->index] = true;
	for (uint32_t i = 0; x->args && i < x->arg_count; i++)
		want(m, x->args[i]);
}

static enum sm_err columns(struct making *m)
{
	struct cql_context *c = m->e->context;
	uint16_t n = m->view->column_count, keys = (uint16_t)(m->view->partition_key_count + m->view->clustering_count);
	m->base = store_find_table(c->schema, m->view->keyspace, cql__view_base(m->view));
	if (!m->base)
		return cql__fail(c->err, CQL_SERVER_ERROR, "The table %s of the materialized view %s.%s is not there",
				 cql__view_base(m->view), m->view->keyspace, m->view->name);
	m->from = arena_alloc(c->arena, sizeof *m->from * n);
	m->cells = arena_alloc(c->arena, sizeof *m->cells * n);
	m->wanted = arena_alloc(c->arena, sizeof *m->wanted * n);
	if (!m->from || !m->cells || !m->wanted)
		return no_memory(m);
	for (uint16_t i = 0; i < n; i++) {
		const struct store_column *column = store_find_column(m->base, m->view->columns[i].name);
		if (!column)
			return cql__fail(c->err, CQL_SERVER_ERROR, "The table %s.%s has no column %s, which a materialized view of it has",
					 m->base->keyspace, m->base->name, m->view->columns[i].name);
		m->from[i] = (uint16_t)(column - m->base->columns);
		m->wanted[i] = i < keys;
	}
	for (uint32_t i = 0; i < m->plan->value_count; i++)
		want(m, m->plan->exprs[i]);
	if (!m->read->key)
		return SM_OK;
	m->after.cells = arena_alloc(c->arena, sizeof *m->after.cells * keys);
	if (!m->after.cells)
		return no_memory(m);
	memcpy(m->after.cells, m->read->key, sizeof *m->after.cells * m->view->partition_key_count);
	if (m->read->clustering)
		memcpy(m->after.cells + m->view->partition_key_count, m->read->clustering,
		       sizeof *m->after.cells * m->view->clustering_count);
	m->after.token = store_token(m->view, m->after.cells);
	return SM_OK;
}

enum sm_err cql__view_restrictions(struct cql_context *c, const struct store_table *base, const char *where_text,
				   struct cql_where *ret_where)
{
	struct cql_statement *s = NULL;
	const char *text = arena_printf(c->arena, "SELECT * FROM %s.%s WHERE %s", cql_quote_name(base->keyspace, c->arena),
					cql_quote_name(base->name, c->arena), where_text);
	enum sm_err err = text ? cql__parse(bytes_str(text), c->arena, &s, c->err) : cql__no_memory(c->err, c->arena);
	if (err)
		return err;
	struct cql_select *select = &s->select;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < select->where_count; i++)
		if (select->where[i].op != CQL_IS_NOT_NULL)
			select->where[kept++] = select->where[i];
	struct cql_analysis a = {.c = c, .statement = s, .table = base};
	return kept ? cql__analyse_where(&a, select->where, kept, CQL_FOR_SELECT, true, ret_where) : SM_OK;
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

/* By their tokens and the first columns of their keys. */
static int order_of(const struct making *m, const struct made *x, const struct made *y, uint16_t count)
{
	if (x->token != y->token)
		return x->token < y->token ? -1 : 1;
	for (uint16_t i = 0; i < count; i++) {
		const struct store_column *column = &m->view->columns[i];
		int order = store_compare(&column->type, x->cells[i], y->cells[i]);
		if (order)
			return column->kind == STORE_CLUSTERING && column->descending != m->plan->reversed ? -order : order;
	}
	return 0;
}

static uint16_t key_count(const struct making *m)
{
	return (uint16_t)(m->view->partition_key_count + m->view->clustering_count);
}

static int compare(const void *a, const void *b, void *arg)
{
	return order_of(arg, a, b, key_count(arg));
}

static void sort(struct making *m)
{
	if (m->count)
		qsort_r(m->rows, m->count, sizeof *m->rows, compare, m);
}

static bool copy(const struct making *m, struct arena *arena, const struct store_cell *from, struct made *to)
{
	uint16_t n = m->view->column_count;
	to->cells = arena_alloc(arena, sizeof *to->cells * n);
	to->bytes = sizeof *to->cells * n;
	for (uint16_t i = 0; to->cells && i < n; i++) {
		to->cells[i] = m->wanted[i] ? from[i] : cql__null();
		if (to->cells[i].size <= 0)
			continue;
		if (!(to->cells[i].data = arena_copy(arena, from[i].data, (size_t)from[i].size)))
			return false;
		to->bytes += (size_t)from[i].size;
	}
	return to->cells;
}

/* Only the first rows stay, as many as are wanted, in the other arena. */
static enum sm_err cut(struct making *m)
{
	uint32_t rows = m->count < m->read->rows_max ? m->count : m->read->rows_max, kept = 0;
	struct arena *to = &m->kept[!m->at];
	size_t bytes = 0;
	sort(m);
	for (; kept < rows && (!m->read->bytes_max || bytes < m->read->bytes_max); kept++) {
		if (!copy(m, to, m->rows[kept].cells, &m->rows[kept]))
			return cql__no_memory(m->e->context->err, to);
		bytes += m->rows[kept].bytes;
	}
	if (kept < m->count) {
		m->cut = true;
		m->bound = m->rows[kept - 1];
	} else if (m->cut) {
		m->bound = (struct made){0};
	}
	arena_reset(&m->kept[m->at]);
	m->at = !m->at;
	m->count = kept;
	m->bytes = bytes;
	return SM_OK;
}

static enum sm_err keep(struct making *m, const struct made *row)
{
	struct arena *arena = m->read->rows_max ? &m->kept[m->at] : m->e->context->arena;
	if (m->count == m->cap) {
		uint32_t cap = m->cap ? 2 * m->cap : 256;
		struct made *more = cap > m->cap ? realloc(m->rows, sizeof *more * cap) : NULL;
		if (!more)
			return cql__fail_store(m->e->context->err, SM_NO_MEMORY, NULL);
		m->rows = more;
		m->cap = cap;
	}
	m->rows[m->count] = *row;
	if (!copy(m, arena, row->cells, &m->rows[m->count]))
		return cql__no_memory(m->e->context->err, arena);
	m->bytes += m->rows[m->count++].bytes;
	bool many = m->count / 2 > m->read->rows_max + ROWS_MORE,
	     large = m->read->bytes_max && m->bytes / 2 > m->read->bytes_max + BYTES_MORE;
	return m->read->rows_max && (many || large) ? cut(m) : SM_OK;
}

static bool lies_outside(const struct making *m, const struct made *row)
{
	uint16_t count = m->read->clustering ? key_count(m) : m->view->partition_key_count;
	return (m->after.cells && order_of(m, row, &m->after, count) <= 0) || (m->bound.cells && compare(row, &m->bound, (void *)m) > 0);
}

static enum sm_err take(struct making *m, const struct store_row *row)
{
	uint16_t keys = key_count(m);
	bool passes = true;
	if (row->static_only && m->base->clustering_count)
		return SM_OK;
	for (uint16_t i = 0; i < m->view->column_count; i++) {
		m->cells[i] = row->cells[m->from[i]];
		if (i < keys && m->cells[i].size < 0)
			return SM_OK;
	}
	struct made found = {.token = store_token(m->view, m->cells), .cells = m->cells};
	if (lies_outside(m, &found))
		return SM_OK;
	struct store_row made = {.cells = m->cells, .token = found.token};
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
	return err || !passes ? err : keep(m, &found);
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

/* The rows in their order, in the request's arena; of DISTINCT the first of each partition. */
static enum sm_err hand_over(struct making *m, struct store_cell ***ret_rows, uint32_t *ret_count)
{
	struct arena *arena = m->e->context->arena;
	struct store_cell **rows = arena_alloc(arena, sizeof *rows * (m->count + 1u));
	uint32_t count = 0;
	if (!rows)
		return no_memory(m);
	sort(m);
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->plan->distinct && i && order_of(m, &m->rows[i - 1], &m->rows[i], m->view->partition_key_count) == 0)
			continue;
		struct made row = m->rows[i];
		if (m->read->rows_max && !copy(m, arena, m->rows[i].cells, &row))
			return no_memory(m);
		rows[count++] = row.cells;
	}
	*ret_rows = rows;
	*ret_count = count;
	return SM_OK;
}

enum sm_err cql__view_rows(struct cql_eval *e, const struct cql_select_plan *plan, const struct cql_view_read *read,
			   struct store_cell ***ret_rows, uint32_t *ret_count, bool *ret_cut)
{
	struct making m = {.e = e, .plan = plan, .read = read, .view = plan->table, .row_context = *e->context};
	arena_init(&m.scratch, CQL_REQUEST_ARENA_MAX);
	arena_init(&m.kept[0], CQL_REQUEST_ARENA_MAX);
	arena_init(&m.kept[1], CQL_REQUEST_ARENA_MAX);
	m.row_context.arena = &m.scratch;
	enum sm_err err = columns(&m);
	if (!err)
		err = cql__view_restrictions(e->context, m.base, cql__view_where(m.view), &m.where);
	if (!err)
		err = read_base(&m);
	if (!err && read->rows_max)
		err = cut(&m);
	if (!err)
		err = hand_over(&m, ret_rows, ret_count);
	*ret_cut = m.cut;
	free(m.rows);
	arena_done(&m.kept[0]);
	arena_done(&m.kept[1]);
	arena_done(&m.scratch);
	return err;
}
