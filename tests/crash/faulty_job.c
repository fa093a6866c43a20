/* A job with a wild pointer: it dies of SIGSEGV in the middle of its task, with the server's table open. */
#include <signal.h>
#include <smack/job.h>

static bool wild(const struct sm_row *row, void *arg)
{
	volatile int *volatile nowhere = NULL;
	signal(SIGSEGV, SIG_DFL);
	*nowhere = 1;
	return true;
}

static enum sm_err faulty(struct sm_job *job, struct sm_error *reterr)
{
	uint64_t count;
	struct sm_rdd *rows = sm_rdd_table(sm_job_context(job), "ads.campaign");
	return sm_rdd_count(sm_rdd_filter(rows, wild, NULL), &count, reterr);
}

SM_JOB_MAIN({"faulty", faulty, "dies"})
