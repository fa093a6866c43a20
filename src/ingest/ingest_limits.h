/* Limits of ingest; what exceeds one gets an answer that names it. */
#ifndef INGEST_LIMITS_H
#define INGEST_LIMITS_H

#define INGEST_LINES_MAX 262144       /* events of one request; above: 413 */
#define INGEST_REPORT_LINES_MAX 1000  /* bad lines described in an answer; the others are counted in it */
#define INGEST_COLUMNS_MAX 1024       /* of CSV; above: 400 */
#define INGEST_ATTRIBUTES_MAX 64      /* of a CloudEvent; above it is bad */
#define INGEST_ONCE_KEY_MAX 255       /* bytes of an Idempotency-Key; above: 400 */
#define INGEST_SPARE_BATCHES 64       /* that a dispatcher keeps */
#define INGEST_SPARE_BYTES 65536      /* the memory of one that is kept */
#define INGEST_BEHIND_MS 2000         /* without an answer of the log, or since it refused: it is behind */
#define INGEST_TIGHT_BYTES (4u << 20) /* that wait for the log while the process is beyond its memory's budget; above: 429 */
#define INGEST_STOP_MS 5000           /* ingest_free waits so long for appends under way */

#define PRODUCE_RECORDS_MAX 10000               /* of one request to /topics or /v3; above: 413 */
#define PRODUCE_HEADERS_MAX 1000                /* of one record; above: its error is 413 */
#define PRODUCE_TOPICS_MAX 1000u                /* in one answer of /v3; above: it has a next page */
#define SCHEMAS_DOCUMENT_BYTES_MAX (256u << 10) /* of one schema; above: 413 */
#define SCHEMAS_VERSIONS_MAX 1000               /* of one topic; above: 409 */
#define SCHEMAS_BYTES_MAX (64u << 20)           /* of all versions of all topics; above: 507 */
#define SCHEMAS_TOPIC_BYTES_MAX 246             /* of its name, since files are named after it; above: 400 */
#define SCHEMAS_CHANGES_MAX 64                  /* that wait; above: 429 */
#define SCHEMAS_COMPARE_BYTES_MAX (16u << 20)   /* that the comparison of two may need; above: 413 */

#endif
