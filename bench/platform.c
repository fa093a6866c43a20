/* What the whole server costs: start, idle, connections that do nothing or next to nothing, ingest over HTTP with every event on disk
 * before its 202.
 *
 *   bench-platform SMACK CONFIG [SECONDS]   (each load: 8; CONFIG: the example application's, for start and idle)
 *
 * The load runs on the same machine and takes its share of the cores; the server's CPU is counted apart. */
#include "http_load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_BAR_MS 200.0
#define IDLE_BAR_MIB 64.0
#define IDLE_CONNECTION_BAR_KIB 8.0
#define IDLE_CONNECTIONS 10000
#define SLOW_CONNECTIONS 1000
#define STARTS 5

struct server {
	pid_t pid;
	uint16_t port;
};

static char scratch[] = "/tmp/smack-bench-XXXXXX";
static const char *binary;

static void sleep_seconds(double s)
{
	usleep((useconds_t)(s * 1e6));
}

static uint16_t free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || getsockname(fd, (struct sockaddr *)&a, &size)) {
		perror("bench: no free port");
		exit(1);
	}
	close(fd);
	return ntohs(a.sin_port);
}

/* From before the fork to the first 200 of /readyz, in ms. The server dies with this process. */
static double start(struct server *s, const char *config, const char *data)
{
	char port[16], log[128];
	s->port = free_port();
	snprintf(port, sizeof port, "%u", s->port);
	snprintf(log, sizeof log, "%s/server.log", scratch);
	double since = now_seconds();
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen(log, "a", stdout) && freopen(log, "a", stderr))
			execl(binary, binary, "up", "--config", config, "--data", data, "--http", port, "--kafka", "0", "--cql", "0",
			      (char *)NULL);
		_exit(127);
	}
	while (http_load_get(s->port, "/readyz") != 200) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid || now_seconds() - since > 10) {
			fprintf(stderr, "bench: the server did not start; see %s\n", log);
			kill(s->pid, SIGKILL);
			exit(1);
		}
		sleep_seconds(0.0005);
	}
	return (now_seconds() - since) * 1000;
}

/* SIGTERM to the end, in ms; SIGKILL after 10 s. */
static double stop(struct server *s)
{
	double since = now_seconds();
	kill(s->pid, SIGTERM);
	while (waitpid(s->pid, NULL, WNOHANG) == 0) {
		if (now_seconds() - since > 10)
			kill(s->pid, SIGKILL);
		sleep_seconds(0.001);
	}
	return (now_seconds() - since) * 1000;
}

static double cpu_seconds(pid_t pid)
{
	char path[64], text[1024];
	unsigned long user = 0, system = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (f && fgets(text, sizeof text, f))
		sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
	if (f)
		fclose(f);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* field: as /proc/PID/status names it, with its colon. */
static double memory_kib(pid_t pid, const char *field)
{
	char path[64], line[256];
	double kib = 0;
	size_t size = strlen(field);
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, field, size) == 0)
			kib = strtod(line + size, NULL);
	if (f)
		fclose(f);
	return kib;
}

static double resident_mib(pid_t pid)
{
	return memory_kib(pid, "VmRSS:") / 1024;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static bool bench_start(const char *config, char *data)
{
	double fresh[STARTS], again[STARTS], end[STARTS];
	struct server s;
	for (int i = 0; i < STARTS; i++) {
		snprintf(data, 128, "%s/start-%d", scratch, i);
		fresh[i] = start(&s, config, data);
		stop(&s);
		again[i] = start(&s, config, data);
		end[i] = stop(&s);
	}
	qsort(fresh, STARTS, sizeof *fresh, by_value);
	qsort(again, STARTS, sizeof *again, by_value);
	qsort(end, STARTS, sizeof *end, by_value);
	bool ok = fresh[STARTS / 2] < READY_BAR_MS && again[STARTS / 2] < READY_BAR_MS;
	printf("start to first served request   %7.0f ms fresh, %.0f ms again (median of %d; worst %.0f)   bar 200 ms: %s\n",
	       fresh[STARTS / 2], again[STARTS / 2], STARTS, fresh[STARTS - 1] > again[STARTS - 1] ? fresh[STARTS - 1] : again[STARTS - 1],
	       ok ? "ok" : "MISSED");
	printf("SIGTERM to the end              %7.0f ms\n", end[STARTS / 2]);
	fflush(stdout);
	return ok;
}

static bool bench_idle(const char *config, const char *data)
{
	struct server s;
	start(&s, config, data);
	sleep_seconds(10);
	double mib = resident_mib(s.pid), before = cpu_seconds(s.pid), since = now_seconds();
	sleep_seconds(15);
	double cpu = cpu_seconds(s.pid) - before, took = now_seconds() - since;
	bool ok = mib < IDLE_BAR_MIB;
	printf("idle memory                     %7.1f MiB resident after 10 s   bar 64 MiB: %s\n", mib, ok ? "ok" : "MISSED");
	printf("idle CPU                        %7.2f %% of one core over %.0f s\n", cpu / took * 100, took);
	fflush(stdout);
	stop(&s);
	return ok;
}

static bool bench_ingest(const char *config, unsigned events, double seconds)
{
	struct server s;
	struct http_load_result r;
	char data[128];
	snprintf(data, sizeof data, "%s/ingest-%u", scratch, events);
	start(&s, config, data);
	double before = cpu_seconds(s.pid);
	http_load_run(
		&(struct http_load){.port = s.port, .path = "/ingest/raw_events", .connections = 64, .events = events, .seconds = seconds},
		&r);
	double cpu = cpu_seconds(s.pid) - before, total = (double)r.requests * events;
	printf("ingest, %4u %-7s a request  %8.0f requests a second, %.0f events a second; p50 %.1f ms, p99 %.1f ms\n", events,
	       events == 1 ? "event" : "events", (double)r.requests / r.seconds, total / r.seconds, r.p50_ms, r.p99_ms);
	printf("                                %7.1f server CPU seconds a million events, %.0f MiB resident afterwards\n",
	       total > 0 ? cpu / total * 1e6 : 0, resident_mib(s.pid));
	if (r.refused || r.other)
		printf("                                %7llu answered 429, %llu otherwise\n", (unsigned long long)r.refused,
		       (unsigned long long)r.other);
	fflush(stdout);
	stop(&s);
	return r.requests && !r.other;
}

/* ---- connections ---- */

static int connect_to(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* As many descriptors as there may be. Returns how many connections the server takes then. */
static unsigned raise_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 400;
	limit.rlim_cur = limit.rlim_max;
	(void)!setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_max / 2 > IDLE_CONNECTIONS + 50 ? IDLE_CONNECTIONS : (unsigned)limit.rlim_max / 2 - 50;
}

/* Each has been answered once and then waits. */
static bool bench_idle_connections(const char *config)
{
	struct server s;
	char data[128], request[128], answer[1024];
	unsigned count = raise_files(), served = 0;
	int *fds = calloc(count, sizeof *fds);
	snprintf(data, sizeof data, "%s/connections", scratch);
	start(&s, config, data);
	int size = snprintf(request, sizeof request, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", s.port);
	double before = memory_kib(s.pid, "RssAnon:");
	for (unsigned i = 0; fds && i < count; i++) {
		fds[i] = connect_to(s.port);
		served += fds[i] >= 0 && send(fds[i], request, (size_t)size, MSG_NOSIGNAL) == size &&
			  recv(fds[i], answer, sizeof answer, 0) > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
	}
	double each = (memory_kib(s.pid, "RssAnon:") - before) / (served ? served : 1);
	bool ok = served == count && each <= IDLE_CONNECTION_BAR_KIB;
	printf("idle HTTP connections           %7.1f KiB each, of %u (%u served)   bar 8 KiB: %s\n", each, count, served,
	       ok ? "ok" : "MISSED");
	fflush(stdout);
	for (unsigned i = 0; fds && i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(fds);
	stop(&s);
	return ok;
}

/* A process whose connections send the next byte of a head every second; those that were ended begin anew. */
static pid_t start_slow(uint16_t port)
{
	pid_t pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	static int fds[SLOW_CONNECTIONS], at[SLOW_CONNECTIONS];
	static const char head[] = "POST /ingest/raw_events HTTP/1.1\r\nHost: localhost\r\nX-Slow: slow slow slow slow slow slow slow slow";
	char answer[512];
	for (int i = 0; i < SLOW_CONNECTIONS; i++)
		fds[i] = -1;
	for (;; sleep(1))
		for (int i = 0; i < SLOW_CONNECTIONS; i++) {
			if (fds[i] >= 0 && recv(fds[i], answer, sizeof answer, MSG_DONTWAIT) >= 0) {
				close(fds[i]);
				fds[i] = -1;
			}
			if (fds[i] < 0) {
				fds[i] = connect_to(port);
				at[i] = 0;
			}
			if (fds[i] >= 0 && at[i] < (int)sizeof head - 1)
				(void)!send(fds[i], head + at[i]++, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
}

static bool bench_slow_connections(const char *config, double seconds)
{
	struct server s;
	struct http_load_result alone, beside, again;
	char data[128];
	snprintf(data, sizeof data, "%s/slow", scratch);
	start(&s, config, data);
	struct http_load load = {.port = s.port, .path = "/ingest/raw_events", .connections = 64, .events = 1, .seconds = seconds};
	http_load_run(&load, &alone);
	pid_t slow = start_slow(s.port);
	sleep_seconds(2);
	http_load_run(&load, &beside);
	kill(slow, SIGKILL);
	waitpid(slow, NULL, 0);
	sleep_seconds(1);
	http_load_run(&load, &again); /* what the machine does meanwhile is in both */
	double worse = alone.p99_ms > again.p99_ms ? alone.p99_ms : again.p99_ms;
	bool ok = beside.requests && !beside.other && beside.p99_ms <= 2 * worse;
	printf("64 connections beside %4d slow  %8.1f ms p99, alone %.1f ms before and %.1f ms after   bar twice: %s\n", SLOW_CONNECTIONS,
	       beside.p99_ms, alone.p99_ms, again.p99_ms, ok ? "ok" : "MISSED");
	fflush(stdout);
	stop(&s);
	return ok;
}

/* The example's topic without its jobs: what ingest alone costs. */
static void write_ingest_config(char *path, size_t room, const char *example)
{
	const char *slash = strrchr(example, '/');
	char *dir = realpath(example, NULL);
	snprintf(path, room, "%s/ingest.conf", scratch);
	FILE *f = fopen(path, "w");
	if (!f || !slash || !dir) {
		perror("bench: configuration");
		exit(1);
	}
	*strrchr(dir, '/') = 0;
	fprintf(f, "[topic raw_events]\npartitions = 6\nschema = %s/schema.json\nkey = campaign\n", dir);
	fclose(f);
	free(dir);
}

int main(int argc, char **argv)
{
	char config[256], data[128], clean[64];
	if (argc < 3) {
		fprintf(stderr, "usage: bench-platform SMACK CONFIG [SECONDS]\n");
		return 2;
	}
	binary = argv[1];
	double seconds = argc > 3 ? strtod(argv[3], NULL) : 8;
	if (!mkdtemp(scratch)) {
		perror("bench: mkdtemp");
		return 1;
	}
	write_ingest_config(config, sizeof config, argv[2]);
	bool ok = bench_start(argv[2], data);
	ok = bench_idle(argv[2], data) && ok;
	ok = bench_idle_connections(config) && ok;
	ok = bench_slow_connections(config, seconds) && ok;
	ok = bench_ingest(config, 1, seconds) && ok;
	ok = bench_ingest(config, 1000, seconds) && ok;
	snprintf(clean, sizeof clean, "rm -rf %s", scratch);
	if (system(clean))
		perror("bench: rm");
	return ok ? 0 : 1;
}
