/* <smack/stream.h>: the same micro-batches for a program's own function instead of SQL. */
#include "stream/stream_internal.h"
#include <smack/stream.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct program {
	sm_stream_fn each;
	void *arg;
};

struct sm_micro_batch {
	struct build *build;
	const struct batch *rows; /* value, _key, _partition, _offset, _timestamp */
	struct sm_record record;
	struct map seen;     /* dedup keys */
	struct map rejected; /* indexes */
	enum sm_err err;     /* the first mistake */
	struct sm_error *error;
};

uint32_t sm_micro_batch_size(const struct sm_micro_batch *m)
{
	return m->rows->rows;
}

static struct sm_bytes bytes_at(const struct sm_micro_batch *m, uint32_t column, uint32_t row)
{
	struct value v = batch_get(m->rows, column, row);
	return v.null ? (struct sm_bytes){NULL, 0} : (struct sm_bytes){v.bytes.data ? v.bytes.data : (const uint8_t *)"", v.bytes.size};
}

const struct sm_record *sm_micro_batch_record(struct sm_micro_batch *m, uint32_t i)
{
	m->record = (struct sm_record){.partition = (int32_t)batch_get(m->rows, 2, i).integer,
				       .offset = batch_get(m->rows, 3, i).integer,
				       .timestamp_ms = batch_get(m->rows, 4, i).integer,
				       .key = bytes_at(m, 1, i),
				       .value = bytes_at(m, 0, i)};
	return &m->record;
}

enum sm_err sm_micro_batch_fail(struct sm_micro_batch *m, enum sm_err code, const char *fmt, ...)
{
	char text[400];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (!m->err)
		m->err = sm_fail(m->error, code, "%s", text);
	return code;
}

enum sm_err sm_micro_batch_put(struct sm_micro_batch *m, const char *name, const struct sm_column_value *columns, uint32_t count)
{
	struct build *b = m->build;
	struct store_mutation *mutation;
	struct sm_error error = {0};
	char keyspace[256];
	const char *table;
	enum sm_err err = table_name_split(name, b->job->env->default_keyspace, keyspace, &table, &error);
	const struct store_table *t = err ? NULL : store_find_table(b->job->schema, keyspace, table);
	if (!err && !t)
		err = sm_fail(&error, SM_NOT_FOUND, "there is no table %s", name);
	if (!err && !(err = build__mutation(b, &mutation, &error)) &&
	    (err = table_put_columns(t, columns, count, b->timestamp_us, &b->arena, mutation, &error)))
		b->mutation_count--;
	if (err)
		return sm_micro_batch_fail(m, err, "%s", error.text);
	b->output_rows++;
	return SM_OK;
}

bool sm_micro_batch_claim(struct sm_micro_batch *m, uint32_t i, struct sm_bytes key)
{
	struct sm_error error = {0};
	bool ours = false;
	enum sm_err err = claims__claim(m->build, 0, (int32_t)batch_get(m->rows, 2, i).integer, batch_get(m->rows, 3, i).integer,
					bytes_of(key.data, key.size), &m->seen, &ours, &error);
	if (err)
		sm_micro_batch_fail(m, err, "%s", error.text);
	else if (!ours)
		m->build->duplicates++;
	return ours;
}

void sm_micro_batch_reject(struct sm_micro_batch *m, uint32_t i, const char *reason)
{
	const struct sm_record *r = sm_micro_batch_record(m, i);
	struct sm_error error = {0};
	struct buf json;
	if (map_get(&m->rejected, bytes_of(&i, sizeof i)))
		return;
	buf_init(&json);
	if (reason[0] == '{') {
		buf_append_str(&json, reason);
	} else {
		buf_append_str(&json, "{\"obj\":[");
		buf_json_string(&json, bytes_str(reason));
		buf_append_str(&json, "]}");
	}
	buf_u8(&json, 0);
	enum sm_err err = json.failed ? SM_NO_MEMORY : map_put(&m->rejected, bytes_of(&i, sizeof i), m, NULL);
	if (!err)
		err = dead__add(m->build,
				&(struct dead_record){.partition = r->partition,
						      .offset = r->offset,
						      .timestamp_ms = r->timestamp_ms,
						      .key = bytes_of(r->key.data, r->key.size),
						      .value = bytes_of(r->value.data, r->value.size),
						      .key_null = !r->key.data,
						      .value_null = !r->value.data,
						      .reason = (const char *)buf_bytes(&json).data},
				&error);
	buf_done(&json);
	if (err)
		sm_micro_batch_fail(m, err, "%s", error.text[0] ? error.text : sm_err_text(err));
}

static enum sm_err run_function(void *arg, struct build *b, struct sm_error *reterr)
{
	struct program *p = arg;
	struct sm_error error = {0};
	struct sm_micro_batch m = {.build = b, .rows = b->rows[0], .error = &error};
	if (m.rows->rows == 0)
		return SM_OK;
	map_init(&m.seen);
	map_init(&m.rejected);
	enum sm_err err = p->each(&m, p->arg);
	map_done(&m.seen);
	map_done(&m.rejected);
	if (m.err && reterr)
		*reterr = error;
	else if (err)
		sm_fail(reterr, err, "the job's function: %s", sm_err_text(err));
	return m.err ? m.err : err;
}

/* Sleep to the interval's end, in steps that notice stop. */
static void wait_for_interval(uint64_t interval_ms, const bool *stop)
{
	uint64_t end = clock_monotonic_ns(&clock_system) + (interval_ms - (uint64_t)clock_wall_ms(&clock_system) % interval_ms) * 1000000;
	while (!(stop && __atomic_load_n(stop, __ATOMIC_ACQUIRE)) && clock_monotonic_ns(&clock_system) < end) {
		uint64_t left = end - clock_monotonic_ns(&clock_system);
		nanosleep(&(struct timespec){0, left < 20000000 ? (long)left : 20000000}, NULL);
	}
}

static enum sm_err run_batches(struct stream_job *job, const struct sm_stream_options *o, struct sm_stream_stats *stats,
			       struct sm_error *reterr)
{
	for (;;) {
		struct stream_batch_result r;
		if (o->stop && __atomic_load_n(o->stop, __ATOMIC_ACQUIRE))
			return SM_OK;
		enum sm_err err = stream_job_batch(job, &r, reterr);
		if (err)
			return err;
		stats->batches += r.records > 0;
		stats->records += r.records;
		stats->rows += r.rows;
		stats->rejected += r.dead_letters;
		if (!r.more && o->until_end)
			return SM_OK;
		if (!r.more)
			wait_for_interval(o->interval_ms ? o->interval_ms : STREAM_INTERVAL_MS, o->stop);
	}
}

enum sm_err sm_stream_run(struct sm_log *log, struct sm_store *store, const struct sm_stream_options *o, sm_stream_fn each, void *arg,
			  struct sm_stream_stats *ret_stats, struct sm_error *reterr)
{
	struct compute_env env = {.log = log, .store = store};
	struct program p = {.each = each, .arg = arg};
	struct stream_hook hook = {run_function, &p, o->topic};
	struct stream_options options = {.name = o->name, .dead_letter = o->dead_letter, .batch_records_max = o->records_max, .env = &env};
	struct sm_stream_stats stats = {0};
	struct stream_job *job;
	if (!o->topic || !each)
		return sm_fail(reterr, SM_INVALID, "a streaming job needs a topic and a function");
	enum sm_err err = stream__open(&options, &hook, &job, reterr);
	if (err)
		return err;
	stats.epoch = stream_job_epoch(job);
	err = run_batches(job, o, &stats, reterr);
	stream_job_close(job);
	if (ret_stats)
		*ret_stats = stats;
	return err;
}
