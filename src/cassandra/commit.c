/* Batches.
 *
 * Cassandra makes one statement atomic, and a batch of one partition; a logged batch too, as long as it is small. For what is larger, and
 * for the batches of jobs, which are fenced, there is a journal in two tables of our own:
 *
 *   1. journal   the statements of the batch, as bytes, in rows of smack_system.store_journal. Nobody reads them, as nothing points there.
 *   2. decide    of a job: UPDATE store_job SET committed = ID, chunks = N WHERE job = ? IF epoch = E AND committed = the batch before, a
 *                lightweight transaction. It fails when a newer instance has raised the epoch. From here on the batch counts. ID (epoch,
 *                number of the try) is used once, so that the statement can be sent again when its answer was lost: a copy that
 *                finds ID there was preceded by another, and one that arrives late, behind further batches, changes nothing.
 *                of others: a row in store_batch.
 *   3. write     the statements, each with the write time that the batch gives it: twice is as good as once.
 *   4. applied   store_job.applied = ID; then the journal's rows are deleted.
 *
 * Who is lost before 2 has changed nothing. Who is lost behind it is finished by the next one that comes: a job's new instance, when it
 * takes its epoch (job.c), before it reads anything; a server that opens the store, of other batches. The same statements with
 * the same write times make the same rows, whatever part of them was there, and whatever newer writes came in between win.
 *
 * An instance that is too old but does not know it yet can only repeat writes of a batch that was decided, with their own write times.
 * The journal's own write times are IDs, not times of any clock: what a new epoch deletes cannot cover what it writes itself.
 *
 * All stages run on the client's thread. */
#include "cassandra/cassandra_internal.h"
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRY_BYTES_MAX (8u << 20) /* a row; Cassandra takes half a segment of its commit log, 16 MiB */
#define CHUNKS_UNDER_WAY 8

enum stage { STAGE_JOURNAL, STAGE_DECIDE, STAGE_WRITE, STAGE_APPLIED, STAGE_CLEAN };
struct commit {
	struct cassandra_store *store;
	void (*done)(void *arg, enum sm_err err);
	void *arg;
	struct cassandra_program program;
	struct cassandra_job *job; /* NULL: none */
	char name[STORE_JOB_NAME_BYTES_MAX + 1];
	uint64_t epoch;
	int64_t id;        /* of the try, and its write time in the journal */
	int64_t previous;  /* the job's batch before; -1: none */
	struct uuid batch; /* without a job */
	int64_t now_s;
	enum stage stage;
	uint32_t next, under_way, chunks;
	bool pumping, left_out, cleaning; /* left_out: a statement had no sense any more */
	enum sm_err err;
	bool maybe;
	char why[300];
	sem_t *replayed; /* not NULL: the stage of writing alone, of a program that another has; who waits has this too */
};

void cassandra__batch_name(const struct uuid *id, char out[64])
{
	char text[37];
	uuid_format(id, text);
	snprintf(out, 64, "batch %s", text);
}

/* ---- the end ---- */

static void answer(struct commit *c, enum sm_err err)
{
	if (err && err != SM_TIMEOUT && err != SM_UNAVAILABLE && err != SM_STALE_EPOCH && err != SM_CLOSED && *c->why)
		cassandra__notice(c->store, "%s refused a write: %s", c->store->shown, c->why);
	if (c->done)
		c->done(c->arg, err);
	c->done = NULL;
}

static void end(struct commit *c, enum sm_err err)
{
	struct cassandra_store *s = c->store;
	pthread_mutex_lock(&s->lock);
	if (c->job && c->job->epoch == c->epoch) { /* else a newer instance has it */
		c->job->busy = false;
		c->job->broken |= c->err && (c->maybe || c->stage >= STAGE_WRITE);
	} else if (!c->job && c->err && c->stage >= STAGE_DECIDE && *c->name) {
		s->batches_left = true;
	}
	pthread_mutex_unlock(&s->lock);
	answer(c, err);
	pthread_mutex_lock(&s->lock);
	s->under_way--;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	cassandra__program_done(&c->program);
	free(c);
}

static void failed(struct commit *c, const struct client_answer *a)
{
	c->maybe |= a->maybe;
	if (c->err)
		return;
	c->err = a->error.code;
	snprintf(c->why, sizeof c->why, "%.299s", a->error.text);
}

static struct store_cell text_cell(const char *text)
{
	return (struct store_cell){(const uint8_t *)text, (int32_t)strlen(text)};
}

/* ---- stages ---- */

static void step(struct commit *c);

static void journaled(void *arg, struct client_answer *a)
{
	struct commit *c = arg;
	c->under_way--;
	if (a->error.code)
		failed(c, a);
	step(c);
}

static void journal(struct commit *c)
{
	struct buf chunk;
	uint8_t batch[8], number[4];
	buf_init(&chunk);
	while (!c->err && c->under_way < CHUNKS_UNDER_WAY && c->next < c->program.count) {
		buf_clear(&chunk);
		(void)cassandra__journal_chunk(&c->program, c->store->client, &c->next, CASSANDRA_JOURNAL_CHUNK, &chunk);
		if (chunk.failed) {
			c->err = SM_NO_MEMORY;
			break;
		}
		be64_put(batch, c->job ? (uint64_t)c->id : 0);
		be32_put(number, c->chunks++);
		uint8_t time[8];
		be64_put(time, (uint64_t)c->id);
		const struct store_cell values[] = {
			text_cell(c->name), {batch, 8}, {number, 4}, {buf_bytes(&chunk).data, (int32_t)buf_size(&chunk)}, {time, 8}};
		c->under_way++;
		client__ask(c->store->client,
			    &(struct client_request){.text = CASSANDRA_INSERT_CHUNK,
						     .prepare = true,
						     .values = values,
						     .value_count = 5,
						     .consistency = CLIENT_CONSISTENCY,
						     .idempotent = true},
			    journaled, c);
	}
	buf_done(&chunk);
}

/* What the answer to the conditional statement says: it was applied, by this copy of it or, where committed is ours, by one before. */
static enum sm_err decision(const struct commit *c, const struct client_answer *a)
{
	struct client_column *columns;
	struct byte_reader in = byte_reader(a->rows);
	struct arena arena;
	bool ours = false;
	arena_init(&arena, 0);
	enum sm_err err = client__columns(a, &arena, &columns);
	for (uint32_t i = 0; i < a->column_count && a->row_count == 1 && !err; i++) {
		struct store_cell v = client__value(&in);
		if (strcmp(columns[i].name, "[applied]") == 0)
			ours |= v.size == 1 && *v.data;
		else if (strcmp(columns[i].name, "committed") == 0)
			ours |= v.size == 8 && (int64_t)be64_get(v.data) == c->id;
	}
	arena_done(&arena);
	return err ? err : ours ? SM_OK : SM_STALE_EPOCH;
}

static void note_decision(struct commit *c)
{
	pthread_mutex_lock(&c->store->lock);
	if (c->job->epoch == c->epoch)
		c->job->committed = c->id;
	pthread_mutex_unlock(&c->store->lock);
}

static void decided(void *arg, struct client_answer *a)
{
	struct commit *c = arg;
	c->under_way--;
	if (a->error.code) {
		failed(c, a);
		c->maybe |= a->code != 0; /* of a lightweight transaction even UNAVAILABLE may come when it was accepted */
	} else if (c->job && (c->err = decision(c, a)) == SM_OK) {
		note_decision(c);
	}
	c->maybe |= c->err && c->err != SM_STALE_EPOCH && !a->error.code; /* the answer made no sense */
	c->next = 0;
	if (!c->err)
		c->stage = STAGE_WRITE;
	step(c);
}

static void decide(struct commit *c)
{
	uint8_t id[8], chunks[4], epoch[8], previous[8];
	be64_put(id, (uint64_t)c->id);
	be64_put(previous, (uint64_t)c->previous);
	be32_put(chunks, c->chunks);
	be64_put(epoch, c->epoch);
	const struct store_cell of_job[] = {{id, 8}, {chunks, 4}, text_cell(c->name), {epoch, 8}, {previous, c->previous < 0 ? -1 : 8}};
	const struct store_cell of_batch[] = {{c->batch.bytes, 16}, {chunks, 4}};
	const char *text =
		c->job ? "UPDATE smack_system.store_job SET committed = ?, chunks = ? WHERE job = ? IF epoch = ? AND committed = ?"
		       : "INSERT INTO smack_system.store_batch (bucket, id, chunks) VALUES (0, ?, ?)";
	c->under_way++;
	client__ask(c->store->client,
		    &(struct client_request){.text = text,
					     .prepare = true,
					     .values = c->job ? of_job : of_batch,
					     .value_count = c->job ? 5 : 2,
					     .consistency = CLIENT_CONSISTENCY,
					     .idempotent = true,
					     .metadata = true,
					     .timeout_ms = CASSANDRA_COMMIT_MS},
		    decided, c);
}

/* What the statement is about was dropped meanwhile. Whatever else is refused must not be passed over. */
static bool was_dropped(const struct client_answer *a)
{
	static const char *const texts[] = {"does not exist", "unconfigured table", "Undefined column name", "Unknown identifier"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts && a->code == CQL_INVALID; i++)
		if (strstr(a->error.text, texts[i]))
			return true;
	return false;
}

static void written(void *arg, struct client_answer *a)
{
	struct commit *c = arg;
	c->under_way--;
	if (was_dropped(a)) {
		c->left_out = true;
		snprintf(c->why, sizeof c->why, "%.299s", a->error.text);
		if (c->replayed)
			cassandra__notice(c->store, "%s: a write of a batch that was cut short is left out: %s", c->store->shown, c->why);
	} else if (a->error.code) {
		failed(c, a);
	}
	step(c);
}

static void write_entries(struct commit *c)
{
	while (!c->err && c->under_way < CASSANDRA_WINDOW && c->next < c->program.count) {
		const struct cassandra_entry *e = &c->program.entries[c->next++];
		c->under_way++;
		client__execute(c->store->client, bytes_of(c->program.bytes.data + c->program.bytes.start + e->at + 4, e->size - 4),
				&(struct client_request){.statement = e->statement,
							 .consistency = CLIENT_CONSISTENCY,
							 .idempotent = true,
							 .routed = true,
							 .token = e->token},
				written, c);
	}
}

/* The journal's rows go; if that fails, the next epoch deletes them. */
static void clean(struct commit *c)
{
	uint8_t time[8], batch[8];
	be64_put(time, (uint64_t)c->id);
	be64_put(batch, c->job ? (uint64_t)c->id : 0);
	const struct store_cell values[] = {{time, 8}, text_cell(c->name), {batch, 8}};
	c->under_way++;
	client__ask(c->store->client,
		    &(struct client_request){.text = CASSANDRA_DELETE_CHUNKS,
					     .prepare = true,
					     .values = values,
					     .value_count = 3,
					     .consistency = CLIENT_CONSISTENCY,
					     .idempotent = true},
		    journaled, c);
}

static void applied(void *arg, struct client_answer *a)
{
	struct commit *c = arg;
	c->under_way--;
	c->stage = STAGE_CLEAN;
	if (a->error.code) /* the next epoch writes it all once more */
		failed(c, a);
	step(c);
}

static void set_applied(struct commit *c)
{
	uint8_t id[8];
	be64_put(id, (uint64_t)c->id);
	const struct store_cell of_job[] = {{id, 8}, {id, 8}, text_cell(c->name)};
	const struct store_cell of_batch[] = {{c->batch.bytes, 16}};
	c->under_way++;
	client__ask(c->store->client,
		    &(struct client_request){.text = c->job ? CASSANDRA_SET_APPLIED : CASSANDRA_DELETE_BATCH,
					     .prepare = true,
					     .values = c->job ? of_job : of_batch,
					     .value_count = c->job ? 3 : 1,
					     .consistency = CLIENT_CONSISTENCY,
					     .idempotent = true},
		    applied, c);
}

/* What there is to do now. */
static void advance(struct commit *c)
{
	if (c->stage == STAGE_JOURNAL) {
		journal(c);
		if (!c->err && !c->under_way && c->next == c->program.count) {
			c->stage = STAGE_DECIDE;
			decide(c);
		}
	} else if (c->stage == STAGE_WRITE) {
		write_entries(c);
		if (!c->err && !c->under_way && c->next == c->program.count && !c->replayed) {
			c->stage = STAGE_APPLIED;
			set_applied(c);
		}
	} else if (c->stage == STAGE_CLEAN && !c->err && !c->cleaning) {
		c->cleaning = true;
		clean(c);
	}
}

static void step(struct commit *c)
{
	if (c->pumping)
		return; /* an answer that came before its question had returned: advance looks again */
	uint32_t under_way;
	enum stage stage;
	c->pumping = true;
	do {
		under_way = c->under_way;
		stage = c->stage;
		advance(c);
	} while (under_way != c->under_way || stage != c->stage);
	c->pumping = false;
	if (c->under_way)
		return;
	if (c->replayed) {
		sem_post(c->replayed);
		return;
	}
	if (c->stage == STAGE_CLEAN && c->err) { /* all is written: that the marks are not is the next epoch's business */
		c->err = SM_OK;
		c->maybe = false;
	}
	end(c, c->err ? c->err : c->left_out ? SM_NOT_FOUND : SM_OK);
}

static void begin(void *arg, struct client_answer *a)
{
	struct commit *c = arg;
	if (a->error.code)
		failed(c, a);
	step(c);
}

/* ---- batches without a journal ---- */

static void small_done(void *arg, struct client_answer *a)
{
	struct commit *c = arg;
	if (a->error.code == SM_INVALID && strstr(a->error.text, "atch too large") && c->program.repeatable && !c->store->guest) {
		c->stage = STAGE_JOURNAL;
		step(c);
		return;
	}
	if (a->error.code)
		failed(c, a);
	c->name[0] = 0;
	end(c, c->err);
}

/* true: it is on its way, or was refused. */
static bool try_small(struct commit *c)
{
	struct cassandra_program *p = &c->program;
	size_t size = buf_size(&p->bytes);
	struct client *client = c->store->client;
	const struct client_request request = {.statement = p->entries[0].statement,
					       .consistency = CLIENT_CONSISTENCY,
					       .idempotent = p->repeatable,
					       .now_s = c->now_s,
					       .routed = true,
					       .token = p->entries[0].token};
	bool fits = p->count <= UINT16_MAX && size <= (p->one_partition ? CASSANDRA_PARTITION_BYTES_MAX : CASSANDRA_LOGGED_BYTES_MAX);
	if (p->count == 1)
		client__execute(client, bytes_of(p->bytes.data + p->bytes.start + 4, size - 4), &request, small_done, c);
	else if (fits)
		client__batch(client,
			      p->counters        ? CLIENT_COUNTER
			      : p->one_partition ? CLIENT_UNLOGGED
						 : CLIENT_LOGGED,
			      buf_bytes(&p->bytes), p->count, &request, small_done, c);
	else if (!p->repeatable || c->store->guest)
		end(c, SM_TOO_LARGE);
	else
		return false;
	return true;
}

/* ---- jobs ---- */

static void epoch_read(void *arg, struct client_answer *a)
{
	struct commit *c = arg;
	struct byte_reader in = byte_reader(a->rows);
	struct store_cell epoch = a->error.code ? client__null() : client__value(&in);
	if (a->error.code)
		failed(c, a);
	else if (a->row_count != 1 || epoch.size != 8 || be64_get(epoch.data) != c->epoch)
		c->err = SM_STALE_EPOCH;
	c->maybe = false;
	end(c, c->err);
}

/* Nothing to write: is it still the newest instance? */
static void look_at_epoch(struct commit *c)
{
	const struct store_cell value = text_cell(c->name);
	client__ask(c->store->client,
		    &(struct client_request){.text = "SELECT epoch FROM smack_system.store_job WHERE job = ?",
					     .prepare = true,
					     .values = &value,
					     .value_count = 1,
					     .consistency = client__serial(client__target(c->store->client)->consistency),
					     .idempotent = true},
		    epoch_read, c);
}

/* Errors: SM_STALE_EPOCH, SM_UNAVAILABLE (only a new epoch helps), SM_FULL (its last batch is under way). */
static enum sm_err take_job(struct commit *c, const struct store_batch *batch)
{
	struct cassandra_store *s = c->store;
	enum sm_err err = SM_OK;
	if (strlen(batch->job) > STORE_JOB_NAME_BYTES_MAX)
		return SM_INVALID;
	memcpy(c->name, batch->job, strlen(batch->job) + 1);
	c->epoch = batch->epoch;
	pthread_mutex_lock(&s->lock);
	struct cassandra_job *job = map_get(&s->jobs, bytes_str(batch->job));
	if (!job || job->epoch != batch->epoch)
		err = SM_STALE_EPOCH;
	else if (job->broken)
		err = SM_UNAVAILABLE;
	else if (job->busy)
		err = SM_FULL;
	if (!err) {
		job->busy = true;
		c->job = job;
		c->previous = job->committed;
		c->id = (int64_t)(job->epoch << 32 | ++job->batches);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

static enum sm_err check_sizes(const struct cassandra_program *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		if (p->entries[i].size > ENTRY_BYTES_MAX)
			return SM_TOO_LARGE;
	return SM_OK;
}

static enum sm_err prepare(struct commit *c, const struct store_batch *batch)
{
	enum sm_err err = cassandra__program_add(&c->program, c->store->client, batch);
	if (!err)
		err = check_sizes(&c->program);
	if (!err && batch->job && !c->program.repeatable) /* it may have to be written twice */
		err = SM_UNSUPPORTED;
	if (!err && batch->job)
		err = take_job(c, batch);
	if (!err && !batch->job) {
		uuid_random(&c->batch);
		cassandra__batch_name(&c->batch, c->name);
		c->id = 1;
	}
	return err;
}

void cassandra__apply(struct sm_store *store, const struct store_batch *batch, void (*done)(void *arg, enum sm_err err), void *arg)
{
	struct cassandra_store *s = cassandra__of(store);
	struct commit *c = calloc(1, sizeof *c);
	enum sm_err err = c ? SM_OK : SM_NO_MEMORY;
	if (c) {
		*c = (struct commit){.store = s, .done = done, .arg = arg, .now_s = batch->now_s};
		cassandra__program_init(&c->program);
		err = prepare(c, batch);
	}
	if (err || (!c->program.count && !batch->job)) {
		if (c)
			cassandra__program_done(&c->program);
		free(c);
		done(arg, err);
		return;
	}
	pthread_mutex_lock(&s->lock);
	s->under_way++;
	pthread_mutex_unlock(&s->lock);
	if (!c->program.count)
		look_at_epoch(c);
	else if (batch->job || !try_small(c))
		client__later(s->client, begin, c);
}

/* ---- once more ---- */

enum sm_err cassandra__replay(struct cassandra_store *s, struct cassandra_program *program, struct sm_error *reterr)
{
	sem_t replayed;
	struct commit *c = calloc(1, sizeof *c);
	if (!c)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	sem_init(&replayed, 0, 0);
	*c = (struct commit){.store = s, .program = *program, .stage = STAGE_WRITE, .replayed = &replayed};
	client__later(s->client, begin, c);
	while (sem_wait(&replayed))
		; /* a signal came between */
	sem_destroy(&replayed);
	enum sm_err err = c->err;
	if (err)
		sm_fail(reterr, err, "%s", *c->why ? c->why : sm_err_text(err));
	free(c);
	return err;
}
