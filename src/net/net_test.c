/* Connections end to end: a real listener in this process, blocking clients. */
#include "base/memory.h"
#include "net/net_internal.h"
#include "net/testing.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Commands, a line each, so that one protocol serves all tests:
 *   echo TEXT        the line back
 *   big N            N bytes of 'x'
 *   frame N          the next N bytes back, as one frame
 *   file             "<", 5 bytes of a file from its third, ">"
 *   end / close      finish after "bye", or close at once
 *   pause            stop reading until a message resumes
 *   later            answer "later" on a message */
struct test_state {
	size_t frame;
};
static atomic_int opened, closed, released, drained_calls, shown, taken_in_place;
static _Atomic(struct sm_ref *) paused_ref;
static int file_fd = -1;

static void release_one(void *arg)
{
	atomic_fetch_add(&released, 1);
	free(arg);
}
static void msg_done(struct sm_msg *msg)
{
	free(msg);
}
static const struct sm_msg_type resume_type = {"resume", msg_done}, later_type = {"later", msg_done};

static void send_to(struct sm_ref *ref, const struct sm_msg_type *type)
{
	struct sm_msg *msg = calloc(1, sizeof *msg);
	assert_non_null(msg);
	msg->type = type;
	if (sm_send(ref, msg))
		sm_msg_free(msg);
}

static enum sm_err test_open(struct net_conn *conn, void *state, void *arg)
{
	atomic_fetch_add(&opened, 1);
	return SM_OK;
}

static void remember(struct net_conn *conn)
{
	sm_unref(atomic_exchange(&paused_ref, sm_ref_get(net_conn_ref(conn))));
}

static enum sm_err command(struct net_conn *conn, struct test_state *s, const char *line)
{
	if (strncmp(line, "echo ", 5) == 0) {
		net_conn_write(conn, bytes_str(line + 5));
		net_conn_write(conn, BYTES("\n"));
	} else if (strncmp(line, "big ", 4) == 0) {
		size_t n = strtoul(line + 4, NULL, 10);
		char *data = malloc(n + 1);
		memset(data, 'x', n + 1);
		net_conn_write_ref(conn, bytes_of(data, n), release_one, data);
	} else if (strncmp(line, "frame ", 6) == 0) {
		s->frame = strtoul(line + 6, NULL, 10);
	} else if (strcmp(line, "file") == 0) {
		net_conn_write(conn, BYTES("<"));
		net_conn_write_file(conn, file_fd, 2, 5, release_one, NULL);
		net_conn_write(conn, BYTES(">"));
	} else if (strcmp(line, "end") == 0) {
		net_conn_write(conn, BYTES("bye\n"));
		net_conn_finish(conn);
	} else if (strcmp(line, "close") == 0) {
		net_conn_close(conn);
	} else if (strcmp(line, "pause") == 0) {
		net_conn_pause(conn);
		remember(conn);
	} else if (strcmp(line, "later") == 0) {
		remember(conn);
	} else if (strcmp(line, "peer") == 0) {
		net_conn_write(conn, bytes_str(net_conn_peer(conn)));
		net_conn_write(conn, BYTES("\n"));
	} else if (strcmp(line, "local") == 0) {
		char host[46], text[64];
		uint16_t port;
		net_conn_local(conn, host, &port);
		snprintf(text, sizeof text, "%s %u\n", host, port);
		net_conn_write(conn, bytes_str(text));
	} else {
		return SM_INVALID;
	}
	return SM_OK;
}

static enum sm_err test_data(struct net_conn *conn, void *state, struct bytes in, size_t *ret_used)
{
	struct test_state *s = state;
	size_t at = 0;
	atomic_fetch_add(&shown, 1);
	while (at < in.size) {
		struct bytes rest = bytes_of(in.data + at, in.size - at);
		if (s->frame) {
			if (rest.size < s->frame) {
				net_conn_need(conn, s->frame);
				break;
			}
			uint8_t *data;
			void *memory = net_conn_take(conn, bytes_of(rest.data, s->frame), &data);
			assert_non_null(memory);
			if (data == rest.data)
				atomic_fetch_add(&taken_in_place, 1);
			net_conn_write_ref(conn, bytes_of(data, s->frame), free, memory);
			at += s->frame;
			s->frame = 0;
			continue;
		}
		const uint8_t *lf = memchr(rest.data, '\n', rest.size);
		if (!lf)
			break;
		char line[128] = {0};
		memcpy(line, rest.data, (size_t)(lf - rest.data) < 127 ? (size_t)(lf - rest.data) : 127);
		at += (size_t)(lf - rest.data) + 1;
		enum sm_err err = command(conn, s, line);
		if (err)
			return err;
		if (strcmp(line, "pause") == 0 || strcmp(line, "end") == 0)
			break;
	}
	*ret_used = at;
	return SM_OK;
}

static enum sm_err test_receive(struct net_conn *conn, void *state, struct sm_msg *msg)
{
	if (msg->type == &resume_type)
		net_conn_resume(conn);
	else if (msg->type == &later_type)
		net_conn_write(conn, BYTES("later\n"));
	return SM_OK;
}
static void test_drained(struct net_conn *conn, void *state)
{
	atomic_fetch_add(&drained_calls, 1);
}
static void test_close(struct net_conn *conn, void *state)
{
	atomic_fetch_add(&closed, 1);
}
static const struct net_protocol protocol = {
	.name = "test",
	.state_size = sizeof(struct test_state),
	.open = test_open,
	.data = test_data,
	.receive = test_receive,
	.drained = test_drained,
	.close = test_close,
};

static struct sm_system *sys;

static int set_up(void **state)
{
	sys = test_system(2);
	atomic_store(&opened, 0);
	atomic_store(&closed, 0);
	atomic_store(&released, 0);
	atomic_store(&drained_calls, 0);
	atomic_store(&shown, 0);
	atomic_store(&taken_in_place, 0);
	return 0;
}
static int tear_down(void **state)
{
	sm_unref(atomic_exchange(&paused_ref, NULL));
	return sm_system_stop(sys, 5000) != SM_OK;
}

static struct net_listener *listen_with(struct net_listen_options options)
{
	struct net_listener *listener;
	struct sm_error error;
	options.system = sys;
	options.protocol = &protocol;
	if (!options.unix_path && !options.host)
		options.host = "127.0.0.1";
	if (net_listen(&options, &listener, &error))
		fail_msg("%s", error.text);
	return listener;
}

static void expect(int fd, const char *text)
{
	char got[256] = {0};
	assert_true(strlen(text) < sizeof got);
	client_read(fd, got, strlen(text));
	assert_string_equal(got, text);
}

static void a_connection_echoes_and_ends(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	client_send_str(fd, "echo one\necho two\nec");
	expect(fd, "one\ntwo\n");
	client_send_str(fd, "ho three\nend\necho never\n");
	expect(fd, "three\nbye\n");
	client_expect_end(fd);
	close(fd);
	eventually(atomic_load(&closed) == 1);
	net_listener_free(l, 1000);
}

static void the_local_address_is_the_one_connected_to(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	char want[64];
	snprintf(want, sizeof want, "127.0.0.1 %u\n", net_listener_port(l));
	client_send_str(fd, "local\n");
	expect(fd, want);
	close(fd);
	net_listener_free(l, 1000);
}

/* As a listener on "::" sees it, here on loopback alone. */
static void an_ipv4_address_stays_one_on_an_ipv6_socket(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){.host = "::ffff:127.0.0.1", .anywhere = true});
	int fd = client_connect(net_listener_port(l));
	char want[64];
	snprintf(want, sizeof want, "127.0.0.1 %u\n", net_listener_port(l));
	client_send_str(fd, "local\n");
	expect(fd, want);
	client_send_str(fd, "peer\n");
	char got[64];
	client_read(fd, got, 10);
	assert_memory_equal(got, "127.0.0.1:", 10);
	close(fd);
	net_listener_free(l, 1000);
}

static void an_error_of_the_protocol_closes(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	client_send_str(fd, "nonsense\n");
	client_expect_end(fd);
	close(fd);
	net_listener_free(l, 1000);
	assert_int_equal(atomic_load(&closed), 1);
}

static void a_large_frame_is_shown_when_it_is_whole(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	size_t size = 3000000;
	char *sent = malloc(size), *got = malloc(size);
	for (size_t i = 0; i < size; i++)
		sent[i] = (char)(i * 7 + i / 251);
	client_send_str(fd, "frame 3000000\n");
	client_send(fd, sent, size);
	client_read(fd, got, size);
	assert_memory_equal(sent, got, size);
	assert_true(atomic_load(&shown) < 10);
	assert_int_equal(atomic_load(&taken_in_place), 1);
	/* and small ones that lie across reads */
	for (int i = 0; i < 20; i++) {
		client_send_str(fd, "frame 70001\n");
		client_send(fd, sent, 70001);
		client_send_str(fd, "echo x\n");
		client_read(fd, got, 70001);
		assert_memory_equal(sent, got, 70001);
		expect(fd, "x\n");
	}
	free(sent);
	free(got);
	close(fd);
	net_listener_free(l, 1000);
}

/* Always beyond it: one large frame is read at a time, and one that stands still loses its turn. */
static void beyond_the_memory_budget_large_frames_come_one_by_one(void **state)
{
	enum { COUNT = 6 };
	struct net_listener *l = listen_with((struct net_listen_options){0});
	size_t size = 300000;
	char *sent = calloc(1, size), *got = malloc(size);
	int fds[COUNT], stopped = client_connect(net_listener_port(l));
	memory_budget_set(1);
	client_send_str(stopped, "frame 300000\n");
	client_send(stopped, sent, 150000);
	for (int i = 0; i < COUNT; i++) {
		fds[i] = client_connect(net_listener_port(l));
		client_send_str(fds[i], "echo x\nframe 300000\n");
		client_send(fds[i], sent, size);
	}
	for (int i = COUNT - 1; i >= 0; i--) {
		expect(fds[i], "x\n");
		client_read(fds[i], got, size);
		assert_memory_equal(sent, got, size);
		close(fds[i]);
	}
	client_send(stopped, sent + 150000, size - 150000);
	client_read(stopped, got, size);
	close(stopped);
	memory_budget_set(0);
	free(sent);
	free(got);
	net_listener_free(l, 1000);
}

static void one_has_the_turn(void **state)
{
	struct net_conn a, b;
	assert_true(net__intake_may(&a) && net__intake_may(&b));
	memory_budget_set(1);
	assert_true(net__intake_may(&a));
	assert_false(net__intake_may(&b));
	assert_true(net__intake_may(&a));
	net__intake_done(&b); /* it has not the turn */
	assert_false(net__intake_may(&b));
	net__intake_done(&a);
	assert_true(net__intake_may(&b));
	net__intake_done(&b);
	memory_budget_set(0);
}

static void bytes_one_by_one_are_gathered(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	const char *text = "echo abc\nframe 3\nxyz";
	for (const char *p = text; *p; p++) {
		client_send(fd, p, 1);
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
	expect(fd, "abc\nxyz");
	close(fd);
	net_listener_free(l, 1000);
}

static void a_file_region_leaves_between_bytes(void **state)
{
	char path[] = "/tmp/net_test_XXXXXX";
	file_fd = mkstemp(path);
	assert_int_equal(write(file_fd, "0123456789", 10), 10);
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	client_send_str(fd, "file\nfile\n");
	expect(fd, "<23456><23456>");
	eventually(atomic_load(&released) == 2);
	close(fd);
	net_listener_free(l, 1000);
	close(file_fd);
	unlink(path);
}

static void a_slow_reader_gets_everything_and_drained_is_told(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	size_t size = 24000000;
	client_send_str(fd, "big 8000000\nbig 8000000\nbig 8000000\n");
	nanosleep(&(struct timespec){0, 50000000}, NULL);
	assert_true(atomic_load(&released) < 3);
	char *got = malloc(size);
	client_read(fd, got, size);
	for (size_t i = 0; i < size; i += 4099)
		assert_int_equal(got[i], 'x');
	eventually(atomic_load(&released) == 3 && atomic_load(&drained_calls) == 1);
	free(got);
	close(fd);
	net_listener_free(l, 1000);
}

static void what_is_queued_is_released_when_the_peer_goes(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	client_send_str(fd, "big 30000000\nbig 10\n");
	char byte;
	client_read(fd, &byte, 1);
	close(fd);
	eventually(atomic_load(&released) == 2 && atomic_load(&closed) == 1);
	net_listener_free(l, 1000);
}

static void a_paused_connection_reads_on_after_resume(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	client_send_str(fd, "pause\necho after\n");
	eventually(atomic_load(&paused_ref) != NULL);
	client_send_str(fd, "echo more\n");
	char byte;
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	send_to(atomic_load(&paused_ref), &resume_type);
	expect(fd, "after\nmore\n");
	close(fd);
	net_listener_free(l, 1000);
}

static void a_message_is_answered_on_the_connection(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int fd = client_connect(net_listener_port(l));
	client_send_str(fd, "later\n");
	eventually(atomic_load(&paused_ref) != NULL);
	send_to(atomic_load(&paused_ref), &later_type);
	expect(fd, "later\n");
	close(fd);
	net_listener_free(l, 1000);
}

static void an_idle_connection_is_closed_a_busy_one_is_not(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){.idle_ms = 300});
	int idle = client_connect(net_listener_port(l)), busy = client_connect(net_listener_port(l));
	for (int i = 0; i < 8; i++) {
		client_send_str(busy, "echo x\n");
		expect(busy, "x\n");
		nanosleep(&(struct timespec){0, 80000000}, NULL);
	}
	client_expect_end(idle);
	client_send_str(busy, "echo y\n");
	expect(busy, "y\n");
	close(idle);
	close(busy);
	net_listener_free(l, 1000);
}

static void a_busy_port_is_named(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0}), *second;
	struct sm_error error;
	struct net_listen_options options = {.system = sys, .host = "127.0.0.1", .port = net_listener_port(l), .protocol = &protocol};
	assert_int_equal(net_listen(&options, &second, &error), SM_BUSY);
	char want[32];
	snprintf(want, sizeof want, "127.0.0.1:%u", net_listener_port(l));
	assert_non_null(strstr(error.text, want));
	net_listener_free(l, 1000);
	/* and free again at once */
	assert_int_equal(net_listen(&options, &second, &error), SM_OK);
	net_listener_free(second, 1000);
}

static void an_address_beyond_loopback_is_denied(void **state)
{
	static const struct {
		const char *host;
		enum sm_err err;
	} cases[] = {{"0.0.0.0", SM_DENIED},      {"::", SM_DENIED}, {"192.168.1.4", SM_DENIED}, {"128.0.0.1", SM_DENIED},
		     {"example.com", SM_INVALID}, {"", SM_INVALID},  {"127.1", SM_INVALID}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct net_listener *l;
		struct sm_error error;
		struct net_listen_options options = {.system = sys, .host = cases[i].host, .protocol = &protocol};
		assert_int_equal(net_listen(&options, &l, &error), cases[i].err);
		if (cases[i].err == SM_DENIED)
			assert_non_null(strstr(error.text, "loopback only: a listener elsewhere must ask for credentials"));
	}
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	client_timeouts(fd);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void a_unix_socket_is_private_and_a_stale_one_replaced(void **state)
{
	char dir[] = "/tmp/net_test_XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/sock", dir);
	/* what a killed server leaves */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	int old = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(old, (struct sockaddr *)&address, sizeof address), 0);
	close(old);

	struct net_listener *l = listen_with((struct net_listen_options){.unix_path = path}), *second;
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	struct sm_error error;
	struct net_listen_options options = {.system = sys, .unix_path = path, .protocol = &protocol};
	assert_int_equal(net_listen(&options, &second, &error), SM_BUSY);
	assert_non_null(strstr(error.text, path));
	int fd = connect_unix(path);
	client_send_str(fd, "echo hello\nlocal\n");
	expect(fd, "hello\n 0\n");
	close(fd);
	net_listener_free(l, 1000);
	assert_int_equal(access(path, F_OK), -1);
	rmdir(dir);
}

static void connections_above_the_limit_are_closed_at_once(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){.connections_max = 2});
	int a = client_connect(net_listener_port(l)), b = client_connect(net_listener_port(l));
	eventually(atomic_load(&opened) == 2);
	int c = client_connect(net_listener_port(l));
	client_expect_end(c);
	close(a);
	eventually(atomic_load(&closed) == 1);
	int d = -1;
	for (int i = 0; i < 100; i++) { /* the count falls a moment after the close */
		d = client_connect(net_listener_port(l));
		client_send_str(d, "echo in\n");
		char got[4];
		if (recv(d, got, 3, MSG_WAITALL) == 3)
			break;
		close(d);
		d = -1;
	}
	assert_true(d >= 0);
	close(b);
	close(c);
	close(d);
	net_listener_free(l, 1000);
}

static void without_descriptors_peers_are_refused_and_later_served(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int warm = client_connect(net_listener_port(l));
	client_send_str(warm, "echo x\n");
	expect(warm, "x\n");
	int late = socket(AF_INET, SOCK_STREAM, 0);
	client_timeouts(late);
	struct rlimit before, low;
	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 256;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	int filler[256], count = 0;
	while (count < 256 && (filler[count] = dup(warm)) >= 0)
		count++;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(net_listener_port(l)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(connect(late, (struct sockaddr *)&address, sizeof address), 0);
	client_expect_end(late);
	while (count)
		close(filler[--count]);
	setrlimit(RLIMIT_NOFILE, &before);
	int fd = client_connect(net_listener_port(l));
	client_send_str(fd, "echo back\n");
	expect(fd, "back\n");
	close(fd);
	close(late);
	close(warm);
	net_listener_free(l, 1000);
}

static void free_drains_and_ends_what_does_not(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	int quiet = client_connect(net_listener_port(l)), stuck = client_connect(net_listener_port(l));
	client_send_str(stuck, "big 30000000\n"); /* and never reads */
	eventually(atomic_load(&shown) >= 1 && atomic_load(&opened) == 2);
	uint64_t start = test_now_ms();
	net_listener_free(l, 300);
	uint64_t took = test_now_ms() - start;
	assert_true(took >= 250 && took < 10000);
	assert_int_equal(atomic_load(&closed), 2);
	assert_int_equal(atomic_load(&released), 1);
	client_expect_end(quiet);
	close(quiet);
	close(stuck);
}

static void the_answer_survives_input_that_nobody_read(void **state)
{
	struct net_listener *l = listen_with((struct net_listen_options){0});
	for (int i = 0; i < 20; i++) {
		int fd = client_connect(net_listener_port(l));
		char junk[100000];
		memset(junk, 'j', sizeof junk);
		client_send_str(fd, "end\n");
		client_send(fd, junk, sizeof junk);
		expect(fd, "bye\n");
		close(fd);
	}
	net_listener_free(l, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_connection_echoes_and_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_local_address_is_the_one_connected_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_ipv4_address_stays_one_on_an_ipv6_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_error_of_the_protocol_closes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_large_frame_is_shown_when_it_is_whole, set_up, tear_down),
		cmocka_unit_test_setup_teardown(beyond_the_memory_budget_large_frames_come_one_by_one, set_up, tear_down),
		cmocka_unit_test(one_has_the_turn),
		cmocka_unit_test_setup_teardown(bytes_one_by_one_are_gathered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_region_leaves_between_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_slow_reader_gets_everything_and_drained_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_queued_is_released_when_the_peer_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_paused_connection_reads_on_after_resume, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_message_is_answered_on_the_connection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_idle_connection_is_closed_a_busy_one_is_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_busy_port_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_beyond_loopback_is_denied, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_unix_socket_is_private_and_a_stale_one_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(connections_above_the_limit_are_closed_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_descriptors_peers_are_refused_and_later_served, set_up, tear_down),
		cmocka_unit_test_setup_teardown(free_drains_and_ends_what_does_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_answer_survives_input_that_nobody_read, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
