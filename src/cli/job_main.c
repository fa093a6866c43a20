/* <smack/job.h>: the entry point of programs that hold jobs. */
#include <smack/job.h>
#include "base/clock.h"
#include "base/logging.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

struct sm_job {
	struct sm_context *context;
	struct sm_log *log;
	struct sm_store *store;
	char *const *args;
};

struct sm_context *sm_job_context(struct sm_job *job)
{
	return job->context;
}
struct sm_log *sm_job_log(struct sm_job *job)
{
	return job->log;
}
struct sm_store *sm_job_store(struct sm_job *job)
{
	return job->store;
}

const char *sm_job_arg(struct sm_job *job, const char *key, const char *absent)
{
	size_t length = strlen(key);
	for (char *const *arg = job->args; arg && *arg; arg++)
		if (strncmp(*arg, key, length) == 0 && (*arg)[length] == '=')
			return *arg + length + 1;
	return absent;
}

enum sm_err sm_job_run(const struct sm_job_entry *entry, struct sm_log *log, struct sm_store *store,
		       const struct sm_context_options *options, char *const *args, struct sm_error *reterr)
{
	struct sm_job job = {.log = log, .store = store, .args = args};
	enum sm_err err = sm_context_new(log, store, options, &job.context, reterr);
	if (err)
		return err;
	err = entry->run(&job, reterr);
	sm_context_free(job.context);
	return err;
}

/* ---- the command line ---- */

struct request {
	const char *class_name, *data;
	struct sm_context_options options;
	char *const *args;
};

static void usage(FILE *out, const char *program, const struct sm_job_entry *entries)
{
	fprintf(out,
		"usage: %s --class JOB [--data DIR] [--master local[N]] [--keyspace NAME] [--memory BYTES] [--explain] [key=value "
		"...]\njobs:\n",
		program);
	for (const struct sm_job_entry *e = entries; e->name; e++)
		fprintf(out, "  %-24s %s\n", e->name, e->help ? e->help : "");
}

enum { OPT_CLASS = 256, OPT_DATA, OPT_MASTER, OPT_KEYSPACE, OPT_MEMORY, OPT_EXPLAIN };

static const struct option long_options[] = {
	{"class", required_argument, NULL, OPT_CLASS},
	{"data", required_argument, NULL, OPT_DATA},
	{"master", required_argument, NULL, OPT_MASTER},
	{"keyspace", required_argument, NULL, OPT_KEYSPACE},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"explain", no_argument, NULL, OPT_EXPLAIN},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool parse_memory(const char *text, size_t *ret_bytes)
{
	char *end;
	unsigned long long bytes = strtoull(text, &end, 10);
	if (end == text || *end || text[0] == '-' || bytes == 0 || bytes > SIZE_MAX / 2)
		return false;
	*ret_bytes = (size_t)bytes;
	return true;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, const struct sm_job_entry *entries, struct request *r)
{
	int option;
	while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		switch (option) {
		case OPT_CLASS: r->class_name = optarg; break;
		case OPT_DATA: r->data = optarg; break;
		case OPT_MASTER: r->options.master = optarg; break;
		case OPT_KEYSPACE: r->options.keyspace = optarg; break;
		case OPT_EXPLAIN: r->options.explain = true; break;
		case OPT_MEMORY:
			if (parse_memory(optarg, &r->options.memory_max))
				break;
			fprintf(stderr, "%s: --memory %s: give a number of bytes\n", argv[0], optarg);
			return 2;
		case 'h': usage(stdout, argv[0], entries); return 0;
		default: usage(stderr, argv[0], entries); return 2;
		}
	r->args = argv + optind;
	for (char *const *arg = r->args; *arg; arg++)
		if (!strchr(*arg, '=')) {
			fprintf(stderr, "%s: '%s': what follows the options is key=value\n", argv[0], *arg);
			return 2;
		}
	return -1;
}

static const struct sm_job_entry *find_entry(const struct sm_job_entry *entries, const char *name)
{
	if (!name)
		return entries[0].name && !entries[1].name ? &entries[0] : NULL;
	for (const struct sm_job_entry *e = entries; e->name; e++)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}

int sm_job_main(int argc, char **argv, const struct sm_job_entry *entries)
{
	struct request r = {.class_name = NULL};
	struct sm_error error = {.code = SM_OK};
	struct sm_session *session;
	int status = parse_options(argc, argv, entries, &r);
	if (status >= 0)
		return status;
	const struct sm_job_entry *entry = find_entry(entries, r.class_name);
	if (!entry) {
		if (r.class_name)
			fprintf(stderr, "%s: there is no job %s\n", argv[0], r.class_name);
		usage(stderr, argv[0], entries);
		return 2;
	}
	uint64_t start_ns = clock_monotonic_ns(&clock_system);
	enum sm_err err = sm_connect(r.data, &session, &error);
	if (!err) {
		err = sm_job_run(entry, sm_session_log(session), sm_session_store(session), &r.options, r.args, &error);
		sm_disconnect(session);
	}
	if (fflush(stdout) != 0 && !err)
		err = sm_fail_errno(&error, errno, "writing the job's output");
	if (err) {
		fprintf(stderr, "%s: %s: %s\n", argv[0], entry->name, error.text[0] ? error.text : sm_err_text(err));
		return 1;
	}
	LOG_INFO("job", "done class=%s ms=%llu", entry->name,
		 (unsigned long long)((clock_monotonic_ns(&clock_system) - start_ns) / 1000000));
	return 0;
}
