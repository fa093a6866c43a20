/* Routes and the guard, without connections. */
#include "net/http_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void handle(struct http_request *request) {}

static void add(struct http__routes *routes, unsigned methods, const char *pattern)
{
	struct http_route route = {.methods = methods, .pattern = pattern, .handle = handle};
	assert_int_equal(http__routes_add(routes, &route), SM_OK);
}

static void the_most_exact_route_wins(void **state)
{
	struct http__routes routes = {0};
	add(&routes, HTTP_GET, "/*");
	add(&routes, HTTP_GET, "/v2/{name}");
	add(&routes, HTTP_GET, "/v2/apps");
	add(&routes, HTTP_GET | HTTP_DELETE, "/v2/apps/*");
	add(&routes, HTTP_POST, "/v2/apps");
	add(&routes, HTTP_GET, "/v2/apps/{id}/tasks");
	add(&routes, HTTP_POST, "/topics/{topic}/{partition}");
	static const struct {
		enum http_method method;
		const char *path, *pattern, *param, *second;
		unsigned allowed;
	} cases[] = {
		{HTTP_GET, "/", "/*", "", NULL, 0},
		{HTTP_HEAD, "/x/y", "/*", "x/y", NULL, 0},
		{HTTP_GET, "/v2/apps", "/v2/apps", NULL, NULL, 0},
		{HTTP_POST, "/v2/apps", "/v2/apps", NULL, NULL, 0},
		{HTTP_GET, "/v2/other", "/v2/{name}", "other", NULL, 0},
		{HTTP_GET, "/v2/", "/*", "v2/", NULL, 0},
		{HTTP_GET, "/v2/apps/a/b/c", "/v2/apps/*", "a/b/c", NULL, 0},
		{HTTP_GET, "/v2/apps/a/tasks", "/v2/apps/{id}/tasks", "a", NULL, 0},
		{HTTP_DELETE, "/v2/apps/a/tasks", "/v2/apps/*", "a/tasks", NULL, 0},
		{HTTP_PUT, "/v2/apps", NULL, NULL, NULL, HTTP_GET | HTTP_HEAD | HTTP_POST},
		{HTTP_DELETE, "/", NULL, NULL, NULL, HTTP_GET | HTTP_HEAD},
		{HTTP_POST, "/topics/a/3", "/topics/{topic}/{partition}", "a", "3", 0},
		{HTTP_POST, "/topics/a", NULL, NULL, NULL, HTTP_GET | HTTP_HEAD},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bytes params[4] = {0};
		unsigned allowed;
		const struct http_route *r = http__routes_find(&routes, cases[i].method, bytes_str(cases[i].path), params, &allowed);
		if (!r != !cases[i].pattern || (r && strcmp(r->pattern, cases[i].pattern) != 0))
			fail_msg("%s went to %s", cases[i].path, r ? r->pattern : "nothing");
		if (!r)
			assert_int_equal(allowed, cases[i].allowed);
		if (cases[i].param)
			assert_true(bytes_equal(params[0], bytes_str(cases[i].param)));
		if (cases[i].second)
			assert_true(bytes_equal(params[1], bytes_str(cases[i].second)));
	}
	http__routes_done(&routes);
}

static void broken_patterns_and_doubles_are_refused(void **state)
{
	struct http__routes routes = {0};
	static const char *const bad[] = {"", "a", "/*x", "/a*", "/{", "/{}", "/a{b}", "/{a}b", "/}", "/{a/b}", "/{a}/{b}/{c}/{d}/{e}"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct http_route route = {.methods = HTTP_GET, .pattern = bad[i], .handle = handle};
		if (http__routes_add(&routes, &route) != SM_INVALID)
			fail_msg("%s was taken", bad[i]);
	}
	add(&routes, HTTP_GET, "/a/{b}");
	struct http_route same = {.methods = HTTP_GET | HTTP_POST, .pattern = "/a/{c}", .handle = handle};
	assert_int_equal(http__routes_add(&routes, &same), SM_EXISTS);
	http__routes_done(&routes);
}

static void only_loopback_names_with_our_port_pass_as_host(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		bool ok;
	} cases[] = {
		{"localhost:8080", 8080, true},
		{"LocalHost:8080", 8080, true},
		{"127.0.0.1:8080", 8080, true},
		{"127.255.3.4:8080", 8080, true},
		{"[::1]:8080", 8080, true},
		{"localhost", 80, true},
		{"[::1]", 80, true},
		{"localhost", 8080, false},
		{"localhost:80", 8080, false},
		{"localhost:8081", 8080, false},
		{"evil.example:8080", 8080, false},
		{"localhost.evil.example:8080", 8080, false},
		{"127.0.0.1.evil.example:8080", 8080, false},
		{"128.0.0.1:8080", 8080, false},
		{"127.1:8080", 8080, false},
		{"127.0.0.256:8080", 8080, false},
		{"0x7f.0.0.1:8080", 8080, false},
		{"127.0.0.1.:8080", 8080, false},
		{"2130706433:8080", 8080, false},
		{"0.0.0.0:8080", 8080, false},
		{"[::]:8080", 8080, false},
		{"[::1:8080", 8080, false},
		{"::1:8080", 8080, false},
		{"localhost:", 8080, false},
		{"localhost:08080x", 8080, false},
		{"localhost:73616", 8080, false},
		{"", 80, false},
		{":80", 80, false},
		{"[::1]x:80", 80, false},
		{"localhost:8080:8080", 8080, false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (http__guard_host(bytes_str(cases[i].host), cases[i].port, false) != cases[i].ok)
			fail_msg("%s", cases[i].host);
}

static void only_our_own_origin_passes(void **state)
{
	assert_true(http__guard_origin(BYTES("http://localhost:8080"), 8080, false));
	assert_true(http__guard_origin(BYTES("http://127.0.0.1:8080"), 8080, false));
	assert_true(http__guard_origin(BYTES("http://[::1]:8080"), 8080, false));
	assert_false(http__guard_origin(BYTES("https://localhost:8080"), 8080, false));
	assert_false(http__guard_origin(BYTES("http://localhost:3000"), 8080, false));
	assert_false(http__guard_origin(BYTES("http://localhost"), 8080, false));
	assert_false(http__guard_origin(BYTES("http://evil.example"), 8080, false));
	assert_false(http__guard_origin(BYTES("null"), 8080, false));
	assert_false(http__guard_origin(BYTES(""), 8080, false));
	assert_false(http__guard_origin(BYTES("http://"), 8080, false));
	assert_true(http__guard_origin(BYTES("https://localhost:8443"), 8443, true));
	assert_true(http__guard_origin(BYTES("https://localhost"), 443, true));
	assert_false(http__guard_origin(BYTES("http://localhost:8443"), 8443, true));
	assert_true(http__guard_host(BYTES("localhost"), 443, true));
	assert_false(http__guard_host(BYTES("localhost"), 80, true));
}

static void media_types_are_compared_without_parameters(void **state)
{
	assert_true(http__guard_media_type(BYTES("application/json"), "application/json"));
	assert_true(http__guard_media_type(BYTES("Application/JSON ; charset=utf-8"), "application/json"));
	assert_true(http__guard_media_type(BYTES("application/x-ndjson"), "application/json, application/x-ndjson"));
	assert_false(http__guard_media_type(BYTES("text/plain"), "application/json"));
	assert_false(http__guard_media_type(BYTES("application/json-patch"), "application/json"));
	assert_false(http__guard_media_type(BYTES("application/jso"), "application/json"));
	assert_false(http__guard_media_type(BYTES(""), "application/json"));
	assert_false(http__guard_media_type(BYTES("text/plain; application/json"), "application/json"));
	assert_false(http__guard_media_type(BYTES("application/json, text/plain"), "application/json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_exact_route_wins),
		cmocka_unit_test(broken_patterns_and_doubles_are_refused),
		cmocka_unit_test(only_loopback_names_with_our_port_pass_as_host),
		cmocka_unit_test(only_our_own_origin_passes),
		cmocka_unit_test(media_types_are_compared_without_parameters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
