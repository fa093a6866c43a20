/* Limits of the log; what exceeds one gets an error that names it. */
#ifndef LOG_LIMITS_H
#define LOG_LIMITS_H

#define LOG_BATCH_BYTES_MAX 1048588       /* one record batch unless max.message.bytes says otherwise; Kafka's default */
#define LOG_BATCH_BYTES_LIMIT (8u << 20)  /* the most that max.message.bytes may be */
#define LOG_BATCH_OVERHEAD 61             /* bytes of a batch before its records */
#define LOG_PENDING_BYTES_MAX (64u << 20) /* waiting for the sync in one partition; above: SM_FULL */
#define LOG_GROUP_BYTES_MAX (8u << 20)    /* written by one group commit, and of one append */
#define LOG_GROUP_APPENDS_MAX 4096        /* appends of one group commit */
#define LOG_GATHER_MS 1                   /* a group waits at most so long for as many appends as the last one had, */
#define LOG_GATHER_BYTES_MAX (256u << 10) /* unless it has so many bytes */
#define LOG_CHECKPOINT_BYTES (8u << 20)   /* a start looks through about so much of each partition that was not closed */
#define LOG_SCRUB_BYTES (64u << 20)       /* that the scrubber reads a minute */
#define LOG_SCRUB_FIRST_MS 600000         /* after the start it begins its first pass */
#define LOG_PARTITIONS_MAX 10000          /* of one topic */
#define LOG_TOPICS_MAX 10000
#define LOG_CONFIG_VALUE_MAX 1024            /* bytes of one config's value */
#define LOG_DECOMPRESSED_MAX (64u << 20)     /* one batch, decompressed */
#define LOG_REFUSED_RECORDS_MAX 16           /* records of one batch that an answer names as refused */
#define LOG_COMPACT_KEYS_MAX 1500000         /* that one pass of a compaction remembers, in 48 MiB; more take more passes */
#define LOG_PRODUCER_BATCHES 5               /* remembered per producer and partition, as in Kafka */
#define LOG_PRODUCERS_MAX 20000              /* of one partition; the one that was silent longest is forgotten first */
#define LOG_PRODUCER_EXPIRE_MS 86400000      /* a producer that is silent so long is forgotten, as in Kafka */
#define LOG_META_PENDING_MAX 1024            /* topic changes and producer ids that wait; above: SM_FULL */
#define LOG_READ_VERIFY_MAX (2u << 20)       /* bytes checked and handed out by one read of data that was not checked yet */
#define LOG_GROUP_NAME_MAX 32767             /* bytes of a group id, a topic's name or metadata in __consumer_offsets */
#define LOG_BULK_PIECE (1088u << 10)         /* of such groups, in memory: a batch of the usual greatest size fits */
#define LOG_BULK_WRITTEN_BYTES (6u << 20)    /* of them that stay in memory for those who read the log's end */
#define LOG_BULK_READ_BYTES (8u << 20)       /* and of what was read of them, or ahead of their readers */
#define LOG_BULK_HELD_BYTES (96u << 20)      /* of all, those that are being sent included; beyond it reads go through the page cache */
#define LOG_OFFSETS_METADATA_MAX 4096        /* bytes of a committed offset's metadata, Kafka's offset.metadata.max.bytes */
#define LOG_OFFSETS_SEGMENT_BYTES (4u << 20) /* of __consumer_offsets */
#define LOG_OFFSETS_PARTITIONS 8             /* of __consumer_offsets */

#endif
