/* One statement in CQL's own words: what the table of calls has no words for, as DESCRIBE, indexes and views. */
#include "cassandra/cassandra_internal.h"
#include "cql/cql.h"

static enum sm_err give_rows(const struct client_answer *a, enum sm_err (*row)(void *arg, const char *const *values, uint32_t count),
			     void *arg, struct sm_error *reterr)
{
	struct client_column *columns;
	struct byte_reader in = byte_reader(a->rows);
	struct arena arena, scratch;
	arena_init(&arena, 0);
	arena_init(&scratch, 0);
	enum sm_err err = client__columns(a, &arena, &columns);
	const char **texts = arena_alloc(&arena, (a->column_count + 1) * sizeof *texts);
	if (!err && !texts)
		err = SM_NO_MEMORY;
	for (uint32_t r = 0; r < a->row_count && !err; r++) {
		arena_reset(&scratch);
		for (uint32_t i = 0; i < a->column_count; i++) {
			struct store_cell value = client__value(&in);
			texts[i] = value.size < 0 ? NULL : cql_render(&columns[i].type, value, &scratch);
		}
		err = in.failed ? SM_CORRUPT : row(arg, texts, a->column_count);
	}
	arena_done(&scratch);
	arena_done(&arena);
	return err ? sm_fail(reterr, err, "the rows of an answer: %s", sm_err_text(err)) : SM_OK;
}

enum sm_err cassandra_run(struct sm_store *store, const char *text,
			  enum sm_err (*row)(void *arg, const char *const *values, uint32_t count), void *arg, struct sm_error *reterr)
{
	struct cassandra_store *s = cassandra__of(store);
	struct client_answer a;
	struct sm_error none;
	reterr = reterr ? reterr : &none;
	enum sm_err err = client__ask_wait(
		s->client,
		&(struct client_request){
			.text = text, .consistency = CLIENT_CONSISTENCY, .on_control = true, .timeout_ms = CASSANDRA_RUN_MS},
		&a);
	if (err)
		*reterr = a.error;
	else if (a.kind == CQL_RESULT_ROWS && row)
		err = give_rows(&a, row, arg, reterr);
	bool changes = !err && a.kind == CQL_RESULT_SCHEMA;
	client__answer_done(&a);
	if (changes && (err = cassandra__await_agreement(s, reterr)) == SM_OK)
		err = cassandra__refresh(s, reterr);
	return err;
}
