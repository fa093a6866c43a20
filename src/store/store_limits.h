/* Limits of the store; what exceeds one gets an error that names it. */
#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

#define STORE_KEY_BYTES_MAX 65535 /* a partition key or the clustering of a row, as in Cassandra */
#define STORE_KEY_DECIMAL_BYTES_MAX \
	1024                       /* a decimal in what is ordered (clustering columns, sets, keys of maps): its digits are worked out */
#define STORE_PATH_BYTES_MAX 65535 /* a key of a map, an element of a set, as in Cassandra */
#define STORE_TYPES_MAX 5000       /* user types */
#define STORE_TYPE_DEPTH_MAX 16    /* types within types */
#define STORE_CELL_BYTES_MAX (16u << 20)           /* one value */
#define STORE_BATCH_BYTES_MAX (64u << 20)          /* one atomic batch */
#define STORE_INDEX_ENTRIES_BYTES_MAX (128u << 20) /* that one batch puts into secondary indexes */
#define STORE_PENDING_BYTES_MAX (128u << 20)       /* waiting for the sync; above: SM_FULL */
#define STORE_STALLED_BYTES_MAX (8u << 20)         /* the same while compactions have to come after */
#define STORE_GROUP_BYTES_MAX (8u << 20)           /* gathered into one write; a larger batch is a group of its own */
#define STORE_COLUMNS_MAX 1000                     /* of one table */
#define STORE_COLUMN_IDS_MAX 60000                 /* ever given out in one table, dropped ones included */
#define STORE_TABLES_MAX 20000
#define STORE_KEYSPACES_MAX 1000
#define STORE_NAME_BYTES_MAX 48 /* of a keyspace or table, as in Cassandra */
#define STORE_COLUMN_NAME_BYTES_MAX 255
#define STORE_OPTIONS_MAX 100        /* of one table or keyspace */
#define STORE_OPTION_BYTES_MAX 65535 /* its name, and its value */
#define STORE_JOB_NAME_BYTES_MAX 255
#define STORE_INDEXES_MAX 100            /* of one table */
#define STORE_INDEX_NAME_BYTES_MAX 255   /* as Cassandra makes them up: table_column_idx */
#define STORE_INDEX_VALUE_BYTES_MAX 1024 /* of a value in an entry; of a longer one the beginning */
#define STORE_INDEX_CANDIDATES_MAX 65536 /* looked at for a range of values; where there are more, all rows are read instead */
#define STORE_LOOKS_MAX 65535            /* rows that one transaction looks at */
#define STORE_LOOKS_HERE_MAX 32          /* more are read on the pool first, whether they are in memory or not */
#define STORE_MERGES_MAX 64              /* pieces of one key in a memtable before a write joins them */

#endif
