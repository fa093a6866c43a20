/* CQL over any store engine: the native protocol's server, and statements run in this process.
 *
 * Source: CQL 3.4.7 and the native protocol v3 to v5 as Apache Cassandra 5.0 answers them. */
#ifndef CQL_CQL_H
#define CQL_CQL_H

#include "base/arena.h"
#include "base/clock.h"
#include "cql/cql_limits.h"
#include "store/store.h"

/* ---- server ---- */

struct cql_server;
struct net_tls;
struct cql_listener_options {
	const char *host; /* "127.0.0.1"; beyond loopback only with credentials */
	uint16_t port;    /* 0: any free one */
	/* Where drivers are told to connect (rpc_address, rpc_port): an IP address, copied; NULL: where they connected to. */
	const char *advertised_host;
	uint16_t advertised_port;
	struct net_tls *tls; /* net/tls.h; outlives the server; NULL: plain */
	bool authenticate; /* Cassandra's PasswordAuthenticator and CassandraAuthorizer: its clients log in as roles, and may what these may
			    */
};
struct cql_server_options {
	struct sm_system *system;
	struct sm_store *store;                       /* borrowed until cql_server_free */
	struct clock *clock;                          /* NULL: clock_system */
	const struct cql_listener_options *listeners; /* 1 to CQL_LISTENERS_MAX */
	uint32_t listener_count;
	const char *cluster_name; /* NULL: "smack" */
	uint32_t connections_max; /* 0: the network's default */
};
/* Listen and serve. Errors: SM_BUSY (port in use), SM_DENIED (beyond loopback without credentials), SM_TOO_LARGE (listeners, an advertised
 * host), SM_NO_MEMORY, SM_IO; those of reading the roles, which are there when a listener asks for a login. Blocks. */
SM_MUST_CHECK enum sm_err cql_server_new(const struct cql_server_options *options, struct cql_server **ret_server, struct sm_error *reterr);
/* Of a listener, in the order of the options. */
uint16_t cql_server_port(const struct cql_server *server, uint32_t listener);
/* Stop accepting, answer what is under way for at most drain_ms, end the connections. Thread: no dispatcher. NULL is allowed. */
void cql_server_free(struct cql_server *server, uint32_t drain_ms);
/* Tell the registered drivers of a change that did not come through this server (configuration, another process).
 * kind as in the protocol: change "CREATED" "UPDATED" "DROPPED", target "KEYSPACE" "TABLE" "TYPE"; table or type is its name, the others
 * are NULL. Thread: any. */
void cql_server_schema_changed(struct cql_server *server, const char *change, const char *keyspace, const char *table, const char *type);

/* ---- statements in this process ---- */

struct cql_session;
struct cql_column {
	const char *name, *type; /* "views", "bigint" */
};
/* What a statement answered; all pointers are borrowed for the call. An error that a callback returns ends the run. */
struct cql_sink {
	void *arg;
	/* A result with rows begins. May be NULL. */
	enum sm_err (*columns)(void *arg, const struct cql_column *columns, uint32_t count);
	/* One row: values as cqlsh prints them; NULL: null. May be NULL. */
	enum sm_err (*row)(void *arg, const char *const *values, uint32_t count);
	/* A statement ended without error. rows: how many it gave, -1 when it is none that gives rows. May be NULL. */
	enum sm_err (*done)(void *arg, int64_t rows);
};
/* keyspace: the one in use at the start, or NULL; it need not exist until a statement uses it. */
SM_MUST_CHECK enum sm_err cql_session_new(struct sm_store *store, const char *keyspace, struct cql_session **ret_session);
void cql_session_free(struct cql_session *session);
/* Run one or many statements, separated by semicolons, in order; stops at the first error, whose text is Cassandra's, with the
 * statement's number and line in front when there are several. sink may be NULL. Blocks. Thread: one at a time. */
SM_MUST_CHECK enum sm_err cql_session_run(struct cql_session *session, struct bytes text, const struct cql_sink *sink,
					  struct sm_error *reterr);
/* The keyspace in use, "" for none; valid until the next run. */
const char *cql_session_keyspace(const struct cql_session *session);
/* Where the first statement of text ends: behind its semicolon, outside strings, names, comments and BEGIN ... APPLY BATCH; 0 if none ends
 * there. For shells that gather lines. */
size_t cql_statement_end(struct bytes text);

/* ---- values as text ---- */

/* A value as cqlsh prints it, in the arena; size -1: "null". */
const char *cql_render(const struct store_type *type, struct store_cell value, struct arena *arena);

#endif
