/* Epochs of jobs, and what batches that were cut short have left: see commit.c.
 *
 *   store_job      job -> epoch; committed, chunks: its last batch that was decided; applied: its last batch that was written
 *   store_journal  job, number, chunk -> statements
 *   store_batch    bucket (always 0), id -> chunks: batches of no job that are decided and not written */
#include "cassandra/cassandra_internal.h"
#include <stdio.h>
#include <stdlib.h>

static const char *const own_tables[][2] = {
	{"store_job",
	 "CREATE TABLE IF NOT EXISTS smack_system.store_job (job text PRIMARY KEY, epoch bigint, committed bigint, chunks int, "
	 "applied bigint)"},
	{"store_journal",
	 "CREATE TABLE IF NOT EXISTS smack_system.store_journal (job text, number bigint, chunk int, data blob, PRIMARY KEY (job, number, "
	 "chunk)) WITH gc_grace_seconds = 3600"},
	{"store_batch", "CREATE TABLE IF NOT EXISTS smack_system.store_batch (bucket int, id uuid, chunks int, PRIMARY KEY (bucket, id))"},
};
#define OWN_TABLES (sizeof own_tables / sizeof *own_tables)

enum sm_err cassandra__own_tables(struct cassandra_store *s, struct sm_error *reterr)
{
	const char *texts[OWN_TABLES + 1];
	uint32_t count = 0;
	char keyspace[200];
	const struct store_schema *schema = s->store.ops->schema(&s->store);
	if (!store_find_keyspace(schema, CASSANDRA_KEYSPACE)) {
		snprintf(keyspace, sizeof keyspace,
			 "CREATE KEYSPACE IF NOT EXISTS smack_system WITH replication = {'class': 'NetworkTopologyStrategy', "
			 "'replication_factor': '%u'}",
			 cassandra__replication(s));
		texts[count++] = keyspace;
	}
	for (size_t i = 0; i < OWN_TABLES; i++)
		if (!store_find_table(schema, CASSANDRA_KEYSPACE, own_tables[i][0]))
			texts[count++] = own_tables[i][1];
	s->store.ops->schema_release(&s->store, schema);
	if (!count)
		return SM_OK;
	enum sm_err err = cassandra__run_changes(s, texts, count, reterr);
	if (err)
		sm_error_prefix(reterr, "%s: making the keyspace smack_system", s->shown);
	return err ? err : cassandra__refresh(s, reterr);
}

/* ---- one statement ---- */

static struct store_cell text_cell(const char *text)
{
	return (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)};
}

static enum sm_err ask(struct cassandra_store *s, const char *text, uint16_t consistency, const struct store_cell *values, uint16_t count,
		       struct client_answer *a, struct sm_error *reterr)
{
	*a = (struct client_answer){0};
	const struct client_request request = {
		.text = text, .prepare = true, .values = values, .value_count = count, .consistency = consistency, .idempotent = true};
	enum sm_err err = client__ask_wait(s->client, &request, a);
	if (err && reterr)
		*reterr = a->error;
	return err;
}

static enum sm_err run(struct cassandra_store *s, const char *text, const struct store_cell *values, uint16_t count,
		       struct sm_error *reterr)
{
	struct client_answer a;
	enum sm_err err = ask(s, text, CLIENT_CONSISTENCY, values, count, &a, reterr);
	client__answer_done(&a);
	return err;
}

/* ---- the journal ---- */

/* All chunks of a batch, or fewer where they have been deleted. */
static enum sm_err read_journal(struct cassandra_store *s, const char *job, int64_t batch, struct cassandra_program *program,
				uint32_t *ret_chunks, struct sm_error *reterr)
{
	uint8_t number[8];
	uint32_t chunks = 0;
	enum sm_err err = SM_OK;
	be64_put(number, (uint64_t)batch);
	/* one at a time: they are large */
	for (;; chunks++) {
		uint8_t at[4];
		struct client_answer a;
		be32_put(at, chunks);
		const struct store_cell values[] = {text_cell(job), {number, 8}, {at, 4}};
		if ((err = ask(s, "SELECT data FROM smack_system.store_journal WHERE job = ? AND number = ? AND chunk = ?",
			       CLIENT_CONSISTENCY, values, 3, &a, reterr))) {
			client__answer_done(&a);
			return err;
		}
		struct byte_reader in = byte_reader(a.rows);
		struct store_cell data = client__value(&in);
		bool there = a.row_count == 1 && data.size >= 0;
		if (there && (err = cassandra__journal_read(program, s->client, bytes_of(data.data, (size_t)data.size))))
			sm_fail(reterr, err, "the journal of %s in smack_system.store_journal: %s", job, sm_err_text(err));
		client__answer_done(&a);
		if (err || !there)
			break;
	}
	*ret_chunks = chunks;
	return err;
}

/* ---- epochs ---- */

struct job_row {
	bool there;
	int64_t epoch, committed, applied; /* -1: null */
	int32_t chunks;
};

static int64_t long_of(struct store_cell c)
{
	return c.size == 8 ? (int64_t)be64_get(c.data) : -1;
}

/* As a lightweight transaction sees it: whatever was decided before is there. */
static enum sm_err read_job(struct cassandra_store *s, const char *job, struct job_row *ret, struct sm_error *reterr)
{
	struct client_answer a;
	const struct store_cell value = text_cell(job);
	enum sm_err err = ask(s, "SELECT epoch, committed, applied, chunks FROM smack_system.store_job WHERE job = ?",
			      client__serial(client__target(s->client)->consistency), &value, 1, &a, reterr);
	struct byte_reader in = byte_reader(a.rows);
	*ret = (struct job_row){.there = !err && a.row_count == 1, .epoch = -1};
	if (ret->there) {
		ret->epoch = long_of(client__value(&in));
		ret->committed = long_of(client__value(&in));
		ret->applied = long_of(client__value(&in));
		struct store_cell chunks = client__value(&in);
		ret->chunks = chunks.size == 4 ? (int32_t)be32_get(chunks.data) : 0;
	}
	client__answer_done(&a);
	return err;
}

/* Not all of the journal is there. An old instance that writes the batch at this moment deletes it too, but notes before that the batch is
 * applied: where that is not noted, it is lost. */
static enum sm_err rest_is_gone(struct cassandra_store *s, const char *job, const struct job_row *row, uint32_t found,
				struct sm_error *reterr)
{
	struct job_row now;
	long long id = (long long)row->committed;
	enum sm_err err = read_job(s, job, &now, reterr);
	if (err || now.applied == row->committed)
		return err;
	return sm_fail(
		reterr, SM_CORRUPT,
		"%.80s: the last batch of %s was decided with %d rows of smack_system.store_journal, and %u are there. Put smack_system "
		"back from a backup; or UPDATE smack_system.store_job USING TIMESTAMP %lld SET applied = %lld WHERE job = '%s', then "
		"delete "
		"the job's rows of stream_offset, stream_state, stream_claim: it counts everything anew",
		s->shown, job, row->chunks, found, id, id, job);
}

static enum sm_err finish_batch(struct cassandra_store *s, const char *job, const struct job_row *row, struct sm_error *reterr)
{
	struct cassandra_program program;
	uint32_t found;
	cassandra__program_init(&program);
	enum sm_err err = read_journal(s, job, row->committed, &program, &found, reterr);
	if (!err)
		err = found == (uint32_t)row->chunks ? cassandra__replay(s, &program, reterr) : rest_is_gone(s, job, row, found, reterr);
	cassandra__program_done(&program);
	return err;
}

/* *ret_raised false: another was quicker, or it is not known: look again. */
static enum sm_err raise_epoch(struct cassandra_store *s, const char *job, const struct job_row *row, bool *ret_raised,
			       struct sm_error *reterr)
{
	struct client_answer a;
	uint8_t next[8], now[8];
	be64_put(next, row->epoch < 0 ? 1 : (uint64_t)row->epoch + 1);
	be64_put(now, (uint64_t)row->epoch);
	const struct store_cell first[] = {text_cell(job), {next, 8}};
	const struct store_cell later[] = {{next, 8}, text_cell(job), {now, row->epoch < 0 ? -1 : 8}};
	bool fresh = !row->there;
	const struct client_request request = {.text = fresh ? "INSERT INTO smack_system.store_job (job, epoch) VALUES (?, ?) IF NOT EXISTS"
							     : "UPDATE smack_system.store_job SET epoch = ? WHERE job = ? IF epoch = ?",
					       .prepare = true,
					       .values = fresh ? first : later,
					       .value_count = fresh ? 2 : 3,
					       .consistency = CLIENT_CONSISTENCY};
	enum sm_err err = client__ask_wait(s->client, &request, &a);
	struct byte_reader in = byte_reader(a.rows);
	struct store_cell applied = err ? client__null() : client__value(&in);
	*ret_raised = !err && applied.size == 1 && *applied.data;
	if (err && a.maybe)
		err = SM_OK; /* the next look tells: an epoch that nobody got does no harm */
	else if (err)
		*reterr = a.error;
	client__answer_done(&a);
	return err;
}

/* Finish what the instances before have decided, and forget the rest of theirs. */
static enum sm_err recover_job(struct cassandra_store *s, const char *job, uint64_t epoch, int64_t *ret_committed, struct sm_error *reterr)
{
	struct job_row row;
	enum sm_err err = read_job(s, job, &row, reterr);
	if (err)
		return err;
	if (row.epoch != (int64_t)epoch)
		return sm_fail(reterr, SM_STALE_EPOCH, "job %s was started elsewhere in the same moment", job);
	uint8_t id[8], before[8];
	be64_put(id, (uint64_t)row.committed);
	be64_put(before, (epoch << 32) - 1); /* the write time of everything that older epochs can have in the journal is less */
	if (row.committed > 0 && row.applied != row.committed) {
		if ((err = finish_batch(s, job, &row, reterr)))
			return err;
		const struct store_cell values[] = {{id, 8}, {id, 8}, text_cell(job)};
		if ((err = run(s, CASSANDRA_SET_APPLIED, values, 3, reterr)))
			return err;
	}
	*ret_committed = row.committed;
	const struct store_cell values[] = {{before, 8}, text_cell(job)};
	return run(s, "DELETE FROM smack_system.store_journal USING TIMESTAMP ? WHERE job = ?", values, 2, reterr);
}

static enum sm_err note_epoch(struct cassandra_store *s, const char *name, uint64_t epoch, int64_t committed, struct sm_error *reterr)
{
	enum sm_err err = SM_OK;
	pthread_mutex_lock(&s->lock);
	struct cassandra_job *job = map_get(&s->jobs, bytes_str(name)), *fresh = NULL;
	if (!job && !(job = fresh = calloc(1, sizeof *job)))
		err = SM_NO_MEMORY;
	if (job && fresh)
		err = map_put(&s->jobs, bytes_str(name), job, NULL);
	if (!err)
		*job = (struct cassandra_job){.epoch = epoch, .committed = committed};
	else
		free(fresh);
	pthread_mutex_unlock(&s->lock);
	return err ? sm_fail(reterr, err, "no memory") : SM_OK;
}

enum sm_err cassandra__job_epoch(struct sm_store *store, const char *job, uint64_t *ret_epoch, struct sm_error *reterr)
{
	struct cassandra_store *s = cassandra__of(store);
	struct sm_error none;
	struct job_row row = {0};
	bool raised = false;
	uint64_t end_ns = clock_monotonic_ns(&clock_system) + CASSANDRA_COMMIT_MS * 1000000ull;
	reterr = reterr ? reterr : &none;
	if (!*job || strlen(job) > STORE_JOB_NAME_BYTES_MAX)
		return sm_fail(reterr, SM_INVALID, "the name of a job has 1 to %d bytes", STORE_JOB_NAME_BYTES_MAX);
	while (!raised) {
		enum sm_err err = read_job(s, job, &row, reterr);
		if (!err && row.there && row.epoch >= INT32_MAX)
			err = sm_fail(reterr, SM_OUT_OF_RANGE, "job %s has epoch %lld in smack_system.store_job", job,
				      (long long)row.epoch);
		if (!err)
			err = raise_epoch(s, job, &row, &raised, reterr);
		if (err)
			return err;
		if (!raised && clock_monotonic_ns(&clock_system) > end_ns)
			return sm_fail(reterr, SM_TIMEOUT, "%s: no epoch for job %s within %d s", s->shown, job,
				       CASSANDRA_COMMIT_MS / 1000);
	}
	uint64_t epoch = row.epoch < 0 ? 1 : (uint64_t)row.epoch + 1;
	int64_t committed = -1;
	enum sm_err err = recover_job(s, job, epoch, &committed, reterr);
	if (!err)
		err = note_epoch(s, job, epoch, committed, reterr);
	if (!err)
		*ret_epoch = epoch;
	return err;
}

/* ---- batches of no job ---- */

static enum sm_err recover_batch(struct cassandra_store *s, const struct uuid *id, uint32_t chunks, struct sm_error *reterr)
{
	char name[64];
	uint8_t time[8], batch[8];
	uint32_t found;
	struct cassandra_program program;
	cassandra__batch_name(id, name);
	cassandra__program_init(&program);
	enum sm_err err = read_journal(s, name, 0, &program, &found, reterr);
	/* who writes it at this moment may have deleted the first chunks: then all is written */
	if (!err && found == chunks)
		err = cassandra__replay(s, &program, reterr);
	cassandra__program_done(&program);
	if (err)
		return err;
	be64_put(time, 1);
	be64_put(batch, 0);
	const struct store_cell of_batch = {id->bytes, 16}, of_chunks[] = {{time, 8}, text_cell(name), {batch, 8}};
	if ((err = run(s, CASSANDRA_DELETE_BATCH, &of_batch, 1, reterr)))
		return err;
	return run(s, CASSANDRA_DELETE_CHUNKS, of_chunks, 3, reterr);
}

enum sm_err cassandra__recover_batches(struct cassandra_store *s, struct sm_error *reterr)
{
	struct client_answer a;
	enum sm_err err = ask(s, "SELECT id, chunks FROM smack_system.store_batch WHERE bucket = 0", CLIENT_CONSISTENCY, NULL, 0, &a,
			      reterr);
	struct byte_reader in = byte_reader(a.rows);
	for (uint32_t i = 0; i < a.row_count && !err; i++) {
		struct store_cell id = client__value(&in), chunks = client__value(&in);
		struct uuid uuid;
		if (id.size != 16 || chunks.size != 4)
			continue;
		memcpy(uuid.bytes, id.data, 16);
		err = recover_batch(s, &uuid, be32_get(chunks.data), reterr);
		if (err == SM_INVALID) { /* it stays there; nothing else waits for it */
			cassandra__notice(s, "%s: a batch of smack_system.store_batch cannot be written: %s", s->shown, reterr->text);
			err = SM_OK;
		}
	}
	client__answer_done(&a);
	return err;
}
