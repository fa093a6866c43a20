/* What the machine itself costs, measured in the same run as the servers: bench-floor DIR prints one line of JSON.
 *
 *   memcpy_gb_s        64 MiB from one buffer to another
 *   fdatasync_us       4 KiB into a file that was filled before, median of 500
 *   round_trip_us      one byte to a thread on another core and back over a loopback connection, median of 20,000
 *   answer_cpu_us      what each of them costs the thread that answers: one read, one write, one sleep
 *   sendfile_mb_s, sendfile_cpu_s_gb   a 256 MiB file, in the page cache, to a loopback connection, 1 MiB a call; the sender's CPU */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double thread_cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof *values, by_value);
	return values[count / 2];
}

static double memcpy_speed(void)
{
	size_t size = 64u << 20;
	char *a = malloc(size), *b = malloc(size);
	double best = 0;
	memset(a, 1, size);
	memset(b, 2, size);
	for (int i = 0; i < 10; i++) {
		double since = now();
		memcpy(i & 1 ? a : b, i & 1 ? b : a, size);
		double speed = (double)size / (now() - since) / 1e9;
		best = speed > best ? speed : best;
	}
	free(a);
	free(b);
	return best;
}

static int file_of(const char *dir, size_t size)
{
	char path[4096];
	static char block[1u << 20];
	snprintf(path, sizeof path, "%s/floor", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die(path);
	unlink(path);
	memset(block, 'x', sizeof block);
	for (size_t at = 0; at < size; at += sizeof block)
		if (pwrite(fd, block, sizeof block, (off_t)at) != (ssize_t)sizeof block)
			die("write");
	if (fdatasync(fd))
		die("sync");
	return fd;
}

static double sync_time(const char *dir)
{
	enum { COUNT = 500 };
	static double us[COUNT];
	char block[4096] = "y";
	int fd = file_of(dir, 4u << 20);
	for (int i = 0; i < COUNT; i++) {
		double since = now();
		if (pwrite(fd, block, sizeof block, (off_t)i * 4096) != (ssize_t)sizeof block || fdatasync(fd))
			die("sync");
		us[i] = (now() - since) * 1e6;
	}
	close(fd);
	return median(us, COUNT);
}

/* A connection to itself: ends[0] to ends[1]. */
static void connection(int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &size))
		die("listen");
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(ends[0], (struct sockaddr *)&address, sizeof address) || (ends[1] = accept(listener, NULL, NULL)) < 0)
		die("connect");
	for (int i = 0; i < 2; i++)
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	close(listener);
}

/* The calling thread stays on the nth of the cores that the process has, if there are so many: left alone, the two ends of a round trip are
 * put on one core now and on two then, and its time is ten times less or more. */
static void stay_on_core(int nth)
{
	static cpu_set_t all;
	static int known;
	if (!known)
		known = !sched_getaffinity(0, sizeof all, &all);
	for (int core = 0; known && CPU_COUNT(&all) > 1 && core < CPU_SETSIZE; core++)
		if (CPU_ISSET(core, &all) && !nth--) {
			cpu_set_t one;
			CPU_ZERO(&one);
			CPU_SET(core, &one);
			sched_setaffinity(0, sizeof one, &one);
			return;
		}
}

static double answer_cpu;

static void *echo(void *arg)
{
	int fd = *(int *)arg;
	char byte;
	stay_on_core(1);
	while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
		;
	answer_cpu = thread_cpu();
	return NULL;
}

static double round_trip(double *ret_answer_cpu_us)
{
	enum { COUNT = 20000 };
	static double us[COUNT];
	int ends[2];
	pthread_t thread;
	char byte = 'z';
	connection(ends);
	stay_on_core(0); /* before the other: it is the process that is asked for its cores */
	pthread_create(&thread, NULL, echo, &ends[1]);
	for (int i = 0; i < COUNT; i++) {
		double since = now();
		if (write(ends[0], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
			die("round trip");
		us[i] = (now() - since) * 1e6;
	}
	shutdown(ends[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
	*ret_answer_cpu_us = answer_cpu / COUNT * 1e6;
	return median(us, COUNT);
}

static void *drain(void *arg)
{
	static char buffer[1u << 18];
	while (read(*(int *)arg, buffer, sizeof buffer) > 0)
		;
	return NULL;
}

static void sendfile_speed(const char *dir, double *ret_mb_s, double *ret_cpu_s_gb)
{
	size_t size = 256u << 20;
	int fd = file_of(dir, size), ends[2];
	pthread_t thread;
	connection(ends);
	pthread_create(&thread, NULL, drain, &ends[1]);
	double since = now(), cpu = thread_cpu(), sent = 0;
	while (now() - since < 3) {
		off_t at = 0;
		while ((size_t)at < size) {
			ssize_t n = sendfile(ends[0], fd, &at, 1u << 20);
			if (n <= 0)
				die("sendfile");
			sent += (double)n;
		}
	}
	*ret_mb_s = sent / (now() - since) / 1e6;
	*ret_cpu_s_gb = (thread_cpu() - cpu) / sent * 1e9;
	shutdown(ends[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

int main(int argc, char **argv)
{
	double mb_s, cpu_s_gb, answer_cpu_us;
	if (argc != 2) {
		fprintf(stderr, "usage: bench-floor DIR\n");
		return 2;
	}
	sendfile_speed(argv[1], &mb_s, &cpu_s_gb);
	double round_trip_us = round_trip(&answer_cpu_us);
	printf("{\"memcpy_gb_s\":%.1f,\"fdatasync_us\":%.0f,\"round_trip_us\":%.1f,\"answer_cpu_us\":%.2f,\"sendfile_mb_s\":%.0f,"
	       "\"sendfile_cpu_s_gb\":%.3f}\n",
	       memcpy_speed(), sync_time(argv[1]), round_trip_us, answer_cpu_us, mb_s, cpu_s_gb);
	return 0;
}
