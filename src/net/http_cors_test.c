/* Pages of other origins: what is configured, what their browsers are told, on both kinds of listener. */
#include "net/http.h"
#include "net/http2_testing.h"

static struct sm_system *sys;
static struct http_server *server;
static uint16_t ports[2]; /* the first listener's, one for clients elsewhere */
static atomic_int handled;

static void note(struct http_request *request)
{
	atomic_fetch_add(&handled, 1);
	http_reply(request, 202, "text/plain", BYTES("noted"));
}

static bool is_known(void *arg, struct bytes user, struct bytes secret, char **ret_user)
{
	return bytes_equal(secret, BYTES("pw")) && (*ret_user = strdup("ann"));
}

static void start(const char *origins, bool credentials)
{
	struct sm_error error;
	const struct http_route routes[] = {
		{.methods = HTTP_POST, .pattern = "/send/{topic}", .handle = note, .outside = true, .cors = true},
		{.methods = HTTP_PUT, .pattern = "/send/{topic}", .handle = note, .outside = true},
		{.methods = HTTP_POST | HTTP_GET, .pattern = "/other", .handle = note, .outside = true}};
	struct http_cors_options cors = {
		.origins = origins, .headers = "Content-Type,  Authorization", .max_age_s = 600, .credentials = credentials};
	sys = test_system(1);
	struct http_server_options options = {.system = sys, .host = "127.0.0.1"};
	struct http_listen_options outside = {.host = "127.0.0.1", .login = is_known};
	if ((origins && http_cors_new(&cors, &options.cors, &error)) || http_server_new(&options, &server, &error))
		fail_msg("%s", error.text);
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		assert_int_equal(http_server_route(server, &routes[i]), SM_OK);
	if (http_server_start(server, &error) || http_server_listen(server, &outside, &error))
		fail_msg("%s", error.text);
	ports[0] = http_server_port(server);
	ports[1] = http_server_listener_port(server, 0);
	atomic_store(&handled, 0);
}

static void stop(void)
{
	http_server_free(server, 2000);
	assert_int_equal(sm_system_stop(sys, 5000), SM_OK);
}

/* The whole answer of one request, whose lines begin with "METHOD PATH"; @ stands for the origin. The caller frees. */
static char *ask(uint16_t port, const char *lines, const char *origin)
{
	char request[1024];
	int fd = client_connect(port);
	const char *end = strstr(lines, "\r\n"), *at = strchr(lines, '@');
	assert_true(end && at);
	snprintf(request, sizeof request, "%.*s HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close%.*s%s%s%s", (int)(end - lines), lines,
		 port, (int)(at - end), end, origin, at + 1, strstr(lines, "\r\n\r\n") ? "" : "\r\n");
	client_send_str(fd, request);
	char *got = client_read_all(fd, NULL);
	close(fd);
	return got;
}

static void expect_with(uint16_t port, const char *lines, const char *origin, const char *const *wanted)
{
	char *got = ask(port, lines, origin);
	for (; *wanted; wanted++) {
		bool without = **wanted == '!';
		if ((strstr(got, *wanted + without) == NULL) != without)
			fail_msg("%s%s: %s", without ? "there is " : "missing ", *wanted + without, got);
	}
	free(got);
}
#define EXPECT(port, lines, origin, ...) expect_with(port, lines, origin, (const char *const[]){__VA_ARGS__, NULL})

#define PREFLIGHT                                                                 \
	"OPTIONS /send/t\r\nOrigin: @\r\nAccess-Control-Request-Method: POST\r\n" \
	"Access-Control-Request-Headers: authorization,content-type\r\n"
#define POST "POST /send/t\r\nOrigin: @\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
#define ANN_POST \
	"POST /send/t\r\nAuthorization: Basic YW5uOnB3\r\nOrigin: @\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
#define APP "https://app.example"

static void a_named_origin_is_answered_before_a_login(void **state)
{
	start(APP " http://127.0.0.1:3000", false);
	for (int i = 0; i < 2; i++) {
		EXPECT(ports[i], PREFLIGHT, APP, "HTTP/1.1 204 ", "\r\nAccess-Control-Allow-Origin: " APP "\r\n", "\r\nVary: Origin\r\n",
		       "\r\nAccess-Control-Allow-Methods: POST\r\n", "\r\nAccess-Control-Allow-Headers: Content-Type, Authorization\r\n",
		       "\r\nAccess-Control-Max-Age: 600\r\n", "!Allow-Credentials", "!WWW-Authenticate");
		EXPECT(ports[i], PREFLIGHT, "http://127.0.0.1:3000", "HTTP/1.1 204 ",
		       "\r\nAccess-Control-Allow-Origin: http://127.0.0.1:3000\r\n");
	}
	assert_int_equal(atomic_load(&handled), 0);
	EXPECT(ports[0], POST, APP, "HTTP/1.1 202 ", "\r\nAccess-Control-Allow-Origin: " APP "\r\n", "\r\nVary: Origin\r\n",
	       "\r\nAccess-Control-Expose-Headers: Retry-After\r\n");
	EXPECT(ports[1], ANN_POST, APP, "HTTP/1.1 202 ", "\r\nAccess-Control-Allow-Origin: " APP "\r\n", "\r\nVary: Origin\r\n");
	assert_int_equal(atomic_load(&handled), 2);
	/* A page may read why it is refused. */
	EXPECT(ports[1], POST, APP, "HTTP/1.1 401 ", "\r\nAccess-Control-Allow-Origin: " APP "\r\n");
	EXPECT(ports[0], "POST /send/t\r\nOrigin: @\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", APP, "HTTP/1.1 415 ",
	       "\r\nAccess-Control-Allow-Origin: " APP "\r\n");
	/* Caches are told also where no page asks. */
	EXPECT(ports[0], "POST /send/t\r\nX-Not: @\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", APP, "HTTP/1.1 202 ",
	       "\r\nVary: Origin\r\n", "!Access-Control");
	stop();
}

static void others_are_refused(void **state)
{
	start(APP, false);
	static const char *const others[] = {"https://app.example:8443",
					     "http://app.example",
					     "https://app.example.evil.example",
					     "https://evil.example",
					     "null",
					     "HTTPS://APP.EXAMPLE",
					     "https://app.example/",
					     ""};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		EXPECT(ports[0], PREFLIGHT, others[i], "HTTP/1.1 403 ", "\r\nVary: Origin\r\n", "!Access-Control");
		EXPECT(ports[0], POST, others[i], "HTTP/1.1 403 ", "!Access-Control");
		EXPECT(ports[1], PREFLIGHT, others[i], "HTTP/1.1 403 ", "!Access-Control");
		EXPECT(ports[1], POST, others[i], "HTTP/1.1 401 ", "!Access-Control");
		EXPECT(ports[1], ANN_POST, others[i], "HTTP/1.1 403 ", "!Access-Control");
	}
	assert_int_equal(atomic_load(&handled), 0);
	stop();
}

static void only_routes_of_this_kind_have_it(void **state)
{
	start(APP, false);
	static const char *const asked[][2] = {{"/other", "POST"}, {"/send/t", "PUT"},      {"/send/t", "GET"},     {"/none", "POST"},
					       {"/%00", "POST"},   {"/send/t?%zz", "POST"}, {"/send/t", "CONNECT"}, {"*", "POST"}};
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		char lines[300];
		snprintf(lines, sizeof lines, "OPTIONS %s\r\nOrigin: @\r\nAccess-Control-Request-Method: %s\r\n", asked[i][0], asked[i][1]);
		EXPECT(ports[0], lines, APP, "!HTTP/1.1 2", "!Access-Control");
		EXPECT(ports[1], lines, APP, "HTTP/1.1 401 ", "!Access-Control");
	}
	EXPECT(ports[0], "POST /other\r\nOrigin: @\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", APP, "HTTP/1.1 403 ",
	       "!Access-Control", "!Vary");
	EXPECT(ports[0], "GET /other\r\nOrigin: @\r\n", APP, "HTTP/1.1 202 ", "!Access-Control", "!Vary");
	/* What is no preflight is a request as any other: it says who sends it. */
	EXPECT(ports[1], "OPTIONS /send/t\r\nOrigin: @\r\n", APP, "HTTP/1.1 401 ");
	EXPECT(ports[1], "OPTIONS /send/t\r\nX: @\r\nAccess-Control-Request-Method: POST\r\n", APP, "HTTP/1.1 401 ", "!Access-Control");
	EXPECT(ports[1],
	       "OPTIONS /send/t\r\nOrigin: @\r\nAccess-Control-Request-Method: POST\r\nContent-Type: application/json\r\n"
	       "Content-Length: 2\r\n\r\n{}",
	       APP, "HTTP/1.1 401 ");
	stop();
}

static void a_rebound_name_is_refused_first(void **state)
{
	start("*", false);
	int fd = client_connect(ports[0]);
	client_send_str(fd, "OPTIONS /send/t HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nOrigin: http://evil.example\r\n"
			    "Access-Control-Request-Method: POST\r\n\r\n");
	char *got = client_read_all(fd, NULL);
	assert_non_null(strstr(got, "HTTP/1.1 403 "));
	free(got);
	close(fd);
	stop();
}

static void all_origins_are_one_answer(void **state)
{
	start("*", false);
	EXPECT(ports[0], PREFLIGHT, "https://anyone.example", "HTTP/1.1 204 ", "\r\nAccess-Control-Allow-Origin: *\r\n", "!Vary",
	       "!Credentials");
	EXPECT(ports[1], PREFLIGHT, "null", "HTTP/1.1 204 ", "\r\nAccess-Control-Allow-Origin: *\r\n");
	EXPECT(ports[0], POST, "https://anyone.example", "HTTP/1.1 202 ", "\r\nAccess-Control-Allow-Origin: *\r\n", "!Vary");
	EXPECT(ports[1], ANN_POST, "https://anyone.example", "HTTP/1.1 202 ", "\r\nAccess-Control-Allow-Origin: *\r\n");
	stop();
	start(APP, true);
	EXPECT(ports[0], PREFLIGHT, APP, "HTTP/1.1 204 ", "\r\nAccess-Control-Allow-Credentials: true\r\n");
	EXPECT(ports[0], POST, APP, "HTTP/1.1 202 ", "\r\nAccess-Control-Allow-Credentials: true\r\n");
	stop();
}

static void it_is_off_unless_it_is_asked_for(void **state)
{
	start(NULL, false);
	EXPECT(ports[0], PREFLIGHT, APP, "HTTP/1.1 405 ", "!Access-Control", "!Vary");
	EXPECT(ports[0], POST, APP, "HTTP/1.1 403 ", "!Access-Control", "!Vary");
	EXPECT(ports[1], PREFLIGHT, APP, "HTTP/1.1 401 ", "!Access-Control");
	stop();
}

static void a_preflight_does_not_hold_up_what_follows(void **state)
{
	start(APP, false);
	int fd = client_connect(ports[1]);
	client_send_str(fd, "OPTIONS /send/t HTTP/1.1\r\nHost: a\r\nOrigin: " APP "\r\nAccess-Control-Request-Method: POST\r\n\r\n"
			    "POST /send/t HTTP/1.1\r\nHost: a\r\nOrigin: " APP "\r\nAuthorization: Basic YW5uOnB3\r\nConnection: close\r\n"
			    "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	char *got = client_read_all(fd, NULL);
	char *second = strstr(got, "HTTP/1.1 202 ");
	assert_non_null(strstr(got, "HTTP/1.1 204 "));
	assert_non_null(second);
	assert_non_null(strstr(second, "\r\nAccess-Control-Allow-Origin: " APP "\r\n"));
	free(got);
	close(fd);
	stop();
}

/* ---- HTTP/2 ---- */

static struct client_stream *ask2(struct client *c, int fd, const char *method, const char *const *lines, struct bytes body)
{
	static uint8_t data[65536];
	struct client_stream *s = client_request(c, method, "/send/t", lines, body, false);
	for (;;) {
		struct buf out = {0};
		client_take(c, &out);
		if (buf_size(&out))
			client_send(fd, buf_bytes(&out).data, buf_size(&out));
		buf_done(&out);
		if (s->closed)
			return s;
		ssize_t n = recv(fd, data, sizeof data, 0);
		if (n <= 0)
			fail_msg("recv: %s", n ? strerror(errno) : "end");
		client_feed(c, bytes_of(data, (size_t)n));
	}
}

static void on_http2_it_is_the_same(void **state)
{
	start(APP, false);
	for (int i = 0; i < 2; i++) {
		struct client *c = client_new(0);
		int fd = client_connect(ports[i]);
		char host[32];
		snprintf(host, sizeof host, "localhost:%u", ports[i]);
		c->authority = host;
		const char *const preflight[] = {"origin", APP, "access-control-request-method", "POST", NULL};
		const char *const foreign[] = {"origin", "https://evil.example", "access-control-request-method", "POST", NULL};
		const char *const send[] = {"origin", APP, "content-type", "application/json", "authorization", "Basic YW5uOnB3", NULL};
		const struct bytes none = {0};
		c->want = "access-control-allow-origin";
		struct client_stream *a = ask2(c, fd, "OPTIONS", preflight, none);
		assert_int_equal(a->status, 204);
		assert_string_equal(a->header, APP);
		c->want = "access-control-allow-headers";
		assert_string_equal(ask2(c, fd, "OPTIONS", preflight, none)->header, "Content-Type, Authorization");
		assert_int_equal(ask2(c, fd, "OPTIONS", foreign, none)->status, 403);
		c->want = "access-control-allow-origin";
		a = ask2(c, fd, "POST", send, BYTES("{}"));
		assert_int_equal(a->status, 202);
		assert_string_equal(a->header, APP);
		c->want = "vary";
		assert_string_equal(ask2(c, fd, "POST", send, BYTES("{}"))->header, "Origin");
		close(fd);
		client_free(c);
	}
	stop();
}

/* ---- what is configured ---- */

static void wrong_settings_say_what_is_right(void **state)
{
	static const char *const wrong[][3] = {
		{"", "Content-Type", "names none"},
		{" , ", "Content-Type", "names none"},
		{"null", "", "without an origin"},
		{"app.example", "", "has no scheme"},
		{"://app.example", "", "has no scheme"},
		{"ht_tp://app.example", "", "scheme"},
		{"https://app.example/", "", "has a path"},
		{"https://app.example/x", "", "has a path"},
		{"https://app.example?x", "", "has a path"},
		{"https://*.example", "", "has a *"},
		{"https://", "", "host and port"},
		{"https://user@app.example", "", "host and port"},
		{"https://app.example:0", "", "host and port"},
		{"https://app.example:65536", "", "host and port"},
		{"https://[::1", "", "host and port"},
		{"https://b\xc3\xbc.example", "", "not ASCII"},
		{"https://app.example:443", "", "own port"},
		{"http://app.example:80", "", "own port"},
		{"* https://app.example", "", "* stands alone"},
		{APP, "Content-Type, *", "no header's name"},
		{APP, "Content Type", "no header's name"},
	};
	struct http_cors *cors;
	struct sm_error error;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct http_cors_options options = {.origins = wrong[i][0], .headers = wrong[i][1]};
		assert_int_equal(http_cors_new(&options, &cors, &error), SM_INVALID);
		if (!strstr(error.text, wrong[i][2]))
			fail_msg("%s: %s", wrong[i][0], error.text);
	}
	struct http_cors_options both = {.origins = "*", .headers = "", .credentials = true};
	assert_int_equal(http_cors_new(&both, &cors, &error), SM_INVALID);
	assert_non_null(strstr(error.text, "credentials"));
	static const char *const right[] = {"*",
					    APP,
					    "http://localhost:3000, http://[::1]:3000 capacitor://localhost",
					    "http://app.example:443",
					    "https://app.example:80",
					    "HTTPS://APP.example"};
	for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
		struct http_cors_options options = {.origins = right[i], .headers = ""};
		if (http_cors_new(&options, &cors, &error))
			fail_msg("%s: %s", right[i], error.text);
		http_cors_free(cors);
	}
	char many[4000] = "";
	for (int i = 0; i < 65; i++)
		snprintf(many + strlen(many), sizeof many - strlen(many), "https://a%d.example ", i);
	struct http_cors_options too_many = {.origins = many, .headers = ""};
	assert_int_equal(http_cors_new(&too_many, &cors, &error), SM_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_named_origin_is_answered_before_a_login),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(only_routes_of_this_kind_have_it),
		cmocka_unit_test(a_rebound_name_is_refused_first),
		cmocka_unit_test(all_origins_are_one_answer),
		cmocka_unit_test(it_is_off_unless_it_is_asked_for),
		cmocka_unit_test(a_preflight_does_not_hold_up_what_follows),
		cmocka_unit_test(on_http2_it_is_the_same),
		cmocka_unit_test(wrong_settings_say_what_is_right),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
