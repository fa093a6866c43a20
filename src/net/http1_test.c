/* HTTP/1: what one connection holds, and what waits while the process is short of memory. */
#include "base/memory.h"
#include "net/http.h"
#include "net/http_limits.h"
#include "net/testing.h"
#include <poll.h>
#include <pthread.h>

static struct sm_system *sys;
static struct http_server *server;
static uint16_t port;
static atomic_int handled;
static struct http_ticket *tickets[HTTP_PIPELINE_MAX];

static void keep(struct http_request *request)
{
	int n = atomic_load(&handled);
	tickets[n] = http_ticket(request);
	assert_non_null(tickets[n]);
	atomic_store(&handled, n + 1);
}
static void size_of(struct http_request *request)
{
	char text[32];
	snprintf(text, sizeof text, "%zu", request->body.size);
	http_reply(request, 200, "text/plain", bytes_str(text));
}
static void answer(struct http_request *request, void *arg)
{
	if (request)
		size_of(request);
}

static int set_up(void **state)
{
	struct sm_error error;
	sys = test_system(1);
	atomic_store(&handled, 0);
	struct http_server_options options = {.system = sys, .host = "127.0.0.1", .body_timeout_ms = 3000};
	const struct http_route routes[] = {{.methods = HTTP_POST, .pattern = "/keep", .handle = keep},
					    {.methods = HTTP_POST, .pattern = "/size", .handle = size_of}};
	if (http_server_new(&options, &server, &error))
		fail_msg("%s", error.text);
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		assert_int_equal(http_server_route(server, &routes[i]), SM_OK);
	if (http_server_start(server, &error))
		fail_msg("%s", error.text);
	port = http_server_port(server);
	return 0;
}

static int tear_down(void **state)
{
	memory_budget_set(0);
	http_server_free(server, 2000);
	return sm_system_stop(sys, 5000) != SM_OK;
}

struct sending {
	int fd;
	uint32_t count;
	size_t size;
	atomic_size_t sent;
};

static void *send_all(void *arg)
{
	struct sending *s = arg;
	char head[200], *zeros = calloc(1, s->size);
	int n = snprintf(head, sizeof head,
			 "POST /keep HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", port,
			 s->size);
	for (uint32_t i = 0; zeros && i < s->count; i++) {
		client_send(s->fd, head, (size_t)n);
		for (size_t at = 0; at < s->size; at += 65536) {
			client_send(s->fd, zeros, 65536);
			atomic_fetch_add(&s->sent, 65536);
		}
	}
	free(zeros);
	return NULL;
}

/* Forty requests of 2 MiB on one connection, and nobody answers: the server takes what it may hold and leaves the rest to the socket. */
static void a_connection_holds_so_much_and_is_then_not_read(void **state)
{
	enum { COUNT = 40, SIZE = 2 << 20 };
	struct sending s = {.fd = client_connect(port), .count = COUNT, .size = SIZE};
	pthread_t thread;
	int most = HTTP1_HELD_MAX / SIZE;
	assert_int_equal(pthread_create(&thread, NULL, send_all, &s), 0);
	for (int answered = 0; answered < COUNT; answered++) {
		eventually(atomic_load(&handled) > answered);
		/* So many that it cannot take one more, or all. */
		size_t before;
		do {
			before = atomic_load(&s.sent);
			nanosleep(&(struct timespec){0, 20000000}, NULL);
		} while (answered == 0 && atomic_load(&s.sent) != before);
		assert_true(atomic_load(&handled) - answered <= most + 1);
		http_ticket_post(tickets[answered], answer, NULL);
	}
	for (int i = 0; i < COUNT; i++) {
		char head[400] = "", body[8] = "";
		for (size_t n = 0; n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0; n++)
			client_read(s.fd, head + n, 1);
		assert_non_null(strstr(head, "HTTP/1.1 200 "));
		client_read(s.fd, body, 7);
		assert_string_equal(body, "2097152");
	}
	pthread_join(thread, NULL);
	close(s.fd);
}

#define SIZE_HEAD "POST /size HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"

/* One that has its turn sends a byte now and then; the other's body is not read meanwhile. False: the first has lost its turn. */
static bool other_is_told(void)
{
	static char zeros[1000000], text[2000];
	char head[200];
	int first = client_connect(port), other = client_connect(port), sent = 0;
	snprintf(head, sizeof head, SIZE_HEAD, port);
	client_send_str(first, head);
	client_send(first, zeros, 200000);
	nanosleep(&(struct timespec){0, 50000000}, NULL);
	client_send_str(other, head);
	client_send(other, zeros, 200000);
	struct pollfd p = {other, POLLIN, 0};
	while (sent < 700000 && poll(&p, 1, 50) == 0) {
		client_send(first, zeros, 1);
		sent++;
	}
	ssize_t n = recv(other, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = 0;
	bool told = strncmp(text, "HTTP/1.1 429 ", 13) == 0;
	if (told) {
		assert_non_null(strstr(text, "\r\nRetry-After: 1\r\n"));
		assert_non_null(strstr(text, "short of memory"));
	} else {
		assert_true(strncmp(text, "HTTP/1.1 408 ", 13) == 0); /* it was read, and has not sent all */
	}
	close(other);
	close(first);
	return told;
}

static void while_memory_is_short_large_bodies_wait_and_are_told(void **state)
{
	memory_budget_set(1);
	bool told = false;
	/* A busy machine may let the first one lose its turn. */
	for (int i = 0; i < 10 && !told; i++)
		told = other_is_told();
	assert_true(told);
	/* Small ones go on, and a large one comes through when it has its turn. */
	char head[200], *body = calloc(1, 1000000), text[400] = "";
	int fd = client_connect(port);
	snprintf(head, sizeof head, SIZE_HEAD, port);
	client_send_str(fd, head);
	client_send(fd, body, 1000000);
	client_read(fd, text, 15);
	assert_string_equal(text, "HTTP/1.1 200 OK");
	close(fd);
	free(body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_connection_holds_so_much_and_is_then_not_read),
		TEST(while_memory_is_short_large_bodies_wait_and_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
