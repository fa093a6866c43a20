/* Limits of the engine on a real Kafka. */
#ifndef RDKAFKA_LIMITS_H
#define RDKAFKA_LIMITS_H

#define RDKAFKA_PENDING_BYTES_MAX (128u << 20) /* not acknowledged yet, RDKAFKA_RECORD_OVERHEAD a record included; above: SM_FULL */
#define RDKAFKA_RECORD_OVERHEAD 256            /* what librdkafka keeps of a record beside its bytes, about */
#define RDKAFKA_DELIVERY_MS "20000"            /* not acknowledged by then: SM_TIMEOUT */
#define RDKAFKA_REQUEST_MS 15000               /* an answer that has not come by then: SM_TIMEOUT */
#define RDKAFKA_AWAY_MS 1000                   /* the same while no broker answers */
#define RDKAFKA_OPEN_MS 10000                  /* for a broker to answer at the start */
#define RDKAFKA_CLOSE_MS 3000                  /* for what is under way, at the end */
#define RDKAFKA_LANES_MAX 4                    /* readers of one partition at different places; more take turns */
#define RDKAFKA_HELD_MAX 1024                  /* messages taken over from librdkafka at a time */
#define RDKAFKA_PREFETCH_KBYTES "4096"         /* fetched ahead for one reader of a partition */
#define RDKAFKA_RUN_BYTES_MAX (1u << 20)       /* records of one read */
#define RDKAFKA_CURSOR_IDLE_MS 60000           /* a reader that does not come back is forgotten after so long */
#define RDKAFKA_PICTURE_MS 2000                /* the topics are asked for so often while somebody looks at them, */
#define RDKAFKA_PICTURE_IDLE_MS 60000          /* else so often, */
#define RDKAFKA_CONFIGS_MS 60000               /* and what is set for them */
#define RDKAFKA_PROPAGATION_MS 10000           /* for a change of a topic to be seen */
#define RDKAFKA_JOBS_MAX 1024                  /* changes and commits that wait; above: SM_FULL */
#define RDKAFKA_ADDRESS_MAX 4000               /* bytes of an address */

#endif
