/* Limits of the engine on a real Cassandra; what exceeds one gets an error that names it. */
#ifndef CASSANDRA_LIMITS_H
#define CASSANDRA_LIMITS_H

#define CLIENT_ADDRESS_MAX 4096              /* bytes of cassandra://... with its settings */
#define CLIENT_POINTS_MAX 32                 /* hosts in an address */
#define CLIENT_HOSTS_MAX 256                 /* of a cluster; others are not talked to */
#define CLIENT_TOKENS_MAX 65536              /* of a cluster */
#define CLIENT_STREAMS_MAX 2048              /* requests under way on a connection; more wait */
#define CLIENT_STREAMS_SPARE 64              /* of them, for PREPARE and the like */
#define CLIENT_STATEMENTS_MAX 20000          /* different statements of a client's life */
#define CLIENT_PENDING_BYTES_MAX (96u << 20) /* of requests that are not answered; above: SM_FULL */
#define CLIENT_FRAME_MAX (256u << 20)        /* body of an answer, as Cassandra's native_transport_max_frame_size may be */
#define CLIENT_TRIES_MAX 4                   /* of a request, on as many hosts as there are */
#define CLIENT_TRY_MS 12000                  /* an answer that takes longer is given up */
#define CLIENT_REQUEST_MS 20000              /* the same of a request with all its tries */
#define CLIENT_AWAY_MS 2000                  /* while no host answers */
#define CLIENT_CONNECT_MS 5000               /* from connect to ready */
#define CLIENT_OPEN_MS 20000                 /* until a first host answers, when the engine is opened */
#define CLIENT_HEARTBEAT_MS 10000            /* a connection without traffic is asked whether it is there */
#define CLIENT_BACKOFF_MIN_MS 100            /* before a host is tried again: doubled to the largest */
#define CLIENT_BACKOFF_MAX_MS 4000
#define CLIENT_AGREEMENT_MS 15000 /* until all hosts know a change of the schema */

#define CASSANDRA_RUN_MS 60000 /* a statement of cassandra_run, a change of the schema */
#define CASSANDRA_PAGE_ROWS 1000
#define CASSANDRA_JOURNAL_CHUNK (512u << 10)     /* bytes of a row of smack_system.store_journal */
#define CASSANDRA_LOGGED_BYTES_MAX (30u << 10)   /* a batch that is larger goes through the journal: below batch_size_fail_threshold */
#define CASSANDRA_PARTITION_BYTES_MAX (4u << 20) /* a batch of one partition: below half a segment of Cassandra's commit log */
#define CASSANDRA_WINDOW 192                     /* writes of one batch under way */
#define CASSANDRA_COMMIT_MS 30000                /* until a micro-batch's commit is decided and written */

#endif
