/* A program that holds several jobs, as `smack submit` starts it:
 *
 *	SM_JOB_MAIN({"views-per-campaign", views_per_campaign, "views of each campaign in a month"},
 *		    {"campaign-report", campaign_report, "totals of each campaign"})
 *
 *	smack submit --class campaign-report jobs since=2019-11-30
 *	jobs --class campaign-report --data DIR --master 'local[4]' --explain since=2019-11-30
 *
 * Options: --class NAME (not needed if there is only one), --data DIR (of the server; else $SMACK_DATA), --master local[N],
 * --keyspace NAME, --memory BYTES, --explain, --help. What follows is key=value for the job.
 * Exit status: 0, 1 the job failed (one line on stderr says why), 2 wrong use. */
#ifndef SMACK_JOB_H
#define SMACK_JOB_H

#include <smack/rdd.h>
#include <smack/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One run of a job. */
struct sm_job;
SM_EXPORT struct sm_context *sm_job_context(struct sm_job *job);
SM_EXPORT struct sm_log *sm_job_log(struct sm_job *job);
SM_EXPORT struct sm_store *sm_job_store(struct sm_job *job);
/* The value of key=value on the command line, or absent. */
SM_EXPORT const char *sm_job_arg(struct sm_job *job, const char *key, const char *absent);

typedef enum sm_err (*sm_job_fn)(struct sm_job *job, struct sm_error *reterr);
struct sm_job_entry {
	const char *name;
	sm_job_fn run;
	const char *help; /* one line */
};
/* entries end with a NULL name. Returns the exit status. */
SM_EXPORT int sm_job_main(int argc, char **argv, const struct sm_job_entry *entries);
/* Run one entry on a log and a store that are there already (tests, embedders). args: key=value, ends with NULL; may be NULL. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_job_run(const struct sm_job_entry *entry, struct sm_log *log, struct sm_store *store,
					       const struct sm_context_options *options, char *const *args, struct sm_error *reterr);

#define SM_JOB_MAIN(...)                                                                  \
	int main(int argc, char **argv)                                                   \
	{                                                                                 \
		static const struct sm_job_entry sm_entries[] = {__VA_ARGS__, {0, 0, 0}}; \
		return sm_job_main(argc, argv, sm_entries);                               \
	}

#ifdef __cplusplus
}
#endif
#endif
