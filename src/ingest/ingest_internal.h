/* Within ingest: workers, open batches, requests that wait for their appends. */
#ifndef INGEST_INTERNAL_H
#define INGEST_INTERNAL_H

#include "actor/actor.h"
#include "base/map.h"
#include "ingest/ingest.h"
#include "log/record_batch.h"
#include <pthread.h>
#include <stdio.h>

struct worker;

/* One topic as a worker knows it. Counted: the map's, and that of each request and batch. */
struct topic_entry {
	uint32_t refs;
	uint32_t turn; /* the last in which it was asked for */
	char name[250];
	struct uuid id;
	int32_t partitions;
	const struct schema *schema; /* never NULL: a topic without one gets the schema of any object */
	bool any;                    /* it has none, and other JSON than objects is taken too */
	int key;                     /* index of the key field, or -1 */
	int32_t keyless;             /* the partition of records without key, this turn */
	struct event_value *values;
	struct open_batch *open[]; /* by partition */
};

/* A request whose events are on their way. Thread: its worker's. */
struct pending {
	struct pending *next;         /* spare */
	struct http_request *request; /* NULL: its connection has gone */
	struct topic_entry *entry;
	uint32_t left; /* batches that have not come back, and 1 while events are added */
	uint32_t accepted;
	enum sm_err err;   /* the first that failed */
	struct buf report; /* further members of the answer: ,"lines":{...}; empty: none */
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
	struct pending **waiting;
	uint32_t waiting_count, waiting_cap;
	enum sm_err err;
};

/* Everything of one dispatcher. */
struct worker {
	struct actor_turn_hook hook; /* first */
	struct ingest *ingest;
	struct sm_ref *ref;              /* the actor that gets the log's answers */
	const struct log_topics *topics; /* this turn's picture; NULL: not yet asked for */
	struct map entries;
	struct open_batch *open;
	struct open_batch *spare;
	uint32_t spare_count;
	struct pending *spare_pending;
	uint32_t turn;
	struct line {
		struct bytes text, key;
		bool has_key;
	} * lines; /* of the request that is being handled */
	uint32_t line_cap;
};

struct ingest {
	struct ingest_options options;
	struct schema *any;
	uint32_t worker_count;
	struct worker *workers;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t under_way; /* batches at the log */
	uint32_t workers_live;
};

/* request.c */
void ingest__handle(struct http_request *request);

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
/* Add an event to its partition's batch. A failure is the pending's. */
void ingest__add(struct worker *worker, struct pending *pending, const struct line *line, int64_t timestamp_ms);
/* All its events are added: it is answered when the last batch has come back. */
void ingest__pending_release(struct worker *worker, struct pending *pending);
/* What has grown this turn goes to the log. */
void ingest__turn_end(struct actor_turn_hook *hook);
void ingest__batches_done(struct worker *worker);
extern const struct sm_msg_type ingest__msg_appended;
void ingest__appended(struct worker *worker, struct open_batch *batch);
/* The log's errors as answers. */
void ingest__refuse(struct http_request *request, enum sm_err err, const char *topic);

#endif
