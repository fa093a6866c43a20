/* Request heads and chunked bodies: what is taken, what is refused, and that it does not matter how the bytes were cut. */
#include "net/http_parse.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* The status of a head: 0 taken, -1 more is wanted. */
static int head_status(const char *text, size_t size, struct http__head *head)
{
	static uint8_t copy[200000];
	static struct http_header headers[HTTP_HEADERS_MAX + 2];
	struct http__scan scan = {0};
	size_t end;
	int status = http__scan_head(&scan, bytes_of(text, size), &end);
	if (status)
		return status;
	if (!end)
		return -1;
	assert_true(end <= sizeof copy);
	memcpy(copy, text + scan.skip, end);
	assert_true(scan.lines <= HTTP_HEADERS_MAX + 1);
	return http__parse_head(copy, end, headers, head);
}

#define HOST "Host: localhost\r\n"
#define NAME_50 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwx"
#define NAME_250 NAME_50 NAME_50 NAME_50 NAME_50 NAME_50
static const struct {
	const char *text;
	int status;
} heads[] = {
	{"GET / HTTP/1.1\r\n" HOST "\r\n", 0},
	{"GET / HTTP/1.0\r\n" HOST "\r\n", 0},
	{"GET / HTTP/1.9\r\n" HOST "\r\n", 0},
	{"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0},
	{"GET http://localhost:8080/x?y HTTP/1.1\r\n" HOST "\r\n", 0},
	{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0},
	{"GET / HTTP/1.1\r\nhOsT:localhost\r\nX-Empty:\r\nX:\t a b \t\r\n\r\n", 0},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 0005\r\n\r\n", 0},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: CHUNKED\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\n" HOST, -1},
	{"GET / HTTP/1.1\r", -1},
	{"", -1},
	{"\r\n\r", -1},
	/* lines */
	{"GET / HTTP/1.1\n" HOST "\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: localhost\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: localhost\r\n\n", 400},
	{"GET / HTTP/1.1\r\nHost: local\rhost\r\n\r\n", 400},
	{"\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
	{"\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST "\tfolded: x\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n folded\r\n" HOST "\r\n", 400},
	/* the request line */
	{"GET /\r\n" HOST "\r\n", 400},
	{"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
	{" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET / http/1.1\r\n" HOST "\r\n", 400},
	{"GET / HTTP/11\r\n" HOST "\r\n", 400},
	{"GET / HTTP/1.10\r\n" HOST "\r\n", 400},
	{"GET / HTTP/1.\r\n" HOST "\r\n", 400},
	{"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
	{"PRI * HTTP/2.0\r\n\r\n", 505},
	{"GET / HTTP/0.9\r\n" HOST "\r\n", 505},
	{"BREW / HTTP/1.1\r\n" HOST "\r\n", 501},
	{"get / HTTP/1.1\r\n" HOST "\r\n", 501},
	{"TRACE / HTTP/1.1\r\n" HOST "\r\n", 501},
	{"CONNECT localhost:80 HTTP/1.1\r\n" HOST "\r\n", 501},
	{"G@T / HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET * HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET x HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET http:// HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET http://a@localhost/ HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET ftp://localhost/ HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET https:// HTTP/1.1\r\n" HOST "\r\n", 400},
	{"GET https://localhost/ HTTP/1.1\r\n" HOST "\r\n", 0},
	{"GET / HTTP/1.1\r\n" HOST "x#!y: z\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: a\r\n\r\n", 400},
	/* headers */
	{"GET / HTTP/1.1\r\n" HOST "Name : x\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST "Name\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST "Na\xc3me: x\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST "Name: a\x7f\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST "Name: a\x02\r\n\r\n", 400},
	/* Host */
	{"GET / HTTP/1.1\r\n\r\n", 400},
	{"GET / HTTP/1.0\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: " NAME_250 "ab.cd:65535\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: " NAME_250 NAME_50 "\r\n\r\n", 400},
	/* lengths */
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
	 "chunked\r\n\r\n",
	 400},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 501},
	{"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400},
	/* the rest */
	{"POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n", 0},
	{"POST / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n", 417},
	{"POST / HTTP/1.1\r\n" HOST "Origin: a\r\nOrigin: b\r\n\r\n", 400},
	{"POST / HTTP/1.1\r\n" HOST "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n", 400},
	{"\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03\n", 400},
};

static void heads_are_taken_or_refused(void **state)
{
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		struct http__head head;
		int got = head_status(heads[i].text, strlen(heads[i].text), &head);
		if (got != heads[i].status)
			fail_msg("%d in place of %d: %s", got, heads[i].status, heads[i].text);
	}
	struct http__head head;
	static const char nul[] = "GET / HTTP/1.1\r\n" HOST "Name: a\0b\r\n\r\n";
	assert_int_equal(head_status(nul, sizeof nul - 1, &head), 400);
}

/* However the bytes come, the first verdict is that of the whole. */
static void a_cut_head_is_judged_as_a_whole_one(void **state)
{
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		size_t size = strlen(heads[i].text), end = 0, whole_end = 0;
		struct http__scan whole = {0}, scan = {0};
		int whole_status = http__scan_head(&whole, bytes_of(heads[i].text, size), &whole_end), status = 0;
		for (size_t n = 0; n <= size && !status && !end; n++)
			status = http__scan_head(&scan, bytes_of(heads[i].text, n), &end);
		assert_int_equal(status, whole_status);
		assert_int_equal(end, whole_end);
		assert_int_equal(scan.lines, whole.lines);
	}
}

static void a_head_is_taken_apart(void **state)
{
	uint8_t text[] = "POST http://127.0.0.1:8080/a%20b?c=d HTTP/1.1\r\nHost: other\r\nContent-Type: application/json; charset=utf-8\r\n"
			 "CONTENT-LENGTH: 12\r\nConnection: Keep-Alive, close\r\nContent-Encoding: GZIP\r\nOrigin: http://x\r\n\r\n";
	struct http_header headers[10];
	struct http__head head;
	assert_int_equal(http__parse_head(text, sizeof text - 1, headers, &head), 0);
	assert_int_equal(head.method, HTTP_POST);
	assert_true(bytes_equal(head.target, BYTES("/a%20b?c=d")));
	assert_true(bytes_equal(head.host, BYTES("127.0.0.1:8080"))); /* the target's counts */
	assert_true(bytes_equal(head.origin, BYTES("http://x")));
	assert_true(bytes_equal(head.content_type, BYTES("application/json; charset=utf-8")));
	assert_int_equal(head.length, 12);
	assert_int_equal(head.flags, HEAD_LENGTH | HEAD_KEEP_ALIVE | HEAD_CLOSE | HEAD_GZIP);
	assert_int_equal(head.header_count, 6);
	assert_true(bytes_equal(headers[2].name, BYTES("content-length")));
}

static char *long_head(const char *begin, char fill, size_t count, const char *end)
{
	size_t size = strlen(begin) + count + strlen(end) + 1;
	char *text = malloc(size);
	assert_non_null(text);
	memcpy(text, begin, strlen(begin));
	memset(text + strlen(begin), fill, count);
	memcpy(text + strlen(begin) + count, end, strlen(end) + 1);
	return text;
}

static void what_is_too_long_has_a_status_of_its_own(void **state)
{
	struct http__head head;
	char *line = long_head("GET /", 'a', HTTP_LINE_MAX, " HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(head_status(line, strlen(line), &head), 414);
	assert_int_equal(head_status(line, HTTP_LINE_MAX + 3, &head), 414); /* also before its end has come */
	free(line);
	line = long_head("GET /", 'a', HTTP_LINE_MAX - 20, " HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(head_status(line, strlen(line), &head), 0);
	free(line);
	line = long_head("GET / HTTP/1.1\r\n" HOST "X: ", 'a', HTTP_HEADER_BYTES_MAX, "\r\n\r\n");
	assert_int_equal(head_status(line, strlen(line), &head), 431);
	assert_int_equal(head_status(line, HTTP_HEADER_BYTES_MAX + 40, &head), 431);
	free(line);
	line = long_head("GET / HTTP/1.1\r\n" HOST "X: ", 'a', HTTP_HEADER_BYTES_MAX - 100, "\r\n\r\n");
	assert_int_equal(head_status(line, strlen(line), &head), 0);
	free(line);
	char many[8192] = "GET / HTTP/1.1\r\n" HOST;
	for (int i = 1; i < HTTP_HEADERS_MAX; i++)
		strcat(many, "A: b\r\n");
	size_t most = strlen(many);
	strcat(many, "\r\n");
	assert_int_equal(head_status(many, strlen(many), &head), 0);
	strcpy(many + most, "A: b\r\n\r\n");
	assert_int_equal(head_status(many, strlen(many), &head), 431);
}

static const struct {
	const char *text, *body;
	enum http__chunk end;
} chunked[] = {
	{"5\r\nhello\r\n0\r\n\r\n", "hello", CHUNK_END},
	{"5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n", "hello world", CHUNK_END},
	{"A;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", "0123456789", CHUNK_END},
	{"a;q=\"x\"; r\r\n0123456789\r\n0\r\n\r\n", "0123456789", CHUNK_END},
	{"a ;q\r\n0123456789\r\n0\r\n\r\n", "", CHUNK_BAD},
	{"a\t;q\r\n0123456789\r\n0\r\n\r\n", "", CHUNK_BAD},
	{"0\r\n\r\n", "", CHUNK_END},
	{"5\r\nhel", "hel", CHUNK_MORE},
	{"5\r\nhello\r\n0\r\n", "hello", CHUNK_MORE},
	{"5\nhello\r\n0\r\n\r\n", "", CHUNK_BAD},
	{"5\r\nhelloX\r\n0\r\n\r\n", "hello", CHUNK_BAD},
	{"5\r\nhello\n0\r\n\r\n", "hello", CHUNK_BAD},
	{"\r\nhello", "", CHUNK_BAD},
	{";x\r\nhello", "", CHUNK_BAD},
	{"-5\r\nhello", "", CHUNK_BAD},
	{"0x5\r\nhello", "", CHUNK_BAD},
	{"g\r\n", "", CHUNK_BAD},
	{"123456789\r\n", "", CHUNK_BAD},
	{"5;\x01\r\nhello", "", CHUNK_BAD},
	{"0\r\n folded\r\n\r\n", "", CHUNK_BAD},
	{"0\r\nA: b\n\r\n", "", CHUNK_BAD},
	{"0\r\n\rX", "", CHUNK_BAD},
	{"5 \r\nhello", "", CHUNK_BAD},
	{"5 x\r\nhello", "", CHUNK_BAD},
	{"5 5\r\nhello", "", CHUNK_BAD},
	{"5;a\n\r\nhello", "", CHUNK_BAD},
	{"0\r\nno colon\r\n\r\n", "", CHUNK_BAD},
	{"0\r\nblank : x\r\n\r\n", "", CHUNK_BAD},
	{"0\r\nGET / HTTP/1.1\r\n\r\n", "", CHUNK_BAD},
};

static void chunks_are_taken_or_refused_however_cut(void **state)
{
	for (size_t i = 0; i < sizeof chunked / sizeof *chunked; i++)
		for (size_t step = 1; step < 8; step++) {
			struct http__chunks chunks = {0};
			struct bytes in = bytes_str(chunked[i].text), piece;
			char body[64] = "";
			enum http__chunk got = CHUNK_MORE;
			size_t used;
			while (in.size && got != CHUNK_BAD && got != CHUNK_END) {
				size_t n = in.size < step ? in.size : step;
				got = http__chunks_next(&chunks, bytes_of(in.data, n), &used, &piece);
				assert_true(used > 0 && used <= n);
				if (piece.size)
					strncat(body, (const char *)piece.data, piece.size);
				in.data += used;
				in.size -= used;
			}
			if (got == CHUNK_DATA)
				got = CHUNK_MORE;
			if (got != chunked[i].end || strcmp(body, chunked[i].body) != 0)
				fail_msg("step %zu: %d \"%s\" from %s", step, got, body, chunked[i].text);
		}
}

static void long_extensions_and_trailers_are_refused(void **state)
{
	struct http__chunks chunks = {0};
	struct bytes piece;
	size_t used;
	char *text = long_head("5;", 'a', 300, "\r\nhello");
	assert_int_equal(http__chunks_next(&chunks, bytes_str(text), &used, &piece), CHUNK_BAD);
	free(text);
	chunks = (struct http__chunks){0};
	text = long_head("0\r\nA: ", 'a', 9000, "\r\n\r\n");
	assert_int_equal(http__chunks_next(&chunks, bytes_str(text), &used, &piece), CHUNK_BAD);
	free(text);
}

static void percent_encoding_is_undone(void **state)
{
	static const struct {
		const char *in, *out;
		bool plus;
	} cases[] = {{"/a%20b", "/a b", false},     {"a+b%2B", "a+b+", false}, {"a+b%2b", "a b+", true},
		     {"%C3%A4", "\xc3\xa4", false}, {"%", NULL, false},        {"%2", NULL, false},
		     {"a%2", NULL, false},          {"%zz", NULL, false},      {"%00", NULL, false}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t out[32];
		size_t size;
		bool ok = http__decode(bytes_str(cases[i].in), cases[i].plus, out, &size);
		assert_int_equal(ok, cases[i].out != NULL);
		if (ok)
			assert_true(bytes_equal(bytes_of(out, size), bytes_str(cases[i].out)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_taken_or_refused),
		cmocka_unit_test(a_cut_head_is_judged_as_a_whole_one),
		cmocka_unit_test(a_head_is_taken_apart),
		cmocka_unit_test(what_is_too_long_has_a_status_of_its_own),
		cmocka_unit_test(chunks_are_taken_or_refused_however_cut),
		cmocka_unit_test(long_extensions_and_trailers_are_refused),
		cmocka_unit_test(percent_encoding_is_undone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
