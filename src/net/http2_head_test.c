/* Requests of HTTP/2 as they begin: heads, line by line, and what the request before has left. */
#include "net/http2_internal.h"
#include "net/net_limits.h"
#include "net/testing.h"

static int head_of(const char *const *lines, struct http2__head *head, struct arena *arena)
{
	*head = (struct http2__head){0};
	for (; *lines; lines += 2)
		http2__head_field(head, arena, bytes_str(lines[0]), bytes_str(lines[1]));
	return http2__head_end(head, arena, false);
}

#define FIRST ":method", "POST", ":scheme", "http", ":path", "/a"
static void a_head_is_held_to_the_rules_of_http1(void **state)
{
	char long_name[300] = {0};
	memset(long_name, 'a', sizeof long_name - 1);
	const struct {
		const char *lines[16];
		int status;
	} heads[] = {
		{{FIRST, ":authority", "localhost"}, 0},
		{{FIRST, "host", "localhost"}, 0},
		{{FIRST, ":authority", "localhost", "host", "LOCALHOST"}, 0},
		{{FIRST, ":authority", "localhost", "host", "other"}, 400},
		{{FIRST}, 400},
		{{FIRST, ":authority", "user@localhost"}, 400},
		{{FIRST, ":authority", long_name}, 400},
		{{FIRST, "host", long_name}, 400},
		{{":method", "BREW", ":scheme", "http", ":path", "/", ":authority", "a"}, 501},
		{{":method", "CONNECT", ":authority", "a:1"}, 501},
		{{":method", "OPTIONS", ":scheme", "http", ":path", "*", ":authority", "a"}, 0},
		{{":method", "GET", ":scheme", "http", ":path", "*", ":authority", "a"}, 400},
		{{":method", "GET", ":scheme", "http", ":path", "http://b/", ":authority", "a"}, 400},
		{{":method", "GET", ":scheme", "http", ":path", "/#x", ":authority", "a"}, 400},
		{{FIRST, ":authority", "a", "expect", "200-ok"}, 417},
		{{FIRST, ":authority", "a", "content-length", "1x"}, 400},
		{{FIRST, ":authority", "a", "origin", "b", "origin", "b"}, 400},
		{{FIRST, ":authority", "a", "authorization", "b", "authorization", "b"}, 400},
	};
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		struct http2__head head;
		struct arena arena;
		arena_init(&arena, 1 << 20);
		int status = head_of(heads[i].lines, &head, &arena);
		if (status != heads[i].status)
			fail_msg("head %zu: %d in place of %d", i, status, heads[i].status);
		if (!status) {
			assert_true(head.head.method && head.head.host.size && (head.head.flags & HEAD_STREAM));
			assert_int_equal(head.head.header_count, 1);
			assert_true(bytes_equal(head.headers[0].name, BYTES("host")));
		}
		arena_done(&arena);
	}
}

static void a_head_is_bounded(void **state)
{
	struct http2__head head = {0};
	struct arena arena;
	char value[2000] = {0};
	arena_init(&arena, 1 << 20);
	memset(value, 'v', sizeof value - 1);
	for (int i = 0; i < 1000; i++)
		http2__head_field(&head, &arena, BYTES("x"), bytes_str(value));
	assert_int_equal(http2__head_end(&head, &arena, true), 431);
	assert_true(arena.used < 2 * HTTP_HEADER_BYTES_MAX);
	arena_reset(&arena);
	head = (struct http2__head){0};
	for (int i = 0; i < HTTP_HEADERS_MAX + 1; i++)
		http2__head_field(&head, &arena, BYTES("x"), BYTES("v"));
	assert_int_equal(http2__head_end(&head, &arena, true), 431);
	arena_reset(&arena);
	head = (struct http2__head){0};
	static char path[HTTP_LINE_MAX + 2];
	memset(path, '/', HTTP_LINE_MAX + 1);
	http2__head_field(&head, &arena, BYTES(":path"), bytes_str(path));
	assert_int_equal(http2__head_end(&head, &arena, true), 414);
	arena_done(&arena);
}

/* ---- what requests leave to later ones ---- */

static void a_request_that_found_no_memory_leaves_nothing_behind(void **state)
{
	struct http__conn conn = {.shared = http__shared_get()};
	struct http__request *r = http__request_new(&conn);
	assert_non_null(r);
	buf_append_str(&r->extra, "X-A: b\r\n");
	r->extra.failed = r->answer.failed = true;
	http__request_free(r);
	struct http__request *next = http__request_new(&conn);
	assert_ptr_equal(next, r);
	assert_false(next->extra.failed || next->answer.failed);
	assert_int_equal(buf_size(&next->extra), 0);
	http__request_free(next);
	http__shared_put(conn.shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_held_to_the_rules_of_http1),
		cmocka_unit_test(a_head_is_bounded),
		cmocka_unit_test(a_request_that_found_no_memory_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
