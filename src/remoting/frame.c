/* Frames. All numbers are big-endian; a string is 16 bits of size and the bytes.
 *
 *   all         0  u32  length of what follows
 *               4  u8   kind
 *   HELLO       5  "SMKR", u16 protocol (1), 32 bytes of nonce, u64 UID, u32 largest message, string name, string where
 *   PROOF       5  32 bytes: HMAC-SHA-256 (handshake.c)
 *   REFUSE      5  u16 error, string text
 *   MESSAGE     5  string target, string sender, u64 ask (0: none), u32 serializer, u16 version, the message
 *   ANSWER      5  the same; the ask is the target's
 *   GONE        5  string target, u64 ask
 *   SYSTEM      5  u64 sequence, u8 kind, u64 token, u16 code, u16 count, count strings
 *   ACK         5  u64 sequence
 *   HEARTBEAT   5  u64 sequence: acknowledged
 *   GOODBYE     5  u16 error, string text
 */
#include "remoting/frame.h"

/* ---- writing ---- */

size_t frame_begin(struct buf *out, enum frame_kind kind)
{
	size_t begun = buf_size(out);
	buf_be32(out, 0);
	buf_u8(out, (uint8_t)kind);
	return begun;
}

void frame_end(struct buf *out, size_t begun)
{
	if (!out->failed)
		be32_put(out->data + out->start + begun, (uint32_t)(buf_size(out) - begun - 4));
}

void frame_string(struct buf *out, struct bytes text)
{
	buf_be16(out, (uint16_t)text.size);
	buf_append_bytes(out, text);
}

void frame_sequence(struct buf *out, enum frame_kind kind, uint64_t sequence)
{
	size_t begun = frame_begin(out, kind);
	buf_be64(out, sequence);
	frame_end(out, begun);
}

void frame_code(struct buf *out, enum frame_kind kind, uint16_t code, const char *text)
{
	size_t begun = frame_begin(out, kind);
	buf_be16(out, code);
	frame_string(out, bytes_str(text));
	frame_end(out, begun);
}

void frame_system(struct buf *out, enum system_kind kind, uint64_t token, uint16_t code, const struct bytes *names, uint16_t name_count)
{
	buf_u8(out, (uint8_t)kind);
	buf_be64(out, token);
	buf_be16(out, code);
	buf_be16(out, name_count);
	for (uint16_t i = 0; i < name_count; i++)
		frame_string(out, names[i]);
}

/* ---- reading ---- */

static struct bytes read_string(struct byte_reader *r, size_t max)
{
	size_t size = reader_be16(r);
	if (size > max)
		r->failed = true;
	const uint8_t *data = reader_take(r, size);
	return bytes_of(data, data ? size : 0);
}

static bool copy_string(struct byte_reader *r, char *out, size_t max)
{
	struct bytes text = read_string(r, max);
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] <= ' ' || text.data[i] >= 127)
			return false;
	if (text.size)
		memcpy(out, text.data, text.size);
	out[text.size] = 0;
	return true;
}

static enum sm_err read_hello(struct byte_reader *r, struct hello *out)
{
	const uint8_t *magic = reader_take(r, 4);
	if (!magic || memcmp(magic, FRAME_MAGIC, 4) != 0)
		return SM_CORRUPT;
	if (reader_be16(r) != FRAME_PROTOCOL)
		return SM_VERSION;
	const uint8_t *nonce = reader_take(r, sizeof out->nonce);
	if (nonce)
		memcpy(out->nonce, nonce, sizeof out->nonce);
	out->uid = reader_be64(r);
	out->message_max = reader_be32(r);
	bool ok = copy_string(r, out->name, REMOTING_NAME_MAX) && copy_string(r, out->where, REMOTING_WHERE_MAX);
	return ok && !r->failed && out->uid && out->name[0] && out->where[0] ? SM_OK : SM_CORRUPT;
}

static void read_message(struct byte_reader *r, struct frame *f)
{
	f->target = read_string(r, REMOTING_PATH_MAX);
	f->sender = read_string(r, REMOTING_TEXT_MAX);
	f->ask_id = reader_be64(r);
	f->serializer = reader_be32(r);
	f->version = reader_be16(r);
	f->body = bytes_of(r->at, reader_left(r));
	r->at = r->end;
}

static void read_system(struct byte_reader *r, struct frame *f)
{
	f->sequence = reader_be64(r);
	uint8_t kind = reader_u8(r);
	if (kind == 0 || kind >= SYSTEM_KIND_END)
		r->failed = true;
	f->system = (enum system_kind)kind;
	f->token = reader_be64(r);
	f->code = reader_be16(r);
	f->name_count = reader_be16(r);
	bool several = kind == SYSTEM_FOUND;
	if (several ? f->name_count > REMOTING_FOUND_MAX : f->name_count != 1)
		r->failed = true;
	const uint8_t *names = r->at;
	for (uint16_t i = 0; i < f->name_count && !r->failed; i++)
		read_string(r, REMOTING_PATH_MAX);
	f->names = bytes_of(names, (size_t)(r->at - names));
}

struct bytes frame_next_name(struct frame *frame)
{
	struct byte_reader r = byte_reader(frame->names);
	struct bytes name = read_string(&r, REMOTING_PATH_MAX);
	frame->names = bytes_of(r.at, reader_left(&r));
	return name;
}

static enum sm_err read_body(struct byte_reader *r, struct frame *f)
{
	switch (f->kind) {
	case FRAME_HELLO: return read_hello(r, &f->hello);
	case FRAME_PROOF: f->proof = bytes_of(reader_take(r, 32), 32); break;
	case FRAME_REFUSE:
	case FRAME_GOODBYE:
		f->code = reader_be16(r);
		f->text = read_string(r, REMOTING_HELLO_MAX);
		break;
	case FRAME_MESSAGE:
	case FRAME_ANSWER: read_message(r, f); break;
	case FRAME_GONE:
		f->target = read_string(r, REMOTING_PATH_MAX);
		f->ask_id = reader_be64(r);
		break;
	case FRAME_SYSTEM: read_system(r, f); break;
	case FRAME_ACK:
	case FRAME_HEARTBEAT: f->sequence = reader_be64(r); break;
	default: return SM_CORRUPT;
	}
	return SM_OK;
}

enum sm_err frame_read(struct bytes in, uint32_t max, struct frame *ret_frame, size_t *ret_size, size_t *ret_need)
{
	*ret_size = 0;
	*ret_need = 5;
	if (in.size < 5)
		return SM_OK;
	uint32_t length = be32_get(in.data);
	if (length == 0)
		return SM_CORRUPT;
	if (length > max)
		return SM_TOO_LARGE;
	*ret_need = 4 + (size_t)length;
	*ret_frame = (struct frame){.kind = (enum frame_kind)in.data[4]};
	if (in.size < *ret_need)
		return SM_OK;
	struct byte_reader r = byte_reader(bytes_of(in.data + 5, length - 1));
	enum sm_err err = read_body(&r, ret_frame);
	if (err)
		return err;
	if (r.failed || reader_left(&r))
		return SM_CORRUPT;
	*ret_size = *ret_need;
	return SM_OK;
}
