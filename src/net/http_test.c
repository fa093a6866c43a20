/* The HTTP server end to end: a real listener in this process, blocking clients that send exact bytes. */
#include "net/http.h"
#include "base/compress.h"
#include "net/testing.h"
#include <pthread.h>

static struct sm_system *sys;
static struct http_server *server;
static uint16_t port;
static atomic_int handled, gone, null_posts;
static struct http_events *events;

/* ---- handlers ---- */

static void echo(struct http_request *request)
{
	atomic_fetch_add(&handled, 1);
	http_reply(request, 200, "application/octet-stream", request->body);
}
static void hello(struct http_request *request)
{
	atomic_fetch_add(&handled, 1);
	http_reply(request, 200, "text/plain", BYTES("hello"));
}
static void name(struct http_request *request)
{
	struct bytes q = http_query(request, "q");
	char text[256];
	snprintf(text, sizeof text, "%.*s|%.*s|%.*s", (int)request->params[0].size, (const char *)request->params[0].data, (int)q.size,
		 (const char *)q.data, (int)http_header(request, "x-test").size, (const char *)http_header(request, "x-test").data);
	http_reply_header(request, "X-Back", text);
	http_reply(request, 201, "text/plain", bytes_str(text));
}
static void tagged(struct http_request *request)
{
	http_reply_header(request, "ETag", "\"v1\"");
	http_reply(request, 200, "text/plain", BYTES("tagged"));
}
static void large(struct http_request *request)
{
	size_t size = 1000000;
	char *data = malloc(size);
	memset(data, 'L', size);
	http_reply(request, 200, "text/plain", bytes_of(data, size));
	free(data);
}
static void stream(struct http_request *request)
{
	http_events_subscribe(events, request);
}
static atomic_bool blocked;
static void block(struct http_request *request)
{
	atomic_store(&blocked, true);
	atomic_fetch_add(&handled, 1);
	while (atomic_load(&blocked))
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	http_reply(request, 200, "text/plain", BYTES("late"));
}
static void json(struct http_request *request)
{
	http_reply_json(request, 202, json_pack("{s:i}", "n", 3));
}
static void refuse(struct http_request *request)
{
	struct sm_error error;
	sm_fail(&error, SM_FULL, "the \"log\" is behind");
	http_reply_error(request, &error);
}

/* Answers from another thread, when the test says so. */
static struct http_ticket *waiting[16];
static atomic_int waiting_count;
static void note_gone(struct http_request *request)
{
	atomic_fetch_add(&gone, 1);
}
static void later(struct http_request *request)
{
	request->gone = note_gone;
	struct http_ticket *ticket = http_ticket(request);
	waiting[atomic_load(&waiting_count)] = ticket;
	atomic_fetch_add(&waiting_count, 1);
}
static void answer_later(struct http_request *request, void *arg)
{
	if (!request)
		atomic_fetch_add(&null_posts, 1);
	else
		http_reply(request, 200, "text/plain", bytes_str(arg));
}

static void post(int which, const char *text)
{
	http_ticket_post(waiting[which], answer_later, (void *)text);
}

static void route(unsigned methods, const char *pattern, void (*handle)(struct http_request *), const char *types)
{
	struct http_route r = {.methods = methods, .pattern = pattern, .handle = handle, .media_types = types};
	assert_int_equal(http_server_route(server, &r), SM_OK);
}

static int set_up_with(struct http_server_options options)
{
	struct sm_error error;
	atomic_store(&handled, 0);
	atomic_store(&gone, 0);
	atomic_store(&null_posts, 0);
	atomic_store(&waiting_count, 0);
	sys = test_system(2);
	events = http_events_new(sys);
	options.system = sys;
	options.host = "127.0.0.1";
	if (http_server_new(&options, &server, &error))
		fail_msg("%s", error.text);
	route(HTTP_POST | HTTP_PUT | HTTP_DELETE, "/echo", echo, NULL);
	route(HTTP_POST, "/ndjson", echo, "application/json,application/x-ndjson");
	route(HTTP_GET, "/", hello, NULL);
	route(HTTP_GET, "/name/{name}", name, NULL);
	route(HTTP_GET, "/tagged", tagged, NULL);
	route(HTTP_GET, "/large", large, NULL);
	route(HTTP_GET, "/later", later, NULL);
	route(HTTP_GET, "/stream", stream, NULL);
	route(HTTP_GET, "/json", json, NULL);
	route(HTTP_GET, "/refuse", refuse, NULL);
	route(HTTP_GET, "/block", block, NULL);
	if (http_server_start(server, &error))
		fail_msg("%s", error.text);
	port = http_server_port(server);
	return 0;
}
static int set_up(void **state)
{
	return set_up_with((struct http_server_options){0});
}
static int set_up_short(void **state)
{
	return set_up_with((struct http_server_options){.header_timeout_ms = 200, .body_timeout_ms = 300, .idle_timeout_ms = 400});
}
static int tear_down(void **state)
{
	http_server_free(server, 2000);
	http_events_free(events);
	return sm_system_stop(sys, 5000) != SM_OK;
}

/* ---- the client: exact bytes, %H stands for the Host line ---- */

static char *with_host(const char *text)
{
	size_t size = strlen(text) + 64 * 100;
	char *out = malloc(size), *at = out;
	for (const char *p = text; *p; p++)
		if (p[0] == '%' && p[1] == 'H') {
			at += sprintf(at, "Host: 127.0.0.1:%u\r\n", port);
			p++;
		} else {
			*at++ = *p;
		}
	*at = 0;
	return out;
}

static void say(int fd, const char *text)
{
	char *exact = with_host(text);
	client_send_str(fd, exact);
	free(exact);
}

/* One answer: its status; body and headers to the caller. */
struct answer {
	int status;
	char head[4096];
	char *body;
	size_t size;
};
static struct answer read_answer(int fd, bool head_only)
{
	struct answer a = {0};
	size_t n = 0;
	while (n < 4 || memcmp(a.head + n - 4, "\r\n\r\n", 4) != 0) {
		assert_true(n < sizeof a.head - 1);
		client_read(fd, a.head + n++, 1);
	}
	assert_int_equal(sscanf(a.head, "HTTP/1.1 %d ", &a.status), 1);
	const char *length = strstr(a.head, "Content-Length: ");
	a.size = length && !head_only ? strtoul(length + 16, NULL, 10) : 0;
	a.body = malloc(a.size + 1);
	client_read(fd, a.body, a.size);
	a.body[a.size] = 0;
	return a;
}

static void expect(int fd, int status, const char *body)
{
	struct answer a = read_answer(fd, false);
	if (a.status != status || (body && strcmp(a.body, body) != 0))
		fail_msg("%d \"%s\" in place of %d \"%s\"", a.status, a.body, status, body ? body : "");
	free(a.body);
}

/* One request on a connection of its own; ends tells whether the server must close after it. */
static void check(const char *request, int status, const char *body, bool ends)
{
	int fd = client_connect(port);
	say(fd, request);
	struct answer a = read_answer(fd, false);
	if (a.status != status || (body && !strstr(a.body, body)))
		fail_msg("%d \"%s\" in place of %d for %s", a.status, a.body, status, request);
	if (ends) {
		assert_non_null(strstr(a.head, "\r\nConnection: close\r\n"));
		client_expect_end(fd);
	} else {
		say(fd, "GET / HTTP/1.1\r\n%H\r\n");
		expect(fd, 200, "hello");
	}
	free(a.body);
	close(fd);
}

/* ---- tests ---- */

static void requests_are_answered_on_one_connection(void **state)
{
	check("GET / HTTP/1.1\r\n%H\r\n", 200, "hello", false);
	check("GET / HTTP/1.1\r\n%HConnection: close\r\n\r\n", 200, "hello", true);
	check("GET / HTTP/1.0\r\n%H\r\n", 200, "hello", true);
	check("GET / HTTP/1.0\r\n%HConnection: keep-alive\r\n\r\n", 200, "hello", false);
	check("GET /name/a%20b?x=1&q=c%26d+e HTTP/1.1\r\n%HX-Test:  t \r\n\r\n", 201, "a b|c&d e|t", false);
	check("GET /json HTTP/1.1\r\n%H\r\n", 202, "{\"n\":3}", false);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 4\r\n\r\nbody", 200, "body", false);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", 200, "", false);
	check("DELETE /echo HTTP/1.1\r\n%H\r\n", 200, "", false);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	      "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
	      200, "body", false);
}

static void head_gives_the_headers_only(void **state)
{
	int fd = client_connect(port);
	say(fd, "HEAD /large HTTP/1.1\r\n%H\r\nGET / HTTP/1.1\r\n%H\r\n");
	struct answer a = read_answer(fd, true);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.head, "Content-Length: 1000000\r\n"));
	free(a.body);
	expect(fd, 200, "hello");
	close(fd);
}

static void a_known_etag_is_not_sent_again(void **state)
{
	int fd = client_connect(port);
	say(fd, "GET /tagged HTTP/1.1\r\n%HIf-None-Match: \"v0\", W/\"v1\"\r\n\r\nGET /tagged HTTP/1.1\r\n%HIf-None-Match: \"v2\"\r\n\r\n");
	struct answer a = read_answer(fd, false);
	assert_int_equal(a.status, 304);
	assert_null(strstr(a.head, "Content-Length"));
	free(a.body);
	expect(fd, 200, "tagged");
	close(fd);
}

static void what_is_wrong_has_its_status(void **state)
{
	check("GET /nowhere HTTP/1.1\r\n%H\r\n", 404, "message", false);
	check("GET /echo HTTP/1.1\r\n%H\r\n", 405, "message", false);
	check("BREW / HTTP/1.1\r\n%H\r\n", 501, NULL, true);
	check("GET / HTTP/3.0\r\n%H\r\n", 505, NULL, true);
	check("GET / HTTP/1.1\n%H\r\n", 400, NULL, true);
	check("GET /%zz HTTP/1.1\r\n%H\r\n", 400, "percent", false);
	check("GET /name/a?q=%zz HTTP/1.1\r\n%H\r\n", 400, "query", false);
	check("GET /name/a?r=1&q=%4 HTTP/1.1\r\n%H\r\n", 400, "query", false);
	check("GET /name/a?q=%00 HTTP/1.1\r\n%H\r\n", 400, "query", false);
	check("GET / HTTP/1.1\r\n\r\n", 400, "Host is missing", true);
	check("GET /refuse HTTP/1.1\r\n%H\r\n", 429, "the \\\"log\\\" is behind", false);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\n", 417, NULL, true);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
	      NULL, true);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "broken", true);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n", 413, NULL, true);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc", 415,
	      "gzip", false);
	check("POST /nowhere HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 4\r\n\r\nbody", 404, NULL, false);
	check("POST /nowhere HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 400000\r\n\r\nbody", 404, NULL, true);
	int fd = client_connect(port);
	say(fd, "PATCH /echo HTTP/1.1\r\n%H\r\n");
	struct answer a = read_answer(fd, false);
	assert_non_null(strstr(a.head, "\r\nAllow: POST, PUT, DELETE\r\n"));
	free(a.body);
	say(fd, "GET /refuse HTTP/1.1\r\n%H\r\n");
	a = read_answer(fd, false);
	assert_non_null(strstr(a.head, "\r\nRetry-After: 1\r\n"));
	free(a.body);
	close(fd);
}

static void what_is_too_long_has_its_status(void **state)
{
	char *text = malloc(100000);
	assert_non_null(text);
	snprintf(text, 100000, "GET /%09000d HTTP/1.1\r\n%%H\r\n", 0);
	check(text, 414, NULL, true);
	snprintf(text, 100000, "GET / HTTP/1.1\r\n%%HX: %040000d\r\n\r\n", 0);
	check(text, 431, NULL, true);
	free(text);
}

/* What a page in a browser can make it send: none of it may reach a handler. */
static void pages_of_other_sites_reach_no_handler(void **state)
{
	char host[64];
	/* a form's three media types */
	check("POST /echo HTTP/1.1\r\n%HOrigin: http://evil.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
	      "3\r\n\r\na=b",
	      403, NULL, false);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b", 415, NULL, false);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415, NULL, false);
	check("POST /echo HTTP/1.1\r\n%HContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 2\r\n\r\n{}", 415, NULL, false);
	check("POST /echo HTTP/1.1\r\n%HContent-Length: 2\r\n\r\n{}", 415, NULL, false);
	check("POST /echo HTTP/1.1\r\n%H\r\n", 415, NULL, false);
	/* another origin, also without a body */
	check("POST /echo HTTP/1.1\r\n%HOrigin: http://evil.example\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 403,
	      NULL, false);
	check("DELETE /echo HTTP/1.1\r\n%HOrigin: null\r\n\r\n", 403, NULL, false);
	check("PUT /echo HTTP/1.1\r\n%HOrigin: http://localhost:1\r\n\r\n", 403, NULL, false);
	/* a rebound name */
	snprintf(host, sizeof host, "Host: evil.example:%u\r\n", port);
	char text[512];
	snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", host);
	check(text, 403, "Host does not name this server", false);
	snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", host);
	check(text, 403, NULL, false);
	snprintf(text, sizeof text, "GET http://evil.example:%u/ HTTP/1.1\r\n%%H\r\n", port);
	check(text, 403, NULL, false);
	check("GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 403, NULL, false);
	/* each check ends with one GET / that may pass */
	int passed = atomic_load(&handled);
	assert_int_equal(passed, 13);
	/* our own page */
	snprintf(text, sizeof text,
		 "POST /echo HTTP/1.1\r\n%%HOrigin: http://127.0.0.1:%u\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		 port);
	check(text, 200, "{}", false);
	check("POST /ndjson HTTP/1.1\r\n%HContent-Type: application/x-ndjson\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", false);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	int fd = client_connect(port);
	char *text = malloc(400000), *at = text;
	for (int i = 0; i < 1000; i++)
		at += sprintf(
			at, "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n%08d",
			port, i);
	client_send(fd, text, (size_t)(at - text));
	for (int i = 0; i < 1000; i++) {
		char want[16];
		snprintf(want, sizeof want, "%08d", i);
		expect(fd, 200, want);
	}
	free(text);
	close(fd);
}

static void late_answers_keep_the_order(void **state)
{
	int fd = client_connect(port);
	say(fd, "GET /later HTTP/1.1\r\n%H\r\nGET / HTTP/1.1\r\n%H\r\nGET /later HTTP/1.1\r\n%H\r\nGET /json HTTP/1.1\r\n%H\r\n");
	eventually(atomic_load(&waiting_count) == 2);
	post(1, "second");
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	char byte;
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	post(0, "first");
	expect(fd, 200, "first");
	expect(fd, 200, "hello");
	expect(fd, 200, "second");
	expect(fd, 202, "{\"n\":3}");
	close(fd);
}

static void a_ticket_of_a_connection_that_went_is_told_so(void **state)
{
	int fd = client_connect(port);
	say(fd, "GET /later HTTP/1.1\r\n%H\r\n");
	eventually(atomic_load(&waiting_count) == 1);
	struct linger hard = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd); /* a reset */
	eventually(atomic_load(&gone) == 1);
	post(0, "nobody");
	eventually(atomic_load(&null_posts) == 1);
}

static void a_peer_that_ended_its_side_gets_its_answers(void **state)
{
	int fd = client_connect(port);
	say(fd, "GET /later HTTP/1.1\r\n%H\r\nGET / HTTP/1.1\r\n%H\r\nPOST /echo HTTP/1.1\r\n%HContent-Type: "
		"application/json\r\nContent-Length: 9\r\n\r\nhalf");
	shutdown(fd, SHUT_WR);
	eventually(atomic_load(&waiting_count) == 1);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	post(0, "still");
	expect(fd, 200, "still");
	expect(fd, 200, "hello");
	client_expect_end(fd);
	close(fd);
}

static void too_many_requests_under_way_pause_the_connection(void **state)
{
	int fd = client_connect(port);
	char *request = with_host("GET /later HTTP/1.1\r\n%H\r\n");
	client_send_str(fd, request);
	eventually(atomic_load(&waiting_count) == 1);
	for (int i = 0; i < 500; i++)
		say(fd, "GET / HTTP/1.1\r\n%H\r\n");
	eventually(atomic_load(&handled) == HTTP_PIPELINE_MAX - 1);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	assert_int_equal(atomic_load(&handled), HTTP_PIPELINE_MAX - 1);
	post(0, "go");
	expect(fd, 200, "go");
	for (int i = 0; i < 500; i++)
		expect(fd, 200, "hello");
	free(request);
	close(fd);
}

static void a_reader_that_does_not_read_stops_its_own_requests(void **state)
{
	int fd = client_connect(port);
	for (int i = 0; i < 40; i++)
		say(fd, "GET /large HTTP/1.1\r\n%H\r\n");
	for (int i = 0; i < 40; i++) {
		struct answer a = read_answer(fd, false);
		assert_int_equal(a.size, 1000000);
		assert_int_equal(a.body[999999], 'L');
		free(a.body);
	}
	close(fd);
}

static void continue_is_sent_when_the_body_is_wanted(void **state)
{
	int fd = client_connect(port);
	say(fd, "POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	char got[64] = "";
	client_read(fd, got, 25);
	assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send_str(fd, "body");
	expect(fd, 200, "body");
	/* and not when it is refused */
	say(fd, "POST /echo HTTP/1.1\r\n%HContent-Type: text/plain\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	expect(fd, 415, NULL);
	client_expect_end(fd);
	close(fd);
}

static void bodies_come_in_any_pieces(void **state)
{
	int fd = client_connect(port);
	say(fd, "POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
	const char *body = "3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nT: x\r\n\r\n";
	for (const char *p = body; *p; p++) {
		client_send(fd, p, 1);
		nanosleep(&(struct timespec){0, 500000}, NULL);
	}
	expect(fd, 200, "abcdefg");
	size_t size = 5000000;
	char *large_body = malloc(size), head[256];
	memset(large_body, 'b', size);
	snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\n%%HContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", size);
	say(fd, head);
	client_send(fd, large_body, size);
	struct answer a = read_answer(fd, false);
	assert_int_equal(a.size, size);
	assert_memory_equal(a.body, large_body, size);
	free(a.body);
	free(large_body);
	close(fd);
}

static struct buf gzipped(const void *data, size_t size)
{
	struct buf out;
	buf_init(&out);
	assert_int_equal(codec_compress(CODEC_GZIP, bytes_of(data, size), &out), SM_OK);
	return out;
}

static void post_gzip(int fd, struct bytes body)
{
	char head[256];
	snprintf(head, sizeof head,
		 "POST /echo HTTP/1.1\r\n%%HContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
		 body.size);
	say(fd, head);
	client_send(fd, body.data, body.size);
}

static void gzip_bodies_are_undone_and_bombs_refused(void **state)
{
	int fd = client_connect(port);
	struct buf z = gzipped("hello hello hello", 17);
	post_gzip(fd, buf_bytes(&z));
	expect(fd, 200, "hello hello hello");
	/* two members in a row are one body */
	struct buf twice;
	buf_init(&twice);
	buf_append_bytes(&twice, buf_bytes(&z));
	buf_append_bytes(&twice, buf_bytes(&z));
	post_gzip(fd, buf_bytes(&twice));
	expect(fd, 200, "hello hello hellohello hello hello");
	/* cut off, and not gzip at all */
	post_gzip(fd, bytes_of(z.data, z.end - 3));
	expect(fd, 400, NULL);
	close(fd);
	fd = client_connect(port);
	post_gzip(fd, BYTES("this is not gzip"));
	expect(fd, 400, NULL);
	close(fd);
	/* just as large as it may be, one more, and a bomb of 200 MiB in 200 KiB */
	char *zeros = calloc(1, HTTP_BODY_MAX + 1);
	struct buf most = gzipped(zeros, HTTP_BODY_MAX), more = gzipped(zeros, HTTP_BODY_MAX + 1), bomb;
	fd = client_connect(port);
	post_gzip(fd, buf_bytes(&most));
	struct answer a = read_answer(fd, false);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.size, HTTP_BODY_MAX);
	free(a.body);
	post_gzip(fd, buf_bytes(&more));
	expect(fd, 413, NULL);
	close(fd);
	buf_init(&bomb);
	for (int i = 0; i < 12; i++)
		buf_append_bytes(&bomb, buf_bytes(&most));
	fd = client_connect(port);
	post_gzip(fd, buf_bytes(&bomb));
	expect(fd, 413, NULL);
	client_expect_end(fd);
	close(fd);
	buf_done(&z);
	buf_done(&twice);
	buf_done(&most);
	buf_done(&more);
	buf_done(&bomb);
	free(zeros);
}

static void a_chunked_body_above_the_bound_is_refused(void **state)
{
	int fd = client_connect(port);
	say(fd, "POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
	char *piece = malloc(1 << 20);
	memset(piece, 'c', 1 << 20);
	for (int i = 0; i < 17; i++) {
		if (send(fd, "100000\r\n", 8, MSG_NOSIGNAL) < 0 || send(fd, piece, 1 << 20, MSG_NOSIGNAL) < 0 ||
		    send(fd, "\r\n", 2, MSG_NOSIGNAL) < 0)
			break;
	}
	expect(fd, 413, NULL);
	free(piece);
	close(fd);
}

static void slow_peers_are_told_and_closed(void **state)
{
	int head = client_connect(port), body = client_connect(port), idle = client_connect(port), drip = client_connect(port);
	say(head, "GET / HTTP/1.1\r\n%H");
	say(body, "POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 5\r\n\r\nab");
	say(drip, "POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 5\r\n\r\n");
	say(idle, "GET / HTTP/1.1\r\n%H\r\n");
	expect(idle, 200, "hello");
	for (int i = 0; i < 5; i++) { /* slower than the headers' time, but never stuck for the body's */
		nanosleep(&(struct timespec){0, 100000000}, NULL);
		client_send(drip, "d", 1);
	}
	expect(drip, 200, "ddddd");
	expect(head, 408, NULL);
	client_expect_end(head);
	expect(body, 408, NULL);
	client_expect_end(body);
	client_expect_end(idle); /* without a word */
	close(head);
	close(body);
	close(idle);
	close(drip);
}

/* A byte now and then, each in time, keeps no connection for ever. */
static void a_body_that_drips_ends_some_time(void **state)
{
	int fd = client_connect(port);
	uint64_t until = test_now_ms() + DEADLINE_MS;
	char byte;
	say(fd, "POST /echo HTTP/1.1\r\n%HContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n");
	while (recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && test_now_ms() < until) {
		(void)!send(fd, "d", 1, MSG_NOSIGNAL);
		nanosleep(&(struct timespec){0, 20000000}, NULL);
	}
	expect(fd, 408, NULL);
	client_expect_end(fd);
	close(fd);
}

static void *free_server(void *arg)
{
	http_server_free(server, 5000);
	server = NULL;
	return NULL;
}

static void stopping_finishes_what_has_begun(void **state)
{
	int fd = client_connect(port), quiet = client_connect(port);
	say(quiet, "GET / HTTP/1.1\r\n%H\r\n");
	expect(quiet, 200, "hello");
	say(fd, "GET /later HTTP/1.1\r\n%H\r\n");
	eventually(atomic_load(&waiting_count) == 1);
	pthread_t thread;
	pthread_create(&thread, NULL, free_server, NULL);
	client_expect_end(quiet);
	post(0, "done");
	expect(fd, 200, "done");
	client_expect_end(fd);
	pthread_join(thread, NULL);
	close(fd);
	close(quiet);
}

/* What a handler that blocks still uses stays: the pointer keeps it reachable. */
static struct http_server *volatile left_behind;

static void a_handler_that_blocks_keeps_its_server(void **state)
{
	int fd = client_connect(port);
	say(fd, "GET /block HTTP/1.1\r\n%H\r\n");
	eventually(atomic_load(&handled) == 1);
	left_behind = server;
	http_server_free(server, 10);
	server = NULL;
	atomic_store(&blocked, false);
	free(client_read_all(fd, NULL));
	close(fd);
}

static void events_reach_every_subscriber(void **state)
{
	int a = client_connect(port), b = client_connect(port);
	say(a, "GET /stream HTTP/1.1\r\n%H\r\nGET / HTTP/1.1\r\n%H\r\n");
	say(b, "GET / HTTP/1.1\r\n%H\r\nGET /stream HTTP/1.1\r\n%H\r\n");
	expect(b, 200, "hello");
	struct answer one = read_answer(a, false), two = read_answer(b, false);
	assert_non_null(strstr(one.head, "Content-Type: text/event-stream\r\n"));
	free(one.body);
	free(two.body);
	eventually(http_events_subscribers(events) == 2);
	http_events_send(events, "rates", BYTES("{\"a\":1}"));
	http_events_send(events, NULL, BYTES("two\nlines"));
	const char *want = "retry: 2000\n\nevent: rates\ndata: {\"a\":1}\n\ndata: two\ndata: lines\n\n";
	char got[128] = "";
	client_read(a, got, strlen(want));
	assert_string_equal(got, want);
	client_read(b, got, strlen(want));
	assert_string_equal(got, want);
	close(a);
	eventually(http_events_subscribers(events) == 1);
	http_events_send(events, "x", BYTES(""));
	client_read(b, got, 16);
	assert_memory_equal(got, "event: x\ndata: \n", 16);
	http_events_free(events);
	events = NULL;
	free(client_read_all(b, NULL));
	close(b);
}

static void a_subscriber_that_is_behind_loses_events_not_the_server(void **state)
{
	int fd = client_connect(port);
	say(fd, "GET /stream HTTP/1.1\r\n%H\r\n");
	eventually(http_events_subscribers(events) == 1);
	char *data = malloc(1 << 20);
	memset(data, 'e', 1 << 20);
	for (int i = 0; i < 64; i++)
		http_events_send(events, "big", bytes_of(data, 1 << 20));
	free(data);
	struct answer a = read_answer(fd, false);
	free(a.body);
	close(fd);
	eventually(http_events_subscribers(events) == 0);
}

static void the_client_speaks_to_the_server(void **state)
{
	struct http_client *client;
	struct http_response r;
	struct sm_error error;
	char url[64];
	assert_int_equal(http_client_new(&client), SM_OK);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/echo", port);
	const char *headers[] = {"Content-Type: application/json", NULL};
	for (int i = 0; i < 3; i++) {
		assert_int_equal(http_client_do(client, "POST", url, headers, BYTES("{}"), 5000, &r, &error), SM_OK);
		assert_int_equal(r.status, 200);
		assert_true(bytes_equal(buf_bytes(&r.body), BYTES("{}")));
		assert_string_equal(r.content_type, "application/octet-stream");
		http_response_done(&r);
	}
	snprintf(url, sizeof url, "http://127.0.0.1:%u/refuse", port);
	assert_int_equal(http_client_do(client, "GET", url, NULL, (struct bytes){0}, 5000, &r, &error), SM_OK);
	assert_int_equal(r.status, 429);
	assert_int_equal(r.retry_after_s, 1);
	http_response_done(&r);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/later", port);
	assert_int_equal(http_client_do(client, "GET", url, NULL, (struct bytes){0}, 200, &r, &error), SM_TIMEOUT);
	eventually(atomic_load(&waiting_count) == 1);
	post(0, "late");
	assert_int_equal(http_client_do(client, "GET", "http://127.0.0.1:1/", NULL, (struct bytes){0}, 2000, &r, &error), SM_UNAVAILABLE);
	assert_non_null(strstr(error.text, "127.0.0.1"));
	assert_int_equal(http_client_do(client, "GET", "file:///etc/hostname", NULL, (struct bytes){0}, 2000, &r, &error), SM_INVALID);
	http_client_free(client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_answered_on_one_connection),
		TEST(head_gives_the_headers_only),
		TEST(a_known_etag_is_not_sent_again),
		TEST(what_is_wrong_has_its_status),
		TEST(what_is_too_long_has_its_status),
		TEST(pages_of_other_sites_reach_no_handler),
		TEST(pipelined_requests_are_answered_in_order),
		TEST(late_answers_keep_the_order),
		TEST(a_ticket_of_a_connection_that_went_is_told_so),
		TEST(a_peer_that_ended_its_side_gets_its_answers),
		TEST(too_many_requests_under_way_pause_the_connection),
		TEST(a_reader_that_does_not_read_stops_its_own_requests),
		TEST(continue_is_sent_when_the_body_is_wanted),
		TEST(bodies_come_in_any_pieces),
		TEST(gzip_bodies_are_undone_and_bombs_refused),
		TEST(a_chunked_body_above_the_bound_is_refused),
		cmocka_unit_test_setup_teardown(slow_peers_are_told_and_closed, set_up_short, tear_down),
		cmocka_unit_test_setup_teardown(a_body_that_drips_ends_some_time, set_up_short, tear_down),
		TEST(stopping_finishes_what_has_begun),
		TEST(a_handler_that_blocks_keeps_its_server),
		TEST(events_reach_every_subscriber),
		TEST(a_subscriber_that_is_behind_loses_events_not_the_server),
		TEST(the_client_speaks_to_the_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
