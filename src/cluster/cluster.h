/* Resources, offers and tasks on one machine, and the two frameworks that use them: long-running apps (Marathon's REST) and
 * scheduled jobs (Chronos' REST).
 *
 * The local agent offers CPUs and memory; a framework accepts an offer with a task; the task holds its share until it has ended. A task is
 * started by one of two runners: a shell command as a process (supervised by a small helper that ends it when the server dies, so that
 * no orphan is left), or a job inside the server. Documents are kept in the store (keyspace smack_system) and survive a restart.
 *
 * A document with a member "smack" runs inside the server: {"smack": {"stream": "daily"}} or {"smack": {"job": "report"}} names a
 * job of the configuration, {"smack": {"sql": "INSERT ..."}} carries SQL. Otherwise "cmd" (Marathon) or "command" (Chronos) is run by
 * /bin/sh. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "base/clock.h"
#include "cluster/cluster_limits.h"
#include "net/http.h"
#include "store/store.h"

struct cluster;
struct cluster_task; /* one attempt to run something; lives until cluster_task_ended has been handled */

/* What a runner learns of a task. Borrowed until it has ended. */
struct cluster_task_info {
	const char *id;         /* "stream_daily.7f3c..", unique */
	const char *owner;      /* app id "/stream/daily" or job name */
	const char *command;    /* NULL: inside the server */
	const json_t *smack;    /* the document's member "smack", or NULL */
	const json_t *env;      /* the document's environment, or NULL */
	const char *sandbox;    /* its directory: stdout and stderr are files there */
	const char *user;       /* whose rights it has; NULL: the server's */
	uint32_t kill_grace_ms; /* between SIGTERM and SIGKILL */
	double cpus;
	uint64_t memory_bytes;
};

/* Starts and stops tasks. start runs on the pool, stop in the cluster's actor and does not block; the end of each task that was started is
 * told once with cluster_task_ended. */
struct cluster_runner {
	enum sm_err (*start)(void *arg, struct cluster_task *task, const struct cluster_task_info *info, struct sm_error *reterr);
	void (*stop)(void *arg, struct cluster_task *task); /* please end soon; the end is told as always */
	void *arg;
};
/* error NULL: it finished well. Thread: any. */
void cluster_task_ended(struct cluster_task *task, const struct sm_error *error);
/* A line for the task's stdout. Thread: any, while it runs. */
void cluster_task_output(struct cluster_task *task, const char *line);

struct cluster_options {
	struct sm_system *system;
	struct sm_store *store;
	struct clock *clock;                        /* NULL: clock_system */
	const char *dir;                            /* sandboxes lie here */
	double cpus;                                /* offered by the agent; 0: what the machine has */
	uint64_t memory_bytes;                      /* 0: half of memory_of_machine */
	const struct cluster_runner *server_runner; /* jobs inside the server; NULL: documents that need it are refused */
};
/* Reads the documents from the store; nothing runs before cluster_start. */
SM_MUST_CHECK enum sm_err cluster_new(const struct cluster_options *options, struct cluster **ret_cluster, struct sm_error *reterr);
/* Start what shall run. env: "NAME=value", ends with NULL, borrowed for the cluster's life: handed to every process on top of the
 * document's own (the addresses of the servers, which are known only now). */
SM_MUST_CHECK enum sm_err cluster_start(struct cluster *cluster, const char *const *env, struct sm_error *reterr);
/* Stop all tasks (SIGTERM, then SIGKILL at the deadline) and wait for their ends; then only cluster_status is answered. The documents
 * stay. NULL is allowed. Thread: no dispatcher. */
void cluster_stop(struct cluster *cluster, uint32_t timeout_ms);
/* Stop if it has not been, and free: after whoever may still ask it something, the servers with its routes among them. */
void cluster_free(struct cluster *cluster, uint32_t timeout_ms);

/* The REST APIs: /v2/apps ..., /v1/scheduler/..., and the same paths of Chronos without /v1. */
SM_MUST_CHECK enum sm_err cluster_routes(struct cluster *cluster, struct http_server *server);

/* The same from inside, as the configuration uses it: create or replace; unchanged documents are left alone. May block. Thread: no
 * dispatcher. Errors: SM_INVALID names the member. */
SM_MUST_CHECK enum sm_err cluster_app_put(struct cluster *cluster, const json_t *document, struct sm_error *reterr);
SM_MUST_CHECK enum sm_err cluster_job_put(struct cluster *cluster, const json_t *document, struct sm_error *reterr);

/* {"agent": {staging (tasks that are being started), cpus, cpusUsed, mem, memUsed}, "apps": [{id, instances, running, restarts, lastError
 * ...}], "jobs": [{name, schedule, next, runs, successCount, errorCount, lastSuccess, lastError, state}]} for the dashboard. Thread: any;
 * does not block. */
json_t *cluster_status(struct cluster *cluster);

#endif
