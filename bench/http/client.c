/* The load of bench/http/run.py, as one line of JSON on stdout:
 *
 *   bench-http-load load|idle --port P [--path /x] [--connections 64] [--events 1] [--depth 1] [--rate 0] [--seconds 10] [--file NDJSON]
 *
 * load: http_load_run. idle: connections with one request answered on each are held open until stdin ends; `open` is printed when all are,
 * then how many the server has not closed. The CPU is this process's, user and system. */
#include "../http_load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static double own_cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: bench-http-load load|idle --port P [--path /x] [--connections N] [--events N] [--depth N] [--rate N] [--seconds N] "
		"[--file NDJSON]\n");
	exit(2);
}

static void read_options(int argc, char **argv, struct http_load *load)
{
	for (int i = 2; i < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];
		if (i + 1 == argc)
			usage();
		if (strcmp(name, "--port") == 0)
			load->port = (uint16_t)atoi(value);
		else if (strcmp(name, "--path") == 0)
			load->path = value;
		else if (strcmp(name, "--file") == 0)
			load->file = value;
		else if (strcmp(name, "--connections") == 0)
			load->connections = (unsigned)atoi(value);
		else if (strcmp(name, "--events") == 0)
			load->events = (unsigned)atoi(value);
		else if (strcmp(name, "--depth") == 0)
			load->depth = (unsigned)atoi(value);
		else if (strcmp(name, "--rate") == 0)
			load->rate = atof(value);
		else if (strcmp(name, "--seconds") == 0)
			load->seconds = atof(value);
		else
			usage();
	}
	if (!load->port || !load->connections || !load->events)
		usage();
}

static void hold_open(const struct http_load *load)
{
	int *fds = http_load_open(load);
	printf("open\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	printf("{\"open\":%u}\n", http_load_open_still(fds, load->connections));
	free(fds);
}

int main(int argc, char **argv)
{
	struct http_load load = {.path = "/ingest/raw_events", .connections = 64, .events = 1, .depth = 1, .seconds = 10};
	struct http_load_result r;
	if (argc < 2)
		usage();
	read_options(argc, argv, &load);
	if (strcmp(argv[1], "idle") == 0) {
		hold_open(&load);
		return 0;
	}
	if (strcmp(argv[1], "load") != 0)
		usage();
	http_load_run(&load, &r);
	printf("{\"seconds\":%.3f,\"requests\":%llu,\"refused\":%llu,\"other\":%llu,\"missing\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
	       "\"p999_ms\":%.3f,"
	       "\"client_cpu\":%.3f}\n",
	       r.seconds, (unsigned long long)r.requests, (unsigned long long)r.refused, (unsigned long long)r.other,
	       (unsigned long long)r.missing, r.p50_ms, r.p99_ms, r.p999_ms, own_cpu());
	return 0;
}
