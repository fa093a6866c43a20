/* Listing 10 on real events: the C program is killed again and again while events come in, and each event is there once; the SQL form gives
 * the same rows. */
#include "compute/testing.h"
#include "base/compress.h"
#include "base/hash.h"
#include "log/record_batch.h"
#include "remote/remote.h"
#include "stream/stream.h"
#include <signal.h>
#include <smack/event.h>
#include <smack/store.h>
#include <sys/wait.h>
#include <time.h>

enum { PARTITIONS = 3, CHUNK = 500, KILLS = 12 };
static struct platform platform;
static struct schema *schema;
static const char *program;
static struct buf lines; /* the day's events, a line each */
static uint32_t line_count;

static void read_day(void)
{
	uint8_t *data;
	size_t size, used;
	struct gunzip *g;
	struct sm_error error = {0};
	platform_check(io_read_file(&io_system, "examples/open-bandit/2019/11/24.gz", 16 << 20, &data, &size, &error), &error);
	buf_init(&lines);
	assert_int_equal(gunzip_new(&g), SM_OK);
	for (size_t at = 0; at < size; at += used)
		assert_int_equal(gunzip_feed(g, bytes_of(data + at, size - at), 64 << 20, &lines, &used), SM_OK);
	gunzip_free(g);
	free(data);
	for (size_t i = 0; i < buf_size(&lines); i++)
		line_count += buf_bytes(&lines).data[i] == '\n';
	assert_true(line_count > 5000);
}

static int setup(void **state)
{
	struct sm_error error = {0};
	platform_open(&platform);
	platform_keyspace(&platform, "ads");
	platform_table(&platform, "ads", "event", "id uuid p, ad_id uuid r, campaign uuid r, ts bigint r, type text r");
	struct log_topic_spec spec = {.name = "raw_events", .partitions = PARTITIONS, .replication_factor = 1};
	platform_check(log_topic_create_wait(platform.log, &spec, &error), &error);
	platform_check(schema_compile(bytes_str(sm_event_schema()), &schema, &error), &error);
	read_day();
	return 0;
}

static int teardown(void **state)
{
	platform_close(&platform);
	schema_free(schema);
	buf_done(&lines);
	return 0;
}

/* Some of the lines into a partition, one of them damaged. */
static const uint8_t *append_chunk(const uint8_t *from, int32_t partition)
{
	const uint8_t *end = buf_bytes(&lines).data + buf_size(&lines);
	struct batch_builder b;
	struct buf out;
	int64_t offset;
	buf_init(&out);
	batch_begin(&b, &out, CODEC_NONE);
	batch_add(&b, &(struct record){.timestamp_ms = 1574553617004, .key_null = true, .value = BYTES("no event")}, NULL, 0);
	for (int i = 0; i < CHUNK && from < end; i++) {
		const uint8_t *stop = memchr(from, '\n', (size_t)(end - from));
		stop = stop ? stop : end;
		batch_add(&b,
			  &(struct record){.timestamp_ms = 1574553617004, .key_null = true, .value = bytes_of(from, (size_t)(stop - from))},
			  NULL, 0);
		from = stop + 1;
	}
	assert_int_equal(batch_end(&b), SM_OK);
	assert_int_equal(log_append_wait(platform.log, "raw_events", partition, out.data + out.start, buf_size(&out), &offset), SM_OK);
	buf_done(&out);
	return from;
}

static pid_t start_program(const char *argument)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl(program, program, "--data", platform.dir, "--class", "event-stream", "interval_ms=20", argument, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* All rows as one checksum, and their number. */
static enum sm_err add_row(void *arg, const struct sm_row *row)
{
	uint64_t *sum = arg, hash = 0;
	for (uint32_t i = 0; i < sm_row_width(row); i++) {
		char text[64];
		sm_value_format(sm_get_at(row, i), text, sizeof text);
		hash = hash * 31 + crc32c(0, text, strlen(text));
	}
	sum[0]++;
	sum[1] += hash;
	return SM_OK;
}

static void sum_events(uint64_t sum[2])
{
	struct sm_error error = {0};
	sum[0] = sum[1] = 0;
	platform_check(sm_store_scan(platform.store, "ads.event", add_row, sum, &error), &error);
}

static uint32_t topic_records(const char *topic)
{
	int64_t end, unused;
	assert_int_equal(platform.log->ops->offset_for(platform.log, topic, 0, LOG_LATEST, &end, &unused), SM_OK);
	return (uint32_t)end;
}

static const struct schema *schema_of(void *arg, const char *topic)
{
	return schema;
}

static uint64_t by_the_program[2];

static void each_event_is_there_once_although_the_program_is_killed(void **state)
{
	static const struct remote_command no_commands[] = {{NULL, NULL, NULL}};
	struct remote_server_options options = {
		.system = platform.system, .log = platform.log, .store = platform.store, .data_dir = platform.dir, .commands = no_commands};
	struct remote_server *server;
	struct sm_error error = {0};
	const uint8_t *at = buf_bytes(&lines).data, *end = at + buf_size(&lines);
	unsigned seed = 7, chunks = 0;
	int status;
	if (!program)
		skip();
	platform_check(remote_server_new(&options, &server, &error), &error);
	for (int i = 0; i < KILLS || at < end; i++) {
		pid_t pid = start_program("until=");
		for (int k = 0; k < 3 && at < end; k++, chunks++)
			at = append_chunk(at, (int32_t)(rand_r(&seed) % PARTITIONS));
		nanosleep(&(struct timespec){0, 1000000 * (10 + rand_r(&seed) % 150)}, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	pid_t pid = start_program("until=end");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	sum_events(by_the_program);
	assert_int_equal(by_the_program[0], line_count);
	assert_int_equal(topic_records("raw_events.dead"), chunks);
	remote_server_free(server, 1000);
}

static void the_sql_form_gives_the_same_rows(void **state)
{
	struct compute_env env = {.log = platform.log, .store = platform.store, .topic_schema = schema_of};
	struct sm_error error = {0};
	struct stream_batch_result r = {.more = true};
	struct stream_job *job;
	uint64_t sum[2];
	uint8_t *sql;
	size_t size;
	if (!program)
		skip();
	struct store_change empty = {.kind = STORE_TRUNCATE_TABLE, .keyspace = "ads", .table = "event"};
	platform_check(store_change_wait(platform.store, &empty, &error), &error);
	sum_events(sum);
	assert_int_equal(sum[0], 0);
	platform_check(io_read_file(&io_system, "examples/10-event-stream.sql", 1 << 16, &sql, &size, &error), &error);
	char *text = calloc(1, size + 1);
	memcpy(text, sql, size);
	struct stream_options o = {.name = "events", .sql = text, .dedup = "id", .dead_letter = "events.dead", .env = &env};
	platform_check(stream_job_open(&o, &job, &error), &error);
	while (r.more)
		platform_check(stream_job_batch(job, &r, &error), &error);
	stream_job_close(job);
	sum_events(sum);
	assert_int_equal(sum[0], by_the_program[0]);
	assert_true(sum[1] == by_the_program[1]);
	assert_int_equal(topic_records("events.dead"), topic_records("raw_events.dead"));
	free(text);
	free(sql);
}

int main(int argc, char **argv)
{
	program = argc > 1 ? argv[1] : NULL;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_event_is_there_once_although_the_program_is_killed),
		cmocka_unit_test(the_sql_form_gives_the_same_rows),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
