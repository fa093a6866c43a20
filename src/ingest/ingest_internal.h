/* Within ingest: jobs, workers, open batches, requests that wait for their appends. */
#ifndef INGEST_INTERNAL_H
#define INGEST_INTERNAL_H

#include "actor/actor.h"
#include "base/json_walk.h"
#include "base/map.h"
#include "ingest/ingest.h"
#include "log/record_batch.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

struct worker;

/* One topic as a worker knows it. Counted: the map's, and that of each request and batch. */
struct topic_entry {
	uint32_t refs;
	uint32_t turn; /* the last in which it was asked for */
	char name[250];
	char answer[300]; /* what a good answer begins with */
	size_t answer_size;
	struct uuid id;
	int32_t partitions;
	const struct schema *schema; /* never NULL: a topic without one gets the schema of any object */
	struct topic_schema *hold;   /* NULL, or what the schema is of */
	uint64_t changes;            /* when it was looked up */
	bool any;                    /* it has none, and other JSON than objects is taken too */
	int key;                     /* index of the key field, or -1 */
	int32_t keyless;             /* the partition of records without key, this turn */
	size_t batch_bytes;          /* of the last batch: room that the next has from the beginning */
	struct event_value *values;
	struct open_batch *open[]; /* by partition */
};

/* One event that is to be stored. */
struct line {
	struct bytes text, key;
	bool has_key;
	bool key_given; /* goes before the schema's */
	bool null;      /* no value at all; the text is for the check */
	bool any_bytes; /* need not be JSON, unless a schema says so */
	bool stamped;   /* it says its time: */
	int64_t timestamp_ms;
	int32_t partition; /* 1 + the one that it must go to; 0: by key */
	uint32_t header_count;
	const struct record_header *headers; /* in the request's arena */
};
/* A request with batches of its own: one that is stored once (Idempotency-Key), or whose times the topic may refuse. */
struct once {
	bool plain;               /* the latter: its batches are of no producer */
	uint8_t key[32];          /* SHA-256 of it */
	int32_t sequence;         /* of its content */
	int32_t partition;        /* of records without key */
	struct open_batch **open; /* by partition: no other request's records are among them */
};

/* A request whose events are on their way. Thread: its worker's. */
struct pending {
	struct pending *next;         /* spare */
	size_t bytes;                 /* of its body, as the ingest counts them */
	struct http_request *request; /* NULL: its connection has gone */
	struct topic_entry *entry;
	uint32_t left;           /* batches that have not come back, and 1 while events are added */
	uint32_t accepted;       /* events that went into a batch */
	uint32_t wanted;         /* events that have a place in placed */
	enum sm_err err;         /* the first that failed */
	struct buf report;       /* further members of the answer: ,"lines":{...}; empty: none */
	struct placed *placed;   /* where each event went, in its order; NULL: that is not asked for */
	struct reports *reports; /* of a request of version 3; in its arena */
};
/* produce.c: an event of a request whose answer tells where it is. */
struct placed {
	uint32_t before; /* 1 + which of the request's before it went into the same batch; 0: none */
	uint32_t index;  /* in the batch */
	int32_t partition;
	enum sm_err err;
	int64_t offset;
	int64_t stamped_ms; /* by the topic; -1: it keeps the record's own time */
};

/* A request that is answered after a batch. */
struct waiter {
	struct pending *pending;
	uint32_t last; /* 1 + which of its events went into the batch last, if it has places; else 0 */
};

/* A record batch that grows during a turn, then is under way to the log. */
struct open_batch {
	struct sm_msg msg;       /* first: comes back to the worker with the result */
	struct open_batch *next; /* of those that grow this turn; spare */
	struct worker *worker;
	struct topic_entry *entry;
	int32_t partition;
	struct buf data;
	struct batch_builder builder;
	struct waiter *waiting;
	uint32_t waiting_count, waiting_cap;
	uint32_t ordinal; /* of a request that is stored once: its batches in this partition so far */
	enum sm_err err;
	int64_t base_offset;
	int64_t stamped_ms; /* as of struct placed */
};

/* Everything of one dispatcher. */
struct worker {
	struct actor_turn_hook hook; /* first */
	struct ingest *ingest;
	struct sm_ref *ref;              /* the actor that gets the log's answers */
	const struct log_topics *topics; /* this turn's picture; NULL: not yet asked for */
	uint64_t changes;                /* of schemas, as of this turn */
	struct map entries;
	struct open_batch *open;
	struct open_batch *spare;
	uint32_t spare_count;
	struct pending *spare_pending;
	uint32_t turn;
	struct line *lines; /* of the request that is being handled */
	uint32_t line_cap;
};

struct ingest {
	struct ingest_options options;
	struct schema *any;
	uint32_t worker_count;
	struct worker *workers;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t under_way;            /* batches at the log */
	uint64_t moved_ms, refused_ms; /* the log's last answer, or when it was asked after having had nothing to do; its last refusal */
	enum sm_err refusal;
	uint32_t workers_live;
	atomic_size_t held; /* bytes of requests that wait for the log */
};

/* ---- does the log keep up? (behind.c) ---- */

/* Memory is short and INGEST_TIGHT_BYTES wait for the log: no more is taken. Thread: any. */
bool ingest__is_full(struct ingest *ingest);

/* A batch goes to the log; the log has answered one. Thread: any. */
void ingest__sent(struct ingest *ingest);
void ingest__answered(struct ingest *ingest, enum sm_err err);

/* ---- a request while its body is looked through ---- */

enum numbering { NUMBER_NONE, NUMBER_LINES, NUMBER_EVENTS };
struct job {
	struct worker *worker;
	struct topic_entry *entry;
	struct http_request *request;
	enum numbering numbering; /* how its bad events are called */
	bool skip;                /* ?on_error=skip */
	bool by_pointer;          /* ?key=/json/pointer */
	struct json_pointer pointer;
	bool full;         /* memory is short: it is not begun */
	uint32_t quiet_ms; /* its sender's quota is used up for so long */
	uint32_t good, bad;
	uint32_t too_large; /* 1 + number of the event that is; 0: there are too many */
	struct buf report;  /* of the numbered: ,"lines":{... without the last brace */
	struct event_problems problems;
};
/* request.c */
void ingest__handle(struct http_request *request);
/* Check one event and put it with the good ones or describe it. from: its headers and what else is known of it, borrowed for the call; its
 * text is the event. number: as its problems are reported. Errors: SM_TOO_LARGE (job->too_large tells what), SM_NO_MEMORY ... */
enum sm_err ingest__check(struct job *job, const struct line *from, uint32_t number);
/* It is bad for a reason of its envelope: path and reason live as long as the request. */
void ingest__wrong(struct job *job, const char *path, const char *reason, uint32_t number);
/* Anything that is JSON in one line. */
struct bytes ingest__one_line(struct http_request *request, struct bytes text);
/* {"message": text}. */
void ingest__reply_message(struct http_request *request, int status, const char *message);

/* csv.c: RFC 4180, lines that end in LF too. */
struct csv_cell {
	struct bytes text; /* quotes undone; borrowed, or in the arena */
	bool quoted;
};
struct csv_reader {
	struct bytes rest;
	uint32_t line; /* of the row that comes next, from 1 */
};
/* The next row; ret_line: where it begins. cells: room for `room`; more cells: SM_TOO_LARGE. Errors: SM_END, SM_SYNTAX (a quote within a
 * cell, text behind a closing one, none that closes), the arena's. */
enum sm_err csv_next(struct csv_reader *reader, struct arena *arena, struct csv_cell *cells, uint32_t room, uint32_t *ret_count,
		     uint32_t *ret_line);
/* The body's rows, named by its first, as JSON objects. */
enum sm_err ingest__csv(struct job *job, struct bytes body);

/* cloudevent.c: CloudEvents 1.0, what the Kafka binding calls binary mode is what is stored. */
enum sm_err ingest__cloudevent(struct job *job, struct bytes text, uint32_t number);
enum sm_err ingest__cloudevents(struct job *job, struct bytes body);
/* The attributes are headers of the request, the body is the data. */
enum sm_err ingest__cloudevent_binary(struct job *job, struct bytes body);

/* request.c */
/* Whose worker, which topic. False: there is none or it may not be written to; err tells. */
bool ingest__job_begin(struct job *job, struct http_request *request, enum sm_err *ret_err);
/* If memory or its sender's quota is why a request could not begin: what to say, Retry-After is set. Else NULL. */
const char *ingest__not_now(const struct job *job);
void ingest__job_done(struct job *job);
/* Close the report; then it is ,"events":{...} or empty. */
void ingest__end_report(struct job *job);

/* produce.c: /topics/{topic} as Confluent's REST Proxy has it, version 2 */
void ingest__produce(struct http_request *request);
/* All its batches have come back. */
void ingest__produced(struct pending *pending);
/* Base64 in a JSON string. Errors: SM_SYNTAX, the arena's. */
enum sm_err ingest__base64(struct http_request *request, struct bytes value, struct bytes *ret);
/* The good events go to the log, and the answer tells where they are. once, reports: may be NULL. */
void ingest__place(struct job *job, const struct once *once, struct reports *reports);
/* The log has taken none of them because it does not keep up. */
bool ingest__all_behind(const struct pending *pending);
/* A failure of the log that the same request meets again. */
bool ingest__is_final(enum sm_err err);

/* produce_v3.c: what is said of each record of a request, in its order. */
enum v3_type { V3_NONE, V3_BINARY, V3_JSON, V3_STRING };
struct v3_record {
	int code;                          /* 200: it is placed; else why not: */
	const char *message;               /* lives as long as the request */
	uint32_t line;                     /* among those that are placed */
	enum v3_type key_type, value_type; /* V3_NONE: there is none */
	uint32_t key_size, value_size;
	bool stamped;
	int64_t timestamp_ms;
};
struct reports {
	struct v3_record *items; /* in the request's arena, as this is */
	uint32_t count, cap;
	int64_t now_ms; /* of records that do not say their time */
};

/* produce_v3.c: the same of version 3, and rest_v3.c: what producers of it ask for besides */
#define INGEST_V3_TYPE "application/json"
void ingest__produce_v3(struct http_request *request);
void ingest__produced_v3(struct pending *pending);
void ingest__clusters(struct http_request *request);
void ingest__cluster(struct http_request *request);
void ingest__topics_v3(struct http_request *request);
void ingest__topic_v3(struct http_request *request);
/* What of version 3 is not here. */
void ingest__not_v3(struct http_request *request);
/* {"error_code":CODE,"message":..}. */
void ingest__refuse_v3(struct http_request *request, int status, int code, const char *message);
/* The path names this cluster; else the request is answered. */
bool ingest__is_cluster(struct http_request *request);

/* once.c */
/* Idempotency-Key. Returns NULL if there is none; *ret_ok is false when it is not one or memory is out (the request is answered). */
struct once *ingest__once(struct job *job, bool *ret_ok);
/* The producer id that stands for the request's batch with this ordinal. */
int64_t ingest__once_producer(const struct once *once, uint32_t ordinal);

/* topic.c */
/* The topic as this turn has it. NULL: there is none (*ret_err SM_NOT_FOUND), or SM_NO_MEMORY. */
struct topic_entry *ingest__topic(struct worker *worker, struct bytes name, enum sm_err *ret_err);
void ingest__entry_unref(struct topic_entry *entry);
/* The picture is given back: the next turn asks again. */
void ingest__topics_release(struct worker *worker);
void ingest__topics_done(struct worker *worker);

/* batch.c */
/* Take a request in hand. NULL: out of memory. */
struct pending *ingest__pending_new(struct worker *worker, struct http_request *request, struct topic_entry *entry);
/* Add an event to its partition's batch. once: NULL unless the request is stored once. A failure is the pending's. */
void ingest__add(struct worker *worker, struct pending *pending, const struct once *once, const struct line *line, int64_t now_ms);
/* All its events are added: it is answered when the last batch has come back. */
void ingest__pending_release(struct worker *worker, struct pending *pending);
/* What has grown this turn goes to the log. */
void ingest__turn_end(struct actor_turn_hook *hook);
void ingest__batches_done(struct worker *worker);
extern const struct sm_msg_type ingest__msg_appended;
void ingest__appended(struct worker *worker, struct open_batch *batch);
/* The log's errors as answers. */
int ingest__status_of(enum sm_err err);
void ingest__refuse(struct http_request *request, enum sm_err err, const char *topic);

#endif
