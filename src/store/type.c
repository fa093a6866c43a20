/* CQL's types: their names, sizes, what is a value of one, and Cassandra's comparison of two values.
 * Source: native protocol v4, section 6; the comparison order is the one that Cassandra 5.0's clustering columns show. */
#include "store/store_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* The bytes of each value, STORE_SIZE_VARIABLE, or STORE_SIZE_UNSUPPORTED for types that the engine does not keep yet. */
static const struct type_info {
	enum store_type_id id;
	const char *name;
	int size;
} type_table[] = {
	{STORE_ASCII, "ascii", STORE_SIZE_VARIABLE},
	{STORE_BIGINT, "bigint", 8},
	{STORE_BLOB, "blob", STORE_SIZE_VARIABLE},
	{STORE_BOOLEAN, "boolean", 1},
	{STORE_DATE, "date", 4},
	{STORE_DOUBLE, "double", 8},
	{STORE_FLOAT, "float", 4},
	{STORE_INT, "int", 4},
	{STORE_SMALLINT, "smallint", 2},
	{STORE_TEXT, "text", STORE_SIZE_VARIABLE},
	{STORE_TEXT, "varchar", STORE_SIZE_VARIABLE}, /* the same type; text is the name that is shown */
	{STORE_TIME, "time", 8},
	{STORE_TIMESTAMP, "timestamp", 8},
	{STORE_TIMEUUID, "timeuuid", 16},
	{STORE_TINYINT, "tinyint", 1},
	{STORE_UUID, "uuid", 16},
	{STORE_COUNTER, "counter", STORE_SIZE_UNSUPPORTED},
	{STORE_DECIMAL, "decimal", STORE_SIZE_VARIABLE},
	{STORE_DURATION, "duration", STORE_SIZE_VARIABLE},
	{STORE_INET, "inet", STORE_SIZE_VARIABLE},
	{STORE_VARINT, "varint", STORE_SIZE_VARIABLE},
	{STORE_LIST, "list", STORE_SIZE_UNSUPPORTED},
	{STORE_MAP, "map", STORE_SIZE_UNSUPPORTED},
	{STORE_SET, "set", STORE_SIZE_UNSUPPORTED},
	{STORE_TUPLE, "tuple", STORE_SIZE_UNSUPPORTED},
	{STORE_TUPLE, "frozen", STORE_SIZE_UNSUPPORTED},
	{STORE_CUSTOM, "vector", STORE_SIZE_UNSUPPORTED},
};
#define TYPE_COUNT (sizeof type_table / sizeof *type_table)

static const struct type_info *find(enum store_type_id id)
{
	for (size_t i = 0; i < TYPE_COUNT; i++)
		if (type_table[i].id == id)
			return &type_table[i];
	return NULL;
}

int store__type_size(const struct store_type *type)
{
	const struct type_info *info = find(type->id);
	return info ? info->size : STORE_SIZE_UNSUPPORTED;
}

bool store__type_equal(const struct store_type *a, const struct store_type *b)
{
	if (a->id != b->id || a->element_count != b->element_count)
		return false;
	for (uint16_t i = 0; i < a->element_count; i++)
		if (!store__type_equal(&a->elements[i], &b->elements[i]))
			return false;
	return true;
}

bool store__type_copy(const struct store_type *from, struct arena *arena, struct store_type *ret_type)
{
	struct store_type *elements = NULL;
	if (from->element_count) {
		elements = arena_alloc(arena, from->element_count * sizeof *elements);
		if (!elements)
			return false;
		for (uint16_t i = 0; i < from->element_count; i++)
			if (!store__type_copy(&from->elements[i], arena, &elements[i]))
				return false;
	}
	*ret_type = (struct store_type){from->id, from->element_count, elements};
	return true;
}

const char *store_type_name(const struct store_type *type, struct arena *arena)
{
	const struct type_info *info = find(type->id);
	if (!info)
		return "unknown";
	if (type->element_count == 0)
		return info->name;
	const char *text = arena_printf(arena, "%s<", info->name);
	for (uint16_t i = 0; text && i < type->element_count; i++) {
		const char *element = store_type_name(&type->elements[i], arena);
		text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", element ? element : "unknown");
	}
	return text ? arena_printf(arena, "%s>", text) : NULL;
}

enum sm_err store_type_parse(const char *name, struct arena *arena, struct store_type *ret_type)
{
	(void)arena; /* for the elements of collections, once there are any */
	char lower[16];
	size_t n = 0;
	while (isspace((unsigned char)*name))
		name++;
	for (; isalpha((unsigned char)name[n]); n++) {
		if (n == sizeof lower - 1)
			return SM_NOT_FOUND;
		lower[n] = (char)tolower((unsigned char)name[n]);
	}
	lower[n] = 0;
	const char *rest = name + n;
	while (isspace((unsigned char)*rest))
		rest++;
	for (size_t i = 0; i < TYPE_COUNT; i++) {
		if (strcmp(type_table[i].name, lower) != 0)
			continue;
		if (type_table[i].size == STORE_SIZE_UNSUPPORTED)
			return SM_UNSUPPORTED;
		if (*rest)
			return SM_NOT_FOUND;
		*ret_type = (struct store_type){type_table[i].id, 0, NULL};
		return SM_OK;
	}
	return SM_NOT_FOUND;
}

static bool utf8_ok(const uint8_t *p, size_t size)
{
	const uint8_t *end = p + size;
	while (p < end) {
		while (end - p >= 8) {
			uint64_t word;
			memcpy(&word, p, 8);
			if (word & 0x8080808080808080u)
				break;
			p += 8;
		}
		if (p == end)
			break;
		uint8_t c = *p++;
		if (c < 0x80)
			continue;
		int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
		if (c < 0xc2 || c > 0xf4 || end - p < more)
			return false;
		/* overlong forms, surrogates and numbers past U+10FFFF differ in the second byte */
		if ((c == 0xe0 && p[0] < 0xa0) || (c == 0xed && p[0] > 0x9f) || (c == 0xf0 && p[0] < 0x90) || (c == 0xf4 && p[0] > 0x8f))
			return false;
		for (int i = 0; i < more; i++)
			if ((*p++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static bool ascii_ok(const uint8_t *p, size_t size)
{
	uint8_t any = 0;
	for (size_t i = 0; i < size; i++)
		any |= p[i];
	return any < 0x80;
}

bool store_value_ok(const struct store_type *type, struct store_cell value)
{
	if (value.size < 0)
		return true;
	int size = store__type_size(type);
	if (size == STORE_SIZE_UNSUPPORTED || (size >= 0 && value.size != size))
		return false;
	switch (type->id) {
	case STORE_ASCII: return ascii_ok(value.data, (size_t)value.size);
	case STORE_TEXT: return utf8_ok(value.data, (size_t)value.size);
	case STORE_TIMEUUID: return value.data[6] >> 4 == 1;
	case STORE_INET: return value.size == 4 || value.size == 16;
	case STORE_VARINT: return value.size >= 1;
	case STORE_DECIMAL: return value.size >= 5; /* a scale and a number */
	case STORE_DURATION: return value.size >= 3;
	default: return true;
	}
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}
static int compare_i64(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* -0.0 is before 0.0, NaN behind everything and equal to itself. */
static int compare_double(double a, double b)
{
	if (a != a || b != b)
		return (a != a) - (b != b);
	if (a < b || a > b)
		return a < b ? -1 : 1;
	return !!__builtin_signbit(b) - !!__builtin_signbit(a);
}

uint64_t store__uuid_order(uint64_t high)
{
	uint64_t version = high >> 12 & 0xf;
	uint64_t rest = version == 1 ? (high & 0xfff) << 48 | (high >> 16 & 0xffff) << 32 | high >> 32
				     : (high >> 16) << 12 | (high & 0xfff);
	return version << 60 | rest;
}

uint64_t store__uuid_unorder(uint64_t ordered)
{
	uint64_t version = ordered >> 60, rest = ordered & 0x0fffffffffffffffu;
	if (version == 1)
		return rest << 32 | (rest >> 32 & 0xffff) << 16 | version << 12 | rest >> 48;
	return (rest >> 12) << 16 | version << 12 | (rest & 0xfff);
}

static int compare_uuid(const uint8_t *a, const uint8_t *b)
{
	int c = compare_u64(store__uuid_order(be64_get(a)), store__uuid_order(be64_get(b)));
	return c ? c : compare_u64(be64_get(a + 8), be64_get(b + 8));
}

/* Cassandra compares the last eight bytes of a timeuuid one by one as signed. */
#define SIGNED_BYTES 0x8080808080808080u
static int compare_timeuuid(const uint8_t *a, const uint8_t *b)
{
	int c = compare_u64(store__uuid_order(be64_get(a)), store__uuid_order(be64_get(b)));
	return c ? c : compare_u64(be64_get(a + 8) ^ SIGNED_BYTES, be64_get(b + 8) ^ SIGNED_BYTES);
}

static float float_of(const uint8_t *p)
{
	uint32_t bits = be32_get(p);
	float v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

static double double_of(const uint8_t *p)
{
	uint64_t bits = be64_get(p);
	double v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

/* Two's complement of any length. */
static int compare_varint(struct bytes a, struct bytes b)
{
	bool negative = *a.data & 0x80;
	if (negative != !!(*b.data & 0x80))
		return negative ? -1 : 1;
	uint8_t sign = negative ? 0xff : 0;
	while (a.size > 1 && *a.data == sign)
		a = bytes_of(a.data + 1, a.size - 1);
	while (b.size > 1 && *b.data == sign)
		b = bytes_of(b.data + 1, b.size - 1);
	if (a.size != b.size)
		return (a.size < b.size) == negative ? 1 : -1;
	return memcmp(a.data, b.data, a.size);
}

/* The magnitude's decimal digits, the least first, without zeros at the high end; their number. digits: room for size * 5 / 2 + 2. */
static size_t decimal_digits(const uint8_t *p, size_t size, uint8_t *digits)
{
	uint8_t stack[64], *work = size <= sizeof stack ? stack : malloc(size);
	size_t n = 0, first = 0;
	if (!work)
		return 0;
	unsigned carry = *p >> 7, flip = *p & 0x80 ? 0xff : 0;
	for (size_t i = size; i-- > 0;) {
		unsigned v = (p[i] ^ flip) + carry;
		work[i] = (uint8_t)v;
		carry = v >> 8;
	}
	while (first < size) {
		unsigned rest = 0;
		for (size_t i = first; i < size; i++) {
			unsigned v = rest << 8 | work[i];
			work[i] = (uint8_t)(v / 10);
			rest = v % 10;
		}
		digits[n++] = (uint8_t)rest;
		while (first < size && work[first] == 0)
			first++;
	}
	while (n && digits[n - 1] == 0)
		n--;
	if (work != stack)
		free(work);
	return n;
}

/* [i32 scale][varint]: the number divided by 10^scale. The first digit's place decides, then digit by digit. */
static int compare_decimal(struct bytes a, struct bytes b)
{
	bool negative = a.data[4] & 0x80;
	if (negative != !!(b.data[4] & 0x80))
		return negative ? -1 : 1;
	int64_t scale_a = (int32_t)be32_get(a.data), scale_b = (int32_t)be32_get(b.data);
	if (scale_a == scale_b)
		return compare_varint(bytes_of(a.data + 4, a.size - 4), bytes_of(b.data + 4, b.size - 4));
	uint8_t *digits = malloc((a.size + b.size) * 5 / 2 + 8);
	if (!digits)
		return bytes_compare(a, b);
	uint8_t *other = digits + a.size * 5 / 2 + 4;
	size_t na = decimal_digits(a.data + 4, a.size - 4, digits), nb = decimal_digits(b.data + 4, b.size - 4, other);
	int order = 0;
	if (!na || !nb)
		order = (na != 0) - (nb != 0);
	else
		order = compare_i64((int64_t)na - scale_a, (int64_t)nb - scale_b);
	for (size_t i = 1; order == 0 && (i <= na || i <= nb); i++)
		order = (i <= na ? digits[na - i] : 0) - (i <= nb ? other[nb - i] : 0);
	free(digits);
	return negative ? -order : order;
}

int store_compare(const struct store_type *type, struct store_cell a, struct store_cell b)
{
	switch (type->id) {
	case STORE_BIGINT:
	case STORE_TIMESTAMP: return compare_i64((int64_t)be64_get(a.data), (int64_t)be64_get(b.data));
	case STORE_INT: return compare_i64((int32_t)be32_get(a.data), (int32_t)be32_get(b.data));
	case STORE_SMALLINT: return compare_i64((int16_t)be16_get(a.data), (int16_t)be16_get(b.data));
	case STORE_TINYINT: return compare_i64((int8_t)*a.data, (int8_t)*b.data);
	case STORE_DOUBLE: return compare_double(double_of(a.data), double_of(b.data));
	case STORE_FLOAT: return compare_double((double)float_of(a.data), (double)float_of(b.data));
	case STORE_UUID: return compare_uuid(a.data, b.data);
	case STORE_TIMEUUID: return compare_timeuuid(a.data, b.data);
	case STORE_BOOLEAN: return (*a.data != 0) - (*b.data != 0);
	case STORE_VARINT: return compare_varint(bytes_of(a.data, (size_t)a.size), bytes_of(b.data, (size_t)b.size));
	case STORE_DECIMAL: return compare_decimal(bytes_of(a.data, (size_t)a.size), bytes_of(b.data, (size_t)b.size));
	default: return bytes_compare(bytes_of(a.data, (size_t)a.size), bytes_of(b.data, (size_t)b.size)); /* text, blob, date, time ... */
	}
}
