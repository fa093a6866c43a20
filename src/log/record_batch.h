/* Kafka record batches, magic 2: build, check, read.
 * Source: Kafka protocol guide, "Record Batch".
 *
 * offset  size  field
 *      0     8  base offset             first offset; set by the log
 *      8     4  batch length            bytes after this field
 *     12     4  partition leader epoch  set by the log
 *     16     1  magic                   2
 *     17     4  crc32c                  of everything from attributes to the end
 *     21     2  attributes              0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
 *     23     4  last offset delta
 *     27     8  base timestamp          ms
 *     35     8  max timestamp           ms
 *     43     8  producer id             -1: none
 *     51     2  producer epoch
 *     53     4  base sequence
 *     57     4  record count
 *     61        records                 compressed as one run when attributes name a codec
 */
#ifndef LOG_RECORD_BATCH_H
#define LOG_RECORD_BATCH_H

#include "base/buf.h"
#include "base/compress.h"
#include "log/log_limits.h"

struct record_header {
	struct bytes key;
	struct bytes value;
	bool value_null;
};
struct record {
	int64_t offset;
	int64_t timestamp_ms;
	struct bytes key, value;
	bool key_null, value_null;
	uint32_t header_count;
	struct bytes headers_raw; /* read with record_header_next */
};

/* ---- building ---- */
struct batch_builder {
	struct buf *out; /* the batch grows here */
	size_t start;    /* where it began in out */
	int64_t base_timestamp_ms, max_timestamp_ms;
	int32_t count;
	enum codec codec;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	uint16_t kind;
};
/* Begin a batch at out's end. codec is applied at the end. */
void batch_begin(struct batch_builder *b, struct buf *out, enum codec codec);
void batch_set_producer(struct batch_builder *b, int64_t producer_id, int16_t epoch, int32_t base_sequence);
/* BATCH_TRANSACTIONAL and BATCH_CONTROL, or one of them. */
void batch_set_kind(struct batch_builder *b, uint16_t kind);
/* NULL data with size 0 is an empty value; key_null/value_null make null. headers may be NULL. */
void batch_add(struct batch_builder *b, const struct record *record, const struct record_header *headers, uint32_t header_count);
/* Compress, set lengths and CRC. Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err batch_end(struct batch_builder *b);
/* Bytes so far, uncompressed. */
size_t batch_size(const struct batch_builder *b);

/* ---- reading ---- */
struct batch_info {
	int64_t base_offset;
	uint32_t size; /* whole batch in bytes, its first 12 included */
	int32_t leader_epoch;
	int8_t magic;
	uint32_t crc;
	uint16_t attributes;
	int32_t last_offset_delta;
	int64_t base_timestamp_ms, max_timestamp_ms;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	int32_t record_count;
};
#define BATCH_CODEC(attributes) ((enum codec)((attributes)&7))
#define BATCH_TIMESTAMP_LOG_APPEND 0x08
#define BATCH_TRANSACTIONAL 0x10
#define BATCH_CONTROL 0x20
#define BATCH_DELETE_HORIZON 0x40 /* the base timestamp says until when tombstones stay; records count their times from it */
/* Read the header of the batch at data's start. Errors: SM_TRUNCATED (fewer bytes than the batch has), SM_CORRUPT
 * (lengths that cannot be), SM_VERSION (another magic). */
SM_MUST_CHECK enum sm_err batch_parse(struct bytes data, struct batch_info *ret_info);
/* The same from the first LOG_BATCH_OVERHEAD bytes alone: the rest of the batch need not be there. */
SM_MUST_CHECK enum sm_err batch_parse_header(struct bytes data, struct batch_info *ret_info);
/* The CRC of the whole batch matches. */
bool batch_crc_ok(struct bytes data, const struct batch_info *info);
/* Set what the log sets; both lie outside the CRC. */
void batch_set_offset(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);
/* Stamp the batch as the log's own time (message.timestamp.type=LogAppendTime) and set its CRC anew. */
void batch_set_log_append_time(uint8_t *batch, uint32_t size, int64_t now_ms);
/* Say that the records' times are their own, the newest of them this one, and set the CRC anew. */
void batch_set_create_time(uint8_t *batch, uint32_t size, int64_t max_timestamp_ms);
/* What a topic asks of each record beyond its structure. */
struct batch_rules {
	bool keyed;                   /* no record without a key */
	int64_t oldest_ms, newest_ms; /* of a record's time, if it has one */
};
enum batch_refusal { BATCH_NOT_REFUSED, BATCH_WITHOUT_KEY, BATCH_TIME_OUT_OF_RANGE };
/* The records that are against the rules: the first so many, by their place in the batch. */
struct batch_refused {
	enum batch_refusal why;
	uint32_t count;
	int32_t records[LOG_REFUSED_RECORDS_MAX];
};
/* All that a log asks of a batch from a producer: CRC, attributes, counts, the structure of each record (undoing the
 * compression), and the rules. data: the whole batch, info: from batch_parse. ret_refused is written for SM_INVALID: why is
 * BATCH_NOT_REFUSED if it is the batch as a whole. ret_max_timestamp_ms: the newest of the records, whatever the header says.
 * Errors: SM_CORRUPT (the CRC, or bytes that cannot be decompressed), SM_INVALID,
 * SM_TOO_LARGE. */
SM_MUST_CHECK enum sm_err batch_check(struct bytes data, const struct batch_info *info, const struct batch_rules *rules,
				      struct batch_refused *ret_refused, int64_t *ret_max_timestamp_ms);
/* The batch with its records in another codec, appended to out. Errors: SM_CORRUPT, SM_TOO_LARGE, SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err batch_recode(struct bytes data, const struct batch_info *info, enum codec codec, int level, struct buf *out);

/* Walk the records of one batch; compressed ones are undone into a buffer of the reader. */
struct batch_reader {
	struct batch_info info;
	struct byte_reader at;
	int32_t left;
	struct buf plain;
};
/* data: one whole batch. Errors: as batch_parse, SM_CORRUPT, SM_TOO_LARGE (decompressed). Release with batch_reader_done. */
SM_MUST_CHECK enum sm_err batch_reader_init(struct batch_reader *r, struct bytes data);
void batch_reader_done(struct batch_reader *r);
/* SM_END after the last; SM_CORRUPT for a record whose structure is wrong. Borrowed from data or the reader. */
SM_MUST_CHECK enum sm_err batch_next(struct batch_reader *r, struct record *ret_record);
SM_MUST_CHECK enum sm_err record_header_next(struct bytes *headers_raw, struct record_header *ret_header);

/* ---- leaving records out (compaction) ---- */

/* A batch with the offsets, the producer, the codec and the kind of another, and some of its records. */
struct batch_rewriter {
	struct buf *out;
	size_t start;
	struct batch_info info;
	int64_t base_timestamp_ms, max_timestamp_ms;
	int32_t count;
};
/* delete_horizon_ms: -1 leaves what the batch has. */
void batch_rewrite_begin(struct batch_rewriter *w, struct buf *out, const struct batch_info *info, int64_t delete_horizon_ms);
void batch_rewrite_add(struct batch_rewriter *w, const struct record *record);
/* Errors: SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err batch_rewrite_end(struct batch_rewriter *w);
/* Let the batch reach up to next_offset, whose offsets have no records. Without its producer and transaction: a sequence number is told by
 * the offsets. (Those of a control batch have none.) */
void batch_stretch(uint8_t *batch, uint32_t size, int64_t next_offset);
/* The same of a batch that is to be rewritten, down to base_offset. */
void batch_stretch_back(struct batch_info *info, int64_t base_offset);
/* A batch without records for the offsets [from, to), at most INT32_MAX of them, appended to out: batches stay without gaps. */
void batch_put_empty(struct buf *out, int64_t from, int64_t to, int32_t leader_epoch);

#endif
