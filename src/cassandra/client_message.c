/* Requests as frames, and answers taken apart. */
#include "cassandra/client_internal.h"
#include "cql/cql_limits.h"
#include <stdio.h>

/* ---- out ---- */

void client__frame_end(struct buf *out, size_t start, uint8_t version, uint8_t opcode, int16_t stream)
{
	cql_header_end(out, start, &(struct cql_header){.version = version, .opcode = opcode, .stream = stream});
}

void client__put_value(struct buf *out, struct store_cell value)
{
	buf_be32(out, (uint32_t)value.size);
	if (value.size > 0)
		buf_append(out, value.data, (size_t)value.size);
}

static void put_flags(struct buf *out, uint8_t version, uint32_t flags)
{
	if (version >= 5)
		buf_be32(out, flags);
	else
		buf_u8(out, (uint8_t)flags);
}

static bool has_now(const struct client_call *call, uint8_t version)
{
	return call->now_s && version >= 5;
}

static void put_parameters(struct buf *out, const struct client_call *call, uint8_t version)
{
	bool values = buf_size(&call->body) > 2;
	buf_be16(out, call->consistency);
	put_flags(out, version,
		  (values ? CQL_HAS_VALUES : 0) | (call->metadata ? 0 : CQL_SKIP_METADATA) | (call->page_size ? CQL_HAS_PAGE_SIZE : 0) |
			  (call->paging_state ? CQL_HAS_PAGING_STATE : 0) | CQL_HAS_SERIAL | (has_now(call, version) ? CQL_HAS_NOW : 0));
	if (values)
		buf_append_bytes(out, buf_bytes(&call->body));
	if (call->page_size)
		buf_be32(out, call->page_size);
	if (call->paging_state) {
		buf_be32(out, (uint32_t)call->paging_state_size);
		buf_append(out, call->paging_state, call->paging_state_size);
	}
	buf_be16(out, call->serial);
	if (has_now(call, version))
		buf_be32(out, (uint32_t)call->now_s);
}

/* An entry: its statement, and its values with their number. */
static bool next_entry(struct byte_reader *in, int32_t *ret_statement, struct bytes *ret_values)
{
	if (!reader_left(in))
		return false;
	*ret_statement = (int32_t)reader_be32(in);
	const uint8_t *start = in->at;
	for (uint16_t n = reader_be16(in); n && !in->failed; n--) {
		int32_t size = (int32_t)reader_be32(in);
		if (size > 0)
			reader_take(in, (size_t)size);
	}
	*ret_values = bytes_of(start, (size_t)(in->at - start));
	return !in->failed;
}

static void put_batch(struct buf *out, const struct client_call *call, uint8_t version, const struct client_prepared *prepared)
{
	struct byte_reader in = byte_reader(buf_bytes(&call->body));
	int32_t statement;
	struct bytes values;
	buf_u8(out, (uint8_t)call->batch_kind);
	buf_be16(out, (uint16_t)call->entry_count);
	while (next_entry(&in, &statement, &values)) {
		buf_u8(out, 1);
		cql_put_short_bytes(out, prepared[statement].id, prepared[statement].id_size);
		buf_append_bytes(out, values);
	}
	buf_be16(out, call->consistency);
	put_flags(out, version, CQL_HAS_SERIAL | (has_now(call, version) ? CQL_HAS_NOW : 0));
	buf_be16(out, call->serial);
	if (has_now(call, version))
		buf_be32(out, (uint32_t)call->now_s);
}

void client__put_call(struct buf *out, const struct client_call *call, uint8_t version, int16_t stream,
		      const struct client_prepared *prepared)
{
	static const uint8_t opcodes[] = {
		[CALL_QUERY] = CQL_OP_QUERY, [CALL_EXECUTE] = CQL_OP_EXECUTE, [CALL_BATCH] = CQL_OP_BATCH, [CALL_LATER] = 0};
	size_t start = cql_header_begin(out);
	switch (call->kind) {
	case CALL_QUERY:
		buf_be32(out, (uint32_t)strlen(call->text));
		buf_append_str(out, call->text);
		put_parameters(out, call, version);
		break;
	case CALL_EXECUTE: {
		const struct client_prepared *p = &prepared[call->statement];
		cql_put_short_bytes(out, p->id, p->id_size);
		if (version >= 5)
			cql_put_short_bytes(out, p->result, p->result_size);
		put_parameters(out, call, version);
		break;
	}
	case CALL_BATCH: put_batch(out, call, version, prepared); break;
	case CALL_LATER: break; /* it goes nowhere */
	}
	client__frame_end(out, start, version, opcodes[call->kind], stream);
}

int32_t client__call_statement(const struct client_call *call, size_t *pos)
{
	if (call->kind == CALL_EXECUTE)
		return (*pos)++ ? -1 : call->statement;
	if (call->kind != CALL_BATCH)
		return -1;
	struct bytes all = buf_bytes(&call->body), values;
	struct byte_reader in = byte_reader(bytes_of(all.data + *pos, all.size - *pos));
	int32_t statement;
	if (!next_entry(&in, &statement, &values))
		return -1;
	*pos = (size_t)(in.at - all.data);
	return statement;
}

/* ---- errors ---- */

static const struct {
	uint32_t code;
	const char *name;
	struct client_verdict verdict;
} codes[] = {
	{CQL_SERVER_ERROR, "SERVER_ERROR", {SM_UNAVAILABLE, true, true}},
	{CQL_PROTOCOL_ERROR, "PROTOCOL_ERROR", {SM_INVALID, false, false}},
	{CQL_BAD_CREDENTIALS, "BAD_CREDENTIALS", {SM_DENIED, false, false}},
	{CQL_UNAVAILABLE, "UNAVAILABLE", {SM_UNAVAILABLE, false, true}},
	{CQL_OVERLOADED, "OVERLOADED", {SM_FULL, false, true}},
	{CQL_IS_BOOTSTRAPPING, "IS_BOOTSTRAPPING", {SM_UNAVAILABLE, false, true}},
	{CQL_TRUNCATE_ERROR, "TRUNCATE_ERROR", {SM_TIMEOUT, true, true}},
	{CQL_WRITE_TIMEOUT, "WRITE_TIMEOUT", {SM_TIMEOUT, true, true}},
	{CQL_READ_TIMEOUT, "READ_TIMEOUT", {SM_TIMEOUT, true, true}},
	{CQL_READ_FAILURE, "READ_FAILURE", {SM_UNAVAILABLE, true, true}},
	{CQL_FUNCTION_FAILURE, "FUNCTION_FAILURE", {SM_INVALID, false, false}},
	{CQL_WRITE_FAILURE, "WRITE_FAILURE", {SM_UNAVAILABLE, true, true}},
	{CQL_CDC_WRITE_FAILURE, "CDC_WRITE_FAILURE", {SM_UNAVAILABLE, true, false}},
	{CQL_CAS_WRITE_UNKNOWN, "CAS_WRITE_UNKNOWN", {SM_TIMEOUT, true, true}},
	{CQL_SYNTAX_ERROR, "SYNTAX_ERROR", {SM_SYNTAX, false, false}},
	{CQL_UNAUTHORIZED, "UNAUTHORIZED", {SM_DENIED, false, false}},
	{CQL_INVALID, "INVALID", {SM_INVALID, false, false}},
	{CQL_CONFIG_ERROR, "CONFIG_ERROR", {SM_INVALID, false, false}},
	{CQL_ALREADY_EXISTS, "ALREADY_EXISTS", {SM_EXISTS, false, false}},
	{CQL_UNPREPARED, "UNPREPARED", {SM_NOT_FOUND, false, true}},
};

static const char *code_name(uint32_t code)
{
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i].code == code)
			return codes[i].name;
	return "error";
}

struct client_verdict client__verdict(uint32_t code)
{
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i].code == code)
			return codes[i].verdict;
	return (struct client_verdict){SM_FAILED, true, false};
}

/* ---- in ---- */

/* What may stand before the body's own: tracing, warnings, a payload. */
static void skip_extras(const struct cql_header *h, struct byte_reader *in)
{
	if (h->flags & CQL_FLAG_TRACING)
		reader_take(in, 16);
	if (h->flags & CQL_FLAG_WARNING)
		for (uint16_t n = reader_be16(in); n && !in->failed; n--)
			(void)cql_read_string(in);
	if (h->flags & CQL_FLAG_PAYLOAD)
		for (uint16_t n = reader_be16(in); n && !in->failed; n--) {
			(void)cql_read_string(in);
			int32_t size = (int32_t)reader_be32(in);
			if (size > 0)
				reader_take(in, (size_t)size);
		}
}

/* A column's type; without an arena it is passed over. */
static bool take_type(struct byte_reader *in, struct arena *arena, int depth, struct store_type *ret)
{
	uint16_t id = reader_be16(in), count = 0;
	if (depth > CQL_DEPTH_MAX)
		in->failed = true;
	*ret = (struct store_type){.id = (enum store_type_id)id, .frozen = true};
	if (id == STORE_CUSTOM || id == STORE_UDT)
		(void)cql_read_string(in);
	if (id == STORE_UDT)
		(void)cql_read_string(in);
	if (id == STORE_LIST || id == STORE_SET || id == STORE_MAP)
		count = id == STORE_MAP ? 2 : 1;
	else if (id == STORE_TUPLE || id == STORE_UDT)
		count = reader_be16(in);
	struct store_type *elements = arena && count && !in->failed ? arena_alloc(arena, count * sizeof *elements) : NULL, passed_over;
	if (arena && count && !elements)
		return false;
	for (uint16_t i = 0; i < count && !in->failed; i++) {
		if (id == STORE_UDT)
			(void)cql_read_string(in);
		if (!take_type(in, arena, depth + 1, elements ? &elements[i] : &passed_over))
			return false;
	}
	ret->elements = elements;
	ret->element_count = count;
	return !in->failed;
}

static void take_rows(struct byte_reader *in, struct client_answer *a)
{
	uint32_t flags = a->metadata_flags = reader_be32(in);
	a->column_count = reader_be32(in);
	if (flags & CQL_METADATA_MORE_PAGES) {
		int32_t size = (int32_t)reader_be32(in);
		const uint8_t *state = size > 0 ? reader_take(in, (size_t)size) : NULL;
		a->paging_state = bytes_of(state, state ? (size_t)size : 0);
	}
	if (flags & CQL_METADATA_CHANGED)
		(void)cql_read_string(in);
	const uint8_t *start = in->at;
	if (!(flags & CQL_METADATA_NONE)) {
		if (flags & CQL_METADATA_GLOBAL) {
			(void)cql_read_string(in);
			(void)cql_read_string(in);
		}
		for (uint32_t i = 0; i < a->column_count && !in->failed; i++) {
			if (!(flags & CQL_METADATA_GLOBAL)) {
				(void)cql_read_string(in);
				(void)cql_read_string(in);
			}
			(void)cql_read_string(in);
			struct store_type passed_over;
			if (!take_type(in, NULL, 0, &passed_over))
				in->failed = true;
		}
		a->metadata = bytes_of(start, (size_t)(in->at - start));
	}
	a->row_count = reader_be32(in);
	a->rows = bytes_of(in->at, reader_left(in));
	/* each value has at least its size */
	if (a->column_count && a->row_count > a->rows.size / 4 / a->column_count)
		in->failed = true;
}

static void take_error(struct byte_reader *in, const char *host, struct client_answer *a)
{
	a->code = reader_be32(in);
	struct bytes text = cql_read_string(in);
	enum sm_err err = client__verdict(a->code).err;
	int size = (int)(text.size < 300 ? text.size : 300);
	const char *said = text.size ? (const char *)text.data : "";
	switch (a->code) {
	case CQL_UNAVAILABLE: {
		uint16_t consistency = reader_be16(in);
		uint32_t required = reader_be32(in), alive = reader_be32(in);
		sm_fail(&a->error, err, "%s: UNAVAILABLE: %s needs %u copies, %u are there", host, cql_consistency_name(consistency),
			required, alive);
		break;
	}
	case CQL_WRITE_TIMEOUT:
	case CQL_READ_TIMEOUT: {
		uint16_t consistency = reader_be16(in);
		uint32_t received = reader_be32(in), required = reader_be32(in);
		sm_fail(&a->error, err, "%s: %s: %u of %u copies answered in time (%s)", host, code_name(a->code), received, required,
			cql_consistency_name(consistency));
		break;
	}
	/* the words of statements that are wrong stand alone, as they would be Cassandra's own */
	case CQL_SYNTAX_ERROR:
	case CQL_UNAUTHORIZED:
	case CQL_INVALID:
	case CQL_CONFIG_ERROR:
	case CQL_ALREADY_EXISTS: sm_fail(&a->error, err, "%.*s", size ? size : 300, size ? said : code_name(a->code)); break;
	default: sm_fail(&a->error, err, "%s: %s: %.*s", host, code_name(a->code), size, said);
	}
}

bool client__take_answer(const struct cql_header *h, struct bytes body, const char *host, struct client_answer *a)
{
	struct byte_reader in = byte_reader(body);
	skip_extras(h, &in);
	if (h->opcode == CQL_OP_ERROR) {
		take_error(&in, host, a);
		if (a->error.code == SM_OK)
			a->error.code = SM_FAILED;
		return !in.failed;
	}
	if (h->opcode != CQL_OP_RESULT)
		return false;
	a->kind = (enum cql_result_kind)reader_be32(&in);
	if (a->kind == CQL_RESULT_ROWS)
		take_rows(&in, a);
	return !in.failed;
}

static bool take_short(struct byte_reader *in, uint8_t *to, uint8_t *ret_size, size_t room)
{
	struct bytes b = cql_read_string(in);
	if (in->failed || b.size > room)
		return false;
	memcpy(to, b.data, b.size);
	*ret_size = (uint8_t)b.size;
	return true;
}

bool client__take_prepared(const struct cql_header *h, struct bytes body, struct client_prepared *ret)
{
	struct byte_reader in = byte_reader(body);
	skip_extras(h, &in);
	return h->opcode == CQL_OP_RESULT && reader_be32(&in) == CQL_RESULT_PREPARED &&
	       take_short(&in, ret->id, &ret->id_size, sizeof ret->id) &&
	       (h->version < 5 || take_short(&in, ret->result, &ret->result_size, sizeof ret->result));
}

/* ---- columns ---- */

enum sm_err client__columns(const struct client_answer *a, struct arena *arena, struct client_column **ret_columns)
{
	struct byte_reader in = byte_reader(a->metadata);
	bool global = a->metadata_flags & CQL_METADATA_GLOBAL;
	if (a->column_count > a->metadata.size)
		return SM_CORRUPT;
	struct client_column *columns = arena_alloc(arena, (a->column_count + 1) * sizeof *columns);
	if (!columns)
		return SM_NO_MEMORY;
	for (uint32_t i = 0; i < a->column_count; i++) {
		for (int skip = (i == 0 || !global) ? 2 : 0; skip; skip--)
			(void)cql_read_string(&in);
		struct bytes name = cql_read_string(&in);
		columns[i].name = arena_string(arena, (const char *)name.data, name.size);
		if (!columns[i].name || !take_type(&in, arena, 0, &columns[i].type))
			return in.failed ? SM_CORRUPT : SM_NO_MEMORY;
	}
	*ret_columns = columns;
	return SM_OK;
}

struct store_cell client__value(struct byte_reader *rows)
{
	int32_t size = (int32_t)reader_be32(rows);
	const uint8_t *data = size > 0 ? reader_take(rows, (size_t)size) : (const uint8_t *)"";
	return size < 0 || rows->failed ? client__null() : (struct store_cell){data, size};
}
