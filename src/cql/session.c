/* Statements run in this process, over any engine: parsed and analysed as the server does, executed by calls that block. */
#include "cql/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cql_session {
	struct cql_engine engine;
	char keyspace[CQL_NAME_MAX + 1];
};

/* One statement. */
struct step {
	struct cql_session *session;
	const struct cql_sink *sink;
	struct arena arena;
	struct cql_context c;
	struct cql_error err;
	struct cql_plan *plan;
	struct cql_result result;
	int64_t rows;
};

enum sm_err cql_session_new(struct sm_store *store, const char *keyspace, struct cql_session **ret_session)
{
	struct cql_session *s = calloc(1, sizeof *s);
	if (!s)
		return SM_NO_MEMORY;
	if (keyspace && strlen(keyspace) > CQL_NAME_MAX) {
		free(s);
		return SM_TOO_LARGE;
	}
	snprintf(s->keyspace, sizeof s->keyspace, "%s", keyspace ? keyspace : "");
	enum sm_err err = cql__engine_init(&s->engine, store, NULL, NULL);
	if (err)
		free(s);
	else
		*ret_session = s;
	return err;
}

void cql_session_free(struct cql_session *session)
{
	if (!session)
		return;
	cql__engine_done(&session->engine);
	free(session);
}

const char *cql_session_keyspace(const struct cql_session *session)
{
	return session->keyspace;
}

static enum sm_err show_columns(struct step *s)
{
	struct cql_column *columns = arena_alloc(&s->arena, sizeof *columns * (s->result.column_count + 1));
	if (!columns)
		return cql__no_memory(&s->err, &s->arena);
	for (uint32_t i = 0; i < s->result.column_count; i++)
		columns[i] = (struct cql_column){s->result.columns[i].name, cql_type_text(s->result.columns[i].type, &s->arena)};
	enum sm_err err = s->sink && s->sink->columns ? s->sink->columns(s->sink->arg, columns, s->result.column_count) : SM_OK;
	return err ? cql__fail_store(&s->err, err, NULL) : SM_OK;
}

/* The rows of result->rows, rendered. */
static enum sm_err show_rows(struct step *s)
{
	struct byte_reader in = byte_reader(buf_bytes(&s->result.rows));
	const char **texts = arena_alloc(&s->arena, sizeof *texts * (s->result.column_count + 1));
	struct arena scratch;
	enum sm_err err = SM_OK;
	if (!texts)
		return cql__no_memory(&s->err, &s->arena);
	arena_init(&scratch, 0);
	for (uint32_t r = 0; !err && r < s->result.row_count; r++) {
		arena_reset(&scratch);
		for (uint32_t i = 0; i < s->result.column_count; i++) {
			struct store_cell cell = {.size = (int32_t)reader_be32(&in)};
			cell.data = cell.size > 0 ? reader_take(&in, (size_t)cell.size) : (const uint8_t *)"";
			texts[i] = cell.size < 0 ? NULL : cql_render(s->result.columns[i].type, cell, &scratch);
		}
		if (s->sink && s->sink->row && (err = s->sink->row(s->sink->arg, texts, s->result.column_count)))
			err = cql__fail_store(&s->err, err, NULL);
	}
	arena_done(&scratch);
	s->rows += s->result.row_count;
	return err;
}

/* Page by page, so that a large table needs little memory. */
static enum sm_err run_select(struct step *s)
{
	struct cql_options options = {.page_size = cql__sorts(s->plan->select) ? 0 : 1000, .timestamp_us = INT64_MIN};
	for (bool first = true;; first = false) {
		buf_clear(&s->result.rows);
		s->result.row_count = 0;
		s->result.paging_state = bytes_of(NULL, 0);
		enum sm_err err = cql__run_select(&s->c, s->plan, &options, &s->result);
		if (!err && first)
			err = show_columns(s);
		if (!err)
			err = show_rows(s);
		if (err || !s->result.paging_state.data)
			return err;
		options.paging_state = s->result.paging_state;
	}
}

static enum sm_err run_describe(struct step *s)
{
	enum sm_err err = cql__run_describe(&s->c, &s->plan->statement->describe, &s->result);
	if (!err)
		err = show_columns(s);
	return err ? err : show_rows(s);
}

static enum sm_err run_conditional(struct step *s)
{
	struct cql_options options = {.timestamp_us = INT64_MIN};
	const struct store_transaction *transaction;
	struct cql_cas *cas;
	enum sm_err err = cql__cas_new(&s->c, s->plan->batch, &s->result, &cas);
	if (err || (err = cql__cas_add(cas, s->plan, &options)) || (err = cql__cas_ready(cas, &transaction)) ||
	    (err = cql__cas_end(cas, store_transact_wait(s->c.engine->store, transaction))))
		return err;
	s->rows = 0;
	err = show_columns(s);
	return err ? err : show_rows(s);
}

static enum sm_err run_modify(struct step *s)
{
	struct cql_options options = {.timestamp_us = INT64_MIN};
	struct cql_mutations mutations = {0};
	if (cql__is_conditional(s->plan))
		return run_conditional(s);
	enum sm_err err = cql__build_mutations(&s->c, s->plan, &options, cql__timestamp_us(s->c.engine), &mutations);
	if (!err && s->plan->batch)
		err = cql__check_batch_size(&s->c, s->plan->statement->batch.kind, &mutations, &s->result);
	if (err || mutations.count == 0)
		return err;
	struct store_batch batch = {.mutations = mutations.items, .count = mutations.count};
	err = store_apply_wait(s->c.engine->store, &batch);
	return err ? cql__fail_store(&s->err, err, NULL) : SM_OK;
}

/* Where another statement changed the table first, the same change again, of the table as it is now. */
static enum sm_err run_change(struct step *s)
{
	struct sm_store *store = s->c.engine->store;
	struct cql_change change;
	for (uint32_t tries = 1;; tries++) {
		struct sm_error why = {0};
		bool nothing;
		enum sm_err err = cql__build_change(&s->c, &s->plan->statement->ddl, &change, &nothing);
		if (err || nothing)
			return err;
		if ((err = store_change_wait(store, &change.change, &why)) == SM_OK)
			return SM_OK;
		if (err != SM_CONFLICT || tries == CQL_CHANGE_TRIES_MAX)
			return cql__change_failed(&s->c, &change, &why);
		store->ops->schema_release(store, s->c.schema);
		s->c.schema = store->ops->schema(store);
	}
}

static enum sm_err run_use(struct step *s)
{
	bool system;
	const char *name = s->plan->statement->use;
	if (!cql__find_keyspace(&s->c, name, &system))
		return cql__fail(&s->err, CQL_INVALID, "Keyspace '%s' does not exist", name);
	snprintf(s->session->keyspace, sizeof s->session->keyspace, "%s", name);
	return SM_OK;
}

static enum sm_err run_plan(struct step *s)
{
	if (s->plan->bind_count)
		return cql__fail(&s->err, CQL_INVALID, "Invalid amount of bind variables");
	s->rows = -1;
	switch (s->plan->kind) {
	case CQL_PLAN_SELECT: s->rows = 0; return run_select(s);
	case CQL_PLAN_DESCRIBE: s->rows = 0; return run_describe(s);
	case CQL_PLAN_MODIFY: return run_modify(s);
	case CQL_PLAN_DDL: return run_change(s);
	case CQL_PLAN_USE: return run_use(s);
	case CQL_PLAN_ROLE:
		return cql__fail(&s->err, CQL_UNAUTHORIZED, "You have to be logged in and not anonymous to perform this request");
	}
	return SM_INVALID;
}

static enum sm_err run_one(struct cql_session *session, struct bytes text, const struct cql_sink *sink, struct cql_error *reterr)
{
	struct sm_store *store = session->engine.store;
	struct cql_statement *statement;
	struct step s = {.session = session, .sink = sink};
	char keyspace[CQL_NAME_MAX + 1];
	memcpy(keyspace, session->keyspace, sizeof keyspace);
	arena_init(&s.arena, 0);
	buf_init(&s.result.rows);
	const struct store_schema *schema = store->ops->schema(store);
	s.c = (struct cql_context){
		.engine = &session->engine, .schema = schema, .keyspace = keyspace[0] ? keyspace : NULL, .arena = &s.arena, .err = &s.err};
	enum sm_err err = cql__parse(text, &s.arena, &statement, &s.err);
	if (!err)
		err = cql__analyse(&s.c, statement, &s.plan);
	if (!err)
		err = run_plan(&s);
	if (!err && sink && sink->done && (err = sink->done(sink->arg, s.rows)))
		err = cql__fail_store(&s.err, err, NULL);
	*reterr = s.err;
	store->ops->schema_release(store, s.c.schema);
	buf_done(&s.result.rows);
	arena_done(&s.arena);
	return err;
}

/* Only blanks, comments and semicolons. */
static bool is_blank(struct bytes text)
{
	struct arena arena;
	struct cql_lexer lexer;
	struct cql_token t;
	arena_init(&arena, 0);
	cql__lexer_init(&lexer, text, &arena);
	do
		t = cql__lex(&lexer);
	while (t.kind == TOK_PUNCTUATION && t.punctuation == ';');
	arena_done(&arena);
	return t.kind == TOK_END;
}

enum sm_err cql_session_run(struct cql_session *session, struct bytes text, const struct cql_sink *sink, struct sm_error *reterr)
{
	size_t first = cql_statement_end(text);
	bool several = first && !is_blank(bytes_of(text.data + first, text.size - first));
	uint32_t number = 0, line = 1;
	while (text.size) {
		struct cql_error why = {0};
		size_t end = cql_statement_end(text);
		struct bytes one = bytes_of(text.data, end ? end : text.size);
		if (!is_blank(one)) {
			number++;
			enum sm_err err = run_one(session, one, sink, &why);
			uint32_t at = line;
			for (size_t i = 0;
			     i < one.size && (one.data[i] == '\n' || one.data[i] == ' ' || one.data[i] == '\t' || one.data[i] == '\r'); i++)
				at += one.data[i] == '\n';
			if (err && several)
				return sm_fail(reterr, err, "statement %u (line %u): %.400s", number, at, why.text);
			if (err)
				return sm_fail(reterr, err, "%.490s", why.text);
		}
		for (size_t i = 0; i < one.size; i++)
			line += one.data[i] == '\n';
		text = bytes_of(text.data + one.size, text.size - one.size);
	}
	return SM_OK;
}
