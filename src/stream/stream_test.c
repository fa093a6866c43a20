/* Streaming jobs over a real log and a real store: exactly once, also when any write fails before or after it came through. */
#include "stream/testing.h"

static const char job_sql[] = "INSERT INTO ads.event SELECT id, campaign, ts, type FROM raw_events;"
			      "INSERT INTO ads.campaign SELECT campaign AS id, year(ts) AS year, month(ts) AS month, day(ts) AS day, "
			      "count_if(type = 'view') AS views,"
			      " count_if(type = 'click') AS clicks FROM raw_events GROUP BY campaign, year(ts), month(ts), day(ts);";
static const char event_schema[] = "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"campaign\":{"
				   "\"type\":\"string\",\"format\":\"uuid\"},"
				   "\"ts\":{\"type\":\"integer\"},\"type\":{\"type\":\"string\"}},\"required\":[\"id\",\"ts\",\"type\"]}";

/* Event number n, always the same; counted once. */
static void event_text(unsigned n, char out[300])
{
	snprintf(out, 300,
		 "{\"id\":\"00000000-0000-4000-8000-%012u\",\"campaign\":\"10000000-0000-4000-8000-%012u\",\"ts\":%lld,\"type\":\"%s\"}", n,
		 n % CAMPAIGNS, 1574553617004ll + (long long)(n / 7 % DAYS) * 86400000, n % 5 ? "view" : "click");
}

/* events of which some come twice or more, in any partition, and lines that are no events */
static void feed(struct platform *p, unsigned from, unsigned to, unsigned *seed)
{
	char text[300];
	for (unsigned n = from; n < to; n++) {
		event_text(n, text);
		append(p, rand_r(seed) % PARTITIONS, text);
		(n % 5 ? p->views : p->clicks)[n % CAMPAIGNS][n / 7 % DAYS]++;
		p->events++;
		if (rand_r(seed) % 3 == 0) {
			event_text(rand_r(seed) % (n + 1), text);
			append(p, rand_r(seed) % PARTITIONS, text);
		}
		if (rand_r(seed) % 10 == 0) {
			append(p, rand_r(seed) % PARTITIONS, rand_r(seed) % 2 ? "{\"id\":1}" : "not json");
			p->bad++;
		}
		if (rand_r(seed) % 20 == 0) { /* fits the schema, but a null campaign is no primary key */
			append(p, rand_r(seed) % PARTITIONS,
			       "{\"id\":\"20000000-0000-4000-8000-000000000000\",\"ts\":5,\"type\":\"view\"}");
			p->bad++;
		}
	}
}

static void check_tables(struct platform *p, const char *when)
{
	char got[8000], want[8000];
	size_t n = 0;
	uint32_t events = count_rows(p, "SELECT id FROM ads.event", NULL, 0);
	if (events != p->events)
		fail_msg("%s: %u events, want %u", when, events, p->events);
	count_rows(p, "SELECT id, day, views, clicks FROM ads.campaign ORDER BY id, day", got, sizeof got);
	for (int c = 0; c < CAMPAIGNS; c++)
		for (int d = 0; d < DAYS; d++)
			if (p->views[c][d] + p->clicks[c][d])
				n += (size_t)snprintf(want + n, sizeof want - n, "%012d %d %u %u \n", c, 24 + d, p->views[c][d],
						      p->clicks[c][d]);
	if (strcmp(got, want) != 0)
		fail_msg("%s: got\n%swant\n%s", when, got, want);
	uint32_t dead = dead_letters(p);
	if (dead != p->bad)
		fail_msg("%s: %u dead letters, want %u", when, dead, p->bad);
}

static struct stream_options options_of(struct platform *p)
{
	return (struct stream_options){.name = "daily", .sql = job_sql, .dedup = "id", .env = &p->env};
}

static struct stream_job *open_job(struct platform *p, const struct stream_options *o)
{
	struct stream_job *job;
	struct sm_error error = {0};
	if (stream_job_open(o, &job, &error))
		fail_msg("%s", error.text);
	return job;
}

/* Micro-batches until nothing is left; a failed one is followed by a restart. */
static void drain(struct platform *p, const struct stream_options *o)
{
	struct stream_job *job = open_job(p, o);
	struct stream_batch_result r = {.more = true};
	struct sm_error error = {0};
	while (r.more) {
		enum sm_err err = stream_job_batch(job, &r, &error);
		if (err == SM_IO) {
			stream_job_close(job);
			job = open_job(p, o);
			r.more = true;
		} else if (err) {
			fail_msg("%s", error.text);
		}
	}
	assert_int_equal(r.lag, 0);
	stream_job_close(job);
}

static void each_event_counts_once(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	unsigned seed = 1;
	struct stream_options o = options_of(p);
	feed(p, 0, 100, &seed);
	drain(p, &o);
	check_tables(p, "one batch");
	feed(p, 100, 150, &seed);
	feed(p, 150, 151, &seed);
	drain(p, &o);
	check_tables(p, "a second one");
	drain(p, &o);
	check_tables(p, "none");
	platform_free(p);
}

static void a_write_that_fails_anywhere_changes_nothing(void **state)
{
	for (int after = 0; after < 2; after++) {
		for (uint64_t fail_at = 1; fail_at < 6; fail_at++) {
			struct platform *p = platform_new(event_schema, PARTITIONS);
			unsigned seed = (unsigned)fail_at;
			struct stream_options o = options_of(p);
			char when[60];
			o.batch_records_max = 31;
			feed(p, 0, 90, &seed);
			p->faulty.fail_at = fail_at;
			p->faulty.after = after;
			drain(p, &o);
			snprintf(when, sizeof when, "write %d fails %s", (int)fail_at, after ? "after it was done" : "before");
			check_tables(p, when);
			platform_free(p);
		}
	}
}

static void every_write_may_fail_again_and_again(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	unsigned seed = 9;
	struct stream_options o = options_of(p);
	struct sm_error error = {0};
	struct stream_batch_result r = {.more = true};
	o.batch_records_max = 23;
	feed(p, 0, 120, &seed);
	for (unsigned round = 0; r.more; round++) {
		struct stream_job *job = open_job(p, &o);
		o.batch_records_max = 7 + rand_r(&seed) % 40; /* a replay need not cut its batches where the first run did */
		p->faulty.applies = 0;
		p->faulty.fail_at = round % 3 ? 1 : 2;
		p->faulty.after = rand_r(&seed) % 2;
		while (!stream_job_batch(job, &r, &error) && r.more)
			;
		stream_job_close(job);
		assert_true(round < 200);
		if (error.code) {
			r.more = true;
			error = (struct sm_error){0};
		}
	}
	check_tables(p, "random failures");
	platform_free(p);
}

static void an_older_instance_is_refused(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	unsigned seed = 3;
	struct stream_options o = options_of(p);
	struct stream_batch_result r;
	struct sm_error error = {0};
	feed(p, 0, 20, &seed);
	struct stream_job *old = open_job(p, &o), *new = open_job(p, &o);
	assert_true(stream_job_epoch(new) > stream_job_epoch(old));
	assert_int_equal(stream_job_batch(old, &r, &error), SM_STALE_EPOCH);
	assert_int_equal(stream_job_batch(new, &r, &error), SM_OK);
	stream_job_close(old);
	stream_job_close(new);
	check_tables(p, "two instances");
	platform_free(p);
}

static void what_is_wrong_with_a_job_is_told(void **state)
{
	static const struct {
		const char *sql, *dedup, *text;
	} samples[] = {
		{"SELECT 1", NULL, "consists of INSERT"},
		{"", NULL, "no statement"},
		{"INSERT INTO ads.event SELECT id FROM nowhere", NULL, "there is no topic nowhere"},
		{"INSERT INTO ads.nothing SELECT id FROM raw_events", NULL, "there is no table ads.nothing"},
		{"INSERT INTO ads.event SELECT id, x FROM raw_events", NULL, "there is no column x"},
		{"INSERT INTO ads.event SELECT id FROM raw_events", "ident", "dedup key ident is no field"},
		{"INSERT INTO ads.event SELECT ts FROM raw_events", NULL, "no column for id"},
		{"INSERT INTO ads.event SELECT id, ts AS type FROM raw_events", NULL, "column type of ads.event is of type text"},
		{"INSERT INTO ads.event SELECT id FROM raw_events GROUP", NULL, "line 1, column"},
	};
	struct platform *p = platform_new(event_schema, PARTITIONS);
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
		struct stream_options o = options_of(p);
		struct stream_job *job;
		struct sm_error error = {0};
		o.sql = samples[i].sql;
		o.dedup = samples[i].dedup;
		if (!stream_job_open(&o, &job, &error) || !strstr(error.text, samples[i].text))
			fail_msg("%s: %s", samples[i].sql, error.text);
	}
	platform_free(p);
}

static void a_changed_query_does_not_take_the_old_states(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	unsigned seed = 3;
	struct stream_options o = options_of(p);
	struct stream_batch_result r;
	struct sm_error error = {0};
	o.sql = "INSERT INTO ads.campaign SELECT campaign AS id, 1 AS year, 1 AS month, 1 AS day, count(*) AS views FROM raw_events WHERE "
		"campaign IS NOT NULL GROUP BY campaign";
	feed(p, 0, 20, &seed);
	drain(p, &o);
	o.sql = "INSERT INTO ads.campaign SELECT campaign AS id, 1 AS year, 1 AS month, 1 AS day, count_if(true) AS views FROM raw_events "
		"WHERE campaign IS NOT NULL GROUP BY campaign";
	feed(p, 20, 40, &seed);
	struct stream_job *job = open_job(p, &o);
	assert_int_equal(stream_job_batch(job, &r, &error), SM_VERSION);
	stream_job_close(job);
	platform_free(p);
}

#ifdef SMACK_PLANT_FAULTS
/* The crash tests prove themselves with this fault: a batch whose offsets were lost is counted again. */
static void the_planted_fault_counts_a_replayed_batch_twice(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	unsigned seed = 5;
	struct stream_options o = options_of(p);
	char got[100], want[100];
	uint32_t sum = 0;
	o.plant_count_twice = true;
	feed(p, 0, 50, &seed);
	for (int c = 0; c < CAMPAIGNS; c++)
		for (int d = 0; d < DAYS; d++)
			sum += p->views[c][d];
	p->faulty.fail_at = 3; /* the fence, the rows, the offsets */
	drain(p, &o);
	count_rows(p, "SELECT sum(views) FROM ads.campaign", got, sizeof got);
	snprintf(want, sizeof want, "%u \n", 2 * sum);
	assert_string_equal(got, want);
	platform_free(p);
}
#endif

/* ---- the actor ---- */

struct end {
	int count;
	enum sm_err code;
};

static void note_end(void *arg, const struct sm_error *error)
{
	struct end *e = arg;
	e->code = error ? error->code : SM_OK;
	__atomic_add_fetch(&e->count, 1, __ATOMIC_RELEASE);
}

static void wait_for(bool (*ready)(void *arg), void *arg, const char *what)
{
	for (int i = 0; i < 4000; i++) {
		if (ready(arg))
			return;
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
	fail_msg("never: %s", what);
}

static bool has_ended(void *arg)
{
	return __atomic_load_n(&((struct end *)arg)->count, __ATOMIC_ACQUIRE) > 0;
}

struct progress {
	struct platform *p;
	struct stream *stream;
};

static bool is_through(void *arg)
{
	struct progress *g = arg;
	struct stream_status s;
	stream_status(g->stream, &s);
	return s.records - s.duplicates - s.dead_letters >= g->p->events && s.lag == 0;
}

static void the_actor_runs_batches_restarts_and_stops(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	unsigned seed = 4;
	struct stream_options o = options_of(p);
	struct sm_error error = {0};
	struct end end = {0};
	struct stream *stream;
	o.interval_ms = 30;
	p->faulty.fail_at = 2;
	feed(p, 0, 40, &seed);
	assert_int_equal(stream_start(p->system, &o, note_end, &end, &stream, &error), SM_OK);
	struct progress g = {p, stream};
	wait_for(is_through, &g, "the first events");
	feed(p, 40, 60, &seed);
	wait_for(is_through, &g, "restart after a failed write");
	struct stream_status s;
	stream_status(stream, &s);
	assert_true(s.restarts >= 1);
	assert_true(s.epoch >= 2);
	json_t *json = stream_status_json(stream);
	assert_string_equal(json_string_value(json_object_get(json, "name")), "daily");
	json_decref(json);
	stream_stop(stream);
	wait_for(has_ended, &end, "the end");
	assert_int_equal(end.count, 1);
	assert_int_equal(end.code, SM_OK);
	stream_status(stream, &s);
	assert_int_equal(s.state, STREAM_STOPPED);
	stream_free(stream);
	check_tables(p, "by the actor");
	platform_free(p);
}

/* A log whose reads are answered only while it is there. */
static struct {
	struct sm_log log;
	struct log_ops ops;
	struct sm_log *real;
	bool away; /* atomic */
} far;

static enum sm_err far_read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset, size_t bytes_max,
			    struct log_read_result *ret_result)
{
	return __atomic_load_n(&far.away, __ATOMIC_ACQUIRE)
		       ? SM_UNAVAILABLE
		       : far.real->ops->read(far.real, topic, partition, offset, bytes_max, ret_result);
}

static const struct log_topics *far_topics(struct sm_log *log)
{
	return far.real->ops->topics(far.real);
}

static void far_topic_create(struct sm_log *log, const struct log_topic_spec *spec, void (*done)(void *arg, const struct sm_error *error),
			     void *arg)
{
	far.real->ops->topic_create(far.real, spec, done, arg);
}

static void far_append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
		       log_append_done done, void *arg)
{
	far.real->ops->append(far.real, topic, partition, batches, size, flags, done, arg);
}

static void far_topics_release(struct sm_log *log, const struct log_topics *topics)
{
	far.real->ops->topics_release(far.real, topics);
}

static enum sm_err far_offset_for(struct sm_log *log, const char *topic, int32_t partition, int64_t what, int64_t *ret_offset,
				  int64_t *ret_timestamp_ms)
{
	return __atomic_load_n(&far.away, __ATOMIC_ACQUIRE)
		       ? SM_TIMEOUT
		       : far.real->ops->offset_for(far.real, topic, partition, what, ret_offset, ret_timestamp_ms);
}

static bool has_failed(void *arg)
{
	struct stream_status s;
	stream_status(arg, &s);
	return s.state == STREAM_RESTARTING && strlen(s.last_error) > 0;
}

static void a_log_that_does_not_answer_is_waited_for(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	unsigned seed = 5;
	struct sm_error error = {0};
	struct end end = {0};
	struct stream *stream;
	struct stream_status s;
	far.ops = (struct log_ops){.read = far_read,
				   .topics = far_topics,
				   .topics_release = far_topics_release,
				   .topic_create = far_topic_create,
				   .append = far_append,
				   .offset_for = far_offset_for};
	far.log.ops = &far.ops;
	far.real = p->log;
	far.away = true;
	p->env.log = &far.log;
	struct stream_options o = options_of(p);
	o.interval_ms = 30;
	feed(p, 0, 40, &seed);
	assert_int_equal(stream_start(p->system, &o, note_end, &end, &stream, &error), SM_OK);
	wait_for(has_failed, stream, "the log is away");
	__atomic_store_n(&far.away, false, __ATOMIC_RELEASE);
	struct progress g = {p, stream};
	wait_for(is_through, &g, "the log is back");
	__atomic_store_n(&far.away, true, __ATOMIC_RELEASE);
	wait_for(has_failed, stream, "it is away again");
	feed(p, 40, 60, &seed);
	__atomic_store_n(&far.away, false, __ATOMIC_RELEASE);
	wait_for(is_through, &g, "and back");
	stream_status(stream, &s);
	assert_int_equal(s.restarts, 0);
	stream_stop(stream);
	wait_for(has_ended, &end, "the end");
	assert_int_equal(end.code, SM_OK);
	stream_free(stream);
	p->env.log = p->log;
	check_tables(p, "after the log was away");
	platform_free(p);
}

static void a_mistake_ends_the_job_with_its_error(void **state)
{
	struct platform *p = platform_new(event_schema, PARTITIONS);
	struct stream_options o = options_of(p);
	struct sm_error error = {0};
	struct end end = {0};
	struct stream *stream;
	struct stream_status s;
	o.sql = "INSERT INTO ads.event SELEC id FROM raw_events";
	assert_int_equal(stream_start(p->system, &o, note_end, &end, &stream, &error), SM_OK);
	wait_for(has_ended, &end, "the end");
	assert_int_equal(end.code, SM_SYNTAX);
	stream_status(stream, &s);
	assert_int_equal(s.state, STREAM_FAILED);
	assert_non_null(strstr(s.last_error, "SELEC"));
	stream_free(stream);
	platform_free(p);
}

/* Values that no key can hold are dead letters; the job goes on behind them. */
static void records_with_keys_that_cannot_be_are_dead_letters(void **state)
{
	static const char schema[] = "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"},\"name\":{\"type\":\"string\"}},"
				     "\"required\":[\"id\",\"name\"]}";
	static const struct column_def columns[] = {{"name", STORE_TEXT, STORE_PARTITION_KEY}, {"n", STORE_BIGINT, STORE_REGULAR}};
	static const size_t sizes[] = {0, 3, 40000, 66000, 5};
	struct platform *p = platform_new(schema, 1);
	make_table(p, "name", columns, 2);
	struct stream_options o = {.name = "names",
				   .sql = "INSERT INTO ads.name SELECT name, count(*) AS n FROM raw_events GROUP BY name;",
				   .dedup = "id",
				   .env = &p->env};
	char *text = malloc(200000), got[200];
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		snprintf(text, 200000, "{\"id\":\"%zu\",\"name\":\"%0*d\"}", i, (int)sizes[i], 0);
		if (sizes[i] == 0)
			strcpy(text, "{\"id\":\"x\",\"name\":\"\"}");
		append(p, 0, text);
	}
	snprintf(text, 200000, "{\"id\":\"%070000d\",\"name\":\"000\"}", 0);
	append(p, 0, text);
	append(p, 0, "{\"id\":\"last\",\"name\":\"000\"}");
	drain(p, &o);
	count_rows(p, "SELECT name, n FROM ads.name ORDER BY name", got, sizeof got);
	assert_string_equal(got, "000 2 \n00000 1 \n");
	assert_int_equal(dead_letters(p), 4);
	free(text);
	platform_free(p);
}

/* Each of these amounts is fine by itself; what the sum cannot hold any more is a dead letter, and the sum goes on. */
static void what_overflows_a_sum_is_a_dead_letter(void **state)
{
	static const char schema[] = "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"},\"who\":{\"type\":\"string\"},"
				     "\"n\":{\"type\":\"integer\"}},\"required\":[\"id\",\"who\",\"n\"]}";
	static const struct column_def columns[] = {{"who", STORE_TEXT, STORE_PARTITION_KEY}, {"total", STORE_BIGINT, STORE_REGULAR}};
	static const long long amounts[] = {9000000000000000000, 200000000000000000, 100000000000000000,
					    20000000000000000,   5000000000000000,   1};
	struct platform *p = platform_new(schema, 1);
	make_table(p, "total", columns, 2);
	struct stream_options o = {.name = "totals",
				   .sql = "INSERT INTO ads.total SELECT who, sum(n) AS total FROM raw_events GROUP BY who;",
				   .dedup = "id",
				   .env = &p->env};
	char text[200], got[200];
	for (size_t i = 0; i < sizeof amounts / sizeof *amounts; i++) {
		snprintf(text, sizeof text, "{\"id\":\"a%zu\",\"who\":\"a\",\"n\":%lld}", i, amounts[i]);
		append(p, 0, text);
		snprintf(text, sizeof text, "{\"id\":\"b%zu\",\"who\":\"b\",\"n\":1}", i);
		append(p, 0, text);
	}
	drain(p, &o);
	count_rows(p, "SELECT who, total FROM ads.total ORDER BY who", got, sizeof got);
	assert_string_equal(got, "a 9220000000000000001 \nb 6 \n");
	assert_int_equal(dead_letters(p), 2); /* that would make 9.3e18 and 9.225e18 */
	platform_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_event_counts_once),
		cmocka_unit_test(a_write_that_fails_anywhere_changes_nothing),
		cmocka_unit_test(every_write_may_fail_again_and_again),
		cmocka_unit_test(an_older_instance_is_refused),
		cmocka_unit_test(what_is_wrong_with_a_job_is_told),
		cmocka_unit_test(a_changed_query_does_not_take_the_old_states),
#ifdef SMACK_PLANT_FAULTS
		cmocka_unit_test(the_planted_fault_counts_a_replayed_batch_twice),
#endif
		cmocka_unit_test(records_with_keys_that_cannot_be_are_dead_letters),
		cmocka_unit_test(what_overflows_a_sum_is_a_dead_letter),
		cmocka_unit_test(the_actor_runs_batches_restarts_and_stops),
		cmocka_unit_test(a_log_that_does_not_answer_is_waited_for),
		cmocka_unit_test(a_mistake_ends_the_job_with_its_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
