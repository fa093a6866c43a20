/* CPU of the server's thread a request: one dispatcher, 64 connections, 200-byte POSTs whose bodies are read and answered, nothing
 * stored; one request at a time on each connection, then 16 at once. The load comes from threads of the same process.
 *
 *   net-http_bench [SECONDS]   (2) */
#include "net/http.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 64

static clockid_t server_clock;
static atomic_bool server_known;
static char request[1024];
static size_t request_size;
static uint16_t port;

static void handle(struct http_request *r)
{
	if (!atomic_load_explicit(&server_known, memory_order_relaxed)) {
		pthread_getcpuclockid(pthread_self(), &server_clock);
		atomic_store(&server_known, true);
	}
	http_reply(r, 202, "application/json", BYTES("{\"topic\":\"raw_events\",\"accepted\":1}"));
}

static double seconds_of(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct peer {
	int fd;
	size_t got;
};

static void peer_send(struct peer *p, int depth)
{
	static char many[65536];
	if (!many[0])
		for (int i = 0; i < 16; i++)
			memcpy(many + (size_t)i * request_size, request, request_size);
	if (send(p->fd, many, request_size * (size_t)depth, MSG_NOSIGNAL) < 0)
		abort();
}

/* Requests answered in so many seconds, and the server's CPU for them. */
static void run(int depth, double seconds)
{
	static struct peer peers[CONNECTIONS];
	static struct pollfd polls[CONNECTIONS];
	size_t answer = 0;
	char in[65536];
	for (int i = 0; i < CONNECTIONS; i++) {
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		peers[i] = (struct peer){.fd = socket(AF_INET, SOCK_STREAM, 0)};
		if (connect(peers[i].fd, (struct sockaddr *)&address, sizeof address))
			abort();
		polls[i] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
		peer_send(&peers[i], 1);
		ssize_t n = recv(peers[i].fd, in, sizeof in, 0);
		if (n <= 0)
			abort();
		answer = (size_t)n;
	}
	double start = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(server_clock), now = start;
	uint64_t count = 0;
	for (int i = 0; i < CONNECTIONS; i++)
		peer_send(&peers[i], depth);
	while (now - start < seconds) {
		poll(polls, CONNECTIONS, 1000);
		for (int i = 0; i < CONNECTIONS; i++) {
			if (!polls[i].revents)
				continue;
			ssize_t n = recv(peers[i].fd, in, sizeof in, 0);
			if (n <= 0)
				abort();
			peers[i].got += (size_t)n;
			if (peers[i].got >= answer * (size_t)depth) {
				peers[i].got = 0;
				count += (uint64_t)depth;
				peer_send(&peers[i], depth);
			}
		}
		now = seconds_of(CLOCK_MONOTONIC);
	}
	cpu = seconds_of(server_clock) - cpu;
	printf("%2d at once  %9.0f requests/s  %6.2f us CPU a request\n", depth, (double)count / (now - start), cpu * 1e6 / (double)count);
	for (int i = 0; i < CONNECTIONS; i++)
		close(peers[i].fd);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	struct sm_system *system;
	struct http_server *server;
	struct sm_error error;
	struct sm_system_options options = {.dispatchers = 1, .pool_threads = 1};
	if (sm_system_new(&options, &system, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	struct http_server_options http = {.system = system, .host = "127.0.0.1"};
	struct http_route route = {.methods = HTTP_POST, .pattern = "/ingest/{topic}", .handle = handle};
	if (http_server_new(&http, &server, &error) || http_server_route(server, &route) || http_server_start(server, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	port = http_server_port(server);
	char body[201];
	memset(body, 'x', 200);
	body[200] = 0;
	request_size = (size_t)snprintf(request, sizeof request,
					"POST /ingest/raw_events HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
					"User-Agent: bench\r\nAccept: */*\r\nContent-Length: 200\r\n\r\n%s",
					port, body);
	run(1, seconds);
	run(16, seconds);
	http_server_free(server, 1000);
	return sm_system_stop(system, 1000) != SM_OK;
}
