/* Reading a segment's file without trusting it: forward from a position, batch by batch, each checked by header, offset and CRC; and past
 * damage to the next batch that is right. */
#include "log/log_internal.h"
#include <stdlib.h>

#define SCAN_CHUNK (1u << 20)

/* Where things stand in a batch. Source: Kafka's record batch, magic 2. */
enum { AT_SIZE = 8, AT_EPOCH = 12, AT_MAGIC = 16 };

void log__scan_done(struct scanner *s)
{
	free(s->data);
	s->data = NULL;
	s->cap = s->got = 0;
}

enum sm_err log__scan_bytes(struct scanner *s, size_t want, struct bytes *ret, struct sm_error *reterr)
{
	uint64_t left = s->position < s->size ? s->size - s->position : 0;
	if (want > left)
		want = (size_t)left;
	if (s->position < s->at || s->position + want > s->at + s->got) {
		size_t size = want > SCAN_CHUNK ? want : SCAN_CHUNK;
		if (size > left)
			size = (size_t)left;
		if (size > s->cap) {
			uint8_t *grown = realloc(s->data, size);
			if (!grown)
				return sm_fail(reterr, SM_NO_MEMORY, "no memory to check a batch of %zu bytes", size);
			s->data = grown;
			s->cap = size;
		}
		s->got = 0;
		enum sm_err err = s->io->ops->pread(s->io, s->file, s->data, size, s->position, &s->got, reterr);
		if (err)
			return err;
		s->at = s->position;
	}
	size_t from = (size_t)(s->position - s->at);
	/* At the end of the file nothing may have been read yet: then there is no data to point into. */
	*ret = s->got > from ? bytes_of(s->data + from, s->got - from) : (struct bytes){0};
	return SM_OK;
}

/* The batch at the position, whatever its offset. SM_END: there is none that is right. */
static enum sm_err batch_here(struct scanner *s, struct batch_info *ret_info, struct sm_error *reterr)
{
	struct bytes data;
	struct batch_info info;
	enum sm_err err = log__scan_bytes(s, LOG_BATCH_OVERHEAD, &data, reterr);
	if (err)
		return err;
	/* The leader epoch lies outside the CRC: it is known exactly. */
	if (batch_parse_header(data, &info) || info.size > LOG_BATCH_BYTES_LIMIT || info.size > s->size - s->position ||
	    info.leader_epoch != LOG_LEADER_EPOCH)
		return SM_END;
	if ((err = log__scan_bytes(s, info.size, &data, reterr)))
		return err;
	if (!batch_crc_ok(data, &info))
		return SM_END;
	*ret_info = info;
	return SM_OK;
}

enum sm_err log__scan_batch(struct scanner *s, int64_t offset, struct batch_info *ret_info, struct sm_error *reterr)
{
	struct batch_info info;
	enum sm_err err = batch_here(s, &info, reterr);
	if (!err && info.base_offset != offset) /* outside the CRC too */
		err = SM_END;
	if (!err)
		*ret_info = info;
	return err;
}

/* How many bytes of data can be passed over: at what comes after them a batch may begin. */
static size_t bytes_without_batch(struct bytes data)
{
	size_t at = 0;
	for (; at + LOG_BATCH_OVERHEAD <= data.size; at++)
		if (data.data[at + AT_MAGIC] == 2 && be32_get(data.data + at + AT_EPOCH) == LOG_LEADER_EPOCH &&
		    be32_get(data.data + at + AT_SIZE) >= LOG_BATCH_OVERHEAD - AT_EPOCH)
			break;
	return at;
}

/* A batch's base offset lies outside its CRC: behind damage it is believed when the batch that follows goes on from it, or the end does. */
static enum sm_err is_followed(struct scanner *s, const struct batch_info *info, int64_t end, bool *ret, struct sm_error *reterr)
{
	struct batch_info after;
	int64_t next = info->base_offset + info->last_offset_delta + 1;
	uint64_t here = s->position;
	s->position += info->size;
	enum sm_err err = SM_END;
	if (s->position < s->size)
		err = log__scan_batch(s, next, &after, reterr);
	*ret = !err || (s->position >= s->size && next == end);
	s->position = here;
	return err == SM_END ? SM_OK : err;
}

enum sm_err log__scan_next(struct scanner *s, int64_t from, int64_t below, struct batch_info *ret_info, struct sm_error *reterr)
{
	const uint64_t start = s->position;
	while (s->position + LOG_BATCH_OVERHEAD <= s->size) {
		struct bytes data;
		enum sm_err err = log__scan_bytes(s, LOG_BATCH_OVERHEAD, &data, reterr);
		if (err)
			return err;
		if (data.size < LOG_BATCH_OVERHEAD) /* the file has become shorter */
			return SM_END;
		s->position += bytes_without_batch(data);
		struct batch_info info;
		err = batch_here(s, &info, reterr);
		if (err && err != SM_END)
			return err;
		bool right = !err && s->position == start && info.base_offset == from;
		if (!err && !right && info.base_offset >= from && info.base_offset < below &&
		    (err = is_followed(s, &info, below, &right, reterr)))
			return err;
		if (right) {
			*ret_info = info;
			return SM_OK;
		}
		s->position++;
	}
	return SM_END;
}

enum sm_err log__scan_anything(struct scanner *s, uint64_t position, bool *ret, struct sm_error *reterr)
{
	*ret = false;
	for (s->position = position; s->position < s->size && !*ret;) {
		struct bytes data = {NULL, 0};
		enum sm_err err = log__scan_bytes(s, 1, &data, reterr);
		if (err)
			return err;
		for (size_t i = 0; i < data.size && !*ret; i++)
			*ret = data.data[i] != 0;
		if (data.size == 0)
			break;
		s->position += data.size;
	}
	return SM_OK;
}
