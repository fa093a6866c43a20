/* An HTTP/2 session with a client in the same process: frames that clients send, and frames that none should. */
#include "net/http2_testing.h"
#include "net/http2.h"
#include "net/net_limits.h"

/* ---- a server of requests that are answered as the test says ---- */

struct request {
	int32_t id;
	char path[64];
	struct buf body;
	bool headed, ended, closed, answered, sent;
	struct bytes answer;
	size_t at;
	bool more; /* the answer has not ended */
};
static struct request requests[CLIENT_STREAMS];
static uint32_t opened, closed, lines_told;
static bool taking, blocked, refusing;
static struct buf to_client, to_server;
static struct http2 *server;
static struct client *client;
static uint64_t now_ms;

static void *on_open(void *arg, int32_t stream)
{
	if (refusing)
		return NULL;
	assert_true(opened < CLIENT_STREAMS);
	requests[opened] = (struct request){.id = stream};
	return &requests[opened++];
}
static void on_field(void *arg, void *user, struct bytes name, struct bytes value)
{
	struct request *r = user;
	lines_told++;
	if (bytes_equal(name, BYTES(":path")))
		snprintf(r->path, sizeof r->path, "%.*s", (int)value.size, (const char *)value.data);
}
static void on_head(void *arg, void *user, bool last)
{
	((struct request *)user)->headed = true;
	((struct request *)user)->ended = last;
}
static void on_data(void *arg, void *user, struct bytes piece)
{
	struct request *r = user;
	buf_append_bytes(&r->body, piece);
	http2_took_of_conn(server, piece.size);
	if (taking)
		http2_took_of_stream(server, r->id, piece.size);
}
static void on_end(void *arg, void *user)
{
	((struct request *)user)->ended = true;
}
static bool on_close(void *arg, void *user)
{
	struct request *r = user;
	r->closed = true;
	closed++;
	return r->sent;
}
static size_t on_answer(void *arg, void *user, uint8_t *out, size_t room, bool *ret_last)
{
	struct request *r = user;
	size_t left = r->answer.size - r->at, size = left < room ? left : room;
	memcpy(out, r->answer.data + r->at, size);
	r->at += size;
	*ret_last = r->at == r->answer.size && !r->more;
	r->sent |= *ret_last;
	return size;
}
static void on_write(void *arg, struct bytes data)
{
	buf_append_bytes(&to_client, data);
}
static bool is_full(void *arg)
{
	return blocked;
}
static const struct http2_ops ops = {on_open, on_field, on_head, on_data, on_end, on_close, on_answer, on_write, is_full};

static void feed_server(struct bytes in)
{
	assert_int_equal(http2_feed(server, in, now_ms), SM_OK);
	assert_int_equal(http2_pump(server), SM_OK);
}

/* Until neither has anything to say. */
static void talk(void)
{
	assert_int_equal(http2_pump(server), SM_OK);
	do {
		client_feed(client, buf_bytes(&to_client));
		buf_clear(&to_client);
		buf_clear(&to_server);
		client_take(client, &to_server);
		if (buf_size(&to_server))
			feed_server(buf_bytes(&to_server));
	} while (buf_size(&to_client) || buf_size(&to_server));
}

static void answer(struct request *r, const char *status, struct bytes body, bool more)
{
	struct http2_field fields[] = {{BYTES(":status"), bytes_str(status)}, {BYTES("x-test"), BYTES("yes")}};
	r->answer = body;
	r->more = more;
	r->answered = true;
	r->sent = !body.size && !more;
	assert_int_equal(http2_answer(server, r->id, fields, 2, body.size || more, r), SM_OK);
}

static int set_up(void **state)
{
	opened = closed = lines_told = 0;
	taking = true;
	blocked = refusing = false;
	now_ms = 1000;
	server = http2_new(&ops, NULL);
	client = client_new(0);
	assert_non_null(server);
	return 0;
}
static int tear_down(void **state)
{
	http2_free(server);
	client_free(client);
	for (uint32_t i = 0; i < opened; i++)
		buf_done(&requests[i].body);
	buf_done(&to_client);
	buf_done(&to_server);
	return 0;
}

/* ---- what clients do ---- */

static void a_request_is_told_and_answered(void **state)
{
	client->want = "x-test";
	struct client_stream *s = client_request(client, "POST", "/a?b", NULL, BYTES("body"), false);
	talk();
	assert_true(http2_greeted(server));
	assert_int_equal(opened, 1);
	assert_string_equal(requests[0].path, "/a?b");
	assert_true(requests[0].headed && requests[0].ended);
	assert_int_equal(buf_size(&requests[0].body), 4);
	answer(&requests[0], "201", BYTES("there"), false);
	talk();
	assert_int_equal(s->status, 201);
	assert_string_equal(s->header, "yes");
	assert_int_equal(buf_size(&s->body), 5);
	assert_true(s->closed && s->error == NGHTTP2_NO_ERROR && requests[0].closed);
	assert_false(http2_over(server));
}

static void windows_open_only_as_bodies_are_taken(void **state)
{
	static uint8_t body[400000];
	taking = false;
	struct client_stream *one = client_request(client, "POST", "/1", NULL, bytes_of(body, sizeof body), false);
	struct client_stream *two = client_request(client, "POST", "/2", NULL, bytes_of(body, 1000), false);
	talk();
	assert_int_equal(buf_size(&requests[0].body), HTTP2_STREAM_WINDOW);
	assert_int_equal(one->sent, HTTP2_STREAM_WINDOW);
	/* One that is not taken holds up no other. */
	assert_true(requests[1].ended);
	assert_int_equal(two->sent, 1000);
	taking = true;
	http2_took_of_stream(server, requests[0].id, HTTP2_STREAM_WINDOW);
	talk();
	assert_true(requests[0].ended);
	assert_int_equal(buf_size(&requests[0].body), sizeof body);
}

static void an_answer_waits_for_the_peers_window_and_for_its_own_end(void **state)
{
	static uint8_t body[200000];
	struct client_stream *s = client_request(client, "GET", "/", NULL, (struct bytes){0}, false);
	talk();
	answer(&requests[0], "200", BYTES("one"), true);
	talk();
	assert_int_equal(buf_size(&s->body), 3);
	assert_false(s->closed);
	requests[0].answer = bytes_of(body, sizeof body);
	requests[0].more = false;
	http2_resume(server, requests[0].id);
	talk();
	assert_int_equal(buf_size(&s->body), sizeof body); /* the first three were counted as sent */
	assert_true(s->closed);
}

static void what_is_not_wanted_of_a_body_is_told(void **state)
{
	struct client_stream *s = client_request(client, "POST", "/", NULL, BYTES("begin"), true);
	talk();
	answer(&requests[0], "413", BYTES("no"), false);
	talk();
	assert_int_equal(s->status, 413);
	assert_int_equal(buf_size(&s->body), 2);
	assert_false(s->closed);
	http2_unwanted(server, requests[0].id);
	talk();
	assert_true(s->closed && s->error == NGHTTP2_NO_ERROR);
	assert_true(requests[0].closed);
}

static void continue_is_sent(void **state)
{
	struct client_stream *s = client_request(client, "POST", "/", NULL, (struct bytes){0}, true);
	talk();
	http2_continue(server, requests[0].id);
	talk();
	assert_int_equal(s->informational, 100);
	assert_int_equal(s->status, 0);
}

static void a_full_queue_stops_the_pump(void **state)
{
	struct client_stream *s = client_request(client, "GET", "/", NULL, (struct bytes){0}, false);
	talk();
	blocked = true;
	answer(&requests[0], "200", BYTES("x"), false);
	talk();
	assert_int_equal(s->status, 0);
	blocked = false;
	talk();
	assert_int_equal(s->status, 200);
}

static void trailers_are_read_over(void **state)
{
	struct client_stream *s = client_request(client, "POST", "/", NULL, BYTES("x"), true);
	talk();
	nghttp2_nv trailer = {(uint8_t *)"x-sum", (uint8_t *)"1", 5, 1, NGHTTP2_NV_FLAG_NONE};
	assert_int_equal(nghttp2_submit_trailer(client->ng, s->id, &trailer, 1), 0);
	talk();
	assert_true(requests[0].ended);
	assert_int_equal(buf_size(&requests[0].body), 1);
}

static void draining_tells_the_client_and_finishes(void **state)
{
	struct client_stream *s = client_request(client, "GET", "/", NULL, (struct bytes){0}, false);
	talk();
	http2_drain(server, false);
	/* A request that is on its way counts, as the client does not know yet. */
	struct client_stream *late = client_request(client, "GET", "/late", NULL, (struct bytes){0}, false);
	client_take(client, &to_server);
	feed_server(buf_bytes(&to_server));
	talk();
	assert_int_equal(client->goaways, 2); /* the notice, and after its PING the last */
	assert_int_equal(client->goaway_error, NGHTTP2_NO_ERROR);
	assert_int_equal(client->goaway_last, late->id);
	assert_false(http2_over(server));
	answer(&requests[0], "200", BYTES("x"), false);
	answer(&requests[1], "200", BYTES("x"), false);
	talk();
	assert_int_equal(s->status, 200);
	assert_int_equal(late->status, 200);
	assert_true(http2_over(server));
}

/* The client knows of the end, and what was on its way comes right behind the answer that says so. */
static void draining_counts_all_that_has_come(void **state)
{
	static const uint8_t zeros[8];
	talk();
	http2_drain(server, false);
	assert_int_equal(http2_pump(server), SM_OK);
	/* The PING says nothing unless the notice has come before it. */
	struct bytes out = buf_bytes(&to_client);
	assert_int_equal(out.size, 17 + 17);
	assert_int_equal(out.data[3], NGHTTP2_GOAWAY);
	assert_int_equal(out.data[17 + 3], NGHTTP2_PING);
	buf_clear(&to_server);
	client_raw(&to_server, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, bytes_of(zeros, 8));
	struct client_stream *late = client_request(client, "GET", "/late", NULL, (struct bytes){0}, false);
	client_take(client, &to_server);
	feed_server(buf_bytes(&to_server));
	assert_int_equal(opened, 1);
	answer(&requests[0], "200", BYTES("x"), false);
	talk();
	assert_int_equal(client->goaway_last, late->id);
	assert_int_equal(late->status, 200);
	assert_true(http2_over(server));
}

/* ---- what no client should do ---- */

static void a_body_of_another_length_is_reset(void **state)
{
	const char *const more[] = {"content-length", "10", NULL};
	struct client_stream *s = client_request(client, "POST", "/", more, BYTES("short"), false);
	talk();
	assert_true(s->closed);
	assert_int_equal(s->error, NGHTTP2_PROTOCOL_ERROR);
	assert_false(requests[0].ended);
	assert_true(requests[0].closed);
}

static void heads_that_rfc_9113_forbids_are_reset(void **state)
{
	static const char *const wrong[][3] = {
		{"connection", "close", NULL}, {"transfer-encoding", "chunked", NULL},
		{"upgrade", "h2c", NULL},      {"te", "gzip", NULL},
		{"X-Upper", "1", NULL},        {"keep-alive", "5", NULL},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		/* nghttp2's client puts names into lower case; this one is written by hand then. */
		struct client_stream *s = client_request(client, "GET", "/", wrong[i], (struct bytes){0}, false);
		talk();
		if (i != 4)
			assert_int_equal(s->error, NGHTTP2_PROTOCOL_ERROR);
	}
	for (uint32_t i = 0; i < opened; i++)
		assert_false(requests[i].headed && i != 4);
}

static void streams_above_the_bound_are_refused(void **state)
{
	for (int i = 0; i < HTTP2_STREAMS_MAX + 20; i++)
		client_request(client, "GET", "/", NULL, (struct bytes){0}, false);
	struct buf all = {0};
	client_take(client, &all); /* before the server's SETTINGS have come */
	feed_server(buf_bytes(&all));
	buf_done(&all);
	talk();
	assert_int_equal(opened, HTTP2_STREAMS_MAX);
	uint32_t refused = 0;
	for (uint32_t i = 0; i < client->count; i++)
		refused += client->streams[i].error == NGHTTP2_REFUSED_STREAM;
	assert_int_equal(refused, 20);
	for (uint32_t i = 0; i < opened; i++)
		answer(&requests[i], "200", BYTES("x"), false);
	talk();
	assert_int_equal(client->closed, HTTP2_STREAMS_MAX + 20);
}

static void a_request_that_finds_no_memory_is_refused(void **state)
{
	refusing = true;
	struct client_stream *s = client_request(client, "POST", "/", NULL, BYTES("body"), false);
	talk();
	assert_int_equal(s->error, NGHTTP2_REFUSED_STREAM);
	assert_false(http2_over(server));
}

static void resets_in_a_row_end_the_connection(void **state)
{
	talk();
	for (int i = 0; i < 1000 && !client->goaways; i++) {
		struct client_stream *s = client_request(client, "GET", "/", NULL, (struct bytes){0}, false);
		client_take(client, &to_server);
		feed_server(buf_bytes(&to_server));
		nghttp2_submit_rst_stream(client->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
		talk();
	}
	assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_true(http2_over(server));
	assert_int_equal(opened, HTTP2_RESETS_BURST + 1);
	assert_int_equal(closed, opened);
}

/* The handler's work is done by then, and its answer has not left. */
static void resets_of_what_is_answered_count(void **state)
{
	talk();
	for (int i = 0; i < 1000 && !client->goaways; i++) {
		struct client_stream *s = client_request(client, "GET", "/", NULL, (struct bytes){0}, false);
		buf_clear(&to_server);
		client_take(client, &to_server);
		assert_int_equal(http2_feed(server, buf_bytes(&to_server), now_ms), SM_OK);
		answer(&requests[i], "204", (struct bytes){0}, false);
		nghttp2_submit_rst_stream(client->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
		buf_clear(&to_server);
		client_take(client, &to_server);
		feed_server(buf_bytes(&to_server));
		talk();
	}
	assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(opened, HTTP2_RESETS_BURST + 1);
}

static void resets_now_and_then_do_not(void **state)
{
	talk();
	for (int i = 0; i < 2 * HTTP2_RESETS_BURST; i++) {
		struct client_stream *s = client_request(client, "GET", "/", NULL, (struct bytes){0}, false);
		talk();
		nghttp2_submit_rst_stream(client->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
		now_ms += 1000 / HTTP2_RESETS_PER_S + 1;
		talk();
	}
	assert_int_equal(client->goaways, 0);
}

static void frames_that_ask_for_nothing_end_the_connection(void **state)
{
	static const uint8_t zeros[8], window[4] = {0, 0, 0, 1};
	const struct {
		uint8_t type, flags;
		struct bytes payload;
		bool on_stream;
	} floods[] = {
		{NGHTTP2_PING, 0, {zeros, 8}, false},
		{NGHTTP2_SETTINGS, 0, {NULL, 0}, false},
		{NGHTTP2_DATA, 0, {NULL, 0}, true},
		{NGHTTP2_WINDOW_UPDATE, 0, {window, 4}, false},
	};
	for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
		if (i) {
			tear_down(state);
			set_up(state);
		}
		struct client_stream *s = client_request(client, "POST", "/", NULL, (struct bytes){0}, true);
		talk();
		for (int n = 0; n < 2 * HTTP2_EMPTY_BURST && !http2_over(server); n++) {
			buf_clear(&to_server);
			client_raw(&to_server, floods[i].type, floods[i].flags, floods[i].on_stream ? (uint32_t)s->id : 0,
				   floods[i].payload);
			feed_server(buf_bytes(&to_server));
			/* The client would count too. */
			if (!http2_over(server))
				buf_clear(&to_client);
		}
		assert_true(http2_over(server));
		struct bytes out = buf_bytes(&to_client);
		assert_true(out.size >= 17);
		assert_int_equal(be32_get(out.data + out.size - 4), NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

/* What follows in the same bytes is not looked at. */
static void a_flood_ends_the_connection_whatever_comes_behind(void **state)
{
	static const uint8_t zeros[8];
	struct client_stream *s = client_request(client, "POST", "/", NULL, (struct bytes){0}, true);
	client_take(client, &to_server);
	for (int n = 0; n < HTTP2_EMPTY_BURST + 100; n++)
		client_raw(&to_server, NGHTTP2_DATA, 0, (uint32_t)s->id, (struct bytes){0});
	client_raw(&to_server, NGHTTP2_DATA, 0, (uint32_t)s->id, BYTES("body"));
	client_request(client, "GET", "/behind", NULL, (struct bytes){0}, false);
	client_take(client, &to_server);
	client_raw(&to_server, NGHTTP2_PING, 0, 0, bytes_of(zeros, 7));
	feed_server(buf_bytes(&to_server));
	assert_true(http2_over(server));
	assert_int_equal(opened, 1);
	assert_int_equal(buf_size(&requests[0].body), 0);
	client_feed(client, buf_bytes(&to_client));
	assert_int_equal(client->goaways, 1);
}

static void acknowledgements_that_are_not_read_end_the_connection(void **state)
{
	static const uint8_t zeros[8];
	talk();
	blocked = true;
	buf_clear(&to_server);
	for (int i = 0; i < 2 * HTTP2_ACKS_MAX; i++)
		client_raw(&to_server, NGHTTP2_PING, 0, 0, bytes_of(zeros, 8));
	feed_server(buf_bytes(&to_server));
	blocked = false;
	assert_int_equal(http2_pump(server), SM_OK);
	assert_true(http2_over(server));
	assert_true(buf_size(&to_client) < (HTTP2_ACKS_MAX + 10) * 20);
}

static void a_header_block_without_end_ends_the_connection(void **state)
{
	static const uint8_t line[] = {0x00, 0x01, 'a', 0x01, 'b'}; /* a: b, not indexed */
	talk();
	buf_clear(&to_server);
	client_raw(&to_server, NGHTTP2_HEADERS, 0, 1, bytes_of(line, sizeof line));
	for (int i = 0; i < 100; i++)
		client_raw(&to_server, NGHTTP2_CONTINUATION, 0, 1, bytes_of(line, sizeof line));
	feed_server(buf_bytes(&to_server));
	assert_true(http2_over(server));
}

/* A line of 3.9 KB that is kept in HPACK's table, and references to it of one byte each. */
static void lines_that_cost_a_byte_are_bounded(void **state)
{
	enum { SIZE = 3900, REFERENCES = 5000 };
	static const uint8_t first[] = {0x83, 0x86, 0x84, 0x01, 1, 'a'}; /* POST http / a */
	static uint8_t value[SIZE];
	memset(value, 'v', SIZE);
	for (int i = 0; i < 3; i++) {
		if (i) {
			tear_down(state);
			set_up(state);
		}
		bool trailers = i == 1;
		value[SIZE - 1] = i == 2 ? 1 : 'v'; /* not allowed */
		talk();
		buf_clear(&to_server);
		if (trailers)
			client_raw(&to_server, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, bytes_of(first, sizeof first));
		struct buf block = {0};
		if (!trailers)
			buf_append(&block, first, sizeof first);
		buf_append(&block, (uint8_t[]){0x40, 1, 'x', 0x7f, 0x80 | (SIZE - 127) % 128, (SIZE - 127) / 128}, 6);
		buf_append(&block, value, SIZE);
		for (int n = 0; n < REFERENCES; n++)
			buf_u8(&block, 0xbe);
		client_raw(&to_server, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, buf_bytes(&block));
		buf_done(&block);
		feed_server(buf_bytes(&to_server));
		assert_true(http2_over(server));
		assert_true(lines_told <= 4 + 2 * HTTP_HEADER_BYTES_MAX / SIZE);
		struct bytes out = buf_bytes(&to_client);
		assert_true(out.size >= 17);
		assert_int_equal(be32_get(out.data + out.size - 4), NGHTTP2_ENHANCE_YOUR_CALM);
	}
}

static void what_is_no_http2_ends_the_connection(void **state)
{
	feed_server(BYTES("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	assert_true(http2_over(server));
	assert_int_equal(opened, 0);
	client_feed(client, buf_bytes(&to_client));
	assert_int_equal(client->goaway_error, NGHTTP2_PROTOCOL_ERROR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_told_and_answered),
		TEST(windows_open_only_as_bodies_are_taken),
		TEST(an_answer_waits_for_the_peers_window_and_for_its_own_end),
		TEST(what_is_not_wanted_of_a_body_is_told),
		TEST(continue_is_sent),
		TEST(a_full_queue_stops_the_pump),
		TEST(trailers_are_read_over),
		TEST(draining_tells_the_client_and_finishes),
		TEST(draining_counts_all_that_has_come),
		TEST(a_body_of_another_length_is_reset),
		TEST(heads_that_rfc_9113_forbids_are_reset),
		TEST(streams_above_the_bound_are_refused),
		TEST(a_request_that_finds_no_memory_is_refused),
		TEST(resets_in_a_row_end_the_connection),
		TEST(resets_of_what_is_answered_count),
		TEST(resets_now_and_then_do_not),
		TEST(frames_that_ask_for_nothing_end_the_connection),
		TEST(a_flood_ends_the_connection_whatever_comes_behind),
		TEST(acknowledgements_that_are_not_read_end_the_connection),
		TEST(a_header_block_without_end_ends_the_connection),
		TEST(lines_that_cost_a_byte_are_bounded),
		TEST(what_is_no_http2_ends_the_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
