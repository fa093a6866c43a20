/* Streaming jobs: micro-batches over topics, exactly once.
 *
 * A job is a text of INSERT INTO table SELECT .. FROM topic statements (compute/sql.h). When its interval closes it reads each source
 * partition from where it stands to the high watermark, decodes the records by the topic's schema, leaves duplicates out, runs all its
 * statements, and hands the store ONE batch: output rows (absolute values), states of groups, claims of dedup keys, end offsets; the job's
 * epoch is the fence. Either all of a micro-batch is there or nothing of it, so what a crash interrupted is simply read again.
 *
 * Duplicates: the job may name a field of the schema whose value identifies an event. The first record with a key claims it (lowest topic,
 * partition, offset within a micro-batch; else the one whose micro-batch came first); a record is a duplicate only if ANOTHER offset holds
 * the claim. A record without a value in that field is never a duplicate. Claims are kept forever.
 *
 * Dead letters: a record that does not fit the topic's schema, or whose values a statement cannot compute with (overflow, a cast that
 * fails, null in a primary key), goes to the dead-letter topic as it came, with headers smack.job, smack.topic, smack.partition,
 * smack.offset and smack.reason (JSON: path to reasons). It is appended before the commit, and the commit records how far the dead-letter
 * topic had grown: after a crash the job looks at what lies behind that point and does not append a record again that is there already.
 * Only a second instance of the job that is still running when the first has been replaced could double one; the headers tell it.
 *
 * Tables in keyspace smack_system, made at first use: stream_offset, stream_state, stream_claim (see tables.c).
 * A job is known by its name: another name starts from the beginning. */
#ifndef STREAM_STREAM_H
#define STREAM_STREAM_H

#include "base/json.h"
#include "compute/sql.h"
#include "stream/stream_limits.h"

struct stream_options {
	const char *name; /* copied, as all texts here */
	const char *sql;
	const char *dedup;             /* field of the schema; NULL or "": no deduplication */
	const char *dead_letter;       /* topic, made with one partition if it is not there; NULL or "": TOPIC.dead of the first source */
	uint32_t interval_ms;          /* 0: 10 s */
	uint32_t batch_records_max;    /* 0: STREAM_BATCH_RECORDS */
	size_t batch_bytes_max;        /* of record batches read for one micro-batch; 0: STREAM_BATCH_BYTES */
	bool eager;                    /* start a micro-batch as soon as there are records, the interval is then the longest wait */
	const struct compute_env *env; /* log, store, topic_schema, default_keyspace; borrowed for the job's life */
	bool plant_count_twice;        /* planted fault, only with -Dplant_faults=true: offsets are committed after the rows */
};

/* ---- inside the server: an actor a job ---- */
struct stream;
/* Spawn the job's actors; what is wrong with the job is told by ended. ended is called once, when the job has ended: error NULL after
 * stream_stop, else why (a mistake in the SQL, a newer instance, or the same trouble after STREAM_RESTARTS_MAX restarts). Called on a
 * dispatcher; must not block. Errors: SM_INVALID (options), SM_NO_MEMORY, SM_CLOSED. */
SM_MUST_CHECK enum sm_err stream_start(struct sm_system *system, const struct stream_options *options,
				       void (*ended)(void *arg, const struct sm_error *error), void *arg, struct stream **ret_stream,
				       struct sm_error *reterr);
/* End after the present micro-batch. Thread: any. */
void stream_stop(struct stream *stream);
/* Run a micro-batch now rather than at the interval's end. Thread: any. */
void stream_kick(struct stream *stream);
/* Release the handle; allowed at any time, a job that still runs goes on. NULL is allowed. */
void stream_free(struct stream *stream);

enum stream_state { STREAM_STARTING, STREAM_WAITING, STREAM_RUNNING, STREAM_RESTARTING, STREAM_STOPPED, STREAM_FAILED };
struct stream_status {
	enum stream_state state;
	uint64_t epoch;
	uint64_t records, batches, duplicates, dead_letters, rows; /* since this process started the job */
	uint64_t restarts;
	int64_t lag;            /* records behind the high watermarks; looked at once a second */
	int64_t last_batch_ms;  /* when the last micro-batch was committed, ms since 1970; 0: none */
	uint64_t last_batch_us; /* how long it took */
	char last_error[300];   /* "" : none */
};
/* Thread: any; does not block. */
void stream_status(const struct stream *stream, struct stream_status *ret_status);
const char *stream_name(const struct stream *stream);
const char *stream_state_name(enum stream_state state); /* "waiting" */
/* {"name", "state", "records", ...}; NULL: no memory. */
json_t *stream_status_json(const struct stream *stream);

/* ---- the same without actors: for a program's own loop, and for tests. Thread: one at a time; all may block. ---- */
struct stream_job;
/* Compile, make the internal tables, begin a new epoch, read offsets. */
SM_MUST_CHECK enum sm_err stream_job_open(const struct stream_options *options, struct stream_job **ret_job, struct sm_error *reterr);
void stream_job_close(struct stream_job *job);
struct stream_batch_result {
	uint64_t records, duplicates, dead_letters, rows;
	int64_t lag;
	bool more; /* a limit ended the batch: there are records left */
};
/* One micro-batch; nothing is written when there are no records. After an error close the job and open it again. */
SM_MUST_CHECK enum sm_err stream_job_batch(struct stream_job *job, struct stream_batch_result *ret_result, struct sm_error *reterr);
uint64_t stream_job_epoch(const struct stream_job *job);
/* Records between where the job stands and the high watermarks of this moment; -1: the log does not answer. Asks it for its ends only; may
 * block. */
int64_t stream_job_lag(const struct stream_job *job);

#endif
