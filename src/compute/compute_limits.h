/* Limits of batch jobs and SQL. */
#ifndef COMPUTE_LIMITS_H
#define COMPUTE_LIMITS_H

#define COMPUTE_BATCH_ROWS 4096 /* rows of a full batch */
#define COMPUTE_BATCH_BYTES_MAX (1u << 30)
#define COMPUTE_MEMORY_MAX (1u << 30)      /* of one job by default; above: SM_TOO_LARGE with the operator's name */
#define COMPUTE_BATCH_BYTES 4194304        /* a batch that holds so much is full, too */
#define COMPUTE_DEPTH_MAX 1000             /* RDDs on the way from a source */
#define COMPUTE_PARTITIONS_MAX 100000      /* of one RDD */
#define COMPUTE_THREADS_MAX 256            /* of one job */
#define COMPUTE_TASK_ATTEMPTS 4            /* as spark.task.maxFailures */
#define COMPUTE_SCAN_PARTITIONS 8          /* token ranges of a table scan */
#define COMPUTE_READ_BYTES (1u << 20)      /* asked of the log at once */
#define COMPUTE_LINE_BYTES_MAX (16u << 20) /* a line of a text file */
#define COMPUTE_WRITE_ROWS 500             /* rows a batch of a table sink */
#define COMPUTE_WRITE_BYTES (1u << 20)     /* about so many bytes a batch of a table sink */
#define COMPUTE_WRITE_WAIT_MS 30000        /* how long a sink waits for a store that is behind */
#define COMPUTE_SHUFFLE_PARTITIONS 8       /* by default */
#define SQL_TEXT_MAX (1u << 20)
#define SQL_DEPTH_MAX 128 /* nested expressions and queries */

#endif
