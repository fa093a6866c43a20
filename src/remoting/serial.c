/* Serializers, and what they write with and read from. */
#include "remoting/remoting_internal.h"
#include <stdlib.h>

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = ((const struct sm_serializer *)a)->id, y = ((const struct sm_serializer *)b)->id;
	return x < y ? -1 : x > y;
}

static int compare_types(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct sm_serializer *)a)->type, y = (uintptr_t)((const struct sm_serializer *)b)->type;
	return x < y ? -1 : x > y;
}

enum sm_err remoting__serials_init(struct serials *s, const struct sm_serializer *list, uint32_t count, struct sm_error *reterr)
{
	size_t size = count * sizeof *list;
	*s = (struct serials){0};
	if (count > REMOTING_SERIALIZERS_MAX)
		return sm_fail(reterr, SM_TOO_LARGE, "%u serializers: there may be %u", count, REMOTING_SERIALIZERS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		const struct sm_serializer *one = &list[i];
		if (!one->type || !one->write || !one->read || one->version_min > one->version)
			return sm_fail(reterr, SM_INVALID,
				       "serializer %u: it needs a type, write, read, and a version_min that is not above its version",
				       one->id);
		if (!one->type->done)
			return sm_fail(reterr, SM_INVALID,
				       "serializer %u: messages of type %s are embedded in their owners (the type has no done): they "
				       "cannot travel",
				       one->id, one->type->name);
	}
	s->by_id = malloc(size ? size : 1);
	s->by_type = malloc(size ? size : 1);
	if (!s->by_id || !s->by_type)
		return sm_fail(reterr, SM_NO_MEMORY, "no memory for %u serializers", count);
	if (size) {
		memcpy(s->by_id, list, size);
		memcpy(s->by_type, list, size);
	}
	s->count = count;
	qsort(s->by_id, count, sizeof *list, compare_ids);
	qsort(s->by_type, count, sizeof *list, compare_types);
	for (uint32_t i = 1; i < count; i++)
		if (s->by_id[i].id == s->by_id[i - 1].id || s->by_type[i].type == s->by_type[i - 1].type)
			return sm_fail(reterr, SM_EXISTS, "two serializers have the id %u, or one type has two: an id belongs to one type",
				       s->by_id[i].id);
	return SM_OK;
}

void remoting__serials_done(struct serials *s)
{
	free(s->by_id);
	free(s->by_type);
}

const struct sm_serializer *remoting__serial_of_id(const struct serials *s, uint32_t id)
{
	struct sm_serializer key = {.id = id};
	return s->count ? bsearch(&key, s->by_id, s->count, sizeof key, compare_ids) : NULL;
}

const struct sm_serializer *remoting__serial_of_type(const struct serials *s, const struct sm_msg_type *type)
{
	struct sm_serializer key = {.type = type};
	return s->count ? bsearch(&key, s->by_type, s->count, sizeof key, compare_types) : NULL;
}

/* ---- writing ---- */

void sm_write_u8(struct sm_writer *out, uint8_t value)
{
	buf_u8(out->out, value);
}
void sm_write_u32(struct sm_writer *out, uint32_t value)
{
	buf_be32(out->out, value);
}
void sm_write_u64(struct sm_writer *out, uint64_t value)
{
	buf_be64(out->out, value);
}
void sm_write_bytes(struct sm_writer *out, const void *data, uint32_t size)
{
	buf_be32(out->out, size);
	if (size)
		buf_append(out->out, data, size);
}

/* "-": NULL. */
void sm_write_ref(struct sm_writer *out, struct sm_ref *ref)
{
	char text[REMOTING_TEXT_MAX + 1] = "-";
	if (ref && remoting__text_of(out->r, ref, text))
		snprintf(text, sizeof text, "smack://%s@%s/gone#%llx.1", out->r->name, out->r->where, (unsigned long long)out->r->uid);
	frame_string(out->out, bytes_str(text));
}

/* ---- reading ---- */

uint8_t sm_read_u8(struct sm_reader *in)
{
	return reader_u8(&in->in);
}
uint32_t sm_read_u32(struct sm_reader *in)
{
	return reader_be32(&in->in);
}
uint64_t sm_read_u64(struct sm_reader *in)
{
	return reader_be64(&in->in);
}
const void *sm_read_bytes(struct sm_reader *in, uint32_t *ret_size)
{
	uint32_t size = reader_be32(&in->in);
	const void *data = reader_take(&in->in, size);
	*ret_size = data ? size : 0;
	return data;
}
struct sm_ref *sm_read_ref(struct sm_reader *in)
{
	size_t size = reader_be16(&in->in);
	const uint8_t *data = reader_take(&in->in, size);
	struct sm_ref *ref = NULL;
	if (!data || (size == 1 && data[0] == '-'))
		return NULL;
	if (size > REMOTING_TEXT_MAX || remoting__ref_of(in->r, NULL, bytes_of(data, size), &ref)) {
		in->in.failed = true;
		return NULL;
	}
	return ref;
}
bool sm_read_failed(const struct sm_reader *in)
{
	return in->in.failed;
}
