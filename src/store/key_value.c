/* clang-format off */
/* Values in keys: encodings whose memcmp order is Cassandra's order of the values. None is the beginning of another.
 *
 *   int bigint smallint tinyint timestamp   big-endian, sign bit inverted
 *   date time                               as they stand (they compare as unsigned)
 *   boolean                                 0 or 1
 *   float double                            big-endian; positive: sign bit set, negative: all bits inverted; NaN as the canonical one
 *   uuid                                    the version nibble, then the time (version 1) or the rest, then the last 8 bytes
 *   timeuuid                                the same, the last 8 bytes with their sign bits inverted
 *   text ascii blob inet                    00 becomes 00 ff; the end is 00 01
 *   varint                                  [u32 2^31 + size, of negative ones 2^31 - 1 - size][the shortest two's complement]
 *   decimal                                 80 is zero. Positive: 81, [u64 power + 2^63], digits + 1, 00, for 0.DIGITS times ten to
 *                                           the power; negative: 7f, then the same inverted. 1.50 and 1.5 are the same key
 *   list set map                            each element (of a map: key and value) behind 01; the end is 00
 *   tuple, user type                        each field behind 02, 01 for null; the end, and nulls at the end, 00
 *   vector                                  its elements
 *
 * flip is 0, or ff for a descending column: all its bytes are inverted. */
/* clang-format on */
#include "store/store_internal.h"
#include <stdlib.h>

#define SIGNED_BYTES 0x8080808080808080u
#define ESCAPE_END 0x01
#define ESCAPE_ZERO 0xff
enum { END = 0, MORE = 1, MISSING = 1, PRESENT = 2 };

static void encode_escaped(const uint8_t *data, size_t size, struct buf *out)
{
	uint8_t *to = buf_reserve(out, size * 2 + 2), *at = to;
	if (!to)
		return;
	for (size_t i = 0; i < size; i++) {
		*at++ = data[i];
		if (data[i] == 0)
			*at++ = ESCAPE_ZERO;
	}
	*at++ = 0;
	*at++ = ESCAPE_END;
	buf_commit(out, (size_t)(at - to));
}

static uint64_t order_double(uint64_t bits)
{
	if ((bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u)
		bits = 0x7ff8000000000000u;
	return bits >> 63 ? ~bits : bits | 1ull << 63;
}

static uint32_t order_float(uint32_t bits)
{
	if ((bits & 0x7fffffffu) > 0x7f800000u)
		bits = 0x7fc00000u;
	return bits >> 31 ? ~bits : bits | 1u << 31;
}

/* A longer positive number is larger, a longer negative one smaller; with as many bytes the bytes decide. */
static void encode_varint(struct bytes v, struct buf *out)
{
	bool negative = *v.data & 0x80;
	while (v.size > 1 && *v.data == (negative ? 0xff : 0) && !!(v.data[1] & 0x80) == negative)
		v = bytes_of(v.data + 1, v.size - 1);
	buf_be32(out, negative ? 0x7fffffffu - (uint32_t)v.size : 0x80000000u + (uint32_t)v.size);
	buf_append_bytes(out, v);
}

/* 0.DIGITS times ten to a power: first the sign, then the power, then the digits. */
static void encode_decimal(struct bytes v, struct buf *out)
{
	bool negative = v.data[4] & 0x80;
	uint8_t few[256], *digits = v.size * 5 / 2 + 2 <= sizeof few ? few : malloc(v.size * 5 / 2 + 2);
	if (!digits) {
		out->failed = true;
		return;
	}
	size_t n = store__decimal_digits(v.data + 4, v.size - 4, digits), last = 0;
	if (n == 0) {
		buf_u8(out, 0x80);
	} else {
		uint64_t power = (uint64_t)((int64_t)n - (int32_t)be32_get(v.data)) ^ 1ull << 63;
		uint8_t flip = negative ? 0xff : 0;
		buf_u8(out, negative ? 0x7f : 0x81);
		buf_be64(out, negative ? ~power : power);
		while (digits[last] == 0)
			last++;
		for (size_t i = n; i-- > last;)
			buf_u8(out, (uint8_t)(digits[i] + 1) ^ flip);
		buf_u8(out, flip);
	}
	if (digits != few)
		free(digits);
}

bool store_decimals_fit(const struct store_type *type, struct store_cell value)
{
	if (type->id == STORE_DECIMAL)
		return value.size <= STORE_KEY_DECIMAL_BYTES_MAX;
	if (!type->element_count || value.size < 0)
		return true;
	struct store_value_reader r = store_value_reader(type, value);
	struct store_cell element;
	const struct store_type *element_type;
	while (store_value_next(&r, &element, &element_type))
		if (!store_decimals_fit(element_type, element))
			return false;
	return true;
}

static void encode_collection(const struct store_type *type, struct store_cell v, struct buf *out)
{
	struct store_value_reader r = store_value_reader(type, v);
	struct store_cell element;
	const struct store_type *element_type;
	while (store_value_next(&r, &element, &element_type)) {
		if (type->id != STORE_MAP || r.index % 2)
			buf_u8(out, MORE);
		store__encode_value(element_type, element, out);
	}
	buf_u8(out, END);
}

/* Nulls at the end are left out, so a field that a user type was given later changes nothing. */
static void encode_tuple(const struct store_type *type, struct store_cell v, struct buf *out)
{
	struct store_value_reader r = store_value_reader(type, v);
	struct store_cell element;
	const struct store_type *element_type;
	uint32_t nulls = 0;
	while (store_value_next(&r, &element, &element_type)) {
		if (element.size < 0) {
			nulls++;
			continue;
		}
		for (; nulls; nulls--)
			buf_u8(out, MISSING);
		buf_u8(out, PRESENT);
		store__encode_value(element_type, element, out);
	}
	buf_u8(out, END);
}

static void encode_vector(const struct store_type *type, struct store_cell v, struct buf *out)
{
	struct store_value_reader r = store_value_reader(type, v);
	struct store_cell element;
	const struct store_type *element_type;
	while (store_value_next(&r, &element, &element_type))
		store__encode_value(element_type, element, out);
}

void store__encode_value(const struct store_type *type, struct store_cell v, struct buf *out)
{
	switch (type->id) {
	case STORE_BIGINT:
	case STORE_TIMESTAMP: buf_be64(out, be64_get(v.data) ^ 1ull << 63); break;
	case STORE_INT: buf_be32(out, be32_get(v.data) ^ 1u << 31); break;
	case STORE_SMALLINT: buf_be16(out, (uint16_t)(be16_get(v.data) ^ 1u << 15)); break;
	case STORE_TINYINT: buf_u8(out, *v.data ^ 0x80); break;
	case STORE_BOOLEAN: buf_u8(out, *v.data != 0); break;
	case STORE_DOUBLE: buf_be64(out, order_double(be64_get(v.data))); break;
	case STORE_FLOAT: buf_be32(out, order_float(be32_get(v.data))); break;
	case STORE_UUID:
	case STORE_TIMEUUID:
		buf_be64(out, store__uuid_order(be64_get(v.data)));
		buf_be64(out, be64_get(v.data + 8) ^ (type->id == STORE_TIMEUUID ? SIGNED_BYTES : 0));
		break;
	case STORE_DATE:
	case STORE_TIME: buf_append(out, v.data, (size_t)v.size); break;
	case STORE_VARINT: encode_varint(bytes_of(v.data, (size_t)v.size), out); break;
	case STORE_DECIMAL: encode_decimal(bytes_of(v.data, (size_t)v.size), out); break;
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP: encode_collection(type, v, out); break;
	case STORE_TUPLE:
	case STORE_UDT: encode_tuple(type, v, out); break;
	case STORE_VECTOR: encode_vector(type, v, out); break;
	default: encode_escaped(v.data, (size_t)v.size, out); break;
	}
}

/* Reads bytes of one column, each xor'ed with flip. */
static enum sm_err decode_escaped(struct byte_reader *r, uint8_t flip, struct buf *out)
{
	for (;;) {
		uint8_t c = reader_u8(r) ^ flip;
		if (r->failed)
			return SM_CORRUPT;
		if (c == 0) {
			uint8_t next = reader_u8(r) ^ flip;
			if (r->failed || (next != ESCAPE_END && next != ESCAPE_ZERO))
				return SM_CORRUPT;
			if (next == ESCAPE_END)
				return out->failed ? SM_NO_MEMORY : SM_OK;
		}
		buf_u8(out, c);
	}
}

static enum sm_err decode_varint(struct byte_reader *r, uint8_t flip, struct buf *out)
{
	uint32_t head = reader_be32(r) ^ (flip ? UINT32_MAX : 0), size = head >> 31 ? head - 0x80000000u : 0x7fffffffu - head;
	const uint8_t *from = reader_take(r, size);
	if (!from || !size)
		return SM_CORRUPT;
	for (uint32_t i = 0; i < size; i++)
		buf_u8(out, from[i] ^ flip);
	return out->failed ? SM_NO_MEMORY : SM_OK;
}

#define ZEROS_MAX 20 /* 1E+3 comes back as 1000; where more than these would be appended, with a power */

/* Appends the number that the decimal digits make, as two's complement. digits: the greatest first; overwritten. */
static void append_number(uint8_t *digits, size_t n, bool negative, struct buf *out)
{
	size_t size = n / 2 + 1;
	uint8_t *to = buf_reserve(out, size);
	if (!to)
		return;
	memset(to, 0, size);
	for (size_t i = 0; i < n; i++) {
		unsigned carry = digits[i];
		for (size_t k = size; k-- > 0;) {
			unsigned v = to[k] * 10u + carry;
			to[k] = (uint8_t)v;
			carry = v >> 8;
		}
	}
	for (size_t k = size, carry = 1; negative && k-- > 0;) {
		carry += (uint8_t)~to[k];
		to[k] = (uint8_t)carry;
		carry >>= 8;
	}
	size_t extra = 0;
	while (extra + 1 < size && to[extra] == (negative ? 0xff : 0) && !!(to[extra + 1] & 0x80) == negative)
		extra++;
	memmove(to, to + extra, size - extra);
	buf_commit(out, size - extra);
}

static enum sm_err decode_decimal(struct byte_reader *r, uint8_t flip, struct buf *out)
{
	struct buf digits;
	uint8_t sign = reader_u8(r) ^ flip;
	buf_init(&digits);
	if (sign == 0x80) {
		buf_append(out, "\0\0\0\0\0", 5);
		return out->failed ? SM_NO_MEMORY : SM_OK;
	}
	if (sign == 0x7f)
		flip ^= 0xff;
	int64_t power = (int64_t)(reader_be64(r) ^ (flip ? UINT64_MAX : 0) ^ 1ull << 63);
	for (uint8_t digit; !r->failed && (digit = reader_u8(r) ^ flip) != 0;)
		buf_u8(&digits, (uint8_t)(digit - 1));
	int64_t scale = (int64_t)digits.end - power;
	for (; scale < 0 && scale >= -ZEROS_MAX; scale++)
		buf_u8(&digits, 0);
	enum sm_err err = digits.failed                                                            ? SM_NO_MEMORY
			  : r->failed || (sign != 0x7f && sign != 0x81) || scale != (int32_t)scale ? SM_CORRUPT
												   : SM_OK;
	if (!err) {
		buf_be32(out, (uint32_t)scale);
		append_number(digits.data, digits.end, sign == 0x7f, out);
		err = out->failed ? SM_NO_MEMORY : SM_OK;
	}
	buf_done(&digits);
	return err;
}

/* One element with its size in front. */
static enum sm_err decode_sized(const struct store_type *type, struct byte_reader *r, uint8_t flip, struct buf *out)
{
	size_t at = out->end;
	buf_be32(out, 0);
	enum sm_err err = store__decode_value(type, r, flip, out);
	if (!err && out->failed)
		err = SM_NO_MEMORY;
	if (!err)
		be32_put(out->data + at, (uint32_t)(out->end - at - 4));
	return err;
}

static enum sm_err decode_collection(const struct store_type *type, struct byte_reader *r, uint8_t flip, struct buf *out)
{
	size_t at = out->end;
	uint32_t count = 0;
	buf_be32(out, 0);
	for (;; count++) {
		uint8_t more = reader_u8(r) ^ flip;
		if (r->failed || (more != MORE && more != END))
			return SM_CORRUPT;
		if (more == END)
			break;
		enum sm_err err = decode_sized(&type->elements[0], r, flip, out);
		if (!err && type->id == STORE_MAP)
			err = decode_sized(&type->elements[1], r, flip, out);
		if (err)
			return err;
	}
	if (out->failed)
		return SM_NO_MEMORY;
	be32_put(out->data + at, count);
	return SM_OK;
}

static enum sm_err decode_tuple(const struct store_type *type, struct byte_reader *r, uint8_t flip, struct buf *out)
{
	uint16_t i = 0;
	for (;; i++) {
		uint8_t what = reader_u8(r) ^ flip;
		if (r->failed || what > PRESENT || (what != END && i == type->element_count))
			return SM_CORRUPT;
		if (what == END)
			break;
		enum sm_err err = SM_OK;
		if (what == MISSING)
			buf_be32(out, UINT32_MAX);
		else
			err = decode_sized(&type->elements[i], r, flip, out);
		if (err)
			return err;
	}
	for (; i < type->element_count; i++)
		buf_be32(out, UINT32_MAX);
	return out->failed ? SM_NO_MEMORY : SM_OK;
}

static enum sm_err decode_vector(const struct store_type *type, struct byte_reader *r, uint8_t flip, struct buf *out)
{
	bool fixed = store_type_fixed_size(&type->elements[0]) >= 0;
	for (uint32_t i = 0; i < type->dimension; i++) {
		struct buf element;
		buf_init(&element);
		enum sm_err err = store__decode_value(&type->elements[0], r, flip, &element);
		if (!err && !fixed)
			store_put_vint(out, element.end);
		if (!err)
			buf_append_bytes(out, buf_bytes(&element));
		buf_done(&element);
		if (err)
			return err;
	}
	return out->failed ? SM_NO_MEMORY : SM_OK;
}

enum sm_err store__decode_value(const struct store_type *type, struct byte_reader *r, uint8_t flip, struct buf *out)
{
	int size = store__type_size(type);
	switch (type->id) {
	case STORE_VARINT: return decode_varint(r, flip, out);
	case STORE_DECIMAL: return decode_decimal(r, flip, out);
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP: return decode_collection(type, r, flip, out);
	case STORE_TUPLE:
	case STORE_UDT: return decode_tuple(type, r, flip, out);
	case STORE_VECTOR: return decode_vector(type, r, flip, out);
	default: break;
	}
	if (size < 0)
		return decode_escaped(r, flip, out);
	const uint8_t *from = reader_take(r, (size_t)size);
	uint8_t *v = from ? buf_reserve(out, (size_t)size) : NULL;
	if (!v)
		return from ? SM_NO_MEMORY : SM_CORRUPT;
	for (int i = 0; i < size; i++)
		v[i] = from[i] ^ flip;
	switch (type->id) {
	case STORE_DATE:
	case STORE_TIME:
	case STORE_BOOLEAN: break;
	case STORE_DOUBLE: {
		uint64_t bits = be64_get(v);
		be64_put(v, bits >> 63 ? bits ^ 1ull << 63 : ~bits);
		break;
	}
	case STORE_FLOAT: {
		uint32_t bits = be32_get(v);
		be32_put(v, bits >> 31 ? bits ^ 1u << 31 : ~bits);
		break;
	}
	case STORE_UUID:
	case STORE_TIMEUUID:
		be64_put(v, store__uuid_unorder(be64_get(v)));
		be64_put(v + 8, be64_get(v + 8) ^ (type->id == STORE_TIMEUUID ? SIGNED_BYTES : 0));
		break;
	default: v[0] ^= 0x80; break; /* signed integers */
	}
	buf_commit(out, (size_t)size);
	return SM_OK;
}
