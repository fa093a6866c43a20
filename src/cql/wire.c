#include "cql/wire.h"

#include <lz4.h>
#include <snappy-c.h>
#include <string.h>

#define COMPRESS_BYTES_MIN 512 /* below, a compressed frame is no shorter */

/* ---- in ---- */

struct bytes cql__read_long_string(struct byte_reader *in)
{
	size_t size = reader_be32(in);
	const uint8_t *p = reader_take(in, size);
	return p ? bytes_of(p, size) : bytes_of("", 0);
}

static enum sm_err truncated(struct cql_error *err)
{
	return cql__fail(err, CQL_PROTOCOL_ERROR, "The frame's body ends too early or has a bad length");
}

enum sm_err cql__read_values(struct byte_reader *in, uint8_t version, struct arena *arena, bool named, struct store_cell **ret_values,
			     struct bytes **ret_names, uint32_t *ret_count, struct cql_error *err)
{
	uint32_t n = reader_be16(in);
	struct store_cell *values = arena_alloc(arena, sizeof *values * (n + 1));
	struct bytes *names = named ? arena_alloc(arena, sizeof *names * (n + 1)) : NULL;
	if (!values || (named && !names))
		return cql__no_memory(err, arena);
	for (uint32_t i = 0; i < n && !in->failed; i++) {
		if (named)
			names[i] = cql_read_string(in);
		int32_t size = (int32_t)reader_be32(in);
		if (version < 4 && size < 0)
			size = -1; /* it knows no unset values: whatever is below zero is null */
		if (size < CQL_UNSET)
			in->failed = true;
		values[i] = (struct store_cell){size > 0 ? reader_take(in, (size_t)size) : (const uint8_t *)"", size};
	}
	if (in->failed)
		return truncated(err);
	*ret_values = values;
	*ret_names = names;
	*ret_count = n;
	return SM_OK;
}

static uint32_t read_flags(struct byte_reader *in, uint8_t version)
{
	return version >= 5 ? reader_be32(in) : reader_u8(in);
}

static const char *read_keyspace(struct byte_reader *in, struct arena *arena)
{
	struct bytes name = cql_read_string(in);
	const char *text = arena_string(arena, (const char *)name.data, name.size);
	if (!text || name.size > CQL_NAME_MAX)
		in->failed = true;
	return text;
}

/* The fields that QUERY, EXECUTE and BATCH end with, in their order. */
static void read_tail(struct byte_reader *in, uint8_t version, uint32_t flags, struct arena *arena, struct cql_parameters *p)
{
	if (flags & CQL_HAS_SERIAL)
		p->serial_consistency = reader_be16(in);
	if (flags & CQL_HAS_TIMESTAMP)
		p->timestamp_us = (int64_t)reader_be64(in);
	if (flags & CQL_HAS_KEYSPACE) /* version 4 has it in its byte, too, as Cassandra reads it */
		p->keyspace = read_keyspace(in, arena);
	if (version >= 5 && (flags & CQL_HAS_NOW))
		p->now_s = (int32_t)reader_be32(in);
}

enum sm_err cql__read_parameters(struct byte_reader *in, uint8_t version, struct arena *arena, struct cql_parameters *ret,
				 struct cql_error *err)
{
	struct cql_parameters p = {.timestamp_us = INT64_MIN, .serial_consistency = CQL_SERIAL};
	enum sm_err failed;
	p.consistency = reader_be16(in);
	uint32_t flags = read_flags(in, version);
	p.skip_metadata = flags & CQL_SKIP_METADATA;
	if ((flags & CQL_HAS_VALUES) &&
	    (failed = cql__read_values(in, version, arena, flags & CQL_HAS_NAMES, &p.values, &p.names, &p.value_count, err)))
		return failed;
	if (flags & CQL_HAS_PAGE_SIZE) {
		int32_t size = (int32_t)reader_be32(in);
		p.page_size = size > 0 ? (uint32_t)size : 0;
	}
	if (flags & CQL_HAS_PAGING_STATE) {
		int32_t size = (int32_t)reader_be32(in);
		if (size >= 0)
			p.paging_state = bytes_of(reader_take(in, (size_t)size), (size_t)size);
	}
	read_tail(in, version, flags, arena, &p);
	if (in->failed)
		return truncated(err);
	*ret = p;
	return SM_OK;
}

enum sm_err cql__read_batch_end(struct byte_reader *in, uint8_t version, struct arena *arena, struct cql_parameters *ret,
				struct cql_error *err)
{
	struct cql_parameters p = {.timestamp_us = INT64_MIN, .serial_consistency = CQL_SERIAL};
	p.consistency = reader_be16(in);
	read_tail(in, version, read_flags(in, version), arena, &p);
	if (in->failed)
		return truncated(err);
	*ret = p;
	return SM_OK;
}

enum sm_err cql__read_prepare_end(struct byte_reader *in, uint8_t version, struct arena *arena, const char **ret_keyspace,
				  struct cql_error *err)
{
	uint32_t flags = version >= 5 ? reader_be32(in) : 0;
	*ret_keyspace = flags & 1 ? read_keyspace(in, arena) : NULL;
	return in->failed ? truncated(err) : SM_OK;
}

static enum sm_err decompress_lz4(struct bytes in, struct arena *arena, struct bytes *ret_body, struct cql_error *err)
{
	if (in.size < 4)
		return truncated(err);
	uint32_t size = be32_get(in.data);
	if (size > CQL_FRAME_MAX)
		return cql__fail(err, CQL_PROTOCOL_ERROR, "A body of %u bytes is larger than the limit of %u", size, CQL_FRAME_MAX);
	uint8_t *out = arena_alloc_raw(arena, size + 1u, 1);
	if (!out)
		return cql__no_memory(err, arena);
	if (size && LZ4_decompress_safe((const char *)in.data + 4, (char *)out, (int)(in.size - 4), (int)size) != (int)size)
		return cql__fail(err, CQL_PROTOCOL_ERROR, "The body is no LZ4 block of the size that it names");
	*ret_body = bytes_of(out, size);
	return SM_OK;
}

static enum sm_err decompress_snappy(struct bytes in, struct arena *arena, struct bytes *ret_body, struct cql_error *err)
{
	size_t size = 0;
	if (snappy_uncompressed_length((const char *)in.data, in.size, &size) != SNAPPY_OK)
		return cql__fail(err, CQL_PROTOCOL_ERROR, "The body is not compressed with snappy");
	if (size > CQL_FRAME_MAX)
		return cql__fail(err, CQL_PROTOCOL_ERROR, "A body of %zu bytes is larger than the limit of %u", size, CQL_FRAME_MAX);
	uint8_t *out = arena_alloc_raw(arena, size + 1, 1);
	if (!out)
		return cql__no_memory(err, arena);
	if (snappy_uncompress((const char *)in.data, in.size, (char *)out, &size) != SNAPPY_OK)
		return cql__fail(err, CQL_PROTOCOL_ERROR, "The body is not compressed with snappy");
	*ret_body = bytes_of(out, size);
	return SM_OK;
}

enum sm_err cql__decompress(enum cql_compression how, struct bytes in, struct arena *arena, struct bytes *ret_body, struct cql_error *err)
{
	switch (how) {
	case CQL_LZ4: return decompress_lz4(in, arena, ret_body, err);
	case CQL_SNAPPY: return decompress_snappy(in, arena, ret_body, err);
	case CQL_PLAIN: break;
	}
	return cql__fail(err, CQL_PROTOCOL_ERROR, "The frame is compressed but STARTUP named no compression");
}

/* ---- out ---- */

size_t cql__frame_begin(struct buf *out, const struct cql_reply *reply, const char *const *warnings, uint32_t warning_count)
{
	size_t start = cql_header_begin(out);
	if (reply->trace)
		buf_append(out, reply->trace->bytes, sizeof reply->trace->bytes);
	if (warning_count && reply->version >= 4) {
		buf_be16(out, (uint16_t)warning_count);
		for (uint32_t i = 0; i < warning_count; i++)
			cql_put_string(out, warnings[i]);
	}
	return start;
}

void cql__frame_end(struct buf *out, size_t start, uint8_t opcode, const struct cql_reply *reply, uint8_t flags)
{
	if (reply->trace)
		flags |= CQL_FLAG_TRACING;
	cql_header_end(out, start,
		       &(struct cql_header){
			       .from_server = true, .version = reply->version, .flags = flags, .opcode = opcode, .stream = reply->stream});
}

/* Types that a version does not know go out as custom types, by the name of their class. */
static bool is_newer(enum store_type_id id, uint8_t version)
{
	switch (id) {
	case STORE_DURATION: return version < 5;
	case STORE_DATE:
	case STORE_TIME:
	case STORE_SMALLINT:
	case STORE_TINYINT: return version < 4;
	default: return false;
	}
}

static void put_type(struct buf *out, const struct store_type *type, uint8_t version)
{
	if (is_newer(type->id, version) || type->id == STORE_VECTOR) {
		struct buf name;
		buf_init(&name);
		cql__put_class(&name, type);
		buf_be16(out, STORE_CUSTOM);
		cql_put_short_bytes(out, name.data, name.failed ? 0 : buf_size(&name));
		out->failed |= name.failed;
		buf_done(&name);
		return;
	}
	buf_be16(out, (uint16_t)type->id);
	if (type->id == STORE_UDT) {
		cql_put_string(out, type->keyspace);
		cql_put_string(out, type->name);
	}
	if (type->id == STORE_TUPLE || type->id == STORE_UDT)
		buf_be16(out, type->element_count);
	for (uint16_t i = 0; i < type->element_count; i++) {
		if (type->id == STORE_UDT)
			cql_put_string(out, type->fields[i]);
		put_type(out, &type->elements[i], version);
	}
}

static void put_rows(struct buf *out, const struct cql_result *r, uint8_t version, const struct cql_metadata_choice *metadata)
{
	uint32_t flags = (r->column_count ? CQL_METADATA_GLOBAL : 0) | (r->paging_state.data ? CQL_METADATA_MORE_PAGES : 0) |
			 (metadata->skip ? CQL_METADATA_NONE : 0) | (metadata->changed ? CQL_METADATA_CHANGED : 0);
	buf_be32(out, flags);
	buf_be32(out, r->column_count);
	if (r->paging_state.data) {
		buf_be32(out, (uint32_t)r->paging_state.size);
		buf_append_bytes(out, r->paging_state);
	}
	if (metadata->changed)
		cql_put_short_bytes(out, metadata->changed, CQL_METADATA_ID_BYTES);
	if (!metadata->skip && r->column_count) {
		cql_put_string(out, r->keyspace);
		cql_put_string(out, r->table);
		for (uint32_t i = 0; i < r->column_count; i++) {
			cql_put_string(out, r->columns[i].name);
			put_type(out, r->columns[i].type, version);
		}
	}
	buf_be32(out, r->row_count);
	buf_append_bytes(out, buf_bytes(&r->rows));
}

static void put_schema_change(struct buf *out, const char *change, const char *keyspace, const char *table, const char *type)
{
	cql_put_string(out, change);
	cql_put_string(out, type ? "TYPE" : table ? "TABLE" : "KEYSPACE");
	cql_put_string(out, keyspace);
	if (type || table)
		cql_put_string(out, type ? type : table);
}

void cql__put_result(struct buf *out, const struct cql_reply *reply, const struct cql_result *r, const struct cql_metadata_choice *metadata)
{
	buf_reserve(out, buf_size(&r->rows) + 256); /* the rows are copied once, into room that is there */
	size_t start = cql__frame_begin(out, reply, r->warnings, r->warning_count);
	buf_be32(out, r->kind);
	switch (r->kind) {
	case CQL_RESULT_ROWS: put_rows(out, r, reply->version, metadata); break;
	case CQL_RESULT_KEYSPACE: cql_put_string(out, r->keyspace); break;
	case CQL_RESULT_SCHEMA:
		put_schema_change(out, r->change, r->keyspace, r->is_type ? NULL : r->table, r->is_type ? r->table : NULL);
		break;
	case CQL_RESULT_VOID:
	case CQL_RESULT_PREPARED: break;
	}
	cql__frame_end(out, start, CQL_OP_RESULT, reply, r->warning_count && reply->version >= 4 ? CQL_FLAG_WARNING : 0);
}

void cql__put_error(struct buf *out, const struct cql_reply *reply, const struct cql_error *e)
{
	size_t start = cql__frame_begin(out, reply, NULL, 0);
	buf_be32(out, (uint32_t)e->code);
	cql_put_string(out, e->text);
	if (e->code == CQL_UNAVAILABLE) {
		buf_be16(out, e->consistency);
		buf_be32(out, (uint32_t)e->required);
		buf_be32(out, (uint32_t)e->alive);
	} else if (e->code == CQL_ALREADY_EXISTS) {
		cql_put_string(out, e->keyspace);
		cql_put_string(out, e->table);
	} else if (e->code == CQL_FUNCTION_FAILURE) {
		cql_put_string(out, e->keyspace);
		cql_put_string(out, e->table);
		buf_be16(out, 0); /* the text names the types */
	} else if (e->code == CQL_UNPREPARED) {
		cql_put_short_bytes(out, e->id, sizeof e->id);
	}
	cql__frame_end(out, start, CQL_OP_ERROR, reply, 0);
}

static bool binds_one_table(const struct cql_plan *plan)
{
	for (uint32_t i = 1; i < plan->bind_count; i++)
		if (strcmp(plan->binds[i].table, plan->binds[0].table) != 0 ||
		    strcmp(plan->binds[i].keyspace, plan->binds[0].keyspace) != 0)
			return false;
	return plan->bind_count > 0;
}

static void put_binds(struct buf *out, const struct cql_plan *plan, uint8_t version)
{
	bool one_table = binds_one_table(plan);
	buf_be32(out, one_table ? CQL_METADATA_GLOBAL : 0);
	buf_be32(out, plan->bind_count);
	if (version >= 4) {
		buf_be32(out, plan->key_bind_count);
		for (uint16_t i = 0; i < plan->key_bind_count; i++)
			buf_be16(out, plan->key_binds[i]);
	}
	if (one_table) {
		cql_put_string(out, plan->binds[0].keyspace);
		cql_put_string(out, plan->binds[0].table);
	}
	for (uint32_t i = 0; i < plan->bind_count; i++) {
		if (!one_table) {
			cql_put_string(out, plan->binds[i].keyspace);
			cql_put_string(out, plan->binds[i].table);
		}
		cql_put_string(out, plan->binds[i].name);
		put_type(out, plan->binds[i].type, version);
	}
}

void cql__put_prepared(struct buf *out, const struct cql_reply *reply, const uint8_t id[16], const uint8_t result_id[CQL_METADATA_ID_BYTES],
		       const struct cql_plan *plan)
{
	size_t start = cql__frame_begin(out, reply, plan->warnings, 0);
	buf_be32(out, CQL_RESULT_PREPARED);
	cql_put_short_bytes(out, id, 16);
	if (reply->version >= 5)
		cql_put_short_bytes(out, result_id, CQL_METADATA_ID_BYTES);
	put_binds(out, plan, reply->version);
	const struct cql_select_plan *s = plan->kind == CQL_PLAN_SELECT ? plan->select : NULL;
	buf_be32(out, s ? CQL_METADATA_GLOBAL : CQL_METADATA_NONE);
	buf_be32(out, s ? s->column_count : 0);
	if (s) {
		cql_put_string(out, s->table->keyspace);
		cql_put_string(out, s->table->name);
	}
	for (uint32_t i = 0; s && i < s->column_count; i++) {
		cql_put_string(out, s->columns[i].name);
		put_type(out, s->columns[i].type, reply->version);
	}
	cql__frame_end(out, start, CQL_OP_RESULT, reply, 0);
}

void cql__put_schema_event(struct buf *out, uint8_t version, const char *change, const char *keyspace, const char *table, const char *type)
{
	struct cql_reply reply = {.version = version, .stream = -1};
	size_t start = cql__frame_begin(out, &reply, NULL, 0);
	cql_put_string(out, "SCHEMA_CHANGE");
	put_schema_change(out, change, keyspace, table, type);
	cql__frame_end(out, start, CQL_OP_EVENT, &reply, 0);
}

void cql__put_supported(struct buf *out, const struct cql_reply *reply)
{
	size_t start = cql__frame_begin(out, reply, NULL, 0);
	buf_be16(out, 3);
	cql_put_string(out, "PROTOCOL_VERSIONS");
	buf_be16(out, 3);
	cql_put_string(out, "3/v3");
	cql_put_string(out, "4/v4");
	cql_put_string(out, "5/v5");
	cql_put_string(out, "COMPRESSION");
	buf_be16(out, 2);
	cql_put_string(out, "snappy");
	cql_put_string(out, "lz4");
	cql_put_string(out, "CQL_VERSION");
	buf_be16(out, 1);
	cql_put_string(out, "3.4.7");
	cql__frame_end(out, start, CQL_OP_SUPPORTED, reply, 0);
}

void cql__compress(enum cql_compression how, struct buf *out, size_t start)
{
	size_t size = buf_size(out) - start - CQL_HEADER_BYTES, packed;
	if (how == CQL_PLAIN || out->failed || size < COMPRESS_BYTES_MIN || size > INT32_MAX / 2)
		return;
	struct buf body;
	buf_init(&body);
	const uint8_t *from = out->data + out->start + start + CQL_HEADER_BYTES;
	if (how == CQL_LZ4) {
		int bound = LZ4_compressBound((int)size);
		uint8_t *to = buf_reserve(&body, (size_t)bound + 4);
		int n = to ? LZ4_compress_default((const char *)from, (char *)to + 4, (int)size, bound) : 0;
		if (to)
			be32_put(to, (uint32_t)size);
		packed = n > 0 ? (size_t)n + 4 : 0;
	} else {
		packed = snappy_max_compressed_length(size);
		uint8_t *to = buf_reserve(&body, packed);
		if (!to || snappy_compress((const char *)from, size, (char *)to, &packed) != SNAPPY_OK)
			packed = 0;
	}
	if (packed && packed < size) {
		uint8_t *header = out->data + out->start + start;
		memcpy(header + CQL_HEADER_BYTES, body.data + body.start, packed);
		out->end -= size - packed;
		header[1] |= CQL_FLAG_COMPRESSED;
		be32_put(header + 5, (uint32_t)packed);
	}
	buf_done(&body);
}
