/* <smack/http.h>: routes to functions and to actors, answers at once, later, and not at all. */
#include <smack/http.h>
#include "net/testing.h"
#include <stdatomic.h>

static struct sm_system *sys;
static struct sm_http_server *server;
static struct sm_ref *actor;
static struct sm_http_request *_Atomic kept;

static void echo(struct sm_http_request *request, void *arg)
{
	char text[400];
	struct sm_bytes name = sm_http_param(request, 0), q = sm_http_query(request, "q"), h = sm_http_header(request, "x-test"),
			path = sm_http_path(request), body = sm_http_body(request);
	int n = snprintf(text, sizeof text, "%s|%s|%.*s|%.*s|%.*s|%.*s|%.*s", (const char *)arg, sm_http_method(request), (int)path.size,
			 (const char *)path.data, (int)name.size, (const char *)name.data, (int)q.size, (const char *)q.data, (int)h.size,
			 (const char *)h.data, (int)body.size, (const char *)body.data);
	sm_http_reply(request, 200, "text/plain", (struct sm_bytes){text, (size_t)n});
}

static void keep(struct sm_http_request *request, void *arg)
{
	atomic_store(&kept, request);
}

/* Answers at once; "keep": later; "drop": frees the message unread; "fail": fails. */
static enum sm_err receive(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	if (msg->type != &sm_msg_http_request)
		return SM_OK;
	struct sm_http_request *request = sm_http_take(msg);
	assert_null(sm_http_take(msg));
	struct sm_bytes what = sm_http_param(request, 0);
	if (what.size == 4 && memcmp(what.data, "keep", 4) == 0)
		atomic_store(&kept, request);
	else if (what.size == 4 && memcmp(what.data, "drop", 4) == 0)
		sm_http_drop(request);
	else
		sm_http_reply(request, 201, NULL, (struct sm_bytes){0});
	return SM_OK;
}

static enum sm_err refuse(struct sm_actor *self, void *state, struct sm_msg *msg)
{
	return SM_FAILED;
}

static struct sm_ref *spawn(enum sm_err (*what)(struct sm_actor *, void *, struct sm_msg *), uint32_t restarts)
{
	struct sm_ref *ref;
	struct sm_props props = {.receive = what, .dispatcher = -1, .supervision = {.restarts_max = restarts}};
	assert_int_equal(sm_spawn(sys, NULL, &props, &ref), SM_OK);
	return ref;
}

static int set_up(void **state)
{
	struct sm_error error;
	sys = test_system(2);
	actor = spawn(receive, 0);
	struct sm_ref *failing = spawn(refuse, 1);
	static char arg[] = "arg";
	const struct sm_http_route routes[] = {
		{.method = "GET POST", .pattern = "/echo/{name}", .handle = echo, .arg = arg},
		{.method = "GET", .pattern = "/later", .handle = keep},
		{.method = "PUT", .pattern = "/actor/{what}", .to = actor},
		{.method = "PUT", .pattern = "/failing", .to = failing},
		{0},
	};
	atomic_store(&kept, NULL);
	if (sm_http_start(&(struct sm_http_options){.system = sys}, routes, &server, &error))
		fail_msg("%s", error.text);
	sm_unref(failing);
	return 0;
}

static int tear_down(void **state)
{
	sm_http_stop(server, 1000);
	sm_unref(actor);
	assert_int_equal(sm_system_stop(sys, DEADLINE_MS), SM_OK);
	return 0;
}

static int ask(const char *line, const char *body)
{
	int fd = client_connect(sm_http_port(server));
	char text[500];
	snprintf(text, sizeof text,
		 "%s HTTP/1.1\r\nHost: localhost:%u\r\nX-Test: hi\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", line,
		 sm_http_port(server), *body ? "Content-Type: application/json\r\n" : "", strlen(body), body);
	client_send_str(fd, text);
	return fd;
}

static void answers(int fd, const char *status, const char *body)
{
	char *answer = client_read_all(fd, NULL);
	if (strncmp(answer + 9, status, strlen(status)) != 0 || (body && !strstr(answer, body)))
		fail_msg("wanted %s with %s, got %s", status, body, answer);
	free(answer);
	close(fd);
}

static void a_function_reads_the_request_and_answers(void **state)
{
	answers(ask("POST /echo/a%20b?q=x+y&r=1", "{}"), "200", "arg|POST|/echo/a b|a b|x y|hi|{}");
	answers(ask("GET /echo/n", ""), "200", "arg|GET|/echo/n|n||hi|");
	answers(ask("DELETE /echo/n", ""), "405", NULL);
	answers(ask("GET /nowhere", ""), "404", NULL);
}

static void an_answer_comes_later_from_another_thread(void **state)
{
	int fd = ask("GET /later", "");
	eventually(atomic_load(&kept));
	sm_http_reply(atomic_load(&kept), 200, "text/plain", (struct sm_bytes){"late", 4});
	answers(fd, "200", "\r\n\r\nlate");
}

static void an_answer_to_a_client_that_has_gone_is_freed(void **state)
{
	int fd = ask("GET /later", "");
	eventually(atomic_load(&kept));
	close(fd);
	sm_http_reply(atomic_load(&kept), 200, "text/plain", (struct sm_bytes){"late", 4});
}

static void an_actor_gets_requests_as_messages(void **state)
{
	answers(ask("PUT /actor/answer", ""), "201", NULL);
	answers(ask("PUT /actor/drop", ""), "503", "nobody has answered");
	int fd = ask("PUT /actor/keep", "");
	eventually(atomic_load(&kept));
	sm_http_reply_error(atomic_load(&kept), SM_FULL, "come \"again\"");
	answers(fd, "429", "{\"message\":\"come \\\"again\\\"\"}");
}

static void a_request_on_which_its_actor_fails_gets_503(void **state)
{
	answers(ask("PUT /failing", ""), "503", "nobody has answered");
	answers(ask("PUT /failing", ""), "503", "nobody has answered");
	/* That was its last restart: the actor has ended. */
	answers(ask("PUT /failing", ""), "503", NULL);
}

static void routes_that_lead_nowhere_are_refused(void **state)
{
	struct sm_http_server *other;
	struct sm_error error;
	struct sm_http_options options = {.system = sys};
	const struct sm_http_route none[] = {{.method = "GET", .pattern = "/"}, {0}};
	assert_int_equal(sm_http_start(&options, none, &other, &error), SM_INVALID);
	const struct sm_http_route method[] = {{.method = "GETS", .pattern = "/", .handle = echo}, {0}};
	assert_int_equal(sm_http_start(&options, method, &other, &error), SM_INVALID);
	const struct sm_http_route twice[] = {
		{.method = "GET", .pattern = "/", .handle = echo}, {.method = "GET", .pattern = "/", .to = actor}, {0}};
	assert_int_equal(sm_http_start(&options, twice, &other, &error), SM_EXISTS);
	options.port = sm_http_port(server);
	const struct sm_http_route good[] = {{.method = "GET", .pattern = "/", .handle = echo}, {0}};
	assert_int_equal(sm_http_start(&options, good, &other, &error), SM_BUSY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_function_reads_the_request_and_answers),     TEST(an_answer_comes_later_from_another_thread),
		TEST(an_answer_to_a_client_that_has_gone_is_freed), TEST(an_actor_gets_requests_as_messages),
		TEST(a_request_on_which_its_actor_fails_gets_503),  TEST(routes_that_lead_nowhere_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
