/* Who sends a request from outside: when passwords are asked about, and what happens to the requests meanwhile. */
#include "net/http.h"
#include "net/testing.h"
#include <pthread.h>
#include <semaphore.h>

static struct sm_system *sys;
static struct http_server *server;
static uint16_t port;
static sem_t go;
static atomic_bool hold;
static atomic_int asked, handled;
static char order[64];

static bool is_known(void *arg, struct bytes user, struct bytes secret, char **ret_user)
{
	atomic_fetch_add(&asked, 1);
	if (hold)
		while (sem_wait(&go))
			;
	if (!user.data)
		return bytes_equal(secret, BYTES("token-of-bob")) && (*ret_user = strdup("bob"));
	return bytes_equal(user, BYTES("ann")) && bytes_equal(secret, BYTES("pw")) && (*ret_user = strdup("ann"));
}

/* The body is written down in the order of the handling. */
static void note(struct http_request *request)
{
	if (request->body.size)
		strncat(order, (const char *)request->body.data, request->body.size < 8 ? request->body.size : 8);
	atomic_fetch_add(&handled, 1);
	http_reply(request, 200, "text/plain", bytes_str(http_principal(request)));
}

static void inside(struct http_request *request)
{
	http_reply(request, 200, "text/plain", BYTES("inside"));
}

static int set_up(void **state)
{
	struct sm_error error;
	const struct http_route routes[] = {{.methods = HTTP_POST, .pattern = "/note", .handle = note, .outside = true},
					    {.methods = HTTP_GET, .pattern = "/inside", .handle = inside}};
	atomic_store(&asked, 0);
	atomic_store(&handled, 0);
	order[0] = 0;
	hold = false;
	sem_init(&go, 0, 0);
	sys = test_system(2);
	struct http_server_options options = {.system = sys, .host = "127.0.0.1"};
	struct http_listen_options outside = {.host = "127.0.0.1", .login = is_known};
	if (http_server_new(&options, &server, &error))
		fail_msg("%s", error.text);
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		assert_int_equal(http_server_route(server, &routes[i]), SM_OK);
	if (http_server_start(server, &error) || http_server_listen(server, &outside, &error))
		fail_msg("%s", error.text);
	port = http_server_listener_port(server, 0);
	return 0;
}

static int tear_down(void **state)
{
	http_server_free(server, 2000);
	sem_destroy(&go);
	return sm_system_stop(sys, 5000) != SM_OK;
}

#define ANN "Authorization: Basic YW5uOnB3\r\n"   /* ann:pw */
#define WRONG "Authorization: Basic YW5uOnBx\r\n" /* ann:pq */
#define POST_NOTE "POST /note HTTP/1.1\r\nHost: any.example\r\nContent-Type: application/json\r\n"

static void expect(int fd, int status, const char *body)
{
	char head[2048] = "", text[2048] = "";
	size_t n = 0;
	int got;
	while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
		assert_true(n < sizeof head - 1);
		client_read(fd, head + n++, 1);
	}
	assert_int_equal(sscanf(head, "HTTP/1.1 %d ", &got), 1);
	const char *length = strstr(head, "Content-Length: ");
	size_t size = length ? strtoul(length + 16, NULL, 10) : 0;
	assert_true(size < sizeof text);
	client_read(fd, text, size);
	if (got != status || (body && strcmp(text, body) != 0))
		fail_msg("%d %s in place of %d %s", got, text, status, body ? body : "");
}

static void requests_of_one_connection_keep_their_order(void **state)
{
	int fd = client_connect(port);
	hold = true;
	client_send_str(fd, POST_NOTE ANN "Content-Length: 1\r\n\r\n1" POST_NOTE WRONG "Content-Length: 1\r\n\r\n2" POST_NOTE ANN
					  "Content-Length: 1\r\n\r\n3");
	eventually(atomic_load(&asked) == 1);
	sem_post(&go);
	expect(fd, 200, "User:ann");
	eventually(atomic_load(&asked) == 2);
	sem_post(&go);
	sem_post(&go); /* the third is mostly known by now */
	expect(fd, 401, NULL);
	expect(fd, 200, "User:ann");
	assert_string_equal(order, "13");
	close(fd);
}

static void tokens_say_who_it_is(void **state)
{
	int fd = client_connect(port);
	client_send_str(fd, POST_NOTE "Authorization: Bearer token-of-bob\r\nContent-Length: 1\r\n\r\n1" POST_NOTE
				      "authorization: bearer token-of-bob\r\nContent-Length: 1\r\n\r\n2" POST_NOTE
				      "Authorization: Bearer token-of-eve\r\nContent-Length: 1\r\n\r\n3" POST_NOTE
				      "Authorization: Bearer ann:pw\r\nContent-Length: 1\r\n\r\n4" POST_NOTE
				      "Authorization: Bearer \r\nContent-Length: 1\r\n\r\n5");
	expect(fd, 200, "User:bob");
	expect(fd, 200, "User:bob");
	for (int i = 0; i < 3; i++)
		expect(fd, 401, NULL);
	assert_string_equal(order, "12");
	close(fd);
}

/* A client that sends a large body before its password is known sees its socket fill up, not the server's memory. */
static void no_body_is_taken_from_the_unknown(void **state)
{
	enum { PIECE = 65536, BODY = 16 << 20 };
	int fd = client_connect(port);
	char *zeros = calloc(1, PIECE), head[300];
	size_t sent = 0;
	snprintf(head, sizeof head, POST_NOTE WRONG "Content-Length: %d\r\n\r\n", BODY);
	hold = true;
	client_send_str(fd, head);
	eventually(atomic_load(&asked) == 1);
	for (int full = 0; sent < BODY && full < 20;) {
		ssize_t n = send(fd, zeros, PIECE, MSG_NOSIGNAL | MSG_DONTWAIT);
		full = n > 0 ? 0 : full + 1;
		sent += n > 0 ? (size_t)n : 0;
		if (n <= 0)
			nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
	assert_true(sent < BODY);
	sem_post(&go);
	expect(fd, 401, NULL);
	assert_int_equal(atomic_load(&handled), 0);
	free(zeros);
	close(fd);
}

static void who_waits_to_send_is_told_first(void **state)
{
	int fd = client_connect(port);
	client_send_str(fd, POST_NOTE WRONG "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n");
	expect(fd, 401, NULL);
	close(fd);
	fd = client_connect(port);
	client_send_str(fd, POST_NOTE ANN "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n");
	char line[26] = "";
	client_read(fd, line, 25);
	assert_string_equal(line, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send_str(fd, "x");
	expect(fd, 200, "User:ann");
	close(fd);
}

static void the_unknown_learn_nothing_of_routes(void **state)
{
	const char *const paths[] = {"/note", "/inside", "/nowhere", "/%00"};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		char request[200];
		int fd = client_connect(port);
		snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n" WRONG "\r\n", paths[i]);
		client_send_str(fd, request);
		expect(fd, 401, NULL);
		client_send_str(fd, "GET /inside HTTP/1.1\r\nHost: a\r\n" ANN "\r\n");
		expect(fd, 404, NULL);
		client_send_str(fd, "GET /note HTTP/1.1\r\nHost: a\r\n" ANN ANN "\r\n");
		expect(fd, 400, NULL);
		close(fd);
	}
}

/* The peer has ended its side while its password was asked about: a whole request is answered, one without its body is dropped. */
static void a_side_that_ended_meanwhile(void **state)
{
	for (int whole = 0; whole < 2; whole++) {
		int fd = client_connect(port);
		hold = true;
		client_send_str(fd, whole ? "POST /note HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" ANN "\r\n"
					  : POST_NOTE WRONG "Content-Length: 5\r\n\r\n");
		shutdown(fd, SHUT_WR);
		eventually(atomic_load(&asked) == whole + 1);
		nanosleep(&(struct timespec){0, 20000000}, NULL);
		sem_post(&go);
		expect(fd, whole ? 200 : 401, NULL);
		client_expect_end(fd);
		close(fd);
	}
	hold = false;
	int fd = client_connect(port);
	client_send_str(fd, POST_NOTE ANN "Content-Length: 5\r\n\r\nab");
	shutdown(fd, SHUT_WR);
	client_expect_end(fd);
	close(fd);
	assert_string_equal(order, "");
}

/* The right password comes with half a body, and the peer's side ends before the password is known. */
static void a_known_one_without_its_body_is_dropped(void **state)
{
	int fd = client_connect(port);
	hold = true;
	client_send_str(fd, POST_NOTE ANN "Content-Length: 5\r\n\r\n");
	shutdown(fd, SHUT_WR);
	eventually(atomic_load(&asked) == 1);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	sem_post(&go);
	client_expect_end(fd);
	close(fd);
	assert_int_equal(atomic_load(&handled), 0);
}

static void a_client_that_goes_meanwhile_leaves_nothing(void **state)
{
	hold = true;
	int fd = client_connect(port);
	client_send_str(fd, POST_NOTE ANN "Content-Length: 1\r\n\r\nx");
	eventually(atomic_load(&asked) == 1);
	struct linger hard = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	sem_post(&go);
	hold = false;
	fd = client_connect(port);
	client_send_str(fd, POST_NOTE ANN "Content-Length: 1\r\n\r\ny");
	expect(fd, 200, "User:ann");
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_of_one_connection_keep_their_order), TEST(tokens_say_who_it_is),
		TEST(no_body_is_taken_from_the_unknown),           TEST(who_waits_to_send_is_told_first),
		TEST(the_unknown_learn_nothing_of_routes),         TEST(a_side_that_ended_meanwhile),
		TEST(a_known_one_without_its_body_is_dropped),     TEST(a_client_that_goes_meanwhile_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
