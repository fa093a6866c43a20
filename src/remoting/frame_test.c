/* Frames, handshakes and sessions, as bytes. */
#include "remoting/frame.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MAX 100000

static struct frame read_one(const struct buf *b)
{
	struct frame f;
	size_t size, need;
	assert_int_equal(frame_read(buf_bytes(b), MAX, &f, &size, &need), SM_OK);
	assert_int_equal(size, buf_size(b));
	return f;
}

static void message_frame(struct buf *out)
{
	size_t begun = frame_begin(out, FRAME_MESSAGE);
	frame_string(out, BYTES("/root/a#3"));
	frame_string(out, BYTES("/root/b#4"));
	buf_be64(out, 77);
	buf_be32(out, 9);
	buf_be16(out, 2);
	buf_append_str(out, "the message");
	frame_end(out, begun);
}

static void a_message_comes_as_it_was_written(void **unused)
{
	struct buf b = {0};
	message_frame(&b);
	struct frame f = read_one(&b);
	assert_int_equal(f.kind, FRAME_MESSAGE);
	assert_true(bytes_equal(f.target, BYTES("/root/a#3")));
	assert_true(bytes_equal(f.sender, BYTES("/root/b#4")));
	assert_true(bytes_equal(f.body, BYTES("the message")));
	assert_int_equal(f.ask_id, 77);
	assert_int_equal(f.serializer, 9);
	assert_int_equal(f.version, 2);
	buf_done(&b);
}

static void system_frame(struct session *s, enum system_kind kind, const char *name, struct buf *out)
{
	struct buf body = {0};
	struct bytes bytes = bytes_str(name);
	frame_system(&body, kind, 5, 25, &bytes, 1);
	assert_int_equal(session_send(s, buf_bytes(&body), out), SM_OK);
	buf_done(&body);
}

static void a_system_message_comes_as_it_was_written(void **unused)
{
	struct session s;
	struct buf b = {0};
	session_init(&s, 10);
	system_frame(&s, SYSTEM_ENDED, "/root/a#3", &b);
	struct frame f = read_one(&b);
	assert_int_equal(f.system, SYSTEM_ENDED);
	assert_int_equal(f.sequence, 1);
	assert_int_equal(f.token, 5);
	assert_int_equal(f.code, 25);
	assert_true(bytes_equal(frame_next_name(&f), BYTES("/root/a#3")));
	session_done(&s);
	buf_done(&b);
}

/* Each cut of each frame either waits for more or is refused, with the length as it is and with one that fits the cut. */
static void truncated_frames_are_never_taken(void **unused)
{
	struct session s;
	struct buf all[4] = {0};
	session_init(&s, 10);
	system_frame(&s, SYSTEM_WATCH, "/root/a#3", &all[0]);
	frame_sequence(&all[1], FRAME_HEARTBEAT, 3);
	frame_code(&all[2], FRAME_GOODBYE, 24, "bye");
	size_t begun = frame_begin(&all[3], FRAME_GONE);
	frame_string(&all[3], BYTES("/root/a#3"));
	buf_be64(&all[3], 1);
	frame_end(&all[3], begun);
	for (int i = 0; i < 4; i++) {
		for (size_t n = 0; n < buf_size(&all[i]); n++) {
			struct frame f;
			size_t size, need;
			uint8_t cut[256];
			memcpy(cut, all[i].data, n);
			assert_int_equal(frame_read(bytes_of(cut, n), MAX, &f, &size, &need), SM_OK);
			assert_int_equal(size, 0);
			assert_true(need > n);
			if (n < 5)
				continue;
			be32_put(cut, (uint32_t)n - 4);
			assert_int_equal(frame_read(bytes_of(cut, n), MAX, &f, &size, &need), SM_CORRUPT);
		}
		buf_u8(&all[i], 0); /* and one byte too many */
		be32_put(all[i].data, (uint32_t)buf_size(&all[i]) - 4);
		struct frame f;
		size_t size, need;
		assert_int_equal(frame_read(buf_bytes(&all[i]), MAX, &f, &size, &need), SM_CORRUPT);
		buf_done(&all[i]);
	}
	session_done(&s);
}

static void lengths_are_bounded_before_anything_is_gathered(void **unused)
{
	struct frame f;
	size_t size, need;
	assert_int_equal(frame_read(BYTES("\xff\xff\xff\xff\x04"), MAX, &f, &size, &need), SM_TOO_LARGE);
	assert_int_equal(frame_read(BYTES("\0\0\0\0\x04"), MAX, &f, &size, &need), SM_CORRUPT);
	assert_int_equal(frame_read(BYTES("\0\0\0\1\x77"), MAX, &f, &size, &need), SM_CORRUPT);
}

/* ---- the handshake ---- */

static struct hello hello_of(const char *name, uint64_t uid)
{
	struct hello h = {.uid = uid, .message_max = 1000};
	memset(h.nonce, (int)uid, sizeof h.nonce);
	snprintf(h.name, sizeof h.name, "%s", name);
	snprintf(h.where, sizeof h.where, "127.0.0.1:1");
	return h;
}

/* Feed what one has written to the other; wire is empty afterwards. */
static enum sm_err feed(struct handshake *to, struct buf *wire, struct buf *out)
{
	enum sm_err err = SM_OK;
	while (!err && buf_size(wire)) {
		struct frame f;
		size_t size, need;
		assert_int_equal(frame_read(buf_bytes(wire), REMOTING_HELLO_MAX - 4, &f, &size, &need), SM_OK);
		err = handshake_frame(to, &f, bytes_of(wire->data + wire->start, size), out);
		buf_consume(wire, size);
	}
	return err;
}

struct shake {
	struct handshake dialer, listener;
	struct buf to_listener, to_dialer;
};
static void shake_begin(struct shake *s, const char *dialers_secret, const char *listeners_secret)
{
	*s = (struct shake){0};
	struct hello d = hello_of("d", 1), l = hello_of("l", 2);
	handshake_begin(&s->listener, false, &l, bytes_str(listeners_secret), &s->to_dialer);
	assert_int_equal(buf_size(&s->to_dialer), 0); /* who listens says nothing first */
	handshake_begin(&s->dialer, true, &d, bytes_str(dialers_secret), &s->to_listener);
}
static void shake_end(struct shake *s)
{
	buf_done(&s->to_listener);
	buf_done(&s->to_dialer);
}

static void both_prove_the_secret(void **unused)
{
	struct shake s;
	shake_begin(&s, "a long secret of both", "a long secret of both");
	assert_int_equal(feed(&s.listener, &s.to_listener, &s.to_dialer), SM_OK);
	assert_false(s.listener.done);
	assert_int_equal(feed(&s.dialer, &s.to_dialer, &s.to_listener), SM_OK);
	assert_false(s.dialer.done);
	assert_int_equal(feed(&s.listener, &s.to_listener, &s.to_dialer), SM_OK);
	assert_true(s.listener.done);
	assert_int_equal(feed(&s.dialer, &s.to_dialer, &s.to_listener), SM_OK);
	assert_true(s.dialer.done);
	assert_int_equal(s.listener.peer.uid, 1);
	assert_string_equal(s.dialer.peer.name, "l");
	shake_end(&s);
}

static void another_secret_is_refused_by_the_listener_first(void **unused)
{
	struct shake s;
	shake_begin(&s, "a long secret of one", "a long secret of two");
	assert_int_equal(feed(&s.listener, &s.to_listener, &s.to_dialer), SM_OK);
	assert_int_equal(feed(&s.dialer, &s.to_dialer, &s.to_listener), SM_OK);
	assert_int_equal(feed(&s.listener, &s.to_listener, &s.to_dialer), SM_DENIED);
	assert_int_equal(buf_size(&s.to_dialer), 0); /* no proof to one who has none */
	shake_end(&s);
}

/* The dialler's own proof, sent back to it, is no listener's. */
static void a_proof_reflected_is_none(void **unused)
{
	struct shake s;
	shake_begin(&s, "a long secret of both", "a long secret of both");
	assert_int_equal(feed(&s.listener, &s.to_listener, &s.to_dialer), SM_OK);
	assert_int_equal(feed(&s.dialer, &s.to_dialer, &s.to_listener), SM_OK);
	assert_int_equal(feed(&s.dialer, &s.to_listener, &s.to_dialer), SM_DENIED);
	shake_end(&s);
}

static void a_proof_is_good_for_its_own_hello_alone(void **unused)
{
	struct shake s;
	shake_begin(&s, "a long secret of both", "a long secret of both");
	size_t at = buf_size(&s.to_listener) - 3;
	s.to_listener.data[s.to_listener.start + at] ^= 1; /* the port in `where`, altered on the way */
	assert_int_equal(feed(&s.listener, &s.to_listener, &s.to_dialer), SM_OK);
	assert_int_equal(feed(&s.dialer, &s.to_dialer, &s.to_listener), SM_OK);
	assert_int_equal(feed(&s.listener, &s.to_listener, &s.to_dialer), SM_DENIED);
	shake_end(&s);
}

static void a_hello_of_another_protocol_is_refused(void **unused)
{
	struct shake s;
	struct frame f;
	size_t size, need;
	shake_begin(&s, "", "");
	uint8_t *bytes = s.to_listener.data + s.to_listener.start;
	bytes[10]++; /* the version's low byte */
	assert_int_equal(frame_read(buf_bytes(&s.to_listener), MAX, &f, &size, &need), SM_VERSION);
	bytes[10]--;
	bytes[5] = 'X';
	assert_int_equal(frame_read(buf_bytes(&s.to_listener), MAX, &f, &size, &need), SM_CORRUPT);
	shake_end(&s);
}

static void nothing_else_is_taken_before_the_proof(void **unused)
{
	struct shake s;
	struct buf b = {0};
	shake_begin(&s, "", "");
	message_frame(&b);
	assert_int_equal(feed(&s.listener, &b, &s.to_dialer), SM_CORRUPT);
	buf_done(&b);
	shake_end(&s);
}

/* ---- the session ---- */

static void duplicates_and_gaps_are_seen(void **unused)
{
	struct session s;
	session_init(&s, 10);
	assert_int_equal(session_receive(&s, 1), SM_OK);
	assert_int_equal(session_receive(&s, 1), SM_DUPLICATE);
	assert_int_equal(session_receive(&s, 3), SM_SEQUENCE_GAP);
	assert_int_equal(session_receive(&s, 2), SM_OK);
	assert_int_equal(session_receive(&s, 0), SM_DUPLICATE);
	assert_int_equal(session_acknowledged(&s, 1), SM_OUT_OF_RANGE);
	session_done(&s);
}

static void what_is_not_acknowledged_is_bounded(void **unused)
{
	struct session s;
	session_init(&s, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(session_send(&s, BYTES("x"), NULL), SM_OK);
	assert_int_equal(session_send(&s, BYTES("x"), NULL), SM_FULL);
	assert_int_equal(session_acknowledged(&s, 2), SM_OK);
	assert_int_equal(s.count, 1);
	assert_int_equal(session_send(&s, BYTES("x"), NULL), SM_OK);
	session_done(&s);
}

/* Two sessions over connections that break at any byte, with what was under way lost: each message arrives once and in order. */
struct side {
	struct session session;
	struct buf out, in; /* written and not sent; come and not whole yet */
	uint64_t made, seen;
};
static uint64_t seed;
static uint64_t next_random(uint64_t n)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % n;
}

static void make(struct side *s, bool connected)
{
	struct buf body = {0};
	char name[32];
	snprintf(name, sizeof name, "/root/%llu", (unsigned long long)s->made);
	struct bytes bytes = bytes_str(name);
	frame_system(&body, SYSTEM_WATCH, s->made + 1, 0, &bytes, 1);
	if (session_send(&s->session, buf_bytes(&body), connected ? &s->out : NULL) == SM_OK)
		s->made++;
	buf_done(&body);
}

static void take(struct side *s)
{
	for (;;) {
		struct frame f;
		size_t size, need;
		assert_int_equal(frame_read(buf_bytes(&s->in), MAX, &f, &size, &need), SM_OK);
		if (!size)
			return;
		if (f.kind == FRAME_ACK) {
			assert_int_equal(session_acknowledged(&s->session, f.sequence), SM_OK);
		} else {
			enum sm_err err = session_receive(&s->session, f.sequence);
			assert_true(err == SM_OK || err == SM_DUPLICATE);
			if (!err)
				assert_int_equal(f.token, ++s->seen);
			if (next_random(3) == 0 || err)
				frame_sequence(&s->out, FRAME_ACK, s->session.received);
		}
		buf_consume(&s->in, size);
	}
}

static void move_bytes(struct side *from, struct side *to)
{
	size_t n = buf_size(&from->out);
	if (!n)
		return;
	n = 1 + next_random(n);
	buf_append(&to->in, from->out.data + from->out.start, n);
	buf_consume(&from->out, n);
	take(to);
}

static void once_and_in_order_over_broken_connections(void **unused)
{
	const char *many = getenv("SMACK_SEEDS");
	uint64_t count = many ? strtoull(many, NULL, 10) : 100;
	for (uint64_t n = 1; n <= count; n++) {
		struct side a = {0}, b = {0};
		bool connected = true;
		seed = n;
		session_init(&a.session, 30);
		session_init(&b.session, 30);
		for (int step = 0; step < 3000; step++) {
			struct side *s = next_random(2) ? &a : &b, *other = s == &a ? &b : &a;
			uint64_t what = next_random(12);
			if (what < 4)
				make(s, connected);
			else if (what < 11 && connected)
				move_bytes(s, other);
			else if (!connected || next_random(3) == 0) { /* broken, and made again */
				connected = !connected;
				buf_clear(&a.out), buf_clear(&b.out), buf_clear(&a.in), buf_clear(&b.in);
				if (connected)
					session_resend(&a.session, &a.out), session_resend(&b.session, &b.out);
			}
		}
		buf_clear(&a.out), buf_clear(&b.out), buf_clear(&a.in), buf_clear(&b.in);
		session_resend(&a.session, &a.out), session_resend(&b.session, &b.out);
		while (buf_size(&a.out) || buf_size(&b.out))
			move_bytes(&a, &b), move_bytes(&b, &a);
		assert_int_equal(a.made, b.seen);
		assert_int_equal(b.made, a.seen);
		session_done(&a.session), session_done(&b.session);
		buf_done(&a.out), buf_done(&b.out), buf_done(&a.in), buf_done(&b.in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_comes_as_it_was_written),
		cmocka_unit_test(a_system_message_comes_as_it_was_written),
		cmocka_unit_test(truncated_frames_are_never_taken),
		cmocka_unit_test(lengths_are_bounded_before_anything_is_gathered),
		cmocka_unit_test(both_prove_the_secret),
		cmocka_unit_test(another_secret_is_refused_by_the_listener_first),
		cmocka_unit_test(a_proof_reflected_is_none),
		cmocka_unit_test(a_proof_is_good_for_its_own_hello_alone),
		cmocka_unit_test(a_hello_of_another_protocol_is_refused),
		cmocka_unit_test(nothing_else_is_taken_before_the_proof),
		cmocka_unit_test(duplicates_and_gaps_are_seen),
		cmocka_unit_test(what_is_not_acknowledged_is_bounded),
		cmocka_unit_test(once_and_in_order_over_broken_connections),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
