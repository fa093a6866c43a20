/* Inside the Kafka room: requests, what handlers may do with them, and the server.
 *
 * A request's life: its frame is copied off the connection and queued (conn.c). When its turn comes it is decoded (request.c)
 * and handed to its API's handler on the connection's dispatcher. The handler fills request->reply, now or after steps
 * elsewhere, and calls kafka__finish; finished requests leave in the order in which they came.
 *
 * One connection's requests are handled one by one, as by Kafka, except that Produce requests overlap each other.
 *
 * A request is counted: the connection's queue holds it, and so does each message, piece of work, wait and queued slice that
 * points to it. It may outlive its connection; request->conn is then NULL. */
#ifndef KAFKA_KAFKA_INTERNAL_H
#define KAFKA_KAFKA_INTERNAL_H

#include "auth/acl.h"
#include "auth/auth.h"
#include "kafka/codec.h"
#include "kafka/kafka.h"
#include "base/map.h"
#include "net/net.h"
#include <pthread.h>
#include <stdatomic.h>

enum kafka_error {
#define X(name, code) KAFKA_##name = code,
#include "kafka/errors.def"
#undef X
};
/* The one table from smack's errors to Kafka's; what is not in it is UNKNOWN_SERVER_ERROR. */
int16_t kafka__error_of(enum sm_err err);
const char *kafka__error_name(int16_t code);

enum kafka_api_key {
#define X(NAME, name, key, advertised, min, max, flexible, handler) KAFKA_##NAME = key,
#include "kafka/apis.def"
#undef X
};
struct kafka_quotas;
struct kafka_request;
struct kafka_txn;
struct kafka_txn_lease;
struct kafka_txns;
struct kafka_api {
	const char *name;
	int16_t key, advertised_min, min, max, flexible;
	const struct kafka_layout *request, *response;
	void (*handle)(struct kafka_request *request);
};
extern const struct kafka_api kafka__apis[];
extern const uint32_t kafka__api_count;
/* NULL: not served. */
const struct kafka_api *kafka__api_find(int16_t key);

/* ---- the server ---- */

struct kafka_group_entry { /* in server->groups, under groups_lock; freed by the coordinator's end */
	struct kafka_server *server;
	struct sm_ref *ref;
	char *id;
	const char *state; /* "Stable", static text; changed by the coordinator alone */
	const char *type;  /* "classic" or "consumer", the same */
	char protocol_type[64];
};
struct kafka_listener {
	struct kafka_server *server;
	struct net_listener *net;
	char advertised_host[KAFKA_HOST_MAX + 1]; /* "": each client is told the address that it connected to */
	uint16_t advertised_port;
	unsigned sasl;
	bool tls;
};
struct kafka_server {
	struct sm_system *system;
	struct sm_log *log;
	struct clock *clock;
	struct kafka_listener listeners[KAFKA_LISTENERS_MAX];
	uint32_t listener_count;
	struct auth_users *accounts;
	struct auth_acls *acls; /* NULL: everybody may everything */
	struct kafka_quotas *quotas;
	uint32_t session_max_ms;
	uint64_t idle_ms;
	atomic_int logins; /* steps of logins on the pool */
	char cluster_id[64];
	int32_t node_id;
	int32_t partitions;
	bool auto_create;
	uint32_t rebalance_delay_ms;
	atomic_int users; /* requests and coordinators that still point here */
	pthread_mutex_t groups_lock;
	struct map groups; /* id -> struct kafka_group_entry */
	bool groups_stopped;
	struct kafka_txns *txns; /* txn.c */
	uint64_t offsets_retention_ms;
	struct janitor *janitor; /* group_expiry.c */
	struct sm_ref *janitor_ref;
};

/* ---- requests ---- */

struct kafka_conn;
struct kafka_msg {
	struct sm_msg msg;
	struct kafka_request *request;
};
/* What a request asks of the transaction coordinator, and the answer. */
enum kafka_txn_op { TXN_INIT, TXN_ADD, TXN_END, TXN_DESCRIBE, TXN_LIST };
struct kafka_txn_part {
	const char *topic;
	int32_t partition;
};
struct kafka_txn_use {
	struct kafka_msg msg;
	struct kafka_request *next; /* waits for what its transaction is busy with */
	enum kafka_txn_op op;
	const char *id;
	int64_t producer_id;
	int16_t epoch;
	int32_t timeout_ms;
	bool commit;
	bool verify;            /* TXN_ADD: the partitions must be in the transaction already */
	bool lease;             /* TXN_ADD: the transaction does not end before the request does */
	int16_t client_version; /* 2: its epoch grows with each transaction */
	struct kafka_txn_part *parts;
	uint32_t part_count;
	/* answer */
	int16_t error; /* PRODUCER_FENCED for a wrong epoch, whatever the request's version calls that */
	struct kafka_txn_lease *held;
};
struct kafka_request {
	struct kafka_request *next;       /* of the connection's queue */
	struct kafka_request *group_next; /* waits, with others, for what its coordinator writes */
	struct group *coordinator;        /* that has it now */
	atomic_int refs;
	struct kafka_server *server;
	struct kafka_conn *conn; /* the connection's dispatcher only */
	struct sm_ref *conn_ref;
	void *memory;   /* of the frame */
	uint8_t *frame; /* what came, without the length; Produce's records are changed in place by the log */
	size_t frame_size;
	const struct kafka_api *api;
	struct kafka_version version;
	int32_t correlation_id;
	struct bytes client_id;
	struct arena arena;
	void *body, *reply;              /* decoded request; reply with its defaults */
	const struct log_topics *topics; /* kafka__topics; released with the request */
	bool begun, finished, silent, stalled;
	bool encoded;                 /* the handler has written `out` itself */
	struct kafka_denial *denials; /* authorize.c: what was taken out of the request */
	const struct kafka_listener *listener;
	char host[46]; /* the address that the client connected to */
	uint16_t port;
	const char *peer;

	/* What goes on, on the connection's dispatcher: after kafka__resume, after kafka__wake, after kafka__later's time. */
	void (*step)(struct kafka_request *request);
	void (*wake)(struct kafka_request *request);
	void (*due)(struct kafka_request *request);
	void (*gone)(struct kafka_request *request); /* the connection is closing: cancel waits. May be NULL */
	void (*done)(struct kafka_request *request); /* release what state holds. May be NULL */
	void *state;                                 /* the handler's, in the arena */
	uint64_t due_ns;                             /* when due is called; 0: not */
	atomic_uint parts;                           /* open parts, for handlers that wait for several */
	struct kafka_msg resume_msg, wake_msg, group_msg;
	struct sm_work work;
	void (*pool_run)(struct kafka_request *request);
	struct kafka_txn_use txn;

	/* throttle.c */
	uint64_t turn_ns;             /* since when the dispatcher works at it; 0: it does not, or nobody asks */
	atomic_uint_fast64_t busy_ns; /* for how long it was worked at, while somebody asked */
	uint64_t mutation_until_ms;   /* when its client may change topics again; 0: now */
	uint32_t throttle_ms;         /* what its answer says */

	struct buf out; /* the reply's frame */
	struct kafka_splice *splices;
	uint32_t splice_count;
};
/* Records of a reply that lie in the log; what kafka_records.splice points to. In the request's arena. */
struct kafka_slice {
	struct log_slice slice;
	struct kafka_request *request;
};

struct kafka_request *kafka__request_ref(struct kafka_request *request);
void kafka__request_unref(struct kafka_request *request);
/* request.c: read header and body, prepare the reply. SM_OK: call request->api->handle. Any error: close the connection; ret_answer
 * true: the answer is made already (ApiVersions of an unknown version). Thread: any (also the fuzz target's). */
SM_MUST_CHECK enum sm_err kafka__request_parse(struct kafka_request *request, bool *ret_answer);
/* Write the reply's frame into request->out. */
SM_MUST_CHECK enum sm_err kafka__request_encode(struct kafka_request *request);
/* For conn.c, tests and the fuzz target: takes memory (malloc'ed), in which the frame lies. NULL: out of memory, memory is freed. */
struct kafka_request *kafka__request_new(struct kafka_server *server, void *memory, uint8_t *frame, size_t size);

/* ---- sessions: who is at the other end (sasl.c) ---- */

struct kafka_principal {
	atomic_int refs;
	char name[]; /* "User:alice" */
};
/* NULL: no memory. */
struct kafka_principal *kafka__principal_new(const char *type, const char *name);
void kafka__principal_unref(struct kafka_principal *principal);

enum kafka_session_state {
	SESSION_OPEN,    /* all may be asked */
	SESSION_BEGUN,   /* ApiVersions or SaslHandshake must come */
	SESSION_TOLD,    /* ApiVersions was answered: SaslHandshake must come */
	SESSION_TOKENS,  /* a message of the login must come */
	SESSION_AGAIN,   /* an open session's handshake is being answered */
	SESSION_REFUSED, /* nothing is listened to any more */
};
/* Of a connection. Thread: its dispatcher. */
struct kafka_session {
	enum kafka_session_state state;
	bool raw;                          /* messages of the login come without headers */
	struct auth_sasl *sasl;            /* the login that goes on, unless a request has it */
	enum auth_mechanism mechanism;     /* of the login that is done */
	struct kafka_principal *principal; /* counted */
	uint64_t since_ns, expires_ns;     /* of the login; 0: there was none, it does not end */
};
/* false: no memory. */
bool kafka__session_init(struct kafka_session *session, const struct kafka_listener *listener, const struct net_conn *net);
void kafka__session_done(struct kafka_session *session);
/* What is to be done with a request that begins: handled, taken as a bare message of the login (kafka__sasl_token), or the connection
 * ended, with an answer that says ILLEGAL_SASL_STATE if it has a place for that (kafka__sasl_illegal), or without one. */
enum kafka_admission { ADMIT, ADMIT_TOKEN, ADMIT_ILLEGAL, ADMIT_NOT };
enum kafka_admission kafka__session_admit(struct kafka_session *session, const struct kafka_request *request);
/* ApiVersions is answered. */
void kafka__session_told(struct kafka_request *request);
void kafka__sasl_token(struct kafka_request *request);
void kafka__sasl_illegal(struct kafka_request *request);
/* conn.c: the request's connection has one as long as request->conn is there. */
struct kafka_session *kafka__session(struct kafka_request *request);

/* scram.c: the reply to AlterUserScramCredentials, refused as a whole. false: no memory. */
bool kafka__scram_refuse(struct kafka_request *request, int16_t error, const char *text);
/* quotas.c: the same of AlterClientQuotas. */
bool kafka__quotas_refuse(struct kafka_request *request, int16_t error, const char *text);

/* ---- what a principal may ask (authorize.c); only with server->acls. Thread: the connection's dispatcher ---- */

/* Before the handler: take out of the request what its principal may not touch. false: it is answered already, or its connection ends. */
bool kafka__authorize(struct kafka_request *request);
/* Before the reply is encoded: put back what was taken out, with its error. false: no memory, or no reply is wanted: end the connection. */
bool kafka__authorize_reply(struct kafka_request *request);

/* ---- quotas (throttle.c). Thread: the connection's dispatcher ---- */

/* Count the request against its client's quotas and write its answer's frame, which says how long the client must wait: throttle_ms. */
SM_MUST_CHECK enum sm_err kafka__answer_encode(struct kafka_request *request);
/* Around all that is done with a request at a time: it counts as the request's share of a thread. */
void kafka__turn_begin(struct kafka_request *request);
void kafka__turn_end(struct kafka_request *request);
void kafka__pool_turn(struct kafka_request *request); /* the same for pool_run, on the pool */
/* The most that a Fetch may answer without breaking its client's quota by itself. */
size_t kafka__fetch_bytes_max(struct kafka_request *request);
/* Take so many partitions that are made or deleted from what the client may change (below 0: give them back). false:
 * THROTTLING_QUOTA_EXCEEDED; never before the version strict_since, where the answer only says how long to wait. */
bool kafka__mutation_take(struct kafka_request *request, double partitions, int16_t strict_since);

/* ---- for handlers ---- */

/* The reply is complete. Thread: the connection's dispatcher. */
void kafka__finish(struct kafka_request *request);
/* The same, and nothing after it: the connection ends when the answer has left. Thread: the connection's dispatcher. */
void kafka__finish_last(struct kafka_request *request);
/* Run request->step on the connection's dispatcher; takes one reference. Thread: any. */
void kafka__resume(struct kafka_request *request);
/* Run request->wake there; takes one reference. Not again before it has run. Thread: any. */
void kafka__wake(struct kafka_request *request);
/* Run on the pool, then step. While the pool is full it is tried again. Thread: the dispatcher. */
void kafka__pool(struct kafka_request *request, void (*run)(struct kafka_request *request));
/* due after so many ms, or sooner when the server stops; not if due_ns is set to 0 before. Thread: the dispatcher. */
void kafka__later(struct kafka_request *request, uint32_t after_ms, void (*due)(struct kafka_request *request));
/* No further request of this connection begins until it is called with false: the log is behind. Thread: the dispatcher. */
void kafka__stall(struct kafka_request *request, bool on);
/* The request cannot be answered (memory): its connection ends after the answers before it. Thread: the dispatcher. */
void kafka__abort(struct kafka_request *request);
/* The connection takes nothing new: answer with what is there instead of waiting. Thread: the dispatcher. */
bool kafka__ending(const struct kafka_request *request);
/* step follows when `count` parts have ended, and one more that is the caller's own: it ends that when all are on their way, so that
 * the last answer cannot end the request while it still walks. Takes the reference that the resume gives back. Thread: the dispatcher. */
void kafka__parts_begin(struct kafka_request *request, uint32_t count);
/* Thread: any. */
void kafka__part_end(struct kafka_request *request);

/* Zeroed; NULL when the arena's bound is reached: the handler then calls kafka__abort. size 0 gives a pointer too. */
void *kafka__alloc(struct kafka_request *request, size_t count, size_t size);
/* Where the client is to find this broker (metadata.c). */
struct bytes kafka__our_host(const struct kafka_request *request);
uint16_t kafka__our_port(const struct kafka_request *request);
const char *kafka__protocol_name(const struct kafka_listener *listener); /* "SASL_SSL" */
/* "10.0.0.1:40312" -> "10.0.0.1", "[::1]:40312" -> "::1". */
#define KAFKA_PEER_HOST_MAX 64
const char *kafka__peer_host(const char *peer, char out[KAFKA_PEER_HOST_MAX]);
/* As a C string; NULL if it holds a zero byte or memory is out: nothing that exists has such a name. */
const char *kafka__cstr(struct kafka_request *request, struct bytes text);
static inline struct bytes kafka__text(const char *text)
{
	return text ? bytes_str(text) : (struct bytes){0};
}
#define KAFKA_EMPTY ((struct bytes){(const uint8_t *)"", 0})
bool kafka__uuid_is_zero(const struct uuid *id);
/* For each key the place where it stands first, in the arena. NULL: no memory. */
const uint32_t *kafka__firsts(struct kafka_request *request, const struct bytes *keys, uint32_t count);
/* The picture of all topics as they are now, in place of one taken before; valid as long as the request. NULL: no memory. */
const struct log_topics *kafka__topics(struct kafka_request *request);
/* A topic by name, or by id where there is one (NULL: not there). */
const struct log_topic *kafka__topic(struct kafka_request *request, const struct log_topics *topics, struct bytes name,
				     const struct uuid *id);
/* One of the server's own topics, made or not yet. */
bool kafka__topic_internal(struct bytes name);
/* The partition's error before the log is asked: topic by name or id, and index. */
int16_t kafka__partition_error(const struct log_topic *topic, bool by_id, int32_t partition);

/* ---- the handlers, one file a subject ---- */
#define X(NAME, name, key, advertised, min, max, flexible, handler) void handler(struct kafka_request *request);
#include "kafka/apis.def"
#undef X

/* Bits of Kafka's operations (AclOperation's numbers) that a client without restrictions may do with a topic: READ WRITE CREATE DELETE
 * ALTER DESCRIBE DESCRIBE_CONFIGS ALTER_CONFIGS */
#define KAFKA_OPERATIONS_TOPIC 0x00000df8

/* ---- connections ---- */
extern const struct net_protocol kafka__protocol;

/* ---- topic configuration (configs.c) ---- */
/* All of a topic's, set or default, for CreateTopics; in the request's arena. NULL: out of memory. */
struct kafka_created_config *kafka__topic_configs(struct kafka_request *request, const struct log_config *set, uint32_t set_count,
						  int32_t *ret_count);

/* ---- consumer groups: groups.c finds a group's coordinator, group.c is one ---- */
extern const struct sm_props kafka__group_props;
enum kafka_group_find { GROUP_FIND, GROUP_MAKE };
/* Hand the request to its group's coordinator as a message; it goes on in group__handle there. Errors (the request stays with the
 * caller): SM_NOT_FOUND, SM_FULL, SM_TOO_LARGE (KAFKA_GROUPS_MAX), SM_NO_MEMORY, SM_INVALID (an id with a zero byte), SM_CLOSED. */
SM_MUST_CHECK enum sm_err kafka__group_send(struct kafka_request *request, struct bytes group, enum kafka_group_find find);
/* Put error into the reply of a request that goes to one group; sets step, except where several groups are visited in turn. */
void kafka__group_refuse(struct kafka_request *request, int16_t error);
/* What such a request is answered when kafka__group_send fails; not_found: when there is no such group. */
int16_t kafka__group_send_error(enum sm_err err, int16_t not_found);
/* Give each group with members that was kept its coordinator, which waits for them. Blocks. Errors: SM_NO_MEMORY, SM_IO ... */
SM_MUST_CHECK enum sm_err kafka__groups_start(struct kafka_server *server, struct sm_error *reterr);
void kafka__groups_stop(struct kafka_server *server);
/* A coordinator for the group, if it has none. Errors: SM_TOO_LARGE (KAFKA_GROUPS_MAX), SM_NO_MEMORY, SM_CLOSED. */
SM_MUST_CHECK enum sm_err kafka__group_begin(struct kafka_server *server, struct bytes id);
/* What ListGroups shows of a group without a coordinator; in the arena. false: no memory. */
bool kafka__group_peek(struct kafka_server *server, const char *id, struct arena *arena, const char **ret_type,
		       struct bytes *ret_protocol_type);
/* Hand a message to the group's coordinator, which is made if there is none. Errors (the message stays with the caller): as
 * kafka__group_send. */
SM_MUST_CHECK enum sm_err kafka__group_tell(struct kafka_server *server, struct bytes id, struct sm_msg *msg);
/* group_expiry.c: every so often offsets that are too old go. */
SM_MUST_CHECK enum sm_err kafka__janitor_start(struct kafka_server *server);
void kafka__janitor_stop(struct kafka_server *server);
void kafka__janitor_free(struct kafka_server *server); /* after the last user of the server */
/* One look, now. Blocks; the coordinators act afterwards. */
void kafka__offsets_look(struct kafka_server *server);
/* Something of the group is on disk, beside offsets. */
bool kafka__group_kept(struct kafka_server *server, const char *id);
/* The group whose turn it is, in DescribeGroups and DeleteGroups. */
struct kafka_described_group *kafka__described_group(struct kafka_request *request);
int16_t *kafka__deleted_group_error(struct kafka_request *request);
struct kafka_described_consumer_group *kafka__described_consumer_group(struct kafka_request *request);
#define KAFKA_OPERATIONS_GROUP 0x00000d48 /* bits of READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS */

/* ---- group offsets (offsets.c) ---- */
/* What OffsetCommit and TxnOffsetCommit ask for: their request->state. */
struct kafka_commit {
	const char *group;
	struct log_group_offset *offsets;
	int16_t **errors; /* where the answer to each of offsets stands */
	uint32_t count;
};
/* Room for count offsets; takes the topics. NULL: no memory. */
struct kafka_commit *kafka__commit_new(struct kafka_request *request, size_t count);
/* Add an offset (partition, offset and epoch are set), or say in *error why it cannot be committed. */
void kafka__commit_add(struct kafka_request *request, const struct log_topic *topic, struct log_group_offset offset, struct bytes metadata,
		       int16_t *error);
/* To the group's coordinator; an error: the request stays with the caller. generation < 0: of no member, so the group need not exist. */
SM_MUST_CHECK int16_t kafka__commit_send(struct kafka_request *request, struct bytes group, int32_t generation);
/* Store the offsets (of a TxnOffsetCommit as pending), or refuse all with error, and resume: takes one reference. Thread: the
 * coordinator's. */
void kafka__offsets_store(struct kafka_request *request, int16_t error);
void kafka__offsets_refuse(struct kafka_request *request, int16_t error);
/* The group whose member is asked for, in OffsetFetch, and where the verdict goes. */
const struct kafka_offset_fetch_group *kafka__fetched_group(const struct kafka_request *request);
int16_t *kafka__fetched_group_error(struct kafka_request *request);

/* ---- transactions: txn.c is the coordinator, txn_requests.c the way to it ---- */
/* Read what __transaction_state holds and start the coordinator, which goes on with transactions that were about to end. Blocks. */
SM_MUST_CHECK enum sm_err kafka__txns_new(struct kafka_server *server, struct sm_error *reterr);
void kafka__txns_stop(struct kafka_server *server);
/* Hand request->txn to the coordinator; request->step follows, with the answer. Thread: the connection's dispatcher. */
void kafka__txn_ask(struct kafka_request *request);
/* Give back request->txn.held, if there is one. Thread: any. */
void kafka__txn_release(struct kafka_request *request);
/* PRODUCER_FENCED is called INVALID_PRODUCER_EPOCH where a version does not know it. */
int16_t kafka__txn_error(const struct kafka_request *request, int16_t since);
/* transaction_state of DescribeTransactions and the answer of ListTransactions, from the coordinator's own state. */
void kafka__txn_describe(struct kafka_txns *txns, struct kafka_request *request);
void kafka__txn_list(struct kafka_txns *txns, struct kafka_request *request);

#endif
