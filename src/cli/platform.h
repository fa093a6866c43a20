/* The whole platform in one process: opens the engines, makes what the configuration names, starts the servers and the jobs,
 * and ends all of it in order. `up`, `with` and `demo` use it. */
#ifndef CLI_PLATFORM_H
#define CLI_PLATFORM_H

#include "auth/auth.h"
#include "base/schema.h"
#include "cli/config.h"
#include "cluster/cluster.h"
#include "compute/compute.h"
#include "cql/cql.h"
#include "ingest/ingest.h"
#include "kafka/kafka.h"
#include "log/log.h"
#include "net/http.h"
#include "net/tls.h"
#include "remote/remote.h"
#include "store/store.h"
#include "web/web.h"
#include <stdatomic.h>

#define PLATFORM_LOCK_FILE "smack.lock" /* in the data directory: locked by the process that serves it */

/* A topic of the configuration with what is known of its events. */
struct platform_topic {
	const char *name;
	struct schema *schema; /* NULL: any */
	char *schema_text;
	const char *key; /* field of the schema, or NULL */
};
struct platform_runner; /* jobs inside the server (platform_jobs.c) */

struct platform {
	struct config *config; /* borrowed */
	uint64_t started_ns, ready_ns;
	int lock_fd;
	struct sm_system *system;
	struct sm_log *log;
	struct sm_store *store;
	struct platform_topic *topics;
	uint32_t topic_count;
	struct schemas *schemas; /* of topics for which the configuration has none */
	struct compute_env env;
	struct compute_env *passing; /* platform_jobs.c */
	struct http_server *http;
	struct ingest *ingest;
	struct auth_users *users; /* NULL: none are needed */
	struct auth_acls *acls;   /* NULL: everybody may everything */
	struct net_tls *tls[3];   /* by what is asked of clients (enum net_tls_clients); NULL: not needed */
	struct kafka_server *kafka;
	struct cql_server *cql;
	struct remote_server *remote;
	struct cluster *cluster;
	struct platform_runner *runner;
	struct web *web;
	char url[64], cql_port[8];
	struct net_tls *http_tls;          /* of http.port; NULL: plain */
	bool outgrown;                     /* a real Kafka keeps the log: kafka is NULL */
	bool store_outgrown;               /* a real Cassandra keeps the store: cql is NULL */
	char kafka_address[1024];          /* where Kafka's clients find the topics: HOST:PORT, or several of a real Kafka */
	char cql_host[256];                /* where drivers find the tables: with cql_port */
	char store_shown[1024];            /* "embedded" or the real Cassandra's address */
	char log_shown[1024];              /* "embedded" or the real Kafka's address */
	char *process_env[8];              /* ends with NULL: what processes of the cluster find in their environment */
	struct remote_command commands[7]; /* of the Unix socket; ends with name NULL */
	_Atomic bool ready;
};

/* On failure everything that was started has been stopped again. Thread: none of the system's. */
SM_MUST_CHECK enum sm_err platform_start(struct config *config, struct platform **ret_platform, struct sm_error *reterr);
/* Stop accepting, drain, end the jobs, close the engines. Within 5 s. Returns the first error of the engines' closing. */
enum sm_err platform_stop(struct platform *platform, struct sm_error *reterr);

/* The public key of http.port, as clients pin it (net_tls_pin); "": it has no TLS. */
void platform_http_pin(struct platform *platform, char ret_pin[NET_TLS_PIN_MAX]);

/* ---- platform_log.c ---- */
/* The log that the configuration names: the embedded one, or one on a real Kafka. */
SM_MUST_CHECK enum sm_err platform_log_open(struct platform *platform, struct sm_error *reterr);
/* The platform is about to stop: nobody is to wait long for a Kafka that is not there. */
void platform_log_ending(struct platform *platform);
/* False while a real Kafka does not answer. */
bool platform_log_answers(const struct platform *platform);

/* ---- platform_store.c ---- */
/* The store that the configuration names: the embedded one, or one on a real Cassandra. */
SM_MUST_CHECK enum sm_err platform_store_open(struct platform *platform, struct sm_error *reterr);
/* The platform is about to stop: nobody is to wait long for a Cassandra that is not there. */
void platform_store_ending(struct platform *platform);
/* False while a real Cassandra does not answer. */
bool platform_store_answers(const struct platform *platform);

/* ---- memory.c ---- */
/* Give back to the system what an idle process does not need. */
SM_MUST_CHECK enum sm_err platform_memory_keep(struct sm_system *system, uint64_t budget_bytes);

/* ---- files.c ---- */
/* Before anything looks how many descriptors there may be. */
void platform_files_raise(void);
/* Tell of connections that were refused beyond *told, which grows. */
void platform_files_look(uint64_t *told);

/* ---- platform_jobs.c ---- */
/* Streams and SQL jobs as tasks of the cluster. */
SM_MUST_CHECK enum sm_err platform_runner_new(struct platform *platform, struct platform_runner **ret_runner, struct sm_error *reterr);
void platform_runner_free(struct platform_runner *runner);
const struct cluster_runner *platform_runner_table(struct platform_runner *runner);
/* Apps and jobs of the configuration, handed to the cluster. */
SM_MUST_CHECK enum sm_err platform_jobs_put(struct platform *platform, struct sm_error *reterr);

/* The port of the section config->listeners[index]. false: its protocol is not served here. */
bool platform_listener_port(const struct platform *platform, uint32_t index, uint16_t *ret_port);

/* ---- platform_control.c ---- */
/* Commands of the Unix socket, and the routes /readyz, /healthz and /metrics. */
extern const struct remote_command *platform_commands(struct platform *platform);
SM_MUST_CHECK enum sm_err platform_routes(struct platform *platform, struct sm_error *reterr);
/* Everything that `smack status` and the dashboard show. */
json_t *platform_status(struct platform *platform);

/* ---- platform_report.c ---- */
/* {"columns": [..], "rows": [[..]..]} of the SELECT that web.report names; NULL when there is none or it fails. May block. */
json_t *platform_report(struct platform *platform);

/* ---- common to up, with and demo ---- */
/* Block the signals that end the program, in this thread and those that it starts; ignore SIGPIPE. */
void signals_block(void);
/* Wait for SIGINT, SIGTERM or SIGHUP. From then on a second one, or 5 s, end the process at once. */
void signals_wait(void);
void signals_expect_end(void);
/* What is being waited for, told when the 5 s are over. A string constant. */
void signals_ending(const char *what);

#endif
