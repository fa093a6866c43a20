/* A Kafka broker on top of a log: Kafka's wire protocol (4.1's versions) for unmodified clients.
 *
 * It serves topics, produce, fetch, consumer groups of both protocols and their offsets; see README.md for the list of requests and what
 * is left out. The broker tells each client the address that the client connected to, unless another one is advertised. */
#ifndef KAFKA_KAFKA_H
#define KAFKA_KAFKA_H

#include "auth/acl.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "kafka/kafka_limits.h"
#include "log/log.h"

#define KAFKA_CLUSTER_ID "c21hY2stb25lLW5vZGUtMQ" /* as Kafka's: 16 bytes in URL-safe Base64 */

struct kafka_server;
struct kafka_listener_options {
	const char *host; /* an IP address; beyond loopback only with credentials */
	uint16_t port;    /* 0: any free one */
	/* What clients are told instead of the address that they connected to (Kafka's advertised.listeners); NULL: that address.
	 * Copied; at most KAFKA_HOST_MAX bytes. */
	const char *advertised_host;
	uint16_t advertised_port;
	struct net_tls *tls; /* net/tls.h; outlives the server; NULL: plain */
	unsigned sasl;       /* the mechanisms of which one must be used (AUTH_BIT); 0: no login */
};
struct kafka_server_options {
	struct sm_system *system;
	struct sm_log *log;                             /* outlives the server */
	struct clock *clock;                            /* NULL: clock_system */
	const struct kafka_listener_options *listeners; /* 1 to KAFKA_LISTENERS_MAX */
	uint32_t listener_count;
	struct auth_users *users; /* outlives the server; may be NULL when no listener has SASL */
	struct auth_acls *acls;   /* outlives the server; NULL: everybody may everything */
	/* A login must be repeated after so long, else the connection is closed; 0: it lasts as long as the connection (Kafka's
	 * connections.max.reauth.ms). */
	uint32_t session_max_ms;
	/* Offsets are dropped so long after their commit, or after their group became empty (Kafka's offsets.retention.minutes); 0: never.
	 */
	uint64_t offsets_retention_ms;
	uint64_t idle_ms;        /* a connection without a byte from its client for so long is closed; 0: never */
	const char *quotas_path; /* the file of client quotas, copied; NULL: quotas last as long as the server */
	const char *cluster_id;  /* copied; NULL: KAFKA_CLUSTER_ID */
	int32_t node_id;         /* 0 is a valid id */
	int32_t partitions;      /* of topics that are made without a count; 0: 1 (Kafka's num.partitions) */
	bool no_auto_create;     /* Metadata makes no topics */
	/* How long the first member of an empty group waits for others. 0: not at all (Kafka's own default is 3000). */
	uint32_t group_initial_rebalance_delay_ms;
};
/* Errors: those of net_listen, SM_CORRUPT and SM_VERSION (the file of quotas), SM_NO_MEMORY, SM_TOO_LARGE (advertised_host, listeners),
 * SM_INVALID (SASL without users). */
SM_MUST_CHECK enum sm_err kafka_server_new(const struct kafka_server_options *options, struct kafka_server **ret_server,
					   struct sm_error *reterr);
/* Of a listener, in the order of the options. */
uint16_t kafka_server_port(const struct kafka_server *server, uint32_t listener);
/* Count bytes that the principal ("User:alice") has sent by another way against its producer_byte_rate. Returns for how many ms it must be
 * quiet so that its rate is its quota again; 0: it is within it, or has none. Thread: any. */
uint32_t kafka_server_count(struct kafka_server *server, const char *principal, size_t bytes);
/* Stop accepting, let requests that have begun be answered for at most drain_ms, close all connections, end the groups'
 * coordinators, free. Thread: no dispatcher. NULL is allowed. */
void kafka_server_free(struct kafka_server *server, uint32_t drain_ms);

#endif
