/* CQL's types: their names, sizes, what is a value of one, and Cassandra's comparison of two values; composite.c has the types that are
 * made of others. Source: native protocol v4, section 6; the comparison order is the one that Cassandra 5.0's clustering columns show. */
#include "store/store_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* The bytes of each value, or STORE_SIZE_VARIABLE. */
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
	{STORE_COUNTER, "counter", 8},
	{STORE_DECIMAL, "decimal", STORE_SIZE_VARIABLE},
	{STORE_DURATION, "duration", STORE_SIZE_VARIABLE},
	{STORE_INET, "inet", STORE_SIZE_VARIABLE},
	{STORE_VARINT, "varint", STORE_SIZE_VARIABLE},
	{STORE_LIST, "list", STORE_SIZE_VARIABLE},
	{STORE_MAP, "map", STORE_SIZE_VARIABLE},
	{STORE_SET, "set", STORE_SIZE_VARIABLE},
	{STORE_TUPLE, "tuple", STORE_SIZE_VARIABLE},
	{STORE_UDT, "", STORE_SIZE_VARIABLE}, /* each has a name of its own */
	{STORE_VECTOR, "vector", STORE_SIZE_VARIABLE},
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

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool store_type_equal(const struct store_type *a, const struct store_type *b)
{
	if (a->id != b->id || a->element_count != b->element_count || a->frozen != b->frozen || a->dimension != b->dimension ||
	    !same_text(a->keyspace, b->keyspace) || !same_text(a->name, b->name))
		return false;
	for (uint16_t i = 0; i < a->element_count; i++)
		if (!store_type_equal(&a->elements[i], &b->elements[i]) || (a->fields && !same_text(a->fields[i], b->fields[i])))
			return false;
	return true;
}

static bool copy_text(const char *from, struct arena *arena, const char **ret)
{
	*ret = from ? arena_string(arena, from, strlen(from)) : NULL;
	return *ret || !from;
}

/* replacement: stands for the user type of its name wherever that is used, or NULL; freeze: all that can be is frozen. */
static bool copy(const struct store_type *from, const struct store_type *replacement, bool freeze, struct arena *arena,
		 struct store_type *ret_type)
{
	bool frozen = from->frozen || (freeze && store_type_multi_cell(from)), udt = from->id == STORE_UDT;
	if (udt && replacement && same_text(from->keyspace, replacement->keyspace) && same_text(from->name, replacement->name))
		from = replacement;
	struct store_type t = *from, *elements = NULL;
	t.frozen = frozen;
	if (!copy_text(from->keyspace, arena, &t.keyspace) || !copy_text(from->name, arena, &t.name))
		return false;
	if (from->element_count && from->elements) {
		const char **fields = from->fields ? arena_alloc(arena, from->element_count * sizeof *fields) : NULL;
		elements = arena_alloc(arena, from->element_count * sizeof *elements);
		if (!elements || (from->fields && !fields))
			return false;
		for (uint16_t i = 0; i < from->element_count; i++)
			if ((fields && !copy_text(from->fields[i], arena, &fields[i])) ||
			    !copy(&from->elements[i], replacement, freeze || frozen || from->id == STORE_TUPLE, arena, &elements[i]))
				return false;
		t.fields = fields;
	}
	t.elements = elements;
	*ret_type = t;
	return true;
}

bool store__type_copy(const struct store_type *from, const struct store_type *replacement, struct arena *arena, struct store_type *ret_type)
{
	return copy(from, replacement, false, arena, ret_type);
}

bool store_type_freeze(const struct store_type *type, struct arena *arena, struct store_type *ret_type)
{
	return copy(type, NULL, true, arena, ret_type);
}

bool store_type_uses(const struct store_type *type, const char *keyspace, const char *name)
{
	if (type->id == STORE_UDT && same_text(type->keyspace, keyspace) && same_text(type->name, name))
		return true;
	for (uint16_t i = 0; i < type->element_count; i++)
		if (store_type_uses(&type->elements[i], keyspace, name))
			return true;
	return false;
}

/* ---- names ---- */

static const char *udt_name(const struct store_type *type, struct arena *arena)
{
	bool plain = islower((unsigned char)type->name[0]);
	for (const char *c = type->name; *c; c++)
		plain &= islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_';
	return plain ? type->name : arena_printf(arena, "\"%s\"", type->name);
}

const char *store_type_name(const struct store_type *type, struct arena *arena)
{
	const struct type_info *info = find(type->id);
	if (!info)
		return "unknown";
	bool frozen = type->frozen || type->id == STORE_TUPLE;
	const char *text = info->name;
	if (type->id == STORE_UDT) {
		text = udt_name(type, arena);
	} else if (type->id == STORE_VECTOR) {
		const char *element = store_type_name(&type->elements[0], arena);
		text = arena_printf(arena, "vector<%s, %u>", element ? element : "unknown", type->dimension);
	} else if (type->element_count) {
		text = arena_printf(arena, "%s<", info->name);
		for (uint16_t i = 0; text && i < type->element_count; i++) {
			const char *element = store_type_name(&type->elements[i], arena);
			text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", element ? element : "unknown");
		}
		text = text ? arena_printf(arena, "%s>", text) : NULL;
	}
	return frozen && text ? arena_printf(arena, "frozen<%s>", text) : text;
}

#define TUPLE_ELEMENTS_MAX 64

struct type_text {
	const char *at;
	struct arena *arena;
};

static bool skip(struct type_text *t, char c)
{
	while (isspace((unsigned char)*t->at))
		t->at++;
	if (*t->at != c)
		return false;
	t->at++;
	return true;
}

static enum sm_err parse_type(struct type_text *t, int depth, struct store_type *ret_type);

/* What stands between < and > of the type that ret_type begins. */
static enum sm_err parse_elements(struct type_text *t, int depth, struct store_type *ret_type)
{
	struct store_type elements[TUPLE_ELEMENTS_MAX];
	uint16_t n = 0, wanted = ret_type->id == STORE_MAP ? 2 : ret_type->id == STORE_TUPLE ? 0 : 1;
	if (!skip(t, '<'))
		return SM_NOT_FOUND;
	do {
		if (n == TUPLE_ELEMENTS_MAX)
			return SM_UNSUPPORTED;
		enum sm_err err = parse_type(t, depth + 1, &elements[n]);
		if (err)
			return err;
		n++;
		if (ret_type->id == STORE_VECTOR) {
			char *end;
			if (!skip(t, ','))
				return SM_NOT_FOUND;
			ret_type->dimension = (uint32_t)strtoul(t->at, &end, 10);
			t->at = end;
			break;
		}
	} while (skip(t, ','));
	if (!skip(t, '>') || (wanted && n != wanted))
		return SM_NOT_FOUND;
	struct store_type *copies = t->arena ? arena_alloc(t->arena, n * sizeof *copies) : NULL;
	if (!copies)
		return SM_NO_MEMORY;
	memcpy(copies, elements, n * sizeof *copies);
	ret_type->elements = copies;
	ret_type->element_count = n;
	return SM_OK;
}

static enum sm_err parse_type(struct type_text *t, int depth, struct store_type *ret_type)
{
	char lower[16];
	size_t n = 0;
	if (depth > STORE_TYPE_DEPTH_MAX)
		return SM_UNSUPPORTED;
	while (isspace((unsigned char)*t->at))
		t->at++;
	for (; isalpha((unsigned char)*t->at); n++, t->at++) {
		if (n == sizeof lower - 1)
			return SM_NOT_FOUND;
		lower[n] = (char)tolower((unsigned char)*t->at);
	}
	lower[n] = 0;
	if (strcmp(lower, "frozen") == 0) {
		struct store_type inner;
		if (!skip(t, '<'))
			return SM_NOT_FOUND;
		enum sm_err err = parse_type(t, depth + 1, &inner);
		if (err)
			return err;
		if (!skip(t, '>'))
			return SM_NOT_FOUND;
		return t->arena && store_type_freeze(&inner, t->arena, ret_type) ? SM_OK : SM_NO_MEMORY;
	}
	for (size_t i = 0; n && i < TYPE_COUNT; i++) {
		if (strcmp(type_table[i].name, lower) != 0)
			continue;
		*ret_type = (struct store_type){.id = type_table[i].id};
		return store__type_composite(ret_type) ? parse_elements(t, depth, ret_type) : SM_OK;
	}
	return SM_NOT_FOUND;
}

enum sm_err store_type_parse(const char *name, struct arena *arena, struct store_type *ret_type)
{
	struct type_text t = {name, arena};
	struct store_type type;
	enum sm_err err = parse_type(&t, 0, &type);
	skip(&t, ' ');
	if (err || *t.at)
		return err ? err : SM_NOT_FOUND;
	*ret_type = type;
	return SM_OK;
}

/* ---- values ---- */

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

/* Cassandra keeps values of no bytes for the sake of its oldest clients; they are before all others. */
static bool empty_ok(const struct store_type *type)
{
	return type->id != STORE_SMALLINT && type->id != STORE_TINYINT && type->id != STORE_DATE && type->id != STORE_TIME &&
	       type->id != STORE_DURATION && type->id != STORE_COUNTER && !(type->id >= STORE_LIST && type->id <= STORE_SET) &&
	       type->id != STORE_VECTOR;
}

bool store__key_value_ok(const struct store_type *type, struct store_cell value)
{
	struct store_value_reader r;
	struct store_cell element;
	const struct store_type *element_type;
	int size = store__type_size(type);
	if (!store__type_composite(type))
		return (size < 0 || value.size == size) && value.size >= (type->id == STORE_DECIMAL ? 5 : type->id == STORE_VARINT ? 1 : 0);
	r = store_value_reader(type, value);
	while (store_value_next(&r, &element, &element_type))
		if (element.size >= 0 && !store__key_value_ok(element_type, element))
			return false;
	return true;
}

bool store_value_ok(const struct store_type *type, struct store_cell value)
{
	if (value.size < 0)
		return true;
	int size = store__type_size(type);
	if (value.size == 0 && empty_ok(type))
		return true;
	if (size == STORE_SIZE_UNSUPPORTED || (size >= 0 && value.size != size))
		return false;
	if (store__type_composite(type))
		return store__composite_ok(type, value);
	switch (type->id) {
	case STORE_ASCII: return ascii_ok(value.data, (size_t)value.size);
	case STORE_TEXT: return utf8_ok(value.data, (size_t)value.size);
	case STORE_TIMEUUID: return value.data[6] >> 4 == 1;
	case STORE_INET: return value.size == 4 || value.size == 16; /* or empty, as above */
	case STORE_VARINT: return value.size >= 1;
	case STORE_DECIMAL: return value.size >= 4; /* a scale and a number, which may be empty too */
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

size_t store__decimal_digits(const uint8_t *p, size_t size, uint8_t *digits)
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
	if (a.size < 5 || b.size < 5)
		return (a.size >= 5) - (b.size >= 5);
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
	size_t na = store__decimal_digits(a.data + 4, a.size - 4, digits), nb = store__decimal_digits(b.data + 4, b.size - 4, other);
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
	if (a.size == 0 || b.size == 0)
		return (a.size != 0) - (b.size != 0);
	switch (type->id) {
	case STORE_BIGINT:
	case STORE_COUNTER:
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
	case STORE_LIST:
	case STORE_SET:
	case STORE_MAP:
	case STORE_TUPLE:
	case STORE_UDT:
	case STORE_VECTOR: return store__composite_compare(type, a, b);
	default: return bytes_compare(bytes_of(a.data, (size_t)a.size), bytes_of(b.data, (size_t)b.size)); /* text, blob, date, time ... */
	}
}
