/* Fuzz target: bytes of a hostile peer to the frame decoder, the handshake of either side, the session and the parser of addresses. The
 * first byte says who dials and how the bytes are cut. What is checked besides memory: nobody is let in without the proof, and frames are
 * taken as a whole. */
#include "remoting/frame.h"
#include "remoting/remoting_internal.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void address(struct bytes text)
{
	struct remoting_address a;
	char path[108];
	if (!remoting__address_parse(text, &a))
		return;
	assert(remoting__name_is_good(a.name) && a.where[0]);
	(void)remoting__unix_of_where(a.where, path, sizeof path);
}

static void one(struct frame *f, struct session *s, struct bytes whole, size_t in_size)
{
	assert(whole.size <= in_size);
	if (f->kind == FRAME_SYSTEM) {
		(void)!session_receive(s, f->sequence);
		for (uint16_t i = 0; i < f->name_count; i++) {
			struct bytes name = frame_next_name(f);
			assert(name.size <= REMOTING_PATH_MAX);
			address(name);
		}
		assert(f->names.size == 0);
	} else if (f->kind == FRAME_ACK || f->kind == FRAME_HEARTBEAT) {
		enum sm_err err = session_acknowledged(s, f->sequence);
		assert(!err || f->sequence >= s->next);
	} else if (f->kind == FRAME_MESSAGE || f->kind == FRAME_ANSWER) {
		assert(f->target.size <= REMOTING_PATH_MAX && f->body.size <= whole.size);
		address(f->sender);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handshake shake;
	struct session session;
	struct buf out = {0};
	struct hello mine = {.uid = 2, .message_max = 100, .name = "n", .where = "127.0.0.1:1"};
	uint8_t how = size ? data[0] : 0;
	struct bytes in = bytes_of(data + (size > 0), size - (size > 0));
	address(in);
	session_init(&session, 4);
	for (int i = 0; i < 3; i++)
		assert(session_send(&session, BYTES("x"), NULL) == SM_OK);
	handshake_begin(&shake, how & 1, &mine, BYTES("a secret of sixteen"), &out);
	bool shaking = !(how & 2);
	for (;;) {
		struct frame f;
		size_t taken, need;
		if (frame_read(in, shaking ? REMOTING_HELLO_MAX - 4 : 100000, &f, &taken, &need))
			break;
		if (!taken) {
			assert(need > in.size);
			break;
		}
		struct bytes whole = bytes_of(in.data, taken);
		if (shaking && handshake_frame(&shake, &f, whole, &out))
			break;
		assert(!shake.done); /* the proof depends on a secret that these bytes do not know */
		if (!shaking)
			one(&f, &session, whole, in.size);
		in = bytes_of(in.data + taken, in.size - taken);
	}
	session_done(&session);
	buf_done(&out);
	return 0;
}
