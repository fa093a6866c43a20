#include "http_load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LATENCIES_MAX (1u << 22)
#define ANSWER_MAX 4096

struct peer {
	int fd;
	char *request;
	size_t request_size, body_at, sent;
	char answer[ANSWER_MAX];
	size_t got;
	double since;
	bool waits;
};

struct run {
	const struct http_load *load;
	struct http_load_result *result;
	float *latencies;
	uint64_t event_id;
	size_t event_size; /* all are equally long */
	unsigned under_way;
};

static void fail(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

double now_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	if (fd < 0)
		fail("socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

int http_load_get(uint16_t port, const char *path)
{
	char text[1024];
	int status = 0, fd = connect_to(port);
	if (fd < 0)
		return 0;
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n", path, port);
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) == n && recv(fd, text, sizeof text - 1, 0) >= 12)
		status = atoi(text + 9);
	close(fd);
	return status;
}

/* An event of the example's schema. The id's digits are the only part that changes: all are equally long. */
static size_t print_event(char *out, size_t room, uint64_t id)
{
	return (size_t)snprintf(out, room,
				"{\"id\":\"00000000-0000-4000-%04x-%012llx\",\"ad_id\":\"7651a404-492f-57dd-afa5-028eeaf3069b\","
				"\"campaign\":\"e6577e02-4919-5c02-9cba-5d8c0df53957\",\"ts\":1574553617004,\"type\":\"view\"}\n",
				0x8000u | (unsigned)(id >> 48 & 0xfff), (unsigned long long)(id & 0xffffffffffff));
}

static void make_request(struct run *r, struct peer *p)
{
	char head[512], event[512];
	r->event_size = print_event(event, sizeof event, 0);
	size_t body_size = r->event_size * r->load->events;
	int n = snprintf(head, sizeof head,
			 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/%s\r\nContent-Length: %zu\r\n\r\n",
			 r->load->path, r->load->port, r->load->events == 1 ? "json" : "x-ndjson", body_size);
	p->body_at = (size_t)n;
	p->request_size = p->body_at + body_size;
	p->request = malloc(p->request_size + 1);
	if (!p->request)
		fail("memory");
	memcpy(p->request, head, p->body_at);
}

static void send_more(struct peer *p)
{
	while (p->sent < p->request_size) {
		ssize_t n = send(p->fd, p->request + p->sent, p->request_size - p->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			fail("the server closed a connection");
		p->sent += (size_t)n;
	}
}

static void send_next(struct run *r, struct peer *p)
{
	for (unsigned i = 0; i < r->load->events; i++)
		print_event(p->request + p->body_at + i * r->event_size, r->event_size + 1, ++r->event_id);
	p->sent = p->got = 0;
	p->since = now_seconds();
	p->waits = true;
	r->under_way++;
	send_more(p);
}

/* Whether the answer is whole. An answer has Content-Length here; one that has not is counted as foreign. */
static bool whole(struct peer *p, int *ret_status)
{
	p->answer[p->got] = 0;
	char *end = strstr(p->answer, "\r\n\r\n");
	if (!end)
		return false;
	char *length = strcasestr(p->answer, "\r\ncontent-length:");
	size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
	*ret_status = atoi(p->answer + 9);
	return p->got >= (size_t)(end + 4 - p->answer) + body || p->got == ANSWER_MAX - 1;
}

static void receive(struct run *r, struct peer *p)
{
	int status;
	ssize_t n = recv(p->fd, p->answer + p->got, ANSWER_MAX - 1 - p->got, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		fail("the server closed a connection");
	p->got += (size_t)n;
	if (!p->waits || !whole(p, &status))
		return;
	p->waits = false;
	r->under_way--;
	if (status == 202) {
		r->latencies[r->result->requests++ % LATENCIES_MAX] = (float)((now_seconds() - p->since) * 1000);
	} else if (status == 429) {
		r->result->refused++;
	} else if (r->result->other++ == 0) {
		fprintf(stderr, "bench: an answer that is not 202:\n%s\n", p->answer);
	}
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static void loop(struct run *r, struct peer *peers, int epoll)
{
	struct epoll_event events[64];
	double start = now_seconds(), end = start + r->load->seconds, now = start;
	for (unsigned i = 0; i < r->load->connections; i++)
		send_next(r, &peers[i]);
	while (r->under_way && now < end + 10) {
		int n = epoll_wait(epoll, events, 64, 100);
		for (int i = 0; i < n; i++) {
			struct peer *p = events[i].data.ptr;
			send_more(p);
			receive(r, p);
			if (!p->waits && now < end)
				send_next(r, p);
		}
		now = now_seconds();
	}
	r->result->seconds = now - start;
}

void http_load_run(const struct http_load *load, struct http_load_result *ret)
{
	*ret = (struct http_load_result){0};
	struct peer *peers = calloc(load->connections, sizeof *peers);
	struct run r = {
		.load = load, .result = ret, .latencies = malloc(LATENCIES_MAX * sizeof(float)), .event_id = (uint64_t)time(NULL) << 24};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!peers || !r.latencies || epoll < 0)
		fail("memory");
	for (unsigned i = 0; i < load->connections; i++) {
		struct peer *p = &peers[i];
		struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = p};
		if ((p->fd = connect_to(load->port)) < 0 || fcntl(p->fd, F_SETFL, O_NONBLOCK) || epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e))
			fail("connect");
		make_request(&r, p);
	}
	loop(&r, peers, epoll);
	uint64_t kept = ret->requests < LATENCIES_MAX ? ret->requests : LATENCIES_MAX;
	qsort(r.latencies, kept, sizeof(float), by_value);
	if (kept) {
		ret->p50_ms = (double)r.latencies[kept / 2];
		ret->p99_ms = (double)r.latencies[kept * 99 / 100];
	}
	for (unsigned i = 0; i < load->connections; i++) {
		close(peers[i].fd);
		free(peers[i].request);
	}
	free(peers);
	free(r.latencies);
	close(epoll);
}
