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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LATENCIES_MAX (1u << 22)
#define ANSWER_MAX 16384
#define DEPTH_MAX 64
#define MADE_UP 4096 /* events, when there is no file */

/* All requests as they are sent, one behind the other: so several leave in one write. */
struct requests {
	char *bytes;
	size_t size, cap;
	size_t *at; /* count + 1 */
	size_t count, next;
};

struct peer {
	int fd;
	const char *out;
	size_t out_size, sent;
	char answer[ANSWER_MAX];
	size_t got;
	double since;
	unsigned waits; /* answers that are to come */
};

struct run {
	const struct http_load *load;
	struct http_load_result *result;
	struct requests requests;
	struct peer *peers;
	float *latencies;
	uint64_t under_way;
	/* With a rate: connections without a request, first in, first out. */
	struct peer **idle;
	size_t idle_first, idle_count;
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

/* ---- requests ---- */

/* An event of the example's schema: only the id's digits change. */
static size_t print_event(char *out, size_t room, unsigned id)
{
	return (size_t)snprintf(out, room,
				"{\"id\":\"00000000-0000-4000-8000-%012x\",\"ad_id\":\"7651a404-492f-57dd-afa5-028eeaf3069b\","
				"\"campaign\":\"e6577e02-4919-5c02-9cba-5d8c0df53957\",\"ts\":1574553617004,\"type\":\"view\"}\n",
				id);
}

static char *events_text(const struct http_load *load, size_t *ret_size)
{
	size_t made_up = load->events > MADE_UP ? load->events : MADE_UP, size = 0, cap = made_up * 256;
	FILE *f = NULL;
	if (load->file && (!(f = fopen(load->file, "r")) || fseek(f, 0, SEEK_END) || (cap = (size_t)ftell(f)) == 0))
		fail(load->file);
	char *text = malloc(cap + 1);
	if (!text)
		fail("memory");
	if (f) {
		rewind(f);
		size = fread(text, 1, cap, f);
		fclose(f);
	}
	for (unsigned i = 0; !f && i < made_up; i++)
		size += print_event(text + size, cap + 1 - size, i);
	*ret_size = size;
	return text;
}

static void add_request(struct requests *r, const struct http_load *load, const char *body, size_t size)
{
	if (r->cap - r->size < size + 512) {
		r->cap = (r->cap + size + 512) * 2;
		r->bytes = realloc(r->bytes, r->cap);
	}
	r->at = realloc(r->at, (r->count + 2) * sizeof *r->at);
	if (!r->bytes || !r->at)
		fail("memory");
	r->at[r->count++] = r->size;
	r->size += (size_t)snprintf(r->bytes + r->size, 512,
				    "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/%s\r\nContent-Length: %zu\r\n\r\n",
				    load->path, load->port, load->events == 1 ? "json" : "x-ndjson", size);
	memcpy(r->bytes + r->size, body, size);
	r->size += size;
	r->at[r->count] = r->size;
}

/* Lines that do not fill a request are left out. */
static void make_requests(struct requests *r, const struct http_load *load)
{
	size_t size;
	char *text = events_text(load, &size), *body = text;
	unsigned lines = 0;
	for (char *p = text, *lf; (lf = memchr(p, '\n', (size_t)(text + size - p))); p = lf + 1)
		if (++lines == load->events) {
			add_request(r, load, body, (size_t)(lf - body) + (load->events > 1));
			body = lf + 1;
			lines = 0;
		}
	free(text);
	if (r->count < (load->depth ? load->depth : 1)) {
		fprintf(stderr, "bench: %s has too few events\n", load->file);
		exit(1);
	}
}

static void requests_done(struct requests *r)
{
	free(r->bytes);
	free(r->at);
}

/* ---- one connection ---- */

static void send_more(struct peer *p)
{
	while (p->sent < p->out_size) {
		ssize_t n = send(p->fd, p->out + p->sent, p->out_size - p->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			fail("the server closed a connection");
		p->sent += (size_t)n;
	}
}

static void send_next(struct run *r, struct peer *p, double since)
{
	struct requests *q = &r->requests;
	unsigned depth = r->load->depth ? r->load->depth : 1;
	if (q->next + depth > q->count)
		q->next = 0;
	p->out = q->bytes + q->at[q->next];
	p->out_size = q->at[q->next + depth] - q->at[q->next];
	q->next += depth;
	p->sent = 0;
	p->since = since;
	p->waits = depth;
	r->under_way += depth;
	send_more(p);
}

/* Size of the answer at the beginning of text, 0: it is not whole. An answer has Content-Length here, or no body. */
static size_t answer_size(const char *text, size_t size, int *ret_status)
{
	size_t body = 0;
	for (const char *line = text, *lf; (lf = memchr(line, '\n', (size_t)(text + size - line))); line = lf + 1) {
		if (lf - line <= 1) {
			*ret_status = atoi(text + 9);
			size_t whole = (size_t)(lf + 1 - text) + body;
			return whole <= size ? whole : 0;
		}
		if ((*line | 32) == 'c' && strncasecmp(line, "content-length:", 15) == 0)
			body = strtoul(line + 15, NULL, 10);
	}
	return 0;
}

static void count_answer(struct run *r, const struct peer *p, int status, double now, const char *text, size_t size)
{
	if (status / 100 == 2) {
		r->latencies[r->result->requests++ % LATENCIES_MAX] = (float)((now - p->since) * 1000);
	} else if (status == 429) {
		r->result->refused++;
	} else if (r->result->other++ == 0) {
		fprintf(stderr, "bench: an answer that is not 2xx:\n%.*s\n", (int)size, text);
	}
}

/* False: there is nothing more to read now. */
static bool receive(struct run *r, struct peer *p)
{
	int status;
	size_t size, at = 0, room = ANSWER_MAX - 1 - p->got;
	ssize_t n = recv(p->fd, p->answer + p->got, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0 || !p->waits)
		fail("the server closed a connection, or sent what was not asked for");
	p->got += (size_t)n;
	double now = now_seconds();
	while (p->waits && (size = answer_size(p->answer + at, p->got - at, &status))) {
		count_answer(r, p, status, now, p->answer + at, size);
		at += size;
		p->waits--;
		r->under_way--;
	}
	p->got -= at;
	memmove(p->answer, p->answer + at, p->got);
	if (p->got == ANSWER_MAX - 1)
		fail("an answer is too long");
	return (size_t)n == room;
}

/* ---- all of them ---- */

/* Wait for one event at least, or until `until`. */
static void turn(struct run *r, int epoll, double until, void (*answered)(struct run *, struct peer *))
{
	struct epoll_event events[64];
	double wait = until - now_seconds();
	struct timespec timeout = {.tv_sec = (time_t)(wait > 0 ? wait : 0),
				   .tv_nsec = wait > 0 ? (long)((wait - (double)(time_t)wait) * 1e9) : 0};
	int n = epoll_pwait2(epoll, events, 64, &timeout, NULL);
	if (n < 0 && errno != EINTR)
		fail("epoll_pwait2");
	for (int i = 0; i < n; i++) {
		struct peer *p = events[i].data.ptr;
		bool waited = p->waits > 0;
		send_more(p);
		while (receive(r, p))
			;
		if (waited && !p->waits)
			answered(r, p);
	}
}

static double end_of_closed;
static void send_again(struct run *r, struct peer *p)
{
	double now = now_seconds();
	if (now < end_of_closed)
		send_next(r, p, now);
}

static void loop_closed(struct run *r, int epoll)
{
	double start = now_seconds(), now = start;
	end_of_closed = start + r->load->seconds;
	for (unsigned i = 0; i < r->load->connections; i++)
		send_next(r, &r->peers[i], now_seconds());
	while (r->under_way && now < end_of_closed + 10) {
		turn(r, epoll, now + 0.1, send_again);
		now = now_seconds();
	}
	r->result->seconds = now - start;
	r->result->missing = r->under_way;
}

static void make_idle(struct run *r, struct peer *p)
{
	r->idle[(r->idle_first + r->idle_count++) % r->load->connections] = p;
}

static void loop_rate(struct run *r, int epoll)
{
	unsigned depth = r->load->depth ? r->load->depth : 1, n = r->load->connections;
	double step = depth / r->load->rate, start = now_seconds(), now = start;
	uint64_t sent = 0, all = (uint64_t)(r->load->seconds / step);
	prctl(PR_SET_TIMERSLACK, 1000); /* ns: a turn may end 50 us late otherwise */
	for (unsigned i = 0; i < n; i++)
		make_idle(r, &r->peers[i]);
	while ((sent < all || r->under_way) && now < start + r->load->seconds + 10) {
		uint64_t due = (uint64_t)((now - start) / step) + 1;
		for (; sent < all && sent < due && r->idle_count; sent++) {
			struct peer *p = r->idle[r->idle_first];
			r->idle_first = (r->idle_first + 1) % n;
			r->idle_count--;
			send_next(r, p, start + (double)sent * step);
		}
		turn(r, epoll, sent < all && r->idle_count ? start + (double)sent * step : now + 0.1, make_idle);
		now = now_seconds();
	}
	r->result->seconds = now - start;
	r->result->missing = r->under_way + (all - sent) * depth;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static void sort_latencies(float *latencies, struct http_load_result *ret)
{
	uint64_t kept = ret->requests < LATENCIES_MAX ? ret->requests : LATENCIES_MAX;
	if (!kept)
		return;
	qsort(latencies, kept, sizeof(float), by_value);
	ret->p50_ms = (double)latencies[kept / 2];
	ret->p99_ms = (double)latencies[kept * 99 / 100];
	ret->p999_ms = (double)latencies[kept * 999 / 1000];
}

void http_load_run(const struct http_load *load, struct http_load_result *ret)
{
	*ret = (struct http_load_result){0};
	struct run r = {.load = load,
			.result = ret,
			.peers = calloc(load->connections, sizeof *r.peers),
			.idle = calloc(load->connections, sizeof(struct peer *)),
			.latencies = malloc(LATENCIES_MAX * sizeof(float))};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!r.peers || !r.idle || !r.latencies || epoll < 0 || load->depth > DEPTH_MAX)
		fail("memory");
	make_requests(&r.requests, load);
	for (unsigned i = 0; i < load->connections; i++) {
		struct peer *p = &r.peers[i];
		struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = p};
		if ((p->fd = connect_to(load->port)) < 0 || fcntl(p->fd, F_SETFL, O_NONBLOCK) || epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e))
			fail("connect");
	}
	if (load->rate > 0)
		loop_rate(&r, epoll);
	else
		loop_closed(&r, epoll);
	sort_latencies(r.latencies, ret);
	for (unsigned i = 0; i < load->connections; i++)
		close(r.peers[i].fd);
	requests_done(&r.requests);
	free(r.peers);
	free(r.idle);
	free(r.latencies);
	close(epoll);
}

/* ---- idle connections ---- */

int *http_load_open(const struct http_load *load)
{
	struct requests requests = {0};
	char answer[ANSWER_MAX];
	int *fds = calloc(load->connections, sizeof *fds), status = 0;
	if (!fds)
		fail("memory");
	make_requests(&requests, load);
	for (unsigned i = 0; i < load->connections; i++) {
		size_t n = i % requests.count, size = requests.at[n + 1] - requests.at[n], got = 0;
		if ((fds[i] = connect_to(load->port)) < 0)
			fail("connect");
		if (send(fds[i], requests.bytes + requests.at[n], size, MSG_NOSIGNAL) != (ssize_t)size)
			fail("send");
		do {
			ssize_t more = recv(fds[i], answer + got, sizeof answer - 1 - got, 0);
			if (more <= 0)
				fail("the server closed a connection");
			got += (size_t)more;
		} while (!answer_size(answer, got, &status) && got < sizeof answer - 1);
		if (status / 100 != 2) {
			fprintf(stderr, "bench: an answer that is not 2xx:\n%.*s\n", (int)got, answer);
			exit(1);
		}
	}
	requests_done(&requests);
	return fds;
}

unsigned http_load_open_still(const int *fds, unsigned count)
{
	unsigned open = 0;
	char byte;
	for (unsigned i = 0; i < count; i++)
		open += recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
	return open;
}
