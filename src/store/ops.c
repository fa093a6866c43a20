/* Changes of keys in a buffer, on their way from the thread that encodes them to the one that writes. */
#include "store/store_internal.h"

size_t store__op_begin(struct buf *ops, enum store_op op)
{
	size_t at = ops->end;
	buf_u8(ops, (uint8_t)op);
	buf_be32(ops, 0);
	buf_be32(ops, 0);
	return at;
}

void store__op_value(struct buf *ops, size_t at)
{
	if (!ops->failed)
		be32_put(ops->data + at + 1, (uint32_t)(ops->end - at - STORE_OP_HEAD));
}

void store__op_end(struct buf *ops, size_t at)
{
	if (!ops->failed)
		be32_put(ops->data + at + 5, (uint32_t)(ops->end - at - STORE_OP_HEAD) - be32_get(ops->data + at + 1));
}

void store__op(struct buf *ops, enum store_op op, struct bytes key, struct bytes value)
{
	size_t at = store__op_begin(ops, op);
	buf_append_bytes(ops, key);
	store__op_value(ops, at);
	buf_append_bytes(ops, value);
	store__op_end(ops, at);
}

bool store__op_next(const struct buf *ops, size_t *at, enum store_op *ret_op, struct bytes *ret_key, struct bytes *ret_value)
{
	if (*at >= ops->end)
		return false;
	const uint8_t *p = ops->data + *at;
	uint32_t key_size = be32_get(p + 1), value_size = be32_get(p + 5);
	*ret_op = p[0];
	*ret_key = bytes_of(p + STORE_OP_HEAD, key_size);
	*ret_value = bytes_of(p + STORE_OP_HEAD + key_size, value_size);
	*at += STORE_OP_HEAD + (size_t)key_size + value_size;
	return true;
}
