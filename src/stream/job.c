/* A job without its actor: opened, one micro-batch after the other, closed. */
#include "stream/stream_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- opening ---- */

static enum sm_err add_source(struct stream_job *job, const char *topic, uint32_t *ret_index, struct sm_error *reterr)
{
	for (uint32_t i = 0; i < job->source_count; i++) {
		if (strcmp(job->sources[i].topic, topic) == 0) {
			*ret_index = i;
			return SM_OK;
		}
	}
	if (job->source_count >= STREAM_SOURCES_MAX - 1)
		return sm_fail(reterr, SM_TOO_LARGE, "a job reads at most %d topics", STREAM_SOURCES_MAX - 1);
	struct source *s = &job->sources[job->source_count];
	*s = (struct source){.topic = strdup(topic), .dedup_column = -1};
	if (!s->topic)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	*ret_index = job->source_count++;
	s->schema = job->env->topic_schema ? job->env->topic_schema(job->env->arg, topic) : NULL;
	if (!(s->type = topic_row_type(s->schema)))
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (job->dedup && (s->dedup_column = row_type_find(s->type, job->dedup)) < 0)
		return sm_fail(reterr, SM_INVALID, "job %s: the dedup key %s is no field of topic %s's schema", job->name, job->dedup,
			       topic);
	return source__partitions(job, s, reterr);
}

static enum sm_err add_dead_letter(struct stream_job *job, struct sm_error *reterr)
{
	char name[300];
	snprintf(name, sizeof name, "%.249s.dead", job->sources[0].topic);
	const char *topic = job->dead_letter ? job->dead_letter : name;
	for (uint32_t i = 0; i < job->source_count; i++)
		if (strcmp(job->sources[i].topic, topic) == 0)
			return sm_fail(reterr, SM_INVALID, "job %s: %s is read by the job, it can't take the dead letters", job->name,
				       topic);
	struct log_topic_spec spec = {.name = topic, .partitions = 1};
	enum sm_err err = log_topic_create_wait(job->env->log, &spec, reterr);
	if (err && err != SM_EXISTS)
		return err;
	struct source *s = &job->sources[job->source_count++];
	*s = (struct source){.topic = strdup(topic), .dedup_column = -1, .dead_letter = true};
	return s->topic ? source__partitions(job, s, reterr) : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
}

static enum sm_err name_statement(struct stream_job *job, struct statement *st, struct sm_error *reterr)
{
	char id[600];
	unsigned same = 1;
	for (struct statement *o = job->statements; o < st; o++)
		same += strcmp(sql_insert_target(o->sql), sql_insert_target(st->sql)) == 0;
	snprintf(id, sizeof id, same > 1 ? "%.500s#%u" : "%.500s", sql_insert_target(st->sql), same);
	st->id = strdup(id);
	return st->id ? SM_OK : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
}

static enum sm_err compile(struct stream_job *job, const char *sql, struct sm_error *reterr)
{
	enum sm_err err;
	if ((err = sql_parse(bytes_str(sql), &job->script, reterr)))
		return err;
	uint32_t count = sql_script_count(job->script);
	if (count == 0)
		return sm_fail(reterr, SM_INVALID, "job %s: there is no statement in its SQL", job->name);
	if (!(job->statements = calloc(count, sizeof *job->statements)))
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < count; i++) {
		struct statement *st = &job->statements[i];
		const struct sql_statement *statement = sql_script_at(job->script, i);
		const char *topic = sql_source(statement);
		struct row_type *none = NULL;
		if (!topic || !sql_is_insert(statement)) { /* the compiler says what is wrong */
			if (!(none = topic_row_type(NULL)))
				return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
			err = sql_incremental_new(job->env, statement, none, &st->plan, reterr);
			row_type_unref(none);
			sql_incremental_free(st->plan);
			st->plan = NULL;
			return err ? err : sm_fail(reterr, SM_UNSUPPORTED, "job %s: statement %u reads no topic", job->name, i + 1);
		}
		st->sql = statement;
		job->statement_count = i + 1;
		if ((err = name_statement(job, st, reterr)) || (err = add_source(job, topic, &st->source, reterr)) ||
		    (err = sql_incremental_new(job->env, statement, job->sources[st->source].type, &st->plan, reterr)))
			return err;
	}
	return SM_OK;
}

static enum sm_err make_writer(struct stream_job *job, struct statement *st, struct sm_error *reterr)
{
	char keyspace[256];
	const char *table, *const *columns;
	enum sm_err err;
	table_writer_free(st->writer);
	st->writer = NULL;
	if ((err = table_name_split(sql_insert_target(st->sql), job->env->default_keyspace, keyspace, &table, reterr)))
		return err;
	const struct store_table *t = store_find_table(job->schema, keyspace, table);
	if (!t)
		return sm_fail(reterr, SM_NOT_FOUND, "there is no table %s.%s", keyspace, table);
	uint32_t count = sql_insert_columns(st->sql, &columns);
	return table_writer_new(t, sql_incremental_output(st->plan), count ? columns : NULL, &st->writer, reterr);
}

enum sm_err stream__refresh(struct stream_job *job, struct sm_error *reterr)
{
	struct sm_store *store = job->env->store;
	const struct store_schema *now = store->ops->schema(store);
	enum sm_err err;
	if (!now)
		return sm_fail(reterr, SM_UNAVAILABLE, "the store's schema can't be read");
	if (job->schema && memcmp(&job->schema->version, &now->version, sizeof now->version) == 0) {
		store->ops->schema_release(store, now);
		return SM_OK;
	}
	if (job->schema)
		store->ops->schema_release(store, job->schema);
	job->schema = now;
	if ((err = tables__find(now, &job->tables, reterr)))
		return err;
	for (uint32_t i = 0; i < job->statement_count; i++)
		if ((err = make_writer(job, &job->statements[i], reterr)))
			return err;
	return SM_OK;
}

static char *copy_text(const char *text)
{
	return text && *text ? strdup(text) : NULL;
}

static enum sm_err open_job(struct stream_job *job, const struct stream_options *o, struct sm_error *reterr)
{
	enum sm_err err;
	uint32_t unused;
	if ((err = o->sql && !job->hook.run ? compile(job, o->sql, reterr) : add_source(job, job->hook.topic, &unused, reterr)) ||
	    (err = add_dead_letter(job, reterr)) || (err = tables__create(job->env->store, reterr)) || (err = stream__refresh(job, reterr)))
		return err;
	/* The epoch first: from here on no other instance changes what is read next. */
	if ((err = job->env->store->ops->job_epoch(job->env->store, job->name, &job->epoch, reterr)) || (err = offsets__load(job, reterr)))
		return err;
	return dead__recover(job, reterr);
}

enum sm_err stream__open(const struct stream_options *o, const struct stream_hook *hook, struct stream_job **ret_job,
			 struct sm_error *reterr)
{
	if (!o->name || !*o->name || strlen(o->name) > STREAM_NAME_MAX)
		return sm_fail(reterr, SM_INVALID, "a job needs a name of at most %d bytes", STREAM_NAME_MAX);
	if (!o->env || !o->env->log || !o->env->store)
		return sm_fail(reterr, SM_UNAVAILABLE, "job %s needs a log and a store", o->name);
	if (!o->sql && !hook)
		return sm_fail(reterr, SM_INVALID, "job %s has no SQL", o->name);
#ifndef SMACK_PLANT_FAULTS
	if (o->plant_count_twice)
		return sm_fail(reterr, SM_UNSUPPORTED, "planted faults need a build with -Dplant_faults=true");
#endif
	struct stream_job *job = calloc(1, sizeof *job);
	if (!job)
		return sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	job->env = o->env;
	job->name = strdup(o->name);
	job->dedup = copy_text(o->dedup);
	job->dead_letter = copy_text(o->dead_letter);
	job->records_limit = job->records_max = o->batch_records_max ? o->batch_records_max : STREAM_BATCH_RECORDS;
	job->bytes_limit = o->batch_bytes_max ? o->batch_bytes_max : STREAM_BATCH_BYTES;
	job->plant_count_twice = o->plant_count_twice;
	map_init(&job->dead_written);
	if (hook)
		job->hook = *hook;
	enum sm_err err = job->name ? open_job(job, o, reterr) : sm_fail(reterr, SM_NO_MEMORY, "out of memory");
	if (err) {
		stream_job_close(job);
		return err;
	}
	*ret_job = job;
	return SM_OK;
}

enum sm_err stream_job_open(const struct stream_options *options, struct stream_job **ret_job, struct sm_error *reterr)
{
	return stream__open(options, NULL, ret_job, reterr);
}

void stream_job_close(struct stream_job *job)
{
	if (!job)
		return;
	for (uint32_t i = 0; i < job->statement_count; i++) {
		sql_incremental_free(job->statements[i].plan);
		table_writer_free(job->statements[i].writer);
		free(job->statements[i].id);
	}
	for (uint32_t i = 0; i < job->source_count; i++) {
		free(job->sources[i].topic);
		row_type_unref(job->sources[i].type);
		free(job->sources[i].next);
		free(job->sources[i].end);
		free(job->sources[i].told);
	}
	if (job->schema)
		job->env->store->ops->schema_release(job->env->store, job->schema);
	map_done(&job->dead_written);
	sql_script_free(job->script);
	free(job->statements);
	free(job->buffer);
	free(job->name);
	free(job->dedup);
	free(job->dead_letter);
	free(job);
}

uint64_t stream_job_epoch(const struct stream_job *job)
{
	return job->epoch;
}

/* ---- one micro-batch ---- */

static bool anything_read(const struct stream_job *job)
{
	for (uint32_t i = 0; i < job->source_count; i++)
		for (int32_t p = 0; p < job->sources[i].partitions; p++)
			if (!job->sources[i].dead_letter && job->sources[i].end[p] != job->sources[i].next[p])
				return true;
	return false;
}

/* A store that is behind is asked again, less often each time. */
static enum sm_err apply(struct stream_job *job, const struct store_mutation *mutations, uint32_t count, struct sm_error *reterr)
{
	struct store_batch batch = {.mutations = mutations, .count = count, .job = job->name, .epoch = job->epoch};
	int64_t waited_ms = 0;
	enum sm_err err;
	for (int64_t pause_ms = 2; (err = store_apply_wait(job->env->store, &batch)) == SM_FULL && waited_ms < STREAM_APPLY_WAIT_MS;) {
		nanosleep(&(struct timespec){0, pause_ms * 1000000}, NULL);
		waited_ms += pause_ms;
		pause_ms = pause_ms < 200 ? pause_ms * 2 : pause_ms;
	}
	if (err == SM_STALE_EPOCH)
		return sm_fail(reterr, err, "job %s was started a second time: this instance (epoch %llu) ends", job->name,
			       (unsigned long long)job->epoch);
	return err ? sm_fail(reterr, err, "writing a micro-batch of %u rows: %s", count, sm_err_text(err)) : SM_OK;
}

/* Read and compute, with at most `records` records. */
static enum sm_err make(struct build *b, uint32_t records, struct sm_error *reterr)
{
	enum sm_err err;
	build__reset(b);
	if ((err = source__read(b, records, reterr)) || (err = claims__dedup(b, reterr)))
		return err;
	return b->job->hook.run ? b->job->hook.run(b->job->hook.arg, b, reterr) : statements__run(b, reterr);
}

/* Make it smaller until it fits; leave out what no statement can compute with. */
static enum sm_err make_fitting(struct build *b, struct sm_error *reterr)
{
	struct stream_job *job = b->job;
	uint32_t records = job->records_max, found;
	for (;;) {
		struct sm_error error = {0};
		enum sm_err err = make(b, records, &error);
		bool large = b->too_large || (!err && b->arena.used > STREAM_WRITE_BYTES_MAX);
		if (!err && !large)
			return SM_OK;
		if (err && b->poisoned)
			continue;
		bool value = err && !large && !job->hook.run && statements__is_about_values(err);
		if (value) {
			enum sm_err search = statements__find_poison(b, &found, reterr);
			if (search)
				return search;
			if (found)
				continue;
		}
		/* A record that only does not go with what was counted before it (a sum that overflows) is found by taking fewer at a time.
		 */
		if ((large || value) && b->record_count > 1) {
			uint32_t had = b->record_count < records ? (uint32_t)b->record_count : records;
			records = job->records_max = had / 2 ? had / 2 : 1;
			continue;
		}
		if (value && (err = statements__poison_all(b, &error, &found, reterr)))
			return err;
		if (value && found)
			continue;
		if (value)
			err = error.code;
		if (!err)
			err = sm_fail(&error, SM_TOO_LARGE, "the rows of one record are larger than a write of %u bytes",
				      STREAM_WRITE_BYTES_MAX);
		if (reterr)
			*reterr = error;
		return err;
	}
}

static enum sm_err commit(struct build *b, struct sm_error *reterr)
{
	struct stream_job *job = b->job;
	uint32_t rows = b->mutation_count;
	enum sm_err err;
	/* The log knows no epochs: see that we are not an old instance before dead letters go there. */
	if (b->dead_count && (err = apply(job, NULL, 0, reterr)))
		return err;
	if ((err = dead__append(b, reterr)) || (err = offsets__put(b, reterr)))
		return err;
#ifdef SMACK_PLANT_FAULTS
	if (job->plant_count_twice) {
		if (rows && (err = apply(job, b->mutations, rows, reterr)))
			return err;
		nanosleep(&(struct timespec){0, 50000000}, NULL); /* a kill is to find this place */
		return b->mutation_count > rows ? apply(job, b->mutations + rows, b->mutation_count - rows, reterr) : SM_OK;
	}
#endif
	(void)rows;
	return apply(job, b->mutations, b->mutation_count, reterr);
}

static void advance(struct build *b)
{
	struct stream_job *job = b->job;
	for (uint32_t i = 0; i < job->source_count; i++)
		memcpy(job->sources[i].next, job->sources[i].end, (size_t)job->sources[i].partitions * sizeof *job->sources[i].next);
	job->last_us = b->timestamp_us;
	if (job->records_max < job->records_limit)
		job->records_max = job->records_max > job->records_limit / 2 ? job->records_limit : job->records_max * 2;
}

enum sm_err stream_job_batch(struct stream_job *job, struct stream_batch_result *ret_result, struct sm_error *reterr)
{
	struct build b;
	enum sm_err err;
	if ((err = stream__refresh(job, reterr)))
		return err;
	for (uint32_t i = 0; i < job->source_count; i++)
		if ((err = source__partitions(job, &job->sources[i], reterr)))
			return err;
	build__init(&b, job);
	/* Later than any write of this job, whatever the clock says: the newest absolute values win. */
	b.timestamp_us = (int64_t)clock_wall_us(&clock_system);
	if (b.timestamp_us <= job->last_us)
		b.timestamp_us = job->last_us + 1;
	err = make_fitting(&b, reterr);
	if (!err && anything_read(job) && !(err = commit(&b, reterr)))
		advance(&b);
	if (!err)
		*ret_result = (struct stream_batch_result){.records = b.record_count,
							   .duplicates = b.duplicates,
							   .dead_letters = b.dead_count,
							   .rows = b.output_rows,
							   .lag = b.lag,
							   .more = b.more};
	build__done(&b);
	return err;
}
