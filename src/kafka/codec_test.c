/* Every message in every version: bytes made here, by a second and simpler reading of the tables, must survive decode and encode
 * unchanged, and no proper prefix of them may be accepted. */
#include "kafka/codec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct subject {
	const char *name;
	const struct kafka_layout *request, *response;
	int16_t min, max, flexible;
};
static const struct subject subjects[] = {
#define X(NAME, name, key, advertised, min, max, flexible, handler) \
	{#name, &kafka_layout_##name##_request, &kafka_layout_##name##_response, min, max, flexible},
#include "kafka/apis.def"
#undef X
};
#define SUBJECTS (sizeof subjects / sizeof subjects[0])

struct maker {
	struct buf *out;
	struct kafka_version version;
	uint32_t seed;
	bool nulls;
};

static uint32_t dice(struct maker *m, uint32_t n)
{
	m->seed = m->seed * 1664525u + 1013904223u;
	return (m->seed >> 8) % n;
}

static void make_struct(struct maker *m, const struct kafka_layout *layout);

static void make_length(struct maker *m, bool wide, int n)
{
	if (m->version.flexible)
		buf_uvarint(m->out, (uint64_t)(n + 1));
	else if (wide)
		buf_be32(m->out, (uint32_t)n);
	else
		buf_be16(m->out, (uint16_t)n);
}

static void make_noise(struct maker *m, size_t size)
{
	for (size_t i = 0; i < size; i++)
		buf_u8(m->out, (uint8_t)(1 + dice(m, 255)));
}

static void make_value(struct maker *m, const struct kafka_field *field)
{
	bool null = m->nulls && m->version.version >= field->null_from;
	int n = null ? -1 : (int)dice(m, 5);
	switch ((enum kafka_kind)field->kind) {
	case KIND_BOOL: buf_u8(m->out, field->tag >= 0 ? !field->absent : dice(m, 2) != 0); break;
	case KIND_I8: make_noise(m, 1); break;
	case KIND_I16: make_noise(m, 2); break;
	case KIND_I32: make_noise(m, 4); break;
	case KIND_I64:
	case KIND_F64: make_noise(m, 8); break;
	case KIND_UUID: make_noise(m, 16); break;
	case KIND_STRING:
		make_length(m, false, n);
		make_noise(m, n > 0 ? (size_t)n : 0);
		break;
	case KIND_BYTES:
	case KIND_RECORDS:
		make_length(m, true, n);
		make_noise(m, n > 0 ? (size_t)n : 0);
		break;
	case KIND_STRUCT: make_struct(m, field->of); break;
	}
}

static void make_field(struct maker *m, const struct kafka_field *field)
{
	if (!field->list && field->kind == KIND_STRUCT && field->tag < 0 && field->null_from == 0) {
		buf_u8(m->out, m->nulls ? 0xff : 1);
		if (m->nulls)
			return;
	}
	if (!field->list) {
		make_value(m, field);
		return;
	}
	int n = m->nulls && m->version.version >= field->null_from ? -1 : 1 + (int)dice(m, 2);
	make_length(m, true, n);
	for (int i = 0; i < n; i++)
		make_value(m, field);
}

static bool in_version(const struct maker *m, const struct kafka_field *field)
{
	return m->version.version >= field->from && m->version.version <= field->to;
}

static void make_struct(struct maker *m, const struct kafka_layout *layout)
{
	unsigned tags = 0;
	for (uint32_t i = 0; i < layout->field_count; i++) {
		if (!in_version(m, &layout->fields[i]))
			continue;
		if (layout->fields[i].tag >= 0)
			tags += !m->nulls;
		else
			make_field(m, &layout->fields[i]);
	}
	if (!m->version.flexible)
		return;
	buf_uvarint(m->out, tags);
	for (uint32_t i = 0; i < layout->field_count && !m->nulls; i++) {
		if (layout->fields[i].tag < 0 || !in_version(m, &layout->fields[i]))
			continue;
		struct buf value, *out = m->out;
		buf_init(&value);
		m->out = &value;
		make_field(m, &layout->fields[i]);
		m->out = out;
		buf_uvarint(out, (uint64_t)layout->fields[i].tag);
		buf_uvarint(out, buf_size(&value));
		buf_append_bytes(out, buf_bytes(&value));
		buf_done(&value);
	}
}

static enum sm_err decode(const struct kafka_layout *layout, struct kafka_version version, struct bytes in, struct arena *arena, void **ret)
{
	struct byte_reader r = byte_reader(in);
	*ret = arena_alloc(arena, layout->size);
	return kafka__decode(layout, version, &r, arena, *ret);
}

static void round_trip(const struct kafka_layout *layout, struct kafka_version version, uint32_t seed, bool nulls)
{
	struct buf wire, again;
	struct arena arena;
	buf_init(&wire);
	buf_init(&again);
	arena_init(&arena, 0);
	struct maker m = {&wire, version, seed, nulls};
	make_struct(&m, layout);
	void *message;
	enum sm_err err = decode(layout, version, buf_bytes(&wire), &arena, &message);
	if (err)
		fail_msg("%s v%d: decode: %s", layout->name, version.version, sm_err_name(err));
	struct kafka_writer w = {.out = &again, .arena = &arena};
	assert_int_equal(kafka__encode(layout, version, message, &w), SM_OK);
	if (!bytes_equal(buf_bytes(&wire), buf_bytes(&again)))
		fail_msg("%s v%d: %zu bytes in, %zu bytes out, or others", layout->name, version.version, buf_size(&wire),
			 buf_size(&again));
	for (size_t n = 0; n < buf_size(&wire); n++) {
		/* A copy of the exact size, so that ASan sees a read behind it. */
		uint8_t *cut = malloc(n ? n : 1);
		memcpy(cut, wire.data + wire.start, n);
		arena_reset(&arena);
		if (decode(layout, version, bytes_of(cut, n), &arena, &message) == SM_OK)
			fail_msg("%s v%d: accepted %zu of %zu bytes", layout->name, version.version, n, buf_size(&wire));
		free(cut);
	}
	arena_done(&arena);
	buf_done(&wire);
	buf_done(&again);
}

static void every_message_and_version_round_trips_and_no_truncation_is_accepted(void **state)
{
	for (size_t i = 0; i < SUBJECTS; i++) {
		const struct subject *s = &subjects[i];
		for (int16_t v = s->min; v <= s->max; v++) {
			struct kafka_version version = {v, v >= s->flexible};
			for (uint32_t seed = 0; seed < 4; seed++) {
				round_trip(s->request, version, seed, seed == 3);
				round_trip(s->response, version, seed, seed == 3);
			}
		}
	}
}

/* member_next computes places; a struct whose C layout differed would be overrun or underrun here. */
static size_t layout_size(const struct kafka_layout *layout)
{
	static const size_t sizes[] = {1, 1, 2, 4, 8, 8, 16, sizeof(struct bytes), sizeof(struct bytes), sizeof(struct kafka_records), 8};
	static const size_t aligns[] = {1, 1, 2, 4, 8, 8, 1, 8, 8, 8, 8};
	size_t at = 0, most = 1;
	for (uint32_t i = 0; i < layout->field_count; i++) {
		unsigned kind = layout->fields[i].list ? KIND_STRUCT : layout->fields[i].kind;
		at = (at + aligns[kind] - 1) & ~(aligns[kind] - 1);
		at += sizes[kind];
		most = aligns[kind] > most ? aligns[kind] : most;
		if (layout->fields[i].list) {
			at = (at + 3) & ~(size_t)3;
			at += 4;
		}
	}
	return (at + most - 1) & ~(most - 1);
}

static void every_struct_lies_as_its_table_says(void **state)
{
#define S(name)                                                               \
	if (layout_size(&kafka_layout_##name) != sizeof(struct kafka_##name)) \
		fail_msg("%s: %zu, not %zu", #name, layout_size(&kafka_layout_##name), sizeof(struct kafka_##name));
#define E(...)
#define F(...)
#define L(...)
#define A(...)
#define T(...)
#define O(...)
#define N(...)
#define TO(...)
#define TN(...)
#define TA(...)
#include "kafka/messages.def"
}

static void unknown_tags_are_skipped(void **state)
{
	struct arena arena;
	arena_init(&arena, 0);
	struct kafka_heartbeat_response *r;
	assert_int_equal(decode(&kafka_layout_heartbeat_response, (struct kafka_version){4, true}, BYTES("\0\0\0\7\0\5\2\3\2xy\11\0"),
				&arena, (void **)&r),
			 SM_OK);
	assert_int_equal(r->throttle_time_ms, 7);
	assert_int_equal(r->error_code, 5);
	arena_done(&arena);
}

static void what_cannot_be_is_refused(void **state)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	struct kafka_version old = {0, false}, flexible = {4, true};
	void *m;
	/* a null where none may be, a count above the bytes that are left; a tag twice is none of these, nor an unknown one */
	assert_int_equal(decode(&kafka_layout_heartbeat_request, old, BYTES("\377\377\0\0\0\1\0\0"), &arena, &m), SM_CORRUPT);
	assert_int_equal(decode(&kafka_layout_delete_groups_request, old, BYTES("\177\377\377\377"), &arena, &m), SM_TRUNCATED);
	assert_int_equal(decode(&kafka_layout_delete_groups_request, old, BYTES("\200\0\0\0"), &arena, &m), SM_CORRUPT);
	assert_int_equal(decode(&kafka_layout_heartbeat_response, flexible, BYTES("\0\0\0\0\0\0\2\1\0\1\0"), &arena, &m), SM_OK);
	assert_int_equal(decode(&kafka_layout_heartbeat_response, flexible, BYTES("\0\0\0\0\0\0\1\0\1\0"), &arena, &m), SM_OK);
	arena_done(&arena);
}

static void a_list_bomb_stops_at_the_arenas_bound(void **state)
{
	struct arena arena;
	arena_init(&arena, 1 << 20);
	size_t size = 1 << 20;
	uint8_t *bomb = calloc(1, size);
	be32_put(bomb, (uint32_t)size - 4);
	void *m;
	assert_int_not_equal(decode(&kafka_layout_metadata_request, (struct kafka_version){1, false}, bytes_of(bomb, size), &arena, &m),
			     SM_OK);
	free(bomb);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_and_version_round_trips_and_no_truncation_is_accepted),
		cmocka_unit_test(every_struct_lies_as_its_table_says),
		cmocka_unit_test(unknown_tags_are_skipped),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(a_list_bomb_stops_at_the_arenas_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
