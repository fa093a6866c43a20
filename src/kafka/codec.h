/* Kafka messages in memory and on the wire. Inside the room only.
 *
 * messages.def lists every structure once. Here it makes the C structs; in codec.c the same list, in the same order, makes the
 * tables that kafka__decode and kafka__encode walk. */
#ifndef KAFKA_CODEC_H
#define KAFKA_CODEC_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/uuid.h"

/* Record batches are passed on as they are. In a response they may lie elsewhere: splice then says where (the encoder only
 * counts them), see struct kafka_splice. data and splice NULL: null. */
struct kafka_records {
	const uint8_t *data;
	size_t size;
	void *splice;
};

enum kafka_kind {
	KIND_BOOL,
	KIND_I8,
	KIND_I16,
	KIND_I32,
	KIND_I64,
	KIND_F64,
	KIND_UUID,
	KIND_STRING,
	KIND_BYTES,
	KIND_RECORDS,
	KIND_STRUCT
};
#define C_BOOL bool
#define C_I8 int8_t
#define C_I16 int16_t
#define C_I32 int32_t
#define C_I64 int64_t
#define C_F64 double
#define C_UUID struct uuid
#define C_STRING struct bytes /* data NULL: null */
#define C_BYTES struct bytes
#define C_RECORDS struct kafka_records

/* Lists have a count beside them; -1: null. */
#define S(name) struct kafka_##name {
#define E(name) \
	}       \
	;
#define F(kind, name, from, to, null_from, absent) C_##kind name;
#define L(kind, name, from, to, null_from) \
	C_##kind *name;                    \
	int32_t name##_count;
#define A(of, name, from, to, null_from) \
	struct kafka_##of *name;         \
	int32_t name##_count;
#define O(of, name, from) struct kafka_##of *name; /* NULL: null */
#define N(of, name, from) struct kafka_##of *name; /* never NULL */
#define T(kind, name, from, tag, null_from, absent) C_##kind name;
#define TO(of, name, from, tag) struct kafka_##of *name;
#define TN(of, name, from, tag) struct kafka_##of *name;
#define TA(of, name, from, tag)  \
	struct kafka_##of *name; \
	int32_t name##_count;
#include "kafka/messages.def"
#undef S
#undef E
#undef F
#undef L
#undef A
#undef O
#undef N
#undef T
#undef TO
#undef TN
#undef TA

struct kafka_layout;
struct kafka_field {
	const char *name;
	uint8_t kind;
	bool list;
	int8_t from, to, null_from;
	int8_t tag; /* -1: an ordinary field */
	const struct kafka_layout *of;
	int64_t absent;
};
struct kafka_layout {
	const char *name;
	size_t size;
	const struct kafka_field *fields;
	uint32_t field_count;
};

/* One for each structure of messages.def. */
#define S(name) extern const struct kafka_layout kafka_layout_##name;
#define E(name)
#define F(...)
#define L(...)
#define A(...)
#define O(...)
#define N(...)
#define T(...)
#define TO(...)
#define TN(...)
#define TA(...)
#include "kafka/messages.def"
#undef S
#undef E
#undef F
#undef L
#undef A
#undef O
#undef N
#undef T
#undef TO
#undef TN
#undef TA

struct kafka_version {
	int16_t version;
	bool flexible;
};

/* Decode a whole message body into out (layout->size bytes). Strings, bytes and records are borrowed from in; lists lie in the
 * arena. Fields that the version does not have get their default.
 * Errors: SM_TRUNCATED, SM_CORRUPT (a length, null or tag that cannot be), SM_TOO_LARGE, SM_NO_MEMORY (arena).
 * Bytes behind the body are left in `in`; Kafka ignores them. */
SM_MUST_CHECK enum sm_err kafka__decode(const struct kafka_layout *layout, struct kafka_version version, struct byte_reader *in,
					struct arena *arena, void *out);

/* Where records that are not copied belong: behind the first `at` bytes of the output. */
struct kafka_splice {
	size_t at;
	void *splice;
	size_t size;
};
struct kafka_writer {
	struct buf *out;
	struct arena *arena; /* for splices */
	struct kafka_splice *splices;
	uint32_t splice_count, splice_cap;
	uint64_t spliced_bytes;
};
/* Append a message body. Errors: SM_TOO_LARGE (a string above 32,767 bytes in an old version, a message above 2 GiB), SM_INVALID (a
 * structure that must be there is NULL), SM_NO_MEMORY. */
SM_MUST_CHECK enum sm_err kafka__encode(const struct kafka_layout *layout, struct kafka_version version, const void *message,
					struct kafka_writer *w);
/* A member by its name; field NULL: there is none. */
struct kafka_member {
	const struct kafka_field *field;
	void *value;    /* the value, or the pointer of a list or structure */
	int32_t *count; /* of a list */
};
struct kafka_member kafka__member(const struct kafka_layout *layout, void *message, const char *name);
/* Of one element of a list. */
size_t kafka__element_size(const struct kafka_field *field);
/* Fill a message with its defaults. */
void kafka__defaults(const struct kafka_layout *layout, void *message);

#endif
