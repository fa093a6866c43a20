#include "base/json.h"
#include "cli/command.h"
#include "cli/demo.h"
#include <stdlib.h>
#include <time.h>

/* ---- reading tables ---- */

struct daily_rows {
	struct demo_daily rows[DEMO_ROWS_MAX];
	uint32_t count;
};

static enum sm_err take_daily(void *arg, const char *const *values, uint32_t count)
{
	struct daily_rows *to = arg;
	if (count != 6 || to->count == DEMO_ROWS_MAX)
		return SM_TOO_LARGE;
	struct demo_daily *row = &to->rows[to->count++];
	for (uint32_t i = 0; i < count; i++)
		if (!values[i])
			return SM_INVALID;
	row->day = (struct civil){.year = atoi(values[1]), .month = (uint8_t)atoi(values[2]), .day = (uint8_t)atoi(values[3])};
	row->views = atoll(values[4]);
	row->clicks = atoll(values[5]);
	return uuid_parse(values[0], strlen(values[0]), &row->campaign);
}

static enum sm_err take_report(void *arg, const char *const *values, uint32_t count)
{
	struct daily_rows *to = arg;
	if (count != 3 || to->count == DEMO_ROWS_MAX)
		return SM_TOO_LARGE;
	struct demo_daily *row = &to->rows[to->count++];
	*row = (struct demo_daily){.views = values[1] ? atoll(values[1]) : -1, .clicks = values[2] ? atoll(values[2]) : -1};
	return values[0] ? uuid_parse(values[0], strlen(values[0]), &row->campaign) : SM_INVALID;
}

static enum sm_err query(struct sm_store *store, const char *cql, enum sm_err (*row)(void *, const char *const *, uint32_t), void *arg,
			 struct sm_error *reterr)
{
	struct cql_session *session;
	enum sm_err err = cql_session_new(store, NULL, &session);
	if (err)
		return sm_fail(reterr, err, "%s", sm_err_text(err));
	struct cql_sink sink = {.arg = arg, .row = row};
	err = cql_session_run(session, bytes_str(cql), &sink, reterr);
	cql_session_free(session);
	return err;
}

static int by_campaign_and_day(const void *a, const void *b)
{
	const struct demo_daily *x = a, *y = b;
	int c = memcmp(x->campaign.bytes, y->campaign.bytes, 16);
	int64_t dx = civil_to_ms(&x->day), dy = civil_to_ms(&y->day);
	return c ? c : (dx > dy) - (dx < dy);
}

static enum sm_err compare(struct daily_rows *have, struct demo_daily *want, uint32_t want_count, const char *table, bool days,
			   struct sm_error *reterr)
{
	qsort(have->rows, have->count, sizeof *have->rows, by_campaign_and_day);
	qsort(want, want_count, sizeof *want, by_campaign_and_day);
	for (uint32_t i = 0; i < have->count || i < want_count; i++) {
		const struct demo_daily *h = i < have->count ? &have->rows[i] : NULL, *w = i < want_count ? &want[i] : NULL;
		const struct demo_daily *which = !h ? w : !w ? h : by_campaign_and_day(h, w) <= 0 ? h : w;
		char id[37], day[32] = "";
		if (h && w && by_campaign_and_day(h, w) == 0 && h->views == w->views && h->clicks == w->clicks)
			continue;
		uuid_format(&which->campaign, id);
		if (days)
			snprintf(day, sizeof day, " on %04d-%02u-%02u", (int)which->day.year, which->day.month, which->day.day);
		bool has = h && by_campaign_and_day(h, which) == 0, wants = w && by_campaign_and_day(w, which) == 0;
		return sm_fail(reterr, SM_CONFLICT, "%s, campaign %s%s: has %lld views and %lld clicks%s, expected %lld and %lld%s", table,
			       id, day, has ? (long long)h->views : 0, has ? (long long)h->clicks : 0, has ? "" : " (no row)",
			       wants ? (long long)w->views : 0, wants ? (long long)w->clicks : 0, wants ? "" : " (no row)");
	}
	return SM_OK;
}

enum sm_err demo_check_daily(const struct demo_data *d, struct sm_store *store, struct sm_error *reterr)
{
	struct daily_rows *have = calloc(2, sizeof *have);
	if (!have)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct daily_rows *want = &have[1];
	enum sm_err err = query(store, "SELECT id, year, month, day, views, clicks FROM ads.campaign", take_daily, have, reterr);
	memcpy(want->rows, d->expected, d->expected_count * sizeof *want->rows);
	if (!err)
		err = compare(have, want->rows, d->expected_count, "ads.campaign", true, reterr);
	free(have);
	return err;
}

static struct demo_daily *sum_of(struct daily_rows *sums, const struct uuid *campaign)
{
	for (uint32_t i = 0; i < sums->count; i++)
		if (memcmp(sums->rows[i].campaign.bytes, campaign->bytes, 16) == 0)
			return &sums->rows[i];
	struct demo_daily *row = &sums->rows[sums->count++];
	*row = (struct demo_daily){.campaign = *campaign};
	return row;
}

enum sm_err demo_check_report(const struct demo_data *d, struct sm_store *store, struct sm_error *reterr)
{
	struct daily_rows *have = calloc(2, sizeof *have);
	if (!have)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	struct daily_rows *want = &have[1];
	for (uint32_t i = 0; i < d->expected_count; i++) {
		struct demo_daily *row = sum_of(want, &d->expected[i].campaign);
		row->views += d->expected[i].views;
		row->clicks += d->expected[i].clicks;
	}
	enum sm_err err = query(store, "SELECT id, views, clicks FROM ads.campaign_report", take_report, have, reterr);
	if (!err)
		err = compare(have, want->rows, want->count, "ads.campaign_report", false, reterr);
	free(have);
	return err;
}

/* ---- showing it ---- */

struct report_line {
	char id[40], name[64];
	long long views, clicks;
};
struct report {
	struct report_line lines[DEMO_ROWS_MAX];
	uint32_t count;
};

static enum sm_err take_line(void *arg, const char *const *values, uint32_t count)
{
	struct report *r = arg;
	if (r->count == DEMO_ROWS_MAX || !values[0])
		return SM_TOO_LARGE;
	struct report_line *line = &r->lines[r->count++];
	snprintf(line->id, sizeof line->id, "%s", values[0]);
	snprintf(line->name, sizeof line->name, "?");
	line->views = values[1] ? atoll(values[1]) : 0;
	line->clicks = values[2] ? atoll(values[2]) : 0;
	return SM_OK;
}

static enum sm_err take_line_name(void *arg, const char *const *values, uint32_t count)
{
	struct report *r = arg;
	for (uint32_t i = 0; i < r->count && values[0]; i++)
		if (strcmp(r->lines[i].id, values[0]) == 0 && values[1])
			snprintf(r->lines[i].name, sizeof r->lines[i].name, "%s", values[1]);
	return SM_OK;
}

static int by_views(const void *a, const void *b)
{
	const struct report_line *x = a, *y = b;
	return (x->views < y->views) - (x->views > y->views);
}

enum sm_err demo_print_report(struct sm_store *store, FILE *out, struct sm_error *reterr)
{
	struct report *r = calloc(1, sizeof *r);
	if (!r)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	enum sm_err err = query(store, "SELECT id, views, clicks FROM ads.campaign_report", take_line, r, reterr);
	if (!err)
		err = query(store, "SELECT id, name FROM ads.campaign_name", take_line_name, r, reterr);
	qsort(r->lines, r->count, sizeof *r->lines, by_views);
	struct text_table *table = text_table_new(5);
	static const char *const headings[] = {"campaign", "id", "views", "clicks", "clicks per view"};
	for (int c = 0; c < 5; c++)
		text_table_cell(table, headings[c], c > 1);
	for (uint32_t i = 0; i < r->count; i++) {
		char text[3][32];
		snprintf(text[0], sizeof text[0], "%lld", r->lines[i].views);
		snprintf(text[1], sizeof text[1], "%lld", r->lines[i].clicks);
		snprintf(text[2], sizeof text[2], "%.2f %%",
			 r->lines[i].views ? 100.0 * (double)r->lines[i].clicks / (double)r->lines[i].views : 0);
		text_table_cell(table, r->lines[i].name, false);
		text_table_cell(table, r->lines[i].id, false);
		for (int c = 0; c < 3; c++)
			text_table_cell(table, text[c], true);
	}
	if (!err)
		text_table_print(table, out);
	text_table_free(table);
	free(r);
	return err;
}

enum sm_err demo_load_names(const struct demo_data *d, struct sm_store *store, struct sm_error *reterr)
{
	struct buf cql;
	buf_init(&cql);
	for (uint32_t i = 0; i < d->name_count; i++) {
		char id[37];
		uuid_format(&d->names[i].campaign, id);
		buf_printf(&cql, "INSERT INTO ads.campaign_name (id, name) VALUES (%s, '", id);
		for (const char *c = d->names[i].name; *c; c++)
			buf_printf(&cql, *c == '\'' ? "''" : "%c", *c);
		buf_append_str(&cql, "');\n");
	}
	struct cql_session *session;
	enum sm_err err = cql_session_new(store, NULL, &session);
	if (!err) {
		err = cql_session_run(session, buf_bytes(&cql), NULL, reterr);
		cql_session_free(session);
	} else {
		sm_fail(reterr, err, "%s", sm_err_text(err));
	}
	buf_done(&cql);
	return err;
}

enum sm_err demo_counted(struct sm_store *store, uint64_t *ret_events, struct sm_error *reterr)
{
	struct daily_rows *have = calloc(1, sizeof *have);
	if (!have)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory");
	enum sm_err err = query(store, "SELECT id, year, month, day, views, clicks FROM ads.campaign", take_daily, have, reterr);
	uint64_t sum = 0;
	for (uint32_t i = 0; i < have->count; i++)
		sum += (uint64_t)(have->rows[i].views + have->rows[i].clicks);
	free(have);
	if (!err)
		*ret_events = sum;
	return err;
}

/* ---- the report job ---- */

struct job_state {
	int64_t succeeded, failed;
	char last_error[256];
};

static enum sm_err job_state(struct http_client *client, const char *url, struct job_state *ret, struct sm_error *reterr)
{
	char target[256];
	struct http_response response;
	snprintf(target, sizeof target, "%s/v1/scheduler/jobs", url);
	enum sm_err err = http_client_do(client, "GET", target, NULL, (struct bytes){0}, 10000, &response, reterr);
	if (err)
		return err;
	json_t *json = NULL, *job;
	size_t i;
	err = json_parse(buf_bytes(&response.body), &json, reterr);
	http_response_done(&response);
	if (err)
		return err;
	err = sm_fail(reterr, SM_NOT_FOUND, "the server has no job 'report'");
	json_array_foreach(json, i, job)
	{
		const char *name = json_string_value(json_object_get(job, "name"));
		if (!name || strcmp(name, "report") != 0)
			continue;
		ret->succeeded = json_integer_value(json_object_get(job, "successCount"));
		ret->failed = json_integer_value(json_object_get(job, "errorCount"));
		const char *why = json_string_value(json_object_get(job, "lastErrorMessage"));
		snprintf(ret->last_error, sizeof ret->last_error, "%s", why ? why : "see `smack job logs report`");
		err = SM_OK;
	}
	json_decref(json);
	return err;
}

#define REPORT_TIMEOUT_MS 60000

enum sm_err demo_run_report(struct http_client *client, const char *url, struct sm_error *reterr)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	struct job_state before, now;
	char target[256];
	struct http_response response;
	enum sm_err err = job_state(client, url, &before, reterr);
	if (err)
		return err;
	snprintf(target, sizeof target, "%s/v1/scheduler/job/report", url);
	if ((err = http_client_do(client, "PUT", target, headers, (struct bytes){0}, 10000, &response, reterr)))
		return err;
	int status = response.status;
	http_response_done(&response);
	if (status >= 300)
		return sm_fail(reterr, SM_FAILED, "PUT %s: %d", target, status);
	for (unsigned waited = 0; waited < REPORT_TIMEOUT_MS; waited += 5) {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		if ((err = job_state(client, url, &now, reterr)))
			return err;
		if (now.succeeded > before.succeeded)
			return SM_OK;
		if (now.failed > before.failed)
			return sm_fail(reterr, SM_JOB_FAILED, "the report job failed: %s", now.last_error);
	}
	return sm_fail(reterr, SM_TIMEOUT, "the report job did not end within %d s", REPORT_TIMEOUT_MS / 1000);
}
