/* Limits of event-sourced actors; what exceeds one gets an error that names it. */
#ifndef PERSIST_LIMITS_H
#define PERSIST_LIMITS_H

#define PERSIST_ID_MAX 255                 /* bytes of a persistence id, of the name that a delivery goes to */
#define PERSIST_PARTITIONS_DEFAULT 8       /* of a topic that is made */
#define PERSIST_GROUP_BYTES_MAX (1u << 20) /* events of one sm_persist, as one record batch */
#define PERSIST_GROUP_EVENTS_MAX 65536     /* and their number */
#define PERSIST_HEADERS_MAX 64             /* tags and headers of one event, each */
#define PERSIST_SNAPSHOTS_KEPT_DEFAULT 2   /* of one id */
#define PERSIST_SNAPSHOTS_KEPT_MAX 16
#define PERSIST_SNAPSHOT_BYTES_MAX ((16u << 20) - 64) /* a value of the store holds 16 MiB */
#define PERSIST_READ_BYTES (1u << 20)                 /* of the topic at a time */
#define PERSIST_PIECE_SCANNED (8u << 20)              /* looked through in one turn on the pool, */
#define PERSIST_PIECE_FOUND (256u << 10)              /* unless so much of this id is found before */
#define PERSIST_SCANNED_SNAPSHOT (64u << 20)          /* a recovery that had to look through so much is followed by a snapshot */
#define PERSIST_CLAIMS_MAX 60                         /* writer numbers that are tried, in growing steps */
#define PERSIST_DELIVERY_INTERVAL_MS 5000
#define PERSIST_DELIVERY_BURST 1000
#define PERSIST_DELIVERY_UNCONFIRMED 10000
#define PERSIST_DELIVERY_WARN 5
#define PERSIST_TIMER UINT32_MAX /* the actor's timer that is not its own */

#endif
