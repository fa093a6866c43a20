/* Batches of jobs on a real Cassandra: fenced by epochs, all or nothing whenever the server or we are gone. */
#include "cassandra/testing.h"

static uint64_t epoch_of(struct sm_store *store, const char *job)
{
	struct sm_error error;
	uint64_t epoch;
	if (store->ops->job_epoch(store, job, &epoch, &error))
		fail_msg("%s", error.text);
	return epoch;
}

static void an_older_epoch_is_refused(void **state)
{
	struct peer *x = *state;
	struct many m = many_begin(x);
	struct sm_store *other, *first = x->store;
	struct sm_error error;
	char job[60];
	snprintf(job, sizeof job, "%s fenced", x->keyspace);
	uint64_t a = epoch_of(x->store, job);
	assert_int_equal(put_many(x, &m, 2, 2, "a", 1, job, a), SM_OK);
	assert_string_equal(rows_of(x, "SELECT v FROM many WHERE a = 1"), "a|a|a|a|");
	assert_int_equal(put_many(x, &m, 2, 2, "x", 2, job, a + 1), SM_STALE_EPOCH);
	assert_int_equal(put_many(x, &m, 0, 0, "", 2, job, a), SM_OK);
	assert_int_equal(peer_try(x, x->address, &other, &error), SM_OK);
	uint64_t b = epoch_of(other, job);
	assert_true(b > a);
	assert_int_equal(put_many(x, &m, 2, 2, "old", 9, job, a), SM_STALE_EPOCH);
	assert_int_equal(put_many(x, &m, 0, 0, "", 9, job, a), SM_STALE_EPOCH);
	assert_string_equal(rows_of(x, "SELECT v FROM many WHERE a = 1"), "a|a|a|a|");
	x->store = other;
	assert_int_equal(put_many(x, &m, 2, 2, "b", 3, job, b), SM_OK);
	assert_string_equal(rows_of(x, "SELECT v FROM many WHERE a = 1"), "b|b|b|b|");
	x->store = first;
	assert_int_equal(other->ops->close(other, &error), SM_OK);
	x->store->ops->schema_release(x->store, m.schema);
}

static void a_job_cannot_write_what_cannot_be_written_twice(void **state)
{
	struct peer *x = *state;
	run_cql(x, "CREATE TABLE n (k int PRIMARY KEY, n counter)");
	const struct store_schema *schema = x->store->ops->schema(x->store);
	const struct store_table *t = store_find_table(schema, x->keyspace, "n");
	char job[60];
	uint8_t one[8] = {0, 0, 0, 0, 0, 0, 0, 1};
	struct store_cell key = {one + 4, 4};
	struct store_assignment add = {.column = store_find_column(t, "n"), .value = {one, 8}, .how = STORE_ADD_ELEMENTS};
	struct store_mutation m = {
		.kind = STORE_UPSERT_UPDATE, .table = t, .partition_key = &key, .cells = &add, .cell_count = 1, .timestamp_us = 1};
	snprintf(job, sizeof job, "%s counts", x->keyspace);
	struct store_batch batch = {.mutations = &m, .count = 1, .job = job, .epoch = epoch_of(x->store, job)};
	assert_int_equal(store_apply_wait(x->store, &batch), SM_UNSUPPORTED);
	batch.job = NULL;
	assert_int_equal(store_apply_wait(x->store, &batch), SM_OK);
	x->store->ops->schema_release(x->store, schema);
}

static void a_journal_that_is_lost_is_told(void **state)
{
	struct peer *x = *state;
	struct sm_error error;
	uint64_t epoch;
	char job[60];
	snprintf(job, sizeof job, "%s lost", x->keyspace);
	epoch_of(x->store, job);
	run_cql(x, "UPDATE smack_system.store_job SET committed = 4294967299, chunks = 2 WHERE job = '%s'", job);
	assert_int_equal(x->store->ops->job_epoch(x->store, job, &epoch, &error), SM_CORRUPT);
	assert_non_null(strstr(error.text, "was decided with 2 rows of smack_system.store_journal, and 0 are there"));
}

/* ---- a server that goes at any moment ---- */

struct putting {
	struct peer *x;
	const struct many *many;
	const char *job;
	uint64_t epoch;
	char value[16];
	int64_t time;
	enum sm_err err;
};

static void *put_thread(void *arg)
{
	struct putting *p = arg;
	p->err = put_many(p->x, p->many, 20, 5, p->value, p->time, p->job, p->epoch);
	return NULL;
}

enum { AS = 20, BS = 5, ROUNDS = 12 };

static void one_round(struct peer *x, const char *job, int round, char *was)
{
	struct many m = many_begin(x);
	struct putting p = {.x = x, .many = &m, .job = job, .time = round + 1};
	struct sm_error error;
	pthread_t thread;
	char seen[16] = "";
	snprintf(p.value, sizeof p.value, "v%d", round);
	p.epoch = job ? epoch_of(x->store, job) : 0;
	assert_int_equal(pthread_create(&thread, NULL, put_thread, &p), 0);
	nanosleep(&(struct timespec){0, round * 3000000}, NULL); /* a place, whichever it is */
	if (round % 4 != 3)
		peer_stop(x);
	cassandra_ending(x->store);
	pthread_join(thread, NULL);
	x->store->ops->schema_release(x->store, m.schema);
	assert_int_equal(x->store->ops->close(x->store, &error), SM_OK);
	if (!x->server)
		peer_start(x);
	peer_open(x);
	if (job)
		epoch_of(x->store, job);
	/* all rows say the same */
	m = many_begin(x);
	struct store_read all = {.table = m.table, .token_from = INT64_MIN, .token_to = INT64_MAX};
	struct store_cursor *cursor;
	const struct store_row *row;
	uint32_t count = 0;
	assert_int_equal(x->store->ops->open(x->store, &all, &cursor, &error), SM_OK);
	while (x->store->ops->next(cursor, &row) == SM_OK) {
		char v[16];
		snprintf(v, sizeof v, "%.*s", row->cells[3].size, (const char *)row->cells[3].data);
		if (count++)
			assert_string_equal(v, seen);
		memcpy(seen, v, sizeof v);
	}
	x->store->ops->close_cursor(cursor);
	x->store->ops->schema_release(x->store, m.schema);
	assert_true(count == AS * BS * 2 || (count == 0 && !*was));
	if (strcmp(seen, p.value) != 0)
		assert_string_equal(seen, was);
	if (!p.err) /* it was acknowledged */
		assert_string_equal(seen, p.value);
	strcpy(was, seen);
}

static void batches_are_whole_after_the_server_has_gone(void **state)
{
	struct peer *x = *state;
	char job[60], was[16] = "";
	if (!x->embedded)
		return; /* another's server is not ours to stop */
	snprintf(job, sizeof job, "%s killed", x->keyspace);
	for (int round = 0; round < ROUNDS; round++)
		one_round(x, job, round, was);
	run_cql(x, "TRUNCATE many");
	*was = 0;
	for (int round = 0; round < ROUNDS; round++)
		one_round(x, NULL, ROUNDS + round, was);
	/* nothing is left behind */
	assert_string_equal(rows_of(x, "SELECT id FROM smack_system.store_batch"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_older_epoch_is_refused, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(a_job_cannot_write_what_cannot_be_written_twice, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(a_journal_that_is_lost_is_told, peer_begin, peer_end),
		cmocka_unit_test_setup_teardown(batches_are_whole_after_the_server_has_gone, peer_begin, peer_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
