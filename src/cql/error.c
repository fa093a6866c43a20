/* One table from smack's errors to CQL's codes; what is not in it is a server error, never a success. */
#include "cql/cql_internal.h"

#include <stdio.h>

static const struct {
	enum sm_err err;
	enum cql_code code;
} codes[] = {
	{SM_INVALID, CQL_INVALID},          {SM_NOT_FOUND, CQL_INVALID},    {SM_UNSUPPORTED, CQL_INVALID},
	{SM_TOO_LARGE, CQL_INVALID},        {SM_TYPE, CQL_INVALID},         {SM_OUT_OF_RANGE, CQL_INVALID},
	{SM_CONFLICT, CQL_INVALID},         {SM_SYNTAX, CQL_SYNTAX_ERROR},  {SM_EXISTS, CQL_ALREADY_EXISTS},
	{SM_DENIED, CQL_UNAUTHORIZED},      {SM_FULL, CQL_OVERLOADED},      {SM_BUSY, CQL_OVERLOADED},
	{SM_UNAVAILABLE, CQL_SERVER_ERROR}, {SM_TIMEOUT, CQL_SERVER_ERROR},
};

enum cql_code cql__code_of(enum sm_err err)
{
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (codes[i].err == err)
			return codes[i].code;
	return CQL_SERVER_ERROR;
}

enum sm_err cql__err_of(enum cql_code code)
{
	switch (code) {
	case CQL_INVALID:
	case CQL_CONFIG_ERROR:
	case CQL_FUNCTION_FAILURE:
	case CQL_PROTOCOL_ERROR: return SM_INVALID;
	case CQL_SYNTAX_ERROR: return SM_SYNTAX;
	case CQL_BAD_CREDENTIALS:
	case CQL_UNAUTHORIZED: return SM_DENIED;
	case CQL_ALREADY_EXISTS: return SM_EXISTS;
	case CQL_OVERLOADED: return SM_FULL;
	case CQL_UNPREPARED: return SM_NOT_FOUND;
	case CQL_UNAVAILABLE: return SM_UNAVAILABLE;
	case CQL_SERVER_ERROR:
	case CQL_TRUNCATE_ERROR:
	/* what only a node with copies elsewhere answers */
	case CQL_IS_BOOTSTRAPPING:
	case CQL_WRITE_TIMEOUT:
	case CQL_READ_TIMEOUT:
	case CQL_READ_FAILURE:
	case CQL_WRITE_FAILURE:
	case CQL_CDC_WRITE_FAILURE:
	case CQL_CAS_WRITE_UNKNOWN: return SM_FAILED;
	}
	return SM_FAILED;
}

enum sm_err cql__fail_text(struct cql_error *err, enum cql_code code, const char *fmt, ...)
{
	err->code = code;
	va_list args;
	va_start(args, fmt);
	vsnprintf(err->text, sizeof err->text, fmt, args);
	va_end(args);
	return cql__err_of(code);
}

enum sm_err cql__fail_other(struct cql_error *err, enum sm_err code, const char *detail)
{
	if (code == SM_AGAIN)
		return code;
	if (code == SM_TOO_LARGE && (!detail || !detail[0]))
		cql__fail(
			err, cql__code_of(code),
			"What is written is larger than a limit: %u bytes of a key or an element, %u of a batch, %u rows of a conditional "
			"batch, %u bytes of what a batch puts into secondary indexes, where each element of a collection has the whole key "
			"with it. Write less at once; where it is the indexes, one of them may be dropped",
			STORE_KEY_BYTES_MAX, STORE_BATCH_BYTES_MAX, STORE_LOOKS_MAX, STORE_INDEX_ENTRIES_BYTES_MAX);
	else
		cql__fail(err, cql__code_of(code), "%s", detail && detail[0] ? detail : sm_err_text(code));
	return code;
}

enum sm_err cql__fail_arena(struct cql_error *err, const struct arena *arena)
{
	if (arena_error(arena) == SM_TOO_LARGE) {
		cql__fail(err, CQL_INVALID, "The request needs more than the limit of %u bytes", CQL_REQUEST_ARENA_MAX);
		return SM_TOO_LARGE;
	}
	cql__fail(err, CQL_OVERLOADED, "Out of memory");
	return SM_NO_MEMORY;
}

void *cql__grow(struct arena *arena, void *items, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return items;
	uint32_t wanted = *cap ? *cap * 2 : 8;
	void *more = arena_alloc(arena, wanted * size);
	if (!more)
		return NULL;
	if (count)
		memcpy(more, items, count * size);
	*cap = wanted;
	return more;
}
