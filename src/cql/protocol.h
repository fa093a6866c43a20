/* The native protocol's numbers and its frames' outside: what its server (wire.h) and clients of it (cassandra/) have in common.
 *
 * Source: doc/native_protocol_v3.spec to _v5.spec of Apache Cassandra. A frame (version 5 calls it an envelope) is
 * [u8 version][u8 flags][i16 stream][u8 opcode][u32 length][body]; in version 5 frames travel in segments (segment.h). */
#ifndef CQL_PROTOCOL_H
#define CQL_PROTOCOL_H

#include "base/buf.h"

#define CQL_VERSION_LOWEST 3
#define CQL_VERSION_HIGHEST 5
#define CQL_HEADER_BYTES 9

enum cql_opcode {
	CQL_OP_ERROR = 0x00,
	CQL_OP_STARTUP = 0x01,
	CQL_OP_READY = 0x02,
	CQL_OP_AUTHENTICATE = 0x03,
	CQL_OP_OPTIONS = 0x05,
	CQL_OP_SUPPORTED = 0x06,
	CQL_OP_QUERY = 0x07,
	CQL_OP_RESULT = 0x08,
	CQL_OP_PREPARE = 0x09,
	CQL_OP_EXECUTE = 0x0A,
	CQL_OP_REGISTER = 0x0B,
	CQL_OP_EVENT = 0x0C,
	CQL_OP_BATCH = 0x0D,
	CQL_OP_AUTH_CHALLENGE = 0x0E,
	CQL_OP_AUTH_RESPONSE = 0x0F,
	CQL_OP_AUTH_SUCCESS = 0x10,
};
enum cql_frame_flag {
	CQL_FLAG_COMPRESSED = 0x01,
	CQL_FLAG_TRACING = 0x02,
	CQL_FLAG_PAYLOAD = 0x04,
	CQL_FLAG_WARNING = 0x08,
	CQL_FLAG_BETA = 0x10
};
/* Codes of ERROR. */
enum cql_code {
	CQL_SERVER_ERROR = 0x0000,
	CQL_PROTOCOL_ERROR = 0x000A,
	CQL_BAD_CREDENTIALS = 0x0100,
	CQL_UNAVAILABLE = 0x1000,
	CQL_OVERLOADED = 0x1001,
	CQL_IS_BOOTSTRAPPING = 0x1002,
	CQL_TRUNCATE_ERROR = 0x1003,
	CQL_WRITE_TIMEOUT = 0x1100,
	CQL_READ_TIMEOUT = 0x1200,
	CQL_READ_FAILURE = 0x1300,
	CQL_FUNCTION_FAILURE = 0x1400,
	CQL_WRITE_FAILURE = 0x1500,
	CQL_CDC_WRITE_FAILURE = 0x1600,
	CQL_CAS_WRITE_UNKNOWN = 0x1700,
	CQL_SYNTAX_ERROR = 0x2000,
	CQL_UNAUTHORIZED = 0x2100,
	CQL_INVALID = 0x2200,
	CQL_CONFIG_ERROR = 0x2300,
	CQL_ALREADY_EXISTS = 0x2400,
	CQL_UNPREPARED = 0x2500,
};
enum cql_consistency {
	CQL_ANY,
	CQL_ONE,
	CQL_TWO,
	CQL_THREE,
	CQL_QUORUM,
	CQL_ALL,
	CQL_LOCAL_QUORUM,
	CQL_EACH_QUORUM,
	CQL_SERIAL,
	CQL_LOCAL_SERIAL,
	CQL_LOCAL_ONE
};
/* Which fields QUERY, EXECUTE and BATCH have: [u8], from version 5 [u32]. */
enum cql_parameter_flag {
	CQL_HAS_VALUES = 0x01,
	CQL_SKIP_METADATA = 0x02,
	CQL_HAS_PAGE_SIZE = 0x04,
	CQL_HAS_PAGING_STATE = 0x08,
	CQL_HAS_SERIAL = 0x10,
	CQL_HAS_TIMESTAMP = 0x20,
	CQL_HAS_NAMES = 0x40,
	CQL_HAS_KEYSPACE = 0x80,
	CQL_HAS_NOW = 0x100
};
enum cql_result_kind { CQL_RESULT_VOID = 1, CQL_RESULT_ROWS = 2, CQL_RESULT_KEYSPACE = 3, CQL_RESULT_PREPARED = 4, CQL_RESULT_SCHEMA = 5 };
/* Of the columns in RESULT. GLOBAL: all are of one table, which stands once, in front. */
enum cql_metadata_flag { CQL_METADATA_GLOBAL = 1, CQL_METADATA_MORE_PAGES = 2, CQL_METADATA_NONE = 4, CQL_METADATA_CHANGED = 8 };

const char *cql_consistency_name(uint16_t consistency); /* "UNKNOWN" where there is none */

struct cql_header {
	bool from_server; /* the direction that its first bit says */
	uint8_t version, flags, opcode;
	int16_t stream;
	uint32_t length;
};
struct cql_header cql_header_read(const uint8_t *bytes); /* CQL_HEADER_BYTES of them */
/* Append room for a header; returns where the frame starts. */
size_t cql_header_begin(struct buf *out);
/* What has been appended since is the frame's body: fill the header in. Its length is counted here. */
void cql_header_end(struct buf *out, size_t start, const struct cql_header *header);

struct bytes cql_read_string(struct byte_reader *in); /* [u16 size][bytes], and so are [short bytes] */
void cql_put_string(struct buf *out, const char *text);
void cql_put_short_bytes(struct buf *out, const void *data, size_t size); /* cut at UINT16_MAX */

#endif
