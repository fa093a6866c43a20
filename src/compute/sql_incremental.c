/* A query over micro-batches: the same bound expressions and the same states as in a batch query (sql_group.c), kept between batches by
 * the caller. The fingerprint covers the text of all expressions, so that a state written for another query is refused. */
#include "base/hash.h"
#include "compute/sql_internal.h"
#include <stdlib.h>

struct sql_incremental {
	struct plan_memory *memory;
	struct select_plan plan;
	struct row_type *input, *groups, *output;
	struct arena arena;
	struct group_table single; /* one group: merge and finish */
};

static enum sm_err check_query(const struct sql_statement *s, struct sm_error *reterr)
{
	const struct query *q = s->query;
	const char *what = NULL;
	if (!s->insert)
		return sql__fail(reterr, SM_UNSUPPORTED, s->line, s->column,
				 "a streaming job consists of INSERT INTO .. SELECT statements");
	if (q->kind != QUERY_SELECT)
		what = "UNION or VALUES";
	else if (!q->from || q->from->kind != RELATION_NAMED || q->from->part_count != 1)
		what = "anything but one topic in FROM";
	else if (q->distinct)
		what = "DISTINCT (a job's dedup key leaves duplicates out)";
	else if (q->having)
		what = "HAVING";
	else if (q->order_count || q->limit)
		what = "ORDER BY or LIMIT";
	if (what)
		return sql__fail(reterr, SM_UNSUPPORTED, q->line, q->column, "%s is not supported over micro-batches", what);
	return SM_OK;
}

static uint32_t fingerprint(const struct sql_incremental *p)
{
	uint32_t crc = grouping_fingerprint(p->plan.grouping);
	struct buf text;
	buf_init(&text);
	for (uint32_t i = 0; i < p->plan.grouping->key_count; i++) {
		buf_append_str(&text, ";");
		expr_print(p->plan.grouping->keys[i], p->input, &text);
	}
	for (uint32_t i = 0; i < p->plan.grouping->aggregate_count; i++) {
		buf_append_str(&text, ";");
		if (p->plan.grouping->aggregates[i].arg)
			expr_print(p->plan.grouping->aggregates[i].arg, p->input, &text);
	}
	buf_append_str(&text, ";");
	if (p->plan.filter)
		expr_print(p->plan.filter, p->input, &text);
	crc = crc32c(crc, buf_bytes(&text).data, buf_size(&text));
	buf_done(&text);
	return crc;
}

static enum sm_err bind_query(struct sql_incremental *p, const struct sql_statement *s, struct sm_error *reterr)
{
	const struct query *q = s->query;
	struct scope scope = {.count = p->input->field_count};
	scope.columns = arena_alloc(&p->memory->arena, (scope.count + 1) * sizeof *scope.columns);
	if (!scope.columns)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < scope.count; i++) {
		const struct column_field *f = &p->input->fields[i];
		scope.columns[i] = (struct scope_column){NULL, q->from->alias ? q->from->alias : q->from->parts[0], f->name, f->type,
							 f->name[0] == '_'};
	}
	struct binder b = {.arena = &p->memory->arena, .script = s->script, .scope = &scope, .reterr = reterr};
	enum sm_err err = bind_select(&b, q, &p->plan);
	if (err)
		return err;
	if (s->column_count && s->column_count != p->plan.output_count)
		return sql__fail(reterr, SM_INVALID, s->line, s->column, "INSERT names %u columns, its query has %u", s->column_count,
				 p->plan.output_count);
	if (p->plan.grouping) {
		p->plan.grouping->fingerprint = fingerprint(p);
		p->groups = grouping_row_type(p->plan.grouping);
		group_table_init(&p->single, p->plan.grouping);
	}
	p->output = sql__row_type(p->plan.outputs, p->plan.names, p->plan.output_count);
	return p->output && (p->groups || !p->plan.grouping) ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
}

enum sm_err sql_incremental_new(const struct compute_env *env, const struct sql_statement *statement, struct row_type *input,
				struct sql_incremental **ret_plan, struct sm_error *reterr)
{
	enum sm_err err = check_query(statement, reterr);
	if (err)
		return err;
	struct sql_incremental *p = calloc(1, sizeof *p);
	if (!p || !(p->memory = plan_memory_new())) {
		free(p);
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	}
	arena_init(&p->arena, 256u << 20);
	p->input = row_type_ref(input);
	if ((err = bind_query(p, statement, reterr))) {
		sql_incremental_free(p);
		return err;
	}
	*ret_plan = p;
	return SM_OK;
}

void sql_incremental_free(struct sql_incremental *p)
{
	if (!p)
		return;
	if (p->single.grouping)
		group_table_done(&p->single);
	row_type_unref(p->input);
	row_type_unref(p->groups);
	row_type_unref(p->output);
	arena_done(&p->arena);
	plan_memory_unref(p->memory);
	free(p);
}

bool sql_incremental_aggregates(const struct sql_incremental *p)
{
	return p->plan.grouping != NULL;
}

struct row_type *sql_incremental_output(const struct sql_incremental *p)
{
	return p->output;
}

static enum sm_err eval_outputs(struct sql_incremental *p, struct eval *c, const struct expr *filter, struct vec **ret_vecs,
				uint32_t *ret_count, struct sm_error *reterr)
{
	const uint32_t *rows;
	enum sm_err err;
	struct vec *vecs = arena_alloc(&p->arena, (p->plan.output_count + 1) * sizeof *vecs);
	if (!vecs)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if ((err = expr_select(filter, c, &rows, ret_count)))
		return err;
	for (uint32_t i = 0; i < p->plan.output_count; i++)
		if ((err = expr_eval(p->plan.outputs[i], c, rows, *ret_count, &vecs[i])))
			return err;
	*ret_vecs = vecs;
	return SM_OK;
}

enum sm_err sql_incremental_map(struct sql_incremental *p, const struct batch *in, struct batch **ret_out, struct sm_error *reterr)
{
	struct eval c = {in, &p->arena, reterr};
	struct vec *vecs;
	uint32_t n;
	enum sm_err err;
	arena_reset(&p->arena);
	if (p->plan.grouping)
		return sm_fail(reterr, SM_INVALID, "the query aggregates");
	if ((err = eval_outputs(p, &c, p->plan.filter, &vecs, &n, reterr)))
		return err;
	return sql__batch_of(p->output, vecs, n, ret_out, reterr);
}

enum sm_err sql_incremental_groups(struct sql_incremental *p, const struct batch *in,
				   enum sm_err (*each)(void *arg, struct bytes key, struct bytes state), void *arg, struct sm_error *reterr)
{
	struct eval c = {in, &p->arena, reterr};
	struct group_table table;
	struct buf state;
	arena_reset(&p->arena);
	if (!p->plan.grouping)
		return sm_fail(reterr, SM_INVALID, "the query has no aggregates");
	group_table_init(&table, p->plan.grouping);
	buf_init(&state);
	enum sm_err err = group_table_add(&table, p->plan.filter, &c);
	for (uint32_t i = 0; i < table.count && !err; i++) {
		buf_clear(&state);
		group_state(&table, table.groups[i], &state);
		if ((err = state.failed ? SM_NO_MEMORY : each(arg, group_key(table.groups[i]), buf_bytes(&state))))
			sm_fail(reterr, err, "a group's state: %s", sm_err_text(err));
	}
	buf_done(&state);
	group_table_done(&table);
	return err;
}

/* Make the one group of p->single out of these states. */
static enum sm_err merge_states(struct sql_incremental *p, struct bytes key, struct bytes old, struct bytes add, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	group_table_done(&p->single);
	group_table_init(&p->single, p->plan.grouping);
	if (old.size)
		err = group_table_merge(&p->single, key, old);
	if (!err && add.size)
		err = group_table_merge(&p->single, key, add);
	if (!err && p->single.count == 0)
		err = SM_CORRUPT;
	if (err == SM_VERSION)
		return sm_fail(
			reterr, err,
			"a group's state was written by another query (or version of it): give the job a new name, which starts it afresh");
	return err ? sm_fail(reterr, err, "a group's state: %s", sm_err_text(err)) : SM_OK;
}

enum sm_err sql_incremental_merge(struct sql_incremental *p, struct bytes old, struct bytes add, struct buf *ret_state,
				  struct sm_error *reterr)
{
	size_t before = buf_size(ret_state);
	enum sm_err err = merge_states(p, bytes_of("", 0), old, add, reterr);
	if (err)
		return err;
	group_state(&p->single, p->single.groups[0], ret_state);
	if (ret_state->failed)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (buf_size(ret_state) - before > SQL_STATE_BYTES_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "a group's state is larger than %u bytes: count(DISTINCT) keeps every value",
			       SQL_STATE_BYTES_MAX);
	return SM_OK;
}

enum sm_err sql_incremental_finish(struct sql_incremental *p, struct bytes key, struct bytes state, struct batch *out,
				   struct sm_error *reterr)
{
	struct batch *row;
	struct vec *vecs;
	uint32_t n;
	enum sm_err err;
	if ((err = merge_states(p, key, state, bytes_of("", 0), reterr)))
		return err;
	if (!(row = batch_new(p->groups)))
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	arena_reset(&p->arena);
	struct eval c = {row, &p->arena, reterr};
	if (!(err = group_row(&p->single, p->single.groups[0], row, reterr)) && !(err = eval_outputs(p, &c, NULL, &vecs, &n, reterr))) {
		for (uint32_t i = 0; i < p->plan.output_count && !err; i++)
			if ((err = batch_put(out, i, vec_get(&vecs[i], 0))))
				sm_fail(reterr, err, "an output row: %s", sm_err_text(err));
		if (!err)
			batch_row_end(out);
	}
	batch_unref(row);
	return err;
}
