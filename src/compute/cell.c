/* CQL's serialized values (native protocol v4, section 6) and columns. */
#include "compute/dag.h"

enum sm_err column_type_of_store(const struct store_type *type, enum column_type *ret_type)
{
	switch (type->id) {
	case STORE_BOOLEAN: *ret_type = COLUMN_BOOL; return SM_OK;
	case STORE_TINYINT:
	case STORE_SMALLINT:
	case STORE_INT: *ret_type = COLUMN_INT32; return SM_OK;
	case STORE_COUNTER:
	case STORE_BIGINT: *ret_type = COLUMN_INT64; return SM_OK;
	case STORE_FLOAT:
	case STORE_DOUBLE: *ret_type = COLUMN_DOUBLE; return SM_OK;
	case STORE_ASCII:
	case STORE_TEXT: *ret_type = COLUMN_TEXT; return SM_OK;
	case STORE_BLOB: *ret_type = COLUMN_BLOB; return SM_OK;
	case STORE_TIMEUUID:
	case STORE_UUID: *ret_type = COLUMN_UUID; return SM_OK;
	case STORE_TIMESTAMP: *ret_type = COLUMN_TIMESTAMP; return SM_OK;
	default: return SM_UNSUPPORTED;
	}
}

static enum sm_err real_of_cell(struct store_cell cell, struct value *v)
{
	if (cell.size == 8) {
		uint64_t bits = be64_get(cell.data);
		memcpy(&v->real, &bits, sizeof bits);
		return SM_OK;
	}
	if (cell.size != 4)
		return SM_CORRUPT;
	float small;
	uint32_t bits = be32_get(cell.data);
	memcpy(&small, &bits, sizeof bits);
	v->real = (double)small;
	return SM_OK;
}

static enum sm_err integer_of_cell(struct store_cell cell, struct value *v)
{
	switch (cell.size) {
	case 1: v->integer = (int64_t)(cell.data[0] ^ 0x80) - 0x80; return SM_OK;
	case 2: v->integer = (int16_t)be16_get(cell.data); return SM_OK;
	case 4: v->integer = (int32_t)be32_get(cell.data); return SM_OK;
	case 8: v->integer = (int64_t)be64_get(cell.data); return SM_OK;
	default: return SM_CORRUPT;
	}
}

enum sm_err value_of_cell(enum column_type type, struct store_cell cell, struct value *ret_value)
{
	struct value v = {.type = type, .null = cell.size < 0};
	enum sm_err err = SM_OK;
	bool bytes = type == COLUMN_TEXT || type == COLUMN_BLOB;
	/* Cassandra lets a value of fixed size be empty; it means as much as null. */
	if (cell.size == 0 && !bytes)
		v.null = true;
	if (!v.null)
		switch (type) {
		case COLUMN_BOOL:
			v.boolean = cell.data[0] != 0;
			err = cell.size == 1 ? SM_OK : SM_CORRUPT;
			break;
		case COLUMN_DOUBLE: err = real_of_cell(cell, &v); break;
		case COLUMN_INT32:
		case COLUMN_INT64:
		case COLUMN_TIMESTAMP: err = integer_of_cell(cell, &v); break;
		case COLUMN_UUID:
		case COLUMN_TEXT:
		case COLUMN_BLOB:
			v.bytes = bytes_of(cell.data, (size_t)cell.size);
			err = bytes || cell.size == 16 ? SM_OK : SM_CORRUPT;
			break;
		}
	if (!err)
		*ret_value = v;
	return err;
}
