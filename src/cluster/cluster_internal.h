/* Inside the cluster: one actor holds the agent, the apps, the jobs and their tasks; everything reaches it as a call. */
#ifndef CLUSTER_CLUSTER_INTERNAL_H
#define CLUSTER_CLUSTER_INTERNAL_H

#include "base/io.h"
#include "base/json.h"
#include "base/map.h"
#include "cluster/cluster.h"
#include "cluster/schedule.h"
#include <limits.h>
#include <semaphore.h>
#include <stdatomic.h>

/* ---- tasks ---- */

enum task_state { TASK_RUNNING, TASK_KILLING };
/* A task is staged on the pool (sandbox, files to fetch, start) and then runs. It may end before the word that it is staged has come:
 * what has ended is handled when both are known. */
struct cluster_task {
	struct sm_msg ended;  /* sent once, when it has ended */
	struct sm_msg staged; /* sent once, when the pool has done its part */
	struct sm_work stage;
	struct cluster *cluster;
	const struct cluster_runner *runner;
	json_t *document;
	bool app_kind; /* of an app, also when that has gone; else of a job */
	bool staging, not_started, has_ended;
	atomic_bool cancelled;     /* asked to end while it was being staged */
	struct task_check *checks; /* of its health and readiness; check.c */
	unsigned check_count;
	struct cluster_task *next; /* of the cluster's list */
	char id[160];
	char owner[128];
	char version[32]; /* of the app's document */
	char sandbox[PATH_MAX];
	struct app *app; /* or */
	struct job *job; /* whose attempt it is; both NULL once the owner has gone */
	enum task_state state;
	bool in_server;
	double cpus;
	uint64_t memory_bytes;
	int64_t started_ms;
	uint16_t ports[CLUSTER_PORTS_MAX];
	unsigned port_count;
	json_t *env;           /* the document's, and what Marathon adds */
	struct sm_error error; /* code SM_OK: it finished well */
	_Atomic int64_t cpu_us, rss_kib;
};
void cluster__task_usage(struct cluster_task *task, int64_t cpu_us, int64_t rss_kib);

/* ---- the agent: what is offered and what is taken ---- */

struct agent {
	double cpus, cpus_used;
	uint64_t memory_bytes, memory_used;
};
/* Accept the agent's offer with a task; false when what is left is not enough. */
bool cluster__agent_take(struct agent *agent, double cpus, uint64_t memory_bytes);
void cluster__agent_give(struct agent *agent, double cpus, uint64_t memory_bytes);

/* ---- apps (Marathon) ---- */

struct app {
	char *id;                             /* "/stream/daily" */
	json_t *document;                     /* as it was given, with defaults filled in */
	char version[32], config_version[32]; /* the latter: when more than the number of instances changed last */
	json_t *versions;                     /* documents with their "version", oldest first, the present one last */
	char deployment[37];                  /* its id, until what runs is what the document says; "" */
	bool launched;                        /* its dependencies were waited for */
	uint32_t running;                     /* tasks that count: not those being killed */
	uint32_t restarts;
	double delay_ms; /* before the next launch; grows while tasks fail */
	int64_t launch_at_ms;
	bool removed; /* waits for its last tasks */
	struct sm_error last_error;
	int64_t last_error_ms;
};

/* A group is the apps whose ids begin with its own; what it has itself is kept here. */
struct app_group {
	char *id;
	json_t *document; /* {"id", "dependencies"} */
};

/* ---- jobs (Chronos) ---- */

struct job {
	char *name;
	json_t *document;
	struct schedule schedule;
	const char *period; /* the third part of the document's schedule; NULL: the job runs after its parents */
	json_t *edges;      /* such a job's: {parent: how often it has succeeded since the job was made} */
	bool running, run_now;
	bool under_way;    /* a run has begun and is not over, also when the server ended meanwhile */
	struct zone *zone; /* NULL: UTC */
	json_t *took_ms;   /* the last runs, oldest first; NULL: none */
	uint32_t attempt;  /* of this run */
	int64_t retry_at_ms;
	int64_t success_count, error_count, errors_since_success, last_success_ms, last_error_ms;
	char last_error[300];
};

/* ---- the cluster ---- */

struct cluster {
	struct cluster_options options;
	char *dir;
	struct sm_ref *ref;
	struct agent agent;
	struct process_runner *processes;
	unsigned probes; /* under way */
	bool started, stopping;
	bool stopped, ended;           /* cluster_stop was called; all tasks have ended */
	struct map apps, jobs, groups; /* by id and name */
	struct cluster_task *tasks;
	uint64_t next_task;
	_Atomic unsigned reading; /* requests for output that are on the pool */
	_Atomic unsigned writing; /* writes to the store that are not answered */
	uint16_t next_port;
	int64_t last_write_us; /* timestamps of writes grow, so that the last one wins */
	sem_t all_ended;       /* posted once, when stopping and no task is left */
	bool all_ended_posted;
	const struct store_schema *schema; /* held: the two tables below are of it */
	const struct store_table *app_table, *job_table;
	char **env;
};

/* Documents are the actor's: what a call takes along or brings back is a copy, since the counts of references are nobody's to share.
 *
 * A call to the actor: a request of a REST API, or of another thread. handle runs in the actor and calls cluster__answer once, at once or
 * after something has been written to the store. */
struct call {
	struct sm_msg msg;
	struct cluster *cluster;
	void (*handle)(struct cluster *cluster, struct call *call);
	/* the request */
	char *name; /* app id or job name */
	json_t *body;
	const char *action;
	bool force, partial; /* PUT: members that are left out stay as they are */
	/* the answer */
	int status;
	const char *path; /* Marathon: the member of the document that the error is about; NULL: none */
	json_t *reply;    /* may be NULL */
	char *text;       /* instead: plain text, malloc'ed */
	char *header_name, *header_value;
	struct sm_error error; /* code not SM_OK: the error's own status and message */
	void (*finish)(struct call *call);
	void *user;
	/* what follows a write to the store */
	void (*then)(struct cluster *cluster, struct call *call);
};
struct call *cluster__call_new(struct cluster *cluster, void (*handle)(struct cluster *, struct call *), void (*finish)(struct call *));
void cluster__call_free(struct call *call);
/* Hand the call to the actor; on failure finish is called with the error. */
void cluster__call_send(struct call *call);
void cluster__answer(struct call *call, int status, json_t *reply); /* takes reply */
void cluster__answer_error(struct call *call);                      /* call->error has been filled */

/* ---- logs.c ---- */
enum sm_err cluster__log_routes(struct cluster *cluster, struct http_server *server);

/* ---- persist.c ---- */

/* Make the keyspace and the tables, read all documents. Blocks. */
enum sm_err cluster__persist_open(struct cluster *cluster, struct sm_error *reterr);
void cluster__persist_close(struct cluster *cluster);
/* What to write, in one atomic batch: apps, former versions, groups by their keys. */
struct change_item {
	char key[180];
	json_t *document; /* counted; NULL: delete */
};
struct change {
	struct change_item *items;
	size_t count, cap;
	bool failed; /* out of memory */
};
/* Takes document. */
void cluster__change_add(struct change *change, const char *key, json_t *document);
/* A new version of an app, with the oldest of the former ones dropped; there NULL: the app is new. version: 32 bytes, filled. */
void cluster__change_app(struct cluster *cluster, struct change *change, const struct app *there, const json_t *document, char *version);
void cluster__change_app_delete(struct change *change, const struct app *app);
void cluster__change_group(struct change *change, const char *id, json_t *document); /* takes document; NULL: delete */
void cluster__change_done(struct change *change);
/* Write (document NULL: delete) and go on with call->then in the actor; an error answers the call. call NULL: nobody waits. */
void cluster__persist_change(struct cluster *cluster, const struct change *change, struct call *call);
void cluster__persist_job(struct cluster *cluster, const char *name, const json_t *document, const json_t *state, struct call *call);

/* ---- tasks.c ---- */

extern const struct sm_msg_type cluster__staged_type;
/* Begin a task of an app or a job; on success it is on the list and its end is told. Errors: SM_FULL (no share, port or thread is free). */
enum sm_err cluster__task_start(struct cluster *cluster, struct app *app, struct job *job, struct sm_error *reterr);
void cluster__task_free(struct cluster_task *task);
void cluster__task_stop(struct cluster *cluster, struct cluster_task *task);
/* The pool is done with it. False: it has ended meanwhile, or never began; the caller handles its end. */
bool cluster__task_staged(struct cluster *cluster, struct cluster_task *task);

/* ---- stage.c: on the pool ---- */

/* Make the sandbox, fetch what the document names, start. */
void cluster__stage(struct sm_work *work);
/* "/stream/daily" -> "stream_daily": a name for files. */
void cluster__file_name(const char *owner, char *out, size_t size);
/* The newest output of an owner's tasks: stdout or stderr, at most max bytes of its end, appended. */
enum sm_err cluster__output(struct cluster *cluster, const char *kind, const char *owner, const char *stream, size_t max, struct buf *out);

/* ---- fetch.c ---- */

/* Check "fetch" and "uris" of a document. */
enum sm_err cluster__fetch_check(const json_t *document, struct sm_error *reterr);
/* Bring them into the sandbox. Blocks. cancelled: give up soon when it becomes true. */
enum sm_err cluster__fetch(const json_t *document, const char *sandbox, const atomic_bool *cancelled, struct sm_error *reterr);

/* ---- check.c: health and readiness of tasks; in the actor ---- */

enum sm_err cluster__checks_check(const json_t *document, const char **ret_path, struct sm_error *reterr);
/* The task begins to run: its checks begin. */
void cluster__checks_begin(struct cluster *cluster, struct cluster_task *task);
void cluster__checks_free(struct cluster_task *task);
/* Begin the checks that are due; returns ms until the next one, or INT64_MAX. */
int64_t cluster__checks_look(struct cluster *cluster, int64_t now_ms);
/* An answer of the pool. */
extern const struct sm_msg_type cluster__probe_type;
void cluster__probe_done(struct cluster *cluster, struct sm_msg *msg);
enum task_health { HEALTH_UNKNOWN, HEALTH_GOOD, HEALTH_BAD };
/* UNKNOWN without checks, and before their first answers. */
enum task_health cluster__task_health(const struct cluster_task *task);
bool cluster__task_ready(const struct cluster_task *task); /* it serves: started, healthy and ready as far as it is checked */
json_t *cluster__health_json(const struct cluster_task *task);
json_t *cluster__readiness_json(const struct cluster_task *task);

/* ---- probe.c: one check of one task, on the pool ---- */

enum probe_kind { PROBE_HTTP, PROBE_TCP, PROBE_COMMAND };
struct probe {
	enum probe_kind kind;
	bool https;
	uint16_t port;
	const char *path, *command; /* of the document, which lives as long */
	const char *sandbox;
	char *const *env; /* for the command; NULL: the server's */
	uint32_t timeout_ms;
	/* the answer */
	int status; /* of HTTP, or the command's; 0 */
	char content_type[64];
	char body[1024];
	char cause[200]; /* why it is no success; "" */
};
void cluster__probe(struct probe *probe);

/* ---- app.c, job.c: called in the actor ---- */

void cluster__app_free(struct app *app);
/* An absolute path of lower-case names. */
enum sm_err cluster__id_check(const char *id, struct sm_error *reterr);
enum sm_err cluster__dependencies_check(const json_t *document, struct sm_error *reterr);
/* Check a document and fill in defaults; returns a new document. ret_path: the member that was looked at last, for the error. */
enum sm_err cluster__app_check(const json_t *document, json_t **ret_document, const char **ret_path, struct sm_error *reterr);
struct app *cluster__app_find(struct cluster *cluster, const char *id); /* NULL also when it is being removed */
void cluster__app_stop_tasks(struct cluster *cluster, struct app *app);
/* Takes the reference; replaces one with the same id. The document's "version" is its version. */
enum sm_err cluster__app_install(struct cluster *cluster, json_t *document);
/* A former document, read from the store before or after its app. Takes the reference. */
void cluster__app_version_add(struct app *app, json_t *document);
/* Its tasks are stopped and it goes with the last of them. */
void cluster__app_remove(struct cluster *cluster, struct app *app);
/* What it waits for before its first launch; NULL: nothing. */
const char *cluster__app_waits_for(struct cluster *cluster, const struct app *app);
void cluster__app_ended(struct cluster *cluster, struct app *app, const struct cluster_task *task);
/* Launch what may be launched; returns ms until it is worth looking again, or INT64_MAX. */
int64_t cluster__apps_look(struct cluster *cluster, int64_t now_ms);
/* marathon.c */
json_t *cluster__app_json(const struct cluster *cluster, const struct app *app);
void cluster__app_put_handle(struct cluster *cluster, struct call *call);
/* {"version", "deploymentId"}; the id goes into the answer's header too. */
json_t *cluster__deployment(struct call *call, const char *version, const char *id);
/* "a/b" and "/a/b" (clients send "/v2/apps//a/b") as "/a/b". */
const char *cluster__path_id(struct bytes name, char *out, size_t size);
bool cluster__path_ends(struct bytes *name, const char *suffix); /* and cuts it off */

/* ---- group.c ---- */
void cluster__group_free(struct app_group *group);
enum sm_err cluster__group_install(struct cluster *cluster, json_t *document); /* takes the reference */
/* Whether id lies below the group; the group "/" holds all. */
bool cluster__group_holds(const char *group, const char *id);
enum sm_err cluster__group_routes(struct cluster *cluster, struct http_server *server);

enum sm_err cluster__marathon_routes(struct cluster *cluster, struct http_server *server);

void cluster__job_free(struct job *job);
enum sm_err cluster__job_check(const json_t *document, json_t **ret_document, int64_t now_ms, struct sm_error *reterr);
enum sm_err cluster__job_install(struct cluster *cluster, json_t *document, const json_t *state);
void cluster__job_ended(struct cluster *cluster, struct job *job, const struct cluster_task *task);
int64_t cluster__jobs_look(struct cluster *cluster, int64_t now_ms);
bool cluster__job_disabled(const struct job *job);
/* chronos.c */
json_t *cluster__job_json(const struct job *job);
json_t *cluster__job_state(const struct job *job);
/* As said of the app's; a document has a schedule or parents, which are there already. */
void cluster__job_put_handle(struct cluster *cluster, struct call *call);
/* The name of a job that runs after this one, or NULL. */
const char *cluster__job_child(struct cluster *cluster, const char *name);
/* Whether `name` is among the parents of `of`, or of their parents. */
bool cluster__job_follows(struct cluster *cluster, const json_t *parents, const char *name);
enum sm_err cluster__chronos_routes(struct cluster *cluster, struct http_server *server);
/* Routes under both prefixes: /v1 came with Chronos 3, clients of both kinds are there. */
enum sm_err cluster__chronos_add(struct cluster *cluster, struct http_server *server, const struct http_route *routes, size_t count);

/* ---- chronos_query.c ---- */
const char *cluster__job_last(const struct job *job); /* "fresh", "success", "failure" */
void cluster__job_took(struct job *job, int64_t ms);  /* a run that has succeeded */
enum sm_err cluster__chronos_query_routes(struct cluster *cluster, struct http_server *server);

/* Look at apps and jobs soon: something has changed. */
void cluster__wake(struct cluster *cluster);
int64_t cluster__now_ms(const struct cluster *cluster);

/* ---- rest.c: from HTTP requests to calls and back ---- */

/* A call for the request: its JSON body, the name that the route's parameter holds. NULL when an error was answered. */
struct call *cluster__rest_call(struct http_request *request, struct bytes name, bool wants_body,
				void (*handle)(struct cluster *, struct call *));

/* ---- process.c ---- */

struct process_runner;
/* base and the strings of an object, as an environment; malloc'ed, its strings too. NULL: no memory. */
char **cluster__process_env(char *const *base, const json_t *more);
enum sm_err cluster__processes_new(struct process_runner **ret_runner, struct sm_error *reterr);
void cluster__processes_env(struct process_runner *runner, char *const *env);
const struct cluster_runner *cluster__processes_table(struct process_runner *runner);
/* Kills what still runs and tells its end; nothing is started afterwards. NULL is allowed. */
void cluster__processes_end(struct process_runner *runner);
/* After cluster__processes_end. NULL is allowed. */
void cluster__processes_free(struct process_runner *runner);

#endif
