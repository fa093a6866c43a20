/* filter + map_to_pair + reduce_by_key over 1,000,000 rows in memory, with 1 and with 2 threads; then the same into 100,000 groups. */
#include "base/clock.h"
#include <smack/rdd.h>
#include <stdio.h>

enum { ROWS = 1000000 };

static enum sm_err fill(struct sm_out *out, void *arg)
{
	enum sm_err err = SM_OK;
	for (int64_t i = 0; i < ROWS && !err; i++) {
		sm_put_at(out, 0, sm_integer(i));
		sm_put_at(out, 1, sm_text(i % 100 ? "view" : "click"));
		err = sm_emit(out);
	}
	return err;
}

static bool is_view(const struct sm_row *row, void *arg)
{
	return sm_text_is(row, "type", "view");
}

static enum sm_err to_pair(const struct sm_row *row, struct sm_out *out, void *groups)
{
	sm_put(out, "key", sm_integer(sm_get_integer(row, "id") % *(int64_t *)groups));
	sm_put(out, "views", sm_integer(1));
	return sm_emit(out);
}

static int run(const char *master, int64_t groups)
{
	struct sm_context *sc;
	struct sm_error error = {.code = SM_OK};
	uint64_t count = 0;
	if (sm_context_new(NULL, NULL, &(struct sm_context_options){.master = master}, &sc, &error) != SM_OK) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	struct sm_rdd *rows = sm_rdd_parallelize(sc, "id bigint, type text", 8, fill, NULL);
	struct sm_rdd *pairs = sm_rdd_map_to_pair(sm_rdd_filter(rows, is_view, NULL), "key bigint -> views bigint", to_pair, &groups);
	uint64_t start = clock_monotonic_ns(&clock_system);
	enum sm_err err = sm_rdd_count(sm_rdd_reduce_by_key(pairs, sm_sum, NULL), &count, &error);
	double ms = (double)(clock_monotonic_ns(&clock_system) - start) / 1e6;
	if (err)
		fprintf(stderr, "%s\n", error.text);
	else
		printf("filter+reduce_by_key %d rows, %llu groups, %s: %.0f ms, %.0f ns a row\n", ROWS, (unsigned long long)count, master,
		       ms, ms * 1e6 / ROWS);
	sm_context_free(sc);
	return err != SM_OK;
}

int main(void)
{
	return run("local[1]", 6) || run("local[2]", 6) || run("local[1]", 100000) || run("local[2]", 100000);
}
