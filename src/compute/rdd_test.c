#include <smack/rdd.h>
#include "base/io.h"
#include "compute/compute_limits.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- rows for the tests ---- */

struct pairs {
	const char *const *keys; /* NULL: null */
	const int64_t *values;
	int count;
};

static enum sm_err fill_pairs(struct sm_out *out, void *arg)
{
	const struct pairs *p = arg;
	for (int i = 0; i < p->count; i++) {
		if (p->keys[i])
			sm_put_at(out, 0, sm_text(p->keys[i]));
		sm_put_at(out, 1, sm_integer(p->values[i]));
		enum sm_err err = sm_emit(out);
		if (err)
			return err;
	}
	return SM_OK;
}

static struct sm_rdd *pairs(struct sm_context *sc, const char *columns, uint32_t partitions, int count, const char *const *keys,
			    const int64_t *values)
{
	return sm_rdd_parallelize(sc, columns, partitions, fill_pairs, &(struct pairs){keys, values, count});
}

static enum sm_err fill_numbers(struct sm_out *out, void *arg)
{
	for (int64_t i = 0; i < *(int *)arg; i++) {
		sm_put(out, "n", sm_integer(i));
		enum sm_err err = sm_emit(out);
		if (err)
			return err;
	}
	return SM_OK;
}

static struct sm_rdd *numbers(struct sm_context *sc, int count, uint32_t partitions)
{
	return sm_rdd_parallelize(sc, "n bigint", partitions, fill_numbers, &count);
}

static struct sm_context *context(const struct sm_context_options *options)
{
	struct sm_context *sc;
	struct sm_error error;
	assert_int_equal(sm_context_new(NULL, NULL, options, &sc, &error), SM_OK);
	return sc;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The rows as lines "a,b,c", sorted, one after the other with ";" between. */
static void assert_rows(struct sm_rdd *rdd, const char *expected)
{
	struct sm_rows *rows;
	struct sm_error error = {0};
	if (sm_rdd_collect(rdd, &rows, &error) != SM_OK)
		fail_msg("%s", error.text);
	uint64_t count = sm_rows_count(rows);
	char **lines = calloc(count + 1, sizeof *lines);
	for (uint64_t i = 0; i < count; i++) {
		const struct sm_row *row = sm_rows_at(rows, i);
		char line[400] = "", one[100];
		for (uint32_t c = 0; c < sm_row_width(row); c++) {
			strcat(line, c ? "," : "");
			strcat(line, sm_value_format(sm_get_at(row, c), one, sizeof one));
		}
		lines[i] = strdup(line);
	}
	qsort(lines, count, sizeof *lines, by_text);
	char all[4000] = "";
	for (uint64_t i = 0; i < count; i++) {
		strcat(strcat(all, i ? ";" : ""), lines[i]);
		free(lines[i]);
	}
	free(lines);
	sm_rows_free(rows);
	assert_string_equal(all, expected);
}

static void assert_fails(struct sm_rdd *rdd, enum sm_err err, const char *text)
{
	uint64_t count;
	struct sm_error error = {0};
	assert_int_equal(sm_rdd_count(rdd, &count, &error), err);
	assert_string_equal(error.text, text);
}

static bool is_even(const struct sm_row *row, void *arg)
{
	return sm_get_integer(row, "n") % 2 == 0;
}
static bool is_below(const struct sm_row *row, void *arg)
{
	return sm_get_integer(row, "n") < *(int64_t *)arg;
}

static enum sm_err to_pair(const struct sm_row *row, struct sm_out *out, void *arg)
{
	char key[20];
	snprintf(key, sizeof key, "k%d", (int)(sm_get_integer(row, "n") % 3));
	sm_put(out, "key", sm_text(key));
	sm_put(out, "count", sm_integer(1));
	sm_put(out, "sum", sm_integer(sm_get_integer(row, "n")));
	return sm_emit(out);
}

static enum sm_err key_only(const struct sm_row *row, struct sm_out *out, void *arg)
{
	char key[20];
	snprintf(key, sizeof key, "k%d", (int)(sm_get_integer(row, "n") % 3));
	sm_put(out, "key", sm_text(key));
	sm_put(out, "a", sm_integer(1));
	return sm_emit(out);
}
static bool is_k1(const struct sm_row *row, void *arg)
{
	return sm_text_is(row, "key", "k1");
}

/* ---- operations ---- */

static void filter_keeps_what_the_function_says(void **state)
{
	struct sm_context *sc = context(NULL);
	assert_rows(sm_rdd_filter(numbers(sc, 10, 3), is_even, NULL), "0;2;4;6;8");
	assert_rows(sm_rdd_filter(numbers(sc, 10, 3), is_below, &(int64_t){100}), "0;1;2;3;4;5;6;7;8;9");
	assert_rows(sm_rdd_filter(numbers(sc, 10, 3), is_below, &(int64_t){0}), "");
	assert_rows(sm_rdd_filter(sm_rdd_filter(numbers(sc, 30, 4), is_even, NULL), is_below, &(int64_t){5}), "0;2;4");
	sm_context_free(sc);
}

static enum sm_err squares(const struct sm_row *row, struct sm_out *out, void *arg)
{
	int64_t n = sm_get_integer(row, "n");
	char text[30];
	if (n == 3)
		return sm_skip(out);
	snprintf(text, sizeof text, "%d squared", (int)n);
	sm_put(out, "what", sm_text(text));
	sm_put(out, "square", sm_integer(n * n));
	sm_put(out, "root", sm_real((double)n / 2));
	sm_put(out, "even", sm_boolean(n % 2 == 0));
	return sm_emit(out);
}

static void map_makes_typed_rows_and_counts_what_it_skips(void **state)
{
	struct sm_context *sc = context(NULL);
	assert_rows(sm_rdd_map(numbers(sc, 4, 2), "what text, square int, root double, even boolean, none blob", squares, NULL),
		    "0 squared,0,0,true,NULL;1 squared,1,0.5,false,NULL;2 squared,4,1,true,NULL");
	assert_int_equal(sm_context_stats(sc).skipped, 1);
	assert_int_equal(sm_context_stats(sc).rows_out, 3);
	sm_context_free(sc);
}

static enum sm_err repeat(const struct sm_row *row, struct sm_out *out, void *arg)
{
	for (int64_t i = 0; i < sm_get_integer(row, "n"); i++) {
		sm_put(out, "n", sm_get(row, "n"));
		enum sm_err err = sm_emit(out);
		if (err)
			return err;
	}
	return SM_OK;
}

static void flat_map_makes_any_number_of_rows(void **state)
{
	struct sm_context *sc = context(NULL);
	assert_rows(sm_rdd_flat_map(numbers(sc, 4, 2), "n bigint", repeat, NULL), "1;2;2;3;3;3");
	uint64_t count;
	struct sm_error error;
	assert_int_equal(sm_rdd_count(sm_rdd_flat_map(numbers(sc, 1000, 2), "n bigint", repeat, NULL), &count, &error), SM_OK);
	assert_int_equal(count, 499500);
	sm_context_free(sc);
}

static void reduce_by_key_folds_each_key_once(void **state)
{
	for (uint32_t partitions = 1; partitions < 6; partitions++) {
		struct sm_context *sc = context(&(struct sm_context_options){.master = "local[2]", .shuffle_partitions = partitions});
		struct sm_rdd *ones = sm_rdd_map_to_pair(numbers(sc, 10000, 7), "key text -> count bigint, sum bigint", to_pair, NULL);
		assert_rows(sm_rdd_reduce_by_key(ones, sm_sum, NULL), "k0,3334,16668333;k1,3333,16661667;k2,3333,16665000");
		sm_context_free(sc);
	}
}

static enum sm_err longest(const struct sm_row *a, const struct sm_row *b, struct sm_out *out, void *arg)
{
	bool first = sm_get_bytes(a, "word").size >= sm_get_bytes(b, "word").size;
	sm_put(out, "word", sm_get(first ? a : b, "word"));
	sm_put(out, "other", sm_get(first ? b : a, "word"));
	return sm_emit(out);
}
static enum sm_err word_of(const struct sm_row *row, struct sm_out *out, void *arg)
{
	char word[40];
	int n = (int)sm_get_integer(row, "n");
	memset(word, 'a' + n % 26, sizeof word);
	sm_put(out, "key", sm_integer(n % 2));
	sm_put(out, "word", sm_bytes_value(SM_TEXT, word, (size_t)n % 30 + 1));
	sm_put(out, "other", sm_text("none"));
	return sm_emit(out);
}

static void reduce_functions_may_keep_and_swap_texts(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *words = sm_rdd_map_to_pair(numbers(sc, 30, 1), "key int -> word text, other text", word_of, NULL);
	assert_rows(sm_rdd_reduce_by_key(words, longest, NULL), "0,ccccccccccccccccccccccccccccc,aaaaaaaaaaaaaaaaaaaaaaaaaaa;1,"
								"dddddddddddddddddddddddddddddd,bbbbbbbbbbbbbbbbbbbbbbbbbbbb");
	sm_context_free(sc);
}

static void joins_pair_rows_with_equal_keys(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *left = pairs(sc, "k text -> a bigint", 2, 5, (const char *const[]){"x", "x", "y", NULL, "z"},
				    (const int64_t[]){1, 2, 3, 4, 5});
	struct sm_rdd *right = pairs(sc, "k text -> b bigint", 3, 5, (const char *const[]){"x", "y", "y", NULL, "w"},
				     (const int64_t[]){10, 20, 30, 40, 50});
	assert_rows(sm_rdd_join(left, right, SM_INNER_JOIN), "x,1,10;x,2,10;y,3,20;y,3,30");
	assert_rows(sm_rdd_join(left, right, SM_LEFT_JOIN), "NULL,4,NULL;x,1,10;x,2,10;y,3,20;y,3,30;z,5,NULL");
	assert_rows(sm_rdd_join(left, right, SM_FULL_JOIN), "NULL,4,NULL;NULL,NULL,40;w,NULL,50;x,1,10;x,2,10;y,3,20;y,3,30;z,5,NULL");
	sm_context_free(sc);
}

static enum sm_err same_key(const struct sm_row *row, struct sm_out *out, void *arg)
{
	sm_put_at(out, 0, sm_integer(7));
	sm_put_at(out, 1, sm_get(row, "n"));
	return sm_emit(out);
}

static void a_join_of_many_to_many_comes_in_full_batches(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *left = sm_rdd_map_to_pair(numbers(sc, 300, 2), "k int -> a bigint", same_key, NULL);
	struct sm_rdd *right = sm_rdd_map_to_pair(numbers(sc, 300, 2), "k int -> b bigint", same_key, NULL);
	uint64_t count;
	struct sm_error error;
	assert_int_equal(sm_rdd_count(sm_rdd_join(left, right, SM_FULL_JOIN), &count, &error), SM_OK);
	assert_int_equal(count, 90000);
	sm_context_free(sc);
}

static void union_and_distinct(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *both = sm_rdd_union(numbers(sc, 3, 2), numbers(sc, 5, 1));
	assert_rows(both, "0;0;1;1;2;2;3;4");
	assert_rows(sm_rdd_distinct(both), "0;1;2;3;4");
	/* The left side's names hold for both. */
	struct sm_rdd *renamed = sm_rdd_flat_map(numbers(sc, 3, 1), "m bigint", repeat, NULL);
	(void)renamed;
	struct sm_rdd *other = sm_rdd_union(numbers(sc, 3, 2), pairs(sc, "m bigint, x bigint", 1, 0, NULL, NULL));
	assert_fails(other, SM_INVALID, "union wants rows of the same types on both sides");
	sm_context_free(sc);
}

static enum sm_err rename_n(const struct sm_row *row, struct sm_out *out, void *arg)
{
	sm_put(out, "m", sm_get(row, "n"));
	return sm_emit(out);
}

static void a_union_has_its_left_sides_names(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *renamed = sm_rdd_map(numbers(sc, 4, 1), "m bigint", rename_n, NULL);
	assert_rows(sm_rdd_filter(sm_rdd_union(numbers(sc, 3, 2), renamed), is_even, NULL), "0;0;2;2");
	sm_context_free(sc);
}

static void nothing_runs_before_an_action(void **state)
{
	struct sm_context *sc = context(NULL);
	uint64_t count;
	struct sm_error error;
	struct sm_rdd *rdd = numbers(sc, 10, 3);
	assert_int_equal(sm_context_stats(sc).tasks, 0);
	assert_int_equal(sm_rdd_count(rdd, &count, &error), SM_OK);
	assert_int_equal(count, 10);
	assert_int_equal(sm_context_stats(sc).tasks, 3);
	sm_context_free(sc);
}

/* ---- failures ---- */

/* Fails its first `left` calls for row 5. */
static enum sm_err shaky(const struct sm_row *row, struct sm_out *out, void *arg)
{
	int *left = arg;
	if (sm_get_integer(row, "n") == 5 && __atomic_fetch_sub(left, 1, __ATOMIC_RELAXED) > 0)
		return SM_UNAVAILABLE;
	sm_put(out, "n", sm_get(row, "n"));
	return sm_emit(out);
}

static void a_function_that_fails_three_times_succeeds_the_fourth(void **state)
{
	struct sm_context *sc = context(NULL);
	int left = COMPUTE_TASK_ATTEMPTS - 1;
	assert_rows(sm_rdd_map(numbers(sc, 10, 2), "n bigint", shaky, &left), "0;1;2;3;4;5;6;7;8;9");
	assert_int_equal(sm_context_stats(sc).retries, 3);
	left = COMPUTE_TASK_ATTEMPTS - 1;
	assert_rows(sm_rdd_distinct(sm_rdd_map(numbers(sc, 10, 2), "n bigint", shaky, &left)), "0;1;2;3;4;5;6;7;8;9");
	assert_int_equal(sm_context_stats(sc).retries, 3);
	sm_context_free(sc);
}

static void a_function_that_always_fails_fails_the_job_at_its_row(void **state)
{
	struct sm_context *sc = context(NULL);
	int left = 1000;
	assert_fails(sm_rdd_map(numbers(sc, 20, 2), "n bigint", shaky, &left), SM_UNAVAILABLE,
		     "stage 0, task 1 of 2, attempt 4, map: row 6 (n = 5): peer or service is not available");
	sm_context_free(sc);
}

static enum sm_err wrong_name(const struct sm_row *row, struct sm_out *out, void *arg)
{
	sm_put(out, "n", sm_get(row, "number"));
	return sm_emit(out);
}
static enum sm_err wrong_type(const struct sm_row *row, struct sm_out *out, void *arg)
{
	sm_put(out, "n", sm_text("seven"));
	return sm_emit(out);
}
static enum sm_err two_rows(const struct sm_row *row, struct sm_out *out, void *arg)
{
	enum sm_err err = sm_emit(out);
	return err ? err : sm_emit(out);
}
static enum sm_err with_text(const struct sm_row *row, struct sm_out *out, void *arg)
{
	return sm_out_fail(out, SM_INVALID, "number %d is not welcome", (int)sm_get_integer(row, "n"));
}
static bool bad_filter(const struct sm_row *row, void *arg)
{
	return sm_text_is(row, "n", "x");
}
static enum sm_err overflow(const struct sm_row *row, struct sm_out *out, void *arg)
{
	sm_put(out, "n", sm_integer(1ll << 40));
	return sm_emit(out);
}

static void mistakes_of_functions_are_told_with_the_column(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *one = numbers(sc, 1, 1);
#define AT(what) "stage 0, task 1 of 1, attempt 4, " what
	assert_fails(sm_rdd_map(one, "n bigint", wrong_name, NULL), SM_NOT_FOUND,
		     AT("map: row 1 (n = 0): there is no column number, the row has (n)"));
	assert_fails(sm_rdd_map(one, "n bigint", wrong_type, NULL), SM_TYPE, AT("map: row 1 (n = 0): column n is bigint, not string"));
	assert_fails(sm_rdd_map(one, "n int", overflow, NULL), SM_OUT_OF_RANGE,
		     AT("map: row 1 (n = 0): 1099511627776 does not fit into column n, an int"));
	assert_fails(sm_rdd_map(one, "n bigint", two_rows, NULL), SM_INVALID,
		     AT("map: row 1 (n = 0): the function emitted 2 rows and skipped 0; map wants one, flat_map takes any number"));
	assert_fails(sm_rdd_map(one, "n bigint", with_text, NULL), SM_INVALID, AT("map: row 1 (n = 0): number 0 is not welcome"));
	assert_fails(sm_rdd_filter(one, bad_filter, NULL), SM_TYPE, AT("filter: row 1 (n = 0): column n is bigint, not text"));
	sm_context_free(sc);
}

static void an_rdd_that_cannot_be_built_is_told_by_the_action(void **state)
{
	struct sm_context *sc = context(NULL);
	assert_fails(sm_rdd_filter(sm_rdd_table(sc, "ads.event"), is_even, NULL), SM_UNAVAILABLE,
		     "table ads.event cannot be read: the job has no store");
	sm_context_free(sc);
	sc = context(NULL);
	assert_fails(sm_rdd_table(sc, "event"), SM_INVALID, "table event: name its keyspace (keyspace.event), there is no default one");
	sm_context_free(sc);
	sc = context(NULL);
	assert_fails(
		sm_rdd_map(numbers(sc, 1, 1), "n bigint, m nothing", squares, NULL), SM_SYNTAX,
		"map: columns \"n bigint, m nothing\": nothing is no type: boolean, int, bigint, double, text, blob, uuid, timestamp are");
	sm_context_free(sc);
	sc = context(NULL);
	assert_fails(sm_rdd_reduce_by_key(numbers(sc, 1, 1), sm_sum, NULL), SM_INVALID,
		     "reduce by key wants pairs: make them with sm_rdd_map_to_pair");
	sm_context_free(sc);
	sc = context(NULL);
	struct sm_rdd *pair = pairs(sc, "k text -> a bigint", 1, 0, NULL, NULL);
	assert_fails(sm_rdd_join(pair, pair, SM_INNER_JOIN), SM_INVALID,
		     "join: both sides have a column a; give it another name on one side (with sm_rdd_map_to_pair)");
	sm_context_free(sc);
}

static void memory_is_bounded(void **state)
{
	struct sm_context *sc = context(&(struct sm_context_options){.memory_max = 100000, .master = "local"});
	struct sm_rdd *many = numbers(sc, 50000, 2);
	struct sm_error error = {0};
	uint64_t count;
	assert_int_equal(sm_rdd_count(sm_rdd_distinct(many), &count, &error), SM_TOO_LARGE);
	assert_non_null(strstr(error.text, "combine: the job needs more memory than its budget of 100000 bytes"));
	struct sm_rows *rows;
	sm_context_free(sc);
	sc = context(&(struct sm_context_options){.memory_max = 2 << 20});
	assert_int_equal(sm_rdd_collect(sm_rdd_flat_map(numbers(sc, 1000, 100), "n bigint", repeat, NULL), &rows, &error), SM_TOO_LARGE);
	assert_non_null(strstr(error.text, "collect: the rows need more than the job's memory of 2097152 bytes"));
	sm_context_free(sc);
}

static enum sm_err stop_at_three(const struct sm_row *row, void *arg)
{
	return ++*(int *)arg == 3 ? SM_NO_SPACE : SM_OK;
}

static void foreach_ends_with_its_functions_error(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_error error = {0};
	int seen = 0;
	assert_int_equal(sm_rdd_foreach(numbers(sc, 10, 3), stop_at_three, &seen, &error), SM_NO_SPACE);
	assert_int_equal(seen, 3);
	sm_context_free(sc);
}

static void a_cancelled_context_runs_nothing(void **state)
{
	bool cancel = true;
	struct sm_context *sc = context(&(struct sm_context_options){.cancel = &cancel});
	assert_fails(numbers(sc, 10, 3), SM_CANCELLED, "the job was cancelled");
	sm_context_free(sc);
}

static void masters_other_than_local_are_refused(void **state)
{
	static const char *const bad[] = {"local[0]", "local[", "local[4", "local[4]x", "local[999]", "yarn", ""};
	struct sm_context *sc;
	struct sm_error error;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(sm_context_new(NULL, NULL, &(struct sm_context_options){.master = bad[i]}, &sc, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "write local, local[N]"));
	sm_context_free(context(&(struct sm_context_options){.master = "local[*]"}));
}

static void explain_shows_the_lineage_and_its_stages(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *ones = sm_rdd_map_to_pair(sm_rdd_filter(numbers(sc, 10, 3), is_even, NULL), "key text -> count bigint, sum bigint",
						 to_pair, NULL);
	char *text = sm_rdd_explain(sm_rdd_reduce_by_key(ones, sm_sum, NULL));
	assert_string_equal(text, "(8) reduce by key [4] (key string, count bigint, sum bigint)\n"
				  " +-(3) combine [3] (key string, count bigint, sum bigint)\n"
				  "    |  map to pair [2] (key string, count bigint, sum bigint)\n"
				  "    |  filter [1] (n bigint)\n"
				  "    |  values [0] 10 rows (n bigint)\n"
				  "stage 0: 3 tasks: values [0], filter [1], map to pair [2], combine [3]; shuffle to 8 by key\n"
				  "stage 1: 8 tasks: reduce by key [4]; after stage 0; result\n");
	free(text);
	sm_context_free(sc);
}

static void what_lies_by_its_key_is_not_shuffled_again(void **state)
{
	struct sm_context *sc = context(NULL);
	struct sm_rdd *ones = sm_rdd_map_to_pair(numbers(sc, 3000, 3), "key text -> count bigint, sum bigint", to_pair, NULL);
	struct sm_rdd *others = sm_rdd_map_to_pair(numbers(sc, 2999, 2), "key text -> a bigint", key_only, NULL);
	struct sm_rdd *left = sm_rdd_reduce_by_key(ones, sm_sum, NULL), *right = sm_rdd_reduce_by_key(others, sm_sum, NULL);
	assert_rows(sm_rdd_join(left, right, SM_INNER_JOIN), "k0,1000,1498500,1000;k1,1000,1499500,1000;k2,1000,1500500,999");
	assert_int_equal(sm_context_stats(sc).stages, 3);
	assert_rows(sm_rdd_reduce_by_key(left, sm_sum, NULL), "k0,1000,1498500;k1,1000,1499500;k2,1000,1500500");
	assert_int_equal(sm_context_stats(sc).stages, 2);
	/* One side by its key, the other shuffled to it. */
	assert_rows(sm_rdd_join(left, sm_rdd_filter(right, is_k1, NULL), SM_FULL_JOIN),
		    "k0,1000,1498500,NULL;k1,1000,1499500,1000;k2,1000,1500500,NULL");
	struct sm_rdd *raw = pairs(sc, "key text -> a bigint", 2, 2, (const char *const[]){"k1", "k9"}, (const int64_t[]){1, 2});
	assert_rows(sm_rdd_join(left, raw, SM_FULL_JOIN), "k0,1000,1498500,NULL;k1,1000,1499500,1;k2,1000,1500500,NULL;k9,NULL,NULL,2");
	assert_int_equal(sm_context_stats(sc).stages, 3);
	sm_context_free(sc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filter_keeps_what_the_function_says),
		cmocka_unit_test(map_makes_typed_rows_and_counts_what_it_skips),
		cmocka_unit_test(flat_map_makes_any_number_of_rows),
		cmocka_unit_test(reduce_by_key_folds_each_key_once),
		cmocka_unit_test(reduce_functions_may_keep_and_swap_texts),
		cmocka_unit_test(joins_pair_rows_with_equal_keys),
		cmocka_unit_test(a_join_of_many_to_many_comes_in_full_batches),
		cmocka_unit_test(union_and_distinct),
		cmocka_unit_test(a_union_has_its_left_sides_names),
		cmocka_unit_test(nothing_runs_before_an_action),
		cmocka_unit_test(a_function_that_fails_three_times_succeeds_the_fourth),
		cmocka_unit_test(a_function_that_always_fails_fails_the_job_at_its_row),
		cmocka_unit_test(mistakes_of_functions_are_told_with_the_column),
		cmocka_unit_test(an_rdd_that_cannot_be_built_is_told_by_the_action),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(foreach_ends_with_its_functions_error),
		cmocka_unit_test(a_cancelled_context_runs_nothing),
		cmocka_unit_test(masters_other_than_local_are_refused),
		cmocka_unit_test(explain_shows_the_lineage_and_its_stages),
		cmocka_unit_test(what_lies_by_its_key_is_not_shuffled_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
