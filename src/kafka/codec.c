#include "kafka/codec.h"
#include <assert.h>
#include <stdlib.h>

#define UP 127
#define NO 127
#define S(name) static const struct kafka_field name##_fields[] = {
#define E(name)                                                                                             \
	}                                                                                                   \
	;                                                                                                   \
	const struct kafka_layout kafka_layout_##name = {#name, sizeof(struct kafka_##name), name##_fields, \
							 sizeof name##_fields / sizeof name##_fields[0]};
#define F(kind, name, from, to, null_from, absent) {#name, KIND_##kind, false, from, to, null_from, -1, NULL, absent},
#define L(kind, name, from, to, null_from) {#name, KIND_##kind, true, from, to, null_from, -1, NULL, 0},
#define A(of, name, from, to, null_from) {#name, KIND_STRUCT, true, from, to, null_from, -1, &kafka_layout_##of, 0},
#define O(of, name, from) {#name, KIND_STRUCT, false, from, UP, 0, -1, &kafka_layout_##of, 0},
#define N(of, name, from) {#name, KIND_STRUCT, false, from, UP, NO, -1, &kafka_layout_##of, 0},
#define T(kind, name, from, tag, null_from, absent) {#name, KIND_##kind, false, from, UP, null_from, tag, NULL, absent},
#define TO(of, name, from, tag) {#name, KIND_STRUCT, false, from, UP, NO, tag, &kafka_layout_##of, 0},
#define TN(of, name, from, tag) {#name, KIND_STRUCT, false, from, UP, 0, tag, &kafka_layout_##of, 0},
#define TA(of, name, from, tag) {#name, KIND_STRUCT, true, from, UP, NO, tag, &kafka_layout_##of, 0},
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

/* ---- where a member lies ----
 * Struct and table come from one list in one order, so a member's place follows from C's layout rule; codec_test holds every
 * computed size against sizeof. */

struct place {
	size_t size, align;
};
static const struct place kind_places[] = {
	[KIND_BOOL] = {sizeof(bool), _Alignof(bool)},
	[KIND_I8] = {1, 1},
	[KIND_I16] = {2, _Alignof(int16_t)},
	[KIND_I32] = {4, _Alignof(int32_t)},
	[KIND_I64] = {8, _Alignof(int64_t)},
	[KIND_F64] = {8, _Alignof(double)},
	[KIND_UUID] = {sizeof(struct uuid), _Alignof(struct uuid)},
	[KIND_STRING] = {sizeof(struct bytes), _Alignof(struct bytes)},
	[KIND_BYTES] = {sizeof(struct bytes), _Alignof(struct bytes)},
	[KIND_RECORDS] = {sizeof(struct kafka_records), _Alignof(struct kafka_records)},
	[KIND_STRUCT] = {sizeof(void *), _Alignof(void *)},
};

struct member {
	void *value;    /* the value, or the pointer of a list or structure */
	int32_t *count; /* of a list */
};

static size_t align_up(size_t at, size_t align)
{
	return (at + align - 1) & ~(align - 1);
}

/* The member that belongs to field; *at moves behind it. */
static struct member member_next(const struct kafka_field *field, void *message, size_t *at)
{
	struct member m = {0};
	struct place place = field->list ? kind_places[KIND_STRUCT] : kind_places[field->kind];
	*at = align_up(*at, place.align);
	m.value = (uint8_t *)message + *at;
	*at += place.size;
	if (field->list) {
		*at = align_up(*at, _Alignof(int32_t));
		m.count = (int32_t *)(void *)((uint8_t *)message + *at);
		*at += sizeof(int32_t);
	}
	return m;
}

/* A structure that may be null has a byte before it that tells. */
static bool may_be_null(const struct kafka_field *field)
{
	return field->tag < 0 && field->null_from != NO;
}

/* One with a tag has a number: 0 for null, 1 before what it holds. */
static bool may_be_null_in_tag(const struct kafka_field *field)
{
	return field->tag >= 0 && field->kind == KIND_STRUCT && !field->list && field->null_from != NO;
}

static size_t element_size(const struct kafka_field *field)
{
	return field->kind == KIND_STRUCT ? field->of->size : kind_places[field->kind].size;
}

size_t kafka__element_size(const struct kafka_field *field)
{
	return element_size(field);
}

struct kafka_member kafka__member(const struct kafka_layout *layout, void *message, const char *name)
{
	size_t at = 0;
	for (uint32_t i = 0; i < layout->field_count; i++) {
		struct member m = member_next(&layout->fields[i], message, &at);
		if (strcmp(layout->fields[i].name, name) == 0)
			return (struct kafka_member){&layout->fields[i], m.value, m.count};
	}
	return (struct kafka_member){0};
}

static void set_absent(const struct kafka_field *field, struct member m)
{
	if (field->list) {
		*(void **)m.value = NULL;
		*m.count = 0;
		return;
	}
	switch ((enum kafka_kind)field->kind) {
	case KIND_BOOL: *(bool *)m.value = field->absent != 0; break;
	case KIND_I8: *(int8_t *)m.value = (int8_t)field->absent; break;
	case KIND_I16: *(int16_t *)m.value = (int16_t)field->absent; break;
	case KIND_I32: *(int32_t *)m.value = (int32_t)field->absent; break;
	case KIND_I64: *(int64_t *)m.value = field->absent; break;
	default: memset(m.value, 0, kind_places[field->kind].size); break;
	}
}

void kafka__defaults(const struct kafka_layout *layout, void *message)
{
	size_t at = 0;
	memset(message, 0, layout->size);
	for (uint32_t i = 0; i < layout->field_count; i++)
		set_absent(&layout->fields[i], member_next(&layout->fields[i], message, &at));
	assert(align_up(at, _Alignof(void *)) >= layout->size);
}

/* ---- decoding ---- */

struct decoder {
	struct byte_reader *in;
	struct kafka_version version;
	struct arena *arena;
};

static enum sm_err decode_struct(struct decoder *d, const struct kafka_layout *layout, void *out);

/* A length as the version writes it: -1 for null. wide: 4 bytes in old versions, else 2. */
static enum sm_err decode_length(struct decoder *d, bool wide, int64_t *ret_length)
{
	int64_t n;
	if (d->version.flexible)
		n = (int64_t)reader_uvarint(d->in) - 1;
	else if (wide)
		n = (int32_t)reader_be32(d->in);
	else
		n = (int16_t)reader_be16(d->in);
	if (d->in->failed)
		return SM_TRUNCATED;
	if (n > INT32_MAX)
		return SM_CORRUPT;
	if (n < -1)
		n = -1; /* every negative length is null, as to Kafka */
	/* No element takes less than a byte: what claims more elements than bytes is refused before memory is taken for it. */
	if (n > (int64_t)reader_left(d->in))
		return SM_TRUNCATED;
	*ret_length = n;
	return SM_OK;
}

static enum sm_err decode_run(struct decoder *d, const struct kafka_field *field, bool wide, const uint8_t **ret_data, size_t *ret_size)
{
	int64_t n;
	enum sm_err err = decode_length(d, wide, &n);
	if (err)
		return err;
	if (n < 0) {
		if (d->version.version < field->null_from)
			return SM_CORRUPT;
		*ret_data = NULL;
		*ret_size = 0;
		return SM_OK;
	}
	*ret_data = reader_take(d->in, (size_t)n);
	*ret_size = (size_t)n;
	return SM_OK;
}

static enum sm_err decode_value(struct decoder *d, const struct kafka_field *field, void *out)
{
	switch ((enum kafka_kind)field->kind) {
	case KIND_BOOL: *(bool *)out = reader_u8(d->in) != 0; break;
	case KIND_I8: *(int8_t *)out = (int8_t)reader_u8(d->in); break;
	case KIND_I16: *(int16_t *)out = (int16_t)reader_be16(d->in); break;
	case KIND_I32: *(int32_t *)out = (int32_t)reader_be32(d->in); break;
	case KIND_I64: *(int64_t *)out = (int64_t)reader_be64(d->in); break;
	case KIND_F64: {
		uint64_t bits = reader_be64(d->in);
		memcpy(out, &bits, sizeof bits);
		break;
	}
	case KIND_UUID: {
		const uint8_t *p = reader_take(d->in, sizeof(struct uuid));
		if (p)
			memcpy(out, p, sizeof(struct uuid));
		break;
	}
	case KIND_STRING:
	case KIND_BYTES: {
		struct bytes *b = out;
		return decode_run(d, field, field->kind == KIND_BYTES, &b->data, &b->size);
	}
	case KIND_RECORDS: {
		struct kafka_records *r = out;
		r->splice = NULL;
		return decode_run(d, field, true, &r->data, &r->size);
	}
	case KIND_STRUCT: return decode_struct(d, field->of, out);
	}
	return d->in->failed ? SM_TRUNCATED : SM_OK;
}

static enum sm_err decode_list(struct decoder *d, const struct kafka_field *field, struct member m)
{
	int64_t n;
	enum sm_err err = decode_length(d, true, &n);
	if (err)
		return err;
	if (n < 0 && d->version.version < field->null_from)
		return SM_CORRUPT;
	*m.count = (int32_t)n;
	*(void **)m.value = NULL;
	if (n <= 0)
		return SM_OK;
	size_t step = element_size(field);
	uint8_t *items = arena_alloc(d->arena, (size_t)n * step);
	if (!items)
		return arena_error(d->arena);
	*(void **)m.value = items;
	for (int64_t i = 0; i < n; i++) {
		if ((err = decode_value(d, field, items + (size_t)i * step)))
			return err;
	}
	return SM_OK;
}

static enum sm_err decode_field(struct decoder *d, const struct kafka_field *field, struct member m)
{
	if (field->list)
		return decode_list(d, field, m);
	if (field->kind == KIND_STRUCT) {
		if (may_be_null(field) && (int8_t)reader_u8(d->in) < 0)
			return d->in->failed ? SM_TRUNCATED : SM_OK; /* null */
		if (may_be_null_in_tag(field) && reader_uvarint(d->in) == 0)
			return d->in->failed ? SM_TRUNCATED : SM_OK;
		void *out = arena_alloc(d->arena, field->of->size);
		if (!out)
			return arena_error(d->arena);
		*(void **)m.value = out;
		return decode_struct(d, field->of, out);
	}
	return decode_value(d, field, m.value);
}

static enum sm_err decode_tag(struct decoder *d, const struct kafka_layout *layout, void *out, uint64_t tag, struct bytes value)
{
	size_t at = 0;
	for (uint32_t i = 0; i < layout->field_count; i++) {
		const struct kafka_field *field = &layout->fields[i];
		struct member m = member_next(field, out, &at);
		if (field->tag < 0 || (uint64_t)field->tag != tag || d->version.version < field->from)
			continue;
		struct byte_reader in = byte_reader(value);
		struct decoder inner = {&in, d->version, d->arena};
		enum sm_err err = decode_field(&inner, field, m);
		return err ? err : reader_left(&in) ? SM_CORRUPT : SM_OK;
	}
	return SM_OK; /* a newer peer's: skipped */
}

static enum sm_err decode_tags(struct decoder *d, const struct kafka_layout *layout, void *out)
{
	uint64_t count = reader_uvarint(d->in);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t tag = reader_uvarint(d->in), size = reader_uvarint(d->in);
		const uint8_t *p = reader_take(d->in, size);
		if (!p)
			return SM_TRUNCATED;
		enum sm_err err = decode_tag(d, layout, out, tag, bytes_of(p, size));
		if (err)
			return err;
	}
	return d->in->failed ? SM_TRUNCATED : SM_OK;
}

static enum sm_err decode_struct(struct decoder *d, const struct kafka_layout *layout, void *out)
{
	size_t at = 0;
	for (uint32_t i = 0; i < layout->field_count; i++) {
		const struct kafka_field *field = &layout->fields[i];
		struct member m = member_next(field, out, &at);
		if (field->tag >= 0 || d->version.version < field->from || d->version.version > field->to) {
			set_absent(field, m);
			continue;
		}
		enum sm_err err = decode_field(d, field, m);
		if (err)
			return err;
	}
	return d->version.flexible ? decode_tags(d, layout, out) : SM_OK;
}

enum sm_err kafka__decode(const struct kafka_layout *layout, struct kafka_version version, struct byte_reader *in, struct arena *arena,
			  void *out)
{
	struct decoder d = {in, version, arena};
	memset(out, 0, layout->size);
	return decode_struct(&d, layout, out);
}

/* ---- encoding ---- */

struct encoder {
	struct kafka_writer *w;
	struct kafka_version version;
};

static enum sm_err encode_struct(struct encoder *e, const struct kafka_layout *layout, const void *message);

static enum sm_err encode_length(struct encoder *e, bool wide, int64_t n)
{
	if (n > INT32_MAX || (!wide && !e->version.flexible && n > INT16_MAX))
		return SM_TOO_LARGE;
	if (e->version.flexible)
		buf_uvarint(e->w->out, (uint64_t)(n + 1));
	else if (wide)
		buf_be32(e->w->out, (uint32_t)n);
	else
		buf_be16(e->w->out, (uint16_t)n);
	return SM_OK;
}

/* A null where the version allows none goes as empty. */
static enum sm_err encode_run(struct encoder *e, const struct kafka_field *field, bool wide, struct bytes b)
{
	bool null = !b.data && e->version.version >= field->null_from;
	enum sm_err err = encode_length(e, wide, null ? -1 : (int64_t)b.size);
	if (!err && b.size)
		buf_append_bytes(e->w->out, b);
	return err;
}

static enum sm_err encode_splice(struct encoder *e, const struct kafka_records *r)
{
	struct kafka_writer *w = e->w;
	enum sm_err err = encode_length(e, true, (int64_t)r->size);
	if (err)
		return err;
	if (w->splice_count == w->splice_cap) {
		uint32_t cap = w->splice_cap ? w->splice_cap * 2 : 8;
		struct kafka_splice *more = arena_alloc(w->arena, cap * sizeof *more);
		if (!more)
			return arena_error(w->arena);
		if (w->splice_count)
			memcpy(more, w->splices, w->splice_count * sizeof *more);
		w->splices = more;
		w->splice_cap = cap;
	}
	w->splices[w->splice_count++] = (struct kafka_splice){buf_size(w->out), r->splice, r->size};
	w->spliced_bytes += r->size;
	return SM_OK;
}

static enum sm_err encode_value(struct encoder *e, const struct kafka_field *field, const void *value)
{
	struct buf *out = e->w->out;
	switch ((enum kafka_kind)field->kind) {
	case KIND_BOOL: buf_u8(out, *(const bool *)value); return SM_OK;
	case KIND_I8: buf_u8(out, (uint8_t) * (const int8_t *)value); return SM_OK;
	case KIND_I16: buf_be16(out, (uint16_t) * (const int16_t *)value); return SM_OK;
	case KIND_I32: buf_be32(out, (uint32_t) * (const int32_t *)value); return SM_OK;
	case KIND_I64: buf_be64(out, (uint64_t) * (const int64_t *)value); return SM_OK;
	case KIND_F64: {
		uint64_t bits;
		memcpy(&bits, value, sizeof bits);
		buf_be64(out, bits);
		return SM_OK;
	}
	case KIND_UUID: buf_append(out, value, sizeof(struct uuid)); return SM_OK;
	case KIND_STRING: return encode_run(e, field, false, *(const struct bytes *)value);
	case KIND_BYTES: return encode_run(e, field, true, *(const struct bytes *)value);
	case KIND_RECORDS: {
		const struct kafka_records *r = value;
		return r->splice ? encode_splice(e, r) : encode_run(e, field, true, bytes_of(r->data, r->size));
	}
	case KIND_STRUCT: return encode_struct(e, field->of, value);
	}
	return SM_INVALID;
}

static enum sm_err encode_field(struct encoder *e, const struct kafka_field *field, struct member m)
{
	if (!field->list && field->kind == KIND_STRUCT) {
		const void *value = *(void **)m.value;
		if (may_be_null(field))
			buf_u8(e->w->out, value ? 1 : 0xff);
		else if (may_be_null_in_tag(field))
			buf_uvarint(e->w->out, value != NULL);
		else if (!value)
			return SM_INVALID;
		return value ? encode_struct(e, field->of, value) : SM_OK;
	}
	if (!field->list)
		return encode_value(e, field, m.value);
	int32_t n = *m.count;
	if (n < 0 && e->version.version < field->null_from)
		n = 0;
	enum sm_err err = encode_length(e, true, n);
	size_t step = element_size(field);
	const uint8_t *items = *(void **)m.value;
	for (int32_t i = 0; !err && i < n; i++)
		err = encode_value(e, field, items + (size_t)i * step);
	return err;
}

static bool is_absent(const struct kafka_field *field, struct member m)
{
	static const struct uuid zero;
	if (field->list)
		return *m.count <= 0;
	if (may_be_null_in_tag(field))
		return false;
	switch ((enum kafka_kind)field->kind) {
	case KIND_BOOL: return *(bool *)m.value == (field->absent != 0);
	case KIND_I8: return *(int8_t *)m.value == field->absent;
	case KIND_I16: return *(int16_t *)m.value == field->absent;
	case KIND_I32: return *(int32_t *)m.value == field->absent;
	case KIND_I64: return *(int64_t *)m.value == field->absent;
	case KIND_UUID: return memcmp(m.value, &zero, sizeof zero) == 0;
	default: return *(void **)m.value == NULL;
	}
}

/* A tagged value is preceded by its size, so it is written to a buffer of its own first; there are few and they are small. */
static enum sm_err encode_tag(struct encoder *e, const struct kafka_field *field, struct member m)
{
	struct buf value;
	buf_init(&value);
	struct kafka_writer w = {.out = &value, .arena = e->w->arena};
	struct encoder inner = {&w, e->version};
	enum sm_err err = encode_field(&inner, field, m);
	assert(w.splice_count == 0);
	if (!err && value.failed)
		err = SM_NO_MEMORY;
	if (!err) {
		buf_uvarint(e->w->out, (uint64_t)field->tag);
		buf_uvarint(e->w->out, buf_size(&value));
		buf_append_bytes(e->w->out, buf_bytes(&value));
	}
	buf_done(&value);
	return err;
}

static enum sm_err encode_tags(struct encoder *e, const struct kafka_layout *layout, const void *message)
{
	uint64_t count = 0;
	for (int writing = 0; writing < 2; writing++) {
		size_t at = 0;
		for (uint32_t i = 0; i < layout->field_count; i++) {
			const struct kafka_field *field = &layout->fields[i];
			struct member m = member_next(field, (void *)(uintptr_t)message, &at);
			if (field->tag < 0 || e->version.version < field->from || is_absent(field, m))
				continue;
			count++;
			enum sm_err err = writing ? encode_tag(e, field, m) : SM_OK;
			if (err)
				return err;
		}
		if (!writing)
			buf_uvarint(e->w->out, count);
	}
	return SM_OK;
}

static enum sm_err encode_struct(struct encoder *e, const struct kafka_layout *layout, const void *message)
{
	size_t at = 0;
	for (uint32_t i = 0; i < layout->field_count; i++) {
		const struct kafka_field *field = &layout->fields[i];
		struct member m = member_next(field, (void *)(uintptr_t)message, &at);
		if (field->tag >= 0 || e->version.version < field->from || e->version.version > field->to)
			continue;
		enum sm_err err = encode_field(e, field, m);
		if (err)
			return err;
	}
	return e->version.flexible ? encode_tags(e, layout, message) : SM_OK;
}

enum sm_err kafka__encode(const struct kafka_layout *layout, struct kafka_version version, const void *message, struct kafka_writer *w)
{
	struct encoder e = {w, version};
	enum sm_err err = encode_struct(&e, layout, message);
	if (!err && w->out->failed)
		err = SM_NO_MEMORY;
	if (!err && buf_size(w->out) + w->spliced_bytes > INT32_MAX)
		err = SM_TOO_LARGE;
	return err;
}
