/* The commit log, for jobs and actors: append records to topics and read them.
 * A handle comes from a session (session.h) or from the server's own actors. */
#ifndef SMACK_LOG_H
#define SMACK_LOG_H

#include <smack/row.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_log;

struct sm_record {
	int32_t partition;
	int64_t offset, timestamp_ms;
	struct sm_bytes key, value; /* data NULL: null */
};
struct sm_log_position {
	int32_t partition;
	int64_t offset;
};

/* Append one record. key chooses the partition as Kafka's default partitioner does (murmur2); data NULL: no key, any partition.
 * Returns after the sync that covers it; ret_position may be NULL. May block; in an actor use sm_log_append_then.
 * Errors: SM_NOT_FOUND (topic), SM_TOO_LARGE, SM_FULL (the log is behind: try later), SM_IO. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_log_append(struct sm_log *log, const char *topic, struct sm_bytes key, struct sm_bytes value,
						  struct sm_log_position *ret_position, struct sm_error *reterr);
/* The same without waiting: done is called once, on a thread of the log, possibly before this returns, and must not block (it sends a
 * message). Only when this returns SM_OK. key and value are copied. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_log_append_then(struct sm_log *log, const char *topic, struct sm_bytes key, struct sm_bytes value,
						       void (*done)(void *arg, enum sm_err err, struct sm_log_position position),
						       void *arg);

/* Errors: SM_NOT_FOUND. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_log_partitions(struct sm_log *log, const char *topic, int32_t *ret_count);
/* First offset that is there, and the one after the last. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_log_offsets(struct sm_log *log, const char *topic, int32_t partition, int64_t *ret_first,
						   int64_t *ret_end);
/* Each record from offset to the present end, in order; the record is borrowed for the call. each ends the reading with SM_END, or with an
 * error, which is returned. ret_next (may be NULL): where to go on. May block.
 * Errors: SM_NOT_FOUND, SM_OUT_OF_RANGE (offset is not there any more), SM_CORRUPT, SM_IO. */
SM_EXPORT SM_MUST_CHECK enum sm_err sm_log_read(struct sm_log *log, const char *topic, int32_t partition, int64_t offset,
						enum sm_err (*each)(void *arg, const struct sm_record *record), void *arg,
						int64_t *ret_next, struct sm_error *reterr);

#ifdef __cplusplus
}
#endif
#endif
