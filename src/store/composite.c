/* Values made of values: lists, sets, maps, tuples, user types and vectors, taken apart, checked and compared.
 * Source: native protocol v4, sections 6.11 to 6.25; the order is the one that Cassandra 5.0 keeps frozen values in. */
#include "store/store_internal.h"

int store_type_fixed_size(const struct store_type *type)
{
	switch (type->id) {
	case STORE_BOOLEAN: return 1;
	case STORE_FLOAT:
	case STORE_INT: return 4;
	case STORE_BIGINT:
	case STORE_DOUBLE:
	case STORE_TIMESTAMP: return 8;
	case STORE_UUID:
	case STORE_TIMEUUID: return 16;
	case STORE_VECTOR: {
		int size = store_type_fixed_size(&type->elements[0]);
		return size < 0 ? -1 : size * (int)type->dimension;
	}
	default: return -1;
	}
}

bool store__type_composite(const struct store_type *type)
{
	return (type->id >= STORE_LIST && type->id <= STORE_SET) || type->id == STORE_UDT || type->id == STORE_TUPLE ||
	       type->id == STORE_VECTOR;
}

struct store_value_reader store_value_reader(const struct store_type *type, struct store_cell value)
{
	struct store_value_reader r = {.type = type, .in = byte_reader(bytes_of(value.data, value.size > 0 ? (size_t)value.size : 0))};
	if (type->id == STORE_VECTOR) {
		r.count = type->dimension;
	} else if (type->id == STORE_TUPLE || type->id == STORE_UDT) {
		r.count = type->element_count;
	} else {
		r.count = reader_be32(&r.in);
		/* each element has at least its size */
		if (r.in.failed || r.count > reader_left(&r.in) / 4) {
			r.failed = true;
			r.count = 0;
		} else if (type->id == STORE_MAP) {
			r.count *= 2;
		}
	}
	return r;
}

/* Cassandra's unsigned variable-length integer: the first byte's leading ones count the bytes that follow. */
static uint64_t take_vint(struct byte_reader *in)
{
	uint8_t first = reader_u8(in);
	int extra = first == 0xff ? 8 : __builtin_clz((unsigned)(uint8_t)~first << 24);
	uint64_t v = extra >= 7 ? 0 : first & (0x7f >> extra);
	const uint8_t *more = reader_take(in, (size_t)extra);
	for (int i = 0; more && i < extra; i++)
		v = v << 8 | more[i];
	return v;
}

void store_put_vint(struct buf *out, uint64_t value)
{
	int extra = 0;
	while (extra < 8 && value >> (7 * (extra + 1)))
		extra++;
	for (int i = extra; i >= 0; i--) {
		uint8_t byte = i >= 8 ? 0 : (uint8_t)(value >> (8 * i));
		buf_u8(out, i == extra && extra ? (uint8_t)(byte | (uint8_t) ~(0xff >> extra)) : byte);
	}
}

static bool vector_next(struct store_value_reader *r, struct store_cell *ret)
{
	int fixed = store_type_fixed_size(&r->type->elements[0]);
	uint64_t size = fixed >= 0 ? (uint64_t)fixed : take_vint(&r->in);
	*ret = (struct store_cell){size <= INT32_MAX ? reader_take(&r->in, (size_t)size) : NULL, (int32_t)size};
	return ret->data != NULL;
}

bool store_value_next(struct store_value_reader *r, struct store_cell *ret_element, const struct store_type **ret_type)
{
	const struct store_type *type = r->type;
	bool fields = type->id == STORE_TUPLE || type->id == STORE_UDT;
	if (r->failed)
		return false;
	if (r->index == r->count) {
		r->failed = reader_left(&r->in) != 0;
		return false;
	}
	*ret_type = &type->elements[fields ? r->index : type->id == STORE_MAP ? r->index % 2 : 0];
	r->index++;
	*ret_element = (struct store_cell){NULL, -1};
	if (fields && reader_left(&r->in) == 0) /* written before the type had this field */
		return true;
	if (type->id == STORE_VECTOR) {
		r->failed = !vector_next(r, ret_element);
		return !r->failed;
	}
	int32_t size = (int32_t)reader_be32(&r->in);
	if (size >= 0)
		*ret_element = (struct store_cell){reader_take(&r->in, (size_t)size), size};
	r->failed = r->in.failed;
	return !r->failed;
}

bool store__composite_ok(const struct store_type *type, struct store_cell value)
{
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell element;
	const struct store_type *element_type;
	bool fields = type->id == STORE_TUPLE || type->id == STORE_UDT;
	while (store_value_next(&r, &element, &element_type))
		if ((element.size < 0 && !fields) || !store_value_ok(element_type, element))
			return false;
	return !r.failed;
}

/* What is missing at the end of a tuple counts as null, and null is before everything. */
int store__composite_compare(const struct store_type *type, struct store_cell a, struct store_cell b)
{
	struct store_value_reader ra = store_value_reader(type, a), rb = store_value_reader(type, b);
	for (;;) {
		struct store_cell x, y;
		const struct store_type *element_type;
		bool more_a = store_value_next(&ra, &x, &element_type), more_b = store_value_next(&rb, &y, &element_type);
		if (!more_a || !more_b)
			return more_a - more_b;
		if (x.size < 0 || y.size < 0) {
			if (x.size >= 0 || y.size >= 0)
				return x.size < 0 ? -1 : 1;
			continue;
		}
		int order = store_compare(element_type, x, y);
		if (order)
			return order;
	}
}
