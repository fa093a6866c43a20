/* Limits of the Kafka room; what exceeds one gets an error that names it, or waits. */
#ifndef KAFKA_LIMITS_H
#define KAFKA_LIMITS_H

#include "auth/auth_limits.h"
#include "net/net_limits.h"

#define KAFKA_LOG_DIR "log" /* what clients are told of where the log lies: the place of the data directory is nobody else's business */
#define KAFKA_FRAME_MAX (NET_FRAME_MAX - 4) /* bytes of one request; above: the connection is closed, as by Kafka */
#define KAFKA_REQUEST_ARENA_MAX (96u << 20) /* a request's parse tree and reply; above: the connection is closed */
#define KAFKA_WAITING_MAX 64                /* requests of one connection not yet begun; then it is not read */
#define KAFKA_WAITING_BYTES_MAX (2u << 20)  /* the same in bytes; one larger request is still taken */
#define KAFKA_PRODUCES_MAX 32               /* Produce requests of one connection under way; other requests go one by one */
#define KAFKA_PRODUCES_BYTES_MAX (8u << 20) /* the same in bytes: more than a disk takes in while a sync is under way */
#define KAFKA_TIGHT_BYTES_MAX (256u << 10)  /* of both, while the process is beyond its memory budget */
#define KAFKA_LISTENERS_MAX 16              /* of one server */
#define KAFKA_SCRAM_ITERATIONS_MAX 16384    /* that an admin client may set, as by Kafka */
#define KAFKA_LOGIN_FRAME_MAX 524288        /* bytes of one request before the login; Kafka's sasl.server.max.receive.size */
#define KAFKA_LOGIN_MS 30000                /* a connection that has not logged in by then is closed */
#define KAFKA_LOGIN_FAILED_MS 100           /* before a refusal is told; Kafka's connection.failed.authentication.delay.ms */
#define KAFKA_LOGINS_MAX 2                  /* steps of logins on the pool at a time; others wait */
#define KAFKA_HOST_MAX 255                  /* bytes of the advertised host, as of a DNS name */
#define KAFKA_RETRY_MS 5                    /* between two tries while the log is behind (SM_FULL) */
#define KAFKA_FETCH_BYTES_MAX (55u << 20)   /* one Fetch answer; Kafka's fetch.max.bytes */
#define KAFKA_FETCH_WAIT_MAX_MS 300000      /* longest that a Fetch may wait */
#define KAFKA_AUTO_CREATE_MAX 256           /* topics that one Metadata request may create; the rest get UNKNOWN_TOPIC_OR_PARTITION */
#define KAFKA_GROUPS_MAX 10000              /* coordinators; above: COORDINATOR_NOT_AVAILABLE */
#define KAFKA_GROUP_MEMBERS_MAX 1000      /* of one group, those that must still come back with their id included; GROUP_MAX_SIZE_REACHED */
#define KAFKA_GROUP_BYTES_MAX (64u << 20) /* metadata and assignments of one group; GROUP_MAX_SIZE_REACHED */
#define KAFKA_GROUP_MAILBOX_MAX 4096      /* requests waiting for one coordinator; above: COORDINATOR_LOAD_IN_PROGRESS */
#define KAFKA_GROUP_IDLE_MS 600000        /* an empty group's coordinator ends after so long (its offsets stay) */
#define KAFKA_OFFSETS_CHECK_MS 600000     /* between two looks for offsets that are too old; Kafka's offsets.retention.check.interval.ms */
#define KAFKA_OFFSETS_QUIET_MS 60000      /* a group that has committed since is left alone */
#define KAFKA_SESSION_TIMEOUT_MIN_MS 6000 /* Kafka's group.min.session.timeout.ms */
#define KAFKA_SESSION_TIMEOUT_MAX_MS 1800000 /* group.max.session.timeout.ms */
#define KAFKA_NEW_MEMBER_TIMEOUT_MS 300000   /* a member that joined and never asked again */
#define KAFKA_CONSUMER_SESSION_MS 45000      /* group.consumer.session.timeout.ms: a member that is silent for so long is out */
#define KAFKA_CONSUMER_HEARTBEAT_MS 5000     /* group.consumer.heartbeat.interval.ms: how often members are told to ask */
#define KAFKA_CONSUMER_OWNED_MAX 1000000     /* partitions that a member says it owns; INVALID_REQUEST */
#define KAFKA_PATTERN_PROGRAM_MAX 1000       /* steps of a pattern of topics; INVALID_REGULAR_EXPRESSION */
#define KAFKA_PATTERN_DEPTH_MAX 100          /* groups within groups there; the same */
#define KAFKA_QUOTAS_MAX 10000               /* entities with quotas; INVALID_REQUEST */
#define KAFKA_QUOTA_NAME_MAX 4096            /* bytes of a name of one; the same */
#define KAFKA_QUOTAS_FILE_MAX (64 << 20)     /* bytes of the file of quotas */
#define KAFKA_QUOTA_RESOLVERS 16             /* host names of quotas that are looked up at a time when the server starts, */
#define KAFKA_QUOTA_RESOLVE_MS 5000          /* and for how long the start waits for all of them */
#define KAFKA_QUOTA_SAMPLES 11               /* windows of a second over which a rate is taken; Kafka's quota.window.num */
#define KAFKA_QUOTA_METERS_MAX 20000         /* users, client ids and pairs of them that are measured at a time; others are added up */
#define KAFKA_QUOTA_IDLE_MS 3600000          /* a bucket of tokens that nobody used for so long is full again */
#define KAFKA_OFFSET_METADATA_MAX 4096       /* bytes with one committed offset; OFFSET_METADATA_TOO_LARGE */
#define KAFKA_TXN_PARTITIONS 1               /* of __transaction_state: all ids share one sync */
#define KAFKA_TXNS_MAX 100000                /* transactional ids; above: COORDINATOR_NOT_AVAILABLE */
#define KAFKA_TXN_PARTS_MAX 20000            /* partitions of one transaction; INVALID_REQUEST */
#define KAFKA_TXN_TIMEOUT_MAX_MS 900000      /* transaction.max.timeout.ms */
#define KAFKA_TXN_EXPIRE_MS 604800000        /* transactional.id.expiration.ms: an id that rests so long is forgotten */
#define KAFKA_TXN_TICK_MS 500                /* between two looks for transactions whose time is up, while some are open */
#define KAFKA_TXN_RETRY_MS 100               /* before a marker or a record that could not be written is tried again */
#define KAFKA_TXN_PATTERN_MAX 249            /* bytes of a pattern of transactional ids; INVALID_REGULAR_EXPRESSION */
#define KAFKA_TXN_MAILBOX_MAX 16384          /* requests waiting for the coordinator; above: COORDINATOR_LOAD_IN_PROGRESS */

#endif
