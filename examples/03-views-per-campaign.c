/* Listing 03: views of each campaign in a month, the article's first Spark job.
 *
 *	sc.cassandraTable[Event]("keyspace", "event")
 *	  .filter(e => e.`type` == "view" && checkMonth(e.ts))
 *	  .map(e => (e.campaign, 1))
 *	  .reduceByKey(_ + _)
 *	  .collect()
 *
 *	smack submit --class views-per-campaign jobs month=2019-11 */
#include "jobs.h"
#include <stdio.h>

static bool is_view_in_month(const struct sm_row *e, void *month)
{
	struct sm_day day = sm_day_of(sm_get_integer(e, "ts")), *wanted = month;
	return sm_text_is(e, "type", "view") && day.year == wanted->year && day.month == wanted->month;
}

static enum sm_err one_view(const struct sm_row *e, struct sm_out *out, void *arg)
{
	sm_put(out, "campaign", sm_get(e, "campaign"));
	sm_put(out, "views", sm_integer(1));
	return sm_emit(out);
}

enum sm_err views_per_campaign(struct sm_job *job, struct sm_error *reterr)
{
	struct sm_context *sc = sm_job_context(job);
	struct sm_day month = {2019, 11, 1};
	struct sm_rows *rows;
	if (sscanf(sm_job_arg(job, "month", "2019-11"), "%d-%d", &month.year, &month.month) != 2)
		return sm_fail(reterr, SM_SYNTAX, "month is written as in month=2019-11");

	struct sm_rdd *views = sm_rdd_filter(sm_rdd_table(sc, "ads.event"), is_view_in_month, &month);
	struct sm_rdd *ones = sm_rdd_map_to_pair(views, "campaign uuid -> views bigint", one_view, NULL);
	enum sm_err err = sm_rdd_collect(sm_rdd_reduce_by_key(ones, sm_sum, NULL), &rows, reterr);
	if (err)
		return err;

	for (uint64_t i = 0; i < sm_rows_count(rows); i++) {
		char campaign[40];
		const struct sm_row *row = sm_rows_at(rows, i);
		printf("%s %lld\n", sm_value_format(sm_get(row, "campaign"), campaign, sizeof campaign),
		       (long long)sm_get_integer(row, "views"));
	}
	sm_rows_free(rows);
	return SM_OK;
}
