/* Limits of the log; what exceeds one gets an error that names it. */
#ifndef LOG_LIMITS_H
#define LOG_LIMITS_H

#define LOG_BATCH_BYTES_MAX (1u << 20)         /* one record batch, as Kafka's message.max.bytes allows by default, and a bit: 1048588 in Kafka */
#define LOG_BATCH_OVERHEAD 61                  /* bytes of a batch before its records */
#define LOG_PENDING_BYTES_MAX (64u << 20)      /* waiting for the sync in one partition; above: SM_FULL */
#define LOG_GROUP_BYTES_MAX (8u << 20)         /* written by one group commit */
#define LOG_PARTITIONS_MAX 10000               /* of one topic */
#define LOG_DECOMPRESSED_MAX (64u << 20)       /* one batch, decompressed */
#define LOG_PRODUCER_BATCHES 5                 /* remembered per producer and partition, as in Kafka */

#endif
