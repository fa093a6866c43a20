/* Limits of ingest; what exceeds one gets an answer that names it. */
#ifndef INGEST_LIMITS_H
#define INGEST_LIMITS_H

#define INGEST_LINES_MAX 262144      /* events of one request; above: 413 */
#define INGEST_REPORT_LINES_MAX 1000 /* bad lines described in an answer; the others are counted in it */
#define INGEST_COLUMNS_MAX 1024      /* of CSV; above: 400 */
#define INGEST_ATTRIBUTES_MAX 64     /* of a CloudEvent; above it is bad */
#define INGEST_ONCE_KEY_MAX 255      /* bytes of an Idempotency-Key; above: 400 */
#define INGEST_SPARE_BATCHES 64      /* that a dispatcher keeps */
#define INGEST_SPARE_BYTES 65536     /* the memory of one that is kept */
#define INGEST_STOP_MS 5000          /* ingest_free waits so long for appends under way */

#endif
