/* Records of a topic, and the deliveries of a snapshot, as anyone may have put them there: what is understood comes back the same. */
#include "persist/persist_internal.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_records(struct bytes data)
{
	struct batch_reader reader;
	struct record record, back;
	struct record_mark mark;
	struct event_room *room = calloc(1, sizeof *room);
	struct group group = {0};
	if (!room || batch_reader_init(&reader, data)) {
		free(room);
		return;
	}
	buf_init(&room->text);
	buf_init(&group.bytes);
	while (!batch_next(&reader, &record)) {
		if (persist__record_mark(&record, &mark) || mark.kind != RECORD_EVENT || persist__record_event(&record, &mark, room))
			continue;
		for (uint32_t i = 0; i < room->event.tag_count; i++)
			assert(strlen(room->event.tags[i]) < buf_size(&room->text));
		buf_clear(&group.bytes);
		persist__group_add(&group, &record);
		struct byte_reader in = byte_reader(buf_bytes(&group.bytes));
		bool there = persist__group_next(&in, &back);
		assert(there && bytes_equal(back.value, record.value) && bytes_equal(back.headers_raw, record.headers_raw));
		assert(back.offset == record.offset && !reader_left(&in));
	}
	batch_reader_done(&reader);
	buf_done(&group.bytes);
	buf_done(&room->text);
	free(room);
}

static void look_at_deliveries(struct bytes data)
{
	struct deliveries list = {0};
	struct bytes rest;
	struct buf out;
	if (persist__deliveries_take(data, &list, &rest))
		return;
	buf_init(&out);
	persist__deliveries_put(&out, &list);
	assert(buf_size(&out) + rest.size == data.size && memcmp(out.data + out.start, data.data, buf_size(&out)) == 0);
	buf_done(&out);
	persist__deliveries_done(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		look_at_records(bytes_of(data + 1, size - 1));
	else
		look_at_deliveries(bytes_of(data + 1, size - 1));
	return 0;
}
