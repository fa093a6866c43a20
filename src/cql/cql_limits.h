/* Limits of CQL text, requests and results; what exceeds one gets an error that names it. */
#ifndef CQL_LIMITS_H
#define CQL_LIMITS_H

#define CQL_FRAME_MAX (32u << 20)          /* body of one request frame, as sent and after decompression */
#define CQL_REQUESTS_KEPT_MAX 32           /* a dispatcher, with their memory, for the next ones */
#define CQL_REQUESTS_MAX 1024              /* requests of one connection under way; then it is not read */
#define CQL_REQUEST_ARENA_MAX (256u << 20) /* everything one request may build: parse tree, mutations */
#define CQL_RESULT_BYTES_MAX (64u << 20)   /* rows of one answer that is not paged */
#define CQL_PAGE_BYTES_MAX (8u << 20)      /* a page ends early at this size */
#define CQL_PAGE_ROWS_MAX 100000           /* largest page; a client that asks for more gets this */
#define CQL_DEPTH_MAX 32                   /* nesting of terms, types and literals */
#define CQL_OPERATORS_MAX 200              /* of an expression without parentheses: what is evaluated is that deep */
#define CQL_MARKERS_MAX 65535              /* bind markers of one statement: the protocol counts them in 16 bits */
#define CQL_COMBINATIONS_MAX 65536         /* rows or partitions that the IN restrictions of one statement may name */
#define CQL_BATCH_STATEMENTS_MAX 65535     /* statements of one batch */
#define CQL_NEAREST_MAX 1000               /* LIMIT of ORDER BY ... ANN OF, as in Cassandra */
#define CQL_BATCH_BYTES_WARN 5120          /* a batch of several partitions: Cassandra's defaults */
#define CQL_BATCH_BYTES_FAIL 51200         /* likewise */
#define CQL_BATCH_PARTITIONS_WARN 10       /* likewise, of an unlogged one */
#define CQL_BATCH_TABLES_SHOWN 20          /* in such a warning */
#define CQL_PREPARED_MAX 10000             /* prepared statements kept; the oldest goes first */
#define CQL_PREPARED_BYTES_MAX (1u << 20)  /* text of a prepared statement */
#define CQL_NAME_MAX 48                    /* keyspace and table names, as in Cassandra */
#define CQL_DISPATCHER_ROWS_MAX 2000       /* rows read on the dispatcher before a SELECT goes to the pool */
#define CQL_DISPATCHER_PARTITIONS_MAX 16   /* partitions likewise */
#define CQL_CHANGE_TRIES_MAX 1000          /* times that an ALTER is made anew because others changed the same table */
#define CQL_START_MS_MAX 12000         /* a read that waited for the pool so long is given up, as Cassandra's native_transport_timeout */
#define CQL_LISTENERS_MAX 16           /* of one server */
#define CQL_LOGINS_MAX 2               /* passwords hashed at a time; others wait */
#define CQL_LOGIN_MS 30000             /* a connection that has not logged in by then is closed */
#define CQL_LOGIN_FRAME_MAX 65536      /* body of a frame before the login */
#define CQL_ESTIMATE_ROWS 20000        /* rows of a table that are read for system.size_estimates */
#define CQL_TRACES_MAX 1000            /* tracing sessions kept; the oldest goes first */
#define CQL_TRACE_EVENTS_MAX 64        /* of one session */
#define CQL_TRACE_PARAMETERS_MAX 32    /* likewise */
#define CQL_TRACE_TEXT_MAX 2000        /* bytes of an event's or a parameter's text */
#define CQL_VECTOR_DIMENSION_MAX 65536 /* elements of a vector */
#define CQL_TTL_MAX 630720000          /* 20 years in seconds */

#endif
