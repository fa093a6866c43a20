/* A peer that is not ours: what it may send, and what comes of it. */
#include "remoting/testing.h"
#include "remoting/frame.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

static struct node n;
static struct seen seen;
static struct sm_ref *actor;
static char actor_name[200];

static int set_up(void **unused)
{
	char text[3000], *at;
	n = node_tcp("n");
	actor = spawn_seen(n.system, "one", &seen);
	assert_int_equal(sm_ref_to_text(n.remoting, actor, text, sizeof text), SM_OK);
	at = strstr(text, "/root/");
	snprintf(actor_name, sizeof actor_name, "%.*s#%s", (int)(strchr(at, '#') - at), at, strrchr(at, '.') + 1);
	return 0;
}
static int tear_down(void **unused)
{
	sm_unref(actor);
	node_end(&n);
	return atomic_load(&testing_live) != 0;
}

struct fake {
	int fd;
	struct handshake shake;
	struct buf in, out;
	uint64_t uid;
	const char *where;
};

static void fake_connect(struct fake *f)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	address.sin_port = htons((uint16_t)atoi(strrchr(sm_remoting_address(n.remoting), ':') + 1));
	struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
	f->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	assert_int_equal(connect(f->fd, (struct sockaddr *)&address, sizeof address), 0);
}
static void fake_end(struct fake *f)
{
	close(f->fd);
	buf_done(&f->in);
	buf_done(&f->out);
}
static void fake_flush(struct fake *f)
{
	assert_int_equal(send(f->fd, f->out.data + f->out.start, buf_size(&f->out), MSG_NOSIGNAL), buf_size(&f->out));
	buf_clear(&f->out);
}
/* The next frame, which points into f->in until the next call; false: the connection has ended. */
static bool fake_next(struct fake *f, struct frame *ret, struct bytes *ret_whole)
{
	static size_t before;
	size_t need;
	buf_consume(&f->in, buf_size(&f->in) ? before : 0);
	for (;;) {
		assert_int_equal(frame_read(buf_bytes(&f->in), 1 << 20, ret, &before, &need), SM_OK);
		if (before) {
			*ret_whole = bytes_of(f->in.data + f->in.start, before);
			return true;
		}
		ssize_t got = recv(f->fd, buf_reserve(&f->in, 65536), 65536, 0);
		if (got < 0)
			fail_msg("nothing comes: %s", strerror(errno));
		if (got == 0)
			return false;
		buf_commit(&f->in, (size_t)got);
	}
}
/* The next one of this kind; false: the end came first. */
static bool fake_wait(struct fake *f, enum frame_kind kind, struct frame *ret)
{
	struct bytes whole;
	while (fake_next(f, ret, &whole))
		if (ret->kind == kind)
			return true;
	return false;
}

static void fake_hello(struct fake *f, const char *secret)
{
	struct hello h = {.uid = f->uid, .message_max = 1 << 20, .name = "fake"};
	snprintf(h.where, sizeof h.where, "%s", f->where ? f->where : "~1");
	handshake_begin(&f->shake, true, &h, bytes_str(secret), &f->out);
	fake_flush(f);
}
/* A connection that is let in, or not. */
static bool fake_join(struct fake *f, const char *secret)
{
	struct frame frame;
	struct bytes whole;
	fake_connect(f);
	fake_hello(f, secret);
	while (!f->shake.done && fake_next(f, &frame, &whole)) {
		if (frame.kind == FRAME_REFUSE)
			return false;
		assert_int_equal(handshake_frame(&f->shake, &frame, whole, &f->out), SM_OK);
		if (buf_size(&f->out))
			fake_flush(f);
	}
	return f->shake.done;
}

static void put_message(struct fake *f, const char *target, uint64_t ask, uint32_t serializer, uint16_t version, uint64_t number)
{
	size_t begun = frame_begin(&f->out, FRAME_MESSAGE);
	frame_string(&f->out, bytes_str(target));
	frame_string(&f->out, ask ? BYTES("/root/asker#9") : BYTES(""));
	buf_be64(&f->out, ask);
	buf_be32(&f->out, serializer);
	buf_be16(&f->out, version);
	buf_be64(&f->out, number);
	frame_end(&f->out, begun);
}
static void put_system(struct fake *f, uint64_t sequence, enum system_kind kind, const char *name)
{
	struct bytes bytes = bytes_str(name);
	size_t begun = frame_begin(&f->out, FRAME_SYSTEM);
	buf_be64(&f->out, sequence);
	frame_system(&f->out, kind, 0, 0, &bytes, 1);
	frame_end(&f->out, begun);
}

/* ---- who is not let in ---- */

static void is_closed_after(const void *data, size_t size)
{
	struct fake f = {0};
	char byte;
	fake_connect(&f);
	send(f.fd, data, size, MSG_NOSIGNAL);
	while (recv(f.fd, &byte, 1, 0) > 0)
		;
	fake_end(&f);
}

static void strangers_are_closed(void **unused)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", magic[64] = "\0\0\0\74\1SMKX", huge[] = "\377\377\377\377\1",
			  message[] = "\0\0\0\5\4....", empty[] = "\0\0\0\0";
	struct sm_remoting_info info;
	is_closed_after(http, sizeof http - 1);
	is_closed_after(magic, sizeof magic);
	is_closed_after(huge, 5);
	is_closed_after(message, 9);
	is_closed_after(empty, 5);
	sm_remoting_info(n.remoting, &info);
	assert_int_equal(info.refused, 5);
	assert_int_equal(info.connected, 0);
}

static void a_wrong_secret_gets_nothing(void **unused)
{
	struct fake f = {.uid = 5};
	struct sm_remoting_info info;
	assert_false(fake_join(&f, "another secret, as long"));
	/* Even if it goes on as if it had been let in. */
	put_message(&f, actor_name, 0, 1, 1, 7);
	send(f.fd, f.out.data, buf_size(&f.out), MSG_NOSIGNAL);
	struct frame frame;
	struct bytes whole;
	while (fake_next(&f, &frame, &whole))
		;
	fake_end(&f);
	eventually((sm_remoting_info(n.remoting, &info), info.refused == 1));
	assert_int_equal(info.received, 0);
	assert_int_equal(atomic_load(&seen.count), 0);
}

static void who_says_nothing_is_closed(void **unused)
{
	struct sm_remoting_options o = node_options("hasty");
	o.host = "127.0.0.1";
	o.handshake_ms = 50;
	struct node before = n;
	n = node_with(&o);
	is_closed_after("", 0);
	node_end(&n);
	n = before;
}

/* ---- who is let in and misbehaves ---- */

static void wrong_frames_end_the_connection(void **unused)
{
	static const uint8_t bad[][16] = {
		{0, 0, 0, 5, 99, 1, 2, 3, 4},             /* no kind */
		{0x7f, 0, 0, 0, 4},                       /* too long */
		{0, 0, 0, 3, 8, 0, 0},                    /* cut */
		{0, 0, 0, 9, 8, 0, 0, 0, 0, 0, 0, 0, 77}, /* acknowledges what was never sent */
	};
	static const size_t sizes[] = {9, 5, 7, 13};
	for (int i = 0; i < 4; i++) {
		struct fake f = {.uid = 100 + (uint64_t)i};
		struct frame frame;
		assert_true(fake_join(&f, SECRET));
		buf_append(&f.out, bad[i], sizes[i]);
		fake_flush(&f);
		assert_false(fake_wait(&f, FRAME_HELLO, &frame));
		fake_end(&f);
	}
	/* A gap in the system messages, too. */
	struct fake f = {.uid = 200};
	struct frame frame;
	assert_true(fake_join(&f, SECRET));
	put_system(&f, 2, SYSTEM_WATCH, actor_name);
	fake_flush(&f);
	assert_false(fake_wait(&f, FRAME_HELLO, &frame));
	fake_end(&f);
}

static void messages_are_taken_and_unreadable_ones_answered(void **unused)
{
	struct fake f = {.uid = 5};
	struct frame frame;
	assert_true(fake_join(&f, SECRET));
	put_message(&f, actor_name, 0, 1, 1, 7);
	put_message(&f, actor_name, 51, 77, 1, 7);       /* no such serializer */
	put_message(&f, actor_name, 52, 1, 9, 7);        /* no such version */
	put_message(&f, "/root/nobody#3", 53, 1, 1, 7);  /* no such actor */
	put_message(&f, "/root/one#12345", 54, 1, 1, 7); /* not this one */
	put_message(&f, actor_name, 55, 3, 1, ~0ull);    /* nonsense for the serializer */
	put_message(&f, "\xff\xfe", 56, 1, 1, 7);
	put_message(&f, actor_name, 57, 1, 1, 8);
	fake_flush(&f);
	for (uint64_t ask = 51; ask <= 56; ask++) {
		assert_true(fake_wait(&f, FRAME_GONE, &frame));
		assert_int_equal(frame.ask_id, ask);
		assert_true(bytes_equal(frame.target, BYTES("/root/asker#9")));
	}
	assert_true(fake_wait(&f, FRAME_ANSWER, &frame));
	assert_int_equal(frame.ask_id, 57);
	assert_int_equal(be64_get(frame.body.data), 9);
	assert_int_equal(atomic_load(&seen.count), 2);
	assert_int_equal(sm_dead_letters(n.system), 6);
	fake_end(&f);
}

/* System messages count once, however often they come, and over connections. */
static void replayed_system_messages_count_once(void **unused)
{
	struct fake f = {.uid = 5};
	struct frame frame;
	assert_true(fake_join(&f, SECRET));
	put_system(&f, 1, SYSTEM_WATCH, actor_name);
	put_system(&f, 1, SYSTEM_WATCH, actor_name);
	put_system(&f, 2, SYSTEM_WATCH, "/root/nobody#3");
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_SYSTEM, &frame)); /* that nobody has ended */
	assert_int_equal(frame.system, SYSTEM_ENDED);
	assert_int_equal(frame.sequence, 1);
	close(f.fd); /* without an acknowledgement */
	buf_clear(&f.in);
	assert_true(fake_join(&f, SECRET));
	assert_true(fake_wait(&f, FRAME_SYSTEM, &frame)); /* again */
	assert_int_equal(frame.sequence, 1);
	put_system(&f, 2, SYSTEM_WATCH, "/root/nobody#3");
	put_system(&f, 3, SYSTEM_STOP, actor_name);
	frame_sequence(&f.out, FRAME_ACK, 1);
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_SYSTEM, &frame)); /* the first watch has held over the break, and nobody was told of again */
	assert_int_equal(frame.sequence, 2);
	assert_int_equal(frame.system, SYSTEM_ENDED);
	assert_int_equal(frame.code, SM_OK);
	frame_sequence(&f.out, FRAME_ACK, 2);
	put_system(&f, 4, SYSTEM_WATCH, "/root/nobody#3");
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_SYSTEM, &frame));
	assert_int_equal(frame.sequence, 3);
	fake_end(&f);
}

/* A thread that waits for an answer has an address, but nobody may watch or stop it, or send it what is no answer. */
static void names_of_waiting_threads_are_good_for_answers_only(void **unused)
{
	struct fake f = {.uid = 5};
	struct frame frame;
	assert_true(fake_join(&f, SECRET));
	put_system(&f, 1, SYSTEM_WATCH, "/temp#1");
	put_system(&f, 2, SYSTEM_STOP, "/temp#1");
	put_system(&f, 3, SYSTEM_STOP_NOW, "/../..#1");
	put_message(&f, "/temp#1", 0, 1, 1, 1);
	put_message(&f, actor_name, 60, 1, 1, 1);
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_ANSWER, &frame));
	fake_end(&f);
}

/* What would be written into an address again must be one. */
static void senders_without_a_number_end_the_connection(void **unused)
{
	static const char *const bad[] = {"/root/x", "/a#x", "/a#", "/#1", "#1", "/a#123456789012345678901"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct fake f = {.uid = 300 + i};
		struct frame frame;
		assert_true(fake_join(&f, SECRET));
		size_t begun = frame_begin(&f.out, FRAME_MESSAGE);
		frame_string(&f.out, bytes_str(actor_name));
		frame_string(&f.out, bytes_str(bad[i]));
		buf_be64(&f.out, 1), buf_be32(&f.out, 1), buf_be16(&f.out, 1), buf_be64(&f.out, 1);
		frame_end(&f.out, begun);
		fake_flush(&f);
		assert_false(fake_wait(&f, FRAME_HELLO, &frame));
		fake_end(&f);
	}
	assert_int_equal(atomic_load(&seen.count), 0);
}

#define CORE "/root/$2#2" /* the listener is spawned before it */
static void a_peer_does_not_switch_the_remoting_off(void **unused)
{
	struct fake f = {.uid = 5};
	struct frame frame;
	assert_true(fake_join(&f, SECRET));
	put_system(&f, 1, SYSTEM_STOP, CORE);
	put_message(&f, CORE, 61, 1, 1, 1);
	put_message(&f, actor_name, 60, 1, 1, 1);
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_ANSWER, &frame));
	put_message(&f, actor_name, 62, 1, 1, 2);
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_ANSWER, &frame));
	fake_end(&f);
}

/* A UID stands in every reference; who says it is not who has it. */
static void a_uid_said_elsewhere_is_turned_away(void **unused)
{
	struct fake f = {.uid = 5, .where = "127.0.0.1:1111"}, thief = {.uid = 5, .where = "127.0.0.1:2222"};
	struct frame frame;
	assert_true(fake_join(&f, SECRET));
	put_message(&f, actor_name, 60, 1, 1, 1);
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_ANSWER, &frame));
	assert_true(fake_join(&thief, SECRET));
	assert_true(fake_wait(&thief, FRAME_REFUSE, &frame));
	put_message(&f, actor_name, 61, 1, 1, 2);
	fake_flush(&f);
	assert_true(fake_wait(&f, FRAME_ANSWER, &frame));
	fake_end(&thief);
	fake_end(&f);
}

static void a_uid_that_was_given_up_is_not_let_in_again(void **unused)
{
	struct fake f = {.uid = 5}, other = {.uid = 6};
	struct frame frame;
	assert_true(fake_join(&f, SECRET));
	frame_code(&f.out, FRAME_GOODBYE, SM_CLOSED, "");
	fake_flush(&f);
	assert_false(fake_wait(&f, FRAME_HELLO, &frame));
	close(f.fd);
	buf_clear(&f.in);
	assert_true(fake_join(&f, SECRET)); /* it knows the secret, and is told why it may not stay */
	assert_true(fake_wait(&f, FRAME_REFUSE, &frame));
	assert_int_equal(frame.code, SM_STALE_EPOCH);
	assert_false(fake_wait(&f, FRAME_HELLO, &frame));
	assert_true(fake_join(&other, SECRET));
	fake_end(&f);
	fake_end(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(strangers_are_closed),
		TEST(a_wrong_secret_gets_nothing),
		TEST(who_says_nothing_is_closed),
		TEST(wrong_frames_end_the_connection),
		TEST(messages_are_taken_and_unreadable_ones_answered),
		TEST(replayed_system_messages_count_once),
		TEST(names_of_waiting_threads_are_good_for_answers_only),
		TEST(senders_without_a_number_end_the_connection),
		TEST(a_peer_does_not_switch_the_remoting_off),
		TEST(a_uid_said_elsewhere_is_turned_away),
		TEST(a_uid_that_was_given_up_is_not_let_in_again),
	};
	logging_set((enum log_level)(getenv("SMACK_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR + 1), false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
