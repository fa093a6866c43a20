/* Limits of the store; what exceeds one gets an error that names it. */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#define STORE_KEY_BYTES_MAX 65535            /* a partition key or the clustering of a row, as in Cassandra */
#define STORE_CELL_BYTES_MAX (16u << 20)     /* one value */
#define STORE_BATCH_BYTES_MAX (64u << 20)    /* one atomic batch */
#define STORE_PENDING_BYTES_MAX (128u << 20) /* waiting for the sync; above: SM_FULL */
#define STORE_COLUMNS_MAX 1000               /* of one table */
#define STORE_TABLES_MAX 20000

#endif
