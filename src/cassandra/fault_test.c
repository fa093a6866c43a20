/* Batches of jobs while connections are cut, answers are lost, requests are late, and instances take over from each other: a fault at the
 * first request, the second ..., until a run meets none. */
#include "cassandra/cassandra_limits.h"
#include "cassandra/proxy_testing.h"
#include <stdatomic.h>

enum { REQUESTS_MAX = 500 };

struct instance {
	struct peer x; /* its store is this instance's own */
	struct proxy *proxy;
	struct many many;
	char job[60];
	uint64_t epoch;
	const char *value;
	int64_t time;
	pthread_t thread;
	atomic_bool done;
	enum sm_err err;
	struct sm_error error;
};

static struct instance *instance_new(struct peer *x)
{
	struct instance *i = calloc(1, sizeof *i);
	char address[80];
	assert_non_null(i);
	i->proxy = proxy_new(x->port);
	i->x = *x;
	snprintf(address, sizeof address, "cassandra://127.0.0.1:%u", i->proxy->port);
	struct cassandra_options options = {.address = address, .open_timeout_ms = 20000};
	if (cassandra_open(&options, &i->x.store, &i->error))
		fail_msg("%s", i->error.text);
	i->many = many_begin(&i->x);
	snprintf(i->job, sizeof i->job, "faults");
	return i;
}

static void instance_free(struct instance *i)
{
	i->x.store->ops->schema_release(i->x.store, i->many.schema);
	assert_int_equal(i->x.store->ops->close(i->x.store, &i->error), SM_OK);
	proxy_free(i->proxy);
	free(i);
}

static enum sm_err take(struct instance *i)
{
	return i->x.store->ops->job_epoch(i->x.store, i->job, &i->epoch, &i->error);
}

static enum sm_err put(struct instance *i, const char *value, int64_t time)
{
	return put_many(&i->x, &i->many, 1, 1, value, time, i->job, i->epoch);
}

static void *take_thread(void *arg)
{
	struct instance *i = arg;
	i->err = take(i);
	atomic_store(&i->done, true);
	return NULL;
}

static void *put_thread(void *arg)
{
	struct instance *i = arg;
	i->err = put(i, i->value, i->time);
	atomic_store(&i->done, true);
	return NULL;
}

/* It runs until its proxy holds it, or it is done. */
static void run_held(struct instance *i, uint32_t at, void *(*what)(void *))
{
	atomic_store(&i->done, false);
	proxy_tell(i->proxy, PROXY_HOLD, at);
	assert_int_equal(pthread_create(&i->thread, NULL, what, i), 0);
	while (!atomic_load(&i->done) && !proxy_met(i->proxy))
		nanosleep(&(struct timespec){0, 200000}, NULL);
}

static void go_on(struct instance *i)
{
	proxy_tell(i->proxy, PROXY_PASS, 0);
	pthread_join(i->thread, NULL);
}

static void all_say(struct peer *x, const char *value)
{
	char expected[80];
	snprintf(expected, sizeof expected, "%s|%s|", value, value);
	assert_string_equal(rows_of(x, "SELECT v FROM many"), expected);
}

/* The second of two batches is what is there, whatever became of a request of the first, and when a copy of it comes late. */
static void one_fault(struct peer *x, struct instance *i, uint32_t at, enum proxy_mode mode, bool *ret_met)
{
	int64_t time = i->time += 10;
	char first[16], second[16];
	snprintf(first, sizeof first, "a%u", at);
	snprintf(second, sizeof second, "b%u", at);
	if (take(i))
		fail_msg("%s", i->error.text);
	proxy_tell(i->proxy, mode, at);
	enum sm_err err = put(i, first, time);
	*ret_met = proxy_met(i->proxy);
	proxy_tell(i->proxy, PROXY_PASS, 0);
	if (!err)
		all_say(x, first);
	else if (take(i)) /* its end is not known: the job begins anew */
		fail_msg("request %u: %s", at, i->error.text);
	assert_int_equal(put(i, second, time + 1), SM_OK);
	all_say(x, second);
	if (*ret_met)
		proxy_repeat(i->proxy);
	if (take(i))
		fail_msg("request %u came late: %s", at, i->error.text);
	all_say(x, second);
	assert_int_equal(put(i, second, time + 2), SM_OK);
}

static void a_lost_connection_loses_no_batch(void **state)
{
	struct peer *x = *state;
	const enum proxy_mode modes[] = {PROXY_CUT, PROXY_CUT_ANSWER};
	if (!x->embedded)
		return; /* another's server need not be on this host */
	struct instance *i = instance_new(x);
	for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
		bool met = true;
		uint32_t at = 0;
		while (met && at < REQUESTS_MAX)
			one_fault(x, i, ++at, modes[m], &met);
		assert_true(at > 5 && at < REQUESTS_MAX);
	}
	instance_free(i);
}

/* An old instance is held at each of its requests, a new one at each of its own; then the old one goes on first. */
static void a_takeover_at_any_moment_succeeds(void **state)
{
	struct peer *x = *state;
	if (!x->embedded)
		return;
	struct instance *old = instance_new(x), *new = instance_new(x);
	int64_t time = 1;
	bool old_met = true, new_met;
	assert_int_equal(take(old), SM_OK);
	assert_int_equal(put(old, "warm", time), SM_OK); /* all is prepared */
	uint32_t at;
	for (at = 1; old_met && at < REQUESTS_MAX; at++) {
		new_met = true;
		for (uint32_t new_at = 1; new_met && new_at < REQUESTS_MAX; new_at++) {
			char value[24], was[24];
			snprintf(value, sizeof value, "v%u-%u", at, new_at);
			snprintf(was, sizeof was, "w%u-%u", at, new_at);
			if (take(old))
				fail_msg("%s", old->error.text);
			assert_int_equal(put(old, was, ++time), SM_OK);
			old->value = value;
			old->time = ++time;
			run_held(old, at, put_thread);
			old_met = proxy_met(old->proxy);
			run_held(new, new_at, take_thread);
			new_met = proxy_met(new->proxy);
			go_on(old);
			go_on(new);
			if (new->err)
				fail_msg("the old one at its request %u, the new one at %u: %s", at, new_at, new->error.text);
			assert_true(old->err == SM_OK || old->err == SM_STALE_EPOCH || old->err == SM_UNAVAILABLE);
			const char *seen = rows_of(x, "SELECT v FROM many WHERE a = 0 AND b = 0 AND c = 0");
			assert_true(strstr(seen, value) || (old->err && strstr(seen, was)));
			char is[24];
			snprintf(is, sizeof is, "%.*s", (int)strcspn(seen, "|"), seen);
			all_say(x, is);
			assert_int_equal(put(new, is, ++time), SM_OK);
		}
	}
	assert_true(at > 3 && at < REQUESTS_MAX);
	instance_free(old);
	instance_free(new);
}

static void *truncate_thread(void *arg)
{
	struct instance *i = arg;
	struct cql_session *session;
	i->err = cql_session_new(i->x.store, i->x.keyspace, &session);
	if (!i->err) {
		i->err = cql_session_run(session, BYTES("TRUNCATE slow"), NULL, &i->error);
		cql_session_free(session);
	}
	return NULL;
}

static void a_change_may_take_longer_than_a_try(void **state)
{
	struct peer *x = *state;
	if (!x->embedded)
		return;
	struct instance *i = instance_new(x);
	run_cql(&i->x, "CREATE TABLE slow (k int PRIMARY KEY)");
	proxy_tell_word(i->proxy, PROXY_HOLD_ANSWERS, 0, "TRUNCATE");
	assert_int_equal(pthread_create(&i->thread, NULL, truncate_thread, i), 0);
	while (!proxy_met(i->proxy))
		nanosleep(&(struct timespec){0, 200000}, NULL);
	nanosleep(&(struct timespec){CLIENT_TRY_MS / 1000 + 1, 0}, NULL); /* the time itself is what is tested */
	go_on(i);
	if (i->err)
		fail_msg("%s", i->error.text);
	instance_free(i);
}

static void a_remedy_that_is_told_works(void **state)
{
	struct peer *x = *state;
	struct sm_error error;
	struct many m = many_begin(x);
	char job[60], statement[400];
	uint64_t epoch;
	snprintf(job, sizeof job, "%s lost", x->keyspace);
	assert_int_equal(x->store->ops->job_epoch(x->store, job, &epoch, &error), SM_OK);
	assert_int_equal(put_many(x, &m, 1, 1, "a", 1, job, epoch), SM_OK);
	run_cql(x, "UPDATE smack_system.store_job SET committed = %llu, chunks = 1 WHERE job = '%s'", (unsigned long long)epoch << 32 | 2,
		job);
	assert_int_equal(x->store->ops->job_epoch(x->store, job, &epoch, &error), SM_CORRUPT);
	const char *at = strstr(error.text, "UPDATE smack_system.store_job"), *end = at ? strstr(at, ", then delete") : NULL;
	if (!end)
		fail_msg("%s", error.text);
	snprintf(statement, sizeof statement, "%.*s", (int)(end - at), at);
	run_cql(x, "%s", statement);
	for (int i = 0; i < 3; i++) {
		if (x->store->ops->job_epoch(x->store, job, &epoch, &error))
			fail_msg("%s", error.text);
		assert_int_equal(put_many(x, &m, 1, 1, "b", 2 + i, job, epoch), SM_OK);
	}
	/* a row without an epoch */
	snprintf(job, sizeof job, "%s bare", x->keyspace);
	run_cql(x, "UPDATE smack_system.store_job USING TIMESTAMP 1 SET applied = 1 WHERE job = '%s'", job);
	if (x->store->ops->job_epoch(x->store, job, &epoch, &error))
		fail_msg("%s", error.text);
	assert_int_equal(put_many(x, &m, 1, 1, "c", 9, job, epoch), SM_OK);
	x->store->ops->schema_release(x->store, m.schema);
}

/* ---- what the server refuses behind the decision ---- */

static void what_cannot_be_written_is_refused_before(void **state)
{
	struct peer *x = *state;
	struct sm_error error;
	char job[60];
	run_cql(x, "CREATE TABLE texts (k text PRIMARY KEY, v int)");
	const struct store_schema *schema = x->store->ops->schema(x->store);
	const struct store_table *t = store_find_table(schema, x->keyspace, "texts");
	struct store_cell keys[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"", 0}, {(const uint8_t *)"\xff", 1}};
	struct store_assignment cells[] = {{.column = store_find_column(t, "v"), .value = {(const uint8_t *)"four", 4}},
					   {.column = store_find_column(t, "v"), .value = {(const uint8_t *)"three", 5}}};
	struct store_mutation m[2];
	struct store_batch batch = {.mutations = m, .count = 2, .job = job};
	snprintf(job, sizeof job, "%s values", x->keyspace);
	assert_int_equal(x->store->ops->job_epoch(x->store, job, &batch.epoch, &error), SM_OK);
	for (int i = 0; i < 3; i++) {
		m[0] = m[1] = (struct store_mutation){.kind = STORE_UPSERT_INSERT,
						      .table = t,
						      .partition_key = &keys[0],
						      .cells = &cells[0],
						      .cell_count = 1,
						      .timestamp_us = 5};
		m[1].partition_key = &keys[i < 2 ? i + 1 : 0];
		m[1].cells = &cells[i == 2];
		assert_int_equal(store_apply_wait(x->store, &batch), SM_INVALID);
		assert_string_equal(rows_of(x, "SELECT k FROM texts"), "");
	}
	m[1].cells = &cells[0];
	assert_int_equal(store_apply_wait(x->store, &batch), SM_OK);
	x->store->ops->schema_release(x->store, schema);
}

static void only_what_was_dropped_is_left_out(void **state)
{
	struct peer *x = *state;
	struct sm_error error;
	struct many m = many_begin(x);
	char job[60];
	uint64_t epoch;
	snprintf(job, sizeof job, "%s changed", x->keyspace);
	assert_int_equal(x->store->ops->job_epoch(x->store, job, &epoch, &error), SM_OK);
	assert_int_equal(put_many(x, &m, 1, 1, "a", 1, job, epoch), SM_OK);
	if (x->embedded) { /* Cassandra itself does not take the other type */
		run_cql(x, "ALTER TABLE many DROP v; ALTER TABLE many ADD v int");
		assert_int_equal(put_many(x, &m, 1, 1, "abc", 2, job, epoch), SM_INVALID);
		assert_int_equal(put_many(x, &m, 1, 1, "abc", 3, job, epoch), SM_UNAVAILABLE);
		assert_int_equal(x->store->ops->job_epoch(x->store, job, &epoch, &error), SM_INVALID);
		run_cql(x, "ALTER TABLE many DROP v; ALTER TABLE many ADD v text");
		if (x->store->ops->job_epoch(x->store, job, &epoch, &error)) /* it was not lost */
			fail_msg("%s", error.text);
		assert_string_equal(rows_of(x, "SELECT a FROM many"), "0|0|");
	}
	run_cql(x, "DROP TABLE many");
	assert_int_equal(put_many(x, &m, 1, 1, "b", 4, job, epoch), SM_NOT_FOUND);
	assert_int_equal(x->store->ops->job_epoch(x->store, job, &epoch, &error), SM_OK);
	x->store->ops->schema_release(x->store, m.schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_lost_connection_loses_no_batch, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(a_takeover_at_any_moment_succeeds, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(a_change_may_take_longer_than_a_try, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(a_remedy_that_is_told_works, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_is_refused_before, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(only_what_was_dropped_is_left_out, peer_begin, peer_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
