/* The segments of native protocol version 5, in which its frames (envelopes) travel after STARTUP.
 *
 * Source: doc/native_protocol_v5.spec of Apache Cassandra, section 2.2. Without compression, little-endian:
 *   [u17 size of the payload][bit: self-contained][6 bits 0]                    3 bytes
 *   [u24 CRC-24 of these]                                                       3
 *   [payload][u32 CRC-32 of it]
 * with LZ4:
 *   [u17 size of the payload here][u17 its size uncompressed, 0: it is not compressed][bit: self-contained][5 bits 0]   5 bytes
 *   [u24 CRC-24][payload][u32 CRC-32 of it as it is here]
 * A self-contained segment holds whole frames; a frame that fits into none is cut into segments that are not. */
#ifndef CQL_SEGMENT_H
#define CQL_SEGMENT_H

#include "base/buf.h"
#include <smack/error.h>

#define CQL_SEGMENT_PAYLOAD_MAX 131071u
#define CQL_SEGMENT_HEADER_MAX 8

struct cql_segment {
	bool self_contained;
	struct bytes payload;            /* borrowed from the input or from scratch */
	size_t size;                     /* of the input that it took; with SM_AGAIN: how much input it needs */
	uint32_t crc_read, crc_computed; /* with SM_CORRUPT */
};
/* The first segment of in. scratch holds what was uncompressed until the next call.
 * Errors: SM_AGAIN (not whole yet), SM_CORRUPT (a CRC does not fit), SM_INVALID (it cannot be uncompressed), SM_NO_MEMORY; text says which.
 */
SM_MUST_CHECK enum sm_err cql_segment_read(struct bytes in, bool lz4, struct buf *scratch, struct cql_segment *ret, const char **ret_text);
/* Append the frames of a whole answer as segments: in one that is self-contained if they fit, else in several. */
void cql_segments_put(struct buf *out, bool lz4, struct bytes frames);

#endif
