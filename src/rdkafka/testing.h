/* What the tests of the engine on a real Kafka share. The broker is a smack in the same process, or the one that the environment's
 * SMACK_TEST_BROKERS names (HOST:PORT): then its topics are made under names of this run. */
#ifndef RDKAFKA_TESTING_H
#define RDKAFKA_TESTING_H

#include "base/io.h"
#include "kafka/kafka.h"
#include "log/record_batch.h"
#include "rdkafka/rdkafka.h"
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define T0 INT64_C(1574553617004)

struct outgrown {
	struct sm_system *system;
	struct sm_log *embedded; /* the broker's; NULL: it is another's */
	struct kafka_server *server;
	uint16_t port;
	char dir[64], address[200], prefix[32];
	struct sm_log *log; /* under test */
	char notices[4096];
};

static inline void outgrown_notice(void *arg, const char *text)
{
	struct outgrown *x = arg;
	size_t used = strlen(x->notices);
	snprintf(x->notices + used, sizeof x->notices - used, "%s\n", text);
}

/* The broker, on the port that it had. */
static inline void broker_start(struct outgrown *x)
{
	struct sm_error error;
	struct sm_system_options system = {.dispatchers = 1, .pool_threads = 4};
	if (sm_system_new(&system, &x->system, &error))
		fail_msg("%s", error.text);
	struct log_embedded_options log = {.system = x->system, .dir = x->dir};
	if (log_embedded_open(&log, &x->embedded, &error))
		fail_msg("%s", error.text);
	struct kafka_listener_options listener = {.host = "127.0.0.1", .port = x->port};
	struct kafka_server_options server = {.system = x->system, .log = x->embedded, .listeners = &listener, .listener_count = 1};
	if (kafka_server_new(&server, &x->server, &error))
		fail_msg("%s", error.text);
	x->port = kafka_server_port(x->server, 0);
}

static inline void broker_stop(struct outgrown *x)
{
	struct sm_error error;
	kafka_server_free(x->server, 1000);
	if (x->embedded->ops->close(x->embedded, &error))
		fail_msg("%s", error.text);
	sm_system_stop(x->system, 5000);
	x->server = NULL;
}

static inline enum sm_err try_open(struct outgrown *x, const char *address, struct sm_error *error)
{
	struct rdkafka_options options = {
		.address = address, .notice = outgrown_notice, .notice_arg = x, .open_timeout_ms = x->port ? 10000 : 1000};
	return rdkafka_open(&options, &x->log, error);
}

static inline int outgrown_begin(void **state)
{
	struct outgrown *x = calloc(1, sizeof *x);
	const char *brokers = getenv("SMACK_TEST_BROKERS");
	struct sm_error error;
	if (brokers) {
		snprintf(x->address, sizeof x->address, "kafka://%s", brokers);
	} else {
		snprintf(x->dir, sizeof x->dir, "%s/smack-outgrown-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		assert_non_null(mkdtemp(x->dir));
		broker_start(x);
		snprintf(x->address, sizeof x->address, "kafka://127.0.0.1:%u", x->port);
	}
	struct uuid id;
	uuid_random(&id);
	snprintf(x->prefix, sizeof x->prefix, "t%02x%02x%02x%02x-", id.bytes[0], id.bytes[1], id.bytes[2], id.bytes[3]);
	if (try_open(x, x->address, &error))
		fail_msg("%s", error.text);
	*state = x;
	return 0;
}

static inline void outgrown_close(struct outgrown *x)
{
	struct sm_error error;
	if (x->log->ops->close(x->log, &error))
		fail_msg("%s", error.text);
	x->log = NULL;
}

static inline int outgrown_end(void **state)
{
	struct outgrown *x = *state;
	if (x->log)
		outgrown_close(x);
	if (x->server)
		broker_stop(x);
	if (*x->dir)
		(void)!io_remove_tree(&io_system, x->dir, NULL);
	free(x);
	return 0;
}

/* A topic of this run; the name is static. */
static inline const char *make_topic(struct outgrown *x, const char *name, int32_t partitions, const struct log_config *configs,
				     uint32_t count)
{
	static char names[8][64];
	static unsigned turn;
	char *full = names[turn++ % 8];
	struct sm_error error;
	snprintf(full, sizeof names[0], "%s%s", x->prefix, name);
	struct log_topic_spec spec = {
		.name = full, .partitions = partitions, .replication_factor = 1, .configs = configs, .config_count = count};
	if (log_topic_create_wait(x->log, &spec, &error))
		fail_msg("%s", error.text);
	return full;
}

/* Records "from" to "to", not in, as "key N" -> "value N" at T0 + N ms, in one batch. */
static inline void put_batch(struct buf *out, enum codec codec, int from, int to)
{
	struct batch_builder b;
	batch_begin(&b, out, codec);
	for (int i = from; i < to; i++) {
		char key[32], value[64];
		snprintf(key, sizeof key, "key %d", i);
		snprintf(value, sizeof value, "value %d", i);
		struct record r = {.timestamp_ms = T0 + i, .key = bytes_str(key), .value = bytes_str(value)};
		batch_add(&b, &r, NULL, 0);
	}
	assert_int_equal(batch_end(&b), SM_OK);
}

static inline int64_t append_some(struct outgrown *x, const char *topic, int32_t partition, int from, int to)
{
	struct buf out;
	int64_t offset = -1;
	buf_init(&out);
	put_batch(&out, CODEC_NONE, from, to);
	assert_int_equal(log_append_wait(x->log, topic, partition, out.data, buf_size(&out), &offset), SM_OK);
	buf_done(&out);
	return offset;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct one_wait {
	struct log_wait wait; /* first */
	sem_t done;
	enum sm_err err;
};

static inline void wait_done(struct log_wait *wait, enum sm_err err)
{
	struct one_wait *w = (struct one_wait *)wait;
	w->err = err;
	sem_post(&w->done);
}

#endif
