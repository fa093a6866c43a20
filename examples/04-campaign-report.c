/* Listing 04: totals of each campaign: the article's join of campaign and event, saved to campaign_report.
 *
 *	sql("SELECT campaign.id, campaign.views, campaign.clicks, event.type FROM campaign JOIN event ON campaign.id = event.campaign")
 *	  .rdd.groupBy(row => row.getAs[String]("id"))
 *	  .map { case (id, rows) => CampaignReport(id, views = views + res("view"), clicks = clicks + res("click")) }
 *	  .saveToCassandra("keyspace", "campaign_report")
 *
 * campaign holds what is rolled up already, a row a day; event what is not. So that nothing counts twice, days before `since` are taken
 *from campaign and events from `since` on are counted; whatever the day, the totals are the same.
 *
 *	smack submit --class campaign-report jobs since=2019-11-30 */
#include "jobs.h"
#include <stdio.h>

static bool is_day_before(const struct sm_row *campaign, void *since_ms)
{
	int64_t day = sm_day_start((int32_t)sm_get_integer(campaign, "year"), (int32_t)sm_get_integer(campaign, "month"),
				   (int32_t)sm_get_integer(campaign, "day"));
	return day < *(int64_t *)since_ms;
}

static bool is_since(const struct sm_row *event, void *since_ms)
{
	return sm_get_integer(event, "ts") >= *(int64_t *)since_ms;
}

static enum sm_err daily_totals(const struct sm_row *campaign, struct sm_out *out, void *arg)
{
	sm_put(out, "id", sm_get(campaign, "id"));
	sm_put(out, "views", sm_get(campaign, "views"));
	sm_put(out, "clicks", sm_get(campaign, "clicks"));
	return sm_emit(out);
}

static enum sm_err type_count(const struct sm_row *event, struct sm_out *out, void *arg)
{
	sm_put(out, "id", sm_get(event, "campaign"));
	sm_put(out, "view", sm_integer(sm_text_is(event, "type", "view")));
	sm_put(out, "click", sm_integer(sm_text_is(event, "type", "click")));
	return sm_emit(out);
}

/* A campaign may be on one side of the join only. */
static int64_t or_zero(const struct sm_row *row, const char *column)
{
	return sm_is_null(row, column) ? 0 : sm_get_integer(row, column);
}

static enum sm_err report(const struct sm_row *row, struct sm_out *out, void *arg)
{
	sm_put(out, "id", sm_get(row, "id"));
	sm_put(out, "views", sm_integer(or_zero(row, "views") + or_zero(row, "view")));
	sm_put(out, "clicks", sm_integer(or_zero(row, "clicks") + or_zero(row, "click")));
	return sm_emit(out);
}

enum sm_err campaign_report(struct sm_job *job, struct sm_error *reterr)
{
	struct sm_context *sc = sm_job_context(job);
	struct sm_day day;
	uint64_t count = 0;
	if (sm_day_parse(sm_job_arg(job, "since", "2019-11-30"), &day) != SM_OK)
		return sm_fail(reterr, SM_SYNTAX, "since is a day, as in since=2019-11-30");
	int64_t since_ms = sm_day_start(day.year, day.month, day.day);

	struct sm_rdd *days = sm_rdd_filter(sm_rdd_table(sc, "ads.campaign"), is_day_before, &since_ms);
	struct sm_rdd *campaign = sm_rdd_map_to_pair(days, "id uuid -> views bigint, clicks bigint", daily_totals, NULL);
	struct sm_rdd *recent = sm_rdd_filter(sm_rdd_table(sc, "ads.event"), is_since, &since_ms);
	struct sm_rdd *event = sm_rdd_map_to_pair(recent, "id uuid -> view bigint, click bigint", type_count, NULL);
	struct sm_rdd *joined = sm_rdd_join(sm_rdd_reduce_by_key(campaign, sm_sum, NULL), sm_rdd_reduce_by_key(event, sm_sum, NULL),
					    SM_FULL_JOIN);
	enum sm_err err = sm_rdd_save_to_table(sm_rdd_map(joined, "id uuid, views bigint, clicks bigint", report, NULL),
					       "ads.campaign_report", &count, reterr);
	if (!err)
		printf("%llu campaigns\n", (unsigned long long)count);
	return err;
}
