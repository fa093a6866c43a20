/* Between server.c (what connections share), conn.c (one connection) and request.c (one request). */
#ifndef CQL_SERVER_INTERNAL_H
#define CQL_SERVER_INTERNAL_H

#include "cql/wire.h"
#include "actor/actor_limits.h"
#include "base/map.h"
#include "net/net.h"
#include <pthread.h>
#include <smack/actor.h>

/* A prepared statement: immutable, counted. It belongs to one schema picture; after a change it is made anew from its text. */
struct prepared {
	_Atomic uint32_t refs;
	uint8_t id[16]; /* MD5 of keyspace and text */
	/* MD5 of the metadata of its rows; and as it was first: when it differs, clients of versions below 5 may hold other metadata and
	 * are not spared ours. */
	uint8_t result_id[CQL_METADATA_ID_BYTES], first_result_id[CQL_METADATA_ID_BYTES];
	/* The metadata has changed and nobody has prepared the statement since: clients of versions below 5 shall do so, since some believe
	 * what they have even when they are sent other metadata. */
	_Atomic bool stale;
	struct arena arena;
	struct sm_store *store;
	const struct store_schema *schema;
	struct bytes text;
	const char *keyspace; /* in use when it was prepared, or NULL */
	struct cql_plan *plan;
	struct prepared *older, *newer; /* the server's list, under its lock */
};

struct registration {
	struct sm_ref *conn;
	uint8_t version;
	struct registration *next;
};

struct cql_listener {
	struct cql_server *server;
	struct net_listener *net;
	bool authenticate;        /* its clients must log in */
	char advertised_host[46]; /* "": where the client connected to */
	uint16_t advertised_port;
};
struct request;
struct cql_server {
	struct cql_engine engine;
	struct sm_system *system;
	struct cql_listener listeners[CQL_LISTENERS_MAX];
	uint32_t listener_count, connections_max;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t idle;
	struct map prepared; /* id -> struct prepared */
	struct prepared *oldest, *newest;
	uint32_t prepared_count;
	struct registration *registered;
	uint32_t requests;      /* alive */
	struct request *logins; /* that wait for one of the workers */
	uint32_t login_workers;
	struct {
		struct request *first;
		uint32_t count;
	} kept[ACTOR_DISPATCHERS_MAX]; /* by dispatcher, for its next requests: only its thread uses them, without the lock */
};

/* Make a prepared statement, or find the one that is there. now: the schema that the request sees. ret: counted. */
SM_MUST_CHECK enum sm_err server__prepare(struct cql_server *s, struct bytes text, const char *keyspace, const struct store_schema *now,
					  struct prepared **ret_prepared, struct cql_error *err);
/* By id, for that schema and a client of that version. Errors: SM_NOT_FOUND (unprepared). */
SM_MUST_CHECK enum sm_err server__prepared(struct cql_server *s, struct bytes id, uint8_t version, const struct store_schema *now,
					   struct prepared **ret_prepared, struct cql_error *err);
void server__prepared_unref(struct prepared *p);
void server__register(struct cql_server *s, struct sm_ref *conn, uint8_t version);
void server__unregister(struct cql_server *s, struct sm_ref *conn);
void server__request_begun(struct cql_server *s);
void server__request_ended(struct cql_server *s);

/* Bytes for a connection to write: an event. */
struct event_msg {
	struct sm_msg msg;
	struct buf frame;
};
extern const struct sm_msg_type server__event_type;

/* ---- requests ---- */

struct request {
	struct sm_msg msg; /* to the connection, when something that it waited for is done */
	struct sm_work work;
	struct cql_server *server;
	struct sm_ref *conn; /* counted */
	struct request *next_kept;
	struct cql_header header;
	struct cql_reply reply;
	struct uuid trace_id; /* that reply.trace points to */
	bool from_loopback;
	struct bytes body;
	enum cql_compression compression;
	uint64_t started_ns;
	const struct store_schema *schema;
	struct cql_context context;
	/* what it means */
	struct cql_plan *plan;
	struct prepared *prepared;        /* of EXECUTE and PREPARE; counted */
	struct bytes result_id;           /* of EXECUTE from version 5: of the metadata that the client has */
	struct prepared **batch_prepared; /* of BATCH */
	uint32_t batch_prepared_count;
	struct cql_parameters parameters;
	struct cql_options options;
	struct cql_mutations mutations;
	struct cql_cas *cas; /* of a conditional statement */
	struct batch_item {
		struct cql_plan *plan;
		struct store_cell *values;
		uint32_t count;
	} * items; /* of BATCH */
	uint16_t item_count;
	enum cql_batch_kind batch_kind;
	int64_t now_us; /* the write time where none was given */
	struct store_batch batch;
	struct cql_change change;
	uint32_t change_tries;
	/* what waits */
	enum { REQUEST_READ, REQUEST_WRITE, REQUEST_CAS, REQUEST_CHANGE } waiting;
	struct request *next_login;
	const char *logged_in; /* the login has succeeded: who */
	const char *use;       /* USE succeeded: the connection's new keyspace */
	struct cql_result result;
	struct buf out; /* the answer */
	/* From here on a request that is used again keeps what it has: what is large is not cleared each time. */
	struct arena arena;
	struct cql_error error;
	struct sm_error failure;         /* of the store */
	char keyspace[CQL_NAME_MAX + 1]; /* in use on the connection */
	char peer[64];                   /* of a login: "127.0.0.1:40312" */
};
extern const struct sm_msg_type request__type;

/* What a request knows of its connection. */
struct request_origin {
	struct cql_server *server;
	struct sm_ref *conn;  /* where r->msg goes */
	const char *keyspace; /* in use, "" for none */
	const char *peer;     /* "127.0.0.1:40312" */
	const char *host;     /* that the client is told */
	uint16_t port;
	const char *user; /* who logged in, or NULL */
	enum cql_compression compression;
};
/* One frame has arrived; all is copied. NULL: no memory. */
struct request *request__new(const struct request_origin *origin, const struct cql_header *header, struct bytes body);
void request__free(struct request *r);
void request__free_kept(struct request *first); /* a dispatcher's list; no thread uses it any more */
/* Begin; true: the answer is in r->out. False: r->msg will come to the connection, then call request__finish. */
bool request__start(struct request *r);
/* After r->msg came: makes the answer where that is still to do. False: there is one more step, and r->msg will come again. */
bool request__finish(struct request *r);
/* From a step on another thread: r->msg goes to the connection. */
void request__send_back(struct request *r);
/* AUTH_RESPONSE, as request__start (login.c). */
bool request__start_login(struct request *r);

/* Tracing of a request (request_trace.c); nothing where the client did not ask for it. */
void request__trace_begin(struct request *r, const char *peer);
void request__trace_parameters(struct request *r, struct bytes text);
void request__trace_select(struct request *r);
void request__trace_write(struct request *r);

#endif
