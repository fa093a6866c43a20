/* A job's statements over the rows of one micro-batch: output rows and states of groups become mutations. */
#include "stream/stream_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- states ---- */

/* "raw_events 0:120,1:98": the offsets up to which the states of this micro-batch count. */
static void counted_to(const struct source *s, struct buf *out)
{
	buf_append_str(out, s->topic);
	for (int32_t i = 0; i < s->partitions; i++)
		buf_printf(out, "%s%d:%lld", i ? "," : " ", i, (long long)s->end[i]);
}

/* A state that counts beyond the committed offsets would count records twice; one atomic write makes that impossible, so it is checked. */
static enum sm_err check_counted(const struct source *s, struct bytes text, struct sm_error *reterr)
{
	char copy[4096], *save, *at;
	size_t topic = strlen(s->topic);
	if (!text.data || text.size >= sizeof copy || text.size <= topic || memcmp(text.data, s->topic, topic) != 0 ||
	    text.data[topic] != ' ')
		return SM_OK; /* of another topic: the statement was changed, which its fingerprint tells */
	memcpy(copy, text.data, text.size);
	copy[text.size] = 0;
	for (at = strtok_r(copy + topic, " ,", &save); at; at = strtok_r(NULL, " ,", &save)) {
		char *colon = strchr(at, ':');
		int partition = atoi(at);
		if (!colon || partition < 0 || partition >= s->partitions)
			continue;
		long long to = atoll(colon + 1);
		if (to > (s->next[partition] < 0 ? 0 : s->next[partition]))
			return sm_fail(reterr, SM_CORRUPT,
				       "a group's state counts topic %s, partition %d, up to offset %lld, but the job's offset is %lld: "
				       "the table smack_system.stream_offset was changed",
				       s->topic, partition, to, (long long)s->next[partition]);
	}
	return SM_OK;
}

struct old_state {
	const struct store_table *table;
	struct buf state, counted;
};

static enum sm_err take_state(void *arg, const struct store_row *row)
{
	struct old_state *o = arg;
	const struct store_column *state = store_find_column(o->table, "state"), *counted = store_find_column(o->table, "counted_to");
	if (!state || !counted)
		return SM_CORRUPT;
	const struct store_cell *s = &row->cells[state - o->table->columns], *c = &row->cells[counted - o->table->columns];
	if (s->size > 0)
		buf_append(&o->state, s->data, (size_t)s->size);
	if (c->size > 0)
		buf_append(&o->counted, c->data, (size_t)c->size);
	return o->state.failed || o->counted.failed ? SM_NO_MEMORY : SM_OK;
}

/* ---- rows ---- */

static enum sm_err put_rows(struct build *b, struct statement *st, const struct batch *rows, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < rows->rows; i++) {
		struct store_mutation *m;
		enum sm_err err;
		if ((err = build__mutation(b, &m, reterr)) ||
		    (err = table_writer_row(st->writer, rows, i, b->timestamp_us, &b->arena, m, reterr)))
			return err;
		b->output_rows++;
		if (b->arena.used > STREAM_WRITE_BYTES_MAX) {
			b->too_large = true;
			return sm_fail(reterr, SM_TOO_LARGE, "the rows of one record are larger than a write of %u bytes",
				       STREAM_WRITE_BYTES_MAX);
		}
	}
	return SM_OK;
}

struct grouping_run {
	struct build *b;
	struct statement *st;
	struct old_state old;
	struct buf merged, counted;
	struct sm_error *reterr;
	bool dry; /* only see whether it can be computed */
	enum sm_err err;
};

static enum sm_err finish_group(struct grouping_run *g, struct bytes key, struct bytes state)
{
	struct batch *row = batch_new(sql_incremental_output(g->st->plan));
	enum sm_err err = row ? sql_incremental_finish(g->st->plan, key, state, row, g->reterr)
			      : sm_fail(g->reterr, SM_NO_MEMORY, "out of memory");
	if (!err)
		err = put_rows(g->b, g->st, row, g->reterr);
	batch_unref(row);
	return err;
}

static enum sm_err group(struct grouping_run *g, struct bytes key, struct bytes add)
{
	struct stream_job *job = g->b->job;
	struct store_cell keys[] = {cell_of_text(job->name), cell_of_text(g->st->id), cell_of_bytes(key)};
	enum sm_err err;
	if (key.size > STORE_KEY_BYTES_MAX / 2)
		return sm_fail(g->reterr, SM_TOO_LARGE, "statement %s: a group's key has %zu bytes", g->st->id, key.size);
	if (g->dry)
		return finish_group(g, key, add);
	buf_clear(&g->old.state);
	buf_clear(&g->old.counted);
	buf_clear(&g->merged);
	if ((err = stream__read_partition(job->env->store, job->tables.state, keys, take_state, &g->old, g->reterr)))
		return err;
	if (!job->plant_count_twice && (err = check_counted(&job->sources[g->st->source], buf_bytes(&g->old.counted), g->reterr)))
		return err;
	if ((err = sql_incremental_merge(g->st->plan, buf_bytes(&g->old.state), add, &g->merged, g->reterr)))
		return err;
	struct named_cell cells[] = {{"state", cell_of_bytes(buf_bytes(&g->merged))},
				     {"counted_to", cell_of_bytes(buf_bytes(&g->counted))}};
	if ((err = build__put(g->b, job->tables.state, keys, cells, 2, g->reterr)))
		return err;
	return finish_group(g, key, buf_bytes(&g->merged));
}

static enum sm_err each_group(void *arg, struct bytes key, struct bytes add)
{
	struct grouping_run *g = arg;
	return g->err = group(g, key, add);
}

static enum sm_err run_groups(struct build *b, struct statement *st, const struct batch *rows, bool dry, struct sm_error *reterr)
{
	struct sm_error own = {0}, plan_error = {0};
	struct grouping_run g = {.b = b, .st = st, .reterr = &own, .dry = dry, .old = {.table = b->job->tables.state}};
	buf_init(&g.old.state);
	buf_init(&g.old.counted);
	buf_init(&g.merged);
	buf_init(&g.counted);
	counted_to(&b->job->sources[st->source], &g.counted);
	enum sm_err err = sql_incremental_groups(st->plan, rows, each_group, &g, &plan_error);
	if (err && reterr)
		*reterr = g.err ? own : plan_error;
	buf_done(&g.old.state);
	buf_done(&g.old.counted);
	buf_done(&g.merged);
	buf_done(&g.counted);
	return err;
}

static enum sm_err run_statement(struct build *b, struct statement *st, const struct batch *rows, bool dry, struct sm_error *reterr)
{
	struct batch *out;
	if (sql_incremental_aggregates(st->plan))
		return run_groups(b, st, rows, dry, reterr);
	enum sm_err err = sql_incremental_map(st->plan, rows, &out, reterr);
	if (err)
		return err;
	err = put_rows(b, st, out, reterr);
	batch_unref(out);
	return err;
}

enum sm_err statements__run(struct build *b, struct sm_error *reterr)
{
	struct stream_job *job = b->job;
	enum sm_err err = SM_OK;
	for (uint32_t i = 0; i < job->statement_count && !err; i++) {
		struct statement *st = &job->statements[i];
		const struct batch *rows = b->rows[st->source];
		if (rows && rows->rows && (err = run_statement(b, st, rows, false, reterr)) && reterr)
			sm_error_prefix(reterr, "INSERT INTO %s", st->id);
	}
	return err;
}

/* ---- poison ---- */

bool statements__is_about_values(enum sm_err err)
{
	return err == SM_INVALID || err == SM_OUT_OF_RANGE || err == SM_TYPE || err == SM_TOO_LARGE || err == SM_UNSUPPORTED;
}

enum sm_err poison__add(struct build *b, uint32_t source, int32_t partition, int64_t offset, const char *text, struct sm_error *reterr)
{
	char position[64];
	size_t size = stream__position(position, source, partition, offset);
	struct buf reason;
	buf_init(&reason);
	buf_append_str(&reason, "{\"sql\":[");
	buf_json_string(&reason, bytes_str(text));
	buf_append_str(&reason, "]}");
	char *kept = reason.failed ? NULL : arena_string(&b->poison_arena, (const char *)buf_bytes(&reason).data, buf_size(&reason));
	buf_done(&reason);
	enum sm_err err = kept ? map_put(&b->poison, bytes_of(position, size), kept, NULL) : SM_NO_MEMORY;
	return err ? sm_fail(reterr, err, "out of memory") : SM_OK;
}

static enum sm_err poison_row(struct build *b, uint32_t source, const struct batch *rows, uint32_t row, const char *text,
			      struct sm_error *reterr)
{
	uint32_t fields = rows->type->field_count;
	return poison__add(b, source, (int32_t)batch_get(rows, fields - 3, row).integer, batch_get(rows, fields - 2, row).integer, text,
			   reterr);
}

enum sm_err statements__poison_all(struct build *b, const struct sm_error *why, uint32_t *ret_found, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	*ret_found = 0;
	for (uint32_t s = 0; s < b->job->source_count && !err; s++)
		for (uint32_t row = 0; b->rows[s] && row < b->rows[s]->rows && !err; row++, ++*ret_found)
			err = poison_row(b, s, b->rows[s], row, why->text, reterr);
	return err;
}

enum sm_err statements__find_poison(struct build *b, uint32_t *ret_found, struct sm_error *reterr)
{
	struct stream_job *job = b->job;
	enum sm_err err = SM_OK;
	*ret_found = 0;
	for (uint32_t s = 0; s < job->source_count && !err; s++) {
		for (uint32_t row = 0; b->rows[s] && row < b->rows[s]->rows && !err; row++) {
			struct batch *one = batch_new(b->rows[s]->type);
			struct sm_error error = {0};
			enum sm_err failed = SM_OK;
			const char *id = "";
			err = one ? batch_copy_row(one, b->rows[s], row) : SM_NO_MEMORY;
			b->mutation_count = 0;
			arena_reset(&b->arena);
			for (uint32_t i = 0; i < job->statement_count && !err && !failed; i++) {
				if (job->statements[i].source == s)
					failed = run_statement(b, &job->statements[i], one, true, &error);
				id = job->statements[i].id;
			}
			if (err)
				sm_fail(reterr, err, "out of memory");
			if (failed && statements__is_about_values(failed)) {
				sm_error_prefix(&error, "INSERT INTO %s", id);
				err = poison_row(b, s, one, 0, error.text, reterr);
				(*ret_found)++;
			}
			batch_unref(one);
		}
	}
	return err;
}
