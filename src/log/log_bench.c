/* Append throughput with a sync a group, for several record sizes and numbers of appends in flight; reads.
 * usage: log-log_bench [DIR] [SECONDS] */
#include "base/metrics.h"
#include "log/log_internal.h"
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct lane {
	struct buf batch;
	sem_t *room;
	atomic_int *failed;
	struct lane *free_next;
};
static struct lane *free_lanes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static double seconds(void)
{
	return (double)clock_monotonic_ns(&clock_system) / 1e9;
}

static void must(enum sm_err err, const char *what, const struct sm_error *error)
{
	if (err) {
		fprintf(stderr, "%s: %s\n", what, error ? error->text : sm_err_text(err));
		exit(1);
	}
}

static void appended(void *arg, const struct log_append_result *result)
{
	struct lane *lane = arg;
	if (result->err)
		atomic_fetch_add(lane->failed, 1);
	pthread_mutex_lock(&lock);
	lane->free_next = free_lanes;
	free_lanes = lane;
	pthread_mutex_unlock(&lock);
	sem_post(lane->room);
}

static void fill_batch(struct buf *out, int records, size_t size)
{
	struct batch_builder b;
	char *value = malloc(size);
	memset(value, 'x', size);
	buf_init(out);
	batch_begin(&b, out, CODEC_NONE);
	for (int i = 0; i < records; i++)
		batch_add(&b, &(struct record){.timestamp_ms = 1574553617004 + i, .key_null = true, .value = bytes_of(value, size)}, NULL,
			  0);
	must(batch_end(&b), "batch", NULL);
	free(value);
}

static void run(struct sm_log *log, const char *topic, int in_flight, int records, size_t size, double how_long)
{
	struct lane *lanes = calloc((size_t)in_flight, sizeof *lanes);
	atomic_int failed = 0;
	sem_t room;
	sem_init(&room, 0, (unsigned)in_flight);
	free_lanes = NULL;
	for (int i = 0; i < in_flight; i++) {
		fill_batch(&lanes[i].batch, records, size);
		lanes[i].room = &room;
		lanes[i].failed = &failed;
		lanes[i].free_next = free_lanes;
		free_lanes = &lanes[i];
	}
	long appends = 0;
	int64_t syncs = metric_get(METRIC_LOG_SYNCS);
	double cpu = process_cpu_seconds(), begin = seconds();
	while (seconds() - begin < how_long) {
		sem_wait(&room);
		pthread_mutex_lock(&lock);
		struct lane *lane = free_lanes;
		free_lanes = lane->free_next;
		pthread_mutex_unlock(&lock);
		log->ops->append(log, topic, 0, lane->batch.data + lane->batch.start, buf_size(&lane->batch), 0, appended, lane);
		appends++;
	}
	for (int i = 0; i < in_flight; i++)
		sem_wait(&room);
	double took = seconds() - begin;
	cpu = process_cpu_seconds() - cpu;
	syncs = metric_get(METRIC_LOG_SYNCS) - syncs;
	size_t batch_bytes = buf_size(&lanes[0].batch);
	printf("%7d %8d %6zu %10.0f %11.0f %8.1f %8.0f %7.1f %9.2f\n", in_flight, records, size, (double)appends / took,
	       (double)appends * records / took, (double)appends * (double)batch_bytes / took / 1e6, (double)syncs / took,
	       (double)appends / (double)(syncs ? syncs : 1), cpu / ((double)appends * records) * 1e6);
	if (failed)
		printf("        %d appends failed\n", failed);
	fflush(stdout);
	for (int i = 0; i < in_flight; i++)
		buf_done(&lanes[i].batch);
	sem_destroy(&room);
	free(lanes);
}

static void read_all(struct sm_log *log, const char *topic)
{
	int64_t offset = 0;
	size_t bytes = 0, cap = 0;
	uint8_t *buffer = NULL;
	double begin = seconds();
	for (;;) {
		struct log_read_result r;
		struct bytes data;
		struct batch_info info;
		must(log->ops->read(log, topic, 0, offset, 1 << 20, &r), "read", NULL);
		if (r.slice.size == 0)
			break;
		must(log_slice_bytes(&r.slice, &buffer, &cap, &data), "slice", NULL);
		for (bytes += data.size; data.size; data = bytes_of(data.data + info.size, data.size - info.size)) {
			must(batch_parse(data, &info), "batch", NULL);
			offset = info.base_offset + info.last_offset_delta + 1;
		}
		log_slice_done(&r.slice);
	}
	printf("read of %.0f MB into memory: %.0f MB/s\n", (double)bytes / 1e6, (double)bytes / 1e6 / (seconds() - begin));
	free(buffer);
}

int main(int argc, char **argv)
{
	char dir[256];
	double how_long = argc > 2 ? atof(argv[2]) : 1;
	struct sm_system *system;
	struct sm_log *log;
	struct sm_error error;
	snprintf(dir, sizeof dir, "%s/smack-log-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	must(sm_system_new(&(struct sm_system_options){0}, &system, &error), "system", &error);
	const struct log_embedded_options options = {.system = system, .dir = dir};
	must(log_embedded_open(&options, &log, &error), "open", &error);
	printf("in      records/ bytes/   appends/    records/           syncs/  appends  CPU s per\n"
	       "flight  append   record     second      second     MB/s  second   a sync  million\n");
	static const struct {
		int in_flight, records;
		size_t size;
	} cases[] = {{1, 1, 100}, {1, 100, 100}, {16, 1, 100}, {256, 1, 100}, {16, 100, 300}, {16, 1000, 300}, {8, 10, 100000}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char topic[16];
		snprintf(topic, sizeof topic, "t%zu", i);
		must(log_topic_create_wait(log, &(struct log_topic_spec){topic, 1, 1, NULL, 0}, &error), "topic", &error);
		run(log, topic, cases[i].in_flight, cases[i].records, cases[i].size, how_long);
		if (i == 4)
			read_all(log, topic);
		must(log_topic_delete_wait(log, topic, &error), "delete", &error);
	}
	must(log->ops->close(log, &error), "close", &error);
	(void)!sm_system_stop(system, 5000);
	must(io_remove_tree(&io_system, dir, &error), "remove", &error);
	return 0;
}
