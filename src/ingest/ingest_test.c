/* Events over HTTP against a log of this file, and one run against the real one. */
#include "ingest/ingest.h"
#include "base/compress.h"
#include "base/io.h"
#include "log/record_batch.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define PARTITIONS 6

/* ---- the log: keeps what it is given, answers at once, later, or with an error ---- */

static struct {
	pthread_mutex_t lock;
	uint32_t appends, records;
	enum sm_err err;
	int32_t err_partition; /* -1: all */
	bool hold;
	struct held {
		log_append_done done;
		void *arg;
	} held[256];
	uint32_t held_count;
	struct kept {
		int32_t partition;
		char key[64], value[256];
		bool key_null;
		size_t value_size;
		int64_t timestamp_ms;
	} kept[4096];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct log_topic topics[] = {
	{.name = "__internal", .partitions = 1, .internal = true},
	{.name = "plain", .id = {{2}}, .partitions = 2},
	{.name = "raw_events", .id = {{1}}, .partitions = PARTITIONS},
};
static const struct log_topics picture = {topics, 3};
static const struct log_topics *fake_topics(struct sm_log *log)
{
	return &picture;
}
static void fake_release(struct sm_log *log, const struct log_topics *given) {}

static void keep(int32_t partition, const uint8_t *data, size_t size)
{
	struct batch_reader reader;
	struct record record;
	assert_int_equal(batch_reader_init(&reader, bytes_of(data, size)), SM_OK);
	assert_true(batch_crc_ok(bytes_of(data, size), &reader.info));
	assert_true(size <= LOG_BATCH_BYTES_MAX);
	while (batch_next(&reader, &record) == SM_OK) {
		struct kept *k = &fake.kept[fake.records++ % 4096];
		*k = (struct kept){.partition = partition,
				   .key_null = record.key_null,
				   .value_size = record.value.size,
				   .timestamp_ms = record.timestamp_ms};
		snprintf(k->key, sizeof k->key, "%.*s", (int)record.key.size, record.key_null ? "" : (const char *)record.key.data);
		snprintf(k->value, sizeof k->value, "%.*s", (int)(record.value.size < 255 ? record.value.size : 255),
			 (const char *)record.value.data);
	}
	batch_reader_done(&reader);
}

static void fake_append(struct sm_log *log, const char *topic, int32_t partition, uint8_t *batches, size_t size, unsigned flags,
			log_append_done done, void *arg)
{
	struct log_append_result result = {.base_offset = 7};
	pthread_mutex_lock(&fake.lock);
	fake.appends++;
	bool fails = fake.err && (fake.err_partition < 0 || fake.err_partition == partition);
	if (fails)
		result.err = fake.err;
	else
		keep(partition, batches, size);
	bool hold = fake.hold && !fails;
	if (hold)
		fake.held[fake.held_count++] = (struct held){done, arg};
	pthread_mutex_unlock(&fake.lock);
	if (!hold)
		done(arg, &result);
}
static const struct log_ops fake_ops = {.topics = fake_topics, .topics_release = fake_release, .append = fake_append};
static struct sm_log fake_log = {&fake_ops};

static uint32_t locked(const uint32_t *value)
{
	pthread_mutex_lock(&fake.lock);
	uint32_t v = *value;
	pthread_mutex_unlock(&fake.lock);
	return v;
}

static void release_held(void)
{
	pthread_mutex_lock(&fake.lock);
	fake.hold = false;
	for (uint32_t i = 0; i < fake.held_count; i++)
		fake.held[i].done(fake.held[i].arg, &(struct log_append_result){0});
	fake.held_count = 0;
	pthread_mutex_unlock(&fake.lock);
}

/* ---- the server ---- */

static struct sm_system *sys;
static struct http_server *server;
static struct ingest *ingest;
static struct schema *schema;
static uint16_t port;
static struct clock_manual now;

static void find_topic(void *arg, const char *name, struct ingest_topic *ret)
{
	*ret = strcmp(name, "raw_events") == 0 ? (struct ingest_topic){schema, "campaign"} : (struct ingest_topic){0};
}

static void start(struct sm_log *log)
{
	struct sm_error error = {0};
	clock_manual_init(&now, 1700000000000000u);
	struct http_server_options http = {.system = sys, .host = "127.0.0.1"};
	struct ingest_options options = {.system = sys, .log = log, .topic = find_topic, .clock = &now.clock};
	if (http_server_new(&http, &server, &error) || ingest_new(&options, &ingest) || ingest_routes(ingest, server) ||
	    http_server_start(server, &error))
		fail_msg("start: %s", error.text);
	port = http_server_port(server);
}

static int set_up(void **state)
{
	static const char text[] = "{\"type\":\"object\",\"required\":[\"id\",\"campaign\",\"ts\"],\"properties\":{\"id\":{\"type\":"
				   "\"string\",\"format\":\"uuid\"},"
				   "\"campaign\":{\"type\":\"string\"},\"ts\":{\"type\":\"integer\"},\"type\":{\"type\":\"string\","
				   "\"enum\":[\"view\",\"click\"]}}}";
	struct sm_system_options options = {.dispatchers = 2, .pool_threads = 2};
	struct sm_error error;
	if (sm_system_new(&options, &sys, &error) || schema_compile(bytes_str(text), &schema, &error))
		fail_msg("%s", error.text);
	fake.appends = fake.records = fake.held_count = 0;
	fake.err = SM_OK;
	fake.err_partition = -1;
	fake.hold = false;
	if (!*state)
		start(&fake_log);
	return 0;
}

static int tear_down(void **state)
{
	http_server_free(server, 2000);
	ingest_free(ingest);
	int failed = sm_system_stop(sys, 5000) != SM_OK;
	schema_free(schema);
	return failed;
}

/* ---- the client ---- */

#define ID "\"id\":\"c0ffee00-1234-4abc-8def-0123456789ab\""
#define GOOD "{" ID ",\"campaign\":\"a\",\"ts\":1}"
#define BAD_TS "{" ID ",\"campaign\":\"a\",\"ts\":\"x\"}"
#define MISSING "{" ID ",\"ts\":1}"
#define JSON "application/json"
#define NDJSON "application/x-ndjson"

static struct http_response post(const char *path, const char *type, struct bytes body, const char *encoding)
{
	struct http_client *client;
	struct http_response response;
	struct sm_error error;
	char url[256], header[128];
	snprintf(url, sizeof url, "http://127.0.0.1:%u%s%s", port, *path == '/' ? "" : "/ingest/", path);
	snprintf(header, sizeof header, "Content-Type: %s", type);
	const char *headers[] = {header, encoding, NULL};
	assert_int_equal(http_client_new(&client), SM_OK);
	if (http_client_do(client, "POST", url, headers, body, 60000, &response, &error))
		fail_msg("%s", error.text);
	http_client_free(client);
	buf_u8(&response.body, 0);
	return response;
}

static void expect(const char *path, const char *type, const char *body, int status, const char *answer)
{
	struct http_response r = post(path, type, bytes_str(body), NULL);
	const char *text = (const char *)buf_bytes(&r.body).data;
	assert_non_null(text); /* post() has put a zero byte there */
	if (r.status != status || (answer && strcmp(text, answer) != 0))
		fail_msg("%d %s in place of %d %s", r.status, text, status, answer ? answer : "");
	if (status == 429)
		assert_int_equal(r.retry_after_s, 1);
	http_response_done(&r);
}

/* ---- tests ---- */

static void one_document_is_stored_as_it_came(void **state)
{
	int64_t before = clock_wall_ms(&clock_system);
	expect("raw_events", JSON, GOOD, 202, "{\"topic\":\"raw_events\",\"accepted\":1}");
	assert_int_equal(fake.records, 1);
	assert_string_equal(fake.kept[0].value, GOOD);
	assert_string_equal(fake.kept[0].key, "a");
	assert_int_equal(fake.kept[0].partition, log_partition_of(BYTES("a"), PARTITIONS));
	assert_true(fake.kept[0].timestamp_ms >= before && fake.kept[0].timestamp_ms <= clock_wall_ms(&clock_system));
}

static void a_document_over_several_lines_becomes_one(void **state)
{
	expect("raw_events", "application/json; charset=utf-8", "{\r\n\t" ID ",\n \"campaign\" : \"b\\u0062\",\n\"ts\":1 }\r\n", 202, NULL);
	assert_string_equal(fake.kept[0].value, "{  \t" ID ",  \"campaign\" : \"b\\u0062\", \"ts\":1 }");
	assert_string_equal(fake.kept[0].key, "bb"); /* what the string says */
}

static void lines_go_to_the_partitions_of_their_keys(void **state)
{
	char body[4096] = "", line[256];
	for (int i = 0; i < 30; i++) {
		snprintf(line, sizeof line, "{" ID ",\"campaign\":\"c%d\",\"ts\":%d}%s", i % 10, i, i % 7 == 0 ? "\r\n\n  \r\n" : "\n");
		strcat(body, line);
	}
	expect("raw_events", NDJSON, body, 202, "{\"topic\":\"raw_events\",\"accepted\":30}");
	assert_int_equal(fake.records, 30);
	assert_true(fake.appends <= PARTITIONS); /* one batch a partition */
	for (int i = 0; i < 30; i++) {
		assert_int_equal(fake.kept[i].partition, log_partition_of(bytes_str(fake.kept[i].key), PARTITIONS));
		assert_int_equal(fake.kept[i].value[strlen(fake.kept[i].value) - 1], '}');
	}
	/* the last line needs no end, and nothing is something */
	expect("raw_events", NDJSON, GOOD "\n" GOOD, 202, "{\"topic\":\"raw_events\",\"accepted\":2}");
	expect("raw_events", NDJSON, "\n\n", 202, "{\"topic\":\"raw_events\",\"accepted\":0}");
}

static void a_bad_document_gets_a_flat_map_of_reasons(void **state)
{
	expect("raw_events", JSON, BAD_TS, 400, "{\"obj.ts\":[\"error.expected.jsnumber\"]}");
	expect("raw_events", JSON, MISSING, 400, "{\"obj.campaign\":[\"error.path.missing\"]}");
	expect("raw_events", JSON, "{", 400, "{\"obj\":[\"error.invalid.json\"]}");
	expect("raw_events", JSON, "", 400, "{\"obj\":[\"error.invalid.json\"]}");
	expect("raw_events", JSON, GOOD "\n" GOOD, 400, "{\"obj\":[\"error.invalid.json\"]}");
	expect("raw_events", JSON, "1", 400, "{\"obj\":[\"error.expected.jsobject\"]}");
	assert_int_equal(fake.appends, 0);
}

static void a_bad_line_keeps_the_whole_request_out(void **state)
{
	expect("raw_events", NDJSON, GOOD "\n\n" BAD_TS "\n" GOOD "\n" MISSING, 400,
	       "{\"lines\":{\"3\":{\"obj.ts\":[\"error.expected.jsnumber\"]},\"5\":{\"obj.campaign\":[\"error.path.missing\"]}}}");
	assert_int_equal(fake.appends, 0);
}

static void on_error_skip_stores_the_good_lines(void **state)
{
	expect("raw_events?on_error=skip", NDJSON, GOOD "\n" BAD_TS "\n" GOOD "\n", 202,
	       "{\"topic\":\"raw_events\",\"accepted\":2,\"lines\":{\"2\":{\"obj.ts\":[\"error.expected.jsnumber\"]}}}");
	assert_int_equal(fake.records, 2);
	expect("raw_events?on_error=skip", JSON, BAD_TS, 400, NULL);
	expect("raw_events?on_error=wonder", NDJSON, GOOD, 400, NULL);
	assert_int_equal(fake.records, 2);
}

static void many_bad_lines_are_counted_not_all_described(void **state)
{
	struct buf body;
	buf_init(&body);
	for (int i = 0; i < INGEST_REPORT_LINES_MAX + 5; i++)
		buf_append_str(&body, "x\n");
	struct http_response r = post("raw_events?on_error=skip", NDJSON, buf_bytes(&body), NULL);
	assert_int_equal(r.status, 202);
	assert_non_null(strstr((const char *)buf_bytes(&r.body).data, "\"1000\":{\"obj\":[\"error.invalid.json\"]}},\"unreported\":5}"));
	http_response_done(&r);
	buf_done(&body);
}

static void a_topic_without_a_schema_takes_any_json(void **state)
{
	expect("plain", JSON, "{\"anything\":[1,{}]}", 202, "{\"topic\":\"plain\",\"accepted\":1}");
	expect("plain", NDJSON, "[1]\n\"text\"\n12\nnull\n{}", 202, "{\"topic\":\"plain\",\"accepted\":5}");
	expect("plain", JSON, "{\"a\":}", 400, "{\"obj\":[\"error.invalid.json\"]}");
	for (uint32_t i = 0; i < fake.records; i++)
		assert_true(fake.kept[i].key_null);
	/* without keys a request's events stay together */
	assert_int_equal(fake.kept[1].partition, fake.kept[5].partition);
}

static void gzip_is_undone(void **state)
{
	struct buf body;
	buf_init(&body);
	assert_int_equal(codec_compress(CODEC_GZIP, BYTES(GOOD "\n" GOOD "\n"), &body), SM_OK);
	struct http_response r = post("raw_events", NDJSON, buf_bytes(&body), "Content-Encoding: gzip");
	assert_int_equal(r.status, 202);
	http_response_done(&r);
	buf_done(&body);
	assert_int_equal(fake.records, 2);
	assert_string_equal(fake.kept[1].value, GOOD);
}

static void what_cannot_be_taken_has_its_status(void **state)
{
	expect("nowhere", JSON, GOOD, 404, "{\"message\":\"there is no topic \\\"nowhere\\\"\"}");
	expect("__internal", JSON, GOOD, 404, NULL);
	expect("raw_events", "text/plain", GOOD, 415, NULL);
	expect("raw_events", "application/x-www-form-urlencoded", "a=b", 415, NULL);
	fake.err = SM_FULL;
	expect("raw_events", JSON, GOOD, 429, NULL);
	fake.err = SM_IO;
	expect("raw_events", JSON, GOOD, 503, NULL);
	fake.err = SM_CLOSED;
	expect("raw_events", JSON, GOOD, 503, NULL);
	fake.err = SM_NO_SPACE;
	expect("raw_events", JSON, GOOD, 507, NULL);
	fake.err = SM_NOT_FOUND;
	expect("raw_events", JSON, GOOD, 404, NULL);
	fake.err = SM_CORRUPT;
	expect("raw_events", JSON, GOOD, 500, NULL);
	assert_int_equal(fake.records, 0);
}

static void a_partition_that_fails_fails_the_request(void **state)
{
	fake.err = SM_IO;
	fake.err_partition = log_partition_of(BYTES("a"), PARTITIONS);
	const char *other = log_partition_of(BYTES("b"), PARTITIONS) != fake.err_partition ? "b" : "c";
	char body[512];
	snprintf(body, sizeof body, GOOD "\n{" ID ",\"campaign\":\"%s\",\"ts\":1}\n", other);
	expect("raw_events", NDJSON, body, 503, NULL);
	assert_int_equal(fake.records, 1);
}

/* Whatever the failure is: who hears that all is lost sends all again. */
static void of_a_request_with_places_only_what_failed_is_told_so(void **state)
{
	fake.err = SM_NO_MEMORY;
	fake.err_partition = 1;
	struct http_response r = post(
		"/topics/plain", "application/vnd.kafka.json.v2+json",
		BYTES("{\"records\":[{\"value\":1,\"partition\":1},{\"value\":2,\"partition\":0},{\"value\":3,\"partition\":0}]}"), NULL);
	const char *text = (const char *)buf_bytes(&r.body).data;
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(text, "{\"offsets\":[{\"partition\":null,\"offset\":null,\"error_code\":50003,"));
	assert_non_null(strstr(text, "{\"partition\":0,\"offset\":7,\"error_code\":null,\"error\":null},{\"partition\":0,\"offset\":8,"));
	http_response_done(&r);
	r = post("/v3/clusters/smack/topics/plain/records", JSON, BYTES("{\"partition_id\":0}{\"partition_id\":1}"), NULL);
	text = (const char *)buf_bytes(&r.body).data;
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(text, "{\"error_code\":200,"));
	assert_non_null(strstr(text, "\"offset\":7,"));
	assert_non_null(strstr(text, "\n{\"error_code\":50003,"));
	http_response_done(&r);
}

static void large_requests_are_split_and_large_events_refused(void **state)
{
	struct buf body;
	char line[400];
	buf_init(&body);
	for (int i = 0; i < 12000; i++) {
		snprintf(line, sizeof line, "{" ID ",\"campaign\":\"a\",\"ts\":%d,\"pad\":\"%0200d\"}\n", i, i);
		buf_append_str(&body, line);
	}
	struct http_response r = post("raw_events", NDJSON, buf_bytes(&body), NULL);
	assert_int_equal(r.status, 202);
	assert_string_equal((const char *)buf_bytes(&r.body).data, "{\"topic\":\"raw_events\",\"accepted\":12000}");
	http_response_done(&r);
	assert_int_equal(fake.records, 12000);
	assert_true(fake.appends >= 3 && fake.appends < 10);
	assert_non_null(strstr(fake.kept[11999 % 4096].value, "\"ts\":11999,")); /* in order */
	buf_clear(&body);
	buf_append_str(&body, GOOD "\n{" ID ",\"campaign\":\"a\",\"ts\":1,\"pad\":\"");
	for (int i = 0; i < 11000; i++)
		buf_append_str(&body,
			       "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789");
	buf_append_str(&body, "\"}\n");
	r = post("raw_events", NDJSON, buf_bytes(&body), NULL);
	assert_int_equal(r.status, 413);
	assert_non_null(strstr((const char *)buf_bytes(&r.body).data, "line 2"));
	http_response_done(&r);
	/* the first of an array has the number 0 */
	body.start += strlen(GOOD "\n") - 1;
	body.data[body.start] = '[';
	body.data[body.end - 1] = ']';
	r = post("raw_events", JSON, buf_bytes(&body), NULL);
	assert_int_equal(r.status, 413);
	assert_non_null(strstr((const char *)buf_bytes(&r.body).data, "line 0"));
	http_response_done(&r);
	assert_int_equal(fake.records, 12000);
	buf_done(&body);
}

/* ---- raw connections: pipelining, and clients that go ---- */

static int connect_raw(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval limit = {.tv_sec = 20};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void send_events(int fd, int count)
{
	char request[512];
	struct buf all;
	buf_init(&all);
	snprintf(request, sizeof request,
		 "POST /ingest/raw_events HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: application/json\r\nContent-Length: "
		 "%zu\r\n\r\n" GOOD,
		 port, strlen(GOOD));
	for (int i = 0; i < count; i++)
		buf_append_str(&all, request);
	assert_int_equal(send(fd, all.data, all.end, 0), all.end);
	buf_done(&all);
}

static int count_answers(int fd, int wanted)
{
	char got[65536];
	size_t size = 0;
	int count = 0;
	while (count < wanted) {
		ssize_t n = recv(fd, got + size, sizeof got - 1 - size, 0);
		if (n <= 0)
			break;
		size += (size_t)n;
		got[size] = 0;
		count = 0;
		for (const char *p = got; (p = strstr(p, "HTTP/1.1 202 Accepted")); p++)
			count++;
	}
	return count;
}

static void wait_until(const uint32_t *value, uint32_t wanted)
{
	for (int i = 0; i < 20000 && locked(value) != wanted; i++)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	assert_int_equal(locked(value), wanted);
}

static void events_of_one_turn_share_a_batch(void **state)
{
	int fd = connect_raw();
	send_events(fd, 50);
	assert_int_equal(count_answers(fd, 50), 50);
	assert_int_equal(fake.records, 50);
	assert_true(fake.appends < 10); /* one, unless the bytes came in pieces */
	close(fd);
}

static void nothing_is_answered_before_the_log_has_it(void **state)
{
	int fd = connect_raw();
	char byte;
	fake.hold = true;
	send_events(fd, 3);
	wait_until(&fake.records, 3);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	release_held();
	assert_int_equal(count_answers(fd, 3), 3);
	close(fd);
}

static void assert_behind(const char *expected)
{
	char text[200] = "";
	assert_int_equal(ingest_is_behind(ingest, text, sizeof text), expected != NULL);
	assert_string_equal(text, expected ? expected : "");
}

static void a_log_that_refuses_or_is_silent_is_behind(void **state)
{
	assert_behind(NULL);
	fake.err = SM_FULL;
	expect("raw_events", JSON, GOOD, 429, NULL);
	assert_behind("the log refuses events: it is behind");
	fake.err = SM_OK;
	expect("raw_events", JSON, GOOD, 202, NULL);
	assert_behind("the log refuses events: it is behind");
	now.now_us += INGEST_BEHIND_MS * 1000;
	assert_behind(NULL);
	fake.err = SM_CORRUPT; /* our own fault */
	expect("raw_events", JSON, GOOD, 500, NULL);
	assert_behind(NULL);
	fake.err = SM_OK;
	fake.hold = true;
	int fd = connect_raw();
	send_events(fd, 1);
	wait_until(&fake.held_count, 1);
	assert_behind(NULL);
	now.now_us += INGEST_BEHIND_MS * 1000;
	assert_behind("the log has answered none of 1 batches for 2000 ms");
	release_held();
	assert_int_equal(count_answers(fd, 1), 1);
	assert_behind(NULL);
	close(fd);
}

static void a_client_that_goes_leaves_nothing_behind(void **state)
{
	int fd = connect_raw();
	fake.hold = true;
	send_events(fd, 3);
	wait_until(&fake.records, 3);
	struct linger hard = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	close(fd);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	release_held();
	expect("raw_events", JSON, GOOD, 202, NULL);
}

static void *release_soon(void *arg)
{
	nanosleep(&(struct timespec){0, 100000000}, NULL);
	release_held();
	return NULL;
}

static void stopping_answers_what_is_at_the_log(void **state)
{
	int fd = connect_raw();
	pthread_t thread;
	fake.hold = true;
	send_events(fd, 2);
	wait_until(&fake.records, 2);
	pthread_create(&thread, NULL, release_soon, NULL);
	http_server_free(server, 3000);
	server = NULL;
	assert_int_equal(count_answers(fd, 2), 2);
	pthread_join(thread, NULL);
	close(fd);
}

static void the_real_log_has_what_was_accepted(void **state)
{
	char dir[] = "/tmp/ingest_test_XXXXXX";
	struct sm_error error = {0};
	struct sm_log *log;
	assert_non_null(mkdtemp(dir));
	struct log_embedded_options options = {.system = sys, .dir = dir};
	struct log_topic_spec spec = {.name = "raw_events", .partitions = PARTITIONS, .replication_factor = 1};
	if (log_embedded_open(&options, &log, &error) || log_topic_create_wait(log, &spec, &error))
		fail_msg("%s", error.text);
	start(log);
	for (int i = 0; i < 20; i++)
		expect("raw_events", NDJSON, GOOD "\n" GOOD "\n", 202, NULL);
	int64_t offset, timestamp;
	int32_t partition = log_partition_of(BYTES("a"), PARTITIONS);
	assert_int_equal(log->ops->offset_for(log, "raw_events", partition, LOG_LATEST, &offset, &timestamp), SM_OK);
	assert_int_equal(offset, 40);
	http_server_free(server, 2000);
	server = NULL;
	ingest_free(ingest);
	ingest = NULL;
	assert_int_equal(log->ops->close(log, &error), SM_OK);
	assert_int_equal(io_remove_tree(&io_system, dir, &error), SM_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_log_that_refuses_or_is_silent_is_behind),
		TEST(one_document_is_stored_as_it_came),
		TEST(a_document_over_several_lines_becomes_one),
		TEST(lines_go_to_the_partitions_of_their_keys),
		TEST(a_bad_document_gets_a_flat_map_of_reasons),
		TEST(a_bad_line_keeps_the_whole_request_out),
		TEST(on_error_skip_stores_the_good_lines),
		TEST(many_bad_lines_are_counted_not_all_described),
		TEST(a_topic_without_a_schema_takes_any_json),
		TEST(gzip_is_undone),
		TEST(what_cannot_be_taken_has_its_status),
		TEST(a_partition_that_fails_fails_the_request),
		TEST(of_a_request_with_places_only_what_failed_is_told_so),
		TEST(large_requests_are_split_and_large_events_refused),
		TEST(events_of_one_turn_share_a_batch),
		TEST(nothing_is_answered_before_the_log_has_it),
		TEST(a_client_that_goes_leaves_nothing_behind),
		TEST(stopping_answers_what_is_at_the_log),
		cmocka_unit_test_prestate_setup_teardown(the_real_log_has_what_was_accepted, set_up, tear_down, (void *)"real"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
