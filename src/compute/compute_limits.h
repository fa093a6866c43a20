/* Limits of batch jobs and SQL. */
#ifndef COMPUTE_LIMITS_H
#define COMPUTE_LIMITS_H

#define COMPUTE_BATCH_ROWS 4096             /* rows of a full batch */
#define COMPUTE_BATCH_BYTES_MAX (1u << 30)
#define COMPUTE_MEMORY_MAX (1u << 30)       /* of one job by default; above: SM_TOO_LARGE with the operator's name */
#define COMPUTE_BATCH_BYTES 4194304         /* a batch that holds so much is full, too */
#define COMPUTE_DEPTH_MAX 1000              /* RDDs on the way from a source */
#define COMPUTE_PARTITIONS_MAX 100000       /* of one RDD */
#define COMPUTE_THREADS_MAX 256             /* of one job */
#define COMPUTE_TASK_ATTEMPTS 4             /* as spark.task.maxFailures */
#define COMPUTE_SHUFFLE_PARTITIONS 8        /* by default */
#define SQL_TEXT_MAX (1u << 20)
#define SQL_DEPTH_MAX 128                   /* nested expressions and queries */

#endif
