/* Sources, sinks and the public calls on a real log and a real store. */
#include "compute/compute.h"
#include "compute/sql.h"
#include "compute/testing.h"
#include <smack/event.h>
#include <smack/log.h>
#include <smack/store.h>
#include <semaphore.h>

static struct platform platform;

static int open_platform(void **state)
{
	platform_open(&platform);
	platform_keyspace(&platform, "ks");
	platform_table(&platform, "ks", "wide",
		       "k int p, c text c, b boolean r, i int r, l bigint r, d double r, t text r, z blob r, u uuid r, at timestamp r");
	platform_table(&platform, "ks", "small", "id uuid p, n int r, at bigint r, name text r");
	platform_topic(&platform, "events", 3);
	platform_topic(&platform, "plain", 2);
	return 0;
}
static int close_platform(void **state)
{
	platform_close(&platform);
	return 0;
}

static struct sm_context *context(void)
{
	struct sm_context *sc;
	struct sm_error error = {0};
	platform_check(sm_context_new(platform.log, platform.store, NULL, &sc, &error), &error);
	return sc;
}

/* ---- tables ---- */

enum { WIDE_ROWS = 3000 };

static enum sm_err fill_wide(struct sm_out *out, void *arg)
{
	for (int i = 0; i < WIDE_ROWS; i++) {
		char text[20];
		struct sm_uuid uuid = {{(uint8_t)i, (uint8_t)(i >> 8), 7}};
		snprintf(text, sizeof text, "row %d", i);
		sm_put(out, "k", sm_integer(i / 3));
		sm_put(out, "c", sm_text(text));
		sm_put(out, "b", sm_boolean(i % 2));
		sm_put(out, "i", sm_integer(-i));
		sm_put(out, "l", sm_integer((int64_t)i << 40));
		sm_put(out, "d", sm_real(i / 8.0));
		sm_put(out, "t", i % 5 ? sm_text(text) : sm_null());
		sm_put(out, "z", sm_bytes_value(SM_BLOB, text, 3));
		sm_put(out, "u", sm_uuid(&uuid));
		sm_put(out, "at", sm_timestamp(1574553617004 + i));
		enum sm_err err = sm_emit(out);
		if (err)
			return err;
	}
	return SM_OK;
}

static enum sm_err check_wide(const struct sm_row *row, void *arg)
{
	bool *seen = arg;
	int i = (int)-sm_get_integer(row, "i");
	char text[20];
	snprintf(text, sizeof text, "row %d", i);
	assert_true(i >= 0 && i < WIDE_ROWS && !seen[i]);
	seen[i] = true;
	assert_int_equal(sm_get_integer(row, "k"), i / 3);
	assert_true(sm_text_is(row, "c", text));
	assert_int_equal(sm_get_boolean(row, "b"), i % 2);
	assert_int_equal(sm_get_integer(row, "l"), (int64_t)i << 40);
	assert_true(sm_get_real(row, "d") == i / 8.0);
	assert_int_equal(sm_is_null(row, "t"), i % 5 == 0);
	assert_memory_equal(sm_get_bytes(row, "z").data, "row", 3);
	assert_int_equal(sm_get_uuid(row, "u").bytes[1], i >> 8);
	assert_int_equal(sm_get_integer(row, "at"), 1574553617004 + i);
	return SM_OK;
}

static enum sm_err count_row(void *arg, const struct sm_row *row)
{
	++*(int *)arg;
	return SM_OK;
}

static void every_type_survives_a_table_and_every_row_is_scanned_once(void **state)
{
	static bool seen[WIDE_ROWS];
	struct sm_context *sc = context();
	struct sm_error error = {0};
	uint64_t count = 0;
	struct sm_rdd *rows = sm_rdd_parallelize(
		sc, "k int, c text, b boolean, i int, l bigint, d double, t text, z blob, u uuid, at timestamp", 4, fill_wide, NULL);
	for (int twice = 0; twice < 2; twice++) {
		platform_check(sm_rdd_save_to_table(rows, "ks.wide", &count, &error), &error);
		assert_int_equal(count, WIDE_ROWS);
	}
	platform_check(sm_rdd_count(sm_rdd_table(sc, "ks.wide"), &count, &error), &error);
	assert_int_equal(count, WIDE_ROWS);
	platform_check(sm_rdd_foreach(sm_rdd_table(sc, "ks.wide"), check_wide, seen, &error), &error);
	for (int i = 0; i < WIDE_ROWS; i++)
		assert_true(seen[i]);
	int scanned = 0;
	platform_check(sm_store_scan(platform.store, "ks.wide", count_row, &scanned, &error), &error);
	assert_int_equal(scanned, WIDE_ROWS);
	sm_context_free(sc);
}

static void rows_are_got_by_key_and_prefix(void **state)
{
	struct sm_error error = {0};
	int count = 0;
	struct sm_value key[] = {sm_integer(100), sm_text("row 301"), sm_integer(1)};
	platform_check(sm_store_get(platform.store, "ks.wide", key, 1, count_row, &count, &error), &error);
	assert_int_equal(count, 3);
	platform_check(sm_store_get(platform.store, "ks.wide", key, 2, count_row, &count, &error), &error);
	assert_int_equal(count, 4);
	key[0] = sm_integer(1000000);
	platform_check(sm_store_get(platform.store, "ks.wide", key, 1, count_row, &count, &error), &error);
	assert_int_equal(count, 4);
	assert_int_equal(sm_store_get(platform.store, "ks.wide", key, 3, count_row, &count, &error), SM_INVALID);
	assert_string_equal(error.text, "the key of ks.wide has 2 columns, the first 1 of them are needed; 3 were given");
	key[0] = sm_text("x");
	assert_int_equal(sm_store_get(platform.store, "ks.wide", key, 1, count_row, &count, &error), SM_TYPE);
	assert_int_equal(sm_store_get(platform.store, "ks.none", key, 1, count_row, &count, &error), SM_NOT_FOUND);
}

static enum sm_err leave_rows(void *arg, uint32_t partition, struct batch *batch, struct sm_error *reterr)
{
	return SM_OK;
}

static enum sm_err run_sql(const char *text, struct sm_error *reterr)
{
	struct compute_env env = {.store = platform.store};
	struct sql_script *s = NULL;
	uint64_t rows;
	platform_check(sql_parse(bytes_str(text), &s, reterr), reterr);
	enum sm_err err = sql_run(&env, sql_script_at(s, 0), NULL, 0, leave_rows, NULL, &rows, reterr);
	sql_script_free(s);
	return err;
}

/* A view's rows are made by CQL: its name is no table to read or write here. */
static void a_materialized_view_is_neither_read_nor_written(void **state)
{
	static const char reads[] = "ks.small_mv is a materialized view: read its table ks.small";
	static const char writes[] = "ks.small_mv is a materialized view: write its table ks.small";
	struct sm_error error = {0};
	struct store_column columns[] = {{.name = "n", .type = {.id = STORE_INT}, .kind = STORE_PARTITION_KEY},
					 {.name = "id", .type = {.id = STORE_UUID}, .kind = STORE_CLUSTERING}};
	struct store_option base = {STORE_VIEW_BASE, "small"};
	struct store_table view = {
		.keyspace = "ks", .name = "small_mv", .columns = columns, .column_count = 2, .options = &base, .option_count = 1};
	struct store_change change = {.kind = STORE_CREATE_TABLE, .keyspace = "ks", .table = "small_mv", .new_table = &view};
	platform_check(store_change_wait(platform.store, &change, &error), &error);
	int count = 0;
	assert_int_equal(sm_store_scan(platform.store, "ks.small_mv", count_row, &count, &error), SM_INVALID);
	assert_string_equal(error.text, reads);
	struct sm_value key[] = {sm_integer(7)};
	assert_int_equal(sm_store_get(platform.store, "ks.small_mv", key, 1, count_row, &count, &error), SM_INVALID);
	assert_string_equal(error.text, reads);
	struct sm_column_value row[] = {{"id", sm_text("40b08953-a000-4000-8000-000000000001")}, {"n", sm_integer(7)}};
	assert_int_equal(sm_store_put(platform.store, "ks.small_mv", row, 2, &error), SM_INVALID);
	assert_string_equal(error.text, writes);
	assert_int_equal(run_sql("SELECT n FROM ks.small_mv", &error), SM_INVALID);
	assert_string_equal(error.text, reads);
	assert_int_equal(run_sql("INSERT INTO ks.small_mv SELECT id, n FROM ks.small", &error), SM_INVALID);
	assert_string_equal(error.text, writes);
}

static enum sm_err keep_small(void *arg, const struct sm_row *row)
{
	char name[20];
	snprintf(arg, 100, "%d %lld %s", (int)sm_get_integer(row, "n"), (long long)sm_get_integer(row, "at"),
		 sm_value_format(sm_get(row, "name"), name, sizeof name));
	return SM_OK;
}

static void post(void *arg, enum sm_err err)
{
	assert_int_equal(err, SM_OK);
	sem_post(arg);
}

static void a_put_row_is_there_and_types_convert(void **state)
{
	struct sm_error error = {0};
	char got[100] = "";
	struct sm_column_value row[] = {{"id", sm_text("40b08953-a000-4000-8000-000000000001")},
					{"n", sm_integer(7)},
					{"at", sm_timestamp(12345)},
					{"name", sm_text("seven")}};
	platform_check(sm_store_put(platform.store, "ks.small", row, 4, &error), &error);
	platform_check(sm_store_get(platform.store, "ks.small", &row[0].value, 1, keep_small, got, &error), &error);
	assert_string_equal(got, "7 12345 seven");
	row[3].value = sm_null();
	sem_t done;
	sem_init(&done, 0, 0);
	platform_check(sm_store_put_then(platform.store, "ks.small", row, 4, post, &done, &error), &error);
	sem_wait(&done);
	sem_destroy(&done);
	platform_check(sm_store_get(platform.store, "ks.small", &row[0].value, 1, keep_small, got, &error), &error);
	assert_string_equal(got, "7 12345 NULL");
}

static void a_row_that_does_not_fit_its_table_is_refused_by_column(void **state)
{
	struct sm_error error = {0};
	struct sm_column_value row[] = {{"id", sm_text("40b08953")}, {"n", sm_integer(7)}};
	assert_int_equal(sm_store_put(platform.store, "ks.small", row, 2, &error), SM_TYPE);
	assert_string_equal(error.text, "'40b08953' is no uuid, as column id wants one");
	row[0].value = sm_null();
	assert_int_equal(sm_store_put(platform.store, "ks.small", row, 2, &error), SM_INVALID);
	assert_string_equal(error.text, "column id is part of the primary key of ks.small: it wants a value");
	row[0].value = sm_text("40b08953-a000-4000-8000-000000000001");
	row[1].value = sm_integer(1ll << 31);
	assert_int_equal(sm_store_put(platform.store, "ks.small", row, 2, &error), SM_OUT_OF_RANGE);
	assert_string_equal(error.text, "2147483648 does not fit into column n (4 bytes)");
	row[1].value = sm_text("seven");
	assert_int_equal(sm_store_put(platform.store, "ks.small", row, 2, &error), SM_TYPE);
	assert_string_equal(error.text,
			    "column n of ks.small is of type int, but the rows have string there: convert it (in SQL: CAST(... AS int))");
	row[1].column = "m";
	assert_int_equal(sm_store_put(platform.store, "ks.small", row, 2, &error), SM_NOT_FOUND);
}

static enum sm_err no_rows(struct sm_out *out, void *arg)
{
	return SM_OK;
}
static enum sm_err null_key(struct sm_out *out, void *arg)
{
	return sm_emit(out);
}

static void saving_checks_columns_before_anything_runs(void **state)
{
	struct sm_context *sc = context();
	struct sm_error error = {0};
	assert_int_equal(sm_rdd_save_to_table(sm_rdd_parallelize(sc, "n int", 1, no_rows, NULL), "ks.small", NULL, &error), SM_INVALID);
	assert_string_equal(error.text, "the rows have no column for id, which is part of the primary key of ks.small");
	assert_int_equal(sm_rdd_save_to_table(sm_rdd_parallelize(sc, "id uuid, what int", 1, no_rows, NULL), "ks.small", NULL, &error),
			 SM_NOT_FOUND);
	assert_int_equal(sm_rdd_save_to_table(sm_rdd_parallelize(sc, "id double", 1, no_rows, NULL), "ks.small", NULL, &error), SM_TYPE);
	assert_int_equal(sm_rdd_save_to_table(sm_rdd_parallelize(sc, "id uuid", 1, no_rows, NULL), "ks.none", NULL, &error), SM_NOT_FOUND);
	assert_string_equal(error.text, "there is no table ks.none");
	assert_int_equal(sm_rdd_save_to_table(sm_rdd_parallelize(sc, "id uuid", 1, null_key, NULL), "ks.small", NULL, &error), SM_INVALID);
	assert_string_equal(error.text,
			    "stage 0, task 1 of 1, attempt 4, save to table: a row has null for id, which is part of the primary key of "
			    "ks.small: filter such rows out");
	sm_context_free(sc);
}

/* ---- topics ---- */

static void append_event(int i, const char *broken)
{
	struct sm_error error = {0};
	struct sm_event event = {.id = {{(uint8_t)i, (uint8_t)(i >> 8)}},
				 .campaign = {{(uint8_t)(i % 5)}},
				 .ts = 1000 + i,
				 .type = i % 3 ? SM_EVENT_VIEW : SM_EVENT_CLICK};
	char json[SM_EVENT_JSON_MAX], key[40];
	size_t size = sm_event_write(&event, json);
	sm_uuid_format(&event.campaign, key);
	struct sm_log_position position;
	platform_check(sm_log_append(platform.log, "events", (struct sm_bytes){key, 36},
				     broken ? (struct sm_bytes){broken, strlen(broken)} : (struct sm_bytes){json, size}, &position, &error),
		       &error);
	assert_true(position.offset >= 0);
}

static struct schema *event_schema;
static const struct schema *schema_of(void *arg, const char *topic)
{
	return strcmp(topic, "events") == 0 ? event_schema : NULL;
}

static bool is_click(const struct sm_row *row, void *arg)
{
	return sm_text_is(row, "type", "click");
}

static enum sm_err check_event(const struct sm_row *row, void *arg)
{
	int i = (int)sm_get_integer(row, "ts") - 1000;
	struct sm_uuid id = sm_get_uuid(row, "id");
	assert_int_equal(id.bytes[0] + id.bytes[1] * 256, i);
	assert_int_equal(sm_get_bytes(row, "_key").size, 36);
	assert_true(sm_get_integer(row, "_offset") >= 0 && sm_get_integer(row, "_partition") < 3 &&
		    sm_get_integer(row, "_timestamp") > 1574553617004);
	++*(int *)arg;
	return SM_OK;
}

static void a_topics_records_are_typed_rows_and_bad_ones_are_counted(void **state)
{
	struct sm_error error = {0};
	struct sm_context *sc = context();
	for (int i = 0; i < 300; i++)
		append_event(i, i % 100 == 7 ? "{\"id\":1}" : NULL);
	platform_check(schema_compile(bytes_str(sm_event_schema()), &event_schema, &error), &error);
	context_set_schemas(sc, schema_of, NULL);
	int seen = 0;
	platform_check(sm_rdd_foreach(sm_rdd_topic(sc, "events"), check_event, &seen, &error), &error);
	assert_int_equal(seen, 297);
	assert_int_equal(sm_context_stats(sc).skipped, 3);
	uint64_t clicks;
	platform_check(sm_rdd_count(sm_rdd_filter(sm_rdd_topic(sc, "events"), is_click, NULL), &clicks, &error), &error);
	assert_int_equal(clicks, 99); /* 100 multiples of 3 below 300, 207 is broken */
	assert_int_equal(sm_rdd_count(sm_rdd_topic(sc, "nothing"), &clicks, &error), SM_NOT_FOUND);
	sm_context_free(sc);
	schema_free(event_schema);
}

static enum sm_err check_plain(const struct sm_row *row, void *arg)
{
	assert_int_equal(sm_row_width(row), 5);
	assert_string_equal(sm_row_name(row, 0), "value");
	*(int *)arg += sm_is_null(row, "value") ? 100 : sm_is_null(row, "_key") ? 10 : 1;
	return SM_OK;
}

static void a_topic_without_a_schema_gives_its_values_as_they_are(void **state)
{
	struct sm_error error = {0};
	struct sm_context *sc = context();
	struct sm_bytes none = {NULL, 0}, some = {"\0\1", 2};
	platform_check(sm_log_append(platform.log, "plain", some, some, NULL, &error), &error);
	platform_check(sm_log_append(platform.log, "plain", none, some, NULL, &error), &error);
	platform_check(sm_log_append(platform.log, "plain", some, none, NULL, &error), &error);
	int sum = 0;
	platform_check(sm_rdd_foreach(sm_rdd_topic(sc, "plain"), check_plain, &sum, &error), &error);
	assert_int_equal(sum, 111);
	sm_context_free(sc);
}

static void appended(void *arg, enum sm_err err, struct sm_log_position position)
{
	post(arg, err);
}

struct reading {
	int64_t next;
	int count, stop_at;
};
static enum sm_err read_one(void *arg, const struct sm_record *record)
{
	struct reading *r = arg;
	assert_int_equal(record->offset, r->next);
	r->next++;
	return ++r->count == r->stop_at ? SM_END : SM_OK;
}

static void a_partition_is_read_from_an_offset_on(void **state)
{
	struct sm_error error = {0};
	struct sm_bytes key = {"same", 4};
	sem_t done;
	sem_init(&done, 0, 0);
	platform_topic(&platform, "read", 1);
	for (int i = 0; i < 50; i++)
		assert_int_equal(sm_log_append_then(platform.log, "read", key, key, appended, &done), SM_OK);
	for (int i = 0; i < 50; i++)
		sem_wait(&done);
	sem_destroy(&done);
	int64_t first, end, next;
	assert_int_equal(sm_log_offsets(platform.log, "read", 0, &first, &end), SM_OK);
	assert_int_equal(first, 0);
	assert_int_equal(end, 50);
	struct reading all = {.next = 10};
	platform_check(sm_log_read(platform.log, "read", 0, 10, read_one, &all, &next, &error), &error);
	assert_int_equal(all.count, 40);
	assert_int_equal(next, 50);
	struct reading some = {.next = 20, .stop_at = 5};
	platform_check(sm_log_read(platform.log, "read", 0, 20, read_one, &some, &next, &error), &error);
	assert_int_equal(some.count, 5);
	assert_int_equal(next, 25);
	assert_int_equal(sm_log_read(platform.log, "read", 0, 51, read_one, &all, &next, &error), SM_OUT_OF_RANGE);
	assert_string_equal(error.text, "topic read, partition 0 has the offsets 0 to 50, not 51");
	assert_int_equal(sm_log_append(platform.log, "nothing", key, key, NULL, &error), SM_NOT_FOUND);
	int32_t partitions;
	assert_int_equal(sm_log_partitions(platform.log, "events", &partitions), SM_OK);
	assert_int_equal(partitions, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_survives_a_table_and_every_row_is_scanned_once),
		cmocka_unit_test(rows_are_got_by_key_and_prefix),
		cmocka_unit_test(a_materialized_view_is_neither_read_nor_written),
		cmocka_unit_test(a_put_row_is_there_and_types_convert),
		cmocka_unit_test(a_row_that_does_not_fit_its_table_is_refused_by_column),
		cmocka_unit_test(saving_checks_columns_before_anything_runs),
		cmocka_unit_test(a_topics_records_are_typed_rows_and_bad_ones_are_counted),
		cmocka_unit_test(a_topic_without_a_schema_gives_its_values_as_they_are),
		cmocka_unit_test(a_partition_is_read_from_an_offset_on),
	};
	return cmocka_run_group_tests(tests, open_platform, close_platform);
}
