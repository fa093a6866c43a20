/* The demo: the real events of examples/open-bandit, from HTTP to a report that is compared with what an independent count expects. */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include "cli/config.h"
#include "cql/cql.h"
#include "net/http.h"
#include "store/store.h"
#include <stdio.h>

/* ---- progress.c: a bar on a terminal, plain lines elsewhere ---- */
struct progress {
	FILE *out;
	const char *what;
	bool terminal;
	uint64_t total, shown_ns, started_ns;
};
void progress_begin(struct progress *p, FILE *out, const char *what, uint64_t total);
void progress_set(struct progress *p, uint64_t done);
/* The last line; note may be NULL. Returns the seconds it took. */
double progress_end(struct progress *p, const char *note);

/* ---- demo_data.c: the files ---- */
#define DEMO_DAYS_MAX 64
#define DEMO_ROWS_MAX 1024
struct demo_daily {
	struct uuid campaign;
	struct civil day;
	int64_t views, clicks;
};
struct demo_name {
	struct uuid campaign;
	char name[64];
};
struct demo_data {
	char dir[4096]; /* where smack.conf and the events are */
	char days[DEMO_DAYS_MAX][512];
	uint32_t day_count;
	struct demo_daily expected[DEMO_ROWS_MAX];
	uint32_t expected_count;
	struct demo_name names[DEMO_ROWS_MAX];
	uint32_t name_count;
	uint64_t events; /* as expected: views and clicks */
};
/* dir NULL: examples/open-bandit here, beside the binary, or where it was installed. */
SM_MUST_CHECK enum sm_err demo_data_read(struct demo_data *data, const char *dir, struct sm_error *reterr);

/* ---- demo_replay.c: events over HTTP, as a client sends them ---- */
struct demo_request {
	struct buf gzip; /* NDJSON, compressed */
	uint32_t events;
};
/* All events as requests of at most events_max events each; *ret_requests malloc'ed. */
SM_MUST_CHECK enum sm_err demo_requests(const struct demo_data *data, uint32_t events_max, struct demo_request **ret_requests,
					uint32_t *ret_count, struct sm_error *reterr);
void demo_requests_free(struct demo_request *requests, uint32_t count);
/* One request; waits and sends it again on 429 and 503. Errors: SM_UNAVAILABLE when nobody answers. ret_accepted: events now on disk. */
SM_MUST_CHECK enum sm_err demo_send(struct http_client *client, const char *url, const struct demo_request *request, uint32_t *ret_accepted,
				    struct sm_error *reterr);

/* ---- demo_check.c: what came out ---- */
/* ads.campaign equals expected_daily.csv row by row. The error names the first difference. */
SM_MUST_CHECK enum sm_err demo_check_daily(const struct demo_data *data, struct sm_store *store, struct sm_error *reterr);
/* ads.campaign_report equals its sums. */
SM_MUST_CHECK enum sm_err demo_check_report(const struct demo_data *data, struct sm_store *store, struct sm_error *reterr);
/* The report with names. */
SM_MUST_CHECK enum sm_err demo_print_report(struct sm_store *store, FILE *out, struct sm_error *reterr);
/* campaigns.csv into ads.campaign_name. */
SM_MUST_CHECK enum sm_err demo_load_names(const struct demo_data *data, struct sm_store *store, struct sm_error *reterr);
/* Sum of views and clicks in ads.campaign: how far the stream has come. */
SM_MUST_CHECK enum sm_err demo_counted(struct sm_store *store, uint64_t *ret_events, struct sm_error *reterr);
/* Ask for a run of the job "report" and wait until it has succeeded. */
SM_MUST_CHECK enum sm_err demo_run_report(struct http_client *client, const char *url, struct sm_error *reterr);

/* ---- demo_drill.c ---- */
/* Kill the server `kills` times during the replay; prints what was acknowledged, lost and doubled. sets: of --set, for the server. */
SM_MUST_CHECK enum sm_err demo_drill(const struct demo_data *data, const char *work_dir, unsigned kills, const char *const *sets,
				     unsigned set_count, FILE *out, struct sm_error *reterr);

#endif
