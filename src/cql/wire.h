/* The native protocol's frames as its server sees them: what comes in, taken apart; what goes out, put together. protocol.h has what
 * clients need too. */
#ifndef CQL_WIRE_H
#define CQL_WIRE_H

#include "cql/plan.h"
#include "cql/protocol.h"

#define CQL_VERSIONS_TEXT "3/v3, 4/v4, 5/v5"

enum cql_compression { CQL_PLAIN, CQL_LZ4, CQL_SNAPPY };

/* ---- in ---- */

/* What follows the text or id of QUERY and EXECUTE, and the end of BATCH. */
struct cql_parameters {
	uint16_t consistency, serial_consistency;
	bool skip_metadata;
	struct store_cell *values; /* in the arena; size -1 null, CQL_UNSET */
	struct bytes *names;       /* of the values, or NULL */
	uint32_t value_count;
	uint32_t page_size; /* 0: none */
	struct bytes paging_state;
	int64_t timestamp_us; /* INT64_MIN: none */
	const char *keyspace; /* instead of the one in use; NULL: none */
	int64_t now_s;        /* from version 5: the time by which cells expire; 0: the clock's */
};
SM_MUST_CHECK enum sm_err cql__read_parameters(struct byte_reader *in, uint8_t version, struct arena *arena, struct cql_parameters *ret,
					       struct cql_error *err);
/* What follows a batch's statements: consistency, timestamp, keyspace and time of ret are written. */
SM_MUST_CHECK enum sm_err cql__read_batch_end(struct byte_reader *in, uint8_t version, struct arena *arena, struct cql_parameters *ret,
					      struct cql_error *err);
/* What follows the text of PREPARE: the keyspace, or NULL. */
SM_MUST_CHECK enum sm_err cql__read_prepare_end(struct byte_reader *in, uint8_t version, struct arena *arena, const char **ret_keyspace,
						struct cql_error *err);
/* [u16 n][value]... as in BATCH. */
SM_MUST_CHECK enum sm_err cql__read_values(struct byte_reader *in, uint8_t version, struct arena *arena, bool named,
					   struct store_cell **ret_values, struct bytes **ret_names, uint32_t *ret_count,
					   struct cql_error *err);
struct bytes cql__read_long_string(struct byte_reader *in); /* [i32 size][bytes] */
/* Undo the compression of a body. */
SM_MUST_CHECK enum sm_err cql__decompress(enum cql_compression how, struct bytes in, struct arena *arena, struct bytes *ret_body,
					  struct cql_error *err);

/* ---- out: all append a whole frame to out ---- */

/* What a frame answers. */
struct cql_reply {
	uint8_t version;
	int16_t stream;
	const struct uuid *trace; /* the session that was made because the client asked for tracing; NULL: it did not */
};
#define CQL_METADATA_ID_BYTES 16
/* Room for the header, then tracing session and warnings; cql__frame_end fills the header in. Returns where the frame starts. */
size_t cql__frame_begin(struct buf *out, const struct cql_reply *reply, const char *const *warnings, uint32_t warning_count);
void cql__frame_end(struct buf *out, size_t start, uint8_t opcode, const struct cql_reply *reply, uint8_t flags);
/* How the metadata of rows goes out. */
struct cql_metadata_choice {
	bool skip;              /* the client has it */
	const uint8_t *changed; /* from version 5: the client has another: this is the id of the one that comes; NULL: it has not */
};
void cql__put_result(struct buf *out, const struct cql_reply *reply, const struct cql_result *result,
		     const struct cql_metadata_choice *metadata);
void cql__put_error(struct buf *out, const struct cql_reply *reply, const struct cql_error *err);
/* result_id: of the metadata of its rows, sent from version 5. */
void cql__put_prepared(struct buf *out, const struct cql_reply *reply, const uint8_t id[16], const uint8_t result_id[CQL_METADATA_ID_BYTES],
		       const struct cql_plan *plan);
void cql__put_schema_event(struct buf *out, uint8_t version, const char *change, const char *keyspace, const char *table, const char *type);
void cql__put_supported(struct buf *out, const struct cql_reply *reply);
/* Compress the frame that starts at start where that is worth it. */
void cql__compress(enum cql_compression how, struct buf *out, size_t start);

#endif
