/* The jobs of jobs.c. */
#include <smack/job.h>

enum sm_err views_per_campaign(struct sm_job *job, struct sm_error *reterr);
enum sm_err campaign_report(struct sm_job *job, struct sm_error *reterr);
enum sm_err event_stream(struct sm_job *job, struct sm_error *reterr);
enum sm_err restore_backup(struct sm_job *job, struct sm_error *reterr);
