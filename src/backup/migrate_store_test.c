/* Moving tables between two stores: what comes over, what is left and named, writes that fail at every step, what comes twice. */
#include "backup/migrate_store_testing.h"

/* A run that ends: how many tables differ. */
static struct migrate_store_report *run(struct two_stores *x)
{
	struct migrate_store_report *report;
	struct sm_error error;
	*x->said = 0;
	if (migrate_store(&x->options, &report, &error))
		fail_msg("%s\n%s", error.text, x->said);
	return report;
}

static void assert_same(struct two_stores *x)
{
	struct migrate_store_report *r = run(x);
	for (uint32_t i = 0; i < r->row_count; i++)
		if (!r->rows[i].same || r->rows[i].source_rows != r->rows[i].target_rows ||
		    memcmp(r->rows[i].source_sum, r->rows[i].target_sum, MIGRATE_SUM_SIZE) != 0)
			fail_msg("%s: %s", r->rows[i].table, r->rows[i].difference);
	assert_int_equal(r->differences, 0);
	migrate_store_report_free(r);
	char *copy = strdup(rows_of(x->source));
	assert_string_equal(copy, rows_of(x->inner));
	free(copy);
}

static void assert_difference(struct two_stores *x, const char *what)
{
	struct migrate_store_report *r = run(x);
	bool found = false;
	for (uint32_t i = 0; i < r->row_count; i++)
		found |= !r->rows[i].same && strstr(r->rows[i].difference, what);
	if (!found)
		fail_msg("no table has the difference '%s': %s", what, r->row_count ? r->rows[r->row_count - 1].difference : "");
	assert_true(r->differences > 0);
	migrate_store_report_free(r);
}

static void fill(struct sm_store *s)
{
	put(s, STORE_UPSERT_INSERT, 1, 1, (struct cells){.v = "x", .list = {1, 2, 1}, .list_count = 3, .key = 5, .time = 10});
	put(s, STORE_UPSERT_UPDATE, 1, 1, (struct cells){.list = {3}, .list_count = 1, .key = 6, .time = 12, .ttl_s = 500});
	put(s, STORE_UPSERT_UPDATE, 1, 1, (struct cells){.list = {4, 5}, .list_count = 2, .time = 11});
	put(s, STORE_UPSERT_INSERT, 1, 2, (struct cells){.v = "y", .time = 20, .ttl_s = 1000});
	put(s, STORE_UPSERT_UPDATE, 1, 3, (struct cells){.v = "", .time = 21});
	put(s, STORE_UPSERT_UPDATE, 1, 0, (struct cells){.s = "static", .time = 30});
	put(s, STORE_UPSERT_UPDATE, 2, 0, (struct cells){.s = "alone", .time = 31, .ttl_s = 700});
	put(s, STORE_UPSERT_INSERT, 3, 3, (struct cells){.time = 32});
	count(s, 1, 41);
	count(s, 1, 1);
	count(s, 2, -7);
}

static void rows_come_over_with_times_and_ends(void **state)
{
	struct two_stores *x = *state;
	fill(x->source);
	x->clock.now_us += 3000000;
	assert_same(x);
	assert_non_null(
		strstr(rows_of(x->inner), "l[1@10+0] l[2@10+0] l[1@10+0] l[3@12+497] l[4@11+0] l[5@11+0] m[5@10+0] m[6@12+497] v=x@10+0"));
	assert_int_equal(counter_of(x->inner, 1), 42);
	assert_int_equal(counter_of(x->inner, 2), -7);
	/* whole when it has ended: nothing is written again */
	struct migrate_store_report *r = run(x);
	for (uint32_t i = 0; i < r->row_count; i++)
		assert_int_equal(r->rows[i].written, 0);
	migrate_store_report_free(r);
	/* what expires goes at both sides */
	x->clock.now_us += 996000000;
	assert_non_null(strstr(rows_of(x->inner), "1,2: s=static@30+0 v=y@20+1|"));
	x->clock.now_us += 2000000;
	assert_same(x);
	assert_null(strstr(rows_of(x->inner), "1,2:"));
}

static void changes_follow_and_what_has_gone_goes_when_told(void **state)
{
	struct two_stores *x = *state;
	fill(x->source);
	assert_same(x);
	put(x->source, STORE_UPSERT_UPDATE, 1, 1, (struct cells){.v = "newer", .list = {9}, .list_count = 1, .time = 100});
	count(x->source, 2, 100);
	assert_same(x);
	assert_int_equal(counter_of(x->inner, 2), 93);
	put(x->source, STORE_DELETE_ROW, 1, 2, (struct cells){.time = 200});
	x->options.verify = true;
	assert_difference(x, "a = 1, b = 2: the source has no such row");
	x->options.verify = false;
	assert_difference(x, "a = 1, b = 2: the source has no such row");
	put(x->source, STORE_DELETE_PARTITION, 2, 0, (struct cells){.s = "", .time = 201});
	x->options.prune = true;
	assert_same(x);
	assert_null(strstr(rows_of(x->inner), "alone"));
}

static void what_the_target_has_is_left_and_named(void **state)
{
	struct two_stores *x = *state;
	fill(x->source);
	assert_same(x);
	put(x->inner, STORE_UPSERT_UPDATE, 1, 1, (struct cells){.v = "other", .time = 5000});
	assert_difference(x, "a = 1, b = 1: a cell of the target is newer");
	put(x->source, STORE_UPSERT_UPDATE, 1, 1, (struct cells){.v = "again", .time = 6000});
	assert_same(x);
	put(x->inner, STORE_UPSERT_UPDATE, 1, 1, (struct cells){.list = {7}, .list_count = 1, .time = 5000});
	assert_difference(x, "a list's element at the target is newer");
	put(x->inner, STORE_UPSERT_UPDATE, 1, 3, (struct cells){.key = 7, .time = 5000});
	assert_difference(x, "the target has an element that the source has not");
	count(x->inner, 9, 1);
	assert_difference(x, "a = 9: the source has no such row");
}

/* A list's elements that came twice, as a write whose answer was lost, go again. */
static void what_came_twice_is_one(void **state)
{
	struct two_stores *x = *state;
	fill(x->source);
	x->target.twice = true;
	assert_difference(x, "it has changed at each of 6 looks"); /* the counters: they are off by as much as was added */
	x->target.twice = false;
	assert_same(x);
	assert_int_equal(counter_of(x->inner, 1), 42);
}

static void every_write_that_fails_is_made_up_for(void **state)
{
	struct two_stores *x = *state;
	struct migrate_store_report *report;
	struct sm_error error;
	for (int i = 0; i < 60; i++)
		put(x->source, STORE_UPSERT_INSERT, i, 1, (struct cells){.v = "x", .key = i + 1});
	x->options.range_rows = 7;
	x->options.tables = (const char *const[]){"k.t"};
	x->options.table_count = 1;
	for (long at = 1, made = 2; at < made; at++) {
		x->target.writes = 0;
		x->target.fail_at = at;
		x->target.error = SM_NO_SPACE;
		x->target.arrives = at % 2;
		assert_int_equal(migrate_store(&x->options, &report, &error), SM_NO_SPACE);
		assert_non_null(strstr(error.text, "writing table k.t at target, at the token"));
		x->target.fail_at = 0;
		assert_same(x);
		made = at == 1 ? x->target.writes : made;
		for (int i = 0; i < 60; i++)
			put(x->inner, STORE_DELETE_PARTITION, i, 0, (struct cells){.s = "", .time = 1000 + at});
		for (int i = 0; i < 60; i++)
			put(x->source, STORE_UPSERT_INSERT, i, 1, (struct cells){.v = "x", .key = i + 1, .time = 1001 + at});
	}
}

/* It stands where it was: ranges that are proven are not looked at, and it says since when. */
static void a_run_that_ended_early_goes_on(void **state)
{
	struct two_stores *x = *state;
	struct migrate_store_report *report;
	struct sm_error error;
	for (int i = 0; i < 60; i++)
		put(x->source, STORE_UPSERT_INSERT, i, 1, (struct cells){.v = "x"});
	x->options.range_rows = 7;
	x->options.tell_ranges = true;
	x->options.tables = (const char *const[]){"k"};
	x->options.table_count = 1;
	x->target.clock = &x->clock;
	x->target.fail_at = 4;
	x->target.error = SM_NO_SPACE;
	assert_int_equal(migrate_store(&x->options, &report, &error), SM_NO_SPACE);
	assert_non_null(strstr(x->said, "k.t, tokens -9223372036854775808 to "));
	assert_same(x);
	assert_null(strstr(x->said, "k.t, tokens -9223372036854775808 to "));
	assert_non_null(strstr(x->said, "warning: table k.t: goes on behind 3 ranges that were proven until 2 s ago"));
	/* a damaged note is named */
	char path[200];
	snprintf(path, sizeof path, "%s/tables/k.t", x->state);
	assert_int_equal(io_write_file_atomic(&io_system, path, bytes_str("nonsense"), &error), SM_OK);
	assert_int_equal(migrate_store(&x->options, &report, &error), SM_CORRUPT);
	assert_non_null(strstr(error.text, "k.t is damaged"));
	assert_int_equal(unlink(path), 0);
	x->options.source.name = "another";
	assert_int_equal(migrate_store(&x->options, &report, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "has the notes of a migration from source to target"));
}

static void definitions_that_are_refused_are_named(void **state)
{
	struct two_stores *x = *state;
	struct migrate_store_report *report;
	struct sm_error error;
	fill(x->source);
	x->index = true;
	x->options.dry_run = true;
	report = run(x);
	assert_non_null(strstr(x->said, "index k.I\"x: would be made"));
	assert_int_equal(report->row_count, 0);
	migrate_store_report_free(report);
	x->options.dry_run = false;
	report = run(x);
	assert_int_equal(report->not_made, 1);
	assert_int_equal(report->differences, 0);
	assert_non_null(strstr(x->said, "warning: index k.I\"x: is not made, the target says: no indexes here"));
	migrate_store_report_free(report);
	x->options.tables = (const char *const[]){"k.none"};
	x->options.table_count = 1;
	assert_int_equal(migrate_store(&x->options, &report, &error), SM_NOT_FOUND);
}

static void another_table_is_refused(void **state)
{
	struct two_stores *x = *state;
	struct migrate_store_report *report;
	struct sm_error error;
	make_keyspace(x->inner);
	make_n(x->inner, false);
	assert_int_equal(migrate_store(&x->options, &report, &error), SM_CONFLICT);
	assert_non_null(strstr(error.text, "table k.n has other columns"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_come_over_with_times_and_ends, two_setup, two_teardown),
		cmocka_unit_test_setup_teardown(changes_follow_and_what_has_gone_goes_when_told, two_setup, two_teardown),
		cmocka_unit_test_setup_teardown(what_the_target_has_is_left_and_named, two_setup, two_teardown),
		cmocka_unit_test_setup_teardown(what_came_twice_is_one, two_setup, two_teardown),
		cmocka_unit_test_setup_teardown(every_write_that_fails_is_made_up_for, two_setup, two_teardown),
		cmocka_unit_test_setup_teardown(a_run_that_ended_early_goes_on, two_setup, two_teardown),
		cmocka_unit_test_setup_teardown(definitions_that_are_refused_are_named, two_setup, two_teardown),
		cmocka_unit_test_setup_teardown(another_table_is_refused, two_setup, two_teardown),
	};
	return cmocka_run_group_tests_name("backup/migrate_store", tests, NULL, NULL);
}
