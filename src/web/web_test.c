/* The dashboard's routes behind a real HTTP server in this process, with status documents of the test's own. */
#include "web/web_internal.h"
#include "base/metrics.h"
#include "net/testing.h"

static struct sm_system *sys;
static struct http_server *server;
static struct web *web;
static uint16_t port;
static atomic_int made;
static atomic_bool held; /* the callback waits */
static bool no_report;
static char argument[] = "the argument";

static json_t *status(void *arg)
{
	while (atomic_load(&held))
		nanosleep(&(struct timespec){0, 200000}, NULL);
	int n = atomic_fetch_add(&made, 1);
	return json_pack("{s:i s:s s:[{s:s}]}", "made", n, "arg", arg, "topics", "name", "<b>\"line\nbreak\"</b>");
}
static json_t *report(void *arg)
{
	return no_report ? NULL : json_pack("{s:[s s] s:[[s i]]}", "columns", "campaign", "views", "rows", "men-bts", 10000);
}

static int set_up(void **state)
{
	struct sm_error error;
	atomic_store(&made, 0);
	atomic_store(&held, false);
	no_report = false;
	sys = test_system(2);
	struct web_options options = {.system = sys, .status = status, .report = report, .arg = argument};
	if (web_new(&options, &web, &error))
		fail_msg("%s", error.text);
	struct http_server_options http = {.system = sys, .host = "127.0.0.1"};
	if (http_server_new(&http, &server, &error))
		fail_msg("%s", error.text);
	assert_int_equal(web_routes(web, server), SM_OK);
	if (http_server_start(server, &error))
		fail_msg("%s", error.text);
	port = http_server_port(server);
	return 0;
}

static int tear_down(void **state)
{
	atomic_store(&held, false);
	http_server_free(server, 3000);
	web_free(web);
	assert_int_equal(sm_system_stop(sys, 5000), SM_OK);
	return 0;
}

/* The whole answer; the caller frees. */
static char *ask(const char *method, const char *path, const char *headers)
{
	char text[1024];
	snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n%s\r\n", method, path, port, headers);
	int fd = client_connect(port);
	client_send_str(fd, text);
	char *answer = client_read_all(fd, NULL);
	close(fd);
	return answer;
}
static void expect(const char *answer, const char *part)
{
	if (!strstr(answer, part))
		fail_msg("no \"%s\" in: %.1500s", part, answer);
}
static void ask_for(const char *method, const char *path, const char *headers, const char *first, const char *second)
{
	char *answer = ask(method, path, headers);
	expect(answer, first);
	if (second)
		expect(answer, second);
	free(answer);
}

/* ---- the page's files ---- */

static void page_comes_with_a_policy_that_allows_only_this_server(void **state)
{
	char *answer = ask("GET", "/", "");
	expect(answer, "HTTP/1.1 200 OK\r\n");
	expect(answer, "Content-Type: text/html; charset=utf-8\r\n");
	expect(answer, "Content-Security-Policy: default-src 'self'; ");
	expect(answer, "X-Content-Type-Options: nosniff\r\n");
	expect(answer, "Cache-Control: no-cache\r\n");
	expect(answer, "<!doctype html>");
	free(answer);
}

static void every_file_is_served_and_not_sent_twice(void **state)
{
	for (const struct web__asset *a = web__assets; a->name; a++) {
		char path[128], known[128];
		snprintf(path, sizeof path, "/assets/%s", a->name);
		snprintf(known, sizeof known, "If-None-Match: %s\r\n", a->etag);
		ask_for("GET", path, "", "HTTP/1.1 200 OK\r\n", a->content_type);
		ask_for("GET", path, known, "HTTP/1.1 304 Not Modified\r\n", a->etag);
	}
}

static void files_are_embedded_byte_for_byte(void **state)
{
	static char file[65536];
	for (const struct web__asset *a = web__assets; a->name; a++) {
		char path[256];
		snprintf(path, sizeof path, "src/web/assets/%s", a->name);
		FILE *f = fopen(path, "rb");
		if (!f)
			continue; /* Debian's */
		size_t size = fread(file, 1, sizeof file, f);
		fclose(f);
		assert_int_equal(size, a->body.size);
		assert_memory_equal(file, a->body.data, size);
	}
}

static const struct web__asset *asset(const char *name, size_t size)
{
	for (const struct web__asset *a = web__assets; a->name; a++)
		if (strlen(a->name) == size && memcmp(a->name, name, size) == 0)
			return a;
	return NULL;
}

/* What a file names after `before`, up to a quote, exists. */
static void expect_names(const struct web__asset *a, const char *before)
{
	const char *at = (const char *)a->body.data;
	while ((at = strstr(at, before))) {
		at += strlen(before);
		if (!asset(at, strcspn(at, "\"")))
			fail_msg("%s names %.40s, which is not embedded", a->name, at);
	}
}

static void page_names_only_files_that_are_embedded(void **state)
{
	for (const struct web__asset *a = web__assets; a->name; a++) {
		if (strcmp(a->name, "chart.min.js") == 0)
			continue;
		expect_names(a, "\"/assets/");
		expect_names(a, "from \"./");
	}
}

static void page_has_nothing_inline_and_no_other_host(void **state)
{
	for (const struct web__asset *a = web__assets; a->name; a++) {
		const char *type = strrchr(a->name, '.'), *text = (const char *)a->body.data;
		if (strcmp(a->name, "chart.min.js") == 0 || strcmp(type, ".txt") == 0)
			continue;
		static const char *const never[] = {"https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
						    " style=",  "<style",    " onclick=", " onload=",           "@import",        "url("};
		for (size_t i = 0; i < sizeof never / sizeof *never; i++)
			if (strstr(text, never[i]))
				fail_msg("%s has \"%s\"", a->name, never[i]);
	}
}

static void unknown_file_is_404(void **state)
{
	ask_for("GET", "/assets/../web.c", "", "HTTP/1.1 40", NULL);
	ask_for("GET", "/assets/none.js", "", "HTTP/1.1 404 ", "no file of this name");
}

static void post_is_405(void **state)
{
	static const char *const paths[] = {"/", "/assets/app.js", "/api/status", "/api/report", "/api/events"};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		ask_for("POST", paths[i], "Content-Type: application/json\r\nContent-Length: 0\r\n", "HTTP/1.1 405 ", "Allow: GET");
}

/* ---- documents ---- */

static void status_is_made_for_each_request(void **state)
{
	ask_for("GET", "/api/status", "", "Cache-Control: no-store\r\n", "\"made\":0");
	ask_for("GET", "/api/status", "", "Content-Type: application/json\r\n", "\"arg\":\"the argument\"");
	assert_int_equal(atomic_load(&made), 2);
}

static void report_is_sent_again_only_when_it_has_changed(void **state)
{
	char *answer = ask("GET", "/api/report", "");
	expect(answer, "{\"columns\":[\"campaign\",\"views\"],\"rows\":[[\"men-bts\",10000]]}");
	char *tag = strstr(answer, "ETag: "), known[64];
	assert_non_null(tag);
	snprintf(known, sizeof known, "If-None-Match: %.*s\r\n", (int)strcspn(tag + 6, "\r"), tag + 6);
	free(answer);
	ask_for("GET", "/api/report", known, "HTTP/1.1 304 ", NULL);
	no_report = true;
	ask_for("GET", "/api/report", known, "HTTP/1.1 200 ", "\r\n\r\nnull");
}

static void too_many_documents_at_once_are_429(void **state)
{
	atomic_store(&held, true);
	char text[256], *all;
	int fd = client_connect(port), refused = 0;
	int64_t before = metric_get(METRIC_HTTP_REFUSED);
	for (int i = 0; i < WEB_DOCUMENTS_MAX + 3; i++) {
		snprintf(text, sizeof text, "GET /api/status HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", port,
			 i == WEB_DOCUMENTS_MAX + 2 ? "Connection: close\r\n" : "");
		client_send_str(fd, text);
	}
	eventually(metric_get(METRIC_HTTP_REFUSED) == before + 3);
	atomic_store(&held, false);
	all = client_read_all(fd, NULL);
	expect(all, "Retry-After: ");
	for (const char *at = all; (at = strstr(at, "HTTP/1.1 429")); at++)
		refused++;
	assert_int_equal(refused, 3);
	assert_int_equal(atomic_load(&made), WEB_DOCUMENTS_MAX);
	free(all);
	close(fd);
}

static void client_that_leaves_meanwhile_does_no_harm(void **state)
{
	atomic_store(&held, true);
	char text[256];
	snprintf(text, sizeof text, "GET /api/status HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port);
	int fd = client_connect(port);
	client_send_str(fd, text);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	close(fd);
	atomic_store(&held, false);
	eventually(atomic_load(&made) == 1);
	ask_for("GET", "/api/status", "", "HTTP/1.1 200 ", NULL);
}

/* ---- events ---- */

static int subscribe(void)
{
	char text[256];
	snprintf(text, sizeof text, "GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port);
	int fd = client_connect(port);
	client_send_str(fd, text);
	return fd;
}
/* Reads on until part has come. */
static void read_until(int fd, const char *part)
{
	char text[65536];
	size_t size = 0;
	text[0] = 0;
	while (!strstr(text, part)) {
		ssize_t n = recv(fd, text + size, sizeof text - 1 - size, 0);
		if (n <= 0)
			fail_msg("the stream ended or stood still before \"%s\": %s", part, text);
		size += (size_t)n;
		text[size] = 0;
	}
}

static void documents_come_as_events_while_somebody_looks(void **state)
{
	assert_int_equal(atomic_load(&made), 0);
	int fd = subscribe();
	read_until(fd, "event: status\ndata: {\"made\":0,");
	read_until(fd, "event: status\ndata: {\"made\":1,");
	close(fd);
	/* Nobody looks: at most the one under way is made. */
	nanosleep(&(struct timespec){0, 50000000}, NULL);
	int before = atomic_load(&made);
	nanosleep(&(struct timespec){2, 200000000}, NULL);
	assert_true(atomic_load(&made) <= before + 1);
	/* And again. */
	fd = subscribe();
	read_until(fd, "event: status\ndata: {");
	close(fd);
}

static void one_document_serves_all_subscribers(void **state)
{
	int fds[5];
	for (int i = 0; i < 5; i++)
		fds[i] = subscribe();
	for (int i = 0; i < 5; i++)
		read_until(fds[i], "\"made\":2,");
	assert_true(atomic_load(&made) <= 4);
	for (int i = 0; i < 5; i++)
		close(fds[i]);
}

static void shutdown_ends_the_streams_at_once(void **state)
{
	int fd = subscribe();
	read_until(fd, "event: status");
	uint64_t before = test_now_ms();
	http_server_free(server, 3000);
	server = NULL;
	web_free(web);
	web = NULL;
	uint64_t took = test_now_ms() - before;
	if (took > 2000)
		fail_msg("the end took %llu ms", (unsigned long long)took);
	free(client_read_all(fd, NULL));
	close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(page_comes_with_a_policy_that_allows_only_this_server),
		T(every_file_is_served_and_not_sent_twice),
		T(files_are_embedded_byte_for_byte),
		T(page_names_only_files_that_are_embedded),
		T(page_has_nothing_inline_and_no_other_host),
		T(unknown_file_is_404),
		T(post_is_405),
		T(status_is_made_for_each_request),
		T(report_is_sent_again_only_when_it_has_changed),
		T(too_many_documents_at_once_are_429),
		T(client_that_leaves_meanwhile_does_no_harm),
		T(documents_come_as_events_while_somebody_looks),
		T(one_document_serves_all_subscribers),
		T(shutdown_ends_the_streams_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
