/* Events over HTTP into the log: POST /ingest/{topic}.
 *
 * Body: one JSON document or an array of them (application/json), one a line (application/x-ndjson; blank lines are skipped), rows under
 * a header (text/csv: csv.c), CloudEvents (application/cloudevents+json, -batch+json, or ce- headers: cloudevent.c); gzip, zstd or as it
 * is. Each event is checked against its topic's schema; a topic without one takes any JSON. What is stored is the event as it came (value),
 * the text of the schema's key field or of what ?key=/json/pointer names (key; where it is absent: none) and the time of arrival.
 *
 * 202 after everything is on disk: {"topic":"raw_events","accepted":2}.
 * 400, nothing of the request is stored: the flat map from path to reasons, {"obj.ts":["error.expected.jsnumber"]}; for NDJSON and CSV
 * one such map a bad line under its number, {"lines":{"17":{...}}}, for arrays {"events":{"0":{...}}} by index. With ?on_error=skip
 * the good ones are stored and the bad ones reported: 202 with "lines" or "events" beside the counts.
 * 404 no such topic, 413, 415, 429 with Retry-After when the log is behind or the sender's quota is used up, 503 when it cannot write.
 * After these the client sends the request again; a part of it may have been stored, so a job that counts declares its dedup key, or the
 * client sends an Idempotency-Key (once.c): then what is there is not stored again, also after a restart; other content under the same key
 * is 422. */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "base/schema.h"
#include "ingest/ingest_limits.h"
#include "ingest/schemas.h"
#include "log/log.h"
#include "net/http.h"

struct ingest;
struct ingest_topic {
	const struct schema *schema; /* NULL: any JSON */
	const char *key;             /* the schema's field; NULL: records have no key */
	struct topic_schema *hold;   /* both are of this one, whose reference is given away; NULL: they live as long as the ingest does */
};
struct ingest_options {
	struct sm_system *system;
	struct sm_log *log;
	/* Find what is known of a topic by name; all NULL if nothing is. Thread: any. */
	void (*topic)(void *arg, const char *name, struct ingest_topic *ret_topic);
	/* Another number after each change of what topic tells; NULL: it never changes. Thread: any. */
	uint64_t (*topic_changes)(void *arg);
	void *arg;
	/* May the principal, who comes from host, write to the topic? NULL: everybody may. Asked of requests from outside. Thread: any. */
	bool (*may)(void *arg, const char *principal, const char *host, struct bytes topic);
	/* The principal sends so many bytes of events, or (0) would like to: for how many ms must it be quiet, so that it is within its
	 * quota? Else its request is refused (429). NULL: there are no quotas. Asked of requests from outside. Thread: any. */
	uint32_t (*count)(void *arg, const char *principal, size_t bytes);
	struct clock *clock;    /* that of ingest_is_behind; NULL: the system's */
	const char *cluster_id; /* of Kafka, as version 3 of /topics names it; outlives the ingest; NULL: smack */
	bool no_once;           /* the log does not keep idempotent producers: an Idempotency-Key is refused (501) */
};
/* Errors: SM_NO_MEMORY, and those of sm_spawn. */
SM_MUST_CHECK enum sm_err ingest_new(const struct ingest_options *options, struct ingest **ret_ingest);
SM_MUST_CHECK enum sm_err ingest_routes(struct ingest *ingest, struct http_server *server);
/* Does the log refuse events, or leave them without an answer? text: why, if so. Thread: any. */
bool ingest_is_behind(struct ingest *ingest, char *text, size_t size);
/* After http_server_free, before the log is closed: waits for the appends under way. Thread: no dispatcher. */
void ingest_free(struct ingest *ingest);

#endif
