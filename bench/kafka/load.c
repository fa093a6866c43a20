/* A Kafka client under load, with the broker's CPU and memory beside its own: one measured run, one line of JSON.
 *
 *   bench-kafka-load produce OPTIONS    as fast as the broker acknowledges
 *   bench-kafka-load consume OPTIONS    all partitions from their beginning, again and again
 *   bench-kafka-load latency OPTIONS    at a fixed rate, from each message's scheduled time to its arrival at a consumer
 *
 *   --brokers HOST:PORT  --topic NAME  --partitions N  --size BYTES  --codec none|lz4  --linger MS  --seconds S  --rate N
 *   --single (every message a request of its own)  --pid BROKER
 *
 * The client is librdkafka, acks=all. Payloads are JSON-like text, so that a codec has something to do. */
#include <getopt.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PAYLOADS 1024
#define LATENCIES_MAX 20000000

static struct {
	const char *brokers, *topic, *codec;
	int partitions, size, linger_ms, pid;
	double seconds, rate;
	bool single;
} opt = {.brokers = "127.0.0.1:9092",
	 .topic = "bench",
	 .codec = "none",
	 .partitions = 1,
	 .size = 100,
	 .linger_ms = 5,
	 .seconds = 20,
	 .rate = 5000};

static char *payloads[PAYLOADS];
static uint64_t delivered, failed;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench-kafka-load: %s: %s\n", what, why);
	exit(1);
}

/* ---- time, CPU, memory ---- */

static double now_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double own_cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* User and system CPU seconds of the broker, all threads (proc(5)). */
static void broker_cpu(double *user, double *system)
{
	char path[64], text[2048];
	unsigned long u = 0, s = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
	FILE *f = opt.pid ? fopen(path, "r") : NULL;
	if (f && fgets(text, sizeof text, f))
		sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u, &s);
	if (f)
		fclose(f);
	*user = (double)u / (double)sysconf(_SC_CLK_TCK);
	*system = (double)s / (double)sysconf(_SC_CLK_TCK);
}

static long broker_kib(const char *field)
{
	char path[64], line[256];
	long kib = 0;
	snprintf(path, sizeof path, "/proc/%d/status", opt.pid);
	FILE *f = opt.pid ? fopen(path, "r") : NULL;
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtol(line + strlen(field), NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

struct measure {
	double since, own, user, system;
};

static void begin(struct measure *m)
{
	m->own = own_cpu();
	broker_cpu(&m->user, &m->system);
	m->since = now_seconds();
}

static void report(const char *mode, const struct measure *m, uint64_t messages, const char *more)
{
	double seconds = now_seconds() - m->since, user, system;
	broker_cpu(&user, &system);
	printf("{\"mode\":\"%s\",\"messages\":%" PRIu64 ",\"seconds\":%.3f,\"client_cpu\":%.3f,\"broker_user\":%.3f,\"broker_system\":%.3f,"
	       "\"rss_kib\":%ld,\"peak_kib\":%ld,\"failed\":%" PRIu64 "%s}\n",
	       mode, messages, seconds, own_cpu() - m->own, user - m->user, system - m->system, broker_kib("VmRSS:"), broker_kib("VmHWM:"),
	       failed, more);
}

/* ---- clients ---- */

static void make_payloads(void)
{
	uint64_t x = 88172645463325252u;
	for (int i = 0; i < PAYLOADS; i++) {
		size_t at = 0, size = (size_t)opt.size;
		payloads[i] = malloc(size + 256);
		while (at < size) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			at += (size_t)sprintf(payloads[i] + at,
					      "{\"campaign\":\"c-%05u\",\"type\":\"%s\",\"price\":%u.%03u,\"ts\":17%011" PRIu64 "},",
					      (unsigned)(x % 20000), x >> 60 ? "view" : "click", (unsigned)(x >> 20) % 100,
					      (unsigned)(x >> 30) % 1000, (x >> 24) % 100000000000u);
		}
	}
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char text[256];
	if (rd_kafka_conf_set(conf, name, value, text, sizeof text))
		die(name, text);
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *arg)
{
	if (message->err)
		failed++;
	else
		delivered++;
}

static rd_kafka_t *producer_new(void)
{
	char text[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", opt.brokers);
	set(conf, "acks", "all");
	set(conf, "compression.type", opt.codec);
	snprintf(text, sizeof text, "%d", opt.linger_ms);
	set(conf, "linger.ms", text);
	if (opt.single)
		set(conf, "batch.num.messages", "1");
	set(conf, "queue.buffering.max.messages", "200000");
	set(conf, "queue.buffering.max.kbytes", "262144");
	set(conf, "message.timeout.ms", "60000");
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	if (!client)
		die("producer", text);
	return client;
}

static rd_kafka_topic_t *producer_topic(rd_kafka_t *client)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(client, opt.topic, NULL);
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err = rd_kafka_metadata(client, 0, topic, &metadata, 15000);
	if (err)
		die("metadata", rd_kafka_err2str(err));
	rd_kafka_metadata_destroy(metadata);
	return topic;
}

static rd_kafka_t *consumer_new(int64_t from)
{
	char text[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", opt.brokers);
	set(conf, "group.id", "bench");
	set(conf, "enable.auto.commit", "false");
	set(conf, "enable.auto.offset.store", "false");
	set(conf, "queued.max.messages.kbytes", "65536");
	set(conf, "enable.partition.eof", "true");
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
	if (!client)
		die("consumer", text);
	rd_kafka_poll_set_consumer(client);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(opt.partitions);
	for (int i = 0; i < opt.partitions; i++)
		rd_kafka_topic_partition_list_add(list, opt.topic, i)->offset = from;
	rd_kafka_assign(client, list);
	rd_kafka_topic_partition_list_destroy(list);
	return client;
}

/* ---- produce ---- */

static void produce_one(rd_kafka_t *client, rd_kafka_topic_t *topic, int32_t partition, const void *payload)
{
	while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, (void *)payload, (size_t)opt.size, NULL, 0, NULL) == -1) {
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce", rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_poll(client, 5);
	}
}

static void run_produce(void)
{
	rd_kafka_t *client = producer_new();
	rd_kafka_topic_t *topic = producer_topic(client);
	struct measure m;
	begin(&m);
	for (uint64_t i = 0; (i & 1023) != 0 || now_seconds() - m.since < opt.seconds; i++) {
		produce_one(client, topic, RD_KAFKA_PARTITION_UA, payloads[i % PAYLOADS]);
		if ((i & 255) == 0)
			rd_kafka_poll(client, 0);
	}
	rd_kafka_flush(client, 120000);
	report("produce", &m, delivered, "");
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(client);
}

/* ---- consume ---- */

/* One pass over all partitions; false: time was up before its end. */
static bool consume_pass(const struct measure *m, uint64_t *messages)
{
	enum { BATCH = 10000 };
	static rd_kafka_message_t *batch[BATCH];
	rd_kafka_t *client = consumer_new(RD_KAFKA_OFFSET_BEGINNING);
	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
	int ended = 0;
	bool late = false;
	while (ended < opt.partitions && !late) {
		ssize_t got = rd_kafka_consume_batch_queue(queue, 50, batch, BATCH);
		for (ssize_t i = 0; i < got; i++) {
			if (!batch[i]->err)
				++*messages;
			else if (batch[i]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
				ended++;
			else
				failed++;
			rd_kafka_message_destroy(batch[i]);
		}
		late = now_seconds() - m->since >= opt.seconds;
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	return !late;
}

static void run_consume(void)
{
	struct measure m;
	uint64_t messages = 0;
	begin(&m);
	while (consume_pass(&m, &messages))
		;
	report("consume", &m, messages, "");
}

/* ---- latency ---- */

static double *latencies;
static atomic_size_t latency_count;
static atomic_bool stop, warm;

static void *receive(void *arg)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(arg);
	while (!atomic_load(&stop)) {
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, 100);
		if (!message)
			continue;
		double at = now_seconds(), scheduled;
		if (!message->err && message->len >= sizeof scheduled && atomic_load(&warm)) {
			memcpy(&scheduled, message->payload, sizeof scheduled);
			size_t n = atomic_load(&latency_count);
			if (scheduled > 0 && n < LATENCIES_MAX) {
				latencies[n] = (at - scheduled) * 1e3;
				atomic_store(&latency_count, n + 1);
			}
		}
		rd_kafka_message_destroy(message);
	}
	rd_kafka_queue_destroy(queue);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* count messages at opt.rate; timed: they carry the time at which they were due. */
static void send_at_rate(rd_kafka_t *client, rd_kafka_topic_t *topic, uint64_t count, bool timed)
{
	char *payload = malloc((size_t)opt.size + sizeof(double));
	memcpy(payload, payloads[0], (size_t)opt.size);
	double since = now_seconds();
	for (uint64_t i = 0; i < count; i++) {
		double due = since + (double)i / opt.rate, scheduled = timed ? due : 0, left;
		while ((left = due - now_seconds()) > 0)
			usleep(left * 1e6 < 50 ? 50 : (useconds_t)(left * 1e6));
		memcpy(payload, &scheduled, sizeof scheduled);
		produce_one(client, topic, (int32_t)(i % (uint64_t)opt.partitions), payload);
		if ((i & 15) == 0)
			rd_kafka_poll(client, 0);
	}
	rd_kafka_flush(client, 30000);
	free(payload);
}

static void run_latency(void)
{
	struct measure m;
	pthread_t thread;
	char text[256];
	latencies = malloc(LATENCIES_MAX * sizeof *latencies);
	rd_kafka_t *consumer = consumer_new(RD_KAFKA_OFFSET_END), *producer = producer_new();
	rd_kafka_topic_t *topic = producer_topic(producer);
	pthread_create(&thread, NULL, receive, consumer);
	send_at_rate(producer, topic, (uint64_t)(opt.rate * 3), false);
	sleep(1);
	atomic_store(&warm, true);
	begin(&m);
	uint64_t count = (uint64_t)(opt.rate * opt.seconds);
	send_at_rate(producer, topic, count, true);
	double until = now_seconds() + 10;
	while (atomic_load(&latency_count) < count && now_seconds() < until)
		usleep(1000);
	size_t n = atomic_load(&latency_count);
	qsort(latencies, n, sizeof *latencies, by_value);
	if (!n)
		die("latency", "nothing arrived");
	snprintf(text, sizeof text, ",\"arrived\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f", n,
		 latencies[n / 2], latencies[n * 99 / 100], latencies[n * 999 / 1000], latencies[n - 1]);
	report("latency", &m, count, text);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(producer);
	rd_kafka_destroy_flags(consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"brokers", 1, NULL, 'b'},
						{"topic", 1, NULL, 't'},
						{"partitions", 1, NULL, 'p'},
						{"size", 1, NULL, 's'},
						{"codec", 1, NULL, 'c'},
						{"linger", 1, NULL, 'l'},
						{"seconds", 1, NULL, 'd'},
						{"rate", 1, NULL, 'r'},
						{"single", 0, NULL, '1'},
						{"pid", 1, NULL, 'P'},
						{0}};
	int o;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (o) {
		case 'b': opt.brokers = optarg; break;
		case 't': opt.topic = optarg; break;
		case 'p': opt.partitions = atoi(optarg); break;
		case 's': opt.size = atoi(optarg); break;
		case 'c': opt.codec = optarg; break;
		case 'l': opt.linger_ms = atoi(optarg); break;
		case 'd': opt.seconds = atof(optarg); break;
		case 'r': opt.rate = atof(optarg); break;
		case '1': opt.single = true; break;
		case 'P': opt.pid = atoi(optarg); break;
		default: return 2;
		}
	}
	const char *mode = optind < argc ? argv[optind] : "";
	if (opt.partitions < 1 || opt.size < 16 || opt.seconds <= 0 || opt.rate <= 0)
		die("options", "partitions from 1, size from 16, seconds and rate above 0");
	make_payloads();
	if (strcmp(mode, "produce") == 0)
		run_produce();
	else if (strcmp(mode, "consume") == 0)
		run_consume();
	else if (strcmp(mode, "latency") == 0)
		run_latency();
	else
		die(mode, "produce, consume or latency");
	return 0;
}
