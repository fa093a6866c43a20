/* Streaming jobs in C: micro-batches of a topic's records, saved exactly once.
 *
 *	static enum sm_err save(struct sm_micro_batch *batch, void *arg)
 *	{
 *		for (uint32_t i = 0; i < sm_micro_batch_size(batch); i++) {
 *			const struct sm_record *record = sm_micro_batch_record(batch, i);
 *			...
 *			sm_micro_batch_put(batch, "ads.event", columns, 5);
 *		}
 *		return SM_OK;
 *	}
 *	sm_stream_run(log, store, &(struct sm_stream_options){.name = "events", .topic = "raw_events"}, save, NULL, NULL, reterr);
 *
 * All that one call of the function puts, the claims it makes, and the offsets of the records it was given, become ONE atomic write, fenced
 *by the job's epoch: starting a job of the same name again puts the older one out of action. If the program is killed, or the write fails,
 *nothing of the micro-batch is there and the next start is given the same records again (perhaps cut into other micro-batches). So the
 *function must compute its rows from the records and from what is in the tables, and do nothing else that the world can see.
 *
 * Totals: read the row with sm_store_get, add, and put the sum; write absolute values, never "one more".
 * The job is known by its name: another name starts at the topic's first record. */
#ifndef SMACK_STREAM_H
#define SMACK_STREAM_H

#include <smack/log.h>
#include <smack/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_micro_batch;

struct sm_stream_options {
	const char *name; /* of the job */
	const char *topic;
	const char *dead_letter; /* topic for records that the function rejects, made if it is not there; NULL: TOPIC.dead */
	uint32_t interval_ms;    /* a micro-batch closes every so often; 0: 10 s */
	uint32_t records_max;    /* of one micro-batch; 0: 100000 */
	const bool *stop;        /* may be NULL; once true (a signal handler may set it) the job ends after the present micro-batch */
	bool until_end;          /* end when all is read that is there */
};
struct sm_stream_stats {
	uint64_t epoch, batches, records, rows, rejected;
};

/* One micro-batch. An error ends the job: nothing of the batch is written. Called on the calling thread, never for an empty batch, and
 * again with the same or fewer records when its writes were too many for one atomic write. */
typedef enum sm_err (*sm_stream_fn)(struct sm_micro_batch *batch, void *arg);

/* Run the job until stop, until_end or an error. log, store: of a session (session.h) or of the server. ret_stats may be NULL.
 * May block. Thread: no dispatcher. Errors: the function's; SM_STALE_EPOCH (the job was started a second time), SM_NOT_FOUND (topic),
 * SM_OUT_OF_RANGE (retention removed records that were not read), SM_TOO_LARGE (one record makes more rows than one write can hold),
 * SM_UNAVAILABLE, SM_IO. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_stream_run(struct sm_log *log, struct sm_store *store, const struct sm_stream_options *options,
						  sm_stream_fn each, void *arg, struct sm_stream_stats *ret_stats, struct sm_error *reterr);

/* ---- within the function ---- */
SM_EXPORT uint32_t sm_micro_batch_size(const struct sm_micro_batch *batch);
/* In the order of partitions, then offsets. Borrowed until the next call with this batch. */
SM_EXPORT const struct sm_record *sm_micro_batch_record(struct sm_micro_batch *batch, uint32_t index);
/* Write a row with the micro-batch (sm_store_put says how values convert). A mistake (no such table, a type) is kept and ends the
 * job after the function has returned; the code is returned too, and may be ignored. */
SM_EXPORT enum sm_err sm_micro_batch_put(struct sm_micro_batch *batch, const char *table, const struct sm_column_value *columns,
					 uint32_t column_count);
/* Deduplicate: true if this record stands for the key: it is the first with it in this micro-batch, and no other record has claimed it
 * before. False also after a failure, which ends the job. */
SM_EXPORT bool sm_micro_batch_claim(struct sm_micro_batch *batch, uint32_t index, struct sm_bytes key);
/* Send the record to the dead-letter topic, with headers smack.job, smack.topic, smack.partition, smack.offset, smack.reason. reason: JSON,
 * or a text. */
SM_EXPORT void sm_micro_batch_reject(struct sm_micro_batch *batch, uint32_t index, const char *reason);
/* End the job with a text; returns code. */
SM_EXPORT enum sm_err sm_micro_batch_fail(struct sm_micro_batch *batch, enum sm_err code, const char *fmt, ...) SM_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
