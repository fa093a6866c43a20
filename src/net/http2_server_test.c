/* The HTTP server over HTTP/2: the answers, tickets and event streams of HTTP/1, on the streams of one connection. */
#include "base/memory.h"
#include "net/http.h"
#include "net/http2_testing.h"
#include "net/net_internal.h"
#include <poll.h>
#include <semaphore.h>

static struct sm_system *sys;
static struct http_server *server;
static struct http_events *events;
static struct http_ticket *ticket;
static atomic_int waiting, gone, null_posts, logins;
static sem_t go; /* for each login */
static struct client *client;
static int fd;

static void echo(struct http_request *request)
{
	http_reply(request, 200, "application/octet-stream", request->body);
}
static void refuse(struct http_request *request)
{
	struct sm_error error;
	sm_fail(&error, SM_FULL, "the log is behind");
	http_reply_error(request, &error);
}
static void stream(struct http_request *request)
{
	http_events_subscribe(events, request);
}
static void note_gone(struct http_request *request)
{
	atomic_fetch_add(&gone, 1);
}
static void later(struct http_request *request)
{
	request->gone = note_gone;
	ticket = http_ticket(request);
	atomic_fetch_add(&waiting, 1);
}
static void answer(struct http_request *request, void *arg)
{
	if (request)
		http_reply(request, 200, "text/plain", BYTES("late"));
	else
		atomic_fetch_add(&null_posts, 1);
}

static bool login(void *arg, struct bytes user, struct bytes secret, char **ret_user)
{
	atomic_fetch_add(&logins, 1);
	while (sem_wait(&go))
		;
	return bytes_equal(secret, BYTES("pw")) && (*ret_user = strdup("ann"));
}

static void route(unsigned methods, const char *pattern, void (*handle)(struct http_request *))
{
	struct http_route r = {.methods = methods, .pattern = pattern, .handle = handle};
	assert_int_equal(http_server_route(server, &r), SM_OK);
}

static int set_up(void **state)
{
	struct sm_error error;
	sys = test_system(1);
	events = http_events_new(sys);
	atomic_store(&waiting, 0);
	atomic_store(&gone, 0);
	atomic_store(&null_posts, 0);
	atomic_store(&logins, 0);
	sem_init(&go, 0, 0);
	struct http_server_options options = {.system = sys, .host = "127.0.0.1"};
	assert_int_equal(http_server_new(&options, &server, &error), SM_OK);
	route(HTTP_POST, "/echo", echo);
	route(HTTP_GET, "/refuse", refuse);
	route(HTTP_GET, "/stream", stream);
	route(HTTP_GET | HTTP_POST, "/later", later);
	struct http_listen_options outside = {.host = "127.0.0.1", .login = login};
	const struct http_route who = {.methods = HTTP_POST, .pattern = "/who", .handle = echo, .outside = true};
	assert_int_equal(http_server_route(server, &who), SM_OK);
	assert_int_equal(http_server_start(server, &error), SM_OK);
	assert_int_equal(http_server_listen(server, &outside, &error), SM_OK);
	fd = client_connect(http_server_port(server));
	client = client_new(0);
	return 0;
}
static int tear_down(void **state)
{
	close(fd);
	client_free(client);
	for (int i = 0; i < 10; i++)
		sem_post(&go);
	http_server_free(server, 2000);
	http_events_free(events);
	sem_destroy(&go);
	return sm_system_stop(sys, 5000) != SM_OK;
}

static void say(void)
{
	struct buf out = {0};
	client_take(client, &out);
	if (buf_size(&out))
		client_send(fd, buf_bytes(&out).data, buf_size(&out));
	buf_done(&out);
}
static void hear(void)
{
	static uint8_t data[65536];
	ssize_t n = recv(fd, data, sizeof data, 0);
	if (n <= 0)
		fail_msg("recv: %s", n ? strerror(errno) : "end");
	client_feed(client, bytes_of(data, (size_t)n));
	say();
}
#define hear_until(condition)        \
	do {                         \
		say();               \
		while (!(condition)) \
			hear();      \
	} while (0)

static struct client_stream *get(const char *method, const char *path)
{
	char authority[32];
	snprintf(authority, sizeof authority, "127.0.0.1:%u", http_server_port(server));
	client->authority = authority;
	const char *const json[] = {"content-type", "application/json", NULL};
	return client_request(client, method, path, strcmp(method, "POST") == 0 ? json : NULL,
			      strcmp(method, "POST") == 0 ? BYTES("[1]") : (struct bytes){0}, false);
}

static void answers_are_those_of_http1(void **state)
{
	client->want = "retry-after";
	struct client_stream *s = get("POST", "/echo"), *full = get("GET", "/refuse"), *none = get("GET", "/none"),
			     *head = get("HEAD", "/refuse");
	hear_until(client->closed == 4);
	assert_int_equal(s->status, 200);
	assert_int_equal(buf_size(&s->body), 3);
	assert_int_equal(full->status, 429);
	assert_string_equal(full->header, "1");
	assert_int_equal(none->status, 404);
	assert_int_equal(head->status, 429);
	assert_int_equal(buf_size(&head->body), 0);
}

static void a_late_answer_holds_up_no_other(void **state)
{
	struct client_stream *s = get("GET", "/later");
	say();
	eventually(atomic_load(&waiting) == 1);
	struct client_stream *other = get("POST", "/echo");
	hear_until(other->closed);
	assert_false(s->closed);
	http_ticket_post(ticket, answer, NULL);
	hear_until(s->closed);
	assert_int_equal(buf_size(&s->body), 4);
}

/* While memory is short a large body that is whole and waits for its answer keeps no other from being read. */
static void a_body_that_is_whole_gives_its_turn_back(void **state)
{
	static uint8_t zeros[300000];
	static struct net_conn other; /* compared only */
	const char *const type[] = {"content-type", "application/json", NULL};
	get("GET", "/none");
	hear_until(client->closed == 1);
	memory_budget_set(1);
	char authority[32];
	snprintf(authority, sizeof authority, "127.0.0.1:%u", http_server_port(server));
	client->authority = authority;
	struct client_stream *s = client_request(client, "POST", "/later", type, bytes_of(zeros, sizeof zeros), false);
	while (atomic_load(&waiting) == 0) {
		say();
		struct pollfd p = {fd, POLLIN, 0};
		if (poll(&p, 1, 10) > 0)
			hear();
	}
	/* An answer to what was sent later: the connection is done with all that came before. */
	for (uint32_t i = 2; i < 4; i++) {
		get("GET", "/none");
		hear_until(client->closed == i);
	}
	assert_true(net__intake_may(&other));
	net__intake_done(&other);
	memory_budget_set(0);
	http_ticket_post(ticket, answer, NULL);
	hear_until(s->closed);
	assert_int_equal(s->status, 200);
}

static void a_request_that_is_reset_is_gone(void **state)
{
	struct client_stream *s = get("GET", "/later");
	say();
	eventually(atomic_load(&waiting) == 1);
	nghttp2_submit_rst_stream(client->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
	say();
	eventually(atomic_load(&gone) == 1);
	http_ticket_post(ticket, answer, NULL);
	eventually(atomic_load(&null_posts) == 1);
	struct client_stream *other = get("POST", "/echo");
	hear_until(other->closed);
	assert_int_equal(other->status, 200);
}

static void events_are_a_stream_beside_others(void **state)
{
	struct client_stream *one = get("GET", "/stream"), *two = get("GET", "/stream");
	hear_until(one->status && two->status);
	assert_int_equal(http_events_subscribers(events), 2);
	http_events_send(events, "x", BYTES("1"));
	hear_until(buf_size(&one->body) == 31 && buf_size(&two->body) == 31);
	nghttp2_submit_rst_stream(client->ng, NGHTTP2_FLAG_NONE, one->id, NGHTTP2_CANCEL);
	say();
	eventually(http_events_subscribers(events) == 1);
	struct client_stream *other = get("POST", "/echo");
	hear_until(other->closed);
	assert_false(two->closed);
}

static void events_end_with_the_clients_side(void **state)
{
	struct client_stream *s = get("GET", "/stream");
	hear_until(s->status);
	assert_int_equal(http_events_subscribers(events), 1);
	shutdown(fd, SHUT_WR);
	size_t size;
	free(client_read_all(fd, &size));
	assert_true(size); /* the stream's end */
	eventually(http_events_subscribers(events) == 0);
}

static struct client_stream *ask(const char *authorization)
{
	const char *const lines[] = {"content-type", "application/json", "authorization", authorization, NULL};
	client->authority = "any.example";
	return client_request(client, "POST", "/who", lines, BYTES("[1]"), false);
}

static void passwords_of_a_connection_are_checked_one_at_a_time_whatever_is_reset(void **state)
{
	/* ann:p0, ann:p1, ann:p2 */
	static const char *const wrong[] = {"Basic YW5uOnAw", "Basic YW5uOnAx", "Basic YW5uOnAy"};
	struct buf out = {0};
	int inside = fd;
	fd = client_connect(http_server_listener_port(server, 0));
	for (int i = 0; i < 3; i++) {
		struct client_stream *s = ask(wrong[i]);
		client_take(client, &out);
		client_raw(&out, NGHTTP2_RST_STREAM, 0, (uint32_t)s->id, bytes_of((uint8_t[]){0, 0, 0, NGHTTP2_CANCEL}, 4));
	}
	client_send(fd, buf_bytes(&out).data, buf_size(&out));
	buf_done(&out);
	eventually(atomic_load(&logins) == 1);
	/* All of it has been read when the same dispatcher answers another connection. */
	char begin[10] = "";
	client_send_str(inside, "GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
	client_read(inside, begin, 9);
	assert_string_equal(begin, "HTTP/1.1 ");
	assert_int_equal(atomic_load(&logins), 1);
	close(inside);
	for (int i = 0; i < 3; i++)
		sem_post(&go);
	struct client_stream *right = ask("Basic YW5uOnB3"); /* ann:pw */
	sem_post(&go);
	hear_until(right->closed);
	assert_int_equal(right->status, 200);
	assert_int_equal(atomic_load(&logins), 2); /* who was reset while they waited was not asked about */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_are_those_of_http1),
		TEST(a_late_answer_holds_up_no_other),
		TEST(a_body_that_is_whole_gives_its_turn_back),
		TEST(a_request_that_is_reset_is_gone),
		TEST(passwords_of_a_connection_are_checked_one_at_a_time_whatever_is_reset),
		TEST(events_are_a_stream_beside_others),
		TEST(events_end_with_the_clients_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
